//! The log on a cluster of Kafka brokers, through librdkafka.
//!
//! Appends go through one idempotent producer that never gives up and never lets a later record overtake an earlier one: so what
//! a stage writes arrives without a gap, whatever is repeated. Reading is by position ([`strand`]); Kafka's consumer groups and
//! stored offsets are not used, positions are committed by their owners. [`topics`] makes and checks the topics.

mod client;
mod context;
mod ends;
mod strand;
mod topics;

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use model::Topic;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use context::{Context, Delivery, Pending};
use ends::Ends;
use strand::{Look, Strand};

use crate::{Batch, Bus, BusError, Entry, Expired, KafkaConfig, PAYLOAD_BYTES_MAX, clock, topic_idx};

/// Bytes on their way to the brokers at most; further appends wait for room.
const QUEUE_BYTES_MAX: u32 = 32 << 20;
/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = 64;
/// Places in each lane at most: as many readers of one topic may stand far apart.
const STRANDS_MAX: usize = 8;
/// How often the client library is let speak.
const TEND_EVERY: Duration = Duration::from_millis(200);
/// Pause between questions to a lane that has no leader at the moment.
const ASK_AGAIN: Duration = Duration::from_millis(50);
/// A reader that gets nothing for so long looks whether the lane is still what it was.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// The log on a Kafka cluster. Any number of processes may have it open.
pub struct KafkaBus {
    shared: Arc<Shared>,
    tending: Option<JoinHandle<()>>,
}

struct Shared {
    config: KafkaConfig,
    servers: String,
    client: ClientConfig,
    context: Context,
    ends: Arc<Ends>,
    admin: AdminClient<Context>,
    /// For questions to the brokers; it reads nothing.
    asker: BaseConsumer<Context>,
    producer: Mutex<Arc<ThreadedProducer<Context>>>,
    /// Held while the records of one append are handed over, so that they lie together.
    order: Mutex<()>,
    room: Arc<Semaphore>,
    strands: Vec<Mutex<Vec<Arc<Strand>>>>,
    closed: std::sync::atomic::AtomicBool,
}

impl KafkaBus {
    /// Connects to the brokers of `url` (`kafka://host:9092,other:9092`), makes the topics that are missing, and checks those that
    /// are there.
    ///
    /// # Errors
    ///
    /// [`BusError::Unreachable`], [`BusError::TopicPartitions`], [`BusError::TopicSetting`] and [`BusError::Config`], each with what
    /// to do about it.
    pub async fn open(url: &str, config: KafkaConfig) -> Result<Self, BusError> {
        config.validate()?;
        let servers = url.strip_prefix("kafka://").unwrap_or(url).trim_end_matches('/').to_owned();
        if servers.is_empty() {
            let rule = "it must name a broker, such as \"kafka://host:9092\"";
            return Err(BusError::Config { key: "url", value: format!("{url:?}"), rule });
        }
        let client = client::common(&config, &servers)?;
        let ends = Arc::new(Ends::new(config.partitions));
        let context = Context::new(ends.clone());
        let unusable = |why: rdkafka::error::KafkaError| BusError::Unreachable {
            servers: servers.clone(),
            reason: why.to_string(),
        };
        let admin: AdminClient<Context> = client.create_with_context(context.clone()).map_err(unusable)?;
        let asker = consumer(&client, &config, &context).map_err(unusable)?;
        let producer = Arc::new(producer(&client, &config, &context).map_err(unusable)?);
        let shared = Arc::new(Shared {
            strands: Topic::ALL.iter().map(|_| Mutex::default()).collect(),
            servers,
            client,
            context,
            ends,
            admin,
            asker,
            producer: Mutex::new(producer),
            order: Mutex::new(()),
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize)),
            closed: std::sync::atomic::AtomicBool::new(false),
            config,
        });
        topics::prepare(&shared).await?;
        let tending = thread::Builder::new().name("bus-kafka".to_owned()).spawn({
            let shared = shared.clone();
            move || shared.tend()
        });
        let tending = tending.map_err(|why| BusError::Unreachable {
            servers: shared.servers.clone(),
            reason: format!("a thread cannot be started: {why}"),
        })?;
        info!(servers = shared.servers, partitions = shared.config.partitions, "log opened");
        Ok(Self { shared, tending: Some(tending) })
    }

    fn check_partition(&self, partition: u32) -> Result<(), BusError> {
        let partitions = self.shared.config.partitions;
        if partition >= partitions {
            return Err(BusError::NoSuchPartition { partition, partitions });
        }
        Ok(())
    }

    /// Asks the brokers for the range of a lane.
    async fn ask_range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError> {
        let shared = self.shared.clone();
        self.blocking(move || shared.ask_range(topic, partition)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BusError> + Send + 'static,
    ) -> Result<T, BusError> {
        spawn_blocking(work).await.unwrap_or_else(|why| Err(self.shared.failed("wait for a thread", &why)))
    }

    /// What of a lane has come so far.
    fn look(&self, topic: Topic, partition: u32, from: u64, records_max: usize) -> Look {
        let strands =
            self.shared.strands[topic_idx(topic)].lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut is_here = false;
        for strand in &strands {
            match strand.look(partition, from, records_max, &self.shared.ends) {
                Look::NotHere => {}
                Look::Dry => is_here = true,
                Look::Records(records) => return Look::Records(records),
            }
        }
        if is_here { Look::Dry } else { Look::NotHere }
    }

    /// Makes sure that somebody stands at `from` of a lane.
    async fn stand(&self, topic: Topic, partition: u32, from: u64) -> Result<(), BusError> {
        let shared = self.shared.clone();
        self.blocking(move || shared.stand(topic, partition, from)).await
    }
}

impl Drop for KafkaBus {
    fn drop(&mut self) {
        self.shared.closed.store(true, std::sync::atomic::Ordering::Release);
        if let Some(tending) = self.tending.take() {
            tending.thread().unpark();
            if tending.join().is_err() {
                warn!("the thread that tends the Kafka client had panicked");
            }
        }
    }
}

#[async_trait]
impl Bus for KafkaBus {
    fn partitions(&self) -> u32 {
        self.shared.config.partitions
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<u64>, BusError> {
        let mut bytes = 0;
        for entry in &entries {
            self.check_partition(entry.partition)?;
            if entry.payload.len() > PAYLOAD_BYTES_MAX {
                return Err(BusError::TooLarge { topic: entry.topic, bytes: entry.payload.len() });
            }
            bytes += ENTRY_BYTES + entry.payload.len();
        }
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let shared = &self.shared;
        let appending = async {
            let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(QUEUE_BYTES_MAX);
            let room = shared.room.clone();
            let room = room.acquire_many_owned(permits).await.map_err(|_| BusError::Closed)?;
            let (pending, acknowledged) = Pending::new(entries.len(), room);
            shared.hand_over(&entries, &pending);
            drop(pending);
            match acknowledged.await {
                Ok(Ok(offsets)) => Ok(offsets),
                Ok(Err(why)) => Err(shared.failed("append to", &why)),
                Err(_) => Err(BusError::Closed),
            }
        };
        // The records stay on their way: whoever tries again writes them once more, and readers know them by their origin.
        match tokio::time::timeout(shared.config.patience, appending).await {
            Ok(appended) => appended,
            Err(_) => Err(shared.failed("append to", &"the brokers do not acknowledge")),
        }
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_records: usize,
    ) -> Result<Batch, BusError> {
        self.check_partition(partition)?;
        let ends = &self.shared.ends;
        let begun = clock::mono();
        let mut bell = ends.bell(topic);
        loop {
            bell.mark_unchanged();
            match self.look(topic, partition, from, max_records) {
                Look::Records(records) => {
                    let next = records.last().map_or(from, |last| last.offset + 1);
                    return Ok(Batch { records, next });
                }
                Look::NotHere => {
                    self.stand(topic, partition, from).await?;
                    continue;
                }
                Look::Dry => {}
            }
            if from >= ends.of(topic, partition) {
                return Ok(Batch { records: Vec::new(), next: from });
            }
            // There are records, and they have not come yet.
            let rung = tokio::time::timeout(LOOK_AGAIN, bell.changed()).await;
            let waited = clock::mono().saturating_duration_since(begun);
            if rung.is_err() || waited > LOOK_AGAIN {
                let (oldest, _) = self.ask_range(topic, partition).await?;
                if from < oldest {
                    return Err(BusError::Expired { topic, partition, from, oldest });
                }
            }
            if waited > self.shared.config.patience {
                return Err(self.shared.failed("read from", &"the brokers send nothing"));
            }
        }
    }

    async fn range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError> {
        self.check_partition(partition)?;
        self.ask_range(topic, partition).await
    }

    async fn wait(&self, topic: Topic, positions: &[(u32, u64)]) -> Result<(), BusError> {
        let ends = &self.shared.ends;
        let mut bell = ends.bell(topic);
        for (partition, _) in positions {
            self.check_partition(*partition)?;
        }
        let mut asked = vec![false; self.shared.config.partitions as usize];
        loop {
            bell.mark_unchanged();
            for &(partition, from) in positions {
                match self.look(topic, partition, from, 1) {
                    Look::Records(_) => return Ok(()),
                    Look::Dry => {}
                    Look::NotHere if ends.of(topic, partition) > from => return Ok(()),
                    Look::NotHere => match self.stand(topic, partition, from).await {
                        Ok(()) => {}
                        // The reader learns of its loss when it reads.
                        Err(BusError::Expired { .. }) => return Ok(()),
                        Err(why) => return Err(why),
                    },
                }
                let end = ends.of(topic, partition);
                if end > from {
                    return Ok(());
                }
                if end < from && !std::mem::replace(&mut asked[partition as usize], true) {
                    let (_, end) = self.ask_range(topic, partition).await?;
                    if end < from {
                        return Err(BusError::Beyond { topic, partition, from, end });
                    }
                }
            }
            bell.changed().await.map_err(|_| BusError::Closed)?;
        }
    }

    async fn expire(&self, now: DateTime<Utc>, seen_before: DateTime<Utc>) -> Result<Expired, BusError> {
        let retention = TimeDelta::from_std(self.shared.config.retention).unwrap_or(TimeDelta::MAX);
        let Some(old) = now.checked_sub_signed(retention) else { return Ok(Expired::default()) };
        let before_ms = old.min(seen_before).timestamp_millis();
        if before_ms <= 0 {
            return Ok(Expired::default());
        }
        let shared = self.shared.clone();
        let (doomed, n_records) = self.blocking(move || shared.older_than(before_ms)).await?;
        if n_records == 0 {
            return Ok(Expired::default());
        }
        let timeout = Some(self.shared.config.patience);
        let options = AdminOptions::new().request_timeout(timeout).operation_timeout(timeout);
        let dropped = self.shared.admin.delete_records(&doomed, &options).await;
        dropped.map_err(|why| self.shared.failed("drop old records of", &why))?;
        for element in doomed.elements() {
            if let (Some(topic), Ok(partition), Offset::Offset(oldest)) =
                (self.shared.topic_of(element.topic()), u32::try_from(element.partition()), element.offset())
            {
                let strands =
                    self.shared.strands[topic_idx(topic)].lock().unwrap_or_else(PoisonError::into_inner);
                for strand in strands.iter() {
                    strand.forget_below(partition, u64::try_from(oldest).unwrap_or_default());
                }
                self.shared.ends.ring(topic);
            }
        }
        info!(records = n_records, "records expired");
        // The brokers do not say how large they were.
        Ok(Expired { records: n_records, bytes: 0 })
    }
}

impl Shared {
    fn topic_name(&self, topic: Topic) -> String {
        format!("{}.{topic}", self.config.topic_prefix)
    }

    fn topic_of(&self, name: &str) -> Option<Topic> {
        Topic::ALL.iter().copied().find(|topic| self.topic_name(*topic) == name)
    }

    fn failed(&self, action: &'static str, why: &dyn std::fmt::Display) -> BusError {
        BusError::KafkaFailed { action, servers: self.servers.clone(), reason: self.context.explain(why) }
    }

    /// Hands the records of one append to the client library, which never refuses one that fits the queue.
    fn hand_over(&self, entries: &[Entry], pending: &Arc<Pending>) {
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let producer = self.living_producer();
        for (idx, entry) in entries.iter().enumerate() {
            let topic = self.topic_name(entry.topic);
            let delivery = Box::new(Delivery { pending: pending.clone(), idx, topic: entry.topic });
            let record = BaseRecord::<(), [u8], _>::with_opaque_to(&topic, delivery)
                .partition(i32::try_from(entry.partition).unwrap_or(i32::MAX))
                .payload(&entry.payload);
            if let Err((why, _)) = producer.send(record) {
                // None after the first that is refused: a gap would be taken for something read.
                pending.settle(idx, entries.len() - idx, Err(self.context.explain(&why)));
                return;
            }
        }
    }

    /// The producer; another one when the last has given up for good.
    fn living_producer(&self) -> Arc<ThreadedProducer<Context>> {
        let mut living = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, why)) = living.client().fatal_error() {
            warn!(%code, why, "the Kafka producer has given up; beginning anew");
            match producer(&self.client, &self.config, &self.context) {
                Ok(fresh) => *living = Arc::new(fresh),
                Err(why) => warn!(%why, "another Kafka producer cannot be made"),
            }
        }
        living.clone()
    }

    fn ask_range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError> {
        let name = self.topic_name(topic);
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let begun = clock::mono();
        let (oldest, end) = loop {
            match self.asker.fetch_watermarks(&name, number, self.config.patience) {
                Ok(range) => break range,
                // A lane that is being made, or whose leader has just died: the next one is known soon.
                Err(why)
                    if is_between_leaders(&why)
                        && clock::mono().saturating_duration_since(begun) < self.config.patience =>
                {
                    thread::sleep(ASK_AGAIN);
                }
                Err(why) => return Err(self.failed("ask for a range of", &why)),
            }
        };
        let (oldest, end) = (u64::try_from(oldest).unwrap_or(0), u64::try_from(end).unwrap_or(0));
        self.ends.reached(topic, partition, end);
        Ok((oldest, end))
    }

    /// Makes some strand stand at `from`: a free place, or a new strand's, or the one that was used longest ago.
    fn stand(&self, topic: Topic, partition: u32, from: u64) -> Result<(), BusError> {
        let (oldest, end) = self.ask_range(topic, partition)?;
        if from < oldest {
            return Err(BusError::Expired { topic, partition, from, oldest });
        }
        if from > end {
            return Err(BusError::Beyond { topic, partition, from, end });
        }
        let mut strands = self.strands[topic_idx(topic)].lock().unwrap_or_else(PoisonError::into_inner);
        let vacancies = strands.iter().map(|strand| strand.vacancy(partition));
        let freest = vacancies.enumerate().filter_map(|(idx, vacancy)| Some((vacancy?, idx))).max();
        let idx = match freest {
            Some((_, idx)) => idx,
            None if strands.len() < STRANDS_MAX => {
                let consumer = consumer(&self.client, &self.config, &self.context)
                    .map_err(|why| self.failed("read from", &why))?;
                let strand = Strand::new(
                    consumer,
                    topic,
                    self.topic_name(topic),
                    self.config.partitions,
                    self.config.cache_bytes,
                );
                strands.push(Arc::new(strand));
                strands.len() - 1
            }
            // All are in use. Whoever read there finds another place when he comes again.
            None => {
                let longest = strands.iter().enumerate().max_by_key(|(_, strand)| strand.idle(partition));
                longest.map_or(0, |(idx, _)| idx)
            }
        };
        strands[idx].stand(partition, from, &self.ends).map_err(|why| self.failed("read from", &why))
    }

    /// Where each lane's records of `before_ms` (since 1970) or later begin, for lanes that have older ones; and how many these are.
    fn older_than(&self, before_ms: i64) -> Result<(TopicPartitionList, u64), BusError> {
        let failed = |why: rdkafka::error::KafkaError| self.failed("drop old records of", &why);
        let mut doomed = TopicPartitionList::new();
        let mut n_records = 0;
        for topic in Topic::ALL {
            let name = self.topic_name(*topic);
            let mut asked = TopicPartitionList::new();
            for partition in 0..self.config.partitions {
                let number = i32::try_from(partition).unwrap_or(i32::MAX);
                asked.add_partition_offset(&name, number, Offset::Offset(before_ms)).map_err(failed)?;
            }
            let begun = clock::mono();
            let found = loop {
                match self.asker.offsets_for_times(asked.clone(), self.config.patience) {
                    Ok(found) => break found,
                    // As in `ask_range`.
                    Err(why)
                        if is_between_leaders(&why)
                            && clock::mono().saturating_duration_since(begun) < self.config.patience =>
                    {
                        thread::sleep(ASK_AGAIN);
                    }
                    Err(why) => return Err(failed(why)),
                }
            };
            for element in found.elements() {
                let partition = u32::try_from(element.partition()).unwrap_or_default();
                let (oldest, end) = self.ask_range(*topic, partition)?;
                let keep_from = match element.offset() {
                    Offset::Offset(offset) => u64::try_from(offset).unwrap_or_default(),
                    // None is so young.
                    Offset::End => end,
                    Offset::Beginning | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => oldest,
                };
                if keep_from > oldest {
                    n_records += keep_from - oldest;
                    let offset = Offset::Offset(i64::try_from(keep_from).unwrap_or(i64::MAX));
                    doomed.add_partition_offset(&name, element.partition(), offset).map_err(failed)?;
                }
            }
        }
        Ok((doomed, n_records))
    }

    /// Until the bus is dropped.
    fn tend(&self) {
        while !self.closed.load(std::sync::atomic::Ordering::Acquire) {
            thread::park_timeout(TEND_EVERY);
            for strands in &self.strands {
                let strands = strands.lock().unwrap_or_else(PoisonError::into_inner).clone();
                for strand in &strands {
                    strand.tend();
                }
            }
            // Its own queue holds only what it has to say.
            while self.asker.poll(Duration::ZERO).is_some() {}
        }
    }
}

fn is_between_leaders(why: &rdkafka::error::KafkaError) -> bool {
    matches!(
        why.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::NotLeaderForPartition
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::UnknownTopicOrPartition
        )
    )
}

fn producer(
    client: &ClientConfig,
    config: &KafkaConfig,
    context: &Context,
) -> rdkafka::error::KafkaResult<ThreadedProducer<Context>> {
    client
        .clone()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        // A record is tried until it is there: one given up would be a gap before those that follow.
        .set("message.timeout.ms", "0")
        .set("message.max.bytes", (2 * PAYLOAD_BYTES_MAX).to_string())
        .set("queue.buffering.max.messages", "1000000")
        .set("queue.buffering.max.kbytes", (2 * QUEUE_BYTES_MAX / 1024).to_string())
        .set("linger.ms", config.linger.as_millis().to_string())
        .set("batch.num.messages", "10000")
        .set("compression.codec", config.compression.name())
        .set("retry.backoff.ms", "50")
        .create_with_context(context.clone())
}

fn consumer(
    client: &ClientConfig,
    config: &KafkaConfig,
    context: &Context,
) -> rdkafka::error::KafkaResult<BaseConsumer<Context>> {
    client
        .clone()
        // The library asks for a name; nothing is kept under it.
        .set("group.id", format!("{}-reader", config.topic_prefix))
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.message.max.bytes", (2 * PAYLOAD_BYTES_MAX).to_string())
        // Of each lane: what waits here for a stage is fetched soon enough.
        .set("queued.min.messages", "4096")
        .set("queued.max.messages.kbytes", "1024")
        .set("check.crcs", "true")
        .create_with_context(context.clone())
}
