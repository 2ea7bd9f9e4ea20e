//! Reading: one consumer of the client library, with a place of its own in each lane of one topic.
//!
//! Stages of one process that read the same lane at about the same place share what was fetched: each lane keeps the records read
//! last. Who stands elsewhere gets another strand. No group, no offsets on the brokers: positions are their owners' business.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use model::Topic;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tracing::warn;

use super::context::Context;
use super::ends::Ends;
use crate::{Stored, clock};

/// A place that nobody has read from for so long may be given to another reader.
const IDLE: Duration = Duration::from_secs(2);

/// A place nobody has read from for so long is given up, so that the brokers send nothing for it.
const ABANDONED: Duration = Duration::from_secs(60);

/// One consumer.
pub(super) struct Strand {
    consumer: Arc<BaseConsumer<Context>>,
    topic: Topic,
    topic_name: String,
    cache_bytes: usize,
    lanes: Vec<Mutex<Option<Cursor>>>,
}

/// A place in one lane.
struct Cursor {
    queue: PartitionQueue<Context>,
    /// The records before `next`, without a gap.
    window: VecDeque<Stored>,
    window_bytes: usize,
    /// What comes from the brokers next.
    next: u64,
    used: Instant,
}

/// What a lane of a strand has for a reader.
pub(super) enum Look {
    /// It stands elsewhere.
    NotHere,
    /// It is there, and nothing has come yet.
    Dry,
    /// Records from there on.
    Records(Vec<Stored>),
}

impl Strand {
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        topic: Topic,
        topic_name: String,
        partitions: u32,
        cache_bytes: usize,
    ) -> Self {
        let lanes = (0..partitions).map(|_| Mutex::new(None)).collect();
        Self { consumer: Arc::new(consumer), topic, topic_name, cache_bytes, lanes }
    }

    fn lane(&self, partition: u32) -> MutexGuard<'_, Option<Cursor>> {
        self.lanes[partition as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Up to `records_max` records from `from` on, of what has come so far.
    pub(super) fn look(&self, partition: u32, from: u64, records_max: usize, ends: &Ends) -> Look {
        let mut lane = self.lane(partition);
        let Some(cursor) = lane.as_mut().filter(|cursor| cursor.covers(from)) else { return Look::NotHere };
        cursor.used = clock::mono();
        cursor.draw(from, from.saturating_add(records_max as u64), self.cache_bytes);
        ends.reached(self.topic, partition, cursor.next);
        let skipped = cursor.window.partition_point(|stored| stored.offset < from);
        let records: Vec<Stored> = cursor.window.iter().skip(skipped).take(records_max).cloned().collect();
        if records.is_empty() { Look::Dry } else { Look::Records(records) }
    }

    /// How free the place in a lane is: `None` while it is in use, the larger the longer nobody has read there.
    pub(super) fn vacancy(&self, partition: u32) -> Option<Duration> {
        match &*self.lane(partition) {
            None => Some(Duration::MAX),
            Some(cursor) => {
                let idle = clock::mono().saturating_duration_since(cursor.used);
                (idle >= IDLE).then_some(idle)
            }
        }
    }

    /// How long nobody has read at its place in a lane.
    pub(super) fn idle(&self, partition: u32) -> Duration {
        let idle = |cursor: &Cursor| clock::mono().saturating_duration_since(cursor.used);
        self.lane(partition).as_ref().map_or(Duration::MAX, idle)
    }

    /// Stands at `from` of a lane from now on.
    pub(super) fn stand(&self, partition: u32, from: u64, ends: &Arc<Ends>) -> Result<(), String> {
        let mut lane = self.lane(partition);
        if lane.take().is_some() {
            self.leave(partition);
        }
        let number = i32::try_from(partition).map_err(|why| why.to_string())?;
        let offset = i64::try_from(from).map_err(|why| why.to_string())?;
        // Before the first record can come, so that none goes by the consumer's own queue.
        let mut queue = self
            .consumer
            .split_partition_queue(&self.topic_name, number)
            .ok_or("the client library has no such lane")?;
        let (topic, bell) = (self.topic, ends.clone());
        queue.set_nonempty_callback(move || bell.ring(topic));
        let mut place = TopicPartitionList::new();
        place
            .add_partition_offset(&self.topic_name, number, Offset::Offset(offset))
            .map_err(|why| why.to_string())?;
        self.consumer.incremental_assign(&place).map_err(|why| why.to_string())?;
        let used = clock::mono();
        *lane = Some(Cursor { queue, window: VecDeque::new(), window_bytes: 0, next: from, used });
        Ok(())
    }

    fn leave(&self, partition: u32) {
        let mut place = TopicPartitionList::new();
        place.add_partition(&self.topic_name, i32::try_from(partition).unwrap_or_default());
        if let Err(why) = self.consumer.incremental_unassign(&place) {
            warn!(topic = self.topic_name, partition, error = %why, "a lane could not be given up");
        }
    }

    /// Forgets its place in a lane, if it is before `oldest`: those records are gone from the brokers.
    pub(super) fn forget_below(&self, partition: u32, oldest: u64) {
        let mut lane = self.lane(partition);
        if lane.as_ref().is_some_and(|cursor| cursor.first() < oldest) {
            *lane = None;
            self.leave(partition);
        }
    }

    /// Lets the client library say what it has to say, and gives up places that nobody uses.
    pub(super) fn tend(&self) {
        while let Some(event) = self.consumer.poll(Duration::ZERO) {
            if let Ok(message) = event {
                // Not expected: each lane has its own queue. The lane is read again from where its readers stand.
                warn!(topic = self.topic_name, partition = message.partition(), "a record came astray");
                if let Ok(partition) = u32::try_from(message.partition()) {
                    self.forget_below(partition, u64::MAX);
                }
            }
        }
        for partition in (0_u32..).take(self.lanes.len()) {
            let mut lane = self.lane(partition);
            let is_abandoned =
                |cursor: &Cursor| clock::mono().saturating_duration_since(cursor.used) >= ABANDONED;
            if lane.as_ref().is_some_and(is_abandoned) {
                *lane = None;
                self.leave(partition);
            }
        }
    }
}

impl Cursor {
    fn first(&self) -> u64 {
        self.window.front().map_or(self.next, |stored| stored.offset)
    }

    fn covers(&self, from: u64) -> bool {
        (self.first()..=self.next).contains(&from)
    }

    /// Takes what has come, until the window reaches `to`; of what lies before `from` only so much is kept.
    fn draw(&mut self, from: u64, to: u64, cache_bytes: usize) {
        while self.next < to {
            // What goes wrong with a lane is found out by whoever waits for it in vain.
            let Some(Ok(message)) = self.queue.poll(Duration::ZERO) else { break };
            let Ok(offset) = u64::try_from(message.offset()) else { continue };
            if offset < self.next {
                continue;
            }
            let payload = Bytes::copy_from_slice(message.payload().unwrap_or_default());
            self.window_bytes += payload.len();
            self.window.push_back(Stored { offset, payload });
            self.next = offset + 1;
        }
        while self.window_bytes > cache_bytes
            && let Some(oldest) = self.window.pop_front_if(|oldest| oldest.offset < from)
        {
            self.window_bytes -= oldest.payload.len();
        }
    }
}
