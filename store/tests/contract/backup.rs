//! Copies of a database at work, and what becomes of them.

use std::time::Duration;

use store::{Store, StoreError, TopUpKind, WordKind, restore_postgres};
use tempfile::TempDir;

use crate::database::{self, Database};
use crate::imports::{step as import_step, waiting};
use crate::invoices::invoice;
use crate::lanes_and_ledger::aside;
use crate::mails::event_mail;
use crate::sample::{eur, second, step as lane_step, world};
use crate::topups::{acme, asked};

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

pub(crate) async fn origins_of_a_copy_go_on_behind_those_that_its_original_gave_out(db: Database) {
    let store = &db.store;
    let acme = acme(&db).await;
    let two = ["RAT001", "RAT002"].map(aside).to_vec();
    store.commit("rating", vec![lane_step(3, 0, 42, two)]).await.unwrap();
    let ids: Vec<i64> = store.suspense_list(0, 9).await.unwrap().iter().map(|record| record.id).collect();
    // Nothing was ever sent in again, imported or topped up when the copy was made.
    store.step_over_numbers().await.unwrap();
    store.suspense_request(&ids[..1], "ann", second(2)).await.unwrap();
    let kept = store.suspense_requested(9).await.unwrap()[0].resubmit_seq;
    assert!(kept > Some(1 << 32), "{kept:?}");
    // One that waits may have been sent in under its number; later ones have others.
    store.step_over_numbers().await.unwrap();
    store.suspense_request(&ids[1..], "ann", second(3)).await.unwrap();
    let numbers: Vec<_> =
        store.suspense_requested(9).await.unwrap().iter().map(|record| record.resubmit_seq).collect();
    assert_eq!((numbers.len(), numbers[0]), (2, kept));
    assert!(numbers[1] > kept.map(|kept| kept + (1 << 32)), "{numbers:?}");

    let begun = store.import_begin("pbx", "a.csv", "d1", second(4)).await.unwrap();
    store.import_step(begun.id, import_step(0, 9, &["x"]), second(4)).await.unwrap();
    let imported = waiting(&db).await;
    assert!(imported.len() == 1 && imported[0].0 > 1 << 32, "{imported:?}");

    store.top_up(&asked(acme, "later", TopUpKind::Cash(eur("5"))), second(5)).await.unwrap();
    let paid = store.topups_waiting(9).await.unwrap();
    assert!(paid.len() == 1 && paid[0].id > 1 << 32, "{paid:?}");
}

pub(crate) async fn restored_house_sends_and_numbers_nothing_until_it_is_released(db: Database) {
    let store = &db.store;
    store.import(&world(), second(0), "eve").await.unwrap();
    assert_eq!(store.restore_held().await.unwrap(), None);
    let hook = store
        .webhook_add("crm", "https://x.example/", ("whsec_a", &[WordKind::Mail]), "eve", second(0))
        .await
        .unwrap();
    store.mail_enqueue_event(&event_mail("Invoice R-1"), second(0)).await.unwrap();
    let gone = store.mail_enqueue_event(&event_mail("Invoice R-2"), second(0)).await.unwrap();
    store.mail_given_up(gone, true, "550", second(0)).await.unwrap();
    store.restore_hold(second(1)).await.unwrap();

    assert_eq!(store.mail_claim(second(2), 9).await.unwrap(), []);
    assert_eq!(store.webhook_claim(hook, second(2), 9).await.unwrap(), []);
    let refused = store.invoice_create(&invoice(1), |_| "{}".to_owned()).await.unwrap_err();
    assert!(refused.to_string().contains("tollbook release"), "{refused}");
    let held = store.restore_held().await.unwrap().unwrap();
    assert_eq!((held.copied_at, held.n_mails, held.n_deliveries), (second(1), 1, 1));
    assert!(store.is_restore_held().await.unwrap());

    store.restore_release(true, "eve", second(3)).await.unwrap();
    assert_eq!(store.mail_claim(second(4), 9).await.unwrap(), [], "it was given up");
    assert_eq!(store.webhook_claim(hook, second(4), 9).await.unwrap(), []);
    store.mail_enqueue_event(&event_mail("Invoice R-3"), second(4)).await.unwrap();
    assert_eq!(store.mail_claim(second(4), 9).await.unwrap().len(), 1);
    store.invoice_create(&invoice(1), |_| "{}".to_owned()).await.unwrap();
    assert!(!store.is_restore_held().await.unwrap());
    assert_eq!(store.audit_verify().await.unwrap(), None);
}
