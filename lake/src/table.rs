//! The tables beside `calls`: what the database and the other topics of the bus hold, mirrored into plain Parquet.
//!
//! One description of a table makes its Arrow schema, its rows in `documentation` and its page in the README. A row is a list of
//! values in the order of the columns; the process that knows the rooms makes them.

use std::sync::Arc;

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use datafusion::arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use rust_decimal::Decimal;

use crate::column::{ColumnDoc, DECIMAL_DIGITS, DECIMAL_SCALE};
use crate::rows::{described, plain};
use crate::{LakeError, history};

/// Digits of a price in all, and behind the point: a price of one second may need more than the six of an amount.
const PRICE_DIGITS: (u8, i8) = (28, 12);

/// A table that is mirrored.
#[derive(Debug)]
pub struct Table {
    /// Its name in SQL, and of its directory below `tables/`.
    pub name: &'static str,
    /// What one row is.
    pub meaning: &'static str,
    /// Its columns, in their order. New ones go to the end.
    pub columns: &'static [TableColumn],
    /// The column its rows are sorted by within a file.
    pub(crate) sort: &'static str,
}

/// One column of a mirrored table.
#[derive(Debug, Clone, Copy)]
pub struct TableColumn {
    /// For people.
    pub doc: ColumnDoc,
    pub(crate) kind: Kind,
    pub(crate) guard: Guard,
}

/// Type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Flag,
    Instant,
    Day,
    Amount,
    Price,
}

/// Who may see what a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Everybody.
    Open,
    /// A telephone number, or a user name: its middle is hidden from whoever may not see numbers.
    Number,
    /// Text of a device or a person that can have numbers in it: long runs of digits are hidden in the same way.
    Prose,
    /// What customers and resellers pay: NULL to whoever may not see it.
    CustomerPrice,
    /// What carriers are owed.
    CarrierPrice,
    /// What follows from both.
    AnyPrice,
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Of a text column.
    Text(String),
    /// Of an integer column.
    Integer(i64),
    /// Of a yes-or-no column.
    Flag(bool),
    /// Of a time column.
    Instant(DateTime<Utc>),
    /// Of a day column.
    Day(NaiveDate),
    /// Of an amount or a price column.
    Decimal(Decimal),
}

/// A row, in the order of the table's columns.
pub type Row = Vec<Value>;

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Value::Integer(i64::from(value))
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Flag(value)
    }
}

impl From<DateTime<Utc>> for Value {
    fn from(at: DateTime<Utc>) -> Self {
        Value::Instant(at)
    }
}

impl From<NaiveDate> for Value {
    fn from(day: NaiveDate) -> Self {
        Value::Day(day)
    }
}

impl From<Decimal> for Value {
    fn from(value: Decimal) -> Self {
        Value::Decimal(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

impl Kind {
    pub(crate) const fn sql_type(self) -> &'static str {
        match self {
            Kind::Text => "VARCHAR",
            Kind::Integer => "BIGINT",
            Kind::Flag => "BOOLEAN",
            Kind::Instant => "TIMESTAMP(6)",
            Kind::Day => "DATE",
            Kind::Amount => "DECIMAL(18,6)",
            Kind::Price => "DECIMAL(28,12)",
        }
    }

    fn arrow(self, text: &DataType) -> DataType {
        match self {
            Kind::Text => text.clone(),
            Kind::Integer => DataType::Int64,
            Kind::Flag => DataType::Boolean,
            Kind::Instant => DataType::Timestamp(TimeUnit::Microsecond, None),
            Kind::Day => DataType::Date32,
            Kind::Amount => DataType::Decimal128(DECIMAL_DIGITS, DECIMAL_SCALE),
            Kind::Price => DataType::Decimal128(PRICE_DIGITS.0, PRICE_DIGITS.1),
        }
    }
}

impl Table {
    /// As its files have it.
    pub(crate) fn file_schema(&self) -> SchemaRef {
        Arc::new(self.schema(&DataType::Utf8))
    }

    /// As SQL reads it.
    pub(crate) fn sql_schema(&self) -> SchemaRef {
        Arc::new(plain(self.schema(&DataType::Utf8View)))
    }

    fn schema(&self, text: &DataType) -> Schema {
        let field = |column: &TableColumn| {
            let field = Field::new(column.doc.name, column.kind.arrow(text), column.doc.nullable);
            described(field, &column.doc)
        };
        Schema::new(self.columns.iter().map(field).collect::<Vec<_>>())
    }

    /// The rows as one batch, sorted.
    pub(crate) fn batch(&self, mut rows: Vec<Row>) -> Result<RecordBatch, LakeError> {
        for row in &rows {
            self.check(row)?;
        }
        if let Some(idx) = self.columns.iter().position(|column| column.doc.name == self.sort) {
            rows.sort_by(|one, other| order(&one[idx]).cmp(&order(&other[idx])));
        }
        let arrays = self
            .columns
            .iter()
            .enumerate()
            .map(|(idx, column)| self.array(column, rows.iter().map(|row| &row[idx])))
            .collect::<Result<Vec<_>, _>>()?;
        RecordBatch::try_new(self.file_schema(), arrays).map_err(|error| self.wrong(error))
    }

    /// Whether the table can hold this row.
    ///
    /// # Errors
    ///
    /// [`LakeError::Unmirrored`] for a value that is out of range, [`LakeError::Internal`] for one of another type.
    pub fn check(&self, row: &Row) -> Result<(), LakeError> {
        if row.len() != self.columns.len() {
            return Err(self.wrong(format!(
                "a row of {} values for {} columns",
                row.len(),
                self.columns.len()
            )));
        }
        for (value, column) in row.iter().zip(self.columns) {
            let fits = match (value, column.kind) {
                (Value::Null, _) => column.doc.nullable,
                (Value::Text(_), Kind::Text)
                | (Value::Integer(_), Kind::Integer)
                | (Value::Flag(_), Kind::Flag) => true,
                (Value::Instant(at), Kind::Instant) => {
                    (1970..=9999).contains(&at.year()) || self.refuse(column, at)?
                }
                (Value::Day(day), Kind::Day) => {
                    (1970..=9999).contains(&day.year()) || self.refuse(column, day)?
                }
                (Value::Decimal(amount), Kind::Amount) => {
                    scaled(*amount, DECIMAL_DIGITS, DECIMAL_SCALE).is_some() || self.refuse(column, amount)?
                }
                (Value::Decimal(price), Kind::Price) => {
                    scaled(*price, PRICE_DIGITS.0, PRICE_DIGITS.1).is_some() || self.refuse(column, price)?
                }
                (Value::Text(_) | Value::Integer(_) | Value::Flag(_) | Value::Instant(_), _)
                | (Value::Day(_) | Value::Decimal(_), _) => false,
            };
            if !fits {
                return Err(self.wrong(format!("{} cannot be {value:?}", column.doc.name)));
            }
        }
        Ok(())
    }

    fn refuse(&self, column: &TableColumn, value: impl ToString) -> Result<bool, LakeError> {
        Err(LakeError::Unmirrored { table: self.name, column: column.doc.name, value: value.to_string() })
    }

    fn wrong(&self, problem: impl std::fmt::Display) -> LakeError {
        LakeError::Internal { problem: format!("table {}: {problem}", self.name) }
    }

    fn array<'a>(
        &self,
        column: &TableColumn,
        values: impl Iterator<Item = &'a Value>,
    ) -> Result<ArrayRef, LakeError> {
        let decimals = |values: Vec<Option<i128>>, (digits, scale)| {
            let array = Decimal128Array::from(values).with_precision_and_scale(digits, scale);
            array.map(|array| Arc::new(array) as ArrayRef).map_err(|error| self.wrong(error))
        };
        Ok(match column.kind {
            Kind::Text => Arc::new(values.map(as_text).collect::<StringArray>()),
            Kind::Integer => Arc::new(values.map(as_integer).collect::<Int64Array>()),
            Kind::Flag => Arc::new(values.map(as_flag).collect::<BooleanArray>()),
            Kind::Instant => Arc::new(values.map(as_micros).collect::<TimestampMicrosecondArray>()),
            Kind::Day => Arc::new(values.map(as_day).collect::<Date32Array>()),
            Kind::Amount => {
                let size = (DECIMAL_DIGITS, DECIMAL_SCALE);
                decimals(values.map(|value| as_scaled(value, size)).collect(), size)?
            }
            Kind::Price => {
                decimals(values.map(|value| as_scaled(value, PRICE_DIGITS)).collect(), PRICE_DIGITS)?
            }
        })
    }
}

fn as_text(value: &Value) -> Option<&str> {
    if let Value::Text(text) = value { Some(text) } else { None }
}

fn as_integer(value: &Value) -> Option<i64> {
    if let Value::Integer(integer) = value { Some(*integer) } else { None }
}

fn as_flag(value: &Value) -> Option<bool> {
    if let Value::Flag(flag) = value { Some(*flag) } else { None }
}

fn as_micros(value: &Value) -> Option<i64> {
    if let Value::Instant(at) = value { Some(at.timestamp_micros()) } else { None }
}

fn as_day(value: &Value) -> Option<i32> {
    if let Value::Day(day) = value { Some(history::days_since_1970(*day)) } else { None }
}

fn as_scaled(value: &Value, (digits, scale): (u8, i8)) -> Option<i128> {
    if let Value::Decimal(decimal) = value { scaled(*decimal, digits, scale) } else { None }
}

/// `value` in units of the last digit behind the point; `None` if that needs more digits, or would round.
fn scaled(value: Decimal, digits: u8, scale: i8) -> Option<i128> {
    let value = value.normalize();
    let missing = i64::from(scale) - i64::from(value.scale());
    let factor = 10_i128.checked_pow(u32::try_from(missing).ok()?)?;
    let units = value.mantissa().checked_mul(factor)?;
    (units.unsigned_abs() < 10_u128.pow(u32::from(digits))).then_some(units)
}

/// What rows are sorted by: numbers and times by size, texts by letters.
fn order(value: &Value) -> (i64, &str) {
    match value {
        Value::Null => (i64::MIN, ""),
        Value::Text(text) => (0, text),
        Value::Integer(integer) => (*integer, ""),
        Value::Flag(flag) => (i64::from(*flag), ""),
        Value::Instant(at) => (at.timestamp_micros(), ""),
        Value::Day(day) => (i64::from(day.num_days_from_ce()), ""),
        Value::Decimal(_) => (0, ""),
    }
}
