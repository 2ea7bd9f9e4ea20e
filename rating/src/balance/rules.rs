//! The rules of a contract, resolved for an account: what its package says, or its profile.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use model::{BalanceLength, CarryOver, LockLevel, StartMode, Underrun};

use super::cadence::{Cadence, MonthArithmetic, first_of_month, midnight, monday};

/// The rules of a contract, resolved: amounts in millionths, the zone chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Of the intervals' clock.
    pub zone: Tz,
    /// Length of an interval.
    pub interval: BalanceLength,
    /// Where intervals begin; `None`: with the week or the month, as for an account without a package.
    pub start: Option<StartMode>,
    /// What becomes of own money.
    pub carry_over: CarryOver,
    /// With [`CarryOver::Timely`].
    pub timely: Option<BalanceLength>,
    /// Own money expires so many interval units after the last interval with a top-up.
    pub discard_without_topup: Option<u32>,
    /// To begin with.
    pub initial_micros: i64,
    /// Of each top-up.
    pub service_charge_micros: i64,
    /// Threshold from which on an underrun brings other profiles.
    pub underrun_profiles: Option<i64>,
    /// Lock of an underrun, and its threshold.
    pub underrun_lock: Option<(i64, LockLevel)>,
    /// A top-up brings other profiles.
    pub topup_profiles: bool,
    /// Lock of a top-up.
    pub topup_lock: Option<LockLevel>,
    /// Calls are paid from the balance, whatever it is.
    pub prepaid: bool,
    /// As the reference reckons: month arithmetic of its rater, its carry-over formula, a discard that forgives debts.
    pub compat: bool,
}

impl Rules {
    /// Of a package, for an account in `account_zone` whose tenant is in `tenant_zone`.
    pub fn of_package(package: &model::Package, tenant_zone: Tz, account_zone: Tz) -> Rules {
        let zone = match package.start {
            StartMode::Create | StartMode::First => tenant_zone,
            StartMode::CreateTz | StartMode::FirstTz | StartMode::TopUp | StartMode::TopUpInterval => {
                account_zone
            }
        };
        Rules {
            zone,
            interval: package.interval,
            start: Some(package.start),
            carry_over: package.carry_over,
            timely: package.timely,
            discard_without_topup: package.discard_without_topup,
            initial_micros: micros(package.initial_balance),
            service_charge_micros: micros(package.service_charge),
            underrun_profiles: package.underrun_profiles.as_ref().map(|underrun| micros(underrun.below)),
            underrun_lock: package.underrun_lock.map(|Underrun { below, then }| (micros(below), then)),
            topup_profiles: !package.topup_profiles.is_empty(),
            topup_lock: package.topup_lock,
            prepaid: false,
            compat: false,
        }
    }

    /// Of an account without a package: the intervals of its profile, own money stays.
    pub fn without_package(interval: BalanceLength, zone: Tz) -> Rules {
        let package = model::Package { interval, ..model::Package::default() };
        Rules { start: None, ..Self::of_package(&package, zone, zone) }
    }

    /// Of the contract's first interval; `None`: it is open.
    pub(super) fn first_cadence(&self, created_at: DateTime<Utc>) -> Option<Cadence> {
        match self.start {
            Some(StartMode::Create | StartMode::CreateTz) => {
                Some(self.cadence(midnight(created_at, self.zone)))
            }
            Some(StartMode::First | StartMode::FirstTz) => {
                Some(self.cadence(first_of_month(created_at, self.zone)))
            }
            Some(StartMode::TopUp | StartMode::TopUpInterval) => None,
            None => Some(self.cadence(match self.interval.unit {
                model::BalanceUnit::Week => monday(created_at, self.zone),
                model::BalanceUnit::Month => first_of_month(created_at, self.zone),
                model::BalanceUnit::Minute | model::BalanceUnit::Hour | model::BalanceUnit::Day => {
                    midnight(created_at, self.zone)
                }
            })),
        }
    }

    pub(super) fn cadence(&self, anchor: chrono::NaiveDateTime) -> Cadence {
        Cadence { anchor, zone: self.zone, length: self.interval, months: self.months() }
    }

    pub(super) const fn months(&self) -> MonthArithmetic {
        if self.compat { MonthArithmetic::Overflow } else { MonthArithmetic::EndOfMonth }
    }
}

/// Provisioned amounts have been checked to fit.
pub(crate) fn micros(amount: rust_decimal::Decimal) -> i64 {
    model::to_micros(amount.round_dp(6)).unwrap_or(if amount.is_sign_negative() {
        i64::MIN
    } else {
        i64::MAX
    })
}
