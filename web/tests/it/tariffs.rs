//! Tariffs tried out: what a call costs by one, and a month of calls by another.

use std::path::Path;

use chrono::{DateTime, TimeDelta};
use rating::workbench::{TariffIds, read_tariff};
use serde_json::{Value, json};
use store::{NewTariff, World};

use crate::house::{House, body, status};

/// A house that sells by the sample's retail prices; a header for the API.
async fn house(role: &str) -> (House, String) {
    let house = House::with_roles(&[role]).await;
    let (token, hash) = web::new_api_token();
    let (made, ends) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(1));
    house.store.api_token_create("for-test", &hash, "operator", ends, "test", made).await.unwrap();
    let auth = format!("Authorization: Bearer {token}\r\n");
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tollbook/sample/tariffs/retail");
    let mut version = read_tariff(&dir, TariffIds::default()).unwrap();
    version.interval_free_cash = "0.03".parse().unwrap();
    let world = World { tariffs: vec![NewTariff { tenant: String::new(), version }], ..World::default() };
    house.store.import(&world, made, "test").await.unwrap();
    // A change of anything makes the house look at what there is.
    let network = json!({"name": "office", "blocks": ["192.0.2.0/24"]}).to_string();
    let headers = format!("Content-Type: application/json\r\n{auth}");
    assert_eq!(status(&house.ask("POST /api/v1/networks", &headers, &network).await), "201");
    (house, auth)
}

fn parsed(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

#[tokio::test]
async fn price_of_a_call_is_that_of_its_time_step_by_step() {
    let (house, auth) = house("finance").await;
    let tariffs = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await);
    let id = tariffs["items"][0]["id"].as_i64().unwrap();
    let price =
        async |query: &str| house.ask(&format!("GET /api/v1/tariffs/{id}/price?{query}"), &auth, "").await;
    // Friday, 4 December 2026: on-peak in Vienna until 18:00.
    for (query, cost, onpeak, offpeak) in [
        ("start=2026-12-04T12:00:00Z&seconds=90", "0.044", 120, 0),
        ("start=2026-12-04T18:00:00Z&seconds=60.5", "0.032", 0, 120),
        ("start=2026-12-04T16:59:00Z&seconds=61", "0.038", 60, 60),
        ("start=2026-12-04T12:00:00Z&seconds=90&grants=true", "0.014", 120, 0),
        ("start=2026-12-04T12:00:00Z&seconds=0", "0", 0, 0),
        ("start=2026-12-04T12:00:00Z&seconds=90&direction=in", "0", 0, 0),
    ] {
        let answer = price(&format!("destination=%2B4930555123&{query}")).await;
        assert_eq!(status(&answer), "200", "{query}: {answer}");
        let priced = parsed(&answer);
        let part = &priced["parts"][0];
        let cost_is: rust_decimal::Decimal = priced["cost"].as_str().unwrap().parse().unwrap();
        assert_eq!(cost_is.normalize().to_string(), cost, "{query}: {priced}");
        let free = part["free_seconds"].as_u64().unwrap();
        let timed = (part["onpeak_seconds"].as_u64().unwrap(), part["offpeak_seconds"].as_u64().unwrap());
        assert_eq!((timed.0 - free, timed.1), (onpeak, offpeak), "{query}: {priced}");
        assert!(part["workings"].as_str().unwrap().contains("profile retail version"), "{priced}");
    }
    for (bad, said) in [
        ("destination=4930555123&seconds=-1", "seconds"),
        ("destination=4930555123&seconds=x", "seconds"),
        ("destination=4930555123&seconds=99999999", "seconds"),
        ("destination=49+30&seconds=1", "destination"),
        ("destination=000000&seconds=1", "no fee for"),
        ("destination=49&seconds=1&direction=up", "direction"),
        ("destination=49&seconds=1&colour=red", "colour"),
    ] {
        let answer = price(bad).await;
        assert!(status(&answer) == "422" && body(&answer).contains(said), "{bad}: {answer}");
    }

    // The same on the page, at local time, and nothing that was typed is markup.
    let cookie = house.cookie_of("finance").await;
    let profile = house.store.directory().await.unwrap().tariffs[0].profile.id;
    let form = async |query: &str| {
        house.ask(&format!("GET /tariffs/try?profile={profile}&{query}"), &cookie, "").await
    };
    let page = form("to=4930555123&at=2026-12-04T13:00&seconds=90").await;
    assert_eq!(status(&page), "200", "{page}");
    for said in ["0.044 EUR", "Germany fixed", "13:00:00 CET", "120 s: 120 on-peak", "first 60 s"] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for (query, said) in [
        ("to=000000&at=", "no fee for"),
        ("to=49&at=tomorrow", "is not a time"),
        ("to=49&at=1960-01-01T00:00", "no version"),
        ("to=%3Cscript%3E", "no fee for"),
    ] {
        let page = form(query).await;
        let is_refused = matches!(status(&page), "422" | "404");
        assert!(is_refused && page.contains(said) && !page.contains("<script>"), "{query}: {page}");
    }
}

#[tokio::test]
async fn month_of_calls_is_compared_by_those_who_set_prices() {
    let (house, auth) = house("finance").await;
    let id = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await)["items"][0]["id"].as_i64().unwrap();
    let json = format!("Content-Type: application/json\r\n{auth}");
    let start =
        async |wanted: Value| house.ask("POST /api/v1/shadow-billing", &json, &wanted.to_string()).await;
    for (wanted, code) in [
        (json!({"tariff": id, "month": "2026-13"}), "422"),
        (json!({"tariff": 99}), "404"),
        (json!({"tariff": id, "account": "nobody"}), "404"),
        (json!({"tariff": id, "priced_by": 99}), "404"),
        (json!({"tariff": id, "level": "friend"}), "422"),
        (json!({"tariff": id, "colour": "red"}), "422"),
    ] {
        assert_eq!(status(&start(wanted.clone()).await), code, "{wanted}");
    }
    let started =
        start(json!({"tariff": id, "month": "2026-10", "level": "reseller", "priced_by": id})).await;
    assert_eq!(status(&started), "200", "{started}");
    let seen = parsed(&house.ask("GET /api/v1/shadow-billing", &auth, "").await);
    let title = seen["title"].as_str().unwrap();
    let begins = format!("October 2026 by version {id}: reseller prices of all accounts, calls priced by");
    assert!(title.starts_with(&begins) && title.contains(", for token:"), "{title}");
    assert_eq!(seen["items"][0]["difference"], "0.5", "{seen}");
    assert_eq!(seen["total"]["difference"], "-0.25", "{seen}");

    let cookie = house.cookie_of("finance").await;
    let form = format!("version={id}&month=&level=customer&profile=0&account=acme");
    assert_eq!(status(&house.post_form("/tariffs/shadow", &cookie, &form).await), "303");
    let page = house.ask("GET /tariffs/shadow", &cookie, "").await;
    let counts = "2 would pay more, 1 less, 1 the same";
    for said in [counts, "3 calls of 4 accounts", "+0.50", "-0.75", "-8.3 %", ": customer prices of account "]
    {
        assert!(page.contains(said), "{said}: {page}");
    }
    // Less than a cent is not nothing.
    assert!(page.contains(">1.000</td>") && page.contains(">1.004</td>") && page.contains(">+0.004</td>"));
    assert!(!page.contains(">0.00</td>") && page.contains("<progress"), "{page}");
    assert!(!page.contains("<dear>"), "a name must not become markup: {page}");
}

#[tokio::test]
async fn form_of_a_comparison_comes_back_with_its_fault() {
    let (house, auth) = house("finance").await;
    let id = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await)["items"][0]["id"].as_i64().unwrap();
    let cookie = house.cookie_of("finance").await;
    for (month, account, said) in
        [("2026-13", "", "no such month"), ("2026-10", "nobody%3E", "there is no account")]
    {
        let form = format!("version={id}&month={month}&level=carrier&profile=0&account={account}");
        let page = house.post_form("/tariffs/shadow", &cookie, &form).await;
        assert_eq!(status(&page), "422", "{form}: {page}");
        assert!(page.contains(said) && page.contains("<h1>Shadow billing</h1>"), "{form}: {page}");
        assert!(page.contains(&format!("name=\"month\" value=\"{month}\"")), "{form}: {page}");
        assert!(page.contains("<option value=\"carrier\" selected>"), "{form}: {page}");
        assert!(page.contains(&format!("<option value=\"{id}\" selected>")), "{form}: {page}");
        assert_eq!(page.contains("name=\"account\" value=\"nobody"), !account.is_empty(), "{form}: {page}");
        assert!(!page.contains("nobody>"), "what was typed must not become markup: {page}");
    }
}

#[tokio::test]
async fn comparison_that_broke_off_says_nothing_of_who_would_pay_more() {
    let (house, auth) = house("finance").await;
    let id = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await)["items"][0]["id"].as_i64().unwrap();
    let cookie = house.cookie_of("finance").await;
    let form = format!("version={id}&month=2026-02");
    assert_eq!(status(&house.post_form("/tariffs/shadow", &cookie, &form).await), "303");
    let page = house.ask("GET /tariffs/shadow", &cookie, "").await;
    assert!(
        page.contains("It broke off: the lake is") && page.contains("calls until it broke off"),
        "{page}"
    );
    for wrong in ["would pay more", "of 0 accounts", "<progress", "<gone>"] {
        assert!(!page.contains(wrong), "{wrong}: {page}");
    }
}

#[tokio::test]
async fn comparison_beside_another_is_to_come_again_and_its_key_stays_free() {
    let (house, auth) = house("finance").await;
    let id = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await)["items"][0]["id"].as_i64().unwrap();
    let json = format!("Content-Type: application/json\r\n{auth}");
    let endless = json!({"tariff": id, "month": "2026-01"}).to_string();
    assert_eq!(status(&house.ask("POST /api/v1/shadow-billing", &json, &endless).await), "200");
    let keyed = format!("{json}Idempotency-Key: b1\r\n");
    let other = json!({"tariff": id, "month": "2026-10"}).to_string();
    for _ in 0..2 {
        let answer = house.ask("POST /api/v1/shadow-billing", &keyed, &other).await;
        assert_eq!(status(&answer), "429", "{answer}");
        assert!(answer.contains("retry-after: ") && body(&answer).contains("one is at work"), "{answer}");
        assert!(!answer.contains("idempotency-replayed"), "{answer}");
    }
    let cookie = house.cookie_of("finance").await;
    let form = format!("version={id}&month=2026-10&account=acme");
    let page = house.post_form("/tariffs/shadow", &cookie, &form).await;
    assert!(status(&page) == "429" && page.contains("retry-after: "), "{page}");
    assert!(page.contains("name=\"account\" value=\"acme\"") && page.contains("one is at work"), "{page}");
}

#[tokio::test]
async fn list_keeps_its_turn_when_whoever_sent_it_goes_away() {
    for way in ["", "dry_run=true"] {
        let (house, auth) = house("finance").await;
        let tariffs = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await);
        let id = tariffs["items"][0]["id"].as_i64().unwrap();
        let csv = format!("Content-Type: text/csv\r\n{auth}");
        let path = format!("POST /api/v1/tariffs/{id}/price-list?{way}");
        let sent = house.ask(&path, &csv, "endless");
        assert!(tokio::time::timeout(std::time::Duration::from_secs(1), sent).await.is_err(), "{way}");
        // The server sees that nobody listens any more.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        let keyed = format!("{csv}Idempotency-Key: c1\r\n");
        for _ in 0..2 {
            let answer = house.ask(&path, &keyed, "list").await;
            assert_eq!(status(&answer), "429", "{way}: {answer}");
            assert!(
                answer.contains("retry-after: ") && answer.contains("application/problem+json"),
                "{answer}"
            );
            assert!(!answer.contains("idempotency-replayed"), "{answer}");
        }
    }
}

#[tokio::test]
async fn month_of_calls_is_looked_at_by_the_auditor_and_started_by_nobody_else() {
    let (house, _) = house("auditor").await;
    let cookie = house.cookie_of("auditor").await;
    let page = house.ask("GET /tariffs/shadow", &cookie, "").await;
    assert!(status(&page) == "200" && !page.contains("<button>Compare"), "{page}");
    assert_eq!(status(&house.post_form("/tariffs/shadow", &cookie, "version=1").await), "403");
}

#[tokio::test]
async fn list_is_tried_first_and_replaces_what_it_was_tried_against() {
    let (house, auth) = house("fraud").await;
    let id = parsed(&house.ask("GET /api/v1/tariffs", &auth, "").await)["items"][0]["id"].as_i64().unwrap();
    let csv = format!("Content-Type: text/csv\r\n{auth}");
    let path = format!("POST /api/v1/tariffs/{id}/price-list");
    let tried = house.ask(&format!("{path}?dry_run=true&keep=true&days=3"), &csv, "list").await;
    assert_eq!(status(&tried), "200", "{tried}");
    assert!(tried.contains("etag: \"1\""), "{tried}");
    let proposed = &parsed(&tried)["proposed"];
    assert_eq!(proposed["changes"][0]["items"][0]["after"], "keep true of 3", "{proposed}");
    assert_eq!(parsed(&tried)["applied"], Value::Null);

    for (condition, query, code) in [
        ("If-Match: \"1\"\r\n", "valid_from=2999-01-01T00:00:00Z", "200"),
        ("If-Match: \"2\"\r\n", "", "412"),
        ("If-Match: 1\r\n", "", "400"),
        ("", "dryrun=true", "422"),
        ("", "dry_run=true&days=367", "422"),
    ] {
        let answer = house.ask(&format!("{path}?{query}"), &format!("{csv}{condition}"), "list").await;
        assert_eq!(status(&answer), code, "{condition}{query}: {answer}");
        if code == "200" {
            let applied = &parsed(&answer)["applied"];
            assert_eq!((&applied["tariff"], &applied["fees"]), (&json!(7), &json!(2)), "{answer}");
            assert!(applied["valid_from"].as_str().unwrap().starts_with("2999"), "{answer}");
        }
    }
    let wrong = house.ask(&path, &csv, "wrong").await;
    assert_eq!(status(&wrong), "422", "{wrong}");
    assert_eq!(parsed(&wrong)["errors"][0]["line"], 2, "{wrong}");
    assert_eq!(status(&house.ask(&path, &auth, "list").await), "415");
    let nowhere = house.ask("POST /api/v1/tariffs/99/price-list", &csv, "list").await;
    assert_eq!(status(&nowhere), "404", "{nowhere}");
    // Sent twice by one who did not hear what came of it: with a key it is done once, also where it is long.
    let keyed = format!("{csv}Idempotency-Key: a1\r\n");
    let long = "x".repeat(3 << 20);
    assert_eq!(status(&house.ask(&path, &keyed, &long).await), "200");
    assert!(house.ask(&path, &keyed, &long).await.contains("idempotency-replayed: true"));
    let cookie = house.cookie_of("fraud").await;
    for more in ["", "Idempotency-Key: a2\r\n"] {
        let headers = format!("Content-Type: text/csv\r\n{cookie}{more}");
        assert_eq!(status(&house.ask(&path, &headers, "list").await), "403");
    }
}
