//! What attackers and careless peers send: requests of no call, floods inside one, and text that would break what we write.

use model::{AccountKind, EventBody};

use super::world::{GATEWAY_1, SWITCH, World, directory};
use crate::Input;
use crate::phone::Behaviour;

const PEER: &str = "198.51.100.7:5060";

/// A world in which `PEER` is the exchange of a customer, known by its address.
fn world_with_a_peer() -> World {
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    let mut world = World::new();
    world.input(Input::Directory(std::sync::Arc::new(rows)));
    world
}

/// A request of the peer; `to` is the whole To header, `extra` further lines.
fn request(method: &str, cseq: u32, to: &str, extra: &str) -> String {
    format!(
        "{method} sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bK{method}{cseq};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:4930999@example.net>;tag=f1\r\nTo: {to}\r\nCall-ID: c1\r\nCSeq: {cseq} {method}\r\n\
         Contact: <sip:4930999@{PEER}>\r\n{extra}Content-Length: 0\r\n\r\n"
    )
}

/// The peer calls the world, is answered and acknowledges. Out: the To header of the dialog.
fn call_of_the_peer(world: &mut World) -> String {
    world.behave(GATEWAY_1, Behaviour::Answer { ring: std::time::Duration::ZERO, talk: None });
    world.inject(PEER, request("INVITE", 1, "<sip:49301234@example.net>", ""));
    let ok = world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"SIP/2.0 200")).unwrap().1.clone();
    let ok = String::from_utf8(ok).unwrap();
    let to = ok.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned();
    world.inject(PEER, request("ACK", 1, &to, ""));
    world.raw.clear();
    to
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn requests_of_no_call_are_answered_once_and_nothing_is_kept_for_them() {
    let mut world = World::new();
    let methods = ["BYE", "CANCEL", "INVITE", "INFO", "UPDATE"];
    for method in methods {
        world.inject(PEER, request(method, 1, "<sip:49301234@example.net>;tag=0-0-a-0", ""));
    }
    world.switch.assert_nothing_held();
    world.run_seconds(40);
    assert_eq!(
        world.raw.len(),
        methods.len(),
        "an answer that is repeated would serve to flood somebody else"
    );
    assert!(world.raw.iter().all(|(_, bytes)| bytes.starts_with(b"SIP/2.0 481 ")));
}

#[test]
fn flood_inside_a_call_is_bounded_and_the_call_lives_on() {
    let mut world = world_with_a_peer();
    let to = call_of_the_peer(&mut world);
    for _ in 0..40 {
        world.lose_next_to(GATEWAY_1, "INFO sip:");
    }
    for cseq in 2..42 {
        world.inject(PEER, request("INFO", cseq, &to, ""));
    }
    let refused = world.raw.iter().filter(|(_, bytes)| bytes.starts_with(b"SIP/2.0 500 ")).count();
    assert_eq!(refused, 40 - 16);
    assert_eq!(world.count(SWITCH, GATEWAY_1, "INFO"), 16);
    world.run_seconds(5);
    world.inject(PEER, request("BYE", 50, &to, ""));
    assert!(world.story().ends_with("end 200 normal by caller after 5.000 s\n"), "{}", world.story());
    world.assert_idle();
}

#[test]
fn contact_that_would_break_a_request_line_is_refused() {
    let mut world = world_with_a_peer();
    let invite = request("INVITE", 1, "<sip:49301234@example.net>", "");
    for contact in [
        "<sip:x@198.51.100.7:5060;a=b\r\n Injected: yes>",
        "<sip:x y@198.51.100.7:5060>",
        "<sip:x@198.51.100.7;\u{0}>",
    ] {
        world.inject(PEER, invite.replace(&format!("<sip:4930999@{PEER}>"), contact));
        let answer = text(&world.raw.pop().unwrap().1);
        assert!(answer.starts_with("SIP/2.0 400 Bad Contact Header\r\n"), "{answer}");
    }
    assert_eq!(world.story(), "");
}

#[test]
fn control_characters_in_a_number_or_name_do_not_reach_the_record() {
    let mut world = world_with_a_peer();
    let invite = request("INVITE", 1, "<sip:x@example.net>", "User-Agent: a\u{7}b\r\n");
    let invite = invite.replacen("sip:49301234@", "sip:49%00%0D%0A;%1B@", 1);
    world.inject(PEER, invite.replace("<sip:4930999@", "<sip:49%09%0A30@"));
    let attempt = world
        .events
        .iter()
        .find_map(|event| if let EventBody::Attempt(attempt) = &event.body { Some(attempt) } else { None });
    let attempt = attempt.unwrap();
    assert_eq!((attempt.dialed.as_str(), attempt.from_user.as_str()), ("49", "49  30"));
    assert_eq!(attempt.user_agent, "a b");
}

#[test]
fn caller_anonymous_by_from_alone_stays_so_beyond_the_trunk() {
    let mut world = world_with_a_peer();
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    rows.trunks[0].address = "203.0.113.77:5060".parse().unwrap();
    world.input(Input::Directory(std::sync::Arc::new(rows)));
    let invite = request(
        "INVITE",
        1,
        "<sip:49301234@example.net>",
        "P-Asserted-Identity: <sip:+4930999@example.net>\r\n",
    );
    let anonymous = "From: \"Anonymous\" <sip:anonymous@anonymous.invalid>";
    world.inject(PEER, invite.replace("From: <sip:4930999@example.net>", anonymous));
    let sent = text(&world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap().1);
    assert!(sent.contains("P-Asserted-Identity: <sip:4930999@"), "{sent}");
    assert_eq!(sent.matches("Privacy: id\r\n").count(), 1, "{sent}");
}

#[test]
fn trunk_is_known_by_its_ipv4_address_on_a_socket_for_both_families() {
    let mut world = World::new();
    let invite = request("INVITE", 1, "<sip:43222@example.net>", "");
    world.inject("[::ffff:203.0.113.2]:5060", invite);
    assert!(world.story().contains("account 12: attempt 4930999 -> 49301234"), "{}", world.story());
}

#[test]
fn caller_without_a_user_part_is_passed_on_without_one() {
    let mut world = world_with_a_peer();
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7/32".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    rows.trunks[0].address = "203.0.113.77:5060".parse().unwrap();
    world.input(Input::Directory(std::sync::Arc::new(rows)));
    let invite = request("INVITE", 1, "<sip:49301234@example.net>", "");
    world.inject(PEER, invite.replace("From: <sip:4930999@example.net>", "From: <sip:198.51.100.7>"));
    let sent = text(&world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap().1);
    assert!(sent.contains("From: <sip:192.0.2.1>;tag="), "{sent}");
}
