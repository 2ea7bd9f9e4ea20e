//! Cursors of a connection: answers that clients fetch piece by piece, such as psycopg's server-side cursors.
//!
//! A cursor has its whole answer when it is declared, within the limits of any answer: what is fetched later is of one moment.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Field;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldInfo, Response, Tag};
use pgwire::error::PgWireResult;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::{Connection, bytes_of, check_name, checked, error, given};
use super::encode;
use super::extended::PORTALS_MAX;
use super::form::Form;
use super::question::{Asker, Question};
use crate::QueryResult;
use crate::access::Access;

/// A cursor from which nothing is fetched for so long is closed: its answer is held in the memory of all connections.
const IDLE_MAX: Duration = Duration::from_secs(10 * 60);

/// Ends with its cursor.
struct Watch(tokio::task::AbortHandle);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The cursors of one connection, by name.
#[derive(Default)]
pub(super) struct Cursors {
    by_name: HashMap<String, Cursor>,
    /// How many were declared.
    n_declared: u64,
}

struct Cursor {
    /// What is not fetched yet.
    rest: QueryResult,
    labels: Vec<Option<String>>,
    access: Access,
    /// WITH HOLD: stays when the transaction ends.
    is_held: bool,
    /// Of each row, about.
    bytes_of_row: usize,
    /// Which of the connection's cursors it is: another one may get its name.
    number: u64,
    n_fetches: u64,
    _closed_when_idle: Watch,
    /// Shared with what was fetched and is not sent yet.
    held: Arc<OwnedSemaphorePermit>,
}

impl Cursors {
    pub(super) fn end_transaction(&mut self) {
        self.by_name.retain(|_, cursor| cursor.is_held);
    }

    pub(super) fn close_all(&mut self) {
        self.by_name.clear();
    }
}

impl Cursor {
    /// The next rows; `None`: all.
    fn next(&mut self, rows: Option<usize>) -> QueryResult {
        let mut left = rows.unwrap_or(usize::MAX);
        let mut taken: Vec<RecordBatch> = Vec::new();
        let mut rest = std::mem::take(&mut self.rest.batches).into_iter();
        for batch in rest.by_ref() {
            let n_rows = batch.num_rows();
            if n_rows > left {
                taken.push(batch.slice(0, left));
                self.rest.batches.push(batch.slice(left, n_rows - left));
                break;
            }
            left -= n_rows;
            taken.push(batch);
        }
        self.rest.batches.extend(rest);
        QueryResult::new(self.rest.schema.as_ref().clone(), taken)
    }
}

impl Connection {
    /// Carries out a statement about a cursor that is there; `None`: it is about something else.
    pub(super) fn of_cursor(
        &self,
        question: &Question,
        asker: &Asker,
        format: &Format,
    ) -> PgWireResult<Option<(Response, usize)>> {
        match &question.form {
            Form::Fetch { name, rows } => self.fetch(name, *rows, asker, format).map(Some),
            Form::Close { name } => {
                let is_gone = self.state(|state| match name {
                    Some(name) => state.cursors.by_name.remove(name).is_some(),
                    None => {
                        state.cursors.close_all();
                        true
                    }
                });
                match name {
                    Some(name) if !is_gone => Err(unknown(name)),
                    _ => Ok(Some((Response::Execution(Tag::new("CLOSE CURSOR")), 0))),
                }
            }
            Form::Rows | Form::Copy(_) | Form::Declare { .. } => Ok(None),
        }
    }

    /// The next rows, and about their bytes.
    fn fetch(
        &self,
        name: &str,
        rows: Option<usize>,
        asker: &Asker,
        format: &Format,
    ) -> PgWireResult<(Response, usize)> {
        let fetched = self.state(|state| {
            let cursor = state.cursors.by_name.get_mut(name).ok_or_else(|| unknown(name))?;
            if cursor.access != asker.access {
                return Err(error("34000", "your rights have changed; ask again"));
            }
            cursor.n_fetches += 1;
            let result = cursor.next(rows);
            let bytes = result.n_rows().saturating_mul(cursor.bytes_of_row);
            Ok((result, bytes, cursor.labels.clone(), cursor.held.clone()))
        });
        let (result, bytes, labels, held) = fetched?;
        let mut response = given(result, &labels, format, Some(held));
        response.set_command_tag("FETCH");
        Ok((Response::Query(response), bytes))
    }

    /// Keeps an answer to be fetched from.
    pub(super) fn declare(
        self: &Arc<Self>,
        name: &str,
        is_held: bool,
        result: QueryResult,
        question: &Question,
        access: Access,
    ) -> PgWireResult<Response> {
        check_name(Some(name))?;
        if !is_held && !self.state(|state| state.in_transaction) {
            return Err(error("25P01", "a cursor is declared in a transaction, after BEGIN, or WITH HOLD"));
        }
        let held = Arc::new(self.reserve(&result)?);
        let labels = checked(&question.labels, result.columns.len());
        let bytes_of_row = bytes_of(&result).div_ceil(result.n_rows().max(1));
        self.state(|state| {
            if state.cursors.by_name.contains_key(name) {
                return Err(error("42P03", format!("cursor {name:?} is there already; close it first")));
            }
            if state.cursors.by_name.len() >= PORTALS_MAX {
                return Err(error("53000", format!("a connection has {PORTALS_MAX} cursors; close some")));
            }
            state.cursors.n_declared += 1;
            let number = state.cursors.n_declared;
            let cursor = Cursor {
                rest: result,
                labels,
                access,
                is_held,
                bytes_of_row,
                number,
                n_fetches: 0,
                _closed_when_idle: self.close_when_idle(name.to_owned(), number),
                held,
            };
            state.cursors.by_name.insert(name.to_owned(), cursor);
            Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
        })
    }

    /// Closes a cursor once nothing was fetched from it for too long.
    fn close_when_idle(self: &Arc<Self>, name: String, number: u64) -> Watch {
        let connection = Arc::downgrade(self);
        let watching = tokio::spawn(async move {
            let mut n_fetches = 0;
            loop {
                tokio::time::sleep(IDLE_MAX).await;
                let Some(connection) = connection.upgrade() else { return };
                let goes_on = connection.state(|state| {
                    let cursor = state.cursors.by_name.get(&name).filter(|cursor| cursor.number == number);
                    let now = cursor.map(|cursor| cursor.n_fetches)?;
                    if now == n_fetches {
                        state.cursors.by_name.remove(&name);
                        return None;
                    }
                    Some(now)
                });
                match goes_on {
                    Some(now) => n_fetches = now,
                    None => return,
                }
            }
        });
        Watch(watching.abort_handle())
    }

    /// The columns of a cursor; none where there is no such one.
    pub(super) fn columns_of_cursor(&self, name: &str) -> Vec<Arc<Field>> {
        self.state(|state| {
            let cursor = state.cursors.by_name.get(name);
            cursor.map(|cursor| cursor.rest.schema.fields().iter().cloned().collect()).unwrap_or_default()
        })
    }

    /// The same as a client is told of them.
    pub(super) fn fields_of_cursor(&self, name: &str) -> Option<Vec<FieldInfo>> {
        self.state(|state| {
            let cursor = state.cursors.by_name.get(name)?;
            let columns = cursor.rest.schema.fields().iter();
            Some(encode::fields(columns, &cursor.labels, &Format::UnifiedText))
        })
    }
}

fn unknown(name: &str) -> pgwire::error::PgWireError {
    error(
        "34000",
        format!(
            "there is no cursor {name:?}; it ends with its transaction, with CLOSE, or when nothing is fetched for {} minutes",
            IDLE_MAX.as_secs() / 60
        ),
    )
}
