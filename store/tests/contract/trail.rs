//! What the users of the SFTP server did, and the files that wait for them.

use chrono::{DateTime, Utc};
use store::{ExportPlan, FetchedRange, KeptFormat, TrailEntry};

use crate::database::Database;
use crate::sample::second;

fn entry(at: DateTime<Utc>, account: &str, action: &str, file: Option<&str>) -> TrailEntry {
    TrailEntry {
        at,
        peer: "192.0.2.1:50022".to_owned(),
        account: account.to_owned(),
        action: action.to_owned(),
        path: file.map(|file| format!("/out/{file}")),
        file: file.map(str::to_owned),
        size: file.map(|_| 100),
        range: (action == "fetched").then_some(FetchedRange { from: 0, to: 100, n_bytes: 100 }),
        detail: if action == "renamed" { "/archive/1.cdr".to_owned() } else { String::new() },
    }
}

pub(crate) async fn trail_comes_back_as_it_was_and_is_forgotten_by_age(mut db: Database) {
    let entries = [
        entry(second(1), "acme", "login", None),
        entry(second(2), "acme", "fetched", Some("carriers/acme/1.cdr")),
        entry(second(3), "globe", "fetched", Some("carriers/acme/1.cdr")),
        entry(second(4), "acme", "renamed", Some("carriers/acme/1.cdr")),
    ];
    db.store.trail_append(&entries).await.unwrap();
    db.store.trail_append(&[]).await.unwrap();
    db.reopen().await;

    let store = &db.store;
    let mut newest_first = entries.to_vec();
    newest_first.reverse();
    assert_eq!(store.trail_latest(None, 10).await.unwrap(), newest_first);
    assert_eq!(store.trail_latest(Some("globe"), 10).await.unwrap(), entries[2..3]);
    assert_eq!(store.trail_latest(None, 1).await.unwrap(), entries[3..]);
    assert_eq!(store.trail_fetches("carriers/acme/1.cdr").await.unwrap(), entries[1..3]);
    let renamed = store.trail_renamed_from("acme", "/archive/1.cdr").await.unwrap();
    assert_eq!(renamed.as_deref(), Some("carriers/acme/1.cdr"));
    assert_eq!(store.trail_renamed_from("globe", "/archive/1.cdr").await.unwrap(), None);
    assert_eq!(store.trail_forget(second(3)).await.unwrap(), 2);
    assert_eq!(store.trail_latest(None, 10).await.unwrap().len(), 2);
}

pub(crate) async fn file_waits_for_its_reader_until_somebody_was_told(db: Database) {
    let store = &db.store;
    let format = KeptFormat { name: "csv".to_owned(), description: String::new() };
    store.export_keep_format("hash", &format).await.unwrap();
    for (n, name) in (1..).zip(["carriers/ac_me/1.cdr", "carriers/ACxME/1.cdr", "carriers/ac_me/2.cdr"]) {
        let owner = format!("carrier:{n}");
        let plan = ExportPlan {
            owner: &owner,
            rows_max: 1,
            now: second(n),
            format: "hash",
            zone: "UTC",
            owner_name: "acme",
            may_be_empty: true,
            corrections: None,
        };
        let file = store.export_plan(plan, None, |_, _| name.to_owned()).await.unwrap().unwrap();
        if n < 3 {
            assert_eq!(store.files_below("carriers/ac_me", 9).await.unwrap().len(), usize::from(n == 2));
        }
        store.export_written(file.id, 100, "md5", "sha256").await.unwrap();
    }
    let below = store.files_below("carriers/ac_me", 9).await.unwrap();
    let names: Vec<&str> = below.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["carriers/ac_me/2.cdr", "carriers/ac_me/1.cdr"]);
    assert_eq!(store.files_below("", 9).await.unwrap().len(), 3);

    let waiting =
        |from, until| store.files_to_be_fetched("acme", "carriers/ac_me", second(from), second(until));
    assert_eq!(waiting(0, 3).await.unwrap().len(), 1);
    assert_eq!(waiting(2, 9).await.unwrap().len(), 1);
    store.alarm_raised("acme", &["carriers/ac_me/1.cdr".to_owned()], second(9)).await.unwrap();
    store.alarm_raised("acme", &["carriers/ac_me/1.cdr".to_owned()], second(10)).await.unwrap();
    assert_eq!(waiting(0, 9).await.unwrap().len(), 1);
    assert_eq!(
        store.files_to_be_fetched("other", "carriers/ac_me", second(0), second(9)).await.unwrap().len(),
        2
    );
}
