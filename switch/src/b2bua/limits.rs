//! Concurrent-call limits: who holds how many calls now.
//!
//! In: holds and releases. Out: whether one more is allowed. `None` is unlimited and 0 is none (switch-reference 7.6).

use std::collections::HashMap;

use model::{AccountId, SubscriberId, TrunkId};

/// Whose calls are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Holder {
    /// In and out.
    Subscriber(SubscriberId),
    /// Those it pays for.
    Account(AccountId),
    /// Both ways.
    Trunk(TrunkId),
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Holder::Subscriber(id) => write!(f, "subscriber {id}"),
            Holder::Account(id) => write!(f, "account {id}"),
            Holder::Trunk(id) => write!(f, "trunk {id}"),
        }
    }
}

/// Calls held now, by holder.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    held: HashMap<Holder, u32>,
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

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
