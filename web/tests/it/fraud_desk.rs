//! The fraud desk: cases by money at risk, one click and its reason, barrings, exceptions, rules; for pages and programs alike.

use chrono::{DateTime, TimeDelta};
use model::{
    AccountId, Alert, AlertId, AlertSeverity, Currency, Finding, LockLevel, Measured, Money, Stopped,
    StoppedBy, TenantId,
};
use serde_json::Value;
use store::{LaneCommit, StoreEffect};

use crate::house::{House, body, status};

fn eur(units: i64) -> Money {
    Money::new(units.into(), Currency::EUR)
}

/// An alert of a rule about the first account.
fn alert(rule: &str, at_risk: i64) -> Alert {
    let account = AccountId(1);
    Alert {
        id: AlertId::derive(rule, account, "now"),
        tenant: TenantId(1),
        account,
        rule: rule.to_owned(),
        period: "now".to_owned(),
        limit: eur(1),
        value: eur(2),
        lock: LockLevel::Outgoing,
        notify: Vec::new(),
        evidence: Vec::new(),
        at: DateTime::UNIX_EPOCH,
        severity: AlertSeverity::Breach,
        update: 0,
        spending: None,
        finding: Some(Finding {
            version: 3,
            title: format!("Title of <{rule}>"),
            subject: "account acme".to_owned(),
            measures: vec![Measured {
                measure: "concurrent".to_owned(),
                value: "7".to_owned(),
                limit: "4 or more".to_owned(),
            }],
            n_calls: 9,
            at_risk: eur(at_risk),
            sparkline: vec![0, 1, 8],
            sparkline_step_seconds: 600,
            barred: Vec::new(),
            tag: Some("irsf".to_owned()),
        }),
    }
}

async fn house_with_alerts() -> House {
    let house = House::with_roles(&["fraud", "auditor"]).await;
    let (little, much) = (alert("little", 5), alert("much", 500));
    let stopped = Stopped { by: StoppedBy::Alert(much.id), saved: eur(36) };
    let effects = vec![
        StoreEffect::Alert(Box::new(little)),
        StoreEffect::Alert(Box::new(much)),
        StoreEffect::Stopped(stopped),
    ];
    let commit = LaneCommit {
        partition: 0,
        expected: 0,
        position: 1,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects,
    };
    house.store.commit("watch", vec![commit]).await.unwrap();
    house
}

async fn post(house: &House, cookie: &str, path: &str, form: &str) -> String {
    let headers = format!("{cookie}Content-Type: application/x-www-form-urlencoded\r\n");
    house.ask(&format!("POST {path}"), &headers, form).await
}

fn id_of(rule: &str) -> String {
    alert(rule, 0).id.to_string()
}

#[tokio::test]
async fn case_with_most_money_at_risk_is_first_and_shows_what_convinced() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("auditor").await;
    let page = house.ask("GET /fraud", &cookie, "").await;
    let place = |what: &str| page.find(what).unwrap_or_else(|| panic!("{what}: {page}"));
    assert!(place("500.00 EUR") < place("5.00 EUR"), "{page}");
    for word in ["36.00 EUR", "Title of &#60;much&#62;", "irsf", "concurrent 7", "<rect x="] {
        place(word);
    }
    assert!(!page.contains("<script>") && !page.contains("style="), "{page}");
    let case = house.ask(&format!("GET /fraud/alerts/{}", &id_of("much")[..12]), &cookie, "").await;
    for word in ["version 3", "4 or more", "600 s a bar", "saved by 1 calls stopped", "little"] {
        assert!(case.contains(word), "{word}: {case}");
    }
    // An auditor looks and changes nothing.
    assert!(!case.contains("<button name=\"act\""), "{case}");
    let refused = post(&house, &cookie, &format!("/fraud/alerts/{}", id_of("much")), "act=ack&reason=").await;
    assert_eq!(status(&refused), "403");
    assert_eq!(status(&house.ask("GET /fraud/alerts/zz", &cookie, "").await), "404");
    assert_eq!(status(&house.ask("GET /fraud/alerts/00000000", &cookie, "").await), "404");
}

#[tokio::test]
async fn one_click_locks_unlocks_kills_leaves_alone_and_judges_with_its_reason() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("fraud").await;
    let path = format!("/fraud/alerts/{}", id_of("much"));
    assert_eq!(status(&post(&house, &cookie, &path, "act=lock&reason=").await), "422", "no reason, no lock");
    for form in ["act=lock&reason=stolen", "act=kill&reason=stolen", "act=except&reason=his+own"] {
        assert_eq!(status(&post(&house, &cookie, &path, form).await), "303", "{form}");
    }
    let locks = house.store.locks().await.unwrap();
    assert_eq!((locks.len(), locks[0].level, locks[0].reason.as_str()), (1, LockLevel::Outgoing, "stolen"));
    let directory = house.store.directory().await.unwrap();
    assert_eq!(directory.kill_orders.len(), 2, "the lock ends calls too");
    assert_eq!(directory.fraud_exceptions[0].rule, "much");
    for form in
        ["act=unlock&reason=it+was+him", "act=ack&reason=", "act=note&reason=called+him", "act=clean&reason="]
    {
        assert_eq!(status(&post(&house, &cookie, &path, form).await), "303", "{form}");
    }
    assert!(house.store.locks().await.unwrap().is_empty());
    let case = house.store.alert_cases_named(&id_of("much")).await.unwrap().pop().unwrap();
    assert_eq!(case.acknowledged.unwrap().0, "fraud");
    assert_eq!(case.verdict.unwrap().0, model::Verdict::Clean);
    assert_eq!(case.notes[0].note, "called him");
    let open = house.ask("GET /fraud", &cookie, "").await;
    assert!(!open.contains("&#60;much&#62;") && open.contains("&#60;little&#62;"), "{open}");
    assert!(house.ask("GET /fraud?all=true", &cookie, "").await.contains("&#60;much&#62;"));
    assert_eq!(status(&post(&house, &cookie, &path, "act=steal&reason=x").await), "422");
}

#[tokio::test]
async fn barring_is_set_and_lifted_and_what_is_none_is_refused() {
    let house = House::with_roles(&["fraud"]).await;
    let cookie = house.cookie_of("fraud").await;
    for (form, code) in [
        ("act=set&range=%2B371234*&account=acme&for=12h&reason=fraud", "303"),
        ("act=set&range=881&calls_per_minute=2&reason=fraud", "303"),
        ("act=set&range=&reason=all", "422"),
        ("act=set&range=00371&reason=x", "422"),
        ("act=set&range=37a&reason=x", "422"),
        ("act=set&range=371&for=soon&reason=x", "422"),
        ("act=set&range=371&calls_per_minute=few&reason=x", "422"),
        ("act=set&range=371&reason=+", "422"),
        ("act=set&range=371&account=nobody&reason=x", "404"),
        ("act=bar&range=371&reason=x", "422"),
    ] {
        assert_eq!(status(&post(&house, &cookie, "/fraud/barring", form).await), code, "{form}");
    }
    let barrings = house.store.barrings().await.unwrap();
    let ranges: Vec<_> =
        barrings.iter().map(|one| (one.range.as_str(), one.account.0 != 0, one.calls_per_minute)).collect();
    assert_eq!(ranges, [("881", false, 2), ("371234", true, 0)]);
    assert_eq!(barrings[1].until, Some(DateTime::UNIX_EPOCH + TimeDelta::hours(12)));
    let page = house.ask("GET /fraud", &cookie, "").await;
    assert!(
        page.contains("371234…") && page.contains("2 calls a minute") && page.contains("everybody of t"),
        "{page}"
    );
    let lift = format!("act=lift&range=881&tenant={}&account=&reason=over", barrings[0].tenant.0);
    assert_eq!(status(&post(&house, &cookie, "/fraud/barring", &lift).await), "303");
    assert!(!house.ask("GET /fraud", &cookie, "").await.contains("881…"));
}

#[tokio::test]
async fn exception_of_a_rule_that_is_none_or_for_no_time_is_refused() {
    let house = House::with_roles(&["fraud"]).await;
    let cookie = house.cookie_of("fraud").await;
    for (form, code) in [
        ("act=set&account=acme&rule=much&days=3650&reason=x", "303"),
        ("act=lift&account=acme&rule=much&reason=x", "303"),
        ("act=set&account=acme&rule=none&reason=x", "422"),
        ("act=set&account=acme&days=0&reason=x", "422"),
        ("act=set&account=acme&days=3651&reason=x", "422"),
        ("act=leave&account=acme&reason=x", "422"),
    ] {
        assert_eq!(status(&post(&house, &cookie, "/fraud/exception", form).await), code, "{form}");
    }
    assert!(house.store.fraud_exceptions().await.unwrap().is_empty());
}

#[tokio::test]
async fn rule_leaves_nobody_alone_where_none_found_the_case() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("fraud").await;
    let spent = Alert { finding: None, ..alert("daily", 5) };
    let commit = LaneCommit {
        partition: 0,
        expected: 1,
        position: 2,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: vec![StoreEffect::Alert(Box::new(spent))],
    };
    house.store.commit("watch", vec![commit]).await.unwrap();
    let button = "value=\"except\"";
    let of_rule = house.ask(&format!("GET /fraud/alerts/{}", id_of("much")), &cookie, "").await;
    assert!(of_rule.contains(button), "{of_rule}");
    let path = format!("/fraud/alerts/{}", id_of("daily"));
    let of_limit = house.ask(&format!("GET {path}"), &cookie, "").await;
    assert!(status(&of_limit) == "200" && !of_limit.contains(button), "{of_limit}");
    assert_eq!(status(&post(&house, &cookie, &path, "act=except&reason=his+own").await), "422");
    assert!(house.store.fraud_exceptions().await.unwrap().is_empty());
}

#[tokio::test]
async fn case_is_handed_to_a_person_who_finds_it_among_their_own() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("fraud").await;
    let path = format!("/fraud/alerts/{}", id_of("much"));
    let case = house.ask(&format!("GET {path}"), &cookie, "").await;
    assert!(case.contains("<option>fraud</option>") && !case.contains("<option>auditor</option>"), "{case}");
    let mine = "GET /fraud?mine=true";
    assert!(house.ask(mine, &cookie, "").await.contains("No case."));
    // An auditor works on no cases, and nobody is called eve.
    for (form, code) in [
        ("act=hand&to=auditor&reason=", "422"),
        ("act=hand&to=eve&reason=", "422"),
        ("act=hand&to=fraud&reason=you+know+him", "303"),
    ] {
        assert_eq!(status(&post(&house, &cookie, &path, form).await), code, "{form}");
    }
    let own = house.ask(mine, &cookie, "").await;
    assert!(own.contains("&#60;much&#62;") && !own.contains("&#60;little&#62;"), "{own}");
    let case = house.ask(&format!("GET {path}"), &cookie, "").await;
    assert!(case.contains("to fraud by fraud") && case.contains("you know him"), "{case}");
    let headers = format!("{cookie}Content-Type: application/json\r\n");
    let handed = "POST /api/v1/alerts/";
    let little = format!("{handed}{}/hand-over", id_of("little"));
    assert_eq!(status(&house.ask(&little, &headers, r#"{"to":"auditor"}"#).await), "422");
    assert_eq!(status(&house.ask(&little, &headers, r#"{"to":"fraud","note":"and this"}"#).await), "204");
    let listed = house.ask("GET /api/v1/alerts?handed_to=fraud&open=true", &cookie, "").await;
    let listed: Value = serde_json::from_str(body(&listed)).unwrap();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);
    assert_eq!(listed["items"][0]["handed_to"], "fraud");
    let auditor = house.cookie_of("auditor").await;
    assert_eq!(status(&post(&house, &auditor, &path, "act=hand&to=fraud&reason=").await), "403");
    let nobody = house.ask("GET /api/v1/alerts?handed_to=auditor", &cookie, "").await;
    assert!(body(&nobody).contains("\"items\":[]"), "{nobody}");
}

#[tokio::test]
async fn spend_limit_shows_its_course_and_what_an_hour_more_would_cost() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("fraud").await;
    let spending = model::Spending { at_risk: eur(720), by_hour: vec![0, 50, 900] };
    let spent = Alert { finding: None, spending: Some(spending), ..alert("daily", 5) };
    let stopped = Stopped { by: StoppedBy::Alert(spent.id), saved: eur(18) };
    let commit = LaneCommit {
        partition: 0,
        expected: 1,
        position: 2,
        watermarks: Vec::new(),
        changes: Vec::new(),
        effects: vec![StoreEffect::Alert(Box::new(spent)), StoreEffect::Stopped(stopped)],
    };
    house.store.commit("watch", vec![commit]).await.unwrap();
    let desk = house.ask("GET /fraud", &cookie, "").await;
    let place = |what: &str| desk.find(what).unwrap_or_else(|| panic!("{what}: {desk}"));
    assert!(place("720.00 EUR") < place("500.00 EUR"), "most money at risk first");
    let case = house.ask(&format!("GET /fraud/alerts/{}", id_of("daily")), &cookie, "").await;
    for word in ["720.00 EUR", "18.00 EUR", "Spent, in hundredths, 3600 s a bar", "0, 50, 900", "<rect x="] {
        assert!(case.contains(word), "{word}: {case}");
    }
}

#[tokio::test]
async fn rule_is_checked_tried_and_saved_as_the_next_version() {
    let house = House::with_roles(&["fraud", "auditor"]).await;
    let cookie = house.cookie_of("fraud").await;
    let list = house.ask("GET /fraud/rules", &cookie, "").await;
    assert!(list.contains("night-burst") && list.contains("Dear calls at &#60;night&#62;"), "{list}");
    let edit = house.ask("GET /fraud/rules/edit?name=night-burst", &cookie, "").await;
    assert!(edit.contains(">rule night-burst</textarea>"), "{edit}");
    assert_eq!(status(&house.ask("GET /fraud/rules/edit?name=none", &cookie, "").await), "404");
    let wrong = post(&house, &cookie, "/fraud/rules/edit", "act=save&text=nonsense&reason=x").await;
    assert!(status(&wrong) == "200" && wrong.contains("there is no rule"), "{wrong}");
    let form = "act=backtest&text=rule+mine&from=2026-10-01&to=2026-10-31";
    let tried = post(&house, &cookie, "/fraud/rules/edit", form).await;
    assert!(tried.contains("30 calls: 1 incidents") && tried.contains("attempts 40"), "{tried}");
    let far = post(
        &house,
        &cookie,
        "/fraud/rules/edit",
        "act=backtest&text=rule+mine&from=2020-10-01&to=2026-10-31",
    )
    .await;
    assert!(far.contains("1 to 92 days"), "{far}");
    let beyond = "act=backtest&text=rule+mine&from=%2B262142-12-31&to=%2B262142-12-31";
    let beyond = post(&house, &cookie, "/fraud/rules/edit", beyond).await;
    assert!(status(&beyond) == "200" && beyond.contains("is no day such as"), "{beyond}");
    for version in 1..3 {
        let saved = post(&house, &cookie, "/fraud/rules/edit", "act=save&text=rule+mine&reason=why").await;
        assert!(status(&saved) == "303" && saved.contains(&format!("version%20{version}")), "{saved}");
    }
    assert_eq!(house.store.fraud_rule_versions(Some("mine")).await.unwrap().len(), 2);
    let auditor = house.cookie_of("auditor").await;
    let refused = post(&house, &auditor, "/fraud/rules/edit", "act=save&text=rule+mine&reason=why").await;
    assert_eq!(status(&refused), "403");
    assert!(!house.ask("GET /fraud/rules/edit", &auditor, "").await.contains("Save as new version"));
}

#[tokio::test]
async fn programs_do_at_the_fraud_desk_what_people_do() {
    let house = house_with_alerts().await;
    let cookie = house.cookie_of("fraud").await;
    let headers = format!("{cookie}Content-Type: application/json\r\n");
    let ask = |request: String, body: &'static str| {
        let (house, headers) = (&house, &headers);
        async move { house.ask(&request, headers, body).await }
    };
    let much = id_of("much");
    for (request, sent, code) in [
        (
            "PUT /api/v1/barrings".to_owned(),
            r#"{"range":"371234","account":"acme","for":"12h","reason":"fraud"}"#,
            "204",
        ),
        (
            "PUT /api/v1/barrings".to_owned(),
            r#"{"range":"371234","account":"acme","lift":true,"reason":"over"}"#,
            "204",
        ),
        ("PUT /api/v1/barrings".to_owned(), r#"{"range":"0371","reason":"fraud"}"#, "422"),
        (
            "PUT /api/v1/fraud/exceptions".to_owned(),
            r#"{"account":"acme","days":30,"reason":"his own"}"#,
            "204",
        ),
        ("PUT /api/v1/fraud/rules/mine".to_owned(), r#"{"text":"rule mine","reason":"why"}"#, "200"),
        ("PUT /api/v1/fraud/rules/mine".to_owned(), r#"{"text":"rule other","reason":"why"}"#, "422"),
        ("POST /api/v1/fraud/check".to_owned(), r#"{"text":"rule mine"}"#, "200"),
        ("POST /api/v1/fraud/check".to_owned(), r#"{"text":"nonsense"}"#, "422"),
        (
            "POST /api/v1/fraud/backtest".to_owned(),
            r#"{"text":"rule mine","from":"2026-10-01","to":"2026-10-31"}"#,
            "200",
        ),
        ("POST /api/v1/accounts/acme/kill".to_owned(), r#"{"reason":"stolen"}"#, "204"),
        (format!("POST /api/v1/alerts/{much}/verdict"), r#"{"act":"fraud","note":"sure"}"#, "204"),
        (format!("POST /api/v1/alerts/{much}/verdict"), r#"{"act":"steal"}"#, "422"),
    ] {
        let answer = ask(request.clone(), sent).await;
        assert_eq!(status(&answer), code, "{request} {sent}: {answer}");
    }
    let json = |answer: String| serde_json::from_str::<Value>(body(&answer)).unwrap();
    let alert = json(ask(format!("GET /api/v1/alerts/{much}"), "").await);
    assert_eq!(
        (&alert["at_risk"], &alert["saved"], &alert["n_stopped"]),
        (&"500".into(), &"36".into(), &1.into())
    );
    assert_eq!((&alert["verdict"], &alert["tag"]), (&"fraud".into(), &"irsf".into()));
    assert_eq!(json(ask("GET /api/v1/fraud/rules/mine".to_owned(), "").await)["items"][0]["version"], 1);
    assert_eq!(json(ask("GET /api/v1/barrings".to_owned(), "").await)["items"], Value::Array(Vec::new()));
    assert_eq!(json(ask("GET /api/v1/fraud/rules".to_owned(), "").await)["items"][0]["name"], "night-burst");
}

/// Another tenant with an account of the same handle.
const NAMESAKE: &str = r#"
    tenants = [{ handle = "other", contact = { name = "Other" } }]
    [[accounts]]
    tenant = "other"
    handle = "acme"
    contact = { name = "Another Acme" }
"#;

#[tokio::test]
async fn account_whose_handle_another_tenant_has_too_is_never_mistaken_for_the_other() {
    let house = House::with_more(&["fraud"], NAMESAKE).await;
    let cookie = house.cookie_of("fraud").await;
    let json = format!("{cookie}Content-Type: application/json\r\n");
    let locked = r#"{"level": "outgoing", "reason": "stolen"}"#;
    let put =
        async |query: &str| house.ask(&format!("PUT /api/v1/accounts/acme/lock{query}"), &json, locked).await;
    let refused = put("").await;
    assert_eq!(status(&refused), "409", "{refused}");
    assert!(refused.contains("say t:acme or other:acme"), "{refused}");
    assert_eq!(status(&put("?tenant=nobody").await), "404");
    assert_eq!(status(&put("?tenant=other").await), "204");
    let directory = house.store.directory().await.unwrap();
    let of_other = directory.accounts_named("other:acme")[0].id;
    let locks: Vec<AccountId> = directory.locks.iter().map(|lock| lock.account).collect();
    assert_eq!(locks, [of_other]);
    let there = house.ask("GET /api/v1/locks", &cookie, "").await;
    assert!(there.contains(r#""account":"other:acme""#), "{there}");

    let why = r#"{"reason": "stolen"}"#;
    for (path, code) in [("acme", "409"), ("t:acme", "204"), ("acme?tenant=t", "204")] {
        let (name, query) = path.split_once('?').unwrap_or((path, ""));
        let answer = house.ask(&format!("POST /api/v1/accounts/{name}/kill?{query}"), &json, why).await;
        assert_eq!(status(&answer), code, "{path}");
    }
    for (account, code) in [("acme", "409"), ("other:acme", "204")] {
        let wanted = format!(r#"{{"account": "{account}", "reason": "its own tests"}}"#);
        let answer = house.ask("PUT /api/v1/fraud/exceptions", &json, &wanted).await;
        assert_eq!(status(&answer), code, "{account}");
        let wanted = format!(r#"{{"account": "{account}", "range": "3712", "reason": "dear"}}"#);
        let answer = house.ask("PUT /api/v1/barrings", &json, &wanted).await;
        assert_eq!(status(&answer), code, "{account}");
    }
    let exceptions = house.store.fraud_exceptions().await.unwrap();
    assert_eq!(exceptions.iter().map(|one| one.account).collect::<Vec<_>>(), [of_other]);

    // The console names it so that its own buttons mean the right one.
    let page = house.ask("GET /fraud", &cookie, "").await;
    assert!(page.contains(r#"name="account" value="other:acme""#), "{page}");
    let unlock = "account=other:acme&level=none&reason=found";
    assert_eq!(status(&post(&house, &cookie, "/fraud/lock", unlock).await), "303");
    assert!(house.store.locks().await.unwrap().is_empty());
}

#[tokio::test]
async fn accounts_of_one_handle_are_each_on_one_page_of_the_list() {
    let house = House::with_more(&["operator"], NAMESAKE).await;
    let cookie = house.cookie_of("operator").await;
    let mut seen = Vec::new();
    let mut after = String::new();
    loop {
        let answer = house.ask(&format!("GET /api/v1/accounts?limit=1&after={after}"), &cookie, "").await;
        let page: Value = serde_json::from_str(body(&answer)).unwrap();
        for item in page["items"].as_array().unwrap() {
            let word = |key: &str| item[key].as_str().unwrap().to_owned();
            seen.push(format!("{}:{}", word("tenant"), word("handle")));
        }
        let Some(next) = page["next"].as_str() else { break };
        after = next.to_owned();
    }
    assert_eq!(seen, ["other:acme", "t:acme", "t:carrier"]);
    let one = house.ask("GET /api/v1/accounts/other:acme", &cookie, "").await;
    assert!(body(&one).contains("Another Acme"), "{one}");
    assert_eq!(status(&house.ask("GET /api/v1/accounts/acme", &cookie, "").await), "409");
    assert_eq!(status(&house.ask("GET /accounts/acme", &cookie, "").await), "409");
    assert_eq!(status(&house.ask("GET /accounts/other:acme", &cookie, "").await), "200");
}
