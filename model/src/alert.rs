//! Alerts: a rule was crossed, and here is what showed it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AccountId, AlertId, CdrId, LockLevel, Money, TenantId};

/// One crossing of one rule in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// Derived from rule, account and period.
    pub id: AlertId,
    /// Whose platform.
    pub tenant: TenantId,
    /// Who crossed it.
    pub account: AccountId,
    /// Which rule, such as `daily_spend`.
    pub rule: String,
    /// The period, such as `2026-10-05`, in the account's zone.
    pub period: String,
    /// What was allowed.
    pub limit: Money,
    /// What it came to.
    pub value: Money,
    /// The lock that followed.
    pub lock: LockLevel,
    /// Who is told, mail addresses.
    pub notify: Vec<String>,
    /// The dearest calls of the period, dearest first: so that a customer can be told why.
    pub evidence: Vec<CdrId>,
    /// When the call that crossed it ended.
    pub at: DateTime<Utc>,
}
