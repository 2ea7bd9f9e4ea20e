//! What a new price list changes. In: the fees in force and those to come. Out: each difference, and in which direction it goes.
//!
//! Two fees are the same one when they price the same calls: direction, match mode, destination, source, and the time they begin. Whether
//! one is dearer is told by a call of three minutes, on-peak and off-peak, flat amounts included.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use model::{Direction, Fee, MatchMode, PeakOptions, Rate};
use rust_decimal::Decimal;

/// Length of the call that two fees are compared by.
pub const COMPARED_SECONDS: u32 = 180;

/// How a fee changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FeeChange {
    /// There was none.
    New,
    /// It costs more, in one state at least, and in none less.
    Dearer,
    /// It costs less, in one state at least, and in none more.
    Cheaper,
    /// Something else about it: dearer in one state and cheaper in the other, intervals, zone.
    Other,
    /// There is none any more.
    Gone,
}

impl FeeChange {
    /// In the order of a report.
    pub const ALL: [FeeChange; 5] =
        [FeeChange::New, FeeChange::Dearer, FeeChange::Cheaper, FeeChange::Other, FeeChange::Gone];

    /// As printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            FeeChange::New => "new",
            FeeChange::Dearer => "dearer",
            FeeChange::Cheaper => "cheaper",
            FeeChange::Other => "otherwise changed",
            FeeChange::Gone => "gone",
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeDifference<'a> {
    /// Which.
    pub change: FeeChange,
    /// Before; `None` for a new one.
    pub old: Option<&'a Fee>,
    /// After; `None` for one that is gone.
    pub new: Option<&'a Fee>,
}

/// All differences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeeDiff<'a> {
    /// In the order of the new list, then the gone ones in the order of the old.
    pub differences: Vec<FeeDifference<'a>>,
    /// Fees that stay as they are.
    pub n_same: usize,
    /// Fees of the new list that come into force only after the moment asked about.
    pub n_future: usize,
}

/// Compares two lists of fees at `now`.
pub fn fee_diff<'a>(old: &'a [Fee], new: &'a [Fee], now: DateTime<Utc>) -> FeeDiff<'a> {
    let mut before: HashMap<Key<'a>, &'a Fee> = old.iter().map(|fee| (key(fee), fee)).collect();
    let mut diff = FeeDiff::default();
    for fee in new {
        diff.n_future += usize::from(fee.valid_from.is_some_and(|from| from > now));
        let Some(there) = before.remove(&key(fee)) else {
            diff.differences.push(FeeDifference { change: FeeChange::New, old: None, new: Some(fee) });
            continue;
        };
        match change(there, fee) {
            Some(change) => {
                diff.differences.push(FeeDifference { change, old: Some(there), new: Some(fee) });
            }
            None => diff.n_same += 1,
        }
    }
    let gone = old.iter().filter(|fee| before.contains_key(&key(fee)));
    let gone = gone.map(|fee| FeeDifference { change: FeeChange::Gone, old: Some(fee), new: None });
    diff.differences.extend(gone);
    diff
}

type Key<'a> = (Direction, MatchMode, &'a str, &'a str, Option<DateTime<Utc>>);

fn key(fee: &Fee) -> Key<'_> {
    (fee.direction, fee.match_mode, &fee.destination, &fee.source, fee.valid_from)
}

fn change(old: &Fee, new: &Fee) -> Option<FeeChange> {
    if is_same(old, new) {
        return None;
    }
    let ((old_on, old_off), (new_on, new_off)) = (compared_prices(old), compared_prices(new));
    Some(match (new_on.cmp(&old_on), new_off.cmp(&old_off)) {
        (on, off) if on.is_gt() && off.is_ge() || on.is_ge() && off.is_gt() => FeeChange::Dearer,
        (on, off) if on.is_lt() && off.is_le() || on.is_le() && off.is_lt() => FeeChange::Cheaper,
        _ => FeeChange::Other,
    })
}

/// Whether they differ in nothing but their ids and the way the rates are written: 0.06 a minute is 0.001 a second.
fn is_same(old: &Fee, new: &Fee) -> bool {
    let rates = |fee: &Fee| [fee.onpeak_init, fee.onpeak_follow, fee.offpeak_init, fee.offpeak_follow];
    let same_rate = |(old, new): (Rate, Rate)| {
        let crossed = |rate: Rate, other: Rate| rate.price.checked_mul(Decimal::from(other.per_seconds));
        old.interval_seconds == new.interval_seconds && crossed(old, new) == crossed(new, old)
    };
    let [onpeak_init, onpeak_follow, offpeak_init, offpeak_follow] = rates(old);
    let alike = Fee { id: old.id, onpeak_init, onpeak_follow, offpeak_init, offpeak_follow, ..new.clone() };
    rates(old).into_iter().zip(rates(new)).all(same_rate) && alike == *old
}

/// What a call of [`COMPARED_SECONDS`] costs by this fee on-peak and off-peak, not rounded but for the 28 digits of a decimal.
pub fn compared_prices(fee: &Fee) -> (Decimal, Decimal) {
    let bounded = |init: Rate, follow: Rate, options: &PeakOptions| {
        let seconds = Decimal::from(COMPARED_SECONDS.saturating_sub(init.interval_seconds));
        let n_follow = (seconds / Decimal::from(follow.interval_seconds.max(1))).ceil();
        let by_time = interval_price(init).saturating_add(interval_price(follow).saturating_mul(n_follow));
        let extra = options.extra.filter(|extra| extra.second < u64::from(COMPARED_SECONDS));
        let extra = extra.map_or(Decimal::ZERO, |extra| extra.amount);
        let mut price = by_time.saturating_add(fee.connection_fee).saturating_add(extra);
        if let Some(minimum) = fee.minimum_charge {
            price = price.max(minimum);
        }
        if let Some(maximum) = fee.maximum_charge {
            price = price.min(maximum);
        }
        price
    };
    (
        bounded(fee.onpeak_init, fee.onpeak_follow, &fee.onpeak),
        bounded(fee.offpeak_init, fee.offpeak_follow, &fee.offpeak),
    )
}

fn interval_price(rate: Rate) -> Decimal {
    rate.price.saturating_mul(Decimal::from(rate.interval_seconds)) / Decimal::from(rate.per_seconds.max(1))
}
