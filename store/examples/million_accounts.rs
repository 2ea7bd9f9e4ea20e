//! How soon a restarted installation with a million accounts knows their balances. Prints figures; decides nothing.
//!
//! `cargo run --release -p store --example million_accounts -- FILE [fill]`: with `fill` it first writes a million accounts, each with a
//! contract, its balance and the state that rating keeps of it; then it reads, as a start does, what is provisioned, the balances and
//! the lanes of rating.

#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a program that prints figures may end with the reason why it cannot"
)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, Currency, LedgerAccount, Money, Posting, PostingId, PostingReason, Stage as _,
    StateChange, TenantId, partition_of,
};
use rating::{Charger, Funds, RatingSnapshot, RatingStage};
use store::{LaneCommit, NewAccount, NewContract, Store, StoreEffect, World};

const N_ACCOUNTS: usize = 1_000_000;
const N_LANES: u32 = 12;
const PER_COMMIT: usize = 20_000;

const ONE: &str = "tenants = [{ handle = \"t\", contact = { name = \"T\" } }]\n\
    [[accounts]]\nhandle = \"a\"\n[[contracts]]\naccount = \"a\"\n";

/// What rating keeps of a contract in its first month.
fn state() -> Vec<u8> {
    let stretch = r#"{"start":"2026-09-30T22:00:00Z","end":"2026-10-31T23:00:00Z"}"#;
    let interval = format!(
        r#"{{"stretch":{stretch},"granted":{{"seconds":0,"micros":0}},"left":{{"seconds":0,"micros":0}},"debit_micros":0,"n_topups":1,"n_timely":0,"ended_with_micros":0}}"#
    );
    let cadence = r#"{"anchor":"2026-10-01T00:00:00","zone":"Europe/Vienna","length":{"unit":"month","count":1},"months":"EndOfMonth"}"#;
    let contract = format!(
        r#"{{"created_at":"2026-10-01T08:00:00Z","own_micros":5000000,"intervals":[{interval}],"cadence":{cadence},"last_topup_end":"2026-10-31T23:00:00Z","is_under_lock":false,"is_under_profile":false}}"#
    );
    format!(r#"{{"contract":{contract},"n_moves":0,"package":""}}"#).into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "a program that measures time")]
fn now() -> Instant {
    Instant::now()
}

fn world() -> World {
    let mut world: World = toml::from_str(ONE).expect("it is TOML");
    let account = world.accounts.remove(0);
    let contract = world.contracts.remove(0);
    let handle = |n: usize| format!("customer-{n:07}");
    world.accounts = (0..N_ACCOUNTS).map(|n| NewAccount { handle: handle(n), ..account.clone() }).collect();
    world.contracts =
        (0..N_ACCOUNTS).map(|n| NewContract { account: handle(n), ..contract.clone() }).collect();
    world
}

fn top_up(account: &Account, at: DateTime<Utc>) -> Posting {
    Posting {
        id: PostingId::of_top_up(account.id, "first"),
        tenant: account.tenant,
        account: account.id,
        at,
        debit: LedgerAccount::Bank(account.tenant),
        credit: LedgerAccount::Cash(account.id),
        amount: Money::new(5.into(), Currency::EUR),
        reason: PostingReason::TopUp,
        cdr: None,
        reverses: None,
    }
}

async fn fill(store: &Store) {
    let at = "2026-10-01T08:00:00Z".parse().expect("a time");
    let began = now();
    store.import(&world(), at, "example").await.expect("the world can be imported");
    println!("imported in {:?}", began.elapsed());
    let directory = store.directory().await.expect("what was imported can be read");
    let accounts: Vec<&Account> =
        directory.accounts.iter().filter(|there| there.tenant != TenantId(0)).collect();
    let began = now();
    let state = state();
    let mut positions = [0u64; N_LANES as usize];
    for chunk in accounts.chunks(PER_COMMIT) {
        let mut lanes: Vec<LaneCommit> = (0..N_LANES)
            .map(|partition| LaneCommit {
                partition,
                expected: positions[partition as usize],
                position: positions[partition as usize] + 1,
                watermarks: Vec::new(),
                changes: Vec::new(),
                effects: Vec::new(),
            })
            .collect();
        positions.iter_mut().for_each(|position| *position += 1);
        for account in chunk {
            let lane = &mut lanes[partition_of(account.id, N_LANES) as usize];
            let key = format!("contract:{}", account.id);
            lane.changes.push(StateChange { key, value: Some(state.clone()) });
            lane.effects.push(StoreEffect::Post(top_up(account, at)));
        }
        store.commit("rating", lanes).await.expect("nobody else is at work");
    }
    println!("posted in {:?}", began.elapsed());
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().expect("name a file");
    let store = Store::open(&format!("sqlite://{file}")).await.expect("the database opens");
    if arguments.next().as_deref() == Some("fill") {
        fill(&store).await;
    }
    let mut all = Duration::ZERO;
    let began = now();
    let directory = store.directory().await.expect("the directory can be read");
    println!(
        "{} accounts, {} contracts: {:?}",
        directory.accounts.len(),
        directory.contracts.len(),
        began.elapsed()
    );
    all += began.elapsed();
    let began = now();
    let (balances, _) = store.held_balances("ledger").await.expect("balances can be read");
    println!("{} balances: {:?}", balances.len(), began.elapsed());
    all += began.elapsed();
    let began = now();
    let lanes = store.load_lanes("rating").await.expect("lanes can be read");
    let n_entries: usize = lanes.iter().map(|lane| lane.state.len()).sum();
    println!("{} lanes with {n_entries} entries: {:?}", lanes.len(), began.elapsed());
    all += began.elapsed();
    let began = now();
    for lane in lanes {
        let mut stage = RatingStage::for_lanes(N_LANES);
        stage.restore(lane.state).expect("the state can be read");
    }
    println!("state of rating read: {:?}", began.elapsed());
    all += began.elapsed();
    let began = now();
    let snapshot = RatingSnapshot::build(Arc::new(directory), None).expect("there is no tariff to compile");
    let funds =
        balances.into_iter().map(|(id, held)| (id, Funds { micros: held.micros, seconds: held.seconds }));
    let charger = Charger::new(Arc::new(snapshot), 60, funds);
    println!("{:?} ready to hold calls: {:?}", charger.funds(AccountId(1)).0, began.elapsed());
    all += began.elapsed();
    println!("one after the other: {all:?}");
}
