//! Segments: the runs of appends that a topic's log is made of, and reading them.
//!
//! A segment is one keyspace of the database and holds records of all partitions of its topic. Retention drops whole
//! segments, which gives their files back at once; deleting record by record would not.
//!
//! What one group of appends brings for a lane lies in runs of some thirty kilobytes, one entry of the database each: to it, a hundred
//! small records cost as much as a hundred large ones. A run has the key of its last record, so that the entry at or behind an offset is
//! the one that holds it. A run of some size is pressed once, on its way in: the database, which would do so for its journal and again for its
//! tables, finds little left to press.

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

/// And how it is pressed, where it is.
const PRESSED_KEY_BYTES: usize = RUN_KEY_BYTES + 1;

/// Pressed as an LZ4 block, behind the length of what it was made of.
const LZ4: u8 = 1;

/// Runs of fewer bytes are left as they are: a block of the database has several of them, and presses them together.
const PRESSED_BYTES_MIN: usize = 4 << 10;

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

/// Records of a lane on their way into one entry. It keeps its room from run to run: an entry takes as much as it needs, once.
#[derive(Default)]
pub(super) struct Run {
    count: u32,
    /// The payloads, each behind its length.
    bytes: Vec<u8>,
}

/// Of a payload's length, in front of it.
const LENGTH_BYTES: usize = 4;

impl Run {
    /// Whether `payload` is better the first of another run.
    pub(super) fn is_full_for(&self, payload: &[u8]) -> bool {
        self.count > 0 && self.bytes.len() + LENGTH_BYTES + payload.len() > RUN_BYTES_MAX
    }

    pub(super) fn push(&mut self, payload: &[u8]) {
        // A payload is at most a megabyte.
        self.bytes.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes.extend_from_slice(payload);
        self.count += 1;
    }

    /// The entry, if there is one; `end` is the offset behind its last record. A record by itself has no length in front. `press` is room for
    /// pressing.
    pub(super) fn take(
        &mut self,
        (topic, partition, end): (Topic, u32, u64),
        press: &mut Vec<u8>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        let count = std::mem::take(&mut self.count);
        let last = end.checked_sub(1).filter(|_| count > 0)?;
        let mut key = record_key(topic, partition, last).to_vec();
        let value = if count == 1 {
            self.bytes[LENGTH_BYTES..].to_vec()
        } else {
            key.extend_from_slice(&count.to_be_bytes());
            let pressed = pressed(&self.bytes, press);
            key.extend(pressed.is_some().then_some(LZ4));
            pressed.unwrap_or(&self.bytes).to_vec()
        };
        self.bytes.clear();
        // One large record must not keep its room for ever.
        self.bytes.shrink_to(RUN_BYTES_MAX);
        Some((key, value))
    }
}

/// `bytes` behind their length, pressed; `None` if that is not worth it.
fn pressed<'a>(bytes: &[u8], room: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    let length = u32::try_from(bytes.len()).ok().filter(|_| bytes.len() >= PRESSED_BYTES_MIN)?;
    room.resize(LENGTH_BYTES + lz4_flex::block::get_maximum_output_size(bytes.len()), 0);
    room[..LENGTH_BYTES].copy_from_slice(&length.to_be_bytes());
    let taken = lz4_flex::block::compress_into(bytes, &mut room[LENGTH_BYTES..]).ok()?;
    Some(&room[..LENGTH_BYTES + taken]).filter(|pressed| pressed.len() < bytes.len())
}

/// What was [`pressed`]; `None` if it is damaged.
fn unpressed(pressed: &[u8]) -> Option<Vec<u8>> {
    let (length, pressed) = pressed.split_first_chunk()?;
    // No run that is pressed is larger.
    let length =
        usize::try_from(u32::from_be_bytes(*length)).ok().filter(|length| *length <= RUN_BYTES_MAX)?;
    let bytes = lz4_flex::block::decompress(pressed, length).ok()?;
    (bytes.len() == length).then_some(bytes)
}

/// How many records an entry holds, by its key.
fn count_of(key: &[u8]) -> Option<u64> {
    match key.len() {
        KEY_BYTES => Some(1),
        RUN_KEY_BYTES | PRESSED_KEY_BYTES => {
            Some(u32::from_be_bytes(key[KEY_BYTES..RUN_KEY_BYTES].try_into().ok()?).into())
        }
        _ => None,
    }
}

/// What an entry's records lie in; `None` if it is damaged, or of a later version.
fn opened(key: &[u8], value: fjall::UserValue) -> Option<Bytes> {
    match key.get(RUN_KEY_BYTES) {
        None => Some(Bytes::from(value)),
        Some(&LZ4) => unpressed(&value).map(Bytes::from),
        Some(_) => None,
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
                let value = opened(&key, value).ok_or_else(|| missing(dir, topic, partition, batch.next))?;
                let payloads =
                    payloads(&value, count).ok_or_else(|| missing(dir, topic, partition, batch.next))?;
                let skipped = usize::try_from(batch.next - first).unwrap_or(usize::MAX);
                let room = wanted - batch.records.len();
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
