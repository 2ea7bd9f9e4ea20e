//! Call forwards: always, when busy, when nobody answers, when out of reach; and what a phone asks for with 302.
//!
//! The forwarder calls on in its own name: it needs every right a caller needs, pays for the new leg, and the leg has a record of
//! its own. Source: switch-reference 2.3, 8.1.

use std::time::Duration;

use model::{
    Attempt, AuthMethod, CallForward, CallType, Cause, EventBody, ForwardKind, Forwarded, LockLevel,
    Subscriber, SubscriberId,
};

use super::Switch;
use super::call::{Call, CallRef, Leg};
use super::destination::{Arrival, Seeker};
use super::gates::Refusal;
use super::identify::canonical_of;
use super::limits::Holder;
use crate::message::{HeaderName, Message, text};
use crate::rules::Crossing;
use crate::timer::Timer;

/// Forwards of one call; who needs more runs in circles.
const FORWARDS_MAX: usize = 5;

impl Switch {
    /// Finds targets for the leg where a call is now, following forwards. On success the call has sets of targets to try.
    pub(super) fn find_targets(
        &mut self,
        name: CallRef,
        call: &mut Call,
        mut seeker: Seeker,
    ) -> Result<(), Refusal> {
        loop {
            call.called.push(seeker.number);
            let Some(callee) = self.local_callee(&seeker).cloned() else {
                call.ringing = None;
                call.groups = self.trunks_for(&seeker, &call.caller_places)?;
                return Ok(());
            };
            let arrival =
                self.arrive(&call.caller_out, call.clir, &call.caller_places, &callee, seeker.number)?;
            match arrival {
                Arrival::Ring(targets) => {
                    let holder = Holder::Subscriber(callee.id);
                    self.limits.hold(holder);
                    call.holders.push(holder);
                    call.ringing = Some(callee.id);
                    call.visited.push(callee.id);
                    call.groups = [targets].into();
                    let rules = self.lookup.subscriber_rules(callee.id);
                    if let Some(forward) = rules.forward(ForwardKind::NoAnswer) {
                        let after = Duration::from_secs(forward.after_seconds.into());
                        self.arm_forward(name, call, after);
                    }
                    return Ok(());
                }
                Arrival::Forward(kind, forward) => {
                    call.visited.push(callee.id);
                    seeker = self.forward_leg(call, &callee, seeker.number, kind, &forward)?;
                }
            }
        }
    }

    /// The call was at phones that did not take it: where it goes on, if its owner says so. `None`: nowhere.
    pub(super) fn forward_of(&self, call: &Call, kind: ForwardKind) -> Option<(Subscriber, CallForward)> {
        // Whoever has heard the media of one phone cannot be given another (RFC 3261, 13.2.1).
        if call.has_early_media {
            return None;
        }
        let subscriber = self.lookup.subscriber(call.ringing?)?.clone();
        let rules = self.lookup.subscriber_rules(subscriber.id);
        rules.forward(kind).map(|forward| (subscriber, forward.clone()))
    }

    /// Sends a call on from phones that did not take it. `Err`: it may not go there.
    pub(super) fn forward_on(
        &mut self,
        name: CallRef,
        call: &mut Call,
        forwarder: &Subscriber,
        kind: ForwardKind,
        forward: &CallForward,
    ) -> Result<(), Refusal> {
        self.disarm_forward(call);
        self.stop_ringing(call, forwarder.id);
        let number = call.leg_number();
        let seeker = self.forward_leg(call, forwarder, number, kind, forward)?;
        self.find_targets(name, call, seeker)
    }

    /// Its line is free again, as far as the incoming leg is concerned.
    fn stop_ringing(&mut self, call: &mut Call, callee: SubscriberId) {
        call.ringing = None;
        let held = call.holders.iter().rposition(|holder| *holder == Holder::Subscriber(callee));
        if let Some(idx) = held {
            let holder = call.holders.remove(idx);
            self.limits.release(holder);
        }
    }

    /// Opens the leg that a forward makes, and checks whether the forwarder may call there.
    fn forward_leg(
        &mut self,
        call: &mut Call,
        forwarder: &Subscriber,
        called: Option<model::E164>,
        kind: ForwardKind,
        forward: &CallForward,
    ) -> Result<Seeker, Refusal> {
        let rules = self.lookup.subscriber_rules(forwarder.id);
        let plan = &rules.numbers;
        let dialed = plan.cross(Crossing::InCallee, &forward.to, &plan.places);
        let number = canonical_of(plan, &dialed);
        let party = self.lookup.party(forwarder);
        let parent = call.leg().clone();
        let mut leg = Leg {
            number: parent.number + 1,
            tenant: forwarder.tenant,
            payer: forwarder.account,
            n_attempts: 0,
            priced_from: String::new(),
            priced_to: String::new(),
        };
        let forwarded = EventBody::Forwarded(Forwarded {
            call_type: call_type(kind),
            forwarder: party.clone(),
            target: forward.to.clone().into(),
            callee: number,
            new_leg: leg.number,
        });
        self.emit_leg(call, &parent, forwarded.clone());
        if parent.payer != leg.payer {
            // The record of the new leg is made where its payer's records are made, which never sees the parent's.
            self.emit_leg(call, &leg, forwarded);
        }
        let from = called.or_else(|| self.lookup.cli(forwarder, self.now.wall));
        let own_name = from.map_or_else(|| forwarder.username.clone(), |number| number.to_string());
        let invite = Message::scan(&call.invite).ok();
        let attempt = Attempt {
            sip_call_id: text(&call.caller_leg.call_id).into(),
            caller: party.clone(),
            from_user: own_name.clone().into(),
            from_domain: forwarder.domain.clone().into(),
            dialed: forward.to.clone().into(),
            dialed_domain: forwarder.domain.clone().into(),
            cli: from,
            clir: call.clir,
            callee: number,
            source: call.caller_leg.peer.address,
            transport: call.caller_leg.peer.transport,
            user_agent: invite
                .map(|invite| invite.value_text(HeaderName::UserAgent))
                .unwrap_or_default()
                .into(),
            auth: AuthMethod::None,
            asserted_identity: "".into(),
            diversion: "".into(),
            detail: None,
        };
        (leg.priced_from, leg.priced_to) = super::setup::priced_between(&attempt);
        let screened = self.screened(leg.payer, leg.number, &attempt);
        self.emit_leg(call, &leg, EventBody::Attempt(Box::new(attempt)));
        call.legs.push(leg);
        call.diversions.push((own_name.clone(), diversion_reason(kind)));
        // Trunks are told who pays: the number we vouch for is the forwarder's.
        call.cli = from;
        let seeker = Seeker {
            tenant: forwarder.tenant,
            party,
            name: own_name,
            dialed,
            domain: forwarder.domain.to_ascii_lowercase(),
            number,
            is_emergency: false,
        };
        self.may_forward(call, forwarder, &seeker)?;
        screened.map_or(Ok(seeker), Err)
    }

    /// The gates a caller passes, for one who forwards.
    fn may_forward(
        &mut self,
        call: &mut Call,
        forwarder: &Subscriber,
        seeker: &Seeker,
    ) -> Result<(), Refusal> {
        let target = self.local_callee(seeker).map(|callee| callee.id);
        let has_been_there = target.is_some_and(|target| call.visited.contains(&target));
        if has_been_there || call.legs.len() > FORWARDS_MAX {
            let object = format!("subscriber {} forwards to {}", forwarder.id, seeker.dialed);
            return Err(Refusal::new(Cause::ForwardLoop, 482, "Loop Detected", object));
        }
        let account = forwarder.account;
        let level = self.lookup.lock_level(account, self.now.wall);
        // Of a number that moved away nothing works but the forward.
        if level != LockLevel::Ported {
            self.account_may_call(account, target.is_some())?;
        }
        self.not_barred(seeker.tenant, account, seeker.number)?;
        let holder = Holder::Subscriber(forwarder.id);
        let rules = self.lookup.subscriber_rules(forwarder.id);
        if let Some(number) = seeker.number {
            self.may_dial(account, holder, &rules, number)?;
        }
        let account_row = self.lookup.account(account);
        let account_max = account_row.and_then(|account| account.calls_max);
        let reseller = account_row.and_then(|account| account.reseller);
        let full = self
            .limits
            .check(holder, forwarder.calls_max)
            .and_then(|()| self.limits.check(Holder::Account(account), account_max));
        if let Err(object) = full {
            return Err(Refusal::new(Cause::MaxCallsOut, 403, "Maximum parallel calls exceeded", object));
        }
        let above = reseller.map(Holder::Account);
        for holder in [Some(holder), Some(Holder::Account(account)), above].into_iter().flatten() {
            self.limits.hold(holder);
            call.holders.push(holder);
        }
        let longest = self.lookup.account_rules(account).and_then(|rules| rules.call_seconds_max);
        for seconds in [longest, rules.call_seconds_max].into_iter().flatten() {
            call.seconds_max = call.seconds_max.min(seconds.max(1));
        }
        Ok(())
    }

    fn arm_forward(&mut self, name: CallRef, call: &mut Call, after: Duration) {
        self.disarm_forward(call);
        let due = super::Due::Call(name, Timer::ForwardNoAnswer);
        call.forward_timer = Some(self.timers.arm(self.now.mono + after, due));
    }

    pub(super) fn disarm_forward(&mut self, call: &mut Call) {
        self.timers.disarm(&mut call.forward_timer);
    }
}

const fn call_type(kind: ForwardKind) -> CallType {
    match kind {
        ForwardKind::Always => CallType::Cfu,
        ForwardKind::Busy => CallType::Cfb,
        ForwardKind::NoAnswer => CallType::Cft,
        ForwardKind::Unreachable => CallType::Cfna,
    }
}

/// The reason of a Diversion header (RFC 5806).
const fn diversion_reason(kind: ForwardKind) -> &'static str {
    match kind {
        ForwardKind::Always => "unconditional",
        ForwardKind::Busy => "user-busy",
        ForwardKind::NoAnswer => "no-answer",
        ForwardKind::Unreachable => "unavailable",
    }
}
