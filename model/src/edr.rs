//! Event detail records: what happened to registrations, profiles, numbers, locks and trunks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, E164, SubscriberId, TenantId};

named_enum! {
    /// What kind of event (billing-reference 2.3 and our own).
    EdrKind {
        /// A subscriber registered.
        Registered = "registered",
        /// A registration ran out or was taken back.
        Unregistered = "unregistered",
        /// A registration was refused.
        RegisterFailed = "register_failed",
        /// A subscriber profile begins.
        StartProfile = "start_profile",
        /// It changes.
        UpdateProfile = "update_profile",
        /// It ends.
        EndProfile = "end_profile",
        /// A trunk went up or down.
        TrunkState = "trunk_state",
        /// A lock was set or lifted.
        LockChanged = "lock_changed",
        /// Failed authentication, bans, rate limits.
        Security = "security",
        /// A number has an owner from now on; the states are those of the owners, by `uuid`.
        NumberAssigned = "number_assigned",
        /// A number has left its owner.
        NumberReleased = "number_released",
    }
}

/// One such event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edr {
    /// `node-boot-seq` of the event it was made from: unique, and the same after a replay.
    pub id: String,
    /// Whose platform.
    pub tenant: TenantId,
    /// Which account; decides the partition.
    pub account: AccountId,
    /// Which subscriber, if one.
    pub subscriber: Option<SubscriberId>,
    /// What kind.
    pub kind: EdrKind,
    /// State before, in the words of the kind.
    pub old_status: String,
    /// State after.
    pub new_status: String,
    /// Contact, address, user agent and the like, for people.
    pub detail: String,
    /// When.
    pub at: DateTime<Utc>,
    /// The reseller's account above; [`AccountId::NOBODY`] if there is none or it is not known.
    #[serde(default = "nobody")]
    pub reseller: AccountId,
    /// The subscriber's stable key in files; empty without one.
    #[serde(default)]
    pub uuid: String,
    /// The number it is about, if one.
    #[serde(default)]
    pub number: Option<E164>,
}

const fn nobody() -> AccountId {
    AccountId::NOBODY
}

impl EdrKind {
    /// Whether it tells of provisioning: what partners get in EDR files.
    pub const fn is_of_provisioning(self) -> bool {
        match self {
            EdrKind::StartProfile
            | EdrKind::UpdateProfile
            | EdrKind::EndProfile
            | EdrKind::LockChanged
            | EdrKind::NumberAssigned
            | EdrKind::NumberReleased => true,
            EdrKind::Registered
            | EdrKind::Unregistered
            | EdrKind::RegisterFailed
            | EdrKind::TrunkState
            | EdrKind::Security => false,
        }
    }
}
