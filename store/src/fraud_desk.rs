//! Alerts and locks: what was crossed, who was told, and who may not call.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use model::{AccountId, Alert, AlertId, CdrId, Lock, LockLevel, Money, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::outbox::{NewMail, enqueue};
use crate::sql::{Bind, Columns, cells, json, micros, query};
use crate::{Result, Store};

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
        let before = query(
            "SELECT tenant, account, level, source, reason, alert, since, until_at FROM locks WHERE account = $1",
        )
        .cells(cells![lock.account.0])
        .fetch_optional(&mut *tx)
        .await?
        .map(|row| lock_of(&row))
        .transpose()?;
        insert_lock(&mut tx, lock).await?;
        query("UPDATE revisions SET revision = revision + 1 WHERE one = 1").execute(&mut *tx).await?;
        let before = before.map_or_else(String::new, |before| json(&before));
        append(&mut tx, actor, "set_lock", &format!("account:{}", lock.account), &before, &json(lock), now)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The latest alerts, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alerts(&self, max: u32) -> Result<Vec<Alert>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, tenant, account, rule, period, limit_micros, limit_currency, value_micros, value_currency, \
             lock_level, notify, evidence, at FROM alerts ORDER BY at DESC, id LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(alert_of).collect()
    }
}

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
    query(
        "INSERT INTO lock_history (account, tenant, level, source, reason, alert, since, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .cells(row.clone())
    .execute(&mut *conn)
    .await?;
    query(
        "INSERT INTO locks (account, tenant, level, source, reason, alert, since, until_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account) DO UPDATE SET tenant = excluded.tenant, \
         level = excluded.level, source = excluded.source, reason = excluded.reason, alert = excluded.alert, \
         since = excluded.since, until_at = excluded.until_at",
    )
    .cells(row)
    .execute(conn)
    .await?;
    Ok(())
}

/// Keeps `alert` and queues a mail to each address it names. An alert that is there already is left alone.
pub(crate) async fn insert_alert(conn: &mut AnyConnection, alert: &Alert) -> Result<()> {
    let named = || format!("alert {}", alert.id);
    let done = query(
        "INSERT INTO alerts (id, tenant, account, rule, period, limit_micros, limit_currency, value_micros, \
         value_currency, lock_level, notify, evidence, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING",
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
    ])
    .execute(&mut *conn)
    .await?;
    if done.rows_affected() == 0 {
        return Ok(());
    }
    if alert.notify.is_empty() {
        return Ok(());
    }
    let party = party_of(conn, alert).await?;
    for address in &alert.notify {
        enqueue(conn, &mail_of(alert, &party, address), alert.at).await?;
    }
    Ok(())
}

/// What the mail of an alert says of its account.
struct Party {
    name: String,
    handle: String,
    zone: Tz,
    /// When the lock lifts itself, if that is known.
    lock_ends: Option<DateTime<Utc>>,
}

async fn party_of(conn: &mut AnyConnection, alert: &Alert) -> Result<Party> {
    let row = query(
        "SELECT accounts.handle AS handle, accounts.timezone AS timezone, contacts.name AS name FROM accounts \
         JOIN contacts ON contacts.id = accounts.contact WHERE accounts.id = $1",
    )
    .cells(cells![alert.account.0])
    .fetch_optional(&mut *conn)
    .await?;
    let (name, handle, zone) = match row {
        Some(row) => (row.text("name")?, row.text("handle")?, row.word("timezone")?),
        None => (String::new(), alert.account.to_string(), Tz::UTC),
    };
    // The lock of the alert is written after it. What stands now and is as strong is the lock of somebody else, or of an earlier
    // alert, and stays.
    let standing = query("SELECT until_at FROM locks WHERE account = $1 AND level = $2")
        .cells(cells![alert.account.0, alert.lock.as_str()])
        .fetch_optional(conn)
        .await?
        .map(|row| row.opt_time("until_at"))
        .transpose()?
        .filter(|until| until.is_none_or(|until| until > alert.at));
    let lock_ends = match (alert.lock, standing) {
        (LockLevel::None, _) => None,
        (_, Some(until)) => until,
        (_, None) => day_of(alert).parse().ok().and_then(|day| next_day(day, zone)),
    };
    Ok(Party { name: visible(&name), handle: visible(&handle), zone, lock_ends })
}

/// The period without the count of its alerts: `2026-10-05` of `2026-10-05/2`.
fn day_of(alert: &Alert) -> &str {
    alert.period.split_once('/').map_or(alert.period.as_str(), |(day, _)| day)
}

/// The first instant of the day after `day`, at one o'clock or later where the clocks skip midnight.
fn next_day(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.succ_opt()?.and_time(NaiveTime::MIN);
    // No zone has ever skipped more than a day.
    (0..=26 * 4)
        .filter_map(|n_quarters| midnight.checked_add_signed(TimeDelta::minutes(15 * n_quarters)))
        .find_map(|local| local.and_local_timezone(zone).earliest())
        .map(|begins| begins.with_timezone(&Utc))
}

/// Without line ends and other control characters.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What is locked, in words.
fn in_words(level: LockLevel) -> &'static str {
    match level {
        LockLevel::None => "nothing was locked",
        LockLevel::Foreign => "calls that leave the platform are locked",
        LockLevel::Outgoing => "outgoing calls are locked",
        LockLevel::All => "all calls are locked",
        LockLevel::Global => "all calls and the self-care are locked",
        LockLevel::Ported => "all calls are locked, the number has moved away",
    }
}

fn mail_of(alert: &Alert, party: &Party, address: &str) -> NewMail {
    let Party { name, handle, zone, lock_ends } = party;
    let who = if name.is_empty() { handle.clone() } else { format!("{name} ({handle})") };
    let (value, limit) = (alert.value.round_to_minor(), alert.limit.round_to_minor());
    let (rule, day, lock) = (&alert.rule, day_of(alert), in_words(alert.lock));
    let local = |at: DateTime<Utc>| at.with_timezone(zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let mut lines = vec![
        format!("{who} has reached a limit."),
        String::new(),
        format!("Limit:    {limit} ({rule})"),
        format!("Spent:    {value} on {day}"),
        format!("Lock:     {lock}"),
        format!("Reached:  {}", local(alert.at)),
    ];
    lines.extend(lock_ends.map(|ends| format!("Lock ends by itself: {}", local(ends))));
    if !alert.evidence.is_empty() {
        lines.push("\nThe dearest calls, and how each was priced:".to_owned());
        lines.extend(alert.evidence.iter().map(|cdr| format!("  tollbook explain {cdr}")));
    }
    if alert.lock != LockLevel::None {
        lines.push("\nTo unlock the account:".to_owned());
        lines.push(format!("  tollbook fraud unlock {handle} --reason \"...\""));
    }
    lines.push(format!("\nAlert {}\n", alert.id));
    NewMail {
        to: vec![address.to_owned()],
        subject: visible(&format!("{who}: {value} spent on {day}, limit {limit} - {lock}")),
        text: lines.join("\n"),
        attachments: Vec::new(),
        about: format!("alert:{}", alert.id),
    }
}

fn lock_of(row: &AnyRow) -> Result<Lock> {
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

fn alert_of(row: &AnyRow) -> Result<Alert> {
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
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, day: &str, expected: &str) {
        let begins = next_day(day.parse().unwrap(), zone.parse().unwrap());
        assert_eq!(begins, Some(expected.parse().unwrap()), "{zone} {day}");
    }

    #[test]
    fn next_day_begins_at_local_midnight_or_where_the_clocks_skip_it_after() {
        check("Europe/Vienna", "2026-10-25", "2026-10-25T23:00:00Z");
        check("Europe/Vienna", "2026-03-29", "2026-03-29T22:00:00Z");
        check("Africa/Cairo", "2023-04-27", "2023-04-27T22:00:00Z");
        check("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z");
    }
}
