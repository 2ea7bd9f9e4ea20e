//! Tariff data as provisioned. `rating` compiles it into what it looks up at the speed of calls.

use chrono::{DateTime, NaiveDateTime, NaiveTime, Utc, Weekday};
use chrono_tz::Tz;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{Currency, Direction, FeeId, Fees, ProfileId, ProfileVersionId, TenantId};

/// A price per unit of time, and the interval it is charged in.
///
/// 0.05 per minute charged per second is `{ price: 0.05, per_seconds: 60, interval_seconds: 1 }` and stays
/// exact: n seconds cost `n * 0.05 / 60`, divided once and rounded once at the end of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rate {
    /// Price of `per_seconds` seconds, in currency units; negative for a credit.
    pub price: Decimal,
    /// Seconds that `price` buys; at least 1.
    pub per_seconds: u32,
    /// Charging interval; at least 1.
    pub interval_seconds: u32,
}

named_enum! {
    /// How a tariff rounds, once, at the end of the call.
    RoundingMode {
        /// Half away from zero.
        HalfUp = "half_up",
        /// Half to even.
        HalfEven = "half_even",
        /// Away from zero.
        Up = "up",
        /// Towards zero.
        Down = "down",
    }
}

/// Rounding of a call's price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rounding {
    /// How.
    pub mode: RoundingMode,
    /// To how many decimals; at most 6, the ledger's resolution.
    pub scale: u32,
}

impl Default for Rounding {
    fn default() -> Self {
        Self { mode: RoundingMode::HalfUp, scale: 6 }
    }
}

/// What the peak state at the start of a call decides beside the rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PeakOptions {
    /// The call may use the account's free time.
    pub use_free_time: bool,
    /// Added once to a call that lasts long enough.
    pub extra: Option<ExtraRate>,
}

/// An amount added once (billing-reference 5.4, step 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExtraRate {
    /// If the call lasts beyond this second, counted from 0.
    pub second: u64,
    /// So much, in currency units.
    pub amount: Decimal,
}

named_enum! {
    /// Unit of a billing interval.
    IntervalUnit {
        /// From Monday, 00:00 local time.
        Week = "week",
        /// From the first, 00:00 local time.
        Month = "month",
    }
}

/// Length of a billing interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingInterval {
    /// Weeks or months.
    pub unit: IntervalUnit,
    /// How many; at least 1.
    pub count: u32,
}

impl Default for BillingInterval {
    fn default() -> Self {
        Self { unit: IntervalUnit::Month, count: 1 }
    }
}

named_enum! {
    /// How a profile chooses among its fees.
    FeeMatch {
        /// Longest destination prefix, then longest source prefix.
        Prefix = "prefix",
        /// The reference's order over match modes, in two rounds (billing-reference 3.4).
        Reference = "reference",
    }
}

named_enum! {
    /// What happens to an interval that runs across a peak border.
    PeakSplit {
        /// Priced by the state at its start.
        IntervalStart = "interval_start",
        /// Priced second by second.
        Boundary = "boundary",
        /// The reference's fragments (billing-reference 4.1).
        ReferenceFragments = "reference_fragments",
    }
}

named_enum! {
    /// How one fee matches under [`FeeMatch::Reference`] (billing-reference 3.2).
    MatchMode {
        /// Text equality of the destination.
        ExactDestination = "exact_destination",
        /// Prefixes.
        Prefix = "prefix",
        /// Regular expressions; the longest matched text wins.
        RegexLongestMatch = "regex_longest_match",
        /// Regular expressions; the longest pattern text wins.
        RegexLongestPattern = "regex_longest_pattern",
    }
}

/// A billing profile, over all its versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BillingProfile {
    /// Its id.
    pub id: ProfileId,
    /// Whose.
    pub tenant: TenantId,
    /// Letters, digits, underscore; unique within the tenant, fixed for ever.
    pub handle: String,
    /// For people.
    pub name: String,
    /// Currency of every price in it.
    pub currency: Currency,
    /// Zone of its peak calendar.
    pub timezone: Tz,
    /// The switch asks before the call, and cuts it at zero.
    pub prepaid: bool,
}

/// One immutable dated version of a profile: everything that decides a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TariffVersion {
    /// Its id.
    pub id: ProfileVersionId,
    /// The profile.
    pub profile: BillingProfile,
    /// In force for calls that start at or after this, until the next version.
    pub valid_from: DateTime<Utc>,
    /// How calls are rounded.
    pub rounding: Rounding,
    /// How a fee is chosen.
    pub fee_match: FeeMatch,
    /// What happens at peak borders.
    pub peak_split: PeakSplit,
    /// Price like the reference, quirks included (`rating/README.md` has each with an example).
    #[serde(default)]
    pub compat: bool,
    /// When free time and free cash are given anew.
    #[serde(default)]
    pub interval: BillingInterval,
    /// Recurring fee of a billing interval.
    pub interval_charge: Decimal,
    /// Free seconds of a billing interval.
    pub interval_free_seconds: u64,
    /// Free cash of a billing interval.
    pub interval_free_cash: Decimal,
    /// Price by what is used in a billing interval; `None`: every call has that of its fee.
    #[serde(default)]
    pub interval_price: Option<IntervalPrice>,
    /// Its fees.
    pub fees: Fees,
    /// Weekly off-peak spans.
    pub weekdays: Vec<OffPeakWeekday>,
    /// Off-peak spans on special dates.
    pub specials: Vec<OffPeakSpecial>,
}

named_enum! {
    /// How what an account uses in a balance interval makes its price.
    PriceModel {
        /// Each second at the price of the step it falls in.
        Tiered = "tiered",
        /// All seconds at the price of the step that their sum reaches.
        Volume = "volume",
        /// Whole packages of seconds, each begun one in full.
        Package = "package",
    }
}

/// A step of a price by usage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PriceStep {
    /// For seconds after so many.
    pub from_seconds: u64,
    /// Of sixty seconds.
    pub per_minute: Decimal,
}

/// A price of outgoing calls by what an account uses in a balance interval, in place of the rates of their fees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntervalPrice {
    /// How.
    pub model: PriceModel,
    /// Zones whose calls are priced so, all together; empty: every outgoing call.
    pub zones: Vec<String>,
    /// Of tiers and volumes: rising, the first from 0. Of packages: none.
    pub steps: Vec<PriceStep>,
    /// Of packages: seconds in one; else 0.
    pub package_seconds: u64,
    /// Of packages: the price of one.
    pub package_price: Decimal,
}

/// One fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fee {
    /// Its id.
    pub id: FeeId,
    /// Caller prefix or pattern; empty matches all.
    pub source: String,
    /// Destination prefix or pattern; empty matches all. `lnp:CARRIER` and `lnpnumbertype:TYPE` match ported numbers
    /// ([`crate::PortedNumber`]) and come before all others.
    pub destination: String,
    /// Which side pays it.
    pub direction: Direction,
    /// How it matches, where the profile asks for the reference's order.
    pub match_mode: MatchMode,
    /// Zone, for invoices and exports.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// First interval, on-peak.
    pub onpeak_init: Rate,
    /// Following intervals, on-peak.
    pub onpeak_follow: Rate,
    /// First interval, off-peak.
    pub offpeak_init: Rate,
    /// Following intervals, off-peak.
    pub offpeak_follow: Rate,
    /// Added once to an answered call.
    pub connection_fee: Decimal,
    /// The call costs at least this.
    pub minimum_charge: Option<Decimal>,
    /// And at most this.
    pub maximum_charge: Option<Decimal>,
    /// What an attempt costs that nobody answered.
    #[serde(default)]
    pub failed_attempt_fee: Decimal,
    /// What a call has beside its rates that starts on-peak.
    #[serde(default)]
    pub onpeak: PeakOptions,
    /// And one that starts off-peak.
    #[serde(default)]
    pub offpeak: PeakOptions,
    /// In force for calls that start at or after this; `None` is open.
    pub valid_from: Option<DateTime<Utc>>,
    /// And before this.
    pub valid_to: Option<DateTime<Utc>>,
}

/// A weekly off-peak span, in local time of the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffPeakWeekday {
    /// Day.
    pub day: Weekday,
    /// First second.
    pub start: NaiveTime,
    /// Last second that is off-peak, all of it.
    pub end: NaiveTime,
}

/// An off-peak span on special dates, in local time of the profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OffPeakSpecial {
    /// First second.
    pub start: NaiveDateTime,
    /// Last second that is off-peak, all of it.
    pub end: NaiveDateTime,
}
