//! What a suspended record says, in the form that people read and edit, and back.

use model::Record;
use serde_json::Value;
use store::{IMPORT, SuspendedRecord};
use web::{ChangedRecord, RecordChange};

use crate::foreign_records::PutAside;
use crate::runner::decode;

/// What a record says, in the form that people read and edit.
pub(crate) fn said_by(record: &SuspendedRecord) -> Result<Value, String> {
    if record.stage == IMPORT {
        return serde_json::to_value(PutAside::of(record)?).map_err(|why| why.to_string());
    }
    let body = decode(&record.raw)?.body;
    serde_json::to_value(body).map_err(|why| why.to_string())
}

/// The bytes of a record that says `value`, in the place of `record`.
fn bytes_of(record: &SuspendedRecord, value: Value) -> Result<Vec<u8>, String> {
    if record.stage == IMPORT {
        let put_aside: PutAside = serde_json::from_value(value).map_err(|why| why.to_string())?;
        put_aside.format.check()?;
        return Ok(put_aside.to_bytes());
    }
    let body = serde_json::from_value(value).map_err(|why| why.to_string())?;
    // What it came from stays: whoever looks for its trace finds it.
    let origin = decode(&record.raw).ok().and_then(|record| record.origin);
    Ok(model::wire::encode(&Record { origin, body }))
}

/// The record with a change.
pub(crate) fn changed(record: &SuspendedRecord, change: &RecordChange) -> Result<ChangedRecord, String> {
    // One that cannot be read can still be replaced as a whole.
    let (before, value) = match (said_by(record), change) {
        (Ok(value), _) => (value.to_string(), change.apply(value)?),
        (Err(_), RecordChange::Whole(whole)) => (hex::encode(&record.raw), whole.clone()),
        (Err(why), RecordChange::Fields(_)) => return Err(why),
    };
    let after = value.to_string();
    Ok(ChangedRecord { raw: bytes_of(record, value)?, before, after })
}
