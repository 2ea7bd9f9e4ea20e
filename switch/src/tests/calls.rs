//! Calls through the switch.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use expect_test::expect;
use model::{AccountId, Cause, Control, EventBody, Lock, LockLevel, MediaQuality};

use super::world::{ALICE, CAROL, GATEWAY_1, GATEWAY_2, HOMES, SWITCH, World, directory, lock};
use crate::phone::{Behaviour, PhoneCommand, PhoneStep};
use crate::{EventLog, Input, SwitchConfig, Tables};

fn refused(code: u16, phrase: &str) -> PhoneStep {
    PhoneStep::Refused { code, phrase: phrase.into() }
}

#[test]
fn call_to_the_world_is_answered_and_billed_from_200_to_bye() {
    let mut world = World::new();
    world.dial(ALICE, "+49301234", 95);
    world.run_seconds(120);
    expect![[r#"
        0.000 account 1: attempt alice -> +49301234 cli 43111 by digest
        0.000 account 1: route 1 to 203.0.113.1:5060 as 49301234 from 43111
        0.000 account 1: progress 180
        1.000 account 1: route 1 answered 200 OK: stop
        1.000 account 1: answer 200 PCMA/8000
        31.000 account 1: tick 30 s
        61.000 account 1: tick 60 s
        91.000 account 1: tick 90 s
        96.000 account 1: end 200 normal by caller after 95.000 s
    "#]]
    .assert_eq(&world.story());
    world.assert_idle();
}

#[test]
fn lost_200_is_sent_again_until_the_ack() {
    let mut world = World::new();
    let id = world.dial(ALICE, "49301234", 10);
    world.run(Duration::from_millis(999));
    // The first 200 crosses from gateway to switch; the second datagram with that line goes to alice.
    world.hold_back_next("SIP/2.0 200 OK");
    world.run(Duration::from_millis(1));
    world.lose_next("CSeq: 2 INVITE");
    world.let_go();
    world.run(Duration::from_millis(600));
    assert_eq!(world.count(SWITCH, HOMES, "200 OK"), 2);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "ACK"), 1);
    world.run_seconds(30);
    assert_eq!(world.count(SWITCH, HOMES, "200 OK"), 3, "the third answers the BYE");
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { by_us: true, .. })));
    assert_eq!(world.ends(), 1);
    world.assert_idle();
}

#[test]
fn lost_ack_towards_the_callee_is_sent_again() {
    let mut world = World::new();
    world.dial(ALICE, "49301234", 10);
    world.run(Duration::from_millis(999));
    world.lose_next("ACK sip:203.0.113.1");
    world.run_seconds(1);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "ACK"), 2);
    world.run_seconds(30);
    world.assert_idle();
}

#[test]
fn callee_who_hangs_up_before_the_ack_still_ends_the_call_on_both_sides() {
    let mut world = World::new();
    world.behave(
        GATEWAY_1,
        Behaviour::Answer { ring: Duration::ZERO, talk: Some(Duration::from_millis(100)) },
    );
    world.lose_next_to(HOMES, "SIP/2.0 200 OK");
    let id = world.dial(ALICE, "49301234", 600);
    world.run(Duration::from_millis(300));
    assert_eq!(world.ends(), 1, "what is billed ends with the BYE");
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 0, "but who has not heard of an answer gets no BYE");
    world.run_seconds(1);
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 1);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { by_us: false, .. })));
    assert_eq!(world.ends(), 1);
    world.assert_idle();
}

#[test]
fn caller_that_never_acknowledges_is_hung_up_after_32_seconds() {
    let mut world = World::new();
    world.dial(ALICE, "49301234", 600);
    for _ in 0..20 {
        world.lose_next("ACK sip:192.0.2.1:5060");
    }
    world.run_seconds(40);
    assert!(
        world.story().ends_with("33.000 account 1: end 200 timeout by switch after 32.000 s\n"),
        "{}",
        world.story()
    );
    world.assert_idle();
}

#[test]
fn retransmitted_invite_creates_one_call() {
    let mut world = World::new();
    world.lose_next("SIP/2.0 407");
    world.lose_next("SIP/2.0 100");
    world.lose_next("SIP/2.0 180");
    world.lose_next("SIP/2.0 180");
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(20);
    assert!(world.count(HOMES, SWITCH, "INVITE") >= 3);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    assert_eq!(world.story().matches("attempt").count(), 1);
    assert_eq!(world.story().matches("route 1 to").count(), 1);
    assert!(world.story().lines().all(|line| !line.contains("route 2")));
    assert_eq!(world.n_called(), 1);
    assert_eq!(world.ends(), 1);
    world.assert_idle();
}

#[test]
fn cancel_stops_the_ringing_on_both_sides() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Ring);
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(3);
    world.command(HOMES, PhoneCommand::HangUp { id });
    world.run_seconds(1);
    assert_eq!(world.outcome(id), Some(&refused(487, "Request Terminated")));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "CANCEL"), 1);
    assert_eq!(world.count(GATEWAY_1, SWITCH, "487"), 1);
    assert!(world.story().ends_with(
        "3.000 account 1: route 1 answered 487 Request Terminated: stop\n3.000 account 1: end 487 cancelled by caller after 0.000 s\n"
    ));
    world.assert_idle();
}

#[test]
fn cancel_crossing_the_200_hangs_up_the_callee_and_bills_nothing() {
    let mut world = World::new();
    let id = world.dial(ALICE, "49301234", 5);
    world.run(Duration::from_millis(999));
    world.hold_back_next("SIP/2.0 200 OK");
    world.run(Duration::from_millis(1));
    world.command(HOMES, PhoneCommand::HangUp { id });
    world.let_go();
    world.run_seconds(1);
    assert_eq!(world.outcome(id), Some(&refused(487, "Request Terminated")));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
    assert!(world.story().contains("end 487 cancelled by caller after 0.000 s"));
    assert!(!world.story().contains("answer 200"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn cancel_after_the_200_changes_nothing() {
    let mut world = World::new();
    let id = world.dial(ALICE, "49301234", 5);
    world.run(Duration::from_millis(999));
    world.hold_back_next("CSeq: 2 INVITE\r\nTo: <sip:49301234@example.net>;tag=");
    world.run(Duration::from_millis(1));
    world.command(HOMES, PhoneCommand::HangUp { id });
    world.let_go();
    world.run_seconds(20);
    assert_eq!(world.ends(), 1);
    assert!(world.story().contains("end 200 normal by caller"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn failover_over_a_silent_and_a_full_route_is_one_call() {
    let mut directory = directory();
    directory.trunks[0].enabled = true;
    let mut world = World::with(SwitchConfig::default(), directory);
    world.behave(GATEWAY_1, Behaviour::Silent);
    world.dial(ALICE, "49301234", 5);
    world.run_seconds(30);
    expect![[r#"
        0.000 account 1: attempt alice -> 49301234 cli 43111 by digest
        0.000 account 1: route 1 to 203.0.113.1:5060 as 49301234 from 43111
        4.000 account 1: route 1 answered 408 Request Timeout: next
        4.000 account 1: route 2 to 203.0.113.2:5060 as 49301234 from 43111
        4.000 account 1: progress 180
        5.000 account 1: route 2 answered 200 OK: stop
        5.000 account 1: answer 200 PCMA/8000
        10.000 account 1: end 200 normal by caller after 5.000 s
    "#]]
    .assert_eq(&world.story());
    world.assert_idle();
}

#[test]
fn every_route_failing_is_one_refused_call() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::ZERO, code: 503 });
    world.behave(GATEWAY_2, Behaviour::Refuse { ring: Duration::ZERO, code: 500 });
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(1);
    assert_eq!(world.outcome(id), Some(&refused(500, "Server Internal Error")));
    assert!(world.story().contains("route 1 answered 503 Service Unavailable: next"));
    assert!(
        world.story().ends_with("end 500 peering_unavailable by callee after 0.000 s\n"),
        "{}",
        world.story()
    );
    world.assert_idle();
}

#[test]
fn route_that_says_nothing_is_given_up_by_us() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Silent);
    world.behave(GATEWAY_2, Behaviour::Silent);
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert_eq!(world.outcome(id), Some(&refused(408, "Request Timeout")));
    assert!(world.story().ends_with("8.000 account 1: end 408 timeout by switch after 0.000 s\n"));
    world.assert_idle();
}

#[test]
fn busy_callee_stops_the_hunt() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::from_secs(1), code: 486 });
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(2);
    assert_eq!(world.outcome(id), Some(&refused(486, "Busy Here")));
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 0);
    assert!(world.story().ends_with("end 486 busy by callee after 0.000 s\n"));
    world.assert_idle();
}

#[test]
fn nobody_picks_up() {
    let config = SwitchConfig { ring_seconds_max: 20, ..SwitchConfig::default() };
    let mut world = World::with(config, directory());
    world.behave(GATEWAY_1, Behaviour::Ring);
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(25);
    assert_eq!(world.outcome(id), Some(&refused(480, "Temporarily Unavailable")));
    assert!(world.story().ends_with("20.000 account 1: end 480 no_answer by switch after 0.000 s\n"));
    world.assert_idle();
}

#[test]
fn lock_refuses_the_next_invite_within_the_same_instant_and_lets_it_through_when_lifted() {
    let mut world = World::new();
    world.register(CAROL);
    world.control(lock(1, LockLevel::Foreign));
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Caller locked")));
    assert!(world.story().ends_with("rejected 403 Caller locked locked_out (account 1 lock 1)\n"));
    // Level 1 leaves calls within the house alone.
    let id = world.dial(ALICE, "43222", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    world.control(lock(1, LockLevel::None));
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    world.assert_idle();
}

#[test]
fn lock_heard_just_now_outweighs_a_snapshot_that_does_not_know_it() {
    let mut world = World::new();
    world.control(lock(1, LockLevel::Outgoing));
    world.input(Input::Directory(Arc::new(directory())));
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Caller locked")));
}

#[test]
fn locked_callee_is_not_called() {
    let mut world = World::new();
    world.register(CAROL);
    world.control(lock(2, LockLevel::All));
    let id = world.dial(ALICE, "43222", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Callee locked")));
    assert!(world.story().contains("locked_in"));
}

#[test]
fn limits_refuse_the_caller_with_403_and_the_callee_with_486() {
    let mut rows = directory();
    rows.subscribers[ALICE].calls_max = Some(1);
    rows.subscribers[CAROL].calls_max = Some(0);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.register(CAROL);
    let to_carol = world.dial(ALICE, "43222", 5);
    assert_eq!(world.outcome(to_carol), Some(&refused(486, "Busy Here")));
    world.dial(ALICE, "49301234", 5);
    let second = world.dial(ALICE, "49301235", 5);
    assert_eq!(world.outcome(second), Some(&refused(403, "Maximum parallel calls exceeded")));
    assert!(world.story().contains("max_calls_in (subscriber 2 limit 0/0)"));
    assert!(world.story().contains("max_calls_out (subscriber 1 limit 1/1)"));
    world.run_seconds(20);
    let third = world.dial(ALICE, "49301235", 5);
    world.run_seconds(20);
    assert!(matches!(world.outcome(third), Some(PhoneStep::HungUp { .. })));
    world.assert_idle();
}

#[test]
fn full_trunk_is_skipped_and_the_account_limit_counts_all_its_calls() {
    let mut rows = directory();
    rows.trunks[0].calls_max = Some(0);
    rows.accounts[0].calls_max = Some(1);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(ALICE, "49301234", 5);
    let second = world.dial(ALICE, "49301235", 5);
    assert_eq!(world.outcome(second), Some(&refused(403, "Maximum parallel calls exceeded")));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);
    world.run_seconds(20);
    world.assert_idle();

    let mut rows = directory();
    rows.trunks[0].calls_max = Some(0);
    rows.trunks[1].calls_max = Some(0);
    let mut world = World::with(SwitchConfig::default(), rows);
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(503, "Service Unavailable")));
    assert!(world.story().contains("max_calls_peer"));
    world.assert_idle();
}

#[test]
fn suspended_account_unknown_number_and_missing_route_are_refused_with_their_cause() {
    let mut rows = directory();
    rows.accounts[1].status = model::AccountStatus::Suspended;
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(CAROL, "49301234", 5);
    world.dial(ALICE, "33123", 5);
    world.dial(ALICE, "nobody", 5);
    world.dial(ALICE, "43111", 5);
    let story: Vec<String> = world
        .story()
        .lines()
        .filter(|line| line.contains("rejected"))
        .map(|line| line[line.find("account").unwrap()..].to_owned())
        .collect();
    expect![[r#"
        account 2: rejected 403 Caller locked locked_out (account 2 is not active)
        account 1: rejected 404 No Route no_route (tenant 1)
        account 1: rejected 404 Not Found callee_unknown (neither a number nor one of our names)
        account 1: rejected 480 Offline callee_offline (subscriber 1)"#]]
    .assert_eq(&story.join("\n"));
    world.assert_idle();
}

#[test]
fn call_from_a_trunk_reaches_the_subscriber_and_the_carrier_pays() {
    let mut world = World::new();
    world.register(CAROL);
    let id = world.dial_from(GATEWAY_1, None, "+49301234", "+43222", Some(7));
    world.run_seconds(20);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    expect![[r#"
        0.000 account 11: attempt +49301234 -> +43222 cli 49301234 by ip
        0.000 account 11: route 1 to 198.51.100.1:5062 as 43222 from 49301234
        0.000 account 11: progress 180
        1.000 account 11: route 1 answered 200 OK: stop
        1.000 account 11: answer 200 PCMA/8000
        8.000 account 11: end 200 normal by caller after 7.000 s
    "#]]
    .assert_eq(&world.story());
    world.assert_idle();
}

#[test]
fn carrier_cannot_send_a_call_on_to_another_carrier() {
    let mut world = World::new();
    let id = world.dial_from(GATEWAY_2, None, "33123", "49301234", None);
    assert_eq!(world.outcome(id), Some(&refused(404, "Not Found")));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
}

#[test]
fn longest_call_is_hung_up_on_both_sides() {
    let config = SwitchConfig { call_seconds_max: 70, ..SwitchConfig::default() };
    let mut world = World::with(config, directory());
    world.dial(ALICE, "49301234", 600);
    world.run_seconds(100);
    assert!(world.story().ends_with("71.000 account 1: end 200 max_duration by switch after 70.000 s\n"));
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 1);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
    world.assert_idle();
}

#[test]
fn operator_ends_all_calls_of_an_account_answered_or_not() {
    let mut world = World::new();
    let answered = world.dial(ALICE, "49301234", 600);
    world.run_seconds(5);
    world.behave(GATEWAY_1, Behaviour::Ring);
    let ringing = world.dial(ALICE, "49301235", 600);
    world.register(CAROL);
    let of_carol = world.dial(CAROL, "49301236", 600);
    world.control(Control::EndCallsOf { account: AccountId(1) });
    world.run_seconds(1);
    assert!(matches!(world.outcome(answered), Some(PhoneStep::HungUp { by_us: false, .. })));
    assert_eq!(world.outcome(ringing), Some(&refused(403, "Forbidden")));
    assert!(matches!(world.outcome(of_carol), Some(PhoneStep::Ringing { .. })));
    assert_eq!(world.story().matches("killed by operator").count(), 2);
    let uid = world
        .events
        .iter()
        .rev()
        .find_map(|event| (event.payer == AccountId(2)).then(|| event.call.clone()).flatten());
    world.control(Control::EndCall { call: uid.unwrap() });
    world.assert_idle();
    assert_eq!(world.ends(), 3);
}

#[test]
fn full_draining_and_mute_switch_refuses_new_calls_with_retry_after_and_keeps_the_old_ones() {
    let config = SwitchConfig { calls_max: 1, ..SwitchConfig::default() };
    let mut world = World::with(config, directory());
    let first = world.dial(ALICE, "49301234", 60);
    let second = world.dial(ALICE, "49301235", 5);
    assert_eq!(world.outcome(second), Some(&refused(503, "Service Unavailable")));
    world.run_seconds(5);
    world.input(Input::EventLog(EventLog::Unwritable));
    world.inject("198.51.100.9:5060", invite("198.51.100.9:5060", "x1", "sip:49301234@example.net"));
    let (_, answer) = world.raw.pop().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("SIP/2.0 503") && answer.contains("Retry-After: 5\r\n"), "{answer}");
    world.input(Input::EventLog(EventLog::Writable));
    world.input(Input::Drain(true));
    world.run_seconds(100);
    assert!(matches!(world.outcome(first), Some(PhoneStep::HungUp { .. })));
    let third = world.dial(ALICE, "49301235", 5);
    assert_eq!(world.outcome(third), Some(&refused(503, "Service Unavailable")));
    world.input(Input::Drain(false));
    assert_eq!(world.switch.counters().calls_shed, 3);
    world.assert_idle();
}

#[test]
fn hold_and_resume_are_relayed_and_reported() {
    let mut world = World::new();
    world.behave(GATEWAY_1, Behaviour::Answer { ring: Duration::ZERO, talk: None });
    let peer = "198.51.100.7:5060";
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = model::AccountKind::Customer;
    world.input(Input::Directory(Arc::new(rows)));
    world.inject(peer, invite(peer, "h1", "sip:49301234@example.net"));
    let ok = world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"SIP/2.0 200")).unwrap().1.clone();
    let ok = String::from_utf8(ok).unwrap();
    let to = ok.lines().find(|line| line.starts_with("To: ")).unwrap().to_owned();
    let inside = |method: &str, cseq: u32, sdp: &str| {
        format!(
            "{method} sip:192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bKh1-{method}-{cseq};rport\r\n\
             From: <sip:49@x>;tag=f1\r\n{to}\r\nCall-ID: h1\r\nCSeq: {cseq} {method}\r\nMax-Forwards: 70\r\n\
             Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{sdp}",
            sdp.len()
        )
    };
    world.inject(peer, inside("ACK", 1, ""));
    world.inject(peer, inside("INVITE", 2, "v=0\r\nm=audio 4000 RTP/AVP 8\r\na=sendonly\r\n"));
    // A second change before the ACK of the first meets with 491.
    world.inject(peer, inside("INVITE", 3, "v=0\r\n"));
    assert!(world.raw.last().unwrap().1.starts_with(b"SIP/2.0 491"));
    world.inject(peer, inside("ACK", 2, ""));
    world.inject(peer, inside("INVITE", 4, "v=0\r\nm=audio 4000 RTP/AVP 8\r\n"));
    world.inject(peer, inside("ACK", 4, ""));
    world.inject(peer, inside("BYE", 5, ""));
    assert_eq!(world.count(SWITCH, GATEWAY_1, "ACK"), 3);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 3);
    assert!(world.story().contains("update hold"), "{}", world.story());
    assert!(world.story().contains("update resume"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn wrong_password_is_refused_and_counted_and_opens_no_call() {
    let mut rows = directory();
    rows.subscribers[ALICE].digest = crate::digest::secret_of("alice", "example.net", "another");
    let mut world = World::with(SwitchConfig::default(), rows);
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Forbidden")));
    assert_eq!(world.story(), "");
    assert_eq!(world.switch.counters().auth_failed, 1);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0);
    world.assert_idle();
}

#[test]
fn old_nonce_is_renewed_with_stale() {
    let mut world = World::new();
    let peer = "198.51.100.9:5060";
    world.inject(peer, invite(peer, "s1", "sip:49301234@example.net"));
    let challenge = String::from_utf8(world.raw.pop().unwrap().1).unwrap();
    assert!(challenge.starts_with("SIP/2.0 407") && !challenge.contains("stale"));
    let value = challenge.lines().find_map(|line| line.strip_prefix("Proxy-Authenticate: ")).unwrap();
    assert!(value.contains("algorithm=SHA-256"), "the stronger one is offered first");
    let challenge = crate::digest::Challenge::choose(std::iter::once(value.as_bytes())).unwrap();
    let uri = "sip:49301234@example.net";
    let answer = challenge.answer("alice", "alice-secret", b"INVITE", uri, 1);
    world.run_seconds(301);
    let late =
        invite(peer, "s2", uri).replace("\r\nCSeq", &format!("\r\nProxy-Authorization: {answer}\r\nCSeq"));
    world.inject(peer, late);
    let renewed = String::from_utf8(world.raw.pop().unwrap().1).unwrap();
    assert!(renewed.starts_with("SIP/2.0 407") && renewed.contains("stale=true"), "{renewed}");
    assert_eq!(world.story(), "");
}

#[test]
fn hidden_number_reaches_the_trunk_but_not_the_callee() {
    let mut world = World::new();
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = model::AccountKind::Customer;
    rows.trunks[0].address = "203.0.113.77:5060".parse().unwrap();
    world.input(Input::Directory(Arc::new(rows)));
    let peer = "198.51.100.7:5060";
    let hidden =
        invite(peer, "p1", "sip:49301234@example.net").replace("\r\nCSeq", "\r\nPrivacy: id\r\nCSeq");
    world.inject(peer, hidden);
    let sent = world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap();
    let sent = String::from_utf8(sent.1.clone()).unwrap();
    assert!(sent.contains("From: \"Anonymous\" <sip:anonymous@anonymous.invalid>;tag="), "{sent}");
    assert!(sent.contains("P-Asserted-Identity: <sip:4930999@192.0.2.1>\r\n"), "{sent}");
    assert!(sent.contains("Privacy: id\r\n") && sent.contains("X-Kept: as it is\r\n"), "{sent}");
    assert!(sent.contains("Max-Forwards: 69\r\n"), "{sent}");
}

#[test]
fn header_that_begins_with_blanks_does_not_go_on_with_one_of_ours_at_the_next_hop() {
    let mut world = World::new();
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = model::AccountKind::Customer;
    rows.trunks[0].address = "203.0.113.77:5060".parse().unwrap();
    world.input(Input::Directory(Arc::new(rows)));
    let peer = "198.51.100.7:5060";
    for (call_id, blanks) in [("b1", "  \t"), ("b2", " \r\n ")] {
        let first = invite(peer, call_id, "sip:49301234@example.net").replacen(
            "SIP/2.0\r\n",
            &format!("SIP/2.0\r\n{blanks}X-First: <sip:4930666@example.net>\r\n"),
            1,
        );
        world.raw.clear();
        world.inject(peer, first);
        let sent = world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap();
        let sent = String::from_utf8(sent.1.clone()).unwrap();
        assert!(sent.contains("\r\nX-First: <sip:4930666@example.net>\r\n"), "{sent}");
    }
}

/// An INVITE from a trunk that is not one of our phones.
fn invite(peer: &str, call_id: &str, uri: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {peer};branch=z9hG4bK{call_id};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:4930999@example.net>;tag=f1\r\nTo: <{uri}>\r\nCall-ID: {call_id}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:4930999@{peer}>\r\nX-Kept: as it is\r\nContent-Type: application/sdp\r\nContent-Length: 5\r\n\r\nv=0\r\n"
    )
}

#[test]
fn lock_lifted_by_hand_is_lifted_at_once_though_it_was_heard_a_moment_ago() {
    let mut world = World::new();
    let heard = lock(1, LockLevel::Outgoing);
    world.control(heard.clone());
    let Control::LockChanged(heard) = heard else { unreachable!("it is one") };
    let mut rows = directory();
    rows.locks = vec![heard];
    world.input(Input::Directory(Arc::new(rows)));
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Caller locked")));
    // The next snapshot has lost it: somebody lifted it.
    world.input(Input::Directory(Arc::new(directory())));
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
}

#[test]
fn lock_lifted_by_hand_is_lifted_though_no_snapshot_ever_showed_it() {
    let mut world = World::new();
    world.control(lock(1, LockLevel::Outgoing));
    world.run_seconds(11);
    world.input(Input::Directory(Arc::new(directory())));
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
}

/// Tables of a snapshot without locks, read so long after the beginning.
fn tables(read_at: Duration) -> Input {
    Input::Tables { tables: Arc::new(Tables::of(Arc::new(directory()))), read_at }
}

#[test]
fn lock_heard_while_a_snapshot_was_read_holds_however_long_that_took() {
    let mut world = World::new();
    world.run_seconds(5);
    let read_at = world.now().mono;
    world.run_seconds(1);
    world.control(lock(1, LockLevel::Outgoing));
    world.run_seconds(60);
    world.input(tables(read_at));
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Caller locked")));
}

#[test]
fn lock_heard_while_a_snapshot_was_read_outweighs_a_row_that_is_dated_later() {
    // An event that is told late dates its lock before what somebody wrote meanwhile, and the reading may have been too early for both.
    let mut world = World::new();
    let Control::LockChanged(weaker) = lock(1, LockLevel::None) else { panic!() };
    let mut rows = directory();
    rows.locks.push(Lock { since: weaker.since + TimeDelta::seconds(3), ..weaker });
    let rows = Arc::new(Tables::of(Arc::new(rows)));
    world.run_seconds(5);
    let read_at = world.now().mono;
    world.run_seconds(1);
    world.control(lock(1, LockLevel::Outgoing));
    world.run_seconds(1);
    world.input(Input::Tables { tables: rows, read_at });
    let id = world.dial(ALICE, "49301234", 5);
    assert_eq!(world.outcome(id), Some(&refused(403, "Caller locked")));
    // What was read long after it knows better.
    world.run_seconds(20);
    let read_at = world.now().mono;
    world.input(tables(read_at));
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
}

#[test]
fn lock_lifted_by_hand_while_a_snapshot_was_read_is_lifted_by_the_next() {
    let mut world = World::new();
    let read_at = world.now().mono;
    world.control(lock(1, LockLevel::Outgoing));
    world.run_seconds(60);
    world.input(tables(read_at));
    // Somebody lifted it before this one was read, and no snapshot has ever shown it.
    let read_at = world.now().mono;
    world.input(tables(read_at));
    let id = world.dial(ALICE, "49301234", 5);
    world.run_seconds(10);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })), "{}", world.story());
}

#[test]
fn call_ended_before_its_ack_is_hung_up_after_it_on_both_sides() {
    let mut world = World::new();
    world.lose_next_to(HOMES, "SIP/2.0 200 OK");
    let id = world.dial(ALICE, "49301234", 600);
    world.run(Duration::from_millis(1_100));
    world.control(Control::EndCallsOf { account: AccountId(1) });
    assert_eq!(world.ends(), 1);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "ACK"), 1, "a BYE must not come before the ACK");
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 0, "she has not heard of the answer yet");
    world.run_seconds(1);
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 1);
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { by_us: false, .. })));
    assert!(world.story().ends_with("1.100 account 1: end 200 killed by operator after 0.100 s\n"));
    world.assert_idle();
}

#[test]
fn route_whose_media_the_caller_heard_is_the_last_one() {
    let mut world = World::new();
    let mut rows = directory();
    let peer = "203.0.113.77:5060";
    rows.trunks[0].address = peer.parse().unwrap();
    world.input(Input::Directory(Arc::new(rows)));
    for (sdp, next) in [("", 1), ("v=0\r\nm=audio 4000 RTP/AVP 8\r\n", 1)] {
        let id = world.dial(ALICE, "49301234", 5);
        let sent = world.raw.iter().rev().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap();
        let sent = String::from_utf8(sent.1.clone()).unwrap();
        let head: String = sent
            .lines()
            .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\r\n"))
            .collect();
        let answer = |line: &str, body: &str| {
            format!(
                "SIP/2.0 {line}\r\n{head}To: <sip:49301234@x>;tag=g\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        world.inject(peer, answer("183 Session Progress", sdp));
        world.inject(peer, answer("503 Service Unavailable", ""));
        assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), next, "{}", world.story());
        world.run_seconds(20);
        match sdp {
            "" => assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. }))),
            _ => assert_eq!(world.outcome(id), Some(&refused(503, "Service Unavailable"))),
        }
    }
    world.assert_idle();
}

#[test]
fn what_the_one_who_hangs_up_tells_of_the_media_is_in_the_end() {
    let mut world = World::new();
    let told =
        "P-RTP-Stat: PS=500,PR=475,PL=25,JI=3,LA=40\r\nReason: Q.850;cause=16;text=\"RTP Timeout\"\r\n";
    world.rewrite_next("BYE ", "\r\nCSeq", &format!("\r\n{told}CSeq"));
    world.dial(ALICE, "49301234", 10);
    world.run_seconds(20);
    let ends: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::End(end) => Some((end.cause, end.code, end.media)),
            _ => None,
        })
        .collect();
    let media = MediaQuality {
        mos_hundredths: None,
        loss_hundredths: Some(500),
        jitter_us: Some(3_000),
        round_trip_us: Some(40_000),
    };
    assert_eq!(ends, [(Cause::RtpTimeout, 200, Some(media))]);
    world.assert_idle();
}
