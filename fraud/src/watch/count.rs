//! Adds what happened to the counters of the rules that look at it, and has each of them judged.

use model::{AccountId, Effects};

use super::cell::{self, Cell, Sum, Things};
use super::distinct::mix;
use super::facts::{Facts, source_hash};
use super::judge::Occasion;
use super::shared::Seen;
use super::snapshot::Compiled;
use super::{About, SHORT_RING_MS, SHORT_SECONDS, Work};
use crate::rule::Key;

/// Whether a rule counts the calls of one payer.
pub(super) fn is_by_payer(compiled: &Compiled) -> bool {
    compiled.by.is_none()
}

/// What is added to the counters of every rule that looks at a call.
pub(super) struct Adding<'a> {
    cell: &'a mut Cell,
    needs: &'a cell::Needs,
    /// To which part of the window.
    part: Option<usize>,
}

impl Adding<'_> {
    pub(super) fn sum(&mut self, sum: Sum, amount: u64) {
        self.cell.add(self.part, sum, amount, self.needs);
    }
}

impl Work<'_> {
    /// Counts a call that begins, by the chosen rules.
    pub(super) fn count_new(
        &mut self,
        seen: &Seen<'_>,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(&Compiled) -> bool,
    ) {
        let facts = seen.facts;
        self.for_rules(seen, about, effects, chosen, 1, |compiled, cell, part| {
            let (needs, rule, at) = (&compiled.needs, &compiled.rule, about.at.timestamp());
            cell.add(part, Sum::Attempts, 1, needs);
            cell.concurrent = cell.concurrent.saturating_add(1);
            cell.cost_rate = cell.cost_rate.saturating_add(facts.rate);
            if part.is_none() && !rule.tells_each_call() {
                // Behind the window: its number and name count as little as it does itself. It is up all the same until it ends.
                return;
            }
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
                cell.add(part, Sum::Sequential, 1, needs);
            }
        });
    }

    /// Counts a call that ended after so many seconds of answer, by the chosen rules. It rang for so many milliseconds, and was answered or not;
    /// `cost` is what it cost since it was counted last.
    pub(super) fn count_gone(
        &mut self,
        seen: &Seen<'_>,
        (seconds, rang_ms, is_answered): (u64, i64, bool),
        cost: u64,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(&Compiled) -> bool,
    ) {
        let rate = seen.facts.rate;
        self.for_rules(seen, about, effects, chosen, 0, |compiled, cell, part| {
            let mut add = Adding { cell, needs: &compiled.needs, part };
            add.sum(Sum::Cost, cost);
            add.sum(Sum::Ended, 1);
            if is_answered {
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

    pub(super) fn count(
        &mut self,
        seen: &Seen<'_>,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(&Compiled) -> bool,
        change: impl Fn(&mut Adding<'_>),
    ) {
        self.for_rules(seen, about, effects, chosen, 0, |compiled, cell, part| {
            change(&mut Adding { cell, needs: &compiled.needs, part });
        });
    }

    /// Counts attempts to register: under which name, how often, and whether in vain.
    pub(super) fn count_sign_in(
        &mut self,
        facts: &Facts,
        (user, times, is_failed): (u64, u64, bool),
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(&Compiled) -> bool,
    ) {
        let seen = Seen { facts, leg: 0, vendor: None, spared: &[], watched_since: None };
        let about = About { call: None, ..*about };
        self.for_rules(&seen, &about, effects, chosen, times, |compiled, cell, part| {
            let mut add = Adding { cell, needs: &compiled.needs, part };
            add.sum(Sum::Attempts, times);
            add.sum(Sum::Ended, times);
            add.sum(Sum::Failed, if is_failed { times } else { 0 });
            if compiled.needs.things.contains(&Things::Callees) && user != 0 {
                cell.see(Things::Callees, user, about.at.timestamp(), &compiled.rule);
            }
        });
    }

    /// Changes the counters of every chosen rule that looks at the call, and looks whether it is crossed. `n` says how often the
    /// subject was seen with this.
    fn for_rules(
        &mut self,
        seen: &Seen<'_>,
        about: &About<'_>,
        effects: &mut Effects,
        chosen: impl Fn(&Compiled) -> bool,
        n: u64,
        change: impl Fn(&Compiled, &mut Cell, Option<usize>),
    ) {
        let (rules, facts) = (self.rules, seen.facts);
        // Who tries to register is not who would pay.
        let payer = about.call.map_or(AccountId::NOBODY, |_| facts.account);
        let (at, tenant, call) = (about.at, about.tenant, about.call);
        let occasion = Occasion { at, tenant, payer, call, watched_since: seen.watched_since };
        let at_seconds = about.at.timestamp();
        for (idx, compiled) in (0_u16..).zip(&rules.rules) {
            if !chosen(compiled) || !seen.is_counted_by(compiled) {
                continue;
            }
            let Some(subject) = facts.subject(compiled.rule.key, seen.vendor) else { continue };
            let all_others = compiled.has_others.then(|| facts.subject(Key::Country, None)).flatten();
            let mut is_in_window = false;
            for key in [all_others, Some(subject)].into_iter().flatten() {
                is_in_window = self.state.subjects.change(key, at_seconds, n, |subject| {
                    let fresh = || Cell::new(compiled.rule.version, &compiled.needs);
                    let cell = subject.cell(idx, fresh);
                    let part = cell.move_to(at_seconds, &compiled.rule, &compiled.needs);
                    change(compiled, cell, part);
                    part.is_some()
                });
            }
            // What comes out of a backlog behind the window is in no sum of it: who crossed it then was somebody else.
            // An exception made while the call is up silences the rule; the call is counted to its end all the same.
            // Where each call is told, its attempt is told, however late, and nothing behind it.
            let is_due = if compiled.rule.tells_each_call() { n > 0 } else { is_in_window };
            if is_due && !self.snapshot.is_excepted(&compiled.rule, payer, about.at) {
                self.judge(idx, subject, facts, &occasion, effects);
            }
        }
    }
}
