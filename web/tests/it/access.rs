//! Letting people and programs in, and shutting them out, over HTTP.

use serde_json::Value;

use crate::house::{House, body, status};

const JSON: &str = "Content-Type: application/json\r\n";

fn read(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|_| panic!("{answer}"))
}

#[tokio::test]
async fn password_and_token_are_told_once_and_open() {
    let house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    let headers = format!("{JSON}{cookie}");
    let wanted = r#"{"name": "ann", "role": "finance", "mail": "ann@example.com"}"#;
    let keyed = format!("{headers}Idempotency-Key: a1\r\n");
    let made = house.ask("POST /api/v1/users", &keyed, wanted).await;
    assert_eq!(status(&made), "201", "{made}");
    let password = read(&made)["password"].as_str().unwrap().to_owned();
    let again = house.ask("POST /api/v1/users", &keyed, wanted).await;
    assert!(status(&again) == "409" && !again.contains(&password), "{again}");
    let form = format!("name=ann&password={password}");
    assert_eq!(status(&house.post_form("/sign-in", "", &form).await), "303");
    let taken = house.ask("POST /api/v1/users", &headers, wanted).await;
    assert_eq!(status(&taken), "422", "{taken}");

    let wanted = r#"{"name": "billing robot", "role": "finance", "days": 30}"#;
    let made = house.ask("POST /api/v1/tokens", &headers, wanted).await;
    let token = read(&made)["token"].as_str().unwrap().to_owned();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(status(&house.ask("GET /api/v1/balances", &bearer, "").await), "200");
    let listed = house.ask("GET /api/v1/tokens", &cookie, "").await;
    assert!(listed.contains("billing robot") && !listed.contains(&token), "{listed}");
    let gone = house.ask("DELETE /api/v1/tokens/billing%20robot", &headers, "").await;
    assert_eq!(status(&gone), "204", "{gone}");
    assert_eq!(status(&house.ask("GET /api/v1/balances", &bearer, "").await), "401");
    let gone = house.ask("DELETE /api/v1/tokens/billing%20robot", &headers, "").await;
    assert_eq!(status(&gone), "404", "{gone}");
    let trail = house.store.audit_list(3).await.unwrap();
    let seen: Vec<_> = trail.iter().map(|entry| (entry.actor.as_str(), entry.action.as_str())).collect();
    assert_eq!(seen, [("operator", "token revoke"), ("operator", "token add"), ("operator", "user add")]);
    assert!(!trail.iter().any(|entry| entry.after.contains(&password) || entry.after.contains(&token)));
}

#[tokio::test]
async fn what_is_no_user_or_token_is_named() {
    let house = House::with_roles(&["operator", "finance"]).await;
    let cookie = house.cookie_of("operator").await;
    let headers = format!("{JSON}{cookie}");
    for (path, object, said) in [
        ("users", r#"{"name": "token:x", "role": "finance"}"#, "not beginning with"),
        ("users", r#"{"name": "command line", "role": "finance"}"#, "not beginning with"),
        ("users", r#"{"name": " ", "role": "finance"}"#, "name"),
        ("users", r#"{"name": "ann", "role": "root"}"#, "is not a role"),
        ("users", r#"{"name": "ann", "role": "finance", "mail": "nobody"}"#, "mail"),
        ("tokens", r#"{"name": "x", "role": "finance", "days": 0}"#, "days"),
        ("tokens", r#"{"name": "x", "role": "finance", "days": 3651}"#, "days"),
    ] {
        let answer = house.ask(&format!("POST /api/v1/{path}"), &headers, object).await;
        assert!(status(&answer) == "422" && answer.contains(said), "{object}: {answer}");
    }
    let none = house.ask("DELETE /api/v1/users/finance/second-factor", &headers, "").await;
    assert_eq!(status(&none), "404", "{none}");
    assert_eq!(house.store.users().await.unwrap().len(), 2);
}

#[tokio::test]
async fn those_who_may_not_let_anybody_in_do_not() {
    let house = House::with_roles(&["finance", "auditor", "analyst"]).await;
    for role in ["finance", "auditor", "analyst"] {
        let cookie = house.cookie_of(role).await;
        let headers = format!("{JSON}{cookie}");
        for (request, object) in [
            ("POST /api/v1/users", r#"{"name": "eve", "role": "operator"}"#),
            ("POST /api/v1/tokens", r#"{"name": "eve", "role": "operator", "days": 9}"#),
            ("DELETE /api/v1/tokens/x", ""),
            ("DELETE /api/v1/users/finance/second-factor", ""),
        ] {
            let answer = house.ask(request, &headers, object).await;
            assert_eq!(status(&answer), "403", "{role} {request}: {answer}");
        }
        let form = "act=user&name=eve&role=operator";
        assert_eq!(status(&house.post_form("/access", &cookie, form).await), "403", "{role}");
    }
    assert_eq!(house.store.users().await.unwrap().len(), 3);
    let page = house.ask("GET /access", &house.cookie_of("auditor").await, "").await;
    assert!(page.contains("analyst") && !page.contains("Let somebody in"), "{page}");
}

#[tokio::test]
async fn page_makes_a_user_and_shows_the_password_once() {
    let house = House::with_roles(&["operator"]).await;
    let cookie = house.cookie_of("operator").await;
    let wrong = house.post_form("/access", &cookie, "act=user&name=token:x&role=finance").await;
    assert!(status(&wrong) == "422" && wrong.contains("role=\"alert\""), "{wrong}");
    let made = house.post_form("/access", &cookie, "act=user&name=Ann+O%27Neil&role=finance&mail=").await;
    let (_, rest) = made.split_once("id=\"secret\">").unwrap_or_else(|| panic!("{made}"));
    let password = rest.split('<').next().unwrap();
    let form = format!("name=Ann+O%27Neil&password={password}");
    assert_eq!(status(&house.post_form("/sign-in", "", &form).await), "303");
    assert!(!house.ask("GET /access", &cookie, "").await.contains(password));
    let made = house.post_form("/access", &cookie, "act=token&name=robot&role=analyst&days=7").await;
    assert!(made.contains("id=\"secret\""), "{made}");
    let gone = house.post_form("/access", &cookie, "act=revoke&name=robot").await;
    assert_eq!(status(&gone), "303", "{gone}");
}

#[tokio::test]
async fn whoever_is_shut_out_stays_out_until_there_is_another_password() {
    let house = House::with_roles(&["operator", "finance"]).await;
    let (cookie, finance) = (house.cookie_of("operator").await, house.cookie_of("finance").await);
    assert_eq!(status(&house.ask("GET /", &finance, "").await), "200");
    let headers = format!("{JSON}{cookie}");
    assert_eq!(status(&house.ask("DELETE /api/v1/users/finance", &headers, "").await), "204");
    assert_eq!(status(&house.ask("GET /", &finance, "").await), "303");
    assert_eq!(status(&house.sign_in("finance", "").await), "401");
    assert!(house.ask("GET /access", &cookie, "").await.contains("shut out"));
    assert_eq!(status(&house.ask("DELETE /api/v1/users/nobody", &headers, "").await), "404");
    assert_eq!(status(&house.post_form("/access", &cookie, "act=shut_out&name=operator").await), "422");
    let hash = web::hash_password(crate::house::PASSWORD).unwrap();
    house.store.user_set_password("finance", &hash, "test", chrono::DateTime::UNIX_EPOCH).await.unwrap();
    assert_eq!(status(&house.sign_in("finance", "").await), "303");
}

#[tokio::test]
async fn own_password_is_changed_for_the_one_before_and_ends_other_sessions() {
    let house = House::with_roles(&["finance"]).await;
    let (cookie, other) = (house.cookie_of("finance").await, house.cookie_of("finance").await);
    let form =
        |now: &str, fresh: &str| format!("act=password&password={}&fresh={fresh}", now.replace(' ', "+"));
    let now = crate::house::PASSWORD;
    for (form, said) in [(form(now, "short"), "422"), (form("guess", "another+long+password"), "401")] {
        assert_eq!(status(&house.post_form("/me", &cookie, &form).await), said, "{form}");
    }
    let answer = house.post_form("/me", &cookie, &form(now, "another+long+password")).await;
    assert_eq!(status(&answer), "303", "{answer}");
    assert_eq!(status(&house.ask("GET /me", &crate::house::cookie_in(&answer), "").await), "200");
    for before in [cookie, other] {
        assert!(house.ask("GET /me", &before, "").await.contains("location: /sign-in"));
    }
    assert_eq!(status(&house.sign_in("finance", "").await), "401");
    let form = "name=finance&password=another+long+password";
    assert_eq!(status(&house.post_form("/sign-in", "", form).await), "303");
}
