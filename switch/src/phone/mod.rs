//! Test phones and gateways: user agents on the same message and transaction layers as the switch, without I/O.
//!
//! In: [`PhoneInput`]s. Out: datagrams, and a [`PhoneReport`] of every step. One [`Phones`] is any number of phones behind one
//! socket: customers' phones that register ([`PhoneLine`]) and call with digest, and carriers' gateways that call and answer
//! unregistered. How a called phone behaves is decided per call by a function. There is no media: descriptions are exchanged,
//! packets are not. [`crate::net::run_phones`] gives them a socket.

mod call;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use model::Moment;

use crate::dialog::Dialog;
use crate::digest::Challenge;
use crate::hop::{Addresses, Hop};
use crate::message::{HeaderName, Message, Method, StartLine, Writer, parse_number, text};
use crate::timer::{Timer, TimerKey, TimerQueue};
use crate::transaction::{Expired, Received, Reply, ServerId, Transactions};
use call::{Incoming, Outgoing};

const USER_AGENT: &str = "Tollbook-Phone";

/// A subscriber's phone: its account at the switch.
#[derive(Clone, PartialEq, Eq)]
pub struct PhoneLine {
    /// User part of its address of record, and its name in digest authentication.
    pub username: String,
    /// Host part, and the realm.
    pub domain: String,
    /// In clear text.
    pub password: String,
    /// The switch.
    pub server: SocketAddr,
}

impl std::fmt::Debug for PhoneLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PhoneLine")
            .field("domain", &self.domain)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// One call to be placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallPlan {
    /// Chosen by whoever plans; names the call in reports. Unique among the calls in progress.
    pub id: u64,
    /// Which of the lines calls; `None` calls as a gateway: without password, known by its address.
    pub line: Option<usize>,
    /// Where the INVITE goes.
    pub server: SocketAddr,
    /// User part of From.
    pub from: String,
    /// User part of the Request-URI: the number dialled.
    pub to: String,
    /// Hang up this long after the answer; `None` leaves that to the other side.
    pub talk: Option<Duration>,
    /// Give up if nobody has answered after this time.
    pub patience: Duration,
}

/// What phones are told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneCommand {
    /// Register a line for this long, and renew it in time; 0 takes the registration back.
    Register {
        /// Index among the lines.
        line: usize,
        /// For how long.
        seconds: u32,
    },
    /// Place a call.
    Call(CallPlan),
    /// Hang up, or give up, a call placed before.
    HangUp {
        /// [`CallPlan::id`].
        id: u64,
    },
}

/// A call that comes in, as the answering side sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingCall {
    /// User part of the Request-URI.
    pub to: String,
    /// User part of From.
    pub from: String,
    /// Where it came from.
    pub source: SocketAddr,
}

/// How a called phone or gateway behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings, answers, and perhaps hangs up first.
    Answer {
        /// Rings so long.
        ring: Duration,
        /// Hangs up this long after answering; `None` leaves that to the caller.
        talk: Option<Duration>,
    },
    /// Refuses: 486 is busy, 603 declines, 503 is a full gateway.
    Refuse {
        /// Rings so long before; zero does not ring.
        ring: Duration,
        /// With this code.
        code: u16,
    },
    /// Rings for ever.
    Ring,
    /// Does not say a word, like a gateway that is down.
    Silent,
}

/// Decides how a called phone behaves.
pub type Answering = Arc<dyn Fn(&IncomingCall) -> Behaviour + Send + Sync>;

/// What happened outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneInput {
    /// A datagram came in.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// The time that [`Phones::poll_timeout`] named has come.
    Timeout,
    /// Somebody wants something done.
    Command(PhoneCommand),
}

/// What phones want done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneOutput {
    /// Send a datagram.
    Transmit {
        /// Where to.
        to: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something happened.
    Report(PhoneReport),
}

/// Whom a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PhoneSubject {
    /// A line, by its index.
    Line(usize),
    /// A call placed, by its [`CallPlan::id`].
    Outgoing(u64),
    /// A call taken, counted from 1.
    Incoming(u64),
}

/// One step of a registration or call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhoneReport {
    /// When.
    pub at: Moment,
    /// Of whom.
    pub subject: PhoneSubject,
    /// What.
    pub step: PhoneStep,
}

/// What happened to a registration or call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhoneStep {
    /// The registration is good for so long.
    Registered {
        /// Granted.
        seconds: u32,
    },
    /// The registration was refused; 408 when nothing came back.
    RegisterFailed {
        /// SIP code.
        code: u16,
        /// Its phrase.
        phrase: String,
    },
    /// The INVITE went out.
    Dialled,
    /// The switch wants a password; it is being given.
    Challenged,
    /// 100.
    Trying,
    /// 18x.
    Ringing {
        /// 180, 183...
        code: u16,
    },
    /// 200, ours or theirs.
    Answered,
    /// We gave up; a final answer follows.
    Cancelled,
    /// A call comes in.
    Called {
        /// From whom, to whom.
        call: IncomingCall,
    },
    /// Over without an answer: final code of the other side, or ours; 408 when nothing came back.
    Refused {
        /// SIP code.
        code: u16,
        /// Its phrase.
        phrase: String,
    },
    /// Over after an answer.
    HungUp {
        /// By us, not by them.
        by_us: bool,
        /// From answer to end.
        talked: Duration,
    },
}

impl PhoneStep {
    /// Whether nothing more comes of this call.
    pub fn is_last(&self) -> bool {
        matches!(self, PhoneStep::Refused { .. } | PhoneStep::HungUp { .. })
    }
}

/// What a request of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Register(usize),
    Invite(u64),
    Nothing,
}

/// What a timer of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Renew(usize),
    OutgoingPatience(u64),
    OutgoingTalk(u64),
    IncomingRing(u64),
    IncomingTalk(u64),
}

#[derive(Debug)]
struct Registering {
    call_id: String,
    tag: String,
    cseq: u32,
    seconds: u32,
    has_answered_challenge: bool,
    renew: Option<TimerKey>,
}

/// Any number of phones behind one socket.
pub struct Phones {
    address: SocketAddr,
    now: Moment,
    lines: Vec<PhoneLine>,
    answering: Answering,
    transactions: Transactions<Purpose>,
    timers: TimerQueue<Due>,
    registering: HashMap<usize, Registering>,
    outgoing: HashMap<u64, Outgoing>,
    incoming: HashMap<u64, Incoming>,
    incoming_of_server: HashMap<ServerId, u64>,
    n_incoming: u64,
    reports: VecDeque<PhoneReport>,
}

impl std::fmt::Debug for Phones {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Phones")
            .field("address", &self.address)
            .field("n_lines", &self.lines.len())
            .field("n_outgoing", &self.outgoing.len())
            .field("n_incoming", &self.incoming.len())
            .finish_non_exhaustive()
    }
}

impl Phones {
    /// Phones that are reached at `address`.
    pub fn new(
        address: SocketAddr,
        lines: Vec<PhoneLine>,
        answering: Answering,
        now: Moment,
        seed: u64,
    ) -> Self {
        Self {
            address,
            now,
            lines,
            answering,
            transactions: Transactions::new(seed),
            timers: TimerQueue::default(),
            registering: HashMap::new(),
            outgoing: HashMap::new(),
            incoming: HashMap::new(),
            incoming_of_server: HashMap::new(),
            n_incoming: 0,
            reports: VecDeque::new(),
        }
    }

    /// Takes one input. Drain [`Self::poll_output`] before the next.
    pub fn handle(&mut self, now: Moment, input: PhoneInput) {
        match input {
            PhoneInput::Datagram { from, bytes } => self.receive(now, from, &bytes),
            PhoneInput::Timeout => self.expire(now),
            PhoneInput::Command(command) => {
                self.now = now;
                match command {
                    PhoneCommand::Register { line, seconds } => self.register(line, seconds),
                    PhoneCommand::Call(plan) => self.place(plan),
                    PhoneCommand::HangUp { id } => self.hang_up_outgoing(id),
                }
            }
        }
    }

    /// [`PhoneInput::Datagram`] without a copy.
    pub fn receive(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) {
        self.now = now;
        let Ok(message) = Message::scan(bytes) else { return };
        if message.check().is_err() {
            return;
        }
        let from = Hop::udp(from);
        match self.transactions.receive(now.mono, &message) {
            Received::Absorbed | Received::Stray | Received::Ack => {
                if message.method() == Some(Method::ACK) {
                    self.acked(&message);
                }
            }
            Received::Request => self.request(from, &message),
            Received::Response(client, purpose) => {
                let StartLine::Response { code, phrase } = message.start() else { return };
                if Transactions::<Purpose>::is_to_cancel(&message) {
                    return;
                }
                match purpose {
                    Purpose::Register(line) => self.register_answered(line, code, phrase, &message),
                    Purpose::Invite(id) => self.invite_answered(id, client, code, phrase, &message),
                    Purpose::Nothing => {}
                }
            }
        }
    }

    /// What to do next; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<PhoneOutput> {
        if let Some(report) = self.reports.pop_front() {
            return Some(PhoneOutput::Report(report));
        }
        let (Hop { address: to, .. }, bytes) = self.transactions.poll_transmit()?;
        Some(PhoneOutput::Transmit { to, bytes })
    }

    /// When [`PhoneInput::Timeout`] is due, as monotonic time, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, Timer)> {
        let own = self.timers.peek().map(|(at, _)| (at, Timer::Phone));
        match (own, self.transactions.poll_timeout()) {
            (Some(own), Some(theirs)) => Some(if theirs.0 < own.0 { theirs } else { own }),
            (own, theirs) => own.or(theirs),
        }
    }

    /// Calls in progress, both ways.
    pub fn n_calls(&self) -> usize {
        self.outgoing.len() + self.incoming.len()
    }

    fn expire(&mut self, now: Moment) {
        self.now = now;
        while let Some(expired) = self.transactions.expire(now.mono) {
            match expired {
                Some(Expired::NoResponse(Purpose::Register(line))) => {
                    let step = PhoneStep::RegisterFailed { code: 408, phrase: "Request Timeout".to_owned() };
                    self.report(PhoneSubject::Line(line), step);
                }
                Some(Expired::NoResponse(Purpose::Invite(id))) => {
                    self.outgoing_refused(id, 408, "Request Timeout")
                }
                // The phones send no provisional answer that has to be acknowledged.
                Some(Expired::NoResponse(Purpose::Nothing) | Expired::NeverPracked(_)) | None => {}
                Some(Expired::NoAck(server)) => self.ack_missing(server),
            }
        }
        while let Some(due) = self.timers.pop_due(now.mono) {
            match due {
                Due::Renew(line) => {
                    if let Some(seconds) = self.registering.get(&line).map(|registering| registering.seconds)
                    {
                        self.register(line, seconds);
                    }
                }
                Due::OutgoingPatience(id) | Due::OutgoingTalk(id) => self.hang_up_outgoing(id),
                Due::IncomingRing(id) => self.rung(id),
                Due::IncomingTalk(id) => self.hang_up_incoming(id),
            }
        }
    }

    fn report(&mut self, subject: PhoneSubject, step: PhoneStep) {
        self.reports.push_back(PhoneReport { at: self.now, subject, step });
    }

    fn request(&mut self, from: Hop, message: &Message<'_>) {
        let is_inside = message.to().is_some_and(|to| to.tag().is_some());
        match message.method() {
            Some(Method::INVITE) if !is_inside => self.ring(from, message),
            Some(Method::CANCEL) => self.cancelled(from, message),
            Some(Method::BYE) => self.bye(from, message),
            Some(Method::INVITE | Method::UPDATE) => {
                let server = self.transactions.open(message, from);
                let lines = self.session_lines();
                let sdp = self.sdp();
                let reply = Reply { lines: &lines, body: sdp.as_bytes(), ..Reply::plain(200, None) };
                self.transactions.respond(self.now.mono, server, reply);
            }
            Some(Method::OPTIONS | Method::INFO) => self.answer(from, message, 200),
            Some(_) | None => self.answer(from, message, 405),
        }
    }

    fn answer(&mut self, from: Hop, message: &Message<'_>, code: u16) {
        let server = self.transactions.open(message, from);
        let tag = format!("{:016x}", self.transactions.random());
        self.transactions.respond(self.now.mono, server, Reply::plain(code, Some(&tag)));
    }

    // Registration.

    fn register(&mut self, line: usize, seconds: u32) {
        if self.lines.get(line).is_none() {
            return;
        }
        let fresh = || Registering {
            call_id: String::new(),
            tag: String::new(),
            cseq: 0,
            seconds,
            has_answered_challenge: false,
            renew: None,
        };
        let mut registering = self.registering.remove(&line).unwrap_or_else(fresh);
        if registering.call_id.is_empty() {
            registering.call_id = format!("{:016x}@phone", self.transactions.random());
            registering.tag = format!("{:016x}", self.transactions.random());
        }
        self.timers.disarm(&mut registering.renew);
        registering.seconds = seconds;
        registering.has_answered_challenge = false;
        self.registering.insert(line, registering);
        self.send_register(line, None);
    }

    fn send_register(&mut self, line: usize, challenge: Option<(&Challenge, &str)>) {
        let Some(registering) = self.registering.get_mut(&line) else { return };
        let account = &self.lines[line];
        registering.cseq += 1;
        let branch = self.transactions.branch();
        let uri = format!("sip:{}", account.domain);
        let aor = format!("<sip:{}@{}>", account.username, account.domain);
        let contact = format!("<sip:{}@{}>;expires={}", account.username, self.address, registering.seconds);
        let mut writer = Writer::request(b"REGISTER", uri.as_bytes())
            .header("Via", branch.via(Addresses::at(self.address), Hop::udp(self.address)))
            .header("Max-Forwards", "70")
            .header("From", format!("{aor};tag={}", registering.tag))
            .header("To", &aor)
            .header("Call-ID", &registering.call_id)
            .header("CSeq", format!("{} REGISTER", registering.cseq))
            .header("Contact", contact)
            .header("User-Agent", USER_AGENT);
        if let Some((challenge, header)) = challenge {
            registering.has_answered_challenge = true;
            let cnonce = self.transactions.random();
            let answer = challenge.answer(&account.username, &account.password, b"REGISTER", &uri, cnonce);
            writer = writer.header(header, answer);
        }
        let server = account.server;
        self.transactions.send(
            self.now.mono,
            branch,
            Hop::udp(server),
            writer.finish(&[]),
            Purpose::Register(line),
        );
    }

    fn register_answered(&mut self, line: usize, code: u16, phrase: &[u8], message: &Message<'_>) {
        let Some(registering) = self.registering.get_mut(&line) else { return };
        match code {
            100..=199 => {}
            200..=299 => {
                let own = format!("@{}", self.address);
                let granted = message.list(HeaderName::Contact).filter_map(crate::message::NameAddr::parse);
                let granted =
                    granted.filter(|contact| memchr::memmem::find(contact.uri, own.as_bytes()).is_some());
                let granted = granted
                    .filter_map(|contact| contact.params.value("expires").and_then(parse_number))
                    .max();
                let seconds = granted.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(0);
                if registering.seconds > 0 && seconds > 0 {
                    let renew_at = self.now.mono + Duration::from_secs(u64::from(seconds) * 4 / 5);
                    registering.renew = Some(self.timers.arm(renew_at, Due::Renew(line)));
                }
                self.report(PhoneSubject::Line(line), PhoneStep::Registered { seconds });
            }
            401 | 407 if !registering.has_answered_challenge => {
                let (asked, header) = challenge_headers(code);
                match Challenge::choose(message.values(asked)) {
                    Some(challenge) => self.send_register(line, Some((&challenge, header))),
                    None => self.register_failed(line, code, phrase),
                }
            }
            _ => self.register_failed(line, code, phrase),
        }
    }

    fn register_failed(&mut self, line: usize, code: u16, phrase: &[u8]) {
        self.report(PhoneSubject::Line(line), PhoneStep::RegisterFailed { code, phrase: text(phrase) });
    }

    // Shared by both directions of calls.

    fn session_lines(&self) -> Vec<u8> {
        Writer::lines_only()
            .header("Contact", format!("<sip:{}>", self.address))
            .header("User-Agent", USER_AGENT)
            .header("Content-Type", "application/sdp")
            .into_lines()
    }

    /// A description with one audio codec. The port is the discard port: there is no media.
    fn sdp(&self) -> String {
        let (ip, family) = (self.address.ip(), if self.address.is_ipv4() { "IP4" } else { "IP6" });
        format!(
            "v=0\r\no=- 1 1 IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\nm=audio 9 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
        )
    }

    fn send_bye(&mut self, dialog: &mut Dialog) {
        let branch = self.transactions.branch();
        let bye = dialog
            .request(b"BYE", None, branch, Addresses::at(self.address))
            .header("User-Agent", USER_AGENT)
            .finish(&[]);
        self.transactions.send(self.now.mono, branch, dialog.peer, bye, Purpose::Nothing);
    }
}

/// Which header asks, and which one answers.
fn challenge_headers(code: u16) -> (HeaderName, &'static str) {
    if code == 401 {
        (HeaderName::WwwAuthenticate, "Authorization")
    } else {
        (HeaderName::ProxyAuthenticate, "Proxy-Authorization")
    }
}
