//! SQL: a question, its answer as a table or CSV, and the columns there are.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use lake::{ColumnDoc, QueryColumn, QueryResult};
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Rows shown in the page; the CSV has them all.
const ROWS_SHOWN: usize = 500;

/// A statement may run so long.
const STATEMENT_PATIENCE: Duration = Duration::from_secs(60);

/// Longest statement.
const STATEMENT_LETTERS_MAX: usize = 20_000;

/// Questions to begin with.
const EXAMPLES: [(&str, &str); 4] = [
    (
        "Revenue and margin by zone",
        "select customer_zone, count(*) as calls, sum(billed_seconds) as seconds, sum(customer_cost) as revenue, sum(margin) as margin\nfrom calls where customer_cost is not null group by 1 order by 4 desc limit 20",
    ),
    (
        "ASR, ACD and PDD by trunk",
        "select trunk, count(*) as attempts, round(100.0 * count(*) filter (where answered) / count(*), 1) as asr,\n  avg(duration_seconds) filter (where answered) as acd_seconds, avg(pdd_ms) as pdd_ms\nfrom calls where trunk is not null group by 1 order by 2 desc",
    ),
    (
        "Why calls failed today",
        "select cause, code, count(*) as calls from calls\nwhere not answered and day = cast(now() as date) group by 1, 2 order by 3 desc",
    ),
    (
        "Calls by hour",
        "select date_trunc('hour', start_at) as hour, count(*) as calls, count(*) filter (where answered) as answered\nfrom calls group by 1 order by 1 desc limit 48",
    ),
];

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
    examples: Vec<(&'static str, &'static str, String)>,
    columns: Vec<ColumnDoc>,
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
        match run(&shared, statement).await {
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
        question: if statement.is_empty() { EXAMPLES[0].1.to_owned() } else { statement.to_owned() },
        problem,
        answer,
        examples: EXAMPLES
            .iter()
            .map(|(name, sql)| (*name, *sql, format!("/sql?q={}", crate::pages::search::escaped(sql))))
            .collect(),
        columns: lake::columns(),
    })
}

/// The whole answer as CSV.
pub(crate) async fn csv(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(question): Query<Question>,
) -> Result<Response, Refusal> {
    require(&user, Right::Sql, "ask in SQL")?;
    let result = run(&shared, question.q.trim()).await?;
    let mut bytes = Vec::new();
    lake::write_csv(&result, &mut bytes).map_err(Refusal::failed)?;
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"answer.csv\""),
    ];
    Ok((headers, bytes).into_response())
}

/// Runs one statement, within its time.
pub(crate) async fn run(shared: &Shared, statement: &str) -> Result<QueryResult, Refusal> {
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
    match tokio::time::timeout(STATEMENT_PATIENCE, shared.desk.lake.query(statement)).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Refusal::Invalid(format!(
            "the statement ran longer than {} s and was stopped; ask for fewer days or columns",
            STATEMENT_PATIENCE.as_secs()
        ))),
    }
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
