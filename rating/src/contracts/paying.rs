//! What a record costs with what its payer's balance gives, and what it takes of it.
//!
//! In: a call or an attempt to be priced, the intervals that it touches. Out: its price in parts, what was paid of each, and what was taken.

use chrono::{DateTime, Utc};
use model::{AccountId, Charge, Currency, Direction, ProfileVersionId, Provider, from_micros};
use rust_decimal::Decimal;

use crate::balance::{Contract, Due, Interval, Outcome, Rules, Taken, Usage};
use crate::error::RatingError;
use crate::fragments::{Part, Stretch};
use crate::interval_price::{covers, sum};
use crate::meter::FreeTime;
use crate::price::{CallToPrice, Fragment, Priced, Share, TOO_BIG, price_whole};
use crate::reference_loop::pay_at_once;
use crate::tariff::Tariff;

/// The price of a call that is not cut, and how it falls on the intervals that it touches.
pub(crate) fn price_by_interval(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    touched: &[Interval],
) -> Result<(Priced, Vec<Due>), RatingError> {
    let mut fragments = price_whole(tariff, call, &mut free_time(touched), None)?;
    let fragment = fragments.pop().filter(|_| fragments.is_empty());
    let fragment = fragment.expect("a call that is not cut has one fragment");
    let dues = dues_of(&fragment.shares, touched)?;
    Ok((fragment.priced, dues))
}

/// Prices a call, takes what each of its fragments costs one after the other, and tells what was paid of it, what it took, and how its cost
/// falls on the intervals.
pub(super) fn spend_by_fragment(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    cuts: Option<&[u64]>,
    touched: &[Interval],
    contract: &mut Contract,
    rules: &Rules,
    outcome: &mut Outcome,
) -> Result<(Vec<Part>, Taken, Vec<Due>), RatingError> {
    let mut taken = Taken::default();
    let mut parts = Vec::with_capacity(1);
    let mut all_dues = Vec::new();
    for Fragment { mut priced, stretch, shares } in price_whole(tariff, call, &mut free_time(touched), cuts)?
    {
        let mut dues = dues_of(&shares, touched)?;
        let usage = price_by_usage(tariff, contract, &touched[0], &mut priced, &mut dues)?;
        let mut of_fragment = contract.spend(call.start, &dues, rules, outcome);
        if let Some(usage) = usage {
            contract.count_usage(usage, true);
            of_fragment.usage = Some(usage);
        }
        let paid = from_micros(of_fragment.own_micros.saturating_add(of_fragment.free_micros()));
        let free_cash = paid.max(Decimal::ZERO);
        if !rules.prepaid {
            priced.cost = (priced.cost - free_cash).normalize();
        }
        taken.add(of_fragment);
        parts.push(Part { priced, free_cash, stretch });
        all_dues.append(&mut dues);
    }
    Ok((parts, taken, all_dues))
}

/// Takes what an attempt costs that nobody answered: as a call's, but for free time, which it has no use for.
pub(super) fn pay_attempt(
    mut priced: Priced,
    at: DateTime<Utc>,
    touched: &[Interval],
    contract: &mut Contract,
    rules: &Rules,
    outcome: &mut Outcome,
) -> Result<(Part, Taken), RatingError> {
    let price_micros = model::to_micros(priced.cost).map_err(|_| TOO_BIG)?;
    let (paid_micros, taken) = if rules.compat {
        let mut rows = contract.reference_rows(at);
        let paid_micros = pay_at_once(&mut rows, price_micros, rules.prepaid);
        (paid_micros, contract.keep_reference_rows(at, &rows, rules, outcome))
    } else {
        let due = Due { interval: touched[0].stretch.start, price_micros, free_seconds: 0 };
        let taken = contract.spend(at, &[due], rules, outcome);
        (taken.own_micros.saturating_add(taken.free_micros()), taken)
    };
    let free_cash = from_micros(paid_micros).max(Decimal::ZERO);
    if !rules.prepaid {
        priced.cost = (priced.cost - free_cash).normalize();
    }
    Ok((Part { priced, free_cash, stretch: Stretch::NONE }, taken))
}

/// Of a payer without a tariff: nothing, by no version.
pub(super) fn bare_charge(currency: Currency, account: AccountId) -> Charge {
    Charge {
        provider: Provider::Customer,
        direction: Direction::Out,
        account,
        version: ProfileVersionId(0),
        profile: String::new(),
        fee: None,
        matched: String::new(),
        zone: String::new(),
        zone_detail: String::new(),
        currency,
        cost: Decimal::ZERO,
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: 0,
        onpeak_seconds: 0,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: String::new(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    }
}

/// How the cost of a fragment falls on the intervals that the call touches.
fn dues_of(shares: &[Share], touched: &[Interval]) -> Result<Vec<Due>, RatingError> {
    let due = |share: &Share| {
        let price_micros = model::to_micros(share.cost).map_err(|_| TOO_BIG)?;
        let interval = touched[share.span].stretch.start;
        Ok(Due { interval, price_micros, free_seconds: share.free_seconds })
    };
    shares.iter().map(due).collect()
}

/// Where a tariff prices by usage: what a call adds to the price of all that was used in the interval in which it began. What that came to
/// before counts, not what it should have been: so the calls of an interval always add up to its price.
fn price_by_usage(
    tariff: &Tariff,
    contract: &Contract,
    interval: &Interval,
    priced: &mut Priced,
    dues: &mut Vec<Due>,
) -> Result<Option<Usage>, RatingError> {
    let Some(price) = tariff.interval_price.as_ref().filter(|price| covers(price, &priced.zone)) else {
        return Ok(None);
    };
    let before = contract.used(interval.stretch.start, priced.version);
    let seconds = priced.billed_seconds.saturating_sub(priced.free_seconds);
    let sum = sum(price, tariff.rounding, before.seconds.saturating_add(seconds));
    let micros = sum.and_then(|sum| sum.checked_sub(before.micros));
    let micros = micros.ok_or(RatingError::OutOfRange { what: "the price of the call" })?;
    priced.cost = from_micros(micros).normalize();
    priced.flat = priced.cost;
    priced.pieces.clear();
    dues.iter_mut().for_each(|due| due.price_micros = 0);
    // It falls on the interval in which the call began, wherever the fragment does.
    let interval = interval.stretch.start;
    match dues.iter_mut().find(|due| due.interval == interval) {
        Some(due) => due.price_micros = micros,
        None => dues.push(Due { interval, price_micros: micros, free_seconds: 0 }),
    }
    Ok(Some(Usage { seconds, micros, ..before }))
}

/// The free time that a call may use, interval by interval.
fn free_time(touched: &[Interval]) -> Vec<FreeTime> {
    let last = touched.len() - 1;
    let ends = touched.iter().enumerate().map(|(idx, interval)| match interval.stretch.end {
        Some(end) if idx < last => FreeTime { until: end.timestamp_micros(), seconds: interval.left.seconds },
        Some(_) | None => FreeTime { until: i64::MAX, seconds: interval.left.seconds },
    });
    ends.collect()
}
