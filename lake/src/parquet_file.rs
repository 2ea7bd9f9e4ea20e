//! Writes and reads the Parquet files. Blocking: callers are on a thread that may wait.
//!
//! In: sorted rows, or files. Out: one file, synced, under its hidden name. What names it is the manifest.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use datafusion::arrow::array::{Array, RecordBatch};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::parquet::arrow::ArrowWriter;
use datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use datafusion::parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, compute_leaves};
use datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use datafusion::parquet::errors::ParquetError;
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
pub(crate) const MERGE_BATCH_ROWS: usize = 4_096;
/// zstd level 3: higher ones were measured to be slower and no smaller.
const ZSTD_LEVEL: i32 = 3;
/// One of a hundred files is read in vain when one call is looked for.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// Threads that encode a commit of many rows: what waited while the lake could not be written is to be in it soon.
pub(crate) const WRITING_THREADS: usize = 2;
/// Rows of a commit from which on threads share its columns.
const SHARED_ROWS_MIN: usize = 8_192;

/// What a file is to look like beside its rows.
pub(crate) struct Shape {
    pub(crate) schema: SchemaRef,
    /// Table it is of, written into the file.
    pub(crate) table: &'static str,
    /// Columns its rows are in the order of.
    pub(crate) sorted_by: &'static [&'static str],
    /// Columns with a bloom filter.
    pub(crate) bloom: &'static [&'static str],
    /// Columns whose values are hardly ever the same twice, and how they are written instead of by a dictionary.
    pub(crate) without_dictionary: &'static [(&'static str, Encoding)],
}

/// Lengths apart from letters: between ids of one length nothing is left but the ids. Times as differences. Measured on calls as
/// `benches/duckdb` makes them; encodings that fewer readers know were not taken.
const WITHOUT_DICTIONARY: &[(&str, Encoding)] = &[
    ("cdr_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("call_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("sip_call_id", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("destination_number", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("destination_user", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("destination_user_out", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("dialed", Encoding::DELTA_LENGTH_BYTE_ARRAY),
    ("routes", Encoding::PLAIN),
    ("init_at", Encoding::DELTA_BINARY_PACKED),
    ("start_at", Encoding::DELTA_BINARY_PACKED),
    ("end_at", Encoding::DELTA_BINARY_PACKED),
    ("pdd_us", Encoding::DELTA_BINARY_PACKED),
    ("setup_us", Encoding::DELTA_BINARY_PACKED),
    ("setup_ms", Encoding::DELTA_BINARY_PACKED),
    ("duration_seconds", Encoding::PLAIN),
];

/// Bytes of a dictionary at most: one of a subscriber's uuid for each row of a row group fits.
const DICTIONARY_BYTES: usize = 8 * 1024 * 1024;

/// Files of calls.
pub(crate) static CALLS: LazyLock<Shape> = LazyLock::new(|| Shape {
    schema: FILE_SCHEMA.clone(),
    table: "calls_history",
    sorted_by: &SORT_COLUMNS,
    bloom: BLOOM_COLUMNS,
    without_dictionary: WITHOUT_DICTIONARY,
});

impl Shape {
    /// Files of another table. Merged ones are not sorted through, so none says it is.
    pub(crate) fn of_table(table: &Table) -> Self {
        Self {
            schema: table.file_schema(),
            table: table.name,
            sorted_by: &[],
            bloom: &[],
            without_dictionary: &[],
        }
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
        .set_dictionary_page_size_limit(DICTIONARY_BYTES)
        .set_sorting_columns((!sorting.is_empty()).then_some(sorting))
        .set_created_by(concat!("tollbook lake ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "tollbook.table".to_owned(),
            shape.table.to_owned(),
        )]));
    for (name, encoding) in shape.without_dictionary {
        builder = builder
            .set_column_dictionary_enabled(ColumnPath::from(*name), false)
            .set_column_encoding(ColumnPath::from(*name), *encoding);
    }
    for name in shape.bloom {
        builder = builder
            .set_column_bloom_filter_fpp(ColumnPath::from(*name), BLOOM_FALSE_POSITIVES)
            // Folded to what is needed once the row group is full.
            .set_column_bloom_filter_max_ndv(ColumnPath::from(*name), rows.clamp(1, ROW_GROUP_ROWS as u64));
    }
    Ok(builder.build())
}

/// A file being written under its hidden name. Dropped unfinished, it is deleted.
pub(crate) struct HiddenFile {
    path: PathBuf,
    writer: Option<ArrowWriter<File>>,
}

impl HiddenFile {
    pub(crate) fn create(path: PathBuf, rows: u64, shape: &Shape) -> Result<Self, LakeError> {
        let file = File::create(&path).at("create", &path)?;
        let writer = ArrowWriter::try_new(file, shape.schema.clone(), Some(properties(shape, rows)?))
            .map_err(|error| parquet_error("write", &path, error))?;
        Ok(Self { path, writer: Some(writer) })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        match &mut self.writer {
            Some(writer) => writer.write(batch).map_err(|error| parquet_error("write", &self.path, error)),
            None => Err(LakeError::Internal { problem: "a finished file was written to".to_owned() }),
        }
    }

    /// Writes the footer and syncs; the size in bytes.
    pub(crate) fn finish(mut self) -> Result<u64, LakeError> {
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

    /// Writes `batches` as the only row group, its columns side by side, and finishes.
    fn finish_with(mut self, batches: &[RecordBatch]) -> Result<u64, LakeError> {
        let Some(writer) = self.writer.take() else {
            return Err(LakeError::Internal { problem: "a finished file was written to".to_owned() });
        };
        let finished = (|| {
            let wrong = |error: ParquetError| parquet_error("write", &self.path, error);
            let (mut file, columns) = writer.into_serialized_writer().map_err(wrong)?;
            let encoded = encode(batches, columns.create_column_writers(0).map_err(wrong)?).map_err(wrong)?;
            let mut row_group = file.next_row_group().map_err(wrong)?;
            for column in encoded {
                column.append_to_row_group(&mut row_group).map_err(wrong)?;
            }
            row_group.close().map_err(wrong)?;
            let file = file.into_inner().map_err(wrong)?;
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

pub(crate) fn parquet_error(action: &'static str, path: &Path, error: impl ToString) -> LakeError {
    LakeError::Parquet { action, path: path.to_owned(), problem: error.to_string() }
}

/// Writes batches as one file, synced, its name too. Returns its size in bytes.
pub(crate) fn write_rows(path: &Path, batches: &[RecordBatch], shape: &Shape) -> Result<u64, LakeError> {
    let n_rows = batches.iter().map(RecordBatch::num_rows).sum();
    let mut file = HiddenFile::create(path.to_owned(), n_rows as u64, shape)?;
    let bytes = if (SHARED_ROWS_MIN..=ROW_GROUP_ROWS).contains(&n_rows) {
        file.finish_with(batches)?
    } else {
        batches.iter().try_for_each(|batch| file.write(batch))?;
        file.finish()?
    };
    sync_name(path)?;
    Ok(bytes)
}

/// Encodes the columns of one row group, on all threads that writing has.
fn encode(
    batches: &[RecordBatch],
    writers: Vec<ArrowColumnWriter>,
) -> Result<Vec<ArrowColumnChunk>, ParquetError> {
    let Some(schema) = batches.first().map(RecordBatch::schema) else { return Ok(Vec::new()) };
    let columns = schema.fields().iter().zip(writers).enumerate();
    // Some columns take ten times as long as others: each thread takes the next one that nobody has.
    let columns = Mutex::new(columns);
    let next = || columns.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        let mut encoded = Vec::new();
        while let Some((idx, (field, mut writer))) = next() {
            for batch in batches {
                for leaf in compute_leaves(field, batch.column(idx))? {
                    writer.write(&leaf)?;
                }
            }
            encoded.push((idx, writer.close()?));
        }
        Ok::<_, ParquetError>(encoded)
    };
    let mut encoded = std::thread::scope(|scope| {
        let others: Vec<_> = (1..WRITING_THREADS).map(|_| scope.spawn(work)).collect();
        let mut encoded = work()?;
        for other in others {
            let panicked = |_| ParquetError::General("encoding a column panicked".to_owned());
            encoded.extend(other.join().map_err(panicked)??);
        }
        Ok::<_, ParquetError>(encoded)
    })?;
    encoded.sort_by_key(|(idx, _)| *idx);
    Ok(encoded.into_iter().map(|(_, chunk)| chunk).collect())
}

pub(crate) fn sync_name(path: &Path) -> Result<(), LakeError> {
    path.parent().map_or(Ok(()), layout::sync_dir)
}

/// What was written of some files.
pub(crate) struct Merged {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
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

pub(crate) fn reader(path: &Path) -> Result<ParquetRecordBatchReader, LakeError> {
    let file = File::open(path).at("open", path)?;
    // An older file lacks the columns that were added since; they are NULL.
    let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new())
        .map_err(|error| parquet_error("read", path, error))?;
    ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_batch_size(MERGE_BATCH_ROWS)
        .build()
        .map_err(|error| parquet_error("read", path, error))
}

/// The batch with the columns of today, in their order.
pub(crate) fn widened(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
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
