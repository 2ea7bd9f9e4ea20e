//! The table `calls_history` as DataFusion sees it: the files of one manifest.
//!
//! In: a snapshot of the manifest. Out: scans over its files, with what the manifest knows of each (rows, first and last
//! start) so that files out of question are not opened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Datelike, NaiveDate};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
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
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::LakeError;
use crate::column::DAY;
use crate::layout::Spot;
use crate::manifest::{LakeFile, Live, Manifest, TableFile};
use crate::needle;
use crate::needle::FilterPlaces;
use crate::period;
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

    /// Where rows may lie that a later revision supersedes, beside the files that hold nothing else.
    pub(crate) fn superseded(&self) -> Superseded {
        let mut days = BTreeSet::new();
        for (file, _) in self.files.iter().filter(|(file, _)| file.has_open_corrections()) {
            if !file.is_near {
                return Superseded::Anywhere;
            }
            days.insert(file.day);
        }
        if days.is_empty() { Superseded::Nowhere } else { Superseded::Within(days) }
    }
}

/// Where superseded rows may lie among those that are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Superseded {
    Nowhere,
    /// In these days.
    Within(BTreeSet<NaiveDate>),
    Anywhere,
}

/// Which files of a snapshot.
#[derive(Debug, Clone)]
pub(crate) enum Part {
    /// All.
    All,
    /// All but those of superseded rows.
    Current,
    /// Of these, those of the days named, or of all other days.
    Days { days: BTreeSet<NaiveDate>, are_meant: bool },
    /// Those with a row that may supersede one in another file that is not of superseded rows alone.
    WithCorrections,
}

impl Part {
    fn has(&self, file: &LakeFile) -> bool {
        match self {
            Part::All => true,
            Part::Current => !file.is_superseded,
            Part::Days { days, are_meant } => !file.is_superseded && days.contains(&file.day) == *are_meant,
            Part::WithCorrections => file.has_open_corrections(),
        }
    }
}

/// Rows of a snapshot.
#[derive(Debug)]
pub(crate) struct History {
    snapshot: Arc<Snapshot>,
    store: ObjectStoreUrl,
    table_schema: TableSchema,
    places: Arc<FilterPlaces>,
    part: Part,
}

impl History {
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        store: ObjectStoreUrl,
        places: Arc<FilterPlaces>,
        part: Part,
    ) -> Self {
        let day: FieldRef = Arc::new(Field::new(DAY.name, DataType::Date32, false));
        let table_schema =
            TableSchema::builder(SQL_SCHEMA.clone()).with_table_partition_cols(vec![day]).build();
        Self { snapshot, store, table_schema, places, part }
    }

    fn known_files(&self) -> impl Iterator<Item = &(LakeFile, String)> {
        self.snapshot.files.iter().filter(|(file, _)| self.part.has(file))
    }

    /// Those that may hold a row that all filters let through: not of another day, nor of another hour.
    fn files(&self, filters: &[Expr]) -> Vec<PartitionedFile> {
        let may_hold = |file: &LakeFile| filters.iter().all(|filter| period::of(filter, file).some_pass);
        self.known_files()
            .filter(|(file, _)| may_hold(file))
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
        // Statistics, page index and bloom filters leave rows out; DataFusion still filters what is left. But of a period from midnight to
        // midnight each file is in or out as a whole: then no row has to be looked at for it.
        let known = |filter: &&Expr| {
            if period::is_asked(filter)
                && self.known_files().all(|(file, _)| period::of(filter, file).is_decided())
            {
                TableProviderFilterPushDown::Exact
            } else {
                TableProviderFilterPushDown::Inexact
            }
        };
        Ok(filters.iter().map(known).collect())
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut files = self.files(filters);
        let mut options = state.default_table_options().parquet;
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            // Statistics of columns are asked about casts that do not keep their order, and leave out what is meant.
            if period::casts_times(&filter) {
                options.global.pruning = false;
                options.global.enable_page_index = false;
                files.iter_mut().for_each(|file| file.statistics = None);
            }
            let filter = state.create_physical_expr(filter, &DFSchema::try_from(self.schema())?)?;
            let store = state.runtime_env().object_store(&self.store)?;
            files = self.places.narrow(files, self.snapshot.files.len(), &filter, store.as_ref()).await?;
            // Few rows of one call or account: the other columns are read where they are.
            options.global.pushdown_filters |= needle::is_narrow(&filter);
        }
        if files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema().project(indices)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let statistics = summed(&files, &self.schema());
        let format = ParquetFormat::default().with_options(options);
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
