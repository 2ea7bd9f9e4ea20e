//! Whoever asks too often is told when to come again, and nobody else is held up.

use std::sync::atomic::Ordering;

use web::RequestLimits;

use crate::house::{House, body, status};

#[tokio::test]
async fn program_that_asks_too_often_is_told_when_to_come_again() {
    let limits = RequestLimits { requests_per_minute: 20, sign_ins_per_minute: 0 };
    let house = House::with_limits(&["operator", "finance"], limits).await;
    let (operator, finance) = (house.cookie_of("operator").await, house.cookie_of("finance").await);
    // A fifth of a minute's requests at once.
    for _ in 0..4 {
        assert_eq!(status(&house.ask("GET /api/v1/accounts", &operator, "").await), "200");
    }
    let answer = house.ask("GET /api/v1/accounts", &operator, "").await;
    assert_eq!(status(&answer), "429", "{answer}");
    assert!(answer.contains("retry-after: 4\r"), "{answer}");
    assert!(answer.contains("application/problem+json") && body(&answer).contains("try again in 4 seconds"));
    assert_eq!(status(&house.ask("GET /api/v1/accounts", &finance, "").await), "200", "another user");
    assert_eq!(status(&house.ask("GET /accounts", &operator, "").await), "429", "pages count too");
    house.seconds.fetch_add(3, Ordering::Relaxed);
    assert_eq!(status(&house.ask("GET /api/v1/accounts", &operator, "").await), "200");
    assert_eq!(status(&house.ask("GET /api/v1/accounts", &operator, "").await), "429");
}

#[tokio::test]
async fn address_that_tries_many_names_must_wait() {
    let limits = RequestLimits { requests_per_minute: 0, sign_ins_per_minute: 3 };
    let house = House::with_limits(&["operator"], limits).await;
    for name in ["ann", "bob", "eve"] {
        assert_eq!(status(&house.sign_in(name, "").await), "401", "{name}");
    }
    let answer = house.sign_in("operator", "").await;
    assert_eq!(status(&answer), "429", "{answer}");
    assert!(answer.contains("retry-after: 21\r"), "{answer}");
    assert_eq!(status(&house.ask("GET /sign-in", "", "").await), "200", "looking is free");
    house.seconds.fetch_add(20, Ordering::Relaxed);
    assert_eq!(status(&house.sign_in("operator", "").await), "303");
}
