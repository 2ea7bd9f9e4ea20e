//! Whole-system tests, one binary. The program under test is the built one, its peers are real: sipp, OpenSSH, pdftotext, a plain
//! reader of Parquet.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests fail by panicking and talk to whoever runs them"
)]

mod advice;
mod audit_log;
mod bad_input;
mod balances;
mod baresip;
mod barrings;
mod before_the_answer;
mod billing;
#[expect(
    dead_code,
    clippy::print_stdout,
    reason = "the bus's own tests use more of it, and say what they start"
)]
#[path = "../../../bus/tests/it/broker.rs"]
mod broker;
mod console;
mod crash;
mod cut_link;
mod desk;
mod edrs;
mod floor_plan;
mod fraud_desk;
#[path = "../../../lake/tests/it/gateway.rs"]
mod gateway;
mod imports;
mod kafka_house;
mod kills;
mod lake_in_a_bucket;
mod late_end;
mod machines;
mod mail_words;
mod named_trunks;
mod postgres;
mod prepaid;
mod price_lists;
mod rerate;
mod rig;
mod routes;
mod sip_families;
mod sipp_call;
mod sql_wire;
mod tariffs;
