//! EDRs: events that belong to no call become records one by one.

use model::{
    AccountId, CallEvent, Edr, EdrKind, EventBody, Provisioned, ProvisioningChange, RegistrationChange,
};

/// Unique for ever: `node-boot-seq`.
pub(crate) fn edr_id(event: &CallEvent) -> String {
    format!("{}-{}-{}", event.node, event.boot, event.seq)
}

/// The EDR of an event; `None` for the events of calls and of the node itself, and for a registration that is renewed.
pub(crate) fn edr_of(event: &CallEvent) -> Option<Edr> {
    let (kind, subscriber, old_status, new_status, detail) = match &event.body {
        EventBody::Registration(registration) if registration.renewed => return None,
        EventBody::Registration(registration) => {
            let kind = match registration.change {
                RegistrationChange::Ok => EdrKind::Registered,
                RegistrationChange::Expired | RegistrationChange::Removed => EdrKind::Unregistered,
                RegistrationChange::Failed => EdrKind::RegisterFailed,
            };
            let detail = format!(
                "{} contact {} from {} for {} s, {}",
                registration.aor,
                or_dash(&registration.contact),
                registration.source,
                registration.expires_seconds,
                or_dash(&registration.user_agent),
            );
            (kind, registration.subscriber, "", registration.change.as_str(), detail)
        }
        EventBody::TrunkState(state) => {
            let round_trip = match state.rtt_us {
                Some(rtt_us) => format!(", {rtt_us} us"),
                None => String::new(),
            };
            let detail = format!("trunk {}, code {}{round_trip}", state.trunk, state.code);
            (EdrKind::TrunkState, None, state.old.as_str(), state.new.as_str(), detail)
        }
        EventBody::Security(security) => {
            let detail = format!(
                "{} user {}, {} times: {}",
                security.source,
                or_dash(&security.user),
                security.count,
                or_dash(&security.detail),
            );
            (EdrKind::Security, None, "", security.what.as_str(), detail)
        }
        EventBody::Provisioned(provisioned) => return Some(edr_of_provisioning(event, provisioned)),
        EventBody::Attempt(_)
        | EventBody::Rejected(_)
        | EventBody::RouteAttempt(_)
        | EventBody::RouteResult(_)
        | EventBody::Progress(_)
        | EventBody::Answer(_)
        | EventBody::Update(_)
        | EventBody::ChargeTick(_)
        | EventBody::End(_)
        | EventBody::Forwarded(_)
        | EventBody::NodeStarted(_) => return None,
    };
    Some(Edr {
        id: edr_id(event),
        tenant: event.tenant,
        account: event.payer,
        subscriber,
        kind,
        old_status: old_status.to_owned(),
        new_status: new_status.to_owned(),
        detail,
        at: event.at,
        reseller: AccountId::NOBODY,
        uuid: String::new(),
        number: None,
    })
}

fn edr_of_provisioning(event: &CallEvent, provisioned: &Provisioned) -> Edr {
    Edr {
        id: edr_id(event),
        tenant: event.tenant,
        account: event.payer,
        subscriber: provisioned.subscriber,
        kind: match provisioned.change {
            ProvisioningChange::StartProfile => EdrKind::StartProfile,
            ProvisioningChange::UpdateProfile => EdrKind::UpdateProfile,
            ProvisioningChange::EndProfile => EdrKind::EndProfile,
            ProvisioningChange::NumberAssigned => EdrKind::NumberAssigned,
            ProvisioningChange::NumberReleased => EdrKind::NumberReleased,
            ProvisioningChange::LockChanged => EdrKind::LockChanged,
        },
        old_status: provisioned.old.clone(),
        new_status: provisioned.new.clone(),
        detail: provisioned.detail.clone(),
        at: event.at,
        reseller: provisioned.reseller,
        uuid: provisioned.uuid.clone(),
        number: provisioned.number,
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
