//! A CSV file read cell by cell, so that every mistake in it is found at once and has its place.

use std::cell::Cell;
use std::io::Read;

use csv::StringRecord;
use rust_decimal::Decimal;

use super::issue::Issue;
use super::toml_file::suggestion;

/// Separators of other kinds of tables, as spreadsheets of some countries save them.
const OTHER_SEPARATORS: [(char, &str); 2] = [(';', "semicolons"), ('\t', "tabs")];

/// All records of a file that has been read, with the columns found in its header.
pub(crate) struct Table<'n> {
    file: &'n str,
    /// The names, in the order of the file.
    names: Vec<String>,
    records: Vec<StringRecord>,
}

/// One record.
pub(crate) struct Row<'t> {
    file: &'t str,
    names: &'t [String],
    record: &'t StringRecord,
    /// Behind the column asked for last: most files have their columns in the order in which they are read.
    next: Cell<usize>,
}

/// Records of any width. Lines that are not CSV are reported.
pub(crate) fn records(file: &str, read: impl Read, issues: &mut Vec<Issue>) -> Vec<StringRecord> {
    // Blanks around a cell are dropped when it is looked at: the reader's own way copies every record.
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(read);
    let mut records = Vec::new();
    for record in reader.records() {
        match record {
            Ok(record) => records.push(record),
            Err(error) => {
                let line = error.position().map(csv::Position::line);
                let is_io = error.is_io_error();
                issues.push(Issue {
                    line,
                    ..Issue::of_file(file, error.to_string(), "save it as comma-separated values in UTF-8")
                });
                if is_io {
                    break;
                }
            }
        }
    }
    if let Some((separator, name)) = other_separator(&records) {
        let line = records.first().and_then(StringRecord::position).map(csv::Position::line);
        let rule = format!("the columns are separated by {name} ({separator:?})");
        let remedy = "save it as comma-separated values, with a point in decimals";
        issues.push(Issue { line, ..Issue::of_file(file, rule, remedy) });
        // One line is enough; every record would be wrong in the same way.
        records.clear();
    }
    records
}

fn other_separator(records: &[StringRecord]) -> Option<(char, &'static str)> {
    let first = records.first().filter(|first| first.len() == 1)?.get(0)?;
    OTHER_SEPARATORS.into_iter().find(|(separator, _)| first.contains(*separator))
}

impl<'n> Table<'n> {
    /// Takes the first record as the header. Its columns may come in any order; `None` when it lacks one of `required`.
    pub(crate) fn with_header(
        file: &'n str,
        mut records: Vec<StringRecord>,
        required: &[&str],
        optional: &[&str],
        issues: &mut Vec<Issue>,
    ) -> Option<Self> {
        let known: Vec<&str> = required.iter().chain(optional).copied().collect();
        if records.is_empty() {
            // Unread for a reason that was told.
            if issues.iter().any(|issue| issue.file == file) {
                return None;
            }
            issues.push(Issue::of_file(
                file,
                "empty",
                format!("begin with a header: {}", required.join(",")),
            ));
            return None;
        }
        let header = records.remove(0);
        let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
        let before = issues.len();
        for (idx, name) in names.iter().enumerate() {
            let mut report = |rule: &str, remedy: String| {
                issues.push(Issue {
                    line: header.position().map(csv::Position::line),
                    column: u64::try_from(idx + 1).ok(),
                    field: name.clone(),
                    ..Issue::of_file(file, rule, remedy)
                });
            };
            if !known.contains(&name.as_str()) {
                report("unknown column", suggestion(name, &known));
            } else if names[..idx].contains(name) {
                report("this column is there twice", "remove one".to_owned());
            }
        }
        for missing in required.iter().filter(|name| !names.iter().any(|have| have == *name)) {
            issues.push(Issue {
                line: header.position().map(csv::Position::line),
                field: (*missing).to_owned(),
                ..Issue::of_file(file, "this column is missing", "add it to the header and to every line")
            });
        }
        (issues.len() == before).then(|| Self::with_names(file, names, records))
    }

    /// A file without a header, whose columns are `names` in this order.
    pub(crate) fn with_names(file: &'n str, names: Vec<String>, records: Vec<StringRecord>) -> Self {
        Self { file, names, records }
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.names.iter().any(|have| have == name)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|record| Row {
            file: self.file,
            names: &self.names,
            record,
            next: Cell::new(0),
        })
    }
}

impl<'t> Row<'t> {
    /// Where the record begins.
    pub(crate) fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// How many cells it has.
    pub(crate) fn width(&self) -> usize {
        self.record.len()
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// The cell of `name`; empty when the file or the line has no such column.
    pub(crate) fn cell(&self, name: &str) -> &'t str {
        self.place(name).and_then(|idx| self.record.get(idx)).unwrap_or("").trim()
    }

    fn place(&self, name: &str) -> Option<usize> {
        let next = self.next.get().min(self.names.len());
        let (before, after) = self.names.split_at(next);
        let is = |have: &String| have == name;
        let place = after.iter().position(is).map(|idx| idx + next).or_else(|| before.iter().position(is))?;
        self.next.set(place + 1);
        Some(place)
    }

    pub(crate) fn issue(&self, name: &str, rule: impl Into<String>, remedy: impl Into<String>) -> Issue {
        let column = self.names.iter().position(|have| have == name);
        Issue {
            line: Some(self.line()),
            column: column.and_then(|idx| u64::try_from(idx + 1).ok()),
            field: name.to_owned(),
            ..Issue::of_file(self.file, rule, remedy)
        }
    }

    /// The cell parsed; `None` when it is empty or wrong, and then reported.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        remedy: &str,
        issues: &mut Vec<Issue>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let cell = self.cell(name);
        if cell.is_empty() {
            return None;
        }
        match parse(cell) {
            Ok(value) => Some(value),
            Err(rule) => {
                issues.push(self.issue(name, rule, remedy));
                None
            }
        }
    }

    /// As [`Self::parsed`]; an empty cell is reported too.
    pub(crate) fn required<T>(
        &self,
        name: &str,
        remedy: &str,
        issues: &mut Vec<Issue>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if self.cell(name).is_empty() {
            issues.push(self.issue(name, "empty", remedy));
        }
        self.parsed(name, remedy, issues, parse)
    }

    /// Whether the line has as many cells as the header; reported if not.
    pub(crate) fn has_full_width(&self, issues: &mut Vec<Issue>) -> bool {
        let (have, want) = (self.width(), self.names.len());
        if have != want {
            let rule = format!("this line has {have} columns, the header has {want}");
            issues.push(Issue {
                line: Some(self.line()),
                ..Issue::of_file(self.file, rule, "add or remove commas; quote texts that contain one")
            });
        }
        have == want
    }
}

/// A decimal with digits and at most one point: no exponent, no thousands separator, nothing lost.
pub(crate) fn decimal(text: &str) -> Result<Decimal, String> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    match Decimal::from_str_exact(text) {
        Ok(value) if plain => Ok(value),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a decimal number of at most 28 digits")),
    }
}

/// A whole number from 0 on.
pub(crate) fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 on"))
}
