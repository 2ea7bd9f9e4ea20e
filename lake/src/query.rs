//! SQL over the lake, read-only, within limits, always on the newest commit.
//!
//! In: SQL. Out: a result held in memory, or an error that says what to write instead. Nothing here writes.

use std::sync::Arc;
use std::time::Duration;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::SchemaError;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::dataframe::DataFrame;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{JoinType, LogicalPlan};
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext, col, lit};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use futures::StreamExt;

use crate::access::{Access, guard_of_call_column};
use crate::catalogue::{CALLS, CALLS_HISTORY, DOCUMENTATION, documentation, tables};
use crate::column::columns;
use crate::history::{History, Part, Snapshot, Superseded};
use crate::mirror::Mirror;
use crate::needle::FilterPlaces;
use crate::tables::MIRRORED;
use crate::tree::{self, Tree};
use crate::views::{VIEWS, functions};
use crate::{Lake, LakeConfig, LakeError, QueryResult, steps};

/// Disk that queries may spill to, in the system's temporary directory.
const SPILL_MAX_MIB: u64 = 10 * 1024;
/// Footers of files that are remembered, with their page indexes: those of a hundred large files. Read anew they cost a query some
/// milliseconds each.
const FOOTERS_MIB: usize = 128;
/// Rows a query works on at a time: measured 13 % faster than the library's 8192.
const BATCH_ROWS: usize = 32_768;
/// How often a query is run because files were merged away under it.
pub(crate) const QUERY_ATTEMPTS: u32 = 5;
/// Levels of an expression.
const DEPTH_MAX: usize = 250;
/// Points in a name: catalogue, schema, table, column.
const POINTS_MAX: usize = 3;
/// Names looking like the one asked for that an error lists.
const SUGGESTIONS_MAX: usize = 3;

const MIB: usize = 1024 * 1024;
const STORE_URL: &str = "lake://calls";
pub(crate) const CATALOG: &str = "tollbook";
pub(crate) const SCHEMA: &str = "public";

/// What queries share: memory limit, file access, cached footers of files.
pub(crate) struct Engine {
    tree: Tree,
    runtime: Arc<RuntimeEnv>,
    store: ObjectStoreUrl,
    /// Where bloom filters lie in files of calls.
    places: Arc<FilterPlaces>,
    memory_mib: usize,
    result_mib: usize,
    timeout: Duration,
}

impl Lake {
    /// Runs one read-only statement on what is committed now, whichever process committed it. Call it on a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`LakeError::ReadOnlySql`], [`LakeError::UnknownTable`], [`LakeError::UnknownColumn`] and [`LakeError::Sql`] for what
    /// the statement asks, [`LakeError::QueryTooLarge`] and [`LakeError::ResultTooLarge`] beyond the limits.
    pub async fn query(&self, sql: &str) -> Result<QueryResult, LakeError> {
        self.engine.query(sql, &Access::WHOLE).await
    }

    /// The same for somebody who may not see everything: tables, rows and values beyond `access` do not exist for the statement.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::query`], and [`LakeError::QueryTooSlow`].
    pub async fn query_as(&self, sql: &str, access: &Access) -> Result<QueryResult, LakeError> {
        check_depth(sql)?;
        match tokio::time::timeout(self.engine.timeout, self.engine.query(sql, access)).await {
            Ok(result) => result,
            // Dropped, the query ends wherever it is.
            Err(_) => Err(LakeError::QueryTooSlow { limit: self.engine.timeout }),
        }
    }
}

impl Engine {
    pub(crate) fn new(config: &LakeConfig, tree: Tree) -> Result<Self, LakeError> {
        let store = ObjectStoreUrl::parse(STORE_URL).map_err(internal)?;
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(config.query_memory_mib * MIB)))
            .with_metadata_cache_limit(FOOTERS_MIB * MIB)
            .with_max_temp_directory_size(SPILL_MAX_MIB * 1024 * 1024)
            .build_arc()
            .map_err(internal)?;
        runtime.register_object_store(store.as_ref(), tree.store()?);
        Ok(Self {
            tree,
            runtime,
            store,
            places: Arc::default(),
            memory_mib: config.query_memory_mib,
            result_mib: config.query_result_mib,
            timeout: config.query_timeout,
        })
    }

    pub(crate) async fn query(&self, sql: &str, access: &Access) -> Result<QueryResult, LakeError> {
        let mut before = None;
        for _ in 0..QUERY_ATTEMPTS {
            let snapshot = self.snapshot().await?;
            match self.run(snapshot.clone(), sql, access).await {
                Err(error) if snapshot.has_moved() && before != Some(snapshot.generation()) => {
                    before = Some(snapshot.generation());
                    tracing::debug!(%error, "lake files were merged under a query; asking again");
                }
                result => return result,
            }
        }
        Err(LakeError::Moving { attempts: QUERY_ATTEMPTS })
    }

    async fn run(
        &self,
        snapshot: Arc<Snapshot>,
        sql: &str,
        access: &Access,
    ) -> Result<QueryResult, LakeError> {
        let context = self.session(snapshot, sql, access, true).await.map_err(internal)?;
        let frame = context.sql_with_options(sql, read_only()).await;
        let frame = frame.map_err(|error| self.explain(&error, access))?;
        check_measured(frame.logical_plan(), access)?;
        self.collect(frame, access).await
    }

    /// What went wrong, in words for whoever asked.
    pub(crate) fn explain(&self, error: &DataFusionError, access: &Access) -> LakeError {
        let found = explain(error, access, self.memory_mib);
        let LakeError::Sql { message } = found else { return found };
        let of_store = match self.tree {
            Tree::Disk(_) => None,
            Tree::Bucket(_) => tree::of_query(self.tree.place(), &message),
        };
        of_store.unwrap_or(LakeError::Sql { message })
    }

    /// The newest commit.
    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, LakeError> {
        let tree = self.tree.clone();
        Ok(Arc::new(crate::blocking(move || Snapshot::take(&tree)).await?))
    }

    /// Refuses a result of `bytes` in memory that is more than one may have.
    pub(crate) fn check_size(&self, bytes: usize) -> Result<(), LakeError> {
        if bytes > self.result_mib * MIB {
            return Err(LakeError::ResultTooLarge { limit_mib: self.result_mib });
        }
        Ok(())
    }

    /// KiB of an answer at most.
    pub(crate) fn result_kib(&self) -> usize {
        self.result_mib * 1024
    }

    /// How long a query of a person may run.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Runs what was planned, to its end or to its limits.
    pub(crate) async fn collect(&self, frame: DataFrame, access: &Access) -> Result<QueryResult, LakeError> {
        let explain = |error: &DataFusionError| self.explain(error, access);
        let (mut state, plan) = frame.into_parts();
        if steps::asks_for_rows(&plan) {
            state.config_mut().options_mut().execution.parquet.pushdown_filters = true;
        }
        let frame = DataFrame::new(state, plan);
        let schema = frame.schema().as_arrow().clone();
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(|error| explain(&error))?;
        let plan = interruptible(plan).map_err(|error| explain(&error))?;
        let mut stream = execute_stream(plan, task).map_err(|error| explain(&error))?;
        let mut batches: Vec<RecordBatch> = Vec::new();
        let mut bytes = 0;
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| explain(&error))?;
            bytes += batch.get_array_memory_size();
            self.check_size(bytes)?;
            batches.push(batch);
        }
        Ok(QueryResult::new(schema, batches))
    }

    /// A session in which the tables exist that `sql` can mean and that `access` allows, as far as it allows.
    /// With `describes_itself` it has the library's own `information_schema`.
    pub(crate) async fn session(
        &self,
        snapshot: Arc<Snapshot>,
        sql: &str,
        access: &Access,
        describes_itself: bool,
    ) -> DataFusionResult<SessionContext> {
        let mut config = SessionConfig::new()
            .with_information_schema(describes_itself)
            .with_default_catalog_and_schema(CATALOG, SCHEMA)
            .with_batch_size(BATCH_ROWS);
        // 0.1 in a query is a tenth, not a binary fraction near it.
        config.options_mut().sql_parser.parse_float_as_decimal = true;
        let context = SessionContext::new_with_config_rt(config, self.runtime.clone());
        for function in functions() {
            context.register_udf(function);
        }
        context.register_udf(crate::day_clock::date_part());
        for rule in steps::rules() {
            context.add_optimizer_rule(rule);
        }
        let wanted = wanted(sql, describes_itself);
        let is_wanted = |name: &str| access.may_read(name) && wanted.contains(&name);
        if is_wanted(CALLS) || is_wanted(CALLS_HISTORY) {
            let columns = || columns().into_iter().map(|doc| (doc.name, guard_of_call_column(doc.name)));
            let history =
                |part| History::new(snapshot.clone(), self.store.clone(), self.places.clone(), part);
            let read = |part| context.read_table(Arc::new(history(part)));
            let all = read(Part::All)?;
            let newest = match snapshot.superseded() {
                Superseded::Nowhere => read(Part::Current)?,
                Superseded::Within(days) => {
                    let part = |are_meant| Part::Days { days: days.clone(), are_meant };
                    let within = newest_revisions(read(part(true))?, read(Part::WithCorrections)?)?;
                    read(part(false))?.union(within)?
                }
                Superseded::Anywhere => newest_revisions(read(Part::Current)?, read(Part::WithCorrections)?)?,
            };
            // The table itself says more than a view of it: that its row count is known, for one.
            if *access == Access::WHOLE {
                context.register_table(CALLS_HISTORY, Arc::new(history(Part::All)))?;
            } else {
                context.register_table(CALLS_HISTORY, access.table(access.restrict(all, columns())?))?;
            }
            context.register_table(CALLS, access.table(access.restrict(newest, columns())?))?;
        }
        for table in MIRRORED.into_iter().filter(|table| is_wanted(table.name)) {
            let mirror = Mirror::new(table, &snapshot, self.store.clone());
            let columns = table.columns.iter().map(|column| (column.doc.name, column.guard));
            let seen = access.restrict(context.read_table(Arc::new(mirror))?, columns)?;
            context.register_table(table.name, access.table(seen))?;
        }
        for view in VIEWS.iter().filter(|view| is_wanted(view.table.name)) {
            let frame = view.plan(&context).await?;
            context.register_table(view.table.name, frame.into_view())?;
        }
        if is_wanted(DOCUMENTATION) {
            context.register_table(DOCUMENTATION, Arc::new(documentation(access)?))?;
        }
        Ok(context)
    }
}

/// Refuses a statement that is very deep: each operator of a chain, each table, select and set operation is a level of a tree, and a
/// level costs stack. What ran out of stack would end the process and not the statement.
pub(crate) fn check_depth(sql: &str) -> Result<(), LakeError> {
    // Both are tried by whoever parses it, and they do not see the same tokens. What neither can read is refused by the parser.
    let dialects: [&dyn Dialect; 2] = [&PostgreSqlDialect {}, &GenericDialect {}];
    for dialect in dialects {
        if let Ok(tokens) = Tokenizer::new(dialect, sql).tokenize() {
            check_tokens(&tokens)?;
        }
    }
    Ok(())
}

/// A bracket, or a CASE, that is open.
#[derive(Default)]
struct Open {
    is_case: bool,
    /// Commas stand between tables here, each of which is joined to those before.
    is_from: bool,
    /// Operators in the chain that is being read.
    chain: usize,
}

#[expect(clippy::wildcard_enum_match_arm, reason = "whatever word SQL gains is counted as the deepest")]
fn check_tokens(tokens: &[Token]) -> Result<(), LakeError> {
    let mut opened = vec![Open::default()];
    // Of the whole statement, and never forgotten: tables, selects, unions.
    let mut relations = 0_usize;
    // Of all brackets that are open.
    let mut chained = 0_usize;
    let mut before = &Token::EOF;
    let mut points = 0_usize;
    for token in tokens {
        let mut level = level_of(token);
        // a.b.c is one name; a point behind anything else reaches into a value.
        match token {
            Token::Whitespace(_) => continue,
            Token::Period => {
                points += 1;
                if !matches!(before, Token::Word(_)) || points > POINTS_MAX {
                    level = Level::Deeper;
                }
            }
            Token::Word(_) if *before == Token::Period => {}
            _ => points = 0,
        }
        before = token;
        let Some(innermost) = opened.last_mut() else { break };
        match level {
            Level::Same => {}
            Level::Deeper => (innermost.chain, chained) = (innermost.chain + 1, chained + 1),
            Level::Opens { is_case } => {
                // a[1][1] goes deeper by each bracket, although each is closed again.
                let is_subscript = u8::from(*token == Token::LBracket);
                innermost.chain += usize::from(is_subscript);
                chained += usize::from(is_subscript);
                opened.push(Open { is_case, ..Open::default() });
            }
            Level::Closes { is_case } => {
                // What is left open within a bracket ends with it; an END that no CASE began ends nothing.
                if is_case && !innermost.is_case {
                    continue;
                }
                while opened.len() > 1 {
                    let Some(closed) = opened.pop() else { break };
                    chained -= closed.chain;
                    if closed.is_case == is_case {
                        break;
                    }
                }
            }
            Level::Branch if !innermost.is_case => {}
            Level::Comma if innermost.is_from => {
                relations += 1;
                chained -= std::mem::take(&mut innermost.chain);
            }
            Level::Branch | Level::Comma => chained -= std::mem::take(&mut innermost.chain),
            Level::Clause => innermost.is_from = false,
            Level::Relation { is_from } => {
                relations += 1;
                innermost.is_from = is_from;
            }
        }
        if relations + chained > DEPTH_MAX {
            return Err(LakeError::Sql {
                message: format!(
                    "expressions go more than {DEPTH_MAX} operators deep; use IN (...) or a join with VALUES"
                ),
            });
        }
    }
    Ok(())
}

/// What a token does to the depth of a statement.
enum Level {
    Opens {
        is_case: bool,
    },
    Closes {
        is_case: bool,
    },
    Same,
    /// An operator: what follows is one level up or down from what was before.
    Deeper,
    /// Another item of a list begins.
    Comma,
    /// Another expression of a CASE begins.
    Branch,
    /// The tables have been named.
    Clause,
    /// A table, a select or a window more, on top of the others.
    Relation {
        is_from: bool,
    },
}

/// Any keyword may join two expressions, and there are more of them with each version of the parser: those that do not are named.
#[expect(clippy::wildcard_enum_match_arm, reason = "whatever word SQL gains is counted as the deepest")]
fn level_of(token: &Token) -> Level {
    const HARMLESS: [&str; 18] = [
        "as",
        "asc",
        "by",
        "date",
        "desc",
        "day",
        "first",
        "inner",
        "last",
        "left",
        "name",
        "null",
        "nulls",
        "outer",
        "timestamp",
        "type",
        "true",
        "false",
    ];
    match token {
        Token::Word(word) if word.quote_style.is_none() => {
            let word_is_name = word.keyword == Keyword::NoKeyword;
            match word.value.to_lowercase().as_str() {
                "case" => Level::Opens { is_case: true },
                "end" => Level::Closes { is_case: true },
                "when" | "then" | "else" => Level::Branch,
                "from" | "join" => Level::Relation { is_from: true },
                "select" | "union" | "except" | "intersect" | "minus" | "over" | "values" | "table" => {
                    Level::Relation { is_from: false }
                }
                "where" | "group" | "having" | "order" | "limit" => Level::Clause,
                harmless if word_is_name || HARMLESS.contains(&harmless) => Level::Same,
                _ => Level::Deeper,
            }
        }
        Token::LParen | Token::LBracket => Level::Opens { is_case: false },
        Token::RParen | Token::RBracket => Level::Closes { is_case: false },
        Token::Comma | Token::SemiColon => Level::Comma,
        Token::Word(_)
        | Token::Whitespace(_)
        | Token::Period
        | Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::Placeholder(_)
        | Token::EOF => Level::Same,
        Token::VerticalBarRightAngleBracket => Level::Relation { is_from: false },
        // Whatever else there is may join two expressions.
        _ => Level::Deeper,
    }
}

/// What a statement was measured at counts rows that are not shown: `EXPLAIN ANALYZE` is for those who see everything.
pub(crate) fn check_measured(plan: &LogicalPlan, access: &Access) -> Result<(), LakeError> {
    if matches!(plan, LogicalPlan::Analyze(_)) && *access != Access::WHOLE {
        return Err(LakeError::Sql {
            message: "EXPLAIN ANALYZE is for users who may see everything; EXPLAIN works".to_owned(),
        });
    }
    Ok(())
}

/// What no statement may do here is not planned.
pub(crate) fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// The plan with a place to stop at behind every join: some make rows for hours from two small inputs without ever pausing, and
/// a query that does not pause cannot be stopped.
fn interruptible(plan: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let wrapped = plan.transform_up(|node| {
        Ok(if node.name().ends_with("JoinExec") {
            Transformed::yes(Arc::new(CooperativeExec::new(node)) as Arc<dyn ExecutionPlan>)
        } else {
            Transformed::no(node)
        })
    })?;
    Ok(wrapped.data)
}

/// The tables that a statement may mean: those whose names are in it, with what they are made of. All of them where it asks what
/// there is. A table is planned for each statement anew, and most statements need one.
fn wanted(sql: &str, describes_itself: bool) -> Vec<&'static str> {
    let sql = sql.to_lowercase();
    let asks_for_all =
        describes_itself && ["information_schema", "show"].iter().any(|word| sql.contains(word));
    let all = tables(&Access::WHOLE).into_iter().map(|table| table.name);
    let mut wanted: Vec<&str> = all.filter(|name| asks_for_all || sql.contains(name)).collect();
    for view in &VIEWS {
        if wanted.contains(&view.table.name) {
            wanted.extend(view.needs);
        }
    }
    wanted
}

/// Every row of `all` but those that a row of `corrected` supersedes. Corrections are few, so theirs is the small side.
fn newest_revisions(all: DataFrame, corrected: DataFrame) -> DataFusionResult<DataFrame> {
    let newest = corrected
        .filter(col("revision").gt(lit(0_i64)))?
        .aggregate(vec![col("cdr_id")], vec![max(col("revision")).alias("newest_revision")])?
        .select(vec![col("cdr_id").alias("corrected_cdr_id"), col("newest_revision")])?;
    // The left side is the one held in memory.
    newest.join_on(
        all,
        JoinType::RightAnti,
        [col("cdr_id").eq(col("corrected_cdr_id")), col("revision").lt(col("newest_revision"))],
    )
}

pub(crate) fn internal(error: impl std::fmt::Display) -> LakeError {
    LakeError::Internal { problem: error.to_string() }
}

/// What a person who wrote the statement needs to know.
fn explain(error: &DataFusionError, access: &Access, limit_mib: usize) -> LakeError {
    let root = error.find_root();
    let message = root.strip_backtrace();
    if let DataFusionError::SchemaError(schema_error, _) = root
        && let SchemaError::FieldNotFound { field, valid_fields } = schema_error.as_ref()
    {
        let valid: Vec<&str> = valid_fields.iter().map(|field| field.name.as_str()).collect();
        return LakeError::UnknownColumn { near: near(&field.name, valid), name: field.name.clone() };
    }
    if matches!(root, DataFusionError::ResourcesExhausted(_)) {
        return LakeError::QueryTooLarge { limit_mib };
    }
    for refused in ["DDL not supported: ", "DML not supported: ", "Statement not supported: "] {
        if let Some((_, statement)) = message.split_once(refused) {
            return LakeError::ReadOnlySql { statement: statement.trim().to_owned() };
        }
    }
    if let Some((_, rest)) = message.split_once("table '")
        && let Some((name, _)) = rest.split_once("' not found")
    {
        let name = name.strip_prefix(&format!("{CATALOG}.{SCHEMA}.")).unwrap_or(name).to_owned();
        return LakeError::UnknownTable {
            name,
            tables: tables(access).iter().map(|table| table.name.to_owned()).collect(),
        };
    }
    if let DataFusionError::SQL(syntax, _) = root {
        return LakeError::Sql { message: syntax.to_string() };
    }
    LakeError::Sql { message: root.message().into_owned() }
}

/// Names that look like `name` or contain it, most alike first.
fn near(name: &str, valid: Vec<&str>) -> Vec<String> {
    let name = name.to_lowercase();
    let known: Vec<&str> =
        if valid.is_empty() { columns().iter().map(|column| column.name).collect() } else { valid };
    let mut alike: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|candidate| {
            let edits = strsim::damerau_levenshtein(&name, candidate);
            let contained = candidate.contains(name.as_str()) && name.len() >= 3;
            (edits <= 2.max(name.len() / 3) || contained).then_some((edits, candidate))
        })
        .collect();
    alike.sort_unstable();
    alike.dedup();
    alike.into_iter().take(SUGGESTIONS_MAX).map(|(_, candidate)| candidate.to_owned()).collect()
}
