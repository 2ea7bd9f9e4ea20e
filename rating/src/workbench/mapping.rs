//! A carrier's own price list, told by a mapping file how to be read.
//!
//! In: the rows of a table as texts, and the mapping. Out: the same as records of our headed fee file, each with the line that it
//! came from. What the cells mean is checked by [`super::fees`], as for any other file.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeZone};
use chrono_tz::Tz;
use csv::{Position, StringRecord};
use rust_decimal::Decimal;

use super::issue::{Issue, WorkbenchError};
use super::table::decimal;
use super::toml_file::{self, Keys};

/// Codes that one cell of a list may stand for: a range written by mistake must not fill the memory.
const CODES_OF_A_ROW_MAX: usize = 10_000;

/// One row of a table, whatever it was stored as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetRow {
    /// Counted from 1.
    pub line: u64,
    /// Its cells as texts, numbers with a point.
    pub cells: Vec<String>,
}

/// How to read a price list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The sheet of a workbook; `None` is the first.
    pub sheet: Option<String>,
    /// Between the columns of a text file.
    pub separator: u8,
    header_row: u64,
    decimal: char,
    date_format: Option<String>,
    timezone: Tz,
    is_code_list: bool,
    rates: RateUnit,
    columns: Vec<(String, Vec<String>)>,
    constants: Vec<(String, String)>,
}

/// What the list's rates are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RateUnit {
    UnitsPerMinute,
    CentsPerMinute,
    UnitsPerSecond,
    CentsPerSecond,
}

const KEYS: &[&str] = &[
    "sheet",
    "separator",
    "header_row",
    "decimal",
    "date_format",
    "timezone",
    "codes",
    "rates",
    "columns",
    "constants",
];

/// What a list may give: our columns, and short forms for lists that have one price or one interval.
const FIELDS: &[&str] = &[
    "source",
    "destination",
    "direction",
    "zone",
    "zone_detail",
    "rate",
    "onpeak_rate",
    "offpeak_rate",
    "onpeak_init_rate",
    "onpeak_follow_rate",
    "offpeak_init_rate",
    "offpeak_follow_rate",
    "interval",
    "onpeak_init_interval",
    "onpeak_follow_interval",
    "offpeak_init_interval",
    "offpeak_follow_interval",
    "match_mode",
    "connection_fee",
    "minimum_charge",
    "maximum_charge",
    "failed_attempt_fee",
    "onpeak_extra_rate",
    "onpeak_extra_second",
    "offpeak_extra_rate",
    "offpeak_extra_second",
    "onpeak_use_free_time",
    "offpeak_use_free_time",
    "valid_from",
    "valid_to",
];

/// The header that [`Mapping::apply`] writes.
const OURS: &[&str] = &[
    "source",
    "destination",
    "direction",
    "zone",
    "zone_detail",
    "onpeak_init_rate",
    "onpeak_init_interval",
    "onpeak_follow_rate",
    "onpeak_follow_interval",
    "offpeak_init_rate",
    "offpeak_init_interval",
    "offpeak_follow_rate",
    "offpeak_follow_interval",
    "match_mode",
    "connection_fee",
    "minimum_charge",
    "maximum_charge",
    "failed_attempt_fee",
    "onpeak_extra_rate",
    "onpeak_extra_second",
    "offpeak_extra_rate",
    "offpeak_extra_second",
    "onpeak_use_free_time",
    "offpeak_use_free_time",
    "valid_from",
    "valid_to",
];

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    ///
    /// [`WorkbenchError::Input`] with everything that is wrong in it.
    pub fn read(file: &str, text: &str) -> Result<Mapping, WorkbenchError> {
        let mut issues = Vec::new();
        let mapping = toml_file::parse(file, text, &mut issues, read_keys);
        match mapping {
            Some(mapping) if issues.is_empty() => Ok(mapping),
            Some(_) | None => Err(WorkbenchError::Input { issues }),
        }
    }

    /// The rows as records of our headed fee file, the header first. What cannot be read is reported.
    pub(crate) fn apply(&self, file: &str, rows: &[SheetRow], issues: &mut Vec<Issue>) -> Vec<StringRecord> {
        let Some(header) = rows.iter().find(|row| row.line == self.header_row) else {
            let rule = format!("there is no row {}, where the mapping has the header", self.header_row);
            issues.push(Issue::of_file(file, rule, "correct header_row in the mapping"));
            return Vec::new();
        };
        let Some(places) = self.places(file, header, issues) else { return Vec::new() };
        let mut records = vec![StringRecord::from(OURS)];
        for row in rows.iter().filter(|row| row.line > self.header_row) {
            if row.cells.iter().all(|cell| cell.trim().is_empty()) {
                continue;
            }
            let codes = match self.codes(row, &places) {
                Ok(codes) => codes,
                Err(rule) => {
                    issues.push(Issue {
                        line: Some(row.line),
                        field: "destination".to_owned(),
                        ..Issue::of_file(file, rule, "correct the list, or the mapping's `codes`")
                    });
                    continue;
                }
            };
            for code in codes {
                let mut record: StringRecord =
                    OURS.iter().map(|field| self.cell(field, &code, row, &places)).collect();
                let mut position = Position::new();
                position.set_line(row.line);
                record.set_position(Some(position));
                records.push(record);
            }
        }
        records
    }

    /// Where each mapped field finds its cells.
    fn places(
        &self,
        file: &str,
        header: &SheetRow,
        issues: &mut Vec<Issue>,
    ) -> Option<Vec<(&str, Vec<usize>)>> {
        let before = issues.len();
        let mut place_of = |name: &String| {
            let same = |cell: &String| cell.trim().eq_ignore_ascii_case(name.trim());
            let place = header.cells.iter().position(same);
            if place.is_none() {
                let names: Vec<&str> =
                    header.cells.iter().map(|cell| cell.trim()).filter(|cell| !cell.is_empty()).collect();
                let rule = format!("there is no column {name:?} in row {}", header.line);
                issues.push(Issue {
                    line: Some(header.line),
                    ..Issue::of_file(file, rule, toml_file::suggestion(name, &names))
                });
            }
            place.unwrap_or_default()
        };
        let places = self
            .columns
            .iter()
            .map(|(field, names)| (field.as_str(), names.iter().map(&mut place_of).collect()))
            .collect();
        (issues.len() == before).then_some(places)
    }

    /// The destinations of a row: its cells joined, the last one perhaps a list.
    fn codes(&self, row: &SheetRow, places: &[(&str, Vec<usize>)]) -> Result<Vec<String>, String> {
        let cells = texts("destination", row, places);
        let clean = |text: &str| text.trim().trim_start_matches('+').to_owned();
        let Some((last, first)) = cells.split_last().filter(|_| self.is_code_list) else {
            return Ok(vec![match cells.as_slice() {
                [] => self.constant("destination").to_owned(),
                cells => cells.iter().map(|cell| clean(cell)).collect(),
            }]);
        };
        let first: String = first.iter().map(|cell| clean(cell)).collect();
        let mut codes = Vec::new();
        for word in last.split([',', ';']).map(str::trim) {
            match word.split_once('-') {
                Some((from, to)) => {
                    let (from, to) = (clean(from), clean(to));
                    let range = (from.parse::<u64>().ok().zip(to.parse::<u64>().ok()))
                        .filter(|(low, high)| from.len() == to.len() && low <= high)
                        .ok_or_else(|| format!("{word:?} is not a range of codes of the same length"))?;
                    if range.1 - range.0 >= CODES_OF_A_ROW_MAX as u64 {
                        return Err(format!("{word:?} stands for more than {CODES_OF_A_ROW_MAX} codes"));
                    }
                    codes.extend(
                        (range.0..=range.1).map(|code| format!("{first}{code:0width$}", width = from.len())),
                    );
                }
                None => codes.push(first.clone() + &clean(word)),
            }
        }
        Ok(codes)
    }

    fn cell(&self, field: &str, code: &str, row: &SheetRow, places: &[(&str, Vec<usize>)]) -> String {
        let given = |field: &str| {
            let cells = texts(field, row, places);
            if cells.is_empty() {
                self.constant(field).to_owned()
            } else {
                cells
                    .iter()
                    .map(|cell| cell.trim())
                    .filter(|cell| !cell.is_empty())
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        };
        // The longest name that says something: a list that gives `onpeak_rate` and `rate` means both.
        let first_given = |fields: &[String]| {
            fields.iter().map(|field| given(field)).find(|text| !text.is_empty()).unwrap_or_default()
        };
        match field {
            "destination" => code.to_owned(),
            "valid_from" | "valid_to" => self.date(&given(field)),
            "connection_fee" | "minimum_charge" | "maximum_charge" | "failed_attempt_fee"
            | "onpeak_extra_rate" | "offpeak_extra_rate" => self.number(&given(field)),
            _ => {
                if let Some(state) = field.strip_suffix("_interval") {
                    let own = given(field);
                    if !own.is_empty() {
                        return own;
                    }
                    let both = given("interval");
                    let (init, follow) = both.split_once('/').unwrap_or((&both, &both));
                    return if state.ends_with("_init") { init.trim() } else { follow.trim() }.to_owned();
                }
                if let Some(state) = field.strip_suffix("_rate") {
                    let peak = state.split('_').next().unwrap_or_default();
                    return self.rate(&first_given(&[
                        field.to_owned(),
                        format!("{peak}_rate"),
                        "rate".to_owned(),
                    ]));
                }
                given(field)
            }
        }
    }

    fn constant(&self, field: &str) -> &str {
        self.constants.iter().find(|(name, _)| name == field).map_or("", |(_, value)| value)
    }

    /// With a point for decimals; what is no number stays, so that it is reported as it was written.
    fn number(&self, text: &str) -> String {
        match self.decimal {
            '.' => text.to_owned(),
            mark => text.replace('.', "").replace(mark, "."),
        }
    }

    /// As RFC 3339; what is no date stays, so that it is reported as it was written. Workbooks give their dates in ISO form.
    fn date(&self, text: &str) -> String {
        let formats = self.date_format.iter().map(String::as_str).chain(["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d"]);
        let local = formats.into_iter().find_map(|format| {
            let day = NaiveDate::parse_from_str(text, format).map(|day| day.and_time(NaiveTime::MIN));
            NaiveDateTime::parse_from_str(text, format).or(day).ok()
        });
        local
            .and_then(|local| self.timezone.from_local_datetime(&local).earliest())
            .map_or_else(|| text.to_owned(), |at: DateTime<Tz>| at.to_rfc3339())
    }

    /// In units a minute, exactly; what is no number stays, so that it is reported as it was written.
    fn rate(&self, text: &str) -> String {
        let text = self.number(text);
        let Ok(rate) = decimal(&text) else { return text };
        let factor = match self.rates {
            RateUnit::UnitsPerMinute => return text,
            RateUnit::CentsPerMinute => Decimal::new(1, 2),
            RateUnit::UnitsPerSecond => Decimal::new(60, 0),
            RateUnit::CentsPerSecond => Decimal::new(60, 2),
        };
        rate.checked_mul(factor).map_or(text, |rate| rate.normalize().to_string())
    }
}

fn texts<'r>(field: &str, row: &'r SheetRow, places: &[(&str, Vec<usize>)]) -> Vec<&'r str> {
    let of_field = places.iter().find(|(name, _)| *name == field).map(|(_, places)| places.as_slice());
    let cells = of_field.unwrap_or_default().iter();
    cells.map(|place| row.cells.get(*place).map_or("", String::as_str)).collect()
}

fn read_keys(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Mapping {
    keys.allow(KEYS, issues);
    let sheet = keys.parsed("sheet", "name the sheet", issues, |text| Ok(text.to_owned()));
    let separator = keys.parsed("separator", "use one character such as \";\"", issues, |text| match text {
        "tab" => Ok(b'\t'),
        _ => match text.as_bytes() {
            [one] => Ok(*one),
            _ => Err(format!("{text:?} is not one character")),
        },
    });
    let header_row = keys.number("header_row", 1, issues).unwrap_or(1);
    let decimal = keys.parsed("decimal", "use \".\" or \",\"", issues, |text| match text {
        "." => Ok('.'),
        "," => Ok(','),
        _ => Err(format!("{text:?} does not mark decimals")),
    });
    let date_format =
        keys.parsed("date_format", "write it like \"%d.%m.%Y\"", issues, |text| Ok(text.to_owned()));
    let timezone = keys.parsed("timezone", "use a name such as \"Europe/Vienna\"", issues, |text| {
        text.parse::<Tz>().map_err(|_| format!("{text:?} is not an IANA time zone"))
    });
    let is_code_list = keys.parsed("codes", "use \"single\" or \"list\"", issues, |text| match text {
        "single" => Ok(false),
        "list" => Ok(true),
        _ => Err(format!("{text:?} is not a way to write codes")),
    });
    let units = "use \"per_minute\", \"cents_per_minute\", \"per_second\" or \"cents_per_second\"";
    let rates = keys.parsed("rates", units, issues, |text| match text {
        "per_minute" => Ok(RateUnit::UnitsPerMinute),
        "cents_per_minute" => Ok(RateUnit::CentsPerMinute),
        "per_second" => Ok(RateUnit::UnitsPerSecond),
        "cents_per_second" => Ok(RateUnit::CentsPerSecond),
        _ => Err(format!("{text:?} is not a unit of rates")),
    });
    let mut columns = Vec::new();
    if let Some(table) = keys.table("columns", issues) {
        table.allow(FIELDS, issues);
        for field in FIELDS.iter().filter(|field| table.has(field)) {
            columns.push((
                (*field).to_owned(),
                table.texts(field, "name their column, or columns to be joined", issues),
            ));
        }
    }
    let mut constants = Vec::new();
    if let Some(table) = keys.table("constants", issues) {
        table.allow(FIELDS, issues);
        for field in FIELDS {
            let value = table.parsed(field, "write a quoted text", issues, |text| Ok(text.to_owned()));
            constants.extend(value.map(|value| ((*field).to_owned(), value)));
        }
    }
    let is_given = |field: &str| {
        columns.iter().any(|(name, _)| name == field) || constants.iter().any(|(name, _)| name == field)
    };
    if !is_given("destination") {
        let remedy = "add destination = \"THEIR COLUMN\" to [columns]";
        issues.push(keys.issue("columns", "no column holds the destination", remedy));
    }
    let is_rate = |field: &str| field.ends_with("rate") && !field.ends_with("extra_rate");
    if !FIELDS.iter().any(|field| is_rate(field) && is_given(field)) {
        issues.push(keys.issue(
            "columns",
            "no column holds a rate",
            "add rate = \"THEIR COLUMN\" to [columns]",
        ));
    }
    Mapping {
        sheet,
        separator: separator.unwrap_or(b','),
        header_row,
        decimal: decimal.unwrap_or('.'),
        date_format,
        timezone: timezone.unwrap_or(Tz::UTC),
        is_code_list: is_code_list.unwrap_or(false),
        rates: rates.unwrap_or(RateUnit::UnitsPerMinute),
        columns,
        constants,
    }
}
