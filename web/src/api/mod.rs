//! The API for programs: `/api/v1`, JSON, described by itself at `/api/v1/openapi.json` (OpenAPI 3.1, made from this code).
//!
//! In: a session of the console, or `Authorization: Bearer` with a token. Out: what the role may see; refusals as problem
//! details (RFC 9457). Lists come in pages: `items`, and `next` for the query parameter `after` while there is more.

pub(crate) mod access;
pub(crate) mod balances;
mod billing;
mod desk;
mod exchange;
mod fraud;
mod messages;
mod price_lists;
mod provisioning;
mod search;
mod suspense;
mod tariff_trials;
mod traffic;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Shared;
use crate::guard::COOKIE;
use crate::objects::{self, describe};
use crate::refusal::{Problem, Refusal};

/// Items of a page unless told otherwise.
const LIMIT: usize = 100;

/// And at most.
const LIMIT_MAX: usize = 1_000;

/// A price list is this long at most: some hundred thousand fees.
const LIST_BYTES_MAX: usize = 64 << 20;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tollbook",
        version = "1",
        description = "Calls, prices, accounts, tariffs, locks, invoices and CDR files of a Tollbook installation. \
                       Times are RFC 3339 in UTC, amounts decimals as text, telephone numbers E.164 digits. \
                       What the role may not see is absent; telephone numbers are masked for roles without the right to them. \
                       A write with the header Idempotency-Key is done once within a day, however often it is sent. \
                       Who asks too often is told 429, and in Retry-After how many seconds to wait.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    modifiers(&Security),
    security(("token" = []), ("session" = []))
)]
struct Description;

/// How a program says who it is.
struct Security;

impl Modify for Security {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("made by `tollbook token add NAME --role ROLE`"))
            .build();
        components.add_security_scheme("token", SecurityScheme::Http(bearer));
        components
            .add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(COOKIE))));
    }
}

/// Every resource. The description is made of the same list.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    let (router, description) = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(desk::figures))
        .routes(routes!(search::search))
        .routes(routes!(traffic::calls))
        .routes(routes!(traffic::call))
        .routes(routes!(provisioning::tariffs))
        .routes(routes!(provisioning::fees))
        .routes(routes!(provisioning::zones))
        .routes(routes!(provisioning::off_peak))
        .routes(routes!(provisioning::numbers))
        .merge(
            OpenApiRouter::new()
                .routes(routes!(price_lists::send))
                .layer(DefaultBodyLimit::max(LIST_BYTES_MAX)),
        )
        .routes(routes!(tariff_trials::tried_price))
        .routes(routes!(tariff_trials::comparison, tariff_trials::start_comparison))
        .routes(routes!(messages::mails))
        .routes(routes!(messages::templates))
        .routes(routes!(messages::deliveries))
        .routes(routes!(fraud::alerts))
        .routes(routes!(fraud::locks))
        .routes(routes!(fraud::put_lock))
        .routes(routes!(fraud::kill))
        .routes(routes!(fraud::alert))
        .routes(routes!(fraud::judge))
        .routes(routes!(fraud::hand))
        .routes(routes!(fraud::barrings, fraud::put_barring))
        .routes(routes!(fraud::exceptions, fraud::put_exception))
        .routes(routes!(fraud::rules))
        .routes(routes!(fraud::versions, fraud::put_rule))
        .routes(routes!(fraud::check_rule))
        .routes(routes!(fraud::backtest_rule))
        .routes(routes!(desk::balances))
        .routes(routes!(balances::balance))
        .routes(routes!(balances::interval))
        .routes(routes!(balances::statement))
        .routes(routes!(balances::topups, balances::top_up))
        .routes(routes!(balances::vouchers))
        .routes(routes!(desk::invoices))
        .routes(routes!(desk::invoice))
        .routes(routes!(billing::run, billing::start_run))
        .routes(routes!(billing::pay))
        .routes(routes!(access::users, access::add_user))
        .routes(routes!(access::shut_user_out))
        .routes(routes!(access::reset_second_factor))
        .routes(routes!(access::tokens, access::add_token))
        .routes(routes!(access::revoke_token))
        .routes(routes!(access::webhooks))
        .routes(routes!(suspense::list, suspense::bulk))
        .routes(routes!(suspense::one, suspense::settle, suspense::fix))
        .routes(routes!(desk::changes))
        .routes(routes!(exchange::files))
        .routes(routes!(exchange::partners))
        .routes(routes!(exchange::streams))
        .routes(routes!(exchange::trail))
        .routes(routes!(exchange::inbox))
        .split_for_parts();
    let mut description = serde_json::to_value(description).unwrap_or_default();
    describe::add_to(&mut description);
    let description: Arc<str> = description.to_string().into();
    router
        .merge(objects::api::routes())
        .route(
            "/api/v1/openapi.json",
            axum::routing::get(move || {
                let description = description.to_string();
                async move { ([(axum::http::header::CONTENT_TYPE, "application/json")], description) }
            }),
        )
        .fallback(no_such_resource)
}

/// Whatever else is asked below the console: a problem for programs, a page for people.
async fn no_such_resource(uri: axum::http::Uri) -> axum::response::Response {
    use axum::response::IntoResponse;
    let refusal = Refusal::NotFound(format!("there is nothing at {}", uri.path()));
    if uri.path().starts_with("/api/") {
        Problem::from(refusal).into_response()
    } else {
        refusal.into_response()
    }
}

/// One page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    /// The items, in the list's order.
    items: Vec<T>,
    /// For the query parameter `after`, to get the next page; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl<T> Page<T> {
    /// The first `limit` of `items`, which come after the place already; `key` names the place of one.
    fn of(items: impl Iterator<Item = T>, limit: usize, key: impl Fn(&T) -> String) -> Self {
        let mut items: Vec<T> = items.take(limit + 1).collect();
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(key);
        Self { items, next }
    }
}

/// How long the pages of a list are.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Limit {
    /// Items of the page, 1 to 1000; 100 if absent.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

impl Limit {
    fn get(&self) -> Result<usize, Refusal> {
        let limit = self.limit.unwrap_or(LIMIT);
        if (1..=LIMIT_MAX).contains(&limit) {
            Ok(limit)
        } else {
            Err(Refusal::Invalid(format!("limit: {limit} is not 1 to {LIMIT_MAX}")))
        }
    }
}

/// Where a page begins, in a list by id.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct AfterId {
    /// The page begins behind this id: `next` of the page before.
    after: i64,
}

/// The query string; what is wrong with it is told as a problem.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(crate) struct Query<T>(pub(crate) T);

/// A part of the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(crate) struct Path<T>(pub(crate) T);

/// A JSON body, which must be an object: a list would be taken for the fields in their order, and an empty one for a body that asks for
/// whatever is usual.
pub(crate) struct Body<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (head, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::from_parts(head.clone(), body), state).await?;
        if bytes.trim_ascii_start().starts_with(b"[") {
            return Err(Refusal::Invalid("the body must be a JSON object, not a list".to_owned()).into());
        }
        let Json(body) = Json::from_request(Request::from_parts(head, bytes.into()), state).await?;
        Ok(Self(body))
    }
}

impl From<BytesRejection> for Problem {
    fn from(why: BytesRejection) -> Self {
        Refusal::Invalid(why.body_text()).into()
    }
}

impl From<QueryRejection> for Problem {
    fn from(why: QueryRejection) -> Self {
        Refusal::Invalid(why.body_text()).into()
    }
}

impl From<PathRejection> for Problem {
    fn from(why: PathRejection) -> Self {
        Refusal::NotFound(why.body_text()).into()
    }
}

impl From<JsonRejection> for Problem {
    fn from(why: JsonRejection) -> Self {
        Refusal::Invalid(why.body_text()).into()
    }
}

/// A time for programs: RFC 3339, UTC, microseconds.
pub(crate) fn instant(at: chrono::DateTime<chrono::Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
