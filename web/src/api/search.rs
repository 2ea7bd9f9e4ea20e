//! Search over everything, for programs.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::Query;
use crate::guard::SignedIn;
use crate::refusal::{Problem, require};
use crate::role::Right;
use crate::search::everything;

/// What to look for.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A name, a part of one, a number or its beginning or end, a Call-ID, an id.
    #[param(min_length = 2, max_length = 200, pattern = "\\S.*\\S")]
    q: String,
}

/// What was found of one kind.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Found {
    /// accounts, subscribers, numbers, trunks, tariffs, invoices, alerts, users or calls.
    kind: &'static str,
    /// Ten at most.
    items: Vec<FoundItem>,
    /// There may be more than these.
    has_more: bool,
}

/// One thing found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FoundItem {
    /// What it is called.
    name: String,
    /// What tells it from others.
    detail: String,
    /// Its page of the console, as a path.
    page: String,
}

/// What was found.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FoundKinds {
    /// Kinds without a hit are absent.
    items: Vec<Found>,
}

/// Everything like a text that the role may see: at most ten of a kind. Calls are those of the last 31 days.
#[utoipa::path(get, path = "/api/v1/search", tag = "search", params(Wanted), responses(
    (status = 200, description = "what is like it", body = FoundKinds),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn search(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Json<FoundKinds>, Problem> {
    require(&user, Right::Calls, "search")?;
    let found = everything(&shared, &user, &wanted.q).await?;
    let items = found.into_iter().map(|hits| Found {
        kind: hits.kind,
        has_more: hits.more.is_some(),
        items: hits
            .hits
            .into_iter()
            .map(|hit| FoundItem { name: hit.name, detail: hit.detail, page: hit.href })
            .collect(),
    });
    Ok(Json(FoundKinds { items: items.collect() }))
}
