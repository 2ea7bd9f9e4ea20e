//! Free time and cash of the workbench's accounts, from one billing interval to the next.
//!
//! In: grants, opening balances, calls in the order of their start. Out: the free time and cash a call may use. A call belongs
//! to the interval it starts in. At a new interval, unused grants expire and own money stays.

use std::collections::HashMap;

use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;

use super::accounts::OpeningBalance;
use super::profile::{BillingInterval, IntervalUnit};

/// One account in its current billing interval.
#[derive(Debug, Clone)]
pub(crate) struct Balance {
    /// Weeks or months since the first interval's, in whole intervals.
    interval: i64,
    /// Number of the week or month the first interval began with.
    first_unit: i64,
    pub(crate) free_seconds: u64,
    /// Of the grant, what is left.
    free_cash: Decimal,
    own_cash: Decimal,
}

impl Balance {
    /// Takes as much of `price` as there is; a price below 0 takes nothing.
    pub(crate) fn pay(&mut self, price: Decimal) -> Decimal {
        let at_hand = (self.free_cash + self.own_cash).max(Decimal::ZERO);
        let paid = price.min(at_hand).max(Decimal::ZERO);
        let from_grant = paid.min(self.free_cash);
        self.free_cash -= from_grant;
        self.own_cash -= paid - from_grant;
        paid
    }
}

/// All accounts of one run.
pub(crate) struct Balances<'a> {
    pub(crate) zone: Tz,
    pub(crate) interval: BillingInterval,
    pub(crate) grant_seconds: u64,
    pub(crate) grant_cash: Decimal,
    pub(crate) opening: &'a HashMap<String, OpeningBalance>,
    pub(crate) accounts: HashMap<String, Balance>,
}

impl Balances<'_> {
    /// The balance of `account` in the billing interval of `at`. Calls come in the order of their start.
    pub(crate) fn at(&mut self, account: &str, at: DateTime<Utc>) -> &mut Balance {
        let unit = unit_number(self.interval.unit, at.with_timezone(&self.zone).date_naive());
        let balance = self.accounts.entry(account.to_owned()).or_insert_with(|| {
            let opening = self
                .opening
                .get(account)
                .copied()
                .unwrap_or(OpeningBalance { cash: self.grant_cash, free_seconds: self.grant_seconds });
            Balance {
                interval: 0,
                first_unit: unit,
                free_seconds: opening.free_seconds,
                free_cash: self.grant_cash,
                own_cash: opening.cash - self.grant_cash,
            }
        });
        let interval = (unit - balance.first_unit).div_euclid(i64::from(self.interval.count));
        if interval > balance.interval {
            balance.interval = interval;
            balance.free_seconds = self.grant_seconds;
            balance.free_cash = self.grant_cash;
        }
        balance
    }
}

/// Counts weeks or months, from anywhere.
fn unit_number(unit: IntervalUnit, day: NaiveDate) -> i64 {
    match unit {
        IntervalUnit::Month => i64::from(day.year()) * 12 + i64::from(day.month0()),
        IntervalUnit::Week => {
            let monday = day - TimeDelta::days(i64::from(day.weekday().num_days_from_monday()));
            i64::from(monday.num_days_from_ce()).div_euclid(7)
        }
    }
}
