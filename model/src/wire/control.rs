//! Topic `control`: locks, barrings, kills, configuration revisions.

use super::scalar::{from_time, to_id, to_time};
use super::words::Word as _;
use super::{WireError, proto};
use crate::{AccountId, AlertId, Barring, CallUid, Control, Lock, LockLevel, LockSource, TenantId};

impl From<&Control> for proto::Control {
    fn from(control: &Control) -> Self {
        use proto::control::Control as Wire;
        let control = match control {
            Control::LockChanged(lock) => Wire::LockChanged(lock.into()),
            Control::BarringChanged(barring) => Wire::BarringChanged(barring.into()),
            Control::ConfigChanged { revision } => {
                Wire::ConfigChanged(proto::ConfigChanged { revision: *revision })
            }
            Control::EndCallsOf { account } => Wire::EndCallsOf(proto::EndCallsOf { account_id: account.0 }),
            Control::EndCall { call } => Wire::EndCall(proto::EndCall { call: call.as_str().to_owned() }),
        };
        proto::Control { control: Some(control) }
    }
}

impl TryFrom<proto::Control> for Control {
    type Error = WireError;

    fn try_from(control: proto::Control) -> Result<Self, WireError> {
        use proto::control::Control as Wire;
        match control.control {
            None => Err(WireError::UnknownBody { field: "Control.control" }),
            Some(Wire::LockChanged(lock)) => Ok(Control::LockChanged(lock.try_into()?)),
            Some(Wire::BarringChanged(barring)) => Ok(Control::BarringChanged(barring.try_into()?)),
            Some(Wire::ConfigChanged(changed)) => Ok(Control::ConfigChanged { revision: changed.revision }),
            Some(Wire::EndCallsOf(end)) => Ok(Control::EndCallsOf { account: AccountId(end.account_id) }),
            Some(Wire::EndCall(end)) => Ok(Control::EndCall { call: CallUid::new(end.call) }),
        }
    }
}

impl From<&Lock> for proto::Lock {
    fn from(lock: &Lock) -> Self {
        proto::Lock {
            tenant_id: lock.tenant.0,
            account_id: lock.account.0,
            level: lock.level.to_wire(),
            source: lock.source.to_wire(),
            reason: lock.reason.clone(),
            alert_id: lock.alert.map(|alert| alert.as_bytes().to_vec()),
            since_us: from_time(lock.since),
            until_us: lock.until.map(from_time),
        }
    }
}

impl TryFrom<proto::Lock> for Lock {
    type Error = WireError;

    fn try_from(lock: proto::Lock) -> Result<Self, WireError> {
        let alert = lock.alert_id.map(|id| to_id(&id, "Lock.alert_id")).transpose()?;
        Ok(Lock {
            tenant: TenantId(lock.tenant_id),
            account: AccountId(lock.account_id),
            level: LockLevel::of(lock.level, "Lock.level")?,
            source: LockSource::of(lock.source, "Lock.source")?,
            reason: lock.reason,
            alert: alert.map(AlertId::from_bytes),
            since: to_time(lock.since_us, "Lock.since_us")?,
            until: lock.until_us.map(|until| to_time(until, "Lock.until_us")).transpose()?,
        })
    }
}

impl From<&Barring> for proto::Barring {
    fn from(barring: &Barring) -> Self {
        proto::Barring {
            tenant_id: barring.tenant.0,
            account_id: barring.account.0,
            range: barring.range.clone(),
            calls_per_minute: barring.calls_per_minute,
            source: barring.source.to_wire(),
            reason: barring.reason.clone(),
            alert_id: barring.alert.map(|alert| alert.as_bytes().to_vec()),
            since_us: from_time(barring.since),
            until_us: barring.until.map(from_time),
        }
    }
}

impl TryFrom<proto::Barring> for Barring {
    type Error = WireError;

    fn try_from(barring: proto::Barring) -> Result<Self, WireError> {
        let alert = barring.alert_id.map(|id| to_id(&id, "Barring.alert_id")).transpose()?;
        Ok(Barring {
            tenant: TenantId(barring.tenant_id),
            account: AccountId(barring.account_id),
            range: barring.range,
            calls_per_minute: barring.calls_per_minute,
            source: LockSource::of(barring.source, "Barring.source")?,
            reason: barring.reason,
            alert: alert.map(AlertId::from_bytes),
            since: to_time(barring.since_us, "Barring.since_us")?,
            until: barring.until_us.map(|until| to_time(until, "Barring.until_us")).transpose()?,
        })
    }
}
