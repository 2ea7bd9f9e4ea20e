//! Writes and merges the Parquet files. Blocking: callers are on a thread that may wait.
//!
//! In: sorted rows, or sorted files. Out: one sorted file, synced, under its hidden name. What names it is the manifest.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use datafusion::arrow::array::{
    Array, AsArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::metadata::{KeyValue, SortingColumn};
use datafusion::parquet::file::properties::WriterProperties;
use datafusion::parquet::schema::types::ColumnPath;

use crate::LakeError;
use crate::column::{BLOOM_COLUMNS, SORT_COLUMNS};
use crate::error::IoContext;
use crate::layout;
use crate::rows::FILE_SCHEMA;
use crate::table::Table;
use crate::tree::Fetched;

/// Rows of one row group: small enough to skip most of a file for one hour or one account, large enough to compress.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows read from each file at a time when files are merged.
const MERGE_BATCH_ROWS: usize = 4_096;
/// zstd level 3: higher ones were measured to be slower and no smaller.
const ZSTD_LEVEL: i32 = 3;
/// One of a hundred files is read in vain when one call is looked for.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// What a file is to look like beside its rows.
pub(crate) struct Shape {
    pub(crate) schema: SchemaRef,
    /// Table it is of, written into the file.
    pub(crate) table: &'static str,
    /// Columns its rows are in the order of.
    pub(crate) sorted_by: &'static [&'static str],
    /// Columns with a bloom filter.
    pub(crate) bloom: &'static [&'static str],
}

/// Files of calls.
pub(crate) static CALLS: LazyLock<Shape> = LazyLock::new(|| Shape {
    schema: FILE_SCHEMA.clone(),
    table: "calls_history",
    sorted_by: &SORT_COLUMNS,
    bloom: BLOOM_COLUMNS,
});

impl Shape {
    /// Files of another table. Merged ones are not sorted through, so none says it is.
    pub(crate) fn of_table(table: &Table) -> Self {
        Self { schema: table.file_schema(), table: table.name, sorted_by: &[], bloom: &[] }
    }
}

fn properties(shape: &Shape, rows: u64) -> Result<WriterProperties, LakeError> {
    let level = ZstdLevel::try_new(ZSTD_LEVEL)
        .map_err(|error| LakeError::Internal { problem: format!("zstd level {ZSTD_LEVEL}: {error}") })?;
    let sorting: Vec<SortingColumn> = shape
        .sorted_by
        .iter()
        .filter_map(|name| shape.schema.index_of(name).ok())
        .filter_map(|idx| i32::try_from(idx).ok())
        .map(|column_idx| SortingColumn { column_idx, descending: false, nulls_first: false })
        .collect();
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting))
        .set_created_by(concat!("tollbook lake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "tollbook.table".to_owned(),
            shape.table.to_owned(),
        )]));
    for name in shape.bloom {
        builder = builder
            .set_column_bloom_filter_fpp(ColumnPath::from(*name), BLOOM_FALSE_POSITIVES)
            // Folded to what is needed once the row group is full.
            .set_column_bloom_filter_max_ndv(ColumnPath::from(*name), rows.clamp(1, ROW_GROUP_ROWS as u64));
    }
    Ok(builder.build())
}

/// A file being written under its hidden name. Dropped unfinished, it is deleted.
struct HiddenFile {
    path: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl HiddenFile {
    fn create(path: PathBuf, rows: u64, shape: &Shape) -> Result<Self, LakeError> {
        let file = File::create(&path).at("create", &path)?;
        let writer = ArrowWriter::try_new(file, shape.schema.clone(), Some(properties(shape, rows)?))
            .map_err(|error| parquet_error("write", &path, error))?;
        Ok(Self { path, writer: Some(writer) })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        match &mut self.writer {
            Some(writer) => writer.write(batch).map_err(|error| parquet_error("write", &self.path, error)),
            None => Err(LakeError::Internal { problem: "a finished file was written to".to_owned() }),
        }
    }

    /// Writes the footer and syncs; the size in bytes.
    fn finish(mut self) -> Result<u64, LakeError> {
        let Some(writer) = self.writer.take() else {
            return Err(LakeError::Internal { problem: "a file was finished twice".to_owned() });
        };
        let finished = (|| {
            let file = writer.into_inner().map_err(|error| parquet_error("write", &self.path, error))?;
            file.sync_all().at("sync", &self.path)?;
            Ok(file.metadata().at("look at", &self.path)?.len())
        })();
        if finished.is_err() {
            self.discard();
        }
        finished
    }

    fn discard(&self) {
        // What stays behind is deleted when the lake is opened next.
        let _ = fs::remove_file(&self.path);
    }
}

impl Drop for HiddenFile {
    fn drop(&mut self) {
        if self.writer.take().is_some() {
            self.discard();
        }
    }
}

fn parquet_error(action: &'static str, path: &Path, error: impl ToString) -> LakeError {
    LakeError::Parquet { action, path: path.to_owned(), problem: error.to_string() }
}

/// Writes one batch as one file, synced, its name too. Returns its size in bytes.
pub(crate) fn write_rows(path: &Path, batch: &RecordBatch, shape: &Shape) -> Result<u64, LakeError> {
    let mut file = HiddenFile::create(path.to_owned(), batch.num_rows() as u64, shape)?;
    file.write(batch)?;
    let bytes = file.finish()?;
    sync_name(path)?;
    Ok(bytes)
}

fn sync_name(path: &Path) -> Result<(), LakeError> {
    path.parent().map_or(Ok(()), layout::sync_dir)
}

/// What a merge wrote.
pub(crate) struct Merged {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// Merges sorted files into one, keeping their order, with a few thousand rows of each in memory.
pub(crate) fn merge_files(
    inputs: &[Fetched],
    output: &Path,
    rows_expected: u64,
) -> Result<Merged, LakeError> {
    let mut file = HiddenFile::create(output.to_owned(), rows_expected, &CALLS)?;
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        cursors.extend(Cursor::open(input.path())?);
    }
    let mut rows = 0;
    let mut heap: BinaryHeap<Reverse<(Key, usize)>> =
        cursors.iter().enumerate().map(|(idx, cursor)| Reverse((cursor.key(), idx))).collect();
    let mut picked: Vec<(usize, usize)> = Vec::with_capacity(MERGE_BATCH_ROWS);
    while let Some(Reverse((_, idx))) = heap.pop() {
        picked.push((idx, cursors[idx].row));
        cursors[idx].row += 1;
        let exhausted = cursors[idx].row == cursors[idx].batch.num_rows();
        if exhausted || picked.len() == MERGE_BATCH_ROWS {
            // The rows picked so far point into batches that are about to be replaced.
            rows += flush(&mut file, &cursors, &mut picked)?;
        }
        if !exhausted || cursors[idx].refill()? {
            heap.push(Reverse((cursors[idx].key(), idx)));
        }
    }
    rows += flush(&mut file, &cursors, &mut picked)?;
    let bytes = file.finish()?;
    sync_name(output)?;
    Ok(Merged { rows, bytes })
}

/// Puts files one behind the other into one, a few thousand rows at a time.
pub(crate) fn append_files(
    inputs: &[Fetched],
    output: &Path,
    rows_expected: u64,
    shape: &Shape,
) -> Result<Merged, LakeError> {
    let mut file = HiddenFile::create(output.to_owned(), rows_expected, shape)?;
    let mut rows = 0;
    for path in inputs.iter().map(Fetched::path) {
        for batch in reader(path)? {
            let batch = batch.map_err(|error| parquet_error("read", path, error))?;
            let batch =
                widened(&batch, &shape.schema).map_err(|problem| parquet_error("read", path, problem))?;
            rows += batch.num_rows() as u64;
            file.write(&batch)?;
        }
    }
    let bytes = file.finish()?;
    sync_name(output)?;
    Ok(Merged { rows, bytes })
}

/// Hands a file's rows to `look`, in the columns of today, a few thousand at a time.
pub(crate) fn read_batches(
    path: &Path,
    shape: &Shape,
    mut look: impl FnMut(RecordBatch) -> Result<(), LakeError>,
) -> Result<(), LakeError> {
    for batch in reader(path)? {
        let batch = batch.map_err(|error| parquet_error("read", path, error))?;
        look(widened(&batch, &shape.schema).map_err(|problem| parquet_error("read", path, problem))?)?;
    }
    Ok(())
}

/// Writes a file again, its rows in their order, as `made` makes them.
pub(crate) fn copy_file(
    input: &Path,
    output: &Path,
    rows_expected: u64,
    shape: &Shape,
    made: impl Fn(&RecordBatch) -> Result<RecordBatch, LakeError>,
) -> Result<Merged, LakeError> {
    let mut file = HiddenFile::create(output.to_owned(), rows_expected, shape)?;
    let mut rows = 0;
    read_batches(input, shape, |batch| {
        let batch = made(&batch)?;
        rows += batch.num_rows() as u64;
        if batch.num_rows() > 0 { file.write(&batch) } else { Ok(()) }
    })?;
    let bytes = file.finish()?;
    sync_name(output)?;
    Ok(Merged { rows, bytes })
}

fn reader(path: &Path) -> Result<ParquetRecordBatchReader, LakeError> {
    let file = File::open(path).at("open", path)?;
    // An older file lacks the columns that were added since; they are NULL.
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| parquet_error("read", path, error))?;
    ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_batch_size(MERGE_BATCH_ROWS)
        .build()
        .map_err(|error| parquet_error("read", path, error))
}

fn flush(
    file: &mut HiddenFile,
    cursors: &[Cursor],
    picked: &mut Vec<(usize, usize)>,
) -> Result<u64, LakeError> {
    if picked.is_empty() {
        return Ok(0);
    }
    let batches: Vec<&RecordBatch> = cursors.iter().map(|cursor| &cursor.batch).collect();
    let batch = interleave_record_batch(&batches, picked)
        .map_err(|error| LakeError::Internal { problem: format!("rows cannot be merged: {error}") })?;
    file.write(&batch)?;
    picked.clear();
    Ok(batch.num_rows() as u64)
}

/// Sorts as [`SORT_COLUMNS`].
type Key = (i64, String, i64);

/// A place in a sorted file.
struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    row: usize,
}

impl Cursor {
    /// `None` for a file without rows.
    fn open(path: &Path) -> Result<Option<Self>, LakeError> {
        let mut cursor = Self {
            path: path.to_owned(),
            reader: reader(path)?,
            batch: RecordBatch::new_empty(FILE_SCHEMA.clone()),
            row: 0,
        };
        Ok(cursor.refill()?.then_some(cursor))
    }

    fn refill(&mut self) -> Result<bool, LakeError> {
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|error| parquet_error("read", &self.path, error))?;
            if batch.num_rows() > 0 {
                self.batch = widened(&batch, &FILE_SCHEMA)
                    .map_err(|problem| parquet_error("read", &self.path, problem))?;
                self.row = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self) -> Key {
        let [start_at, cdr_id, revision] = SORT_COLUMNS.map(|name| self.batch.column_by_name(name));
        let start_at: Option<&TimestampMicrosecondArray> =
            start_at.and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
        let cdr_id: Option<&StringArray> = cdr_id.and_then(|array| array.as_string_opt::<i32>());
        let revision: Option<&Int64Array> = revision.and_then(|array| array.as_primitive_opt::<Int64Type>());
        (
            start_at.map_or(0, |array| array.value(self.row)),
            cdr_id.map_or_else(String::new, |array| array.value(self.row).to_owned()),
            revision.map_or(0, |array| array.value(self.row)),
        )
    }
}

/// The batch with the columns of today, in their order.
fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let arrays = schema.fields().iter().map(|field| match batch.column_by_name(field.name()) {
        Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
        Some(array) => Err(format!("{} is {}, not {}", field.name(), array.data_type(), field.data_type())),
        None if field.is_nullable() => {
            Ok(datafusion::arrow::array::new_null_array(field.data_type(), batch.num_rows()))
        }
        None => Err(format!("{} is missing", field.name())),
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(schema.clone(), arrays).map_err(|error| error.to_string())
}
