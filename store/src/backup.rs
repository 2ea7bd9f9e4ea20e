//! A copy of the database as it was at one moment, made while it is at work.
//!
//! Whoever copies more than the database holds the writers for that moment ([`Store::hold`]): nothing is committed meanwhile, so what
//! is looked at beside the database (ends of the event log, files) belongs to the same state. The copying itself takes its time
//! afterwards, from a snapshot that stays as it was: SQLite's own backup from a connection that has begun to read, `pg_dump` by the
//! name of a snapshot.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sqlx::{Any, AnyConnection, Connection, Executor, Transaction};

use crate::long_tables::FileReader;
use crate::sql::{Bind, Cell, Columns, cells, query, query_of};
use crate::{Result, Store, StoreError};

/// How long we queue for the tables of a server before those who wait behind us go first.
const LOCK_TIMEOUT_MS: u32 = 500;
/// How often we queue.
const LOCK_TRIES: u32 = 60;
const LOCK_PAUSE: Duration = Duration::from_millis(250);

/// Nobody commits anything as long as this lives; short, please.
#[derive(Debug)]
pub struct Held<'a> {
    store: &'a Store,
    tx: Transaction<'static, Any>,
}

/// The database as it was at one moment.
pub struct Snapshot(Kind);

enum Kind {
    Sqlite(FileReader),
    /// Ends with the transaction that it was taken by.
    Postgres {
        id: String,
        tx: Transaction<'static, Any>,
    },
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Kind::Sqlite(_) => f.write_str("Snapshot(sqlite)"),
            Kind::Postgres { id, .. } => write!(f, "Snapshot({id})"),
        }
    }
}

impl Store {
    /// Waits until nobody is about to commit, and lets nobody begin.
    ///
    /// # Errors
    ///
    /// What the database says, also that others did not let go of it.
    pub async fn hold(&self) -> Result<Held<'_>> {
        if !self.is_postgres() {
            return Ok(Held { store: self, tx: self.write().await? });
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let mut tx = self.write().await?;
            match lock_all(&mut tx).await {
                Ok(()) => return Ok(Held { store: self, tx }),
                // Somebody has been writing for long, or wants what we have: he goes first.
                Err(why) if tries < LOCK_TRIES && is_wait(&why) => {
                    tx.rollback().await?;
                    tokio::time::sleep(LOCK_PAUSE).await;
                }
                Err(why) => return Err(why),
            }
        }
    }
}

/// Keeps writers out of every table of ours, and readers in.
async fn lock_all(tx: &mut AnyConnection) -> Result<()> {
    tx.execute(sqlx::AssertSqlSafe(format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT_MS}ms'"))).await?;
    let rows = query(
        "SELECT CAST(quote_ident(tablename) AS TEXT) AS name FROM pg_tables \
         WHERE schemaname = current_schema() ORDER BY tablename",
    )
    .fetch_all(&mut *tx)
    .await?;
    let names = rows.iter().map(|row| row.text("name")).collect::<Result<Vec<_>>>()?;
    query_of(format!("LOCK TABLE {} IN SHARE MODE", names.join(", "))).execute(&mut *tx).await?;
    Ok(())
}

/// A lock that was not to be had in time, or two that wait for each other (PostgreSQL's 55P03 and 40P01).
fn is_wait(why: &StoreError) -> bool {
    let StoreError::Database(sqlx::Error::Database(inner)) = why else { return false };
    inner.code().is_some_and(|code| matches!(&*code, "55P03" | "40P01"))
}

impl Held<'_> {
    /// The state that everybody is held in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        if let Some(file) = self.store.file() {
            let reader = FileReader::begin(file)?;
            reader.see()?;
            return Ok(Snapshot(Kind::Sqlite(reader)));
        }
        let mut tx = self.store.read().await?;
        let row = query("SELECT CAST(pg_export_snapshot() AS TEXT) AS id").fetch_one(&mut *tx).await?;
        Ok(Snapshot(Kind::Postgres { id: row.text("id")?, tx }))
    }

    /// Lets everybody go on.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn release(self) -> Result<()> {
        Ok(self.tx.rollback().await?)
    }
}

impl Snapshot {
    /// Writes it into a new file in `dir` and returns the file. `url` is the database's address with its password.
    ///
    /// # Errors
    ///
    /// [`StoreError::Tool`] when `pg_dump` is not there or fails; what the database or the file system says.
    pub async fn write_to(self, dir: &Path, url: &str) -> Result<PathBuf> {
        match self.0 {
            Kind::Sqlite(mut reader) => {
                let file = dir.join("tollbook.db");
                let to = file.clone();
                reader.aside(move |reader| reader.copy_to(&to)).await?;
                Ok(file)
            }
            Kind::Postgres { id, mut tx } => {
                let file = dir.join("postgres.dump");
                let mut dump = tool("pg_dump", url);
                dump.args(["--format=custom", "--no-owner", "--no-privileges", "--snapshot", &id, "--file"]);
                dump.arg(&file);
                run(dump, "pg_dump").await?;
                // It lived as long as this transaction.
                tx.execute("SELECT 1").await?;
                tx.commit().await?;
                Ok(file)
            }
        }
    }
}

/// Puts what [`Snapshot::write_to`] wrote of a server into another, empty database.
///
/// # Errors
///
/// [`StoreError::Occupied`] when it is not empty, [`StoreError::Connect`], and [`StoreError::Tool`] when `pg_restore` is not there or fails:
/// then the database is as it was.
pub async fn restore_postgres(dump: &Path, url: &str) -> Result<()> {
    sqlx::any::install_default_drivers();
    let place = crate::schema::without_password(url);
    let connect = |why: sqlx::Error| StoreError::Connect { url: place.clone(), reason: why.to_string() };
    let mut conn = AnyConnection::connect(url).await.map_err(connect)?;
    let row = query("SELECT count(*) AS n FROM pg_tables WHERE schemaname = current_schema()")
        .cells(Vec::<Cell>::new())
        .fetch_one(&mut conn)
        .await?;
    let n_tables = row.int("n")?;
    conn.close().await?;
    if n_tables > 0 {
        return Err(StoreError::Occupied { place });
    }
    let mut restore = tool("pg_restore", url);
    restore.args(["--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"]);
    restore.arg("--dbname").arg(database_of(url)).arg(dump);
    run(restore, "pg_restore").await
}

/// How far numbers are stepped on: more than any installation gives out between two backups.
const STEP: i64 = 1 << 32;

impl Store {
    /// Of a database that was put back behind an event log that went on: numbers of rows that are origins on the log (top-ups and
    /// payments, imported records, changes of provisioning data, records sent in again) go on behind all that may have been given out since
    /// the copy was made, or new ones would be taken for repetitions. The revision of the provisioning data goes on too, so that calls made under
    /// later data are not waited for.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn step_over_numbers(&self) -> Result<()> {
        let mut tx = self.write().await?;
        for text in [
            "UPDATE revisions SET revision = revision + $1",
            "UPDATE import_heads SET last_seq = last_seq + $1",
            "UPDATE provisioning_heads SET last_seq = last_seq + $1",
            // Records that wait keep their number: under it they may have been sent in since.
            "UPDATE resubmit_heads SET last_seq = $1 + CASE \
             WHEN last_seq > (SELECT coalesce(max(resubmit_seq), 0) FROM suspense) THEN last_seq \
             ELSE (SELECT coalesce(max(resubmit_seq), 0) FROM suspense) END",
        ] {
            query(text).cells(cells![STEP]).execute(&mut *tx).await?;
        }
        let text = if self.is_postgres() {
            "SELECT CAST(setval(pg_get_serial_sequence('topups', 'id'), \
             (SELECT coalesce(max(id), 0) FROM topups) + $1) AS TEXT) AS id"
        } else {
            "INSERT OR REPLACE INTO sqlite_sequence (rowid, name, seq) \
             SELECT (SELECT rowid FROM sqlite_sequence WHERE name = 'topups'), 'topups', \
             (SELECT coalesce(max(id), 0) FROM topups) + $1"
        };
        query(text).cells(cells![STEP]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A program of PostgreSQL's that reaches `url`, without showing its password to those who list processes.
fn tool(name: &str, url: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null()).envs(environment(url));
    command
}

async fn run(mut command: Command, tool: &'static str) -> Result<()> {
    let failed = |reason: String| StoreError::Tool { tool, reason };
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    let output = ran.map_err(|why| failed(why.to_string()))?.map_err(|why| failed(why.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
    Err(failed(format!("{last} ({})", output.status)))
}

/// What libpq's programs take from the environment, of an address as sqlx reads it.
fn environment(url: &str) -> Vec<(&'static str, String)> {
    let Some((_, rest)) = url.split_once("://") else { return Vec::new() };
    let (rest, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    // An address of IPv6 stands in brackets.
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        Some(_) | None => (address, ""),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let mut found = vec![
        ("PGUSER", decoded(user)),
        ("PGPASSWORD", decoded(password)),
        ("PGHOST", decoded(host)),
        ("PGPORT", port.to_owned()),
        ("PGDATABASE", decoded(database)),
    ];
    for (key, value) in parameters.split('&').filter_map(|parameter| parameter.split_once('=')) {
        let name = match key {
            "user" => "PGUSER",
            "password" => "PGPASSWORD",
            "host" | "hostaddr" => "PGHOST",
            "port" => "PGPORT",
            "dbname" => "PGDATABASE",
            "sslmode" | "ssl-mode" => "PGSSLMODE",
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => "PGSSLROOTCERT",
            "sslcert" | "ssl-cert" => "PGSSLCERT",
            "sslkey" | "ssl-key" => "PGSSLKEY",
            "options" => "PGOPTIONS",
            _ => continue,
        };
        found.push((name, decoded(value)));
    }
    // Those of the parameters count; what is not said is left to the environment that we have.
    found.retain(|(_, value)| !value.is_empty());
    found
}

/// `pg_restore` wants to be told.
fn database_of(url: &str) -> String {
    let found = environment(url);
    let named = |name: &str| found.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
    // As libpq does without a name.
    named("PGDATABASE").or_else(|| named("PGUSER")).unwrap_or_else(|| "postgres".to_owned())
}

/// Without percent-encoding (RFC 3986, 2.1).
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| first == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &behind[2..];
            }
            None => {
                bytes.push(first);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, expected: &str) {
        let found: Vec<String> =
            environment(url).into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn address_of_a_server_is_told_to_its_programs_by_the_environment() {
        check(
            "postgres://bill:s%3Acret%40@db:5433/toll?sslmode=verify-full&sslrootcert=/ca.pem",
            "PGUSER=bill PGPASSWORD=s:cret@ PGHOST=db PGPORT=5433 PGDATABASE=toll PGSSLMODE=verify-full PGSSLROOTCERT=/ca.pem",
        );
        check("postgres://u@[2001:db8::1]/x", "PGUSER=u PGHOST=2001:db8::1 PGDATABASE=x");
        check(
            "postgres://u@localhost/x?host=/run/pg&password=p%25",
            "PGUSER=u PGHOST=localhost PGDATABASE=x PGHOST=/run/pg PGPASSWORD=p%",
        );
        check("postgres://", "");
    }
}
