//! The watch of one lane: counts calls as they happen, for whom the rules want, and fires when a rule is crossed.
//!
//! In: events of the switch and ticks, rules, and snapshots of the provisioning data. Out: alerts, one for each incident with its
//! updates; locks; orders to end calls; and, for the spend limits, what calls in progress have cost so far. It decides at the INVITE,
//! the answer, each sign of life and the end, and never waits for a price.

mod baseline;
mod cell;
mod country;
mod distinct;
mod facts;
mod gate;
mod hot_list;
mod judge;
mod price_list;
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
    Account, AccountId, Accrual, Attempt, Body, CallEvent, CallUid, Cause, CdrId, Effects, EventBody, Money,
    Party, Registration, RegistrationChange, Security, Stage, StageInput, StateChange, TenantId, Topic,
    TrunkId,
};
use rust_decimal::Decimal;

pub(crate) use distinct::mix;
pub use distinct::mix_text as name_hash;
pub(crate) use facts::Asking;
pub use facts::agent_hash;
pub use gate::Gate;
pub use hot_list::{HOT_LIST_MAX, HotList, HotListBuilder, HotListFault};
pub use snapshot::{WatchRules, WatchSnapshot};
pub(crate) use state::OpenCall as WatchedCall;
pub(crate) use stored::Past;
pub use subjects::SUBJECTS_MAX;

use crate::locking;
use crate::rule::{Flow, Key, MONEY_SCALE};
use cell::{Cell, Sum, Things};
use distinct::mix_text;
use facts::{Facts, Flag, source_hash};
use judge::Occasion;
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
    rules: Arc<WatchRules>,
    snapshot: Arc<WatchSnapshot>,
    state: WatchState,
    zones: Zones,
}

/// One input at work: the state that it changes, and what it is judged by.
struct Work<'a> {
    rules: &'a WatchRules,
    snapshot: &'a WatchSnapshot,
    state: &'a mut WatchState,
    zones: &'a mut Zones,
}

impl Watch {
    /// A watch that has seen nothing. It knows no account before [`Self::set_snapshot`].
    pub fn new(rules: Arc<WatchRules>) -> Self {
        Self { rules, snapshot: Arc::default(), state: WatchState::default(), zones: Zones::default() }
    }

    /// Takes over other rules. One of the same name and version goes on with what it has counted; any other begins anew.
    pub fn set_rules(&mut self, rules: Arc<WatchRules>) {
        if !Arc::ptr_eq(&self.rules, &rules) {
            self.state.subjects.change_rules(&self.rules, &rules);
            self.rules = rules;
        }
    }

    fn work(&mut self) -> Work<'_> {
        let Watch { rules, snapshot, state, zones } = self;
        Work { rules, snapshot, state, zones }
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
        call.heard = event.at;
        let about = About::of(event, uid);
        let lives = match &event.body {
            EventBody::RouteAttempt(route) => {
                self.carried_by(&mut call, &route.callee, &about, effects);
                true
            }
            EventBody::Answer(_) => {
                call.is_answered = true;
                self.count(&call, &about, effects, |add| add.sum(Sum::Answered, 1));
                // The first interval is due at once.
                self.accrue(&mut call, 1, &about, effects);
                self.tell_limits(&call, &about, effects);
                true
            }
            EventBody::ChargeTick(tick) => {
                self.accrue(&mut call, tick.answered_us.div_ceil(1_000_000), &about, effects);
                self.tell_limits(&call, &about, effects);
                true
            }
            EventBody::End(end) => {
                let seconds = end.answered_us.div_ceil(1_000_000);
                self.accrue(&mut call, seconds, &about, effects);
                self.ended(&call, seconds, &about, effects);
                if end.cause == Cause::Killed {
                    self.was_cut(&call, effects);
                }
                false
            }
            EventBody::Rejected(rejected) => {
                self.ended(&call, 0, &about, effects);
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
        let call = OpenCall {
            node: event.node.clone(),
            boot: event.boot,
            facts,
            began: event.at,
            heard: event.at,
            is_answered: false,
            price,
            cost: 0,
            vendor: None,
            spared: snapshot.spared(self.rules, event.payer, event.at),
        };
        let uid = CallUid::new(key.0.clone());
        let about = About::of(event, &uid);
        self.usual(&call, 0, 1, event.at);
        self.count_new(&call, &about, effects, |rule| rule != Key::VendorCountry);
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
            self.count_gone(call, 0, about, effects, |rule| rule == Key::VendorCountry);
        }
        call.vendor = vendor;
        self.count_new(call, about, effects, |rule| rule == Key::VendorCountry);
    }

    fn ended(&mut self, call: &OpenCall, seconds: u64, about: &About<'_>, effects: &mut Effects) {
        self.count_gone(call, seconds, about, effects, |_| true);
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
        self.count(call, about, effects, |add| add.sum(Sum::Cost, more));
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
        // With free minutes only rating can tell what a call costs.
        if call.cost == 0
            || !self.snapshot.is_limited(account.id)
            || self.snapshot.prices.has_free_seconds(account, call.began)
        {
            return;
        }
        let accrual = Accrual {
            account: account.id,
            cdr: about.cdr,
            at: about.at,
            amount: Money::new(money(i64::try_from(call.cost).unwrap_or(i64::MAX)), account.currency),
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
        let rules = self.rules;
        for (idx, compiled) in (0_u16..).zip(&rules.rules) {
            if !facts.passes(compiled) {
                continue;
            }
            let Some(subject) = facts.subject(compiled.rule.key, None) else { continue };
            let at_seconds = event.at.timestamp();
            self.state.subjects.change(subject, at_seconds, times, |subject| {
                let fresh = || Cell::new(compiled.rule.version, &compiled.needs);
                let cell = subject.cell(idx, fresh);
                cell.move_to(at_seconds, &compiled.rule, &compiled.needs);
                cell.add(Sum::Attempts, times, &compiled.needs);
                cell.add(Sum::Ended, times, &compiled.needs);
                if is_failed {
                    cell.add(Sum::Failed, times, &compiled.needs);
                }
                if compiled.needs.things.contains(&Things::Callees) && !user.is_empty() {
                    cell.see(Things::Callees, mix_text(user), at_seconds, &compiled.rule);
                }
            });
            let occasion =
                Occasion { at: event.at, tenant: event.tenant, payer: AccountId::NOBODY, call: None };
            self.judge(idx, subject, &facts, &occasion, effects);
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
            let Some(call) = self.state.take_call(&key) else { continue };
            let uid = CallUid::new(key.0);
            let about = About { at, tenant, call: Named::Live(&uid), cdr: CdrId::derive(&uid, key.1) };
            self.ended(&call, 0, &about, effects);
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
        let silent: Vec<CallKey> = self
            .state
            .calls
            .iter()
            .filter(|(_, call)| now.signed_duration_since(call.heard) > CALL_SILENT_MAX)
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
    call: Named<'a>,
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
            call: Named::Live(uid),
            cdr: CdrId::derive(uid, event.leg),
        }
    }
}

/// What is added to the counters of every rule that looks at a call.
struct Adding<'a> {
    cell: &'a mut Cell,
    needs: &'a cell::Needs,
}

impl Adding<'_> {
    fn sum(&mut self, sum: Sum, amount: u64) {
        self.cell.add(sum, amount, self.needs);
    }
}

impl Work<'_> {
    /// Counts a call that begins, by the rules on the chosen keys.
    fn count_new(
        &mut self,
        call: &OpenCall,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(Key) -> bool,
    ) {
        let facts = &call.facts;
        self.for_rules(call, about, effects, chosen, 1, |compiled, cell| {
            let (needs, rule, at) = (&compiled.needs, &compiled.rule, about.at.timestamp());
            cell.add(Sum::Attempts, 1, needs);
            cell.concurrent = cell.concurrent.saturating_add(1);
            cell.cost_rate = cell.cost_rate.saturating_add(facts.rate);
            cell.note_call(about.cdr);
            for things in &needs.things {
                let hash = match things {
                    Things::Callees => facts.callee.map(mix),
                    Things::Callers => {
                        Some(facts.cli.map_or_else(|| mix(facts.account.0.cast_unsigned()), mix))
                    }
                    Things::Sources => Some(source_hash(facts.source)),
                    Things::UserAgents => Some(facts.user_agent),
                };
                if let Some(hash) = hash {
                    cell.see(*things, hash, at, rule);
                }
            }
            if needs.is_sequential && facts.callee.is_some_and(|callee| cell.is_next(callee)) {
                cell.add(Sum::Sequential, 1, needs);
            }
        });
    }

    /// Counts a call that ended after `seconds` of answer, or none, by the rules on the chosen keys.
    fn count_gone(
        &mut self,
        call: &OpenCall,
        seconds: u64,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(Key) -> bool,
    ) {
        let rang_ms = about.at.signed_duration_since(call.began).num_milliseconds();
        let rate = call.facts.rate;
        self.for_rules(call, about, effects, chosen, 0, |compiled, cell| {
            let mut add = Adding { cell, needs: &compiled.needs };
            add.sum(Sum::Ended, 1);
            if call.is_answered || seconds > 0 {
                add.sum(Sum::AnsweredEnded, 1);
                add.sum(Sum::Short, u64::from(seconds < SHORT_SECONDS));
                add.sum(Sum::Seconds, seconds);
                add.sum(Sum::SecondsSquared, seconds.saturating_mul(seconds));
            } else {
                add.sum(Sum::Failed, 1);
                add.sum(Sum::ShortRing, u64::from(rang_ms <= SHORT_RING_MS));
            }
            // A counter that was begun anew since has not seen the call begin.
            cell.concurrent = cell.concurrent.saturating_sub(1);
            cell.cost_rate = if cell.concurrent == 0 { 0 } else { (cell.cost_rate - rate).max(0) };
        });
    }

    fn count(
        &mut self,
        call: &OpenCall,
        about: &About<'_>,
        effects: &mut Effects,
        change: impl Fn(&mut Adding<'_>),
    ) {
        self.for_rules(
            call,
            about,
            effects,
            |_| true,
            0,
            |compiled, cell| {
                change(&mut Adding { cell, needs: &compiled.needs });
            },
        );
    }

    /// Changes the counters of every rule on a chosen key that looks at the call, and looks whether it is crossed. `n` says how often the
    /// subject was seen with this.
    fn for_rules(
        &mut self,
        call: &OpenCall,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(Key) -> bool,
        n: u64,
        change: impl Fn(&snapshot::Compiled, &mut Cell),
    ) {
        let rules = self.rules;
        let occasion = Occasion {
            at: about.at,
            tenant: about.tenant,
            payer: call.facts.account,
            call: Some(about.call),
        };
        let at_seconds = about.at.timestamp();
        for (idx, compiled) in (0_u16..).zip(&rules.rules) {
            if !chosen(compiled.rule.key)
                || !call.facts.passes(compiled)
                || call.is_spared_by(&compiled.rule.name)
            {
                continue;
            }
            let Some(subject) = call.facts.subject(compiled.rule.key, call.vendor) else { continue };
            let all_others = compiled.has_others.then(|| call.facts.subject(Key::Country, None)).flatten();
            for key in [Some(subject), all_others].into_iter().flatten() {
                self.state.subjects.change(key, at_seconds, n, |subject| {
                    let fresh = || Cell::new(compiled.rule.version, &compiled.needs);
                    let cell = subject.cell(idx, fresh);
                    cell.move_to(at_seconds, &compiled.rule, &compiled.needs);
                    change(compiled, cell);
                });
            }
            // An exception made while the call is up silences the rule; the call is counted to its end all the same.
            if !self.snapshot.is_excepted(&compiled.rule, call.facts.account, about.at) {
                self.judge(idx, subject, &call.facts, &occasion, effects);
            }
        }
    }
}

impl Stage for Watch {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        match &input.body {
            Body::Tick(at) => self.work().tick(*at, effects),
            Body::Call(event) => self.work().event(event, effects),
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
        self.state.restore(&entries, &self.rules)
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
