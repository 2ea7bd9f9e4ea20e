//! One round over the lanes of a stage, in two halves.
//!
//! [`prepare`] reads and applies: it changes what this process knows of its lanes and nothing else. Then [`Prepared::append`], then
//! [`Prepared::commit`]. The second half of a round may be under way while the first half of the next one runs: what is lost with a process, or
//! dropped after a failure, was only ever known to itself. Appends come one after the other and so do commits, but a round may be appended
//! before the one before it is committed: whoever begins again from the last commit puts out the same for both, with the same origins.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bus::{Entry, Stored};
use model::{Body, CdrId, Directory, Effect, Effects, Record, Stage, StageInput, StateChange};
use store::{Fence, LaneCommit, StoreEffect};

use crate::counts::Seen;
use crate::place::{Place, Poison, decode, poisoned_record, unreadable_record};
use crate::{COUNTS_KEY, Kind, Lane, LaneStore, Lessons, Rooms, RoundError, is_for, is_resent, recall};

/// Records of a round from which on its lanes are worked side by side: a few milliseconds of work, a thread's start a few dozen microseconds.
const SIDE_BY_SIDE_MIN: usize = 1_024;

/// What a round made of what it read: neither appended nor committed yet.
pub(crate) struct Prepared {
    entries: Vec<Entry>,
    commits: Vec<LaneCommit>,
    fence: Option<Fence>,
    /// It is known that some record cannot be kept, and this is the only one in the round.
    is_single: bool,
    pub(crate) n_records: u64,
    /// The next record of each lane, once this is committed.
    pub(crate) positions: Vec<(u32, u64)>,
}

/// A lane at work on a batch.
struct Work<'a, S> {
    lane: &'a mut Lane<S>,
    directory: Arc<Directory>,
    records: std::vec::IntoIter<Stored>,
    first: u64,
    next: u64,
    n_records: u64,
    entries: Vec<Entry>,
    kept: Vec<StoreEffect>,
    /// The record at which it paused; taken up again there.
    paused: Option<(Stored, Record)>,
    /// The stage has been told what it made of the call of the paused record.
    is_told: bool,
    /// The data have been loaded again for the paused record; newer ones are not to be had.
    has_reloaded: bool,
}

/// Why a lane does not go on by itself.
enum Pause {
    /// Its batch is done.
    Done,
    /// The call was made under data that is not loaded.
    WantsDirectory,
    /// The stage asks what it made of a call before.
    Asks(u64, CdrId),
}

/// Reads a batch of each lane and applies it. `None` if there was nothing to do. `is_in_flight`: the round before is not finished yet.
pub(crate) async fn prepare<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    lanes: &mut [Lane<S>],
    directory: &mut Arc<Directory>,
    (lessons, is_in_flight): (&Lessons, bool),
) -> Result<Option<Prepared>, RoundError> {
    let records_max = if lessons.one_by_one { 1 } else { kind.records_max };
    let fence = kind.share.fence(lanes.iter().map(|lane| (lane.partition, lane.epoch)));
    let mut works = Vec::new();
    let mut n_read = 0;
    for lane in lanes.iter_mut() {
        let batch = rooms.bus.read(kind.topic, lane.partition, lane.position, records_max).await?;
        let Some(first) = batch.records.first().map(|record| record.offset) else { continue };
        n_read += batch.records.len();
        works.push(Work {
            lane,
            directory: directory.clone(),
            records: batch.records.into_iter(),
            first,
            next: batch.next,
            n_records: 0,
            entries: Vec::new(),
            kept: Vec::new(),
            paused: None,
            is_told: false,
            has_reloaded: false,
        });
        if lessons.one_by_one {
            break;
        }
    }
    let mut pauses = Vec::new();
    if n_read >= SIDE_BY_SIDE_MIN {
        pauses = side_by_side(kind, rooms, &mut works, lessons)?;
    }
    let mut pauses = pauses.into_iter();
    for work in &mut works {
        // What one lane had to load is good for those after it.
        if work.directory.revision < directory.revision {
            work.directory = directory.clone();
        }
        let mut pause = match pauses.next() {
            Some(pause) => pause,
            None => work.go_on(kind, rooms, lessons)?,
        };
        loop {
            match pause {
                Pause::Done => break,
                Pause::WantsDirectory => work.directory = rooms.directory.reload().await?,
                Pause::Asks(offset, cdr) => {
                    // What this round puts out is nowhere yet, nor perhaps what the one before did: the answer is only complete for its first record.
                    let is_first = offset == work.first && !is_in_flight;
                    let place = (work.lane.partition, offset);
                    if !is_first || !recall::answer(kind, rooms, work.lane, place, cdr).await? {
                        work.next = offset;
                        break;
                    }
                    work.is_told = true;
                }
            }
            pause = work.go_on(kind, rooms, lessons)?;
        }
        if work.directory.revision > directory.revision {
            *directory = work.directory.clone();
        }
    }
    let (mut entries, mut commits, mut n_records) = (Vec::new(), Vec::new(), 0);
    for mut work in works {
        n_records += work.n_records;
        entries.append(&mut work.entries);
        commits.extend(work.commit()?);
    }
    if commits.is_empty() {
        return Ok(None);
    }
    let positions = lanes.iter().map(|lane| (lane.partition, lane.position)).collect();
    Ok(Some(Prepared { entries, commits, fence, is_single: lessons.one_by_one, n_records, positions }))
}

/// Lets the lanes go as far as they can, on all processors; in the order of the lanes, why each stopped.
fn side_by_side<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    works: &mut [Work<'_, S>],
    lessons: &Lessons,
) -> Result<Vec<Pause>, RoundError> {
    let n_threads = std::thread::available_parallelism().map_or(1, usize::from).min(works.len());
    let share = works.len().div_ceil(n_threads.max(1));
    let go = |works: &mut [Work<'_, S>]| -> Result<Vec<Pause>, RoundError> {
        works.iter_mut().map(|work| work.go_on(kind, rooms, lessons)).collect()
    };
    let shares: Vec<Result<Vec<Pause>, RoundError>> = std::thread::scope(|scope| {
        let (own, others) = works.split_at_mut(share);
        let others: Vec<_> = others.chunks_mut(share).map(|works| scope.spawn(move || go(works))).collect();
        let own = go(own);
        let joined = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(joined).collect()
    });
    let mut pauses = Vec::with_capacity(works.len());
    for share in shares {
        pauses.extend(share?);
    }
    Ok(pauses)
}

impl<S: Stage> Work<'_, S> {
    /// Applies records until the batch is done, or something must be fetched first.
    fn go_on<L: LaneStore>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        lessons: &Lessons,
    ) -> Result<Pause, RoundError> {
        let partition = self.lane.partition;
        self.lane.refresh(kind, &self.directory);
        loop {
            let (stored, record) = match self.paused.take() {
                Some(paused) => paused,
                None => {
                    let Some(stored) = self.records.next() else { return Ok(Pause::Done) };
                    match decode(&stored.payload) {
                        Ok(record) => (stored, record),
                        Err(why) => {
                            let place = self.place(kind, stored.offset);
                            self.n_records += 1;
                            let suspended = unreadable_record(&why);
                            self.kept.push(place.suspend(suspended, stored.payload.to_vec(), &rooms.clock));
                            self.lane.counts.strays += 1;
                            continue;
                        }
                    }
                }
            };
            let (offset, origin) = (stored.offset, record.origin.as_ref());
            if !is_for(kind.name, origin) {
                self.n_records += 1;
                continue;
            }
            if !self.is_told
                && let Some(cdr) = self.lane.stage.asks_for(&record.body)
                && !self.lane.watermarks.has_seen(origin)
            {
                self.paused = Some((stored, record));
                return Ok(Pause::Asks(offset, cdr));
            }
            // Of a replay it is not known what it was made under, and it does not matter.
            let is_late = config_revision(&record.body) > self.directory.revision
                && !lessons.poisoned.contains_key(&(partition, offset))
                && !self.lane.watermarks.has_seen(origin);
            if is_late && !std::mem::replace(&mut self.has_reloaded, true) {
                // The call was made under data we have not loaded: wait for it rather than price by the old.
                self.paused = Some((stored, record));
                return Ok(Pause::WantsDirectory);
            }
            (self.has_reloaded, self.is_told) = (false, false);
            self.n_records += 1;
            self.apply(kind, rooms, lessons, stored, record)?;
        }
    }

    fn place(&self, kind: &Kind<S>, offset: u64) -> Place {
        Place { kind_name: kind.name, topic: kind.topic, partition: self.lane.partition, offset }
    }

    fn apply<L: LaneStore>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        lessons: &Lessons,
        stored: Stored,
        Record { origin, body }: Record,
    ) -> Result<(), RoundError> {
        let (place, partition) = (self.place(kind, stored.offset), self.lane.partition);
        let (lane, origin) = (&mut *self.lane, origin.as_ref());
        if !lane.watermarks.admit(origin) {
            lane.counts.replays += 1;
            return Ok(());
        }
        let seen = Seen::of(&body);
        let is_counted = if is_resent(origin) {
            // It comes again because something was changed for it: that change must be in force.
            let latest = rooms.directory.current();
            if latest.revision > self.directory.revision {
                self.directory = latest;
                lane.refresh(kind, &self.directory);
            }
            lane.counts.saw_again(seen)
        } else {
            lane.counts.saw(seen)
        };
        if let Some(why) = lessons.poisoned.get(&(partition, stored.offset)) {
            let suspended = poisoned_record(&body, why);
            self.kept.push(place.suspend(suspended, stored.payload.to_vec(), &rooms.clock));
            if is_counted {
                lane.counts.suspended += 1;
            } else {
                lane.counts.strays += 1;
            }
            return Ok(());
        }
        let mut effects = Effects::default();
        let input = StageInput { partition, offset: stored.offset, body };
        let applied = std::panic::catch_unwind(AssertUnwindSafe(|| lane.stage.apply(input, &mut effects)));
        if applied.is_err() {
            return Err(RoundError::Poison { partition, offset: stored.offset, why: Poison::Panicked });
        }
        lane.counts.did(&effects);
        let repeated = effects.0.iter().any(|effect| matches!(effect, Effect::Repeated));
        if repeated && is_counted && !is_resent(origin) {
            lane.counts.knew(seen);
        }
        let to = (&*rooms.bus, &rooms.clock);
        place.sort_out(effects, &stored.payload, to, &mut self.entries, &mut self.kept);
        Ok(())
    }

    /// What the lane has to commit; nothing if it took no record.
    fn commit(self) -> Result<Option<LaneCommit>, RoundError> {
        let Self { lane, next, kept, .. } = self;
        if next == lane.position {
            return Ok(None);
        }
        let mut changes = lane.stage.take_changes();
        changes.push(StateChange { key: COUNTS_KEY.to_owned(), value: Some(lane.counts.to_bytes()?) });
        let commit = LaneCommit {
            partition: lane.partition,
            expected: lane.committed,
            position: next,
            watermarks: lane.watermarks.take_risen(),
            changes,
            effects: kept,
        };
        (lane.position, lane.committed) = (next, next);
        Ok(Some(commit))
    }
}

impl Prepared {
    /// Appends what the round puts out. The round before need not be committed yet: the log then has what it would have of one larger round
    /// that died before its commit.
    pub(crate) async fn append<L: LaneStore>(&mut self, rooms: &Rooms<L>) -> Result<(), RoundError> {
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() {
            return Ok(());
        }
        let appended = rooms.bus.append(entries).await;
        appended.map(|_offsets| ()).map_err(|why| self.blame(RoundError::of_append(why)))
    }

    /// Commits it, once it is appended and the round before is committed.
    pub(crate) async fn commit<L: LaneStore>(
        mut self,
        stage: &str,
        rooms: &Rooms<L>,
    ) -> Result<(), RoundError> {
        assert!(self.entries.is_empty(), "a round is appended before it is committed");
        let single = self.single();
        let commits = std::mem::take(&mut self.commits);
        let committed = rooms.store.commit(stage, commits, self.fence.as_ref()).await;
        committed.map_err(|why| blame(single, RoundError::of_commit(why)))
    }

    fn blame(&self, error: RoundError) -> RoundError {
        blame(self.single(), error)
    }

    /// The record that is at fault, if it is the only one.
    fn single(&self) -> Option<(u32, u64)> {
        self.commits.first().filter(|_| self.is_single).map(|commit| (commit.partition, commit.expected))
    }
}

fn blame(single: Option<(u32, u64)>, error: RoundError) -> RoundError {
    match (error, single) {
        (RoundError::Refused(why), Some((partition, offset))) => {
            RoundError::Poison { partition, offset, why: Poison::Refused(format!("{why:#}")) }
        }
        (error, _) => error,
    }
}

fn config_revision(body: &Body) -> i64 {
    match body {
        Body::Call(event) => event.config_revision,
        Body::Cdr(cdr) => cdr.config_revision,
        Body::Rated(rated) => rated.cdr.config_revision,
        Body::Tick(_) | Body::Edr(_) | Body::Posting(_) | Body::Control(_) | Body::Accrual(_) => 0,
    }
}
