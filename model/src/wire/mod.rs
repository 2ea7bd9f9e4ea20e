//! The bus form of a [`Record`]: protobuf, published in `proto/tollbook/v1/record.proto`.
//!
//! In: a record. Out: its bytes, the same for the same record in every run, and back. The schema says what each
//! field means; [`words`] and [`scalar`] hold the small forms, the other modules one topic each. Bytes of any
//! origin are safe to decode: what is not a record is a [`WireError`], never a panic. Moving the bytes is `bus`'s
//! work, and deciding what becomes of a record that cannot be read is the runner's.
//!
//! An older reader skips fields it does not know and refuses a word or a body it does not know, because guessing
//! would be a wrong bill; only an unknown [`Cause`](crate::Cause) is read as `Other`, since no price hangs on it.

mod call;
mod cdr;
mod control;
mod in_order;
mod money;
mod quick;
mod reader;
mod scalar;
mod sighting;
pub mod view;
mod words;
mod write;

use prost::Message as _;

use crate::{Body, Origin, RatedCdr, Record, Retry};
use scalar::{required, to_time};

#[allow(
    unreachable_pub,
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    reason = "generated from the schema"
)]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/tollbook.v1.rs"));
}

/// Why bytes are not a record we can read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Not protobuf, cut short, or of another schema.
    #[error("the bytes are not a tollbook record: {reason}")]
    Malformed {
        /// What the decoder says.
        reason: String,
    },
    /// A field that every record of its kind has.
    #[error("the record lacks {field}")]
    Missing {
        /// Message and field, such as `Charge.cost`.
        field: &'static str,
    },
    /// A word or a kind of body that a later version of the program writes.
    #[error("{field} holds number {number}, which this version does not know; upgrade and try again")]
    UnknownWord {
        /// Message and field.
        field: &'static str,
        /// The number on the wire.
        number: i32,
    },
    /// A value that cannot be.
    #[error("{field} holds {value}, which is not {expected}")]
    Invalid {
        /// Message and field.
        field: &'static str,
        /// As found; of a telephone number only that it is one.
        value: String,
        /// What it should be.
        expected: &'static str,
    },
    /// Neither body we know: written by a later version, or by nobody of ours.
    #[error("{field} is absent or of a kind this version does not know; upgrade and try again")]
    UnknownBody {
        /// Message and field.
        field: &'static str,
    },
}

impl WireError {
    /// Stable code, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            WireError::Malformed { .. } => "WIR001",
            WireError::Missing { .. } => "WIR002",
            WireError::UnknownWord { .. } => "WIR003",
            WireError::Invalid { .. } => "WIR004",
            WireError::UnknownBody { .. } => "WIR005",
        }
    }

    /// What would have to change for the same bytes to be read.
    pub const fn retry(&self) -> Retry {
        match self {
            WireError::Malformed { .. } | WireError::Missing { .. } | WireError::Invalid { .. } => {
                Retry::AfterRepair
            }
            WireError::UnknownWord { .. } | WireError::UnknownBody { .. } => Retry::AfterUpgrade,
        }
    }
}

impl From<prost::DecodeError> for WireError {
    fn from(error: prost::DecodeError) -> Self {
        WireError::Malformed { reason: error.to_string() }
    }
}

/// The bytes of `record` on the bus. Times keep their microseconds; decimals keep every digit and their scale.
pub fn encode(record: &Record) -> Vec<u8> {
    write::record(record)
}

/// The record in `bytes`.
///
/// # Errors
///
/// See [`WireError`]; [`WireError::retry`] says whether an upgrade would help.
pub fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    quick::record(bytes).map_or_else(|| decode_in_full(bytes), Ok)
}

/// By the generated code: any record, and what is wrong with bytes that are none.
fn decode_in_full(bytes: &[u8]) -> Result<Record, WireError> {
    proto::Record::decode(bytes)?.try_into()
}

/// The bytes of a rated call by itself, as a queue of the store keeps it.
pub fn encode_rated(rated: &RatedCdr) -> Vec<u8> {
    write::rated_cdr(rated)
}

/// Back from [`encode_rated`].
///
/// # Errors
///
/// As [`decode`].
pub fn decode_rated(bytes: &[u8]) -> Result<RatedCdr, WireError> {
    proto::RatedCdr::decode(bytes)?.try_into()
}

impl TryFrom<proto::Record> for Record {
    type Error = WireError;

    fn try_from(record: proto::Record) -> Result<Self, WireError> {
        use proto::record::Body as Wire;
        let body = match record.body {
            None => return Err(WireError::UnknownBody { field: "Record.body" }),
            Some(Wire::TickUs(at)) => Body::Tick(to_time(at, "Record.tick_us")?),
            Some(Wire::Call(event)) => Body::Call(Box::new(event.try_into()?)),
            Some(Wire::Cdr(cdr)) => Body::Cdr(Box::new((*cdr).try_into()?)),
            Some(Wire::Edr(edr)) => Body::Edr(Box::new(edr.try_into()?)),
            Some(Wire::Rated(rated)) => Body::Rated(Box::new((*rated).try_into()?)),
            Some(Wire::Posting(posting)) => Body::Posting(Box::new(posting.try_into()?)),
            Some(Wire::Control(control)) => Body::Control(control.try_into()?),
            Some(Wire::Accrual(accrual)) => Body::Accrual(accrual.try_into()?),
            Some(Wire::Sighting(sighting)) => Body::Sighting(Box::new((*sighting).try_into()?)),
        };
        Ok(Record { origin: record.origin.map(Into::into), body })
    }
}

impl From<proto::Origin> for Origin {
    fn from(origin: proto::Origin) -> Self {
        let proto::Origin { stage, partition, offset, index } = origin;
        Origin { stage: stage.into(), partition, offset, index }
    }
}

impl TryFrom<proto::RatedCdr> for RatedCdr {
    type Error = WireError;

    fn try_from(rated: proto::RatedCdr) -> Result<Self, WireError> {
        Ok(RatedCdr {
            cdr: required(rated.cdr, "RatedCdr.cdr")?.try_into()?,
            charges: rated.charges.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}
