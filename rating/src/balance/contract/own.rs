//! Own money: when it expires.

use chrono::{DateTime, Utc};
use model::{BalanceLength, CarryOver};

use super::Contract;
use crate::balance::cadence::later;
use crate::balance::movement::{Moved, Outcome};
use crate::balance::rules::Rules;

impl Contract {
    /// Own money of an open interval: without a timely top-up, or any, it expires there.
    pub(super) fn expire_open(&mut self, to: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        if self.running().stretch.end.is_some() || self.own_micros <= 0 {
            return;
        }
        if let Some(expiry) = self.expiry(rules).filter(|expiry| *expiry <= to) {
            let before = self.cash_micros();
            self.own(expiry, Moved::DiscardOwn, -self.own_micros, outcome);
            self.check_underrun(expiry, before, rules, outcome);
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
}
