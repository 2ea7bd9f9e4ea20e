//! A price list on its own: the fees of a profile's next version.
//!
//! In: a fee file of ours or the reference's, or a carrier's own table with a [`Mapping`]. Out: the fees, checked line by line.

use model::{Fee, FeeId, FeeMatch};

use super::fees;
use super::issue::{Issue, WorkbenchError};
use super::mapping::{Mapping, SheetRow};
use super::table::{Records, records_of};

/// Reads a fee file: with our header, or without one in the reference's order.
///
/// # Errors
///
/// [`WorkbenchError::Input`] with everything that is wrong in it.
pub fn read_fees(file: &str, text: &str, fee_match: FeeMatch) -> Result<Vec<Fee>, WorkbenchError> {
    let mut issues = Vec::new();
    let records = records_of(file, text, &mut issues);
    checked(file, records, fee_match, issues)
}

/// Reads a carrier's own table.
///
/// # Errors
///
/// As [`read_fees`]; lines are those of the table.
pub fn read_mapped_fees(
    file: &str,
    rows: &[SheetRow],
    mapping: &Mapping,
    fee_match: FeeMatch,
) -> Result<Vec<Fee>, WorkbenchError> {
    let mut issues = Vec::new();
    let records = mapping.apply(file, rows, &mut issues);
    if records.is_empty() {
        return Err(WorkbenchError::Input { issues });
    }
    checked(file, Records::Read(records), fee_match, issues).map_err(|error| match error {
        // The columns are ours, not those of the table.
        WorkbenchError::Input { issues } => WorkbenchError::Input {
            issues: issues.into_iter().map(|issue| Issue { column: None, ..issue }).collect(),
        },
        output @ WorkbenchError::Output { .. } => output,
    })
}

/// The rows of a text file by the mapping's separator. Bytes that are no UTF-8 are read as Latin-1, as spreadsheets of some
/// countries write it.
///
/// # Errors
///
/// [`WorkbenchError::Input`] with the lines that are no CSV.
pub fn text_rows(file: &str, bytes: &[u8], mapping: &Mapping) -> Result<Vec<SheetRow>, WorkbenchError> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(mapping.separator)
        .from_reader(text.as_bytes());
    let mut issues = Vec::new();
    let mut rows = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => rows.push(SheetRow {
                line: record.position().map_or(0, |position| line_of(&text, position)),
                cells: record.iter().map(str::to_owned).collect(),
            }),
            Err(error) => issues.push(Issue {
                line: error.position().map(csv::Position::line),
                ..Issue::of_file(file, error.to_string(), "save it as separated values")
            }),
        }
    }
    if issues.is_empty() { Ok(rows) } else { Err(WorkbenchError::Input { issues }) }
}

/// Where a record begins: the reader says where it began to look for it, blank lines before.
fn line_of(text: &str, position: &csv::Position) -> u64 {
    let from = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let rest = text.as_bytes().get(from..).unwrap_or_default();
    let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
    position.line() + blank.filter(|byte| **byte == b'\n').count() as u64
}

fn checked(
    file: &str,
    records: Records<'_>,
    fee_match: FeeMatch,
    mut issues: Vec<Issue>,
) -> Result<Vec<Fee>, WorkbenchError> {
    let fees = fees::from_records(file, records, FeeId(0), fee_match, &mut issues);
    if issues.is_empty() { Ok(fees) } else { Err(WorkbenchError::Input { issues }) }
}
