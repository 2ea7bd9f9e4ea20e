//! Walks a call by its charging intervals, as many at once as are alike.
//!
//! In: the terms of a fee, a call, the free time at hand. Out: seconds by peak state, free time used, and the sum of what the rest
//! costs as an exact integer. Flat amounts, bounds and rounding are [`crate::settle`]'s.

use chrono::DateTime;
use model::{Peak, PeakSplit, Piece};
use rust_decimal::Decimal;

use crate::peak_calendar::PeakState;
use crate::tariff::{SecondRate, Tariff, Terms};

pub(crate) const MICROS: u64 = 1_000_000;

/// Free time at hand from the end of the one before, until another billing interval gives anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FreeTime {
    /// Charging intervals that begin before this, in microseconds since 1970 UTC, may use it. The last of a list has
    /// [`i64::MAX`].
    pub(crate) until: i64,
    pub(crate) seconds: u64,
}

/// How far a call has been walked.
#[derive(Debug)]
pub(crate) struct Cursor<'f> {
    /// Microseconds since 1970 UTC.
    pub(crate) at: i64,
    pub(crate) remaining_us: u64,
    pub(crate) is_init: bool,
    /// What is left of it, by billing interval; never empty.
    pub(crate) free: &'f mut [FreeTime],
    /// Place in `free`.
    pub(crate) span: usize,
}

/// Where a walk ends before the call does, on the grid of charging intervals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    Never,
    /// Where an interval begins in another peak state than the first.
    AtPeak,
    /// Where an interval begins at this or later, microseconds since 1970 UTC.
    At(i64),
}

/// What was charged in one billing interval, in parts of the unit of the terms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) span: usize,
    pub(crate) amount: i128,
    /// Taken off one interval across a peak border that free time covered in part: an amount to be divided by seconds.
    pub(crate) discount: Option<(i128, i128)>,
    pub(crate) free_seconds: u64,
}

/// What the clock made of a call, or of a fragment of it.
#[derive(Debug, Default)]
pub(crate) struct Metered {
    /// The last billing interval it touched.
    pub(crate) cell: Cell,
    /// Those before.
    pub(crate) earlier: Vec<Cell>,
    pub(crate) onpeak_seconds: u64,
    pub(crate) offpeak_seconds: u64,
}

/// Takes down what was charged, or does not.
pub(crate) trait Evidence {
    fn charge(&mut self, start: i64, seconds: u64, peak: Peak, is_init: bool, rate: &SecondRate);
}

/// The price alone is wanted.
impl Evidence for () {
    fn charge(&mut self, _: i64, _: u64, _: Peak, _: bool, _: &SecondRate) {}
}

impl Evidence for Vec<Piece> {
    /// Adds to the last piece where it goes on alike. The prices are filled in by [`price_pieces`].
    fn charge(&mut self, start: i64, seconds: u64, peak: Peak, is_init: bool, rate: &SecondRate) {
        let SecondRate { rate, .. } = rate;
        let alike = |last: &Piece| {
            !last.is_init
                && !is_init
                && last.peak == peak
                && (last.rate, last.per_seconds) == (rate.price, rate.per_seconds)
                && last.interval_seconds == rate.interval_seconds
        };
        match self.last_mut() {
            Some(last) if alike(last) => last.seconds += seconds,
            Some(_) | None => self.push(Piece {
                // In the years that a price may be asked for, and a call is at most one longer.
                start: DateTime::from_timestamp_micros(start).unwrap_or_default(),
                seconds,
                peak,
                is_init,
                rate: rate.price,
                per_seconds: rate.per_seconds,
                interval_seconds: rate.interval_seconds,
                price: Decimal::ZERO,
            }),
        }
    }
}

/// Fills in what each piece costs, to the 28 digits of a decimal. `None` when one has no such form.
pub(crate) fn price_pieces(pieces: &mut [Piece]) -> Option<()> {
    for piece in pieces {
        piece.price = piece
            .rate
            .checked_mul(Decimal::from(piece.seconds))?
            .checked_div(Decimal::from(piece.per_seconds))?;
    }
    Some(())
}

/// Walks on from `cursor`, where the calendar says `state`, to `cut` or the end of the call. `None` when a sum leaves 127 bits.
pub(crate) fn meter<E: Evidence>(
    tariff: &Tariff,
    terms: &Terms,
    cursor: &mut Cursor<'_>,
    state: PeakState,
    cut: Cut,
    evidence: &mut E,
) -> Option<Metered> {
    let mut metered = Metered { cell: Cell { span: cursor.span, ..Cell::default() }, ..Metered::default() };
    let mut state = state;
    let first_state = state.peak;
    while cursor.remaining_us > 0 {
        let at = cursor.at;
        if state.until <= at {
            state = tariff.calendar.state_at(at);
        }
        let is_cut = match cut {
            Cut::Never => false,
            Cut::AtPeak => state.peak != first_state,
            Cut::At(border) => border <= at,
        };
        if is_cut {
            break;
        }
        while cursor.free[cursor.span].until <= at {
            cursor.span += 1;
            let cell = Cell { span: cursor.span, ..Cell::default() };
            metered.earlier.push(std::mem::replace(&mut metered.cell, cell));
        }
        let free = &mut cursor.free[cursor.span];
        let rate = terms.rate(cursor.is_init, state.peak);
        let interval = u64::from(rate.rate.interval_seconds);
        let interval_us = interval * MICROS;
        let wanted = if cursor.is_init { 1 } else { cursor.remaining_us.div_ceil(interval_us) };
        let mut count = wanted;
        // Divisions are what takes the time, and most calls end before any border.
        let left_in_state_us = left(at, state.until);
        if wanted.saturating_mul(interval_us) > left_in_state_us {
            count = count.min(match tariff.peak_split {
                PeakSplit::Boundary => left_in_state_us / interval_us,
                PeakSplit::IntervalStart | PeakSplit::ReferenceFragments => {
                    left_in_state_us.div_ceil(interval_us)
                }
            });
        }
        if free.until != i64::MAX {
            count = count.min(left(at, free.until).div_ceil(interval_us));
        }
        if let Cut::At(border) = cut {
            count = count.min(left(at, border).div_ceil(interval_us));
        }
        if count == 0 {
            let covered = free.seconds.min(interval);
            free.seconds -= covered;
            across_border(&mut metered, tariff, terms, at, cursor.is_init, interval, covered, evidence)?;
            count = 1;
        } else if free.seconds >= interval {
            // Free time moves the clock like paid time.
            count = count.min(free.seconds / interval);
            let seconds = count * interval;
            *metered.seconds_mut(state.peak) += seconds;
            metered.cell.free_seconds += seconds;
            free.seconds -= seconds;
        } else {
            // The rest of the free time covers a part of one interval, and lowers its price in proportion.
            if free.seconds > 0 {
                count = 1;
            }
            let paid = count * interval - free.seconds;
            *metered.seconds_mut(state.peak) += count * interval;
            metered.cell.free_seconds += free.seconds;
            free.seconds = 0;
            metered.add(rate, paid)?;
            evidence.charge(at, paid, state.peak, cursor.is_init, rate);
        }
        let seconds = count * interval;
        cursor.at = later(at, seconds)?;
        cursor.remaining_us = cursor.remaining_us.saturating_sub(seconds * MICROS);
        cursor.is_init = false;
    }
    Some(metered)
}

/// One interval that runs across a peak border: each second is charged by the state it begins in.
#[expect(clippy::too_many_arguments, reason = "the inside of one loop, taken out for its length")]
fn across_border<E: Evidence>(
    metered: &mut Metered,
    tariff: &Tariff,
    terms: &Terms,
    start: i64,
    is_init: bool,
    interval: u64,
    covered: u64,
    evidence: &mut E,
) -> Option<()> {
    let before = metered.cell.amount;
    let mut done = 0;
    while done < interval {
        let at = later(start, done)?;
        let state = tariff.calendar.state_at(at);
        let seconds = left(at, state.until).div_ceil(MICROS).min(interval - done);
        *metered.seconds_mut(state.peak) += seconds;
        if covered < interval {
            let rate = terms.rate(is_init, state.peak);
            metered.add(rate, seconds)?;
            evidence.charge(at, seconds, state.peak, is_init, rate);
        }
        done += seconds;
    }
    metered.cell.free_seconds += covered;
    if covered > 0 && covered < interval {
        let price = metered.cell.amount.checked_sub(before)?;
        metered.cell.discount = Some((price.checked_mul(i128::from(covered))?, i128::from(interval)));
    }
    Some(())
}

impl Metered {
    /// By billing interval, in their order.
    pub(crate) fn cells(&self) -> impl Iterator<Item = &Cell> {
        self.earlier.iter().chain([&self.cell])
    }

    /// Seconds of all charging intervals begun.
    pub(crate) fn billed_seconds(&self) -> u64 {
        self.onpeak_seconds + self.offpeak_seconds
    }

    fn seconds_mut(&mut self, peak: Peak) -> &mut u64 {
        match peak {
            Peak::On => &mut self.onpeak_seconds,
            Peak::Off => &mut self.offpeak_seconds,
        }
    }

    fn add(&mut self, rate: &SecondRate, seconds: u64) -> Option<()> {
        let price = rate.per_second.checked_mul(i128::from(seconds))?;
        self.cell.amount = self.cell.amount.checked_add(price)?;
        Some(())
    }
}

/// Microseconds from `at` to a later instant.
fn left(at: i64, until: i64) -> u64 {
    until.saturating_sub(at).unsigned_abs()
}

fn later(at: i64, seconds: u64) -> Option<i64> {
    at.checked_add(i64::try_from(seconds.checked_mul(MICROS)?).ok()?)
}
