//! What came of something that happened to an account: movements, each of which becomes one posting, and what others have to carry out.

use chrono::{DateTime, Utc};
use model::LockLevel;
use serde::{Deserialize, Serialize};

/// Whom a movement of cash concerns, beside the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Moved {
    /// Free cash of an interval: from the grants.
    GrantCash,
    /// Free seconds of an interval.
    GrantTime,
    /// Free cash that was left at the end: back to the grants.
    ExpireCash,
    /// Free seconds that were left.
    ExpireTime,
    /// Own money that expired.
    DiscardOwn,
    /// Own money to begin with.
    InitialOwn,
    /// Money came in.
    TopUp,
    /// Kept of it.
    ServiceCharge,
    /// By hand.
    Adjustment,
    /// A call, from free cash.
    CallFreeCash,
    /// A call, from own money.
    CallOwn,
    /// A call, in free seconds.
    CallTime,
    /// What a call carries for calls out of order, from free cash.
    OrderFreeCash,
    /// As [`Moved::OrderFreeCash`], from own money.
    OrderOwn,
}

/// One change of the balance; `amount` is millionths, of time seconds, and says by how much the account's side grows: calls and
/// expiries are negative, what a call gives back is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Moved,
    /// How much.
    pub amount: i64,
}

/// Something for others to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Lock or unlock the account.
    Lock {
        /// Since when.
        at: DateTime<Utc>,
        /// How far.
        level: LockLevel,
        /// For people.
        why: &'static str,
    },
    /// Calls that start at or after `at` are priced by another set of profiles.
    Profiles {
        /// From when.
        at: DateTime<Utc>,
        /// Which.
        set: ProfileSet,
    },
}

/// A set of profiles of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileSet {
    /// After an underrun.
    Underrun,
    /// After a top-up.
    TopUp,
}

impl Happening {
    /// When it takes effect, to be moved.
    pub fn at_mut(&mut self) -> &mut DateTime<Utc> {
        match self {
            Happening::Lock { at, .. } | Happening::Profiles { at, .. } => at,
        }
    }
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// In order.
    pub movements: Vec<Movement>,
    /// In order.
    pub happenings: Vec<Happening>,
}

pub(super) fn move_if(outcome: &mut Outcome, at: DateTime<Utc>, what: Moved, amount: i64) {
    if amount != 0 {
        outcome.movements.push(Movement { at, what, amount });
    }
}
