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

mod files;
mod plan;

use chrono::{DateTime, Utc};
use model::CdrId;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

pub(crate) use self::files::file_of;
pub(crate) use self::plan::{give_back, join_queue, next_sequence, plan_file};
use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query, query_of, unreadable};
use crate::{Result, Store};

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
