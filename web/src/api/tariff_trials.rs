//! Tariffs tried out: the price of a call that nobody made, and a month of real calls by another tariff. Neither changes anything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use model::{Direction, ProfileId};
use serde::{Deserialize, Serialize};

use crate::Shared;
use crate::api::provisioning::version_of;
use crate::api::{Body, Path, Query};
use crate::guard::SignedIn;
use crate::pages::price_trial::{TriedCall, cost_of, price, seconds_of};
use crate::pages::shadow;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;
use crate::shadow_desk::ShadowSums;

/// A call that nobody made.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PricedCall {
    /// E.164 digits of the number called, or `user@domain`.
    #[param(max_length = 255)]
    destination: String,
    /// The same of the caller.
    #[param(max_length = 255)]
    #[serde(default)]
    source: String,
    /// When it is answered; now if absent.
    #[param(value_type = Option<String>, format = "date-time")]
    start: Option<DateTime<Utc>>,
    /// For how long, a decimal.
    #[param(pattern = "^[0-9]{1,8}(\\.[0-9]{1,6})?$")]
    seconds: String,
    /// Which side pays: out or in; out if absent.
    #[param(value_type = Option<String>, pattern = "^(out|in)$")]
    direction: Option<String>,
    /// The account has the free time and cash of a whole interval.
    #[serde(default)]
    grants: bool,
}

/// What it costs.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TriedPrice {
    cost: String,
    currency: String,
    /// One, or one for each record of a call that is cut at peak borders.
    parts: Vec<TriedPart>,
}

/// A record of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TriedPart {
    /// Id of the fee; absent: it has none and costs nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
    /// Destination of that fee.
    matched: String,
    zone: String,
    zone_detail: String,
    cost: String,
    free_seconds: u64,
    free_cash: String,
    billed_seconds: u64,
    onpeak_seconds: u64,
    offpeak_seconds: u64,
    /// Step by step, for people.
    workings: String,
}

/// What a call would cost by a tariff version, whenever that is in force.
#[utoipa::path(get, path = "/api/v1/tariffs/{id}/price", tag = "provisioning", params(
    ("id" = i64, Path, description = "version id"), PricedCall
), responses(
    (status = 200, description = "its price", body = TriedPrice),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn tried_price(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Query(call): Query<PricedCall>,
) -> Result<Json<TriedPrice>, Problem> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let version = version_of(&directory, id)?;
    let direction = match call.direction.as_deref() {
        None => Direction::Out,
        Some(text) => text.parse().map_err(|why| Refusal::Invalid(format!("direction: {why}")))?,
    };
    let tried = TriedCall {
        source: call.source,
        destination: call.destination,
        direction,
        start: call.start.unwrap_or((shared.desk.clock)().wall),
        seconds: seconds_of(&call.seconds)?,
        has_grants: call.grants,
    };
    let charges = price(&shared, &directory, version, tried).await?;
    let zone = version.profile.timezone;
    Ok(Json(TriedPrice {
        cost: cost_of(&charges).to_string(),
        currency: version.profile.currency.to_string(),
        parts: charges
            .iter()
            .map(|charge| TriedPart {
                fee: charge.fee.map(|fee| fee.0),
                matched: charge.matched.clone(),
                zone: charge.zone.clone(),
                zone_detail: charge.zone_detail.clone(),
                cost: charge.cost.to_string(),
                free_seconds: charge.free_seconds,
                free_cash: charge.free_cash.to_string(),
                billed_seconds: charge.billed_seconds,
                onpeak_seconds: charge.onpeak_seconds,
                offpeak_seconds: charge.offpeak_seconds,
                workings: rating::explain(charge, zone),
            })
            .collect(),
    }))
}

/// A comparison to be started.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedComparison {
    /// Version id of the other tariff.
    tariff: i64,
    /// A month in the tariff's zone, such as 2026-10; absent: the last one that is over.
    #[serde(default)]
    month: Option<String>,
    /// Whose price: customer, reseller or carrier; customer if absent.
    #[serde(default)]
    #[schema(pattern = "^(customer|reseller|carrier)$")]
    level: Option<String>,
    /// Version id of a profile: only calls that a version of this profile priced.
    #[serde(default)]
    priced_by: Option<i64>,
    /// Handle of the only account.
    #[serde(default)]
    account: Option<String>,
}

/// The last comparison that was started at the console or here.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Comparison {
    /// What it is; empty if there was none since the start.
    title: String,
    is_over: bool,
    /// Stretches of time that its calls lie in.
    stretches: usize,
    done: usize,
    currency: String,
    total: ComparedSums,
    /// Calls in another currency, which are left out.
    other_currency: u64,
    /// Calls of which free time of a package paid some seconds, which are left out.
    with_free_time: u64,
    /// Why it broke off; empty if it did not.
    failure: String,
    /// By account, who would pay most more first; empty until it is over.
    items: Vec<ComparedAccount>,
}

/// Calls as they were priced, and by the other tariff.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ComparedSums {
    calls: u64,
    /// Without a fee in the other tariff; they are in neither sum.
    unpriced: u64,
    was: String,
    would_be: String,
    difference: String,
}

impl From<&ShadowSums> for ComparedSums {
    fn from(sums: &ShadowSums) -> Self {
        Self {
            calls: sums.n_calls,
            unpriced: sums.n_unpriced,
            was: sums.was.to_string(),
            would_be: sums.would_be.to_string(),
            difference: sums.difference().to_string(),
        }
    }
}

/// The calls of one account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ComparedAccount {
    account: String,
    #[serde(flatten)]
    sums: ComparedSums,
}

fn last_of(shared: &Shared) -> Comparison {
    let state = (shared.desk.shadow.state)();
    let item =
        |(name, sums): &(String, ShadowSums)| ComparedAccount { account: name.clone(), sums: sums.into() };
    Comparison {
        stretches: state.n_stretches,
        done: state.n_done,
        total: (&state.total).into(),
        other_currency: state.n_other_currency,
        with_free_time: state.n_with_free_time,
        items: state.accounts.iter().map(item).collect(),
        title: state.title,
        is_over: state.is_over,
        currency: state.currency,
        failure: state.failure,
    }
}

/// How far the last comparison of a month of calls is, and what it came to.
#[utoipa::path(get, path = "/api/v1/shadow-billing", tag = "provisioning", responses(
    (status = 200, description = "the comparison", body = Comparison),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn comparison(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Comparison>, Problem> {
    require(&user, Right::Books, "see shadow billing")?;
    Ok(Json(last_of(&shared)))
}

/// Prices a month of real calls by another tariff; one comparison at a time. It goes on after the answer, and changes nothing.
#[utoipa::path(post, path = "/api/v1/shadow-billing", tag = "provisioning", request_body = WantedComparison, responses(
    (status = 200, description = "the comparison that was started", body = Comparison),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn start_comparison(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<WantedComparison>,
) -> Result<Json<Comparison>, Problem> {
    require(&user, Right::ChangeTerms, "start shadow billing")?;
    let directory = (shared.desk.directory)();
    let profile_of = |id| version_of(&directory, id).map(|version| version.profile.id);
    let profile: Option<ProfileId> = wanted.priced_by.map(profile_of).transpose()?;
    let version = version_of(&directory, wanted.tariff)?.id;
    let [month, level, account] = [wanted.month, wanted.level, wanted.account].map(Option::unwrap_or_default);
    shadow::start(&shared, &user, version, profile, [&month, &level, &account]).await?;
    Ok(Json(last_of(&shared)))
}
