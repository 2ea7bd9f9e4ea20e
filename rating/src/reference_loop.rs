//! The reference's price loop, quirks included: what `compat = "reference"` asks for.
//!
//! In: a tariff compiled for it, a call, the account's balances by billing interval. Out: the price by fragments, and the balances as
//! they are then. Three things differ from [`crate::price()`]: cash is taken charging interval by charging interval where one fits
//! whole, free time does not move the clock, and a balance that is entered during a call also bears what the call took from the one
//! before. Here too sums are exact integers; the reference adds in binary floating point.
//!
//! Source: billing-reference 5.4, 4.1 and 5.8. What the reference does not have (connection fee, minimum and maximum charge) is
//! added so: the connection fee is one more amount at the start, the bounds change what remains to be paid.

use model::{MICROS_PER_UNIT, Peak, PeakSplit, Piece, RoundingMode};
use rust_decimal::Decimal;

use crate::error::RatingError;
use crate::fragments::{FRAGMENTS_MAX, Part, Stretch};
use crate::meter::{Evidence, MICROS, price_pieces};
use crate::price::{CallToPrice, Priced, TOO_BIG, cost, described, find, unpriced};
use crate::settle::{as_decimal, rounded_quotient};
use crate::tariff::{PeakTerms, Tariff, Terms, gcd};

/// The balance of an account in one billing interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BalanceRow {
    /// Charging intervals that begin before this, in microseconds since 1970 UTC, belong to it, by whole seconds.
    pub(crate) until: i64,
    /// Cash, in millionths of a currency unit.
    pub(crate) cash_micros: i64,
    /// What calls have cost, paid or not: what the unused free cash is told by at the end of the interval.
    pub(crate) debit_micros: i64,
    pub(crate) free_seconds: u64,
}

/// One record of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReferenceFragment {
    pub(crate) stretch: Stretch,
    /// With the cost that remains, or of a prepaid profile all of it.
    pub(crate) priced: Priced,
    /// Taken from the balances.
    pub(crate) free_cash: Decimal,
}

impl ReferenceFragment {
    fn free_of_charge(priced: Priced) -> Self {
        Self { stretch: Stretch::NONE, priced, free_cash: Decimal::ZERO }
    }
}

impl From<ReferenceFragment> for Part {
    fn from(fragment: ReferenceFragment) -> Self {
        let ReferenceFragment { stretch, priced, free_cash } = fragment;
        Part { priced, free_cash, stretch }
    }
}

/// Prices a call like the reference. `rows` are the billing intervals from the start of the call on, in order and at
/// least one; `cuts` as of [`crate::price::price_whole`].
///
/// # Errors
///
/// As [`crate::price()`].
pub(crate) fn price_like_reference(
    tariff: &Tariff,
    call: &CallToPrice<'_>,
    rows: &mut [BalanceRow],
    cuts: Option<&[u64]>,
) -> Result<Vec<ReferenceFragment>, RatingError> {
    let Some((start, found)) = find(tariff, call)? else {
        return Ok(vec![ReferenceFragment::free_of_charge(unpriced(tariff))]);
    };
    let described = described(tariff, call, &found);
    if call.duration_us == 0 {
        return Ok(vec![ReferenceFragment::free_of_charge(described)]);
    }
    // Of too many fragments nothing is kept in the rows: it begins anew, without cuts.
    if cuts.is_some() {
        let mut run = Loop::new(tariff, found.terms(), start, call.duration_us, rows).ok_or(TOO_BIG)?;
        if let Some(fragments) = run.price(cuts, &described).ok_or(TOO_BIG)? {
            return Ok(fragments);
        }
    }
    let mut run = Loop::new(tariff, found.terms(), start, call.duration_us, rows).ok_or(TOO_BIG)?;
    run.price(None, &described).flatten().ok_or(TOO_BIG)
}

/// Pays one amount at the start of the first row, which the reference does not have: like an interval's, whole where it fits or not at all, and from the
/// rows after it too. Returns how much was paid.
pub(crate) fn pay_at_once(rows: &mut [BalanceRow], amount_micros: i64, prepaid: bool) -> i64 {
    let fits = |row: &BalanceRow| amount_micros <= row.cash_micros;
    let Some((first, later)) = rows.split_first_mut() else { return 0 };
    first.debit_micros = first.debit_micros.saturating_add(amount_micros);
    if !fits(first) || amount_micros <= 0 && !prepaid {
        return 0;
    }
    first.cash_micros = first.cash_micros.saturating_sub(amount_micros);
    for row in later.iter_mut().filter(|row| fits(row)) {
        row.cash_micros = row.cash_micros.saturating_sub(amount_micros);
    }
    amount_micros
}

/// A row at work: amounts in the loop's own resolution.
struct Row {
    until: i64,
    cash: i128,
    debit: i128,
    free_seconds: u64,
}

struct Loop<'t, 'r> {
    tariff: &'t Tariff,
    terms: &'t Terms,
    options: &'t PeakTerms,
    /// Of the call, in microseconds since 1970 UTC, as all instants here.
    start: i64,
    remaining_us: u64,
    /// Parts of the terms' unit, times this, are the loop's resolution: every share of every interval is whole in it.
    finer: i128,
    /// Least common multiple of the charging intervals.
    seconds: i128,
    kept: &'r mut [BalanceRow],
    rows: Vec<Row>,
    row: usize,
    /// Amounts taken from the balances so far, and how often.
    taken: Vec<(i128, u64)>,
    is_extra_due: bool,
    /// Of the whole call, for the bounds.
    real: i128,
}

/// Where a fragment ends before the call does. Free time does not move the clock of the loop, so places are told by what is left.
#[derive(Debug, Clone, Copy)]
enum LoopCut {
    Never,
    /// Where an interval begins in another peak state than the first.
    AtPeak,
    /// Once no more than this is left, microseconds.
    WhenLeft(u64),
}

/// Sums of one fragment.
#[derive(Default)]
struct Sums {
    real: i128,
    cost: i128,
    taken: i128,
    by_time: i128,
    onpeak_seconds: u64,
    offpeak_seconds: u64,
    free_seconds: u64,
    pieces: Vec<Piece>,
}

impl<'t, 'r> Loop<'t, 'r> {
    fn new(
        tariff: &'t Tariff,
        terms: &'t Terms,
        start: i64,
        duration_us: u64,
        kept: &'r mut [BalanceRow],
    ) -> Option<Self> {
        let mut seconds = 1i128;
        for (is_init, peak) in [(true, Peak::On), (true, Peak::Off), (false, Peak::On), (false, Peak::Off)] {
            let interval = i128::from(terms.rate(is_init, peak).rate.interval_seconds);
            seconds = (seconds / gcd(seconds, interval)).checked_mul(interval)?;
        }
        let micro = terms.unit.checked_mul(seconds)?;
        let work = |row: &BalanceRow| {
            Some(Row {
                until: row.until,
                cash: i128::from(row.cash_micros).checked_mul(micro)?,
                debit: i128::from(row.debit_micros).checked_mul(micro)?,
                free_seconds: row.free_seconds,
            })
        };
        let rows = kept.iter().map(work).collect::<Option<Vec<Row>>>()?;
        Some(Self {
            tariff,
            terms,
            options: terms.options(tariff.calendar.state_at(start).peak),
            start,
            remaining_us: duration_us,
            finer: seconds.checked_mul(i128::from(MICROS_PER_UNIT))?,
            seconds,
            kept,
            rows,
            row: 0,
            taken: Vec::new(),
            is_extra_due: true,
            real: 0,
        })
    }

    /// `Some(None)` of a call that would have too many fragments.
    #[expect(clippy::option_option, reason = "not exact, not cut, its fragments")]
    fn price(&mut self, cuts: Option<&[u64]>, described: &Priced) -> Option<Option<Vec<ReferenceFragment>>> {
        let mut fragments: Vec<(Sums, Stretch)> = Vec::new();
        let mut start = self.start;
        let mut is_init = true;
        let duration_us = self.remaining_us;
        let n_fragments_min = cuts.map_or(0, <[u64]>::len);
        while self.remaining_us > 0 || fragments.len() < n_fragments_min {
            if fragments.len() == FRAGMENTS_MAX && cuts.is_some() {
                return Some(None);
            }
            let mut sums = Sums::default();
            if is_init {
                let connection_fee = self.terms.connection_fee.checked_mul(self.finer)?;
                self.pay(connection_fee, &mut sums)?;
            }
            let common = cuts.and_then(|cuts| cuts.get(fragments.len()).copied());
            let cut = match (cuts, common) {
                (None, _) => LoopCut::Never,
                (Some(_), None) => LoopCut::AtPeak,
                // What is left of the call then; of one that is not so long, nothing.
                (Some(_), Some(us)) => LoopCut::WhenLeft(duration_us.saturating_sub(us)),
            };
            let before = self.remaining_us;
            let peak = self.tariff.calendar.state_at(start).peak;
            self.fragment(start, is_init, cut, &mut sums)?;
            start = after(start, (before - self.remaining_us).div_ceil(MICROS))?;
            is_init = false;
            let end_us = common.unwrap_or(duration_us - self.remaining_us);
            fragments.push((sums, Stretch { peak, end_us }));
        }
        // Amounts taken are also taken from the balances that already exist after the last one used.
        for row in &mut self.rows[self.row + 1..] {
            row.bear(&self.taken)?;
        }
        let mut bounded = self.real;
        if let Some(minimum) = self.terms.minimum {
            bounded = bounded.max(minimum.checked_mul(self.finer)?);
        }
        if let Some(maximum) = self.terms.maximum {
            bounded = bounded.min(maximum.checked_mul(self.finer)?);
        }
        let (last, _) = fragments.last_mut()?;
        last.real = last.real.checked_add(bounded - self.real)?;
        last.cost = last.cost.checked_add(bounded - self.real)?;
        self.keep_rows()?;
        let settled = fragments.into_iter().map(|(sums, stretch)| self.settled(sums, stretch, described));
        settled.collect::<Option<_>>().map(Some)
    }

    /// Prices from `start` on, to `cut` or the end of the call.
    fn fragment(&mut self, start: i64, mut is_init: bool, cut: LoopCut, sums: &mut Sums) -> Option<()> {
        let mut offset = 0u64;
        let mut state = self.tariff.calendar.state_at(start);
        let first_state = state.peak;
        while self.remaining_us > 0 {
            let at = after(start, offset)?;
            if state.until <= at {
                state = self.tariff.calendar.state_at(at);
            }
            let is_cut = match cut {
                LoopCut::Never => false,
                LoopCut::AtPeak => state.peak != first_state,
                LoopCut::WhenLeft(left_us) => self.remaining_us <= left_us,
            };
            if is_cut {
                break;
            }
            let mut interval = u64::from(self.terms.rate(is_init, state.peak).rate.interval_seconds);
            self.enter_row(second_of(at) * 1_000_000)?;
            let free = self.rows[self.row].free_seconds;
            let covered = if self.options.use_free_time { free.min(interval) } else { 0 };
            let mut amount = 0;
            self.each_state(at, interval, state.peak, |run, at, seconds, peak| {
                match peak {
                    Peak::On => sums.onpeak_seconds += seconds,
                    Peak::Off => sums.offpeak_seconds += seconds,
                }
                if covered < interval {
                    let rate = run.terms.rate(is_init, peak);
                    let price = rate.per_second.checked_mul(i128::from(seconds))?;
                    amount += price.checked_mul(run.finer)?;
                    let by_state = run.tariff.peak_split == PeakSplit::Boundary;
                    let paid = if by_state { seconds } else { seconds - covered };
                    sums.by_time += rate.per_second.checked_mul(i128::from(paid))?;
                    sums.pieces.charge(at, paid, peak, is_init, rate);
                }
                Some(())
            })?;
            is_init = false;
            sums.free_seconds += covered;
            self.rows[self.row].free_seconds -= covered;
            self.remaining_us = self.remaining_us.saturating_sub(covered * MICROS);
            if covered == interval {
                // Step 5: the offset stays, so the next interval is looked up at the same instant.
                continue;
            }
            // `finer` holds a multiple of every interval, so this divides.
            amount = amount / i128::from(interval) * i128::from(interval - covered);
            interval -= covered;
            if let Some(extra) = self.extra_in(start, at, interval) {
                amount = amount.checked_add(extra.checked_mul(self.finer)?)?;
            }
            self.pay(amount, sums)?;
            self.remaining_us = self.remaining_us.saturating_sub(interval * MICROS);
            offset += interval;
        }
        Some(())
    }

    /// Calls `charge` for the interval that begins at `at`: once, or of a tariff that splits at the border for each state in it.
    fn each_state(
        &self,
        at: i64,
        interval: u64,
        peak: Peak,
        mut charge: impl FnMut(&Self, i64, u64, Peak) -> Option<()>,
    ) -> Option<()> {
        match self.tariff.peak_split {
            PeakSplit::IntervalStart | PeakSplit::ReferenceFragments => charge(self, at, interval, peak),
            PeakSplit::Boundary => {
                for second in 0..interval {
                    let at = after(at, second)?;
                    charge(self, at, 1, self.tariff.calendar.state_at(at).peak)?;
                }
                Some(())
            }
        }
    }

    /// Step 4: the balance of the interval that holds `at`. One that is entered also bears what was taken before.
    fn enter_row(&mut self, at: i64) -> Option<()> {
        while self.rows[self.row].until <= at && self.row + 1 < self.rows.len() {
            self.row += 1;
            self.rows[self.row].bear(&self.taken)?;
        }
        Some(())
    }

    /// Step 7: the extra rate, if it falls due in the charging interval at `at`.
    fn extra_in(&mut self, fragment: i64, at: i64, interval: u64) -> Option<i128> {
        let (second, amount) = self.options.extra?;
        let due = second_of(self.start).checked_add(i64::try_from(second).ok()?)?;
        let begin = second_of(at);
        let is_in = begin <= due && due < begin.checked_add(i64::try_from(interval).ok()?)?;
        let is_reached = begin.checked_add(i64::try_from(self.remaining_us / MICROS).ok()?)? >= due;
        if is_in && is_reached && second_of(fragment) <= due && self.is_extra_due {
            self.is_extra_due = false;
            return Some(amount);
        }
        None
    }

    /// Step 8: from the balance if all of it fits, else it remains to be paid.
    fn pay(&mut self, amount: i128, sums: &mut Sums) -> Option<()> {
        let row = &mut self.rows[self.row];
        if (amount > 0 || self.tariff.profile().prepaid) && amount <= row.cash {
            row.cash = row.cash.checked_sub(amount)?;
            sums.taken = sums.taken.checked_add(amount)?;
            match self.taken.last_mut() {
                Some((last, n)) if *last == amount => *n += 1,
                Some(_) | None => self.taken.push((amount, 1)),
            }
        } else {
            sums.cost = sums.cost.checked_add(amount)?;
        }
        row.debit = row.debit.checked_add(amount)?;
        sums.real = sums.real.checked_add(amount)?;
        self.real = self.real.checked_add(amount)?;
        Some(())
    }

    fn keep_rows(&mut self) -> Option<()> {
        let micro = self.terms.unit.checked_mul(self.seconds)?;
        let micros = |amount| i64::try_from(rounded_quotient(amount, micro, RoundingMode::HalfUp)).ok();
        for (kept, row) in self.kept.iter_mut().zip(&self.rows) {
            kept.cash_micros = micros(row.cash)?;
            kept.debit_micros = micros(row.debit)?;
            kept.free_seconds = row.free_seconds;
        }
        Some(())
    }

    fn settled(&self, mut sums: Sums, stretch: Stretch, described: &Priced) -> Option<ReferenceFragment> {
        let rounding = self.tariff.rounding;
        let step = self.terms.rounding_step.checked_mul(self.finer)?;
        let rounded = |amount| cost(rounded_quotient(amount, step, rounding.mode), rounding.scale);
        let owed = if self.tariff.profile().prepaid { sums.real } else { sums.cost };
        price_pieces(&mut sums.pieces)?;
        let flat = sums.real.checked_sub(sums.by_time.checked_mul(self.finer)?)?;
        let priced = Priced {
            cost: rounded(owed)?,
            free_seconds: sums.free_seconds,
            billed_seconds: sums.onpeak_seconds + sums.offpeak_seconds,
            onpeak_seconds: sums.onpeak_seconds,
            offpeak_seconds: sums.offpeak_seconds,
            flat: as_decimal(flat, self.terms, self.finer)?,
            pieces: sums.pieces,
            ..described.clone()
        };
        Some(ReferenceFragment { stretch, priced, free_cash: rounded(sums.taken)? })
    }
}

impl Row {
    /// Takes each of `amounts` that fits.
    fn bear(&mut self, amounts: &[(i128, u64)]) -> Option<()> {
        for &(amount, n) in amounts {
            if amount > self.cash || amount == 0 {
                continue;
            }
            // Credits fit one after the other; of charges as many as the cash holds.
            let n = if amount > 0 { i128::from(n).min(self.cash / amount) } else { i128::from(n) };
            self.cash = self.cash.checked_sub(amount.checked_mul(n)?)?;
        }
        Some(())
    }
}

fn after(at: i64, seconds: u64) -> Option<i64> {
    at.checked_add(i64::try_from(seconds.checked_mul(MICROS)?).ok()?)
}

/// The whole second that holds `at`, counted from 1970.
fn second_of(at: i64) -> i64 {
    at.div_euclid(1_000_000)
}
