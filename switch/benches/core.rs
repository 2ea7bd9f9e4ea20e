//! What reading a message and carrying a call cost, without sockets. `cargo bench -p switch` prints the figures: CPU time of this thread as Linux
//! counts it, so that neighbours on a shared machine disturb less, and of several rounds the best.

#![expect(clippy::print_stdout, reason = "a benchmark prints")]
#![expect(clippy::unwrap_used, reason = "a benchmark that fails should say where")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use model::{
    Account, AccountId, AccountKind, AccountStatus, Contact, Directory, FraudPolicy, Moment, Route, RouteId,
    Tenant, TenantId, Transport, Trunk, TrunkId,
};
use switch::{Hop, Input, Message, Output, Switch, SwitchConfig};

const ROUNDS: usize = 12;
const SDP: &str = "v=0\r\no=alice 2890844526 2890844526 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 6000 RTP/AVP 0 8 101\r\n\
    a=rtpmap:0 PCMU/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=sendrecv\r\n";

fn main() {
    let invite = request("INVITE", 1, "<sip:49301234@192.0.2.1>", 7, SDP);
    let ok = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK0123456789abcdef;rport\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:b@c>;tag=2\r\nCall-ID: 0123456789abcdef@sw1\r\nCSeq: 2 BYE\r\nContent-Length: 0\r\n\r\n";
    report("scan an INVITE", invite.len(), || drop(black_box(Message::scan(black_box(invite.as_bytes())))));
    report("scan and check an INVITE", invite.len(), || {
        let message = Message::scan(black_box(invite.as_bytes())).unwrap();
        black_box(message.check().is_ok());
    });
    report("scan a 200", ok.len(), || drop(black_box(Message::scan(black_box(ok.as_bytes())))));
    calls();
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn report(what: &str, n_bytes: usize, mut work: impl FnMut()) {
    const TIMES: u32 = 20_000;
    let best = (0..ROUNDS).map(|_| {
        let began = cpu_time();
        (0..TIMES).for_each(|_| work());
        (cpu_time() - began) / TIMES
    });
    println!("{what:<32} {:>8} ns  {n_bytes} bytes", best.min().unwrap().as_nanos());
}

/// Whole calls: INVITE 100 180 200 ACK BYE 200, six messages in and seven out, four events and more.
fn calls() {
    const TIMES: u32 = 5_000;
    let mut best = Duration::MAX;
    let mut n_events = 0;
    for _ in 0..ROUNDS {
        let mut bench = Bench::new();
        let began = cpu_time();
        for n in 0..TIMES {
            bench.call(n);
        }
        best = best.min((cpu_time() - began) / TIMES);
        n_events = bench.n_events / TIMES;
    }
    println!("{:<32} {:>8} ns  {n_events} events", "carry a call (core alone)", best.as_nanos());
}

struct Bench {
    switch: Switch,
    mono: Duration,
    n_events: u32,
}

fn customer() -> Hop {
    Hop::udp("192.0.2.7:5060".parse().unwrap())
}

fn gateway() -> Hop {
    Hop::udp("192.0.2.8:5060".parse().unwrap())
}

impl Bench {
    fn new() -> Self {
        let now = Moment { wall: chrono::DateTime::UNIX_EPOCH, mono: Duration::ZERO };
        let mut switch = Switch::new(SwitchConfig::default(), "192.0.2.1:5060".parse().unwrap(), now, 1);
        switch.handle(now, Input::Directory(Arc::new(directory())));
        Self { switch, mono: Duration::ZERO, n_events: 0 }
    }

    /// Hands a message in; what goes out, by where.
    fn tell(&mut self, from: Hop, text: &str) -> Vec<(Hop, Vec<u8>)> {
        self.mono += Duration::from_micros(20);
        let now = Moment { wall: chrono::DateTime::UNIX_EPOCH, mono: self.mono };
        // As the shell does: what is due is done first.
        if self.switch.poll_timeout().is_some_and(|(at, _)| at <= self.mono) {
            self.switch.handle(now, Input::Timeout);
        }
        self.switch.receive(now, from, text.as_bytes());
        let mut sent = Vec::new();
        while let Some(output) = self.switch.poll_output() {
            match output {
                Output::Transmit { to, bytes } => sent.push((to, bytes)),
                Output::Event(_) => self.n_events += 1,
                Output::Credit(_) | Output::Resolve(_) => {}
            }
        }
        sent
    }

    fn call(&mut self, n: u32) {
        let sent = self.tell(customer(), &request("INVITE", 1, "<sip:49301234@192.0.2.1>", n, SDP));
        let out = to(&sent, gateway(), b"INVITE").unwrap();
        self.tell(gateway(), &answer(&out, "180 Ringing", ""));
        let sent = self.tell(gateway(), &answer(&out, "200 OK", SDP));
        let ok = to(&sent, customer(), b"SIP/2.0 200").unwrap();
        let to_header = ok.lines().find_map(|line| line.strip_prefix("To: ")).unwrap().to_owned();
        self.tell(customer(), &request("ACK", 1, &to_header, n, ""));
        let sent = self.tell(customer(), &request("BYE", 2, &to_header, n, ""));
        let bye = to(&sent, gateway(), b"BYE").unwrap();
        self.tell(gateway(), &answer(&bye, "200 OK", ""));
    }
}

fn to(sent: &[(Hop, Vec<u8>)], hop: Hop, start: &[u8]) -> Option<String> {
    let found = sent.iter().find(|(to, bytes)| *to == hop && bytes.starts_with(start))?;
    Some(String::from_utf8_lossy(&found.1).into_owned())
}

fn request(method: &str, cseq: u32, to: &str, n: u32, body: &str) -> String {
    format!(
        "{method} sip:49301234@192.0.2.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.7:5060;rport;branch=z9hG4bK{method}{n}\r\n\
         Max-Forwards: 70\r\nFrom: \"Alice\" <sip:4930{n}@192.0.2.7:5060>;tag=t{n}\r\nTo: {to}\r\nCall-ID: {n}-call@192.0.2.7\r\n\
         CSeq: {cseq} {method}\r\nContact: <sip:alice@192.0.2.7:5060>\r\nUser-Agent: bench\r\nAllow: INVITE, ACK, BYE\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn answer(request: &str, status: &str, body: &str) -> String {
    let kept = ["Via:", "From:", "Call-ID:", "CSeq:"];
    let mut out = format!("SIP/2.0 {status}\r\n");
    for line in request.lines().take_while(|line| !line.is_empty()) {
        if kept.iter().any(|name| line.starts_with(name)) {
            out.push_str(line);
            out.push_str("\r\n");
        } else if line.starts_with("To:") {
            out.push_str(line);
            out.push_str(if line.contains(";tag=") { "\r\n" } else { ";tag=g\r\n" });
        }
    }
    let length = body.len();
    format!(
        "{out}Contact: <sip:g@192.0.2.8:5060>\r\nContent-Type: application/sdp\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}

fn directory() -> Directory {
    let tenant = TenantId(1);
    let account = |id: i64, kind: AccountKind| Account {
        id: AccountId(id),
        tenant,
        kind,
        handle: format!("account{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: model::Currency::EUR,
        timezone: chrono_tz::UTC,
        contact: Contact::default(),
        vat_percent: 0.into(),
        calls_max: Some(1_000_000),
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    };
    let trunk = |id: i64, address: &str| Trunk {
        id: TrunkId(id),
        tenant,
        account: AccountId(id),
        name: format!("trunk{id}"),
        address: address.parse().unwrap(),
        transport: Transport::Udp,
        sources: Vec::new(),
        tech_prefix: String::new(),
        calls_max: None,
        enabled: true,
    };
    Directory {
        revision: 1,
        tenants: vec![Tenant {
            id: tenant,
            handle: "main".to_owned(),
            contact: Contact::default(),
            currency: model::Currency::EUR,
            timezone: chrono_tz::UTC,
        }],
        accounts: vec![account(1, AccountKind::Customer), account(2, AccountKind::Carrier)],
        trunks: vec![trunk(1, "192.0.2.7:5060"), trunk(2, "192.0.2.8:5060")],
        routes: vec![Route {
            id: RouteId(1),
            tenant,
            prefix: String::new(),
            trunk: TrunkId(2),
            priority: 1,
            weight: 1,
        }],
        ..Directory::default()
    }
}
