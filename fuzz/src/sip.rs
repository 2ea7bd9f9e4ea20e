//! SIP as strangers send it: one message, a stream of them, and a switch that has to live with them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use model::{
    Account, AccountId, AccountKind, AccountStatus, Contact, Currency, Directory, FraudPolicy, Moment, Route,
    RouteId, Tenant, TenantId, Transport, Trunk, TrunkId,
};
use switch::{
    Framed, Framer, HeaderName, Hop, Input, MESSAGE_BYTES_MAX, Message, NameAddr, Output, StartLine, Switch,
    SwitchConfig, Uri, Via,
};

/// The switch.
pub(crate) const SWITCH: &str = "192.0.2.1:5060";
/// A customer's exchange, known by its address.
pub(crate) const EXCHANGE: &str = "203.0.113.1:5060";
/// A carrier, to which all calls go.
pub(crate) const CARRIER: &str = "203.0.113.2:5060";

/// What is said to the switch in one feed ends with this line.
const BETWEEN: &[u8] = b"\r\n~~\r\n";

/// Every reading of a message that the switch has.
pub(crate) fn message(bytes: &[u8]) {
    let Ok(message) = Message::scan(bytes) else { return };
    // A message that is refused must still be answerable: so it is read all the same.
    let _ = message.check();
    let _ = (message.fault(), message.method(), message.request_uri().len(), message.call_id());
    let _ = (message.cseq(), message.top_via(), message.from(), message.to(), message.contact());
    let parts: usize = message.headers().map(|(_, name, value)| name.len() + value.len()).sum();
    assert!(parts + message.body().len() <= bytes.len(), "no part of a message is there twice");
    for (name, _, value) in message.headers() {
        let _ = (message.number(name), message.value_text(name));
        assert!(message.list(name).map(<[u8]>::len).sum::<usize>() <= bytes.len());
        read_value(value);
    }
    if let StartLine::Request { uri, .. } = message.start() {
        read_uri(uri);
    }
    for via in message.list(HeaderName::Via).filter_map(Via::parse) {
        let _ = via.branch();
    }
}

fn read_value(value: &[u8]) {
    if let Some(address) = NameAddr::parse(value) {
        let _ = address.tag();
        if let Some(uri) = address.parse_uri() {
            let _ = (uri.user_text(), uri.host_text(), uri.socket_address());
            for (name, _) in uri.params.iter() {
                let _ = uri.params.value(&String::from_utf8_lossy(name));
            }
        }
    }
    read_uri(value);
}

fn read_uri(bytes: &[u8]) {
    if let Some(uri) = Uri::parse(bytes) {
        let _ = (uri.user_text(), uri.host_text(), uri.socket_address());
    }
}

/// A stream, whole and in two pieces: where it is cut says nothing of what is in it.
pub(crate) fn stream(bytes: &[u8]) {
    let whole = framed(&[bytes]);
    if let Some((place, rest)) = bytes.split_first() {
        let (one, other) = rest.split_at(usize::from(*place).min(rest.len()));
        // Blank lines are pings only when they come by themselves; so what is between messages may be told otherwise.
        let messages = |all: &[Framed]| -> Vec<Framed> {
            all.iter().filter(|framed| matches!(framed, Framed::Message(_))).cloned().collect()
        };
        assert_eq!(messages(&framed(&[rest])), messages(&framed(&[one, other])));
    }
    for framed in whole {
        if let Framed::Message(bytes) = framed {
            message(&bytes);
        }
    }
}

fn framed(pieces: &[&[u8]]) -> Vec<Framed> {
    let (mut framer, mut all) = (Framer::default(), Vec::new());
    for piece in pieces {
        framer.push(piece);
        loop {
            match framer.take() {
                Ok(Some(framed)) => all.push(framed),
                Ok(None) => break,
                Err(_) => return all,
            }
        }
    }
    all
}

/// Messages one after the other to a switch, from the exchange, the carrier and a stranger in turn; a line `+SECONDS` lets time pass. When
/// all is said, no call stays up for longer than calls may.
pub(crate) fn switch(bytes: &[u8]) {
    let places = [EXCHANGE, CARRIER, "198.51.100.66:5060"].map(address);
    let mut now = Duration::ZERO;
    let mut switch = fresh(now);
    let parts = parts(bytes);
    for (n, part) in parts.into_iter().enumerate() {
        if let Some(seconds) = seconds_of(part) {
            now += Duration::from_secs(seconds);
            pass(&mut switch, now, &mut drop);
            continue;
        }
        let from = places[n % places.len()];
        let bytes = part.to_vec();
        // Each third by a stream.
        let input = if n % 3 == 2 {
            Input::Message { from: Hop { transport: Transport::Tcp, address: from }, bytes }
        } else {
            Input::Datagram { from, bytes }
        };
        switch.handle(moment(now), input);
        drain(&mut switch, &mut drop);
    }
    end(&mut switch, now, &mut drop);
}

fn parts(bytes: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut rest) = (Vec::new(), bytes);
    while let Some(place) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..place]);
        rest = &rest[place + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}

fn seconds_of(part: &[u8]) -> Option<u64> {
    std::str::from_utf8(part).ok()?.strip_prefix('+')?.trim_end().parse::<u16>().ok().map(u64::from)
}

/// A minute on every transaction is over; and, if a call is still up, five hours on it is over too.
pub(crate) fn end(switch: &mut Switch, now: Duration, sent: &mut impl FnMut(Output)) {
    for seconds in [60, 5 * 3_600] {
        pass(switch, now + Duration::from_secs(seconds), sent);
        if switch.counters().calls_active == 0 {
            return;
        }
    }
    assert_eq!(switch.counters().calls_active, 0, "a call outlives its limit");
}

/// Lets time pass until `to`, each timer at its time.
pub(crate) fn pass(switch: &mut Switch, to: Duration, sent: &mut impl FnMut(Output)) {
    drain(switch, sent);
    while let Some((due, _)) = switch.poll_timeout().filter(|(due, _)| *due <= to) {
        switch.handle(moment(due), Input::Timeout);
        drain(switch, sent);
        assert!(switch.poll_timeout().is_none_or(|(next, _)| next >= due), "time stands still");
    }
}

pub(crate) fn drain(switch: &mut Switch, sent: &mut impl FnMut(Output)) {
    while let Some(output) = switch.poll_output() {
        if let Output::Transmit { bytes, .. } = &output {
            assert!(bytes.len() <= 2 * MESSAGE_BYTES_MAX, "a message grew on its way");
            assert!(Message::scan(bytes).is_ok(), "the switch sends what it could not read itself");
        }
        sent(output);
    }
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address of ours")
}

pub(crate) fn moment(mono: Duration) -> Moment {
    Moment { wall: DateTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000) + mono, mono }
}

/// A switch to which the exchange is a customer, and the carrier the way to everywhere.
pub(crate) fn fresh(now: Duration) -> Switch {
    let config = SwitchConfig { node: "sw1".into(), domain: "example.net".into(), ..SwitchConfig::default() };
    let mut switch = Switch::new(config, address(SWITCH), moment(now), 7);
    switch.handle(moment(now), Input::Directory(Arc::new(directory())));
    switch
}

fn directory() -> Directory {
    let timezone = chrono_tz::Europe::Vienna;
    let tenant = Tenant {
        id: TenantId(1),
        handle: "main".into(),
        contact: Contact::default(),
        currency: Currency::EUR,
        timezone,
    };
    let account = |id: i64, kind: AccountKind| Account {
        id: AccountId(id),
        tenant: TenantId(1),
        kind,
        handle: format!("account{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: Currency::EUR,
        timezone,
        contact: Contact::default(),
        vat_percent: 20.into(),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    };
    let trunk = |id: i64, place: &str, sources: Vec<String>| Trunk {
        id: TrunkId(id),
        tenant: TenantId(1),
        account: AccountId(id),
        name: format!("trunk{id}"),
        address: address(place),
        transport: Transport::Udp,
        sources,
        tech_prefix: String::new(),
        calls_max: None,
        enabled: true,
    };
    let route = Route {
        id: RouteId(1),
        tenant: TenantId(1),
        prefix: String::new(),
        trunk: TrunkId(2),
        priority: 1,
        weight: 1,
    };
    Directory {
        revision: 1,
        tenants: vec![tenant],
        accounts: vec![account(1, AccountKind::Customer), account(2, AccountKind::Carrier)],
        trunks: vec![trunk(1, EXCHANGE, vec!["203.0.113.1".into()]), trunk(2, CARRIER, Vec::new())],
        routes: vec![route],
        ..Directory::default()
    }
}
