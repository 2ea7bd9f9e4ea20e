//! What calls cost in time whose records come in another order than they began, all of one account that has free time. Prints figures; it
//! stops if an order comes to another sum.
//!
//! `cargo bench -p rating --bench late_records`. Free time is enough for about half of the calls of a month.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, Body, CallStatus, CallType, CallUid, Cause, Cdr,
    CdrDestination, CdrDetail, CdrId, CdrSource, Contact, ContractTerms, Directory, Effect, Effects,
    FraudPolicy, Initiator, Party, ProfileId, ProfileMapping, RatedCdr, Stage as _, StageInput, SubscriberId,
    TenantId,
};
use rating::RatingStage;
use rating::workbench::{TariffIds, read_tariff};
use rust_decimal::Decimal;

const N_CALLS: u64 = 100_000;
const ACCOUNT: AccountId = AccountId(1);

const PROFILE: &str =
    "handle = \"deck\"\ncurrency = \"EUR\"\ntimezone = \"UTC\"\ninterval_free_seconds = 6000000\n";

const FEES: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,\
    onpeak_follow_rate,onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,\
    offpeak_follow_interval,onpeak_use_free_time,offpeak_use_free_time\n\
    ,44,out,Britain,,0.20,60,0.20,1,0.20,60,0.20,1,1,1\n\
    ,49,out,Germany,,0.06,60,0.06,60,0.06,60,0.06,60,1,1\n";

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

fn directory() -> Directory {
    let dir = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(dir.path().join("profile.toml"), PROFILE).expect("files can be written");
    std::fs::write(dir.path().join("fees.csv"), FEES).expect("files can be written");
    let version = read_tariff(dir.path(), TariffIds::default()).expect("the deck is in order");
    let account = Account {
        id: ACCOUNT,
        tenant: version.profile.tenant,
        kind: AccountKind::Customer,
        handle: "a1".to_owned(),
        reseller: None,
        status: AccountStatus::Active,
        currency: version.profile.currency,
        timezone: chrono_tz::UTC,
        contact: Contact::default(),
        vat_percent: 20.into(),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: vec![ProfileMapping {
            from: DateTime::UNIX_EPOCH,
            to: None,
            network: None,
            profile: ProfileId(0),
        }],
    };
    let created_at = "2026-10-01T00:00:00Z".parse().expect("a time");
    let terms = ContractTerms { created_at, package: String::new(), credit_limit: None, low_balance: None };
    Directory {
        revision: 1,
        accounts: vec![account],
        contracts: [(ACCOUNT, terms)].into_iter().collect(),
        tariffs: vec![version],
        ..Directory::default()
    }
}

/// One every 26 s of October, of one to three minutes.
fn call(n: u64) -> Cdr {
    let began: DateTime<Utc> = "2026-10-01T00:00:00Z".parse().expect("a time");
    let start_at = began + TimeDelta::seconds(i64::try_from(n * 26).expect("in a month"));
    let call = CallUid::new(format!("sw1-1-{n}"));
    let digits = format!("{}30555123", if n.is_multiple_of(3) { 44 } else { 49 });
    let payer = Party::Subscriber {
        subscriber: SubscriberId(1),
        account: ACCOUNT,
        reseller: AccountId::NOBODY,
        uuid: "".into(),
    };
    Cdr {
        id: CdrId::derive(&call, 0),
        revision: 0,
        call,
        leg: 0,
        sip_call_id: "abc".into(),
        node: "sw1".into(),
        tenant: TenantId(0),
        payer: ACCOUNT,
        source: CdrSource {
            party: payer,
            user: "anonymous".into(),
            domain: "example.org".into(),
            cli: Some("43660555123".parse().expect("a number")),
            clir: true,
            user_out: "43660555123".into(),
            ip: "192.0.2.1".into(),
            user_agent: "".into(),
        },
        destination: CdrDestination {
            party: Party::Unknown,
            dialed: digits.as_str().into(),
            domain: "example.org".into(),
            user_in: digits.as_str().into(),
            number: Some(digits.parse().expect("a number")),
            user_out: digits.as_str().into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: start_at,
        start_at,
        duration_us: (60 + n * 37 % 121) * 1_000_000,
        pdd_us: None,
        codec: "".into(),
        attempts: Vec::new(),
        config_revision: 1,
        partial: false,
        detail: CdrDetail::default(),
    }
}

/// A stage, the last revision of each call, and its state.
struct House {
    stage: RatingStage,
    last: HashMap<CdrId, RatedCdr>,
    entries: HashMap<String, Vec<u8>>,
}

impl House {
    fn new() -> House {
        let mut stage = RatingStage::for_lanes(1);
        stage.set_directory(Arc::new(directory())).expect("the deck can be priced");
        House { stage, last: HashMap::new(), entries: HashMap::new() }
    }

    /// Takes the records one after the other; the time of the stage alone counts.
    fn take(&mut self, what: &str, bodies: impl Iterator<Item = Body>) {
        let mut took: Vec<Duration> = Vec::new();
        for body in bodies {
            let mut effects = Effects::default();
            let began = now();
            self.stage.apply(StageInput { partition: 0, offset: 1, body }, &mut effects);
            let changes = self.stage.take_changes();
            took.push(began.elapsed());
            for effect in effects.0 {
                if let Effect::Append { body, .. } = effect
                    && let Body::Rated(rated) = *body
                {
                    self.last.insert(rated.cdr.id, *rated);
                }
            }
            for change in changes {
                self.entries.insert(change.key, change.value.unwrap_or_default());
            }
        }
        let all: Duration = took.iter().sum();
        took.sort_unstable();
        let at = |permille: usize| took[(took.len() - 1) * permille / 1_000];
        println!(
            "{what}: {} in {all:?}, p50 {:?}, p99.9 {:?}, worst {:?}; in all {}",
            took.len(),
            at(500),
            at(999),
            at(1_000),
            self.sum()
        );
    }

    fn sum(&self) -> Decimal {
        let charges = self.last.values().flat_map(|rated| &rated.charges);
        charges.map(|charge| charge.cost + charge.free_cash).sum()
    }

    fn again(&self, n: u64) -> Body {
        Body::Rated(Box::new(self.last[&call(n).id].clone()))
    }
}

fn main() {
    // A step that meets every number once.
    let shuffled = || (0..N_CALLS).map(|n| n * 61_803 % N_CALLS);
    let record = |n| Body::Cdr(Box::new(call(n)));
    let mut ordered = House::new();
    ordered.take("in order", (0..N_CALLS).map(record));
    let sum = ordered.sum();
    let mut reversed = House::new();
    reversed.take("last first", (0..N_CALLS).rev().map(record));
    assert_eq!(reversed.sum(), sum);
    let mut any = House::new();
    any.take("in any order", shuffled().map(record));
    assert_eq!(any.sum(), sum);
    let again: Vec<Body> = shuffled().map(|n| any.again(n)).collect();
    any.take("all priced again", again.into_iter());
    assert_eq!(any.sum(), sum);
    let began = now();
    let mut loaded = House::new();
    loaded.stage.restore(any.entries.clone().into_iter().collect()).expect("what was written can be read");
    println!("loaded in {:?}", began.elapsed());
    loaded.last = any.last;
    let first = loaded.again(0);
    loaded.take("the first of them priced again after that", [first].into_iter());
    assert_eq!(loaded.sum(), sum);
}
