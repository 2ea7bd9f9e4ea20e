//! `calls.csv` in, `rated.csv` out.

use std::collections::HashMap;
use std::io::{Read, Write};

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use model::{AccountId, Charge, Direction, Provider};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use super::TariffDir;
use super::balances::{Balances, Grant};
use super::billing_intervals::BillingIntervals;
use super::issue::{Issue, WorkbenchError};
use super::table::{Row, Table, decimal, records};
use crate::dated::PortedTree;
use crate::error::RatingError;
use crate::fragments::cuts_of;
use crate::price::{CALL_SECONDS_MAX, CallToPrice, Priced, price_attempt, price_whole, unpriced};
use crate::reference_loop::price_like_reference;
use crate::tariff::Tariff;

/// What became of one call: for a progress bar, or to print its evidence with [`crate::explain()`].
#[derive(Debug, Clone, Copy)]
pub struct RatedCall<'a> {
    /// Calls done, this one included.
    pub done: usize,
    /// Of so many.
    pub total: usize,
    /// Its id in the file.
    pub id: &'a str,
    /// Its price, of a call that is cut in fragments the price of each, or why it has none. The account is numbered 0: the file
    /// names it.
    pub outcome: Result<&'a [Charge], &'a RatingError>,
}

/// What became of a file of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RateSummary {
    /// Calls read.
    pub calls: usize,
    /// Of these without a price.
    pub failed: usize,
    /// Sum of the costs, in the currency of the tariff.
    pub cost: Decimal,
}

struct Call {
    id: String,
    account: String,
    source: String,
    destination: String,
    direction: Direction,
    start: DateTime<Utc>,
    duration_us: u64,
    is_answered: bool,
}

/// What the file of calls is called in issues about it.
pub const CALLS: &str = "calls.csv";

const COLUMNS: &[&str] = &["id", "account", "source", "destination", "start", "duration_seconds"];

/// Prices a file of calls in the order of their start, with balances as the tariff's directory gives them.
///
/// A call without a rate gets its row too, with the word of its error and an empty cost.
///
/// # Errors
///
/// [`WorkbenchError::Input`] with everything that is wrong in the calls, before one is priced; [`WorkbenchError::Output`]
/// when the result cannot be written.
pub fn rate_calls(
    dir: &TariffDir,
    calls: impl Read,
    rated: impl Write,
    mut watch: impl FnMut(RatedCall<'_>),
) -> Result<RateSummary, WorkbenchError> {
    let tariff = Tariff::compile(&dir.version).map_err(|error| WorkbenchError::Input {
        issues: vec![Issue::of_file("fees.csv", error.to_string(), "correct the tariff")],
    })?;
    let mut issues = Vec::new();
    let mut calls = read_calls(CALLS, calls, &mut issues);
    if !issues.is_empty() {
        return Err(WorkbenchError::Input { issues });
    }
    calls.sort_by_key(|call| call.start);

    let mut balances = opened(dir);
    let mut out = csv::Writer::from_writer(rated);
    out.write_record([
        "id",
        "cost",
        "currency",
        "zone",
        "zone_detail",
        "free_seconds",
        "free_cash",
        "onpeak_seconds",
        "offpeak_seconds",
        "billed_seconds",
        "error",
    ])
    .map_err(output_error)?;
    let ported_tree = PortedTree::build(&dir.ported);
    let mut summary = RateSummary { calls: calls.len(), ..RateSummary::default() };
    for (idx, call) in calls.iter().enumerate() {
        let user = call.destination.split('@').next().unwrap_or_default();
        let ported = ported_tree.find(&dir.ported, user, call.start);
        let to_price = CallToPrice {
            ported,
            source: &call.source,
            destination: &call.destination,
            direction: call.direction,
            start: call.start,
            duration_us: call.duration_us,
        };
        let outcome = rate_call(&tariff, &mut balances, &call.account, &to_price, call.is_answered);
        match &outcome {
            Ok(charges) => {
                for charge in charges {
                    out.write_record([
                        &call.id,
                        &charge.cost.to_string(),
                        charge.currency.as_str(),
                        &charge.zone,
                        &charge.zone_detail,
                        &charge.free_seconds.to_string(),
                        &charge.free_cash.to_string(),
                        &charge.onpeak_seconds.to_string(),
                        &charge.offpeak_seconds.to_string(),
                        &charge.billed_seconds.to_string(),
                        "",
                    ])
                    .map_err(output_error)?;
                    summary.cost = summary.cost.saturating_add(charge.cost);
                }
            }
            Err(error) => {
                out.write_record([&call.id, "", "", "", "", "", "", "", "", "", error.word()])
                    .map_err(output_error)?;
                summary.failed += 1;
            }
        }
        watch(RatedCall { done: idx + 1, total: calls.len(), id: &call.id, outcome: outcome.as_deref() });
    }
    out.flush()?;
    Ok(summary)
}

/// Prices one answered call as the only one of an account that has what the profile gives for a billing interval: one charge, or one for
/// each fragment. `tariff` is the version of `dir`, compiled.
///
/// # Errors
///
/// [`RatingError`] when the call has no price.
pub fn rate_one(
    dir: &TariffDir,
    tariff: &Tariff,
    call: &CallToPrice<'_>,
) -> Result<Vec<Charge>, RatingError> {
    rate_call(tariff, &mut opened(dir), "", call, true)
}

/// What accounts have before the first call.
fn opened(dir: &TariffDir) -> Balances<'_> {
    Balances {
        intervals: BillingIntervals { zone: dir.version.profile.timezone, length: dir.version.interval },
        grant: Grant {
            free_seconds: dir.version.interval_free_seconds,
            free_cash: dir.version.interval_free_cash,
        },
        opening: &dir.accounts,
        accounts: HashMap::new(),
    }
}

/// Prices one call for the account that pays: one charge, or one for each fragment.
fn rate_call(
    tariff: &Tariff,
    balances: &mut Balances<'_>,
    account: &str,
    call: &CallToPrice<'_>,
    is_answered: bool,
) -> Result<Vec<Charge>, RatingError> {
    let end = i64::try_from(call.duration_us)
        .ok()
        .filter(|_| call.duration_us <= CALL_SECONDS_MAX * 1_000_000)
        .and_then(|micros| call.start.checked_add_signed(TimeDelta::microseconds(micros)))
        .ok_or(RatingError::OutOfRange { what: "the length of the call" })?;
    // One party alone: nobody else has a say in where the call is cut.
    let cuts = cuts_of(tariff, &[]);
    let charge = |priced: Priced| priced.into_charge(Provider::Customer, call.direction, AccountId::NOBODY);
    if !is_answered {
        let Some(attempt) = price_attempt(tariff, call)? else {
            return Ok(vec![charge(unpriced(tariff))]);
        };
        let free_cash = balances.pay_attempt(account, tariff, call.start, attempt.cost)?;
        let is_paid = !tariff.profile().prepaid;
        let cost = if is_paid { (attempt.cost - free_cash).normalize() } else { attempt.cost };
        return Ok(vec![Charge { cost, free_cash, ..charge(attempt) }]);
    }
    if tariff.compat {
        let mut rows = balances.rows(account, call.start, end);
        let fragments = price_like_reference(tariff, call, &mut rows, cuts)?;
        balances.keep_rows(account, &rows);
        return Ok(fragments
            .into_iter()
            .map(|fragment| Charge { free_cash: fragment.free_cash, ..charge(fragment.priced) })
            .collect());
    }
    let mut touched = balances.touch(account, call.start, end);
    let fragments = price_whole(tariff, call, &mut touched.free, cuts)?;
    let mut charges = Vec::with_capacity(fragments.len());
    for mut fragment in fragments {
        balances.price_by_usage(account, tariff, &touched, &mut fragment)?;
        let mut charge = charge(fragment.priced);
        charge.free_cash = balances.take(account, &touched, &fragment.shares).normalize();
        if !tariff.profile().prepaid {
            charge.cost = (charge.cost - charge.free_cash).normalize();
        }
        charges.push(charge);
    }
    Ok(charges)
}

fn read_calls(file: &str, read: impl Read, issues: &mut Vec<Issue>) -> Vec<Call> {
    let records = records(file, read, issues);
    let Some(table) = Table::with_header(file, records, COLUMNS, &["direction", "answered"], issues) else {
        return Vec::new();
    };
    table
        .rows()
        .filter_map(|row| if row.has_full_width(issues) { call(&row, issues) } else { None })
        .collect()
}

fn call(row: &Row<'_>, issues: &mut Vec<Issue>) -> Option<Call> {
    let text = |text: &str| Ok(text.to_owned());
    let id = row.required("id", "give every call an id", issues, text);
    let start = row.required("start", "write RFC 3339, such as 2026-03-02T17:59:30+01:00", issues, |text| {
        DateTime::parse_from_rfc3339(text)
            .ok()
            // Records keep microseconds.
            .and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()))
            .filter(|at| (1900..10_000).contains(&at.year()))
            .ok_or_else(|| format!("{text:?} is not a time with its offset in the years 1900 to 9999"))
    });
    let duration_us = row.required("duration_seconds", "write seconds such as 60 or 60.25", issues, |text| {
        // A part of a microsecond counts as a whole one: lengths are rounded up.
        decimal(text)?
            .checked_mul(Decimal::from(1_000_000))
            .and_then(|micros| micros.ceil().to_u64())
            .ok_or_else(|| format!("{text:?} is not a length in seconds from 0 on"))
    });
    let direction = row.parsed("direction", "use out or in", issues, |text| {
        text.parse::<Direction>().map_err(|error| error.to_string())
    });
    let is_answered = row.parsed("answered", "use 1 or 0", issues, |text| match text {
        "1" => Ok(true),
        "0" => Ok(false),
        _ => Err(format!("{text:?} is neither 1 nor 0")),
    });
    Some(Call {
        id: id?,
        is_answered: is_answered.unwrap_or(true),
        account: row.cell("account").to_owned(),
        source: row.cell("source").to_owned(),
        destination: row.cell("destination").to_owned(),
        direction: direction.unwrap_or(Direction::Out),
        start: start?,
        duration_us: duration_us?,
    })
}

fn output_error(error: csv::Error) -> WorkbenchError {
    WorkbenchError::Output { source: error.into() }
}
