//! Small words over sqlx's `Any` driver: typed columns, many rows in one statement, times and amounts as integers.
//!
//! `Any` knows `i64`, text and bytes on both databases, and that is all we use.

use std::fmt::Write as _;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use model::{MoneyError, from_micros, to_micros};
use rust_decimal::Decimal;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row};

use crate::{Result, StoreError};

/// A query whose arguments are bound.
pub(crate) type Query = sqlx::query::Query<'static, Any, sqlx::any::AnyArguments>;

/// A query with its text; arguments follow by [`Bind`].
pub(crate) fn query(text: &'static str) -> Query {
    sqlx::query(text)
}

/// A query put together from texts of ours alone: never from what people or records say.
pub(crate) fn query_of(text: String) -> Query {
    sqlx::query(AssertSqlSafe(text))
}

/// One value on its way in.
#[derive(Debug, Clone)]
pub(crate) enum Cell {
    Int(i64),
    OptInt(Option<i64>),
    Text(String),
    OptText(Option<String>),
    Bytes(Vec<u8>),
    OptBytes(Option<Vec<u8>>),
}

impl From<i64> for Cell {
    fn from(value: i64) -> Self {
        Cell::Int(value)
    }
}

impl From<u32> for Cell {
    fn from(value: u32) -> Self {
        Cell::Int(i64::from(value))
    }
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Cell::Int(i64::from(value))
    }
}

impl From<Option<i64>> for Cell {
    fn from(value: Option<i64>) -> Self {
        Cell::OptInt(value)
    }
}

impl From<Option<u32>> for Cell {
    fn from(value: Option<u32>) -> Self {
        Cell::OptInt(value.map(i64::from))
    }
}

impl From<&str> for Cell {
    fn from(value: &str) -> Self {
        Cell::Text(value.to_owned())
    }
}

impl From<String> for Cell {
    fn from(value: String) -> Self {
        Cell::Text(value)
    }
}

impl From<Option<String>> for Cell {
    fn from(value: Option<String>) -> Self {
        Cell::OptText(value)
    }
}

impl From<Vec<u8>> for Cell {
    fn from(value: Vec<u8>) -> Self {
        Cell::Bytes(value)
    }
}

impl From<&[u8; 16]> for Cell {
    fn from(value: &[u8; 16]) -> Self {
        Cell::Bytes(value.to_vec())
    }
}

impl From<Option<&[u8; 16]>> for Cell {
    fn from(value: Option<&[u8; 16]>) -> Self {
        Cell::OptBytes(value.map(|bytes| bytes.to_vec()))
    }
}

impl From<DateTime<Utc>> for Cell {
    fn from(value: DateTime<Utc>) -> Self {
        Cell::Int(value.timestamp_micros())
    }
}

impl From<Option<DateTime<Utc>>> for Cell {
    fn from(value: Option<DateTime<Utc>>) -> Self {
        Cell::OptInt(value.map(|at| at.timestamp_micros()))
    }
}

/// Values in the order of their placeholders.
macro_rules! cells {
    ($($value:expr),* $(,)?) => { vec![$($crate::sql::Cell::from($value)),*] };
}
pub(crate) use cells;

/// Binds cells to a query.
pub(crate) trait Bind: Sized {
    fn cells(self, cells: Vec<Cell>) -> Self;
}

impl Bind for Query {
    fn cells(self, cells: Vec<Cell>) -> Self {
        cells.into_iter().fold(self, |query, cell| match cell {
            Cell::Int(value) => query.bind(value),
            Cell::OptInt(value) => query.bind(value),
            Cell::Text(value) => query.bind(value),
            Cell::OptText(value) => query.bind(value),
            Cell::Bytes(value) => query.bind(value),
            Cell::OptBytes(value) => query.bind(value),
        })
    }
}

/// Numbers of rows in one statement: few different texts, so that each is prepared once and kept.
const ROWS_PER_STATEMENT: [usize; 5] = [256, 64, 16, 4, 1];
/// Arguments in one statement. Both databases take more (SQLite 32,766), but more save nothing.
const ARGUMENTS_MAX: usize = 4_096;

/// How a database wants its placeholders in a statement of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placeholders {
    /// `$1`, `$2`: PostgreSQL knows no others.
    Numbered,
    /// `?`: to bind one that has a name, SQLite's driver asks for the name, for which SQLite walks the names of all before it.
    /// With a thousand of them that was more than half of the database's time.
    Bare,
}

impl Placeholders {
    pub(crate) fn of(conn: &AnyConnection) -> Self {
        if conn.backend_name() == "SQLite" { Placeholders::Bare } else { Placeholders::Numbered }
    }

    /// Writes `count` of them, numbered from `first` (0-based).
    pub(crate) fn write(self, text: &mut String, first: usize, count: usize) {
        for idx in 0..count {
            text.push_str(if idx == 0 { "" } else { ", " });
            match self {
                Placeholders::Numbered => write!(text, "${}", first + idx + 1).expect("a String takes all"),
                Placeholders::Bare => text.push('?'),
            }
        }
    }

    /// `{head} IN (...)` with `n_keys` placeholders after the `n_fixed` that `head` has, each once and in their order.
    fn in_list(self, head: &str, n_fixed: usize, n_keys: usize) -> String {
        let mut text = head.to_owned();
        if self == Placeholders::Bare {
            for idx in 0..n_fixed {
                text = text.replacen(&format!("${}", idx + 1), "?", 1);
            }
        }
        text.push_str(" IN (");
        self.write(&mut text, n_fixed, n_keys);
        text.push(')');
        text
    }
}

/// Runs `{head} VALUES (...), (...) {tail}` over all rows, in order; returns how many rows were affected.
pub(crate) async fn insert_rows(
    conn: &mut AnyConnection,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Cell>>,
) -> Result<u64> {
    let mut n_affected = 0;
    for statement in inserts(conn, head, tail, rows) {
        n_affected += statement.execute(&mut *conn).await?.rows_affected();
    }
    Ok(n_affected)
}

/// As [`insert_rows`], with a `tail` that returns something of each row that came in.
pub(crate) async fn insert_returning(
    conn: &mut AnyConnection,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Cell>>,
) -> Result<Vec<AnyRow>> {
    let mut returned = Vec::with_capacity(rows.len());
    for statement in inserts(conn, head, tail, rows) {
        returned.extend(statement.fetch_all(&mut *conn).await?);
    }
    Ok(returned)
}

/// The statements that insert `rows`, made one after the other.
fn inserts(
    conn: &AnyConnection,
    head: &'static str,
    tail: &'static str,
    rows: Vec<Vec<Cell>>,
) -> impl Iterator<Item = Query> + use<> {
    let width = rows.first().map_or(0, Vec::len);
    let placeholders = Placeholders::of(conn);
    let mut rows = rows.into_iter();
    std::iter::from_fn(move || {
        if rows.len() == 0 {
            return None;
        }
        let n_rows = chunk_size(rows.len(), width);
        let mut text = String::with_capacity(head.len() + tail.len() + n_rows * width * 6);
        text.push_str(head);
        text.push_str(" VALUES ");
        for row_idx in 0..n_rows {
            text.push_str(if row_idx == 0 { "(" } else { ", (" });
            placeholders.write(&mut text, row_idx * width, width);
            text.push(')');
        }
        text.push(' ');
        text.push_str(tail);
        let cells: Vec<Cell> = rows.by_ref().take(n_rows).flatten().collect();
        assert_eq!(cells.len(), n_rows * width, "rows of one insert have the same width");
        Some(query_of(text).cells(cells))
    })
}

/// Fetches `{head} IN (...)` over all keys, whose placeholders follow those of `fixed`.
pub(crate) async fn fetch_in(
    conn: &mut AnyConnection,
    head: &'static str,
    fixed: &[Cell],
    keys: Vec<Cell>,
) -> Result<Vec<AnyRow>> {
    let placeholders = Placeholders::of(conn);
    let mut found = Vec::new();
    let mut keys = keys.into_iter();
    while keys.len() > 0 {
        let n_keys = chunk_size(keys.len(), 1);
        let query = sqlx::query(AssertSqlSafe(placeholders.in_list(head, fixed.len(), n_keys)));
        let cells = fixed.iter().cloned().chain(keys.by_ref().take(n_keys)).collect();
        found.extend(query.cells(cells).fetch_all(&mut *conn).await?);
    }
    Ok(found)
}

/// Runs `{head} IN (...)` over all keys; returns how many rows were affected.
pub(crate) async fn execute_in(
    conn: &mut AnyConnection,
    head: &'static str,
    fixed: &[Cell],
    keys: Vec<Cell>,
) -> Result<u64> {
    let placeholders = Placeholders::of(conn);
    let mut n_affected = 0;
    let mut keys = keys.into_iter();
    while keys.len() > 0 {
        let n_keys = chunk_size(keys.len(), 1);
        let query = sqlx::query(AssertSqlSafe(placeholders.in_list(head, fixed.len(), n_keys)));
        let cells = fixed.iter().cloned().chain(keys.by_ref().take(n_keys)).collect();
        n_affected += query.cells(cells).execute(&mut *conn).await?.rows_affected();
    }
    Ok(n_affected)
}

fn chunk_size(n_left: usize, width: usize) -> usize {
    ROWS_PER_STATEMENT
        .into_iter()
        .find(|size| *size <= n_left && size * width <= ARGUMENTS_MAX)
        .expect("one row always fits")
}

/// Typed columns of a row.
pub(crate) trait Columns {
    fn int(&self, column: &'static str) -> Result<i64>;
    fn opt_int(&self, column: &'static str) -> Result<Option<i64>>;
    fn text(&self, column: &'static str) -> Result<String>;
    fn opt_text(&self, column: &'static str) -> Result<Option<String>>;
    fn bytes(&self, column: &'static str) -> Result<Vec<u8>>;
    fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>>;

    /// A smaller or unsigned integer.
    fn narrow<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T> {
        let value = self.int(column)?;
        T::try_from(value).map_err(|_| unreadable(column, value))
    }

    fn opt_narrow<T: TryFrom<i64>>(&self, column: &'static str) -> Result<Option<T>> {
        let Some(value) = self.opt_int(column)? else { return Ok(None) };
        T::try_from(value).map(Some).map_err(|_| unreadable(column, value))
    }

    fn flag(&self, column: &'static str) -> Result<bool> {
        Ok(self.int(column)? != 0)
    }

    /// A word, number or id in its text form.
    fn word<T: FromStr>(&self, column: &'static str) -> Result<T> {
        let text = self.text(column)?;
        text.parse().map_err(|_| unreadable(column, text))
    }

    fn opt_word<T: FromStr>(&self, column: &'static str) -> Result<Option<T>> {
        let Some(text) = self.opt_text(column)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| unreadable(column, text))
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T> {
        let text = self.text(column)?;
        serde_json::from_str(&text).map_err(|_| unreadable(column, text))
    }

    fn time(&self, column: &'static str) -> Result<DateTime<Utc>> {
        time_of(column, self.int(column)?)
    }

    fn opt_time(&self, column: &'static str) -> Result<Option<DateTime<Utc>>> {
        let Some(micros) = self.opt_int(column)? else { return Ok(None) };
        DateTime::from_timestamp_micros(micros).map(Some).ok_or_else(|| unreadable(column, micros))
    }

    fn amount(&self, column: &'static str) -> Result<Decimal> {
        Ok(from_micros(self.int(column)?))
    }

    /// A derived identifier.
    fn id<T>(&self, column: &'static str, from_bytes: fn([u8; 16]) -> T) -> Result<T> {
        let bytes = self.bytes(column)?;
        <[u8; 16]>::try_from(bytes).map(from_bytes).map_err(|bytes| unreadable(column, hex::encode(bytes)))
    }

    fn opt_id<T>(&self, column: &'static str, from_bytes: fn([u8; 16]) -> T) -> Result<Option<T>> {
        let Some(bytes) = self.opt_bytes(column)? else { return Ok(None) };
        <[u8; 16]>::try_from(bytes)
            .map(|bytes| Some(from_bytes(bytes)))
            .map_err(|bytes| unreadable(column, hex::encode(bytes)))
    }
}

impl Columns for AnyRow {
    fn int(&self, column: &'static str) -> Result<i64> {
        Ok(self.try_get(column)?)
    }

    fn opt_int(&self, column: &'static str) -> Result<Option<i64>> {
        Ok(self.try_get(column)?)
    }

    fn text(&self, column: &'static str) -> Result<String> {
        Ok(self.try_get(column)?)
    }

    fn opt_text(&self, column: &'static str) -> Result<Option<String>> {
        Ok(self.try_get(column)?)
    }

    fn bytes(&self, column: &'static str) -> Result<Vec<u8>> {
        Ok(self.try_get(column)?)
    }

    fn opt_bytes(&self, column: &'static str) -> Result<Option<Vec<u8>>> {
        Ok(self.try_get(column)?)
    }
}

/// A time as the database keeps it.
pub(crate) fn time_of(column: &'static str, micros: i64) -> Result<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| unreadable(column, micros))
}

pub(crate) fn unreadable(column: &str, found: impl ToString) -> StoreError {
    StoreError::Unreadable { column: column.to_owned(), found: found.to_string() }
}

/// An unsigned number as the database keeps it.
pub(crate) fn signed(what: &'static str, value: u64) -> Result<i64> {
    i64::try_from(value).map_err(|_| StoreError::TooLarge { what, value })
}

/// A count as the database keeps it; no collection of ours is longer than 63 bits.
pub(crate) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// An amount in millionths; `object` names whose it is if it does not fit.
pub(crate) fn micros(amount: Decimal, object: impl FnOnce() -> String) -> Result<i64> {
    to_micros(amount).map_err(|source: MoneyError| StoreError::Amount { object: object(), source })
}

/// Lists of words and ids are kept as JSON; ours always serialise.
pub(crate) fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("lists of texts are JSON")
}
