//! Calls of the phones: placed and taken.

use std::time::Duration;

use super::{
    Behaviour, CallPlan, Due, IncomingCall, PhoneStep, PhoneSubject, Phones, Purpose, USER_AGENT,
    challenge_headers,
};
use crate::dialog::Dialog;
use crate::digest::Challenge;
use crate::hop::{Addresses, Hop};
use crate::message::{Message, Uri, Writer, phrase_of, text};
use crate::timer::TimerKey;
use crate::transaction::{ClientId, Reply, ServerId};

/// A call placed.
#[derive(Debug)]
pub(super) struct Outgoing {
    plan: CallPlan,
    client: ClientId,
    call_id: String,
    tag: String,
    cseq: u32,
    has_answered_challenge: bool,
    /// Since the 200.
    dialog: Option<Dialog>,
    answered_at: Duration,
    ack: Vec<u8>,
    timer: Option<TimerKey>,
}

/// A call taken.
#[derive(Debug)]
pub(super) struct Incoming {
    server: ServerId,
    dialog: Dialog,
    behaviour: Behaviour,
    answered_at: Option<Duration>,
    timer: Option<TimerKey>,
}

impl Phones {
    // Placed.

    pub(super) fn place(&mut self, plan: CallPlan) {
        let id = plan.id;
        let call = Outgoing {
            client: self.transactions.branch(),
            call_id: format!("{:016x}@phone", self.transactions.random()),
            tag: format!("o-{id:x}-{:016x}", self.transactions.random()),
            cseq: 0,
            has_answered_challenge: false,
            dialog: None,
            answered_at: Duration::ZERO,
            ack: Vec::new(),
            timer: Some(self.timers.arm(self.now.mono + plan.patience, Due::OutgoingPatience(id))),
            plan,
        };
        self.outgoing.insert(id, call);
        self.send_invite(id, None);
        self.report(PhoneSubject::Outgoing(id), PhoneStep::Dialled);
    }

    fn send_invite(&mut self, id: u64, challenge: Option<(&Challenge, &str)>) {
        let sdp = self.sdp();
        let lines = self.session_lines();
        let Some(call) = self.outgoing.get_mut(&id) else { return };
        let line = call.plan.line.and_then(|line| self.lines.get(line));
        let domain = line.map_or_else(|| self.address.to_string(), |line| line.domain.clone());
        let host = line.map_or_else(|| call.plan.server.to_string(), |line| line.domain.clone());
        call.cseq += 1;
        call.client = self.transactions.branch();
        let uri = format!("sip:{}@{host}", call.plan.to);
        let mut writer = Writer::request(b"INVITE", uri.as_bytes())
            .header("Via", call.client.via(Addresses::at(self.address), Hop::udp(self.address)))
            .header("Max-Forwards", "70")
            .header("From", format!("<sip:{}@{domain}>;tag={}", call.plan.from, call.tag))
            .header("To", format!("<{uri}>"))
            .header("Call-ID", &call.call_id)
            .header("CSeq", format!("{} INVITE", call.cseq))
            .lines(&lines);
        if let (Some((challenge, header)), Some(line)) = (challenge, line) {
            call.has_answered_challenge = true;
            let cnonce = self.transactions.random();
            writer = writer
                .header(header, challenge.answer(&line.username, &line.password, b"INVITE", &uri, cnonce));
        }
        let (client, server) = (call.client, call.plan.server);
        let bytes = writer.finish(sdp.as_bytes());
        self.transactions.send(self.now.mono, client, Hop::udp(server), bytes, Purpose::Invite(id));
    }

    pub(super) fn invite_answered(
        &mut self,
        id: u64,
        client: ClientId,
        code: u16,
        phrase: &[u8],
        message: &Message<'_>,
    ) {
        let Some(call) = self.outgoing.get_mut(&id) else { return };
        match code {
            100 => self.report(PhoneSubject::Outgoing(id), PhoneStep::Trying),
            101..=199 => self.report(PhoneSubject::Outgoing(id), PhoneStep::Ringing { code }),
            200..=299 if call.dialog.is_some() => {
                // The 200 came again, so our ACK was lost.
                let (to, ack) = (call.dialog.as_ref().map(|dialog| dialog.peer), call.ack.clone());
                if let Some(to) = to {
                    self.transactions.transmit(to, ack);
                }
            }
            200..=299 => self.outgoing_answered(id, client, message),
            401 | 407 if !call.has_answered_challenge && call.plan.line.is_some() => {
                let (asked, header) = challenge_headers(code);
                match Challenge::choose(message.values(asked)) {
                    Some(challenge) => {
                        self.report(PhoneSubject::Outgoing(id), PhoneStep::Challenged);
                        self.send_invite(id, Some((&challenge, header)));
                    }
                    None => self.outgoing_refused(id, code, &text(phrase)),
                }
            }
            _ => self.outgoing_refused(id, code, &text(phrase)),
        }
    }

    fn outgoing_answered(&mut self, id: u64, client: ClientId, message: &Message<'_>) {
        let Some((request, peer)) = self.transactions.request_of(client) else { return };
        let dialog = Message::scan(request).ok().and_then(|invite| Dialog::of_answer(&invite, message, peer));
        let (Some(mut dialog), Some(call)) = (dialog, self.outgoing.get_mut(&id)) else { return };
        let branch = self.transactions.branch();
        let ack = dialog.request(b"ACK", Some(call.cseq), branch, Addresses::at(self.address)).finish(&[]);
        self.transactions.transmit(dialog.peer, ack.clone());
        call.ack = ack;
        call.dialog = Some(dialog);
        call.answered_at = self.now.mono;
        self.timers.disarm(&mut call.timer);
        if let Some(talk) = call.plan.talk {
            call.timer = Some(self.timers.arm(self.now.mono + talk, Due::OutgoingTalk(id)));
        }
        self.report(PhoneSubject::Outgoing(id), PhoneStep::Answered);
    }

    pub(super) fn outgoing_refused(&mut self, id: u64, code: u16, phrase: &str) {
        let Some(mut call) = self.outgoing.remove(&id) else { return };
        self.timers.disarm(&mut call.timer);
        self.report(PhoneSubject::Outgoing(id), PhoneStep::Refused { code, phrase: phrase.to_owned() });
    }

    /// Hangs up, or gives up if nobody has answered.
    pub(super) fn hang_up_outgoing(&mut self, id: u64) {
        let Some(call) = self.outgoing.get_mut(&id) else { return };
        self.timers.disarm(&mut call.timer);
        if call.dialog.is_none() {
            let client = call.client;
            self.transactions.cancel(self.now.mono, client);
            self.report(PhoneSubject::Outgoing(id), PhoneStep::Cancelled);
            return;
        }
        let Some(mut call) = self.outgoing.remove(&id) else { return };
        let talked = self.now.mono.saturating_sub(call.answered_at);
        self.transactions.set_token(call.client, Purpose::Nothing);
        if let Some(dialog) = call.dialog.as_mut() {
            self.send_bye(dialog);
        }
        self.report(PhoneSubject::Outgoing(id), PhoneStep::HungUp { by_us: true, talked });
    }

    // Taken.

    pub(super) fn ring(&mut self, from: Hop, message: &Message<'_>) {
        let user = |uri: Option<Uri<'_>>| uri.map(|uri| uri.user_text()).unwrap_or_default();
        let call = IncomingCall {
            to: user(Uri::parse(message.request_uri())),
            from: user(message.from().and_then(|from| from.parse_uri())),
            source: from.address,
        };
        let behaviour = (self.answering)(&call);
        if behaviour == Behaviour::Silent {
            return;
        }
        self.n_incoming += 1;
        let id = self.n_incoming;
        let tag = format!("i-{id:x}-{:016x}", self.transactions.random());
        let Some(dialog) = Dialog::of_invite(message, &tag, from) else { return };
        let server = self.transactions.open(message, from);
        self.report(PhoneSubject::Incoming(id), PhoneStep::Called { call });
        let ring = match behaviour {
            Behaviour::Answer { ring, .. } | Behaviour::Refuse { ring, .. } => Some(ring),
            Behaviour::Ring | Behaviour::Silent => None,
        };
        if ring != Some(Duration::ZERO) {
            let lines = Writer::lines_only()
                .header("Contact", format!("<sip:{}>", self.address))
                .header("User-Agent", USER_AGENT)
                .into_lines();
            let reply = Reply { lines: &lines, ..Reply::plain(180, Some(&tag)) };
            self.transactions.respond(self.now.mono, server, reply);
        }
        let timer = ring.map(|ring| self.timers.arm(self.now.mono + ring, Due::IncomingRing(id)));
        self.incoming_of_server.insert(server, id);
        self.incoming.insert(id, Incoming { server, dialog, behaviour, answered_at: None, timer });
        if ring == Some(Duration::ZERO) {
            self.rung(id);
        }
    }

    /// It has rung long enough.
    pub(super) fn rung(&mut self, id: u64) {
        let (lines, sdp) = (self.session_lines(), self.sdp());
        let Some(call) = self.incoming.get_mut(&id) else { return };
        self.timers.disarm(&mut call.timer);
        let (server, tag) = (call.server, call.dialog.local_tag.clone());
        match call.behaviour {
            Behaviour::Answer { talk, .. } => {
                call.answered_at = Some(self.now.mono);
                if let Some(talk) = talk {
                    call.timer = Some(self.timers.arm(self.now.mono + talk, Due::IncomingTalk(id)));
                }
                let reply = Reply { lines: &lines, body: sdp.as_bytes(), ..Reply::plain(200, Some(&tag)) };
                self.transactions.respond(self.now.mono, server, reply);
                self.report(PhoneSubject::Incoming(id), PhoneStep::Answered);
            }
            Behaviour::Refuse { code, .. } => self.refuse_incoming(id, code),
            Behaviour::Ring | Behaviour::Silent => {}
        }
    }

    fn refuse_incoming(&mut self, id: u64, code: u16) {
        let Some(mut call) = self.incoming.remove(&id) else { return };
        self.timers.disarm(&mut call.timer);
        self.incoming_of_server.remove(&call.server);
        let tag = call.dialog.local_tag.clone();
        self.transactions.respond(self.now.mono, call.server, Reply::plain(code, Some(&tag)));
        let phrase = phrase_of(code).to_owned();
        self.report(PhoneSubject::Incoming(id), PhoneStep::Refused { code, phrase });
    }

    /// The caller gave up.
    pub(super) fn cancelled(&mut self, from: Hop, message: &Message<'_>) {
        let Some(server) = self.transactions.invite_of(message) else {
            return self.answer(from, message, 481);
        };
        self.answer(from, message, 200);
        let Some(id) = self.incoming_of_server.get(&server).copied() else { return };
        if self.incoming.get(&id).is_some_and(|call| call.answered_at.is_none()) {
            self.refuse_incoming(id, 487);
        }
    }

    /// The ACK of our 200.
    pub(super) fn acked(&mut self, message: &Message<'_>) {
        let Some(PhoneSubject::Incoming(id)) = subject_of(message) else { return };
        if let Some(server) = self.incoming.get(&id).map(|call| call.server) {
            self.transactions.acked(server);
        }
    }

    pub(super) fn ack_missing(&mut self, server: ServerId) {
        if let Some(id) = self.incoming_of_server.get(&server).copied() {
            self.hang_up_incoming(id);
        }
    }

    pub(super) fn hang_up_incoming(&mut self, id: u64) {
        let Some(mut call) = self.take_incoming(id) else { return };
        self.send_bye(&mut call.dialog);
        let talked = self.now.mono.saturating_sub(call.answered_at.unwrap_or(self.now.mono));
        self.report(PhoneSubject::Incoming(id), PhoneStep::HungUp { by_us: true, talked });
    }

    fn take_incoming(&mut self, id: u64) -> Option<Incoming> {
        let mut call = self.incoming.remove(&id)?;
        self.timers.disarm(&mut call.timer);
        self.incoming_of_server.remove(&call.server);
        self.transactions.acked(call.server);
        Some(call)
    }

    /// The other side hangs up.
    pub(super) fn bye(&mut self, from: Hop, message: &Message<'_>) {
        let (tag, call_id) = (message.to().and_then(|to| to.tag()).unwrap_or_default(), message.call_id());
        let ours = |dialog: &Dialog| dialog.local_tag.as_bytes() == tag && call_id == Some(&*dialog.call_id);
        let (incoming, outgoing) = match subject_of(message) {
            Some(PhoneSubject::Incoming(id)) => (Some(id), None),
            Some(PhoneSubject::Outgoing(id)) => (None, Some(id)),
            Some(PhoneSubject::Line(_)) | None => (None, None),
        };
        let incoming = incoming.filter(|id| self.incoming.get(id).is_some_and(|call| ours(&call.dialog)));
        let outgoing = outgoing
            .filter(|id| self.outgoing.get(id).is_some_and(|call| call.dialog.as_ref().is_some_and(ours)));
        self.answer(from, message, if incoming.or(outgoing).is_some() { 200 } else { 481 });
        if let Some(id) = incoming
            && let Some(call) = self.take_incoming(id)
        {
            let talked = self.now.mono.saturating_sub(call.answered_at.unwrap_or(self.now.mono));
            self.report(PhoneSubject::Incoming(id), PhoneStep::HungUp { by_us: false, talked });
        }
        if let Some(id) = outgoing
            && let Some(mut call) = self.outgoing.remove(&id)
        {
            self.timers.disarm(&mut call.timer);
            self.transactions.set_token(call.client, Purpose::Nothing);
            let talked = self.now.mono.saturating_sub(call.answered_at);
            self.report(PhoneSubject::Outgoing(id), PhoneStep::HungUp { by_us: false, talked });
        }
    }
}

/// The call that the tag of a request inside a dialog names.
fn subject_of(message: &Message<'_>) -> Option<PhoneSubject> {
    let mut parts = std::str::from_utf8(message.to()?.tag()?).ok()?.split('-');
    let direction = parts.next()?;
    let id = u64::from_str_radix(parts.next()?, 16).ok()?;
    match direction {
        "o" => Some(PhoneSubject::Outgoing(id)),
        "i" => Some(PhoneSubject::Incoming(id)),
        _ => None,
    }
}
