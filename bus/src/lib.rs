//! The event log that carries records between stages: embedded on one machine, Kafka on many.
//!
//! In: payloads for a topic and partition. Out: the same payloads, in order, each with its offset, to any number of
//! readers, each at its own pace. What the payloads mean is `model::wire`'s business; positions of readers and the
//! rule that nothing counts twice are the runner's. This is the only room that knows what the log is made of.
//!
//! [`EmbeddedBus`] keeps the log in one directory that one process opens at a time, also for reading: another
//! program that wants to look at the log of a running installation asks that process, or waits for its end.
//! `KafkaBus` (feature `kafka`) keeps it on a cluster of brokers that any number of processes use.

mod clock;
mod embedded;
mod error;
#[cfg(feature = "kafka")]
mod kafka;
mod kafka_config;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use model::Topic;

#[cfg(feature = "kafka")]
use embedded::topic_idx;
pub use embedded::{EmbeddedBus, EmbeddedConfig};
pub use error::BusError;
#[cfg(feature = "kafka")]
pub use kafka::KafkaBus;
pub use kafka_config::{Compression, KafkaConfig, KafkaSasl, KafkaTls, Mechanism};

/// The offset of a record whose acknowledgement was lost and made good by the log's memory of it (Kafka).
pub const OFFSET_UNKNOWN: u64 = u64::MAX;

/// The largest payload, 1 MiB: what Kafka takes by default, and a thousand times a record of ours.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

/// A payload on its way to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub topic: Topic,
    /// In which lane; below [`Bus::partitions`].
    pub partition: u32,
    /// At most [`PAYLOAD_BYTES_MAX`].
    pub payload: Vec<u8>,
}

/// A payload in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Counts up from 0 within its topic and partition.
    pub offset: u64,
    /// As appended. Records read together share what they lie in.
    pub payload: Bytes,
}

/// What one read found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// In the order of their offsets; empty at the end of the log.
    pub records: Vec<Stored>,
    /// Position to read from next.
    pub next: u64,
}

/// What retention dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Records, over all topics.
    pub records: u64,
    /// Their bytes; 0 where the log does not know (Kafka).
    pub bytes: u64,
}

/// An event log of [`Topic`]s, each with the same number of partitions. Within a topic and partition, records keep
/// the order in which they were appended; between them there is none.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Partitions of each topic.
    fn partitions(&self) -> u32;

    /// Appends in the order given, and returns the offsets, in the same order, once all are durable.
    ///
    /// After an error, or when the future is dropped, some of the entries may be in the log or not, or come into it later: as
    /// after a crash. The embedded log takes all of them or none. On Kafka no entry comes into a lane before one that was appended
    /// to it earlier; an offset whose acknowledgement was lost is [`OFFSET_UNKNOWN`].
    ///
    /// # Errors
    ///
    /// [`BusError::retry_helps`] tells a full disk from a mistake of the caller.
    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<u64>, BusError>;

    /// Up to `max_records` durable records of one lane, from offset `from` on. At the end of the log the batch is
    /// empty; [`Bus::wait`] tells when to read again.
    ///
    /// # Errors
    ///
    /// [`BusError::Expired`] below the oldest kept offset, [`BusError::Beyond`] above the end: then the log is not
    /// the one that the position was taken from.
    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_records: usize,
    ) -> Result<Batch, BusError>;

    /// As [`Bus::read`], of several lanes: each with its position, a batch for each.
    ///
    /// # Errors
    ///
    /// As [`Bus::read`], of the first lane that cannot be read.
    async fn read_lanes(
        &self,
        topic: Topic,
        lanes: &[(u32, u64)],
        max_records: usize,
    ) -> Result<Vec<Batch>, BusError> {
        let mut batches = Vec::with_capacity(lanes.len());
        for (partition, from) in lanes {
            batches.push(self.read(topic, *partition, *from, max_records).await?);
        }
        Ok(batches)
    }

    /// The oldest kept offset, and the offset that the next append will get. Equal when nothing is kept.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    async fn range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError>;

    /// Returns when some partition of the topic has grown beyond its position: when a read from there finds a record, or says that
    /// it has expired. `positions` are partitions, each with the offset that is read next; others are not watched.
    ///
    /// # Errors
    ///
    /// [`BusError::Closed`] when the log is closed while we wait; [`BusError::Beyond`] as in [`Bus::read`].
    async fn wait(&self, topic: Topic, positions: &[(u32, u64)]) -> Result<(), BusError>;

    /// Drops what retention no longer asks for, by the age since the append and by size; but nothing that was appended at
    /// `seen_before` or later, which some reader may still need. Dropping is coarse: the log may keep more than asked,
    /// never less.
    ///
    /// # Errors
    ///
    /// When the log cannot be written.
    async fn expire(&self, now: DateTime<Utc>, seen_before: DateTime<Utc>) -> Result<Expired, BusError>;
}
