//! What lies on the bus: a body and where it came from.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{Accrual, CallEvent, Cdr, Control, Edr, Posting, RatedCdr, Sighting, Text};

named_enum! {
    /// The topics of the bus. Each has the same number of partitions; `control` is read whole by every process.
    Topic {
        /// Call events of the switch.
        Calls = "calls",
        /// CDRs and EDRs.
        Cdrs = "cdrs",
        /// Rated calls.
        Rated = "rated",
        /// Postings, each in the lane of the account it concerns.
        Postings = "postings",
        /// Locks, kills, configuration revisions.
        Control = "control",
        /// What the watch saw of calls, each in the lane of what it is counted by.
        Sightings = "sightings",
    }
}

/// Where a record came from: the input that caused it. A consumer drops what is not above the highest origin it has
/// applied, per (stage, partition): that is what makes a replay harmless.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The stage that wrote it.
    pub stage: Text,
    /// Partition of that stage's input.
    pub partition: u32,
    /// Offset of the input record.
    pub offset: u64,
    /// Which of its outputs this is.
    pub index: u32,
}

/// One record of the bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `None` for what comes from outside the pipeline: the switch, imports, people.
    pub origin: Option<Origin>,
    /// What it says.
    pub body: Body,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "value", rename_all = "snake_case")]
pub enum Body {
    /// The time of the log: timers of stages run on this, not on the wall clock.
    Tick(DateTime<Utc>),
    /// From the switch.
    Call(Box<CallEvent>),
    /// From the mediator.
    Cdr(Box<Cdr>),
    /// From the mediator.
    Edr(Box<Edr>),
    /// From rating.
    Rated(Box<RatedCdr>),
    /// From rating.
    Posting(Box<Posting>),
    /// To everybody.
    Control(Control),
    /// From the watch to the spend limits, among the rated calls.
    Accrual(Accrual),
    /// From the watch of one lane to the rules that count over all of them.
    Sighting(Box<Sighting>),
}
