//! Chance by a seed: the same on every machine and in every version, so that a published score can be run again.

use crate::watch::mix;

/// A stream of numbers (splitmix64). Streams of different names are independent.
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(mix(seed))
    }

    /// The stream of a part, whatever is drawn elsewhere.
    pub(super) fn of(&self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part)))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// From 0 to below `n`; 0 for 0.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        let product = u128::from(self.next()) * u128::from(n);
        u64::try_from(product >> 64).unwrap_or(0)
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = u64::try_from(high - low + 1).unwrap_or(1);
        low + i64::try_from(self.below(span)).unwrap_or(0)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let idx = usize::try_from(self.below(all.len() as u64)).unwrap_or(0);
        &all[idx]
    }

    /// Many small and few large values around `mean`: the exponential distribution, its logarithm taken piecewise linear.
    pub(super) fn exponential(&mut self, mean: i64) -> i64 {
        let draw = self.next() | 1;
        let halvings = i64::from(draw.leading_zeros());
        let rest = i64::try_from((draw << draw.leading_zeros()) >> 53 & 0x3ff).unwrap_or(0);
        // ln 2 is 0.693.
        mean * 693 * (halvings * 1_024 + 1_024 - rest) / 1_024_000
    }

    /// A count with this mean, in thousandths: as Poisson's for small means, by many small chances.
    pub(super) fn count(&mut self, mean_thousandths: i64) -> i64 {
        let trials = (mean_thousandths / 200 + 4).max(4);
        let each = u64::try_from(mean_thousandths * 1_000 / trials).unwrap_or(0);
        (0..trials).filter(|_| self.below(1_000_000) < each).count().try_into().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_as_asked() {
        let mut chance = Chance::new(1);
        let sum: i64 = (0..20_000).map(|_| chance.exponential(180)).sum();
        assert!((165..195).contains(&(sum / 20_000)), "{}", sum / 20_000);
        let sum: i64 = (0..20_000).map(|_| chance.count(2_500)).sum();
        assert!((48_000..52_000).contains(&sum), "{sum}");
    }

    #[test]
    fn a_seed_gives_the_same_stream_in_every_version() {
        let mut chance = Chance::new(7).of(3);
        assert_eq!([0; 4].map(|_| chance.below(1_000)), [892, 146, 241, 116]);
    }
}
