//! A BYE that comes hours late, from the events to the money and the queue of the files, on a real log and a real database.

use chrono::TimeDelta;
use mediator::{Mediator, MediatorConfig};
use model::{CallUid, CdrId, partition_of};

use super::corrections::{ANNA, exports, owed, rating};
use super::*;
use crate::simulation::world;

fn mediator() -> Kind<Mediator> {
    Kind {
        name: "mediator",
        topic: Topic::Calls,
        begin: Begin::Oldest,
        make: Box::new(|| Mediator::new(MediatorConfig::default())),
        refresh: Box::new(|_, _| {}),
        share: Share::all(PARTITIONS),
        pace: Pace::STEADY,
    }
}

impl House {
    /// Lets every stage of the pipeline take all there is.
    async fn work_off(&self) {
        self.run_to_the_end(mediator()).await;
        self.run_to_the_end(rating()).await;
        self.run_to_the_end(exports()).await;
        self.run_to_the_end(ledger()).await;
    }
}

#[tokio::test]
async fn late_bye_corrects_the_partial_record_its_money_and_its_export() {
    let house = House::new().await;
    let lane = partition_of(ANNA, PARTITIONS);
    let call = CallUid::new("sw1-1-7");
    let (events, end) = world::call_of_anna(&call, 150);
    let began = events[0].at;

    // Five hours of silence: a record of a call in progress, which no file gets, then it is closed at its last sign of life, two minutes after
    // its answer.
    let mut payloads: Vec<Vec<u8>> =
        events.into_iter().map(|event| bytes(Body::Call(Box::new(event)))).collect();
    payloads.extend((0..=5).map(|hours| bytes(Body::Tick(began + TimeDelta::hours(hours)))));
    house.append(Topic::Calls, lane, payloads).await;
    house.work_off().await;
    // 60/60 at 0.06.
    assert_eq!(owed(&house).await, "0.12");
    let rated = |payloads: Vec<Vec<u8>>| {
        let rated = payloads.iter().map(|payload| model::wire::decode_rated(payload).unwrap().cdr);
        rated.map(|cdr| (cdr.revision, cdr.partial, cdr.duration_us / 1_000_000)).collect::<Vec<_>>()
    };
    let id = CdrId::derive(&call, 0);
    let store = &house.rooms.store;
    assert_eq!(rated(store.rated_revisions(id).await.unwrap()), [(1, true, 120)]);

    // Then its end comes after all, twice: the call lasted for two and a half minutes.
    house
        .append(
            Topic::Calls,
            lane,
            vec![bytes(Body::Call(Box::new(end.clone()))), bytes(Body::Call(Box::new(end)))],
        )
        .await;
    house.work_off().await;
    assert_eq!(owed(&house).await, "0.18");
    assert_eq!(rated(store.rated_revisions(id).await.unwrap()), [(1, true, 120), (2, false, 150)]);
    // What was posted first stays, and is taken back by postings of its own.
    let n_postings = store.posting_ids().await.unwrap().len();
    assert!(n_postings > 2, "{n_postings} postings");
    assert_eq!(store.balance_check().await.unwrap(), []);
    assert_eq!(house.suspended().await, []);
    let counts = house.counts("mediator").await;
    assert_eq!((counts.cdrs_out, counts.revisions_out, counts.replays), (1, 2, 1));
}
