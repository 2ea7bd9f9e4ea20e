//! Alerts and locks: what was crossed, who was told, and who may not call.

use chrono::{DateTime, Utc};
use model::{AccountId, Alert, AlertId, CdrId, Lock, LockLevel, Money, Stopped, StoppedBy, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::alert_mail::{alert_mail, party_of};
use crate::audit::append;
use crate::outbox::enqueue_event;
use crate::provisioning_events::tell_locked;
use crate::revision::count_revision;
use crate::sql::{Bind, Columns, cells, json, micros, query, query_of};
use crate::stage_locks::{forget_behind, hold_locks};
use crate::webhook_words::tell_of_lock;
use crate::webhooks::enqueue_alert;
use crate::{Result, Store, StoreError};

/// One entry of an account's lock history.
pub type LockChange = Lock;

impl Store {
    /// Locks in force, by account. One with an end may have passed it: compare `until` with your time.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn locks(&self) -> Result<Vec<Lock>> {
        let mut tx = self.read().await?;
        let mut locks = load_locks(&mut tx).await?;
        tx.commit().await?;
        locks.retain(|lock| lock.level != LockLevel::None);
        Ok(locks)
    }

    /// Every lock ever set on or lifted from `account`, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lock_history(&self, account: AccountId) -> Result<Vec<LockChange>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT tenant, account, level, source, reason, alert, since, until_at FROM lock_history \
             WHERE account = $1 ORDER BY id",
        )
        .cells(cells![account.0])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(lock_of).collect()
    }

    /// Sets or lifts a lock by the hand of `actor`, with an entry in the audit log. The revision counts up, so that every process
    /// loads the lock with its next snapshot.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn set_lock(&self, lock: &Lock, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        hold_locks(&mut tx).await?;
        let before = query(
            "SELECT tenant, account, level, source, reason, alert, since, until_at FROM locks WHERE account = $1",
        )
        .cells(cells![lock.account.0])
        .fetch_optional(&mut *tx)
        .await?
        .map(|row| lock_of(&row))
        .transpose()?;
        insert_lock(&mut tx, lock).await?;
        if lock.level == LockLevel::None {
            forget_behind(&mut tx, lock.account).await?;
        }
        count_revision(&mut tx).await?;
        let before = before.map_or_else(String::new, |before| json(&before));
        append(&mut tx, actor, "set_lock", &format!("account:{}", lock.account), &before, &json(lock), now)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The latest alerts, newest first, each as last updated.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alerts(&self, max: u32) -> Result<Vec<Alert>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!("SELECT {ALERT_COLUMNS} FROM alerts ORDER BY at DESC, id LIMIT $1"))
            .cells(cells![max])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(alert_of).collect()
    }
}

/// What [`alert_of`] reads.
pub(crate) const ALERT_COLUMNS: &str = "id, tenant, account, rule, period, limit_micros, limit_currency, \
     value_micros, value_currency, lock_level, notify, evidence, at, severity, n_updates, finding, spending";

/// What [`lock_of`] reads.
pub(crate) const LOCK_COLUMNS: &str = "tenant, account, level, source, reason, alert, since, until_at";

/// One row for each account that was ever locked, lifted locks with level `none`.
pub(crate) async fn load_locks(conn: &mut AnyConnection) -> Result<Vec<Lock>> {
    let rows = query(
        "SELECT tenant, account, level, source, reason, alert, since, until_at FROM locks ORDER BY account",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(lock_of).collect()
}

/// Adds `lock` to the history and makes it the account's lock. Level `none` stays as a row too: with its time it tells a switch that
/// heard of a lock a moment ago, before the snapshot showed it, that the lock is lifted and not merely missing.
pub(crate) async fn insert_lock(conn: &mut AnyConnection, lock: &Lock) -> Result<()> {
    let before = query_of(format!("SELECT {LOCK_COLUMNS}, lapse_told FROM locks WHERE account = $1"))
        .cells(cells![lock.account.0])
        .fetch_optional(&mut *conn)
        .await?
        .map(|row| Ok::<_, StoreError>((lock_of(&row)?, row.flag("lapse_told")?)))
        .transpose()?;
    let before = before.as_ref().map(|(before, is_told)| (before, *is_told));
    tell_locked(conn, before, lock).await?;
    let row = cells![
        lock.account.0,
        lock.tenant.0,
        lock.level.as_str(),
        lock.source.as_str(),
        lock.reason.as_str(),
        lock.alert.as_ref().map(AlertId::as_bytes),
        lock.since,
        lock.until,
    ];
    let entry = query(
        "INSERT INTO lock_history (account, tenant, level, source, reason, alert, since, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id",
    )
    .cells(row.clone())
    .fetch_one(&mut *conn)
    .await?
    .int("id")?;
    tell_of_lock(conn, lock, entry).await?;
    query(
        "INSERT INTO locks (account, tenant, level, source, reason, alert, since, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account) DO UPDATE SET tenant = excluded.tenant, \
         level = excluded.level, source = excluded.source, reason = excluded.reason, alert = excluded.alert, \
         since = excluded.since, until_at = excluded.until_at, lapse_told = 0",
    )
    .cells(row)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps `alert`, or what it updates, and queues a mail to each address it names and a word to every webhook. What is no news is left alone.
pub(crate) async fn insert_alert(conn: &mut AnyConnection, alert: &Alert) -> Result<()> {
    let named = || format!("alert {}", alert.id);
    let done = query(
        "INSERT INTO alerts (id, tenant, account, rule, period, limit_micros, limit_currency, value_micros, \
         value_currency, lock_level, notify, evidence, at, severity, n_updates, finding, begun_at, spending) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT (id) \
         DO UPDATE SET limit_micros = excluded.limit_micros, limit_currency = excluded.limit_currency, \
         value_micros = excluded.value_micros, value_currency = excluded.value_currency, \
         lock_level = excluded.lock_level, notify = excluded.notify, evidence = excluded.evidence, at = excluded.at, \
         severity = excluded.severity, n_updates = excluded.n_updates, finding = excluded.finding, \
         spending = excluded.spending \
         WHERE alerts.n_updates < excluded.n_updates",
    )
    .cells(cells![
        alert.id.as_bytes(),
        alert.tenant.0,
        alert.account.0,
        alert.rule.as_str(),
        alert.period.as_str(),
        micros(alert.limit.amount, named)?,
        alert.limit.currency.as_str(),
        micros(alert.value.amount, named)?,
        alert.value.currency.as_str(),
        alert.lock.as_str(),
        json(&alert.notify),
        json(&alert.evidence),
        alert.at,
        alert.severity.as_str(),
        alert.update,
        json(&alert.finding),
        alert.at,
        json(&alert.spending),
    ])
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    let party = party_of(conn, alert).await?;
    enqueue_alert(conn, alert, &party).await?;
    for address in &alert.notify {
        enqueue_event(conn, &alert_mail(alert, &party, address), alert.at).await?;
    }
    Ok(())
}

/// Adds a call to what its alert stopped and saved. One that a lock stopped counts for the alert of the lock that was in force then, which
/// may have been lifted since; a lock that a person set has none.
pub(crate) async fn add_stopped(conn: &mut AnyConnection, stopped: Stopped) -> Result<()> {
    let adding = "UPDATE alerts SET n_stopped = n_stopped + 1, saved_micros = saved_micros + $1 WHERE id =";
    match stopped.by {
        StoppedBy::Alert(alert) => {
            let saved = micros(stopped.saved.amount, || format!("alert {alert}"))?;
            query_of(format!("{adding} $2")).cells(cells![saved, alert.as_bytes()]).execute(conn).await?;
        }
        StoppedBy::LockOf { account, at } => {
            let saved = micros(stopped.saved.amount, || format!("account {account}"))?;
            query_of(format!(
                "{adding} (SELECT alert FROM lock_history WHERE account = $2 AND since <= $3 AND level <> 'none' \
                 ORDER BY id DESC LIMIT 1)"
            ))
            .cells(cells![saved, account.0, at])
            .execute(conn)
            .await?;
        }
    }
    Ok(())
}

pub(crate) fn lock_of(row: &AnyRow) -> Result<Lock> {
    Ok(Lock {
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        level: row.word("level")?,
        source: row.word("source")?,
        reason: row.text("reason")?,
        alert: row.opt_id("alert", AlertId::from_bytes)?,
        since: row.time("since")?,
        until: row.opt_time("until_at")?,
    })
}

pub(crate) fn alert_of(row: &AnyRow) -> Result<Alert> {
    Ok(Alert {
        id: row.id("id", AlertId::from_bytes)?,
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        rule: row.text("rule")?,
        period: row.text("period")?,
        limit: Money::new(row.amount("limit_micros")?, row.word("limit_currency")?),
        value: Money::new(row.amount("value_micros")?, row.word("value_currency")?),
        lock: row.word("lock_level")?,
        notify: row.json("notify")?,
        evidence: row.json::<Vec<CdrId>>("evidence")?,
        at: row.time("at")?,
        severity: row.word("severity")?,
        update: row.narrow("n_updates")?,
        finding: row.json("finding")?,
        spending: row.json("spending")?,
    })
}
