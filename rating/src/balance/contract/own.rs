//! Own money that expires: when, and what it means for calls that become known later.
//!
//! Where own money has ended since a call began, the call is paid as it would have been in time: what had expired comes back for it, and what
//! it gives back expires at once. What was owed at such an end did not end, so only what is above 0 is ever moved.

use chrono::{DateTime, Utc};
use model::{BalanceLength, CarryOver};

use super::Contract;
use crate::balance::cadence::later;
use crate::balance::movement::{Moved, Outcome};
use crate::balance::order::{EndOfOwn, Order};
use crate::balance::rules::Rules;

/// Which end of own money: of which order in the list, the first or a later one.
#[derive(Debug, Clone, Copy)]
struct PlaceOfEnd {
    order: usize,
    again: Option<usize>,
}

impl Contract {
    /// Own money of an open interval: without a timely top-up, or any, it expires there.
    pub(super) fn expire_open(&mut self, to: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let running = self.running().stretch;
        if running.end.is_some() {
            return;
        }
        let Some(expiry) = self.expiry(rules).filter(|expiry| *expiry <= to) else { return };
        let last = self.order(running.start).and_then(Order::last_end);
        // Each end is noted, also where nothing was left: what comes in later is not there for calls from before it.
        if self.own_micros > 0 || last.is_none_or(|last| last < expiry) {
            let before = self.cash_micros();
            self.end_own(expiry, rules, outcome);
            self.check_underrun(expiry, before, rules, outcome);
        }
    }

    /// Own money ends in the running interval.
    pub(super) fn end_own(&mut self, at: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let own = self.own_micros;
        if !rules.compat {
            self.note_end(at, own);
        }
        // What is owed does not expire.
        if own > 0 {
            self.own(at, Moved::DiscardOwn, -own, outcome);
        }
    }

    /// Keeps what calls that become known later have to know of it.
    fn note_end(&mut self, at: DateTime<Utc>, own: i64) {
        let running = *self.running();
        if own == 0 && running.stretch.end == Some(at) && self.order(running.stretch.start).is_none() {
            // Of very many accounts, interval after interval.
            self.running_mut().own_ended = true;
            return;
        }
        let Some(order) = self.order_of(running.stretch.start) else { return };
        let Some(last) = order.last_end() else {
            (order.own_ended_at, order.expired_micros) = (Some(at), own);
            return;
        };
        match order.ended_again.last_mut() {
            // The end that is known.
            _ if own <= 0 && last == at => {}
            Some(last) if last.at == at => {
                last.expired_micros = last.expired_micros.max(0).saturating_add(own)
            }
            Some(_) | None => order.ended_again.push(EndOfOwn { at, expired_micros: own }),
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
        let of_orders = self.ends_of_own(at, interval).into_iter().next();
        let of_orders = of_orders.map(|(ended_at, place)| (ended_at, self.expired(place)));
        let of_others = self.ends_without_order(at, interval).map(|(ended_at, _)| (ended_at, 0));
        let ended = of_orders.into_iter().chain(of_others).min_by_key(|(ended_at, _)| *ended_at);
        ended.map_or(self.own_micros, |(_, expired)| expired).max(0)
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
        // From now on they have to be known by what expired.
        let others: Vec<DateTime<Utc>> =
            self.ends_without_order(began, interval).map(|(_, start)| start).collect();
        for start in others {
            self.order_of(start);
        }
        let (mut left, mut expired) = (amount_micros, 0i64);
        for (ended_at, place) in self.ends_of_own(began, interval) {
            // Of an earlier release that is known by what expired alone, which may be nothing from now on.
            self.orders[place.order].own_ended_at.get_or_insert(ended_at);
            let of_end = self.expired_mut(place);
            let before = (*of_end).max(0);
            *of_end = of_end.saturating_add(left);
            let more = (*of_end).max(0).saturating_sub(before);
            left = left.saturating_sub(more);
            expired = expired.saturating_add(more);
        }
        if expired != 0 {
            self.own(at, Moved::DiscardOwn, expired.saturating_neg(), outcome);
        }
    }

    /// Where own money ended after `at`, in `interval` or later, by time.
    fn ends_of_own(&self, at: DateTime<Utc>, interval: DateTime<Utc>) -> Vec<(DateTime<Utc>, PlaceOfEnd)> {
        let mut ended = Vec::new();
        for (idx, order) in self.orders.iter().enumerate().filter(|(_, order)| order.interval >= interval) {
            let first =
                self.own_ended_at(order).map(|ended_at| (ended_at, PlaceOfEnd { order: idx, again: None }));
            let again = order.ended_again.iter().enumerate();
            let again = again.map(|(place, end)| (end.at, PlaceOfEnd { order: idx, again: Some(place) }));
            ended.extend(first.into_iter().chain(again).filter(|(ended_at, _)| *ended_at > at));
        }
        // Those of one instant in the order in which they came.
        ended.sort_by_key(|(ended_at, _)| *ended_at);
        ended
    }

    /// The same where there was none when it ended and nothing of it had moved: when, and the start of the interval.
    fn ends_without_order(
        &self,
        at: DateTime<Utc>,
        interval: DateTime<Utc>,
    ) -> impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)> {
        let ended = self.intervals.iter().filter(move |it| it.own_ended && it.stretch.start >= interval);
        let ended = ended.filter_map(|it| Some((it.stretch.end?, it.stretch.start)));
        ended.filter(move |(ended_at, start)| *ended_at > at && self.order(*start).is_none())
    }

    fn expired(&self, place: PlaceOfEnd) -> i64 {
        let order = &self.orders[place.order];
        place.again.map_or(order.expired_micros, |again| order.ended_again[again].expired_micros)
    }

    fn expired_mut(&mut self, place: PlaceOfEnd) -> &mut i64 {
        let order = &mut self.orders[place.order];
        match place.again {
            None => &mut order.expired_micros,
            Some(again) => &mut order.ended_again[again].expired_micros,
        }
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
