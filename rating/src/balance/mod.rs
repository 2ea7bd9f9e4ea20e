//! Contract balances: billing intervals, grants, carry-over, packages, top-ups.
//!
//! In: calls as priced, top-ups, the passing of time. Out: movements that become postings. Storing them is the ledger's, holding calls
//! to what there is is the charging service's. An account with several subscribers is their pool: they share its time and cash.

mod cadence;
mod contract;
mod movement;
mod order;
mod rules;
#[cfg(test)]
mod tests;

pub use cadence::{Cadence, MonthArithmetic, Stretch, later};
pub use contract::{Contract, Due, Grant, Interval, Taken, Usage};
pub(crate) use contract::{Quick, Words};
pub use movement::{Happening, Moved, Movement, Outcome, ProfileSet};
pub(crate) use order::{Shift, Stated};
pub use rules::Rules;
