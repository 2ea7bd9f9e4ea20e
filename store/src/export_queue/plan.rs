//! Planning a file: its number is taken and its rows are fixed, in one transaction.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;

use super::{ChooseCalls, ExportFile, ExportPlan, ExportState};
use crate::restore_hold::refuse_while_held;
use crate::sql::{Bind, Cell, Columns, cells, execute_in, query, signed};
use crate::{Result, Store};

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
    refuse_while_held(&mut *conn, &format!("CDR files of {owner}")).await?;
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
