//! The pages of the console: one file a page.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod billing;
pub(crate) mod billing_run;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod exchange;
pub(crate) mod fraud_case;
pub(crate) mod fraud_desk;
pub(crate) mod fraud_rules;
pub(crate) mod health;
pub(crate) mod live;
pub(crate) mod money;
pub(crate) mod own;
pub(crate) mod own_sign_in;
pub(crate) mod provisioning;
pub(crate) mod search;
pub(crate) mod sql;
pub(crate) mod tariffs;

use chrono::{DateTime, Utc};

/// A time for people: UTC, to the second.
pub(crate) fn when(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}
