//! An installation as it was at one moment, in a directory; and another installation made of it.
//!
//! A position says how far a stage has come on the event log, and is committed after what the stage wrote there. So a copy in which
//! the database is older than the log is what a crash leaves behind, and is worked off as after one: what was written is written
//! again, and whoever has it already drops it by its origin. A database that is newer than the log would have read what is not there.
//! The moment ([`take`]) therefore has this order, after all that takes long was looked at once (what is new since is little): the writers of the database are held, its snapshot is begun, then the files are
//! listed, the lake is kept, and last the ends of the log are read. They are held until then because numbers of rows (top-ups,
//! imports, changes) are origins on the log: one that is given after the snapshot must not be on the copy of the log, or
//! it would be taken for a repetition when the copy gives it once more.
//!
//! ```text
//! backup.json   what there is, with sizes and SHA-256; written last, so a backup without it is none
//! config/       the configuration, and the files beside and below it that it names
//! database/     tollbook.db (SQLite), or postgres.dump
//! log/          a file for each topic: the records of all lanes
//! lake/ exports/ export-archive/ sftp/ outbox/ keys/
//! ```

mod config_text;
mod files;
mod log_copy;
mod named_files;
pub(crate) mod order;
mod restore;
mod take;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(crate) use self::restore::{Target, check, restore};
pub(crate) use self::take::{Sources, take};
use crate::config::Config;
use crate::failure::UserError;

/// Of this layout. A later one is refused by earlier versions.
const FORMAT: u32 = 1;

const LIST: &str = "backup.json";
const CONFIG: &str = "config";
const DATABASE: &str = "database";
const LOG: &str = "log";
const LAKE: &str = "lake";
const KEYS: &str = "keys";
const HOST_KEY: &str = "sftp_host_key";

/// What a backup is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Backup {
    /// Layout.
    format: u32,
    /// Version of the program that made it.
    program: String,
    /// Its moment.
    pub(crate) at: DateTime<Utc>,
    /// Name of the configuration file.
    config: PathBuf,
    /// `"sqlite"` or `"postgres"`.
    database: Database,
    /// The event log; absent where brokers have it.
    log: Option<LogSpans>,
    /// Files that the configuration names and that lie elsewhere: not here.
    pub(crate) left_out: Vec<PathBuf>,
    /// Files that went away or were changed while they were copied: not here, or not as they were at the moment.
    #[serde(default)]
    pub(crate) unlike: Vec<PathBuf>,
    /// All files but the list, relative to the directory.
    pub(crate) files: Vec<Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Database {
    Sqlite,
    Postgres,
}

/// Which records of the event log there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct LogSpans {
    partitions: u32,
    topics: Vec<TopicSpan>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct TopicSpan {
    topic: String,
    /// Oldest offset, and that behind the last, of each lane.
    lanes: Vec<(u64, u64)>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    path: PathBuf,
    pub(crate) bytes: u64,
    sha256: String,
}

impl Backup {
    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

impl LogSpans {
    fn n_records(&self) -> u64 {
        self.topics.iter().flat_map(|topic| &topic.lanes).map(|(first, end)| end - first).sum()
    }
}

/// Folders of an installation that are copied as they are: in the backup and below `data`, and where they are now.
fn trees(config: &Config) -> [(&'static str, &Path); 4] {
    [
        ("exports", &config.exports.dir),
        ("export-archive", &config.exports.archive),
        ("sftp", &config.sftp.exchange_dir),
        ("outbox", &config.mail.outbox_dir),
    ]
}

/// What the file system said is for the user to mend.
fn refused(action: &str, path: &Path, why: &std::io::Error) -> UserError {
    let remedy = if why.kind() == std::io::ErrorKind::StorageFull {
        "make room, and try again with an empty directory"
    } else {
        "look at the directory and at what this user may do there"
    };
    UserError::new(format!("{}: cannot {action} it: {why}", path.display()), remedy)
}
