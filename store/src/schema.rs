//! Opening a database: the checks before it is trusted, its schema, its connections.
//!
//! SQLite: write-ahead log, every commit synced, one connection that writes and a few that read, so that writers queue
//! here instead of failing there. PostgreSQL: one pool.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolConnection;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Connection, Executor, SqlSafeStr, Transaction};
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::info;

use crate::file_writer::FileWriter;
use crate::long_tables::LongFile;
use crate::revision::Server;
use crate::tariffs::KnownLists;
use crate::{Result, StoreError};

/// Every schema change ever shipped, in order. One that was shipped is never edited.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (20, "export_streams", include_str!("../migrations/0020_export_streams.sql")),
    (21, "sftp_trail", include_str!("../migrations/0021_sftp_trail.sql")),
    (30, "imports", include_str!("../migrations/0030_imports.sql")),
    (31, "suspense_fixed", include_str!("../migrations/0031_suspense_fixed.sql")),
    (40, "calling_rules", include_str!("../migrations/0040_calling_rules.sql")),
    (50, "fraud_desk", include_str!("../migrations/0050_fraud_desk.sql")),
    (60, "invoicing", include_str!("../migrations/0060_invoicing.sql")),
    (61, "documents_of_account", include_str!("../migrations/0061_documents_of_account.sql")),
    (70, "api_tokens", include_str!("../migrations/0070_api_tokens.sql")),
    (80, "edrs", include_str!("../migrations/0080_edrs.sql")),
    (90, "pricing_terms", include_str!("../migrations/0090_pricing_terms.sql")),
    (100, "stream_positions", include_str!("../migrations/0100_stream_positions.sql")),
    (101, "exchange_inbox", include_str!("../migrations/0101_exchange_inbox.sql")),
    (102, "edr_files", include_str!("../migrations/0102_edr_files.sql")),
    (110, "contracts", include_str!("../migrations/0110_contracts.sql")),
    (120, "processes", include_str!("../migrations/0120_processes.sql")),
    (130, "fee_lists", include_str!("../migrations/0130_fee_lists.sql")),
    (160, "barrings", include_str!("../migrations/0160_barrings.sql")),
    (170, "export_ranges", include_str!("../migrations/0170_export_ranges.sql")),
    (180, "webhooks", include_str!("../migrations/0180_webhooks.sql")),
    (181, "fraud_rules", include_str!("../migrations/0181_fraud_rules.sql")),
    (190, "case_work", include_str!("../migrations/0190_case_work.sql")),
    (210, "interval_prices", include_str!("../migrations/0210_interval_prices.sql")),
    (211, "locks_behind", include_str!("../migrations/0211_locks_behind.sql")),
    (220, "dropped_calls", include_str!("../migrations/0220_dropped_calls.sql")),
    (229, "postings_by_time", include_str!("../migrations/0229_postings_by_time.sql")),
    (237, "history_of_objects", include_str!("../migrations/0237_history_of_objects.sql")),
    (238, "idempotency_keys", include_str!("../migrations/0238_idempotency_keys.sql")),
    (243, "user_tenants", include_str!("../migrations/0243_user_tenants.sql")),
    (244, "lake_duties", include_str!("../migrations/0244_lake_duties.sql")),
    (247, "source_bans", include_str!("../migrations/0247_source_bans.sql")),
    (251, "mail_templates", include_str!("../migrations/0251_mail_templates.sql")),
    (252, "download_links", include_str!("../migrations/0252_download_links.sql")),
    (253, "webhook_kinds", include_str!("../migrations/0253_webhook_kinds.sql")),
    (254, "pipeline_questions", include_str!("../migrations/0254_pipeline_questions.sql")),
    (255, "balances_told", include_str!("../migrations/0255_balances_told.sql")),
    (264, "backup_orders", include_str!("../migrations/0264_backup_orders.sql")),
    (265, "restore_hold", include_str!("../migrations/0265_restore_hold.sql")),
    (270, "second_factors", include_str!("../migrations/0270_second_factors.sql")),
    (271, "topup_reasons", include_str!("../migrations/0271_topup_reasons.sql")),
    (272, "user_accounts", include_str!("../migrations/0272_user_accounts.sql")),
    (273, "second_factor_drafts", include_str!("../migrations/0273_second_factor_drafts.sql")),
    (274, "invoices_by_number", include_str!("../migrations/0274_invoices_by_number.sql")),
    (280, "mail_successions", include_str!("../migrations/0280_mail_successions.sql")),
];

/// How every connection to a file is set up (SQLite).
const EVERY: &[&str] =
    &["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA foreign_keys = ON"];
/// What a statement of many rows may have to take back is kept in memory, not in a file: it touches few pages.
const IN_MEMORY: &str = "PRAGMA temp_store = MEMORY";
/// 128 MiB of log before it is copied into the file: pages that every transaction changes are copied less often.
const CHECKPOINT: &str = "PRAGMA wal_autocheckpoint = 32768";
/// How the connection of the driver is set up that writes: 24 MiB of pages at most.
const WRITER: &[&str] = &[IN_MEMORY, CHECKPOINT, "PRAGMA cache_size = -24576"];
/// How the connection is set up that commits lanes. 96 MiB at most: the pages that a large transaction changes stay in memory until it is
/// committed, and those of tables of which each commit changes some here and some there.
const LANE_WRITER: &[&str] = &[IN_MEMORY, CHECKPOINT, "PRAGMA cache_size = -98304"];
/// Connections that read while one writes (SQLite).
const SQLITE_READERS_MAX: u32 = 4;
/// Connections to a server.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;
/// Those who read with several connections, at a time: half of the connections to a server, and less.
const MUCH_READ_AT_ONCE: usize = 2;
/// How long a caller queues for a connection: longer than the longest import.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often it is looked whether another process is done with the schema: as long as the longest migration takes, and more.
const MIGRATION_TURN_TRIES: u32 = 6_000;
/// Between two looks.
const MIGRATION_TURN_PAUSE: Duration = Duration::from_millis(100);
/// How long a server may take to answer the first time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// First bytes of every SQLite file.
const SQLITE_MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A handle to the database; clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    writers: AnyPool,
    readers: AnyPool,
    dialect: Dialect,
    /// Each who reads much takes several connections, and waits for them with some in hand: no more at a time than there are for.
    much_read: Arc<Semaphore>,
    /// Of SQLite: for those who read much.
    file: Option<Arc<LongFile>>,
    /// Of SQLite: for lanes.
    file_writer: Option<Arc<FileWriter>>,
    /// Of PostgreSQL: for those who listen.
    server: Option<Server>,
    /// The file, or the server without its password.
    place: Arc<Path>,
    pub(crate) fee_lists: Arc<KnownLists>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Sqlite,
    Postgres,
}

impl Store {
    /// Opens the database at `url`, creates it if it is a SQLite file that does not exist, and brings its schema up to date.
    ///
    /// `sqlite:///var/lib/tollbook/tollbook.db` (the path is taken as it is) or `postgres://user@host/database`.
    ///
    /// # Errors
    ///
    /// Each names the file or server and what to try: a truncated, empty, damaged or foreign file, a missing or read-only
    /// directory, a database locked by another process, an unreachable server, a schema of a later version.
    pub async fn open(url: &str) -> Result<Store> {
        sqlx::any::install_default_drivers();
        if let Some(path) = url.strip_prefix("sqlite://") {
            return open_sqlite(Path::new(path)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return open_postgres(url).await;
        }
        Err(StoreError::UnknownScheme { url: without_password(url) })
    }

    /// Ends all connections, after what they are doing.
    pub async fn close(&self) {
        if let Some(file) = &self.file {
            file.close();
        }
        self.writers.close().await;
        if let Some(writer) = &self.file_writer {
            writer.close();
        }
        self.readers.close().await;
    }

    /// The file, or the server without its password.
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Whether it is a server.
    pub(crate) fn is_postgres(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    /// Leave to read with several connections, as long as it is held.
    pub(crate) async fn much_read(&self) -> SemaphorePermit<'_> {
        self.much_read.acquire().await.expect("it is never closed")
    }

    /// The server, where it is one.
    pub(crate) fn server(&self) -> Option<&Server> {
        self.server.as_ref()
    }

    /// The file, where it is one.
    pub(crate) fn file(&self) -> Option<&Arc<LongFile>> {
        self.file.as_ref()
    }

    /// Who commits lanes into the file, where it is one, and the turn to write.
    pub(crate) async fn file_writer(&self) -> Result<Option<(&Arc<FileWriter>, PoolConnection<Any>)>> {
        let Some(writer) = &self.file_writer else { return Ok(None) };
        let turn = self.writers.acquire().await;
        Ok(Some((writer, turn.map_err(|error| sqlite_error(&self.place, error.into()))?)))
    }

    /// A transaction that may write. Dropped without a commit, it leaves nothing behind.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Any>> {
        match self.dialect {
            // Takes the write lock at once: a transaction that reads first and writes later can fail in between.
            Dialect::Sqlite => {
                let begun = self.writers.begin_with("BEGIN IMMEDIATE").await;
                begun.map_err(|error| sqlite_error(&self.place, error.into()))
            }
            Dialect::Postgres => Ok(self.writers.begin_with("BEGIN").await?),
        }
    }

    /// A transaction that sees one state of the whole database.
    pub(crate) async fn read(&self) -> Result<Transaction<'static, Any>> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(self.readers.begin_with(begin).await?)
    }
}

async fn open_sqlite(file: &Path) -> Result<Store> {
    check_sqlite_file(file)?;
    let named = |error| sqlite_error(file, error);
    probe_sqlite(file).await.map_err(named)?;
    let writers = sqlite_pool(file, 1, WRITER).await.map_err(named)?;
    let turn = migration_turn(file).await?;
    migrate(&writers, Dialect::Sqlite, &file.display().to_string()).await.map_err(named)?;
    drop(turn);
    let readers = sqlite_pool(file, SQLITE_READERS_MAX, &[]).await.map_err(named)?;
    info!(file = %file.display(), "database opened");
    let place: Arc<Path> = file.into();
    let file = Some(Arc::new(LongFile::new(place.clone())));
    let file_writer = Some(Arc::new(FileWriter::new(place.clone(), &[EVERY, LANE_WRITER])));
    let much_read = Arc::new(Semaphore::new(MUCH_READ_AT_ONCE));
    let fee_lists = Arc::default();
    let (dialect, server) = (Dialect::Sqlite, None);
    Ok(Store { writers, readers, dialect, much_read, file, file_writer, server, place, fee_lists })
}

async fn open_postgres(url: &str) -> Result<Store> {
    let place = without_password(url);
    let connect =
        |error: sqlx::Error| StoreError::Connect { url: without_password(url), reason: error.to_string() };
    let options: AnyConnectOptions = url.parse().map_err(connect)?;
    let server: Server = url.parse().map_err(connect)?;
    // A pool would try a dead server again and again; one connection says at once what is wrong.
    let probe =
        tokio::time::timeout(CONNECT_TIMEOUT, AnyConnection::connect_with(&options)).await.map_err(|_| {
            let reason = format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs());
            StoreError::Connect { url: place.clone(), reason }
        })?;
    probe.map_err(connect)?.close().await.map_err(connect)?;
    let writers = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(connect)?;
    migrate(&writers, Dialect::Postgres, &place).await?;
    info!(server = place, "database opened");
    Ok(Store {
        readers: writers.clone(),
        writers,
        dialect: Dialect::Postgres,
        much_read: Arc::new(Semaphore::new(MUCH_READ_AT_ONCE)),
        file: None,
        file_writer: None,
        server: Some(server),
        place: Path::new(&place).into(),
        fee_lists: Arc::default(),
    })
}

fn sqlite_options(file: &Path) -> Result<AnyConnectOptions> {
    // The path is taken as it is, so what the driver would decode is encoded.
    let path = file.display().to_string().replace('%', "%25").replace('?', "%3F").replace('#', "%23");
    Ok(format!("sqlite://{path}?mode=rwc").parse::<AnyConnectOptions>()?)
}

/// One connection, to see what is wrong: a pool would try again and again.
async fn probe_sqlite(file: &Path) -> Result<()> {
    let mut probe = AnyConnection::connect_with(&sqlite_options(file)?).await?;
    set_up_sqlite(&mut probe).await?;
    // Reads the first page of the schema.
    probe.execute("SELECT count(*) FROM sqlite_master").await?;
    probe.close().await?;
    Ok(())
}

async fn set_up_sqlite(conn: &mut AnyConnection) -> Result<(), sqlx::Error> {
    // The driver itself waits 5 seconds for a locked file.
    for pragma in EVERY {
        conn.execute(*pragma).await?;
    }
    Ok(())
}

async fn sqlite_pool(file: &Path, connections_max: u32, more: &'static [&'static str]) -> Result<AnyPool> {
    let pool = AnyPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |conn, _| {
            Box::pin(async move {
                set_up_sqlite(conn).await?;
                for pragma in more {
                    conn.execute(*pragma).await?;
                }
                Ok(())
            })
        })
        .connect_with(sqlite_options(file)?)
        .await?;
    Ok(pool)
}

/// Where a file's directory is.
fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    }
}

/// One process at a time changes the schema, until what this returns is dropped: a server has locks of its own for that, the driver's for a file
/// do nothing. Locked is the directory: the system would drop SQLite's own locks if somebody else in its process opened and closed
/// the file (sqlite.org/howtocorrupt.html, 2.2).
async fn migration_turn(file: &Path) -> Result<Option<std::fs::File>> {
    let directory = directory_of(file);
    let of_directory = directory.clone();
    let locked = tokio::task::spawn_blocking(move || {
        let opened = std::fs::File::open(&of_directory)?;
        for n_tries in 0..MIGRATION_TURN_TRIES {
            match opened.try_lock() {
                Ok(()) => return Ok(Some(opened)),
                Err(TryLockError::WouldBlock) => {}
                // A file system without such locks: none at all, or none of what is only read (NFS).
                Err(TryLockError::Error(why)) => {
                    info!(directory = %of_directory.display(), error = %why, "the schema is looked at without a lock");
                    return Ok(None);
                }
            }
            if n_tries == 0 {
                info!(directory = %of_directory.display(), "waiting for another process that looks at the schema");
            }
            std::thread::sleep(MIGRATION_TURN_PAUSE);
        }
        Err(std::io::Error::other(format!(
            "another process has held its lock for {} s; look for one that opens the same database and hangs",
            (MIGRATION_TURN_PAUSE * MIGRATION_TURN_TRIES).as_secs()
        )))
    });
    let unwritable = |reason: String| StoreError::Unwritable {
        file: file.to_owned(),
        directory: directory.clone(),
        reason,
    };
    locked.await.map_err(|why| unwritable(why.to_string()))?.map_err(|why| unwritable(why.to_string()))
}

/// What SQLite itself notices late or not at all.
fn check_sqlite_file(file: &Path) -> Result<()> {
    let directory = directory_of(file);
    let unwritable = |reason: String| StoreError::Unwritable {
        file: file.to_owned(),
        directory: directory.clone(),
        reason,
    };
    if !directory.is_dir() {
        return Err(unwritable(format!("{} is not a directory", directory.display())));
    }
    if file.is_dir() {
        return Err(unwritable("it is a directory".to_owned()));
    }
    if !file.exists() {
        return Ok(());
    }
    let mut header = [0; 100];
    let found_bytes = std::fs::metadata(file).map_err(|error| unwritable(error.to_string()))?.len();
    let n_read = std::fs::File::open(file)
        .and_then(|mut opened| read_up_to(&mut opened, &mut header))
        .map_err(|error| unwritable(error.to_string()))?;
    if found_bytes == 0 {
        return Err(StoreError::Empty { file: file.to_owned() });
    }
    if !header[..n_read].starts_with(&SQLITE_MAGIC[..n_read.min(SQLITE_MAGIC.len())]) {
        return Err(StoreError::NotADatabase { file: file.to_owned() });
    }
    // Page size and page count of the header (SQLite file format, 1.3); 1 stands for 65,536.
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let n_pages = u64::from(u32::from_be_bytes([header[28], header[29], header[30], header[31]]));
    let expected_bytes = if n_read < header.len() { 100 } else { page_bytes * n_pages };
    // A log that was not yet copied back may still hold the missing pages.
    let has_log = std::fs::metadata(log_of(file)).is_ok_and(|log| log.len() > 0);
    if found_bytes < expected_bytes && !has_log {
        return Err(StoreError::Truncated { file: file.to_owned(), expected_bytes, found_bytes });
    }
    Ok(())
}

fn read_up_to(file: &mut std::fs::File, buffer: &mut [u8]) -> std::io::Result<usize> {
    use std::io::Read;
    let mut n_read = 0;
    loop {
        match file.read(&mut buffer[n_read..])? {
            0 => return Ok(n_read),
            n => n_read += n,
        }
    }
}

fn log_of(file: &Path) -> PathBuf {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    PathBuf::from(log)
}

/// Gives SQLite's result codes (sqlite.org/rescode.html) their place and remedy.
fn sqlite_error(file: &Path, error: StoreError) -> StoreError {
    let place = file.display().to_string();
    if let StoreError::Damaged { detail, .. } = error {
        return StoreError::Damaged { place, detail };
    }
    if let StoreError::DiskFull { .. } = error {
        return StoreError::DiskFull { place };
    }
    let StoreError::Database(sqlx::Error::Database(inner)) = &error else { return error };
    let code = inner.code().and_then(|code| code.parse::<u32>().ok());
    let reason = inner.message().to_owned();
    // The low byte is the kind, the rest its detail.
    match code.map(|code| code & 0xff) {
        Some(5 | 6) => StoreError::Locked { place },
        Some(8 | 14) => StoreError::Unwritable {
            file: file.to_owned(),
            directory: file.parent().unwrap_or(Path::new(".")).to_owned(),
            reason,
        },
        Some(26) => StoreError::NotADatabase { file: file.to_owned() },
        Some(_) | None => error,
    }
}

async fn migrate(pool: &AnyPool, dialect: Dialect, place: &str) -> Result<()> {
    migrator(MIGRATIONS, dialect).run(pool).await.map_err(|error| migrate_error(place, error))
}

fn migrator(changes: &[(i64, &'static str, &'static str)], dialect: Dialect) -> Migrator {
    let (identity_key, bytes) = match dialect {
        Dialect::Sqlite => ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB"),
        Dialect::Postgres => ("BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", "BYTEA"),
    };
    let migrations = changes
        .iter()
        .map(|(version, name, text)| {
            let text = text.replace("IDENTITY_KEY", identity_key).replace("BYTES", bytes);
            let sql = AssertSqlSafe(text).into_sql_str();
            Migration::new(*version, (*name).into(), MigrationType::Simple, sql, false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "sqlx's own errors: those not told apart have one remedy")]
fn migrate_error(place: &str, error: MigrateError) -> StoreError {
    let place = place.to_owned();
    let known = MIGRATIONS.last().map_or(0, |migration| migration.0);
    match error {
        MigrateError::Execute(source) => StoreError::Database(source),
        MigrateError::VersionMissing(found) if found > known => {
            StoreError::NewerSchema { place, found, known }
        }
        MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) => {
            StoreError::ForeignSchema { place, version }
        }
        other => StoreError::Migration { place, reason: other.to_string() },
    }
}

/// `postgres://user:secret@host/db` as it may be shown.
pub(crate) fn without_password(url: &str) -> String {
    // Parameters may hold a password too.
    let url = url.split('?').next().unwrap_or_default();
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    let Some(at) = rest[..authority_end].rfind('@') else { return url.to_owned() };
    let user = rest[..at].split(':').next().unwrap_or_default();
    format!("{scheme}://{user}{}", &rest[at..])
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use expect_test::expect;
    use model::AccountId;

    use super::*;

    /// A posting of a call, and a top-up.
    const POSTINGS_OF_BEFORE: &str = "INSERT INTO postings VALUES \
        (x'0f0e0d0c0b0a09080706050403020100', 1, 7, 2000000, 'receivable:7', 'revenue:1', 300000, 'EUR', 'call', \
         x'000102030405060708090a0b0c0d0e0f', NULL), \
        (x'000102030405060708090a0b0c0d0e0f', 1, 7, 1000000, 'bank:1', 'receivable:7', 500000, 'EUR', 'payment', NULL, NULL)";

    #[tokio::test]
    async fn ledger_of_before_is_kept_when_postings_are_laid_by_time() {
        sqlx::any::install_default_drivers();
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("before.db");
        let before: Vec<_> = MIGRATIONS.iter().filter(|change| change.0 < 229).copied().collect();
        let pool = sqlite_pool(&file, 1, WRITER).await.unwrap();
        migrator(&before, Dialect::Sqlite).run(&pool).await.unwrap();
        pool.acquire().await.unwrap().execute(POSTINGS_OF_BEFORE).await.unwrap();
        pool.close().await;

        let store = Store::open(&format!("sqlite://{}", file.display())).await.unwrap();
        let kept =
            store.postings(AccountId(7), DateTime::UNIX_EPOCH, DateTime::<Utc>::MAX_UTC).await.unwrap();
        let told: Vec<String> = kept
            .iter()
            .map(|posting| format!("{} {} {}", posting.id, posting.reason, posting.amount))
            .collect();
        expect![[r#"
            [
                "000102030405060708090a0b0c0d0e0f payment 0.5 EUR",
                "0f0e0d0c0b0a09080706050403020100 call 0.3 EUR",
            ]
        "#]]
        .assert_debug_eq(&told);
        // Each of them is still known when it comes again.
        store.post(kept.clone()).await.unwrap();
        assert_eq!(store.posting_ids().await.unwrap().len(), 2);
    }

    #[test]
    fn password_is_never_shown() {
        assert_eq!(
            without_password("postgres://bill:s3cret@db:5432/tollbook"),
            "postgres://bill@db:5432/tollbook"
        );
        assert_eq!(without_password("postgres://db/tollbook"), "postgres://db/tollbook");
        assert_eq!(without_password("nonsense"), "nonsense");
    }
}
