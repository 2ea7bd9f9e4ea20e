//! How soon a restarted installation with a million accounts can answer authorisations and price calls. Prints figures; decides nothing.
//!
//! `cargo bench -p runner --bench restart` makes a SQLite database with a million prepaid accounts, each with a subscriber, a number, a profile,
//! a contract, a top-up in the ledger and what the rating stage keeps of it, as that stage itself made it. Then a process of its own starts on
//! it as the house does: reads what is provisioned, gives it to the switch, loads the lanes of rating and the balances of the ledger, and
//! asks for a first call. `cargo bench -p runner --bench restart -- 100000` takes so many accounts. `BENCH_DIR` is where the database lies; a
//! fresh directory there is removed afterwards, but `--in DIR` keeps one to start on again. A database that has just been written may be in the system's memory.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::{Bus, EmbeddedBus, EmbeddedConfig};
use chrono::{DateTime, Utc};
use model::{
    Body, CdrId, Directory, Effect, Effects, LedgerAccount, Moment, Money, Posting, PostingId, PostingReason,
    Stage as _, StageInput, Topic, partition_of,
};
use rating::{Charger, Funds, RatingSnapshot, RatingStage, Verdict};
use runner::clock::Clock;
use runner::directory::DirectoryFeed;
use runner::{Begin, Kind, Pace, Progress, Rooms, Share};
use store::{LaneCommit, NewAccount, NewSubscriber, NewTariff, Store, StoreEffect, World};
use switch::{Input, Switch, SwitchConfig};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// As in the binary.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Accounts unless told otherwise.
const ACCOUNTS: u64 = 1_000_000;
/// Changed entries of one commit while the database is made.
const PER_COMMIT: usize = 50_000;
/// The word by which the bench calls itself.
const RESTART: &str = "--restart";
/// Before the directory of a database that is to be kept, and is made only if it is not there.
const KEEP: &str = "--in";
/// The database in its directory.
const FILE: &str = "tollbook.db";
/// Granted at a time.
const QUANTUM_SECONDS: u32 = 60;
/// Accounts beside the first that are asked for a call.
const ASKED: usize = 1_000;
/// Of the first number.
const FIRST_NUMBER: u64 = 43_720_000_000;

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    if let Some(place) = words.iter().position(|word| word == RESTART) {
        return runtime.block_on(restart(Path::new(&words[place + 1])));
    }
    let n_accounts = words.iter().find_map(|word| word.parse().ok()).unwrap_or(ACCOUNTS);
    let place = std::env::var_os("BENCH_DIR").unwrap_or_else(|| std::env::temp_dir().into_os_string());
    let (fresh, kept) = match words.iter().position(|word| word == KEEP) {
        Some(at) => (None, words.get(at + 1).ok_or("--in names no directory")?.into()),
        None => (Some(tempfile::tempdir_in(place)?), std::path::PathBuf::new()),
    };
    let dir = fresh.as_ref().map_or(kept.as_path(), tempfile::TempDir::path);
    if !dir.join(FILE).exists() {
        let began = Instant::now();
        std::fs::create_dir_all(dir)?;
        runtime.block_on(fill(dir, n_accounts))?;
        println!("a database of {n_accounts} accounts, made in {:.0} s", began.elapsed().as_secs_f64());
    }
    let started = std::process::Command::new(std::env::current_exe()?).arg(RESTART).arg(dir).status()?;
    started.success().then_some(()).ok_or_else(|| "the restart failed".into())
}

/// One tenant, one prepaid profile, `n_accounts` customers.
fn world(n_accounts: u64) -> Outcome<World> {
    let mut world: World = serde_json::from_value(serde_json::json!({
        "tenants": [{ "handle": "t", "contact": { "name": "Tenant" } }],
        "accounts": [{ "handle": "a", "contact": { "name": "A Customer", "street": "Long Street 1", "postcode": "1010",
            "city": "Vienna", "country": "AT", "email": "a.customer@example.org" }, "profile": "prepaid",
            "timezone": "Europe/Vienna" }],
        "subscribers": [{ "account": "a", "username": "u", "domain": "sip.example.org",
            "ha1_md5": "0123456789abcdef0123456789abcdef",
            "ha1_sha256": "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" }]
    }))?;
    let (account, subscriber) = (world.accounts.remove(0), world.subscribers.remove(0));
    let handle = |n: u64| format!("customer-{n:07}");
    world.accounts = (0..n_accounts).map(|n| NewAccount { handle: handle(n), ..account.clone() }).collect();
    world.subscribers = (0..n_accounts)
        .map(|n| {
            let number = model::E164::from_u64(FIRST_NUMBER + n);
            NewSubscriber {
                account: handle(n),
                username: format!("user{n:07}"),
                numbers: number.into_iter().collect(),
                cli: number,
                ..subscriber.clone()
            }
        })
        .collect();
    world.tariffs = vec![NewTariff { tenant: String::new(), version: tariff() }];
    Ok(world)
}

/// A cent a second, everywhere.
fn tariff() -> model::TariffVersion {
    let rate = model::Rate { price: 1.into(), per_seconds: 100, interval_seconds: 1 };
    let fee = model::Fee {
        id: model::FeeId(1),
        source: String::new(),
        destination: String::new(),
        direction: model::Direction::Out,
        match_mode: model::MatchMode::Prefix,
        zone: "World".to_owned(),
        zone_detail: String::new(),
        onpeak_init: rate,
        onpeak_follow: rate,
        offpeak_init: rate,
        offpeak_follow: rate,
        connection_fee: 0.into(),
        minimum_charge: None,
        maximum_charge: None,
        failed_attempt_fee: 0.into(),
        onpeak: model::PeakOptions::default(),
        offpeak: model::PeakOptions::default(),
        valid_from: None,
        valid_to: None,
    };
    model::TariffVersion {
        id: model::ProfileVersionId(1),
        profile: model::BillingProfile {
            id: model::ProfileId(1),
            tenant: model::TenantId(1),
            handle: "prepaid".to_owned(),
            name: "Prepaid".to_owned(),
            currency: model::Currency::EUR,
            timezone: chrono_tz::Europe::Vienna,
            prepaid: true,
        },
        valid_from: DateTime::UNIX_EPOCH,
        rounding: model::Rounding::default(),
        fee_match: model::FeeMatch::Prefix,
        peak_split: model::PeakSplit::IntervalStart,
        compat: false,
        interval: model::BillingInterval::default(),
        interval_charge: 0.into(),
        interval_free_seconds: 0,
        interval_free_cash: 0.into(),
        interval_price: None,
        fees: vec![fee].into(),
        weekdays: Vec::new(),
        specials: Vec::new(),
    }
}

fn url(dir: &Path) -> String {
    format!("sqlite://{}", dir.join(FILE).display())
}

async fn fill(dir: &Path, n_accounts: u64) -> Outcome<()> {
    let store = Store::open(&url(dir)).await?;
    let bus = EmbeddedBus::open(&dir.join("bus"), EmbeddedConfig::default())?;
    let now = Utc::now();
    store.import(&world(n_accounts)?, now, "bench").await?;
    let directory = Arc::new(store.directory().await?);
    let snapshot = Arc::new(RatingSnapshot::build(directory.clone(), None)?);
    for partition in 0..bus.partitions() {
        let mut stage = RatingStage::for_lanes(bus.partitions());
        stage.set_snapshot(snapshot.clone());
        let mut lane = FilledLane { store: &store, partition, position: 0, waiting: Vec::new() };
        for account in &directory.accounts {
            if partition_of(account.id, bus.partitions()) != partition {
                continue;
            }
            let mut effects = Effects::default();
            let body = Body::Posting(Box::new(top_up(account, now)));
            stage.apply(StageInput { partition, offset: 0, body }, &mut effects);
            lane.take(effects);
            if lane.waiting.len() >= PER_COMMIT {
                lane.commit(&mut stage).await?;
            }
        }
        lane.commit(&mut stage).await?;
    }
    Ok(())
}

/// One lane on its way into the database.
struct FilledLane<'s> {
    store: &'s Store,
    partition: u32,
    position: u64,
    waiting: Vec<StoreEffect>,
}

impl FilledLane<'_> {
    fn take(&mut self, effects: Effects) {
        for effect in effects.0 {
            if let Effect::Append { topic: Topic::Postings, body, .. } = effect
                && let Body::Posting(posting) = *body
            {
                self.waiting.push(StoreEffect::Post(*posting));
            }
        }
    }

    async fn commit(&mut self, stage: &mut RatingStage) -> Outcome<()> {
        let lane = LaneCommit {
            partition: self.partition,
            expected: self.position,
            position: self.position + 1,
            watermarks: Vec::new(),
            changes: stage.take_changes(),
            effects: std::mem::take(&mut self.waiting),
        };
        self.position += 1;
        Ok(self.store.commit("rating", vec![lane]).await?)
    }
}

fn top_up(account: &model::Account, at: DateTime<Utc>) -> Posting {
    Posting {
        id: PostingId::of_top_up(account.id, "first"),
        tenant: account.tenant,
        account: account.id,
        at,
        debit: LedgerAccount::Bank(account.tenant),
        credit: LedgerAccount::Cash(account.id),
        amount: Money::new(5.into(), account.currency),
        reason: PostingReason::TopUp,
        cdr: None,
        reverses: None,
    }
}

/// When each part of a start was done, from the start of the process on.
#[derive(Clone, Copy)]
struct Watch(Instant);

impl Watch {
    fn tell(self, what: &str) {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let peak_kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
            .unwrap_or(0);
        println!("{:>8.2} s {:>8} MiB  {what}", self.0.elapsed().as_secs_f64(), peak_kib / 1_024);
    }
}

/// Starts as the house does (`tollbook/src/system.rs`), and ends with the first authorisation.
async fn restart(dir: &Path) -> Outcome<()> {
    let watch = Watch(Instant::now());
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(&dir.join("bus"), EmbeddedConfig::default())?);
    let store = Store::open(&url(dir)).await?;
    watch.tell("log and database are open");
    let clock = Clock::start();
    let feed = DirectoryFeed::load(store.clone(), clock.clone()).await?;
    let directory = feed.current();
    watch.tell("what is provisioned is read");
    let rooms = Rooms { bus: bus.clone(), store: store.clone(), clock, directory: feed };
    let snapshot = Arc::new(RatingSnapshot::build(directory.clone(), None)?);
    watch.tell("accounts and tariffs are in the form in which they are asked for");
    let stop = CancellationToken::new();
    let (rating, mut progress) = start_rating(&rooms, snapshot.clone(), &stop);
    let switching = tokio::task::spawn_blocking({
        let directory = directory.clone();
        move || {
            let switch = start_switch(directory);
            watch.tell("the switch knows its subscribers");
            switch
        }
    });
    let (balances, _) = store.held_balances("ledger").await?;
    watch.tell("balances are read");
    let funds =
        balances.into_iter().map(|(id, held)| (id, Funds { micros: held.micros, seconds: held.seconds }));
    let mut charger = Charger::new(snapshot, QUANTUM_SECONDS, funds);
    let now = Utc::now();
    let mut ask = |n: usize| -> Outcome<()> {
        let account = directory.accounts.get(n).ok_or("there is no account")?.id;
        let parties = ("43720000000".to_owned(), "4930555123".to_owned());
        let call = CdrId::derive(&model::CallUid::new(format!("call {n}")), 0);
        // Of 5.00 a cent a second is paid for the whole of what is granted at a time.
        let verdict = charger.begin(call, account, parties, now);
        if verdict == Verdict::Seconds(QUANTUM_SECONDS) {
            return Ok(());
        }
        Err(format!("the first call of account {account} is not let through: {verdict:?}").into())
    };
    ask(directory.accounts.len() - 1)?;
    watch.tell("the first call is let through");
    let step = directory.accounts.len().div_ceil(ASKED);
    (0..directory.accounts.len() - 1).step_by(step).try_for_each(&mut ask)?;
    watch.tell("so are those of a thousand other accounts");
    while progress.borrow_and_update().positions.is_empty() {
        progress.changed().await?;
    }
    watch.tell("the lanes of rating are loaded");
    drop(switching.await?);
    watch.tell("all of it");
    stop.cancel();
    rating.await?;
    Ok(())
}

fn start_rating(
    rooms: &Rooms,
    snapshot: Arc<RatingSnapshot>,
    stop: &CancellationToken,
) -> (tokio::task::JoinHandle<()>, watch::Receiver<Progress>) {
    let n_lanes = rooms.bus.partitions();
    let kind = Kind {
        name: "rating",
        topic: Topic::Cdrs,
        begin: Begin::Oldest,
        make: Box::new(move || RatingStage::for_lanes(n_lanes)),
        refresh: Box::new(move |stage: &mut RatingStage, _| stage.set_snapshot(snapshot.clone())),
        share: Share::all(n_lanes),
        pace: Pace::STEADY,
    };
    let (sender, progress) = watch::channel(Progress::default());
    (tokio::spawn(runner::run(kind, rooms.clone(), stop.clone(), sender)), progress)
}

fn start_switch(directory: Arc<Directory>) -> Switch {
    let now = Moment { wall: Utc::now(), mono: Duration::ZERO };
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], 5060));
    let mut switch = Switch::new(SwitchConfig::default(), address, now, 1);
    switch.handle(now, Input::Directory(directory));
    switch
}
