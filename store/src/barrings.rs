//! Ranges of numbers that somebody may not call.

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, AlertId, Barring, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::revision::count_revision;
use crate::sql::{Bind, Columns, cells, json, query};
use crate::{Result, Store};

/// How long a barring whose time is over stays as a row: with its time it tells a switch that heard of it a moment ago that it was
/// lifted and is not merely missing.
const OVER_KEPT: TimeDelta = TimeDelta::days(1);

impl Store {
    /// All barrings, by whom they concern and by range; one may have passed its end: compare with your time.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn barrings(&self) -> Result<Vec<Barring>> {
        let mut tx = self.read().await?;
        let barrings = load_barrings(&mut tx).await?;
        tx.commit().await?;
        Ok(barrings)
    }

    /// Sets or lifts a barring by the hand of `actor`, with an entry in the audit log. The revision counts up, so that every process
    /// loads it with its next snapshot.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn set_barring(&self, barring: &Barring, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let before = query(
            "SELECT tenant, account, number_range, calls_per_minute, source, reason, alert, since, until_at \
             FROM barrings WHERE tenant = $1 AND account = $2 AND number_range = $3",
        )
        .cells(cells![barring.tenant.0, barring.account.0, barring.range.as_str()])
        .fetch_optional(&mut *tx)
        .await?
        .map(|row| barring_of(&row))
        .transpose()?;
        insert_barring(&mut tx, barring).await?;
        count_revision(&mut tx).await?;
        let before = before.map_or_else(String::new, |before| json(&before));
        let object = format!("barring:{}:{}", barring.account, barring.range);
        append(&mut tx, actor, "set_barring", &object, &before, &json(barring), now).await?;
        tx.commit().await?;
        Ok(())
    }
}

pub(crate) async fn load_barrings(conn: &mut AnyConnection) -> Result<Vec<Barring>> {
    let rows = query(
        "SELECT tenant, account, number_range, calls_per_minute, source, reason, alert, since, until_at \
         FROM barrings ORDER BY tenant, account, number_range",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(barring_of).collect()
}

/// Keeps `barring`, unless a later word on the same range is there, and clears away those whose time was over long before it.
pub(crate) async fn insert_barring(conn: &mut AnyConnection, barring: &Barring) -> Result<()> {
    query("DELETE FROM barrings WHERE until_at < $1")
        .cells(cells![barring.since - OVER_KEPT])
        .execute(&mut *conn)
        .await?;
    query(
        "INSERT INTO barrings (tenant, account, number_range, calls_per_minute, source, reason, alert, since, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, account, number_range) DO UPDATE SET \
         calls_per_minute = excluded.calls_per_minute, source = excluded.source, reason = excluded.reason, \
         alert = excluded.alert, since = excluded.since, until_at = excluded.until_at \
         WHERE barrings.since <= excluded.since",
    )
    .cells(cells![
        barring.tenant.0,
        barring.account.0,
        barring.range.as_str(),
        barring.calls_per_minute,
        barring.source.as_str(),
        barring.reason.as_str(),
        barring.alert.as_ref().map(AlertId::as_bytes),
        barring.since,
        barring.until,
    ])
    .execute(conn)
    .await?;
    Ok(())
}

fn barring_of(row: &AnyRow) -> Result<Barring> {
    Ok(Barring {
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        range: row.text("number_range")?,
        calls_per_minute: row.narrow("calls_per_minute")?,
        source: row.word("source")?,
        reason: row.text("reason")?,
        alert: row.opt_id("alert", AlertId::from_bytes)?,
        since: row.time("since")?,
        until: row.opt_time("until_at")?,
    })
}
