//! What the users of the SFTP server did, and the files that wait for them.

use chrono::{DateTime, Utc};
use store::{ExportPlan, FetchedRange, KeptFormat, NewMail, PutFile, TrailEntry};

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
        store
            .export_written(&[store::ExportReport {
                file: file.id,
                n_bytes: 100,
                md5: "md5",
                sha256: "sha256",
            }])
            .await
            .unwrap();
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

pub(crate) async fn what_a_partner_puts_is_kept_once_and_its_last_word_counts(mut db: Database) {
    let put = |name: &str, modified| PutFile {
        account: "acme".to_owned(),
        folder: "ack".to_owned(),
        name: name.to_owned(),
        size: 7,
        modified,
    };
    let mail = NewMail {
        to: vec!["peering@example.org".to_owned()],
        subject: "refused".to_owned(),
        text: String::new(),
        attachments: Vec::new(),
        about: "sftp:acme".to_owned(),
    };
    let file = "carriers/acme/1.cdr".to_owned();
    let refused = [(file.clone(), false, "md5 differs".to_owned())];
    let accepted = [(file.clone(), true, String::new())];
    let store = &db.store;
    for _ in 0..2 {
        let first = put("1.cdr.nack", second(1));
        store
            .inbox_take(&first, "acknowledgement", "refuses", &refused, Some(&mail), second(2))
            .await
            .unwrap();
    }
    assert_eq!(store.mail_list().await.unwrap().len(), 1, "told once");
    let said = store.acks_of("acme").await.unwrap();
    assert_eq!((said[0].is_accepted, said[0].reason.as_str()), (false, "md5 differs"));
    // The same name with another time is another version.
    let again = put("1.cdr.nack", second(3));
    store.inbox_take(&again, "acknowledgement", "accepts", &accepted, None, second(4)).await.unwrap();
    db.reopen().await;

    let store = &db.store;
    let said = store.acks_about(&file).await.unwrap();
    assert_eq!((said.len(), said[0].is_accepted, said[0].account.as_str()), (1, true, "acme"));
    assert_eq!(store.inbox_known("acme").await.unwrap().len(), 2);
    assert_eq!(store.inbox_known("globe").await.unwrap().len(), 0);
    let all = store.inbox_latest(None, None, 10).await.unwrap();
    assert_eq!(all.iter().map(|entry| entry.note.as_str()).collect::<Vec<_>>(), ["accepts", "refuses"]);
    let older = store.inbox_latest(Some("acme"), Some(all[0].id), 10).await.unwrap();
    assert_eq!(older, all[1..]);
    assert_eq!(store.inbox_latest(Some("globe"), None, 10).await.unwrap(), []);

    let entries =
        [entry(second(1), "acme", "login", None), entry(second(2), "acme", "fetched", Some("1.cdr"))];
    store.trail_append(&entries).await.unwrap();
    assert_eq!(store.trail_last_login("acme").await.unwrap(), Some(second(1)));
    assert_eq!(store.trail_last_login("globe").await.unwrap(), None);
    assert_eq!(store.trail_fetches_of("acme", second(0)).await.unwrap(), entries[1..]);
    assert_eq!(store.trail_fetches_of("acme", second(3)).await.unwrap(), []);
    let page = store.trail_page(None, None, 1).await.unwrap();
    assert_eq!(page[0].1, entries[1]);
    let page = store.trail_page(Some("acme"), Some(page[0].0), 9).await.unwrap();
    assert_eq!(page.into_iter().map(|(_, entry)| entry).collect::<Vec<_>>(), entries[..1]);
}
