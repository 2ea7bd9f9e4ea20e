//! Builds CDRs and EDRs from the events of the switch.
//!
//! In: [`model::CallEvent`]s of one lane, of any age and order, some twice; and the time of the log. Out: one closed record for
//! each leg of a call, superseding revisions when a late event changes one, partial records for calls that never end, and
//! EDRs. What contradicts itself is suspended. Pricing is `rating`'s work; reading, appending and committing the runner's.
//!
//! Conventions with the switch:
//!
//! * Each leg ends with its own `Rejected` or `End`, also leg 0 of a call that was forwarded.
//! * A forwarded leg has its own `Attempt`, or the `Forwarded` that opened it and the parent's `Attempt` lie in the same
//!   lane; then its source is the forwarder, at the number that the parent called.

mod call;
mod config;
mod edr;
mod error;
pub mod foreign;
mod gist;
mod held;
mod mediator;
mod numbered;
mod packed;
mod record;
mod state_log;
mod timetable;

pub use config::MediatorConfig;
pub use error::MediationError;
pub use gist::LOG_KEPT;
pub use mediator::{Mediator, OpenCall, has_open_calls, open_calls};
