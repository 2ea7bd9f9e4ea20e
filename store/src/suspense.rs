//! Records that a stage could not process: kept raw, until somebody changes what was missing and tries again.

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Retry, Suspended, Topic};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, insert_rows, query};
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
    /// When it was sent in again, or discarded; `None` is open.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Asked to be sent in again: its number among all that ever were.
    pub resubmit_seq: Option<i64>,
    /// Why it was discarded.
    pub discard_reason: Option<String>,
    /// When somebody last changed the record.
    pub fixed_at: Option<DateTime<Utc>>,
}

/// A record that somebody wants a stage to take, made outside the pipeline: an order. It waits with the suspended records and is
/// sent in as they are when they are asked for, so it is neither lost nor taken twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResendOrder {
    /// Which stage is to take it.
    pub stage: String,
    /// What the stage reads.
    pub topic: Topic,
    /// In which lane.
    pub partition: u32,
    /// The record.
    pub raw: Vec<u8>,
    /// What kind of order it is, where records show why they were put aside.
    pub code: String,
    /// Whose lane.
    pub account: AccountId,
    /// Of which call.
    pub cdr: CdrId,
}

impl Store {
    /// Keeps orders and asks for them to be sent in, behind all records that ever were. Returns how many.
    ///
    /// # Errors
    ///
    /// What the database says; then none is kept.
    pub async fn suspense_order(
        &self,
        orders: Vec<ResendOrder>,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<usize> {
        let n_orders = orders.len();
        let Some(code) = orders.first().map(|order| order.code.clone()) else { return Ok(0) };
        let mut tx = self.write().await?;
        let first = next_seq(&mut tx).await?;
        let rows = orders
            .into_iter()
            .zip(first..)
            .map(|(order, seq)| {
                cells![
                    order.stage,
                    order.topic.as_str(),
                    order.partition,
                    0_i64,
                    order.raw,
                    order.code,
                    reason,
                    Retry::AfterRepair.as_str(),
                    order.account.0,
                    order.cdr.as_bytes(),
                    now,
                    seq,
                ]
            })
            .collect();
        insert_rows(
            &mut tx,
            "INSERT INTO suspense (stage, topic, part, record_offset, raw, code, message, retry, account, cdr, \
             created_at, resubmit_seq)",
            "",
            rows,
        )
        .await?;
        append(&mut tx, actor, "order", "suspense", "", &format!("{n_orders} of {code}: {reason}"), now)
            .await?;
        tx.commit().await?;
        Ok(n_orders)
    }

    /// Records not yet sent in again, oldest first; with `after` the ones behind that id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_list(&self, after: i64, max: u32) -> Result<Vec<SuspendedRecord>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at, \
             resolved_at, resubmit_seq, discard_reason, fixed_at FROM suspense WHERE resolved_at IS NULL AND id > $1 ORDER BY id LIMIT $2",
        )
        .cells(cells![after, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(record_of).collect()
    }

    /// As [`Store::suspense_list`], of one code and one stage alone where they are named.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_list_of(
        &self,
        after: i64,
        max: u32,
        code: Option<&str>,
        stage: Option<&str>,
    ) -> Result<Vec<SuspendedRecord>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at, \
             resolved_at, resubmit_seq, discard_reason, fixed_at FROM suspense WHERE resolved_at IS NULL \
             AND id > $1 AND ($3 = '' OR code = $3) AND ($4 = '' OR stage = $4) ORDER BY id LIMIT $2",
        )
        .cells(cells![after, max, code.unwrap_or_default(), stage.unwrap_or_default()])
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
             resolved_at, resubmit_seq, discard_reason, fixed_at FROM suspense WHERE id = $1",
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

    /// Asks for records to be sent in again: numbers them in the order of their ids, behind all that ever were. Returns the ids
    /// of those that were open and not asked for before; the others are left alone.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_request(&self, ids: &[i64], actor: &str, now: DateTime<Utc>) -> Result<Vec<i64>> {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids.dedup();
        let mut tx = self.write().await?;
        let mut next = next_seq(&mut tx).await?;
        let mut requested = Vec::new();
        for id in ids {
            let done = query(
                "UPDATE suspense SET resubmit_seq = $2 \
                 WHERE id = $1 AND resolved_at IS NULL AND resubmit_seq IS NULL",
            )
            .cells(cells![id, next])
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 1 {
                next += 1;
                requested.push(id);
            }
        }
        if !requested.is_empty() {
            let list: Vec<String> = requested.iter().map(ToString::to_string).collect();
            append(&mut tx, actor, "resubmit", "suspense", "", &list.join(","), now).await?;
        }
        tx.commit().await?;
        Ok(requested)
    }

    /// Records to be sent in again, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_requested(&self, max: u32) -> Result<Vec<SuspendedRecord>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at, \
             resolved_at, resubmit_seq, discard_reason, fixed_at FROM suspense \
             WHERE resubmit_seq IS NOT NULL AND resolved_at IS NULL ORDER BY resubmit_seq LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(record_of).collect()
    }

    /// Marks records as sent in again.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_sent(&self, ids: &[i64], at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        for id in ids {
            query("UPDATE suspense SET resolved_at = $2 WHERE id = $1 AND resolved_at IS NULL")
                .cells(cells![*id, at])
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// Takes back a request for a record that cannot be sent, and says why. Only for one that was never appended: the next
    /// request may get its number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_release(&self, id: i64, message: &str) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE suspense SET resubmit_seq = NULL, message = $2 WHERE id = $1 AND resolved_at IS NULL")
            .cells(cells![id, message])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives records up, and keeps why. Returns the ids of those that were open and not asked to be sent in again; the
    /// others are left alone.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_discard(
        &self,
        ids: &[i64],
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Vec<i64>> {
        let mut tx = self.write().await?;
        let mut discarded = Vec::new();
        for id in ids {
            let row = query(
                "UPDATE suspense SET resolved_at = $2, discard_reason = $3 \
                 WHERE id = $1 AND resolved_at IS NULL AND resubmit_seq IS NULL RETURNING code, message",
            )
            .cells(cells![*id, now, reason])
            .fetch_optional(&mut *tx)
            .await?;
            if let Some(row) = row {
                let before = format!("{} {}", row.text("code")?, row.text("message")?);
                append(&mut tx, actor, "discard", &format!("suspense:{id}"), &before, reason, now).await?;
                discarded.push(*id);
            }
        }
        tx.commit().await?;
        Ok(discarded)
    }

    /// Puts another record in the place of one that is open and not asked to be sent in again. `before` and `after` are both in words,
    /// for the audit log. Whether it was open.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_fix(
        &self,
        id: i64,
        raw: Vec<u8>,
        (before, after): (&str, &str),
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = query(
            "UPDATE suspense SET raw = $2, fixed_at = $3 WHERE id = $1 AND resolved_at IS NULL AND resubmit_seq IS NULL",
        )
        .cells(cells![id, raw, now])
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 1 {
            append(&mut tx, actor, "fix", &format!("suspense:{id}"), before, after, now).await?;
        }
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Stage and call of every record that is nowhere else: open ones, and those discarded.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_held(&self) -> Result<Vec<(String, Option<CdrId>)>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT stage, cdr FROM suspense WHERE resolved_at IS NULL OR discard_reason IS NOT NULL")
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("stage")?, row.opt_id("cdr", CdrId::from_bytes)?))).collect()
    }

    /// Partition and offset of every record that a stage never took in: unreadable ones, and those it failed on or whose outcome was
    /// refused.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_poisoned(&self, stage: &str) -> Result<Vec<(u32, u64)>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT part, record_offset FROM suspense WHERE stage = $1 AND code LIKE 'RUN%'")
            .cells(cells![stage])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.narrow("part")?, row.narrow("record_offset")?))).collect()
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

impl Store {
    /// The first `max` open records with this code, by their number: what they are.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_raw(&self, code: &str, max: u32) -> Result<Vec<Vec<u8>>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT raw FROM suspense WHERE code = $1 AND resolved_at IS NULL ORDER BY id LIMIT $2")
                .cells(cells![code, max])
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.bytes("raw")).collect()
    }
}

/// The number of the next record to be sent in. Until the transaction ends nobody else gets one: a number that became visible after a
/// higher one was sent would pass for a replay. The head of the audit log is what every request locks.
async fn next_seq(conn: &mut AnyConnection) -> Result<i64> {
    query("UPDATE audit_heads SET last_id = last_id WHERE one = 1").execute(&mut *conn).await?;
    let row = query(
        "SELECT last_seq, COALESCE((SELECT MAX(resubmit_seq) FROM suspense), 0) AS highest FROM resubmit_heads \
         WHERE one = 1",
    )
    .fetch_one(&mut *conn)
    .await?;
    Ok(row.int("last_seq")?.max(row.int("highest")?) + 1)
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
        resubmit_seq: row.opt_int("resubmit_seq")?,
        discard_reason: row.opt_text("discard_reason")?,
        fixed_at: row.opt_time("fixed_at")?,
    })
}
