//! Trunks from our side: asking them with OPTIONS whether they are there, and registering at those that want it.
//!
//! In: provisioning, timers and answers. Out: requests, and `trunk_state` events when a trunk goes up or down. A trunk that is down is
//! left out of routing until it answers again. Source: switch-reference 5.4, 5.8.

use std::collections::HashMap;
use std::time::Duration;

use model::{EventBody, PeerLogin, Trunk, TrunkHealth, TrunkId, TrunkState};

use super::identify::TRUNK_TOKEN;
use super::{Due, Purpose, Switch};
use crate::hop::{Hop, via_word};
use crate::message::{HeaderName, Message, NameAddr, Writer, parse_number};
use crate::timer::{Timer, TimerKey};
use crate::transaction::ClientId;

/// How long a trunk may take to answer a probe.
const PROBE_PATIENCE: Duration = Duration::from_secs(3);
/// Probes without a good answer after which a trunk is down.
const MISSES_TO_DOWN: u32 = 3;
/// Good answers after which it is up again.
const HITS_TO_UP: u32 = 2;
/// Life of a registration that we wish for, unless provisioned otherwise.
const REGISTER_SECONDS: u32 = 600;
/// Pause after a registration that failed, and after one that was refused with 403.
const REGISTER_RETRY: Duration = Duration::from_secs(45);
const REGISTER_RETRY_FORBIDDEN: Duration = Duration::from_secs(300);

/// What is known of the trunks we look after.
#[derive(Debug, Default)]
pub(super) struct TrunkTable {
    known: HashMap<TrunkId, State>,
}

#[derive(Debug, Default)]
struct State {
    health: Health,
    misses: u32,
    hits: u32,
    /// The probe under way, and when it was sent.
    probe: Option<(ClientId, Duration)>,
    probe_timer: Option<TimerKey>,
    registration: Option<Registering>,
    register_timer: Option<TimerKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Health {
    probed: Option<bool>,
    is_registered: Option<bool>,
}

/// Our registration at a trunk.
#[derive(Debug, Clone)]
struct Registering {
    call_id: String,
    tag: String,
    cseq: u32,
    seconds: u32,
    client: ClientId,
    /// Where it went.
    hop: Option<Hop>,
    has_logged_in: bool,
}

impl TrunkTable {
    /// Why no call should be sent there; `None`: nothing is known against it.
    pub(super) fn why_down(&self, trunk: TrunkId) -> Option<&'static str> {
        let state = self.known.get(&trunk)?;
        (state.health.probed == Some(false)).then_some("it does not answer OPTIONS")
    }

    fn health(&self, trunk: TrunkId) -> TrunkHealth {
        let health = self.known.get(&trunk).map(|state| state.health).unwrap_or_default();
        match (health.probed, health.is_registered) {
            (Some(false), _) | (_, Some(false)) => TrunkHealth::Down,
            (Some(true), _) | (_, Some(true)) => TrunkHealth::Up,
            (None, None) => TrunkHealth::Unknown,
        }
    }
}

impl Switch {
    /// State of every trunk in use, for people.
    pub fn trunk_health(&self) -> Vec<(TrunkId, TrunkHealth)> {
        self.lookup.trunks().map(|trunk| (trunk.id, self.trunks.health(trunk.id))).collect()
    }

    /// Whether TCP is served.
    pub(crate) fn listens_on_tcp(&self) -> bool {
        self.config.tcp
    }

    /// How TLS is served, if it is.
    pub(crate) fn tls_config(&self) -> Option<&crate::TlsConfig> {
        self.config.tls.as_ref()
    }

    /// What the certificate of the trunk at `address` must say: its name as provisioned, the name it was found
    /// by (RFC 5922, 4), its domain, else the address.
    pub(crate) fn tls_name_of(&self, address: std::net::SocketAddr) -> String {
        let hop = Hop { transport: model::Transport::Tls, address };
        let named = self.lookup.trunks_of_source(hop).into_iter().find_map(|trunk| {
            let rules = self.lookup.trunk_rules(trunk.id);
            let place = rules.is.outbound_proxy.as_ref().or(rules.is.host.as_ref());
            let of_dns = place.and_then(|place| place.name()).map(str::to_owned);
            rules.is.tls_name.clone().or(of_dns).or_else(|| rules.is.domain.clone())
        });
        named.unwrap_or_else(|| address.ip().to_string())
    }

    /// What a certificate shown from there must be for, one of them; empty when nobody provisioned is there, or nothing is known of its name.
    pub(crate) fn certificate_names(&self, from: Hop) -> Vec<String> {
        let mut names = Vec::new();
        for trunk in self.lookup.trunks_of_source(from) {
            let rules = self.lookup.trunk_rules(trunk.id);
            let place = rules.is.outbound_proxy.as_ref().or(rules.is.host.as_ref());
            let of_dns = place.and_then(|place| place.name()).map(str::to_owned);
            names.extend([rules.is.tls_name.clone(), of_dns, rules.is.domain.clone()].into_iter().flatten());
        }
        names
    }

    /// Somebody at a trunk's address showed a certificate for another name.
    pub(crate) fn note_wrong_certificate(&mut self, now: model::Moment, from: Hop) {
        self.now = now;
        let detail = "a certificate that is not the trunk's";
        self.note_security(model::SecurityKind::AuthFailed, from.address, "", detail);
    }

    /// New provisioning: looks after trunks that want it, and no longer after others.
    pub(super) fn tend_trunks(&mut self) {
        let wanted: HashMap<TrunkId, (bool, bool)> = self
            .lookup
            .trunks()
            .map(|trunk| {
                let rules = self.lookup.trunk_rules(trunk.id);
                (trunk.id, (rules.is.probe_seconds.is_some(), rules.is.register))
            })
            .filter(|(_, (is_probed, registers))| *is_probed || *registers)
            .collect();
        let mut known = std::mem::take(&mut self.trunks.known);
        for (id, state) in &mut known {
            let (is_probed, registers) = wanted.get(id).copied().unwrap_or_default();
            if !is_probed {
                self.timers.disarm(&mut state.probe_timer);
                (state.probe, state.health.probed) = (None, None);
            }
            if !registers {
                self.timers.disarm(&mut state.register_timer);
                (state.registration, state.health.is_registered) = (None, None);
            }
        }
        known.retain(|id, _| wanted.contains_key(id));
        let now = self.now.mono;
        let mut ids: Vec<_> = wanted.into_iter().collect();
        ids.sort_unstable();
        for (n, (id, (is_probed, registers))) in ids.into_iter().enumerate() {
            let state = known.entry(id).or_default();
            // Not all in one instant.
            let soon = now + Duration::from_millis(20) * u32::try_from(n % 100).unwrap_or(0);
            if is_probed && state.probe_timer.is_none() {
                state.probe_timer = Some(self.timers.arm(soon, Due::Trunk(id, Timer::TrunkProbe)));
            }
            if registers && state.register_timer.is_none() {
                state.register_timer = Some(self.timers.arm(soon, Due::Trunk(id, Timer::TrunkRegister)));
            }
        }
        self.trunks.known = known;
    }

    /// A timer of a trunk.
    pub(super) fn trunk_due(&mut self, id: TrunkId, timer: Timer) {
        let Some(trunk) = self.lookup.trunk(id).cloned() else { return };
        if timer == Timer::TrunkProbe {
            self.probe(&trunk);
        } else {
            self.register_at(&trunk);
        }
    }

    /// Where a request of our own to a trunk goes; `None`: the name of its proxy cannot be found.
    fn hop_of_trunk(&mut self, trunk: &Trunk) -> Option<Hop> {
        self.hops_of_trunk(trunk.id).first().copied()
    }

    /// The host by which a trunk is named in URIs.
    fn host_of_trunk(&self, trunk: &Trunk) -> String {
        let rules = self.lookup.trunk_rules(trunk.id);
        let host = || rules.is.host.as_ref().map(model::HostPort::to_string);
        rules.is.domain.clone().or_else(host).unwrap_or_else(|| trunk.address.to_string())
    }

    /// Sends a probe, or notes that the last one was not answered.
    fn probe(&mut self, trunk: &Trunk) {
        let every = self.lookup.trunk_rules(trunk.id).is.probe_seconds.unwrap_or(60);
        let every = Duration::from_secs(every.into());
        let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return };
        if let Some((client, _)) = state.probe.take() {
            if let Some((_, hop)) = self.transactions.request_of(client) {
                self.note_silent(hop);
            }
            self.transactions.forget(client);
            let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return };
            let again = self.now.mono + every.saturating_sub(PROBE_PATIENCE);
            state.probe_timer = Some(self.timers.arm(again, Due::Trunk(trunk.id, Timer::TrunkProbe)));
            self.probe_result(trunk, 408, None);
            return;
        }
        let Some(hop) = self.hop_of_trunk(trunk) else {
            if let Some(state) = self.trunks.known.get_mut(&trunk.id) {
                let again = self.now.mono + every;
                state.probe_timer = Some(self.timers.arm(again, Due::Trunk(trunk.id, Timer::TrunkProbe)));
            }
            return self.probe_result(trunk, 408, None);
        };
        let client = self.transactions.branch();
        let call_id = format!("{:016x}@{}", self.transactions.random(), self.config.node);
        let (host, own) = (self.host_of_trunk(trunk), self.addresses.of(hop));
        let tag = self.transactions.random();
        let bytes = Writer::request(b"OPTIONS", format!("sip:{host}").as_bytes())
            .header("Via", client.via(self.addresses, hop))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{own}>;tag={tag:016x}"))
            .header("To", format!("<sip:{host}>"))
            .header("Call-ID", call_id)
            .header("CSeq", "1 OPTIONS")
            .header("Contact", self.addresses.contact(hop))
            .finish(&[]);
        let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return };
        state.probe = Some((client, self.now.mono));
        let deadline = self.now.mono + PROBE_PATIENCE;
        state.probe_timer = Some(self.timers.arm(deadline, Due::Trunk(trunk.id, Timer::TrunkProbe)));
        self.transactions.send(self.now.mono, client, hop, bytes, Purpose::Probe(trunk.id));
    }

    /// The answer to a probe; 408 for none.
    pub(super) fn probe_answered(&mut self, id: TrunkId, code: u16) {
        let Some(trunk) = self.lookup.trunk(id).cloned() else { return };
        let every = self.lookup.trunk_rules(id).is.probe_seconds.unwrap_or(60);
        let Some(state) = self.trunks.known.get_mut(&id) else { return };
        let Some((_, sent_at)) = state.probe.take() else { return };
        self.timers.disarm(&mut state.probe_timer);
        let again = self.now.mono + Duration::from_secs(every.into());
        state.probe_timer = Some(self.timers.arm(again, Due::Trunk(id, Timer::TrunkProbe)));
        let rtt = self.now.mono.saturating_sub(sent_at);
        self.probe_result(&trunk, code, Some(rtt));
    }

    fn probe_result(&mut self, trunk: &Trunk, code: u16, rtt: Option<Duration>) {
        let old = self.trunks.health(trunk.id);
        let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return };
        if matches!(code, 408 | 503) {
            (state.misses, state.hits) = (state.misses + 1, 0);
            if state.misses >= MISSES_TO_DOWN {
                state.health.probed = Some(false);
            }
        } else {
            (state.misses, state.hits) = (0, state.hits + 1);
            if state.health.probed != Some(false) || state.hits >= HITS_TO_UP {
                state.health.probed = Some(true);
            }
        }
        self.tell_health(trunk, old, code, rtt);
    }

    fn tell_health(&mut self, trunk: &Trunk, old: TrunkHealth, code: u16, rtt: Option<Duration>) {
        let new = self.trunks.health(trunk.id);
        if old != new {
            let rtt_us = rtt.map(super::call::micros);
            let state = TrunkState { trunk: trunk.id, old, new, code, rtt_us };
            self.emit(trunk.tenant, trunk.account, EventBody::TrunkState(state));
        }
    }

    /// Registers, again or for the first time.
    fn register_at(&mut self, trunk: &Trunk) {
        let client = self.transactions.branch();
        let (call_id, tag) = (self.transactions.random(), self.transactions.random());
        let node = self.config.node.clone();
        let wish = self.lookup.trunk_rules(trunk.id).is.register_seconds.unwrap_or(REGISTER_SECONDS);
        let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return };
        let mut registering = state.registration.take().unwrap_or(Registering {
            call_id: format!("{call_id:016x}@{node}"),
            tag: format!("{tag:016x}"),
            cseq: 0,
            seconds: wish,
            client,
            hop: None,
            has_logged_in: false,
        });
        registering.cseq += 1;
        (registering.client, registering.has_logged_in) = (client, false);
        let hop = self.hop_of_trunk(trunk);
        registering.hop = hop;
        let bytes = hop.and_then(|hop| self.registration_bytes(trunk, &registering, hop));
        if let Some(state) = self.trunks.known.get_mut(&trunk.id) {
            state.registration = Some(registering);
        }
        let (Some(hop), Some(bytes)) = (hop, bytes) else {
            return self.registration_answered(trunk.id, 408, None);
        };
        self.transactions.send(self.now.mono, client, hop, bytes, Purpose::Outward(trunk.id));
    }

    fn registration_bytes(&self, trunk: &Trunk, registering: &Registering, hop: Hop) -> Option<Vec<u8>> {
        let rules = self.lookup.trunk_rules(trunk.id);
        let user = &rules.is.login.as_ref()?.username;
        let host = self.host_of_trunk(trunk);
        let own = self.addresses.of(hop);
        let transport = match hop.is_reliable() {
            true => format!(";transport={}", via_word(hop.transport).to_ascii_lowercase()),
            false => String::new(),
        };
        let contact = format!("<sip:{user}@{own}{transport};{TRUNK_TOKEN}={}>", trunk.id);
        let bytes = Writer::request(b"REGISTER", format!("sip:{host}").as_bytes())
            .header("Via", registering.client.via(self.addresses, hop))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{user}@{host}>;tag={}", registering.tag))
            .header("To", format!("<sip:{user}@{host}>"))
            .header("Call-ID", &registering.call_id)
            .header("CSeq", format!("{} REGISTER", registering.cseq))
            .header("Contact", contact)
            .header("Expires", registering.seconds.to_string())
            .finish(&[]);
        Some(bytes)
    }

    /// The answer to our REGISTER; `None`: there was none.
    pub(super) fn registration_answered(&mut self, id: TrunkId, code: u16, message: Option<&Message<'_>>) {
        if code < 200 {
            return;
        }
        let Some(trunk) = self.lookup.trunk(id).cloned() else { return };
        if let (401 | 407, Some(message)) = (code, message)
            && self.log_in_to_register(&trunk, code, message)
        {
            return;
        }
        let old = self.trunks.health(id);
        let own = format!("{TRUNK_TOKEN}={id}");
        let has_another = message.is_none() && self.has_another_server(&trunk);
        let Some(state) = self.trunks.known.get_mut(&id) else { return };
        let Some(registering) = &mut state.registration else { return };
        let again = match (code, message) {
            (200..=299, Some(message)) => {
                let granted = message.list(HeaderName::Contact).filter_map(NameAddr::parse);
                let ours =
                    granted.filter(|contact| memchr::memmem::find(contact.uri, own.as_bytes()).is_some());
                let seconds = ours
                    .filter_map(|contact| contact.params.value("expires").and_then(parse_number))
                    .max()
                    .or_else(|| message.number(HeaderName::Expires))
                    .unwrap_or(registering.seconds.into())
                    .clamp(10, 86_400);
                state.health.is_registered = Some(true);
                Duration::from_secs(seconds) * 4 / 5
            }
            (423, Some(message)) => {
                let least = message.number(HeaderName::MinExpires).unwrap_or(3_600).min(86_400);
                registering.seconds = registering.seconds.max(u32::try_from(least).unwrap_or(3_600));
                Duration::from_millis(100)
            }
            (403, _) => {
                state.health.is_registered = Some(false);
                REGISTER_RETRY_FORBIDDEN
            }
            _ => {
                state.health.is_registered = Some(false);
                if has_another { Duration::from_millis(100) } else { REGISTER_RETRY }
            }
        };
        self.timers.disarm(&mut state.register_timer);
        let due = Due::Trunk(id, Timer::TrunkRegister);
        state.register_timer = Some(self.timers.arm(self.now.mono + again, due));
        self.tell_health(&trunk, old, code, None);
    }

    /// Our REGISTER was not answered: whether the trunk has a server that was not silent just now.
    fn has_another_server(&mut self, trunk: &Trunk) -> bool {
        let registering = self.trunks.known.get(&trunk.id).and_then(|state| state.registration.as_ref());
        let Some(silent) = registering.and_then(|registering| registering.hop) else { return false };
        self.note_silent(silent);
        self.hops_of_trunk(trunk.id).first().is_some_and(|hop| *hop != silent && !self.was_silent(*hop))
    }

    /// With which credentials a trunk is called, if it may ask for some.
    pub(super) fn peer_login(&self, trunk: TrunkId) -> Option<Box<PeerLogin>> {
        let rules = self.lookup.trunk_rules(trunk);
        let login = rules.is.login.as_ref()?;
        let realm = login.realm.clone().unwrap_or_default();
        Some(Box::new(PeerLogin { user: login.username.clone().into(), realm: realm.into() }))
    }

    fn log_in_to_register(&mut self, trunk: &Trunk, code: u16, message: &Message<'_>) -> bool {
        let rules = self.lookup.trunk_rules(trunk.id);
        let Some(login) = &rules.is.login else { return false };
        let Some(state) = self.trunks.known.get_mut(&trunk.id) else { return false };
        let Some(registering) = state.registration.as_mut().filter(|one| !one.has_logged_in) else {
            return false;
        };
        let Some((request, hop)) = self.transactions.request_of(registering.client) else { return false };
        let request = request.to_vec();
        let again = self.transactions.branch();
        let cnonce = self.transactions.random();
        let via = again.via(self.addresses, hop);
        let Some(bytes) = super::login::with_credentials(&request, message, code, login, &via, cnonce) else {
            return false;
        };
        registering.client = again;
        registering.cseq += 1;
        registering.has_logged_in = true;
        self.transactions.send(self.now.mono, again, hop, bytes, Purpose::Outward(trunk.id));
        true
    }
}
