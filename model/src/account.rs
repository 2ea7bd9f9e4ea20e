//! Tenants and accounts: who pays, who is paid, and how they are reached.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, Currency, LockLevel, ProfileId, TenantId};

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
    /// The profile in force at `at`: the latest mapping begun by then.
    pub fn profile_at(&self, at: DateTime<Utc>) -> Option<ProfileId> {
        self.profiles
            .iter()
            .filter(|mapping| mapping.from <= at)
            .max_by_key(|mapping| mapping.from)
            .map(|mapping| mapping.profile)
    }
}

/// One entry of an account's profile schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileMapping {
    /// Prices calls that start at or after this, until the next mapping.
    pub from: DateTime<Utc>,
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

/// Spend limits of an account.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FraudPolicy {
    /// Of one day in the account's zone.
    pub daily: Option<FraudLimit>,
}

/// One limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FraudLimit {
    /// Reached when the sum is at or above, in the account's currency.
    pub amount: Decimal,
    /// The lock that follows.
    pub lock: LockLevel,
    /// Who is told.
    pub notify: Vec<String>,
}
