//! Calls whose other side has silently gone: session timers, and questions inside the dialog.

use std::time::Duration;

use model::{AccountKind, CallingRules, Directory};

use super::world::{ALICE, GATEWAY_1, HOMES, SWITCH, World, directory, header_of};
use crate::SwitchConfig;
use crate::phone::Behaviour;

const PEER: &str = "198.51.100.7:5060";
const CARRIER: &str = "203.0.113.77:5060";

/// `PEER` is a customer's exchange, `CARRIER` the first trunk.
fn world() -> World {
    let mut rows = Directory { calling: CallingRules::default(), ..directory() };
    rows.trunks[1].sources = vec!["198.51.100.7".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    World::with(SwitchConfig { alive_seconds: 0, ..SwitchConfig::default() }, rows)
}

fn request(method: &str, cseq: u32, to: &str, extra: &str) -> String {
    format!(
        "{method} sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bK{method}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:4930999@example.net>;tag=f1\r\nTo: {to}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:4930999@{PEER}>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

fn call_with(world: &mut World, extra: &str) -> String {
    world.behave(GATEWAY_1, Behaviour::Answer { ring: Duration::ZERO, talk: None });
    world.inject(PEER, request("INVITE", 1, "<sip:49301234@example.net>", extra));
    let ok = world.last_to(PEER, "SIP/2.0 200").unwrap_or_else(|| world.last_to(PEER, "SIP").unwrap());
    let to = header_of(&ok, "To").to_owned();
    world.inject(PEER, request("ACK", 1, &to, ""));
    ok
}

#[test]
fn interval_is_agreed_and_a_side_that_stops_refreshing_ends_the_call() {
    let mut world = world();
    let ok = call_with(&mut world, "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n");
    assert_eq!(header_of(&ok, "Session-Expires"), "120;refresher=uac");
    assert_eq!(header_of(&ok, "Require"), "timer");
    let to = header_of(&ok, "To").to_owned();
    world.run_seconds(60);
    world.inject(
        PEER,
        request("UPDATE", 2, &to, "Supported: timer\r\nSession-Expires: 120;refresher=uac\r\n"),
    );
    let refreshed = world.last_to(PEER, "SIP/2.0 200").unwrap();
    assert_eq!(header_of(&refreshed, "CSeq"), "2 UPDATE");
    assert_eq!(header_of(&refreshed, "Session-Expires"), "120;refresher=uac");
    world.run_seconds(80);
    assert_eq!(world.ends(), 0, "it was refreshed: {}", world.story());
    world.run_seconds(10);
    assert!(world.story().contains("end 200 session_expired by switch after 148.000 s"), "{}", world.story());
    assert_eq!(world.count(SWITCH, GATEWAY_1, "BYE"), 1);
    let bye = world.last_to(PEER, "BYE").unwrap();
    world.answer_from(PEER, &bye, "200 OK", "", "");
    world.assert_idle();
}

#[test]
fn too_short_an_interval_gets_422_and_its_minimum() {
    let mut world = world();
    world.inject(PEER, request("INVITE", 1, "<sip:49301234@example.net>", "Supported: timer\r\nx: 30\r\n"));
    let refused = world.last_to(PEER, "SIP/2.0 422").unwrap();
    assert_eq!(header_of(&refused, "Min-SE"), "90");
    assert_eq!(world.story(), "");
}

#[test]
fn we_refresh_where_it_is_on_us_and_a_side_that_knows_of_no_call_ends_it() {
    let mut rows = directory();
    rows.trunks[0].address = CARRIER.parse().unwrap();
    let mut world = World::with(SwitchConfig { alive_seconds: 0, ..SwitchConfig::default() }, rows);
    world.dial(ALICE, "49301234", 9_000);
    let invite = world.last_to(CARRIER, "INVITE").unwrap();
    assert_eq!(header_of(&invite, "Session-Expires"), "1800;refresher=uas");
    let lines = format!("Contact: <sip:far@{CARRIER}>\r\nSession-Expires: 200;refresher=uac\r\n");
    world.answer_from(CARRIER, &invite, "200 OK", &lines, "v=0\r\nm=audio 4000 RTP/AVP 8\r\n");
    world.run_seconds(101);
    let update = world.last_to(CARRIER, "UPDATE").unwrap();
    assert_eq!(header_of(&update, "Session-Expires"), "200;refresher=uac");
    world.answer_from(CARRIER, &update, "200 OK", "", "");
    world.run_seconds(100);
    let update = world.last_to(CARRIER, "UPDATE").unwrap();
    world.answer_from(CARRIER, &update, "481 Call/Transaction Does Not Exist", "", "");
    assert!(world.story().contains("session_expired by switch"), "{}", world.story());
    world.run_seconds(1);
    assert_eq!(world.count(SWITCH, HOMES, "BYE"), 1);
}

#[test]
fn lost_bye_is_found_out_by_asking_and_a_phone_that_merely_knows_no_options_is_left_alone() {
    let mut rows = directory();
    rows.trunks[0].address = CARRIER.parse().unwrap();
    let mut world = World::with(SwitchConfig::default(), rows);
    world.dial(ALICE, "49301234", 9_000);
    let invite = world.last_to(CARRIER, "INVITE").unwrap();
    let lines = format!("Contact: <sip:far@{CARRIER}>\r\n");
    world.answer_from(CARRIER, &invite, "200 OK", &lines, "v=0\r\nm=audio 4000 RTP/AVP 8\r\n");
    world.run_seconds(61);
    let asked = world.last_to(CARRIER, "OPTIONS").unwrap();
    assert!(header_of(&asked, "To").contains("tag=far"), "inside the dialog: {asked}");
    world.answer_from(CARRIER, &asked, "405 Method Not Allowed", "", "");
    assert_eq!(world.ends(), 0);
    world.run_seconds(93);
    assert!(world.story().contains("session_expired by switch after 152.000 s"), "{}", world.story());
}
