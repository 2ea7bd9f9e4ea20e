//! What a lane knows: the calls counted, their sums by account and period, what calls in progress have cost so far, and the locks
//! it has set.
//!
//! Each entry is JSON under a key of its own, so that a call changes a few hundred bytes and not the history of its
//! account. Later versions read what earlier ones wrote.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, Utc};
use model::{AccountId, CdrId, StateChange};
use rust_decimal::Decimal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::locking::Held;
use crate::period::PeriodKey;

/// Of the entries.
const STATE_VERSION: u32 = 1;

const CLOCK_KEY: &str = "clock";
const CALL_PREFIX: &str = "call/";
const PERIOD_PREFIX: &str = "period/";
const LOCK_PREFIX: &str = "lock/";
const RUNNING_PREFIX: &str = "running/";

/// Hours that an alert shows the spending of.
pub(crate) const HOURS_SHOWN: i64 = 12;

/// The hour of a moment, since 1970.
pub(crate) fn hour_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(3_600)
}

/// What one call, or all calls of a period, come to: each way of counting that a limit may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// At the customer's price, whatever paid it.
    pub(crate) full: Decimal,
    /// Of this what remains to be paid: the reference's figure.
    pub(crate) unpaid: Decimal,
    /// At the reseller's price.
    pub(crate) reseller: Decimal,
}

impl Sums {
    pub(crate) fn checked_add(self, other: Sums) -> Option<Sums> {
        Some(Sums {
            full: self.full.checked_add(other.full)?,
            unpaid: self.unpaid.checked_add(other.unpaid)?,
            reseller: self.reseller.checked_add(other.reseller)?,
        })
    }

    pub(crate) fn checked_sub(self, other: Sums) -> Option<Sums> {
        Some(Sums {
            full: self.full.checked_sub(other.full)?,
            unpaid: self.unpaid.checked_sub(other.unpaid)?,
            reseller: self.reseller.checked_sub(other.reseller)?,
        })
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.full.is_zero() && self.unpaid.is_zero() && self.reseller.is_zero()
    }
}

/// One call as it was last counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) revision: u32,
    pub(crate) account: AccountId,
    pub(crate) day: NaiveDate,
    amount: Decimal,
    /// Entries of earlier programs have neither; then nothing was paid otherwise, and the reseller's price is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpaid: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reseller: Option<Decimal>,
    /// In which hour it ended, since 1970; entries of earlier programs do not say.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) hour: Option<i64>,
}

impl Counted {
    pub(crate) fn new(revision: u32, account: AccountId, day: NaiveDate, sums: Sums) -> Self {
        Self {
            revision,
            account,
            day,
            amount: sums.full,
            unpaid: (sums.unpaid != sums.full).then_some(sums.unpaid),
            reseller: (sums.reseller != sums.full).then_some(sums.reseller),
            hour: None,
        }
    }

    pub(crate) fn ended_in(self, hour: i64) -> Self {
        Self { hour: Some(hour), ..self }
    }

    pub(crate) fn sums(&self) -> Sums {
        Sums {
            full: self.amount,
            unpaid: self.unpaid.unwrap_or(self.amount),
            reseller: self.reseller.unwrap_or(self.amount),
        }
    }
}

/// One account in one of its days or billing intervals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Period {
    /// Sum of its calls.
    spent: Decimal,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unpaid: Option<Decimal>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reseller: Option<Decimal>,
    /// When it is over.
    pub(crate) ends: DateTime<Utc>,
    /// The limit was reached.
    pub(crate) has_fired: bool,
    /// How often it fired, and what was spent at the last time. Entries of earlier programs have only `has_fired`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) n_fired: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fired_at: Option<Decimal>,
    /// The highest percentage warned of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) warned_percent: u32,
    /// Warnings given.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) n_warned: u32,
    /// Of a billing interval: its dearest calls, dearest first; those of a day are all known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) dearest: Vec<(Decimal, CdrId)>,
    /// Spent in the latest hours, by hour since 1970, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    by_hour: Vec<(i64, Decimal)>,
    /// Of a day: its calls; rebuilt from their own entries.
    #[serde(skip)]
    pub(crate) calls: BTreeSet<CdrId>,
}

impl Period {
    pub(crate) fn sums(&self) -> Sums {
        Sums {
            full: self.spent,
            unpaid: self.unpaid.unwrap_or(self.spent),
            reseller: self.reseller.unwrap_or(self.spent),
        }
    }

    /// At the customer's price.
    pub(crate) fn spent_in(&self, hour: i64) -> Decimal {
        self.by_hour.iter().find(|(known, _)| *known == hour).map_or(Decimal::ZERO, |(_, spent)| *spent)
    }

    pub(crate) fn add_to_hour(&mut self, hour: i64, amount: Decimal) {
        match self.by_hour.binary_search_by_key(&hour, |(known, _)| *known) {
            Ok(place) => {
                let (_, spent) = &mut self.by_hour[place];
                *spent = spent.checked_add(amount).unwrap_or(*spent);
            }
            Err(place) => self.by_hour.insert(place, (hour, amount)),
        }
        let latest = self.by_hour.last().map_or(hour, |(latest, _)| *latest);
        self.by_hour.retain(|(known, _)| latest - known < HOURS_SHOWN);
    }

    /// What was added there no longer counts.
    pub(crate) fn take_from_hour(&mut self, hour: Option<i64>, amount: Decimal) {
        if let Some((_, spent)) = self.by_hour.iter_mut().find(|(known, _)| Some(*known) == hour) {
            *spent = spent.checked_sub(amount).unwrap_or(*spent);
        }
    }

    pub(crate) fn set_sums(&mut self, sums: Sums) {
        self.spent = sums.full;
        self.unpaid = (sums.unpaid != sums.full).then_some(sums.unpaid);
        self.reseller = (sums.reseller != sums.full).then_some(sums.reseller);
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A call in progress, as last heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) account: AccountId,
    pub(crate) amount: Decimal,
    pub(crate) at: DateTime<Utc>,
    /// What a minute more costs; 0 where that is not known.
    #[serde(rename = "r", default, skip_serializing_if = "Decimal::is_zero")]
    pub(crate) rate_per_minute: Decimal,
}

/// Everything a lane knows.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// The latest tick.
    pub(crate) clock: Option<DateTime<Utc>>,
    pub(crate) calls: HashMap<CdrId, Counted>,
    pub(crate) periods: BTreeMap<(AccountId, PeriodKey), Period>,
    pub(crate) running: BTreeMap<CdrId, Running>,
    /// The calls in progress of each account; rebuilt from their own entries.
    running_of: BTreeMap<AccountId, BTreeSet<CdrId>>,
    pub(crate) held: BTreeMap<AccountId, Held>,
    dirty: BTreeSet<Dirty>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Dirty {
    Clock,
    Call(CdrId),
    Period(AccountId, PeriodKey),
    Lock(AccountId),
    Running(CdrId),
}

impl Dirty {
    fn key(self) -> String {
        match self {
            Dirty::Clock => CLOCK_KEY.to_owned(),
            Dirty::Call(cdr) => format!("{CALL_PREFIX}{cdr}"),
            Dirty::Period(account, period) => format!("{PERIOD_PREFIX}{account}/{period}"),
            Dirty::Lock(account) => format!("{LOCK_PREFIX}{account}"),
            Dirty::Running(cdr) => format!("{RUNNING_PREFIX}{cdr}"),
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
    pub(crate) fn period(&mut self, account: AccountId, key: PeriodKey, ends: DateTime<Utc>) -> &mut Period {
        self.dirty.insert(Dirty::Period(account, key));
        self.periods.entry((account, key)).or_insert_with(|| Period {
            spent: Decimal::ZERO,
            unpaid: None,
            reseller: None,
            ends,
            has_fired: false,
            n_fired: 0,
            fired_at: None,
            warned_percent: 0,
            n_warned: 0,
            dearest: Vec::new(),
            by_hour: Vec::new(),
            calls: BTreeSet::new(),
        })
    }

    /// The period, to be changed, if it is still known.
    pub(crate) fn period_mut(&mut self, account: AccountId, key: PeriodKey) -> Option<&mut Period> {
        self.dirty.insert(Dirty::Period(account, key));
        self.periods.get_mut(&(account, key))
    }

    pub(crate) fn drop_period(&mut self, account: AccountId, key: PeriodKey) {
        let Some(period) = self.periods.remove(&(account, key)) else { return };
        self.dirty.insert(Dirty::Period(account, key));
        for cdr in period.calls {
            self.calls.remove(&cdr);
            self.dirty.insert(Dirty::Call(cdr));
        }
    }

    pub(crate) fn set_running(&mut self, cdr: CdrId, running: Running) {
        self.end_running(cdr);
        self.running_of.entry(running.account).or_default().insert(cdr);
        self.running.insert(cdr, running);
        self.dirty.insert(Dirty::Running(cdr));
    }

    /// The call is over or was not heard of for long; what it has cost so far no longer counts as running.
    pub(crate) fn end_running(&mut self, cdr: CdrId) {
        let Some(running) = self.running.remove(&cdr) else { return };
        self.dirty.insert(Dirty::Running(cdr));
        if let Some(of_account) = self.running_of.get_mut(&running.account) {
            of_account.remove(&cdr);
            if of_account.is_empty() {
                self.running_of.remove(&running.account);
            }
        }
    }

    /// The calls in progress of an account, and what they have cost so far.
    pub(crate) fn running_of(&self, account: AccountId) -> impl Iterator<Item = (Decimal, CdrId)> {
        self.running_of
            .get(&account)
            .into_iter()
            .flatten()
            .filter_map(|cdr| self.running.get(cdr).map(|running| (running.amount, *cdr)))
    }

    /// What a minute more of the calls in progress of an account costs.
    pub(crate) fn rate_of(&self, account: AccountId) -> Decimal {
        let up = self.running_of.get(&account).into_iter().flatten();
        up.filter_map(|cdr| self.running.get(cdr))
            .try_fold(Decimal::ZERO, |sum, running| sum.checked_add(running.rate_per_minute))
            .unwrap_or(Decimal::MAX)
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
                    Dirty::Period(account, key) => self.periods.get(&(account, key)).map(write),
                    Dirty::Lock(account) => self.held.get(&account).map(write),
                    Dirty::Running(cdr) => self.running.get(&cdr).map(write),
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
            if let Some(period) = self.periods.get_mut(&(counted.account, PeriodKey::Day(counted.day))) {
                period.calls.insert(*cdr);
            }
        }
        for (cdr, running) in &self.running {
            self.running_of.entry(running.account).or_default().insert(*cdr);
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
        } else if let Some(cdr) = key.strip_prefix(RUNNING_PREFIX) {
            self.running.insert(cdr.parse().map_err(|_| misnamed())?, read(key, value)?);
        } else if let Some((account, period)) =
            key.strip_prefix(PERIOD_PREFIX).and_then(|rest| rest.split_once('/'))
        {
            let account = AccountId(account.parse().map_err(|_| misnamed())?);
            self.periods.insert((account, period.parse().map_err(|_| misnamed())?), read(key, value)?);
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
