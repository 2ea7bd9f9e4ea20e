//! Changes of provisioning data on their way to the log, and the EDRs that come of them.

use chrono::TimeDelta;
use model::{AccountId, Body, CallEvent, Edr, EdrKind, EventBody, Lock, LockLevel, SubscriberId, TenantId};
use store::{EdrFilter, Store, StoreEffect};

use crate::database::Database;
use crate::sample::{lock, second, step, world};

async fn waiting(store: &Store) -> Vec<CallEvent> {
    let mut events = Vec::new();
    let mut last = 0;
    for change in store.provisioning_waiting(1_000).await.unwrap() {
        let Body::Call(event) = model::wire::decode(&change.record).unwrap().body else { panic!("no event") };
        assert_eq!((event.seq, event.payer), (change.seq, change.account));
        assert!(change.seq > last);
        last = change.seq;
        events.push(*event);
    }
    store.provisioning_sent(last).await.unwrap();
    events
}

/// `start_profile alice 43660555123 -> flat-s`
async fn told(store: &Store) -> Vec<String> {
    let directory = store.directory().await.unwrap();
    let uuid_to_name = |state: &str| {
        let owner = directory.subscribers.iter().find(|subscriber| subscriber.uuid == state);
        owner.map_or_else(|| state.to_owned(), |owner| owner.username.clone())
    };
    let events = waiting(store).await;
    events
        .iter()
        .map(|event| {
            let EventBody::Provisioned(is) = &event.body else { panic!("{event:?}") };
            let number = is.number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let (old, new) = (uuid_to_name(&is.old), uuid_to_name(&is.new));
            format!("{} {} {number}: {old} -> {new}", is.change, uuid_to_name(&is.uuid))
        })
        .collect()
}

pub(crate) async fn profiles_and_numbers_are_told_once_as_they_change(db: Database) {
    let store = &db.store;
    let mut wanted = world();
    wanted.subscribers[0].profile = Some("flat-s".to_owned());
    store.import(&wanted, second(0), "test").await.unwrap();
    assert_eq!(
        told(store).await,
        [
            "number_assigned alice 43660555123:  -> alice",
            "number_assigned alice 43660555124:  -> alice",
            "number_assigned bob 43660555200:  -> bob",
            "start_profile alice 43660555123:  -> flat-s",
            "start_profile alice 43660555124:  -> flat-s",
        ]
    );
    assert!(!store.import(&wanted, second(1), "test").await.unwrap().is_changed);
    assert!(told(store).await.is_empty());

    // Another profile, and a number that goes to Bob, in one import.
    wanted.subscribers[0].profile = Some("flat-l".to_owned());
    let moved = wanted.subscribers[0].numbers.pop().unwrap();
    wanted.subscribers[1].numbers.push(moved);
    let report = store.import(&wanted, second(2), "test").await.unwrap();
    assert_eq!(report.subscribers.changed, 1);
    assert_eq!(
        told(store).await,
        [
            "end_profile alice 43660555124: flat-s -> ",
            "number_released alice 43660555124: alice -> bob",
            "update_profile alice 43660555123: flat-s -> flat-l",
            "number_assigned bob 43660555124: alice -> bob",
        ]
    );

    // An account that is given up ends the profiles of its subscribers; its numbers stay with it.
    for account in &mut wanted.accounts {
        if account.handle == "acme" {
            account.status = model::AccountStatus::Terminated;
        }
    }
    store.import(&wanted, second(3), "test").await.unwrap();
    assert_eq!(told(store).await, ["end_profile alice 43660555123: flat-l -> "]);

    wanted.subscribers[0].profile = Some("no such word".to_owned());
    let refused = store.import(&wanted, second(4), "test").await.unwrap_err();
    assert!(refused.to_string().contains("no such word"), "{refused}");
    assert!(told(store).await.is_empty());
}

pub(crate) async fn lock_is_told_when_it_changes_and_when_its_time_is_over(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "test").await.unwrap();
    let directory = store.directory().await.unwrap();
    let acme = directory.accounts.iter().find(|account| account.handle == "acme").unwrap();
    waiting(store).await;
    let until = second(60);
    let set = Lock { account: acme.id, until: Some(until), ..lock(0, LockLevel::Outgoing) };
    // By a rule, in the commit of the fraud desk; once more it is no news.
    store.commit("fraud", vec![step(0, 0, 1, vec![StoreEffect::Lock(set.clone())])]).await.unwrap();
    store.commit("fraud", vec![step(0, 1, 2, vec![StoreEffect::Lock(set.clone())])]).await.unwrap();
    let events = waiting(store).await;
    assert_eq!(events.len(), 1);
    let EventBody::Provisioned(is) = &events[0].body else { panic!() };
    assert_eq!((is.old.as_str(), is.new.as_str(), is.subscriber), ("none", "outgoing", None));
    assert_eq!((Some(is.reseller), events[0].payer), (acme.reseller, acme.id));

    assert_eq!(store.tell_lapsed_locks(until - TimeDelta::seconds(1)).await.unwrap(), 0);
    assert_eq!(store.tell_lapsed_locks(until + TimeDelta::seconds(1)).await.unwrap(), 1);
    assert_eq!(store.tell_lapsed_locks(until + TimeDelta::seconds(2)).await.unwrap(), 0);
    assert_eq!(told(store).await, ["lock_changed  -: outgoing -> none"]);

    // By hand, from nothing, for what lapsed is gone; then lifted.
    let by_hand = Lock { until: None, since: second(90), ..set };
    store.set_lock(&by_hand, "test", second(90)).await.unwrap();
    let lifted = Lock { level: LockLevel::None, ..by_hand };
    store.set_lock(&lifted, "test", second(91)).await.unwrap();
    assert_eq!(told(store).await, ["lock_changed  -: none -> outgoing", "lock_changed  -: outgoing -> none"]);
}

pub(crate) async fn edr_is_kept_once_and_waits_for_the_files_it_concerns(db: Database) {
    let store = &db.store;
    let profile = Edr {
        id: "provisioning-0-1".to_owned(),
        tenant: TenantId(1),
        account: AccountId(7),
        subscriber: Some(SubscriberId(3)),
        kind: EdrKind::UpdateProfile,
        old_status: "flat-s".to_owned(),
        new_status: "flat-l".to_owned(),
        detail: "import".to_owned(),
        at: second(5),
        reseller: AccountId(4),
        uuid: "u-3".to_owned(),
        number: "43660555123".parse().ok(),
    };
    let registered = Edr {
        id: "sw1-1-9".to_owned(),
        kind: EdrKind::Registered,
        reseller: AccountId::NOBODY,
        number: None,
        ..profile.clone()
    };
    let effects = |edrs: [&Edr; 2]| edrs.map(|edr| StoreEffect::Edr(Box::new(edr.clone()))).to_vec();
    store.commit("mediator", vec![step(0, 0, 1, effects([&profile, &registered]))]).await.unwrap();
    store.commit("mediator", vec![step(0, 1, 2, effects([&registered, &profile]))]).await.unwrap();
    let all = store.edrs(EdrFilter::default(), 10).await.unwrap();
    assert_eq!(all, [registered.clone(), profile.clone()]);
    let of = |kind| EdrFilter { kind: Some(kind), ..EdrFilter::default() };
    assert_eq!(store.edrs(of(EdrKind::Registered), 10).await.unwrap(), [registered]);
    let number = EdrFilter { number: profile.number, ..EdrFilter::default() };
    assert_eq!(store.edrs(number, 10).await.unwrap(), std::slice::from_ref(&profile));
    assert!(store.edrs(of(EdrKind::EndProfile), 10).await.unwrap().is_empty());
    assert_eq!(store.edr_owners_waiting().await.unwrap(), ["reseller:4", "system"]);
    for owner in ["reseller:4", "system"] {
        let waiting = store.edrs_waiting(owner, 10).await.unwrap();
        assert_eq!(waiting.iter().map(|waiting| &waiting.edr).collect::<Vec<_>>(), [&profile], "{owner}");
    }
    assert!(store.edrs_waiting("reseller:5", 10).await.unwrap().is_empty());

    assert_eq!(store.edrs_not_queued().await.unwrap(), Vec::<String>::new());
    assert!(store.queue_check().await.unwrap().iter().all(store::QueueCheck::holds));
    db.meddle("DELETE FROM edr_rows WHERE owner = 'reseller:4'").await;
    assert_eq!(store.edrs_not_queued().await.unwrap(), ["provisioning-0-1"]);
}
