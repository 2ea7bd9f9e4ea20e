//! Billing: invoices, each with its PDF in the page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use model::{Directory, InvoiceId};
use serde::Deserialize;
use store::{Invoice, InvoiceKind, InvoiceState};

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Invoices of a page.
const PAGE_ROWS: usize = 100;

/// What to look for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct InvoiceQuery {
    /// Part of the number or of the account's handle.
    q: String,
    /// How many come before the page.
    skip: usize,
}

#[derive(Template)]
#[template(path = "invoices.html")]
struct ListPage {
    frame: Frame,
    query: InvoiceQuery,
    rows: Vec<Row>,
    n_found: usize,
    next: Option<usize>,
}

struct Row {
    id: i64,
    number: String,
    account: String,
    period: String,
    net: String,
    tax: String,
    gross: String,
    state: &'static str,
    issued: String,
    has_pdf: bool,
}

fn row_of<D>(directory: &Directory, invoice: &Invoice<D>) -> Row {
    // The last instant of the period names its last day better than the first one after it.
    let last = invoice.period_end - chrono::TimeDelta::microseconds(1);
    let zone = directory
        .accounts
        .iter()
        .find(|account| account.id == invoice.account)
        .map_or(chrono_tz::UTC, |account| account.timezone);
    Row {
        id: invoice.id.0,
        number: invoice.number.clone(),
        account: directory.name_of(invoice.account),
        period: format!(
            "{} to {}",
            invoice.period_start.with_timezone(&zone).format("%F"),
            last.with_timezone(&zone).format("%F")
        ),
        net: invoice.net.round_to_minor().to_string(),
        tax: invoice.tax.round_to_minor().to_string(),
        gross: invoice.gross.round_to_minor().to_string(),
        state: invoice.state.as_str(),
        issued: when(invoice.issued_at),
        has_pdf: invoice.has_pdf,
    }
}

/// The list, newest first.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(query): Query<InvoiceQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see invoices")?;
    let directory = (shared.desk.directory)();
    let wanted = query.q.trim().to_lowercase();
    let found: Vec<Row> = shared
        .desk
        .store
        .invoice_heads()
        .await?
        .iter()
        .rev()
        .map(|invoice| row_of(&directory, invoice))
        .filter(|row| {
            row.number.to_lowercase().contains(&wanted) || row.account.to_lowercase().contains(&wanted)
        })
        .collect();
    let n_found = found.len();
    let rows: Vec<Row> = found.into_iter().skip(query.skip).take(PAGE_ROWS).collect();
    let shown = query.skip.saturating_add(rows.len());
    html(&ListPage {
        frame: Frame::of(&user, "/invoices"),
        query,
        rows,
        n_found,
        next: (shown < n_found).then_some(shown),
    })
}

#[derive(Template)]
#[template(path = "invoice.html")]
struct OnePage {
    frame: Frame,
    row: Row,
    /// Whether the one who looks may note its payment.
    can_pay: bool,
}

/// One invoice.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see invoices")?;
    let directory = (shared.desk.directory)();
    let invoice = shared
        .desk
        .store
        .invoice_heads()
        .await?
        .into_iter()
        .find(|invoice| invoice.id.0 == id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no invoice {id}")))?;
    let is_open = matches!(invoice.state, InvoiceState::Final | InvoiceState::Queued | InvoiceState::Sent)
        && !matches!(invoice.kind, InvoiceKind::CreditNote { .. });
    html(&OnePage {
        frame: Frame::of(&user, "/invoices"),
        row: row_of(&directory, &invoice),
        can_pay: is_open && user.role.may(Right::ChangeBalances),
    })
}

/// One invoice as PDF.
pub(crate) async fn pdf(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see invoices")?;
    let pdf = shared.desk.store.invoice_pdf(InvoiceId(id)).await?.ok_or_else(|| {
        Refusal::NotFound("there is no such invoice, or its PDF is not made yet".to_owned())
    })?;
    let headers = [
        (header::CONTENT_TYPE, "application/pdf".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"invoice-{id}.pdf\"")),
        // The invoice's own page shows it inside.
        (header::X_FRAME_OPTIONS, "SAMEORIGIN".to_owned()),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; object-src 'self'; frame-ancestors 'self'"
                .to_owned(),
        ),
    ];
    Ok((headers, pdf).into_response())
}
