//! Trunks that are known by name: what the DNS says of them, in which order their servers are tried, and what happens without it.

use std::net::SocketAddr;
use std::sync::Arc;

use model::{CallingRules, Directory, EventBody, HostPort, Transport, TrunkCalling, TrunkId};

use super::world::{ALICE, GATEWAY_2, SWITCH, World, address, directory, header_of};
use crate::{Input, NameAnswer, NamedServer, SwitchConfig};

const HOST: &str = "sip.carrier.example";
const FIRST: &str = "203.0.113.71:5062";
const SECOND: &str = "203.0.113.72:5062";
const FALLBACK: &str = "203.0.113.79:5060";

fn by_name() -> TrunkCalling {
    TrunkCalling { host: Some(HOST.parse().unwrap()), ..TrunkCalling::default() }
}

fn rows(rules: TrunkCalling) -> Directory {
    let calling = CallingRules { trunks: [(TrunkId(1), rules)].into(), ..CallingRules::default() };
    let mut rows = Directory { calling, ..directory() };
    rows.trunks[0].address = address(FALLBACK);
    rows
}

/// Trunk 1 is known by name; trunk 2 is the gateway of the tests.
fn world(rules: TrunkCalling) -> World {
    World::with(SwitchConfig::default(), rows(rules))
}

fn server(priority: u16, at: &str) -> NamedServer {
    let addresses = vec![at.parse::<SocketAddr>().unwrap()];
    NamedServer { rank: 0, priority, weight: 1, transport: Transport::Udp, addresses }
}

impl World {
    fn dns_says(&mut self, servers: Option<Vec<NamedServer>>, seconds: u32) {
        let question = self.names_asked.last().expect("a name was asked for").clone();
        self.input(Input::Resolved(NameAnswer { question, servers, seconds }));
    }

    /// Whether an INVITE went there, since it was last asked.
    fn invited(&mut self, place: &str) -> bool {
        let is_there = self.last_to(place, "INVITE").is_some();
        self.raw.retain(|(to, _)| *to != address(place));
        is_there
    }
}

fn with_both() -> World {
    let mut world = world(by_name());
    world.settle();
    world.dns_says(Some(vec![server(20, SECOND), server(10, FIRST)]), 300);
    world
}

#[test]
fn server_that_stays_silent_is_followed_by_the_next_of_its_trunk_and_tried_last_for_a_minute() {
    let mut world = with_both();
    world.dial(ALICE, "49301234", 5);
    let invite = world.last_to(FIRST, "INVITE").expect("the best server first");
    assert!(invite.starts_with(&format!("INVITE sip:49301234@{HOST} SIP/2.0\r\n")), "{invite}");
    assert_eq!(header_of(&invite, "To"), format!("<sip:49301234@{HOST}>"));
    assert!(world.last_to(SECOND, "INVITE").is_none());
    world.run_seconds(5);
    let invite = world.last_to(SECOND, "INVITE").expect("the next server of the same trunk");
    world.answer_from(SECOND, &invite, "486 Busy Here", "", "");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 0, "the carrier has spoken");
    let tried: Vec<SocketAddr> = world
        .events
        .iter()
        .filter_map(|event| match &event.body {
            EventBody::RouteAttempt(attempt) => Some(attempt.next_hop),
            _ => None,
        })
        .collect();
    assert_eq!(tried, [address(FIRST), address(SECOND)]);
    world.raw.clear();
    world.dial(ALICE, "49301235", 5);
    assert!(world.invited(SECOND) && !world.invited(FIRST), "not the silent one again at once");
    world.run_seconds(70);
    world.raw.clear();
    world.dial(ALICE, "49301236", 5);
    assert!(world.invited(FIRST), "a minute later it has its place again");
}

#[test]
fn overloaded_server_is_followed_by_the_next_and_a_refusal_by_the_next_trunk() {
    let mut world = with_both();
    world.dial(ALICE, "49301234", 5);
    let invite = world.last_to(FIRST, "INVITE").unwrap();
    world.answer_from(FIRST, &invite, "503 Service Unavailable", "", "");
    let invite = world.last_to(SECOND, "INVITE").expect("503 is of this server alone");
    world.answer_from(SECOND, &invite, "503 Service Unavailable", "", "");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);

    let mut world = with_both();
    world.dial(ALICE, "49301234", 5);
    let invite = world.last_to(FIRST, "INVITE").unwrap();
    world.answer_from(FIRST, &invite, "488 Not Acceptable Here", "", "");
    assert!(!world.invited(SECOND), "what it does not take, its other server does not take");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 1);
}

#[test]
fn trunk_that_stops_at_503_is_still_tried_at_its_other_server() {
    let rules = TrunkCalling { failover: [(503, model::RouteAction::Stop)].into(), ..by_name() };
    let mut world = world(rules);
    world.settle();
    world.dns_says(Some(vec![server(20, SECOND), server(10, FIRST)]), 300);
    world.dial(ALICE, "49301234", 5);
    let invite = world.last_to(FIRST, "INVITE").unwrap();
    world.answer_from(FIRST, &invite, "503 Service Unavailable", "", "");
    let invite = world.last_to(SECOND, "INVITE").unwrap();
    world.answer_from(SECOND, &invite, "503 Service Unavailable", "", "");
    assert_eq!(world.count(SWITCH, GATEWAY_2, "INVITE"), 0);
    world.assert_idle();
}

#[test]
fn without_the_dns_the_address_is_used_and_what_was_known_stays() {
    let mut world = world(by_name());
    world.dial(ALICE, "49301234", 5);
    assert!(world.invited(FALLBACK), "no call waits for the DNS");
    world.dns_says(Some(vec![server(10, FIRST)]), 300);
    world.dial(ALICE, "49301235", 5);
    assert!(world.invited(FIRST) && !world.invited(FALLBACK));
    // Nobody can be asked: the servers of before.
    world.dns_says(None, 30);
    world.dial(ALICE, "49301236", 5);
    assert!(world.invited(FIRST));
    // The name is gone.
    world.dns_says(Some(Vec::new()), 30);
    world.dial(ALICE, "49301237", 5);
    assert!(world.invited(FALLBACK) && !world.invited(FIRST));
}

#[test]
fn name_is_asked_for_once_and_again_when_the_answer_is_old() {
    let mut world = with_both();
    assert_eq!(world.names_asked.len(), 1);
    assert_eq!((world.names_asked[0].host.as_str(), world.names_asked[0].port), (HOST, None));
    world.input(Input::Directory(Arc::new(rows(by_name()))));
    world.run_seconds(299);
    assert_eq!(world.names_asked.len(), 1, "other provisioning changes nothing");
    world.run_seconds(2);
    assert_eq!(world.names_asked.len(), 2);
    // Two trunks of one name ask once; a name that nobody uses is forgotten.
    let mut both = rows(by_name());
    both.calling.trunks.insert(TrunkId(2), by_name());
    world.input(Input::Directory(Arc::new(both)));
    assert_eq!(world.names_asked.len(), 2);
    world.input(Input::Directory(Arc::new(directory())));
    world.dns_says(Some(vec![server(10, FIRST)]), 5);
    world.run_seconds(60);
    assert_eq!(world.names_asked.len(), 2);
    // A life of nothing is five seconds: nobody is asked in a circle.
    world.input(Input::Directory(Arc::new(rows(by_name()))));
    world.dns_says(Some(vec![server(10, FIRST)]), 0);
    world.run_seconds(4);
    assert_eq!(world.names_asked.len(), 3);
    world.run_seconds(2);
    assert_eq!(world.names_asked.len(), 4);
}

#[test]
fn call_from_any_server_of_a_name_is_the_trunks_call() {
    let mut world = with_both();
    let invite = |n: u32, place: &str| {
        format!(
            "INVITE sip:43111@example.net SIP/2.0\r\nVia: SIP/2.0/UDP {place};branch=z9hG4bK{n};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:4930999@x>;tag=f\r\nTo: <sip:43111@x>\r\nCall-ID: in{n}\r\n\
             CSeq: 1 INVITE\r\nContact: <sip:x@{place}>\r\nContent-Length: 0\r\n\r\n"
        )
    };
    let answer = |world: &mut World, n, place| {
        world.raw.clear();
        world.inject(place, invite(n, place));
        let last = world.raw.last().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
        last.map(|text| text[8..11].to_owned()).unwrap_or_default()
    };
    // Alice has not registered.
    assert_eq!(answer(&mut world, 1, SECOND), "480", "{}", world.story());
    assert_eq!(answer(&mut world, 2, "203.0.113.73:5062"), "407", "a stranger");
    world.dns_says(Some(vec![server(10, FIRST)]), 300);
    assert_eq!(answer(&mut world, 3, SECOND), "407", "no longer one of them");
}

#[test]
fn proxy_whose_name_cannot_be_found_is_not_gone_round() {
    let rules =
        TrunkCalling { outbound_proxy: Some("proxy.carrier.example:5080".parse().unwrap()), ..by_name() };
    let mut rows = rows(rules);
    rows.routes.truncate(1);
    let mut world = World::with(SwitchConfig::default(), rows);
    world.settle();
    assert_eq!(world.names_asked.last().unwrap().port, Some(5080));
    world.dial(ALICE, "49301234", 5);
    assert!(!world.invited(FALLBACK));
    assert!(world.story().contains("rejected 503"), "{}", world.story());
    world.dns_says(Some(vec![server(0, FIRST)]), 300);
    world.dial(ALICE, "49301235", 5);
    let invite = world.last_to(FIRST, "INVITE").unwrap();
    assert!(invite.starts_with(&format!("INVITE sip:49301235@{HOST} ")), "{invite}");
}

#[test]
fn dns_chooses_the_transport_among_ours_and_never_away_from_tls() {
    let asked = |transport, rules: TrunkCalling| {
        let mut rows = rows(rules);
        rows.trunks[0].transport = transport;
        let mut world = World::with(SwitchConfig::default(), rows);
        world.settle();
        world.names_asked[0].by_naptr.clone()
    };
    assert_eq!(asked(Transport::Udp, by_name()), []);
    let naptr = || TrunkCalling { naptr: true, ..by_name() };
    assert_eq!(asked(Transport::Udp, naptr()), [Transport::Udp, Transport::Tcp], "TLS is not configured");
    assert_eq!(asked(Transport::Tls, naptr()), [Transport::Tls]);
}

#[test]
fn registration_moves_to_the_next_server_when_the_first_is_silent() {
    let login = model::TrunkLogin { username: "us".into(), password: "our-secret".into(), realm: None };
    let rules = TrunkCalling { login: Some(login), register: true, ..by_name() };
    let mut world = world(rules);
    world.settle();
    world.dns_says(Some(vec![server(20, SECOND), server(10, FIRST)]), 3_600);
    world.run_seconds(1);
    let request =
        world.last_to(FIRST, "REGISTER").unwrap_or_else(|| world.last_to(FALLBACK, "REGISTER").unwrap());
    assert!(request.starts_with(&format!("REGISTER sip:{HOST} ")), "{request}");
    world.run_seconds(120);
    assert!(world.last_to(SECOND, "REGISTER").is_some());
}

#[test]
fn server_of_a_family_that_we_do_not_serve_is_left_out() {
    let mut world = world(by_name());
    world.settle();
    world.dns_says(Some(vec![server(10, "[2001:db8::71]:5060"), server(20, SECOND)]), 300);
    world.dial(ALICE, "49301234", 5);
    assert!(world.invited(SECOND), "at once, not after four seconds");
    assert_eq!(HOST.parse::<HostPort>().unwrap().name(), Some(HOST));
}

/// The code that an INVITE from there is answered with.
fn code_from(world: &mut World, n: u32, from: crate::Hop) -> String {
    let place = from.address;
    let invite = format!(
        "INVITE sip:43111@example.net SIP/2.0\r\nVia: SIP/2.0/{} {place};branch=z9hG4bKc{n};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:4930999@x>;tag=f\r\nTo: <sip:43111@x>\r\nCall-ID: code{n}\r\n\
         CSeq: 1 INVITE\r\nContact: <sip:x@{place}>\r\nContent-Length: 0\r\n\r\n",
        from.transport.to_string().to_uppercase()
    );
    world.raw.clear();
    world.input(Input::Message { from, bytes: invite.into_bytes() });
    let last = world.raw.last().map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned());
    last.map(|text| text[8..11].to_owned()).unwrap_or_default()
}

#[test]
fn dns_of_one_carrier_says_nothing_of_another_carriers_addresses() {
    let mut rows = rows(by_name());
    rows.trunks[1].address = address("203.0.113.90:5060");
    rows.trunks[1].sources = vec!["203.0.113.96/28".into()];
    // The second one has a number of its own by which trunks at one address are told apart.
    let mut world = World::with(SwitchConfig::default(), rows);
    world.settle();
    for (n, place) in [(1, "203.0.113.90:5060"), (2, "203.0.113.97:5060")] {
        world.dns_says(Some(vec![server(10, place)]), 300);
        let from = crate::Hop::udp(address(place));
        let trunk = |world: &World| {
            let hops = world.events.iter().rev();
            hops.filter_map(|event| match &event.body {
                EventBody::Attempt(attempt) => Some(format!("{:?}", attempt.caller)),
                _ => None,
            })
            .next()
            .unwrap_or_default()
        };
        assert_eq!(code_from(&mut world, n, from), "480");
        assert!(trunk(&world).contains("TrunkId(2)"), "{}", trunk(&world));
    }
}

#[test]
fn address_that_no_trunk_can_have_is_left_out() {
    let mut world = world(by_name());
    world.settle();
    let odd = ["0.0.0.0:5060", "127.0.0.1:5060", "224.0.0.1:5060", SWITCH].map(|place| server(10, place));
    world.dns_says(Some([&odd[..], &[server(20, SECOND)]].concat()), 300);
    world.dial(ALICE, "49301234", 5);
    assert!(world.invited(SECOND), "at once");
    assert_eq!(code_from(&mut world, 1, crate::Hop::udp(address("127.0.0.1:5060"))), "407");
}

#[test]
fn trunk_by_tls_is_known_by_tls_alone() {
    let mut rows = rows(TrunkCalling::default());
    rows.trunks[0].transport = Transport::Tls;
    rows.trunks[0].sources = vec!["203.0.113.64/27".into()];
    let mut world = World::with(SwitchConfig::default(), rows);
    for (n, place) in [(0, FALLBACK), (10, FIRST)] {
        let hop = |transport| crate::Hop { transport, address: address(place) };
        assert_eq!(code_from(&mut world, n, hop(Transport::Udp)), "407");
        assert_eq!(code_from(&mut world, n + 1, hop(Transport::Tcp)), "407");
        assert_eq!(code_from(&mut world, n + 2, hop(Transport::Tls)), "480");
    }
}

#[test]
fn connection_that_is_closed_in_peace_makes_no_server_silent() {
    let tcp = |servers: &[(u16, &str)]| -> Vec<NamedServer> {
        let of =
            |(priority, at): &(u16, &str)| NamedServer { transport: Transport::Tcp, ..server(*priority, at) };
        servers.iter().map(of).collect()
    };
    let mut world = world(by_name());
    world.settle();
    world.dns_says(Some(tcp(&[(10, FIRST), (20, SECOND)])), 300);
    let hop = crate::Hop { transport: Transport::Tcp, address: address(FIRST) };
    world.input(Input::Unreachable(hop));
    world.dial(ALICE, "49301234", 5);
    assert!(world.invited(FIRST), "nobody waited for anything there");
    world.input(Input::Unreachable(hop));
    assert!(world.invited(SECOND), "now a call did");
    world.dial(ALICE, "49301235", 5);
    assert!(!world.invited(FIRST));
}
