//! The names of the tables, and the table `documentation`: what every column of the lake means, for clients that cannot read the
//! README.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;
use datafusion::error::Result as DataFusionResult;

use crate::access::Access;
use crate::column::{ColumnDoc, columns};
use crate::tables::MIRRORED;
use crate::views::VIEWS;

/// One row of each call: its highest revision.
pub(crate) const CALLS: &str = "calls";
/// All revisions.
pub(crate) const CALLS_HISTORY: &str = "calls_history";
/// What the columns mean.
pub(crate) const DOCUMENTATION: &str = "documentation";

/// One table, for people.
#[derive(Debug, Clone)]
pub struct TableDoc {
    /// Its name.
    pub name: &'static str,
    /// What one row is.
    pub meaning: &'static str,
    /// Its columns, in their order.
    pub columns: Vec<ColumnDoc>,
}

const DOCUMENTATION_COLUMNS: [(&str, &str); 8] = [
    ("table_name", "Of which table."),
    ("column_name", "The column."),
    ("data_type", "SQL type."),
    ("is_nullable", "Whether it may be NULL."),
    ("unit", "Unit of its values."),
    ("meaning", "What it says."),
    ("example", "A value."),
    ("table_meaning", "What one row of the table is."),
];

/// Every table that a holder of `access` has, in the order people read them.
pub fn tables(access: &Access) -> Vec<TableDoc> {
    let of_calls = |name, meaning| TableDoc { name, meaning, columns: columns() };
    let described = |table: &'static crate::Table| TableDoc {
        name: table.name,
        meaning: table.meaning,
        columns: table.columns.iter().map(|column| column.doc).collect(),
    };
    let documentation = DOCUMENTATION_COLUMNS.into_iter().map(|(name, meaning)| ColumnDoc {
        name,
        sql_type: if name == "is_nullable" { "BOOLEAN" } else { "VARCHAR" },
        nullable: false,
        unit: "",
        meaning,
        example: if name == "is_nullable" { "false" } else { "calls" },
    });
    let documentation = TableDoc {
        name: DOCUMENTATION,
        meaning: "One row for each column of each table: this list.",
        columns: documentation.collect(),
    };
    let calls = of_calls(CALLS, "One row for each leg of a call, in its highest revision. What to use.");
    let history = of_calls(CALLS_HISTORY, "All revisions of each leg.");
    let views = VIEWS.iter().map(|view| described(view.table));
    let mirrored = MIRRORED.into_iter().map(described);
    [calls, history]
        .into_iter()
        .chain(views)
        .chain(mirrored)
        .chain([documentation])
        .filter(|table| access.may_read(table.name))
        .collect()
}

/// The table `documentation`, for a holder of `access`.
pub(crate) fn documentation(access: &Access) -> DataFusionResult<MemTable> {
    let docs: Vec<(&str, &str, ColumnDoc)> = tables(access)
        .into_iter()
        .flat_map(|table| table.columns.into_iter().map(move |doc| (table.name, table.meaning, doc)))
        .collect();
    let texts = |of: fn(&(&'static str, &'static str, ColumnDoc)) -> &'static str| -> ArrayRef {
        Arc::new(docs.iter().map(|doc| Some(of(doc))).collect::<StringArray>())
    };
    let arrays: Vec<ArrayRef> = vec![
        texts(|(table, _, _)| table),
        texts(|(_, _, doc)| doc.name),
        texts(|(_, _, doc)| doc.sql_type),
        Arc::new(docs.iter().map(|(_, _, doc)| Some(doc.nullable)).collect::<BooleanArray>()),
        texts(|(_, _, doc)| doc.unit),
        texts(|(_, _, doc)| doc.meaning),
        texts(|(_, _, doc)| doc.example),
        texts(|(_, meaning, _)| meaning),
    ];
    let fields: Vec<Field> = DOCUMENTATION_COLUMNS
        .iter()
        .map(|(name, _)| {
            let data_type = if *name == "is_nullable" { DataType::Boolean } else { DataType::Utf8 };
            Field::new(*name, data_type, false)
        })
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    MemTable::try_new(schema, vec![vec![batch]])
}
