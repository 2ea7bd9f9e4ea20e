//! How many calls a second are priced, and committed to SQLite with their evidence and their postings: calls with two prices (customer and carrier)
//! and with three (a reseller between them). And how many postings alone, onto an empty ledger and onto a full one. Prints figures; decides
//! nothing.
//!
//! `cargo bench -p store --bench commit` runs it; with `-- 10` it commits ten times as many calls, with `-- 10 1000000` of a million accounts instead of a thousand, which call in
//! no order and each have a balance before. As in the runner, the calls of the next transaction are priced
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
    Directory, Effect, Effects, Fee, FeeId, FeeMatch, FraudPolicy, Initiator, LedgerAccount, MatchMode,
    Money, Party, PeakOptions, PeakSplit, Posting, PostingId, PostingReason, ProfileId, ProfileMapping,
    ProfileVersionId, Rate, Rounding, Stage, StageInput, SubscriberId, TariffVersion, TenantId, TrunkId,
};
use rating::RatingStage;
use rust_decimal::Decimal;
use store::{LaneCommit, Store, StoreEffect};

/// Lanes of a round, and calls of a lane in it, as the runner takes them.
const LANES: u32 = 16;
const CALLS_OF_A_LANE: u64 = 256;
/// And what of the ledger's lane is committed at once where it has piled up: 4,095 postings, as `runner::Pace::LEDGER` says.
const CALLS_OF_A_LEDGER_LANE: u64 = 1_365;

const RESELLER: AccountId = AccountId(1);
const CARRIER: AccountId = AccountId(2);
/// Customers from here on, in the order of their ids as they were provisioned.
const FIRST_CUSTOMER: i64 = 100;
/// If no other number is asked for.
const CUSTOMERS: u64 = 1_000;
/// Customers that get their first posting in one transaction.
const OPENED_AT_ONCE: usize = 20_000;
/// From one call to the next: no divisor of the number of customers, so that all of them have their turn before one has another.
const STRIDE: u64 = 7_368_787;

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

fn customer(n: u64) -> AccountId {
    AccountId(FIRST_CUSTOMER + i64::try_from(n).unwrap_or_default())
}

fn directory(n_customers: u64) -> Directory {
    let customers = (0..n_customers).map(|n| account(customer(n), AccountKind::Customer, 1));
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
fn cdr(n: u64, n_customers: u64, between: Between) -> Cdr {
    let call = CallUid::new(format!("sw1-1772406000000000-{n}"));
    let account = customer(n.wrapping_mul(STRIDE) % n_customers);
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

/// A stage, and how many customers it knows.
struct House {
    stage: RatingStage,
    n_customers: u64,
}

impl House {
    fn new(directory: &Arc<Directory>, n_customers: u64) -> House {
        let mut stage = RatingStage::new();
        stage.set_directory(Arc::clone(directory)).expect("the tariffs are in order");
        House { stage, n_customers }
    }
}

/// Prices the calls of a transaction, `first` and those after it.
fn round(house: &mut House, round: u64, (first, of_lane): (u64, u64), between: Between) -> Vec<LaneCommit> {
    let House { stage, n_customers } = house;
    let calls = (first..).step_by(usize::try_from(of_lane).unwrap_or(1));
    let lanes = (0..LANES).zip(calls).map(|(partition, first)| LaneCommit {
        partition,
        expected: round * of_lane,
        position: (round + 1) * of_lane,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: (first..first + of_lane).flat_map(|n| rated(stage, cdr(n, *n_customers, between))).collect(),
    });
    lanes.collect()
}

fn count_postings(lanes: &[LaneCommit]) -> usize {
    let effects = lanes.iter().flat_map(|lane| &lane.effects);
    effects.filter(|effect| matches!(effect, StoreEffect::Post(_))).count()
}

/// What each customer of a large house had before: a posting, a balance and a place in the index of accounts.
async fn open_balances(store: &Store, n_customers: u64) -> usize {
    let opened = |n: u64| Posting {
        id: PostingId::of_balance(customer(n), 0),
        tenant: TenantId(1),
        account: customer(n),
        at: DateTime::UNIX_EPOCH + TimeDelta::days(19_990),
        debit: LedgerAccount::Bank(TenantId(1)),
        credit: LedgerAccount::Receivable(customer(n)),
        amount: Money::new(Decimal::TEN, Currency::EUR),
        reason: PostingReason::Payment,
        cdr: None,
        reverses: None,
    };
    let all: Vec<u64> = (0..n_customers).collect();
    for some in all.chunks(OPENED_AT_ONCE) {
        store.post(some.iter().map(|n| opened(*n)).collect()).await.expect("open the balances");
    }
    all.len()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let rounds = 10 * numbers.next().unwrap_or(1);
    let n_customers = numbers.next().unwrap_or(CUSTOMERS).max(1);
    println!("{n_customers} customers");
    let directory = Arc::new(directory(n_customers));
    let dir = tempfile::tempdir().expect("a place for the database");
    for of_lane in [CALLS_OF_A_LANE, CALLS_OF_A_LEDGER_LANE] {
        let store = open(&dir.path().join(format!("alone-{of_lane}.db"))).await;
        // Of a thousand it makes no difference, and the first figure is that of an empty ledger.
        let n_opened = if n_customers > CUSTOMERS { open_balances(&store, n_customers).await } else { 0 };
        postings_alone(&store, &mut House::new(&directory, n_customers), (rounds, of_lane), 0, n_opened)
            .await;
        store.close().await;
    }
    for (name, between) in [("two", Between::Nobody), ("three", Between::Reseller)] {
        let file = dir.path().join(format!("{name}.db"));
        let (n_calls, n_postings) =
            priced_and_committed(&file, rounds, House::new(&directory, n_customers), name, between).await;
        if let Between::Reseller = between {
            let mut house = House::new(&directory, n_customers);
            let store = open(&file).await;
            postings_alone(&store, &mut house, (rounds, CALLS_OF_A_LEDGER_LANE), n_calls, n_postings).await;
        }
    }
}

/// Answers how many calls and postings are in the database.
async fn priced_and_committed(
    file: &Path,
    rounds: u64,
    mut house: House,
    name: &str,
    between: Between,
) -> (u64, usize) {
    let store = open(file).await;
    let is_large = house.n_customers > CUSTOMERS;
    let n_opened = if is_large { open_balances(&store, house.n_customers).await } else { 0 };
    let calls_of_round = u64::from(LANES) * CALLS_OF_A_LANE;
    let (sender, priced) = std::sync::mpsc::sync_channel(1);
    let clock = std::time::Instant::now;
    let (begun, begun_core) = (clock(), on_core());
    let pricing = std::thread::spawn(move || {
        let mut pricing = Duration::ZERO;
        for n in 0..rounds {
            let from = clock();
            let lanes = round(&mut house, n, (n * calls_of_round, CALLS_OF_A_LANE), between);
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
        "{n_calls} calls of {name} prices, {n_postings} postings, {calls_of_round} calls a transaction, onto a database without calls"
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
    (n_calls, n_opened + n_postings)
}

async fn open(file: &Path) -> Store {
    Store::open(&format!("sqlite://{}", file.display())).await.expect("open the database")
}

/// The postings of further calls, committed as the ledger's stage does: with nothing beside them. Only the commits are timed, each with
/// its sync.
async fn postings_alone(
    store: &Store,
    house: &mut House,
    (rounds, of_lane): (u64, u64),
    first_call: u64,
    n_before: usize,
) {
    let calls_of_round = u64::from(LANES) * of_lane;
    // As many calls, whatever a transaction holds.
    let rounds = (rounds * CALLS_OF_A_LANE / of_lane).max(1);
    let (mut n_postings, mut took) = (0, Duration::ZERO);
    for n in 0..rounds {
        let first = first_call + n * calls_of_round;
        let mut lanes = round(house, n, (first, of_lane), Between::Reseller);
        for lane in &mut lanes {
            lane.effects.retain(|effect| matches!(effect, StoreEffect::Post(_)));
        }
        n_postings += count_postings(&lanes);
        let from = std::time::Instant::now();
        store.commit("ledger", lanes).await.expect("commit a round");
        took += from.elapsed();
    }
    println!(
        "postings alone, {rounds} transactions of {} that take a ledger from {n_before} to {} postings: {:.0} postings/s",
        calls_of_round * 3,
        n_before + n_postings,
        n_postings as f64 / took.as_secs_f64()
    );
}
