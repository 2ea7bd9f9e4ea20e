//! The mediator of one lane: routes events to their calls, watches the time of the log, writes records.
//!
//! In: call events and ticks. Out: CDRs and EDRs in the payer's lane, and suspended events. A call is held while it is
//! open and, for a bounded time of the log, after it closed, so that late and repeated events find it. What arrives after
//! a call was forgotten makes a record of the same id and revision 0 at worst, which consumers know already.

mod kept;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Body, CallEvent, CallUid, Cause, CdrId, Effect, Effects, EventBody, Stage, StageInput,
    StateChange, Text, Topic,
};
use serde::{Deserialize, Serialize};

use self::kept::{Awaited, EDR_PREFIX, is_name_of_a_call};
pub use self::kept::{OpenCall, has_open_calls, open_calls};
use crate::call::{Call, Issued};
use crate::edr::{edr_id, edr_of};
use crate::gist::{LOG_KEPT, Sources};
use crate::held::{HeldCalls, Taken};
use crate::record::{Verdict, is_complete, judge};
use crate::state_log::StateLog;
use crate::timetable::{Memory, Timetable};
use crate::{MediationError, MediatorConfig};

/// Calls without their end may take so many times what complete ones may: an outage leaves many of them at once, and each may still be
/// corrected, which the others hardly ever are.
const UNFINISHED_SHARE: usize = 4;

/// The mediator of one lane.
#[derive(Debug)]
pub struct Mediator {
    config: MediatorConfig,
    /// Which lane, once the first record of it has come.
    partition: Option<u32>,
    clock: Option<LogClock>,
    /// The latest start of each node.
    boots: BTreeMap<Text, u64>,
    calls: HeldCalls,
    /// EDRs written lately, and when they are forgotten.
    edrs: HashMap<String, DateTime<Utc>>,
    timetable: Timetable,
    /// Calls whose events must be heard again before the next record.
    awaited: Vec<Awaited>,
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
    Node(Text),
    Edr(String),
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
            awaited: Vec::new(),
            open_log: StateLog::default(),
            done_log: StateLog::default(),
            is_clock_dirty: false,
            dirty: BTreeSet::new(),
            removed: BTreeSet::new(),
        }
    }

    /// Calls whose end is still to come.
    pub fn open_calls(&self) -> usize {
        self.timetable.looks.len()
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

    /// Whether it was applied; if not, the events of its call must be heard again first, and nothing has changed. Boxed: an event is handed on
    /// several times, and takes three hundred bytes.
    fn apply_event(&mut self, event: Box<CallEvent>, offset: u64, effects: &mut Effects) -> bool {
        match &event.body {
            EventBody::NodeStarted(_) => {
                let now = self.move_clock(event.at);
                self.node_started(&event, now, effects);
            }
            EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::Provisioned(_) => {
                let now = self.move_clock(event.at);
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
            | EventBody::Forwarded(_) => return self.call_event(event, offset, effects),
        }
        true
    }

    /// As [`Self::apply_event`].
    fn call_event(&mut self, event: Box<CallEvent>, offset: u64, effects: &mut Effects) -> bool {
        let Some(uid) = event.call.clone().filter(|uid| is_name_of_a_call(uid.as_str())) else {
            self.move_clock(event.at);
            let event = *event;
            let (payer, cdr) = (event.payer, event.call.map(|call| CdrId::derive(&call, event.leg)));
            let error = MediationError::NoCall {
                node: event.node.to_string(),
                boot: event.boot,
                seq: event.seq,
                kind: kind_of_event(&event.body),
            };
            effects.suspend(error.suspended(payer, cdr));
            return true;
        };
        let taken = match self.calls.take(&uid) {
            Taken::Asks(gist) => {
                self.awaited.push(Awaited { name: uid, gist, places: None });
                effects.0.push(Effect::AskAgain(Box::new(Body::Call(event))));
                return false;
            }
            Taken::Call(call, woken) => Some((call, woken)),
            Taken::No => None,
        };
        let (now, payer, leg) = (self.move_clock(event.at), event.payer, event.leg);
        if let Err(error) = self.event_of(&uid, taken, (event, offset), now, effects) {
            effects.suspend(error.suspended(payer, Some(CdrId::derive(&uid, leg))));
        }
        true
    }

    /// Takes in an event of the call that was taken out.
    fn event_of(
        &mut self,
        uid: &CallUid,
        taken: Option<(Box<Call>, Option<DateTime<Utc>>)>,
        (event, offset): (Box<CallEvent>, u64),
        now: DateTime<Utc>,
        effects: &mut Effects,
    ) -> Result<(), MediationError> {
        let (mut call, woken) = match taken {
            Some((call, woken)) if call.node == event.node && call.boot == event.boot => (call, woken),
            Some((call, woken)) => {
                let error = MediationError::ForeignNode {
                    call: uid.to_string(),
                    node: call.node.to_string(),
                    boot: call.boot,
                    from_node: event.node.to_string(),
                    from_boot: event.boot,
                    seq: event.seq,
                };
                self.put_back(uid, call, woken, false);
                return Err(error);
            }
            None if self.open_calls() >= self.config.calls_open_max => {
                return Err(MediationError::TooManyOpen { call: uid.to_string(), open: self.open_calls() });
            }
            None => {
                let mut call = Call::of(&event);
                (call.quiet_since, call.sources) = (now, Some(Sources::begin(now)));
                (Box::new(call), None)
            }
        };
        let has_changed = self.take_in(uid, &mut call, (event, offset), now, effects);
        self.put_back(uid, call, woken, has_changed);
        Ok(())
    }

    /// Adds an event to its call and writes what records that leads to. Whether it said anything new.
    fn take_in(
        &self,
        uid: &CallUid,
        call: &mut Call,
        (event, offset): (Box<CallEvent>, u64),
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
        if call.legs.values().any(|leg| leg.refused.is_some()) {
            // What it learns may be a repair, and depends on what was made of it before: its events alone do not tell it any more.
            call.sources = None;
        }
        if !call.learn(*event) {
            effects.repeated();
            return false;
        }
        call.sources.take_if(|sources| !sources.add(offset));
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
        let Some(mut call) = self.calls.take_open(uid) else { return };
        let numbers: Vec<u16> = call.legs.numbers().collect();
        for number in numbers {
            if !is_complete(&call, number) {
                settle(uid, &mut call, number, Some(cause), delta(self.config.clock_tolerance), effects);
            }
        }
        call.closed_at = Some(now);
        self.put_back(uid, call, None, true);
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
        let Some(mut call) = self.calls.take_open(uid) else { return };
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
        self.put_back(uid, call, None, true);
    }

    /// Writes the records of calls that are up, gives up open calls that have been silent for too long, and forgets what was remembered
    /// for long enough.
    fn pass_time(&mut self, effects: &mut Effects) {
        let Some(LogClock { now, .. }) = self.clock else { return };
        if now < self.timetable.next_due && !self.remembers_too_much() {
            return;
        }
        let (mut up, mut silent) = (Vec::new(), Vec::new());
        while let Some(uid) = self.timetable.pop_look(now) {
            let Some(call) = self.calls.open(&uid) else { continue };
            let (due, interim_at) = (self.due(call), call.interim_at);
            // Hours of the log may pass at once, after an outage: one that is given up next needs no record before.
            let look = if due <= now {
                silent.push((due, uid.clone()));
                None
            } else if let Some(interim_at) = interim_at.filter(|at| *at <= now) {
                up.push((interim_at, uid.clone()));
                None
            } else {
                // It has shown life since it was put there.
                Some(interim_at.map_or(due, |at| at.min(due)))
            };
            if let Some(call) = self.calls.open_mut(&uid) {
                call.timed = look;
            }
            if let Some(look) = look {
                self.timetable.looks.insert((look, uid));
            }
        }
        // In the order in which they were due, not in that of their places: whoever begins again from a commit has them in other places, and
        // must put out the same records in the same order.
        up.sort();
        for (_, uid) in up {
            self.write_interim(&uid, now, effects);
        }
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
            Some(closed_at) => self.end_of_memory(closed_at, call.is_unfinished()),
            // Its process is gone: only what was on its way can still come.
            None if self.is_of_earlier_boot(call) => later(call.quiet_since, self.config.late_for),
            None => later(call.quiet_since, self.config.close_after).min(self.end_of_age(call)),
        }
    }

    /// When a call that closed at `closed_at` is forgotten.
    fn end_of_memory(&self, closed_at: DateTime<Utc>, is_unfinished: bool) -> DateTime<Utc> {
        later(closed_at, if is_unfinished { self.config.partials_for } else { self.config.late_for })
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
        // From now on it is kept whole, which the next commit has to say.
        let has_changed =
            has_changed | call.sources.take_if(|sources| due > later(sources.heard_at, LOG_KEPT)).is_some();
        let is_closed = call.closed_at.is_some();
        if let Some(until) = woken.filter(|until| !is_closed || *until != due) {
            self.timetable.forget.remove(&(until, Memory::Call(uid.clone())));
        }
        self.plan_interim(&mut call);
        let look = call.interim_at.map_or(due, |at| at.min(due));
        if let Some(at) = call.timed.take_if(|at| is_closed || *at > look) {
            self.timetable.looks.remove(&(at, uid.clone()));
        }
        if is_closed {
            if woken != Some(due) {
                self.timetable.insert_forget(due, Memory::Call(uid.clone()));
            }
            self.calls.put_asleep(uid, &call, due, has_changed);
        } else {
            if call.timed.is_none() {
                // A call that rings is looked at early enough for the first record after its answer: it keeps its place when that comes, and is
                // nearly always over before.
                let look = if call.interim_at.is_none() && !self.config.interim_every.is_zero() {
                    look.min(later(call.quiet_since, self.config.interim_every))
                } else {
                    look
                };
                self.timetable.insert_look(look, uid);
                call.timed = Some(look);
            }
            self.calls.put(uid, call, has_changed);
        }
    }

    /// When a call that is up gets its next record.
    fn plan_interim(&self, call: &mut Call) {
        let since =
            call.up_since().filter(|_| call.closed_at.is_none() && !self.config.interim_every.is_zero());
        call.interim_at = since.map(|since| {
            // Events of an outage come hours late: what they tell of is counted from their arrival.
            let from = since.max(call.quiet_since);
            call.interim_at.unwrap_or_else(|| later(from, self.config.interim_every))
        });
    }
}

impl Stage for Mediator {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        self.partition = Some(input.partition);
        match input.body {
            Body::Tick(at) => self.tick(at),
            Body::Call(event) => {
                if !self.apply_event(event, input.offset, effects) {
                    return;
                }
            }
            body @ (Body::Cdr(_)
            | Body::Edr(_)
            | Body::Rated(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_)
            | Body::Sighting(_)) => {
                let error = MediationError::NotAnEvent { kind: kind_of_body(&body) };
                effects.suspend(error.suspended(AccountId::NOBODY, None));
            }
        }
        // After the event: a call that speaks again after a long silence is not given up just before.
        self.pass_time(effects);
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        self.changes()
    }

    fn wants_again(&self) -> Vec<u64> {
        self.awaited_offsets()
    }

    fn hear_again(&mut self, records: Vec<(u64, Body)>) -> Result<(), String> {
        self.hear(records)
    }

    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        self.restore_all(entries)
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
        Body::Sighting(_) => "sighting",
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
