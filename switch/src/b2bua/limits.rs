//! Limits of calls at once and of new calls a second: who holds how many now.
//!
//! In: holds, releases and the time. Out: whether one more is allowed. `None` is unlimited and 0 is none (switch-reference 7.6, 7.7).

use std::time::Duration;

use model::{AccountId, SubscriberId, TrunkId};
use rustc_hash::FxHashMap;

use crate::rules::{Bucket, Rate};

/// Buckets kept at once; beyond, those that have filled up are dropped.
const BUCKETS_MAX: usize = 10_000;

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// In and out.
    Subscriber(SubscriberId),
    /// Those it pays for; of a reseller, those its customers pay for.
    Account(AccountId),
    /// Both ways.
    Trunk(TrunkId),
    /// A trunk on the way out: its own count of calls a second.
    Out(TrunkId),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Subscriber(id) => write!(f, "subscriber {id}"),
            Holder::Account(id) => write!(f, "account {id}"),
            Holder::Trunk(id) | Holder::Out(id) => write!(f, "trunk {id}"),
        }
    }
}

/// Calls held now, and tokens taken lately, by holder.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    held: FxHashMap<Holder, u32>,
    buckets: FxHashMap<Holder, Bucket>,
}

impl Limits {
    /// Whether one more call stays within `max`.
    ///
    /// # Errors
    ///
    /// What is full, such as `subscriber 7 limit 3/3`.
    pub(crate) fn check(&self, holder: Holder, max: Option<u32>) -> Result<(), String> {
        let held = self.held.get(&holder).copied().unwrap_or(0);
        match max {
            Some(max) if held >= max => Err(format!("{holder} limit {held}/{max}")),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one more.
    pub(crate) fn hold(&mut self, holder: Holder) {
        *self.held.entry(holder).or_insert(0) += 1;
    }

    /// Counts one less.
    pub(crate) fn release(&mut self, holder: Holder) {
        let held = self.held.get_mut(&holder).expect("only what was held is released");
        *held -= 1;
        if *held == 0 {
            self.held.remove(&holder);
        }
    }

    /// Begins one more call of `holder`; `false` when that is too fast.
    pub(crate) fn take(&mut self, holder: Holder, rate: Rate, now: Duration) -> bool {
        if self.buckets.len() >= BUCKETS_MAX {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
        }
        self.buckets.entry(holder).or_insert_with(|| Bucket::full(now)).take(rate, now)
    }

    /// Whether [`Self::take`] would succeed.
    pub(crate) fn has_token(&self, holder: Holder, rate: Rate, now: Duration) -> bool {
        let mut bucket = self.buckets.get(&holder).copied().unwrap_or(Bucket::full(now));
        bucket.take(rate, now)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
