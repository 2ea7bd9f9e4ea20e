//! Drives one stage over all lanes of its topic by the stage protocol: read, apply, append, commit.
//!
//! In: records of one topic. Out: records on other topics, each with its origin, and one SQL transaction a round with the
//! new state, the position and everything the stage wants kept. A crash between append and commit replays the round;
//! consumers drop what they have seen by its origin. What cannot be read or applied goes to suspense; a lane never stops
//! for one record, only for a log that lacks what its state refers to. One commit may serve several rounds ([`Pace`]).

mod addressee;
pub mod clock;
pub mod counts;
pub mod directory;
mod lane_store;
pub mod ledger_stage;
mod place;
mod recall;
mod round;
mod share;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
mod watermarks;

use std::collections::{HashMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bus::{Bus, BusError};
use model::{Directory, Stage, Topic};
use store::{LaneCommit, Store, StoreEffect, StoreError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::error;

pub use self::addressee::{addressed_to, addressee, is_for, is_resent};
pub use self::lane_store::LaneStore;
use self::place::Poison;
pub use self::place::{decode, entries_of, entry, to_every_partition};
pub use self::recall::read_again;
use self::round::{Before, Prepared, commit_of_earlier, prepare};
pub use self::share::{Assignment, Share, ShareKeeper};
pub use self::watermarks::Watermarks;
use crate::clock::Clock;
use crate::counts::Counts;
use crate::directory::DirectoryFeed;

/// Records of one lane in one round: about 150 kB of CDRs, and a transaction of some ten milliseconds.
pub const ROUND_RECORDS_MAX: usize = 256;

/// How long records wait at most for a commit while more come. So many of them are put out again after a crash, to be known by their origin.
pub const UNCOMMITTED_WAIT: Duration = Duration::from_millis(200);

/// How long an idle runner sleeps before it looks again by itself, for instance at the directory.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// How long a runner rests whose leases were not renewed, before it looks again.
const NOT_CURRENT_WAIT: Duration = Duration::from_millis(100);

/// Pause after a failed round, before lanes are loaded again from the last commit.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// State entries from which on stages take them side by side: a few milliseconds of work, a thread's start a few dozen microseconds.
const SIDE_BY_SIDE_MIN: usize = 1_024;

/// The state entry under which the runner keeps its own counters, out of the way of the stage's keys.
pub const COUNTS_KEY: &str = "\u{1}counts";

/// What a runner needs of the house.
#[derive(Clone)]
pub struct Rooms<L = Store> {
    /// The event log.
    pub bus: Arc<dyn Bus>,
    /// The database; for a runner alone, whatever keeps its lanes.
    pub store: L,
    /// The clock: for the time a record was put aside, never for a decision.
    pub clock: Clock,
    /// Provisioning data.
    pub directory: DirectoryFeed,
}

/// Hands a lane new provisioning data.
type Refresh<S> = Box<dyn Fn(&mut S, &Arc<Directory>) + Send + Sync>;

/// What makes a stage of a certain kind.
pub struct Kind<S> {
    /// Name in positions, origins and suspense.
    pub name: &'static str,
    /// Where it reads.
    pub topic: Topic,
    /// What it begins with where it is new to an installation.
    pub begin: Begin,
    /// A fresh lane.
    pub make: Box<dyn Fn() -> S + Send + Sync>,
    /// Hands a lane new provisioning data; stages that need none ignore it.
    pub refresh: Refresh<S>,
    /// Which lanes it works.
    pub share: Share,
    /// How much it takes at once.
    pub pace: Pace,
}

/// How much a stage takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Records of one lane in one round at most.
    pub records_max: usize,
    /// While more records come, a commit waits until those taken since the last one are more than so many, or have waited for
    /// [`UNCOMMITTED_WAIT`]. What rounds put out is in the log before: only after a crash is more of it put out again.
    pub uncommitted_max: u64,
}

impl Pace {
    /// Every round is committed, for stages whose effects others wait for.
    pub const STEADY: Self = Self { records_max: ROUND_RECORDS_MAX, uncommitted_max: 0 };
    /// Of stages that make little of each record and have nobody wait for their commits: rounds of a few hundred kilobytes for each lane.
    pub const SWIFT: Self = Self { records_max: 2_048, uncommitted_max: 100_000 };
    /// Of the ledger: every round is committed, and what has piled up makes large ones. Postings of a million accounts each change a page of balances
    /// and one of an index, which those of one transaction share: in transactions of 4,096 that was most of the work.
    pub const LEDGER: Self = Self { records_max: 4_096, uncommitted_max: 0 };
}

/// With which records a stage begins that is new to an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
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
    /// As the database has it, or will once what is under way is committed: 0 for a lane that never committed.
    committed: u64,
    /// What the records between the two want done in the commit.
    kept: Vec<StoreEffect>,
    watermarks: Watermarks,
    counts: Counts,
    /// Its stage asks for what it made before, and that is to be had when nothing is under way.
    is_asking: bool,
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
pub struct Progress {
    /// Records consumed since the process began.
    pub n_records: u64,
    /// Next offset of each partition, as committed; empty until the lanes are loaded.
    pub positions: Vec<u64>,
}

/// Runs a stage until `stop`. Failures of bus or store are logged and tried again from the last commit.
pub async fn run<S: Stage, L: LaneStore + Clone + 'static>(
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

/// Rounds under way at once, besides the one that is prepared. A round is in the log long before it is committed, and what a switch is told
/// should wait for no commit but its own; beyond these, rounds grow instead.
const FLIGHTS_MAX: usize = 4;

/// The second half of a round, under way while the first half of the next one runs.
struct Flight {
    landing: JoinHandle<Result<(), RoundError>>,
    /// It commits, for itself and those before it.
    is_committing: bool,
    /// Tells the one that started after it that this one is committed; dropped if it is not.
    committed: Option<oneshot::Receiver<()>>,
    /// Its outputs are in the log.
    appended: oneshot::Receiver<()>,
    n_records: u64,
    positions: Vec<(u32, u64)>,
}

/// Those under way, oldest first.
#[derive(Default)]
struct Flights {
    under_way: VecDeque<Flight>,
    /// Records of those started since the last that commits, and when the first of these was.
    n_uncommitted: u64,
    uncommitted_since: Option<Duration>,
}

impl Flights {
    /// Appends at once; commits when the one before is committed. The one before must be appended.
    fn start<S: Stage, L: LaneStore + Clone + 'static>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        mut prepared: Prepared,
    ) {
        let is_committing = prepared.is_committing();
        let (n_records, positions) = (self.n_uncommitted + prepared.n_records, prepared.positions.clone());
        if is_committing {
            (self.n_uncommitted, self.uncommitted_since) = (0, None);
        } else {
            self.n_uncommitted = n_records;
            self.uncommitted_since.get_or_insert_with(|| rooms.clock.now().mono);
        }
        let (stage, rooms) = (kind.name, rooms.clone());
        let before = self.under_way.back_mut().and_then(|before| before.committed.take());
        let (tell_committed, committed) = oneshot::channel();
        let (tell_appended, appended) = oneshot::channel();
        let landing = tokio::spawn(async move {
            prepared.append(&rooms).await?;
            // Nobody may be waiting.
            let _ = tell_appended.send(());
            if let Some(before) = before
                && before.await.is_err()
            {
                return Err(RoundError::Failed(anyhow::anyhow!("the round before was not committed")));
            }
            prepared.commit(stage, &rooms).await?;
            let _ = tell_committed.send(());
            Ok(())
        });
        self.under_way.push_back(Flight {
            landing,
            is_committing,
            committed: Some(committed),
            appended,
            n_records,
            positions,
        });
    }

    /// Whether records have waited for their commit for long enough.
    fn is_commit_due(&self, clock: &Clock) -> bool {
        self.uncommitted_since.is_some_and(|since| clock.now().mono.saturating_sub(since) >= UNCOMMITTED_WAIT)
    }

    /// Begins to commit what earlier rounds have taken, if there is any.
    async fn commit_earlier<S: Stage, L: LaneStore + Clone + 'static>(
        &mut self,
        kind: &Kind<S>,
        rooms: &Rooms<L>,
        lanes: &mut [Lane<S>],
    ) -> Result<(), RoundError> {
        if self.n_uncommitted > 0 {
            self.appended().await;
            self.start(kind, rooms, commit_of_earlier(kind, lanes)?);
        }
        Ok(())
    }

    /// Waits until the latest is in the log: appends come one after the other.
    async fn appended(&mut self) {
        if let Some(latest) = self.under_way.back_mut() {
            // One that failed says so when it lands.
            let _ = (&mut latest.appended).await;
        }
    }

    /// Waits until at most `n_left` are under way, and tells how far the stage is then. Nothing is lost if nobody waits to the end.
    async fn land<S>(
        &mut self,
        n_left: usize,
        kind: &Kind<S>,
        progress: &watch::Sender<Progress>,
    ) -> Result<(), RoundError> {
        while self.under_way.len() > n_left
            && let Some(oldest) = self.under_way.front_mut()
        {
            let landed = (&mut oldest.landing).await;
            let Some(flight) = self.under_way.pop_front() else { break };
            landed??;
            if !flight.is_committing {
                continue;
            }
            progress.send_modify(|progress| {
                progress.n_records += flight.n_records;
                // Of lanes that others work too, the database tells.
                if !kind.share.is_leased() {
                    progress.positions = flight.positions.iter().map(|(_, position)| *position).collect();
                }
            });
        }
        Ok(())
    }
}

async fn session<S: Stage, L: LaneStore + Clone + 'static>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    stop: &CancellationToken,
    progress: &watch::Sender<Progress>,
    lessons: &Lessons,
) -> Result<Ended, RoundError> {
    let mut flights = Flights::default();
    let ended = rounds(kind, rooms, (stop, lessons), progress, &mut flights).await;
    // However it ended: the next session begins where this one has really come to.
    let landed = flights.land(0, kind, progress).await;
    for flight in flights.under_way {
        // One of those before it failed, and so will this.
        let _ = flight.landing.await;
    }
    ended.and_then(|ended| landed.map(|()| ended))
}

async fn rounds<S: Stage, L: LaneStore + Clone + 'static>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    (stop, lessons): (&CancellationToken, &Lessons),
    progress: &watch::Sender<Progress>,
    flights: &mut Flights,
) -> Result<Ended, RoundError> {
    let mut assigned = kind.share.assigned();
    let mut lanes = Vec::new();
    let mut generation = None;
    loop {
        if stop.is_cancelled() {
            flights.commit_earlier(kind, rooms, &mut lanes).await?;
            return Ok(Ended::Stopped);
        }
        let assignment = assigned.borrow_and_update().clone();
        let mut directory = rooms.directory.current();
        if generation.replace(assignment.generation) != Some(assignment.generation) {
            // Whoever gets a lane that is let go of must find all of it committed.
            flights.commit_earlier(kind, rooms, &mut lanes).await?;
            flights.land(0, kind, progress).await?;
            adopt(kind, rooms, &assignment, &mut lanes, &directory).await?;
            tell_positions(kind, &lanes, progress);
        }
        if !kind.share.is_current() {
            tokio::select! {
                () = tokio::time::sleep(NOT_CURRENT_WAIT) => continue,
                () = stop.cancelled() => return Ok(Ended::Stopped),
            }
        }
        let is_in_flight = !flights.under_way.is_empty();
        let before = Before {
            lessons,
            is_in_flight,
            n_uncommitted: flights.n_uncommitted,
            is_commit_due: flights.is_commit_due(&rooms.clock),
        };
        let prepared = prepare(kind, rooms, &mut lanes, &mut directory, before).await?;
        if let Some(prepared) = prepared {
            flights.land(FLIGHTS_MAX - 1, kind, progress).await?;
            flights.appended().await;
            flights.start(kind, rooms, prepared);
            if lessons.one_by_one {
                flights.land(0, kind, progress).await?;
            }
            continue;
        }
        flights.commit_earlier(kind, rooms, &mut lanes).await?;
        if !flights.under_way.is_empty() {
            landed_or_news(kind, rooms, news_of(&lanes), progress, flights).await?;
            continue;
        }
        if lanes.iter().any(|lane| lane.waiting.is_some()) {
            tokio::time::sleep(recall::LOOK_AGAIN).await;
            continue;
        }
        if lessons.one_by_one {
            return Ok(Ended::CaughtUp);
        }
        let positions = next_of(&lanes);
        tokio::select! {
            waited = rooms.bus.wait(kind.topic, &positions) => waited?,
            Ok(()) = assigned.changed() => {}
            () = tokio::time::sleep(IDLE_WAIT) => {}
            () = stop.cancelled() => return Ok(Ended::Stopped),
        }
    }
}

/// Waits until the oldest round has landed, or for what is read next: what comes of that need not wait for a commit. Where nothing is
/// to be read, until all have landed.
async fn landed_or_news<S, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    wanted: Option<Vec<(u32, u64)>>,
    progress: &watch::Sender<Progress>,
    flights: &mut Flights,
) -> Result<(), RoundError> {
    let Some(positions) = wanted else { return flights.land(0, kind, progress).await };
    let n_left = flights.under_way.len().saturating_sub(1);
    tokio::select! {
        landed = flights.land(n_left, kind, progress) => landed,
        waited = rooms.bus.wait(kind.topic, &positions) => Ok(waited?),
    }
}

/// What each lane reads next; `None` while one waits for what may be about to land.
fn news_of<S>(lanes: &[Lane<S>]) -> Option<Vec<(u32, u64)>> {
    let is_waiting = lanes.iter().any(|lane| lane.is_asking || lane.waiting.is_some());
    (!is_waiting).then(|| next_of(lanes))
}

/// What each lane reads next.
fn next_of<S>(lanes: &[Lane<S>]) -> Vec<(u32, u64)> {
    lanes.iter().map(|lane| (lane.partition, lane.position)).collect()
}

/// Where the lanes are, for those who wait for that, before the first round.
fn tell_positions<S>(kind: &Kind<S>, lanes: &[Lane<S>], progress: &watch::Sender<Progress>) {
    if !kind.share.is_leased() {
        progress.send_modify(|progress| {
            progress.positions = lanes.iter().map(|lane| lane.position).collect();
        });
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
    let mut found = Vec::with_capacity(wanted.len());
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
        let lane = Lane {
            partition,
            epoch,
            stage,
            directory: directory.clone(),
            position,
            committed,
            kept: Vec::new(),
            watermarks: Watermarks::new(watermarks),
            counts,
            is_asking: false,
            waiting: None,
        };
        found.push((lane, state));
    }
    restore(kind.name, &mut found)?;
    let mut lanes: Vec<Lane<S>> = found.into_iter().map(|(lane, _)| lane).collect();
    for lane in &mut lanes {
        recall::tell_again(kind, &*rooms.bus, lane.partition, &mut lane.stage).await?;
    }
    Ok(lanes)
}

/// A lane, and the state that its stage has not taken yet.
type Found<S> = (Lane<S>, Vec<(String, Vec<u8>)>);

/// Has the stages take their state, side by side where that is much.
fn restore<S: Stage>(name: &str, found: &mut [Found<S>]) -> Result<(), RoundError> {
    let n_entries: usize = found.iter().map(|(_, state)| state.len()).sum();
    let n_threads = match n_entries {
        0..SIDE_BY_SIDE_MIN => 1,
        _ => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let share = found.len().div_ceil(n_threads).max(1);
    let take = |found: &mut [Found<S>]| -> Result<(), RoundError> {
        for (lane, state) in found {
            lane.stage.restore(std::mem::take(state)).map_err(|why| {
                anyhow::anyhow!("the saved state of {name} in lane {} cannot be read: {why}", lane.partition)
            })?;
        }
        Ok(())
    };
    let take = &take;
    let taken: Vec<Result<(), RoundError>> = std::thread::scope(|scope| {
        let mut shares = found.chunks_mut(share);
        let own = shares.next();
        let others: Vec<_> = shares.map(|others| scope.spawn(move || take(others))).collect();
        let own = own.map_or(Ok(()), take);
        let joined = others
            .into_iter()
            .map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(joined).collect()
    });
    taken.into_iter().collect()
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

/// A whole round, both halves. Returns how many records it consumed.
#[cfg(test)]
async fn round<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    lanes: &mut [Lane<S>],
    directory: &mut Arc<Directory>,
    lessons: &Lessons,
) -> Result<u64, RoundError> {
    let before = Before { lessons, is_in_flight: false, n_uncommitted: 0, is_commit_due: true };
    let Some(mut prepared) = prepare(kind, rooms, lanes, directory, before).await? else {
        return Ok(0);
    };
    let n_records = prepared.n_records;
    prepared.append(rooms).await?;
    prepared.commit(kind.name, rooms).await?;
    Ok(n_records)
}
