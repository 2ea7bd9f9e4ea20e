//! What is usual: an account's calls and cost at each hour of its week, learned as it goes.
//!
//! Exponentially weighted means with their variance (EWMA; Roberts 1959, and for telephone accounts Becker, Volinsky and Wilks
//! 2010), one pair for each of the 168 hours in which something ever happened, and one over all hours for the weeks before an hour has
//! been seen often enough. Whole numbers only, so that a restart learns the same.

use serde::{Deserialize, Serialize};

/// Hours of a week.
const HOURS: i64 = 168;

/// Weeks that an hour of the week must have been seen before its own figures count.
const WEEKS_MIN: u8 = 3;

/// Hours that an account must have been watched before anything counts as usual.
const HOURS_MIN: u16 = 48;

/// After so long a silence, what was usual is as good as forgotten.
const GAP_MAX: i64 = 8 * HOURS;

/// One hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Hour {
    #[serde(rename = "h")]
    hour: u8,
    #[serde(rename = "n")]
    n_weeks: u8,
    #[serde(rename = "c")]
    cost: Packed,
    #[serde(rename = "a")]
    attempts: Packed,
}

/// A [`Usual`] in half the room: eleven bits of each value and where they stand, which is off by a two-thousandth at most. What was
/// packed once stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Usual", into = "Usual")]
struct Packed(u16, u16);

/// Bits of a value that are kept.
const KEPT_BITS: u32 = 11;

impl From<Usual> for Packed {
    fn from(Usual(mean, deviation): Usual) -> Self {
        let pack = |value: u32| {
            let shift = (u32::BITS - value.leading_zeros()).saturating_sub(KEPT_BITS);
            u16::try_from((shift << KEPT_BITS) | (value >> shift)).unwrap_or(u16::MAX)
        };
        Packed(pack(mean), pack(deviation))
    }
}

impl From<Packed> for Usual {
    fn from(Packed(mean, deviation): Packed) -> Self {
        let value = |packed: u16| {
            let packed = u32::from(packed);
            (packed & ((1 << KEPT_BITS) - 1)) << (packed >> KEPT_BITS)
        };
        Usual(value(mean), value(deviation))
    }
}

/// A mean, and the square root of a variance, both in sixteenths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Usual(u32, u32);

impl Usual {
    /// Learns `value`; the new counts for one part in `weight`.
    fn learn(&mut self, value: u32, weight: u64) {
        let (mean, deviation) = (u64::from(self.0), u64::from(self.1));
        let value = u64::from(value) * 16;
        let off = value.abs_diff(mean);
        let step = off / weight;
        let mean = if value >= mean { mean + step } else { mean - step };
        // West 1979: the variance gains by the part of the new and fades by the rest.
        let variance = u128::from(deviation) * u128::from(deviation)
            + u128::from(off) * u128::from(off) / u128::from(weight);
        let variance = variance * u128::from(weight - 1) / u128::from(weight);
        self.0 = u32::try_from(mean).unwrap_or(u32::MAX);
        self.1 = u32::try_from(variance.isqrt()).unwrap_or(u32::MAX);
    }

    /// Whether `value` is `tenths` tenths of a standard deviation above the mean. A deviation is at least a quarter of the mean
    /// and one: an account that does the same every week is not unusual for doing one more.
    fn is_above(self, value: u32, tenths: u32) -> bool {
        let mean = u64::from(self.0);
        let deviation = u64::from(self.1).max(mean / 4).max(16);
        (u64::from(value) * 16).saturating_sub(mean) * 10 >= deviation * u64::from(tenths)
    }

    /// What an unusual hour is taken for when it is learned: an attack does not become usual at once.
    fn capped(self, value: u32) -> u32 {
        let most = (u64::from(self.0) + 4 * u64::from(self.1).max(u64::from(self.0) / 4).max(64)) / 16;
        value.min(u32::try_from(most).unwrap_or(u32::MAX))
    }
}

/// What is usual for one account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// The hour being counted, since 1970 in the account's zone.
    #[serde(rename = "t")]
    hour: i64,
    /// Its cost so far, ten-thousandths, and its attempts.
    #[serde(rename = "k")]
    cost: u32,
    #[serde(rename = "j")]
    attempts: u32,
    /// Hours learned in all.
    #[serde(rename = "n")]
    n_hours: u16,
    #[serde(rename = "oc")]
    any_cost: Usual,
    #[serde(rename = "oa")]
    any_attempts: Usual,
    /// Hours of the week with something in them, sorted.
    #[serde(rename = "w", default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<Hour>,
}

impl Baseline {
    /// Counts towards the hour that `local_seconds` lies in; hours that are over are learned.
    pub(crate) fn add(&mut self, local_seconds: i64, cost: u64, attempts: u32) {
        self.move_to(local_seconds);
        self.cost = self.cost.saturating_add(u32::try_from(cost).unwrap_or(u32::MAX));
        self.attempts = self.attempts.saturating_add(attempts);
    }

    fn move_to(&mut self, local_seconds: i64) {
        let hour = local_seconds.div_euclid(3_600);
        if self.n_hours == 0 && self.hours.is_empty() && self.hour == 0 {
            self.hour = hour;
        }
        if hour <= self.hour {
            return;
        }
        if hour - self.hour > GAP_MAX {
            *self = Baseline { hour, ..Baseline::default() };
            return;
        }
        self.learn(self.hour, self.cost, self.attempts);
        for idle in self.hour + 1..hour {
            self.learn(idle, 0, 0);
        }
        (self.hour, self.cost, self.attempts) = (hour, 0, 0);
    }

    fn learn(&mut self, hour: i64, cost: u32, attempts: u32) {
        let of_week = u8::try_from(hour.rem_euclid(HOURS)).unwrap_or(0);
        let weight = u64::from(self.n_hours.clamp(1, HOURS_MIN)) + 1;
        let is_warm = self.n_hours >= HOURS_MIN;
        let capped = |usual: Usual, value: u32| if is_warm { usual.capped(value) } else { value };
        self.any_cost.learn(capped(self.any_cost, cost), weight);
        self.any_attempts.learn(capped(self.any_attempts, attempts), weight);
        self.n_hours = self.n_hours.saturating_add(1);
        match self.hours.binary_search_by_key(&of_week, |known| known.hour) {
            Ok(place) => {
                let known = &mut self.hours[place];
                let weight = u64::from(known.n_weeks.clamp(1, 3)) + 1;
                let is_warm = known.n_weeks >= WEEKS_MIN;
                for (usual, value) in [(&mut known.cost, cost), (&mut known.attempts, attempts)] {
                    let mut learned = Usual::from(*usual);
                    learned.learn(if is_warm { learned.capped(value) } else { value }, weight);
                    *usual = learned.into();
                }
                known.n_weeks = known.n_weeks.saturating_add(1);
            }
            Err(place) if attempts > 0 => {
                let first = Hour {
                    hour: of_week,
                    n_weeks: 1,
                    cost: Usual(cost.saturating_mul(16), cost.saturating_mul(8)).into(),
                    attempts: Usual(attempts.saturating_mul(16), attempts.saturating_mul(8)).into(),
                };
                if self.hours.len() == self.hours.capacity() {
                    self.hours.reserve_exact(4);
                }
                self.hours.insert(place, first);
            }
            // An hour in which nothing ever happened needs no entry.
            Err(_) => {}
        }
    }

    /// Whether this hour's cost so far is so far above what is usual; never before there is anything usual.
    pub(crate) fn is_cost_unusual(&self, tenths: u32) -> bool {
        self.is_unusual(self.cost, tenths, self.any_cost, |hour| hour.cost)
    }

    /// The same of its attempts.
    pub(crate) fn are_attempts_unusual(&self, tenths: u32) -> bool {
        self.is_unusual(self.attempts, tenths, self.any_attempts, |hour| hour.attempts)
    }

    fn is_unusual(&self, value: u32, tenths: u32, any: Usual, of: impl Fn(&Hour) -> Packed) -> bool {
        if self.n_hours < HOURS_MIN || !any.is_above(value, tenths) {
            return false;
        }
        let of_week = u8::try_from(self.hour.rem_euclid(HOURS)).unwrap_or(0);
        match self.hours.iter().find(|known| known.hour == of_week) {
            Some(known) if known.n_weeks >= WEEKS_MIN => Usual::from(of(known)).is_above(value, tenths),
            // Nothing ever happened at this hour, or too seldom to tell: what is unusual for any hour is unusual.
            Some(_) | None => true,
        }
    }

    /// This hour's cost and attempts so far.
    pub(crate) fn now(&self) -> (u32, u32) {
        (self.cost, self.attempts)
    }

    /// Bytes of memory, but for what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        self.hours.capacity() * size_of::<Hour>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packed_value_is_close_and_stays_as_it_is(mean: u32, deviation: u32) {
            let packed = Packed::from(Usual(mean, deviation));
            let Usual(mean_back, deviation_back) = packed.into();
            for (value, back) in [(mean, mean_back), (deviation, deviation_back)] {
                prop_assert!(back <= value && value - back <= value / 1_024, "{value} became {back}");
            }
            prop_assert_eq!(Packed::from(Usual(mean_back, deviation_back)), packed);
        }
    }

    const HOUR: i64 = 3_600;

    /// Weeks of an office: 20 calls an hour on weekdays from 9 to 17.
    fn office(weeks: i64) -> Baseline {
        let mut baseline = Baseline::default();
        for hour in 0..weeks * HOURS {
            let (day, of_day) = (hour / 24 % 7, hour % 24);
            if day < 5 && (9..17).contains(&of_day) {
                let noise = u32::try_from(hour % 5).unwrap();
                baseline.add(hour * HOUR, 1_000 * u64::from(18 + noise), 18 + noise);
            } else {
                baseline.move_to(hour * HOUR);
            }
        }
        baseline
    }

    #[test]
    fn usual_hour_of_an_office_is_not_unusual_and_three_times_as_many_calls_are() {
        let mut baseline = office(6);
        let monday_ten = 6 * HOURS * HOUR + 10 * HOUR;
        baseline.add(monday_ten, 24_000, 24);
        assert!(!baseline.are_attempts_unusual(40) && !baseline.is_cost_unusual(40));
        baseline.add(monday_ten + 60, 36_000, 36);
        assert!(baseline.are_attempts_unusual(40) && baseline.is_cost_unusual(40));
    }

    #[test]
    fn what_is_usual_by_day_is_unusual_at_night() {
        let mut baseline = office(6);
        let night = 6 * HOURS * HOUR + 3 * HOUR;
        baseline.add(night, 200_000, 100);
        assert!(baseline.are_attempts_unusual(40));
    }

    #[test]
    fn nothing_is_unusual_before_two_days_have_passed() {
        let mut baseline = Baseline::default();
        baseline.add(40 * HOUR, 0, 1);
        baseline.add(41 * HOUR, 10_000_000, 5_000);
        assert!(!baseline.are_attempts_unusual(10) && !baseline.is_cost_unusual(10));
    }

    #[test]
    fn attack_does_not_become_usual_the_week_after() {
        let mut baseline = office(6);
        let monday_ten = |week: i64| week * HOURS * HOUR + 10 * HOUR;
        baseline.add(monday_ten(6), 5_000_000, 2_000);
        baseline.move_to(monday_ten(7));
        baseline.add(monday_ten(7), 5_000_000, 2_000);
        assert!(baseline.are_attempts_unusual(40) && baseline.is_cost_unusual(40));
    }
}
