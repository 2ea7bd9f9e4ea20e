//! What calls of an interval cost in the order in which they began, whatever order their records came in.
//!
//! Free time goes to calls in the order of their starts. A call whose record comes late is priced with the free time that is left then,
//! like any other; here is reckoned what the calls that are known would cost and use in order, each by its own tariff version and by
//! what was known of its number when it was priced. The difference becomes a posting of the call that brought it about
//! (`out_of_order`). No call is priced anew for it: records and invoices of the others stay what they are.
//!
//! In: a balance, the calls that are known. Out: [`Reordered`], or that it cannot be known.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Direction, PortedNumber, ProfileVersionId};
use serde::{Deserialize, Serialize};

use crate::balance::{Contract, Grant, Interval, Place, Reordered, Stretch, Taken, Usage, UsageShift};
use crate::contracts::{price_by_interval, price_by_usage};
use crate::price::CallToPrice;
use crate::snapshot::RatingSnapshot;

/// All that the price of a call depends on, but for the free time at hand: to reckon it again as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Again {
    pub(crate) account: AccountId,
    version: ProfileVersionId,
    source: String,
    destination: String,
    start: DateTime<Utc>,
    duration_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ported: Option<PortedNumber>,
    /// The intervals it touches.
    pub(crate) spans: Vec<Stretch>,
}

impl Again {
    pub(crate) fn of(
        account: AccountId,
        version: ProfileVersionId,
        call: &CallToPrice<'_>,
        touched: &[Interval],
    ) -> Again {
        Again {
            account,
            version,
            source: call.source.to_owned(),
            destination: call.destination.to_owned(),
            start: call.start,
            duration_us: call.duration_us,
            ported: call.ported.cloned(),
            spans: touched.iter().map(|interval| interval.stretch).collect(),
        }
    }

    fn call(&self) -> CallToPrice<'_> {
        CallToPrice {
            source: &self.source,
            destination: &self.destination,
            direction: Direction::Out,
            start: self.start,
            duration_us: self.duration_us,
            ported: self.ported.as_ref(),
        }
    }

    /// Where it is in the order.
    pub(crate) fn place(&self, cdr: CdrId) -> Place {
        (self.start, cdr)
    }
}

/// A call that was priced, and what it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'k> {
    pub(crate) cdr: CdrId,
    pub(crate) again: &'k Again,
    pub(crate) taken: &'k Taken,
}

impl Known<'_> {
    fn free_seconds_in(&self, start: DateTime<Utc>) -> i64 {
        let grants = self.taken.of_grants.iter().filter(|(of, _)| *of == start);
        let seconds: u64 = grants.map(|(_, grant)| grant.seconds).sum();
        let shifts = self.taken.shifts.seconds.iter().filter(|(of, _)| *of == start);
        i64::try_from(seconds).unwrap_or(i64::MAX) + shifts.map(|(_, seconds)| seconds).sum::<i64>()
    }
}

/// What calls have taken, and what is owed for them, millionths.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Paid {
    pub(crate) own: i64,
    pub(crate) owed: i64,
}

/// What the calls that touch these intervals have taken.
pub(crate) fn paid_in(known: &[Known<'_>], spans: &[Stretch]) -> Paid {
    let touches = |call: &&Known<'_>| {
        call.again.spans.iter().any(|span| spans.iter().any(|other| other.start == span.start))
    };
    known.iter().filter(touches).fold(Paid::default(), |mut paid, call| {
        paid.own += call.taken.own_micros;
        paid.owed += call.taken.cost_micros() - call.taken.own_micros - call.taken.free_micros();
        paid
    })
}

/// Whether a call that has just been priced may have taken free time from those that began after it, or found it taken by them.
/// `replaced` is what it took when it was priced before.
pub(crate) fn is_out_of_order(
    contract: &Contract,
    place: Place,
    spans: &[Stretch],
    replaced: Option<&Taken>,
) -> bool {
    let frees_time = replaced.is_some_and(|taken| taken.free_seconds() > 0);
    // What it set right for others went with its record before.
    let set_right = replaced.is_some_and(|taken| !taken.shifts.is_empty());
    spans.iter().filter_map(|span| contract.interval(span.start)).any(|interval| {
        let order = interval.order;
        if interval.granted.seconds == 0 {
            return false;
        }
        if set_right || replaced.is_some() && order.is_shifted {
            return true;
        }
        let is_last = !frees_time && order.last.is_none_or(|last| last <= place);
        let is_after_free_time = !frees_time && order.free_until.is_some_and(|until| until < place);
        let is_enough_for_all = order.free_until.is_none() && interval.left.seconds > 0;
        !(is_last || is_after_free_time || is_enough_for_all)
    })
}

/// What the order of starts makes of the calls in the intervals of `spans`. `known` are all calls of the account that are known, the one
/// that brought this about included, in that order. `None`: it cannot be known.
pub(crate) fn reorder(
    snapshot: &RatingSnapshot,
    contract: &Contract,
    known: &[Known<'_>],
    spans: &[Stretch],
) -> Option<Reordered> {
    let mut free: BTreeMap<DateTime<Utc>, Pool> = BTreeMap::new();
    for interval in spans.iter().filter_map(|span| contract.interval(span.start)) {
        if interval.order.is_unknown {
            return None;
        }
        if interval.granted.seconds > 0 {
            let pool = Pool { seconds: interval.granted.seconds, until: None };
            free.insert(interval.stretch.start, pool);
        }
    }
    let concerned = |call: &Known<'_>| call.again.spans.iter().any(|span| free.contains_key(&span.start));
    let calls: Vec<Known<'_>> = known.iter().copied().filter(|call| concerned(call)).collect();
    for start in free.keys() {
        // Somebody took free time that is not known any more.
        let interval = contract.interval(*start)?;
        let used = i128::from(interval.granted.seconds) - left_of(interval);
        let known: i64 = calls.iter().map(|call| call.free_seconds_in(*start)).sum();
        if used != i128::from(known) {
            return None;
        }
    }
    let mut usage = Usages::before(contract, &calls, &free)?;
    let mut money: BTreeMap<DateTime<Utc>, i64> = BTreeMap::new();
    let mut paid_micros = 0i64;
    let (mut own_micros, mut cost_micros) = (0i64, 0i64);
    for call in &calls {
        for (start, micros) in in_order(snapshot, contract, call, &mut free, &mut usage)? {
            *money.entry(start).or_default() += micros;
        }
        for (start, micros) in &call.taken.debits {
            *money.entry(*start).or_default() -= micros;
            cost_micros += micros;
        }
        own_micros += call.taken.own_micros;
        paid_micros += call.taken.own_micros + call.taken.free_micros();
    }
    let mut reordered = Reordered {
        money: money.into_iter().filter(|(_, micros)| *micros != 0).collect(),
        usage: usage.shifts(contract),
        own_micros,
        owed_micros: cost_micros - paid_micros,
        ..Reordered::default()
    };
    for (start, pool) in free {
        let more = i64::try_from(left_of(contract.interval(start)?) - i128::from(pool.seconds)).ok()?;
        if more != 0 {
            reordered.seconds.push((start, more));
        }
        reordered.free_until.push((start, pool.until));
    }
    Some(reordered)
}

/// Free seconds of an interval; below 0 while a record is replaced that had given some to others.
fn left_of(interval: &Interval) -> i128 {
    i128::from(interval.left.seconds) - i128::from(interval.order.short_seconds)
}

/// Free time of an interval, given out in order.
#[derive(Debug, Clone, Copy)]
struct Pool {
    seconds: u64,
    /// The call that took the last of it.
    until: Option<Place>,
}

/// What one call costs with what is left for it, by the interval's start.
fn in_order(
    snapshot: &RatingSnapshot,
    contract: &Contract,
    call: &Known<'_>,
    free: &mut BTreeMap<DateTime<Utc>, Pool>,
    usage: &mut Usages,
) -> Option<Vec<(DateTime<Utc>, i64)>> {
    let tariff = snapshot.version(call.again.version)?;
    let pattern = contract.running();
    let touched = call.again.spans.iter().map(|span| {
        let seconds = match free.get(&span.start) {
            Some(pool) => pool.seconds,
            // Not in question: it keeps what it took.
            None => u64::try_from(call.free_seconds_in(span.start)).unwrap_or(0),
        };
        Interval { stretch: *span, left: Grant { seconds, micros: 0 }, ..*pattern }
    });
    let touched: Vec<Interval> = touched.collect();
    let (mut priced, mut dues) = price_by_interval(tariff, &call.again.call(), &touched).ok()?;
    let before = |interval, version| usage.at(interval, version);
    let used = price_by_usage(tariff, &before, &touched[0], &mut priced, &mut dues).ok()?;
    if let Some(used) = used {
        usage.count(&used)?;
    }
    for due in &dues {
        if let Some(pool) = free.get_mut(&due.interval) {
            pool.seconds = pool.seconds.saturating_sub(due.free_seconds);
            if pool.seconds == 0 && pool.until.is_none() {
                pool.until = Some(call.again.place(call.cdr));
            }
        }
    }
    Some(dues.iter().map(|due| (due.interval, due.price_micros)).collect())
}

/// What calls priced by usage count, without those that are set in order.
#[derive(Debug, Default)]
struct Usages(BTreeMap<(DateTime<Utc>, ProfileVersionId), (i64, i64)>);

impl Usages {
    fn before(
        contract: &Contract,
        calls: &[Known<'_>],
        free: &BTreeMap<DateTime<Utc>, Pool>,
    ) -> Option<Usages> {
        let mut before = Usages::default();
        for call in calls {
            let of_call = call.taken.usage.iter().map(|used| UsageShift {
                interval: used.interval,
                version: used.version,
                seconds: i64::try_from(used.seconds).unwrap_or(i64::MAX),
                micros: used.micros,
            });
            for shift in of_call.chain(call.taken.shifts.usage.iter().copied()) {
                if !free.contains_key(&shift.interval) {
                    // It counts in an interval whose other calls were not looked at.
                    return None;
                }
                let entry = before.entry(contract, shift.interval, shift.version);
                *entry = (entry.0 - shift.seconds, entry.1 - shift.micros);
            }
        }
        Some(before)
    }

    fn entry(
        &mut self,
        contract: &Contract,
        interval: DateTime<Utc>,
        version: ProfileVersionId,
    ) -> &mut (i64, i64) {
        self.0.entry((interval, version)).or_insert_with(|| {
            let used = contract.used(interval, version);
            (i64::try_from(used.seconds).unwrap_or(i64::MAX), used.micros)
        })
    }

    fn at(&self, interval: DateTime<Utc>, version: ProfileVersionId) -> Usage {
        let (seconds, micros) = self.0.get(&(interval, version)).copied().unwrap_or_default();
        Usage { interval, version, seconds: u64::try_from(seconds).unwrap_or(0), micros }
    }

    fn count(&mut self, used: &Usage) -> Option<()> {
        let entry = self.0.entry((used.interval, used.version)).or_default();
        *entry = (entry.0.checked_add(i64::try_from(used.seconds).ok()?)?, entry.1.checked_add(used.micros)?);
        Some(())
    }

    fn shifts(&self, contract: &Contract) -> Vec<UsageShift> {
        let shifts = self.0.iter().map(|((interval, version), (seconds, micros))| {
            let now = contract.used(*interval, *version);
            UsageShift {
                interval: *interval,
                version: *version,
                seconds: seconds - i64::try_from(now.seconds).unwrap_or(i64::MAX),
                micros: micros - now.micros,
            }
        });
        shifts.filter(|shift| (shift.seconds, shift.micros) != (0, 0)).collect()
    }
}
