//! Later words on calls that were rated already, on a real log and a real database.

use chrono::TimeDelta;
use exports::{ExportConfig, ExportStage, Streams};
use model::{
    CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId, CdrSource, Initiator, Party,
    SubscriberId, partition_of,
};
use rating::RatingStage;

use super::*;
use crate::simulation::world;

pub(super) const ANNA: AccountId = AccountId(10);

/// A call of a customer without a reseller's or carrier's price, so long.
fn cdr(revision: u32, seconds: u64) -> Body {
    let call = CallUid::new("sw1-1-7");
    let start_at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    Body::Cdr(Box::new(Cdr {
        id: CdrId::derive(&call, 0),
        revision,
        call,
        leg: 0,
        sip_call_id: "abc".into(),
        node: "sw1".into(),
        tenant: TenantId(1),
        payer: ANNA,
        source: CdrSource {
            party: Party::Subscriber {
                subscriber: SubscriberId(1),
                account: ANNA,
                reseller: AccountId::NOBODY,
                uuid: "".into(),
            },
            user: "431234567".into(),
            domain: "".into(),
            cli: "431234567".parse().ok(),
            clir: false,
            user_out: "431234567".into(),
            ip: "192.0.2.1".into(),
            user_agent: "".into(),
        },
        destination: CdrDestination {
            party: Party::Unknown,
            dialed: "4930555123".into(),
            domain: "".into(),
            user_in: "4930555123".into(),
            number: "4930555123".parse().ok(),
            user_out: "4930555123".into(),
            user_agent: "".into(),
        },
        call_type: CallType::Call,
        status: CallStatus::Ok,
        code: 200,
        cause: Cause::Normal,
        ended_by: Initiator::Caller,
        init_at: start_at,
        start_at,
        duration_us: seconds * 1_000_000,
        pdd_us: None,
        codec: "".into(),
        attempts: Vec::new(),
        config_revision: 0,
        partial: false,
        detail: CdrDetail::default(),
    }))
}

pub(super) fn rating() -> Kind<RatingStage> {
    let directory = Arc::new(world::directory());
    Kind {
        name: "rating",
        topic: Topic::Cdrs,
        begin: Begin::Oldest,
        make: Box::new(RatingStage::new),
        refresh: Box::new(move |stage, _| stage.set_directory(directory.clone()).unwrap()),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

pub(super) fn exports() -> Kind<ExportStage> {
    let streams = Streams::load(&ExportConfig::default()).unwrap();
    let main = Arc::new(streams.named("").unwrap().clone());
    Kind {
        name: "exports",
        topic: Topic::Rated,
        begin: Begin::Oldest,
        make: Box::new(move || ExportStage::new(main.clone())),
        refresh: Box::new(|_, _| {}),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

/// What Anna owes, by the ledger.
pub(super) async fn owed(house: &House) -> String {
    let balances = house.rooms.store.balances().await.unwrap();
    let of_anna = balances.iter().find(|balance| balance.account == LedgerAccount::Receivable(ANNA));
    of_anna.map_or_else(String::new, |balance| balance.balance.amount.normalize().to_string())
}

#[tokio::test]
async fn corrections_right_behind_the_record_wait_until_it_is_kept_and_come_to_the_last_price() {
    let house = House::new().await;
    let lane = partition_of(ANNA, PARTITIONS);
    // 60/60 at 0.06: two minutes, then in truth three, then one.
    house
        .append(Topic::Cdrs, lane, [(0, 120), (1, 180), (2, 60)].map(|(n, s)| bytes(cdr(n, s))).into())
        .await;

    // Without the stage that keeps rated calls, the first is rated, and the correction waits: it is not put aside.
    let (stop, (sender, mut progress)) = (CancellationToken::new(), watch::channel(Progress::default()));
    let running = tokio::spawn(run(rating(), house.rooms.clone(), stop.clone(), sender));
    progress.wait_for(|progress| progress.n_records == 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(progress.borrow().n_records, 1);
    assert_eq!(house.suspended().await, []);

    let (stop_keeper, (keeper, _)) = (CancellationToken::new(), watch::channel(Progress::default()));
    let keeping = tokio::spawn(run(exports(), house.rooms.clone(), stop_keeper.clone(), keeper));
    progress.wait_for(|progress| progress.n_records == 3).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    stop_keeper.cancel();
    keeping.await.unwrap();
    house.run_to_the_end(exports()).await;
    house.run_to_the_end(ledger()).await;
    assert_eq!(house.suspended().await, []);
    assert_eq!(owed(&house).await, "0.06");
    let Body::Cdr(cdr) = cdr(0, 0) else { unreachable!() };
    assert_eq!(house.rooms.store.rated_revisions(cdr.id).await.unwrap().len(), 3);
    assert_eq!(house.rooms.store.balance_check().await.unwrap(), []);
}

#[tokio::test]
async fn correction_of_a_call_that_nobody_rated_is_suspended_once_that_is_certain() {
    let house = House::new().await;
    let lane = partition_of(ANNA, PARTITIONS);
    house.append(Topic::Cdrs, lane, vec![bytes(cdr(1, 60))]).await;
    house.run_to_the_end(rating()).await;
    assert_eq!(house.suspended().await, [("RAT004".to_owned(), lane, 0)]);
}

#[tokio::test]
async fn correction_after_a_restart_finds_what_was_rated_before_it() {
    let house = House::new().await;
    let lane = partition_of(ANNA, PARTITIONS);
    house.append(Topic::Cdrs, lane, vec![bytes(cdr(0, 120))]).await;
    house.run_to_the_end(rating()).await;
    house.run_to_the_end(exports()).await;
    house.append(Topic::Cdrs, lane, vec![bytes(cdr(1, 600))]).await;
    house.run_to_the_end(rating()).await;
    house.run_to_the_end(ledger()).await;
    assert_eq!(owed(&house).await, "0.6");
}
