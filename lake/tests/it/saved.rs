//! Every delivered query, on one made world; what they answer is the page `docs/queries.md`.

use std::fmt::Write as _;

use expect_test::expect_file;
use lake::tables::{ALERTS, CALL_POSTINGS, EVENTS, INVOICE_LINES, INVOICES, OTHER_POSTINGS, PREFIXES, RATES};
use lake::{Lake, Row, SavedQuery, TableLane, Value, saved_queries, write_table};
use model::{CallStatus, Cause, Direction, Party, Provider, RatedCdr, TrunkId};

use crate::world::{World, at, call, charge, dec, rows};

/// One call in a line: minute of the month, seconds (0: not answered, with this code), trunk, to, customer's and carrier's price.
struct Line(i64, u64, u16, i64, i64, &'static str, &'static str, &'static str);

const FIRST: &str = "2026-10-05T00:00:00Z";

/// Two days of calls of two customers over two carriers, a few days before them, and what happened beside them.
#[rustfmt::skip]
const CALLS: [Line; 22] = [
    // The period before.
    Line(-7000, 60, 200, 1001, 3, "4930555001", "0.05", "0.02"),
    Line(-6000, 600, 200, 1002, 3, "43660555001", "0.90", "0.50"),
    // The period.
    Line(30, 120, 200, 1001, 3, "4930555001", "0.10", "0.04"),
    Line(31, 61, 200, 1001, 3, "4930555002", "0.051", "0.04"),
    Line(32, 0, 486, 1001, 3, "4930555003", "", ""),
    Line(33, 0, 503, 1001, 3, "4930555004", "", ""),
    Line(480, 1800, 200, 1001, 4, "43660555001", "2.70", "1.50"),
    Line(481, 4, 200, 1001, 4, "43660555002", "0.15", "0.05"),
    Line(482, 3, 200, 1001, 4, "43660555003", "0.15", "0.05"),
    Line(483, 0, 404, 1001, 4, "43660555004", "", ""),
    Line(540, 300, 200, 1002, 3, "447700900001", "0.10", "0.25"),
    Line(541, 90, 200, 1002, 3, "442079460001", "0.03", "0.01"),
    Line(542, 0, 480, 1002, 3, "442079460002", "", ""),
    Line(1380, 900, 200, 1002, 4, "88216555001", "45.00", "30.00"),
    Line(1381, 900, 200, 1002, 4, "88216555002", "45.00", "30.00"),
    Line(1440, 14500, 200, 1001, 3, "4930555001", "12.10", "4.80"),
    Line(1500, 60, 200, 1002, 3, "493055500", "0", "0.02"),
    Line(1502, 30, 200, 1001, 3, "390612345678", "0.02", "0.01"),
    Line(1800, 0, 487, 1002, 4, "43660555001", "", ""),
    Line(1801, 0, 486, 1002, 4, "43660555002", "", ""),
    Line(1802, 0, 0, 1002, 4, "43660555003", "", ""),
    Line(1900, 75, 200, 1002, 3, "4930555009", "0.07", "0.03"),
];

fn made(n: usize, line: &Line) -> RatedCdr {
    let Line(minute, seconds, code, account, trunk, to, price, cost) = *line;
    let start = at(FIRST) + chrono::TimeDelta::minutes(minute);
    let mut rated = call(&format!("sw1-1-{n}"), &start.to_rfc3339());
    let cdr = &mut rated.cdr;
    let carrier = model::AccountId(9000 + trunk);
    let party = Party::Trunk { trunk: TrunkId(trunk), account: carrier };
    cdr.payer = model::AccountId(account);
    if let Party::Subscriber { account: of, subscriber, .. } = &mut cdr.source.party {
        *of = model::AccountId(account);
        *subscriber = model::SubscriberId(account - 959);
    }
    cdr.destination.party = party.clone();
    cdr.destination.number = Some(to.parse().unwrap());
    cdr.destination.user_in = to.into();
    cdr.duration_us = seconds * 1_000_000;
    cdr.pdd_us = Some(900_000 + 100_000 * trunk.unsigned_abs());
    cdr.attempts[0].party = party.clone();
    cdr.attempts[0].pdd_us = cdr.pdd_us;
    if n % 7 == 2 {
        // Trunk 5 was tried first, and had no room.
        let full = Party::Trunk { trunk: TrunkId(5), account: model::AccountId(9005) };
        let first = model::RouteTry { party: full, code: 503, pdd_us: None, ..cdr.attempts[0].clone() };
        let last = model::RouteTry { attempt: 2, ..cdr.attempts[0].clone() };
        cdr.attempts = vec![first, last];
    }
    rated.charges.clear();
    if code == 200 {
        let step = seconds.div_ceil(60) * 60;
        rated.charges.push(charge(Provider::Customer, account, price));
        rated.charges.push(charge(Provider::Carrier, carrier.0, cost));
        for charge in &mut rated.charges {
            charge.billed_seconds = step;
            charge.matched = to[..2].to_owned();
            charge.zone = if to.starts_with("49") { "Germany" } else { "Elsewhere" }.to_owned();
        }
    } else {
        cdr.code = if code == 0 { 408 } else { code };
        (cdr.status, cdr.cause) = match code {
            486 => (CallStatus::Busy, Cause::Busy),
            487 => (CallStatus::Cancel, Cause::Cancelled),
            480 => (CallStatus::Offline, Cause::CalleeOffline),
            0 => (CallStatus::Timeout, Cause::NoAnswer),
            _ => (CallStatus::Other, Cause::PeeringUnavailable),
        };
        let last = cdr.attempts.len() - 1;
        cdr.attempts[last].code = cdr.code;
    }
    rated
}

/// Calls that come in from trunk 7 and ring only, and calls that leak.
fn odd_ones() -> Vec<RatedCdr> {
    let mut calls = Vec::new();
    for n in 0..4 {
        let mut rated =
            made(50 + n, &Line(700 + i64::try_from(n).unwrap(), 0, 487, 9007, 4, "43660555001", "", ""));
        rated.cdr.source.party = Party::Trunk { trunk: TrunkId(7), account: model::AccountId(9007) };
        rated.cdr.source.cli = Some("37125550199".parse().unwrap());
        calls.push(rated);
    }
    let mut leak = made(60, &Line(800, 400, 200, 1001, 3, "4930555077", "1", "0.40"));
    leak.charges.remove(0);
    calls.push(leak);
    let mut endless = made(61, &Line(801, 50, 200, 1001, 3, "4930555078", "0.05", "0.02"));
    endless.cdr.partial = true;
    calls.push(endless);
    let mut incoming = made(62, &Line(802, 50, 200, 9007, 3, "43660555001", "0.05", "0.02"));
    incoming.charges = vec![charge(Provider::Carrier, 9007, "0.008")];
    incoming.charges[0].direction = Direction::In;
    incoming.cdr.source.party = Party::Trunk { trunk: TrunkId(7), account: model::AccountId(9007) };
    incoming.cdr.source.cli = Some("37125550188".parse().unwrap());
    calls.push(incoming);
    calls
}

fn minute(n: i64) -> Value {
    (at(FIRST) + chrono::TimeDelta::minutes(n)).into()
}

pub(crate) fn event(n: i64, kind: &str, subscriber: Option<i64>, detail: &str) -> Row {
    let id = format!("sw1-1-{n}");
    vec![
        id.into(),
        1_i64.into(),
        1001_i64.into(),
        subscriber.into(),
        kind.into(),
        "".into(),
        "".into(),
        detail.into(),
        minute(n),
        Value::Null,
        Value::Null,
        Some("43660555001").into(),
    ]
}

fn posting(n: i64, minutes: i64, debit: &str, credit: &str, amount: &str, reason: &str) -> Row {
    let cdr = (reason == "call").then_some("8f14e45fceea167a5a36dedd4bea2543");
    vec![
        format!("{n:032x}").into(),
        1_i64.into(),
        1001_i64.into(),
        minute(minutes),
        debit.into(),
        credit.into(),
        dec(amount).into(),
        "EUR".into(),
        reason.into(),
        cdr.into(),
        Value::Null,
    ]
}

fn alert(n: i64, rule: &str, verdict: Option<&str>) -> Row {
    vec![
        format!("{n:032x}").into(),
        1_i64.into(),
        1002_i64.into(),
        rule.into(),
        "2026-10-05".into(),
        "breach".into(),
        dec("50").into(),
        "EUR".into(),
        dec("90").into(),
        "EUR".into(),
        "outgoing".into(),
        0_i64.into(),
        minute(1380),
        minute(1381 + n),
        Value::Null,
        Value::Null,
        verdict.into(),
        verdict.map(|_| at("2026-10-06T09:00:00Z")).into(),
        "irsf".into(),
        0_i64.into(),
        dec("0").into(),
        // The call that showed it.
        model::CdrId::derive(&model::CallUid::new("sw1-1-0"), 0).to_string().into(),
        Value::Null,
    ]
}

fn invoice(id: i64, account: i64, from: i64, to: i64, net: &str, state: &str) -> Row {
    let gross = dec(net) * dec("1.2");
    vec![
        id.into(),
        format!("R-2026-{id:06}").into(),
        1_i64.into(),
        Value::Null,
        account.into(),
        "invoice".into(),
        Value::Null,
        minute(from),
        minute(to),
        minute(to + 60),
        (at(FIRST) + chrono::TimeDelta::minutes(to)).date_naive().into(),
        dec(net).into(),
        (gross - dec(net)).into(),
        gross.into(),
        "EUR".into(),
        state.into(),
        Value::Null,
    ]
}

fn usage_line(invoice: i64, account: i64, calls: i64, net: &str) -> Row {
    vec![
        invoice.into(),
        1_i64.into(),
        format!("R-2026-{invoice:06}").into(),
        1_i64.into(),
        account.into(),
        "invoice".into(),
        "usage".into(),
        Value::Null,
        "Germany".into(),
        "fixed".into(),
        calls.into(),
        180_i64.into(),
        Value::Null,
        dec("20").into(),
        dec(net).into(),
        "EUR".into(),
    ]
}

fn rate(version: i64, from: i64, to: Option<i64>, price: &str) -> Row {
    let mut row: Row = vec![
        (100 + version).into(),
        1_i64.into(),
        "retail_eur".into(),
        version.into(),
        minute(from),
        to.map_or(Value::Null, minute),
        "out".into(),
        "".into(),
        "49".into(),
        "Germany".into(),
        "fixed".into(),
        "EUR".into(),
    ];
    for _ in 0..4 {
        row.extend([dec(price).into(), 60_i64.into(), 60_i64.into()]);
    }
    row.push(dec("0").into());
    row
}

pub(crate) async fn made_world() -> (World, Lake) {
    let world = World::new();
    let lake = world.open();
    let mut calls: Vec<RatedCdr> = CALLS.iter().enumerate().map(|(n, line)| made(n, line)).collect();
    calls.extend(odd_ones());
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let lane = |rows| vec![TableLane { partition: 0, position: 1, watermarks: Vec::new(), rows }];
    let events = vec![
        event(10, "registered", Some(42), "sip:42@192.0.2.10:5060"),
        event(900, "unregistered", Some(42), "sip:42@192.0.2.10:5060"),
        event(1000, "register_failed", None, "43660555001 from 198.51.100.7"),
        event(1001, "register_failed", None, "43660555001 from 198.51.100.7"),
        event(1500, "registered", Some(43), "sip:43@192.0.2.11:5060"),
    ];
    lake.append(&EVENTS, lane(events), world.now).await.unwrap();
    let of_call = posting(1, 30, "receivable:1001", "revenue:1", "15.171", "call");
    lake.append(&CALL_POSTINGS, lane(vec![of_call]), world.now).await.unwrap();
    let payment = posting(2, 600, "bank:1", "receivable:1001", "10", "payment");
    let all: [(&'static lake::Table, Vec<Row>); 6] = [
        (&OTHER_POSTINGS, vec![payment]),
        (
            &ALERTS,
            vec![
                alert(1, "night_spend", Some("fraud")),
                alert(2, "daily_spend", Some("clean")),
                alert(3, "daily_spend", None),
            ],
        ),
        (
            &INVOICES,
            vec![invoice(1, 1001, -9000, 60, "0.20", "sent"), invoice(2, 1002, -9000, 0, "0.90", "paid")],
        ),
        (&INVOICE_LINES, vec![usage_line(1, 1001, 2, "0.15"), usage_line(2, 1002, 1, "0.90")]),
        (&RATES, vec![rate(6, -9000, Some(0), "0.06"), rate(7, 0, None, "0.05")]),
        (&PREFIXES, lake::prefix_rows()),
    ];
    for (table, rows) in all {
        lake.replace(table, rows, "1".to_owned(), world.now).await.unwrap();
    }
    (world, lake)
}

#[tokio::test]
async fn every_delivered_query_answers() {
    let (_world, lake) = made_world().await;
    let mut page = "# The delivered queries\n\n<!-- made from lake/queries: UPDATE_EXPECT=1 cargo test -p lake every_delivered -->\n\n\
        `tollbook sql --list` names them, `tollbook sql --saved NAME [--from DAY] [--to DAY]` asks one, and the console has them on its page SQL. \
        The answers below are those of two made days, 2026-10-05 and 2026-10-06; `lake/queries/` has the statements.\n"
        .to_owned();
    for query in saved_queries() {
        let sql = query.statement(at(FIRST), at("2026-10-07T00:00:00Z"));
        let result = lake.query(&sql).await.unwrap_or_else(|why| panic!("{}: {why}", query.name));
        let mut answer = Vec::new();
        write_table(&result, &mut answer).unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert!(result.n_rows() > 0, "{} finds nothing in the made world", query.name);
        write!(
            page,
            "\n## {}\n\n`{}`, for {}. {}\n\n```\n{answer}```\n",
            query.title, query.name, query.audience, query.says
        )
        .unwrap();
    }
    expect_file!["../../../docs/queries.md"].assert_eq(&page);
}

#[test]
fn every_file_is_delivered_with_title_audience_and_meaning() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("queries");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().trim_end_matches(".sql").to_owned())
        .collect();
    files.sort();
    let mut names: Vec<&str> = saved_queries().iter().map(|query| query.name).collect();
    names.sort_unstable();
    assert_eq!(files, names);
    assert!(names.len() >= 30);
    for query in saved_queries() {
        assert!(["finance", "carriers", "analysts", "fraud"].contains(&query.audience), "{}", query.name);
        assert!(!query.title.is_empty() && query.says.ends_with('.'), "{}", query.name);
        assert_eq!(SavedQuery::named(query.name), Some(*query));
    }
}

#[tokio::test]
async fn delivered_queries_ask_for_the_period_alone() {
    let (_world, lake) = made_world().await;
    let query = SavedQuery::named("daily-close").unwrap();
    let days = |from: &str, to: &str| query.statement(at(from), at(to));
    let one = lake.query(&days("2026-10-05T00:00:00Z", "2026-10-06T00:00:00Z")).await.unwrap();
    let n_days = |result: &lake::QueryResult| {
        let mut days: Vec<_> = result.rows().into_iter().map(|row| row[0].clone()).collect();
        days.dedup();
        days.len()
    };
    assert_eq!(n_days(&one), 1);
    let none = lake.query(&days("2026-11-05T00:00:00Z", "2026-11-06T00:00:00Z")).await.unwrap();
    assert_eq!(none.n_rows(), 0);
}

#[tokio::test]
async fn marks_are_on_the_calls_that_showed_an_alert_and_on_later_ones_until_the_verdict() {
    let (_world, lake) = made_world().await;
    let numbers = async |sql: &str| -> Vec<u64> {
        let rows = lake.query(sql).await.unwrap().rows();
        rows.iter().map(|row| row[0].as_deref().unwrap().parse().unwrap()).collect()
    };
    // Of the alert found clean nothing is marked.
    let shown = "SELECT count(*) FROM call_marks WHERE because = 'shown' AND tag = 'irsf'";
    assert_eq!(numbers(shown).await, [2]);
    let marked =
        "SELECT count(*) FROM call_marks WHERE because = 'account' GROUP BY alert_id ORDER BY alert_id";
    let later =
        "SELECT count(*) FROM calls WHERE payer = 1002 AND start_at >= (SELECT min(begun_at) FROM alerts)";
    let before_verdict = format!("{later} AND start_at < TIMESTAMP '2026-10-06T09:00:00'");
    let expected = [numbers(&before_verdict).await, numbers(later).await].concat();
    assert!(expected[0] > 0, "there is something to mark");
    assert_eq!(numbers(marked).await, expected);
}
