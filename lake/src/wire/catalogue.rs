//! PostgreSQL's own tables about tables, for clients that look there for what there is.
//!
//! In: the tables that somebody may read, with their columns. Out: `pg_catalog` and `information_schema` of them, in the columns that
//! psql, drivers and tools ask for. Names are numbered by their place among all tables, so that a number is the same for everybody.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BooleanArray, Int32Array, StringArray, UInt32Array};
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::{MemorySchemaProvider, SchemaProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::prelude::SessionContext;

use super::layout::{LAYOUTS, Layout};
use super::settings::Settings;
use crate::access::Access;
use crate::catalogue::{TableDoc, tables};
use crate::column::ColumnDoc;
use crate::query::{CATALOG, SCHEMA};

/// Number of the first table; PostgreSQL's own are below it.
const FIRST_TABLE: u32 = 16_384;
const PG_CATALOG: u32 = 11;
const PUBLIC: u32 = 2_200;
const INFORMATION_SCHEMA: u32 = 13_000;
/// Who owns everything.
pub(super) const OWNER: &str = "tollbook";
const OWNER_OID: u32 = 10;
const USER_OID: u32 = 16_000;
const DATABASE_OID: u32 = 5;
/// Heap: how all tables are stored, as far as clients are told.
const HEAP: u32 = 2;
/// `pg_class` in `pg_class`: what a comment on a table belongs to.
const PG_CLASS: u32 = 1_259;

/// A value of a catalogue; what a layout's columns are made from.
#[derive(Debug, Clone)]
pub(super) enum Cell {
    Null,
    Oid(u32),
    Int(i32),
    Flag(bool),
    Text(String),
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

/// A type that columns have: number, name, bytes (-1: any), category, number of its arrays, name in the standard.
struct PgType(u32, &'static str, i32, &'static str, u32, &'static str);

const TYPES: [PgType; 17] = [
    PgType(16, "bool", 1, "B", 1000, "boolean"),
    PgType(17, "bytea", -1, "U", 1001, "bytea"),
    PgType(18, "char", 1, "Z", 1002, "\"char\""),
    PgType(19, "name", 64, "S", 1003, "name"),
    PgType(20, "int8", 8, "N", 1016, "bigint"),
    PgType(21, "int2", 2, "N", 1005, "smallint"),
    PgType(23, "int4", 4, "N", 1007, "integer"),
    PgType(25, "text", -1, "S", 1009, "text"),
    PgType(26, "oid", 4, "N", 1028, "oid"),
    PgType(700, "float4", 4, "N", 1021, "real"),
    PgType(701, "float8", 8, "N", 1022, "double precision"),
    PgType(1043, "varchar", -1, "S", 1015, "character varying"),
    PgType(1082, "date", 4, "D", 1182, "date"),
    PgType(1114, "timestamp", 8, "D", 1115, "timestamp without time zone"),
    PgType(1184, "timestamptz", 8, "D", 1185, "timestamp with time zone"),
    PgType(1700, "numeric", -1, "N", 1231, "numeric"),
    PgType(705, "unknown", -2, "X", 0, "unknown"),
];

/// Number and modifier of the type of a documented column.
fn type_of(column: &ColumnDoc) -> (u32, i32) {
    match column.sql_type {
        "BIGINT" => (20, -1),
        "BOOLEAN" => (16, -1),
        "DATE" => (1082, -1),
        "TIMESTAMP(6)" => (1114, -1),
        // Precision and scale in one number, and four more (PostgreSQL's numeric_typmod).
        "DECIMAL(18,6)" => (1700, (18 << 16) + 6 + 4),
        "DECIMAL(28,12)" => (1700, (28 << 16) + 12 + 4),
        _ => (25, -1),
    }
}

/// `numeric(18,6)` and its like.
pub(super) fn format_type(oid: u32, modifier: i32) -> String {
    if let Some(PgType(.., name)) = TYPES.iter().find(|of| of.0 == oid) {
        return match (oid, modifier) {
            (1700, 4..) => format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0xffff),
            _ => (*name).to_owned(),
        };
    }
    let of_items = TYPES.iter().find(|of| of.4 == oid && oid != 0);
    of_items.map_or_else(|| "???".to_owned(), |PgType(.., name)| format!("{name}[]"))
}

/// The number of a type by one of its names.
pub(super) fn type_oid_of(name: &str) -> Option<u32> {
    let name = name.trim_start_matches("pg_catalog.");
    TYPES.iter().find(|of| of.1 == name || of.5 == name).map(|of| of.0)
}

/// The number of a relation by its name, with or without schema.
pub(super) fn oid_of(name: &str) -> Option<u32> {
    let name = name.rsplit('.').next().unwrap_or(name).trim_matches('"');
    if name == "pg_class" {
        return Some(PG_CLASS);
    }
    if let Some(idx) = LAYOUTS.iter().position(|layout| layout.name == name) {
        return u32::try_from(idx).ok().map(|idx| 2_600 + idx);
    }
    let idx = tables(&Access::WHOLE).iter().position(|table| table.name == name)?;
    u32::try_from(idx).ok().map(|idx| FIRST_TABLE + idx)
}

/// The name of the relation of a number.
pub(super) fn relation_of(oid: u32) -> Option<&'static str> {
    if oid == PG_CLASS {
        return Some("pg_class");
    }
    let idx = usize::try_from(oid.checked_sub(FIRST_TABLE)?).ok()?;
    tables(&Access::WHOLE).get(idx).map(|table| table.name)
}

/// The number of a schema.
pub(super) fn namespace_oid(name: &str) -> u32 {
    match name {
        "pg_catalog" => PG_CATALOG,
        "information_schema" => INFORMATION_SCHEMA,
        "public" => PUBLIC,
        _ => 0,
    }
}

/// The schema of a number.
pub(super) fn namespace_of(oid: u32) -> Option<&'static str> {
    [(PG_CATALOG, "pg_catalog"), (PUBLIC, SCHEMA), (INFORMATION_SCHEMA, "information_schema")]
        .into_iter()
        .find_map(|(known, name)| (known == oid).then_some(name))
}

/// Whether PostgreSQL has a table of this name in `pg_catalog`, and we do.
pub(super) fn is_system_table(name: &str) -> bool {
    name.starts_with("pg_") && LAYOUTS.iter().any(|layout| layout.name == name)
}

/// Whether a catalogue, or a function that gives rows, never has any here: there are no indexes, no rules, no functions of people.
pub(super) fn is_always_empty(name: &str) -> bool {
    name == "pg_get_keywords" || LAYOUTS.iter().any(|layout| layout.name == name && layout.is_empty)
}

/// The columns of a catalogue; none of what is no catalogue.
pub(super) fn column_names(table: &str) -> Vec<&'static str> {
    let layout = LAYOUTS.iter().find(|layout| layout.name == table.to_lowercase());
    layout.map(|layout| layout.columns().map(|(name, _)| name).collect()).unwrap_or_default()
}

/// The comment on a table (`column` 0) or on a column of it, for whoever may read it.
pub(super) fn comment_on(access: &Access, table: u32, column: u32) -> Option<String> {
    let name = relation_of(table)?;
    let doc = tables(access).into_iter().find(|doc| doc.name == name)?;
    if column == 0 {
        return Some(doc.meaning.to_owned());
    }
    let idx = usize::try_from(column).ok()?.checked_sub(1)?;
    doc.columns.get(idx).map(comment_of)
}

/// What a column means, with its unit and an example.
fn comment_of(column: &ColumnDoc) -> String {
    let mut comment = column.meaning.to_owned();
    if !column.unit.is_empty() {
        comment.push_str(&format!(" Unit: {}.", column.unit));
    }
    if !column.example.is_empty() {
        comment.push_str(&format!(" Example: {}.", column.example));
    }
    comment
}

/// Adds `pg_catalog` and `information_schema` to a session, of what `access` may read.
pub(super) fn register(
    context: &SessionContext,
    access: &Access,
    user: &str,
    settings: &Settings,
) -> DataFusionResult<()> {
    let catalog = context
        .catalog(CATALOG)
        .ok_or_else(|| DataFusionError::Internal("the session has no catalogue".to_owned()))?;
    let known = Known { docs: tables(access), user, settings };
    for schema in ["pg_catalog", "information_schema"] {
        let provider = MemorySchemaProvider::new();
        for layout in LAYOUTS.iter().filter(|layout| layout.schema == schema) {
            let table = table_of(layout, known.rows(layout.name))?;
            provider.register_table(layout.name.to_owned(), Arc::new(table))?;
        }
        catalog.register_schema(schema, Arc::new(provider))?;
    }
    Ok(())
}

fn table_of(layout: &Layout, rows: Vec<Vec<Cell>>) -> DataFusionResult<MemTable> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (idx, (name, kind)) in layout.columns().enumerate() {
        let cells = rows.iter().map(|row| row.get(idx).unwrap_or(&Cell::Null));
        let array: ArrayRef = match kind {
            'o' => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Oid(oid) => Some(*oid),
                        _ => None,
                    })
                    .collect::<UInt32Array>(),
            ),
            'i' => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Int(value) => Some(*value),
                        _ => None,
                    })
                    .collect::<Int32Array>(),
            ),
            'b' => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Flag(value) => Some(*value),
                        _ => None,
                    })
                    .collect::<BooleanArray>(),
            ),
            _ => Arc::new(
                cells
                    .map(|cell| match cell {
                        Cell::Text(text) => Some(text.as_str()),
                        _ => None,
                    })
                    .collect::<StringArray>(),
            ),
        };
        fields.push(Field::new(name, array.data_type().clone(), true));
        arrays.push(array);
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    MemTable::try_new(schema, vec![vec![batch]])
}

/// What the catalogues are filled from.
struct Known<'a> {
    docs: Vec<TableDoc>,
    user: &'a str,
    settings: &'a Settings,
}

impl Known<'_> {
    fn rows(&self, table: &str) -> Vec<Vec<Cell>> {
        use Cell::{Flag, Int, Null, Oid};
        match table {
            "pg_namespace" => {
                [(PG_CATALOG, "pg_catalog"), (PUBLIC, SCHEMA), (INFORMATION_SCHEMA, "information_schema")]
                    .into_iter()
                    .map(|(oid, name)| vec![Oid(oid), name.into(), Oid(OWNER_OID), Null])
                    .collect()
            }
            "pg_class" => self.docs.iter().map(class_row).collect(),
            "pg_attribute" => self.docs.iter().flat_map(attribute_rows).collect(),
            "pg_type" => type_rows(),
            "pg_description" => self.docs.iter().flat_map(description_rows).collect(),
            "pg_am" => vec![vec![Oid(HEAP), "heap".into(), "heap_tableam_handler".into(), "t".into()]],
            "pg_tablespace" => vec![vec![Oid(1663), "pg_default".into(), Oid(OWNER_OID), Null, Null]],
            "pg_database" => vec![vec![
                Oid(DATABASE_OID),
                CATALOG.into(),
                Oid(OWNER_OID),
                Int(6),
                "c".into(),
                "C".into(),
                "C".into(),
                Flag(false),
                Flag(true),
                Int(-1),
                Oid(1663),
                Null,
            ]],
            "pg_roles" | "pg_authid" => [(OWNER_OID, OWNER), (USER_OID, self.user)]
                .into_iter()
                .map(|(oid, name)| {
                    vec![
                        Oid(oid),
                        name.into(),
                        Flag(false),
                        Flag(true),
                        Flag(false),
                        Flag(false),
                        Flag(true),
                        Flag(false),
                        Int(-1),
                        Null,
                        Null,
                        Flag(false),
                        Null,
                    ]
                })
                .collect(),
            "pg_user" => vec![vec![
                self.user.into(),
                Oid(USER_OID),
                Flag(false),
                Flag(false),
                Flag(false),
                Flag(false),
            ]],
            "pg_tables" => self
                .docs
                .iter()
                .map(|doc| {
                    vec![
                        SCHEMA.into(),
                        doc.name.into(),
                        OWNER.into(),
                        Null,
                        Flag(false),
                        Flag(false),
                        Flag(false),
                        Flag(false),
                    ]
                })
                .collect(),
            "pg_settings" => self
                .settings
                .all()
                .into_iter()
                .map(|(name, value)| {
                    vec![
                        name.into(),
                        value.clone().into(),
                        Null,
                        "Settings".into(),
                        Null,
                        "user".into(),
                        "string".into(),
                        "session".into(),
                        value.into(),
                    ]
                })
                .collect(),
            "schemata" => ["pg_catalog", SCHEMA, "information_schema"]
                .into_iter()
                .map(|name| vec![CATALOG.into(), name.into(), OWNER.into()])
                .collect(),
            "tables" => self
                .docs
                .iter()
                .map(|doc| {
                    vec![
                        CATALOG.into(),
                        SCHEMA.into(),
                        doc.name.into(),
                        "BASE TABLE".into(),
                        "NO".into(),
                        "NO".into(),
                    ]
                })
                .collect(),
            "columns" => self.docs.iter().flat_map(column_rows).collect(),
            // The rest has columns and no rows.
            _ => Vec::new(),
        }
    }
}

fn class_row(doc: &TableDoc) -> Vec<Cell> {
    use Cell::{Flag, Int, Null, Oid};
    vec![
        Oid(oid_of(doc.name).unwrap_or(0)),
        doc.name.into(),
        Oid(PUBLIC),
        Oid(0),
        Oid(0),
        Oid(OWNER_OID),
        Oid(HEAP),
        Oid(0),
        Oid(0),
        Int(0),
        Int(-1),
        Int(0),
        Oid(0),
        Flag(false),
        Flag(false),
        "p".into(),
        "r".into(),
        Int(i32::try_from(doc.columns.len()).unwrap_or(i32::MAX)),
        Int(0),
        Flag(false),
        Flag(false),
        Flag(false),
        Flag(false),
        Flag(false),
        Flag(true),
        "d".into(),
        Flag(false),
        Oid(0),
        Null,
        Null,
        Null,
    ]
}

fn attribute_rows(doc: &TableDoc) -> Vec<Vec<Cell>> {
    use Cell::{Flag, Int, Null, Oid};
    let table = oid_of(doc.name).unwrap_or(0);
    let row = |(idx, column): (usize, &ColumnDoc)| {
        let (oid, modifier) = type_of(column);
        let length = TYPES.iter().find(|of| of.0 == oid).map_or(-1, |of| of.2);
        vec![
            Oid(table),
            column.name.into(),
            Oid(oid),
            Int(-1),
            Int(length),
            Int(place(idx)),
            Int(0),
            Int(-1),
            Int(modifier),
            Flag(length > 0),
            (if length == 8 { "d" } else { "i" }).into(),
            (if length > 0 { "p" } else { "x" }).into(),
            "".into(),
            Flag(!column.nullable),
            Flag(false),
            Flag(false),
            "".into(),
            "".into(),
            Flag(false),
            Flag(true),
            Int(0),
            Oid(0),
            Null,
            Null,
            Null,
        ]
    };
    doc.columns.iter().enumerate().map(row).collect()
}

/// Columns count from 1.
fn place(idx: usize) -> i32 {
    i32::try_from(idx).map_or(i32::MAX, |idx| idx.saturating_add(1))
}

fn type_rows() -> Vec<Vec<Cell>> {
    use Cell::{Flag, Int, Null, Oid};
    let row = |oid: u32, name: String, length: i32, category: &str, item: u32, array: u32| {
        let input = if item == 0 { format!("{name}in") } else { "array_in".to_owned() };
        vec![
            Oid(oid),
            name.into(),
            Oid(PG_CATALOG),
            Oid(OWNER_OID),
            Int(length),
            Flag(length > 0),
            "b".into(),
            category.into(),
            Flag(false),
            Flag(true),
            ",".into(),
            Oid(0),
            Oid(item),
            Oid(array),
            input.into(),
            Flag(false),
            Oid(0),
            Int(-1),
            Int(0),
            Oid(0),
            Null,
            Null,
            Null,
        ]
    };
    let singles = TYPES.iter().map(|of| row(of.0, of.1.to_owned(), of.2, of.3, 0, of.4));
    let arrays =
        TYPES.iter().filter(|of| of.4 != 0).map(|of| row(of.4, format!("_{}", of.1), -1, "A", of.0, 0));
    singles.chain(arrays).collect()
}

fn description_rows(doc: &TableDoc) -> Vec<Vec<Cell>> {
    let table = oid_of(doc.name).unwrap_or(0);
    let row = |column: i32, comment: String| {
        vec![Cell::Oid(table), Cell::Oid(PG_CLASS), Cell::Int(column), comment.into()]
    };
    let of_columns = doc.columns.iter().enumerate().map(|(idx, column)| row(place(idx), comment_of(column)));
    std::iter::once(row(0, doc.meaning.to_owned())).chain(of_columns).collect()
}

fn column_rows(doc: &TableDoc) -> Vec<Vec<Cell>> {
    use Cell::{Int, Null};
    let row = |(idx, column): (usize, &ColumnDoc)| {
        let (oid, modifier) = type_of(column);
        let short = TYPES.iter().find(|of| of.0 == oid).map_or("text", |of| of.1);
        let (precision, scale) = match oid {
            1700 => (Int((modifier - 4) >> 16), Int((modifier - 4) & 0xffff)),
            20 => (Int(64), Int(0)),
            _ => (Null, Null),
        };
        vec![
            CATALOG.into(),
            SCHEMA.into(),
            doc.name.into(),
            column.name.into(),
            Int(place(idx)),
            Null,
            (if column.nullable { "YES" } else { "NO" }).into(),
            format_type(oid, -1).into(),
            Null,
            Null,
            precision,
            scale,
            (if oid == 1114 { Int(6) } else { Null }),
            CATALOG.into(),
            "pg_catalog".into(),
            short.into(),
            "NO".into(),
            "NEVER".into(),
            "NO".into(),
        ]
    };
    doc.columns.iter().enumerate().map(row).collect()
}
