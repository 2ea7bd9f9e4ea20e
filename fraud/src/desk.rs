//! The fraud desk of one lane: counts rated calls, fires when a limit is reached, lifts its locks when their time is up.
//!
//! In: rated calls and ticks. Out: alerts, locks, control messages, suspended records. Timers run on ticks alone: the
//! clock of a switch that is ahead lifts no lock early.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, Alert, AlertId, Body, CdrId, Control, Direction, Directory, Effect, Effects,
    FraudLimit, Lock, LockLevel, LockSource, Money, Provider, RatedCdr, Stage, StageInput, StateChange,
    Topic,
};
use rust_decimal::Decimal;

use crate::day::{day_of, end_of};
use crate::state::{Counted, Held, Period, State};
use crate::{DAILY_SPEND, FraudError};

/// Calls named in an alert.
const EVIDENCE_MAX: usize = 10;

/// A day is remembered for so long after its end, for records that are superseded late: longer than the mediator
/// remembers its partial records.
const PERIODS_KEPT: TimeDelta = TimeDelta::days(3);

/// The fraud desk of one lane.
#[derive(Debug, Default)]
pub struct FraudDesk {
    directory: Arc<Directory>,
    /// Where each account stands in the directory.
    account_idx: HashMap<AccountId, usize>,
    state: State,
}

impl FraudDesk {
    /// A desk that has seen nothing. It knows no account before [`Self::set_directory`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes over a new snapshot of accounts, limits, zones and locks. A changed limit is looked at with the next call.
    pub fn set_directory(&mut self, directory: Arc<Directory>) {
        self.account_idx =
            directory.accounts.iter().enumerate().map(|(idx, account)| (account.id, idx)).collect();
        self.directory = directory;
    }

    /// Adds a rated call to its account's day, or corrects what was added before.
    fn count(&mut self, rated: &RatedCdr, effects: &mut Effects) -> Result<(), FraudError> {
        let cdr = &rated.cdr;
        let known = self.state.calls.get(&cdr.id).cloned();
        if known.as_ref().is_some_and(|known| known.revision >= cdr.revision) {
            return Ok(());
        }
        let Some(charge) = rated.charge(Provider::Customer, Direction::Out) else {
            self.take_back(cdr.id, cdr.revision, known);
            return Ok(());
        };
        let out_of_range = FraudError::OutOfRange { account: charge.account };
        let amount = charge.cost.checked_add(charge.free_cash).ok_or_else(|| out_of_range.clone())?;
        if amount.is_zero() && known.is_none() && cdr.revision == 0 {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let Some(account) =
            self.account_idx.get(&charge.account).and_then(|idx| directory.accounts.get(*idx))
        else {
            return Err(FraudError::UnknownAccount { account: charge.account });
        };
        if charge.currency != account.currency {
            return Err(FraudError::TwoCurrencies {
                account: account.id,
                limit: account.currency,
                charge: charge.currency,
            });
        }
        let day = day_of(cdr.end_at(), account.timezone);
        let ends = end_of(day, account.timezone);
        if self.state.clock.is_some_and(|clock| is_history(ends, clock)) {
            self.take_back(cdr.id, cdr.revision, known);
            return Ok(());
        }
        let spent = self.state.periods.get(&(account.id, day)).map_or(Decimal::ZERO, |period| period.spent);
        let corrected = match &known {
            Some(known) if (known.account, known.day) == (account.id, day) => spent.checked_sub(known.amount),
            Some(_) | None => Some(spent),
        };
        let spent = corrected.and_then(|spent| spent.checked_add(amount)).ok_or(out_of_range)?;
        self.take_back(cdr.id, cdr.revision, known.clone());
        if let Some(known) = known
            && let Some(earlier) = self.state.period_mut(known.account, known.day)
        {
            earlier.calls.remove(&cdr.id);
        }
        let period = self.state.period(account.id, day, ends);
        period.spent = spent;
        period.calls.insert(cdr.id);
        self.state.set_call(cdr.id, Counted { revision: cdr.revision, account: account.id, day, amount });
        if let Some(limit) = &account.fraud.daily {
            self.check_limit(limit, account, cdr.id, cdr.end_at(), effects);
        }
        Ok(())
    }

    /// What an earlier revision added no longer counts. The call stays known, at nothing.
    fn take_back(&mut self, cdr: CdrId, revision: u32, known: Option<Counted>) {
        let Some(known) = known else { return };
        if let Some(period) = self.state.period_mut(known.account, known.day) {
            period.spent -= known.amount;
        }
        self.state.set_call(cdr, Counted { revision, amount: Decimal::ZERO, ..known });
    }

    /// Fires if the day of this call has reached the limit, and again when it has reached twice, four times, eight times
    /// the limit: somebody may have lifted the lock, and the next loss must not go unseen.
    fn check_limit(
        &mut self,
        limit: &FraudLimit,
        account: &Account,
        cdr: CdrId,
        at: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let Some(day) = self.state.calls.get(&cdr).map(|counted| counted.day) else { return };
        let Some(period) = self.state.periods.get(&(account.id, day)) else { return };
        if threshold(period, limit.amount).is_none_or(|threshold| period.spent < threshold) {
            return;
        }
        let (spent, ends) = (period.spent, period.ends);
        let n_fired = period.n_fired.max(u32::from(period.has_fired)) + 1;
        let evidence = self.dearest_calls(&period.calls);
        let changed = self.state.period(account.id, day, ends);
        (changed.has_fired, changed.n_fired, changed.fired_at) = (true, n_fired, Some(spent));

        let now = self.state.clock.map_or(at, |clock| clock.max(at));
        // A limit of yesterday, found out today, is worth a mail; a lock would lift at once.
        let level = if now < ends { limit.lock } else { LockLevel::None };
        // Our own lock of this day may have been lifted by hand since; only the directory can tell.
        let in_force = self.strongest_lock(account.id, now, n_fired == 1);
        let in_force_level = in_force.as_ref().map_or(LockLevel::None, |lock| lock.level);
        let is_stronger = level.number() > in_force_level.number();
        let period = if n_fired == 1 { day.to_string() } else { format!("{day}/{n_fired}") };
        let alert = AlertId::derive(DAILY_SPEND, account.id, &period);
        effects.0.push(Effect::Alert(Box::new(Alert {
            id: alert,
            tenant: account.tenant,
            account: account.id,
            rule: DAILY_SPEND.to_owned(),
            period,
            limit: Money::new(limit.amount, account.currency),
            value: Money::new(spent, account.currency),
            lock: if is_stronger { level } else { in_force_level },
            notify: limit.notify.clone(),
            evidence,
            at,
        })));
        if is_stronger {
            let lock = Lock {
                tenant: account.tenant,
                account: account.id,
                level,
                source: LockSource::Fraud,
                reason: format!(
                    "spent {spent} {currency} on {day}, the daily limit is {limit} {currency}",
                    spent = spent.normalize(),
                    limit = limit.amount.normalize(),
                    currency = account.currency,
                ),
                alert: Some(alert),
                since: at,
                until: Some(ends),
            };
            announce(lock.clone(), effects);
            let hides = self.hidden_lock(account.id, now);
            self.state.hold(Held { lock, hides });
        }
        if level.blocks_outgoing() {
            // Also under a lock of somebody else: that one stops new calls, these are still running up the bill.
            effects.append(
                Topic::Control,
                account.id,
                Body::Control(Control::EndCallsOf { account: account.id }),
            );
        }
    }

    /// Dearest first; among equals by id, so that a replay names the same ones.
    fn dearest_calls<'a>(&self, calls: impl IntoIterator<Item = &'a CdrId>) -> Vec<CdrId> {
        let mut dearest: Vec<(Decimal, CdrId)> = calls
            .into_iter()
            .filter_map(|cdr| self.state.calls.get(cdr).map(|counted| (counted.amount, *cdr)))
            .filter(|(amount, _)| !amount.is_zero())
            .collect();
        dearest.sort_by(|(amount_a, a), (amount_b, b)| amount_b.cmp(amount_a).then(a.cmp(b)));
        dearest.truncate(EVIDENCE_MAX);
        dearest.into_iter().map(|(_, cdr)| cdr).collect()
    }

    /// The strongest lock of an account at `now`, by the directory and, if wanted, by what we set ourselves since.
    fn strongest_lock(&self, account: AccountId, now: DateTime<Utc>, with_ours: bool) -> Option<Lock> {
        let held = self.state.held.get(&account).map(|held| &held.lock).filter(|_| with_ours);
        self.locks_in_directory(account)
            .chain(held)
            .filter(|lock| is_in_force(lock, now))
            .max_by_key(|lock| lock.level.number())
            .cloned()
    }

    /// The strongest lock that is not the work of a rule: what a new lock of ours will stand before.
    fn hidden_lock(&self, account: AccountId, now: DateTime<Utc>) -> Option<Lock> {
        let inherited = self.state.held.get(&account).and_then(|held| held.hides.as_ref());
        self.locks_in_directory(account)
            .filter(|lock| lock.source != LockSource::Fraud || lock.alert.is_none())
            .chain(inherited)
            .filter(|lock| is_in_force(lock, now))
            .max_by_key(|lock| lock.level.number())
            .cloned()
    }

    fn locks_in_directory(&self, account: AccountId) -> impl Iterator<Item = &Lock> {
        // A lifted lock is listed too, with level `none`.
        self.directory
            .locks
            .iter()
            .filter(move |lock| lock.account == account && lock.level != LockLevel::None)
    }

    /// Lifts the locks whose time is up, and forgets days long gone.
    fn pass_time(&mut self, now: DateTime<Utc>, effects: &mut Effects) {
        let due: Vec<Held> = self
            .state
            .held
            .values()
            .filter(|held| held.lock.until.is_some_and(|until| until <= now))
            .cloned()
            .collect();
        for held in due {
            self.state.release(held.lock.account);
            self.lift(held, now, effects);
        }
        let history: Vec<_> = self
            .state
            .periods
            .iter()
            .filter(|(_, period)| is_history(period.ends, now))
            .map(|(key, _)| *key)
            .collect();
        for (account, day) in history {
            self.state.drop_period(account, day);
        }
    }

    fn lift(&self, held: Held, now: DateTime<Utc>, effects: &mut Effects) {
        let Held { lock, hides } = held;
        let is_ours = |other: &Lock| other.source == LockSource::Fraud && other.alert == lock.alert;
        let ours_stands = self.locks_in_directory(lock.account).any(is_ours);
        let other = self
            .locks_in_directory(lock.account)
            .filter(|other| !is_ours(other) && is_in_force(other, now))
            .max_by_key(|other| other.level.number())
            .cloned();
        if other.is_some() && !ours_stands {
            // Somebody has put another lock in the place of ours: it is not for us to lift.
            return;
        }
        announce(
            Lock {
                level: LockLevel::None,
                reason: "the day whose limit was reached is over".to_owned(),
                since: lock.until.unwrap_or(now),
                until: None,
                ..lock.clone()
            },
            effects,
        );
        // The lock that ours stood before, unless a person has lifted it all in the meantime.
        let hidden = hides.filter(|hidden| ours_stands && is_in_force(hidden, now));
        if let Some(back) = other.or(hidden) {
            announce(back, effects);
        }
    }
}

impl Stage for FraudDesk {
    fn apply(&mut self, input: StageInput<'_>, effects: &mut Effects) {
        let kind = match input.body {
            Body::Tick(at) => {
                let now = self.state.move_clock(*at);
                self.pass_time(now, effects);
                return;
            }
            Body::Rated(rated) => {
                if let Err(error) = self.count(rated, effects) {
                    effects.suspend(error.suspended(rated.cdr.payer, Some(rated.cdr.id)));
                }
                return;
            }
            Body::Call(_) => "call",
            Body::Cdr(_) => "cdr",
            Body::Edr(_) => "edr",
            Body::Posting(_) => "posting",
            Body::Control(_) => "control",
        };
        effects.suspend(FraudError::NotRated { kind }.suspended(AccountId::NOBODY, None));
    }

    fn take_changes(&mut self) -> Vec<StateChange> {
        self.state.take_changes()
    }

    fn restore(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        self.state.restore(entries)
    }
}

/// Keeps a lock and tells every process.
fn announce(lock: Lock, effects: &mut Effects) {
    let account = lock.account;
    effects.0.push(Effect::Lock(Box::new(lock.clone())));
    effects.append(Topic::Control, account, Body::Control(Control::LockChanged(lock)));
}

fn is_in_force(lock: &Lock, now: DateTime<Utc>) -> bool {
    lock.level != LockLevel::None && lock.until.is_none_or(|until| until > now)
}

/// What the day may come to before it fires next: the limit, doubled until it is above what was spent at the last time.
fn threshold(period: &Period, limit: Decimal) -> Option<Decimal> {
    let fired_at = match period.fired_at {
        Some(fired_at) => fired_at,
        None if period.has_fired => limit,
        None => return Some(limit),
    };
    let mut threshold = limit;
    // A limit of nothing never gets above anything.
    while threshold <= fired_at && threshold > Decimal::ZERO {
        threshold = threshold.checked_add(threshold)?;
    }
    (threshold > fired_at).then_some(threshold)
}

/// Whether a day that ended at `ends` is no longer remembered.
fn is_history(ends: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    ends.checked_add_signed(PERIODS_KEPT).is_none_or(|until| until <= now)
}
