//! Records: of the log, of the store's queue, and of other switches.

use mediator::foreign::{Format, Splitter};
use model::wire::view::RatedView;
use model::wire::{decode, decode_rated, encode, encode_rated};

/// What the log gives back, whoever wrote it. What can be read is written again as a record that reads the same.
pub(crate) fn log_record(bytes: &[u8]) {
    if let Ok(record) = decode(bytes) {
        let written = encode(&record);
        assert_eq!(decode(&written).as_ref(), Ok(&record), "a record reads otherwise once it is written");
    }
}

/// A rated call of the queue, in full and by the view that writes files: where both can read it they must see the same. (The view steps over
/// what no file shows, also if that is damaged.)
pub(crate) fn rated_call(bytes: &[u8]) {
    let full = decode_rated(bytes);
    let mut view = RatedView::default();
    let seen = view.read(bytes, |_, _, _| true);
    if let (Ok(()), Ok(full)) = (seen, &full) {
        let of_full = RatedView::of(full);
        assert_eq!(format!("{view:?}"), format!("{of_full:?}"), "the view shows another call");
    }
    if let Ok(full) = full {
        assert_eq!(decode_rated(&encode_rated(&full)), Ok(full));
    }
}

/// The first line is a description as JSON, or empty for FreeSWITCH's; the rest is a file of that format.
pub(crate) fn foreign(bytes: &[u8]) {
    let (description, file) = match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&bytes[..end], &bytes[end + 1..]),
        None => (bytes, &[][..]),
    };
    let format = if description.is_empty() {
        Format::freeswitch()
    } else {
        let Ok(format) = serde_json::from_slice::<Format>(description) else { return };
        format
    };
    if format.check().is_err() {
        return;
    }
    let mut splitter = Splitter::new(format.kind);
    let mut header = Vec::new();
    let mut record = Vec::new();
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        record.extend_from_slice(line);
        if !splitter.ends_with(line) {
            continue;
        }
        let raw = std::mem::take(&mut record);
        if format.has_header() && header.is_empty() {
            match format.read_header(&raw) {
                Ok(names) => header = names,
                Err(_) => return,
            }
            continue;
        }
        let _ = format.read(&header, &raw);
    }
}
