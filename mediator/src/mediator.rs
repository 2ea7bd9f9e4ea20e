//! The mediator of one lane: routes events to their calls, watches the time of the log, writes records.
//!
//! In: call events and ticks. Out: CDRs and EDRs in the payer's lane, and suspended events. A call is held while it is
//! open and, for a bounded time of the log, after it closed, so that late and repeated events find it. What arrives after
//! a call was forgotten makes a record of the same id and revision 0 at worst, which consumers know already.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Body, CallEvent, CallUid, Cause, CdrId, Effects, EventBody, Stage, StageInput, StateChange,
    Topic,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::call::{Call, Issued};
use crate::edr::{edr_id, edr_of};
use crate::held::{Change, HeldCalls, Places};
use crate::packed::unpack_call;
use crate::record::{Verdict, is_complete, judge};
use crate::state_log::{NewEntry, StateLog, number_of, words};
use crate::timetable::{Memory, Timetable};
use crate::{MediationError, MediatorConfig};

/// Of the state entries of the first version, and of those in JSON to this day. Later versions read all earlier ones.
const STATE_VERSION: u32 = 1;

/// Version 1 kept an open call under its own name; every other entry begins with this.
const RESERVED: char = '@';
/// And those with open calls, of version 2, with this. No call's name may begin with either.
const OPEN_PREFIX: char = '#';
const CLOCK_KEY: &str = "@clock";
const NODE_PREFIX: &str = "@node/";
/// Version 1.
const CLOSED_PREFIX: &str = "@closed/";
/// Version 2.
const DONE_PREFIX: &str = "@done/";
const EDR_PREFIX: &str = "@edr/";

/// Calls without their end may take so many times what complete ones may: an outage leaves many of them at once, and each may still be
/// corrected, which the others hardly ever are.
const UNFINISHED_SHARE: usize = 4;

/// Whether version 1 kept an open call under `key`. A key that begins with a control character belongs to the runner.
fn is_name_of_a_call(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|first: char| first == RESERVED || first == OPEN_PREFIX || first.is_control())
}

/// Whether a state entry under `key` has open calls in it: all that [`open_calls`] needs.
pub fn has_open_calls(key: &str) -> bool {
    key.starts_with(OPEN_PREFIX) || is_name_of_a_call(key)
}

/// A call whose end is still to come, as the last commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCall {
    /// Which.
    pub call: CallUid,
    /// Since when it is answered; `None` while it rings.
    pub up_since: Option<DateTime<Utc>>,
    /// Its legs that began and of which there is neither a record nor anything in suspense.
    pub legs_without_record: Vec<u16>,
}

impl OpenCall {
    fn of(name: CallUid, call: &Call) -> Self {
        let waits =
            |leg: &crate::call::Leg| leg.attempt.is_some() && leg.issued.is_none() && leg.refused.is_none();
        let legs = call.legs.iter().filter(|(_, leg)| waits(leg));
        Self {
            call: name,
            up_since: call.up_since(),
            legs_without_record: legs.map(|(number, _)| number).collect(),
        }
    }
}

/// The open calls in state entries of the mediator, of one lane or of several; a call with legs in two lanes is there twice. Entries of
/// other kinds are passed over.
///
/// # Errors
///
/// A sentence naming the entry that cannot be read.
pub fn open_calls<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<OpenCall>, String> {
    let mut found = Vec::new();
    // By lane, and there by age: the last word on a call counts.
    let mut logs: BTreeMap<(&str, u64), (&str, &[u8])> = BTreeMap::new();
    for (key, value) in entries {
        if is_name_of_a_call(key) {
            found.push(OpenCall::of(CallUid::new(key), &read(key, value)?));
        } else if key.starts_with(OPEN_PREFIX) {
            logs.insert(number_of(key).ok_or_else(|| unknown(key))?, (key, value));
        }
    }
    let mut calls: BTreeMap<(&str, CallUid), &[u8]> = BTreeMap::new();
    for ((lane, _), (key, value)) in logs {
        for word in words(key, value)? {
            let (name, is, _) = word?;
            match is {
                Some(packed) => calls.insert((lane, name), packed),
                None => calls.remove(&(lane, name)),
            };
        }
    }
    for ((lane, name), packed) in calls {
        let call = unpack_call(packed)
            .ok_or_else(|| format!("call {name} in the entries {lane:?} cannot be read: it is damaged"))?;
        found.push(OpenCall::of(name, &call));
    }
    Ok(found)
}

/// The mediator of one lane.
#[derive(Debug)]
pub struct Mediator {
    config: MediatorConfig,
    /// Which lane, once the first record of it has come.
    partition: Option<u32>,
    clock: Option<LogClock>,
    /// The latest start of each node.
    boots: BTreeMap<String, u64>,
    calls: HeldCalls,
    /// EDRs written lately, and when they are forgotten.
    edrs: HashMap<String, DateTime<Utc>>,
    timetable: Timetable,
    /// What commits keep of open calls.
    open_log: StateLog,
    /// And of closed ones.
    done_log: StateLog,
    is_clock_dirty: bool,
    dirty: BTreeSet<Dirty>,
    /// Keys that the next commit removes.
    removed: BTreeSet<String>,
}

/// The time of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct LogClock {
    /// The highest time seen, of events and ticks.
    now: DateTime<Utc>,
    /// The latest tick.
    #[serde(default)]
    tick: Option<DateTime<Utc>>,
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
            partition: None,
            clock: None,
            boots: BTreeMap::new(),
            calls: HeldCalls::default(),
            edrs: HashMap::new(),
            timetable: Timetable::new(),
            open_log: StateLog::default(),
            done_log: StateLog::default(),
            is_clock_dirty: false,
            dirty: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Calls whose end is still to come.
    pub fn open_calls(&self) -> usize {
        self.timetable.give_up.len()
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

    fn apply_event(&mut self, event: CallEvent, effects: &mut Effects) {
        let now = self.move_clock(event.at);
        match &event.body {
            EventBody::NodeStarted(_) => self.node_started(&event, now, effects),
            EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::Provisioned(_) => {
                self.write_edr(&event, now, effects);
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
                let (payer, call, leg) = (event.payer, event.call.clone(), event.leg);
                if let Err(error) = self.call_event(event, now, effects) {
                    let cdr = call.map(|call| CdrId::derive(&call, leg));
                    effects.suspend(error.suspended(payer, cdr));
                }
            }
        }
    }

    fn call_event(
        &mut self,
        event: CallEvent,
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) -> Result<(), MediationError> {
        let Some(uid) = event.call.clone().filter(|uid| is_name_of_a_call(uid.as_str())) else {
            return Err(MediationError::NoCall {
                node: event.node,
                boot: event.boot,
                seq: event.seq,
                kind: kind_of_event(&event.body),
            });
        };
        let (mut call, woken) = match self.calls.take(&uid) {
            Some((call, woken)) if call.node == event.node && call.boot == event.boot => (call, woken),
            Some((call, woken)) => {
                let error = MediationError::ForeignNode {
                    call: uid.to_string(),
                    node: call.node.clone(),
                    boot: call.boot,
                    from_node: event.node,
                    from_boot: event.boot,
                    seq: event.seq,
                };
                self.put_back(&uid, call, woken, false);
                return Err(error);
            }
            None if self.open_calls() >= self.config.calls_open_max => {
                return Err(MediationError::TooManyOpen { call: uid.to_string(), open: self.open_calls() });
            }
            None => {
                let mut call = Call::of(&event);
                call.quiet_since = now;
                (Box::new(call), None)
            }
        };
        let has_changed = self.take_in(&uid, &mut call, event, now, effects);
        self.put_back(&uid, call, woken, has_changed);
        Ok(())
    }

    /// Adds an event to its call and writes what records that leads to. Whether it said anything new.
    fn take_in(
        &self,
        uid: &CallUid,
        call: &mut Call,
        event: CallEvent,
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) -> bool {
        let payer = event.payer;
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
            return false;
        }
        call.quiet_since = now;
        for (number, earlier) in before {
            let partial =
                call.legs.get(number).and_then(|leg| leg.issued.as_ref()).and_then(|issued| issued.partial);
            let later = judge(uid, call, number, partial, tolerance);
            if let (Verdict::Impossible(error), false) = (&later, matches!(earlier, Verdict::Impossible(_))) {
                // A record is out and stays; what contradicts it is for people to look at.
                effects.suspend(error.suspended(payer, Some(CdrId::derive(uid, number))));
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
        true
    }

    /// Closes a call at its last sign of life.
    fn give_up_call(&mut self, uid: &CallUid, cause: Cause, now: DateTime<Utc>, effects: &mut Effects) {
        let Some((mut call, woken)) = self.calls.take(uid) else { return };
        let numbers: Vec<u16> = call.legs.numbers().collect();
        for number in numbers {
            if !is_complete(&call, number) {
                settle(uid, &mut call, number, Some(cause), delta(self.config.clock_tolerance), effects);
            }
        }
        call.closed_at = Some(now);
        self.put_back(uid, call, woken, true);
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
            .all_open()
            .filter(|(_, call)| call.node == event.node && call.boot < event.boot)
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
        self.edrs.insert(id.clone(), until);
        self.timetable.insert_forget(until, Memory::Edr(id.clone()));
        self.dirty.insert(Dirty::Edr(id));
    }

    /// Writes what each leg of a call that is up has come to so far. The call stays open.
    fn write_interim(&mut self, uid: &CallUid, now: DateTime<Utc>, effects: &mut Effects) {
        let Some((mut call, woken)) = self.calls.take(uid) else { return };
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
        self.put_back(uid, call, woken, true);
    }

    /// Writes the records of calls that are up, gives up open calls that have been silent for too long, and forgets what was remembered
    /// for long enough.
    fn pass_time(&mut self, effects: &mut Effects) {
        let Some(LogClock { now, .. }) = self.clock else { return };
        if now < self.timetable.next_due && !self.remembers_too_much() {
            return;
        }
        while let Some(uid) = self.timetable.pop_interim(now) {
            // Hours of the log may pass at once, after an outage: one that is given up next needs no record before.
            if self.calls.open(&uid).is_some_and(|call| self.due(call) > now) {
                self.write_interim(&uid, now, effects);
            } else if let Some(call) = self.calls.open_mut(&uid) {
                call.is_interim_timed = false;
            }
        }
        let mut silent = Vec::new();
        while let Some(uid) = self.timetable.pop_give_up(now) {
            // It has shown life since it was put there.
            let due = self.calls.open(&uid).map_or(now, |call| self.due(call));
            if let Some(call) = self.calls.open_mut(&uid) {
                call.timed = (due > now).then_some(due);
            }
            if due > now {
                self.timetable.give_up.insert((due, uid));
            } else {
                silent.push((due, uid));
            }
        }
        // In the order in which they were due, not in that of their places: whoever begins again from a commit has them in other places, and
        // must put out the same records in the same order.
        silent.sort();
        for (_, uid) in silent {
            let cause = match self.calls.open(&uid) {
                Some(call) if self.is_of_earlier_boot(call) => Cause::SwitchRestart,
                Some(_) | None => Cause::LostEnd,
            };
            self.give_up_call(&uid, cause, now, effects);
        }
        while let Some((due, _)) = self.timetable.forget.first()
            && (*due <= now || self.remembers_too_much())
            && let Some((_, memory)) = self.timetable.forget.pop_first()
        {
            match memory {
                Memory::Call(uid) => self.calls.forget(&uid),
                Memory::Edr(id) => {
                    self.edrs.remove(&id);
                    self.removed.insert(format!("{EDR_PREFIX}{id}"));
                    self.dirty.remove(&Dirty::Edr(id));
                }
            }
        }
        self.timetable.look_ahead();
    }

    fn remembers_too_much(&self) -> bool {
        let [complete_bytes, unfinished_bytes] = self.calls.bytes_asleep();
        let bytes_max = self.config.remembered_bytes_max;
        self.timetable.forget.len() > self.config.remembered_max
            || complete_bytes > bytes_max
            || unfinished_bytes > bytes_max.saturating_mul(UNFINISHED_SHARE)
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

    /// Puts a call back in its place and into the timetable. An open call that is there already stays where it is: nearly every event
    /// moves the end of patience further away, and it is looked at again when its place comes. `woken` is when it would have been forgotten,
    /// if it was closed before.
    fn put_back(
        &mut self,
        uid: &CallUid,
        mut call: Box<Call>,
        woken: Option<DateTime<Utc>>,
        has_changed: bool,
    ) {
        let due = self.due(&call);
        let is_closed = call.closed_at.is_some();
        if let Some(until) = woken.filter(|until| !is_closed || *until != due) {
            self.timetable.forget.remove(&(until, Memory::Call(uid.clone())));
        }
        if let Some(at) = call.timed.take_if(|at| is_closed || *at > due) {
            self.timetable.give_up.remove(&(at, uid.clone()));
        }
        self.time_interim(uid, &mut call);
        if is_closed {
            if woken != Some(due) {
                self.timetable.insert_forget(due, Memory::Call(uid.clone()));
            }
            self.calls.put_asleep(uid, &call, due, has_changed);
        } else {
            if call.timed.is_none() {
                self.timetable.insert_give_up(due, uid);
                call.timed = Some(due);
            }
            self.calls.put(uid, call, has_changed);
        }
    }

    fn time_interim(&mut self, uid: &CallUid, call: &mut Call) {
        let since =
            call.up_since().filter(|_| call.closed_at.is_none() && !self.config.interim_every.is_zero());
        let Some(since) = since else {
            if let Some(at) = call.interim_at.take()
                && std::mem::take(&mut call.is_interim_timed)
            {
                self.timetable.interim.remove(&(at, uid.clone()));
            }
            return;
        };
        // Events of an outage come hours late: what they tell of is counted from their arrival.
        let from = since.max(call.quiet_since);
        let at = *call.interim_at.get_or_insert_with(|| later(from, self.config.interim_every));
        if !std::mem::replace(&mut call.is_interim_timed, true) {
            self.timetable.insert_interim(at, uid);
        }
    }

    /// What changed of the calls, as entries of their logs.
    fn take_changed_calls(&mut self, partition: u32, changes: &mut BTreeMap<String, Option<Vec<u8>>>) {
        let prefixes = [format!("{OPEN_PREFIX}{partition:05}/"), format!("{DONE_PREFIX}{partition:05}/")];
        let mut writing = Writing {
            open: self.open_log.begin(),
            done: self.done_log.begin(),
            open_log: &mut self.open_log,
            done_log: &mut self.done_log,
        };
        for (name, places) in self.calls.take_gone() {
            writing.remove(&name, places);
        }
        for name in self.calls.take_dirty() {
            if let Some(change) = self.calls.change_of(&name) {
                writing.keep(&name, change);
            }
        }
        for n_dropped in 0.. {
            let Some((entry, key, names)) = writing.open_log.drop_oldest(&prefixes[0], n_dropped) else {
                break;
            };
            changes.insert(key, None);
            for name in names {
                let counts = |places: &Places| places.open.is_some_and(|stored| stored.entry == entry);
                if let Some(change) = self.calls.again(&name, counts) {
                    writing.keep(&name, change);
                }
            }
        }
        for n_dropped in 0.. {
            let Some((entry, key, names)) = writing.done_log.drop_oldest(&prefixes[1], n_dropped) else {
                break;
            };
            changes.insert(key, None);
            for name in names {
                let counts = |places: &Places| places.done.is_some_and(|stored| stored.entry == entry);
                if let Some(change) = self.calls.again(&name, counts) {
                    writing.keep(&name, change);
                }
            }
        }
        let Writing { open, done, .. } = writing;
        let new = [self.open_log.end(&prefixes[0], open), self.done_log.end(&prefixes[1], done)];
        changes.extend(new.into_iter().flatten().map(|change| (change.key, change.value)));
    }

    /// Takes in an entry of version 1, or one that is in JSON to this day.
    fn restore_entry(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        if key == CLOCK_KEY {
            self.clock = Some(read(key, value)?);
        } else if let Some(node) = key.strip_prefix(NODE_PREFIX) {
            self.boots.insert(node.to_owned(), read(key, value)?);
        } else if let Some(id) = key.strip_prefix(EDR_PREFIX) {
            self.edrs.insert(id.to_owned(), read(key, value)?);
        } else if let Some(uid) = key.strip_prefix(CLOSED_PREFIX) {
            self.calls.restore(&CallUid::new(uid), read(key, value)?, Places::default());
            self.removed.insert(key.to_owned());
        } else if is_name_of_a_call(key) {
            self.calls.restore(&CallUid::new(key), read(key, value)?, Places::default());
            self.removed.insert(key.to_owned());
        } else {
            return Err(unknown(key));
        }
        Ok(())
    }

    /// Takes in the entries of the logs of calls.
    fn restore_logs(&mut self, mut entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        entries.sort();
        let mut calls: HashMap<CallUid, (Places, &[u8])> = HashMap::new();
        for (key, value) in &entries {
            let (_, number) = number_of(key).ok_or_else(|| unknown(key))?;
            let is_open = key.starts_with(OPEN_PREFIX);
            let log = if is_open { &mut self.open_log } else { &mut self.done_log };
            log.restore((key, number, value), |name, stored, is| {
                let (places, packed) = calls.entry(name).or_default();
                let place = if is_open { &mut places.open } else { &mut places.done };
                if let Some(is) = is {
                    *packed = is;
                    Ok(place.replace(stored))
                } else {
                    Ok(place.take())
                }
            })?;
        }
        for (name, (places, packed)) in calls {
            if places == Places::default() {
                continue;
            }
            let call = unpack_call(packed)
                .ok_or_else(|| format!("the saved state of call {name} cannot be read: it is damaged"))?;
            self.calls.restore(&name, call, places);
        }
        Ok(())
    }
}

/// The two entries of a commit.
struct Writing<'a> {
    open_log: &'a mut StateLog,
    done_log: &'a mut StateLog,
    open: NewEntry,
    done: NewEntry,
}

impl Writing<'_> {
    fn keep(&mut self, name: &CallUid, change: Change<'_>) {
        match change {
            Change::Open(packed, places) => {
                places.open = Some(self.open_log.keep(&mut self.open, name, packed, places.open));
                if let Some(before) = places.done.take() {
                    self.done_log.remove(&mut self.done, name, before);
                }
            }
            Change::Done(packed, places) => {
                places.done = Some(self.done_log.keep(&mut self.done, name, packed, places.done));
                if let Some(before) = places.open.take() {
                    self.open_log.remove(&mut self.open, name, before);
                }
            }
        }
    }

    fn remove(&mut self, name: &CallUid, places: Places) {
        if let Some(before) = places.open {
            self.open_log.remove(&mut self.open, name, before);
        }
        if let Some(before) = places.done {
            self.done_log.remove(&mut self.done, name, before);
        }
    }
}

impl Stage for Mediator {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        self.partition = Some(input.partition);
        match input.body {
            Body::Tick(at) => self.tick(at),
            Body::Call(event) => self.apply_event(event, effects),
            body @ (Body::Cdr(_)
            | Body::Edr(_)
            | Body::Rated(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_)) => {
                let error = MediationError::NotAnEvent { kind: kind_of_body(&body) };
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
        if let Some(partition) = self.partition {
            self.take_changed_calls(partition, &mut changes);
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
        let is_of_a_log = |key: &str| key.starts_with(OPEN_PREFIX) || key.starts_with(DONE_PREFIX);
        let (logs, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| is_of_a_log(key));
        for (key, value) in others {
            self.restore_entry(&key, &value)?;
        }
        // Those of version 1 are written in the form of today by the next commit.
        let of_version_1: HashSet<CallUid> = self.calls.names().into_iter().collect();
        self.restore_logs(logs)?;
        let mut names = self.calls.names();
        names.sort();
        for name in names {
            if let Some((call, _)) = self.calls.take(&name) {
                let is_old = of_version_1.contains(&name);
                self.put_back(&name, call, None, is_old);
            }
        }
        let edrs = self.edrs.iter().map(|(id, until)| (*until, Memory::Edr(id.clone())));
        self.timetable.forget.extend(edrs);
        // Look at all of it once.
        self.timetable.next_due = DateTime::<Utc>::MIN_UTC;
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
            effects.append(Topic::Cdrs, cdr.payer, Body::Cdr(cdr));
        }
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

fn unknown(key: &str) -> String {
    format!("entry {key:?} is of no kind this version knows: run the version that wrote it")
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
