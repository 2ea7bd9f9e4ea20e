//! What a call in progress has cost so far.

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{AccountId, CdrId, Money};

/// A word of the watch to the spend limits: a call is still up and has cost so much. A later one of the same call replaces it,
/// and the rated call replaces them all; the amount is an estimate and is never billed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accrual {
    /// Who pays.
    pub account: AccountId,
    /// The record that the call will become.
    pub cdr: CdrId,
    /// When it was estimated.
    pub at: DateTime<Utc>,
    /// At the customer's price, up to `at`.
    pub amount: Money,
    /// What a minute more costs, in the same currency, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<Decimal>,
}
