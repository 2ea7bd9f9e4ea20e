//! Why an event or a call is put aside.

use model::{AccountId, CdrId, Retry, Suspended};

/// What cannot become a record. [`MediationError::code`] is stable; people look it up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediationError {
    /// A call closed without its beginning having been seen.
    #[error(
        "leg {leg} of call {call} has no attempt; of node {node} boot {boot} only events {first_seq} to {last_seq} were \
         seen: look for the missing event in the switch's log and resubmit it"
    )]
    NoAttempt {
        /// The call.
        call: String,
        /// The leg.
        leg: u16,
        /// The switch.
        node: String,
        /// Its process.
        boot: u64,
        /// First event seen.
        first_seq: u64,
        /// Last event seen.
        last_seq: u64,
    },
    /// An event that must belong to a call and names none, or a name no switch gives.
    #[error(
        "event {seq} of node {node} boot {boot}, of kind {kind}, has no usable call name: repair the event"
    )]
    NoCall {
        /// The switch.
        node: String,
        /// Its process.
        boot: u64,
        /// The event.
        seq: u64,
        /// Its kind.
        kind: &'static str,
    },
    /// The clocks of a call disagree.
    #[error(
        "leg {leg} of call {call} was answered for {answered_us} us by its own count and for {wall_us} us by the clock on \
         the wall: repair the end event, or raise mediator.clock_tolerance"
    )]
    ImpossibleDuration {
        /// The call.
        call: String,
        /// The leg.
        leg: u16,
        /// As the end says.
        answered_us: u64,
        /// Between the events.
        wall_us: i64,
    },
    /// Refused and answered at once, or refused after some seconds of conversation.
    #[error("leg {leg} of call {call} was both answered and refused with {code}: repair the wrong event")]
    Contradiction {
        /// The call.
        call: String,
        /// The leg.
        leg: u16,
        /// The refusal.
        code: u16,
    },
    /// An event of one call from two switch processes.
    #[error(
        "event {seq} names call {call} of node {node} boot {boot}, but comes from node {from_node} boot {from_boot}: \
         give each switch its own switch.node"
    )]
    ForeignNode {
        /// The call.
        call: String,
        /// Whose call it is.
        node: String,
        /// Its process.
        boot: u64,
        /// Who sent the event.
        from_node: String,
        /// Its process.
        from_boot: u64,
        /// The event.
        seq: u64,
    },
    /// The lane holds all the open calls it may.
    #[error(
        "call {call} would be open beside {open} others: raise mediator.calls_open_max or find out why calls do not end, \
         then resubmit"
    )]
    TooManyOpen {
        /// The call.
        call: String,
        /// Open calls of this lane.
        open: usize,
    },
    /// A record of another kind.
    #[error("a {kind} record lies on the topic of call events: find out who wrote it")]
    NotAnEvent {
        /// Its kind.
        kind: &'static str,
    },
}

impl MediationError {
    /// `"MED001"`...; printed in the suspense list, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            MediationError::NoAttempt { .. } => "MED001",
            MediationError::NoCall { .. } => "MED002",
            MediationError::ImpossibleDuration { .. } => "MED003",
            MediationError::Contradiction { .. } => "MED004",
            MediationError::ForeignNode { .. } => "MED005",
            MediationError::TooManyOpen { .. } => "MED006",
            MediationError::NotAnEvent { .. } => "MED007",
        }
    }

    /// What would have to change for the same record to be processed.
    pub const fn retry(&self) -> Retry {
        match self {
            MediationError::NoAttempt { .. }
            | MediationError::NoCall { .. }
            | MediationError::ImpossibleDuration { .. }
            | MediationError::Contradiction { .. } => Retry::AfterRepair,
            MediationError::ForeignNode { .. } | MediationError::TooManyOpen { .. } => {
                Retry::AfterProvisioning
            }
            MediationError::NotAnEvent { .. } => Retry::AfterUpgrade,
        }
    }

    pub(crate) fn suspended(&self, account: AccountId, cdr: Option<CdrId>) -> Suspended {
        Suspended {
            code: self.code().to_owned(),
            message: self.to_string(),
            retry: self.retry(),
            account,
            cdr,
        }
    }
}
