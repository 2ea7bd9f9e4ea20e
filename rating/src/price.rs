//! The price of one call for one party.
//!
//! In: a compiled [`Tariff`] and a call. Out: a [`Priced`] that shows its workings. The length is rounded up to whole charging
//! intervals, each is charged by the peak state it begins in (or second by second across a border, if the
//! profile says so), and the sum, bounded by the fee's flat amounts, is rounded once. Who pays is decided
//! in [`crate::parties`]; balances are kept by the workbench.

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use model::{
    AccountId, Charge, Currency, Direction, FeeId, Peak, Piece, ProfileVersionId, Provider, RoundingMode,
};
use rust_decimal::Decimal;

use crate::error::{RatingError, masked};
use crate::tariff::{PeakTerms, SecondRate, Tariff, Terms, gcd};

/// The longest call that is priced: a leap year. Longer ones are a broken record.
pub const CALL_SECONDS_MAX: u64 = 366 * 86_400;

const MICROS: u64 = 1_000_000;

/// What a price depends on.
#[derive(Debug, Clone, Copy)]
pub struct CallToPrice<'a> {
    /// Digits of the caller, or `user@domain`.
    pub source: &'a str,
    /// Digits of the number called, or `user@domain`.
    pub destination: &'a str,
    /// Which side pays.
    pub direction: Direction,
    /// When it was answered.
    pub start: DateTime<Utc>,
    /// For how long, microseconds.
    pub duration_us: u64,
    /// Free seconds at hand. Only fees that say so use them.
    pub free_seconds: u64,
}

/// A price, and how it came about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priced {
    /// The tariff version.
    pub version: ProfileVersionId,
    /// Its profile's handle.
    pub profile: String,
    /// The fee that matched; `None` when an incoming call has none and costs nothing.
    pub fee: Option<FeeId>,
    /// Destination prefix of that fee.
    pub matched: String,
    /// Zone.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// Currency of all amounts here.
    pub currency: Currency,
    /// Rounded once.
    pub cost: Decimal,
    /// Seconds of free time used.
    pub free_seconds: u64,
    /// Sum of the charging intervals begun, free ones included.
    pub billed_seconds: u64,
    /// Of these on-peak.
    pub onpeak_seconds: u64,
    /// Of these off-peak.
    pub offpeak_seconds: u64,
    /// What the flat amounts and bounds of the fee added to the pieces, before rounding.
    pub flat: Decimal,
    /// How it was rounded, such as `half_up 6`.
    pub rounding: String,
    /// What was charged by time, in order; free time has no piece.
    pub pieces: Vec<Piece>,
}

impl Priced {
    /// As the charge of one party.
    pub fn into_charge(self, provider: Provider, direction: Direction, account: AccountId) -> Charge {
        Charge {
            provider,
            direction,
            account,
            version: self.version,
            profile: self.profile,
            fee: self.fee,
            matched: self.matched,
            zone: self.zone,
            zone_detail: self.zone_detail,
            currency: self.currency,
            cost: self.cost,
            free_seconds: self.free_seconds,
            free_cash: Decimal::ZERO,
            billed_seconds: self.billed_seconds,
            onpeak_seconds: self.onpeak_seconds,
            offpeak_seconds: self.offpeak_seconds,
            flat: self.flat,
            rounding: self.rounding,
            pieces: self.pieces,
        }
    }
}

/// Prices one answered call for one party.
///
/// The duration is rounded up to whole charging intervals: the init interval once, then follow intervals. A call of zero
/// seconds costs 0, whatever the fees. The pieces come in time order; with the flat amounts they add up to
/// the cost before rounding.
///
/// # Errors
///
/// [`RatingError::NoRate`] when no outgoing fee covers the call (an incoming call without one costs 0), and
/// [`RatingError::OutOfRange`] when start, length or price are beyond what can be exact.
///
/// Source: ARCHITECTURE.md, "Money, prices, time, numbers"; billing-reference 5.4 without its quirks.
pub fn price(tariff: &Tariff, call: &CallToPrice<'_>) -> Result<Priced, RatingError> {
    if !(1900..10_000).contains(&call.start.year()) {
        return Err(RatingError::OutOfRange { what: "the start of the call" });
    }
    if call.duration_us > CALL_SECONDS_MAX * MICROS {
        return Err(RatingError::OutOfRange { what: "the length of the call" });
    }
    let mut priced = unpriced(tariff);
    let Some(found) = tariff.find(call.direction, call.source, call.destination, call.start) else {
        return match call.direction {
            Direction::In => Ok(priced),
            Direction::Out => Err(RatingError::NoRate {
                destination: masked(call.destination),
                profile: tariff.profile().handle.clone(),
                version: tariff.version(),
                at: call.start,
            }),
        };
    };
    priced.fee = Some(found.fee);
    priced.matched = call.destination[..found.destination_len].to_owned();
    priced.zone = found.zone.to_owned();
    priced.zone_detail = found.zone_detail.to_owned();
    if call.duration_us == 0 {
        return Ok(priced);
    }

    let too_big = RatingError::OutOfRange { what: "the price of the call" };
    let options = found.terms.options(tariff.calendar.state_at(call.start).peak);
    let metered = meter(tariff, found.terms, options, call).ok_or(too_big.clone())?;
    let total = metered.bounded(found.terms, options, call.duration_us).ok_or(too_big.clone())?;
    let step = found.terms.rounding_step.checked_mul(total.parts).ok_or(too_big.clone())?;
    let steps = rounded_quotient(total.amount, step, tariff.rounding.mode);
    priced.cost = Decimal::try_from_i128_with_scale(steps, tariff.rounding.scale)
        .ok()
        .filter(|cost| model::to_micros(*cost).is_ok())
        .ok_or(too_big.clone())?
        .normalize();
    priced.flat = total.flat(found.terms).ok_or(too_big)?;
    priced.free_seconds = metered.free_seconds;
    priced.billed_seconds = metered.onpeak_seconds + metered.offpeak_seconds;
    priced.onpeak_seconds = metered.onpeak_seconds;
    priced.offpeak_seconds = metered.offpeak_seconds;
    priced.pieces = metered.pieces;
    Ok(priced)
}

/// A price of 0, before anything is known of the call.
fn unpriced(tariff: &Tariff) -> Priced {
    Priced {
        version: tariff.version(),
        profile: tariff.profile().handle.clone(),
        fee: None,
        matched: String::new(),
        zone: String::new(),
        zone_detail: String::new(),
        currency: tariff.profile().currency,
        cost: Decimal::ZERO,
        free_seconds: 0,
        billed_seconds: 0,
        onpeak_seconds: 0,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: format!("{} {}", tariff.rounding.mode, tariff.rounding.scale),
        pieces: Vec::new(),
    }
}

/// What the clock made of a call.
#[derive(Default)]
struct Metered {
    /// Sum of the pieces, in parts of the unit of the terms.
    amount: i128,
    /// Taken off one interval across a peak border that free time covered in part: an amount to be divided by seconds.
    discount: Option<(i128, i128)>,
    pieces: Vec<Piece>,
    free_seconds: u64,
    onpeak_seconds: u64,
    offpeak_seconds: u64,
}

/// An amount in `parts`-ths of a part of the unit: exact even where a discount does not divide.
struct Total {
    amount: i128,
    parts: i128,
    /// Of it, what no piece shows.
    flat: i128,
}

/// Walks the call interval by interval, as many at once as are alike. `None` when a sum leaves 127 bits.
fn meter(tariff: &Tariff, terms: &Terms, options: &PeakTerms, call: &CallToPrice<'_>) -> Option<Metered> {
    let mut metered = Metered::default();
    let mut free = if options.use_free_time { call.free_seconds } else { 0 };
    let mut remaining_us = call.duration_us;
    let mut at = call.start;
    let mut is_init = true;
    let mut state = tariff.calendar.state_at(at);
    while remaining_us > 0 {
        if state.until.is_some_and(|until| until <= at) {
            state = tariff.calendar.state_at(at);
        }
        let rate = terms.rate(is_init, state.peak);
        let interval = u64::from(rate.rate.interval_seconds);
        let left_in_state_us = state.until.map_or(u64::MAX, |until| micros_between(at, until));
        let alike = if tariff.split_at_border {
            left_in_state_us / (interval * MICROS)
        } else {
            left_in_state_us.div_ceil(interval * MICROS)
        };
        let wanted = if is_init { 1 } else { remaining_us.div_ceil(interval * MICROS) };
        let mut count = alike.min(wanted);
        if count == 0 {
            let covered = free.min(interval);
            across_border(&mut metered, tariff, terms, at, is_init, interval, covered)?;
            free -= covered;
            count = 1;
        } else if free >= interval {
            // Free time moves the clock like paid time.
            count = count.min(free / interval);
            let seconds = count * interval;
            *metered.seconds_mut(state.peak) += seconds;
            metered.free_seconds += seconds;
            free -= seconds;
        } else {
            // The rest of the free time covers a part of one interval, and lowers its price in proportion.
            if free > 0 {
                count = 1;
            }
            *metered.seconds_mut(state.peak) += count * interval;
            metered.free_seconds += free;
            metered.charge(at, count * interval - free, state.peak, is_init, rate, interval)?;
            free = 0;
        }
        let seconds = count * interval;
        at = at.checked_add_signed(TimeDelta::seconds(i64::try_from(seconds).ok()?))?;
        remaining_us = remaining_us.saturating_sub(seconds * MICROS);
        is_init = false;
    }
    for piece in &mut metered.pieces {
        piece.price = piece
            .rate
            .checked_mul(Decimal::from(piece.seconds))?
            .checked_div(Decimal::from(piece.per_seconds))?;
    }
    Some(metered)
}

/// One interval that runs across a peak border: each second is charged by the state it begins in.
fn across_border(
    metered: &mut Metered,
    tariff: &Tariff,
    terms: &Terms,
    start: DateTime<Utc>,
    is_init: bool,
    interval: u64,
    covered: u64,
) -> Option<()> {
    let mut price = 0i128;
    let mut done = 0;
    while done < interval {
        let at = start.checked_add_signed(TimeDelta::seconds(i64::try_from(done).ok()?))?;
        let state = tariff.calendar.state_at(at);
        let left_in_state = state.until.map_or(u64::MAX, |until| micros_between(at, until).div_ceil(MICROS));
        let seconds = left_in_state.min(interval - done);
        let rate = terms.rate(is_init, state.peak);
        *metered.seconds_mut(state.peak) += seconds;
        if covered < interval {
            metered.charge(at, seconds, state.peak, is_init, rate, interval)?;
            price = price.checked_add(rate.per_second.checked_mul(i128::from(seconds))?)?;
        }
        done += seconds;
    }
    metered.free_seconds += covered;
    if covered > 0 && covered < interval {
        metered.discount = Some((price.checked_mul(i128::from(covered))?, i128::from(interval)));
    }
    Some(())
}

impl Metered {
    fn seconds_mut(&mut self, peak: Peak) -> &mut u64 {
        match peak {
            Peak::On => &mut self.onpeak_seconds,
            Peak::Off => &mut self.offpeak_seconds,
        }
    }

    /// Adds to the sum, and to the last piece where it goes on alike. The pieces' prices are filled in at the end.
    fn charge(
        &mut self,
        start: DateTime<Utc>,
        seconds: u64,
        peak: Peak,
        is_init: bool,
        rate: &SecondRate,
        interval: u64,
    ) -> Option<()> {
        self.amount = self.amount.checked_add(rate.per_second.checked_mul(i128::from(seconds))?)?;
        let interval_seconds = u32::try_from(interval).ok()?;
        let alike = |last: &Piece| {
            !last.is_init
                && !is_init
                && last.peak == peak
                && (last.rate, last.per_seconds) == (rate.rate.price, rate.rate.per_seconds)
                && last.interval_seconds == interval_seconds
        };
        match self.pieces.last_mut() {
            Some(last) if alike(last) => last.seconds += seconds,
            Some(_) | None => self.pieces.push(Piece {
                start,
                seconds,
                peak,
                is_init,
                rate: rate.rate.price,
                per_seconds: rate.rate.per_seconds,
                interval_seconds,
                price: Decimal::ZERO,
            }),
        }
        Some(())
    }

    /// The sum with the flat amounts, within the bounds of the fee.
    fn bounded(&self, terms: &Terms, options: &PeakTerms, duration_us: u64) -> Option<Total> {
        let paid: u64 = self.pieces.iter().map(|piece| piece.seconds).sum();
        let free_in_pieces = self.onpeak_seconds + self.offpeak_seconds - paid;
        assert!(
            free_in_pieces == self.free_seconds || self.discount.is_some(),
            "the clock lost or invented time"
        );
        let recount = self.pieces.iter().try_fold(0i128, |sum, piece| {
            let rate = terms.rate(piece.is_init, piece.peak);
            sum.checked_add(rate.per_second.checked_mul(i128::from(piece.seconds))?)
        })?;
        assert_eq!(recount, self.amount, "the pieces do not add up");

        let (taken, parts) = self.discount.unwrap_or((0, 1));
        let by_time = self.amount.checked_mul(parts)?;
        let mut amount = by_time.checked_sub(taken)?.checked_add(terms.connection_fee.checked_mul(parts)?)?;
        if let Some((second, extra)) = options.extra
            && u128::from(duration_us) > u128::from(second) * u128::from(MICROS)
        {
            amount = amount.checked_add(extra.checked_mul(parts)?)?;
        }
        if let Some(minimum) = terms.minimum {
            amount = amount.max(minimum.checked_mul(parts)?);
        }
        if let Some(maximum) = terms.maximum {
            amount = amount.min(maximum.checked_mul(parts)?);
        }
        Some(Total { amount, parts, flat: amount.checked_sub(by_time)? })
    }
}

impl Total {
    /// What the pieces do not show, as a decimal of at most 28 digits.
    fn flat(&self, terms: &Terms) -> Option<Decimal> {
        if self.flat == 0 {
            return Some(Decimal::ZERO);
        }
        let unit = terms.unit.checked_mul(self.parts)?;
        let common = gcd(self.flat, unit);
        let flat = Decimal::try_from_i128_with_scale(self.flat / common, 0).ok()?;
        let unit = Decimal::try_from_i128_with_scale(unit / common, 0).ok()?;
        Some(flat.checked_div(unit)?.normalize())
    }
}

/// `amount / step`, a whole number, rounded once. `step` is above 0.
fn rounded_quotient(amount: i128, step: i128, mode: RoundingMode) -> i128 {
    let quotient = amount / step;
    let rest = (amount % step).abs();
    // Compared without doubling, which could overflow.
    let half = rest.cmp(&(step - rest));
    let away = match mode {
        RoundingMode::HalfUp => half.is_ge(),
        RoundingMode::HalfEven => half.is_gt() || (half.is_eq() && quotient % 2 != 0),
        RoundingMode::Up => rest != 0,
        RoundingMode::Down => false,
    };
    if away { quotient + amount.signum() } else { quotient }
}

/// From `at` to a later instant.
fn micros_between(at: DateTime<Utc>, later: DateTime<Utc>) -> u64 {
    (later - at).num_microseconds().and_then(|micros| u64::try_from(micros).ok()).unwrap_or(u64::MAX)
}
