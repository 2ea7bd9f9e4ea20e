//! The spend limits of one lane: counts rated calls and calls in progress, warns, fires when a limit is reached, lifts its locks
//! when their time is up.
//!
//! In: rated calls, accruals and ticks. Out: alerts, locks, control messages, suspended records. Timers run on ticks alone: the
//! clock of a switch that is ahead lifts no lock early.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use model::{
    Account, AccountId, Accrual, Alert, AlertId, AlertSeverity, Body, CdrId, Charge, Control, Direction,
    Directory, Effect, Effects, FraudCompat, FraudLimit, FraudPrice, FraudUnlock, Lock, LockLevel,
    LockSource, Money, ProfileId, Provider, RatedCdr, Spending, Stage, StageInput, StateChange, Topic,
};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::day::day_of;
use crate::locking;
use crate::period::PeriodKey;
use crate::state::{Counted, HOURS_SHOWN, Period, Running, State, Sums, hour_of};
use crate::{DAILY_SPEND, FraudError, INTERVAL_SPEND};

/// Calls named in an alert.
const EVIDENCE_MAX: usize = 10;

/// A day is remembered for so long after its end, for records that are superseded late: longer than the mediator
/// remembers its partial records.
const PERIODS_KEPT: TimeDelta = TimeDelta::days(3);

/// A call in progress that was not heard of for so long is over: the switch gives a sign of life every 30 s.
const RUNNING_KEPT: TimeDelta = TimeDelta::minutes(5);

/// The fraud desk of one lane.
#[derive(Debug, Default)]
pub struct FraudDesk {
    directory: Arc<Directory>,
    /// Where each account stands in the directory.
    account_idx: HashMap<AccountId, usize>,
    /// Where the limits of each profile stand.
    profile_idx: HashMap<ProfileId, usize>,
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
        self.profile_idx =
            directory.profile_limits.iter().enumerate().map(|(idx, limits)| (limits.profile, idx)).collect();
        self.directory = directory;
    }

    /// Adds a rated call to its account's day and billing interval, or corrects what was added before.
    fn count(&mut self, rated: &RatedCdr, effects: &mut Effects) -> Result<(), FraudError> {
        let cdr = &rated.cdr;
        self.state.end_running(cdr.id);
        let known = self.state.calls.get(&cdr.id).cloned();
        if known.as_ref().is_some_and(|known| known.revision >= cdr.revision) {
            return Ok(());
        }
        let Some(charge) = rated.charge(Provider::Customer, Direction::Out) else {
            self.take_back(cdr.id, cdr.revision, known);
            return Ok(());
        };
        let sums = sums_of(charge, rated.charge(Provider::Reseller, Direction::Out))
            .ok_or(FraudError::OutOfRange { account: charge.account })?;
        if sums.is_zero() && known.is_none() && cdr.revision == 0 {
            return Ok(());
        }
        let directory = Arc::clone(&self.directory);
        let Some(account) = self.account(&directory, charge.account) else {
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
        if self.is_history(PeriodKey::Day(day), account) {
            self.take_back(cdr.id, cdr.revision, known);
            return Ok(());
        }
        // All or nothing: nothing is changed before it is known that both sums hold.
        let hour = hour_of(cdr.end_at());
        let counted = Counted::new(cdr.revision, account.id, day, sums).ended_in(hour);
        for key in [PeriodKey::Day(day), PeriodKey::month_of(day)] {
            self.sums_with(account.id, key, known.as_ref(), sums)
                .ok_or(FraudError::OutOfRange { account: account.id })?;
        }
        self.take_back(cdr.id, cdr.revision, known.clone());
        if let Some(known) = known
            && let Some(earlier) = self.state.period_mut(known.account, PeriodKey::Day(known.day))
        {
            earlier.calls.remove(&cdr.id);
        }
        for key in [PeriodKey::Day(day), PeriodKey::month_of(day)] {
            let period = self.state.period(account.id, key, key.ends(account.timezone));
            let with = period.sums().checked_add(sums);
            period.set_sums(with.expect("looked at above"));
            period.add_to_hour(hour, sums.full);
            match key {
                PeriodKey::Day(_) => {
                    period.calls.insert(cdr.id);
                }
                PeriodKey::Month(_) => {
                    period.dearest.push((sums.full, cdr.id));
                    dearest_first(&mut period.dearest);
                }
            }
        }
        self.state.set_call(cdr.id, counted);
        self.check_limits(account, day, cdr.start_at, cdr.end_at(), effects);
        Ok(())
    }

    /// What the period would come to with the call counted at `sums` in the place of what is known of it.
    fn sums_with(
        &self,
        account: AccountId,
        key: PeriodKey,
        known: Option<&Counted>,
        sums: Sums,
    ) -> Option<Sums> {
        let there = self.state.periods.get(&(account, key)).map(Period::sums).unwrap_or_default();
        let without = match known {
            Some(known)
                if known.account == account
                    && [PeriodKey::Day(known.day), PeriodKey::month_of(known.day)].contains(&key) =>
            {
                there.checked_sub(known.sums())?
            }
            Some(_) | None => there,
        };
        without.checked_add(sums)
    }

    /// A call in progress has cost so much so far.
    fn accrue(&mut self, accrual: &Accrual, effects: &mut Effects) {
        let directory = Arc::clone(&self.directory);
        // Its rated call will be put aside; an estimate alone is not worth that.
        let Some(account) = self.account(&directory, accrual.account) else { return };
        // An estimate that came late, or in the currency of a profile that the account has no more, is none.
        if self.state.calls.contains_key(&accrual.cdr) || accrual.amount.currency != account.currency {
            return;
        }
        // A partial record does not say what a minute costs; the sign of life before it did.
        let known = self.state.running.get(&accrual.cdr).map(|running| running.rate_per_minute);
        let running = Running {
            account: account.id,
            amount: accrual.amount.amount,
            at: accrual.at,
            rate_per_minute: accrual.rate_per_minute.or(known).unwrap_or_default(),
        };
        self.state.set_running(accrual.cdr, running);
        let day = day_of(accrual.at, account.timezone);
        if !self.is_history(PeriodKey::Day(day), account) {
            self.check_limits(account, day, accrual.at, accrual.at, effects);
        }
    }

    fn account<'a>(&self, directory: &'a Directory, id: AccountId) -> Option<&'a Account> {
        self.account_idx.get(&id).and_then(|idx| directory.accounts.get(*idx))
    }

    /// Whether a period is no longer remembered.
    fn is_history(&self, key: PeriodKey, account: &Account) -> bool {
        let ends = self
            .state
            .periods
            .get(&(account.id, key))
            .map_or_else(|| key.ends(account.timezone), |period| period.ends);
        self.state.clock.is_some_and(|clock| is_history(ends, clock))
    }

    /// What an earlier revision added no longer counts. The call stays known, at nothing.
    fn take_back(&mut self, cdr: CdrId, revision: u32, known: Option<Counted>) {
        let Some(known) = known else { return };
        for key in [PeriodKey::Day(known.day), PeriodKey::month_of(known.day)] {
            if let Some(period) = self.state.period_mut(known.account, key) {
                // It was added once, so that it can be taken away.
                let less = period.sums().checked_sub(known.sums());
                period.set_sums(less.unwrap_or_default());
                period.take_from_hour(known.hour, known.sums().full);
                period.dearest.retain(|(_, dear)| *dear != cdr);
            }
        }
        self.state.set_call(cdr, Counted::new(revision, known.account, known.day, Sums::default()));
    }

    /// The limit of an account for a period: its own, or that of the profile in force at `at`.
    fn limit<'a>(
        &self,
        directory: &'a Directory,
        account: &'a Account,
        key: PeriodKey,
        at: DateTime<Utc>,
    ) -> Option<&'a FraudLimit> {
        let of = |policy: &'a model::FraudPolicy| match key {
            PeriodKey::Day(_) => policy.daily.as_ref(),
            PeriodKey::Month(_) => policy.interval.as_ref(),
        };
        of(&account.fraud).or_else(|| {
            let profile = account.profile_at(at)?;
            let limits = directory.profile_limits.get(*self.profile_idx.get(&profile)?)?;
            of(&limits.fraud)
        })
    }

    /// Looks at both limits after a call of `day` was counted. Both may fire; the stronger lock wins.
    fn check_limits(
        &mut self,
        account: &Account,
        day: NaiveDate,
        started_at: DateTime<Utc>,
        at: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let directory = Arc::clone(&self.directory);
        for key in [PeriodKey::Day(day), PeriodKey::month_of(day)] {
            if let Some(limit) = self.limit(&directory, account, key, started_at) {
                self.check_limit(limit, account, key, at, effects);
            }
        }
    }

    /// Fires if the period has reached the limit, and again when it has reached twice, four times, eight times the limit:
    /// somebody may have lifted the lock, and the next loss must not go unseen. Warns of what is short of it.
    fn check_limit(
        &mut self,
        limit: &FraudLimit,
        account: &Account,
        key: PeriodKey,
        at: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let counts_running = limit.compat.is_none() && limit.price == FraudPrice::Customer;
        let mut spent = self
            .state
            .periods
            .get(&(account.id, key))
            .map_or(Decimal::ZERO, |period| counted(limit, period.sums()));
        let mut running = Vec::new();
        if counts_running {
            running.extend(self.state.running_of(account.id));
            let Some(with) = running.iter().try_fold(spent, |sum, (amount, _)| sum.checked_add(*amount))
            else {
                return;
            };
            spent = with;
        }
        let period = self.state.periods.get(&(account.id, key));
        if threshold(period, limit.amount).is_some_and(|threshold| spent >= threshold) {
            self.fire(limit, account, key, spent, &running, at, effects);
        } else if period.is_none_or(|period| !period.has_fired) {
            self.warn(limit, account, key, spent, &running, at, effects);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one crossing")]
    fn fire(
        &mut self,
        limit: &FraudLimit,
        account: &Account,
        key: PeriodKey,
        spent: Decimal,
        running: &[(Decimal, CdrId)],
        at: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let ends = key.ends(account.timezone);
        let changed = self.state.period(account.id, key, ends);
        let n_fired = changed.n_fired.max(u32::from(changed.has_fired)) + 1;
        (changed.has_fired, changed.n_fired, changed.fired_at) = (true, n_fired, Some(spent));
        let update = changed.n_warned + n_fired - 1;

        let now = self.state.clock.map_or(at, |clock| clock.max(at));
        let until = match limit.unlock {
            FraudUnlock::PeriodEnd => Some(ends),
            FraudUnlock::ByHand => None,
            FraudUnlock::After(span) => now.checked_add_signed(span.delta()),
        };
        // A limit of yesterday, found out today, is worth a mail; a lock would lift at once.
        let level = if until.is_none_or(|until| now < until) { limit.lock } else { LockLevel::None };
        let rule = rule_of(key);
        let alert = AlertId::derive(rule, account.id, &key.to_string());
        let wanted = Lock {
            tenant: account.tenant,
            account: account.id,
            level,
            source: LockSource::Fraud,
            reason: format!(
                "spent {spent} {currency} {of} {key}, the {kind} limit is {limit} {currency}",
                spent = spent.normalize(),
                of = match key {
                    PeriodKey::Day(_) => "on",
                    PeriodKey::Month(_) => "in",
                },
                kind = key.adjective(),
                limit = limit.amount.normalize(),
                currency = account.currency,
            ),
            alert: Some(alert),
            since: at,
            until,
        };
        let held = self.state.held.get(&account.id);
        // Our own lock of this period may have been lifted by hand since; only the directory can tell.
        let outcome = locking::set(wanted, held, n_fired == 1, &self.directory, now, effects);
        if let Some(held) = outcome.held {
            self.state.hold(held);
        }
        let told = Told { severity: AlertSeverity::Breach, update, lock: outcome.level };
        let alert = self.alert(limit, account, key, spent, running, at, told);
        // After the lock: its mail says until when it stands.
        effects.0.push(Effect::Alert(Box::new(alert)));
        if level.blocks_outgoing() {
            // Also under a lock of somebody else: that one stops new calls, these are still running up the bill.
            effects.append(
                Topic::Control,
                account.id,
                Body::Control(Control::EndCallsOf { account: account.id }),
            );
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one crossing")]
    fn warn(
        &mut self,
        limit: &FraudLimit,
        account: &Account,
        key: PeriodKey,
        spent: Decimal,
        running: &[(Decimal, CdrId)],
        at: DateTime<Utc>,
        effects: &mut Effects,
    ) {
        let warned = self.state.periods.get(&(account.id, key)).map_or(0, |period| period.warned_percent);
        let reached = |percent: u32| {
            let part = limit.amount.checked_mul(Decimal::new(i64::from(percent), 2));
            part.is_some_and(|part| spent >= part)
        };
        let highest = limit.warn_percent.iter().copied().filter(|percent| reached(*percent)).max();
        let Some(percent) = highest.filter(|percent| *percent > warned) else { return };
        let period = self.state.period(account.id, key, key.ends(account.timezone));
        period.warned_percent = percent;
        let update = period.n_warned;
        period.n_warned += 1;
        let told = Told { severity: AlertSeverity::Warning, update, lock: LockLevel::None };
        let alert = self.alert(limit, account, key, spent, running, at, told);
        effects.0.push(Effect::Alert(Box::new(alert)));
    }

    #[expect(clippy::too_many_arguments, reason = "the facts of one alert")]
    fn alert(
        &self,
        limit: &FraudLimit,
        account: &Account,
        key: PeriodKey,
        spent: Decimal,
        running: &[(Decimal, CdrId)],
        at: DateTime<Utc>,
        told: Told,
    ) -> Alert {
        let mut evidence = running.to_vec();
        if let Some(period) = self.state.periods.get(&(account.id, key)) {
            evidence.extend(&period.dearest);
            evidence.extend(period.calls.iter().filter_map(|cdr| {
                let known = self.state.calls.get(cdr)?;
                Some((counted(limit, known.sums()), *cdr))
            }));
        }
        dearest_first(&mut evidence);
        let rule = rule_of(key);
        Alert {
            id: AlertId::derive(rule, account.id, &key.to_string()),
            tenant: account.tenant,
            account: account.id,
            rule: rule.to_owned(),
            period: key.to_string(),
            limit: Money::new(limit.amount, account.currency),
            value: Money::new(spent, account.currency),
            lock: told.lock,
            notify: limit.notify.clone(),
            evidence: evidence.into_iter().map(|(_, cdr)| cdr).collect(),
            at,
            severity: told.severity,
            update: told.update,
            finding: None,
            spending: Some(self.spending(account, key, running, at)),
        }
    }

    /// How the money of a period went up to `at`. It is seen at the customer's price, whichever the limit counts.
    fn spending(
        &self,
        account: &Account,
        key: PeriodKey,
        running: &[(Decimal, CdrId)],
        at: DateTime<Utc>,
    ) -> Spending {
        let now = hour_of(at);
        let up = running.iter().try_fold(Decimal::ZERO, |sum, (amount, _)| sum.checked_add(*amount));
        let period = self.state.periods.get(&(account.id, key));
        let by_hour = (0..HOURS_SHOWN)
            .rev()
            .map(|ago| {
                let hour = now - ago;
                let ended = period.map_or(Decimal::ZERO, |period| period.spent_in(hour));
                let with = if ago == 0 { ended.checked_add(up.unwrap_or_default()) } else { Some(ended) };
                in_hundredths(with.unwrap_or(ended))
            })
            .collect();
        let a_minute = self.state.rate_of(account.id);
        let at_risk = a_minute.checked_mul(Decimal::from(60)).unwrap_or(a_minute);
        Spending { at_risk: Money::new(at_risk, account.currency), by_hour }
    }

    /// Lifts the locks whose time is up, and forgets what is long gone.
    fn pass_time(&mut self, now: DateTime<Utc>, effects: &mut Effects) {
        let due: Vec<_> = self
            .state
            .held
            .values()
            .filter(|held| held.lock.until.is_some_and(|until| until <= now))
            .cloned()
            .collect();
        for held in due {
            self.state.release(held.lock.account);
            if let Some(next) = locking::lift(held, &self.directory, now, effects) {
                self.state.hold(next);
            }
        }
        let silent: Vec<CdrId> = self
            .state
            .running
            .iter()
            .filter(|(_, running)| now.signed_duration_since(running.at) > RUNNING_KEPT)
            .map(|(cdr, _)| *cdr)
            .collect();
        for cdr in silent {
            self.state.end_running(cdr);
        }
        let history: Vec<_> = self
            .state
            .periods
            .iter()
            .filter(|(_, period)| is_history(period.ends, now))
            .map(|(key, _)| *key)
            .collect();
        for (account, key) in history {
            self.state.drop_period(account, key);
        }
    }
}

/// An amount for a picture.
fn in_hundredths(amount: Decimal) -> u32 {
    amount.checked_mul(Decimal::ONE_HUNDRED).and_then(|cents| cents.ceil().to_u32()).unwrap_or(0)
}

/// What an alert says besides the sums.
#[derive(Clone, Copy)]
struct Told {
    severity: AlertSeverity,
    update: u32,
    lock: LockLevel,
}

impl Stage for FraudDesk {
    fn apply(&mut self, input: StageInput, effects: &mut Effects) {
        let kind = match &input.body {
            Body::Tick(at) => {
                let now = self.state.move_clock(*at);
                self.pass_time(now, effects);
                return;
            }
            // Counted like any other word of a call that is up; the end replaces it.
            Body::Rated(rated) if rated.cdr.is_in_progress() => {
                if let Some(accrual) = so_far(rated) {
                    self.accrue(&accrual, effects);
                }
                return;
            }
            Body::Rated(rated) => {
                if let Err(error) = self.count(rated, effects) {
                    effects.suspend(error.suspended(rated.cdr.payer, Some(rated.cdr.id)));
                }
                return;
            }
            Body::Accrual(accrual) => {
                self.accrue(accrual, effects);
                return;
            }
            Body::Call(_) => "call",
            Body::Cdr(_) => "cdr",
            Body::Edr(_) => "edr",
            Body::Posting(_) => "posting",
            Body::Control(_) => "control",
            Body::Sighting(_) => "sighting",
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

/// What the customer of a call that is up would pay for it by now.
fn so_far(rated: &RatedCdr) -> Option<Accrual> {
    let charge = rated.charge(Provider::Customer, Direction::Out)?;
    let amount = charge.cost.checked_add(charge.free_cash)?;
    Some(Accrual {
        account: charge.account,
        cdr: rated.cdr.id,
        at: rated.cdr.end_at(),
        amount: Money::new(amount, charge.currency),
        rate_per_minute: None,
    })
}

/// What one call counts. Without a reseller, or with one that pays in another currency, the customer's price stands for both.
fn sums_of(customer: &Charge, reseller: Option<&Charge>) -> Option<Sums> {
    let full = customer.cost.checked_add(customer.free_cash)?;
    let reseller = match reseller {
        Some(charge) if charge.currency == customer.currency => charge.cost.checked_add(charge.free_cash)?,
        Some(_) | None => full,
    };
    Some(Sums { full, unpaid: customer.cost, reseller })
}

/// The figure that a limit is about.
fn counted(limit: &FraudLimit, sums: Sums) -> Decimal {
    match (limit.price, limit.compat) {
        (FraudPrice::Reseller, _) => sums.reseller,
        (FraudPrice::Customer, Some(FraudCompat::Reference)) => sums.unpaid,
        (FraudPrice::Customer, None) => sums.full,
    }
}

const fn rule_of(key: PeriodKey) -> &'static str {
    match key {
        PeriodKey::Day(_) => DAILY_SPEND,
        PeriodKey::Month(_) => INTERVAL_SPEND,
    }
}

/// Dearest first; among equals by id, so that a replay names the same ones. What costs nothing shows nothing.
fn dearest_first(calls: &mut Vec<(Decimal, CdrId)>) {
    calls.retain(|(amount, _)| !amount.is_zero());
    calls.sort_by(|(amount_a, a), (amount_b, b)| amount_b.cmp(amount_a).then(a.cmp(b)));
    calls.truncate(EVIDENCE_MAX);
}

/// What the period may come to before it fires next: the limit, doubled until it is above what was spent at the last time.
fn threshold(period: Option<&Period>, limit: Decimal) -> Option<Decimal> {
    let fired_at = match period.and_then(|period| period.fired_at) {
        Some(fired_at) => fired_at,
        None if period.is_some_and(|period| period.has_fired) => limit,
        None => return Some(limit),
    };
    let mut threshold = limit;
    // A limit of nothing never gets above anything.
    while threshold <= fired_at && threshold > Decimal::ZERO {
        threshold = threshold.checked_add(threshold)?;
    }
    (threshold > fired_at).then_some(threshold)
}

/// Whether a period that ended at `ends` is no longer remembered.
fn is_history(ends: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    ends.checked_add_signed(PERIODS_KEPT).is_none_or(|until| until <= now)
}
