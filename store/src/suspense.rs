//! Records that a stage could not process: kept raw, until somebody changes what was missing and tries again.

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Suspended, Topic};
use sqlx::any::AnyRow;

use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// A record put aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuspendedRecord {
    /// Its number in the suspense list.
    pub id: i64,
    /// Which stage put it aside.
    pub stage: String,
    /// What the stage said.
    pub suspended: Suspended,
    /// Where it was read.
    pub topic: Topic,
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: u64,
    /// The record.
    pub raw: Vec<u8>,
    /// When it was put aside.
    pub created_at: DateTime<Utc>,
    /// When it was sent in again; `None` is open.
    pub resolved_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Records not yet sent in again, oldest first; with `after` the ones behind that id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_list(&self, after: i64, max: u32) -> Result<Vec<SuspendedRecord>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at, \
             resolved_at FROM suspense WHERE resolved_at IS NULL AND id > $1 ORDER BY id LIMIT $2",
        )
        .cells(cells![after, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(record_of).collect()
    }

    /// One record, open or not.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn suspense_get(&self, id: i64) -> Result<SuspendedRecord> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT id, stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at, \
             resolved_at FROM suspense WHERE id = $1",
        )
        .cells(cells![id])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        record_of(
            &row.ok_or_else(|| StoreError::NotFound { what: "suspended record", name: id.to_string() })?,
        )
    }

    /// Marks a record as sent in again; `false` if it already was, by somebody else.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_resolve(&self, id: i64, at: DateTime<Utc>) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = query("UPDATE suspense SET resolved_at = $2 WHERE id = $1 AND resolved_at IS NULL")
            .cells(cells![id, at])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Open records by stage and code, for figures and the audit.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_counts(&self) -> Result<Vec<(String, String, u64)>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT stage, code, count(*) AS n_records FROM suspense WHERE resolved_at IS NULL \
             GROUP BY stage, code ORDER BY stage, code",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("stage")?, row.text("code")?, row.narrow("n_records")?))).collect()
    }
}

fn record_of(row: &AnyRow) -> Result<SuspendedRecord> {
    Ok(SuspendedRecord {
        id: row.int("id")?,
        stage: row.text("stage")?,
        suspended: Suspended {
            code: row.text("code")?,
            message: row.text("message")?,
            retry: row.word("retry")?,
            account: AccountId(row.int("account")?),
            cdr: row.opt_id("cdr", CdrId::from_bytes)?,
        },
        topic: row.word("topic")?,
        partition: row.narrow("part")?,
        offset: row.narrow("record_offset")?,
        raw: row.bytes("raw")?,
        created_at: row.time("created_at")?,
        resolved_at: row.opt_time("resolved_at")?,
    })
}
