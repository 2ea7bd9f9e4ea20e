//! A rule over stored calls: what it would have caught, what it would have stopped, and whom it would have locked.
//!
//! In: stored calls in the order of their INVITEs, and provisioning data for prices. Out: the incidents, and for each lock what the
//! account's calls cost from then to the lock's end. Each call passes through the watch as it once did: attempt, answer, signs of life where
//! a rule counts money, end. A call that no rule looks at is not followed. What a lock stops is stopped here too: those calls are counted as
//! blocked and are not watched.
//!
//! What a rule counts by the payer knows nothing of other lanes, so that [`Backtest::split`] gives lanes to as many threads as there are. A rule
//! that counts by something else, or bars numbers for everybody, needs all calls in one order: then there is one lane, with room for all.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, Alert, Body, CallUid, CdrId, Control, Directory, Effect, Effects, LockLevel,
    PARTITIONS_DEFAULT, Stage, StageInput, SubscriberId, TenantId, TrunkId, partition_of,
};
use rust_decimal::Decimal;

use crate::barred::Bars;
use crate::rule::{Action, Barred, Rule};
use crate::watch::{
    Asking, Gate, HotList, Past, Watch, WatchRules, WatchSnapshot, WatchedCall, counts_over_payers,
};

pub use crate::watch::{agent_hash, name_hash};

/// How often a call gave a sign of life.
const CHARGE_TICK: TimeDelta = TimeDelta::seconds(30);

/// How often the log's time moves on, at whole minutes.
const TICK_SECONDS: i64 = 60;

/// Calls remembered for one account before those that are over are cleared away.
const UP_TIDIED_AT: usize = 16;

/// Incidents, and locks, that a report keeps; further ones are counted.
pub const ROWS_MAX: usize = 10_000;

/// One leg as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCall {
    /// Its record.
    pub cdr: CdrId,
    /// Its call, by [`name_hash`].
    pub call: u64,
    /// 0 is the call itself.
    pub leg: u16,
    /// Who pays.
    pub payer: AccountId,
    /// Which subscriber calls, if one.
    pub subscriber: Option<SubscriberId>,
    /// The trunk it came from, if from one.
    pub trunk: Option<TrunkId>,
    /// Where the INVITE came from.
    pub source: IpAddr,
    /// The user agent, by [`agent_hash`].
    pub user_agent: u64,
    /// Calling number, E.164 digits.
    pub cli: Option<u64>,
    /// Number called.
    pub callee: Option<u64>,
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
#[derive(Debug, Default, PartialEq, Eq)]
pub struct BacktestReport {
    /// Calls looked at.
    pub n_calls: u64,
    /// Incidents.
    pub n_incidents: usize,
    /// The first [`ROWS_MAX`] of these, each as first told, in order.
    pub incidents: Vec<Alert>,
    /// Locks.
    pub n_locks: usize,
    /// The first [`ROWS_MAX`] of these, in order.
    pub locks: Vec<WouldLock>,
    /// Calls that would have been refused or ended, by a lock or singly.
    pub n_blocked: u64,
    /// What those cost.
    pub saved: Decimal,
}

impl BacktestReport {
    /// What several parts found together.
    pub fn merge(parts: impl IntoIterator<Item = BacktestReport>) -> Self {
        let mut whole = parts.into_iter().fold(BacktestReport::default(), |mut whole, part| {
            whole.n_calls += part.n_calls;
            whole.n_incidents += part.n_incidents;
            whole.incidents.extend(part.incidents);
            whole.n_locks += part.n_locks;
            whole.locks.extend(part.locks);
            whole.n_blocked += part.n_blocked;
            whole.saved = whole.saved.checked_add(part.saved).unwrap_or(whole.saved);
            whole
        });
        whole.incidents.sort_by_key(|alert| (alert.at, alert.id));
        whole.incidents.truncate(ROWS_MAX);
        whole.locks.sort_by_key(|lock| (lock.at, lock.account));
        whole.locks.truncate(ROWS_MAX);
        whole
    }
}

/// The lane that the calls of an account lie in, of as many as an installation has.
fn lane_of(payer: AccountId) -> usize {
    usize::try_from(partition_of(payer, PARTITIONS_DEFAULT)).unwrap_or(0)
}

/// As many as an installation has.
const LANES: usize = PARTITIONS_DEFAULT as usize;

/// A back-test on its way.
pub struct Backtest {
    /// All, or one for all calls.
    lanes: Vec<Lane>,
    bars: Bars,
}

impl Backtest {
    /// Rules act as they say. Calls before `from` are watched, so that rules have learned by then, and not reported.
    pub fn new(
        rules: Vec<Rule>,
        hot: impl Into<Arc<HotList>>,
        never_originate: impl Into<Arc<HotList>>,
        directory: Arc<Directory>,
        from: DateTime<Utc>,
    ) -> Self {
        let bars_everybody = rules
            .iter()
            .any(|rule| rule.actions.contains(&Action::BlockRange) && rule.block == Barred::Everybody);
        let stops = [Action::EndCall, Action::EndCalls];
        let is_one = bars_everybody || rules.iter().any(counts_over_payers);
        let has_cuts = rules.iter().any(|rule| stops.iter().any(|stop| rule.actions.contains(stop)));
        let rules = Arc::new(WatchRules::new(rules, hot, never_originate, Vec::new()));
        let tenants: Arc<HashMap<AccountId, TenantId>> =
            Arc::new(directory.accounts.iter().map(|account| (account.id, account.tenant)).collect());
        // Who is locked, or left alone, today was not when those calls were made.
        let directory = Directory {
            locks: Vec::new(),
            barrings: Vec::new(),
            fraud_exceptions: Vec::new(),
            ..Directory::clone(&directory)
        };
        let snapshot = Arc::new(WatchSnapshot::build(Arc::new(directory)));
        let gate = Gate::new(Arc::clone(&rules), Arc::clone(&snapshot)).map(Arc::new);
        let lanes = (0..if is_one { 1 } else { PARTITIONS_DEFAULT })
            .map(|number| {
                let mut watch = Watch::new(Arc::clone(&rules));
                if is_one {
                    watch.make_room_for_lanes(LANES);
                }
                watch.set_snapshot(Arc::clone(&snapshot));
                Lane {
                    number,
                    has_ticks: watch.asks_running_cost(),
                    has_cuts,
                    watch,
                    queue: BinaryHeap::new(),
                    up: Vec::new(),
                    free: Vec::new(),
                    up_of: HashMap::new(),
                    locked: HashMap::new(),
                    gate: gate.clone(),
                    tenants: Arc::clone(&tenants),
                    next_tick: 0,
                    n_started: 0,
                    report: BacktestReport::default(),
                    from,
                    effects: Effects::default(),
                }
            })
            .collect();
        Self { lanes, bars: Bars::default() }
    }

    /// The next call, in the order of their INVITEs.
    pub fn call(&mut self, call: StoredCall) {
        let place = if self.lanes.len() == 1 { 0 } else { lane_of(call.payer) };
        if let Some(lane) = self.lanes.get_mut(place) {
            lane.call(call, &mut self.bars);
        }
    }

    /// Lets the calls that are up come to their ends; what was found.
    pub fn finish(self) -> BacktestReport {
        let Backtest { lanes, mut bars, .. } = self;
        BacktestReport::merge(lanes.into_iter().map(|lane| lane.finish(&mut bars)))
    }

    /// In up to `n` shares that know nothing of each other, each of some lanes; in one where a rule needs all calls.
    pub fn split(self, n: usize) -> Vec<BacktestShare> {
        let n = n.clamp(1, self.lanes.len());
        if n == 1 {
            return vec![BacktestShare { n, whole: self }];
        }
        let mut shares: Vec<Backtest> =
            (0..n).map(|_| Backtest { lanes: Vec::new(), bars: Bars::default() }).collect();
        for (place, lane) in self.lanes.into_iter().enumerate() {
            shares[place % n].lanes.push(lane);
        }
        shares.into_iter().map(|whole| BacktestShare { n, whole }).collect()
    }
}

/// Some lanes of a back-test, for a thread of its own.
pub struct BacktestShare {
    n: usize,
    whole: Backtest,
}

impl BacktestShare {
    /// Which of the shares takes the calls of an account.
    pub fn place_of(n_shares: usize, payer: AccountId) -> usize {
        lane_of(payer) % n_shares.max(1)
    }

    /// The next call of this share, in the order of their INVITEs.
    pub fn call(&mut self, call: StoredCall) {
        if self.n == 1 {
            self.whole.call(call);
        } else if let Some(lane) = self.whole.lanes.get_mut(lane_of(call.payer) / self.n) {
            lane.call(call, &mut self.whole.bars);
        }
    }

    /// Lets the calls that are up come to their ends; what was found.
    pub fn finish(self) -> BacktestReport {
        self.whole.finish()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Answer,
    ChargeTick,
    End,
}

/// What happens next: when, to which call, what, and the call's place.
type Due = (DateTime<Utc>, u64, Step, usize);

/// A call that a rule looks at.
struct Followed {
    n: u64,
    call: WatchedCall,
    stored: UpCall,
}

/// What is known of any call that is up.
#[derive(Debug, Clone, Copy)]
struct UpCall {
    payer: AccountId,
    tenant: TenantId,
    call: u64,
    cdr: CdrId,
    start_at: DateTime<Utc>,
    end_at: DateTime<Utc>,
    answered_us: Option<u64>,
    cost: Decimal,
    /// Which of the followed ones it is, if it is one, and its number there.
    followed: Option<(usize, u64)>,
}

struct Lane {
    number: u32,
    watch: Watch,
    has_ticks: bool,
    /// Some rule ends calls, so that it matters which are up.
    has_cuts: bool,
    queue: BinaryHeap<Reverse<Due>>,
    up: Vec<Option<Followed>>,
    free: Vec<usize>,
    /// Those that are over may still be there.
    up_of: HashMap<AccountId, Vec<UpCall>>,
    /// Whether and until when an account is locked, and which of the report's locks that is.
    locked: HashMap<AccountId, (Option<DateTime<Utc>>, usize)>,
    gate: Option<Arc<Gate>>,
    tenants: Arc<HashMap<AccountId, TenantId>>,
    /// Seconds since 1970; 0 before the first.
    next_tick: i64,
    n_started: u64,
    report: BacktestReport,
    /// Incidents before this are of the time in which the watch learned.
    from: DateTime<Utc>,
    effects: Effects,
}

impl Lane {
    fn call(&mut self, call: StoredCall, bars: &mut Bars) {
        self.pass(call.init_at, bars);
        self.report.n_calls += u64::from(call.init_at >= self.from);
        if !self.locked.is_empty()
            && let Some((until, lock)) = self.locked.get(&call.payer).copied()
            && until.is_none_or(|until| until > call.init_at)
        {
            self.blocked(lock, call.cost, call.init_at);
            return;
        }
        let tenant = self.tenants.get(&call.payer).copied().unwrap_or_default();
        if !bars.is_empty() && bars.refuses(tenant, call.payer, call.callee, call.init_at) {
            self.blocked_singly(call.cost, call.init_at);
            return;
        }
        let asking = Asking {
            subscriber: call.subscriber,
            trunk: call.trunk,
            source: call.source,
            cli: call.cli,
            callee: call.callee,
            user_agent: call.user_agent,
            is_diverted: false,
            is_emergency: false,
        };
        let is_screened = self
            .gate
            .as_ref()
            .is_some_and(|gate| gate.refuses_asking(call.payer, call.leg, call.init_at, &asking).is_some());
        let start_at = call.start_at.max(call.init_at);
        let answered =
            TimeDelta::microseconds(i64::try_from(call.answered_us.unwrap_or(0)).unwrap_or(i64::MAX / 4));
        let stored = UpCall {
            payer: call.payer,
            tenant,
            call: call.call,
            cdr: call.cdr,
            start_at,
            end_at: start_at + answered,
            answered_us: call.answered_us,
            cost: call.cost,
            followed: None,
        };
        let past = stored.at(call.init_at);
        let began = self.watch.stored_begins(&past, call.payer, call.leg, &asking, &mut self.effects);
        let Some(mut watched) = began else {
            if is_screened {
                self.blocked_singly(call.cost, call.init_at);
            } else if self.has_cuts {
                self.note_up(stored, call.init_at);
            }
            return;
        };
        self.n_started += 1;
        let n = self.n_started;
        if !is_screened && let Some(vendor) = call.vendor {
            self.watch.stored_carried(&mut watched, vendor, &past, &mut self.effects);
        }
        let place = self.free.pop().unwrap_or_else(|| {
            self.up.push(None);
            self.up.len() - 1
        });
        let stored = UpCall { followed: Some((place, n)), ..stored };
        self.up[place] = Some(Followed { n, call: watched, stored });
        if self.has_cuts {
            self.note_up(stored, call.init_at);
        }
        self.obey(call.init_at, bars);
        if !self.is_up(place, n) {
            return;
        }
        if is_screened {
            self.blocked_singly(call.cost, call.init_at);
            self.end(call.init_at, place, 0, bars);
            return;
        }
        let next = if call.answered_us.is_some() { Step::Answer } else { Step::End };
        self.queue.push(Reverse((start_at, n, next, place)));
    }

    fn is_up(&self, place: usize, n: u64) -> bool {
        self.up.get(place).and_then(Option::as_ref).is_some_and(|up| up.n == n)
    }

    fn note_up(&mut self, call: UpCall, now: DateTime<Utc>) {
        let up = self.up_of.entry(call.payer).or_default();
        if up.len() >= UP_TIDIED_AT && up.len().is_power_of_two() {
            up.retain(|other| other.end_at > now);
        }
        up.push(call);
    }

    fn finish(mut self, bars: &mut Bars) -> BacktestReport {
        self.pass(DateTime::<Utc>::MAX_UTC, bars);
        self.report
    }

    fn pass(&mut self, until: DateTime<Utc>, bars: &mut Bars) {
        while let Some(Reverse((at, n, step, place))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.tick(at, bars);
            self.step(at, n, step, place, bars);
        }
        if until < DateTime::<Utc>::MAX_UTC {
            self.tick(until, bars);
        }
    }

    fn tick(&mut self, at: DateTime<Utc>, bars: &mut Bars) {
        let seconds = at.timestamp();
        if seconds < self.next_tick {
            return;
        }
        self.next_tick = (seconds.div_euclid(TICK_SECONDS) + 1) * TICK_SECONDS;
        self.watch
            .apply(StageInput { partition: self.number, offset: 0, body: Body::Tick(at) }, &mut self.effects);
        self.obey(at, bars);
    }

    fn step(&mut self, at: DateTime<Utc>, n: u64, step: Step, place: usize, bars: &mut Bars) {
        let Some(up) = self.up.get_mut(place).and_then(Option::as_mut).filter(|up| up.n == n) else { return };
        let past = up.stored.at(at);
        let tick_at = |stored: &UpCall| Some(at + CHARGE_TICK).filter(|next| *next < stored.end_at);
        match step {
            Step::Answer => {
                self.queue.push(Reverse((up.stored.end_at, n, Step::End, place)));
                if let Some(next) = tick_at(&up.stored).filter(|_| self.has_ticks) {
                    self.queue.push(Reverse((next, n, Step::ChargeTick, place)));
                }
                self.watch.stored_answered(&mut up.call, &past, &mut self.effects);
                self.obey(at, bars);
            }
            Step::ChargeTick => {
                if let Some(next) = tick_at(&up.stored) {
                    self.queue.push(Reverse((next, n, Step::ChargeTick, place)));
                }
                let seconds = up.stored.answered_by(at).div_ceil(1_000_000);
                self.watch.stored_alive(&mut up.call, seconds, &past, &mut self.effects);
                self.obey(at, bars);
            }
            Step::End => {
                let answered_us = up.stored.answered_us.unwrap_or(0);
                self.end(at, place, answered_us, bars);
            }
        }
    }

    fn end(&mut self, at: DateTime<Utc>, place: usize, answered_us: u64, bars: &mut Bars) {
        let Some(up) = self.up.get_mut(place).and_then(Option::take) else { return };
        self.free.push(place);
        let past = up.stored.at(at);
        self.watch.stored_ended(up.call, answered_us.div_ceil(1_000_000), &past, &mut self.effects);
        self.obey(at, bars);
    }

    /// Does what the watch said.
    fn obey(&mut self, at: DateTime<Utc>, bars: &mut Bars) {
        while !self.effects.0.is_empty() {
            for effect in std::mem::take(&mut self.effects.0) {
                match effect {
                    Effect::Alert(alert) => {
                        if alert.update == 0 && at >= self.from {
                            self.report.n_incidents += 1;
                            if self.report.incidents.len() < ROWS_MAX {
                                self.report.incidents.push(*alert);
                            }
                        }
                    }
                    Effect::Lock(lock) => {
                        if lock.level == LockLevel::None {
                            self.locked.remove(&lock.account);
                            continue;
                        }
                        // One that is not kept has a place where nothing is.
                        self.locked.insert(lock.account, (lock.until, self.report.n_locks));
                        self.report.n_locks += 1;
                        if self.report.locks.len() < ROWS_MAX {
                            self.report.locks.push(WouldLock {
                                account: lock.account,
                                rule: lock.reason.clone(),
                                at,
                                n_blocked: 0,
                                saved: Decimal::ZERO,
                            });
                        }
                    }
                    Effect::Append { key, body, .. } => self.control(at, key, &body, bars),
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
    }

    fn control(&mut self, at: DateTime<Utc>, payer: AccountId, body: &Body, bars: &mut Bars) {
        let Body::Control(control) = body else { return };
        match control {
            Control::EndCall { call } => {
                let of_payer = self.up_of.get(&payer).into_iter().flatten();
                let cut: Vec<UpCall> = of_payer.filter(|up| is_called(call, up.call)).copied().collect();
                cut.into_iter().for_each(|up| self.cut(at, up, bars));
            }
            Control::EndCallsOf { account } => {
                let up = self.up_of.remove(account).unwrap_or_default();
                up.into_iter().for_each(|up| self.cut(at, up, bars));
            }
            Control::BarringChanged(barring) => bars.set(barring.clone()),
            Control::LockChanged(_) | Control::ConfigChanged { .. } => {}
        }
    }

    /// The call would have ended here.
    fn cut(&mut self, at: DateTime<Utc>, up: UpCall, bars: &mut Bars) {
        let is_up = match up.followed {
            Some((place, n)) => self.is_up(place, n),
            // Nothing happens to a call that nobody looks at but its end.
            None => up.end_at > at,
        };
        if !is_up {
            return;
        }
        let whole = up.answered_us.unwrap_or(0);
        let so_far = up.answered_by(at).min(whole);
        // What came after, in proportion.
        let rest = Decimal::from(whole - so_far).checked_div(Decimal::from(whole)).unwrap_or_default();
        let saved = up.cost.checked_mul(rest).unwrap_or_default();
        match self.locked.get(&up.payer).map(|(_, lock)| *lock) {
            Some(lock) => self.blocked(lock, saved, at),
            None => self.blocked_singly(saved, at),
        }
        if let Some((place, _)) = up.followed {
            self.end(at, place, so_far, bars);
        } else if let Some(others) = self.up_of.get_mut(&up.payer) {
            others.retain(|other| other.cdr != up.cdr);
        }
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

impl UpCall {
    fn at(&self, at: DateTime<Utc>) -> Past {
        Past { at, tenant: self.tenant, call: self.call, cdr: self.cdr }
    }

    /// Microseconds of answer by a moment.
    fn answered_by(&self, at: DateTime<Utc>) -> u64 {
        let since = at.signed_duration_since(self.start_at);
        since.num_microseconds().and_then(|us| u64::try_from(us).ok()).unwrap_or(0)
    }
}

/// Whether an order names this call.
fn is_called(named: &CallUid, call: u64) -> bool {
    named.as_str().parse() == Ok(call)
}
