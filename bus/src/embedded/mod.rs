//! The log on one machine, in one directory, on the embedded database fjall.
//!
//! One thread writes ([`writer`]), blocking reads run on the runtime's threads for such work. [`log`] is what lies on
//! disk, [`segment`] how it is read.

mod config;
mod log;
mod segment;
mod writer;

use std::fs::{self, File, TryLockError};
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use model::Topic;
use tokio::sync::{Semaphore, oneshot};
use tracing::{info, warn};

pub use config::EmbeddedConfig;
use log::{Log, unwritable};
use segment::TopicView;
pub(crate) use segment::topic_idx;
use writer::{Job, Shared};

use crate::clock::wall_us;
use crate::{Batch, Bus, BusError, Entry, Expired, PAYLOAD_BYTES_MAX};

/// Bytes that wait for the disk at most; further appends wait for room.
const QUEUE_BYTES_MAX: u32 = 32 << 20;
/// What an entry costs beside its payload.
const ENTRY_BYTES: usize = 64;

/// The embedded log. Dropping it closes it: what is queued is written, and the directory is free again.
pub struct EmbeddedBus {
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
    writer: Option<JoinHandle<()>>,
    /// Held as long as the log is open.
    _lock: File,
}

impl EmbeddedBus {
    /// Opens the log in `dir`, making directory and log if there are none. After a crash this replays the journal,
    /// which takes a fraction of a second; it blocks for so long.
    ///
    /// # Errors
    ///
    /// [`BusError::InUse`], [`BusError::Unwritable`], [`BusError::Damaged`], [`BusError::Format`],
    /// [`BusError::Partitions`] and [`BusError::Config`], each with what to do about it.
    pub fn open(dir: &Path, config: EmbeddedConfig) -> Result<Self, BusError> {
        Self::start(dir, config, Log::open)
    }

    /// Makes a log in `dir`, where there is none yet, whose lanes begin at other offsets than 0, as `first` says of each: what held
    /// the records before goes on with them, and so do the positions of those who read it.
    ///
    /// # Errors
    ///
    /// As [`EmbeddedBus::open`]; [`BusError::Unwritable`] also where there is a log.
    pub fn create_at(
        dir: &Path,
        config: EmbeddedConfig,
        first: impl Fn(Topic, u32) -> u64,
    ) -> Result<Self, BusError> {
        let mut firsts = vec![Vec::new(); Topic::ALL.len()];
        for topic in Topic::ALL {
            firsts[topic_idx(*topic)] =
                (0..config.partitions).map(|partition| first(*topic, partition)).collect();
        }
        Self::start(dir, config, |dir, config| Log::create_at(dir, config, firsts, wall_us()))
    }

    fn start(
        dir: &Path,
        config: EmbeddedConfig,
        open: impl FnOnce(&Path, &EmbeddedConfig) -> Result<Log, BusError>,
    ) -> Result<Self, BusError> {
        config.validate()?;
        fs::create_dir_all(dir).map_err(|source| unwritable("make the directory", dir, source))?;
        let lock = lock(dir)?;
        let log = open(dir, &config)?;
        let shared = Arc::new(Shared::new(dir.to_owned(), config, log.views()));
        let writer = thread::Builder::new()
            .name("bus-writer".to_owned())
            .spawn({
                let shared = Arc::clone(&shared);
                move || writer::run(&shared, log)
            })
            .map_err(|source| unwritable("start the writer of", dir, source))?;
        info!(dir = %dir.display(), partitions = shared.config.partitions, "log opened");
        let room = Arc::new(Semaphore::new(QUEUE_BYTES_MAX as usize));
        Ok(Self { shared, room, writer: Some(writer), _lock: lock })
    }

    /// Whether a process has the log in `dir` open, as far as can be told; it is not opened for that.
    pub fn is_open_somewhere(dir: &Path) -> bool {
        // Made by whoever opens a log; where it is missing or cannot be read nobody has.
        let Ok(file) = File::open(dir.join("lock")) else { return false };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    /// Closes the log; the same as dropping it, for those who like to see it.
    pub fn close(self) {}

    fn view(&self, topic: Topic) -> Result<TopicView, BusError> {
        let views = self.shared.views.read().unwrap_or_else(PoisonError::into_inner);
        views.as_ref().map(|views| views[topic_idx(topic)].clone()).map_err(Clone::clone)
    }

    fn check_partition(&self, partition: u32) -> Result<(), BusError> {
        let partitions = self.shared.config.partitions;
        if partition >= partitions {
            return Err(BusError::NoSuchPartition { partition, partitions });
        }
        Ok(())
    }

    /// Whether a lane of `topic` has grown beyond its position.
    fn has_grown(&self, topic: Topic, positions: &[(u32, u64)]) -> Result<bool, BusError> {
        let views = self.shared.views.read().unwrap_or_else(PoisonError::into_inner);
        let view = &views.as_ref().map_err(Clone::clone)?[topic_idx(topic)];
        let mut has_grown = false;
        for &(partition, from) in positions {
            let end = view.next[partition as usize];
            if from > end {
                return Err(BusError::Beyond { topic, partition, from, end });
            }
            has_grown |= from < end;
        }
        Ok(has_grown)
    }
}

impl Drop for EmbeddedBus {
    fn drop(&mut self) {
        self.shared.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            warn!(dir = %self.shared.dir.display(), "the writer of the log had panicked");
        }
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
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
        // One append larger than the queue has it for itself.
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX).min(QUEUE_BYTES_MAX);
        let room = Arc::clone(&self.room);
        let room = room.acquire_many_owned(permits).await.map_err(|_| BusError::Closed)?;
        let (reply, appended) = oneshot::channel();
        self.shared.submit(Job::Append { entries, bytes, reply, room });
        appended.await.map_err(|_| BusError::Closed)?
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_records: usize,
    ) -> Result<Batch, BusError> {
        let mut batches = self.read_lanes(topic, &[(partition, from)], max_records).await?;
        batches.pop().ok_or(BusError::Closed)
    }

    async fn read_lanes(
        &self,
        topic: Topic,
        lanes: &[(u32, u64)],
        max_records: usize,
    ) -> Result<Vec<Batch>, BusError> {
        for (partition, _) in lanes {
            self.check_partition(*partition)?;
        }
        let view = self.view(topic)?;
        let is_at_its_end = |(partition, from): &(u32, u64)| view.next[*partition as usize] == *from;
        if max_records == 0 || lanes.iter().all(is_at_its_end) {
            // Checks the positions, touches no disk.
            let none =
                |(partition, from): &(u32, u64)| view.read(&self.shared.dir, topic, *partition, *from, 0);
            return lanes.iter().map(none).collect();
        }
        let (dir, lanes) = (self.shared.dir.clone(), lanes.to_vec());
        // One for all: going to another thread and back takes longer than to read some records of a lane.
        let read = tokio::task::spawn_blocking(move || {
            let of = |(partition, from)| view.read(&dir, topic, partition, from, max_records);
            lanes.into_iter().map(of).collect()
        });
        read.await.unwrap_or_else(|error| {
            let reason = error.to_string();
            Err(BusError::ReadFailed { dir: self.shared.dir.clone(), reason })
        })
    }

    async fn range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError> {
        self.check_partition(partition)?;
        let view = self.view(topic)?;
        let lane = partition as usize;
        Ok((view.oldest(lane), view.next[lane]))
    }

    async fn wait(&self, topic: Topic, positions: &[(u32, u64)]) -> Result<(), BusError> {
        for (partition, _) in positions {
            self.check_partition(*partition)?;
        }
        let mut grown = self.shared.grown[topic_idx(topic)].subscribe();
        while !self.has_grown(topic, positions)? {
            grown.changed().await.map_err(|_| BusError::Closed)?;
        }
        Ok(())
    }

    async fn expire(&self, now: DateTime<Utc>, seen_before: DateTime<Utc>) -> Result<Expired, BusError> {
        let (now_us, seen_before_us) = (now.timestamp_micros(), seen_before.timestamp_micros());
        let (reply, expired) = oneshot::channel();
        self.shared.submit(Job::Expire { now_us, seen_before_us, reply });
        expired.await.map_err(|_| BusError::Closed)?
    }
}

/// Takes the directory for this process. The system gives it back when the process ends, however it ends.
fn lock(dir: &Path) -> Result<File, BusError> {
    let path = dir.join("lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|source| unwritable("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BusError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(unwritable("lock", &path, source)),
    }
}
