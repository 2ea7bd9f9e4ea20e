//! Records of other systems between their files and the database: what stands in suspense for one that was put aside, and how it is
//! tried again.

use chrono::{DateTime, TimeDelta, Utc};
use mediator::foreign::{Foreign, ForeignError, Format, Parties};
use model::{Body, CdrId, Directory, Record};
use serde::{Deserialize, Serialize};
use store::{ImportedRecord, SuspendedRecord};

/// A record that starts later than this after the import has a wrong date.
const FUTURE_MAX: TimeDelta = TimeDelta::days(1);

/// A record as it stands in suspense, with all it takes to read it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PutAside {
    /// Which system wrote it.
    pub(crate) source: String,
    /// In which file.
    pub(crate) file: String,
    /// In which line it begins.
    pub(crate) line: u64,
    /// The record.
    pub(crate) text: String,
    /// Names of the columns, of a file that has them.
    pub(crate) header: Vec<String>,
    /// How it is written.
    pub(crate) format: Format,
    /// Whether calls from before a number had an owner are its first owner's.
    pub(crate) first_owners: bool,
}

impl PutAside {
    /// As kept.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("plain data has a JSON form")
    }

    /// As kept, or why it cannot be read.
    pub(crate) fn of(record: &SuspendedRecord) -> Result<Self, String> {
        serde_json::from_slice(&record.raw).map_err(|why| why.to_string())
    }
}

/// The record for the bus.
pub(crate) fn to_record(
    parties: &Parties<'_>,
    source: &str,
    foreign: Foreign,
    now: DateTime<Utc>,
) -> Result<ImportedRecord, ForeignError> {
    if foreign.start_at.signed_duration_since(now) > FUTURE_MAX {
        let why = format!("it begins on {}, which is still to come", foreign.start_at.format("%F"));
        return Err(ForeignError::Contradiction { why });
    }
    let key = foreign.key.clone();
    let cdr = parties.cdr(source, foreign)?;
    let payer = cdr.payer;
    let record = model::wire::encode(&Record { origin: None, body: Body::Cdr(Box::new(cdr)) });
    Ok(ImportedRecord { key, payer, record })
}

/// The CDR that a record would become.
pub(crate) fn cdr_id(source: &str, key: &str) -> CdrId {
    CdrId::derive(&Parties::call_uid(source, key), 0)
}

/// Reads a record out of suspense again, by what is provisioned now.
pub(crate) fn again(
    record: &SuspendedRecord,
    directory: &Directory,
    now: DateTime<Utc>,
) -> Result<(String, ImportedRecord), String> {
    let put_aside = PutAside::of(record)?;
    put_aside.format.check()?;
    let read = put_aside.format.read(&put_aside.header, put_aside.text.as_bytes());
    let foreign = read.map_err(|why| why.to_string())?.ok_or("it is about no call of its own; discard it")?;
    let parties = Parties::new(directory, put_aside.first_owners);
    let imported = to_record(&parties, &put_aside.source, foreign, now).map_err(|why| why.to_string())?;
    Ok((put_aside.source, imported))
}
