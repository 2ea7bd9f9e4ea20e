//! What a lane knows: the calls counted, their sums by account and day, and the locks it has set.
//!
//! Each entry is JSON under a key of its own, so that a call changes a few hundred bytes and not the history of its
//! account. Later versions read what earlier ones wrote.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use model::{AccountId, CdrId, Lock, StateChange};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Of the entries.
const STATE_VERSION: u32 = 1;

const CLOCK_KEY: &str = "clock";
const CALL_PREFIX: &str = "call/";
const PERIOD_PREFIX: &str = "period/";
const LOCK_PREFIX: &str = "lock/";

/// One call as it was last counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) revision: u32,
    pub(crate) account: AccountId,
    pub(crate) day: NaiveDate,
    pub(crate) amount: Decimal,
}

/// One account on one of its days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// Sum of its calls.
    pub(crate) spent: Decimal,
    /// When the day is over.
    pub(crate) ends: DateTime<Utc>,
    /// The limit was reached.
    pub(crate) has_fired: bool,
    /// How often it fired, and what was spent at the last time. Entries of earlier programs have only `has_fired`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) n_fired: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fired_at: Option<Decimal>,
    /// Its calls; rebuilt from their own entries.
    #[serde(skip)]
    pub(crate) calls: BTreeSet<CdrId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A lock of ours that time will lift.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) lock: Lock,
    /// The weaker lock of somebody else that it hides, to come back when ours is lifted.
    pub(crate) hides: Option<Lock>,
}

/// Everything a lane knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The latest tick.
    pub(crate) clock: Option<DateTime<Utc>>,
    pub(crate) calls: HashMap<CdrId, Counted>,
    pub(crate) periods: BTreeMap<(AccountId, NaiveDate), Period>,
    pub(crate) held: BTreeMap<AccountId, Held>,
    dirty: BTreeSet<Dirty>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Clock,
    Call(CdrId),
    Period(AccountId, NaiveDate),
    Lock(AccountId),
}

impl Dirty {
    fn key(self) -> String {
        match self {
            Dirty::Clock => CLOCK_KEY.to_owned(),
            Dirty::Call(cdr) => format!("{CALL_PREFIX}{cdr}"),
            Dirty::Period(account, day) => format!("{PERIOD_PREFIX}{account}/{day}"),
            Dirty::Lock(account) => format!("{LOCK_PREFIX}{account}"),
        }
    }
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

impl State {
    /// Moves the time of the log on, never back; the time it is then.
    pub(crate) fn move_clock(&mut self, at: DateTime<Utc>) -> DateTime<Utc> {
        match self.clock {
            Some(clock) if clock >= at => clock,
            Some(_) | None => {
                self.clock = Some(at);
                self.dirty.insert(Dirty::Clock);
                at
            }
        }
    }

    pub(crate) fn set_call(&mut self, cdr: CdrId, counted: Counted) {
        self.calls.insert(cdr, counted);
        self.dirty.insert(Dirty::Call(cdr));
    }

    /// The period, to be changed; one that begins is empty and ends at `ends`.
    pub(crate) fn period(&mut self, account: AccountId, day: NaiveDate, ends: DateTime<Utc>) -> &mut Period {
        self.dirty.insert(Dirty::Period(account, day));
        self.periods.entry((account, day)).or_insert_with(|| Period {
            spent: Decimal::ZERO,
            ends,
            has_fired: false,
            n_fired: 0,
            fired_at: None,
            calls: BTreeSet::new(),
        })
    }

    /// The period, to be changed, if it is still known.
    pub(crate) fn period_mut(&mut self, account: AccountId, day: NaiveDate) -> Option<&mut Period> {
        self.dirty.insert(Dirty::Period(account, day));
        self.periods.get_mut(&(account, day))
    }

    pub(crate) fn drop_period(&mut self, account: AccountId, day: NaiveDate) {
        let Some(period) = self.periods.remove(&(account, day)) else { return };
        self.dirty.insert(Dirty::Period(account, day));
        for cdr in period.calls {
            self.calls.remove(&cdr);
            self.dirty.insert(Dirty::Call(cdr));
        }
    }

    pub(crate) fn hold(&mut self, held: Held) {
        self.dirty.insert(Dirty::Lock(held.lock.account));
        self.held.insert(held.lock.account, held);
    }

    pub(crate) fn release(&mut self, account: AccountId) {
        self.dirty.insert(Dirty::Lock(account));
        self.held.remove(&account);
    }

    pub(crate) fn take_changes(&mut self) -> Vec<StateChange> {
        let changed = std::mem::take(&mut self.dirty);
        changed
            .into_iter()
            .map(|dirty| {
                let value = match dirty {
                    Dirty::Clock => self.clock.as_ref().map(write),
                    Dirty::Call(cdr) => self.calls.get(&cdr).map(write),
                    Dirty::Period(account, day) => self.periods.get(&(account, day)).map(write),
                    Dirty::Lock(account) => self.held.get(&account).map(write),
                };
                StateChange { key: dirty.key(), value }
            })
            .collect()
    }

    pub(crate) fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        for (key, value) in &entries {
            self.restore_entry(key, value)?;
        }
        for (cdr, counted) in &self.calls {
            if let Some(period) = self.periods.get_mut(&(counted.account, counted.day)) {
                period.calls.insert(*cdr);
            }
        }
        Ok(())
    }

    fn restore_entry(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        let misnamed =
            || format!("entry {key:?} is of no kind this version knows: run the version that wrote it");
        if key == CLOCK_KEY {
            self.clock = Some(read(key, value)?);
        } else if let Some(cdr) = key.strip_prefix(CALL_PREFIX) {
            self.calls.insert(cdr.parse().map_err(|_| misnamed())?, read(key, value)?);
        } else if let Some((account, day)) =
            key.strip_prefix(PERIOD_PREFIX).and_then(|rest| rest.split_once('/'))
        {
            let account = AccountId(account.parse().map_err(|_| misnamed())?);
            self.periods.insert((account, day.parse().map_err(|_| misnamed())?), read(key, value)?);
        } else if key.starts_with(LOCK_PREFIX) {
            let held: Held = read(key, value)?;
            self.held.insert(held.lock.account, held);
        } else {
            return Err(misnamed());
        }
        Ok(())
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
