//! What was posted for calls that a later revision may correct.
//!
//! In: postings made, revisions seen, the time of the log. Out: what a superseding revision must reverse. Kept for partial CDRs,
//! whose final record will surely come, and for calls that were corrected already; what was posted for all others follows from their rated
//! revisions, which are asked for when a correction comes. A record that was suspended is kept too, with nothing
//! posted, so that its successor can be told from one whose predecessor nobody saw.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use model::{CdrId, Posting, StateChange};
use serde::{Deserialize, Serialize};

use crate::balance::Taken;
use crate::in_order::Again;

/// Version 1 of the entry's format: JSON, so that later versions can add to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Posted {
    /// The last revision that was priced, or suspended if `is_rated` is false.
    pub(crate) revision: u32,
    pub(crate) is_rated: bool,
    /// End of the call: what its age is counted from.
    pub(crate) ended_at: DateTime<Utc>,
    pub(crate) postings: Vec<Posting>,
    /// Of the payer's balance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) taken: Option<Taken>,
    /// Where free time was given: what it takes to price it with more or less of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) again: Option<Again>,
}

/// The state of one lane.
#[derive(Debug, Default)]
pub(crate) struct PostedCalls {
    entries: HashMap<CdrId, Posted>,
    by_age: BTreeSet<(DateTime<Utc>, CdrId)>,
    /// Changed since the last commit.
    dirty: BTreeSet<CdrId>,
}

const KEY: &str = "posted:";

impl PostedCalls {
    pub(crate) fn get(&self, cdr: CdrId) -> Option<&Posted> {
        self.entries.get(&cdr)
    }

    /// Knows it until the stage is loaded anew, or for good once a revision after it is kept.
    pub(crate) fn recall(&mut self, cdr: CdrId, posted: Posted) {
        self.insert(cdr, posted);
    }

    pub(crate) fn keep(&mut self, cdr: CdrId, posted: Posted) {
        self.insert(cdr, posted);
        self.dirty.insert(cdr);
    }

    /// Those that free time was given to.
    pub(crate) fn with_free_time(&self) -> impl Iterator<Item = (CdrId, &Again)> {
        self.entries.iter().filter_map(|(cdr, posted)| Some((*cdr, posted.again.as_ref()?)))
    }

    /// Forgets calls that ended before `before`. Returns those that free time was given to.
    pub(crate) fn prune(&mut self, before: DateTime<Utc>) -> Vec<(CdrId, Again)> {
        let mut forgotten = Vec::new();
        while let Some(&(ended_at, cdr)) = self.by_age.first()
            && ended_at < before
        {
            self.by_age.pop_first();
            if let Some(again) = self.entries.remove(&cdr).and_then(|posted| posted.again) {
                forgotten.push((cdr, again));
            }
            self.dirty.insert(cdr);
        }
        forgotten
    }

    pub(crate) fn take_changes(&mut self) -> Vec<StateChange> {
        std::mem::take(&mut self.dirty)
            .into_iter()
            .map(|cdr| StateChange {
                key: format!("{KEY}{cdr}"),
                value: self.entries.get(&cdr).map(|posted| {
                    serde_json::to_vec(posted).expect("strings, numbers and lists always have a JSON form")
                }),
            })
            .collect()
    }

    pub(crate) fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        for (key, value) in entries {
            let unreadable = |why: String| format!("rating state entry {key:?} cannot be read: {why}");
            let cdr = key
                .strip_prefix(KEY)
                .ok_or_else(|| unreadable(format!("its key does not begin with {KEY:?}")))?
                .parse()
                .map_err(|error: model::InvalidId| unreadable(error.to_string()))?;
            let posted = serde_json::from_slice(&value).map_err(|error| unreadable(error.to_string()))?;
            self.insert(cdr, posted);
        }
        Ok(())
    }

    fn insert(&mut self, cdr: CdrId, posted: Posted) {
        self.by_age.insert((posted.ended_at, cdr));
        let ended_at = posted.ended_at;
        if let Some(before) = self.entries.insert(cdr, posted)
            && before.ended_at != ended_at
        {
            self.by_age.remove(&(before.ended_at, cdr));
        }
    }
}
