//! When the mediator of a lane looks at what: calls that get an interim record, open calls that are given up, what is forgotten.
//!
//! In: times of the log. Out: what is due first. Which is when is decided by `mediator`.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::CallUid;

/// What is remembered for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Memory {
    /// A closed call.
    Call(CallUid),
    /// An EDR, by its id.
    Edr(String),
}

/// The timetable of a lane.
#[derive(Debug)]
pub(crate) struct Timetable {
    /// When each call that is up gets its next record.
    pub(crate) interim: BTreeSet<(DateTime<Utc>, CallUid)>,
    /// When each open call is given up.
    pub(crate) give_up: BTreeSet<(DateTime<Utc>, CallUid)>,
    /// When each closed call and EDR is forgotten.
    pub(crate) forget: BTreeSet<(DateTime<Utc>, Memory)>,
    /// No table has anything due before this.
    pub(crate) next_due: DateTime<Utc>,
}

impl Timetable {
    /// Nothing is due.
    pub(crate) fn new() -> Self {
        Self {
            interim: BTreeSet::new(),
            give_up: BTreeSet::new(),
            forget: BTreeSet::new(),
            next_due: DateTime::<Utc>::MAX_UTC,
        }
    }

    pub(crate) fn insert_interim(&mut self, at: DateTime<Utc>, call: &CallUid) {
        self.next_due = self.next_due.min(at);
        self.interim.insert((at, call.clone()));
    }

    pub(crate) fn insert_give_up(&mut self, at: DateTime<Utc>, call: &CallUid) {
        self.next_due = self.next_due.min(at);
        self.give_up.insert((at, call.clone()));
    }

    pub(crate) fn insert_forget(&mut self, at: DateTime<Utc>, what: Memory) {
        self.next_due = self.next_due.min(at);
        self.forget.insert((at, what));
    }

    /// What is in the table of interim records, if that is due.
    pub(crate) fn pop_interim(&mut self, now: DateTime<Utc>) -> Option<CallUid> {
        self.interim.first().filter(|(due, _)| *due <= now)?;
        self.interim.pop_first().map(|(_, call)| call)
    }

    /// The open call to be looked at, if one is due.
    pub(crate) fn pop_give_up(&mut self, now: DateTime<Utc>) -> Option<CallUid> {
        self.give_up.first().filter(|(due, _)| *due <= now)?;
        self.give_up.pop_first().map(|(_, call)| call)
    }

    /// Looks for what is due next.
    pub(crate) fn look_ahead(&mut self) {
        let firsts = [
            self.interim.first().map(|(due, _)| *due),
            self.give_up.first().map(|(due, _)| *due),
            self.forget.first().map(|(due, _)| *due),
        ];
        self.next_due = firsts.into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    }
}
