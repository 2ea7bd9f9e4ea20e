//! The tables beside the calls: what they are made of, that each row comes once, and that what was replaced is gone.

use expect_test::expect;
use lake::tables::{ALERTS, CALL_POSTINGS, EVENTS, MIRRORED, OTHER_POSTINGS, PREFIXES};
use lake::{Access, Lake, LakeError, Row, TableLane, Value};

use crate::world::{World, ask, at, call, charge, dec, lines, rows, tree, unanswered};

fn event(n: u32, kind: &str) -> Row {
    vec![
        format!("sw1-1-{n}").into(),
        1_i64.into(),
        1001_i64.into(),
        Some(42_i64).into(),
        kind.into(),
        "".into(),
        kind.into(),
        "sip:43660555123@192.0.2.10:5060".into(),
        at("2026-10-05T08:00:00Z").into(),
        Value::Null,
        Some("9b2e2c8e").into(),
        Some("43660555123").into(),
    ]
}

pub(crate) fn posting(id: u32, reason: &str, cdr: Option<&str>) -> Row {
    vec![
        format!("{id:032x}").into(),
        1_i64.into(),
        1001_i64.into(),
        at("2026-10-05T08:00:00Z").into(),
        "receivable:1001".into(),
        "revenue:1".into(),
        dec("0.109708").into(),
        "EUR".into(),
        reason.into(),
        cdr.into(),
        Value::Null,
    ]
}

fn lane(position: u64, rows: Vec<Row>) -> Vec<TableLane> {
    vec![TableLane { partition: 0, position, watermarks: Vec::new(), rows }]
}

#[tokio::test]
async fn every_table_is_there_as_documented() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    let known = lines(
        &lake,
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1",
    )
    .await;
    let mut documented: Vec<_> =
        lake::table_docs(&Access::WHOLE).into_iter().map(|table| table.name.to_owned()).collect();
    documented.sort();
    assert_eq!(known, documented);
    for table in lake::table_docs(&Access::WHOLE) {
        let found = lines(
            &lake,
            &format!(
                "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{}' \
                 ORDER BY ordinal_position",
                table.name
            ),
        )
        .await;
        let expected: Vec<String> = table
            .columns
            .iter()
            .map(|column| {
                let arrow = match column.sql_type {
                    "VARCHAR" => "Utf8View",
                    "BIGINT" => "Int64",
                    "BOOLEAN" => "Boolean",
                    "TIMESTAMP(6)" => "Timestamp(µs)",
                    "DATE" => "Date32",
                    "DECIMAL(18,6)" => "Decimal128(18, 6)",
                    "DECIMAL(28,12)" => "Decimal128(28, 12)",
                    other => panic!("{other}"),
                };
                format!("{} | {arrow}", column.name)
            })
            .collect();
        // Words of our own views are plain texts.
        let found: Vec<_> = found
            .into_iter()
            .map(|line| if line.ends_with("| Utf8") { line + "View" } else { line })
            .collect();
        assert_eq!(found, expected, "{}", table.name);
        let described = ask(
            &lake,
            &format!(
                "SELECT count(*) FROM documentation WHERE table_name = '{}' AND meaning <> ''",
                table.name
            ),
        )
        .await;
        assert_eq!(described, table.columns.len().to_string(), "{}", table.name);
    }
}

#[tokio::test]
async fn charges_are_one_row_for_each_party_of_a_call() {
    let world = World::new();
    let lake = world.open();
    let mut incoming = call("b", "2026-10-05T09:00:00Z");
    incoming.charges = vec![charge(model::Provider::Carrier, 9002, "0.008")];
    incoming.charges[0].direction = model::Direction::In;
    let calls = vec![call("a", "2026-10-05T08:00:00Z"), incoming, unanswered("c", "2026-10-05T10:00:00Z")];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    let shown = lines(
        &lake,
        "SELECT call_id, provider, direction, account, cost, currency, zone, zone_detail, prefix, tariff, tariff_version, \
         billed_seconds, onpeak_seconds FROM charges ORDER BY call_id, cost DESC",
    )
    .await;
    expect![[r#"
        a | customer | out | 1001 | 0.109708 | EUR | Germany | fixed | 49 | retail_eur | 7 | 132 | 132
        a | reseller | out | 11 | 0.066000 | EUR | Germany | fixed | 49 | retail_eur | 7 | 132 | 132
        a | carrier | out | 9001 | 0.030717 | EUR | Germany | fixed | 49 | retail_eur | 7 | 132 | 132
        b | carrier | in | 9002 | 0.008000 | EUR | Germany | fixed | 49 | retail_eur | 7 | 132 | 132"#]]
    .assert_eq(&shown.join("\n"));
    // A correction does not count twice.
    let mut corrected = call("a", "2026-10-05T08:00:00Z");
    corrected.cdr.revision = 1;
    corrected.charges.truncate(1);
    lake.commit(rows(2, vec![corrected]), world.now).await.unwrap();
    let counted = lines(&lake, "SELECT provider, count(*) FROM charges GROUP BY 1 ORDER BY 1").await;
    assert_eq!(counted, ["carrier | 1", "customer | 1"]);
    assert_eq!(ask(&lake, "SELECT sum(cost) FROM charges WHERE provider <> 'carrier'").await, "0.109708");
    // A condition on the party leaves the others unread.
    let plan =
        lines(&lake, "EXPLAIN SELECT sum(cost) FROM charges WHERE provider = 'carrier'").await.join("\n");
    assert!(plan.contains("carrier_cost") && !plan.contains("customer_cost"), "{plan}");
}

#[tokio::test]
async fn attempts_are_one_row_for_each_route_tried() {
    let world = World::new();
    let lake = world.open();
    let mut tried = call("a", "2026-10-05T08:00:00Z");
    let answered = tried.cdr.attempts[0].clone();
    let party = model::Party::Subscriber {
        subscriber: model::SubscriberId(43),
        account: model::AccountId(1002),
        reseller: model::AccountId::NOBODY,
        uuid: "".into(),
    };
    let refused = model::RouteTry { code: 503, pdd_us: None, ..answered.clone() };
    let busy = model::RouteTry { attempt: 2, code: 486, party, ..answered.clone() };
    tried.cdr.attempts = vec![refused, busy, model::RouteTry { attempt: 3, ..answered }];
    let mut never = unanswered("b", "2026-10-05T09:00:00Z");
    never.cdr.attempts.clear();
    lake.commit(rows(1, vec![tried, never]), world.now).await.unwrap();
    let shown = lines(
        &lake,
        "SELECT call_id, attempt, trunk, subscriber, code, class, pdd_ms FROM attempts ORDER BY attempt",
    )
    .await;
    expect![[r#"
        a | 1 | 3 | NULL | 503 | network | NULL
        a | 2 | NULL | 43 | 486 | callee | 1240
        a | 3 | 3 | NULL | 200 | answered | 1240"#]]
    .assert_eq(&shown.join("\n"));
}

#[tokio::test]
async fn rows_from_the_bus_come_once_and_their_position_with_them() {
    let world = World::new();
    let lake = world.open();
    lake.append(&EVENTS, lane(1, vec![event(1, "registered")]), world.now).await.unwrap();
    let again = lake.append(&EVENTS, lane(1, vec![event(1, "registered")]), world.now).await.unwrap_err();
    assert!(matches!(again, LakeError::Replayed { .. }), "{again}");
    // Another table of another topic has positions of its own.
    lake.append(&CALL_POSTINGS, lane(1, vec![posting(1, "call", Some("aa"))]), world.now).await.unwrap();
    drop(lake);
    let lake = world.open();
    assert_eq!(lake.table_positions(&EVENTS).unwrap().lane(0).unwrap().position, 1);
    lake.append(&EVENTS, lane(2, vec![event(2, "register_failed"), event(3, "trunk_state")]), world.now)
        .await
        .unwrap();
    assert_eq!(
        lines(&lake, "SELECT event_id, kind FROM events ORDER BY 1").await,
        ["sw1-1-1 | registered", "sw1-1-2 | register_failed", "sw1-1-3 | trunk_state"]
    );
    let registrations =
        lines(&lake, "SELECT subscriber, outcome, at FROM registrations ORDER BY event_id").await;
    assert_eq!(
        registrations,
        ["42 | registered | 2026-10-05T08:00:00", "42 | refused | 2026-10-05T08:00:00"]
    );
    // The calls know nothing of it.
    assert_eq!(lake.count_rows().unwrap(), 0);
    assert!(lake.positions().unwrap().lane(0).is_none());
}

#[tokio::test]
async fn what_the_database_holds_is_replaced_as_a_whole() {
    let world = World::new();
    let lake = world.open();
    lake.append(&CALL_POSTINGS, lane(1, vec![posting(1, "call", Some("aa"))]), world.now).await.unwrap();
    lake.replace(&OTHER_POSTINGS, vec![posting(2, "payment", None)], "1".to_owned(), world.now)
        .await
        .unwrap();
    let two = vec![posting(2, "payment", None), posting(3, "adjustment", None)];
    lake.replace(&OTHER_POSTINGS, two, "2".to_owned(), world.now).await.unwrap();
    assert_eq!(lake.table_mark(&OTHER_POSTINGS).unwrap(), "2");
    let shown = lines(&lake, "SELECT reason, amount FROM postings ORDER BY posting_id").await;
    assert_eq!(shown, ["call | 0.109708", "payment | 0.109708", "adjustment | 0.109708"]);
    assert_eq!(
        tree(&world.path()).into_iter().filter(|path| path.ends_with("parquet")).collect::<Vec<_>>(),
        [
            "retired/other_postings-part-0000000002.parquet",
            "tables/call_postings/part-0000000001.parquet",
            "tables/other_postings/part-0000000003.parquet"
        ]
    );
    // Nothing is left of it after its time.
    lake.compact(world.now + chrono::TimeDelta::hours(1)).await.unwrap();
    assert!(!tree(&world.path()).iter().any(|path| path.starts_with("retired")));
    // No rows are rows too.
    lake.replace(&OTHER_POSTINGS, Vec::new(), "0".to_owned(), world.now).await.unwrap();
    assert_eq!(ask(&lake, "SELECT count(*) FROM postings").await, "1");
}

#[tokio::test]
async fn small_files_of_a_table_are_merged_and_no_row_is_lost() {
    let world = World::new();
    let lake = world.open();
    for n in 1..=9 {
        lake.append(&EVENTS, lane(u64::from(n), vec![event(n, "registered")]), world.now).await.unwrap();
    }
    let before = lines(&lake, "SELECT event_id FROM events ORDER BY 1").await;
    while lake.compact(world.now).await.unwrap().files_before > 0 {}
    assert_eq!(lines(&lake, "SELECT event_id FROM events ORDER BY 1").await, before);
    assert_eq!(before.len(), 9);
    let files = tree(&world.path()).into_iter().filter(|path| path.starts_with("tables/events/")).count();
    assert!(files <= 3, "{files} files");
    drop(lake);
    assert_eq!(world.open().count_table_rows(&EVENTS).unwrap(), 9);
}

#[tokio::test]
async fn lost_file_of_a_table_is_not_passed_over() {
    let world = World::new();
    let lake = world.open();
    lake.append(&EVENTS, lane(1, vec![event(1, "registered")]), world.now).await.unwrap();
    drop(lake);
    let path = tree(&world.path()).into_iter().find(|path| path.starts_with("tables/")).unwrap();
    std::fs::remove_file(world.path().join(path)).unwrap();
    assert!(matches!(Lake::open(world.config()), Err(LakeError::FileMissing { .. })));
}

#[tokio::test]
async fn unfinished_file_of_a_table_is_cleared_away() {
    let world = World::new();
    drop(world.open());
    let folder = world.path().join("tables/events");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join(".tmp-part-0000000001"), b"torn").unwrap();
    std::fs::write(folder.join("part-0000000009.parquet"), b"foreign").unwrap();
    drop(world.open());
    let left: Vec<_> = tree(&world.path()).into_iter().filter(|path| path.contains("part-")).collect();
    assert_eq!(left, ["strays/events-0-part-0000000009.parquet"]);
}

#[tokio::test]
async fn row_that_does_not_fit_is_refused_by_its_column() {
    let mut wrong = posting(1, "call", None);
    wrong[6] = dec("0.1234567").into();
    let why = CALL_POSTINGS.check(&wrong).unwrap_err();
    assert_eq!(why.to_string(), "table call_postings: amount cannot hold 0.1234567");
    wrong[6] = Value::Null;
    assert!(matches!(CALL_POSTINGS.check(&wrong), Err(LakeError::Internal { .. })));
    assert!(ALERTS.check(&Vec::new()).is_err());
}

#[tokio::test]
async fn number_leads_to_its_country() {
    let world = World::new();
    let lake = world.open();
    lake.replace(&PREFIXES, lake::prefix_rows(), "1".to_owned(), world.now).await.unwrap();
    let places = lines(
        &lake,
        "SELECT n.number, p.prefix, p.country, p.name, p.region, p.type, p.is_eu \
         FROM (VALUES ('43660555123'), ('436605…23'), ('4930555123'), ('12425550123'), ('12025550123'), ('88216555123'), \
         ('77015550123'), ('112'), ('alice')) AS n(number) LEFT JOIN prefixes p ON p.prefix = number_prefix(n.number) ORDER BY n.number",
    )
    .await;
    expect![[r#"
        112 | NULL | NULL | NULL | NULL | NULL | NULL
        12025550123 | 1 | US | United States | north_america | any | false
        12425550123 | 1242 | BS | Bahamas | caribbean | any | false
        43660555123 | 43660 | AT | Austria | europe | mobile | true
        436605…23 | 43660 | AT | Austria | europe | mobile | true
        4930555123 | 49 | DE | Germany | europe | any | true
        77015550123 | 77 | KZ | Kazakhstan | asia | any | false
        88216555123 | 88216 | NULL | Thuraya | global | satellite | false
        alice | NULL | NULL | NULL | NULL | NULL | NULL"#]]
    .assert_eq(&places.join("\n"));
}

#[test]
fn every_table_has_a_meaning_and_no_column_comes_twice() {
    for table in MIRRORED {
        let mut names: Vec<_> = table.columns.iter().map(|column| column.doc.name).collect();
        assert!(!table.meaning.is_empty());
        assert!(table.columns.iter().all(|column| !column.doc.meaning.is_empty()), "{}", table.name);
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), table.columns.len(), "{}", table.name);
    }
}
