//! Copies of a database at work, and what becomes of them.

use std::time::Duration;

use store::{Store, StoreError, restore_postgres};
use tempfile::TempDir;

use crate::database::{self, Database};
use crate::sample::{second, world};

/// Where a copy of `db` is opened again; the second value keeps it.
async fn opened_again(db: &Database, file: &std::path::Path) -> (Store, Option<Database>) {
    if db.url.starts_with("sqlite") {
        return (Store::open(&format!("sqlite://{}", file.display())).await.unwrap(), None);
    }
    let other = database::postgres().await.unwrap();
    let refused = restore_postgres(file, &other.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Occupied { .. }), "{refused}");
    other.store.close().await;
    other.meddle("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    restore_postgres(file, &other.url).await.unwrap();
    (Store::open(&other.url).await.unwrap(), Some(other))
}

pub(crate) async fn copy_has_what_was_there_at_its_moment_and_nobody_commits_meanwhile(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let mut held = db.store.hold().await.unwrap();
    let store = db.store.clone();
    let late = tokio::spawn(async move { store.process_beat("late", "switch").await });
    let snapshot = held.snapshot().await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!late.is_finished(), "somebody committed while all were held");
    held.release().await.unwrap();
    late.await.unwrap().unwrap();
    assert_eq!(db.store.processes_and_leases().await.unwrap().0.len(), 1);

    let dir = TempDir::new().unwrap();
    let file = snapshot.write_to(dir.path(), &db.url).await.unwrap();
    let (copy, _kept) = opened_again(&db, &file).await;
    assert_eq!(copy.directory().await.unwrap(), db.store.directory().await.unwrap());
    assert!(copy.processes_and_leases().await.unwrap().0.is_empty(), "it came after the moment");
}

pub(crate) async fn numbers_go_on_behind_all_that_were_given_out_since_the_copy(db: Database) {
    db.store.import(&world(), second(0), "eve").await.unwrap();
    let revision = db.store.revision().await.unwrap();
    let seq = db.store.provisioning_waiting(u32::MAX).await.unwrap().last().unwrap().seq;
    db.store.step_over_numbers().await.unwrap();
    // Twice is no harm, and a table without rows is no obstacle.
    db.store.step_over_numbers().await.unwrap();
    assert!(db.store.revision().await.unwrap() >= revision + (1 << 32));
    let mut changed = world();
    changed.subscribers[0].profile = Some("flat-s".to_owned());
    db.store.import(&changed, second(1), "eve").await.unwrap();
    let later = db.store.provisioning_waiting(u32::MAX).await.unwrap();
    assert!(later.iter().all(|change| change.seq <= seq || change.seq > 1 << 32), "{later:?}");
}
