//! What one person may see: the rows of one tenant or of all, numbers whole or masked, prices or none.
//!
//! The columns are wrapped before a statement sees them. So a filter compares masked values, and no function, error or plan can
//! show what is below.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Column, Result as DataFusionResult, ScalarValue};
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, Operator, ScalarUDF, TableProviderFilterPushDown, TableType, Volatility,
    create_udf,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PhysicalExpr, PlanProperties};
use datafusion::prelude::{cast, col, lit};
use model::TenantId;

use crate::table::Guard;

/// Letters of a number that stay at its beginning and at its end.
const KEPT: (usize, usize) = (4, 2);
/// So many digits in a row, in a text, may be a telephone number.
const NUMBER_DIGITS_MIN: usize = 7;

/// What one person may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// The rows of this tenant alone; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Whole telephone numbers; without it they are masked.
    pub numbers: bool,
    /// What customers and resellers pay; without it NULL.
    pub customer_prices: bool,
    /// What carriers are owed; without it NULL.
    pub carrier_prices: bool,
    /// Postings and invoices.
    pub books: bool,
    /// Alerts.
    pub fraud_desk: bool,
    /// Rates.
    pub tariffs: bool,
}

impl Access {
    /// Everything: for the operator, and for the program itself.
    pub const WHOLE: Access = Access {
        tenant: None,
        numbers: true,
        customer_prices: true,
        carrier_prices: true,
        books: true,
        fraud_desk: true,
        tariffs: true,
    };

    /// Whether there is a table of this name for its holder.
    pub(crate) fn may_read(&self, table: &str) -> bool {
        match table {
            "postings" | "call_postings" | "other_postings" | "invoices" | "invoice_lines" => self.books,
            "alerts" | "call_marks" => self.fraud_desk,
            "rates" => self.tariffs,
            _ => true,
        }
    }

    /// `all` as its holder may see it; `columns` are those of `all`, in their order.
    pub(crate) fn restrict(
        &self,
        all: DataFrame,
        columns: impl Iterator<Item = (&'static str, Guard)>,
    ) -> DataFusionResult<DataFrame> {
        if *self == Access::WHOLE {
            return Ok(all);
        }
        let columns: Vec<(&str, Guard)> = columns.collect();
        let all = match self.tenant {
            Some(tenant) if columns.iter().any(|(name, _)| *name == "tenant") => {
                all.filter(col("tenant").eq(lit(tenant.0)))?
            }
            Some(_) | None => all,
        };
        let schema = all.schema().clone();
        let seen = columns
            .into_iter()
            .map(|(name, guard)| {
                let nothing = || {
                    let data_type = schema.field_with_unqualified_name(name)?.data_type().clone();
                    Ok::<Expr, DataFusionError>(cast(lit(ScalarValue::Null), data_type).alias(name))
                };
                match guard {
                    Guard::Number if !self.numbers => {
                        Ok(masking("masked_number", masked).call(vec![col(name)]).alias(name))
                    }
                    Guard::Prose if !self.numbers => {
                        Ok(masking("masked_text", masked_text).call(vec![col(name)]).alias(name))
                    }
                    Guard::CustomerPrice if !self.customer_prices => nothing(),
                    Guard::CarrierPrice if !self.carrier_prices => nothing(),
                    Guard::AnyPrice if !(self.customer_prices && self.carrier_prices) => nothing(),
                    Guard::Open | Guard::Number | Guard::Prose => Ok(col(name)),
                    Guard::CustomerPrice | Guard::CarrierPrice | Guard::AnyPrice => Ok(col(name)),
                }
            })
            .collect::<DataFusionResult<Vec<Expr>>>()?;
        all.select(seen)
    }
}

impl Access {
    /// The table of what [`Access::restrict`] left. Where rows are left out, a statement's own filter sees none of them: it runs behind
    /// a barrier that nothing is pushed through, since what it made of the others would be told by its errors.
    pub(crate) fn table(&self, seen: DataFrame) -> Arc<dyn TableProvider> {
        let view = seen.into_view();
        if self.tenant.is_some() { Arc::new(Barrier { view }) } else { view }
    }
}

/// A view that is planned by itself.
#[derive(Debug)]
struct Barrier {
    view: Arc<dyn TableProvider>,
}

#[async_trait]
impl TableProvider for Barrier {
    fn schema(&self) -> SchemaRef {
        self.view.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // A comparison of times cannot fail, and with it only the days asked for are read.
        let of = |filter: &&Expr| {
            if compares_time(filter) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            }
        };
        Ok(filters.iter().map(of).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let filters: Vec<Expr> = filters.iter().filter(|filter| compares_time(filter)).cloned().collect();
        Ok(Arc::new(BarrierExec { input: self.view.scan(state, projection, &filters, limit).await? }))
    }
}

fn compares_time(filter: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = filter else { return false };
    let is_time = |column: &Column| matches!(column.name.as_str(), "day" | "start_at");
    matches!(op, Operator::Eq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
        && matches!((left.as_ref(), right.as_ref()),
            (Expr::Column(column), Expr::Literal(..)) | (Expr::Literal(..), Expr::Column(column)) if is_time(column))
}

/// Gives on what it is given, and takes no filter: the planner pushes them down once more after the tables have been planned.
#[derive(Debug)]
struct BarrierExec {
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BarrierExec")
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let [input] = <[_; 1]>::try_from(children)
            .map_err(|_| DataFusionError::Internal("a barrier has one input".to_owned()))?;
        Ok(Arc::new(BarrierExec { input }))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> DataFusionResult<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}

/// Who may see a column of `calls`.
pub(crate) fn guard_of_call_column(name: &str) -> Guard {
    match name {
        "user_to_user"
        | "source_number"
        | "source_user"
        | "source_user_out"
        | "destination_number"
        | "destination_user"
        | "destination_user_out"
        | "dialed" => Guard::Number,
        "sip_call_id" | "source_user_agent" | "customer_prefix" | "carrier_prefix" | "reseller_prefix"
        | "customer_in_prefix" | "reseller_in_prefix" | "carrier_in_prefix" | "reason" | "refused_by"
        | "preferred_identity" | "history_info" | "stir" | "peer_auth_user" | "asserted_identity"
        | "diversion" | "foreign_key" => Guard::Prose,
        "customer_cost"
        | "free_cash"
        | "reseller_cost"
        | "customer_in_cost"
        | "reseller_in_cost"
        | "reseller_free_cash"
        | "customer_in_free_cash"
        | "reseller_in_free_cash" => Guard::CustomerPrice,
        "carrier_cost" | "carrier_in_cost" | "carrier_free_cash" | "carrier_in_free_cash" => {
            Guard::CarrierPrice
        }
        "margin" => Guard::AnyPrice,
        _ => Guard::Open,
    }
}

fn masking(name: &'static str, mask: fn(&str) -> String) -> ScalarUDF {
    text_function(name, move |text| Some(mask(text)))
}

/// A function from a text to a text or nothing; nothing stays nothing.
pub(crate) fn text_function(
    name: &'static str,
    of: impl Fn(&str) -> Option<String> + Send + Sync + 'static,
) -> ScalarUDF {
    let run = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let Some(texts) = arrays.first().and_then(|array| array.as_string_view_opt()) else {
            return Err(DataFusionError::Execution(format!("{name} takes one text")));
        };
        let mut builder = StringViewBuilder::with_capacity(texts.len());
        for text in texts {
            builder.append_option(text.and_then(&of));
        }
        let array: ArrayRef = Arc::new(builder.finish());
        if arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_))) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&array, 0)?));
        }
        Ok(ColumnarValue::Array(array))
    };
    create_udf(name, vec![DataType::Utf8View], DataType::Utf8View, Volatility::Immutable, Arc::new(run))
}

/// The number with its middle hidden: the first four and the last two digits, as in the log and on the console. A short one is
/// hidden whole.
fn masked(number: &str) -> String {
    let letters: Vec<char> = number.chars().collect();
    if letters.len() <= KEPT.0 + KEPT.1 {
        return if letters.is_empty() { String::new() } else { "…".to_owned() };
    }
    let head: String = letters[..KEPT.0].iter().collect();
    let tail: String = letters[letters.len() - KEPT.1..].iter().collect();
    format!("{head}…{tail}")
}

/// The text with every run of digits that may be a number masked.
fn masked_text(text: &str) -> String {
    by_run(text, |run| {
        let digits: String = run.chars().filter(char::is_ascii_digit).collect();
        if digits.len() < NUMBER_DIGITS_MIN || is_address(run) { run.to_owned() } else { masked(&digits) }
    })
}

/// Whether it is an IPv4 address, which no number is written like.
pub(crate) fn is_address(run: &str) -> bool {
    run.parse::<std::net::Ipv4Addr>().is_ok()
}

/// A text with each of its runs of digits in other words. People write `660-555-123`: between two digits of a run there may be one
/// space, hyphen, point or slash.
pub(crate) fn by_run(text: &str, of: impl Fn(&str) -> String) -> String {
    let mut made = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|letter: char| letter.is_ascii_digit()) {
        made.push_str(&rest[..start]);
        rest = &rest[start..];
        let bytes = rest.as_bytes();
        let mut end = 0;
        loop {
            let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
            if is_digit(end) {
                end += 1;
            } else if matches!(bytes.get(end), Some(b' ' | b'-' | b'.' | b'/')) && is_digit(end + 1) {
                end += 2;
            } else {
                break;
            }
        }
        made.push_str(&of(&rest[..end]));
        rest = &rest[end..];
    }
    made.push_str(rest);
    made
}
