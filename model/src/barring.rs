//! Barrings: numbers that somebody may not call, or may call only so often.
//!
//! Beside locks, which stop all of an account's calls, a barring stops those to one range of numbers, and lets the others go on.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AccountId, AlertId, LockSource, TenantId};

/// Calls to a range that are refused, or slowed down. The later word on the same range, for the same caller, counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Barring {
    /// Whose platform.
    pub tenant: TenantId,
    /// Who is barred; [`AccountId::NOBODY`] bars everybody of the tenant.
    pub account: AccountId,
    /// Digits that the numbers called begin with, in E.164 without `+`; empty bars every number.
    pub range: String,
    /// So many calls a minute get through; 0: none.
    pub calls_per_minute: u32,
    /// Who set it.
    pub source: LockSource,
    /// In a sentence, for people.
    pub reason: String,
    /// The alert behind it, if one.
    pub alert: Option<AlertId>,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; `None` stays until somebody lifts it. One that is lifted has the time of that.
    pub until: Option<DateTime<Utc>>,
}

impl Barring {
    /// Whether it holds at this time.
    pub fn is_in_force(&self, at: DateTime<Utc>) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }

    /// What it is about: a later one with the same key takes its place.
    pub fn key(&self) -> (TenantId, AccountId, &str) {
        (self.tenant, self.account, &self.range)
    }
}
