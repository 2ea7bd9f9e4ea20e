//! What is provisioned: accounts, subscribers, trunks, tariffs. Read from the snapshot that the running stages work by.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use model::{Account, Directory, Rate};
use serde::Serialize;

use crate::Shared;
use crate::account_names::{behind, place_of};
use crate::api::balances::{OfTenant, account_of};
use crate::api::{AfterHandle, AfterId, Limit, Page, Path, Query, instant};
use crate::guard::SignedIn;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// An account.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AccountItem {
    handle: String,
    /// Handle of its tenant.
    tenant: String,
    name: String,
    /// customer, reseller or carrier.
    kind: String,
    /// Handle of the reseller above a customer.
    reseller: Option<String>,
    /// active, suspended or terminated.
    status: String,
    currency: String,
    /// IANA zone of its days, months and invoices.
    timezone: String,
    email: String,
    vat_id: String,
    /// VAT on invoices, percent.
    vat_percent: String,
    /// Calls at once; absent is unlimited, 0 is none.
    calls_max: Option<u32>,
    /// Level of the lock in force; `none` if there is none.
    lock: String,
}

fn item_of(directory: &Directory, account: &Account) -> AccountItem {
    let lock = directory.locks.iter().find(|lock| lock.account == account.id);
    let tenant = directory.tenants.iter().find(|tenant| tenant.id == account.tenant);
    AccountItem {
        handle: account.handle.clone(),
        tenant: tenant.map(|tenant| tenant.handle.clone()).unwrap_or_default(),
        name: account.contact.name.clone(),
        kind: account.kind.to_string(),
        reseller: account.reseller.map(|id| directory.name_of(id)),
        status: account.status.to_string(),
        currency: account.currency.to_string(),
        timezone: account.timezone.to_string(),
        email: account.contact.email.clone(),
        vat_id: account.contact.vat_id.clone(),
        vat_percent: account.vat_percent.to_string(),
        calls_max: account.calls_max,
        lock: lock.map_or_else(|| "none".to_owned(), |lock| lock.level.to_string()),
    }
}

/// Accounts, by handle.
#[utoipa::path(get, path = "/api/v1/accounts", tag = "provisioning", params(Limit, AfterHandle), responses(
    (status = 200, description = "a page of accounts", body = Page<AccountItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn accounts(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterHandle>,
) -> Result<Json<Page<AccountItem>>, Problem> {
    require(&user, Right::Provisioning, "see accounts")?;
    let directory = (shared.desk.directory)();
    let found = behind(directory.accounts.iter(), &place.after);
    let page = Page::of(found, limit.get()?, |account| place_of(&directory, account));
    let items = page.items.into_iter().map(|account| item_of(&directory, account)).collect();
    Ok(Json(Page { items, next: page.next }))
}

/// One account.
#[utoipa::path(get, path = "/api/v1/accounts/{handle}", tag = "provisioning", params(
    ("handle" = String, Path, description = "its handle"), OfTenant,
), responses(
    (status = 200, description = "the account", body = AccountItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn account(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<AccountItem>, Problem> {
    require(&user, Right::Provisioning, "see accounts")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, tenant.as_deref())?;
    Ok(Json(item_of(&directory, account)))
}

/// A subscriber.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SubscriberItem {
    id: i64,
    /// Handle of the account that pays.
    account: String,
    username: String,
    domain: String,
    /// Number its calls bear.
    cli: Option<String>,
    /// Numbers it owns now.
    numbers: Vec<String>,
    calls_max: Option<u32>,
}

/// Subscribers, by id.
#[utoipa::path(get, path = "/api/v1/subscribers", tag = "provisioning", params(Limit, AfterId), responses(
    (status = 200, description = "a page of subscribers", body = Page<SubscriberItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn subscribers(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<SubscriberItem>>, Problem> {
    require(&user, Right::Provisioning, "see subscribers")?;
    let directory = (shared.desk.directory)();
    let after = place.after;
    let mut found: Vec<_> =
        directory.subscribers.iter().filter(|subscriber| subscriber.id.0 > after).collect();
    found.sort_unstable_by_key(|subscriber| subscriber.id);
    let items = found.into_iter().map(|subscriber| SubscriberItem {
        id: subscriber.id.0,
        account: directory.name_of(subscriber.account),
        username: subscriber.username.clone(),
        domain: subscriber.domain.clone(),
        cli: subscriber.cli.map(|cli| cli.to_string()),
        numbers: directory
            .numbers
            .iter()
            .filter(|owned| owned.subscriber == subscriber.id && owned.to.is_none())
            .map(|owned| owned.number.to_string())
            .collect(),
        calls_max: subscriber.calls_max,
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}

/// A trunk.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TrunkItem {
    id: i64,
    name: String,
    /// Handle of the carrier's account.
    account: String,
    /// Address and port that calls go to.
    address: String,
    /// udp, tcp or tls.
    transport: String,
    /// Further networks that calls may come from.
    sources: Vec<String>,
    calls_max: Option<u32>,
    enabled: bool,
}

/// Trunks, by id.
#[utoipa::path(get, path = "/api/v1/trunks", tag = "provisioning", params(Limit, AfterId), responses(
    (status = 200, description = "a page of trunks", body = Page<TrunkItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn trunks(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<TrunkItem>>, Problem> {
    require(&user, Right::Provisioning, "see trunks")?;
    let directory = (shared.desk.directory)();
    let after = place.after;
    let mut found: Vec<_> = directory.trunks.iter().filter(|trunk| trunk.id.0 > after).collect();
    found.sort_unstable_by_key(|trunk| trunk.id);
    let items = found.into_iter().map(|trunk| TrunkItem {
        id: trunk.id.0,
        name: trunk.name.clone(),
        account: directory.name_of(trunk.account),
        address: trunk.address.to_string(),
        transport: trunk.transport.to_string(),
        sources: trunk.sources.clone(),
        calls_max: trunk.calls_max,
        enabled: trunk.enabled,
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}

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
