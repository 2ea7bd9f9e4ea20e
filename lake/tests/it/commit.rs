//! Rows go in and come out as they are, once.

use datafusion::arrow::array::{AsArray, StringArray, TimestampMicrosecondArray};
use datafusion::arrow::datatypes::Decimal128Type;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use expect_test::expect;
use lake::{Lake, LakeConfig, LakeError, LaneRows, check_row, write_json};
use model::{Direction, Provider};
use rust_decimal::Decimal;

use crate::world::{World, ask, at, call, charge, dec, lane, lines, rows, tree, unanswered};

#[tokio::test]
async fn every_column_of_a_call_is_read_back() {
    let world = World::new();
    let lake = world.open();
    let mut rated = call("sw1-1-1", "2026-10-05T08:15:30.250001Z");
    rated.charges.push({
        let mut fee = charge(Provider::Carrier, 9002, "-0.000001");
        fee.direction = Direction::In;
        fee
    });
    lake.commit(rows(1, vec![rated]), world.now).await.unwrap();
    let mut json = Vec::new();
    write_json(&lake.query("SELECT * FROM calls").await.unwrap(), &mut json).unwrap();
    let json = String::from_utf8(json).unwrap().replace(",\"", ",\n\"");
    expect![[r#"
        [
        {"cdr_id":"22d28bc813382c5ce71598a6eca19e74",
        "revision":0,
        "call_id":"sw1-1-1",
        "leg":0,
        "sip_call_id":"sw1-1-1@192.0.2.10",
        "node":"sw1",
        "tenant":1,
        "payer":1001,
        "source_account":1001,
        "source_reseller":11,
        "source_subscriber":42,
        "source_trunk":null,
        "source_number":"43660555123",
        "source_user":"43660555123",
        "source_domain":"sip.example.org",
        "source_user_out":"43660555123",
        "clir":false,
        "source_ip":"192.0.2.10",
        "source_user_agent":null,
        "destination_account":9001,
        "destination_reseller":null,
        "destination_subscriber":null,
        "destination_number":"4930555123",
        "destination_user":"4930555123",
        "destination_user_out":"4930555123",
        "dialed":"004930555123",
        "trunk":3,
        "call_type":"call",
        "status":"ok",
        "code":200,
        "cause":"normal",
        "ended_by":"caller",
        "answered":true,
        "init_at":"2026-10-05T08:15:27.114001",
        "start_at":"2026-10-05T08:15:30.250001",
        "end_at":"2026-10-05T08:17:41.900001",
        "duration_seconds":"131.650000",
        "pdd_ms":1240,
        "codec":"PCMA",
        "attempts":1,
        "customer_account":1001,
        "customer_cost":"0.109708",
        "customer_currency":"EUR",
        "customer_zone":"Germany",
        "customer_zone_detail":"fixed",
        "customer_prefix":"49",
        "customer_tariff":"retail_eur",
        "customer_tariff_version":7,
        "billed_seconds":132,
        "onpeak_seconds":132,
        "offpeak_seconds":0,
        "free_seconds":0,
        "free_cash":"0.000000",
        "reseller_account":11,
        "reseller_cost":"0.066000",
        "reseller_currency":"EUR",
        "reseller_tariff_version":7,
        "carrier_account":9001,
        "carrier_cost":"0.030717",
        "carrier_currency":"EUR",
        "carrier_zone":"Germany",
        "carrier_prefix":"49",
        "carrier_billed_seconds":132,
        "carrier_tariff_version":7,
        "margin":"0.078991",
        "customer_in_account":null,
        "customer_in_cost":null,
        "customer_in_currency":null,
        "customer_in_zone":null,
        "customer_in_billed_seconds":null,
        "customer_in_tariff_version":null,
        "reseller_in_account":null,
        "reseller_in_cost":null,
        "reseller_in_currency":null,
        "reseller_in_tariff_version":null,
        "carrier_in_account":9002,
        "carrier_in_cost":"-0.000001",
        "carrier_in_currency":"EUR",
        "carrier_in_tariff_version":7,
        "config_revision":17,
        "partial":false,
        "reason":null,
        "refused_by":null,
        "setup_ms":null,
        "transport":null,
        "auth":null,
        "asserted_identity":null,
        "diversion":null,
        "routes":"1:t3:200:answered:1240",
        "foreign_key":null,
        "emergency":false,
        "stir":null,
        "preferred_identity":null,
        "user_to_user":null,
        "history_info":null,
        "mos_hundredths":null,
        "loss_hundredths":null,
        "jitter_us":null,
        "round_trip_us":null,
        "peer_auth_user":null,
        "peer_auth_realm":null,
        "reseller_zone":"Germany",
        "reseller_prefix":"49",
        "reseller_billed_seconds":132,
        "customer_in_prefix":null,
        "reseller_in_zone":null,
        "reseller_in_prefix":null,
        "reseller_in_billed_seconds":null,
        "carrier_in_zone":"Germany",
        "carrier_in_prefix":"49",
        "carrier_in_billed_seconds":132,
        "source_uuid":"9b2e2c8e",
        "destination_uuid":null,
        "destination_domain":"sip.example.org",
        "pdd_us":1240900,
        "setup_us":null,
        "reseller_zone_detail":"fixed",
        "reseller_tariff":"retail_eur",
        "reseller_onpeak_seconds":132,
        "reseller_offpeak_seconds":0,
        "reseller_free_seconds":0,
        "reseller_free_cash":"0.000000",
        "carrier_zone_detail":"fixed",
        "carrier_tariff":"retail_eur",
        "carrier_onpeak_seconds":132,
        "carrier_offpeak_seconds":0,
        "carrier_free_seconds":0,
        "carrier_free_cash":"0.000000",
        "customer_in_zone_detail":null,
        "customer_in_tariff":null,
        "customer_in_onpeak_seconds":null,
        "customer_in_offpeak_seconds":null,
        "customer_in_free_seconds":null,
        "customer_in_free_cash":null,
        "reseller_in_zone_detail":null,
        "reseller_in_tariff":null,
        "reseller_in_onpeak_seconds":null,
        "reseller_in_offpeak_seconds":null,
        "reseller_in_free_seconds":null,
        "reseller_in_free_cash":null,
        "carrier_in_zone_detail":"fixed",
        "carrier_in_tariff":"retail_eur",
        "carrier_in_onpeak_seconds":132,
        "carrier_in_offpeak_seconds":0,
        "carrier_in_free_seconds":0,
        "carrier_in_free_cash":"0.000000",
        "day":"2026-10-05"}
        ]
    "#]]
    .assert_eq(&json);
}

#[tokio::test]
async fn call_that_nobody_answered_has_a_row_and_no_price() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![unanswered("sw1-1-1", "2026-10-05T08:15:30Z")]), world.now).await.unwrap();
    let sql = "SELECT status, code, cause, answered, duration_seconds, end_at = start_at, codec, pdd_ms, customer_cost, margin FROM calls";
    assert_eq!(
        lines(&lake, sql).await,
        ["busy | 486 | busy | false | 0.000000 | true | NULL | NULL | NULL | NULL"]
    );
}

#[tokio::test]
async fn margin_of_two_currencies_is_unknown_and_of_an_on_net_call_is_its_price() {
    let world = World::new();
    let lake = world.open();
    let mut foreign = call("sw1-1-1", "2026-10-05T08:15:30Z");
    foreign.charges[2].currency = "USD".parse().unwrap();
    let mut on_net = call("sw1-1-2", "2026-10-05T08:15:31Z");
    on_net.charges.truncate(2);
    lake.commit(rows(1, vec![foreign, on_net]), world.now).await.unwrap();
    assert_eq!(lines(&lake, "SELECT margin FROM calls ORDER BY start_at").await, ["NULL", "0.109708"]);
}

#[tokio::test]
async fn call_goes_to_the_utc_day_of_its_start() {
    let world = World::new();
    let lake = world.open();
    let calls = vec![call("a", "2026-10-05T23:59:59.999999Z"), call("b", "2026-10-06T00:00:00Z")];
    lake.commit(rows(1, calls), world.now).await.unwrap();
    assert_eq!(
        tree(&world.path()),
        [
            ".lock",
            "cdrs/day=2026-10-05/part-0000000001.parquet",
            "cdrs/day=2026-10-06/part-0000000002.parquet",
            "manifest.json"
        ]
    );
    assert_eq!(lines(&lake, "SELECT call_id FROM calls WHERE day = '2026-10-06'").await, ["b"]);
    assert_eq!(lake.count_rows_of_day("2026-10-05".parse().unwrap()).unwrap(), 1);
}

#[tokio::test]
async fn replayed_rows_are_refused_and_positions_say_where_to_resume() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(7, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    for position in [6, 7] {
        let again = lake.commit(rows(position, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await;
        assert!(matches!(again, Err(LakeError::Replayed { partition: 0, committed: 7, .. })), "{again:?}");
    }
    let lane = lake.positions().unwrap().lane(0).cloned().unwrap();
    assert_eq!((lane.position, lane.watermarks[0].offset), (7, 7));
    assert_eq!(
        (lake.count_rows().unwrap(), ask(&lake, "SELECT count(*) FROM calls").await),
        (1, "1".to_owned())
    );
}

#[tokio::test]
async fn lanes_keep_their_own_positions_and_watermarks_never_go_back() {
    let world = World::new();
    let lake = world.open();
    let both = [lane(0, 3, vec![call("a", "2026-10-05T08:00:00Z")]), lane(5, 9, Vec::new())].concat();
    lake.commit(both, world.now).await.unwrap();
    let mut behind = lane(5, 10, vec![call("b", "2026-10-05T08:00:01Z")]);
    behind[0].watermarks[0].offset = 4;
    lake.commit(behind, world.now).await.unwrap();
    let twice = lake.commit([lane(1, 1, Vec::new()), lane(1, 2, Vec::new())].concat(), world.now).await;
    assert!(matches!(twice, Err(LakeError::LaneTwice { partition: 1 })), "{twice:?}");
    let positions = lake.positions().unwrap();
    let seen: Vec<_> =
        positions.iter().map(|(lane, at)| (lane, at.position, at.watermarks[0].offset)).collect();
    assert_eq!(seen, [(0, 3, 3), (5, 10, 9)]);
}

#[tokio::test]
async fn commit_that_changes_nothing_writes_nothing() {
    let world = World::new();
    let lake = world.open();
    lake.commit(rows(1, vec![call("a", "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
    let before = std::fs::read(world.path().join("manifest.json")).unwrap();
    lake.commit(rows(1, Vec::new()), at("2026-10-05T13:00:00Z")).await.unwrap();
    assert_eq!(std::fs::read(world.path().join("manifest.json")).unwrap(), before);
}

#[tokio::test]
async fn price_that_does_not_fit_is_refused_with_its_call_and_nothing_is_written() {
    let world = World::new();
    let lake = world.open();
    let mut fine_digits = call("a", "2026-10-05T08:00:00Z");
    fine_digits.charges[0].cost = dec("0.1234567");
    let mut too_large = call("b", "2026-10-05T08:00:00Z");
    too_large.charges[0].cost = dec("1000000000000");
    let mut endless = call("c", "2026-10-05T08:00:00Z");
    endless.cdr.duration_us = u64::MAX;
    for broken in [fine_digits, too_large, endless] {
        assert!(check_row(&broken).is_err());
        let good = call("d", "2026-10-05T08:00:00Z");
        let error = lake.commit(rows(1, vec![good, broken.clone()]), world.now).await.unwrap_err();
        assert!(error.to_string().contains(&broken.cdr.id.to_string()), "{error}");
        assert_eq!(error.code(), "LAK012");
    }
    assert_eq!(tree(&world.path()), [".lock", "manifest.json"]);
    let mut largest = call("e", "2026-10-05T08:00:00Z");
    largest.charges[0].cost = dec("999999999999.999999");
    lake.commit(rows(1, vec![largest]), world.now).await.unwrap();
    assert_eq!(ask(&lake, "SELECT customer_cost FROM calls").await, "999999999999.999999");
}

#[tokio::test]
async fn second_writer_is_refused_and_the_first_one_leaving_frees_the_lake() {
    let world = World::new();
    let lake = world.open();
    assert!(matches!(Lake::open(world.config()), Err(LakeError::InUse { .. })));
    drop(lake);
    world.open();
}

#[tokio::test]
async fn reader_of_another_process_sees_rows_as_they_are_committed() {
    let world = World::new();
    assert!(matches!(world.reader(), Err(LakeError::NoLake { .. })));
    let writer = world.open();
    let reader = world.reader().unwrap();
    for n in 1..=3 {
        let uid = format!("sw1-1-{n}");
        writer.commit(rows(n, vec![call(&uid, "2026-10-05T08:00:00Z")]), world.now).await.unwrap();
        assert_eq!(ask(&reader, "SELECT count(*) FROM calls").await, n.to_string());
        assert_eq!(ask(&reader, &format!("SELECT count(*) FROM calls WHERE call_id = '{uid}'")).await, "1");
    }
    let refused = reader.commit(vec![LaneRows::default()], world.now).await;
    assert!(matches!(refused, Err(LakeError::OpenedReadOnly { .. })));
}

#[tokio::test]
async fn files_are_read_by_a_plain_parquet_reader() {
    let world = World::new();
    let lake = world.open();
    for n in 1..=4_u64 {
        let calls =
            (0..n).map(|k| call(&format!("{n}-{k}"), &format!("2026-10-0{n}T08:00:0{}Z", n - k))).collect();
        lake.commit(rows(n, calls), world.now).await.unwrap();
    }
    let (mut n_rows, mut micros) = (0, 0);
    for path in tree(&world.path()).iter().filter(|path| path.ends_with(".parquet")) {
        let file = std::fs::File::open(world.path().join(path)).unwrap();
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let row_group = builder.metadata().row_group(0);
        assert!(row_group.column(0).bloom_filter_offset().is_some(), "{path} has no bloom filter on cdr_id");
        assert_eq!(row_group.sorting_columns().map(Vec::len), Some(3));
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let starts = batch.column_by_name("start_at").unwrap();
            let sorted = datafusion::arrow::compute::sort(starts, None).unwrap();
            assert_eq!(starts, &sorted, "{path} is not sorted by start_at");
            n_rows += batch.num_rows();
            let costs = batch.column_by_name("customer_cost").unwrap().as_primitive::<Decimal128Type>();
            micros += costs.iter().flatten().sum::<i128>();
        }
    }
    assert_eq!((n_rows, micros), (10, 1_097_080));
}

#[test]
fn configuration_out_of_range_is_refused_with_its_rule() {
    let world = World::new();
    let config = LakeConfig { compact_files_min: 1, ..world.config() };
    let error = Lake::open(config).unwrap_err();
    expect!["lake.compact_files_min is 1; it must be at least 2"].assert_eq(&error.to_string());
    assert!(error.is_users_input());
}

/// What waited is committed by several threads, in batches: every row is there once, whole and in order.
#[tokio::test]
async fn commit_of_many_rows_has_each_of_them_once_and_in_order() {
    const N_ROWS: i64 = 20_000;
    let world = World::new();
    let lake = world.open();
    let first = at("2026-10-05T23:00:00Z");
    let calls = (0..N_ROWS).rev().map(|n| {
        let start = first + chrono::TimeDelta::seconds(n / 2);
        let mut rated = call(&format!("sw1-1-{n}"), &start.to_rfc3339());
        rated.cdr.duration_us = n.unsigned_abs() * 1_000;
        rated.cdr.pdd_us = (n % 3 > 0).then_some(n.unsigned_abs());
        rated.charges[0].cost = Decimal::new(n, 4);
        rated
    });
    lake.commit(rows(1, calls.collect()), world.now).await.unwrap();
    let of_day = |day: &str| {
        format!(
            "SELECT count(*), count(DISTINCT cdr_id), count(pdd_us), sum(customer_cost), sum(duration_seconds) FROM calls WHERE day = '{day}'"
        )
    };
    // 3,600 seconds are left of the first day, with two calls each.
    let sum = |from: i64, to: i64| (from..to).sum::<i64>();
    for (day, from, to) in [("2026-10-05", 0, 7_200), ("2026-10-06", 7_200, N_ROWS)] {
        let n_with_pdd = (from..to).filter(|n| n % 3 > 0).count();
        let (cost, seconds) = (Decimal::new(sum(from, to) * 100, 6), Decimal::new(sum(from, to) * 1_000, 6));
        let expected = format!("{0} | {0} | {n_with_pdd} | {cost} | {seconds}", to - from);
        assert_eq!(lines(&lake, &of_day(day)).await, [expected]);
    }
    let wrong = "SELECT count(*) FROM calls WHERE cdr_id IS NULL OR customer_cost * 10 <> duration_seconds \
                 OR sip_call_id <> call_id || '@192.0.2.10' OR pdd_us IS NOT NULL AND pdd_us <> duration_seconds * 1000";
    assert_eq!(ask(&lake, wrong).await, "0");
    for path in tree(&world.path()).into_iter().filter(|path| path.ends_with(".parquet")) {
        let file = std::fs::File::open(world.path().join(&path)).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
        let mut before = Vec::new();
        for batch in reader {
            let batch = batch.unwrap();
            let starts: &TimestampMicrosecondArray = batch.column_by_name("start_at").unwrap().as_primitive();
            let ids: &StringArray = batch.column_by_name("cdr_id").unwrap().as_string();
            before.extend((0..batch.num_rows()).map(|row| (starts.value(row), ids.value(row).to_owned())));
        }
        assert!(before.is_sorted(), "{path}");
    }
}
