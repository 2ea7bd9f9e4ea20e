//! Ranges of numbers that somebody may not call.

use chrono::TimeDelta;
use model::{AccountId, Barring, LockSource, TenantId};
use store::StoreEffect;

use crate::database::Database;
use crate::sample::{second, step};

fn barring(account: i64, range: &str, calls_per_minute: u32, since: i64) -> Barring {
    Barring {
        tenant: TenantId(1),
        account: AccountId(account),
        range: range.to_owned(),
        calls_per_minute,
        source: LockSource::Fraud,
        reason: "Dear calls".to_owned(),
        alert: None,
        since: second(since),
        until: Some(second(since) + TimeDelta::hours(12)),
    }
}

pub(crate) async fn later_word_on_a_range_counts_and_one_long_over_goes(db: Database) {
    let store = &db.store;
    let set = |barring: &Barring| StoreEffect::Bar(barring.clone());
    let (first, later) = (barring(7, "371", 0, 1), barring(7, "371", 6, 2));
    let others = barring(0, "3712345", 0, 1);
    // A replayed word that is older than the one that is there changes nothing.
    let all = vec![set(&first), set(&others), set(&later), set(&first)];
    store.commit("fraud", vec![step(0, 0, 4, all)]).await.unwrap();
    assert_eq!(store.barrings().await.unwrap(), [others.clone(), later.clone()]);
    assert_eq!(store.directory().await.unwrap().barrings, [others.clone(), later.clone()]);

    let revision = store.revision().await.unwrap();
    let lifted =
        Barring { source: LockSource::Admin, since: second(3), until: Some(second(3)), ..later.clone() };
    store.set_barring(&lifted, "eve", second(3)).await.unwrap();
    assert_eq!(store.barrings().await.unwrap(), [others.clone(), lifted.clone()]);
    assert!(store.revision().await.unwrap() > revision, "other processes look again");
    let trail = store.audit_list(1).await.unwrap();
    assert_eq!((trail[0].actor.as_str(), trail[0].object.as_str()), ("eve", "barring:7:371"));
    assert!(trail[0].before.contains("Dear calls") && trail[0].after.contains("admin"), "{trail:?}");

    // Two days on, those whose time is over are no longer looked at.
    let next = barring(8, "", 10, 2 * 86_400);
    store.commit("fraud", vec![step(0, 4, 5, vec![set(&next)])]).await.unwrap();
    assert_eq!(store.barrings().await.unwrap(), [next]);
}
