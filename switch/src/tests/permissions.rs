//! The gates a call passes before it goes anywhere, each with the reason it gives, and the one call that passes all of them.

use model::{
    AccountCalling, BlockList, CallingRules, CliPolicy, Directory, ListMode, LockLevel, NcosLevel,
    NumberSource, SubscriberCalling, TenantCalling,
};

use super::world::{ALICE, CAROL, GATEWAY_1, GATEWAY_2, HOMES, SWITCH, World, directory, lock};
use crate::SwitchConfig;
use crate::phone::{Behaviour, PhoneStep};

fn alice(rules: SubscriberCalling) -> CallingRules {
    CallingRules { subscribers: [(model::SubscriberId(1), rules)].into(), ..tenant() }
}

fn tenant() -> CallingRules {
    let level = |mode, pattern: &str| NcosLevel { mode, patterns: vec![pattern.into()], except: Vec::new() };
    let rules = TenantCalling {
        emergency: vec!["112".parse().unwrap()],
        ncos: [
            ("no-premium".to_owned(), level(ListMode::Deny, "^49900")),
            ("berlin".to_owned(), level(ListMode::Allow, "^4930")),
        ]
        .into(),
        user_agents_refused: vec!["*scanner*".into()],
        ..TenantCalling::default()
    };
    CallingRules { tenants: [(model::TenantId(1), rules)].into(), ..CallingRules::default() }
}

fn world(calling: CallingRules) -> World {
    World::with(SwitchConfig::default(), with_emergency_route(Directory { calling, ..directory() }))
}

fn with_emergency_route(mut rows: Directory) -> Directory {
    for (id, trunk) in [(8, 1), (9, 2)] {
        let mut route = rows.routes[0].clone();
        (route.id, route.prefix, route.trunk) = (model::RouteId(id), "112".into(), model::TrunkId(trunk));
        route.priority = u32::try_from(trunk).unwrap();
        rows.routes.push(route);
    }
    rows
}

/// Alice dials; what the switch says of it.
#[track_caller]
fn refused(world: &mut World, to: &str, expected: &str) {
    let before = world.story().len();
    world.dial(ALICE, to, 1);
    let story = world.story()[before..].to_owned();
    let said = story.lines().find(|line| line.contains("rejected")).unwrap_or("let through");
    assert!(said.ends_with(expected), "{said}");
    world.run_seconds(60);
}

#[track_caller]
fn goes_through(world: &mut World, to: &str) {
    let before = world.story().len();
    world.dial(ALICE, to, 1);
    let story = world.story()[before..].to_owned();
    assert!(story.contains("route 1 to"), "{story}");
    world.run_seconds(60);
}

#[test]
fn ncos_level_bars_by_pattern_and_the_account_comes_before_the_subscriber() {
    let mut calling = alice(SubscriberCalling { ncos: Some("no-premium".into()), ..Default::default() });
    let mut world = world(calling.clone());
    refused(
        &mut world,
        "49900123",
        "403 Blocked by NCOS level block_ncos (subscriber 1 NCOS no-premium: pattern ^49900)",
    );
    goes_through(&mut world, "49301234");
    calling.accounts.insert(
        model::AccountId(1),
        AccountCalling { ncos: Some("berlin".into()), ..AccountCalling::default() },
    );
    let mut world = self::world(calling);
    refused(&mut world, "49900123", "(account 1 NCOS berlin: not among those allowed)");
    world.assert_idle();
}

#[test]
fn block_lists_of_caller_and_callee_name_their_pattern() {
    let list = |mode, number: &str| Some(BlockList { mode, numbers: vec![number.into()] });
    let calling = alice(SubscriberCalling { block_out: list(ListMode::Deny, "4989*"), ..Default::default() });
    let mut world = world(calling);
    refused(
        &mut world,
        "4989555",
        "403 Blocked by Caller block_out (subscriber 1 block list: pattern 4989*)",
    );
    goes_through(&mut world, "49301234");

    let mut calling = tenant();
    let rules = SubscriberCalling { block_in: list(ListMode::Deny, "43111"), ..Default::default() };
    calling.subscribers.insert(model::SubscriberId(2), rules);
    let mut world = self::world(calling);
    world.register(CAROL);
    refused(&mut world, "43222", "403 Blocked by Callee block_in (subscriber 2 block list: pattern 43111)");
    world.assert_idle();
}

#[test]
fn callee_who_wants_no_anonymous_callers_gets_none() {
    let mut calling = alice(SubscriberCalling { hide_cli: true, ..Default::default() });
    let rules = SubscriberCalling { block_anonymous: true, ..Default::default() };
    calling.subscribers.insert(model::SubscriberId(2), rules);
    let mut world = world(calling);
    world.register(CAROL);
    refused(&mut world, "43222", "403 Blocked by Callee block_in (subscriber 2 anonymous callers)");
}

#[test]
fn subscriber_calls_and_registers_only_from_where_it_may() {
    let rules = SubscriberCalling { allowed_sources: vec!["192.0.2.0/24".into()], ..Default::default() };
    let mut world = world(alice(rules));
    refused(
        &mut world,
        "49301234",
        "403 Unauthorized IP detected unauth_caller_ip (subscriber 1 from 198.51.100.1)",
    );
    world.register(ALICE);
    assert_eq!(world.count(SWITCH, HOMES, "403 Unauthorized IP detected"), 2);
    assert_eq!(world.switch.counters().contacts_active, 0);
}

#[test]
fn device_of_a_refused_kind_is_refused() {
    let mut calling = tenant();
    let agents = &mut calling.tenants.get_mut(&model::TenantId(1)).unwrap().user_agents_refused;
    *agents = vec!["tollbook-ph*".into()];
    let mut world = world(calling);
    refused(&mut world, "49301234", "403 Forbidden ua_refused (user agent tollbook-ph*)");
}

/// What the gateway saw of a call in which alice's phone said From `alice`, with her rules changed.
fn shown_with(rules: SubscriberCalling, header: &str) -> String {
    let mut world = world(alice(rules));
    let trunk = "203.0.113.77:5060";
    let mut rows = Directory { calling: world.calling.clone(), ..directory() };
    rows.trunks[0].address = trunk.parse().unwrap();
    world.input(crate::Input::Directory(std::sync::Arc::new(rows)));
    // The phone of the tests gives no identity of its own; whoever writes the INVITE by hand does.
    world.rewrite_next("INVITE sip:49301234", "\r\nCSeq", &format!("\r\n{header}\r\nCSeq"));
    world.dial(ALICE, "49301234", 1);
    world.last_to(trunk, "INVITE").unwrap_or_else(|| world.story())
}

#[test]
fn number_that_may_not_be_shown_is_replaced_hidden_or_refused() {
    let rules = |policy| SubscriberCalling {
        shown_number_from: Some(NumberSource::Preferred),
        allowed_clis: vec!["4351290010?".into()],
        cli_policy: policy,
        ..Default::default()
    };
    let header = |number: &str| format!("P-Preferred-Identity: <sip:+{number}@example.net>");
    let allowed = shown_with(rules(CliPolicy::Reject), &header("43512900107"));
    assert!(allowed.contains("From: <sip:43512900107@"), "{allowed}");
    assert!(
        allowed.contains("P-Asserted-Identity: <sip:43111@"),
        "what we vouch for is the network's: {allowed}"
    );
    let own = shown_with(rules(CliPolicy::Reject), &header("43111"));
    assert!(own.contains("From: <sip:43111@"), "{own}");
    let replaced = shown_with(rules(CliPolicy::Replace), &header("12025550100"));
    assert!(replaced.contains("From: <sip:43111@"), "{replaced}");
    let hidden = shown_with(rules(CliPolicy::Anonymous), &header("12025550100"));
    assert!(hidden.contains("anonymous@anonymous.invalid") && hidden.contains("Privacy: id"), "{hidden}");
    let refused = shown_with(rules(CliPolicy::Reject), &header("12025550100"));
    assert!(
        refused.contains("403 Forbidden cli_refused (subscriber 1 may not show +12025550100)"),
        "{refused}"
    );
}

#[test]
fn calls_a_second_are_counted_and_the_refused_ones_cost_nothing() {
    let rules = SubscriberCalling { calls_per_second: Some(1), calls_burst: Some(3), ..Default::default() };
    let mut world = world(alice(rules));
    let ids: Vec<u64> = (0..5).map(|_| world.dial(ALICE, "49301234", 1)).collect();
    world.run_seconds(10);
    let refused = |id: &u64| matches!(world.outcome(*id), Some(PhoneStep::Refused { code: 480, .. }));
    assert_eq!(ids.iter().filter(|id| refused(id)).count(), 2);
    assert!(world.story().contains("rate_limited (subscriber 1 1 calls a second)"), "{}", world.story());
    goes_through(&mut world, "49301234");
    world.assert_idle();
}

#[test]
fn reseller_without_calls_left_refuses_its_customers() {
    let mut rows = directory();
    let mut reseller = rows.accounts[0].clone();
    (reseller.id, reseller.calls_max) = (model::AccountId(5), Some(1));
    rows.accounts[0].reseller = Some(reseller.id);
    rows.accounts.push(reseller);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(ALICE, "49301234", 60);
    refused(
        &mut world,
        "49301234",
        "403 Maximum parallel calls exceeded max_calls_out (account 5 limit 1/1)",
    );
    world.run_seconds(60);
    world.assert_idle();
}

#[test]
fn emergency_call_passes_every_gate_and_is_tried_everywhere() {
    let list = Some(BlockList { mode: ListMode::Allow, numbers: vec![] });
    let rules = SubscriberCalling {
        ncos: Some("berlin".into()),
        block_out: list,
        allowed_sources: vec!["192.0.2.0/24".into()],
        calls_per_second: Some(0),
        hide_cli: true,
        ..Default::default()
    };
    let mut rows = with_emergency_route(Directory { calling: alice(rules), ..directory() });
    rows.subscribers[0].calls_max = Some(0);
    rows.accounts[0].calls_max = Some(0);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.control(lock(1, LockLevel::All));
    let bar = super::barrings::barring(&world, 1, "", 0);
    world.control(model::Control::BarringChanged(bar));
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: std::time::Duration::ZERO, code: 486 });
    let id = world.dial(ALICE, "112", 1);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1, "a refusal elsewhere does not stop the hunt");
    assert!(world.story().contains("as 112 from 43111"), "never hidden: {}", world.story());
    let is_marked = |body: &model::EventBody| matches!(body, model::EventBody::Attempt(attempt) if attempt.detail.as_ref().is_some_and(|it| it.emergency));
    assert_eq!(world.events.iter().filter(|event| is_marked(&event.body)).count(), 1);
    refused(&mut world, "49301234", "403 Caller locked locked_out (account 1 lock 3)");
    world.assert_idle();
}

#[test]
fn shortest_of_the_longest_call_limits_counts() {
    let mut calling = alice(SubscriberCalling { call_seconds_max: Some(20), ..Default::default() });
    calling.accounts.insert(
        model::AccountId(1),
        AccountCalling { call_seconds_max: Some(15), ..AccountCalling::default() },
    );
    let mut world = world(calling);
    world.dial(ALICE, "49301234", 600);
    world.run_seconds(60);
    assert!(world.story().contains("end 200 max_duration by switch after 15.000 s"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn every_refusal_names_its_reason_and_its_object() {
    // Of all refusals that the tests of this file provoke in one world.
    let mut calling = alice(SubscriberCalling { ncos: Some("no-premium".into()), ..Default::default() });
    calling.subscribers.get_mut(&model::SubscriberId(1)).unwrap().calls_per_second = Some(2);
    let mut world = world(calling);
    for to in ["49900123", "43222", "43999", "nobody", "49301234", "49301234", "49301234"] {
        world.dial(ALICE, to, 1);
    }
    world.control(lock(1, LockLevel::All));
    world.dial(ALICE, "49301234", 1);
    let rejected: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            model::EventBody::Rejected(rejected) => Some(rejected),
            _ => None,
        })
        .collect();
    assert!(rejected.len() >= 6, "{}", world.story());
    assert!(rejected.iter().all(|one| !one.object.is_empty() && one.cause != model::Cause::Other));
}
