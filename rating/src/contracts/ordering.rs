//! Records out of order: what they carry for the other calls of their intervals, and the postings that say so.
//!
//! In: a record as it was priced, and what is known of the calls of its intervals. Out: its charge with what it carries, and postings. How free
//! time is given out in order is in [`crate::in_order`].

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use model::{
    AccountId, Body, Cdr, CdrId, Currency, Effects, LedgerAccount, Money, Posting, PostingId, PostingReason,
    RatedCdr, Topic, from_micros,
};
use rust_decimal::Decimal;

use super::view::{View, earned_by};
use super::{Contracts, Kept, Movement, Spent};
use crate::balance::{Moved, Outcome, Shift, Stated, Taken};
use crate::in_order::{Again, Exchange, Turns, is_known, known_spans};
use crate::parties::is_of_payer;
use crate::posted::{Posted, PostedCalls};
use crate::snapshot::RatingSnapshot;

impl Contracts {
    /// Gives the free time of a call's intervals out in order, and lets the record carry what the calls then cost more than they were
    /// charged. An account that is held to what it has only gets back: its calls were let by what it had.
    pub(crate) fn set_in_order(
        &mut self,
        (snapshot, posted): (&RatingSnapshot, &PostedCalls),
        rated: &mut RatedCdr,
        spent: &mut Spent,
        replaced: Option<&Posted>,
        effects: &mut Effects,
    ) {
        let is_due = spent.kept.contract.due_orders().next().is_some();
        if spent.touched.is_empty() && replaced.is_none() && !is_due {
            return;
        }
        let Ok(view) = self.view(snapshot, spent.account) else { return };
        let Spent { account, kept, outcome, taken, again, touched, rules, end, .. } = spent;
        let old = replaced.and_then(|known| Some((known.again.as_ref()?, known.taken.as_ref()?)));
        let exchange = Exchange { cdr: rated.cdr.id, old, new: again.as_ref().map(|again| (again, &*taken)) };
        let at = rated.cdr.start_at;
        let before = replaced.and_then(|known| known.taken.as_ref());
        let mut starts = giving_time(kept, old.map(|(again, _)| again), touched);
        // Free cash that a call leaves is there for the others, and what it had of theirs comes back.
        let priced = [before, Some(&*taken)].into_iter().flatten().flat_map(|taken| &taken.debits);
        let mut paid: BTreeSet<DateTime<Utc>> = priced.map(|(start, _)| *start).collect();
        paid.extend(before.iter().flat_map(|before| &before.shifts).map(|shift| shift.interval));
        paid.retain(|_| before.is_some() && !rules.compat);
        let mut notes = Notes { view: &view, cdr: &rated.cdr, effects };
        if starts.is_empty() && old.is_none() && again.as_ref().is_some_and(wants_time) {
            // Too late for any interval that is kept: its free time is gone.
            notes.state(kept, PostingReason::OutOfOrderUnknown);
        }
        let lost = exchange_turns(&mut self.turns, (snapshot, posted), *account, kept, exchange);
        let is_held = rules.prepaid || view.terms.contract.credit_limit.is_some();
        let n_before = outcome.happenings.len();
        let mut late = BTreeSet::new();
        for start in &starts {
            if kept.contract.comes_late(*start, at) || old.is_some() {
                late.insert(*start);
            }
        }
        // A call over the end of an interval may have changed what is due in another one than those of this record.
        starts.extend(kept.contract.due_orders());
        late.extend(&lost);
        starts.extend(lost);
        for start in starts {
            let is_known = is_known(&kept.contract, start);
            if is_known {
                leave_time(&mut self.turns, kept, start, outcome, &mut notes);
                let fallen = before.map_or(0, |before| price_in(before, start) - price_in(taken, start));
                let more = kept.contract.due_in_order(start, is_held, fallen);
                if more != 0 {
                    kept.contract.shift((at, start), more, rules, taken, outcome);
                    paid.remove(&start);
                }
            }
            notes.tell(kept, start, is_known, late.contains(&start));
        }
        for (start, more) in before.map_or_else(Vec::new, |before| below_nothing(kept, before, taken)) {
            kept.contract.shift((at, start), more, rules, taken, outcome);
            paid.remove(&start);
        }
        for start in paid {
            kept.contract.shift((at, start), 0, rules, taken, outcome);
        }
        // As what the call itself sets off.
        outcome.happenings[n_before..].iter_mut().for_each(|happening| *happening.at_mut() = *end);
        carry(rated, spent);
    }

    /// A record is not paid from a balance any more, for its payer has none.
    pub(crate) fn leave(&mut self, cdr: CdrId, known: &Posted) {
        if let Some(again) = &known.again {
            self.turns.forget(cdr, again);
        }
    }

    /// Knows of calls from before a start.
    pub(crate) fn know<'a>(&mut self, calls: impl Iterator<Item = (CdrId, &'a Again)>) {
        calls.for_each(|(cdr, again)| self.turns.know(cdr, again));
    }

    /// Calls are not known any more: what they had of an interval that is still kept cannot be told in order.
    pub(crate) fn forget(&mut self, calls: &[(CdrId, Again)]) {
        for (cdr, again) in calls {
            self.turns.forget(*cdr, again);
            let Some(kept) = self.kept.get_mut(&again.account) else { continue };
            for span in again.spans.iter().filter(|span| span.wants > 0) {
                let start = span.stretch.start;
                if kept.contract.order(start).is_some_and(|order| !order.is_unknown) {
                    kept.contract.lose_order(start);
                    self.dirty.insert(again.account);
                }
            }
        }
    }
}

fn wants_time(again: &Again) -> bool {
    again.spans.iter().any(|span| span.wants > 0)
}

/// The intervals of both records that give free time.
fn giving_time(kept: &Kept, old: Option<&Again>, touched: &[DateTime<Utc>]) -> BTreeSet<DateTime<Utc>> {
    let before = old.iter().flat_map(|again| &again.spans).map(|span| span.stretch.start);
    let gives = |start: &DateTime<Utc>| {
        kept.contract.interval(*start).is_some_and(|interval| interval.granted.seconds > 0)
    };
    before.chain(touched.iter().copied()).filter(gives).collect()
}

/// Puts the new record in the place of the old one. Returns the intervals of which it cannot be told any more what their calls cost in order.
fn exchange_turns(
    turns: &mut Turns,
    rooms: (&RatingSnapshot, &PostedCalls),
    account: AccountId,
    kept: &mut Kept,
    exchange: Exchange<'_>,
) -> BTreeSet<DateTime<Utc>> {
    let mut changed = known_spans(&kept.contract, exchange).into_iter().collect();
    if turns.exchange(rooms, account, &mut kept.contract, exchange, &mut changed).is_some() {
        return BTreeSet::new();
    }
    for start in &changed {
        kept.contract.lose_order(*start);
        turns.give_up(account, *start);
    }
    changed
}

/// Where the order of calls is not known any more, a record keeps what it carries for the others, but does not cost less than nothing for it
/// because it has become cheaper itself. Returns by interval how much too little that is.
fn below_nothing(kept: &Kept, before: &Taken, taken: &Taken) -> Vec<(DateTime<Utc>, i64)> {
    let shifts =
        taken.shifts.iter().filter(|shift| shift.sum() < 0 && !is_known(&kept.contract, shift.interval));
    let too_little = shifts.filter_map(|shift| {
        let carried = shift.sum();
        let least = price_in(before, shift.interval).saturating_add(carried).min(0);
        let now = price_in(taken, shift.interval).saturating_add(carried);
        let more = least.saturating_sub(now).min(carried.saturating_neg());
        (more > 0).then_some((shift.interval, more))
    });
    too_little.collect()
}

/// The price of a record in an interval, without what it carries.
fn price_in(taken: &Taken, start: DateTime<Utc>) -> i64 {
    let debits = taken.debits.iter().filter(|(of, _)| *of == start);
    debits.fold(0, |sum, (_, micros)| sum.saturating_add(*micros))
}

/// What no call of an interval has in order is what is left of it.
fn leave_time(
    turns: &mut Turns,
    kept: &mut Kept,
    start: DateTime<Utc>,
    outcome: &mut Outcome,
    notes: &mut Notes<'_, '_>,
) {
    let Some(granted) = kept.contract.interval(start).map(|interval| interval.granted.seconds) else {
        return;
    };
    let left = turns.left(notes.view.account(), start, granted);
    let fewer = kept.contract.leave_time(notes.cdr.start_at, start, left, outcome);
    if fewer != 0 {
        notes.move_time(kept, fewer);
    }
}

/// Adds what a record carries to its charge: cost and free cash together are the price everywhere.
fn carry(rated: &mut RatedCdr, spent: &mut Spent) {
    let shifts = &spent.taken.shifts;
    let sum = |part: fn(&Shift) -> i64| from_micros(shifts.iter().map(part).fold(0, i64::saturating_add));
    let of_balance = sum(|shift| shift.own_micros.saturating_add(shift.free_micros));
    let owed = sum(|shift| shift.owed_micros);
    if shifts.is_empty() {
        return;
    }
    let payer = rated.cdr.payer;
    if !rated.charges.iter().any(|charge| is_of_payer(charge, payer)) {
        rated.charges.extend(spent.nothing.take());
    }
    let Some(charge) = rated.charges.iter_mut().find(|charge| is_of_payer(charge, payer)) else { return };
    charge.flat = (charge.flat + of_balance + owed).normalize();
    if spent.rules.prepaid {
        spent.out_of_order = of_balance + owed;
    } else {
        spent.out_of_order = owed;
        charge.free_cash = (charge.free_cash + of_balance).normalize();
    }
    charge.cost = (charge.cost + spent.out_of_order).normalize();
    // Fragments add up to their charge.
    if let Some(last) = charge.fragments.last_mut() {
        last.cost = (last.cost + spent.out_of_order).normalize();
        if !spent.rules.prepaid {
            last.free_cash = (last.free_cash + of_balance).normalize();
        }
    }
}

/// Postings that concern a record and are no part of its price.
struct Notes<'n, 's> {
    view: &'n View<'s>,
    cdr: &'n Cdr,
    effects: &'n mut Effects,
}

impl Notes<'_, '_> {
    /// Says whether the calls of an interval stay as they were priced, if that is not said already.
    fn tell(&mut self, kept: &mut Kept, start: DateTime<Utc>, is_known: bool, is_late: bool) {
        let left = kept.contract.interval(start).map_or(0, |interval| interval.left.seconds);
        let Some(order) = kept.contract.order_mut(start) else { return };
        let why = match is_known {
            true => (order.lacks_micros > 0).then_some(PostingReason::OutOfOrderHeld),
            // While there is some left, each call has had what it wants.
            false => (is_late && left == 0).then_some(PostingReason::OutOfOrderUnknown),
        };
        let stated = match (why, order.stated) {
            (Some(why), None) => Some(self.state(kept, why)),
            (None, Some(stated)) if is_known => {
                self.withdraw(kept, stated);
                None
            }
            (Some(_) | None, stated) => stated,
        };
        if let Some(order) = kept.contract.order_mut(start) {
            order.stated = stated;
        }
    }

    /// Says that calls stay as they were priced.
    fn state(&mut self, kept: &mut Kept, why: PostingReason) -> Stated {
        let stated = Stated { number: kept.n_moves, cdr: self.cdr.id, at: self.cdr.start_at };
        let earned = earned_by(self.cdr.tenant, self.view.terms.account.reseller);
        self.post(kept, stated, (LedgerAccount::Cash(self.view.account()), earned), why, None);
        stated
    }

    /// They do not any more.
    fn withdraw(&mut self, kept: &mut Kept, stated: Stated) {
        let earned = earned_by(self.cdr.tenant, self.view.terms.account.reseller);
        let reversed = PostingId::of_balance(self.view.account(), stated.number);
        let own = LedgerAccount::Cash(self.view.account());
        self.post(kept, stated, (earned, own), PostingReason::Reversal, Some(reversed));
    }

    fn post(
        &mut self,
        kept: &mut Kept,
        Stated { cdr, at, .. }: Stated,
        (debit, credit): (LedgerAccount, LedgerAccount),
        reason: PostingReason,
        reverses: Option<PostingId>,
    ) {
        let account = self.view.account();
        let id = PostingId::of_balance(account, kept.n_moves);
        kept.n_moves += 1;
        let tenant = self.cdr.tenant;
        let amount = Money::new(Decimal::ZERO, self.view.terms.account.currency);
        let posting =
            Posting { id, tenant, account, at, debit, credit, amount, reason, cdr: Some(cdr), reverses };
        self.effects.append(Topic::Postings, account, Body::Posting(Box::new(posting)));
    }

    /// The calls of an interval have `fewer` free seconds left than by what each was priced with.
    fn move_time(&mut self, kept: &mut Kept, fewer: i64) {
        let account = self.view.account();
        let id = PostingId::of_balance(account, kept.n_moves);
        kept.n_moves += 1;
        let movement = Movement { at: self.cdr.start_at, what: Moved::CallTime, amount: -fewer };
        let grants = LedgerAccount::Grants(self.cdr.tenant);
        let base = self.view.posting(id, movement, grants, PostingReason::OutOfOrder);
        debug_assert_eq!(base.amount.currency, Currency::SECONDS);
        let posting = Posting { cdr: Some(self.cdr.id), ..base };
        self.effects.append(Topic::Postings, account, Body::Posting(Box::new(posting)));
    }
}
