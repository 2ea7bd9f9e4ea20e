//! The API as a program meets it: tokens, pages, problems, and a description that names every resource.

use chrono::{DateTime, TimeDelta};
use serde_json::Value;

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
            let answer = house.ask(&format!("GET {path}"), &header, "").await;
            assert_eq!(status(&answer), "200", "{path}: {answer}");
        }
    }
}
