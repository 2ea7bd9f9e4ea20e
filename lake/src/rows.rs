//! Rated calls as Arrow rows.
//!
//! In: rated calls. Out: for each UTC day of start one record batch in the order of the file. A call that a column cannot
//! hold is refused with its column; nothing is rounded or cut.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Decimal128Builder, Int64Builder, RecordBatch, StringBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::{RatedCdr, to_micros};
use rust_decimal::Decimal;

use crate::LakeError;
use crate::column::{COLUMNS, Column, ColumnDoc, DECIMAL_DIGITS, DECIMAL_SCALE, Value, columns};
use crate::parquet_file::WRITING_THREADS;

/// Largest amount, in millionths, of a decimal of 18 digits.
const MICROS_MAX: i64 = 999_999_999_999_999_999;
/// Years a call can start in: what `day=YYYY-MM-DD` can say and a broken clock does not.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// Rows that one thread makes at a time.
const BATCH_ROWS: usize = 8_192;
/// Calls that stay in a processor's own cache together.
const CACHED_ROWS: usize = 128;

/// Schema of the files. Each field carries its unit, meaning and example as metadata.
pub(crate) static FILE_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| Arc::new(schema(&DataType::Utf8)));

/// The same as SQL reads it: texts as views, which DataFusion compares and copies faster.
pub(crate) static SQL_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(plain(schema(&DataType::Utf8View))));

/// Without metadata: DataFusion refuses a union of columns that differ in it.
pub(crate) fn plain(schema: Schema) -> Schema {
    let fields: Vec<Field> =
        schema.fields().iter().map(|field| field.as_ref().clone().with_metadata(HashMap::new())).collect();
    Schema::new(fields)
}

fn schema(text: &DataType) -> Schema {
    let fields: Vec<Field> = COLUMNS
        .iter()
        .zip(columns())
        .map(|(column, doc)| {
            described(Field::new(column.name, arrow_type(column, text), column.nullable), &doc)
        })
        .collect();
    Schema::new(fields)
}

/// `field`, with unit, meaning and example as metadata.
pub(crate) fn described(field: Field, doc: &ColumnDoc) -> Field {
    field.with_metadata(
        [("unit", doc.unit), ("description", doc.meaning), ("example", doc.example)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
    )
}

fn arrow_type(column: &Column, text: &DataType) -> DataType {
    match column.value {
        Value::Text(_) => text.clone(),
        Value::Integer(_) | Value::Count(_) => DataType::Int64,
        Value::Flag(_) => DataType::Boolean,
        // Without a zone: readers that lack a zone database read it all the same, and it was measured faster.
        Value::Instant(_) => DataType::Timestamp(TimeUnit::Microsecond, None),
        Value::Amount(_) | Value::Seconds(_) => DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_SCALE),
    }
}

/// The rows of one day.
pub(crate) struct DayRows {
    pub(crate) day: NaiveDate,
    /// One behind the other.
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) rows: u64,
    /// Rows of a revision above 0.
    pub(crate) corrections: u64,
    /// Microseconds since 1970.
    pub(crate) first_start_us: i64,
    pub(crate) last_start_us: i64,
}

/// Sorts calls into days, and each day by [`crate::column::SORT_COLUMNS`].
pub(crate) fn rows_by_day<'a>(
    calls: impl IntoIterator<Item = &'a RatedCdr>,
) -> Result<Vec<DayRows>, LakeError> {
    let mut days: BTreeMap<NaiveDate, Vec<&RatedCdr>> = BTreeMap::new();
    for call in calls {
        days.entry(day_of(call)?).or_default().push(call);
    }
    days.into_iter()
        .map(|(day, mut calls)| {
            // Ids sort as their bytes and as their hexadecimal text alike.
            calls.sort_by_cached_key(|call| (call.cdr.start_at, call.cdr.id, call.cdr.revision));
            let (first, last) = (calls[0].cdr.start_at, calls[calls.len() - 1].cdr.start_at);
            Ok(DayRows {
                day,
                corrections: calls.iter().filter(|call| call.cdr.revision > 0).count() as u64,
                first_start_us: first.timestamp_micros(),
                last_start_us: last.timestamp_micros(),
                batches: batches(&calls)?,
                rows: calls.len() as u64,
            })
        })
        .collect()
}

/// Whether the lake can hold this call: a stage asks before it commits a batch, so that one broken call is suspended alone.
///
/// # Errors
///
/// [`LakeError::Unstorable`] naming the column.
pub fn check_row(call: &RatedCdr) -> Result<(), LakeError> {
    day_of(call)?;
    COLUMNS.iter().try_for_each(|column| match column.value {
        // Whatever they say has a place.
        Value::Text(_) | Value::Integer(_) | Value::Flag(_) => Ok(()),
        Value::Count(of) => count(column, call, of(call)).map(|_| ()),
        Value::Instant(of) => instant(column, call, of(call)).map(|_| ()),
        Value::Amount(of) => of(call).map_or(Ok(()), |value| amount(column, call, value).map(|_| ())),
        Value::Seconds(of) => seconds(column, call, of(call)).map(|_| ()),
    })
}

fn day_of(call: &RatedCdr) -> Result<NaiveDate, LakeError> {
    let day = call.cdr.start_at.date_naive();
    if YEARS.contains(&day.year()) { Ok(day) } else { Err(unstorable(call, "start_at", call.cdr.start_at)) }
}

fn unstorable(call: &RatedCdr, column: &'static str, value: impl ToString) -> LakeError {
    LakeError::Unstorable { cdr: call.cdr.id, column, value: value.to_string() }
}

/// Batches of at most [`BATCH_ROWS`], made by all threads that writing has.
fn batches(calls: &[&RatedCdr]) -> Result<Vec<RecordBatch>, LakeError> {
    if calls.len() <= BATCH_ROWS {
        return Ok(vec![batch(calls)?]);
    }
    let parts = Mutex::new(calls.chunks(BATCH_ROWS).enumerate());
    let next = || parts.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut made = Vec::new();
        while let Some((idx, part)) = next() {
            made.push((idx, batch(part)?));
        }
        Ok::<_, LakeError>(made)
    };
    let mut made = std::thread::scope(|scope| {
        let others: Vec<_> = (1..WRITING_THREADS).map(|_| scope.spawn(work)).collect();
        let mut made = work()?;
        for other in others {
            let panicked = |_| LakeError::Internal { problem: "making rows panicked".to_owned() };
            made.extend(other.join().map_err(panicked)??);
        }
        Ok::<_, LakeError>(made)
    })?;
    made.sort_by_key(|(idx, _)| *idx);
    Ok(made.into_iter().map(|(_, batch)| batch).collect())
}

fn batch(calls: &[&RatedCdr]) -> Result<RecordBatch, LakeError> {
    let mut arrays: Vec<Growing> = COLUMNS.iter().map(|column| Growing::of(column, calls.len())).collect();
    // Every column asks every call. So that a call has to come from memory once and not for each, they all ask a few first.
    for few in calls.chunks(CACHED_ROWS) {
        for (column, array) in COLUMNS.iter().zip(&mut arrays) {
            array.take(column, few)?;
        }
    }
    let arrays = arrays.into_iter().map(Growing::finish).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(FILE_SCHEMA.clone(), arrays)
        .map_err(|error| LakeError::Internal { problem: format!("rows do not fit their schema: {error}") })
}

/// A column being made.
enum Growing {
    Text(StringBuilder),
    Integer(Int64Builder),
    Flag(BooleanBuilder),
    Instant(TimestampMicrosecondBuilder),
    Decimal(Decimal128Builder),
}

impl Growing {
    fn of(column: &Column, rows: usize) -> Self {
        match column.value {
            Value::Text(_) => Growing::Text(StringBuilder::with_capacity(rows, rows * 16)),
            Value::Integer(_) | Value::Count(_) => Growing::Integer(Int64Builder::with_capacity(rows)),
            Value::Flag(_) => Growing::Flag(BooleanBuilder::with_capacity(rows)),
            Value::Instant(_) => Growing::Instant(TimestampMicrosecondBuilder::with_capacity(rows)),
            Value::Amount(_) | Value::Seconds(_) => Growing::Decimal(Decimal128Builder::with_capacity(rows)),
        }
    }

    fn take(&mut self, column: &Column, calls: &[&RatedCdr]) -> Result<(), LakeError> {
        match (self, column.value) {
            (Growing::Text(texts), Value::Text(of)) => {
                calls.iter().for_each(|call| texts.append_option(of(call)));
            }
            (Growing::Integer(integers), Value::Integer(of)) => {
                calls.iter().for_each(|call| integers.append_option(of(call)));
            }
            (Growing::Integer(integers), Value::Count(of)) => {
                for call in calls {
                    integers.append_option(count(column, call, of(call))?);
                }
            }
            (Growing::Flag(flags), Value::Flag(of)) => {
                calls.iter().for_each(|call| flags.append_value(of(call)));
            }
            (Growing::Instant(times), Value::Instant(of)) => {
                for call in calls {
                    times.append_value(instant(column, call, of(call))?);
                }
            }
            (Growing::Decimal(decimals), Value::Amount(of)) => {
                for call in calls {
                    decimals.append_option(of(call).map(|value| amount(column, call, value)).transpose()?);
                }
            }
            (Growing::Decimal(decimals), Value::Seconds(of)) => {
                for call in calls {
                    decimals.append_value(seconds(column, call, of(call))?);
                }
            }
            _ => return Err(LakeError::Internal { problem: format!("{} has another type", column.name) }),
        }
        Ok(())
    }

    fn finish(self) -> Result<ArrayRef, LakeError> {
        Ok(match self {
            Growing::Text(mut texts) => Arc::new(texts.finish()),
            Growing::Integer(mut integers) => Arc::new(integers.finish()),
            Growing::Flag(mut flags) => Arc::new(flags.finish()),
            Growing::Instant(mut times) => Arc::new(times.finish()),
            Growing::Decimal(mut decimals) => {
                Arc::new(decimals.finish().with_precision_and_scale(DECIMAL_DIGITS, DECIMAL_SCALE).map_err(
                    |error| LakeError::Internal { problem: format!("decimals do not fit: {error}") },
                )?)
            }
        })
    }
}

fn count(column: &Column, call: &RatedCdr, n: Option<u64>) -> Result<Option<i64>, LakeError> {
    n.map(|n| i64::try_from(n).map_err(|_| unstorable(call, column.name, n))).transpose()
}

fn instant(column: &Column, call: &RatedCdr, at: DateTime<Utc>) -> Result<i64, LakeError> {
    if YEARS.contains(&at.year()) {
        Ok(at.timestamp_micros())
    } else {
        Err(unstorable(call, column.name, at))
    }
}

fn amount(column: &Column, call: &RatedCdr, amount: Decimal) -> Result<i128, LakeError> {
    match to_micros(amount) {
        Ok(micros) if (-MICROS_MAX..=MICROS_MAX).contains(&micros) => Ok(i128::from(micros)),
        Ok(_) | Err(_) => Err(unstorable(call, column.name, amount)),
    }
}

fn seconds(column: &Column, call: &RatedCdr, micros: u64) -> Result<i128, LakeError> {
    match i64::try_from(micros) {
        Ok(micros) if micros <= MICROS_MAX => Ok(i128::from(micros)),
        Ok(_) | Err(_) => Err(unstorable(call, column.name, micros)),
    }
}
