//! A simulated operator with labelled fraud: what rules are tuned and scored on.
//!
//! A seed makes customers, weeks of ordinary calls by hour and weekday, hard negatives (a vote on television, a holiday, month ends, new
//! branches abroad, dialling campaigns, new customers, people at home), and attacks of every pattern at two strengths. The watch sees the
//! events as an installation's watch does, lane by lane, and the simulated switch obeys it: so that what is lost until the lock is what
//! would have been lost. Nobody outside can label real calls; the generator is as honest as its numbers, which are all in this folder.

mod attack;
mod chance;
mod exchange;
mod plan;
mod score;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{AccountId, CallEvent, Directory, Party};

pub use attack::{Attack, Pattern, Strength};
pub use score::{Score, Tap};
pub use world::Kind;

use crate::watch::{WatchRules, WatchSnapshot};
use attack::{Deeds, suits};
use chance::Chance;
use exchange::Exchange;
use plan::{DAY, Knock, Planned};
use world::World;

/// How large a simulation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Customers.
    pub customers: i64,
    /// Days in all.
    pub days: i64,
    /// Days without attacks, in which the watch learns.
    pub quiet_days: i64,
    /// Attacks of each pattern at each strength.
    pub attacks_each: usize,
}

impl Size {
    /// What the published score is made with.
    pub const PUBLISHED: Size = Size { customers: 800, days: 42, quiet_days: 28, attacks_each: 4 };
}

/// A Monday: the simulation's first day.
const FIRST_DAY: &str = "2026-09-07T00:00:00Z";

/// One world with its attacks.
pub struct Simulation {
    size: Size,
    chance: Chance,
    world: World,
    attacks: Vec<Attack>,
    deeds: Vec<Deeds>,
    /// From when on an account's days are not clean.
    dirty_from: BTreeMap<AccountId, i64>,
    began: DateTime<Utc>,
}

/// A call of the simulation, for files of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedCall {
    /// The paying account.
    pub account: AccountId,
    /// Who calls.
    pub source: Option<u64>,
    /// Whom.
    pub destination: u64,
    /// When the call was answered, or would have been.
    pub start: DateTime<Utc>,
    /// Seconds of answer.
    pub seconds: i64,
    /// The attack that it belongs to.
    pub pattern: Option<Pattern>,
}

impl Simulation {
    /// The world of a seed.
    pub fn new(seed: u64, size: Size) -> Self {
        let chance = Chance::new(seed);
        // New customers join before the attacks begin and while they go on.
        let joining = (size.quiet_days - 6, size.days - 6);
        let world = World::new(&chance.of(1), size.customers, size.customers / 12, joining);
        let mut simulation = Simulation {
            size,
            chance: chance.of(2),
            world,
            attacks: Vec::new(),
            deeds: Vec::new(),
            dirty_from: BTreeMap::new(),
            began: FIRST_DAY.parse().unwrap_or(DateTime::UNIX_EPOCH),
        };
        simulation.plan_attacks();
        simulation
    }

    fn plan_attacks(&mut self) {
        let mut chance = self.chance.of(3);
        let (first, last) = (self.size.quiet_days, self.size.days - 2);
        for pattern in Pattern::ALL {
            for strength in [Strength::Strong, Strength::Slow] {
                for _ in 0..self.size.attacks_each {
                    let day = chance.between(first, last);
                    let n = self.attacks.len();
                    let free: Vec<usize> = (0..self.world.customers.len())
                        .filter(|idx| {
                            let customer = &self.world.customers[*idx];
                            suits(pattern, customer, day)
                                && (pattern == Pattern::FalseAnswer
                                    || !self.dirty_from.contains_key(&customer.account))
                        })
                        .collect();
                    if free.is_empty() {
                        continue;
                    }
                    let victim = &self.world.customers[*chance.pick(&free)];
                    let (attack, deeds) =
                        attack::plan(&self.world, victim, pattern, strength, day, n, &self.chance);
                    for account in &attack.touched {
                        let since = self.dirty_from.entry(*account).or_insert(i64::MAX);
                        *since = (*since).min(attack.begins);
                    }
                    self.attacks.push(attack);
                    self.deeds.push(deeds);
                }
            }
        }
    }

    /// The attacks, as labelled.
    pub fn attacks(&self) -> &[Attack] {
        &self.attacks
    }

    /// When an attack begins and when its last call would end.
    pub fn span_of(&self, attack: &Attack) -> (DateTime<Utc>, DateTime<Utc>) {
        let at = |ms| self.began + chrono::TimeDelta::milliseconds(ms);
        (at(attack.begins), at(attack.ends))
    }

    /// What the accounts, subscribers, trunks and prices are.
    pub fn directory(&self) -> Directory {
        self.world.directory.clone()
    }

    /// When the first day begins.
    pub fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// Every event of an unwatched run, in order, with the attack that it belongs to left out: what an installation would have seen.
    pub fn events(&self, tap: Tap) {
        self.run(Vec::new(), Some(tap));
    }

    /// Every call of one day as planned, in order of its start.
    pub fn calls_of(&self, day: i64) -> Vec<SimulatedCall> {
        let (calls, _) = self.day(day);
        let mut calls: Vec<SimulatedCall> = calls
            .into_iter()
            .filter(attack::is_customers)
            .map(|call| SimulatedCall {
                account: call.payer,
                source: call.cli,
                destination: call.callee,
                start: self.began + chrono::TimeDelta::milliseconds(call.at + call.ring_ms),
                seconds: call.seconds.unwrap_or(0),
                pattern: call.attack.and_then(|n| self.attacks.get(n)).map(|attack| attack.pattern),
            })
            .collect();
        calls.sort_by_key(|call| (call.start, call.account));
        calls
    }

    /// Days in all.
    pub fn days(&self) -> i64 {
        self.size.days
    }

    /// Calls and knocks that begin on a day.
    fn day(&self, day: i64) -> (Vec<Planned>, Vec<Knock>) {
        let mut calls = Vec::new();
        for customer in &self.world.customers {
            plan::ordinary(customer, day, &self.chance, &mut calls);
        }
        plan::incoming(&self.world, day, &self.chance, &mut calls);
        plan::hard_negatives(&self.world, day, self.size.quiet_days, &self.chance, &mut calls);
        let mut knocks = Vec::new();
        let is_today = |at: i64| at.div_euclid(DAY) == day;
        for deeds in &self.deeds {
            calls.extend(deeds.calls.iter().filter(|call| is_today(call.at)).cloned());
            knocks.extend(deeds.knocks.iter().filter(|knock| is_today(knock.at)).cloned());
        }
        (calls, knocks)
    }

    fn exchange(&self, rules: &Arc<WatchRules>) -> Exchange {
        let snapshot = Arc::new(WatchSnapshot::build(Arc::new(self.world.directory.clone())));
        Exchange::new(self.began, rules, &snapshot, self.attacks.len())
    }

    /// Whether an account did nothing wrong up to `at`.
    fn is_clean(&self, account: AccountId, at: i64) -> bool {
        account != AccountId::NOBODY
            && !world::CARRIERS.contains(&account)
            && self.dirty_from.get(&account).is_none_or(|since| at < *since)
    }

    /// Days of accounts that did nothing wrong, from the first attack on: before, most rules are silent.
    fn clean_account_days(&self) -> u64 {
        let first = self.size.quiet_days;
        self.world
            .customers
            .iter()
            .map(|customer| {
                let until = self.dirty_from.get(&customer.account).map_or(self.size.days, |at| at / DAY);
                u64::try_from(until - first.max(customer.joined)).unwrap_or(0)
            })
            .sum()
    }
}

/// Whether an event's caller is one of the simulated customers.
pub fn is_customer(event: &CallEvent) -> bool {
    matches!(&event.body, model::EventBody::Attempt(attempt) if matches!(attempt.caller, Party::Subscriber { .. }))
}
