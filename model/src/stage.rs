//! The protocol every stage of the pipeline follows (ARCHITECTURE.md, "Stage protocol").
//!
//! A stage is a pure state machine for one partition ("lane"). The runner reads a batch, lets the stage apply record
//! by record, appends the outputs to the bus with their origin, and commits state and position in one transaction.

use crate::{
    AccountId, Alert, Barring, Body, CdrId, Edr, Lock, Posting, ProfileSwitch, RatedCdr, Stopped, Suspended,
    Topic,
};

/// One record, as the runner hands it to a stage.
#[derive(Debug, Clone)]
pub struct StageInput {
    /// Partition it was read from.
    pub partition: u32,
    /// Its offset there.
    pub offset: u64,
    /// What it says; the stage's to keep.
    pub body: Body,
}

/// What a stage wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Append to the bus, in the lane of `key`. Happens before the commit, again after a crash.
    Append {
        /// Where.
        topic: Topic,
        /// Whose lane.
        key: AccountId,
        /// What.
        body: Box<Body>,
    },
    /// Post to the ledger. In the commit.
    Post(Box<Posting>),
    /// Keep an alert, and queue the mails to those it names. In the commit.
    Alert(Box<Alert>),
    /// Keep a lock. In the commit.
    Lock(Box<Lock>),
    /// Give an account other profiles. In the commit.
    Profiles(Box<ProfileSwitch>),
    /// Keep a barring. In the commit.
    Bar(Box<Barring>),
    /// Add a call that was stopped to its alert. In the commit.
    Stopped(Stopped),
    /// Put the input aside. In the commit.
    Suspend(Box<Suspended>),
    /// Keep an EDR, and queue it for the files of those it concerns. In the commit.
    Edr(Box<Edr>),
    /// The input said nothing that was not known already: whoever wrote it appended it twice. Counted, no more.
    Repeated,
    /// Nothing was done: to apply this input, which comes back with it, the stage must first be told records of its topic again
    /// ([`Stage::wants_again`]). The only effect of its input.
    AskAgain(Box<Body>),
    /// Queue a call for an export stream's owner. In the commit.
    Export {
        /// `system`, or `reseller:ID` or `carrier:ID`.
        owner: String,
        /// The call.
        rated: Box<RatedCdr>,
        /// It is kept there for those who ask for it later, and in no file.
        is_left_out: bool,
    },
}

/// Collects what one input leads to, in order. The order of the appends gives them their origin index.
#[derive(Debug, Default)]
pub struct Effects(pub Vec<Effect>);

impl Effects {
    /// Appends `body` to `topic` in the lane of `key`.
    pub fn append(&mut self, topic: Topic, key: AccountId, body: Body) {
        self.0.push(Effect::Append { topic, key, body: Box::new(body) });
    }

    /// Appends `edr` for whoever reads the topic, and keeps it in the commit.
    pub fn edr(&mut self, edr: Edr) {
        self.0.push(Effect::Edr(Box::new(edr.clone())));
        self.append(Topic::Cdrs, edr.account, Body::Edr(Box::new(edr)));
    }

    /// Says that the input told nothing new.
    pub fn repeated(&mut self) {
        self.0.push(Effect::Repeated);
    }

    /// Puts the input aside.
    pub fn suspend(&mut self, suspended: Suspended) {
        self.0.push(Effect::Suspend(Box::new(suspended)));
    }
}

/// One entry of a lane's state that changed; `value == None` removes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// Unique within stage and partition.
    pub key: String,
    /// In the stage's own format, which it must be able to read in later versions.
    pub value: Option<Vec<u8>>,
}

/// A pure state machine over one lane. What it does depends on the input and its state alone.
pub trait Stage: Send {
    /// The call that `body` corrects, if the stage does not remember what was rated for it: it wants to be told by
    /// [`Self::recall`] before it applies the record.
    fn asks_for(&self, body: &Body) -> Option<CdrId> {
        let _ = body;
        None
    }

    /// Told every revision of a call that was rated and kept, oldest first, once all that the lane put out before is kept. Empty when
    /// there is none.
    fn recall(&mut self, revisions: &[RatedCdr]) {
        let _ = revisions;
    }

    /// Offsets of records of its own topic and lane, applied before, that the stage must be told again before it goes on; rising. Asked after
    /// [`Self::restore`], and after it answered with [`Effect::AskAgain`].
    fn wants_again(&self) -> Vec<u64> {
        Vec::new()
    }

    /// Told those of them that the log still has, by their offsets, rising.
    ///
    /// # Errors
    ///
    /// A sentence that says what is missing, where it cannot go on without it.
    fn hear_again(&mut self, records: Vec<(u64, Body)>) -> Result<(), String> {
        let _ = records;
        Ok(())
    }

    /// Applies one record. What it cannot process it suspends; it never fails.
    fn apply(&mut self, input: StageInput, effects: &mut Effects);

    /// The state entries changed since the last call, for the commit.
    fn take_changes(&mut self) -> Vec<StateChange>;

    /// Called once, before anything else, with the state of the last commit.
    ///
    /// # Errors
    ///
    /// A sentence naming the entry that cannot be read.
    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String>;
}
