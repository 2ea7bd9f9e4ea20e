//! The two outer forms of our records: protobuf on the bus, JSON for people.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod any;
mod compatibility;
mod json;
mod roundtrip;
mod samples;
