//! Sources that are shut out for a time: floods, guessed passwords, scanners.
//!
//! In: what a request turned out to be, and who sent it. Out: whether the next one is looked at at all, and `security` events when a ban
//! begins and ends; what people shut out by hand comes with the snapshot. A challenge that is answered rightly is given back, so that an office whose phones all start at once is no flood.
//! Trunks are never banned: they have limits of their own. Source: switch-reference 15.2, 15.3.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use model::{AccountId, EventBody, Security, SecurityKind, Subscriber};

use super::lookup::Network;
use super::{Due, Switch};
use crate::hop::Hop;
use crate::message::{HeaderName, Message, text};
use crate::rules::{Bucket, Rate, ShellList};
use crate::timer::TimerKey;

/// Sources followed at once; beyond, each new one takes the place of another.
const SOURCES_MAX: usize = 100_000;
/// So many are looked at for the one that is missed least.
const LOOKED_AT: usize = 8;
/// A ban is twice as long as the one before, up to a day.
const BAN_MAX: Duration = Duration::from_secs(86_400);
/// Wrong passwords are forgiven at this rate: one every 30 s.
const FORGIVEN_PER_MINUTE: u32 = 2;

/// Who is followed, and who is shut out.
#[derive(Debug, Default)]
pub(super) struct Bans {
    sources: HashMap<IpAddr, Followed>,
    /// Their keys, in the order in which they are looked at when room is needed.
    order: VecDeque<IpAddr>,
    /// Of those, how many are shut out now.
    n_banned: usize,
    exempt: Vec<Network>,
    scanners: Option<ShellList>,
}

#[derive(Debug)]
struct Followed {
    requests: Bucket,
    failures: u32,
    forgiven_at: Duration,
    banned_until: Option<Duration>,
    n_bans: u32,
    timer: Option<TimerKey>,
}

impl Followed {
    /// Wrong passwords that are not forgiven yet.
    fn failures_at(&self, now: Duration) -> u32 {
        let minutes = now.saturating_sub(self.forgiven_at).as_secs() / 60;
        let forgiven = u32::try_from(minutes).unwrap_or(u32::MAX).saturating_mul(FORGIVEN_PER_MINUTE);
        self.failures.saturating_sub(forgiven)
    }

    /// How much it would be missed: a quiet one least, one that is shut out most.
    fn worth_at(&self, now: Duration) -> u8 {
        if self.banned_until.is_some() {
            3
        } else if self.failures_at(now) > 0 {
            2
        } else {
            u8::from(!self.requests.is_full(now))
        }
    }
}

/// The address, of IPv6 its /64: one household or server has a whole one.
fn key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

impl Bans {
    pub(super) fn new(exempt: &[String], scanners: &[String]) -> Self {
        Self {
            sources: HashMap::new(),
            order: VecDeque::new(),
            n_banned: 0,
            exempt: exempt.iter().filter_map(|text| Network::parse(text)).collect(),
            scanners: ShellList::compile(scanners, true).ok().filter(|_| !scanners.is_empty()),
        }
    }

    /// Sources shut out now.
    pub(super) fn len(&self) -> usize {
        self.n_banned
    }

    fn is_banned(&self, source: IpAddr) -> bool {
        self.sources.get(&key(source)).is_some_and(|followed| followed.banned_until.is_some())
    }

    /// Forgets a source if one more would be too many. Out: which, and what was known of it. The work is the same however many are followed,
    /// for senders can invent their addresses.
    fn make_room(&mut self, now: Duration) -> Option<(IpAddr, Followed)> {
        if self.sources.len() < SOURCES_MAX {
            return None;
        }
        let mut least: Option<(u8, IpAddr)> = None;
        for _ in 0..LOOKED_AT {
            let Some(source) = self.order.pop_front() else { break };
            let worth = self.sources.get(&source).map_or(0, |followed| followed.worth_at(now));
            match least {
                Some((least_worth, _)) if least_worth <= worth => self.order.push_back(source),
                _ => {
                    self.order.extend(least.map(|(_, source)| source));
                    least = Some((worth, source));
                }
            }
        }
        let (_, source) = least?;
        let followed = self.sources.remove(&source)?;
        self.n_banned -= usize::from(followed.banned_until.is_some());
        Some((source, followed))
    }

    /// What is known of a source.
    fn follow(&mut self, source: IpAddr, now: Duration) -> &mut Followed {
        self.sources.entry(source).or_insert_with(|| {
            self.order.push_back(source);
            Followed {
                requests: Bucket::full(now),
                failures: 0,
                forgiven_at: now,
                banned_until: None,
                n_bans: 0,
                timer: None,
            }
        })
    }
}

impl Switch {
    /// Whether a request is not to be looked at: from a banned source, or by a scanner. Requests of calls that are up are served all
    /// the same, for a phone may share its address with whoever was banned.
    pub(super) fn is_shut_out(&mut self, from: Hop, message: &Message<'_>) -> bool {
        if self.bans.sources.is_empty() && self.bans.scanners.is_none() && !self.lookup.has_bans() {
            return false;
        }
        let source = from.address.ip();
        let is_banned = self.bans.is_banned(source)
            || (self.lookup.is_shut_out(source, self.now.wall) && !self.is_never_banned(from));
        let is_scanner = !is_banned
            && self.bans.scanners.as_ref().is_some_and(|scanners| {
                let agent = message.value(HeaderName::UserAgent).map(text).unwrap_or_default();
                scanners.find(&agent).is_some()
            });
        if !is_banned && !is_scanner {
            return false;
        }
        if self.lookup.is_trunk(from) || self.is_of_a_call(message) {
            return false;
        }
        if is_scanner {
            self.note_security(SecurityKind::UnknownSource, from.address, "", "a scanner");
        }
        self.counters.dropped += 1;
        true
    }

    fn is_of_a_call(&self, message: &Message<'_>) -> bool {
        let tag = message.to().and_then(|to| to.tag());
        tag.and_then(Self::call_of_tag).is_some_and(|(name, _)| self.calls.holds(name))
    }

    /// A request that led to nothing, or to a challenge, costs its sender one of so many.
    pub(super) fn count_request(&mut self, from: Hop) {
        let rate = Rate::per_second(self.config.flood_per_second, self.config.flood_burst);
        if rate.count == 0 || self.is_exempt(from) {
            return;
        }
        let now = self.now.mono;
        let followed = self.followed(from);
        if !followed.requests.take(rate, now) {
            self.ban(from, "too many requests");
        }
    }

    /// Right credentials: the challenge before them is given back. Wrong ones of that address are forgiven with time alone, or whoever has
    /// an account could guess the passwords of others between two logins.
    pub(super) fn note_good_login(&mut self, from: Hop, _subscriber: &Subscriber) {
        let rate = Rate::per_second(self.config.flood_per_second, self.config.flood_burst);
        if let Some(followed) = self.bans.sources.get_mut(&key(from.address.ip())) {
            followed.requests.give_back(rate);
        }
    }

    /// Wrong credentials.
    pub(super) fn note_bad_login(&mut self, from: Hop, username: &str) {
        let most = self.config.auth_failures_max;
        if most == 0 || self.is_exempt(from) {
            return;
        }
        let now = self.now.mono;
        let followed = self.followed(from);
        let failures = followed.failures_at(now);
        if failures < followed.failures || failures == 0 {
            followed.failures = failures;
            followed.forgiven_at = now;
        }
        followed.failures += 1;
        if followed.failures > most {
            followed.failures = 0;
            self.ban(from, &format!("wrong passwords, the last one for {username}"));
        }
    }

    fn is_never_banned(&self, from: Hop) -> bool {
        self.bans.exempt.iter().any(|network| network.contains(from.address.ip()))
    }

    fn is_exempt(&self, from: Hop) -> bool {
        self.is_never_banned(from) || self.lookup.is_trunk(from)
    }

    fn followed(&mut self, from: Hop) -> &mut Followed {
        let (source, now) = (key(from.address.ip()), self.now.mono);
        if !self.bans.sources.contains_key(&source)
            && let Some((forgotten, mut followed)) = self.bans.make_room(now)
            && followed.banned_until.is_some()
        {
            self.timers.disarm(&mut followed.timer);
            let detail = "too many others are shut out".to_owned();
            self.ban_event(SecurityKind::BanRemoved, SocketAddr::new(forgotten, 0), detail);
        }
        self.bans.follow(source, now)
    }

    fn ban(&mut self, from: Hop, why: &str) {
        let first = Duration::from_secs(self.config.ban_seconds.into());
        let now = self.now.mono;
        let followed = self.followed(from);
        if followed.banned_until.is_some() {
            return;
        }
        let length = first.saturating_mul(1 << followed.n_bans.min(16)).min(BAN_MAX);
        followed.n_bans += 1;
        followed.banned_until = Some(now + length);
        self.bans.n_banned += 1;
        let source = key(from.address.ip());
        let timer = self.timers.arm(now + length, Due::Ban(source));
        self.followed(from).timer = Some(timer);
        let detail = format!("{why}; shut out for {} s", length.as_secs());
        self.ban_event(SecurityKind::BanAdded, from.address, detail);
    }

    /// A ban ran out.
    pub(super) fn end_ban(&mut self, source: IpAddr) {
        let Some(followed) = self.bans.sources.get_mut(&source) else { return };
        self.bans.n_banned -= usize::from(followed.banned_until.take().is_some());
        followed.timer = None;
        self.ban_event(SecurityKind::BanRemoved, SocketAddr::new(source, 0), "the time is over".to_owned());
    }

    fn ban_event(&mut self, what: SecurityKind, source: SocketAddr, detail: String) {
        let security = Security { what, source, user: String::new(), detail, count: 1 };
        self.emit(self.lookup.first_tenant(), AccountId::NOBODY, EventBody::Security(security));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: usize) -> IpAddr {
        IpAddr::V4(u32::try_from(n).unwrap().into())
    }

    #[test]
    fn sources_are_bounded_and_those_shut_out_or_guessing_are_the_last_to_be_forgotten() {
        let (mut bans, now) = (Bans::default(), Duration::from_secs(100));
        let rate = Rate::per_second(20, 200);
        bans.follow(source(0), now).banned_until = Some(now * 2);
        bans.n_banned = 1;
        bans.follow(source(1), now).failures = 3;
        for n in 2..3 * SOURCES_MAX {
            let forgotten = bans.make_room(now);
            assert_eq!(forgotten.is_some(), n >= SOURCES_MAX, "{n}");
            bans.follow(source(n), now).requests.take(rate, now);
        }
        assert_eq!((bans.sources.len(), bans.order.len()), (SOURCES_MAX, SOURCES_MAX));
        assert!(bans.is_banned(source(0)));
        assert_eq!(bans.sources[&source(1)].failures, 3);
        // Also where all are shut out.
        for followed in bans.sources.values_mut() {
            followed.banned_until = Some(now * 2);
        }
        bans.n_banned = SOURCES_MAX;
        assert!(bans.make_room(now).is_some_and(|(_, followed)| followed.banned_until.is_some()));
        assert_eq!((bans.len(), bans.sources.len(), bans.order.len()), {
            let left = SOURCES_MAX - 1;
            (left, left, left)
        });
    }

    #[test]
    fn household_with_ipv6_is_one_source() {
        let one: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        assert_eq!(key(one), key("2001:db8:1:2:ffff::9".parse().unwrap()));
        assert_ne!(key(one), key("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(key("::ffff:192.0.2.1".parse().unwrap()), key("192.0.2.1".parse().unwrap()));
    }
}
