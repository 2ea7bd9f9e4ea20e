//! Trunks as real carriers are: with passwords, registrations, probes, shared addresses and habits of their own.

use std::time::Duration;

use model::{
    AccountKind, CallingRules, Directory, EventBody, RouteAction, TrunkCalling, TrunkHealth, TrunkId,
    TrunkLogin,
};

use super::world::{ALICE, GATEWAY_1, GATEWAY_2, SWITCH, World, directory, header_of};
use crate::SwitchConfig;
use crate::phone::{Behaviour, PhoneStep};

const CARRIER: &str = "203.0.113.77:5060";

fn login(realm: Option<&str>) -> Option<TrunkLogin> {
    Some(TrunkLogin { username: "us".into(), password: "our-secret".into(), realm: realm.map(str::to_owned) })
}

/// Trunk 1 is a foreign peer at `CARRIER` with these rules; trunk 2 is the gateway of the tests.
fn world(rules: TrunkCalling) -> World {
    let calling = CallingRules { trunks: [(TrunkId(1), rules)].into(), ..CallingRules::default() };
    let mut rows = Directory { calling, ..directory() };
    rows.trunks[0].address = CARRIER.parse().unwrap();
    World::with(SwitchConfig::default(), rows)
}

const CHALLENGE: &str =
    "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"abc\", algorithm=SHA-256, qop=\"auth\"\r\n";

#[test]
fn challenge_of_a_carrier_is_answered_once_in_the_same_call() {
    let mut world = world(TrunkCalling { login: login(None), ..TrunkCalling::default() });
    world.dial(ALICE, "49301234", 5);
    let first = world.last_to(CARRIER, "INVITE").unwrap();
    world.answer_from(CARRIER, &first, "407 Proxy Authentication Required", CHALLENGE, "");
    let second = world.last_to(CARRIER, "INVITE").unwrap();
    assert_eq!(header_of(&second, "CSeq"), "2 INVITE");
    assert_eq!(header_of(&second, "Call-ID"), header_of(&first, "Call-ID"));
    assert_ne!(header_of(&second, "Via"), header_of(&first, "Via"));
    let answer = header_of(&second, "Proxy-Authorization");
    assert!(answer.contains("username=\"us\"") && answer.contains("algorithm=SHA-256"), "{second}");
    assert!(second.ends_with(first.split_once("\r\n\r\n").unwrap().1), "with the same body");
    // Twice refused: the next trunk, and it counts as one attempt.
    world.answer_from(CARRIER, &second, "407 Proxy Authentication Required", CHALLENGE, "");
    world.run_seconds(10);
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);
    assert!(world.story().contains("route 1 answered 407"), "{}", world.story());
    assert_eq!(world.story().matches("answered 407").count(), 1);
    world.assert_idle();
}

#[test]
fn answer_after_the_challenge_is_acknowledged_and_billed_as_usual() {
    let mut world = world(TrunkCalling { login: login(None), ..TrunkCalling::default() });
    let id = world.dial(ALICE, "49301234", 5);
    let first = world.last_to(CARRIER, "INVITE").unwrap();
    world.answer_from(CARRIER, &first, "407 Proxy Authentication Required", CHALLENGE, "");
    let second = world.last_to(CARRIER, "INVITE").unwrap();
    let contact = format!("Contact: <sip:far@{CARRIER}>\r\nContent-Type: application/sdp\r\n");
    world.answer_from(CARRIER, &second, "200 OK", &contact, "v=0\r\nm=audio 4000 RTP/AVP 8\r\n");
    let ack = world.last_to(CARRIER, "ACK").unwrap();
    assert_eq!(header_of(&ack, "CSeq"), "2 ACK");
    world.run_seconds(5);
    let bye = world.last_to(CARRIER, "BYE").unwrap();
    assert_eq!(header_of(&bye, "CSeq"), "3 BYE");
    world.answer_from(CARRIER, &bye, "200 OK", "", "");
    assert!(matches!(world.outcome(id), Some(PhoneStep::HungUp { .. })));
    world.assert_idle();
}

#[test]
fn password_is_not_given_to_another_realm() {
    let mut world = world(TrunkCalling { login: login(Some("ours")), ..TrunkCalling::default() });
    world.dial(ALICE, "49301234", 5);
    let first = world.last_to(CARRIER, "INVITE").unwrap();
    world.answer_from(CARRIER, &first, "407 Proxy Authentication Required", CHALLENGE, "");
    let sent = world.raw.iter().filter(|(_, bytes)| bytes.starts_with(b"INVITE")).count();
    assert_eq!((sent, world.count(SWITCH, GATEWAY_2, "INVITE")), (1, 1));
}

#[test]
fn we_register_at_a_carrier_and_renew_in_time() {
    let rules = TrunkCalling {
        login: login(None),
        register: true,
        domain: Some("sip.carrier.example".into()),
        ..TrunkCalling::default()
    };
    let mut world = world(rules);
    world.run_seconds(1);
    let first = world.last_to(CARRIER, "REGISTER").unwrap();
    assert!(first.starts_with("REGISTER sip:sip.carrier.example SIP/2.0\r\n"), "{first}");
    assert_eq!(header_of(&first, "Contact"), "<sip:us@192.0.2.1:5060;tb-trunk=1>");
    let challenge = CHALLENGE.replace("Proxy-Authenticate", "WWW-Authenticate");
    world.answer_from(CARRIER, &first, "401 Unauthorized", &challenge, "");
    let second = world.last_to(CARRIER, "REGISTER").unwrap();
    assert!(second.contains("Authorization: Digest username=\"us\""), "{second}");
    let granted = "Contact: <sip:us@192.0.2.1:5060;tb-trunk=1>;expires=100, <sip:other@x>;expires=9999\r\n";
    world.answer_from(CARRIER, &second, "200 OK", granted, "");
    let health = |world: &World| world.switch.trunk_health()[0].1;
    assert_eq!(health(&world), TrunkHealth::Up);
    world.raw.clear();
    world.run_seconds(78);
    assert_eq!(world.last_to(CARRIER, "REGISTER"), None);
    world.run_seconds(3);
    let renewed = world.last_to(CARRIER, "REGISTER").unwrap();
    assert_eq!(header_of(&renewed, "CSeq"), "3 REGISTER");
    world.answer_from(CARRIER, &renewed, "403 Forbidden", "", "");
    assert_eq!(health(&world), TrunkHealth::Down);
    let states: Vec<_> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::TrunkState(state) => Some((event.payer.0, state.new, state.code)),
            _ => None,
        })
        .collect();
    assert_eq!(states, [(11, TrunkHealth::Up, 200), (11, TrunkHealth::Down, 403)]);
}

#[test]
fn trunk_that_does_not_answer_probes_is_left_out_until_it_does() {
    let mut world = world(TrunkCalling { probe_seconds: Some(10), ..TrunkCalling::default() });
    let told = |world: &World| {
        let states = world.events.iter().filter_map(|event| match &event.body {
            EventBody::TrunkState(state) => Some((state.old, state.new, state.code)),
            _ => None,
        });
        states.collect::<Vec<_>>()
    };
    world.run_seconds(1);
    let probe = world.last_to(CARRIER, "OPTIONS").unwrap();
    world.answer_from(CARRIER, &probe, "404 Not Found", "", "");
    assert_eq!(told(&world), [(TrunkHealth::Unknown, TrunkHealth::Up, 404)], "any answer is a sign of life");
    world.run_seconds(34);
    assert_eq!(told(&world).len(), 2, "three silent probes");
    assert_eq!(told(&world)[1], (TrunkHealth::Up, TrunkHealth::Down, 408));
    world.dial(ALICE, "49301234", 1);
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1, "the call goes round it: {}", world.story());
    for n_good in 1..=2 {
        world.raw.clear();
        while world.last_to(CARRIER, "OPTIONS").is_none() {
            world.run_seconds(1);
        }
        let probe = world.last_to(CARRIER, "OPTIONS").unwrap();
        world.answer_from(CARRIER, &probe, "200 OK", "", "");
        assert_eq!(told(&world).len(), n_good + 1, "up again after two good answers");
    }
    assert_eq!(told(&world)[2], (TrunkHealth::Down, TrunkHealth::Up, 200));
    world.run(Duration::from_secs(2));
    world.dial(ALICE, "49301234", 1);
    assert!(world.last_to(CARRIER, "INVITE").is_some());
}

#[test]
fn habits_of_a_carrier_are_its_own() {
    let mut world = world(TrunkCalling {
        failover: [(404, RouteAction::Next), (503, RouteAction::Stop)].into(),
        answer_as: [(503, 480)].into(),
        from_user: Some("pilot".into()),
        domain: Some("sip.carrier.example".into()),
        outbound_proxy: Some("203.0.113.88:5070".parse().unwrap()),
        ..TrunkCalling::default()
    });
    let proxy = "203.0.113.88:5070";
    world.dial(ALICE, "49301234", 1);
    let invite = world.last_to(proxy, "INVITE").unwrap();
    assert!(invite.starts_with("INVITE sip:49301234@sip.carrier.example SIP/2.0\r\n"), "{invite}");
    assert!(invite.contains("From: <sip:pilot@sip.carrier.example>;tag="), "{invite}");
    world.answer_from(proxy, &invite, "404 Not Found", "", "");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1, "404 goes on here");
    world.run_seconds(10);
    let id = world.dial(ALICE, "49301234", 1);
    let invite = world.last_to(proxy, "INVITE").unwrap();
    world.answer_from(proxy, &invite, "503 Service Unavailable", "", "");
    assert_eq!(
        world.outcome(id),
        Some(&PhoneStep::Refused { code: 480, phrase: "Temporarily Unavailable".into() }),
        "503 stops here, and is told as 480"
    );
    world.assert_idle();
}

/// Two accounts of ours at one carrier's address.
fn shared_address() -> World {
    let account = |name: &str, number: &str| TrunkCalling {
        login: Some(TrunkLogin { username: name.into(), password: "x".into(), realm: None }),
        numbers: vec![number.parse().unwrap()],
        ..TrunkCalling::default()
    };
    let calling = CallingRules {
        trunks: [(TrunkId(1), account("acct-1", "43111")), (TrunkId(2), account("acct-2", "43222"))].into(),
        ..CallingRules::default()
    };
    let mut rows = Directory { calling, ..directory() };
    for trunk in &mut rows.trunks {
        trunk.address = CARRIER.parse().unwrap();
    }
    World::with(SwitchConfig::default(), rows)
}

fn incoming(uri: &str, to: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {CARRIER};branch=z9hG4bK{};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:4930999@x>;tag=f\r\nTo: {to}\r\nCall-ID: {uri}{to}\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:4930999@{CARRIER}>\r\nContent-Length: 0\r\n\r\n",
        uri.len() + to.len() * 100
    )
}

#[test]
fn several_accounts_at_one_address_are_told_apart_or_refused() {
    for (uri, to, payer) in [
        ("sip:acct-2@192.0.2.1", "<sip:x@y>", 12),
        ("sip:x@192.0.2.1;tb-trunk=1", "<sip:x@y>", 11),
        ("sip:+43222@192.0.2.1", "<sip:x@y>", 12),
        ("sip:pilot@192.0.2.1", "<sip:+43111@y>", 11),
        ("sip:pilot@192.0.2.1", "<sip:acct-2@y>", 12),
    ] {
        let mut world = shared_address();
        world.inject(CARRIER, incoming(uri, to));
        assert!(
            world.story().contains(&format!("account {payer}: attempt")),
            "{uri} {to}: {}",
            world.story()
        );
    }
    let mut world = shared_address();
    world.inject(CARRIER, incoming("sip:pilot@192.0.2.1", "<sip:x@y>"));
    assert_eq!(world.story(), "", "never simply the first");
    assert!(world.last_to(CARRIER, "SIP/2.0 403").is_some());
    let alert = world.events.iter().find_map(|event| match &event.body {
        EventBody::Security(security) => Some(security.detail.clone()),
        _ => None,
    });
    assert!(alert.unwrap().contains("carrier1, carrier2"));
}

/// What people are to be told of callers that cannot be told apart: from where, how often, and in which words.
fn ambiguous(world: &World) -> Vec<(std::net::IpAddr, u32, String)> {
    let told = |event: &model::CallEvent| match &event.body {
        EventBody::Security(security) if security.what == model::SecurityKind::AmbiguousSource => {
            Some((security.source.ip(), security.count, security.detail.clone()))
        }
        _ => None,
    };
    world.events.iter().filter_map(told).collect()
}

#[test]
fn people_are_told_once_an_hour_which_trunks_cannot_be_told_apart_and_what_to_set() {
    let mut world = shared_address();
    let source = CARRIER.parse::<std::net::SocketAddr>().unwrap().ip();
    let words = "trunks carrier1, carrier2: set `numbers` or a login for each of them, or `default_for_address` for the one \
                 that takes the rest";
    for n in 0..5 {
        world.inject(CARRIER, incoming(&format!("sip:pilot{n}@192.0.2.1"), "<sip:x@y>"));
    }
    assert_eq!(ambiguous(&world), [(source, 1, words.to_owned())]);
    world.run_seconds(3_500);
    world.inject(CARRIER, incoming("sip:pilot@192.0.2.1", "<sip:x@y>"));
    assert_eq!(ambiguous(&world).len(), 1, "not before the hour is over");
    world.run_seconds(200);
    world.inject(CARRIER, incoming("sip:pilot@192.0.2.1", "<sip:x@y>"));
    assert_eq!(ambiguous(&world)[1..], [(source, 6, words.to_owned())], "with those that were not told");
}

#[test]
fn stopper_patterns_and_calls_a_second_shape_the_order_of_attempts() {
    let mut rows = directory();
    rows.calling.routes.insert(
        model::RouteId(1),
        model::RouteCalling { caller_pattern: Some("^999".into()), ..Default::default() },
    );
    let mut world = World::with(SwitchConfig::default(), rows.clone());
    world.dial(ALICE, "49301234", 1);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 0, "the route is for other callers");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);

    rows.calling
        .routes
        .insert(model::RouteId(1), model::RouteCalling { stopper: true, ..Default::default() });
    let mut world = World::with(SwitchConfig::default(), rows.clone());
    world.behave(GATEWAY_1, Behaviour::Refuse { ring: Duration::ZERO, code: 503 });
    world.dial(ALICE, "49301234", 1);
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 0, "nothing is tried behind a stopper");

    rows.calling.routes.clear();
    let slow = TrunkCalling { calls_per_second_out: Some(1), ..TrunkCalling::default() };
    rows.calling.trunks.insert(TrunkId(1), slow);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(ALICE, "49301234", 1);
    world.dial(ALICE, "49301234", 1);
    assert_eq!(
        (world.count(SWITCH, GATEWAY_1, "INVITE"), world.count(SWITCH, GATEWAY_2, "INVITE")),
        (1, 1),
        "a trunk with no token left is skipped"
    );
    world.run_seconds(10);
    world.assert_idle();
}

#[test]
fn call_that_comes_round_again_is_stopped_with_one_reason() {
    // A customer's exchange that sends whatever it gets back to us.
    let mut rows = directory();
    rows.accounts[3].kind = AccountKind::Customer;
    rows.trunks[1].address = CARRIER.parse().unwrap();
    let mut world = World::with(SwitchConfig::default(), rows);
    world.behave(GATEWAY_1, Behaviour::Ring);
    for hops in (50..=70).rev() {
        let invite = incoming("sip:49301234@192.0.2.1", "<sip:x@y>")
            .replace("Max-Forwards: 70", &format!("Max-Forwards: {hops}"))
            .replace("z9hG4bK", &format!("z9hG4bK{hops}"))
            .replace("Call-ID: ", &format!("Call-ID: {hops}"));
        world.inject(CARRIER, invite);
    }
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INVITE"), 5);
    assert_eq!(world.story().matches("482 Loop Detected loop (trunk 2 to 49301234 comes round)").count(), 16);
}
