//! One round over the lanes of a stage, in two halves.
//!
//! [`prepare`] reads and applies: it changes what this process knows of its lanes and nothing else. Then [`Prepared::append`], then
//! [`Prepared::commit`]. The second half of a round may be under way while the first half of the next one runs: what is lost with a process, or
//! dropped after a failure, was only ever known to itself. Appends come one after the other and so do commits, but a round may be appended
//! before the one before it is committed: whoever begins again from the last commit puts out the same for both, with the same origins. For the same
//! reason one commit may serve several rounds ([`crate::Pace`]).

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bus::{Batch, Entry, Stored};
use model::{Body, CdrId, Directory, Effect, Effects, Record, Stage, StageInput, StateChange};
use store::{Fence, LaneCommit, StoreEffect};

use crate::counts::Seen;
use crate::place::{Place, Poison, decode, poisoned_record, unreadable_record};
use crate::{COUNTS_KEY, Kind, Lane, LaneStore, Lessons, Rooms, RoundError, is_for, is_resent, recall};

/// Records of a round from which on its lanes are worked side by side: a few milliseconds of work, a thread's start a few dozen microseconds.
const SIDE_BY_SIDE_MIN: usize = 1_024;

/// What stands before a round.
#[derive(Clone, Copy)]
pub(crate) struct Before<'a> {
    pub(crate) lessons: &'a Lessons,
    /// The round before is not finished yet.
    pub(crate) is_in_flight: bool,
    /// Records of earlier rounds that no commit is under way for.
    pub(crate) n_uncommitted: u64,
    /// They have waited for long enough.
    pub(crate) is_commit_due: bool,
}

/// What a round made of what it read: neither appended nor committed yet.
pub(crate) struct Prepared {
    entries: Vec<Entry>,
    /// Of all that was taken since the last commit; none if a later round commits for this one too.
    commits: Vec<LaneCommit>,
    fence: Option<Fence>,
    /// Where the only record of the round lies, when it is known that some record cannot be kept.
    single: Option<(u32, u64)>,
    /// Taken by this round.
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
    paused: Option<Box<(Stored, Record)>>,
    /// The stage has been told what it made of the call of the paused record.
    is_told: bool,
    /// The record for which the stage must be told others again.
    asked: Option<Box<(Stored, Record, AsWhat)>>,
    /// The data have been loaded again for the paused record; newer ones are not to be had.
    has_reloaded: bool,
}

/// How a record was counted.
#[derive(Clone, Copy)]
struct AsWhat {
    seen: Seen,
    is_counted: bool,
}

/// Why a lane does not go on by itself.
enum Pause {
    /// Its batch is done.
    Done,
    /// The call was made under data that is not loaded.
    WantsDirectory,
    /// The stage asks what it made of a call before.
    Asks(u64, CdrId),
    /// The stage must be told records of the lane again.
    AsksAgain,
}

/// Reads a batch of each lane and applies it. `None` if there was nothing to do.
pub(crate) async fn prepare<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    lanes: &mut [Lane<S>],
    directory: &mut Arc<Directory>,
    before: Before<'_>,
) -> Result<Option<Prepared>, RoundError> {
    let lessons = before.lessons;
    let fence = kind.share.fence(lanes.iter().map(|lane| (lane.partition, lane.epoch)));
    let mut works = Vec::new();
    let mut n_read = 0;
    let places: Vec<(u32, u64)> = lanes.iter().map(|lane| (lane.partition, lane.position)).collect();
    let batches = read_batches(kind, rooms, places, lessons).await?;
    lanes.iter_mut().for_each(|lane| lane.is_asking = false);
    for (lane, batch) in lanes.iter_mut().zip(batches) {
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
            asked: None,
            has_reloaded: false,
        });
    }
    let single = works.first().filter(|_| lessons.one_by_one).map(|work| (work.lane.partition, work.first));
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
                    let is_first = offset == work.first && !before.is_in_flight && before.n_uncommitted == 0;
                    let place = (work.lane.partition, offset);
                    if !is_first || !recall::answer(kind, rooms, work.lane, place, cdr).await? {
                        work.next = offset;
                        work.lane.is_asking = true;
                        break;
                    }
                    work.is_told = true;
                }
                Pause::AsksAgain => {
                    let lane = &mut *work.lane;
                    recall::tell_again(kind, &*rooms.bus, lane.partition, &mut lane.stage).await?;
                }
            }
            pause = work.go_on(kind, rooms, lessons)?;
        }
        if work.directory.revision > directory.revision {
            *directory = work.directory.clone();
        }
    }
    let (mut entries, mut n_records, mut is_moved) = (Vec::new(), 0, false);
    for mut work in works {
        n_records += work.n_records;
        entries.append(&mut work.entries);
        is_moved |= work.end();
    }
    if !is_moved {
        return Ok(None);
    }
    let commits_now = lessons.one_by_one
        || before.is_commit_due
        || before.n_uncommitted + n_records > kind.pace.uncommitted_max;
    let commits = if commits_now { take_commits(lanes)? } else { Vec::new() };
    let positions = positions(lanes);
    Ok(Some(Prepared { entries, commits, fence, single, n_records, positions }))
}

/// A batch of each lane; one record of one of them if they are taken one by one.
async fn read_batches<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    places: Vec<(u32, u64)>,
    lessons: &Lessons,
) -> Result<Vec<Batch>, RoundError> {
    if !lessons.one_by_one {
        return Ok(rooms.bus.read_lanes(kind.topic, &places, kind.pace.records_max).await?);
    }
    let mut batches = Vec::new();
    for (partition, position) in places {
        batches.push(rooms.bus.read(kind.topic, partition, position, 1).await?);
        if batches.last().is_some_and(|batch| !batch.records.is_empty()) {
            break;
        }
    }
    Ok(batches)
}

/// Commits what earlier rounds have taken, and nothing more.
pub(crate) fn commit_of_earlier<S: Stage>(
    kind: &Kind<S>,
    lanes: &mut [Lane<S>],
) -> Result<Prepared, RoundError> {
    let fence = kind.share.fence(lanes.iter().map(|lane| (lane.partition, lane.epoch)));
    let commits = take_commits(lanes)?;
    let positions = positions(lanes);
    Ok(Prepared { entries: Vec::new(), commits, fence, single: None, n_records: 0, positions })
}

fn positions<S>(lanes: &[Lane<S>]) -> Vec<(u32, u64)> {
    lanes.iter().map(|lane| (lane.partition, lane.position)).collect()
}

/// What the lanes have to commit; nothing of those that took no record.
fn take_commits<S: Stage>(lanes: &mut [Lane<S>]) -> Result<Vec<LaneCommit>, RoundError> {
    let mut commits = Vec::new();
    for lane in lanes.iter_mut().filter(|lane| lane.position != lane.committed) {
        let mut changes = lane.stage.take_changes();
        changes.push(StateChange { key: COUNTS_KEY.to_owned(), value: Some(lane.counts.to_bytes()?) });
        commits.push(LaneCommit {
            partition: lane.partition,
            expected: std::mem::replace(&mut lane.committed, lane.position),
            position: lane.position,
            watermarks: lane.watermarks.take_risen(),
            changes,
            effects: std::mem::take(&mut lane.kept),
        });
    }
    Ok(commits)
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
        if let Some(asked) = self.asked.take() {
            let (stored, record, as_what) = *asked;
            if !self.act_on(kind, rooms, stored, record, as_what)? {
                return Ok(Pause::AsksAgain);
            }
        }
        loop {
            let stored;
            let record = match self.paused.take() {
                Some(paused) => {
                    stored = paused.0;
                    paused.1
                }
                None => {
                    let Some(next) = self.records.next() else { return Ok(Pause::Done) };
                    stored = next;
                    match decode(&stored.payload) {
                        Ok(record) => record,
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
                self.paused = Some(Box::new((stored, record)));
                return Ok(Pause::Asks(offset, cdr));
            }
            // Of a replay it is not known what it was made under, and it does not matter.
            let is_late = config_revision(&record.body) > self.directory.revision
                && !lessons.poisoned.contains_key(&(partition, offset))
                && !self.lane.watermarks.has_seen(origin);
            if is_late && !std::mem::replace(&mut self.has_reloaded, true) {
                // The call was made under data we have not loaded: wait for it rather than price by the old.
                self.paused = Some(Box::new((stored, record)));
                return Ok(Pause::WantsDirectory);
            }
            (self.has_reloaded, self.is_told) = (false, false);
            self.n_records += 1;
            let Some(as_what) = self.admit(kind, rooms, lessons, (&stored, &record)) else { continue };
            if !self.act_on(kind, rooms, stored, record, as_what)? {
                return Ok(Pause::AsksAgain);
            }
        }
    }

    fn place(&self, kind: &Kind<S>, offset: u64) -> Place {
        Place { kind_name: kind.name, topic: kind.topic, partition: self.lane.partition, offset }
    }

    /// Counts a record. `None` if it has come before, or was put aside.
    fn admit<L: LaneStore>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        lessons: &Lessons,
        (stored, Record { origin, body }): (&Stored, &Record),
    ) -> Option<AsWhat> {
        let (place, partition) = (self.place(kind, stored.offset), self.lane.partition);
        let lane = &mut *self.lane;
        if !lane.watermarks.admit(origin.as_ref()) {
            lane.counts.replays += 1;
            return None;
        }
        let seen = Seen::of(body);
        let is_counted = if is_resent(origin.as_ref()) {
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
            let suspended = poisoned_record(body, why);
            self.kept.push(place.suspend(suspended, stored.payload.to_vec(), &rooms.clock));
            if is_counted {
                lane.counts.suspended += 1;
            } else {
                lane.counts.strays += 1;
            }
            return None;
        }
        Some(AsWhat { seen, is_counted })
    }

    /// Hands a record to the stage and sorts out what comes of it. `false` if the stage must be told others again first.
    fn act_on<L: LaneStore>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        stored: Stored,
        Record { origin, body }: Record,
        as_what: AsWhat,
    ) -> Result<bool, RoundError> {
        let (place, partition) = (self.place(kind, stored.offset), self.lane.partition);
        let lane = &mut *self.lane;
        let mut effects = Effects::default();
        let input = StageInput { partition, offset: stored.offset, body };
        let applied = std::panic::catch_unwind(AssertUnwindSafe(|| lane.stage.apply(input, &mut effects)));
        if applied.is_err() {
            return Err(RoundError::Poison { partition, offset: stored.offset, why: Poison::Panicked });
        }
        if matches!(effects.0.first(), Some(Effect::AskAgain(_)))
            && let Some(Effect::AskAgain(body)) = effects.0.pop()
        {
            self.asked = Some(Box::new((stored, Record { origin, body: *body }, as_what)));
            return Ok(false);
        }
        lane.counts.did(&effects);
        let repeated = effects.0.iter().any(|effect| matches!(effect, Effect::Repeated));
        if repeated && as_what.is_counted && !is_resent(origin.as_ref()) {
            lane.counts.knew(as_what.seen);
        }
        let to = (&*rooms.bus, &rooms.clock);
        place.sort_out(effects, &stored.payload, to, &mut self.entries, &mut self.kept);
        Ok(true)
    }

    /// Moves the lane on; whether it took a record.
    fn end(self) -> bool {
        let Self { lane, next, mut kept, .. } = self;
        lane.kept.append(&mut kept);
        std::mem::replace(&mut lane.position, next) != next
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

    /// Whether it commits, for itself and those before it.
    pub(crate) fn is_committing(&self) -> bool {
        !self.commits.is_empty()
    }

    /// Commits it, once it is appended and the round before is committed.
    pub(crate) async fn commit<L: LaneStore>(
        mut self,
        stage: &str,
        rooms: &Rooms<L>,
    ) -> Result<(), RoundError> {
        assert!(self.entries.is_empty(), "a round is appended before it is committed");
        if self.commits.is_empty() {
            return Ok(());
        }
        let single = self.single;
        let commits = std::mem::take(&mut self.commits);
        let committed = rooms.store.commit(stage, commits, self.fence.as_ref()).await;
        committed.map_err(|why| blame(single, RoundError::of_commit(why)))
    }

    fn blame(&self, error: RoundError) -> RoundError {
        blame(self.single, error)
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
        Body::Tick(_)
        | Body::Edr(_)
        | Body::Posting(_)
        | Body::Control(_)
        | Body::Accrual(_)
        // The watch that made it had the data of its call.
        | Body::Sighting(_) => 0,
    }
}
