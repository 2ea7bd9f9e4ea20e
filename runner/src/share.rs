//! The lanes of a stage that this process works: all of them, or those it holds leases for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use store::Fence;
use tokio::sync::watch;

/// What a stage is to work on from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// Counts the changes.
    pub generation: u64,
    /// The lanes; each with the epoch of its lease, where there are leases.
    pub lanes: BTreeMap<u32, Option<u64>>,
}

/// A stage's end of the agreement with whoever keeps the leases.
#[derive(Clone)]
pub struct Share {
    owner: Arc<str>,
    assigned: watch::Receiver<Assignment>,
    adopted: Arc<watch::Sender<u64>>,
    is_current: Arc<AtomicBool>,
    is_leased: bool,
}

/// The other end.
pub struct ShareKeeper {
    /// What the stage is to work on.
    pub assigned: watch::Sender<Assignment>,
    /// The generation that the stage works by.
    pub adopted: watch::Receiver<u64>,
}

impl Share {
    /// All lanes, without leases: a process alone.
    pub fn all(n_partitions: u32) -> Self {
        let lanes = (0..n_partitions).map(|partition| (partition, None)).collect();
        let (assigned, receiver) = watch::channel(Assignment { generation: 0, lanes });
        // The last word; nobody speaks on this channel again.
        drop(assigned);
        Self {
            owner: "".into(),
            assigned: receiver,
            adopted: Arc::new(watch::Sender::new(0)),
            is_current: Arc::new(AtomicBool::new(true)),
            is_leased: false,
        }
    }

    /// What `owner` holds leases for, none at first. Work rests while `is_current` is false: the leases may be another's.
    pub fn leased(owner: &str, is_current: Arc<AtomicBool>) -> (Self, ShareKeeper) {
        let (assigned, receiver) = watch::channel(Assignment { generation: 0, lanes: BTreeMap::new() });
        let (adopted, seen) = watch::channel(0);
        let share = Self {
            owner: owner.into(),
            assigned: receiver,
            adopted: Arc::new(adopted),
            is_current,
            is_leased: true,
        };
        (share, ShareKeeper { assigned, adopted: seen })
    }

    /// What is assigned, for one session of the stage.
    pub(super) fn assigned(&self) -> watch::Receiver<Assignment> {
        self.assigned.clone()
    }

    /// The stage holds nothing beside the lanes of `generation` any more.
    pub(super) fn adopt(&self, generation: u64) {
        self.adopted.send_replace(generation);
    }

    /// Whether the leases were renewed lately.
    pub(super) fn is_current(&self) -> bool {
        self.is_current.load(Ordering::Acquire)
    }

    /// Whether others may work on lanes of the same stage.
    pub(super) fn is_leased(&self) -> bool {
        self.is_leased
    }

    /// What a commit of these lanes has to be checked against.
    pub(super) fn fence(&self, epochs: impl Iterator<Item = (u32, Option<u64>)>) -> Option<Fence> {
        if !self.is_leased {
            return None;
        }
        let epochs = epochs.filter_map(|(partition, epoch)| Some((partition, epoch?))).collect();
        Some(Fence { owner: self.owner.to_string(), epochs })
    }
}
