//! RFC 4475 message by message: what its text asks of whoever receives it, what we answer, and what was read of the valid ones.

use std::sync::Arc;

use model::{NumberOwner, SubscriberId};

use super::{PEER, Torture, bytes, final_answer, invalid, semantic, valid, world};
use crate::digest::{Challenge, secret_of};
use crate::tests::world::{ALICE, World, address, directory, header_of};
use crate::{HeaderName, Input, Message, Method, NameAddr, Scheme, StartLine, Uri, Via};

/// What the RFC's text allows as an answer; 0 is silence. An answer of the far end (404: nobody of that name here) stands for "understood".
const ASKED: &[(&str, &str, &[u16], &str)] = &[
    ("wsinv", "3.1.1.1", &[481], "understood; it claims to be inside a dialog that is none of ours"),
    ("intmeth", "3.1.1.2", &[405, 501], "understood; the method is not served"),
    ("esc01", "3.1.1.3", &[404], "understood"),
    ("escnull", "3.1.1.4", &[401], "understood; a stranger is asked for a password"),
    ("esc02", "3.1.1.5", &[405, 501], "RE%47IST%45R is not REGISTER"),
    ("lwsdisp", "3.1.1.6", &[200], "understood"),
    ("longreq", "3.1.1.7", &[404], "understood"),
    ("dblreq", "3.1.1.8", &[401], "the first is served, what follows in the datagram is not"),
    ("semiuri", "3.1.1.9", &[200], "understood"),
    ("transports", "3.1.1.10", &[200], "understood"),
    ("mpart01", "3.1.1.11", &[405], "understood; the method is not served"),
    ("unreason", "3.1.1.12", &[0], "a response to nothing of ours is dropped"),
    ("noreason", "3.1.1.13", &[0], "a response to nothing of ours is dropped"),
    ("badinv01", "3.1.2.1", &[400], "400"),
    ("clerr", "3.1.2.2", &[400], "400 over UDP"),
    ("ncl", "3.1.2.3", &[400], "an error"),
    ("scalar02", "3.1.2.4", &[400], "400 for the CSeq"),
    ("scalarlg", "3.1.2.5", &[0], "dropped"),
    ("quotbal", "3.1.2.6", &[400], "400, unless one guesses where the quote ends"),
    ("ltgtruri", "3.1.2.7", &[400, 404], "400, or the brackets ignored"),
    ("lwsruri", "3.1.2.8", &[400, 404], "400, or what is meant"),
    ("lwsstart", "3.1.2.9", &[400, 404], "400, or what is meant"),
    ("trws", "3.1.2.10", &[400, 200], "400, or the blanks ignored"),
    ("escruri", "3.1.2.11", &[400, 404], "400, or the headers ignored; never added"),
    ("baddate", "3.1.2.12", &[400, 404], "400, or the date ignored"),
    ("regbadct", "3.1.2.13", &[400], "400, unless one guesses"),
    ("badaspec", "3.1.2.14", &[400, 200], "400, or the blanks ignored"),
    ("baddn", "3.1.2.15", &[400, 200], "400, or what is meant"),
    ("badvers", "3.1.2.16", &[505], "505"),
    ("mismatch01", "3.1.2.17", &[400], "400"),
    ("mismatch02", "3.1.2.18", &[501], "501; 400 is acceptable"),
    ("bigcode", "3.1.2.19", &[0], "dropped"),
    ("badbranch", "3.2.1", &[200], "told apart as RFC 2543 does"),
    ("insuf", "3.3.1", &[400], "400"),
    ("unkscm", "3.3.2", &[416], "416"),
    ("novelsc", "3.3.3", &[416], "416"),
    ("unksm2", "3.3.4", &[400], "400 of a registrar"),
    ("bext01", "3.3.5", &[420], "420 with what is not supported"),
    ("invut", "3.3.6", &[415, 404], "415 of an endpoint; passed on by what is in between"),
    ("regaut01", "3.3.7", &[401], "a challenge of a scheme that we know"),
    ("multi01", "3.3.8", &[400], "400"),
    ("mcl01", "3.3.9", &[400], "an error"),
    ("bcast", "3.3.10", &[0], "dropped, and never passed on"),
    ("zeromf", "3.3.11", &[483, 200], "an endpoint serves it, a proxy says 483"),
    ("cparam01", "3.3.12", &[401], "served after the challenge"),
    ("cparam02", "3.3.13", &[401], "served after the challenge"),
    ("regescrt", "3.3.14", &[401], "served after the challenge"),
    ("sdp01", "3.3.15", &[406, 404], "406 of an endpoint; passed on by what is in between"),
    ("inv2543", "3.4.1", &[404], "served like any other"),
];

#[test]
fn every_answer_is_one_that_the_rfc_names() {
    let all: Vec<&Torture> =
        [valid::VALID, invalid::INVALID, semantic::SEMANTIC].into_iter().flatten().collect();
    assert_eq!(all.len(), ASKED.len());
    for (torture, (name, section, allowed, asked)) in all.into_iter().zip(ASKED) {
        assert_eq!(torture.name, *name);
        let mut world = world();
        world.inject(PEER, bytes(torture));
        let answer = final_answer(&world);
        assert!(allowed.contains(&answer), "{section} {name} asks for {asked}, and got {answer}");
        // To the port of its Via, where it asks for no other.
        assert!(
            world.raw.iter().all(|(to, _)| to.ip() == address(PEER).ip()),
            "{name}: nothing goes elsewhere"
        );
    }
}

/// What a valid message says, in words.
fn told(message: &Message<'_>) -> String {
    let start = match message.start() {
        StartLine::Request { method, uri } => {
            let uri = Uri::parse(uri).unwrap();
            format!("{} user {} at {}", latin(method.as_bytes()), uri.user_text(), uri.host_text())
        }
        StartLine::Response { code, phrase } => format!("{code} {:?}", latin(phrase)),
    };
    let address = |address: NameAddr<'_>| {
        let uri = address.parse_uri().unwrap();
        let tag = address.tag().map(latin).unwrap_or_default();
        format!("{} {} at {} tag {tag}", latin(address.display), uri.user_text(), uri.host_text())
    };
    let vias: Vec<String> = message
        .list(HeaderName::Via)
        .map(|via| Via::parse(via).unwrap())
        .map(|via| format!("{} {}", latin(via.transport), latin(via.host)))
        .collect();
    let cseq = message.cseq().unwrap();
    let n_contacts = message.list(HeaderName::Contact).count();
    format!(
        "{start}; from {}; to {}; {} via {} to {}; {} {}; {n_contacts} contacts; body {}",
        address(message.from().unwrap()),
        address(message.to().unwrap()),
        vias.len(),
        vias[0],
        vias[vias.len() - 1],
        cseq.number,
        latin(cseq.method.as_bytes()),
        message.body().len(),
    )
}

fn latin(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_of_the_13_valid_ones_says_what_it_means() {
    let mut all = String::new();
    for torture in valid::VALID {
        let bytes = bytes(torture);
        let message = Message::scan(&bytes).unwrap();
        assert_eq!(message.check(), Ok(()), "{}", torture.name);
        let told = told(&message).replace("amazinglylongcallername", "A~").replace("extreme", "x~");
        all.push_str(&format!("{}: {}\n", torture.name, told.replace("298", "2~")));
    }
    expect_test::expect![[r#"
        wsinv: INVITE user vivekg at chair-dnrc.example.com; from "J Rosenberg \\\"" jdrosen at example.com tag 98asjd8; to  vivekg at chair-dnrc.example.com tag 1918181833n; 3 via UDP 192.0.2.2 to UDP 192.168.255.111; 9 INVITE; 1 contacts; body 150
        intmeth: !interesting-Method0123456789_*+`.%indeed'~ user 1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/ at example.com; from token1~` token2'+_ token3*%!.- mundane at example.com tag _token~1'+`*%!-.; to "BEL:\^G NUL:\^@ DEL:\^?" 1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/ at example.com tag ; 1 via TCP host1.example.com to TCP host1.example.com; 139122385 !interesting-Method0123456789_*+`.%indeed'~; 0 contacts; body 0
        esc01: INVITE user sips:user@example.com at example.net; from  I have spaces at example.net tag 938; to  user at example.com tag ; 1 via UDP host5.example.net to UDP host5.example.net; 234234 INVITE; 1 contacts; body 150
        escnull: REGISTER user  at example.com; from  null- -null at example.com tag 839923423; to  null- -null at example.com tag ; 1 via UDP host5.example.com to UDP host5.example.com; 14398234 REGISTER; 2 contacts; body 0
        esc02: RE%47IST%45R user  at registrar.example.com; from "%Z%45" resource at example.com tag f232jadfj23; to "%Z%45" resource at example.com tag ; 1 via TCP host.example.com to TCP host.example.com; 29344 RE%47IST%45R; 2 contacts; body 0
        lwsdisp: OPTIONS user user at example.com; from caller caller at example.com tag 323; to  user at example.com tag ; 1 via UDP funky.example.com to UDP funky.example.com; 60 OPTIONS; 0 contacts; body 0
        longreq: INVITE user user at example.com; from  A~A~A~A~A~ at example.net tag 12~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2~2424; to "I have a user name of x~x~x~x~x~x~x~x~x~x~ proportion" user at example.com tag ; 34 via TCP sip33.example.com to TCP host.example.com; 3882340 INVITE; 1 contacts; body 150
        dblreq: REGISTER user  at example.com; from  j.user at example.com tag 43251j3j324; to  j.user at example.com tag ; 1 via UDP 192.0.2.125 to UDP 192.0.2.125; 8 REGISTER; 1 contacts; body 0
        semiuri: OPTIONS user user at example.com; from  caller at example.org tag 33242; to  j_user at example.com tag ; 1 via UDP 192.0.2.1 to UDP 192.0.2.1; 8 OPTIONS; 0 contacts; body 0
        transports: OPTIONS user user at example.com; from  caller at example.com tag 323; to  user at example.com tag ; 5 via UDP t1.example.com to TCP t5.example.com; 60 OPTIONS; 0 contacts; body 0
        mpart01: MESSAGE user kumiko at example.org; from  fluffy at example.com tag 2fb0dcc9; to  kumiko at example.org tag ; 1 via UDP 127.0.0.1 to UDP 127.0.0.1; 1 MESSAGE; 1 contacts; body 0
        unreason: 200 "= 2**3 * 5**2 но сто девяносто девять - простое"; from  user at example.com tag 11141343; to  user at example.edu tag 2229; 1 via UDP 192.0.2.198 to UDP 192.0.2.198; 35 INVITE; 1 contacts; body 154
        noreason: 100 ""; from  user at example.com tag 39ansfi3; to  user at example.edu tag 902jndnke3; 1 via UDP 192.0.2.105 to UDP 192.0.2.105; 35 INVITE; 1 contacts; body 0
    "#]].assert_eq(&all);
}

#[test]
fn escaped_and_odd_parts_of_valid_messages_are_neither_lost_nor_taken_for_others() {
    let of = |name: &str| bytes(valid::VALID.iter().find(|torture| torture.name == name).unwrap());
    let text = of("wsinv");
    let message = Message::scan(&text).unwrap();
    assert_eq!(message.number(HeaderName::MaxForwards), Some(68));
    let odd = message.headers().find(|(_, name, _)| *name == b"UnknownHeaderWithUnusualValue");
    assert_eq!(odd.unwrap().2, b";;,,;;,;", "passed on as it came");
    assert_eq!(message.list(HeaderName::Route).count(), 1);

    let text = of("esc01");
    let message = Message::scan(&text).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.scheme, uri.user_text().as_str()), (Scheme::Sip, "sips:user@example.com"));
    let contact = message.contact().unwrap();
    assert_eq!(contact.uri, b"sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31");
    assert_eq!(contact.parse_uri().unwrap().params.find("lr"), None, "escaped, it is no loose router");

    let text = of("escnull");
    let message = Message::scan(&text).unwrap();
    let contacts: Vec<_> = message.list(HeaderName::Contact).filter_map(NameAddr::parse).collect();
    assert_ne!(contacts[0].uri, contacts[1].uri, "two bindings");

    let text = of("esc02");
    let message = Message::scan(&text).unwrap();
    assert_eq!(message.method(), Some(Method::Other(b"RE%47IST%45R")));
    assert_eq!(message.list(HeaderName::Contact).count(), 2, "C%6Fntact is another header");

    let text = of("semiuri");
    let message = Message::scan(&text).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(
        (uri.user, uri.host),
        (Some(&b"user;par=u%40example.net"[..]), &b"example.com"[..]),
        "all of it is the user"
    );

    let text = of("mpart01");
    let message = Message::scan(&text).unwrap();
    let kind = message.value(HeaderName::ContentType).unwrap();
    assert_eq!(kind, b"multipart/mixed;boundary=7a9cbec02ceef655");
}

/// Registers `name` of example.com by this message, and has alice call. Out: the answer to the REGISTER, and the INVITE.
fn registered(torture: &str, name: &str) -> (String, String) {
    let mut rows = directory();
    rows.subscribers[1].username = name.into();
    rows.subscribers[1].domain = "example.com".into();
    rows.subscribers[1].digest = secret_of(name, "example.com", "secret");
    let number = "43777".parse().unwrap();
    rows.numbers.push(NumberOwner {
        number,
        subscriber: SubscriberId(2),
        from: chrono::DateTime::UNIX_EPOCH,
        to: None,
    });
    let mut world = World::new();
    world.input(Input::Directory(Arc::new(rows)));
    let torture = semantic::SEMANTIC.iter().find(|one| one.name == torture).unwrap();
    let text = String::from_utf8(bytes(torture)).unwrap();
    world.inject(PEER, &text);
    let asked = world.last_to(PEER, "SIP/2.0 401").unwrap();
    let challenge =
        Challenge::choose([header_of(&asked, "WWW-Authenticate").as_bytes()].into_iter()).unwrap();
    let answer = challenge.answer(name, "secret", b"REGISTER", "sip:example.com", 7);
    let (start, rest) = text.split_once("\r\n").unwrap();
    world.inject(PEER, format!("{start}\r\nAuthorization: {answer}\r\n{rest}"));
    let ok = world.last_to(PEER, "SIP/2.0 200").unwrap();
    world.dial(ALICE, "43777", 5);
    let invite = world.last_to(PEER, "INVITE").unwrap();
    (ok, invite)
}

#[test]
fn parameters_beside_a_contact_are_not_those_inside_it_and_headers_it_asks_for_are_not_added() {
    let (ok, invite) = registered("cparam01", "watson");
    assert!(header_of(&ok, "Contact").starts_with("<sip:+19725552222@gw1.example.net>;expires="), "{ok}");
    assert!(invite.starts_with("INVITE sip:+19725552222@gw1.example.net SIP/2.0\r\n"), "{invite}");

    let (ok, invite) = registered("cparam02", "watson");
    let kept = "<sip:+19725552222@gw1.example.net;unknownparam>;expires=";
    assert!(header_of(&ok, "Contact").starts_with(kept), "{ok}");
    assert!(
        invite.starts_with("INVITE sip:+19725552222@gw1.example.net;unknownparam SIP/2.0\r\n"),
        "{invite}"
    );

    let (ok, invite) = registered("regescrt", "user");
    let kept = "<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=";
    assert!(header_of(&ok, "Contact").starts_with(kept), "told as it was registered: {ok}");
    assert!(invite.starts_with("INVITE sip:user@example.com SIP/2.0\r\n"), "{invite}");
    assert_eq!(header_of(&invite, "Route"), "", "who registers does not write our headers");
}

#[test]
fn what_is_required_and_not_known_is_named_in_the_answer() {
    let mut world = world();
    let bext01 = semantic::SEMANTIC.iter().find(|one| one.name == "bext01").unwrap();
    world.inject(PEER, bytes(bext01));
    let refused = world.last_to(PEER, "SIP/2.0 420 Bad Extension").unwrap();
    assert_eq!(header_of(&refused, "Unsupported"), "nothingSupportsThis, nothingSupportsThisEither");
}
