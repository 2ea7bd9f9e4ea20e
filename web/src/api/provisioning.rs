//! Tariffs: versions and their fees. Read from the snapshot that the running stages work by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::Rate;
use serde::Serialize;

use crate::Shared;
use crate::api::{AfterId, Limit, Page, Path, Query, instant};
use crate::guard::SignedIn;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// One immutable version of a billing profile.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TariffItem {
    /// Its version id.
    id: i64,
    /// The profile.
    handle: String,
    name: String,
    valid_from: String,
    currency: String,
    timezone: String,
    n_fees: usize,
}

/// Tariff versions, by id.
#[utoipa::path(get, path = "/api/v1/tariffs", tag = "provisioning", params(Limit, AfterId), responses(
    (status = 200, description = "a page of tariff versions", body = Page<TariffItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn tariffs(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<TariffItem>>, Problem> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let after = place.after;
    let mut found: Vec<_> = directory.tariffs.iter().filter(|version| version.id.0 > after).collect();
    found.sort_unstable_by_key(|version| version.id);
    let items = found.into_iter().map(|version| TariffItem {
        id: version.id.0,
        handle: version.profile.handle.clone(),
        name: version.profile.name.clone(),
        valid_from: instant(version.valid_from),
        currency: version.profile.currency.to_string(),
        timezone: version.profile.timezone.to_string(),
        n_fees: version.fees.len(),
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}

/// A price per unit of time.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RateItem {
    /// Price of `per_seconds` seconds.
    price: String,
    per_seconds: u32,
    /// Charging interval.
    interval_seconds: u32,
}

impl From<Rate> for RateItem {
    fn from(rate: Rate) -> Self {
        Self {
            price: rate.price.to_string(),
            per_seconds: rate.per_seconds,
            interval_seconds: rate.interval_seconds,
        }
    }
}

/// A fee.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FeeItem {
    id: i64,
    destination: String,
    source: String,
    /// out or in.
    direction: String,
    zone: String,
    zone_detail: String,
    onpeak_init: RateItem,
    onpeak_follow: RateItem,
    offpeak_init: RateItem,
    offpeak_follow: RateItem,
    connection_fee: String,
    minimum_charge: Option<String>,
    maximum_charge: Option<String>,
    valid_from: Option<String>,
    valid_to: Option<String>,
}

/// Fees of a tariff version, by id.
#[utoipa::path(get, path = "/api/v1/tariffs/{id}/fees", tag = "provisioning", params(
    ("id" = i64, Path, description = "version id"), Limit, AfterId
), responses(
    (status = 200, description = "a page of fees", body = Page<FeeItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn fees(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<FeeItem>>, Problem> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let version = directory
        .tariffs
        .iter()
        .find(|version| version.id.0 == id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no tariff version {id}")))?;
    let after = place.after;
    let mut found: Vec<_> = version.fees.iter().filter(|fee| fee.id.0 > after).collect();
    found.sort_unstable_by_key(|fee| fee.id);
    let items = found.into_iter().map(|fee| FeeItem {
        id: fee.id.0,
        destination: fee.destination.clone(),
        source: fee.source.clone(),
        direction: fee.direction.to_string(),
        zone: fee.zone.clone(),
        zone_detail: fee.zone_detail.clone(),
        onpeak_init: fee.onpeak_init.into(),
        onpeak_follow: fee.onpeak_follow.into(),
        offpeak_init: fee.offpeak_init.into(),
        offpeak_follow: fee.offpeak_follow.into(),
        connection_fee: fee.connection_fee.to_string(),
        minimum_charge: fee.minimum_charge.map(|amount| amount.to_string()),
        maximum_charge: fee.maximum_charge.map(|amount| amount.to_string()),
        valid_from: fee.valid_from.map(instant),
        valid_to: fee.valid_to.map(instant),
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}
