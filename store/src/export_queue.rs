//! Calls waiting for a partner's file, and the files made of them.
//!
//! A file is planned first: its number is taken and its rows are tied to it in one transaction. Then it is written and
//! reported. A crash in between leaves a planned file, which is written again with the same number and the same rows.
//! Numbers have no gaps: one that was taken always has its file.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::sql::{Bind, Columns, cells, query, signed, unreadable};
use crate::{Result, Store, StoreError};

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportState {
    /// Rows and number are fixed; not known to be on disk.
    Planned,
    /// On disk, whole.
    Written {
        /// Its length.
        n_bytes: u64,
        /// Its MD5, lower-case hexadecimal.
        md5: String,
    },
}

/// One file of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Its id.
    pub id: i64,
    /// `system`, `reseller:ID` or `carrier:ID`.
    pub owner: String,
    /// Counts up from 1 for each owner, without gaps.
    pub sequence: u64,
    /// File name.
    pub name: String,
    /// Calls in it.
    pub n_rows: u64,
    /// When it was planned; the time it bears.
    pub created_at: DateTime<Utc>,
    /// How far it is.
    pub state: ExportState,
}

impl Store {
    /// Plans the next file of `owner` from its oldest waiting calls; `None` if none wait. `name` makes its name from
    /// its number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_plan(
        &self,
        owner: &str,
        rows_max: u32,
        now: DateTime<Utc>,
        name: impl Fn(u64) -> String + Send,
    ) -> Result<Option<ExportFile>> {
        let mut tx = self.write().await?;
        // First of all: whoever plans for the same owner at the same time waits here until we are done.
        let sequence = next_sequence(&mut tx, owner).await?;
        let name = name(sequence);
        let id = query(
            "INSERT INTO export_files (owner, sequence, name, n_rows, state, created_at) \
             VALUES ($1, $2, $3, 0, 'planned', $4) RETURNING id",
        )
        .cells(cells![owner, signed("sequence", sequence)?, name.as_str(), now])
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        let taken = query(
            "UPDATE export_rows SET file = $1 WHERE id IN \
             (SELECT id FROM export_rows WHERE owner = $2 AND file IS NULL ORDER BY id LIMIT $3)",
        )
        .cells(cells![id, owner, rows_max])
        .execute(&mut *tx)
        .await?;
        let n_rows = taken.rows_affected();
        if n_rows == 0 {
            // Gives the number back.
            tx.rollback().await?;
            return Ok(None);
        }
        query("UPDATE export_files SET n_rows = $2 WHERE id = $1")
            .cells(cells![id, signed("rows", n_rows)?])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        // As it will be read back: to the microsecond.
        let created_at = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
        let owner = owner.to_owned();
        Ok(Some(ExportFile { id, owner, sequence, name, n_rows, created_at, state: ExportState::Planned }))
    }

    /// The calls of a file, in order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_rows(&self, file: i64) -> Result<Vec<Vec<u8>>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT payload FROM export_rows WHERE file = $1 ORDER BY id")
            .cells(cells![file])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.bytes("payload")).collect()
    }

    /// Notes that a file is on disk, whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a file never planned; what the database says.
    pub async fn export_written(&self, file: i64, n_bytes: u64, md5: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let done = query("UPDATE export_files SET state = 'written', n_bytes = $2, md5 = $3 WHERE id = $1")
            .cells(cells![file, signed("bytes", n_bytes)?, md5])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "export file", name: file.to_string() });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Files that are planned and not known to be on disk: to be written before any new one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_unfinished(&self) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5 FROM export_files \
             WHERE state = 'planned' ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }

    /// Owners with calls waiting.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_owners_pending(&self) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT DISTINCT owner FROM export_rows WHERE file IS NULL ORDER BY owner")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.text("owner")).collect()
    }

    /// All files of `owner`, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_files(&self, owner: &str) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5 FROM export_files \
             WHERE owner = $1 ORDER BY sequence",
        )
        .cells(cells![owner])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }
}

async fn next_sequence(conn: &mut AnyConnection, owner: &str) -> Result<u64> {
    query(
        "INSERT INTO export_sequences (owner, last_number) VALUES ($1, 1) ON CONFLICT (owner) \
         DO UPDATE SET last_number = export_sequences.last_number + 1 RETURNING last_number",
    )
    .cells(cells![owner])
    .fetch_one(conn)
    .await?
    .narrow("last_number")
}

pub(crate) fn file_of(row: &AnyRow) -> Result<ExportFile> {
    let state = match row.text("state")?.as_str() {
        "planned" => ExportState::Planned,
        "written" => ExportState::Written { n_bytes: row.narrow("n_bytes")?, md5: row.text("md5")? },
        other => return Err(unreadable("state", other)),
    };
    Ok(ExportFile {
        id: row.int("id")?,
        owner: row.text("owner")?,
        sequence: row.narrow("sequence")?,
        name: row.text("name")?,
        n_rows: row.narrow("n_rows")?,
        created_at: row.time("created_at")?,
        state,
    })
}
