//! Ranges of numbers that somebody may not call, or only so often: what the fraud desk bars is refused at the INVITE.
//!
//! In: the barrings of each snapshot, and single ones as they are set or lifted. Out: whether a call to a number may go on.

use std::collections::HashMap;
use std::time::Duration;

use model::{AccountId, Barring, Moment, TenantId};

use super::lookup::HEARD_OUTWEIGHS;
use crate::rules::{Bucket, Rate};

/// All that are in force, or lifted a moment ago.
#[derive(Debug, Default)]
pub(super) struct Barrings {
    of: HashMap<(TenantId, AccountId), HashMap<String, Bar>>,
}

#[derive(Debug)]
struct Bar {
    barring: Barring,
    /// When it was heard of on the control topic: for a moment it outweighs snapshots that do not know it.
    heard: Option<Duration>,
    /// Of the calls that get through.
    bucket: Bucket,
}

impl Barrings {
    /// Takes those of a new snapshot that began to be read at `read_at`, on the monotonic clock.
    pub(super) fn load(&mut self, rows: &[Barring], read_at: Duration, now: Moment) {
        let mut before = std::mem::take(&mut self.of);
        for row in rows {
            let known =
                before.get_mut(&(row.tenant, row.account)).and_then(|ranges| ranges.remove(&row.range));
            let bar = match known {
                Some(known) if known.outweighs(row, read_at) => known,
                known => Bar::of(row.clone(), known, None, now),
            };
            self.of.entry((row.tenant, row.account)).or_default().insert(row.range.clone(), bar);
        }
        for (whose, ranges) in before {
            let fresh = ranges.into_iter().filter(|(_, bar)| bar.is_fresh(read_at));
            for (range, bar) in fresh {
                self.of.entry(whose).or_default().insert(range, bar);
            }
        }
    }

    /// One was set or lifted just now.
    pub(super) fn set(&mut self, barring: Barring, now: Moment) {
        let ranges = self.of.entry((barring.tenant, barring.account)).or_default();
        let range = barring.range.clone();
        let bar = Bar::of(barring, ranges.remove(&range), Some(now.mono), now);
        ranges.insert(range, bar);
    }

    /// Whether `payer` may call the number with these digits now; a call that may go on has counted.
    ///
    /// # Errors
    ///
    /// The barring that refuses it.
    pub(super) fn check(
        &mut self,
        tenant: TenantId,
        payer: AccountId,
        digits: &str,
        now: Moment,
    ) -> Result<(), &Barring> {
        // The usual switch has none.
        if self.of.is_empty() {
            return Ok(());
        }
        let callers = [(tenant, payer), (tenant, AccountId::NOBODY)];
        // What lets nothing through speaks first, so that a refused call takes nobody's turn.
        let refuses = |bar: &Bar| bar.barring.calls_per_minute == 0;
        let whose = callers.into_iter().find_map(|whose| {
            let range = self.ranges_on(whose, digits, now).find(|bar| refuses(bar))?.barring.range.clone();
            Some((whose, range))
        });
        let whose = whose.or_else(|| {
            callers.into_iter().find_map(|whose| {
                let ranges = self.of.get_mut(&whose)?;
                let range = ranges.iter_mut().find_map(|(range, bar)| {
                    let rate = Rate::per_minute(bar.barring.calls_per_minute);
                    (bar.concerns(digits, now) && !bar.bucket.take(rate, now.mono)).then(|| range.clone())
                })?;
                Some((whose, range))
            })
        });
        match whose.and_then(|(whose, range)| self.of.get(&whose)?.get(&range)) {
            Some(bar) => Err(&bar.barring),
            None => Ok(()),
        }
    }

    fn ranges_on<'a>(
        &'a self,
        whose: (TenantId, AccountId),
        digits: &'a str,
        now: Moment,
    ) -> impl Iterator<Item = &'a Bar> {
        let ranges = self.of.get(&whose);
        // Shorter ranges first: the number's own beginnings, however many ranges there are.
        let beginnings = (0..=digits.len()).filter_map(move |n| ranges?.get(digits.get(..n)?));
        beginnings.filter(move |bar| bar.concerns(digits, now))
    }
}

impl Bar {
    fn of(barring: Barring, before: Option<Bar>, heard: Option<Duration>, now: Moment) -> Self {
        let is_as_before = |bar: &Bar| bar.barring.calls_per_minute == barring.calls_per_minute;
        let bucket = before.filter(is_as_before).map_or_else(|| Bucket::full(now.mono), |bar| bar.bucket);
        Self { barring, heard, bucket }
    }

    fn concerns(&self, digits: &str, now: Moment) -> bool {
        digits.starts_with(&self.barring.range) && self.barring.is_in_force(now.wall)
    }

    /// Whether a snapshot that began to be read at `read_at` may not know it.
    fn is_fresh(&self, read_at: Duration) -> bool {
        self.heard.is_some_and(|heard| read_at.saturating_sub(heard) < HEARD_OUTWEIGHS)
    }

    /// Whether the snapshot's row may be older than this.
    fn outweighs(&self, row: &Barring, read_at: Duration) -> bool {
        let is_later = self.heard.is_some_and(|heard| heard > read_at);
        self.is_fresh(read_at) && (is_later || self.barring.since > row.since)
    }
}
