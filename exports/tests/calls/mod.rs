//! A small world and the calls that happen in it, for the golden files.

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, CallStatus, CallType, CallUid, Cause, Cdr,
    CdrDestination, CdrDetail, CdrId, CdrSource, Charge, Contact, Currency, Direction, Directory, FeeId,
    FraudPolicy, Initiator, Party, ProfileVersionId, Provider, RatedCdr, SubscriberId, Tenant, TenantId,
    TrunkId,
};
use rust_decimal::Decimal;

pub(crate) const RESELLER: AccountId = AccountId(10);
pub(crate) const OTHER_RESELLER: AccountId = AccountId(11);
pub(crate) const CARRIER: AccountId = AccountId(20);
pub(crate) const OTHER_CARRIER: AccountId = AccountId(21);

pub(crate) fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn account(id: AccountId, tenant: i64, kind: AccountKind, handle: &str) -> Account {
    Account {
        id,
        tenant: TenantId(tenant),
        kind,
        handle: handle.to_owned(),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone: chrono_tz::UTC,
        contact: Contact::default(),
        vat_percent: Decimal::ZERO,
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    }
}

/// Two tenants, each with a reseller called `acme`, and two carriers.
pub(crate) fn directory() -> Directory {
    let tenant = |id, handle: &str, timezone| Tenant {
        id: TenantId(id),
        handle: handle.to_owned(),
        contact: Contact::default(),
        currency: Currency::EUR,
        timezone,
    };
    Directory {
        tenants: vec![
            tenant(1, "main", chrono_tz::Europe::Vienna),
            tenant(2, "brand", chrono_tz::America::New_York),
        ],
        accounts: vec![
            account(RESELLER, 1, AccountKind::Reseller, "acme"),
            account(OTHER_RESELLER, 2, AccountKind::Reseller, "acme"),
            account(CARRIER, 1, AccountKind::Carrier, "tele/co"),
            account(OTHER_CARRIER, 1, AccountKind::Carrier, "globe"),
        ],
        ..Directory::default()
    }
}

pub(crate) fn subscriber(id: i64, reseller: AccountId) -> Party {
    Party::Subscriber {
        subscriber: SubscriberId(id),
        account: AccountId(100 + id),
        reseller,
        uuid: format!("{id:08}-0000-4000-8000-000000000000").into(),
    }
}

pub(crate) fn trunk(account: AccountId) -> Party {
    Party::Trunk { trunk: TrunkId(account.0 * 10), account }
}

pub(crate) fn charge(provider: Provider, direction: Direction, account: AccountId, cost: &str) -> Charge {
    Charge {
        provider,
        direction,
        account,
        version: ProfileVersionId(1),
        profile: "standard".to_owned(),
        fee: Some(FeeId(1)),
        matched: "4930".to_owned(),
        zone: format!("{provider} zone"),
        zone_detail: format!("{provider} detail"),
        currency: Currency::EUR,
        cost: cost.parse().unwrap(),
        free_seconds: 0,
        free_cash: Decimal::ZERO,
        billed_seconds: 11,
        onpeak_seconds: 11,
        offpeak_seconds: 0,
        flat: Decimal::ZERO,
        rounding: "half_up 6".to_owned(),
        pieces: Vec::new(),
        conversion: None,
        fragments: Vec::new(),
    }
}

/// An answered call of alice, 10.880 s, from `source` to `destination`.
pub(crate) fn answered(name: &str, source: Party, destination: Party, charges: Vec<Charge>) -> RatedCdr {
    let call = CallUid::new(name);
    let cdr = Cdr {
        id: CdrId::derive(&call, 0),
        revision: 0,
        call,
        leg: 0,
        sip_call_id: format!("{name}@192.0.2.7").into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: source.account(),
        source: CdrSource {
            party: source,
            user: "alice".into(),
            domain: "sip.example.org".into(),
            cli: Some("43720555123".parse().unwrap()),
            clir: false,
            user_out: "43720555123".into(),
            ip: "192.0.2.7".into(),
            user_agent: "phone".into(),
        },
        destination: CdrDestination {
            party: destination,
            dialed: "004930555123".into(),
            domain: "sip.example.org".into(),
            user_in: "4930555123".into(),
            number: Some("4930555123".parse().unwrap()),
            user_out: "4930555123".into(),
            user_agent: "gateway".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: at("2026-03-25T19:24:50.890123Z"),
        start_at: at("2026-03-25T19:24:51.460999Z"),
        duration_us: 10_880_000,
        pdd_us: Some(300_000),
        codec: "PCMA".into(),
        attempts: Vec::new(),
        config_revision: 7,
        partial: false,
        detail: CdrDetail::default(),
    };
    RatedCdr { cdr, charges }
}

/// The same, refused with 486.
pub(crate) fn busy(name: &str, source: Party, destination: Party) -> RatedCdr {
    let mut rated = answered(name, source, destination, Vec::new());
    rated.cdr.status = CallStatus::Busy;
    rated.cdr.code = 486;
    rated.cdr.cause = Cause::Busy;
    rated.cdr.duration_us = 0;
    rated
}

/// One call of every kind that has broken somebody's reader.
pub(crate) fn calls() -> Vec<RatedCdr> {
    let alice = || subscriber(1, RESELLER);
    let bob = || subscriber(2, OTHER_RESELLER);

    let mut out = answered(
        "out",
        alice(),
        trunk(CARRIER),
        vec![
            charge(Provider::Carrier, Direction::Out, CARRIER, "0.0321"),
            charge(Provider::Reseller, Direction::Out, RESELLER, "0.05"),
            charge(Provider::Customer, Direction::Out, AccountId(101), "0.24"),
        ],
    );
    out.charges[2].free_seconds = 60;

    let on_net = answered(
        "on-net",
        alice(),
        bob(),
        vec![
            charge(Provider::Customer, Direction::Out, AccountId(101), "0.011001"),
            charge(Provider::Customer, Direction::In, AccountId(102), "0"),
        ],
    );

    let mut anonymous = answered(
        "anonymous",
        trunk(CARRIER),
        bob(),
        vec![charge(Provider::Carrier, Direction::In, CARRIER, "-0.002")],
    );
    anonymous.cdr.source.user = "anonymous".into();
    anonymous.cdr.source.domain = "anonymous.invalid".into();
    anonymous.cdr.source.cli = None;
    anonymous.cdr.source.clir = true;
    anonymous.cdr.destination.user_out = "bob".into();

    let mut quoted = busy("quoted", alice(), trunk(CARRIER));
    quoted.cdr.source.user = "o'hara\\, \"fred\"\r\n007,9999".into();

    let transit = answered(
        "transit",
        trunk(CARRIER),
        trunk(OTHER_CARRIER),
        vec![
            charge(Provider::Carrier, Direction::In, CARRIER, "0.001"),
            charge(Provider::Carrier, Direction::Out, OTHER_CARRIER, "0.002"),
        ],
    );

    let mut scanner = busy("scanner", Party::Unknown, Party::Unknown);
    scanner.cdr.status = CallStatus::Other;
    scanner.cdr.code = 403;
    scanner.cdr.cause = Cause::RelayingDenied;
    scanner.cdr.destination.user_out = "".into();

    vec![out, on_net, anonymous, quoted, transit, scanner]
}
