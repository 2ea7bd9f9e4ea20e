//! Configuration of the lake.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::LakeError;
use crate::error::IoContext;
use crate::forget::{DataClass, Then};

/// Where the Parquet files are, and how they are merged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeConfig {
    /// Directory of the lake; made if it is missing. The calls are below it, in `cdrs/day=YYYY-MM-DD/part-*.parquet`.
    /// With `url` only files in the making are there. Default: `"lake"`.
    pub dir: PathBuf,
    /// Keeps the lake in a bucket of an object store that speaks S3, e.g. `"s3://bucket/prefix"`. Default: absent, in `dir`.
    pub url: Option<String>,
    /// Where that store is, and who we are there.
    pub s3: S3Config,
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

/// An object store that speaks S3. What is absent here is taken from the variables that Amazon's own tools know (`AWS_REGION`,
/// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` and the like), or from the machine's role.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct S3Config {
    /// Its address, e.g. `"https://s3.example.net"`. Default: absent, Amazon's.
    pub endpoint: Option<String>,
    /// The bucket's region. Default: absent, `AWS_REGION`, or `"us-east-1"`.
    pub region: Option<String>,
    /// Whether the bucket is the first part of the path (`https://s3.example.net/bucket`) and not of the host's name. Default: false.
    pub path_style: bool,
    /// Allows an `http://` address, for servers of one's own network. Default: false.
    pub allow_http: bool,
    /// File with the keys, as Amazon's tools write it: lines `aws_access_key_id = ...` and `aws_secret_access_key = ...`, of the
    /// profile `[default]`. Default: absent, from the environment.
    pub credentials: Option<PathBuf>,
}

/// What a file of keys says. Never shown.
pub(crate) struct Keys {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) token: Option<String>,
}

/// Reads the keys in `file`, of the profile `[default]` or of none.
///
/// # Errors
///
/// [`LakeError::Io`], and [`LakeError::Credentials`] for a file without keys.
pub(crate) fn credentials(file: &Path) -> Result<Keys, LakeError> {
    let text = std::fs::read_to_string(file).at("read", file)?;
    let mut is_ours = true;
    let (mut id, mut secret, mut token) = (None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if line.starts_with('[') {
            is_ours = line == "[default]";
        }
        let Some((key, value)) = line.split_once('=').filter(|_| is_ours) else { continue };
        let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
        match key.trim() {
            "aws_access_key_id" => id = value,
            "aws_secret_access_key" => secret = value,
            "aws_session_token" => token = value,
            _ => {}
        }
    }
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(Keys { id, secret, token }),
        (id, _) => {
            let missing = if id.is_none() { "aws_access_key_id" } else { "aws_secret_access_key" };
            Err(LakeError::Credentials { file: file.to_owned(), missing })
        }
    }
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
            url: None,
            s3: S3Config::default(),
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

    /// Where the lake is, as people are shown it: the directory, or the address of the bucket.
    pub fn place(&self) -> PathBuf {
        self.url.as_ref().map_or_else(|| self.dir.clone(), |url| PathBuf::from(url.trim_end_matches('/')))
    }
}
