//! Records of other systems on their way in.

use model::{AccountId, Retry, Suspended};
use store::{ImportCounts, ImportStep, ImportedRecord, StoreError, SuspendedLine};

use crate::database::Database;
use crate::sample::second;

fn record(key: &str) -> ImportedRecord {
    ImportedRecord { key: key.to_owned(), payer: AccountId(7), record: key.as_bytes().to_vec() }
}

fn line(line: u64) -> SuspendedLine {
    let suspended = Suspended {
        code: "IMP003".to_owned(),
        message: "duration is \"x\"".to_owned(),
        retry: Retry::AfterRepair,
        account: AccountId::NOBODY,
        cdr: None,
    };
    SuspendedLine { line, suspended, raw: vec![0, 255] }
}

pub(crate) fn step(from: u64, to: u64, keys: &[&str]) -> ImportStep {
    ImportStep {
        expected_bytes: from,
        lines_done: to / 10,
        bytes_done: to,
        records: keys.iter().map(|key| record(key)).collect(),
        ..ImportStep::default()
    }
}

/// Number and record of what waits for the bus.
pub(crate) async fn waiting(db: &Database) -> Vec<(u64, String)> {
    let rows = db.store.import_waiting(99).await.unwrap();
    rows.into_iter().map(|row| (row.seq, String::from_utf8(row.record).unwrap())).collect()
}

pub(crate) async fn file_goes_on_where_it_stopped_and_no_key_comes_twice(db: Database) {
    let store = &db.store;
    let begun = store.import_begin("pbx", "a.csv", "d1", second(1)).await.unwrap();
    assert_eq!((begun.bytes_done, begun.counts, begun.finished_at), (0, ImportCounts::default(), None));
    let first = ImportStep { suspended: vec![line(3)], passed_over: 2, ..step(0, 50, &["x", "y", "x"]) };
    let counts = store.import_step(begun.id, first.clone(), second(2)).await.unwrap();
    assert_eq!(counts, ImportCounts { imported: 2, duplicates: 1, suspended: 1, passed_over: 2 });

    // The process dies; another begins, and a third that has read the same piece is refused.
    let again = store.import_begin("pbx", "a.csv", "d1", second(3)).await.unwrap();
    assert_eq!((again.id, again.bytes_done, again.lines_done, again.counts), (begun.id, 50, 5, counts));
    let refused = store.import_step(begun.id, first, second(3)).await.unwrap_err();
    assert!(matches!(refused, StoreError::LaneMoved { .. }), "{refused}");
    let last = ImportStep { is_last: true, ..step(50, 70, &["y", "z"]) };
    store.import_step(begun.id, last, second(4)).await.unwrap();
    assert_eq!(
        store.import_begin("pbx", "b.csv", "d1", second(5)).await.unwrap().finished_at,
        Some(second(4))
    );

    // Another source has keys of its own.
    let other = store.import_begin("gw", "a.csv", "d1", second(5)).await.unwrap();
    assert_eq!(store.import_step(other.id, step(0, 9, &["x"]), second(5)).await.unwrap().imported, 1);
    let expected = [(1, "x"), (2, "y"), (3, "z"), (4, "x")].map(|(seq, key)| (seq, key.to_owned()));
    assert_eq!(waiting(&db).await, expected);
    assert!(store.import_knows("gw", "x").await.unwrap() && !store.import_knows("gw", "y").await.unwrap());
    let open = store.suspense_list(0, 9).await.unwrap();
    assert_eq!(
        open.iter().map(|record| (record.stage.as_str(), record.offset)).collect::<Vec<_>>(),
        [("import", 3)]
    );
}

pub(crate) async fn number_of_an_imported_record_is_never_given_again(db: Database) {
    let store = &db.store;
    let begun = store.import_begin("pbx", "a.csv", "d1", second(1)).await.unwrap();
    store.import_step(begun.id, step(0, 9, &["x", "y"]), second(1)).await.unwrap();
    store.import_sent(2).await.unwrap();
    store.import_step(begun.id, step(9, 12, &["z"]), second(1)).await.unwrap();
    assert_eq!(waiting(&db).await, [(3, "z".to_owned())]);
    assert_eq!(store.import_totals().await.unwrap(), (3, 1));
}

pub(crate) async fn suspended_line_is_taken_in_once(db: Database) {
    let store = &db.store;
    let begun = store.import_begin("pbx", "a.csv", "d1", second(1)).await.unwrap();
    let first = ImportStep { suspended: vec![line(1), line(2)], ..step(0, 20, &[]) };
    store.import_step(begun.id, first, second(1)).await.unwrap();
    let ids: Vec<i64> = store.suspense_list(0, 9).await.unwrap().iter().map(|record| record.id).collect();

    assert!(store.suspense_fix(ids[0], vec![1], ("before", "after"), "ann", second(2)).await.unwrap());
    let fixed = store.suspense_get(ids[0]).await.unwrap();
    assert_eq!((fixed.raw.as_slice(), fixed.fixed_at), (&[1][..], Some(second(2))));
    let entry = &store.audit_list(1).await.unwrap()[0];
    assert_eq!(
        (entry.action.as_str(), entry.before.as_str(), entry.after.as_str()),
        ("fix", "before", "after")
    );

    assert!(store.import_suspended(ids[0], "pbx", record("x"), "ann", second(3)).await.unwrap());
    assert!(store.import_suspended(ids[0], "pbx", record("x"), "ann", second(3)).await.is_err());
    assert!(!store.suspense_fix(ids[0], vec![2], ("", ""), "ann", second(3)).await.unwrap(), "it is gone");
    // Its key was taken in meanwhile: nothing comes twice, and nothing stays behind.
    assert!(!store.import_suspended(ids[1], "pbx", record("x"), "ann", second(4)).await.unwrap());
    assert_eq!(store.suspense_list(0, 9).await.unwrap(), []);
    assert_eq!(waiting(&db).await, [(1, "x".to_owned())]);
}
