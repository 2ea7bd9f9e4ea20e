//! What a lane has seen and done, counted in the same transaction as its position: the figures of `tollbook audit`.

use model::{Body, Effect, Effects, EventBody};
use serde::{Deserialize, Serialize};

/// Counters of one lane of one stage, since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Call events read.
    pub events_in: u64,
    /// Of these, INVITEs accepted for processing: calls.
    pub attempts_in: u64,
    /// CDRs read, first revisions.
    pub cdrs_in: u64,
    /// CDRs read that supersede an earlier one.
    pub revisions_in: u64,
    /// Rated calls read.
    pub rated_in: u64,
    /// Postings read.
    pub postings_in: u64,
    /// CDRs written, first revisions.
    pub cdrs_out: u64,
    /// CDRs written that supersede an earlier one.
    pub revisions_out: u64,
    /// Rated calls written.
    pub rated_out: u64,
    /// Postings written.
    pub postings_out: u64,
    /// Postings made.
    pub posted: u64,
    /// Calls queued for export, over all owners.
    pub exports: u64,
    /// Calls queued for the operator's own export.
    pub exports_system: u64,
    /// Records put aside, of those counted above.
    pub suspended: u64,
    /// Other records put aside: unreadable ones, and those that no equation counts.
    pub strays: u64,
    /// Records that came again out of suspense; not counted among those read above.
    pub resubmitted: u64,
    /// Records dropped because they had been applied before.
    pub replays: u64,
}

/// What a record counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// A call event that is no attempt.
    Event,
    /// An INVITE accepted for processing.
    Attempt,
    /// A CDR's first revision.
    Cdr,
    /// A CDR that supersedes an earlier one.
    Revision,
    /// A rated call.
    Rated,
    /// A posting.
    Posting,
    /// What no equation of the audit counts.
    Other,
}

impl Seen {
    /// Of a record that says `body`.
    pub fn of(body: &Body) -> Self {
        match body {
            Body::Call(event) if matches!(event.body, EventBody::Attempt(_)) => Seen::Attempt,
            Body::Call(_) => Seen::Event,
            Body::Cdr(cdr) if cdr.revision == 0 => Seen::Cdr,
            Body::Cdr(_) => Seen::Revision,
            Body::Rated(_) => Seen::Rated,
            Body::Posting(_) => Seen::Posting,
            Body::Tick(_) | Body::Edr(_) | Body::Control(_) | Body::Accrual(_) | Body::Sighting(_) => {
                Seen::Other
            }
        }
    }
}

impl Counts {
    /// As kept.
    ///
    /// # Errors
    ///
    /// When these are not counters.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// To be kept.
    ///
    /// # Errors
    ///
    /// None in truth: they are numbers.
    pub fn to_bytes(self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self)
    }

    /// A record was read. Whether it is one of those that an equation of the audit counts.
    pub fn saw(&mut self, seen: Seen) -> bool {
        match seen {
            Seen::Event => self.events_in += 1,
            Seen::Attempt => {
                self.events_in += 1;
                self.attempts_in += 1;
            }
            Seen::Cdr => self.cdrs_in += 1,
            Seen::Revision => self.revisions_in += 1,
            Seen::Rated => self.rated_in += 1,
            Seen::Posting => self.postings_in += 1,
            Seen::Other => return false,
        }
        true
    }

    /// A record that was counted before, or could not be read then, has come again out of suspense. As [`Counts::saw`].
    pub fn saw_again(&mut self, seen: Seen) -> bool {
        let is_counted = seen != Seen::Other;
        self.resubmitted += u64::from(is_counted);
        is_counted
    }

    /// A record just counted said nothing that was not known: whoever wrote it appended it twice.
    pub fn knew(&mut self, seen: Seen) {
        let mut this = Counts::default();
        this.saw(seen);
        self.events_in = self.events_in.saturating_sub(this.events_in);
        self.attempts_in = self.attempts_in.saturating_sub(this.attempts_in);
        self.cdrs_in = self.cdrs_in.saturating_sub(this.cdrs_in);
        self.revisions_in = self.revisions_in.saturating_sub(this.revisions_in);
        self.rated_in = self.rated_in.saturating_sub(this.rated_in);
        self.postings_in = self.postings_in.saturating_sub(this.postings_in);
        self.replays += 1;
    }

    /// And this came of it.
    pub fn did(&mut self, effects: &Effects) {
        for effect in &effects.0 {
            match effect {
                Effect::Append { body, .. } => match &**body {
                    Body::Cdr(cdr) if cdr.revision == 0 => self.cdrs_out += 1,
                    Body::Cdr(_) => self.revisions_out += 1,
                    Body::Rated(_) => self.rated_out += 1,
                    Body::Posting(_) => self.postings_out += 1,
                    Body::Tick(_)
                    | Body::Call(_)
                    | Body::Edr(_)
                    | Body::Control(_)
                    | Body::Accrual(_)
                    | Body::Sighting(_) => {}
                },
                Effect::Post(_) => self.posted += 1,
                Effect::Suspend(_) => self.suspended += 1,
                Effect::Export { owner, .. } => {
                    self.exports += 1;
                    if owner == "system" {
                        self.exports_system += 1;
                    }
                }
                Effect::Alert(_)
                | Effect::Lock(_)
                | Effect::Profiles(_)
                | Effect::Bar(_)
                | Effect::Stopped(_)
                | Effect::Edr(_)
                | Effect::Repeated
                | Effect::AskAgain(_) => {}
            }
        }
    }

    /// Sum over lanes.
    pub fn add(&mut self, other: Counts) {
        self.events_in += other.events_in;
        self.attempts_in += other.attempts_in;
        self.cdrs_in += other.cdrs_in;
        self.revisions_in += other.revisions_in;
        self.rated_in += other.rated_in;
        self.postings_in += other.postings_in;
        self.cdrs_out += other.cdrs_out;
        self.revisions_out += other.revisions_out;
        self.rated_out += other.rated_out;
        self.postings_out += other.postings_out;
        self.posted += other.posted;
        self.exports += other.exports;
        self.exports_system += other.exports_system;
        self.suspended += other.suspended;
        self.strays += other.strays;
        self.resubmitted += other.resubmitted;
        self.replays += other.replays;
    }
}
