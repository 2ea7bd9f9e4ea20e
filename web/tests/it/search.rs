//! Search over everything, as far as the role sees it.

use crate::house::{House, body, rated_call, status};

const MORE: &str = r#"
    [[subscribers]]
    account = "acme"
    username = "huber"
    domain = "sip.t.example"
    ha1_md5 = "x"
    ha1_sha256 = "x"
    numbers = ["43660555123", "43660555999"]
    [[trunks]]
    name = "alpine"
    account = "carrier"
    address = "192.0.2.7:5060"
"#;

#[tokio::test]
async fn whatever_has_a_name_is_found_by_a_part_of_it() {
    let house = House::with_more(&["operator"], MORE).await;
    let cookie = house.cookie_of("operator").await;
    let call = rated_call();
    for (typed, kind, name) in [
        ("ACM", "accounts", "acme"),
        ("a@acme.exa", "accounts", "acme"),
        ("hub", "subscribers", "huber@sip.t.example"),
        ("hub@t.ex", "subscribers", "huber@sip.t.example"),
        ("43660555", "numbers", "43660555123"),
        ("0660555999", "numbers", "43660555999"),
        ("555123", "numbers", "43660555123"),
        ("alp", "trunks", "alpine"),
        ("192.0.2.7", "trunks", "alpine"),
        ("operat", "users", "operator"),
    ] {
        let answer = house.ask(&format!("GET /api/v1/search?q={typed}"), &cookie, "").await;
        assert_eq!(status(&answer), "200", "{typed}: {answer}");
        let found: serde_json::Value = serde_json::from_str(body(&answer)).unwrap();
        let kinds = found["items"].as_array().unwrap();
        let of_kind =
            kinds.iter().find(|it| it["kind"] == kind).unwrap_or_else(|| panic!("{typed}: {found}"));
        let items = of_kind["items"].as_array().unwrap();
        let hit = items.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{typed}: {found}"));
        // What is found has a page.
        let page = hit["page"].as_str().unwrap();
        let opened = house.ask(&format!("GET {page}"), &cookie, "").await;
        assert_eq!(status(&opened), "200", "{typed} {page}: {opened}");
    }
    // One hit is gone to; several are listed, with text of others as text.
    let only = house.ask("GET /search?q=alpi", &cookie, "").await;
    assert!(only.contains("location: /provisioning/trunks/alpine"), "{only}");
    let several = house.ask("GET /search?q=a%3Cltd", &cookie, "").await;
    assert!(several.contains("a&#60;ltd"), "{several}");
    let listed = house.ask("GET /search?q=ac", &cookie, "").await;
    assert!(!listed.contains("Acme <Ltd>"), "{listed}");
    // By the CDR's own id, at once.
    let id = call.cdr.id;
    let gone = house.ask(&format!("GET /search?q={id}"), &cookie, "").await;
    assert!(gone.contains(&format!("location: /calls/{id}")), "{gone}");
    for (bad, said) in [("x", "2 to 200 letters"), (&"x".repeat(201), "2 to 200 letters")] {
        let answer = house.ask(&format!("GET /api/v1/search?q={bad}"), &cookie, "").await;
        assert!(status(&answer) == "422" && answer.contains(said), "{answer}");
    }
    let nothing = house.ask("GET /search?q=no-such-thing", &cookie, "").await;
    assert!(status(&nothing) == "200" && nothing.contains("Nothing is called like this"), "{nothing}");
    let empty = house.ask("GET /search?q=", &cookie, "").await;
    assert!(empty.contains("as far as your role sees them"), "{empty}");
}

#[tokio::test]
async fn role_finds_what_it_sees_and_nobody_by_a_number_it_does_not_see() {
    let house = House::with_more(&["operator", "analyst", "fraud", "finance"], MORE).await;
    let callee = rated_call().cdr.destination.user_in;
    for (role, typed, is_found) in [
        ("finance", "alp", true),
        ("fraud", "alp", false),
        ("analyst", "acm", false),
        ("analyst", "43660555", false),
        ("finance", "operat", false),
        ("analyst", callee.as_str(), false),
    ] {
        let cookie = house.cookie_of(role).await;
        let answer = house.ask(&format!("GET /api/v1/search?q={typed}"), &cookie, "").await;
        assert_eq!(status(&answer), "200", "{role} {typed}: {answer}");
        assert_eq!(body(&answer).contains("\"kind\""), is_found, "{role} {typed}: {answer}");
    }
}
