//! Figures, the books, and the trail of changes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Directory, InvoiceId};
use serde::Serialize;
use store::Invoice;

use crate::Shared;
use crate::api::{AfterId, Limit, Page, Path, Query, instant};
use crate::figures::Figures;
use crate::guard::SignedIn;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// The figures of the front page, as gathered in the last second.
#[utoipa::path(get, path = "/api/v1/figures", tag = "desk", responses(
    (status = 200, description = "the figures", body = Figures),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn figures(State(shared): State<Arc<Shared>>, user: SignedIn) -> Json<Figures> {
    Json(shared.desk.figures.borrow().clone().for_role(user.role))
}

/// A balance of the ledger.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BalanceItem {
    /// Ledger account, such as `receivable:7`.
    ledger_account: String,
    /// In people's words.
    name: String,
    /// Debits minus credits.
    balance: String,
    currency: String,
}

/// All balances, by ledger account.
#[utoipa::path(get, path = "/api/v1/balances", tag = "desk", responses(
    (status = 200, description = "balances", body = Page<BalanceItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn balances(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<BalanceItem>>, Problem> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let items = shared
        .desk
        .store
        .balances()
        .await?
        .into_iter()
        .map(|balance| BalanceItem {
            ledger_account: balance.account.to_string(),
            name: crate::ledger_name(&directory, balance.account),
            balance: balance.balance.amount.to_string(),
            currency: balance.balance.currency.to_string(),
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}

/// An invoice. Its PDF is at `/invoices/{id}/pdf`.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct InvoiceItem {
    id: i64,
    number: String,
    account: String,
    /// First instant of the period.
    period_start: String,
    /// End of the period, exclusive.
    period_end: String,
    net: String,
    tax: String,
    gross: String,
    currency: String,
    state: String,
    issued_at: String,
    has_pdf: bool,
}

/// Invoices, by id.
#[utoipa::path(get, path = "/api/v1/invoices", tag = "desk", params(Limit, AfterId), responses(
    (status = 200, description = "a page of invoices", body = Page<InvoiceItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn invoices(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<InvoiceItem>>, Problem> {
    require(&user, Right::Books, "see invoices")?;
    let directory = (shared.desk.directory)();
    let after = place.after;
    let mut found = shared.desk.store.invoice_heads().await?;
    found.retain(|invoice| invoice.id.0 > after);
    found.sort_unstable_by_key(|invoice| invoice.id.0);
    let items = found.into_iter().map(|invoice| item_of(&directory, invoice));
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}

/// An invoice.
#[utoipa::path(get, path = "/api/v1/invoices/{id}", tag = "desk", params(
    ("id" = i64, Path, description = "the invoice's id")
), responses(
    (status = 200, description = "the invoice", body = InvoiceItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn invoice(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<InvoiceItem>, Problem> {
    require(&user, Right::Books, "see invoices")?;
    let invoice = match shared.desk.store.invoice_get(InvoiceId(id)).await {
        Err(store::StoreError::NotFound { .. }) => {
            return Err(Refusal::NotFound(format!("there is no invoice {id}")).into());
        }
        found => found?,
    };
    Ok(Json(item_of(&(shared.desk.directory)(), invoice)))
}

fn item_of<D>(directory: &Directory, invoice: Invoice<D>) -> InvoiceItem {
    InvoiceItem {
        id: invoice.id.0,
        number: invoice.number,
        account: directory.name_of(invoice.account),
        period_start: instant(invoice.period_start),
        period_end: instant(invoice.period_end),
        net: invoice.net.amount.to_string(),
        tax: invoice.tax.amount.to_string(),
        gross: invoice.gross.amount.to_string(),
        currency: invoice.gross.currency.to_string(),
        state: invoice.state.as_str().to_owned(),
        issued_at: instant(invoice.issued_at),
        has_pdf: invoice.has_pdf,
    }
}

/// One change that somebody made.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ChangeItem {
    id: i64,
    at: String,
    /// User, `token:NAME` or `command line`.
    actor: String,
    action: String,
    object: String,
    before: String,
    after: String,
    /// Over the entry and the hash before it; `tollbook audit` verifies the chain.
    hash: String,
}

/// The latest changes, newest first; 1000 at most.
#[utoipa::path(get, path = "/api/v1/changes", tag = "desk", responses(
    (status = 200, description = "changes", body = Page<ChangeItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn changes(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<ChangeItem>>, Problem> {
    require(&user, Right::Suspense, "see the trail of changes")?;
    let items = shared
        .desk
        .store
        .audit_list(1_000)
        .await?
        .into_iter()
        .map(|entry| ChangeItem {
            id: entry.id,
            at: instant(entry.at),
            actor: entry.actor,
            action: entry.action,
            object: entry.object,
            before: entry.before,
            after: entry.after,
            hash: entry.hash,
        })
        .collect();
    Ok(Json(Page { items, next: None }))
}
