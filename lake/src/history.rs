//! The table `calls_history` as DataFusion sees it: the files of one manifest.
//!
//! In: a snapshot of the manifest. Out: scans over its files, with what the manifest knows of each (rows, first and last
//! start) so that files out of question are not opened.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::pruning::PrunableStatistics;
use datafusion::common::stats::Precision;
use datafusion::common::{ColumnStatistics, DFSchema, Result as DataFusionResult, ScalarValue, Statistics};
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::LakeError;
use crate::column::DAY;
use crate::layout::Spot;
use crate::manifest::{LakeFile, Live, Manifest, TableFile};
use crate::rows::SQL_SCHEMA;
use crate::tree::Tree;

/// How often the manifest is read again because a file it names was merged away meanwhile.
const SNAPSHOT_ATTEMPTS: u32 = 5;

/// The files of the lake at one instant, and where they were found.
#[derive(Debug)]
pub(crate) struct Snapshot {
    tree: Tree,
    generation: u64,
    /// How often a file was nowhere when the snapshot was taken.
    n_gone: u64,
    files: Vec<(LakeFile, String)>,
    tables: BTreeMap<String, Vec<(TableFile, String)>>,
}

impl Snapshot {
    pub(crate) fn take(tree: &Tree) -> Result<Self, LakeError> {
        let dir = match tree {
            Tree::Disk(dir) => dir,
            Tree::Bucket(bucket) => {
                // Before the manifest: what is gone later is gone for this snapshot.
                let n_gone = bucket.n_gone();
                return Ok(Self { n_gone, ..Self::unlocated(tree, &*tree.current()?) });
            }
        };
        let mut generation_before = None;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let manifest = tree.current()?;
            match Self::locate(tree, dir, &manifest) {
                Ok(found) => return Ok(found),
                // The same manifest again, and still not there: it is gone for good.
                Err(missing) if generation_before == Some(manifest.generation) => {
                    let path = dir.join(missing.spot.final_path());
                    return Err(LakeError::FileMissing { path, rows: missing.rows });
                }
                Err(_) => generation_before = Some(manifest.generation),
            }
        }
        Err(LakeError::Moving { attempts: SNAPSHOT_ATTEMPTS })
    }

    fn locate(tree: &Tree, dir: &Path, manifest: &Manifest) -> Result<Self, Live> {
        Self::of(tree, manifest, |spot, rows, bytes| spot.present_path(dir).ok_or(Live { spot, rows, bytes }))
    }

    /// With the final name of each file: whoever reads it looks where it is by then.
    fn unlocated(tree: &Tree, manifest: &Manifest) -> Self {
        let final_path = |spot: Spot, _, _| Ok::<_, std::convert::Infallible>(spot.final_path());
        let Ok(found) = Self::of(tree, manifest, final_path);
        found
    }

    fn of<E>(
        tree: &Tree,
        manifest: &Manifest,
        place: impl Fn(Spot, u64, u64) -> Result<String, E>,
    ) -> Result<Self, E> {
        let mut found = Self {
            tree: tree.clone(),
            generation: manifest.generation,
            n_gone: 0,
            files: Vec::new(),
            tables: BTreeMap::new(),
        };
        for file in &manifest.files {
            found.files.push((file.clone(), place(file.spot(), file.rows, file.bytes)?));
        }
        for (name, state) in &manifest.tables {
            let files = found.tables.entry(name.clone()).or_default();
            for file in &state.files {
                let spot = Spot::of_table(name, file.number);
                files.push((file.clone(), place(spot, file.rows, file.bytes)?));
            }
        }
        Ok(found)
    }

    /// The files of another table, and where they are.
    pub(crate) fn table(&self, name: &str) -> &[(TableFile, String)] {
        self.tables.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a file has left its place since: the reason for a failed query, and a reason to ask again.
    pub(crate) fn has_moved(&self) -> bool {
        let dir = match &self.tree {
            Tree::Disk(dir) => dir,
            Tree::Bucket(bucket) => return bucket.n_gone() != self.n_gone,
        };
        let calls = self.files.iter().map(|(_, path)| path);
        let others = self.tables.values().flatten().map(|(_, path)| path);
        calls.chain(others).any(|path| !dir.join(path).is_file())
    }

    /// Which manifest it is of: a file that is nowhere although that has not changed is gone for good.
    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether any row supersedes another.
    pub(crate) fn has_corrections(&self) -> bool {
        self.files.iter().any(|(file, _)| file.corrections > 0)
    }
}

/// All rows of a snapshot, or those of the files that hold corrections.
#[derive(Debug)]
pub(crate) struct History {
    snapshot: Arc<Snapshot>,
    store: ObjectStoreUrl,
    table_schema: TableSchema,
    only_with_corrections: bool,
}

impl History {
    pub(crate) fn new(snapshot: Arc<Snapshot>, store: ObjectStoreUrl) -> Self {
        let day: FieldRef = Arc::new(Field::new(DAY.name, DataType::Date32, false));
        let table_schema =
            TableSchema::builder(SQL_SCHEMA.clone()).with_table_partition_cols(vec![day]).build();
        Self { snapshot, store, table_schema, only_with_corrections: false }
    }

    /// The files alone in which some row supersedes another.
    pub(crate) fn only_with_corrections(self) -> Self {
        Self { only_with_corrections: true, ..self }
    }

    fn files(&self) -> Vec<PartitionedFile> {
        self.snapshot
            .files
            .iter()
            .filter(|(file, _)| !self.only_with_corrections || file.corrections > 0)
            .map(|(file, path)| partitioned(file, path))
            .collect()
    }
}

fn partitioned(file: &LakeFile, path: &str) -> PartitionedFile {
    let mut known = PartitionedFile::new(path, file.bytes);
    // A name is given to one content once, so the time of change says nothing; the same always keeps caches valid.
    known.object_meta.last_modified = DateTime::UNIX_EPOCH;
    known
        .with_partition_values(vec![ScalarValue::Date32(Some(days_since_1970(file.day)))])
        .with_statistics(Arc::new(statistics(file)))
}

pub(crate) fn days_since_1970(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - NaiveDate::default().num_days_from_ce()
}

/// What the manifest knows of a file's columns.
fn statistics(file: &LakeFile) -> Statistics {
    let column_statistics = SQL_SCHEMA
        .fields()
        .iter()
        .map(|field| match field.name().as_str() {
            "start_at" => between(
                ScalarValue::TimestampMicrosecond(Some(file.first_start_us), None),
                ScalarValue::TimestampMicrosecond(Some(file.last_start_us), None),
            ),
            // Without corrections the column is not even read.
            "revision" if file.corrections == 0 => {
                between(ScalarValue::Int64(Some(0)), ScalarValue::Int64(Some(0)))
            }
            _ => ColumnStatistics::new_unknown(),
        })
        .collect();
    Statistics {
        num_rows: usize::try_from(file.rows).map_or(Precision::Absent, Precision::Exact),
        total_byte_size: Precision::Absent,
        column_statistics,
    }
}

fn between(min: ScalarValue, max: ScalarValue) -> ColumnStatistics {
    ColumnStatistics {
        null_count: Precision::Exact(0),
        min_value: Precision::Exact(min),
        max_value: Precision::Exact(max),
        ..ColumnStatistics::new_unknown()
    }
}

/// Leaves out the files that cannot hold a row the filters let through: another day, another hour.
fn pruned(
    files: Vec<PartitionedFile>,
    filters: &[Expr],
    schema: &SchemaRef,
    state: &dyn Session,
) -> DataFusionResult<Vec<PartitionedFile>> {
    let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(files) };
    let filter = state.create_physical_expr(filter, &DFSchema::try_from(schema.clone())?)?;
    // A filter that says nothing about days or times prunes nothing.
    let Ok(predicate) = PruningPredicateBuilder::new().with_file_schema(schema.clone()).try_build(filter)
    else {
        return Ok(files);
    };
    let unknown = Arc::new(Statistics::new_unknown(schema));
    let known = files.iter().map(|file| file.statistics.clone().unwrap_or_else(|| unknown.clone())).collect();
    let may_match = predicate.prune(&PrunableStatistics::new(known, schema.clone()))?;
    Ok(files.into_iter().zip(may_match).filter_map(|(file, may_match)| may_match.then_some(file)).collect())
}

/// Of all files together. Exact row counts answer `count(*)` without reading anything.
fn summed(files: &[PartitionedFile], schema: &SchemaRef) -> Statistics {
    let rows = files.iter().map(|file| match &file.statistics {
        Some(statistics) => statistics.num_rows,
        None => Precision::Absent,
    });
    Statistics {
        num_rows: rows.fold(Precision::Exact(0), |sum, rows| sum.add(&rows)),
        ..Statistics::new_unknown(schema)
    }
}

#[async_trait]
impl TableProvider for History {
    fn schema(&self) -> SchemaRef {
        self.table_schema.table_schema().clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        // Statistics, page index and bloom filters leave rows out; DataFusion still filters what is left.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let files = pruned(self.files(), filters, &self.schema(), state)?;
        if files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema().project(indices)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let statistics = summed(&files, &self.schema());
        let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
        let config =
            FileScanConfigBuilder::new(self.store.clone(), format.file_source(self.table_schema.clone()))
                .with_file_groups(FileGroup::new(files).split_files(state.config().target_partitions()))
                .with_statistics(statistics)
                .with_projection_indices(projection.cloned())?
                .with_limit(limit)
                .build();
        format.create_physical_plan(state, config).await
    }
}
