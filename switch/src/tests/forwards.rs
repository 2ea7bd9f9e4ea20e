//! Calls that their callee sends on: who pays, what is recorded, and where it ends.

use std::time::Duration;

use expect_test::expect;
use model::{
    CallForward, CallingRules, Directory, EventBody, ForwardKind, LockLevel, SubscriberCalling, SubscriberId,
};

use super::world::{ALICE, CAROL, GATEWAY_1, GATEWAY_2, HOMES, SWITCH, World, directory, lock};
use crate::SwitchConfig;
use crate::phone::{Behaviour, PhoneStep};

fn forward(when: ForwardKind, to: &str) -> SubscriberCalling {
    let forward = CallForward { when, to: to.into(), after_seconds: 5, enabled: true };
    SubscriberCalling { forwards: vec![forward], ..SubscriberCalling::default() }
}

fn world(rules: impl IntoIterator<Item = (i64, SubscriberCalling)>) -> World {
    let subscribers = rules.into_iter().map(|(id, rules)| (SubscriberId(id), rules)).collect();
    let calling = CallingRules { subscribers, ..CallingRules::default() };
    World::with(SwitchConfig::default(), Directory { calling, ..directory() })
}

#[test]
fn forwarded_call_is_two_records_and_the_forwarder_pays_for_the_second() {
    let mut world = world([(2, forward(ForwardKind::Always, "49301234"))]);
    let id = world.dial(ALICE, "43222", 40);
    world.run_seconds(60);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    expect![[r#"
        0.000 account 1: attempt alice -> 43222 cli 43111 by digest
        0.000 account 1: cfu to 49301234 as leg 1
        0.000 account 2 leg 1: cfu to 49301234 as leg 1
        0.000 account 2 leg 1: attempt 43222 -> 49301234 cli 43222 by none
        0.000 account 2 leg 1: route 1 to 203.0.113.1:5060 as 49301234 from 43111
        0.000 account 2 leg 1: progress 180
        1.000 account 2 leg 1: route 1 answered 200 OK: stop
        1.000 account 1: answer 200 PCMA/8000
        1.000 account 2 leg 1: answer 200 PCMA/8000
        31.000 account 1: tick 30 s
        31.000 account 2 leg 1: tick 30 s
        41.000 account 1: end 200 normal by caller after 40.000 s
        41.000 account 2 leg 1: end 200 normal by caller after 40.000 s
    "#]]
    .assert_eq(&world.story());
    world.assert_idle();
}

#[test]
fn busy_phone_sends_the_call_on_and_the_carrier_hears_who_diverted_it() {
    let mut rows = directory();
    let trunk = "203.0.113.77:5060";
    rows.trunks[0].address = trunk.parse().unwrap();
    rows.calling.subscribers.insert(SubscriberId(2), forward(ForwardKind::Busy, "49301234"));
    let mut world = World::with(SwitchConfig::default(), rows);
    world.register(CAROL);
    world.behave(HOMES, Behaviour::Refuse { ring: Duration::from_secs(1), code: 486 });
    world.dial(ALICE, "43222", 5);
    world.run_seconds(2);
    let invite = world.last_to(trunk, "INVITE").unwrap();
    assert!(invite.contains("Diversion: <sip:43222@192.0.2.1>;reason=user-busy;counter=1\r\n"), "{invite}");
    assert!(invite.contains("From: <sip:43111@"), "the callee sees who really calls: {invite}");
    assert!(invite.contains("P-Asserted-Identity: <sip:43222@"), "the carrier, who pays: {invite}");
    assert!(world.story().contains("account 1: route 1 answered 486 Busy Here: stop"), "{}", world.story());
    assert!(world.story().contains("account 2 leg 1: attempt"), "{}", world.story());
}

#[test]
fn nobody_picks_up_for_so_long_and_the_call_goes_on() {
    let mut world = world([(2, forward(ForwardKind::NoAnswer, "49301234"))]);
    world.register(CAROL);
    world.behave(HOMES, Behaviour::Ring);
    let id = world.dial(ALICE, "43222", 5);
    world.run(Duration::from_millis(4_900));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
    world.run_seconds(20);
    assert_eq!(world.count(SWITCH, HOMES, "CANCEL"), 1);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
    assert!(world.story().contains("5.000 account 1: cft to 49301234 as leg 1"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn phone_that_is_not_registered_or_does_not_answer_is_out_of_reach() {
    let mut world = world([(2, forward(ForwardKind::Unreachable, "49301234"))]);
    world.dial(ALICE, "43222", 1);
    world.run_seconds(10);
    assert!(world.story().contains("cfna to 49301234"), "{}", world.story());
    world.register(CAROL);
    world.behave(HOMES, Behaviour::Silent);
    world.dial(ALICE, "43222", 1);
    world.run_seconds(20);
    assert_eq!(world.story().matches("cfna to 49301234 as leg 1").count(), 4, "{}", world.story());
    world.assert_idle();
}

#[test]
fn call_forwarded_in_a_circle_is_refused_with_both_records() {
    let mut world =
        world([(1, forward(ForwardKind::Always, "43222")), (2, forward(ForwardKind::Always, "43111"))]);
    let id = world.dial_from(GATEWAY_1, None, "49301234", "43111", Some(1));
    world.run_seconds(1);
    assert_eq!(
        world.outcome(id),
        Some(&PhoneStep::Refused { code: 482, phrase: "Loop Detected".into() }),
        "{}",
        world.story()
    );
    let story = world.story();
    assert_eq!(story.matches("rejected 482 Loop Detected cf_loop").count(), 3, "{story}");
    world.assert_idle();
}

#[test]
fn locked_forwarder_cannot_forward_and_both_records_say_so() {
    let mut world = world([(2, forward(ForwardKind::Always, "49301234"))]);
    world.control(lock(2, LockLevel::Outgoing));
    world.dial(ALICE, "43222", 1);
    let story = world.story();
    let refused = "rejected 403 Caller locked locked_out (account 2 lock 2)\n";
    assert!(story.contains(&format!("account 1: {refused}")), "{story}");
    assert!(story.contains(&format!("account 2 leg 1: {refused}")), "{story}");
    world.control(lock(2, LockLevel::Ported));
    world.dial(ALICE, "43222", 1);
    assert!(
        world.story()[story.len()..].contains("route 1 to"),
        "a number that moved away is still forwarded"
    );
    world.run_seconds(10);
    world.assert_idle();
}

#[test]
fn forwarder_whose_account_is_killed_ends_the_call_for_both() {
    let mut world = world([(2, forward(ForwardKind::Always, "49301234"))]);
    world.dial(ALICE, "43222", 600);
    world.run_seconds(5);
    world.control(model::Control::EndCallsOf { account: model::AccountId(2) });
    let ends = world.events.iter().filter(|event| matches!(event.body, EventBody::End(_)));
    assert_eq!(ends.map(|event| (event.payer.0, event.leg)).collect::<Vec<_>>(), [(1, 0), (2, 1)]);
    world.run_seconds(5);
    world.assert_idle();
}

#[test]
fn forward_to_a_full_trunk_tries_the_next_one() {
    let mut rows = directory();
    rows.trunks[0].calls_max = Some(0);
    rows.calling.subscribers.insert(SubscriberId(2), forward(ForwardKind::Always, "49301234"));
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(ALICE, "43222", 1);
    world.run_seconds(5);
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);
    world.assert_idle();
}
