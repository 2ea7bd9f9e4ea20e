//! Calls: search by any field, page by page.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;

use crate::Shared;
use crate::account_names::names;
use crate::call_search::{CallPage, CallQuery, PAGE_ROWS, STATUSES, search};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::refusal::{Refusal, require};
use crate::role::Right;

#[derive(Template)]
#[template(path = "calls.html")]
struct Page {
    frame: Frame,
    query: CallQuery,
    page: CallPage,
    /// What was wrong with the query.
    problem: Option<String>,
    statuses: [&'static str; 8],
    can_search_numbers: bool,
    sees_customer_prices: bool,
    sees_carrier_prices: bool,
    accounts: Vec<String>,
}

/// The list.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(query): Query<CallQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Calls, "see calls")?;
    let directory = (shared.desk.directory)();
    let (page, problem) = match search(&shared.desk.lake, &directory, &query, user.role, PAGE_ROWS).await {
        Ok(page) => (page, None),
        // A field mistyped is put right in the form, beside what else was typed.
        Err(why @ (Refusal::Invalid(_) | Refusal::Forbidden(_) | Refusal::NotFound(_))) => {
            (CallPage { rows: Vec::new(), next: None }, Some(why.to_string()))
        }
        Err(why) => return Err(why),
    };
    html(&Page {
        frame: Frame::of(&user, "/calls"),
        query,
        page,
        problem,
        statuses: STATUSES,
        can_search_numbers: user.role.may(Right::Numbers),
        sees_customer_prices: user.role.may(Right::CustomerPrices),
        sees_carrier_prices: user.role.may(Right::CarrierPrices),
        accounts: names(&directory),
    })
}
