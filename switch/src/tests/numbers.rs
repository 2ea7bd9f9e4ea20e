//! Numbers as they are dialled, billed and sent out.

use expect_test::expect;
use model::{
    CallingRules, CountryDialling, Directory, OutForm, RewriteRule, RewriteSet, SubscriberCalling,
    SubscriberId, TenantCalling, TenantId, TrunkCalling, TrunkId,
};

use super::world::{ALICE, GATEWAY_1, World, directory};
use crate::SwitchConfig;

/// Alice dials as in Innsbruck; carrier 1 wants plus signs, carrier 2 national numbers of Germany.
fn world() -> World {
    let country = |out| CountryDialling {
        international: "00".into(),
        national: "0".into(),
        national_digits: None,
        out,
    };
    let set = |out| RewriteSet { country: Some(country(out)), ..RewriteSet::default() };
    let mut german = set(OutForm::National);
    german.out_callee = vec![RewriteRule {
        pattern: "^112$".into(),
        replace: "${caller_cc}${caller_ac}112".into(),
        note: String::new(),
    }];
    let tenant = TenantCalling {
        rewrite: [
            ("austria".to_owned(), set(OutForm::Canonical)),
            ("plus".to_owned(), set(OutForm::Plus)),
            ("germany".to_owned(), german),
        ]
        .into(),
        emergency: vec!["112".parse().unwrap()],
        ..TenantCalling::default()
    };
    let alice = SubscriberCalling {
        country_code: "43".into(),
        area_code: "512".into(),
        rewrite: Some("austria".into()),
        ..SubscriberCalling::default()
    };
    let trunk = |set: &str, code: &str| TrunkCalling {
        rewrite: Some(set.into()),
        country_code: code.into(),
        ..TrunkCalling::default()
    };
    let calling = CallingRules {
        tenants: [(TenantId(1), tenant)].into(),
        subscribers: [(SubscriberId(1), alice)].into(),
        trunks: [(TrunkId(1), trunk("plus", "43")), (TrunkId(2), trunk("germany", "49"))].into(),
        ..CallingRules::default()
    };
    let mut rows = Directory { calling, ..directory() };
    rows.trunks[0].calls_max = Some(1);
    let mut route = rows.routes[0].clone();
    (route.id, route.prefix) = (model::RouteId(9), "43".into());
    rows.routes.push(route.clone());
    (route.id, route.prefix, route.trunk) = (model::RouteId(10), "112".into(), TrunkId(2));
    rows.routes.push(route);
    World::with(SwitchConfig::default(), rows)
}

#[test]
fn number_is_kept_as_dialled_as_normalised_and_as_sent() {
    let mut world = world();
    for dialled in ["0049301234", "030555", "900100", "+49301234"] {
        world.dial(ALICE, dialled, 1);
        world.run_seconds(10);
    }
    world.dial(ALICE, "0049301234", 30);
    world.dial(ALICE, "0049301234", 1);
    world.dial(ALICE, "112", 1);
    let told: String = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            model::EventBody::Attempt(attempt) => {
                let callee = attempt.callee.map(|number| number.to_string()).unwrap_or_default();
                Some(format!("{} is {callee}\n", attempt.dialed))
            }
            model::EventBody::RouteAttempt(route) => Some(format!(
                "    sent to {} as {} from {}\n",
                route.next_hop, route.callee_out, route.caller_out
            )),
            _ => None,
        })
        .collect();
    expect![[r#"
        0049301234 is 49301234
            sent to 203.0.113.1:5060 as +49301234 from +43111
        030555 is 4330555
            sent to 203.0.113.1:5060 as +4330555 from +43111
        900100 is 43512900100
            sent to 203.0.113.1:5060 as +43512900100 from +43111
        +49301234 is 49301234
            sent to 203.0.113.1:5060 as +49301234 from +43111
        0049301234 is 49301234
            sent to 203.0.113.1:5060 as +49301234 from +43111
        0049301234 is 49301234
            sent to 203.0.113.2:5060 as 0301234 from 0043111
        112 is 112
            sent to 203.0.113.2:5060 as 43512112 from 0043111
    "#]]
    .assert_eq(&told);
}

#[test]
fn carrier_that_writes_numbers_its_own_way_is_understood() {
    let mut world = world();
    world.dial_from(GATEWAY_1, None, "0301234", "+43111", Some(1));
    assert!(world.story().contains("attempt 0301234 -> +43111 cli 43301234"), "{}", world.story());
    assert!(world.story().contains("480 Offline"), "found alice by her number: {}", world.story());
}
