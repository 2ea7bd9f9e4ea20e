//! Before the answer: provisional answers that are acknowledged (PRACK, RFC 3262) and changes of the session (UPDATE, RFC 3311).
//!
//! Each leg has its own habits. Where both know PRACK and one phone rings, a provisional answer and its PRACK go from end to end, bodies
//! and all; else we acknowledge the callee's and owe the caller nothing, or acknowledge nothing and repeat ours to a caller who insists. In:
//! provisional answers, PRACKs, UPDATEs. Out: the same on the other leg. A 2xx waits until the caller has acknowledged the description
//! that went before it.

use std::collections::VecDeque;

use model::{Cause, Initiator, Moment};

use super::call::{Call, CallRef, CallState, Fate, Relayed, Side};
use super::outgoing::message_phrase;
use super::{ALLOW, Purpose, Switch};
use crate::dialog::Dialog;
use crate::hop::Hop;
use crate::message::{HeaderName, Message, Method, Writer, parse_number};
use crate::sdp;
use crate::transaction::{ClientId, Reply, ServerId};

/// Early dialogs of one route, when somebody further on forks.
const EARLIES_MAX: usize = 8;
/// Provisional answers waiting for the PRACK of the one before.
const WAITING_MAX: usize = 8;
/// Requests of one early dialog at most: what is left of the numbers when it is forgotten.
pub(super) const PRACKS_MAX: u32 = 64;
/// Requests passed on and not yet answered.
const RELAYED_MAX: usize = 16;

/// What a provisional answer with a tag made.
#[derive(Debug)]
pub(super) struct EarlyDialog {
    pub(super) dialog: Dialog,
    /// The last one that was acknowledged.
    rseq: u32,
    /// Header lines and body of the callee's description, where we acknowledged it and the caller need not have heard it.
    pub(super) told_alone: Option<(Vec<u8>, Vec<u8>)>,
    /// Of that description, wherever it went.
    pub(super) codec: String,
}

/// Provisional answers of one call towards its caller, and what comes after them.
#[derive(Debug, Default)]
pub(super) struct Provisional {
    /// Number of the last one, and of the INVITE that they answer.
    rseq: u32,
    cseq: u32,
    pending: Option<Pending>,
    waiting: VecDeque<Waiting>,
    /// A 2xx that waits for a PRACK. Its fork has its dialog, and is the only one left.
    held: Option<Held>,
}

/// The callee has answered, and the caller is to hear of it after its PRACK.
#[derive(Debug)]
struct Held {
    client: ClientId,
    code: u16,
    bytes: Vec<u8>,
    /// When it came: from then on the call costs something.
    at: Moment,
}

/// Sent to the caller, and not acknowledged.
#[derive(Debug)]
struct Pending {
    rseq: u32,
    has_body: bool,
    whose: Option<Whose>,
}

/// The answer of a callee that waits for the caller's PRACK.
#[derive(Debug, Clone)]
struct Whose {
    client: ClientId,
    tag: Box<[u8]>,
    rseq: u32,
    /// Of the INVITE.
    cseq: u32,
}

/// To be sent when the one before is acknowledged.
#[derive(Debug)]
struct Waiting {
    code: u16,
    phrase: Vec<u8>,
    lines: Vec<u8>,
    body: Vec<u8>,
    whose: Option<Whose>,
}

/// Whether the sender of an INVITE takes provisional answers that it has to acknowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    No,
    /// If need be.
    Yes,
    /// And no others.
    Only,
}

impl Takes {
    fn of(invite: &Message<'_>) -> Self {
        let names = |name| invite.list(name).any(|option| option.eq_ignore_ascii_case(b"100rel"));
        if names(HeaderName::Require) {
            Takes::Only
        } else if names(HeaderName::Supported) {
            Takes::Yes
        } else {
            Takes::No
        }
    }
}

/// Whether the callee may be told that we know PRACK. A callee that makes the offer needs an answer in the PRACK, which only a caller who
/// sends one can give, and only if nobody else rings.
pub(super) fn may_offer(invite: &Message<'_>, is_alone: bool) -> bool {
    !invite.body().is_empty() || (is_alone && Takes::of(invite) != Takes::No)
}

/// The number of a provisional answer that is to be acknowledged.
fn reliable_number(message: &Message<'_>) -> Option<u32> {
    let requires = message.list(HeaderName::Require).any(|option| option.eq_ignore_ascii_case(b"100rel"));
    let number = message.number(HeaderName::RSeq).and_then(|number| u32::try_from(number).ok())?;
    (requires && number > 0).then_some(number)
}

impl Switch {
    /// Takes a callee's provisional answer into account. `true`: it is a repetition, or comes out of order, and is done with (RFC 3262, 4).
    pub(super) fn is_repeated_progress(
        &mut self,
        call: &mut Call,
        client: ClientId,
        message: &Message<'_>,
    ) -> bool {
        let Some(rseq) = reliable_number(message) else { return false };
        let Some(tag) = message.to().and_then(|to| to.tag()) else { return false };
        let Some(fork) = call.forks.iter_mut().find(|fork| fork.client == client) else { return false };
        if let Some(early) = fork.earlies.iter_mut().find(|early| &*early.dialog.remote_tag == tag) {
            if rseq != early.rseq.wrapping_add(1) || early.dialog.last_cseq() >= PRACKS_MAX {
                return true;
            }
            early.rseq = rseq;
            early.dialog.refresh_target(message);
            return false;
        }
        if fork.earlies.len() >= EARLIES_MAX {
            return true;
        }
        let Some((request, peer)) = self.transactions.request_of(client) else { return false };
        let dialog = Message::scan(request).ok().and_then(|invite| Dialog::of_answer(&invite, message, peer));
        if let Some(mut dialog) = dialog {
            if fork.trunk.is_some() {
                dialog.follow_contact();
            }
            let (told_alone, codec) = (None, String::new());
            fork.earlies.push(EarlyDialog { dialog, rseq, told_alone, codec });
        }
        false
    }

    /// Passes a callee's provisional answer on to the caller.
    pub(super) fn pass_progress(
        &mut self,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) {
        let takes = Message::scan(&call.invite).map_or(Takes::No, |invite| Takes::of(&invite));
        let is_alone = call.dialog_or_early(Side::Callee).is_some();
        let rseq = reliable_number(message);
        let whose = rseq.and_then(|rseq| {
            let tag = message.to()?.tag()?.into();
            Some(Whose { client, tag, rseq, cseq: message.cseq()?.number })
        });
        let lines = self.answer_lines(call, message, true);
        let phrase = message_phrase(message);
        if let Some(early) = whose.as_ref().and_then(|whose| early_of(call, whose))
            && !message.body().is_empty()
        {
            early.codec = sdp::first_audio_codec(message.body());
        }
        if takes != Takes::No && whose.is_some() && is_alone {
            let body = message.body().to_vec();
            return self.send_reliably(call, Waiting { code, phrase, lines, body, whose });
        }
        if let Some(whose) = whose {
            if !message.body().is_empty() {
                let described = Writer::lines_only().copy(message, HeaderName::describes_body).into_lines();
                if let Some(early) = early_of(call, &whose) {
                    early.told_alone = Some((described, message.body().to_vec()));
                }
            }
            self.acknowledge_progress(call, &whose);
        }
        if takes == Takes::Only {
            let body = message.body().to_vec();
            return self.send_reliably(call, Waiting { code, phrase, lines, body, whose: None });
        }
        let tag = Some(&*call.caller_leg.local_tag);
        let reply = Reply { code, phrase: &phrase, tag, lines: &lines, body: message.body() };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
    }

    /// Acknowledges a callee's provisional answer in our own name.
    fn acknowledge_progress(&mut self, call: &mut Call, whose: &Whose) {
        let Some((branch, to, writer)) = self.begin_prack(call, whose) else { return };
        self.transactions.send(self.now.mono, branch, to, writer.finish(&[]), Purpose::Nothing);
    }

    fn begin_prack(&mut self, call: &mut Call, whose: &Whose) -> Option<(ClientId, Hop, Writer)> {
        let fork = call.forks.iter_mut().find(|fork| fork.client == whose.client)?;
        let early = fork.earlies.iter_mut().find(|early| early.dialog.remote_tag == whose.tag)?;
        let branch = self.transactions.branch();
        let answered = fork.dialog.as_mut().filter(|dialog| dialog.remote_tag == whose.tag);
        let dialog = answered.unwrap_or(&mut early.dialog);
        let to = dialog.peer;
        let writer = dialog.request(b"PRACK", None, branch, self.addresses);
        Some((branch, to, writer.header("RAck", format!("{} {} INVITE", whose.rseq, whose.cseq))))
    }

    /// Sends the caller a provisional answer that it has to acknowledge, after those before it (RFC 3262, 3).
    fn send_reliably(&mut self, call: &mut Call, answer: Waiting) {
        let first = u32::try_from(self.transactions.random() & 0x3fff_ffff).unwrap_or(0);
        let invite = Message::scan(&call.invite).ok();
        let cseq = invite.and_then(|invite| invite.cseq().map(|cseq| cseq.number)).unwrap_or(0);
        let provisional = call.provisional.get_or_insert_default();
        if provisional.pending.is_some() {
            if provisional.waiting.len() < WAITING_MAX {
                provisional.waiting.push_back(answer);
            }
            return;
        }
        provisional.cseq = cseq;
        provisional.rseq = if provisional.rseq == 0 { first + 1 } else { provisional.rseq + 1 };
        let Waiting { code, phrase, mut lines, body, whose } = answer;
        lines.extend_from_slice(format!("Require: 100rel\r\nRSeq: {}\r\n", provisional.rseq).as_bytes());
        provisional.pending = Some(Pending { rseq: provisional.rseq, has_body: !body.is_empty(), whose });
        let tag = Some(&*call.caller_leg.local_tag);
        let reply = Reply { code, phrase: &phrase, tag, lines: &lines, body: &body };
        self.transactions.respond_reliably(self.now.mono, call.invite_server, reply);
    }

    /// The caller acknowledges a provisional answer.
    pub(super) fn prack(&mut self, from: Hop, message: &Message<'_>) {
        let Some((name, mut call, side)) = self.take_call_of(message) else {
            return self.answer_stray(from, message);
        };
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let is_old = side == Side::Caller && number <= call.caller_leg.remote_cseq;
        let is_due = side == Side::Caller && call.provisional.as_ref().is_some_and(|it| it.is_due(message));
        let is_setting_up = matches!(call.state, CallState::SettingUp);
        if is_old || !is_due {
            self.calls.give_back(name, call, Fate::Lives);
            return self.answer(from, message, if is_old { 500 } else { 481 });
        }
        call.caller_leg.remote_cseq = number;
        self.transactions.pracked(call.invite_server);
        let pending = call.provisional.as_mut().and_then(|provisional| provisional.pending.take());
        self.pass_prack(name, &mut call, from, message, pending.and_then(|pending| pending.whose));
        let next = call.provisional.as_mut().and_then(|provisional| provisional.waiting.pop_front());
        if let Some(next) = next.filter(|_| is_setting_up) {
            self.send_reliably(&mut call, next);
        }
        if is_setting_up && call.provisional.as_ref().is_some_and(|provisional| !provisional.must_wait()) {
            self.accept_held(name, &mut call);
        }
        self.calls.give_back(name, call, Fate::Lives);
    }

    /// Sends a PRACK on to the callee whose answer it is for, or answers it.
    fn pass_prack(
        &mut self,
        name: CallRef,
        call: &mut Call,
        from: Hop,
        message: &Message<'_>,
        whose: Option<Whose>,
    ) {
        let server = self.transactions.open(message, from);
        let onward = match whose {
            Some(whose) if call.relayed.len() < RELAYED_MAX => self.begin_prack(call, &whose),
            Some(_) | None => None,
        };
        let Some((client, to, writer)) = onward else {
            // An offer in it finds nobody to answer it.
            let code = if message.body().is_empty() { 200 } else { 488 };
            return self.transactions.respond(self.now.mono, server, Reply::plain(code, None));
        };
        let bytes = writer.copy(message, HeaderName::crosses_the_switch).finish(message.body());
        self.transactions.send(self.now.mono, client, to, bytes, Purpose::Relay(name));
        // Where the callee made the offer, it is the answer.
        let caller_offered = Message::scan(&call.invite).is_ok_and(|invite| !invite.body().is_empty());
        let is_offer = caller_offered && !message.body().is_empty();
        call.relayed.push(Relayed {
            from: Side::Caller,
            server,
            client,
            is_invite: false,
            is_offer,
            holds: None,
        });
    }

    /// Whether a 2xx has to wait until the caller has acknowledged the description that went before it (RFC 3262, 3).
    pub(super) fn holds_back(
        &mut self,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) -> bool {
        if call.provisional.as_ref().is_none_or(|provisional| !provisional.must_wait()) {
            return false;
        }
        if call.has_held_answer() {
            let tag = message.to().and_then(|to| to.tag());
            let dialog = call.forks.first().and_then(|fork| fork.dialog.as_ref());
            if dialog.is_none_or(|dialog| !dialog.is_remote(message.call_id(), tag)) {
                self.hang_up_fork(client, message);
            }
            return true;
        }
        // The callee has the call, whatever becomes of it: the others stop ringing, and its transaction may end before the PRACK comes.
        let dialog = self.dialog_of(client, message);
        let idx = call.forks.iter().position(|fork| fork.client == client);
        let (Some(mut dialog), Some(idx)) = (dialog, idx) else { return true };
        call.forks.swap(0, idx);
        self.give_up_forks(call, 1);
        self.disarm_forward(call);
        self.timers.disarm(&mut call.short_timer);
        call.groups.clear();
        let fork = &mut call.forks[0];
        if fork.trunk.is_some() {
            dialog.follow_contact();
        }
        if let Some(early) = fork.earlies.iter().find(|early| early.dialog.remote_tag == dialog.remote_tag) {
            dialog.go_on_from(&early.dialog);
        }
        fork.dialog = Some(dialog);
        let held = Held { client, code, bytes: message.bytes().to_vec(), at: self.now };
        call.provisional.get_or_insert_default().held = Some(held);
        true
    }

    /// Lets a 2xx that was held back have its effect, as of the moment it came. `false`: there was none.
    pub(super) fn accept_held(&mut self, name: CallRef, call: &mut Call) -> bool {
        let Some(held) = call.provisional.as_mut().and_then(|provisional| provisional.held.take()) else {
            return false;
        };
        let Ok(answer) = Message::scan(&held.bytes) else { return false };
        self.route_accepted(name, call, held.client, held.at, held.code, &answer);
        matches!(call.state, CallState::Answered { .. })
    }

    /// The caller never acknowledged a provisional answer: the INVITE is refused (RFC 3262, 3), unless the callee has answered meanwhile.
    pub(super) fn prack_missing(&mut self, server: ServerId) {
        let Some(name) = self.call_of_invite.get(&server).copied() else { return };
        let Some(mut call) = self.calls.take(name) else { return };
        let mut fate = Fate::Lives;
        if let CallState::SettingUp = call.state {
            fate = self.give_up(name, &mut call, Initiator::Switch, Cause::Timeout, 504, String::new());
        }
        self.calls.give_back(name, call, fate);
    }

    /// The call in whose early dialog a callee asks for something.
    pub(super) fn take_early_call_of(&mut self, message: &Message<'_>) -> Option<(CallRef, Box<Call>, Side)> {
        let tag = message.to()?.tag()?;
        let (name, side) = Self::call_of_tag(tag)?;
        let mut call = self.calls.take(name)?;
        let remote_tag = message.from().and_then(|from| from.tag());
        let is_ours = side == Side::Callee
            && call.dialog_or_early(side).is_some_and(|dialog| {
                dialog.local_tag.as_bytes() == tag && dialog.is_remote(message.call_id(), remote_tag)
            });
        if is_ours {
            return Some((name, call, side));
        }
        self.calls.give_back(name, call, Fate::Lives);
        None
    }

    /// Whether a callee asks for something in a call that is being set up, and may have a dialog that we do not follow: one that no answer
    /// with a number made, or one of several.
    pub(super) fn is_of_setting_up(&mut self, message: &Message<'_>) -> bool {
        let tag = message.to().and_then(|to| to.tag());
        let Some((name, Side::Callee)) = tag.and_then(Self::call_of_tag) else { return false };
        let Some(call) = self.calls.take(name) else { return false };
        let far_tag = message.from().and_then(|from| from.tag()).unwrap_or_default();
        let is_its = |fork: &super::call::Fork| {
            let request = self.transactions.request_of(fork.client);
            let invite = request.and_then(|(bytes, _)| Message::scan(bytes).ok());
            let is_same = invite.is_some_and(|invite| {
                invite.call_id() == message.call_id() && invite.from().and_then(|from| from.tag()) == tag
            });
            is_same
                && (fork.earlies.is_empty()
                    || fork.earlies.iter().any(|early| &*early.dialog.remote_tag == far_tag))
        };
        let is_it = matches!(call.state, CallState::SettingUp) && call.forks.iter().any(is_its);
        self.calls.give_back(name, call, Fate::Lives);
        is_it
    }

    /// An UPDATE or INFO before the answer: passed on where the other leg has an early dialog, too.
    pub(super) fn relay_early(
        &mut self,
        name: CallRef,
        call: &mut Call,
        side: Side,
        from: Hop,
        method: Method<'_>,
        message: &Message<'_>,
    ) {
        let number = message.cseq().map_or(0, |cseq| cseq.number);
        let is_update = method == Method::UPDATE;
        let refusal = why_not_early(call, side, number, method);
        let server = self.transactions.open(message, from);
        if let Some((code, lines)) = refusal {
            let reply = Reply { lines, ..Reply::plain(code, None) };
            return self.transactions.respond(self.now.mono, server, reply);
        }
        if let Some(dialog) = call.dialog_or_early(side) {
            dialog.remote_cseq = number;
            if is_update {
                dialog.refresh_target(message);
            }
        }
        let (client, addresses) = (self.transactions.branch(), self.addresses);
        let Some(dialog) = call.dialog_or_early(side.other()) else { return };
        let to = dialog.peer;
        let mut writer = dialog.request(method.as_bytes(), None, client, addresses);
        if is_update {
            writer = writer.header("Contact", addresses.contact(to)).header("Allow", ALLOW);
        }
        let bytes = writer.copy(message, HeaderName::crosses_the_switch).finish(message.body());
        self.transactions.send(self.now.mono, client, to, bytes, Purpose::Relay(name));
        let holds = (!message.body().is_empty()).then(|| sdp::is_hold(message.body()));
        call.relayed.push(Relayed {
            from: side,
            server,
            client,
            is_invite: false,
            is_offer: is_update,
            holds,
        });
    }
}

/// The early dialog that a provisional answer belongs to.
fn early_of<'a>(call: &'a mut Call, whose: &Whose) -> Option<&'a mut EarlyDialog> {
    let fork = call.forks.iter_mut().find(|fork| fork.client == whose.client)?;
    fork.earlies.iter_mut().find(|early| early.dialog.remote_tag == whose.tag)
}

/// Why a request of an early dialog cannot cross: the code and further lines of its refusal.
fn why_not_early(
    call: &mut Call,
    side: Side,
    number: u32,
    method: Method<'_>,
) -> Option<(u16, &'static [u8])> {
    if call.dialog_or_early(side).is_none_or(|dialog| number <= dialog.remote_cseq)
        || call.relayed.len() >= RELAYED_MAX
        || (side == Side::Caller
            && call.dialog_or_early(Side::Callee).is_some_and(|dialog| dialog.last_cseq() >= PRACKS_MAX))
    {
        return Some((500, b""));
    }
    if method == Method::UPDATE && call.relayed.iter().any(|relayed| relayed.is_offer) {
        return Some((491, b""));
    }
    // The caller's early dialog is made by what we told it.
    let is_ready = match side {
        Side::Caller => call.dialog_or_early(Side::Callee).is_some(),
        Side::Callee => call.has_progressed,
    };
    if !is_ready {
        return Some((500, b"Retry-After: 2\r\n"));
    }
    let is_understood = side == Side::Caller
        || Message::scan(&call.invite)
            .is_ok_and(|invite| invite.list(HeaderName::Allow).any(|known| known == method.as_bytes()));
    // What would need the user's consent, as far as we can tell (RFC 3311, 5.2).
    (!is_understood).then_some((504, b""))
}

impl Call {
    /// Whether the callee has answered, and the caller does not know it yet.
    pub(super) fn has_held_answer(&self) -> bool {
        self.provisional.as_ref().is_some_and(|provisional| provisional.held.is_some())
    }
}

impl Provisional {
    /// Whether a PRACK is for the answer that waits for one: `RAck: RSEQ CSEQ METHOD`.
    fn is_due(&self, prack: &Message<'_>) -> bool {
        let Some(pending) = &self.pending else { return false };
        let Some(value) = prack.value(HeaderName::RAck) else { return false };
        let mut parts = value.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
        let rseq = parts.next().and_then(parse_number);
        let (cseq, method) = (parts.next().and_then(parse_number), parts.next());
        rseq == Some(pending.rseq.into()) && cseq == Some(self.cseq.into()) && method == Some(b"INVITE")
    }

    /// Whether a description is on its way to the caller and not acknowledged.
    fn must_wait(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| pending.has_body)
            || self.waiting.iter().any(|waiting| !waiting.body.is_empty())
    }
}
