//! The simulated switch: turns planned calls into events, and obeys the watch. A locked account's calls are refused, and calls that
//! are to end, end.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Alert, Answer, Attempt, AuthMethod, Body, CallEvent, CallUid, Cause, ChargeTick, Control,
    E164, Effect, Effects, End, EventBody, Initiator, LockLevel, Party, Rejected, RouteAttempt, Security,
    SecurityKind, Stage, StageInput, TenantId, Topic, Transport, partition_of,
};

use super::plan::{Knock, Planned, SECOND};
use crate::barred::Bars;
use crate::watch::{Gate, Watch, WatchRules, WatchSnapshot};

/// Lanes, as in an installation.
const LANES: u32 = model::PARTITIONS_DEFAULT;

/// How often a call gives a sign of life.
const CHARGE_TICK: i64 = 30 * SECOND;

/// How often the log's time moves on.
const TICK: i64 = 60 * SECOND;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Knock(usize),
    Begin(usize),
    Answer(usize),
    ChargeTick(usize),
    End(usize),
}

/// A call that is up.
#[derive(Debug)]
struct Up {
    answered_at: Option<i64>,
}

/// What came of the calls of one attack.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Toll {
    /// Calls that went through.
    pub(super) calls: u64,
    /// Seconds of answer.
    pub(super) seconds: i64,
    /// Calls that were refused or ended.
    pub(super) stopped: u64,
    /// Ten-thousandths of a euro.
    pub(super) cost: i64,
}

/// Something the watch said.
#[derive(Debug, Clone)]
pub(super) struct Said {
    /// Milliseconds since the simulation began.
    pub(super) at: i64,
    pub(super) alert: Alert,
}

/// The switch and the watches of all lanes.
pub(super) struct Exchange {
    began: DateTime<Utc>,
    watches: Vec<Watch>,
    /// Of what the others say, for rules that count by something else than the payer.
    by_thing: Vec<Watch>,
    snapshot: Arc<WatchSnapshot>,
    queue: BinaryHeap<Reverse<(i64, u64, Step)>>,
    n_queued: u64,
    calls: Vec<Planned>,
    knocks: Vec<Knock>,
    up: BTreeMap<usize, Up>,
    up_of: BTreeMap<AccountId, BTreeSet<usize>>,
    locks: BTreeMap<AccountId, (LockLevel, Option<DateTime<Utc>>)>,
    bars: Bars,
    gate: Option<Gate>,
    next_tick: i64,
    n_events: u64,
    pub(super) tolls: Vec<Toll>,
    pub(super) said: Vec<Said>,
    /// Locks that were set: when, on whom, by which rule's alert.
    pub(super) locked: Vec<(i64, AccountId)>,
    /// Takes every event, for those who want to keep them.
    pub(super) tap: Option<super::Tap>,
}

impl Exchange {
    pub(super) fn new(
        began: DateTime<Utc>,
        rules: &Arc<WatchRules>,
        snapshot: &Arc<WatchSnapshot>,
        n_attacks: usize,
    ) -> Self {
        let lanes = |make: fn(Arc<WatchRules>) -> Watch| {
            let lane = |_| {
                let mut watch = make(Arc::clone(rules));
                watch.set_snapshot(Arc::clone(snapshot));
                watch
            };
            (0..LANES).map(lane).collect()
        };
        Exchange {
            began,
            watches: lanes(Watch::of_payers),
            by_thing: lanes(Watch::of_sightings),
            snapshot: Arc::clone(snapshot),
            queue: BinaryHeap::new(),
            n_queued: 0,
            calls: Vec::new(),
            knocks: Vec::new(),
            up: BTreeMap::new(),
            up_of: BTreeMap::new(),
            locks: BTreeMap::new(),
            bars: Bars::default(),
            gate: Gate::new(Arc::clone(rules), Arc::clone(snapshot)),
            next_tick: 0,
            n_events: 0,
            tolls: vec![Toll::default(); n_attacks],
            said: Vec::new(),
            locked: Vec::new(),
            tap: None,
        }
    }

    pub(super) fn n_events(&self) -> u64 {
        self.n_events
    }

    /// Takes the calls and knocks of a day, and lives it, up to `until`.
    pub(super) fn live(&mut self, calls: Vec<Planned>, knocks: Vec<Knock>, until: i64) {
        for call in calls {
            let idx = self.calls.len();
            self.queue(call.at, Step::Begin(idx));
            self.calls.push(call);
        }
        for knock in knocks {
            let idx = self.knocks.len();
            self.queue(knock.at, Step::Knock(idx));
            self.knocks.push(knock);
        }
        while let Some(Reverse((at, _, step))) = self.queue.peek().copied() {
            if at >= until {
                break;
            }
            self.queue.pop();
            self.pass(at);
            self.step(at, step);
        }
        self.pass(until);
    }

    fn queue(&mut self, at: i64, step: Step) {
        self.n_queued += 1;
        self.queue.push(Reverse((at, self.n_queued, step)));
    }

    /// Ticks up to `at`.
    fn pass(&mut self, at: i64) {
        while self.next_tick <= at {
            let now = self.next_tick;
            let tick = Body::Tick(self.time(now));
            for lane in 0..LANES {
                self.hand(now, lane, tick.clone());
            }
            self.next_tick += TICK;
        }
    }

    fn time(&self, at: i64) -> DateTime<Utc> {
        self.began + TimeDelta::milliseconds(at)
    }

    fn step(&mut self, at: i64, step: Step) {
        match step {
            Step::Knock(idx) => self.knock(at, idx),
            Step::Begin(idx) => self.begin(at, idx),
            Step::Answer(idx) => {
                let Some(up) = self.up.get_mut(&idx) else { return };
                up.answered_at = Some(at);
                let seconds = self.calls[idx].seconds.unwrap_or(0);
                self.queue(at + seconds * SECOND, Step::End(idx));
                self.queue(at + CHARGE_TICK, Step::ChargeTick(idx));
                let answer =
                    Answer { attempt: 1, code: 200, setup_us: 0, codec: "".into(), user_agent: "".into() };
                self.emit(at, idx, EventBody::Answer(answer));
            }
            Step::ChargeTick(idx) => {
                let Some(answered_at) = self.up.get(&idx).and_then(|up| up.answered_at) else { return };
                self.queue(at + CHARGE_TICK, Step::ChargeTick(idx));
                let answered_us = u64::try_from((at - answered_at) * 1_000).unwrap_or(0);
                self.emit(at, idx, EventBody::ChargeTick(ChargeTick { answered_us }));
            }
            Step::End(idx) => self.end(at, idx, false),
        }
    }

    fn knock(&mut self, at: i64, idx: usize) {
        let knock = &self.knocks[idx];
        let security = Security {
            what: SecurityKind::AuthFailed,
            source: SocketAddr::from((Ipv4Addr::from(knock.source), 5060)),
            user: knock.user.to_string(),
            detail: String::new(),
            count: 1,
        };
        let attack = knock.attack;
        if let Some(attack) = attack {
            self.tolls[attack].calls += 1;
        }
        let event = self.event(at, AccountId::NOBODY, None, 0, EventBody::Security(security));
        self.send(at, &event);
    }

    fn begin(&mut self, at: i64, idx: usize) {
        let call = &self.calls[idx];
        let (payer, vendor) = (call.payer, call.vendor);
        let is_locked = self.locks.get(&payer).is_some_and(|(level, until)| {
            level.blocks_outgoing() && until.is_none_or(|until| until > self.time(at))
        });
        let callee = call.callee;
        let is_refused = is_locked || self.bars.refuses(TenantId(1), payer, Some(callee), self.time(at));
        let call = &self.calls[idx];
        let caller = call.caller.clone();
        let attempt = Attempt {
            sip_call_id: "".into(),
            caller,
            from_user: "".into(),
            from_domain: "".into(),
            dialed: "".into(),
            dialed_domain: "".into(),
            cli: call.cli.and_then(E164::from_u64),
            clir: false,
            callee: E164::from_u64(call.callee),
            source: SocketAddr::from((Ipv4Addr::from(call.source), 5060)),
            transport: Transport::Udp,
            user_agent: "phone".into(),
            auth: AuthMethod::Digest,
            asserted_identity: "".into(),
            diversion: "".into(),
            detail: None,
        };
        let leg = call.leg;
        let is_screened = |gate: &Gate| gate.refuses(payer, leg, self.time(at), &attempt).is_some();
        let is_refused = is_refused || self.gate.as_ref().is_some_and(is_screened);
        self.up.insert(idx, Up { answered_at: None });
        self.up_of.entry(payer).or_default().insert(idx);
        self.emit(at, idx, EventBody::Attempt(Box::new(attempt)));
        if is_refused {
            self.gone(idx);
            if let Some(attack) = self.calls[idx].attack {
                self.tolls[attack].stopped += 1;
            }
            let rejected =
                Rejected { cause: Cause::LockedOut, code: 403, phrase: "".into(), object: "".into() };
            self.emit(at, idx, EventBody::Rejected(rejected));
            return;
        }
        // The watch may have ended it at once.
        if !self.up.contains_key(&idx) {
            return;
        }
        if let Some(trunk) = vendor {
            let route = RouteAttempt {
                attempt: 1,
                callee: Party::Trunk { trunk, account: AccountId::NOBODY },
                next_hop: ([192, 0, 2, 1], 5060).into(),
                caller_out: "".into(),
                callee_out: "".into(),
                sip_call_id: "".into(),
                login: None,
            };
            self.emit(at, idx, EventBody::RouteAttempt(route));
        }
        let call = &self.calls[idx];
        let next = if call.seconds.is_some() { Step::Answer(idx) } else { Step::End(idx) };
        self.queue(at + call.ring_ms, next);
    }

    /// The call is no longer up.
    fn gone(&mut self, idx: usize) -> Option<Up> {
        let up = self.up.remove(&idx)?;
        if let Some(of_payer) = self.up_of.get_mut(&self.calls[idx].payer) {
            of_payer.remove(&idx);
        }
        Some(up)
    }

    fn end(&mut self, at: i64, idx: usize, is_killed: bool) {
        let Some(up) = self.gone(idx) else { return };
        let answered_us = up.answered_at.map_or(0, |answered| (at - answered) * 1_000);
        let call = &self.calls[idx];
        if let Some(attack) = call.attack {
            let seconds = answered_us.div_euclid(1_000_000) + i64::from(answered_us % 1_000_000 > 0);
            let cost = self.snapshot.cost(call.payer, call.cli, call.callee, seconds);
            let toll = &mut self.tolls[attack];
            toll.calls += u64::from(!is_killed || seconds > 0);
            toll.stopped += u64::from(is_killed);
            toll.seconds += seconds;
            toll.cost += cost;
        }
        let end = End {
            answered_us: u64::try_from(answered_us).unwrap_or(0),
            by: if is_killed { Initiator::Operator } else { Initiator::Caller },
            cause: match (is_killed, up.answered_at) {
                (true, _) => Cause::Killed,
                (false, Some(_)) => Cause::Normal,
                (false, None) => Cause::Cancelled,
            },
            code: if up.answered_at.is_some() { 200 } else { 487 },
            reason: "".into(),
            media: None,
        };
        self.emit(at, idx, EventBody::End(end));
    }

    fn emit(&mut self, at: i64, idx: usize, body: EventBody) {
        let call = &self.calls[idx];
        let event = self.event(at, call.payer, Some(CallUid::new(format!("sim-{idx}"))), call.leg, body);
        self.send(at, &event);
    }

    fn event(
        &self,
        at: i64,
        payer: AccountId,
        call: Option<CallUid>,
        leg: u16,
        body: EventBody,
    ) -> CallEvent {
        CallEvent {
            node: "sim".into(),
            boot: 1,
            seq: 0,
            at: self.time(at),
            config_revision: 1,
            tenant: TenantId(1),
            payer,
            call,
            leg,
            body,
        }
    }

    fn send(&mut self, at: i64, event: &CallEvent) {
        self.n_events += 1;
        if let Some(tap) = &mut self.tap {
            tap(event);
        }
        self.hand(at, partition_of(event.payer, LANES), Body::Call(Box::new(event.clone())));
    }

    /// Hands a record to the watch that it is for, in a lane, and does what it says.
    fn hand(&mut self, at: i64, lane: u32, body: Body) {
        let watches = if matches!(body, Body::Sighting(_)) { &mut self.by_thing } else { &mut self.watches };
        let Some(watch) = usize::try_from(lane).ok().and_then(|lane| watches.get_mut(lane)) else {
            return;
        };
        let mut effects = Effects::default();
        let is_tick = matches!(body, Body::Tick(_));
        let input = StageInput { partition: lane, offset: 0, body };
        watch.apply(input.clone(), &mut effects);
        if let Some(by_thing) =
            usize::try_from(lane).ok().and_then(|lane| self.by_thing.get_mut(lane)).filter(|_| is_tick)
        {
            by_thing.apply(input, &mut effects);
        }
        for effect in effects.0 {
            match effect {
                Effect::Alert(alert) => self.said.push(Said { at, alert: *alert }),
                Effect::Append { topic: Topic::Sightings, key, body } => {
                    self.hand(at, partition_of(key, LANES), *body);
                }
                Effect::Append { body, .. } => self.obey(at, *body),
                Effect::Lock(lock) => {
                    if lock.level != LockLevel::None {
                        self.locked.push((at, lock.account));
                    }
                }
                Effect::Bar(_)
                | Effect::Profiles(_)
                | Effect::Stopped(_)
                | Effect::Post(_)
                | Effect::Suspend(_)
                | Effect::Export { .. }
                | Effect::Edr(_)
                | Effect::Repeated
                | Effect::AskAgain(_) => {}
            }
        }
    }

    fn obey(&mut self, at: i64, body: Body) {
        let Body::Control(control) = body else { return };
        match control {
            Control::LockChanged(lock) => {
                self.locks.insert(lock.account, (lock.level, lock.until));
            }
            Control::EndCallsOf { account } => {
                let up: Vec<usize> = self.up_of.get(&account).into_iter().flatten().copied().collect();
                up.into_iter().for_each(|idx| self.end(at, idx, true));
            }
            Control::EndCall { call } => {
                let idx = call.as_str().strip_prefix("sim-").and_then(|idx| idx.parse().ok());
                if let Some(idx) = idx {
                    self.end(at, idx, true);
                }
            }
            Control::BarringChanged(barring) => self.bars.set(barring),
            Control::ConfigChanged { .. } => {}
        }
    }
}
