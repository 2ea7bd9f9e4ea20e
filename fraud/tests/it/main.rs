//! The fraud desk from outside: rated calls in, pictures of alerts and locks out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]
#![expect(clippy::wildcard_enum_match_arm, reason = "whatever a test does not expect fails it")]

mod backtest;
mod daily_spend;
mod limits;
mod locks;
mod restart;
mod script;
mod sightings;
mod watch;
