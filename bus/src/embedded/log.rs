//! The log on disk, in the hands of one thread.
//!
//! In: entries to append, times to expire by. Out: offsets, once fsync has returned. The directory holds `lock` and the
//! database `log`; in it are the keyspace `meta` (format, partitions, the list of segments) and one keyspace for each
//! segment. A batch and its meta data are one journal entry with a checksum: after a crash it is there or it is not.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fjall::compaction::Leveled;
use fjall::config::{BlockSizePolicy, CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch, PersistMode};
use model::Topic;

use super::segment::{KEY_BYTES, Run, Segment, TopicView, offset_of, record_key, topic_code, topic_idx};
use crate::{BusError, EmbeddedConfig, Entry, Expired};

/// Format of the directory: 2 has runs of records in one entry, 3 presses them. What 1 and 2 left is read as it is.
const FORMAT: u32 = 3;
/// A journal is replayed at start after a crash; this bounds how long that takes.
const JOURNAL_BYTES_MAX: u64 = 128 << 20;
/// Entries of a topic kept in memory until they are written in sorted order, about; five topics may each hold a few.
const MEMTABLE_BYTES_MAX: u64 = 24 << 20;
/// The same of our own list.
const META_BYTES_MAX: u64 = 2 << 20;
/// What an entry takes in memory beside key and value; no less than it does.
const ENTRY_BYTES: u64 = 128;
/// A topic's numbers in our own list, written with each append.
const STATS_ENTRY_BYTES: u64 = 32;
/// From twice so many segments of a topic on, each new one is larger, up to [`SEGMENT_FACTOR_MAX`] times: the database takes every segment in hand
/// at its start, and has room for a thousand.
const SEGMENTS_SMALL: u64 = 40;
const SEGMENT_FACTOR_MAX: u64 = 4;
/// Tables of a segment that are left as they were written: more than one of usual size has. From 20 on the database slows its writers down.
const TABLES_UNSORTED_MAX: u8 = 18;
/// Read in runs, so larger blocks than the database's 4 KiB.
const BLOCK_BYTES: u32 = 32 << 10;

const META: &str = "meta";
const FORMAT_KEY: &str = "format";
const PARTITIONS_KEY: &str = "partitions";

/// The open log.
pub(super) struct Log {
    dir: PathBuf,
    config: EmbeddedConfig,
    topics: Vec<TopicLog>,
    /// What an append brings for each lane, those of a topic side by side; empty between appends.
    runs: Vec<Run>,
    /// Room for pressing one of them.
    press: Vec<u8>,
    meta: Keyspace,
    /// Bytes that `meta` has in memory, about.
    meta_bytes: u64,
    // After the keyspaces: the database closes when its last handle is dropped.
    db: Database,
}

/// The writer's side of a topic.
struct TopicLog {
    topic: Topic,
    view: TopicView,
    /// Of each segment.
    stats: Vec<SegmentStats>,
    /// Bytes that the last segment has in memory, about.
    memory_bytes: u64,
}

/// What retention looks at.
#[derive(Debug, Clone, Copy, Default)]
struct SegmentStats {
    /// Payloads and keys.
    bytes: u64,
    /// Time of the last append, microseconds since 1970.
    last_us: i64,
}

impl Log {
    /// Opens the log in `dir`, making it first if there is none. The caller holds the directory's lock.
    pub(super) fn open(dir: &Path, config: &EmbeddedConfig) -> Result<Self, BusError> {
        let root = dir.join("log");
        let exists = root.try_exists().map_err(|source| unwritable("look into", &root, source))?;
        if !exists {
            create(dir, &root, config)?;
        }
        let damaged = |reason: String| BusError::Damaged { dir: dir.to_owned(), reason };
        // Without this file the database would take the directory for a new one.
        if !root.join("version").is_file() {
            return Err(damaged("the file log/version is missing".to_owned()));
        }
        // The database asserts some of what it reads.
        let opened = catch_unwind(AssertUnwindSafe(|| Self::recover(dir, &root, config)));
        opened.unwrap_or_else(|panic| Err(damaged(panic_message(panic.as_ref()))))
    }

    /// Makes a log in `dir` whose lanes begin where `firsts` says, one list for each topic, by [`topic_idx`]. The caller holds the
    /// directory's lock.
    pub(super) fn create_at(
        dir: &Path,
        config: &EmbeddedConfig,
        firsts: Vec<Vec<u64>>,
        now_us: i64,
    ) -> Result<Self, BusError> {
        let root = dir.join("log");
        if root.try_exists().map_err(|source| unwritable("look into", &root, source))? {
            return Err(unwritable("make the log", &root, io::ErrorKind::AlreadyExists.into()));
        }
        let mut log = Self::open(dir, config)?;
        for (idx, first) in firsts.into_iter().enumerate() {
            log.topics[idx].view.next = first;
            log.begin_segment(idx, now_us)
                .map_err(|error| BusError::WriteFailed { dir: dir.to_owned(), reason: describe(&error) })?;
        }
        Ok(log)
    }

    fn recover(dir: &Path, root: &Path, config: &EmbeddedConfig) -> Result<Self, BusError> {
        let damaged = |reason: String| BusError::Damaged { dir: dir.to_owned(), reason };
        let broken = |error: fjall::Error| {
            if matches!(error, fjall::Error::Locked) {
                return BusError::InUse { dir: dir.to_owned() };
            }
            match into_io(error) {
                Ok(source) if is_refusal(&source) => unwritable("open", root, source),
                Ok(source) => damaged(source.to_string()),
                Err(error) => damaged(describe(&error)),
            }
        };
        let db = open_database(root, config).map_err(broken)?;
        if !db.keyspace_exists(META) {
            return Err(damaged("its list of segments is missing".to_owned()));
        }
        let meta = db.keyspace(META, segment_options).map_err(broken)?;
        let number_of = |key: &str| -> Result<u32, BusError> {
            let value = meta.get(key).map_err(broken)?;
            let value = value.and_then(|value| <[u8; 4]>::try_from(&*value).ok());
            value.map(u32::from_be_bytes).ok_or_else(|| damaged(format!("its {key} is missing")))
        };
        let format = number_of(FORMAT_KEY)?;
        if format > FORMAT {
            return Err(BusError::Format { dir: dir.to_owned(), stored: format, known: FORMAT });
        }
        if format < FORMAT {
            // From here on an older version must not open it.
            let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
            batch.insert(&meta, FORMAT_KEY, FORMAT.to_be_bytes());
            batch.commit().map_err(broken)?;
        }
        let stored = number_of(PARTITIONS_KEY)?;
        if stored != config.partitions {
            return Err(BusError::Partitions { dir: dir.to_owned(), stored, asked: config.partitions });
        }

        let mut topics = Vec::new();
        let mut named = vec![META.to_owned()];
        for topic in Topic::ALL {
            let mut segments = Vec::new();
            let mut stats = Vec::new();
            for item in meta.prefix([b's', topic_code(*topic)]) {
                let (key, value) = item.into_inner().map_err(broken)?;
                let record = SegmentRecord::read(&key, &value, stored).ok_or_else(|| {
                    damaged(format!("an entry in the list of segments of {topic} is broken"))
                })?;
                let name = segment_name(*topic, record.number);
                if !db.keyspace_exists(&name) {
                    return Err(damaged(format!("segment {name} is missing")));
                }
                let keyspace = db.keyspace(&name, segment_options).map_err(broken)?;
                let stat = meta.get(stats_key(*topic, record.number)).map_err(broken)?;
                stats.push(stat.and_then(|stat| SegmentStats::read(&stat)).unwrap_or_default());
                named.push(name);
                segments.push(Arc::new(Segment {
                    number: record.number,
                    opened_us: record.opened_us,
                    first: record.first,
                    keyspace,
                }));
            }
            let next = match segments.last() {
                Some(segment) => ends_of(*topic, segment).map_err(broken)?,
                None => vec![0; stored as usize],
            };
            let view = TopicView { segments: Arc::new(segments), next };
            topics.push(TopicLog { topic: *topic, view, stats, memory_bytes: 0 });
        }
        // A segment that was begun or dropped when the process died: no record of it is on our list.
        for name in db.list_keyspace_names() {
            if !named.iter().any(|known| known.as_str() == &*name) {
                let stray = db.keyspace(&name, segment_options).map_err(broken)?;
                db.delete_keyspace(stray).map_err(broken)?;
            }
        }
        Ok(Self {
            dir: dir.to_owned(),
            config: config.clone(),
            topics,
            runs: Vec::new(),
            press: Vec::new(),
            meta,
            meta_bytes: 0,
            db,
        })
    }

    /// What readers may see, by [`topic_idx`].
    pub(super) fn views(&self) -> Vec<TopicView> {
        self.topics.iter().map(|topic| topic.view.clone()).collect()
    }

    /// Appends all of `entries`, durably, or none. Afterwards a log that failed to write must be opened again.
    pub(super) fn append(&mut self, entries: Vec<Entry>, now_us: i64) -> Result<Vec<u64>, BusError> {
        let bytes = entries.iter().map(|entry| entry.payload.len() as u64).sum();
        self.check_free_space(bytes)?;
        let dir = self.dir.clone();
        catch_unwind(AssertUnwindSafe(|| self.append_unchecked(entries, now_us)))
            .unwrap_or_else(|panic| Err(panic_message(panic.as_ref())))
            .map_err(|reason| BusError::WriteFailed { dir, reason })
    }

    fn append_unchecked(&mut self, entries: Vec<Entry>, now_us: i64) -> Result<Vec<u64>, String> {
        let mut touched = [false; Topic::ALL.len()];
        for entry in &entries {
            touched[topic_idx(entry.topic)] = true;
        }
        for (idx, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            if self.wants_new_segment(idx, now_us) {
                self.begin_segment(idx, now_us).map_err(|error| describe(&error))?;
            }
        }
        let mut next: Vec<Vec<u64>> = self.topics.iter().map(|topic| topic.view.next.clone()).collect();
        let mut stats: Vec<SegmentStats> = self.topics.iter().map(TopicLog::active_stats).collect();
        let mut offsets = Vec::with_capacity(entries.len());
        let mut batch =
            OwnedWriteBatch::with_capacity(self.db.clone(), 64).durability(Some(PersistMode::SyncData));
        let n_lanes = self.config.partitions as usize;
        let mut memory_bytes = vec![0; self.topics.len()];
        let mut runs = std::mem::take(&mut self.runs);
        runs.resize_with(self.topics.len() * n_lanes, Run::default);
        for entry in entries {
            let Entry { topic, partition, payload } = entry;
            let idx = topic_idx(topic);
            let offset = &mut next[idx][partition as usize];
            stats[idx].bytes += (KEY_BYTES + payload.len()) as u64;
            stats[idx].last_us = stats[idx].last_us.max(now_us);
            let run = &mut runs[idx * n_lanes + partition as usize];
            if run.is_full_for(&payload)
                && let Some((key, value)) = run.take((topic, partition, *offset), &mut self.press)
            {
                memory_bytes[idx] += (key.len() + value.len()) as u64 + ENTRY_BYTES;
                batch.insert(self.active(idx)?, key, value);
            }
            run.push(&payload);
            offsets.push(*offset);
            *offset += 1;
        }
        for (idx, _) in touched.iter().enumerate().filter(|(_, touched)| **touched) {
            let lanes = runs[idx * n_lanes..][..n_lanes].iter_mut().zip(&next[idx]);
            for (partition, (run, end)) in (0..).zip(lanes) {
                if let Some((key, value)) =
                    run.take((self.topics[idx].topic, partition, *end), &mut self.press)
                {
                    memory_bytes[idx] += (key.len() + value.len()) as u64 + ENTRY_BYTES;
                    batch.insert(self.active(idx)?, key, value);
                }
            }
        }
        self.runs = runs;
        for (idx, topic) in self.topics.iter().enumerate().filter(|(idx, _)| touched[*idx]) {
            let number = topic.view.segments.last().map_or(0, |segment| segment.number);
            batch.insert(&self.meta, stats_key(topic.topic, number), stats[idx].to_bytes());
        }
        batch.commit().map_err(|error| describe(&error))?;
        for (topic, (next, stats)) in self.topics.iter_mut().zip(next.into_iter().zip(stats)) {
            topic.view.next = next;
            if let Some(active) = topic.stats.last_mut() {
                *active = stats;
            }
        }
        self.send_to_disk(&memory_bytes).map_err(|error| describe(&error))?;
        Ok(offsets)
    }

    /// Has what is in memory written to disk where it has become too much; `grown` is by how much it has, of each topic. The database would ask
    /// its worker to do so again with every append until it is done, and the worker, when it comes to that, asks itself for more: with one
    /// worker and a thousand such questions in its way it would wait for itself.
    fn send_to_disk(&mut self, grown: &[u64]) -> fjall::Result<()> {
        for (topic, grown) in self.topics.iter_mut().zip(grown) {
            topic.memory_bytes += grown;
            if topic.memory_bytes >= MEMTABLE_BYTES_MAX
                && let Some(segment) = topic.view.segments.last()
            {
                segment.keyspace.rotate_memtable()?;
                topic.memory_bytes = 0;
            }
            if *grown > 0 {
                self.meta_bytes += ENTRY_BYTES + STATS_ENTRY_BYTES;
            }
        }
        if self.meta_bytes >= META_BYTES_MAX {
            self.meta.rotate_memtable()?;
            self.meta_bytes = 0;
        }
        Ok(())
    }

    /// Where records of a topic go now.
    fn active(&self, idx: usize) -> Result<&Keyspace, String> {
        let segment = self.topics[idx].view.segments.last().ok_or("the topic has no segment")?;
        Ok(&segment.keyspace)
    }

    /// Drops the segments that retention no longer asks for. `on_drop` is called after each, so that readers let go.
    pub(super) fn expire(
        &mut self,
        now_us: i64,
        seen_before_us: i64,
        mut on_drop: impl FnMut(&Self),
    ) -> Result<Expired, BusError> {
        let mut expired = Expired::default();
        for idx in 0..self.topics.len() {
            while self.oldest_has_expired(idx, now_us, seen_before_us) {
                let dropped = self.drop_oldest(idx, now_us).map_err(|error| BusError::WriteFailed {
                    dir: self.dir.clone(),
                    reason: describe(&error),
                })?;
                expired.records += dropped.records;
                expired.bytes += dropped.bytes;
                on_drop(self);
            }
        }
        Ok(expired)
    }

    fn oldest_has_expired(&self, idx: usize, now_us: i64, seen_before_us: i64) -> bool {
        let stats = &self.topics[idx].stats;
        let Some(oldest) = stats.first().filter(|oldest| oldest.bytes > 0 || stats.len() > 1) else {
            return false;
        };
        if oldest.last_us >= seen_before_us {
            return false;
        }
        let age_us = now_us.saturating_sub(oldest.last_us);
        let is_old = u128::try_from(age_us).is_ok_and(|age_us| age_us > self.config.retention.as_micros());
        let rest: u64 = stats.iter().skip(1).map(|stats| stats.bytes).sum();
        let is_surplus = self.config.retain_bytes.is_some_and(|bytes| stats.len() > 1 && rest >= bytes);
        is_old || is_surplus
    }

    fn drop_oldest(&mut self, idx: usize, now_us: i64) -> fjall::Result<Expired> {
        if self.topics[idx].stats.len() == 1 {
            // The lanes' offsets live on in the segment that follows.
            self.begin_segment(idx, now_us)?;
        }
        let topic = &self.topics[idx];
        let (segment, follower) = (&topic.view.segments[0], &topic.view.segments[1]);
        let records = follower.first.iter().zip(&segment.first).map(|(end, first)| end - first).sum();
        let expired = Expired { records, bytes: topic.stats[0].bytes };
        // Off the list first: a crash after this leaves a stray, which the next start removes.
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.remove(&self.meta, segment_key(topic.topic, segment.number));
        batch.remove(&self.meta, stats_key(topic.topic, segment.number));
        batch.commit()?;
        let keyspace = segment.keyspace.clone();
        let topic = &mut self.topics[idx];
        let rest = topic.view.segments[1..].to_vec();
        topic.view.segments = Arc::new(rest);
        topic.stats.remove(0);
        self.db.delete_keyspace(keyspace)?;
        Ok(expired)
    }

    fn wants_new_segment(&self, idx: usize, now_us: i64) -> bool {
        let topic = &self.topics[idx];
        let (Some(segment), Some(stats)) = (topic.view.segments.last(), topic.stats.last()) else {
            return true;
        };
        let age_us = u128::try_from(now_us.saturating_sub(segment.opened_us)).unwrap_or(0);
        let factor = (topic.stats.len() as u64 / SEGMENTS_SMALL).clamp(1, SEGMENT_FACTOR_MAX);
        stats.bytes >= self.config.segment_bytes.saturating_mul(factor)
            || (stats.bytes > 0 && age_us >= self.config.segment_span.as_micros())
    }

    fn begin_segment(&mut self, idx: usize, now_us: i64) -> fjall::Result<()> {
        let topic = &mut self.topics[idx];
        let number = topic.view.segments.last().map_or(0, |segment| segment.number + 1);
        let keyspace = self.db.keyspace(&segment_name(topic.topic, number), segment_options)?;
        let record = SegmentRecord { number, opened_us: now_us, first: topic.view.next.clone() };
        let stats = SegmentStats { bytes: 0, last_us: now_us };
        let mut batch = self.db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.meta, segment_key(topic.topic, number), record.to_bytes());
        batch.insert(&self.meta, stats_key(topic.topic, number), stats.to_bytes());
        batch.commit()?;
        let SegmentRecord { number, opened_us, first } = record;
        let mut segments = topic.view.segments.to_vec();
        segments.push(Arc::new(Segment { number, opened_us, first, keyspace }));
        topic.view.segments = Arc::new(segments);
        topic.stats.push(stats);
        topic.memory_bytes = 0;
        Ok(())
    }

    fn check_free_space(&self, bytes: u64) -> Result<(), BusError> {
        let stat = rustix::fs::statvfs(&self.dir).map_err(|error| BusError::WriteFailed {
            dir: self.dir.clone(),
            reason: format!("its free space cannot be read: {error}"),
        })?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        let floor_bytes = self.config.free_bytes_min;
        if free_bytes < floor_bytes.saturating_add(bytes) {
            return Err(BusError::DiskFull { dir: self.dir.clone(), free_bytes, floor_bytes });
        }
        Ok(())
    }
}

impl TopicLog {
    fn active_stats(&self) -> SegmentStats {
        self.stats.last().copied().unwrap_or_default()
    }
}

/// Makes a new log beside its place and moves it there whole, so that a crash leaves none rather than half of one.
fn create(dir: &Path, root: &Path, config: &EmbeddedConfig) -> Result<(), BusError> {
    let fresh = dir.join("log.new");
    match fs::remove_dir_all(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(unwritable("remove", &fresh, error));
        }
        Ok(()) | Err(_) => {}
    }
    let made = || -> fjall::Result<()> {
        let db = open_database(&fresh, config)?;
        let meta = db.keyspace(META, segment_options)?;
        let mut batch = db.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&meta, FORMAT_KEY, FORMAT.to_be_bytes());
        batch.insert(&meta, PARTITIONS_KEY, config.partitions.to_be_bytes());
        batch.commit()
    };
    made().map_err(|error| {
        let source = into_io(error).unwrap_or_else(|error| io::Error::other(describe(&error)));
        unwritable("make the log", &fresh, source)
    })?;
    fs::rename(&fresh, root)
        .and_then(|()| fs::File::open(dir)?.sync_all())
        .map_err(|source| unwritable("make the log", root, source))
}

fn open_database(root: &Path, config: &EmbeddedConfig) -> fjall::Result<Database> {
    Database::builder(root)
        .cache_size(config.cache_bytes)
        .max_journaling_size(JOURNAL_BYTES_MAX)
        .manual_journal_persist(true)
        // Runs of some size come pressed; single records and small runs lie there as they are until they are in their tables.
        .journal_compression(CompressionType::None)
        // One: of two, the database has the first wait for the second in a circle whenever that is at work. See [`Log::send_to_disk`].
        .worker_threads(1)
        .open()
}

/// Records are read in runs and never looked up: no filters, larger blocks. And they are never replaced: to sort them again in the
/// background would save no byte, so the tables of a segment of usual size stay as they were written.
fn segment_options() -> KeyspaceCreateOptions {
    let unsorted = Leveled::default().with_l0_threshold(TABLES_UNSORTED_MAX);
    KeyspaceCreateOptions::default()
        .compaction_strategy(Arc::new(unsorted))
        // Never by itself.
        .max_memtable_size(4 * MEMTABLE_BYTES_MAX)
        .data_block_size_policy(BlockSizePolicy::all(BLOCK_BYTES))
        // Also those that are never sorted: records of calls are much alike, and a week of them is what fills the disk.
        .data_block_compression_policy(CompressionPolicy::all(CompressionType::Lz4))
        .filter_policy(FilterPolicy::disabled())
}

/// For each partition, the offset after the last record: that of the segment, or where the segment begins.
fn ends_of(topic: Topic, segment: &Segment) -> fjall::Result<Vec<u64>> {
    let mut ends = Vec::with_capacity(segment.first.len());
    for (partition, first) in (0u32..).zip(&segment.first) {
        let lane = record_key(topic, partition, *first)..=record_key(topic, partition, u64::MAX);
        let last = segment.keyspace.range(lane).next_back().map(fjall::Guard::key).transpose()?;
        ends.push(last.and_then(|key| offset_of(&key)).map_or(*first, |offset| offset + 1));
    }
    Ok(ends)
}

/// One entry of the list of segments.
struct SegmentRecord {
    number: u64,
    opened_us: i64,
    first: Vec<u64>,
}

impl SegmentRecord {
    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.opened_us.to_be_bytes().to_vec();
        bytes.extend(self.first.iter().flat_map(|first| first.to_be_bytes()));
        bytes
    }

    fn read(key: &[u8], value: &[u8], partitions: u32) -> Option<Self> {
        let number = u64::from_be_bytes(key.get(2..)?.try_into().ok()?);
        let (opened_us, first) = value.split_first_chunk()?;
        let (first, []) = first.as_chunks() else { return None };
        let first: Vec<u64> = first.iter().map(|first| u64::from_be_bytes(*first)).collect();
        let is_whole = first.len() == partitions as usize;
        is_whole.then_some(Self { number, opened_us: i64::from_be_bytes(*opened_us), first })
    }
}

impl SegmentStats {
    fn to_bytes(self) -> Vec<u8> {
        [self.bytes.to_be_bytes(), self.last_us.to_be_bytes()].concat()
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (bytes, last_us) = value.split_first_chunk()?;
        let last_us = i64::from_be_bytes(last_us.try_into().ok()?);
        Some(Self { bytes: u64::from_be_bytes(*bytes), last_us })
    }
}

fn segment_name(topic: Topic, number: u64) -> String {
    format!("{topic}.{number:08}")
}

fn segment_key(topic: Topic, number: u64) -> Vec<u8> {
    [&[b's', topic_code(topic)], number.to_be_bytes().as_slice()].concat()
}

fn stats_key(topic: Topic, number: u64) -> Vec<u8> {
    [&[b't', topic_code(topic)], number.to_be_bytes().as_slice()].concat()
}

/// What the database says, without its name in front.
pub(super) fn describe(error: &fjall::Error) -> String {
    if let fjall::Error::Io(error) = error {
        return error.to_string();
    }
    if let fjall::Error::Poisoned = error {
        return "an earlier write failed".to_owned();
    }
    format!("{error:?}")
}

/// What the system said, if it was the system.
fn into_io(error: fjall::Error) -> Result<io::Error, fjall::Error> {
    if let fjall::Error::Io(error) = error { Ok(error) } else { Err(error) }
}

pub(super) fn unwritable(action: &'static str, path: &Path, source: io::Error) -> BusError {
    BusError::Unwritable { action, path: path.to_owned(), source: Arc::new(source) }
}

/// The user's to mend, not damage.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::StorageFull
    )
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("the database gave up").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(payload: &str) -> Entry {
        Entry { topic: Topic::Cdrs, partition: 1, payload: payload.as_bytes().to_vec() }
    }

    fn config() -> EmbeddedConfig {
        EmbeddedConfig { free_bytes_min: 0, ..EmbeddedConfig::default() }
    }

    fn read_all(log: &Log, dir: &Path) -> Vec<String> {
        let view = &log.views()[topic_idx(Topic::Cdrs)];
        let batch = view.read(dir, Topic::Cdrs, 1, 0, 100).unwrap();
        batch.records.into_iter().map(|stored| String::from_utf8(stored.payload.to_vec()).unwrap()).collect()
    }

    /// Format 1 had each record by itself, as an append of one record leaves it to this day.
    #[test]
    fn log_of_the_first_format_is_read_and_goes_on_in_the_second() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), &config()).unwrap();
        for payload in ["a", "b", "c"] {
            log.append(vec![entry(payload)], 0).unwrap();
        }
        log.meta.insert(FORMAT_KEY, 1_u32.to_be_bytes()).unwrap();
        drop(log);

        let mut log = Log::open(dir.path(), &config()).unwrap();
        assert_eq!(log.append(vec![entry("d"), entry("e")], 0).unwrap(), [3, 4]);
        drop(log);
        let log = Log::open(dir.path(), &config()).unwrap();
        assert_eq!(read_all(&log, dir.path()), ["a", "b", "c", "d", "e"]);
        assert_eq!(log.meta.get(FORMAT_KEY).unwrap().unwrap().as_ref(), FORMAT.to_be_bytes());
    }

    /// The lengths of the keys in the only segment, in their order.
    fn key_lengths(log: &Log) -> Vec<usize> {
        let segment = &log.views()[topic_idx(Topic::Cdrs)].segments[0];
        segment.keyspace.iter().map(|item| item.key().unwrap().len()).collect()
    }

    /// Small runs and single records are as the second format had them.
    #[test]
    fn run_of_some_size_is_pressed_and_read_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), &config()).unwrap();
        let alike: Vec<String> =
            (0..300).map(|n| format!("call {n:05} {}", "of many alike ".repeat(10))).collect();
        let mut expected = vec!["one".to_owned(), "two".to_owned(), "alone".to_owned()];
        expected.extend(alike.iter().cloned());
        log.append(vec![entry("one"), entry("two")], 0).unwrap();
        log.append(vec![entry("alone")], 0).unwrap();
        log.append(alike.iter().map(|payload| entry(payload)).collect(), 0).unwrap();
        // Some 46 kB: two runs.
        assert_eq!(key_lengths(&log), [17, 13, 18, 18]);
        drop(log);

        let log = Log::open(dir.path(), &config()).unwrap();
        let view = &log.views()[topic_idx(Topic::Cdrs)];
        for from in [0, 1, 2, 3, 4, 150, 290, 302] {
            let batch = view.read(dir.path(), Topic::Cdrs, 1, from as u64, 1_000).unwrap();
            let read: Vec<&[u8]> = batch.records.iter().map(|stored| &*stored.payload).collect();
            let left: Vec<&[u8]> = expected.iter().skip(from).map(String::as_bytes).collect();
            assert_eq!(read, left, "from {from}");
        }
    }

    /// The database is told to write to disk before it would ask its only worker to.
    #[test]
    fn what_is_in_memory_goes_to_disk_before_it_is_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), &config()).unwrap();
        let idx = topic_idx(Topic::Cdrs);
        let large = "x".repeat(1 << 20);
        let mut n_sent = 0;
        for n in 0..60 {
            let before = log.topics[idx].memory_bytes;
            log.append(vec![entry(&large)], 0).unwrap();
            assert!(log.topics[idx].memory_bytes < MEMTABLE_BYTES_MAX, "after {n}");
            n_sent += u64::from(log.topics[idx].memory_bytes < before);
        }
        assert_eq!(n_sent, 2);
        assert!(log.meta_bytes > 60 * ENTRY_BYTES);
        log.meta_bytes = META_BYTES_MAX - 1;
        log.append(vec![entry("a")], 0).unwrap();
        assert_eq!(log.meta_bytes, 0);
        let end = log.views()[idx].next[1];
        drop(log);
        let log = Log::open(dir.path(), &config()).unwrap();
        let batch = log.views()[idx].read(dir.path(), Topic::Cdrs, 1, 0, 1 << 20).unwrap();
        assert_eq!((batch.next, batch.records.len() as u64), (end, end));
    }

    /// What cannot be pressed is kept as it is.
    #[test]
    fn run_that_pressing_would_make_larger_is_not_pressed() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::open(dir.path(), &config()).unwrap();
        let mut state = 1_u64;
        let mut noise = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        };
        let payloads: Vec<Vec<u8>> = (0..10).map(|_| (0..1_000).map(|_| noise()).collect()).collect();
        let entries =
            payloads.iter().map(|payload| Entry { payload: payload.clone(), ..entry("") }).collect();
        log.append(entries, 0).unwrap();
        assert_eq!(key_lengths(&log), [17]);
        let view = &log.views()[topic_idx(Topic::Cdrs)];
        let batch = view.read(dir.path(), Topic::Cdrs, 1, 0, 100).unwrap();
        assert!(batch.records.iter().zip(&payloads).all(|(stored, payload)| &*stored.payload == payload));
    }

    /// A value that a broken disk, or a later version, left there.
    #[test]
    fn pressed_run_that_is_damaged_is_an_error_that_names_it() {
        let good = {
            let mut run = Run::default();
            (0..100).for_each(|_| run.push(&[7; 100]));
            run.take((Topic::Cdrs, 1, 100), &mut Vec::new()).unwrap()
        };
        type Damage = fn(&mut Vec<u8>, &mut Vec<u8>);
        let damages: [Damage; 4] = [
            |_, value| value.truncate(3),
            |_, value| value.truncate(20),
            |_, value| value[..4].copy_from_slice(&u32::MAX.to_be_bytes()),
            |key, _| *key.last_mut().unwrap() = 9,
        ];
        for damage in damages {
            let dir = tempfile::tempdir().unwrap();
            let mut log = Log::open(dir.path(), &config()).unwrap();
            log.append((0..100).map(|_| entry("x")).collect(), 0).unwrap();
            let (mut key, mut value) = good.clone();
            damage(&mut key, &mut value);
            let segment = log.views()[topic_idx(Topic::Cdrs)].segments[0].clone();
            segment.keyspace.clear().unwrap();
            segment.keyspace.insert(key, value).unwrap();
            let view = &log.views()[topic_idx(Topic::Cdrs)];
            let error = view.read(dir.path(), Topic::Cdrs, 1, 0, 100).unwrap_err();
            assert!(error.to_string().contains("record 0 of cdrs/1 is missing"), "{error}");
        }
    }
}
