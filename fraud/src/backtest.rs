//! A rule over stored calls: what it would have caught, what it would have stopped, and whom it would have locked.
//!
//! In: stored calls in the order of their INVITEs, and provisioning data for prices. Out: the incidents, and for each lock what the
//! account's calls cost from then to the lock's end. The calls become the events that they were once made from, signs of life among
//! them where a rule counts money, and pass through the watch as they would have. What a lock stops is stopped here too: those calls are counted as
//! blocked and are not watched.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Alert, Answer, Attempt, AuthMethod, Body, CallEvent, CallUid, Cause, CdrId, ChargeTick,
    Control, Directory, E164, Effect, Effects, End, EventBody, Initiator, LockLevel, PARTITIONS_DEFAULT,
    Party, RouteAttempt, Stage, StageInput, TenantId, Transport, TrunkId, partition_of,
};
use rust_decimal::Decimal;

use crate::barred::Bars;
use crate::rule::{Bound, Measure, Rule};
use crate::watch::{Gate, HotList, Watch, WatchRules, WatchSnapshot};

/// How often a call gave a sign of life.
const CHARGE_TICK: TimeDelta = TimeDelta::seconds(30);

/// How often the log's time moves on.
const TICK: TimeDelta = TimeDelta::seconds(60);

/// One leg as it was stored.
#[derive(Debug, Clone)]
pub struct StoredCall {
    /// Its record.
    pub cdr: CdrId,
    /// Its call and leg.
    pub call: CallUid,
    /// 0 is the call itself.
    pub leg: u16,
    /// Who pays.
    pub payer: AccountId,
    /// Who calls.
    pub caller: Party,
    /// Where the INVITE came from.
    pub source: SocketAddr,
    /// User agent, or empty.
    pub user_agent: String,
    /// Calling number.
    pub cli: Option<E164>,
    /// Number called.
    pub callee: Option<E164>,
    /// Who carried it on.
    pub vendor: Option<TrunkId>,
    /// The INVITE.
    pub init_at: DateTime<Utc>,
    /// The final answer.
    pub start_at: DateTime<Utc>,
    /// Answered for so long, microseconds; `None` if never.
    pub answered_us: Option<u64>,
    /// What it cost the payer, in currency units.
    pub cost: Decimal,
}

/// A lock that would have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WouldLock {
    /// Whom.
    pub account: AccountId,
    /// The rule.
    pub rule: String,
    /// When.
    pub at: DateTime<Utc>,
    /// Calls it would have refused or cut.
    pub n_blocked: u64,
    /// What those cost: the whole of a refused one, of a cut one what came after the cut.
    pub saved: Decimal,
}

/// What a back-test found.
#[derive(Debug, Default)]
pub struct BacktestReport {
    /// Calls looked at.
    pub n_calls: u64,
    /// Incidents, each as first told.
    pub incidents: Vec<Alert>,
    /// Locks, in order.
    pub locks: Vec<WouldLock>,
    /// Calls that would have been refused or ended, by a lock or singly.
    pub n_blocked: u64,
    /// What those cost.
    pub saved: Decimal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Answer,
    ChargeTick,
    End,
}

/// A back-test on its way.
pub struct Backtest {
    watches: Vec<Watch>,
    has_ticks: bool,
    queue: BinaryHeap<Reverse<(DateTime<Utc>, u64, Step)>>,
    up: BTreeMap<u64, StoredCall>,
    by_uid: BTreeMap<(String, u16), u64>,
    up_of: BTreeMap<AccountId, Vec<u64>>,
    /// Whether and until when an account is locked, and which of the report's locks that is.
    locked: BTreeMap<AccountId, (Option<DateTime<Utc>>, usize)>,
    bars: Bars,
    gate: Option<Gate>,
    tenants: BTreeMap<AccountId, TenantId>,
    next_tick: Option<DateTime<Utc>>,
    n_started: u64,
    report: BacktestReport,
    /// Incidents before this are of the time in which the watch learned.
    from: DateTime<Utc>,
}

impl Backtest {
    /// Rules act as they say. Calls before `from` are watched, so that rules have learned by then, and not reported.
    pub fn new(
        rules: Vec<Rule>,
        hot: HotList,
        never_originate: HotList,
        directory: Arc<Directory>,
        from: DateTime<Utc>,
    ) -> Self {
        let counts_money = |rule: &Rule| {
            rule.conditions.iter().any(|condition| {
                condition.measure == Measure::Cost || matches!(condition.bound, Bound::AboveUsual(_))
            })
        };
        let has_ticks = rules.iter().any(counts_money);
        let rules = Arc::new(WatchRules::new(rules, hot, never_originate, Vec::new()));
        let tenants = directory.accounts.iter().map(|account| (account.id, account.tenant)).collect();
        let snapshot = Arc::new(WatchSnapshot::build(directory));
        let gate = Gate::new(Arc::clone(&rules), Arc::clone(&snapshot));
        let watches = (0..PARTITIONS_DEFAULT)
            .map(|_| {
                let mut watch = Watch::new(Arc::clone(&rules));
                watch.set_snapshot(Arc::clone(&snapshot));
                watch
            })
            .collect();
        Self {
            watches,
            has_ticks,
            queue: BinaryHeap::new(),
            up: BTreeMap::new(),
            by_uid: BTreeMap::new(),
            up_of: BTreeMap::new(),
            locked: BTreeMap::new(),
            bars: Bars::default(),
            gate,
            tenants,
            next_tick: None,
            n_started: 0,
            report: BacktestReport::default(),
            from,
        }
    }

    /// The next call, in the order of their INVITEs.
    pub fn call(&mut self, call: StoredCall) {
        self.pass(call.init_at);
        self.report.n_calls += u64::from(call.init_at >= self.from);
        if let Some((until, lock)) = self.locked.get(&call.payer).copied()
            && until.is_none_or(|until| until > call.init_at)
        {
            let cost = call.cost;
            self.blocked(lock, cost, call.init_at);
            return;
        }
        let tenant = self.tenants.get(&call.payer).copied().unwrap_or_default();
        if self.bars.refuses(tenant, call.payer, call.callee.map(E164::as_u64), call.init_at) {
            self.blocked_singly(call.cost, call.init_at);
            return;
        }
        self.n_started += 1;
        let n = self.n_started;
        let attempt = Attempt {
            sip_call_id: String::new(),
            caller: call.caller.clone(),
            from_user: String::new(),
            from_domain: String::new(),
            dialed: String::new(),
            dialed_domain: String::new(),
            cli: call.cli,
            clir: false,
            callee: call.callee,
            source: call.source,
            transport: Transport::Udp,
            user_agent: call.user_agent.clone(),
            auth: AuthMethod::Digest,
            asserted_identity: String::new(),
            diversion: String::new(),
            detail: None,
        };
        let is_screened = self
            .gate
            .as_ref()
            .is_some_and(|gate| gate.refuses(call.payer, call.leg, call.init_at, &attempt).is_some());
        let cost = call.cost;
        let (init_at, start_at, vendor) = (call.init_at, call.start_at.max(call.init_at), call.vendor);
        let is_answered = call.answered_us.is_some();
        self.by_uid.insert((call.call.as_str().to_owned(), call.leg), n);
        self.up_of.entry(call.payer).or_default().push(n);
        self.up.insert(n, call);
        self.emit(init_at, n, EventBody::Attempt(Box::new(attempt)));
        if is_screened && self.up.contains_key(&n) {
            self.blocked_singly(cost, init_at);
            self.end(init_at, n, 0);
            return;
        }
        if let Some(trunk) = vendor.filter(|_| self.up.contains_key(&n)) {
            let route = RouteAttempt {
                attempt: 1,
                callee: Party::Trunk { trunk, account: AccountId::NOBODY },
                next_hop: ([0, 0, 0, 0], 0).into(),
                caller_out: String::new(),
                callee_out: String::new(),
                sip_call_id: String::new(),
                login: None,
            };
            self.emit(init_at, n, EventBody::RouteAttempt(route));
        }
        self.queue.push(Reverse((start_at, n, if is_answered { Step::Answer } else { Step::End })));
    }

    /// Lets the calls that are up come to their ends; what was found.
    pub fn finish(mut self) -> BacktestReport {
        self.pass(DateTime::<Utc>::MAX_UTC);
        self.report
    }

    fn pass(&mut self, until: DateTime<Utc>) {
        while let Some(Reverse((at, n, step))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.tick(at);
            self.step(at, n, step);
        }
        if until < DateTime::<Utc>::MAX_UTC {
            self.tick(until);
        }
    }

    fn tick(&mut self, at: DateTime<Utc>) {
        if self.next_tick.is_some_and(|next| at < next) {
            return;
        }
        self.next_tick = at.checked_add_signed(TICK);
        for lane in 0..PARTITIONS_DEFAULT {
            self.hand(at, lane, Body::Tick(at));
        }
    }

    fn step(&mut self, at: DateTime<Utc>, n: u64, step: Step) {
        let Some(call) = self.up.get(&n) else { return };
        let answered_us = call.answered_us.unwrap_or(0);
        let since = at.signed_duration_since(call.start_at.max(call.init_at));
        let end_at = call.start_at.max(call.init_at)
            + TimeDelta::microseconds(i64::try_from(answered_us).unwrap_or(i64::MAX / 4));
        match step {
            Step::Answer => {
                let answer = Answer {
                    attempt: 1,
                    code: 200,
                    setup_us: 0,
                    codec: String::new(),
                    user_agent: String::new(),
                };
                self.queue.push(Reverse((end_at, n, Step::End)));
                if self.has_ticks && at + CHARGE_TICK < end_at {
                    self.queue.push(Reverse((at + CHARGE_TICK, n, Step::ChargeTick)));
                }
                self.emit(at, n, EventBody::Answer(answer));
            }
            Step::ChargeTick => {
                if at + CHARGE_TICK < end_at {
                    self.queue.push(Reverse((at + CHARGE_TICK, n, Step::ChargeTick)));
                }
                let so_far = since.num_microseconds().and_then(|us| u64::try_from(us).ok()).unwrap_or(0);
                self.emit(at, n, EventBody::ChargeTick(ChargeTick { answered_us: so_far }));
            }
            Step::End => self.end(at, n, answered_us),
        }
    }

    fn end(&mut self, at: DateTime<Utc>, n: u64, answered_us: u64) {
        let Some(call) = self.up.get(&n) else { return };
        let end = End {
            answered_us,
            by: Initiator::Caller,
            cause: if answered_us > 0 { Cause::Normal } else { Cause::Cancelled },
            code: if call.answered_us.is_some() { 200 } else { 487 },
            reason: String::new(),
            media: None,
        };
        let event = event(at, call, EventBody::End(end));
        self.by_uid.remove(&(call.call.as_str().to_owned(), call.leg));
        if let Some(up) = self.up_of.get_mut(&call.payer) {
            up.retain(|other| *other != n);
        }
        let payer = call.payer;
        self.up.remove(&n);
        self.hand(at, partition_of(payer, PARTITIONS_DEFAULT), Body::Call(event));
    }

    fn emit(&mut self, at: DateTime<Utc>, n: u64, body: EventBody) {
        let Some(call) = self.up.get(&n) else { return };
        let payer = call.payer;
        let event = event(at, call, body);
        self.hand(at, partition_of(payer, PARTITIONS_DEFAULT), Body::Call(event));
    }

    fn hand(&mut self, at: DateTime<Utc>, lane: u32, body: Body) {
        let Some(watch) = usize::try_from(lane).ok().and_then(|lane| self.watches.get_mut(lane)) else {
            return;
        };
        let mut effects = Effects::default();
        watch.apply(StageInput { partition: lane, offset: 0, body }, &mut effects);
        for effect in effects.0 {
            match effect {
                Effect::Alert(alert) => {
                    if alert.update == 0 && at >= self.from {
                        self.report.incidents.push(*alert);
                    }
                }
                Effect::Lock(lock) => {
                    if lock.level == LockLevel::None {
                        self.locked.remove(&lock.account);
                        continue;
                    }
                    self.locked.insert(lock.account, (lock.until, self.report.locks.len()));
                    self.report.locks.push(WouldLock {
                        account: lock.account,
                        rule: lock.reason.clone(),
                        at,
                        n_blocked: 0,
                        saved: Decimal::ZERO,
                    });
                }
                Effect::Append { body, .. } => self.obey(at, &body),
                Effect::Bar(_)
                | Effect::Post(_)
                | Effect::Suspend(_)
                | Effect::Export { .. }
                | Effect::Edr(_)
                | Effect::Repeated => {}
            }
        }
    }

    fn obey(&mut self, at: DateTime<Utc>, body: &Body) {
        let Body::Control(control) = body else { return };
        match control {
            Control::EndCall { call } => {
                let legs: Vec<u64> = self
                    .by_uid
                    .range((call.as_str().to_owned(), 0)..=(call.as_str().to_owned(), u16::MAX))
                    .map(|(_, n)| *n)
                    .collect();
                legs.into_iter().for_each(|n| self.cut(at, n));
            }
            Control::EndCallsOf { account } => {
                let up = self.up_of.get(account).cloned().unwrap_or_default();
                up.into_iter().for_each(|n| self.cut(at, n));
            }
            Control::BarringChanged(barring) => self.bars.set(barring.clone()),
            Control::LockChanged(_) | Control::ConfigChanged { .. } => {}
        }
    }

    /// The call would have ended here.
    fn cut(&mut self, at: DateTime<Utc>, n: u64) {
        let Some(call) = self.up.get(&n) else { return };
        let whole = call.answered_us.unwrap_or(0);
        let since = at.signed_duration_since(call.start_at.max(call.init_at));
        let so_far = since.num_microseconds().and_then(|us| u64::try_from(us).ok()).unwrap_or(0).min(whole);
        // What came after, in proportion.
        let rest = Decimal::from(whole - so_far).checked_div(Decimal::from(whole)).unwrap_or_default();
        let saved = call.cost.checked_mul(rest).unwrap_or_default();
        let lock = self.locked.get(&call.payer).map(|(_, lock)| *lock);
        match lock {
            Some(lock) => self.blocked(lock, saved, at),
            None => self.blocked_singly(saved, at),
        }
        self.end(at, n, so_far);
    }

    fn blocked(&mut self, lock: usize, saved: Decimal, at: DateTime<Utc>) {
        if let Some(lock) = self.report.locks.get_mut(lock) {
            lock.n_blocked += 1;
            lock.saved = lock.saved.checked_add(saved).unwrap_or(lock.saved);
        }
        self.blocked_singly(saved, at);
    }

    fn blocked_singly(&mut self, saved: Decimal, at: DateTime<Utc>) {
        if at >= self.from {
            self.report.n_blocked += 1;
            self.report.saved = self.report.saved.checked_add(saved).unwrap_or(self.report.saved);
        }
    }
}

fn event(at: DateTime<Utc>, call: &StoredCall, body: EventBody) -> CallEvent {
    CallEvent {
        node: String::new(),
        boot: 0,
        seq: 0,
        at,
        config_revision: 0,
        tenant: TenantId(0),
        payer: call.payer,
        call: Some(call.call.clone()),
        leg: call.leg,
        body,
    }
}
