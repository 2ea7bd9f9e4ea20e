//! What the console asks of billing: a run, how far it is, and what a document says of its sums.

use std::sync::Arc;

use futures::future::BoxFuture;
use model::AccountId;
use store::{Invoice, InvoiceSums};

/// A billing run that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRun {
    /// A calendar month, such as `2026-10`; `None`: whatever is over and has no invoice.
    pub month: Option<String>,
    /// Only this account.
    pub account: Option<AccountId>,
    /// Number nothing, keep nothing.
    pub is_dry: bool,
    /// Who wants it.
    pub actor: String,
}

/// One account in one period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledAccount {
    /// Its handle.
    pub account: String,
    /// In words; empty if it did not come to that.
    pub period: String,
    /// Number of its invoice; empty if it has none.
    pub number: String,
    /// Its total.
    pub total: String,
    /// What came of it, in words.
    pub said: String,
    /// Somebody has to look: it was held back, or failed.
    pub is_exception: bool,
}

/// A run, at work or over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RunState {
    /// What it is for; empty: there was none since the start.
    pub title: String,
    /// Whether it is over.
    pub is_over: bool,
    /// Accounts it is for.
    pub n_accounts: usize,
    /// Of these done.
    pub n_done: usize,
    /// Invoices, or in a dry run drafts, that it made.
    pub n_made: usize,
    /// What came of the accounts: all exceptions, and the first of the others.
    pub rows: Vec<BilledAccount>,
    /// Why it broke off; empty if it did not.
    pub failure: String,
}

/// Starts a run, or says in words why not.
pub type StartRun = dyn Fn(WantedRun) -> BoxFuture<'static, Result<(), String>> + Send + Sync;

/// Billing, as the binary knows it.
pub struct BillingDesk {
    /// Starts a run; one at a time.
    pub start: Arc<StartRun>,
    /// How far the last one is.
    pub state: Arc<dyn Fn() -> RunState + Send + Sync>,
    /// What a document says of its sums, or why it cannot be read.
    pub sums_of: fn(&Invoice) -> Result<InvoiceSums, String>,
}
