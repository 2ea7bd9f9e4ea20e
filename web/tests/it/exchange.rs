//! The CDR exchange at the console and in the API: files, partners, what they did and what they say.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use store::{ExportPlan, FetchedRange, KeptFormat, PutFile, Store, TrailEntry};

use crate::house::{House, body};

const FILE: &str = "carriers/acme/0000000123.cdr";

fn entry(at: DateTime<Utc>, action: &str, read: Option<u64>) -> TrailEntry {
    TrailEntry {
        at,
        peer: "192.0.2.9:40000".to_owned(),
        account: "acme".to_owned(),
        action: action.to_owned(),
        path: read.map(|_| "/out/0000000123.cdr".to_owned()),
        file: read.map(|_| FILE.to_owned()),
        size: read.map(|_| 41_000_000),
        range: read.map(|n_bytes| FetchedRange { from: 0, to: n_bytes, n_bytes }),
        detail: if action == "login" { "publickey".to_owned() } else { String::new() },
    }
}

/// Two files of acme, closed long ago; it has fetched and accepted the first.
async fn exchanged(store: &Store) {
    let format = KeptFormat { name: "csv".to_owned(), description: String::new() };
    store.export_keep_format("hash", &format).await.unwrap();
    let now = DateTime::UNIX_EPOCH;
    for name in [FILE, "carriers/acme/0000000124.cdr"] {
        let plan = ExportPlan {
            owner: "carrier:1",
            rows_max: 1,
            now: now - TimeDelta::days(2),
            format: "hash",
            zone: "UTC",
            owner_name: "acme",
            may_be_empty: true,
            corrections: None,
        };
        let file = store.export_plan(plan, None, |_, _| name.to_owned()).await.unwrap().unwrap();
        store
            .export_written(&[store::ExportReport {
                file: file.id,
                n_bytes: 41_000_000,
                md5: "md5",
                sha256: "sha256",
            }])
            .await
            .unwrap();
    }
    let at = now - TimeDelta::hours(22);
    let entries =
        [entry(at, "login", None), entry(at, "fetched", Some(12)), entry(at, "fetched", Some(41_000_000))];
    store.trail_append(&entries).await.unwrap();
    let put = PutFile {
        account: "acme".to_owned(),
        folder: "ack".to_owned(),
        name: "0000000123.cdr.ack".to_owned(),
        size: 0,
        modified: at,
    };
    let acks = [(FILE.to_owned(), true, String::new())];
    store.inbox_take(&put, "acknowledgement", "accepts 1 files <b>", &acks, None, now).await.unwrap();
    // Read again, it is known.
    store.inbox_take(&put, "acknowledgement", "accepts 1 files <b>", &acks, None, now).await.unwrap();
    store.export_set_ran_at("", now).await.unwrap();
}

#[tokio::test]
async fn console_says_who_has_fetched_what_and_who_is_late() {
    let house = House::with_roles(&["carrier_relations"]).await;
    exchanged(&house.store).await;
    let cookie = house.cookie_of("carrier_relations").await;
    let files = house.ask("GET /files", &cookie, "").await;
    assert!(files.contains("acme 1969-12-31 02:00, complete; acme accepted it"), "{files}");
    let partners = house.ask("GET /files/partners", &cookie, "").await;
    for shown in [
        "fetched 0000000123.cdr, 41 MB, complete",
        "<td class=\"n\">1</td>",
        "<strong>late</strong>",
        "exchange, rename from 192.0.2.0/24",
        "1970-01-01 00:30:00",
        "ack/0000000123.cdr.ack",
        "accepted 1",
    ] {
        assert!(partners.contains(shown), "{shown}: {partners}");
    }
    assert!(!partners.contains("<b>"), "text of others must not become markup");
    let trail = house.ask("GET /files/trail?account=acme", &cookie, "").await;
    assert!(trail.contains("fetched 0000000123.cdr, 12 bytes of 41 MB"), "{trail}");
    assert!(trail.contains("192.0.2.9:40000"), "{trail}");
    let others = house.ask("GET /files/trail?account=globe", &cookie, "").await;
    assert!(others.contains("Nobody was here."), "{others}");
}

#[tokio::test]
async fn api_has_the_same_in_pages() {
    let house = House::with_roles(&["auditor"]).await;
    exchanged(&house.store).await;
    let cookie = house.cookie_of("auditor").await;
    let ask = async |path: &str| -> Value {
        let answer = house.ask(&format!("GET /api/v1/exchange/{path}"), &cookie, "").await;
        serde_json::from_str(body(&answer)).unwrap_or_else(|why| panic!("{why}: {answer}"))
    };
    let partners = ask("partners").await;
    let acme = &partners["items"][0];
    assert_eq!((acme["name"].as_str(), acme["n_waiting"].as_u64()), (Some("acme"), Some(1)));
    assert_eq!((acme["is_late"].as_bool(), acme["n_accepted"].as_u64()), (Some(true), Some(1)));
    assert_eq!(ask("streams").await["items"][0]["due"].as_str(), Some("1970-01-01T00:30:00.000000Z"));
    assert_eq!(ask("inbox?partner=acme").await["items"].as_array().unwrap().len(), 1);
    assert_eq!(ask("inbox?partner=globe").await["items"].as_array().unwrap().len(), 0);

    let (mut path, mut actions) = ("trail?limit=1".to_owned(), Vec::new());
    loop {
        let page = ask(&path).await;
        let items = page["items"].as_array().unwrap();
        actions.extend(items.iter().map(|item| item["text"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("trail?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(
        actions,
        [
            "fetched 0000000123.cdr, 41 MB, complete",
            "fetched 0000000123.cdr, 12 bytes of 41 MB",
            "login, publickey"
        ]
    );
}
