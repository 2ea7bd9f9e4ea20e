//! Tables that are made of others while asking: `charges`, `attempts`, `call_marks`, `registrations`, `postings`.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, ListArray, NullBufferBuilder, StringViewBuilder, StructArray,
};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, Fields};
use datafusion::common::Result as DataFusionResult;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ColumnarValue, ScalarUDF, Volatility, create_udf};
use datafusion::prelude::SessionContext;

use crate::access::text_function;
use crate::numbering::number_prefix;
use crate::table::Table;
use crate::tables::{ATTEMPTS, CALL_MARKS, CHARGES, POSTINGS, REGISTRATIONS};

/// A table made of others.
pub(crate) struct View {
    pub(crate) table: &'static Table,
    /// What it is made of.
    pub(crate) needs: &'static [&'static str],
    pub(crate) sql: fn() -> String,
}

/// All of them.
pub(crate) static VIEWS: [View; 5] = [
    View { table: &CHARGES, needs: &["calls"], sql: charges },
    View { table: &ATTEMPTS, needs: &["calls"], sql: attempts },
    View { table: &CALL_MARKS, needs: &["calls", "alerts"], sql: call_marks },
    View { table: &REGISTRATIONS, needs: &["events"], sql: registrations },
    View { table: &POSTINGS, needs: &["call_postings", "other_postings"], sql: postings },
];

impl View {
    pub(crate) async fn plan(&self, context: &SessionContext) -> DataFusionResult<DataFrame> {
        context.sql(&(self.sql)()).await
    }
}

/// Functions that views and people use.
pub(crate) fn functions() -> [ScalarUDF; 3] {
    [
        text_function("number_prefix", |number| number_prefix(number).map(str::to_owned)),
        route_list(),
        word_list(),
    ]
}

/// One branch for each who can owe or be owed for a call. A condition on provider or direction leaves the others unread.
fn charges() -> String {
    const PARTIES: [(&str, &str, &str); 6] = [
        ("customer", "out", ""),
        ("reseller", "out", ""),
        ("carrier", "out", ""),
        ("customer", "in", "_in"),
        ("reseller", "in", "_in"),
        ("carrier", "in", "_in"),
    ];
    let branches = PARTIES.map(|(provider, direction, infix)| {
        let party = format!("{provider}{infix}");
        // The columns of the customer's outgoing charge came first, and some have the bare name.
        let bare = |column: &str| {
            if party == "customer" { column.to_owned() } else { format!("{party}_{column}") }
        };
        let [billed, onpeak, offpeak, free_seconds, free_cash] =
            ["billed_seconds", "onpeak_seconds", "offpeak_seconds", "free_seconds", "free_cash"].map(bare);
        format!(
            "SELECT cdr_id, revision, call_id, leg, tenant, day, start_at, '{provider}' AS provider, \
             '{direction}' AS direction, {party}_account AS account, {party}_cost AS cost, {party}_currency AS currency, \
             {party}_zone AS zone, {party}_zone_detail AS zone_detail, {party}_prefix AS prefix, {party}_tariff AS tariff, \
             {party}_tariff_version AS tariff_version, {billed} AS billed_seconds, {onpeak} AS onpeak_seconds, \
             {offpeak} AS offpeak_seconds, {free_seconds} AS free_seconds, {free_cash} AS free_cash, destination_number \
             FROM calls WHERE {party}_account IS NOT NULL"
        )
    });
    branches.join(" UNION ALL ")
}

fn attempts() -> String {
    "SELECT cdr_id, revision, call_id, leg, tenant, day, start_at, get_field(route, 'attempt') AS attempt, \
     get_field(route, 'trunk') AS trunk, get_field(route, 'subscriber') AS subscriber, get_field(route, 'code') AS code, \
     get_field(route, 'class') AS class, get_field(route, 'pdd_ms') AS pdd_ms, payer, customer_zone AS zone, \
     destination_number FROM (SELECT cdr_id, revision, call_id, leg, tenant, day, start_at, payer, customer_zone, \
     destination_number, unnest(route_list(routes)) AS route FROM calls WHERE routes IS NOT NULL)"
        .to_owned()
}

/// A mark holds from the alert on until somebody says what it was; where that was nothing, there was no mark.
fn call_marks() -> String {
    let call = "c.cdr_id, c.revision, c.call_id, c.leg, c.tenant, c.day, c.start_at, c.payer, a.tag, a.rule, a.alert_id";
    let marking = "a.tag IS NOT NULL AND coalesce(a.verdict, '') <> 'clean'";
    format!(
        "SELECT {call}, 'shown' AS because, c.destination_number FROM calls c JOIN \
         (SELECT alert_id, rule, tag, unnest(word_list(calls)) AS shown FROM alerts a \
         WHERE {marking} AND calls IS NOT NULL) a ON c.cdr_id = a.shown UNION ALL \
         SELECT {call}, 'account' AS because, c.destination_number FROM calls c JOIN alerts a ON c.payer = a.account \
         WHERE {marking} AND a.account <> 0 AND c.start_at >= a.begun_at AND (a.verdict_at IS NULL OR c.start_at < a.verdict_at) \
         AND coalesce(a.calls, '') NOT LIKE ('%' || c.cdr_id || '%')"
    )
}

fn registrations() -> String {
    "SELECT event_id, tenant, account, subscriber, CASE kind WHEN 'register_failed' THEN 'refused' ELSE kind END AS outcome, \
     detail, at FROM events WHERE kind IN ('registered', 'unregistered', 'register_failed')"
        .to_owned()
}

fn postings() -> String {
    "SELECT * FROM call_postings UNION ALL SELECT * FROM other_postings".to_owned()
}

/// The fields of one route in the column `routes`.
fn route_fields() -> Fields {
    let number = |name: &str, nullable| Field::new(name, DataType::Int64, nullable);
    Fields::from(vec![
        number("attempt", false),
        number("trunk", true),
        number("subscriber", true),
        number("code", false),
        Field::new("class", DataType::Utf8View, false),
        number("pdd_ms", true),
    ])
}

/// `route_list(routes)`: the column `routes` of `calls` as a list of structures.
fn route_list() -> ScalarUDF {
    let item = Arc::new(Field::new_list_field(DataType::Struct(route_fields()), true));
    let list_type = DataType::List(item.clone());
    let run = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let Some(texts) = arrays.first().and_then(|array| array.as_string_view_opt()) else {
            return Err(DataFusionError::Execution("route_list takes the column routes".to_owned()));
        };
        let mut routes = Routes::default();
        let mut lengths = Vec::with_capacity(texts.len());
        let mut nulls = NullBufferBuilder::new(texts.len());
        for text in texts {
            nulls.append(text.is_some());
            lengths.push(
                text.map_or(0, |text| text.split_whitespace().filter(|route| routes.add(route)).count()),
            );
        }
        let values = routes.finish()?;
        let list =
            ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), values, nulls.finish())?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    };
    create_udf("route_list", vec![DataType::Utf8View], list_type, Volatility::Immutable, Arc::new(run))
}

/// `word_list(text)`: the words of a text, as the column `calls` of `alerts` has them, as a list.
fn word_list() -> ScalarUDF {
    let item = Arc::new(Field::new_list_field(DataType::Utf8View, true));
    let list_type = DataType::List(item.clone());
    let run = move |arguments: &[ColumnarValue]| {
        let arrays = ColumnarValue::values_to_arrays(arguments)?;
        let Some(texts) = arrays.first().and_then(|array| array.as_string_view_opt()) else {
            return Err(DataFusionError::Execution("word_list takes a column of texts".to_owned()));
        };
        let (mut words, mut lengths) = (StringViewBuilder::new(), Vec::with_capacity(texts.len()));
        for text in texts {
            let of_text = text.into_iter().flat_map(str::split_whitespace);
            lengths.push(of_text.map(|word| words.append_value(word)).count());
        }
        let words: ArrayRef = Arc::new(words.finish());
        let list = ListArray::try_new(item.clone(), OffsetBuffer::from_lengths(lengths), words, None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    };
    create_udf("word_list", vec![DataType::Utf8View], list_type, Volatility::Immutable, Arc::new(run))
}

#[derive(Default)]
struct Routes {
    attempt: Int64Builder,
    trunk: Int64Builder,
    subscriber: Int64Builder,
    code: Int64Builder,
    class: StringViewBuilder,
    pdd_ms: Int64Builder,
}

impl Routes {
    /// Adds `attempt:party:code:class:pdd_ms`; whether it was one.
    fn add(&mut self, route: &str) -> bool {
        let fields: Vec<&str> = route.split(':').collect();
        let [attempt, party, code, class, pdd_ms] = fields[..] else { return false };
        let (Ok(attempt), Ok(code)) = (attempt.parse(), code.parse()) else { return false };
        self.attempt.append_value(attempt);
        self.trunk.append_option(party.strip_prefix('t').and_then(|id| id.parse().ok()));
        self.subscriber.append_option(party.strip_prefix('s').and_then(|id| id.parse().ok()));
        self.code.append_value(code);
        self.class.append_value(class);
        self.pdd_ms.append_option(pdd_ms.parse().ok());
        true
    }

    fn finish(mut self) -> DataFusionResult<ArrayRef> {
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(self.attempt.finish()),
            Arc::new(self.trunk.finish()),
            Arc::new(self.subscriber.finish()),
            Arc::new(self.code.finish()),
            Arc::new(self.class.finish()),
            Arc::new(self.pdd_ms.finish()),
        ];
        Ok(Arc::new(StructArray::try_new(route_fields(), arrays, None)?))
    }
}
