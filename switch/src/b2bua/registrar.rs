//! The registrar (RFC 3261, 10): where our subscribers can be reached now.
//!
//! In: REGISTER requests. Out: their answers, `registration` events, and the contacts of a subscriber, latest first. Bindings
//! live in memory: after a restart the phones renew them. A contact is reached where its REGISTER came from, NAT or not.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use model::{EventBody, Registration, RegistrationChange, SecurityKind, Subscriber, SubscriberId};

use super::identify::Presented;
use super::{Due, Switch};
use crate::ascii;
use crate::hop::Hop;
use crate::message::{HeaderName, Message, NameAddr, Scheme, parse_number, text, trim, without_uri_headers};
use crate::timer::TimerKey;
use crate::transaction::Reply;

/// One registered contact.
#[derive(Debug, Clone)]
struct Binding {
    uri: Box<[u8]>,
    source: Hop,
    /// The proxies it came by, as Route values (RFC 3327).
    path: Vec<Box<[u8]>>,
    expires_at: Duration,
    call_id: Box<[u8]>,
    cseq: u32,
    user_agent: String,
}

/// Where a subscriber can be reached.
#[derive(Debug, Clone)]
pub(super) struct Reach {
    /// Request-URI.
    pub(super) uri: Vec<u8>,
    pub(super) hop: Hop,
    /// Route values.
    pub(super) path: Vec<Box<[u8]>>,
}

/// All registered contacts.
#[derive(Debug, Default)]
pub(super) struct Registrar {
    bindings: HashMap<SubscriberId, (Vec<Binding>, Option<TimerKey>)>,
    n_contacts: usize,
}

impl Registrar {
    /// Contacts registered.
    pub(super) fn len(&self) -> usize {
        self.n_contacts
    }

    /// Each contact, latest first.
    pub(super) fn contacts(&self, subscriber: SubscriberId, now: Duration) -> Vec<Reach> {
        let Some((bindings, _)) = self.bindings.get(&subscriber) else { return Vec::new() };
        let alive = bindings.iter().rev().filter(|binding| binding.expires_at > now);
        let reach = |binding: &Binding| Reach {
            uri: without_uri_headers(&binding.uri).to_vec(),
            hop: binding.source,
            path: binding.path.clone(),
        };
        alive.map(reach).collect()
    }
}

/// One contact as wished for.
struct Wish<'a> {
    uri: &'a [u8],
    seconds: u32,
}

impl Switch {
    pub(super) fn register(&mut self, from: Hop, message: &Message<'_>) {
        let tag = self.stateless_tag(message);
        if let Some(lines) = self.refusal_lines() {
            let reply = Reply { lines: &lines, ..Reply::plain(503, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        let Some(aor) = message.to().and_then(|to| to.parse_uri()) else { return };
        // Nobody is registered under a number or a name alone (RFC 3261, 10.3; RFC 4475, 3.3.4).
        if !matches!(aor.scheme, Scheme::Sip | Scheme::Sips) {
            self.count_request(from);
            let reply =
                Reply { phrase: b"Address Of Record Must Be A SIP URI", ..Reply::plain(400, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        let (username, domain) = (aor.user_text(), aor.host_text());
        let subscriber = match self.present(HeaderName::Authorization, message) {
            Presented::Known(subscriber) => subscriber,
            Presented::Challenge { stale } => {
                self.count_request(from);
                let lines = self.challenge(HeaderName::WwwAuthenticate, &domain, stale);
                let reply = Reply { lines: &lines, ..Reply::plain(401, Some(&tag)) };
                self.transactions.respond_without_state(message, from, reply);
                return;
            }
            Presented::Wrong { username: tried } => {
                self.counters.auth_failed += 1;
                self.registration_failed(from, message, &tried, &format!("{username}@{domain}"));
                self.transactions.respond_without_state(message, from, Reply::plain(403, Some(&tag)));
                return;
            }
        };
        let server = self.transactions.open(message, from);
        self.note_good_login(from, &subscriber);
        if !self.lookup.subscriber_rules(subscriber.id).allows_source(from) {
            let reply = Reply { phrase: b"Unauthorized IP detected", ..Reply::plain(403, Some(&tag)) };
            self.transactions.respond(self.now.mono, server, reply);
            let detail = format!("subscriber {} registers from there", subscriber.id);
            self.note_security(SecurityKind::UnknownSource, from.address, &subscriber.username, &detail);
            return;
        }
        let is_own = subscriber.username == username && subscriber.domain.eq_ignore_ascii_case(&domain);
        let outcome = if is_own { self.bind(from, message, &subscriber) } else { Err((403, Vec::new())) };
        if outcome.is_ok() {
            self.keep_way_in(subscriber.id, from, message);
        }
        let (code, lines) = match outcome {
            Ok(lines) => (200, lines),
            Err((code, lines)) => (code, lines),
        };
        let reply = Reply { lines: &lines, ..Reply::plain(code, Some(&tag)) };
        self.transactions.respond(self.now.mono, server, reply);
    }

    fn registration_failed(&mut self, from: Hop, message: &Message<'_>, tried: &str, aor: &str) {
        // Somebody who guesses passwords gets one record in a while, with a count.
        if !self.is_followed(SecurityKind::AuthFailed, from.address)
            && let Some((username, domain)) = aor.split_once('@')
            && let Some(subscriber) = self.lookup.subscriber_by_name(username, domain).cloned()
        {
            let contact = message.contact().map(|contact| text(contact.uri)).unwrap_or_default();
            self.registration_event(
                RegistrationChange::Failed,
                &subscriber,
                contact,
                from,
                message.value_text(HeaderName::UserAgent),
                0,
            );
        }
        self.note_security(SecurityKind::AuthFailed, from.address, tried, "REGISTER");
        self.note_bad_login(from, tried);
    }

    fn registration_event(
        &mut self,
        change: RegistrationChange,
        subscriber: &Subscriber,
        contact: String,
        source: Hop,
        user_agent: String,
        expires_seconds: u32,
    ) {
        let registration =
            registration_of(change, subscriber, contact, source.address, user_agent, expires_seconds);
        self.emit(subscriber.tenant, subscriber.account, EventBody::Registration(registration));
    }

    /// Does what an authenticated REGISTER asks for. Out: the Contact lines of the answer.
    fn bind(
        &mut self,
        from: Hop,
        message: &Message<'_>,
        subscriber: &Subscriber,
    ) -> Result<Vec<u8>, (u16, Vec<u8>)> {
        let header_seconds = message.number(HeaderName::Expires);
        let call_id: Box<[u8]> = message.call_id().unwrap_or_default().into();
        let cseq = message.cseq().map_or(0, |cseq| cseq.number);
        let user_agent = message.value_text(HeaderName::UserAgent);
        let path: Vec<Box<[u8]>> = message.list(HeaderName::Path).map(Box::from).collect();
        let (mut bindings, mut timer) = self.registrar.bindings.remove(&subscriber.id).unwrap_or_default();
        self.timers.disarm(&mut timer);
        let n_before = bindings.len();
        let now = self.now.mono;
        let is_star = message.values(HeaderName::Contact).any(|value| trim(value) == b"*");
        let outcome = if is_star && header_seconds != Some(0) {
            Err((400, Vec::new()))
        } else if is_star {
            for binding in std::mem::take(&mut bindings) {
                let contact = text(&binding.uri);
                self.registration_event(
                    RegistrationChange::Removed,
                    subscriber,
                    contact,
                    from,
                    user_agent.clone(),
                    0,
                );
            }
            Ok(())
        } else {
            self.wishes(message, header_seconds).and_then(|wishes| {
                // An older request that comes late changes nothing (RFC 3261, 10.3, step 7).
                let is_late =
                    bindings.iter().any(|binding| binding.call_id == call_id && cseq <= binding.cseq);
                if is_late && !wishes.is_empty() {
                    return Err((500, Vec::new()));
                }
                for wish in wishes {
                    let is_same = |binding: &Binding| {
                        *binding.uri == *wish.uri
                            && binding.expires_at > now
                            && binding.source == from
                            && binding.user_agent == user_agent
                    };
                    let renewed = wish.seconds > 0 && bindings.iter().any(is_same);
                    bindings.retain(|binding| *binding.uri != *wish.uri);
                    let change =
                        if wish.seconds == 0 { RegistrationChange::Removed } else { RegistrationChange::Ok };
                    if wish.seconds > 0 {
                        bindings.push(Binding {
                            uri: wish.uri.into(),
                            source: from,
                            path: path.clone(),
                            expires_at: now + Duration::from_secs(wish.seconds.into()),
                            call_id: call_id.clone(),
                            cseq,
                            user_agent: user_agent.clone(),
                        });
                    }
                    let contact = text(wish.uri);
                    let user_agent = user_agent.clone();
                    let registration =
                        registration_of(change, subscriber, contact, from.address, user_agent, wish.seconds);
                    let registration = Registration { renewed, ..registration };
                    self.emit(subscriber.tenant, subscriber.account, EventBody::Registration(registration));
                }
                Ok(())
            })
        };
        let excess = bindings.len().saturating_sub(self.config.contacts_max as usize);
        for binding in bindings.drain(..excess) {
            let contact = text(&binding.uri);
            self.registration_event(
                RegistrationChange::Removed,
                subscriber,
                contact,
                from,
                binding.user_agent,
                0,
            );
        }
        if outcome.is_ok() {
            self.counters.registrations += 1;
        }

        let mut lines = Vec::with_capacity(if bindings.is_empty() { 0 } else { 256 });
        for binding in bindings.iter().filter(|binding| binding.expires_at > now) {
            let seconds = binding.expires_at.saturating_sub(now).as_secs();
            lines.extend_from_slice(b"Contact: <");
            lines.extend_from_slice(&binding.uri);
            lines.extend_from_slice(b">;expires=");
            lines.extend_from_slice(ascii::number(seconds).as_bytes());
            lines.extend_from_slice(b"\r\n");
        }
        if !path.is_empty() {
            // Whoever registered through proxies learns which (RFC 3327, 5.3).
            let supported = path.join(&b", "[..]);
            lines.extend_from_slice(b"Path: ");
            lines.extend_from_slice(&supported);
            lines.extend_from_slice(b"\r\n");
        }
        self.registrar.n_contacts = self.registrar.n_contacts + bindings.len() - n_before;
        self.keep_bindings(subscriber.id, bindings);
        outcome.map(|()| lines)
    }

    fn keep_bindings(&mut self, subscriber: SubscriberId, bindings: Vec<Binding>) {
        let Some(first) = bindings.iter().map(|binding| binding.expires_at).min() else { return };
        let timer = self.timers.arm(first, Due::Registration(subscriber));
        self.registrar.bindings.insert(subscriber, (bindings, Some(timer)));
    }

    /// What a REGISTER wishes for, each within our bounds.
    fn wishes<'a>(
        &self,
        message: &Message<'a>,
        header_seconds: Option<u64>,
    ) -> Result<Vec<Wish<'a>>, (u16, Vec<u8>)> {
        let (min, max) = (self.config.register_seconds_min, self.config.register_seconds_max);
        let mut wishes = Vec::new();
        for contact in message.list(HeaderName::Contact).filter_map(NameAddr::parse) {
            let wished = contact.params.value("expires").and_then(parse_number).or(header_seconds);
            let seconds = wished.map_or(max, |wished| u32::try_from(wished).unwrap_or(max).min(max));
            if seconds > 0 && seconds < min {
                return Err((423, format!("Min-Expires: {min}\r\n").into_bytes()));
            }
            wishes.push(Wish { uri: contact.uri, seconds });
        }
        Ok(wishes)
    }

    /// A registration of this subscriber ran out.
    pub(super) fn expire_registrations(&mut self, subscriber: SubscriberId) {
        let now = self.now.mono;
        let Some((bindings, _fired)) = self.registrar.bindings.remove(&subscriber) else { return };
        let (alive, gone): (Vec<Binding>, Vec<Binding>) =
            bindings.into_iter().partition(|binding| binding.expires_at > now);
        self.registrar.n_contacts -= gone.len();
        self.keep_bindings(subscriber, alive);
        let Some(subscriber) = self.lookup.subscriber(subscriber).cloned() else { return };
        for binding in gone {
            let contact = text(&binding.uri);
            self.registration_event(
                RegistrationChange::Expired,
                &subscriber,
                contact,
                binding.source,
                binding.user_agent,
                0,
            );
        }
    }
}

/// What is told of a registration that is not merely renewed.
fn registration_of(
    change: RegistrationChange,
    subscriber: &Subscriber,
    contact: String,
    source: SocketAddr,
    user_agent: String,
    expires_seconds: u32,
) -> Registration {
    Registration {
        change,
        subscriber: Some(subscriber.id),
        aor: [&subscriber.username, "@", &subscriber.domain].concat(),
        contact,
        source,
        user_agent,
        expires_seconds,
        renewed: false,
    }
}
