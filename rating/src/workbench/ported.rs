//! `ported.csv`: numbers that another carrier serves than their prefix says.

use chrono::{DateTime, Utc};
use model::PortedNumber;

use super::issue::{Issue, WorkbenchError};
use super::table::{Row, Table, records_of};

const COLUMNS: &[&str] = &["number", "carrier"];
const OPTIONAL: &[&str] = &["number_type", "valid_from", "valid_to"];

/// Reads a list of ported numbers, with a header: `number, carrier` and any of `number_type, valid_from, valid_to`. A number is digits, whole or
/// the beginning of a range; times are RFC 3339, the first included, the last not.
///
/// # Errors
///
/// [`WorkbenchError::Input`] with everything that is wrong in it, by line.
pub fn read_ported(file: &str, text: &str) -> Result<Vec<PortedNumber>, WorkbenchError> {
    let mut issues = Vec::new();
    let numbers = read(file, text, &mut issues);
    if issues.is_empty() { Ok(numbers) } else { Err(WorkbenchError::Input { issues }) }
}

pub(crate) fn read(file: &str, text: &str, issues: &mut Vec<Issue>) -> Vec<PortedNumber> {
    let records = records_of(file, text, issues);
    let Some(table) = Table::with_header(file, records, COLUMNS, OPTIONAL, issues) else { return Vec::new() };
    table
        .rows()
        .filter_map(|row| if row.has_full_width(issues) { number(&row, issues) } else { None })
        .collect()
}

fn number(row: &Row<'_>, issues: &mut Vec<Issue>) -> Option<PortedNumber> {
    let digits = row.required("number", "write digits without +", issues, |text| {
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(text.to_owned())
        } else {
            Err(format!("{text:?} is not a number in digits"))
        }
    });
    let remedy = "name the carrier as the fees do: 12 for lnp:12";
    let carrier = row.required("carrier", remedy, issues, |text| Ok(text.to_owned()));
    let mut instant = |name| {
        row.parsed(name, "write RFC 3339, such as 2026-07-01T00:00:00+02:00", issues, |text| {
            DateTime::parse_from_rfc3339(text)
                .map(|at| at.to_utc())
                .map_err(|_| format!("{text:?} is not a time with its offset"))
        })
    };
    let (from, to): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) =
        (instant("valid_from"), instant("valid_to"));
    if let (Some(from), Some(to)) = (from, to)
        && from >= to
    {
        issues.push(row.issue("valid_to", "not after valid_from", "leave it empty, or give a later time"));
    }
    Some(PortedNumber {
        number: digits?,
        carrier: carrier?,
        number_type: row.cell("number_type").to_owned(),
        from,
        to,
    })
}
