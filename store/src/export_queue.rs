//! Calls waiting for a partner's file, and the files made of them.
//!
//! A file is planned first: its number is taken and its rows are fixed in one transaction. Then it is written and
//! reported. A crash in between leaves a planned file, which is written again with the same number and the same rows.
//!
//! A file has all calls that wait for its series up to one of them, and the next file those behind it: two numbers, whatever its size.
//! So a call must never turn up behind that place ([`hold_queue`]). Only a file of chosen calls marks each of them.
//!
//! Numbers have no gaps: one that was taken always has its file. What its bytes depend on is kept with the plan, so that
//! neither a changed configuration nor a renamed account makes another file of it.
//!
//! A call that a later revision has overtaken before it was written is in no file. A revision of a call that is in a file
//! goes into a later one, or, where the format cannot say that it is a correction, into the queue of another series.

use chrono::{DateTime, Utc};
use model::CdrId;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use crate::audit::append;
use crate::sql::{Bind, Cell, Columns, Query, cells, execute_in, query, query_of, signed, unreadable};
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

/// A file that is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportReport<'a> {
    /// Its id.
    pub file: i64,
    /// Its length.
    pub n_bytes: u64,
    /// Its MD5, lower-case hexadecimal.
    pub md5: &'a str,
    /// Its SHA-256.
    pub sha256: &'a str,
}

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

/// A call of a file, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExportKey {
    /// Its record.
    pub cdr: CdrId,
    /// Which of its revisions.
    pub revision: u32,
    /// The one of [`ExportCall::earlier`].
    pub earlier: Option<u32>,
}

/// Of the latest revision before that of a row which is in a file of its series ($1) or of the one it corrects ($2).
fn earlier(what: &str) -> String {
    format!(
        "CASE WHEN revision > 0 THEN (SELECT {what} FROM export_queue earlier \
         WHERE earlier.owner IN ($1, $2) AND earlier.cdr = export_queue.cdr \
         AND earlier.revision < export_queue.revision AND (earlier.file IS NOT NULL OR earlier.passed IS NULL \
         AND earlier.id <= (SELECT last_row FROM export_sequences WHERE export_sequences.owner = earlier.owner)) \
         ORDER BY earlier.revision DESC LIMIT 1) END"
    )
}

/// The bytes of a call whose copy may have been dropped: then the operator's queue has the same.
fn whole(row: &str) -> String {
    format!(
        "CASE WHEN length({row}.payload) > 0 THEN {row}.payload ELSE coalesce((SELECT whole.payload FROM export_queue whole \
         WHERE whole.owner = 'system' AND whole.cdr = {row}.cdr AND whole.revision = {row}.revision), {row}.payload) END"
    )
}

/// Whether the operator's queue has the same bytes.
macro_rules! has_twin {
    () => {
        "payload = (SELECT twin.payload FROM export_queue twin WHERE twin.owner = 'system' \
         AND twin.cdr = export_queue.cdr AND twin.revision = export_queue.revision)"
    };
}

/// Copies in a file of all calls that waited between two rows.
const DROP_SPAN: &str = concat!(
    "UPDATE export_queue SET payload = $1 WHERE owner = $2 AND id > $3 AND id <= $4 AND file IS NULL AND passed IS NULL AND ",
    has_twin!()
);
/// Those in a file of chosen calls.
const DROP_MARKED: &str = concat!("UPDATE export_queue SET payload = $1 WHERE file = $2 AND ", has_twin!());

/// All that a file is read from.
const FILE_COLUMNS: &str = "id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5, sha256, format, zone, owner_name, day";

impl Store {
    /// The latest revision of a call, where it was left out of a series: the rated call in the exporter's form.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_left_out(&self, owner: &str, cdr: CdrId) -> Result<Option<Vec<u8>>> {
        let mut tx = self.read().await?;
        let latest = query(
            "SELECT payload, CASE WHEN passed = 'left out' THEN 1 ELSE 0 END AS is_left_out \
             FROM export_queue WHERE owner = $1 AND cdr = $2 ORDER BY revision DESC LIMIT 1",
        )
        .cells(cells![owner, cdr.as_bytes()])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let left_out = latest.filter(|row| row.int("is_left_out").is_ok_and(|is_left_out| is_left_out == 1));
        left_out.map(|row| row.bytes("payload")).transpose()
    }

    /// The latest revision of a call and the rated call in the exporter's form, from the operator's own queue, which has every call.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_kept(&self, cdr: CdrId) -> Result<Option<(u32, Vec<u8>)>> {
        let mut tx = self.read().await?;
        let latest = query(
            "SELECT revision, payload FROM export_queue WHERE owner = 'system' AND cdr = $1 \
             ORDER BY revision DESC LIMIT 1",
        )
        .cells(cells![cdr.as_bytes()])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        latest.map(|row| Ok((row.narrow("revision")?, row.bytes("payload")?))).transpose()
    }

    /// Queues a call again whose latest revision was left out of a series, so that it is in the next file, and answers which revision that
    /// is; `None` where it was not left out. Of a call that the series has never seen, `unseen` is queued: its revision and the rated call
    /// in the exporter's form. `None` then: it stays so.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_queue_again(
        &self,
        owner: &str,
        cdr: CdrId,
        unseen: Option<(u32, Vec<u8>)>,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<u32>> {
        let mut tx = self.write().await?;
        join_queue(&mut tx).await?;
        let latest = query(
            "SELECT id, revision, payload FROM export_queue WHERE owner = $1 AND cdr = $2 ORDER BY revision DESC LIMIT 1",
        )
        .cells(cells![owner, cdr.as_bytes()])
        .fetch_optional(&mut *tx)
        .await?;
        let (revision, payload) = match (latest, unseen) {
            (Some(latest), _) => {
                // A place behind all that files were made of: a row keeps its place, and files go by places.
                let gone = query("DELETE FROM export_queue WHERE id = $1 AND passed = 'left out'")
                    .cells(cells![latest.int("id")?])
                    .execute(&mut *tx)
                    .await?;
                if gone.rows_affected() != 1 {
                    return Ok(None);
                }
                (latest.narrow("revision")?, latest.bytes("payload")?)
            }
            (None, Some(unseen)) => unseen,
            (None, None) => return Ok(None),
        };
        query("INSERT INTO export_queue (owner, cdr, revision, payload) VALUES ($1, $2, $3, $4)")
            .cells(cells![owner, cdr.as_bytes(), revision, payload])
            .execute(&mut *tx)
            .await?;
        append(&mut tx, actor, "queue again", &format!("export:{owner}:{cdr}"), "left out", reason, now)
            .await?;
        tx.commit().await?;
        Ok(Some(revision))
    }

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
        hold_queue(&mut tx).await?;
        let after = last_row(&mut tx, owner).await?;
        settle_revisions(&mut tx, &plan, after).await?;
        let rows = match choose {
            None => first_waiting(&mut tx, &plan, after).await?,
            Some(choose) => choose_rows(&mut tx, &plan, after, choose).await?,
        };
        if rows.n_rows == 0 && !plan.may_be_empty {
            tx.commit().await?;
            return Ok(None);
        }
        let sequence = next_sequence(&mut tx, owner).await?;
        let name = name(sequence, rows.day);
        let n_rows = signed("rows", rows.n_rows)?;
        let mut file = plan_file(&mut tx, &plan, sequence, name, rows.day).await?;
        file.n_rows = rows.n_rows;
        match rows.taken {
            Taken::UpTo(last) => {
                query("UPDATE export_files SET n_rows = $2, after_row = $3, last_row = $4 WHERE id = $1")
                    .cells(cells![file.id, n_rows, after, last])
                    .execute(&mut *tx)
                    .await?;
                query("UPDATE export_sequences SET last_row = $2 WHERE owner = $1")
                    .cells(cells![owner, last])
                    .execute(&mut *tx)
                    .await?;
            }
            Taken::Single(chosen) => {
                let chosen = chosen.into_iter().map(Cell::from).collect();
                let mark = "UPDATE export_queue SET file = $1 WHERE id";
                execute_in(&mut tx, mark, &[Cell::from(file.id)], chosen).await?;
                query("UPDATE export_files SET n_rows = $2 WHERE id = $1")
                    .cells(cells![file.id, n_rows])
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
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

    /// The calls of a file, in order. `corrected` is the series whose corrections the file has, if it is such a one. Copies that
    /// [`Store::export_drop_copies`] has dropped are read in the operator's queue.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_queue(&self, file: i64, corrected: Option<&str>) -> Result<Vec<ExportCall>> {
        let mut tx = self.read().await?;
        let Some(place) = Place::of(&mut tx, file).await? else { return Ok(Vec::new()) };
        let own = if place.is_dropped { whole("export_queue") } else { "payload".to_owned() };
        let columns = format!("{own} AS payload, {} AS earlier", earlier(&whole("earlier")));
        let rows = place.rows(&mut tx, file, corrected, &columns).await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| Ok(ExportCall { payload: row.bytes("payload")?, earlier: row.opt_bytes("earlier")? }))
            .collect()
    }

    /// Which calls these are, in the same order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_keys(&self, file: i64, corrected: Option<&str>) -> Result<Vec<ExportKey>> {
        let mut tx = self.read().await?;
        let Some(place) = Place::of(&mut tx, file).await? else { return Ok(Vec::new()) };
        let columns = format!("cdr, revision, {} AS earlier", earlier("earlier.revision"));
        let rows = place.rows(&mut tx, file, corrected, &columns).await?;
        tx.commit().await?;
        let narrow = |revision| u32::try_from(revision).map_err(|_| unreadable("revision", revision));
        rows.iter()
            .map(|row| {
                Ok(ExportKey {
                    cdr: row.id("cdr", CdrId::from_bytes)?,
                    revision: row.narrow("revision")?,
                    earlier: row.opt_int("earlier")?.map(narrow).transpose()?,
                })
            })
            .collect()
    }

    /// Drops copies of calls in files that were written before `before`, oldest first and of `max` files at most, each in a transaction of its
    /// own; answers of how many files. A copy goes only where the operator's queue has the same bytes of the same revision, which is where
    /// [`Store::export_queue`] reads them then. The operator's main series keeps all.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_drop_copies(&self, before: DateTime<Utc>, max: u32) -> Result<u32> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id FROM export_files WHERE calls_dropped = 0 AND owner <> 'system' AND state = 'written' \
             AND created_at < $1 ORDER BY created_at, id LIMIT $2",
        )
        .cells(cells![before, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut n_files = 0;
        for row in rows {
            self.drop_copies_of(row.int("id")?).await?;
            n_files += 1;
        }
        Ok(n_files)
    }

    async fn drop_copies_of(&self, file: i64) -> Result<()> {
        let mut tx = self.write().await?;
        let Some(place) = Place::of(&mut tx, file).await? else { return Ok(()) };
        let (sql, cells) = match place.span {
            Some((after, last)) => (DROP_SPAN, cells![Vec::<u8>::new(), place.owner.as_str(), after, last]),
            None => (DROP_MARKED, cells![Vec::<u8>::new(), file]),
        };
        query(sql).cells(cells).execute(&mut *tx).await?;
        query("UPDATE export_files SET calls_dropped = 1 WHERE id = $1")
            .cells(cells![file])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes that files are on disk, whole: of all of them or of none.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] for a file never planned; what the database says.
    pub async fn export_written(&self, files: &[ExportReport<'_>]) -> Result<()> {
        if files.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        for report in files {
            let done = query(
                "UPDATE export_files SET state = 'written', n_bytes = $2, md5 = $3, sha256 = $4 WHERE id = $1",
            )
            .cells(cells![report.file, signed("bytes", report.n_bytes)?, report.md5, report.sha256])
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() == 0 {
                return Err(StoreError::NotFound { what: "export file", name: report.file.to_string() });
            }
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
        // From owner to owner by the index: the rows that are in files are not gone through.
        let rows = query(
            "WITH RECURSIVE owners (owner) AS (\
             SELECT min(owner) FROM export_queue WHERE file IS NULL AND passed IS NULL \
             UNION ALL SELECT (SELECT min(export_queue.owner) FROM export_queue WHERE export_queue.owner > owners.owner \
             AND file IS NULL AND passed IS NULL) FROM owners WHERE owners.owner IS NOT NULL) \
             SELECT owner, n FROM (SELECT owners.owner AS owner, (SELECT count(*) FROM export_queue \
             WHERE export_queue.owner = owners.owner AND file IS NULL AND passed IS NULL \
             AND id > coalesce((SELECT last_row FROM export_sequences WHERE export_sequences.owner = owners.owner), 0)) AS n \
             FROM owners WHERE owners.owner IS NOT NULL) counted WHERE n > 0 ORDER BY owner",
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
            "SELECT count(*) AS n FROM export_queue WHERE owner = $1 AND file IS NULL AND passed IS NULL \
             AND id > coalesce((SELECT last_row FROM export_sequences WHERE owner = $1), 0)",
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
        let payload = whole("export_queue");
        let rows = query_of(format!(
            "SELECT {payload} AS payload FROM export_queue WHERE owner = $1 ORDER BY id DESC LIMIT $2"
        ))
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

/// Where in the queue the calls of a file are.
struct Place {
    owner: String,
    /// Behind the one row, up to the other; a file of chosen calls has a mark in each of its rows.
    span: Option<(i64, i64)>,
    is_dropped: bool,
}

impl Place {
    async fn of(conn: &mut AnyConnection, file: i64) -> Result<Option<Self>> {
        let row = query("SELECT owner, after_row, last_row, calls_dropped FROM export_files WHERE id = $1")
            .cells(cells![file])
            .fetch_optional(conn)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let span = row.opt_int("after_row")?.zip(row.opt_int("last_row")?);
        Ok(Some(Self { owner: row.text("owner")?, span, is_dropped: row.int("calls_dropped")? != 0 }))
    }

    async fn rows(
        &self,
        conn: &mut AnyConnection,
        file: i64,
        corrected: Option<&str>,
        columns: &str,
    ) -> Result<Vec<AnyRow>> {
        let (owner, corrected) = (self.owner.as_str(), corrected.unwrap_or_default());
        let select = format!("SELECT {columns} FROM export_queue");
        let rows = match self.span {
            Some((after, last)) => query_of(format!(
                "{select} WHERE owner = $1 AND id > $3 AND id <= $4 AND file IS NULL AND passed IS NULL ORDER BY id"
            ))
            .cells(cells![owner, corrected, after, last]),
            None => query_of(format!("{select} WHERE file = $3 ORDER BY id")).cells(cells![owner, corrected, file]),
        };
        Ok(rows.fetch_all(conn).await?)
    }
}

/// Calls of a series are planned by one at a time, and none comes to lie behind a place that was planned: ids are given in the order
/// of commits. SQLite has one writer; on PostgreSQL whoever plans waits until those are done who are queueing calls, and they for him.
async fn hold_queue(conn: &mut AnyConnection) -> Result<()> {
    if conn.backend_name() == "PostgreSQL" {
        query("SELECT pg_advisory_xact_lock($1)::text AS held")
            .cells(cells![QUEUE_LOCK])
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// As [`hold_queue`], for those who queue calls: beside each other, and not while files are planned.
pub(crate) async fn join_queue(conn: &mut AnyConnection) -> Result<()> {
    if conn.backend_name() == "PostgreSQL" {
        query("SELECT pg_advisory_xact_lock_shared($1)::text AS held")
            .cells(cells![QUEUE_LOCK])
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// The name of the lock on PostgreSQL: `export` in ASCII.
const QUEUE_LOCK: i64 = 0x6578_706f_7274;

/// Up to where the files of a series have come.
async fn last_row(conn: &mut AnyConnection, owner: &str) -> Result<i64> {
    let row = query("SELECT last_row FROM export_sequences WHERE owner = $1")
        .cells(cells![owner])
        .fetch_optional(conn)
        .await?;
    row.map_or(Ok(0), |row| row.int("last_row"))
}

/// Waiting calls of the series ($1) between two rows ($2, $3) that correct a call of an earlier file.
macro_rules! corrects {
    () => {
        "owner = $1 AND id > $2 AND id <= $3 AND file IS NULL AND passed IS NULL AND revision > 0 AND EXISTS \
         (SELECT 1 FROM export_queue earlier WHERE earlier.owner = $1 AND earlier.cdr = export_queue.cdr \
         AND earlier.revision < export_queue.revision AND (earlier.file IS NOT NULL OR earlier.passed = 'reported' \
         OR earlier.passed IS NULL AND earlier.id <= $2))"
    };
}

/// Of a waiting call and its later revision the later one is written. What corrects a call of an earlier file goes where
/// corrections go. Looked at are those that may be in the next file.
async fn settle_revisions(conn: &mut AnyConnection, plan: &ExportPlan<'_>, after: i64) -> Result<()> {
    let owner = plan.owner;
    let any = query("SELECT 1 AS one FROM export_queue WHERE owner = $1 AND revision > 0 LIMIT 1")
        .cells(cells![owner])
        .fetch_optional(&mut *conn)
        .await?;
    if any.is_none() {
        return Ok(());
    }
    loop {
        let next = first_waiting(conn, plan, after).await?;
        let Taken::UpTo(last) = next.taken else { return Ok(()) };
        let mut n_passed = query(
            "UPDATE export_queue SET passed = 'superseded' \
             WHERE owner = $1 AND id > $2 AND id <= $3 AND file IS NULL AND passed IS NULL \
             AND EXISTS (SELECT 1 FROM export_queue later WHERE later.owner = $1 AND later.cdr = export_queue.cdr \
             AND later.revision > 0 AND later.revision > export_queue.revision)",
        )
        .cells(cells![owner, after, last])
        .execute(&mut *conn)
        .await?
        .rows_affected();
        if let Some(corrections) = plan.corrections {
            query(concat!(
                "INSERT INTO export_queue (owner, cdr, revision, payload) SELECT $4, cdr, revision, payload FROM export_queue WHERE ",
                corrects!(),
                " ORDER BY id ON CONFLICT (owner, cdr, revision) DO NOTHING"
            ))
            .cells(cells![owner, after, last, corrections])
            .execute(&mut *conn)
            .await?;
            n_passed += query(concat!("UPDATE export_queue SET passed = 'reported' WHERE ", corrects!()))
                .cells(cells![owner, after, last])
                .execute(&mut *conn)
                .await?
                .rows_affected();
        }
        // Others have moved up for those.
        if n_passed == 0 {
            return Ok(());
        }
    }
}

/// What goes into a file.
struct Rows {
    n_rows: u64,
    taken: Taken,
    day: Option<DateTime<Utc>>,
}

enum Taken {
    /// All that wait, up to this row.
    UpTo(i64),
    /// These.
    Single(Vec<i64>),
}

/// The oldest waiting calls, as many as go into a file.
async fn first_waiting(conn: &mut AnyConnection, plan: &ExportPlan<'_>, after: i64) -> Result<Rows> {
    let row = query(
        "SELECT count(*) AS n, coalesce(max(id), $2) AS last FROM (SELECT id FROM export_queue \
         WHERE owner = $1 AND file IS NULL AND passed IS NULL AND id > $2 ORDER BY id LIMIT $3) waiting",
    )
    .cells(cells![plan.owner, after, plan.rows_max])
    .fetch_one(conn)
    .await?;
    Ok(Rows { n_rows: row.narrow("n")?, taken: Taken::UpTo(row.int("last")?), day: None })
}

/// Shown the waiting calls, chooses.
async fn choose_rows(
    conn: &mut AnyConnection,
    plan: &ExportPlan<'_>,
    after: i64,
    choose: &ChooseCalls<'_>,
) -> Result<Rows> {
    let rows = query(
        "SELECT id, payload FROM export_queue WHERE owner = $1 AND file IS NULL AND passed IS NULL AND id > $2 \
         ORDER BY id LIMIT $3",
    )
    .cells(cells![plan.owner, after, plan.rows_max])
    .fetch_all(conn)
    .await?;
    let payloads = rows.iter().map(|row| row.bytes("payload")).collect::<Result<Vec<_>>>()?;
    let (day, is_chosen) = choose(&payloads);
    let ids = rows.iter().map(|row| row.int("id")).collect::<Result<Vec<_>>>()?;
    let mut chosen: Vec<i64> =
        ids.iter().zip(&is_chosen).filter(|(_, is_chosen)| **is_chosen).map(|(id, _)| *id).collect();
    let n_rows = chosen.len() as u64;
    // The first ones need no mark, if no other lies before them.
    let taken = match chosen.pop() {
        None => Taken::UpTo(after),
        Some(last) if ids.get(chosen.len()) == Some(&last) => Taken::UpTo(last),
        Some(last) => {
            chosen.push(last);
            Taken::Single(chosen)
        }
    };
    Ok(Rows { n_rows, taken, day })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// While copies are dropped nobody else can write.
    #[tokio::test]
    async fn copies_are_dropped_without_going_through_the_queue() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("tollbook.db").display());
        let store = Store::open(&url).await.unwrap();
        let mut tx = store.read().await.unwrap();
        for sql in [DROP_SPAN, DROP_MARKED] {
            let plan = query_of(format!("EXPLAIN QUERY PLAN {sql}")).fetch_all(&mut *tx).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.text("detail").unwrap()).collect();
            assert!(steps.iter().all(|step| !step.contains("SCAN")), "{steps:?}");
            assert_eq!(steps.iter().filter(|step| step.contains("USING INDEX")).count(), 2, "{steps:?}");
        }
    }
}
