//! Profile packages: how the balance of an account is renewed, carried over, topped up and guarded
//! (billing-reference 5.6 to 5.9).

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, LockLevel, NetworkId, ProfileId, ProfileMapping, TenantId};

named_enum! {
    /// Units of a balance interval.
    BalanceUnit {
        /// Sixty seconds of the clock on the wall.
        Minute = "minute",
        /// Sixty minutes.
        Hour = "hour",
        /// From midnight to midnight.
        Day = "day",
        /// Seven days.
        Week = "week",
        /// To the same day of the next month, or its last.
        Month = "month",
    }
}

/// A length by the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BalanceLength {
    /// Of these.
    pub unit: BalanceUnit,
    /// So many; at least 1.
    pub count: u32,
}

impl BalanceLength {
    /// One month.
    pub const MONTH: BalanceLength = BalanceLength { unit: BalanceUnit::Month, count: 1 };
}

named_enum! {
    /// Where balance intervals begin.
    StartMode {
        /// On the day the contract was made, at midnight in the tenant's zone.
        Create = "create",
        /// The same in the account's zone.
        CreateTz = "create_tz",
        /// On the first of the month in which the contract was made, at midnight in the tenant's zone.
        First = "1st",
        /// The same in the account's zone.
        FirstTz = "1st_tz",
        /// With each top-up, which ends the one before.
        TopUp = "topup",
        /// With each top-up, and then on and on in equal lengths until the next.
        TopUpInterval = "topup_interval",
    }
}

named_enum! {
    /// What becomes of own money at the end of an interval.
    CarryOver {
        /// It stays.
        CarryOver = "carry_over",
        /// It stays if there was a top-up in the last part of the interval.
        Timely = "carry_over_timely",
        /// It expires.
        Discard = "discard",
    }
}

/// What a threshold sets off when the cash falls from at or above it to below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Underrun<T> {
    /// In the account's currency.
    pub below: Decimal,
    /// What follows.
    pub then: T,
}

/// One profile of a set that a package assigns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileChoice {
    /// The profile.
    pub profile: ProfileId,
    /// Only for calls that come from this network.
    #[serde(default)]
    pub network: Option<NetworkId>,
}

/// An account has other profiles from an instant on, because its package says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileSwitch {
    /// Whose platform.
    pub tenant: TenantId,
    /// Whose profiles.
    pub account: AccountId,
    /// Calls that start at or after this are priced by them.
    pub from: DateTime<Utc>,
    /// Which.
    pub profiles: Vec<ProfileChoice>,
}

impl ProfileSwitch {
    /// Puts the new profiles at the end of a schedule, in its order. Profiles that were bound to other networks than these end there, lest they
    /// go before the new ones (billing-reference 5.3).
    pub fn apply(&self, schedule: &mut Vec<ProfileMapping>) {
        if self.profiles.iter().any(|choice| choice.network.is_none()) {
            for mapping in schedule.iter_mut() {
                let is_open = mapping.from < self.from && mapping.to.is_none_or(|to| self.from < to);
                if mapping.network.is_some() && is_open {
                    mapping.to = Some(self.from);
                }
            }
        }
        for ProfileChoice { profile, network } in self.profiles.iter().copied() {
            schedule.retain(|there| (there.from, there.network) != (self.from, network));
            schedule.push(ProfileMapping { from: self.from, to: None, network, profile });
        }
        schedule.sort_by_key(|there| (there.from, there.network));
    }

    /// Whether these profiles are in force at that time already, and stay so: then the schedule needs no entry.
    pub fn is_in_force(&self, schedule: &[ProfileMapping]) -> bool {
        let is_up =
            |there: &&ProfileMapping| there.from <= self.from && there.to.is_none_or(|to| self.from < to);
        let is_named =
            |network: Option<NetworkId>| self.profiles.iter().any(|choice| choice.network == network);
        let stands = |choice: &ProfileChoice| {
            let up = schedule.iter().filter(is_up).filter(|there| there.network == choice.network);
            let latest = up.max_by_key(|there| there.from);
            latest.is_some_and(|there| there.profile == choice.profile && there.to.is_none())
        };
        // Profiles for all end those of other networks.
        let ends_others =
            is_named(None) && schedule.iter().filter(is_up).any(|there| !is_named(there.network));
        self.profiles.iter().all(stands) && !ends_others
    }

    /// Whether a schedule says so already.
    pub fn is_in(&self, schedule: &[ProfileMapping]) -> bool {
        self.profiles.iter().all(|choice| {
            schedule.iter().any(|there| {
                (there.from, there.network, there.profile) == (self.from, choice.network, choice.profile)
            })
        })
    }
}

/// A set that is absent is empty.
fn none_is_empty<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<ProfileChoice>, D::Error> {
    Ok(Option::<Vec<ProfileChoice>>::deserialize(from)?.unwrap_or_default())
}

/// Whom to tell when a balance falls below an amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LowBalance {
    /// In the account's currency.
    pub below: Decimal,
    /// Mail addresses.
    #[serde(default)]
    pub notify: Vec<String>,
}

/// What was agreed with an account about its balance. An account that has one has its calls held to what there is: prepaid to the balance,
/// postpaid to the credit limit, if it has one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContractTerms {
    /// Since when; where intervals are counted from.
    pub created_at: DateTime<Utc>,
    /// Handle of its package; empty: none.
    pub package: String,
    /// How far below 0 the balance may go; of postpaid, how much may be owed in all. `None`: prepaid not at all, postpaid without end.
    pub credit_limit: Option<Decimal>,
    /// Who is told when little is left.
    pub low_balance: Option<LowBalance>,
}

/// A package, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantPackage {
    /// Whose.
    pub tenant: TenantId,
    /// What it says.
    pub package: Package,
}

/// Rules of a contract's balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Package {
    /// Letters, digits, dash; unique within the tenant.
    pub handle: String,
    /// Length of an interval.
    pub interval: BalanceLength,
    /// Where intervals begin.
    pub start: StartMode,
    /// What becomes of own money.
    pub carry_over: CarryOver,
    /// With [`CarryOver::Timely`]: a top-up counts that comes within this before the end of the interval.
    pub timely: Option<BalanceLength>,
    /// Own money expires so many interval units after the end of the last interval with a top-up.
    pub discard_without_topup: Option<u32>,
    /// Own money to begin with, in the account's currency.
    pub initial_balance: Decimal,
    /// Taken from each top-up.
    pub service_charge: Decimal,
    /// Free seconds of an interval, in place of the profile's.
    pub free_seconds: Option<u64>,
    /// Free cash of an interval, in place of the profile's.
    pub free_cash: Option<Decimal>,
    /// Profiles of an account from the day on which it gets the package; empty: those it has.
    #[serde(alias = "initial_profile", deserialize_with = "none_is_empty")]
    pub initial_profiles: Vec<ProfileChoice>,
    /// Profiles from an underrun on.
    #[serde(alias = "underrun_profile")]
    pub underrun_profiles: Option<Underrun<Vec<ProfileChoice>>>,
    /// Lock that an underrun sets; [`LockLevel::None`] lifts one.
    pub underrun_lock: Option<Underrun<LockLevel>>,
    /// Profiles from a top-up on; empty: those it has.
    #[serde(alias = "topup_profile", deserialize_with = "none_is_empty")]
    pub topup_profiles: Vec<ProfileChoice>,
    /// Lock that a top-up sets; [`LockLevel::None`] lifts one.
    pub topup_lock: Option<LockLevel>,
}

impl Default for Package {
    /// As the reference treats an account without a package.
    fn default() -> Self {
        Self {
            handle: String::new(),
            interval: BalanceLength::MONTH,
            start: StartMode::FirstTz,
            carry_over: CarryOver::CarryOver,
            timely: None,
            discard_without_topup: None,
            initial_balance: Decimal::ZERO,
            service_charge: Decimal::ZERO,
            free_seconds: None,
            free_cash: None,
            initial_profiles: Vec::new(),
            underrun_profiles: None,
            underrun_lock: None,
            topup_profiles: Vec::new(),
            topup_lock: None,
        }
    }
}
