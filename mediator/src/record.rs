//! Makes the [`Cdr`] of one leg from the facts of its call.
//!
//! In: the facts, and for a call that was given up the cause. Out: the record, "still open", or why there can be none.
//! A pure function of the facts: whoever holds the same facts makes the same record.

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Attempt, AttemptDetail, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId,
    CdrSource, E164, Initiator, Party, RouteAction, RouteTry, Text, text_of,
};

use crate::MediationError;
use crate::call::{Call, Fact, Leg, RouteFacts};

/// What the facts of a leg come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Its end is still to come.
    Open,
    /// Its record, in revision 0.
    Record(Box<Cdr>),
    /// There can be no record of this.
    Impossible(MediationError),
}

/// How a leg began, whether it was dialled or forwarded.
struct Opening {
    at: DateTime<Utc>,
    sip_call_id: Text,
    call_type: CallType,
    source: CdrSource,
    dialed: Text,
    domain: Text,
    number: Option<E164>,
    detail: CdrDetail,
}

impl Opening {
    /// What fees match: digits where it is a number.
    fn user_in(&self) -> Text {
        self.number.map_or_else(|| self.dialed.clone(), text_of)
    }
}

/// How a leg ended.
struct Ending {
    status: CallStatus,
    code: u16,
    cause: Cause,
    ended_by: Initiator,
    start_at: DateTime<Utc>,
    duration_us: u64,
    is_partial: bool,
}

/// Looks at one leg of a call. `given_up` closes a leg without an end as partial, for that cause.
pub(crate) fn judge(
    uid: &CallUid,
    call: &Call,
    leg_number: u16,
    given_up: Option<Cause>,
    tolerance: TimeDelta,
) -> Verdict {
    let Some(leg) = call.legs.get(leg_number) else { return Verdict::Open };
    let Some(opening) = opening_of(call, leg_number) else {
        if given_up.is_none() {
            return Verdict::Open;
        }
        return Verdict::Impossible(MediationError::NoAttempt {
            call: uid.to_string(),
            leg: leg_number,
            node: call.node.to_string(),
            boot: call.boot,
            first_seq: leg.first.seq,
            last_seq: leg.life.seq,
        });
    };
    match ending_of(uid, leg_number, leg, &opening, given_up, tolerance) {
        Ok(Some(ending)) => Verdict::Record(Box::new(cdr_of(uid, call, leg_number, leg, opening, ending))),
        Ok(None) => Verdict::Open,
        Err(error) => Verdict::Impossible(error),
    }
}

/// Whether a leg has a beginning and an end, whatever they say.
pub(crate) fn is_complete(call: &Call, leg_number: u16) -> bool {
    call.legs.get(leg_number).is_some_and(|leg| leg.end.is_some() || leg.rejected.is_some())
        && has_opening(call, leg_number)
}

fn has_opening(call: &Call, leg_number: u16) -> bool {
    let dialled = call.legs.get(leg_number).is_some_and(|leg| leg.attempt.is_some());
    dialled
        || call
            .forwards
            .get(leg_number)
            .is_some_and(|forward| forward.is.parent < leg_number && has_opening(call, forward.is.parent))
}

fn opening_of(call: &Call, leg_number: u16) -> Option<Opening> {
    let forward = call.forwards.get(leg_number);
    if let Some(attempt) = call.legs.get(leg_number).and_then(|leg| leg.attempt.as_ref()) {
        let is = &attempt.is;
        return Some(Opening {
            at: attempt.at,
            sip_call_id: is.sip_call_id.clone(),
            call_type: forward.map_or(CallType::Call, |forward| forward.is.forwarded.call_type),
            source: CdrSource {
                party: is.caller.clone(),
                user: is.from_user.clone(),
                domain: is.from_domain.clone(),
                cli: is.cli,
                clir: is.clir,
                user_out: Text::new(),
                ip: text_of(is.source.ip()),
                user_agent: is.user_agent.clone(),
            },
            dialed: is.dialed.clone(),
            domain: is.dialed_domain.clone(),
            number: is.callee,
            detail: detail_of(is),
        });
    }
    // The forwarder calls on, from the number that was called (billing-reference 1.4).
    let Fact { at, is: forward, .. } = forward?;
    // A leg opens only later ones; a forward that claims otherwise would lead us round in circles.
    let parent = (forward.parent < leg_number).then(|| opening_of(call, forward.parent))??;
    Some(Opening {
        at: *at,
        call_type: forward.forwarded.call_type,
        source: CdrSource {
            party: forward.forwarded.forwarder.clone(),
            user: parent.user_in(),
            domain: parent.domain.clone(),
            cli: parent.number,
            ..parent.source
        },
        sip_call_id: parent.sip_call_id,
        dialed: forward.forwarded.target.clone(),
        domain: parent.domain,
        number: forward.forwarded.callee,
        // Who called the forwarder proved himself for his own leg, not for this one.
        detail: CdrDetail { transport: parent.detail.transport, ..CdrDetail::default() },
    })
}

/// What is known of a leg from its INVITE.
fn detail_of(attempt: &Attempt) -> CdrDetail {
    let detail = CdrDetail {
        transport: Some(attempt.transport),
        auth: Some(attempt.auth),
        asserted_identity: attempt.asserted_identity.clone(),
        diversion: attempt.diversion.clone(),
        ..CdrDetail::default()
    };
    let Some(AttemptDetail { emergency, stir, preferred_identity, user_to_user, history_info }) =
        attempt.detail.as_deref()
    else {
        return detail;
    };
    CdrDetail {
        emergency: *emergency,
        stir: stir.clone(),
        preferred_identity: preferred_identity.clone(),
        user_to_user: user_to_user.clone(),
        history_info: history_info.clone(),
        ..detail
    }
}

fn ending_of(
    uid: &CallUid,
    leg_number: u16,
    leg: &Leg,
    opening: &Opening,
    given_up: Option<Cause>,
    tolerance: TimeDelta,
) -> Result<Option<Ending>, MediationError> {
    let contradiction = |code| MediationError::Contradiction { call: uid.to_string(), leg: leg_number, code };
    if let Some(rejected) = &leg.rejected {
        let talked = leg.end.as_ref().is_some_and(|end| end.is.answered_us > 0);
        if talked || leg.answer.is_some() {
            return Err(contradiction(rejected.is.code));
        }
        return Ok(Some(Ending {
            status: CallStatus::of_code(rejected.is.code),
            code: rejected.is.code,
            cause: rejected.is.cause,
            ended_by: Initiator::Switch,
            start_at: rejected.at,
            duration_us: 0,
            is_partial: false,
        }));
    }
    let Some(end) = &leg.end else {
        return Ok(given_up.map(|cause| given_up_ending(leg, cause)));
    };
    let is_answered = (200..300).contains(&end.is.code);
    if !is_answered && (end.is.answered_us > 0 || leg.answer.is_some()) {
        return Err(contradiction(end.is.code));
    }
    let impossible = |wall_us| MediationError::ImpossibleDuration {
        call: uid.to_string(),
        leg: leg_number,
        answered_us: end.is.answered_us,
        wall_us,
    };
    let start_at = match (&leg.answer, is_answered) {
        (Some(answer), true) => answer.at,
        // The answer is missing: count back from the end.
        (None, true) => before(end.at, end.is.answered_us).ok_or_else(|| impossible(0))?,
        (_, false) => end.at,
    };
    let wall_us = end.at.signed_duration_since(start_at).num_microseconds().unwrap_or(i64::MAX);
    let difference_us = i128::from(end.is.answered_us).abs_diff(i128::from(wall_us));
    let tolerance_us = tolerance.num_microseconds().unwrap_or(i64::MAX);
    let starts_too_early = start_at.checked_add_signed(tolerance).is_some_and(|latest| latest < opening.at);
    if difference_us > u128::from(tolerance_us.unsigned_abs()) || starts_too_early {
        return Err(impossible(wall_us));
    }
    Ok(Some(Ending {
        status: CallStatus::of_code(end.is.code),
        code: end.is.code,
        cause: end.is.cause,
        ended_by: end.is.by,
        start_at,
        duration_us: end.is.answered_us,
        is_partial: false,
    }))
}

/// Closes a leg at its last sign of life.
fn given_up_ending(leg: &Leg, cause: Cause) -> Ending {
    let tick = leg.tick.as_ref().filter(|tick| tick.is.answered_us > 0);
    // From the answer, or else counted back from a tick, which only an answered call has.
    let start_at = match (&leg.answer, tick) {
        (Some(answer), _) => Some(answer.at),
        (None, Some(tick)) => before(tick.at, tick.is.answered_us),
        (None, None) => None,
    };
    // The monotonic clock up to the last tick, the wall clock from there.
    let counted = match (tick, &leg.answer) {
        (Some(tick), _) => Some((tick.seq, tick.at, tick.is.answered_us)),
        (None, Some(answer)) => Some((answer.seq, answer.at, 0)),
        (None, None) => None,
    };
    let (Some(start_at), Some((seq, at, counted_us))) = (start_at, counted) else {
        // Never answered as far as we know, and no final code: 0.
        return Ending {
            status: CallStatus::Failed,
            code: 0,
            cause,
            ended_by: Initiator::Switch,
            start_at: leg.life.at,
            duration_us: 0,
            is_partial: true,
        };
    };
    let after_us = if leg.life.seq > seq {
        leg.life.at.signed_duration_since(at).num_microseconds().unwrap_or(0).max(0).unsigned_abs()
    } else {
        0
    };
    // The reference keeps `failed` for calls whose end is lost; one that is up is not.
    let status = if cause == Cause::InProgress { CallStatus::Ok } else { CallStatus::Failed };
    Ending {
        status,
        code: leg.answer.as_ref().map_or(200, |answer| answer.is.code),
        cause,
        ended_by: Initiator::Switch,
        start_at,
        duration_us: counted_us.saturating_add(after_us),
        is_partial: true,
    }
}

fn before(at: DateTime<Utc>, us: u64) -> Option<DateTime<Utc>> {
    at.checked_sub_signed(TimeDelta::microseconds(i64::try_from(us).ok()?))
}

fn cdr_of(uid: &CallUid, call: &Call, leg_number: u16, leg: &Leg, opening: Opening, ending: Ending) -> Cdr {
    // The route that answered, else the last one tried.
    let answered = leg.answer.as_ref().and_then(|answer| leg.routes.get(answer.is.attempt));
    let used = answered.or_else(|| leg.routes.values().next_back());
    let used_attempt = used.and_then(|route| route.attempt.as_ref()).map(|attempt| &attempt.is);
    let login = used_attempt.and_then(|attempt| attempt.login.as_deref());
    let user_in = opening.user_in();
    Cdr {
        id: CdrId::derive(uid, leg_number),
        revision: 0,
        call: uid.clone(),
        leg: leg_number,
        sip_call_id: opening.sip_call_id,
        node: call.node.clone(),
        tenant: leg.first.is.tenant,
        payer: leg.first.is.payer,
        source: CdrSource {
            user_out: used_attempt.map(|attempt| attempt.caller_out.clone()).unwrap_or_default(),
            ..opening.source
        },
        destination: CdrDestination {
            party: used_attempt.map_or(Party::Unknown, |attempt| attempt.callee.clone()),
            dialed: opening.dialed,
            domain: opening.domain,
            user_in,
            number: opening.number,
            user_out: used_attempt.map(|attempt| attempt.callee_out.clone()).unwrap_or_default(),
            user_agent: leg.answer.as_ref().map(|answer| answer.is.user_agent.clone()).unwrap_or_default(),
        },
        call_type: opening.call_type,
        status: ending.status,
        code: ending.code,
        cause: ending.cause,
        ended_by: ending.ended_by,
        init_at: opening.at,
        start_at: ending.start_at,
        duration_us: ending.duration_us,
        pdd_us: used.and_then(|route| route.result.as_ref()).and_then(|result| result.is.pdd_us),
        codec: leg.answer.as_ref().map(|answer| answer.is.codec.clone()).unwrap_or_default(),
        attempts: leg.routes.iter().map(|(attempt, route)| route_try(attempt, route, leg)).collect(),
        config_revision: leg.first.is.config_revision,
        partial: ending.is_partial,
        detail: CdrDetail {
            reason: reason_of(leg, used),
            refused_by: leg.rejected.as_ref().map(|rejected| rejected.is.object.clone()).unwrap_or_default(),
            setup_us: leg.answer.as_ref().map(|answer| answer.is.setup_us),
            media: leg.end.as_ref().and_then(|end| end.is.media),
            peer_auth_user: login.map(|login| login.user.clone()).unwrap_or_default(),
            peer_auth_realm: login.map(|login| login.realm.clone()).unwrap_or_default(),
            ..opening.detail
        },
    }
}

/// As the end gave it; else as the route that was used did, for calls that never came about.
fn reason_of(leg: &Leg, used: Option<&RouteFacts>) -> Text {
    let of_end = leg.end.as_ref().map(|end| &end.is.reason).filter(|reason| !reason.is_empty());
    let of_route = || used.and_then(|route| route.result.as_ref()).map(|result| &result.is.reason);
    of_end.or_else(of_route).cloned().unwrap_or_default()
}

fn route_try(attempt: u16, route: &RouteFacts, leg: &Leg) -> RouteTry {
    let answer = leg.answer.as_ref().filter(|answer| answer.is.attempt == attempt);
    let is_last = leg.routes.numbers().next_back() == Some(attempt);
    let result = route.result.as_ref().map(|result| &result.is);
    RouteTry {
        attempt,
        party: route.attempt.as_ref().map_or(Party::Unknown, |route| route.is.callee.clone()),
        code: result.map(|result| result.code).or(answer.map(|answer| answer.is.code)).unwrap_or(0),
        pdd_us: result.and_then(|result| result.pdd_us),
        action: result
            .map_or(if is_last { RouteAction::Stop } else { RouteAction::Next }, |result| result.action),
    }
}
