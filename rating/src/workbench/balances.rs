//! Free time and cash of the workbench's accounts, from one billing interval to the next.
//!
//! In: grants, opening balances, calls in the order of their start. Out: the free time and cash a call may use. A call uses of each
//! billing interval that it touches what was granted for it: free time for the charging intervals that begin in it, cash for
//! their price. At a new interval, unused grants expire and own money stays.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::accounts::OpeningBalance;
use super::billing_intervals::BillingIntervals;
use crate::error::RatingError;
use crate::interval_price::{added, covers};
use crate::meter::FreeTime;
use crate::price::{Fragment, Share, TOO_BIG};
use crate::reference_loop::{BalanceRow, pay_at_once};
use crate::tariff::Tariff;

/// What an account gets anew for each billing interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant {
    pub(crate) free_seconds: u64,
    pub(crate) free_cash: Decimal,
}

/// All accounts of one run.
pub(crate) struct Balances<'a> {
    pub(crate) intervals: BillingIntervals,
    pub(crate) grant: Grant,
    pub(crate) opening: &'a HashMap<String, OpeningBalance>,
    pub(crate) accounts: HashMap<String, Balance>,
}

/// One account.
#[derive(Debug, Clone)]
pub(crate) struct Balance {
    /// Number of the week or month of its first call.
    first_unit: i64,
    /// Without the grants; below 0 where the opening balance is below the first grant.
    own_cash: Decimal,
    /// What is left of them, by interval counted from the first.
    grants: BTreeMap<i64, Grant>,
    /// Seconds used that are priced by usage.
    pub(crate) used: BTreeMap<i64, u64>,
    /// The same as the reference keeps it.
    pub(crate) rows: BTreeMap<i64, BalanceRow>,
}

/// The billing intervals of one call, and the free time there is in each.
#[derive(Debug)]
pub(crate) struct Touched {
    first: i64,
    pub(crate) free: Vec<FreeTime>,
}

impl Balances<'_> {
    /// Opens the billing intervals that a call touches. Calls come in the order of their start.
    pub(crate) fn touch(&mut self, account: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> Touched {
        let (first, last) = self.reach(account, start, end);
        let (intervals, grant) = (self.intervals, self.grant);
        let balance = self.balance(account);
        // No later call begins before this one, so what was granted for earlier intervals is gone.
        balance.grants = balance.grants.split_off(&first);
        let (first_unit, grants) = (balance.first_unit, &mut balance.grants);
        let free = (first..=last)
            .map(|interval| FreeTime {
                until: if interval < last {
                    intervals.end(first_unit, interval).timestamp_micros()
                } else {
                    i64::MAX
                },
                seconds: grants.entry(interval).or_insert(grant).free_seconds,
            })
            .collect();
        Touched { first, free }
    }

    /// Prices a fragment by what its account uses in the interval in which the call began, where the tariff says so.
    pub(crate) fn price_by_usage(
        &mut self,
        account: &str,
        tariff: &Tariff,
        touched: &Touched,
        fragment: &mut Fragment,
    ) -> Result<(), RatingError> {
        let priced = &mut fragment.priced;
        let Some(price) = tariff.interval_price.as_ref().filter(|price| covers(price, &priced.zone)) else {
            return Ok(());
        };
        let used = self.balance(account).used.entry(touched.first).or_default();
        let seconds = priced.billed_seconds.saturating_sub(priced.free_seconds);
        let micros = added(price, tariff.rounding, *used, seconds);
        let micros = micros.ok_or(RatingError::OutOfRange { what: "the price of the call" })?;
        *used += seconds;
        priced.cost = model::from_micros(micros).normalize();
        priced.flat = priced.cost;
        priced.pieces.clear();
        for (share, place) in fragment.shares.iter_mut().zip(0..) {
            share.cost = if place == 0 { priced.cost } else { Decimal::ZERO };
        }
        Ok(())
    }

    /// Takes what a call used, and pays as much of it as there is cash: returns how much that is.
    pub(crate) fn take(&mut self, account: &str, touched: &Touched, shares: &[Share]) -> Decimal {
        let balance = self.balance(account);
        let mut paid = Decimal::ZERO;
        for (share, interval) in
            shares.iter().map(|share| (share, touched.first + i64::try_from(share.span).unwrap_or_default()))
        {
            let grant =
                balance.grants.entry(interval).or_insert(Grant { free_seconds: 0, free_cash: Decimal::ZERO });
            grant.free_seconds = grant.free_seconds.saturating_sub(share.free_seconds);
            let at_hand = (grant.free_cash + balance.own_cash).max(Decimal::ZERO);
            // A price below 0 stays in the cost and leaves the cash alone.
            let part = share.cost.min(at_hand).max(Decimal::ZERO);
            let from_grant = part.min(grant.free_cash);
            grant.free_cash -= from_grant;
            balance.own_cash -= part - from_grant;
            paid += part;
        }
        paid
    }

    /// Takes what an attempt costs that nobody answered, and pays as much of it as there is cash: returns how much that is.
    pub(crate) fn pay_attempt(
        &mut self,
        account: &str,
        tariff: &Tariff,
        at: DateTime<Utc>,
        cost: Decimal,
    ) -> Result<Decimal, RatingError> {
        if tariff.compat {
            let price_micros = model::to_micros(cost).map_err(|_| TOO_BIG)?;
            let mut rows = self.rows(account, at, at);
            let paid_micros = pay_at_once(&mut rows, price_micros, tariff.profile().prepaid);
            self.keep_rows(account, &rows);
            return Ok(model::from_micros(paid_micros).normalize());
        }
        let touched = self.touch(account, at, at);
        Ok(self.take(account, &touched, &[Share { span: 0, cost, free_seconds: 0 }]).normalize())
    }

    /// The reference's balance rows from the start of a call on: those it touches, caught up, and later ones that exist.
    pub(crate) fn rows(
        &mut self,
        account: &str,
        start: DateTime<Utc>,
        end: DateTime<Utc>,
    ) -> Vec<BalanceRow> {
        let (first, last) = self.reach(account, start, end);
        let (grant_seconds, grant_micros) = (self.grant.free_seconds, micros(self.grant.free_cash));
        let until = |balance: &Balance, intervals: &BillingIntervals, interval| {
            intervals.end(balance.first_unit, interval).timestamp_micros()
        };
        let intervals = self.intervals;
        let opening = self.opening_of(account);
        let balance = self.balance(account);
        let mut next = match balance.rows.last_key_value() {
            Some((interval, _)) => interval + 1,
            None => {
                let row = BalanceRow {
                    until: until(balance, &intervals, 0),
                    cash_micros: micros(opening.cash),
                    debit_micros: 0,
                    free_seconds: opening.free_seconds,
                };
                balance.rows.insert(0, row);
                1
            }
        };
        while next <= last {
            let before = balance.rows[&(next - 1)];
            // Free cash that was not used up expires (billing-reference 5.8). The counter also counts what was not paid from it.
            let unused = (grant_micros - before.debit_micros).max(0);
            let row = BalanceRow {
                until: until(balance, &intervals, next),
                cash_micros: before.cash_micros - unused + grant_micros,
                debit_micros: 0,
                free_seconds: grant_seconds,
            };
            balance.rows.insert(next, row);
            next += 1;
        }
        balance.rows.range(first..).map(|(_, row)| *row).collect()
    }

    /// Keeps the rows that [`Self::rows`] handed out.
    pub(crate) fn keep_rows(&mut self, account: &str, rows: &[BalanceRow]) {
        let balance = self.balance(account);
        for (kept, row) in balance.rows.values_mut().rev().zip(rows.iter().rev()) {
            *kept = *row;
        }
    }

    /// The first and last interval that a call touches, counted from the account's first.
    fn reach(&mut self, account: &str, start: DateTime<Utc>, end: DateTime<Utc>) -> (i64, i64) {
        let unit = self.intervals.unit_of(start);
        let opening = self.opening_of(account);
        let grant = self.grant;
        let balance = self.accounts.entry(account.to_owned()).or_insert_with(|| Balance {
            first_unit: unit,
            own_cash: opening.cash - grant.free_cash,
            grants: BTreeMap::from([(0, Grant { free_seconds: opening.free_seconds, ..grant })]),
            used: BTreeMap::new(),
            rows: BTreeMap::new(),
        });
        let first = self.intervals.interval_of(balance.first_unit, start);
        let last = if end > start { self.intervals.interval_of(balance.first_unit, end) } else { first };
        (first, last)
    }

    fn opening_of(&self, account: &str) -> OpeningBalance {
        let granted = OpeningBalance { cash: self.grant.free_cash, free_seconds: self.grant.free_seconds };
        self.opening.get(account).copied().unwrap_or(granted)
    }

    fn balance(&mut self, account: &str) -> &mut Balance {
        self.accounts.get_mut(account).expect("an account is opened before it is used")
    }
}

/// To the ledger's resolution; balances of the reference have no more digits.
fn micros(amount: Decimal) -> i64 {
    model::to_micros(amount.round_dp(6)).unwrap_or(if amount.is_sign_negative() {
        i64::MIN
    } else {
        i64::MAX
    })
}
