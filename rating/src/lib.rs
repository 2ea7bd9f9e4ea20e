//! Prices calls: tariffs, prefix lookup, peak calendars, exact money.
//!
//! In: [`model::TariffVersion`]s and CDRs. Out: what each party owes, with the evidence of how it came about, and the
//! postings that follow. Storing, sending and rounding to an invoice's cent are left to others.
//!
//! [`Tariff::compile`] turns a version into what is looked up at the speed of calls, [`price()`] prices one call for one
//! party, [`balance`] keeps what an account may use, [`RatingStage`] decides who pays and posts it, and [`workbench`] reads tariffs and calls from files.

pub mod balance;
mod charger;
mod contracts;
mod dated;
mod digit_ranges;
mod error;
mod explain;
mod fee_diff;
mod fee_index;
mod fee_leaves;
mod fragments;
mod in_order;
mod interval_price;
mod meter;
mod parties;
mod peak_calendar;
mod posted;
mod prefix_tree;
mod price;
mod quick;
mod quick_hash;
mod quote_each;
mod reference_loop;
mod reference_match;
mod repriced;
mod settle;
mod snapshot;
mod stage;
mod tariff;
pub mod workbench;

pub use charger::{Charger, Funds, Parties, Verdict};
pub use contracts::{contract_key, contract_of};
pub use dated::PortedTree;
pub use error::{RatingError, TariffError, TariffFault, word_of};
pub use explain::explain;
pub use fee_diff::{COMPARED_SECONDS, FeeChange, FeeDiff, FeeDifference, compared_prices, fee_diff};
pub use price::{CALL_SECONDS_MAX, CallToPrice, Priced, Quote, price, price_attempt, quote};
pub use quote_each::quote_each;
pub use repriced::Repriced;
pub use snapshot::RatingSnapshot;
pub use stage::{PARTIAL_KEPT_DAYS, RatingStage};
pub use tariff::Tariff;

#[cfg(test)]
mod tests;
