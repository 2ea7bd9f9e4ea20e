//! Merges small files of one day, so that a second's commit does not stay a file for ever.
//!
//! Files are merged with others of about their size: each step makes them `compact_files_min` times larger, so a row is
//! written again only a few times until its file has `target_rows`. A day that is over is merged to the end. Rows that others
//! among them supersede go to files of their own (`merge.rs`), which queries of what holds do not read.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{PoisonError, TryLockError};

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};

use crate::layout::Spot;
use crate::manifest::{LakeFile, Manifest, Retired};
use crate::merge::{Input, Leg, Part, each_revision};
use crate::tree::Fetched;
use crate::writer::{Unpublished, Writer};
use crate::{LakeConfig, LakeError, merge};

/// A day counts as over so long after its midnight: the calls that ended late are in by then.
const DAY_OVER_AFTER: TimeDelta = TimeDelta::hours(2);

/// Of a day that is over, files are merged when together the smaller ones have at least this part of the largest one's rows.
const TRICKLE_PART: u64 = 4;

/// Corrections whose earlier revisions are looked for at once, if they are not all of one file: a hundred bytes of memory each.
const CORRECTIONS_SOUGHT: u64 = 200_000;

/// What one round of merging did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Files merged into others.
    pub files_before: u64,
    /// Files they became.
    pub files_after: u64,
    /// Rows written again.
    pub rows: u64,
    /// Files merged in earlier rounds and now deleted.
    pub files_deleted: u64,
}

impl Writer {
    pub(crate) fn compact(&self, now: DateTime<Utc>) -> Result<Compacted, LakeError> {
        let _merging = match self.merging.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(Compacted::default()),
        };
        self.tidy()?;
        let mut done = Compacted { files_deleted: self.purge(now)?, ..Compacted::default() };
        let manifest = self.state()?.manifest.clone();
        for group in groups(&manifest, &self.config, now) {
            let apart = superseded_beside(&self.state()?.manifest, &group, now);
            done.files_after += self.merge(&group, &apart, now)?;
            done.files_before += group.len() as u64;
            done.rows += group.iter().map(|file| file.rows).sum::<u64>();
        }
        self.compact_tables(now, &mut done)?;
        if let Err(error) = self.note_near(now) {
            // Answers are the same without it, and merging goes on.
            tracing::warn!(%error, code = error.code(), "it is not known yet which day late corrections of the lake are of");
        }
        Ok(done)
    }

    /// Merges one group into so many files. The long part, writing, runs beside commits.
    fn merge(&self, group: &[LakeFile], apart: &[LakeFile], now: DateTime<Utc>) -> Result<u64, LakeError> {
        let Some(first) = group.first() else { return Ok(0) };
        let day = first.day;
        let (number, mut written) = self.begin(2)?;
        let spots = [number, number + 1].map(|number| Spot::of_day(day, number));
        let inputs = self.inputs(group, &written)?;
        let apart = self.fetch(apart.iter().map(|file| (file.spot(), file.rows)), &written)?;
        let [current, superseded] = [written.begin(spots[0].clone())?, written.begin(spots[1].clone())?];
        let expected: u64 = group.iter().map(|file| file.rows).sum();
        let merged = merge::merge_files(&inputs, &apart, &current, &superseded, expected)?;
        drop((inputs, apart));
        let parts = [(&merged.current, first.is_superseded), (&merged.superseded, true)];
        let found: u64 = parts.iter().filter_map(|(part, _)| part.as_ref()).map(|part| part.rows).sum();
        if found != expected {
            let files = group.len();
            return Err(LakeError::MergeMiscounted { day: day.to_string(), files, expected, found });
        }
        // What was applied to all of them.
        let forgotten: Vec<String> = first
            .forgotten
            .iter()
            .filter(|mark| group.iter().all(|file| file.forgotten.contains(mark)))
            .cloned()
            .collect();
        let made = |number: u64, part: &Part, is_superseded: bool| LakeFile {
            day,
            number,
            rows: part.rows,
            bytes: part.bytes,
            corrections: part.corrections,
            settled: part.settled,
            is_near: group.iter().all(|file| file.is_near || !file.has_open_corrections()),
            is_superseded,
            first_start_us: part.first_start_us,
            last_start_us: part.last_start_us,
            forgotten: forgotten.clone(),
        };
        let mut files = Vec::with_capacity(2);
        for ((part, is_superseded), spot) in parts.into_iter().zip(&spots) {
            match part {
                Some(part) => files.push(made(number + u64::from(*spot == spots[1]), part, is_superseded)),
                None => written.leave_out(spot),
            }
        }
        assert!(files.iter().all(|file| file.rows > 0), "a file without rows would be committed");
        let n_files = files.len() as u64;
        written.seal_all()?;
        let retired: Vec<Retired> =
            group.iter().map(|file| Retired { day, number: file.number, since: now }).collect();

        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let before = next.n_rows();
        next.files.retain(|file| !group.contains(file));
        next.files.extend(files);
        next.retired.extend(retired);
        assert_eq!(next.n_rows(), before, "merging files lost or invented rows");
        self.publish(&mut state, next, now, &mut written)?;
        self.move_out(&group.iter().map(LakeFile::spot).collect::<Vec<_>>());
        Ok(n_files)
    }

    /// Of one day that is over, finds out which corrections supersede rows of that day alone, where their commit could not tell: a price
    /// that was changed later, or a call that was up while the process was started. Then no other day is compared for them.
    fn note_near(&self, now: DateTime<Utc>) -> Result<(), LakeError> {
        let manifest = self.state()?.manifest.clone();
        let mut sought = self.sought.lock().unwrap_or_else(PoisonError::into_inner);
        let is_in_question = |file: &&LakeFile| {
            file.has_open_corrections()
                && !file.is_near
                && !sought.contains(&file.number)
                && is_over(file.day, now)
        };
        let Some(day) = manifest.files.iter().filter(is_in_question).map(|file| file.day).min() else {
            return Ok(());
        };
        let mut n_corrections = 0;
        let files: Vec<&LakeFile> = manifest
            .files
            .iter()
            .filter(is_in_question)
            .filter(|file| file.day == day)
            .take_while(|file| {
                let is_first = n_corrections == 0;
                n_corrections += file.corrections;
                is_first || n_corrections <= CORRECTIONS_SOUGHT
            })
            .collect();
        let written = Unpublished::new(self, &*self.state()?);
        let look = |file: &LakeFile, look: &mut dyn FnMut(Leg, i64)| {
            let fetched = self.fetch([(file.spot(), file.rows)].into_iter(), &written)?;
            fetched.iter().try_for_each(|fetched| each_revision(fetched.path(), &mut *look))
        };
        // Should one of them not be readable, the others are not held up by it.
        sought.extend(files.iter().map(|file| file.number));
        let mut corrections: Vec<(u64, Leg, i64)> = Vec::new();
        for file in &files {
            look(file, &mut |leg, number| {
                if number > 0 {
                    corrections.push((file.number, leg, number));
                }
            })?;
        }
        let mut found: HashMap<Leg, Vec<i64>> =
            corrections.iter().map(|(_, leg, _)| (*leg, Vec::new())).collect();
        for file in manifest.files.iter().filter(|file| file.day == day) {
            look(file, &mut |leg, number| {
                if let Some(numbers) = found.get_mut(&leg) {
                    numbers.push(number);
                }
            })?;
        }
        let is_far = |(_, leg, number): &&(u64, Leg, i64)| {
            found.get(leg).is_none_or(|numbers| !(0..*number).all(|before| numbers.contains(&before)))
        };
        let far: HashSet<u64> = corrections.iter().filter(is_far).map(|(file, _, _)| *file).collect();
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        let is_near = |file: &LakeFile| {
            files.iter().any(|looked_at| looked_at.number == file.number) && !far.contains(&file.number)
        };
        let mut is_changed = false;
        for file in next.files.iter_mut().filter(|file| is_near(file)) {
            file.is_near = true;
            is_changed = true;
        }
        if !is_changed {
            return Ok(());
        }
        let mut written = Unpublished::new(self, &state);
        self.publish(&mut state, next, now, &mut written)
    }

    fn inputs(&self, group: &[LakeFile], written: &Unpublished<'_>) -> Result<Vec<Input>, LakeError> {
        let fetched = self.fetch(group.iter().map(|file| (file.spot(), file.rows)), written)?;
        let inputs = fetched.into_iter().zip(group).map(|(fetched, file)| Input {
            file: fetched,
            // Rows that are superseded already are merged with their like as they are.
            corrections: if file.is_superseded { 0 } else { file.corrections },
            is_settled: !file.has_open_corrections(),
        });
        Ok(inputs.collect())
    }

    /// Committed files to be read again.
    pub(crate) fn fetch(
        &self,
        spots: impl Iterator<Item = (Spot, u64)>,
        written: &Unpublished<'_>,
    ) -> Result<Vec<Fetched>, LakeError> {
        self.tree.fetch(&spots.collect::<Vec<_>>(), written.writer())
    }

    /// Deletes files that were merged longer ago than `retired_keep`.
    fn purge(&self, now: DateTime<Utc>) -> Result<u64, LakeError> {
        let keep = TimeDelta::from_std(self.config.retired_keep).unwrap_or(TimeDelta::MAX);
        let is_expired = |since: DateTime<Utc>| now.signed_duration_since(since) >= keep;
        let mut state = self.state()?;
        let mut next = state.manifest.clone();
        next.retired.retain(|file| !is_expired(file.since));
        next.retired_tables.retain(|file| !is_expired(file.since));
        let kept: HashSet<Spot> = next.retired_spots().collect();
        let expired: Vec<Spot> = state.manifest.retired_spots().filter(|spot| !kept.contains(spot)).collect();
        if expired.is_empty() {
            return Ok(0);
        }
        self.tree.purge(&expired)?;
        let mut written = Unpublished::new(self, &state);
        self.publish(&mut state, next, now, &mut written)?;
        Ok(expired.len() as u64)
    }
}

/// Files of superseded rows of the day of `group`, if it is over and holds corrections that may supersede some of them. While the day
/// lasts they would be read for each of many small merges, and its corrections stay open.
fn superseded_beside(manifest: &Manifest, group: &[LakeFile], now: DateTime<Utc>) -> Vec<LakeFile> {
    let day = group.first().map(|file| file.day);
    if !day.is_some_and(|day| is_over(day, now)) || !group.iter().any(LakeFile::has_open_corrections) {
        return Vec::new();
    }
    manifest.files.iter().filter(|file| file.is_superseded && Some(file.day) == day).cloned().collect()
}

/// Files to be merged with each other, a group at a time.
fn groups(manifest: &Manifest, config: &LakeConfig, now: DateTime<Utc>) -> Vec<Vec<LakeFile>> {
    let mut days: BTreeMap<(NaiveDate, bool), Vec<&LakeFile>> = BTreeMap::new();
    for file in manifest.files.iter().filter(|file| file.rows < config.target_rows) {
        days.entry((file.day, file.is_superseded)).or_default().push(file);
    }
    days.into_iter()
        .flat_map(|((day, _), files)| {
            if is_over(day, now) && is_worth_finishing(&files) {
                return chunks(files, config.target_rows, 2);
            }
            let mut tiers: BTreeMap<u32, Vec<&LakeFile>> = BTreeMap::new();
            for file in files {
                tiers.entry(tier(file.rows, config.compact_files_min as u64)).or_default().push(file);
            }
            tiers
                .into_values()
                .flat_map(|files| chunks(files, config.target_rows, config.compact_files_min))
                .collect()
        })
        .collect()
}

/// How often `rows` can be divided by `base`.
pub(crate) fn tier(rows: u64, base: u64) -> u32 {
    rows.checked_ilog(base.max(2)).unwrap_or(0)
}

fn is_over(day: NaiveDate, now: DateTime<Utc>) -> bool {
    day.checked_add_days(Days::new(1))
        .is_some_and(|next| now >= next.and_time(NaiveTime::MIN).and_utc() + DAY_OVER_AFTER)
}

/// A late call or two do not make a large file be written again.
fn is_worth_finishing(files: &[&LakeFile]) -> bool {
    let total: u64 = files.iter().map(|file| file.rows).sum();
    let largest = files.iter().map(|file| file.rows).max().unwrap_or(0);
    files.len() >= 2 && (total - largest).saturating_mul(TRICKLE_PART) >= largest
}

/// Cuts files, in the order of their start, into groups of at least `files_min` files that come to about `target_rows`.
fn chunks(mut files: Vec<&LakeFile>, target_rows: u64, files_min: usize) -> Vec<Vec<LakeFile>> {
    files.sort_by_key(|file| (file.first_start_us, file.number));
    let mut groups: Vec<Vec<LakeFile>> = Vec::new();
    let mut group: Vec<LakeFile> = Vec::new();
    let mut rows = 0;
    for file in files {
        rows += file.rows;
        group.push(file.clone());
        if rows >= target_rows {
            groups.push(std::mem::take(&mut group));
            rows = 0;
        }
    }
    groups.push(group);
    groups.retain(|group| group.len() >= files_min.max(2));
    groups
}
