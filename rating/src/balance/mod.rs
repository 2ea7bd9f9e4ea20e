//! Contract balances: billing intervals, grants, carry-over, packages, top-ups.
//!
//! In: calls as priced, top-ups, the passing of time. Out: movements that become postings. Storing them is the ledger's, holding calls
//! to what there is is the charging service's. An account with several subscribers is their pool: they share its time and cash.

mod cadence;
mod contract;
mod order;
#[cfg(test)]
mod tests;

pub use cadence::{Cadence, MonthArithmetic, Stretch, later};
pub use contract::{
    Contract, Due, Grant, Happening, Interval, Moved, Movement, Outcome, ProfileSet, Rules, Taken, Usage,
};
pub(crate) use contract::{Quick, Words};
pub(crate) use order::{Shift, Stated};
