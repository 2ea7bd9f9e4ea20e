//! Finds the row groups that may hold what is asked for by id or account, by one small read in the bloom filter of each.
//!
//! In: the filters of a scan, and its files. Out: the files that may hold such a row, each with the row groups to be read. DataFusion looks
//! into the same filters, but opens each file and reads its filters whole for it: among a hundred million calls that is hundreds of megabytes
//! for one call. Here a filter is asked about the one block of 32 bytes in which the value would have left its mark.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::{Result as DataFusionResult, ScalarValue};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::ParquetAccessPlan;
use datafusion::datasource::physical_plan::parquet::RowGroupAccess;
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::object_store::path::Path;
use datafusion::object_store::{ObjectMeta, ObjectStore};
use datafusion::parquet::bloom_filter::Sbbf;
use datafusion::parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::{Guarantee, LiteralGuarantee};
use futures::{StreamExt, TryStreamExt};

use crate::column::BLOOM_COLUMNS;

/// Bytes of a block: a value marks bits of one alone (Parquet's BloomFilter.md, split block bloom filters).
const BLOCK_BYTES: usize = 32;
/// Values of one column that are looked for at most; with more hardly a row group is left out.
const VALUES_MAX: usize = 20;
/// Files that are asked at once.
const FILES_AT_ONCE: usize = 8;
/// The footer is read in one piece if it is not longer.
const FOOTER_HINT: usize = 256 * 1024;
/// Files remembered beyond those of the newest snapshot.
const REMEMBERED_SPARE: usize = 4_096;

/// Where the bloom filters of files lie, as far as they have been looked for.
#[derive(Debug, Default)]
pub(crate) struct FilterPlaces(Mutex<HashMap<Path, Arc<Places>>>);

/// Those of one file: for each row group offset and length of the filter of each of [`BLOOM_COLUMNS`].
type Places = Vec<Vec<Option<(u64, usize)>>>;

/// A column, and what must be in it.
struct Wanted {
    column_idx: usize,
    values: Vec<ScalarValue>,
}

impl FilterPlaces {
    /// Leaves out files, and row groups of files, that cannot hold a row the filter lets through.
    pub(crate) async fn narrow(
        &self,
        files: Vec<PartitionedFile>,
        n_in_lake: usize,
        filter: &Arc<dyn PhysicalExpr>,
        store: &dyn ObjectStore,
    ) -> DataFusionResult<Vec<PartitionedFile>> {
        let wanted = wanted(filter);
        if wanted.is_empty() {
            return Ok(files);
        }
        self.forget_beyond(n_in_lake + REMEMBERED_SPARE);
        let narrowed = futures::stream::iter(files)
            .map(|file| self.narrow_file(file, &wanted, store))
            .buffered(FILES_AT_ONCE)
            .try_collect::<Vec<Option<PartitionedFile>>>()
            .await?;
        Ok(narrowed.into_iter().flatten().collect())
    }

    /// The file with the row groups to be read; `None` if there is none.
    async fn narrow_file(
        &self,
        file: PartitionedFile,
        wanted: &[Wanted],
        store: &dyn ObjectStore,
    ) -> DataFusionResult<Option<PartitionedFile>> {
        let places = self.places(&file.object_meta, store).await?;
        let mut marks = Marks::default();
        let mut ranges: Vec<Range<u64>> = Vec::new();
        let mut masks: Vec<[u8; BLOCK_BYTES]> = Vec::new();
        for row_group in places.iter() {
            for Wanted { column_idx, values } in wanted {
                let Some((offset, length)) = row_group[*column_idx] else { continue };
                for value in values {
                    let (place, mask) = marks.of(value, length);
                    let start = offset + place as u64;
                    ranges.push(start..start + BLOCK_BYTES as u64);
                    masks.push(mask);
                }
            }
        }
        let blocks = store.get_ranges(&file.object_meta.location, &ranges).await?;
        let mut may_hold = blocks.iter().zip(&masks).map(|(block, mask)| {
            block.len() != BLOCK_BYTES || block.iter().zip(mask).all(|(block, mask)| block & mask == *mask)
        });
        let mut access = Vec::with_capacity(places.len());
        for row_group in places.iter() {
            let mut is_possible = true;
            for Wanted { column_idx, values } in wanted {
                if row_group[*column_idx].is_some() {
                    // All are looked at: each has its place in the list.
                    let found = may_hold.by_ref().take(values.len()).filter(|may_hold| *may_hold).count();
                    is_possible &= found > 0;
                }
            }
            access.push(if is_possible { RowGroupAccess::Scan } else { RowGroupAccess::Skip });
        }
        if !access.iter().any(RowGroupAccess::should_scan) {
            return Ok(None);
        }
        Ok(Some(file.with_extension(ParquetAccessPlan::new(access))))
    }

    async fn places(&self, file: &ObjectMeta, store: &dyn ObjectStore) -> DataFusionResult<Arc<Places>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&file.location).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let metadata = DFParquetMetadata::new(store, file)
            .with_metadata_size_hint(Some(FOOTER_HINT))
            .with_page_index_policy(Some(PageIndexPolicy::Skip))
            .fetch_metadata()
            .await?;
        let found = Arc::new(places_in(&metadata));
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(file.location.clone(), found.clone());
        Ok(found)
    }

    /// Files come and go by the second; those that are asked for again are looked into again.
    fn forget_beyond(&self, n_files: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() > n_files {
            known.clear();
        }
    }
}

fn places_in(metadata: &ParquetMetaData) -> Places {
    let of_column = |row_group: usize, name: &str| {
        let columns = metadata.row_group(row_group).columns().iter();
        let column = columns.into_iter().find(|column| column.column_path().parts() == [name])?;
        let offset = u64::try_from(column.bloom_filter_offset()?).ok()?;
        let length = usize::try_from(column.bloom_filter_length()?).ok()?;
        // A header of some bytes, and bits that are a power of two: at least a block, which is longer than any header.
        let bits = if length < BLOCK_BYTES { return None } else { 1_usize << length.ilog2() };
        Some((offset + (length - bits) as u64, bits))
    };
    let row_groups = 0..metadata.num_row_groups();
    row_groups.map(|idx| BLOOM_COLUMNS.iter().map(|name| of_column(idx, name)).collect()).collect()
}

/// Whether rows of a few calls or accounts are asked for.
pub(crate) fn is_narrow(filter: &Arc<dyn PhysicalExpr>) -> bool {
    !wanted(filter).is_empty()
}

/// What must be in columns that have a filter.
fn wanted(filter: &Arc<dyn PhysicalExpr>) -> Vec<Wanted> {
    let guarantees = LiteralGuarantee::analyze(filter).into_iter();
    guarantees
        .filter(|one| one.guarantee == Guarantee::In && one.literals.len() <= VALUES_MAX)
        .filter_map(|one| {
            let column_idx = BLOOM_COLUMNS.iter().position(|name| *name == one.column.name())?;
            let values: Vec<ScalarValue> = one.literals.into_iter().collect();
            values
                .iter()
                .all(|value| marked(value, BLOCK_BYTES).is_some())
                .then_some(Wanted { column_idx, values })
        })
        .collect()
}

/// Where values leave their marks in filters of one length; most filters of a lake have the same.
#[derive(Default)]
struct Marks(HashMap<(ScalarValue, usize), (usize, [u8; BLOCK_BYTES])>);

impl Marks {
    fn of(&mut self, value: &ScalarValue, length: usize) -> (usize, [u8; BLOCK_BYTES]) {
        let key = (value.clone(), length);
        // A value that leaves none anywhere is nowhere asked about.
        *self.0.entry(key).or_insert_with(|| marked(value, length).unwrap_or((0, [0; BLOCK_BYTES])))
    }
}

/// The block that `value` marks in a filter of `length` bytes, and the bits: those that it leaves in an empty one. `None` for a type that
/// no such column has.
fn marked(value: &ScalarValue, length: usize) -> Option<(usize, [u8; BLOCK_BYTES])> {
    let mut filter = Sbbf::new_with_num_of_bytes(length);
    #[expect(clippy::wildcard_enum_match_arm, reason = "columns with filters are texts and integers")]
    match value {
        ScalarValue::Utf8View(Some(text))
        | ScalarValue::Utf8(Some(text))
        | ScalarValue::LargeUtf8(Some(text)) => {
            filter.insert(text.as_str());
        }
        ScalarValue::Int64(Some(number)) => filter.insert(number),
        _ => return None,
    }
    let mut bits = Vec::with_capacity(length);
    filter.write_bitset(&mut bits).ok()?;
    let (blocks, _) = bits.as_chunks::<BLOCK_BYTES>();
    let idx = blocks.iter().position(|block| block.iter().any(|byte| *byte != 0))?;
    Some((idx * BLOCK_BYTES, blocks[idx]))
}
