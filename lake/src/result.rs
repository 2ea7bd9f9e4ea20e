//! The result of a query, and its forms: table, CSV and JSON to read, Parquet and Arrow for programs.

use std::io::{self, Write};
use std::sync::Arc;

use datafusion::arrow::array::Array;
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::parquet::arrow::ArrowWriter;

/// One column of a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryColumn {
    /// Its name.
    pub name: String,
    /// Its type, as Arrow names it, such as `Int64` or `Decimal128(18, 6)`.
    pub data_type: String,
    /// Numbers are aligned to the right.
    pub is_numeric: bool,
}

/// What a query gave, held in memory whole.
#[derive(Debug, Clone)]
pub struct QueryResult {
    /// Its columns.
    pub columns: Vec<QueryColumn>,
    pub(crate) batches: Vec<RecordBatch>,
    pub(crate) schema: SchemaRef,
}

impl QueryResult {
    pub(crate) fn new(schema: Schema, batches: Vec<RecordBatch>) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| QueryColumn {
                name: field.name().clone(),
                data_type: field.data_type().to_string(),
                is_numeric: field.data_type().is_numeric(),
            })
            .collect();
        Self { columns, batches, schema: Arc::new(schema) }
    }

    /// How many rows.
    pub fn n_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The rows as text; `None` is NULL. Decimals keep all their digits, times are `2026-10-05T08:15:30.250`.
    pub fn rows(&self) -> Vec<Vec<Option<String>>> {
        self.cells().map(|row| row.into_iter().map(|cell| cell.map(|cell| cell.text)).collect()).collect()
    }

    fn cells(&self) -> impl Iterator<Item = Vec<Option<Cell>>> + '_ {
        self.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| cells_of(batch, row)))
    }
}

/// One value.
struct Cell {
    text: String,
    /// Whether the text is JSON as it is.
    is_json: bool,
}

fn cells_of(batch: &RecordBatch, row: usize) -> Vec<Option<Cell>> {
    let options = FormatOptions::default();
    batch
        .columns()
        .iter()
        .map(|array| {
            if array.is_null(row) || array.data_type() == &DataType::Null {
                return None;
            }
            let text = match ArrayFormatter::try_new(array, &options) {
                Ok(formatter) => formatter.value(row).to_string(),
                Err(error) => format!("ERROR: {error}"),
            };
            // Decimals are texts in JSON: a reader would make binary fractions of them.
            let is_json = array.data_type().is_integer()
                || array.data_type() == &DataType::Boolean
                || (array.data_type().is_floating() && text.parse::<serde_json::Number>().is_ok());
            Some(Cell { text, is_json })
        })
        .collect()
}

/// Writes the result as a table for people. Control characters are escaped: a caller's name is not to move the cursor.
///
/// # Errors
///
/// Those of `out`.
pub fn write_table(result: &QueryResult, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Vec<String>> = result
        .cells()
        .map(|row| {
            row.into_iter().map(|cell| cell.map_or_else(String::new, |cell| printable(&cell.text))).collect()
        })
        .collect();
    let widths: Vec<usize> = result
        .columns
        .iter()
        .enumerate()
        .map(|(idx, column)| {
            let lengths =
                rows.iter().map(|row| row[idx].lines().map(|line| line.chars().count()).max().unwrap_or(0));
            lengths.chain([column.name.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let mut line = |cells: Vec<&str>, aligned: bool| -> io::Result<()> {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .zip(&result.columns)
            .map(|((cell, width), column)| {
                if aligned && column.is_numeric {
                    format!("{cell:>width$}")
                } else {
                    format!("{cell:<width$}")
                }
            })
            .collect();
        writeln!(out, "{}", padded.join("  ").trim_end())
    };
    line(result.columns.iter().map(|column| column.name.as_str()).collect(), true)?;
    let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    line(rules.iter().map(String::as_str).collect(), false)?;
    for row in &rows {
        // A plan of EXPLAIN has several lines in one cell.
        let n_lines = row.iter().map(|cell| cell.lines().count()).max().unwrap_or(0).max(1);
        for idx in 0..n_lines {
            line(row.iter().map(|cell| cell.lines().nth(idx).unwrap_or("")).collect(), true)?;
        }
    }
    writeln!(out, "({} {})", rows.len(), if rows.len() == 1 { "row" } else { "rows" })
}

fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\n' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Writes the result as CSV (RFC 4180) with a header; NULL is an empty field.
///
/// # Errors
///
/// Those of `out`.
pub fn write_csv(result: &QueryResult, out: &mut impl Write) -> io::Result<()> {
    let mut line = |cells: Vec<String>| write!(out, "{}\r\n", cells.join(","));
    line(result.columns.iter().map(|column| csv_field(&column.name)).collect())?;
    for row in result.cells() {
        line(
            row.into_iter().map(|cell| cell.map_or_else(String::new, |cell| csv_field(&cell.text))).collect(),
        )?;
    }
    Ok(())
}

fn csv_field(text: &str) -> String {
    if text.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Writes the result as a JSON array of objects. Decimals and times are texts, so that no digit is lost on the way.
///
/// # Errors
///
/// Those of `out`.
pub fn write_json(result: &QueryResult, out: &mut impl Write) -> io::Result<()> {
    write!(out, "[")?;
    for (n, row) in result.cells().enumerate() {
        write!(out, "{}", if n == 0 { "\n{" } else { ",\n{" })?;
        for (idx, (column, cell)) in result.columns.iter().zip(row).enumerate() {
            let name = serde_json::to_string(&column.name)?;
            let value = match cell {
                None => "null".to_owned(),
                Some(cell) if cell.is_json => cell.text,
                Some(cell) => serde_json::to_string(&cell.text)?,
            };
            write!(out, "{}{name}:{value}", if idx == 0 { "" } else { "," })?;
        }
        write!(out, "}}")?;
    }
    writeln!(out, "\n]")
}

/// The rows with texts as every reader knows them: views of texts are young.
fn plain(result: &QueryResult) -> io::Result<(SchemaRef, Vec<RecordBatch>)> {
    let plain_type = |data_type: &DataType| {
        // Nothing but NULL is a text that is never there.
        if matches!(data_type, DataType::Utf8View | DataType::Null) {
            DataType::Utf8
        } else if *data_type == DataType::BinaryView {
            DataType::Binary
        } else {
            data_type.clone()
        }
    };
    let fields: Vec<Field> = result
        .schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), plain_type(field.data_type()), true))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let batches = result.batches.iter().map(|batch| {
        let arrays =
            batch.columns().iter().zip(schema.fields()).map(|(array, field)| cast(array, field.data_type()));
        let arrays = arrays.collect::<Result<Vec<_>, _>>().map_err(io::Error::other)?;
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), arrays, &rows).map_err(io::Error::other)
    });
    let batches = batches.collect::<io::Result<Vec<_>>>()?;
    Ok((schema, batches))
}

/// Writes the result as one Parquet file.
///
/// # Errors
///
/// Those of `out`, and a type that Parquet does not know.
pub fn write_parquet(result: &QueryResult, out: &mut (impl Write + Send)) -> io::Result<()> {
    let (schema, batches) = plain(result)?;
    let mut writer = ArrowWriter::try_new(out, schema, None).map_err(io::Error::other)?;
    for batch in &batches {
        writer.write(batch).map_err(io::Error::other)?;
    }
    writer.close().map(|_| ()).map_err(io::Error::other)
}

/// Writes the result as an Arrow stream (IPC streaming format).
///
/// # Errors
///
/// Those of `out`.
pub fn write_arrow(result: &QueryResult, out: &mut impl Write) -> io::Result<()> {
    let (schema, batches) = plain(result)?;
    let mut writer = StreamWriter::try_new(out, &schema).map_err(io::Error::other)?;
    for batch in &batches {
        writer.write(batch).map_err(io::Error::other)?;
    }
    writer.finish().map_err(io::Error::other)
}
