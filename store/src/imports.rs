//! Records of other systems on their way in: progress, keys, errors and records move in one transaction, so a crash at any line
//! loses and doubles nothing. What waits here is put on the bus by the running installation.

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Suspended, Topic};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, insert_rows, query, signed};
use crate::{Result, Store, StoreError};

/// Name of the stage in suspense and in origins.
pub const IMPORT: &str = "import";

/// One file, as far as it was taken in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Its number.
    pub id: i64,
    /// Which system wrote it.
    pub source: String,
    /// Its name when it was first seen.
    pub file_name: String,
    /// Lines done.
    pub lines_done: u64,
    /// Bytes done: where to go on.
    pub bytes_done: u64,
    /// What came of its records.
    pub counts: ImportCounts,
    /// When all of it was done.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What came of records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ImportCounts {
    /// Taken in.
    pub imported: u64,
    /// Their key was known.
    pub duplicates: u64,
    /// Put aside.
    pub suspended: u64,
    /// About no call of their own.
    pub passed_over: u64,
}

impl ImportCounts {
    /// Adds others.
    pub fn add(&mut self, other: ImportCounts) {
        self.imported += other.imported;
        self.duplicates += other.duplicates;
        self.suspended += other.suspended;
        self.passed_over += other.passed_over;
    }
}

/// One record taken in.
#[derive(Debug, Clone)]
pub struct ImportedRecord {
    /// Its key within its source.
    pub key: String,
    /// Whose lane it goes to.
    pub payer: AccountId,
    /// The record for the bus, without its origin.
    pub record: Vec<u8>,
}

/// One record put aside.
#[derive(Debug, Clone)]
pub struct SuspendedLine {
    /// Its line.
    pub line: u64,
    /// Why.
    pub suspended: Suspended,
    /// The record, with what it takes to read it again.
    pub raw: Vec<u8>,
}

/// A piece of a file.
#[derive(Debug, Clone, Default)]
pub struct ImportStep {
    /// Bytes done before it; whoever is not there any more is refused.
    pub expected_bytes: u64,
    /// Lines done after it.
    pub lines_done: u64,
    /// Bytes done after it.
    pub bytes_done: u64,
    /// Records taken in; those whose key is known fall out here.
    pub records: Vec<ImportedRecord>,
    /// Records put aside.
    pub suspended: Vec<SuspendedLine>,
    /// Records about no call of their own.
    pub passed_over: u64,
    /// Nothing comes after it.
    pub is_last: bool,
}

/// A record that waits to be put on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingImport {
    /// Counts up over all imports, without reuse.
    pub seq: u64,
    /// Whose lane it goes to.
    pub payer: AccountId,
    /// The record, without its origin.
    pub record: Vec<u8>,
}

impl Store {
    /// The file with this digest: as it was left, or new.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_begin(
        &self,
        source: &str,
        file_name: &str,
        digest: &str,
        now: DateTime<Utc>,
    ) -> Result<Import> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO imports (source, file_name, digest, lines_done, bytes_done, n_imported, n_duplicates, \
             n_suspended, n_passed_over, started_at) VALUES ($1, $2, $3, 0, 0, 0, 0, 0, 0, $4) \
             ON CONFLICT (source, digest) DO NOTHING",
        )
        .cells(cells![source, file_name, digest, now])
        .execute(&mut *tx)
        .await?;
        let row = query(
            "SELECT id, source, file_name, lines_done, bytes_done, n_imported, n_duplicates, n_suspended, \
             n_passed_over, finished_at FROM imports WHERE source = $1 AND digest = $2",
        )
        .cells(cells![source, digest])
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        import_of(&row)
    }

    /// Whether a key of a source was seen.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_knows(&self, source: &str, key: &str) -> Result<bool> {
        let mut tx = self.read().await?;
        let row = query("SELECT source FROM import_keys WHERE source = $1 AND record_key = $2")
            .cells(cells![source, key])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(row.is_some())
    }

    /// Takes in a piece of a file: all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::LaneMoved`] when somebody else has gone on with the file, and what the database says.
    pub async fn import_step(
        &self,
        import: i64,
        step: ImportStep,
        now: DateTime<Utc>,
    ) -> Result<ImportCounts> {
        let mut tx = self.write().await?;
        let row = query("SELECT source, bytes_done FROM imports WHERE id = $1")
            .cells(cells![import])
            .fetch_one(&mut *tx)
            .await?;
        let source = row.text("source")?;
        let n_records = step.records.len() as u64;
        let mut counts = ImportCounts {
            suspended: step.suspended.len() as u64,
            passed_over: step.passed_over,
            ..ImportCounts::default()
        };
        counts.imported = take_in(&mut tx, &source, step.records).await?;
        counts.duplicates = n_records - counts.imported;
        put_aside(&mut tx, step.suspended, now).await?;
        let done = query(
            "UPDATE imports SET lines_done = $2, bytes_done = $3, n_imported = n_imported + $4, \
             n_duplicates = n_duplicates + $5, n_suspended = n_suspended + $6, n_passed_over = n_passed_over + $7, \
             finished_at = $8 WHERE id = $1 AND bytes_done = $9",
        )
        .cells(cells![
            import,
            signed("line", step.lines_done)?,
            signed("byte", step.bytes_done)?,
            signed("count", counts.imported)?,
            signed("count", counts.duplicates)?,
            signed("count", counts.suspended)?,
            signed("count", counts.passed_over)?,
            step.is_last.then_some(now),
            signed("byte", step.expected_bytes)?,
        ])
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::LaneMoved {
                stage: IMPORT.to_owned(),
                partition: 0,
                expected: step.expected_bytes,
            });
        }
        tx.commit().await?;
        Ok(counts)
    }

    /// Takes in a record out of suspense, which is resolved with it. Whether its key was new; if not, it is resolved all the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when the record is not open any more, and what the database says.
    pub async fn import_suspended(
        &self,
        id: i64,
        source: &str,
        record: ImportedRecord,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let done = query(
            "UPDATE suspense SET resolved_at = $2 WHERE id = $1 AND stage = 'import' AND resolved_at IS NULL",
        )
        .cells(cells![id, now])
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() != 1 {
            return Err(StoreError::NotFound { what: "open suspended record", name: id.to_string() });
        }
        let after = format!("{source}/{}", record.key);
        let is_new = take_in(&mut tx, source, vec![record]).await? == 1;
        append(&mut tx, actor, "resubmit", &format!("suspense:{id}"), "", &after, now).await?;
        tx.commit().await?;
        Ok(is_new)
    }

    /// Records to be put on the bus, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_waiting(&self, max: u32) -> Result<Vec<WaitingImport>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT seq, payer, record FROM import_rows ORDER BY seq LIMIT $1")
            .cells(cells![max])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(WaitingImport {
                    seq: row.narrow("seq")?,
                    payer: AccountId(row.int("payer")?),
                    record: row.bytes("record")?,
                })
            })
            .collect()
    }

    /// Forgets what is on the bus: everything up to a number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_sent(&self, up_to: u64) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM import_rows WHERE seq <= $1")
            .cells(cells![signed("seq", up_to)?])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records ever taken in, and how many of them wait to be put on the bus.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_totals(&self) -> Result<(u64, u64)> {
        let mut tx = self.read().await?;
        let head = query("SELECT last_seq FROM import_heads WHERE one = 1").fetch_one(&mut *tx).await?;
        let waiting = query("SELECT count(*) AS n_rows FROM import_rows").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        Ok((head.narrow("last_seq")?, waiting.narrow("n_rows")?))
    }
}

/// Numbers and keeps those whose key is new, in their order; returns how many that were.
async fn take_in(conn: &mut AnyConnection, source: &str, records: Vec<ImportedRecord>) -> Result<u64> {
    let mut fresh = Vec::with_capacity(records.len());
    for record in records {
        let done =
            query("INSERT INTO import_keys (source, record_key) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .cells(cells![source, record.key.as_str()])
                .execute(&mut *conn)
                .await?;
        if done.rows_affected() == 1 {
            fresh.push(record);
        }
    }
    let n_fresh = fresh.len() as u64;
    if n_fresh == 0 {
        return Ok(0);
    }
    // The head is locked until the commit: a lower number never becomes visible after a higher one.
    let head = query("UPDATE import_heads SET last_seq = last_seq + $1 WHERE one = 1 RETURNING last_seq")
        .cells(cells![signed("count", n_fresh)?])
        .fetch_one(&mut *conn)
        .await?;
    let last: i64 = head.int("last_seq")?;
    let first = last - signed("count", n_fresh)? + 1;
    let rows = (first..).zip(fresh).map(|(seq, record)| cells![seq, record.payer.0, record.record]).collect();
    insert_rows(conn, "INSERT INTO import_rows (seq, payer, record)", "", rows).await?;
    Ok(n_fresh)
}

async fn put_aside(conn: &mut AnyConnection, lines: Vec<SuspendedLine>, now: DateTime<Utc>) -> Result<()> {
    let rows = lines
        .into_iter()
        .map(|line| {
            let what = line.suspended;
            Ok(cells![
                IMPORT,
                Topic::Cdrs.as_str(),
                0_u32,
                signed("line", line.line)?,
                line.raw,
                what.code,
                what.message,
                what.retry.as_str(),
                what.account.0,
                what.cdr.as_ref().map(CdrId::as_bytes),
                now,
            ])
        })
        .collect::<Result<Vec<_>>>()?;
    insert_rows(
        conn,
        "INSERT INTO suspense (stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at)",
        "",
        rows,
    )
    .await?;
    Ok(())
}

fn import_of(row: &AnyRow) -> Result<Import> {
    Ok(Import {
        id: row.int("id")?,
        source: row.text("source")?,
        file_name: row.text("file_name")?,
        lines_done: row.narrow("lines_done")?,
        bytes_done: row.narrow("bytes_done")?,
        counts: ImportCounts {
            imported: row.narrow("n_imported")?,
            duplicates: row.narrow("n_duplicates")?,
            suspended: row.narrow("n_suspended")?,
            passed_over: row.narrow("n_passed_over")?,
        },
        finished_at: row.opt_time("finished_at")?,
    })
}
