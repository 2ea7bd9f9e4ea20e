//! Takes telephone numbers out of files that were written long ago: after their time, or because one person asks for it.
//!
//! In: rules, persons to be forgotten, and holds that beat both. Out: files written again without those numbers, committed like a
//! merge, and a proof beside each commit: what, when, how many rows, and the digests of the files before and after. Calls stay as
//! rows, since invoices and audits count on them; events may go. Readers of an old file keep it as long as they keep it open; it is
//! deleted after `lake.retired_keep`, as merged files are.

mod proof;
mod rows;

use std::path::Path;

use chrono::{DateTime, Utc};
use model::{AccountId, E164, TenantId};
use serde::{Deserialize, Serialize};

pub use proof::{FileProof, Proof};
pub(crate) use proof::{PROOFS, sweep, unnamed};
use rows::{Columns, Decided};

use crate::layout::Spot;
use crate::manifest::{LakeFile, Manifest, Retired, RetiredTable, TableFile};
use crate::parquet_file::{self, CALLS, Shape};
use crate::tables::EVENTS;
use crate::tree::Fetched;
use crate::writer::{Unpublished, Writer};
use crate::{Lake, LakeError, blocking};

/// Files written again in one commit: so much of the disk is needed twice.
const FILES_MAX: usize = 32;

/// A number of fewer digits is part of many, and cannot be erased.
pub const NUMBER_DIGITS_MIN: usize = 8;

/// Rows that have a time of their own to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataClass {
    /// Calls, in all revisions.
    Calls,
    /// Event detail records.
    Events,
}

/// What becomes of rows whose time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Numbers lose all but their first four digits; the row stays, and counts.
    Anonymise,
    /// The row goes. Events alone: invoices count on calls.
    Delete,
}

/// One rule of retention.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Of which rows.
    pub class: DataClass,
    /// Of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Rows from before this are over.
    pub until: DateTime<Utc>,
    /// What becomes of them.
    pub then: Then,
}

/// A person to be forgotten.
#[derive(Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The number.
    pub number: E164,
    /// In the rows of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
}

/// Rows that nothing may change.
#[derive(Clone, PartialEq, Eq)]
pub struct Hold {
    /// Rows of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Rows in which this account pays or is paid; `None`: whichever.
    pub account: Option<AccountId>,
    /// Rows with this number; `None`: whichever.
    pub number: Option<E164>,
}

/// What is to be forgotten in one go.
#[derive(Clone, PartialEq, Eq)]
pub struct Task {
    /// By time.
    pub rules: Vec<Rule>,
    /// By person.
    pub erasures: Vec<Erasure>,
    /// What beats both.
    pub holds: Vec<Hold>,
    /// Who asks.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// What was done, in all commits of a task.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Forgotten {
    /// Rows whose numbers were taken out.
    pub rows_changed: u64,
    /// Rows deleted.
    pub rows_deleted: u64,
    /// Rows that a hold kept as they are.
    pub rows_held: u64,
    /// Where the proofs are, relative to the lake's directory; none if nothing was changed.
    pub proofs: Vec<String>,
}

impl Rule {
    /// What a file is marked with when the rule has been applied to all of it.
    fn mark(&self) -> String {
        let tenant = self.tenant.map_or_else(|| "*".to_owned(), |tenant| tenant.0.to_string());
        format!("{:?}:{tenant}", self.then)
    }
}

impl Lake {
    /// Forgets what `task` says. Queries, commits and readers go on meanwhile. Rows that come in while it runs are not looked at.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`], [`LakeError::Parquet`]; each commit before that stands, with its proof. [`LakeError::CallsStay`] when a rule
    /// would delete calls.
    pub async fn forget(&self, task: Task, now: DateTime<Utc>) -> Result<Forgotten, LakeError> {
        let writer = self.writer()?;
        blocking(move || writer.forget(&task, now)).await
    }

    /// The proofs of all that was forgotten, oldest first.
    ///
    /// # Errors
    ///
    /// [`LakeError::Io`], and [`LakeError::ManifestUnreadable`] for a proof that is no proof.
    pub fn proofs(&self) -> Result<Vec<Proof>, LakeError> {
        proof::all(&self.tree)
    }
}

/// A file that a commit puts in the place of another.
struct Rewritten {
    proof: FileProof,
    old: Place,
    new: Option<Place>,
}

enum Place {
    Call(LakeFile),
    Event(TableFile),
}

impl Place {
    fn spot(&self) -> Spot {
        match self {
            Place::Call(file) => file.spot(),
            Place::Event(file) => Spot::of_table(EVENTS.name, file.number),
        }
    }

    fn rows(&self) -> u64 {
        match self {
            Place::Call(file) => file.rows,
            Place::Event(file) => file.rows,
        }
    }
}

impl Writer {
    fn forget(&self, task: &Task, now: DateTime<Utc>) -> Result<Forgotten, LakeError> {
        if task.rules.iter().any(|rule| rule.class == DataClass::Calls && rule.then == Then::Delete) {
            return Err(LakeError::CallsStay);
        }
        for erasure in &task.erasures {
            let digits = erasure.number.to_string().len();
            if digits < NUMBER_DIGITS_MIN {
                return Err(LakeError::NumberTooShort { digits });
            }
        }
        // A merge would carry rows over into a file that we do not know of.
        let _merging = self.merging.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let manifest = self.state()?.manifest.clone();
        let calls = manifest.files.iter().cloned().map(Place::Call);
        let events = manifest.tables.get(EVENTS.name).map(|state| state.files.clone()).unwrap_or_default();
        let mut done = Forgotten::default();
        let mut written = Unpublished::new(self, &*self.state()?);
        let mut rewritten = Vec::new();
        // Files that a rule found nothing in: it need not look again.
        let mut looked_at: Vec<(u64, Vec<String>)> = Vec::new();
        for old in calls.chain(events.into_iter().map(Place::Event)) {
            let (rules, marks) = due(task, &old);
            if rules.is_empty() && task.erasures.is_empty() {
                continue;
            }
            let fetched = self.fetch([(old.spot(), old.rows())].into_iter(), &written)?;
            let Some(path) = fetched.first().map(Fetched::path) else { continue };
            let (shape, columns) = match &old {
                Place::Call(_) => (&*CALLS, Columns::of_calls()),
                Place::Event(_) => (&Shape::of_table(&EVENTS), Columns::of_events()),
            };
            let decide = |batch: &_| rows::decide(batch, &columns, &rules, task);
            let mut found = Decided::default();
            parquet_file::read_batches(path, shape, |batch| {
                found.add(&decide(&batch)?);
                Ok(())
            })?;
            done.rows_held += found.held;
            let marks = if found.held == 0 { marks } else { Vec::new() };
            if found.changed == 0 && found.deleted == 0 {
                if let (Place::Call(file), false) = (&old, marks.is_empty()) {
                    looked_at.push((file.number, marks));
                }
                continue;
            }
            rewritten.push(self.rewrite(old, path, shape, &decide, &found, marks, &mut written)?);
            if rewritten.len() >= FILES_MAX {
                self.exchange(task, std::mem::take(&mut rewritten), &mut written, &mut done, now)?;
            }
        }
        if !rewritten.is_empty() {
            self.exchange(task, rewritten, &mut written, &mut done, now)?;
        }
        self.mark(&looked_at, now)?;
        Ok(done)
    }

    /// Writes one file again, hidden.
    #[expect(clippy::too_many_arguments, reason = "one file's facts, each used once")]
    fn rewrite(
        &self,
        old: Place,
        path: &Path,
        shape: &Shape,
        decide: &dyn Fn(&datafusion::arrow::record_batch::RecordBatch) -> Result<rows::Made, LakeError>,
        found: &Decided,
        marks: Vec<String>,
        written: &mut Unpublished<'_>,
    ) -> Result<Rewritten, LakeError> {
        let rows = old.rows() - found.deleted;
        let mut proof = FileProof::before(path, &old.spot(), old.rows())?;
        (proof.rows_changed, proof.rows_deleted, proof.rows_held) =
            (found.changed, found.deleted, found.held);
        if rows == 0 {
            return Ok(Rewritten { proof, old, new: None });
        }
        let (number, _) = self.begin(1)?;
        let new = match &old {
            Place::Call(file) => Place::Call(LakeFile { number, rows, ..file.clone() }),
            Place::Event(file) => Place::Event(TableFile { number, rows, ..file.clone() }),
        };
        let hidden = written.begin(new.spot())?;
        let copied = parquet_file::copy_file(path, &hidden, rows, shape, |batch| Ok(decide(batch)?.batch))?;
        assert_eq!(copied.rows, rows, "writing a file again lost or invented rows");
        proof.after(&hidden, &new.spot(), copied.rows)?;
        written.seal()?;
        let new = match new {
            Place::Call(mut file) => {
                file.bytes = copied.bytes;
                file.forgotten.extend(marks);
                file.forgotten.sort();
                file.forgotten.dedup();
                Place::Call(file)
            }
            Place::Event(file) => Place::Event(TableFile { bytes: copied.bytes, ..file }),
        };
        Ok(Rewritten { proof, old, new: Some(new) })
    }

    /// Puts files in the places of others, all of them or none, with the proof of it.
    fn exchange(
        &self,
        task: &Task,
        files: Vec<Rewritten>,
        written: &mut Unpublished<'_>,
        done: &mut Forgotten,
        now: DateTime<Utc>,
    ) -> Result<(), LakeError> {
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let before = next.n_rows();
        for file in &files {
            swap(&mut next, file, now)?;
        }
        assert_eq!(next.n_rows(), before, "calls were lost or invented");
        // On disk before the commit that it proves; one without its commit is thrown away when the lake is opened.
        let proof = Proof::of(task, &files.iter().map(|file| file.proof.clone()).collect::<Vec<_>>(), now);
        self.refuse_if_taken_over(&mut state, written)?;
        let (generation, opening) = (state.manifest.generation + 1, state.manifest.opening);
        let place = proof.write(&self.tree, generation, opening)?;
        if opening != 0 {
            next.proofs.entry(opening).or_default().push(generation);
        }
        self.publish(&mut state, next, now, written)?;
        self.move_out(&files.iter().map(|file| file.old.spot()).collect::<Vec<_>>());
        for file in &files {
            done.rows_changed += file.proof.rows_changed;
            done.rows_deleted += file.proof.rows_deleted;
        }
        done.proofs.push(place);
        Ok(())
    }

    /// Notes which files a rule has nothing to do in any more.
    fn mark(&self, looked_at: &[(u64, Vec<String>)], now: DateTime<Utc>) -> Result<(), LakeError> {
        if looked_at.is_empty() {
            return Ok(());
        }
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        for (number, marks) in looked_at {
            if let Some(file) = next.files.iter_mut().find(|file| file.number == *number) {
                file.forgotten.extend(marks.iter().cloned());
                file.forgotten.sort();
                file.forgotten.dedup();
            }
        }
        let mut written = Unpublished::new(self, &state);
        self.publish(&mut state, next, now, &mut written)
    }
}

/// The rules that are due for a file, and the marks that it gets once they are applied to all of it. Calls lie in files of one day: a
/// file is due when all of it is over. Of events each row is asked.
fn due<'a>(task: &'a Task, file: &Place) -> (Vec<&'a Rule>, Vec<String>) {
    let rules = task.rules.iter();
    match file {
        Place::Event(_) => (rules.filter(|rule| rule.class == DataClass::Events).collect(), Vec::new()),
        Place::Call(file) => {
            let due: Vec<&Rule> = rules
                .filter(|rule| rule.class == DataClass::Calls)
                .filter(|rule| file.last_start_us < rule.until.timestamp_micros())
                .filter(|rule| !file.forgotten.contains(&rule.mark()))
                .collect();
            let marks = due.iter().map(|rule| rule.mark()).collect();
            (due, marks)
        }
    }
}

fn swap(next: &mut Manifest, file: &Rewritten, now: DateTime<Utc>) -> Result<(), LakeError> {
    let gone = || LakeError::Internal { problem: "a file was merged while it was written again".to_owned() };
    match &file.old {
        Place::Call(old) => {
            let at = next.files.iter().position(|there| there.number == old.number).ok_or_else(gone)?;
            next.files.remove(at);
            next.retired.push(Retired { day: old.day, number: old.number, since: now });
        }
        Place::Event(old) => {
            let state = next.tables.entry(EVENTS.name.to_owned()).or_default();
            let at = state.files.iter().position(|there| there.number == old.number).ok_or_else(gone)?;
            state.files.remove(at);
            let table = EVENTS.name.to_owned();
            next.retired_tables.push(RetiredTable { table, number: old.number, since: now });
        }
    }
    match &file.new {
        Some(Place::Call(new)) => next.files.push(new.clone()),
        Some(Place::Event(new)) => {
            next.tables.entry(EVENTS.name.to_owned()).or_default().files.push(new.clone());
        }
        None => {}
    }
    Ok(())
}
