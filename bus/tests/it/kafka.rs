//! The log on real Kafka brokers: the same contract as the embedded one, what several processes share, what a dying broker does,
//! and what is said of topics that would lose records.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bus::{Bus, BusError, Compression, KafkaBus, KafkaConfig, KafkaSasl, KafkaTls, Mechanism};
use model::Topic;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use tempfile::TempDir;

use crate::broker::{self, Cluster, Door};
use crate::contract::{Rig, contract_tests, entry, read_all};

/// One broker for all cases, each with topics of its own.
fn one_broker() -> &'static Cluster {
    static BROKER: OnceLock<(TempDir, Cluster)> = OnceLock::new();
    let (_, cluster) = BROKER.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let cluster = Cluster::start(dir.path(), 1, Door::Open);
        (dir, cluster)
    });
    cluster
}

/// Nobody else's topics.
fn config() -> KafkaConfig {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    KafkaConfig {
        topic_prefix: format!("case{}", NEXT.fetch_add(1, Ordering::Relaxed)),
        partitions: 4,
        ..KafkaConfig::default()
    }
}

struct KafkaRig {
    url: String,
    config: KafkaConfig,
}

#[async_trait]
impl Rig for KafkaRig {
    async fn open(&self) -> Box<dyn Bus> {
        Box::new(KafkaBus::open(&self.url, self.config.clone()).await.unwrap())
    }
}

mod as_shipped {
    use super::*;

    fn rig() -> Option<KafkaRig> {
        broker::at_hand().then(|| KafkaRig { url: one_broker().url(), config: config() })
    }

    contract_tests!(rig());
}

/// Another process reads what this one writes, and is woken by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reader_in_another_process_is_woken_and_misses_nothing() {
    if !broker::at_hand() {
        return;
    }
    let (url, config) = (one_broker().url(), config());
    let writer = KafkaBus::open(&url, config.clone()).await.unwrap();
    let reader = KafkaBus::open(&url, config).await.unwrap();
    let read = async {
        let mut positions = [(0, 0), (1, 0), (2, 0), (3, 0)];
        let mut n_read = 0;
        while n_read < 500 {
            reader.wait(Topic::Calls, &positions).await.unwrap();
            for (partition, position) in &mut positions {
                let batch = reader.read(Topic::Calls, *partition, *position, 64).await.unwrap();
                n_read += batch.records.len();
                *position = batch.next;
            }
        }
        positions
    };
    let write = async {
        for idx in 0..500_u32 {
            writer.append(vec![entry(Topic::Calls, idx % 4, format!("{idx}"))]).await.unwrap();
        }
    };
    let both = async { tokio::join!(read, write).0 };
    let positions = tokio::time::timeout(Duration::from_secs(60), both).await.expect("the reader is woken");
    assert!(positions.iter().all(|(_, position)| *position == 125), "{positions:?}");
}

/// Eight stages of one process, each at its own pace and place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_far_apart_do_not_disturb_each_other() {
    if !broker::at_hand() {
        return;
    }
    let config = KafkaConfig { cache_bytes: 10_000, compression: Compression::Zstd, ..config() };
    let bus = Arc::new(KafkaBus::open(&one_broker().url(), config).await.unwrap());
    for batch in 0..50_u32 {
        let entries = (0..200).map(|idx| entry(Topic::Rated, 0, format!("{:0>100}", batch * 200 + idx)));
        bus.append(entries.collect()).await.unwrap();
    }
    let readers = (0..6_u32).map(|reader| {
        let bus = bus.clone();
        tokio::spawn(async move {
            let mut position = u64::from(reader) * 1_500;
            let max = 50 + 37 * usize::try_from(reader).unwrap();
            while position < 10_000 {
                let batch = bus.read(Topic::Rated, 0, position, max).await.unwrap();
                for record in &batch.records {
                    let number: u64 = std::str::from_utf8(&record.payload).unwrap().parse().unwrap();
                    assert_eq!((record.offset, number), (position, position));
                    position += 1;
                }
                assert_eq!(batch.next, position);
                tokio::time::sleep(Duration::from_millis(u64::from(reader))).await;
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.unwrap();
    }
}

/// The broker dies while records are on their way, twice: every acknowledged one is there, in order and without a gap.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_go_on_without_gap_when_the_broker_comes_back() {
    if !broker::at_hand() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cluster = Arc::new(Cluster::start(dir.path(), 1, Door::Open));
    let config = KafkaConfig { patience: Duration::from_secs(3), ..config() };
    let bus = KafkaBus::open(&cluster.url(), config).await.unwrap();
    let dying = tokio::task::spawn_blocking({
        let cluster = cluster.clone();
        move || {
            for _ in 0..2 {
                std::thread::sleep(Duration::from_secs(1));
                cluster.kill(0);
                std::thread::sleep(Duration::from_secs(4));
                cluster.restart(0);
            }
        }
    });
    let mut n_failed = 0;
    let mut next = 0_u64;
    while !dying.is_finished() || next < 2_000 {
        let entries: Vec<_> = (next..next + 20).map(|n| entry(Topic::Calls, 1, n.to_string())).collect();
        // As a stage does: what was not acknowledged is written again from where it began.
        match bus.append(entries).await {
            Ok(_) => next += 20,
            Err(why) => {
                assert!(why.retry_helps(), "{why}");
                n_failed += 1;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert!(n_failed > 0, "the broker was away for longer than anybody waits");
    let mut seen = 0_u64;
    for record in read_all(&bus, Topic::Calls, 1, 0).await {
        let n: u64 = std::str::from_utf8(&record.payload).unwrap().parse().unwrap();
        assert!(n <= seen, "a gap before {n}: only {seen} had come");
        seen = seen.max(n + 1);
    }
    assert_eq!(seen, next);
}

/// Over TLS with a SCRAM password, and what is said when they are wrong.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_password_let_us_in_and_a_wrong_one_says_so() {
    if !broker::at_hand() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, Door::Locked);
    let password = dir.path().join("password");
    std::fs::write(&password, format!("{}\n", broker::PASSWORD)).unwrap();
    let tls = KafkaTls { roots: Some(cluster.certificate()), ..KafkaTls::default() };
    let sasl = KafkaSasl {
        mechanism: Mechanism::ScramSha512,
        user: broker::USER.to_owned(),
        password_file: Some(password.clone()),
        password_env: None,
    };
    let config = KafkaConfig { tls: Some(tls), sasl: Some(sasl), ..config() };
    let bus = KafkaBus::open(&cluster.url(), config.clone()).await.unwrap();
    assert_eq!(bus.append(vec![entry(Topic::Calls, 0, "x")]).await.unwrap(), [0]);
    assert_eq!(read_all(&bus, Topic::Calls, 0, 0).await.len(), 1);

    std::fs::write(&password, "wrong").unwrap();
    let message = KafkaBus::open(&cluster.url(), config.clone()).await.err().unwrap().to_string();
    assert!(message.contains("uthentication failed") && !message.contains("wrong"), "{message}");
    let unknown = KafkaConfig { tls: None, sasl: None, ..config };
    assert!(matches!(KafkaBus::open(&cluster.url(), unknown).await, Err(BusError::Unreachable { .. })));
}

#[tokio::test]
async fn brokers_that_are_not_there_are_named() {
    let error = KafkaBus::open("kafka://127.0.0.1:1", config()).await.err().unwrap();
    assert!(matches!(error, BusError::Unreachable { .. }) && error.retry_helps());
    let message = error.to_string();
    assert!(message.contains("127.0.0.1:1") && message.contains("refused"), "{message}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topic_that_would_lose_records_is_refused() {
    if !broker::at_hand() {
        return;
    }
    let (url, config) = (one_broker().url(), config());
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", url.trim_start_matches("kafka://")).create().unwrap();
    let name = format!("{}.calls", config.topic_prefix);
    let short = NewTopic::new(&name, 4, TopicReplication::Fixed(1)).set("retention.ms", "60000");
    admin.create_topics([&short], &AdminOptions::new()).await.unwrap();
    let error = KafkaBus::open(&url, config.clone()).await.err().unwrap();
    let message = error.to_string();
    assert!(matches!(error, BusError::TopicSetting { setting: "retention.ms", .. }), "{message}");
    assert!(message.contains(&name) && message.contains("\"60000\" and needs -1"), "{message}");

    let other = KafkaConfig { partitions: 8, ..config };
    let message = KafkaBus::open(&url, other).await.err().unwrap().to_string();
    assert!(message.contains("has 4 partitions and the configuration asks for 8"), "{message}");
}
