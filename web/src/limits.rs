//! How often somebody may ask: the generic cell rate algorithm, by user or token, and by address where nobody has signed in yet.
//!
//! In: who asks, and when. Out: whether the request may go on, or how long to wait. A key costs one entry of a table, however often
//! it asks; entries that hold nobody up are dropped. (The crate `governor` does the same on a clock of its own; here time is given.)

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Keys held at once. Beyond that all are forgotten, and each may ask as often as at the beginning.
const KEYS_MAX: usize = 100_000;

/// How often may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Requests of a user or token, of pages and of the API, in a minute, evenly; a fifth of a minute's may come at once. 0: as many as they want.
    pub requests_per_minute: u32,
    /// Attempts to sign in from an address (of IPv6, from a network of 64 bits) in a minute; as many may come at once. 0: as many as
    /// they want.
    pub sign_ins_per_minute: u32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self { requests_per_minute: 12_000, sign_ins_per_minute: 60 }
    }
}

/// The gates of a console.
pub(crate) struct Limits {
    pub(crate) requests: Gate<String>,
    pub(crate) sign_ins: Gate<IpAddr>,
    /// By the hash of the token of a session that waits for a code.
    pub(crate) codes: Gate<String>,
}

impl Limits {
    pub(crate) fn new(limits: RequestLimits) -> Self {
        Self {
            requests: Gate::new(limits.requests_per_minute, limits.requests_per_minute / 5),
            sign_ins: Gate::new(limits.sign_ins_per_minute, limits.sign_ins_per_minute),
            codes: Gate::new(limits.sign_ins_per_minute, limits.sign_ins_per_minute),
        }
    }
}

/// Holds each key to a pace.
pub(crate) struct Gate<K> {
    /// Time that one request stands for; zero: no limit.
    every: Duration,
    /// How far requests may run ahead of their pace.
    ahead_max: Duration,
    /// When a request that keeps the pace would be due.
    due: Mutex<HashMap<K, Duration>>,
}

impl<K: std::hash::Hash + Eq> Gate<K> {
    fn new(per_minute: u32, at_once: u32) -> Self {
        let every = Duration::from_secs(60).checked_div(per_minute).unwrap_or_default();
        Self { every, ahead_max: every * at_once.saturating_sub(1), due: Mutex::default() }
    }

    /// Counts a request at `now`.
    ///
    /// # Errors
    ///
    /// How long to wait.
    pub(crate) fn pass(&self, key: K, now: Duration) -> Result<(), Duration> {
        if self.every.is_zero() {
            return Ok(());
        }
        let mut all = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEYS_MAX {
            all.retain(|_, due| *due > now);
            if all.len() >= KEYS_MAX {
                all.clear();
            }
        }
        let due = all.entry(key).or_insert(now);
        let ahead = due.saturating_sub(now);
        if ahead > self.ahead_max {
            return Err(ahead - self.ahead_max);
        }
        *due = (*due).max(now) + self.every;
        Ok(())
    }
}

/// An address as it is counted: whoever has one of IPv6 has its whole network of 64 bits.
pub(crate) fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        IpAddr::V4(address) => IpAddr::V4(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_come_at_once_and_then_one_after_the_other() {
        let gate = Gate::new(60, 3);
        let at = Duration::from_secs;
        for _ in 0..3 {
            assert_eq!(gate.pass("ada", at(10)), Ok(()));
        }
        assert_eq!(gate.pass("ada", at(10)), Err(at(1)));
        assert_eq!(gate.pass("bob", at(10)), Ok(()), "others are not held up");
        // Being refused costs nothing.
        assert_eq!(gate.pass("ada", at(10)), Err(at(1)));
        assert_eq!(gate.pass("ada", at(11)), Ok(()));
        assert_eq!(gate.pass("ada", at(11)), Err(at(1)));
        for _ in 0..3 {
            assert_eq!(gate.pass("ada", at(60)), Ok(()));
        }
        assert!(gate.pass("ada", at(60)).is_err(), "a pause gives no more than the beginning");
    }

    #[test]
    fn nothing_is_no_limit_and_the_table_has_an_end() {
        let open = Gate::new(0, 0);
        assert!((0..1_000).all(|_| open.pass("ada", Duration::ZERO).is_ok()));
        let gate = Gate::new(1, 1);
        for key in 0..=KEYS_MAX {
            assert_eq!(gate.pass(key, Duration::ZERO), Ok(()));
        }
        assert!(gate.due.lock().unwrap().len() <= KEYS_MAX);
    }

    #[test]
    fn network_of_ipv6_is_one_asker() {
        let of = |text: &str| counted(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
