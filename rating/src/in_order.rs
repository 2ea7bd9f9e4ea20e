//! Free time of an interval in the order in which its calls began, whatever order their records come in.
//!
//! A call whose record comes late is priced with the free time that is left then, like any other. Beside that, each interval is given out
//! here once more in the order of starts: a call before the border has all that it wants, one after it nothing. A record moves the border by no more than
//! what it wants itself, so only the calls that the border passes are priced again, by their own tariff version and by what was known of their
//! numbers then. By how much they cost more or less is what the record carries ([`Contract::shift`]); records and
//! invoices of the others stay what they are.
//!
//! In: calls as they are priced, corrected and forgotten. Out: what the interval's calls cost more in order than they were charged, and
//! the free time that is left; or that it cannot be told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use model::{AccountId, CdrId, Direction, PortedNumber, ProfileVersionId};
use serde::{Deserialize, Serialize};

use crate::balance::{Contract, Due, Grant, Interval, Stretch, Taken};
use crate::contracts::price_by_interval;
use crate::posted::PostedCalls;
use crate::price::CallToPrice;
use crate::snapshot::RatingSnapshot;
use crate::tariff::Tariff;

/// Calls that one record may move the border past. A longer one, in an interval with so many short ones, leaves them as they were priced.
const PASSED_MAX: usize = 4_096;

/// More than any call wants.
const ALL_IT_WANTS: u64 = i64::MAX.unsigned_abs();

/// Where a call is in the order.
pub(crate) type Place = (DateTime<Utc>, CdrId);

/// All that the price of a call depends on, but for the free time at hand.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Again {
    pub(crate) account: AccountId,
    version: ProfileVersionId,
    source: String,
    destination: String,
    start: DateTime<Utc>,
    duration_us: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ported: Option<PortedNumber>,
    pub(crate) spans: Vec<Span>,
}

/// An interval that a call touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub(crate) stretch: Stretch,
    /// Free seconds of it that the call would use if there were enough for all.
    pub(crate) wants: u64,
}

/// Without the numbers of the call.
impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Again { account, version, start, spans, .. } = self;
        let mut shown = f.debug_struct("Again");
        shown.field("account", account).field("version", version).field("start", start);
        shown.field("spans", spans).finish_non_exhaustive()
    }
}

impl Again {
    /// Of a call that was priced with what was left in the intervals it touched. `None`: it cannot be priced with more.
    pub(crate) fn of(
        account: AccountId,
        tariff: &Tariff,
        call: &CallToPrice<'_>,
        touched: &[Interval],
        dues: &[Due],
    ) -> Option<Again> {
        let in_interval = |dues: &[Due], start| -> u64 {
            dues.iter().filter(|due| due.interval == start).map(|due| due.free_seconds).sum()
        };
        let gives = |interval: &Interval| interval.granted.seconds > 0;
        let has_all = touched.iter().all(|interval| {
            !gives(interval) || in_interval(dues, interval.stretch.start) < interval.left.seconds
        });
        let priced;
        let dues = if has_all {
            dues
        } else {
            let plenty = touched.iter().map(|interval| {
                let seconds = if gives(interval) { ALL_IT_WANTS } else { 0 };
                Interval { left: Grant { seconds, micros: 0 }, ..*interval }
            });
            priced = price_by_interval(tariff, call, &plenty.collect::<Vec<_>>()).ok()?.1;
            &priced
        };
        let spans = touched.iter().map(|interval| Span {
            stretch: interval.stretch,
            wants: in_interval(dues, interval.stretch.start),
        });
        Some(Again {
            account,
            version: tariff.version(),
            source: call.source.to_owned(),
            destination: call.destination.to_owned(),
            start: call.start,
            duration_us: call.duration_us,
            ported: call.ported.cloned(),
            spans: spans.collect(),
        })
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
    pub(crate) const fn place(&self, cdr: CdrId) -> Place {
        (self.start, cdr)
    }

    /// Its price by interval, with so much free time in each. `None`: it has none any more.
    fn priced(
        &self,
        snapshot: &RatingSnapshot,
        pattern: &Interval,
        free: &[u64],
    ) -> Option<Vec<(DateTime<Utc>, i64)>> {
        let tariff = snapshot.version(self.version)?;
        let touched = self.spans.iter().zip(free).map(|(span, seconds)| {
            let left = Grant { seconds: *seconds, micros: 0 };
            Interval { stretch: span.stretch, left, ..*pattern }
        });
        let (_, dues) = price_by_interval(tariff, &self.call(), &touched.collect::<Vec<_>>()).ok()?;
        Some(dues.iter().map(|due| (due.interval, due.price_micros)).collect())
    }
}

/// What a call wants of the free time of an interval, and what it has in order.
#[derive(Debug, Clone, Copy, Default)]
struct Turn {
    wants: u64,
    has: u64,
}

/// The calls of one interval that want free time.
#[derive(Debug, Default)]
struct Lane {
    turns: BTreeMap<Place, Turn>,
    /// What no call has; `None`: it has not been given out since the start.
    left: Option<u64>,
    /// Those that have some, and those that want more.
    having: BTreeSet<Place>,
    wanting: BTreeSet<Place>,
}

impl Lane {
    fn left(&mut self, granted: u64) -> u64 {
        if let Some(left) = self.left {
            return left;
        }
        let mut left = granted;
        for (place, turn) in &mut self.turns {
            turn.has = turn.wants.min(left);
            left -= turn.has;
            if turn.has > 0 {
                self.having.insert(*place);
            }
            if turn.has < turn.wants {
                self.wanting.insert(*place);
            }
        }
        self.left = Some(left);
        left
    }

    fn has(&self, place: Place) -> u64 {
        self.turns.get(&place).map_or(0, |turn| turn.has)
    }

    /// A call in its place, without anything yet.
    fn add(&mut self, place: Place, wants: u64) {
        if wants > 0 {
            self.turns.insert(place, Turn { wants, has: 0 });
            if self.left.is_some() {
                self.wanting.insert(place);
            }
        }
    }

    fn remove(&mut self, place: Place) {
        let Some(turn) = self.turns.remove(&place) else { return };
        self.having.remove(&place);
        self.wanting.remove(&place);
        self.left = self.left.map(|left| left + turn.has);
    }

    fn change(&mut self, place: Place, seconds: i64) {
        let Some(turn) = self.turns.get_mut(&place) else { return };
        turn.has = turn.has.saturating_add_signed(seconds);
        let turn = *turn;
        for (set, is_in) in [(&mut self.having, turn.has > 0), (&mut self.wanting, turn.has < turn.wants)] {
            if is_in {
                set.insert(place);
            } else {
                set.remove(&place);
            }
        }
    }

    /// Gives out in order what is left, and what later calls have that earlier ones want. Returns what each call that this changed had
    /// before; `None`: there are too many.
    fn settle(&mut self, granted: u64) -> Option<BTreeMap<Place, u64>> {
        let mut left = self.left(granted);
        let mut before = BTreeMap::new();
        while let Some(first) = self.wanting.first().copied() {
            let turn = self.turns[&first];
            let wanted = turn.wants - turn.has;
            let last = self.having.last().copied().filter(|last| *last > first);
            let given = match last {
                _ if left > 0 => {
                    let given = wanted.min(left);
                    left -= given;
                    given
                }
                Some(last) => {
                    let given = wanted.min(self.has(last));
                    before.entry(last).or_insert(self.has(last));
                    self.change(last, -i64::try_from(given).ok()?);
                    given
                }
                None => break,
            };
            before.entry(first).or_insert(turn.has);
            self.change(first, i64::try_from(given).ok()?);
            if before.len() > PASSED_MAX {
                return None;
            }
        }
        self.left = Some(left);
        Some(before)
    }
}

/// Of all accounts of a lane of the log that have free time.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    lanes: HashMap<(AccountId, DateTime<Utc>), Lane>,
}

/// A record and the one it replaces: what they want, and what was charged for them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange<'r> {
    pub(crate) cdr: CdrId,
    pub(crate) old: Option<(&'r Again, &'r Taken)>,
    pub(crate) new: Option<(&'r Again, &'r Taken)>,
}

impl Turns {
    /// A call that is known from before a start.
    pub(crate) fn know(&mut self, cdr: CdrId, again: &Again) {
        for span in again.spans.iter().filter(|span| span.wants > 0) {
            let lane = self.lanes.entry((again.account, span.stretch.start)).or_default();
            lane.add(again.place(cdr), span.wants);
        }
    }

    /// A call is not known any more.
    pub(crate) fn forget(&mut self, cdr: CdrId, again: &Again) {
        for span in &again.spans {
            let key = (again.account, span.stretch.start);
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.remove(again.place(cdr));
                if lane.turns.is_empty() {
                    self.lanes.remove(&key);
                }
            }
        }
    }

    /// Puts the new record in the place of the old one, gives the free time of their intervals out in order, and adds what the calls then
    /// cost more than they were charged to what their intervals lack, which are added to `changed`. `None` if it cannot be told of one of the
    /// intervals: what those in `changed` lack is not right then.
    pub(crate) fn exchange(
        &mut self,
        (snapshot, posted): (&RatingSnapshot, &PostedCalls),
        account: AccountId,
        contract: &mut Contract,
        exchange: Exchange<'_>,
        changed: &mut BTreeSet<DateTime<Utc>>,
    ) -> Option<()> {
        let known = known_spans(contract, exchange);
        for start in &known {
            let granted = contract.interval(*start)?.granted.seconds;
            self.lanes.entry((account, *start)).or_default().left(granted);
        }
        let Exchange { cdr, old, new } = exchange;
        if let Some((again, taken)) = old {
            self.lacks(snapshot, contract, (cdr, again, taken), -1)?;
            self.forget(cdr, again);
        }
        if let Some((again, _)) = new {
            self.know(cdr, again);
        }
        for start in &known {
            let granted = contract.interval(*start)?.granted.seconds;
            let Some(lane) = self.lanes.get_mut(&(account, *start)) else { continue };
            for (place, before) in lane.settle(granted)? {
                if place.1 != cdr {
                    let other = posted.get(place.1)?;
                    let other = (place, other.again.as_ref()?, other.taken.as_ref()?);
                    changed.extend(other.1.spans.iter().map(|span| span.stretch.start));
                    self.count_more(snapshot, contract, other, (*start, before))?;
                }
            }
        }
        if let Some((again, taken)) = new {
            self.lacks(snapshot, contract, (cdr, again, taken), 1)?;
        }
        Some(())
    }

    /// An interval is not given out in order any more.
    pub(crate) fn give_up(&mut self, account: AccountId, start: DateTime<Utc>) {
        self.lanes.remove(&(account, start));
    }

    /// Free seconds of an interval that no call has in order.
    pub(crate) fn left(&mut self, account: AccountId, start: DateTime<Utc>, granted: u64) -> u64 {
        self.lanes.get_mut(&(account, start)).map_or(granted, |lane| lane.left(granted))
    }

    /// Counts by how much a call costs more in order than it was charged, or with -1 counts it no longer.
    fn lacks(
        &mut self,
        snapshot: &RatingSnapshot,
        contract: &mut Contract,
        (cdr, again, taken): (CdrId, &Again, &Taken),
        sign: i64,
    ) -> Option<()> {
        let has = self.has_of(contract, (again.place(cdr), again, taken));
        let is_as_charged =
            again.spans.iter().zip(&has).all(|(span, has)| used_in(taken, span.stretch.start) == *has);
        if is_as_charged {
            return Some(());
        }
        let charged = taken.debits.iter().map(|(start, micros)| (*start, -micros));
        let more = again.priced(snapshot, contract.running(), &has)?.into_iter().chain(charged);
        count(contract, again, more.map(|(start, micros)| (start, micros * sign)))
    }

    /// Counts what a call costs more now than when it had `before` of the interval that begins at `start`.
    fn count_more(
        &mut self,
        snapshot: &RatingSnapshot,
        contract: &mut Contract,
        call: (Place, &Again, &Taken),
        (start, before): (DateTime<Utc>, u64),
    ) -> Option<()> {
        let (_, again, _) = call;
        let mut has = self.has_of(contract, call);
        let now = again.priced(snapshot, contract.running(), &has)?;
        let place = again.spans.iter().position(|span| span.stretch.start == start)?;
        has[place] = before;
        let then = again.priced(snapshot, contract.running(), &has)?;
        let then = then.into_iter().map(|(start, micros)| (start, -micros));
        count(contract, again, now.into_iter().chain(then))
    }

    /// What a call has of each of its intervals: in order, or where that is not known, as it was charged.
    fn has_of(&mut self, contract: &Contract, (place, again, taken): (Place, &Again, &Taken)) -> Vec<u64> {
        let of_span = |span: &Span| {
            let start = span.stretch.start;
            let granted = contract.interval(start).map_or(0, |interval| interval.granted.seconds);
            match self.lanes.get_mut(&(again.account, start)).filter(|_| is_known(contract, start)) {
                Some(lane) => {
                    lane.left(granted);
                    lane.has(place)
                }
                None => used_in(taken, start),
            }
        };
        again.spans.iter().map(of_span).collect()
    }
}

/// Free seconds of an interval that a call was charged with.
fn used_in(taken: &Taken, start: DateTime<Utc>) -> u64 {
    taken.of_grants.iter().filter(|(of, _)| *of == start).map(|(_, grant)| grant.seconds).sum()
}

/// Counts by interval what a call costs more. What a rounding or a bound moves to an interval that is not known counts in its first one.
fn count(
    contract: &mut Contract,
    again: &Again,
    more: impl Iterator<Item = (DateTime<Utc>, i64)>,
) -> Option<()> {
    let starts = again.spans.iter().map(|span| span.stretch.start);
    let first = starts.clone().find(|start| is_known(contract, *start))?;
    for (start, micros) in more {
        let start = if is_known(contract, start) { start } else { first };
        contract.count_lacking(start, micros)?;
    }
    Some(())
}

/// Whether all calls of an interval are known, and it gives free time.
pub(crate) fn is_known(contract: &Contract, start: DateTime<Utc>) -> bool {
    let gives = contract.interval(start).is_some_and(|interval| interval.granted.seconds > 0);
    gives && contract.order(start).is_some_and(|order| !order.is_unknown)
}

/// The intervals of both records whose calls are all known.
pub(crate) fn known_spans(contract: &Contract, exchange: Exchange<'_>) -> Vec<DateTime<Utc>> {
    let both = [exchange.old, exchange.new].into_iter().flatten();
    let starts: BTreeSet<DateTime<Utc>> =
        both.flat_map(|(again, _)| &again.spans).map(|span| span.stretch.start).collect();
    starts.into_iter().filter(|start| is_known(contract, *start)).collect()
}
