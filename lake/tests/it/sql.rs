//! What an analyst meets: read-only SQL with useful errors.

use expect_test::{Expect, expect};
use lake::{Lake, write_csv, write_json, write_table};

use crate::world::{World, ask, call, dec, lines, rows, unanswered};

async fn filled() -> (World, Lake) {
    let world = World::new();
    let lake = world.open();
    let calls = vec![call("a", "2026-10-05T08:00:00.25Z"), unanswered("b", "2026-10-05T09:00:00Z")];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    (world, lake)
}

async fn check_error(lake: &Lake, sql: &str, code: &str, expected: Expect) {
    let error = lake.query(sql).await.unwrap_err();
    expected.assert_eq(&error.to_string());
    assert_eq!(error.code(), code, "{sql}");
    assert!(error.is_users_input(), "{sql}");
}

#[tokio::test]
async fn higher_revision_supersedes_and_history_keeps_both() {
    let world = World::new();
    let lake = world.open();
    let mut partial = call("a", "2026-10-05T08:00:00Z");
    partial.cdr.partial = true;
    let mut corrected = call("a", "2026-10-05T08:00:00Z");
    corrected.cdr.revision = 1;
    corrected.charges[0].cost = dec("0.2");
    // The last correction also moves the call to the day before.
    let mut moved = call("a", "2026-10-04T23:59:59Z");
    moved.cdr.revision = 2;
    moved.charges[0].cost = dec("0.3");
    for (n, rated) in [partial, moved, corrected].into_iter().enumerate() {
        let position = n as u64 + 1;
        lake.commit(
            rows(position, vec![rated, call(&format!("other-{n}"), "2026-10-05T08:00:00Z")]),
            world.now,
        )
        .await
        .unwrap();
    }
    let newest = "SELECT day, revision, customer_cost FROM calls WHERE call_id = 'a'";
    assert_eq!(lines(&lake, newest).await, ["2026-10-04 | 2 | 0.300000"]);
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls").await, "4");
    assert_eq!(ask(&lake, "SELECT count(*) FROM calls_history").await, "6");
    lake.compact(world.now).await.unwrap();
    assert_eq!(lines(&lake, newest).await, ["2026-10-04 | 2 | 0.300000"]);
    // The corrections, which are few, are the side of the join that is held in memory.
    let plan = lines(&lake, "EXPLAIN SELECT count(codec) FROM calls").await.join("\n");
    assert!(plan.contains("join_type=RightAnti"), "{plan}");
}

#[tokio::test]
async fn sums_of_money_are_exact() {
    let world = World::new();
    let lake = world.open();
    let calls = (0..1000)
        .map(|n| {
            let mut rated = call(&format!("sw1-1-{n}"), "2026-10-05T08:00:00Z");
            rated.charges[0].cost = dec("0.1");
            rated
        })
        .collect();
    lake.commit(rows(1, calls), world.now).await.unwrap();
    assert_eq!(ask(&lake, "SELECT sum(customer_cost) FROM calls").await, "100.000000");
    assert_eq!(ask(&lake, "SELECT sum(customer_cost) * 0.2 = 20 FROM calls").await, "true");
    assert_eq!(ask(&lake, "SELECT sum(duration_seconds) FROM calls").await, "131650.000000");
}

#[tokio::test]
async fn time_is_compared_and_cut_as_utc() {
    let (_world, lake) = filled().await;
    let hour = "SELECT count(*) FROM calls WHERE start_at >= '2026-10-05T08:00:00.25' AND start_at < '2026-10-05 09:00:00'";
    assert_eq!(ask(&lake, hour).await, "1");
    assert_eq!(
        ask(&lake, "SELECT count(*) FROM calls WHERE start_at > now() + interval '100 years'").await,
        "0"
    );
    let by_hour = "SELECT date_trunc('hour', start_at) AS hour, count(*) FROM calls GROUP BY 1 ORDER BY 1";
    assert_eq!(lines(&lake, by_hour).await, ["2026-10-05T08:00:00 | 1", "2026-10-05T09:00:00 | 1"]);
}

#[tokio::test]
async fn condition_on_day_or_start_leaves_the_other_files_unopened() {
    let world = World::new();
    let lake = world.open();
    for n in 1..=9 {
        lake.commit(rows(n, vec![call(&n.to_string(), &format!("2026-10-0{n}T08:00:00Z"))]), world.now)
            .await
            .unwrap();
    }
    for (condition, n_files, n_rows) in [
        ("day = '2026-10-03'", 1, "1"),
        ("day BETWEEN '2026-10-03' AND '2026-10-05'", 3, "3"),
        ("start_at >= '2026-10-08T07:59:59' AND payer = 1001", 2, "2"),
        ("start_at < '2026-10-01T08:00:00'", 0, "0"),
        ("date_trunc('day', start_at) = '2026-10-04'", 9, "1"),
        ("call_id = '7'", 1, "1"),
        ("day = '2026-10-03' OR call_id = '7'", 9, "2"),
    ] {
        let sql = format!("SELECT count(codec) FROM calls WHERE {condition}");
        assert_eq!(ask(&lake, &sql).await, n_rows, "{condition}");
        let plan = lines(&lake, &format!("EXPLAIN {sql}")).await.join("\n");
        assert_eq!(plan.matches(".parquet").count(), n_files, "{condition}: {plan}");
    }
}

#[tokio::test]
async fn period_of_whole_days_is_decided_by_files() {
    let world = World::new();
    let lake = world.open();
    for day in 1..=3 {
        let calls = ["00:00:00", "23:59:59.999999"]
            .map(|time| call(&format!("{day}-{time}"), &format!("2026-10-0{day}T{time}Z")));
        lake.commit(rows(day, calls.into()), world.now).await.unwrap();
    }
    for (condition, n_rows, looks_at_rows) in [
        ("start_at >= '2026-10-02' AND start_at < '2026-10-03'", "2", false),
        ("start_at >= '2026-10-02'", "4", false),
        ("start_at > '2026-10-02T00:00:00'", "3", true),
        ("start_at <= '2026-10-02T23:59:59.999999'", "4", false),
        ("start_at < '2026-10-02T23:59:59.999999'", "3", true),
        ("start_at BETWEEN '2026-10-02' AND '2026-10-03'", "3", true),
        ("NOT (start_at < '2026-10-02')", "4", false),
        ("day = '2026-10-02'", "2", false),
        ("day <> '2026-10-02'", "4", false),
        ("day IN ('2026-10-01', '2026-10-03') AND start_at < '2026-10-02'", "2", false),
        ("day = '2026-10-02' OR start_at >= '2026-10-03T12:00:00'", "3", true),
        ("day = '2026-10-02' OR payer = 1", "2", true),
        ("date_part('hour', start_at) = 0 AND day > '2026-10-01'", "2", true),
    ] {
        let sql = format!("SELECT count(source_number) FROM calls WHERE {condition}");
        assert_eq!(ask(&lake, &sql).await, n_rows, "{condition}");
        assert_eq!(
            ask(&lake, &format!("SELECT count(*) FROM calls WHERE {condition}")).await,
            n_rows,
            "{condition}"
        );
        let plan = lines(&lake, &format!("EXPLAIN {sql}")).await.join("\n");
        assert_eq!(plan.contains("FilterExec"), looks_at_rows, "{condition}: {plan}");
    }
}

#[tokio::test]
async fn tables_and_columns_describe_themselves() {
    let (_world, lake) = filled().await;
    assert!(lake.query("SHOW TABLES").await.unwrap().n_rows() >= 3);
    let columns = lake.query("DESCRIBE calls").await.unwrap().rows();
    assert_eq!(columns.len(), lake::columns().len());
    let documented: Vec<_> = lake::columns().iter().map(|column| column.name.to_owned()).collect();
    assert_eq!(columns.into_iter().map(|row| row[0].clone().unwrap()).collect::<Vec<_>>(), documented);
    let meaning = "SELECT unit FROM documentation WHERE table_name = 'calls' AND column_name = 'pdd_ms'";
    assert_eq!(ask(&lake, meaning).await, "milliseconds");
}

#[tokio::test]
async fn statements_that_change_something_are_refused() {
    let (world, lake) = filled().await;
    let target = world.dir.path().join("out");
    for sql in [
        "DROP TABLE calls".to_owned(),
        "CREATE TABLE mine AS SELECT * FROM calls".to_owned(),
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc/passwd'".to_owned(),
        "INSERT INTO calls_history SELECT * FROM calls_history".to_owned(),
        "DELETE FROM calls_history".to_owned(),
        "UPDATE calls_history SET code = 1".to_owned(),
        format!("COPY calls TO '{}' STORED AS PARQUET", target.display()),
        format!("EXPLAIN ANALYZE COPY calls TO '{}' STORED AS PARQUET", target.display()),
        "SET datafusion.execution.batch_size = 1".to_owned(),
        "PREPARE p AS SELECT 1".to_owned(),
    ] {
        let error = lake.query(&sql).await.unwrap_err();
        assert_eq!(error.code(), "LAK016", "{sql}: {error}");
    }
    assert!(!target.exists());
    check_error(
        &lake,
        "DROP TABLE calls",
        "LAK016",
        expect![
            "the lake is read-only: DropTable is not allowed; use SELECT, SHOW TABLES, DESCRIBE or EXPLAIN"
        ],
    )
    .await;
}

#[tokio::test]
async fn files_outside_the_lake_cannot_be_read() {
    let (world, lake) = filled().await;
    for path in ["/etc/passwd".to_owned(), world.path().join("manifest.json").display().to_string()] {
        assert_eq!(lake.query(&format!("SELECT * FROM '{path}'")).await.unwrap_err().code(), "LAK017");
        assert!(lake.query(&format!("SELECT * FROM read_csv('{path}')")).await.is_err());
    }
}

#[tokio::test]
async fn errors_say_what_to_write_instead() {
    let (_world, lake) = filled().await;
    check_error(
        &lake,
        "SELECT duration FROM calls",
        "LAK018",
        expect![[r#"there is no column "duration"; did you mean duration_seconds?"#]],
    )
    .await;
    check_error(
        &lake,
        "SELECT count(*) FROM calls WHERE custmer_cost > 1",
        "LAK018",
        expect![[r#"there is no column "custmer_cost"; did you mean customer_cost, carrier_cost, customer_in_cost?"#]],
    )
    .await;
    check_error(
        &lake,
        "SELECT zzzzzz FROM calls",
        "LAK018",
        expect![[r#"there is no column "zzzzzz"; DESCRIBE calls lists them all"#]],
    )
    .await;
    check_error(
        &lake,
        "SELECT * FROM cdrs",
        "LAK017",
        expect![[r#"there is no table "cdrs"; the tables are calls, calls_history, charges, attempts, call_marks, registrations, postings, call_postings, other_postings, events, alerts, invoices, invoice_lines, rates, prefixes, documentation"#]],
    )
    .await;
    check_error(&lake, "SELEC 1", "LAK019", expect!["the query cannot be run: sql parser error: Expected: an SQL statement, found: SELEC at Line: 1, Column: 1"]).await;
    check_error(
        &lake,
        "SELECT 1; SELECT 2",
        "LAK019",
        expect!["the query cannot be run: The context currently only supports a single SQL statement"],
    )
    .await;
    check_error(
        &lake,
        "SELECT smu(code) FROM calls",
        "LAK019",
        expect![[r#"
            the query cannot be run: Invalid function 'smu'.
            Did you mean 'sin'?"#]],
    )
    .await;
    check_error(
        &lake,
        "SELECT code / 0 FROM calls",
        "LAK019",
        expect!["the query cannot be run: Divide by zero error"],
    )
    .await;
}

#[tokio::test]
async fn endless_result_ends_at_the_limit() {
    let (_world, lake) = filled().await;
    let many = (0..6).map(|n| format!("documentation d{n}")).collect::<Vec<_>>().join(", ");
    check_error(
        &lake,
        &format!("SELECT d0.meaning || d1.meaning FROM {many}"),
        "LAK021",
        expect![
            "the result is larger than 256 MiB; add LIMIT, aggregate, or read the Parquet files directly"
        ],
    )
    .await;
}

#[tokio::test]
async fn empty_lake_answers_with_no_rows() {
    let world = World::new();
    let lake = world.open();
    assert_eq!(lines(&lake, "SELECT count(*), sum(customer_cost) FROM calls").await, ["0 | NULL"]);
    assert_eq!(lake.query("SELECT call_id, day FROM calls").await.unwrap().n_rows(), 0);
}

#[tokio::test]
async fn result_is_printed_as_table_csv_and_json() {
    let (_world, lake) = filled().await;
    let sql = "SELECT call_id, start_at, code, answered, customer_cost, 'a \"b\", c' || chr(27) AS odd FROM calls ORDER BY 1";
    let result = lake.query(sql).await.unwrap();
    let mut out = Vec::new();
    write_table(&result, &mut out).unwrap();
    out.push(b'\n');
    write_csv(&result, &mut out).unwrap();
    out.push(b'\n');
    write_json(&result, &mut out).unwrap();
    let printed = String::from_utf8(out).unwrap().replace('\r', "");
    expect![[r#"
        call_id  start_at                 code  answered  customer_cost  odd
        -------  -----------------------  ----  --------  -------------  --------------
        a        2026-10-05T08:00:00.250   200  true           0.109708  a "b", c\u{1b}
        b        2026-10-05T09:00:00       486  false                    a "b", c\u{1b}
        (2 rows)

        call_id,start_at,code,answered,customer_cost,odd
        a,2026-10-05T08:00:00.250,200,true,0.109708,"a ""b"", c<ESC>"
        b,2026-10-05T09:00:00,486,false,,"a ""b"", c<ESC>"

        [
        {"call_id":"a","start_at":"2026-10-05T08:00:00.250","code":200,"answered":true,"customer_cost":"0.109708","odd":"a \"b\", c\u001b"},
        {"call_id":"b","start_at":"2026-10-05T09:00:00","code":486,"answered":false,"customer_cost":null,"odd":"a \"b\", c\u001b"}
        ]
    "#]].assert_eq(&printed.replace('\u{1b}', "<ESC>"));
    assert!(serde_json::from_str::<serde_json::Value>(printed.rsplit("\n\n").next().unwrap()).is_ok());
}

#[tokio::test]
async fn every_route_tried_is_told_with_its_outcome() {
    let world = World::new();
    let lake = world.open();
    let mut tried = call("a", "2026-10-05T08:00:00Z");
    let answered = tried.cdr.attempts[0].clone();
    let refused = model::RouteTry { code: 503, pdd_us: None, ..answered.clone() };
    tried.cdr.attempts = vec![refused, model::RouteTry { attempt: 2, ..answered }];
    tried.cdr.detail.refused_by = "account 12 lock 2".into();
    lake.commit(rows(1, vec![tried]), world.now).await.unwrap();
    let shown = lines(&lake, "select routes, refused_by, transport, setup_ms from calls").await;
    assert_eq!(shown, ["1:t3:503:network:- 2:t3:200:answered:1240 | account 12 lock 2 | NULL | NULL"]);
}
