//! Topic `calls`: events of the switch.

use super::scalar::{from_endpoint, from_number, required, to_endpoint, to_number, to_time, to_u16};
use super::words::Word as _;
use super::{WireError, proto};
use crate::{
    AccountId, Answer, Attempt, AttemptDetail, AuthMethod, CallEvent, CallType, CallUid, CallUpdate, Cause,
    ChargeTick, End, EventBody, Forwarded, Initiator, MediaQuality, NodeStarted, Party, PeerLogin, Progress,
    Provisioned, ProvisioningChange, Registration, RegistrationChange, Rejected, RouteAction, RouteAttempt,
    RouteResult, Security, SecurityKind, SubscriberId, TenantId, Transport, TrunkHealth, TrunkId, TrunkState,
    UpdateKind,
};

impl TryFrom<proto::CallEvent> for CallEvent {
    type Error = WireError;

    fn try_from(event: proto::CallEvent) -> Result<Self, WireError> {
        use proto::call_event::Body as Wire;
        let body = match event.body {
            None => return Err(WireError::UnknownBody { field: "CallEvent.body" }),
            Some(Wire::Attempt(body)) => EventBody::Attempt(Box::new((*body).try_into()?)),
            Some(Wire::Rejected(body)) => EventBody::Rejected(body.try_into()?),
            Some(Wire::RouteAttempt(body)) => EventBody::RouteAttempt(body.try_into()?),
            Some(Wire::RouteResult(body)) => EventBody::RouteResult(body.try_into()?),
            Some(Wire::Progress(body)) => EventBody::Progress(Progress {
                code: to_u16(body.code, "Progress.code")?,
                with_sdp: body.with_sdp,
            }),
            Some(Wire::Answer(body)) => EventBody::Answer(body.try_into()?),
            Some(Wire::Update(body)) => EventBody::Update(CallUpdate {
                change: UpdateKind::of(body.change, "CallUpdate.change")?,
                codec: body.codec.into(),
            }),
            Some(Wire::ChargeTick(body)) => {
                EventBody::ChargeTick(ChargeTick { answered_us: body.answered_us })
            }
            Some(Wire::End(body)) => EventBody::End(body.try_into()?),
            Some(Wire::Forwarded(body)) => EventBody::Forwarded(body.try_into()?),
            Some(Wire::Registration(body)) => EventBody::Registration(body.try_into()?),
            Some(Wire::TrunkState(body)) => EventBody::TrunkState(body.try_into()?),
            Some(Wire::Security(body)) => EventBody::Security(body.try_into()?),
            Some(Wire::Provisioned(body)) => EventBody::Provisioned(body.try_into()?),
            Some(Wire::NodeStarted(body)) => EventBody::NodeStarted(NodeStarted { version: body.version }),
        };
        Ok(CallEvent {
            node: event.node.into(),
            boot: event.boot,
            seq: event.seq,
            at: to_time(event.at_us, "CallEvent.at_us")?,
            config_revision: event.config_revision,
            tenant: TenantId(event.tenant_id),
            payer: AccountId(event.payer_id),
            call: event.call.map(CallUid::new),
            leg: to_u16(event.leg, "CallEvent.leg")?,
            body,
        })
    }
}

pub(super) fn to_party(party: Option<proto::Party>, field: &'static str) -> Result<Party, WireError> {
    use proto::party::Party as Wire;
    match required(party, field)?.party {
        Some(Wire::Subscriber(party)) => Ok(Party::Subscriber {
            subscriber: SubscriberId(party.subscriber_id),
            account: AccountId(party.account_id),
            reseller: AccountId(party.reseller_id),
            uuid: party.uuid.into(),
        }),
        Some(Wire::Trunk(party)) => {
            Ok(Party::Trunk { trunk: TrunkId(party.trunk_id), account: AccountId(party.account_id) })
        }
        Some(Wire::Unknown(proto::PartyUnknown {})) => Ok(Party::Unknown),
        None => Err(WireError::UnknownBody { field }),
    }
}

impl TryFrom<proto::Attempt> for Attempt {
    type Error = WireError;

    fn try_from(attempt: proto::Attempt) -> Result<Self, WireError> {
        Ok(Attempt {
            sip_call_id: attempt.sip_call_id.into(),
            caller: to_party(attempt.caller, "Attempt.caller")?,
            from_user: attempt.from_user.into(),
            from_domain: attempt.from_domain.into(),
            dialed: attempt.dialed.into(),
            dialed_domain: attempt.dialed_domain.into(),
            cli: to_number(attempt.cli, "Attempt.cli")?,
            clir: attempt.clir,
            callee: to_number(attempt.callee, "Attempt.callee")?,
            source: to_endpoint(attempt.source, "Attempt.source")?,
            transport: Transport::of(attempt.transport, "Attempt.transport")?,
            user_agent: attempt.user_agent.into(),
            auth: AuthMethod::of(attempt.auth, "Attempt.auth")?,
            asserted_identity: attempt.asserted_identity.into(),
            diversion: attempt.diversion.into(),
            detail: attempt.detail.map(|detail| Box::new(detail.into())),
        })
    }
}

impl From<proto::AttemptDetail> for AttemptDetail {
    fn from(detail: proto::AttemptDetail) -> Self {
        AttemptDetail {
            emergency: detail.emergency,
            stir: detail.stir.into(),
            preferred_identity: detail.preferred_identity.into(),
            user_to_user: detail.user_to_user.into(),
            history_info: detail.history_info.into(),
        }
    }
}

impl From<proto::MediaQuality> for MediaQuality {
    fn from(media: proto::MediaQuality) -> Self {
        let proto::MediaQuality { mos_hundredths, loss_hundredths, jitter_us, round_trip_us } = media;
        MediaQuality { mos_hundredths, loss_hundredths, jitter_us, round_trip_us }
    }
}

impl TryFrom<proto::Rejected> for Rejected {
    type Error = WireError;

    fn try_from(rejected: proto::Rejected) -> Result<Self, WireError> {
        Ok(Rejected {
            cause: Cause::of(rejected.cause, "Rejected.cause")?,
            code: to_u16(rejected.code, "Rejected.code")?,
            phrase: rejected.phrase.into(),
            object: rejected.object.into(),
        })
    }
}

impl TryFrom<proto::RouteAttempt> for RouteAttempt {
    type Error = WireError;

    fn try_from(route: proto::RouteAttempt) -> Result<Self, WireError> {
        Ok(RouteAttempt {
            attempt: to_u16(route.attempt, "RouteAttempt.attempt")?,
            callee: to_party(route.callee, "RouteAttempt.callee")?,
            next_hop: to_endpoint(route.next_hop, "RouteAttempt.next_hop")?,
            caller_out: route.caller_out.into(),
            callee_out: route.callee_out.into(),
            sip_call_id: route.sip_call_id.into(),
            login: route
                .login
                .map(|login| Box::new(PeerLogin { user: login.user.into(), realm: login.realm.into() })),
        })
    }
}

impl TryFrom<proto::RouteResult> for RouteResult {
    type Error = WireError;

    fn try_from(result: proto::RouteResult) -> Result<Self, WireError> {
        Ok(RouteResult {
            attempt: to_u16(result.attempt, "RouteResult.attempt")?,
            code: to_u16(result.code, "RouteResult.code")?,
            phrase: result.phrase.into(),
            reason: result.reason.into(),
            pdd_us: result.pdd_us,
            action: RouteAction::of(result.action, "RouteResult.action")?,
        })
    }
}

impl TryFrom<proto::Answer> for Answer {
    type Error = WireError;

    fn try_from(answer: proto::Answer) -> Result<Self, WireError> {
        Ok(Answer {
            attempt: to_u16(answer.attempt, "Answer.attempt")?,
            code: to_u16(answer.code, "Answer.code")?,
            setup_us: answer.setup_us,
            codec: answer.codec.into(),
            user_agent: answer.user_agent.into(),
        })
    }
}

impl TryFrom<proto::End> for End {
    type Error = WireError;

    fn try_from(end: proto::End) -> Result<Self, WireError> {
        Ok(End {
            answered_us: end.answered_us,
            by: Initiator::of(end.by, "End.by")?,
            cause: Cause::of(end.cause, "End.cause")?,
            code: to_u16(end.code, "End.code")?,
            reason: end.reason.into(),
            media: end.media.map(Into::into),
        })
    }
}

impl TryFrom<proto::Forwarded> for Forwarded {
    type Error = WireError;

    fn try_from(forwarded: proto::Forwarded) -> Result<Self, WireError> {
        Ok(Forwarded {
            call_type: CallType::of(forwarded.call_type, "Forwarded.call_type")?,
            forwarder: to_party(forwarded.forwarder, "Forwarded.forwarder")?,
            target: forwarded.target.into(),
            callee: to_number(forwarded.callee, "Forwarded.callee")?,
            new_leg: to_u16(forwarded.new_leg, "Forwarded.new_leg")?,
        })
    }
}

impl From<&Registration> for proto::Registration {
    fn from(registration: &Registration) -> Self {
        proto::Registration {
            change: registration.change.to_wire(),
            subscriber_id: registration.subscriber.map(|subscriber| subscriber.0),
            aor: registration.aor.clone(),
            contact: registration.contact.clone(),
            source: Some(from_endpoint(registration.source)),
            user_agent: registration.user_agent.clone(),
            expires_seconds: registration.expires_seconds,
            renewed: registration.renewed,
        }
    }
}

impl TryFrom<proto::Registration> for Registration {
    type Error = WireError;

    fn try_from(registration: proto::Registration) -> Result<Self, WireError> {
        Ok(Registration {
            change: RegistrationChange::of(registration.change, "Registration.change")?,
            subscriber: registration.subscriber_id.map(SubscriberId),
            aor: registration.aor,
            contact: registration.contact,
            source: to_endpoint(registration.source, "Registration.source")?,
            user_agent: registration.user_agent,
            expires_seconds: registration.expires_seconds,
            renewed: registration.renewed,
        })
    }
}

impl From<&TrunkState> for proto::TrunkState {
    fn from(state: &TrunkState) -> Self {
        proto::TrunkState {
            trunk_id: state.trunk.0,
            old: state.old.to_wire(),
            new: state.new.to_wire(),
            code: state.code.into(),
            rtt_us: state.rtt_us,
        }
    }
}

impl TryFrom<proto::TrunkState> for TrunkState {
    type Error = WireError;

    fn try_from(state: proto::TrunkState) -> Result<Self, WireError> {
        Ok(TrunkState {
            trunk: TrunkId(state.trunk_id),
            old: TrunkHealth::of(state.old, "TrunkState.old")?,
            new: TrunkHealth::of(state.new, "TrunkState.new")?,
            code: to_u16(state.code, "TrunkState.code")?,
            rtt_us: state.rtt_us,
        })
    }
}

impl From<&Security> for proto::Security {
    fn from(security: &Security) -> Self {
        proto::Security {
            what: security.what.to_wire(),
            source: Some(from_endpoint(security.source)),
            user: security.user.clone(),
            detail: security.detail.clone(),
            count: security.count,
        }
    }
}

impl TryFrom<proto::Security> for Security {
    type Error = WireError;

    fn try_from(security: proto::Security) -> Result<Self, WireError> {
        Ok(Security {
            what: SecurityKind::of(security.what, "Security.what")?,
            source: to_endpoint(security.source, "Security.source")?,
            user: security.user,
            detail: security.detail,
            count: security.count,
        })
    }
}

impl From<&Provisioned> for proto::Provisioned {
    fn from(provisioned: &Provisioned) -> Self {
        proto::Provisioned {
            change: provisioned.change.to_wire(),
            subscriber_id: provisioned.subscriber.map(|subscriber| subscriber.0),
            uuid: provisioned.uuid.clone(),
            reseller_id: provisioned.reseller.0,
            number: from_number(provisioned.number),
            old: provisioned.old.clone(),
            new: provisioned.new.clone(),
            detail: provisioned.detail.clone(),
        }
    }
}

impl TryFrom<proto::Provisioned> for Provisioned {
    type Error = WireError;

    fn try_from(provisioned: proto::Provisioned) -> Result<Self, WireError> {
        Ok(Provisioned {
            change: ProvisioningChange::of(provisioned.change, "Provisioned.change")?,
            subscriber: provisioned.subscriber_id.map(SubscriberId),
            uuid: provisioned.uuid,
            reseller: AccountId(provisioned.reseller_id),
            number: to_number(provisioned.number, "Provisioned.number")?,
            old: provisioned.old,
            new: provisioned.new,
            detail: provisioned.detail,
        })
    }
}
