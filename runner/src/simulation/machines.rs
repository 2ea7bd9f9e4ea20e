//! An event log and a database in memory that fail as real ones do: before, in the middle of and after what they were asked.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bus::{Batch, Bus, BusError, Entry, Expired, Stored};
use chrono::{DateTime, Utc};
use model::{Alert, Barring, CdrId, Edr, Lock, Posting, PostingId, Stopped, Topic};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use store::{Fence, Lane, LaneCommit, StoreEffect, StoreError, Watermark};

use super::super::LaneStore;

/// Draws the faults of one life; quiet once the weather has cleared.
pub(super) struct Chaos {
    rng: StdRng,
    is_stormy: bool,
}

/// Shared by both machines, so that one seed decides everything.
pub(super) type Weather = Arc<Mutex<Chaos>>;

/// What happens to one order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    /// Nothing was done, and the caller is told so.
    Refused,
    /// Everything was done, and the caller is told it was not.
    Unconfirmed,
    /// Some of it was done. Of an append only: a transaction has no middle.
    Torn,
    /// Done twice, as by a client that repeats what was not confirmed. Of an append only.
    Doubled,
}

impl Chaos {
    pub(super) fn with_seed(seed: u64, is_stormy: bool) -> Weather {
        Arc::new(Mutex::new(Self { rng: StdRng::seed_from_u64(seed), is_stormy }))
    }

    pub(super) fn clear_up(weather: &Weather) {
        weather.lock().unwrap_or_else(PoisonError::into_inner).is_stormy = false;
    }

    fn fate(&mut self, fates: &[Fate]) -> Fate {
        if !self.is_stormy || self.rng.random_range(0..100) < 70 {
            return Fate::Done;
        }
        fates[self.rng.random_range(0..fates.len())]
    }

    /// From 1 to `max`; all of them in good weather.
    fn up_to(&mut self, max: usize) -> usize {
        if self.is_stormy { self.rng.random_range(1..=max.clamp(1, 12)) } else { max }
    }
}

/// What lies in one lane, in its order.
type Payloads = Vec<Vec<u8>>;

/// The log: durable, so it outlives every crash.
pub(super) struct MemoryBus {
    partitions: u32,
    lanes: Mutex<HashMap<(Topic, u32), Payloads>>,
    weather: Weather,
}

impl MemoryBus {
    pub(super) fn new(partitions: u32, weather: Weather) -> Self {
        Self { partitions, lanes: Mutex::default(), weather }
    }

    pub(super) fn all(&self, topic: Topic, partition: u32) -> Payloads {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(&(topic, partition)).cloned().unwrap_or_default()
    }

    fn write(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            lanes.entry((entry.topic, entry.partition)).or_default().push(entry.payload);
        }
    }

    /// Of each lane the beginning of what was to be written: within a lane, order is kept even then.
    fn write_torn(&self, entries: Vec<Entry>, chaos: &mut Chaos) {
        let mut left: HashMap<(Topic, u32), usize> = HashMap::new();
        for entry in &entries {
            *left.entry((entry.topic, entry.partition)).or_default() += 1;
        }
        let mut lanes: Vec<(Topic, u32)> = left.keys().copied().collect();
        lanes.sort_by_key(|(topic, partition)| (topic.as_str(), *partition));
        for lane in lanes {
            if let Some(n) = left.get_mut(&lane) {
                *n = chaos.rng.random_range(0..=*n);
            }
        }
        self.write(entries.into_iter().filter(|entry| {
            left.get_mut(&(entry.topic, entry.partition)).is_some_and(|n| {
                let is_written = *n > 0;
                *n = n.saturating_sub(1);
                is_written
            })
        }));
    }
}

fn broken_log() -> BusError {
    BusError::Unwritable {
        action: "write",
        path: PathBuf::from("simulated"),
        source: Arc::new(std::io::Error::other("simulated")),
    }
}

#[async_trait]
impl Bus for MemoryBus {
    fn partitions(&self) -> u32 {
        self.partitions
    }

    async fn append(&self, entries: Vec<Entry>) -> Result<Vec<u64>, BusError> {
        let mut chaos = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        match chaos.fate(&[Fate::Refused, Fate::Unconfirmed, Fate::Torn, Fate::Torn, Fate::Doubled]) {
            Fate::Done => self.write(entries),
            Fate::Refused => return Err(broken_log()),
            Fate::Unconfirmed => {
                self.write(entries);
                return Err(broken_log());
            }
            Fate::Torn => {
                self.write_torn(entries, &mut chaos);
                return Err(broken_log());
            }
            Fate::Doubled => {
                self.write(entries.clone());
                self.write(entries);
            }
        }
        // Nobody here asks for the offsets.
        Ok(Vec::new())
    }

    async fn read(
        &self,
        topic: Topic,
        partition: u32,
        from: u64,
        max_records: usize,
    ) -> Result<Batch, BusError> {
        let mut chaos = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        if chaos.fate(&[Fate::Done, Fate::Done, Fate::Done, Fate::Refused]) == Fate::Refused {
            return Err(broken_log());
        }
        let max_records = chaos.up_to(max_records);
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.get(&(topic, partition)).map(Vec::as_slice).unwrap_or_default();
        let records: Vec<Stored> = (0_u64..)
            .zip(lane)
            .skip(usize::try_from(from).unwrap_or(usize::MAX))
            .take(max_records)
            .map(|(offset, payload)| Stored { offset, payload: payload.clone().into() })
            .collect();
        let next = records.last().map_or(from, |last| last.offset + 1);
        Ok(Batch { records, next })
    }

    async fn range(&self, topic: Topic, partition: u32) -> Result<(u64, u64), BusError> {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        Ok((0, lanes.get(&(topic, partition)).map_or(0, Vec::len) as u64))
    }

    async fn wait(&self, _topic: Topic, _positions: &[(u32, u64)]) -> Result<(), BusError> {
        Ok(())
    }

    async fn expire(&self, _now: DateTime<Utc>, _seen_before: DateTime<Utc>) -> Result<Expired, BusError> {
        Ok(Expired::default())
    }
}

/// What the database holds.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    lanes: BTreeMap<(String, u32), Lane>,
    /// Owner and epoch.
    leases: BTreeMap<(String, u32), (String, u64)>,
    pub(super) postings: BTreeMap<PostingId, Posting>,
    pub(super) exports: BTreeMap<(String, CdrId, u32), Vec<u8>>,
    /// Stage, code, call.
    pub(super) suspended: Vec<(String, String, Option<CdrId>)>,
    pub(super) alerts: Vec<Alert>,
    pub(super) locks: Vec<Lock>,
    pub(super) barrings: Vec<Barring>,
    pub(super) stopped: Vec<Stopped>,
    pub(super) edrs: BTreeMap<String, Edr>,
}

/// The database, which outlives every crash; clones share it.
#[derive(Clone)]
pub(super) struct MemoryStore {
    tables: Arc<Mutex<Tables>>,
    weather: Weather,
}

impl MemoryStore {
    pub(super) fn new(weather: Weather) -> Self {
        Self { tables: Arc::default(), weather }
    }

    pub(super) fn tables(&self) -> Tables {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives a lane to `owner`, whoever had it; the new epoch.
    pub(super) fn claim(&self, stage: &str, partition: u32, owner: &str) -> u64 {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = tables.leases.entry((stage.to_owned(), partition)).or_default();
        *lease = (owner.to_owned(), lease.1 + 1);
        lease.1
    }

    /// The lanes that are `owner`'s, with their epochs.
    pub(super) fn owned(&self, stage: &str, owner: &str) -> Vec<(u32, Option<u64>)> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let leases = tables.leases.iter().filter(|((name, _), lease)| name == stage && lease.0 == owner);
        leases.map(|((_, partition), (_, epoch))| (*partition, Some(*epoch))).collect()
    }

    /// Of all lanes of a stage, what the runner keeps under `key`.
    pub(super) fn entries(&self, stage: &str, key: &str) -> Vec<Vec<u8>> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let lanes = tables.lanes.iter().filter(|((name, _), _)| name == stage);
        lanes
            .flat_map(|(_, lane)| lane.state.iter().filter(|(name, _)| name == key))
            .map(|(_, value)| value.clone())
            .collect()
    }
}

fn broken_store() -> StoreError {
    StoreError::Locked { place: "simulated".to_owned() }
}

impl LaneStore for MemoryStore {
    async fn load_lanes(&self, stage: &str) -> Result<Vec<Lane>, StoreError> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(tables.lanes.iter().filter(|((name, _), _)| name == stage).map(|(_, lane)| lane.clone()).collect())
    }

    async fn commit(
        &self,
        stage: &str,
        lanes: Vec<LaneCommit>,
        fence: Option<&Fence>,
    ) -> Result<(), StoreError> {
        let fate = {
            let mut chaos = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
            chaos.fate(&[Fate::Refused, Fate::Unconfirmed])
        };
        if fate == Fate::Refused {
            return Err(broken_store());
        }
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        // All or nothing: whatever can be refused is looked at before anything is changed.
        for commit in &lanes {
            tables.check(stage, commit)?;
            if let Some(fence) = fence {
                tables.check_lease(stage, commit.partition, fence)?;
            }
        }
        for commit in lanes {
            tables.take(stage, commit);
        }
        if fate == Fate::Unconfirmed { Err(broken_store()) } else { Ok(()) }
    }

    async fn rated_revisions(&self, cdr: CdrId) -> Result<Vec<Vec<u8>>, StoreError> {
        let tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let of_call = |(owner, of, _): &&(String, CdrId, u32)| owner == "system" && *of == cdr;
        Ok(tables.exports.keys().filter(of_call).map(|key| tables.exports[key].clone()).collect())
    }
}

impl Tables {
    fn check_lease(&self, stage: &str, partition: u32, fence: &Fence) -> Result<(), StoreError> {
        let lease = self.leases.get(&(stage.to_owned(), partition));
        let is_held = lease.is_some_and(|(owner, epoch)| {
            *owner == fence.owner && fence.epochs.get(&partition) == Some(epoch)
        });
        if is_held { Ok(()) } else { Err(StoreError::Fenced { stage: stage.to_owned(), partition }) }
    }

    fn check(&self, stage: &str, commit: &LaneCommit) -> Result<(), StoreError> {
        let partition = commit.partition;
        let position = self.lanes.get(&(stage.to_owned(), partition)).map_or(0, |lane| lane.position);
        if position != commit.expected {
            let expected = commit.expected;
            return Err(StoreError::LaneMoved { stage: stage.to_owned(), partition, expected });
        }
        for effect in &commit.effects {
            if let StoreEffect::Post(posting) = effect
                && self.postings.get(&posting.id).is_some_and(|held| held != posting)
            {
                return Err(StoreError::PostingConflict { id: posting.id });
            }
        }
        Ok(())
    }

    fn take(&mut self, stage: &str, commit: LaneCommit) {
        let partition = commit.partition;
        let lane = self.lanes.entry((stage.to_owned(), partition)).or_insert_with(|| Lane {
            partition,
            position: 0,
            watermarks: Vec::new(),
            state: Vec::new(),
        });
        lane.position = commit.position;
        let lane_of = |mark: &Watermark| (mark.stage.clone(), mark.partition);
        lane.watermarks.retain(|held| !commit.watermarks.iter().any(|risen| lane_of(risen) == lane_of(held)));
        lane.watermarks.extend(commit.watermarks);
        for change in commit.changes {
            lane.state.retain(|(key, _)| *key != change.key);
            lane.state.extend(change.value.map(|value| (change.key, value)));
        }
        for effect in commit.effects {
            self.keep(stage, effect);
        }
    }

    fn keep(&mut self, stage: &str, effect: StoreEffect) {
        match effect {
            StoreEffect::Post(posting) => {
                self.postings.insert(posting.id, posting);
            }
            StoreEffect::Alert(alert) => self.alerts.push(*alert),
            StoreEffect::Lock(lock) => self.locks.push(lock),
            // The simulation's packages have none.
            StoreEffect::Profiles(_) => {}
            StoreEffect::Bar(barring) => self.barrings.push(barring),
            StoreEffect::Stopped(stopped) => self.stopped.push(stopped),
            StoreEffect::Edr(edr) => {
                self.edrs.entry(edr.id.clone()).or_insert(*edr);
            }
            StoreEffect::Suspend { suspended, .. } => {
                self.suspended.push((stage.to_owned(), suspended.code, suspended.cdr));
            }
            StoreEffect::Export { owner, cdr, revision, payload, is_left_out: _ } => {
                self.exports.entry((owner, cdr, revision)).or_insert(payload);
            }
        }
    }
}
