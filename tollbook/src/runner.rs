//! Drives one stage over all lanes of its topic by the stage protocol: read, apply, append, commit.
//!
//! In: records of one topic. Out: records on other topics, each with its origin, and one SQL transaction a round with the
//! new state, the position and everything the stage wants kept. A crash between append and commit replays the round;
//! consumers drop what they have seen by its origin. What cannot be read or applied goes to suspense; a lane never stops
//! for one record.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bus::{Bus, BusError, Entry};
use lake::Lake;
use model::{
    AccountId, Body, CdrId, Directory, Effect, Effects, Origin, Record, Retry, Stage, StageInput,
    StateChange, Suspended, Topic, partition_of,
};
use store::{LaneCommit, Store, StoreEffect, StoreError, Watermark};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock::Clock;
use crate::counts::Counts;
use crate::directory::DirectoryFeed;
use crate::resubmit;
use crate::system::STAGES;

/// Records of one lane in one round: about 150 kB of CDRs, and a transaction of some ten milliseconds.
const ROUND_RECORDS_MAX: usize = 256;

/// How long an idle runner sleeps before it looks again by itself, for instance at the directory.
const IDLE_WAIT: Duration = Duration::from_millis(500);

/// Pause after a failed round, before lanes are loaded again from the last commit.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

/// The state entry under which the runner keeps its own counters, out of the way of the stage's keys.
pub(crate) const COUNTS_KEY: &str = "\u{1}counts";

/// What a runner needs of the house.
#[derive(Clone)]
pub(crate) struct Rooms {
    /// The event log.
    pub(crate) bus: Arc<dyn Bus>,
    /// The database.
    pub(crate) store: Store,
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
    /// A fresh lane.
    pub(crate) make: Box<dyn Fn() -> S + Send + Sync>,
    /// Hands a lane new provisioning data; stages that need none ignore it.
    pub(crate) refresh: Refresh<S>,
}

struct Lane<S> {
    stage: S,
    /// The provisioning data that the stage has.
    directory: Arc<Directory>,
    position: u64,
    watermarks: Watermarks,
    counts: Counts,
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

/// Per origin lane, the highest (offset, index) applied.
pub(crate) struct Watermarks {
    highest: HashMap<(String, u32), (u64, u32)>,
    /// Those that rose since they were last taken for a commit.
    risen: HashSet<(String, u32)>,
}

impl Watermarks {
    /// As loaded.
    pub(crate) fn new(loaded: Vec<Watermark>) -> Self {
        let highest = loaded
            .into_iter()
            .map(|mark| ((mark.stage, mark.partition), (mark.offset, mark.index)))
            .collect();
        Self { highest, risen: HashSet::new() }
    }

    /// Whether a record of this origin is new; if so it is remembered. Records from outside always are.
    pub(crate) fn admit(&mut self, origin: Option<&Origin>) -> bool {
        let Some(origin) = origin else { return true };
        let lane = (origin.stage.clone(), origin.partition);
        let at = (origin.offset, origin.index);
        if self.highest.get(&lane).is_some_and(|seen| *seen >= at) {
            return false;
        }
        self.highest.insert(lane.clone(), at);
        self.risen.insert(lane);
        true
    }

    /// What rose since the last call, for the commit.
    pub(crate) fn take_risen(&mut self) -> Vec<Watermark> {
        let mut risen: Vec<Watermark> = self
            .risen
            .drain()
            .filter_map(|lane| {
                let (offset, index) = *self.highest.get(&lane)?;
                Some(Watermark { stage: lane.0, partition: lane.1, offset, index })
            })
            .collect();
        risen.sort_by(|a, b| (&a.stage, a.partition).cmp(&(&b.stage, b.partition)));
        risen
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

/// What is wrong with a record that is put aside.
#[derive(Debug, Clone)]
enum Poison {
    /// The stage panicked on it.
    Panicked,
    /// Bus or store refuse what came of it, in these words.
    Refused(String),
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
pub(crate) async fn run<S: Stage>(
    kind: Kind<S>,
    rooms: Rooms,
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

async fn session<S: Stage>(
    kind: &Kind<S>,
    rooms: &Rooms,
    stop: &CancellationToken,
    progress: &watch::Sender<Progress>,
    lessons: &Lessons,
) -> Result<Ended, RoundError> {
    let mut directory = rooms.directory.current();
    let mut lanes = load_lanes(kind, rooms, &directory).await?;
    loop {
        if stop.is_cancelled() {
            return Ok(Ended::Stopped);
        }
        directory = rooms.directory.current();
        let n_records = round(kind, rooms, &mut lanes, &mut directory, lessons).await?;
        let positions: Vec<u64> = lanes.iter().map(|lane| lane.position).collect();
        progress.send_modify(|progress| {
            progress.n_records += n_records;
            progress.positions.clone_from(&positions);
        });
        if n_records > 0 {
            continue;
        }
        if lessons.one_by_one {
            return Ok(Ended::CaughtUp);
        }
        tokio::select! {
            waited = rooms.bus.wait(kind.topic, &positions) => waited?,
            () = tokio::time::sleep(IDLE_WAIT) => {}
            () = stop.cancelled() => return Ok(Ended::Stopped),
        }
    }
}

async fn load_lanes<S: Stage>(
    kind: &Kind<S>,
    rooms: &Rooms,
    directory: &Arc<Directory>,
) -> Result<Vec<Lane<S>>, RoundError> {
    let mut saved: HashMap<u32, store::Lane> =
        rooms.store.load_lanes(kind.name).await?.into_iter().map(|lane| (lane.partition, lane)).collect();
    let mut lanes = Vec::new();
    for partition in 0..rooms.bus.partitions() {
        let mut stage = (kind.make)();
        (kind.refresh)(&mut stage, directory);
        let (position, watermarks, mut state) = match saved.remove(&partition) {
            Some(lane) => (lane.position, lane.watermarks, lane.state),
            None => (0, Vec::new(), Vec::new()),
        };
        let mut counts = Counts::default();
        if let Some(at) = state.iter().position(|(key, _)| key == COUNTS_KEY) {
            counts = Counts::from_bytes(&state.swap_remove(at).1)?;
        }
        stage.restore(state).map_err(|why| {
            anyhow::anyhow!("the saved state of {} in lane {partition} cannot be read: {why}", kind.name)
        })?;
        let directory = directory.clone();
        lanes.push(Lane { stage, directory, position, watermarks: Watermarks::new(watermarks), counts });
    }
    Ok(lanes)
}

/// One round over all lanes: one group append, one transaction. Returns how many records it consumed.
async fn round<S: Stage>(
    kind: &Kind<S>,
    rooms: &Rooms,
    lanes: &mut [Lane<S>],
    directory: &mut Arc<Directory>,
    lessons: &Lessons,
) -> Result<u64, RoundError> {
    let records_max = if lessons.one_by_one { 1 } else { ROUND_RECORDS_MAX };
    let mut entries = Vec::new();
    let mut commits = Vec::new();
    let mut n_records = 0;
    for (partition, lane) in (0_u32..).zip(lanes.iter_mut()) {
        let batch = rooms.bus.read(kind.topic, partition, lane.position, records_max).await?;
        if batch.records.is_empty() {
            continue;
        }
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
            at.sort_out(effects, stored.payload, rooms, &mut entries, &mut kept);
        }
        let mut changes = lane.stage.take_changes();
        changes.push(StateChange { key: COUNTS_KEY.to_owned(), value: Some(lane.counts.to_bytes()?) });
        commits.push(LaneCommit {
            partition,
            expected: lane.position,
            position: batch.next,
            watermarks: lane.watermarks.take_risen(),
            changes,
            effects: kept,
        });
        lane.position = batch.next;
        if lessons.one_by_one {
            break;
        }
    }
    let Some(first) = commits.first().map(|commit| (commit.partition, commit.expected)) else {
        return Ok(0);
    };
    finish(kind.name, rooms, entries, commits).await.map_err(|error| match error {
        RoundError::Refused(why) if lessons.one_by_one => {
            let (partition, offset) = first;
            RoundError::Poison { partition, offset, why: Poison::Refused(format!("{why:#}")) }
        }
        other @ (RoundError::Refused(_) | RoundError::Poison { .. } | RoundError::Failed(_)) => other,
    })?;
    Ok(n_records)
}

/// Appends, then commits.
async fn finish(
    stage: &str,
    rooms: &Rooms,
    entries: Vec<Entry>,
    commits: Vec<LaneCommit>,
) -> Result<(), RoundError> {
    if !entries.is_empty() {
        rooms.bus.append(entries).await.map_err(RoundError::of_append)?;
    }
    rooms.store.commit(stage, commits).await.map_err(RoundError::of_commit)
}

/// A record of the bus, or why it cannot be read. Bytes that make the decoder fail are unreadable like others.
pub(crate) fn decode(payload: &[u8]) -> Result<Record, String> {
    match std::panic::catch_unwind(|| model::wire::decode(payload)) {
        Ok(decoded) => decoded.map_err(|why| why.to_string()),
        Err(_panic) => Err("the program failed on it; please report it".to_owned()),
    }
}

/// Where the record at hand lies.
#[derive(Clone, Copy)]
struct Place {
    kind_name: &'static str,
    topic: Topic,
    partition: u32,
    offset: u64,
}

impl Place {
    fn suspend(self, suspended: Suspended, raw: Vec<u8>, clock: &Clock) -> StoreEffect {
        warn!(
            stage = self.kind_name,
            partition = self.partition,
            offset = self.offset,
            code = suspended.code,
            message = suspended.message,
            "record suspended"
        );
        StoreEffect::Suspend {
            suspended,
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            raw,
            at: clock.utc(),
        }
    }

    /// Appends go to the bus with their origin, the rest into the commit.
    fn sort_out(
        self,
        effects: Effects,
        raw: Vec<u8>,
        rooms: &Rooms,
        entries: &mut Vec<Entry>,
        kept: &mut Vec<StoreEffect>,
    ) {
        let mut index = 0;
        for effect in effects.0 {
            match effect {
                Effect::Append { topic, key, body } => {
                    let origin = Origin {
                        stage: self.kind_name.to_owned(),
                        partition: self.partition,
                        offset: self.offset,
                        index,
                    };
                    index += 1;
                    entries.push(entry(
                        topic,
                        key,
                        &Record { origin: Some(origin), body: *body },
                        &*rooms.bus,
                    ));
                }
                Effect::Post(posting) => kept.push(StoreEffect::Post(*posting)),
                Effect::Alert(alert) => kept.push(StoreEffect::Alert(*alert)),
                Effect::Lock(lock) => kept.push(StoreEffect::Lock(*lock)),
                Effect::Suspend(suspended) => kept.push(self.suspend(*suspended, raw.clone(), &rooms.clock)),
                Effect::Export { owner, rated } => kept.push(StoreEffect::Export {
                    owner,
                    cdr: rated.cdr.id,
                    revision: rated.cdr.revision,
                    payload: model::wire::encode_rated(&rated),
                }),
            }
        }
    }
}

/// Whether the log is the one that the positions were taken from. Of one that was emptied, or restored from an older copy than the
/// database, new records would lie before the positions, and nobody would ever read them.
///
/// # Errors
///
/// [`BusError::Beyond`] for a stage or the lake that is ahead of the log.
pub(crate) async fn check_positions(bus: &dyn Bus, positions: &Positions) -> Result<(), BusError> {
    for (&(consumer, partition), &from) in &positions.0 {
        let topic = topic_of(consumer);
        let (_, end) = bus.range(topic, partition).await?;
        if from > end {
            return Err(BusError::Beyond { topic, partition, from, end });
        }
    }
    Ok(())
}

/// How far every lane of every consumer is, the lake among them.
#[derive(Debug, Default)]
pub(crate) struct Positions(BTreeMap<(&'static str, u32), u64>);

impl Positions {
    /// As committed.
    pub(crate) async fn load(store: &Store, lake: Option<&Lake>) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        for (stage, partition, position) in store.lane_positions().await? {
            if let Some((name, _)) = STAGES.iter().find(|(name, _)| *name == stage) {
                all.insert((*name, partition), position);
            }
        }
        if let Some(lake) = lake {
            for (partition, lane) in lake.positions()?.iter() {
                all.insert((LAKE, partition), lane.position);
            }
        }
        Ok(Self(all))
    }

    /// The next record that `consumer` reads in a lane.
    pub(crate) fn of(&self, consumer: &'static str, partition: u32) -> u64 {
        self.0.get(&(consumer, partition)).copied().unwrap_or_default()
    }
}

/// Who carries rated calls into the lake, in suspense and wherever consumers are named.
pub(crate) const LAKE: &str = "lake";

/// What a consumer reads.
pub(crate) fn topic_of(consumer: &str) -> Topic {
    STAGES.iter().find(|(name, _)| *name == consumer).map_or(Topic::Rated, |(_, topic)| *topic)
}

/// A record ready for the lane of `key`.
pub(crate) fn entry(topic: Topic, key: AccountId, record: &Record, bus: &dyn Bus) -> Entry {
    Entry { topic, partition: partition_of(key, bus.partitions()), payload: model::wire::encode(record) }
}

fn config_revision(body: &Body) -> i64 {
    match body {
        Body::Call(event) => event.config_revision,
        Body::Cdr(cdr) => cdr.config_revision,
        Body::Rated(rated) => rated.cdr.config_revision,
        Body::Tick(_) | Body::Edr(_) | Body::Posting(_) | Body::Control(_) | Body::Accrual(_) => 0,
    }
}

fn unreadable_record(why: &str) -> Suspended {
    Suspended {
        code: "RUN001".to_owned(),
        message: format!("the record cannot be read: {why}"),
        retry: Retry::AfterUpgrade,
        account: AccountId::NOBODY,
        cdr: None,
    }
}

fn poisoned_record(body: &Body, why: &Poison) -> Suspended {
    let (account, cdr) = match body {
        Body::Call(event) => (event.payer, event.call.as_ref().map(|call| CdrId::derive(call, event.leg))),
        Body::Cdr(cdr) => (cdr.payer, Some(cdr.id)),
        Body::Rated(rated) => (rated.cdr.payer, Some(rated.cdr.id)),
        Body::Edr(edr) => (edr.account, None),
        Body::Posting(posting) => (posting.account, posting.cdr),
        Body::Accrual(accrual) => (accrual.account, Some(accrual.cdr)),
        Body::Tick(_) | Body::Control(_) => (AccountId::NOBODY, None),
    };
    let (code, message, retry) = match why {
        Poison::Panicked => (
            "RUN002",
            "the program failed on this record; please report it with the log".to_owned(),
            Retry::AfterUpgrade,
        ),
        Poison::Refused(why) => {
            ("RUN003", format!("what came of this record cannot be kept: {why}"), Retry::AfterRepair)
        }
    };
    Suspended { code: code.to_owned(), message, retry, account, cdr }
}

#[cfg(test)]
mod tests;
