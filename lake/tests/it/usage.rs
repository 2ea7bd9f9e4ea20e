//! What invoices are made of.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use lake::{DayUsage, IncomingUsage, Lake, PayingSide, UsageLine};
use model::{AccountId, Cause, Currency, Direction, Provider};

use crate::world::{World, at, call, charge, dec, rows, tree, unanswered};

const CUSTOMER: AccountId = AccountId(1001);

async fn october(lake: &Lake) -> Vec<UsageLine> {
    lake.usage(CUSTOMER, at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z")).await.unwrap()
}

fn line(zone: &str, calls: u64, cost: &str, currency: &str) -> UsageLine {
    UsageLine {
        zone: zone.to_owned(),
        zone_detail: "fixed".to_owned(),
        calls,
        billed_seconds: 132 * calls,
        cost: dec(cost),
        currency: currency.parse().unwrap(),
    }
}

#[tokio::test]
async fn period_takes_in_its_first_instant_and_leaves_out_its_last() {
    let world = World::new();
    let lake = world.open();
    let calls = vec![
        call("before", "2026-09-30T23:59:59.999999Z"),
        call("first", "2026-10-01T00:00:00Z"),
        call("last", "2026-10-31T23:59:59.999999Z"),
        call("after", "2026-11-01T00:00:00Z"),
        unanswered("busy", "2026-10-05T08:00:00Z"),
    ];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    assert_eq!(october(&lake).await, [line("Germany", 2, "0.219416", "EUR")]);
}

#[tokio::test]
async fn correction_counts_instead_of_what_it_corrects() {
    let world = World::new();
    let lake = world.open();
    let mut corrected = call("a", "2026-10-05T08:00:00Z");
    corrected.cdr.revision = 1;
    corrected.charges[0].cost = dec("0.05");
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    lake.commit(rows(2, vec![corrected]), world.now).await.unwrap();
    assert_eq!(october(&lake).await, [line("Germany", 1, "0.05", "EUR")]);
    // A correction that takes the price away leaves nothing to bill.
    let mut free = call("a", "2026-10-05T08:00:00Z");
    free.cdr.revision = 2;
    free.charges.clear();
    lake.commit(rows(3, vec![free]), world.now).await.unwrap();
    assert_eq!(october(&lake).await, []);
}

#[tokio::test]
async fn zones_and_currencies_are_not_mixed_and_other_accounts_not_billed() {
    let world = World::new();
    let lake = world.open();
    let mut france = call("a", "2026-10-05T08:00:00Z");
    france.charges[0].zone = "France".to_owned();
    let mut dollars = call("b", "2026-10-05T08:00:00Z");
    dollars.charges[0].currency = "USD".parse().unwrap();
    let mut other = call("c", "2026-10-05T08:00:00Z");
    other.charges = vec![charge(Provider::Customer, 1002, "1")];
    lake.commit(rows(1, vec![france, dollars, other, call("d", "2026-10-05T08:00:00Z")]), world.now)
        .await
        .unwrap();
    assert_eq!(
        october(&lake).await,
        [
            line("France", 1, "0.109708", "EUR"),
            line("Germany", 1, "0.109708", "EUR"),
            line("Germany", 1, "0.109708", "USD")
        ]
    );
}

#[tokio::test]
async fn incoming_fees_are_summed_apart_from_outgoing_calls() {
    let world = World::new();
    let lake = world.open();
    let incoming = |uid: &str, cost: &str, currency: &str| {
        let mut rated = call(uid, "2026-10-05T08:00:00Z");
        let mut fee = charge(Provider::Customer, 1001, cost);
        fee.direction = Direction::In;
        fee.currency = currency.parse().unwrap();
        rated.charges = vec![fee];
        rated
    };
    let calls = vec![incoming("a", "0.01", "EUR"), incoming("b", "0.02", "EUR"), incoming("c", "0", "EUR")];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let sum = lake.incoming(CUSTOMER, from, to).await.unwrap();
    assert_eq!(
        (sum.calls, sum.billed_seconds, sum.cost, sum.currency),
        (2, 264, dec("0.03"), Some(Currency::EUR))
    );
    assert_eq!(october(&lake).await, []);
    assert_eq!(lake.incoming(AccountId(5), from, to).await.unwrap(), IncomingUsage::default());
    lake.commit(rows(2, vec![incoming("d", "0.03", "USD")]), world.now).await.unwrap();
    let mixed = lake.incoming(CUSTOMER, from, to).await.unwrap_err();
    assert_eq!(
        mixed.to_string(),
        "account 1001 has costs in EUR and USD in one period; bill each currency apart"
    );
}

#[tokio::test]
async fn call_list_holds_the_calls_that_are_summed_up_oldest_first() {
    let world = World::new();
    let lake = world.open();
    let mut other = call("c", "2026-10-05T08:00:00Z");
    other.charges = vec![charge(Provider::Customer, 1002, "1")];
    let calls = vec![
        call("b", "2026-10-31T23:59:59.999999Z"),
        call("a", "2026-10-01T00:00:00Z"),
        call("d", "2026-11-01T00:00:00Z"),
        unanswered("e", "2026-10-07T00:00:00Z"),
        other,
    ];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let mut listed = lake.billed_calls(&[CUSTOMER], PayingSide::Caller, from, to).await.unwrap();
    let listed = listed.remove(&CUSTOMER).unwrap();
    let starts: Vec<_> = listed.iter().map(|call| call.start_at).collect();
    assert_eq!(starts, [from, at("2026-10-31T23:59:59.999999Z")]);
    assert_eq!((listed[0].zone.as_str(), listed[0].cost), ("Germany", dec("0.109708")));
    assert_eq!((listed[0].destination.as_str(), listed[0].duration_seconds), ("4930555123", dec("131.65")));
    let summed = lake.usage(CUSTOMER, from, to).await.unwrap();
    let cost: rust_decimal::Decimal = listed.iter().map(|call| call.cost).sum();
    assert_eq!((summed[0].calls, summed[0].cost), (2, cost));
}

#[tokio::test]
async fn days_are_those_of_the_accounts_zone_and_sum_up_to_the_month() {
    let world = World::new();
    let lake = world.open();
    let calls = vec![
        // The last minute of the 5th in Vienna, the first of the 6th, and one on the day of the clock change.
        call("a", "2026-10-05T21:59:59.999999Z"),
        call("b", "2026-10-05T22:00:00Z"),
        call("c", "2026-10-24T22:30:00Z"),
        call("d", "2026-10-25T22:59:00Z"),
        call("e", "2026-10-25T23:00:00Z"),
    ];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let by_day = async |timezone: &str| {
        let mut days = days_of(&lake, CUSTOMER, PayingSide::Caller, timezone).await;
        days.drain(..).map(|day| format!("{} {}", day.day.format("%d"), day.line.calls)).collect::<Vec<_>>()
    };
    assert_eq!(by_day("Europe/Vienna").await, ["05 1", "06 1", "25 2", "26 1"]);
    // Five hours and three quarters before UTC.
    assert_eq!(by_day("Asia/Kathmandu").await, ["06 2", "25 1", "26 2"]);
    // A zone that changes its clocks by half an hour, south of the equator.
    assert_eq!(by_day("Australia/Lord_Howe").await, ["06 2", "25 1", "26 2"]);
    let days = days_of(&lake, CUSTOMER, PayingSide::Caller, "Europe/Vienna").await;
    let summed = lake.usage(CUSTOMER, from, to).await.unwrap();
    let cost: rust_decimal::Decimal = days.iter().map(|day| day.line.cost).sum();
    assert_eq!((summed[0].calls, summed[0].cost), (5, cost));
    for side in [PayingSide::Called, PayingSide::CallersReseller, PayingSide::CalledReseller] {
        assert_eq!(days_of(&lake, CUSTOMER, side, "UTC").await, []);
    }
}

async fn days_of(lake: &Lake, account: AccountId, side: PayingSide, timezone: &str) -> Vec<DayUsage> {
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let mut found = lake.usage_by_day(&[account], side, from, to, timezone.parse().unwrap()).await.unwrap();
    found.remove(&account).unwrap_or_default()
}

#[tokio::test]
async fn each_of_several_accounts_gets_its_own_days_whatever_side_it_pays_on() {
    let world = World::new();
    let lake = world.open();
    let (reseller, other) = (AccountId(11), AccountId(1002));
    let mut sold = call("a", "2026-10-05T08:00:00Z");
    sold.charges.push(charge(Provider::Reseller, reseller.0, "0.066"));
    let mut received = call("b", "2026-10-06T08:00:00Z");
    let mut fee = charge(Provider::Reseller, reseller.0, "0.004");
    fee.direction = Direction::In;
    received.charges = vec![charge(Provider::Customer, other.0, "1"), fee];
    lake.commit(rows(1, vec![sold, received]), world.now).await.unwrap();
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let accounts = [CUSTOMER, reseller, other];
    let mut shown = Vec::new();
    for side in PayingSide::ALL {
        let found = lake.usage_by_day(&accounts, side, from, to, chrono_tz::UTC).await.unwrap();
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|(account, _)| *account);
        for (account, days) in found {
            let days: Vec<_> =
                days.iter().map(|day| format!("{} {} {}", day.day, day.line.zone, day.line.cost)).collect();
            shown.push(format!("{side:?} {account}: {}", days.join(", ")));
        }
    }
    expect_test::expect![[r#"
        Caller 1001: 2026-10-05 Germany 0.109708
        Caller 1002: 2026-10-06 Germany 1
        CallersReseller 11: 2026-10-05 Germany 0.066
        CalledReseller 11: 2026-10-06  0.004"#]]
    .assert_eq(&shown.join("\n"));
    let none = lake.usage_by_day(&[], PayingSide::Caller, from, to, chrono_tz::UTC).await.unwrap();
    assert_eq!(none.len(), 0);
    let listed = lake.billed_calls(&[reseller], PayingSide::CallersReseller, from, to).await.unwrap();
    assert_eq!(listed[&reseller].iter().map(|call| call.cost).collect::<Vec<_>>(), [dec("0.066")]);
}

#[tokio::test]
async fn month_without_calls_has_no_lines() {
    let world = World::new();
    assert_eq!(october(&world.open()).await, []);
}

#[tokio::test]
async fn calls_of_an_account_come_newest_first_up_to_the_limit() {
    let world = World::new();
    let lake = world.open();
    let mut incoming = unanswered("in", "2026-10-05T11:00:00Z");
    incoming.cdr.payer = AccountId(5);
    std::mem::swap(&mut incoming.cdr.source.party, &mut incoming.cdr.destination.party);
    let calls = vec![call("a", "2026-10-05T08:00:00.5Z"), incoming, call("b", "2026-10-05T10:00:00Z")];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let (from, to) = (at("2026-10-05T00:00:00Z"), at("2026-10-06T00:00:00Z"));
    let calls = lake.calls_of(CUSTOMER, from, to, 10).await.unwrap();
    let starts: Vec<_> = calls.iter().map(|call| call.start_at).collect();
    assert_eq!(
        starts,
        [at("2026-10-05T11:00:00Z"), at("2026-10-05T10:00:00Z"), at("2026-10-05T08:00:00.5Z")]
    );
    assert_eq!((calls[0].cost, calls[0].code, calls[0].status.as_str()), (None, 486, "busy"));
    assert_eq!(calls[2].cost, Some((dec("0.109708"), Currency::EUR)));
    assert_eq!((calls[2].duration_seconds, calls[2].destination.as_str()), (dec("131.65"), "4930555123"));
    assert_eq!(lake.calls_of(CUSTOMER, from, to, 1).await.unwrap(), calls[..1]);
}

#[tokio::test]
async fn call_that_is_still_up_is_told_until_its_end_has_come() {
    let world = World::new();
    let lake = world.open();
    let up = async || {
        let accounts = [CUSTOMER, AccountId(5)];
        lake.in_progress(&accounts, at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z")).await.unwrap()
    };
    let mut interim = call("a", "2026-10-31T23:50:00Z");
    interim.cdr.partial = true;
    interim.cdr.cause = Cause::InProgress;
    lake.commit(rows(1, vec![call("b", "2026-10-05T08:00:00Z"), interim]), world.now).await.unwrap();
    assert_eq!(up().await, HashMap::from([(CUSTOMER, 1)]));
    let mut ended = call("a", "2026-10-31T23:50:00Z");
    ended.cdr.revision = 1;
    lake.commit(rows(2, vec![ended]), world.now).await.unwrap();
    assert_eq!(up().await, HashMap::new());
}

/// Takes a column out of every file of calls, as files of an earlier release are without it.
fn drop_column(world: &World, name: &str) {
    let manifest = world.path().join("manifest.json");
    for path in
        tree(&world.path()).iter().filter(|path| path.starts_with("cdrs") && path.ends_with(".parquet"))
    {
        let path = world.path().join(path);
        let n_bytes = || std::fs::metadata(&path).unwrap().len();
        let before = n_bytes();
        let builder = ParquetRecordBatchReaderBuilder::try_new(std::fs::File::open(&path).unwrap()).unwrap();
        let batches: Vec<_> = builder.build().unwrap().map(|batch| batch.unwrap()).collect();
        let fields = batches[0].schema();
        let dropped = fields.index_of(name).unwrap();
        let kept: Vec<usize> = (0..fields.fields().len()).filter(|idx| *idx != dropped).collect();
        let file = std::fs::File::create(&path).unwrap();
        let schema = Arc::new(fields.project(&kept).unwrap());
        let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
        for batch in batches {
            writer.write(&batch.project(&kept).unwrap()).unwrap();
        }
        writer.close().unwrap();
        let said = std::fs::read_to_string(&manifest).unwrap();
        let said = said.replace(&format!("\"bytes\":{before}"), &format!("\"bytes\":{}", n_bytes()));
        std::fs::write(&manifest, said).unwrap();
    }
}

#[tokio::test]
async fn calls_older_than_the_column_of_billed_seconds_are_summed_up_without_them() {
    let world = World::new();
    world.open().commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    drop_column(&world, "reseller_billed_seconds");
    let lake = world.open();
    let (from, to) = (at("2026-10-01T00:00:00Z"), at("2026-11-01T00:00:00Z"));
    let side = PayingSide::CallersReseller;
    let found = lake.usage_by_day(&[AccountId(11)], side, from, to, chrono_tz::UTC).await.unwrap();
    let lines: Vec<_> = found[&AccountId(11)].iter().map(|day| &day.line).collect();
    let [line] = lines[..] else { panic!("{lines:?}") };
    assert_eq!((line.calls, line.billed_seconds, line.cost), (1, 0, dec("0.066")));
}
