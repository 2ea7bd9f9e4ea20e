//! The balance of one account: intervals, grants, calls, top-ups.
//!
//! In: what happens to the account, in the order in which it becomes known, with the time it happened. Out: [`Movement`]s, each of which
//! becomes one posting, and [`Happening`]s for others to carry out. The state is the sum of the movements and nothing else:
//! [`Contract::own_micros`] and the free rest of each interval can be rebuilt from postings.
//!
//! Amounts are millionths of the account's currency. Own money and free cash are kept apart, so what expires is what was left of
//! the grant. With `compat` the reference's formula decides instead (billing-reference 5.8).

mod quick;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use model::{BalanceLength, CarryOver, LockLevel, ProfileVersionId, StartMode, Underrun};
use serde::{Deserialize, Serialize};

use crate::reference_loop::BalanceRow;

use super::cadence::{Cadence, MonthArithmetic, Stretch, first_of_month, later, midnight, monday};
use super::order::{Order, Shift, Stated};

pub(crate) use self::quick::{Quick, Words};

/// Intervals kept after their end, for calls whose records come late. An earlier one's grant is gone for good.
const ENDED_KEPT: usize = 3;

/// Intervals caught up with in one go; what is left is done the next time.
const CAUGHT_UP_MAX: usize = 1_000;

/// What an interval gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Grant {
    /// Of free time.
    pub seconds: u64,
    /// Of free cash.
    pub micros: i64,
}

/// The rules of a contract, resolved: amounts in millionths, the zone chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    /// Of the intervals' clock.
    pub zone: Tz,
    /// Length of an interval.
    pub interval: BalanceLength,
    /// Where intervals begin; `None`: with the week or the month, as for an account without a package.
    pub start: Option<StartMode>,
    /// What becomes of own money.
    pub carry_over: CarryOver,
    /// With [`CarryOver::Timely`].
    pub timely: Option<BalanceLength>,
    /// Own money expires so many interval units after the last interval with a top-up.
    pub discard_without_topup: Option<u32>,
    /// To begin with.
    pub initial_micros: i64,
    /// Of each top-up.
    pub service_charge_micros: i64,
    /// Threshold from which on an underrun brings other profiles.
    pub underrun_profiles: Option<i64>,
    /// Lock of an underrun, and its threshold.
    pub underrun_lock: Option<(i64, LockLevel)>,
    /// A top-up brings other profiles.
    pub topup_profiles: bool,
    /// Lock of a top-up.
    pub topup_lock: Option<LockLevel>,
    /// Calls are paid from the balance, whatever it is.
    pub prepaid: bool,
    /// As the reference reckons: month arithmetic of its rater, its carry-over formula, a discard that forgives debts.
    pub compat: bool,
}

/// Whom a movement of cash concerns, beside the account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Moved {
    /// Free cash of an interval: from the grants.
    GrantCash,
    /// Free seconds of an interval.
    GrantTime,
    /// Free cash that was left at the end: back to the grants.
    ExpireCash,
    /// Free seconds that were left.
    ExpireTime,
    /// Own money that expired.
    DiscardOwn,
    /// Own money to begin with.
    InitialOwn,
    /// Money came in.
    TopUp,
    /// Kept of it.
    ServiceCharge,
    /// By hand.
    Adjustment,
    /// A call, from free cash.
    CallFreeCash,
    /// A call, from own money.
    CallOwn,
    /// A call, in free seconds.
    CallTime,
    /// What a call carries for calls out of order, from free cash.
    OrderFreeCash,
    /// As [`Moved::OrderFreeCash`], from own money.
    OrderOwn,
}

/// One change of the balance; `amount` is millionths, of time seconds, and says by how much the account's side grows: calls and
/// expiries are negative, what a call gives back is positive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub what: Moved,
    /// How much.
    pub amount: i64,
}

/// Something for others to carry out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// Lock or unlock the account.
    Lock {
        /// Since when.
        at: DateTime<Utc>,
        /// How far.
        level: LockLevel,
        /// For people.
        why: &'static str,
    },
    /// Calls that start at or after `at` are priced by another set of profiles.
    Profiles {
        /// From when.
        at: DateTime<Utc>,
        /// Which.
        set: ProfileSet,
    },
}

/// A set of profiles of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileSet {
    /// After an underrun.
    Underrun,
    /// After a top-up.
    TopUp,
}

impl Happening {
    /// When it takes effect, to be moved.
    pub fn at_mut(&mut self) -> &mut DateTime<Utc> {
        match self {
            Happening::Lock { at, .. } | Happening::Profiles { at, .. } => at,
        }
    }
}

/// What came of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// In order.
    pub movements: Vec<Movement>,
    /// In order.
    pub happenings: Vec<Happening>,
}

/// One interval of a contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interval {
    /// From when to when.
    pub stretch: Stretch,
    /// What it gave, in proportion if it is the first.
    pub granted: Grant,
    /// What is left of that. Of an interval that has ended: what has expired, and comes back for a call whose record is late.
    pub left: Grant,
    /// Price of all calls in it, whoever paid: the reference's debit counter.
    pub debit_micros: i64,
    /// Top-ups in it.
    pub n_topups: u32,
    /// Of these in its timely part.
    pub n_timely: u32,
    /// Cash at its end, as a row of the reference would still have it.
    #[serde(default)]
    pub ended_with_micros: i64,
}

/// What calls priced by their usage have used in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Start of the interval.
    pub interval: DateTime<Utc>,
    /// The tariff version whose steps it counts for.
    pub version: ProfileVersionId,
    /// Used.
    pub seconds: u64,
    /// What they cost, millionths.
    pub micros: i64,
}

/// The balance of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contract {
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Own money; below 0 it is owed.
    pub own_micros: i64,
    /// The running interval last, before it those that ended not long ago.
    pub intervals: Vec<Interval>,
    /// Of the intervals that are kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    usage: Vec<Usage>,
    /// Of those whose calls may have to be set in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) orders: Vec<Order>,
    /// How intervals follow each other; `None`: the running one is open.
    cadence: Option<Cadence>,
    /// End of the last interval with a top-up, or of the first; `None`: it began there, being open.
    last_topup_end: DateTime<Utc>,
    /// Each happens once until the balance is above its threshold again.
    is_under_lock: bool,
    is_under_profile: bool,
}

/// What a call took, to be given back if its record is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Taken {
    /// From own money, millionths.
    pub own_micros: i64,
    /// Of grants: by the interval's start.
    pub of_grants: Vec<(DateTime<Utc>, Grant)>,
    /// Price by the interval's start, for the debit counter.
    pub debits: Vec<(DateTime<Utc>, i64)>,
    /// Of balances that had ended, as the reference keeps them: by the interval's start, millionths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub of_ended: Vec<(DateTime<Utc>, i64)>,
    /// What it counted as used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Of own money, what was taken in intervals that give something: by the interval's start, millionths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) own_of: Vec<(DateTime<Utc>, i64)>,
    /// And what of it had expired at the end of the call's interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) of_expired: Vec<(DateTime<Utc>, i64)>,
    /// What it carries for calls that became known in another order than they began; not in the sums above, and kept by its later
    /// records.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) shifts: Vec<Shift>,
}

impl Taken {
    /// Free cash in all, millionths.
    pub fn free_micros(&self) -> i64 {
        self.of_grants.iter().map(|(_, grant)| grant.micros).sum()
    }

    /// Adds what a later fragment of the same call took. What a call carries for others is not of its fragments.
    pub(crate) fn add(&mut self, later: Taken) {
        let Taken { own_micros, of_grants, debits, of_ended, usage, own_of, of_expired, shifts: _ } = later;
        self.own_micros = self.own_micros.saturating_add(own_micros);
        self.of_grants.extend(of_grants);
        self.debits.extend(debits);
        self.of_ended.extend(of_ended);
        self.own_of.extend(own_of);
        self.of_expired.extend(of_expired);
        self.usage = match (self.usage, usage) {
            (Some(usage), Some(more)) => Some(Usage {
                seconds: usage.seconds.saturating_add(more.seconds),
                micros: usage.micros.saturating_add(more.micros),
                ..usage
            }),
            (usage, more) => usage.or(more),
        };
    }

    /// Free seconds in all.
    pub fn free_seconds(&self) -> u64 {
        self.of_grants.iter().map(|(_, grant)| grant.seconds).sum()
    }
}

/// What a call costs in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Start of the interval.
    pub interval: DateTime<Utc>,
    /// Of its price, what falls on this interval, millionths; free time is taken off already.
    pub price_micros: i64,
    /// Free time it uses of it.
    pub free_seconds: u64,
}

impl Contract {
    /// Opens a contract. `grant_at` says what the profile in force at an instant gives.
    pub fn open(
        created_at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) -> Contract {
        let mut contract = Contract {
            created_at,
            own_micros: 0,
            intervals: Vec::new(),
            usage: Vec::new(),
            orders: Vec::new(),
            cadence: rules.first_cadence(created_at),
            last_topup_end: created_at,
            is_under_lock: false,
            is_under_profile: false,
        };
        let open = Stretch { start: created_at, end: None };
        let stretch = contract.cadence.and_then(|cadence| cadence.at(created_at)).unwrap_or(open);
        contract.last_topup_end = stretch.end.unwrap_or(created_at);
        if rules.initial_micros != 0 {
            contract.own(created_at, Moved::InitialOwn, rules.initial_micros, outcome);
        }
        let whole = grant_at(created_at);
        let grant = contract.first_grant(&stretch, whole, rules);
        contract.begin(stretch, created_at, grant, outcome);
        contract.check_underrun(created_at, i64::MAX, rules, outcome);
        contract
    }

    /// The running interval.
    pub fn running(&self) -> &Interval {
        self.intervals.last().expect("a contract begins with an interval and keeps the last")
    }

    /// Cash at hand: own money and what is left of the running interval's free cash, millionths.
    pub fn cash_micros(&self) -> i64 {
        self.own_micros.saturating_add(self.running().left.micros)
    }

    /// Ends the intervals that end at or before `to`. Returns whether all of them are done.
    pub fn catch_up(
        &mut self,
        to: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) -> bool {
        for _ in 0..CAUGHT_UP_MAX {
            let Some(end) = self.running().stretch.end.filter(|end| *end <= to) else {
                self.expire_open(to, rules, outcome);
                return true;
            };
            self.follow_length(rules);
            let next = self.cadence.and_then(|cadence| cadence.at(end));
            // Of another length, it may have begun before.
            let next = Stretch { start: end, end: next.and_then(|next| next.end) };
            let before = self.cash_micros();
            self.end_interval(end, rules, outcome);
            self.begin(next, end, grant_at(end), outcome);
            self.rearm(rules);
            self.check_underrun(end, before, rules, outcome);
        }
        false
    }

    /// A new profile may have intervals of another length: they begin where they would had it always been that.
    fn follow_length(&mut self, rules: &Rules) {
        let is_other = self.cadence.is_some_and(|cadence| cadence.length != rules.interval);
        if is_other && let Some(cadence) = rules.first_cadence(self.created_at) {
            self.cadence = Some(cadence);
        }
    }

    /// When the next interval begins, or own money of an open one expires.
    pub fn due_at(&self, rules: &Rules) -> Option<DateTime<Utc>> {
        let open = || self.expiry(rules).filter(|_| self.own_micros > 0);
        self.running().stretch.end.or_else(open)
    }

    /// The intervals that a call touches, from its start to its end, with the free time there is. A call older than all that is kept
    /// touches the oldest one, whose grant it must not use: it has none left there.
    pub fn touched(&self, start: DateTime<Utc>, end: DateTime<Utc>) -> Vec<Interval> {
        let mut touched: Vec<Interval> = self
            .intervals
            .iter()
            .filter(|interval| {
                interval.stretch.start <= end && interval.stretch.end.is_none_or(|until| start < until)
            })
            .copied()
            .collect();
        if touched.is_empty() {
            // Named by its own start, which is no interval's: so none is taken for it.
            let oldest = self.intervals[0];
            let stretch = Stretch { start, ..oldest.stretch };
            touched.push(Interval { stretch, left: Grant::default(), ..oldest });
        } else if touched.len() > 1 && touched[touched.len() - 1].stretch.start == end {
            // A call that ends with an interval has nothing in the next.
            touched.pop();
        }
        touched
    }

    /// Takes what a call costs: free seconds as said, then free cash of the interval that each part falls on, then own money. Postpaid
    /// takes no more than there is, and a price below 0 leaves the balance alone; prepaid takes all of it. Catch up to
    /// its end first. Returns what was taken; the rest remains to be paid.
    pub fn spend(&mut self, at: DateTime<Utc>, dues: &[Due], rules: &Rules, outcome: &mut Outcome) -> Taken {
        let before = self.cash_micros();
        let mut taken = Taken::default();
        for due in dues {
            let at_hand = self.own_micros.max(0);
            let place = self.place_of(due.interval);
            let mut of_grant = Grant { seconds: due.free_seconds, micros: 0 };
            if let Some(place) = place {
                let is_over = place + 1 < self.intervals.len();
                let interval = &mut self.intervals[place];
                let spendable = due.price_micros.max(0);
                // A debt is set off against what was granted, as one sum of cash would be.
                let debt = self.own_micros.min(0).saturating_neg();
                let free = if rules.prepaid || is_over {
                    interval.left.micros
                } else {
                    interval.left.micros.saturating_sub(debt).max(0)
                };
                of_grant.micros = spendable.min(free);
                interval.left.micros -= of_grant.micros;
                interval.left.seconds = interval.left.seconds.saturating_sub(of_grant.seconds);
                interval.debit_micros = interval.debit_micros.saturating_add(due.price_micros);
                if is_over {
                    // It had expired; it comes back, to be used at once.
                    move_if(outcome, at, Moved::ExpireCash, of_grant.micros);
                    move_if(outcome, at, Moved::ExpireTime, signed(of_grant.seconds));
                }
            }
            move_if(outcome, at, Moved::CallTime, -signed(of_grant.seconds));
            move_if(outcome, at, Moved::CallFreeCash, -of_grant.micros);
            let rest = due.price_micros - of_grant.micros;
            let revived = self.revive(at, due.interval, rest, outcome);
            if revived > 0 {
                taken.of_expired.push((due.interval, revived));
            }
            let own = if rules.prepaid { rest } else { rest.clamp(0, at_hand.saturating_add(revived)) };
            if own != 0 {
                self.own(at, Moved::CallOwn, -own, outcome);
                taken.own_micros += own;
                if self.count_own(due.interval, own) {
                    taken.own_of.push((due.interval, own));
                }
            }
            if of_grant != Grant::default() {
                taken.of_grants.push((due.interval, of_grant));
            }
            if due.price_micros < 0 {
                self.count_credit(due.interval, due.price_micros);
            }
            taken.debits.push((due.interval, due.price_micros));
        }
        self.check_underrun(at, before, rules, outcome);
        taken
    }

    /// Gives back what a call took. What it took of a grant that has ended since expires at once.
    pub fn give_back(&mut self, at: DateTime<Utc>, taken: &Taken, rules: &Rules, outcome: &mut Outcome) {
        let running = self.running().stretch.start;
        for (start, grant) in &taken.of_grants {
            move_if(outcome, at, Moved::CallTime, signed(grant.seconds));
            move_if(outcome, at, Moved::CallFreeCash, grant.micros);
            if *start != running {
                move_if(outcome, at, Moved::ExpireCash, -grant.micros);
                move_if(outcome, at, Moved::ExpireTime, -signed(grant.seconds));
            }
            if let Some(interval) = self.interval_mut(*start) {
                interval.left.micros += grant.micros;
                interval.left.seconds += grant.seconds;
            }
        }
        for (start, price_micros) in &taken.debits {
            if let Some(interval) = self.interval_mut(*start) {
                interval.debit_micros = interval.debit_micros.saturating_sub(*price_micros);
            }
            if *price_micros < 0 {
                self.count_credit(*start, -price_micros);
            }
        }
        if let Some(usage) = &taken.usage {
            self.count_usage(Usage { micros: -usage.micros, ..*usage }, false);
        }
        for (start, micros) in &taken.of_ended {
            if let Some(interval) = self.interval_mut(*start) {
                interval.ended_with_micros = interval.ended_with_micros.saturating_add(*micros);
            }
        }
        if taken.own_micros != 0 {
            self.own(at, Moved::CallOwn, taken.own_micros, outcome);
        }
        for (start, micros) in &taken.own_of {
            self.count_own(*start, -micros);
        }
        for (start, micros) in &taken.of_expired {
            self.own(at, Moved::DiscardOwn, -micros, outcome);
            self.count_revived(*start, -micros);
        }
        self.rearm(rules);
    }

    /// What was used in the interval that begins at `interval` and counts for `version`.
    pub fn used(&self, interval: DateTime<Utc>, version: ProfileVersionId) -> Usage {
        let is_it = |usage: &&Usage| (usage.interval, usage.version) == (interval, version);
        let none = Usage { interval, version, seconds: 0, micros: 0 };
        self.usage.iter().find(is_it).copied().unwrap_or(none)
    }

    /// Counts what a call used, or with `more` false takes it back. An interval that is not kept any more counts nothing.
    pub(crate) fn count_usage(&mut self, used: Usage, more: bool) {
        if self.place_of(used.interval).is_none() {
            return;
        }
        let before = self.used(used.interval, used.version);
        let seconds = if more {
            before.seconds.saturating_add(used.seconds)
        } else {
            before.seconds.saturating_sub(used.seconds)
        };
        let after = Usage { seconds, micros: before.micros.saturating_add(used.micros), ..before };
        self.usage.retain(|there| (there.interval, there.version) != (used.interval, used.version));
        if (after.seconds, after.micros) != (0, 0) {
            self.usage.push(after);
        }
    }

    /// The balances as the reference has them, from the one that holds `start` to the running one, which is told by [`Self::cash_micros`].
    /// Catch up to the end of the call first.
    pub(crate) fn reference_rows(&self, start: DateTime<Utc>) -> Vec<BalanceRow> {
        let last = self.intervals.len() - 1;
        let first = self
            .intervals
            .iter()
            .position(|interval| interval.stretch.end.is_none_or(|end| start < end))
            .unwrap_or(last);
        let rows = self.intervals.iter().enumerate().skip(first).map(|(place, interval)| BalanceRow {
            until: interval.stretch.end.map_or(i64::MAX, |end| end.timestamp_micros()),
            cash_micros: if place == last { self.cash_micros() } else { interval.ended_with_micros },
            debit_micros: interval.debit_micros,
            free_seconds: interval.left.seconds,
        });
        rows.collect()
    }

    /// Makes the rows of [`Self::reference_rows`] what a call left of them. Of ended ones only their memory changes: what they had was carried
    /// over or has expired, and what the reference takes from later balances too is taken from the running one.
    pub(crate) fn keep_reference_rows(
        &mut self,
        at: DateTime<Utc>,
        rows: &[BalanceRow],
        rules: &Rules,
        outcome: &mut Outcome,
    ) -> Taken {
        let before = self.cash_micros();
        let mut taken = Taken::default();
        let first = self.intervals.len() - rows.len();
        for (place, row) in (first..).zip(rows) {
            let is_over = place + 1 < self.intervals.len();
            let interval = &mut self.intervals[place];
            let start = interval.stretch.start;
            let seconds = interval.left.seconds.saturating_sub(row.free_seconds);
            let debit = row.debit_micros.saturating_sub(interval.debit_micros);
            interval.left.seconds = row.free_seconds;
            interval.debit_micros = row.debit_micros;
            let mut grant = Grant { seconds, micros: 0 };
            if is_over {
                let cash = interval.ended_with_micros.saturating_sub(row.cash_micros);
                interval.ended_with_micros = row.cash_micros;
                move_if(outcome, at, Moved::ExpireTime, signed(seconds));
                if cash != 0 {
                    taken.of_ended.push((start, cash));
                }
            } else {
                let cash = before.saturating_sub(row.cash_micros);
                grant.micros = cash.clamp(0, interval.left.micros.max(0));
                interval.left.micros -= grant.micros;
                taken.own_micros = cash - grant.micros;
            }
            move_if(outcome, at, Moved::CallTime, -signed(seconds));
            move_if(outcome, at, Moved::CallFreeCash, -grant.micros);
            if grant != Grant::default() {
                taken.of_grants.push((start, grant));
            }
            if debit != 0 {
                taken.debits.push((start, debit));
            }
        }
        if taken.own_micros != 0 {
            self.own(at, Moved::CallOwn, -taken.own_micros, outcome);
        }
        self.check_underrun(at, before, rules, outcome);
        taken
    }

    /// Money comes in at `at`, in the order of billing-reference 5.7: the service charge of the package then in force is kept of it, its
    /// profile and lock follow, the running interval counts it and, where top-ups make intervals, ends. Catch up to `at` first.
    /// `old` are the rules until now, where a voucher brings another package.
    pub fn top_up(
        &mut self,
        at: DateTime<Utc>,
        amount_micros: i64,
        old: &Rules,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        let before = self.cash_micros();
        if rules.topup_profiles {
            outcome.happenings.push(Happening::Profiles { at, set: ProfileSet::TopUp });
        }
        let is_timely = self.is_timely(at, old);
        let running = self.running_mut();
        running.n_topups += 1;
        running.n_timely += u32::from(is_timely);
        if old.interval != rules.interval || old.start != rules.start || old.zone != rules.zone {
            self.resize(at, true, rules, grant_at, outcome);
        }
        match rules.start {
            Some(StartMode::TopUp) => {
                self.cadence = None;
                self.renew(at, rules, grant_at, outcome);
            }
            Some(StartMode::TopUpInterval) => {
                self.cadence = Some(rules.cadence(at.with_timezone(&rules.zone).naive_local()));
                self.renew(at, rules, grant_at, outcome);
            }
            Some(StartMode::Create | StartMode::CreateTz | StartMode::First | StartMode::FirstTz) | None => {}
        }
        self.own(at, Moved::TopUp, amount_micros, outcome);
        if rules.service_charge_micros != 0 {
            self.own(at, Moved::ServiceCharge, -rules.service_charge_micros, outcome);
        }
        // Where top-ups make intervals, the one that it came in ended with it, and it counts there (5.7, 5.8).
        let makes_intervals = matches!(rules.start, Some(StartMode::TopUp | StartMode::TopUpInterval));
        self.last_topup_end = self.running().stretch.end.filter(|_| !makes_intervals).unwrap_or(at);
        if let Some(level) = rules.topup_lock {
            let why = "the package says so of a top-up";
            outcome.happenings.push(Happening::Lock { at, level, why });
        }
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// Own money is set right by hand, up or down.
    pub fn adjust(&mut self, at: DateTime<Utc>, amount_micros: i64, rules: &Rules, outcome: &mut Outcome) {
        let before = self.cash_micros();
        self.own(at, Moved::Adjustment, amount_micros, outcome);
        self.rearm(rules);
        self.check_underrun(at, before, rules, outcome);
    }

    /// Another package without a top-up, from `at` on: the running interval ends by the new rules.
    pub fn switch_package(
        &mut self,
        at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        self.resize(at, false, rules, grant_at, outcome);
        // What was crossed was a threshold of the package before.
        self.rearm(rules);
    }

    /// The running interval is kept, its end moved (billing-reference 5.6, "Package switch"). In the first one the free cash follows its
    /// new share.
    fn resize(
        &mut self,
        at: DateTime<Utc>,
        is_top_up: bool,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        let end = match rules.start {
            Some(StartMode::TopUp) => Some(at),
            Some(StartMode::TopUpInterval) => is_top_up.then_some(at),
            Some(StartMode::Create | StartMode::CreateTz | StartMode::First | StartMode::FirstTz) | None => {
                self.cadence = rules.first_cadence(self.created_at);
                self.cadence.and_then(|cadence| cadence.at(at)).and_then(|stretch| stretch.end)
            }
        };
        if end.is_none() || end == Some(at) {
            self.cadence = None;
        }
        self.running_mut().stretch.end = end;
        let is_first = self.intervals.len() == 1 && self.running().stretch.contains(self.created_at);
        if is_first && end != Some(at) {
            let stretch = self.running().stretch;
            let grant = self.first_grant(&stretch, grant_at(self.created_at), rules);
            let running = self.running_mut();
            let more = grant.micros - running.granted.micros;
            running.granted.micros = grant.micros;
            running.left.micros += more;
            let what = if more >= 0 { Moved::GrantCash } else { Moved::ExpireCash };
            move_if(outcome, at, what, more);
        }
        if end == Some(at) && !is_top_up {
            self.renew(at, rules, grant_at, outcome);
        }
    }

    /// Ends the running interval at `at` and begins the next.
    fn renew(
        &mut self,
        at: DateTime<Utc>,
        rules: &Rules,
        grant_at: &dyn Fn(DateTime<Utc>) -> Grant,
        outcome: &mut Outcome,
    ) {
        self.running_mut().stretch.end = Some(at);
        self.end_interval(at, rules, outcome);
        let next = self.cadence.and_then(|cadence| cadence.at(at));
        self.begin(next.unwrap_or(Stretch { start: at, end: None }), at, grant_at(at), outcome);
    }

    /// What is left of the grants expires; own money as the carry-over says.
    fn end_interval(&mut self, end: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        let before = self.cash_micros();
        let Interval { granted, left, debit_micros, n_timely, .. } = *self.running();
        let is_carried = match rules.carry_over {
            CarryOver::CarryOver => true,
            CarryOver::Timely => n_timely > 0,
            CarryOver::Discard => false,
        };
        let is_carried = is_carried && self.expiry(rules).is_none_or(|expiry| end < expiry);
        move_if(outcome, end, Moved::ExpireTime, -signed(left.seconds));
        if rules.compat {
            // One sum of cash, and what the counter of prices says was not used of the grant (5.8).
            let unused = granted.micros.saturating_sub(debit_micros).max(0);
            let kept = if is_carried { before.saturating_sub(unused) } else { 0 };
            move_if(outcome, end, Moved::ExpireCash, -left.micros);
            let change = kept.saturating_sub(self.own_micros);
            if change != 0 {
                self.own(end, Moved::DiscardOwn, change, outcome);
            }
        } else {
            move_if(outcome, end, Moved::ExpireCash, -left.micros);
            // What is owed does not expire.
            if !is_carried && self.own_micros > 0 {
                self.count_expired(self.running().stretch.start, self.own_micros);
                self.own(end, Moved::DiscardOwn, -self.own_micros, outcome);
            }
        }
        let running = self.running_mut();
        running.ended_with_micros = before;
        if running.n_topups > 0 {
            self.last_topup_end = end;
        }
    }

    /// Own money of an open interval: without a timely top-up, or any, it expires there.
    fn expire_open(&mut self, to: DateTime<Utc>, rules: &Rules, outcome: &mut Outcome) {
        if self.running().stretch.end.is_some() || self.own_micros <= 0 {
            return;
        }
        if let Some(expiry) = self.expiry(rules).filter(|expiry| *expiry <= to) {
            let before = self.cash_micros();
            self.own(expiry, Moved::DiscardOwn, -self.own_micros, outcome);
            self.check_underrun(expiry, before, rules, outcome);
        }
    }

    /// When own money expires if no top-up comes.
    fn expiry(&self, rules: &Rules) -> Option<DateTime<Utc>> {
        let by_discard = rules.discard_without_topup.and_then(|n| {
            let unit = BalanceLength { count: 1, ..rules.interval };
            later(self.last_topup_end, rules.zone, unit, i64::from(n))
        });
        let is_open = self.running().stretch.end.is_none();
        let by_time = (is_open && rules.carry_over == CarryOver::Timely)
            .then(|| later(self.running().stretch.start, rules.zone, rules.interval, 1))
            .flatten();
        [by_discard, by_time].into_iter().flatten().min()
    }

    /// Whether a top-up now is in the last part of the running interval.
    fn is_timely(&self, at: DateTime<Utc>, rules: &Rules) -> bool {
        let Some(timely) = rules.timely else { return false };
        let stretch = self.running().stretch;
        // Of an open interval, the end that it would have.
        let end = stretch.end.or_else(|| later(stretch.start, rules.zone, rules.interval, 1));
        let begins = end.and_then(|end| later(end, rules.zone, timely, -1));
        end.is_some_and(|end| at < end) && begins.is_some_and(|begins| begins <= at)
    }

    /// The share of the first interval's grant: from midnight of the day of creation, or from creation if the interval begins later.
    fn first_grant(&self, stretch: &Stretch, whole: Grant, rules: &Rules) -> Grant {
        let Some(end) = stretch.end else { return whole };
        let day = super::cadence::resolved(rules.zone, midnight(self.created_at, rules.zone));
        let from = day.filter(|day| stretch.start <= *day).unwrap_or(self.created_at).max(stretch.start);
        let part = (end - from).num_seconds();
        let all = (end - stretch.start).num_seconds();
        if all <= 0 || part >= all {
            return whole;
        }
        let share = |amount: i128| {
            let (part, all) = (i128::from(part.max(0)), i128::from(all));
            (amount * part * 2 + all).div_euclid(all * 2)
        };
        Grant {
            seconds: u64::try_from(share(i128::from(whole.seconds))).unwrap_or(0),
            micros: i64::try_from(share(i128::from(whole.micros))).unwrap_or(0),
        }
    }

    fn begin(&mut self, stretch: Stretch, at: DateTime<Utc>, grant: Grant, outcome: &mut Outcome) {
        move_if(outcome, at, Moved::GrantCash, grant.micros);
        move_if(outcome, at, Moved::GrantTime, signed(grant.seconds));
        if self.place_of(stretch.start).is_some() {
            self.begin_twice(stretch.start);
        }
        self.intervals.push(Interval {
            stretch,
            granted: grant,
            left: grant,
            debit_micros: 0,
            n_topups: 0,
            n_timely: 0,
            ended_with_micros: 0,
        });
        if self.intervals.len() > ENDED_KEPT + 1 {
            let gone = self.intervals.remove(0).stretch.start;
            if self.place_of(gone).is_none() {
                self.usage.retain(|usage| usage.interval != gone);
                self.orders.retain(|order| order.interval != gone);
            }
        }
    }

    pub(super) fn own(&mut self, at: DateTime<Utc>, what: Moved, amount: i64, outcome: &mut Outcome) {
        self.own_micros = self.own_micros.saturating_add(amount);
        outcome.movements.push(Movement { at, what, amount });
    }

    /// Whether it fell from at or above a threshold to below (5.9).
    pub(super) fn check_underrun(
        &mut self,
        at: DateTime<Utc>,
        before: i64,
        rules: &Rules,
        outcome: &mut Outcome,
    ) {
        let now = self.cash_micros();
        let falls = |threshold: i64| before >= threshold && now < threshold;
        if let Some((threshold, level)) = rules.underrun_lock
            && falls(threshold)
            && !self.is_under_lock
        {
            self.is_under_lock = true;
            let why = "the balance fell below the lock threshold of the package";
            outcome.happenings.push(Happening::Lock { at, level, why });
        }
        if let Some(threshold) = rules.underrun_profiles
            && falls(threshold)
            && !self.is_under_profile
        {
            self.is_under_profile = true;
            outcome.happenings.push(Happening::Profiles { at, set: ProfileSet::Underrun });
        }
    }

    /// A balance at its threshold again may fall below it again.
    pub(super) fn rearm(&mut self, rules: &Rules) {
        let now = self.cash_micros();
        self.is_under_lock &= rules.underrun_lock.is_some_and(|(threshold, _)| now < threshold);
        self.is_under_profile &= rules.underrun_profiles.is_some_and(|threshold| now < threshold);
    }

    fn running_mut(&mut self) -> &mut Interval {
        self.intervals.last_mut().expect("a contract begins with an interval and keeps the last")
    }

    /// Of two that begin at once, because a top-up ended the first there, the last.
    fn place_of(&self, start: DateTime<Utc>) -> Option<usize> {
        self.intervals.iter().rposition(|interval| interval.stretch.start == start)
    }

    /// The one that begins then, if it is kept.
    pub(crate) fn interval(&self, start: DateTime<Utc>) -> Option<&Interval> {
        self.place_of(start).map(|place| &self.intervals[place])
    }

    pub(super) fn interval_mut(&mut self, start: DateTime<Utc>) -> Option<&mut Interval> {
        self.place_of(start).map(|place| &mut self.intervals[place])
    }
}

impl Rules {
    /// Of a package, for an account in `account_zone` whose tenant is in `tenant_zone`.
    pub fn of_package(package: &model::Package, tenant_zone: Tz, account_zone: Tz) -> Rules {
        let zone = match package.start {
            StartMode::Create | StartMode::First => tenant_zone,
            StartMode::CreateTz | StartMode::FirstTz | StartMode::TopUp | StartMode::TopUpInterval => {
                account_zone
            }
        };
        Rules {
            zone,
            interval: package.interval,
            start: Some(package.start),
            carry_over: package.carry_over,
            timely: package.timely,
            discard_without_topup: package.discard_without_topup,
            initial_micros: micros(package.initial_balance),
            service_charge_micros: micros(package.service_charge),
            underrun_profiles: package.underrun_profiles.as_ref().map(|underrun| micros(underrun.below)),
            underrun_lock: package.underrun_lock.map(|Underrun { below, then }| (micros(below), then)),
            topup_profiles: !package.topup_profiles.is_empty(),
            topup_lock: package.topup_lock,
            prepaid: false,
            compat: false,
        }
    }

    /// Of an account without a package: the intervals of its profile, own money stays.
    pub fn without_package(interval: BalanceLength, zone: Tz) -> Rules {
        let package = model::Package { interval, ..model::Package::default() };
        Rules { start: None, ..Self::of_package(&package, zone, zone) }
    }

    /// Of the contract's first interval; `None`: it is open.
    fn first_cadence(&self, created_at: DateTime<Utc>) -> Option<Cadence> {
        match self.start {
            Some(StartMode::Create | StartMode::CreateTz) => {
                Some(self.cadence(midnight(created_at, self.zone)))
            }
            Some(StartMode::First | StartMode::FirstTz) => {
                Some(self.cadence(first_of_month(created_at, self.zone)))
            }
            Some(StartMode::TopUp | StartMode::TopUpInterval) => None,
            None => Some(self.cadence(match self.interval.unit {
                model::BalanceUnit::Week => monday(created_at, self.zone),
                model::BalanceUnit::Month => first_of_month(created_at, self.zone),
                model::BalanceUnit::Minute | model::BalanceUnit::Hour | model::BalanceUnit::Day => {
                    midnight(created_at, self.zone)
                }
            })),
        }
    }

    fn cadence(&self, anchor: chrono::NaiveDateTime) -> Cadence {
        let months = if self.compat { MonthArithmetic::Overflow } else { MonthArithmetic::EndOfMonth };
        Cadence { anchor, zone: self.zone, length: self.interval, months }
    }
}

pub(super) fn move_if(outcome: &mut Outcome, at: DateTime<Utc>, what: Moved, amount: i64) {
    if amount != 0 {
        outcome.movements.push(Movement { at, what, amount });
    }
}

pub(super) fn signed(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

/// Provisioned amounts have been checked to fit.
pub(crate) fn micros(amount: rust_decimal::Decimal) -> i64 {
    model::to_micros(amount.round_dp(6)).unwrap_or(if amount.is_sign_negative() {
        i64::MIN
    } else {
        i64::MAX
    })
}
