//! The stage protocol on a real log and a real database, with the crashes it is made for.

mod corrections;
mod late_bye;

use bus::{EmbeddedBus, EmbeddedConfig, Entry};
use chrono::DateTime;
use model::{
    AccountId, Body, Currency, Effects, LedgerAccount, Money, Origin, Posting, PostingId, PostingReason,
    Record, Retry, StageInput, StateChange, Suspended, TenantId,
};
use store::Watermark;

use super::*;
use crate::ledger_stage::LedgerStage;

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

    /// One round of a freshly loaded stage.
    async fn round<S: Stage + 'static>(&self, kind: &Kind<S>) -> Result<u64, RoundError> {
        let mut directory = self.rooms.directory.current();
        let every = [(0, None), (1, None)];
        let mut lanes = load_lanes(kind, &self.rooms, &every, &directory).await?;
        round(kind, &self.rooms, &mut lanes, &mut directory, &Lessons::default()).await
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

/// Passes postings on from one topic to the ledger's, and panics on one over an unlucky amount.
#[derive(Default)]
struct Forward;

impl Stage for Forward {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        let Body::Posting(posting) = input.body else { return };
        assert_ne!(posting.amount.amount, 13.into(), "unlucky");
        effects.append(Topic::Postings, posting.account, Body::Posting(posting));
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }

    fn restore(&mut self, _entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        Ok(())
    }
}

fn forward() -> Kind<Forward> {
    Kind {
        name: "rating",
        topic: Topic::Cdrs,
        begin: Begin::Oldest,
        make: Box::new(Forward::default),
        refresh: Box::new(|_, _| {}),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

#[tokio::test]
async fn outputs_appended_again_after_a_crash_are_applied_once() {
    let mut house = House::new().await;
    house
        .append(Topic::Cdrs, 0, (1..=3).map(|n| bytes(Body::Posting(Box::new(posting(n, 10))))).collect())
        .await;

    // The database fails between the append and the commit: twice.
    for _ in 0..2 {
        house.rooms.store.close().await;
        let failed = {
            let mut directory = house.rooms.directory.current();
            let mut lanes = vec![Lane {
                partition: 0,
                epoch: None,
                stage: Forward,
                directory: directory.clone(),
                position: 0,
                committed: 0,
                kept: Vec::new(),
                watermarks: Watermarks::new(Vec::new()),
                counts: Counts::default(),
                is_asking: false,
                waiting: None,
            }];
            round(&forward(), &house.rooms, &mut lanes, &mut directory, &Lessons::default()).await
        };
        assert!(matches!(failed, Err(RoundError::Failed(_))), "{failed:?}");
        house.rooms.store = open(&house.dir).await;
    }
    assert_eq!(house.round(&forward()).await.unwrap(), 3);
    // A later record, to see that the lane goes on behind the replays.
    house.append(Topic::Cdrs, 0, vec![bytes(Body::Posting(Box::new(posting(4, 10))))]).await;
    assert_eq!(house.round(&forward()).await.unwrap(), 1);
    house.run_to_the_end(ledger()).await;

    let counts = house.counts("ledger").await;
    assert_eq!((counts.postings_in, counts.posted, counts.replays), (4, 4, 6));
    assert_eq!(house.rooms.store.posting_ids().await.unwrap().len(), 4);
    assert_eq!(house.rooms.store.balance_check().await.unwrap(), []);
    assert_eq!(house.suspended().await, []);
}

/// A database that keeps nothing until it is let.
#[derive(Clone)]
struct Barred {
    store: Store,
    gate: Arc<tokio::sync::Semaphore>,
}

impl LaneStore for Barred {
    async fn load_lanes(&self, stage: &str) -> Result<Vec<store::Lane>, StoreError> {
        self.store.load_lanes(stage).await
    }

    async fn commit(
        &self,
        stage: &str,
        lanes: Vec<LaneCommit>,
        fence: Option<&store::Fence>,
    ) -> Result<(), StoreError> {
        let _pass = self.gate.acquire().await.unwrap();
        LaneStore::commit(&self.store, stage, lanes, fence).await
    }

    async fn rated_revisions(&self, cdr: model::CdrId) -> Result<Vec<Vec<u8>>, StoreError> {
        self.store.rated_revisions(cdr).await
    }
}

#[tokio::test]
async fn what_comes_of_news_is_in_the_log_while_the_rounds_before_are_not_committed() {
    let house = House::new().await;
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let Rooms { bus, store, clock, directory } = house.rooms.clone();
    let rooms = Rooms { bus, store: Barred { store, gate: gate.clone() }, clock, directory };
    let (stop, (sender, mut progress)) = (CancellationToken::new(), watch::channel(Progress::default()));
    let running = tokio::spawn(run(forward(), rooms, stop.clone(), sender));
    for n in 1..=3 {
        let mut ends = Vec::new();
        for partition in 0..PARTITIONS {
            ends.push((partition, house.rooms.bus.range(Topic::Postings, partition).await.unwrap().1));
        }
        house.append(Topic::Cdrs, 0, vec![bytes(Body::Posting(Box::new(posting(n, 10))))]).await;
        let grown = house.rooms.bus.wait(Topic::Postings, &ends);
        tokio::time::timeout(Duration::from_secs(30), grown).await.expect("it waits for a commit").unwrap();
    }
    assert!(house.rooms.store.load_lanes(forward().name).await.unwrap().is_empty());
    gate.add_permits(1);
    progress.wait_for(|progress| progress.n_records == 3).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    house.run_to_the_end(ledger()).await;
    assert_eq!(house.counts("ledger").await.posted, 3);
}

#[tokio::test]
async fn unreadable_record_is_suspended_and_its_lane_goes_on() {
    let house = House::new().await;
    let lane = [
        bytes(Body::Posting(Box::new(posting(1, 10)))),
        vec![0xff; 40],
        bytes(Body::Posting(Box::new(posting(2, 10)))),
    ];
    house.append(Topic::Postings, 1, lane.to_vec()).await;
    house.run_to_the_end(ledger()).await;

    assert_eq!(house.suspended().await, [("RUN001".to_owned(), 1, 1)]);
    let counts = house.counts("ledger").await;
    assert_eq!((counts.postings_in, counts.posted, counts.suspended, counts.strays), (2, 2, 0, 1));
}

#[tokio::test]
async fn record_that_makes_a_stage_panic_is_suspended_alone() {
    let house = House::new().await;
    house.append(Topic::Cdrs, 0, vec![bytes(Body::Posting(Box::new(posting(1, 10))))]).await;
    let lane = [posting(2, 10), posting(3, 13), posting(4, 10), posting(5, 13), posting(6, 10)];
    house
        .append(
            Topic::Cdrs,
            1,
            lane.into_iter().map(|posting| bytes(Body::Posting(Box::new(posting)))).collect(),
        )
        .await;
    house.run_to_the_end(forward()).await;
    house.run_to_the_end(ledger()).await;

    assert_eq!(house.suspended().await, [("RUN002".to_owned(), 1, 1), ("RUN002".to_owned(), 1, 3)]);
    assert_eq!(house.counts("ledger").await.posted, 4);
}

#[tokio::test]
async fn record_that_the_database_refuses_is_suspended_alone() {
    let house = House::new().await;
    house.append(Topic::Postings, 0, vec![bytes(Body::Posting(Box::new(posting(1, 10))))]).await;
    // The second is another posting under a taken id, the fourth more than the ledger can hold.
    let lane = [posting(2, 10), posting(2, 11), posting(3, 10), posting(4, i64::MAX), posting(5, 10)];
    house
        .append(
            Topic::Postings,
            1,
            lane.into_iter().map(|posting| bytes(Body::Posting(Box::new(posting)))).collect(),
        )
        .await;
    house.run_to_the_end(ledger()).await;

    assert_eq!(house.suspended().await, [("RUN003".to_owned(), 1, 1), ("RUN003".to_owned(), 1, 3)]);
    let counts = house.counts("ledger").await;
    assert_eq!((counts.postings_in, counts.posted, counts.suspended), (6, 4, 2));
    assert_eq!(house.rooms.store.balance_check().await.unwrap(), []);
}

#[test]
fn only_watermarks_that_rose_are_committed() {
    let origin = |partition, offset, index| Origin { stage: "rating".into(), partition, offset, index };
    let mark = |partition, offset, index| Watermark { stage: "rating".to_owned(), partition, offset, index };
    let mut marks = Watermarks::new(vec![mark(0, 5, 1), mark(1, 9, 0)]);
    assert!(!marks.admit(Some(&origin(0, 5, 1))));
    assert!(!marks.admit(Some(&origin(1, 8, 3))));
    assert_eq!(marks.take_risen(), []);
    assert!(marks.admit(Some(&origin(0, 5, 2))));
    assert!(marks.admit(Some(&origin(0, 6, 0))));
    assert!(marks.admit(None));
    assert_eq!(marks.take_risen(), [mark(0, 6, 0)]);
    assert_eq!(marks.take_risen(), []);
}

/// Says in suspense which revision it worked with.
#[derive(Default)]
struct Witness {
    revision: i64,
}

impl Stage for Witness {
    fn apply(&mut self, _input: StageInput, effects: &mut Effects) {
        effects.suspend(Suspended {
            code: format!("REV{}", self.revision),
            message: String::new(),
            retry: Retry::AfterRepair,
            account: AccountId::NOBODY,
            cdr: None,
        });
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        Vec::new()
    }

    fn restore(&mut self, _entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn data_loaded_for_one_lane_reaches_the_others_too() {
    let house = House::new().await;
    let kind = Kind {
        name: "mediator",
        topic: Topic::Calls,
        begin: Begin::Oldest,
        make: Box::new(Witness::default),
        refresh: Box::new(|stage: &mut Witness, directory| stage.revision = directory.revision),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    };
    let mut directory = house.rooms.directory.current();
    let mut lanes = load_lanes(&kind, &house.rooms, &[(0, None), (1, None)], &directory).await.unwrap();
    // Somebody changes something, and a call is made under it before this process has heard.
    let lock = model::Lock {
        tenant: TenantId(1),
        account: AccountId(7),
        level: model::LockLevel::Outgoing,
        source: model::LockSource::Admin,
        reason: String::new(),
        alert: None,
        since: DateTime::UNIX_EPOCH,
        until: None,
    };
    house.rooms.store.set_lock(&lock, "test", DateTime::UNIX_EPOCH).await.unwrap();
    let event = model::CallEvent {
        node: "sw1".into(),
        boot: 1,
        seq: 1,
        at: DateTime::UNIX_EPOCH,
        config_revision: 1,
        tenant: TenantId(1),
        payer: AccountId(7),
        call: None,
        leg: 0,
        body: model::EventBody::NodeStarted(model::NodeStarted { version: "1".to_owned() }),
    };
    house.append(Topic::Calls, 0, vec![bytes(Body::Call(Box::new(event)))]).await;
    round(&kind, &house.rooms, &mut lanes, &mut directory, &Lessons::default()).await.unwrap();
    house.append(Topic::Calls, 1, vec![bytes(Body::Tick(DateTime::UNIX_EPOCH))]).await;
    round(&kind, &house.rooms, &mut lanes, &mut directory, &Lessons::default()).await.unwrap();
    let codes: Vec<String> = house.suspended().await.into_iter().map(|(code, _, _)| code).collect();
    assert_eq!(codes, ["REV1", "REV1"]);
}

#[tokio::test]
async fn stage_that_begins_now_passes_over_what_was_there_and_keeps_its_place() {
    let mut house = House::new().await;
    let late = || Kind { begin: Begin::Now, ..ledger() };
    house.append(Topic::Postings, 0, vec![bytes(Body::Posting(Box::new(posting(1, 5))))]).await;
    // Its lanes are loaded, and then the process dies: where it began is known all the same.
    let directory = house.rooms.directory.current();
    load_lanes(&late(), &house.rooms, &[(0, None), (1, None)], &directory).await.unwrap();
    house.append(Topic::Postings, 0, vec![bytes(Body::Posting(Box::new(posting(2, 6))))]).await;
    house.append(Topic::Postings, 1, vec![bytes(Body::Posting(Box::new(posting(3, 7))))]).await;
    house.rooms.store = open(&house.dir).await;
    assert_eq!(house.round(&late()).await.unwrap(), 2);
    assert_eq!(house.counts("ledger").await.posted, 2);
    // And one that begins with the oldest has them all.
    let other = Kind { name: "rating", ..ledger() };
    assert_eq!(house.round(&other).await.unwrap(), 3);
}
