//! What people make of alerts: who has taken one on, what was noted, what it was found to be.

use chrono::{DateTime, Utc};
use model::{AccountId, Alert, AlertId, Money, Verdict};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::alert_mail::{hand_over_mail, party_of};
use crate::audit::append;
use crate::fraud_desk::{ALERT_COLUMNS, alert_of};
use crate::outbox::enqueue;
use crate::sql::{Bind, Columns, cells, query, query_of};
use crate::{Result, Store, StoreError};

/// Cases of one beginning that are read.
const NAMED_MAX: u32 = 20;

/// An alert as a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertCase {
    /// As last updated.
    pub alert: Alert,
    /// When its first word came.
    pub begun_at: DateTime<Utc>,
    /// Who took it on, and when.
    pub acknowledged: Option<(String, DateTime<Utc>)>,
    /// Whose case it is, if somebody was given it.
    pub handed: Option<HandOver>,
    /// What it was found to be, by whom and when.
    pub verdict: Option<(Verdict, String, DateTime<Utc>)>,
    /// Calls that were refused or cut because of it.
    pub n_stopped: u64,
    /// What those are reckoned to have cost, in the currency of `alert.value`.
    pub saved: Money,
    /// Oldest first.
    pub notes: Vec<AlertNote>,
}

/// A case that a named person was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandOver {
    /// Login name of who works on it.
    pub to: String,
    /// Who gave it.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// Which cases.
#[derive(Debug, Clone, Copy, Default)]
pub struct CaseFilter<'a> {
    /// Those without a verdict.
    pub only_open: bool,
    /// Those that this person was given.
    pub handed_to: Option<&'a str>,
}

/// One note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertNote {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub author: String,
    /// What.
    pub note: String,
}

/// How often a rule was right, by the verdicts of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleRecord {
    /// The rule.
    pub rule: String,
    /// Its alerts.
    pub n_alerts: u64,
    /// Of these found to be fraud.
    pub n_fraud: u64,
    /// Found to be ordinary traffic.
    pub n_clean: u64,
    /// Looked at without a result.
    pub n_unsure: u64,
}

impl RuleRecord {
    /// Fraud in the alerts that were judged one way or the other, in percent; `None` where none was.
    pub fn precision_percent(&self) -> Option<u64> {
        (self.n_fraud * 100).checked_div(self.n_fraud + self.n_clean)
    }
}

impl Store {
    /// The latest cases that pass the filter, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_cases(&self, filter: CaseFilter<'_>, max: u32) -> Result<Vec<AlertCase>> {
        let mut tx = self.read().await?;
        let open = if filter.only_open { "AND verdict IS NULL" } else { "" };
        let (mine, cells) = match filter.handed_to {
            Some(who) => ("AND handed_to = $2", cells![max, who]),
            None => ("", cells![max]),
        };
        let rows = query_of(format!(
            "SELECT {ALERT_COLUMNS}, {CASE_COLUMNS} FROM alerts WHERE 1 = 1 {open} {mine} \
             ORDER BY at DESC, id LIMIT $1"
        ))
        .cells(cells)
        .fetch_all(&mut *tx)
        .await?;
        let mut cases = Vec::new();
        for row in &rows {
            cases.push(case_of(&mut tx, row).await?);
        }
        tx.commit().await?;
        Ok(cases)
    }

    /// The latest cases of one account, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_cases_of(&self, account: AccountId, max: u32) -> Result<Vec<AlertCase>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT {ALERT_COLUMNS}, {CASE_COLUMNS} FROM alerts WHERE account = $1 ORDER BY at DESC, id LIMIT $2"
        ))
        .cells(cells![account.0, max])
        .fetch_all(&mut *tx)
        .await?;
        let mut cases = Vec::new();
        for row in &rows {
            cases.push(case_of(&mut tx, row).await?);
        }
        tx.commit().await?;
        Ok(cases)
    }

    /// The cases whose id begins with these hexadecimal digits, as people copy them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_cases_named(&self, prefix: &str) -> Result<Vec<AlertCase>> {
        let (Some(first), Some(last)) = (id_from(prefix, '0'), id_from(prefix, 'f')) else {
            return Ok(Vec::new());
        };
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT {ALERT_COLUMNS}, {CASE_COLUMNS} FROM alerts WHERE id >= $1 AND id <= $2 ORDER BY at DESC, id LIMIT $3"
        ))
        .cells(cells![first.as_bytes(), last.as_bytes(), NAMED_MAX])
        .fetch_all(&mut *tx)
        .await?;
        let mut cases = Vec::new();
        for row in &rows {
            cases.push(case_of(&mut tx, row).await?);
        }
        tx.commit().await?;
        Ok(cases)
    }

    /// `actor` gives a case to `to`, a person with a login, who is written to if there is an address. Whoever had it before has it no
    /// more; the trail of changes keeps that.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] where nobody of this name signs in, or there is no such alert; what the database says.
    pub async fn alert_hand_over(
        &self,
        id: AlertId,
        to: &str,
        note: Option<&str>,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let not_found = |what, name: &str| StoreError::NotFound { what, name: name.to_owned() };
        let address = query("SELECT mail FROM users WHERE name = $1")
            .cells(cells![to])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| not_found("user", to))?
            .opt_text("mail")?;
        let row = query_of(format!("SELECT {ALERT_COLUMNS}, handed_to FROM alerts WHERE id = $1"))
            .cells(cells![id.as_bytes()])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| not_found("alert", &id.to_string()))?;
        let (alert, before) = (alert_of(&row)?, row.opt_text("handed_to")?.unwrap_or_default());
        query("UPDATE alerts SET handed_to = $2, handed_by = $3, handed_at = $4 WHERE id = $1")
            .cells(cells![id.as_bytes(), to, actor, now])
            .execute(&mut *tx)
            .await?;
        append(&mut tx, actor, "hand_over", &format!("alert:{id}"), &before, to, now).await?;
        if let Some(note) = note {
            insert_note(&mut tx, id, note, actor, now).await?;
        }
        if let Some(address) = address {
            let party = party_of(&mut tx, &alert).await?;
            enqueue(&mut tx, &hand_over_mail(&alert, &party, (actor, note), &address), now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// `actor` takes an alert on; the first to do so stays.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_acknowledge(&self, id: AlertId, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "UPDATE alerts SET acknowledged_by = $2, acknowledged_at = $3 WHERE id = $1 AND acknowledged_by IS NULL",
        )
        .cells(cells![id.as_bytes(), actor, now])
        .execute(&mut *tx)
        .await?;
        append(&mut tx, actor, "acknowledge", &format!("alert:{id}"), "", "", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Says what an alert was found to be; a later verdict takes the place of an earlier one, and the audit log keeps both.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_judge(
        &self,
        id: AlertId,
        verdict: Verdict,
        note: Option<&str>,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let before = query("SELECT verdict FROM alerts WHERE id = $1")
            .cells(cells![id.as_bytes()])
            .fetch_optional(&mut *tx)
            .await?
            .and_then(|row| row.opt_text("verdict").transpose())
            .transpose()?
            .unwrap_or_default();
        query("UPDATE alerts SET verdict = $2, verdict_by = $3, verdict_at = $4 WHERE id = $1")
            .cells(cells![id.as_bytes(), verdict.as_str(), actor, now])
            .execute(&mut *tx)
            .await?;
        append(&mut tx, actor, "judge", &format!("alert:{id}"), &before, verdict.as_str(), now).await?;
        if let Some(note) = note {
            insert_note(&mut tx, id, note, actor, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Adds a note to an alert.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_note(&self, id: AlertId, note: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        insert_note(&mut tx, id, note, actor, now).await?;
        append(&mut tx, actor, "note", &format!("alert:{id}"), "", note, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Alerts and verdicts of each rule, by name. A warning is no alert of a rule that was right or wrong.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn alert_record(&self) -> Result<Vec<RuleRecord>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT rule, COUNT(*) AS n, \
             COALESCE(SUM(CASE WHEN verdict = 'fraud' THEN 1 ELSE 0 END), 0) AS fraud, \
             COALESCE(SUM(CASE WHEN verdict = 'clean' THEN 1 ELSE 0 END), 0) AS clean, \
             COALESCE(SUM(CASE WHEN verdict = 'unsure' THEN 1 ELSE 0 END), 0) AS unsure \
             FROM alerts WHERE severity = 'breach' GROUP BY rule ORDER BY rule",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(RuleRecord {
                    rule: row.text("rule")?,
                    n_alerts: row.narrow("n")?,
                    n_fraud: row.narrow("fraud")?,
                    n_clean: row.narrow("clean")?,
                    n_unsure: row.narrow("unsure")?,
                })
            })
            .collect()
    }
}

const CASE_COLUMNS: &str = "begun_at, acknowledged_by, acknowledged_at, handed_to, handed_by, handed_at, verdict, \
     verdict_by, verdict_at, saved_micros, n_stopped";

/// The first or last id that begins with these hexadecimal digits; `None` where none can.
fn id_from(prefix: &str, fill: char) -> Option<AlertId> {
    let rest = 32_usize.checked_sub(prefix.len())?;
    prefix.chars().chain(std::iter::repeat_n(fill, rest)).collect::<String>().parse().ok()
}

async fn insert_note(
    conn: &mut AnyConnection,
    id: AlertId,
    note: &str,
    author: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    query("INSERT INTO alert_notes (alert, at, author, note) VALUES ($1, $2, $3, $4)")
        .cells(cells![id.as_bytes(), now, author, note])
        .execute(conn)
        .await?;
    Ok(())
}

async fn case_of(conn: &mut AnyConnection, row: &AnyRow) -> Result<AlertCase> {
    let alert = alert_of(row)?;
    let notes = query("SELECT at, author, note FROM alert_notes WHERE alert = $1 ORDER BY id")
        .cells(cells![alert.id.as_bytes()])
        .fetch_all(conn)
        .await?;
    let notes = notes
        .iter()
        .map(|row| {
            Ok(AlertNote { at: row.time("at")?, author: row.text("author")?, note: row.text("note")? })
        })
        .collect::<Result<Vec<_>>>()?;
    let by = |who: &'static str, when: &'static str| -> Result<Option<(String, DateTime<Utc>)>> {
        Ok(row.opt_text(who)?.zip(row.opt_time(when)?))
    };
    let verdict = match (row.opt_text("verdict")?, by("verdict_by", "verdict_at")?) {
        (Some(_), Some((who, when))) => Some((row.word("verdict")?, who, when)),
        _ => None,
    };
    let handed = match (row.opt_text("handed_to")?, by("handed_by", "handed_at")?) {
        (Some(to), Some((by, at))) => Some(HandOver { to, by, at }),
        _ => None,
    };
    Ok(AlertCase {
        handed,
        begun_at: row.opt_time("begun_at")?.unwrap_or(alert.at),
        acknowledged: by("acknowledged_by", "acknowledged_at")?,
        verdict,
        notes,
        n_stopped: row.narrow("n_stopped")?,
        saved: Money::new(row.amount("saved_micros")?, alert.value.currency),
        alert,
    })
}
