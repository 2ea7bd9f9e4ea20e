//! The watch of one lane: counts calls as they happen, for whom the rules want, and fires when a rule is crossed.
//!
//! In: events of the switch and ticks, rules, and snapshots of the provisioning data. Out: alerts, one for each incident with its
//! updates; locks; orders to end calls; and, for the spend limits, what calls in progress have cost so far. It decides at the INVITE,
//! the answer, each sign of life and the end, and never waits for a price.

mod baseline;
mod cell;
mod count;
mod country;
mod distinct;
mod facts;
mod gate;
mod hot_list;
mod judge;
mod price_list;
mod shared;
mod snapshot;
mod state;
mod stopped;
mod stored;
mod subjects;
mod zones;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, Accrual, Attempt, Body, CallEvent, CallUid, Cause, CdrId, Effect, Effects, EventBody,
    Money, Party, Registration, RegistrationChange, Security, SecurityKind, SightedBy, SightingStep, Stage,
    StageInput, StateChange, TenantId, Topic, TrunkId,
};
use rust_decimal::Decimal;

pub(crate) use distinct::mix;
pub use distinct::mix_text as name_hash;
pub(crate) use facts::Asking;
pub use facts::agent_hash;
pub use gate::Gate;
pub use hot_list::{HOT_LIST_MAX, HotList, HotListBuilder, HotListFault};
pub(crate) use shared::counts_over_payers;
pub use snapshot::{WatchRules, WatchSnapshot};
pub(crate) use state::OpenCall as WatchedCall;
pub(crate) use stored::Past;
pub use subjects::SUBJECTS_MAX;

use crate::locking;
use crate::rule::{Flow, Key, MONEY_SCALE};
use cell::Sum;
use count::is_by_payer;
use distinct::mix_text;
use facts::{Facts, Flag};
use shared::{Scope, Seen};
use state::{CallKey, OpenCall, WatchState};
use subjects::{AccountMemory, SubjectKey};
use zones::Zones;

/// Calls followed at once in one lane; a switch holds 20,000. Further ones are not watched.
pub const CALLS_OPEN_MAX: usize = 50_000;

/// A call that was not heard of for so long is over; a ringing one gives no sign of life.
const CALL_SILENT_MAX: TimeDelta = TimeDelta::minutes(10);

/// A country is new to an account for so many hours after the first call.
const NEW_COUNTRY_HOURS: i64 = 7 * 24;

/// A user agent is new for so many.
const NEW_USER_AGENT_HOURS: i64 = 24;

/// Accounts first seen within so many seconds of the watch's own beginning were there before it.
const ACCOUNTS_KNOWN_AFTER: i64 = 14 * 86_400;

/// Answered calls shorter than this many seconds are short.
const SHORT_SECONDS: u64 = 10;

/// Unanswered calls given up within so many milliseconds rang once.
const SHORT_RING_MS: i64 = 5_000;

/// The watch of one lane.
#[derive(Debug)]
pub struct Watch {
    scope: Scope,
    rules: Arc<WatchRules>,
    snapshot: Arc<WatchSnapshot>,
    state: WatchState,
    zones: Zones,
}

/// One input at work: the state that it changes, and what it is judged by.
struct Work<'a> {
    scope: Scope,
    rules: &'a WatchRules,
    snapshot: &'a WatchSnapshot,
    state: &'a mut WatchState,
    zones: &'a mut Zones,
}

impl Watch {
    /// A watch over all calls, that counts every rule itself. It has seen nothing, and knows no account before [`Self::set_snapshot`].
    pub fn new(rules: Arc<WatchRules>) -> Self {
        Self::of_scope(Scope::Whole, rules)
    }

    /// A watch over the calls of some payers: what rules ask that count by something else it says on [`Topic::Sightings`].
    pub fn of_payers(rules: Arc<WatchRules>) -> Self {
        Self::of_scope(Scope::Payers, rules)
    }

    /// A watch over what those of the payers say, for one lane of [`Topic::Sightings`].
    pub fn of_sightings(rules: Arc<WatchRules>) -> Self {
        Self::of_scope(Scope::Sightings, rules)
    }

    fn of_scope(scope: Scope, rules: Arc<WatchRules>) -> Self {
        let (snapshot, state, zones) = (Arc::default(), WatchState::default(), Zones::default());
        Self { scope, rules, snapshot, state, zones }
    }

    /// Remembers as many addresses, ranges and countries as the watches of so many lanes together.
    pub(crate) fn make_room_for_lanes(&mut self, n_lanes: usize) {
        self.state.subjects.make_room_for_lanes(n_lanes);
    }

    /// Takes over other rules. One of the same name and version goes on with what it has counted; any other begins anew.
    pub fn set_rules(&mut self, rules: Arc<WatchRules>) {
        if !Arc::ptr_eq(&self.rules, &rules) {
            self.state.subjects.change_rules(&self.rules, &rules);
            self.rules = rules;
        }
    }

    fn work(&mut self) -> Work<'_> {
        let Watch { scope, rules, snapshot, state, zones } = self;
        Work { scope: *scope, rules, snapshot, state, zones }
    }

    /// Takes over new provisioning data.
    pub fn set_snapshot(&mut self, snapshot: Arc<WatchSnapshot>) {
        self.snapshot = snapshot;
    }

    /// Bytes that the subjects of one kind take, and how many there are; for benchmarks.
    pub fn memory(&self, key: Key) -> (usize, usize) {
        self.state
            .subjects
            .iter()
            .filter(|(subject, _)| subject.key == key)
            .fold((0, 0), |(bytes, n), (_, subject)| (bytes + subject.bytes(), n + 1))
    }

    /// Memory of each account with all that is counted for it and its lines, bytes, smallest first; for benchmarks.
    pub fn memory_of_accounts(&self) -> Vec<usize> {
        let mut of_account: std::collections::BTreeMap<u64, usize> = std::collections::BTreeMap::new();
        for (key, subject) in self.state.subjects.iter() {
            if matches!(key.key, Key::Account | Key::AccountCountry) {
                *of_account.entry(key.a).or_default() += size_of::<SubjectKey>() + subject.bytes();
            }
        }
        let mut bytes: Vec<usize> = of_account.into_values().collect();
        bytes.sort_unstable();
        bytes
    }
}

impl Work<'_> {
    fn event(&mut self, event: &CallEvent, effects: &mut Effects) {
        self.state.move_clock(event.at);
        if let EventBody::NodeStarted(_) = &event.body {
            self.node_started(event, effects);
            return;
        }
        match &event.body {
            EventBody::Registration(registration) => {
                self.registration(event, registration, effects);
                return;
            }
            EventBody::Security(security) => {
                self.security(event, security, effects);
                return;
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
            | EventBody::Forwarded(_)
            | EventBody::TrunkState(_)
            | EventBody::NodeStarted(_)
            | EventBody::Provisioned(_) => {}
        }
        let Some(uid) = &event.call else { return };
        let key: CallKey = (uid.as_str().to_owned(), event.leg);
        if let EventBody::Attempt(attempt) = &event.body {
            self.attempt(key, event, attempt, effects);
            return;
        }
        let Some(mut call) = self.state.take_call(&key) else { return };
        // By the time of the log: a switch whose clock was set back tells of its calls as before.
        call.heard = self.state.clock.now.unwrap_or(event.at);
        let about = About::of(event, uid);
        let lives = match &event.body {
            EventBody::RouteAttempt(route) => {
                self.carried_by(&mut call, &route.callee, &about, effects);
                true
            }
            EventBody::Answer(_) => {
                self.answered(&mut call, &about, effects);
                self.tell_limits(&call, &about, effects);
                true
            }
            EventBody::ChargeTick(tick) => {
                self.alive(&mut call, tick.answered_us.div_ceil(1_000_000), &about, effects);
                self.tell_limits(&call, &about, effects);
                true
            }
            EventBody::End(end) => {
                self.ended(&mut call, end.answered_us.div_ceil(1_000_000), &about, effects);
                if end.cause == Cause::Killed {
                    self.was_cut(&call, &about, effects);
                }
                false
            }
            EventBody::Rejected(rejected) => {
                self.ended(&mut call, 0, &about, effects);
                self.was_refused(&call, rejected, &about, effects);
                false
            }
            EventBody::RouteResult(_)
            | EventBody::Progress(_)
            | EventBody::Update(_)
            | EventBody::Forwarded(_)
            | EventBody::Attempt(_)
            | EventBody::Registration(_)
            | EventBody::TrunkState(_)
            | EventBody::Security(_)
            | EventBody::NodeStarted(_)
            | EventBody::Provisioned(_) => true,
        };
        if lives {
            self.state.set_call(key, call);
        }
    }

    fn attempt(&mut self, key: CallKey, event: &CallEvent, attempt: &Attempt, effects: &mut Effects) {
        // Said again.
        if self.state.calls.contains_key(&key) || self.state.calls.len() >= CALLS_OPEN_MAX {
            return;
        }
        let snapshot = self.snapshot;
        let account = snapshot.account(event.payer);
        let asking = Asking::of(attempt);
        let price = snapshot.price_of(account, &asking, event.at, self.zones);
        let whose = (event.payer, event.leg, event.at);
        let mut facts = facts::known(self.rules, snapshot, whose, &asking, account, self.zones);
        facts.rate = price.rate_per_minute();
        if let Some(account) = account {
            self.remember(&mut facts, event.at, account);
        }
        let mut call = OpenCall {
            node: event.node.to_string(),
            boot: event.boot,
            facts,
            leg: event.leg,
            began: event.at,
            heard: self.state.clock.now.unwrap_or(event.at),
            is_answered: false,
            price,
            cost: 0,
            told: 0,
            vendor: None,
            spared: snapshot.spared(self.rules, event.payer, event.at),
        };
        let uid = CallUid::new(key.0.clone());
        let about = About::of(event, &uid);
        self.usual(&call, 0, 1, event.at);
        self.began(&mut call, &about, effects);
        self.state.set_call(key, call);
    }

    /// What the account's own history says of a call.
    fn remember(&mut self, facts: &mut Facts, at: DateTime<Utc>, account: &Account) {
        let seconds = at.timestamp();
        let hour = seconds.div_euclid(3_600);
        let key = account_key(account.id);
        let (since, first_country, first_agent) = self.state.subjects.change(key, seconds, 1, |subject| {
            let memory = subject.memory.get_or_insert_default();
            let country = memory.first_call_to(facts.country, hour);
            let agent = memory.first_call_with(facts.user_agent, hour);
            (subject.since, country, agent)
        });
        facts.set(Flag::NewCountry, facts.country != 0 && hour - first_country < NEW_COUNTRY_HOURS);
        facts.set(Flag::NewUserAgent, facts.user_agent != 0 && hour - first_agent < NEW_USER_AGENT_HOURS);
        let began = self.state.clock.began.map_or(seconds, |began| began.timestamp());
        let mapped = account.profiles.iter().map(|mapping| mapping.from.timestamp()).min();
        facts.account_age = match mapped.filter(|mapped| *mapped > 0) {
            Some(mapped) => Some(seconds - mapped),
            None if since - began >= ACCOUNTS_KNOWN_AFTER => Some(seconds - since),
            None => None,
        };
    }

    /// A trunk carries the call on. The one before it, if there was one, did not.
    fn carried_by(&mut self, call: &mut OpenCall, callee: &Party, about: &About<'_>, effects: &mut Effects) {
        let vendor = match callee {
            Party::Trunk { trunk, .. } => Some(*trunk),
            Party::Subscriber { .. } | Party::Unknown => None,
        };
        if vendor == call.vendor {
            return;
        }
        if call.vendor.is_some() {
            let rang_ms = shared::rang_ms(call, about.at);
            self.share(call, |_| SightingStep::Left { rang_ms }, about, effects);
        }
        call.vendor = vendor;
        self.share(call, |_| SightingStep::Carried, about, effects);
    }

    fn began(&mut self, call: &mut OpenCall, about: &About<'_>, effects: &mut Effects) {
        self.count_new(&Seen::of(call), about, effects, is_by_payer);
        self.share(call, |_| SightingStep::Began, about, effects);
    }

    fn answered(&mut self, call: &mut OpenCall, about: &About<'_>, effects: &mut Effects) {
        call.is_answered = true;
        self.count(&Seen::of(call), about, effects, is_by_payer, |add| add.sum(Sum::Answered, 1));
        // The first interval is due at once.
        self.accrue(call, 1, about, effects);
        self.share(call, |cost| SightingStep::Answered { cost }, about, effects);
    }

    fn alive(&mut self, call: &mut OpenCall, seconds: u64, about: &About<'_>, effects: &mut Effects) {
        self.accrue(call, seconds, about, effects);
        self.share(call, |cost| SightingStep::Alive { cost }, about, effects);
    }

    fn ended(&mut self, call: &mut OpenCall, seconds: u64, about: &About<'_>, effects: &mut Effects) {
        self.accrue(call, seconds, about, effects);
        let (rang_ms, is_answered) = (shared::rang_ms(call, about.at), call.is_answered || seconds > 0);
        let end = (seconds, rang_ms, is_answered);
        self.count_gone(&Seen::of(call), end, 0, about, effects, is_by_payer);
        self.share(call, |cost| SightingStep::Ended { cost, seconds, rang_ms, is_answered }, about, effects);
    }

    /// The call has been up for `seconds`: what it cost since last time is added.
    fn accrue(&mut self, call: &mut OpenCall, seconds: u64, about: &About<'_>, effects: &mut Effects) {
        let cost = call.price.cost(seconds);
        let more = cost.saturating_sub(call.cost);
        if more == 0 {
            return;
        }
        call.cost = cost;
        self.usual(call, more, 0, about.at);
        self.count(&Seen::of(call), about, effects, is_by_payer, |add| add.sum(Sum::Cost, more));
    }

    /// Counts towards the account's usual hour.
    fn usual(&mut self, call: &OpenCall, cost: u64, attempts: u32, at: DateTime<Utc>) {
        let Some(account) = self.snapshot.account(call.facts.account) else { return };
        let local = at.timestamp() + self.zones.offset(at, account.timezone);
        self.state.subjects.change(account_key(account.id), at.timestamp(), 0, |subject| {
            subject.memory.get_or_insert_default().baseline.add(local, cost, attempts);
        });
    }

    fn tell_limits(&mut self, call: &OpenCall, about: &About<'_>, effects: &mut Effects) {
        let Some(account) = self.snapshot.account(call.facts.account) else { return };
        // With free minutes, or where all that was used makes the price, only rating can tell what a call costs.
        if call.cost == 0
            || !self.snapshot.is_limited(account.id)
            || self.snapshot.prices.is_left_to_rating(account, call.began)
        {
            return;
        }
        let accrual = Accrual {
            account: account.id,
            cdr: about.cdr,
            at: about.at,
            amount: Money::new(money(i64::try_from(call.cost).unwrap_or(i64::MAX)), account.currency),
            rate_per_minute: Some(money(call.facts.rate)),
        };
        effects.append(Topic::Rated, account.id, Body::Accrual(accrual));
    }

    fn registration(&mut self, event: &CallEvent, registration: &Registration, effects: &mut Effects) {
        let is_failed = match registration.change {
            RegistrationChange::Failed => true,
            RegistrationChange::Ok => false,
            // Nobody came.
            RegistrationChange::Expired | RegistrationChange::Removed => return,
        };
        self.sign_in(event, registration.source.ip(), &registration.aor, 1, is_failed, effects);
    }

    fn security(&mut self, event: &CallEvent, security: &Security, effects: &mut Effects) {
        // The calls themselves are told of as those of an unknown source.
        if security.what == SecurityKind::AmbiguousSource {
            effects.0.push(Effect::Alert(Box::new(self.ambiguous_source(event, security))));
            return;
        }
        let times = u64::from(security.count.max(1));
        self.sign_in(event, security.source.ip(), &security.user, times, true, effects);
    }

    /// Somebody at `source` tried to be `user`.
    fn sign_in(
        &mut self,
        event: &CallEvent,
        source: IpAddr,
        user: &str,
        times: u64,
        is_failed: bool,
        effects: &mut Effects,
    ) {
        let facts = Facts {
            account: event.payer,
            subscriber: None,
            trunk: None,
            source,
            cli: None,
            callee: None,
            user_agent: 0,
            flow: Flow::Registrations,
            country: 0,
            rate: 0,
            account_age: None,
            flags: 0,
        };
        let about = About { at: event.at, tenant: event.tenant, call: None, cdr: CdrId::from_bytes([0; 16]) };
        let user = if user.is_empty() { 0 } else { mix_text(user) };
        self.count_sign_in(&facts, (user, times, is_failed), &about, effects, is_by_payer);
        let seen = Seen { facts: &facts, leg: event.leg, vendor: None, spared: &[], watched_since: None };
        let step = SightingStep::SignIn { user, times, is_failed };
        for by in SightedBy::ALL {
            let asks = |one: &snapshot::Compiled| {
                one.by == Some(*by) && facts.passes(one) && facts.subject(one.rule.key, None).is_some()
            };
            if self.rules.rules.iter().any(asks) {
                self.tell(*by, &seen, &step, &about, effects);
            }
        }
    }

    /// A switch began: the calls of its earlier lives are gone.
    fn node_started(&mut self, event: &CallEvent, effects: &mut Effects) {
        let gone: Vec<CallKey> = self
            .state
            .calls
            .iter()
            .filter(|(_, call)| call.node == event.node && call.boot != event.boot)
            .map(|(key, _)| key.clone())
            .collect();
        self.give_up(gone, event.tenant, event.at, effects);
    }

    fn give_up(&mut self, gone: Vec<CallKey>, tenant: TenantId, at: DateTime<Utc>, effects: &mut Effects) {
        for key in gone {
            let Some(mut call) = self.state.take_call(&key) else { continue };
            let uid = CallUid::new(key.0);
            let about = About { at, tenant, call: Some(Named::Live(&uid)), cdr: CdrId::derive(&uid, key.1) };
            self.ended(&mut call, 0, &about, effects);
        }
    }

    fn tick(&mut self, at: DateTime<Utc>, effects: &mut Effects) {
        let now = self.state.move_clock(at);
        let due: Vec<_> = self
            .state
            .held
            .values()
            .filter(|held| held.lock.until.is_some_and(|until| until <= now))
            .cloned()
            .collect();
        for held in due {
            self.state.release(held.lock.account);
            if let Some(next) = locking::lift(held, &self.snapshot.directory, now, effects) {
                self.state.hold(next);
            }
        }
        // By the tick itself: an event of a switch whose clock is far ahead moves the time of the log, and must not end the calls of others.
        let silent: Vec<CallKey> = self
            .state
            .calls
            .iter()
            .filter(|(_, call)| at.signed_duration_since(call.heard) > CALL_SILENT_MAX)
            .map(|(key, _)| key.clone())
            .collect();
        let tenant = self.snapshot.directory.tenants.first().map_or(TenantId(0), |tenant| tenant.id);
        self.give_up(silent, tenant, now, effects);
        let hour = now.timestamp().div_euclid(3_600);
        if hour > self.state.clock.tidied {
            self.state.clock.tidied = hour;
            self.tidy(now);
        }
    }

    /// Forgets counters of windows long past. Once an hour.
    fn tidy(&mut self, now: DateTime<Utc>) {
        let rules = self.rules;
        let seconds = now.timestamp();
        self.state.subjects.forget(
            seconds,
            |key| rules.horizon.get(&key).copied().unwrap_or(0),
            |subject| {
                let n_before = subject.cells.len();
                let mut is_changed = false;
                subject.cells.retain_mut(|(idx, cell)| {
                    let Some(compiled) = rules.rules.get(usize::from(*idx)) else { return false };
                    cell.move_to(seconds, &compiled.rule, &compiled.needs);
                    let is_over = |incident: &cell::Incident| {
                        now.signed_duration_since(incident.last) > compiled.rule.cool_down.delta()
                    };
                    if cell.incident.as_deref().is_some_and(is_over) {
                        cell.incident = None;
                        is_changed = true;
                    }
                    !cell.is_idle()
                });
                if n_before != subject.cells.len() {
                    subject.cells.shrink_to_fit();
                    is_changed = true;
                }
                is_changed
            },
        );
    }
}

/// What an event is about.
struct About<'a> {
    at: DateTime<Utc>,
    tenant: TenantId,
    /// `None` for a registration.
    call: Option<Named<'a>>,
    cdr: CdrId,
}

/// How a call is called.
#[derive(Debug, Clone, Copy)]
enum Named<'a> {
    Live(&'a CallUid),
    /// One that was stored: the name is made when it is asked for.
    Stored(u64),
}

impl Named<'_> {
    fn uid(self) -> CallUid {
        match self {
            Named::Live(uid) => uid.clone(),
            Named::Stored(hash) => CallUid::new(hash.to_string()),
        }
    }
}

impl<'a> About<'a> {
    fn of(event: &CallEvent, uid: &'a CallUid) -> Self {
        About {
            at: event.at,
            tenant: event.tenant,
            call: Some(Named::Live(uid)),
            cdr: CdrId::derive(uid, event.leg),
        }
    }
}

impl Stage for Watch {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        match &input.body {
            Body::Tick(at) => self.work().tick(*at, effects),
            Body::Call(event) => self.work().event(event, effects),
            Body::Sighting(sighting) => self.work().sighting(sighting, effects),
            // The mediator puts strays on this topic aside.
            Body::Cdr(_)
            | Body::Edr(_)
            | Body::Rated(_)
            | Body::Posting(_)
            | Body::Control(_)
            | Body::Accrual(_) => {}
        }
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        self.state.take_changes(&self.rules)
    }

    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        self.state.restore(&entries, &self.rules, self.scope)
    }
}

fn account_key(account: AccountId) -> SubjectKey {
    SubjectKey { key: Key::Account, a: account.0.cast_unsigned(), b: 0 }
}

/// Ten-thousandths as an amount.
fn money(ten_thousandths: i64) -> Decimal {
    Decimal::new(ten_thousandths, MONEY_SCALE)
}

/// For names of trunks in alerts.
fn trunk_name(snapshot: &WatchSnapshot, id: TrunkId) -> String {
    let trunk = snapshot.directory.trunks.iter().find(|trunk| trunk.id == id);
    trunk.map_or_else(|| id.to_string(), |trunk| trunk.name.clone())
}

/// An account as it is remembered when nothing is known of it.
impl AccountMemory {
    fn is_cost_unusual(&self, tenths: u32) -> bool {
        self.baseline.is_cost_unusual(tenths)
    }
}
