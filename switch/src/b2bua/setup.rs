//! An INVITE comes in. In the order of switch-reference, section 3: can it be served, who is it, may he, where to.
//!
//! What is refused before we know who calls is answered without state and leaves no call record. After that, every INVITE is an
//! `attempt`, and a refusal of ours is `rejected`.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Attempt, AuthMethod, CallUid, Cause, End, EventBody, Initiator, Party, Rejected, SecurityKind};

use super::Switch;
use super::call::{Call, CallRef, CallState, Fate, Leg, Side};
use super::credit::Sent;
use super::destination::Seeker;
use super::gates::Refusal;
use super::identify::Caller;
use super::limits::Holder;
use crate::ascii;
use crate::dialog::Dialog;
use crate::hop::Hop;
use crate::message::{HeaderName, Message, Uri, text};
use crate::timer::Timer;
use crate::told;
use crate::transaction::{Reply, ServerId};

impl Switch {
    pub(super) fn invite(&mut self, from: Hop, message: &Message<'_>) {
        let is_full = self.calls.len() >= self.config.calls_max as usize;
        if is_full || self.refusal_lines().is_some() {
            self.counters.calls_shed += 1;
            if is_full {
                let detail = format!("calls_max {} reached", self.config.calls_max);
                self.note_security(SecurityKind::RateLimited, from.address, "", &detail);
            }
            let (lines, tag) = (self.retry_after(), self.stateless_tag(message));
            let reply = Reply { lines: &lines, ..Reply::plain(503, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        if message.number(HeaderName::MaxForwards) == Some(0) {
            let tag = self.stateless_tag(message);
            self.transactions.respond_without_state(message, from, Reply::plain(483, Some(&tag)));
            return;
        }
        if let Some(lines) = self.refuse_interval(message) {
            let tag = self.stateless_tag(message);
            let reply = Reply { lines: &lines, ..Reply::plain(422, Some(&tag)) };
            self.transactions.respond_without_state(message, from, reply);
            return;
        }
        let Some(uri) = Uri::parse(message.request_uri()) else { return };
        if let Some(caller) = self.identify_caller(from, message, uri) {
            self.attempt(from, message, caller);
        }
    }

    fn attempt(&mut self, from: Hop, message: &Message<'_>, mut caller: Caller) {
        let server = self.transactions.open(message, from);
        self.transactions.respond(self.now.mono, server, Reply::plain(100, None));
        self.counters.calls += 1;
        self.n_calls += 1;
        let uid = CallUid::new(format!("{}-{:x}-{}", self.config.node, self.boot, self.n_calls));
        let payer = caller.party.account();
        let config_revision = self.lookup.revision();
        let attempt = self.attempt_event(from, message, &caller);
        let (priced_from, priced_to) = priced_between(&attempt);
        if !caller.is_emergency {
            caller.screened = self.screened(payer, 0, &attempt);
        }
        self.emit_for(
            self.now.wall,
            caller.tenant,
            payer,
            Some(uid.clone()),
            0,
            config_revision,
            EventBody::Attempt(Box::new(attempt)),
        );

        let name = self.calls.reserve();
        let tag = self.tag(name, Side::Caller);
        let leg = Dialog::of_invite(message, &tag, from).expect("a checked INVITE has what a dialog needs");
        let seconds_max = self.seconds_max(&caller);
        let mut call = Box::new(Call {
            uid,
            legs: vec![Leg {
                number: 0,
                tenant: caller.tenant,
                payer,
                n_attempts: 0,
                priced_from,
                priced_to,
            }],
            config_revision,
            began: self.now,
            state: CallState::SettingUp,
            invite: message.bytes().to_vec(),
            invite_server: server,
            caller_leg: leg,
            caller_address: from.address.ip(),
            cli: caller.cli,
            clir: caller.clir,
            caller_out: caller.shown.clone(),
            caller_domain: caller.domain.clone(),
            caller_places: caller.places().clone(),
            is_emergency: caller.is_emergency,
            loop_key: None,
            groups: VecDeque::new(),
            forks: Vec::new(),
            refusal: None,
            ringing: None,
            visited: Vec::new(),
            called: Vec::new(),
            diversions: Vec::new(),
            seconds_max,
            has_progressed: false,
            has_early_media: false,
            is_held: false,
            codec: String::new(),
            media: None,
            relayed: Vec::new(),
            provisional: None,
            ack_due: None,
            bye_due: None,
            wants_advice: caller.rules.advice_of_charge(),
            advice_due: None,
            holders: Vec::new(),
            short_timer: None,
            long_timer: None,
            sessions: [None, None],
            n_ticks: 0,
            forward_timer: None,
            credits: Vec::new(),
            credit_timer: None,
        });
        if caller.auth == AuthMethod::Ip {
            call.caller_leg.follow_contact();
        }
        if let Party::Subscriber { subscriber, .. } = caller.party {
            call.visited.push(subscriber);
        }
        self.call_of_invite.insert(server, name);
        let ring_max = Duration::from_secs(self.config.ring_seconds_max.into());
        self.arm_long(name, &mut call, ring_max, Timer::RingTimeout);
        let fate = match self.admit(name, &mut call, message, &caller) {
            Ok(()) => Fate::Lives,
            Err(refusal) => {
                self.reject(&mut call, server, refusal);
                Fate::Ended
            }
        };
        self.calls.give_back(name, call, fate);
    }

    fn attempt_event(&self, from: Hop, message: &Message<'_>, caller: &Caller) -> Attempt {
        let sender = message.from().and_then(|from| from.parse_uri());
        Attempt {
            sip_call_id: message.call_id().map(text).unwrap_or_default().into(),
            caller: caller.party.clone(),
            from_user: sender.map(|uri| uri.user_text()).unwrap_or_default().into(),
            from_domain: match caller.auth {
                AuthMethod::Ip => ascii::ip(from.address.ip()).as_str().into(),
                AuthMethod::Digest | AuthMethod::None => {
                    sender.map(|uri| uri.host_text()).unwrap_or_default().into()
                }
            },
            dialed: caller.dialed.as_str().into(),
            dialed_domain: caller.dialed_domain.as_str().into(),
            cli: caller.cli,
            clir: caller.clir,
            callee: caller.callee,
            source: from.address,
            transport: from.transport,
            user_agent: message.value_text(HeaderName::UserAgent).into(),
            auth: caller.auth,
            asserted_identity: message.value_text(HeaderName::PAssertedIdentity).into(),
            diversion: message.value_text(HeaderName::Diversion).into(),
            detail: told::attempt_detail(message, caller.is_emergency),
        }
    }

    /// The caller, as one who sends a call on its way.
    pub(super) fn seeker_of(&self, caller: &Caller) -> Seeker {
        let own_domain = self.lookup.is_domain(&caller.dialed_domain);
        Seeker {
            tenant: caller.tenant,
            party: caller.party.clone(),
            name: caller.shown.clone(),
            dialed: caller.dialed.clone(),
            domain: if own_domain {
                caller.dialed_domain.clone()
            } else {
                caller.domain.to_ascii_lowercase()
            },
            number: caller.callee,
            is_emergency: caller.is_emergency,
        }
    }

    /// May he, where to, and off it goes.
    fn admit(
        &mut self,
        name: CallRef,
        call: &mut Call,
        message: &Message<'_>,
        caller: &Caller,
    ) -> Result<(), Refusal> {
        let seeker = self.seeker_of(caller);
        let hops = message.number(HeaderName::MaxForwards).unwrap_or(70);
        call.loop_key = self.loops.enter(&caller.shown, &caller.dialed, hops);
        if call.loop_key.is_none() && !caller.is_emergency {
            let object = format!("{} to {} comes round", caller.holder, caller.dialed);
            return Err(Refusal::new(Cause::Loop, 482, "Loop Detected", object));
        }
        let is_on_net = self.local_callee(&seeker).is_some();
        for holder in self.may_call(caller, is_on_net, message)? {
            self.limits.hold(holder);
            call.holders.push(holder);
        }
        self.find_targets(name, call, seeker)?;
        match self.send_on(name, call) {
            Sent::OnItsWay => Ok(()),
            Sent::NoRoom => Err(no_room()),
        }
    }

    /// Refuses a call in our own name: every record that is open says so.
    pub(super) fn reject(&mut self, call: &mut Call, server: ServerId, refusal: Refusal) {
        self.counters.calls_rejected += 1;
        let mut lines = Vec::new();
        if refusal.code == 503 {
            let is_brief = refusal.cause == Cause::RateLimited;
            lines = if is_brief { b"Retry-After: 1\r\n".to_vec() } else { self.retry_after() };
        }
        let tag = call.caller_leg.local_tag.clone();
        let reply = Reply {
            code: refusal.code,
            phrase: refusal.phrase.as_bytes(),
            tag: Some(&tag),
            lines: &lines,
            body: &[],
        };
        self.transactions.respond(self.now.mono, server, reply);
        for leg in &call.legs {
            let body = if leg.n_attempts == 0 {
                EventBody::Rejected(Rejected {
                    cause: refusal.cause,
                    code: refusal.code,
                    phrase: refusal.phrase.into(),
                    object: refusal.object.clone().into(),
                })
            } else {
                // It rang there before it was sent on.
                EventBody::End(End {
                    answered_us: 0,
                    by: Initiator::Switch,
                    cause: refusal.cause,
                    code: refusal.code,
                    reason: "".into(),
                    media: None,
                })
            };
            self.emit_leg(call, leg, body);
        }
        self.let_go(call);
    }

    /// Gives back timers, limits and names of a call that is over.
    pub(super) fn let_go(&mut self, call: &mut Call) {
        self.timers.disarm(&mut call.short_timer);
        self.timers.disarm(&mut call.long_timer);
        self.credit_ends(call);
        self.disarm_forward(call);
        self.disarm_sessions(call);
        self.leave_loop(call);
        if call.bye_due.is_none() {
            self.call_of_invite.remove(&call.invite_server);
        }
        let of_forks: Vec<Holder> = call.forks.iter_mut().filter_map(|fork| fork.holder.take()).collect();
        for holder in std::mem::take(&mut call.holders).into_iter().chain(of_forks) {
            self.limits.release(holder);
        }
    }

    /// A call that is answered or over can come round no more.
    pub(super) fn leave_loop(&mut self, call: &mut Call) {
        if let Some(key) = call.loop_key.take() {
            self.loops.leave(key);
        }
    }
}

/// The numbers that the record of an attempt is priced between.
pub(super) fn priced_between(attempt: &Attempt) -> (String, String) {
    let bare = |user: &str| user.strip_prefix('+').unwrap_or(user).to_owned();
    (
        attempt.cli.map_or_else(|| bare(&attempt.from_user), |cli| cli.to_string()),
        attempt.callee.map_or_else(|| bare(&attempt.dialed), |callee| callee.to_string()),
    )
}

/// Every trunk of the route is down, full or too busy.
pub(super) fn no_room() -> Refusal {
    let object = "every trunk of the route is at its limit or down";
    Refusal::new(Cause::MaxCallsPeer, 503, "Service Unavailable", object)
}
