//! Calls that are held to a balance: asked for before the INVITE goes out, extended while they last, cut when nothing is left.
//!
//! In: calls about to be sent on their way, answers of the charging service, timers. Out: questions to it; the end of calls at the very
//! second up to which they were granted. What a call was granted is what its record says at most: its BYE was due then.

use std::time::Duration;

use model::{Cause, Initiator};

use super::call::{Call, CallRef, CallState, Fate, micros};
use super::ending::fate_of;
use super::gates::Refusal;
use super::{Due, Switch};
use crate::config::WithoutRating;
use crate::credit::{Credit, CreditAnswer, CreditKey, CreditQuestion, CreditStep};
use crate::timer::Timer;

/// Whether a leg may last, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allowance {
    /// Nobody holds it to a balance.
    Free,
    /// Asked for, not yet known.
    Asked,
    /// So many seconds from the answer on.
    Seconds(u32),
}

/// What is known of the balance behind one leg.
#[derive(Debug)]
pub(super) struct LegCredit {
    pub(super) leg: u16,
    pub(super) is_prepaid: bool,
    pub(super) allowance: Allowance,
    /// An extension was asked for and not yet answered.
    is_asking: bool,
    /// The last extension brought nothing.
    is_exhausted: bool,
    /// It was let through, or went on, because nobody could say what its balance is.
    pub(super) is_unasked: bool,
}

/// Marks the records of such a call, as one more value of its Reason (RFC 3326).
pub(super) const UNASKED: &str = "Tollbook;text=\"balance not asked\"";

/// Whether a call was sent on its way.
pub(super) enum Sent {
    /// It was, or waits for credit.
    OnItsWay,
    /// No target has room.
    NoRoom,
}

impl Switch {
    /// Sends a call to its next targets, or asks for credit first.
    pub(super) fn send_on(&mut self, name: CallRef, call: &mut Call) -> Sent {
        if self.asks_for_credit(name, call) {
            return Sent::OnItsWay;
        }
        if self.try_next_group(name, call) { Sent::OnItsWay } else { Sent::NoRoom }
    }

    /// Whether the leg where the call goes now has to wait for credit; asks for it then.
    fn asks_for_credit(&mut self, name: CallRef, call: &mut Call) -> bool {
        let (number, account) = (call.leg().number, call.leg().payer);
        if call.is_emergency || call.credits.iter().any(|credit| credit.leg == number) {
            return false;
        }
        let Some(is_prepaid) = self.lookup.held_to_balance(account, self.now.wall) else { return false };
        let leg = call.leg();
        let step = CreditStep::Begin {
            account,
            source: leg.priced_from.clone(),
            destination: leg.priced_to.clone(),
            at: self.now.wall,
        };
        self.ask_credit(name, call, number, step);
        call.credits.push(LegCredit {
            leg: number,
            is_prepaid,
            allowance: Allowance::Asked,
            is_asking: false,
            is_exhausted: false,
            is_unasked: false,
        });
        let patience = Duration::from_millis(self.config.credit.patience_ms.into());
        self.arm_credit(name, call, patience, Timer::CreditSilent);
        true
    }

    fn ask_credit(&mut self, name: CallRef, call: &Call, leg: u16, what: CreditStep) {
        let key = CreditKey { call: call.uid.clone(), leg, place: name.number() };
        self.questions.push_back(CreditQuestion { key, what });
    }

    fn arm_credit(&mut self, name: CallRef, call: &mut Call, after: Duration, timer: Timer) {
        self.timers.disarm(&mut call.credit_timer);
        call.credit_timer = Some(self.timers.arm(self.now.mono + after, Due::Call(name, timer)));
    }

    /// The charging service has answered.
    pub(super) fn credit_answered(&mut self, answer: CreditAnswer) {
        let CreditAnswer { key, credit } = answer;
        let name = CallRef::of_number(key.place);
        let Some(mut call) = self.calls.take(name) else { return };
        let is_its = call.uid == key.call;
        let place = call.credits.iter().position(|credit| credit.leg == key.leg).filter(|_| is_its);
        let fate = match (place, call.state) {
            (Some(place), CallState::SettingUp) if call.credits[place].allowance == Allowance::Asked => {
                self.credit_known(name, &mut call, place, credit)
            }
            (Some(place), CallState::Answered { .. }) => {
                self.credit_extended(name, &mut call, place, credit);
                Fate::Lives
            }
            (_, CallState::Over) if is_its && call.advice_due.is_some() => match credit {
                Credit::Cost(price) => self.tell_price(&mut call, Some(price)),
                Credit::Unknown => self.tell_price(&mut call, None),
                // What was asked while it was up.
                Credit::Seconds(_) | Credit::Unlimited | Credit::Refused(_) => Fate::Lives,
            },
            (Some(_) | None, _) => Fate::Lives,
        };
        self.calls.give_back(name, call, fate);
    }

    /// Before the INVITE: on its way, or refused.
    fn credit_known(&mut self, name: CallRef, call: &mut Call, place: usize, credit: Credit) -> Fate {
        self.timers.disarm(&mut call.credit_timer);
        let LegCredit { leg, is_prepaid, .. } = call.credits[place];
        call.credits[place].allowance = match credit {
            Credit::Seconds(seconds) => Allowance::Seconds(seconds),
            Credit::Unlimited => Allowance::Free,
            Credit::Refused(why) => {
                let account = call.leg().payer;
                let object = format!("account {account}: {why}");
                let code = self.config.credit.no_credit_code;
                let phrase = crate::message::phrase_of(code);
                return self.refuse_for_credit(call, Refusal::new(Cause::NoCredit, code, phrase, object));
            }
            Credit::Unknown | Credit::Cost(_) => {
                let policy = if is_prepaid {
                    self.config.credit.prepaid_without_rating
                } else {
                    self.config.credit.postpaid_without_rating
                };
                if policy == WithoutRating::Refuse {
                    let object = format!("account {}: its balance cannot be asked", call.leg().payer);
                    let refusal = Refusal::new(Cause::NoCredit, 503, "Service Unavailable", object);
                    return self.refuse_for_credit(call, refusal);
                }
                self.counters.calls_without_credit += 1;
                call.credits[place].is_unasked = true;
                tracing::warn!(call = %call.uid, leg, account = %call.leg().payer, "call is let through without asking its balance");
                Allowance::Free
            }
        };
        if self.try_next_group(name, call) {
            return Fate::Lives;
        }
        self.refuse_for_credit(call, super::setup::no_room())
    }

    fn refuse_for_credit(&mut self, call: &mut Call, refusal: Refusal) -> Fate {
        let server = call.invite_server;
        self.reject(call, server, refusal);
        Fate::Ended
    }

    /// While it lasts.
    fn credit_extended(&mut self, name: CallRef, call: &mut Call, place: usize, credit: Credit) {
        let known = &mut call.credits[place];
        // The first grant after the answer may be the same as before it, and says nothing of the next.
        let was_asking = std::mem::replace(&mut known.is_asking, false);
        match (credit, known.allowance) {
            (Credit::Seconds(seconds), Allowance::Seconds(before)) => {
                known.is_exhausted = was_asking && seconds <= before;
                known.allowance = Allowance::Seconds(seconds);
            }
            (Credit::Seconds(seconds), Allowance::Free | Allowance::Asked) => {
                known.allowance = Allowance::Seconds(seconds);
            }
            (Credit::Unlimited, _) => known.allowance = Allowance::Free,
            // What was granted stays granted, and is cut at its end.
            (Credit::Refused(_) | Credit::Unknown | Credit::Cost(_), _) => known.is_exhausted = true,
        }
        self.watch_credit(name, call);
    }

    /// The 2xx came: prices begin now.
    pub(super) fn credit_begins(&mut self, name: CallRef, call: &mut Call) {
        if call.credits.is_empty() {
            return;
        }
        let CallState::Answered { at } = call.state else { return };
        let at = at.wall;
        for place in 0..call.credits.len() {
            if call.credits[place].allowance == Allowance::Free {
                continue;
            }
            let leg = call.credits[place].leg;
            self.ask_credit(name, call, leg, CreditStep::Answered { at });
        }
        self.watch_credit(name, call);
    }

    /// Arms the timer for the next thing to do: ask, or cut.
    fn watch_credit(&mut self, name: CallRef, call: &mut Call) {
        self.timers.disarm(&mut call.credit_timer);
        let CallState::Answered { at } = call.state else { return };
        let margin = Duration::from_millis(self.config.credit.margin_ms.into());
        let mut next: Option<Duration> = None;
        for credit in &call.credits {
            let Allowance::Seconds(seconds) = credit.allowance else { continue };
            let cut = at.mono + Duration::from_secs(seconds.into());
            let due = if credit.is_asking || credit.is_exhausted { cut } else { cut.saturating_sub(margin) };
            next = Some(next.map_or(due, |next| next.min(due)));
        }
        if let Some(due) = next {
            let due = due.max(self.now.mono);
            call.credit_timer = Some(self.timers.arm(due, Due::Call(name, Timer::CreditDue)));
        }
    }

    /// A grant is nearly used up, or used up.
    pub(super) fn credit_due(&mut self, name: CallRef, call: &mut Call) -> Fate {
        let CallState::Answered { at } = call.state else { return Fate::Lives };
        let margin = Duration::from_millis(self.config.credit.margin_ms.into());
        let now = self.now.mono;
        for place in 0..call.credits.len() {
            let credit = &mut call.credits[place];
            let Allowance::Seconds(seconds) = credit.allowance else { continue };
            let cut = at.mono + Duration::from_secs(seconds.into());
            if now >= cut {
                let is_silent = credit.is_asking && !credit.is_exhausted;
                if is_silent
                    && !credit.is_prepaid
                    && self.config.credit.postpaid_without_rating == WithoutRating::Allow
                {
                    credit.allowance = Allowance::Free;
                    credit.is_unasked = true;
                    self.counters.calls_without_credit += 1;
                    tracing::warn!(call = %call.uid, "call goes on without asking its balance");
                    continue;
                }
                self.hang_up_both(name, call, Initiator::Switch, Cause::NoCredit);
                return fate_of(call);
            }
            if !credit.is_asking && !credit.is_exhausted && now + margin >= cut {
                credit.is_asking = true;
                let leg = credit.leg;
                self.ask_credit(name, call, leg, CreditStep::Extend);
            }
        }
        self.watch_credit(name, call);
        Fate::Lives
    }

    /// No answer in time, before the INVITE.
    pub(super) fn credit_silent(&mut self, name: CallRef, call: &mut Call) -> Fate {
        match call.credits.iter().position(|credit| credit.allowance == Allowance::Asked) {
            Some(place) => self.credit_known(name, call, place, Credit::Unknown),
            None => Fate::Lives,
        }
    }

    /// The call is over, whatever the way.
    pub(super) fn credit_ends(&mut self, call: &mut Call) {
        self.timers.disarm(&mut call.credit_timer);
        let answered_us = call.answered_us(self.now);
        for credit in std::mem::take(&mut call.credits) {
            let key = CreditKey { call: call.uid.clone(), leg: credit.leg, place: u64::MAX };
            let was_sent = call.legs.iter().any(|leg| leg.number == credit.leg && leg.n_attempts > 0);
            self.questions.push_back(CreditQuestion { key, what: CreditStep::End { answered_us, was_sent } });
        }
    }
}

impl Call {
    /// The most that its records may say, microseconds: what was granted.
    pub(super) fn granted_us(&self) -> u64 {
        let granted = self.credits.iter().filter_map(|credit| match credit.allowance {
            Allowance::Seconds(seconds) => Some(micros(Duration::from_secs(seconds.into()))),
            Allowance::Free | Allowance::Asked => None,
        });
        granted.min().unwrap_or(u64::MAX)
    }
}
