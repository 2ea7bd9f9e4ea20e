//! What the console asks of shadow billing: a month of real calls by another tariff, and how far that is.

use std::sync::Arc;

use futures::future::BoxFuture;
use model::{AccountId, ProfileId, ProfileVersionId, Provider};
use rust_decimal::Decimal;

/// A comparison that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedShadow {
    /// The other tariff.
    pub version: ProfileVersionId,
    /// A calendar month of the tariff's zone, such as `2026-10`; `None`: the last one that is over.
    pub month: Option<String>,
    /// Whose price is compared.
    pub level: Provider,
    /// Only calls that this profile priced.
    pub profile: Option<ProfileId>,
    /// Only this account.
    pub account: Option<AccountId>,
    /// Who wants it.
    pub actor: String,
}

/// Calls of one account, or of all: as they were priced, and by the other tariff.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShadowSums {
    /// Calls.
    pub n_calls: u64,
    /// Of these, without a fee in the other tariff; they are in neither sum.
    pub n_unpriced: u64,
    /// What they cost, before free cash.
    pub was: Decimal,
    /// What they would have cost.
    pub would_be: Decimal,
}

impl ShadowSums {
    /// What would be paid more; negative: less.
    pub fn difference(&self) -> Decimal {
        self.would_be.saturating_sub(self.was)
    }
}

/// A comparison, at work or over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShadowState {
    /// What it is; empty: there was none since the start.
    pub title: String,
    /// Whether it is over.
    pub is_over: bool,
    /// Stretches of time that its calls lie in.
    pub n_stretches: usize,
    /// Of these done.
    pub n_done: usize,
    /// Of all amounts.
    pub currency: String,
    /// Over all accounts.
    pub total: ShadowSums,
    /// Calls that were priced in another currency; they are left out.
    pub n_other_currency: u64,
    /// Calls of which free time of a package paid some seconds; they are left out.
    pub n_with_free_time: u64,
    /// By account: its name, and its sums; who would pay most more comes first. Empty until it is over.
    pub accounts: Arc<Vec<(String, ShadowSums)>>,
    /// Why it broke off; empty if it did not.
    pub failure: String,
}

/// Starts a comparison, or says in words why not.
pub type StartShadow = dyn Fn(WantedShadow) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Shadow billing, as the binary knows it.
pub struct ShadowDesk {
    /// Starts a comparison; one at a time.
    pub start: Arc<StartShadow>,
    /// How far the last one is.
    pub state: Arc<dyn Fn() -> ShadowState + Send + Sync>,
}
