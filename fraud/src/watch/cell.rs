//! What one rule has counted for one subject: sums in sixths of its window, gauges, distinct counts, and its open incident.

use chrono::{DateTime, Utc};
use model::{AlertId, CdrId};
use serde::{Deserialize, Serialize};

use super::distinct::Distinct;
use crate::rule::{Condition, Measure, Rule};

/// Parts of a window.
pub(crate) const PARTS: usize = 6;
const PARTS_U32: u32 = 6;

/// Calls remembered as evidence.
const EVIDENCE_MAX: usize = 10;

/// Callees remembered for sequential dialling.
const NEIGHBOURS_MAX: usize = 4;

/// What is added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sum {
    Attempts,
    Answered,
    Ended,
    Failed,
    AnsweredEnded,
    Short,
    ShortRing,
    Seconds,
    SecondsSquared,
    /// Ten-thousandths of a currency unit.
    Cost,
    Sequential,
}

/// How many kinds of sums there are.
const SUMS: usize = 11;

/// What is seen as different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Things {
    Callees,
    Callers,
    Sources,
    UserAgents,
}

/// What a rule has to keep, worked out once from its conditions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Needs {
    /// Where each kind of sum stands in a part; attempts and cost are always there, for the evidence.
    places: [Option<u8>; SUMS],
    n_sums: usize,
    pub(crate) things: Vec<Things>,
    pub(crate) is_sequential: bool,
    pub(crate) is_long_term: bool,
}

impl Needs {
    pub(crate) fn of(rule: &Rule) -> Self {
        let mut needs = Needs::default();
        let mut sums = vec![Sum::Attempts, Sum::Cost];
        for Condition { measure, .. } in &rule.conditions {
            match measure {
                Measure::Attempts | Measure::AttemptsPerSecond | Measure::Cost => {}
                Measure::CostRate | Measure::Concurrent => {}
                Measure::Answered | Measure::AnsweredShare => sums.push(Sum::Answered),
                Measure::FailedShare => sums.extend([Sum::Failed, Sum::Ended]),
                Measure::Minutes => sums.push(Sum::Seconds),
                Measure::DistinctCallees | Measure::DistinctShare => needs.things.push(Things::Callees),
                Measure::DistinctCallers => needs.things.push(Things::Callers),
                Measure::DistinctSources => needs.things.push(Things::Sources),
                Measure::DistinctUserAgents => needs.things.push(Things::UserAgents),
                Measure::Sequential => {
                    sums.push(Sum::Sequential);
                    needs.is_sequential = true;
                }
                Measure::ShortShare => sums.extend([Sum::Short, Sum::AnsweredEnded]),
                Measure::ShortRingShare => sums.extend([Sum::ShortRing, Sum::Ended]),
                Measure::MeanSeconds => sums.extend([Sum::Seconds, Sum::AnsweredEnded]),
                Measure::DurationSpread => {
                    sums.extend([Sum::Seconds, Sum::SecondsSquared, Sum::AnsweredEnded]);
                }
                Measure::AsrChange => {
                    sums.push(Sum::Answered);
                    needs.is_long_term = true;
                }
                Measure::AcdChange => {
                    sums.extend([Sum::Seconds, Sum::AnsweredEnded]);
                    needs.is_long_term = true;
                }
            }
        }
        sums.sort_unstable();
        sums.dedup();
        needs.things.sort_unstable();
        needs.things.dedup();
        for (place, sum) in (0_u8..).zip(&sums) {
            needs.places[*sum as usize] = Some(place);
        }
        needs.n_sums = sums.len();
        needs
    }

    /// Whether sums of this kind are kept.
    pub(crate) fn has(&self, sum: Sum) -> bool {
        self.place(sum).is_some()
    }

    fn place(&self, sum: Sum) -> Option<usize> {
        self.places[sum as usize].map(usize::from)
    }
}

/// A crossing that is going on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    pub(crate) id: AlertId,
    pub(crate) began: DateTime<Utc>,
    /// When the conditions held last.
    pub(crate) last: DateTime<Utc>,
    /// The first condition's value when it was last told.
    pub(crate) told: i64,
    /// Words said so far.
    pub(crate) n_told: u32,
    /// Ranges that were barred for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) barred: Vec<String>,
    /// Where each call is news of its own: an hour since 1970, and how many calls there were in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) in_hour: Option<(i64, u32)>,
}

/// Sums side by side: in 32 bits as long as they fit, which those of nearly everybody do.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "Vec<u64>", into = "Vec<u64>")]
enum Sums {
    Narrow(Box<[u32]>),
    Wide(Box<[u64]>),
}

impl Default for Sums {
    fn default() -> Self {
        Sums::Narrow(Box::default())
    }
}

impl PartialEq for Sums {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && (0..self.len()).all(|at| self.at(at) == other.at(at))
    }
}

impl Eq for Sums {}

impl From<Vec<u64>> for Sums {
    fn from(sums: Vec<u64>) -> Self {
        let narrow: Result<Box<[u32]>, _> = sums.iter().map(|sum| u32::try_from(*sum)).collect();
        narrow.map_or_else(|_| Sums::Wide(sums.into_boxed_slice()), Sums::Narrow)
    }
}

impl From<Sums> for Vec<u64> {
    fn from(sums: Sums) -> Self {
        (0..sums.len()).map(|at| sums.at(at)).collect()
    }
}

impl Sums {
    fn zero(n: usize) -> Self {
        Sums::Narrow(vec![0; n].into_boxed_slice())
    }

    fn len(&self) -> usize {
        match self {
            Sums::Narrow(sums) => sums.len(),
            Sums::Wide(sums) => sums.len(),
        }
    }

    /// 0 where there is none.
    fn at(&self, at: usize) -> u64 {
        match self {
            Sums::Narrow(sums) => sums.get(at).copied().map_or(0, u64::from),
            Sums::Wide(sums) => sums.get(at).copied().unwrap_or(0),
        }
    }

    fn add(&mut self, at: usize, amount: u64) {
        match self {
            Sums::Narrow(sums) => {
                let Some(slot) = sums.get_mut(at) else { return };
                if let Some(sum) = u32::try_from(amount).ok().and_then(|amount| slot.checked_add(amount)) {
                    *slot = sum;
                    return;
                }
                *self = Sums::Wide(sums.iter().copied().map(u64::from).collect());
                self.add(at, amount);
            }
            Sums::Wide(sums) => {
                if let Some(slot) = sums.get_mut(at) {
                    *slot = slot.saturating_add(amount);
                }
            }
        }
    }

    /// Drops the first `n` and makes room for as many new ones.
    fn shift(&mut self, n: usize) {
        fn shift<T: Copy + Default>(sums: &mut [T], n: usize) {
            let n = n.min(sums.len());
            sums.copy_within(n.., 0);
            let kept = sums.len() - n;
            sums[kept..].fill(T::default());
        }
        match self {
            Sums::Narrow(sums) => shift(sums, n),
            Sums::Wide(sums) => shift(sums, n),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Sums::Narrow(sums) => sums.len() * 4,
            Sums::Wide(sums) => sums.len() * 8,
        }
    }
}

/// Few pairs as a map, as they are saved.
mod as_map {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    use super::Distinct;

    pub(super) fn serialize<S: Serializer>(pairs: &[(u8, Distinct)], to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(pairs.iter().map(|(key, value)| (key, value)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(u8, Distinct)>, D::Error> {
        Ok(BTreeMap::<u8, Distinct>::deserialize(from)?.into_iter().collect())
    }
}

/// The counters of one rule for one subject.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Cell {
    /// Version of the rule; the counters of another one are thrown away.
    #[serde(rename = "v")]
    pub(crate) version: u32,
    /// Which part of time the last one is.
    #[serde(rename = "p")]
    part: i64,
    /// Parts, oldest first, each with the sums that the rule needs.
    #[serde(rename = "s")]
    sums: Sums,
    /// Calls in progress, those that still ring among them.
    #[serde(rename = "c", default, skip_serializing_if = "is_zero")]
    pub(crate) concurrent: u32,
    /// What a minute of them costs, ten-thousandths.
    #[serde(rename = "r", default, skip_serializing_if = "is_none")]
    pub(crate) cost_rate: i64,
    /// By [`Things`], sorted.
    #[serde(rename = "d", default, with = "as_map", skip_serializing_if = "Vec::is_empty")]
    distinct: Vec<(u8, Distinct)>,
    /// The last callees, for sequential dialling.
    #[serde(rename = "q", default, skip_serializing_if = "Vec::is_empty")]
    last_callees: Vec<u64>,
    /// Long-term attempts, answers, seconds and answered calls that ended, in 256ths, fading.
    #[serde(rename = "l", default, skip_serializing_if = "Option::is_none")]
    long: Option<Box<[u64; 4]>>,
    /// Latest calls, oldest first.
    #[serde(rename = "e", default, skip_serializing_if = "Vec::is_empty")]
    evidence: Vec<CdrId>,
    #[serde(rename = "i", default, skip_serializing_if = "Option::is_none")]
    pub(crate) incident: Option<Box<Incident>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_none(n: &i64) -> bool {
    *n == 0
}

/// What the window of a cell holds at one moment.
pub(crate) struct Window<'a> {
    needs: &'a Needs,
    totals: [u64; SUMS],
    attempts_last_part: u64,
    part_seconds: u32,
    cell: &'a Cell,
}

impl Cell {
    pub(crate) fn new(version: u32, needs: &Needs) -> Self {
        Cell {
            version,
            sums: Sums::zero(PARTS * needs.n_sums),
            long: needs.is_long_term.then(Box::default),
            ..Cell::default()
        }
    }

    /// Moves the window to `at_seconds`, never back. Returns the part of that time: the last, or an earlier one for what is told late, and
    /// none for what the window has left behind.
    pub(crate) fn move_to(&mut self, at_seconds: i64, rule: &Rule, needs: &Needs) -> Option<usize> {
        let part = at_seconds.div_euclid(i64::from(part_seconds(rule)));
        if part <= self.part {
            return usize::try_from(self.part - part).ok().and_then(|back| (PARTS - 1).checked_sub(back));
        }
        let n_parts = usize::try_from(part - self.part).unwrap_or(PARTS).min(PARTS);
        if needs.is_long_term {
            self.fade(needs);
        }
        self.sums.shift(n_parts * needs.n_sums);
        self.part = part;
        for (_, distinct) in &mut self.distinct {
            distinct.move_to(at_seconds, rule.window.seconds());
        }
        Some(PARTS - 1)
    }

    /// Takes the part that is over into the long-term values: each fades by a 64th and gains a 64th of the new.
    fn fade(&mut self, needs: &Needs) {
        let last = self.sums.len().saturating_sub(needs.n_sums);
        let of = |sum: Sum| needs.place(sum).map_or(0, |place| self.sums.at(last + place));
        let fresh = [of(Sum::Attempts), of(Sum::Answered), of(Sum::Seconds), of(Sum::AnsweredEnded)];
        if fresh == [0; 4] {
            return;
        }
        if let Some(long) = &mut self.long {
            for (long, fresh) in long.iter_mut().zip(fresh) {
                *long = *long - *long / 64 + fresh * 4;
            }
        }
    }

    /// Adds to the sums of one part of the window, as [`Self::move_to`] says; what is older than all of it is in no sum.
    pub(crate) fn add(&mut self, part: Option<usize>, sum: Sum, amount: u64, needs: &Needs) {
        let (Some(part), Some(place)) = (part, needs.place(sum)) else { return };
        self.sums.add(part * needs.n_sums + place, amount);
    }

    pub(crate) fn see(&mut self, things: Things, hash: u64, at_seconds: i64, rule: &Rule) {
        let place = self.distinct.binary_search_by_key(&(things as u8), |(known, _)| *known);
        let place = place.unwrap_or_else(|place| {
            self.distinct.reserve_exact(1);
            self.distinct.insert(place, (things as u8, Distinct::default()));
            place
        });
        self.distinct[place].1.add(hash, at_seconds, rule.window.seconds());
    }

    /// Whether `callee` is close to one of the last ones; it is remembered as the latest.
    pub(crate) fn is_next(&mut self, callee: u64) -> bool {
        let is_next = self.last_callees.iter().any(|last| *last != callee && last.abs_diff(callee) <= 20);
        if self.last_callees.len() == NEIGHBOURS_MAX {
            self.last_callees.remove(0);
        }
        self.last_callees.push(callee);
        is_next
    }

    pub(crate) fn note_call(&mut self, cdr: CdrId) {
        if self.evidence.last() == Some(&cdr) {
            return;
        }
        if self.evidence.len() == EVIDENCE_MAX {
            self.evidence.remove(0);
        } else if self.evidence.len() == self.evidence.capacity() {
            self.evidence
                .reserve_exact((self.evidence.len() / 2).max(1).min(EVIDENCE_MAX - self.evidence.len()));
        }
        self.evidence.push(cdr);
    }

    /// Latest calls, newest first.
    pub(crate) fn evidence(&self) -> Vec<CdrId> {
        self.evidence.iter().rev().copied().collect()
    }

    pub(crate) fn window<'a>(&'a self, rule: &Rule, needs: &'a Needs) -> Window<'a> {
        let mut totals = [0_u64; SUMS];
        for part in 0..PARTS {
            for (place, total) in totals.iter_mut().enumerate().take(needs.n_sums) {
                *total = total.saturating_add(self.sums.at(part * needs.n_sums + place));
            }
        }
        let last = self.sums.len().saturating_sub(needs.n_sums);
        let attempts_last_part = needs.place(Sum::Attempts).map_or(0, |place| self.sums.at(last + place));
        Window { needs, totals, attempts_last_part, part_seconds: part_seconds(rule), cell: self }
    }

    /// Attempts by part, oldest first.
    pub(crate) fn sparkline(&self, needs: &Needs) -> Vec<u32> {
        let place = needs.place(Sum::Attempts).unwrap_or(0);
        (0..PARTS)
            .map(|part| u32::try_from(self.sums.at(part * needs.n_sums + place)).unwrap_or(u32::MAX))
            .collect()
    }

    /// Nothing is in its window, no call is in progress, and no incident is open: as good as new.
    pub(crate) fn is_idle(&self) -> bool {
        self.concurrent == 0
            && self.incident.is_none()
            && self.long.as_ref().is_none_or(|long| **long == [0; 4])
            && (0..self.sums.len()).all(|at| self.sums.at(at) == 0)
    }

    /// Bytes of memory, but for what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.sums.bytes()
            + self.last_callees.capacity() * 8
            + self.evidence.capacity() * 16
            + self.long.as_ref().map_or(0, |_| size_of::<[u64; 4]>())
            + self.incident.as_ref().map_or(0, |_| size_of::<Incident>())
            + self.distinct.capacity() * size_of::<(u8, Distinct)>()
            + self.distinct.iter().map(|(_, distinct)| distinct.bytes()).sum::<usize>()
    }
}

/// Seconds of one part.
pub(crate) fn part_seconds(rule: &Rule) -> u32 {
    rule.window.seconds().div_ceil(PARTS_U32).max(1)
}

impl Window<'_> {
    pub(crate) fn total(&self, sum: Sum) -> u64 {
        self.needs.place(sum).and_then(|place| self.totals.get(place)).copied().unwrap_or(0)
    }

    fn things(&self, things: Things) -> i64 {
        let known = self.cell.distinct.iter().find(|(known, _)| *known == things as u8);
        i64::from(known.map_or(0, |(_, distinct)| distinct.count()))
    }

    /// The value of a measure; `None` where it says nothing yet, such as a share of no calls.
    pub(crate) fn value(&self, measure: Measure) -> Option<i64> {
        let count = |n: u64| Some(i64::try_from(n).unwrap_or(i64::MAX));
        let share = |part: u64, whole: u64| (part * 100).checked_div(whole).and_then(count);
        let total = |sum| self.total(sum);
        match measure {
            Measure::Attempts => count(total(Sum::Attempts)),
            Measure::AttemptsPerSecond => count(self.attempts_last_part / u64::from(self.part_seconds)),
            Measure::Answered => count(total(Sum::Answered)),
            Measure::FailedShare => share(total(Sum::Failed), total(Sum::Ended)),
            Measure::AnsweredShare => share(total(Sum::Answered), total(Sum::Attempts)),
            Measure::Cost => count(total(Sum::Cost)),
            Measure::CostRate => Some(self.cell.cost_rate),
            Measure::Minutes => count(total(Sum::Seconds) / 60),
            Measure::Concurrent => Some(i64::from(self.cell.concurrent)),
            Measure::DistinctCallees => Some(self.things(Things::Callees)),
            Measure::DistinctCallers => Some(self.things(Things::Callers)),
            Measure::DistinctSources => Some(self.things(Things::Sources)),
            Measure::DistinctUserAgents => Some(self.things(Things::UserAgents)),
            Measure::DistinctShare => {
                let attempts = i64::try_from(total(Sum::Attempts)).unwrap_or(i64::MAX);
                // An estimate may be above the truth; a share never is.
                (self.things(Things::Callees) * 100).checked_div(attempts).map(|share| share.min(100))
            }
            Measure::Sequential => count(total(Sum::Sequential)),
            Measure::ShortShare => share(total(Sum::Short), total(Sum::AnsweredEnded)),
            Measure::ShortRingShare => share(total(Sum::ShortRing), total(Sum::Ended)),
            Measure::MeanSeconds => {
                total(Sum::Seconds).checked_div(total(Sum::AnsweredEnded)).and_then(count)
            }
            Measure::DurationSpread => {
                let (n, sum) = (u128::from(total(Sum::AnsweredEnded)), u128::from(total(Sum::Seconds)));
                let variance = (u128::from(total(Sum::SecondsSquared)) * n).saturating_sub(sum * sum);
                // 100 * sd / mean, both times n.
                (variance * 10_000).isqrt().checked_div(sum).and_then(|percent| i64::try_from(percent).ok())
            }
            Measure::AsrChange => {
                let [attempts, answered, _, _] = **self.cell.long.as_ref()?;
                change(total(Sum::Answered), total(Sum::Attempts), answered, attempts)
            }
            Measure::AcdChange => {
                let [_, _, seconds, ended] = **self.cell.long.as_ref()?;
                change(total(Sum::Seconds), total(Sum::AnsweredEnded), seconds, ended)
            }
        }
    }
}

/// How many percent `a / b` is above or below `long_a / long_b`; `None` unless both say something.
fn change(a: u64, b: u64, long_a: u64, long_b: u64) -> Option<i64> {
    // 256 calls in the long run, or it says nothing.
    if b == 0 || long_a == 0 || long_b < 256 {
        return None;
    }
    let now = u128::from(a) * u128::from(long_b) * 100;
    let percent = now / (u128::from(b) * u128::from(long_a));
    i64::try_from(percent).ok().map(|percent| percent - 100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rule::RuleFile;

    const RULE: &str = r#"
[[rule]]
name = "busy"
version = 1
title = "Many calls"
key = "account"
window = "1h"
when = [{ measure = "attempts", at_least = 4 }]
"#;

    #[test]
    fn what_is_told_late_counts_in_the_part_of_its_time_and_what_is_too_old_in_none() {
        let rule = RuleFile::read(RULE).unwrap().rules.remove(0);
        let needs = Needs::of(&rule);
        let mut cell = Cell::new(rule.version, &needs);
        // Parts of ten minutes: now, twenty, fifty and sixty minutes ago.
        for at_seconds in [36_000, 34_800, 33_000, 32_400] {
            let part = cell.move_to(at_seconds, &rule, &needs);
            cell.add(part, Sum::Attempts, 1, &needs);
        }
        assert_eq!(cell.sparkline(&needs), [1, 0, 0, 1, 0, 1]);
        assert_eq!(cell.move_to(36_600, &rule, &needs), Some(PARTS - 1));
        assert_eq!(cell.window(&rule, &needs).total(Sum::Attempts), 2);
    }
}
