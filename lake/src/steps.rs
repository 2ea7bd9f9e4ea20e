//! How plans are made better than the library makes them: what is known of questions about calls.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, Result as DataFusionResult};
use datafusion::functions_aggregate::sum::sum_udaf;
use datafusion::logical_expr::expr::{AggregateFunction, AggregateFunctionParams};
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// Whether a statement asks for rows as they are, of which there are few: then columns are best read once it is known of which rows. What
/// adds up rows wants nearly all of them.
pub(crate) fn asks_for_rows(plan: &LogicalPlan) -> bool {
    let mut node = plan;
    loop {
        if matches!(node, LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_)) {
            return false;
        }
        match node.inputs()[..] {
            [input] => node = input,
            _ => return true,
        }
    }
}

/// Counts different texts in two steps: first each text of a group once, then how many there are. The library does so where nothing but
/// minima, maxima and sums are asked beside them, and else keeps a set of texts for each group, which is slow where there are many groups
/// and cannot be written to disk.
#[derive(Debug)]
pub(crate) struct DistinctBySteps;

impl OptimizerRule for DistinctBySteps {
    fn name(&self) -> &'static str {
        "count_distinct_texts_by_steps"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> DataFusionResult<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(aggregate) = &plan else { return Ok(Transformed::no(plan)) };
        match by_steps(aggregate)? {
            Some(stepped) => Ok(Transformed::yes(stepped)),
            None => Ok(Transformed::no(plan)),
        }
    }
}

const TEXT: &str = "__text";

/// `None` for an aggregate that the library does well, or that steps would change.
fn by_steps(aggregate: &Aggregate) -> DataFusionResult<Option<LogicalPlan>> {
    let Some(text) = the_text_counted(aggregate)? else { return Ok(None) };
    let named = |name: &str| Expr::Column(Column::from_name(name));
    let (mut groups, mut groups_again, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for (idx, group) in aggregate.group_expr.iter().enumerate() {
        let name = format!("__group_{idx}");
        groups.push(group.clone().alias(&name));
        groups_again.push(named(&name));
        shown.push(named(&name));
    }
    groups.push(text.clone().alias(TEXT));
    let (mut parts, mut wholes) = (Vec::new(), Vec::new());
    for (idx, expr) in aggregate.aggr_expr.iter().enumerate() {
        let Expr::AggregateFunction(function) = expr else { return Ok(None) };
        let whole = format!("__whole_{idx}");
        let over = |func, argument| {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                func,
                vec![argument],
                false,
                None,
                vec![],
                None,
            ))
        };
        if function.params.distinct {
            wholes.push(over(function.func.clone(), named(TEXT)).alias(&whole));
        } else {
            let part = format!("__part_{idx}");
            parts.push(expr.clone().alias(&part));
            let counts = function.func.name() == "count";
            let func = if counts { sum_udaf() } else { function.func.clone() };
            wholes.push(over(func, named(&part)).alias(&whole));
        }
        shown.push(named(&whole));
    }
    let stepped = LogicalPlanBuilder::from(aggregate.input.as_ref().clone())
        .aggregate(groups, parts)?
        .aggregate(groups_again, wholes)?;
    let schema = stepped.schema().clone();
    let shown = shown.into_iter().enumerate().map(|(idx, expr)| {
        let (qualifier, field) = aggregate.schema.qualified_field(idx);
        // A sum of sums has more digits.
        let as_before = if expr.get_type(&schema)? == *field.data_type() {
            expr
        } else {
            cast(expr, field.data_type().clone())
        };
        Ok(as_before.alias_qualified(qualifier.cloned(), field.name()))
    });
    let shown = shown.collect::<DataFusionResult<Vec<Expr>>>()?;
    stepped.project(shown)?.build().map(Some)
}

/// The text whose different values are counted, if it is one and all else that is asked can be had in steps.
fn the_text_counted(aggregate: &Aggregate) -> DataFusionResult<Option<&Expr>> {
    // Of no row at all a count is 0, and a sum of counts NULL: only where there is a group there is a row.
    if aggregate.group_expr.is_empty() || matches!(aggregate.group_expr[..], [Expr::GroupingSet(_)]) {
        return Ok(None);
    }
    let mut texts = HashSet::new();
    for expr in &aggregate.aggr_expr {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr else { return Ok(None) };
        let AggregateFunctionParams { args, distinct, filter, order_by, null_treatment } = params;
        let [argument] = &args[..] else { return Ok(None) };
        let fits = match func.name() {
            "count" if *distinct => {
                texts.insert(argument);
                filter.is_none()
            }
            // The last digit of a sum of such numbers is that of their order.
            "sum" => !*distinct && !argument.get_type(aggregate.input.schema())?.is_floating(),
            "count" | "min" | "max" => !*distinct,
            _ => false,
        };
        if !fits || !order_by.is_empty() || null_treatment.is_some() {
            return Ok(None);
        }
    }
    let mut texts = texts.into_iter();
    let (Some(text), None) = (texts.next(), texts.next()) else { return Ok(None) };
    let kind = text.get_type(aggregate.input.schema())?;
    Ok(matches!(kind, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8).then_some(text))
}

/// The rules.
pub(crate) fn rules() -> [Arc<dyn OptimizerRule + Send + Sync>; 1] {
    [Arc::new(DistinctBySteps)]
}
