//! What can go wrong in the store, each with what to try.

use std::path::PathBuf;

use chrono::{DateTime, Utc};
use model::{MoneyError, PostingId};

/// An error of the store. Open errors name the file and the remedy; the others name the row.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Neither SQLite nor PostgreSQL.
    #[error(
        "store url {url:?}: unknown scheme; use sqlite:///path/to/tollbook.db or postgres://user@host/database"
    )]
    UnknownScheme {
        /// As given, without a password.
        url: String,
    },
    /// The file begins with something else.
    #[error(
        "{file}: not a SQLite database (it does not begin with \"SQLite format 3\"); \
         restore it from a backup, or name another file in store.url", file = file.display()
    )]
    NotADatabase {
        /// Which file.
        file: PathBuf,
    },
    /// Shorter than its own header says.
    #[error(
        "{file}: the database is truncated ({found_bytes} of {expected_bytes} bytes); restore it from a backup",
        file = file.display()
    )]
    Truncated {
        /// Which file.
        file: PathBuf,
        /// By its header.
        expected_bytes: u64,
        /// On disk.
        found_bytes: u64,
    },
    /// No byte in it.
    #[error(
        "{file}: the database file is empty; restore it from a backup, or delete the file to begin a new database",
        file = file.display()
    )]
    Empty {
        /// Which file.
        file: PathBuf,
    },
    /// SQLite found its pages damaged.
    #[error("{place}: the database is damaged ({detail}); restore it from a backup")]
    Damaged {
        /// Which database.
        place: String,
        /// In the database's words.
        detail: String,
    },
    /// Another process holds it.
    #[error(
        "{place}: locked by another process for more than 5 seconds; stop that process (lsof {place} names it) and try again"
    )]
    Locked {
        /// Which database.
        place: String,
    },
    /// The directory is missing or may not be written.
    #[error("{file}: cannot be created or written ({reason}); create the directory {directory} and let this user write to it", file = file.display(), directory = directory.display())]
    Unwritable {
        /// Which file.
        file: PathBuf,
        /// Where.
        directory: PathBuf,
        /// In the system's words.
        reason: String,
    },
    /// No disk left.
    #[error("{place}: the disk is full; free space and try again, nothing was written")]
    DiskFull {
        /// Which database.
        place: String,
    },
    /// The server does not answer, or refuses us.
    #[error(
        "{url}: cannot connect ({reason}); check host, port, user and password in store.url and that the server runs"
    )]
    Connect {
        /// Without its password.
        url: String,
        /// In the driver's words.
        reason: String,
    },
    /// A later program has been here.
    #[error(
        "{place}: its schema is version {found}, this program knows {known} at most; \
         run the newer tollbook, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// Which database.
        place: String,
        /// Found there.
        found: i64,
        /// The newest we know.
        known: i64,
    },
    /// An applied migration is not the one we have.
    #[error(
        "{place}: schema version {version} is not the one this program made; use the tollbook that created it"
    )]
    ForeignSchema {
        /// Which database.
        place: String,
        /// Which version.
        version: i64,
    },
    /// A schema change failed.
    #[error("{place}: cannot bring the schema up to date ({reason}); nothing was changed")]
    Migration {
        /// Which database.
        place: String,
        /// In the driver's words.
        reason: String,
    },
    /// Somebody else moved this lane: we are not its owner any more.
    #[error(
        "lane {stage}/{partition}: expected at position {expected}, but it has moved; \
         another process owns it now, nothing was written"
    )]
    LaneMoved {
        /// Which stage.
        stage: String,
        /// Which partition.
        partition: u32,
        /// Where we thought it was.
        expected: u64,
    },
    /// Another process has claimed the lane.
    #[error("lane {stage}/{partition}: another process has claimed it; nothing was written")]
    Fenced {
        /// Which stage.
        stage: String,
        /// Which partition.
        partition: u32,
    },
    /// The id is taken by something else.
    #[error("posting {id} exists with other content; a posting never changes, post a reversal and a new one")]
    PostingConflict {
        /// Which.
        id: PostingId,
    },
    /// A name that names nothing.
    #[error("{object} names {kind} {name:?}, which does not exist; add it, or correct the name")]
    UnknownReference {
        /// Whose reference, such as `account "acme"`.
        object: String,
        /// What it should be, such as `tenant`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A provisioned object breaks a rule.
    #[error("{object}: {rule}")]
    Invalid {
        /// Which object.
        object: String,
        /// The rule, and what to try.
        rule: String,
    },
    /// A tariff version cannot be changed.
    #[error(
        "profile {profile:?} already has another version valid from {valid_from}; \
         versions never change, give the new one a later valid_from"
    )]
    VersionExists {
        /// Handle of the profile.
        profile: String,
        /// From when.
        valid_from: DateTime<Utc>,
    },
    /// An amount the ledger cannot keep.
    #[error("{object}: {source}; amounts have at most 6 decimals")]
    Amount {
        /// Whose.
        object: String,
        /// Why.
        source: MoneyError,
    },
    /// A number beyond what the database keeps.
    #[error("{what} {value} is beyond 63 bits")]
    TooLarge {
        /// What it is.
        what: &'static str,
        /// The value.
        value: u64,
    },
    /// A program of PostgreSQL's, which copies databases, was not there or failed.
    #[error(
        "{tool}: {reason}; it comes with PostgreSQL's client programs (Debian: postgresql-client), of the server's version or later"
    )]
    Tool {
        /// Its name.
        tool: &'static str,
        /// In its own words, or the system's.
        reason: String,
    },
    /// A copy is not put over anything.
    #[error("{place}: holds tables already; name an empty database, nothing was changed in this one")]
    Occupied {
        /// Which database.
        place: String,
    },
    /// A stored word or number that this version does not know.
    #[error(
        "column {column} holds {found:?}, which this version cannot read; use the tollbook version that wrote it"
    )]
    Unreadable {
        /// Which column.
        column: String,
        /// What is there.
        found: String,
    },
    /// No such row.
    #[error("there is no {what} {name}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// By which name.
        name: String,
    },
    /// The name is taken.
    #[error("{what} {name:?} exists already; choose another name")]
    Taken {
        /// What it is.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// Anything else the database said.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Stable, explained in `docs/errors.md`.
    pub const fn code(&self) -> &'static str {
        match self {
            StoreError::UnknownScheme { .. } => "STO001",
            StoreError::NotADatabase { .. } => "STO002",
            StoreError::Truncated { .. } => "STO003",
            StoreError::Empty { .. } => "STO004",
            StoreError::Damaged { .. } => "STO005",
            StoreError::Locked { .. } => "STO006",
            StoreError::Unwritable { .. } => "STO007",
            StoreError::DiskFull { .. } => "STO008",
            StoreError::Connect { .. } => "STO009",
            StoreError::NewerSchema { .. } => "STO010",
            StoreError::ForeignSchema { .. } => "STO011",
            StoreError::Migration { .. } => "STO012",
            StoreError::LaneMoved { .. } => "STO013",
            StoreError::PostingConflict { .. } => "STO014",
            StoreError::UnknownReference { .. } => "STO015",
            StoreError::Invalid { .. } => "STO016",
            StoreError::VersionExists { .. } => "STO017",
            StoreError::Amount { .. } => "STO018",
            StoreError::TooLarge { .. } => "STO019",
            StoreError::Unreadable { .. } => "STO020",
            StoreError::NotFound { .. } => "STO021",
            StoreError::Taken { .. } => "STO022",
            StoreError::Database(_) => "STO023",
            StoreError::Fenced { .. } => "STO024",
            StoreError::Tool { .. } => "STO025",
            StoreError::Occupied { .. } => "STO026",
        }
    }

    /// Whether the database refuses what it was handed, now and always, so that trying again is no use: a rule of a table
    /// broken, an amount or a text it cannot keep. Not so for all that concerns the database itself.
    pub fn is_of_the_record(&self) -> bool {
        match self {
            StoreError::PostingConflict { .. } | StoreError::Amount { .. } | StoreError::TooLarge { .. } => {
                true
            }
            StoreError::Database(sqlx::Error::Database(inner)) => {
                !matches!(inner.kind(), sqlx::error::ErrorKind::Other)
                    // Class 22 of PostgreSQL: data exceptions, such as a text with a zero byte.
                    || inner.code().is_some_and(|code| code.len() == 5 && code.starts_with("22"))
            }
            StoreError::UnknownScheme { .. }
            | StoreError::NotADatabase { .. }
            | StoreError::Truncated { .. }
            | StoreError::Empty { .. }
            | StoreError::Damaged { .. }
            | StoreError::Locked { .. }
            | StoreError::Unwritable { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Connect { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::ForeignSchema { .. }
            | StoreError::Migration { .. }
            | StoreError::LaneMoved { .. }
            | StoreError::Fenced { .. }
            | StoreError::UnknownReference { .. }
            | StoreError::Invalid { .. }
            | StoreError::VersionExists { .. }
            | StoreError::Unreadable { .. }
            | StoreError::NotFound { .. }
            | StoreError::Taken { .. }
            | StoreError::Tool { .. }
            | StoreError::Occupied { .. }
            | StoreError::Database(_) => false,
        }
    }

    /// Whether the same would be taken if it were said again at once: two transactions met (PostgreSQL's classes 40001 and 40P01).
    pub(crate) fn is_of_the_moment(&self) -> bool {
        let StoreError::Database(sqlx::Error::Database(inner)) = self else { return false };
        inner.code().is_some_and(|code| matches!(&*code, "40001" | "40P01"))
    }

    /// Whether it is for the user to mend (exit code 2), not for us.
    pub const fn is_users(&self) -> bool {
        match self {
            StoreError::UnknownScheme { .. }
            | StoreError::NotADatabase { .. }
            | StoreError::Truncated { .. }
            | StoreError::Empty { .. }
            | StoreError::Damaged { .. }
            | StoreError::Locked { .. }
            | StoreError::Unwritable { .. }
            | StoreError::DiskFull { .. }
            | StoreError::Connect { .. }
            | StoreError::NewerSchema { .. }
            | StoreError::ForeignSchema { .. }
            | StoreError::UnknownReference { .. }
            | StoreError::Invalid { .. }
            | StoreError::VersionExists { .. }
            | StoreError::NotFound { .. }
            | StoreError::Taken { .. }
            | StoreError::Tool { .. }
            | StoreError::Occupied { .. } => true,
            StoreError::Migration { .. }
            | StoreError::LaneMoved { .. }
            | StoreError::Fenced { .. }
            | StoreError::PostingConflict { .. }
            | StoreError::Amount { .. }
            | StoreError::TooLarge { .. }
            | StoreError::Unreadable { .. }
            | StoreError::Database(_) => false,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // In the middle of a transaction too, what SQLite says of a full disk or a damaged file has its remedy
        // (sqlite.org/rescode.html; PostgreSQL's codes have five characters).
        if let sqlx::Error::Database(inner) = &error
            && let Some(code) = inner.code().filter(|code| code.len() < 5)
        {
            let place = "the database".to_owned();
            match code.parse::<u32>().map(|code| code & 0xff) {
                Ok(11) => return StoreError::Damaged { place, detail: inner.message().to_owned() },
                Ok(13) => return StoreError::DiskFull { place },
                Ok(_) | Err(_) => {}
            }
        }
        StoreError::Database(error)
    }
}
