//! The lake: every rated call as one row in plain Parquet files, and SQL over them. The only room that knows Parquet and
//! DataFusion.
//!
//! In: rated calls in batches, each with the position of its lane on the bus. Out: files that any tool reads, answers to
//! SQL, and the sums that invoices are made of. Rows and positions are committed together, so a replay neither loses nor
//! doubles a call. When to commit, where to resume and what to suspend is the stage runner's work.

mod access;
mod backup;
mod catalogue;
mod column;
mod compaction;
mod config;
mod day_clock;
mod error;
pub mod forget;
mod history;
mod kept_calls;
mod layout;
mod manifest;
mod merge;
mod mirror;
mod needle;
mod numbering;
mod parquet_file;
mod past_calls;
mod period;
mod query;
mod result;
mod rows;
mod saved;
mod steps;
mod table;
pub mod tables;
mod tree;
mod usage;
mod views;
pub mod wire;
mod writer;

use std::path::Path;
use std::sync::Arc;

pub use access::Access;
pub use backup::FrozenLake;
pub use catalogue::{TableDoc, tables as table_docs};
pub use column::{ColumnDoc, columns};
pub use compaction::Compacted;
pub use config::{LakeConfig, RetentionConfig, S3Config};
pub use error::LakeError;
pub use manifest::{LanePosition, Positions, Watermark};
pub use mirror::TableLane;
pub use numbering::prefix_rows;
pub use past_calls::{PastCall, PastCalls};
pub use result::{QueryColumn, QueryResult, write_arrow, write_csv, write_json, write_parquet, write_table};
pub use rows::check_row;
pub use saved::{SavedQuery, saved_queries};
pub use table::{Row, Table, TableColumn, Value};
pub use usage::{BilledCall, CallLine, DayUsage, IncomingUsage, PayingSide, UsageLine};
pub use writer::LaneRows;

use chrono::{DateTime, NaiveDate, Utc};
use query::Engine;
use tree::Tree;
use writer::Writer;

/// A lake, open. Clones share it.
#[derive(Clone)]
pub struct Lake {
    tree: Tree,
    engine: Arc<Engine>,
    /// `None` when opened read-only.
    writer: Option<Arc<Writer>>,
}

impl std::fmt::Debug for Lake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lake")
            .field("place", &self.tree.place())
            .field("writes", &self.writer.is_some())
            .finish_non_exhaustive()
    }
}

impl Lake {
    /// Opens the lake for writing; one process can at a time. A commit or merge that a crash cut short is finished or
    /// undone, and files that no commit names are cleared away. Blocks for as long as the disk needs.
    ///
    /// # Errors
    ///
    /// [`LakeError::InUse`] while another process writes, [`LakeError::FileMissing`] and its like when committed rows
    /// are gone: then nothing is changed. In a bucket it takes some seconds to find out whether a writer on another machine is alive.
    pub fn open(config: LakeConfig) -> Result<Lake, LakeError> {
        let tree = Tree::of(&config)?;
        let limits = config.clone();
        let writer = Writer::open(config, tree.clone())?;
        if let Tree::Disk(dir) = &tree {
            backup::clear_left(dir)?;
        }
        Ok(Lake {
            engine: Arc::new(Engine::new(&limits, tree.clone())?),
            tree,
            writer: Some(Arc::new(writer)),
        })
    }

    /// Opens the lake in the directory `dir` for reading, while another process may write. Each query sees what was committed before it.
    ///
    /// # Errors
    ///
    /// [`LakeError::NoLake`] when there is none.
    pub fn open_read_only(dir: impl AsRef<Path>) -> Result<Lake, LakeError> {
        Self::open_to_ask(&LakeConfig::new(dir.as_ref()))
    }

    /// The same with the limits of `config` for its queries.
    ///
    /// # Errors
    ///
    /// [`LakeError::NoLake`] when there is none.
    pub fn open_to_ask(config: &LakeConfig) -> Result<Lake, LakeError> {
        let tree = Tree::of(config)?;
        tree.current()?;
        Ok(Lake { engine: Arc::new(Engine::new(config, tree.clone())?), tree, writer: None })
    }

    /// Where it is: a directory, or the address of a bucket.
    pub fn place(&self) -> &Path {
        self.tree.place()
    }

    /// How far each lane of the bus is in the lake: where to resume after a restart or a failed commit.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn positions(&self) -> Result<Positions, LakeError> {
        Ok(self.tree.current()?.positions.clone())
    }

    /// Adds rows and moves the lanes on, both or neither. When this returns, they survive a power cut, and every process
    /// sees them in its next query. Dropping the future does not undo it.
    ///
    /// # Errors
    ///
    /// [`LakeError::Unstorable`] and [`LakeError::Replayed`] before anything is written. After any other error the commit may
    /// have happened or not: [`Lake::positions`] tells, and it is where to resume.
    pub async fn commit(&self, lanes: Vec<LaneRows>, now: DateTime<Utc>) -> Result<(), LakeError> {
        let writer = self.writer()?;
        blocking(move || writer.commit(&lanes, now)).await
    }

    /// Merges small files of a day into larger ones and deletes files that were merged long enough ago. Queries and
    /// commits go on meanwhile. Meant to be called about once a minute.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`], [`LakeError::Parquet`]; the lake is then as it was, or merged.
    pub async fn compact(&self, now: DateTime<Utc>) -> Result<Compacted, LakeError> {
        let writer = self.writer()?;
        blocking(move || writer.compact(now)).await
    }

    /// Rows committed, all revisions: for the audit.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn count_rows(&self) -> Result<u64, LakeError> {
        Ok(self.tree.current()?.n_rows())
    }

    /// Rows committed for calls that started on one UTC day, all revisions.
    ///
    /// # Errors
    ///
    /// [`LakeError::ManifestUnreadable`] and [`LakeError::Io`].
    pub fn count_rows_of_day(&self, day: NaiveDate) -> Result<u64, LakeError> {
        let manifest = self.tree.current()?;
        Ok(manifest.files.iter().filter(|file| file.day == day).map(|file| file.rows).sum())
    }

    fn writer(&self) -> Result<Arc<Writer>, LakeError> {
        self.writer.clone().ok_or_else(|| LakeError::OpenedReadOnly { dir: self.place().to_owned() })
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LakeError> + Send + 'static,
) -> Result<T, LakeError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LakeError::Internal { problem: error.to_string() }),
    }
}
