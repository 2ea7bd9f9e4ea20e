//! The one writer of a lake: commits rows and positions together.
//!
//! Steps of a commit: (1) each day's rows are written and synced under a hidden name, (2) the manifest that names them and
//! holds the new positions replaces the old one, (3) the files get their final names. Before 2 nothing has happened, after
//! it everything has; 3 is made up for when it was cut short. Blocking throughout.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, NaiveDate, Utc};
use model::{Cdr, CdrId, RatedCdr};

use crate::layout::Spot;
use crate::manifest::{LakeFile, Manifest};
use crate::rows::rows_by_day;
use crate::tree::{Held, Tree, Version};
use crate::{LakeConfig, LakeError, Watermark, parquet_file};

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
    pub(crate) tree: Tree,
    state: Mutex<State>,
    /// Held while files are merged: one merge at a time.
    pub(crate) merging: Mutex<()>,
    /// Files with corrections of which some supersede rows of another day, or of none: no need to look again.
    pub(crate) sought: Mutex<HashSet<u64>>,
    /// What could not be cleared away yet.
    litter: Mutex<Vec<Litter>>,
    /// Whether names and moves of committed files are still to be done.
    is_unsettled: AtomicBool,
}

pub(crate) struct State {
    /// As it is in the tree, unless `doubtful`.
    pub(crate) manifest: Manifest,
    version: Version,
    /// Replacing the manifest failed half way: what is in the tree decides.
    doubtful: bool,
    held: Held,
    unfinished: Unfinished,
}

/// A file without a commit.
struct Litter {
    spot: Spot,
    writer: u64,
    /// A manifest newer than this one decides whether it counts: until then one that names it may still be on its way.
    after: Option<u64>,
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
    pub(crate) fn open(config: LakeConfig, tree: Tree) -> Result<Self, LakeError> {
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
        let (held, manifest, version) = tree.enter()?;
        crate::forget::sweep(&tree, &manifest)?;
        tracing::info!(
            place = %tree.place().display(), rows = manifest.n_rows(), files = manifest.files.len(), "lake opened"
        );
        Ok(Self {
            state: Mutex::new(State {
                manifest,
                version,
                doubtful: false,
                held,
                unfinished: Unfinished::default(),
            }),
            merging: Mutex::new(()),
            sought: Mutex::default(),
            litter: Mutex::new(Vec::new()),
            is_unsettled: AtomicBool::new(false),
            tree,
            config,
        })
    }

    /// The state, in line with the tree.
    pub(crate) fn state(&self) -> Result<MutexGuard<'_, State>, LakeError> {
        // It is replaced in one assignment, at the end: a panic before that leaves it whole.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.doubtful {
            let State { held, manifest: known, .. } = &mut *state;
            let (manifest, version) = self.tree.again(held, known)?;
            // A file number once given to a file in the making is not given again.
            let next_file = manifest.next_file.max(known.next_file);
            state.manifest = Manifest { next_file, ..manifest };
            state.version = version;
            state.doubtful = false;
            // Somebody else may have committed meanwhile.
            state.unfinished = Unfinished::default();
            tracing::warn!(
                generation = state.manifest.generation,
                "lake manifest read again after a failed commit"
            );
        }
        Ok(state)
    }

    /// Files to be written, of which a later commit tells: the first of `n_files` numbers that are taken for them.
    pub(crate) fn begin(&self, n_files: u64) -> Result<(u64, Unpublished<'_>), LakeError> {
        let mut state = self.state()?;
        let number = state.manifest.next_file;
        state.manifest.next_file += n_files;
        Ok((number, Unpublished::new(self, &state)))
    }

    /// Refuses what was written before somebody else took the lake over: he has swept it away.
    pub(crate) fn refuse_if_taken_over(
        &self,
        state: &mut State,
        written: &Unpublished<'_>,
    ) -> Result<(), LakeError> {
        let is_lost = state.held.is_lost();
        if is_lost || written.writer != state.manifest.writer {
            // Whoever has it now is asked before anything else is written.
            state.doubtful |= is_lost;
            return Err(LakeError::TakenOver { dir: self.tree.place().to_owned() });
        }
        Ok(())
    }

    /// Replaces the manifest, durably, and gives the files that it names now their final names.
    pub(crate) fn publish(
        &self,
        state: &mut State,
        mut next: Manifest,
        now: DateTime<Utc>,
        written: &mut Unpublished<'_>,
    ) -> Result<(), LakeError> {
        self.refuse_if_taken_over(state, written)?;
        next.format = crate::manifest::FORMAT;
        next.generation = state.manifest.generation + 1;
        (next.writer, next.opening) = (state.manifest.writer, state.manifest.opening);
        next.written_at = Some(now);
        match self.tree.replace_manifest(&next, &state.version) {
            Ok(version) => {
                (state.manifest, state.version) = (next, version);
                written.name();
                Ok(())
            }
            Err(error) => {
                state.doubtful = true;
                // It may still come to be: what it names stays, and no other file gets these numbers.
                state.manifest.next_file = next.next_file.max(state.manifest.next_file);
                // Of one who was taken over it is known: what he had committed has its final name, the rest is deleted here and now.
                if !matches!(error, LakeError::TakenOver { .. }) {
                    written.keep(state.manifest.generation);
                }
                Err(error)
            }
        }
    }

    /// Moves files that no longer count out of the tree; what fails is made up for.
    pub(crate) fn move_out(&self, spots: &[Spot]) {
        if let Err(error) = self.tree.move_out(spots) {
            self.is_unsettled.store(true, Ordering::Release);
            tracing::warn!(%error, code = error.code(), "lake files that were merged or replaced are still in their places");
        }
    }

    /// Makes up for what could not be cleared away, named or moved when it should have been.
    pub(crate) fn tidy(&self) -> Result<(), LakeError> {
        let litter = || self.litter.lock().unwrap_or_else(PoisonError::into_inner);
        if litter().is_empty() && !self.is_unsettled.load(Ordering::Acquire) {
            return Ok(());
        }
        // Held to the end: no file is begun or committed meanwhile.
        let state = self.state()?;
        let mut litter = litter();
        if self.is_unsettled.load(Ordering::Acquire) {
            self.tree.settle(&state.manifest)?;
            self.is_unsettled.store(false, Ordering::Release);
        }
        let live: HashSet<Spot> = state.manifest.live().map(|file| file.spot).collect();
        let is_decided = |file: &Litter| file.after.is_none_or(|after| state.manifest.generation > after);
        let mut left = Vec::new();
        for file in litter.drain(..) {
            if !is_decided(&file) {
                left.push(file);
            } else if !live.contains(&file.spot)
                && let Err(error) = self.tree.discard(&file.spot, file.writer)
            {
                tracing::debug!(%error, "an unfinished lake file cannot be deleted yet");
                left.push(file);
            }
        }
        *litter = left;
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
        // What is remembered of rows that are not committed would say nothing: it is put back once they are.
        let mut unfinished = std::mem::take(&mut state.unfinished);
        let mut far_days = HashSet::new();
        for cdr in lanes.iter().flat_map(|lane| &lane.rows).map(|call| &call.cdr) {
            let day = cdr.start_at.date_naive();
            if !unfinished.is_near(cdr, day) {
                far_days.insert(day);
            }
        }
        self.commit_rows(&mut state, next, lanes, &far_days, now)?;
        state.unfinished = unfinished;
        Ok(())
    }

    fn commit_rows(
        &self,
        state: &mut State,
        mut next: Manifest,
        lanes: &[LaneRows],
        far_days: &HashSet<NaiveDate>,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let mut written = Unpublished::new(self, state);
        for day in rows_by_day(lanes.iter().flat_map(|lane| &lane.rows))? {
            // Taken from the state: a commit that fails before its end gives its numbers to nobody, since a file of it may still be
            // on its way to a bucket.
            let number = state.manifest.next_file;
            state.manifest.next_file += 1;
            next.next_file = state.manifest.next_file;
            let mut file = LakeFile {
                day: day.day,
                number,
                rows: day.rows,
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
                parquet_file::write_rows(&written.begin(file.spot())?, &day.batches, &parquet_file::CALLS)?;
            written.seal()?;
            next.files.push(file);
        }
        self.publish(state, next, now, &mut written)
    }
}

/// Files written and not yet named by the manifest; deleted when the commit fails before that.
pub(crate) struct Unpublished<'a> {
    of: &'a Writer,
    /// Who writes them.
    writer: u64,
    spots: Vec<Spot>,
}

impl<'a> Unpublished<'a> {
    pub(crate) fn new(of: &'a Writer, state: &State) -> Self {
        Self { of, writer: state.manifest.writer, spots: Vec::new() }
    }

    /// The path to write a file under, in a folder that is there.
    pub(crate) fn begin(&mut self, spot: Spot) -> Result<PathBuf, LakeError> {
        let path = self.of.tree.begin(&spot)?;
        self.spots.push(spot);
        Ok(path)
    }

    /// The file begun last is written: it goes where its name can be given to it.
    pub(crate) fn seal(&self) -> Result<(), LakeError> {
        self.spots.last().map_or(Ok(()), |spot| self.of.tree.seal(spot, self.writer))
    }

    /// All files begun are written.
    pub(crate) fn seal_all(&self) -> Result<(), LakeError> {
        self.spots.iter().try_for_each(|spot| self.of.tree.seal(spot, self.writer))
    }

    /// A file begun that nothing was written to.
    pub(crate) fn leave_out(&mut self, spot: &Spot) {
        self.spots.retain(|begun| begun != spot);
    }

    /// Who writes them: of files that were committed before, whose hidden names may be theirs still.
    pub(crate) fn writer(&self) -> u64 {
        self.writer
    }

    fn leave(&mut self, after: Option<u64>) {
        let mut litter = self.of.litter.lock().unwrap_or_else(PoisonError::into_inner);
        litter.extend(self.spots.drain(..).map(|spot| Litter { spot, writer: self.writer, after }));
    }

    /// The manifest may be in place: what it names must stay until that is known.
    fn keep(&mut self, generation: u64) {
        self.leave(Some(generation));
    }

    /// The manifest names them: they get their final names.
    fn name(&mut self) {
        let spots: Vec<Spot> = self.spots.drain(..).collect();
        if let Err(error) = self.of.tree.name_finally(&spots, self.writer) {
            // Committed all the same: our readers find them under their hidden names.
            self.of.is_unsettled.store(true, Ordering::Release);
            tracing::warn!(%error, code = error.code(), "committed lake files keep their hidden names for now");
        }
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        let discard = |spot: &Spot| self.of.tree.discard(spot, self.writer);
        if self.spots.iter().try_for_each(discard).is_err() {
            self.leave(None);
        }
    }
}
