//! What each kind of call comes to.

use expect_test::expect;

use mediator::{Mediator, MediatorConfig};
use model::{
    AccountId, AttemptDetail, AuthMethod, Body, CdrDetail, Edr, Effect, EventBody, MediaQuality, PeerLogin,
    Transport,
};

use crate::script::{cdrs, check, events, feed};

#[test]
fn answered_call_is_billed_from_its_answer_by_the_monotonic_clock() {
    check(
        "0 attempt
         0.1 route 1
         2 progress 180
         5 result 1 200 stop
         5 answer 1
         60 tick 55
         65.2 end 60.25 200 normal caller",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 60250000 us, pdd Some(1000000) PCMA/8000 [1:200:stop] | 11 pays: anna -> 43660555123 as 143660555123
        "#]],
    );
}

#[test]
fn failover_is_one_record_with_the_routes_inside() {
    check(
        "0 attempt
         0.1 route 1
         3 result 1 503 next
         3.1 route 2
         9 result 2 408 next
         9.1 route 3
         12 result 3 200 stop
         12 answer 3
         22 end 10 200 normal callee",
        expect![[r#"
            a/0 r0 call ok 200 normal by callee | in 12:00:00 start 12:00:12 for 10000000 us, pdd Some(3000000) PCMA/8000 [1:503:next 2:408:next 3:200:stop] | 11 pays: anna -> 43660555123 as 343660555123
        "#]],
    );
}

#[test]
fn busy_call_costs_no_time_and_starts_at_its_refusal() {
    check(
        "0 attempt
         0.1 route 1
         4 result 1 486 stop
         4 end 0 486 busy callee",
        expect![[r#"
            a/0 r0 call busy 486 busy by callee | in 12:00:00 start 12:00:04 for 0 us, pdd Some(1000000) - [1:486:stop] | 11 pays: anna -> 43660555123 as 143660555123
        "#]],
    );
}

#[test]
fn cancelled_call_is_the_callers_doing() {
    check(
        "0 attempt
         0.1 route 1
         1 progress 180
         8 end 0 487 cancelled caller",
        expect![[r#"
            a/0 r0 call cancel 487 cancelled by caller | in 12:00:00 start 12:00:08 for 0 us, pdd None - [1:0:stop] | 11 pays: anna -> 43660555123 as 143660555123
        "#]],
    );
}

#[test]
fn locked_account_gets_a_record_of_its_refusal() {
    check(
        "0 attempt
         0.01 reject 403 locked_out",
        expect![[r#"
            a/0 r0 call other 403 locked_out by switch | in 12:00:00 start 12:00:00.010 for 0 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn all_routes_failed() {
    check(
        "0 attempt
         0.1 route 1
         1 result 1 503 next
         1.1 route 2
         2 result 2 500 stop
         2 end 0 500 peering_unavailable callee",
        expect![[r#"
            a/0 r0 call other 500 peering_unavailable by callee | in 12:00:00 start 12:00:02 for 0 us, pdd Some(2000000) - [1:503:next 2:500:stop] | 11 pays: anna -> 43660555123 as 243660555123
        "#]],
    );
}

/// Who transfers calls on and pays: the leg is told as a forward of kind `xfer`, in the middle of the talk (switch-reference 8.2).
#[test]
fn transferred_call_has_a_second_record_that_the_transferor_pays() {
    check(
        "0 attempt
         0.1 route 1
         2 answer 1
         32 forward xfer 1
         32 route 1 leg=1 payer=12
         34 answer 1 leg=1 payer=12
         34.1 end 32.1 200 normal caller
         94 end 60 200 normal callee leg=1 payer=12",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:02 for 32100000 us, pdd None PCMA/8000 [1:200:stop] | 11 pays: anna -> 43660555123 as 143660555123
            a/1 r0 xfer ok 200 normal by callee | in 12:00:32 start 12:00:34 for 60000000 us, pdd None PCMA/8000 [1:200:stop] | 12 pays: 43660555123 -> 4930555123 as 143660555123
        "#]],
    );
}

#[test]
fn forwarded_call_has_a_record_for_each_leg_and_the_forwarder_is_the_source_of_the_second() {
    check(
        "0 attempt
         0.1 forward cfu 1
         0.2 route 1 leg=1 payer=12
         3 answer 1 leg=1 payer=12
         3 answer 1
         33 end 30 200 normal caller
         33 end 30 200 normal caller leg=1 payer=12",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:03 for 30000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            a/1 r0 cfu ok 200 normal by caller | in 12:00:00.100 start 12:00:03 for 30000000 us, pdd None PCMA/8000 [1:200:stop] | 12 pays: 43660555123 -> 4930555123 as 143660555123
        "#]],
    );
}

#[test]
fn event_that_comes_twice_is_counted_once() {
    check(
        "0 attempt seq=1
         0 attempt seq=1
         5 answer 1 seq=2
         15 end 10 200 normal caller seq=3
         5 answer 1 seq=2
         15 end 10 200 normal caller seq=3
         6 register ok seq=4
         6 register ok seq=4",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 10000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
            edr sw1-1-4 registered "" -> "ok" of 11: anna@example.org contact sip:anna@192.0.2.10 from 192.0.2.10:5060 for 3600 s, phone/1
        "#]],
    );
}

#[test]
fn answer_after_the_end_corrects_the_record() {
    check(
        "0 attempt seq=1
         15 end 10 200 normal caller seq=3
         5.5 answer 1 seq=2",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 10000000 us, pdd None - [] | 11 pays: anna -> 43660555123 as -
            a/0 r1 call ok 200 normal by caller | in 12:00:00 start 12:00:05.500 for 10000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn late_event_that_changes_nothing_makes_no_revision() {
    check(
        "0 attempt seq=1
         5 answer 1 seq=2
         15 end 10 200 normal caller seq=4
         9 hold seq=3",
        expect![[r#"
            a/0 r0 call ok 200 normal by caller | in 12:00:00 start 12:00:05 for 10000000 us, pdd None PCMA/8000 [] | 11 pays: anna -> 43660555123 as -
        "#]],
    );
}

#[test]
fn what_belongs_to_no_call_becomes_an_edr() {
    check(
        "0 register ok call=-
         1 register expired call=-
         2 register failed call=- payer=0
         3 trunk up down call=- payer=103
         4 security auth_failed call=- payer=0",
        expect![[r#"
            edr sw1-1-1 registered "" -> "ok" of 11: anna@example.org contact sip:anna@192.0.2.10 from 192.0.2.10:5060 for 3600 s, phone/1
            edr sw1-1-2 unregistered "" -> "expired" of 11: anna@example.org contact sip:anna@192.0.2.10 from 192.0.2.10:5060 for 3600 s, phone/1
            edr sw1-1-3 register_failed "" -> "failed" of 0: anna@example.org contact sip:anna@192.0.2.10 from 192.0.2.10:5060 for 3600 s, phone/1
            edr sw1-1-4 trunk_state "up" -> "down" of 103: trunk 3, code 408
            edr sw1-1-5 security "" -> "auth_failed" of 0: 192.0.2.10:5060 user admin, 3 times: wrong password
        "#]],
    );
}

#[test]
fn change_of_provisioning_data_becomes_an_edr_once() {
    let records = events(
        "0 provision start_profile - flat-s call=-
         1 provision update_profile flat-s flat-l call=-
         1 provision update_profile flat-s flat-l call=- seq=2
         2 provision number_released uuid-1 uuid-2 call=-
         3 provision lock_changed none outgoing call=-",
    );
    let effects = feed(&mut Mediator::new(MediatorConfig::default()), &records);
    let kept: Vec<&Edr> = effects
        .iter()
        .filter_map(|effect| if let Effect::Edr(edr) = effect { Some(&**edr) } else { None })
        .collect();
    let appended: Vec<&Edr> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Append { body, .. } => match &**body {
                Body::Edr(edr) => Some(edr.as_ref()),
                other => panic!("unexpected {other:?}"),
            },
            _ => None,
        })
        .collect();
    assert_eq!(kept, appended);
    let told: Vec<String> = kept
        .iter()
        .map(|edr| format!("{} {} {} {}", edr.id, edr.kind, edr.old_status, edr.new_status))
        .collect();
    assert_eq!(
        told,
        [
            "sw1-1-1 start_profile  flat-s",
            "sw1-1-2 update_profile flat-s flat-l",
            "sw1-1-4 number_released uuid-1 uuid-2",
            "sw1-1-5 lock_changed none outgoing",
        ]
    );
    assert_eq!((kept[0].reseller, kept[0].uuid.as_str()), (AccountId(5), "uuid-1"));
    assert_eq!(kept[0].number, "431234567".parse().ok());
    assert_eq!(effects.iter().filter(|effect| **effect == Effect::Repeated).count(), 1);
}

#[test]
fn registration_that_is_only_renewed_is_no_edr() {
    let mut records = events("0 register ok call=-");
    let Body::Call(event) = &mut records[0] else { unreachable!() };
    let EventBody::Registration(registration) = &mut event.body else { unreachable!() };
    registration.renewed = true;
    assert!(feed(&mut Mediator::new(MediatorConfig::default()), &records).is_empty());
}

#[test]
fn record_has_what_few_invites_carry_and_how_the_media_were() {
    let mut records =
        events("0 attempt\n0.1 route 1\n1 result 1 200 stop\n1 answer 1\n9 end 8 200 normal callee");
    let detail = AttemptDetail {
        emergency: true,
        stir: "attest=A".into(),
        preferred_identity: "<sip:+431@example.org>".into(),
        user_to_user: "56a390;encoding=hex".into(),
        history_info: "<sip:112@example.org>;index=1".into(),
    };
    let media = MediaQuality { mos_hundredths: Some(412), ..MediaQuality::default() };
    for body in &mut records {
        let Body::Call(event) = body else { continue };
        if let EventBody::Attempt(attempt) = &mut event.body {
            attempt.detail = Some(Box::new(detail.clone()));
        }
        if let EventBody::RouteAttempt(route) = &mut event.body {
            let login = PeerLogin { user: "vox".into(), realm: "carrier.example".into() };
            route.login = Some(Box::new(login));
        }
        if let EventBody::End(end) = &mut event.body {
            end.media = Some(media);
        }
    }
    let effects = feed(&mut Mediator::new(MediatorConfig::default()), &records);
    let expected = CdrDetail {
        setup_us: Some(0),
        transport: Some(Transport::Udp),
        auth: Some(AuthMethod::Digest),
        emergency: true,
        stir: detail.stir,
        preferred_identity: detail.preferred_identity,
        user_to_user: detail.user_to_user,
        history_info: detail.history_info,
        media: Some(media),
        peer_auth_user: "vox".into(),
        peer_auth_realm: "carrier.example".into(),
        ..CdrDetail::default()
    };
    assert_eq!(cdrs(&effects)[0].detail, expected);
}

#[test]
fn phones_that_ring_side_by_side_are_one_record_of_the_one_that_answered() {
    check(
        "0 attempt
         0.1 route 1
         0.1 route 2
         0.1 route 3
         3 result 3 486 next
         4 result 2 200 stop
         4 answer 2
         4.1 result 1 487 stop
         9 end 5 200 normal callee",
        expect![[r#"
            a/0 r0 call ok 200 normal by callee | in 12:00:00 start 12:00:04 for 5000000 us, pdd Some(2000000) PCMA/8000 [1:487:stop 2:200:stop 3:486:next] | 11 pays: anna -> 43660555123 as 243660555123
        "#]],
    );
}

#[test]
fn record_says_what_refused_the_call_and_how_it_came_in() {
    let mut records = events("0 attempt\n0.01 reject 403 locked_out");
    for body in &mut records {
        if let Body::Call(event) = body {
            if let EventBody::Attempt(attempt) = &mut event.body {
                attempt.asserted_identity = "<sip:+431234567@example.org>".into();
                attempt.diversion = "<sip:+439999@example.org>".into();
            }
            if let EventBody::Rejected(rejected) = &mut event.body {
                rejected.object = "account 12 lock 2".into();
            }
        }
    }
    let effects = feed(&mut Mediator::new(MediatorConfig::default()), &records);
    let expected = CdrDetail {
        refused_by: "account 12 lock 2".into(),
        transport: Some(Transport::Udp),
        auth: Some(AuthMethod::Digest),
        asserted_identity: "<sip:+431234567@example.org>".into(),
        diversion: "<sip:+439999@example.org>".into(),
        ..CdrDetail::default()
    };
    assert_eq!(cdrs(&effects)[0].detail, expected);
}

/// The end's own Reason goes before the one of the route that failed (RFC 3326).
#[test]
fn reason_is_that_of_whoever_had_the_last_word() {
    let reason_with = |of_end: &str| {
        let mut records =
            events("0 attempt\n0.1 route 1\n1 result 1 503 stop\n1 end 0 503 peering_unavailable callee");
        for body in &mut records {
            if let Body::Call(event) = body {
                if let EventBody::RouteResult(result) = &mut event.body {
                    result.reason = "Q.850;cause=41".into();
                }
                if let EventBody::End(end) = &mut event.body {
                    end.reason = of_end.into();
                }
            }
        }
        let effects = feed(&mut Mediator::new(MediatorConfig::default()), &records);
        cdrs(&effects)[0].detail.reason.clone()
    };
    assert_eq!(reason_with(""), "Q.850;cause=41");
    assert_eq!(reason_with("SIP;cause=503"), "SIP;cause=503");
}
