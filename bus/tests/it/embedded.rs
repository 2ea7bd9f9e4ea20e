//! The embedded log: the contract, retention on disk, and what is said when the directory is not what it should be.

use std::fs;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, BusError, EmbeddedBus, EmbeddedConfig};
use chrono::{DateTime, Utc};
use model::Topic;
use tempfile::TempDir;

use crate::contract::{Rig, contract_tests, entry, read_all};

struct EmbeddedRig {
    dir: TempDir,
    config: EmbeddedConfig,
}

impl EmbeddedRig {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap(), config: config() }
    }
}

#[async_trait]
impl Rig for EmbeddedRig {
    async fn open(&self) -> Box<dyn Bus> {
        Box::new(EmbeddedBus::open(self.dir.path(), self.config.clone()).unwrap())
    }
}

/// As shipped, but content with any disk.
pub(crate) fn config() -> EmbeddedConfig {
    EmbeddedConfig { free_bytes_min: 0, ..EmbeddedConfig::default() }
}

mod as_shipped {
    use super::*;

    contract_tests!(Some(EmbeddedRig::new()));
}

/// Every append begins a new segment: what holds across segments holds.
mod in_the_smallest_segments {
    use super::*;

    fn rig() -> EmbeddedRig {
        let config = EmbeddedConfig { segment_span: Duration::ZERO, ..config() };
        EmbeddedRig { dir: tempfile::tempdir().unwrap(), config }
    }

    contract_tests!(Some(rig());
        keeps_order_within_a_partition,
        batch_over_many_lanes_returns_the_offset_of_each_entry,
        reading_resumes_where_the_last_batch_ended,
        records_and_offsets_survive_reopening,
        expired_read_names_the_oldest_offset_and_offsets_go_on,
    );
}

/// Appends of one record and of many, small and large ones, over two lanes, in one fsync or in several.
#[tokio::test]
async fn records_appended_together_are_read_from_any_place_and_in_any_portions() {
    let dir = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    let payload = |n: u32| format!("{n}:{}", "x".repeat([3, 200, 20_000, 0][n as usize % 4])).into_bytes();
    let (mut n, mut expected) = (0, Vec::new());
    for count in [1, 2, 40, 1, 7, 100] {
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(entry(Topic::Cdrs, n % 2, payload(n)));
            if n % 2 == 1 {
                expected.push(payload(n));
            }
            n += 1;
        }
        bus.append(entries).await.unwrap();
    }
    drop(bus);
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    assert_eq!(bus.range(Topic::Cdrs, 1).await.unwrap(), (0, expected.len() as u64));
    for from in 0..expected.len() {
        for portion in [1, 2, 3, 50, 1_000] {
            let batch = bus.read(Topic::Cdrs, 1, from as u64, portion).await.unwrap();
            let to = expected.len().min(from + portion);
            let found: Vec<&[u8]> = batch.records.iter().map(|stored| &*stored.payload).collect();
            assert_eq!(batch.next, to as u64, "{from} {portion}");
            assert!(found == expected[from..to], "{from} {portion}");
            assert_eq!(batch.records[0].offset, from as u64);
        }
    }
}

fn disk_bytes(dir: &Path) -> u64 {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata().unwrap() {
            meta if meta.is_dir() => disk_bytes(&entry.path()),
            meta => meta.len(),
        })
        .sum()
}

#[tokio::test]
async fn what_some_reader_may_not_have_seen_stays_beyond_age_and_size() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { segment_bytes: 65_536, retain_bytes: Some(1), ..config() };
    let bus = EmbeddedBus::open(dir.path(), config).unwrap();
    for batch in 0..4 {
        bus.append(vec![entry(Topic::Calls, 0, vec![batch; 70_000])]).await.unwrap();
    }
    let late = DateTime::<Utc>::MAX_UTC;
    assert_eq!(bus.expire(late, DateTime::UNIX_EPOCH).await.unwrap().records, 0);
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (0, 4));
    assert_eq!(bus.expire(late, late).await.unwrap().records, 4);
}

#[tokio::test]
async fn size_limit_drops_the_oldest_segments_and_keeps_at_least_what_was_asked() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { segment_bytes: 65_536, retain_bytes: Some(200_000), ..config() };
    let bus = EmbeddedBus::open(dir.path(), config.clone()).unwrap();
    for batch in 0..100 {
        let entries = (0..10).map(|_| entry(Topic::Calls, 0, vec![batch; 1000])).collect();
        bus.append(entries).await.unwrap();
    }
    bus.append(vec![entry(Topic::Cdrs, 0, "of another topic")]).await.unwrap();
    let expired = bus.expire(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC).await.unwrap();
    let (oldest, end) = bus.range(Topic::Calls, 0).await.unwrap();
    assert_eq!((expired.records, end), (oldest, 1000));
    let kept_bytes = (end - oldest) * 1013;
    assert!((200_000..300_000).contains(&kept_bytes), "{kept_bytes}");
    assert_eq!(read_all(&bus, Topic::Calls, 0, oldest).await.len() as u64, end - oldest);
    assert_eq!(bus.range(Topic::Cdrs, 0).await.unwrap(), (0, 1));
    assert_eq!(
        bus.expire(DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC).await.unwrap().records,
        0,
        "once is enough"
    );
    drop(bus);
    let bus = EmbeddedBus::open(dir.path(), config).unwrap();
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (oldest, end));
    assert_eq!(read_all(&bus, Topic::Calls, 0, oldest).await.len() as u64, end - oldest);
}

#[tokio::test]
async fn dropped_segments_give_their_disk_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    // Above the memory that the database holds back, so that sorted files are written.
    for _ in 0..40 {
        bus.append(vec![entry(Topic::Calls, 0, noise(1_000_000))]).await.unwrap();
    }
    let keyspaces = dir.path().join("log/keyspaces");
    while disk_bytes(&keyspaces) < 15_000_000 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let later = DateTime::from_timestamp(4_102_444_800, 0).unwrap();
    assert_eq!(bus.expire(later, DateTime::<Utc>::MAX_UTC).await.unwrap().records, 40);
    drop(bus);
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    assert!(disk_bytes(&keyspaces) < 1_000_000, "{}", disk_bytes(&keyspaces));
    assert_eq!(bus.range(Topic::Calls, 0).await.unwrap(), (40, 40));
}

/// Bytes that do not compress: the numbers of SplitMix64.
pub(crate) fn noise(len: u64) -> Vec<u8> {
    let number = |at: u64| {
        let mut mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..len).map(|at| (number(at) >> 56) as u8).collect()
}

#[tokio::test]
async fn age_counts_from_the_append() {
    let dir = tempfile::tempdir().unwrap();
    let config = EmbeddedConfig { retention: Duration::from_secs(3600), ..config() };
    let bus = EmbeddedBus::open(dir.path(), config).unwrap();
    #[expect(clippy::disallowed_methods, reason = "the log stamps appends with the clock")]
    let now = Utc::now();
    bus.append(vec![entry(Topic::Calls, 0, "x")]).await.unwrap();
    assert_eq!(
        bus.expire(now + Duration::from_secs(3500), DateTime::<Utc>::MAX_UTC).await.unwrap().records,
        0
    );
    assert_eq!(
        bus.expire(now + Duration::from_secs(7200), DateTime::<Utc>::MAX_UTC).await.unwrap().records,
        1
    );
}

#[test]
fn second_opening_is_refused_while_the_first_lives() {
    let dir = tempfile::tempdir().unwrap();
    let first = EmbeddedBus::open(dir.path(), config()).unwrap();
    let error = EmbeddedBus::open(dir.path(), config()).err().unwrap();
    assert!(matches!(error, BusError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("open in another process"), "{error}");
    first.close();
    EmbeddedBus::open(dir.path(), config()).unwrap();
}

#[test]
fn number_of_partitions_cannot_change() {
    let dir = tempfile::tempdir().unwrap();
    EmbeddedBus::open(dir.path(), config()).unwrap().close();
    let error = EmbeddedBus::open(dir.path(), EmbeddedConfig { partitions: 8, ..config() }).err().unwrap();
    let message = error.to_string();
    assert!(message.contains("has 16 partitions and the configuration asks for 8"), "{message}");
    assert!(message.contains("set `bus.partitions = 16`"), "{message}");
    EmbeddedBus::open(dir.path(), config()).unwrap();
}

#[test]
fn directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "not a directory").unwrap();
    let error = EmbeddedBus::open(&file.join("bus"), config()).err().unwrap();
    assert!(matches!(error, BusError::Unwritable { .. }), "{error}");
    assert!(error.to_string().contains("file/bus"), "{error}");
    // Nobody may make a directory there, not even root.
    let error = EmbeddedBus::open(Path::new("/proc/tollbook-bus"), config()).err().unwrap();
    assert!(matches!(error, BusError::Unwritable { .. }), "{error}");
}

#[test]
fn log_whose_making_was_interrupted_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("log.new/keyspaces")).unwrap();
    fs::write(dir.path().join("log.new/0.jnl"), "half").unwrap();
    EmbeddedBus::open(dir.path(), config()).unwrap();
    assert!(!dir.path().join("log.new").exists());
}

#[tokio::test]
async fn appends_stop_before_the_disk_is_full_and_nothing_of_them_is_visible() {
    let dir = tempfile::tempdir().unwrap();
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    bus.append(vec![entry(Topic::Calls, 0, "before")]).await.unwrap();
    drop(bus);
    let greedy = EmbeddedConfig { free_bytes_min: u64::MAX / 2, ..config() };
    let bus = EmbeddedBus::open(dir.path(), greedy).unwrap();
    let error = bus.append(vec![entry(Topic::Calls, 0, "refused")]).await.unwrap_err();
    assert!(matches!(error, BusError::DiskFull { .. }) && error.retry_helps(), "{error}");
    assert_eq!(read_all(&bus, Topic::Calls, 0, 0).await.len(), 1, "what is there can be read");
    drop(bus);
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    assert_eq!(bus.append(vec![entry(Topic::Calls, 0, "after")]).await.unwrap(), [1]);
}

/// A log that goes on where another one was: offsets, what is read from them, and what is appended next.
#[tokio::test]
async fn log_made_of_a_copy_begins_and_ends_where_the_other_did() {
    let dir = tempfile::tempdir().unwrap();
    let begin = |topic: Topic, partition: u32| if (topic, partition) == (Topic::Cdrs, 1) { 70 } else { 0 };
    {
        let bus = EmbeddedBus::create_at(dir.path(), config(), begin).unwrap();
        assert_eq!(bus.range(Topic::Cdrs, 1).await.unwrap(), (70, 70));
        assert_eq!(bus.append(vec![entry(Topic::Cdrs, 1, "a")]).await.unwrap(), [70]);
    }
    let bus = EmbeddedBus::open(dir.path(), config()).unwrap();
    assert_eq!(bus.range(Topic::Cdrs, 1).await.unwrap(), (70, 71));
    assert_eq!(bus.range(Topic::Cdrs, 0).await.unwrap(), (0, 0));
    assert!(matches!(bus.read(Topic::Cdrs, 1, 0, 1).await, Err(BusError::Expired { oldest: 70, .. })));
    drop(bus);
    let again = EmbeddedBus::create_at(dir.path(), config(), begin).err().map(|why| why.to_string());
    assert!(again.is_some_and(|why| why.contains("exists")), "a log was put over another");
}
