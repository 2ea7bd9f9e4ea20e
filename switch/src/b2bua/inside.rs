//! Inside an answered call: ACKs, and requests passed from one leg to the other (re-INVITE, UPDATE, INFO).
//!
//! In: requests that carry one of our tags, and the answers to those passed on. Out: the same on the other leg, end to end, with
//! the bodies byte for byte; `update` events for what changed the session. Two changes at once meet with 491.

use model::{CallUpdate, EventBody, UpdateKind};

use super::call::{AckDue, Call, CallRef, CallState, Fate, Relayed, Side};
use super::outgoing::message_phrase;
use super::{ALLOW, Purpose, Switch};
use crate::hop::Hop;
use crate::message::{HeaderName, Message, Method};
use crate::sdp;
use crate::transaction::{ClientId, Reply};

/// Requests of one call passed on and not yet answered. A phone has one or two under way; more would let one call fill the memory.
const RELAYED_MAX: usize = 16;

impl Switch {
    /// The call and leg whose dialog a request belongs to.
    pub(super) fn take_call_of(&mut self, message: &Message<'_>) -> Option<(CallRef, Box<Call>, Side)> {
        let tag = message.to()?.tag()?;
        let (name, side) = Self::call_of_tag(tag)?;
        let mut call = self.calls.take(name)?;
        let remote_tag = message.from().and_then(|from| from.tag());
        let is_ours = call.dialog(side).is_some_and(|dialog| {
            dialog.local_tag.as_bytes() == tag && dialog.is_remote(message.call_id(), remote_tag)
        });
        if is_ours {
            Some((name, call, side))
        } else {
            self.calls.give_back(name, call, Fate::Lives);
            None
        }
    }

    /// An ACK for a 2xx of ours: stop repeating it, and pass the ACK on.
    pub(super) fn ack(&mut self, message: &Message<'_>) {
        let Some((name, mut call, side)) = self.take_call_of(message) else { return };
        let is_due = call.ack_due.as_ref().is_some_and(|due| due.from == side);
        let fate = match call.state {
            CallState::Over if is_due => {
                self.say_farewell(&mut call);
                super::ending::fate_of(&call)
            }
            CallState::SettingUp | CallState::Answered { .. } | CallState::Over => {
                if is_due {
                    self.pass_ack(&mut call, Some(message));
                }
                Fate::Lives
            }
        };
        self.calls.give_back(name, call, fate);
    }

    /// Acknowledges the 2xx of the other leg, with the body of the ACK that came, if one did.
    pub(super) fn pass_ack(&mut self, call: &mut Call, ack: Option<&Message<'_>>) {
        self.acknowledge(call, ack);
        let Some(due) = call.ack_due.take() else { return };
        self.transactions.acked(due.server);
        self.call_of_invite.remove(&due.server);
    }

    /// The same, while our own 2xx still waits for its ACK.
    pub(super) fn acknowledge(&mut self, call: &mut Call, ack: Option<&Message<'_>>) {
        let Some(due) = &call.ack_due else { return };
        let (side, client, cseq) = (due.from.other(), due.client, due.cseq);
        let (branch, addresses) = (self.transactions.branch(), self.addresses);
        let Some(dialog) = call.dialog(side) else { return };
        let to = dialog.peer;
        let mut writer = dialog.request(b"ACK", Some(cseq), branch, addresses);
        if let Some(ack) = ack {
            writer = writer.copy(ack, HeaderName::describes_body);
        }
        let bytes = writer.finish(ack.map(|ack| ack.body()).unwrap_or_default());
        self.transactions.acknowledge(client, to, bytes);
    }

    /// A re-INVITE, UPDATE or INFO.
    pub(super) fn relay(&mut self, from: Hop, method: Method<'_>, message: &Message<'_>) {
        let Some((name, mut call, side)) =
            self.take_call_of(message).or_else(|| self.take_early_call_of(message))
        else {
            // A callee that rings and has made no early dialog we know of has to wait.
            if method != Method::INVITE && self.is_of_setting_up(message) {
                let server = self.transactions.open(message, from);
                let reply = Reply { lines: b"Retry-After: 2\r\n", ..Reply::plain(500, None) };
                return self.transactions.respond(self.now.mono, server, reply);
            }
            return self.answer_stray(from, message);
        };
        if let CallState::SettingUp = call.state
            && method != Method::INVITE
        {
            self.relay_early(name, &mut call, side, from, method, message);
            self.calls.give_back(name, call, Fate::Lives);
            return;
        }
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let is_invite = method == Method::INVITE;
        let is_offer = is_invite || method == Method::UPDATE;
        let is_answered = matches!(call.state, CallState::Answered { .. });
        let is_glare =
            is_offer && (call.ack_due.is_some() || call.relayed.iter().any(|relayed| relayed.is_offer));
        let is_old = call.dialog(side).is_none_or(|dialog| number <= dialog.remote_cseq);
        let is_too_much = call.relayed.len() >= RELAYED_MAX;
        if is_old || is_too_much || is_glare || !is_answered {
            self.calls.give_back(name, call, Fate::Lives);
            return self.answer(from, message, if is_old || is_too_much { 500 } else { 491 });
        }
        let server = self.transactions.open(message, from);
        if is_invite {
            self.transactions.respond(self.now.mono, server, Reply::plain(100, None));
            self.call_of_invite.insert(server, name);
        }
        if let Some(dialog) = call.dialog(side) {
            dialog.remote_cseq = number;
            if is_offer && self.lookup.is_trunk(dialog.peer) {
                dialog.refresh_target(message);
            } else if is_offer {
                dialog.refresh_target(message);
                dialog.peer = from;
            }
        }
        let (client, addresses) = (self.transactions.branch(), self.addresses);
        let wish = Self::session_wish(&call, side.other());
        if let Some(dialog) = call.dialog(side.other()) {
            let to = dialog.peer;
            let mut writer = dialog.request(method.as_bytes(), None, client, addresses);
            if is_offer {
                writer = writer.header("Contact", addresses.contact(to)).header("Allow", ALLOW);
                if let Some(wish) = wish {
                    writer = writer.header("Supported", "timer").header("Session-Expires", wish);
                }
            }
            let bytes = writer.copy(message, HeaderName::crosses_the_switch).finish(message.body());
            self.transactions.send(self.now.mono, client, to, bytes, Purpose::Relay(name));
            let holds = (!message.body().is_empty()).then(|| sdp::is_hold(message.body()));
            call.relayed.push(Relayed { from: side, server, client, is_invite, is_offer, holds });
        }
        self.calls.give_back(name, call, Fate::Lives);
    }

    /// An answer to a request passed on.
    pub(super) fn relay_answered(
        &mut self,
        name: CallRef,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) {
        let Some(mut call) = self.calls.take(name) else { return };
        self.relay_answer(name, &mut call, client, code, message);
        self.calls.give_back(name, call, Fate::Lives);
    }

    fn relay_answer(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) {
        let Some(idx) = call.relayed.iter().position(|relayed| relayed.client == client) else {
            return self.transactions.acknowledge_again(client);
        };
        let (from, server) = (call.relayed[idx].from, call.relayed[idx].server);
        if code == 100 {
            return;
        }
        let is_offer = call.relayed[idx].is_offer;
        let is_change = is_offer && (200..300).contains(&code);
        let caller = call.caller_leg.peer;
        let peer = call.dialog_or_early(from).map_or(caller, |dialog| dialog.peer);
        let mut lines = self.lines_for(peer, message, is_offer && code < 300);
        if is_change {
            lines.extend(self.session_lines(call, from));
            // Who changes the session, and who agrees, is there.
            self.arm_session(name, call, from);
            self.arm_session(name, call, from.other());
        }
        let reply =
            Reply { code, phrase: &message_phrase(message), tag: None, lines: &lines, body: message.body() };
        self.transactions.respond(self.now.mono, server, reply);
        if code < 200 {
            return;
        }
        let relayed = call.relayed.remove(idx);
        if code >= 300 || !relayed.is_offer {
            self.call_of_invite.remove(&server);
            return;
        }
        let mut cseq = 0;
        if let Some(dialog) = call.dialog_or_early(from.other()) {
            dialog.refresh_target(message);
            cseq = message.cseq().map_or(0, |cseq| cseq.number);
        }
        if relayed.is_invite {
            call.ack_due = Some(AckDue { from, server, client, cseq });
        }
        // What changes before the answer is part of it.
        if let CallState::Answered { .. } = call.state {
            self.session_changed(call, &relayed, message.body());
        }
    }

    fn session_changed(&mut self, call: &mut Call, relayed: &Relayed, answer: &[u8]) {
        let codec = sdp::first_audio_codec(answer);
        let holds = relayed.holds.or_else(|| (!answer.is_empty()).then(|| sdp::is_hold(answer)));
        let has_new_codec = !codec.is_empty() && codec != call.codec;
        let change = match (call.is_held, holds.unwrap_or(call.is_held)) {
            (false, true) => UpdateKind::Hold,
            (true, false) => UpdateKind::Resume,
            (true, true) | (false, false) if has_new_codec => UpdateKind::Codec,
            (true, true) | (false, false) => UpdateKind::Refresh,
        };
        call.is_held = holds.unwrap_or(call.is_held);
        let reported = if has_new_codec { codec.clone() } else { String::new() };
        if has_new_codec {
            call.codec = codec;
        }
        self.emit_all_legs(call, &EventBody::Update(CallUpdate { change, codec: reported.into() }));
    }

    /// A request passed on was never answered.
    pub(super) fn relay_timed_out(&mut self, name: CallRef) {
        let Some(mut call) = self.calls.take(name) else { return };
        // The transaction is gone, so whatever it was for no longer has a request.
        let (lost, alive): (Vec<Relayed>, Vec<Relayed>) = std::mem::take(&mut call.relayed)
            .into_iter()
            .partition(|relayed| self.transactions.request_of(relayed.client).is_none());
        call.relayed = alive;
        for relayed in lost {
            self.call_of_invite.remove(&relayed.server);
            self.transactions.respond(self.now.mono, relayed.server, Reply::plain(408, None));
        }
        self.calls.give_back(name, call, Fate::Lives);
    }
}
