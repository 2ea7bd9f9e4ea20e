//! Billing: runs, and payments noted by hand.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::InvoiceId;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::{Body, Path};
use crate::guard::SignedIn;
use crate::pages::billing_run;
use crate::refusal::{Problem, require};
use crate::role::Right;

/// A billing run to be started.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedBillingRun {
    /// A month, such as 2026-10; absent: whatever is over and has no invoice.
    #[serde(default)]
    month: Option<String>,
    /// Handle of the only account to be billed.
    #[serde(default)]
    account: Option<String>,
    /// Show what would be invoiced, number nothing.
    #[serde(default)]
    dry_run: bool,
}

/// The last billing run that was started at the console or here.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BillingRun {
    /// What it is for; empty if there was none since the start.
    title: String,
    is_over: bool,
    accounts: usize,
    done: usize,
    /// Invoices, or drafts, that it made.
    made: usize,
    /// Why it broke off; empty if it did not.
    failure: String,
    /// All that needs somebody to look, and the first of the others.
    items: Vec<BillingRunItem>,
}

/// What came of one account in one period.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BillingRunItem {
    account: String,
    period: String,
    number: String,
    total: String,
    said: String,
    /// Held back, or failed.
    is_exception: bool,
}

fn run_of(shared: &Shared) -> BillingRun {
    let state = (shared.desk.billing.state)();
    let items = state.rows.into_iter().map(|row| BillingRunItem {
        account: row.account,
        period: row.period,
        number: row.number,
        total: row.total,
        said: row.said,
        is_exception: row.is_exception,
    });
    BillingRun {
        title: state.title,
        is_over: state.is_over,
        accounts: state.n_accounts,
        done: state.n_done,
        made: state.n_made,
        failure: state.failure,
        items: items.collect(),
    }
}

/// How far the last billing run is.
#[utoipa::path(get, path = "/api/v1/billing-run", tag = "desk", responses(
    (status = 200, description = "the run", body = BillingRun),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn run(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<BillingRun>, Problem> {
    require(&user, Right::Books, "see billing runs")?;
    Ok(Json(run_of(&shared)))
}

/// Starts a billing run; one at a time. It goes on after the answer.
#[utoipa::path(post, path = "/api/v1/billing-run", tag = "desk", request_body = WantedBillingRun, responses(
    (status = 200, description = "the run that was started", body = BillingRun),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn start_run(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<WantedBillingRun>,
) -> Result<Json<BillingRun>, Problem> {
    let WantedBillingRun { month, account, dry_run } = wanted;
    let (month, account) = (month.unwrap_or_default(), account.unwrap_or_default());
    billing_run::start(&shared, &user, (&month, &account), dry_run).await?;
    Ok(Json(run_of(&shared)))
}

/// A payment that was noted.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NotedPayment {
    amount: String,
    currency: String,
}

/// Notes that the sum of an invoice came in; it is in the ledger within a second.
#[utoipa::path(post, path = "/api/v1/invoices/{id}/paid", tag = "desk", params(
    ("id" = i64, Path, description = "the invoice's id"),
), responses(
    (status = 200, description = "what was paid", body = NotedPayment),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn pay(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<NotedPayment>, Problem> {
    let paid = billing_run::pay(&shared, &user, InvoiceId(id)).await?;
    Ok(Json(NotedPayment { amount: paid.amount.to_string(), currency: paid.currency.to_string() }))
}
