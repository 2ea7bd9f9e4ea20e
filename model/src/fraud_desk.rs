//! What the fraud desk keeps beside its alerts: rules that people wrote, accounts that rules leave alone, what alerts saved.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{AccountId, AlertId, Money};

/// One version of a rule as somebody saved it. Versions are never changed; the newest of a name counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudRule {
    /// Its name; one of a delivered rule, or of a rule file, takes that one's place.
    pub name: String,
    /// Above every version saved of the name, and not below the one that its author wrote.
    pub version: u32,
    /// Its text: one `[[rule]]` of a rule file.
    pub text: String,
    /// Whether it is looked at. One that is off silences every rule of its name.
    pub is_on: bool,
    /// Who saved it.
    pub author: String,
    /// Why.
    pub reason: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// An account that a rule leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudException {
    /// Whom.
    pub account: AccountId,
    /// Which rule; empty is every one. Spend limits hold all the same.
    pub rule: String,
    /// Who said so.
    pub author: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: DateTime<Utc>,
    /// Until when; `None` until somebody takes it back.
    pub until: Option<DateTime<Utc>>,
}

/// A person's order to end the calls of an account that are up, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillOrder {
    /// Counts up; an order is carried out by switches that run when it is given.
    pub id: i64,
    /// Whose.
    pub account: AccountId,
}

/// What a call was stopped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoppedBy {
    /// The incident of this alert.
    Alert(AlertId),
    /// The lock that its account was under. It may be of another stage, which tells the switch at once and other stages not at all: only
    /// where locks are kept is it known which alert it is of, if of any.
    LockOf {
        /// Whose.
        account: AccountId,
        /// When the call was stopped.
        at: DateTime<Utc>,
    },
}

/// A call that was refused or cut because of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Because of what.
    pub by: StoppedBy,
    /// What the call is reckoned to have cost, had it gone on.
    pub saved: Money,
}
