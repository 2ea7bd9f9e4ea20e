//! The pages of the console: one file a page.

pub(crate) mod access;
pub(crate) mod accounts;
pub(crate) mod billing;
pub(crate) mod billing_run;
pub(crate) mod call;
pub(crate) mod calls;
pub(crate) mod exchange;
pub(crate) mod fee_import;
pub(crate) mod fraud_case;
pub(crate) mod fraud_desk;
pub(crate) mod fraud_rules;
pub(crate) mod health;
pub(crate) mod live;
pub(crate) mod money;
pub(crate) mod own;
pub(crate) mod own_sign_in;
pub(crate) mod price_trial;
pub(crate) mod provisioning;
pub(crate) mod search;
pub(crate) mod shadow;
pub(crate) mod sql;
pub(crate) mod tariffs;

use chrono::{DateTime, NaiveDateTime, TimeZone as _, Utc};
use chrono_tz::Tz;

use crate::refusal::Refusal;

/// A time for people: UTC, to the second.
pub(crate) fn when(at: DateTime<Utc>) -> String {
    at.format("%F %T").to_string()
}

/// What a field for a time holds: local time of `zone`, without seconds or with them. Empty is `None`.
pub(crate) fn local_time(zone: Tz, text: &str) -> Result<Option<DateTime<Utc>>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let read = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    let local = read.ok_or_else(|| {
        Refusal::Invalid(format!("{text:?} is not a time; write it like 2027-01-01T00:00, in {zone}"))
    })?;
    // Of an hour that is there twice, the first.
    let at = zone.from_local_datetime(&local).earliest();
    let at = at.ok_or_else(|| {
        Refusal::Invalid(format!("{text} does not exist in {zone}: clocks are put forward then"))
    })?;
    Ok(Some(at.with_timezone(&Utc)))
}
