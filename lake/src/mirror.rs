//! Writes the tables beside the calls, in the same manifest and by the same steps as the calls: rows and what they were made
//! from are committed together. Also their merging, and how SQL reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::Result as DataFusionResult;
use datafusion::datasource::TableType;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use crate::compaction::{Compacted, tier};
use crate::history::Snapshot;
use crate::layout::Spot;
use crate::manifest::{Manifest, RetiredTable, TableFile};
use crate::parquet_file::{self, Shape};
use crate::table::{Row, Table};
use crate::tables::MIRRORED;
use crate::writer::{State, Unpublished, Writer};
use crate::{Lake, LakeError, Positions, Watermark, blocking};

/// What one lane of the bus adds to a table in one commit.
#[derive(Debug, Clone, Default)]
pub struct TableLane {
    /// Partition of the bus.
    pub partition: u32,
    /// How far the lane is with these rows; never less than in the commit before.
    pub position: u64,
    /// Highest origins among these rows.
    pub watermarks: Vec<Watermark>,
    /// The rows; none if the records read led to none.
    pub rows: Vec<Row>,
}

impl Lake {
    /// How far each lane of the bus is in `table`.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn table_positions(&self, table: &Table) -> Result<Positions, LakeError> {
        Ok(self
            .tree
            .current()?
            .tables
            .get(table.name)
            .map(|state| state.positions.clone())
            .unwrap_or_default())
    }

    /// What the rows of `table` were made from, as given to [`Lake::replace`]; empty before the first time.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn table_mark(&self, table: &Table) -> Result<String, LakeError> {
        Ok(self.tree.current()?.tables.get(table.name).map(|state| state.mark.clone()).unwrap_or_default())
    }

    /// Rows in the files of `table`.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn count_table_rows(&self, table: &Table) -> Result<u64, LakeError> {
        let manifest = self.tree.current()?;
        Ok(manifest.tables.get(table.name).map_or(0, |state| state.files.iter().map(|file| file.rows).sum()))
    }

    /// Adds rows to a table and moves its lanes on, both or neither; as [`Lake::commit`] does for the calls.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::commit`].
    pub async fn append(
        &self,
        table: &'static Table,
        lanes: Vec<TableLane>,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let writer = self.writer()?;
        blocking(move || writer.append(table, lanes, now)).await
    }

    /// Puts `rows` in the place of all rows of a table, and `mark` beside them. Queries that run go on with the old ones.
    ///
    /// # Errors
    ///
    /// Those of [`Lake::commit`].
    pub async fn replace(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        mark: String,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let writer = self.writer()?;
        blocking(move || writer.replace(table, rows, mark, now)).await
    }
}

impl Writer {
    fn append(
        &self,
        table: &'static Table,
        lanes: Vec<TableLane>,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let entry = next.tables.entry(table.name.to_owned()).or_default();
        let before = entry.positions.clone();
        let mut rows = Vec::new();
        for lane in lanes {
            before.refuse_replay(lane.partition, lane.position, !lane.rows.is_empty())?;
            entry.positions.advance(lane.partition, lane.position, &lane.watermarks);
            rows.extend(lane.rows);
        }
        if rows.is_empty() && entry.positions == before {
            return Ok(());
        }
        let mut written = Unpublished::new(self, &state);
        if !rows.is_empty() {
            self.add_file(table, rows, &mut state, &mut next, &mut written)?;
        }
        self.publish(&mut state, next, now, &mut written)
    }

    fn replace(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        mark: String,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let entry = next.tables.entry(table.name.to_owned()).or_default();
        entry.mark = mark;
        let old = std::mem::take(&mut entry.files);
        let retired = old.iter().map(|file| RetiredTable {
            table: table.name.to_owned(),
            number: file.number,
            since: now,
        });
        next.retired_tables.extend(retired);
        let mut written = Unpublished::new(self, &state);
        if !rows.is_empty() {
            self.add_file(table, rows, &mut state, &mut next, &mut written)?;
        }
        self.publish(&mut state, next, now, &mut written)?;
        self.move_out(&spots(table, &old));
        Ok(())
    }

    fn add_file(
        &self,
        table: &'static Table,
        rows: Vec<Row>,
        state: &mut State,
        next: &mut Manifest,
        written: &mut Unpublished<'_>,
    ) -> Result<(), LakeError> {
        let number = state.manifest.next_file;
        state.manifest.next_file += 1;
        next.next_file = state.manifest.next_file;
        let n_rows = rows.len() as u64;
        let path = written.begin(Spot::of_table(table.name, number))?;
        let bytes = parquet_file::write_rows(&path, &[table.batch(rows)?], &Shape::of_table(table))?;
        written.seal()?;
        let file = TableFile { number, rows: n_rows, bytes };
        next.tables.entry(table.name.to_owned()).or_default().files.push(file);
        Ok(())
    }

    /// Merges small files of every table, and adds what was done to `done`.
    pub(crate) fn compact_tables(&self, now: DateTime<Utc>, done: &mut Compacted) -> Result<(), LakeError> {
        for table in MIRRORED {
            let files = {
                let state = self.state()?;
                state.manifest.tables.get(table.name).map(|state| state.files.clone()).unwrap_or_default()
            };
            for group in self.groups(files) {
                done.files_before += group.len() as u64;
                done.files_after += 1;
                done.rows += group.iter().map(|file| file.rows).sum::<u64>();
                self.merge_table(table, &group, now)?;
            }
        }
        Ok(())
    }

    /// Files of about one size to be merged with each other; none grows far beyond `target_rows`.
    fn groups(&self, files: Vec<TableFile>) -> Vec<Vec<TableFile>> {
        let mut tiers: BTreeMap<u32, Vec<TableFile>> = BTreeMap::new();
        for file in files.into_iter().filter(|file| file.rows < self.config.target_rows) {
            tiers.entry(tier(file.rows, self.config.compact_files_min as u64)).or_default().push(file);
        }
        let mut groups = Vec::new();
        for mut files in tiers.into_values() {
            files.sort_by_key(|file| file.number);
            let (mut group, mut rows) = (Vec::new(), 0);
            for file in files {
                rows += file.rows;
                group.push(file);
                if rows >= self.config.target_rows {
                    groups.push(std::mem::take(&mut group));
                    rows = 0;
                }
            }
            groups.push(group);
        }
        groups.retain(|group| group.len() >= self.config.compact_files_min.max(2));
        groups
    }

    fn merge_table(
        &self,
        table: &'static Table,
        group: &[TableFile],
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let (number, mut written) = self.begin(1)?;
        let wanted = group.iter().map(|file| (Spot::of_table(table.name, file.number), file.rows));
        let inputs = self.fetch(wanted, &written)?;
        let hidden = written.begin(Spot::of_table(table.name, number))?;
        let expected: u64 = group.iter().map(|file| file.rows).sum();
        let merged = parquet_file::append_files(&inputs, &hidden, expected, &Shape::of_table(table))?;
        drop(inputs);
        written.seal()?;
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let entry = next.tables.entry(table.name.to_owned()).or_default();
        let are_there = group.iter().all(|file| entry.files.contains(file));
        if merged.rows != expected || !are_there {
            // A table that was replaced meanwhile needs no merging any more.
            return if are_there {
                let (day, files, found) = (table.name.to_owned(), group.len(), merged.rows);
                Err(LakeError::MergeMiscounted { day, files, expected, found })
            } else {
                Ok(())
            };
        }
        entry.files.retain(|file| !group.contains(file));
        entry.files.push(TableFile { number, rows: merged.rows, bytes: merged.bytes });
        let retired = group.iter().map(|file| RetiredTable {
            table: table.name.to_owned(),
            number: file.number,
            since: now,
        });
        next.retired_tables.extend(retired);
        self.publish(&mut state, next, now, &mut written)?;
        self.move_out(&spots(table, group));
        Ok(())
    }
}

fn spots(table: &Table, files: &[TableFile]) -> Vec<Spot> {
    files.iter().map(|file| Spot::of_table(table.name, file.number)).collect()
}

/// A mirrored table as DataFusion sees it.
#[derive(Debug)]
pub(crate) struct Mirror {
    files: Vec<PartitionedFile>,
    store: ObjectStoreUrl,
    table_schema: TableSchema,
}

impl Mirror {
    pub(crate) fn new(table: &Table, snapshot: &Snapshot, store: ObjectStoreUrl) -> Self {
        let known = |(file, path): &(TableFile, String)| {
            let mut known = PartitionedFile::new(path, file.bytes);
            // As for the calls: a name is given to one content once.
            known.object_meta.last_modified = DateTime::UNIX_EPOCH;
            known
        };
        Self {
            files: snapshot.table(table.name).iter().map(known).collect(),
            store,
            table_schema: TableSchema::builder(table.sql_schema()).build(),
        }
    }
}

#[async_trait]
impl TableProvider for Mirror {
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
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if self.files.is_empty() {
            let schema = match projection {
                Some(indices) => Arc::new(self.schema().project(indices)?),
                None => self.schema(),
            };
            return Ok(Arc::new(EmptyExec::new(schema)));
        }
        let format = ParquetFormat::default().with_options(state.default_table_options().parquet);
        let source = format.file_source(self.table_schema.clone());
        let config = FileScanConfigBuilder::new(self.store.clone(), source)
            .with_file_groups(
                FileGroup::new(self.files.clone()).split_files(state.config().target_partitions()),
            )
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        format.create_physical_plan(state, config).await
    }
}
