//! Addresses and networks that people shut out of the switch. They are part of the snapshot, so every switch knows within a second.

use chrono::{DateTime, Utc};
use model::SourceBan;
use sqlx::AnyConnection;

use crate::audit::append;
use crate::revision::count_revision;
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

impl Store {
    /// Shuts a source out, or changes until when and why. Those that have ended are cleared away.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn ban_source(&self, ban: &SourceBan) -> Result<()> {
        let mut tx = self.write().await?;
        count_revision(&mut tx).await?;
        query("DELETE FROM source_bans WHERE network = $1 OR until_at <= $2")
            .cells(cells![ban.network.as_str(), ban.since])
            .execute(&mut *tx)
            .await?;
        query(
            "INSERT INTO source_bans (network, reason, author, since, until_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .cells(cells![ban.network.as_str(), ban.reason.as_str(), ban.author.as_str(), ban.since, ban.until])
        .execute(&mut *tx)
        .await?;
        let object = format!("source:{}", ban.network);
        append(&mut tx, &ban.author, "ban_source", &object, "", &ban.reason, ban.since).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Lets a source in again.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when that very network is not shut out; what the database says.
    pub async fn unban_source(&self, network: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let gone = query("DELETE FROM source_bans WHERE network = $1")
            .cells(cells![network])
            .execute(&mut *tx)
            .await?;
        if gone.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "ban", name: network.to_owned() });
        }
        count_revision(&mut tx).await?;
        append(&mut tx, actor, "unban_source", &format!("source:{network}"), "", "", now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// All of them, by network; one may have passed its end: compare with your time.
pub(crate) async fn load_source_bans(conn: &mut AnyConnection) -> Result<Vec<SourceBan>> {
    let rows = query("SELECT network, reason, author, since, until_at FROM source_bans ORDER BY network")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(SourceBan {
                network: row.text("network")?,
                reason: row.text("reason")?,
                author: row.text("author")?,
                since: row.time("since")?,
                until: row.opt_time("until_at")?,
            })
        })
        .collect()
}
