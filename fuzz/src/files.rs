//! Files that carriers send, and what people write to say how ours look.

use std::sync::LazyLock;

use exports::{DELIVERED, Format, unpacked, verdicts, verify};
use model::FeeMatch;
use rating::workbench::{Mapping, WorkbenchError, read_fees, read_mapped_fees, read_ported, text_rows};

/// The formats that come with the program.
static FORMATS: LazyLock<Vec<Format>> =
    LazyLock::new(|| DELIVERED.iter().filter_map(|(name, text)| Format::parse(name, text).ok()).collect());

/// A list of fees, ours or the reference's, for both ways of choosing one.
pub(crate) fn price_list(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for fee_match in [FeeMatch::Prefix, FeeMatch::Reference] {
        tells_what_is_wrong(&read_fees("fees.csv", text, fee_match));
    }
}

/// A list of ported numbers.
pub(crate) fn ported_numbers(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    tells_what_is_wrong(&read_ported("ported.csv", text));
}

/// A carrier's own table: a mapping, a line `~~`, the table.
pub(crate) fn list_mapping(bytes: &[u8]) {
    const BETWEEN: &[u8] = b"\n~~\n";
    let place = bytes.windows(BETWEEN.len()).position(|window| window == BETWEEN).unwrap_or(bytes.len());
    let Ok(text) = std::str::from_utf8(&bytes[..place]) else { return };
    let table = bytes.get(place + BETWEEN.len()..).unwrap_or_default();
    let mapping = Mapping::read("mapping.toml", text);
    tells_what_is_wrong(&mapping);
    let Ok(mapping) = mapping else { return };
    let rows = text_rows("list.csv", table, &mapping);
    tells_what_is_wrong(&rows);
    if let Ok(rows) = rows {
        tells_what_is_wrong(&read_mapped_fees("list.csv", &rows, &mapping, FeeMatch::Prefix));
    }
}

fn tells_what_is_wrong<T>(read: &Result<T, WorkbenchError>) {
    if let Err(WorkbenchError::Input { issues }) = read {
        assert!(!issues.is_empty(), "a file is refused without a word");
        assert!(issues.iter().all(|issue| !issue.to_string().is_empty()));
    }
}

/// The description of a format. One that is taken is written as one that is taken too.
pub(crate) fn format_description(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Format::parse("fed.toml", text) {
        Ok(format) => {
            let again = Format::parse("again.toml", &format.to_toml());
            assert!(again.is_ok(), "{:?}", again.err());
            let _ = format.check(b"00,0001\nx\n");
        }
        Err(why) => assert!(!why.rule.is_empty()),
    }
}

/// A file to be verified, by each delivered format and by what a partner's file says of itself.
pub(crate) fn cdr_file(bytes: &[u8]) {
    // A small file may unpack to gigabytes, which are refused; here they would only take time.
    if bytes.starts_with(&[0x1f, 0x8b]) {
        let _ = bytes.len() < 1_000 && unpacked(bytes.to_vec()).is_ok();
        return;
    }
    let _ = verify(bytes);
    for format in FORMATS.iter() {
        let checked = format.check(bytes);
        assert!(checked.is_good() || !checked.faults.is_empty(), "a file is refused without a word");
    }
}

/// What a partner says of our files: the first line is its name.
pub(crate) fn acknowledgement(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let name = String::from_utf8_lossy(&bytes[..end]);
    if let Ok(verdicts) = verdicts(&name, &bytes[end..]) {
        assert!(verdicts.len() <= exports::VERDICTS_MAX);
    }
}
