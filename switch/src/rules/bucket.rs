//! Token buckets: how many new calls a second somebody may begin.

use std::time::Duration;

/// How often a token comes, and how many can lie ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// Tokens that come in `per`.
    pub(crate) count: u32,
    per: Duration,
    burst: u32,
}

impl Rate {
    /// `None` is unlimited; without `burst` as many at once as in a second.
    pub(crate) fn of(per_second: Option<u32>, burst: Option<u32>) -> Option<Self> {
        per_second.map(|count| Self::per_second(count, burst.unwrap_or(count)))
    }

    /// So many a second, and so many at once.
    pub(crate) const fn per_second(count: u32, burst: u32) -> Self {
        Self { count, per: Duration::from_secs(1), burst }
    }

    /// So many a minute, and as many at once.
    pub(crate) const fn per_minute(count: u32) -> Self {
        Self { count, per: Duration::from_secs(60), burst: count }
    }
}

/// The tokens of one holder, in microseconds of waiting: exact without fractions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    /// Monotonic time at which the bucket would be full again.
    full_at: Duration,
}

impl Bucket {
    /// A full one.
    pub(crate) fn full(now: Duration) -> Self {
        Self { full_at: now }
    }

    /// Takes one token; `false` when there is none.
    pub(crate) fn take(&mut self, rate: Rate, now: Duration) -> bool {
        if rate.count == 0 || rate.burst == 0 {
            return false;
        }
        let token = rate.per / rate.count;
        let full_at = self.full_at.max(now) + token;
        if full_at > now + token * rate.burst {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Gives one token back.
    pub(crate) fn give_back(&mut self, rate: Rate) {
        if rate.count > 0 {
            self.full_at = self.full_at.saturating_sub(rate.per / rate.count);
        }
    }

    /// Whether it has filled up: then it need not be kept.
    pub(crate) fn is_full(&self, now: Duration) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn burst_is_taken_at_once_and_comes_back_with_time() {
        let rate = Rate::per_second(2, 3);
        let now = Duration::from_secs(100);
        let mut bucket = Bucket::full(now);
        let taken = (0..5).filter(|_| bucket.take(rate, now)).count();
        assert_eq!(taken, 3);
        assert!(!bucket.take(rate, now + Duration::from_millis(499)));
        assert!(bucket.take(rate, now + Duration::from_millis(500)));
        assert!(bucket.is_full(now + Duration::from_secs(3)));
        assert!(!Bucket::full(now).take(Rate::per_second(0, 0), now), "0 is none");
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_time_brought(
            per_second in 1u32..50,
            burst in 1u32..50,
            gaps in proptest::collection::vec(0u64..2_000, 1..200),
        ) {
            let rate = Rate::per_second(per_second, burst);
            let mut now = Duration::from_secs(5);
            let start = now;
            let mut bucket = Bucket::full(now);
            let mut taken = 0u128;
            for gap in gaps {
                now += Duration::from_millis(gap);
                taken += u128::from(bucket.take(rate, now));
                let most = u128::from(burst) + (now - start).as_nanos() * u128::from(per_second) / 1_000_000_000 + 1;
                prop_assert!(taken <= most, "{taken} of {most}");
            }
        }
    }
}
