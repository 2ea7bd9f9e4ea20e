//! Alerts and locks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::{Body, Page, Path, instant};
use crate::guard::SignedIn;
use crate::pages::fraud_desk::{ALERTS_MAX, change_lock};
use crate::pages::handle_of;
use crate::refusal::{Problem, require};
use crate::role::Right;

/// An alert.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AlertItem {
    id: String,
    at: String,
    account: String,
    rule: String,
    period: String,
    /// What it came to.
    value: String,
    /// What was allowed.
    limit: String,
    currency: String,
    /// The lock that followed.
    lock: String,
    /// CDRs behind it, dearest first.
    evidence: Vec<String>,
}

/// The latest alerts, newest first; 200 at most.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "fraud", responses(
    (status = 200, description = "alerts", body = Page<AlertItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn alerts(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<AlertItem>>, Problem> {
    require(&user, Right::FraudDesk, "see alerts")?;
    let directory = (shared.desk.directory)();
    let items = shared
        .desk
        .store
        .alerts(ALERTS_MAX)
        .await?
        .into_iter()
        .map(|alert| AlertItem {
            id: alert.id.to_string(),
            at: instant(alert.at),
            account: handle_of(&directory, alert.account),
            rule: alert.rule,
            period: alert.period,
            currency: alert.value.currency.to_string(),
            value: alert.value.amount.to_string(),
            limit: alert.limit.amount.to_string(),
            lock: alert.lock.to_string(),
            evidence: alert.evidence.iter().map(ToString::to_string).collect(),
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// A lock in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LockItem {
    account: String,
    /// foreign, outgoing, all, global or ported.
    level: String,
    /// fraud, admin, dunning or package.
    source: String,
    reason: String,
    since: String,
    /// When it ends by itself; absent if it is lifted by hand.
    until: Option<String>,
}

/// Locks in force.
#[utoipa::path(get, path = "/api/v1/locks", tag = "fraud", responses(
    (status = 200, description = "locks", body = Page<LockItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn locks(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<LockItem>>, Problem> {
    require(&user, Right::FraudDesk, "see locks")?;
    let directory = (shared.desk.directory)();
    let items = shared
        .desk
        .store
        .locks()
        .await?
        .into_iter()
        .map(|lock| LockItem {
            account: handle_of(&directory, lock.account),
            level: lock.level.to_string(),
            source: lock.source.to_string(),
            reason: lock.reason,
            since: instant(lock.since),
            until: lock.until.map(instant),
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// The lock to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLock {
    /// none, foreign, outgoing, all, global or ported; `none` unlocks.
    #[schema(pattern = "^(none|foreign|outgoing|all|global|ported)$")]
    level: String,
    /// Why; kept in the trail of changes.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// Locks or unlocks an account; the switch acts on it within a second. The same again changes nothing but the reason.
#[utoipa::path(put, path = "/api/v1/accounts/{handle}/lock", tag = "fraud", params(
    ("handle" = String, Path, description = "the account's handle"),
), request_body = NewLock, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_lock(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Body(wanted): Body<NewLock>,
) -> Result<StatusCode, Problem> {
    change_lock(&shared, &user, &handle, &wanted.level, &wanted.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
