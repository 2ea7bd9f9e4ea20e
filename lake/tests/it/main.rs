//! Tests of the lake through its public face, on real files. One binary: each one links DataFusion.

#![expect(clippy::unwrap_used, reason = "clippy knows tests by their attribute, and not their helpers")]

mod access;
mod commit;
mod compaction;
mod crash;
mod documentation;
mod forget;
mod gateway;
mod kept_calls;
mod limits;
mod past_calls;
mod s3;
mod saved;
mod sql;
mod steps;
mod superseded;
mod tables;
mod usage;
mod wire;
mod world;
