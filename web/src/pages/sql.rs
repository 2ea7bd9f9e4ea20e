//! SQL: a question, its answer as a table or CSV, and the columns there are.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, TimeDelta, Utc};
use lake::{QueryColumn, QueryResult, TableDoc};
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Rows shown in the page; the CSV has them all.
const ROWS_SHOWN: usize = 500;

/// Longest statement.
const STATEMENT_LETTERS_MAX: usize = 20_000;

/// Days that a delivered query of the page asks about.
const DAYS_ASKED: i64 = 30;

/// The form.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Question {
    q: String,
}

#[derive(Template)]
#[template(path = "sql.html")]
struct Page {
    frame: Frame,
    question: String,
    problem: Option<String>,
    answer: Option<Answer>,
    saved: Vec<Audience>,
    tables: Vec<TableDoc>,
}

/// The delivered queries for one kind of people: title, meaning, link.
struct Audience {
    name: &'static str,
    queries: Vec<(&'static str, &'static str, String)>,
}

/// In the editor at first.
const FIRST: &str = "select day, count(*) as calls, count(*) filter (where answered) as answered\nfrom calls group by day order by day desc limit 30";

/// The delivered queries, for the days before `now`.
fn saved(now: DateTime<Utc>) -> Vec<Audience> {
    let from = now - TimeDelta::days(DAYS_ASKED);
    let mut audiences: Vec<Audience> = Vec::new();
    for query in lake::saved_queries() {
        let link = format!("/sql?q={}", crate::pages::search::escaped(&query.statement(from, now)));
        let entry = (query.title, query.says, link);
        match audiences.iter_mut().find(|audience| audience.name == query.audience) {
            Some(audience) => audience.queries.push(entry),
            None => audiences.push(Audience { name: query.audience, queries: vec![entry] }),
        }
    }
    audiences
}

struct Answer {
    columns: Vec<QueryColumn>,
    rows: Vec<Vec<(String, bool)>>,
    n_rows: usize,
    took_ms: u128,
    is_cut: bool,
    csv: String,
}

/// The editor, and the answer to what it holds.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(question): Query<Question>,
) -> Result<Response, Refusal> {
    require(&user, Right::Sql, "ask in SQL")?;
    let statement = question.q.trim();
    let (answer, problem) = if statement.is_empty() {
        (None, None)
    } else {
        let began = (shared.desk.clock)().mono;
        match run(&shared, &user, statement).await {
            Ok(result) => {
                let took = (shared.desk.clock)().mono.saturating_sub(began);
                (Some(answer_of(&result, took, statement)), None)
            }
            Err(Refusal::Invalid(why)) => (None, Some(why)),
            Err(why) => return Err(why),
        }
    };
    html(&Page {
        frame: Frame::of(&user, "/sql"),
        question: if statement.is_empty() { FIRST.to_owned() } else { statement.to_owned() },
        problem,
        answer,
        saved: saved((shared.desk.clock)().wall),
        tables: lake::table_docs(&user.role.lake_access()),
    })
}

/// The whole answer as CSV.
pub(crate) async fn csv(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(question): Query<Question>,
) -> Result<Response, Refusal> {
    require(&user, Right::Sql, "ask in SQL")?;
    let result = run(&shared, &user, question.q.trim()).await?;
    let mut bytes = Vec::new();
    lake::write_csv(&result, &mut bytes).map_err(Refusal::failed)?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"answer.csv\""),
    ];
    Ok((headers, bytes).into_response())
}

/// Runs one statement, within its time and what `user` may see.
async fn run(shared: &Shared, user: &SignedIn, statement: &str) -> Result<QueryResult, Refusal> {
    if statement.is_empty() {
        return Err(Refusal::Invalid(
            "there is no statement; write one, such as `select count(*) from calls`".into(),
        ));
    }
    if statement.len() > STATEMENT_LETTERS_MAX {
        return Err(Refusal::Invalid(format!(
            "the statement is longer than {STATEMENT_LETTERS_MAX} letters"
        )));
    }
    Ok(shared.desk.lake.query_as(statement, &user.role.lake_access()).await?)
}

fn answer_of(result: &QueryResult, took: Duration, statement: &str) -> Answer {
    let columns = result.columns.clone();
    let rows: Vec<Vec<(String, bool)>> = result
        .rows()
        .into_iter()
        .take(ROWS_SHOWN)
        .map(|row| {
            row.into_iter()
                .zip(&columns)
                .map(|(cell, column)| (cell.unwrap_or_default(), column.is_numeric))
                .collect()
        })
        .collect();
    Answer {
        n_rows: result.n_rows(),
        is_cut: result.n_rows() > rows.len(),
        columns,
        rows,
        took_ms: took.as_millis(),
        csv: format!("/sql.csv?q={}", crate::pages::search::escaped(statement)),
    }
}
