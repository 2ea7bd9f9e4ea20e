//! One statement of a connection: parsed, planned, asked.
//!
//! In: SQL. Out: the columns of its answer, or the answer. A statement is planned anew for each time it is asked, since each time it
//! reads the newest commit with the rights of that moment.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field};
use datafusion::common::ScalarValue;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParser, Statement as PlannerStatement};
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

use super::catalogue;
use super::form::{Form, form_of};
use super::functions::functions;
use super::labels::labels;
use super::rewrite::rewritten;
use super::settings::Settings;
use crate::access::Access;
use crate::history::Snapshot;
use crate::query::{Engine, QUERY_ATTEMPTS, check_depth, check_measured, internal, read_only};
use crate::{LakeError, QueryResult};

/// Statements in one message; more are refused.
const STATEMENTS_MAX: usize = 100;
/// Letters of one message's SQL.
const LETTERS_MAX: usize = 1024 * 1024;
/// How deep brackets of a statement may go: each level costs stack.
const DEPTH_MAX: usize = 60;

/// One statement.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) statement: Statement,
    /// Names of its columns, as PostgreSQL gives them; empty where only the plan can tell.
    pub(super) labels: Vec<Option<String>>,
    /// What becomes of its answer.
    pub(super) form: Form,
    sql: String,
    asks_catalogue: bool,
}

/// What the answer of a statement will look like.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) columns: Vec<Arc<Field>>,
    /// The types that its parameters need, `$1` first; `None` where any will do.
    pub(super) parameters: Vec<Option<DataType>>,
}

/// Whoever asks.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) name: String,
    pub(super) access: Access,
    pub(super) settings: Settings,
}

/// The statements of a text.
///
/// # Errors
///
/// [`LakeError::Sql`] for what is no SQL.
pub(super) fn questions(sql: &str, user: &str) -> Result<Vec<Question>, LakeError> {
    let refuse = |message: String| Err(LakeError::Sql { message });
    if sql.len() > LETTERS_MAX {
        return refuse(format!("a statement has at most {LETTERS_MAX} letters"));
    }
    check_depth(sql)?;
    let parsed = Parser::new(&PostgreSqlDialect {}).with_recursion_limit(DEPTH_MAX).try_with_sql(sql);
    let statements = match parsed.and_then(|mut parser| parser.parse_statements()) {
        Ok(statements) => statements,
        // What is ours alone, such as DESCRIBE.
        Err(why) => match DFParser::parse_sql(sql) {
            Ok(ours) => ours
                .into_iter()
                .map(|statement| match statement {
                    PlannerStatement::Statement(statement) => Ok(*statement),
                    _ => Err(LakeError::Sql { message: why.to_string() }),
                })
                .collect::<Result<Vec<_>, _>>()?,
            Err(_) => return refuse(why.to_string()),
        },
    };
    if statements.len() > STATEMENTS_MAX {
        return refuse(format!("one message has at most {STATEMENTS_MAX} statements"));
    }
    statements.into_iter().map(|statement| question(statement, user)).collect()
}

fn question(statement: Statement, user: &str) -> Result<Question, LakeError> {
    let (statement, form) = form_of(statement)?;
    // The names of what was written, before it is put in other words.
    let written = labels(&statement);
    let statement = rewritten(statement, user);
    let labels = if written.is_empty() { labels(&statement) } else { written };
    let sql = statement.to_string();
    let lower = sql.to_lowercase();
    let asks_catalogue = lower.contains("pg_catalog") || lower.contains("information_schema");
    Ok(Question { statement, labels, form, sql, asks_catalogue })
}

impl Question {
    /// What its answer will look like.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Lake::query`].
    pub(super) async fn describe(&self, engine: &Engine, asker: &Asker) -> Result<Described, LakeError> {
        let snapshot = engine.snapshot().await?;
        let frame = self.plan(engine, snapshot, asker).await?;
        let plan = frame.logical_plan();
        let explain = |error| engine.explain(&error, &asker.access);
        let parameters = ordered(plan.get_parameter_types().map_err(explain)?);
        let columns = plan.schema().fields().iter().cloned().collect();
        Ok(Described { columns, parameters })
    }

    /// Its answer on the newest commit. `values` are those of its parameters, `$1` first.
    ///
    /// # Errors
    ///
    /// Those of [`crate::Lake::query`], and [`LakeError::QueryTooSlow`] beyond the asker's `statement_timeout`.
    pub(super) async fn ask(
        &self,
        engine: &Engine,
        asker: &Asker,
        values: &[ScalarValue],
    ) -> Result<QueryResult, LakeError> {
        let limit = asker.settings.timeout();
        match tokio::time::timeout(limit, self.attempts(engine, asker, values)).await {
            Ok(answer) => answer,
            // Dropped, it ends wherever it is.
            Err(_) => Err(LakeError::QueryTooSlow { limit }),
        }
    }

    async fn attempts(
        &self,
        engine: &Engine,
        asker: &Asker,
        values: &[ScalarValue],
    ) -> Result<QueryResult, LakeError> {
        let mut before = None;
        for _ in 0..QUERY_ATTEMPTS {
            let snapshot = engine.snapshot().await?;
            match self.attempt(engine, snapshot.clone(), asker, values).await {
                Err(error) if snapshot.has_moved() && before != Some(snapshot.generation()) => {
                    before = Some(snapshot.generation());
                    tracing::debug!(%error, "lake files were merged under a query; asking again");
                }
                answer => return answer,
            }
        }
        Err(LakeError::Moving { attempts: QUERY_ATTEMPTS })
    }

    async fn attempt(
        &self,
        engine: &Engine,
        snapshot: Arc<Snapshot>,
        asker: &Asker,
        values: &[ScalarValue],
    ) -> Result<QueryResult, LakeError> {
        let mut frame = self.plan(engine, snapshot, asker).await?;
        if !values.is_empty() {
            let bound = frame.with_param_values(values.to_vec());
            frame = bound.map_err(|error| engine.explain(&error, &asker.access))?;
        }
        engine.collect(frame, &asker.access).await
    }

    async fn plan(
        &self,
        engine: &Engine,
        snapshot: Arc<Snapshot>,
        asker: &Asker,
    ) -> Result<DataFrame, LakeError> {
        let context = engine.session(snapshot, &self.sql, &asker.access, false).await.map_err(internal)?;
        for function in functions(&asker.access, &asker.settings) {
            context.register_udf(function);
        }
        if self.asks_catalogue {
            catalogue::register(&context, &asker.access, &asker.name, &asker.settings).map_err(internal)?;
        }
        let state = context.state();
        let planned: DataFusionResult<LogicalPlan> = async {
            let statement = PlannerStatement::Statement(Box::new(self.statement.clone()));
            let plan = state.statement_to_plan(statement).await?;
            read_only().verify_plan(&plan)?;
            Ok(plan)
        }
        .await;
        let plan = planned.map_err(|error| engine.explain(&error, &asker.access))?;
        check_measured(&plan, &asker.access)?;
        Ok(DataFrame::new(state, plan))
    }
}

/// The types by their number.
fn ordered(types: HashMap<String, Option<DataType>>) -> Vec<Option<DataType>> {
    let number = |name: &String| name.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
    let count = types.keys().filter_map(number).max().unwrap_or(0);
    // A statement that names $60000 alone is no reason for a list as long.
    let mut all = vec![None; count.min(usize::from(u16::MAX))];
    for (name, data_type) in types {
        if let Some(place) = number(&name).and_then(|number| all.get_mut(number.checked_sub(1)?)) {
            *place = data_type;
        }
    }
    all
}
