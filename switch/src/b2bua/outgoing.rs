//! Towards the callee: the INVITE of each route, its answers, and the next route when one fails.
//!
//! In: calls from `setup`, answers and silence of routes. Out: INVITEs, what the caller hears of their answers, and the events
//! `route_attempt`, `progress`, `route_result` and `answer`.

use std::time::Duration;

use model::{Answer, Cause, EventBody, Initiator, Progress, RouteAction, RouteAttempt, RouteResult};

use super::call::{AckDue, Call, CallRef, CallState, Fate, RouteLeg, Side, Target, micros};
use super::setup::wants_privacy;
use super::{ALLOW, Purpose, Switch};
use crate::dialog::Dialog;
use crate::message::{HeaderName, Message, Writer, phrase_of, text};
use crate::sdp;
use crate::timer::Timer;
use crate::transaction::{ClientId, Reply};

/// What Reason says of a Q.850 cause that speaks of the network and not of the callee (switch-reference 5.3).
const CAUSES_OF_CONGESTION: &[u64] = &[34, 38, 41, 42];

impl Switch {
    /// Sends the INVITE to the next route that has room. `false`: there is none.
    pub(super) fn try_next_route(&mut self, name: CallRef, call: &mut Call) -> bool {
        while call.n_attempts < self.config.route_attempts_max {
            let Some(target) = call.routes.pop_front() else { return false };
            let holder = match target.trunk.map(|trunk| self.check_trunk(trunk)) {
                Some(Ok(holder)) => Some(holder),
                Some(Err(_full)) => continue,
                None => None,
            };
            self.send_invite(name, call, target, holder);
            return true;
        }
        false
    }

    fn send_invite(
        &mut self,
        name: CallRef,
        call: &mut Call,
        target: Target,
        holder: Option<super::limits::Holder>,
    ) {
        let invite = Message::scan(&call.invite).expect("the INVITE was read before");
        let client = self.transactions.branch();
        let tag = self.tag(name, Side::Callee);
        let call_id = format!("{:016x}@{}", self.transactions.random(), self.config.node);
        let hops = invite.number(HeaderName::MaxForwards).unwrap_or(70).saturating_sub(1);
        let own_host = host_of(self.address);
        let from = match (call.clir, target.trunk) {
            (true, _) => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
            (false, Some(_)) => address_of(&call.caller_out, &own_host),
            (false, None) => address_of(&call.caller_out, &bracketed(&call.caller_domain)),
        };
        let to_host = host_of(target.next_hop);
        let mut writer = Writer::request(b"INVITE", &target.uri)
            .header("Via", client.via(self.address))
            .header("Max-Forwards", hops.to_string())
            .header("From", format!("{from};tag={tag}"))
            .header("To", address_of(&target.callee_out, &to_host))
            .header("Call-ID", &call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", self.contact())
            .header("Allow", ALLOW);
        if let (Some(_), Some(cli)) = (target.trunk, call.cli) {
            // A trunk is trusted with the number even when the callee must not see it (RFC 3325, 7).
            writer = writer.header("P-Asserted-Identity", format!("<sip:{cli}@{own_host}>"));
            if call.clir && !wants_privacy(&invite) {
                // Anonymous by From alone: without this the next network would show the number (RFC 3325, 9.3).
                writer = writer.header("Privacy", "id");
            }
        }
        let bytes = writer.copy(&invite, HeaderName::crosses_the_switch).finish(invite.body());

        call.n_attempts += 1;
        if let Some(holder) = holder {
            self.limits.hold(holder);
        }
        let attempt = RouteAttempt {
            attempt: call.n_attempts,
            callee: target.party.clone(),
            next_hop: target.next_hop,
            caller_out: if call.clir { "anonymous".to_owned() } else { call.caller_out.clone() },
            callee_out: target.callee_out.clone(),
            sip_call_id: call_id,
        };
        call.route = Some(RouteLeg {
            client,
            to_trunk: target.trunk.is_some(),
            holder,
            sent_at: self.now.mono,
            rang_at: None,
            dialog: None,
        });
        self.emit_call(call, EventBody::RouteAttempt(attempt));
        self.transactions.send(self.now.mono, client, target.next_hop, bytes, Purpose::Route(name));
        let silence_max = Duration::from_secs(self.config.route_seconds_max.into());
        self.arm_short(name, call, silence_max, Timer::RouteSilent);
    }

    /// An answer to the INVITE of a route.
    pub(super) fn route_answered(
        &mut self,
        name: CallRef,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) {
        let Some(mut call) = self.calls.take(name) else {
            // The call is over; a fork that answers now is hung up.
            return self.abandoned_answered(client, code, message);
        };
        let fate = self.route_answer(name, &mut call, client, code, message);
        self.calls.give_back(name, call, fate);
    }

    fn route_answer(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) -> Fate {
        match call.state {
            CallState::SettingUp if code < 200 => self.route_progress(call, code, message),
            CallState::SettingUp if code < 300 => self.route_accepted(name, call, client, code, message),
            CallState::SettingUp => {
                let phrase = message_phrase(message);
                let reason = message.value_text(HeaderName::Reason);
                return self.route_refused(name, call, Initiator::Callee, code, &phrase, reason);
            }
            CallState::Answered { .. } if (200..300).contains(&code) => {
                let tag = message.to().and_then(|to| to.tag());
                let dialog = call.route.as_ref().and_then(|route| route.dialog.as_ref());
                if dialog.is_some_and(|dialog| dialog.is_remote(message.call_id(), tag)) {
                    self.repeat_ack(call, client);
                } else {
                    self.hang_up_fork(client, message);
                }
            }
            CallState::Answered { .. } | CallState::Over => {}
        }
        Fate::Lives
    }

    fn route_progress(&mut self, call: &mut Call, code: u16, message: &Message<'_>) {
        self.timers.disarm(&mut call.short_timer);
        if code == 100 {
            return;
        }
        if let Some(route) = call.route.as_mut() {
            route.rang_at.get_or_insert(self.now.mono);
        }
        let with_sdp = !message.body().is_empty();
        call.has_early_media |= with_sdp;
        if !call.has_progressed {
            call.has_progressed = true;
            self.emit_call(call, EventBody::Progress(Progress { code, with_sdp }));
        }
        let lines = self.answer_lines(message, true);
        let reply = Reply {
            code,
            phrase: &message_phrase(message),
            tag: Some(&call.caller_leg.local_tag),
            lines: &lines,
            body: message.body(),
        };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
    }

    fn route_accepted(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) {
        let Some((request, peer)) = self.transactions.request_of(client) else { return };
        let Some(mut dialog) =
            Message::scan(request).ok().and_then(|invite| Dialog::of_answer(&invite, message, peer))
        else {
            return;
        };
        let cseq = dialog.last_cseq();
        self.route_result(
            call,
            code,
            &message_phrase(message),
            message.value_text(HeaderName::Reason),
            RouteAction::Stop,
        );
        if let Some(route) = call.route.as_mut() {
            if route.to_trunk {
                dialog.follow_contact();
            }
            route.dialog = Some(dialog);
        }
        call.codec = sdp::first_audio_codec(message.body());
        call.state = CallState::Answered { at: self.now };
        call.invite = Vec::new();
        call.routes.clear();
        self.counters.calls_answered += 1;
        let user_agent = match message.value_text(HeaderName::UserAgent) {
            agent if agent.is_empty() => message.value_text(HeaderName::Server),
            agent => agent,
        };
        let answer = Answer {
            attempt: call.n_attempts,
            code,
            setup_us: micros(self.now.mono.saturating_sub(call.began.mono)),
            codec: call.codec.clone(),
            user_agent,
        };
        self.emit_call(call, EventBody::Answer(answer));

        let lines = self.answer_lines(message, true);
        let reply = Reply {
            code,
            phrase: &message_phrase(message),
            tag: Some(&call.caller_leg.local_tag),
            lines: &lines,
            body: message.body(),
        };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
        call.ack_due = Some(AckDue { from: Side::Caller, server: call.invite_server, client, cseq });
        let tick = Duration::from_secs(self.config.charge_tick_seconds.into());
        self.arm_short(name, call, tick, Timer::ChargeTick);
        let longest = Duration::from_secs(self.config.call_seconds_max.into());
        self.arm_long(name, call, longest, Timer::CallSecondsMax);
    }

    fn route_result(
        &mut self,
        call: &mut Call,
        code: u16,
        phrase: &[u8],
        reason: String,
        action: RouteAction,
    ) {
        let pdd_us = call
            .route
            .as_ref()
            .map(|route| micros(route.rang_at.unwrap_or(self.now.mono).saturating_sub(route.sent_at)));
        let result =
            RouteResult { attempt: call.n_attempts, code, phrase: text(phrase), reason, pdd_us, action };
        self.emit_call(call, EventBody::RouteResult(result));
    }

    /// A route failed: the next one, or the end.
    fn route_refused(
        &mut self,
        name: CallRef,
        call: &mut Call,
        by: Initiator,
        code: u16,
        phrase: &[u8],
        reason: String,
    ) -> Fate {
        self.timers.disarm(&mut call.short_timer);
        // The caller cannot be given a second description within one early dialog (RFC 3261, 13.2.1; switch-reference 5.3).
        let hunts_on = goes_on(code, &reason) && !call.has_early_media;
        let next_has_room = hunts_on && call.n_attempts < self.config.route_attempts_max && {
            let mut targets = call.routes.iter();
            targets.any(|target| target.trunk.is_none_or(|trunk| self.check_trunk(trunk).is_ok()))
        };
        let action = if next_has_room { RouteAction::Next } else { RouteAction::Stop };
        self.route_result(call, code, phrase, reason.clone(), action);
        self.release_route(call);
        if next_has_room && self.try_next_route(name, call) {
            return Fate::Lives;
        }
        // A challenge or a redirection of a carrier means nothing to the caller.
        let (code, phrase) = match code {
            300..=399 => (480, phrase_of(480).as_bytes()),
            401 | 407 => (500, phrase_of(500).as_bytes()),
            _ => (code, phrase),
        };
        let lines = if reason.is_empty() { Vec::new() } else { format!("Reason: {reason}\r\n").into_bytes() };
        let tag = call.caller_leg.local_tag.clone();
        let reply = Reply { code, phrase, tag: Some(&tag), lines: &lines, body: &[] };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
        self.finish(call, by, cause_of(code), code, reason);
        Fate::Ended
    }

    /// Timer B: the transaction of the INVITE died.
    pub(super) fn route_failed_silently(&mut self, name: CallRef) {
        let Some(mut call) = self.calls.take(name) else { return };
        let fate = match call.state {
            CallState::SettingUp => self.route_timed_out(name, &mut call),
            CallState::Answered { .. } | CallState::Over => Fate::Lives,
        };
        self.calls.give_back(name, call, fate);
    }

    /// A route did not even say 100: it is given up and the next one tried.
    pub(super) fn route_silent(&mut self, name: CallRef, call: &mut Call) -> Fate {
        if let Some(route) = &call.route {
            self.abandon(route.client);
        }
        self.route_timed_out(name, call)
    }

    /// No answer is our own verdict.
    fn route_timed_out(&mut self, name: CallRef, call: &mut Call) -> Fate {
        self.route_refused(name, call, Initiator::Switch, 408, phrase_of(408).as_bytes(), String::new())
    }

    /// Lets go of the outgoing leg's share of limits.
    pub(super) fn release_route(&mut self, call: &mut Call) {
        if let Some(holder) = call.route.take().and_then(|route| route.holder) {
            self.limits.release(holder);
        }
    }

    /// Cancels an INVITE nobody waits for any more; if it is answered all the same, it is hung up.
    pub(super) fn abandon(&mut self, client: ClientId) {
        self.transactions.set_token(client, Purpose::Abandoned);
        self.transactions.cancel(self.now.mono, client);
    }

    /// An answer to an INVITE that was given up. A 2xx that crossed our CANCEL is hung up (RFC 3261, 15).
    pub(super) fn abandoned_answered(&mut self, client: ClientId, code: u16, message: &Message<'_>) {
        if (200..300).contains(&code) {
            self.hang_up_fork(client, message);
        }
    }

    /// Acknowledges a 2xx that nobody wants, and ends its dialog.
    fn hang_up_fork(&mut self, client: ClientId, message: &Message<'_>) {
        let Some((request, peer)) = self.transactions.request_of(client) else { return };
        let dialog = Message::scan(request).ok().and_then(|invite| Dialog::of_answer(&invite, message, peer));
        let Some(mut dialog) = dialog else { return };
        let branch = self.transactions.branch();
        let cseq = dialog.last_cseq();
        let ack = dialog.request(b"ACK", Some(cseq), branch, self.address).finish(&[]);
        self.transactions.transmit(peer, ack);
        let branch = self.transactions.branch();
        let bye = dialog.request(b"BYE", None, branch, self.address).finish(&[]);
        self.transactions.send(self.now.mono, branch, peer, bye, Purpose::Nothing);
    }

    /// Headers of an answer that is passed on.
    pub(super) fn answer_lines(&self, message: &Message<'_>, with_contact: bool) -> Vec<u8> {
        let mut writer = Writer::lines_only();
        if with_contact {
            writer = writer.header("Contact", self.contact()).header("Allow", ALLOW);
        }
        writer.copy(message, HeaderName::crosses_the_switch).into_lines()
    }

    /// Where we want requests inside dialogs.
    pub(super) fn contact(&self) -> String {
        format!("<sip:{}>", self.address)
    }
}

/// Phrase of a response, as received.
pub(super) fn message_phrase(message: &Message<'_>) -> Vec<u8> {
    match message.start() {
        crate::message::StartLine::Response { phrase, .. } => phrase.to_vec(),
        crate::message::StartLine::Request { .. } => Vec::new(),
    }
}

/// Whether the next route is tried after this answer (switch-reference 5.3).
fn goes_on(code: u16, reason: &str) -> bool {
    match code {
        300..=399 | 401 | 403 | 407 | 408 | 437 | 488 | 500 | 502 | 503 | 504 | 513 | 580 => true,
        480 => q850_cause(reason).is_some_and(|cause| CAUSES_OF_CONGESTION.contains(&cause)),
        _ => false,
    }
}

/// `Q.850;cause=34` in a Reason header.
fn q850_cause(reason: &str) -> Option<u64> {
    let q850 = reason.split(',').find(|one| one.trim_start().to_ascii_uppercase().starts_with("Q.850"))?;
    q850.split(';').find_map(|param| param.trim().strip_prefix("cause=")?.trim().parse().ok())
}

/// What a final code of the called side means.
fn cause_of(code: u16) -> Cause {
    match code {
        486 | 600 => Cause::Busy,
        480 => Cause::NoAnswer,
        487 => Cause::Cancelled,
        404 | 410 | 484 | 604 => Cause::CalleeUnknown,
        408 => Cause::Timeout,
        488 => Cause::NotAcceptable,
        403 | 603 | 606 | 607 | 608 => Cause::Declined,
        500..=599 => Cause::PeeringUnavailable,
        _ => Cause::Other,
    }
}

/// Host part of a URI for an address.
fn host_of(address: std::net::SocketAddr) -> String {
    bracketed(&address.ip().to_string())
}

fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

/// A URI in brackets. A user part may be missing, but not empty (RFC 3261, 25.1).
fn address_of(user: &str, host: &str) -> String {
    if user.is_empty() { format!("<sip:{host}>") } else { format!("<sip:{}@{host}>", escaped(user)) }
}

/// A user part that may hold anything (RFC 3261, 25.1: `user`).
fn escaped(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,?/#".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn congestion_goes_on_and_a_busy_callee_stops() {
        assert!(goes_on(503, ""));
        assert!(goes_on(480, "SIP;cause=480, Q.850;cause=34;text=\"no circuit\""));
        assert!(!goes_on(480, "Q.850;cause=19"));
        for code in [404, 410, 480, 484, 486, 487, 600, 603, 604, 606] {
            assert!(!goes_on(code, ""), "{code}");
        }
    }

    #[test]
    fn user_part_cannot_break_out_of_its_uri() {
        assert_eq!(escaped("bob>;x@y"), "bob%3E%3Bx%40y");
        assert_eq!(escaped("john.doe"), "john.doe");
    }
}
