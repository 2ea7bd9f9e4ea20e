//! What the console asks of balances: what an account has, how that came about, and a statement as a document.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use model::{AccountId, CdrId, Held, Statement};
use rust_decimal::Decimal;

/// What an account has at some time, and what it was given and used in the interval that this time is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BalanceSheet {
    /// `prepaid`, `postpaid`, or that no balance is kept for it.
    pub kind: &'static str,
    /// When the interval began; `None`: that is not known, and everything ever posted is counted.
    pub begins: Option<DateTime<Utc>>,
    /// When it ends, if it is known to end.
    pub end: IntervalEnd,
    /// Granted in it.
    pub given: Held,
    /// Moved by its calls: what they took is below 0.
    pub used: Held,
    /// What there is.
    pub left: Held,
    /// How far the balance may go below 0; `None`: without limit.
    pub credit_limit: Option<Decimal>,
    /// The latest calls of the interval, oldest first, each with what it moved.
    pub calls: Vec<(CdrId, DateTime<Utc>, Held)>,
    /// Calls of the interval in all.
    pub n_calls: usize,
}

/// When an interval ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IntervalEnd {
    /// Nobody knows any more.
    #[default]
    Unknown,
    /// Then.
    At(DateTime<Utc>),
    /// Whenever the account is topped up.
    NextTopUp,
}

/// What an account has at some time, or why that cannot be told.
pub type FetchSheet =
    dyn Fn(AccountId, DateTime<Utc>) -> BoxFuture<'static, Result<BalanceSheet, String>> + Send + Sync;

/// A statement of an account as PDF, or why there is none.
pub type RenderStatement =
    dyn Fn(AccountId, Statement) -> BoxFuture<'static, Result<Vec<u8>, String>> + Send + Sync;

/// Balances, as the binary knows them.
pub struct BalanceDesk {
    /// What an account has.
    pub sheet: Arc<FetchSheet>,
    /// A statement to be printed.
    pub statement_pdf: Arc<RenderStatement>,
}
