//! The one writer of a lake: commits rows and positions together.
//!
//! Steps of a commit: (1) each day's rows are written and synced under a hidden name, (2) the manifest that names them and
//! holds the new positions replaces the old one, (3) the files get their final names. Before 2 nothing has happened, after
//! it everything has; 3 is made up for when it was cut short. Blocking throughout.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use model::{Cdr, CdrId, RatedCdr};

use crate::error::IoContext;
use crate::layout::Spot;
use crate::manifest::{LakeFile, Manifest};
use crate::rows::rows_by_day;
use crate::{LakeConfig, LakeError, Watermark, layout, parquet_file};

/// Calls that were not over when their last record was written and are remembered: several hours of a large carrier. Of those that are
/// forgotten, queries look for superseded rows in more files until these are merged.
const UNFINISHED_MAX: usize = 100_000;

/// What one lane adds to the lake in one commit.
#[derive(Debug, Clone, Default)]
pub struct LaneRows {
    /// Partition of the bus.
    pub partition: u32,
    /// How far the lane is with these rows; never less than in the commit before.
    pub position: u64,
    /// Highest origins among these rows; those that are not named stay as they are.
    pub watermarks: Vec<Watermark>,
    /// The rows; none if the records read led to none.
    pub rows: Vec<RatedCdr>,
}

pub(crate) struct Writer {
    pub(crate) config: LakeConfig,
    state: Mutex<State>,
    /// Held while files are merged: one merge at a time.
    pub(crate) merging: Mutex<()>,
    /// Locked for as long as this lake is open.
    _lock: File,
}

pub(crate) struct State {
    /// As on disk, unless `doubtful`.
    pub(crate) manifest: Manifest,
    /// Replacing the manifest failed half way: what is on disk decides.
    pub(crate) doubtful: bool,
    unfinished: Unfinished,
}

/// Records of calls that were not over, committed since the lake was opened: day and revision of the newest, if all its revisions are of
/// that day. What supersedes such a one is known to supersede rows of that day alone.
#[derive(Default)]
struct Unfinished(HashMap<CdrId, (NaiveDate, u32)>);

impl Unfinished {
    /// Takes in a row that is being committed. Whether all that it supersedes is surely of its own day.
    fn is_near(&mut self, cdr: &Cdr, day: NaiveDate) -> bool {
        let before = cdr.revision.checked_sub(1).map(|revision| (day, revision));
        let is_near = before.is_none() || self.0.get(&cdr.id).copied() == before;
        if cdr.partial && is_near {
            if self.0.len() >= UNFINISHED_MAX {
                self.0.clear();
            }
            self.0.insert(cdr.id, (day, cdr.revision));
        } else if cdr.revision > 0 {
            self.0.remove(&cdr.id);
        }
        is_near
    }
}

impl Writer {
    pub(crate) fn open(config: LakeConfig) -> Result<Self, LakeError> {
        for (key, value, at_least) in [
            ("compact_files_min", config.compact_files_min as u64, 2),
            ("target_rows", config.target_rows, 1),
            ("query_memory_mib", config.query_memory_mib as u64, 16),
            ("query_result_mib", config.query_result_mib as u64, 1),
        ] {
            if value < at_least {
                return Err(LakeError::Config { key, value, at_least });
            }
        }
        let dir = config.dir.as_path();
        let cdrs = dir.join(layout::CDRS);
        fs::create_dir_all(&cdrs).at("create", &cdrs)?;
        let lock = locked(dir)?;
        let manifest = match Manifest::read(dir)? {
            Some(manifest) => manifest,
            None if layout::has_rows(dir)? => return Err(LakeError::ManifestMissing { dir: dir.to_owned() }),
            None => {
                let manifest = Manifest::empty();
                manifest.write(dir)?;
                manifest
            }
        };
        layout::settle(dir, &manifest)?;
        layout::check(dir, &manifest)?;
        layout::sweep(dir, &manifest)?;
        crate::forget::sweep(dir, manifest.generation)?;
        tracing::info!(dir = %dir.display(), rows = manifest.n_rows(), files = manifest.files.len(), "lake opened");
        Ok(Self {
            state: Mutex::new(State { manifest, doubtful: false, unfinished: Unfinished::default() }),
            merging: Mutex::new(()),
            _lock: lock,
            config,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// The state, in line with the disk.
    pub(crate) fn state(&self) -> Result<MutexGuard<'_, State>, LakeError> {
        // It is replaced in one assignment, at the end: a panic before that leaves it whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.doubtful {
            let manifest = crate::current(self.dir())?;
            layout::sync_dir(self.dir())?;
            layout::settle(self.dir(), &manifest)?;
            crate::forget::sweep(self.dir(), manifest.generation)?;
            // A file number once given to a file in the making is not given again.
            let next_file = manifest.next_file.max(state.manifest.next_file);
            state.manifest = Manifest { next_file, ..manifest };
            state.doubtful = false;
            tracing::warn!(
                generation = state.manifest.generation,
                "lake manifest read again after a failed commit"
            );
        }
        Ok(state)
    }

    /// Replaces the manifest, durably.
    pub(crate) fn publish(
        &self,
        state: &mut State,
        mut next: Manifest,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        next.format = crate::manifest::FORMAT;
        next.generation = state.manifest.generation + 1;
        next.written_at = Some(now);
        if let Err(error) = next.write(self.dir()) {
            state.doubtful = true;
            return Err(error);
        }
        state.manifest = next;
        Ok(())
    }

    pub(crate) fn commit(&self, lanes: &[LaneRows], now: DateTime<Utc>) -> Result<(), LakeError> {
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        for (idx, lane) in lanes.iter().enumerate() {
            if lanes[..idx].iter().any(|earlier| earlier.partition == lane.partition) {
                return Err(LakeError::LaneTwice { partition: lane.partition });
            }
            state.manifest.positions.refuse_replay(lane.partition, lane.position, !lane.rows.is_empty())?;
            next.positions.advance(lane.partition, lane.position, &lane.watermarks);
        }
        if next.positions == state.manifest.positions && lanes.iter().all(|lane| lane.rows.is_empty()) {
            return Ok(());
        }
        let mut far_days = HashSet::new();
        for cdr in lanes.iter().flat_map(|lane| &lane.rows).map(|call| &call.cdr) {
            let day = cdr.start_at.date_naive();
            if !state.unfinished.is_near(cdr, day) {
                far_days.insert(day);
            }
        }
        let committed = self.commit_rows(&mut state, next, lanes, &far_days, now);
        if committed.is_err() {
            // What is remembered of rows that are not committed says nothing.
            state.unfinished = Unfinished::default();
        }
        committed
    }

    fn commit_rows(
        &self,
        state: &mut State,
        mut next: Manifest,
        lanes: &[LaneRows],
        far_days: &HashSet<NaiveDate>,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let mut written = Unpublished::new(self.dir());
        for day in rows_by_day(lanes.iter().flat_map(|lane| &lane.rows))? {
            let number = next.next_file;
            next.next_file += 1;
            let mut file = LakeFile {
                day: day.day,
                number,
                rows: day.batch.num_rows() as u64,
                bytes: 0,
                corrections: day.corrections,
                settled: 0,
                is_near: day.corrections > 0 && !far_days.contains(&day.day),
                is_superseded: false,
                first_start_us: day.first_start_us,
                last_start_us: day.last_start_us,
                forgotten: Vec::new(),
            };
            file.bytes =
                parquet_file::write_rows(&written.begin(file.spot())?, &day.batch, &parquet_file::CALLS)?;
            next.files.push(file);
        }
        self.publish(state, next, now).inspect_err(|_| written.keep())?;
        written.name();
        Ok(())
    }
}

/// Files written and not yet named by the manifest; deleted when the commit fails before that.
pub(crate) struct Unpublished<'a> {
    dir: &'a Path,
    spots: Vec<Spot>,
}

impl<'a> Unpublished<'a> {
    pub(crate) fn new(dir: &'a Path) -> Self {
        Self { dir, spots: Vec::new() }
    }

    /// The path to write a file under, in a folder that is there.
    pub(crate) fn begin(&mut self, spot: Spot) -> Result<PathBuf, LakeError> {
        layout::make_folder(self.dir, &spot)?;
        let path = self.dir.join(spot.hidden_path());
        self.spots.push(spot);
        Ok(path)
    }

    /// The manifest may be in place: what it names must stay.
    pub(crate) fn keep(&mut self) {
        self.spots.clear();
    }

    /// The manifest names them: they get their final names.
    pub(crate) fn name(mut self) {
        self.name_all();
    }

    /// The same, where more files follow.
    pub(crate) fn name_all(&mut self) {
        for spot in self.spots.drain(..) {
            if let Err(error) = layout::name_finally(self.dir, &spot) {
                // Committed all the same: our readers find it under its hidden name, and the next open renames it.
                tracing::warn!(%error, code = error.code(), "committed lake file keeps its hidden name for now");
            }
        }
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        for spot in &self.spots {
            // What stays behind is deleted when the lake is opened next.
            let _ = layout::remove_if_there(&self.dir.join(spot.hidden_path()));
        }
    }
}

fn locked(dir: &Path) -> Result<File, LakeError> {
    let path: PathBuf = layout::lock(dir);
    let file = File::options().create(true).write(true).truncate(false).open(&path).at("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LakeError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LakeError::Io { action: "lock", path, source }),
    }
}
