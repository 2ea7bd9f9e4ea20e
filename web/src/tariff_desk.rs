//! What the console asks of price lists: what one would change, and the version of a profile that it makes.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures::future::BoxFuture;
use model::{ProfileId, ProfileVersionId};

/// A price list for a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeesWanted {
    /// The profile that gets a new version; all but its fees stays as it is.
    pub profile: ProfileId,
    /// The list as text: fees.csv with our header, or the reference's columns without one.
    pub list: Arc<str>,
    /// Prices calls that start at or after this; `None`: from when it is applied.
    pub valid_from: Option<DateTime<Utc>>,
    /// Fees that the list does not name stay.
    pub keep: bool,
    /// Days of calls that are priced by the new fees, to see what they do.
    pub days: u32,
    /// The version that the differences were shown against; nothing else is replaced.
    pub seen: Option<ProfileVersionId>,
}

/// What a list comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeesProposed {
    /// The version that it is compared with.
    pub base: ProfileVersionId,
    /// Fees of that.
    pub n_before: usize,
    /// Fees of the version to be.
    pub n_after: usize,
    /// Fees that stay as they are.
    pub n_same: usize,
    /// Fees that come into force later than the list.
    pub n_future: usize,
    /// The differences, by kind.
    pub changes: Vec<FeeChanges>,
    /// What they do to real calls, by level; levels without a call are absent.
    pub impacts: Vec<FeeImpact>,
}

/// Differences of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeChanges {
    /// Such as `dearer`.
    pub change: &'static str,
    /// How many.
    pub n_fees: usize,
    /// Those that move most.
    pub fees: Vec<ChangedFee>,
}

/// A difference, in words. Prices are of three minutes, on-peak and off-peak.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFee {
    /// Prefix of the number called, or `any`.
    pub destination: String,
    /// Prefix of the caller's number, or `any`.
    pub source: String,
    /// Zone and its detail.
    pub zone: String,
    /// What it costs now; empty: there is no such fee.
    pub before: String,
    /// What it will cost; empty: there will be no such fee.
    pub after: String,
}

/// What the new fees do to real calls of one level. Amounts are with their currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeImpact {
    /// `customer`, `reseller` or `carrier`.
    pub side: String,
    /// Calls looked at.
    pub n_calls: u64,
    /// Those that have no fee any more.
    pub n_unpriced: u64,
    /// What the others cost.
    pub was: String,
    /// And would cost.
    pub would_be: String,
    /// What comes on top of our margin.
    pub margin: String,
    /// It falls.
    pub is_worse: bool,
}

/// What was put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeesApplied {
    /// The version.
    pub version: ProfileVersionId,
    /// Its fees.
    pub n_fees: usize,
    /// Whether there was anything to change.
    pub is_changed: bool,
    /// When it begins.
    pub valid_from: DateTime<Utc>,
    /// Suspended calls that waited for a fee and are sent in again.
    pub n_resubmitted: usize,
}

/// What is wrong in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeFault {
    /// Counted from 1; `None`: the list as a whole.
    pub line: Option<u64>,
    /// The rule it breaks, and what to do.
    pub said: String,
}

/// Why nothing comes of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FeesRefused {
    /// What is wrong in it.
    Faults {
        /// The first of them, as people read them.
        said: String,
        /// All.
        faults: Vec<FeeFault>,
    },
    /// What is wrong with it, and what would be right.
    Invalid(String),
    /// Another version than the one it was compared with is in force by now.
    Stale(String),
    /// Our own failure.
    Failed(String),
}

/// What a list would change.
pub type ProposeFees =
    dyn Fn(FeesWanted) -> BoxFuture<'static, Result<FeesProposed, FeesRefused>> + Send + Sync;

/// Puts a list in force, in the name of somebody, and makes that known.
pub type ApplyFees =
    dyn Fn(FeesWanted, String) -> BoxFuture<'static, Result<FeesApplied, FeesRefused>> + Send + Sync;

/// Price lists, as the binary knows them.
pub struct TariffDesk {
    /// What one would change.
    pub propose: Arc<ProposeFees>,
    /// Makes it the next version.
    pub apply: Arc<ApplyFees>,
}
