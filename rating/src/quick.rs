//! The price of a call of the usual kind: within one peak state, by a fee without extra rate, in 64 bits.
//!
//! In: the terms of a fee and a call. Out: what [`crate::meter`] and [`crate::settle`] say of it, or nothing where the call is of another kind
//! and they have to be asked. A property holds the two together.

use chrono::{DateTime, Utc};
use model::{Peak, RoundingMode};

use crate::meter::MICROS;
use crate::peak_calendar::PeakState;
use crate::price::CALL_SECONDS_MAX;
use crate::tariff::{SecondRate, Terms};

/// What calls at one price and zone need, in one cache line: amounts in parts of the unit.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct QuickTerms {
    /// Of an interval: on-peak first and following, off-peak first and following.
    prices: [i64; 4],
    /// 0: the terms do not fit in here.
    rounding_step: i64,
    connection_fee: i64,
    /// Of the same intervals.
    seconds: [u16; 4],
    /// Place of the bounds; [`UNBOUND`] for nearly all.
    bounds: u32,
    /// Place of the zone.
    pub(crate) zone: u32,
}

const _: () = assert!(size_of::<QuickTerms>() == 64);

const UNBOUND: u32 = u32::MAX;

/// Bounds of price and time, where there are any.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    minimum: i64,
    maximum: i64,
    /// Microseconds since 1970 UTC; the first included, the second not.
    valid_from: i64,
    valid_to: i64,
}

/// A price in steps of the rounding, and the seconds charged, all in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QuickPrice {
    pub(crate) steps: i64,
    pub(crate) seconds: u64,
}

/// Sums stay below this by the check in [`QuickTerms::of`].
const SUM_MAX: i128 = 1 << 62;

impl QuickTerms {
    /// Of the terms of a fee and the time it is in force; its bounds, if it has any, go to the end of `all_bounds`.
    pub(crate) fn of(
        terms: &Terms,
        valid_from: Option<DateTime<Utc>>,
        valid_to: Option<DateTime<Utc>>,
        zone: u32,
        all_bounds: &mut Vec<Bounds>,
    ) -> Self {
        let mut quick = Self {
            prices: [0; 4],
            rounding_step: 0,
            connection_fee: 0,
            seconds: [1; 4],
            bounds: UNBOUND,
            zone,
        };
        let mut bounds = Bounds {
            minimum: i64::MIN,
            maximum: i64::MAX,
            // Calls are compared by the microsecond, so a bound within one rounds up.
            valid_from: valid_from.map_or(i64::MIN, micros_up),
            valid_to: valid_to.map_or(i64::MAX, micros_up),
        };
        if let Some(fitting) = Fitting::of(terms) {
            let Fitting { prices, seconds, rounding_step, connection_fee, minimum, maximum } = fitting;
            quick = Self { prices, seconds, rounding_step, connection_fee, ..quick };
            bounds = Bounds { minimum, maximum, ..bounds };
        }
        let Bounds { minimum, maximum, valid_from, valid_to } = bounds;
        if (minimum, maximum, valid_from, valid_to) != (i64::MIN, i64::MAX, i64::MIN, i64::MAX) {
            quick.bounds = u32::try_from(all_bounds.len())
                .expect("a tariff has fewer than 4 billion fees: they fit in memory");
            all_bounds.push(bounds);
        }
        quick
    }

    /// Whether the fee is in force at `at`, microseconds since 1970 UTC.
    #[inline]
    pub(crate) fn is_in_force(&self, at: i64, all_bounds: &[Bounds]) -> bool {
        if self.bounds == UNBOUND {
            return true;
        }
        let bounds = &all_bounds[self.bounds as usize];
        bounds.valid_from <= at && at < bounds.valid_to
    }

    /// Prices a call of more than 0 µs that starts in `state` at `start` (microseconds since 1970 UTC) and is no longer than
    /// [`CALL_SECONDS_MAX`]; `None` if it is not of the usual kind.
    #[inline]
    pub(crate) fn price(
        &self,
        start: i64,
        duration_us: u64,
        state: PeakState,
        mode: RoundingMode,
        all_bounds: &[Bounds],
    ) -> Option<QuickPrice> {
        if self.rounding_step == 0 {
            return None;
        }
        let place = if state.peak == Peak::Off { 2 } else { 0 };
        let (init, follow) = (u32::from(self.seconds[place]), u32::from(self.seconds[place + 1]));
        // Whole seconds first: 32 bits, whose division takes half the time, and the same in the end.
        let duration = u32::try_from(duration_us.div_ceil(MICROS)).ok()?;
        let n_follow = duration.saturating_sub(init).div_ceil(follow);
        let seconds = u64::from(init) + u64::from(n_follow) * u64::from(follow);
        // What is charged must begin and end in one state.
        let end = start.checked_add_unsigned(seconds * MICROS)?;
        if end > state.until {
            return None;
        }
        let by_time = self.prices[place] + self.prices[place + 1] * i64::from(n_follow);
        let mut sum = by_time + self.connection_fee;
        if self.bounds != UNBOUND {
            let bounds = &all_bounds[self.bounds as usize];
            sum = sum.max(bounds.minimum).min(bounds.maximum);
        }
        Some(QuickPrice { steps: rounded(sum, self.rounding_step, mode), seconds })
    }
}

/// What of [`Terms`] fits in here, and can be added up in 64 bits for the longest call.
struct Fitting {
    prices: [i64; 4],
    seconds: [u16; 4],
    rounding_step: i64,
    connection_fee: i64,
    minimum: i64,
    maximum: i64,
}

impl Fitting {
    fn of(terms: &Terms) -> Option<Self> {
        if terms.onpeak.extra.is_some() || terms.offpeak.extra.is_some() {
            return None;
        }
        let rates = [&terms.onpeak_init, &terms.onpeak_follow, &terms.offpeak_init, &terms.offpeak_follow];
        // A call is charged for its length and at most for the rest of an interval, which is no longer.
        let seconds_max = i128::from(CALL_SECONDS_MAX) * 3;
        let dearest = rates.iter().map(|rate| rate.per_second.abs()).max()?;
        let bound = dearest.checked_mul(seconds_max)?.checked_add(terms.connection_fee.abs())?;
        if bound >= SUM_MAX {
            return None;
        }
        let price =
            |rate: &SecondRate| i64::try_from(rate.per_second * i128::from(rate.rate.interval_seconds)).ok();
        let seconds = |rate: &SecondRate| u16::try_from(rate.rate.interval_seconds).ok();
        Some(Self {
            prices: [price(rates[0])?, price(rates[1])?, price(rates[2])?, price(rates[3])?],
            seconds: [seconds(rates[0])?, seconds(rates[1])?, seconds(rates[2])?, seconds(rates[3])?],
            rounding_step: i64::try_from(terms.rounding_step).ok()?,
            connection_fee: i64::try_from(terms.connection_fee).ok()?,
            minimum: terms.minimum.map_or(Some(i64::MIN), |amount| i64::try_from(amount).ok())?,
            maximum: terms.maximum.map_or(Some(i64::MAX), |amount| i64::try_from(amount).ok())?,
        })
    }
}

/// As [`crate::settle::rounded_quotient`].
#[inline]
fn rounded(amount: i64, step: i64, mode: RoundingMode) -> i64 {
    let quotient = amount / step;
    let rest = (amount - quotient * step).unsigned_abs();
    let missing = step.unsigned_abs() - rest;
    // A rest of 0 is below each half, so nothing is added to what divides.
    let away = match mode {
        RoundingMode::HalfUp => rest >= missing,
        RoundingMode::HalfEven => rest > missing || (rest == missing && quotient % 2 != 0),
        RoundingMode::Up => rest > 0,
        RoundingMode::Down => false,
    };
    quotient + amount.signum() * i64::from(away)
}

/// The first microsecond at or after `at`.
fn micros_up(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() + i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000))
}
