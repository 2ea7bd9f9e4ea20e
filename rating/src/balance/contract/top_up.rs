//! Money that comes in, and packages that change: both may end the running interval (billing-reference 5.6, 5.7).

use chrono::{DateTime, Utc};
use model::StartMode;

use super::{Contract, Grant};
use crate::balance::cadence::{Stretch, later};
use crate::balance::movement::{Happening, Moved, Outcome, ProfileSet, move_if};
use crate::balance::rules::Rules;

impl Contract {
    /// Money comes in at `at`, in the order of billing-reference 5.7: the service charge of the package then in force is kept of it, its
    /// profile and lock follow, the running interval counts it and, where top-ups make intervals, ends. Catch up to `at` first.
    /// `old` are the rules until now, where a voucher brings another package.
    pub fn top_up(
        &mut self,
        at: DateTime<Utc>,
        amount_micros: i64,
        old: &Rules,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        let before = self.cash_micros();
        self.rearm(rules);
        if rules.topup_profiles {
            outcome.happenings.push(Happening::Profiles { at, set: ProfileSet::TopUp });
        }
        let is_timely = self.is_timely(at, old);
        let running = self.running_mut();
        running.n_topups += 1;
        running.n_timely += u32::from(is_timely);
        if old.interval != rules.interval || old.start != rules.start || old.zone != rules.zone {
            self.resize(at, true, rules, grant_at, outcome);
        }
        match rules.start {
            Some(StartMode::TopUp) => {
                self.cadence = None;
                self.renew(at, rules, grant_at, outcome);
            }
            Some(StartMode::TopUpInterval) => {
                self.cadence = Some(rules.cadence(at.with_timezone(&rules.zone).naive_local()));
                self.renew(at, rules, grant_at, outcome);
            }
            Some(StartMode::Create | StartMode::CreateTz | StartMode::First | StartMode::FirstTz) | None => {}
        }
        self.own(at, Moved::TopUp, amount_micros, outcome);
        if rules.service_charge_micros != 0 {
            self.own(at, Moved::ServiceCharge, -rules.service_charge_micros, outcome);
        }
        // Where top-ups make intervals, the one that it came in ended with it, and it counts there (5.7, 5.8).
        let makes_intervals = matches!(rules.start, Some(StartMode::TopUp | StartMode::TopUpInterval));
        self.last_topup_end = self.running().stretch.end.filter(|_| !makes_intervals).unwrap_or(at);
        if let Some(level) = rules.topup_lock {
            let why = "the package says so of a top-up";
            outcome.happenings.push(Happening::Lock { at, level, why });
        }
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// Own money is set right by hand, up or down.
    pub fn adjust(&mut self, at: DateTime<Utc>, amount_micros: i64, rules: &Rules, outcome: &mut Outcome) {
        let before = self.cash_micros();
        self.own(at, Moved::Adjustment, amount_micros, outcome);
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// Another package without a top-up, from `at` on: the running interval ends by the new rules.
    pub fn switch_package(
        &mut self,
        at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        let before = self.cash_micros();
        // What was crossed until now was a threshold of the package before; what the switch itself takes is judged by the new one's.
        self.rearm(rules);
        self.resize(at, false, rules, grant_at, outcome);
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// The running interval is kept, its end moved (billing-reference 5.6, "Package switch"). In the first one the free cash follows its
    /// new share, as far as it is not used: what was used was given.
    fn resize(
        &mut self,
        at: DateTime<Utc>,
        is_top_up: bool,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        let end = match rules.start {
            Some(StartMode::TopUp) => Some(at),
            Some(StartMode::TopUpInterval) => is_top_up.then_some(at),
            Some(StartMode::Create | StartMode::CreateTz | StartMode::First | StartMode::FirstTz) | None => {
                self.cadence = rules.first_cadence(self.created_at);
                self.cadence.and_then(|cadence| cadence.at(at)).and_then(|stretch| stretch.end)
            }
        };
        if end.is_none() || end == Some(at) {
            self.cadence = None;
        }
        self.running_mut().stretch.end = end;
        let is_first = self.intervals.len() == 1 && self.running().stretch.contains(self.created_at);
        if is_first && end != Some(at) {
            let stretch = self.running().stretch;
            let grant = self.first_grant(&stretch, grant_at(self.created_at), rules);
            let running = self.running_mut();
            let more = grant.micros.saturating_sub(running.granted.micros);
            // The reference has one sum of cash, which may go below 0. Here only what is left can be taken back, and what was given stays counted: so
            // the next switch gives none of it a second time.
            let more = if rules.compat { more } else { more.max(-running.left.micros.max(0)) };
            running.granted.micros = running.granted.micros.saturating_add(more);
            running.left.micros = running.left.micros.saturating_add(more);
            let what = if more >= 0 { Moved::GrantCash } else { Moved::ExpireCash };
            move_if(outcome, at, what, more);
        }
        if end == Some(at) && !is_top_up {
            self.renew(at, rules, grant_at, outcome);
        }
    }

    /// Ends the running interval at `at` and begins the next.
    fn renew(
        &mut self,
        at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        self.running_mut().stretch.end = Some(at);
        self.end_interval(at, rules, outcome);
        let next = self.cadence.and_then(|cadence| cadence.at(at));
        self.begin(next.unwrap_or(Stretch { start: at, end: None }), at, grant_at(at), outcome);
    }

    /// Whether a top-up now is in the last part of the running interval.
    fn is_timely(&self, at: DateTime<Utc>, rules: &Rules) -> bool {
        let Some(timely) = rules.timely else { return false };
        let stretch = self.running().stretch;
        // Of an open interval, the end that it would have.
        let end = stretch.end.or_else(|| later(stretch.start, rules.zone, rules.interval, 1));
        let begins = end.and_then(|end| later(end, rules.zone, timely, -1));
        end.is_some_and(|end| at < end) && begins.is_some_and(|begins| begins <= at)
    }
}
