//! What the watch of one lane knows, and how it is saved: each entry JSON under a key of its own, as the spend limits do.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use model::{AccountId, StateChange, TrunkId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::cell::Cell;
use super::facts::Facts;
use super::price_list::CallPrice;
use super::shared::Scope;
use super::snapshot::WatchRules;
use super::subjects::{AccountMemory, Subject, SubjectKey, Subjects};
use crate::locking::Held;

/// Of the entries.
const STATE_VERSION: u32 = 1;

const CLOCK_KEY: &str = "clock";
const CALL_PREFIX: &str = "call/";
const SUBJECT_PREFIX: &str = "subject/";
const LOCK_PREFIX: &str = "lock/";

/// The time of the lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct LaneClock {
    /// The latest tick or event.
    pub(crate) now: Option<DateTime<Utc>>,
    /// The first.
    pub(crate) began: Option<DateTime<Utc>>,
    /// When history was forgotten last, in hours since 1970.
    pub(crate) tidied: i64,
}

/// A call in progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenCall {
    /// The switch that carries it, and which of its lives.
    pub(crate) node: String,
    pub(crate) boot: u64,
    pub(crate) facts: Facts,
    /// 0 is the call itself.
    #[serde(rename = "g", default, skip_serializing_if = "is_leg_zero")]
    pub(crate) leg: u16,
    pub(crate) began: DateTime<Utc>,
    /// When something was heard of it last.
    pub(crate) heard: DateTime<Utc>,
    pub(crate) is_answered: bool,
    pub(crate) price: CallPrice,
    /// Ten-thousandths so far.
    pub(crate) cost: u64,
    /// Of these, what rules that count over the calls of everybody were told.
    #[serde(rename = "o", default, skip_serializing_if = "is_zero")]
    pub(crate) told: u64,
    /// Who carries it on.
    pub(crate) vendor: Option<TrunkId>,
    /// Rules that left it alone at its INVITE, by name; an empty name is every rule but those for emergency calls.
    #[serde(rename = "x", default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) spared: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_leg_zero(leg: &u16) -> bool {
    *leg == 0
}

/// A call's name and leg.
pub(crate) type CallKey = (String, u16);

/// Everything that the watch of a lane knows.
#[derive(Debug, Default)]
pub(crate) struct WatchState {
    pub(crate) clock: LaneClock,
    pub(crate) calls: BTreeMap<CallKey, OpenCall>,
    pub(crate) subjects: Subjects,
    pub(crate) held: BTreeMap<AccountId, Held>,
    is_clock_dirty: bool,
    dirty_calls: BTreeSet<CallKey>,
    dirty_locks: BTreeSet<AccountId>,
}

#[derive(Serialize, Deserialize)]
struct SavedSubject {
    #[serde(rename = "f")]
    since: i64,
    #[serde(rename = "l")]
    last: i64,
    #[serde(rename = "n")]
    n_seen: u64,
    #[serde(rename = "c", default, skip_serializing_if = "BTreeMap::is_empty")]
    cells: BTreeMap<String, Cell>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    memory: Option<Box<AccountMemory>>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    is: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl WatchState {
    /// Moves the time of the log on, never back; the time it is then.
    pub(crate) fn move_clock(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        let now = self.clock.now.map_or(at, |now| now.max(at));
        if self.clock.now != Some(now) {
            self.clock.now = Some(now);
            self.clock.began.get_or_insert(now);
            self.is_clock_dirty = true;
        }
        now
    }

    pub(crate) fn set_call(&mut self, key: CallKey, call: OpenCall) {
        self.dirty_calls.insert(key.clone());
        self.calls.insert(key, call);
    }

    pub(crate) fn take_call(&mut self, key: &CallKey) -> Option<OpenCall> {
        let call = self.calls.remove(key)?;
        self.dirty_calls.insert(key.clone());
        Some(call)
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.dirty_locks.insert(held.lock.account);
        self.held.insert(held.lock.account, held);
    }

    pub(crate) fn release(&mut self, account: AccountId) {
        self.dirty_locks.insert(account);
        self.held.remove(&account);
    }

    pub(crate) fn take_changes(&mut self, rules: &WatchRules) -> Vec<StateChange> {
        let mut changes = Vec::new();
        if std::mem::take(&mut self.is_clock_dirty) {
            changes.push(StateChange { key: CLOCK_KEY.to_owned(), value: Some(write(&self.clock)) });
        }
        for key in std::mem::take(&mut self.dirty_calls) {
            let value = self.calls.get(&key).map(write);
            changes.push(StateChange { key: format!("{CALL_PREFIX}{}/{}", key.1, key.0), value });
        }
        for key in self.subjects.take_dirty() {
            let value = self.subjects.get(key).map(|subject| write(&saved(subject, rules)));
            changes.push(StateChange { key: format!("{SUBJECT_PREFIX}{key}"), value });
        }
        for account in std::mem::take(&mut self.dirty_locks) {
            let value = self.held.get(&account).map(write);
            changes.push(StateChange { key: format!("{LOCK_PREFIX}{account}"), value });
        }
        changes
    }

    pub(crate) fn restore(
        &mut self,
        entries: &[(String, Vec<u8>)],
        rules: &WatchRules,
        scope: Scope,
    ) -> Result<(), String> {
        for (key, value) in entries {
            let misnamed =
                || format!("entry {key:?} is of no kind this version knows: run the version that wrote it");
            if key == CLOCK_KEY {
                self.clock = read(key, value)?;
            } else if let Some((leg, call)) =
                key.strip_prefix(CALL_PREFIX).and_then(|rest| rest.split_once('/'))
            {
                let leg = leg.parse().map_err(|_| misnamed())?;
                self.calls.insert((call.to_owned(), leg), read(key, value)?);
            } else if let Some(subject) = key.strip_prefix(SUBJECT_PREFIX) {
                let name = SubjectKey::parse(subject).ok_or_else(misnamed)?;
                self.subjects.restore(name, restored(read(key, value)?, rules, scope));
            } else if key.starts_with(LOCK_PREFIX) {
                let held: Held = read(key, value)?;
                self.held.insert(held.lock.account, held);
            } else {
                return Err(misnamed());
            }
        }
        Ok(())
    }
}

fn saved(subject: &Subject, rules: &WatchRules) -> SavedSubject {
    SavedSubject {
        since: subject.since,
        last: subject.last,
        n_seen: subject.n_seen,
        cells: subject
            .cells
            .iter()
            .filter_map(|(rule, cell)| {
                Some((rules.rules.get(usize::from(*rule))?.rule.name.clone(), cell.clone()))
            })
            .collect(),
        memory: subject.memory.clone(),
    }
}

/// Counters of rules that are no more, or are of another version by now, are left behind, and so are those of rules that another stage
/// counts: an earlier version of the program counted all rules here.
fn restored(saved: SavedSubject, rules: &WatchRules, scope: Scope) -> Subject {
    let mut cells: Vec<(u16, Cell)> = saved
        .cells
        .into_iter()
        .filter_map(|(name, cell)| Some((rules.idx_of(&name, cell.version)?, cell)))
        .filter(|(idx, _)| rules.rules.get(usize::from(*idx)).is_some_and(|one| scope.counts(one)))
        .collect();
    cells.sort_by_key(|(rule, _)| *rule);
    cells.shrink_to_fit();
    Subject {
        since: saved.since,
        last: saved.last,
        n_seen: saved.n_seen,
        cells,
        memory: saved.memory,
        ..Subject::default()
    }
}

fn write<T: Serialize>(is: &T) -> Vec<u8> {
    serde_json::to_vec(&Versioned { v: STATE_VERSION, is }).expect("state entries are plain data")
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, String> {
    let unreadable = |why: serde_json::Error| format!("entry {key:?} cannot be read: {why}");
    let VersionOnly { v } = serde_json::from_slice(value).map_err(unreadable)?;
    if v != STATE_VERSION {
        return Err(format!(
            "entry {key:?} has version {v}, this program reads up to {STATE_VERSION}: run the version that wrote it"
        ));
    }
    serde_json::from_slice(value).map(|Versioned { is, .. }| is).map_err(unreadable)
}
