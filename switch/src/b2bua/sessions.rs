//! Whether both sides are still there: session timers (RFC 4028), and OPTIONS inside the dialog for who knows none.
//!
//! Each leg has a session of its own. A side that is to refresh it and does not ends the call shortly before the interval is over, so that a lost
//! BYE is not billed for hours. In: INVITEs and answers, timers. Out: header lines, refreshes, and the end of calls whose other side is gone.

use std::time::Duration;

use model::{Cause, Initiator};

use super::call::{Call, CallRef, CallState, Fate, Side};
use super::{Due, Purpose, Switch};
use crate::message::{HeaderName, Message, Params, parse_number};
use crate::timer::TimerKey;

/// A session must be refreshed before it is over; who watches ends it this long before, or a third of it (RFC 4028, 10).
const MARGIN_MAX: Duration = Duration::from_secs(32);

/// The session timer of one leg.
#[derive(Debug)]
pub(super) struct Session {
    seconds: u32,
    /// Whether it is on us to refresh it.
    is_ours: bool,
    timer: Option<TimerKey>,
}

/// A wish or an agreement, as it stands in Session-Expires.
struct Interval {
    seconds: u32,
    refresher: Option<Refresher>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

impl Interval {
    fn of(message: &Message<'_>) -> Option<Self> {
        let value = message.value(HeaderName::SessionExpires)?;
        let end = memchr::memchr(b';', value).unwrap_or(value.len());
        let seconds = u32::try_from(parse_number(&value[..end])?).unwrap_or(u32::MAX);
        let refresher = match Params(&value[end..]).value("refresher") {
            Some(who) if who.eq_ignore_ascii_case(b"uac") => Some(Refresher::Uac),
            Some(who) if who.eq_ignore_ascii_case(b"uas") => Some(Refresher::Uas),
            Some(_) | None => None,
        };
        Some(Self { seconds, refresher })
    }
}

/// Whether the sender knows session timers.
fn knows_timers(message: &Message<'_>) -> bool {
    message.list(HeaderName::Supported).any(|option| option.eq_ignore_ascii_case(b"timer"))
}

impl Switch {
    /// The line of a 422, when an INVITE wishes for a shorter session than we want refreshed.
    pub(super) fn refuse_interval(&self, message: &Message<'_>) -> Option<Vec<u8>> {
        let least = self.config.session_seconds_min;
        let is_short = Interval::of(message).is_some_and(|wish| wish.seconds < least);
        (is_short && knows_timers(message)).then(|| format!("Min-SE: {least}\r\n").into_bytes())
    }

    /// Both legs begin their sessions with the 2xx. Out: the caller's lines.
    pub(super) fn begin_sessions(&mut self, name: CallRef, call: &mut Call, answer: &Message<'_>) -> Vec<u8> {
        let caller = Message::scan(&call.invite).ok().and_then(|invite| {
            let wish = Interval::of(&invite);
            let own = self.config.session_seconds;
            let seconds = match (wish.as_ref().map(|wish| wish.seconds), own) {
                (Some(wished), 0) => wished,
                (Some(wished), own) => wished.min(own),
                (None, own) => own,
            };
            let is_ours = wish.and_then(|wish| wish.refresher) == Some(Refresher::Uas);
            (knows_timers(&invite) && seconds > 0).then_some(Session { seconds, is_ours, timer: None })
        });
        let callee = Interval::of(answer).map(|agreed| Session {
            seconds: agreed.seconds.max(self.config.session_seconds_min),
            is_ours: agreed.refresher == Some(Refresher::Uac),
            timer: None,
        });
        call.sessions = [caller, callee];
        self.arm_session(name, call, Side::Caller);
        self.arm_session(name, call, Side::Callee);
        self.session_lines(call, Side::Caller)
    }

    /// What a 2xx to a side says about its session.
    pub(super) fn session_lines(&self, call: &Call, side: Side) -> Vec<u8> {
        match &call.sessions[side.index()] {
            Some(session) if session.is_ours => {
                format!("Session-Expires: {};refresher=uas\r\n", session.seconds).into_bytes()
            }
            Some(session) => {
                format!("Require: timer\r\nSession-Expires: {};refresher=uac\r\n", session.seconds)
                    .into_bytes()
            }
            None => Vec::new(),
        }
    }

    /// What a request of ours to a side says about its session.
    pub(super) fn session_wish(call: &Call, side: Side) -> Option<String> {
        let session = call.sessions[side.index()].as_ref()?;
        let who = if session.is_ours { "uac" } else { "uas" };
        Some(format!("{};refresher={who}", session.seconds))
    }

    /// A side has shown that it is there: its interval begins anew.
    pub(super) fn arm_session(&mut self, name: CallRef, call: &mut Call, side: Side) {
        let Some(session) = &mut call.sessions[side.index()] else { return };
        let interval = Duration::from_secs(session.seconds.into());
        let after = if session.is_ours { interval / 2 } else { interval - MARGIN_MAX.min(interval / 3) };
        self.timers.disarm(&mut session.timer);
        session.timer = Some(self.timers.arm(self.now.mono + after, Due::Session(name, side)));
    }

    pub(super) fn disarm_sessions(&mut self, call: &mut Call) {
        for session in call.sessions.iter_mut().flatten() {
            self.timers.disarm(&mut session.timer);
        }
        call.sessions = [None, None];
    }

    /// The timer of a session: refresh it, or it is over.
    pub(super) fn session_due(&mut self, name: CallRef, side: Side) {
        let Some(mut call) = self.calls.take(name) else { return };
        let mut fate = Fate::Lives;
        if let CallState::Answered { .. } = call.state
            && let Some(session) = &mut call.sessions[side.index()]
        {
            session.timer = None;
            if session.is_ours {
                self.ask_whether_alive(name, &mut call, side, b"UPDATE");
                self.arm_session(name, &mut call, side);
            } else {
                self.hang_up_both(name, &mut call, Initiator::Switch, Cause::SessionExpired);
                fate = super::ending::fate_of(&call);
            }
        }
        self.calls.give_back(name, call, fate);
    }

    /// A sign of life is due: sides without a session are asked for one.
    pub(super) fn tick_alive(&mut self, name: CallRef, call: &mut Call) {
        let every = self.config.alive_seconds.div_ceil(self.config.charge_tick_seconds);
        call.n_ticks = call.n_ticks.wrapping_add(1);
        if every == 0 || !call.n_ticks.is_multiple_of(every) {
            return;
        }
        for side in [Side::Caller, Side::Callee] {
            if call.sessions[side.index()].is_none() {
                self.ask_whether_alive(name, call, side, b"OPTIONS");
            }
        }
    }

    fn ask_whether_alive(&mut self, name: CallRef, call: &mut Call, side: Side, method: &[u8]) {
        let (branch, addresses) = (self.transactions.branch(), self.addresses);
        let wish = Self::session_wish(call, side);
        let Some(dialog) = call.dialog(side) else { return };
        let to = dialog.peer;
        let mut writer = dialog.request(method, None, branch, addresses);
        if let Some(wish) = wish.filter(|_| method == b"UPDATE") {
            writer = writer
                .header("Contact", addresses.contact(to))
                .header("Supported", "timer")
                .header("Session-Expires", wish);
        }
        let bytes = writer.finish(&[]);
        self.transactions.send(self.now.mono, branch, to, bytes, Purpose::Alive(name, side));
    }

    /// The answer; 408 for none. Only these two say that the call is gone on that side (RFC 3261, 12.2.1.2).
    pub(super) fn alive_answered(&mut self, name: CallRef, side: Side, code: u16) {
        if code < 200 {
            return;
        }
        let Some(mut call) = self.calls.take(name) else { return };
        let mut fate = Fate::Lives;
        if let (CallState::Answered { .. }, 408 | 481) = (call.state, code) {
            self.hang_up_both(name, &mut call, Initiator::Switch, Cause::SessionExpired);
            fate = super::ending::fate_of(&call);
        } else if let CallState::Answered { .. } = call.state {
            self.arm_session(name, &mut call, side);
        }
        self.calls.give_back(name, call, fate);
    }
}
