//! A CSV file read cell by cell, so that every mistake in it is found at once and has its place.

use std::cell::Cell;
use std::io::Read;

use csv::StringRecord;
use rust_decimal::Decimal;

use super::issue::Issue;
use super::toml_file::suggestion;

/// Cells of a line that are no more than most have.
const CELLS_USUAL: usize = 16;

/// Separators of other kinds of tables, as spreadsheets of some countries save them.
const OTHER_SEPARATORS: [(char, &str); 2] = [(';', "semicolons"), ('\t', "tabs")];

/// All records of a file that has been read, with the columns found in its header.
pub(crate) struct Table<'n> {
    file: &'n str,
    /// The names, in the order of the file.
    names: Vec<String>,
    records: Records<'n>,
    /// Records that are no rows: the header.
    n_before: usize,
}

/// The records of a file, the header among them.
pub(crate) enum Records<'t> {
    /// By the reader of CSV.
    Read(Vec<StringRecord>),
    /// Of a text without quotes: its lines with their numbers, which lie where they lay.
    Lines(Vec<(u64, &'t str)>),
}

/// The cells of one record.
enum Cells<'t> {
    Read(&'t StringRecord),
    Line(u64, Vec<&'t str>),
}

/// One record.
pub(crate) struct Row<'t> {
    file: &'t str,
    names: &'t [String],
    cells: Cells<'t>,
    /// Behind the column asked for last: most files have their columns in the order in which they are read.
    next: Cell<usize>,
}

/// Records of any width. Lines that are not CSV are reported.
pub(crate) fn records(file: &str, read: impl Read, issues: &mut Vec<Issue>) -> Records<'static> {
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
    Records::Read(records)
}

/// As [`records`], of a text that is there already: nothing of it is copied where no cell is quoted, which is so of nearly all price lists.
pub(crate) fn records_of<'t>(file: &str, text: &'t str, issues: &mut Vec<Issue>) -> Records<'t> {
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    // A carriage return ends a line too, as the reader sees it.
    let is_plain =
        !plain.contains('"') && plain.match_indices('\r').all(|(at, _)| plain[at + 1..].starts_with('\n'));
    let first = plain.lines().find(|line| !line.is_empty()).unwrap_or_default();
    let is_of_others =
        !first.contains(',') && OTHER_SEPARATORS.iter().any(|(other, _)| first.contains(*other));
    if !is_plain || is_of_others {
        return records(file, text.as_bytes(), issues);
    }
    Records::Lines((1..).zip(plain.lines()).filter(|(_, line)| !line.is_empty()).collect())
}

impl Records<'_> {
    /// The first, cell by cell; nothing where there is none.
    pub(crate) fn first(&self) -> Option<Vec<&str>> {
        Some(match self.cells(0)? {
            Cells::Read(record) => record.iter().collect(),
            Cells::Line(_, cells) => cells,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        match self {
            Records::Read(records) => records.len(),
            Records::Lines(lines) => lines.len(),
        }
    }

    fn cells(&self, idx: usize) -> Option<Cells<'_>> {
        Some(match self {
            Records::Read(records) => Cells::Read(records.get(idx)?),
            Records::Lines(lines) => {
                let &(line, text) = lines.get(idx)?;
                let mut cells = Vec::with_capacity(CELLS_USUAL);
                cells.extend(text.split(','));
                Cells::Line(line, cells)
            }
        })
    }
}

impl<'t> Cells<'t> {
    fn get(&self, idx: usize) -> Option<&'t str> {
        match self {
            Cells::Read(record) => record.get(idx),
            Cells::Line(_, cells) => cells.get(idx).copied(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Cells::Read(record) => record.len(),
            Cells::Line(_, cells) => cells.len(),
        }
    }

    fn line(&self) -> Option<u64> {
        match self {
            Cells::Read(record) => record.position().map(csv::Position::line),
            Cells::Line(line, _) => Some(*line),
        }
    }
}

fn other_separator(records: &[StringRecord]) -> Option<(char, &'static str)> {
    let first = records.first().filter(|first| first.len() == 1)?.get(0)?;
    OTHER_SEPARATORS.into_iter().find(|(separator, _)| first.contains(*separator))
}

impl<'n> Table<'n> {
    /// Takes the first record as the header. Its columns may come in any order; `None` when it lacks one of `required`.
    pub(crate) fn with_header(
        file: &'n str,
        records: Records<'n>,
        required: &[&str],
        optional: &[&str],
        issues: &mut Vec<Issue>,
    ) -> Option<Self> {
        let known: Vec<&str> = required.iter().chain(optional).copied().collect();
        let Some((header, line)) = records.first().zip(records.cells(0).map(|cells| cells.line())) else {
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
        };
        let names: Vec<String> = header.iter().map(|name| name.trim().to_lowercase()).collect();
        let before = issues.len();
        for (idx, name) in names.iter().enumerate() {
            let mut report = |rule: &str, remedy: String| {
                issues.push(Issue {
                    line,
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
                line,
                field: (*missing).to_owned(),
                ..Issue::of_file(file, "this column is missing", "add it to the header and to every line")
            });
        }
        (issues.len() == before).then(|| Self { n_before: 1, ..Self::with_names(file, names, records) })
    }

    /// A file without a header, whose columns are `names` in this order.
    pub(crate) fn with_names(file: &'n str, names: Vec<String>, records: Records<'n>) -> Self {
        Self { file, names, records, n_before: 0 }
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.names.iter().any(|have| have == name)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows_of(0..self.n_rows())
    }

    /// Those of a range.
    pub(crate) fn rows_of(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = Row<'_>> {
        range.filter_map(|idx| {
            let cells = self.records.cells(self.n_before + idx)?;
            Some(Row { file: self.file, names: &self.names, cells, next: Cell::new(0) })
        })
    }

    /// How many rows there are.
    pub(crate) fn n_rows(&self) -> usize {
        self.records.len().saturating_sub(self.n_before)
    }
}

impl<'t> Row<'t> {
    /// Where the record begins.
    pub(crate) fn line(&self) -> u64 {
        self.cells.line().unwrap_or(0)
    }

    /// How many cells it has.
    pub(crate) fn width(&self) -> usize {
        self.cells.len()
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.place(name).is_some()
    }

    /// The cell of `name`; empty when the file or the line has no such column.
    pub(crate) fn cell(&self, name: &str) -> &'t str {
        let cell = self.place(name).and_then(|idx| self.cells.get(idx)).unwrap_or("");
        // Most have nothing to trim.
        if cell
            .bytes()
            .next()
            .zip(cell.bytes().last())
            .is_none_or(|(first, last)| first.is_ascii_graphic() && last.is_ascii_graphic())
        {
            return cell;
        }
        cell.trim()
    }

    fn place(&self, name: &str) -> Option<usize> {
        let next = self.next.get().min(self.names.len());
        let (before, after) = self.names.split_at(next);
        let is = |have: &String| have == name;
        // Some are asked for twice.
        if before.last().is_some_and(is) {
            return Some(next - 1);
        }
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
        let cell = self.cell(name);
        if cell.is_empty() {
            issues.push(self.issue(name, "empty", remedy));
            return None;
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
    if let Some(decimal) = short_decimal(text.as_bytes()) {
        return Ok(decimal);
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
        && digits.bytes().any(|byte| byte.is_ascii_digit());
    match Decimal::from_str_exact(text) {
        Ok(value) if plain => Ok(value),
        Ok(_) | Err(_) => Err(format!("{text:?} is not a decimal number of at most 28 digits")),
    }
}

/// Digits, perhaps with a point among them, that fit in 64 bits: nearly all prices, in a tenth of the time. Others are left to [`decimal`].
fn short_decimal(text: &[u8]) -> Option<Decimal> {
    let (mut number, mut scale) = (0i64, None);
    if text.len() > 18 || !text.first()?.is_ascii_digit() || !text.last()?.is_ascii_digit() {
        return None;
    }
    for byte in text {
        match (byte, scale) {
            (b'0'..=b'9', _) => number = number * 10 + i64::from(byte - b'0'),
            (b'.', None) => {
                scale = Some(0);
                continue;
            }
            (_, _) => return None,
        }
        scale = scale.map(|scale: u32| scale + 1);
    }
    Some(Decimal::new(number, scale.unwrap_or(0)))
}

/// A whole number from 0 on.
pub(crate) fn whole(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number from 0 on"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cells(records: &Records<'_>) -> Vec<Vec<String>> {
        let of = |idx| -> Vec<String> {
            let cells = records.cells(idx).unwrap();
            (0..cells.len()).map(|at| cells.get(at).unwrap().to_owned()).collect()
        };
        (0..records.len()).map(of).collect()
    }

    #[test]
    fn a_line_keeps_its_number_behind_blank_ones() {
        let records = records_of("f", "\u{feff}a,b\r\n\r\n1,2\n\n3\n", &mut Vec::new());
        assert_eq!(cells(&records), [vec!["a", "b"], vec!["1", "2"], vec!["3"]]);
        assert_eq!(
            (0..3).map(|idx| records.cells(idx).unwrap().line()).collect::<Vec<_>>(),
            [1, 3, 5].map(Some)
        );
    }

    #[test]
    fn other_separators_are_told_of_whichever_way_it_is_read() {
        for text in ["a;b\n1;2\n", "\"a\";b\n"] {
            let mut issues = Vec::new();
            assert!(records_of("f", text, &mut issues).is_empty());
            assert_eq!(issues.len(), 1, "{text}");
        }
    }

    proptest! {
        /// Whether a text is cut where it lies or read by the reader of CSV.
        #[test]
        fn lines_are_what_the_reader_of_csv_reads(text in "(\u{feff})?[ab,\"\r\n é]{0,40}") {
            let (mut cut, mut read) = (Vec::new(), Vec::new());
            let lines = records_of("f", &text, &mut cut);
            prop_assert_eq!(cells(&lines), cells(&records("f", text.as_bytes(), &mut read)));
            prop_assert_eq!(cut, read);
        }

        #[test]
        fn short_decimals_are_what_all_decimals_are(text in "[-+]?[0-9]{0,20}[.]?[0-9]{0,20}") {
            if let Some(short) = short_decimal(text.as_bytes()) {
                let long = Decimal::from_str_exact(&text).unwrap();
                prop_assert_eq!((short.mantissa(), short.scale()), (long.mantissa(), long.scale()));
            }
        }
    }
}
