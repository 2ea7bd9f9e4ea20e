//! Segments: the runs of appends that a topic's log is made of, and reading them.
//!
//! A segment is one keyspace of the database and holds records of all partitions of its topic. Retention drops whole
//! segments, which gives their files back at once; deleting record by record would not.
//!
//! What one group of appends brings for a lane lies in runs of some thirty kilobytes, one entry of the database each: to it, a hundred
//! small records cost as much as a hundred large ones. A run has the key of its last record, so that the entry at or behind an offset is
//! the one that holds it.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use fjall::Keyspace;
use model::Topic;

use super::log::describe;
use crate::{Batch, BusError, Stored};

/// Topic, partition, offset.
pub(super) const KEY_BYTES: usize = 13;

/// And how many records, where there are several.
const RUN_KEY_BYTES: usize = KEY_BYTES + 4;

/// Payloads of one run, bytes: a block of the database. Larger ones are by themselves.
const RUN_BYTES_MAX: usize = 32 << 10;

/// One segment. What it holds of partition `p` begins at `first[p]` and ends where the next segment begins.
pub(super) struct Segment {
    /// Counts up within the topic.
    pub(super) number: u64,
    /// When it was begun, microseconds since 1970.
    pub(super) opened_us: i64,
    /// For each partition, the first offset it may hold.
    pub(super) first: Vec<u64>,
    /// Its records.
    pub(super) keyspace: Keyspace,
}

/// What readers may see of a topic: everything durable.
#[derive(Clone, Default)]
pub(super) struct TopicView {
    /// Oldest first.
    pub(super) segments: Arc<Vec<Arc<Segment>>>,
    /// For each partition, the offset that the next append will get.
    pub(super) next: Vec<u64>,
}

/// The topic's number on disk. Never changed, never used again.
pub(super) const fn topic_code(topic: Topic) -> u8 {
    match topic {
        Topic::Calls => 1,
        Topic::Cdrs => 2,
        Topic::Rated => 3,
        Topic::Postings => 4,
        Topic::Control => 5,
        Topic::Sightings => 6,
    }
}

/// Place of a topic in our tables.
pub(crate) const fn topic_idx(topic: Topic) -> usize {
    topic_code(topic) as usize - 1
}

/// The key sorts by partition, then by offset. The topic is in it because the database may hand a dropped keyspace's
/// id to another topic's segment while a journal still holds records under that id.
pub(super) fn record_key(topic: Topic, partition: u32, offset: u64) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[0] = topic_code(topic);
    key[1..5].copy_from_slice(&partition.to_be_bytes());
    key[5..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// Records of a lane on their way into one entry.
#[derive(Default)]
pub(super) struct Run {
    count: u32,
    /// The payload, or several, each behind its length.
    bytes: Vec<u8>,
}

impl Run {
    /// Whether `payload` is better the first of another run.
    pub(super) fn is_full_for(&self, payload: &[u8]) -> bool {
        self.count > 0 && self.bytes.len() + payload.len() > RUN_BYTES_MAX
    }

    pub(super) fn push(&mut self, payload: Vec<u8>) {
        match self.count {
            0 => self.bytes = payload,
            1 => {
                let first = std::mem::take(&mut self.bytes);
                self.bytes.reserve(RUN_BYTES_MAX.min(64 * (first.len() + payload.len())));
                self.append(&first);
                self.append(&payload);
            }
            _ => self.append(&payload),
        }
        self.count += 1;
    }

    fn append(&mut self, payload: &[u8]) {
        // A payload is at most a megabyte.
        self.bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.extend_from_slice(payload);
    }

    /// The entry, if there is one; `end` is the offset behind its last record.
    pub(super) fn take(&mut self, topic: Topic, partition: u32, end: u64) -> Option<(Vec<u8>, Vec<u8>)> {
        let Run { count, bytes } = std::mem::take(self);
        let last = end.checked_sub(1).filter(|_| count > 0)?;
        let mut key = record_key(topic, partition, last).to_vec();
        if count > 1 {
            key.extend_from_slice(&count.to_be_bytes());
        }
        Some((key, bytes))
    }
}

/// How many records an entry holds, by its key.
fn count_of(key: &[u8]) -> Option<u64> {
    match key.len() {
        KEY_BYTES => Some(1),
        RUN_KEY_BYTES => Some(u32::from_be_bytes(key[KEY_BYTES..].try_into().ok()?).into()),
        _ => None,
    }
}

/// Where the payloads of an entry of `count` records lie in it; `None` if they are not there.
fn payloads(value: &[u8], count: u64) -> Option<Vec<Range<usize>>> {
    if count == 1 {
        return Some(std::iter::once(0..value.len()).collect());
    }
    let mut begin = 0_usize;
    // A count that is not true may be any number.
    let mut payloads = Vec::with_capacity(usize::try_from(count).unwrap_or(usize::MAX).min(value.len() / 4));
    for _ in 0..count {
        let length = value.get(begin..)?.first_chunk()?;
        begin += 4;
        let end =
            begin.checked_add(u32::from_be_bytes(*length) as usize).filter(|end| *end <= value.len())?;
        payloads.push(begin..end);
        begin = end;
    }
    (begin == value.len()).then_some(payloads)
}

/// The offset in a key of [`record_key`], also of a run's last record.
pub(super) fn offset_of(key: &[u8]) -> Option<u64> {
    let offset: [u8; 8] = key.get(5..KEY_BYTES)?.try_into().ok()?;
    Some(u64::from_be_bytes(offset))
}

impl TopicView {
    /// The oldest kept offset of a partition.
    pub(super) fn oldest(&self, partition: usize) -> u64 {
        self.segments.first().map_or(0, |segment| segment.first[partition])
    }

    /// Reads up to `max_records` from `from` on.
    pub(super) fn read(
        &self,
        dir: &Path,
        topic: Topic,
        partition: u32,
        from: u64,
        max_records: usize,
    ) -> Result<Batch, BusError> {
        let lane = partition as usize;
        let (oldest, end) = (self.oldest(lane), self.next[lane]);
        if from < oldest {
            return Err(BusError::Expired { topic, partition, from, oldest });
        }
        if from > end {
            return Err(BusError::Beyond { topic, partition, from, end });
        }
        let wanted = max_records.min(usize::try_from(end - from).unwrap_or(usize::MAX));
        let mut batch = Batch { records: Vec::with_capacity(wanted.min(4096)), next: from };
        // The last segment that begins at or before `from` holds it; those after it continue it.
        let start = self.segments.partition_point(|segment| segment.first[lane] <= from).saturating_sub(1);
        for idx in start..self.segments.len() {
            let segment_end = self.segments.get(idx + 1).map_or(end, |segment| segment.first[lane]);
            let range = record_key(topic, partition, batch.next)..record_key(topic, partition, segment_end);
            for item in self.segments[idx].keyspace.range(range) {
                if batch.records.len() == wanted {
                    return Ok(batch);
                }
                let (key, value) = item.into_inner().map_err(|error| BusError::ReadFailed {
                    dir: dir.to_owned(),
                    reason: describe(&error),
                })?;
                let of_key = offset_of(&key).zip(count_of(&key));
                let Some((last, count)) = of_key.filter(|(last, count)| (1..=last + 1).contains(count))
                else {
                    return Err(missing(dir, topic, partition, batch.next));
                };
                let first = last + 1 - count;
                if !(first..=last).contains(&batch.next) {
                    return Err(missing(dir, topic, partition, batch.next));
                }
                let payloads =
                    payloads(&value, count).ok_or_else(|| missing(dir, topic, partition, batch.next))?;
                let skipped = usize::try_from(batch.next - first).unwrap_or(usize::MAX);
                let room = wanted - batch.records.len();
                let value = Bytes::from_owner(value);
                for place in payloads.into_iter().skip(skipped).take(room) {
                    batch.records.push(Stored { offset: batch.next, payload: value.slice(place) });
                    batch.next += 1;
                }
            }
            if batch.next < segment_end && batch.records.len() < wanted {
                return Err(missing(dir, topic, partition, batch.next));
            }
        }
        Ok(batch)
    }
}

/// Offsets are dense: a gap is damage, and reading over it would be a lost call.
fn missing(dir: &Path, topic: Topic, partition: u32, offset: u64) -> BusError {
    BusError::Damaged {
        dir: dir.to_owned(),
        reason: format!("record {offset} of {topic}/{partition} is missing"),
    }
}
