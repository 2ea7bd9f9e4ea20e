//! What every log must do. The list is written against `dyn Bus`; each log runs it with its own [`Rig`].

use async_trait::async_trait;
use bus::{Bus, BusError, Entry, PAYLOAD_BYTES_MAX, Stored};
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt as _;
use futures::future::join_all;
use model::Topic;

/// Makes logs for the tests.
#[async_trait]
pub(crate) trait Rig: Send + Sync {
    /// The same log every time, empty at first. The one opened before has been dropped.
    async fn open(&self) -> Box<dyn Bus>;
}

/// Every case of the contract as a test of its own, on the rig that the expression makes; `None` where there can be none.
macro_rules! contract_tests {
    ($rig:expr) => {
        $crate::contract::contract_tests!($rig;
            offsets_start_at_zero_and_are_dense,
            keeps_order_within_a_partition,
            batch_over_many_lanes_returns_the_offset_of_each_entry,
            topics_and_partitions_do_not_mix,
            reading_resumes_where_the_last_batch_ended,
            end_of_the_log_is_an_empty_batch,
            position_beyond_the_end_is_refused,
            acknowledged_record_can_be_read_at_once,
            any_bytes_come_back_as_they_were,
            append_of_nothing_does_nothing,
            partition_that_does_not_exist_is_refused,
            payload_above_the_limit_is_refused_and_nothing_of_its_batch_is_kept,
            concurrent_appenders_get_distinct_dense_offsets,
            wait_returns_at_once_when_there_is_something_to_read,
            append_wakes_those_who_wait_for_its_lane_and_nobody_else,
            records_and_offsets_survive_reopening,
            expired_read_names_the_oldest_offset_and_offsets_go_on,
        );
    };
    ($rig:expr; $($case:ident,)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            if let Some(rig) = $rig {
                $crate::contract::$case(&rig).await;
            }
        }
    )+};
}
pub(crate) use contract_tests;

pub(crate) fn entry(topic: Topic, partition: u32, payload: impl Into<Vec<u8>>) -> Entry {
    Entry { topic, partition, payload: payload.into() }
}

/// All records of a lane from `from` on, read in small batches.
pub(crate) async fn read_all(bus: &dyn Bus, topic: Topic, partition: u32, from: u64) -> Vec<Stored> {
    let mut records = Vec::new();
    let mut position = from;
    loop {
        let batch = bus.read(topic, partition, position, 97).await.unwrap();
        if batch.records.is_empty() {
            assert_eq!(batch.next, position, "an empty batch moves nobody");
            return records;
        }
        position = batch.next;
        records.extend(batch.records);
    }
}

fn texts(records: &[Stored]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.payload.to_vec()).unwrap()).collect()
}

/// A time by which whatever is appended now has expired, whatever retention says.
fn far_future() -> DateTime<Utc> {
    DateTime::from_timestamp(4_102_444_800, 0).unwrap() + TimeDelta::days(3650)
}

pub(crate) async fn offsets_start_at_zero_and_are_dense(rig: &dyn Rig) {
    let bus = rig.open().await;
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 0));
    for expected in 0..5 {
        assert_eq!(bus.append(vec![entry(Topic::Calls, 0, "x")]).await.unwrap(), [expected]);
    }
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 5));
}

pub(crate) async fn keeps_order_within_a_partition(rig: &dyn Rig) {
    let bus = rig.open().await;
    let mut expected = Vec::new();
    for batch in 0..20 {
        let payloads: Vec<String> = (0..=batch).map(|idx| format!("{batch}.{idx}")).collect();
        let entries = payloads.iter().map(|payload| entry(Topic::Calls, 3, payload.as_str())).collect();
        bus.append(entries).await.unwrap();
        expected.extend(payloads);
    }
    let records = read_all(bus.as_ref(), Topic::Calls, 3, 0).await;
    assert_eq!(texts(&records), expected);
    assert!(records.iter().map(|record| record.offset).eq(0..expected.len() as u64));
}

pub(crate) async fn batch_over_many_lanes_returns_the_offset_of_each_entry(rig: &dyn Rig) {
    let bus = rig.open().await;
    let offsets = bus
        .append(vec![
            entry(Topic::Cdrs, 1, "a"),
            entry(Topic::Rated, 1, "b"),
            entry(Topic::Cdrs, 1, "c"),
            entry(Topic::Cdrs, 2, "d"),
            entry(Topic::Cdrs, 1, "e"),
        ])
        .await
        .unwrap();
    assert_eq!(offsets, [0, 0, 1, 0, 2]);
    assert_eq!(texts(&read_all(bus.as_ref(), Topic::Cdrs, 1, 0).await), ["a", "c", "e"]);
}

pub(crate) async fn topics_and_partitions_do_not_mix(rig: &dyn Rig) {
    let bus = rig.open().await;
    for topic in Topic::ALL {
        for partition in 0..bus.partitions() {
            let payload = format!("{topic}/{partition}");
            bus.append(vec![entry(*topic, partition, payload)]).await.unwrap();
        }
    }
    for topic in Topic::ALL {
        for partition in 0..bus.partitions() {
            let records = read_all(bus.as_ref(), *topic, partition, 0).await;
            assert_eq!(texts(&records), [format!("{topic}/{partition}")]);
        }
    }
}

pub(crate) async fn reading_resumes_where_the_last_batch_ended(rig: &dyn Rig) {
    let bus = rig.open().await;
    let entries = (0..10).map(|idx| entry(Topic::Rated, 0, format!("{idx}"))).collect();
    bus.append(entries).await.unwrap();
    let first = bus.read(Topic::Rated, 0, 0, 4).await.unwrap();
    assert_eq!((texts(&first.records).join(" ").as_str(), first.next), ("0 1 2 3", 4));
    let second = bus.read(Topic::Rated, 0, first.next, 4).await.unwrap();
    assert_eq!((texts(&second.records).join(" ").as_str(), second.next), ("4 5 6 7", 8));
    let third = bus.read(Topic::Rated, 0, second.next, 4).await.unwrap();
    assert_eq!((texts(&third.records).join(" ").as_str(), third.next), ("8 9", 10));
    // Again from the middle: a replay sees the same.
    let again = bus.read(Topic::Rated, 0, 4, 4).await.unwrap();
    assert_eq!(again, second);
}

pub(crate) async fn end_of_the_log_is_an_empty_batch(rig: &dyn Rig) {
    let bus = rig.open().await;
    let batch = bus.read(Topic::Control, 0, 0, 10).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (0, 0));
    bus.append(vec![entry(Topic::Control, 0, "x")]).await.unwrap();
    let batch = bus.read(Topic::Control, 0, 1, 10).await.unwrap();
    assert_eq!((batch.records.len(), batch.next), (0, 1));
}

/// A reader whose position is ahead has lost its log; to wait until it catches up would skip records.
pub(crate) async fn position_beyond_the_end_is_refused(rig: &dyn Rig) {
    let bus = rig.open().await;
    bus.append(vec![entry(Topic::Calls, 0, "x")]).await.unwrap();
    let error = bus.read(Topic::Calls, 0, 7, 10).await.unwrap_err();
    assert!(matches!(error, BusError::Beyond { from: 7, end: 1, .. }), "{error}");
    let error = bus.wait(Topic::Calls, &[(0, 7)]).await.unwrap_err();
    assert!(matches!(error, BusError::Beyond { from: 7, end: 1, .. }), "{error}");
}

pub(crate) async fn acknowledged_record_can_be_read_at_once(rig: &dyn Rig) {
    let bus = rig.open().await;
    for idx in 0..50 {
        let offset = bus.append(vec![entry(Topic::Postings, 0, format!("{idx}"))]).await.unwrap()[0];
        let batch = bus.read(Topic::Postings, 0, offset, 1).await.unwrap();
        assert_eq!(texts(&batch.records), [format!("{idx}")]);
    }
}

pub(crate) async fn any_bytes_come_back_as_they_were(rig: &dyn Rig) {
    let bus = rig.open().await;
    let payloads: Vec<Vec<u8>> =
        vec![vec![], vec![0], (0..=255).collect(), vec![0xff; PAYLOAD_BYTES_MAX], vec![]];
    let entries = payloads.iter().map(|payload| entry(Topic::Calls, 1, payload.clone())).collect();
    bus.append(entries).await.unwrap();
    let records = read_all(bus.as_ref(), Topic::Calls, 1, 0).await;
    let told: Vec<(u64, usize)> =
        records.iter().map(|record| (record.offset, record.payload.len())).collect();
    let expected: Vec<(u64, usize)> = (0..).zip(payloads.iter().map(Vec::len)).collect();
    assert_eq!(told, expected);
    assert!(records.into_iter().map(|record| record.payload).eq(payloads));
}

pub(crate) async fn append_of_nothing_does_nothing(rig: &dyn Rig) {
    let bus = rig.open().await;
    assert_eq!(bus.append(Vec::new()).await.unwrap(), [0_u64; 0]);
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 0));
}

pub(crate) async fn partition_that_does_not_exist_is_refused(rig: &dyn Rig) {
    let bus = rig.open().await;
    let partition = bus.partitions();
    let refused = |error: BusError| {
        assert!(matches!(error, BusError::NoSuchPartition { .. }), "{error}");
    };
    let mixed = vec![entry(Topic::Calls, 0, "x"), entry(Topic::Calls, partition, "y")];
    refused(bus.append(mixed).await.unwrap_err());
    refused(bus.read(Topic::Calls, partition, 0, 1).await.unwrap_err());
    refused(bus.range(Topic::Calls, partition).await.unwrap_err());
    refused(bus.wait(Topic::Calls, &[(partition, 0)]).await.unwrap_err());
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 0), "nothing of the batch is kept");
}

pub(crate) async fn payload_above_the_limit_is_refused_and_nothing_of_its_batch_is_kept(rig: &dyn Rig) {
    let bus = rig.open().await;
    let entries =
        vec![entry(Topic::Calls, 0, "small"), entry(Topic::Calls, 0, vec![7; PAYLOAD_BYTES_MAX + 1])];
    let error = bus.append(entries).await.unwrap_err();
    assert!(matches!(error, BusError::TooLarge { .. }), "{error}");
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 0));
}

pub(crate) async fn concurrent_appenders_get_distinct_dense_offsets(rig: &dyn Rig) {
    const APPENDERS: usize = 16;
    const APPENDS: usize = 25;
    let bus = rig.open().await;
    let appender = |appender: usize| {
        let bus = bus.as_ref();
        async move {
            let mut got = Vec::new();
            for append in 0..APPENDS {
                let payloads = [format!("{appender}.{append}.0"), format!("{appender}.{append}.1")];
                let entries = payloads.iter().map(|p| entry(Topic::Calls, 2, p.as_str())).collect();
                let offsets = bus.append(entries).await.unwrap();
                assert_eq!(offsets[1], offsets[0] + 1, "entries of one append lie together");
                got.extend(offsets.into_iter().zip(payloads));
            }
            got
        }
    };
    let got = join_all((0..APPENDERS).map(appender)).await;
    for appender in &got {
        assert!(appender.is_sorted_by_key(|(offset, _)| *offset), "each sees its own order");
    }
    let mut got: Vec<(u64, String)> = got.into_iter().flatten().collect();
    got.sort();
    let records = read_all(bus.as_ref(), Topic::Calls, 2, 0).await;
    let read: Vec<(u64, String)> = records.iter().map(|record| record.offset).zip(texts(&records)).collect();
    assert_eq!(read.len(), APPENDERS * APPENDS * 2);
    assert_eq!(read, got);
}

pub(crate) async fn wait_returns_at_once_when_there_is_something_to_read(rig: &dyn Rig) {
    let bus = rig.open().await;
    bus.append(vec![entry(Topic::Cdrs, 1, "x")]).await.unwrap();
    bus.wait(Topic::Cdrs, &[(0, 0), (1, 0)]).await.unwrap();
}

pub(crate) async fn append_wakes_those_who_wait_for_its_lane_and_nobody_else(rig: &dyn Rig) {
    let bus = rig.open().await;
    bus.append(vec![entry(Topic::Cdrs, 0, "old")]).await.unwrap();
    let elsewhere = bus.wait(Topic::Cdrs, &[(0, 1)]);
    let other_topic = bus.wait(Topic::Rated, &[(0, 0), (1, 0)]);
    let here = bus.wait(Topic::Cdrs, &[(0, 1), (1, 0)]);
    let (woken, appended) = tokio::join!(here, async {
        tokio::task::yield_now().await;
        bus.append(vec![entry(Topic::Cdrs, 1, "new")]).await
    });
    woken.unwrap();
    appended.unwrap();
    assert!(elsewhere.now_or_never().is_none(), "partition 0 has nothing new");
    assert!(other_topic.now_or_never().is_none(), "another topic has nothing new");
}

pub(crate) async fn records_and_offsets_survive_reopening(rig: &dyn Rig) {
    let bus = rig.open().await;
    let entries = (0..300).map(|idx| entry(Topic::Calls, idx % 3, format!("{idx}"))).collect();
    bus.append(entries).await.unwrap();
    let before = read_all(bus.as_ref(), Topic::Calls, 1, 0).await;
    assert_eq!(before.len(), 100);
    drop(bus);
    let bus = rig.open().await;
    assert_eq!(read_all(bus.as_ref(), Topic::Calls, 1, 0).await, before);
    assert_eq!(bus.append(vec![entry(Topic::Calls, 1, "after")]).await.unwrap(), [100]);
    assert_eq!(bus.range(Topic::Calls, 1).await.unwrap(), (0, 101));
}

pub(crate) async fn expired_read_names_the_oldest_offset_and_offsets_go_on(rig: &dyn Rig) {
    let bus = rig.open().await;
    let entries = (0..30).map(|idx| entry(Topic::Calls, idx % 2, "x")).collect();
    bus.append(entries).await.unwrap();
    assert_eq!(
        bus.expire(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC).await.unwrap().records,
        0,
        "nothing is old yet"
    );
    assert_eq!(bus.expire(far_future(), DateTime::<Utc>::MAX_UTC).await.unwrap().records, 30);
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (15, 15));
    let error = bus.read(Topic::Calls, 0, 3, 10).await.unwrap_err();
    assert!(matches!(error, BusError::Expired { from: 3, oldest: 15, .. }), "{error}");
    // A reader that stands behind is woken, so that it learns of its loss.
    bus.wait(Topic::Calls, &[(0, 3)]).await.unwrap();
    assert_eq!(bus.append(vec![entry(Topic::Calls, 0, "y")]).await.unwrap(), [15]);
    drop(bus);
    let bus = rig.open().await;
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (15, 16));
    assert_eq!(bus.range(Topic::Calls, 1).await.unwrap(), (15, 15));
    assert_eq!(bus.append(vec![entry(Topic::Calls, 1, "z")]).await.unwrap(), [15]);
}
