//! Commits of lanes into a SQLite file, as nearly all of them are: positions, state, postings and calls for the operator's queue.
//!
//! In: what [`crate::Store::commit`] was asked to do. Out: all of it in the file, or nothing of it and `false`. The driver behind [`crate::sql`] copies each
//! value twice, hands each statement from thread to thread and waits for it before the next is put together: for a call with two postings that took as long as SQLite itself.
//! Here one thread hands them over. It knows no errors and no replays: whatever is not plain is taken back and done again by
//! [`crate::lanes`], which knows both.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use model::{CdrId, PostingId};
use rusqlite::{Connection, ErrorCode, OpenFlags, params};
use sqlx::Any;
use sqlx::pool::PoolConnection;
use tracing::{debug, warn};

use crate::ledger::{balance_changes, in_order_of_times};
use crate::long_tables::BUSY_TIMEOUT;
use crate::sql::{micros, signed};
use crate::{LaneCommit, StoreEffect, StoreError};

/// A SQLite file, and the connection that commits lanes into it.
#[derive(Debug)]
pub(crate) struct FileWriter {
    path: Arc<Path>,
    pragmas: &'static [&'static [&'static str]],
    /// `None` until it is first needed, and while somebody has it.
    conn: Mutex<Option<Connection>>,
}

/// Why a commit is left to the other way.
#[derive(Debug, thiserror::Error)]
enum Left {
    #[error("SQLite says {0}")]
    Database(rusqlite::Error),
    #[error("no column takes a value: {0}")]
    Value(StoreError),
    #[error("a lane is not where it was expected, or a posting is there already")]
    NotPlain,
}

impl From<rusqlite::Error> for Left {
    fn from(why: rusqlite::Error) -> Self {
        Left::Database(why)
    }
}

impl From<StoreError> for Left {
    fn from(why: StoreError) -> Self {
        Left::Value(why)
    }
}

/// What became of a commit.
#[derive(Debug)]
pub(crate) enum Done {
    /// All of it is in the file.
    All,
    /// Nothing of it; the lanes come back.
    Nothing(Vec<LaneCommit>),
}

/// Whether another process has the file for longer than [`BUSY_TIMEOUT`].
fn is_locked(why: &rusqlite::Error) -> bool {
    matches!(why.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

type Plainly<T> = Result<T, Left>;

impl FileWriter {
    /// `pragmas` are how the connection is set up beside the log and its syncs.
    pub(crate) fn new(path: Arc<Path>, pragmas: &'static [&'static [&'static str]]) -> Self {
        Self { path, pragmas, conn: Mutex::default() }
    }

    /// Whether a commit has nothing but what is done here.
    pub(crate) fn takes(lanes: &[LaneCommit]) -> bool {
        let mut effects = lanes.iter().flat_map(|lane| &lane.effects);
        effects.all(|effect| match effect {
            StoreEffect::Post(_) | StoreEffect::Export { is_left_out: false, .. } => true,
            StoreEffect::Export { is_left_out: true, .. }
            | StoreEffect::Alert(_)
            | StoreEffect::Lock(_)
            | StoreEffect::Profiles(_)
            | StoreEffect::Bar(_)
            | StoreEffect::Stopped(_)
            | StoreEffect::Edr(_)
            | StoreEffect::Suspend { .. } => false,
        })
    }

    /// Commits `lanes` on a thread on which that may take its time; gives them back where nothing was written and the driver is to try. `turn` is the connection for which
    /// all who write wait in a row, held until it is done: also where nobody waits for the answer any more.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        turn: PoolConnection<Any>,
        stage: &str,
        lanes: Vec<LaneCommit>,
    ) -> Result<Done, StoreError> {
        let (writer, stage) = (self.clone(), stage.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let done = writer.commit_here(&stage, &lanes);
            drop(turn);
            match done {
                Ok(()) => Ok(Done::All),
                // Who writes waits in a row behind this; a second wait would be as long.
                Err(Left::Database(why)) if is_locked(&why) => {
                    Err(StoreError::Locked { place: writer.path.display().to_string() })
                }
                Err(Left::Database(why)) => {
                    warn!(stage, error = %why, "SQLite could not commit; tried again by the driver");
                    Ok(Done::Nothing(lanes))
                }
                Err(left) => {
                    debug!(stage, why = %left, "commit left to the driver");
                    Ok(Done::Nothing(lanes))
                }
            }
        });
        done.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))
    }

    /// Ends the connection, if nobody has it.
    pub(crate) fn close(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Connection> {
        self.conn.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn commit_here(&self, stage: &str, lanes: &[LaneCommit]) -> Plainly<()> {
        let conn = match self.take() {
            Some(conn) => conn,
            None => self.open()?,
        };
        let begun = conn.execute_batch("BEGIN IMMEDIATE").map_err(Left::from);
        let written =
            begun.and_then(|()| write(&conn, stage, lanes)).and_then(|()| Ok(conn.execute_batch("COMMIT")?));
        // A connection that cannot take back what it has begun is ended, which does it too.
        if written.is_ok() || conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok() {
            *self.conn.lock().unwrap_or_else(PoisonError::into_inner) = Some(conn);
        }
        written
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let conn = Connection::open_with_flags(&self.path, flags)?;
        conn.busy_timeout(BUSY_TIMEOUT)?;
        for pragma in self.pragmas.iter().copied().flatten() {
            // Some answer with a row.
            if let Err(why) = conn.query_row(pragma, [], |_| Ok(()))
                && !matches!(why, rusqlite::Error::QueryReturnedNoRows)
            {
                return Err(why);
            }
        }
        Ok(conn)
    }
}

fn write(conn: &Connection, stage: &str, lanes: &[LaneCommit]) -> Plainly<()> {
    advance(conn, stage, lanes)?;
    write_watermarks(conn, stage, lanes)?;
    write_state(conn, stage, lanes)?;
    write_postings(conn, lanes)?;
    write_queue(conn, lanes)
}

fn advance(conn: &Connection, stage: &str, lanes: &[LaneCommit]) -> Plainly<()> {
    // A lane begins at 0, so the first commit may find no row; a later one must find its own position.
    let mut begin = conn.prepare(
        "INSERT INTO lanes (stage, part, position) VALUES (?1, ?2, ?3) ON CONFLICT (stage, part) \
         DO UPDATE SET position = excluded.position WHERE lanes.position = ?4",
    )?;
    let mut go_on =
        conn.prepare("UPDATE lanes SET position = ?3 WHERE stage = ?1 AND part = ?2 AND position = ?4")?;
    for lane in lanes {
        let (position, expected) = (signed("position", lane.position)?, signed("position", lane.expected)?);
        let advance = if expected == 0 { &mut begin } else { &mut go_on };
        if advance.execute(params![stage, lane.partition, position, expected])? != 1 {
            return Err(Left::NotPlain);
        }
    }
    Ok(())
}

fn write_watermarks(conn: &Connection, stage: &str, lanes: &[LaneCommit]) -> Plainly<()> {
    let mut insert = conn.prepare(
        "INSERT INTO watermarks (stage, part, origin_stage, origin_part, origin_offset, origin_idx) \
         VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (stage, part, origin_stage, origin_part) \
         DO UPDATE SET origin_offset = excluded.origin_offset, origin_idx = excluded.origin_idx",
    )?;
    for lane in lanes {
        for mark in &lane.watermarks {
            let offset = signed("offset", mark.offset)?;
            insert.execute(params![stage, lane.partition, mark.stage, mark.partition, offset, mark.index])?;
        }
    }
    Ok(())
}

fn write_state(conn: &Connection, stage: &str, lanes: &[LaneCommit]) -> Plainly<()> {
    let mut keep = conn.prepare(
        "INSERT INTO stage_state (stage, part, entry_key, entry_value) VALUES (?, ?, ?, ?) \
         ON CONFLICT (stage, part, entry_key) DO UPDATE SET entry_value = excluded.entry_value",
    )?;
    let mut remove =
        conn.prepare("DELETE FROM stage_state WHERE stage = ? AND part = ? AND entry_key = ?")?;
    for lane in lanes {
        for change in &lane.changes {
            match &change.value {
                Some(value) => keep.execute(params![stage, lane.partition, change.key, value])?,
                None => remove.execute(params![stage, lane.partition, change.key])?,
            };
        }
    }
    Ok(())
}

fn write_postings(conn: &Connection, lanes: &[LaneCommit]) -> Plainly<()> {
    let effects = lanes.iter().flat_map(|lane| &lane.effects);
    let mut postings = effects
        .filter_map(|effect| if let StoreEffect::Post(posting) = effect { Some(posting) } else { None })
        .collect::<Vec<_>>();
    if postings.is_empty() {
        return Ok(());
    }
    in_order_of_times(&mut postings);
    // What fails takes the transaction with it, so no statement keeps pages aside to take itself back alone.
    let mut insert = conn.prepare(
        "INSERT OR FAIL INTO postings \
         (id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
    )?;
    let (mut debit, mut credit) = (String::new(), String::new());
    for posting in &postings {
        debit.clear();
        credit.clear();
        write!(debit, "{}", posting.debit).expect("a String takes all");
        write!(credit, "{}", posting.credit).expect("a String takes all");
        let n_new = insert.execute(params![
            posting.id.as_bytes(),
            posting.tenant.0,
            posting.account.0,
            posting.at.timestamp_micros(),
            debit,
            credit,
            micros(posting.amount.amount, || format!("posting {}", posting.id))?,
            posting.amount.currency.as_str(),
            posting.reason.as_str(),
            posting.cdr.as_ref().map(CdrId::as_bytes),
            posting.reverses.as_ref().map(PostingId::as_bytes),
        ])?;
        if n_new != 1 {
            return Err(Left::NotPlain);
        }
    }
    let mut change = conn.prepare(
        "INSERT INTO balances (ledger_account, currency, micros) VALUES (?, ?, ?) \
         ON CONFLICT (ledger_account, currency) DO UPDATE SET micros = balances.micros + excluded.micros",
    )?;
    for ((account, currency), delta) in balance_changes(postings.into_iter())? {
        change.execute(params![account, currency, delta])?;
    }
    Ok(())
}

fn write_queue(conn: &Connection, lanes: &[LaneCommit]) -> Plainly<()> {
    let mut insert = conn.prepare(
        "INSERT OR FAIL INTO export_queue (owner, cdr, revision, payload) VALUES (?, ?, ?, ?) \
         ON CONFLICT (owner, cdr, revision) DO NOTHING",
    )?;
    for effect in lanes.iter().flat_map(|lane| &lane.effects) {
        if let StoreEffect::Export { owner, cdr, revision, payload, is_left_out: false } = effect {
            insert.execute(params![owner, cdr.as_bytes(), revision, payload])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use model::{AccountId, Currency, LedgerAccount, Money, Posting, PostingReason, StateChange, TenantId};
    use rust_decimal::Decimal;

    use super::*;
    use crate::{Store, Watermark};

    fn cdr(n: u64) -> CdrId {
        CdrId::derive(&model::CallUid::new(format!("sw1-1-{n}")), 0)
    }

    fn posting(n: u64) -> Posting {
        let account = AccountId(10 + i64::try_from(n % 3).unwrap());
        Posting {
            id: PostingId::of_balance(account, n),
            tenant: TenantId(1),
            account,
            // Out of order, and two at the same time.
            at: DateTime::from_timestamp_micros(1_700_000_000_000_000 - i64::try_from(n / 2).unwrap())
                .unwrap(),
            debit: LedgerAccount::Receivable(account),
            credit: LedgerAccount::Bank(TenantId(1)),
            amount: Money::new(Decimal::new(i64::try_from(n).unwrap() - 4, 2), Currency::EUR),
            reason: PostingReason::Call,
            cdr: n.is_multiple_of(2).then(|| cdr(n)),
            reverses: n.is_multiple_of(5).then(|| PostingId::of_balance(account, n + 1)),
        }
    }

    /// What one round of two lanes does.
    fn lanes(round: u64) -> Vec<LaneCommit> {
        let lane = |partition: u32| {
            let first = round * 20 + u64::from(partition) * 10;
            let exported = |n| StoreEffect::Export {
                owner: if n % 4 == 3 { "carrier:2".to_owned() } else { "system".to_owned() },
                cdr: cdr(n),
                revision: u32::try_from(n % 2).unwrap(),
                payload: vec![7; usize::try_from(n).unwrap()],
                is_left_out: false,
            };
            LaneCommit {
                partition,
                expected: round * 5,
                position: round * 5 + 5,
                watermarks: (1..3)
                    .map(|offset| Watermark { stage: "mediator".to_owned(), partition: 3, offset, index: 1 })
                    .collect(),
                changes: vec![
                    StateChange { key: "a".to_owned(), value: Some(vec![1]) },
                    StateChange { key: "b".to_owned(), value: Some(vec![2]) },
                    StateChange { key: "a".to_owned(), value: None },
                    StateChange { key: "b".to_owned(), value: Some(vec![u8::try_from(round).unwrap()]) },
                ],
                effects: (first..first + 10)
                    .flat_map(|n| [StoreEffect::Post(posting(n)), exported(n)])
                    .collect(),
            }
        };
        (0..2).map(lane).collect()
    }

    /// All rows of what a commit writes, in a form that tells types too.
    fn rows(file: &Path) -> Vec<String> {
        let conn = Connection::open(file).unwrap();
        let mut rows = Vec::new();
        for table in ["lanes", "watermarks", "stage_state", "postings", "balances", "export_queue"] {
            let mut all = conn.prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2, 3")).unwrap();
            let n_columns = all.column_count();
            let mut found = all.query([]).unwrap();
            while let Some(row) = found.next().unwrap() {
                let cells: Vec<_> = (0..n_columns).map(|at| row.get_ref(at).unwrap()).collect();
                rows.push(format!("{table} {cells:?}"));
            }
        }
        rows
    }

    async fn open(file: &Path) -> Store {
        Store::open(&format!("sqlite://{}", file.display())).await.unwrap()
    }

    async fn commit_here(store: &Store, round: u64) -> bool {
        let (writer, turn) = store.file_writer().await.unwrap().unwrap();
        matches!(writer.commit(turn, "rating", lanes(round)).await, Ok(Done::All))
    }

    #[tokio::test]
    async fn both_ways_to_commit_leave_the_same_rows() {
        let dir = tempfile::tempdir().unwrap();
        let (here, driver) = (dir.path().join("here.db"), dir.path().join("driver.db"));
        let (one, other) = (open(&here).await, open(&driver).await);
        for round in 0..4 {
            assert!(commit_here(&one, round).await);
            other.commit_once("rating", lanes(round), None).await.unwrap();
        }
        one.close().await;
        other.close().await;
        let written = rows(&here);
        assert_eq!(written, rows(&driver));
        // 2 lanes, their 2 watermarks and entries, 3 customers and a bank; 80 postings and 80 calls.
        assert_eq!(written.len(), 2 + 2 + 2 + 4 + 80 + 80);
    }

    #[tokio::test]
    async fn what_is_not_plain_leaves_nothing_behind_and_the_next_commit_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tollbook.db");
        let store = open(&file).await;
        assert!(commit_here(&store, 0).await);
        let before = rows(&file);
        // A lane elsewhere, and a posting that is there.
        assert!(!commit_here(&store, 2).await);
        store.post(vec![posting(39)]).await.unwrap();
        let with_posting = rows(&file);
        assert!(!commit_here(&store, 1).await);
        assert_eq!(rows(&file), with_posting);
        assert_ne!(before, with_posting);
        // The driver knows the posting for a replay.
        store.commit("rating", lanes(1)).await.unwrap();
        assert!(commit_here(&store, 2).await);
        assert_eq!(store.balance_check().await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_commit_that_nobody_waits_for_is_whole_before_the_next_writer_comes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tollbook.db");
        let store = open(&file).await;
        {
            let (writer, turn) = store.file_writer().await.unwrap().unwrap();
            let commit = std::pin::pin!(writer.commit(turn, "rating", lanes(0)));
            // Asked once, it has handed its work to the other thread.
            let _ = commit.poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
        }
        store.commit("rating", lanes(1)).await.unwrap();
        assert_eq!(store.balance_check().await.unwrap(), []);
        assert_eq!(store.load_lanes("rating").await.unwrap()[0].position, 10);
    }
}
