//! What can go wrong with a log, with the facts and what to try.

use std::path::PathBuf;

use model::Topic;

/// Why the bus did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BusError {
    /// The reader was away for longer than retention keeps.
    #[error(
        "offset {from} of {topic}/{partition} has expired, the oldest kept is {oldest}; records between were lost to \
         this reader: raise `retention`, and replay them from a backup or the lake"
    )]
    Expired {
        /// Topic.
        topic: Topic,
        /// Partition.
        partition: u32,
        /// The offset asked for.
        from: u64,
        /// The oldest that can be read.
        oldest: u64,
    },
    /// The reader is ahead of the log: this is not the log that its position was taken from.
    #[error(
        "offset {from} of {topic}/{partition} lies beyond the end of the log ({end}); the log was replaced or restored \
         from an older copy than the database with the positions: restore both from the same backup"
    )]
    Beyond {
        /// Topic.
        topic: Topic,
        /// Partition.
        partition: u32,
        /// The offset asked for.
        from: u64,
        /// The offset that the next append will get.
        end: u64,
    },
    /// A lane that does not exist.
    #[error("there is no partition {partition}, the log has {partitions} (0 to {})", partitions - 1)]
    NoSuchPartition {
        /// The one asked for.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// A payload above [`PAYLOAD_BYTES_MAX`](crate::PAYLOAD_BYTES_MAX).
    #[error("a payload of {bytes} bytes for {topic} is above the limit of {}", crate::PAYLOAD_BYTES_MAX)]
    TooLarge {
        /// Topic.
        topic: Topic,
        /// Its size.
        bytes: usize,
    },
    /// A value that the configuration may not have.
    #[error("bus.{key} is {value}, but {rule}")]
    Config {
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What it may be.
        rule: &'static str,
    },
    /// The number of partitions decides where an account's records lie.
    #[error(
        "the log in {} has {stored} partitions and the configuration asks for {asked}; the number of an existing log cannot \
         change, because accounts would move between lanes: set `bus.partitions = {stored}`, or start a new directory",
        dir.display()
    )]
    Partitions {
        /// The directory.
        dir: PathBuf,
        /// What it was made with.
        stored: u32,
        /// What the configuration says.
        asked: u32,
    },
    /// One process at a time, also for reading.
    #[error(
        "the log in {} is open in another process, probably a running tollbook; stop that one first, or ask it",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Missing permission, a file in the way, a read-only file system.
    #[error(
        "cannot {action} {}: {source}; check that the directory belongs to the user that runs tollbook and that its file \
         system can be written",
        path.display()
    )]
    Unwritable {
        /// What we were doing.
        action: &'static str,
        /// To which file or directory.
        path: PathBuf,
        /// What the system says.
        source: std::sync::Arc<std::io::Error>,
    },
    /// Files are missing or hold what we did not write.
    #[error(
        "the log in {} is damaged ({reason}); keep a copy of the directory, then restore it from a backup together with the \
         database (`tollbook restore`)",
        dir.display()
    )]
    Damaged {
        /// The directory.
        dir: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Written by a later version of the program.
    #[error("the log in {} has format {stored}, this version reads format {known}; upgrade tollbook", dir.display())]
    Format {
        /// The directory.
        dir: PathBuf,
        /// Its format.
        stored: u32,
        /// Ours.
        known: u32,
    },
    /// Nothing was written: the reserve of free space is reached.
    #[error(
        "the file system of {} has {free_bytes} bytes free, and appends stop below {floor_bytes}; free some space, or lower \
         `bus.retention` or `bus.free_bytes_min`",
        dir.display()
    )]
    DiskFull {
        /// The directory.
        dir: PathBuf,
        /// What is free.
        free_bytes: u64,
        /// `free_bytes_min`.
        floor_bytes: u64,
    },
    /// The disk failed us in the middle of a write. Nothing of it is visible; the log opens itself again with the next append.
    #[error("writing the log in {} failed: {reason}; check the disk and its free space", dir.display())]
    WriteFailed {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Reading failed.
    #[error("reading the log in {} failed: {reason}; check the disk", dir.display())]
    ReadFailed {
        /// The directory.
        dir: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// No broker answers, or none that lets us in.
    #[error(
        "no Kafka broker answers at {servers}: {reason}; check `bus.url`, that the brokers run, and `[bus.kafka.tls]` and \
         `[bus.kafka.sasl]`"
    )]
    Unreachable {
        /// As configured.
        servers: String,
        /// What the client says.
        reason: String,
    },
    /// The number of partitions decides where an account's records lie.
    #[error(
        "the topic {topic} has {stored} partitions and the configuration asks for {asked}; the number of an existing log cannot \
         change, because accounts would move between lanes: set `bus.kafka.partitions = {stored}`, or choose another \
         `bus.kafka.topic_prefix`"
    )]
    TopicPartitions {
        /// Its full name.
        topic: String,
        /// What it has.
        stored: u32,
        /// What the configuration says.
        asked: u32,
    },
    /// Somebody made or changed a topic in a way that would lose records.
    #[error(
        "the topic {topic} has {setting} = {found:?} and needs {needed}: {why}; change it with `kafka-configs.sh --alter`"
    )]
    TopicSetting {
        /// Its full name.
        topic: String,
        /// Kafka's name of the setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it has to be.
        needed: String,
        /// What would happen.
        why: &'static str,
    },
    /// The brokers did not do what they were asked; for now.
    #[error("cannot {action} the Kafka cluster at {servers}: {reason}; it is tried again")]
    KafkaFailed {
        /// What we were doing.
        action: &'static str,
        /// As configured.
        servers: String,
        /// What the client says.
        reason: String,
    },
    /// The log has been closed.
    #[error("the log is closed")]
    Closed,
}

impl BusError {
    /// Stable code, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            BusError::Expired { .. } => "BUS001",
            BusError::Beyond { .. } => "BUS002",
            BusError::NoSuchPartition { .. } => "BUS003",
            BusError::TooLarge { .. } => "BUS004",
            BusError::Config { .. } => "BUS005",
            BusError::Partitions { .. } => "BUS006",
            BusError::InUse { .. } => "BUS007",
            BusError::Unwritable { .. } => "BUS008",
            BusError::Damaged { .. } => "BUS009",
            BusError::Format { .. } => "BUS010",
            BusError::DiskFull { .. } => "BUS011",
            BusError::WriteFailed { .. } => "BUS012",
            BusError::ReadFailed { .. } => "BUS013",
            BusError::Closed => "BUS014",
            BusError::Unreachable { .. } => "BUS015",
            BusError::TopicPartitions { .. } => "BUS016",
            BusError::TopicSetting { .. } => "BUS017",
            BusError::KafkaFailed { .. } => "BUS018",
        }
    }

    /// Whether the same call can succeed later without anybody changing the program, the configuration or the position.
    pub const fn retry_helps(&self) -> bool {
        match self {
            BusError::DiskFull { .. }
            | BusError::WriteFailed { .. }
            | BusError::ReadFailed { .. }
            | BusError::Unreachable { .. }
            | BusError::KafkaFailed { .. } => true,
            BusError::Expired { .. }
            | BusError::Beyond { .. }
            | BusError::NoSuchPartition { .. }
            | BusError::TooLarge { .. }
            | BusError::Config { .. }
            | BusError::Partitions { .. }
            | BusError::InUse { .. }
            | BusError::Unwritable { .. }
            | BusError::Damaged { .. }
            | BusError::Format { .. }
            | BusError::TopicPartitions { .. }
            | BusError::TopicSetting { .. }
            | BusError::Closed => false,
        }
    }
}
