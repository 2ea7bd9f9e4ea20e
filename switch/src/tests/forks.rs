//! A subscriber with several phones: all ring, the first to answer has the call.

use std::time::Duration;

use model::{CallingRules, Directory, SubscriberCalling, SubscriberId};

use super::world::{ALICE, World, directory};
use crate::SwitchConfig;
use crate::phone::PhoneStep;

const DESK: &str = "198.51.100.20:5060";
const HALL: &str = "198.51.100.21:5060";
const SDP: &str = "v=0\r\nm=audio 4000 RTP/AVP 8\r\n";

/// Carol is reached at two fixed places.
fn world() -> World {
    let contacts = vec![format!("sip:carol@{DESK}"), format!("sip:carol@{HALL}")];
    let rules = SubscriberCalling { permanent_contacts: contacts, ..SubscriberCalling::default() };
    let calling = CallingRules { subscribers: [(SubscriberId(2), rules)].into(), ..CallingRules::default() };
    World::with(SwitchConfig::default(), Directory { calling, ..directory() })
}

fn invites(world: &World) -> (String, String) {
    (world.last_to(DESK, "INVITE").unwrap(), world.last_to(HALL, "INVITE").unwrap())
}

#[test]
fn all_phones_ring_and_the_first_to_answer_has_the_call() {
    let mut world = world();
    let id = world.dial(ALICE, "43222", 5);
    let (desk, hall) = invites(&world);
    world.answer_from(DESK, &desk, "180 Ringing", "", "");
    world.answer_from(HALL, &hall, "180 Ringing", "", "");
    let contact = format!("Contact: <sip:carol@{HALL}>\r\n");
    world.answer_from(HALL, &hall, "200 OK", &contact, SDP);
    assert!(world.last_to(HALL, "ACK").is_some());
    let cancel = world.last_to(DESK, "CANCEL").unwrap();
    world.answer_from(DESK, &cancel, "200 OK", "", "");
    world.answer_from(DESK, &desk, "487 Request Terminated", "", "");
    world.run_seconds(6);
    let bye = world.last_to(HALL, "BYE").unwrap();
    world.answer_from(HALL, &bye, "200 OK", "", "");
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    let story = world.story();
    assert!(
        story.contains("route 2 answered 200 OK: stop") && story.contains("route 1 answered 487"),
        "{story}"
    );
    assert_eq!(world.ends(), 1, "one call, one record");
    world.assert_idle();
}

#[test]
fn two_phones_picked_up_at_once_and_the_slower_is_hung_up() {
    let mut world = world();
    world.dial(ALICE, "43222", 5);
    let (desk, hall) = invites(&world);
    world.answer_from(HALL, &hall, "200 OK", &format!("Contact: <sip:carol@{HALL}>\r\n"), SDP);
    world.answer_from(DESK, &desk, "200 OK", &format!("Contact: <sip:carol@{DESK}>\r\n"), SDP);
    assert!(world.last_to(DESK, "ACK").is_some(), "a 2xx is acknowledged, wanted or not");
    let bye = world.last_to(DESK, "BYE").unwrap();
    world.answer_from(DESK, &bye, "200 OK", "", "");
    assert!(world.last_to(HALL, "BYE").is_none());
    world.run_seconds(6);
    let bye = world.last_to(HALL, "BYE").unwrap();
    world.answer_from(HALL, &bye, "200 OK", "", "");
    assert!(world.story().contains("end 200 normal by caller after 5.000 s"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn one_phone_that_is_busy_does_not_stop_the_other_from_ringing() {
    let mut world = world();
    let id = world.dial(ALICE, "43222", 5);
    let (desk, hall) = invites(&world);
    world.answer_from(DESK, &desk, "486 Busy Here", "", "");
    assert!(world.last_to(HALL, "CANCEL").is_none());
    assert_eq!(world.ends(), 0);
    world.answer_from(HALL, &hall, "480 Temporarily Unavailable", "", "");
    let busy = PhoneStep::Refused { code: 486, phrase: "Busy Here".into() };
    assert_eq!(world.outcome(id), Some(&busy), "of two refusals the one that says more");
    world.assert_idle();
}

#[test]
fn phone_that_declines_everywhere_stops_all_of_them() {
    let mut world = world();
    let id = world.dial(ALICE, "43222", 5);
    let (desk, hall) = invites(&world);
    world.answer_from(HALL, &hall, "180 Ringing", "", "");
    world.answer_from(DESK, &desk, "603 Decline", "", "");
    let cancel = world.last_to(HALL, "CANCEL").unwrap();
    world.answer_from(HALL, &cancel, "200 OK", "", "");
    world.answer_from(HALL, &hall, "487 Request Terminated", "", "");
    assert_eq!(world.outcome(id), Some(&PhoneStep::Refused { code: 603, phrase: "Decline".into() }));
    world.assert_idle();
}

#[test]
fn silent_phone_is_given_up_while_the_other_rings_on() {
    let mut world = world();
    world.dial(ALICE, "43222", 5);
    let (_, hall) = invites(&world);
    world.answer_from(HALL, &hall, "180 Ringing", "", "");
    world.run(Duration::from_secs(10));
    world.answer_from(HALL, &hall, "200 OK", &format!("Contact: <sip:carol@{HALL}>\r\n"), SDP);
    world.run_seconds(6);
    let bye = world.last_to(HALL, "BYE").unwrap();
    world.answer_from(HALL, &bye, "200 OK", "", "");
    assert_eq!(world.ends(), 1);
    assert_eq!(world.story().matches("answer 200").count(), 1, "{}", world.story());
    world.assert_idle();
}

#[test]
fn answer_without_a_description_brings_that_of_the_phone_that_answered() {
    let mut world = world();
    world.dial(ALICE, "43222", 5);
    let (desk, hall) = invites(&world);
    let of_hall = SDP.replace("4000", "5000").replace(" 8\r", " 0\r");
    let told = |place: &str| {
        format!(
            "Require: 100rel\r\nRSeq: 1\r\nContact: <sip:carol@{place}>\r\nContent-Type: application/sdp\r\n"
        )
    };
    world.answer_from(DESK, &desk, "183 Session Progress", &told(DESK), SDP);
    world.answer_from(HALL, &hall, "183 Session Progress", &told(HALL), &of_hall);
    for place in [DESK, HALL] {
        let prack = world.last_to(place, "PRACK").expect("by us");
        world.answer_from(place, &prack, "200 OK", "", "");
    }
    world.answer_from(DESK, &desk, "200 OK", &format!("Contact: <sip:carol@{DESK}>\r\n"), "");
    assert_eq!(world.answers.len(), 1);
    assert!(world.answers[0].ends_with(SDP), "{}", world.answers[0]);
}
