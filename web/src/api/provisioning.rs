//! Tariffs, with their fees, zones and off-peak times, and numbers. Read from the snapshot that the running stages work by.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Directory, Rate, TariffVersion};
use serde::{Deserialize, Serialize};

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
    let version = version_of(&directory, id)?;
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

/// The tariff version of this id.
pub(crate) fn version_of(directory: &Directory, id: i64) -> Result<&TariffVersion, Refusal> {
    let found = directory.tariffs.iter().find(|version| version.id.0 == id);
    found.ok_or_else(|| Refusal::NotFound(format!("there is no tariff version {id}")))
}

/// A zone of a tariff version.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ZoneItem {
    zone: String,
    zone_detail: String,
    /// Fees that are of it.
    n_fees: usize,
}

/// Zones of a tariff version, by name.
#[utoipa::path(get, path = "/api/v1/tariffs/{id}/zones", tag = "provisioning", params(
    ("id" = i64, Path, description = "version id")
), responses(
    (status = 200, description = "zones", body = Page<ZoneItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn zones(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<Page<ZoneItem>>, Problem> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let mut zones: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for fee in version_of(&directory, id)?.fees.iter() {
        *zones.entry((&fee.zone, &fee.zone_detail)).or_default() += 1;
    }
    let items = zones.into_iter().map(|((zone, detail), n_fees)| ZoneItem {
        zone: zone.to_owned(),
        zone_detail: detail.to_owned(),
        n_fees,
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// A time that is off-peak, in local time of the profile.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct OffPeakItem {
    /// Each week on this day, `Mon` to `Sun`; absent: once.
    #[serde(skip_serializing_if = "Option::is_none")]
    weekday: Option<String>,
    /// First second: `18:00:00`, or with its date `2026-12-24T00:00:00`.
    start: String,
    /// Last second that is off-peak, all of it.
    end: String,
}

/// When a tariff version is off-peak; at all other times it is on-peak.
#[utoipa::path(get, path = "/api/v1/tariffs/{id}/off-peak", tag = "provisioning", params(
    ("id" = i64, Path, description = "version id")
), responses(
    (status = 200, description = "off-peak times", body = Page<OffPeakItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn off_peak(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<Page<OffPeakItem>>, Problem> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let version = version_of(&directory, id)?;
    let weekly = version.weekdays.iter().map(|span| OffPeakItem {
        weekday: Some(span.day.to_string()),
        start: span.start.to_string(),
        end: span.end.to_string(),
    });
    let once = version.specials.iter().map(|span| OffPeakItem {
        weekday: None,
        start: span.start.format("%FT%T").to_string(),
        end: span.end.format("%FT%T").to_string(),
    });
    Ok(Json(Page { items: weekly.chain(once).collect(), next: None }))
}

/// A number that somebody has now.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct NumberItem {
    /// E.164 digits.
    number: String,
    /// Whose it is: `user@domain`.
    subscriber: String,
    /// Handle of the account that pays.
    account: String,
    /// Since when.
    since: String,
}

/// Which numbers.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct NumberQuery {
    /// First digits, with the country code.
    #[param(pattern = "^[0-9]{0,15}$")]
    prefix: String,
    /// The page begins behind this number: `next` of the page before.
    #[param(pattern = "^[0-9]{0,15}$")]
    after: String,
}

/// Numbers that somebody has now, in their numerical order.
#[utoipa::path(get, path = "/api/v1/numbers", tag = "provisioning", params(Limit, NumberQuery), responses(
    (status = 200, description = "a page of numbers", body = Page<NumberItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn numbers(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(asked): Query<NumberQuery>,
) -> Result<Json<Page<NumberItem>>, Problem> {
    require(&user, Right::Provisioning, "see who has which number")?;
    require(&user, Right::Numbers, "see whole numbers")?;
    for (field, text) in [("prefix", &asked.prefix), ("after", &asked.after)] {
        if text.len() > 15 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Refusal::Invalid(format!("{field}: {text:?} is not up to 15 digits")).into());
        }
    }
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let after: u64 = asked.after.parse().unwrap_or_default();
    let mut found: Vec<_> = directory
        .numbers
        .iter()
        .filter(|owned| owned.from <= now && owned.to.is_none_or(|to| to > now))
        .filter(|owned| owned.number.as_u64() > after)
        .filter(|owned| asked.prefix.is_empty() || owned.number.to_string().starts_with(&asked.prefix))
        .collect();
    let end = limit.get()? + 1;
    if found.len() > end {
        found.select_nth_unstable_by_key(end, |owned| owned.number);
        found.truncate(end);
    }
    found.sort_unstable_by_key(|owned| owned.number);
    let wanted: HashSet<_> = found.iter().map(|owned| owned.subscriber).collect();
    let of_them = directory.subscribers.iter().filter(|holder| wanted.contains(&holder.id));
    let holders: HashMap<_, _> = of_them.map(|holder| (holder.id, holder)).collect();
    let items = found.into_iter().filter_map(|owned| {
        let holder = holders.get(&owned.subscriber)?;
        Some(NumberItem {
            number: owned.number.to_string(),
            subscriber: format!("{}@{}", holder.username, holder.domain),
            account: directory.name_of(holder.account),
            since: instant(owned.from),
        })
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.number.clone())))
}
