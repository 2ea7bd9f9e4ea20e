//! Who may connect: limits on connections at once, and a ban on addresses that keep failing to log in.
//!
//! [`Guard`] is a table without clock and socket; [`SharedGuard`] hands it the time. The ban is on the address
//! alone, so that nobody can lock out a partner by knowing its name (switch-reference 15.3). An IPv6 client owns
//! a /64 and counts as one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// Failed logins within [`FAILURE_WINDOW`] that lead to a ban.
pub(super) const FAILURES_MAX: u32 = 10;
/// How long a failed login counts.
pub(super) const FAILURE_WINDOW: Duration = Duration::from_secs(10 * 60);
/// The first ban; each further one is twice as long.
pub(super) const BAN_FIRST: Duration = Duration::from_secs(5 * 60);
/// And none is longer.
pub(super) const BAN_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Addresses remembered; 100 bytes each. Beyond them the longest unseen is forgotten.
pub(super) const ADDRESSES_MAX: usize = 10_000;

/// Why a connection is closed before a word is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Too many at once.
    ServerFull,
    /// Too many at once from there.
    AddressFull,
    /// Too many failed logins from there.
    Banned,
}

/// What is known of the addresses that connect. `now` is time since any fixed moment.
#[derive(Debug)]
pub(super) struct Guard {
    connections_max: u32,
    per_address_max: u32,
    n_open: u32,
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug, Default)]
struct Address {
    n_open: u32,
    n_failures: u32,
    window_from: Duration,
    banned_until: Duration,
    n_bans: u32,
    seen: Duration,
}

impl Guard {
    pub(super) fn new(connections_max: u32, per_address_max: u32) -> Self {
        Self { connections_max, per_address_max, n_open: 0, addresses: HashMap::new() }
    }

    /// Counts a new connection from `ip`, or says why not.
    pub(super) fn admit(&mut self, now: Duration, ip: IpAddr) -> Result<(), Refusal> {
        let ip = client_of(ip);
        if self.n_open >= self.connections_max {
            return Err(Refusal::ServerFull);
        }
        if self.addresses.len() >= ADDRESSES_MAX && !self.addresses.contains_key(&ip) {
            self.forget_one();
        }
        let address = self.addresses.entry(ip).or_default();
        if now < address.banned_until {
            return Err(Refusal::Banned);
        }
        if address.n_open >= self.per_address_max {
            return Err(Refusal::AddressFull);
        }
        address.seen = now;
        address.n_open += 1;
        self.n_open += 1;
        Ok(())
    }

    /// An admitted connection is gone.
    pub(super) fn closed(&mut self, ip: IpAddr) {
        self.n_open = self.n_open.saturating_sub(1);
        if let Some(address) = self.addresses.get_mut(&client_of(ip)) {
            address.n_open = address.n_open.saturating_sub(1);
        }
    }

    /// A login failed; answers how long its address is banned now, if it is.
    pub(super) fn failed(&mut self, now: Duration, ip: IpAddr) -> Option<Duration> {
        let address = self.addresses.entry(client_of(ip)).or_default();
        address.seen = now;
        if address.n_failures == 0 || now.saturating_sub(address.window_from) > FAILURE_WINDOW {
            address.n_failures = 0;
            address.window_from = now;
        }
        address.n_failures += 1;
        if address.n_failures < FAILURES_MAX {
            return None;
        }
        let ban = BAN_FIRST.saturating_mul(2_u32.saturating_pow(address.n_bans)).min(BAN_MAX);
        address.n_failures = 0;
        address.n_bans += 1;
        address.banned_until = now + ban;
        Some(ban)
    }

    /// A login succeeded. Failures are kept: a partner's scanner is not pardoned for its client.
    pub(super) fn succeeded(&mut self, now: Duration, ip: IpAddr) {
        if let Some(address) = self.addresses.get_mut(&client_of(ip)) {
            address.seen = now;
        }
    }

    fn forget_one(&mut self) {
        let oldest = self
            .addresses
            .iter()
            .filter(|(_, address)| address.n_open == 0)
            .min_by_key(|(_, address)| address.banned_until.max(address.seen))
            .map(|(ip, _)| *ip);
        if let Some(ip) = oldest {
            self.addresses.remove(&ip);
        }
    }
}

fn client_of(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(ip),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX))),
    }
}

/// The guard as all connections share it.
#[derive(Debug, Clone)]
pub(super) struct SharedGuard {
    guard: Arc<Mutex<Guard>>,
    started: Instant,
}

impl SharedGuard {
    pub(super) fn new(guard: Guard) -> Self {
        Self { guard: Arc::new(Mutex::new(guard)), started: Instant::now() }
    }

    /// The right to stay connected, or `None` with a log line.
    pub(super) fn admit(&self, peer: SocketAddr) -> Option<Admission> {
        match self.with(|guard, now| guard.admit(now, peer.ip())) {
            Ok(()) => Some(Admission { guard: self.clone(), ip: peer.ip() }),
            Err(refusal) => {
                warn!(%peer, ?refusal, "sftp connection refused");
                None
            }
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Guard, Duration) -> T) -> T {
        // The table is whole after every call, so a panic elsewhere leaves nothing half done.
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        act(&mut guard, self.started.elapsed())
    }
}

/// One admitted connection; gives its place back when dropped.
#[derive(Debug)]
pub(super) struct Admission {
    guard: SharedGuard,
    ip: IpAddr,
}

impl Admission {
    /// Answers for how many seconds the address is banned now, if it is.
    pub(super) fn login_failed(&self) -> Option<u64> {
        let ban = self.guard.with(|guard, now| guard.failed(now, self.ip))?;
        warn!(address = %self.ip, seconds = ban.as_secs(), "sftp address banned after failed logins");
        Some(ban.as_secs())
    }

    pub(super) fn login_succeeded(&self) {
        self.guard.with(|guard, now| guard.succeeded(now, self.ip));
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.guard.with(|guard, _| guard.closed(self.ip));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const BOB: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fail_until_banned(guard: &mut Guard, now: Duration) -> Duration {
        (0..FAILURES_MAX).filter_map(|_| guard.failed(now, ALICE)).last().unwrap()
    }

    #[test]
    fn guessing_bans_the_address_and_nobody_else() {
        let mut guard = Guard::new(10, 10);
        assert_eq!(fail_until_banned(&mut guard, at(100)), BAN_FIRST);
        assert_eq!(guard.admit(at(101), ALICE), Err(Refusal::Banned));
        assert_eq!(guard.admit(at(101), BOB), Ok(()));
        assert_eq!(guard.admit(at(100) + BAN_FIRST, ALICE), Ok(()));
    }

    #[test]
    fn each_ban_is_twice_as_long_up_to_a_day() {
        let mut guard = Guard::new(10, 10);
        let bans: Vec<u64> =
            (0..12).map(|day| fail_until_banned(&mut guard, at(day * 86_400)).as_secs() / 60).collect();
        assert_eq!(bans, [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440, 1440, 1440]);
    }

    #[test]
    fn a_slip_now_and_then_never_bans() {
        let mut guard = Guard::new(10, 10);
        for hour in 0..1000 {
            assert_eq!(guard.failed(at(hour * 3600), ALICE), None);
        }
    }

    #[test]
    fn one_address_cannot_take_all_places() {
        let mut guard = Guard::new(3, 2);
        assert_eq!(guard.admit(at(0), ALICE), Ok(()));
        assert_eq!(guard.admit(at(0), ALICE), Ok(()));
        assert_eq!(guard.admit(at(0), ALICE), Err(Refusal::AddressFull));
        assert_eq!(guard.admit(at(0), BOB), Ok(()));
        assert_eq!(guard.admit(at(0), BOB), Err(Refusal::ServerFull));
        guard.closed(ALICE);
        assert_eq!(guard.admit(at(0), BOB), Ok(()));
    }

    #[test]
    fn memory_of_addresses_is_bounded_and_keeps_the_banned() {
        let mut guard = Guard::new(10, 10);
        fail_until_banned(&mut guard, at(0));
        for number in 0..u32::try_from(ADDRESSES_MAX).unwrap() + 100 {
            let ip = IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0A00_0000 + number));
            assert_eq!(guard.admit(at(1), ip), Ok(()));
            guard.closed(ip);
        }
        assert_eq!(guard.addresses.len(), ADDRESSES_MAX);
        assert_eq!(guard.admit(at(2), ALICE), Err(Refusal::Banned));
    }

    #[test]
    fn neighbours_in_one_ipv6_network_are_one_client() {
        let mut guard = Guard::new(10, 1);
        assert_eq!(guard.admit(at(0), "2001:db8::1".parse().unwrap()), Ok(()));
        assert_eq!(guard.admit(at(0), "2001:db8::2".parse().unwrap()), Err(Refusal::AddressFull));
        assert_eq!(guard.admit(at(0), "2001:db8:0:1::1".parse().unwrap()), Ok(()));
    }
}
