//! Files that were planned, how far they are, and what their bytes depend on.

use chrono::{DateTime, Utc};
use sqlx::AssertSqlSafe;
use sqlx::any::AnyRow;

use super::{ExportFile, ExportReport, ExportState, KeptFormat};
use crate::sql::{Bind, Columns, Query, cells, query, signed, unreadable};
use crate::{Result, Store, StoreError};

/// All that a file is read from.
const FILE_COLUMNS: &str = "id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5, sha256, format, zone, owner_name, day";

impl Store {
    /// Keeps a format's description under its hash, once.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_keep_format(&self, hash: &str, format: &KeptFormat) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO export_formats (hash, name, description) VALUES ($1, $2, $3) \
             ON CONFLICT (hash) DO NOTHING",
        )
        .cells(cells![hash, format.name.as_str(), format.description.as_str()])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The description kept under `hash`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_format(&self, hash: &str) -> Result<Option<KeptFormat>> {
        let mut tx = self.read().await?;
        let row = query("SELECT name, description FROM export_formats WHERE hash = $1")
            .cells(cells![hash])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| Ok(KeptFormat { name: row.text("name")?, description: row.text("description")? }))
            .transpose()
    }

    /// When the files of `stream` were last closed by the clock.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_ran_at(&self, stream: &str) -> Result<Option<DateTime<Utc>>> {
        let mut tx = self.read().await?;
        let row = query("SELECT ran_at FROM export_runs WHERE stream = $1")
            .cells(cells![stream])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| row.time("ran_at")).transpose()
    }

    /// Notes that the files of `stream` were closed by the clock.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_set_ran_at(&self, stream: &str, at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO export_runs (stream, ran_at) VALUES ($1, $2) \
             ON CONFLICT (stream) DO UPDATE SET ran_at = excluded.ran_at",
        )
        .cells(cells![stream, at])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that files are on disk, whole: of all of them or of none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a file never planned; what the database says.
    pub async fn export_written(&self, files: &[ExportReport<'_>]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        for report in files {
            let done = query(
                "UPDATE export_files SET state = 'written', n_bytes = $2, md5 = $3, sha256 = $4 WHERE id = $1",
            )
            .cells(cells![report.file, signed("bytes", report.n_bytes)?, report.md5, report.sha256])
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(StoreError::NotFound { what: "export file", name: report.file.to_string() });
            }
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
        let rows = files_where("state = 'planned' ORDER BY id").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }

    /// When the latest file of each series was planned.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_latest_times(&self) -> Result<Vec<(String, DateTime<Utc>)>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT owner, max(created_at) AS latest FROM export_files GROUP BY owner")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("owner")?, row.time("latest")?))).collect()
    }

    /// The file of that number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_file(&self, owner: &str, sequence: u64) -> Result<Option<ExportFile>> {
        let mut tx = self.read().await?;
        let row = files_where("owner = $1 AND sequence = $2")
            .cells(cells![owner, signed("sequence", sequence)?])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.as_ref().map(file_of).transpose()
    }

    /// All files of `owner`, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_files(&self, owner: &str) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows =
            files_where("owner = $1 ORDER BY sequence").cells(cells![owner]).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }
}

fn files_where(condition: &'static str) -> Query {
    sqlx::query(AssertSqlSafe(format!("SELECT {FILE_COLUMNS} FROM export_files WHERE {condition}")))
}

pub(crate) fn file_of(row: &AnyRow) -> Result<ExportFile> {
    let state = match row.text("state")?.as_str() {
        "planned" => ExportState::Planned,
        "written" => ExportState::Written {
            n_bytes: row.narrow("n_bytes")?,
            md5: row.text("md5")?,
            sha256: row.opt_text("sha256")?,
        },
        other => return Err(unreadable("state", other)),
    };
    Ok(ExportFile {
        id: row.int("id")?,
        owner: row.text("owner")?,
        sequence: row.narrow("sequence")?,
        name: row.text("name")?,
        n_rows: row.narrow("n_rows")?,
        created_at: row.time("created_at")?,
        format: row.opt_text("format")?,
        zone: row.opt_text("zone")?,
        owner_name: row.opt_text("owner_name")?,
        day: row.opt_time("day")?,
        state,
    })
}
