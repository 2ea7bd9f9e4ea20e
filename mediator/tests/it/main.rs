//! The mediator from outside: events in, pictures of records out.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking, as tests do")]
#![expect(clippy::wildcard_enum_match_arm, reason = "whatever a test does not expect fails it")]

mod foreign;
mod order;
mod outcomes;
mod restart;
mod script;
mod silence;
mod suspense;
