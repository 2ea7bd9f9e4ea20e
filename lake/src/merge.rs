//! Merges sorted files of calls into one, and puts rows that others supersede into a file of their own.
//!
//! In: sorted files. Out: one sorted file of what holds, and, if there are any, one of the rows that a later revision among the same
//! files supersedes. So whoever asks for what holds need not compare the revisions of every call. Blocking.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::path::{Path, PathBuf};

use datafusion::arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use datafusion::arrow::compute::interleave_record_batch;
use datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use datafusion::arrow::error::ArrowError;
use datafusion::parquet::arrow::ProjectionMask;
use datafusion::parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::LakeError;
use crate::column::SORT_COLUMNS;
use crate::error::IoContext;
use crate::parquet_file::{CALLS, HiddenFile, MERGE_BATCH_ROWS, parquet_error, reader, sync_name, widened};
use crate::rows::FILE_SCHEMA;
use crate::tree::Fetched;

/// Corrections, at most, among the rows of one merge, for which rows are put apart: a hundred bytes of memory each.
const CORRECTIONS_MAX: u64 = 1_000_000;

/// A file to be merged.
pub(crate) struct Input {
    pub(crate) file: Fetched,
    /// Rows of a revision above 0.
    pub(crate) corrections: u64,
    /// Whether all that these supersede is known to lie in files of superseded rows.
    pub(crate) is_settled: bool,
}

/// What a merge wrote.
pub(crate) struct MergedCalls {
    /// What holds, if any of it does: of records that come late all may be superseded.
    pub(crate) current: Option<Part>,
    /// What does not, if there is any.
    pub(crate) superseded: Option<Part>,
}

/// One of its files.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Rows of a revision above 0.
    pub(crate) corrections: u64,
    /// Of these, those whose every earlier revision lies in a file of superseded rows.
    pub(crate) settled: u64,
    /// Microseconds since 1970.
    pub(crate) first_start_us: i64,
    pub(crate) last_start_us: i64,
}

/// A revision, and whether all before it are where superseded rows lie.
#[derive(Clone, Copy)]
struct Revision {
    number: i64,
    is_settled: bool,
}

/// Revisions of the legs that have more than one, as far as they are among the files. Of leg by leg some hundred bytes are in memory.
#[derive(Default)]
struct Revisions(HashMap<Leg, Vec<Revision>>);

/// A `cdr_id` as a number.
pub(crate) type Leg = u128;

/// `None` for what is no id of ours: of such a row nothing is known.
fn leg(id: &str) -> Option<Leg> {
    Leg::from_str_radix(id, 16).ok()
}

impl Revisions {
    /// Of all rows of the files that are of a leg with a correction. `apart`: files of superseded rows of the same day, for what was put
    /// there by earlier merges. None of any, if there are more than [`CORRECTIONS_MAX`]: then nothing is split, and corrections stay open.
    fn of(inputs: &[Input], apart: &[Fetched]) -> Result<Self, LakeError> {
        let mut found = Self::default();
        if inputs.iter().map(|input| input.corrections).sum::<u64>() > CORRECTIONS_MAX {
            return Ok(found);
        }
        for input in inputs.iter().filter(|input| input.corrections > 0) {
            each_revision(input.file.path(), |leg, number| {
                if number > 0 {
                    let revision = Revision { number, is_settled: input.is_settled };
                    found.0.entry(leg).or_default().push(revision);
                }
            })?;
        }
        if found.0.is_empty() {
            return Ok(found);
        }
        for input in inputs {
            each_revision(input.file.path(), |leg, number| {
                if number == 0
                    && let Some(revisions) = found.0.get_mut(&leg)
                {
                    // Nothing is before it.
                    revisions.push(Revision { number: 0, is_settled: true });
                }
            })?;
        }
        for file in apart {
            each_revision(file.path(), |leg, number| {
                if let Some(revisions) = found.0.get_mut(&leg) {
                    revisions.push(Revision { number, is_settled: number == 0 });
                }
            })?;
        }
        for revisions in found.0.values_mut() {
            revisions.sort_by_key(|revision| revision.number);
            for idx in 1..revisions.len() {
                let before = revisions[idx - 1];
                // The one before it goes to where superseded rows lie, and so did all before that.
                let follows = before.number + 1 == revisions[idx].number && before.is_settled;
                revisions[idx].is_settled |= follows;
            }
        }
        Ok(found)
    }

    fn of_leg(&self, id: &str) -> Option<&Vec<Revision>> {
        if self.0.is_empty() { None } else { self.0.get(&leg(id)?) }
    }

    fn is_superseded(&self, id: &str, number: i64) -> bool {
        self.of_leg(id).and_then(|revisions| revisions.last()).is_some_and(|newest| newest.number > number)
    }

    /// Whether it is known: of what was not looked at it is not.
    fn is_settled(&self, id: &str, number: i64) -> bool {
        let Some(revisions) = self.of_leg(id) else { return false };
        let mut of_number = revisions.iter().filter(|revision| revision.number == number).peekable();
        of_number.peek().is_some() && of_number.all(|revision| revision.is_settled)
    }
}

/// Looks at the leg and revision of every row.
pub(crate) fn each_revision(path: &Path, mut look: impl FnMut(Leg, i64)) -> Result<(), LakeError> {
    let [_, cdr_id, revision] = SORT_COLUMNS;
    let file = std::fs::File::open(path).at("open", path)?;
    let wrong = |error: &dyn std::fmt::Display| parquet_error("read", path, error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| wrong(&error))?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), [cdr_id, revision]);
    let batches = builder.with_projection(mask).with_batch_size(MERGE_BATCH_ROWS).build();
    for batch in batches.map_err(|error| wrong(&error))? {
        let batch = batch.map_err(|error| wrong(&error))?;
        let ids: Option<&StringArray> =
            batch.column_by_name(cdr_id).and_then(|array| array.as_string_opt::<i32>());
        let revisions: Option<&Int64Array> =
            batch.column_by_name(revision).and_then(|array| array.as_primitive_opt::<Int64Type>());
        let (Some(ids), Some(revisions)) = (ids, revisions) else {
            return Err(wrong(&"cdr_id or revision is missing"));
        };
        for row in 0..batch.num_rows() {
            if let Some(leg) = leg(ids.value(row)) {
                look(leg, revisions.value(row));
            }
        }
    }
    Ok(())
}

/// Merges sorted files, keeping their order, with a few thousand rows of each in memory, and the revisions of those legs that have several. Of `apart` see [`Revisions::of`].
pub(crate) fn merge_files(
    inputs: &[Input],
    apart: &[Fetched],
    current: &Path,
    superseded: &Path,
    rows_expected: u64,
) -> Result<MergedCalls, LakeError> {
    let revisions = Revisions::of(inputs, apart)?;
    let mut cursors = Vec::with_capacity(inputs.len());
    for input in inputs {
        cursors.extend(Cursor::open(input.file.path())?);
    }
    let mut current = Output::new(current, rows_expected);
    // Few, as a rule: its bloom filters need not be made for all rows.
    let mut superseded = Output::new(superseded, revisions.0.len() as u64);
    let mut heap: BinaryHeap<Reverse<(Key, usize)>> =
        cursors.iter().enumerate().map(|(idx, cursor)| Reverse((cursor.key(), idx))).collect();
    while let Some(Reverse((mut key, idx))) = heap.pop() {
        // As long as the next row of all is in the same file, nothing has to be looked for.
        loop {
            let cursor = &mut cursors[idx];
            let (id, number) = (cursor.ids.value(cursor.row), cursor.revisions.value(cursor.row));
            let output = if revisions.is_superseded(id, number) { &mut superseded } else { &mut current };
            output.take(key.start_us, number > 0, || revisions.is_settled(id, number), (idx, cursor.row));
            cursor.row += 1;
            let exhausted = cursor.row == cursor.batch.num_rows();
            if exhausted || current.picked.len() == MERGE_BATCH_ROWS {
                // The rows picked so far point into batches that are about to be replaced.
                current.flush(&cursors)?;
                superseded.flush(&cursors)?;
            }
            if exhausted && !cursors[idx].refill()? {
                break;
            }
            key = cursors[idx].key();
            if heap.peek().is_some_and(|Reverse((next, _))| *next < key) {
                heap.push(Reverse((key, idx)));
                break;
            }
        }
    }
    current.flush(&cursors)?;
    superseded.flush(&cursors)?;
    Ok(MergedCalls { current: current.finish()?, superseded: superseded.finish()? })
}

/// A file being written, once it has rows.
struct Output<'a> {
    path: &'a Path,
    rows_expected: u64,
    file: Option<HiddenFile>,
    /// Input and row.
    picked: Vec<(usize, usize)>,
    part: Part,
}

impl<'a> Output<'a> {
    fn new(path: &'a Path, rows_expected: u64) -> Self {
        Self { path, rows_expected, file: None, picked: Vec::new(), part: Part::default() }
    }

    fn take(
        &mut self,
        start_us: i64,
        is_correction: bool,
        is_settled: impl FnOnce() -> bool,
        place: (usize, usize),
    ) {
        if self.part.rows == 0 {
            self.part.first_start_us = start_us;
        }
        self.part.last_start_us = start_us;
        self.part.rows += 1;
        if is_correction {
            self.part.corrections += 1;
            self.part.settled += u64::from(is_settled());
        }
        self.picked.push(place);
    }

    fn flush(&mut self, cursors: &[Cursor]) -> Result<(), LakeError> {
        let (Some(first), Some(last)) = (self.picked.first(), self.picked.last()) else { return Ok(()) };
        let is_a_run = first.0 == last.0
            && last.1 - first.1 + 1 == self.picked.len()
            && self.picked.iter().all(|(input, _)| *input == first.0);
        let batch = if is_a_run {
            Ok(cursors[first.0].batch.slice(first.1, self.picked.len()))
        } else {
            let batches: Vec<&RecordBatch> = cursors.iter().map(|cursor| &cursor.batch).collect();
            interleave_record_batch(&batches, &self.picked)
        };
        let batch = batch.map_err(|error: ArrowError| LakeError::Internal {
            problem: format!("rows cannot be merged: {error}"),
        })?;
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(HiddenFile::create(self.path.to_owned(), self.rows_expected, &CALLS)?),
        };
        file.write(&batch)?;
        self.picked.clear();
        Ok(())
    }

    /// `None` if there was no row.
    fn finish(mut self) -> Result<Option<Part>, LakeError> {
        let Some(file) = self.file.take() else { return Ok(None) };
        self.part.bytes = file.finish()?;
        sync_name(self.path)?;
        Ok(Some(self.part))
    }
}

/// Sorts as [`SORT_COLUMNS`]; of an id as many letters as ours have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    start_us: i64,
    id: [u8; 32],
    revision: i64,
}

/// A place in a sorted file.
struct Cursor {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
    batch: RecordBatch,
    starts_us: Vec<i64>,
    ids: StringArray,
    revisions: Int64Array,
    row: usize,
}

impl Cursor {
    /// `None` for a file without rows.
    fn open(path: &Path) -> Result<Option<Self>, LakeError> {
        let mut cursor = Self {
            path: path.to_owned(),
            reader: reader(path)?,
            batch: RecordBatch::new_empty(FILE_SCHEMA.clone()),
            starts_us: Vec::new(),
            ids: StringArray::new_null(0),
            revisions: Int64Array::new_null(0),
            row: 0,
        };
        Ok(cursor.refill()?.then_some(cursor))
    }

    fn refill(&mut self) -> Result<bool, LakeError> {
        for batch in self.reader.by_ref() {
            let batch = batch.map_err(|error| parquet_error("read", &self.path, error))?;
            if batch.num_rows() > 0 {
                let batch = widened(&batch, &FILE_SCHEMA)
                    .map_err(|problem| parquet_error("read", &self.path, problem))?;
                let [start_at, cdr_id, revision] = SORT_COLUMNS.map(|name| batch.column_by_name(name));
                let starts = start_at.and_then(|array| array.as_primitive_opt::<TimestampMicrosecondType>());
                let ids = cdr_id.and_then(|array| array.as_string_opt::<i32>());
                let revisions = revision.and_then(|array| array.as_primitive_opt::<Int64Type>());
                let (Some(starts), Some(ids), Some(revisions)) = (starts, ids, revisions) else {
                    return Err(parquet_error(
                        "read",
                        &self.path,
                        "a column that rows are sorted by is missing",
                    ));
                };
                self.starts_us = starts.values().to_vec();
                (self.ids, self.revisions) = (ids.clone(), revisions.clone());
                self.batch = batch;
                self.row = 0;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn key(&self) -> Key {
        let mut id = [0; 32];
        let text = self.ids.value(self.row).as_bytes();
        let length = text.len().min(id.len());
        id[..length].copy_from_slice(&text[..length]);
        Key { start_us: self.starts_us[self.row], id, revision: self.revisions.value(self.row) }
    }
}
