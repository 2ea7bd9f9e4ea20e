//! The 49 torture messages of RFC 4475: the valid ones work, the invalid ones get what the RFC asks for, none harms us.
//!
//! They are sent by a customer's exchange that is known by its address, so that an INVITE becomes a call: 404 means that it was
//! understood, and that nobody of that name is here. The Via names no address, so answers go back to where a message came from.

mod invalid;
mod semantic;
mod treatment;
mod valid;

use std::sync::Arc;

use model::{AccountKind, EventBody};

use super::world::{World, directory};
use crate::{HeaderName, Input, Message, Method, StartLine};

/// One message, and the code of our final answer; 0 for none.
struct Torture {
    name: &'static str,
    text: &'static str,
    answer: u16,
}

const PEER: &str = "198.51.100.7:5060";

fn bytes(torture: &Torture) -> Vec<u8> {
    torture.text.replace('\n', "\r\n").into_bytes()
}

fn world() -> World {
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    let mut world = World::new();
    world.input(Input::Directory(Arc::new(rows)));
    world
}

fn final_answer(world: &World) -> u16 {
    let mut codes = world.raw.iter().rev().filter_map(|(_, bytes)| {
        std::str::from_utf8(bytes.get(8..11)?).ok()?.parse::<u16>().ok().filter(|code| *code >= 200)
    });
    codes.next().unwrap_or(0)
}

#[test]
fn each_of_the_49_gets_its_answer_and_leaves_nothing_behind() {
    let all: Vec<&Torture> =
        [valid::VALID, invalid::INVALID, semantic::SEMANTIC].into_iter().flatten().collect();
    assert_eq!(all.len(), 49);
    for torture in all {
        let mut world = world();
        world.inject(PEER, bytes(torture));
        assert_eq!(final_answer(&world), torture.answer, "{}: {}", torture.name, world.story());
        if torture.answer == 404 {
            assert!(world.story().contains("attempt"), "{} is no call: {}", torture.name, world.story());
        }
        world.assert_idle();
    }
}

#[test]
fn valid_messages_are_read_to_the_byte() {
    let named = |name: &str| valid::VALID.iter().find(|torture| torture.name == name).unwrap();
    for torture in valid::VALID {
        let bytes = bytes(torture);
        let message = Message::scan(&bytes).unwrap();
        assert_eq!(message.check(), Ok(()), "{}", torture.name);
        assert!(message.top_via().is_some() && message.cseq().is_some(), "{}", torture.name);
    }
    let text = bytes(named("intmeth"));
    let message = Message::scan(&text).unwrap();
    assert_eq!(message.method(), Some(Method::Other(b"!interesting-Method0123456789_*+`.%indeed'~")));
    assert_eq!(message.from().unwrap().tag(), Some(&b"_token~1'+`*%!-."[..]));
    assert_eq!(message.top_via().unwrap().branch(), Some(&b"z9hG4bK-.!%66*_+`'~"[..]));

    let text = bytes(named("longreq"));
    let message = Message::scan(&text).unwrap();
    assert_eq!(message.list(HeaderName::Via).count(), 34);
    assert_eq!(message.body().len(), 150);

    let text = bytes(named("dblreq"));
    let message = Message::scan(&text).unwrap();
    assert_eq!((message.method(), message.body()), (Some(Method::REGISTER), &b""[..]));

    let text = bytes(named("noreason"));
    let message = Message::scan(&text).unwrap();
    assert!(matches!(message.start(), StartLine::Response { code: 100, phrase: b"" }));
    let text = bytes(named("unreason"));
    let message = Message::scan(&text).unwrap();
    let StartLine::Response { phrase, .. } = message.start() else { panic!() };
    assert_eq!(phrase, "= 2**3 * 5**2 но сто девяносто девять - простое".as_bytes());
}

#[test]
fn body_with_zeroes_and_line_ends_crosses_the_switch_byte_for_byte() {
    let mut rows = directory();
    rows.trunks[1].sources = vec!["198.51.100.7".into()];
    rows.accounts[3].kind = AccountKind::Customer;
    rows.trunks[0].address = "203.0.113.77:5060".parse().unwrap();
    let mut world = World::new();
    world.input(Input::Directory(Arc::new(rows)));
    let body = b"--7a9cbec02ceef655\r\nContent-Transfer-Encoding: binary\r\n\r\n\x00\xff\xfe0\x82\x01R\r\n\r\n--7a9cbec02ceef655--\r\n";
    let head = format!(
        "INVITE sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {PEER};branch=z9hG4bKm;rport\r\nMax-Forwards: 70\r\n\
         From: <sip:4930999@x>;tag=f\r\nTo: <sip:49301234@x>\r\nCall-ID: m\r\nCSeq: 1 INVITE\r\nContact: <sip:x@{PEER}>\r\n\
         Content-Type: multipart/mixed;boundary=7a9cbec02ceef655\r\nMIME-Version: 1.0\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    world.inject(PEER, [head.as_bytes(), body].concat());
    let (_, sent) = world.raw.iter().find(|(_, bytes)| bytes.starts_with(b"INVITE")).unwrap();
    let sent = Message::scan(sent).unwrap();
    assert_eq!(sent.body(), body);
    let kind = sent.value(HeaderName::ContentType);
    assert_eq!(kind, Some(&b"multipart/mixed;boundary=7a9cbec02ceef655"[..]));
    assert!(world.events.iter().any(|event| matches!(event.body, EventBody::RouteAttempt(_))));
}
