//! Alerts: a rule was crossed, and here is what showed it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, AlertId, CdrId, LockLevel, Money, TenantId};

named_enum! {
    /// How bad it is.
    AlertSeverity {
        /// Still below what is allowed.
        Warning = "warning",
        /// What is allowed was crossed.
        Breach = "breach",
    }
}

/// One incident: a rule crossed by one party in one period, as known at `at`. What is learned later is told as an update under
/// the same id, not as another alert.
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
    /// What it came to. For a rule that counts something else than money: the money spent inside its window.
    pub value: Money,
    /// The lock that followed.
    pub lock: LockLevel,
    /// Who is told, mail addresses.
    pub notify: Vec<String>,
    /// The dearest calls of the period, dearest first: so that a customer can be told why.
    pub evidence: Vec<CdrId>,
    /// When the call that crossed it ended.
    pub at: DateTime<Utc>,
    /// Warned of or crossed.
    #[serde(default = "breach")]
    pub severity: AlertSeverity,
    /// 0 for the first word of this incident, counting up with its updates.
    #[serde(default)]
    pub update: u32,
    /// What a rule of the watch saw; a spend limit has said it all in `limit` and `value`.
    #[serde(default)]
    pub finding: Option<Finding>,
    /// Of a spend limit: how the money went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spending: Option<Spending>,
}

/// How the money of a spend limit went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spending {
    /// What an hour more would have cost at the price of the calls then in progress.
    pub at_risk: Money,
    /// Spent by hour, in hundredths of the currency's unit, oldest first; the last is the hour of the alert, with what its calls in progress have
    /// cost so far.
    pub by_hour: Vec<u32>,
}

/// What people see of an alert's course.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Course<'a> {
    /// What is counted, in a word.
    pub what: &'static str,
    /// Oldest first.
    pub counts: &'a [u32],
    /// Seconds of one of these.
    pub step_seconds: u32,
}

impl Alert {
    /// The course that a picture shows: attempts over a rule's window, or what was spent by hour.
    pub fn course(&self) -> Option<Course<'_>> {
        let of_rule = self.finding.as_ref().map(|finding| Course {
            what: "attempts",
            counts: &finding.sparkline,
            step_seconds: finding.sparkline_step_seconds,
        });
        let of_limit = self.spending.as_ref().map(|spending| Course {
            what: "spent",
            counts: &spending.by_hour,
            step_seconds: 3_600,
        });
        of_rule.or(of_limit)
    }

    /// What an hour more would have cost; `None` for alerts of earlier versions of the spend limits, which did not say.
    pub fn at_risk(&self) -> Option<Money> {
        let of_rule = self.finding.as_ref().map(|finding| finding.at_risk);
        of_rule.or_else(|| self.spending.as_ref().map(|spending| spending.at_risk))
    }
}

const fn breach() -> AlertSeverity {
    AlertSeverity::Breach
}

/// What convinced a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Version of the rule.
    pub version: u32,
    /// The rule in a sentence.
    pub title: String,
    /// Whom or what it counted, such as `source 192.0.2.7` or `account 12 to country 371`.
    pub subject: String,
    /// Every condition that was met.
    pub measures: Vec<Measured>,
    /// Calls inside the window.
    pub n_calls: u32,
    /// What an hour more would have cost at the price of the calls then in progress.
    pub at_risk: Money,
    /// Attempts per part of the window, oldest first.
    pub sparkline: Vec<u32>,
    /// Seconds of one such part.
    pub sparkline_step_seconds: u32,
    /// What was barred, in words such as `calls to 3712345xxxx`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub barred: Vec<String>,
    /// The rule's own mark, such as `irsf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// A measured value against its limit, as people read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured, such as `distinct_callees`.
    pub measure: String,
    /// What it came to.
    pub value: String,
    /// What it may be, such as `below 40`.
    pub limit: String,
}

named_enum! {
    /// What a person found an alert to be.
    Verdict {
        /// Fraud.
        Fraud = "fraud",
        /// Ordinary traffic: a false alarm.
        Clean = "clean",
        /// Cannot be told.
        Unsure = "unsure",
    }
}
