//! Everybody that rules count for, in bounded memory.
//!
//! Accounts, subscribers and trunks are as many as are provisioned. Addresses, number ranges and countries are named by whoever calls,
//! so a flood of made-up ones must not push out what is being watched: when a kind is full, the subject that was seen least makes room
//! (space-saving; Metwally and others 2005), of equals the one that was silent longest. A subject that was seen n times can be pushed
//! out only by a flood in which every other place was seen half as often.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::baseline::Baseline;
use super::cell::Cell;
use super::snapshot::WatchRules;
use crate::rule::Key;

/// Subjects of one kind in one lane, of those kinds that callers can make up: some 6 MB.
pub const SUBJECTS_MAX: usize = 10_000;

/// Countries remembered for one account; the world has some 230 codes.
const COUNTRIES_MAX: usize = 256;

/// User agents remembered for one account; the ones seen last stay.
const USER_AGENTS_MAX: usize = 16;

/// Open incidents weigh as much as a hundred thousand calls.
const INCIDENT_CLASS: u8 = 17;

/// One party that a rule counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SubjectKey {
    pub(crate) key: Key,
    pub(crate) a: u64,
    pub(crate) b: u64,
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.key, self.a, self.b)
    }
}

impl SubjectKey {
    /// Back from `Display`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('/');
        let word = parts.next()?;
        let key = Key::ALL.iter().copied().find(|key| key.as_str() == word)?;
        Some(SubjectKey { key, a: parts.next()?.parse().ok()?, b: parts.next()?.parse().ok()? })
    }

    /// Whether callers can make up as many as they like.
    const fn is_made_up(self) -> bool {
        match self.key {
            Key::Account | Key::Subscriber | Key::Trunk | Key::VendorCountry => false,
            Key::Source | Key::ARange | Key::BRange | Key::Country | Key::AccountCountry => true,
        }
    }
}

/// What an account is known by, besides its counters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct AccountMemory {
    /// Countries it called, and the hour of the first call to each, since 1970.
    #[serde(rename = "c", default, skip_serializing_if = "Vec::is_empty")]
    countries: Vec<(u16, u32)>,
    /// User agents it called with, as half a hash, and the hour of the first call with each.
    #[serde(rename = "u", default, skip_serializing_if = "Vec::is_empty", deserialize_with = "half_hashes")]
    user_agents: Vec<(u32, u32)>,
    #[serde(rename = "b")]
    pub(crate) baseline: Baseline,
}

/// Saved as they are, or whole as earlier versions did.
fn half_hashes<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<(u32, u32)>, D::Error> {
    let saved = Vec::<(u64, u32)>::deserialize(from)?;
    Ok(saved.into_iter().map(|(hash, hour)| (half(hash), hour)).collect())
}

fn half(hash: u64) -> u32 {
    u32::try_from(hash).unwrap_or_else(|_| u32::try_from(hash >> 32).unwrap_or(0))
}

impl AccountMemory {
    /// The hour of the first call to `country`: this one, if it is the first.
    pub(crate) fn first_call_to(&mut self, country: u16, hour: i64) -> i64 {
        if let Some((_, first)) = self.countries.iter().find(|(known, _)| *known == country) {
            return i64::from(*first);
        }
        if self.countries.len() < COUNTRIES_MAX {
            if self.countries.len() == self.countries.capacity() {
                self.countries.reserve_exact((self.countries.len() / 2).max(1));
            }
            self.countries.push((country, u32::try_from(hour).unwrap_or(0)));
        }
        hour
    }

    /// The hour of the first call with `user_agent`: this one, if it is the first.
    pub(crate) fn first_call_with(&mut self, user_agent: u64, hour: i64) -> i64 {
        let agent = half(user_agent);
        if let Some(at) = self.user_agents.iter().position(|(known, _)| *known == agent) {
            let known = self.user_agents.remove(at);
            self.user_agents.push(known);
            return i64::from(known.1);
        }
        if self.user_agents.len() == USER_AGENTS_MAX {
            self.user_agents.remove(0);
        } else if self.user_agents.len() == self.user_agents.capacity() {
            self.user_agents.reserve_exact(1);
        }
        self.user_agents.push((agent, u32::try_from(hour).unwrap_or(0)));
        hour
    }

    /// Bytes of memory, but for what the allocator adds.
    fn bytes(&self) -> usize {
        size_of::<Self>()
            + (self.countries.capacity() + self.user_agents.capacity()) * 8
            + self.baseline.bytes()
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Subject {
    /// First and last seen, seconds since 1970.
    pub(crate) since: i64,
    pub(crate) last: i64,
    /// How often.
    pub(crate) n_seen: u64,
    /// By the place of the rule, sorted.
    pub(crate) cells: Vec<(u16, Cell)>,
    /// Of an account.
    pub(crate) memory: Option<Box<AccountMemory>>,
    /// Changed since the last commit.
    pub(crate) is_dirty: bool,
}

impl Subject {
    /// The counters of a rule, made by `fresh` if there are none.
    pub(crate) fn cell(&mut self, rule: u16, fresh: impl FnOnce() -> Cell) -> &mut Cell {
        let place = match self.cells.binary_search_by_key(&rule, |(known, _)| *known) {
            Ok(place) => place,
            Err(place) => {
                self.cells.reserve_exact(1);
                self.cells.insert(place, (rule, fresh()));
                place
            }
        };
        &mut self.cells[place].1
    }

    pub(crate) fn known_cell(&self, rule: u16) -> Option<&Cell> {
        let place = self.cells.binary_search_by_key(&rule, |(known, _)| *known).ok()?;
        self.cells.get(place).map(|(_, cell)| cell)
    }

    pub(crate) fn known_cell_mut(&mut self, rule: u16) -> Option<&mut Cell> {
        let place = self.cells.binary_search_by_key(&rule, |(known, _)| *known).ok()?;
        self.cells.get_mut(place).map(|(_, cell)| cell)
    }

    /// How hard it is to push out: doubled calls are one more.
    fn class(&self) -> u8 {
        let seen = u8::try_from(self.n_seen.checked_ilog2().unwrap_or(0)).unwrap_or(u8::MAX);
        let has_incident = self.cells.iter().any(|(_, cell)| cell.incident.is_some());
        if has_incident { seen.saturating_add(INCIDENT_CLASS) } else { seen }
    }

    /// Bytes of memory, but for what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        let memory = self.memory.as_ref().map_or(0, |memory| memory.bytes());
        let spare = self.cells.capacity() - self.cells.len();
        let cells: usize = self.cells.iter().map(|(_, cell)| cell.bytes() + 8).sum();
        size_of::<Self>() + memory + cells + spare * size_of::<(u16, Cell)>()
    }
}

/// When it comes to making room: the lightest first, of equals the one silent longest.
type Rank = (u8, i64, SubjectKey);

/// All of them.
#[derive(Debug)]
pub(crate) struct Subjects {
    /// Of one kind that callers can make up, at most.
    made_up_max: usize,
    /// In no order that means anything: callers choose the keys, so it is a table that they cannot make collide.
    all: HashMap<SubjectKey, Subject>,
    /// Those that can be pushed out, by kind.
    ranks: BTreeMap<Key, BTreeSet<Rank>>,
    /// Changed since the last commit; also those that are gone.
    dirty: Vec<SubjectKey>,
}

impl Default for Subjects {
    fn default() -> Self {
        Self { made_up_max: SUBJECTS_MAX, all: HashMap::new(), ranks: BTreeMap::new(), dirty: Vec::new() }
    }
}

fn rank(key: SubjectKey, subject: &Subject) -> Rank {
    // By the hour, so that a busy subject is not moved with every call.
    (subject.class(), subject.last.div_euclid(3_600), key)
}

impl Subjects {
    /// Room for the subjects of so many lanes.
    pub(crate) fn make_room_for_lanes(&mut self, n_lanes: usize) {
        self.made_up_max = SUBJECTS_MAX * n_lanes;
    }

    pub(crate) fn get(&self, key: SubjectKey) -> Option<&Subject> {
        self.all.get(&key)
    }

    /// Changes a subject, which is made if there is none, and counts that it was seen `n` times at `at_seconds`.
    pub(crate) fn change<T>(
        &mut self,
        key: SubjectKey,
        at_seconds: i64,
        n: u64,
        change: impl FnOnce(&mut Subject) -> T,
    ) -> T {
        let mut is_new = false;
        if key.is_made_up() && !self.all.contains_key(&key) {
            self.make_room(key);
        }
        let subject = self.all.entry(key).or_insert_with(|| {
            is_new = true;
            Subject { since: at_seconds, last: at_seconds, ..Subject::default() }
        });
        if !subject.is_dirty {
            subject.is_dirty = true;
            self.dirty.push(key);
        }
        if !key.is_made_up() {
            subject.n_seen = subject.n_seen.saturating_add(n);
            subject.last = subject.last.max(at_seconds);
            return change(subject);
        }
        let before = rank(key, subject);
        subject.n_seen = subject.n_seen.saturating_add(n);
        subject.last = subject.last.max(at_seconds);
        let changed = change(subject);
        let after = rank(key, subject);
        if is_new || before != after {
            let ranks = self.ranks.entry(key.key).or_default();
            ranks.remove(&before);
            ranks.insert(after);
        }
        changed
    }

    fn make_room(&mut self, key: SubjectKey) {
        if !key.is_made_up() {
            return;
        }
        let ranks = self.ranks.entry(key.key).or_default();
        while ranks.len() >= self.made_up_max {
            let Some((_, _, lightest)) = ranks.pop_first() else { return };
            self.all.remove(&lightest);
            self.dirty.push(lightest);
        }
    }

    /// Drops the counters that `tidy` finds to be over, and forgets whoever then has none and has been silent for longer than its kind
    /// is looked back on. An account is remembered, whatever it does.
    pub(crate) fn forget(
        &mut self,
        now: i64,
        horizon: impl Fn(Key) -> i64,
        tidy: impl Fn(&mut Subject) -> bool,
    ) {
        let mut gone = Vec::new();
        for (key, subject) in &mut self.all {
            let is_changed = tidy(subject);
            let is_history = now.saturating_sub(subject.last) > horizon(key.key);
            if is_history && subject.cells.is_empty() && subject.memory.is_none() {
                gone.push(*key);
            } else if is_changed && !subject.is_dirty {
                subject.is_dirty = true;
                self.dirty.push(*key);
            }
        }
        for key in gone {
            self.remove(key);
        }
        // An incident that is over weighs no more.
        for (key, ranks) in &mut self.ranks {
            let stale: Vec<Rank> = ranks.iter().copied().collect();
            for old in stale {
                let fresh = self.all.get(&old.2).map(|subject| rank(old.2, subject));
                if fresh != Some(old) {
                    ranks.remove(&old);
                    ranks.extend(fresh.filter(|fresh| fresh.2.key == *key));
                }
            }
        }
    }

    fn remove(&mut self, key: SubjectKey) {
        let Some(subject) = self.all.remove(&key) else { return };
        self.dirty.push(key);
        if let Some(ranks) = self.ranks.get_mut(&key.key) {
            ranks.remove(&rank(key, &subject));
        }
    }

    /// As saved.
    pub(crate) fn restore(&mut self, key: SubjectKey, subject: Subject) {
        if key.is_made_up() {
            self.ranks.entry(key.key).or_default().insert(rank(key, &subject));
        }
        self.all.insert(key, subject);
    }

    /// What changed or went since the last time, in an order of its own.
    pub(crate) fn take_dirty(&mut self) -> BTreeSet<SubjectKey> {
        let dirty: BTreeSet<SubjectKey> = std::mem::take(&mut self.dirty).into_iter().collect();
        for key in &dirty {
            if let Some(subject) = self.all.get_mut(key) {
                subject.is_dirty = false;
            }
        }
        dirty
    }

    /// Counters of rules that stay go with them to their new places; all others are dropped.
    pub(crate) fn change_rules(&mut self, before: &WatchRules, after: &WatchRules) {
        let places: Vec<Option<u16>> =
            before.rules.iter().map(|one| after.idx_of(&one.rule.name, one.rule.version)).collect();
        for (key, subject) in &mut self.all {
            let n_before = subject.cells.len();
            let old = std::mem::take(&mut subject.cells);
            subject.cells = old
                .into_iter()
                .filter_map(|(place, cell)| Some(((*places.get(usize::from(place))?)?, cell)))
                .collect();
            subject.cells.sort_by_key(|(place, _)| *place);
            if subject.cells.len() != n_before && !subject.is_dirty {
                subject.is_dirty = true;
                self.dirty.push(*key);
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&SubjectKey, &Subject)> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(a: u64) -> SubjectKey {
        SubjectKey { key: Key::ARange, a, b: 0 }
    }

    #[test]
    fn flood_of_made_up_ranges_does_not_push_out_the_one_that_is_watched() {
        let mut subjects = Subjects::default();
        for second in 0..40 {
            subjects.change(range(7), second, 1, |_| ());
        }
        for made_up in 0..100_000 {
            subjects.change(range(1_000 + made_up), 100, 1, |_| ());
        }
        assert_eq!(subjects.iter().count(), SUBJECTS_MAX);
        assert_eq!(subjects.get(range(7)).map(|subject| subject.n_seen), Some(40));
    }

    #[test]
    fn accounts_are_never_pushed_out() {
        let mut subjects = Subjects::default();
        let account = |a| SubjectKey { key: Key::Account, a, b: 0 };
        for one in 0..SUBJECTS_MAX as u64 + 100 {
            subjects.change(account(one), 0, 1, |_| ());
        }
        assert_eq!(subjects.iter().count(), SUBJECTS_MAX + 100);
    }

    proptest! {
        #[test]
        fn key_survives_its_text(a: u64, b: u64, kind in 0..Key::ALL.len()) {
            let key = SubjectKey { key: Key::ALL[kind], a, b };
            prop_assert_eq!(SubjectKey::parse(&key.to_string()), Some(key));
        }
    }
}
