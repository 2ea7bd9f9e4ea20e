//! Event detail records: what happened to registrations, profiles, locks and trunks.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, SubscriberId, TenantId};

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
}
