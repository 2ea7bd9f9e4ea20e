//! The manifest: the list of files that make up the lake, and how far each lane of the bus is in them.
//!
//! It is replaced as a whole, by one rename or one conditional put, so a reader sees the state before or after a commit and
//! nothing between, and rows and positions cannot part.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::layout::Spot;

/// Format of the manifest that this version writes: 2 since there are tables beside the calls, 3 since files remember what was taken
/// out of them.
pub(crate) const FORMAT: u32 = 3;

/// The state of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Counts up with every commit and merge.
    pub(crate) generation: u64,
    /// When it was written, by the clock of the committer.
    pub(crate) written_at: Option<DateTime<Utc>>,
    /// Number of the next file.
    pub(crate) next_file: u64,
    /// How often the lake was opened for writing, where that cannot be told by a lock of the file system: in a bucket. Hidden files bear
    /// it, so that a writer that was taken for dead touches none of the next one's.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) writer: u64,
    /// Drawn by that opening: two of them that make their manifests from the same one do not make the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) opening: u64,
    /// Generations with a proof of what they forgot, by the opening that wrote it. A proof that is not named here proves nothing. None
    /// where `opening` is 0: there a proof's generation says whether it was committed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) proofs: BTreeMap<u64, Vec<u64>>,
    /// How far each lane is.
    pub(crate) positions: Positions,
    /// The files, in no order that matters.
    pub(crate) files: Vec<LakeFile>,
    /// Files that were merged into others: moved out of sight, deleted later.
    pub(crate) retired: Vec<Retired>,
    /// The other tables, by name.
    #[serde(default)]
    pub(crate) tables: BTreeMap<String, TableState>,
    /// Their files that were merged or replaced.
    #[serde(default)]
    pub(crate) retired_tables: Vec<RetiredTable>,
}

/// Another table.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct TableState {
    /// How far each lane is, where its rows come from the bus.
    pub(crate) positions: Positions,
    /// What the rows were made from, where they are replaced as a whole.
    pub(crate) mark: String,
    /// In no order that matters.
    pub(crate) files: Vec<TableFile>,
}

/// One Parquet file of another table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TableFile {
    pub(crate) number: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// A file that is no longer part of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RetiredTable {
    pub(crate) table: String,
    pub(crate) number: u64,
    pub(crate) since: DateTime<Utc>,
}

/// A file that counts, of whatever table.
pub(crate) struct Live {
    pub(crate) spot: Spot,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
}

/// One Parquet file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LakeFile {
    pub(crate) day: NaiveDate,
    pub(crate) number: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Rows of a revision above 0: those that supersede others.
    pub(crate) corrections: u64,
    /// Of these, those whose every earlier revision lies in a file of superseded rows.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) settled: u64,
    /// Whether the others supersede rows of this very day alone, as far as they supersede any.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_near: bool,
    /// Whether each of its rows is superseded by a row of another file.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) is_superseded: bool,
    /// First and last `start_at`, microseconds since 1970.
    pub(crate) first_start_us: i64,
    pub(crate) last_start_us: i64,
    /// Rules of retention that have been applied to all of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) forgotten: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl LakeFile {
    /// Whether it holds a row that may supersede one that is not in a file of superseded rows.
    pub(crate) fn has_open_corrections(&self) -> bool {
        !self.is_superseded && self.corrections > self.settled
    }

    /// Where it belongs.
    pub(crate) fn spot(&self) -> Spot {
        Spot::of_day(self.day, self.number)
    }
}

/// A file that is no longer part of the lake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retired {
    pub(crate) day: NaiveDate,
    pub(crate) number: u64,
    pub(crate) since: DateTime<Utc>,
}

/// How far each lane of the bus is in the lake.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Positions(BTreeMap<u32, LanePosition>);

/// How far one lane is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LanePosition {
    /// As handed in with the last rows of the lane.
    pub position: u64,
    /// The highest origin applied, for each (stage, partition) that wrote into the lane.
    pub watermarks: Vec<Watermark>,
}

/// The highest origin of one writer that is in the lake (see [`model::Origin`]).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Watermark {
    /// The stage that wrote it.
    pub stage: String,
    /// Partition of that stage's input.
    pub partition: u32,
    /// Offset of the input record.
    pub offset: u64,
    /// Which of its outputs.
    pub index: u32,
}

impl Positions {
    /// How far lane `partition` is; `None` before its first commit.
    pub fn lane(&self, partition: u32) -> Option<&LanePosition> {
        self.0.get(&partition)
    }

    /// All lanes, by partition.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &LanePosition)> {
        self.0.iter().map(|(partition, lane)| (*partition, lane))
    }

    /// Refuses rows that were committed before: a position that does not move on although there are some.
    pub(crate) fn refuse_replay(
        &self,
        partition: u32,
        position: u64,
        has_rows: bool,
    ) -> Result<(), LakeError> {
        let Some(committed) = self.lane(partition).map(|lane| lane.position) else { return Ok(()) };
        if position < committed || (position == committed && has_rows) {
            return Err(LakeError::Replayed { partition, position, committed });
        }
        Ok(())
    }

    /// Moves a lane on. Watermarks that are not named stay, and none goes back.
    pub(crate) fn advance(&mut self, partition: u32, position: u64, watermarks: &[Watermark]) {
        let lane = self.0.entry(partition).or_default();
        lane.position = position;
        for new in watermarks {
            match lane
                .watermarks
                .iter_mut()
                .find(|old| old.stage == new.stage && old.partition == new.partition)
            {
                Some(old) if (old.offset, old.index) < (new.offset, new.index) => *old = new.clone(),
                Some(_) => {}
                None => lane.watermarks.push(new.clone()),
            }
        }
        lane.watermarks.sort();
    }
}

impl Manifest {
    /// Of a lake without rows.
    pub(crate) fn empty() -> Self {
        Self {
            format: FORMAT,
            generation: 0,
            written_at: None,
            next_file: 1,
            writer: 0,
            opening: 0,
            proofs: BTreeMap::new(),
            positions: Positions::default(),
            files: Vec::new(),
            retired: Vec::new(),
            tables: BTreeMap::new(),
            retired_tables: Vec::new(),
        }
    }

    /// All files that count.
    pub(crate) fn live(&self) -> impl Iterator<Item = Live> + '_ {
        let calls =
            self.files.iter().map(|file| Live { spot: file.spot(), rows: file.rows, bytes: file.bytes });
        let others = self.tables.iter().flat_map(|(table, state)| {
            state.files.iter().map(|file| Live {
                spot: Spot::of_table(table, file.number),
                rows: file.rows,
                bytes: file.bytes,
            })
        });
        calls.chain(others)
    }

    /// All files that no longer count and may still be there.
    pub(crate) fn retired_spots(&self) -> impl Iterator<Item = Spot> + '_ {
        let calls = self.retired.iter().map(|file| Spot::of_day(file.day, file.number));
        let others = self.retired_tables.iter().map(|file| Spot::of_table(&file.table, file.number));
        calls.chain(others)
    }

    /// Rows of calls in all files.
    pub(crate) fn n_rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// What `bytes`, found at `path`, say.
    pub(crate) fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, LakeError> {
        #[derive(Deserialize)]
        struct FormatOnly {
            format: u32,
        }
        let unreadable = |error: serde_json::Error| LakeError::ManifestUnreadable {
            path: path.to_owned(),
            problem: error.to_string(),
        };
        let FormatOnly { format } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if format > FORMAT {
            return Err(LakeError::ManifestTooNew { path: path.to_owned(), found: format, known: FORMAT });
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }

    /// As it is kept.
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, LakeError> {
        serde_json::to_vec(self).map_err(|error| LakeError::Internal {
            problem: format!("the manifest cannot be written: {error}"),
        })
    }
}
