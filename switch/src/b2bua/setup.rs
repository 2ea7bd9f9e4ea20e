//! An INVITE comes in: who is it, may he, where to. In the order of switch-reference, section 3.
//!
//! What is refused before we know who calls is answered without state and leaves no call record. After that, every INVITE is an
//! `attempt`, and a refusal of ours is `rejected`.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use model::{
    AccountId, AccountKind, Attempt, AuthMethod, CallUid, Cause, E164, EventBody, LockLevel, Party, Rejected,
    SecurityKind, Subscriber, TenantId, Transport, Trunk, TrunkId,
};
use rand::RngExt as _;

use super::Switch;
use super::call::{Call, CallState, Fate, Side, Target};
use super::limits::Holder;
use crate::dialog::Dialog;
use crate::digest::{Credentials, Verdict};
use crate::message::{HeaderName, Message, NameAddr, Scheme, Uri, text};
use crate::timer::Timer;
use crate::transaction::{Reply, ServerId};

/// Who calls, as far as the switch is concerned.
#[derive(Debug, Clone)]
struct Caller {
    party: Party,
    tenant: TenantId,
    auth: AuthMethod,
    cli: Option<E164>,
    /// User part of From on the way out, if there is no number.
    name: String,
    domain: String,
    calls_max: Option<u32>,
    holder: Holder,
}

/// A refusal of our own.
#[derive(Debug)]
struct Refusal {
    cause: Cause,
    code: u16,
    phrase: &'static str,
    object: String,
}

impl Refusal {
    fn new(cause: Cause, code: u16, phrase: &'static str, object: impl Into<String>) -> Self {
        Self { cause, code, phrase, object: object.into() }
    }
}

/// Who answered a challenge, or why nobody did.
#[derive(Debug)]
pub(super) enum Presented {
    /// Him.
    Known(Box<Subscriber>),
    /// No credentials, or stale ones.
    Challenge { stale: bool },
    /// Wrong ones, given in this name.
    Wrong { username: String },
}

impl Switch {
    pub(super) fn invite(&mut self, from: SocketAddr, message: &Message<'_>) {
        let tag = self.stateless_tag(message);
        let is_full = self.calls.len() >= self.config.calls_max as usize;
        if is_full || self.refusal_lines().is_some() {
            self.counters.calls_shed += 1;
            if is_full {
                let detail = format!("calls_max {} reached", self.config.calls_max);
                self.note_security(SecurityKind::RateLimited, from, "", &detail);
            }
            let lines = self.retry_after();
            let reply = Reply { lines: &lines, ..Reply::plain(503, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        if message.number(HeaderName::MaxForwards) == Some(0) {
            self.transactions.respond_without_state(message, from, Reply::plain(483, Some(&tag)));
            return;
        }
        let required: Vec<u8> = message.list(HeaderName::Require).collect::<Vec<_>>().join(&b", "[..]);
        if !required.is_empty() {
            let lines = [b"Unsupported: ", &required[..], b"\r\n"].concat();
            let reply = Reply { lines: &lines, ..Reply::plain(420, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        let Some(uri) = Uri::parse(message.request_uri()) else {
            let reply = Reply { phrase: b"Bad Request-URI", ..Reply::plain(400, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        };
        if uri.scheme == Scheme::Other {
            self.transactions.respond_without_state(message, from, Reply::plain(416, Some(&tag)));
            return;
        }
        if let Some(caller) = self.identify_caller(from, message) {
            self.attempt(from, message, uri, caller);
        }
    }

    /// A trunk by its address, or a subscriber by his password. Anybody else has been answered.
    fn identify_caller(&mut self, from: SocketAddr, message: &Message<'_>) -> Option<Caller> {
        if let Some(trunk) = self.lookup.trunk_of_source(from) {
            return Some(Caller {
                party: Party::Trunk { trunk: trunk.id, account: trunk.account },
                tenant: trunk.tenant,
                auth: AuthMethod::Ip,
                cli: number_of_caller(message),
                name: message
                    .from()
                    .and_then(|from| from.parse_uri())
                    .map(|uri| uri.user_text())
                    .unwrap_or_default(),
                domain: from.ip().to_string(),
                calls_max: trunk.calls_max,
                holder: Holder::Trunk(trunk.id),
            });
        }
        let domain =
            message.from().and_then(|from| from.parse_uri()).map(|uri| uri.host_text()).unwrap_or_default();
        let tag = self.stateless_tag(message);
        match self.present(HeaderName::ProxyAuthorization, message) {
            Presented::Known(subscriber) => Some(Caller {
                party: self.lookup.party(&subscriber),
                tenant: subscriber.tenant,
                auth: AuthMethod::Digest,
                cli: self.lookup.cli(&subscriber, self.now.wall),
                name: subscriber.username.clone(),
                domain: subscriber.domain.clone(),
                calls_max: subscriber.calls_max,
                holder: Holder::Subscriber(subscriber.id),
            }),
            Presented::Challenge { stale } => {
                if !stale && !self.is_realm(&domain) {
                    self.note_security(SecurityKind::UnknownSource, from, "", "INVITE for no domain of ours");
                }
                let lines = self.challenge(HeaderName::ProxyAuthenticate, &domain, stale);
                let reply = Reply { lines: &lines, ..Reply::plain(407, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
                None
            }
            Presented::Wrong { username } => {
                self.counters.auth_failed += 1;
                self.note_security(SecurityKind::AuthFailed, from, &username, "INVITE");
                self.transactions.respond_without_state(message, from, Reply::plain(403, Some(&tag)));
                None
            }
        }
    }

    /// Checks the credentials in `header`.
    pub(super) fn present(&mut self, header: HeaderName, message: &Message<'_>) -> Presented {
        let values = message.values(header).filter_map(Credentials::parse);
        // Credentials for other realms on the way are none of our business.
        let ours = values
            .filter(|given| self.is_realm(&given.realm.to_ascii_lowercase()))
            .collect::<Vec<Credentials>>();
        let Some(credentials) = ours.into_iter().next() else { return Presented::Challenge { stale: false } };
        let realm = credentials.realm.to_ascii_lowercase();
        let subscriber = self.lookup.subscriber_by_name(&credentials.username, &realm).cloned();
        let method = message.method().map(|method| method.as_bytes()).unwrap_or_default();
        let secret = subscriber.as_ref().map(|subscriber| &subscriber.digest);
        match (self.challenger.check(&credentials, secret, method, self.now.mono), subscriber) {
            (Verdict::Good, Some(subscriber)) => Presented::Known(Box::new(subscriber)),
            (Verdict::Stale, _) => Presented::Challenge { stale: true },
            (Verdict::Bad, _) | (Verdict::Good, None) => Presented::Wrong { username: credentials.username },
        }
    }

    fn is_realm(&self, realm: &str) -> bool {
        self.lookup.is_domain(realm) || realm.eq_ignore_ascii_case(&self.config.domain)
    }

    /// The lines of a challenge for callers of `domain`.
    pub(super) fn challenge(&mut self, header: HeaderName, domain: &str, stale: bool) -> Vec<u8> {
        self.counters.challenges += 1;
        let salt = self.transactions.random();
        let realm = self.lookup.realm(domain).unwrap_or(&self.config.domain);
        self.challenger.challenge(header.as_str(), realm, stale, self.now.mono, salt)
    }

    fn attempt(&mut self, from: SocketAddr, message: &Message<'_>, uri: Uri<'_>, caller: Caller) {
        let server = self.transactions.open(message, from);
        self.transactions.respond(self.now.mono, server, Reply::plain(100, None));
        self.counters.calls += 1;
        self.n_calls += 1;
        let uid = CallUid::new(format!("{}-{:x}-{}", self.config.node, self.boot, self.n_calls));
        let dialed = uri.user_text();
        let callee = canonical(&dialed);
        let clir = is_anonymous(message);
        let payer = caller.party.account();
        let config_revision = self.lookup.revision();
        let sender = message.from().and_then(|from| from.parse_uri());
        let attempt = Attempt {
            sip_call_id: message.call_id().map(text).unwrap_or_default(),
            caller: caller.party.clone(),
            from_user: sender.map(|uri| uri.user_text()).unwrap_or_default(),
            from_domain: match caller.auth {
                AuthMethod::Ip => from.ip().to_string(),
                AuthMethod::Digest | AuthMethod::None => {
                    sender.map(|uri| uri.host_text()).unwrap_or_default()
                }
            },
            dialed: dialed.clone(),
            dialed_domain: uri.host_text(),
            cli: caller.cli,
            clir,
            callee,
            source: from,
            transport: Transport::Udp,
            user_agent: message.value_text(HeaderName::UserAgent),
            auth: caller.auth,
            asserted_identity: message.value_text(HeaderName::PAssertedIdentity),
            diversion: message.value_text(HeaderName::Diversion),
        };
        self.emit_for(caller.tenant, payer, Some(uid.clone()), config_revision, EventBody::Attempt(attempt));

        let name = self.calls.reserve();
        let tag = self.tag(name, Side::Caller);
        let refused = match self.admit(&caller, &dialed, callee, &uri) {
            Ok((routes, holders)) => {
                let leg =
                    Dialog::of_invite(message, &tag, from).expect("a checked INVITE has what a dialog needs");
                let mut call = Box::new(Call {
                    uid,
                    tenant: caller.tenant,
                    payer,
                    config_revision,
                    began: self.now,
                    state: CallState::SettingUp,
                    invite: message.bytes().to_vec(),
                    invite_server: server,
                    caller_leg: leg,
                    cli: caller.cli,
                    clir,
                    caller_out: caller.cli.map_or_else(|| caller.name.clone(), |cli| cli.to_string()),
                    caller_domain: caller.domain.clone(),
                    routes,
                    n_attempts: 0,
                    route: None,
                    has_progressed: false,
                    has_early_media: false,
                    is_held: false,
                    codec: String::new(),
                    relayed: Vec::new(),
                    ack_due: None,
                    ack_sent: None,
                    bye_due: None,
                    holders,
                    short_timer: None,
                    long_timer: None,
                });
                if caller.auth == AuthMethod::Ip {
                    call.caller_leg.follow_contact();
                }
                for holder in &call.holders {
                    self.limits.hold(*holder);
                }
                if self.try_next_route(name, &mut call) {
                    self.call_of_invite.insert(server, name);
                    let ring_max = Duration::from_secs(self.config.ring_seconds_max.into());
                    self.arm_long(name, &mut call, ring_max, Timer::RingTimeout);
                    self.calls.give_back(name, call, Fate::Lives);
                    return;
                }
                let refusal = Refusal::new(
                    Cause::MaxCallsPeer,
                    503,
                    "Service Unavailable",
                    "every trunk of the route is at its limit",
                );
                self.reject(&call, server, &tag, refusal);
                for holder in std::mem::take(&mut call.holders) {
                    self.limits.release(holder);
                }
                self.calls.give_back(name, call, Fate::Ended);
                return;
            }
            Err(refusal) => refusal,
        };
        self.calls.unreserve(name);
        self.reject_with(caller.tenant, payer, uid, config_revision, server, &tag, refused);
    }

    fn reject(&mut self, call: &Call, server: ServerId, tag: &str, refusal: Refusal) {
        self.reject_with(
            call.tenant,
            call.payer,
            call.uid.clone(),
            call.config_revision,
            server,
            tag,
            refusal,
        );
    }

    #[expect(clippy::too_many_arguments, reason = "the envelope of an event of a call that never came to be")]
    fn reject_with(
        &mut self,
        tenant: TenantId,
        payer: AccountId,
        uid: CallUid,
        config_revision: i64,
        server: ServerId,
        tag: &str,
        refusal: Refusal,
    ) {
        self.counters.calls_rejected += 1;
        let retry_after = if refusal.code == 503 { self.retry_after() } else { Vec::new() };
        let reply = Reply {
            code: refusal.code,
            phrase: refusal.phrase.as_bytes(),
            tag: Some(tag),
            lines: &retry_after,
            body: &[],
        };
        self.transactions.respond(self.now.mono, server, reply);
        let rejected = Rejected {
            cause: refusal.cause,
            code: refusal.code,
            phrase: refusal.phrase.to_owned(),
            object: refusal.object,
        };
        self.emit_for(tenant, payer, Some(uid), config_revision, EventBody::Rejected(rejected));
    }

    /// May this caller make this call, and where does it go? On success what the call will hold of limits.
    fn admit(
        &mut self,
        caller: &Caller,
        dialed: &str,
        callee: Option<E164>,
        uri: &Uri<'_>,
    ) -> Result<(VecDeque<Target>, Vec<Holder>), Refusal> {
        let now = self.now.wall;
        let payer = caller.party.account();
        if !self.lookup.is_active(payer) {
            let object = format!("account {payer} is not active");
            return Err(Refusal::new(Cause::LockedOut, 403, "Caller locked", object));
        }
        let level = self.lookup.lock_level(payer, now);
        if level.blocks_outgoing_on_net() {
            return Err(locked_out(payer, level));
        }
        let host = uri.host_text();
        let domain = if self.lookup.is_domain(&host) { host } else { caller.domain.to_ascii_lowercase() };
        let local = callee.and_then(|number| self.lookup.owner(number, now));
        let local = local.or_else(|| self.lookup.subscriber_by_name(dialed, &domain)).cloned();
        if local.is_none() && level.blocks_outgoing() {
            return Err(locked_out(payer, level));
        }
        let account_max = self.lookup.account(payer).and_then(|account| account.calls_max);
        let holders = vec![caller.holder, Holder::Account(payer)];
        let full = self
            .limits
            .check(caller.holder, caller.calls_max)
            .and_then(|()| self.limits.check(Holder::Account(payer), account_max));
        if let Err(object) = full {
            let cause = match caller.holder {
                Holder::Trunk(_) => Cause::MaxCallsPeer,
                Holder::Subscriber(_) | Holder::Account(_) => Cause::MaxCallsOut,
            };
            return Err(Refusal::new(cause, 403, "Maximum parallel calls exceeded", object));
        }
        match local {
            Some(subscriber) => self.admit_local(&subscriber, callee, holders),
            None => self.admit_foreign(caller, callee, holders),
        }
    }

    fn admit_local(
        &self,
        callee: &Subscriber,
        number: Option<E164>,
        mut holders: Vec<Holder>,
    ) -> Result<(VecDeque<Target>, Vec<Holder>), Refusal> {
        let level = self.lookup.lock_level(callee.account, self.now.wall);
        if level.blocks_incoming() || !self.lookup.is_active(callee.account) {
            let object = format!("account {} lock {}", callee.account, level.number());
            return Err(Refusal::new(Cause::LockedIn, 403, "Callee locked", object));
        }
        let holder = Holder::Subscriber(callee.id);
        // Somebody who calls himself takes two lines.
        let taken = u32::from(holders.contains(&holder));
        let calls_max = callee.calls_max.map(|max| max.saturating_sub(taken));
        if let Err(object) = self.limits.check(holder, calls_max) {
            return Err(Refusal::new(Cause::MaxCallsIn, 486, "Busy Here", object));
        }
        let contacts = self.registrar.contacts(callee.id, self.now.mono);
        if contacts.is_empty() {
            let object = format!("subscriber {}", callee.id);
            return Err(Refusal::new(Cause::CalleeOffline, 480, "Offline", object));
        }
        holders.push(holder);
        let party = self.lookup.party(callee);
        let called = number.map_or_else(|| callee.username.clone(), |number| number.to_string());
        let targets = contacts.into_iter().map(|(uri, next_hop)| Target {
            party: party.clone(),
            next_hop,
            uri,
            callee_out: called.clone(),
            trunk: None,
        });
        Ok((targets.collect(), holders))
    }

    fn admit_foreign(
        &mut self,
        caller: &Caller,
        callee: Option<E164>,
        holders: Vec<Holder>,
    ) -> Result<(VecDeque<Target>, Vec<Holder>), Refusal> {
        let unknown = |object: &str| Refusal::new(Cause::CalleeUnknown, 404, "Not Found", object);
        let Some(number) = callee else {
            return Err(unknown("neither a number nor one of our names"));
        };
        // A carrier brings calls for our numbers; sending them on to another carrier would make us its transit.
        if let Party::Trunk { account, .. } = caller.party
            && self.lookup.account(account).is_some_and(|account| account.kind == AccountKind::Carrier)
        {
            return Err(unknown("not one of our numbers"));
        }
        let own_trunk = match caller.party {
            Party::Trunk { trunk, .. } => Some(trunk),
            Party::Subscriber { .. } | Party::Unknown => None,
        };
        let rng = &mut self.rng;
        let routes = self.lookup.routes(caller.tenant, number, |below| rng.random_range(0..below));
        let targets: VecDeque<Target> = routes
            .into_iter()
            .filter(|(_, trunk)| Some(trunk.id) != own_trunk)
            .map(|(_, trunk)| target_of_trunk(trunk, number))
            .collect();
        if targets.is_empty() {
            return Err(Refusal::new(Cause::NoRoute, 404, "No Route", format!("tenant {}", caller.tenant)));
        }
        Ok((targets, holders))
    }

    /// The limit of a trunk on the way out.
    ///
    /// # Errors
    ///
    /// What is full.
    pub(super) fn check_trunk(&self, trunk: TrunkId) -> Result<Holder, String> {
        let holder = Holder::Trunk(trunk);
        let calls_max = self.lookup.trunk(trunk).and_then(|trunk| trunk.calls_max);
        self.limits.check(holder, calls_max).map(|()| holder)
    }
}

fn locked_out(account: AccountId, level: LockLevel) -> Refusal {
    Refusal::new(Cause::LockedOut, 403, "Caller locked", format!("account {account} lock {}", level.number()))
}

fn target_of_trunk(trunk: &Trunk, number: E164) -> Target {
    let callee_out = format!("{}{number}", trunk.tech_prefix);
    Target {
        party: Party::Trunk { trunk: trunk.id, account: trunk.account },
        next_hop: trunk.address,
        uri: format!("sip:{callee_out}@{}", trunk.address).into_bytes(),
        callee_out,
        trunk: Some(trunk.id),
    }
}

/// A dialled number in canonical form: `+`, `00` and visual separators are dropped. National forms need rewrite rules.
fn canonical(dialed: &str) -> Option<E164> {
    let digits: String = dialed.chars().filter(|c| !matches!(c, '-' | '.' | '(' | ')' | ' ')).collect();
    digits.strip_prefix("00").unwrap_or(&digits).parse().ok()
}

/// The number a trunk vouches for: P-Asserted-Identity, else From.
fn number_of_caller(message: &Message<'_>) -> Option<E164> {
    let number = |address: NameAddr<'_>| canonical(&address.parse_uri()?.user_text());
    let asserted = message.list(HeaderName::PAssertedIdentity).filter_map(NameAddr::parse).find_map(number);
    asserted.or_else(|| message.from().and_then(number))
}

/// Whether the caller wants to stay anonymous (RFC 3323, RFC 3325).
fn is_anonymous(message: &Message<'_>) -> bool {
    let from = message.from().and_then(|from| from.parse_uri());
    wants_privacy(message) || from.is_some_and(|uri| uri.host_text() == "anonymous.invalid")
}

/// Whether a Privacy header says so.
pub(super) fn wants_privacy(message: &Message<'_>) -> bool {
    message.values(HeaderName::Privacy).any(|value| {
        value.split(|byte| b"; ,".contains(byte)).any(|word| {
            [&b"id"[..], b"user", b"header"].iter().any(|private| word.eq_ignore_ascii_case(private))
        })
    })
}
