//! Ten thousand days of the pipeline, each with crashes between all steps of the protocol, and each equal to the same day
//! without them.
//!
//! The stages are the real ones, driven by the real rounds; log and database are in memory and fail by seed. A stage that fails is
//! dropped with all it knew and begins again from its last commit; now and then the old one lives on beside the new one. In a second
//! kind of day each stage runs in two processes that take lanes from each other, and whoever lost one does not know it.

mod machines;
pub(super) mod world;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use exports::{ExportConfig, ExportStage, Streams};
use fraud::FraudDesk;
use mediator::{Mediator, MediatorConfig};
use model::{CdrId, PostingReason, RatedCdr, Record, Topic};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rating::{RatingSnapshot, RatingStage};
use rust_decimal::Decimal;

use self::machines::{Chaos, MemoryBus, MemoryStore, Tables};
use bus::Entry;
use model::Body;

use super::*;
use crate::ledger_stage::LedgerStage;

const PARTITIONS: u32 = 2;

/// Days simulated with `RUN_SLOW_TESTS=1`.
const SEEDS: u64 = 10_000;

/// Days simulated otherwise.
const SEEDS_QUICK: u64 = 500;

/// What runs on machines without real waiting is ready when it is asked.
fn ready<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("the simulated machines never wait"),
    }
}

/// A stage under its runner.
trait Driven {
    /// One round, or a crash, or a round by a former owner of the lanes. Whether there was anything to do.
    fn turn(&mut self, house: &House, rng: &mut StdRng) -> bool;
    /// Rounds in good weather until all is worked off, or waits for another stage. How many rounds that were.
    fn finish(&mut self, house: &House) -> u64;
}

/// How a day is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Nothing fails.
    Calm,
    /// Everything does, and each stage has one process, which may outlive its replacement.
    Stormy,
    /// Everything does, and each stage has two processes, which hold leases for its lanes.
    TwoOwners,
}

impl Mode {
    fn is_stormy(self) -> bool {
        self != Mode::Calm
    }
}

/// A stage in two processes.
struct Pair<S> {
    owners: [Owner<S>; 2],
}

struct Owner<S> {
    name: &'static str,
    kind: Kind<S>,
    /// As this process has them; some may be the other's by now.
    lanes: Vec<Lane<S>>,
    in_flight: InFlight,
}

/// How a step goes about two rounds at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// The round before is finished first.
    InTurn,
    /// The next is prepared while it is under way.
    Prepared,
    /// And appended before it is committed.
    Appended,
}

impl Order {
    /// And whether a commit is due.
    fn any(rng: &mut StdRng) -> (Self, bool) {
        let order = [Order::InTurn, Order::Prepared, Order::Appended][rng.random_range(0..3)];
        (order, rng.random_bool(0.4))
    }
}

/// A round under way; whether it is appended.
type InFlight = Option<(Prepared, bool)>;

/// Appends what is under way, if that is not done.
fn append(house: &House, in_flight: &mut InFlight) -> Result<(), RoundError> {
    if let Some((prepared, is_appended)) = in_flight
        && !*is_appended
    {
        ready(prepared.append(&house.rooms))?;
        *is_appended = true;
    }
    Ok(())
}

/// Ends what is under way. Whether there was anything.
fn land(stage: &str, house: &House, in_flight: &mut InFlight) -> Result<bool, RoundError> {
    append(house, in_flight)?;
    let Some((before, _)) = in_flight.take() else { return Ok(false) };
    ready(before.commit(stage, &house.rooms))?;
    Ok(true)
}

/// One step of a runner: the first half of a round, and before or after it the second half of the one before. Whether there was anything to do.
fn step<S: Stage + 'static>(
    kind: &Kind<S>,
    house: &House,
    lanes: &mut [Lane<S>],
    in_flight: &mut InFlight,
    (order, is_commit_due): (Order, bool),
) -> Result<bool, RoundError> {
    let mut directory = house.rooms.directory.current();
    let mut has_landed = order == Order::InTurn && land(kind.name, house, in_flight)?;
    let lessons = Lessons::default();
    let n_uncommitted = lanes.iter().map(|lane| lane.position - lane.committed).sum();
    let before =
        Before { lessons: &lessons, is_in_flight: in_flight.is_some(), n_uncommitted, is_commit_due };
    let mut prepared = ready(prepare(kind, &house.rooms, lanes, &mut directory, before))?;
    if prepared.is_none() && n_uncommitted > 0 {
        prepared = Some(commit_of_earlier(kind, lanes)?);
    }
    let mut next = prepared.map(|prepared| (prepared, false));
    append(house, in_flight)?;
    if order == Order::Appended {
        append(house, &mut next)?;
    }
    has_landed |= land(kind.name, house, in_flight)?;
    *in_flight = next;
    Ok(has_landed || in_flight.is_some())
}

impl<S: Stage + 'static> Owner<S> {
    /// Loads what is its own by the leases and not at hand.
    fn load(&mut self, house: &House) {
        let owned = house.rooms.store.owned(self.kind.name, self.name);
        let is_held =
            |lane: &(u32, Option<u64>)| self.lanes.iter().any(|held| (held.partition, held.epoch) == *lane);
        let news: Vec<_> = owned.into_iter().filter(|lane| !is_held(lane)).collect();
        // A lane of an earlier epoch is replaced by the one that was claimed again.
        self.lanes.retain(|held| news.iter().all(|(partition, _)| held.partition != *partition));
        let directory = house.rooms.directory.current();
        match ready(load_lanes(&self.kind, &house.rooms, &news, &directory)) {
            Ok(loaded) => self.lanes.extend(loaded),
            // The log, when it was asked for events of open calls.
            Err(error) => {
                assert!(matches!(error, RoundError::Failed(_)), "{}: {error:?}", self.kind.name);
                self.die();
            }
        }
    }

    fn step(&mut self, house: &House, order: (Order, bool)) -> Result<bool, RoundError> {
        step(&self.kind, house, &mut self.lanes, &mut self.in_flight, order)
    }

    /// The process dies.
    fn die(&mut self) {
        self.lanes.clear();
        self.in_flight = None;
    }

    /// What is under way ends before lanes change hands. `false` if it ended badly.
    fn land(&mut self, house: &House) -> bool {
        let landed = land(self.kind.name, house, &mut self.in_flight);
        if let Err(error) = &landed {
            assert!(matches!(error, RoundError::Failed(_)), "{}: {error:?}", self.kind.name);
            self.die();
        }
        landed.is_ok()
    }
}

impl<S: Stage + 'static> Driven for Pair<S> {
    fn turn(&mut self, house: &House, rng: &mut StdRng) -> bool {
        let owner = &mut self.owners[rng.random_range(0..2)];
        match rng.random_range(0..12) {
            0 => owner.die(),
            // Nobody tells the other, who goes on with what he has.
            1..=3 => {
                house.rooms.store.claim(owner.kind.name, rng.random_range(0..PARTITIONS), owner.name);
            }
            4..=6 if owner.land(house) => owner.load(house),
            _ => {}
        }
        match owner.step(house, Order::any(rng)) {
            Ok(was_busy) => was_busy,
            Err(error) => {
                assert!(matches!(error, RoundError::Failed(_)), "{}: {error:?}", owner.kind.name);
                owner.die();
                true
            }
        }
    }

    fn finish(&mut self, house: &House) -> u64 {
        let owner = &mut self.owners[0];
        for partition in 0..PARTITIONS {
            house.rooms.store.claim(owner.kind.name, partition, owner.name);
        }
        owner.die();
        owner.load(house);
        let mut n_all = 0;
        loop {
            match owner.step(house, (Order::Appended, false)) {
                Ok(false) => return n_all,
                Ok(true) => n_all += 1,
                Err(error) => panic!("{}: {error:?}", owner.kind.name),
            }
        }
    }
}

struct Runner<S> {
    kind: Kind<S>,
    lanes: Option<Vec<Lane<S>>>,
    in_flight: InFlight,
    /// Lanes as an earlier process has them, which does not know that it was replaced, and what that has under way.
    former: Option<(Vec<Lane<S>>, InFlight)>,
}

impl<S: Stage + 'static> Runner<S> {
    fn step(&mut self, house: &House, order: (Order, bool)) -> Result<bool, RoundError> {
        let lanes = match &mut self.lanes {
            Some(lanes) => lanes,
            gone @ None => {
                let directory = house.rooms.directory.current();
                gone.insert(ready(load_lanes(&self.kind, &house.rooms, &every_lane(), &directory))?)
            }
        };
        step(&self.kind, house, lanes, &mut self.in_flight, order)
    }

    /// The process dies.
    fn die(&mut self) {
        (self.lanes, self.in_flight) = (None, None);
    }

    fn must_have_been_the_machines(&self, error: &RoundError) {
        assert!(matches!(error, RoundError::Failed(_)), "{}: {error:?}", self.kind.name);
    }
}

impl<S: Stage + 'static> Driven for Runner<S> {
    fn turn(&mut self, house: &House, rng: &mut StdRng) -> bool {
        match rng.random_range(0..20) {
            0 => self.die(),
            1 => self.former = self.lanes.take().map(|lanes| (lanes, self.in_flight.take())),
            2 | 3 => {
                if let Some((lanes, in_flight)) = &mut self.former {
                    let ended = step(&self.kind, house, lanes, in_flight, Order::any(rng));
                    if let Err(error) = &ended {
                        self.must_have_been_the_machines(error);
                        self.former = None;
                    }
                }
            }
            _ => {}
        }
        match self.step(house, Order::any(rng)) {
            Ok(was_busy) => was_busy,
            Err(error) => {
                self.must_have_been_the_machines(&error);
                self.die();
                true
            }
        }
    }

    fn finish(&mut self, house: &House) -> u64 {
        self.die();
        let mut n_all = 0;
        loop {
            match self.step(house, (Order::Appended, false)) {
                Ok(false) => return n_all,
                Ok(true) => n_all += 1,
                Err(error) => panic!("{}: {error:?}", self.kind.name),
            }
        }
    }
}

fn every_lane() -> Vec<(u32, Option<u64>)> {
    (0..PARTITIONS).map(|partition| (partition, None)).collect()
}

fn driven<S: Stage + 'static>(
    mode: Mode,
    name: &'static str,
    topic: Topic,
    make: impl Fn() -> S + Clone + Send + Sync + 'static,
    refresh: impl Fn(&mut S, &Arc<Directory>) + Clone + Send + Sync + 'static,
) -> Box<dyn Driven> {
    let kind = |share| Kind {
        name,
        topic,
        begin: Begin::Oldest,
        make: Box::new(make.clone()),
        refresh: Box::new(refresh.clone()),
        share,
        // The mediator's, in small.
        pace: Pace { uncommitted_max: if name == "mediator" { 20 } else { 0 }, ..Pace::STEADY },
    };
    if mode == Mode::TwoOwners {
        let owner = |name| {
            let (share, _) = Share::leased(name, Arc::default());
            Owner { name, kind: kind(share), lanes: Vec::new(), in_flight: None }
        };
        return Box::new(Pair { owners: [owner("a"), owner("b")] });
    }
    Box::new(Runner { kind: kind(Share::all(PARTITIONS)), lanes: None, in_flight: None, former: None })
}

/// Log, database, and the stages between them.
struct House {
    rooms: Rooms<MemoryStore>,
    log: Arc<MemoryBus>,
}

/// What a day has come to.
#[derive(Debug)]
struct Outcome {
    rated: BTreeMap<(CdrId, u32), RatedCdr>,
    tables: Tables,
    counts: Vec<(&'static str, Counts)>,
}

/// Writes `day` into the log while the stages work, then lets them finish.
fn live(day: &[Body], seed: u64, snapshot: &Arc<RatingSnapshot>, mode: Mode) -> Outcome {
    let is_stormy = mode.is_stormy();
    let mut rng = StdRng::seed_from_u64(seed);
    let weather = Chaos::with_seed(seed, is_stormy);
    let log = Arc::new(MemoryBus::new(PARTITIONS, weather.clone()));
    let store = MemoryStore::new(weather.clone());
    let rooms = Rooms {
        bus: log.clone() as Arc<dyn Bus>,
        store: store.clone(),
        clock: Clock::start(),
        directory: DirectoryFeed::fixed(snapshot.directory().clone()),
    };
    let house = House { rooms, log };
    let snapshot = snapshot.clone();
    let mut stages: Vec<Box<dyn Driven>> = vec![
        driven(
            mode,
            "mediator",
            Topic::Calls,
            || {
                // Short, so that many a call has records before its end.
                let interim_every = Duration::from_secs(50);
                Mediator::new(MediatorConfig { interim_every, ..MediatorConfig::default() })
            },
            |_, _| {},
        ),
        driven(mode, "rating", Topic::Cdrs, RatingStage::new, move |stage: &mut RatingStage, _| {
            stage.set_snapshot(snapshot.clone());
        }),
        driven(mode, "fraud", Topic::Rated, FraudDesk::new, |stage: &mut FraudDesk, directory| {
            stage.set_directory(directory.clone());
        }),
        driven(
            mode,
            "exports",
            Topic::Rated,
            {
                let streams = Streams::load(&ExportConfig::default()).unwrap();
                let main = Arc::new(streams.named("").unwrap().clone());
                move || ExportStage::new(main.clone())
            },
            |_, _| {},
        ),
        driven(mode, "ledger", Topic::Postings, LedgerStage::default, |_, _| {}),
    ];
    let mut left = day;
    while !left.is_empty() {
        // Events and ticks have writers of their own: no append holds both.
        let n_events = left.iter().take_while(|body| matches!(body, Body::Call(_))).count();
        let n_records = if is_stormy { rng.random_range(1..=n_events.clamp(1, 6)) } else { n_events.max(1) };
        let (now, later) = left.split_at(n_records);
        let entries: Vec<Entry> = now.iter().flat_map(|body| entries_of_day(&*house.log, body)).collect();
        // As the switch's writer does: again, until it is confirmed.
        while ready(house.log.append(entries.clone())).is_err() {}
        left = later;
        if is_stormy {
            for _ in 0..rng.random_range(0..8) {
                let idx = rng.random_range(0..stages.len());
                stages[idx].turn(&house, &mut rng);
            }
        }
    }
    for _ in 0..if is_stormy { 40 } else { 0 } {
        let idx = rng.random_range(0..stages.len());
        stages[idx].turn(&house, &mut rng);
    }
    Chaos::clear_up(&weather);
    while stages.iter_mut().map(|stage| stage.finish(&house)).sum::<u64>() > 0 {}
    outcome(&house)
}

fn entries_of_day(bus: &dyn Bus, body: &Body) -> Vec<Entry> {
    if let Body::Call(event) = body {
        return entries_of(bus, *event.clone());
    }
    let record = Record { origin: None, body: body.clone() };
    [Topic::Calls, Topic::Cdrs, Topic::Rated]
        .into_iter()
        .flat_map(|topic| to_every_partition(bus, topic, &record))
        .collect()
}

fn outcome(house: &House) -> Outcome {
    let mut rated = BTreeMap::new();
    for partition in 0..PARTITIONS {
        let mut seen = Watermarks::new(Vec::new());
        for payload in house.log.all(Topic::Rated, partition) {
            let record = decode(&payload).unwrap();
            if let Body::Rated(call) = record.body
                && seen.admit(record.origin.as_ref())
            {
                let key = (call.cdr.id, call.cdr.revision);
                assert!(rated.insert(key, *call).is_none(), "{key:?} was rated twice");
            }
        }
    }
    let mut tables = house.rooms.store.tables();
    tables.suspended.sort();
    tables.alerts.sort_by_key(|alert| alert.id);
    tables.locks.sort_by_key(|lock| (lock.account, lock.since));
    tables.stopped.sort_by_key(|stopped| (stopped.by, stopped.saved.amount));
    tables.barrings.sort_by(|one, other| (one.key(), one.since).cmp(&(other.key(), other.since)));
    let counts = ["mediator", "rating", "fraud", "exports", "ledger"]
        .iter()
        .map(|name| {
            let mut sum = Counts::default();
            for lane in house.rooms.store.entries(name, COUNTS_KEY) {
                sum.add(Counts::from_bytes(&lane).unwrap());
            }
            // The one figure that crashes may change.
            (*name, Counts { replays: 0, ..sum })
        })
        .collect();
    Outcome { rated, tables, counts }
}

/// What `tollbook audit` says of the counters.
fn check_conservation(outcome: &Outcome) {
    let of = |stage: &str| outcome.counts.iter().find(|(name, _)| *name == stage).unwrap().1;
    let (mediator, rating, ledger) = (of("mediator"), of("rating"), of("ledger"));
    assert!(mediator.attempts_in <= mediator.cdrs_out + mediator.suspended, "{mediator:?}");
    assert_eq!(rating.cdrs_in, mediator.cdrs_out);
    assert_eq!(rating.revisions_in, mediator.revisions_out);
    assert_eq!(rating.cdrs_in + rating.revisions_in, rating.rated_out + rating.suspended);
    assert_eq!(rating.rated_out, outcome.rated.len() as u64);
    for reader in ["fraud", "exports"] {
        assert_eq!(of(reader).rated_in, rating.rated_out, "{reader}");
    }
    assert_eq!((ledger.postings_in, ledger.posted), (rating.postings_out, rating.postings_out));
    assert_eq!(outcome.tables.postings.len() as u64, rating.postings_out);
    let n_queued = outcome.tables.exports.keys().filter(|(owner, ..)| owner == "system").count();
    assert_eq!(n_queued, outcome.rated.values().filter(|call| !call.cdr.is_in_progress()).count());
    // What a call cost while it was up has been taken back by its end: the ledger has the sum of the last revisions.
    let mut last: BTreeMap<CdrId, &RatedCdr> = BTreeMap::new();
    for ((cdr, _), call) in &outcome.rated {
        last.insert(*cdr, call);
    }
    let owed: Decimal = last.values().flat_map(|call| &call.charges).map(|charge| charge.cost).sum();
    let posted: Decimal = outcome
        .tables
        .postings
        .values()
        .map(|posting| match posting.reason {
            PostingReason::Reversal => -posting.amount.amount,
            PostingReason::Call
            | PostingReason::RecurringFee
            | PostingReason::Payment
            | PostingReason::Adjustment
            | PostingReason::TopUp
            | PostingReason::Voucher
            | PostingReason::ServiceCharge
            | PostingReason::Grant
            | PostingReason::Expiry
            | PostingReason::Settlement
            | PostingReason::OutOfOrderHeld
            | PostingReason::OutOfOrderUnknown => posting.amount.amount,
            // What comes back has its sides turned round; free time and what balances pay are not owed.
            PostingReason::OutOfOrder => match (posting.debit, posting.credit) {
                (model::LedgerAccount::Receivable(_), _) => posting.amount.amount,
                (_, model::LedgerAccount::Receivable(_)) => -posting.amount.amount,
                (_, _) => Decimal::ZERO,
            },
        })
        .sum();
    assert_eq!(posted, owed);
}

/// Part by part, so that a failure can be read.
fn assert_same(stormy: &Outcome, calm: &Outcome, seed: u64) {
    let again = format!("seed {seed}: again with SIMULATION_SEED={seed}");
    for ((stage, stormy), (_, calm)) in stormy.counts.iter().zip(&calm.counts) {
        assert_eq!(stormy, calm, "{again}: counters of {stage}");
    }
    let (stormy_tables, calm_tables) = (&stormy.tables, &calm.tables);
    assert_eq!(stormy_tables.postings, calm_tables.postings, "{again}: postings");
    assert!(stormy_tables.exports == calm_tables.exports, "{again}: calls queued for export");
    assert_eq!(stormy_tables.suspended, calm_tables.suspended, "{again}: suspense");
    assert_eq!(stormy_tables.alerts, calm_tables.alerts, "{again}: alerts");
    assert_eq!(stormy_tables.locks, calm_tables.locks, "{again}: locks");
    assert_eq!(stormy_tables.barrings, calm_tables.barrings, "{again}: barrings");
    assert_eq!(stormy_tables.stopped, calm_tables.stopped, "{again}: calls stopped");
    assert_eq!(stormy_tables.edrs, calm_tables.edrs, "{again}: EDRs");
    assert_eq!(stormy.rated, calm.rated, "{again}: rated calls");
}

/// One day, calm and in `mode`.
fn compare(seed: u64, snapshot: &Arc<RatingSnapshot>, mode: Mode) {
    let day = world::day(&mut StdRng::seed_from_u64(seed));
    let calm = live(&day, seed, snapshot, Mode::Calm);
    check_conservation(&calm);
    let stormy = live(&day, seed, snapshot, mode);
    assert_same(&stormy, &calm, seed);
    check_conservation(&stormy);
}

#[test]
fn day_with_crashes_between_all_steps_equals_the_day_without() {
    compare_days(Mode::Stormy);
}

#[test]
fn day_with_two_owners_who_take_lanes_from_each_other_equals_the_day_without() {
    compare_days(Mode::TwoOwners);
}

fn compare_days(mode: Mode) {
    let snapshot = Arc::new(RatingSnapshot::build(Arc::new(world::directory()), None).unwrap());
    if let Ok(seed) = std::env::var("SIMULATION_SEED") {
        return compare(seed.parse().unwrap(), &snapshot, mode);
    }
    let n_seeds = if std::env::var_os("RUN_SLOW_TESTS").is_some() { SEEDS } else { SEEDS_QUICK };
    // Side by side: each seed is a world of its own.
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= n_seeds {
                        return;
                    }
                    compare(seed, &snapshot, mode);
                }
            });
        }
    });
}
