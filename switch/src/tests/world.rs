//! The stage: one switch, alice and carol (subscribers), two gateways (trunks), and the wire between them.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, AccountKind, AccountStatus, CallEvent, Contact, Control, Directory, EventBody,
    FraudPolicy, Lock, LockLevel, LockSource, Moment, NumberOwner, Route, RouteId, Subscriber, SubscriberId,
    Tenant, TenantId, Transport, Trunk, TrunkId,
};

use crate::digest::secret_of;
use crate::phone::{
    Behaviour, CallPlan, IncomingCall, PhoneCommand, PhoneInput, PhoneLine, PhoneOutput, PhoneReport,
    PhoneStep, PhoneSubject, Phones,
};
use crate::{CreditQuestion, Input, NameQuestion, Output, Switch, SwitchConfig};

pub(super) const SWITCH: &str = "192.0.2.1:5060";
pub(super) const HOMES: &str = "198.51.100.1:5062";
pub(super) const GATEWAY_1: &str = "203.0.113.1:5060";
pub(super) const GATEWAY_2: &str = "203.0.113.2:5060";
pub(super) const ALICE: usize = 0;
pub(super) const CAROL: usize = 1;

/// Customer of alice is account 1, of carol 2; the carriers are 11 and 12.
pub(crate) fn directory() -> Directory {
    let contact = Contact::default();
    let tenant = Tenant {
        id: TenantId(1),
        handle: "main".into(),
        contact: contact.clone(),
        currency: "EUR".parse().unwrap(),
        timezone: chrono_tz::Europe::Vienna,
    };
    let account = |id: i64, kind: AccountKind| Account {
        id: AccountId(id),
        tenant: TenantId(1),
        kind,
        handle: format!("account{id}"),
        reseller: None,
        status: AccountStatus::Active,
        currency: "EUR".parse().unwrap(),
        timezone: chrono_tz::Europe::Vienna,
        contact: contact.clone(),
        vat_percent: 20.into(),
        calls_max: None,
        fraud: FraudPolicy::default(),
        profiles: Vec::new(),
    };
    let subscriber = |id: i64, name: &str, cli: &str| Subscriber {
        id: SubscriberId(id),
        tenant: TenantId(1),
        account: AccountId(id),
        uuid: format!("uuid-{name}"),
        username: name.into(),
        domain: "example.net".into(),
        digest: secret_of(name, "example.net", &format!("{name}-secret")),
        cli: Some(cli.parse().unwrap()),
        calls_max: None,
    };
    let number = |number: &str, id: i64| NumberOwner {
        number: number.parse().unwrap(),
        subscriber: SubscriberId(id),
        from: DateTime::UNIX_EPOCH,
        to: None,
    };
    let trunk = |id: i64, address: &str| Trunk {
        id: TrunkId(id),
        tenant: TenantId(1),
        account: AccountId(10 + id),
        name: format!("carrier{id}"),
        address: address.parse().unwrap(),
        transport: Transport::Udp,
        sources: Vec::new(),
        tech_prefix: String::new(),
        calls_max: None,
        enabled: true,
    };
    let route = |id: i64, prefix: &str, trunk: i64, priority: u32| Route {
        id: RouteId(id),
        tenant: TenantId(1),
        prefix: prefix.into(),
        trunk: TrunkId(trunk),
        priority,
        weight: 1,
    };
    Directory {
        revision: 7,
        tenants: vec![tenant],
        accounts: vec![
            account(1, AccountKind::Customer),
            account(2, AccountKind::Customer),
            account(11, AccountKind::Carrier),
            account(12, AccountKind::Carrier),
        ],
        subscribers: vec![subscriber(1, "alice", "43111"), subscriber(2, "carol", "43222")],
        numbers: vec![number("43111", 1), number("43222", 2)],
        trunks: vec![trunk(1, GATEWAY_1), trunk(2, GATEWAY_2)],
        routes: vec![route(1, "49", 1, 1), route(2, "49", 2, 2)],
        locks: Vec::new(),
        barrings: Vec::new(),
        tariffs: Vec::new(),
        profile_limits: Vec::new(),
        calling: model::CallingRules::default(),
        ..Directory::default()
    }
}

/// How each place answers calls, by the address it is at.
type Manners = Arc<Mutex<HashMap<&'static str, Behaviour>>>;

/// What befalls a datagram on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    Lost,
    Doubled,
    /// Arrives so many milliseconds later, behind what is sent meanwhile.
    Late(u64),
}

/// From, to, what.
type Datagram = (SocketAddr, SocketAddr, Vec<u8>);

pub(super) struct World {
    pub(super) mono: Duration,
    pub(super) switch: Switch,
    phones: Vec<(SocketAddr, Phones)>,
    manners: Manners,
    wire: VecDeque<Datagram>,
    losses: Vec<(Option<SocketAddr>, String)>,
    holding_back: Option<String>,
    /// What befalls the next datagrams, one after the other.
    fates: VecDeque<Fate>,
    /// Datagrams that come late, and when.
    late: Vec<(Duration, Datagram)>,
    held_back: Vec<Datagram>,
    /// Everything that crossed the wire: time, from, to, first line.
    pub(super) log: Vec<(Duration, SocketAddr, SocketAddr, String)>,
    /// Datagrams for addresses where nobody of ours lives.
    pub(super) raw: Vec<(SocketAddr, Vec<u8>)>,
    pub(super) events: Vec<CallEvent>,
    /// What the charging service was asked; nobody answers by himself.
    pub(super) questions: Vec<CreditQuestion>,
    /// What the DNS was asked; nobody answers by himself.
    pub(super) names_asked: Vec<NameQuestion>,
    /// Every BYE of the switch, whole.
    pub(super) byes: Vec<String>,
    /// Every 200 of the switch that describes a session, whole.
    pub(super) answers: Vec<String>,
    /// Messages of the switch that say what a call has cost.
    pub(super) advices: Vec<(SocketAddr, String)>,
    pub(super) reports: Vec<PhoneReport>,
    /// What the switch was told of calling rules at the start.
    pub(super) calling: model::CallingRules,
    rewriting: Option<(String, String, String)>,
    /// What somebody has set the clock on the wall by; the monotonic one knows nothing of it.
    pub(super) set_by: TimeDelta,
    n_plans: u64,
}

impl World {
    pub(super) fn new() -> Self {
        Self::with(SwitchConfig::default(), directory())
    }

    pub(super) fn with(config: SwitchConfig, directory: Directory) -> Self {
        let now = moment(Duration::ZERO);
        let config = SwitchConfig { node: "sw1".into(), domain: "example.net".into(), ..config };
        let manners: Manners = Arc::default();
        let line = |name: &str| PhoneLine {
            username: name.into(),
            domain: "example.net".into(),
            password: format!("{name}-secret"),
            server: address(SWITCH),
        };
        let mut phones = Vec::new();
        for (seed, place) in [HOMES, GATEWAY_1, GATEWAY_2].into_iter().enumerate() {
            let manners = manners.clone();
            let answering = Arc::new(move |_: &IncomingCall| {
                let ring = Duration::from_secs(1);
                let manners = manners.lock().unwrap();
                manners.get(place).copied().unwrap_or(Behaviour::Answer { ring, talk: None })
            });
            let lines = if place == HOMES { vec![line("alice"), line("carol")] } else { Vec::new() };
            let seed = 100 + seed as u64;
            phones.push((address(place), Phones::new(address(place), lines, answering, now, seed)));
        }
        let mut switch = Switch::new(config, address(SWITCH), now, 7);
        let calling = directory.calling.clone();
        switch.handle(now, Input::Directory(Arc::new(directory)));
        Self {
            calling,
            rewriting: None,
            set_by: TimeDelta::zero(),
            mono: Duration::ZERO,
            switch,
            phones,
            manners,
            wire: VecDeque::new(),
            losses: Vec::new(),
            holding_back: None,
            fates: VecDeque::new(),
            late: Vec::new(),
            held_back: Vec::new(),
            log: Vec::new(),
            raw: Vec::new(),
            events: Vec::new(),
            questions: Vec::new(),
            names_asked: Vec::new(),
            byes: Vec::new(),
            answers: Vec::new(),
            advices: Vec::new(),
            reports: Vec::new(),
            n_plans: 0,
        }
    }

    pub(super) fn now(&self) -> Moment {
        let moment = moment(self.mono);
        Moment { wall: moment.wall + self.set_by, ..moment }
    }

    /// How a place answers from now on.
    pub(super) fn behave(&mut self, place: &'static str, behaviour: Behaviour) {
        self.manners.lock().unwrap().insert(place, behaviour);
    }

    /// The next datagram with this in it is lost.
    pub(super) fn lose_next(&mut self, text: &str) {
        self.losses.push((None, text.to_owned()));
    }

    /// The next datagram to this place with this in it is lost.
    pub(super) fn lose_next_to(&mut self, place: &str, text: &str) {
        self.losses.push((Some(address(place)), text.to_owned()));
    }

    /// The next datagram with this in it waits until [`Self::let_go`].
    pub(super) fn hold_back_next(&mut self, text: &str) {
        self.holding_back = Some(text.to_owned());
    }

    /// In every datagram to the switch that begins like this, `what` becomes `with`: phones that say more than ours.
    pub(super) fn rewrite_next(&mut self, start: &str, what: &str, with: &str) {
        self.rewriting = Some((start.to_owned(), what.to_owned(), with.to_owned()));
    }

    /// What befalls the next datagrams; those behind them arrive.
    pub(super) fn befall(&mut self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.extend(fates);
    }

    pub(super) fn let_go(&mut self) {
        self.wire.extend(self.held_back.drain(..));
        self.settle();
    }

    pub(super) fn control(&mut self, control: Control) {
        self.switch.handle(self.now(), Input::Control(control));
        self.settle();
    }

    pub(super) fn input(&mut self, input: Input) {
        self.switch.handle(self.now(), input);
        self.settle();
    }

    pub(super) fn command(&mut self, place: &str, command: PhoneCommand) {
        let now = self.now();
        let place = address(place);
        let phones = self.phones.iter_mut().find(|(at, _)| *at == place).unwrap();
        phones.1.handle(now, PhoneInput::Command(command));
        self.settle();
    }

    pub(super) fn register(&mut self, line: usize) {
        self.command(HOMES, PhoneCommand::Register { line, seconds: 3600 });
    }

    /// Alice or carol dials. Out: the id of the call.
    pub(super) fn dial(&mut self, line: usize, to: &str, talk_seconds: u64) -> u64 {
        self.dial_from(HOMES, Some(line), ["alice", "carol"][line], to, Some(talk_seconds))
    }

    pub(super) fn dial_from(
        &mut self,
        place: &str,
        line: Option<usize>,
        from: &str,
        to: &str,
        talk_seconds: Option<u64>,
    ) -> u64 {
        self.n_plans += 1;
        let plan = CallPlan {
            id: self.n_plans,
            line,
            server: address(SWITCH),
            from: from.into(),
            to: to.into(),
            talk: talk_seconds.map(Duration::from_secs),
            patience: Duration::from_secs(60),
        };
        self.command(place, PhoneCommand::Call(plan));
        self.n_plans
    }

    /// A datagram of somebody else's making.
    pub(super) fn inject(&mut self, from: &str, bytes: impl AsRef<[u8]>) {
        self.wire.push_back((address(from), address(SWITCH), bytes.as_ref().to_vec()));
        self.settle();
    }

    /// The last message that went to an address where nobody of ours lives, and begins like this.
    pub(super) fn last_to(&self, place: &str, start: &str) -> Option<String> {
        let place = address(place);
        let all = self.raw.iter().rev().filter(|(to, _)| *to == place);
        all.map(|(_, bytes)| String::from_utf8_lossy(bytes).into_owned()).find(|text| text.starts_with(start))
    }

    /// Answers a request as a foreign peer would; `lines` are further headers.
    pub(super) fn answer_from(&mut self, place: &str, request: &str, status: &str, lines: &str, body: &str) {
        let kept = ["Via:", "From:", "Call-ID:", "CSeq:", "Record-Route:"];
        let head: String = request
            .lines()
            .filter(|line| kept.iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\r\n"))
            .collect();
        let to = header_of(request, "To");
        let tag = if to.contains(";tag=") { "" } else { ";tag=far" };
        let length = body.len();
        let answer = format!(
            "SIP/2.0 {status}\r\n{head}To: {to}{tag}\r\n{lines}Content-Length: {length}\r\n\r\n{body}"
        );
        self.inject(place, answer);
    }

    /// Carries everything to where it goes, until nobody has anything to say at this instant.
    pub(super) fn settle(&mut self) {
        loop {
            while let Some(output) = self.switch.poll_output() {
                match output {
                    Output::Transmit { to, bytes } => {
                        self.wire.push_back((address(SWITCH), to.address, bytes))
                    }
                    Output::Event(event) => self.events.push(*event),
                    Output::Credit(question) => self.questions.push(*question),
                    Output::Resolve(question) => self.names_asked.push(question),
                }
            }
            for (at, phones) in &mut self.phones {
                while let Some(output) = phones.poll_output() {
                    match output {
                        PhoneOutput::Transmit { to, bytes } => self.wire.push_back((*at, to, bytes)),
                        PhoneOutput::Report(report) => self.reports.push(report),
                    }
                }
            }
            let Some((from, to, bytes)) = self.wire.pop_front() else { return };
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let first = text.lines().next().unwrap_or_default().to_owned();
            if from == address(SWITCH) && first.starts_with("BYE") {
                self.byes.push(text.clone());
            }
            if from == address(SWITCH) && first.starts_with("SIP/2.0 200") && text.contains("m=audio") {
                self.answers.push(text.clone());
            }
            if from == address(SWITCH) && text.contains("\r\nAOC: ") {
                self.advices.push((to, text.clone()));
            }
            self.log.push((self.mono, from, to, first));
            if let Some(idx) = self
                .losses
                .iter()
                .position(|(place, loss)| place.is_none_or(|place| place == to) && text.contains(loss))
            {
                self.losses.remove(idx);
                continue;
            }
            if self.holding_back.as_ref().is_some_and(|wanted| text.contains(wanted)) {
                self.holding_back = None;
                self.held_back.push((from, to, bytes));
                continue;
            }
            let mut n_copies = 1;
            match self.fates.pop_front().unwrap_or(Fate::Arrives) {
                Fate::Arrives => {}
                Fate::Lost => continue,
                Fate::Doubled => n_copies = 2,
                Fate::Late(ms) => {
                    self.late.push((self.mono + Duration::from_millis(ms), (from, to, bytes)));
                    continue;
                }
            }
            for _ in 0..n_copies {
                self.deliver(from, to, &text, bytes.clone());
            }
        }
    }

    fn deliver(&mut self, from: SocketAddr, to: SocketAddr, text: &str, bytes: Vec<u8>) {
        {
            let now = self.now();
            let bytes = match &self.rewriting {
                Some((start, what, with)) if to == address(SWITCH) && text.starts_with(start) => {
                    text.replacen(what, with, 1).into_bytes()
                }
                Some(_) | None => bytes,
            };
            if to == address(SWITCH) {
                self.switch.handle(now, Input::Datagram { from, bytes });
            } else if let Some((_, phones)) = self.phones.iter_mut().find(|(at, _)| *at == to) {
                phones.handle(now, PhoneInput::Datagram { from, bytes });
            } else {
                self.raw.push((to, bytes));
            }
        }
    }

    /// Lets time pass, firing every timer at its time.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.mono + duration;
        loop {
            self.settle();
            let mut due = self.switch.poll_timeout().map(|(at, _)| at);
            let is_late_until = self.late.iter().map(|(at, _)| *at).min();
            due = [due, is_late_until].into_iter().flatten().min();
            for (_, phones) in &self.phones {
                due = [due, phones.poll_timeout().map(|(at, _)| at)].into_iter().flatten().min();
            }
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.mono = self.mono.max(at);
            let now = self.now();
            let mono = self.mono;
            for (_, (from, to, bytes)) in self.late.extract_if(.., |(at, _)| *at <= mono).collect::<Vec<_>>()
            {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.deliver(from, to, &text, bytes);
            }
            self.switch.handle(now, Input::Timeout);
            for (_, phones) in &mut self.phones {
                phones.handle(now, PhoneInput::Timeout);
            }
        }
        self.mono = end;
        self.settle();
    }

    pub(super) fn run_seconds(&mut self, seconds: u64) {
        self.run(Duration::from_secs(seconds));
    }

    /// How often a first line with this in it went from one place to another.
    pub(super) fn count(&self, from: &str, to: &str, text: &str) -> usize {
        let (from, to) = (address(from), address(to));
        self.log.iter().filter(|(_, f, t, line)| *f == from && *t == to && line.contains(text)).count()
    }

    /// The last step of a call placed.
    pub(super) fn outcome(&self, id: u64) -> Option<&PhoneStep> {
        let subject = PhoneSubject::Outgoing(id);
        self.reports.iter().rev().find(|report| report.subject == subject).map(|report| &report.step)
    }

    /// Events of calls, one line each, without what differs from run to run.
    pub(super) fn story(&self) -> String {
        let mut story = String::new();
        for event in self.events.iter().filter(|event| event.call.is_some()) {
            let at = event.at - moment(Duration::ZERO).wall;
            let line = match &event.body {
                EventBody::Attempt(attempt) => {
                    let cli = attempt.cli.map(|cli| cli.to_string()).unwrap_or_default();
                    format!(
                        "attempt {} -> {} cli {cli} by {}",
                        attempt.from_user, attempt.dialed, attempt.auth
                    )
                }
                EventBody::Rejected(rejected) => {
                    format!(
                        "rejected {} {} {} ({})",
                        rejected.code, rejected.phrase, rejected.cause, rejected.object
                    )
                }
                EventBody::RouteAttempt(route) => {
                    format!(
                        "route {} to {} as {} from {}",
                        route.attempt, route.next_hop, route.callee_out, route.caller_out
                    )
                }
                EventBody::RouteResult(result) => {
                    format!(
                        "route {} answered {} {}: {}",
                        result.attempt, result.code, result.phrase, result.action
                    )
                }
                EventBody::Progress(progress) => format!("progress {}", progress.code),
                EventBody::Answer(answer) => format!("answer {} {}", answer.code, answer.codec),
                EventBody::Update(update) => format!("update {} {}", update.change, update.codec),
                EventBody::ChargeTick(tick) => format!("tick {} s", tick.answered_us / 1_000_000),
                EventBody::End(end) => format!(
                    "end {} {} by {} after {}.{:03} s",
                    end.code,
                    end.cause,
                    end.by,
                    end.answered_us / 1_000_000,
                    end.answered_us / 1_000 % 1_000
                ),
                EventBody::Forwarded(forwarded) => {
                    format!("{} to {} as leg {}", forwarded.call_type, forwarded.target, forwarded.new_leg)
                }
                other @ (EventBody::Registration(_)
                | EventBody::TrunkState(_)
                | EventBody::Security(_)
                | EventBody::NodeStarted(_)
                | EventBody::Provisioned(_)) => format!("{other:?}"),
            };
            let leg = if event.leg == 0 { String::new() } else { format!(" leg {}", event.leg) };
            let _ = writeln!(
                story,
                "{}.{:03} account {}{leg}: {line}",
                at.num_seconds(),
                at.subsec_millis(),
                event.payer
            );
        }
        story
    }

    /// How many calls rang anywhere.
    pub(super) fn n_called(&self) -> usize {
        self.reports.iter().filter(|report| matches!(report.step, PhoneStep::Called { .. })).count()
    }

    pub(super) fn ends(&self) -> usize {
        self.events.iter().filter(|event| matches!(event.body, EventBody::End(_))).count()
    }

    /// What must hold when every call is over: nothing is kept, and no event is missing.
    pub(super) fn assert_idle(&mut self) {
        self.run_seconds(40);
        assert_eq!(self.switch.counters().calls_active, 0);
        self.switch.assert_nothing_held();
        let seqs: Vec<u64> = self.events.iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    }
}

/// The value of the first header of that name.
pub(super) fn header_of<'a>(message: &'a str, name: &str) -> &'a str {
    let found = message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    found.unwrap_or_default()
}

pub(super) fn lock(account: i64, level: LockLevel) -> Control {
    Control::LockChanged(Lock {
        tenant: TenantId(1),
        account: AccountId(account),
        level,
        source: LockSource::Fraud,
        reason: "daily limit".into(),
        alert: None,
        since: moment(Duration::ZERO).wall,
        until: None,
    })
}

pub(super) fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn moment(mono: Duration) -> Moment {
    let start: DateTime<Utc> = "2026-10-05T12:00:00Z".parse().unwrap();
    Moment { wall: start + TimeDelta::from_std(mono).unwrap(), mono }
}
