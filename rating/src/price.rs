//! The price of one call for one party.
//!
//! In: a compiled [`Tariff`] and a call. Out: a [`Priced`] that shows its workings, or with [`quote`] the price alone. The length is
//! rounded up to whole charging intervals, each is charged by the peak state it begins in (or second by second across a
//! border, if the profile says so), and the sum, bounded by the fee's flat amounts, is rounded once. Who pays is decided
//! in [`crate::parties`]; balances are kept by the workbench.

use chrono::{DateTime, Utc};
use model::{
    AccountId, Charge, Currency, Direction, FeeId, MICROS_PER_UNIT, Peak, PeakSplit, Piece, PortedNumber,
    ProfileVersionId, Provider,
};
use rust_decimal::Decimal;

use crate::error::{RatingError, masked};
use crate::fragments::{FRAGMENTS_MAX, Part, Stretch, cuts_of, joined};
use crate::meter::{Cursor, Cut, FreeTime, MICROS, Metered, meter, price_pieces};
use crate::peak_calendar::PeakState;
use crate::reference_match::PatternTooSlow;
use crate::settle::{Settled, as_decimal, rounded_quotient, settle, settle_steps};
use crate::tariff::{Match, Matched, Tariff, Terms};

/// The longest call that is priced: a leap year. Longer ones are a broken record.
pub const CALL_SECONDS_MAX: u64 = 366 * 86_400;

/// Starts that are priced, microseconds since 1970: the years 1900 to 9999. Others are a broken record.
const STARTS: std::ops::Range<i64> = -2_208_988_800_000_000..253_402_300_800_000_000;

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
    /// What is known of the number called, if another carrier serves it than its prefix says.
    pub ported: Option<&'a PortedNumber>,
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
    /// Destination prefix or pattern of that fee.
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
    /// The records of a call that is cut at peak borders; none of one that is not.
    pub fragments: Vec<model::Fragment>,
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
            conversion: None,
            fragments: self.fragments,
        }
    }
}

/// The price of a call without its workings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'t> {
    /// The fee that matched; `None` when an incoming call has none and costs nothing.
    pub fee: Option<FeeId>,
    /// Zone.
    pub zone: &'t str,
    /// Zone detail.
    pub zone_detail: &'t str,
    /// Rounded once, in millionths of a currency unit.
    pub cost_micros: i64,
    /// Of the charging intervals begun, those on-peak.
    pub onpeak_seconds: u64,
    /// And off-peak.
    pub offpeak_seconds: u64,
}

/// One fragment of a call, and how its cost falls on the billing intervals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) priced: Priced,
    pub(crate) stretch: Stretch,
    /// Place of the billing interval, its part of the cost, free time used in it. At least one.
    pub(crate) shares: Vec<Share>,
}

/// What a fragment costs in one billing interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) span: usize,
    pub(crate) cost: Decimal,
    pub(crate) free_seconds: u64,
}

/// Nothing is free.
pub(crate) const NO_FREE_TIME: [FreeTime; 1] = [FreeTime { until: i64::MAX, seconds: 0 }];

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
    price_cut(tariff, call, &[])
}

/// As [`price`], of a call whose parties cut it at `common` ([`cuts_of`]).
pub(crate) fn price_cut(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    common: &[u64],
) -> Result<Priced, RatingError> {
    let fragments = price_whole(tariff, call, &mut NO_FREE_TIME.clone(), cuts_of(tariff, common))?;
    let parts = fragments.into_iter().map(|fragment| Part {
        priced: fragment.priced,
        free_cash: Decimal::ZERO,
        stretch: fragment.stretch,
    });
    Ok(joined(call, parts.collect())?.0)
}

/// As [`price`], without free time and without the workings: for many calls, and for those who only compare.
///
/// # Errors
///
/// As [`price`].
pub fn quote<'t>(tariff: &'t Tariff, call: &CallToPrice<'_>) -> Result<Quote<'t>, RatingError> {
    match find(tariff, call)? {
        Some((start, found)) => quote_by(tariff, call, start, &found),
        None => Ok(Quote {
            fee: None,
            zone: "",
            zone_detail: "",
            cost_micros: 0,
            onpeak_seconds: 0,
            offpeak_seconds: 0,
        }),
    }
}

/// What a call costs by the fee that was found for it.
#[inline(always)]
pub(crate) fn quote_by<'t>(
    tariff: &'t Tariff,
    call: &CallToPrice<'_>,
    start: i64,
    found: &Match<'t>,
) -> Result<Quote<'t>, RatingError> {
    let (zone, zone_detail) = found.zone();
    let mut quote = Quote {
        fee: Some(found.fee()),
        zone,
        zone_detail,
        cost_micros: 0,
        onpeak_seconds: 0,
        offpeak_seconds: 0,
    };
    if call.duration_us == 0 {
        return Ok(quote);
    }
    let state = tariff.calendar.state_at(start);
    if let Some(quick) =
        found.quick.price(start, call.duration_us, state, tariff.rounding.mode, tariff.bounds())
    {
        quote.cost_micros = quick.steps.checked_mul(tariff.micros_per_step).ok_or(TOO_BIG)?;
        // Without a branch: which it is cannot be foreseen.
        let off_peak = u64::from(state.peak == Peak::Off);
        quote.onpeak_seconds = quick.seconds * (1 - off_peak);
        quote.offpeak_seconds = quick.seconds * off_peak;
        return Ok(quote);
    }
    quote_exactly(tariff, call, start, found, state, quote)
}

/// Fills in what a call costs that is not of the usual kind.
#[cold]
fn quote_exactly<'t>(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    start: i64,
    found: &Match<'_>,
    state: PeakState,
    mut quote: Quote<'t>,
) -> Result<Quote<'t>, RatingError> {
    if tariff.peak_split == PeakSplit::ReferenceFragments {
        // Each fragment is rounded for itself.
        let priced = price(tariff, call)?;
        quote.cost_micros = model::to_micros(priced.cost).map_err(|_| TOO_BIG)?;
        quote.onpeak_seconds = priced.onpeak_seconds;
        quote.offpeak_seconds = priced.offpeak_seconds;
        return Ok(quote);
    }
    let duration_us = call.duration_us;
    let terms = found.terms();
    let options = terms.options(state.peak);
    let mut free = NO_FREE_TIME;
    let mut cursor = Cursor { at: start, remaining_us: duration_us, is_init: true, free: &mut free, span: 0 };
    let metered = meter(tariff, terms, &mut cursor, state, Cut::Never, &mut ()).ok_or(TOO_BIG)?;
    let steps = settle_steps(tariff, terms, options, duration_us, &metered).ok_or(TOO_BIG)?;
    quote.cost_micros = micros(steps, tariff.rounding.scale).ok_or(TOO_BIG)?;
    quote.onpeak_seconds = metered.onpeak_seconds;
    quote.offpeak_seconds = metered.offpeak_seconds;
    Ok(quote)
}

/// What an attempt costs that nobody answered: the flat amount of the fee that would have priced the call. `None` when there is no such fee or
/// it asks for nothing; the length is not looked at.
///
/// # Errors
///
/// As [`price`], but for [`RatingError::NoRate`].
pub fn price_attempt(tariff: &Tariff, call: &CallToPrice<'_>) -> Result<Option<Priced>, RatingError> {
    if !tariff.charges_attempts {
        return Ok(None);
    }
    let (_, found) = match find(tariff, &CallToPrice { duration_us: 0, ..*call }) {
        Ok(Some(found)) => found,
        Ok(None) | Err(RatingError::NoRate { .. }) => return Ok(None),
        Err(why) => return Err(why),
    };
    let terms = found.terms();
    if terms.failed_attempt == 0 {
        return Ok(None);
    }
    let steps = rounded_quotient(terms.failed_attempt, terms.rounding_step, tariff.rounding.mode);
    Ok(Some(Priced {
        cost: cost(steps, tariff.rounding.scale).ok_or(TOO_BIG)?,
        flat: as_decimal(terms.failed_attempt, terms, 1).ok_or(TOO_BIG)?,
        ..described(tariff, call, &found)
    }))
}

/// As [`price`], with free time by billing interval, which is used up. With `cuts` the call is cut on the interval grid, first so many
/// microseconds from its start, then at peak borders (billing-reference 4.1).
pub(crate) fn price_whole(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    free: &mut [FreeTime],
    cuts: Option<&[u64]>,
) -> Result<Vec<Fragment>, RatingError> {
    if cuts.is_none() {
        return price_at_cuts(tariff, call, free, None).map(Option::unwrap_or_default);
    }
    let at_hand = free.to_vec();
    if let Some(fragments) = price_at_cuts(tariff, call, free, cuts)? {
        return Ok(fragments);
    }
    free.copy_from_slice(&at_hand);
    price_at_cuts(tariff, call, free, None).map(Option::unwrap_or_default)
}

/// `None` of a call that would have too many fragments.
fn price_at_cuts(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    free: &mut [FreeTime],
    cuts: Option<&[u64]>,
) -> Result<Option<Vec<Fragment>>, RatingError> {
    let Some((start, found)) = find(tariff, call)? else {
        return Ok(Some(vec![Fragment::free_of_charge(unpriced(tariff))]));
    };
    let described = described(tariff, call, &found);
    if call.duration_us == 0 {
        return Ok(Some(vec![Fragment::free_of_charge(described)]));
    }
    let terms = found.terms();
    let options = terms.options(tariff.calendar.state_at(start).peak);
    if !options.use_free_time {
        free.iter_mut().for_each(|span| span.seconds = 0);
    }
    let mut cursor = Cursor { at: start, remaining_us: call.duration_us, is_init: true, free, span: 0 };
    let mut walked = Vec::with_capacity(1);
    let mut pieces = Vec::with_capacity(1);
    let mut stretches = Vec::with_capacity(1);
    let n_fragments_min = cuts.map_or(0, <[u64]>::len);
    while cursor.remaining_us > 0 || walked.len() < n_fragments_min {
        if walked.len() == FRAGMENTS_MAX && cuts.is_some() {
            return Ok(None);
        }
        let mut of_fragment: Vec<Piece> = Vec::new();
        let state = tariff.calendar.state_at(cursor.at);
        let common = cuts.and_then(|cuts| cuts.get(walked.len()).copied());
        let cut = match (cuts, common) {
            (None, _) => Cut::Never,
            (Some(_), None) => Cut::AtPeak,
            (Some(_), Some(us)) => Cut::At(start.saturating_add_unsigned(us)),
        };
        let metered = meter(tariff, terms, &mut cursor, state, cut, &mut of_fragment).ok_or(TOO_BIG)?;
        let end_us = common.unwrap_or(call.duration_us - cursor.remaining_us);
        stretches.push(Stretch { peak: state.peak, end_us });
        check_sums(&metered, terms, &of_fragment);
        price_pieces(&mut of_fragment).ok_or(TOO_BIG)?;
        walked.push(metered);
        pieces.push(of_fragment);
    }
    let settled = settle(tariff, terms, options, call.duration_us, &walked).ok_or(TOO_BIG)?;
    let parts = settled.into_iter().zip(walked).zip(stretches.into_iter().zip(pieces));
    let parts = parts.map(|((settled, metered), (stretch, pieces))| {
        let (priced, shares) = fragment(tariff, &described, &settled, &metered, pieces)?;
        Ok(Fragment { priced, stretch, shares })
    });
    parts.collect::<Result<_, RatingError>>().map(Some)
}

pub(crate) const TOO_BIG: RatingError = RatingError::OutOfRange { what: "the price of the call" };

/// The fee, and the start in microseconds since 1970 UTC, which is what records keep; `None` for an incoming call that has no fee.
#[inline(always)]
pub(crate) fn find<'t>(
    tariff: &'t Tariff,
    call: &CallToPrice<'_>,
) -> Result<Option<(i64, Match<'t>)>, RatingError> {
    let start = start_of(call)?;
    match tariff.find(call.direction, call.source, call.destination, call.ported, start) {
        Ok(Some(found)) => Ok(Some((start, found))),
        Ok(None) => no_fee(tariff, call),
        Err(PatternTooSlow) => Err(RatingError::PatternTooSlow {
            destination: masked(call.destination),
            profile: tariff.profile().handle.clone(),
            version: tariff.version(),
        }),
    }
}

/// The start in microseconds since 1970 UTC, if it and the length are within what is priced.
#[inline(always)]
pub(crate) fn start_of(call: &CallToPrice<'_>) -> Result<i64, RatingError> {
    let start = call.start.timestamp_micros();
    if !STARTS.contains(&start) {
        return Err(RatingError::OutOfRange { what: "the start of the call" });
    }
    if call.duration_us > CALL_SECONDS_MAX * MICROS {
        return Err(RatingError::OutOfRange { what: "the length of the call" });
    }
    Ok(start)
}

#[cold]
fn no_fee<'t>(tariff: &Tariff, call: &CallToPrice<'_>) -> Result<Option<(i64, Match<'t>)>, RatingError> {
    match call.direction {
        Direction::In => Ok(None),
        Direction::Out => Err(RatingError::NoRate {
            destination: masked(call.destination),
            profile: tariff.profile().handle.clone(),
            version: tariff.version(),
            at: call.start,
        }),
    }
}

/// The pieces must be what was charged, to the last part.
fn check_sums(metered: &Metered, terms: &Terms, pieces: &[Piece]) {
    let charged: i128 = metered.cells().map(|cell| cell.amount).sum();
    let recount: i128 = pieces
        .iter()
        .map(|piece| terms.rate(piece.is_init, piece.peak).per_second * i128::from(piece.seconds))
        .sum();
    assert_eq!(recount, charged, "the pieces do not add up");
    let free: u64 = metered.cells().map(|cell| cell.free_seconds).sum();
    let paid: u64 = pieces.iter().map(|piece| piece.seconds).sum();
    let is_discounted = metered.cells().any(|cell| cell.discount.is_some());
    assert!(is_discounted || paid + free == metered.billed_seconds(), "the clock lost or invented time");
}

fn fragment(
    tariff: &Tariff,
    described: &Priced,
    settled: &Settled,
    metered: &Metered,
    pieces: Vec<Piece>,
) -> Result<(Priced, Vec<Share>), RatingError> {
    let scale = tariff.rounding.scale;
    let cost = cost(settled.steps, scale).ok_or(TOO_BIG)?;
    let shares = settled.shares.iter().zip(metered.cells()).map(|((span, steps), cell)| {
        let cost = self::cost(*steps, scale).ok_or(TOO_BIG)?;
        Ok(Share { span: *span, cost, free_seconds: cell.free_seconds })
    });
    let shares: Vec<Share> = shares.collect::<Result<_, RatingError>>()?;
    let priced = Priced {
        cost,
        free_seconds: shares.iter().map(|share| share.free_seconds).sum(),
        billed_seconds: metered.billed_seconds(),
        onpeak_seconds: metered.onpeak_seconds,
        offpeak_seconds: metered.offpeak_seconds,
        flat: settled.flat,
        pieces,
        ..described.clone()
    };
    Ok((priced, shares))
}

impl Fragment {
    /// A call that has no length or no incoming fee.
    pub(crate) fn free_of_charge(priced: Priced) -> Self {
        let shares = vec![Share { span: 0, cost: Decimal::ZERO, free_seconds: 0 }];
        Fragment { priced, stretch: Stretch::NONE, shares }
    }
}

/// So many steps of a rounding to `scale` decimals, if the ledger can keep them.
pub(crate) fn cost(steps: i128, scale: u32) -> Option<Decimal> {
    micros(steps, scale)?;
    Some(Decimal::try_from_i128_with_scale(steps, scale).ok()?.normalize())
}

fn micros(steps: i128, scale: u32) -> Option<i64> {
    let steps_per_unit = 10i64.checked_pow(scale)?;
    i64::try_from(steps.checked_mul(i128::from(MICROS_PER_UNIT / steps_per_unit))?).ok()
}

/// A price of 0 by the fee that was found.
pub(crate) fn described(tariff: &Tariff, call: &CallToPrice<'_>, found: &Match<'_>) -> Priced {
    let matched = match found.matched() {
        Matched::Prefix(len) => &call.destination[..len],
        Matched::Pattern(text) => text,
    };
    let (zone, zone_detail) = found.zone();
    Priced {
        fee: Some(found.fee()),
        matched: matched.to_owned(),
        zone: zone.to_owned(),
        zone_detail: zone_detail.to_owned(),
        ..unpriced(tariff)
    }
}

/// A price of 0, before anything is known of the call.
pub(crate) fn unpriced(tariff: &Tariff) -> Priced {
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
        rounding: tariff.rounding_text.clone(),
        pieces: Vec::new(),
        fragments: Vec::new(),
    }
}
