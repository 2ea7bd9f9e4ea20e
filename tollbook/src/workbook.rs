//! Spreadsheets as rows of texts. The only place that knows workbook formats.

use std::path::Path;

use calamine::{Data, Reader, open_workbook_auto};
use rating::workbench::SheetRow;
use rust_decimal::Decimal;

use crate::failure::UserError;

/// Whether the name is that of a workbook rather than of a text file.
pub(crate) fn is_workbook(file: &Path) -> bool {
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    ["xlsx", "xlsm", "xls", "xlsb", "ods"].iter().any(|known| extension.eq_ignore_ascii_case(known))
}

/// The rows of `sheet`, or of the first one.
///
/// # Errors
///
/// A [`UserError`] for what is no workbook, and for a sheet that is not in it.
pub(crate) fn rows(file: &Path, sheet: Option<&str>) -> Result<Vec<SheetRow>, UserError> {
    let wrong = |why: calamine::Error| {
        UserError::new(format!("{}: {why}", file.display()), "save it as .xlsx or .csv")
    };
    let mut book = open_workbook_auto(file).map_err(wrong)?;
    let names = book.sheet_names();
    let name = match sheet {
        Some(sheet) => names.iter().find(|name| *name == sheet),
        None => names.first(),
    };
    let Some(name) = name else {
        return Err(UserError::new(
            format!("{}: there is no sheet {:?}", file.display(), sheet.unwrap_or_default()),
            format!("name one of {}", names.join(", ")),
        ));
    };
    let range = book.worksheet_range(name).map_err(wrong)?;
    // What is empty above and left of the table is not in the range; rows and columns are counted as people see them.
    let (first_row, first_column) = range.start().unwrap_or_default();
    let cells = |row: &[Data]| {
        let empty = (0..first_column).map(|_| String::new());
        empty.chain(row.iter().map(text)).collect()
    };
    Ok(range
        .rows()
        .zip(u64::from(first_row) + 1..)
        .map(|(row, line)| SheetRow { line, cells: cells(row) })
        .collect())
}

fn text(cell: &Data) -> String {
    match cell {
        Data::Empty => String::new(),
        Data::String(text) | Data::DateTimeIso(text) | Data::DurationIso(text) => text.clone(),
        Data::Int(number) => number.to_string(),
        Data::Float(number) => number_text(*number),
        Data::Bool(flag) => flag.to_string(),
        Data::DateTime(at) => match at.as_datetime() {
            Some(at) => at.format("%Y-%m-%dT%H:%M:%S").to_string(),
            None => number_text(at.as_f64()),
        },
        Data::Error(error) => error.to_string(),
    }
}

/// The 15 significant digits that a spreadsheet keeps and shows: what lies beyond is the binary fraction, not the price.
fn number_text(number: f64) -> String {
    Decimal::from_scientific(&format!("{number:.14e}"))
        .map_or_else(|_| number.to_string(), |number| number.normalize().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary_fractions_are_the_decimals_that_were_typed() {
        for (number, shown) in
            [(0.1 + 0.2, "0.3"), (43_660.0, "43660"), (0.0125, "0.0125"), (1e-7, "0.0000001"), (-0.5, "-0.5")]
        {
            assert_eq!(number_text(number), shown);
        }
    }
}
