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
mod money;
mod scalar;
pub mod view;
mod words;

use prost::Message as _;

use crate::{Body, Origin, RatedCdr, Record, Retry};
use scalar::{from_time, required, to_time};

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
    proto::Record::from(record).encode_to_vec()
}

/// The record in `bytes`.
///
/// # Errors
///
/// See [`WireError`]; [`WireError::retry`] says whether an upgrade would help.
pub fn decode(bytes: &[u8]) -> Result<Record, WireError> {
    proto::Record::decode(bytes)?.try_into()
}

/// The bytes of a rated call by itself, as a queue of the store keeps it.
pub fn encode_rated(rated: &RatedCdr) -> Vec<u8> {
    proto::RatedCdr::from(rated).encode_to_vec()
}

/// Back from [`encode_rated`].
///
/// # Errors
///
/// As [`decode`].
pub fn decode_rated(bytes: &[u8]) -> Result<RatedCdr, WireError> {
    proto::RatedCdr::decode(bytes)?.try_into()
}

impl From<&Record> for proto::Record {
    fn from(record: &Record) -> Self {
        use proto::record::Body as Wire;
        let body = match &record.body {
            Body::Tick(at) => Wire::TickUs(from_time(*at)),
            Body::Call(event) => Wire::Call(event.into()),
            Body::Cdr(cdr) => Wire::Cdr(cdr.into()),
            Body::Edr(edr) => Wire::Edr(edr.into()),
            Body::Rated(rated) => Wire::Rated(rated.into()),
            Body::Posting(posting) => Wire::Posting(posting.into()),
            Body::Control(control) => Wire::Control(control.into()),
            Body::Accrual(accrual) => Wire::Accrual(accrual.into()),
        };
        proto::Record { origin: record.origin.as_ref().map(Into::into), body: Some(body) }
    }
}

impl TryFrom<proto::Record> for Record {
    type Error = WireError;

    fn try_from(record: proto::Record) -> Result<Self, WireError> {
        use proto::record::Body as Wire;
        let body = match record.body {
            None => return Err(WireError::UnknownBody { field: "Record.body" }),
            Some(Wire::TickUs(at)) => Body::Tick(to_time(at, "Record.tick_us")?),
            Some(Wire::Call(event)) => Body::Call(event.try_into()?),
            Some(Wire::Cdr(cdr)) => Body::Cdr(cdr.try_into()?),
            Some(Wire::Edr(edr)) => Body::Edr(edr.try_into()?),
            Some(Wire::Rated(rated)) => Body::Rated(rated.try_into()?),
            Some(Wire::Posting(posting)) => Body::Posting(posting.try_into()?),
            Some(Wire::Control(control)) => Body::Control(control.try_into()?),
            Some(Wire::Accrual(accrual)) => Body::Accrual(accrual.try_into()?),
        };
        Ok(Record { origin: record.origin.map(Into::into), body })
    }
}

impl From<&Origin> for proto::Origin {
    fn from(origin: &Origin) -> Self {
        let Origin { stage, partition, offset, index } = origin;
        proto::Origin { stage: stage.clone(), partition: *partition, offset: *offset, index: *index }
    }
}

impl From<proto::Origin> for Origin {
    fn from(origin: proto::Origin) -> Self {
        let proto::Origin { stage, partition, offset, index } = origin;
        Origin { stage, partition, offset, index }
    }
}

impl From<&RatedCdr> for proto::RatedCdr {
    fn from(rated: &RatedCdr) -> Self {
        proto::RatedCdr {
            cdr: Some((&rated.cdr).into()),
            charges: rated.charges.iter().map(Into::into).collect(),
        }
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
