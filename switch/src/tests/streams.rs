//! The same core over TCP and TLS: nothing is sent twice, answers go back over the connection, long requests leave UDP.

use std::sync::Arc;
use std::time::Duration;

use model::{Moment, Transport};

use super::world::{GATEWAY_1, SWITCH, address, directory, header_of};
use crate::{Hop, Input, Output, Switch, SwitchConfig};

fn moment(mono: Duration) -> Moment {
    Moment { wall: chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::from_std(mono).unwrap(), mono }
}

struct Line {
    switch: Switch,
    mono: Duration,
    sent: Vec<(Hop, String)>,
}

impl Line {
    /// Trunk 1 is reached by `transport`; trunk 2 is the exchange of a customer that connects to us.
    fn new(transport: Transport) -> Self {
        let mut rows = directory();
        rows.trunks[0].transport = transport;
        rows.trunks[1].transport = Transport::Tcp;
        rows.accounts[3].kind = model::AccountKind::Customer;
        let now = moment(Duration::ZERO);
        let config =
            SwitchConfig { domain: "example.net".into(), session_seconds: 0, ..SwitchConfig::default() };
        let mut switch = Switch::new(config, address(SWITCH), now, 3);
        switch.handle(now, Input::Directory(Arc::new(rows)));
        Self { switch, mono: Duration::ZERO, sent: Vec::new() }
    }

    fn drain(&mut self) {
        while let Some(output) = self.switch.poll_output() {
            if let Output::Transmit { to, bytes } = output {
                self.sent.push((to, String::from_utf8(bytes).unwrap()));
            }
        }
    }

    fn receive(&mut self, from: Hop, text: &str) {
        self.switch.handle(moment(self.mono), Input::Message { from, bytes: text.as_bytes().to_vec() });
        self.drain();
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.mono + duration;
        while let Some((at, _)) = self.switch.poll_timeout().filter(|(at, _)| *at <= end) {
            self.mono = at;
            self.switch.handle(moment(at), Input::Timeout);
            self.drain();
        }
        self.mono = end;
    }

    fn to(&self, transport: Transport, place: &str, start: &str) -> Vec<&str> {
        let hop = Hop { transport, address: address(place) };
        let all = self.sent.iter().filter(|(to, text)| *to == hop && text.starts_with(start));
        all.map(|(_, text)| text.as_str()).collect()
    }
}

/// The customer's exchange, from a port of its own choosing.
fn customer() -> Hop {
    Hop { transport: Transport::Tcp, address: address("203.0.113.2:49152") }
}

fn invite(extra: &str, body: &str) -> String {
    format!(
        "INVITE sip:49301234@example.net SIP/2.0\r\nVia: SIP/2.0/TCP 203.0.113.2;branch=z9hG4bKa\r\nMax-Forwards: 70\r\n\
         From: <sip:4930999@x>;tag=f\r\nTo: <sip:49301234@example.net>\r\nCall-ID: c1\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@203.0.113.2;transport=tcp>\r\n{extra}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn answered(request: &str, status: &str) -> String {
    let head: String = request
        .lines()
        .filter(|line| ["Via:", "From:", "Call-ID:", "CSeq:"].iter().any(|name| line.starts_with(name)))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let to = header_of(request, "To");
    format!(
        "SIP/2.0 {status}\r\n{head}To: {to};tag=g\r\nContact: <sip:g@{GATEWAY_1}>\r\nContent-Length: 0\r\n\r\n"
    )
}

#[test]
fn call_over_tcp_to_tls_names_its_transports_and_repeats_nothing() {
    let mut line = Line::new(Transport::Tls);
    line.receive(customer(), &invite("", ""));
    assert_eq!(
        line.to(Transport::Tcp, "203.0.113.2:49152", "SIP/2.0 100").len(),
        1,
        "back over the connection"
    );
    let out = line.to(Transport::Tls, GATEWAY_1, "INVITE")[0].to_owned();
    assert!(out.contains("Via: SIP/2.0/TLS 192.0.2.1:5061;branch="), "{out}");
    assert!(out.contains("Contact: <sip:192.0.2.1:5061;transport=tls>"), "{out}");
    line.pass(Duration::from_secs(3));
    assert_eq!(line.to(Transport::Tls, GATEWAY_1, "INVITE").len(), 1, "timer A is for UDP");
    let gateway = Hop { transport: Transport::Tls, address: address(GATEWAY_1) };
    line.receive(gateway, &answered(&out, "180 Ringing"));
    line.receive(gateway, &answered(&out, "486 Busy Here"));
    let refused = line.to(Transport::Tcp, "203.0.113.2:49152", "SIP/2.0 486")[0];
    assert!(!refused.contains("Via: SIP/2.0/UDP"), "{refused}");
    line.pass(Duration::from_secs(10));
    assert_eq!(line.to(Transport::Tcp, "203.0.113.2:49152", "SIP/2.0 486").len(), 1, "timer G is for UDP");
    line.pass(Duration::from_secs(40));
    line.switch.assert_nothing_held();
}

#[test]
fn trunk_that_cannot_be_connected_to_fails_at_once() {
    let mut line = Line::new(Transport::Tcp);
    line.receive(customer(), &invite("", ""));
    let hop = Hop { transport: Transport::Tcp, address: address(GATEWAY_1) };
    line.switch.handle(moment(line.mono), Input::Unreachable(hop));
    line.drain();
    let told = line.to(Transport::Tcp, "203.0.113.2:49152", "SIP/2.0 408");
    assert_eq!(told.len(), 1, "there is no second trunk for this caller: {:?}", line.sent);
}

#[test]
fn long_request_goes_to_tcp_and_comes_back_to_udp_when_nobody_listens() {
    let mut line = Line::new(Transport::Udp);
    let body = format!("v=0\r\n{}", "a=x-filler:0123456789\r\n".repeat(60));
    line.receive(customer(), &invite("Content-Type: application/sdp\r\n", &body));
    let over_tcp = line.to(Transport::Tcp, GATEWAY_1, "INVITE")[0].to_owned();
    assert!(over_tcp.contains("Via: SIP/2.0/TCP 192.0.2.1:5060;branch="), "{over_tcp}");
    assert!(line.to(Transport::Udp, GATEWAY_1, "INVITE").is_empty());
    let hop = Hop { transport: Transport::Tcp, address: address(GATEWAY_1) };
    line.switch.handle(moment(line.mono), Input::Unreachable(hop));
    line.drain();
    let over_udp = line.to(Transport::Udp, GATEWAY_1, "INVITE")[0].to_owned();
    assert_eq!(over_udp.replace("SIP/2.0/UDP", "SIP/2.0/TCP"), over_tcp, "the same request");
    line.pass(Duration::from_millis(600));
    assert_eq!(line.to(Transport::Udp, GATEWAY_1, "INVITE").len(), 2, "and is repeated there");
    let gateway = Hop::udp(address(GATEWAY_1));
    line.receive(gateway, &answered(&over_udp, "200 OK"));
    assert_eq!(line.to(Transport::Tcp, "203.0.113.2:49152", "SIP/2.0 200").len(), 1);
}
