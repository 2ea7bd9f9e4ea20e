//! Towards the callee: the INVITEs of each set of targets, their answers, and the next set when all have failed.
//!
//! In: calls from `setup`, answers and silence of routes. Out: INVITEs, what the caller hears of their answers, and the events
//! `route_attempt`, `progress`, `route_result` and `answer`. The phones of a subscriber are tried at once and the first to answer has
//! the call (parallel forking); trunks are tried one after the other (switch-reference 5.3).

use std::time::Duration;

use model::{
    Answer, EventBody, ForwardKind, Initiator, Moment, Progress, RouteAction, RouteAttempt, RouteResult,
};

use super::call::{AckDue, Call, CallRef, CallState, Fate, Fork, RouteRefusal, Side, Target, micros};
use super::classify::{cause_of, forward_kind, goes_on, rank};
use super::destination::{bracketed, escaped};
use super::identify::wants_privacy;
use super::limits::Holder;
use super::provisional::{EarlyDialog, PRACKS_MAX};
use super::{ALLOW, Purpose, Switch};
use crate::ascii;
use crate::dialog::Dialog;
use crate::hop::Hop;
use crate::message::{HeaderName, Message, NameAddr, Writer, phrase_of, text};
use crate::rules::Crossing;
use crate::sdp;
use crate::timer::Timer;
use crate::transaction::{ClientId, Reply};

impl Switch {
    /// Sends the INVITEs of the next set that has room. `false`: there is none.
    pub(super) fn try_next_group(&mut self, name: CallRef, call: &mut Call) -> bool {
        while call.leg().n_attempts < self.config.route_attempts_max {
            let Some(group) = call.groups.pop_front() else { return false };
            call.refusal = None;
            let is_alone = group.len() == 1;
            for target in group {
                let holder = match target.trunk.map(|trunk| self.trunk_takes(trunk)) {
                    Some(Ok(holder)) => Some(holder),
                    Some(Err(_full_or_down)) => continue,
                    None => None,
                };
                self.send_invite(name, call, &target, is_alone, holder);
            }
            if !call.forks.is_empty() {
                let silence_max = Duration::from_secs(self.config.route_seconds_max.into());
                self.arm_short(name, call, silence_max, Timer::RouteSilent);
                return true;
            }
        }
        false
    }

    fn send_invite(
        &mut self,
        name: CallRef,
        call: &mut Call,
        target: &Target,
        is_alone: bool,
        holder: Option<Holder>,
    ) {
        let client = self.transactions.branch();
        let tag = self.tag(name, Side::Callee);
        let call_id = ascii::hex(self.transactions.random());
        let call_id = [call_id.as_str(), "@", &self.config.node].concat();
        let caller_out = target.plan.cross(Crossing::OutCaller, &call.caller_out, &call.caller_places);
        let bytes = self.invite_bytes(call, target, client, [&tag, &call_id, &caller_out], is_alone);

        let leg = call.legs.last_mut().expect("a call begins with a leg and loses none");
        leg.n_attempts += 1;
        let attempt = leg.n_attempts;
        if let Some(holder) = holder {
            self.limits.hold(holder);
        }
        if let Some(trunk) = target.trunk
            && let Some(rate) = self.lookup.trunk_rules(trunk).rate_out
        {
            self.limits.take(Holder::Out(trunk), rate, self.now.mono);
        }
        let event = RouteAttempt {
            attempt,
            callee: target.party.clone(),
            next_hop: target.hop.address,
            caller_out: if call.clir { "anonymous".into() } else { caller_out.into() },
            callee_out: target.callee_out.as_str().into(),
            sip_call_id: call_id.into(),
            login: target.trunk.and_then(|trunk| self.peer_login(trunk)),
        };
        call.forks.push(Fork {
            client,
            attempt,
            trunk: target.trunk,
            hop: target.hop,
            holder,
            sent_at: self.now.mono,
            rang_at: None,
            is_alive: false,
            has_logged_in: false,
            dialog: None,
            earlies: Vec::new(),
        });
        self.emit_call(call, EventBody::RouteAttempt(event));
        let (now, purpose) = (self.now.mono, Purpose::Route(name));
        if target.trunk.is_some() {
            self.transactions.send_by_length(now, client, target.hop, bytes, purpose);
        } else {
            self.transactions.send(now, client, target.hop, bytes, purpose);
        }
    }

    fn invite_bytes(
        &self,
        call: &Call,
        target: &Target,
        client: ClientId,
        [tag, call_id, caller_out]: [&str; 3],
        is_alone: bool,
    ) -> Vec<u8> {
        let invite = Message::scan(&call.invite).expect("the INVITE was read before");
        let hops = invite.number(HeaderName::MaxForwards).unwrap_or(70).saturating_sub(1);
        let own_host = bracketed(ascii::ip(self.addresses.of(target.hop).ip()).as_str());
        let rules = target.trunk.map(|trunk| self.lookup.trunk_rules(trunk));
        let own_domain = rules.as_ref().and_then(|rules| rules.is.domain.clone()).unwrap_or(own_host);
        let from = match (call.clir, target.trunk) {
            (true, _) => "\"Anonymous\" <sip:anonymous@anonymous.invalid>".to_owned(),
            (false, Some(_)) => {
                let fixed = rules.as_ref().and_then(|rules| rules.is.from_user.as_deref());
                address_of(fixed.unwrap_or(caller_out), &own_domain)
            }
            (false, None) => address_of(caller_out, &bracketed(&call.caller_domain)),
        };
        let mut writer = Writer::request(b"INVITE", &target.uri)
            .header("Via", client.via(self.addresses, target.hop))
            .header("Max-Forwards", ascii::number(hops))
            .header("From", [&from, ";tag=", tag].concat())
            .header("To", address_of(&target.callee_out, &target.to_host))
            .header("Call-ID", call_id)
            .header("CSeq", "1 INVITE")
            .header("Contact", self.addresses.contact(target.hop))
            .header("Allow", ALLOW);
        for route in &target.path {
            writer.push_header(b"Route", route);
        }
        let is_shy = rules.as_ref().is_some_and(|rules| rules.is.without_100rel);
        let takes_pracks = !is_shy && super::provisional::may_offer(&invite, is_alone);
        match (self.config.session_seconds > 0, takes_pracks) {
            (true, true) => writer = writer.header("Supported", "timer, 100rel"),
            (true, false) => writer = writer.header("Supported", "timer"),
            (false, true) => writer = writer.header("Supported", "100rel"),
            (false, false) => {}
        }
        if self.config.session_seconds > 0 {
            // Whoever answers refreshes: it alone knows whether it is still there (RFC 4028, 7.1).
            let seconds = ascii::number(self.config.session_seconds);
            writer.push_parts(b"Session-Expires", &[seconds.as_bytes(), b";refresher=uas"]);
        }
        if let (Some(_), Some(cli)) = (target.trunk, call.cli) {
            // A trunk is trusted with the number even when the callee must not see it (RFC 3325, 7).
            let number = target.plan.cross(Crossing::OutCaller, &cli.to_string(), &call.caller_places);
            writer = writer.header("P-Asserted-Identity", address_of(&number, &own_domain));
            if call.clir && !wants_privacy(&invite) {
                // Anonymous by From alone: without this the next network would show the number (RFC 3325, 9.3).
                writer = writer.header("Privacy", "id");
            }
        }
        // The latest forward stands on top (RFC 5806, 4).
        for (number, reason) in call.diversions.iter().rev() {
            let number = target.plan.cross(Crossing::OutCaller, number, &call.caller_places);
            writer = writer.header(
                "Diversion",
                format!("{};reason={reason};counter=1", address_of(&number, &own_domain)),
            );
        }
        let crosses = |name: HeaderName| {
            // An emergency call never hides who needs help.
            name.crosses_the_switch() && !(call.is_emergency && name == HeaderName::Privacy)
        };
        writer.copy(&invite, crosses).finish(invite.body())
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

    pub(super) fn route_answer(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) -> Fate {
        match call.state {
            CallState::SettingUp if code < 200 => self.route_progress(call, client, code, message),
            CallState::SettingUp if code < 300 => {
                if !self.holds_back(call, client, code, message) {
                    self.route_accepted(name, call, client, self.now, code, message);
                }
            }
            CallState::SettingUp => {
                if matches!(code, 401 | 407) && self.answer_challenge(name, call, client, code, message) {
                    return Fate::Lives;
                }
                if matches!(code, 301 | 302)
                    && let Some(fate) = self.follow_redirect(name, call, client, code, message)
                {
                    return fate;
                }
                let refusal = RouteRefusal {
                    by: Initiator::Callee,
                    code,
                    phrase: message_phrase(message),
                    reason: message.value_text(HeaderName::Reason),
                };
                return self.fork_refused(name, call, client, refusal);
            }
            CallState::Answered { .. } if (200..300).contains(&code) => {
                let tag = message.to().and_then(|to| to.tag());
                let dialog = call.forks.first().and_then(|fork| fork.dialog.as_ref());
                if dialog.is_some_and(|dialog| dialog.is_remote(message.call_id(), tag)) {
                    self.transactions.acknowledge_again(client);
                } else {
                    self.hang_up_fork(client, message);
                }
            }
            CallState::Answered { .. } | CallState::Over => {}
        }
        Fate::Lives
    }

    fn route_progress(&mut self, call: &mut Call, client: ClientId, code: u16, message: &Message<'_>) {
        self.timers.disarm(&mut call.short_timer);
        let now = self.now.mono;
        if let Some(fork) = call.forks.iter_mut().find(|fork| fork.client == client) {
            if !fork.is_alive {
                self.note_heard(fork.hop);
            }
            fork.is_alive = true;
            if code > 100 {
                fork.rang_at.get_or_insert(now);
            }
        }
        if code == 100 {
            return;
        }
        let with_sdp = !message.body().is_empty();
        if self.is_repeated_progress(call, client, message) {
            return;
        }
        call.has_early_media |= with_sdp;
        if !call.has_progressed {
            call.has_progressed = true;
            self.emit_call(call, EventBody::Progress(Progress { code, with_sdp }));
        }
        self.pass_progress(call, client, code, message);
    }

    /// The dialog that an answer to our INVITE makes, while its transaction is there.
    pub(super) fn dialog_of(&self, client: ClientId, message: &Message<'_>) -> Option<Dialog> {
        let (request, peer) = self.transactions.request_of(client)?;
        Message::scan(request).ok().and_then(|invite| Dialog::of_answer(&invite, message, peer))
    }

    /// The callee has answered; `at` is when.
    pub(super) fn route_accepted(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        at: Moment,
        code: u16,
        message: &Message<'_>,
    ) {
        let Some(idx) = call.forks.iter().position(|fork| fork.client == client) else { return };
        // One that was held back has its dialog.
        let dialog = call.forks[idx].dialog.take().or_else(|| self.dialog_of(client, message));
        let Some(mut dialog) = dialog else { return };
        call.forks.swap(0, idx);
        // Of the INVITE; requests of its early dialog may have come since.
        let cseq = message.cseq().map_or_else(|| dialog.last_cseq(), |cseq| cseq.number);
        let (phrase, reason) = (message_phrase(message), message.value_text(HeaderName::Reason));
        let now = std::mem::replace(&mut self.now, at);
        self.fork_result(call, 0, code, &phrase, reason, RouteAction::Stop);
        self.now = now;
        self.give_up_forks(call, 1);
        let fork = &mut call.forks[0];
        if fork.trunk.is_some() {
            dialog.follow_contact();
        }
        let is_same = |early: &EarlyDialog| early.dialog.remote_tag == dialog.remote_tag;
        let early = std::mem::take(&mut fork.earlies).into_iter().find(is_same);
        if let Some(early) = &early {
            dialog.go_on_from(&early.dialog);
        }
        fork.dialog = Some(dialog);
        let attempt = fork.attempt;
        // The description may have come with a provisional answer of the same phone, and only there.
        let (with_body, body) = match early.as_ref().and_then(|early| early.told_alone.as_ref()) {
            Some((lines, body)) if message.body().is_empty() => (lines.as_slice(), body.as_slice()),
            Some(_) | None => (&[][..], message.body()),
        };
        call.codec = match &early {
            Some(early) if body.is_empty() => early.codec.clone(),
            Some(_) | None => sdp::first_audio_codec(body),
        };
        call.state = CallState::Answered { at: call.time(at) };
        call.groups.clear();
        self.disarm_forward(call);
        self.leave_loop(call);
        self.counters.calls_answered += 1;
        let user_agent = match message.value_text(HeaderName::UserAgent) {
            agent if agent.is_empty() => message.value_text(HeaderName::Server),
            agent => agent,
        };
        let answer = Answer {
            attempt,
            code,
            setup_us: micros(at.mono.saturating_sub(call.began.mono)),
            codec: call.codec.as_str().into(),
            user_agent: user_agent.into(),
        };
        self.now = at;
        let n_legs = call.legs.len();
        for (idx, leg) in call.legs.iter().enumerate() {
            // A record that was sent on was answered by none of its own routes.
            let attempt = if idx + 1 == n_legs { attempt } else { 0 };
            let answer = Answer { attempt, ..answer.clone() };
            self.emit_leg(call, leg, EventBody::Answer(answer));
        }
        self.now = now;

        let mut lines = self.answer_lines(call, message, true);
        lines.extend(self.begin_sessions(name, call, message));
        lines.extend_from_slice(with_body);
        let reply =
            Reply { code, phrase: &phrase, tag: Some(&call.caller_leg.local_tag), lines: &lines, body };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
        call.settle();
        call.ack_due = Some(AckDue { from: Side::Caller, server: call.invite_server, client, cseq });
        let tick = Duration::from_secs(self.config.charge_tick_seconds.into());
        self.arm_short(name, call, tick, Timer::ChargeTick);
        let longest = Duration::from_secs(call.seconds_max.into());
        let longest = longest.saturating_sub(now.mono.saturating_sub(at.mono));
        self.arm_long(name, call, longest, Timer::CallSecondsMax);
        self.credit_begins(name, call);
    }

    /// Reports the final answer of one fork.
    fn fork_result(
        &mut self,
        call: &Call,
        idx: usize,
        code: u16,
        phrase: &[u8],
        reason: String,
        action: RouteAction,
    ) {
        let fork = &call.forks[idx];
        let first_sign = fork.rang_at.unwrap_or(self.now.mono);
        let pdd_us = Some(micros(first_sign.saturating_sub(fork.sent_at)));
        let attempt = fork.attempt;
        let result =
            RouteResult { attempt, code, phrase: text(phrase).into(), reason: reason.into(), pdd_us, action };
        self.emit_call(call, EventBody::RouteResult(result));
    }

    /// Cancels all forks from `first` on. They will answer 487 to our CANCEL, but nobody waits for it.
    pub(super) fn give_up_forks(&mut self, call: &mut Call, first: usize) {
        for idx in first..call.forks.len() {
            let (client, sent_at, rang_at) =
                (call.forks[idx].client, call.forks[idx].sent_at, call.forks[idx].rang_at);
            self.abandon(client);
            let result = RouteResult {
                attempt: call.forks[idx].attempt,
                code: 487,
                phrase: "Request Terminated".into(),
                reason: "".into(),
                pdd_us: rang_at.map(|at| micros(at.saturating_sub(sent_at))),
                action: RouteAction::Stop,
            };
            self.emit_call(call, EventBody::RouteResult(result));
        }
        for fork in call.forks.drain(first..) {
            if let Some(holder) = fork.holder {
                self.limits.release(holder);
            }
        }
    }

    /// One fork failed. When it was the last of its set: the next set, a forward, or the end.
    fn fork_refused(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        refusal: RouteRefusal,
    ) -> Fate {
        let Some(idx) = call.forks.iter().position(|fork| fork.client == client) else { return Fate::Lives };
        let is_last = call.forks.len() == 1;
        // 6xx speaks for the callee, wherever it rings (RFC 3261, 16.7, step 5).
        let is_decisive = refusal.code >= 600;
        let best = match call.refusal.take() {
            Some(before) if rank(before.code) <= rank(refusal.code) => before,
            Some(_) | None => refusal.clone(),
        };
        let is_over = is_last || is_decisive;
        // Another server of the same trunk is for when this one is out of reach or overloaded (RFC 3263, 4.3).
        let is_out_of_reach = refusal.by == Initiator::Switch || refusal.code == 503;
        while !is_out_of_reach
            && let Some(group) = call.groups.front()
            && group.iter().all(|target| target.is_alternative)
        {
            call.groups.pop_front();
        }
        let hunts_on = is_over && self.hunts_on(call, idx, &best);
        let action = if hunts_on { RouteAction::Next } else { RouteAction::Stop };
        self.fork_result(call, idx, refusal.code, &refusal.phrase, refusal.reason.clone(), action);
        let trunk = call.forks[idx].trunk;
        if let Some(holder) = call.forks.remove(idx).holder {
            self.limits.release(holder);
        }
        if !is_over {
            call.refusal = Some(best);
            return Fate::Lives;
        }
        self.timers.disarm(&mut call.short_timer);
        self.give_up_forks(call, 0);
        if hunts_on && self.try_next_group(name, call) {
            return Fate::Lives;
        }
        let forwarded = forward_kind(best.code)
            .and_then(|kind| self.forward_of(call, kind).map(|(whose, forward)| (kind, whose, forward)));
        if let Some((kind, whose, forward)) = forwarded {
            let outcome = self.forward_on(name, call, &whose, kind, &forward);
            return self.after_forward(name, call, outcome);
        }
        self.tell_refusal(call, trunk, best)
    }

    /// A forward has found targets, or may not.
    pub(super) fn after_forward(
        &mut self,
        name: CallRef,
        call: &mut Call,
        outcome: Result<(), super::gates::Refusal>,
    ) -> Fate {
        let refusal = match outcome {
            Ok(()) => match self.send_on(name, call) {
                super::credit::Sent::OnItsWay => return Fate::Lives,
                super::credit::Sent::NoRoom => super::setup::no_room(),
            },
            Err(refusal) => refusal,
        };
        let server = call.invite_server;
        self.reject(call, server, refusal);
        Fate::Ended
    }

    /// Whether the next set is tried after the last of this one failed.
    fn hunts_on(&self, call: &Call, idx: usize, refusal: &RouteRefusal) -> bool {
        // The caller cannot be given a second description within one early dialog (RFC 3261, 13.2.1; switch-reference 5.3).
        if call.has_early_media || call.leg().n_attempts >= self.config.route_attempts_max {
            return false;
        }
        let setup_max = Duration::from_secs(self.config.setup_seconds_max.into());
        if self.now.mono.saturating_sub(call.began.mono) >= setup_max {
            return false;
        }
        let own_table = call.forks[idx]
            .trunk
            .and_then(|trunk| self.lookup.trunk_rules(trunk).is.failover.get(&refusal.code).copied());
        let goes_on = match own_table {
            // Whoever needs help is tried everywhere.
            _ if call.is_emergency => true,
            _ if call
                .groups
                .front()
                .is_some_and(|group| group.iter().any(|target| target.is_alternative)) =>
            {
                true
            }
            Some(RouteAction::Next) => true,
            Some(RouteAction::Stop) => false,
            None => goes_on(refusal.code, &refusal.reason),
        };
        goes_on
            && call
                .groups
                .iter()
                .flatten()
                .any(|target| target.trunk.is_none_or(|trunk| self.trunk_takes(trunk).is_ok()))
    }

    /// Ends a call with the refusal of its last route.
    fn tell_refusal(
        &mut self,
        call: &mut Call,
        trunk: Option<model::TrunkId>,
        refusal: RouteRefusal,
    ) -> Fate {
        let RouteRefusal { by, code, phrase, reason } = refusal;
        // A challenge or a redirection of a carrier means nothing to the caller.
        let (told, told_phrase) = match code {
            300..=399 => (480, phrase_of(480).as_bytes().to_vec()),
            401 | 407 => (500, phrase_of(500).as_bytes().to_vec()),
            _ => (code, phrase),
        };
        let changed = trunk.and_then(|trunk| self.lookup.trunk_rules(trunk).is.answer_as.get(&told).copied());
        let (told, told_phrase) = match changed {
            Some(other) => (other, phrase_of(other).as_bytes().to_vec()),
            None => (told, told_phrase),
        };
        let lines = if reason.is_empty() { Vec::new() } else { format!("Reason: {reason}\r\n").into_bytes() };
        let tag = call.caller_leg.local_tag.clone();
        let reply = Reply { code: told, phrase: &told_phrase, tag: Some(&tag), lines: &lines, body: &[] };
        self.transactions.respond(self.now.mono, call.invite_server, reply);
        self.finish(call, by, cause_of(told), told, reason);
        Fate::Ended
    }

    /// Answers a trunk's challenge, once, if we have a name and password there.
    fn answer_challenge(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) -> bool {
        let Some(fork) = call.forks.iter_mut().find(|fork| fork.client == client) else { return false };
        let Some(trunk) = fork.trunk.filter(|_| !fork.has_logged_in) else { return false };
        let rules = self.lookup.trunk_rules(trunk);
        let Some(login) = &rules.is.login else { return false };
        let Some((request, hop)) = self.transactions.request_of(client) else { return false };
        let request = request.to_vec();
        let again = self.transactions.branch();
        let cnonce = self.transactions.random();
        let via = again.via(self.addresses, hop);
        let Some(bytes) = super::login::with_credentials(&request, message, code, login, &via, cnonce) else {
            return false;
        };
        fork.client = again;
        fork.has_logged_in = true;
        self.transactions.set_token(client, Purpose::Nothing);
        self.transactions.send_by_length(self.now.mono, again, hop, bytes, Purpose::Route(name));
        true
    }

    /// A phone of ours sends the call elsewhere: a forward that the phone decides (switch-reference 2.3). `None`: not followed.
    fn follow_redirect(
        &mut self,
        name: CallRef,
        call: &mut Call,
        client: ClientId,
        code: u16,
        message: &Message<'_>,
    ) -> Option<Fate> {
        let idx = call.forks.iter().position(|fork| fork.client == client && fork.trunk.is_none())?;
        if call.has_early_media {
            return None;
        }
        let whose = self.lookup.subscriber(call.ringing?)?.clone();
        let to = message.list(HeaderName::Contact).filter_map(NameAddr::parse).find_map(|contact| {
            let user = contact.parse_uri()?.user_text();
            (!user.is_empty()).then_some(user)
        })?;
        let phrase = message_phrase(message);
        self.fork_result(call, idx, code, &phrase, String::new(), RouteAction::Stop);
        call.forks.remove(idx);
        self.timers.disarm(&mut call.short_timer);
        self.give_up_forks(call, 0);
        let forward = model::CallForward { when: ForwardKind::Busy, to, after_seconds: 0, enabled: true };
        let outcome = self.forward_on(name, call, &whose, ForwardKind::Busy, &forward);
        Some(self.after_forward(name, call, outcome))
    }

    /// Nobody has picked up for as long as the callee waits before it forwards.
    pub(super) fn forward_unanswered(&mut self, name: CallRef, call: &mut Call) -> Fate {
        let Some((whose, forward)) = self.forward_of(call, ForwardKind::NoAnswer) else { return Fate::Lives };
        self.timers.disarm(&mut call.short_timer);
        self.give_up_forks(call, 0);
        let outcome = self.forward_on(name, call, &whose, ForwardKind::NoAnswer, &forward);
        self.after_forward(name, call, outcome)
    }

    /// Timer B, or nothing can be sent there: the transaction of an INVITE died.
    pub(super) fn route_failed_silently(&mut self, name: CallRef) {
        let Some(mut call) = self.calls.take(name) else { return };
        let mut fate = Fate::Lives;
        while let CallState::SettingUp = call.state
            && fate == Fate::Lives
            && !call.has_held_answer()
        {
            let dead = call.forks.iter().map(|fork| fork.client);
            let mut dead = dead.filter(|client| self.transactions.request_of(*client).is_none());
            let Some(client) = dead.next() else { break };
            fate = self.fork_timed_out(name, &mut call, client);
        }
        self.calls.give_back(name, call, fate);
    }

    /// Routes that did not even say 100 are given up.
    pub(super) fn route_silent(&mut self, name: CallRef, call: &mut Call) -> Fate {
        let silent: Vec<ClientId> =
            call.forks.iter().filter(|fork| !fork.is_alive).map(|fork| fork.client).collect();
        for client in silent {
            self.abandon(client);
            if self.fork_timed_out(name, call, client) == Fate::Ended {
                return Fate::Ended;
            }
        }
        Fate::Lives
    }

    /// No answer is our own verdict.
    fn fork_timed_out(&mut self, name: CallRef, call: &mut Call, client: ClientId) -> Fate {
        if let Some(fork) = call.forks.iter().find(|fork| fork.client == client) {
            self.note_silent(fork.hop);
        }
        let refusal = RouteRefusal {
            by: Initiator::Switch,
            code: 408,
            phrase: phrase_of(408).as_bytes().to_vec(),
            reason: String::new(),
        };
        self.fork_refused(name, call, client, refusal)
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
    pub(super) fn hang_up_fork(&mut self, client: ClientId, message: &Message<'_>) {
        let Some(mut dialog) = self.dialog_of(client, message) else { return };
        let peer = dialog.peer;
        let branch = self.transactions.branch();
        let cseq = message.cseq().map_or_else(|| dialog.last_cseq(), |cseq| cseq.number);
        dialog.skip(PRACKS_MAX);
        let ack = dialog.request(b"ACK", Some(cseq), branch, self.addresses).finish(&[]);
        self.transactions.transmit(peer, ack);
        let branch = self.transactions.branch();
        let bye = dialog.request(b"BYE", None, branch, self.addresses).finish(&[]);
        self.transactions.send(self.now.mono, branch, peer, bye, Purpose::Nothing);
    }

    /// Headers of an answer that is passed on to the caller's leg.
    pub(super) fn answer_lines(&self, call: &Call, message: &Message<'_>, with_contact: bool) -> Vec<u8> {
        self.lines_for(call.caller_leg.peer, message, with_contact)
    }

    /// Headers of an answer that is passed on to `peer`.
    pub(super) fn lines_for(&self, peer: Hop, message: &Message<'_>, with_contact: bool) -> Vec<u8> {
        let mut writer = Writer::lines_only();
        if with_contact {
            writer = writer.header("Contact", self.addresses.contact(peer)).header("Allow", ALLOW);
        }
        writer.copy(message, HeaderName::crosses_the_switch).into_lines()
    }
}

/// Phrase of a response, as received.
pub(super) fn message_phrase(message: &Message<'_>) -> Vec<u8> {
    match message.start() {
        crate::message::StartLine::Response { phrase, .. } => phrase.to_vec(),
        crate::message::StartLine::Request { .. } => Vec::new(),
    }
}

/// A URI in brackets. A user part may be missing, but not empty (RFC 3261, 25.1).
fn address_of(user: &str, host: &str) -> String {
    if user.is_empty() {
        return ["<sip:", host, ">"].concat();
    }
    ["<sip:", &escaped(user), "@", host, ">"].concat()
}
