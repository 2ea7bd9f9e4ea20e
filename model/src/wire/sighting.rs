//! Topic `sightings`: what the watch saw, for rules that count over the calls of everybody.

use super::scalar::{from_time, required, to_time, to_u16};
use super::words::Word as _;
use super::{WireError, proto};
use crate::{AccountId, CallUid, SightedBy, Sighting, SightingStep, SubscriberId, TenantId, TrunkId};

impl From<&Sighting> for proto::Sighting {
    fn from(sighting: &Sighting) -> Self {
        proto::Sighting {
            by: sighting.by.to_wire(),
            at_us: from_time(sighting.at),
            tenant_id: sighting.tenant.0,
            account_id: sighting.payer.0,
            call: sighting.call.as_ref().map(|call| call.as_str().to_owned()),
            leg: u32::from(sighting.leg),
            subscriber_id: sighting.subscriber.map(|id| id.0),
            trunk_id: sighting.trunk.map(|id| id.0),
            source: sighting.source.to_string(),
            cli: sighting.cli.unwrap_or(0),
            callee: sighting.callee.unwrap_or(0),
            user_agent: sighting.user_agent,
            country: u32::from(sighting.country),
            rate: sighting.rate,
            account_age: sighting.account_age,
            flags: u32::from(sighting.flags),
            vendor_id: sighting.vendor.map(|id| id.0),
            spared: sighting.spared.clone(),
            watched_since: sighting.watched_since,
            step: Some(from_step(&sighting.step)),
        }
    }
}

fn from_step(step: &SightingStep) -> proto::sighting::Step {
    use proto::sighting::Step as Wire;
    match *step {
        SightingStep::Began => Wire::Began(proto::SightingBegan {}),
        SightingStep::Carried => Wire::Carried(proto::SightingCarried {}),
        SightingStep::Left { rang_ms } => Wire::Left(proto::SightingLeft { rang_ms }),
        SightingStep::Answered { cost } => Wire::Answered(proto::SightingAnswered { cost }),
        SightingStep::Alive { cost } => Wire::Alive(proto::SightingAlive { cost }),
        SightingStep::Ended { cost, seconds, rang_ms, is_answered } => {
            Wire::Ended(proto::SightingEnded { cost, seconds, rang_ms, is_answered })
        }
        SightingStep::SignIn { user, times, is_failed } => {
            Wire::SignIn(proto::SightingSignIn { user, times, is_failed })
        }
        SightingStep::Stopped { saved, ref rule } => {
            Wire::Stopped(proto::SightingStopped { saved, rule: rule.clone() })
        }
    }
}

fn to_step(step: proto::sighting::Step) -> SightingStep {
    use proto::sighting::Step as Wire;
    match step {
        Wire::Began(proto::SightingBegan {}) => SightingStep::Began,
        Wire::Carried(proto::SightingCarried {}) => SightingStep::Carried,
        Wire::Left(proto::SightingLeft { rang_ms }) => SightingStep::Left { rang_ms },
        Wire::Answered(proto::SightingAnswered { cost }) => SightingStep::Answered { cost },
        Wire::Alive(proto::SightingAlive { cost }) => SightingStep::Alive { cost },
        Wire::Ended(proto::SightingEnded { cost, seconds, rang_ms, is_answered }) => {
            SightingStep::Ended { cost, seconds, rang_ms, is_answered }
        }
        Wire::SignIn(proto::SightingSignIn { user, times, is_failed }) => {
            SightingStep::SignIn { user, times, is_failed }
        }
        Wire::Stopped(proto::SightingStopped { saved, rule }) => SightingStep::Stopped { saved, rule },
    }
}

impl TryFrom<proto::Sighting> for Sighting {
    type Error = WireError;

    fn try_from(sighting: proto::Sighting) -> Result<Self, WireError> {
        let number = |digits: u64| (digits != 0).then_some(digits);
        let source = sighting.source.parse().map_err(|_| WireError::Invalid {
            field: "Sighting.source",
            value: sighting.source.clone(),
            expected: "an IP address",
        })?;
        Ok(Sighting {
            by: SightedBy::of(sighting.by, "Sighting.by")?,
            at: to_time(sighting.at_us, "Sighting.at_us")?,
            tenant: TenantId(sighting.tenant_id),
            payer: AccountId(sighting.account_id),
            call: sighting.call.map(CallUid::new),
            leg: to_u16(sighting.leg, "Sighting.leg")?,
            subscriber: sighting.subscriber_id.map(SubscriberId),
            trunk: sighting.trunk_id.map(TrunkId),
            source,
            cli: number(sighting.cli),
            callee: number(sighting.callee),
            user_agent: sighting.user_agent,
            country: to_u16(sighting.country, "Sighting.country")?,
            rate: sighting.rate,
            account_age: sighting.account_age,
            flags: to_u16(sighting.flags, "Sighting.flags")?,
            vendor: sighting.vendor_id.map(TrunkId),
            spared: sighting.spared,
            watched_since: sighting.watched_since,
            step: to_step(required(sighting.step, "Sighting.step")?),
        })
    }
}
