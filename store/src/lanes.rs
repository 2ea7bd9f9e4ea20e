//! Lanes: the position, watermarks and state of each stage in each partition, moved together with what the stage did.
//!
//! [`Store::commit`] is one transaction over any number of lanes. Whoever holds an outdated position is refused, so a
//! slow former owner of a lane cannot write into it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use model::{
    Alert, Barring, CdrId, Edr, Lock, Posting, ProfileSwitch, StateChange, Stopped, Suspended, Topic,
};
use sqlx::AnyConnection;

use crate::barrings::insert_barring;
use crate::contracts::switch_profiles;
use crate::edrs::write_edrs;
use crate::export_queue::join_queue;
use crate::file_writer::{Done, FileWriter};
use crate::fraud_desk::{add_stopped, insert_alert};
use crate::leases::hold;
use crate::ledger::insert_postings;
use crate::long_tables::{FileReader, Long, LongFile};
use crate::sql::{Bind, Cell, Columns, Placeholders, cells, count, execute_in, insert_rows, query, signed};
use crate::stage_locks::lock_by_stage;
use crate::{Fence, Result, Store, StoreError};

/// How often a commit is tried that meets another one.
const COMMIT_TRIES: u32 = 5;

/// State entries read by one statement.
const ENTRIES_AT_ONCE: u32 = 1_000;

/// Connections that read the states of lanes side by side.
const READERS: usize = 2;

/// How often they begin anew, so that they see the lanes in the same places.
const READERS_TRIES: u32 = 20;

/// How far one origin has been applied: records of it at or below this are replays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watermark {
    /// The stage that wrote them.
    pub stage: String,
    /// Partition of that stage's input.
    pub partition: u32,
    /// Offset of its input.
    pub offset: u64,
    /// Which of the outputs of that input.
    pub index: u32,
}

/// One lane as its last commit left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// Which partition.
    pub partition: u32,
    /// Where its next batch begins.
    pub position: u64,
    /// How far each origin has been applied.
    pub watermarks: Vec<Watermark>,
    /// State of the stage, by key.
    pub state: Vec<(String, Vec<u8>)>,
}

/// What one batch of one lane changes.
#[derive(Debug, Clone)]
pub struct LaneCommit {
    /// Which partition.
    pub partition: u32,
    /// Position before the batch: 0 for a lane never committed.
    pub expected: u64,
    /// Position after it.
    pub position: u64,
    /// Watermarks that rose.
    pub watermarks: Vec<Watermark>,
    /// State entries that changed.
    pub changes: Vec<StateChange>,
    /// What else the stage wants done, in order.
    pub effects: Vec<StoreEffect>,
}

/// An effect of a stage that the store carries out.
#[derive(Debug, Clone)]
pub enum StoreEffect {
    /// Post to the ledger.
    Post(Posting),
    /// Keep an alert and queue a mail to each it names.
    Alert(Box<Alert>),
    /// Keep a lock.
    Lock(Lock),
    /// Give an account other profiles.
    Profiles(ProfileSwitch),
    /// Keep a barring.
    Bar(Barring),
    /// Add a call that was stopped to its alert.
    Stopped(Stopped),
    /// Keep an EDR, and queue it for files.
    Edr(Box<Edr>),
    /// Put a record aside.
    Suspend {
        /// What the stage says of it.
        suspended: Suspended,
        /// Where the record was read.
        topic: Topic,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: u64,
        /// The record.
        raw: Vec<u8>,
        /// When it was put aside.
        at: DateTime<Utc>,
    },
    /// Queue a call for an owner's next file.
    Export {
        /// `system`, `reseller:ID` or `carrier:ID`.
        owner: String,
        /// The call.
        cdr: CdrId,
        /// Its revision.
        revision: u32,
        /// The rated call, in the exporter's form.
        payload: Vec<u8>,
        /// It is kept for those who ask for it, and in no file.
        is_left_out: bool,
    },
}

impl Store {
    /// All lanes of `stage` that were ever committed, by partition.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn load_lanes(&self, stage: &str) -> Result<Vec<Lane>> {
        self.take_lanes(stage, |lane| lane).await
    }

    /// What `take` makes of each lane of `stage`, in the order of the lanes. It is handed a lane as soon as that is read, of a file by several threads
    /// at once: so the state of a million accounts is not in memory twice.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn take_lanes<T: Send + 'static>(
        &self,
        stage: &str,
        take: impl Fn(Lane) -> T + Send + Sync + 'static,
    ) -> Result<Vec<T>> {
        if let Some(file) = self.file() {
            return lanes_side_by_side(file, stage, take).await;
        }
        let mut tx = self.read().await?;
        let mut taken = Vec::new();
        for mut lane in load_places(&mut tx, stage).await? {
            lane.state = load_state(&mut tx, stage, lane.partition).await?;
            taken.push(take(lane));
        }
        tx.commit().await?;
        Ok(taken)
    }

    /// State entries of all lanes of `stage` whose keys do not begin with `mark`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn stage_entries(&self, stage: &str, mark: char) -> Result<Vec<(String, Vec<u8>)>> {
        let mut tx = self.read().await?;
        let mark = mark.to_string();
        let rows = query(
            "SELECT entry_key, entry_value FROM stage_state \
             WHERE stage = $1 AND substr(entry_key, 1, 1) <> $2 ORDER BY entry_key",
        )
        .cells(cells![stage, mark])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.text("entry_key")?, row.bytes("entry_value")?))).collect()
    }

    /// One state entry of `stage` in the lane of `partition`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn stage_entry(&self, stage: &str, partition: u32, key: &str) -> Result<Option<Vec<u8>>> {
        let mut tx = self.read().await?;
        let row =
            query("SELECT entry_value FROM stage_state WHERE stage = $1 AND part = $2 AND entry_key = $3")
                .cells(cells![stage, partition, key])
                .fetch_optional(&mut *tx)
                .await?;
        tx.commit().await?;
        row.map(|row| row.bytes("entry_value")).transpose()
    }

    /// Moves `lanes` of `stage` and does what their batches ask for: all of it or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::LaneMoved`] when a lane is not where its batch began, [`StoreError::PostingConflict`] when a posting's
    /// id is taken by another (an identical one is a replay and left alone), and what the database says.
    pub async fn commit(&self, stage: &str, lanes: Vec<LaneCommit>) -> Result<()> {
        self.commit_if(stage, lanes, None).await
    }

    /// Commits, if the lanes are still those of the `fence`'s owner. What the database refuses only because somebody else was at work
    /// is tried again.
    pub(crate) async fn commit_if(
        &self,
        stage: &str,
        mut lanes: Vec<LaneCommit>,
        fence: Option<&Fence>,
    ) -> Result<()> {
        if fence.is_none()
            && FileWriter::takes(&lanes)
            && let Some((writer, turn)) = self.file_writer().await?
        {
            match writer.commit(turn, stage, lanes).await? {
                Done::All => return Ok(()),
                Done::Nothing(left) => lanes = left,
            }
        }
        // SQLite has one writer; nobody comes in between.
        let n_tries = if self.is_postgres() { COMMIT_TRIES } else { 1 };
        for _ in 1..n_tries {
            match self.commit_once(stage, lanes.clone(), fence).await {
                Err(why) if why.is_of_the_moment() => {}
                ended => return ended,
            }
        }
        self.commit_once(stage, lanes, fence).await
    }

    pub(crate) async fn commit_once(
        &self,
        stage: &str,
        mut lanes: Vec<LaneCommit>,
        fence: Option<&Fence>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        if let Some(fence) = fence {
            hold(self, &mut tx, stage, &lanes, fence).await?;
        }
        for lane in &lanes {
            advance(&mut tx, stage, lane).await?;
        }
        write_watermarks(&mut tx, stage, &lanes).await?;
        write_state(&mut tx, stage, &mut lanes).await?;
        write_effects(&mut tx, stage, lanes).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Store {
    /// Puts aside what a consumer that keeps its own positions could not take. Said again, after a crash between the two, it
    /// changes nothing. Other effects than [`StoreEffect::Suspend`] have no place here and are left alone.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspend(&self, stage: &str, effects: Vec<StoreEffect>) -> Result<()> {
        let mut tx = self.write().await?;
        for effect in effects {
            if let StoreEffect::Suspend { topic, partition, offset, .. } = &effect {
                let there = query(
                    "SELECT id FROM suspense WHERE stage = $1 AND topic = $2 AND part = $3 AND record_offset = $4",
                )
                .cells(cells![stage, topic.as_str(), *partition, signed("offset", *offset)?])
                .fetch_optional(&mut *tx)
                .await?;
                if there.is_none() {
                    write_suspended(&mut tx, stage, vec![effect]).await?;
                }
            }
        }
        tx.commit().await?;
        Ok(())
    }
}

/// As [`Store::load_lanes`], inside a transaction.
pub(crate) async fn load_lanes(conn: &mut AnyConnection, stage: &str) -> Result<Vec<Lane>> {
    let mut lanes = load_places(conn, stage).await?;
    for lane in &mut lanes {
        lane.state = load_state(conn, stage, lane.partition).await?;
    }
    Ok(lanes)
}

/// The lanes without their state.
async fn load_places(conn: &mut AnyConnection, stage: &str) -> Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    let mut place_of: HashMap<i64, usize> = HashMap::new();
    let rows = query("SELECT part, position FROM lanes WHERE stage = $1 ORDER BY part")
        .cells(cells![stage])
        .fetch_all(&mut *conn)
        .await?;
    for row in &rows {
        place_of.insert(row.int("part")?, lanes.len());
        lanes.push(Lane {
            partition: row.narrow("part")?,
            position: row.narrow("position")?,
            watermarks: Vec::new(),
            state: Vec::new(),
        });
    }
    let rows = query(
        "SELECT part, origin_stage, origin_part, origin_offset, origin_idx FROM watermarks \
         WHERE stage = $1 ORDER BY part, origin_stage, origin_part",
    )
    .cells(cells![stage])
    .fetch_all(&mut *conn)
    .await?;
    for row in &rows {
        if let Some(place) = place_of.get(&row.int("part")?) {
            lanes[*place].watermarks.push(Watermark {
                stage: row.text("origin_stage")?,
                partition: row.narrow("origin_part")?,
                offset: row.narrow("origin_offset")?,
                index: row.narrow("origin_idx")?,
            });
        }
    }
    Ok(lanes)
}

/// State entries of one lane, by key: some at a time, for a row of the driver takes several times the room of what is in it.
async fn load_state(conn: &mut AnyConnection, stage: &str, part: u32) -> Result<Vec<(String, Vec<u8>)>> {
    let mut state: Vec<(String, Vec<u8>)> = Vec::new();
    loop {
        let last = state.last().map_or_else(String::new, |(key, _)| key.clone());
        let rows = query(
            "SELECT entry_key, entry_value FROM stage_state WHERE stage = $1 AND part = $2 AND entry_key > $3 \
             ORDER BY entry_key LIMIT $4",
        )
        .cells(cells![stage, part, last, ENTRIES_AT_ONCE])
        .fetch_all(&mut *conn)
        .await?;
        for row in &rows {
            state.push((row.text("entry_key")?, row.bytes("entry_value")?));
        }
        if count(rows.len()) < i64::from(ENTRIES_AT_ONCE) {
            return Ok(state);
        }
    }
}

/// As [`Store::take_lanes`], from a file, by several readers: each has the state of some lanes.
async fn lanes_side_by_side<T: Send + 'static>(
    file: &Arc<LongFile>,
    stage: &str,
    take: impl Fn(Lane) -> T + Send + Sync + 'static,
) -> Result<Vec<T>> {
    let take = Arc::new(take);
    let mut tasks = Vec::with_capacity(READERS);
    for (idx, (mut reader, lanes)) in readers_of_one_moment(file, stage).await?.into_iter().enumerate() {
        let (stage, take) = (stage.to_owned(), take.clone());
        tasks.push(tokio::spawn(async move {
            reader
                .aside(move |file| {
                    let share = lanes.into_iter().skip(idx).step_by(READERS);
                    let taken = share.map(|mut lane| {
                        let partition = lane.partition;
                        lane.state = state_of_file(file, &stage, partition)?;
                        Ok((partition, take(lane)))
                    });
                    taken.collect::<Result<Vec<_>>>()
                })
                .await
        }));
    }
    let mut taken = Vec::new();
    for task in tasks {
        taken.extend(task.await.unwrap_or_else(|failed| std::panic::resume_unwind(failed.into_panic()))?);
    }
    taken.sort_unstable_by_key(|(partition, _)| *partition);
    Ok(taken.into_iter().map(|(_, made)| made).collect())
}

/// Readers that see the lanes of a stage in the same places, with these.
async fn readers_of_one_moment(file: &Arc<LongFile>, stage: &str) -> Result<Vec<(FileReader, Vec<Lane>)>> {
    let mut n_tries = 0;
    loop {
        // A stage that commits all the time is read by one.
        let n_readers = if n_tries < READERS_TRIES { READERS } else { 1 };
        let mut readers: Vec<(FileReader, Vec<Lane>)> = Vec::with_capacity(n_readers);
        for _ in 0..n_readers {
            let (mut reader, stage) = (FileReader::begin(file)?, stage.to_owned());
            let lanes = reader.aside(move |file| places_of_file(file, &stage)).await?;
            // In between, the stage may have committed.
            if readers.first().is_some_and(|(_, first)| *first != lanes) {
                break;
            }
            readers.push((reader, lanes));
        }
        if readers.len() == n_readers {
            return Ok(readers);
        }
        n_tries += 1;
    }
}

/// As [`load_lanes`], as a reader of a file sees it.
pub(crate) fn lanes_of_file(file: &FileReader, stage: &str) -> Result<Vec<Lane>> {
    let mut lanes = places_of_file(file, stage)?;
    for lane in &mut lanes {
        lane.state = state_of_file(file, stage, lane.partition)?;
    }
    Ok(lanes)
}

/// The lanes without their state.
fn places_of_file(file: &FileReader, stage: &str) -> Result<Vec<Lane>> {
    let mut lanes = Vec::new();
    let text = "SELECT part, position FROM lanes WHERE stage = ?1 ORDER BY part";
    let what = Long { columns: &["part", "position"], n_keys: 1, from: "lanes", is_in_order: true };
    file.rows(text, &what, [stage], |row| {
        let (partition, position) = (row.narrow(0)?, row.narrow(1)?);
        lanes.push(Lane { partition, position, watermarks: Vec::new(), state: Vec::new() });
        Ok(())
    })?;
    let text = "SELECT part, origin_stage, origin_part, origin_offset, origin_idx FROM watermarks \
                WHERE stage = ?1 ORDER BY part, origin_stage, origin_part";
    let what = Long {
        columns: &["part", "origin_stage", "origin_part", "origin_offset", "origin_idx"],
        n_keys: 3,
        from: "watermarks",
        is_in_order: true,
    };
    file.rows(text, &what, [stage], |row| {
        let part: u32 = row.narrow(0)?;
        if let Ok(place) = lanes.binary_search_by_key(&part, |lane| lane.partition) {
            lanes[place].watermarks.push(Watermark {
                stage: row.string(1)?,
                partition: row.narrow(2)?,
                offset: row.narrow(3)?,
                index: row.narrow(4)?,
            });
        }
        Ok(())
    })?;
    Ok(lanes)
}

fn state_of_file(file: &FileReader, stage: &str, partition: u32) -> Result<Vec<(String, Vec<u8>)>> {
    let mut state = Vec::new();
    let text =
        "SELECT entry_key, entry_value FROM stage_state WHERE stage = ?1 AND part = ?2 ORDER BY entry_key";
    let what =
        Long { columns: &["entry_key", "entry_value"], n_keys: 1, from: "stage_state", is_in_order: true };
    file.rows(text, &what, rusqlite::params![stage, partition], |row| {
        state.push((row.string(0)?, row.bytes(1)?.to_vec()));
        Ok(())
    })?;
    Ok(state)
}

async fn advance(conn: &mut AnyConnection, stage: &str, lane: &LaneCommit) -> Result<()> {
    let position = signed("position", lane.position)?;
    let expected = signed("position", lane.expected)?;
    // A lane begins at 0, so the first commit may find no row; a later one must find its own position.
    let text = if expected == 0 {
        "INSERT INTO lanes (stage, part, position) VALUES ($1, $2, $3) ON CONFLICT (stage, part) \
         DO UPDATE SET position = excluded.position WHERE lanes.position = $4"
    } else {
        "UPDATE lanes SET position = $3 WHERE stage = $1 AND part = $2 AND position = $4"
    };
    let done = query(text).cells(cells![stage, lane.partition, position, expected]).execute(conn).await?;
    if done.rows_affected() != 1 {
        return Err(StoreError::LaneMoved {
            stage: stage.to_owned(),
            partition: lane.partition,
            expected: lane.expected,
        });
    }
    Ok(())
}

async fn write_watermarks(conn: &mut AnyConnection, stage: &str, lanes: &[LaneCommit]) -> Result<()> {
    // One statement may touch a row once: of several marks for one origin the last counts.
    let mut last = BTreeMap::new();
    for lane in lanes {
        for mark in &lane.watermarks {
            last.insert((lane.partition, mark.stage.as_str(), mark.partition), (mark.offset, mark.index));
        }
    }
    let rows = last
        .into_iter()
        .map(|((part, origin_stage, origin_part), (offset, idx))| {
            Ok(cells![stage, part, origin_stage, origin_part, signed("offset", offset)?, idx])
        })
        .collect::<Result<Vec<_>>>()?;
    insert_rows(
        conn,
        "INSERT INTO watermarks (stage, part, origin_stage, origin_part, origin_offset, origin_idx)",
        "ON CONFLICT (stage, part, origin_stage, origin_part) \
         DO UPDATE SET origin_offset = excluded.origin_offset, origin_idx = excluded.origin_idx",
        rows,
    )
    .await?;
    Ok(())
}

/// Takes the changes out of `lanes`.
async fn write_state(conn: &mut AnyConnection, stage: &str, lanes: &mut [LaneCommit]) -> Result<()> {
    let mut last: BTreeMap<(u32, String), Option<Vec<u8>>> = BTreeMap::new();
    for lane in lanes {
        for change in lane.changes.drain(..) {
            last.insert((lane.partition, change.key), change.value);
        }
    }
    let mut kept = Vec::new();
    let mut removed: BTreeMap<u32, Vec<Cell>> = BTreeMap::new();
    for ((part, key), value) in last {
        match value {
            Some(value) => kept.push(cells![stage, part, key, value]),
            None => removed.entry(part).or_default().push(Cell::from(key)),
        }
    }
    insert_rows(
        conn,
        "INSERT INTO stage_state (stage, part, entry_key, entry_value)",
        "ON CONFLICT (stage, part, entry_key) DO UPDATE SET entry_value = excluded.entry_value",
        kept,
    )
    .await?;
    for (part, keys) in removed {
        let head = "DELETE FROM stage_state WHERE stage = $1 AND part = $2 AND entry_key";
        execute_in(conn, head, &[Cell::from(stage), Cell::from(part)], keys).await?;
    }
    Ok(())
}

async fn write_effects(conn: &mut AnyConnection, stage: &str, lanes: Vec<LaneCommit>) -> Result<()> {
    let mut postings = Vec::new();
    let mut suspended = Vec::new();
    let (mut exported, mut left_out) = (Vec::new(), Vec::new());
    let mut edrs = Vec::new();
    for effect in lanes.into_iter().flat_map(|lane| lane.effects) {
        match effect {
            StoreEffect::Post(posting) => postings.push(posting),
            StoreEffect::Alert(alert) => insert_alert(conn, &alert).await?,
            StoreEffect::Lock(lock) => lock_by_stage(conn, stage, &lock).await?,
            StoreEffect::Profiles(switch) => switch_profiles(conn, &switch).await?,
            StoreEffect::Bar(barring) => insert_barring(conn, &barring).await?,
            StoreEffect::Stopped(stopped) => add_stopped(conn, stopped).await?,
            StoreEffect::Edr(edr) => edrs.push(*edr),
            StoreEffect::Suspend { .. } => suspended.push(effect),
            StoreEffect::Export { owner, cdr, revision, payload, is_left_out: false } => {
                exported.push(cells![owner, cdr.as_bytes(), revision, payload]);
            }
            StoreEffect::Export { owner, cdr, revision, payload, is_left_out: true } => {
                left_out.push(cells![owner, cdr.as_bytes(), revision, payload, "left out"]);
            }
        }
    }
    insert_postings(conn, postings).await?;
    write_edrs(conn, edrs).await?;
    write_suspended(conn, stage, suspended).await?;
    insert_rows(
        conn,
        "INSERT INTO export_queue (owner, cdr, revision, payload, passed)",
        "ON CONFLICT (owner, cdr, revision) DO NOTHING",
        left_out,
    )
    .await?;
    if exported.is_empty() {
        return Ok(());
    }
    join_queue(conn).await?;
    let insert = match Placeholders::of(conn) {
        Placeholders::Bare => QUEUE_OR_FAIL,
        Placeholders::Numbered => QUEUE,
    };
    insert_rows(conn, insert, "ON CONFLICT (owner, cdr, revision) DO NOTHING", exported).await?;
    Ok(())
}

const QUEUE: &str = "INSERT INTO export_queue (owner, cdr, revision, payload)";

/// As [`QUEUE`], for SQLite: what fails takes the transaction with it, so no statement keeps aside every page as it was, to take itself back
/// alone. Digests touch a page of their index each.
const QUEUE_OR_FAIL: &str = "INSERT OR FAIL INTO export_queue (owner, cdr, revision, payload)";

async fn write_suspended(conn: &mut AnyConnection, stage: &str, effects: Vec<StoreEffect>) -> Result<()> {
    let mut rows = Vec::new();
    for effect in effects {
        if let StoreEffect::Suspend { suspended: what, topic, partition, offset, raw, at } = effect {
            rows.push(cells![
                stage,
                topic.as_str(),
                partition,
                signed("offset", offset)?,
                raw,
                what.code,
                what.message,
                what.retry.as_str(),
                what.account.0,
                what.cdr.as_ref().map(CdrId::as_bytes),
                at,
            ]);
        }
    }
    insert_rows(
        conn,
        "INSERT INTO suspense (stage, topic, part, record_offset, raw, code, message, retry, account, cdr, created_at)",
        "",
        rows,
    )
    .await?;
    Ok(())
}
