//! What the users of the SFTP server did, and which files they have not fetched.

use chrono::{DateTime, Utc};

use crate::sql::{Bind, Columns, cells, insert_rows, query, signed};
use crate::{Result, Store};

/// One thing a user did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrailEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// From which address and port.
    pub peer: String,
    /// Login name.
    pub account: String,
    /// `login`, `refused`, `banned`, `listed`, `fetched`, `put`, `renamed` or `deleted`.
    pub action: String,
    /// As the user saw it.
    pub path: Option<String>,
    /// Name of the export file it is.
    pub file: Option<String>,
    /// Length of the file.
    pub size: Option<u64>,
    /// Of a fetched file.
    pub range: Option<FetchedRange>,
    /// Method of a login, new name of a file and the like.
    pub detail: String,
}

/// How much of a file was read while it was open once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedRange {
    /// First byte.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
    /// Different bytes in between.
    pub n_bytes: u64,
}

/// A file that waits for its reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingFile {
    /// Name, as in the list of files.
    pub name: String,
    /// When it was closed.
    pub created_at: DateTime<Utc>,
    /// Its length.
    pub n_bytes: u64,
}

/// How far a reader has come with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// Nothing of it.
    No,
    /// Some of it.
    Partly {
        /// So many bytes, over all its tries.
        n_bytes: u64,
        /// When it last read.
        at: DateTime<Utc>,
        /// From where.
        peer: String,
    },
    /// All of it.
    Whole {
        /// For the first time then.
        at: DateTime<Utc>,
        /// From where.
        peer: String,
    },
}

/// Puts together what was read of a file, oldest first: a fetch that broke off and was resumed is a whole one.
pub fn fetched(entries: &[TrailEntry], account: &str, size: u64) -> Fetched {
    let mut pieces: Vec<(u64, u64)> = Vec::new();
    let mut found = Fetched::No;
    for entry in entries.iter().filter(|entry| entry.account == account) {
        let Some(range) = entry.range else { continue };
        let (at, peer) = (entry.at, entry.peer.clone());
        if range.n_bytes >= size {
            return Fetched::Whole { at, peer };
        }
        // Of one read in pieces with gaps only how much is known, not which.
        if range.n_bytes == range.to.saturating_sub(range.from) {
            pieces.push((range.from, range.to));
            pieces.sort_unstable();
        }
        let (mut end, mut n_bytes) = (0, 0);
        for (from, to) in &pieces {
            n_bytes += to.saturating_sub(end.max(*from));
            end = end.max(*to);
        }
        if n_bytes >= size {
            return Fetched::Whole { at, peer };
        }
        found = Fetched::Partly { n_bytes: n_bytes.max(range.n_bytes), at, peer };
    }
    found
}

impl Store {
    /// Adds entries, in order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_append(&self, entries: &[TrailEntry]) -> Result<()> {
        let mut rows = Vec::with_capacity(entries.len());
        for entry in entries {
            let opt = |what, value: Option<u64>| value.map(|value| signed(what, value)).transpose();
            rows.push(cells![
                entry.at,
                entry.peer.as_str(),
                entry.account.as_str(),
                entry.action.as_str(),
                entry.path.clone(),
                entry.file.clone(),
                opt("size", entry.size)?,
                opt("from", entry.range.map(|range| range.from))?,
                opt("to", entry.range.map(|range| range.to))?,
                opt("bytes", entry.range.map(|range| range.n_bytes))?,
                entry.detail.as_str(),
            ]);
        }
        let mut tx = self.write().await?;
        insert_rows(
            &mut tx,
            "INSERT INTO sftp_trail (at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail)",
            "",
            rows,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The latest entries, newest first; of one user or of all.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_latest(&self, account: Option<&str>, max: u32) -> Result<Vec<TrailEntry>> {
        let mut tx = self.read().await?;
        let rows = match account {
            Some(account) => query(
                "SELECT at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail \
                     FROM sftp_trail WHERE account = $1 ORDER BY id DESC LIMIT $2",
            )
            .cells(cells![account, max])
            .fetch_all(&mut *tx)
            .await?,
            None => query(
                "SELECT at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail \
                     FROM sftp_trail ORDER BY id DESC LIMIT $1",
            )
            .cells(cells![max])
            .fetch_all(&mut *tx)
            .await?,
        };
        tx.commit().await?;
        rows.iter().map(entry_of).collect()
    }

    /// Entries behind (older than) `before`, newest first, with their numbers; of one user or of all.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_page(
        &self,
        account: Option<&str>,
        before: Option<i64>,
        max: u32,
    ) -> Result<Vec<(i64, TrailEntry)>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail \
             FROM sftp_trail WHERE ($1 = '' OR account = $1) AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .cells(cells![account.unwrap_or_default(), before.unwrap_or(i64::MAX), max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.int("id")?, entry_of(row)?))).collect()
    }

    /// When `account` was last let in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_last_login(&self, account: &str) -> Result<Option<DateTime<Utc>>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT at FROM sftp_trail WHERE account = $1 AND action = 'login' ORDER BY id DESC LIMIT 1",
        )
        .cells(cells![account])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.time("at")).transpose()
    }

    /// Every time that `account` has read something of an export file since then, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_fetches_of(&self, account: &str, since: DateTime<Utc>) -> Result<Vec<TrailEntry>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail \
             FROM sftp_trail WHERE account = $1 AND at >= $2 AND action = 'fetched' AND file IS NOT NULL ORDER BY id",
        )
        .cells(cells![account, since])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(entry_of).collect()
    }

    /// Every time that somebody has read something of an export file, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_fetches(&self, file: &str) -> Result<Vec<TrailEntry>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT at, peer, account, action, path, file, size, range_from, range_to, n_bytes, detail \
             FROM sftp_trail WHERE file = $1 AND action = 'fetched' ORDER BY id",
        )
        .cells(cells![file])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(entry_of).collect()
    }

    /// The export file that `account` has renamed to `path`, if it is one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_renamed_from(&self, account: &str, path: &str) -> Result<Option<String>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT file FROM sftp_trail WHERE account = $1 AND action = 'renamed' AND detail = $2 \
             AND file IS NOT NULL ORDER BY id DESC LIMIT 1",
        )
        .cells(cells![account, path])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.text("file")).transpose()
    }

    /// Forgets what is older than `before`; returns how much that was.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn trail_forget(&self, before: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.write().await?;
        let gone =
            query("DELETE FROM sftp_trail WHERE at < $1").cells(cells![before]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }

    /// The latest written files below `folder` (`""`: all), newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn files_below(&self, folder: &str, max: u32) -> Result<Vec<WaitingFile>> {
        let mut tx = self.read().await?;
        let mut pattern = String::new();
        for c in folder.chars() {
            if matches!(c, '%' | '_' | '!') {
                pattern.push('!');
            }
            pattern.push(c);
        }
        pattern.push_str(if folder.is_empty() { "%" } else { "/%" });
        let rows = query(
            "SELECT name, created_at, n_bytes FROM export_files WHERE state = 'written' \
             AND name LIKE $1 ESCAPE '!' ORDER BY id DESC LIMIT $2",
        )
        .cells(cells![pattern, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let files = rows.iter().map(waiting_of).collect::<Result<Vec<_>>>()?;
        // To SQLite `a` is like `A`.
        Ok(files.into_iter().filter(|file| is_below(folder, &file.name)).collect())
    }

    /// Written files below `folder` (`""`: all), closed from `since` on and before `until`, that `account` has not
    /// been missed for yet, oldest first. Whether it has fetched them is in [`Store::trail_fetches`].
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn files_to_be_fetched(
        &self,
        account: &str,
        folder: &str,
        since: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Vec<WaitingFile>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT name, created_at, n_bytes FROM export_files WHERE state = 'written' \
             AND created_at >= $1 AND created_at < $2 \
             AND NOT EXISTS (SELECT 1 FROM sftp_alarms WHERE account = $3 AND file = export_files.name) ORDER BY id",
        )
        .cells(cells![since, until, account])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut files = Vec::new();
        for row in &rows {
            let file = waiting_of(row)?;
            if is_below(folder, &file.name) {
                files.push(file);
            }
        }
        Ok(files)
    }

    /// Notes that somebody was told of files that `account` has not fetched.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alarm_raised(&self, account: &str, files: &[String], at: DateTime<Utc>) -> Result<()> {
        let rows = files.iter().map(|file| cells![account, file.as_str(), at]).collect();
        let mut tx = self.write().await?;
        insert_rows(
            &mut tx,
            "INSERT INTO sftp_alarms (account, file, at)",
            "ON CONFLICT (account, file) DO NOTHING",
            rows,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn is_below(folder: &str, name: &str) -> bool {
    folder.is_empty() || name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

fn waiting_of(row: &sqlx::any::AnyRow) -> Result<WaitingFile> {
    Ok(WaitingFile {
        name: row.text("name")?,
        created_at: row.time("created_at")?,
        n_bytes: row.narrow("n_bytes")?,
    })
}

fn entry_of(row: &sqlx::any::AnyRow) -> Result<TrailEntry> {
    let range = match row.opt_narrow("n_bytes")? {
        Some(n_bytes) => {
            Some(FetchedRange { from: row.narrow("range_from")?, to: row.narrow("range_to")?, n_bytes })
        }
        None => None,
    };
    Ok(TrailEntry {
        at: row.time("at")?,
        peer: row.text("peer")?,
        account: row.text("account")?,
        action: row.text("action")?,
        path: row.opt_text("path")?,
        file: row.opt_text("file")?,
        size: row.opt_narrow("size")?,
        range,
        detail: row.text("detail")?,
    })
}
