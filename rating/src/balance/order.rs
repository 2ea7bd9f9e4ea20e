//! What a balance knows of the order in which the calls of an interval began.
//!
//! Free time alone makes it matter: which calls it pays for decides what the others cost. In: by how much the calls of an interval would cost
//! more or less in that order, which [`crate::in_order`] reckons. Out: what is shifted for it between the balance and what is owed, interval
//! by interval, as part of what the record carries that brought it about.

use chrono::{DateTime, Utc};
use model::CdrId;
use serde::{Deserialize, Serialize};

use super::cadence::Stretch;
use super::contract::{Contract, Grant, Interval, Taken, signed};
use super::movement::{Moved, Outcome, move_if};
use super::rules::Rules;

/// An end of own money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndOfOwn {
    pub(crate) at: DateTime<Utc>,
    /// As [`Order::expired_micros`].
    pub(crate) expired_micros: i64,
}

/// What is known of the calls of one interval that gives free time, or free cash that they have gone beyond, or own money that ended in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Order {
    /// Start of the interval.
    pub(crate) interval: DateTime<Utc>,
    /// Own money that its calls have taken, millionths.
    pub(crate) own_micros: i64,
    /// Own money that there was when own money ended in it, millionths: what of it is above 0 has expired, and comes back for a call whose
    /// record is late; what was owed did not end.
    pub(crate) expired_micros: i64,
    /// When that was; `None`: own money went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) own_ended_at: Option<DateTime<Utc>>,
    /// Where own money came in after that and ended too: by hand after an open interval's had expired, say. No call that began before the
    /// first end can use it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) ended_again: Vec<EndOfOwn>,
    /// Sum of its prices below 0, which leave free cash alone, millionths.
    pub(crate) credit_micros: i64,
    /// What its calls would cost more in order than they have been charged, millionths.
    pub(crate) lacks_micros: i64,
    /// Of that, what an account that was held to what it had is not asked for.
    pub(crate) forgiven_micros: i64,
    /// What its records carry for others in all, millionths.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) carried_micros: i64,
    /// Start of its last call so far.
    pub(crate) last: Option<DateTime<Utc>>,
    /// The posting in force that says that its calls are not set in order.
    pub(crate) stated: Option<Stated>,
    /// Some call took free time of it that is not known any more, or was priced in a way that has no order.
    pub(crate) is_unknown: bool,
}

impl Order {
    pub(crate) const fn of(interval: DateTime<Utc>) -> Order {
        Order {
            interval,
            own_micros: 0,
            expired_micros: 0,
            own_ended_at: None,
            ended_again: Vec::new(),
            credit_micros: 0,
            lacks_micros: 0,
            forgiven_micros: 0,
            carried_micros: 0,
            last: None,
            stated: None,
            is_unknown: false,
        }
    }
}

impl Order {
    /// When own money ended in it the last time.
    pub(crate) fn last_end(&self) -> Option<DateTime<Utc>> {
        self.ended_again.last().map(|end| end.at).or(self.own_ended_at)
    }
}

/// A posting of 0, and the record that brought it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stated {
    /// Its number among those of the balance.
    pub(crate) number: u64,
    pub(crate) cdr: CdrId,
    pub(crate) at: DateTime<Utc>,
}

/// What one record carries for the calls of an interval, more than its own price, millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shift {
    /// Start of the interval.
    pub(crate) interval: DateTime<Utc>,
    pub(crate) own_micros: i64,
    pub(crate) free_micros: i64,
    /// What no balance pays.
    pub(crate) owed_micros: i64,
}

impl Shift {
    pub(crate) const fn sum(&self) -> i64 {
        self.own_micros.saturating_add(self.free_micros).saturating_add(self.owed_micros)
    }
}

impl Contract {
    /// Of an interval that gives free time.
    pub(crate) fn order(&self, interval: DateTime<Utc>) -> Option<&Order> {
        self.orders.iter().find(|order| order.interval == interval)
    }

    /// Starts of the intervals whose calls are to be charged more, or given something back. An account is not asked for what it was forgiven.
    pub(crate) fn due_orders(&self) -> impl Iterator<Item = DateTime<Utc>> {
        let due = |order: &&Order| !order.is_unknown && order.lacks_micros != order.forgiven_micros;
        self.orders.iter().filter(due).map(|order| order.interval)
    }

    /// A call of an interval becomes known that began at `at`. Returns whether one that began after it is known already.
    pub(crate) fn comes_late(&mut self, interval: DateTime<Utc>, at: DateTime<Utc>) -> bool {
        let Some(order) = self.order_mut(interval) else { return false };
        let is_late = order.last.is_some_and(|last| at < last);
        order.last = order.last.max(Some(at));
        is_late
    }

    /// Before a call is priced: from then on it is known what its intervals give to whom.
    pub(crate) fn open_orders(&mut self, start: DateTime<Utc>, end: DateTime<Utc>) {
        for place in 0..self.intervals.len() {
            let Interval { stretch, granted, .. } = self.intervals[place];
            let is_touched = stretch.start <= end && stretch.end.is_none_or(|until| start < until);
            if is_touched && granted.seconds > 0 {
                self.order_of(stretch.start);
            }
        }
    }

    /// A call that began before all intervals that are kept is priced: what its record before had of the grants of those that are gone is
    /// there for it once more, as an interval that has ended. Where it had nothing, that interval gives nothing, so that the part of the call in it takes
    /// nothing of the next; `with_something` leaves that out. Returns whether there is one; then [`Self::take_back`] follows when the call is paid.
    pub(crate) fn lend(
        &mut self,
        (start, end): (DateTime<Utc>, DateTime<Utc>),
        before: Option<&Taken>,
        with_something: bool,
    ) -> bool {
        let first = self.intervals[0].stretch.start;
        let of_grants = before.map_or(&[][..], |before| &before.of_grants);
        let gone = of_grants.iter().filter(|(of, _)| self.interval(*of).is_none());
        let left = gone.fold(Grant::default(), |sum, (_, grant)| Grant {
            seconds: sum.seconds.saturating_add(grant.seconds),
            micros: sum.micros.saturating_add(grant.micros),
        });
        let is_wanted = left != Grant::default() || first <= end && !with_something;
        if first <= start || !is_wanted {
            return false;
        }
        let stretch = Stretch { start, end: Some(first) };
        self.intervals
            .insert(0, Interval { stretch, granted: left, left, own_ended: false, ..self.intervals[0] });
        true
    }

    /// What was lent and not used has expired already.
    pub(crate) fn take_back(&mut self) {
        let start = self.intervals.remove(0).stretch.start;
        self.orders.retain(|order| order.interval != start);
        self.usage.retain(|usage| usage.interval != start);
    }

    /// Two intervals begin at one instant: calls that touch both cannot be told apart.
    pub(super) fn begin_twice(&mut self, start: DateTime<Utc>) {
        let Some(Order { expired_micros, own_ended_at, ended_again, .. }) = self.order_of(start).cloned()
        else {
            return;
        };
        self.orders.retain(|order| order.interval != start);
        let is_unknown = true;
        self.orders.push(Order { expired_micros, own_ended_at, ended_again, is_unknown, ..Order::of(start) });
    }

    /// As [`Self::order`], to be changed.
    pub(crate) fn order_mut(&mut self, interval: DateTime<Utc>) -> Option<&mut Order> {
        let gives = self.interval(interval).is_some_and(|interval| interval.granted.seconds > 0);
        if gives || self.order(interval).is_some() { self.order_of(interval) } else { None }
    }

    /// As [`Self::order_mut`], also of one that gives no free time. `None`: the interval is not kept.
    pub(super) fn order_of(&mut self, interval: DateTime<Utc>) -> Option<&mut Order> {
        let place = match self.orders.iter().position(|order| order.interval == interval) {
            Some(place) => place,
            None => {
                // What was used of it before orders were kept is not known.
                let Interval { stretch, granted, left, own_ended, .. } = self.interval(interval)?;
                let is_unknown = left.seconds != granted.seconds;
                let own_ended_at = stretch.end.filter(|_| *own_ended);
                self.orders.push(Order { is_unknown, own_ended_at, ..Order::of(interval) });
                self.orders.len() - 1
            }
        };
        Some(&mut self.orders[place])
    }

    /// The calls of an interval would cost so much more in order than they have been charged. `None`: that is too much, or it is not kept.
    pub(crate) fn count_lacking(&mut self, interval: DateTime<Utc>, micros: i64) -> Option<()> {
        let order = self.order_mut(interval)?;
        order.lacks_micros = order.lacks_micros.checked_add(micros)?;
        Some(())
    }

    /// Counts own money that a call took in an interval, or with a negative amount gives back. Returns whether it is counted: where nothing is
    /// granted it need not be.
    pub(super) fn count_own(&mut self, interval: DateTime<Utc>, micros: i64) -> bool {
        let gives = self.interval(interval).is_some_and(|interval| interval.granted != Grant::default());
        let order = if gives { self.order_of(interval) } else { None };
        order.map(|order| order.own_micros = order.own_micros.saturating_add(micros)).is_some()
    }

    /// A price below 0 counts in an interval, or with a positive amount no longer.
    pub(super) fn count_credit(&mut self, interval: DateTime<Utc>, micros: i64) {
        if let Some(order) = self.order_of(interval) {
            order.credit_micros = order.credit_micros.saturating_add(micros);
        }
    }

    /// What the calls of an interval are to be charged more now, or given back. What an account is forgiven while it is `held` to what it has it
    /// is not asked for later either. Of what it was given back, as much is taken again as is not right any more and its record costs less than
    /// the one before it, which is `fallen_micros`: it has that money.
    pub(crate) fn due_in_order(&mut self, interval: DateTime<Utc>, is_held: bool, fallen_micros: i64) -> i64 {
        let Some(order) = self.order_mut(interval) else { return 0 };
        let most = order.lacks_micros.max(0);
        let given = order.carried_micros.min(0).saturating_neg();
        let again = most.min(given).min(fallen_micros.max(0));
        let forgiven = if is_held { most - again } else { order.forgiven_micros.clamp(0, most) };
        let due = order.lacks_micros.saturating_sub(forgiven);
        (order.forgiven_micros, order.lacks_micros) = (forgiven, forgiven);
        due
    }

    /// What some call took of an interval cannot be told in order.
    pub(crate) fn lose_order(&mut self, interval: DateTime<Utc>) {
        if let Some(order) = self.order_mut(interval) {
            (order.is_unknown, order.lacks_micros) = (true, 0);
        }
    }

    /// What its calls have left of its free time becomes `seconds`. Of an interval that has ended, what comes back expires at once.
    /// Returns how many seconds fewer there are.
    pub(crate) fn leave_time(
        &mut self,
        at: DateTime<Utc>,
        start: DateTime<Utc>,
        seconds: u64,
        outcome: &mut Outcome,
    ) -> i64 {
        let is_over = start != self.running().stretch.start;
        let Some(interval) = self.interval_mut(start) else { return 0 };
        let fewer = signed(interval.left.seconds) - signed(seconds);
        interval.left.seconds = seconds;
        if is_over {
            move_if(outcome, at, Moved::ExpireTime, fewer);
        }
        fewer
    }

    /// The calls of an interval cost so much more in all than they have been charged, or less: `taken` carries it. It is paid from free cash,
    /// then own money; what comes back is owed no more, then own money, then free cash, so each is what it would be in order.
    pub(crate) fn shift(
        &mut self,
        (at, start): (DateTime<Utc>, DateTime<Utc>),
        more_micros: i64,
        rules: &Rules,
        taken: &mut Taken,
        outcome: &mut Outcome,
    ) {
        let before = self.cash_micros();
        let order = self.order(start);
        let of_calls = order.map_or(0, |order| order.own_micros);
        let credit_micros = order.map_or(0, |order| order.credit_micros);
        let own_micros = self.own_micros;
        let own_at_hand = self.own_at_hand(start, start);
        let is_over = start != self.running().stretch.start;
        let Some(interval) = self.interval_mut(start) else { return };
        let used = interval.granted.micros.saturating_sub(interval.left.micros);
        let owed = interval.debit_micros.saturating_sub(used).saturating_sub(of_calls);
        interval.debit_micros = interval.debit_micros.saturating_add(more_micros);
        // A debt is set off against what was granted, as where a call is paid.
        let debt = if rules.prepaid || is_over { 0 } else { own_micros.min(0).saturating_neg() };
        let at_hand = interval.left.micros.saturating_sub(debt).max(0);
        let payable = interval.debit_micros.saturating_sub(credit_micros);
        let free = payable.clamp(0, interval.granted.micros.max(0)).saturating_sub(used).min(at_hand);
        interval.left.micros = interval.left.micros.saturating_sub(free);
        let rest = more_micros.saturating_sub(free);
        let of_own = match (rules.prepaid, rest >= 0) {
            (true, _) => rest,
            (false, true) => rest.min(own_at_hand),
            (false, false) => rest.saturating_add(owed.max(0)).min(0).max(-of_calls.max(0)),
        };
        if is_over {
            move_if(outcome, at, Moved::ExpireCash, free);
        }
        let owed_micros = rest.saturating_sub(of_own);
        let shift = Shift { interval: start, own_micros: of_own, free_micros: free, owed_micros };
        self.own_micros = self.own_micros.saturating_sub(of_own);
        self.reach_back(at, (start, start), of_own.saturating_neg(), outcome);
        self.count_own(start, of_own);
        self.count_carried(start, more_micros);
        carry(taken, shift);
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// A record carries no longer what it did for others of intervals whose order is not known any more.
    pub(crate) fn drop_shifts(&mut self, at: DateTime<Utc>, shifts: &[Shift], outcome: &mut Outcome) {
        let running = self.running().stretch.start;
        for shift in shifts {
            self.own_micros = self.own_micros.saturating_add(shift.own_micros);
            self.reach_back(at, (shift.interval, shift.interval), shift.own_micros, outcome);
            if let Some(interval) = self.interval_mut(shift.interval) {
                interval.left.micros = interval.left.micros.saturating_add(shift.free_micros);
                interval.debit_micros = interval.debit_micros.saturating_sub(shift.sum());
            }
            if shift.interval != running {
                move_if(outcome, at, Moved::ExpireCash, shift.free_micros.saturating_neg());
            }
            self.count_own(shift.interval, shift.own_micros.saturating_neg());
            self.count_carried(shift.interval, shift.sum().saturating_neg());
        }
    }

    fn count_carried(&mut self, interval: DateTime<Utc>, micros: i64) {
        if let Some(order) = self.order_mut(interval) {
            order.carried_micros = order.carried_micros.saturating_add(micros);
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(micros: &i64) -> bool {
    *micros == 0
}

fn carry(taken: &mut Taken, more: Shift) {
    let there = taken.shifts.iter_mut().find(|shift| shift.interval == more.interval);
    match there {
        Some(shift) => {
            shift.own_micros = shift.own_micros.saturating_add(more.own_micros);
            shift.free_micros = shift.free_micros.saturating_add(more.free_micros);
            shift.owed_micros = shift.owed_micros.saturating_add(more.owed_micros);
        }
        None => taken.shifts.push(more),
    }
    taken.shifts.retain(|shift| (shift.own_micros, shift.free_micros, shift.owed_micros) != (0, 0, 0));
}
