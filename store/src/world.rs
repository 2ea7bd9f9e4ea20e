//! Provisioning data as people write it: objects that name each other by handle, without ids.
//!
//! `World` reads from TOML (`[[tenants]]`, `[[accounts]]`, ...), unknown keys refused. Tariffs are compiled from their
//! own files and added by the caller. A tenant may be left out where there is only one.

use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use model::{
    AccountCalling, AccountKind, AccountStatus, Address, BillingTerms, Contact, Currency, E164, FraudLimit,
    FraudPolicy, LowBalance, Package, RouteCalling, SubscriberCalling, TariffVersion, TenantCalling,
    Transport, TrunkCalling, Underrun,
};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What one import brings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct World {
    /// Tenants; key: handle.
    pub tenants: Vec<NewTenant>,
    /// Accounts; key: tenant and handle.
    pub accounts: Vec<NewAccount>,
    /// Subscribers; key: username and domain.
    pub subscribers: Vec<NewSubscriber>,
    /// Trunks; key: name.
    pub trunks: Vec<NewTrunk>,
    /// Routes; key: tenant, prefix and trunk.
    pub routes: Vec<NewRoute>,
    /// Spend limits of profiles; key: tenant and profile handle.
    pub profile_limits: Vec<NewProfileLimits>,
    /// Billing terms; key: tenant and account handle.
    pub billing_terms: Vec<NewBillingTerms>,
    /// Networks; key: tenant and name.
    pub networks: Vec<NewNetwork>,
    /// Exchange rates; key: tenant, currencies and beginning.
    pub exchange_rates: Vec<NewExchangeRate>,
    /// Profile packages; key: tenant and handle.
    pub packages: Vec<NewPackage>,
    /// Contracts; key: tenant and account handle.
    pub contracts: Vec<NewContract>,
    /// Tariff versions; key: tenant and profile handle. They come from their own files, not from this one.
    #[serde(skip)]
    pub tariffs: Vec<NewTariff>,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Letters, digits, dash.
    pub handle: String,
    /// Letterhead.
    #[serde(default, deserialize_with = "contact", serialize_with = "flat_contact")]
    pub contact: Contact,
    /// Of its books.
    #[serde(default = "euro")]
    pub currency: Currency,
    /// Of its periods.
    #[serde(default = "utc")]
    pub timezone: Tz,
    /// What the switch alone asks about it.
    #[serde(default)]
    pub calling: TenantCalling,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Letters, digits, dash.
    pub handle: String,
    /// Customer, reseller or carrier.
    #[serde(default = "customer")]
    pub kind: AccountKind,
    /// Handle of the reseller above it.
    #[serde(default)]
    pub reseller: Option<String>,
    /// In use or not.
    #[serde(default = "active")]
    pub status: AccountStatus,
    /// `None`: the tenant's.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// `None`: the tenant's.
    #[serde(default)]
    pub timezone: Option<Tz>,
    /// Name, address, mail.
    #[serde(default, deserialize_with = "contact", serialize_with = "flat_contact")]
    pub contact: Contact,
    /// VAT on invoices, percent.
    #[serde(default)]
    pub vat_percent: Decimal,
    /// `None` is unlimited, 0 is none.
    #[serde(default)]
    pub calls_max: Option<u32>,
    /// Spend limits.
    #[serde(default)]
    pub fraud: FraudPolicy,
    /// Handle of the profile that prices its calls.
    #[serde(default)]
    pub profile: Option<String>,
    /// From when. `None`: for an account without any profile always, else from the time of the import.
    #[serde(default)]
    pub valid_from: Option<DateTime<Utc>>,
    /// Further profiles: for a time, or for calls that come from a network.
    #[serde(default)]
    pub profiles: Vec<NewMapping>,
    /// What the switch alone asks about it.
    #[serde(default)]
    pub calling: AccountCalling,
}

/// One entry of an account's schedule of profiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewMapping {
    /// Handle of the profile.
    pub profile: String,
    /// Prices calls that start at or after this. Default: always.
    #[serde(default)]
    pub from: Option<DateTime<Utc>>,
    /// And before this; then the entry before holds again. Default: without end.
    #[serde(default)]
    pub to: Option<DateTime<Utc>>,
    /// Name of a network: only calls that come from there. Default: all calls.
    #[serde(default)]
    pub network: Option<String>,
}

/// A network that profiles may be bound to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewNetwork {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Letters, digits, dash.
    pub name: String,
    /// Address and prefix length, such as `192.0.2.0/24`.
    pub blocks: Vec<String>,
}

/// What one unit of a currency is worth in another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewExchangeRate {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// One unit of this.
    pub from: Currency,
    /// In units of that.
    pub to: Currency,
    /// A quoted decimal above 0.
    pub rate: Decimal,
    /// For calls that start at or after this.
    pub valid_from: DateTime<Utc>,
}

/// Spend limits of every account that a profile prices; a limit of the account itself stands in their place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProfileLimits {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Handle of the profile.
    pub profile: String,
    /// Of one day.
    #[serde(default)]
    pub daily: Option<FraudLimit>,
    /// Of one billing interval, the calendar month.
    #[serde(default)]
    pub interval: Option<FraudLimit>,
}

/// What a party agreed to about invoices. All of it is given: what is left out goes back to its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBillingTerms {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Handle of the account; empty: the tenant itself, as a seller.
    #[serde(default)]
    pub account: String,
    /// Its terms.
    pub terms: BillingTerms,
}

/// A profile package.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPackage {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// What it says; its sets of profiles are named below.
    pub package: Package,
    /// Profiles of an account from the day on which it gets the package. At least one for any network; empty: those it has.
    #[serde(default)]
    pub initial_profiles: Vec<NewProfileChoice>,
    /// Profiles from an underrun on, such as `{ below = "1.00", then = [{ profile = "dear" }] }`.
    #[serde(default)]
    pub underrun_profiles: Option<Underrun<Vec<NewProfileChoice>>>,
    /// Profiles from a top-up on; empty: those it has.
    #[serde(default)]
    pub topup_profiles: Vec<NewProfileChoice>,
}

/// One profile of a package's set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewProfileChoice {
    /// Handle of the profile.
    pub profile: String,
    /// Name of a network: only for calls that come from it.
    #[serde(default)]
    pub network: Option<String>,
}

/// What was agreed with an account about its balance. An account whose profile is prepaid, or gives free cash or free time, has a contract
/// from its import on, without being named here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewContract {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Handle of the account.
    pub account: String,
    /// Handle of its package; empty: none.
    #[serde(default)]
    pub package: String,
    /// How far below 0 the balance may go; of postpaid, how much may be owed in all. Absent: prepaid not at all, postpaid without end.
    #[serde(default)]
    pub credit_limit: Option<Decimal>,
    /// Who is told when little is left.
    #[serde(default)]
    pub low_balance: Option<LowBalance>,
}

/// A subscriber.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSubscriber {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Handle of the account that pays.
    pub account: String,
    /// User part of its address of record.
    pub username: String,
    /// Host part, and the realm.
    pub domain: String,
    /// RFC 8760, lower-case hexadecimal.
    pub ha1_md5: String,
    /// RFC 8760, lower-case hexadecimal.
    pub ha1_sha256: String,
    /// All its numbers: one that is missing here is closed at the time of the import.
    #[serde(default)]
    pub numbers: Vec<E164>,
    /// Network-provided number of its calls.
    #[serde(default)]
    pub cli: Option<E164>,
    /// Calls at once; `None` is unlimited, 0 is none.
    #[serde(default)]
    pub calls_max: Option<u32>,
    /// `None`: derived from username and domain.
    #[serde(default)]
    pub uuid: Option<String>,
    /// Which of the operator's products it is, by a word of letters, digits, - and _: EDRs tell partners when it begins, changes and
    /// ends (`start_profile`, ...). `None`: none.
    #[serde(default)]
    pub profile: Option<String>,
    /// What the switch alone asks about it.
    #[serde(default)]
    pub calling: SubscriberCalling,
}

impl std::fmt::Debug for NewSubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSubscriber").field("account", &self.account).finish_non_exhaustive()
    }
}

/// A trunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewTrunk {
    /// Handle of the tenant; may be empty where there is only one.
    #[serde(default)]
    pub tenant: String,
    /// Handle of the carrier's account.
    pub account: String,
    /// Letters, digits, dash.
    pub name: String,
    /// Where calls go.
    pub address: SocketAddr,
    /// How.
    #[serde(default = "udp")]
    pub transport: Transport,
    /// Further sources, such as `192.0.2.0/28`.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Put in front of the number called.
    #[serde(default)]
    pub tech_prefix: String,
    /// Calls at once; `None` is unlimited.
    #[serde(default)]
    pub calls_max: Option<u32>,
    /// In use.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// What the switch alone asks about it.
    #[serde(default)]
    pub calling: TrunkCalling,
}

/// A route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRoute {
    /// Digits of the number called; empty matches all.
    #[serde(default)]
    pub prefix: String,
    /// Name of the trunk, whose tenant is the route's.
    pub trunk: String,
    /// 1 is tried first.
    #[serde(default = "one")]
    pub priority: u32,
    /// Share among equals.
    #[serde(default = "one")]
    pub weight: u32,
    /// What the switch alone asks about it.
    #[serde(default)]
    pub calling: RouteCalling,
}

/// One tariff version.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTariff {
    /// Handle of the tenant; may be empty where there is only one.
    pub tenant: String,
    /// The version; its ids, and those of its profile, fees and tenant, are ignored.
    pub version: TariffVersion,
}

const fn euro() -> Currency {
    Currency::EUR
}

const fn utc() -> Tz {
    Tz::UTC
}

const fn customer() -> AccountKind {
    AccountKind::Customer
}

const fn active() -> AccountStatus {
    AccountStatus::Active
}

const fn udp() -> Transport {
    Transport::Udp
}

const fn yes() -> bool {
    true
}

const fn one() -> u32 {
    1
}

/// A contact as people write it: flat, everything optional, a misspelt key refused.
#[derive(Serialize, Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct FlatContact {
    name: String,
    street: String,
    postcode: String,
    city: String,
    country: String,
    email: String,
    vat_id: String,
    registration: String,
    iban: String,
}

fn contact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Contact, D::Error> {
    let flat = FlatContact::deserialize(deserializer)?;
    Ok(Contact {
        name: flat.name,
        address: Address {
            street: flat.street,
            postcode: flat.postcode,
            city: flat.city,
            country: flat.country,
        },
        email: flat.email,
        vat_id: flat.vat_id,
        registration: flat.registration,
        iban: flat.iban,
    })
}

fn flat_contact<S: Serializer>(contact: &Contact, serializer: S) -> Result<S::Ok, S::Error> {
    let Contact { name, address, email, vat_id, registration, iban } = contact.clone();
    let Address { street, postcode, city, country } = address;
    FlatContact { name, street, postcode, city, country, email, vat_id, registration, iban }
        .serialize(serializer)
}
