//! Tenants and accounts: who pays, who is paid, and how they are reached.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, Currency, LockLevel, NetworkId, ProfileId, Span, TenantId};

/// The operator, or one of its brands: the issuer of invoices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: TenantId,
    /// Letters, digits, dash; unique.
    pub handle: String,
    /// Its own letterhead.
    pub contact: Contact,
    /// Of its books.
    pub currency: Currency,
    /// Of its periods.
    pub timezone: Tz,
}

named_enum! {
    /// What an account is to us.
    AccountKind {
        /// Pays for calls.
        Customer = "customer",
        /// Pays for the calls of its customers.
        Reseller = "reseller",
        /// Carries calls to and from the world.
        Carrier = "carrier",
    }
}

named_enum! {
    /// Whether an account is in use.
    AccountStatus {
        /// Yes.
        Active = "active",
        /// No calls in or out.
        Suspended = "suspended",
        /// Kept for its history.
        Terminated = "terminated",
    }
}

/// A billing account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its id.
    pub id: AccountId,
    /// Whose.
    pub tenant: TenantId,
    /// Customer, reseller or carrier.
    pub kind: AccountKind,
    /// Letters, digits, dash; unique within the tenant. The account's name in files and commands.
    pub handle: String,
    /// The reseller above a customer.
    pub reseller: Option<AccountId>,
    /// In use or not.
    pub status: AccountStatus,
    /// Currency of its balance and invoices.
    pub currency: Currency,
    /// Zone of its days, months and invoices.
    pub timezone: Tz,
    /// Name, address, mail.
    pub contact: Contact,
    /// VAT on invoices, percent.
    pub vat_percent: Decimal,
    /// Calls at once that it may pay for; `None` is unlimited, 0 is none.
    pub calls_max: Option<u32>,
    /// Spend limits.
    pub fraud: FraudPolicy,
    /// Which profile prices its calls, from when.
    pub profiles: Vec<ProfileMapping>,
}

impl Account {
    /// The profile in force at `at`, wherever a call comes from: of the mappings without a network the latest begun.
    pub fn profile_at(&self, at: DateTime<Utc>) -> Option<ProfileId> {
        self.profile_from(at, |_network| false)
    }

    /// The profile in force at `at` for a call that comes from the networks of which `is_from` is true. One bound to such a network
    /// comes before those for any; of several the latest begun counts (billing-reference 5.3).
    pub fn profile_from(&self, at: DateTime<Utc>, is_from: impl Fn(NetworkId) -> bool) -> Option<ProfileId> {
        self.profiles
            .iter()
            .filter(|mapping| mapping.from <= at && mapping.to.is_none_or(|to| at < to))
            .filter(|mapping| mapping.network.is_none_or(&is_from))
            .max_by_key(|mapping| (mapping.network.is_some(), mapping.from, mapping.network))
            .map(|mapping| mapping.profile)
    }
}

/// One entry of an account's profile schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileMapping {
    /// Prices calls that start at or after this, until the next mapping.
    pub from: DateTime<Utc>,
    /// And before this, then the one before holds again; `None` is open.
    #[serde(default)]
    pub to: Option<DateTime<Utc>>,
    /// Only calls that come from this network.
    #[serde(default)]
    pub network: Option<NetworkId>,
    /// The profile.
    pub profile: ProfileId,
}

/// Name, address and mail of a party.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Contact {
    /// Company or person.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Where invoices and notices go; empty sends none.
    pub email: String,
    /// VAT identification number; empty if none.
    pub vat_id: String,
    /// Company register number; empty if none.
    pub registration: String,
    /// IBAN; empty if none.
    pub iban: String,
}

/// A postal address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Address {
    /// Street and number.
    pub street: String,
    /// Postal code.
    pub postcode: String,
    /// City.
    pub city: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
}

/// Spend limits of an account, or of all accounts of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudPolicy {
    /// Of one day in the account's zone.
    #[serde(default)]
    pub daily: Option<FraudLimit>,
    /// Of one billing interval, the calendar month in the account's zone.
    #[serde(default)]
    pub interval: Option<FraudLimit>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FraudLimit {
    /// Reached when the sum is at or above, in the account's currency.
    pub amount: Decimal,
    /// The lock that follows.
    pub lock: LockLevel,
    /// Who is told.
    pub notify: Vec<String>,
    /// Whose price is added up. Default: `"customer"`.
    #[serde(default = "customers_price")]
    pub price: FraudPrice,
    /// Those to be told are warned at so many percent of the amount, e.g. `[50, 80]`. Default: none.
    #[serde(default)]
    pub warn_percent: Vec<u32>,
    /// When the lock lifts itself: `"period_end"`, `"by_hand"` (never) or after a time, e.g. `"4h"`. Default: `"period_end"`.
    #[serde(default)]
    pub unlock: FraudUnlock,
    /// `"reference"`: counts as the reference does (billing-reference 6.3), that is, what remains to be paid for rated calls and
    /// neither what balance or free cash paid nor calls in progress. Absent: counts all of it.
    #[serde(default)]
    pub compat: Option<FraudCompat>,
}

named_enum! {
    /// Whose price a limit adds up.
    FraudPrice {
        /// What the customer pays.
        Customer = "customer",
        /// What the reseller pays for the customer's calls (`fraud_use_reseller_rates` of the reference).
        Reseller = "reseller",
    }
}

const fn customers_price() -> FraudPrice {
    FraudPrice::Customer
}

named_enum! {
    /// Whose way of counting a limit follows.
    FraudCompat {
        /// The reference's.
        Reference = "reference",
    }
}

/// When the lock of a limit lifts itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FraudUnlock {
    /// With the day or the billing interval whose limit was reached.
    #[default]
    PeriodEnd,
    /// Never; somebody has to.
    ByHand,
    /// So long after it was set.
    After(Span),
}

impl std::fmt::Display for FraudUnlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            FraudUnlock::PeriodEnd => f.write_str("period_end"),
            FraudUnlock::ByHand => f.write_str("by_hand"),
            FraudUnlock::After(span) => span.fmt(f),
        }
    }
}

impl Serialize for FraudUnlock {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FraudUnlock {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "period_end" => Ok(FraudUnlock::PeriodEnd),
            "by_hand" => Ok(FraudUnlock::ByHand),
            other => other.parse().map(FraudUnlock::After).map_err(|why| {
                serde::de::Error::custom(format!("{why}, nor \"period_end\" nor \"by_hand\""))
            }),
        }
    }
}

/// The limits of every account whose calls a profile prices; a limit of the account itself stands in their place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileLimits {
    /// The profile.
    pub profile: ProfileId,
    /// Its limits.
    pub fraud: FraudPolicy,
}
