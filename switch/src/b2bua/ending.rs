//! Every way a call ends: BYE, CANCEL, ringing or lasting too long, a missing ACK, the operator.
//!
//! Whatever the way, [`Switch::finish`] is called once: it reports the end, hangs up what is still up and gives back limits.

use std::time::Duration;

use model::{Cause, ChargeTick, End, EventBody, Initiator};

use super::call::{Call, CallRef, CallState, Fate, Side};
use super::credit::UNASKED;
use super::{Purpose, Switch};
use crate::hop::Hop;
use crate::message::{HeaderName, Message};
use crate::timer::Timer;
use crate::told;
use crate::transaction::{Reply, ServerId};

impl Switch {
    /// A party hangs up.
    pub(super) fn bye(&mut self, from: Hop, message: &Message<'_>) {
        let Some((name, mut call, side)) = self.take_call_of(message) else {
            return self.answer_stray(from, message);
        };
        self.answer_bye(from, message, &mut call, side);
        let reason = message.value_text(HeaderName::Reason);
        let by = match side {
            Side::Caller => Initiator::Caller,
            Side::Callee => Initiator::Callee,
        };
        // The callee may have answered before, unheard.
        if let CallState::SettingUp = call.state {
            self.accept_held(name, &mut call);
        }
        match call.state {
            CallState::Answered { .. } => {
                call.media = told::media_quality(message);
                self.hang_up(&mut call, side.other(), &reason);
                let cause = if told::says_media_stopped(&reason) { Cause::RtpTimeout } else { Cause::Normal };
                self.finish(&mut call, by, cause, 200, reason);
                self.ask_price(name, &mut call);
            }
            // A caller may end an early dialog with BYE (RFC 3261, 15).
            CallState::SettingUp => {
                self.give_up(name, &mut call, by, Cause::Cancelled, 487, reason);
            }
            // It hung up before it acknowledged; our BYE is needless now.
            CallState::Over => {
                if side == Side::Caller {
                    self.hangs_up_too(&mut call);
                }
                self.forget(&mut call);
            }
        }
        let fate = fate_of(&call);
        self.calls.give_back(name, call, fate);
    }

    /// The caller gives up, or takes back a re-INVITE.
    pub(super) fn cancel(&mut self, from: Hop, message: &Message<'_>) {
        let Some(server) = self.transactions.invite_of(message) else {
            return self.answer_stray(from, message);
        };
        self.answer(from, message, 200);
        let Some(name) = self.call_of_invite.get(&server).copied() else { return };
        let Some(mut call) = self.calls.take(name) else { return };
        let fate = match call.state {
            CallState::SettingUp => {
                let reason = message.value_text(HeaderName::Reason);
                self.give_up(name, &mut call, Initiator::Caller, Cause::Cancelled, 487, reason)
            }
            // For the INVITE of the call the 2xx was faster (RFC 3261, 9.2); a re-INVITE is cancelled where it went.
            CallState::Answered { .. } => {
                let relayed = call.relayed.iter().find(|relayed| relayed.server == server);
                if let Some(client) = relayed.map(|relayed| relayed.client) {
                    self.transactions.cancel(self.now.mono, client);
                }
                Fate::Lives
            }
            CallState::Over => Fate::Lives,
        };
        self.calls.give_back(name, call, fate);
    }

    /// Ends a call that nobody has answered: the caller gets `code`, the route is cancelled. Where the callee has answered and the caller has
    /// not heard of it for want of a PRACK, the call is answered as of then, and hung up: the far end bills it, and the caller may have talked.
    pub(super) fn give_up(
        &mut self,
        name: CallRef,
        call: &mut Call,
        by: Initiator,
        cause: Cause,
        code: u16,
        reason: String,
    ) -> Fate {
        if self.accept_held(name, call) {
            // Neither is true of a call that was answered.
            let cause = if cause == Cause::Cancelled { Cause::Normal } else { cause };
            let cause = if cause == Cause::NoAnswer { Cause::Timeout } else { cause };
            self.hang_up_both(name, call, by, cause);
            return fate_of(call);
        }
        self.give_up_forks(call, 0);
        let tag = call.caller_leg.local_tag.clone();
        self.transactions.respond(self.now.mono, call.invite_server, Reply::plain(code, Some(&tag)));
        self.finish(call, by, cause, code, reason);
        Fate::Ended
    }

    /// Sends a BYE to one leg, now or after the ACK it owes.
    fn hang_up(&mut self, call: &mut Call, side: Side, reason: &str) {
        if call.ack_due.as_ref().is_some_and(|due| due.from == side) {
            call.bye_due = Some(side);
            return;
        }
        if call.ack_due.as_ref().is_some_and(|due| due.from.other() == side) {
            // Its 2xx has not been acknowledged yet; a BYE must not come before (RFC 3261, 15).
            self.acknowledge(call, None);
        }
        if !self.defers_bye(call, side, reason) {
            self.send_bye(call, side, reason, None);
        }
    }

    /// `advice` is what it has cost.
    pub(super) fn send_bye(&mut self, call: &mut Call, side: Side, reason: &str, advice: Option<&str>) {
        let (branch, addresses) = (self.transactions.branch(), self.addresses);
        let Some(dialog) = call.dialog(side) else { return };
        let to = dialog.peer;
        let mut writer = dialog.request(b"BYE", None, branch, addresses);
        if !reason.is_empty() {
            writer = writer.header("Reason", reason);
        }
        if let Some(advice) = advice {
            writer = writer.header("AOC", advice);
        }
        let bytes = writer.finish(&[]);
        self.transactions.send(self.now.mono, branch, to, bytes, Purpose::Nothing);
    }

    /// Hangs up both legs of an answered call.
    pub(super) fn hang_up_both(&mut self, name: CallRef, call: &mut Call, by: Initiator, cause: Cause) {
        // Q.850 has no word for it; 31 is "normal, unspecified" (RFC 3326).
        let reason = if cause == Cause::NoCredit {
            "Q.850;cause=31;text=\"no credit\"".to_owned()
        } else {
            format!("SIP;cause=200;text=\"{cause}\"")
        };
        self.hang_up(call, Side::Callee, &reason);
        self.hang_up(call, Side::Caller, &reason);
        self.finish(call, by, cause, 200, String::new());
        self.ask_price(name, call);
    }

    /// Reports the end and lets go of everything. The place in the table is the caller's to free.
    pub(super) fn finish(
        &mut self,
        call: &mut Call,
        by: Initiator,
        cause: Cause,
        code: u16,
        mut reason: String,
    ) {
        if call.credits.iter().any(|credit| credit.is_unasked) {
            let comma = if reason.is_empty() { "" } else { ", " };
            reason = format!("{reason}{comma}{UNASKED}");
        }
        let (answered_us, media) = (call.answered_us(self.now), call.media);
        let end = End { answered_us, by, cause, code, reason: reason.into(), media };
        self.emit_all_legs(call, &EventBody::End(end));
        for relayed in std::mem::take(&mut call.relayed) {
            self.call_of_invite.remove(&relayed.server);
            self.transactions.respond(self.now.mono, relayed.server, Reply::plain(487, None));
            self.transactions.set_token(relayed.client, Purpose::Nothing);
        }
        if let (Some(fork), CallState::Answered { .. }) = (call.forks.first(), call.state) {
            // A repeated 2xx of a call that is over needs no answer: the BYE says it.
            self.transactions.set_token(fork.client, Purpose::Nothing);
        }
        self.let_go(call);
        match (call.bye_due, &call.ack_due) {
            // Still found by the tag of the ACK, or by the transaction when none comes.
            (Some(_), Some(_)) => call.state = CallState::Over,
            (Some(_) | None, _) => self.forget(call),
        }
        if call.advice_due.is_some() {
            call.state = CallState::Over;
        }
    }

    /// Stops repeating what nobody has acknowledged.
    fn forget(&mut self, call: &mut Call) {
        call.bye_due = None;
        if let Some(due) = call.ack_due.take() {
            self.transactions.acked(due.server);
            self.call_of_invite.remove(&due.server);
        }
    }

    /// The ACK came, or never will: now the BYE.
    pub(super) fn say_farewell(&mut self, call: &mut Call) {
        let side = call.bye_due;
        self.forget(call);
        if let Some(side) = side {
            self.hang_up(call, side, "");
        }
    }

    /// Our 2xx was never acknowledged: the session is dead (RFC 3261, 13.3.1.4).
    pub(super) fn ack_missing(&mut self, server: ServerId) {
        let Some(name) = self.call_of_invite.get(&server).copied() else { return };
        let Some(mut call) = self.calls.take(name) else { return };
        match call.state {
            CallState::Over => self.say_farewell(&mut call),
            CallState::SettingUp | CallState::Answered { .. } => {
                // The ACK that is due will not come: the other leg gets one from us, this leg its BYE at once.
                self.pass_ack(&mut call, None);
                self.hang_up_both(name, &mut call, Initiator::Switch, Cause::Timeout);
            }
        }
        let fate = fate_of(&call);
        self.calls.give_back(name, call, fate);
    }

    /// One of the timers of a call.
    pub(super) fn call_timer(&mut self, name: CallRef, timer: Timer) {
        let Some(mut call) = self.calls.take(name) else { return };
        let fate = match (timer, call.state) {
            (Timer::RouteSilent, CallState::SettingUp) => {
                call.short_timer = None;
                self.route_silent(name, &mut call)
            }
            (Timer::ForwardNoAnswer, CallState::SettingUp) => {
                call.forward_timer = None;
                self.forward_unanswered(name, &mut call)
            }
            (Timer::RingTimeout, CallState::SettingUp) => {
                call.long_timer = None;
                self.give_up(name, &mut call, Initiator::Switch, Cause::NoAnswer, 480, String::new())
            }
            (Timer::ChargeTick, CallState::Answered { .. }) => {
                call.short_timer = None;
                let answered_us = call.answered_us(self.now);
                self.emit_all_legs(&call, &EventBody::ChargeTick(ChargeTick { answered_us }));
                self.tick_alive(name, &mut call);
                let tick = Duration::from_secs(self.config.charge_tick_seconds.into());
                self.arm_short(name, &mut call, tick, Timer::ChargeTick);
                Fate::Lives
            }
            (Timer::CreditSilent, CallState::SettingUp) => {
                call.credit_timer = None;
                self.credit_silent(name, &mut call)
            }
            (Timer::CreditDue, CallState::Answered { .. }) => {
                call.credit_timer = None;
                self.credit_due(name, &mut call)
            }
            (Timer::AdviceSilent, CallState::Over) => {
                call.short_timer = None;
                self.tell_price(&mut call, None)
            }
            (Timer::CallSecondsMax, CallState::Answered { .. }) => {
                call.long_timer = None;
                self.hang_up_both(name, &mut call, Initiator::Switch, Cause::MaxDuration);
                fate_of(&call)
            }
            _ => Fate::Lives,
        };
        self.calls.give_back(name, call, fate);
    }

    /// Ends the calls that `wanted` picks, on the order of an operator or of the fraud desk.
    pub(super) fn kill(&mut self, wanted: impl Fn(&Call) -> bool) {
        for name in self.calls.select(wanted) {
            let Some(mut call) = self.calls.take(name) else { continue };
            match call.state {
                CallState::Answered { .. } => {
                    self.hang_up_both(name, &mut call, Initiator::Operator, Cause::Killed);
                }
                CallState::SettingUp => {
                    self.give_up(name, &mut call, Initiator::Operator, Cause::Killed, 403, String::new());
                }
                CallState::Over => {}
            }
            let fate = fate_of(&call);
            self.calls.give_back(name, call, fate);
        }
    }
}

/// A call whose last BYE waits for an ACK or for its price stays in the table.
pub(super) fn fate_of(call: &Call) -> Fate {
    let waits = call.bye_due.is_some() || call.advice_due.is_some();
    match call.state {
        CallState::Over if waits => Fate::Lives,
        CallState::Over | CallState::SettingUp | CallState::Answered { .. } => Fate::Ended,
    }
}
