//! Cursors of a connection: answers that clients fetch piece by piece, such as psycopg's server-side cursors.
//!
//! A cursor has its whole answer when it is declared, within the limits of any answer: what is fetched later is of one moment.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::Field;
use pgwire::api::portal::Format;
use pgwire::api::results::{FieldInfo, Response, Tag};
use pgwire::error::PgWireResult;
use tokio::sync::OwnedSemaphorePermit;

use super::connection::{Connection, check_name, checked, error, given};
use super::encode;
use super::extended::PORTALS_MAX;
use super::form::Form;
use super::question::{Asker, Question};
use crate::QueryResult;
use crate::access::Access;

/// The cursors of one connection, by name.
#[derive(Default)]
pub(super) struct Cursors(HashMap<String, Cursor>);

struct Cursor {
    /// What is not fetched yet.
    rest: QueryResult,
    labels: Vec<Option<String>>,
    access: Access,
    /// WITH HOLD: stays when the transaction ends.
    is_held: bool,
    _held: OwnedSemaphorePermit,
}

impl Cursors {
    pub(super) fn end_transaction(&mut self) {
        self.0.retain(|_, cursor| cursor.is_held);
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
    ) -> PgWireResult<Option<Response>> {
        match &question.form {
            Form::Fetch { name, rows } => self.fetch(name, *rows, asker, format).map(Some),
            Form::Close { name } => {
                let is_gone = self.state(|state| match name {
                    Some(name) => state.cursors.0.remove(name).is_some(),
                    None => {
                        state.cursors.0.clear();
                        true
                    }
                });
                match name {
                    Some(name) if !is_gone => Err(unknown(name)),
                    _ => Ok(Some(Response::Execution(Tag::new("CLOSE CURSOR")))),
                }
            }
            Form::Rows | Form::Copy(_) | Form::Declare { .. } => Ok(None),
        }
    }

    fn fetch(
        &self,
        name: &str,
        rows: Option<usize>,
        asker: &Asker,
        format: &Format,
    ) -> PgWireResult<Response> {
        let fetched = self.state(|state| {
            let cursor = state.cursors.0.get_mut(name).ok_or_else(|| unknown(name))?;
            if cursor.access != asker.access {
                return Err(error("34000", "your rights have changed; ask again"));
            }
            Ok((cursor.next(rows), cursor.labels.clone()))
        });
        let (result, labels) = fetched?;
        let mut response = given(result, &labels, format, None);
        response.set_command_tag("FETCH");
        Ok(Response::Query(response))
    }

    /// Keeps an answer to be fetched from.
    pub(super) fn declare(
        &self,
        name: &str,
        is_held: bool,
        result: QueryResult,
        question: &Question,
        access: Access,
    ) -> PgWireResult<Response> {
        check_name(Some(name))?;
        let held = self.reserve(&result)?;
        let labels = checked(&question.labels, result.columns.len());
        self.state(|state| {
            if state.cursors.0.contains_key(name) {
                return Err(error("42P03", format!("cursor {name:?} is there already; close it first")));
            }
            if state.cursors.0.len() >= PORTALS_MAX {
                return Err(error("53000", format!("a connection has {PORTALS_MAX} cursors; close some")));
            }
            let cursor = Cursor { rest: result, labels, access, is_held, _held: held };
            state.cursors.0.insert(name.to_owned(), cursor);
            Ok(Response::Execution(Tag::new("DECLARE CURSOR")))
        })
    }

    /// The columns of a cursor; none where there is no such one.
    pub(super) fn columns_of_cursor(&self, name: &str) -> Vec<Arc<Field>> {
        self.state(|state| {
            let cursor = state.cursors.0.get(name);
            cursor.map(|cursor| cursor.rest.schema.fields().iter().cloned().collect()).unwrap_or_default()
        })
    }

    /// The same as a client is told of them.
    pub(super) fn fields_of_cursor(&self, name: &str) -> Option<Vec<FieldInfo>> {
        self.state(|state| {
            let cursor = state.cursors.0.get(name)?;
            let columns = cursor.rest.schema.fields().iter();
            Some(encode::fields(columns, &cursor.labels, &Format::UnifiedText))
        })
    }
}

fn unknown(name: &str) -> pgwire::error::PgWireError {
    error("34000", format!("there is no cursor {name:?}; it ends with its transaction, or with CLOSE"))
}
