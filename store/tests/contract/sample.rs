//! A small world, and records to commit.

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountCalling, AccountId, AccountKind, AccountStatus, Address, Alert, AlertId, AlertSeverity,
    BillingInterval, BillingProfile, BillingTerms, CallUid, CdrId, Contact, Currency, Direction, ExtraRate,
    Fee, FeeId, FeeMatch, FraudCompat, FraudLimit, FraudPolicy, FraudPrice, FraudUnlock, IntervalUnit,
    Language, LedgerAccount, Lock, LockLevel, LockSource, MatchMode, Money, OffPeakSpecial, OffPeakWeekday,
    PeakOptions, PeakSplit, Posting, PostingId, PostingReason, ProfileId, ProfileVersionId, Rate, Rounding,
    RouteCalling, SubscriberCalling, TariffVersion, TenantCalling, TenantId, Transport, TrunkCalling,
};
use rust_decimal::Decimal;
use store::{
    LaneCommit, NewAccount, NewBillingTerms, NewProfileLimits, NewRoute, NewSubscriber, NewTariff, NewTenant,
    NewTrunk, StoreEffect, World,
};

pub(crate) const T0: &str = "2026-10-05T08:00:00Z";

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// So many seconds after [`T0`].
pub(crate) fn second(n: i64) -> DateTime<Utc> {
    at(T0) + TimeDelta::seconds(n)
}

pub(crate) fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub(crate) fn eur(text: &str) -> Money {
    Money::new(decimal(text), Currency::EUR)
}

pub(crate) fn cdr(n: u32) -> CdrId {
    CdrId::derive(&CallUid::new(format!("sw1-1-{n}")), 0)
}

/// Call `n` of `account` for `amount`.
pub(crate) fn posting(n: u32, account: i64, amount: &str) -> Posting {
    Posting {
        id: PostingId::derive(cdr(n), 0, 0),
        tenant: TenantId(1),
        account: AccountId(account),
        at: second(i64::from(n)),
        debit: LedgerAccount::Receivable(AccountId(account)),
        credit: LedgerAccount::Revenue(TenantId(1)),
        amount: eur(amount),
        reason: PostingReason::Call,
        cdr: Some(cdr(n)),
        reverses: None,
    }
}

pub(crate) fn lock(account: i64, level: LockLevel) -> Lock {
    Lock {
        tenant: TenantId(1),
        account: AccountId(account),
        level,
        source: LockSource::Fraud,
        reason: "daily limit".to_owned(),
        alert: Some(AlertId::derive("daily_spend", AccountId(account), "2026-10-05")),
        since: second(9),
        until: None,
    }
}

pub(crate) fn alert(account: i64, notify: &[&str]) -> Alert {
    Alert {
        id: AlertId::derive("daily_spend", AccountId(account), "2026-10-05"),
        tenant: TenantId(1),
        account: AccountId(account),
        rule: "daily_spend".to_owned(),
        period: "2026-10-05".to_owned(),
        limit: eur("50"),
        value: eur("51.25"),
        lock: LockLevel::Outgoing,
        notify: notify.iter().map(|&address| address.to_owned()).collect(),
        evidence: vec![cdr(3), cdr(1)],
        at: second(9),
        severity: AlertSeverity::Breach,
        update: 0,
        finding: None,
        spending: None,
    }
}

pub(crate) fn export(n: u32, owner: &str) -> StoreEffect {
    StoreEffect::Export {
        is_left_out: false,
        owner: owner.to_owned(),
        cdr: cdr(n),
        revision: 0,
        payload: format!("call {n}").into_bytes(),
    }
}

pub(crate) fn step(partition: u32, expected: u64, position: u64, effects: Vec<StoreEffect>) -> LaneCommit {
    LaneCommit { partition, expected, position, watermarks: Vec::new(), changes: Vec::new(), effects }
}

pub(crate) fn contact(name: &str) -> Contact {
    Contact {
        name: name.to_owned(),
        address: Address {
            street: "Ring 1".to_owned(),
            postcode: "1010".to_owned(),
            city: "Wien".to_owned(),
            country: "AT".to_owned(),
        },
        email: format!("billing@{}.example", name.to_lowercase()),
        vat_id: "ATU12345678".to_owned(),
        registration: "FN 1a".to_owned(),
        iban: "AT611904300234573201".to_owned(),
    }
}

pub(crate) fn account(handle: &str, kind: AccountKind, reseller: Option<&str>) -> NewAccount {
    NewAccount {
        tenant: String::new(),
        handle: handle.to_owned(),
        kind,
        reseller: reseller.map(str::to_owned),
        status: AccountStatus::Active,
        currency: None,
        timezone: None,
        contact: contact(handle),
        vat_percent: decimal("20"),
        calls_max: Some(10),
        fraud: FraudPolicy {
            daily: Some(FraudLimit {
                amount: decimal("50.5"),
                lock: LockLevel::Outgoing,
                notify: vec!["fraud@vox.example".to_owned()],
                price: FraudPrice::Customer,
                warn_percent: vec![50, 80],
                unlock: FraudUnlock::PeriodEnd,
                compat: None,
            }),
            interval: None,
        },
        profile: Some("retail".to_owned()),
        valid_from: None,
        profiles: Vec::new(),
        calling: AccountCalling::default(),
    }
}

pub(crate) fn subscriber(username: &str, account: &str, numbers: &[&str]) -> NewSubscriber {
    NewSubscriber {
        tenant: String::new(),
        account: account.to_owned(),
        username: username.to_owned(),
        domain: "vox.example".to_owned(),
        ha1_md5: "0".repeat(32),
        ha1_sha256: "1".repeat(64),
        numbers: numbers.iter().map(|number| number.parse().unwrap()).collect(),
        cli: numbers.first().map(|number| number.parse().unwrap()),
        calls_max: None,
        uuid: None,
        profile: None,
        calling: SubscriberCalling::default(),
    }
}

fn rate(price: &str, interval_seconds: u32) -> Rate {
    Rate { price: decimal(price), per_seconds: 60, interval_seconds }
}

pub(crate) fn fee(destination: &str, price: &str) -> Fee {
    Fee {
        id: FeeId(0),
        source: String::new(),
        destination: destination.to_owned(),
        direction: Direction::Out,
        match_mode: MatchMode::Prefix,
        zone: format!("{destination} fixed"),
        zone_detail: "geographic".to_owned(),
        onpeak_init: rate(price, 60),
        onpeak_follow: rate(price, 1),
        offpeak_init: rate("0.0123456789", 60),
        offpeak_follow: rate("-0.01", 1),
        connection_fee: decimal("0.05"),
        minimum_charge: None,
        maximum_charge: Some(decimal("9.99")),
        failed_attempt_fee: decimal("0.005"),
        onpeak: PeakOptions {
            use_free_time: true,
            extra: Some(ExtraRate { second: 60, amount: decimal("0.30") }),
        },
        offpeak: PeakOptions {
            use_free_time: false,
            extra: Some(ExtraRate { second: 0, amount: decimal("-1") }),
        },
        valid_from: Some(at(T0)),
        valid_to: None,
    }
}

pub(crate) fn tariff(handle: &str, valid_from: &str, fees: Vec<Fee>) -> NewTariff {
    NewTariff {
        tenant: String::new(),
        version: TariffVersion {
            id: ProfileVersionId(0),
            profile: BillingProfile {
                id: ProfileId(0),
                tenant: TenantId(0),
                handle: handle.to_owned(),
                name: format!("The {handle} profile"),
                currency: Currency::EUR,
                timezone: "Europe/Vienna".parse().unwrap(),
                prepaid: false,
            },
            valid_from: at(valid_from),
            rounding: Rounding::default(),
            fee_match: FeeMatch::Prefix,
            peak_split: PeakSplit::Boundary,
            compat: true,
            interval: BillingInterval { unit: IntervalUnit::Week, count: 2 },
            interval_charge: decimal("4.90"),
            interval_free_seconds: 3600,
            interval_free_cash: decimal("2.50"),
            interval_price: None,
            fees: fees.into(),
            weekdays: vec![OffPeakWeekday {
                day: chrono::Weekday::Sat,
                start: "00:00:00".parse().unwrap(),
                end: "23:59:59".parse().unwrap(),
            }],
            specials: vec![OffPeakSpecial {
                start: "2026-12-24T00:00:00".parse().unwrap(),
                end: "2026-12-26T23:59:59".parse().unwrap(),
            }],
        },
    }
}

/// One tenant, a reseller with a customer, a carrier with a trunk. The customer stands before its reseller.
pub(crate) fn world() -> World {
    World {
        networks: Vec::new(),
        exchange_rates: Vec::new(),
        profile_limits: vec![NewProfileLimits {
            tenant: String::new(),
            profile: "retail".to_owned(),
            daily: None,
            interval: Some(FraudLimit {
                amount: decimal("500"),
                lock: LockLevel::Foreign,
                notify: Vec::new(),
                price: FraudPrice::Reseller,
                warn_percent: Vec::new(),
                unlock: FraudUnlock::After("12h".parse().unwrap()),
                compat: Some(FraudCompat::Reference),
            }),
        }],
        billing_terms: vec![NewBillingTerms {
            tenant: String::new(),
            account: "acme".to_owned(),
            terms: BillingTerms { language: Language::German, ..BillingTerms::default() },
        }],
        tenants: vec![NewTenant {
            handle: "vox".to_owned(),
            contact: contact("Vox"),
            currency: Currency::EUR,
            timezone: "Europe/Vienna".parse().unwrap(),
            calling: TenantCalling::default(),
        }],
        accounts: vec![
            account("acme", AccountKind::Customer, Some("north")),
            account("north", AccountKind::Reseller, None),
            account("globex", AccountKind::Carrier, None),
        ],
        subscribers: vec![
            subscriber("alice", "acme", &["43660555123", "43660555124"]),
            subscriber("bob", "acme", &["43660555200"]),
        ],
        trunks: vec![NewTrunk {
            tenant: String::new(),
            account: "globex".to_owned(),
            name: "globex-1".to_owned(),
            address: "192.0.2.7:5060".parse().unwrap(),
            transport: Transport::Tcp,
            sources: vec!["192.0.2.0/28".to_owned()],
            tech_prefix: "99".to_owned(),
            calls_max: Some(0),
            enabled: true,
            calling: TrunkCalling { register: true, ..TrunkCalling::default() },
        }],
        routes: vec![NewRoute {
            prefix: "49".to_owned(),
            trunk: "globex-1".to_owned(),
            priority: 1,
            weight: 3,
            calling: RouteCalling::default(),
        }],
        packages: Vec::new(),
        contracts: Vec::new(),
        tariffs: vec![tariff("retail", "2026-01-01T00:00:00Z", vec![fee("49", "0.05"), fee("43", "0.03")])],
    }
}
