//! How fast calls are let through by their balance, and how soon a million balances are known. Prints figures; decides nothing.
//!
//! `cargo bench -p rating --bench charger`. The rate is paced: 2,000 calls begin each second, each is extended once and ends.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, CallUid, CdrId, Contact, ContractTerms, Directory,
    FraudPolicy, ProfileId, ProfileMapping,
};
use rating::workbench::{TariffIds, read_tariff};
use rating::{Charger, Funds, RatingSnapshot, Verdict};

const N_ACCOUNTS: i64 = 1_000_000;
const PER_SECOND: u32 = 2_000;
const SECONDS: u32 = 10;

const PROFILE: &str = "handle = \"deck\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\nprepaid = true\n";

const HEADER: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,\
    onpeak_follow_rate,onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,\
    offpeak_follow_interval\n";

#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// Ten thousand prefixes.
fn tariff() -> model::TariffVersion {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let rows: String = (0..10_000)
        .map(|n| {
            format!(
                ",{},out,Zone,{n},0.0{},60,0.0{},1,0.0{},60,0.0{},1\n",
                30_000 + n,
                1 + n % 9,
                1 + n % 7,
                1 + n % 5,
                1 + n % 3
            )
        })
        .collect();
    std::fs::write(dir.path().join("profile.toml"), PROFILE).expect("files can be written");
    std::fs::write(dir.path().join("fees.csv"), format!("{HEADER}{rows}")).expect("files can be written");
    read_tariff(dir.path(), TariffIds::default()).expect("the deck is in order")
}

fn directory() -> Directory {
    let version = tariff();
    let account = |id| Account {
        id: AccountId(id),
        tenant: version.profile.tenant,
        kind: AccountKind::Customer,
        handle: format!("a{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: version.profile.currency,
        timezone: chrono_tz::Europe::Vienna,
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
    let terms = |_| ContractTerms {
        created_at: DateTime::UNIX_EPOCH,
        package: String::new(),
        credit_limit: None,
        low_balance: None,
    };
    Directory {
        revision: 1,
        accounts: (1..=N_ACCOUNTS).map(account).collect(),
        contracts: (1..=N_ACCOUNTS).map(|id| (AccountId(id), terms(id))).collect(),
        tariffs: vec![version.clone()],
        ..Directory::default()
    }
}

fn main() {
    let directory = Arc::new(directory());
    let began = now();
    let snapshot = Arc::new(RatingSnapshot::build(directory, None).expect("the deck can be priced"));
    let funds = (1..=N_ACCOUNTS).map(|id| (AccountId(id), Funds { micros: 5_000_000, seconds: 0 }));
    let mut charger = Charger::new(snapshot, 60, funds);
    println!("{N_ACCOUNTS} accounts and their tariff ready in memory in {:?}", began.elapsed());

    let start: DateTime<Utc> = "2026-10-05T10:00:00Z".parse().expect("a time");
    let mut took: Vec<Duration> = Vec::new();
    let mut n_granted = 0;
    let paced = now();
    for n in 0..PER_SECOND * SECONDS {
        let due = Duration::from_secs(1) * n / PER_SECOND;
        while paced.elapsed() < due {
            std::hint::spin_loop();
        }
        let account = AccountId(i64::from(n).wrapping_mul(7_919) % N_ACCOUNTS + 1);
        let call = CdrId::derive(&CallUid::new(format!("sw1-1-{n}")), 0);
        let destination = format!("{}123456", 30_000 + n % 10_000);
        let before = now();
        let verdict = charger.begin(call, account, ("43660555123".to_owned(), destination), start);
        took.push(before.elapsed());
        n_granted += u32::from(matches!(verdict, Verdict::Seconds(1..)));
        charger.answered(call, start + TimeDelta::seconds(3));
        let before = now();
        charger.extend(call);
        took.push(before.elapsed());
        charger.end(call, 70_000_000, start);
    }
    let whole = paced.elapsed();
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!(
        "{} authorisations ({n_granted} calls granted) in {whole:?}: p50 {:?}, p99 {:?}, worst {:?}",
        took.len(),
        at(50),
        at(99),
        took[took.len() - 1]
    );
}
