//! Advice of charge: the caller's side is told at the end what the call has cost, exactly or not at all.

use std::time::Duration;

use model::{
    AccountId, CallingRules, Control, Currency, Money, SubscriberCalling, SubscriberId, TrunkCalling,
};

use super::world::{GATEWAY_1, HOMES, SWITCH, World, address, directory, header_of};
use crate::phone::Behaviour;
use crate::{Credit, CreditAnswer, CreditStep, Input, SwitchConfig};

const TOLD: &str =
    "charging;state=completed;charging-info=currency;currency=EUR;currency-amount=12;multiplier=0.01";

/// Alice is told, Carol is not. The gateway talks for so many seconds, if not for ever.
fn world(talk_seconds: Option<u64>) -> World {
    let mut rows = directory();
    let told = SubscriberCalling { advice_of_charge: true, ..SubscriberCalling::default() };
    rows.calling = CallingRules {
        subscribers: [(SubscriberId(1), told)].into_iter().collect(),
        ..CallingRules::default()
    };
    let mut world = World::with(SwitchConfig::default(), rows);
    let talk = talk_seconds.map(Duration::from_secs);
    world.behave(GATEWAY_1, Behaviour::Answer { ring: Duration::ZERO, talk });
    world.register(0);
    world.register(1);
    world
}

/// Answers the question what the call has cost.
fn cost(world: &mut World, cents: i64) {
    let question = world.questions.last().expect("it is asked").clone();
    assert_eq!(question.what, CreditStep::Price { account: AccountId(1) });
    let credit = Credit::Cost(Money::new(rust_decimal::Decimal::new(cents, 2), Currency::EUR));
    world.input(Input::Credit(CreditAnswer { key: question.key, credit }));
}

#[test]
fn caller_who_hangs_up_is_told_in_the_200_and_the_other_side_is_not() {
    let mut world = world(None);
    world.dial(0, "49301234", 3);
    world.run(Duration::from_millis(3_050));
    // The far side hears of the end at once, and the record does not wait either.
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
    assert!(world.story().contains("normal by caller after 3"), "{}", world.story());
    cost(&mut world, 12);
    world.run_seconds(40);
    world.assert_idle();
    let [(to, answer)] = &world.advices[..] else { panic!("{:?}", world.advices) };
    assert_eq!((*to, header_of(answer, "AOC")), (address(HOMES), TOLD));
    assert!(answer.starts_with("SIP/2.0 200") && header_of(answer, "CSeq").ends_with("BYE"), "{answer}");
}

#[test]
fn caller_who_is_hung_up_on_is_told_in_the_bye() {
    let mut world = world(Some(3));
    world.dial(0, "49301234", 30);
    world.run(Duration::from_millis(3_050));
    assert_eq!(world.count(SWITCH, HOMES, "BYE "), 0);
    cost(&mut world, 12);
    world.run_seconds(40);
    assert_eq!(world.count(SWITCH, HOMES, "BYE "), 1);
    let [(to, bye)] = &world.advices[..] else { panic!("{:?}", world.advices) };
    assert_eq!((*to, header_of(bye, "AOC")), (address(HOMES), TOLD));
    assert!(bye.starts_with("BYE"), "{bye}");
    assert_eq!(world.ends(), 1);
    world.assert_idle();
}

#[test]
fn without_a_price_in_time_the_call_ends_without_one() {
    for talk in [None, Some(3)] {
        let mut world = world(talk);
        world.dial(0, "49301234", if talk.is_some() { 30 } else { 3 });
        world.run(Duration::from_millis(3_300));
        assert_eq!(world.ends(), 1);
        // Too late.
        cost(&mut world, 12);
        world.run_seconds(40);
        assert!(world.advices.is_empty());
        world.assert_idle();
    }
}

#[test]
fn price_that_cannot_be_said_exactly_is_not_told() {
    let mut world = world(Some(3));
    world.dial(0, "49301234", 30);
    world.run(Duration::from_millis(3_050));
    cost(&mut world, -1);
    assert_eq!((world.count(SWITCH, HOMES, "BYE "), world.advices.len()), (1, 0));
    world.run_seconds(40);
    world.assert_idle();
}

#[test]
fn nobody_is_told_who_is_not_set_so_or_was_not_answered() {
    let mut world = world(None);
    world.dial(1, "49301234", 3);
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::ZERO, code: 486 });
    world.dial(0, "49301234", 3);
    world.run_seconds(10);
    assert_eq!((world.questions.len(), world.advices.len()), (0, 0));
    world.assert_idle();
}

#[test]
fn both_sides_that_hang_up_at_once_each_get_their_answer() {
    let mut world = world(Some(3));
    world.dial(0, "49301234", 3);
    world.run_seconds(40);
    assert_eq!(world.ends(), 1);
    world.assert_idle();
}

/// We cut the call, and the far side has just hung up too: the caller is hung up on all the same.
#[test]
fn far_side_that_hangs_up_while_the_price_is_awaited_does_not_keep_the_caller_up() {
    let mut world = world(Some(3));
    world.dial(0, "49301234", 30);
    world.run(Duration::from_millis(2_950));
    world.hold_back_next("BYE ");
    world.run(Duration::from_millis(100));
    assert_eq!(world.ends(), 0, "its BYE is on its way");
    world.control(Control::EndCallsOf { account: AccountId(1) });
    assert_eq!((world.ends(), world.count(SWITCH, HOMES, "BYE ")), (1, 0));
    world.let_go();
    cost(&mut world, 12);
    assert_eq!(world.count(SWITCH, HOMES, "BYE "), 1);
    assert_eq!(world.advices.len(), 1);
    world.run_seconds(40);
    world.assert_idle();
}

#[test]
fn trunk_that_is_set_so_is_told_about_calls_from_there() {
    let mut rows = directory();
    let told = TrunkCalling { advice_of_charge: true, ..TrunkCalling::default() };
    let trunk = rows.trunks.iter().find(|trunk| trunk.address == address(GATEWAY_1)).unwrap();
    let (id, carrier) = (trunk.id, trunk.account);
    rows.calling = CallingRules { trunks: [(id, told)].into_iter().collect(), ..CallingRules::default() };
    let mut world = World::with(SwitchConfig::default(), rows);
    world.register(0);
    world.behave(HOMES, Behaviour::Answer { ring: Duration::ZERO, talk: None });
    world.dial_from(GATEWAY_1, None, "49301234", "43111", Some(1));
    world.run(Duration::from_millis(1_050));
    let question = world.questions.last().expect("it is asked").clone();
    assert_eq!(question.what, CreditStep::Price { account: carrier });
    let credit = Credit::Cost(Money::new(rust_decimal::Decimal::new(12, 2), Currency::EUR));
    world.input(Input::Credit(CreditAnswer { key: question.key, credit }));
    let [(to, answer)] = &world.advices[..] else { panic!("{:?}", world.advices) };
    assert_eq!((*to, header_of(answer, "AOC")), (address(GATEWAY_1), TOLD));
    world.run_seconds(40);
    world.assert_idle();
}
