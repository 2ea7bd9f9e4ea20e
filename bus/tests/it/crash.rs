//! kill -9: whatever was acknowledged is there afterwards, whole, and in its place.
//!
//! The process that is killed is this test binary, started again with [`DIR`] set.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use futures::future::join_all;
use model::Topic;

use crate::contract::{entry, read_all};
use crate::embedded::config;

const DIR: &str = "BUS_CRASH_DIR";
const FIRST_ID: &str = "BUS_CRASH_FIRST_ID";
const SEGMENT_BYTES: &str = "BUS_CRASH_SEGMENT_BYTES";
const APPENDERS: u64 = 4;
const PARTITIONS: u32 = 3;

/// The id first; the rest, of a length that depends on it, follows from it: a torn record gives itself away.
fn payload(id: u64) -> Vec<u8> {
    let len = 8 + usize::try_from(id * 37 % 900).unwrap();
    id.to_be_bytes().into_iter().cycle().take(len).collect()
}

fn id_of(bytes: &[u8]) -> u64 {
    let id = u64::from_be_bytes(bytes[..8].try_into().unwrap());
    assert_eq!(bytes, payload(id), "torn record {id}");
    id
}

fn lane(id: u64) -> (Topic, u32) {
    let topic = if id.is_multiple_of(5) { Topic::Cdrs } else { Topic::Calls };
    (topic, u32::try_from(id % u64::from(PARTITIONS)).unwrap())
}

fn crash_config(segment_bytes: u64) -> EmbeddedConfig {
    EmbeddedConfig { partitions: PARTITIONS, segment_bytes, ..config() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the process that the tests below kill"]
async fn appends_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let bus = EmbeddedBus::open(Path::new(&dir), crash_config(number(SEGMENT_BYTES))).unwrap();
    let first_id = number(FIRST_ID);
    let appender = |appender: u64| {
        let bus = &bus;
        async move {
            let mut id = first_id + appender;
            loop {
                let ids: Vec<u64> = (0..=id % 7).map(|idx| id + idx * APPENDERS).collect();
                id += ids.len() as u64 * APPENDERS;
                let entries = ids.iter().map(|id| entry(lane(*id).0, lane(*id).1, payload(*id))).collect();
                let offsets = bus.append(entries).await.unwrap();
                let acks = ids.iter().zip(offsets).map(|(id, offset)| format!("ack {id} {offset}\n"));
                print!("{}", acks.collect::<String>());
            }
        }
    };
    join_all((0..APPENDERS).map(appender)).await;
}

fn survives(rounds: u64, segment_bytes: u64) {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    // What was acknowledged: id by topic, partition and offset.
    let mut acked: BTreeMap<(Topic, u32, u64), u64> = BTreeMap::new();
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::appends_until_killed", "--ignored", "--nocapture"])
            .env(DIR, dir.path())
            .env(FIRST_ID, (round * 1_000_000).to_string())
            .env(SEGMENT_BYTES, segment_bytes.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let kill_after = acked.len() + 1 + usize::try_from(round * 397 % 2500).unwrap();
        let mut is_killed = false;
        loop {
            let mut line = String::new();
            stdout.read_line(&mut line).unwrap();
            if line.is_empty() {
                break;
            }
            // The last line may be cut by the kill; its append may or may not have been acknowledged to anybody.
            let Some(ack) = line.strip_prefix("ack ").and_then(|line| line.strip_suffix('\n')) else {
                continue;
            };
            let (id, offset) = ack.split_once(' ').unwrap();
            let (id, offset): (u64, u64) = (id.parse().unwrap(), offset.parse().unwrap());
            let (topic, partition) = lane(id);
            assert_eq!(acked.insert((topic, partition, offset), id), None, "one offset, two records");
            if !is_killed && acked.len() >= kill_after {
                child.kill().unwrap();
                is_killed = true;
            }
        }
        assert!(is_killed, "the appender ended by itself in round {round}");
        child.wait().unwrap();
        runtime.block_on(check(dir.path(), segment_bytes, &acked, round));
    }
}

async fn check(dir: &Path, segment_bytes: u64, acked: &BTreeMap<(Topic, u32, u64), u64>, round: u64) {
    let bus = EmbeddedBus::open(dir, crash_config(segment_bytes)).unwrap();
    let mut found = 0;
    for topic in [Topic::Calls, Topic::Cdrs] {
        for partition in 0..PARTITIONS {
            let records = read_all(&bus, topic, partition, 0).await;
            let end = bus.range(topic, partition).await.unwrap().1;
            assert_eq!(records.len() as u64, end, "{topic}/{partition} in round {round}");
            for record in records {
                let id = id_of(&record.payload);
                assert_eq!(lane(id), (topic, partition));
                if let Some(acked) = acked.get(&(topic, partition, record.offset)) {
                    assert_eq!(id, *acked, "{topic}/{partition}/{} in round {round}", record.offset);
                    found += 1;
                }
            }
        }
    }
    assert_eq!(found, acked.len(), "acknowledged records lost in round {round}");
}

#[test]
fn nothing_acknowledged_is_lost_over_twelve_kills() {
    survives(12, 256 << 20);
}

#[test]
fn nothing_acknowledged_is_lost_over_twelve_kills_while_segments_begin() {
    survives(12, 65_536);
}
