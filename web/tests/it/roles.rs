//! Every role at every page: what it may open, and what it may read there.

use expect_test::expect;

use crate::house::{House, body, rated_call, status};

const ROLES: [&str; 9] = [
    "operator",
    "finance",
    "fraud",
    "carrier_relations",
    "analyst",
    "auditor",
    "reseller",
    "customer",
    "from_a_later_version",
];

#[tokio::test]
async fn every_role_opens_its_own_pages_and_no_other() {
    let house = House::with_roles(&ROLES).await;
    let pages = [
        "/",
        "/calls",
        "/accounts",
        "/accounts/acme",
        "/accounts/acme/money",
        "/accounts/acme/statement?from=1970-01-01&to=1970-01-02",
        "/provisioning/trunks",
        "/provisioning/new/trunks",
        "/provisioning/accounts/acme",
        "/provisioning/try",
        "/tariffs",
        "/tariffs/1/import",
        "/tariffs/try",
        "/tariffs/shadow",
        "/fraud",
        "/fraud/rules",
        "/fraud/rules/edit",
        "/invoices",
        "/invoices/run",
        "/invoices/1/pdf",
        "/files",
        "/files/partners",
        "/files/trail",
        "/sql",
        "/sql.csv?q=select+1",
        "/search?q=acme",
        "/access",
        "/own",
        "/own/calls",
        "/own/statement?from=1970-01-01&to=1970-01-02",
        "/own/invoices/1/pdf",
        "/me",
        "/health",
        "/metrics",
        "/api/v1/figures",
        "/api/v1/search?q=ac",
        "/api/v1/users",
        "/api/v1/tokens",
        "/api/v1/webhooks",
        "/api/v1/calls",
        "/api/v1/accounts",
        "/api/v1/subscribers",
        "/api/v1/trunks",
        "/api/v1/tariffs",
        "/api/v1/tariffs/1/zones",
        "/api/v1/tariffs/1/off-peak",
        "/api/v1/tariffs/1/price?destination=49&seconds=1",
        "/api/v1/shadow-billing",
        "/api/v1/numbers",
        "/api/v1/alerts",
        "/api/v1/locks",
        "/api/v1/barrings",
        "/api/v1/fraud/exceptions",
        "/api/v1/fraud/rules",
        "/api/v1/fraud/rules/x",
        "/api/v1/balances",
        "/api/v1/accounts/acme/balance",
        "/api/v1/accounts/acme/interval",
        "/api/v1/accounts/acme/topups",
        "/api/v1/invoices",
        "/api/v1/invoices/1",
        "/api/v1/billing-run",
        "/api/v1/suspense",
        "/api/v1/suspense/1",
        "/api/v1/changes",
        "/api/v1/mails",
        "/api/v1/mail-templates",
        "/api/v1/webhook-deliveries",
        "/api/v1/files",
        "/api/v1/exchange/partners",
        "/api/v1/exchange/streams",
        "/api/v1/exchange/trail",
        "/api/v1/exchange/inbox",
        "/api/v1/openapi.json",
    ];
    let mut seen = format!("{:24}", "");
    let mut cookies = Vec::new();
    for role in ROLES {
        seen.push_str(&format!(" {:>8}", role.chars().take(8).collect::<String>()));
        cookies.push(house.cookie_of(role).await);
    }
    seen.push('\n');
    for page in pages {
        seen.push_str(&format!("{page:24}"));
        for cookie in &cookies {
            let answer = house.ask(&format!("GET {page}"), cookie, "").await;
            seen.push_str(&format!(" {:>8}", status(&answer)));
        }
        seen.push('\n');
    }
    expect![[r#"
                                 operator  finance    fraud carrier_  analyst  auditor reseller customer from_a_l
        /                             200      200      200      200      200      200      303      303      403
        /calls                        200      200      200      200      200      200      403      403      403
        /accounts                     200      200      403      403      403      200      403      403      403
        /accounts/acme                200      200      403      403      403      200      403      403      403
        /accounts/acme/money          200      200      403      403      403      200      403      403      403
        /accounts/acme/statement?from=1970-01-01&to=1970-01-02      200      200      403      403      403      200      403      403      403
        /provisioning/trunks          200      200      403      403      403      200      403      403      403
        /provisioning/new/trunks      200      403      403      403      403      403      403      403      403
        /provisioning/accounts/acme      200      200      403      403      403      200      403      403      403
        /provisioning/try             200      200      403      403      403      200      403      403      403
        /tariffs                      200      200      403      403      403      200      403      403      403
        /tariffs/1/import             404      404      403      403      403      403      403      403      403
        /tariffs/try                  200      200      403      403      403      200      403      403      403
        /tariffs/shadow               200      200      403      403      403      200      403      403      403
        /fraud                        200      403      200      403      403      200      403      403      403
        /fraud/rules                  200      403      200      403      403      200      403      403      403
        /fraud/rules/edit             200      403      200      403      403      200      403      403      403
        /invoices                     200      200      403      403      403      200      403      403      403
        /invoices/run                 200      200      403      403      403      200      403      403      403
        /invoices/1/pdf               404      404      403      403      403      404      403      403      403
        /files                        200      200      403      200      403      200      403      403      403
        /files/partners               200      200      403      200      403      200      403      403      403
        /files/trail                  200      200      403      200      403      200      403      403      403
        /sql                          200      200      200      200      200      200      403      403      403
        /sql.csv?q=select+1           200      200      200      200      200      200      403      403      403
        /search?q=acme                303      303      200      200      200      303      403      403      403
        /access                       200      403      403      403      403      200      403      403      403
        /own                          403      403      403      403      403      403      200      200      403
        /own/calls                    403      403      403      403      403      403      200      200      403
        /own/statement?from=1970-01-01&to=1970-01-02      403      403      403      403      403      403      200      200      403
        /own/invoices/1/pdf           403      403      403      403      403      403      404      404      403
        /me                           200      200      200      200      200      200      200      200      403
        /health                       200      200      200      200      200      200      403      403      403
        /metrics                      200      200      200      200      200      200      403      403      403
        /api/v1/figures               200      200      200      200      200      200      403      403      403
        /api/v1/search?q=ac           200      200      200      200      200      200      403      403      403
        /api/v1/users                 200      403      403      403      403      200      403      403      403
        /api/v1/tokens                200      403      403      403      403      200      403      403      403
        /api/v1/webhooks              200      403      403      403      403      200      403      403      403
        /api/v1/calls                 200      200      200      200      200      200      403      403      403
        /api/v1/accounts              200      200      403      403      403      200      403      403      403
        /api/v1/subscribers           200      200      403      403      403      200      403      403      403
        /api/v1/trunks                200      200      403      403      403      200      403      403      403
        /api/v1/tariffs               200      200      403      403      403      200      403      403      403
        /api/v1/tariffs/1/zones       404      404      403      403      403      404      403      403      403
        /api/v1/tariffs/1/off-peak      404      404      403      403      403      404      403      403      403
        /api/v1/tariffs/1/price?destination=49&seconds=1      404      404      403      403      403      404      403      403      403
        /api/v1/shadow-billing        200      200      403      403      403      200      403      403      403
        /api/v1/numbers               200      200      403      403      403      200      403      403      403
        /api/v1/alerts                200      403      200      403      403      200      403      403      403
        /api/v1/locks                 200      403      200      403      403      200      403      403      403
        /api/v1/barrings              200      403      200      403      403      200      403      403      403
        /api/v1/fraud/exceptions      200      403      200      403      403      200      403      403      403
        /api/v1/fraud/rules           200      403      200      403      403      200      403      403      403
        /api/v1/fraud/rules/x         200      403      200      403      403      200      403      403      403
        /api/v1/balances              200      200      403      403      403      200      403      403      403
        /api/v1/accounts/acme/balance      200      200      403      403      403      200      403      403      403
        /api/v1/accounts/acme/interval      200      200      403      403      403      200      403      403      403
        /api/v1/accounts/acme/topups      200      200      403      403      403      200      403      403      403
        /api/v1/invoices              200      200      403      403      403      200      403      403      403
        /api/v1/invoices/1            404      404      403      403      403      404      403      403      403
        /api/v1/billing-run           200      200      403      403      403      200      403      403      403
        /api/v1/suspense              200      200      403      403      403      200      403      403      403
        /api/v1/suspense/1            404      404      403      403      403      404      403      403      403
        /api/v1/changes               200      200      403      403      403      200      403      403      403
        /api/v1/mails                 200      200      403      403      403      200      403      403      403
        /api/v1/mail-templates        200      200      403      403      403      200      403      403      403
        /api/v1/webhook-deliveries      200      403      403      403      403      200      403      403      403
        /api/v1/files                 200      200      403      200      403      200      403      403      403
        /api/v1/exchange/partners      200      200      403      200      403      200      403      403      403
        /api/v1/exchange/streams      200      200      403      200      403      200      403      403      403
        /api/v1/exchange/trail        200      200      403      200      403      200      403      403      403
        /api/v1/exchange/inbox        200      200      403      200      403      200      403      403      403
        /api/v1/openapi.json          200      200      200      200      200      200      403      403      403
    "#]]
    .assert_eq(&seen);
}

#[tokio::test]
async fn mails_of_the_fraud_desk_are_listed_for_those_who_see_it() {
    let house = House::with_roles(&ROLES).await;
    for about in ["alert:7", "alarm", "invoice:7"] {
        let mail = store::NewMail {
            to: vec!["ada@house.example".to_owned()],
            subject: format!("About {about}"),
            text: "Words".to_owned(),
            attachments: Vec::new(),
            about: about.to_owned(),
        };
        house.store.mail_enqueue(&mail, chrono::DateTime::UNIX_EPOCH).await.unwrap();
    }
    for (role, fraud) in [("operator", true), ("finance", false), ("auditor", true)] {
        let answer = house.ask("GET /api/v1/mails", &house.cookie_of(role).await, "").await;
        assert!(answer.contains("About invoice:7"), "{role} {answer}");
        for about in ["alert:7", "alarm"] {
            assert_eq!(answer.contains(about), fraud, "{role} {about}");
        }
    }
}

#[tokio::test]
async fn price_list_of_whoever_may_not_price_is_not_read() {
    let house = House::with_roles(&ROLES).await;
    // Without its type no form is read: whoever gets so far is told that.
    for (role, code) in [("finance", "415"), ("fraud", "403"), ("auditor", "403")] {
        let answer = house.ask("POST /tariffs/1/import", &house.cookie_of(role).await, "").await;
        assert_eq!(status(&answer), code, "{role} {answer}");
    }
}

#[tokio::test]
async fn live_figures_show_each_role_its_own() {
    let house = House::with_roles(&ROLES).await;
    for (role, money, fraud) in [
        ("operator", true, true),
        ("finance", true, false),
        ("fraud", false, true),
        ("carrier_relations", false, false),
        ("analyst", false, false),
        ("auditor", true, true),
    ] {
        let cookie = house.cookie_of(role).await;
        for path in ["/", "/api/v1/figures"] {
            let answer = house.ask(&format!("GET {path}"), &cookie, "").await;
            assert_eq!(answer.contains("owed by acme"), money, "{role} {path}");
            assert_eq!(answer.contains("watched"), fraud, "{role} {path}");
        }
        let page = house.ask("GET /", &cookie, "").await;
        assert!(!page.contains("watched<script>"), "text of others must not become markup");
    }
}

#[tokio::test]
async fn numbers_and_prices_are_shown_to_those_who_may_see_them() {
    let house = House::with_roles(&ROLES).await;
    let call = rated_call();
    let id = call.cdr.id;
    let callee = call.cdr.destination.user_in.clone();
    let cost_of = |provider| {
        let charge = call.charge(provider, model::Direction::Out).unwrap();
        format!("{}", charge.cost)
    };
    let (customer, carrier) = (cost_of(model::Provider::Customer), cost_of(model::Provider::Carrier));
    for (role, numbers, customer_prices, carrier_prices) in [
        ("operator", true, true, true),
        ("finance", true, true, true),
        ("fraud", true, true, false),
        ("carrier_relations", true, false, true),
        ("analyst", false, false, false),
        ("auditor", true, true, true),
    ] {
        let cookie = house.cookie_of(role).await;
        for path in [
            "/calls".to_owned(),
            "/api/v1/calls".to_owned(),
            format!("/calls/{id}"),
            format!("/api/v1/calls/{id}"),
        ] {
            let answer = house.ask(&format!("GET {path}"), &cookie, "").await;
            assert_eq!(status(&answer), "200", "{role} {path}: {answer}");
            let text = body(&answer);
            assert!(text.contains(&id.to_string()), "{role} {path}");
            assert_eq!(text.contains(callee.as_str()), numbers, "{role} {path}: {text}");
            assert_eq!(text.contains(&customer), customer_prices, "{role} {path}: {text}");
            assert_eq!(text.contains(&carrier), carrier_prices, "{role} {path}: {text}");
        }
        let by_number = house.ask(&format!("GET /api/v1/calls?number={callee}"), &cookie, "").await;
        assert_eq!(status(&by_number), if numbers { "200" } else { "403" }, "{role}");
    }
}

#[tokio::test]
async fn only_those_who_may_change_a_lock_change_it_and_the_reason_is_kept() {
    let house = House::with_roles(&ROLES).await;
    let form = "account=acme&level=outgoing&reason=burst+at+night";
    let header = "Content-Type: application/x-www-form-urlencoded\r\n";
    for role in ["finance", "carrier_relations", "analyst", "auditor"] {
        let cookie = house.cookie_of(role).await;
        let answer = house.ask("POST /fraud/lock", &format!("{header}{cookie}"), form).await;
        assert_eq!(status(&answer), "403", "{role}");
    }
    assert!(house.store.locks().await.unwrap().is_empty());
    let cookie = house.cookie_of("fraud").await;
    for bad in ["account=acme&level=outgoing&reason=", "account=acme&level=x&reason=x"] {
        let answer = house.ask("POST /fraud/lock", &format!("{header}{cookie}"), bad).await;
        assert_eq!(status(&answer), "422", "{bad}");
    }
    let nobody = "account=nobody&level=outgoing&reason=x";
    let answer = house.ask("POST /fraud/lock", &format!("{header}{cookie}"), nobody).await;
    assert_eq!(status(&answer), "404");
    let elsewhere = format!("{header}{cookie}Origin: http://evil.example\r\n");
    assert_eq!(status(&house.ask("POST /fraud/lock", &elsewhere, form).await), "403");
    assert!(house.store.locks().await.unwrap().is_empty());
    let answer = house.ask("POST /fraud/lock", &format!("{header}{cookie}"), form).await;
    assert_eq!(status(&answer), "303", "{answer}");
    let locks = house.store.locks().await.unwrap();
    assert_eq!((locks.len(), locks[0].reason.as_str()), (1, "burst at night"));
    let trail = house.store.audit_list(1).await.unwrap();
    assert_eq!(trail[0].actor, "fraud");
}
