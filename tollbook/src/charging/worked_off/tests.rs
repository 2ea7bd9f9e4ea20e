//! What a call that cost nothing keeps back of its account is let go once rating has counted it, never before.

use std::sync::Arc;

use bus::{EmbeddedBus, EmbeddedConfig, Entry};
use chrono::{DateTime, TimeDelta, Utc};
use model::{
    AccountId, AccountKind, CallUid, CdrId, ContractTerms, Currency, Origin, PriceModel, PriceStep,
    ProfileId, ProfileMapping, Record,
};
use rating::workbench::{TariffIds, read_tariff};
use rating::{Funds, RatingSnapshot};
use store::Store;
use tokio::sync::{mpsc, watch};

use super::*;
use crate::billing::tests::call;
use crate::charging::ChargingConfig;
use crate::clock::Clock;
use crate::directory::DirectoryFeed;
use crate::runner::{Progress, Rooms, entry};
use crate::system::Consumer;
use crate::tariffs::Tariffs;

const PAYER: AccountId = AccountId(7);
const LANES: u32 = 2;
const NAME: &str = "sw1-1-1";

/// A charging service with a log of its own, and how far rating is with it.
struct House {
    charging: Charging,
    rating: watch::Sender<Progress>,
    _dir: tempfile::TempDir,
}

impl House {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = EmbeddedConfig { partitions: LANES, free_bytes_min: 0, ..EmbeddedConfig::default() };
        let bus = Arc::new(EmbeddedBus::open(&dir.path().join("bus"), config).unwrap());
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let clock = Clock::start();
        let directory = DirectoryFeed::load(store.clone(), clock.clone()).await.unwrap();
        let (rating, progress) = watch::channel(Progress::default());
        rating.send_modify(|progress| progress.positions = vec![0; LANES as usize]);
        let charging = Charging {
            rooms: Rooms { bus, store, clock, directory },
            switch: mpsc::channel(1).0,
            consumers: Arc::new(vec![Consumer { name: "rating", topic: Topic::Cdrs, progress }]),
            config: ChargingConfig::default(),
            tariffs: Tariffs::default(),
        };
        Self { charging, rating, _dir: dir }
    }

    /// The record of a call, made of what lies at `offset` of the payer's lane of CDRs.
    async fn rated(&self, uid: &str, offset: u64, partial: bool) {
        let mut rated = call(PAYER, uid, "2026-10-05T10:00:00Z", "0");
        rated.cdr.partial = partial;
        let origin = Origin { stage: "rating".into(), partition: lane(), offset, index: 0 };
        let record = Record { origin: Some(origin), body: Body::Rated(Box::new(rated)) };
        let bus = &self.charging.rooms.bus;
        bus.append(vec![entry(Topic::Rated, PAYER, &record, &**bus)]).await.unwrap();
    }

    /// So many postings in the payer's lane, of whatever.
    async fn postings(&self, n: usize) {
        let one = Entry { topic: Topic::Postings, partition: lane(), payload: b"a posting".to_vec() };
        self.charging.rooms.bus.append(vec![one; n]).await.unwrap();
    }

    /// Rating has committed all that lies before `offset` of the payer's lane.
    fn has_worked_off(&self, offset: u64) {
        self.rating.send_modify(|progress| progress.positions[lane() as usize] = offset);
    }
}

fn lane() -> u32 {
    partition_of(PAYER, LANES)
}

fn id(uid: &str) -> CdrId {
    CdrId::derive(&CallUid::new(uid), 0)
}

/// Knows an account whose calls are priced by what it has used, so that none is forgotten before it is counted.
fn charger() -> Charger {
    let dir = tempfile::tempdir().unwrap();
    let profile = "handle = \"deck\"\ncurrency = \"EUR\"\ntimezone = \"UTC\"\nprepaid = true\n\
        interval_price = { model = \"tiered\", steps = [{ from_seconds = 0, per_minute = \"0.60\" }] }\n";
    std::fs::write(dir.path().join("profile.toml"), profile).unwrap();
    let fees = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,onpeak_follow_rate,\
        onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,offpeak_follow_interval\n\
        ,49,out,Germany,,0.60,1,0.60,1,0.60,1,0.60,1\n";
    std::fs::write(dir.path().join("fees.csv"), fees).unwrap();
    let version = read_tariff(dir.path(), TariffIds::default()).unwrap();
    let steps = vec![PriceStep { from_seconds: 0, per_minute: "0.60".parse().unwrap() }];
    assert_eq!(
        version.interval_price.as_ref().map(|price| (price.model, &price.steps)),
        Some((PriceModel::Tiered, &steps))
    );
    let mut directory =
        crate::commands::directory_of(["vox", "alpine"], &[(PAYER.0, 1, AccountKind::Customer, "hotel")]);
    let account = &mut directory.accounts[0];
    account.currency = Currency::EUR;
    account.profiles =
        vec![ProfileMapping { from: DateTime::UNIX_EPOCH, to: None, network: None, profile: ProfileId(0) }];
    let terms = ContractTerms {
        created_at: DateTime::UNIX_EPOCH,
        package: String::new(),
        credit_limit: None,
        low_balance: None,
    };
    directory.contracts.insert(PAYER, terms);
    directory.tariffs = vec![version];
    let snapshot = RatingSnapshot::build(Arc::new(directory), None).unwrap();
    Charger::new(Arc::new(snapshot), 60, [(PAYER, Funds { micros: 5_000_000, seconds: 0 })])
}

/// A call that is over, and of which no posting has come.
fn ended(charger: &mut Charger, uid: &str) {
    let start: DateTime<Utc> = "2026-10-05T10:00:00Z".parse().unwrap();
    let parties = ("43660555123".to_owned(), "4930555123".to_owned());
    let verdict = charger.begin(id(uid), PAYER, parties, start);
    assert!(matches!(verdict, rating::Verdict::Seconds(60)), "{verdict:?}");
    charger.answered(id(uid), start);
    charger.end(id(uid), 10_000_000, start + TimeDelta::seconds(10));
    assert!(charger.awaits(id(uid)));
}

/// Whether the call is still awaited after a look by a service that knows so many postings of the payer's lane.
async fn awaits(worked_off: &mut WorkedOff, house: &House, charger: &mut Charger, known: u64) -> bool {
    let mut postings = [0; LANES as usize];
    postings[lane() as usize] = known;
    worked_off.look(&house.charging, charger, &postings).await.unwrap();
    charger.awaits(id(NAME))
}

#[tokio::test]
async fn call_is_let_go_only_when_rating_has_passed_it_and_its_postings_are_known() {
    let (house, mut charger) = (House::new().await, charger());
    let mut worked_off = WorkedOff::new(&house.charging).await.unwrap();
    ended(&mut charger, NAME);
    // Of a call still up, and of another call.
    house.rated(NAME, 3, true).await;
    house.rated("sw1-1-2", 4, false).await;
    house.has_worked_off(5);
    assert!(awaits(&mut worked_off, &house, &mut charger, 100).await);
    // Its record is there, and rating has not committed what it was made of.
    house.rated(NAME, 5, false).await;
    assert!(awaits(&mut worked_off, &house, &mut charger, 100).await);
    // It has, and its postings have not been read.
    house.postings(3).await;
    house.has_worked_off(6);
    assert!(awaits(&mut worked_off, &house, &mut charger, 2).await);
    // What is posted from then on for others is not waited for.
    house.postings(5).await;
    assert!(!awaits(&mut worked_off, &house, &mut charger, 3).await);
    charger.forget_rated();
    assert_eq!(charger.funds(PAYER).1, Funds::default());
}

#[tokio::test]
async fn record_that_came_before_its_call_was_known_to_be_over_is_not_passed_over() {
    let (house, mut charger) = (House::new().await, charger());
    let mut worked_off = WorkedOff::new(&house.charging).await.unwrap();
    // Long idle, with records of others.
    for n in 0..IDLE_ROUNDS * 3 {
        house.rated(&format!("sw1-2-{n}"), u64::from(n), false).await;
        worked_off.look(&house.charging, &mut charger, &[0; LANES as usize]).await.unwrap();
    }
    let passed = worked_off.positions[lane() as usize];
    assert!(passed > 0, "an idle lane would be read from its beginning");
    // Rating is quicker than the word that the call has ended; between them lies a round.
    house.rated(NAME, 500, false).await;
    house.has_worked_off(501);
    for _ in 0..IDLE_ROUNDS {
        worked_off.look(&house.charging, &mut charger, &[0; LANES as usize]).await.unwrap();
    }
    ended(&mut charger, NAME);
    assert!(!awaits(&mut worked_off, &house, &mut charger, 0).await);
}

#[tokio::test]
async fn nothing_is_let_go_before_the_lanes_of_rating_are_known() {
    let (house, mut charger) = (House::new().await, charger());
    house.rating.send_modify(|progress| progress.positions.clear());
    let mut worked_off = WorkedOff::new(&house.charging).await.unwrap();
    ended(&mut charger, NAME);
    house.rated(NAME, 0, false).await;
    assert!(awaits(&mut worked_off, &house, &mut charger, 100).await);
    house.rating.send_modify(|progress| progress.positions = vec![1; LANES as usize]);
    assert!(!awaits(&mut worked_off, &house, &mut charger, 0).await);
}
