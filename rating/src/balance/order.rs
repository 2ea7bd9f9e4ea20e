//! Calls of an interval that become known in another order than the one in which they began.
//!
//! Only free time makes it matter: which calls it pays for decides what the others cost. In: by how much what was taken differs from
//! what the order of their starts would have taken, which [`crate::in_order`] reckons. Out: movements that make it the same, as part of
//! what the call took whose record brought it about; they go when that record goes.

use chrono::{DateTime, Utc};
use model::{CdrId, ProfileVersionId};
use serde::{Deserialize, Serialize};

use super::Stretch;
use super::contract::{Contract, Moved, Movement, Outcome, Rules, Taken, move_if};
use crate::in_order::Paid;

/// Where a call is in the order.
pub(crate) type Place = (DateTime<Utc>, CdrId);

/// What an interval knows of the order of its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The last call so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) last: Option<Place>,
    /// One that begins after this call finds no free time, and takes none from others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) free_until: Option<Place>,
    /// A call of it carries what others cost more or less in order: when one of those is priced again, that changes too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_shifted: bool,
    /// Free seconds that a call had given back to others and took again when it was replaced, and that are used: they are made good by the
    /// same record, or if that cannot be known, by nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) short_seconds: u64,
    /// What some call took of it is not known any more, or was reckoned as the reference does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_unknown: bool,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Order {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Order::default()
    }
}

/// By how much a count of usage is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UsageShift {
    /// Start of the interval.
    pub(crate) interval: DateTime<Utc>,
    pub(crate) version: ProfileVersionId,
    pub(crate) seconds: i64,
    pub(crate) micros: i64,
}

/// What one call took more, or less, for others.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Shifts {
    /// Free seconds, by the interval's start.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) seconds: Vec<(DateTime<Utc>, i64)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) usage: Vec<UsageShift>,
    /// There is money in it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) has_money: bool,
}

impl Shifts {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Shifts::default()
    }
}

/// What the order of starts makes of the calls of some intervals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reordered {
    /// By the interval's start: millionths that its calls cost more in that order.
    pub(crate) money: Vec<(DateTime<Utc>, i64)>,
    /// And free seconds that they use more.
    pub(crate) seconds: Vec<(DateTime<Utc>, i64)>,
    pub(crate) usage: Vec<UsageShift>,
    /// Where free time ends in each; `None`: there is some left.
    pub(crate) free_until: Vec<(DateTime<Utc>, Option<Place>)>,
    /// Own money that these calls took.
    pub(crate) own_micros: i64,
    /// What they cost and nothing has paid for.
    pub(crate) owed_micros: i64,
}

/// What setting calls in order came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Shifted {
    /// They cost more by this.
    pub(crate) micros: i64,
    /// Of it, what no balance pays or gets back.
    pub(crate) owed_micros: i64,
}

impl Contract {
    /// Makes what the calls took what their order says. With `only_back`, an account held to what it has: calls were let by what it had,
    /// so it gets back and is never asked for more.
    pub(crate) fn set_in_order(
        &mut self,
        at: DateTime<Utc>,
        reordered: &Reordered,
        (rules, only_back): (&Rules, bool),
        taken: &mut Taken,
        outcome: &mut Outcome,
    ) -> Shifted {
        for (start, free_until) in &reordered.free_until {
            if let Some(interval) = self.interval_mut(*start) {
                interval.order.free_until = *free_until;
                interval.order.is_shifted |= !reordered.money.is_empty() || !reordered.seconds.is_empty();
            }
        }
        for (start, seconds) in &reordered.seconds {
            self.shift_time(at, *start, *seconds, outcome);
            taken.shifts.seconds.push((*start, *seconds));
        }
        for shift in &reordered.usage {
            self.shift_usage(shift);
            taken.shifts.usage.push(*shift);
        }
        let micros: i64 = reordered.money.iter().map(|(_, micros)| micros).sum();
        if only_back && micros > 0 {
            self.keep_order(at, outcome);
            return Shifted::default();
        }
        taken.shifts.has_money = !reordered.money.is_empty();
        let before = self.cash_micros();
        let mut owed_micros = 0;
        let (mut own_taken, mut owed) = (reordered.own_micros.max(0), reordered.owed_micros.max(0));
        for (start, more) in &reordered.money {
            let (of_own, of_grant) = if *more > 0 {
                self.paid_with(*start, *more, rules)
            } else {
                // Back in the other order than it was taken in: what is owed, own money, free cash.
                let back = -more;
                let of_owed = if rules.prepaid { 0 } else { back.min(owed) };
                let of_own = (back - of_owed).min(own_taken);
                (owed, own_taken) = (owed - of_owed, own_taken - of_own);
                let of_grant = (back - of_owed - of_own).min(self.free_cash_used(*start));
                // What is left over was never taken from anything that is still known.
                let of_own = if rules.prepaid { back - of_owed - of_grant } else { of_own };
                (-of_own, -of_grant)
            };
            owed_micros += more - of_own - of_grant;
            self.shift_cash(at, *start, (of_own, of_grant), taken, outcome);
            taken.debits.push((*start, *more));
            if let Some(interval) = self.interval_mut(*start) {
                interval.debit_micros = interval.debit_micros.saturating_add(*more);
            }
        }
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
        Shifted { micros, owed_micros }
    }

    /// A call was priced in these intervals.
    pub(crate) fn count_call(&mut self, place: Place, spans: &[Stretch]) {
        for span in spans {
            if let Some(interval) =
                self.interval_mut(span.start).filter(|interval| interval.granted.seconds > 0)
            {
                let order = &mut interval.order;
                order.last = order.last.max(Some(place));
                // It took the last of the free time in its turn, or found none. If it did not, what follows says where it ended.
                if interval.left.seconds == 0 && order.free_until.is_none() && order.last == Some(place) {
                    order.free_until = Some(place);
                }
            }
        }
    }

    /// What was taken of an interval cannot be set in order any more. Returns whether it was not known.
    pub(crate) fn forget_order(&mut self, start: DateTime<Utc>) -> bool {
        let interval = self.interval_mut(start).filter(|interval| !interval.order.is_unknown);
        interval.map(|interval| interval.order.is_unknown = true).is_some()
    }

    pub(crate) fn gives_cash(&self, start: DateTime<Utc>) -> bool {
        self.interval(start).is_some_and(|interval| interval.granted.micros > 0)
    }

    /// A call costs something else than before: free cash that it leaves pays for others of its intervals, as it would have had they been priced after
    /// it, and what it paid for others of them comes back if they do not need it. Returns what is owed no more.
    pub(crate) fn pay_others(
        &mut self,
        at: DateTime<Utc>,
        spans: &[Stretch],
        paid: Paid,
        rules: &Rules,
        taken: &mut Taken,
        outcome: &mut Outcome,
    ) -> i64 {
        let Paid { mut own, mut owed } = paid;
        let mut settled = 0;
        for span in spans {
            let Some(place) = self.place_of(span.start) else { continue };
            // What the record before had back for others may be spent since, of free cash and of own money: that is made good first.
            let short = self.intervals[place].left.micros.min(0).saturating_neg();
            let of_own = if rules.prepaid { short } else { short.min(self.own_micros.max(0)) };
            self.shift_cash(at, span.start, (of_own, -short), taken, outcome);
            (own, owed, settled) = (own + of_own, owed + short - of_own, settled - (short - of_own));
            let spent =
                self.own_micros.min(0).saturating_neg().min(own).min(self.intervals[place].left.micros);
            self.shift_cash(at, span.start, (-spent.max(0), spent.max(0)), taken, outcome);
            own -= spent.max(0);
            let of_owed = if rules.prepaid { 0 } else { self.free_cash_for(place, owed, rules) };
            self.shift_cash(at, span.start, (0, of_owed), taken, outcome);
            let of_own = self.free_cash_for(place, own, rules);
            self.shift_cash(at, span.start, (-of_own, of_own), taken, outcome);
            (owed, own, settled) = (owed - of_owed, own - of_own, settled + of_owed);
        }
        settled
    }

    /// Free cash that pays for so much; of less than nothing, what it paid too much.
    fn free_cash_for(&self, place: usize, micros: i64, rules: &Rules) -> i64 {
        if micros >= 0 {
            return self.free_cash_at_hand(place, rules).min(micros).max(0);
        }
        micros.max(-self.free_cash_used(self.intervals[place].stretch.start))
    }

    /// Says that calls stay as they were priced.
    #[expect(clippy::unused_self, reason = "it says so of this contract")]
    pub(crate) fn keep_order(&self, at: DateTime<Utc>, outcome: &mut Outcome) {
        outcome.movements.push(Movement { at, what: Moved::OrderKept, amount: 0 });
    }

    /// How a price is paid: from own money and from free cash of the interval.
    fn paid_with(&self, start: DateTime<Utc>, micros: i64, rules: &Rules) -> (i64, i64) {
        let place = self.place_of(start);
        let of_grant = place.map_or(0, |place| micros.min(self.free_cash_at_hand(place, rules)));
        let rest = micros - of_grant;
        (if rules.prepaid { rest } else { rest.min(self.own_micros.max(0)) }, of_grant)
    }

    fn free_cash_used(&self, start: DateTime<Utc>) -> i64 {
        let interval = self.place_of(start).map(|place| &self.intervals[place]);
        interval.map_or(0, |interval| (interval.granted.micros - interval.left.micros).max(0))
    }

    fn shift_cash(
        &mut self,
        at: DateTime<Utc>,
        start: DateTime<Utc>,
        (of_own, of_grant): (i64, i64),
        taken: &mut Taken,
        outcome: &mut Outcome,
    ) {
        if of_grant != 0 {
            if start != self.running().stretch.start {
                move_if(outcome, at, Moved::ExpireCash, of_grant);
            }
            move_if(outcome, at, Moved::OrderFreeCash, -of_grant);
            if let Some(interval) = self.interval_mut(start) {
                interval.left.micros -= of_grant;
            }
            taken.of_grants.push((start, super::Grant { seconds: 0, micros: of_grant }));
        }
        if of_own != 0 {
            self.own(at, Moved::OrderOwn, -of_own, outcome);
            taken.own_micros += of_own;
        }
    }

    /// So many free seconds more are used, or less. Of an interval that has ended they come back, or expire, at once.
    pub(super) fn shift_time(
        &mut self,
        at: DateTime<Utc>,
        start: DateTime<Utc>,
        seconds: i64,
        outcome: &mut Outcome,
    ) {
        if start != self.running().stretch.start {
            move_if(outcome, at, Moved::ExpireTime, seconds);
        }
        move_if(outcome, at, Moved::OrderTime, -seconds);
        if let Some(interval) = self.interval_mut(start) {
            let has = i128::from(interval.left.seconds) - i128::from(interval.order.short_seconds);
            let left = has - i128::from(seconds);
            interval.left.seconds = u64::try_from(left.max(0)).unwrap_or(u64::MAX);
            interval.order.short_seconds = u64::try_from((-left).max(0)).unwrap_or(u64::MAX);
        }
    }

    pub(super) fn shift_usage(&mut self, shift: &UsageShift) {
        if self.place_of(shift.interval).is_none() {
            return;
        }
        let before = self.used(shift.interval, shift.version);
        let seconds = before.seconds.saturating_add_signed(shift.seconds);
        let micros = before.micros.saturating_add(shift.micros);
        self.usage.retain(|there| (there.interval, there.version) != (shift.interval, shift.version));
        if (seconds, micros) != (0, 0) {
            self.usage.push(super::Usage { seconds, micros, ..before });
        }
    }
}
