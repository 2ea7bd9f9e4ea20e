//! How many calls a second are priced, and committed to SQLite with their evidence and their postings: calls with two prices (customer and carrier)
//! and with three (a reseller between them). And how many postings alone, onto an empty ledger and onto a full one. Prints figures; decides
//! nothing.
//!
//! `cargo bench -p store --bench commit` runs it; with `-- 10` it commits ten times as many calls. As in the runner, the calls of the next transaction are priced
//! on one core while those of the last are committed on another. A call is a CDR with its rated call (evidence of each price: fee, pieces,
//! rounding) in the operator's queue and one posting for each price; each transaction is synced.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, BillingInterval, BillingProfile, Body, CallStatus,
    CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource, Contact, Currency, Direction,
    Directory, Effect, Effects, Fee, FeeId, FeeMatch, FraudPolicy, Initiator, MatchMode, Party, PeakOptions,
    PeakSplit, ProfileId, ProfileMapping, ProfileVersionId, Rate, Rounding, Stage, StageInput, SubscriberId,
    TariffVersion, TenantId, TrunkId,
};
use rating::RatingStage;
use rust_decimal::Decimal;
use store::{LaneCommit, Store, StoreEffect};

/// Lanes of a round, and calls of a lane in it, as the runner takes them.
const LANES: u32 = 16;
const CALLS_OF_A_LANE: u64 = 256;

const RESELLER: AccountId = AccountId(1);
const CARRIER: AccountId = AccountId(2);
/// Customers from here on.
const FIRST_CUSTOMER: i64 = 100;
const CUSTOMERS: i64 = 1_000;

fn tariff(id: i64, cents: i64) -> TariffVersion {
    let rate = |interval_seconds| Rate { price: Decimal::new(cents, 2), per_seconds: 60, interval_seconds };
    let fee = |(place, digit): (i64, u32)| Fee {
        id: FeeId(place),
        source: String::new(),
        destination: format!("49{digit}"),
        direction: Direction::Out,
        match_mode: MatchMode::Prefix,
        zone: "Germany".to_owned(),
        zone_detail: "fixed".to_owned(),
        onpeak_init: rate(60),
        onpeak_follow: rate(1),
        offpeak_init: rate(60),
        offpeak_follow: rate(1),
        connection_fee: Decimal::ZERO,
        minimum_charge: None,
        maximum_charge: None,
        failed_attempt_fee: Decimal::ZERO,
        onpeak: PeakOptions::default(),
        offpeak: PeakOptions::default(),
        valid_from: None,
        valid_to: None,
    };
    TariffVersion {
        id: ProfileVersionId(id),
        profile: BillingProfile {
            id: ProfileId(id),
            tenant: TenantId(1),
            handle: format!("profile_{id}"),
            name: String::new(),
            currency: Currency::EUR,
            timezone: chrono_tz::Europe::Vienna,
            prepaid: false,
        },
        valid_from: DateTime::UNIX_EPOCH,
        rounding: Rounding::default(),
        fee_match: FeeMatch::Prefix,
        peak_split: PeakSplit::IntervalStart,
        compat: false,
        interval: BillingInterval::default(),
        interval_charge: Decimal::ZERO,
        interval_free_seconds: 0,
        interval_free_cash: Decimal::ZERO,
        interval_price: None,
        fees: (1..).zip(0..10).map(fee).collect(),
        weekdays: Vec::new(),
        specials: Vec::new(),
    }
}

fn account(id: AccountId, kind: AccountKind, profile: i64) -> Account {
    Account {
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
            profile: ProfileId(profile),
        }],
    }
}

fn directory() -> Directory {
    let customers = (FIRST_CUSTOMER..FIRST_CUSTOMER + CUSTOMERS)
        .map(|id| account(AccountId(id), AccountKind::Customer, 1));
    Directory {
        revision: 1,
        accounts: customers
            .chain([account(RESELLER, AccountKind::Reseller, 2), account(CARRIER, AccountKind::Carrier, 3)])
            .collect(),
        tariffs: vec![tariff(1, 6), tariff(2, 4), tariff(3, 2)],
        ..Directory::default()
    }
}

/// Who is between the customer and us.
#[derive(Debug, Clone, Copy)]
enum Between {
    /// A price and a posting for the customer, and for the carrier.
    Nobody,
    /// Another one for the reseller.
    Reseller,
}

/// A call of a customer over a carrier.
fn cdr(n: u64, between: Between) -> Cdr {
    let call = CallUid::new(format!("sw1-1772406000000000-{n}"));
    let account = AccountId(FIRST_CUSTOMER + i64::try_from(n % CUSTOMERS.unsigned_abs()).unwrap_or_default());
    let start_at: DateTime<Utc> = DateTime::UNIX_EPOCH
        + TimeDelta::days(20_000)
        + TimeDelta::milliseconds(i64::try_from(n * 10).unwrap_or_default());
    let number = format!("49{:08}", n * 7_919 % 100_000_000);
    Cdr {
        id: CdrId::derive(&call, 0),
        revision: 0,
        call,
        leg: 0,
        sip_call_id: format!("{n:032x}@192.0.2.10").into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: account,
        source: CdrSource {
            party: Party::Subscriber {
                subscriber: SubscriberId(account.0),
                account,
                reseller: match between {
                    Between::Nobody => AccountId::NOBODY,
                    Between::Reseller => RESELLER,
                },
                uuid: "7f2c0a52-5a5e-4a3c-9d4e-3a1f4d1f2b77".into(),
            },
            user: "43660555123".into(),
            domain: "sip.example.org".into(),
            cli: "43660555123".parse().ok(),
            clir: false,
            user_out: "43660555123".into(),
            ip: "192.0.2.10".into(),
            user_agent: "Phone 1.0".into(),
        },
        destination: CdrDestination {
            party: Party::Trunk { trunk: TrunkId(1), account: CARRIER },
            dialed: format!("00{number}").into(),
            domain: "sip.example.org".into(),
            user_in: number.clone().into(),
            number: number.parse().ok(),
            user_out: number.into(),
            user_agent: "Carrier GW".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: start_at - TimeDelta::seconds(4),
        start_at,
        duration_us: 1_000_000 + n * 104_729 % 600_000_000,
        pdd_us: Some(1_200_000),
        codec: "PCMA/8000".into(),
        attempts: Vec::new(),
        config_revision: 1,
        partial: false,
        detail: CdrDetail::default(),
    }
}

/// What the stage makes of a call, as the database keeps it.
fn rated(stage: &mut RatingStage, cdr: Cdr) -> Vec<StoreEffect> {
    let mut effects = Effects::default();
    stage.apply(StageInput { partition: 0, offset: 0, body: Body::Cdr(Box::new(cdr)) }, &mut effects);
    let kept = effects.0.into_iter().filter_map(|effect| {
        let Effect::Append { body, .. } = effect else { return None };
        match *body {
            Body::Rated(rated) => Some(StoreEffect::Export {
                is_left_out: false,
                owner: "system".to_owned(),
                cdr: rated.cdr.id,
                revision: rated.cdr.revision,
                payload: model::wire::encode_rated(&rated),
            }),
            Body::Posting(posting) => Some(StoreEffect::Post(*posting)),
            Body::Tick(_)
            | Body::Call(_)
            | Body::Cdr(_)
            | Body::Edr(_)
            | Body::Control(_)
            | Body::Accrual(_)
            | Body::Sighting(_) => None,
        }
    });
    kept.collect()
}

/// Time on a core that the process has had, all threads.
fn on_core() -> Duration {
    let ticks = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<u64> =
        ticks.split_whitespace().skip(13).take(2).filter_map(|text| text.parse().ok()).collect();
    // Hundredths of a second (proc(5)).
    Duration::from_millis(fields.iter().sum::<u64>() * 10)
}

fn stage() -> RatingStage {
    let mut stage = RatingStage::new();
    stage.set_directory(Arc::new(directory())).expect("the tariffs are in order");
    stage
}

/// Prices the calls of a transaction, `first` and those after it.
fn round(stage: &mut RatingStage, round: u64, first: u64, between: Between) -> Vec<LaneCommit> {
    let calls = (first..).step_by(usize::try_from(CALLS_OF_A_LANE).unwrap_or(1));
    let lanes = (0..LANES).zip(calls).map(|(partition, first)| LaneCommit {
        partition,
        expected: round * CALLS_OF_A_LANE,
        position: (round + 1) * CALLS_OF_A_LANE,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: (first..first + CALLS_OF_A_LANE).flat_map(|n| rated(stage, cdr(n, between))).collect(),
    });
    lanes.collect()
}

fn count_postings(lanes: &[LaneCommit]) -> usize {
    let effects = lanes.iter().flat_map(|lane| &lane.effects);
    effects.filter(|effect| matches!(effect, StoreEffect::Post(_))).count()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let times = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_u64);
    let rounds = 10 * times;
    let dir = tempfile::tempdir().expect("a place for the database");
    let store = open(&dir.path().join("empty.db")).await;
    postings_alone(&store, &mut stage(), rounds, 0, 0).await;
    store.close().await;
    for (name, between) in [("two", Between::Nobody), ("three", Between::Reseller)] {
        let file = dir.path().join(format!("{name}.db"));
        let (n_calls, n_postings) = priced_and_committed(&file, rounds, name, between).await;
        if let Between::Reseller = between {
            postings_alone(&open(&file).await, &mut stage(), rounds, n_calls, n_postings).await;
        }
    }
}

/// Answers how many calls and postings are in the database.
async fn priced_and_committed(file: &Path, rounds: u64, name: &str, between: Between) -> (u64, usize) {
    let store = open(file).await;
    let calls_of_round = u64::from(LANES) * CALLS_OF_A_LANE;
    let (sender, priced) = std::sync::mpsc::sync_channel(1);
    let clock = std::time::Instant::now;
    let (begun, begun_core) = (clock(), on_core());
    let pricing = std::thread::spawn(move || {
        let (mut stage, mut pricing) = (stage(), Duration::ZERO);
        for n in 0..rounds {
            let from = clock();
            let lanes = round(&mut stage, n, n * calls_of_round, between);
            pricing += from.elapsed();
            sender.send(lanes).expect("the commits take all");
        }
        pricing
    });
    let (mut committing, mut n_postings) = (Duration::ZERO, 0);
    for lanes in priced {
        n_postings += count_postings(&lanes);
        let from = clock();
        store.commit("rating", lanes).await.expect("commit a round");
        committing += from.elapsed();
    }
    let (took, on_core) = (begun.elapsed(), on_core().saturating_sub(begun_core));
    let pricing = pricing.join().expect("the pricing ends well");
    let n_calls = rounds * calls_of_round;
    let per_second = |took: Duration| n_calls as f64 / took.as_secs_f64();
    println!(
        "{n_calls} calls of {name} prices, {n_postings} postings, {calls_of_round} calls a transaction, onto an empty database"
    );
    println!(
        "priced and committed: {:.0} calls/s on the wall ({:.2} s), {:.0} calls/s of core time ({:.2} s)",
        per_second(took),
        took.as_secs_f64(),
        per_second(on_core),
        on_core.as_secs_f64()
    );
    println!(
        "making the calls, pricing and encoding alone: {:.0} calls/s; the commits alone: {:.0} calls/s, {:.0} postings/s",
        per_second(pricing),
        per_second(committing),
        n_postings as f64 / committing.as_secs_f64()
    );
    // Closed, all of it is in the file and nothing in the log.
    store.close().await;
    let bytes = std::fs::metadata(file).map_or(0, |meta| meta.len());
    println!("{} bytes of database a call", bytes / n_calls.max(1));
    (n_calls, n_postings)
}

async fn open(file: &Path) -> Store {
    Store::open(&format!("sqlite://{}", file.display())).await.expect("open the database")
}

/// The postings of further calls, committed as the ledger's stage does: with nothing beside them. Only the commits are timed, each with
/// its sync.
async fn postings_alone(
    store: &Store,
    stage: &mut RatingStage,
    rounds: u64,
    first_call: u64,
    n_before: usize,
) {
    let calls_of_round = u64::from(LANES) * CALLS_OF_A_LANE;
    let (mut n_postings, mut took) = (0, Duration::ZERO);
    for n in 0..rounds {
        let mut lanes = round(stage, n, first_call + n * calls_of_round, Between::Reseller);
        for lane in &mut lanes {
            lane.effects.retain(|effect| matches!(effect, StoreEffect::Post(_)));
        }
        n_postings += count_postings(&lanes);
        let from = std::time::Instant::now();
        store.commit("ledger", lanes).await.expect("commit a round");
        took += from.elapsed();
    }
    println!(
        "postings alone, {rounds} transactions that take a ledger from {n_before} to {} postings: {:.0} postings/s",
        n_before + n_postings,
        n_postings as f64 / took.as_secs_f64()
    );
}
