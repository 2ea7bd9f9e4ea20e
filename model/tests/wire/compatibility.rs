//! Bytes that left the house: old ones are still read, new ones can be read by old readers.

use std::fs;
use std::path::PathBuf;

use model::wire::{self, WireError};
use model::{Body, Cause, Cdr, RatedCdr, Record, Retry};

use crate::samples;

/// Length-delimited protobuf field `number` with `content`.
fn field(number: u64, content: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | 2);
    bytes.extend(varint(content.len() as u64));
    bytes.extend(content);
    bytes
}

/// Protobuf field `number` with an integer.
fn int_field(number: u64, value: u64) -> Vec<u8> {
    let mut bytes = varint(number << 3);
    bytes.extend(varint(value));
    bytes
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

/// The sample CDR as a record, with `change` merged into its message: a later occurrence of a field wins.
fn cdr_with(change: &[u8]) -> Vec<u8> {
    let mut bytes = wire::encode(&Record { origin: None, body: Body::Cdr(Box::new(samples::cdr())) });
    bytes.extend(field(4, change));
    bytes
}

fn decoded(cdr: &Cdr) -> Result<Record, WireError> {
    Ok(Record { origin: None, body: Body::Cdr(Box::new(cdr.clone())) })
}

/// `UPDATE_GOLDEN=1` writes files that are missing; one that is there is never written again.
#[test]
fn bytes_of_v1_are_read_and_still_written() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    for (name, record) in samples::all() {
        let path = dir.join(format!("{name}.bin"));
        if !path.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, wire::encode(&record)).unwrap();
        }
        let golden = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(wire::decode(&golden), Ok(record.clone()), "{name}");
        assert_eq!(wire::encode(&record), golden, "{name}");
    }
    let n_files = fs::read_dir(&dir).unwrap().count();
    assert_eq!(n_files, samples::all().len(), "a golden file without its sample");
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    let later = [field(2000, b"not known here"), int_field(2001, 7)].concat();
    let mut bytes = cdr_with(&later);
    bytes.extend(&later);
    assert_eq!(wire::decode(&bytes), decoded(&samples::cdr()));
}

#[test]
fn cause_of_a_later_version_is_read_as_other() {
    let cdr = Cdr { cause: Cause::Other, ..samples::cdr() };
    assert_eq!(wire::decode(&cdr_with(&int_field(14, 4000))), decoded(&cdr));
}

#[test]
fn status_of_a_later_version_is_refused_because_a_price_hangs_on_it() {
    let error = wire::decode(&cdr_with(&int_field(12, 4000))).unwrap_err();
    assert_eq!(error, WireError::UnknownWord { field: "Cdr.status", number: 4000 });
    assert_eq!((error.code(), error.retry()), ("WIR003", Retry::AfterUpgrade));
    assert_eq!(
        error.to_string(),
        "Cdr.status holds number 4000, which this version does not know; upgrade and try again"
    );
}

#[test]
fn body_of_a_later_version_is_refused_and_waits_for_the_upgrade() {
    let error = wire::decode(&field(15, b"?")).unwrap_err();
    assert_eq!(error, WireError::UnknownBody { field: "Record.body" });
    assert_eq!(error.retry(), Retry::AfterUpgrade);
}

#[test]
fn word_that_is_absent_is_not_the_first_of_its_kind() {
    let error = wire::decode(&cdr_with(&int_field(12, 0))).unwrap_err();
    assert_eq!(error, WireError::Missing { field: "Cdr.status" });
}

/// A price that got lost on the way must not become a free call.
#[test]
fn charge_without_its_cost_is_refused() {
    let charge =
        [int_field(1, 3), int_field(2, 1), field(10, b"EUR"), field(13, b""), field(17, b"")].concat();
    let mut bytes = wire::encode_rated(&RatedCdr { cdr: samples::cdr(), charges: Vec::new() });
    bytes.extend(field(2, &charge));
    assert_eq!(wire::decode_rated(&bytes), Err(WireError::Missing { field: "Charge.cost" }));
    let mut with_cost = wire::encode_rated(&RatedCdr { cdr: samples::cdr(), charges: Vec::new() });
    with_cost.extend(field(2, &[charge, field(11, b"")].concat()));
    assert!(wire::decode_rated(&with_cost).unwrap().charges[0].cost.is_zero());
}

#[test]
fn values_that_cannot_be_are_refused_with_their_field() {
    let cases: [(Vec<u8>, &str, &str); 4] = [
        (field(1, b"short"), "Cdr.id", "5 bytes"),
        (int_field(13, 70_000), "Cdr.code", "70000"),
        (field(10, &int_field(5, u64::MAX)), "CdrDestination.number", "more than 15 digits"),
        (int_field(17, u64::MAX / 2), "Cdr.start_at_us", "9223372036854775807"),
    ];
    for (change, field, value) in cases {
        let error = wire::decode(&cdr_with(&change)).unwrap_err();
        let WireError::Invalid { field: found, value: shown, .. } = &error else { panic!("{error}") };
        assert_eq!((*found, shown.as_str()), (field, value));
        assert_eq!(error.retry(), Retry::AfterRepair);
    }
}

#[test]
fn empty_payload_is_no_record() {
    assert_eq!(wire::decode(&[]), Err(WireError::UnknownBody { field: "Record.body" }));
}

#[test]
fn sizes_stay_in_the_range_that_was_planned_for() {
    for (name, record) in samples::all() {
        let (bytes, json) = (wire::encode(&record).len(), serde_json::to_vec(&record).unwrap().len());
        println!("{name:>20} {bytes:>5} bytes, {json:>5} in JSON");
    }
    let cdr = wire::encode(&Record { origin: None, body: Body::Cdr(Box::new(samples::cdr())) }).len();
    assert!((200..400).contains(&cdr), "{cdr} bytes");
}
