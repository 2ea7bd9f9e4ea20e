//! What the runner leaves to the binary: whether a log is the right one, and suspended records sent in again.

use std::sync::Arc;

use bus::{EmbeddedBus, EmbeddedConfig, Entry};
use chrono::DateTime;
use model::{
    AccountId, Body, Currency, Effects, LedgerAccount, Money, Posting, PostingId, PostingReason, Record,
    Retry, Stage, StageInput, StateChange, Suspended, TenantId, Topic,
};
use store::Store;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::counts::Counts;
use crate::directory::DirectoryFeed;
use crate::ledger_stage::LedgerStage;
use crate::resubmit;

const PARTITIONS: u32 = 2;

/// A log and a database in a directory of their own.
struct House {
    dir: tempfile::TempDir,
    rooms: Rooms,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config =
            EmbeddedConfig { partitions: PARTITIONS, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
        let store = open(&dir).await;
        let clock = Clock::start();
        let directory = DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
        Self { rooms: Rooms { bus, store, clock, directory }, dir }
    }

    /// Appends to one lane.
    async fn append(&self, topic: Topic, partition: u32, payloads: Vec<Vec<u8>>) {
        let entries = payloads.into_iter().map(|payload| Entry { topic, partition, payload }).collect();
        self.rooms.bus.append(entries).await.unwrap();
    }

    /// Runs a stage until it has read all of its topic.
    async fn run_to_the_end<S: Stage + 'static>(&self, kind: Kind<S>) {
        let mut ends = Vec::new();
        for partition in 0..PARTITIONS {
            ends.push(self.rooms.bus.range(kind.topic, partition).await.unwrap().1);
        }
        let (stop, (sender, mut progress)) = (CancellationToken::new(), watch::channel(Progress::default()));
        let running = tokio::spawn(run(kind, self.rooms.clone(), stop.clone(), sender));
        progress.wait_for(|progress| progress.positions == ends).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }

    async fn counts(&self, stage: &str) -> Counts {
        let mut total = Counts::default();
        for lane in self.rooms.store.load_lanes(stage).await.unwrap() {
            for (key, value) in lane.state {
                if key == COUNTS_KEY {
                    total.add(Counts::from_bytes(&value).unwrap());
                }
            }
        }
        total
    }

    /// Code, partition and offset of what is in suspense.
    async fn suspended(&self) -> Vec<(String, u32, u64)> {
        let records = self.rooms.store.suspense_list(0, 100).await.unwrap();
        records.into_iter().map(|record| (record.suspended.code, record.partition, record.offset)).collect()
    }
}

async fn open(dir: &tempfile::TempDir) -> Store {
    Store::open(&format!("sqlite://{}", dir.path().join("tollbook.db").display())).await.unwrap()
}

fn posting(number: u8, amount: i64) -> Posting {
    Posting {
        id: PostingId::from_bytes([number; 16]),
        tenant: TenantId(1),
        account: AccountId(7),
        at: DateTime::UNIX_EPOCH,
        debit: LedgerAccount::Receivable(AccountId(7)),
        credit: LedgerAccount::Revenue(TenantId(1)),
        amount: Money::new(amount.into(), "EUR".parse::<Currency>().unwrap()),
        reason: PostingReason::Call,
        cdr: None,
        reverses: None,
    }
}

fn bytes(body: Body) -> Vec<u8> {
    model::wire::encode(&Record { origin: None, body })
}

fn ledger() -> Kind<LedgerStage> {
    Kind {
        name: "ledger",
        topic: Topic::Postings,
        begin: Begin::Oldest,
        make: Box::new(LedgerStage::default),
        refresh: Box::new(|_, _| {}),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

#[tokio::test]
async fn log_that_ends_before_a_position_is_not_the_one_it_was_taken_from() {
    let mut house = House::new().await;
    house.append(Topic::Postings, 1, vec![bytes(Body::Posting(Box::new(posting(1, 10))))]).await;
    house.run_to_the_end(ledger()).await;
    let positions = Positions::load(&house.rooms.store, None).await.unwrap();
    check_positions(&*house.rooms.bus, &positions).await.unwrap();

    let config = EmbeddedConfig { partitions: PARTITIONS, free_bytes_min: 0, ..EmbeddedConfig::default() };
    house.rooms.bus = Arc::new(EmbeddedBus::open(&house.dir.path().join("empty"), config).unwrap());
    let refused = check_positions(&*house.rooms.bus, &positions).await.unwrap_err();
    assert_eq!(refused.code(), "BUS002", "{refused}");
}

/// Refuses everything until told otherwise, as rating does without a fee.
struct Picky {
    has_fee: bool,
}

impl Stage for Picky {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        let Body::Posting(posting) = input.body else { return };
        if self.has_fee {
            effects.append(Topic::Postings, posting.account, Body::Posting(posting));
        } else {
            effects.suspend(Suspended {
                code: "RAT001".to_owned(),
                message: "no fee".to_owned(),
                retry: Retry::AfterTariffChange,
                account: posting.account,
                cdr: None,
            });
        }
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }

    fn restore(&mut self, _entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        Ok(())
    }
}

fn picky(name: &'static str, has_fee: bool) -> Kind<Picky> {
    Kind {
        name,
        topic: Topic::Cdrs,
        begin: Begin::Oldest,
        make: Box::new(move || Picky { has_fee }),
        refresh: Box::new(|_, _| {}),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

#[tokio::test]
async fn suspended_records_sent_in_again_are_applied_once_and_by_their_stage_alone() {
    let house = House::new().await;
    house
        .append(Topic::Cdrs, 1, (1..=3).map(|n| bytes(Body::Posting(Box::new(posting(n, 10))))).collect())
        .await;
    house.run_to_the_end(picky("rating", false)).await;
    house.run_to_the_end(picky("bystander", true)).await;
    let store = &house.rooms.store;
    let ids: Vec<i64> = store.suspense_list(0, 9).await.unwrap().iter().map(|record| record.id).collect();

    // The fee is still missing: it comes back as another.
    store.suspense_request(&ids[..1], "test", DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(resubmit::send_waiting(&house.rooms).await.unwrap(), 1);
    house.run_to_the_end(picky("rating", false)).await;
    let open = store.suspense_list(0, 9).await.unwrap();
    assert_eq!(open.iter().map(|record| record.offset).collect::<Vec<_>>(), [1, 2, 3]);

    // Now it is there. The process dies between the append and the mark, and does it all again.
    let ids: Vec<i64> = open.iter().map(|record| record.id).collect();
    store.suspense_request(&ids, "test", DateTime::UNIX_EPOCH).await.unwrap();
    let requested = store.suspense_requested(9).await.unwrap();
    let lost: Vec<Entry> =
        requested[..2].iter().map(|record| resubmit::entry_of(record, PARTITIONS).unwrap()).collect();
    house.rooms.bus.append(lost).await.unwrap();
    house.run_to_the_end(picky("rating", true)).await;
    assert_eq!(resubmit::send_waiting(&house.rooms).await.unwrap(), 3);
    assert_eq!(resubmit::send_waiting(&house.rooms).await.unwrap(), 0);
    house.run_to_the_end(picky("rating", true)).await;
    house.run_to_the_end(picky("bystander", true)).await;

    assert_eq!(house.suspended().await, []);
    let counts = house.counts("rating").await;
    assert_eq!((counts.postings_in, counts.resubmitted), (3, 4));
    assert_eq!((counts.postings_out, counts.suspended, counts.replays), (3, 4, 2));
    let bystander = house.counts("bystander").await;
    assert_eq!((bystander.postings_in, bystander.resubmitted, bystander.postings_out), (3, 0, 3));
}

#[tokio::test]
async fn record_that_cannot_be_sent_in_again_stays_and_keeps_no_other_back() {
    let house = House::new().await;
    let lane = [vec![0xff; 40], bytes(Body::Posting(Box::new(posting(1, 10))))];
    house.append(Topic::Cdrs, 0, lane.to_vec()).await;
    house.run_to_the_end(picky("rating", false)).await;
    let store = &house.rooms.store;
    let ids: Vec<i64> = store.suspense_list(0, 9).await.unwrap().iter().map(|record| record.id).collect();
    store.suspense_request(&ids, "test", DateTime::UNIX_EPOCH).await.unwrap();

    assert_eq!(resubmit::send_waiting(&house.rooms).await.unwrap(), 1);
    house.run_to_the_end(picky("rating", true)).await;
    let open = store.suspense_list(0, 9).await.unwrap();
    assert_eq!((open.len(), open[0].id, open[0].resubmit_seq), (1, ids[0], None));
    assert!(open[0].suspended.message.starts_with("cannot be sent in again: "), "{open:?}");
    assert_eq!(house.counts("rating").await.postings_out, 1);
}
