//! How far each lane is known to reach, and the bell for those who wait for more.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Topic;
use tokio::sync::watch;

use crate::topic_idx;

/// Of every lane: the offset after the last record that we know of. Others may have appended more.
pub(super) struct Ends {
    topics: Vec<TopicEnds>,
}

struct TopicEnds {
    lanes: Vec<AtomicU64>,
    rung: watch::Sender<()>,
}

impl Ends {
    pub(super) fn new(partitions: u32) -> Self {
        let topic = || TopicEnds {
            lanes: (0..partitions).map(|_| AtomicU64::new(0)).collect(),
            rung: watch::Sender::new(()),
        };
        Self { topics: Topic::ALL.iter().map(|_| topic()).collect() }
    }

    pub(super) fn of(&self, topic: Topic, partition: u32) -> u64 {
        self.topics[topic_idx(topic)].lanes[partition as usize].load(Ordering::Acquire)
    }

    /// The lane reaches at least to `end`; rings when that is news.
    pub(super) fn reached(&self, topic: Topic, partition: u32, end: u64) {
        let topic = &self.topics[topic_idx(topic)];
        if topic.lanes[partition as usize].fetch_max(end, Ordering::AcqRel) < end {
            topic.rung.send_replace(());
        }
    }

    /// Something may have come; whoever waits looks for himself.
    pub(super) fn ring(&self, topic: Topic) {
        self.topics[topic_idx(topic)].rung.send_replace(());
    }

    pub(super) fn bell(&self, topic: Topic) -> watch::Receiver<()> {
        self.topics[topic_idx(topic)].rung.subscribe()
    }
}
