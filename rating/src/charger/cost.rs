//! What a call that is held to a balance takes of it, by the pipeline's own prices.

use model::Direction;
use rust_decimal::Decimal;

use super::{Charger, Funds, Hold};
use crate::fragments::cuts_of;
use crate::interval_price::{added_at_most, covers};
use crate::meter::FreeTime;
use crate::price::{CallToPrice, Priced, price_attempt, price_whole, quote};
use crate::reference_loop::{BalanceRow, price_like_reference};
use crate::tariff::Tariff;

/// More free seconds than any call can use.
const ALL_IT_WANTS: u64 = u32::MAX as u64;

impl Charger {
    /// Whether a call has been cut elsewhere than where its own profile has it cut, and no more is kept back for it than that can make.
    pub(super) fn is_rounded_otherwise(&self, hold: &Hold) -> bool {
        let Some(cuts) = cuts_of(&hold.tariff, &[]) else { return false };
        let mut free = [FreeTime { until: i64::MAX, seconds: hold.posted.seconds }];
        let call = self.call_of(hold, hold.length_us);
        let Ok(fragments) = price_whole(&hold.tariff, &call, &mut free, Some(cuts)) else { return false };
        let n_steps = i64::try_from(fragments.len()).unwrap_or(i64::MAX).saturating_mul(2);
        hold.outstanding().micros <= hold.tariff.micros_per_step.saturating_mul(n_steps)
    }

    /// Free seconds that a call of this length would use if there were enough for all. `None`: it has no price.
    pub(super) fn wants(&self, hold: &Hold, length_us: u64) -> Option<u64> {
        if length_us == 0 {
            return Some(0);
        }
        self.cost(hold, length_us, ALL_IT_WANTS).map(|cost| cost.seconds)
    }

    pub(super) fn call_of<'h>(&'h self, hold: &'h Hold, duration_us: u64) -> CallToPrice<'h> {
        CallToPrice {
            source: &hold.source,
            destination: &hold.destination,
            direction: Direction::Out,
            start: hold.start,
            duration_us,
            ported: self.snapshot.ported(&hold.destination, hold.start),
        }
    }

    /// What it costs if nobody answers, millionths.
    pub(super) fn attempt_micros(&self, hold: &Hold) -> i64 {
        // Where an attempt has no price it costs nothing, and neither does one that costs less.
        let priced = price_attempt(&hold.tariff, &self.call_of(hold, 0)).ok().flatten();
        let micros = priced.and_then(|priced| model::to_micros(priced.cost).ok());
        micros.unwrap_or(0).max(0)
    }

    /// As [`Self::cost`], or what the attempt costs if nobody answers, whichever is more.
    pub(super) fn cost_at_most(&self, hold: &Hold, duration_us: u64, free_seconds: u64) -> Option<Funds> {
        let cost = match duration_us {
            0 => Funds::default(),
            _ => self.cost(hold, duration_us, free_seconds)?,
        };
        Some(Funds { micros: cost.micros.max(hold.attempt_micros), ..cost })
    }

    /// What a call of this length takes: free seconds first, as the pipeline does. `None`: it has no price.
    pub(super) fn cost(&self, hold: &Hold, duration_us: u64, free_seconds: u64) -> Option<Funds> {
        let call = self.call_of(hold, duration_us);
        let cuts = cuts_of(&hold.tariff, &[]);
        if free_seconds == 0 && cuts.is_none() && hold.tariff.interval_price.is_none() {
            let cost = quote(&hold.tariff, &call).ok()?.cost_micros;
            return Some(Funds { micros: cost.max(0), seconds: 0 });
        }
        if let Some(price) = &hold.tariff.interval_price {
            let mut free = [FreeTime { until: i64::MAX, seconds: free_seconds }];
            let priced = price_whole(&hold.tariff, &call, &mut free, None).ok()?.pop()?.priced;
            if covers(price, &priced.zone) {
                let paid = priced.billed_seconds.saturating_sub(priced.free_seconds);
                let used = self.used_before(hold);
                let micros = added_at_most(price, hold.tariff.rounding, used, paid)?;
                return Some(Funds { micros, seconds: priced.free_seconds });
            }
        }
        if hold.tariff.compat {
            // Its free time does not move the clock. All of the price is taken as if there were enough, in one sum.
            let cash_micros = i64::MAX / 4;
            let row = BalanceRow { until: i64::MAX, cash_micros, debit_micros: 0, free_seconds };
            let fragments = price_like_reference(&hold.tariff, &call, &mut [row], cuts).ok()?;
            let mut cost = Funds::default();
            for fragment in &fragments {
                let price = if hold.tariff.profile().prepaid {
                    fragment.priced.cost
                } else {
                    fragment.priced.cost.checked_add(fragment.free_cash)?
                };
                cost.micros = cost.micros.checked_add(model::to_micros(price).ok()?)?;
                cost.seconds += fragment.priced.free_seconds;
            }
            let rounded = rounded_at_most(&hold.tariff, fragments.iter().map(|fragment| &fragment.priced))?;
            return Some(Funds { micros: cost.micros.max(rounded), ..cost });
        }
        let mut free = [FreeTime { until: i64::MAX, seconds: free_seconds }];
        let fragments = price_whole(&hold.tariff, &call, &mut free, cuts).ok()?;
        let mut cost = Funds::default();
        for fragment in &fragments {
            cost.micros = cost.micros.checked_add(model::to_micros(fragment.priced.cost).ok()?)?;
            cost.seconds += fragment.priced.free_seconds;
        }
        let rounded = rounded_at_most(&hold.tariff, fragments.iter().map(|fragment| &fragment.priced))?;
        Some(Funds { micros: cost.micros.max(rounded), ..cost })
    }

    /// Seconds that a call is billed for, of one that is priced by usage; of others 0.
    pub(super) fn billed(&self, hold: &Hold, duration_us: u64) -> u64 {
        if hold.tariff.interval_price.is_none() {
            return 0;
        }
        let call = self.call_of(hold, duration_us);
        quote(&hold.tariff, &call).map_or(0, |quote| quote.onpeak_seconds + quote.offpeak_seconds)
    }

    /// Seconds used before a call, at least and at most: others of its account that are up may count before it.
    pub(super) fn used_before(&self, hold: &Hold) -> (u64, u64) {
        let (least, most) = hold.used;
        let others = self.holds.values().filter(|other| other.account == hold.account);
        let held: u64 = others.filter(|other| !std::ptr::eq(*other, hold)).map(|other| other.billed).sum();
        (least, most.saturating_add(held))
    }
}

/// What a call costs at most if other parties have it cut elsewhere, millionths: each of its fragments is rounded for itself, and they are no more than
/// where its own profile decides. 0 where it costs the same wherever it is cut. `None`: it has no price.
fn rounded_at_most<'p>(
    tariff: &Tariff,
    fragments: impl ExactSizeIterator<Item = &'p Priced> + Clone,
) -> Option<i64> {
    let n_fragments = fragments.len();
    let step = Decimal::new(1, tariff.rounding.scale);
    let is_whole = |priced: &Priced| {
        let of_intervals = priced.pieces.iter().all(|piece| {
            let price = piece.rate.checked_mul(Decimal::from(piece.interval_seconds));
            price.is_some_and(|price| (price % (step * Decimal::from(piece.per_seconds))).is_zero())
        });
        priced.free_seconds == 0 && (priced.flat % step).is_zero() && of_intervals
    };
    if n_fragments < 2 || fragments.clone().all(is_whole) {
        return Some(0);
    }
    let mut exact = Decimal::ZERO;
    for priced in fragments {
        let pieces = priced.pieces.iter().map(|piece| piece.price);
        exact = pieces.chain([priced.flat]).try_fold(exact, Decimal::checked_add)?;
    }
    // At most a step each; what it costs is a number of steps.
    let n_steps = (exact.checked_div(step)? + Decimal::from(n_fragments)).floor();
    Some(model::to_micros(n_steps.checked_mul(step)?).ok()?.max(0))
}
