//! One call: two legs and what connects them, and the table of all calls.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use chrono::TimeDelta;
use model::{
    AccountId, CallUid, E164, EventBody, MediaQuality, Moment, Party, SubscriberId, TenantId, TrunkId,
};

use super::advice::AdviceDue;
use super::credit::LegCredit;
use super::limits::Holder;
use super::provisional::{EarlyDialog, Provisional};
use super::sessions::Session;
use super::{Due, Switch};
use crate::ascii;
use crate::dialog::Dialog;
use crate::hop::Hop;
use crate::rules::{NumberPlan, Places};
use crate::timer::{Timer, TimerKey};
use crate::transaction::{ClientId, ServerId};

/// Names a call in the table. A freed place gets another generation, so an old name never finds a new call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct CallRef {
    slot: u32,
    generation: u32,
}

impl CallRef {
    /// As one number, for those outside who only hand it back.
    pub(super) fn number(self) -> u64 {
        u64::from(self.slot) << 32 | u64::from(self.generation)
    }

    /// Back from [`Self::number`].
    pub(super) fn of_number(number: u64) -> Self {
        let halves = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        Self { slot: halves(number >> 32), generation: halves(number) }
    }
}

/// One of the two legs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The leg that came in.
    Caller,
    /// The leg that went out.
    Callee,
}

impl Side {
    pub(super) const fn index(self) -> usize {
        match self {
            Side::Caller => 0,
            Side::Callee => 1,
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Side::Caller => Side::Callee,
            Side::Callee => Side::Caller,
        }
    }
}

/// How far a call has come.
#[derive(Debug, Clone, Copy)]
pub(super) enum CallState {
    /// No final answer yet.
    SettingUp,
    /// A route answered with 2xx.
    Answered { at: Moment },
    /// Reported as ended; one leg still owes the ACK of a 2xx and gets its BYE after it (RFC 3261, 15).
    Over,
}

/// One place a call can be sent to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) party: Party,
    pub(super) hop: Hop,
    /// Request-URI.
    pub(super) uri: Vec<u8>,
    /// User and host of To; the user is what records call the number sent out.
    pub(super) callee_out: String,
    pub(super) to_host: String,
    /// `None` for a registered contact.
    pub(super) trunk: Option<TrunkId>,
    /// A further server of the trunk before it: only for when that one cannot be reached (RFC 3263, 4.3).
    pub(super) is_alternative: bool,
    /// Route headers: the path that a registration came by (RFC 3327).
    pub(super) path: Vec<Box<[u8]>>,
    /// How numbers are written there.
    pub(super) plan: NumberPlan,
}

/// One INVITE on its way out, and what came of it.
#[derive(Debug)]
pub(super) struct Fork {
    pub(super) client: ClientId,
    /// Counts within the leg.
    pub(super) attempt: u16,
    pub(super) trunk: Option<TrunkId>,
    pub(super) hop: Hop,
    pub(super) holder: Option<Holder>,
    pub(super) sent_at: Duration,
    pub(super) rang_at: Option<Duration>,
    /// Anything at all has come back.
    pub(super) is_alive: bool,
    /// A challenge has been answered.
    pub(super) has_logged_in: bool,
    /// Since the 2xx.
    pub(super) dialog: Option<Dialog>,
    /// Until then: those that its reliable provisional answers made (RFC 3262).
    pub(super) earlies: Vec<EarlyDialog>,
}

/// What one record is made of: the call as dialled, or one of its forwards.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) number: u16,
    pub(super) tenant: TenantId,
    pub(super) payer: AccountId,
    pub(super) n_attempts: u16,
    /// The number its price is from, and the one it is to: those of its record.
    pub(super) priced_from: String,
    pub(super) priced_to: String,
}

/// A request passed from one leg to the other, waiting for its answer.
#[derive(Debug)]
pub(super) struct Relayed {
    pub(super) from: Side,
    pub(super) server: ServerId,
    pub(super) client: ClientId,
    pub(super) is_invite: bool,
    /// Whether it may change the session.
    pub(super) is_offer: bool,
    /// What the request says about hold, if it carries a description.
    pub(super) holds: Option<bool>,
}

/// A 2xx to an INVITE went to one leg; its ACK has to be passed to the other.
#[derive(Debug)]
pub(super) struct AckDue {
    /// Who owes the ACK.
    pub(super) from: Side,
    pub(super) server: ServerId,
    /// Of the INVITE on the other leg.
    pub(super) client: ClientId,
    pub(super) cseq: u32,
}

/// One call in progress. Those answered are kept small: see [`Call::settle`].
#[derive(Debug)]
pub(super) struct Call {
    pub(super) uid: CallUid,
    /// The call as dialled, then its forwards; the last one is where it rings now.
    pub(super) legs: Vec<Leg>,
    pub(super) config_revision: i64,
    pub(super) began: Moment,
    pub(super) state: CallState,
    /// The INVITE as it came, for the next route; empty once answered.
    pub(super) invite: Vec<u8>,
    pub(super) invite_server: ServerId,
    pub(super) caller_leg: Dialog,
    /// Where its INVITE came from.
    pub(super) caller_address: IpAddr,
    /// What is billed, and vouched for towards trunks.
    pub(super) cli: Option<E164>,
    pub(super) clir: bool,
    /// User part of From on the way out, in canonical form.
    pub(super) caller_out: String,
    /// Host part of From on the way out to subscribers.
    pub(super) caller_domain: String,
    /// Where the caller is at home, for rewrite rules.
    pub(super) caller_places: Places,
    pub(super) is_emergency: bool,
    /// What loop detection counts it under while it is set up.
    pub(super) loop_key: Option<u64>,
    /// Each set is tried at once; the next one when all of it has failed.
    pub(super) groups: VecDeque<Vec<Target>>,
    /// Under way; after the answer the one that answered.
    pub(super) forks: Vec<Fork>,
    /// The best refusal so far of the set that is tried now.
    pub(super) refusal: Option<RouteRefusal>,
    /// Whose phones ring.
    pub(super) ringing: Option<SubscriberId>,
    /// Subscribers the call has been at.
    pub(super) visited: Vec<SubscriberId>,
    /// Numbers it was for, latest last.
    pub(super) called: Vec<Option<E164>>,
    /// Who sent it on and why, latest last: for Diversion.
    pub(super) diversions: Vec<(String, &'static str)>,
    pub(super) seconds_max: u32,
    pub(super) has_progressed: bool,
    /// The caller has a session description of a route and may hear its media.
    pub(super) has_early_media: bool,
    pub(super) is_held: bool,
    pub(super) codec: String,
    /// How the media were, as the one who hangs up tells it.
    pub(super) media: Option<MediaQuality>,
    pub(super) relayed: Vec<Relayed>,
    /// Provisional answers that are acknowledged, if there were any.
    pub(super) provisional: Option<Box<Provisional>>,
    pub(super) ack_due: Option<AckDue>,
    /// The leg whose BYE waits for its ACK.
    pub(super) bye_due: Option<Side>,
    /// The caller's side is told what it has cost.
    pub(super) wants_advice: bool,
    /// What waits for that.
    pub(super) advice_due: Option<AdviceDue>,
    /// Held by the caller's side and by forwarders.
    pub(super) holders: Vec<Holder>,
    /// A silent route, then signs of life.
    pub(super) short_timer: Option<TimerKey>,
    /// Ringing too long, then lasting too long.
    pub(super) long_timer: Option<TimerKey>,
    /// Session timers of the two legs.
    pub(super) sessions: [Option<Session>; 2],
    /// Signs of life given.
    pub(super) n_ticks: u32,
    /// Ringing long enough to be forwarded.
    pub(super) forward_timer: Option<TimerKey>,
    /// Of the legs that are held to a balance.
    pub(super) credits: Vec<LegCredit>,
    /// No answer of the charging service, or a grant nearly used up.
    pub(super) credit_timer: Option<TimerKey>,
}

/// How a route refused.
#[derive(Debug, Clone)]
pub(super) struct RouteRefusal {
    pub(super) by: model::Initiator,
    pub(super) code: u16,
    pub(super) phrase: Vec<u8>,
    pub(super) reason: String,
}

/// The next size of the allocator above is a quarter more.
const _: () = assert!(size_of::<Call>() <= 1_024);

impl Call {
    /// Frees what only a further route would have needed: the call is answered, and is kept as it is for minutes or hours.
    pub(super) fn settle(&mut self) {
        self.invite = Vec::new();
        self.groups = VecDeque::new();
        (self.caller_out, self.caller_domain, self.caller_places) = Default::default();
        self.diversions = Vec::new();
        self.forks.shrink_to_fit();
        self.holders.shrink_to_fit();
    }

    /// The dialog of a leg, once there is one.
    pub(super) fn dialog(&mut self, side: Side) -> Option<&mut Dialog> {
        match side {
            Side::Caller => Some(&mut self.caller_leg),
            Side::Callee => self.forks.first_mut()?.dialog.as_mut(),
        }
    }

    /// The same, or the one early dialog of a leg that has not been answered yet. With several nobody could say which is meant.
    pub(super) fn dialog_or_early(&mut self, side: Side) -> Option<&mut Dialog> {
        if side == Side::Caller {
            return Some(&mut self.caller_leg);
        }
        let is_alone = self.forks.len() == 1;
        let fork = self.forks.first_mut()?;
        if fork.dialog.is_some() {
            return fork.dialog.as_mut();
        }
        match fork.earlies.as_mut_slice() {
            [early] if is_alone => Some(&mut early.dialog),
            _ => None,
        }
    }

    /// The leg where it rings now.
    pub(super) fn leg(&self) -> &Leg {
        self.legs.last().expect("a call begins with a leg and loses none")
    }

    /// The number that was called at the phones where it rings.
    pub(super) fn leg_number(&self) -> Option<E164> {
        self.called.last().copied().flatten()
    }

    /// Whether this account pays for any part of it.
    pub(super) fn is_paid_by(&self, account: AccountId) -> bool {
        self.legs.iter().any(|leg| leg.payer == account)
    }

    /// This moment by the call's own clock: the wall clock's time when it began, and what the monotonic clock says has passed since. So
    /// the times in its records are as far apart as the call was long, whatever is done to the clock on the wall while it is up.
    pub(super) fn time(&self, now: Moment) -> Moment {
        let passed = TimeDelta::from_std(now.mono.saturating_sub(self.began.mono)).unwrap_or(TimeDelta::MAX);
        let wall = self.began.wall.checked_add_signed(passed).unwrap_or(now.wall);
        Moment { wall, mono: now.mono }
    }

    /// Microseconds it has been answered for, by the monotonic clock.
    pub(super) fn answered_us(&self, now: Moment) -> u64 {
        match self.state {
            CallState::SettingUp | CallState::Over => 0,
            CallState::Answered { at } => micros(now.mono.saturating_sub(at.mono)).min(self.granted_us()),
        }
    }
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// All calls. A call is taken out while it is worked on, and given back if it lives on.
#[derive(Debug, Default)]
pub(super) struct CallTable {
    places: Vec<(u32, Option<Box<Call>>)>,
    free: Vec<u32>,
    n_calls: usize,
}

/// Whether a call goes on after what was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Give it back to the table.
    Lives,
    /// Its end has been reported.
    Ended,
}

impl CallTable {
    /// Calls in progress.
    pub(super) fn len(&self) -> usize {
        self.n_calls
    }

    /// Takes a place for a new call.
    pub(super) fn reserve(&mut self) -> CallRef {
        self.n_calls += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.places.push((0, None));
            u32::try_from(self.places.len() - 1).expect("a named limit keeps calls far below 2^32")
        });
        CallRef { slot, generation: self.places[slot as usize].0 }
    }

    /// Gives back a place that no call took.
    pub(super) fn unreserve(&mut self, name: CallRef) {
        self.places[name.slot as usize].0 = name.generation.wrapping_add(1);
        self.free.push(name.slot);
        self.n_calls -= 1;
    }

    /// Takes a call out to work on it; [`Self::give_back`] must follow.
    pub(super) fn take(&mut self, call: CallRef) -> Option<Box<Call>> {
        let (generation, place) = self.places.get_mut(call.slot as usize)?;
        if *generation != call.generation { None } else { place.take() }
    }

    /// Puts a call back, or frees its place.
    pub(super) fn give_back(&mut self, name: CallRef, call: Box<Call>, fate: Fate) {
        match fate {
            Fate::Lives => self.places[name.slot as usize].1 = Some(call),
            Fate::Ended => self.unreserve(name),
        }
    }

    /// Whether that call is in progress.
    pub(super) fn holds(&self, name: CallRef) -> bool {
        self.places
            .get(name.slot as usize)
            .is_some_and(|(generation, call)| *generation == name.generation && call.is_some())
    }

    /// Names of the calls that `wanted` picks.
    pub(super) fn select(&self, wanted: impl Fn(&Call) -> bool) -> Vec<CallRef> {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, (_, call))| call.as_deref().is_some_and(&wanted))
            .filter_map(|(slot, (generation, _))| {
                Some(CallRef { slot: u32::try_from(slot).ok()?, generation: *generation })
            })
            .collect()
    }
}

impl Switch {
    /// A tag that names its call and leg, so that requests inside a dialog find them without a table, and that nobody can guess.
    pub(super) fn tag(&mut self, call: CallRef, side: Side) -> String {
        let letter = match side {
            Side::Caller => 'a',
            Side::Callee => 'b',
        };
        let secret = ascii::hex(self.transactions.random());
        format!("{:x}-{:x}-{letter}-{}", call.slot, call.generation, secret.as_str())
    }

    /// The call and leg that a tag of ours names. The caller compares the whole tag.
    pub(super) fn call_of_tag(tag: &[u8]) -> Option<(CallRef, Side)> {
        let mut parts = std::str::from_utf8(tag).ok()?.split('-');
        let slot = u32::from_str_radix(parts.next()?, 16).ok()?;
        let generation = u32::from_str_radix(parts.next()?, 16).ok()?;
        let side = match parts.next()? {
            "a" => Side::Caller,
            "b" => Side::Callee,
            _ => return None,
        };
        Some((CallRef { slot, generation }, side))
    }

    /// Appends an event of the leg where a call rings now.
    pub(super) fn emit_call(&mut self, call: &Call, body: EventBody) {
        self.emit_leg(call, call.leg(), body);
    }

    /// Appends an event of one leg.
    pub(super) fn emit_leg(&mut self, call: &Call, leg: &Leg, body: EventBody) {
        let at = call.time(self.now).wall;
        let uid = Some(call.uid.clone());
        self.emit_for(at, leg.tenant, leg.payer, uid, leg.number, call.config_revision, body);
    }

    /// Appends an event that happens to the whole call: each of its records needs it.
    pub(super) fn emit_all_legs(&mut self, call: &Call, body: &EventBody) {
        for leg in &call.legs {
            self.emit_leg(call, leg, body.clone());
        }
    }

    /// Arms the short timer of a call anew.
    pub(super) fn arm_short(&mut self, name: CallRef, call: &mut Call, after: Duration, timer: Timer) {
        self.timers.disarm(&mut call.short_timer);
        call.short_timer = Some(self.timers.arm(self.now.mono + after, Due::Call(name, timer)));
    }

    /// Arms the long timer of a call anew.
    pub(super) fn arm_long(&mut self, name: CallRef, call: &mut Call, after: Duration, timer: Timer) {
        self.timers.disarm(&mut call.long_timer);
        call.long_timer = Some(self.timers.arm(self.now.mono + after, Due::Call(name, timer)));
    }
}
