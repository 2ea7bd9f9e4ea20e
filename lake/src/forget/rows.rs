//! Decides row by row what is forgotten, and makes the rows without it.

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use std::sync::Arc;

use super::{Hold, Rule, Task, Then};
use crate::LakeError;
use crate::access::{by_run, guard_of_call_column, is_address};
use crate::column::columns;
use crate::table::Guard;
use crate::tables::EVENTS;

/// First digits of a number that stay: the country, and what says whether it is a mobile.
const DIGITS_KEPT: usize = 4;
/// Letters of a number with prefix and separators at most.
const WINDOW_MAX: usize = 40;
/// Digits of a country's code at most.
const COUNTRY_DIGITS_MAX: usize = 3;
/// Fewer digits than this in a row are no number of a person.
const DIGITS_MIN: usize = 7;

/// Which columns hold what.
pub(super) struct Columns {
    numbers: Vec<&'static str>,
    texts: Vec<&'static str>,
    accounts: &'static [&'static str],
    time: &'static str,
}

impl Columns {
    pub(super) fn of_calls() -> Self {
        let of = |wanted: Guard| {
            columns()
                .into_iter()
                .map(|column| column.name)
                .filter(move |name| guard_of_call_column(name) == wanted)
        };
        Self {
            numbers: of(Guard::Number).collect(),
            texts: of(Guard::Prose).collect(),
            accounts: &[
                "payer",
                "source_account",
                "destination_account",
                "customer_account",
                "reseller_account",
                "carrier_account",
                "customer_in_account",
                "reseller_in_account",
                "carrier_in_account",
            ],
            time: "start_at",
        }
    }

    pub(super) fn of_events() -> Self {
        let of = |wanted: Guard| {
            EVENTS.columns.iter().filter(move |column| column.guard == wanted).map(|column| column.doc.name)
        };
        Self {
            numbers: of(Guard::Number).collect(),
            texts: of(Guard::Prose).collect(),
            accounts: &["account", "reseller"],
            time: "at",
        }
    }
}

/// How many rows are what.
#[derive(Debug, Default)]
pub(super) struct Decided {
    pub(super) changed: u64,
    pub(super) deleted: u64,
    pub(super) held: u64,
}

impl Decided {
    pub(super) fn add(&mut self, made: &Made) {
        self.changed += made.changed;
        self.deleted += made.deleted;
        self.held += made.held;
    }
}

/// A batch as it is to be, and what was done to it.
pub(super) struct Made {
    pub(super) batch: RecordBatch,
    changed: u64,
    deleted: u64,
    held: u64,
}

/// What happens to one row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    /// All numbers go.
    Anonymous,
    /// The numbers of the persons to be forgotten go.
    Without,
    Deleted,
}

struct Row<'a> {
    batch: &'a RecordBatch,
    columns: &'a Columns,
    idx: usize,
}

impl Row<'_> {
    fn text(&self, column: &str) -> Option<&str> {
        let texts: &StringArray = self.batch.column_by_name(column)?.as_string_opt::<i32>()?;
        texts.is_valid(self.idx).then(|| texts.value(self.idx))
    }

    fn integer(&self, column: &str) -> Option<i64> {
        let values: &Int64Array = self.batch.column_by_name(column)?.as_primitive_opt::<Int64Type>()?;
        values.is_valid(self.idx).then(|| values.value(self.idx))
    }

    fn time_us(&self) -> Option<i64> {
        let column = self.batch.column_by_name(self.columns.time)?;
        let times: &TimestampMicrosecondArray = column.as_primitive_opt::<TimestampMicrosecondType>()?;
        Some(times.value(self.idx))
    }

    /// Whether the number is written somewhere, in full: with or without zeros before it, and nothing else.
    fn names(&self, number: &str) -> bool {
        let in_text = |text: &str| {
            let found = std::cell::Cell::new(false);
            by_run(text, |run| {
                found.set(found.get() || windows(run).any(|(_, digits)| is_in_full(&digits, number)));
                String::new()
            });
            found.get()
        };
        self.columns
            .numbers
            .iter()
            .filter_map(|column| self.text(column))
            .any(|text| is_in_full(&digits(text), number))
            || self.columns.texts.iter().filter_map(|column| self.text(column)).any(in_text)
    }

    /// Whether the number may be meant somewhere: a hold rather keeps a row too many.
    fn has(&self, number: &str) -> bool {
        let columns = self.columns.numbers.iter().chain(&self.columns.texts);
        columns.filter_map(|column| self.text(column)).any(|text| digits(text).contains(number))
    }

    fn is_of(&self, tenant: Option<model::TenantId>) -> bool {
        tenant.is_none_or(|tenant| self.integer("tenant") == Some(tenant.0))
    }

    fn is_held(&self, hold: &Hold) -> bool {
        let of_account = |account: model::AccountId| {
            self.columns.accounts.iter().any(|column| self.integer(column) == Some(account.0))
        };
        self.is_of(hold.tenant)
            && hold.account.is_none_or(of_account)
            && hold.number.is_none_or(|number| self.has(&number.to_string()))
    }

    /// The numbers that are to leave this row.
    fn erased(&self, task: &Task) -> Vec<String> {
        let asked = task.erasures.iter().filter(|erasure| self.is_of(erasure.tenant));
        asked.map(|erasure| erasure.number.to_string()).filter(|number| self.names(number)).collect()
    }

    fn fate(&self, rules: &[&Rule], task: &Task) -> Fate {
        let is_over = |rule: &&&Rule| {
            self.is_of(rule.tenant) && self.time_us().is_some_and(|at| at < rule.until.timestamp_micros())
        };
        let over: Vec<Then> = rules.iter().filter(is_over).map(|rule| rule.then).collect();
        if over.contains(&Then::Delete) {
            Fate::Deleted
        } else if over.contains(&Then::Anonymise) {
            Fate::Anonymous
        } else if !self.erased(task).is_empty() {
            Fate::Without
        } else {
            Fate::Stays
        }
    }
}

/// The rows of `batch` as they are to be.
pub(super) fn decide(
    batch: &RecordBatch,
    columns: &Columns,
    rules: &[&Rule],
    task: &Task,
) -> Result<Made, LakeError> {
    let mut made = Made { batch: batch.clone(), changed: 0, deleted: 0, held: 0 };
    let mut fates: Vec<Fate> = Vec::with_capacity(batch.num_rows());
    let mut erased: Vec<Vec<String>> = Vec::with_capacity(batch.num_rows());
    for idx in 0..batch.num_rows() {
        let row = Row { batch, columns, idx };
        let mut fate = row.fate(rules, task);
        if fate != Fate::Stays && task.holds.iter().any(|hold| row.is_held(hold)) {
            made.held += 1;
            fate = Fate::Stays;
        }
        made.deleted += u64::from(fate == Fate::Deleted);
        erased.push(if fate == Fate::Without { row.erased(task) } else { Vec::new() });
        fates.push(fate);
    }
    let broken =
        |error: datafusion::arrow::error::ArrowError| LakeError::Internal { problem: error.to_string() };
    let mut arrays: Vec<ArrayRef> = batch.columns().to_vec();
    let mut is_changed = vec![false; batch.num_rows()];
    for (name, is_number) in
        columns.numbers.iter().map(|name| (name, true)).chain(columns.texts.iter().map(|name| (name, false)))
    {
        let Ok(at) = batch.schema().index_of(name) else { continue };
        let Some(texts) = arrays[at].as_string_opt::<i32>() else { continue };
        let mut fresh = Vec::with_capacity(texts.len());
        for (idx, text) in texts.iter().enumerate() {
            let new = text.map(|text| match (fates[idx], is_number) {
                (Fate::Stays | Fate::Deleted, _) => text.to_owned(),
                (Fate::Anonymous, true) => anonymous(text),
                (Fate::Anonymous, false) => {
                    by_run(text, |run| if is_address(run) { run.to_owned() } else { anonymous(run) })
                }
                (Fate::Without, true) => {
                    // What is E.164 by its kind has nothing before it.
                    let is_e164 = matches!(*name, "source_number" | "destination_number");
                    let (digits, erased) = (digits(text), &erased[idx]);
                    let is_gone = erased.iter().any(|number| {
                        if is_e164 {
                            digits == *number
                        } else {
                            is_form(&digits, number) || digits.ends_with(number)
                        }
                    });
                    if is_gone { anonymous(text) } else { text.to_owned() }
                }
                (Fate::Without, false) => by_run(text, |run| without(run, &erased[idx])),
            });
            is_changed[idx] |= new.as_deref() != text;
            fresh.push(new);
        }
        arrays[at] = Arc::new(StringArray::from(fresh));
    }
    made.changed = is_changed.iter().filter(|changed| **changed).count() as u64;
    made.batch = RecordBatch::try_new(batch.schema(), arrays).map_err(broken)?;
    if made.deleted > 0 {
        let kept: BooleanArray = fates.iter().map(|fate| Some(*fate != Fate::Deleted)).collect();
        made.batch = filter_record_batch(&made.batch, &kept).map_err(broken)?;
    }
    Ok(made)
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Whether `digits` are the number in full, as dialled from somewhere: alone or behind a zero or two.
fn is_in_full(digits: &str, number: &str) -> bool {
    digits.strip_suffix(number).is_some_and(|before| matches!(before, "" | "0" | "00"))
}

/// The same, or in national form: a zero, and the number without its country. That is somebody else's in another country, so it counts
/// in rows alone that name the number in full.
fn is_form(digits: &str, number: &str) -> bool {
    is_in_full(digits, number)
        || digits.strip_prefix('0').is_some_and(|national| {
            national.len() >= DIGITS_MIN
                && number.ends_with(national)
                && (1..=COUNTRY_DIGITS_MAX).contains(&(number.len() - national.len()))
        })
}

/// All that may be a number in a run of digits with separators: one group of digits or several in a row, with their place.
fn windows(run: &str) -> impl Iterator<Item = (std::ops::Range<usize>, String)> + '_ {
    let is_digit = |at: usize| run.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let starts: Vec<usize> =
        (0..run.len()).filter(|at| is_digit(*at) && (*at == 0 || !is_digit(*at - 1))).collect();
    let ends: Vec<usize> = (1..=run.len()).filter(|at| is_digit(*at - 1) && !is_digit(*at)).collect();
    starts.into_iter().flat_map(move |start| {
        let behind: Vec<usize> =
            ends.iter().copied().filter(|end| *end > start && *end - start <= WINDOW_MAX).collect();
        behind.into_iter().map(move |end| (start..end, digits(&run[start..end])))
    })
}

/// A run of digits without the numbers in it.
fn without(run: &str, numbers: &[String]) -> String {
    let mut made = String::with_capacity(run.len());
    let mut at = 0;
    for (place, digits) in windows(run) {
        if place.start >= at && numbers.iter().any(|number| is_form(&digits, number)) {
            made.push_str(&run[at..place.start]);
            made.push_str(&anonymous(&run[place.clone()]));
            at = place.end;
        }
    }
    made.push_str(&run[at..]);
    made
}

/// The first digits of a number, and that there were more. A name goes whole; a short number is nobody's.
fn anonymous(text: &str) -> String {
    if text.ends_with('…') || text.is_empty() {
        return text.to_owned();
    }
    let n_digits = text.chars().filter(char::is_ascii_digit).count();
    let is_number = text.chars().all(|letter| letter.is_ascii_digit() || "+-() ./#*".contains(letter));
    if !is_number {
        return "…".to_owned();
    }
    if n_digits < DIGITS_MIN {
        return text.to_owned();
    }
    text.chars().filter(char::is_ascii_digit).take(DIGITS_KEPT).chain(['…']).collect()
}
