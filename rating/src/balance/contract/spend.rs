//! What calls take of a balance and give back.

use chrono::{DateTime, Utc};
use model::ProfileVersionId;
use serde::{Deserialize, Serialize};

use super::{Contract, Grant, Interval, Usage, signed};
use crate::balance::movement::{Moved, Outcome, move_if};
use crate::balance::order::Shift;
use crate::balance::rules::Rules;

/// What a call took, to be given back if its record is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taken {
    /// From own money, millionths.
    pub own_micros: i64,
    /// Of grants: by the interval's start.
    pub of_grants: Vec<(DateTime<Utc>, Grant)>,
    /// Price by the interval's start, for the debit counter.
    pub debits: Vec<(DateTime<Utc>, i64)>,
    /// Of balances that had ended, as the reference keeps them: by the interval's start, millionths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_ended: Vec<(DateTime<Utc>, i64)>,
    /// What it counted as used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Of own money, what was taken in which interval: by its start, millionths. Earlier releases kept those that give something alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_of: Vec<(DateTime<Utc>, i64)>,
    /// By earlier releases: what of it had expired at the end of the call's interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) of_expired: Vec<(DateTime<Utc>, i64)>,
    /// What it carries for calls that became known in another order than they began; not in the sums above, and kept by its later
    /// records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shifts: Vec<Shift>,
}

impl Taken {
    /// Free cash in all, millionths.
    pub fn free_micros(&self) -> i64 {
        self.of_grants.iter().map(|(_, grant)| grant.micros).sum()
    }

    /// Adds what a later fragment of the same call took. What a call carries for others is not of its fragments.
    pub(crate) fn add(&mut self, later: Taken) {
        let Taken { own_micros, of_grants, debits, of_ended, usage, own_of, of_expired, shifts: _ } = later;
        self.own_micros = self.own_micros.saturating_add(own_micros);
        self.of_grants.extend(of_grants);
        self.debits.extend(debits);
        self.of_ended.extend(of_ended);
        self.own_of.extend(own_of);
        self.of_expired.extend(of_expired);
        self.usage = match (self.usage, usage) {
            (Some(usage), Some(more)) => Some(Usage {
                seconds: usage.seconds.saturating_add(more.seconds),
                micros: usage.micros.saturating_add(more.micros),
                ..usage
            }),
            (usage, more) => usage.or(more),
        };
    }

    /// Free seconds in all.
    pub fn free_seconds(&self) -> u64 {
        self.of_grants.iter().map(|(_, grant)| grant.seconds).sum()
    }
}

/// What a call costs in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Start of the interval.
    pub interval: DateTime<Utc>,
    /// Of its price, what falls on this interval, millionths; free time is taken off already.
    pub price_micros: i64,
    /// Free time it uses of it.
    pub free_seconds: u64,
}

impl Contract {
    /// Takes what a call costs: free seconds as said, then free cash of the interval that each part falls on, then own money. Postpaid
    /// takes no more than there is, and a price below 0 leaves the balance alone; prepaid takes all of it. Catch up to
    /// its end first. Returns what was taken; the rest remains to be paid.
    pub fn spend(&mut self, at: DateTime<Utc>, dues: &[Due], rules: &Rules, outcome: &mut Outcome) -> Taken {
        let before = self.cash_micros();
        let mut taken = Taken::default();
        for due in dues {
            let at_hand = self.own_at_hand(at, due.interval);
            let place = self.place_of(due.interval);
            let mut of_grant = Grant { seconds: due.free_seconds, micros: 0 };
            if let Some(place) = place {
                let is_over = place + 1 < self.intervals.len();
                let interval = &mut self.intervals[place];
                let spendable = due.price_micros.max(0);
                // A debt is set off against what was granted, as one sum of cash would be.
                let debt = self.own_micros.min(0).saturating_neg();
                let free = if rules.prepaid || is_over {
                    interval.left.micros
                } else {
                    interval.left.micros.saturating_sub(debt).max(0)
                };
                of_grant.micros = spendable.min(free);
                interval.left.micros -= of_grant.micros;
                interval.left.seconds = interval.left.seconds.saturating_sub(of_grant.seconds);
                interval.debit_micros = interval.debit_micros.saturating_add(due.price_micros);
                if is_over {
                    // It had expired; it comes back, to be used at once.
                    move_if(outcome, at, Moved::ExpireCash, of_grant.micros);
                    move_if(outcome, at, Moved::ExpireTime, signed(of_grant.seconds));
                }
            }
            move_if(outcome, at, Moved::CallTime, -signed(of_grant.seconds));
            move_if(outcome, at, Moved::CallFreeCash, -of_grant.micros);
            let rest = due.price_micros - of_grant.micros;
            let own = if rules.prepaid { rest } else { rest.clamp(0, at_hand) };
            if own != 0 {
                self.reach_back(at, (at, due.interval), -own, outcome);
                self.own(at, Moved::CallOwn, -own, outcome);
                taken.own_micros += own;
                self.count_own(due.interval, own);
                self.remember_end(due.interval, -own);
                taken.own_of.push((due.interval, own));
            }
            if of_grant != Grant::default() {
                self.remember_end(due.interval, -of_grant.micros);
                taken.of_grants.push((due.interval, of_grant));
            }
            if due.price_micros < 0 {
                self.count_credit(due.interval, due.price_micros);
            }
            taken.debits.push((due.interval, due.price_micros));
        }
        self.check_underrun(at, before, rules, outcome);
        taken
    }

    /// Gives back what a call took. What it took of a grant that has ended since expires at once.
    pub fn give_back(&mut self, at: DateTime<Utc>, taken: &Taken, rules: &Rules, outcome: &mut Outcome) {
        let running = self.running().stretch.start;
        for (start, grant) in &taken.of_grants {
            move_if(outcome, at, Moved::CallTime, signed(grant.seconds));
            move_if(outcome, at, Moved::CallFreeCash, grant.micros);
            if *start != running {
                move_if(outcome, at, Moved::ExpireCash, -grant.micros);
                move_if(outcome, at, Moved::ExpireTime, -signed(grant.seconds));
            }
            if let Some(interval) = self.interval_mut(*start) {
                interval.left.micros += grant.micros;
                interval.left.seconds += grant.seconds;
            }
            self.remember_end(*start, grant.micros);
        }
        for (start, price_micros) in &taken.debits {
            if let Some(interval) = self.interval_mut(*start) {
                interval.debit_micros = interval.debit_micros.saturating_sub(*price_micros);
            }
            if *price_micros < 0 {
                self.count_credit(*start, -price_micros);
            }
        }
        if let Some(usage) = &taken.usage {
            self.count_usage(Usage { micros: -usage.micros, ..*usage }, false);
        }
        for (start, micros) in &taken.of_ended {
            if let Some(interval) = self.interval_mut(*start) {
                interval.ended_with_micros = interval.ended_with_micros.saturating_add(*micros);
            }
        }
        if taken.own_micros != 0 {
            self.own(at, Moved::CallOwn, taken.own_micros, outcome);
        }
        for (start, micros) in &taken.own_of {
            if taken.of_expired.is_empty() {
                self.reach_back(at, (self.began_in(*start, at), *start), *micros, outcome);
            }
            self.count_own(*start, -micros);
            self.remember_end(*start, *micros);
        }
        for (start, micros) in &taken.of_expired {
            if let Some(order) = self.order_mut(*start) {
                order.expired_micros = order.expired_micros.saturating_add(*micros);
                self.own(at, Moved::DiscardOwn, -micros, outcome);
            } else {
                self.reach_back(at, (self.began_in(*start, at), *start), *micros, outcome);
            }
        }
        self.rearm(rules);
    }

    /// A call has left so much more, or less, in the interval that begins at `start`: where that has ended, the reference's row of it has to know.
    fn remember_end(&mut self, start: DateTime<Utc>, micros: i64) {
        let is_over = start != self.running().stretch.start;
        if is_over && let Some(interval) = self.interval_mut(start) {
            interval.ended_with_micros = interval.ended_with_micros.saturating_add(micros);
        }
    }

    /// When the part of a call in the interval that begins at `start` began, by a record that begins at `at`: one that is corrected may begin after
    /// the interval of the record before it.
    fn began_in(&self, start: DateTime<Utc>, at: DateTime<Utc>) -> DateTime<Utc> {
        let holds = |interval: &Interval| interval.stretch.end.is_none_or(|end| at < end);
        if self.interval(start).is_some_and(holds) { at } else { start }
    }

    /// What was used in the interval that begins at `interval` and counts for `version`.
    pub fn used(&self, interval: DateTime<Utc>, version: ProfileVersionId) -> Usage {
        let is_it = |usage: &&Usage| (usage.interval, usage.version) == (interval, version);
        let none = Usage { interval, version, seconds: 0, micros: 0 };
        self.usage.iter().find(is_it).copied().unwrap_or(none)
    }

    /// Counts what a call used, or with `more` false takes it back. An interval that is not kept any more counts nothing.
    pub(crate) fn count_usage(&mut self, used: Usage, more: bool) {
        if self.place_of(used.interval).is_none() {
            return;
        }
        let before = self.used(used.interval, used.version);
        let seconds = if more {
            before.seconds.saturating_add(used.seconds)
        } else {
            before.seconds.saturating_sub(used.seconds)
        };
        let after = Usage { seconds, micros: before.micros.saturating_add(used.micros), ..before };
        self.usage.retain(|there| (there.interval, there.version) != (used.interval, used.version));
        if (after.seconds, after.micros) != (0, 0) {
            self.usage.push(after);
        }
    }
}
