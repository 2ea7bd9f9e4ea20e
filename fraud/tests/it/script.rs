//! Rated calls as lines of text, and what the desk does as lines of text.
//!
//! `START call NAME SECONDS COST`, with `free=`, `reseller=`, `rev=`, `up=true`, `account=` or `currency=` anywhere in it; `TIME running NAME
//! COST`; `TIME tick`. Account 1 is in Vienna and may spend 10 EUR a day, account 2 has no limit, account 3 is warned at 5, account 4 is in USD.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use fraud::FraudDesk;
use model::{
    Account, AccountId, AccountKind, AccountStatus, Accrual, AlertSeverity, Body, CallStatus, CallType,
    CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource, Charge, Contact, Control, Currency,
    Direction, Directory, Effect, Effects, FraudLimit, FraudPolicy, FraudPrice, FraudUnlock, Initiator, Lock,
    LockLevel, LockSource, Money, Party, ProfileVersionId, Provider, RatedCdr, Stage, StageInput,
    StateChange, TenantId, Topic,
};
use rust_decimal::Decimal;

pub(crate) fn limit(amount: i64, lock: LockLevel) -> FraudLimit {
    FraudLimit {
        amount: amount.into(),
        lock,
        notify: vec!["desk@example.org".to_owned()],
        price: FraudPrice::Customer,
        warn_percent: Vec::new(),
        unlock: FraudUnlock::PeriodEnd,
        compat: None,
    }
}

fn account(id: i64, timezone: &str, currency: &str, daily: Option<(i64, LockLevel)>) -> Account {
    let daily = daily.map(|(amount, lock)| limit(amount, lock));
    Account {
        id: AccountId(id),
        tenant: TenantId(1),
        kind: AccountKind::Customer,
        handle: format!("customer-{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: currency.parse().unwrap(),
        timezone: timezone.parse().unwrap(),
        contact: Contact::default(),
        vat_percent: Decimal::from(20),
        calls_max: None,
        fraud: FraudPolicy { daily, interval: None },
        profiles: Vec::new(),
    }
}

pub(crate) fn directory() -> Directory {
    Directory {
        revision: 1,
        accounts: vec![
            account(1, "Europe/Vienna", "EUR", Some((10, LockLevel::Outgoing))),
            account(2, "Europe/Vienna", "EUR", None),
            account(3, "Europe/Vienna", "EUR", Some((5, LockLevel::None))),
            account(4, "America/New_York", "USD", Some((10, LockLevel::All))),
        ],
        ..Directory::default()
    }
}

pub(crate) fn lock(level: LockLevel, source: LockSource) -> Lock {
    Lock {
        tenant: TenantId(1),
        account: AccountId(1),
        level,
        source,
        reason: "by hand".to_owned(),
        alert: None,
        since: "2026-10-01T00:00:00Z".parse().unwrap(),
        until: None,
    }
}

pub(crate) fn desk(directory: Directory) -> FraudDesk {
    let mut desk = FraudDesk::new();
    desk.set_directory(Arc::new(directory));
    desk
}

fn cdr_id(name: &str) -> CdrId {
    CdrId::derive(&CallUid::new(name), 0)
}

pub(crate) fn records(script: &str) -> Vec<Body> {
    script.lines().map(str::trim).filter(|line| !line.is_empty()).map(record).collect()
}

fn record(line: &str) -> Body {
    let (mut free, mut revision, mut payer, mut currency) = (Decimal::ZERO, 0, 1, Currency::EUR);
    let mut reseller: Option<Decimal> = None;
    let mut is_up = false;
    let mut words = Vec::new();
    for word in line.split_whitespace() {
        match word.split_once('=') {
            Some(("free", value)) => free = value.parse().unwrap(),
            Some(("reseller", value)) => reseller = Some(value.parse().unwrap()),
            Some(("up", value)) => is_up = value.parse().unwrap(),
            Some(("rev", value)) => revision = value.parse().unwrap(),
            Some(("account", value)) => payer = value.parse().unwrap(),
            Some(("currency", value)) => currency = value.parse().unwrap(),
            Some(_) | None => words.push(word),
        }
    }
    let start_at: DateTime<Utc> = words[0].parse().unwrap();
    if let ["running", name, amount] = words[1..] {
        return Body::Accrual(Accrual {
            account: AccountId(payer),
            cdr: cdr_id(name),
            at: start_at,
            amount: Money::new(amount.parse().unwrap(), currency),
            rate_per_minute: Some(Decimal::ONE),
        });
    }
    let ["call", name, seconds, cost] = words[1..] else { return Body::Tick(start_at) };
    let duration: Decimal = seconds.parse().unwrap();
    let payer = AccountId(payer);
    let charge = Charge {
        provider: Provider::Customer,
        direction: Direction::Out,
        account: payer,
        version: ProfileVersionId(1),
        profile: "standard".to_owned(),
        fee: None,
        matched: String::new(),
        zone: String::new(),
        zone_detail: String::new(),
        currency,
        cost: cost.parse().unwrap_or_default(),
        free_seconds: 0,
        free_cash: free,
        billed_seconds: 0,
        onpeak_seconds: 0,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    };
    // What others pay for the call is not this account's spending.
    let incoming =
        Charge { direction: Direction::In, account: AccountId(2), cost: 1_000.into(), ..charge.clone() };
    let carrier =
        Charge { provider: Provider::Carrier, account: AccountId(9), cost: 1_000.into(), ..charge.clone() };
    let cdr = Cdr {
        id: cdr_id(name),
        revision,
        call: CallUid::new(name),
        leg: 0,
        sip_call_id: name.into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer,
        source: CdrSource {
            party: Party::Unknown,
            user: "".into(),
            domain: "".into(),
            cli: None,
            clir: false,
            user_out: "".into(),
            ip: "".into(),
            user_agent: "".into(),
        },
        destination: CdrDestination {
            party: Party::Unknown,
            dialed: "".into(),
            domain: "".into(),
            user_in: "".into(),
            number: None,
            user_out: "".into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: if is_up { Cause::InProgress } else { Cause::Normal },
        ended_by: Initiator::Caller,
        init_at: start_at - TimeDelta::seconds(5),
        start_at,
        duration_us: u64::try_from(
            (duration * Decimal::from(1_000_000)).mantissa() / 10_i128.pow(duration.scale()),
        )
        .unwrap(),
        pdd_us: None,
        codec: "".into(),
        attempts: Vec::new(),
        config_revision: 1,
        partial: is_up,
        detail: CdrDetail::default(),
    };
    // `-` as the price: the call has no charges at all, like one that was never answered.
    let above = reseller.map(|cost| Charge {
        provider: Provider::Reseller,
        account: AccountId(8),
        cost,
        free_cash: Decimal::ZERO,
        ..charge.clone()
    });
    let mut charges = if cost == "-" { Vec::new() } else { vec![incoming, carrier, charge] };
    charges.extend(above);
    Body::Rated(Box::new(RatedCdr { cdr, charges }))
}

pub(crate) fn feed(desk: &mut FraudDesk, bodies: &[Body]) -> Vec<Effect> {
    let mut effects = Effects::default();
    for (offset, body) in (0..).zip(bodies) {
        desk.apply(StageInput { partition: 0, offset, body: body.clone() }, &mut effects);
    }
    effects.0
}

pub(crate) fn picture(effects: &[Effect]) -> String {
    effects.iter().map(|effect| format!("{}\n", line_of(effect))).collect()
}

/// One script, one picture.
pub(crate) fn check(script: &str, expected: expect_test::Expect) {
    check_in(directory(), script, expected);
}

pub(crate) fn check_in(directory: Directory, script: &str, expected: expect_test::Expect) {
    expected.assert_eq(&picture(&feed(&mut desk(directory), &records(script))));
}

fn line_of(effect: &Effect) -> String {
    let lock_line = |lock: &Lock| {
        let time = |time: DateTime<Utc>| time.format("%m-%dT%H:%M:%S").to_string();
        let until =
            lock.until.map_or_else(|| "for good".to_owned(), |until| format!("until {}", time(until)));
        let since = time(lock.since);
        format!("{} {} by {} since {since} {until}: {}", lock.account, lock.level, lock.source, lock.reason)
    };
    match effect {
        Effect::Alert(alert) => {
            let names: Vec<String> = alert
                .evidence
                .iter()
                .map(|cdr| ('a'..='z').map(String::from).find(|name| cdr_id(name) == *cdr).unwrap())
                .collect();
            let update = if alert.update == 0 { String::new() } else { format!(" update {}", alert.update) };
            format!(
                "{}{update} {} {} {}: {} of {}, lock {}, to {}, shown by {}",
                match alert.severity {
                    AlertSeverity::Warning => "warning",
                    AlertSeverity::Breach => "alert",
                },
                alert.rule,
                alert.account,
                alert.period,
                alert.value,
                alert.limit,
                alert.lock,
                alert.notify.join(" "),
                names.join(" "),
            )
        }
        Effect::Lock(lock) => format!("lock {}", lock_line(lock)),
        Effect::Append { topic, key, body } => {
            assert_eq!(*topic, Topic::Control);
            match &**body {
                Body::Control(Control::LockChanged(lock)) => {
                    assert_eq!(*key, lock.account);
                    format!("  control: {} is {}", lock.account, lock.level)
                }
                Body::Control(Control::EndCallsOf { account }) => {
                    assert_eq!(key, account);
                    format!("  control: end calls of {account}")
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        Effect::Suspend(suspended) => {
            format!("{} of {} {}: {}", suspended.code, suspended.account, suspended.retry, suspended.message)
        }
        other => panic!("unexpected {other:?}"),
    }
}

/// The database of one lane.
#[derive(Debug, Clone, Default)]
pub(crate) struct Saved(pub(crate) std::collections::BTreeMap<String, Vec<u8>>);

impl Saved {
    pub(crate) fn commit(&mut self, changes: Vec<StateChange>) {
        for StateChange { key, value } in changes {
            match value {
                Some(value) => self.0.insert(key, value),
                None => self.0.remove(&key),
            };
        }
    }

    pub(crate) fn load(&self) -> FraudDesk {
        let mut desk = desk(directory());
        desk.restore(self.0.clone().into_iter().collect()).unwrap();
        desk
    }
}
