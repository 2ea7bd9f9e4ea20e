//! The balance as the reference keeps it: one row of cash to an interval, told and changed by its own price loop (billing-reference 5.4).

use chrono::{DateTime, Utc};

use super::{Contract, Grant, Taken, signed};
use crate::balance::movement::{Moved, Outcome, move_if};
use crate::balance::rules::Rules;
use crate::reference_loop::BalanceRow;

impl Contract {
    /// The balances as the reference has them, from the one that holds `start` to the running one, which is told by [`Self::cash_micros`].
    /// Catch up to the end of the call first.
    pub(crate) fn reference_rows(&self, start: DateTime<Utc>) -> Vec<BalanceRow> {
        let last = self.intervals.len() - 1;
        let first = self
            .intervals
            .iter()
            .position(|interval| interval.stretch.end.is_none_or(|end| start < end))
            .unwrap_or(last);
        let rows = self.intervals.iter().enumerate().skip(first).map(|(place, interval)| BalanceRow {
            until: interval.stretch.end.map_or(i64::MAX, |end| end.timestamp_micros()),
            cash_micros: if place == last { self.cash_micros() } else { interval.ended_with_micros },
            debit_micros: interval.debit_micros,
            free_seconds: interval.left.seconds,
        });
        rows.collect()
    }

    /// Makes the rows of [`Self::reference_rows`] what a call left of them. Of ended ones only their memory changes: what they had was carried
    /// over or has expired, and what the reference takes from later balances too is taken from the running one.
    pub(crate) fn keep_reference_rows(
        &mut self,
        at: DateTime<Utc>,
        rows: &[BalanceRow],
        rules: &Rules,
        outcome: &mut Outcome,
    ) -> Taken {
        let before = self.cash_micros();
        let mut taken = Taken::default();
        let first = self.intervals.len() - rows.len();
        for (place, row) in (first..).zip(rows) {
            let is_over = place + 1 < self.intervals.len();
            let interval = &mut self.intervals[place];
            let start = interval.stretch.start;
            let seconds = interval.left.seconds.saturating_sub(row.free_seconds);
            let debit = row.debit_micros.saturating_sub(interval.debit_micros);
            interval.left.seconds = row.free_seconds;
            interval.debit_micros = row.debit_micros;
            let mut grant = Grant { seconds, micros: 0 };
            if is_over {
                let cash = interval.ended_with_micros.saturating_sub(row.cash_micros);
                interval.ended_with_micros = row.cash_micros;
                move_if(outcome, at, Moved::ExpireTime, signed(seconds));
                if cash != 0 {
                    taken.of_ended.push((start, cash));
                }
            } else {
                let cash = before.saturating_sub(row.cash_micros);
                grant.micros = cash.clamp(0, interval.left.micros.max(0));
                interval.left.micros -= grant.micros;
                taken.own_micros = cash - grant.micros;
            }
            move_if(outcome, at, Moved::CallTime, -signed(seconds));
            move_if(outcome, at, Moved::CallFreeCash, -grant.micros);
            if grant != Grant::default() {
                taken.of_grants.push((start, grant));
            }
            if debit != 0 {
                taken.debits.push((start, debit));
            }
        }
        if taken.own_micros != 0 {
            self.own(at, Moved::CallOwn, -taken.own_micros, outcome);
            // Of the interval that runs now: once it has ended, its row has to have again what the call gives back.
            let running = self.running().stretch.start;
            taken.own_of.push((running, taken.own_micros));
            self.count_own(running, taken.own_micros);
        }
        self.check_underrun(at, before, rules, outcome);
        taken
    }
}
