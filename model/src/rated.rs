//! The rated call: a CDR, what each party owes for it, and how each price came about.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{AccountId, Cdr, Currency, FeeId, ProfileVersionId};

named_enum! {
    /// Which of the three levels a charge belongs to (billing-reference 0).
    Provider {
        /// What a carrier charges.
        Carrier = "carrier",
        /// What the reseller pays the operator.
        Reseller = "reseller",
        /// What the end customer pays.
        Customer = "customer",
    }
}

named_enum! {
    /// Which side of the call pays: `out` the originating, `in` the receiving.
    Direction {
        /// Paid by the originating side.
        Out = "out",
        /// Termination fee of the receiving side.
        In = "in",
    }
}

named_enum! {
    /// Price state of an instant. What no off-peak span covers is on-peak.
    Peak {
        /// Full price.
        On = "onpeak",
        /// Off-peak.
        Off = "offpeak",
    }
}

/// A CDR with its prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RatedCdr {
    /// What happened.
    pub cdr: Cdr,
    /// What it costs whom; empty for a call that was never answered.
    pub charges: Vec<Charge>,
}

impl RatedCdr {
    /// The charge of one level and side, if that party is part of the call.
    pub fn charge(&self, provider: Provider, direction: Direction) -> Option<&Charge> {
        self.charges.iter().find(|charge| charge.provider == provider && charge.direction == direction)
    }
}

/// What one party owes for one call, with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Charge {
    /// Level.
    pub provider: Provider,
    /// Side.
    pub direction: Direction,
    /// Who owes it (of a carrier: who is owed).
    pub account: AccountId,
    /// The tariff version in force at the call's start.
    pub version: ProfileVersionId,
    /// Its profile's handle, for people.
    pub profile: String,
    /// The fee that matched; `None` when an incoming call has none and costs nothing.
    pub fee: Option<FeeId>,
    /// Destination prefix or pattern of that fee.
    pub matched: String,
    /// Zone.
    pub zone: String,
    /// Zone detail.
    pub zone_detail: String,
    /// Currency of all amounts here.
    pub currency: Currency,
    /// What remains to be paid, rounded once.
    pub cost: Decimal,
    /// Seconds of free time used.
    pub free_seconds: u64,
    /// Free cash or balance used.
    pub free_cash: Decimal,
    /// Sum of the charging intervals begun.
    pub billed_seconds: u64,
    /// Of these on-peak.
    pub onpeak_seconds: u64,
    /// Of these off-peak.
    pub offpeak_seconds: u64,
    /// Flat amounts inside `cost`: connection fee, minimum top-up, extra rate.
    pub flat: Decimal,
    /// How it was rounded, such as `half_up 6`.
    pub rounding: String,
    /// The price piece by piece, in time order.
    pub pieces: Vec<Piece>,
    /// How the price became one in the currency of the account's books; `None` where the tariff is in that currency. Then `currency` and
    /// `cost` are the account's, `flat` and `pieces` the tariff's.
    #[serde(default)]
    pub conversion: Option<Conversion>,
    /// The records that the reference makes of a call that it cuts at peak borders, in time order, where the profile asks for them
    /// (`split_at_peak = "reference_fragments"`); none of a call that is not cut. They add up to the charge, in its currency.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fragments: Vec<Fragment>,
}

/// One record of a call that the reference cuts (billing-reference 4.1). All charges of a call that have fragments have as many, of the
/// same start and length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Where it begins: the start of the call, or the end of the one before.
    pub start: DateTime<Utc>,
    /// How long it is, in microseconds; the last ends with the call.
    pub duration_us: u64,
    /// State at its start.
    pub peak: Peak,
    /// What remains to be paid, rounded for itself.
    pub cost: Decimal,
    /// Seconds of free time used.
    pub free_seconds: u64,
    /// Free cash or balance used.
    pub free_cash: Decimal,
    /// Sum of the charging intervals begun in it.
    pub billed_seconds: u64,
    /// Of these on-peak.
    pub onpeak_seconds: u64,
    /// Of these off-peak.
    pub offpeak_seconds: u64,
}

/// A price in the tariff's currency, and what that is in the account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The tariff's currency.
    pub from: Currency,
    /// The price in it, rounded as the tariff says.
    pub amount: Decimal,
    /// What one unit of it is worth; `amount * rate`, rounded to six decimals half-up, is the cost.
    pub rate: Decimal,
    /// Since when that rate holds.
    pub rate_from: DateTime<Utc>,
}

/// A run of charging intervals priced alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Start of the first.
    pub start: DateTime<Utc>,
    /// Seconds charged in all.
    pub seconds: u64,
    /// State at their start.
    pub peak: Peak,
    /// First interval of the call, or a following one.
    pub is_init: bool,
    /// Price of `per_seconds` seconds.
    pub rate: Decimal,
    /// Seconds that `rate` buys.
    pub per_seconds: u32,
    /// Length of one charging interval.
    pub interval_seconds: u32,
    /// `seconds * rate / per_seconds`, not rounded but for the 28 digits of a decimal.
    pub price: Decimal,
}
