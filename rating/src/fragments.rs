//! The reference's fragments: one call as several records, cut where an interval begins in another peak state.
//!
//! In: the priced fragments of a call for one party. Out: one price that keeps what each came to; and where all parties of a call have to
//! cut it, because they do it at the same place. Source: billing-reference 4.1.

use chrono::TimeDelta;
use model::{Charge, Fragment, Peak, PeakSplit};
use rust_decimal::Decimal;

use crate::error::RatingError;
use crate::price::{CallToPrice, Priced, TOO_BIG};
use crate::tariff::Tariff;

/// Fragments of a call at most: a month of nights and days. One that would have more is a broken record or a tariff of many borders; it is not cut.
/// All parties are priced anew for each place where they do not cut alike, so this bounds the work on one call.
pub(crate) const FRAGMENTS_MAX: usize = 64;

/// Which part of a call a fragment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// State at its start.
    pub(crate) peak: Peak,
    /// Microseconds from the start of the call.
    pub(crate) end_us: u64,
}

impl Stretch {
    /// Of a call that is not cut for want of a length or a fee.
    pub(crate) const NONE: Stretch = Stretch { peak: Peak::On, end_us: 0 };
}

/// One fragment, and what was paid of it.
#[derive(Debug)]
pub(crate) struct Part {
    /// Its cost is what remains to be paid.
    pub(crate) priced: Priced,
    pub(crate) free_cash: Decimal,
    pub(crate) stretch: Stretch,
}

/// Where a tariff has a call cut: `None` for nowhere, else at these microseconds from its start and at peak borders from there on.
pub(crate) fn cuts_of<'c>(tariff: &Tariff, common: &'c [u64]) -> Option<&'c [u64]> {
    match tariff.peak_split {
        PeakSplit::ReferenceFragments => Some(common),
        PeakSplit::IntervalStart | PeakSplit::Boundary => None,
    }
}

/// One price of all fragments of a call, and what was paid of it. What each came to is kept if there are several.
pub(crate) fn joined(call: &CallToPrice<'_>, mut parts: Vec<Part>) -> Result<(Priced, Decimal), RatingError> {
    if parts.len() == 1
        && let Some(Part { priced, free_cash, .. }) = parts.pop()
    {
        return Ok((priced, free_cash));
    }
    let first = parts.first().expect("a call has a fragment");
    let mut whole = Priced {
        cost: Decimal::ZERO,
        free_seconds: 0,
        billed_seconds: 0,
        onpeak_seconds: 0,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        pieces: Vec::new(),
        ..first.priced.clone()
    };
    let (mut paid, mut begin_us) = (Decimal::ZERO, 0);
    for Part { priced, free_cash, stretch } in parts {
        whole.fragments.push(fragment(call, &priced, free_cash, begin_us, stretch)?);
        whole.cost += priced.cost;
        whole.free_seconds += priced.free_seconds;
        whole.billed_seconds += priced.billed_seconds;
        whole.onpeak_seconds += priced.onpeak_seconds;
        whole.offpeak_seconds += priced.offpeak_seconds;
        whole.flat = whole.flat.checked_add(priced.flat).ok_or(TOO_BIG)?;
        whole.pieces.extend(priced.pieces);
        paid += free_cash;
        begin_us = stretch.end_us;
    }
    whole.cost = whole.cost.normalize();
    model::to_micros(whole.cost).map_err(|_| TOO_BIG)?;
    Ok((whole, paid))
}

fn fragment(
    call: &CallToPrice<'_>,
    priced: &Priced,
    free_cash: Decimal,
    begin_us: u64,
    stretch: Stretch,
) -> Result<Fragment, RatingError> {
    let offset = i64::try_from(begin_us).ok().map(TimeDelta::microseconds);
    let start = offset.and_then(|offset| call.start.checked_add_signed(offset)).ok_or(TOO_BIG)?;
    Ok(Fragment {
        start,
        duration_us: stretch.end_us - begin_us,
        peak: stretch.peak,
        cost: priced.cost,
        free_seconds: priced.free_seconds,
        free_cash,
        billed_seconds: priced.billed_seconds,
        onpeak_seconds: priced.onpeak_seconds,
        offpeak_seconds: priced.offpeak_seconds,
    })
}

/// Where all parties of a call have to cut it, as far as that is known: `None` once `charges` are cut at the same places.
///
/// `cut` tells of each charge whether its profile has calls cut. The longest fragment decides; a party whose intervals do not end there
/// goes on to the end of the one it is in.
pub(crate) fn next_common_cuts(charges: &[(Charge, bool)], duration_us: u64) -> Option<Vec<u64>> {
    let ends: Vec<Vec<u64>> = charges
        .iter()
        .filter(|(charge, is_cut)| *is_cut && charge.fee.is_some())
        .map(|(charge, _)| ends_of(charge, duration_us))
        .collect();
    let longest = ends.iter().map(Vec::len).max()?;
    let mut cuts = Vec::new();
    for place in 0..longest {
        let here = || ends.iter().map(|ends| ends.get(place).copied());
        let last = here().flatten().max()?;
        cuts.push(last);
        if here().any(|end| end != Some(last)) {
            return Some(cuts);
        }
    }
    None
}

/// Ends of the fragments, in microseconds from the start of the call.
fn ends_of(charge: &Charge, duration_us: u64) -> Vec<u64> {
    if charge.fragments.is_empty() {
        return vec![duration_us];
    }
    let mut end = 0;
    let ends = charge.fragments.iter().map(|fragment| {
        end += fragment.duration_us;
        end
    });
    ends.collect()
}
