//! Records made by other systems: a line, or an object, of theirs becomes a [`Cdr`](model::Cdr) of ours.
//!
//! In: the text of one record, the [`Format`] it is written in, and who is provisioned. Out: a CDR that rating prices like any other,
//! nothing for records that concern nobody, or a [`ForeignError`] that says which field is wrong. Reading files, remembering which
//! records were taken in before and appending are the binary's work.

mod error;
mod format;
mod freeswitch;
mod parties;
mod splitter;
mod values;

pub use error::ForeignError;
pub use format::{Field, FieldRule, Format, Kind, NumberPlan, Unit};
pub use parties::Parties;
pub use splitter::{RECORD_BYTES_MAX, Splitter};

use chrono::{DateTime, Utc};
use model::{Cause, Initiator};

/// One record of another system, its fields read and checked one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign {
    /// Names the record for ever within its source.
    pub key: String,
    /// The caller, as written.
    pub source: String,
    /// The number called, as written.
    pub destination: String,
    /// When the call came in.
    pub init_at: DateTime<Utc>,
    /// When it was answered; of other calls when they came in.
    pub start_at: DateTime<Utc>,
    /// Answered for so long, microseconds.
    pub duration_us: u64,
    /// Final SIP code.
    pub code: u16,
    /// Why it ended.
    pub cause: Cause,
    /// Who ended it.
    pub ended_by: Initiator,
    /// Handle of the account that pays, where the record names it.
    pub account: Option<String>,
    /// Name of the trunk it came in from.
    pub trunk_in: Option<String>,
    /// Name of the trunk it went out to.
    pub trunk_out: Option<String>,
    /// SIP Call-ID; empty if unknown.
    pub call_id: String,
    /// First audio codec; empty if unknown.
    pub codec: String,
    /// User-Agent of the caller; empty if unknown.
    pub user_agent: String,
    /// Source address of the signalling; empty if unknown.
    pub ip: String,
    /// Post-dial delay, microseconds.
    pub pdd_us: Option<u64>,
}

/// What a SIP code says of the end of a call, where nothing finer is known.
const fn cause_of(code: u16) -> Cause {
    match code {
        200..=299 => Cause::Normal,
        486 | 600 => Cause::Busy,
        480 => Cause::NoAnswer,
        487 => Cause::Cancelled,
        404 | 410 | 484 | 604 => Cause::CalleeUnknown,
        408 => Cause::Timeout,
        603 | 606 => Cause::Declined,
        488 => Cause::NotAcceptable,
        500..=599 => Cause::PeeringUnavailable,
        _ => Cause::Other,
    }
}
