//! Limits end a query and not the process.

use std::time::{Duration, Instant};

use lake::{Access, Lake, LakeConfig, LakeError, write_arrow, write_parquet};

use crate::world::{World, call, rows};

const ENDLESS: &str = "SELECT count(*) FROM documentation a, documentation b, documentation c, documentation d \
                       WHERE a.meaning || b.meaning || c.meaning <> d.meaning";

async fn limited(change: impl Fn(&mut LakeConfig)) -> (World, Lake) {
    let world = World::new();
    let mut config = world.config();
    change(&mut config);
    let lake = Lake::open(config).unwrap();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    (world, lake)
}

async fn still_answers(lake: &Lake) {
    let one = lake.query_as("SELECT count(*) FROM calls", &Access::WHOLE).await.unwrap();
    assert_eq!(one.rows(), [[Some("1".to_owned())]]);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the patience of a query is time on the wall")]
async fn query_that_runs_too_long_is_stopped() {
    let (_world, lake) = limited(|config| config.query_timeout = Duration::from_millis(300)).await;
    let began = Instant::now();
    let why = lake.query_as(ENDLESS, &Access::WHOLE).await.unwrap_err();
    assert_eq!(why.code(), "LAK026", "{why}");
    assert!(why.is_users_input() && began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    still_answers(&lake).await;
}

#[tokio::test]
async fn query_that_needs_too_much_memory_is_stopped() {
    let (_world, lake) = limited(|config| config.query_memory_mib = 16).await;
    let sql = "SELECT array_agg(a.meaning || b.meaning || c.meaning) \
               FROM documentation a, documentation b, (SELECT meaning FROM documentation LIMIT 5) c";
    let why = lake.query_as(sql, &Access::WHOLE).await.unwrap_err();
    assert!(matches!(why, LakeError::QueryTooLarge { limit_mib: 16 }), "{why}");
    still_answers(&lake).await;
}

#[tokio::test]
async fn result_that_is_too_large_is_stopped() {
    let (_world, lake) = limited(|config| config.query_result_mib = 1).await;
    let sql = "SELECT a.meaning, b.meaning FROM documentation a, documentation b";
    let why = lake.query_as(sql, &Access::WHOLE).await.unwrap_err();
    assert!(matches!(why, LakeError::ResultTooLarge { limit_mib: 1 }), "{why}");
    still_answers(&lake).await;
}

#[tokio::test]
async fn limits_of_nothing_are_refused() {
    let world = World::new();
    let config = LakeConfig { query_memory_mib: 1, ..world.config() };
    assert_eq!(
        Lake::open(config).unwrap_err().to_string(),
        "lake.query_memory_mib is 1; it must be at least 16"
    );
}

#[tokio::test]
async fn result_is_written_as_parquet_and_arrow() {
    use datafusion::arrow::ipc::reader::StreamReader;
    use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
    let (world, lake) = limited(|_| {}).await;
    let sql = "SELECT call_id, start_at, customer_cost, routes, NULL AS nothing FROM calls";
    let result = lake.query(sql).await.unwrap();
    let path = world.dir.path().join("out.parquet");
    write_parquet(&result, &mut std::fs::File::create(&path).unwrap()).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    let read: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().collect();
    let batch = read[0].as_ref().unwrap();
    assert_eq!((batch.num_rows(), batch.num_columns()), (1, 5));
    assert_eq!(batch.schema().field(2).data_type().to_string(), "Decimal128(18, 6)");
    assert_eq!(batch.schema().field(0).data_type().to_string(), "Utf8");
    let mut bytes = Vec::new();
    write_arrow(&result, &mut bytes).unwrap();
    let read: Vec<_> = StreamReader::try_new(bytes.as_slice(), None).unwrap().collect();
    assert_eq!(read[0].as_ref().unwrap().columns(), batch.columns());
    // No rows are a file too.
    let none = lake.query("SELECT call_id FROM calls WHERE code = 0").await.unwrap();
    write_parquet(&none, &mut std::fs::File::create(&path).unwrap()).unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() > 0);
}

#[test]
fn statement_that_is_very_deep_is_an_error_and_no_abort() {
    // As the program has it.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_stack_size(16 * 1024 * 1024)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (_world, lake) = limited(|_| {}).await;
        let many = |what: &str| what.repeat(40_000);
        let asked = [
            format!("SELECT 1 FROM calls{}", many(", calls")),
            format!("SELECT 1 FROM calls{}", many(" CROSS JOIN calls")),
            format!("SELECT start_at{} FROM calls", many(" AT TIME ZONE 'UTC'")),
            format!("SELECT 1{}", many(" OPERATOR(pg_catalog.+) 1")),
            format!("SELECT 1{}", many(" NOTNULL")),
            format!("SELECT 'a'{}", many(" SIMILAR TO 'a'")),
            format!("SELECT true{}", many(" XOR true")),
            format!("SELECT 1{}", many(" OVERLAPS 1")),
            format!("SELECT 'a'{}", many(" COLLATE \"C\"")),
            format!("SELECT 1{}", many(" + CASE WHEN true THEN 1 END")),
            format!("SELECT 1{}", many(" IS DISTINCT FROM 1")),
            format!("SELECT 1{}", many("[1]")),
            format!("SELECT (a){}", many(".a")),
            format!("SELECT a{}", many(".a")),
            format!("SELECT 1{}", many("::int")),
            format!("SELECT 1{}", many(" UNION SELECT 1")),
            format!("SELECT 1{}", many(", (SELECT 1)")),
            format!("SELECT 1{}", many(", sum(code) OVER (ORDER BY code)")),
            format!("WITH a AS (SELECT 1){} SELECT 1", many(", a AS (SELECT * FROM a)")),
            format!("FROM calls {}", many("|> SELECT 1, 2 ")),
        ];
        for sql in asked {
            let why = tokio::spawn({
                let (lake, sql) = (lake.clone(), sql.clone());
                async move { lake.query_as(&sql, &Access::WHOLE).await.unwrap_err() }
            });
            let why = why.await.unwrap().to_string();
            assert!(why.contains("operators deep"), "{}: {why}", &sql[..60]);
        }
        // Long lists are not deep.
        for sql in [
            format!("SELECT 1 WHERE 1 IN (1{})", many(", 2")),
            format!("SELECT count(*) FROM (VALUES (1){})", many(", (2)").split_at(12_000).0),
        ] {
            lake.query_as(&sql, &Access::WHOLE).await.unwrap();
        }
        still_answers(&lake).await;
    });
}
