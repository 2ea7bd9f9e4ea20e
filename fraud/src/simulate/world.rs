//! The simulated operator: who its customers are, how they call, what calls cost.

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, BillingInterval, BillingProfile, Contact, Currency,
    Direction, Directory, E164, Fee, FeeId, FeeMatch, FraudPolicy, MatchMode, NumberOwner, PeakOptions,
    PeakSplit, ProfileId, ProfileMapping, ProfileVersionId, Rate, Rounding, Subscriber, SubscriberId,
    TariffVersion, Tenant, TenantId, Transport, Trunk, TrunkId,
};
use rust_decimal::Decimal;

use super::chance::Chance;

/// How a customer calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A few calls a day, evenings and weekends too.
    Residential,
    /// Working hours, more at the end of a month.
    Business,
    /// A dialler: hundreds of calls to different numbers, many unanswered or short.
    CallCentre,
    /// Day and night, to everywhere.
    Wholesale,
}

/// One customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) account: AccountId,
    pub(super) subscriber: SubscriberId,
    pub(super) kind: Kind,
    pub(super) cli: u64,
    /// Countries it calls now and then, as prefixes.
    pub(super) abroad: Vec<&'static Place>,
    /// Its calls, in thousandths of what is usual for its kind.
    pub(super) activity: i64,
    pub(super) source: u32,
    /// Day of the simulation on which it became a customer.
    pub(super) joined: i64,
}

/// A destination: prefix, digits of a whole number, cents a minute.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) prefix: &'static str,
    pub(super) digits: usize,
    pub(super) cents: i64,
}

const fn place(prefix: &'static str, digits: usize, cents: i64) -> Place {
    Place { prefix, digits, cents }
}

/// Where everybody calls.
pub(super) const HOME: [Place; 3] = [place("431", 10, 2), place("43732", 11, 2), place("43664", 12, 8)];

/// Where some call.
pub(super) const NEAR: [Place; 8] = [
    place("49", 12, 3),
    place("39", 12, 4),
    place("41", 11, 5),
    place("36", 11, 6),
    place("420", 12, 6),
    place("44", 12, 4),
    place("33", 11, 4),
    place("385", 12, 9),
];

/// Where few call.
pub(super) const FAR: [Place; 10] = [
    place("1", 11, 3),
    place("90", 12, 18),
    place("91", 12, 12),
    place("86", 13, 9),
    place("234", 13, 28),
    place("55", 12, 15),
    place("66", 11, 14),
    place("20", 12, 24),
    place("92", 12, 26),
    place("63", 12, 30),
];

/// Where fraud goes: a euro a minute.
pub(super) const DEAR: [Place; 6] = [
    place("3719", 11, 100),
    place("2217", 12, 100),
    place("2525", 11, 100),
    place("5399", 11, 100),
    place("6747", 10, 100),
    place("2697", 10, 100),
];

/// A premium number at home, for votes.
pub(super) const VOTE: Place = place("43930", 11, 50);

/// Trunk of the carrier that brings calls in, and of the two that take them out.
pub(super) const INBOUND: TrunkId = TrunkId(1);
pub(super) const VENDORS: [TrunkId; 2] = [TrunkId(2), TrunkId(3)];

/// The carriers' accounts.
pub(super) const CARRIERS: [AccountId; 3] = [AccountId(9_001), AccountId(9_002), AccountId(9_003)];

/// Customers, what they are provisioned with, and what calls cost.
#[derive(Debug)]
pub(super) struct World {
    pub(super) customers: Vec<Customer>,
    pub(super) directory: Directory,
}

impl World {
    /// `n_customers` and, of the same kinds, `n_new` that join on a day of `joining`.
    pub(super) fn new(chance: &Chance, n_customers: i64, n_new: i64, joining: (i64, i64)) -> Self {
        let mut customers = Vec::new();
        for n in 0..n_customers + n_new {
            let mut chance = chance.of(u64::try_from(n).unwrap_or(0));
            let kind = match chance.below(100) {
                0..60 => Kind::Residential,
                60..93 => Kind::Business,
                93..97 => Kind::CallCentre,
                _ => Kind::Wholesale,
            };
            let is_new = n >= n_customers;
            let kind = if is_new && kind != Kind::Residential { Kind::Business } else { kind };
            let mut abroad = Vec::new();
            let n_abroad = match kind {
                Kind::Residential => chance.below(3),
                Kind::Business => 1 + chance.below(5),
                Kind::CallCentre => chance.below(2),
                Kind::Wholesale => 0,
            };
            for _ in 0..n_abroad {
                abroad.push(if chance.percent(75) { chance.pick(&NEAR) } else { chance.pick(&FAR) });
            }
            if kind == Kind::Wholesale {
                abroad.extend(NEAR.iter().chain(&FAR));
            }
            customers.push(Customer {
                account: AccountId(n + 1),
                subscriber: SubscriberId(n + 1),
                kind,
                cli: 431_000_000_000 + u64::try_from(n).unwrap_or(0) * 17,
                abroad,
                activity: chance.between(500, 1_700),
                source: 0x0a00_0000 + u32::try_from(n).unwrap_or(0),
                joined: if is_new { chance.between(joining.0, joining.1) } else { 0 },
            });
        }
        let directory = directory(&customers);
        Self { customers, directory }
    }
}

fn directory(customers: &[Customer]) -> Directory {
    let account = |id: AccountId, kind| Account {
        id,
        tenant: TenantId(1),
        kind,
        handle: format!("account-{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: chrono_tz::Europe::Vienna,
        contact: Contact::default(),
        vat_percent: Decimal::ZERO,
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: vec![ProfileMapping {
            from: DateTime::UNIX_EPOCH,
            to: None,
            network: None,
            profile: ProfileId(1),
        }],
    };
    let mut accounts: Vec<Account> =
        customers.iter().map(|customer| account(customer.account, AccountKind::Customer)).collect();
    accounts.extend(CARRIERS.map(|id| account(id, AccountKind::Carrier)));
    let trunk = |id: TrunkId, account: AccountId| Trunk {
        id,
        tenant: TenantId(1),
        account,
        name: format!("trunk-{id}"),
        address: ([192, 0, 2, 1], 5060).into(),
        transport: Transport::Udp,
        sources: Vec::new(),
        tech_prefix: String::new(),
        calls_max: None,
        enabled: true,
    };
    Directory {
        revision: 1,
        tenants: vec![Tenant {
            id: TenantId(1),
            handle: "simulated".to_owned(),
            contact: Contact::default(),
            currency: Currency::EUR,
            timezone: chrono_tz::Europe::Vienna,
        }],
        accounts,
        subscribers: customers
            .iter()
            .map(|customer| Subscriber {
                id: customer.subscriber,
                tenant: TenantId(1),
                account: customer.account,
                uuid: String::new(),
                username: format!("line-{}", customer.subscriber),
                domain: "sim.example".to_owned(),
                digest: model::Digest { ha1_md5: String::new(), ha1_sha256: String::new() },
                cli: E164::from_u64(customer.cli),
                calls_max: None,
            })
            .collect(),
        numbers: customers
            .iter()
            .filter_map(|customer| {
                Some(NumberOwner {
                    number: E164::from_u64(customer.cli)?,
                    subscriber: customer.subscriber,
                    from: DateTime::UNIX_EPOCH,
                    to: None,
                })
            })
            .collect(),
        trunks: vec![
            trunk(INBOUND, CARRIERS[0]),
            trunk(VENDORS[0], CARRIERS[1]),
            trunk(VENDORS[1], CARRIERS[2]),
        ],
        tariffs: vec![tariff()],
        ..Directory::default()
    }
}

fn tariff() -> TariffVersion {
    let places = HOME.iter().chain(&NEAR).chain(&FAR).chain(&DEAR).chain([&VOTE]);
    let fees = (1_i64..).zip(places).map(|(id, place)| fee(id, place)).collect();
    TariffVersion {
        id: ProfileVersionId(1),
        profile: BillingProfile {
            id: ProfileId(1),
            tenant: TenantId(1),
            handle: "simulated".to_owned(),
            name: "Simulated".to_owned(),
            currency: Currency::EUR,
            timezone: chrono_tz::Europe::Vienna,
            prepaid: false,
        },
        valid_from: DateTime::<Utc>::UNIX_EPOCH,
        rounding: Rounding::default(),
        fee_match: FeeMatch::Prefix,
        peak_split: PeakSplit::IntervalStart,
        compat: false,
        interval: BillingInterval::default(),
        interval_charge: Decimal::ZERO,
        interval_free_seconds: 0,
        interval_free_cash: Decimal::ZERO,
        interval_price: None,
        fees,
        weekdays: Vec::new(),
        specials: Vec::new(),
    }
}

fn fee(id: i64, place: &Place) -> Fee {
    let rate = Rate { price: Decimal::new(place.cents, 2), per_seconds: 60, interval_seconds: 1 };
    Fee {
        id: FeeId(id),
        source: String::new(),
        destination: place.prefix.to_owned(),
        direction: Direction::Out,
        match_mode: MatchMode::Prefix,
        zone: String::new(),
        zone_detail: String::new(),
        onpeak_init: rate,
        onpeak_follow: rate,
        offpeak_init: rate,
        offpeak_follow: rate,
        connection_fee: Decimal::ZERO,
        minimum_charge: None,
        maximum_charge: None,
        failed_attempt_fee: Decimal::ZERO,
        onpeak: PeakOptions::default(),
        offpeak: PeakOptions::default(),
        valid_from: None,
        valid_to: None,
    }
}

/// A number at a place; `subscriber` chooses which.
pub(super) fn number(place: &Place, subscriber: u64) -> u64 {
    let rest = place.digits.saturating_sub(place.prefix.len());
    let span = 10_u64.pow(u32::try_from(rest).unwrap_or(1));
    let head: u64 = place.prefix.parse().unwrap_or(0);
    head * span + subscriber % span
}
