//! Whole-system tests, one binary. The program under test is the built one, its peers are real: sipp, OpenSSH, pdftotext, a plain
//! reader of Parquet.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking and talk to whoever runs them"
)]

mod bad_input;
mod billing;
mod console;
mod crash;
mod edrs;
mod floor_plan;
mod imports;
mod kills;
mod price_lists;
mod rerate;
mod rig;
mod routes;
mod sipp_call;
