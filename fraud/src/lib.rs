//! The fraud desk has two halves. The watch ([`watch`]) looks at the events of calls as they come, by rules ([`rule`]). The spend
//! limits ([`FraudDesk`]) look at what calls cost.
//!
//! Spend limits: adds up what each account spends and locks it when a limit is reached.
//!
//! In: rated calls and accruals of one lane, the time of the log, and snapshots of the provisioning data for limits, zones and
//! locks. Out: alerts with the calls that showed it, locks, and messages on the control topic. Carrying locks out is the switch's
//! work, mailing `notify`'s, keeping both the runner's.
//!
//! Two limits, [`DAILY_SPEND`] and [`INTERVAL_SPEND`], each of the account or else of its profile. What counts for them:
//!
//! * The customer-level charge of the originating side: what remains to be paid and what balance or free cash covered. The
//!   reference leaves the latter out (billing-reference 6.3), so that a prepaid thief never meets a limit; `compat = "reference"`
//!   does as it does. At the reseller's price, what the reseller pays for those calls.
//! * What calls in progress have cost so far, estimated, until they are rated: the reference waits for the first of them to end.
//! * On the day, in the account's zone, on which the call ended: its start plus its duration, up to the next whole second,
//!   as in the reference.
//! * Only the highest revision of each record; a superseding one adds the difference, or moves the call to another day.

pub mod backtest;
mod barred;
mod day;
mod desk;
mod error;
mod locking;
mod period;
pub mod rule;
pub mod simulate;
mod state;
pub mod watch;

pub use desk::FraudDesk;
pub use error::FraudError;

/// The limit on what an account spends in one of its days.
pub const DAILY_SPEND: &str = "daily_spend";

/// The limit on what an account spends in one of its billing intervals.
pub const INTERVAL_SPEND: &str = "interval_spend";
