//! Orders of commands to a running house for a backup; the database is what both have.

use chrono::{DateTime, Utc};

use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// What a command wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupOrder {
    /// Of the order.
    pub id: i64,
    /// Where to; an absolute path.
    pub dir: String,
    /// The configuration file that goes along; an absolute path.
    pub config: String,
}

/// How far an order is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupProgress {
    /// No house has seen it yet.
    Unseen,
    /// A house is at it; what it does, in words.
    Taken(String),
    /// The backup is there.
    Done,
    /// None is, and why.
    Failed(String),
}

impl Store {
    /// Orders a backup; earlier orders are forgotten. Returns the order's id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn backup_order(&self, dir: &str, config: &str, now: DateTime<Utc>) -> Result<i64> {
        let mut tx = self.write().await?;
        query("DELETE FROM backup_orders").execute(&mut *tx).await?;
        let id = query("INSERT INTO backup_orders (dir, config, asked_at) VALUES ($1, $2, $3) RETURNING id")
            .cells(cells![dir, config, now])
            .fetch_one(&mut *tx)
            .await?
            .int("id")?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes the order that waits, if one does that was given at `since` or later.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn backup_take(&self, since: DateTime<Utc>, now: DateTime<Utc>) -> Result<Option<BackupOrder>> {
        // Mostly there is none, which a reader can tell.
        let mut tx = self.read().await?;
        let waits = query("SELECT id FROM backup_orders WHERE taken_at IS NULL AND asked_at >= $1 LIMIT 1")
            .cells(cells![since])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        if waits.is_none() {
            return Ok(None);
        }
        let mut tx = self.write().await?;
        let row = query(
            "UPDATE backup_orders SET taken_at = $1 WHERE taken_at IS NULL AND asked_at >= $2 \
             RETURNING id, dir, config",
        )
        .cells(cells![now, since])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let order = |row: sqlx::any::AnyRow| {
            Ok(BackupOrder { id: row.int("id")?, dir: row.text("dir")?, config: row.text("config")? })
        };
        row.map(order).transpose()
    }

    /// Says what the house is at.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn backup_say(&self, id: i64, said: &str) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE backup_orders SET said = $2 WHERE id = $1")
            .cells(cells![id, said])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends an order; an empty `fault` means that the backup is there.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn backup_end(&self, id: i64, fault: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE backup_orders SET done_at = $2, fault = $3 WHERE id = $1")
            .cells(cells![id, now, fault])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// How far an order is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when another order came after it; what the database says.
    pub async fn backup_progress(&self, id: i64) -> Result<BackupProgress> {
        let mut tx = self.read().await?;
        let row = query("SELECT taken_at, said, done_at, fault FROM backup_orders WHERE id = $1")
            .cells(cells![id])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "backup order", name: id.to_string() })?;
        tx.commit().await?;
        let fault = row.text("fault")?;
        Ok(match (row.opt_time("taken_at")?, row.opt_time("done_at")?) {
            (_, Some(_)) if fault.is_empty() => BackupProgress::Done,
            (_, Some(_)) => BackupProgress::Failed(fault),
            (Some(_), None) => BackupProgress::Taken(row.text("said")?),
            (None, None) => BackupProgress::Unseen,
        })
    }
}
