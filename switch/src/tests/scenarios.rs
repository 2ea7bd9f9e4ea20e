//! Scenarios that a carrier asks for before it buys (`docs/switch-acceptance.md`), where no other file settles them.

use std::time::Duration;

use model::{
    CallingRules, CountryDialling, Directory, ListMode, LockLevel, NcosLevel, OutForm, RewriteSet,
    SubscriberCalling, SubscriberId, TenantCalling, TenantId, TrunkCalling, TrunkId,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::world::{ALICE, GATEWAY_1, GATEWAY_2, SWITCH, World, directory, lock};
use crate::phone::{Behaviour, PhoneStep};
use crate::{RouteFrom, SwitchConfig};

/// Alice with these rules in a tenant with an emergency number; both trunks carry it.
fn world(rules: SubscriberCalling, tenant: TenantCalling) -> World {
    let tenant = TenantCalling { emergency: vec!["112".parse().unwrap()], ..tenant };
    let calling = CallingRules {
        tenants: [(TenantId(1), tenant)].into(),
        subscribers: [(SubscriberId(1), rules)].into(),
        ..CallingRules::default()
    };
    let mut rows = Directory { calling, ..directory() };
    for (id, trunk) in [(8, 1), (9, 2)] {
        let mut route = rows.routes[0].clone();
        (route.id, route.prefix, route.trunk) = (model::RouteId(id), "112".into(), TrunkId(trunk));
        route.priority = u32::try_from(trunk).unwrap();
        rows.routes.push(route);
    }
    World::with(SwitchConfig::default(), rows)
}

#[test]
fn scenario_5_numbers_excepted_from_an_ncos_level_pass() {
    for mode in [ListMode::Deny, ListMode::Allow] {
        let pattern = if mode == ListMode::Deny { "^4930" } else { "^43" };
        let level = NcosLevel { mode, patterns: vec![pattern.into()], except: vec!["^49301234$".into()] };
        let tenant = TenantCalling { ncos: [("level".to_owned(), level)].into(), ..TenantCalling::default() };
        let mut world = world(SubscriberCalling { ncos: Some("level".into()), ..Default::default() }, tenant);
        world.dial(ALICE, "49309999", 1);
        assert!(world.story().contains("403 Blocked by NCOS level block_ncos"), "{}", world.story());
        let id = world.dial(ALICE, "49301234", 1);
        world.run_seconds(10);
        assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
        world.assert_idle();
    }
}

#[test]
fn scenario_6_at_lock_level_2_only_the_emergency_call_passes() {
    let mut world = world(SubscriberCalling::default(), TenantCalling::default());
    world.control(lock(1, LockLevel::Outgoing));
    let refused = world.dial(ALICE, "49301234", 1);
    assert_eq!(
        world.outcome(refused),
        Some(&PhoneStep::Refused { code: 403, phrase: "Caller locked".into() })
    );
    let id = world.dial(ALICE, "112", 1);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
    world.assert_idle();
}

#[test]
fn scenario_17_emergency_call_of_a_locked_account_without_balance_or_tokens_over_a_dead_gateway() {
    let mut rows = directory();
    let tenant = TenantCalling { emergency: vec!["112".parse().unwrap()], ..TenantCalling::default() };
    let alice = SubscriberCalling { calls_per_second: Some(0), ..Default::default() };
    rows.calling.tenants.insert(TenantId(1), tenant);
    rows.calling.subscribers.insert(SubscriberId(1), alice);
    rows.accounts[0].profiles = vec![model::ProfileMapping {
        from: chrono::DateTime::UNIX_EPOCH,
        to: None,
        network: None,
        profile: model::ProfileId(1),
    }];
    // Nothing is left, and nobody answers a question about it.
    let terms = model::ContractTerms {
        created_at: chrono::DateTime::UNIX_EPOCH,
        package: String::new(),
        credit_limit: Some("0".parse().unwrap()),
        low_balance: None,
    };
    rows.contracts.insert(model::AccountId(1), terms);
    for (id, trunk) in [(8, 1), (9, 2)] {
        let mut route = rows.routes[0].clone();
        (route.id, route.prefix, route.trunk) = (model::RouteId(id), "112".into(), TrunkId(trunk));
        route.priority = u32::try_from(trunk).unwrap();
        rows.routes.push(route);
    }
    let mut world = World::with(SwitchConfig::default(), rows);
    world.control(lock(1, LockLevel::All));
    world.behave(GATEWAY_1, Behaviour::Silent);
    let id = world.dial(ALICE, "112", 3);
    world.run_seconds(15);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);
    assert!(world.questions.is_empty(), "it is held to no balance: {:?}", world.questions);
    world.assert_idle();
}

#[test]
fn scenario_18_what_the_tester_says_of_1000_numbers_is_what_the_live_call_does() {
    let country = |out| CountryDialling {
        international: "00".into(),
        national: "0".into(),
        national_digits: None,
        out,
    };
    let set = |out| RewriteSet { country: Some(country(out)), ..RewriteSet::default() };
    let sets = [("home".to_owned(), set(OutForm::Canonical)), ("plus".to_owned(), set(OutForm::Plus))];
    let alice = SubscriberCalling {
        country_code: "43".into(),
        area_code: "512".into(),
        rewrite: Some("home".into()),
        ..SubscriberCalling::default()
    };
    let trunk =
        TrunkCalling { rewrite: Some("plus".into()), country_code: "43".into(), ..TrunkCalling::default() };
    let calling = CallingRules {
        tenants: [(TenantId(1), TenantCalling { rewrite: sets.into(), ..TenantCalling::default() })].into(),
        subscribers: [(SubscriberId(1), alice)].into(),
        trunks: [(TrunkId(1), trunk)].into(),
        ..CallingRules::default()
    };
    let mut rows = Directory { calling, ..directory() };
    let mut route = rows.routes[0].clone();
    (route.id, route.prefix) = (model::RouteId(9), String::new());
    rows.routes = vec![route];
    let config = SwitchConfig { flood_burst: 0, flood_per_second: 0, ..SwitchConfig::default() };
    let mut world = World::with(config, rows);
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::ZERO, code: 404 });
    let mut rng = StdRng::seed_from_u64(18);
    let mut n_sent = 0;
    for _ in 0..1_000 {
        let prefix = ["", "0", "00", "+", "+43", "0043", "0512"][rng.random_range(0..7)];
        let digits: String =
            (0..rng.random_range(3..11)).map(|_| char::from(b'0' + rng.random_range(0..10_u8))).collect();
        let dialled = format!("{prefix}{digits}");
        let now = world.now();
        let plan = world.switch.explain_route(now, RouteFrom::Subscriber(SubscriberId(1)), &dialled).unwrap();
        let before = world.story().len();
        world.dial(ALICE, &dialled, 1);
        let story = world.story()[before..].to_owned();
        let live = story.lines().find_map(|line| line.split_once("route 1 to ")?.1.split_once(" as "));
        match (plan.attempts.first(), live) {
            (Some(planned), Some((_, sent))) => {
                let user = planned.uri.trim_start_matches("sip:").split('@').next().unwrap();
                assert_eq!(format!("{user} from {}", planned.caller_out), sent, "{dialled}");
                n_sent += 1;
            }
            (planned, live) => {
                assert_eq!((planned.is_none(), live), (true, None), "{dialled}: {plan:?} {story}");
            }
        }
        world.run_seconds(1);
        world.events.clear();
    }
    assert!(n_sent > 500, "{n_sent}");
}
