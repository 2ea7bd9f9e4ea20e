//! The billing run: started from here, dry or for good; how far it is, and what was held back.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use model::InvoiceId;
use serde::Deserialize;

use crate::Shared;
use crate::account_names::account_named;
use crate::billing_desk::{RunState, WantedRun};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;

#[derive(Template)]
#[template(path = "billing_run.html")]
struct RunPage {
    frame: Frame,
    state: RunState,
    may_run: bool,
}

/// The form, and the last run.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see billing runs")?;
    html(&RunPage {
        frame: Frame::of(&user, "/invoices"),
        state: (shared.desk.billing.state)(),
        may_run: user.role.may(Right::ChangeBalances),
    })
}

/// A run to be started.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunForm {
    /// Such as `2026-10`; empty: whatever is due.
    month: String,
    /// Handle; empty: all.
    account: String,
    /// `dry` or `run`.
    act: String,
}

/// Starts one.
pub(crate) async fn start_run(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<RunForm>,
) -> Result<Response, Refusal> {
    let is_dry = match form.act.as_str() {
        "dry" => true,
        "run" => false,
        other => return Err(Refusal::Invalid(format!("act: {other:?} is neither dry nor run"))),
    };
    start(&shared, &user, (&form.month, &form.account), is_dry).await?;
    Ok(Redirect::to("/invoices/run").into_response())
}

/// Starts a run for a month, or for whatever is due; for one account, or all.
pub(crate) async fn start(
    shared: &Shared,
    user: &SignedIn,
    (month, account): (&str, &str),
    is_dry: bool,
) -> Result<(), Refusal> {
    require(user, Right::ChangeBalances, "start billing runs")?;
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let directory = (shared.desk.directory)();
    let account = some(account).map(|handle| account_named(&directory, &handle)).transpose()?;
    let wanted = WantedRun { month: some(month), account, is_dry, actor: user.name.clone() };
    (shared.desk.billing.start)(wanted).await.map_err(Refusal::Conflict)
}

/// Notes that the sum of an invoice came in.
pub(crate) async fn pay_invoice(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    pay(&shared, &user, InvoiceId(id)).await?;
    Ok(Redirect::to(&format!("/invoices/{id}")).into_response())
}

/// Notes a payment; what was paid.
pub(crate) async fn pay(shared: &Shared, user: &SignedIn, id: InvoiceId) -> Result<model::Money, Refusal> {
    require(user, Right::ChangeBalances, "note payments")?;
    let store = &shared.desk.store;
    let invoice = store
        .invoice_get(id)
        .await
        .map_err(|why| if why.is_users() { Refusal::NotFound(why.to_string()) } else { why.into() })?;
    let sums = (shared.desk.billing.sums_of)(&invoice).map_err(Refusal::failed)?;
    Ok(store.invoice_paid(id, sums, &user.name, (shared.desk.clock)().wall).await?)
}
