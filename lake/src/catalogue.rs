//! The table `documentation`: what every column of the lake means, for clients that cannot read the README.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::error::Result as DataFusionResult;

use crate::column::columns;

/// One row of each call: its highest revision.
pub(crate) const CALLS: &str = "calls";
/// All revisions.
pub(crate) const CALLS_HISTORY: &str = "calls_history";
/// What the columns mean.
pub(crate) const DOCUMENTATION: &str = "documentation";
/// Every table there is.
pub(crate) const TABLES: [&str; 3] = [CALLS, CALLS_HISTORY, DOCUMENTATION];

/// Columns of `calls` and `calls_history`, one row each.
pub(crate) fn documentation() -> DataFusionResult<MemTable> {
    let docs: Vec<_> = [CALLS, CALLS_HISTORY]
        .into_iter()
        .flat_map(|table| columns().into_iter().map(move |doc| (table, doc)))
        .collect();
    let texts = |of: fn(&(&'static str, crate::ColumnDoc)) -> &'static str| -> ArrayRef {
        Arc::new(docs.iter().map(|doc| Some(of(doc))).collect::<StringArray>())
    };
    let arrays: Vec<ArrayRef> = vec![
        texts(|(table, _)| table),
        texts(|(_, doc)| doc.name),
        texts(|(_, doc)| doc.sql_type),
        Arc::new(docs.iter().map(|(_, doc)| Some(doc.nullable)).collect::<BooleanArray>()),
        texts(|(_, doc)| doc.unit),
        texts(|(_, doc)| doc.meaning),
        texts(|(_, doc)| doc.example),
    ];
    let names = ["table_name", "column_name", "data_type", "is_nullable", "unit", "meaning", "example"];
    let fields: Vec<Field> = names
        .iter()
        .map(|name| {
            let data_type = if *name == "is_nullable" { DataType::Boolean } else { DataType::Utf8 };
            Field::new(*name, data_type, false)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    MemTable::try_new(schema, vec![vec![batch]])
}
