//! Rated calls as Arrow rows.
//!
//! In: rated calls. Out: for each UTC day of start one record batch in the order of the file. A call that a column cannot
//! hold is refused with its column; nothing is rounded or cut.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, RecordBatch, StringBuilder,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use model::{RatedCdr, to_micros};

use crate::LakeError;
use crate::column::{COLUMNS, Column, ColumnDoc, DECIMAL_DIGITS, DECIMAL_SCALE, Value, columns};

/// Largest amount, in millionths, of a decimal of 18 digits.
const MICROS_MAX: i64 = 999_999_999_999_999_999;
/// Years a call can start in: what `day=YYYY-MM-DD` can say and a broken clock does not.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

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
    pub(crate) batch: RecordBatch,
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
            calls.sort_by_key(|call| (call.cdr.start_at, call.cdr.id, call.cdr.revision));
            let (first, last) = (calls[0].cdr.start_at, calls[calls.len() - 1].cdr.start_at);
            Ok(DayRows {
                day,
                corrections: calls.iter().filter(|call| call.cdr.revision > 0).count() as u64,
                first_start_us: first.timestamp_micros(),
                last_start_us: last.timestamp_micros(),
                batch: batch(&calls)?,
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
    batch(&[call]).map(|_| ())
}

fn day_of(call: &RatedCdr) -> Result<NaiveDate, LakeError> {
    let day = call.cdr.start_at.date_naive();
    if YEARS.contains(&day.year()) { Ok(day) } else { Err(unstorable(call, "start_at", call.cdr.start_at)) }
}

fn unstorable(call: &RatedCdr, column: &'static str, value: impl ToString) -> LakeError {
    LakeError::Unstorable { cdr: call.cdr.id, column, value: value.to_string() }
}

fn batch(calls: &[&RatedCdr]) -> Result<RecordBatch, LakeError> {
    let arrays = COLUMNS.iter().map(|column| array(column, calls)).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(FILE_SCHEMA.clone(), arrays)
        .map_err(|error| LakeError::Internal { problem: format!("rows do not fit their schema: {error}") })
}

fn array(column: &Column, calls: &[&RatedCdr]) -> Result<ArrayRef, LakeError> {
    Ok(match column.value {
        Value::Text(of) => {
            let mut builder = StringBuilder::with_capacity(calls.len(), calls.len() * 16);
            calls.iter().for_each(|call| builder.append_option(of(call)));
            Arc::new(builder.finish())
        }
        Value::Integer(of) => Arc::new(calls.iter().map(|call| of(call)).collect::<Int64Array>()),
        Value::Count(of) => {
            let fit = |call: &&RatedCdr| {
                of(call).map(|n| i64::try_from(n).map_err(|_| unstorable(call, column.name, n))).transpose()
            };
            Arc::new(calls.iter().map(fit).collect::<Result<Int64Array, _>>()?)
        }
        Value::Flag(of) => Arc::new(calls.iter().map(|call| Some(of(call))).collect::<BooleanArray>()),
        Value::Instant(of) => {
            let fit = |call: &&RatedCdr| {
                let at: DateTime<Utc> = of(call);
                if YEARS.contains(&at.year()) {
                    Ok(at.timestamp_micros())
                } else {
                    Err(unstorable(call, column.name, at))
                }
            };
            let micros = calls.iter().map(fit).collect::<Result<Vec<i64>, _>>()?;
            Arc::new(TimestampMicrosecondArray::from(micros))
        }
        Value::Amount(of) => {
            let fit = |call: &&RatedCdr| {
                let Some(amount) = of(call) else { return Ok(None) };
                match to_micros(amount) {
                    Ok(micros) if (-MICROS_MAX..=MICROS_MAX).contains(&micros) => {
                        Ok(Some(i128::from(micros)))
                    }
                    Ok(_) | Err(_) => Err(unstorable(call, column.name, amount)),
                }
            };
            decimals(calls.iter().map(fit).collect::<Result<Vec<_>, _>>()?)?
        }
        Value::Seconds(of) => {
            let fit = |call: &&RatedCdr| match i64::try_from(of(call)) {
                Ok(micros) if micros <= MICROS_MAX => Ok(Some(i128::from(micros))),
                Ok(_) | Err(_) => Err(unstorable(call, column.name, of(call))),
            };
            decimals(calls.iter().map(fit).collect::<Result<Vec<_>, _>>()?)?
        }
    })
}

fn decimals(micros: Vec<Option<i128>>) -> Result<ArrayRef, LakeError> {
    let array = Decimal128Array::from(micros)
        .with_precision_and_scale(DECIMAL_DIGITS, DECIMAL_SCALE)
        .map_err(|error| LakeError::Internal { problem: format!("decimals do not fit: {error}") })?;
    Ok(Arc::new(array))
}
