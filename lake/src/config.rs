//! Configuration of the lake.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::forget::{DataClass, Then};

/// Where the Parquet files are, and how they are merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// Directory of the lake; made if it is missing. The calls are below it, in `cdrs/day=YYYY-MM-DD/part-*.parquet`.
    /// Default: `"lake"`.
    pub dir: PathBuf,
    /// So many files of one day and about one size are merged into one; at least 2. A smaller number makes fewer files and
    /// writes each row more often. Default: 8.
    pub compact_files_min: usize,
    /// Rows of a file that is large enough and not merged again; at least 1. Default: 1 000 000.
    pub target_rows: u64,
    /// How long a file stays in `retired/` after it was merged into another, for readers that still hold it, e.g. `"15m"`.
    /// Default: `"15m"`.
    #[serde(with = "humantime_serde")]
    pub retired_keep: Duration,
    /// Memory that all queries of one process together may hold, in MiB, at least 16; beyond it they spill to disk, and then fail.
    /// Default: 512.
    pub query_memory_mib: usize,
    /// Size of one query's result in memory, in MiB, at least 1. Default: 256.
    pub query_result_mib: usize,
    /// How long a query of a person may run, e.g. `"5m"`; then it is stopped. Default: `"5m"`.
    #[serde(with = "humantime_serde")]
    pub query_timeout: Duration,
    /// Address where SQL clients connect by PostgreSQL's protocol, e.g. `"127.0.0.1:5432"`, with the console's names and passwords.
    /// Default: absent, nobody does.
    pub pg_listen: Option<SocketAddr>,
    /// PEM file of the certificate that they are shown, with its chain. Without one only clients on this machine can sign in.
    /// Default: absent.
    pub pg_certificate: Option<PathBuf>,
    /// PEM file of its key. Default: absent.
    pub pg_key: Option<PathBuf>,
    /// Their connections at once, at least 1; each may hold a result of `query_result_mib`. Default: 20.
    pub pg_connections_max: usize,
    /// How long numbers are kept, for each class of data and tenant. Default: none, for ever.
    pub retention: Vec<RetentionConfig>,
}

/// One rule of retention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionConfig {
    /// `"calls"` or `"events"`.
    pub class: DataClass,
    /// Handle of the tenant whose rows are meant. Default: absent, those of all.
    #[serde(default)]
    pub tenant: Option<String>,
    /// Days from a call's start, or an event, on; at least 1.
    pub days: u32,
    /// `"anonymise"`: numbers lose all but their first four digits; `"delete"`: the row goes, of events alone. Default: `"anonymise"`.
    #[serde(default = "anonymise")]
    pub then: Then,
}

fn anonymise() -> Then {
    Then::Anonymise
}

impl Default for LakeConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("lake"),
            compact_files_min: 8,
            target_rows: 1_000_000,
            retired_keep: Duration::from_secs(15 * 60),
            query_memory_mib: 512,
            query_result_mib: 256,
            query_timeout: Duration::from_secs(5 * 60),
            pg_listen: None,
            pg_certificate: None,
            pg_key: None,
            pg_connections_max: 20,
            retention: Vec::new(),
        }
    }
}

impl LakeConfig {
    /// The defaults, in `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), ..Self::default() }
    }
}
