//! Calls.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::RatedCdr;
use serde::Serialize;

use crate::Shared;
use crate::api::{Limit, Page, Path, Query, instant};
use crate::call_search::{CallQuery, CallRow, search};
use crate::guard::SignedIn;
use crate::masked::shown;
use crate::pages::call::{rated, sees_price};
use crate::refusal::{Problem, require};
use crate::role::Right;

/// Calls, newest first.
#[utoipa::path(get, path = "/api/v1/calls", tag = "calls", params(CallQuery, Limit), responses(
    (status = 200, description = "a page of calls", body = Page<CallRow>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn calls(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(query): Query<CallQuery>,
    Query(limit): Query<Limit>,
) -> Result<Json<Page<CallRow>>, Problem> {
    require(&user, Right::Calls, "see calls")?;
    let limit = limit.get()?;
    let directory = (shared.desk.directory)();
    let page = search(&shared.desk.lake, &directory, &query, user.role, limit).await?;
    Ok(Json(Page { items: page.rows, next: page.next }))
}

/// What one party owes for a call, with its evidence.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChargeItem {
    /// carrier, reseller or customer.
    provider: String,
    /// out: the originating side pays; in: the receiving side.
    direction: String,
    /// Handle of the account that owes it; of a carrier, that is owed.
    account: String,
    /// Profile that priced it.
    profile: String,
    /// Its immutable version.
    version: i64,
    /// Prefix or pattern of the fee.
    matched: String,
    zone: String,
    zone_detail: String,
    /// What remains to be paid, rounded once.
    cost: String,
    /// ISO 4217.
    currency: String,
    billed_seconds: u64,
    onpeak_seconds: u64,
    offpeak_seconds: u64,
    free_seconds: u64,
    free_cash: String,
    /// How it was rounded, such as `half_up 6`.
    rounding: String,
    /// The price step by step, for people.
    explanation: String,
}

/// One route that was tried.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AttemptItem {
    /// Counts from 1.
    attempt: u16,
    /// Its final SIP code; 0 while none came.
    code: u16,
    /// INVITE to first 18x or final answer.
    pdd_ms: Option<u64>,
    /// What came of it.
    action: String,
}

/// One call, whole.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CallItem {
    cdr_id: String,
    revision: u32,
    /// Our name for the call.
    call: String,
    leg: u16,
    sip_call_id: String,
    node: String,
    /// Handle of the account that pays.
    payer: String,
    from: String,
    to: String,
    dialed: String,
    /// The caller hides his number from the callee.
    clir: bool,
    status: String,
    code: u16,
    cause: String,
    ended_by: String,
    init_at: String,
    start_at: String,
    /// Seconds with six decimals.
    duration_seconds: String,
    pdd_ms: Option<u64>,
    codec: String,
    /// Closed without its end having been seen.
    partial: bool,
    attempts: Vec<AttemptItem>,
    /// Those the role may see.
    charges: Vec<ChargeItem>,
}

/// One call by its CDR's id, with routes and prices.
#[utoipa::path(get, path = "/api/v1/calls/{cdr_id}", tag = "calls", params(
    ("cdr_id" = String, Path, description = "32 hexadecimal digits"),
), responses(
    (status = 200, description = "the call", body = CallItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn call(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(cdr_id): Path<String>,
) -> Result<Json<CallItem>, Problem> {
    require(&user, Right::Calls, "see calls")?;
    let RatedCdr { cdr, charges } = rated(&shared, &cdr_id).await?;
    let directory = (shared.desk.directory)();
    let whole = user.role.may(Right::Numbers);
    let from = cdr.source.cli.map_or_else(|| cdr.source.user.clone(), |cli| cli.to_string().into());
    let zone_of = |id| {
        directory
            .accounts
            .iter()
            .find(|account| account.id == id)
            .map_or(chrono_tz::UTC, |account| account.timezone)
    };
    Ok(Json(CallItem {
        cdr_id: cdr.id.to_string(),
        revision: cdr.revision,
        call: cdr.call.to_string(),
        leg: cdr.leg,
        sip_call_id: cdr.sip_call_id.to_string(),
        node: cdr.node.to_string(),
        payer: directory.name_of(cdr.payer),
        from: shown(&from, whole),
        to: shown(&cdr.destination.user_in, whole),
        dialed: shown(&cdr.destination.dialed, whole),
        clir: cdr.source.clir,
        status: cdr.status.to_string(),
        code: cdr.code,
        cause: cdr.cause.to_string(),
        ended_by: cdr.ended_by.to_string(),
        init_at: instant(cdr.init_at),
        start_at: instant(cdr.start_at),
        duration_seconds: format!("{}.{:06}", cdr.duration_us / 1_000_000, cdr.duration_us % 1_000_000),
        pdd_ms: cdr.pdd_us.map(|us| us / 1_000),
        codec: cdr.codec.to_string(),
        partial: cdr.partial,
        attempts: cdr
            .attempts
            .iter()
            .map(|attempt| AttemptItem {
                attempt: attempt.attempt,
                code: attempt.code,
                pdd_ms: attempt.pdd_us.map(|us| us / 1_000),
                action: attempt.action.to_string(),
            })
            .collect(),
        charges: charges
            .into_iter()
            .filter(|charge| sees_price(user.role, charge.provider))
            .map(|charge| ChargeItem {
                explanation: rating::explain(&charge, zone_of(charge.account)),
                provider: charge.provider.to_string(),
                direction: charge.direction.to_string(),
                account: directory.name_of(charge.account),
                profile: charge.profile,
                version: charge.version.0,
                matched: charge.matched,
                zone: charge.zone,
                zone_detail: charge.zone_detail,
                cost: charge.cost.to_string(),
                currency: charge.currency.to_string(),
                billed_seconds: charge.billed_seconds,
                onpeak_seconds: charge.onpeak_seconds,
                offpeak_seconds: charge.offpeak_seconds,
                free_seconds: charge.free_seconds,
                free_cash: charge.free_cash.to_string(),
                rounding: charge.rounding,
            })
            .collect(),
    }))
}
