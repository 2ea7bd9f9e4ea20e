//! Segments: the runs of appends that a topic's log is made of, and reading them.
//!
//! A segment is one keyspace of the database and holds records of all partitions of its topic. Retention drops whole
//! segments, which gives their files back at once; deleting record by record would not.

use std::path::Path;
use std::sync::Arc;

use fjall::Keyspace;
use model::Topic;

use super::log::describe;
use crate::{Batch, BusError, Stored};

/// Topic, partition, offset.
pub(super) const KEY_BYTES: usize = 13;

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

/// The offset in a key of [`record_key`].
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
                let offset = batch.next;
                if offset_of(&key) != Some(offset) {
                    return Err(missing(dir, topic, partition, offset));
                }
                batch.records.push(Stored { offset, payload: value.to_vec() });
                batch.next += 1;
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
