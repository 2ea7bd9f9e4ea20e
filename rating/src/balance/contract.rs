//! The balance of one account: intervals, grants, calls, top-ups.
//!
//! In: what happens to the account, in the order in which it becomes known, with the time it happened. Out: [`Movement`]s, each of which
//! becomes one posting, and [`Happening`]s for others to carry out. The state is the sum of the movements and nothing else:
//! [`Contract::own_micros`] and the free rest of each interval can be rebuilt from postings.
//!
//! Amounts are millionths of the account's currency. Own money and free cash are kept apart, so what expires is what was left of
//! the grant. With `compat` the reference's formula decides instead (billing-reference 5.8).

mod own;
mod quick;
mod reference;
mod spend;
mod top_up;

use chrono::{DateTime, Utc};
use model::{CarryOver, ProfileVersionId};
use serde::{Deserialize, Serialize};

use super::cadence::{Cadence, Stretch, midnight};
use super::movement::{Happening, Moved, Movement, Outcome, ProfileSet, move_if};
use super::order::Order;
use super::rules::Rules;

pub(crate) use self::quick::{Quick, Words};
pub use self::spend::{Due, Taken};

/// Intervals kept after their end, for calls whose records come late. An earlier one's grant is gone for good.
const ENDED_KEPT: usize = 3;

/// Intervals caught up with in one go; what is left is done the next time.
const CAUGHT_UP_MAX: usize = 1_000;

/// What an interval gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// Of free time.
    pub seconds: u64,
    /// Of free cash.
    pub micros: i64,
}

/// One interval of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// From when to when.
    pub stretch: Stretch,
    /// What it gave, in proportion if it is the first.
    pub granted: Grant,
    /// What is left of that. Of an interval that has ended: what has expired, and comes back for a call whose record is late.
    pub left: Grant,
    /// Price of all calls in it, whoever paid: the reference's debit counter.
    pub debit_micros: i64,
    /// Top-ups in it.
    pub n_topups: u32,
    /// Of these in its timely part.
    pub n_timely: u32,
    /// Cash at its end, as a row of the reference would still have it.
    #[serde(default)]
    pub ended_with_micros: i64,
    /// Own money ended at its end, when there was none and none had moved in it: all that can matter of that later. Where there was some,
    /// it is kept with the order of the calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) own_ended: bool,
}

/// What calls priced by their usage have used in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Start of the interval.
    pub interval: DateTime<Utc>,
    /// The tariff version whose steps it counts for.
    pub version: ProfileVersionId,
    /// Used.
    pub seconds: u64,
    /// What they cost, millionths.
    pub micros: i64,
}

/// The balance of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Own money; below 0 it is owed.
    pub own_micros: i64,
    /// The running interval last, before it those that ended not long ago.
    pub intervals: Vec<Interval>,
    /// Of the intervals that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) usage: Vec<Usage>,
    /// Of those whose calls may have to be set in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) orders: Vec<Order>,
    /// How intervals follow each other; `None`: the running one is open.
    cadence: Option<Cadence>,
    /// End of the last interval with a top-up, or of the first; `None`: it began there, being open.
    last_topup_end: DateTime<Utc>,
    /// Each happens once until the balance is above its threshold again.
    is_under_lock: bool,
    is_under_profile: bool,
}

impl Contract {
    /// Opens a contract. `grant_at` says what the profile in force at an instant gives.
    pub fn open(
        created_at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) -> Contract {
        let mut contract = Contract {
            created_at,
            own_micros: 0,
            intervals: Vec::new(),
            usage: Vec::new(),
            orders: Vec::new(),
            cadence: rules.first_cadence(created_at),
            last_topup_end: created_at,
            is_under_lock: false,
            is_under_profile: false,
        };
        let open = Stretch { start: created_at, end: None };
        let stretch = contract.cadence.and_then(|cadence| cadence.at(created_at)).unwrap_or(open);
        contract.last_topup_end = stretch.end.unwrap_or(created_at);
        if rules.initial_micros != 0 {
            contract.own(created_at, Moved::InitialOwn, rules.initial_micros, outcome);
        }
        let whole = grant_at(created_at);
        let grant = contract.first_grant(&stretch, whole, rules);
        contract.begin(stretch, created_at, grant, outcome);
        contract.check_underrun(created_at, i64::MAX, rules, outcome);
        contract
    }

    /// The running interval.
    pub fn running(&self) -> &Interval {
        self.intervals.last().expect("a contract begins with an interval and keeps the last")
    }

    /// Cash at hand: own money and what is left of the running interval's free cash, millionths.
    pub fn cash_micros(&self) -> i64 {
        self.own_micros.saturating_add(self.running().left.micros)
    }

    /// Ends the intervals that end at or before `to`. Returns whether all of them are done.
    pub fn catch_up(
        &mut self,
        to: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) -> bool {
        for _ in 0..CAUGHT_UP_MAX {
            let Some(end) = self.running().stretch.end.filter(|end| *end <= to) else {
                self.expire_open(to, rules, outcome);
                return true;
            };
            self.follow_length(rules);
            let next = self.cadence.and_then(|cadence| cadence.at(end));
            // Of another length, it may have begun before.
            let next = Stretch { start: end, end: next.and_then(|next| next.end) };
            let before = self.cash_micros();
            self.end_interval(end, rules, outcome);
            self.begin(next, end, grant_at(end), outcome);
            self.rearm(rules);
            self.check_underrun(end, before, rules, outcome);
        }
        false
    }

    /// A new profile may have intervals of another length: they begin where they would had it always been that.
    fn follow_length(&mut self, rules: &Rules) {
        let is_other = self.cadence.is_some_and(|cadence| cadence.length != rules.interval);
        if is_other && let Some(cadence) = rules.first_cadence(self.created_at) {
            self.cadence = Some(cadence);
        }
    }

    /// When the next interval begins, or own money of an open one expires.
    pub fn due_at(&self, rules: &Rules) -> Option<DateTime<Utc>> {
        let open = || self.expiry(rules).filter(|_| self.own_micros > 0);
        self.running().stretch.end.or_else(open)
    }

    /// The intervals that a call touches, from its start to its end, with the free time there is. A call older than all that is kept
    /// touches the oldest one, whose grant it must not use: it has none left there.
    pub fn touched(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Vec<Interval> {
        let mut touched: Vec<Interval> = self
            .intervals
            .iter()
            .filter(|interval| {
                interval.stretch.start <= end && interval.stretch.end.is_none_or(|until| start < until)
            })
            .copied()
            .collect();
        if touched.is_empty() {
            // Named by its own start, which is no interval's: so none is taken for it.
            let oldest = self.intervals[0];
            let stretch = Stretch { start, ..oldest.stretch };
            touched.push(Interval { stretch, left: Grant::default(), ..oldest });
        } else if touched.len() > 1 && touched[touched.len() - 1].stretch.start == end {
            // A call that ends with an interval has nothing in the next.
            touched.pop();
        }
        touched
    }

    /// What is left of the grants expires; own money as the carry-over says.
    fn end_interval(&mut self, end: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let before = self.cash_micros();
        let Interval { granted, left, debit_micros, n_timely, .. } = *self.running();
        let is_carried = match rules.carry_over {
            CarryOver::CarryOver => true,
            CarryOver::Timely => n_timely > 0,
            CarryOver::Discard => false,
        };
        let is_carried = is_carried && self.expiry(rules).is_none_or(|expiry| end < expiry);
        move_if(outcome, end, Moved::ExpireTime, -signed(left.seconds));
        if rules.compat {
            // One sum of cash, and what the counter of prices says was not used of the grant (5.8).
            let unused = granted.micros.saturating_sub(debit_micros).max(0);
            let kept = if is_carried { before.saturating_sub(unused) } else { 0 };
            move_if(outcome, end, Moved::ExpireCash, -left.micros);
            let change = kept.saturating_sub(self.own_micros);
            if change != 0 {
                self.own(end, Moved::DiscardOwn, change, outcome);
            }
        } else {
            move_if(outcome, end, Moved::ExpireCash, -left.micros);
            if !is_carried {
                self.end_own(end, rules, outcome);
            }
        }
        let running = self.running_mut();
        running.ended_with_micros = before;
        if running.n_topups > 0 {
            self.last_topup_end = end;
        }
    }

    /// The share of the first interval's grant: from midnight of the day of creation, or from creation if the interval begins later.
    fn first_grant(&self, stretch: &Stretch, whole: Grant, rules: &Rules) -> Grant {
        let Some(end) = stretch.end else { return whole };
        let day = super::cadence::resolved(rules.zone, midnight(self.created_at, rules.zone));
        let from = day.filter(|day| stretch.start <= *day).unwrap_or(self.created_at).max(stretch.start);
        let part = (end - from).num_seconds();
        let all = (end - stretch.start).num_seconds();
        if all <= 0 || part >= all {
            return whole;
        }
        let share = |amount: i128| {
            let (part, all) = (i128::from(part.max(0)), i128::from(all));
            (amount * part * 2 + all).div_euclid(all * 2)
        };
        Grant {
            seconds: u64::try_from(share(i128::from(whole.seconds))).unwrap_or(0),
            micros: i64::try_from(share(i128::from(whole.micros))).unwrap_or(0),
        }
    }

    fn begin(&mut self, stretch: Stretch, at: DateTime<Utc>, grant: Grant, outcome: &mut Outcome) {
        move_if(outcome, at, Moved::GrantCash, grant.micros);
        move_if(outcome, at, Moved::GrantTime, signed(grant.seconds));
        if self.place_of(stretch.start).is_some() {
            self.begin_twice(stretch.start);
        }
        self.intervals.push(Interval {
            stretch,
            granted: grant,
            left: grant,
            debit_micros: 0,
            n_topups: 0,
            n_timely: 0,
            ended_with_micros: 0,
            own_ended: false,
        });
        if self.intervals.len() > ENDED_KEPT + 1 {
            let gone = self.intervals.remove(0).stretch.start;
            if self.place_of(gone).is_none() {
                self.usage.retain(|usage| usage.interval != gone);
                self.orders.retain(|order| order.interval != gone);
            }
        }
    }

    pub(super) fn own(&mut self, at: DateTime<Utc>, what: Moved, amount: i64, outcome: &mut Outcome) {
        self.own_micros = self.own_micros.saturating_add(amount);
        outcome.movements.push(Movement { at, what, amount });
    }

    /// Whether it fell from at or above a threshold to below (5.9).
    pub(super) fn check_underrun(
        &mut self,
        at: DateTime<Utc>,
        before: i64,
        rules: &Rules,
        outcome: &mut Outcome,
    ) {
        let now = self.cash_micros();
        let falls = |threshold: i64| before >= threshold && now < threshold;
        if let Some((threshold, level)) = rules.underrun_lock
            && falls(threshold)
            && !self.is_under_lock
        {
            self.is_under_lock = true;
            let why = "the balance fell below the lock threshold of the package";
            outcome.happenings.push(Happening::Lock { at, level, why });
        }
        if let Some(threshold) = rules.underrun_profiles
            && falls(threshold)
            && !self.is_under_profile
        {
            self.is_under_profile = true;
            outcome.happenings.push(Happening::Profiles { at, set: ProfileSet::Underrun });
        }
    }

    /// A balance at its threshold again may fall below it again.
    pub(super) fn rearm(&mut self, rules: &Rules) {
        let now = self.cash_micros();
        self.is_under_lock &= rules.underrun_lock.is_some_and(|(threshold, _)| now < threshold);
        self.is_under_profile &= rules.underrun_profiles.is_some_and(|threshold| now < threshold);
    }

    fn running_mut(&mut self) -> &mut Interval {
        self.intervals.last_mut().expect("a contract begins with an interval and keeps the last")
    }

    /// Of two that begin at once, because a top-up ended the first there, the last.
    fn place_of(&self, start: DateTime<Utc>) -> Option<usize> {
        self.intervals.iter().rposition(|interval| interval.stretch.start == start)
    }

    /// The one that begins then, if it is kept.
    pub(crate) fn interval(&self, start: DateTime<Utc>) -> Option<&Interval> {
        self.place_of(start).map(|place| &self.intervals[place])
    }

    pub(super) fn interval_mut(&mut self, start: DateTime<Utc>) -> Option<&mut Interval> {
        self.place_of(start).map(|place| &mut self.intervals[place])
    }
}

pub(super) fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}
