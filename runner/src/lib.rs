//! Drives one stage over all lanes of its topic by the stage protocol: read, apply, append, commit.
//!
//! In: records of one topic. Out: records on other topics, each with its origin, and one SQL transaction a round with the
//! new state, the position and everything the stage wants kept. A crash between append and commit replays the round;
//! consumers drop what they have seen by its origin. What cannot be read or applied goes to suspense; a lane never stops
//! for one record.

mod lane_store;
mod place;
mod positions;
mod recall;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watermarks;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bus::{Bus, BusError, Entry};
use model::{Body, Directory, Effect, Effects, Stage, StageInput, StateChange, Topic};
use store::{Fence, LaneCommit, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub(crate) use self::lane_store::LaneStore;
use self::place::{Place, Poison, poisoned_record, unreadable_record};
pub(crate) use self::place::{decode, entry};
pub(crate) use self::positions::{LAKE, LAKE_EVENTS, LAKE_POSTINGS, Positions, check_positions, topic_of};
pub(crate) use self::share::{Assignment, Share, ShareKeeper};
pub(crate) use self::watermarks::Watermarks;
use crate::clock::Clock;
use crate::counts::Counts;
use crate::directory::DirectoryFeed;
use crate::resubmit;

/// Records of one lane in one round: about 150 kB of CDRs, and a transaction of some ten milliseconds.
const ROUND_RECORDS_MAX: usize = 256;

/// How long an idle runner sleeps before it looks again by itself, for instance at the directory.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// How long a runner rests whose leases were not renewed, before it looks again.
const NOT_CURRENT_WAIT: Duration = Duration::from_millis(100);

/// Pause after a failed round, before lanes are loaded again from the last commit.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The state entry under which the runner keeps its own counters, out of the way of the stage's keys.
pub(crate) const COUNTS_KEY: &str = "\u{1}counts";

/// What a runner needs of the house.
#[derive(Clone)]
pub(crate) struct Rooms<L = Store> {
    /// The event log.
    pub(crate) bus: Arc<dyn Bus>,
    /// The database; for a runner alone, whatever keeps its lanes.
    pub(crate) store: L,
    /// The clock: for the time a record was put aside, never for a decision.
    pub(crate) clock: Clock,
    /// Provisioning data.
    pub(crate) directory: DirectoryFeed,
}

/// Hands a lane new provisioning data.
type Refresh<S> = Box<dyn Fn(&mut S, &Arc<Directory>) + Send + Sync>;

/// What makes a stage of a certain kind.
pub(crate) struct Kind<S> {
    /// Name in positions, origins and suspense.
    pub(crate) name: &'static str,
    /// Where it reads.
    pub(crate) topic: Topic,
    /// What it begins with where it is new to an installation.
    pub(crate) begin: Begin,
    /// A fresh lane.
    pub(crate) make: Box<dyn Fn() -> S + Send + Sync>,
    /// Hands a lane new provisioning data; stages that need none ignore it.
    pub(crate) refresh: Refresh<S>,
    /// Which lanes it works.
    pub(crate) share: Share,
}

/// With which records a stage begins that is new to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With what the log still has.
    Oldest,
    /// With what comes after its first start.
    Now,
}

struct Lane<S> {
    partition: u32,
    /// Of its lease, where there are leases.
    epoch: Option<u64>,
    stage: S,
    /// The provisioning data that the stage has.
    directory: Arc<Directory>,
    position: u64,
    /// As the database has it: 0 for a lane that never committed.
    committed: u64,
    watermarks: Watermarks,
    counts: Counts,
    /// Set while it waits for what its stage asked for.
    waiting: Option<recall::Waiting>,
}

impl<S> Lane<S> {
    /// Hands the stage `directory` if it has another one.
    fn refresh(&mut self, kind: &Kind<S>, directory: &Arc<Directory>) {
        if !Arc::ptr_eq(&self.directory, directory) {
            (kind.refresh)(&mut self.stage, directory);
            self.directory = directory.clone();
        }
    }
}

/// Why a round did not end well.
#[derive(Debug)]
enum RoundError {
    /// A record that nothing can be done with; it will be put aside.
    Poison { partition: u32, offset: u64, why: Poison },
    /// Bus or store refuse what came of some record of the round, now and always: its records are taken one by one.
    Refused(anyhow::Error),
    /// Bus or store; tried again.
    Failed(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for RoundError {
    fn from(error: E) -> Self {
        RoundError::Failed(error.into())
    }
}

impl RoundError {
    fn of_append(why: BusError) -> Self {
        if matches!(why, BusError::TooLarge { .. }) {
            RoundError::Refused(why.into())
        } else {
            RoundError::Failed(why.into())
        }
    }

    fn of_commit(why: StoreError) -> Self {
        if why.is_of_the_record() { RoundError::Refused(why.into()) } else { RoundError::Failed(why.into()) }
    }
}

/// What earlier rounds taught.
#[derive(Debug, Default)]
struct Lessons {
    /// Records to be put aside, by partition and offset.
    poisoned: HashMap<(u32, u64), Poison>,
    /// One record a round, until the one is found that bus or store refuse.
    one_by_one: bool,
}

/// How a session ended well.
#[derive(Debug)]
enum Ended {
    /// As asked.
    Stopped,
    /// Taking records one by one, all of them were taken: the trouble has passed, and batches may be large again.
    CaughtUp,
}

/// How far a consumer has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Records consumed since the process began.
    pub(crate) n_records: u64,
    /// Next offset of each partition, as committed; empty until the lanes are loaded.
    pub(crate) positions: Vec<u64>,
}

/// Runs a stage until `stop`. Failures of bus or store are logged and tried again from the last commit.
pub(crate) async fn run<S: Stage, L: LaneStore>(
    kind: Kind<S>,
    rooms: Rooms<L>,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) {
    let mut lessons = Lessons::default();
    while !stop.is_cancelled() {
        let ended = unwound(session(&kind, &rooms, &stop, &progress, &lessons)).await;
        let cause = match ended {
            Some(Ok(Ended::Stopped)) => return,
            Some(Ok(Ended::CaughtUp)) => {
                lessons.one_by_one = false;
                continue;
            }
            Some(Err(RoundError::Poison { partition, offset, why })) => {
                error!(
                    stage = kind.name,
                    partition,
                    offset,
                    ?why,
                    "stage failed on a record; putting it aside"
                );
                lessons.one_by_one = false;
                if lessons.poisoned.insert((partition, offset), why).is_none() {
                    continue;
                }
                "a record cannot even be put aside".to_owned()
            }
            Some(Err(RoundError::Refused(cause))) => {
                error!(
                    stage = kind.name,
                    error = format!("{cause:#}"),
                    "what came of a record is refused; taking records one by one to find it"
                );
                lessons.one_by_one = true;
                continue;
            }
            Some(Err(RoundError::Failed(cause))) => format!("{cause:#}"),
            None => "the program failed outside of a record; please report it with the log".to_owned(),
        };
        error!(stage = kind.name, error = cause, "round failed; trying again from the last commit");
        tokio::select! {
            () = tokio::time::sleep(FAILURE_PAUSE) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// The output of `work`; `None` if it panics, which must not end a lane for good.
async fn unwound<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    std::future::poll_fn(|context| {
        match std::panic::catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(polled) => polled.map(Some),
            Err(_panic) => Poll::Ready(None),
        }
    })
    .await
}

async fn session<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    stop: &CancellationToken,
    progress: &watch::Sender<Progress>,
    lessons: &Lessons,
) -> Result<Ended, RoundError> {
    let mut assigned = kind.share.assigned();
    let mut lanes = Vec::new();
    loop {
        if stop.is_cancelled() {
            return Ok(Ended::Stopped);
        }
        let assignment = assigned.borrow_and_update().clone();
        let mut directory = rooms.directory.current();
        adopt(kind, rooms, &assignment, &mut lanes, &directory).await?;
        if !kind.share.is_current() {
            tokio::select! {
                () = tokio::time::sleep(NOT_CURRENT_WAIT) => continue,
                () = stop.cancelled() => return Ok(Ended::Stopped),
            }
        }
        let n_records = round(kind, rooms, &mut lanes, &mut directory, lessons).await?;
        let positions: Vec<(u32, u64)> = lanes.iter().map(|lane| (lane.partition, lane.position)).collect();
        progress.send_modify(|progress| {
            progress.n_records += n_records;
            // Of lanes that others work too, the database tells.
            if !kind.share.is_leased() {
                progress.positions = positions.iter().map(|(_, position)| *position).collect();
            }
        });
        if n_records > 0 {
            continue;
        }
        if lanes.iter().any(|lane| lane.waiting.is_some()) {
            tokio::time::sleep(recall::LOOK_AGAIN).await;
            continue;
        }
        if lessons.one_by_one {
            return Ok(Ended::CaughtUp);
        }
        tokio::select! {
            waited = rooms.bus.wait(kind.topic, &positions) => waited?,
            Ok(()) = assigned.changed() => {}
            () = tokio::time::sleep(IDLE_WAIT) => {}
            () = stop.cancelled() => return Ok(Ended::Stopped),
        }
    }
}

/// Lets go of what is not assigned any more, and loads what is new.
async fn adopt<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    assignment: &Assignment,
    lanes: &mut Vec<Lane<S>>,
    directory: &Arc<Directory>,
) -> Result<(), RoundError> {
    lanes.retain(|lane| assignment.lanes.get(&lane.partition) == Some(&lane.epoch));
    kind.share.adopt(assignment.generation);
    let news = not_held(assignment, lanes);
    if !news.is_empty() {
        lanes.extend(load_lanes(kind, rooms, &news, directory).await?);
        lanes.sort_by_key(|lane| lane.partition);
    }
    Ok(())
}

fn not_held<S>(assignment: &Assignment, lanes: &[Lane<S>]) -> Vec<(u32, Option<u64>)> {
    let is_held = |partition: u32| lanes.iter().any(|lane| lane.partition == partition);
    let assigned = assignment.lanes.iter().map(|(partition, epoch)| (*partition, *epoch));
    assigned.filter(|(partition, _)| !is_held(*partition)).collect()
}

async fn load_lanes<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    wanted: &[(u32, Option<u64>)],
    directory: &Arc<Directory>,
) -> Result<Vec<Lane<S>>, RoundError> {
    let mut saved: HashMap<u32, store::Lane> =
        rooms.store.load_lanes(kind.name).await?.into_iter().map(|lane| (lane.partition, lane)).collect();
    if saved.is_empty() && kind.begin == Begin::Now {
        // Kept at once: what comes between this and the first batch must not be passed over by a crash.
        saved = begin_now(kind, rooms).await?;
    }
    let mut lanes = Vec::new();
    for &(partition, epoch) in wanted {
        let mut stage = (kind.make)();
        (kind.refresh)(&mut stage, directory);
        let (position, committed, watermarks, mut state) = match saved.remove(&partition) {
            Some(lane) => (lane.position, lane.position, lane.watermarks, lane.state),
            None => (rooms.bus.range(kind.topic, partition).await?.0, 0, Vec::new(), Vec::new()),
        };
        let mut counts = Counts::default();
        if let Some(at) = state.iter().position(|(key, _)| key == COUNTS_KEY) {
            counts = Counts::from_bytes(&state.swap_remove(at).1)?;
        }
        stage.restore(state).map_err(|why| {
            anyhow::anyhow!("the saved state of {} in lane {partition} cannot be read: {why}", kind.name)
        })?;
        let directory = directory.clone();
        let watermarks = Watermarks::new(watermarks);
        lanes.push(Lane {
            partition,
            epoch,
            stage,
            directory,
            position,
            committed,
            watermarks,
            counts,
            waiting: None,
        });
    }
    Ok(lanes)
}

/// Puts the lanes of a new stage at the end of the log, and says where that is.
async fn begin_now<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
) -> Result<HashMap<u32, store::Lane>, RoundError> {
    let (mut lanes, mut commits) = (HashMap::new(), Vec::new());
    for partition in 0..rooms.bus.partitions() {
        let (_, position) = rooms.bus.range(kind.topic, partition).await?;
        lanes.insert(
            partition,
            store::Lane { partition, position, watermarks: Vec::new(), state: Vec::new() },
        );
        commits.push(LaneCommit {
            partition,
            expected: 0,
            position,
            watermarks: Vec::new(),
            changes: Vec::new(),
            effects: Vec::new(),
        });
    }
    rooms.store.commit(kind.name, commits, None).await.map_err(RoundError::of_commit)?;
    Ok(lanes)
}

/// One round over all lanes: one group append, one transaction. Returns how many records it consumed.
async fn round<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    lanes: &mut [Lane<S>],
    directory: &mut Arc<Directory>,
    lessons: &Lessons,
) -> Result<u64, RoundError> {
    let records_max = if lessons.one_by_one { 1 } else { ROUND_RECORDS_MAX };
    let mut entries = Vec::new();
    let mut commits = Vec::new();
    let mut n_records = 0;
    let fence = kind.share.fence(lanes.iter().map(|lane| (lane.partition, lane.epoch)));
    for lane in lanes.iter_mut() {
        let partition = lane.partition;
        let batch = rooms.bus.read(kind.topic, partition, lane.position, records_max).await?;
        if batch.records.is_empty() {
            continue;
        }
        let mut next = batch.next;
        let first = batch.records[0].offset;
        let mut kept = Vec::new();
        lane.refresh(kind, directory);
        for stored in batch.records {
            n_records += 1;
            let at = Place { kind_name: kind.name, topic: kind.topic, partition, offset: stored.offset };
            let record = match decode(&stored.payload) {
                Ok(record) => record,
                Err(why) => {
                    kept.push(at.suspend(unreadable_record(&why), stored.payload, &rooms.clock));
                    lane.counts.strays += 1;
                    continue;
                }
            };
            if !resubmit::is_for(kind.name, record.origin.as_ref()) {
                continue;
            }
            if let Some(cdr) = lane.stage.asks_for(&record.body)
                && !lane.watermarks.has_seen(record.origin.as_ref())
            {
                // What this round puts out is nowhere yet, so the answer is only complete for its first record.
                let is_first = stored.offset == first;
                if !is_first || !recall::answer(kind, rooms, lane, (partition, stored.offset), cdr).await? {
                    n_records -= 1;
                    next = stored.offset;
                    break;
                }
            }
            if !lane.watermarks.admit(record.origin.as_ref()) {
                lane.counts.replays += 1;
                continue;
            }
            let is_counted = if resubmit::is_resent(record.origin.as_ref()) {
                // It comes again because something was changed for it: that change must be in force.
                let latest = rooms.directory.current();
                if latest.revision > directory.revision {
                    *directory = latest;
                    lane.refresh(kind, directory);
                }
                lane.counts.saw_again(&record.body)
            } else {
                lane.counts.saw(&record.body)
            };
            if let Some(why) = lessons.poisoned.get(&(partition, stored.offset)) {
                kept.push(at.suspend(poisoned_record(&record.body, why), stored.payload, &rooms.clock));
                if is_counted {
                    lane.counts.suspended += 1;
                } else {
                    lane.counts.strays += 1;
                }
                continue;
            }
            if config_revision(&record.body) > directory.revision {
                // The call was made under data we have not loaded: wait for it rather than price by the old.
                *directory = rooms.directory.reload().await?;
                lane.refresh(kind, directory);
            }
            let mut effects = Effects::default();
            let input = StageInput { partition, offset: stored.offset, body: &record.body };
            let applied =
                std::panic::catch_unwind(AssertUnwindSafe(|| lane.stage.apply(input, &mut effects)));
            if applied.is_err() {
                return Err(RoundError::Poison { partition, offset: stored.offset, why: Poison::Panicked });
            }
            lane.counts.did(&effects);
            let repeated = effects.0.iter().any(|effect| matches!(effect, Effect::Repeated));
            if repeated && is_counted && !resubmit::is_resent(record.origin.as_ref()) {
                lane.counts.knew(&record.body);
            }
            let to = (&*rooms.bus, &rooms.clock);
            at.sort_out(effects, stored.payload, to, &mut entries, &mut kept);
        }
        if next == lane.position {
            continue;
        }
        let mut changes = lane.stage.take_changes();
        changes.push(StateChange { key: COUNTS_KEY.to_owned(), value: Some(lane.counts.to_bytes()?) });
        commits.push(LaneCommit {
            partition,
            expected: lane.committed,
            position: next,
            watermarks: lane.watermarks.take_risen(),
            changes,
            effects: kept,
        });
        (lane.position, lane.committed) = (next, next);
        if lessons.one_by_one {
            break;
        }
    }
    let Some(first) = commits.first().map(|commit| (commit.partition, commit.expected)) else {
        return Ok(0);
    };
    finish(kind.name, rooms, entries, commits, fence.as_ref()).await.map_err(|error| match error {
        RoundError::Refused(why) if lessons.one_by_one => {
            let (partition, offset) = first;
            RoundError::Poison { partition, offset, why: Poison::Refused(format!("{why:#}")) }
        }
        other @ (RoundError::Refused(_) | RoundError::Poison { .. } | RoundError::Failed(_)) => other,
    })?;
    Ok(n_records)
}

/// Appends, then commits.
async fn finish<L: LaneStore>(
    stage: &str,
    rooms: &Rooms<L>,
    entries: Vec<Entry>,
    commits: Vec<LaneCommit>,
    fence: Option<&Fence>,
) -> Result<(), RoundError> {
    if !entries.is_empty() {
        rooms.bus.append(entries).await.map_err(RoundError::of_append)?;
    }
    rooms.store.commit(stage, commits, fence).await.map_err(RoundError::of_commit)
}

fn config_revision(body: &Body) -> i64 {
    match body {
        Body::Call(event) => event.config_revision,
        Body::Cdr(cdr) => cdr.config_revision,
        Body::Rated(rated) => rated.cdr.config_revision,
        Body::Tick(_) | Body::Edr(_) | Body::Posting(_) | Body::Control(_) | Body::Accrual(_) => 0,
    }
}
