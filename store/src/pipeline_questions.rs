//! Questions of commands to a running house: have all records that were made until now come through? Only its process knows what is on
//! its way; the database is what both have.

use chrono::{DateTime, TimeDelta, Utc};

use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// Whoever asked has gone since.
const FORGOTTEN_AFTER: TimeDelta = TimeDelta::minutes(1);

/// How far a question is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineAnswer {
    /// Nobody has seen it yet.
    Unseen,
    /// A running house looks.
    Seen,
    /// It has looked; what was still on its way then, empty for nothing.
    Answered(String),
}

impl Store {
    /// Asks; returns the question's id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn pipeline_ask(&self, now: DateTime<Utc>) -> Result<i64> {
        let mut tx = self.write().await?;
        query("DELETE FROM pipeline_questions WHERE asked_at < $1")
            .cells(cells![now - FORGOTTEN_AFTER])
            .execute(&mut *tx)
            .await?;
        let id = query("INSERT INTO pipeline_questions (asked_at) VALUES ($1) RETURNING id")
            .cells(cells![now])
            .fetch_one(&mut *tx)
            .await?
            .int("id")?;
        tx.commit().await?;
        Ok(id)
    }

    /// Takes the questions that nobody has seen yet; those who asked know then that a house is running.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn pipeline_see(&self, now: DateTime<Utc>) -> Result<Vec<i64>> {
        // Mostly there is none, which a reader can tell.
        let mut tx = self.read().await?;
        let waits =
            query("SELECT id FROM pipeline_questions WHERE seen_at IS NULL AND asked_at > $1 LIMIT 1")
                .cells(cells![now - FORGOTTEN_AFTER])
                .fetch_optional(&mut *tx)
                .await?;
        tx.commit().await?;
        if waits.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let rows = query(
            "UPDATE pipeline_questions SET seen_at = $1 WHERE seen_at IS NULL AND asked_at > $2 RETURNING id",
        )
        .cells(cells![now, now - FORGOTTEN_AFTER])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.int("id")).collect()
    }

    /// Answers a question with what is still on its way.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn pipeline_answer(&self, id: i64, waiting: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE pipeline_questions SET answered_at = $2, waiting = $3 WHERE id = $1")
            .cells(cells![id, now, waiting])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// How far a question is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when it was forgotten; what the database says.
    pub async fn pipeline_answer_to(&self, id: i64) -> Result<PipelineAnswer> {
        let mut tx = self.read().await?;
        let row = query("SELECT seen_at, answered_at, waiting FROM pipeline_questions WHERE id = $1")
            .cells(cells![id])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "question", name: id.to_string() })?;
        tx.commit().await?;
        Ok(match (row.opt_time("seen_at")?, row.opt_time("answered_at")?) {
            (_, Some(_)) => PipelineAnswer::Answered(row.text("waiting")?),
            (Some(_), None) => PipelineAnswer::Seen,
            (None, None) => PipelineAnswer::Unseen,
        })
    }
}
