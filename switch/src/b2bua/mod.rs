//! The switch proper: a back-to-back user agent with registrar, trunks and routing. No socket, no thread, no clock.
//!
//! In: [`Input`]s. Out: [`Output`]s, to be drained before the next input, and the time of the next timer. One incoming call
//! is one [`call::Call`] with two legs that have nothing in common but what is copied on purpose. Attempts and refusals are in
//! `setup`, answers of routes in `outgoing`, everything after the answer in `inside`, ends of all kinds in `ending`.

mod advice;
mod bans;
mod barrings;
mod call;
mod classify;
mod credit;
mod destination;
mod ending;
mod explain;
mod forward;
mod gates;
mod guard;
mod identify;
mod inside;
mod keep_alive;
mod limits;
mod login;
mod lookup;
mod names;
mod outgoing;
mod party_rules;
mod provisional;
mod registrar;
mod sessions;
mod setup;
mod trunks;

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use model::{
    AccountId, CallEvent, CallUid, Control, Directory, EventBody, Moment, NodeStarted, SecurityKind,
    TenantId, TrunkId,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rustc_hash::FxHashMap;

use crate::ascii;
use crate::config::SwitchConfig;
use crate::credit::{CreditAnswer, CreditQuestion};
use crate::digest::Challenger;
use crate::hop::{Addresses, Hop};
use crate::message::{HeaderName, Message, Method, Scheme, StartLine, Unreadable, Uri};
use crate::names::{NameAnswer, NameQuestion};
use crate::screen::Screen;
use crate::timer::{Timer, TimerQueue};
use crate::transaction::{Expired, Received, Reply, ServerId, Transactions};
use bans::Bans;
use barrings::Barrings;
use call::{CallRef, CallTable, Side};
pub use explain::{PlannedAttempt, PlannedRefusal, RouteFrom, RoutePlan};
use gates::Loops;
use guard::Guard;
use keep_alive::KeepAlives;
use limits::Limits;
use lookup::Lookup;
pub(crate) use lookup::Network;
pub use lookup::Tables;
use names::Names;
use registrar::Registrar;
use trunks::TrunkTable;

/// Methods the switch serves.
const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, REGISTER, INFO, UPDATE, PRACK";

/// What happened outside.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram came in.
    Datagram {
        /// From where.
        from: SocketAddr,
        /// What.
        bytes: Vec<u8>,
    },
    /// A whole message came in by a stream.
    Message {
        /// The far end of the connection.
        from: Hop,
        /// What.
        bytes: Vec<u8>,
    },
    /// Nothing can be sent there: no connection can be made, or it broke.
    Unreachable(Hop),
    /// The time that [`Switch::poll_timeout`] named has come.
    Timeout,
    /// A new provisioning snapshot, read just now, in force for the next message.
    Directory(Arc<Directory>),
    /// The same, where reading it and making its tables takes time that calls are not to wait for.
    Tables {
        /// Of the snapshot.
        tables: Arc<Tables>,
        /// When it began to be read, on the monotonic clock: what the control topic said since then is not in it.
        read_at: Duration,
    },
    /// From the control topic: locks and kills, in force for the next message.
    Control(Control),
    /// What is asked at each INVITE from now on; `None` lets every number pass.
    Screen(Option<Arc<dyn Screen>>),
    /// Whether events can be made durable. While they cannot, new calls and registrations are refused with 503.
    EventLog(EventLog),
    /// Take no new calls (`true`), or take them again. Calls in progress go on.
    Drain(bool),
    /// Hang up the calls that an account pays for, those for help too: a person wants it so.
    EndCallsOf {
        /// Who pays.
        account: AccountId,
    },
    /// Hang up every call that is up: the process is about to end.
    EndAll,
    /// From the charging service.
    Credit(CreditAnswer),
    /// From the DNS.
    Resolved(NameAnswer),
}

/// State of the log that the events go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventLog {
    /// Events find their way.
    Writable,
    /// The disk is full or broken, or the writer is too far behind.
    Unwritable,
}

/// What the switch wants done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send a message.
    Transmit {
        /// Where to, and how; a stream over the connection that is up, else over a new one.
        to: Hop,
        /// What.
        bytes: Vec<u8>,
    },
    /// Make an event durable.
    Event(Box<CallEvent>),
    /// Ask the charging service, or tell it.
    Credit(Box<CreditQuestion>),
    /// Ask the DNS for the servers of a name; the answer comes as [`Input::Resolved`].
    Resolve(NameQuestion),
}

/// Figures for people. Those named `active` are of now; the others count up from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Calls in progress.
    pub calls_active: u64,
    /// Contacts registered.
    pub contacts_active: u64,
    /// INVITEs accepted for processing.
    pub calls: u64,
    /// Calls answered.
    pub calls_answered: u64,
    /// Of the accepted ones, refused by ourselves.
    pub calls_rejected: u64,
    /// INVITEs refused unseen with 503: full, draining, or the event log cannot be written.
    pub calls_shed: u64,
    /// REGISTERs granted.
    pub registrations: u64,
    /// Challenges sent.
    pub challenges: u64,
    /// Credentials that were wrong.
    pub auth_failed: u64,
    /// Datagrams that were no SIP, or broken SIP.
    pub malformed: u64,
    /// Datagrams received, and messages by streams.
    pub datagrams: u64,
    /// Requests dropped without an answer: of banned sources and scanners.
    pub dropped: u64,
    /// Sources shut out now.
    pub bans_active: u64,
    /// Calls let through although their balance could not be asked.
    pub calls_without_credit: u64,
}

/// What a request of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The INVITE of a call's current route.
    Route(CallRef),
    /// A request passed on inside a call.
    Relay(CallRef),
    /// Asks a side of a call whether it is still there.
    Alive(CallRef, Side),
    /// Asks a trunk whether it is there.
    Probe(TrunkId),
    /// Registers at a trunk.
    Outward(TrunkId),
    /// The INVITE of a route that was given up: a 2xx is acknowledged and hung up.
    Abandoned,
    /// Nothing hangs on its answer.
    Nothing,
}

/// What a timer of ours is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    Call(CallRef, Timer),
    Session(CallRef, Side),
    Trunk(TrunkId, Timer),
    Registration(model::SubscriberId),
    SecurityReport,
    Ban(std::net::IpAddr),
    Name(u32),
    KeepAlive(u64),
}

/// One SIP switch.
#[derive(Debug)]
pub struct Switch {
    config: SwitchConfig,
    /// What Via and Contact say.
    addresses: Addresses,
    boot: u64,
    now: Moment,
    rng: StdRng,
    transactions: Transactions<Purpose>,
    timers: TimerQueue<Due>,
    challenger: Challenger,
    lookup: Lookup,
    registrar: Registrar,
    calls: CallTable,
    /// Calls by the INVITE transactions we answer in, for CANCEL and missing ACKs.
    call_of_invite: FxHashMap<ServerId, CallRef>,
    limits: Limits,
    barrings: Barrings,
    screen: Option<Arc<dyn Screen>>,
    loops: Loops,
    trunks: TrunkTable,
    names: Names,
    keep_alives: KeepAlives,
    name_questions: VecDeque<NameQuestion>,
    bans: Bans,
    guard: Guard,
    event_log: EventLog,
    is_draining: bool,
    n_calls: u64,
    n_events: u64,
    events: VecDeque<CallEvent>,
    questions: VecDeque<CreditQuestion>,
    counters: Counters,
    tag_seed: u64,
}

/// The event that a switch process began. [`Switch::new`] emits it once; the shell repeats it for every partition, so that each
/// lane closes the calls that were open before.
pub fn node_started(node: &str, boot: u64, seq: u64, now: Moment, payer: AccountId) -> CallEvent {
    CallEvent {
        node: node.into(),
        boot,
        seq,
        at: now.wall,
        config_revision: 0,
        tenant: TenantId::default(),
        payer,
        call: None,
        leg: 0,
        body: EventBody::NodeStarted(NodeStarted { version: env!("CARGO_PKG_VERSION").to_owned() }),
    }
}

impl Switch {
    /// A switch that answers at `address`. It knows nobody until the first [`Input::Directory`]. Its first output is the event
    /// [`NodeStarted`]. Tags, branches and nonces are drawn from `seed`, which must not be guessable.
    pub fn new(config: SwitchConfig, address: SocketAddr, now: Moment, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let boot = u64::try_from(now.wall.timestamp_micros()).unwrap_or(0);
        let transactions = Transactions::new(rng.next_u64());
        let nonce_life = Duration::from_secs(config.nonce_seconds.into());
        let challenger = Challenger::new(secret, nonce_life, config.digest_algorithms.clone());
        let started = node_started(&config.node, boot, 1, now, AccountId::NOBODY);
        let mut addresses = Addresses::at(address);
        if let Some(tls) = &config.tls {
            addresses = addresses.with_tls_port(tls.listen.port());
        }
        Self {
            addresses,
            boot,
            now,
            transactions,
            timers: TimerQueue::default(),
            challenger,
            lookup: Lookup::default(),
            registrar: Registrar::default(),
            calls: CallTable::default(),
            call_of_invite: FxHashMap::default(),
            limits: Limits::default(),
            barrings: Barrings::default(),
            screen: None,
            loops: Loops::default(),
            trunks: TrunkTable::default(),
            names: Names::default(),
            keep_alives: KeepAlives::default(),
            name_questions: VecDeque::new(),
            bans: Bans::new(&config.never_banned, &config.scanners),
            guard: Guard::default(),
            event_log: EventLog::Writable,
            is_draining: false,
            n_calls: 0,
            n_events: 1,
            events: VecDeque::from([started]),
            questions: VecDeque::new(),
            counters: Counters::default(),
            tag_seed: rng.next_u64(),
            rng,
            config,
        }
    }

    /// Peers of the other family of addresses are told to answer to this one.
    pub fn also_at(&mut self, address: SocketAddr) {
        self.addresses = self.addresses.and_at(address);
        if let Some(tls) = &self.config.tls {
            self.addresses = self.addresses.with_tls_port(tls.listen.port());
        }
    }

    /// Takes one input. Drain [`Self::poll_output`] before the next.
    pub fn handle(&mut self, now: Moment, input: Input) {
        match input {
            Input::Datagram { from, bytes } => self.receive(now, Hop::udp(from), &bytes),
            Input::Message { from, bytes } => self.receive(now, from, &bytes),
            Input::Unreachable(hop) => {
                self.now = now;
                let failed = self.transactions.unreachable(now.mono, hop);
                // A connection that was closed while nobody waited says nothing of the server.
                if !failed.is_empty() {
                    self.note_silent(hop);
                }
                for purpose in failed {
                    self.no_response(purpose);
                }
            }
            Input::Timeout => self.expire(now),
            Input::Directory(directory) => {
                self.now = now;
                self.load(Arc::new(Tables::of(directory)), now.mono);
            }
            Input::Tables { tables, read_at } => {
                self.now = now;
                self.load(tables, read_at);
            }
            Input::Screen(screen) => self.screen = screen,
            Input::Control(control) => {
                self.now = now;
                self.control(control);
            }
            Input::EventLog(state) => {
                self.now = now;
                self.event_log = state;
            }
            Input::EndCallsOf { account } => {
                self.now = now;
                self.kill(|call| call.is_paid_by(account));
            }
            Input::EndAll => {
                self.now = now;
                self.kill(|_| true);
            }
            Input::Drain(is_draining) => {
                self.now = now;
                self.is_draining = is_draining;
            }
            Input::Credit(answer) => {
                self.now = now;
                self.credit_answered(answer);
            }
            Input::Resolved(answer) => {
                self.now = now;
                self.resolved(answer);
            }
        }
    }

    /// [`Input::Datagram`] and [`Input::Message`] without a copy.
    pub fn receive(&mut self, now: Moment, from: Hop, bytes: &[u8]) {
        self.now = now;
        self.counters.datagrams += 1;
        // A socket for both families names IPv4 peers in IPv6 form; trunks are provisioned in their own.
        let address = SocketAddr::new(from.address.ip().to_canonical(), from.address.port());
        let from = Hop { address, ..from };
        match Message::scan(bytes) {
            Ok(message) => self.receive_message(from, &message),
            Err(Unreadable::KeepAlive) => {}
            Err(unreadable) => self.note_malformed(from, &unreadable.to_string()),
        }
    }

    /// What to do next; `None` when all is done.
    pub fn poll_output(&mut self) -> Option<Output> {
        // Events first: they are on their way to the log before a peer is told; the log makes them durable some milliseconds later.
        if let Some(event) = self.events.pop_front() {
            return Some(Output::Event(Box::new(event)));
        }
        if let Some(question) = self.questions.pop_front() {
            return Some(Output::Credit(Box::new(question)));
        }
        if let Some(question) = self.name_questions.pop_front() {
            return Some(Output::Resolve(question));
        }
        let (to, bytes) = self.transactions.poll_transmit()?;
        Some(Output::Transmit { to, bytes })
    }

    /// When [`Input::Timeout`] is due, as monotonic time, and why.
    pub fn poll_timeout(&self) -> Option<(Duration, Timer)> {
        let own = self.timers.peek().map(|(at, due)| {
            let timer = match due {
                Due::Call(_, timer) | Due::Trunk(_, timer) => *timer,
                Due::Session(..) => Timer::SessionExpires,
                Due::Ban(_) => Timer::BanEnds,
                Due::Registration(_) => Timer::RegistrationExpired,
                Due::SecurityReport => Timer::SecurityReport,
                Due::Name(_) => Timer::NameDue,
                Due::KeepAlive(_) => Timer::KeepAlive,
            };
            (at, timer)
        });
        match (own, self.transactions.poll_timeout()) {
            (Some(own), Some(theirs)) => Some(if theirs.0 < own.0 { theirs } else { own }),
            (own, theirs) => own.or(theirs),
        }
    }

    /// Figures of now.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.calls_active = u64::try_from(self.calls.len()).unwrap_or(u64::MAX);
        counters.bans_active = u64::try_from(self.bans.len()).unwrap_or(u64::MAX);
        counters.contacts_active = u64::try_from(self.registrar.len()).unwrap_or(u64::MAX);
        counters
    }

    /// Phones to which something is sent now and then.
    #[cfg(test)]
    pub(crate) fn n_kept_alive(&self) -> usize {
        self.keep_alives.len()
    }

    /// After the last call and its timers nothing must be left of it.
    #[cfg(test)]
    pub(crate) fn assert_nothing_held(&self) {
        assert_eq!(self.calls.len(), 0);
        assert!(self.limits.is_empty(), "{:?}", self.limits);
        assert!(self.call_of_invite.is_empty(), "{:?}", self.call_of_invite);
        assert!(self.loops.is_empty(), "{:?}", self.loops);
        assert_eq!(self.transactions.len(), 0);
    }

    fn expire(&mut self, now: Moment) {
        self.now = now;
        while let Some(expired) = self.transactions.expire(now.mono) {
            match expired {
                Some(Expired::NoResponse(purpose)) => self.no_response(purpose),
                Some(Expired::NoAck(server)) => self.ack_missing(server),
                Some(Expired::NeverPracked(server)) => self.prack_missing(server),
                None => {}
            }
        }
        while let Some(due) = self.timers.pop_due(now.mono) {
            match due {
                Due::Call(call, timer) => self.call_timer(call, timer),
                Due::Session(call, side) => self.session_due(call, side),
                Due::Trunk(trunk, timer) => self.trunk_due(trunk, timer),
                Due::Ban(source) => self.end_ban(source),
                Due::Registration(subscriber) => self.expire_registrations(subscriber),
                Due::SecurityReport => self.report_security(),
                Due::Name(id) => self.name_due(id),
                Due::KeepAlive(id) => self.keep_alive_due(id),
            }
        }
    }

    /// A request of ours was never answered, or could not be sent.
    fn no_response(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Route(call) => self.route_failed_silently(call),
            Purpose::Relay(call) => self.relay_timed_out(call),
            Purpose::Alive(call, side) => self.alive_answered(call, side, 408),
            Purpose::Probe(trunk) => self.probe_answered(trunk, 408),
            Purpose::Outward(trunk) => self.registration_answered(trunk, 408, None),
            Purpose::Abandoned | Purpose::Nothing => {}
        }
    }

    fn load(&mut self, tables: Arc<Tables>, read_at: Duration) {
        self.barrings.load(&tables.directory().barrings, read_at, self.now);
        self.lookup.load(tables, read_at);
        self.tend_names();
        self.tend_trunks();
    }

    fn control(&mut self, control: Control) {
        match control {
            Control::LockChanged(lock) => self.lookup.lock(lock, self.now),
            Control::BarringChanged(barring) => self.barrings.set(barring, self.now),
            // The shell loads the snapshot and hands it in.
            Control::ConfigChanged { .. } => {}
            // A call for help goes on, whoever is suspected of what.
            Control::EndCallsOf { account } => {
                self.kill(|call| call.is_paid_by(account) && !call.is_emergency);
            }
            Control::EndCall { call: uid } => self.kill(|call| call.uid == uid),
        }
    }

    fn receive_message(&mut self, from: Hop, message: &Message<'_>) {
        if message.method().is_some() && self.is_shut_out(from, message) {
            return;
        }
        if let Err(fault) = message.check() {
            self.note_malformed(from, fault.phrase);
            self.count_request(from);
            if message.is_answerable() {
                let tag = self.stateless_tag(message);
                let reply = Reply { phrase: fault.phrase.as_bytes(), ..Reply::plain(fault.code, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
            }
            return;
        }
        match self.transactions.receive(self.now.mono, message) {
            Received::Absorbed | Received::Stray => {}
            Received::Ack => self.ack(message),
            Received::Request => self.request(from, message),
            Received::Response(client, purpose) => {
                let StartLine::Response { code, .. } = message.start() else { return };
                if Transactions::<Purpose>::is_to_cancel(message) {
                    return;
                }
                match purpose {
                    Purpose::Route(call) => self.route_answered(call, client, code, message),
                    Purpose::Relay(call) => self.relay_answered(call, client, code, message),
                    Purpose::Alive(call, side) => self.alive_answered(call, side, code),
                    Purpose::Probe(trunk) if code >= 200 => self.probe_answered(trunk, code),
                    Purpose::Outward(trunk) => self.registration_answered(trunk, code, Some(message)),
                    Purpose::Probe(_) => {}
                    Purpose::Abandoned => self.abandoned_answered(client, code, message),
                    Purpose::Nothing => {}
                }
            }
        }
    }

    fn request(&mut self, from: Hop, message: &Message<'_>) {
        let Some(method) = message.method() else { return };
        let is_inside = message.to().is_some_and(|to| to.tag().is_some());
        if self.is_beyond_us(from, method, is_inside, message) {
            return;
        }
        match method {
            Method::INVITE if !is_inside => self.invite(from, message),
            Method::INVITE | Method::UPDATE | Method::INFO if is_inside => self.relay(from, method, message),
            Method::PRACK if is_inside => self.prack(from, message),
            Method::BYE => self.bye(from, message),
            Method::CANCEL => self.cancel(from, message),
            Method::REGISTER => self.register(from, message),
            Method::OPTIONS => self.options(from, message),
            Method::UPDATE | Method::INFO | Method::PRACK => self.answer_stray(from, message),
            Method::Known(_) | Method::Other(_) => {
                self.count_request(from);
                let lines = format!("Allow: {ALLOW}\r\n");
                let tag = self.stateless_tag(message);
                let reply = Reply { lines: lines.as_bytes(), ..Reply::plain(405, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
            }
        }
    }

    /// Answers a request that requires an extension we do not know (420), or is for a URI of a scheme we do not know (416).
    fn is_beyond_us(
        &mut self,
        from: Hop,
        method: Method<'_>,
        is_inside: bool,
        message: &Message<'_>,
    ) -> bool {
        // Neither can be refused (RFC 3261, 8.2.2.3).
        if method == Method::ACK || method == Method::CANCEL {
            return false;
        }
        let unknown =
            message.list(HeaderName::Require).filter(|option| !is_supported(option, method, is_inside));
        let unknown: Vec<u8> = unknown.collect::<Vec<_>>().join(&b", "[..]);
        if !unknown.is_empty() {
            let tag = self.stateless_tag(message);
            let lines = [b"Unsupported: ", &unknown[..], b"\r\n"].concat();
            let reply = Reply { lines: &lines, ..Reply::plain(420, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return true;
        }
        let is_for_us = !is_inside && [Method::INVITE, Method::OPTIONS, Method::REGISTER].contains(&method);
        if !is_for_us {
            return false;
        }
        match Uri::parse(message.request_uri()) {
            None => {
                let tag = self.stateless_tag(message);
                let reply = Reply { phrase: b"Bad Request-URI", ..Reply::plain(400, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
                true
            }
            Some(uri) if uri.scheme == Scheme::Other => {
                let tag = self.stateless_tag(message);
                self.transactions.respond_without_state(message, from, Reply::plain(416, Some(&tag)));
                true
            }
            Some(_) => false,
        }
    }

    fn options(&mut self, from: Hop, message: &Message<'_>) {
        let tag = self.stateless_tag(message);
        if let Some(retry_after) = self.refusal_lines() {
            let reply = Reply { lines: &retry_after, ..Reply::plain(503, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        let lines = format!("Allow: {ALLOW}\r\nAccept: application/sdp\r\nSupported: timer, 100rel\r\n");
        let reply = Reply { lines: lines.as_bytes(), ..Reply::plain(200, Some(&tag)) };
        self.transactions.respond_without_state(message, from, reply);
    }

    /// Opens a transaction and answers at once.
    fn answer(&mut self, from: Hop, message: &Message<'_>, code: u16) {
        let server = self.transactions.open(message, from);
        // Most bring one.
        let is_tagged = message.to().is_some_and(|to| to.tag().is_some());
        let tag = if is_tagged { String::new() } else { self.stateless_tag(message) };
        self.transactions.respond(self.now.mono, server, Reply::plain(code, Some(&tag)));
    }

    /// Answers a request that belongs to no call. Anybody can send one under any name, so nothing is kept for it, and the answer is
    /// not repeated: a transaction would hold the headers for 32 s, and send its 481 to an INVITE eleven times.
    fn answer_stray(&mut self, from: Hop, message: &Message<'_>) {
        self.count_request(from);
        let tag = self.stateless_tag(message);
        self.transactions.respond_without_state(message, from, Reply::plain(481, Some(&tag)));
    }

    /// The Retry-After line, if nothing new may begin now.
    fn refusal_lines(&self) -> Option<Vec<u8>> {
        let is_refusing = self.is_draining || self.event_log == EventLog::Unwritable;
        is_refusing.then(|| self.retry_after())
    }

    fn retry_after(&self) -> Vec<u8> {
        format!("Retry-After: {}\r\n", self.config.retry_after_seconds).into_bytes()
    }

    /// A tag that is the same for every retransmission, so that nothing need be kept (RFC 3261, 8.2.7).
    fn stateless_tag(&self, message: &Message<'_>) -> String {
        let mut hasher = DefaultHasher::new();
        self.tag_seed.hash(&mut hasher);
        message.call_id().hash(&mut hasher);
        message.top_via().and_then(|via| via.branch()).hash(&mut hasher);
        ascii::hex(hasher.finish()).as_str().to_owned()
    }

    fn note_malformed(&mut self, from: Hop, detail: &str) {
        self.counters.malformed += 1;
        self.note_security(SecurityKind::Malformed, from.address, "", detail);
    }

    /// Appends an event that belongs to no call.
    fn emit(&mut self, tenant: TenantId, payer: AccountId, body: EventBody) {
        self.emit_for(self.now.wall, tenant, payer, None, 0, self.lookup.revision(), body);
    }

    #[expect(clippy::too_many_arguments, reason = "they are the fields of an event")]
    fn emit_for(
        &mut self,
        at: DateTime<Utc>,
        tenant: TenantId,
        payer: AccountId,
        call: Option<CallUid>,
        leg: u16,
        config_revision: i64,
        body: EventBody,
    ) {
        self.n_events += 1;
        self.events.push_back(CallEvent {
            node: self.config.node.as_str().into(),
            boot: self.boot,
            seq: self.n_events,
            at,
            config_revision,
            tenant,
            payer,
            call,
            leg,
            body,
        });
    }
}

/// Extensions a request may require of us. Provisional answers to a change of the session are not acknowledged: they have nothing to say.
fn is_supported(option: &[u8], method: Method<'_>, is_inside: bool) -> bool {
    let is_change = is_inside && method == Method::INVITE;
    option.eq_ignore_ascii_case(b"timer") || (option.eq_ignore_ascii_case(b"100rel") && !is_change)
}
