//! The API as a program meets it: tokens, pages, problems, and a description that names every resource.

use chrono::{DateTime, TimeDelta};
use model::{AccountId, Retry, Suspended, Topic};
use serde_json::Value;
use store::StoreEffect;

use crate::house::{House, body, rated_call, status};

async fn token(house: &House, role: &str) -> String {
    let (token, hash) = web::new_api_token();
    let expires = DateTime::UNIX_EPOCH + TimeDelta::days(1);
    house
        .store
        .api_token_create(&format!("for-{role}"), &hash, role, expires, "test", DateTime::UNIX_EPOCH)
        .await
        .unwrap();
    format!("Authorization: Bearer {token}\r\n")
}

fn json(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

#[tokio::test]
async fn token_opens_the_api_and_nothing_else_until_it_is_taken_back() {
    let house = House::with_roles(&[]).await;
    let header = token(&house, "auditor").await;
    assert_eq!(status(&house.ask("GET /api/v1/calls", &header, "").await), "200");
    assert_eq!(status(&house.ask("GET /metrics", &header, "").await), "200");
    // A page is for people: a token does not sign in.
    assert_eq!(status(&house.ask("GET /calls", &header, "").await), "303");
    let forged = "Authorization: Bearer guess\r\n";
    assert_eq!(status(&house.ask("GET /api/v1/calls", forged, "").await), "401");
    house.store.api_token_revoke("for-auditor", "test", DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(status(&house.ask("GET /api/v1/calls", &header, "").await), "401");
}

#[tokio::test]
async fn refusal_is_a_problem_that_says_what_to_try() {
    let house = House::with_roles(&[]).await;
    let header = token(&house, "operator").await;
    for (request, code, word) in [
        ("GET /api/v1/calls?number=abc", "422", "43660"),
        ("GET /api/v1/calls?status=great", "422", "busy"),
        ("GET /api/v1/calls?from=yesterday", "422", "2026-10-31"),
        ("GET /api/v1/calls?account=nobody", "404", "nobody"),
        ("GET /api/v1/calls?limit=0", "422", "1000"),
        ("GET /api/v1/calls?limit=many", "422", "limit"),
        ("GET /api/v1/calls?after=x", "422", "next"),
        ("GET /api/v1/calls/zz", "404", "hexadecimal"),
        ("GET /api/v1/accounts/nobody", "404", "nobody"),
        ("GET /api/v1/tariffs/x/fees", "404", ""),
        ("GET /api/v1/tariffs/99/fees", "404", "99"),
        ("GET /api/v1/nothing", "404", "/api/v1/nothing"),
        ("GET /api/v1/suspense?after=x", "422", "after"),
    ] {
        let answer = house.ask(request, &header, "").await;
        assert_eq!(status(&answer), code, "{request}: {answer}");
        assert!(answer.contains("content-type: application/problem+json"), "{request}: {answer}");
        let problem = json(&answer);
        assert_eq!(problem["status"].as_u64().unwrap().to_string(), code);
        assert!(problem["detail"].as_str().unwrap().contains(word), "{request}: {problem}");
    }
}

#[tokio::test]
async fn calls_are_found_by_what_people_know_of_them() {
    let house = House::with_roles(&[]).await;
    let header = token(&house, "operator").await;
    let call = rated_call().cdr;
    let day = call.start_at.format("%F").to_string();
    for (query, n_found) in [
        (String::new(), 1),
        (format!("number={}", call.destination.user_in), 1),
        (format!("number=%2B{}*", &call.destination.user_in[..4]), 1),
        ("number=99999999".to_owned(), 0),
        (format!("call={}", call.id), 1),
        ("call=x%27%20OR%20%271%27=%271".to_owned(), 0),
        (format!("from={day}&to={day}"), 1),
        ("from=1999-01-01&to=1999-12-31".to_owned(), 0),
        (format!("status={}", call.status), 1),
    ] {
        let answer = house.ask(&format!("GET /api/v1/calls?{query}"), &header, "").await;
        assert_eq!(status(&answer), "200", "{query}: {answer}");
        assert_eq!(json(&answer)["items"].as_array().unwrap().len(), n_found, "{query}");
    }
}

#[tokio::test]
async fn lists_come_in_pages_that_join_without_gap_or_repetition() {
    let house = House::with_roles(&[]).await;
    let header = token(&house, "operator").await;
    let whole = json(&house.ask("GET /api/v1/accounts", &header, "").await);
    assert!(whole.get("next").is_none());
    let mut handles = Vec::new();
    let mut after = String::new();
    loop {
        let page =
            json(&house.ask(&format!("GET /api/v1/accounts?limit=1&after={after}"), &header, "").await);
        for item in page["items"].as_array().unwrap() {
            handles.push(item["handle"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    assert_eq!(handles, ["acme", "carrier"]);
}

#[tokio::test]
async fn lock_is_put_and_lifted_by_a_program_of_the_right_role() {
    let house = House::with_roles(&[]).await;
    let (auditor, fraud) = (token(&house, "auditor").await, token(&house, "fraud").await);
    let json_header = "Content-Type: application/json\r\n";
    let put = async |header: &str, text: &str| {
        house.ask("PUT /api/v1/accounts/acme/lock", &format!("{json_header}{header}"), text).await
    };
    let lock = r#"{"level": "all", "reason": "stolen phone"}"#;
    assert_eq!(status(&put(&auditor, lock).await), "403");
    for bad in [
        "{",
        r#"{"level": "all"}"#,
        r#"{"level": "all", "reason": "x", "colour": 1}"#,
        r#"{"level": 1, "reason": "x"}"#,
    ] {
        let answer = put(&fraud, bad).await;
        assert_eq!(status(&answer), "422", "{bad}: {answer}");
    }
    assert_eq!(status(&put(&fraud, lock).await), "204");
    assert_eq!(house.store.locks().await.unwrap()[0].level, model::LockLevel::All);
    assert_eq!(status(&put(&fraud, r#"{"level": "none", "reason": "found again"}"#).await), "204");
    assert!(house.store.locks().await.unwrap().is_empty());
    assert_eq!(house.store.audit_list(1).await.unwrap()[0].actor, "token:for-fraud");
}

#[tokio::test]
async fn description_is_openapi_3_1_and_names_what_answers() {
    let house = House::with_roles(&[]).await;
    let header = token(&house, "operator").await;
    let description = json(&house.ask("GET /api/v1/openapi.json", &header, "").await);
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let paths = description["paths"].as_object().unwrap();
    assert!(paths.len() >= 17, "{}", paths.len());
    for (path, operations) in paths {
        if operations.get("get").is_some() && !path.contains('{') {
            // Who searches says for what.
            let query = if path.ends_with("/search") { "?q=ac" } else { "" };
            let answer = house.ask(&format!("GET {path}{query}"), &header, "").await;
            assert_eq!(status(&answer), "200", "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn suspended_records_are_shown_changed_and_settled_one_by_one_and_in_bulk() {
    let house = House::with_roles(&[]).await;
    let (operator, auditor) = (token(&house, "operator").await, token(&house, "auditor").await);
    let suspend = |offset: u64, code: &str, raw: &str| StoreEffect::Suspend {
        suspended: Suspended {
            code: code.to_owned(),
            message: "no fee covers it".to_owned(),
            retry: Retry::AfterTariffChange,
            account: AccountId(1),
            cdr: None,
        },
        topic: Topic::Cdrs,
        partition: 3,
        offset,
        raw: raw.as_bytes().to_vec(),
        at: DateTime::UNIX_EPOCH,
    };
    let effects = vec![
        suspend(0, "RAT001", r#"{"leg":0}"#),
        suspend(1, "RAT001", "not JSON"),
        suspend(2, "RAT002", r#"{"leg":2}"#),
        suspend(3, "RAT001", r#"{"leg":3}"#),
    ];
    house.store.suspend("rating", effects).await.unwrap();
    let ask = async |header: &str, request: &str, text: &str| {
        let headers = format!("Content-Type: application/json\r\n{header}");
        let answer = house.ask(request, &headers, text).await;
        (status(&answer).to_owned(), json(&answer))
    };

    let ids = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|item| item["id"].as_i64().unwrap()).collect()
    };
    let (_, page) = ask(&auditor, "GET /api/v1/suspense", "").await;
    let all = ids(&page);
    assert_eq!(all.len(), 4);
    let (_, page) = ask(&auditor, "GET /api/v1/suspense?code=RAT002&stage=rating", "").await;
    assert_eq!(ids(&page), [all[2]]);
    let (_, page) = ask(&auditor, "GET /api/v1/suspense?stage=mediator", "").await;
    assert!(ids(&page).is_empty());

    let (code, shown) = ask(&auditor, &format!("GET /api/v1/suspense/{}", all[0]), "").await;
    assert_eq!((code.as_str(), &shown["says"]["leg"]), ("200", &Value::from(0)));
    assert_eq!((shown["state"].as_str(), shown["partition"].as_u64()), (Some("open"), Some(3)));
    assert_eq!(shown["raw"].as_str(), Some(hex::encode(r#"{"leg":0}"#).as_str()));
    let (_, shown) = ask(&auditor, &format!("GET /api/v1/suspense/{}", all[1]), "").await;
    assert!(shown["says"].is_null() && shown["unreadable"].is_string(), "{shown}");
    assert_eq!(ask(&auditor, "GET /api/v1/suspense/999", "").await.0, "404");

    // Who may look may not act.
    let one = format!("PATCH /api/v1/suspense/{}", all[0]);
    for request in [one.as_str(), "POST /api/v1/suspense"] {
        let body = if request.starts_with("PATCH") {
            r#"{"set": {"leg": 1}}"#
        } else {
            r#"{"action": "fix", "ids": [1]}"#
        };
        assert_eq!(ask(&auditor, request, body).await.0, "403", "{request}");
    }
    for (body, word) in [
        ("{}", "say what to change"),
        (r#"{"set": {"leg": 1}, "record": {}}"#, "say what to change"),
        (r#"{"set": {"legs.x": 1}}"#, "no \"legs\""),
        (r#"{"set": {"leg": 0}}"#, "says that already"),
    ] {
        let (code, problem) = ask(&operator, &one, body).await;
        assert_eq!(code, "422", "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    assert_eq!(ask(&operator, &one, r#"{"set": {"leg": 7}}"#).await.0, "200");
    let (_, shown) = ask(&operator, &format!("GET /api/v1/suspense/{}", all[0]), "").await;
    assert_eq!(shown["says"]["leg"], 7);
    assert!(shown["fixed_at"].is_string());

    let bulk = "POST /api/v1/suspense";
    for (body, word) in [
        (r#"{"action": "burn", "ids": [1]}"#, "none"),
        (r#"{"action": "resubmit"}"#, "name the records"),
        (r#"{"action": "resubmit", "ids": [1], "code": "RAT001"}"#, "name the records"),
        (r#"{"action": "resubmit", "ids": [1], "set": {"leg": 1}}"#, "fix alone"),
    ] {
        let (code, problem) = ask(&operator, bulk, body).await;
        assert_eq!(code, "422", "{body}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{body}: {problem}");
    }
    // One of the three cannot be read: its fields cannot be changed, the others are.
    let (_, done) = ask(&operator, bulk, r#"{"action": "fix", "code": "RAT001", "set": {"leg": 9}}"#).await;
    assert_eq!(done["done"], serde_json::json!([all[0], all[3]]));
    assert_eq!(done["passed"][0]["id"], all[1]);
    let order = format!(r#"{{"action": "discard", "reason": "not ours", "ids": [{}, 999]}}"#, all[1]);
    let (_, done) = ask(&operator, bulk, &order).await;
    assert_eq!((done["done"].as_array().unwrap().len(), done["passed"][0]["id"].as_i64()), (1, Some(999)));
    let (_, done) = ask(&operator, bulk, r#"{"action": "resubmit", "code": "RAT001"}"#).await;
    assert_eq!(done["done"], serde_json::json!([all[0], all[3]]));
    let (_, shown) = ask(&operator, &format!("GET /api/v1/suspense/{}", all[0]), "").await;
    assert_eq!(shown["state"], "requested");
    assert_eq!(ask(&operator, &one, r#"{"set": {"leg": 1}}"#).await.0, "409");

    // All of it is in the trail of changes, by name.
    let trail = house.store.audit_list(10).await.unwrap();
    let mut told: Vec<(String, String)> = trail
        .into_iter()
        .filter(|entry| entry.object.starts_with("suspense"))
        .map(|entry| (entry.actor, entry.action))
        .collect();
    told.dedup();
    let of = |action: &str| ("token:for-operator".to_owned(), action.to_owned());
    assert_eq!(told, [of("resubmit"), of("discard"), of("fix")]);
}

#[tokio::test]
async fn balance_is_topped_up_once_under_one_token_and_told_of_any_time() {
    let house = House::with_roles(&[]).await;
    let (finance, auditor) = (token(&house, "finance").await, token(&house, "auditor").await);
    let ask = async |header: &str, request: &str, text: &str| {
        let headers = format!("Content-Type: application/json\r\n{header}");
        let answer = house.ask(request, &headers, text).await;
        (status(&answer).to_owned(), body(&answer).to_owned())
    };
    let top_up = "POST /api/v1/accounts/acme/topups";
    let paid = r#"{"token": "till-7-1", "amount": "12.50"}"#;
    assert_eq!(ask(&auditor, top_up, paid).await.0, "403");
    let (code, said) = ask(&finance, top_up, paid).await;
    assert_eq!(
        (code.as_str(), said.as_str()),
        ("200", r#"{"outcome":"done","amount":"12.5","currency":"EUR"}"#)
    );
    assert!(ask(&finance, top_up, paid).await.1.contains("known"));
    for (bad, code) in [
        (r#"{"token": "till-7-1", "amount": "13"}"#, "409"),
        (r#"{"token": "x", "amount": "13", "voucher": "AAAA"}"#, "422"),
        (r#"{"token": "x"}"#, "422"),
        (r#"{"token": "tollbook:payment:1", "amount": "13"}"#, "409"),
        (r#"{"token": " ", "amount": "13"}"#, "422"),
        (r#"{"token": "x", "amount": "-13"}"#, "422"),
        (r#"{"token": "x", "amount": "0.0000001"}"#, "422"),
        (r#"{"token": "x", "voucher": "ZZZZ-ZZZZ"}"#, "422"),
    ] {
        assert_eq!(ask(&finance, top_up, bad).await.0, code, "{bad}");
    }
    let made = r#"{"amount": "5", "count": 2, "days": 30}"#;
    assert_eq!(ask(&auditor, "POST /api/v1/vouchers", made).await.0, "403");
    let (code, made) = ask(&finance, "POST /api/v1/vouchers", made).await;
    assert_eq!(code, "200", "{made}");
    let made: Value = serde_json::from_str(&made).unwrap();
    let voucher = made["codes"][0].as_str().unwrap();
    let (code, said) = ask(&finance, top_up, &format!(r#"{{"token": "v", "voucher": "{voucher}"}}"#)).await;
    assert_eq!(code, "200", "{said}");
    let trail = house.store.audit_list(9).await.unwrap();
    assert!(trail.iter().any(|entry| entry.action == "make_vouchers"), "{trail:?}");
    assert_eq!(ask(&auditor, "GET /api/v1/accounts/acme/topups?tenant=nobody", "").await.0, "404");
    let (_, attempts) = ask(&auditor, "GET /api/v1/accounts/acme/topups", "").await;
    let attempts: Value = serde_json::from_str(&attempts).unwrap();
    let outcomes: Vec<&str> =
        attempts["items"].as_array().unwrap().iter().map(|item| item["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["done", "bad_code", "bad_amount", "token_used", "token_used", "known", "done"]);

    // Rating would post it; here the test does.
    let acme = house.store.account_by_handle("", "acme").await.unwrap().unwrap();
    let posting = model::Posting {
        id: model::PostingId::of_top_up(acme.id, "till-7-1"),
        tenant: acme.tenant,
        account: acme.id,
        at: DateTime::UNIX_EPOCH + TimeDelta::hours(1),
        debit: model::LedgerAccount::Bank(acme.tenant),
        credit: model::LedgerAccount::Cash(acme.id),
        amount: model::Money::new("12.50".parse().unwrap(), model::Currency::EUR),
        reason: model::PostingReason::TopUp,
        cdr: None,
        reverses: None,
    };
    let commit = store::LaneCommit {
        partition: 9,
        expected: 0,
        position: 1,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: vec![StoreEffect::Post(posting)],
    };
    house.store.commit("ledger", vec![commit]).await.unwrap();
    for (at, balance) in [("1970-01-01T00:30:00Z", "0"), ("1970-01-01T02:00:00Z", "12.5")] {
        let (_, shown) = ask(&auditor, &format!("GET /api/v1/accounts/acme/balance?at={at}"), "").await;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((shown["balance"].as_str(), shown["is_kept"].as_bool()), (Some(balance), Some(true)));
    }
    let days = "from=1970-01-01&to=1970-01-31";
    let (_, sheet) = ask(&auditor, &format!("GET /api/v1/accounts/acme/statement?{days}"), "").await;
    let sheet: Value = serde_json::from_str(&sheet).unwrap();
    assert_eq!(sheet["items"][0]["after"]["own_money"].as_str(), Some("12.5"));
    let (_, csv) = ask(&auditor, &format!("GET /api/v1/accounts/acme/statement?{days}&format=csv"), "").await;
    assert!(csv.ends_with("topup,,12.5,0,0,0,12.5,0,0,0,EUR\n"), "{csv}");
    let backwards = "GET /api/v1/accounts/acme/statement?from=1970-01-31&to=1970-01-01";
    assert_eq!(ask(&auditor, backwards, "").await.0, "422");
}

#[tokio::test]
async fn billing_run_is_started_watched_and_paid_by_those_who_may() {
    let house = House::with_roles(&["finance"]).await;
    let (finance, auditor) = (token(&house, "finance").await, token(&house, "auditor").await);
    let ask = async |header: &str, request: &str, text: &str| {
        let headers = format!("Content-Type: application/json\r\n{header}");
        let answer = house.ask(request, &headers, text).await;
        (status(&answer).to_owned(), body(&answer).to_owned())
    };
    let run = "POST /api/v1/billing-run";
    assert_eq!(ask(&auditor, run, r#"{"dry_run": true}"#).await.0, "403");
    for (bad, code) in
        [(r#"{"month": "2026-13"}"#, "409"), (r#"{"account": "nobody"}"#, "404"), (r#"{"dry": true}"#, "422")]
    {
        assert_eq!(ask(&finance, run, bad).await.0, code, "{bad}");
    }
    let (code, started) =
        ask(&finance, run, r#"{"month": "2026-10", "account": "acme", "dry_run": true}"#).await;
    assert_eq!(code, "200", "{started}");
    let started: Value = serde_json::from_str(&started).unwrap();
    let said = started["items"][0]["said"].as_str().unwrap();
    assert!(said.contains("2026-10") && said.contains("is_dry: true") && said.contains("token:"), "{said}");
    assert_eq!(ask(&auditor, "GET /api/v1/billing-run", "").await.0, "200");
    // The same by hand, and nothing of what is said is markup.
    let cookie = house.cookie_of("finance").await;
    let form = format!("Content-Type: application/x-www-form-urlencoded\r\n{cookie}");
    assert_eq!(status(&house.ask("POST /invoices/run", &form, "month=&account=&act=burn").await), "422");
    let answer = house.ask("POST /invoices/run", &form, "month=2026-10&account=&act=run").await;
    assert_eq!(status(&answer), "303");
    let page = house.ask("GET /invoices/run", &cookie, "").await;
    assert!(page.contains("is_dry: false") && !page.contains("back: <"), "{page}");

    let acme = house.store.account_by_handle("", "acme").await.unwrap().unwrap();
    let amount = |text: &str| text.parse().unwrap();
    let new = store::NewInvoice {
        tenant: acme.tenant,
        seller: None,
        account: acme.id,
        kind: store::InvoiceKind::Invoice,
        period_start: DateTime::UNIX_EPOCH,
        period_end: DateTime::UNIX_EPOCH + TimeDelta::days(31),
        currency: model::Currency::EUR,
        net: amount("10"),
        tax: amount("2"),
        gross: amount("12"),
        prefix: "INV-".to_owned(),
        year: 1970,
        issued_at: DateTime::UNIX_EPOCH,
        made_after: None,
    };
    let (made, _) = house.store.invoice_create(&new, |number| number.to_owned()).await.unwrap();
    let page = house.ask(&format!("GET /invoices/{}", made.id.0), &cookie, "").await;
    assert!(page.contains("Its sum came in"), "{page}");
    let pay = format!("POST /api/v1/invoices/{}/paid", made.id.0);
    assert_eq!(ask(&auditor, &pay, "").await.0, "403");
    assert_eq!(ask(&finance, &pay, "").await.1, r#"{"amount":"12","currency":"EUR"}"#);
    assert_eq!(ask(&finance, &pay, "").await.0, "422");
    assert_eq!(ask(&finance, "POST /api/v1/invoices/99/paid", "").await.0, "404");
    let page = house.ask(&format!("GET /invoices/{}", made.id.0), &cookie, "").await;
    assert!(!page.contains("Its sum came in") && page.contains("paid"), "{page}");
    let (_, attempts) = ask(&auditor, "GET /api/v1/accounts/acme/topups", "").await;
    let attempts: Value = serde_json::from_str(&attempts).unwrap();
    let kinds: Vec<&str> =
        attempts["items"].as_array().unwrap().iter().map(|item| item["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["invoice", "payment"]);
    let trail = house.store.audit_list(9).await.unwrap();
    assert!(trail.iter().any(|entry| entry.action == "invoice_paid"), "{trail:?}");
}
