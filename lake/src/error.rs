//! What can go wrong in the lake.

use std::path::PathBuf;

use model::{AccountId, CdrId};

/// Why the lake could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LakeError {
    /// A value of the configuration is out of its range.
    #[error("lake.{key} is {value}; it must be at least {at_least}")]
    Config {
        /// Key in the section.
        key: &'static str,
        /// As configured.
        value: u64,
        /// The rule.
        at_least: u64,
    },
    /// Another process writes to this lake.
    #[error("{} is in use: another process writes to this lake; stop it, or open the lake read-only", dir.display())]
    InUse {
        /// The lake.
        dir: PathBuf,
    },
    /// In a bucket, where files have no second names.
    #[error(
        "{} is in a bucket: its rows are kept by the store, and a copy of the rest would not fit them; have the store keep versions, or take \
         the backup with the lake in a directory",
        place.display()
    )]
    NotOnDisk {
        /// The address of the bucket.
        place: PathBuf,
    },
    /// Opened to read.
    #[error("{} was opened read-only; rows are written by the process that runs the lake role", dir.display())]
    OpenedReadOnly {
        /// The lake.
        dir: PathBuf,
    },
    /// Nothing there.
    #[error("there is no lake in {}: {} is missing; check lake.dir, or start tollbook there once", dir.display(), manifest.display())]
    NoLake {
        /// The lake.
        dir: PathBuf,
        /// What was looked for.
        manifest: PathBuf,
    },
    /// Files but no list of them.
    #[error(
        "{} holds Parquet files, but its manifest.json is gone; restore it from a backup, or move the directory aside and replay the bus",
        dir.display()
    )]
    ManifestMissing {
        /// The lake.
        dir: PathBuf,
    },
    /// The list of files cannot be read.
    #[error("{} cannot be read: {problem}; restore it from a backup", path.display())]
    ManifestUnreadable {
        /// The manifest.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// Written by a later version of this program.
    #[error("{} has format {found}, this version reads up to {known}; use a newer tollbook", path.display())]
    ManifestTooNew {
        /// The manifest.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Rows that were committed are not there.
    #[error(
        "{} is missing: {rows} committed rows are gone; restore the file from a backup, or move the lake aside and replay the bus",
        path.display()
    )]
    FileMissing {
        /// Where it should be.
        path: PathBuf,
        /// What it held.
        rows: u64,
    },
    /// A file changed after it was committed.
    #[error("{} has {found} bytes, {expected} were committed; restore the file from a backup", path.display())]
    FileDamaged {
        /// The file.
        path: PathBuf,
        /// As committed.
        expected: u64,
        /// As found.
        found: u64,
    },
    /// The rows are in the lake already.
    #[error(
        "lane {partition} is committed up to {committed}, these rows go up to {position}: a replay; read positions() and resume there"
    )]
    Replayed {
        /// Of the bus.
        partition: u32,
        /// Of the rows handed in.
        position: u64,
        /// In the lake.
        committed: u64,
    },
    /// One lane, twice in one commit.
    #[error("lane {partition} comes twice in one commit; hand in one batch for each lane")]
    LaneTwice {
        /// Of the bus.
        partition: u32,
    },
    /// A value that a column cannot hold.
    #[error("call {cdr}: {column} cannot hold {value}; correct the record and resubmit it")]
    Unstorable {
        /// The call.
        cdr: CdrId,
        /// The column.
        column: &'static str,
        /// What it cannot hold.
        value: String,
    },
    /// Merging would have changed the number of rows; nothing was changed.
    #[error(
        "merging {files} files of {day} gave {found} rows instead of {expected}; the files were left as they are"
    )]
    MergeMiscounted {
        /// Of the files.
        day: String,
        /// How many.
        files: usize,
        /// Rows that went in.
        expected: u64,
        /// Rows that came out.
        found: u64,
    },
    /// The file system said no.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The Parquet library said no.
    #[error("cannot {action} {}: {problem}", path.display())]
    Parquet {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        problem: String,
    },
    /// Sums of two currencies have no meaning.
    #[error("account {account} has costs in {} in one period; bill each currency apart", currencies.join(" and "))]
    TwoCurrencies {
        /// Whose.
        account: AccountId,
        /// Which.
        currencies: Vec<String>,
    },
    /// The query would change something.
    #[error(
        "the lake is read-only: {statement} is not allowed; use SELECT, SHOW TABLES, DESCRIBE or EXPLAIN"
    )]
    ReadOnlySql {
        /// What it wanted.
        statement: String,
    },
    /// No such table.
    #[error("there is no table {name:?}; the tables are {}", tables.join(", "))]
    UnknownTable {
        /// As asked for.
        name: String,
        /// What there is.
        tables: Vec<String>,
    },
    /// No such column.
    #[error("there is no column {name:?}{}", suggestion(near))]
    UnknownColumn {
        /// As asked for.
        name: String,
        /// Names that look like it, most alike first.
        near: Vec<String>,
    },
    /// The query is wrong in another way.
    #[error("the query cannot be run: {message}")]
    Sql {
        /// Why.
        message: String,
    },
    /// The query needs more memory than it may have.
    #[error(
        "the query needs more than its {limit_mib} MiB of memory; ask for fewer days or columns, or aggregate first"
    )]
    QueryTooLarge {
        /// What it may have.
        limit_mib: usize,
    },
    /// The answer is larger than a terminal or a page should hold.
    #[error(
        "the result is larger than {limit_mib} MiB; add LIMIT, aggregate, or read the Parquet files directly"
    )]
    ResultTooLarge {
        /// What it may have.
        limit_mib: usize,
    },
    /// The query ran for too long.
    #[error(
        "the query ran longer than {limit:?} and was stopped; ask for fewer days or columns, or raise the time"
    )]
    QueryTooSlow {
        /// How long it may run.
        limit: std::time::Duration,
    },
    /// The files moved on during every attempt.
    #[error("the lake's files changed under the query {attempts} times; try it again")]
    Moving {
        /// How often it was tried.
        attempts: u32,
    },
    /// A value that a column of another table cannot hold.
    #[error("table {table}: {column} cannot hold {value}")]
    Unmirrored {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What it cannot hold.
        value: String,
    },
    /// Certificate or key of SQL connections.
    #[error("{}: {problem}; lake.pg_certificate and lake.pg_key are PEM files", file.display())]
    Certificate {
        /// Which file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A rule would delete calls.
    #[error("calls stay as rows, since invoices and audits count on them; let them be anonymised")]
    CallsStay,
    /// Too many numbers would be meant.
    #[error("{digits} digits are in many numbers; a person's number has at least 8")]
    NumberTooShort {
        /// How many.
        digits: usize,
    },
    /// `lake.url` or the store's address is none.
    #[error("{url} cannot be used for the lake: {problem}; lake.url is like s3://bucket/prefix")]
    Url {
        /// As configured.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// No keys in the file of keys.
    #[error("{} has no line {missing} = ... in its profile [default]", file.display())]
    Credentials {
        /// The file.
        file: PathBuf,
        /// What is not in it.
        missing: &'static str,
    },
    /// The object store does not work now.
    #[error("cannot {action} {}: {problem}", path.display())]
    Store {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        problem: String,
    },
    /// The object store says no, and will until somebody changes something.
    #[error("cannot {action} {}: {problem}", path.display())]
    StoreRefused {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Another writer has replaced the manifest.
    #[error("another process has taken {} over; nothing was committed", dir.display())]
    TakenOver {
        /// The lake.
        dir: PathBuf,
    },
    /// The store does not look at If-Match.
    #[error(
        "the object store of {} carries out a put although its condition (If-Match) does not hold: two writers would undo each other's commits; use one that supports conditional writes",
        dir.display()
    )]
    NoConditions {
        /// The lake.
        dir: PathBuf,
    },
    /// A new lake is to be made in a bucket, and there is one in the directory.
    #[error(
        "there is no lake in {} yet, and {} holds one: copy that directory into the bucket, or give lake.dir another, empty one",
        url.display(), dir.display()
    )]
    LakeElsewhere {
        /// The directory.
        dir: PathBuf,
        /// The bucket.
        url: PathBuf,
    },
    /// Our own failure.
    #[error("the lake failed: {problem}; please report this")]
    Internal {
        /// What happened.
        problem: String,
    },
}

fn suggestion(near: &[String]) -> String {
    match near {
        [] => "; DESCRIBE calls lists them all".to_owned(),
        names => format!("; did you mean {}?", names.join(", ")),
    }
}

impl LakeError {
    /// Stable, such as `"LAK012"`; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            LakeError::Config { .. } => "LAK001",
            LakeError::InUse { .. } => "LAK002",
            LakeError::OpenedReadOnly { .. } => "LAK003",
            LakeError::NoLake { .. } => "LAK004",
            LakeError::ManifestMissing { .. } => "LAK005",
            LakeError::ManifestUnreadable { .. } => "LAK006",
            LakeError::ManifestTooNew { .. } => "LAK007",
            LakeError::FileMissing { .. } => "LAK008",
            LakeError::FileDamaged { .. } => "LAK009",
            LakeError::Replayed { .. } => "LAK010",
            LakeError::LaneTwice { .. } => "LAK011",
            LakeError::Unstorable { .. } => "LAK012",
            LakeError::MergeMiscounted { .. } => "LAK013",
            LakeError::Io { .. } => "LAK014",
            LakeError::Parquet { .. } => "LAK015",
            LakeError::ReadOnlySql { .. } => "LAK016",
            LakeError::UnknownTable { .. } => "LAK017",
            LakeError::UnknownColumn { .. } => "LAK018",
            LakeError::Sql { .. } => "LAK019",
            LakeError::QueryTooLarge { .. } => "LAK020",
            LakeError::ResultTooLarge { .. } => "LAK021",
            LakeError::Moving { .. } => "LAK022",
            LakeError::Internal { .. } => "LAK023",
            LakeError::TwoCurrencies { .. } => "LAK024",
            LakeError::Unmirrored { .. } => "LAK025",
            LakeError::QueryTooSlow { .. } => "LAK026",
            LakeError::Certificate { .. } => "LAK027",
            LakeError::CallsStay => "LAK028",
            LakeError::NumberTooShort { .. } => "LAK029",
            LakeError::Url { .. } => "LAK030",
            LakeError::Credentials { .. } => "LAK031",
            LakeError::Store { .. } => "LAK032",
            LakeError::StoreRefused { .. } => "LAK033",
            LakeError::TakenOver { .. } => "LAK034",
            LakeError::NoConditions { .. } => "LAK035",
            LakeError::LakeElsewhere { .. } => "LAK036",
            LakeError::NotOnDisk { .. } => "LAK037",
        }
    }

    /// Whether the one who asked can mend it: a wrong query, a wrong key, a lake that is not there or not writable.
    pub fn is_users_input(&self) -> bool {
        use std::io::ErrorKind::{AlreadyExists, NotADirectory, PermissionDenied, ReadOnlyFilesystem};
        if let LakeError::Io { source, .. } = self {
            return matches!(
                source.kind(),
                AlreadyExists | NotADirectory | PermissionDenied | ReadOnlyFilesystem
            );
        }
        matches!(
            self,
            LakeError::Config { .. }
                | LakeError::InUse { .. }
                | LakeError::NotOnDisk { .. }
                | LakeError::NoLake { .. }
                // What is damaged or of a later version is for the operator to put back; the message says how.
                | LakeError::ManifestMissing { .. }
                | LakeError::ManifestUnreadable { .. }
                | LakeError::ManifestTooNew { .. }
                | LakeError::FileMissing { .. }
                | LakeError::FileDamaged { .. }
                | LakeError::ReadOnlySql { .. }
                | LakeError::UnknownTable { .. }
                | LakeError::UnknownColumn { .. }
                | LakeError::Sql { .. }
                | LakeError::QueryTooLarge { .. }
                | LakeError::ResultTooLarge { .. }
                | LakeError::QueryTooSlow { .. }
                | LakeError::Certificate { .. }
                | LakeError::CallsStay
                | LakeError::NumberTooShort { .. }
                | LakeError::Url { .. }
                | LakeError::Credentials { .. }
                | LakeError::Store { .. }
                | LakeError::StoreRefused { .. }
                | LakeError::TakenOver { .. }
                | LakeError::NoConditions { .. }
                | LakeError::LakeElsewhere { .. }
        )
    }
}

/// Adds what was tried, and on what, to an error of the file system.
pub(crate) trait IoContext<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, LakeError>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn at(self, action: &'static str, path: &std::path::Path) -> Result<T, LakeError> {
        self.map_err(|source| LakeError::Io { action, path: path.to_owned(), source })
    }
}
