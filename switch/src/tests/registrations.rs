//! The registrar, and what is not a call.

use model::{EventBody, RegistrationChange, SecurityKind};

use super::world::{ALICE, CAROL, HOMES, SWITCH, World, directory};
use crate::SwitchConfig;
use crate::phone::{PhoneCommand, PhoneStep};

fn changes(world: &World) -> Vec<RegistrationChange> {
    let changes = world.events.iter().filter_map(|event| {
        if let EventBody::Registration(registration) = &event.body { Some(registration.change) } else { None }
    });
    changes.collect()
}

fn security(world: &World) -> Vec<(SecurityKind, u32)> {
    let security = world.events.iter().filter_map(|event| {
        if let EventBody::Security(security) = &event.body {
            Some((security.what, security.count))
        } else {
            None
        }
    });
    security.collect()
}

#[test]
fn registered_phone_is_called_renewed_and_forgotten_when_it_falls_silent() {
    let mut world = World::new();
    world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 100 });
    assert_eq!(world.switch.counters().contacts_active, 1);
    world.run_seconds(170);
    assert_eq!(changes(&world), [RegistrationChange::Ok; 3]);
    let renewed: Vec<bool> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::Registration(registration) => Some(registration.renewed),
            _ => None,
        })
        .collect();
    assert_eq!(renewed, [false, true, true]);
    for _ in 0..30 {
        world.lose_next("REGISTER sip:");
    }
    world.run_seconds(200);
    assert_eq!(changes(&world).last(), Some(&RegistrationChange::Expired));
    assert_eq!(world.switch.counters().contacts_active, 0);
    let id = world.dial(ALICE, "carol", 5);
    assert_eq!(world.outcome(id), Some(&PhoneStep::Refused { code: 480, phrase: "Offline".into() }));
}

#[test]
fn registration_is_taken_back() {
    let mut world = World::new();
    world.register(CAROL);
    world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 0 });
    assert_eq!(changes(&world), [RegistrationChange::Ok, RegistrationChange::Removed]);
    assert_eq!(world.switch.counters().contacts_active, 0);
    world.assert_idle();
}

#[test]
fn too_short_a_registration_gets_423_and_its_minimum() {
    let mut world = World::new();
    world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 10 });
    assert_eq!(world.count(SWITCH, HOMES, "423 Interval Too Brief"), 1);
    assert_eq!(world.switch.counters().contacts_active, 0);
}

#[test]
fn guessed_passwords_are_one_record_with_a_count() {
    let mut rows = directory();
    rows.subscribers[CAROL].digest = crate::digest::secret_of("carol", "example.net", "another");
    let mut world = World::with(SwitchConfig { auth_failures_max: 0, ..SwitchConfig::default() }, rows);
    for _ in 0..50 {
        world.command(HOMES, PhoneCommand::Register { line: CAROL, seconds: 100 });
    }
    assert_eq!(changes(&world), [RegistrationChange::Failed]);
    assert_eq!(security(&world), [(SecurityKind::AuthFailed, 1)]);
    world.run_seconds(60);
    assert_eq!(security(&world), [(SecurityKind::AuthFailed, 1), (SecurityKind::AuthFailed, 49)]);
    assert_eq!(world.switch.counters().auth_failed, 50);
}

#[test]
fn options_gets_200_an_unknown_method_405_and_a_stray_bye_481() {
    let mut world = World::new();
    let peer = "198.51.100.9:5060";
    let mut ask = |method: &str| {
        world.inject(
            peer,
            format!(
                "{method} sip:example.net SIP/2.0\r\nv: SIP/2.0/UDP {peer};branch=z9hG4bK{method}\r\n\
                 f: <sip:x@y>;tag=1\r\nt: <sip:example.net>\r\ni: 1@y\r\nCSeq: 1 {method}\r\n\r\n"
            ),
        );
        String::from_utf8(world.raw.pop().unwrap().1).unwrap()
    };
    assert!(ask("OPTIONS").starts_with("SIP/2.0 200 OK"));
    let answer = ask("NEWMETHOD");
    assert!(
        answer.starts_with("SIP/2.0 405 Method Not Allowed") && answer.contains("Allow: INVITE, ACK"),
        "{answer}"
    );
    assert!(answer.contains(";received=198.51.100.9\r\n"), "{answer}");
    assert!(ask("BYE").starts_with("SIP/2.0 481"));
    assert!(ask("CANCEL").starts_with("SIP/2.0 481"));
}

#[test]
fn answer_goes_to_the_port_it_came_from_only_if_rport_asks_for_it() {
    let mut world = World::new();
    for (via, port) in
        [("10.0.0.1:5070;branch=z9hG4bK1;rport", 9999), ("10.0.0.1:5070;branch=z9hG4bK2", 5070)]
    {
        world.inject(
            "198.51.100.9:9999",
            format!(
                "OPTIONS sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP {via}\r\nFrom: <sip:x@y>;tag=1\r\n\
                 To: <sip:example.net>\r\nCall-ID: 1@y\r\nCSeq: 1 OPTIONS\r\n\r\n"
            ),
        );
        assert_eq!(world.raw.pop().unwrap().0, format!("198.51.100.9:{port}").parse().unwrap());
    }
}

#[test]
fn rubbish_is_dropped_or_answered_with_400_and_counted() {
    let mut world = World::new();
    world.inject("198.51.100.9:5060", b"\r\n\r\n");
    world.inject("198.51.100.9:5060", b"\0\0\0\0");
    assert_eq!(world.switch.counters().malformed, 0, "keep-alives are no fault");
    world.inject("198.51.100.9:5060", b"GET / HTTP/1.1\r\n\r\n");
    world.inject("198.51.100.9:5060", b"\xff\xfe\x00rubbish");
    assert!(world.raw.is_empty());
    world.inject(
        "198.51.100.9:5060",
        "INVITE sip:x@y SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:x@y>\r\n\
         Call-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 9999\r\n\r\n",
    );
    assert!(world.raw[0].1.starts_with(b"SIP/2.0 400 Content-Length Beyond The Datagram"));
    assert_eq!(world.switch.counters().malformed, 3);
    world.run_seconds(30);
    assert_eq!(security(&world), [(SecurityKind::Malformed, 1), (SecurityKind::Malformed, 2)]);
}

#[test]
fn domain_provisioned_in_capitals_is_the_realm_its_passwords_were_hashed_with() {
    let mut rows = directory();
    rows.subscribers[CAROL].domain = "Voice.Example.NET".into();
    rows.subscribers[CAROL].digest = crate::digest::secret_of("carol", "Voice.Example.NET", "carol-secret");
    let mut world = World::with(SwitchConfig::default(), rows);
    world.inject(
        "198.51.100.9:5060",
        "REGISTER sip:voice.example.net SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.9;branch=z9hG4bK1\r\n\
         From: <sip:carol@voice.example.net>;tag=1\r\nTo: <sip:carol@voice.example.net>\r\nCall-ID: 1\r\n\
         CSeq: 1 REGISTER\r\nContent-Length: 0\r\n\r\n",
    );
    let challenge = String::from_utf8(world.raw.pop().unwrap().1).unwrap();
    assert!(challenge.contains("realm=\"Voice.Example.NET\""), "{challenge}");
}
