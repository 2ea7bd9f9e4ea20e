//! The one writer of a lake: commits rows and positions together.
//!
//! Steps of a commit: (1) each day's rows are written and synced under a hidden name, (2) the manifest that names them and
//! holds the new positions replaces the old one, (3) the files get their final names. Before 2 nothing has happened, after
//! it everything has; 3 is made up for when it was cut short. Blocking throughout.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use model::RatedCdr;

use crate::error::IoContext;
use crate::manifest::{LakeFile, Manifest};
use crate::rows::rows_by_day;
use crate::{LakeConfig, LakeError, Watermark, layout, parquet_file};

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
}

impl Writer {
    pub(crate) fn open(config: LakeConfig) -> Result<Self, LakeError> {
        for (key, value, at_least) in [
            ("compact_files_min", config.compact_files_min as u64, 2),
            ("target_rows", config.target_rows, 1),
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
        tracing::info!(dir = %dir.display(), rows = manifest.n_rows(), files = manifest.files.len(), "lake opened");
        Ok(Self {
            state: Mutex::new(State { manifest, doubtful: false }),
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
            refuse_replay(&state.manifest, lane)?;
            next.positions.advance(lane.partition, lane.position, &lane.watermarks);
        }
        if next.positions == state.manifest.positions && lanes.iter().all(|lane| lane.rows.is_empty()) {
            return Ok(());
        }
        let mut written = Unpublished { dir: self.dir(), files: Vec::new() };
        for day in rows_by_day(lanes.iter().flat_map(|lane| &lane.rows))? {
            let number = next.next_file;
            next.next_file += 1;
            let mut file = LakeFile {
                day: day.day,
                number,
                rows: day.batch.num_rows() as u64,
                bytes: 0,
                corrections: day.corrections,
                first_start_us: day.first_start_us,
                last_start_us: day.last_start_us,
            };
            layout::make_day_dir(self.dir(), day.day)?;
            written.files.push(file.clone());
            file.bytes =
                parquet_file::write_rows(&self.dir().join(layout::hidden_path(day.day, number)), &day.batch)?;
            next.files.push(file);
        }
        self.publish(&mut state, next, now).inspect_err(|_| {
            // The manifest may be in place: what it names must stay.
            written.files.clear();
        })?;
        for file in written.files.drain(..) {
            if let Err(error) = layout::name_finally(self.dir(), &file) {
                // Committed all the same: our readers find it under its hidden name, and the next open renames it.
                tracing::warn!(%error, code = error.code(), "committed lake file keeps its hidden name for now");
            }
        }
        Ok(())
    }
}

/// A position that does not move on although there are rows means that these rows were committed before.
fn refuse_replay(manifest: &Manifest, lane: &LaneRows) -> Result<(), LakeError> {
    let Some(committed) = manifest.positions.lane(lane.partition).map(|lane| lane.position) else {
        return Ok(());
    };
    if lane.position < committed || (lane.position == committed && !lane.rows.is_empty()) {
        return Err(LakeError::Replayed { partition: lane.partition, position: lane.position, committed });
    }
    Ok(())
}

/// Files written and not yet named by the manifest; deleted when the commit fails before that.
struct Unpublished<'a> {
    dir: &'a Path,
    files: Vec<LakeFile>,
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        for file in &self.files {
            // What stays behind is deleted when the lake is opened next.
            let _ = layout::remove_if_there(&self.dir.join(layout::hidden_path(file.day, file.number)));
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
