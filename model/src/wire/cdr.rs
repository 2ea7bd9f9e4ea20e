//! Topic `cdrs`: CDRs and EDRs.

use super::call::to_party;
use super::scalar::{from_number, from_time, required, to_id, to_number, to_time, to_u16};
use super::words::Word;
use super::{WireError, proto};
use crate::{
    AccountId, AuthMethod, CallStatus, CallType, CallUid, Cause, Cdr, CdrDestination, CdrDetail, CdrId,
    CdrSource, Edr, EdrKind, Initiator, RouteAction, RouteTry, SubscriberId, TenantId, Transport,
};

impl TryFrom<proto::Cdr> for Cdr {
    type Error = WireError;

    fn try_from(cdr: proto::Cdr) -> Result<Self, WireError> {
        Ok(Cdr {
            id: CdrId::from_bytes(to_id(&cdr.id, "Cdr.id")?),
            revision: cdr.revision,
            call: CallUid::new(cdr.call),
            leg: to_u16(cdr.leg, "Cdr.leg")?,
            sip_call_id: cdr.sip_call_id.into(),
            node: cdr.node.into(),
            tenant: TenantId(cdr.tenant_id),
            payer: AccountId(cdr.payer_id),
            source: required(cdr.source, "Cdr.source")?.try_into()?,
            destination: required(cdr.destination, "Cdr.destination")?.try_into()?,
            call_type: CallType::of(cdr.call_type, "Cdr.call_type")?,
            status: CallStatus::of(cdr.status, "Cdr.status")?,
            code: to_u16(cdr.code, "Cdr.code")?,
            cause: Cause::of(cdr.cause, "Cdr.cause")?,
            ended_by: Initiator::of(cdr.ended_by, "Cdr.ended_by")?,
            init_at: to_time(cdr.init_at_us, "Cdr.init_at_us")?,
            start_at: to_time(cdr.start_at_us, "Cdr.start_at_us")?,
            duration_us: cdr.duration_us,
            pdd_us: cdr.pdd_us,
            codec: cdr.codec.into(),
            attempts: cdr.attempts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            config_revision: cdr.config_revision,
            partial: cdr.partial,
            detail: cdr.detail.map(TryInto::try_into).transpose()?.unwrap_or_default(),
        })
    }
}

impl TryFrom<proto::CdrDetail> for CdrDetail {
    type Error = WireError;

    fn try_from(detail: proto::CdrDetail) -> Result<Self, WireError> {
        let transport = detail.transport.map(|word| Transport::of(word, "CdrDetail.transport"));
        let auth = detail.auth.map(|word| AuthMethod::of(word, "CdrDetail.auth"));
        Ok(CdrDetail {
            reason: detail.reason.into(),
            refused_by: detail.refused_by.into(),
            setup_us: detail.setup_us,
            transport: transport.transpose()?,
            auth: auth.transpose()?,
            asserted_identity: detail.asserted_identity.into(),
            diversion: detail.diversion.into(),
            foreign_key: detail.foreign_key.into(),
            emergency: detail.emergency,
            stir: detail.stir.into(),
            preferred_identity: detail.preferred_identity.into(),
            user_to_user: detail.user_to_user.into(),
            history_info: detail.history_info.into(),
            media: detail.media.map(Into::into),
            peer_auth_user: detail.peer_auth_user.into(),
            peer_auth_realm: detail.peer_auth_realm.into(),
        })
    }
}

impl TryFrom<proto::CdrSource> for CdrSource {
    type Error = WireError;

    fn try_from(source: proto::CdrSource) -> Result<Self, WireError> {
        Ok(CdrSource {
            party: to_party(source.party, "CdrSource.party")?,
            user: source.user.into(),
            domain: source.domain.into(),
            cli: to_number(source.cli, "CdrSource.cli")?,
            clir: source.clir,
            user_out: source.user_out.into(),
            ip: source.ip.into(),
            user_agent: source.user_agent.into(),
        })
    }
}

impl TryFrom<proto::CdrDestination> for CdrDestination {
    type Error = WireError;

    fn try_from(destination: proto::CdrDestination) -> Result<Self, WireError> {
        Ok(CdrDestination {
            party: to_party(destination.party, "CdrDestination.party")?,
            dialed: destination.dialed.into(),
            domain: destination.domain.into(),
            user_in: destination.user_in.into(),
            number: to_number(destination.number, "CdrDestination.number")?,
            user_out: destination.user_out.into(),
            user_agent: destination.user_agent.into(),
        })
    }
}

impl TryFrom<proto::RouteTry> for RouteTry {
    type Error = WireError;

    fn try_from(route: proto::RouteTry) -> Result<Self, WireError> {
        Ok(RouteTry {
            attempt: to_u16(route.attempt, "RouteTry.attempt")?,
            party: to_party(route.party, "RouteTry.party")?,
            code: to_u16(route.code, "RouteTry.code")?,
            pdd_us: route.pdd_us,
            action: RouteAction::of(route.action, "RouteTry.action")?,
        })
    }
}

impl From<&Edr> for proto::Edr {
    fn from(edr: &Edr) -> Self {
        proto::Edr {
            id: edr.id.clone(),
            tenant_id: edr.tenant.0,
            account_id: edr.account.0,
            subscriber_id: edr.subscriber.map(|subscriber| subscriber.0),
            kind: edr.kind.to_wire(),
            old_status: edr.old_status.clone(),
            new_status: edr.new_status.clone(),
            detail: edr.detail.clone(),
            at_us: from_time(edr.at),
            reseller_id: edr.reseller.0,
            uuid: edr.uuid.clone(),
            number: from_number(edr.number),
        }
    }
}

impl TryFrom<proto::Edr> for Edr {
    type Error = WireError;

    fn try_from(edr: proto::Edr) -> Result<Self, WireError> {
        Ok(Edr {
            id: edr.id,
            tenant: TenantId(edr.tenant_id),
            account: AccountId(edr.account_id),
            subscriber: edr.subscriber_id.map(SubscriberId),
            kind: EdrKind::of(edr.kind, "Edr.kind")?,
            old_status: edr.old_status,
            new_status: edr.new_status,
            detail: edr.detail,
            at: to_time(edr.at_us, "Edr.at_us")?,
            reseller: AccountId(edr.reseller_id),
            uuid: edr.uuid,
            number: to_number(edr.number, "Edr.number")?,
        })
    }
}
