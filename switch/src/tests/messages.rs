//! Reading what peers write: everyday forms, the torture messages of RFC 4475, and mutations of all of them.

use proptest::prelude::*;

use super::world::{World, address, directory};
use crate::message::without_uri_headers;
use crate::{HeaderName, Message, Method, NameAddr, Scheme, Uri, Via};
use crate::{Input, Switch, SwitchConfig};

fn uri(text: &str) -> Uri<'_> {
    Uri::parse(text.as_bytes()).unwrap()
}

#[test]
fn dot_in_the_user_part_stays_in_the_user_part() {
    let uri = uri("sip:john.doe@example.com");
    assert_eq!((uri.user_text().as_str(), uri.host_text().as_str()), ("john.doe", "example.com"));
}

#[test]
fn uris_of_every_day_are_read_right() {
    let v6 = uri("sip:bob@[2001:db8::1]:5070");
    assert_eq!((v6.host, v6.port), (&b"[2001:db8::1]"[..], Some(5070)));
    assert_eq!(v6.socket_address(), Some("[2001:db8::1]:5070".parse().unwrap()));
    let tel = uri("tel:+43-660-555123;phone-context=example.com");
    assert_eq!((tel.scheme, tel.user_text().as_str()), (Scheme::Tel, "+43-660-555123"));
    assert_eq!(uri("urn:service:sos").scheme, Scheme::Other);
    let context = uri("sip:123;phone-context=+43.example@gw.example.net;user=phone");
    assert_eq!((context.user_text().as_str(), context.host_text().as_str()), ("123", "gw.example.net"));
    assert_eq!(context.params.value("USER"), Some(&b"phone"[..]));
    let semicolon = uri("sip:user;par=u%40example.net@example.com");
    assert_eq!(
        (semicolon.user, semicolon.host),
        (Some(&b"user;par=u%40example.net"[..]), &b"example.com"[..])
    );
    assert_eq!(uri("sip:%61lice:secret@Example.NET?subject=x@y").user_text(), "alice");
    assert_eq!(uri("SIP:host.only:5070;lr").port, Some(5070));
    assert_eq!(Uri::parse(b"sip:bob@host:99999"), None);
    assert_eq!(Uri::parse(b"no-scheme"), None);
}

#[test]
fn names_with_quotes_brackets_and_capitals_are_read_right() {
    let address = NameAddr::parse(br#""Doe, \"J\" ;tag=no <x>" <sip:j@x;a=b>;TAG=yes"#).unwrap();
    assert_eq!((address.uri, address.tag()), (&b"sip:j@x;a=b"[..], Some(&b"yes"[..])));
    let bare = NameAddr::parse(b"sip:j@x;tag=t").unwrap();
    assert_eq!((bare.uri, bare.tag()), (&b"sip:j@x"[..], Some(&b"t"[..])));
    assert!(NameAddr::parse(b"tel:+43660555123;tag=t").is_some());
    assert_eq!(NameAddr::parse(b"\"unbalanced <sip:j@x>"), None);
    assert_eq!(NameAddr::parse(b"<sip:j@x"), None);
    assert_eq!(NameAddr::parse(b"sip:user@example.com?Route=%3Csip:x%3E"), None);
}

#[test]
fn headers_of_a_uri_are_cut_off_whatever_is_in_them_and_a_user_part_is_not() {
    for (uri, bare) in [
        ("sip:u@h?Route=%3Csip:x%3E", "sip:u@h"),
        ("sip:u@h?Route=sip:x@evil", "sip:u@h"),
        ("sips:u@h;transport=tcp?a=b&Route=<sip:x@evil>", "sips:u@h;transport=tcp"),
        ("sip:what?now@h?Route=sip:x@evil", "sip:what?now@h"),
        ("sip:what?now@h", "sip:what?now@h"),
        ("sip:h?Subject=x", "sip:h"),
        ("sip:u@h", "sip:u@h"),
        ("tel:+4930123?x", "tel:+4930123?x"),
    ] {
        assert_eq!(std::str::from_utf8(without_uri_headers(uri.as_bytes())), Ok(bare), "{uri}");
    }
}

#[test]
fn vias_with_blanks_and_addresses_of_version_6_keep_their_branch() {
    for via in [
        "SIP/2.0/UDP 192.0.2.2 : 5070 ;BRANCH=z9hG4bKa",
        "SIP / 2.0 / UDP\r\n 192.0.2.2:5070;received=2001:db8::9;branch=z9hG4bKa",
        "sip/2.0/udp 192.0.2.2:5070;rport;branch=z9hG4bKa",
    ] {
        let via = Via::parse(via.as_bytes()).unwrap();
        assert_eq!(
            (via.branch(), via.host, via.port),
            (Some(&b"z9hG4bKa"[..]), &b"192.0.2.2"[..], Some(5070))
        );
    }
}

#[test]
fn compact_folded_and_listed_headers_are_found() {
    let bytes = b"INVITE sip:a@b SIP/2.0\r\nv: SIP/2.0/UDP one;branch=z9hG4bK1,\r\n SIP/2.0/UDP two;branch=z9hG4bK2\r\n\
        f : \"X\"\r\n\t<sip:x@y>;tag=1\r\nt: <sip:a@b>\r\ni: id@x\r\nCSeq: 0009\r\n INVITE\r\n\
        m: <sip:x@1.1.1.1>, <sip:x@2.2.2.2>\r\nX-Latin: caf\xe9\r\nl: 4\r\n\r\n\xff\x00\x01\x02rest";
    let message = Message::scan(bytes).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.list(HeaderName::Via).count(), 2);
    assert_eq!(message.list(HeaderName::Contact).count(), 2);
    assert_eq!(message.from().unwrap().tag(), Some(&b"1"[..]));
    let cseq = message.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::INVITE));
    assert_eq!(message.body(), b"\xff\x00\x01\x02", "as long as Content-Length says, byte for byte");
    assert!(message.headers().any(|(_, name, value)| name == b"X-Latin" && value == b"caf\xe9"));
}

#[test]
fn body_without_content_length_is_the_rest_and_phrases_stay_as_they_came() {
    let message = Message::scan(b"SIP/2.0 183 Session  Progress!\r\n\r\nbody").unwrap();
    assert_eq!(message.body(), b"body");
    assert_eq!(
        format!("{:?}", message.start()),
        format!("{:?}", crate::StartLine::Response { code: 183, phrase: b"Session  Progress!" })
    );
    assert!(Message::scan(b"SIP/2.0 200\r\n\r\n").is_ok(), "a phrase may be missing");
    assert!(Message::scan(b"SIP/2.0 4294967301 better not break the receiver\r\n\r\n").is_err());
}

/// A request with these lines put in place of the usual ones.
fn request(start: &str, replaced: &[(&str, &str)]) -> String {
    let method = start.split(' ').next().unwrap();
    let cseq = format!("1 {method}");
    let mut out = format!("{start}\r\n");
    for (name, usual) in [
        ("Via", "SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKx;rport"),
        ("From", "<sip:x@y>;tag=1"),
        ("To", "<sip:a@b>"),
        ("Call-ID", "1@x"),
        ("CSeq", &cseq),
        ("Max-Forwards", "70"),
    ] {
        let value = replaced.iter().find(|(replaced, _)| *replaced == name).map_or(usual, |(_, value)| value);
        if !value.is_empty() {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for (name, value) in replaced.iter().filter(|(name, _)| name.starts_with('+')) {
        out.push_str(&format!("{}: {value}\r\n", &name[1..]));
    }
    out + "\r\n"
}

/// What the switch says; 0 when it says nothing.
fn answer(message: impl AsRef<[u8]>) -> u16 {
    let mut world = World::new();
    world.inject("198.51.100.9:5060", message);
    let last = world.raw.pop();
    last.map_or(0, |(_, bytes)| std::str::from_utf8(&bytes[8..11]).unwrap().parse().unwrap())
}

#[test]
fn what_rfc_4475_calls_invalid_gets_its_answer() {
    const OPTIONS: &str = "OPTIONS sip:a@b SIP/2.0";
    let cases: &[(&str, u16, String)] = &[
        ("clerr", 400, request("INVITE sip:a@b SIP/2.0", &[("+Content-Length", "9999")])),
        ("ncl", 400, request("INVITE sip:a@b SIP/2.0", &[("+Content-Length", "-999")])),
        ("mcl01", 400, request(OPTIONS, &[("+Content-Length", "0"), ("+l", "1")])),
        ("scalar02 CSeq", 400, request(OPTIONS, &[("CSeq", "36893488147419103232 OPTIONS")])),
        ("scalar02 Max-Forwards", 400, request(OPTIONS, &[("Max-Forwards", "300")])),
        ("quotbal", 400, request(OPTIONS, &[("To", "\"Mr. J. User <sip:j.user@example.com>")])),
        ("ltgtruri", 400, request("OPTIONS <sip:a@b> SIP/2.0", &[])),
        ("lwsruri", 400, request("OPTIONS sip:a@b; lr SIP/2.0", &[])),
        ("regbadct", 400, request("REGISTER sip:b SIP/2.0", &[("+Contact", "sip:a@b?Route=%3Csip:x%3E")])),
        ("badaspec", 400, request(OPTIONS, &[("From", "\"Bell, Alexander\" <sip:a.g.bell@example.com")])),
        ("badvers", 505, request("OPTIONS sip:a@b SIP/7.0", &[])),
        ("mismatch01", 400, request(OPTIONS, &[("CSeq", "8 INVITE")])),
        ("mismatch02", 501, request("NEWMETHOD sip:a@b SIP/2.0", &[("CSeq", "8 INVITE")])),
        ("insuf", 400, request(OPTIONS, &[("From", ""), ("To", ""), ("Call-ID", "")])),
        ("unkscm", 416, request("INVITE nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0", &[])),
        ("novelsc", 416, request("INVITE soap.beep://192.0.2.103:3002 SIP/2.0", &[])),
        ("multi01", 400, request(OPTIONS, &[("+From", "<sip:y@z>;tag=2")])),
        ("zeromf", 483, request("INVITE sip:a@b SIP/2.0", &[("Max-Forwards", "0")])),
        (
            "bext01",
            420,
            request(
                "INVITE sip:a@b SIP/2.0",
                &[("+Require", "nothingSupportsThis, nothingSupportsThisEither")],
            ),
        ),
        ("newmethod", 405, request("NEWMETHOD sip:a@b SIP/2.0", &[])),
        ("intmeth", 405, request("!interesting-Method0123456789_*+`.%indeed'~ sip:a@b SIP/2.0", &[])),
        ("trws", 200, request("OPTIONS sip:a@b SIP/2.0  ", &[])),
        ("an ACK is never answered", 0, request("ACK sip:a@b SIP/2.0", &[("+Content-Length", "9999")])),
    ];
    for (name, code, message) in cases {
        assert_eq!(answer(message), *code, "{name}:\n{message}");
    }
}

#[test]
fn what_rsip_refuses_or_loses_is_understood() {
    let invite = |uri: &str, replaced: &[(&str, &str)]| request(&format!("INVITE {uri} SIP/2.0"), replaced);
    let options = |uri: &str, replaced: &[(&str, &str)]| request(&format!("OPTIONS {uri} SIP/2.0"), replaced);
    let compact = "INVITE sip:49301234@example.net SIP/2.0\r\nv: SIP/2.0/UDP 198.51.100.9:5060;branch=z9hG4bKc;rport\r\n\
                   f: <sip:x@y>;tag=1\r\nt: <sip:a@b>\r\ni: c@x\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\nm: <sip:x@1.1.1.1>\r\nl: 0\r\n\r\n";
    // 407 asks a stranger who was understood for his password, 401 one who registers.
    let cases: Vec<(&str, u16, Vec<u8>)> = vec![
        ("a dot in the user part", 407, invite("sip:john.doe@example.net", &[]).into()),
        ("compact headers", 407, compact.into()),
        ("IPv6 in the Request-URI", 200, options("sip:bob@[2001:db8::1]:5070", &[]).into()),
        ("a folded line", 200, options("sip:a@b", &[("To", "<sip:a@b>\r\n ;x=y")]).into()),
        ("a space before the colon", 200, options("sip:a@b", &[]).replace("Call-ID:", "Call-ID :").into()),
        ("tel in the Request-URI", 407, invite("tel:+49301234", &[]).into()),
        ("tel in From", 407, invite("sip:a@b", &[("From", "<tel:+43660555123>;tag=1")]).into()),
        ("an urn", 416, invite("urn:service:sos", &[]).into()),
        (
            "two Contacts in one line",
            401,
            request("REGISTER sip:example.net SIP/2.0", &[("+Contact", "<sip:x@1.1.1.1>, <sip:x@2.2.2.2>")])
                .into(),
        ),
        ("a context with an at sign", 407, invite("sip:123;phone-context=+43@gw.example.net", &[]).into()),
        (
            "received by IPv6 before the branch",
            200,
            options(
                "sip:a@b",
                &[("Via", "SIP/2.0/UDP 198.51.100.9:5060;received=2001:db8::9;branch=z9hG4bKr;rport")],
            )
            .into(),
        ),
        (
            "a body longer than it says",
            200,
            (options("sip:a@b", &[("+Content-Length", "4")]) + "bodyand more").into(),
        ),
        (
            "a body shorter than it says",
            400,
            (options("sip:a@b", &[("+Content-Length", "9")]) + "body").into(),
        ),
        ("an unknown method", 405, request("PING sip:a@b SIP/2.0", &[]).into()),
        ("one byte of Latin-1", 200, {
            let mut bytes = options("sip:a@b", &[("+Subject", "caf_")]).into_bytes();
            let at = bytes.iter().position(|byte| *byte == b'_').unwrap();
            bytes[at] = 0xe9;
            bytes
        }),
    ];
    for (name, code, message) in cases {
        assert_eq!(answer(&message), code, "{name}:\n{}", String::from_utf8_lossy(&message));
    }
}

#[test]
fn phrase_of_a_peer_reaches_the_caller_as_it_was() {
    use crate::phone::{Behaviour, PhoneStep};

    let mut rows = directory();
    rows.trunks[0].address = address("203.0.113.77:5060");
    rows.routes.truncate(1);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.behave(super::world::HOMES, Behaviour::Refuse { ring: std::time::Duration::ZERO, code: 486 });
    let id = world.dial(super::world::ALICE, "49301234", 5);
    let invite = world.last_to("203.0.113.77:5060", "INVITE").unwrap();
    world.answer_from("203.0.113.77:5060", &invite, "486 Busy, call  later!", "", "");
    let phrase = "Busy, call  later!".to_owned();
    assert_eq!(world.outcome(id), Some(&PhoneStep::Refused { code: 486, phrase }));
}

#[test]
fn too_many_and_too_long_headers_are_refused_not_crashed_on() {
    let many: Vec<(String, &str)> = (0..200).map(|n| (format!("+X-{n}"), "1")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(answer(request("OPTIONS sip:a@b SIP/2.0", &many)), 400);
    let long = "x".repeat(9_000);
    assert_eq!(answer(request("OPTIONS sip:a@b SIP/2.0", &[("+X", &long)])), 400);
}

/// Short messages that between them touch every decoder.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    let wsinv = "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\nTO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
        from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\nMaX-fOrWaRdS: 0068\r\n\
        Call-ID: wsinv.ndaksdj@192.0.2.1\r\nContent-Length   : 0\r\ncseq: 0009\r\n  INVITE\r\nVia  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n\
        s :\r\nNewFangledHeader:   newfangled value\r\n continued newfangled value\r\nv:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\nm:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n\r\n";
    corpus.push(wsinv.as_bytes().to_vec());
    for method in ["INVITE", "REGISTER", "OPTIONS", "BYE", "ACK", "CANCEL", "INFO", "NEW"] {
        let auth = "Digest username=\"alice\", realm=\"example.net\", nonce=\"00\", uri=\"sip:b\", response=\"0\", qop=auth, nc=1";
        corpus.push(
            request(
                &format!("{method} sip:49301234@example.net SIP/2.0"),
                &[
                    ("To", "<sip:alice@example.net>;tag=0-0-a-0000000000000000"),
                    ("+Authorization", auth),
                    ("+Proxy-Authorization", auth),
                    ("+Contact", "<sip:x@[2001:db8::1]:5060>;expires=60, *"),
                    ("+Privacy", "id;user"),
                    ("+Record-Route", "<sip:p;lr>, <sip:q;lr>"),
                    ("+Content-Type", "application/sdp"),
                ],
            )
            .into_bytes(),
        );
        corpus.push(request(&format!("{method} sip:43111@example.net SIP/2.0"), &[]).into_bytes());
    }
    for code in [100, 180, 200, 302, 407, 503] {
        let response = request("INVITE x y", &[]).replacen("INVITE x y", &format!("SIP/2.0 {code} Word"), 1);
        corpus.push(response.into_bytes());
    }
    corpus
}

#[test]
fn wsinv_the_valid_message_everybody_refuses_is_read() {
    let bytes = &corpus()[0];
    let message = Message::scan(bytes).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert_eq!(message.to().unwrap().tag(), Some(&b"1918181833n"[..]));
    assert_eq!(message.from().unwrap().tag(), Some(&b"98asjd8"[..]));
    assert_eq!(message.number(HeaderName::MaxForwards), Some(68));
    let branches: Vec<_> =
        message.list(HeaderName::Via).map(|via| Via::parse(via).unwrap().branch().unwrap()).collect();
    assert_eq!(branches, [&b"390skdjuw"[..], b"z9hG4bK9ikj8", b"z9hG4bK30239"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_datagram_makes_the_switch_panic(
        pick in 0usize..23,
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0u8..5, any::<u8>()), 0..12),
        from_trunk: bool,
    ) {
        let corpus = corpus();
        let mut bytes = corpus[pick % corpus.len()].clone();
        for (at, how, byte) in cuts {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => { bytes.remove(at); }
                3 => bytes.truncate(at),
                _ => {
                    let tail = bytes[at..].to_vec();
                    bytes.extend(tail);
                }
            }
        }
        let mut rows = directory();
        rows.trunks[1].sources = vec!["198.51.100.9".into()];
        rows.accounts[3].kind = model::AccountKind::Customer;
        let now = model::Moment { wall: chrono::DateTime::UNIX_EPOCH, mono: std::time::Duration::ZERO };
        let mut switch = Switch::new(SwitchConfig::default(), address("192.0.2.1:5060"), now, 1);
        switch.handle(now, Input::Directory(std::sync::Arc::new(rows)));
        let from = if from_trunk { "198.51.100.9:5060" } else { "198.51.100.8:5060" };
        switch.handle(now, Input::Datagram { from: address(from), bytes });
        while let Some(output) = switch.poll_output() {
            // Whatever we say must be readable, to ourselves at least.
            if let crate::Output::Transmit { bytes, .. } = output {
                prop_assert!(Message::scan(&bytes).is_ok());
            }
        }
        let late = model::Moment { mono: std::time::Duration::from_secs(300), ..now };
        switch.handle(late, Input::Timeout);
    }
}
