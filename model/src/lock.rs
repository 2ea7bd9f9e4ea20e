//! Locks: what an account may not do.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, AlertId, TenantId};

named_enum! {
    /// Lock levels of the reference (billing-reference 6.1), with its numbers in [`LockLevel::number`].
    LockLevel {
        /// Everything is allowed.
        None = "none",
        /// No calls that leave the platform.
        Foreign = "foreign",
        /// No outgoing calls.
        Outgoing = "outgoing",
        /// No calls at all.
        All = "all",
        /// No calls, no self-care.
        Global = "global",
        /// Number moved away: only forwarding works.
        Ported = "ported",
    }
}

impl LockLevel {
    /// 0 to 5, as the reference numbers them.
    pub const fn number(self) -> u8 {
        match self {
            LockLevel::None => 0,
            LockLevel::Foreign => 1,
            LockLevel::Outgoing => 2,
            LockLevel::All => 3,
            LockLevel::Global => 4,
            LockLevel::Ported => 5,
        }
    }

    /// Back from [`Self::number`].
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.iter().copied().find(|level| level.number() == number)
    }

    /// Whether a call to the outside world is refused. Emergency calls never are.
    pub const fn blocks_outgoing(self) -> bool {
        !matches!(self, LockLevel::None)
    }

    /// Whether a call between our own subscribers is refused to the caller.
    pub const fn blocks_outgoing_on_net(self) -> bool {
        !matches!(self, LockLevel::None | LockLevel::Foreign)
    }

    /// Whether a call to this account is refused.
    pub const fn blocks_incoming(self) -> bool {
        matches!(self, LockLevel::All | LockLevel::Global | LockLevel::Ported)
    }
}

named_enum! {
    /// Who set a lock.
    LockSource {
        /// A fraud rule.
        Fraud = "fraud",
        /// A person.
        Admin = "admin",
        /// Unpaid invoices.
        Dunning = "dunning",
        /// A profile package.
        Package = "package",
    }
}

/// The lock of one account. Level [`LockLevel::None`] lifts it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lock {
    /// Whose platform.
    pub tenant: TenantId,
    /// Who is locked.
    pub account: AccountId,
    /// How far.
    pub level: LockLevel,
    /// Who set it.
    pub source: LockSource,
    /// In a sentence, for people.
    pub reason: String,
    /// The alert behind it, if one.
    pub alert: Option<AlertId>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Lifted by itself at this time; `None` stays until somebody lifts it.
    pub until: Option<DateTime<Utc>>,
}
