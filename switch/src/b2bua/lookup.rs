//! The provisioning snapshot, turned into tables that answer at the speed of calls.
//!
//! In: [`Directory`] snapshots and lock changes. Out: who somebody is, who owns a number, which routes a number has.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, AccountStatus, Directory, E164, HostPort, Lock, LockLevel, Moment, NumberOwner,
    Party, ProfileId, Route, RouteId, Subscriber, SubscriberId, TenantId, Transport, Trunk, TrunkId,
};
use rustc_hash::FxHashMap;

use super::party_rules::{AccountRules, RouteRules, Rules, SubscriberRules, TenantRules, TrunkRules};
use crate::hop::Hop;

/// How long a lock or barring heard on the control topic outweighs snapshots that do not know it: longer than one is under way from
/// the database, shorter than a person needs to look at an alert and lift it by hand.
pub(super) const HEARD_OUTWEIGHS: Duration = Duration::from_secs(10);

/// Look-up tables over one snapshot, made once and shared: with many subscribers that takes longer than a call may wait, so a shell
/// makes them beside the switch and hands them in ([`crate::Input::Tables`]).
#[derive(Debug, Default)]
pub struct Tables {
    directory: Arc<Directory>,
    /// Ids and addresses here and below are the operator's: no stranger chooses what the tables hold.
    subscribers: FxHashMap<SubscriberId, usize>,
    /// `user@domain`, the domain in lower case.
    names: HashMap<String, usize>,
    /// In lower case, and as provisioned: the password hashes are made with that.
    domains: HashMap<String, String>,
    accounts: FxHashMap<AccountId, usize>,
    trunks: FxHashMap<TrunkId, usize>,
    trunk_addresses: FxHashMap<SocketAddr, Vec<usize>>,
    /// Of those that connect to us, whose port says nothing.
    trunk_hosts: HashMap<IpAddr, Vec<usize>>,
    /// Longest mask first.
    trunk_networks: Vec<(Network, usize)>,
    /// Places of all numbers, by number and as the directory has them: a map of lists would take most of the time that tables take.
    by_number: Vec<usize>,
    /// The same by who owns them.
    by_owner: Vec<usize>,
    routes: FxHashMap<TenantId, HashMap<String, Vec<usize>>>,
    rules: Rules,
    prepaid: HashSet<ProfileId>,
    locks: FxHashMap<AccountId, Lock>,
    /// Shut out by hand, and until when.
    banned: Vec<(Network, Option<DateTime<Utc>>)>,
}

/// The tables in force, and what was heard since.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    tables: Arc<Tables>,
    locks: FxHashMap<AccountId, Lock>,
    /// When, on the monotonic clock, and what.
    heard: HashMap<AccountId, (Duration, Lock)>,
    /// Trunks by the addresses that the DNS gives for their names.
    found_addresses: FxHashMap<SocketAddr, Vec<TrunkId>>,
    /// The same by host, of those that connect to us.
    found_hosts: HashMap<IpAddr, Vec<TrunkId>>,
}

/// An address and a prefix length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// `192.0.2.0/28`, or an address alone.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.trim().parse().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().ok()?;
        // IPv4 in IPv6 form is IPv4, as it is of a sender.
        let (address, bits) = match (address.to_canonical(), bits) {
            (v4 @ IpAddr::V4(_), Some(bits)) if address.is_ipv6() => (v4, Some(u8::checked_sub(bits, 96)?)),
            (canonical, bits) => (canonical, bits),
        };
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Network { address, bits })
    }

    /// As it is written: without the bits of a host, and without a mask where it is one address. `None`: everybody.
    pub(crate) fn canonical(self) -> Option<String> {
        let bits = u32::from(self.bits);
        let (address, most): (IpAddr, u32) = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32_u32.checked_sub(bits)?).unwrap_or(0);
                (Ipv4Addr::from_bits(v4.to_bits() & mask).into(), 32)
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128_u32.checked_sub(bits)?).unwrap_or(0);
                (Ipv6Addr::from_bits(v6.to_bits() & mask).into(), 128)
            }
        };
        match bits {
            0 => None,
            bits if bits == most => Some(address.to_string()),
            bits => Some(format!("{address}/{bits}")),
        }
    }

    pub(crate) fn contains(&self, other: IpAddr) -> bool {
        let bits = u32::from(self.bits);
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl Tables {
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Those of a snapshot.
    pub fn of(directory: Arc<Directory>) -> Self {
        let mut tables = Self::default();
        tables.subscribers.reserve(directory.subscribers.len());
        tables.names.reserve(directory.subscribers.len());
        // Most are of the domain of the one before.
        let (mut domain, mut realm) = (String::new(), "");
        for (idx, subscriber) in directory.subscribers.iter().enumerate() {
            if idx == 0 || subscriber.domain != realm {
                realm = &subscriber.domain;
                domain = realm.to_ascii_lowercase();
                tables.domains.insert(domain.clone(), realm.to_owned());
            }
            tables.subscribers.insert(subscriber.id, idx);
            tables.names.insert(name_of(&subscriber.username, &domain), idx);
        }
        tables.accounts.reserve(directory.accounts.len());
        for (idx, account) in directory.accounts.iter().enumerate() {
            tables.accounts.insert(account.id, idx);
        }
        for (idx, trunk) in directory.trunks.iter().enumerate() {
            tables.trunks.insert(trunk.id, idx);
            if !trunk.enabled {
                continue;
            }
            let rules = directory.calling.trunks.get(&trunk.id);
            let proxy = match rules.and_then(|rules| rules.outbound_proxy.as_ref()) {
                Some(HostPort::Address(address)) => Some(*address),
                Some(HostPort::Name { .. }) | None => None,
            };
            for address in [Some(trunk.address), proxy.filter(|proxy| *proxy != trunk.address)] {
                let Some(address) = address else { continue };
                tables.trunk_addresses.entry(address).or_default().push(idx);
                if trunk.transport != Transport::Udp {
                    tables.trunk_hosts.entry(address.ip()).or_default().push(idx);
                }
            }
            tables.trunk_networks.extend(
                trunk
                    .sources
                    .iter()
                    .filter_map(|source| Network::parse(source))
                    .map(|network| (network, idx)),
            );
        }
        tables.trunk_networks.sort_by_key(|(network, _)| std::cmp::Reverse(network.bits));
        tables.by_number = (0..directory.numbers.len()).collect();
        tables.by_owner = tables.by_number.clone();
        // Those that are alike stay as they come.
        tables.by_number.sort_by_key(|idx| directory.numbers[*idx].number);
        tables.by_owner.sort_by_key(|idx| directory.numbers[*idx].subscriber);
        for (idx, route) in directory.routes.iter().enumerate() {
            let of_tenant = tables.routes.entry(route.tenant).or_default();
            of_tenant.entry(route.prefix.clone()).or_default().push(idx);
        }
        for lock in &directory.locks {
            // Several sources may lock one account; the strictest holds.
            let known = tables.locks.get(&lock.account);
            if known.is_none_or(|known| known.level.number() < lock.level.number()) {
                tables.locks.insert(lock.account, lock.clone());
            }
        }
        let networks = directory.source_bans.iter();
        tables.banned = networks.filter_map(|ban| Some((Network::parse(&ban.network)?, ban.until))).collect();
        tables.rules = Rules::compile(&directory);
        let prepaid = directory.tariffs.iter().filter(|version| version.profile.prepaid);
        tables.prepaid = prepaid.map(|version| version.profile.id).collect();
        tables.directory = directory;
        tables
    }
}

impl Tables {
    /// The numbers whose `key` is `wanted`, of places that are in its order.
    fn numbers_where<K: Ord + Copy>(
        &self,
        places: &[usize],
        wanted: K,
        key: impl Fn(&NumberOwner) -> K,
    ) -> impl Iterator<Item = &NumberOwner> {
        let key_at = |idx: &usize| key(&self.directory.numbers[*idx]);
        let from = places.partition_point(|idx| key_at(idx) < wanted);
        let n_alike = places[from..].partition_point(|idx| key_at(idx) <= wanted);
        places[from..from + n_alike].iter().map(|idx| &self.directory.numbers[*idx])
    }
}

/// Under which a subscriber is found.
fn name_of(username: &str, domain: &str) -> String {
    let mut name = String::with_capacity(username.len() + 1 + domain.len());
    name.push_str(username);
    name.push('@');
    name.push_str(domain);
    name
}

impl Lookup {
    /// Takes the tables of a snapshot that began to be read at `read_at`, on the monotonic clock. Locks heard on the control topic since a
    /// moment before outweigh those of the snapshot, however long reading it took, until the first one that knows of them: what comes
    /// after that is somebody's later decision.
    pub(crate) fn load(&mut self, tables: Arc<Tables>, read_at: Duration) {
        let heard = std::mem::take(&mut self.heard);
        self.locks = tables.locks.clone();
        self.tables = tables;
        for (account, (at, lock)) in heard {
            let is_fresh = read_at.saturating_sub(at) < HEARD_OUTWEIGHS;
            // A lock is dated by the event that led to it, which may be late: of what was heard after the reading began, no row is news.
            let is_known = at <= read_at
                && match self.locks.get(&account) {
                    Some(known) => known.since >= lock.since,
                    None => lock.level == LockLevel::None,
                };
            if is_fresh && !is_known {
                self.locks.insert(account, lock.clone());
                self.heard.insert(account, (at, lock));
            }
        }
    }

    /// Whom a subscriber may call, and how it writes numbers.
    pub(crate) fn subscriber_rules(&self, id: SubscriberId) -> Arc<SubscriberRules> {
        self.tables.rules.subscriber(id)
    }

    /// How a trunk is spoken to.
    pub(crate) fn trunk_rules(&self, id: TrunkId) -> Arc<TrunkRules> {
        self.tables.rules.trunk(id)
    }

    pub(crate) fn account_rules(&self, id: AccountId) -> Option<&AccountRules> {
        self.tables.rules.accounts.get(&id)
    }

    pub(crate) fn tenant_rules(&self, id: TenantId) -> Option<&TenantRules> {
        self.tables.rules.tenants.get(&id)
    }

    /// Whether it is an emergency number of that tenant.
    pub(crate) fn is_emergency(&self, tenant: TenantId, number: E164) -> bool {
        self.tenant_rules(tenant).is_some_and(|rules| rules.emergency.contains(&number))
    }

    fn route_rules(&self, id: RouteId) -> Option<&RouteRules> {
        self.tables.rules.routes.get(&id)
    }

    /// Whether calls of an account are held to its balance, and if so whether it is prepaid: postpaid is where it has a credit limit.
    pub(crate) fn held_to_balance(&self, account: AccountId, at: DateTime<Utc>) -> Option<bool> {
        let terms = self.tables.directory.contracts.get(&account)?;
        let profile = self.account(account)?.profile_at(at)?;
        let is_prepaid = self.tables.prepaid.contains(&profile);
        (is_prepaid || terms.credit_limit.is_some()).then_some(is_prepaid)
    }

    /// Whether somebody has shut that address out by hand.
    pub(crate) fn is_shut_out(&self, source: IpAddr, now: DateTime<Utc>) -> bool {
        let holds = |until: &Option<DateTime<Utc>>| until.is_none_or(|until| now < until);
        self.tables.banned.iter().any(|(network, until)| network.contains(source) && holds(until))
    }

    /// Whether anybody is shut out by hand.
    pub(crate) fn has_bans(&self) -> bool {
        !self.tables.banned.is_empty()
    }

    /// All trunks in use.
    pub(crate) fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.tables.directory.trunks.iter().filter(|trunk| trunk.enabled)
    }

    /// A lock was set or lifted just now.
    pub(crate) fn lock(&mut self, lock: Lock, now: Moment) {
        self.locks.insert(lock.account, lock.clone());
        self.heard.insert(lock.account, (now.mono, lock));
    }

    /// Revision of the snapshot.
    pub(crate) fn revision(&self) -> i64 {
        self.tables.directory.revision
    }

    /// The tenant of events that belong to nobody.
    pub(crate) fn first_tenant(&self) -> TenantId {
        self.tables.directory.tenants.first().map(|tenant| tenant.id).unwrap_or_default()
    }

    /// The level an account is locked at.
    pub(crate) fn lock_level(&self, account: AccountId, now: DateTime<Utc>) -> LockLevel {
        match self.locks.get(&account) {
            Some(lock) if lock.until.is_none_or(|until| now < until) => lock.level,
            Some(_) | None => LockLevel::None,
        }
    }

    /// Whether subscribers of this domain are ours.
    pub(crate) fn is_domain(&self, domain: &str) -> bool {
        self.tables.domains.contains_key(domain)
    }

    /// The realm in which subscribers of this lower-case domain are challenged.
    pub(crate) fn realm(&self, domain: &str) -> Option<&str> {
        self.tables.domains.get(domain).map(String::as_str)
    }

    /// By user part and lower-case domain.
    pub(crate) fn subscriber_by_name(&self, username: &str, domain: &str) -> Option<&Subscriber> {
        self.tables.names.get(&name_of(username, domain)).map(|idx| &self.tables.directory.subscribers[*idx])
    }

    pub(crate) fn subscriber(&self, id: SubscriberId) -> Option<&Subscriber> {
        self.tables.subscribers.get(&id).map(|idx| &self.tables.directory.subscribers[*idx])
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<&Account> {
        self.tables.accounts.get(&id).map(|idx| &self.tables.directory.accounts[*idx])
    }

    /// Whether the account may make or take calls at all. One we have no row for may not.
    pub(crate) fn is_active(&self, id: AccountId) -> bool {
        self.account(id).is_some_and(|account| account.status == AccountStatus::Active)
    }

    pub(crate) fn trunk(&self, id: TrunkId) -> Option<&Trunk> {
        self.tables.trunks.get(&id).map(|idx| &self.tables.directory.trunks[*idx])
    }

    /// The trunks a message may come from: those with its own address and port, else those with the longest network that
    /// contains the address. More than one when several share an address.
    pub(crate) fn trunks_of_source(&self, source: Hop) -> Vec<&Trunk> {
        let trunks = |places: &[usize]| -> Vec<&Trunk> {
            places.iter().map(|idx| &self.tables.directory.trunks[*idx]).collect()
        };
        // Whoever is spoken to by TLS speaks it: an address alone can be forged.
        let fits = |trunk: &&Trunk| trunk.transport != Transport::Tls || source.transport == Transport::Tls;
        let with_found = |places: Option<&Vec<usize>>, found: Option<&Vec<TrunkId>>| -> Vec<&Trunk> {
            let mut all = trunks(places.map(Vec::as_slice).unwrap_or_default());
            let found = found.into_iter().flatten().filter_map(|id| self.trunk(*id));
            all.extend(found);
            all.sort_by_key(|trunk| trunk.id);
            all.dedup_by_key(|trunk| trunk.id);
            all.retain(fits);
            all
        };
        let there = with_found(
            self.tables.trunk_addresses.get(&source.address),
            self.found_addresses.get(&source.address),
        );
        if !there.is_empty() {
            return there;
        }
        if source.is_reliable() {
            let host = source.address.ip();
            let there = with_found(self.tables.trunk_hosts.get(&host), self.found_hosts.get(&host));
            if !there.is_empty() {
                return there;
            }
        }
        let containing = |(network, idx): &&(Network, usize)| {
            network.contains(source.address.ip()) && fits(&&self.tables.directory.trunks[*idx])
        };
        let Some((longest, _)) = self.tables.trunk_networks.iter().find(containing) else {
            return Vec::new();
        };
        let alike = self.tables.trunk_networks.iter().filter(containing);
        let alike = alike.filter(|(network, _)| network.bits == longest.bits);
        let mut places: Vec<usize> = alike.map(|(_, idx)| *idx).collect();
        places.dedup();
        trunks(&places)
    }

    /// Whether a place is provisioned for a trunk of another account: what somebody's DNS says does not make him its sender.
    fn is_of_another(&self, id: TrunkId, hop: Hop) -> bool {
        let Some(account) = self.trunk(id).map(|trunk| trunk.account) else { return false };
        let ip = hop.address.ip();
        let at = self.tables.trunk_addresses.get(&hop.address).into_iter().flatten();
        let connecting = self.tables.trunk_hosts.get(&ip).filter(|_| hop.is_reliable()).into_iter().flatten();
        let networks = self.tables.trunk_networks.iter().filter(|(network, _)| network.contains(ip));
        let mut places = at.chain(connecting).chain(networks.map(|(_, idx)| idx));
        places.any(|idx| self.tables.directory.trunks[*idx].account != account)
    }

    /// Takes the servers that the DNS gives for the names of trunks.
    pub(crate) fn set_found(&mut self, found: &[(TrunkId, Hop)]) {
        self.found_addresses.clear();
        self.found_hosts.clear();
        for (trunk, hop) in found {
            if self.is_of_another(*trunk, *hop) {
                tracing::warn!(%trunk, %hop, "the DNS gives a trunk's name an address of another account's trunk; calls from there are not its own");
                continue;
            }
            self.found_addresses.entry(hop.address).or_default().push(*trunk);
            if hop.is_reliable() {
                self.found_hosts.entry(hop.address.ip()).or_default().push(*trunk);
            }
        }
    }

    /// Whether a message comes from any trunk.
    pub(crate) fn is_trunk(&self, source: Hop) -> bool {
        !self.trunks_of_source(source).is_empty()
    }

    /// Who a subscriber is, for records.
    pub(crate) fn party(&self, subscriber: &Subscriber) -> Party {
        let reseller = self.account(subscriber.account).and_then(|account| account.reseller);
        Party::Subscriber {
            subscriber: subscriber.id,
            account: subscriber.account,
            reseller: reseller.unwrap_or(AccountId::NOBODY),
            uuid: subscriber.uuid.clone().into(),
        }
    }

    /// Whose number it is at `now`.
    pub(crate) fn owner(&self, number: E164, now: DateTime<Utc>) -> Option<&Subscriber> {
        let mut owners = self.tables.numbers_where(&self.tables.by_number, number, |owner| owner.number);
        let owner = owners.find(|owner| is_valid(owner, now))?;
        self.subscriber(owner.subscriber)
    }

    /// The network-provided number of a subscriber: its `cli`, else the lowest number it owns.
    pub(crate) fn cli(&self, subscriber: &Subscriber, now: DateTime<Utc>) -> Option<E164> {
        subscriber.cli.or_else(|| {
            let owned =
                self.tables.numbers_where(&self.tables.by_owner, subscriber.id, |owner| owner.subscriber);
            owned.filter(|number| is_valid(number, now)).map(|number| number.number).min()
        })
    }

    /// The route by which a trunk stands where it does among [`Self::routes`].
    pub(crate) fn route_of(
        &self,
        tenant: TenantId,
        number: E164,
        caller: &str,
        trunk: TrunkId,
    ) -> Option<&Route> {
        let routes = self.routes(tenant, number, caller, |_| 0);
        routes.into_iter().find(|(_, there)| there.id == trunk).map(|(route, _)| route)
    }

    /// Routes of a number: longest prefix first, then priority; equals drawn by weight without replacement, with `draw`
    /// giving a number below its argument. Each trunk once, where it stands first. `caller` is what caller patterns look at.
    /// A stopper that matches is the last that is looked at.
    pub(crate) fn routes(
        &self,
        tenant: TenantId,
        number: E164,
        caller: &str,
        mut draw: impl FnMut(u64) -> u64,
    ) -> Vec<(&Route, &Trunk)> {
        let Some(of_tenant) = self.tables.routes.get(&tenant) else { return Vec::new() };
        let digits = number.to_string();
        let mut chosen: Vec<(&Route, &Trunk)> = Vec::new();
        for length in (0..=digits.len()).rev() {
            let Some(rows) = of_tenant.get(&digits[..length]) else { continue };
            let matches = |route: &&Route| {
                self.route_rules(route.id).is_none_or(|rules| rules.matches(&digits, caller))
            };
            let mut rows: Vec<&Route> =
                rows.iter().map(|idx| &self.tables.directory.routes[*idx]).filter(matches).collect();
            rows.sort_by_key(|route| (route.priority, route.id));
            while let Some(first) = rows.first() {
                let n_equal = rows.iter().take_while(|route| route.priority == first.priority).count();
                let total: u64 = rows[..n_equal].iter().map(|route| u64::from(route.weight)).sum();
                let mut ticket = if total == 0 { 0 } else { draw(total) };
                let drawn = rows[..n_equal].iter().position(|route| {
                    let weight = u64::from(route.weight);
                    let hit = ticket < weight;
                    ticket = ticket.saturating_sub(weight);
                    hit
                });
                // All weights zero: the order of their ids.
                let route = rows.remove(drawn.unwrap_or(0));
                if let Some(trunk) = self.trunk(route.trunk).filter(|trunk| trunk.enabled)
                    && chosen.iter().all(|(_, known)| known.id != trunk.id)
                {
                    chosen.push((route, trunk));
                }
                if self.route_rules(route.id).is_some_and(|rules| rules.stopper) {
                    return chosen;
                }
            }
        }
        chosen
    }
}

fn is_valid(number: &NumberOwner, now: DateTime<Utc>) -> bool {
    number.from <= now && number.to.is_none_or(|to| now < to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_holds_its_addresses_and_no_others() {
        let network = Network::parse("192.0.2.16/28").unwrap();
        assert!(network.contains("192.0.2.31".parse().unwrap()));
        assert!(!network.contains("192.0.2.32".parse().unwrap()));
        assert!(Network::parse("0.0.0.0/0").unwrap().contains("8.8.8.8".parse().unwrap()));
        assert!(Network::parse("2001:db8::/32").unwrap().contains("2001:db8:1::1".parse().unwrap()));
        assert!(Network::parse("192.0.2.7").unwrap().contains("192.0.2.7".parse().unwrap()));
        assert_eq!(Network::parse("192.0.2.0/33"), None);
    }

    #[test]
    fn network_is_written_without_the_bits_of_a_host() {
        let canonical = |text: &str| Network::parse(text).and_then(Network::canonical);
        for (text, expected) in [
            ("192.0.2.7/24", Some("192.0.2.0/24")),
            ("192.0.2.7/32", Some("192.0.2.7")),
            ("192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7", Some("192.0.2.7")),
            ("::ffff:192.0.2.7/120", Some("192.0.2.0/24")),
            ("2001:DB8:0::1/48", Some("2001:db8::/48")),
            ("2001:db8::1/128", Some("2001:db8::1")),
            ("10.0.0.0/0", None),
            ("::/0", None),
            ("::ffff:192.0.2.7/64", None),
            ("somebody", None),
        ] {
            assert_eq!(canonical(text).as_deref(), expected, "{text}");
        }
    }
}
