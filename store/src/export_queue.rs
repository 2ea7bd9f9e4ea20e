//! Calls waiting for a partner's file, and the files made of them.
//!
//! A file is planned first: its number is taken and its rows are tied to it in one transaction. Then it is written and
//! reported. A crash in between leaves a planned file, which is written again with the same number and the same rows.
//! Numbers have no gaps: one that was taken always has its file. What its bytes depend on is kept with the plan, so that
//! neither a changed configuration nor a renamed account makes another file of it.
//!
//! A call that a later revision has overtaken before it was written is in no file. A revision of a call that is in a file
//! goes into a later one, or, where the format cannot say that it is a correction, into the queue of another series.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::sql::{Bind, Cell, Columns, Query, cells, execute_in, query, signed, unreadable};
use crate::{Result, Store, StoreError};

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExportState {
    /// Rows and number are fixed; not known to be on disk.
    Planned,
    /// On disk, whole.
    Written {
        /// Its length.
        n_bytes: u64,
        /// Its MD5, lower-case hexadecimal.
        md5: String,
        /// Its SHA-256; `None` of a file written before that was kept.
        sha256: Option<String>,
    },
}

/// One file of one owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportFile {
    /// Its id.
    pub id: i64,
    /// Its series: `system`, `reseller:ID` or `carrier:ID` of the main stream, with `STREAM/` before it of another.
    pub owner: String,
    /// Counts up from 1 for each owner, without gaps.
    pub sequence: u64,
    /// File name.
    pub name: String,
    /// Calls in it.
    pub n_rows: u64,
    /// When it was planned; the time it bears.
    pub created_at: DateTime<Utc>,
    /// Hash of its format's description; `None` of a file planned before that was kept, as of the three that follow.
    pub format: Option<String>,
    /// Zone of its times.
    pub zone: Option<String>,
    /// What its owner was called.
    pub owner_name: Option<String>,
    /// Start of one of its calls, where all are of one day.
    pub day: Option<DateTime<Utc>>,
    /// How far it is.
    pub state: ExportState,
}

/// What a file is planned with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportPlan<'a> {
    /// Its series.
    pub owner: &'a str,
    /// Calls in it at most.
    pub rows_max: u32,
    /// When it is planned.
    pub now: DateTime<Utc>,
    /// Hash of a description that [`Store::export_keep_format`] has kept.
    pub format: &'a str,
    /// Zone of its times.
    pub zone: &'a str,
    /// What its owner is called.
    pub owner_name: &'a str,
    /// Whether a file without calls is planned when none wait.
    pub may_be_empty: bool,
    /// The series that has the corrections of calls in earlier files of this one; `None`: this one has them itself.
    pub corrections: Option<&'a str>,
}

/// Shown the calls that wait, oldest first: which of them go into the file, and a start of theirs where all are of one day.
pub type ChooseCalls<'a> = dyn Fn(&[Vec<u8>]) -> (Option<DateTime<Utc>>, Vec<bool>) + Send + Sync + 'a;

/// A call of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportCall {
    /// The call.
    pub payload: Vec<u8>,
    /// The latest revision of it in an earlier file of the series, or of the series that it corrects.
    pub earlier: Option<Vec<u8>>,
}

/// A format's description, as it was when files were planned with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFormat {
    /// Of the format.
    pub name: String,
    /// TOML.
    pub description: String,
}

/// All that a file is read from.
const FILE_COLUMNS: &str = "id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5, sha256, format, zone, owner_name, day";

impl Store {
    /// Plans the next file of a series from its oldest waiting calls; `None` if none wait and it may not be empty.
    ///
    /// `choose` is shown the calls that would be in it and says which of them are, and which day they are of; the
    /// others stay for a later file. `name` makes its name from its number and that day.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_plan(
        &self,
        plan: ExportPlan<'_>,
        choose: Option<&ChooseCalls<'_>>,
        name: impl Fn(u64, Option<DateTime<Utc>>) -> String + Send,
    ) -> Result<Option<ExportFile>> {
        let owner = plan.owner;
        let mut tx = self.write().await?;
        // First of all: whoever plans for the same series at the same time waits here until we are done.
        let sequence = next_sequence(&mut tx, owner).await?;
        settle_revisions(&mut tx, &plan).await?;
        let (day, chosen) = match choose {
            None => (None, None),
            Some(choose) => choose_rows(&mut tx, &plan, choose).await?,
        };
        let name = name(sequence, day);
        let mut file = plan_file(&mut tx, &plan, sequence, name, day).await?;
        let id = file.id;
        let n_rows = match chosen {
            None => {
                let taken = query(
                    "UPDATE export_rows SET file = $1 WHERE id IN \
                     (SELECT id FROM export_rows WHERE owner = $2 AND file IS NULL AND passed IS NULL ORDER BY id LIMIT $3)",
                )
                .cells(cells![id, owner, plan.rows_max])
                .execute(&mut *tx)
                .await?;
                taken.rows_affected()
            }
            Some(chosen) => {
                let n_rows = u64::try_from(chosen.len()).unwrap_or(u64::MAX);
                let chosen = chosen.into_iter().map(Cell::from).collect();
                execute_in(&mut tx, "UPDATE export_rows SET file = $1 WHERE id", &[Cell::from(id)], chosen)
                    .await?;
                n_rows
            }
        };
        if n_rows == 0 && !plan.may_be_empty {
            give_back(&mut tx, owner, id).await?;
            tx.commit().await?;
            return Ok(None);
        }
        query("UPDATE export_files SET n_rows = $2 WHERE id = $1")
            .cells(cells![id, signed("rows", n_rows)?])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        file.n_rows = n_rows;
        Ok(Some(file))
    }

    /// Keeps a format's description under its hash, once.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_keep_format(&self, hash: &str, format: &KeptFormat) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO export_formats (hash, name, description) VALUES ($1, $2, $3) \
             ON CONFLICT (hash) DO NOTHING",
        )
        .cells(cells![hash, format.name.as_str(), format.description.as_str()])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The description kept under `hash`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_format(&self, hash: &str) -> Result<Option<KeptFormat>> {
        let mut tx = self.read().await?;
        let row = query("SELECT name, description FROM export_formats WHERE hash = $1")
            .cells(cells![hash])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| Ok(KeptFormat { name: row.text("name")?, description: row.text("description")? }))
            .transpose()
    }

    /// When the files of `stream` were last closed by the clock.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_ran_at(&self, stream: &str) -> Result<Option<DateTime<Utc>>> {
        let mut tx = self.read().await?;
        let row = query("SELECT ran_at FROM export_runs WHERE stream = $1")
            .cells(cells![stream])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| row.time("ran_at")).transpose()
    }

    /// Notes that the files of `stream` were closed by the clock.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_set_ran_at(&self, stream: &str, at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO export_runs (stream, ran_at) VALUES ($1, $2) \
             ON CONFLICT (stream) DO UPDATE SET ran_at = excluded.ran_at",
        )
        .cells(cells![stream, at])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The calls of a file, in order. `corrected` is the series whose corrections the file has, if it is such a one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_rows(&self, file: i64, corrected: Option<&str>) -> Result<Vec<ExportCall>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT payload, CASE WHEN revision > 0 THEN (SELECT earlier.payload FROM export_rows earlier \
             WHERE earlier.owner IN (export_rows.owner, $2) AND earlier.cdr = export_rows.cdr \
             AND earlier.revision < export_rows.revision AND earlier.file IS NOT NULL \
             ORDER BY earlier.revision DESC LIMIT 1) END AS earlier \
             FROM export_rows WHERE file = $1 ORDER BY id",
        )
        .cells(cells![file, corrected.unwrap_or_default()])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| Ok(ExportCall { payload: row.bytes("payload")?, earlier: row.opt_bytes("earlier")? }))
            .collect()
    }

    /// Notes that a file is on disk, whole.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a file never planned; what the database says.
    pub async fn export_written(&self, file: i64, n_bytes: u64, md5: &str, sha256: &str) -> Result<()> {
        let mut tx = self.write().await?;
        let done = query(
            "UPDATE export_files SET state = 'written', n_bytes = $2, md5 = $3, sha256 = $4 WHERE id = $1",
        )
        .cells(cells![file, signed("bytes", n_bytes)?, md5, sha256])
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "export file", name: file.to_string() });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Files that are planned and not known to be on disk: to be written before any new one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_unfinished(&self) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows = files_where("state = 'planned' ORDER BY id").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }

    /// Series with calls waiting, and how many wait.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_waiting(&self) -> Result<Vec<(String, u64)>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT owner, count(*) AS n FROM export_rows WHERE file IS NULL AND passed IS NULL GROUP BY owner \
             ORDER BY owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("owner")?, row.narrow("n")?))).collect()
    }

    /// How many calls wait for a series' next files.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_waiting_for(&self, owner: &str) -> Result<u64> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT count(*) AS n FROM export_rows WHERE owner = $1 AND file IS NULL AND passed IS NULL",
        )
        .cells(cells![owner])
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        row.narrow("n")
    }

    /// The latest calls queued for a series, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_latest_calls(&self, owner: &str, max: u32) -> Result<Vec<Vec<u8>>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT payload FROM export_rows WHERE owner = $1 ORDER BY id DESC LIMIT $2")
            .cells(cells![owner, max])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.bytes("payload")).collect()
    }

    /// When the latest file of each series was planned.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_latest_times(&self) -> Result<Vec<(String, DateTime<Utc>)>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT owner, max(created_at) AS latest FROM export_files GROUP BY owner")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("owner")?, row.time("latest")?))).collect()
    }

    /// The file of that number.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_file(&self, owner: &str, sequence: u64) -> Result<Option<ExportFile>> {
        let mut tx = self.read().await?;
        let row = files_where("owner = $1 AND sequence = $2")
            .cells(cells![owner, signed("sequence", sequence)?])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.as_ref().map(file_of).transpose()
    }

    /// All files of `owner`, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_files(&self, owner: &str) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows =
            files_where("owner = $1 ORDER BY sequence").cells(cells![owner]).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }
}

/// A file that is planned, without rows yet.
pub(crate) async fn plan_file(
    conn: &mut AnyConnection,
    plan: &ExportPlan<'_>,
    sequence: u64,
    name: String,
    day: Option<DateTime<Utc>>,
) -> Result<ExportFile> {
    let id = query(
        "INSERT INTO export_files \
         (owner, sequence, name, n_rows, state, created_at, format, zone, owner_name, day) \
         VALUES ($1, $2, $3, 0, 'planned', $4, $5, $6, $7, $8) RETURNING id",
    )
    .cells(cells![
        plan.owner,
        signed("sequence", sequence)?,
        name.as_str(),
        plan.now,
        plan.format,
        plan.zone,
        plan.owner_name,
        day,
    ])
    .fetch_one(conn)
    .await?
    .int("id")?;
    // As it will be read back: to the microsecond.
    let stored = |at: DateTime<Utc>| DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at);
    Ok(ExportFile {
        id,
        owner: plan.owner.to_owned(),
        sequence,
        name,
        n_rows: 0,
        created_at: stored(plan.now),
        format: Some(plan.format.to_owned()),
        zone: Some(plan.zone.to_owned()),
        owner_name: Some(plan.owner_name.to_owned()),
        day: day.map(stored),
        state: ExportState::Planned,
    })
}

pub(crate) async fn next_sequence(conn: &mut AnyConnection, owner: &str) -> Result<u64> {
    query(
        "INSERT INTO export_sequences (owner, last_number) VALUES ($1, 1) ON CONFLICT (owner) \
         DO UPDATE SET last_number = export_sequences.last_number + 1 RETURNING last_number",
    )
    .cells(cells![owner])
    .fetch_one(conn)
    .await?
    .narrow("last_number")
}

/// Takes a number and a file back that nobody has seen: the numbers have no gap.
pub(crate) async fn give_back(conn: &mut AnyConnection, owner: &str, id: i64) -> Result<()> {
    query("DELETE FROM export_files WHERE id = $1").cells(cells![id]).execute(&mut *conn).await?;
    query("UPDATE export_sequences SET last_number = last_number - 1 WHERE owner = $1")
        .cells(cells![owner])
        .execute(&mut *conn)
        .await?;
    query("DELETE FROM export_sequences WHERE owner = $1 AND last_number = 0")
        .cells(cells![owner])
        .execute(conn)
        .await?;
    Ok(())
}

/// Waiting calls of the series that a revision after the first is known of.
const WAITING: &str = "owner = $1 AND file IS NULL AND passed IS NULL AND EXISTS \
    (SELECT 1 FROM export_rows later WHERE later.owner = $1 AND later.cdr = export_rows.cdr AND later.revision > 0)";

/// Of a waiting call and its later revision the later one is written. What corrects a call of an earlier file goes where
/// corrections go.
async fn settle_revisions(conn: &mut AnyConnection, plan: &ExportPlan<'_>) -> Result<()> {
    let owner = plan.owner;
    let any = query("SELECT 1 AS one FROM export_rows WHERE owner = $1 AND revision > 0 LIMIT 1")
        .cells(cells![owner])
        .fetch_optional(&mut *conn)
        .await?;
    if any.is_none() {
        return Ok(());
    }
    let overtaken = format!(
        "UPDATE export_rows SET passed = 'superseded' WHERE {WAITING} AND EXISTS (SELECT 1 FROM export_rows later \
         WHERE later.owner = $1 AND later.cdr = export_rows.cdr AND later.revision > export_rows.revision)"
    );
    sqlx::query(AssertSqlSafe(overtaken)).cells(cells![owner]).execute(&mut *conn).await?;
    let Some(corrections) = plan.corrections else { return Ok(()) };
    let corrects = "owner = $1 AND file IS NULL AND passed IS NULL AND revision > 0 AND EXISTS \
        (SELECT 1 FROM export_rows earlier WHERE earlier.owner = $1 AND earlier.cdr = export_rows.cdr \
        AND earlier.revision < export_rows.revision AND (earlier.file IS NOT NULL OR earlier.passed = 'reported'))";
    let queued = format!(
        "INSERT INTO export_rows (owner, cdr, revision, payload) SELECT $2, cdr, revision, payload FROM export_rows \
         WHERE {corrects} ORDER BY id ON CONFLICT (owner, cdr, revision) DO NOTHING"
    );
    sqlx::query(AssertSqlSafe(queued)).cells(cells![owner, corrections]).execute(&mut *conn).await?;
    let reported = format!("UPDATE export_rows SET passed = 'reported' WHERE {corrects}");
    sqlx::query(AssertSqlSafe(reported)).cells(cells![owner]).execute(conn).await?;
    Ok(())
}

/// Shown the waiting calls, chooses.
async fn choose_rows(
    conn: &mut AnyConnection,
    plan: &ExportPlan<'_>,
    choose: &ChooseCalls<'_>,
) -> Result<(Option<DateTime<Utc>>, Option<Vec<i64>>)> {
    let rows =
        query("SELECT id, payload FROM export_rows WHERE owner = $1 AND file IS NULL AND passed IS NULL ORDER BY id LIMIT $2")
            .cells(cells![plan.owner, plan.rows_max])
            .fetch_all(conn)
            .await?;
    let payloads = rows.iter().map(|row| row.bytes("payload")).collect::<Result<Vec<_>>>()?;
    let (day, is_chosen) = choose(&payloads);
    let mut chosen = Vec::new();
    for (row, _) in rows.iter().zip(is_chosen).filter(|(_, is_chosen)| *is_chosen) {
        chosen.push(row.int("id")?);
    }
    Ok((day, Some(chosen)))
}

fn files_where(condition: &'static str) -> Query {
    sqlx::query(AssertSqlSafe(format!("SELECT {FILE_COLUMNS} FROM export_files WHERE {condition}")))
}

pub(crate) fn file_of(row: &AnyRow) -> Result<ExportFile> {
    let state = match row.text("state")?.as_str() {
        "planned" => ExportState::Planned,
        "written" => ExportState::Written {
            n_bytes: row.narrow("n_bytes")?,
            md5: row.text("md5")?,
            sha256: row.opt_text("sha256")?,
        },
        other => return Err(unreadable("state", other)),
    };
    Ok(ExportFile {
        id: row.int("id")?,
        owner: row.text("owner")?,
        sequence: row.narrow("sequence")?,
        name: row.text("name")?,
        n_rows: row.narrow("n_rows")?,
        created_at: row.time("created_at")?,
        format: row.opt_text("format")?,
        zone: row.opt_text("zone")?,
        owner_name: row.opt_text("owner_name")?,
        day: row.opt_time("day")?,
        state,
    })
}
