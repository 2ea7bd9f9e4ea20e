//! From what the clock made of a call to what it costs: flat amounts, bounds, one rounding.
//!
//! In: the walked fragments of a call (one, unless the tariff cuts at peak borders). Out: the cost of each, and how it falls on the
//! billing intervals that the call touched. All sums are integers; the only division is the rounding.

use model::RoundingMode;
use rust_decimal::Decimal;

use crate::meter::{MICROS, Metered};
use crate::tariff::{PeakTerms, Tariff, Terms, gcd};

/// What one fragment costs, in steps of the tariff's rounding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settled {
    pub(crate) steps: i128,
    /// What no piece shows, before rounding.
    pub(crate) flat: Decimal,
    /// Of `steps`, what falls on which billing interval, in their order.
    pub(crate) shares: Vec<(usize, i128)>,
}

/// Settles a whole call. The connection fee falls on the first fragment, the extra rate on the one that holds its second, what lacks to
/// the minimum charge on the last; the maximum charge bounds what they add up to. Each is rounded for itself.
///
/// `None` when a sum leaves 127 bits.
pub(crate) fn settle(
    tariff: &Tariff,
    terms: &Terms,
    options: &PeakTerms,
    duration_us: u64,
    fragments: &[Metered],
) -> Option<Vec<Settled>> {
    // Free time may take a part of an interval off that does not divide: so many parts more to the part of a unit.
    let mut parts = 1i128;
    for (_, seconds) in fragments.iter().flat_map(Metered::cells).filter_map(|cell| cell.discount) {
        parts = (parts / gcd(parts, seconds)).checked_mul(seconds)?;
    }
    let step = terms.rounding_step.checked_mul(parts)?;
    let extra = options.extra.filter(|(second, _)| lasts_beyond(duration_us, *second));

    let mut sum = terms.connection_fee.checked_mul(parts)?;
    let mut bounded_before = 0i128;
    let mut begun_seconds = 0u64;
    let mut out = Vec::with_capacity(fragments.len());
    for (idx, fragment) in fragments.iter().enumerate() {
        let end_seconds = begun_seconds.checked_add(fragment.billed_seconds())?;
        if let Some((second, amount)) = extra
            && (begun_seconds..end_seconds).contains(&second)
        {
            sum = sum.checked_add(amount.checked_mul(parts)?)?;
        }
        begun_seconds = end_seconds;
        let mut by_time = 0i128;
        let mut bounded = bounded_before;
        let mut rounded_before = 0i128;
        let mut shares = Vec::with_capacity(1 + fragment.earlier.len());
        let mut cells = fragment.cells().peekable();
        while let Some(cell) = cells.next() {
            let amount = cell.amount.checked_mul(parts)?;
            by_time = by_time.checked_add(amount)?;
            let taken = match cell.discount {
                Some((taken, seconds)) => taken.checked_mul(parts / seconds)?,
                None => 0,
            };
            sum = sum.checked_add(amount)?.checked_sub(taken)?;
            let is_last = idx + 1 == fragments.len() && cells.peek().is_none();
            bounded = within_bounds(sum, terms, parts, is_last)?;
            let rounded = rounded_quotient(bounded.checked_sub(bounded_before)?, step, tariff.rounding.mode);
            shares.push((cell.span, rounded - rounded_before));
            rounded_before = rounded;
        }
        let flat = bounded.checked_sub(bounded_before)?.checked_sub(by_time)?;
        out.push(Settled { steps: rounded_before, flat: as_decimal(flat, terms, parts)?, shares });
        bounded_before = bounded;
    }
    Some(out)
}

/// The cost of a call of one fragment, in steps of the rounding, without its workings: what [`settle`] says, for many calls.
pub(crate) fn settle_steps(
    tariff: &Tariff,
    terms: &Terms,
    options: &PeakTerms,
    duration_us: u64,
    metered: &Metered,
) -> Option<i128> {
    let cell = &metered.cell;
    if cell.discount.is_some() || !metered.earlier.is_empty() {
        let all = settle(tariff, terms, options, duration_us, std::slice::from_ref(metered))?;
        return Some(all.iter().map(|one| one.steps).sum());
    }
    let mut sum = cell.amount.checked_add(terms.connection_fee)?;
    if let Some((_, amount)) = options.extra.filter(|(second, _)| lasts_beyond(duration_us, *second)) {
        sum = sum.checked_add(amount)?;
    }
    let bounded = within_bounds(sum, terms, 1, true)?;
    Some(rounded_quotient(bounded, terms.rounding_step, tariff.rounding.mode))
}

/// Whether a call is still up after `second`, counted from 0, has begun.
fn lasts_beyond(duration_us: u64, second: u64) -> bool {
    u128::from(duration_us) > u128::from(second) * u128::from(MICROS)
}

/// The minimum is owed once it is clear that the call has come to its end.
fn within_bounds(sum: i128, terms: &Terms, parts: i128, is_last: bool) -> Option<i128> {
    let mut bounded = sum;
    if let (Some(minimum), true) = (terms.minimum, is_last) {
        bounded = bounded.max(minimum.checked_mul(parts)?);
    }
    if let Some(maximum) = terms.maximum {
        bounded = bounded.min(maximum.checked_mul(parts)?);
    }
    Some(bounded)
}

/// An amount in `parts`-ths of a part of the unit, as a decimal of at most 28 digits.
pub(crate) fn as_decimal(amount: i128, terms: &Terms, parts: i128) -> Option<Decimal> {
    if amount == 0 {
        return Some(Decimal::ZERO);
    }
    let unit = terms.unit.checked_mul(parts)?;
    let common = gcd(amount, unit);
    let amount = Decimal::try_from_i128_with_scale(amount / common, 0).ok()?;
    let unit = Decimal::try_from_i128_with_scale(unit / common, 0).ok()?;
    Some(amount.checked_div(unit)?.normalize())
}

/// `amount / step`, a whole number, rounded once. `step` is above 0.
pub(crate) fn rounded_quotient(amount: i128, step: i128, mode: RoundingMode) -> i128 {
    // Nearly all fit in 64 bits, where a division takes a fraction of the time.
    let quotient = match (i64::try_from(amount), i64::try_from(step)) {
        (Ok(amount), Ok(step)) => i128::from(amount / step),
        (Ok(_) | Err(_), _) => amount / step,
    };
    let rest = (amount - quotient * step).abs();
    if rest == 0 {
        return quotient;
    }
    // Compared without doubling, which could overflow.
    let half = rest.cmp(&(step - rest));
    let away = match mode {
        RoundingMode::HalfUp => half.is_ge(),
        RoundingMode::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
        RoundingMode::Up => true,
        RoundingMode::Down => false,
    };
    if away { quotient + amount.signum() } else { quotient }
}
