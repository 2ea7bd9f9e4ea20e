//! What the console asks of the fraud rules: which are in force, what a text would be, what it would have done.

use std::sync::Arc;

use chrono::NaiveDate;
use futures::future::BoxFuture;
use model::Directory;

/// A rule in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInForce {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u32,
    /// What it means when it fires.
    pub title: String,
    /// For whom it counts.
    pub key: String,
    /// How far back it looks.
    pub window: String,
    /// What it does, in words.
    pub does: String,
    /// Whether it was saved at the console or the command line, and not configured or delivered.
    pub is_saved: bool,
}

/// A text that is a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedRule {
    /// Its name.
    pub name: String,
    /// The version that its author wrote.
    pub version: u32,
    /// What it does, in words.
    pub does: String,
}

/// What a rule would have done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BacktestOutcome {
    /// Calls read, those that it learned from among them.
    pub n_read: u64,
    /// Of these looked at.
    pub n_calls: u64,
    /// Calls that would have been refused or cut, and what those cost.
    pub n_blocked: u64,
    /// That.
    pub saved: String,
    /// Incidents.
    pub n_incidents: usize,
    /// The first of these: when (UTC), whom, what was measured.
    pub incidents: Vec<(String, String, String)>,
    /// Locks.
    pub n_locks: usize,
    /// The first of these: when (UTC), whom, calls stopped, and what alerts of the account were judged.
    pub locks: Vec<(String, String, u64, String)>,
    /// Those of `locks` whose accounts' alerts were judged clean.
    pub n_false: usize,
}

/// Runs a text over the calls of some days; what is wrong with either is told in words.
pub type RunBacktest =
    dyn Fn(String, NaiveDate, NaiveDate) -> BoxFuture<'static, Result<BacktestOutcome, String>> + Send + Sync;

/// The rules that are in force.
pub type ListRules = dyn Fn(&Directory) -> Vec<RuleInForce> + Send + Sync;

/// The text of the rule of a name, as it is in force or was delivered.
pub type FindText = dyn Fn(&Directory, &str) -> Option<String> + Send + Sync;

/// The rules, as the binary knows them.
pub struct RuleDesk {
    /// Those in force.
    pub in_force: Arc<ListRules>,
    /// The text of one.
    pub text_of: Arc<FindText>,
    /// Reads a text; what is wrong, with its line, and what to do.
    pub check: fn(&str) -> Result<CheckedRule, String>,
    /// Tries a text.
    pub backtest: Arc<RunBacktest>,
}
