//! Calls that are held to a balance: asked for, granted, extended, cut.

use std::time::Duration;

use chrono::DateTime;
use model::{AccountId, ContractTerms, ProfileId, ProfileMapping};

use super::world::{GATEWAY_1, HOMES, SWITCH, World, directory, header_of};
use crate::phone::{Behaviour, PhoneStep};
use crate::{
    Credit, CreditAnswer, CreditConfig, CreditQuestion, CreditStep, Input, SwitchConfig, WithoutRating,
};

/// Alice has a credit limit; the gateway answers at once.
fn world(credit: CreditConfig) -> World {
    let mut rows = directory();
    rows.accounts[0].profiles =
        vec![ProfileMapping { from: DateTime::UNIX_EPOCH, to: None, network: None, profile: ProfileId(1) }];
    let terms = ContractTerms {
        created_at: DateTime::UNIX_EPOCH,
        package: String::new(),
        credit_limit: Some("10".parse().unwrap()),
        low_balance: None,
    };
    rows.contracts.insert(AccountId(1), terms);
    let mut world = World::with(SwitchConfig { credit, ..SwitchConfig::default() }, rows);
    world.behave(GATEWAY_1, Behaviour::Answer { ring: Duration::ZERO, talk: None });
    world.register(0);
    world
}

impl World {
    /// Answers the last question.
    fn credit(&mut self, credit: Credit) {
        let key = self.questions.last().unwrap().key.clone();
        self.input(Input::Credit(CreditAnswer { key, credit }));
    }

    fn last_question(&self) -> Option<&CreditStep> {
        self.questions.last().map(|CreditQuestion { what, .. }| what)
    }
}

#[test]
fn invite_goes_out_once_the_balance_allows_it() {
    let mut world = world(CreditConfig::default());
    let id = world.dial(0, "49301234", 3);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
    let Some(CreditStep::Begin { account, source, destination, .. }) = world.last_question() else {
        panic!("{:?}", world.questions)
    };
    assert_eq!((*account, source.as_str(), destination.as_str()), (AccountId(1), "43111", "49301234"));
    world.credit(Credit::Seconds(60));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 1);
    assert!(matches!(world.last_question(), Some(CreditStep::Answered { .. })));
    world.credit(Credit::Seconds(60));
    world.run_seconds(5);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { by_us: true, .. })));
    assert_eq!(world.last_question(), Some(&CreditStep::End { answered_us: 3_000_000, was_sent: true }));
    assert_eq!(world.questions.len(), 3, "{:?}", world.questions);
    world.assert_idle();
}

#[test]
fn call_is_extended_before_its_grant_ends_and_cut_at_the_very_second() {
    let mut world = world(CreditConfig::default());
    world.dial(0, "49301234", 600);
    world.credit(Credit::Seconds(10));
    world.credit(Credit::Seconds(10));
    world.run(Duration::from_millis(8_900));
    assert!(matches!(world.last_question(), Some(CreditStep::Answered { .. })));
    world.run(Duration::from_millis(200));
    assert_eq!(world.last_question(), Some(&CreditStep::Extend));
    world.credit(Credit::Seconds(13));
    world.run(Duration::from_millis(3_000));
    // There is no more: the same again.
    assert_eq!(world.last_question(), Some(&CreditStep::Extend));
    world.credit(Credit::Seconds(13));
    world.run_seconds(2);
    let story = world.story();
    assert!(story.contains("end 200 no_credit by switch after 13.000 s"), "{story}");
    for place in [GATEWAY_1, HOMES] {
        assert_eq!(world.count(SWITCH, place, "BYE"), 1);
    }
    assert_eq!(world.last_question(), Some(&CreditStep::End { answered_us: 13_000_000, was_sent: true }));
    world.assert_idle();
}

#[test]
fn reason_of_the_bye_says_that_the_balance_is_used_up() {
    let mut world = world(CreditConfig::default());
    world.dial(0, "49301234", 600);
    world.credit(Credit::Seconds(2));
    world.run(Duration::from_millis(1_500));
    world.credit(Credit::Seconds(2));
    world.run_seconds(2);
    assert!(world.story().contains("no_credit"), "{}", world.story());
    let reasons: Vec<&str> = world.byes.iter().map(|text| header_of(text, "Reason")).collect();
    assert_eq!(reasons, [r#"Q.850;cause=31;text="no credit""#; 2]);
}

#[test]
fn refusal_has_the_code_that_is_configured_and_leaves_nothing() {
    for code in [402, 403, 503] {
        let mut world = world(CreditConfig { no_credit_code: code, ..CreditConfig::default() });
        let id = world.dial(0, "49301234", 3);
        world.credit(Credit::Refused("its balance does not pay for the call"));
        world.run_seconds(1);
        assert!(matches!(world.outcome(id), Some(PhoneStep::Refused { code: told, .. }) if *told == code));
        assert!(world.story().contains("no_credit (account 1: its balance"), "{}", world.story());
        assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
        world.assert_idle();
    }
}

#[test]
fn silence_refuses_or_lets_through_as_configured() {
    for (policy, n_invites) in [(WithoutRating::Allow, 1), (WithoutRating::Refuse, 0)] {
        let mut world = world(CreditConfig { postpaid_without_rating: policy, ..CreditConfig::default() });
        let id = world.dial(0, "49301234", 3);
        world.run(Duration::from_millis(400));
        assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
        world.run_seconds(5);
        assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), n_invites);
        assert_eq!(world.switch.counters().calls_without_credit, n_invites as u64);
        let marked = world.events.iter().filter(|event| match &event.body {
            model::EventBody::End(end) => end.reason == "Tollbook;text=\"balance not asked\"",
            _ => false,
        });
        assert_eq!(marked.count(), n_invites, "a call that was let through is marked");
        if policy == WithoutRating::Refuse {
            assert!(matches!(world.outcome(id), Some(PhoneStep::Refused { code: 503, .. })));
        }
        world.assert_idle();
    }
}

#[test]
fn extension_that_is_not_answered_cuts_or_goes_on_as_configured() {
    for (policy, answered) in [
        (WithoutRating::Allow, "normal by caller after 30"),
        (WithoutRating::Refuse, "no_credit by switch after 10"),
    ] {
        let mut world = world(CreditConfig { postpaid_without_rating: policy, ..CreditConfig::default() });
        world.dial(0, "49301234", 30);
        world.credit(Credit::Seconds(10));
        world.credit(Credit::Seconds(10));
        world.run_seconds(40);
        assert!(world.story().contains(answered), "{}", world.story());
        world.assert_idle();
    }
}

#[test]
fn caller_who_gives_up_while_the_balance_is_asked_is_forgotten() {
    let mut world = world(CreditConfig { patience_ms: 60_000, ..CreditConfig::default() });
    let id = world.dial(0, "49301234", 3);
    world.command(HOMES, crate::phone::PhoneCommand::HangUp { id });
    assert_eq!(world.last_question(), Some(&CreditStep::End { answered_us: 0, was_sent: false }));
    // The answer comes too late.
    let key = world.questions[0].key.clone();
    world.input(Input::Credit(CreditAnswer { key, credit: Credit::Seconds(60) }));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
    world.assert_idle();
}

#[test]
fn attempt_that_the_far_side_refuses_is_told_to_have_been_sent() {
    let mut world = world(CreditConfig::default());
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::ZERO, code: 486 });
    world.dial(0, "49301234", 3);
    world.credit(Credit::Seconds(60));
    world.run_seconds(1);
    assert_eq!(world.last_question(), Some(&CreditStep::End { answered_us: 0, was_sent: true }));
}

#[test]
fn account_without_a_contract_is_not_asked_about() {
    let mut world = world(CreditConfig::default());
    world.register(1);
    world.dial(1, "49301234", 3);
    assert_eq!((world.count(SWITCH, GATEWAY_1, "INVITE"), world.questions.len()), (1, 0));
}
