//! The mediator of one lane: routes events to their calls, watches the time of the log, writes records.
//!
//! In: call events and ticks. Out: CDRs and EDRs in the payer's lane, and suspended events. A call is held while it is
//! open and, for a bounded time of the log, after it closed, so that late and repeated events find it. What arrives after
//! a call was forgotten makes a record of the same id and revision 0 at worst, which consumers know already.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Body, CallEvent, CallUid, Cause, CdrId, Effects, EventBody, Stage, StageInput, StateChange,
    Topic,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Issued, Leg, StoredAs, Table};
use crate::edr::{edr_id, edr_of};
use crate::record::{Verdict, is_complete, judge};
use crate::{MediationError, MediatorConfig};

/// Of the state entries. Later versions read all earlier ones.
const STATE_VERSION: u32 = 1;

/// An open call is kept under its own name; every other entry begins with this, which no call's name may.
const RESERVED: char = '@';
const CLOCK_KEY: &str = "@clock";
const NODE_PREFIX: &str = "@node/";
const CLOSED_PREFIX: &str = "@closed/";
const EDR_PREFIX: &str = "@edr/";

/// Whether a state entry under `key` is an open call: for those who count them in the database. A key that begins with a
/// control character belongs to the runner.
pub fn is_open_call_key(key: &str) -> bool {
    !key.starts_with(|first: char| first == RESERVED || first.is_control())
}

/// Since when an open call, kept under `key`, is answered; `None` for entries of other kinds and calls that ring.
///
/// # Errors
///
/// A sentence naming the entry that cannot be read.
pub fn up_since(key: &str, value: &[u8]) -> Result<Option<DateTime<Utc>>, String> {
    if !is_open_call_key(key) {
        return Ok(None);
    }
    Ok(read::<Call>(key, value)?.up_since())
}

/// The legs of an open call, kept under `key`, that began and of which there is neither a record nor anything in suspense. Empty
/// for entries of other kinds.
///
/// # Errors
///
/// A sentence naming the entry that cannot be read.
pub fn legs_without_record(key: &str, value: &[u8]) -> Result<Vec<(CallUid, u16)>, String> {
    if !is_open_call_key(key) {
        return Ok(Vec::new());
    }
    let call: Call = read(key, value)?;
    let waits = |leg: &Leg| leg.attempt.is_some() && leg.issued.is_none() && leg.refused.is_none();
    let legs = call.legs.iter().filter(|(_, leg)| waits(leg));
    Ok(legs.map(|(number, _)| (CallUid::new(key), number)).collect())
}

/// The mediator of one lane.
#[derive(Debug)]
pub struct Mediator {
    config: MediatorConfig,
    clock: Option<LogClock>,
    /// The latest start of each node.
    boots: BTreeMap<String, u64>,
    calls: ByName<Box<Call>>,
    /// EDRs written lately, and when they are forgotten.
    edrs: HashMap<String, DateTime<Utc>>,
    /// When each call that is up gets its next record.
    interim: BTreeSet<(DateTime<Utc>, CallUid)>,
    /// When each open call is given up.
    give_up: BTreeSet<(DateTime<Utc>, CallUid)>,
    /// When each closed call and EDR is forgotten.
    forget: BTreeSet<(DateTime<Utc>, Memory)>,
    /// No table has anything due before this.
    next_due: DateTime<Utc>,
    is_clock_dirty: bool,
    /// Calls that have changed since the last commit, perhaps forgotten meanwhile.
    dirty_calls: Vec<CallUid>,
    dirty: BTreeSet<Dirty>,
    removed: BTreeSet<String>,
}

/// FxHash, as compilers use it: names of calls are made by our own switch, so nobody can choose them to collide.
#[derive(Default)]
struct NameHasher(u64);

impl std::hash::Hasher for NameHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0.rotate_left(5) ^ u64::from_le_bytes(word)).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
}

type ByName<T> = HashMap<CallUid, T, std::hash::BuildHasherDefault<NameHasher>>;

/// The time of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LogClock {
    /// The highest time seen, of events and ticks.
    now: DateTime<Utc>,
    /// The latest tick.
    #[serde(default)]
    tick: Option<DateTime<Utc>>,
}

/// What is remembered for a while.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Memory {
    Call(CallUid),
    Edr(String),
}

/// What else has changed since the last commit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Node(String),
    Edr(String),
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    is: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl Mediator {
    /// A mediator without calls.
    pub fn new(config: MediatorConfig) -> Self {
        Self {
            config,
            clock: None,
            boots: BTreeMap::new(),
            calls: ByName::default(),
            edrs: HashMap::new(),
            interim: BTreeSet::new(),
            give_up: BTreeSet::new(),
            forget: BTreeSet::new(),
            next_due: DateTime::<Utc>::MAX_UTC,
            is_clock_dirty: false,
            dirty_calls: Vec::new(),
            dirty: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Calls whose end is still to come.
    pub fn open_calls(&self) -> usize {
        self.give_up.len()
    }

    /// Moves the time of the log on to a tick, never back.
    fn tick(&mut self, at: DateTime<Utc>) {
        let before = self.clock;
        let latest = before.and_then(|clock| clock.tick).map_or(at, |tick| tick.max(at));
        let now = before.map_or(at, |clock| clock.now.max(at));
        self.set_clock(LogClock { now, tick: Some(latest) });
    }

    /// Moves the time of the log on to that of an event, never back. Ticks come from one clock and events from many: one
    /// that is far ahead must not give up the calls of the others.
    fn move_clock(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        let tick = self.clock.and_then(|clock| clock.tick);
        let believed = tick.map_or(at, |tick| at.min(later(tick, self.config.clock_tolerance)));
        let now = self.clock.map_or(believed, |clock| clock.now.max(believed));
        self.set_clock(LogClock { now, tick });
        now
    }

    fn set_clock(&mut self, clock: LogClock) {
        if self.clock != Some(clock) {
            self.clock = Some(clock);
            self.is_clock_dirty = true;
        }
    }

    fn apply_event(&mut self, event: &CallEvent, effects: &mut Effects) {
        let now = self.move_clock(event.at);
        match &event.body {
            EventBody::NodeStarted(_) => self.node_started(event, now, effects),
            EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::Provisioned(_) => {
                self.write_edr(event, now, effects);
            }
            EventBody::Attempt(_)
            | EventBody::Rejected(_)
            | EventBody::RouteAttempt(_)
            | EventBody::RouteResult(_)
            | EventBody::Progress(_)
            | EventBody::Answer(_)
            | EventBody::Update(_)
            | EventBody::ChargeTick(_)
            | EventBody::End(_)
            | EventBody::Forwarded(_) => {
                if let Err(error) = self.call_event(event, now, effects) {
                    let cdr = event.call.as_ref().map(|call| CdrId::derive(call, event.leg));
                    effects.suspend(error.suspended(event.payer, cdr));
                }
            }
        }
    }

    fn call_event(
        &mut self,
        event: &CallEvent,
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) -> Result<(), MediationError> {
        let Some(uid) =
            event.call.as_ref().filter(|uid| !uid.as_str().is_empty() && is_open_call_key(uid.as_str()))
        else {
            return Err(MediationError::NoCall {
                node: event.node.clone(),
                boot: event.boot,
                seq: event.seq,
                kind: kind_of_event(&event.body),
            });
        };
        let (uid, mut call) = match self.calls.remove_entry(uid) {
            Some((uid, call)) if call.node == event.node && call.boot == event.boot => (uid, call),
            Some((uid, call)) => {
                let error = MediationError::ForeignNode {
                    call: uid.to_string(),
                    node: call.node.clone(),
                    boot: call.boot,
                    from_node: event.node.clone(),
                    from_boot: event.boot,
                    seq: event.seq,
                };
                self.calls.insert(uid, call);
                return Err(error);
            }
            None if self.give_up.len() >= self.config.calls_open_max => {
                return Err(MediationError::TooManyOpen { call: uid.to_string(), open: self.give_up.len() });
            }
            None => {
                let mut call = Call::of(event);
                call.quiet_since = now;
                (uid.clone(), Box::new(call))
            }
        };
        self.take_in(&uid, &mut call, event, now, effects);
        self.time(&uid, &mut call);
        self.calls.insert(uid, call);
        Ok(())
    }

    /// Adds an event to its call and writes what records that leads to.
    fn take_in(
        &mut self,
        uid: &CallUid,
        call: &mut Call,
        event: &CallEvent,
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let tolerance = delta(self.config.clock_tolerance);
        let issued: Vec<(u16, Option<Cause>)> = call
            .legs
            .iter()
            .filter_map(|(number, leg)| leg.issued.as_ref().map(|issued| (number, issued.partial)))
            .collect();
        let before: Vec<(u16, Verdict)> = issued
            .into_iter()
            .map(|(number, partial)| (number, judge(uid, call, number, partial, tolerance)))
            .collect();
        if !call.learn(event) {
            effects.repeated();
            return;
        }
        self.mark(uid, call);
        call.quiet_since = now;
        for (number, earlier) in before {
            let partial =
                call.legs.get(number).and_then(|leg| leg.issued.as_ref()).and_then(|issued| issued.partial);
            let later = judge(uid, call, number, partial, tolerance);
            if let (Verdict::Impossible(error), false) = (&later, matches!(earlier, Verdict::Impossible(_))) {
                // A record is out and stays; what contradicts it is for people to look at.
                effects.suspend(error.suspended(event.payer, Some(CdrId::derive(uid, number))));
            }
            if matches!(later, Verdict::Record(_))
                && later != earlier
                && let Some(issued) = call.legs.get_mut(number).and_then(|leg| leg.issued.as_mut())
            {
                issued.is_outdated = true;
            }
        }
        let mut is_complete_call = true;
        for place in 0..call.legs.len() {
            let number = call.legs.number_at(place);
            if is_complete(call, number) {
                settle(uid, call, number, None, tolerance, effects);
            } else {
                is_complete_call = false;
            }
        }
        if !is_complete_call {
            // A partial record does not keep a call closed that shows new life, unless it is too old for that.
            if self.end_of_age(call) > now {
                call.closed_at = None;
            }
        } else if call.closed_at.is_none() {
            call.closed_at = Some(now);
        }
    }

    /// Closes a call at its last sign of life.
    fn give_up_call(&mut self, uid: &CallUid, cause: Cause, now: DateTime<Utc>, effects: &mut Effects) {
        let Some(mut call) = self.calls.remove(uid) else { return };
        let numbers: Vec<u16> = call.legs.numbers().collect();
        for number in numbers {
            if !is_complete(&call, number) {
                settle(uid, &mut call, number, Some(cause), delta(self.config.clock_tolerance), effects);
            }
        }
        call.closed_at = Some(now);
        self.mark(uid, &mut call);
        self.time(uid, &mut call);
        self.calls.insert(uid.clone(), call);
    }

    /// Every call that an earlier process of this node had open is gone.
    fn node_started(&mut self, event: &CallEvent, now: DateTime<Utc>, effects: &mut Effects) {
        let latest = self.boots.entry(event.node.clone()).or_insert(0);
        if event.boot <= *latest {
            effects.repeated();
            return;
        }
        *latest = event.boot;
        self.dirty.insert(Dirty::Node(event.node.clone()));
        let mut gone: Vec<CallUid> = self
            .calls
            .iter()
            .filter(|(_, call)| call.closed_at.is_none() && call.node == event.node && call.boot < event.boot)
            .map(|(uid, _)| uid.clone())
            .collect();
        gone.sort();
        for uid in gone {
            self.give_up_call(&uid, Cause::SwitchRestart, now, effects);
        }
    }

    fn write_edr(&mut self, event: &CallEvent, now: DateTime<Utc>, effects: &mut Effects) {
        let id = edr_id(event);
        if self.edrs.contains_key(&id) {
            effects.repeated();
            return;
        }
        if let Some(edr) = edr_of(event) {
            effects.edr(edr);
        }
        let until = later(now, self.config.late_for);
        self.next_due = self.next_due.min(until);
        self.edrs.insert(id.clone(), until);
        self.forget.insert((until, Memory::Edr(id.clone())));
        self.dirty.insert(Dirty::Edr(id));
    }

    /// Writes what each leg of a call that is up has come to so far. The call stays open.
    fn write_interim(&mut self, uid: &CallUid, now: DateTime<Utc>, effects: &mut Effects) {
        let Some(mut call) = self.calls.remove(uid) else { return };
        call.is_interim_timed = false;
        let up: Vec<u16> = call
            .legs
            .iter()
            .filter(|(_, leg)| {
                leg.up_since().is_some_and(|since| later(since, self.config.interim_every) <= now)
            })
            .map(|(number, _)| number)
            .collect();
        for number in up {
            let tolerance = delta(self.config.clock_tolerance);
            settle(uid, &mut call, number, Some(Cause::InProgress), tolerance, effects);
        }
        call.interim_at = Some(later(now, self.config.interim_every));
        self.mark(uid, &mut call);
        self.time(uid, &mut call);
        self.calls.insert(uid.clone(), call);
    }

    /// Writes the records of calls that are up, gives up open calls that have been silent for too long, and forgets what was remembered for long enough.
    fn pass_time(&mut self, effects: &mut Effects) {
        let Some(LogClock { now, .. }) = self.clock else { return };
        if now < self.next_due && self.forget.len() <= self.config.remembered_max {
            return;
        }
        while let Some((due, _)) = self.interim.first()
            && *due <= now
            && let Some((_, uid)) = self.interim.pop_first()
        {
            // Hours of the log may pass at once, after an outage: one that is given up next needs no record before.
            if self.calls.get(&uid).is_some_and(|call| self.due(call) > now) {
                self.write_interim(&uid, now, effects);
            } else if let Some(call) = self.calls.get_mut(&uid) {
                call.is_interim_timed = false;
            }
        }
        while let Some((due, _)) = self.give_up.first()
            && *due <= now
            && let Some((_, uid)) = self.give_up.pop_first()
        {
            // It has shown life since it was put there.
            let due = self.calls.get(&uid).map_or(now, |call| self.due(call));
            if due > now {
                if let Some(call) = self.calls.get_mut(&uid) {
                    call.timed = Some((due, Table::GiveUp));
                }
                self.give_up.insert((due, uid));
                continue;
            }
            let cause = match self.calls.get(&uid) {
                Some(call) if self.is_of_earlier_boot(call) => Cause::SwitchRestart,
                Some(_) | None => Cause::LostEnd,
            };
            self.give_up_call(&uid, cause, now, effects);
        }
        while let Some((due, _)) = self.forget.first()
            && (*due <= now || self.forget.len() > self.config.remembered_max)
            && let Some((_, memory)) = self.forget.pop_first()
        {
            match memory {
                Memory::Call(uid) => {
                    let Some(call) = self.calls.remove(&uid) else { continue };
                    if let Some(stored) = call.stored {
                        self.removed.insert(key_of_call(&uid, stored));
                    }
                }
                Memory::Edr(id) => {
                    self.edrs.remove(&id);
                    self.removed.insert(format!("{EDR_PREFIX}{id}"));
                    self.dirty.remove(&Dirty::Edr(id));
                }
            }
        }
        let firsts = [
            self.interim.first().map(|(due, _)| *due),
            self.give_up.first().map(|(due, _)| *due),
            self.forget.first().map(|(due, _)| *due),
        ];
        self.next_due = firsts.into_iter().flatten().min().unwrap_or(DateTime::<Utc>::MAX_UTC);
    }

    fn is_of_earlier_boot(&self, call: &Call) -> bool {
        self.boots.get(&call.node).is_some_and(|latest| call.boot < *latest)
    }

    /// When an open call is given up, or a closed one forgotten.
    fn due(&self, call: &Call) -> DateTime<Utc> {
        match call.closed_at {
            Some(closed_at) if call.is_unfinished() => later(closed_at, self.config.partials_for),
            Some(closed_at) => later(closed_at, self.config.late_for),
            // Its process is gone: only what was on its way can still come.
            None if self.is_of_earlier_boot(call) => later(call.quiet_since, self.config.late_for),
            None => later(call.quiet_since, self.config.close_after).min(self.end_of_age(call)),
        }
    }

    /// When an open call is given up although it shows life.
    fn end_of_age(&self, call: &Call) -> DateTime<Utc> {
        call.began_at().map_or(DateTime::<Utc>::MAX_UTC, |began| later(began, self.config.age_max))
    }

    /// Puts a call into the timetable. An open call that is there already stays where it is: nearly every event moves the end of
    /// patience further away, and it is looked at again when its place comes.
    fn time(&mut self, uid: &CallUid, call: &mut Call) {
        let due = self.due(call);
        let table = if call.closed_at.is_some() { Table::Forget } else { Table::GiveUp };
        let stays = |(at, held): (DateTime<Utc>, Table)| {
            held == table && (at == due || table == Table::GiveUp && at < due)
        };
        if !call.timed.is_some_and(stays) {
            self.untime(uid, call);
            self.next_due = self.next_due.min(due);
            match table {
                Table::GiveUp => self.give_up.insert((due, uid.clone())),
                Table::Forget => self.forget.insert((due, Memory::Call(uid.clone()))),
            };
            call.timed = Some((due, table));
        }
        self.time_interim(uid, call);
    }

    fn untime(&mut self, uid: &CallUid, call: &mut Call) {
        match call.timed.take() {
            Some((at, Table::GiveUp)) => self.give_up.remove(&(at, uid.clone())),
            Some((at, Table::Forget)) => self.forget.remove(&(at, Memory::Call(uid.clone()))),
            None => false,
        };
    }

    fn time_interim(&mut self, uid: &CallUid, call: &mut Call) {
        let since =
            call.up_since().filter(|_| call.closed_at.is_none() && !self.config.interim_every.is_zero());
        let Some(since) = since else {
            if let Some(at) = call.interim_at.take()
                && std::mem::take(&mut call.is_interim_timed)
            {
                self.interim.remove(&(at, uid.clone()));
            }
            return;
        };
        // Events of an outage come hours late: what they tell of is counted from their arrival.
        let from = since.max(call.quiet_since);
        let at = *call.interim_at.get_or_insert_with(|| later(from, self.config.interim_every));
        if !std::mem::replace(&mut call.is_interim_timed, true) {
            self.next_due = self.next_due.min(at);
            self.interim.insert((at, uid.clone()));
        }
    }

    /// Notes a call for the next commit.
    fn mark(&mut self, uid: &CallUid, call: &mut Call) {
        if !std::mem::replace(&mut call.is_dirty, true) {
            self.dirty_calls.push(uid.clone());
        }
    }

    fn restore_entry(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        if key == CLOCK_KEY {
            self.clock = Some(read(key, value)?);
        } else if let Some(node) = key.strip_prefix(NODE_PREFIX) {
            self.boots.insert(node.to_owned(), read(key, value)?);
        } else if let Some(id) = key.strip_prefix(EDR_PREFIX) {
            self.edrs.insert(id.to_owned(), read(key, value)?);
        } else if let Some(uid) = key.strip_prefix(CLOSED_PREFIX) {
            let call: Call = read(key, value)?;
            self.calls.insert(CallUid::new(uid), Box::new(Call { stored: Some(StoredAs::Closed), ..call }));
        } else if is_open_call_key(key) {
            let call: Call = read(key, value)?;
            self.calls.insert(CallUid::new(key), Box::new(Call { stored: Some(StoredAs::Open), ..call }));
        } else {
            return Err(format!(
                "entry {key:?} is of no kind this version knows: run the version that wrote it"
            ));
        }
        Ok(())
    }
}

impl Stage for Mediator {
    fn apply(&mut self, input: StageInput<'_>, effects: &mut Effects) {
        match input.body {
            Body::Tick(at) => self.tick(*at),
            Body::Call(event) => self.apply_event(event, effects),
            Body::Cdr(_)
            | Body::Edr(_)
            | Body::Rated(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_) => {
                let error = MediationError::NotAnEvent { kind: kind_of_body(input.body) };
                effects.suspend(error.suspended(AccountId::NOBODY, None));
            }
        }
        // After the event: a call that speaks again after a long silence is not given up just before.
        self.pass_time(effects);
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        let mut changes: BTreeMap<String, Option<Vec<u8>>> =
            std::mem::take(&mut self.removed).into_iter().map(|key| (key, None)).collect();
        if std::mem::take(&mut self.is_clock_dirty) {
            changes.insert(CLOCK_KEY.to_owned(), self.clock.as_ref().map(write));
        }
        for uid in std::mem::take(&mut self.dirty_calls) {
            let Some(call) = self.calls.get_mut(&uid).filter(|call| call.is_dirty) else { continue };
            call.is_dirty = false;
            let store_as = if call.closed_at.is_some() { StoredAs::Closed } else { StoredAs::Open };
            if let Some(stored) = call.stored.replace(store_as)
                && stored != store_as
            {
                changes.insert(key_of_call(&uid, stored), None);
            }
            changes.insert(key_of_call(&uid, store_as), Some(write(&**call)));
        }
        for dirty in std::mem::take(&mut self.dirty) {
            match dirty {
                Dirty::Node(node) => {
                    let value = self.boots.get(&node).map(write);
                    changes.insert(format!("{NODE_PREFIX}{node}"), value);
                }
                Dirty::Edr(id) => {
                    let value = self.edrs.get(&id).map(write);
                    changes.insert(format!("{EDR_PREFIX}{id}"), value);
                }
            }
        }
        changes.into_iter().map(|(key, value)| StateChange { key, value }).collect()
    }

    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        for (key, value) in entries {
            self.restore_entry(&key, &value)?;
        }
        let mut calls = std::mem::take(&mut self.calls);
        for (uid, call) in &mut calls {
            self.time(uid, call);
        }
        self.calls = calls;
        self.forget.extend(self.edrs.iter().map(|(id, until)| (*until, Memory::Edr(id.clone()))));
        // Look at all of it once.
        self.next_due = DateTime::<Utc>::MIN_UTC;
        Ok(())
    }
}

/// Writes the record of a leg if it has none, or if what came since makes another one.
fn settle(
    uid: &CallUid,
    call: &mut Call,
    number: u16,
    given_up: Option<Cause>,
    tolerance: TimeDelta,
    effects: &mut Effects,
) {
    let verdict = judge(uid, call, number, given_up, tolerance);
    let Some(leg) = call.legs.get_mut(number) else { return };
    match verdict {
        Verdict::Open => {}
        Verdict::Impossible(error) => {
            // Once is enough, and a record that is out stays.
            if leg.issued.is_none() && leg.refused.as_deref() != Some(error.code()) {
                effects.suspend(error.suspended(leg.first.is.payer, Some(CdrId::derive(uid, number))));
                leg.refused = Some(error.code().to_owned());
            }
        }
        Verdict::Record(mut cdr) => {
            let revision = match &leg.issued {
                None => 0,
                Some(issued) if issued.is_outdated || issued.partial != given_up => issued.revision + 1,
                Some(_) => return,
            };
            cdr.revision = revision;
            leg.issued = Some(Issued { revision, partial: given_up, is_outdated: false });
            leg.refused = None;
            effects.append(Topic::Cdrs, cdr.payer, Body::Cdr(*cdr));
        }
    }
}

fn key_of_call(uid: &CallUid, stored: StoredAs) -> String {
    match stored {
        StoredAs::Open => uid.to_string(),
        StoredAs::Closed => format!("{CLOSED_PREFIX}{uid}"),
    }
}

fn delta(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn later(at: DateTime<Utc>, by: Duration) -> DateTime<Utc> {
    at.checked_add_signed(delta(by)).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn write<T: Serialize>(is: &T) -> Vec<u8> {
    // Maps with numbers or text as keys and plain structs: JSON has a form for all of them.
    serde_json::to_vec(&Versioned { v: STATE_VERSION, is }).expect("state entries are plain data")
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, String> {
    let unreadable = |why: serde_json::Error| format!("entry {key:?} cannot be read: {why}");
    let VersionOnly { v } = serde_json::from_slice(value).map_err(unreadable)?;
    if v != STATE_VERSION {
        return Err(format!(
            "entry {key:?} has version {v}, this program reads up to {STATE_VERSION}: run the version that wrote it"
        ));
    }
    serde_json::from_slice(value).map(|Versioned { is, .. }| is).map_err(unreadable)
}

fn kind_of_body(body: &Body) -> &'static str {
    match body {
        Body::Tick(_) => "tick",
        Body::Call(_) => "call",
        Body::Cdr(_) => "cdr",
        Body::Edr(_) => "edr",
        Body::Rated(_) => "rated",
        Body::Posting(_) => "posting",
        Body::Control(_) => "control",
        Body::Accrual(_) => "accrual",
    }
}

fn kind_of_event(body: &EventBody) -> &'static str {
    match body {
        EventBody::Attempt(_) => "attempt",
        EventBody::Rejected(_) => "rejected",
        EventBody::RouteAttempt(_) => "route_attempt",
        EventBody::RouteResult(_) => "route_result",
        EventBody::Progress(_) => "progress",
        EventBody::Answer(_) => "answer",
        EventBody::Update(_) => "update",
        EventBody::ChargeTick(_) => "charge_tick",
        EventBody::End(_) => "end",
        EventBody::Forwarded(_) => "forwarded",
        EventBody::Registration(_) => "registration",
        EventBody::TrunkState(_) => "trunk_state",
        EventBody::Security(_) => "security",
        EventBody::NodeStarted(_) => "node_started",
        EventBody::Provisioned(_) => "provisioned",
    }
}
