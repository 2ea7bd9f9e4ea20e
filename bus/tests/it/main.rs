//! The bus, seen from outside: one contract for every log, and what only the embedded one can do.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test that cannot go on says where")]

#[cfg(feature = "kafka")]
mod broker;
mod contract;
mod crash;
mod disk;
mod embedded;
#[cfg(feature = "kafka")]
mod kafka;
