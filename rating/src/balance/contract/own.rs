//! Own money that expires: when, and what it means for calls that become known later.
//!
//! Where own money has ended since a call began, the call is paid as it would have been in time: what had expired comes back for it, and what
//! it gives back expires at once. What was owed at such an end did not end, so only what is above 0 is ever moved.

use chrono::{DateTime, Utc};
use model::{BalanceLength, CarryOver};

use super::Contract;
use crate::balance::cadence::later;
use crate::balance::movement::{Moved, Outcome};
use crate::balance::order::Order;
use crate::balance::rules::Rules;

impl Contract {
    /// Own money of an open interval: without a timely top-up, or any, it expires there.
    pub(super) fn expire_open(&mut self, to: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let running = self.running().stretch;
        if running.end.is_some() {
            return;
        }
        let Some(expiry) = self.expiry(rules).filter(|expiry| *expiry <= to) else { return };
        let has_ended = self.order(running.start).is_some_and(|order| order.own_ended_at.is_some());
        if self.own_micros > 0 || !has_ended {
            let before = self.cash_micros();
            self.end_own(expiry, rules, outcome);
            self.check_underrun(expiry, before, rules, outcome);
        }
    }

    /// Own money ends in the running interval.
    pub(super) fn end_own(&mut self, at: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let own = self.own_micros;
        if !rules.compat
            && let Some(order) = self.order_of(self.running().stretch.start)
        {
            // A second time in one interval: what came in between ends too.
            let before = if order.own_ended_at.is_some() { order.expired_micros.max(0) } else { 0 };
            if own > 0 || order.own_ended_at.is_none() {
                order.expired_micros = before.saturating_add(own);
                order.own_ended_at = Some(at);
            }
        }
        // What is owed does not expire.
        if own > 0 {
            self.own(at, Moved::DiscardOwn, -own, outcome);
        }
    }

    /// When own money expires if no top-up comes.
    pub(super) fn expiry(&self, rules: &Rules) -> Option<DateTime<Utc>> {
        let by_discard = rules.discard_without_topup.and_then(|n| {
            let unit = BalanceLength { count: 1, ..rules.interval };
            later(self.last_topup_end, rules.zone, unit, i64::from(n))
        });
        let is_open = self.running().stretch.end.is_none();
        let by_time = (is_open && rules.carry_over == CarryOver::Timely)
            .then(|| later(self.running().stretch.start, rules.zone, rules.interval, 1))
            .flatten();
        [by_discard, by_time].into_iter().flatten().min()
    }

    /// Own money that a postpaid call which began at `at` in `interval` may use: what there was when it ended, or there is if it has not.
    pub(in crate::balance) fn own_at_hand(&self, at: DateTime<Utc>, interval: DateTime<Utc>) -> i64 {
        let ended =
            self.ends_of_own(at, interval).first().map(|(_, place)| self.orders[*place].expired_micros);
        ended.unwrap_or(self.own_micros).max(0)
    }

    /// Own money of a call which began at `began` in an interval has changed by `amount_micros`. Where own money has ended since, what had expired is
    /// so much more or less.
    pub(in crate::balance) fn reach_back(
        &mut self,
        at: DateTime<Utc>,
        (began, interval): (DateTime<Utc>, DateTime<Utc>),
        amount_micros: i64,
        outcome: &mut Outcome,
    ) {
        let (mut left, mut expired) = (amount_micros, 0i64);
        for (ended_at, place) in self.ends_of_own(began, interval) {
            let order = &mut self.orders[place];
            // Of an earlier release that is known by what expired alone, which may be nothing from now on.
            order.own_ended_at.get_or_insert(ended_at);
            let before = order.expired_micros.max(0);
            order.expired_micros = order.expired_micros.saturating_add(left);
            let more = order.expired_micros.max(0).saturating_sub(before);
            left = left.saturating_sub(more);
            expired = expired.saturating_add(more);
        }
        if expired != 0 {
            self.own(at, Moved::DiscardOwn, expired.saturating_neg(), outcome);
        }
    }

    /// Where own money ended after `at`, in `interval` or later: when, and the places in the list of orders, by time.
    fn ends_of_own(&self, at: DateTime<Utc>, interval: DateTime<Utc>) -> Vec<(DateTime<Utc>, usize)> {
        let ended = self.orders.iter().enumerate().filter_map(|(place, order)| {
            let ended_at = self.own_ended_at(order).filter(|ended_at| *ended_at > at)?;
            (order.interval >= interval).then_some((ended_at, place))
        });
        let mut ended: Vec<(DateTime<Utc>, usize)> = ended.collect();
        ended.sort_unstable();
        ended
    }

    /// Earlier releases kept what expired and not when: at the end of the interval.
    fn own_ended_at(&self, order: &Order) -> Option<DateTime<Utc>> {
        let at_end = || {
            let interval = self.interval(order.interval).filter(|_| order.expired_micros > 0)?;
            interval.stretch.end
        };
        order.own_ended_at.or_else(at_end)
    }
}
