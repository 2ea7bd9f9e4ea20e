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

/// [`Terms`] in two cache lines: amounts in parts of the unit.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(crate) struct QuickTerms {
    /// On-peak first and following, off-peak first and following.
    intervals: [Interval; 4],
    /// 0: the terms do not fit in here.
    rounding_step: i64,
    connection_fee: i64,
    minimum: i64,
    maximum: i64,
    /// Microseconds since 1970 UTC; the first included, the second not.
    valid_from: i64,
    valid_to: i64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Interval {
    price: i64,
    seconds: u32,
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
    pub(crate) fn of(
        terms: &Terms,
        valid_from: Option<DateTime<Utc>>,
        valid_to: Option<DateTime<Utc>>,
    ) -> Self {
        let mut quick = Self {
            intervals: [Interval::default(); 4],
            rounding_step: 0,
            connection_fee: 0,
            minimum: i64::MIN,
            maximum: i64::MAX,
            // Calls are compared by the microsecond, so a bound within one rounds up.
            valid_from: valid_from.map_or(i64::MIN, micros_up),
            valid_to: valid_to.map_or(i64::MAX, micros_up),
        };
        if let Some(fitting) = Fitting::of(terms) {
            let Fitting { intervals, rounding_step, connection_fee, minimum, maximum } = fitting;
            quick = Self { intervals, rounding_step, connection_fee, minimum, maximum, ..quick };
        }
        quick
    }

    pub(crate) fn is_in_force(&self, at: DateTime<Utc>) -> bool {
        let at = at.timestamp_micros();
        self.valid_from <= at && at < self.valid_to
    }

    /// Prices a call of more than 0 µs that starts in `state` at `start` (microseconds since 1970 UTC); `None` if it is not of the usual kind.
    pub(crate) fn price(
        &self,
        start: i64,
        duration_us: u64,
        state: PeakState,
        mode: RoundingMode,
    ) -> Option<QuickPrice> {
        if self.rounding_step == 0 {
            return None;
        }
        let place = match state.peak {
            Peak::On => 0,
            Peak::Off => 2,
        };
        let (init, follow) = (self.intervals[place], self.intervals[place + 1]);
        let init_us = u64::from(init.seconds) * MICROS;
        let n_follow = match duration_us.checked_sub(init_us) {
            None | Some(0) => 0,
            Some(rest) => rest.div_ceil(u64::from(follow.seconds) * MICROS),
        };
        let seconds = u64::from(init.seconds) + n_follow * u64::from(follow.seconds);
        // What is charged must begin and end in one state.
        if state.until != i64::MAX && start.checked_add_unsigned(seconds * MICROS)? > state.until {
            return None;
        }
        let by_time = init.price + follow.price * n_follow.cast_signed();
        let sum = (by_time + self.connection_fee).max(self.minimum).min(self.maximum);
        Some(QuickPrice { steps: rounded(sum, self.rounding_step, mode), seconds })
    }
}

/// What of [`Terms`] fits in 64 bits, and can be added up in them for the longest call.
struct Fitting {
    intervals: [Interval; 4],
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
        let interval = |rate: &SecondRate| {
            let seconds = rate.rate.interval_seconds;
            Some(Interval { price: i64::try_from(rate.per_second * i128::from(seconds)).ok()?, seconds })
        };
        Some(Self {
            intervals: [interval(rates[0])?, interval(rates[1])?, interval(rates[2])?, interval(rates[3])?],
            rounding_step: i64::try_from(terms.rounding_step).ok()?,
            connection_fee: i64::try_from(terms.connection_fee).ok()?,
            minimum: terms.minimum.map_or(Some(i64::MIN), |amount| i64::try_from(amount).ok())?,
            maximum: terms.maximum.map_or(Some(i64::MAX), |amount| i64::try_from(amount).ok())?,
        })
    }
}

/// As [`crate::settle::rounded_quotient`].
fn rounded(amount: i64, step: i64, mode: RoundingMode) -> i64 {
    let (quotient, rest) = (amount / step, (amount % step).unsigned_abs());
    if rest == 0 {
        return quotient;
    }
    let half = rest.cmp(&(step.unsigned_abs() - rest));
    let away = match mode {
        RoundingMode::HalfUp => half.is_ge(),
        RoundingMode::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
        RoundingMode::Up => true,
        RoundingMode::Down => false,
    };
    if away { quotient + amount.signum() } else { quotient }
}

/// The first microsecond at or after `at`.
fn micros_up(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros() + i64::from(!at.timestamp_subsec_nanos().is_multiple_of(1_000))
}
