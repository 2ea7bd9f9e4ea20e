//! The fraud desk: alerts with what showed them, locks, and the hand that sets or lifts one.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use model::{Account, Lock, LockLevel, LockSource};
use serde::Deserialize;

use crate::Shared;
use crate::call_search::account_named;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::{handle_of, when};
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Alerts looked at, newest first.
pub(crate) const ALERTS_MAX: u32 = 200;

/// Longest reason that is kept.
const REASON_LETTERS_MAX: usize = 500;

#[derive(Template)]
#[template(path = "fraud.html")]
struct Page {
    frame: Frame,
    alerts: Vec<AlertRow>,
    locks: Vec<LockRow>,
    accounts: Vec<String>,
    levels: Vec<&'static str>,
    may_change: bool,
}

struct AlertRow {
    at: String,
    account: String,
    rule: String,
    severity: String,
    period: String,
    value: String,
    limit: String,
    lock: String,
    evidence: Vec<String>,
}

struct LockRow {
    account: String,
    level: String,
    source: String,
    since: String,
    until: String,
    reason: String,
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    done: String,
}

/// The desk.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(notice): Query<Notice>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let directory = (shared.desk.directory)();
    let store = &shared.desk.store;
    let alerts = store.alerts(ALERTS_MAX).await?;
    let locks = store.locks().await?;
    html(&Page {
        frame: Frame::of(&user, "/fraud").noting(Some(notice.done)),
        alerts: alerts
            .into_iter()
            .map(|alert| AlertRow {
                at: when(alert.at),
                account: handle_of(&directory, alert.account),
                rule: alert.rule,
                severity: alert.severity.to_string(),
                period: alert.period,
                value: alert.value.round_to_minor().to_string(),
                limit: alert.limit.round_to_minor().to_string(),
                lock: alert.lock.to_string(),
                evidence: alert.evidence.iter().map(ToString::to_string).collect(),
            })
            .collect(),
        locks: locks
            .into_iter()
            .map(|lock| LockRow {
                account: handle_of(&directory, lock.account),
                level: lock.level.to_string(),
                source: lock.source.to_string(),
                since: when(lock.since),
                until: lock.until.map_or_else(|| "lifted by hand".to_owned(), when),
                reason: lock.reason,
            })
            .collect(),
        accounts: directory.accounts.iter().map(|account| account.handle.clone()).collect(),
        levels: LockLevel::ALL
            .iter()
            .filter(|level| **level != LockLevel::None)
            .map(|level| level.as_str())
            .collect(),
        may_change: user.role.may(Right::ChangeLocks),
    })
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct LockForm {
    account: String,
    /// A level; `none` unlocks.
    level: String,
    reason: String,
}

/// Sets or lifts a lock.
pub(crate) async fn set_lock(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<LockForm>,
) -> Result<Response, Refusal> {
    let level = change_lock(&shared, &user, &form.account, &form.level, &form.reason).await?;
    let done = match level {
        LockLevel::None => format!("{} is unlocked; the switch knows within a second.", form.account),
        LockLevel::Foreign | LockLevel::Outgoing | LockLevel::All | LockLevel::Global | LockLevel::Ported => {
            format!("{} is locked ({level}); the switch knows within a second.", form.account)
        }
    };
    Ok(Redirect::to(&format!("/fraud?done={}", escaped(&done))).into_response())
}

/// Sets `account`'s lock to `level`, with its reason in the trail of changes.
pub(crate) async fn change_lock(
    shared: &Shared,
    user: &SignedIn,
    account: &str,
    level: &str,
    reason: &str,
) -> Result<LockLevel, Refusal> {
    require(user, Right::ChangeLocks, "set or lift locks")?;
    let level: LockLevel =
        level.parse().map_err(|why: model::UnknownWord| Refusal::Invalid(format!("level: {why}")))?;
    let reason = reason.trim();
    if reason.is_empty() || reason.len() > REASON_LETTERS_MAX {
        return Err(Refusal::Invalid(format!(
            "reason: say why, in at most {REASON_LETTERS_MAX} letters; the trail of changes keeps it"
        )));
    }
    let directory = (shared.desk.directory)();
    let id = account_named(&directory, account)?;
    let there: Option<&Account> = directory.accounts.iter().find(|there| there.id == id);
    let tenant = there.map(|there| there.tenant).unwrap_or_default();
    let now = (shared.desk.clock)().wall;
    let lock = Lock {
        tenant,
        account: id,
        level,
        source: LockSource::Admin,
        reason: reason.to_owned(),
        alert: None,
        since: now,
        until: None,
    };
    shared.desk.store.set_lock(&lock, &user.name, now).await?;
    Ok(level)
}
