//! How well the delivered rules find the simulated attacks, and whom they trouble without reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use model::CallEvent;
use rust_decimal::Decimal;

use super::attack::{Pattern, Strength};
use super::exchange::{Said, Toll};
use super::{Simulation, Size};
use crate::rule::Rule;

/// Account-days that false locks are counted over.
const PER_DAYS: u64 = 10_000;

/// Figures of one pattern at one strength, over all seeds.
#[derive(Debug, Clone, Default)]
struct Found {
    n_attacks: u64,
    n_found: u64,
    n_locked: u64,
    calls: Vec<u64>,
    cost: Vec<i64>,
    cost_free: i64,
}

/// The whole score.
#[derive(Debug, Default)]
pub struct Score {
    found: BTreeMap<(Pattern, Strength), Found>,
    clean_days: u64,
    false_locks: u64,
    false_alerts: BTreeMap<String, u64>,
    n_events: u64,
}

impl Score {
    /// Simulates each seed with the rules acting as they say.
    pub fn of(rules: &[Rule], seeds: &[u64], size: Size) -> Self {
        let mut score = Score::default();
        for seed in seeds {
            let simulation = Simulation::new(*seed, size);
            score.add(&simulation, rules);
        }
        score
    }

    fn add(&mut self, simulation: &Simulation, rules: &[Rule]) {
        let watched = simulation.run(rules.to_vec(), None);
        // What the same attacks take when nobody watches.
        let free = simulation.run(Vec::new(), None);
        self.n_events += watched.n_events;
        for (n, attack) in simulation.attacks.iter().enumerate() {
            let found = self.found.entry((attack.pattern, attack.strength)).or_default();
            let is_about = |said: &&Said| {
                let in_time = (attack.begins..=attack.ends + 60_000).contains(&said.at);
                let rules = attack.pattern.rules();
                let is_it = if rules.is_empty() {
                    said.alert.account == attack.account
                } else {
                    rules.contains(&said.alert.rule.as_str())
                };
                in_time && is_it
            };
            found.n_attacks += 1;
            let is_found = watched.said.iter().any(|said| is_about(&said));
            let is_locked = watched.locked.iter().any(|(at, account)| {
                *account == attack.account && (attack.begins..=attack.ends).contains(at)
            });
            found.n_found += u64::from(is_found);
            found.n_locked += u64::from(is_locked);
            let Toll { calls, cost, .. } = watched.tolls[n];
            found.calls.push(calls);
            found.cost.push(cost);
            found.cost_free += free.tolls[n].cost;
        }
        self.clean_days += simulation.clean_account_days();
        self.false_locks +=
            watched.locked.iter().filter(|(at, account)| simulation.is_clean(*account, *at)).count() as u64;
        for said in watched.said.iter().filter(|said| said.alert.update == 0) {
            if simulation.is_clean(said.alert.account, said.at) {
                *self.false_alerts.entry(said.alert.rule.clone()).or_default() += 1;
            }
        }
    }

    /// Attacks found, in percent, over all patterns of one strength.
    pub fn recall_percent(&self, strength: Strength) -> u64 {
        let of_strength = || self.found.iter().filter(|((_, s), _)| *s == strength).map(|(_, found)| found);
        let n_attacks: u64 = of_strength().map(|found| found.n_attacks).sum();
        (of_strength().map(|found| found.n_found).sum::<u64>() * 100).checked_div(n_attacks).unwrap_or(0)
    }

    /// Locks of accounts that did nothing wrong.
    pub fn false_locks(&self) -> u64 {
        self.false_locks
    }

    /// Days of accounts that did nothing wrong.
    pub fn clean_account_days(&self) -> u64 {
        self.clean_days
    }

    /// As a table in Markdown.
    pub fn table(&self) -> String {
        let mut text = String::new();
        text.push_str(
            "| pattern | strength | attacks | found | locked | calls until stopped, median | lost, median EUR | lost, all EUR | \
             unwatched, all EUR |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for ((pattern, strength), found) in &self.found {
            let strength = match strength {
                Strength::Strong => "strong",
                Strength::Slow => "slow",
            };
            let (mut calls, mut cost) = (found.calls.clone(), found.cost.clone());
            calls.sort_unstable();
            cost.sort_unstable();
            let lost: i64 = cost.iter().sum();
            let percent = |n: u64| (n * 100).checked_div(found.n_attacks).unwrap_or(0);
            let _ = writeln!(
                text,
                "| {} | {strength} | {} | {} % | {} % | {} | {} | {} | {} |",
                pattern.as_str(),
                found.n_attacks,
                percent(found.n_found),
                percent(found.n_locked),
                calls.get(calls.len() / 2).copied().unwrap_or(0),
                euros(cost.get(cost.len() / 2).copied().unwrap_or(0)),
                euros(lost),
                euros(found.cost_free),
            );
        }
        let per = |n: u64| {
            Decimal::from(n * PER_DAYS)
                .checked_div(Decimal::from(self.clean_days))
                .unwrap_or_default()
                .round_dp(1)
        };
        let _ = writeln!(
            text,
            "\nRecall: {} % of the strong and {} % of the slow attacks.\n\nFalse locks: {} in {} clean account-days, {} in {PER_DAYS}.\n",
            self.recall_percent(Strength::Strong),
            self.recall_percent(Strength::Slow),
            self.false_locks,
            self.clean_days,
            per(self.false_locks),
        );
        let n_false: u64 = self.false_alerts.values().sum();
        let _ = writeln!(text, "False alerts: {n_false}, {} in {PER_DAYS} clean account-days.", per(n_false));
        for (rule, n) in &self.false_alerts {
            let _ = writeln!(text, "* {rule}: {n}");
        }
        let _ = writeln!(text, "\n{} events of calls.", self.n_events);
        text
    }
}

fn euros(ten_thousandths: i64) -> Decimal {
    Decimal::new(ten_thousandths, crate::rule::MONEY_SCALE).round_dp(2)
}

/// What a run of a simulation came to.
pub(super) struct Outcome {
    pub(super) said: Vec<Said>,
    pub(super) locked: Vec<(i64, model::AccountId)>,
    pub(super) tolls: Vec<Toll>,
    pub(super) n_events: u64,
}

/// Takes events one by one, in their order.
pub type Tap = Box<dyn FnMut(&CallEvent)>;

impl Simulation {
    /// Lives all days under these rules.
    pub(super) fn run(&self, rules: Vec<Rule>, tap: Option<Tap>) -> Outcome {
        let rules = Arc::new(crate::watch::WatchRules::new(
            rules,
            crate::watch::HotList::default(),
            crate::watch::HotList::default(),
            Vec::new(),
        ));
        let mut exchange = self.exchange(&rules);
        exchange.tap = tap;
        for day in 0..self.size.days {
            let (calls, knocks) = self.day(day);
            exchange.live(calls, knocks, (day + 1) * super::plan::DAY);
        }
        Outcome {
            n_events: exchange.n_events(),
            said: exchange.said,
            locked: exchange.locked,
            tolls: exchange.tolls,
        }
    }
}
