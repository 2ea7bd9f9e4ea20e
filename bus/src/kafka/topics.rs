//! The topics: made where they are missing, and checked: with other settings the brokers could drop what a stage has not read.

use std::time::Duration;

use model::Topic;
use rdkafka::admin::{AdminOptions, ConfigResourceResult, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;
use tokio::task::spawn_blocking;
use tracing::info;

use super::Shared;
use crate::{BusError, PAYLOAD_BYTES_MAX, clock};

/// How long brokers may take to answer the first time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long new topics may take until each lane has a leader.
const LEADERS_TIMEOUT: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A payload with the batch around it, with room to spare.
const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + (64 << 10);

/// Copies of a record, where nobody says.
const REPLICATION_DEFAULT: usize = 3;

/// Makes the missing topics, waits until each lane can be written, checks the settings.
pub(super) async fn prepare(shared: &std::sync::Arc<Shared>) -> Result<(), BusError> {
    let metadata = fetch(shared, CONNECT_TIMEOUT).await?;
    let known: Vec<&str> = metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name).collect();
    let missing: Vec<Topic> =
        Topic::ALL.iter().copied().filter(|topic| !known.contains(&&*shared.topic_name(*topic))).collect();
    if !missing.is_empty() {
        make(shared, &missing, metadata.brokers().len()).await?;
    }
    check_partitions(shared).await?;
    check_settings(shared).await
}

async fn fetch(shared: &std::sync::Arc<Shared>, timeout: Duration) -> Result<Metadata, BusError> {
    let asking = shared.clone();
    let fetched = spawn_blocking(move || asking.asker.fetch_metadata(None, timeout)).await;
    let unreachable = |reason: String| BusError::Unreachable { servers: shared.servers.clone(), reason };
    match fetched {
        Ok(Ok(metadata)) => Ok(metadata),
        Ok(Err(why)) => {
            // What the library has to say of its connections is said when it is polled.
            let _ = shared.asker.poll(Duration::ZERO);
            Err(unreachable(shared.context.explain(&why)))
        }
        Err(why) => Err(unreachable(why.to_string())),
    }
}

async fn make(shared: &Shared, missing: &[Topic], n_brokers: usize) -> Result<(), BusError> {
    let copies = match usize::from(shared.config.replication) {
        0 => n_brokers.clamp(1, REPLICATION_DEFAULT),
        asked => asked,
    };
    // With three copies a record is acknowledged when two hold it: one broker may be away, and none may lose it.
    let in_sync = if copies >= 3 { "2" } else { "1" };
    let names: Vec<String> = missing.iter().map(|topic| shared.topic_name(*topic)).collect();
    let message_bytes = MESSAGE_BYTES_MAX.to_string();
    let topics: Vec<NewTopic<'_>> = names
        .iter()
        .map(|name| {
            let partitions = i32::try_from(shared.config.partitions).unwrap_or(i32::MAX);
            let copies = TopicReplication::Fixed(i32::try_from(copies).unwrap_or(i32::MAX));
            NewTopic::new(name, partitions, copies)
                .set("cleanup.policy", "delete")
                .set("retention.ms", "-1")
                .set("retention.bytes", "-1")
                .set("message.timestamp.type", "LogAppendTime")
                .set("unclean.leader.election.enable", "false")
                .set("min.insync.replicas", in_sync)
                .set("max.message.bytes", &message_bytes)
        })
        .collect();
    let timeout = Some(LEADERS_TIMEOUT);
    let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
    let made = shared.admin.create_topics(&topics, &options).await;
    for result in made.map_err(|why| shared.failed("make topics on", &why))? {
        match result {
            Ok(name) => info!(topic = name, copies, "topic made"),
            // Another process was faster.
            Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((name, why)) => {
                return Err(shared.failed("make topics on", &format_args!("{name}: {why}")));
            }
        }
    }
    Ok(())
}

async fn check_partitions(shared: &std::sync::Arc<Shared>) -> Result<(), BusError> {
    let begun = clock::mono();
    loop {
        let metadata = fetch(shared, CONNECT_TIMEOUT).await?;
        let mut n_led = 0;
        for topic in Topic::ALL {
            let name = shared.topic_name(*topic);
            let Some(found) = metadata.topics().iter().find(|found| found.name() == name) else { continue };
            let asked = shared.config.partitions;
            let stored = u32::try_from(found.partitions().len()).unwrap_or(u32::MAX);
            if stored != 0 && stored != asked {
                return Err(BusError::TopicPartitions { topic: name, stored, asked });
            }
            let is_led =
                |lane: &rdkafka::metadata::MetadataPartition| lane.leader() >= 0 && lane.error().is_none();
            n_led += usize::from(stored != 0 && found.partitions().iter().all(is_led));
        }
        if n_led == Topic::ALL.len() {
            return Ok(());
        }
        if clock::mono().saturating_duration_since(begun) > LEADERS_TIMEOUT {
            let reason = "some lanes have no leader: too few brokers are up".to_owned();
            return Err(BusError::Unreachable { servers: shared.servers.clone(), reason });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn check_settings(shared: &Shared) -> Result<(), BusError> {
    let names: Vec<String> = Topic::ALL.iter().map(|topic| shared.topic_name(*topic)).collect();
    let asked: Vec<ResourceSpecifier<'_>> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(CONNECT_TIMEOUT));
    let begun = clock::mono();
    loop {
        let described = shared.admin.describe_configs(&asked, &options).await;
        let described = described.map_err(|why| shared.failed("read settings of", &why))?;
        // A topic that was just made may be news to the broker that is asked: of several, each learns of it in its own time.
        let is_late = clock::mono().saturating_duration_since(begun) > LEADERS_TIMEOUT;
        if is_late || described.iter().all(is_known) {
            return names.iter().zip(described).try_for_each(|(name, found)| judge(shared, name, found));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Whether the broker that was asked knows the topic.
fn is_known(described: &ConfigResourceResult) -> bool {
    match described {
        Ok(found) => NEEDED.iter().all(|(setting, _)| found.get(setting).is_some()),
        Err(why) => *why != RDKafkaErrorCode::UnknownTopicOrPartition,
    }
}

/// Whether its settings are as they must be.
fn judge(shared: &Shared, name: &str, described: ConfigResourceResult) -> Result<(), BusError> {
    let resource =
        described.map_err(|why| shared.failed("read settings of", &format_args!("{name}: {why}")))?;
    for (setting, needed) in NEEDED {
        let found = resource.get(setting).and_then(|entry| entry.value.clone()).unwrap_or_default();
        if !needed.holds(&found) {
            return Err(BusError::TopicSetting {
                topic: name.to_owned(),
                setting,
                found,
                needed: needed.text(),
                why: needed.why(),
            });
        }
    }
    Ok(())
}

/// What a setting must be.
enum Needed {
    Is(&'static str, &'static str),
    AtLeast(usize, &'static str),
}

const LOST: &str = "the brokers would drop records that a stage has not read; tollbook drops them itself (`bus.kafka.retention`)";

const NEEDED: [(&str, Needed); 6] = [
    ("cleanup.policy", Needed::Is("delete", LOST)),
    ("retention.ms", Needed::Is("-1", LOST)),
    ("retention.bytes", Needed::Is("-1", LOST)),
    (
        "message.timestamp.type",
        Needed::Is("LogAppendTime", "records are kept by the time of their append, by one clock"),
    ),
    (
        "unclean.leader.election.enable",
        Needed::Is("false", "a broker that has missed records could become the one that is asked"),
    ),
    ("max.message.bytes", Needed::AtLeast(MESSAGE_BYTES_MAX, "large records would be refused")),
];

impl Needed {
    fn holds(&self, found: &str) -> bool {
        match self {
            Needed::Is(value, _) => found == *value,
            Needed::AtLeast(least, _) => found.parse::<usize>().is_ok_and(|found| found >= *least),
        }
    }

    fn text(&self) -> String {
        match self {
            Needed::Is(value, _) => (*value).to_owned(),
            Needed::AtLeast(least, _) => least.to_string(),
        }
    }

    const fn why(&self) -> &'static str {
        match self {
            Needed::Is(_, why) | Needed::AtLeast(_, why) => why,
        }
    }
}
