//! The forms that phones, exchanges and carriers send every day, one by one: what must be read of each, and what `rsip` 0.4 makes of it.
//!
//! `rsip` is our vocabulary and never reads what arrives; the last column keeps us from forgetting why. A line of it that stops being
//! true is noticed here.

use expect_test::expect;
use rsip::prelude::{HasHeaders as _, HeadersExt as _, ToTypedHeader as _, UntypedHeader as _};

use crate::{HeaderName, Message, Uri};

/// What a switch has to know of a request before it can do anything with it.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    method: String,
    user: String,
    host: String,
    from: String,
    from_tag: String,
    to: String,
    branch: String,
    sequence: u32,
    call_id: String,
    body: Vec<u8>,
}

fn latin(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn ours(bytes: &[u8]) -> Option<Read> {
    let message = Message::scan(bytes).ok()?;
    message.check().ok()?;
    let uri = Uri::parse(message.request_uri())?;
    let (from, to, cseq) = (message.from()?, message.to()?, message.cseq()?);
    Some(Read {
        method: latin(message.method()?.as_bytes()),
        user: uri.user_text(),
        host: uri.host_text(),
        from: from.parse_uri()?.user_text(),
        from_tag: latin(from.tag().unwrap_or_default()),
        to: to.parse_uri()?.user_text(),
        branch: latin(message.top_via()?.branch().unwrap_or_default()),
        sequence: cseq.number,
        call_id: latin(message.call_id()?),
        body: message.body().to_vec(),
    })
}

/// The same by `rsip`, read as its own examples read it.
fn theirs(bytes: &[u8]) -> Option<Read> {
    let rsip::SipMessage::Request(request) = rsip::SipMessage::try_from(bytes.to_vec()).ok()? else {
        return None;
    };
    let uri = &request.uri;
    let from = request.from_header().ok()?.typed().ok()?;
    let to = request.to_header().ok()?.typed().ok()?;
    let via = request.via_header().ok()?.typed().ok()?;
    let cseq = request.cseq_header().ok()?.typed().ok()?;
    // As it is written there; the same is made of it as of ours.
    let user = |uri: &rsip::Uri| {
        let written = format!("sip:{}@x", uri.user().unwrap_or_default());
        Uri::parse(written.as_bytes()).map(|uri| uri.user_text()).unwrap_or_default()
    };
    assert!(request.headers().iter().count() > 0);
    Some(Read {
        method: request.method.to_string(),
        user: user(uri),
        host: uri.host().to_string().to_ascii_lowercase(),
        from: user(&from.uri),
        from_tag: from.tag().map(|tag| tag.value().to_owned()).unwrap_or_default(),
        to: user(&to.uri),
        branch: via.branch().map(|branch| branch.value().to_owned()).unwrap_or_default(),
        sequence: cseq.seq,
        call_id: request.call_id_header().ok()?.value().to_owned(),
        body: request.body.clone(),
    })
}

/// One form: its name, what is changed in the plain message, and what must be read otherwise than in that.
struct Form {
    name: &'static str,
    change: fn(&str) -> Vec<u8>,
    differs: fn(&mut Read),
}

const PLAIN: &str = "INVITE sip:4930123@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK77;rport\r\n\
    Max-Forwards: 70\r\nFrom: \"Office\" <sip:43660555123@example.net>;tag=a1\r\nTo: <sip:4930123@example.net>\r\n\
    Call-ID: 77@192.0.2.7\r\nCSeq: 314 INVITE\r\nContact: <sip:43660555123@192.0.2.7:5060>\r\nContent-Type: application/sdp\r\n\
    Content-Length: 6\r\n\r\nv=0\r\no";

fn plain() -> Read {
    Read {
        method: "INVITE".into(),
        user: "4930123".into(),
        host: "example.net".into(),
        from: "43660555123".into(),
        from_tag: "a1".into(),
        to: "4930123".into(),
        branch: "z9hG4bK77".into(),
        sequence: 314,
        call_id: "77@192.0.2.7".into(),
        body: b"v=0\r\no".to_vec(),
    }
}

/// The plain message with some text in place of other.
fn with(text: &str, what: &str, with: &str) -> Vec<u8> {
    assert!(text.contains(what), "{what}");
    text.replacen(what, with, 1).into_bytes()
}

const REQUEST_URI: &str = "sip:4930123@example.net SIP";
const FROM: &str = "\"Office\" <sip:43660555123@example.net>;tag=a1";
const TO: &str = "To: <sip:4930123@example.net>";
const VIA: &str = "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK77;rport";

macro_rules! form {
    ($name:literal, $what:expr => $with:expr) => {
        form!($name, $what => $with, |_| ())
    };
    ($name:literal, $what:expr => $with:expr, $differs:expr) => {
        Form { name: $name, change: |text| with(text, $what, $with), differs: $differs }
    };
}

const FORMS: &[Form] = &[
    Form { name: "the plain message", change: |text| text.into(), differs: |_| () },
    // The Request-URI.
    form!("a dot in the user part", REQUEST_URI => "sip:john.doe@example.net SIP", |read| read.user = "john.doe".into()),
    form!("a plus before the number", REQUEST_URI => "sip:+4930123@example.net SIP", |read| read.user = "+4930123".into()),
    form!("user=phone", REQUEST_URI => "sip:4930123@example.net;user=phone SIP"),
    form!("a port and a transport", REQUEST_URI => "sip:4930123@example.net:5080;transport=udp SIP"),
    form!("an address", REQUEST_URI => "sip:4930123@192.0.2.1 SIP", |read| read.host = "192.0.2.1".into()),
    form!("an address of version 6", REQUEST_URI => "sip:4930123@[2001:db8::1]:5070 SIP", |read| read.host = "[2001:db8::1]".into()),
    form!("no user", REQUEST_URI => "sip:example.net SIP", |read| read.user.clear()),
    form!("a password", REQUEST_URI => "sip:4930123:1234@example.net SIP"),
    form!("an escaped user", REQUEST_URI => "sip:%34930123@example.net SIP"),
    form!("a star code", REQUEST_URI => "sip:*21*0660@example.net SIP", |read| read.user = "*21*0660".into()),
    form!("a hash, escaped", REQUEST_URI => "sip:%2321%23@example.net SIP", |read| read.user = "#21#".into()),
    form!("a context behind the number", REQUEST_URI => "sip:4930123;phone-context=+49@example.net;user=phone SIP"),
    form!("a context with a name", REQUEST_URI => "sip:4930123;phone-context=gw.example.org@example.net SIP"),
    form!("a trunk group", REQUEST_URI => "sip:4930123;tgrp=t1;trunk-context=x.example@example.net;user=phone SIP"),
    form!("tel", REQUEST_URI => "tel:+4930123 SIP", |read| { read.user = "+4930123".into(); read.host.clear(); }),
    form!("tel with separators and a context", REQUEST_URI => "tel:30-123;phone-context=+49 SIP", |read| {
        read.user = "30-123".into();
        read.host.clear();
    }),
    form!("sips", REQUEST_URI => "sips:4930123@example.net SIP"),
    form!("the scheme in capitals", REQUEST_URI => "SIP:4930123@EXAMPLE.NET SIP"),
    // Addresses in headers.
    form!("no display name", FROM => "<sip:43660555123@example.net>;tag=a1"),
    form!("no angle brackets", FROM => "sip:43660555123@example.net;tag=a1"),
    form!("a name without quotes", FROM => "Office Vienna <sip:43660555123@example.net>;tag=a1"),
    form!("a quoted name with escaped quotes", FROM => "\"Fa. \\\"Huber\\\"\" <sip:43660555123@example.net>;tag=a1"),
    form!("a quoted name with a comma and a bracket", FROM => "\"Huber, <Hans>\" <sip:43660555123@example.net>;tag=a1"),
    form!("a tag inside a quoted name", FROM => "\"x;tag=no\" <sip:43660555123@example.net>;tag=a1"),
    form!("a name in UTF-8", FROM => "\"Bäckerei Müller\" <sip:43660555123@example.net>;tag=a1"),
    Form {
        name: "a name in Latin-1",
        change: |text| {
            text.replacen("Office", "B_ckerei", 1)
                .bytes()
                .map(|byte| if byte == b'_' { 0xe4 } else { byte })
                .collect()
        },
        differs: |_| (),
    },
    form!("an empty name", FROM => "\"\" <sip:43660555123@example.net>;tag=a1"),
    form!("no blank before the bracket", FROM => "\"Office\"<sip:43660555123@example.net>;tag=a1"),
    form!("a parameter inside and one beside", FROM => "<sip:43660555123@example.net;user=phone>;x=y;tag=a1"),
    form!("TAG in capitals", FROM => "<sip:43660555123@example.net>;TAG=a1"),
    form!("blanks around the tag", FROM => "<sip:43660555123@example.net> ; tag = a1"),
    form!("tel in From", FROM => "<tel:+43660555123>;tag=a1", |read| read.from = "+43660555123".into()),
    form!("an anonymous caller", FROM => "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=a1", |read| read.from = "anonymous".into()),
    form!("a parameter of To", TO => "To: <sip:4930123@example.net;user=phone>"),
    // Via.
    form!("several Vias in one line", VIA => "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK77;rport, SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1"),
    form!("several Vias in several lines", VIA => "Via: SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bK77;rport\r\nVia: SIP/2.0/TCP 10.0.0.1;branch=z9hG4bK1"),
    form!("received and rport filled in", VIA => "Via: SIP/2.0/UDP 10.0.0.1:5060;received=192.0.2.7;rport=1024;branch=z9hG4bK77"),
    form!("received of version 6", VIA => "Via: SIP/2.0/UDP 10.0.0.1:5060;received=2001:db8::9;branch=z9hG4bK77"),
    form!("sent-by of version 6", VIA => "Via: SIP/2.0/UDP [2001:db8::9]:5060;branch=z9hG4bK77"),
    form!("BRANCH in capitals", VIA => "Via: SIP/2.0/UDP 192.0.2.7:5060;BRANCH=z9hG4bK77"),
    form!("blanks around the port", VIA => "Via: SIP/2.0/UDP 192.0.2.7 : 5060 ;branch=z9hG4bK77"),
    form!("TLS", VIA => "Via: SIP/2.0/TLS pbx.example.org;branch=z9hG4bK77;alias"),
    // Headers as lines.
    Form {
        name: "compact names",
        change: |text| {
            let names = [("Via", "v"), ("From", "f"), ("To", "t"), ("Call-ID", "i"), ("Contact", "m")];
            let names = names.into_iter().chain([("Content-Type", "c"), ("Content-Length", "l")]);
            names
                .fold(text.to_owned(), |text, (long, short)| {
                    text.replacen(&format!("\n{long}:"), &format!("\n{short}:"), 1)
                })
                .into()
        },
        differs: |_| (),
    },
    form!("names in other cases", "Call-ID:" => "CALL-id:"),
    form!("a blank before the colon", "Call-ID:" => "Call-ID :"),
    form!("no blank behind the colon", "Call-ID: " => "Call-ID:"),
    form!("a folded line", ";tag=a1" => "\r\n ;tag=a1"),
    form!("a tab that folds", "CSeq: 314 INVITE" => "CSeq: 314\r\n\tINVITE"),
    form!("zeroes before the number", "CSeq: 314" => "CSeq: 0314"),
    form!("an empty header", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nSubject:\r\n"),
    form!("an unknown header", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nX-Charge: a;b=\"c,d\"\r\n"),
    form!("a date and a reason", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nDate: Sat, 13 Nov 2010 23:29:00 GMT\r\nReason: Q.850;cause=16;text=\"x\"\r\n"),
    form!("Replaces", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nReplaces: 98@x;to-tag=r;from-tag=4\r\n"),
    form!("several Routes in one line", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nRoute: <sip:p1.example;lr>, <sip:p2.example;lr>\r\n"),
    form!("identities of the network", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nP-Asserted-Identity: \"A\" <sip:+431@x>, <tel:+431>\r\nRemote-Party-ID: <sip:431@x>;party=calling\r\nDiversion: <sip:432@x>;reason=no-answer\r\n"),
    form!("several Contacts in one line", "Contact: <sip:43660555123@192.0.2.7:5060>" => "Contact: <sip:1@192.0.2.7>;q=0.5, \"a, b\" <sip:2@192.0.2.8>"),
    form!("two Authorizations", "Max-Forwards: 70\r\n" => "Max-Forwards: 70\r\nProxy-Authorization: Digest username=\"a\", realm=\"x, y\", nonce=\"n\", uri=\"sip:b\", response=\"0\"\r\nAuthorization: Digest username=\"a\", realm=\"z\", nonce=\"n\", uri=\"sip:b\", response=\"0\"\r\n"),
    // Beginning, end and body.
    Form {
        name: "lines that end with LF alone",
        change: |text| text.replace("\r\n", "\n").replace("v=0\n", "v=0\r\n").into(),
        differs: |_| (),
    },
    Form {
        name: "line ends before the message",
        change: |text| format!("\r\n\r\n{text}").into(),
        differs: |_| (),
    },
    form!("no Content-Length", "Content-Length: 6\r\n" => ""),
    Form {
        name: "bytes behind the body",
        change: |text| format!("{text}\r\n\r\n\0\0").into(),
        differs: |_| (),
    },
    Form {
        name: "a body that is no text",
        change: |text| [&text.as_bytes()[..text.len() - 6], b"\xff\x00\xfe\r\n\x01"].concat(),
        differs: |read| read.body = b"\xff\x00\xfe\r\n\x01".to_vec(),
    },
    form!("a method nobody knows", "INVITE sip" => "PING sip", |_| ()),
];

/// The CSeq goes with the start line.
fn bytes_of(form: &Form) -> (Vec<u8>, Read) {
    let mut bytes = (form.change)(PLAIN);
    let mut read = plain();
    (form.differs)(&mut read);
    if bytes.starts_with(b"PING") {
        bytes = latin(&bytes).replace("314 INVITE", "314 PING").into_bytes();
        read.method = "PING".into();
    }
    (bytes, read)
}

#[test]
fn everyday_forms() {
    assert!(FORMS.len() >= 41);
    for form in FORMS {
        let (bytes, read) = bytes_of(form);
        assert_eq!(ours(&bytes), Some(read), "{}:\n{}", form.name, latin(&bytes));
    }
}

#[test]
fn what_rsip_makes_of_them_is_why_it_does_not_stand_on_the_wire() {
    let (mut right, mut lines) = (0, String::new());
    for form in FORMS {
        let (bytes, read) = bytes_of(form);
        match theirs(&bytes) {
            Some(theirs) if theirs == read => right += 1,
            // A wrong one without an error is worse than a refusal: the call goes elsewhere, or its body is another one.
            Some(_) => lines.push_str(&format!("wrong:   {}\n", form.name)),
            None => lines.push_str(&format!("refused: {}\n", form.name)),
        }
    }
    expect![[r#"
        43 of 64 right
        wrong:   a dot in the user part
        refused: an address of version 6
        refused: a context with a name
        refused: a trunk group
        refused: tel
        refused: tel with separators and a context
        refused: a quoted name with a comma and a bracket
        refused: a name in Latin-1
        refused: blanks around the tag
        refused: tel in From
        wrong:   received of version 6
        refused: sent-by of version 6
        wrong:   blanks around the port
        refused: compact names
        refused: a blank before the colon
        refused: a folded line
        refused: a tab that folds
        refused: lines that end with LF alone
        refused: line ends before the message
        wrong:   bytes behind the body
        refused: a method nobody knows
    "#]]
    .assert_eq(&format!("{right} of {} right\n{lines}", FORMS.len()));
}

/// The same as they come by a stream, one behind the other and cut anywhere.
#[test]
fn everyday_forms_come_by_a_stream_cut_anywhere() {
    use crate::message::{Framed, Framer};

    // There a message without a length has no body, what is behind a body is the next message, and lines end with CRLF.
    let by_datagram = ["no Content-Length", "bytes behind the body", "lines that end with LF alone"];
    let by_stream = FORMS.iter().filter(|form| !by_datagram.contains(&form.name));
    let all: Vec<(Vec<u8>, Read)> = by_stream.map(bytes_of).collect();
    let stream: Vec<u8> = all.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    for piece in [1, 7, 64, 1_460, stream.len()] {
        let (mut framer, mut read) = (Framer::default(), Vec::new());
        for bytes in stream.chunks(piece) {
            framer.push(bytes);
            while let Ok(Some(framed)) = framer.take() {
                if let Framed::Message(message) = framed {
                    read.push(ours(&message).unwrap());
                }
            }
        }
        assert_eq!(read.len(), all.len(), "in pieces of {piece}");
        assert!(read.iter().zip(&all).all(|(read, (_, wanted))| read == wanted), "in pieces of {piece}");
    }
}

#[test]
fn lists_of_every_day_are_told_apart_by_their_commas() {
    let lines = "Record-Route: <sip:p1.example;lr>, \"p, 2\" <sip:p2.example;lr>\r\nRecord-Route: <sip:p3.example;lr>\r\n\
        WWW-Authenticate: Digest realm=\"a, b\", nonce=\"1\", algorithm=SHA-256\r\nWWW-Authenticate: Digest realm=\"a, b\", nonce=\"1\"\r\n\
        Path: <sip:edge.example;lr;ob>\r\nReason: SIP;cause=200;text=\"a, b\", Q.850;cause=16\r\n";
    let text = PLAIN.replacen("Max-Forwards: 70\r\n", &format!("Max-Forwards: 70\r\n{lines}"), 1);
    let message = Message::scan(text.as_bytes()).unwrap();
    let routes: Vec<String> = message.list(HeaderName::RecordRoute).map(latin).collect();
    assert_eq!(routes, ["<sip:p1.example;lr>", "\"p, 2\" <sip:p2.example;lr>", "<sip:p3.example;lr>"]);
    assert_eq!(message.values(HeaderName::WwwAuthenticate).count(), 2, "a challenge has commas of its own");
    assert_eq!(message.list(HeaderName::Path).count(), 1);
    assert_eq!(message.list(HeaderName::Reason).count(), 2);
}
