//! What is provisioned, made and changed by programs: nothing by halves, nothing unseen, nothing twice.

use chrono::{DateTime, TimeDelta};
use serde_json::{Value, json};

use crate::house::{House, body, status};

const JSON: &str = "Content-Type: application/json\r\n";
const CSV: &str = "Content-Type: text/csv\r\n";

/// A house and a token of a role.
async fn house(role: &str) -> (House, String) {
    let house = House::with_roles(&[]).await;
    let header = token(&house, role).await;
    (house, header)
}

async fn token(house: &House, role: &str) -> String {
    let (token, hash) = web::new_api_token();
    let (made, ends) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(1));
    house.store.api_token_create(&format!("for-{role}"), &hash, role, ends, "test", made).await.unwrap();
    format!("Authorization: Bearer {token}\r\n")
}

fn parsed(answer: &str) -> Value {
    serde_json::from_str(body(answer)).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

fn header<'a>(answer: &'a str, name: &str) -> &'a str {
    let line = answer.lines().find(|line| line.starts_with(&format!("{name}: ")));
    line.unwrap_or_else(|| panic!("no {name}: {answer}")).split_once(": ").unwrap().1
}

impl House {
    async fn send(&self, request: &str, headers: &str, object: &Value) -> String {
        self.ask(request, &format!("{JSON}{headers}"), &object.to_string()).await
    }
}

const TRUNK: &str = "/api/v1/trunks";

fn trunk() -> Value {
    json!({"account": "carrier", "name": "alpine", "address": "192.0.2.7:5060", "sources": ["192.0.2.0/28"]})
}

#[tokio::test]
async fn object_is_made_read_changed_and_deleted_and_the_trail_says_so() {
    let (house, auth) = house("operator").await;
    let made = house.send(&format!("POST {TRUNK}"), &auth, &trunk()).await;
    assert_eq!(status(&made), "201", "{made}");
    assert_eq!(header(&made, "location"), "/api/v1/trunks/alpine");
    assert_eq!(parsed(&made)["transport"], "udp");
    let read = house.ask(&format!("GET {TRUNK}/alpine"), &auth, "").await;
    assert_eq!((parsed(&read), header(&read, "etag")), (parsed(&made), header(&made, "etag")));

    let patch = json!({"calls_max": 30, "sources": null, "calling": {"probe_seconds": 20}});
    let changed = house.send(&format!("PATCH {TRUNK}/alpine"), &auth, &patch).await;
    assert_eq!(status(&changed), "200", "{changed}");
    let now = parsed(&changed);
    assert_eq!(
        (&now["calls_max"], &now["sources"], &now["address"]),
        (&json!(30), &json!([]), &trunk()["address"])
    );
    assert_eq!(house.store.directory().await.unwrap().trunks[0].calls_max, Some(30));

    // In use it is not deleted, nor while a route leads to it.
    assert_eq!(status(&house.ask(&format!("DELETE {TRUNK}/alpine"), &auth, "").await), "409");
    house.send(&format!("PATCH {TRUNK}/alpine"), &auth, &json!({"enabled": false})).await;
    let route = house.send("POST /api/v1/routes", &auth, &json!({"trunk": "alpine", "prefix": "43"})).await;
    assert_eq!(status(&route), "201", "{route}");
    let refused = house.ask(&format!("DELETE {TRUNK}/alpine"), &auth, "").await;
    assert!(status(&refused) == "409" && body(&refused).contains("routes"), "{refused}");
    assert_eq!(status(&house.ask("DELETE /api/v1/routes/alpine:43", &auth, "").await), "204");
    assert_eq!(status(&house.ask(&format!("DELETE {TRUNK}/alpine"), &auth, "").await), "204");
    assert_eq!(status(&house.ask(&format!("GET {TRUNK}/alpine"), &auth, "").await), "404");

    let history = parsed(&house.ask(&format!("GET {TRUNK}/alpine/history"), &auth, "").await);
    let told: Vec<&str> =
        history["items"].as_array().unwrap().iter().map(|it| it["action"].as_str().unwrap()).collect();
    assert_eq!(told, ["delete", "change", "change", "create"]);
    let second = &history["items"][2];
    assert_eq!((&second["before"]["calls_max"], &second["after"]["calls_max"]), (&Value::Null, &json!(30)));
    assert_eq!(second["actor"], "token:for-operator");
    assert_eq!(house.store.audit_verify().await.unwrap(), None);
}

#[tokio::test]
async fn change_of_a_state_that_is_no_more_is_refused() {
    let (house, auth) = house("operator").await;
    let read = house.ask("GET /api/v1/accounts/acme", &auth, "").await;
    let etag = header(&read, "etag").to_owned();
    let known = house.ask("GET /api/v1/accounts/acme", &format!("{auth}If-None-Match: {etag}\r\n"), "").await;
    assert_eq!(status(&known), "304");
    let with = format!("{auth}If-Match: {etag}\r\n");
    let first = house.send("PATCH /api/v1/accounts/acme", &with, &json!({"calls_max": 5})).await;
    assert_eq!(status(&first), "200", "{first}");
    let second = house.send("PATCH /api/v1/accounts/acme", &with, &json!({"calls_max": 6})).await;
    assert_eq!(status(&second), "412", "{second}");
    assert_eq!(house.store.directory().await.unwrap().accounts[0].calls_max, Some(5));

    let network = json!({"name": "office", "blocks": ["192.0.2.0/24"]});
    let made = house.send("POST /api/v1/networks", &auth, &network).await;
    let old = format!("{auth}If-Match: {}\r\n", header(&made, "etag"));
    let patch = json!({"blocks": ["192.0.2.0/25"]});
    let changed = house.send("PATCH /api/v1/networks/office", &auth, &patch).await;
    let gone = house.ask("DELETE /api/v1/networks/office", &old, "").await;
    assert_eq!(status(&gone), "412", "{gone}");
    let new = format!("{auth}If-Match: {}\r\n", header(&changed, "etag"));
    assert_eq!(status(&house.ask("DELETE /api/v1/networks/office", &new, "").await), "204");
}

#[tokio::test]
async fn rate_is_not_made_twice_nor_slipped_below_calls_that_have_their_price() {
    let (house, auth) = house("finance").await;
    let rate = |from: &str, rate: &str| json!({"from": "EUR", "to": "USD", "rate": rate, "valid_from": from});
    let post = async |object: Value| house.send("POST /api/v1/exchange-rates", &auth, &object).await;
    assert_eq!(status(&post(rate("2999-01-01T00:00:00Z", "1.1")).await), "201");
    let again = post(rate("2999-01-01T01:00:00+01:00", "1.2")).await;
    assert_eq!(status(&again), "409", "{again}");
    // Nothing was in force before the first.
    assert_eq!(status(&post(rate("1969-01-01T00:00:00Z", "1.1")).await), "201");
    let between = post(rate("1969-06-01T00:00:00Z", "2")).await;
    assert_eq!(status(&between), "422", "{between}");
    let rates = house.store.directory().await.unwrap().exchange_rates.clone();
    assert!(rates.len() == 2 && rates.iter().all(|it| it.rate.to_string() == "1.1"), "{rates:?}");
}

#[tokio::test]
async fn wrong_field_is_named_and_nothing_changes() {
    let (house, auth) = house("operator").await;
    let revision = house.store.revision().await.unwrap();
    for (request, object, code, pointer) in [
        ("POST /api/v1/accounts", json!({"handle": "x", "colour": 1}), "422", "/colour"),
        ("POST /api/v1/accounts", json!({"handle": "x", "contact": {"mail": "a"}}), "422", "/contact/mail"),
        ("POST /api/v1/accounts", json!({"handle": "x", "reseller": "nobody"}), "422", "/reseller"),
        ("POST /api/v1/accounts", json!({"handle": "x", "profile": "nothing"}), "422", "/profile"),
        ("POST /api/v1/accounts", json!({"handle": "x", "timezone": "Mars/Base"}), "422", "/timezone"),
        ("POST /api/v1/accounts", json!({"handle": "forbidden"}), "422", "/calling"),
        ("POST /api/v1/accounts", json!({"handle": "acme"}), "409", ""),
        ("PATCH /api/v1/accounts/acme", json!({"handle": "other"}), "422", "/handle"),
        ("PATCH /api/v1/accounts/acme", json!({"vat_percent": 20}), "422", "/vat_percent"),
        ("PATCH /api/v1/accounts/acme", json!({"calling": {"colour": 1}}), "422", "/calling"),
        ("PATCH /api/v1/accounts/nobody", json!({}), "404", ""),
        ("POST /api/v1/subscribers", json!({"username": "u", "domain": "d"}), "422", ""),
    ] {
        let answer = house.send(request, &auth, &object).await;
        assert_eq!(status(&answer), code, "{request} {object}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
        let error = parsed(&answer)["errors"][0].clone();
        let found = error["pointer"].as_str().unwrap_or_default();
        assert!(
            found.starts_with(pointer) && (pointer.is_empty() == found.is_empty()),
            "{request} {object}: {error}"
        );
    }
    assert_eq!(house.store.revision().await.unwrap(), revision);
    let text = house.ask("POST /api/v1/accounts", &format!("Content-Type: text/plain\r\n{auth}"), "{}").await;
    assert_eq!(status(&text), "415");
}

#[tokio::test]
async fn dry_run_says_what_it_would_be_and_leaves_it() {
    let (house, auth) = house("operator").await;
    let revision = house.store.revision().await.unwrap();
    let made = house.send(&format!("POST {TRUNK}?dry_run=true"), &auth, &trunk()).await;
    assert_eq!((status(&made), &parsed(&made)["id"]), ("200", &json!("alpine")), "{made}");
    let patched =
        house.send("PATCH /api/v1/accounts/acme?dry_run=true", &auth, &json!({"calls_max": 9})).await;
    assert_eq!(parsed(&patched)["calls_max"], 9);
    assert_eq!(
        status(&house.send("PATCH /api/v1/accounts/acme?dryrun=true", &auth, &json!({})).await),
        "422"
    );
    assert_eq!(house.store.revision().await.unwrap(), revision);
    assert!(house.store.directory().await.unwrap().trunks.is_empty());
}

#[tokio::test]
async fn write_with_a_key_is_done_once() {
    let (house, auth) = house("operator").await;
    let keyed = format!("{auth}Idempotency-Key: 7d1c\r\n");
    let first = house.send(&format!("POST {TRUNK}"), &keyed, &trunk()).await;
    let again = house.send(&format!("POST {TRUNK}"), &keyed, &trunk()).await;
    assert_eq!((status(&first), status(&again)), ("201", "201"), "{again}");
    assert_eq!((parsed(&first), header(&first, "etag")), (parsed(&again), header(&again, "etag")));
    assert_eq!(header(&again, "idempotency-replayed"), "true");
    let other =
        house.send(&format!("POST {TRUNK}"), &keyed, &json!({"account": "carrier", "name": "b"})).await;
    assert_eq!(status(&other), "422", "{other}");
    // Another program has keys of its own.
    let finance = format!("{}Idempotency-Key: 7d1c\r\n", token(&house, "finance").await);
    assert_eq!(status(&house.send(&format!("POST {TRUNK}"), &finance, &trunk()).await), "403");
    let bad = format!("{auth}Idempotency-Key: a b\r\n");
    assert_eq!(status(&house.send(&format!("POST {TRUNK}"), &bad, &trunk()).await), "422");
    // One that was refused to its role was not looked at.
    let rate = json!({"from": "EUR", "to": "USD", "rate": "1.1", "valid_from": "2999-01-01T00:00:00Z"});
    assert_eq!(status(&house.send("POST /api/v1/exchange-rates", &finance, &rate).await), "201");
    // Another condition makes it another request.
    let conditional = format!("{keyed}If-Match: \"x\"\r\n");
    assert_eq!(status(&house.send(&format!("POST {TRUNK}"), &conditional, &trunk()).await), "422");
    // Without a key the second one finds the first.
    assert_eq!(status(&house.send(&format!("POST {TRUNK}"), &auth, &trunk()).await), "409");
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let (house, auth) = house("operator").await;
    let object = json!({
        "account": "acme", "username": "u", "domain": "sip.example", "password": "very-secret-1", "numbers": ["4351210"],
    });
    let made = house.send("POST /api/v1/subscribers", &auth, &object).await;
    assert_eq!(status(&made), "201", "{made}");
    let patch = json!({"password": "very-secret-2"});
    let changed = house.send("PATCH /api/v1/subscribers/u@sip.example", &auth, &patch).await;
    assert_eq!(status(&changed), "200", "{changed}");
    let kept = house.store.directory().await.unwrap().subscribers[0].digest.ha1_md5.clone();
    assert_eq!(kept, "hash of very-secret-2");
    let login = json!({"calling": {"login": {"username": "us", "password": "very-secret-3"}}});
    house.send(&format!("POST {TRUNK}"), &auth, &trunk()).await;
    let trunk = house.send(&format!("PATCH {TRUNK}/alpine"), &auth, &login).await;
    assert_eq!(parsed(&trunk)["calling"]["login"]["username"], "us");
    let mut seen = format!("{made}{changed}{trunk}");
    for path in
        ["subscribers", "subscribers.csv", "subscribers/u@sip.example", "subscribers/u@sip.example/history"]
    {
        seen.push_str(&house.ask(&format!("GET /api/v1/{path}"), &auth, "").await);
    }
    for path in ["trunks.csv", "trunks", "trunks/alpine/history", "changes"] {
        seen.push_str(&house.ask(&format!("GET /api/v1/{path}"), &auth, "").await);
    }
    assert!(seen.contains("change_secret") && !seen.contains("very-secret"), "{seen}");
}

#[tokio::test]
async fn file_of_objects_is_taken_whole_or_not_at_all() {
    let (house, auth) = house("operator").await;
    let csv = format!("{CSV}{auth}");
    let file = "account,username,domain,password,numbers\n\
                acme,a,sip.example,secret-of-a,4351210 4351211\n\
                nobody,b,sip.example,secret-of-b,\n\
                acme,c,sip.example,secret-of-c,43x\n";
    let refused = house.ask("POST /api/v1/subscribers.csv", &csv, file).await;
    assert_eq!(status(&refused), "422", "{refused}");
    let errors = parsed(&refused)["errors"].clone();
    assert_eq!((&errors[0]["line"], &errors[0]["pointer"]), (&json!(4), &json!("/numbers/0")), "{errors}");
    assert!(house.store.directory().await.unwrap().subscribers.is_empty());

    let file = file.replace("nobody", "acme").replace("43x", "");
    let dry = house.ask("POST /api/v1/subscribers.csv?dry_run=true", &csv, &file).await;
    assert_eq!((status(&dry), &parsed(&dry)["added"]), ("200", &json!(3)), "{dry}");
    assert!(house.store.directory().await.unwrap().subscribers.is_empty());
    let taken = parsed(&house.ask("POST /api/v1/subscribers.csv", &csv, &file).await);
    assert_eq!((&taken["added"], &taken["changed"]), (&json!(3), &json!(0)), "{taken}");
    // What was downloaded is as it is.
    let whole = house.ask("GET /api/v1/subscribers.csv", &auth, "").await;
    let again = parsed(&house.ask("POST /api/v1/subscribers.csv", &csv, body(&whole)).await);
    assert_eq!((&again["unchanged"], &again["changed"]), (&json!(3), &json!(0)), "{again}");
    let moved = "username,domain,numbers\na,sip.example,4351210\nb,sip.example,4351211\n";
    let moved = parsed(&house.ask("POST /api/v1/subscribers.csv", &csv, moved).await);
    assert_eq!(moved["changed"], 2, "{moved}");
    let twice = "username,domain,cli\na,sip.example,1\na,sip.example,2\n";
    let twice = house.ask("POST /api/v1/subscribers.csv", &csv, twice).await;
    assert!(status(&twice) == "422" && parsed(&twice)["errors"][0]["line"] == 3, "{twice}");
}

#[tokio::test]
async fn lists_are_searched_filtered_and_cut_to_fields() {
    let (house, auth) = house("auditor").await;
    let get =
        async |query: &str| parsed(&house.ask(&format!("GET /api/v1/accounts?{query}"), &auth, "").await);
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&get("kind=carrier").await), ["t:carrier"]);
    assert_eq!(ids(&get("q=ACM").await), ["t:acme"]);
    assert!(ids(&get("kind=carrier&status=terminated").await).is_empty());
    let part = get("fields=handle,contact.name&limit=1").await;
    assert_eq!(
        part["items"][0],
        json!({"id": "t:acme", "handle": "acme", "contact": {"name": "Acme <Ltd>"}})
    );
    assert_eq!(ids(&get(&format!("after={}", part["next"].as_str().unwrap())).await), ["t:carrier"]);
    for bad in ["kid=carrier", "fields=colour", "limit=0", "kind=friend"] {
        let answer = house.ask(&format!("GET /api/v1/accounts?{bad}"), &auth, "").await;
        assert_eq!(status(&answer), "422", "{bad}: {answer}");
    }
}

#[tokio::test]
async fn each_role_writes_what_is_its_own() {
    let house = House::with_roles(&[]).await;
    let network = json!({"name": "office", "blocks": ["192.0.2.0/24"]});
    let rate = json!({"from": "EUR", "to": "USD", "rate": "1.1", "valid_from": "2999-01-01T00:00:00Z"});
    for (role, sees, provisions, agrees) in [
        ("operator", true, true, true),
        ("finance", true, false, true),
        ("fraud", false, false, false),
        ("carrier_relations", false, false, false),
        ("analyst", false, false, false),
        ("auditor", true, false, false),
    ] {
        let auth = token(&house, role).await;
        for (path, object, may, key) in [
            ("networks", &network, provisions, "office"),
            ("exchange-rates", &rate, agrees, "t:EUR:USD:2999-01-01T00:00:00Z"),
        ] {
            let list = house.ask(&format!("GET /api/v1/{path}"), &auth, "").await;
            assert_eq!(status(&list), if sees { "200" } else { "403" }, "{role} {path}");
            let made = house.send(&format!("POST /api/v1/{path}"), &auth, object).await;
            assert_eq!(status(&made), if may { "201" } else { "403" }, "{role} {path}: {made}");
            let patched = house.send(&format!("PATCH /api/v1/{path}/{key}"), &auth, &json!({})).await;
            assert_eq!(status(&patched), if may { "200" } else { "403" }, "{role} {path}: {patched}");
            let file =
                house.ask(&format!("POST /api/v1/{path}.csv"), &format!("{CSV}{auth}"), "tenant\n").await;
            assert_eq!(status(&file), if may { "422" } else { "403" }, "{role} {path}: {file}");
            let gone = house.ask(&format!("DELETE /api/v1/{path}/{key}"), &auth, "").await;
            assert_eq!(status(&gone), if may { "204" } else { "403" }, "{role} {path}: {gone}");
        }
    }
}

#[tokio::test]
async fn every_kind_of_object_is_shut_to_roles_that_may_not_write_it() {
    let house = House::with_roles(&[]).await;
    let of_money = ["exchange-rates", "packages", "contracts", "billing-terms", "profile-limits"];
    let others = ["tenants", "accounts", "subscribers", "trunks", "routes", "networks"];
    for role in ["operator", "finance", "fraud", "carrier_relations", "analyst", "auditor"] {
        let auth = token(&house, role).await;
        for path in of_money.iter().chain(&others) {
            let may = role == "operator" || (role == "finance" && of_money.contains(path));
            let sees = matches!(role, "operator" | "finance" | "auditor");
            let outcome = |is_let_in: bool, code| if is_let_in { code } else { "403" };
            let base = format!("/api/v1/{path}");
            for (request, object, expected) in [
                (format!("GET {base}"), "", outcome(sees, "200")),
                (format!("GET {base}.csv"), "", outcome(sees, "200")),
                (format!("GET {base}/no:such"), "", outcome(sees, "404")),
                (format!("GET {base}/no:such/history"), "", outcome(sees, "404")),
                (format!("POST {base}"), "{\"colour\":1}", outcome(may, "422")),
                (format!("PATCH {base}/no:such"), "{}", outcome(may, "404")),
                (format!("DELETE {base}/no:such"), "", outcome(may, "404")),
            ] {
                let answer = house.ask(&request, &format!("{JSON}{auth}"), object).await;
                assert_eq!(status(&answer), expected, "{role} {request}: {answer}");
            }
        }
    }
}

#[tokio::test]
async fn account_with_a_balance_is_not_deleted() {
    let (house, auth) = house("operator").await;
    let account = json!({"contact": {"email": "new@acme.example"}, "profiles": []});
    let answer = house.send("PATCH /api/v1/accounts/acme", &auth, &account).await;
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(parsed(&answer)["contact"]["name"], "Acme <Ltd>");
    // A balance hangs on it.
    let refused = house.ask("DELETE /api/v1/accounts/acme", &auth, "").await;
    assert_eq!(status(&refused), "409", "{refused}");
    let refused = house.ask("DELETE /api/v1/contracts/acme", &auth, "").await;
    assert!(status(&refused) == "409" && body(&refused).contains("balance"), "{refused}");
}

/// As a browser sends a form.
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

#[tokio::test]
async fn form_changes_what_was_written_and_nothing_else() {
    let house = House::with_roles(&["operator", "auditor", "fraud"]).await;
    let cookie = house.cookie_of("operator").await;
    let auth = format!("{FORM}{cookie}");
    let new = "name=alpine&account=carrier&address=192.0.2.7%3A5060&sources=192.0.2.0%2F28&calls_max=&etag=&act=save";
    let made = house.ask("POST /provisioning/new/trunks", &auth, new).await;
    assert_eq!(status(&made), "303", "{made}");
    let login =
        json!({"calling": {"login": {"username": "us", "password": "very-secret"}, "probe_seconds": 20}});
    house.send("PATCH /api/v1/trunks/alpine", &cookie, &login).await;

    let page = house.ask("GET /provisioning/trunks/alpine", &cookie, "").await;
    assert!(page.contains("value=\"192.0.2.0/28\"") && !page.contains("very-secret"), "{page}");
    let etag = header(&house.ask("GET /api/v1/trunks/alpine", &cookie, "").await, "etag").replace('"', "%22");
    // Fields that the form does not send stay, and so does the secret below an object that it does.
    let calling = "%7B%22login%22%3A%7B%22username%22%3A%22us%22%7D%2C%22probe_seconds%22%3A30%7D";
    let changed = format!("calls_max=7&calling={calling}&etag={etag}&act=save");
    let saved = house.ask("POST /provisioning/trunks/alpine", &auth, &changed).await;
    assert_eq!(status(&saved), "303", "{saved}");
    let directory = house.store.directory().await.unwrap();
    let (trunk, rules) = (&directory.trunks[0], directory.calling.trunks.values().next().unwrap());
    assert_eq!((trunk.calls_max, trunk.sources.len(), rules.probe_seconds), (Some(7), 1, Some(30)));
    assert_eq!(rules.login.as_ref().unwrap().password, "very-secret");
    // The same form again is about a state that is no more.
    let stale = house.ask("POST /provisioning/trunks/alpine", &auth, &changed).await;
    assert!(status(&stale) == "200" && stale.contains("changed since it was read"), "{stale}");

    // Of a form that is refused all comes back but the password.
    let wrong = "account=nobody&username=u&domain=d.example&password=very-secret&act=save";
    let wrong = house.ask("POST /provisioning/new/subscribers", &auth, wrong).await;
    assert!(status(&wrong) == "200" && wrong.contains("d.example"), "{wrong}");
    assert!(!wrong.contains("very-secret"), "{wrong}");
    // A rule that strips puts nothing in place of what it found.
    let sets = json!({"calling": {"rewrite": {"plain": {"in_callee": [{"match": "^00", "replace": ""}]}}}});
    let set = house.send("PATCH /api/v1/tenants/t", &cookie, &sets).await;
    assert_eq!(status(&set), "200", "{set}");
    let page = house.ask("GET /provisioning/tenants/t", &cookie, "").await;
    assert!(page.contains("&quot;replace&quot;") || page.contains("&#34;replace&#34;"), "{page}");

    let wrong = house.ask("POST /provisioning/trunks/alpine", &auth, "calls_max=many&act=save").await;
    assert!(wrong.contains("aria-invalid") && wrong.contains("is a whole number"), "{wrong}");
    for (role, code) in [("auditor", "403"), ("fraud", "403")] {
        let auth = format!("{FORM}{}", house.cookie_of(role).await);
        let answer = house.ask("POST /provisioning/trunks/alpine", &auth, "calls_max=1&act=save").await;
        assert_eq!(status(&answer), code, "{role}");
        let answer = house.ask("POST /provisioning/trunks", &auth, "file=name&act=take").await;
        assert_eq!(status(&answer), code, "{role}");
    }
    let elsewhere = format!("{auth}Origin: http://evil.example\r\n");
    assert_eq!(status(&house.ask("POST /provisioning/trunks/alpine", &elsewhere, "act=delete").await), "403");
}
