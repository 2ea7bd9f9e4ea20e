//! Calls held to a balance from their INVITE to their posting: the charger that grants them and the stage that prices them, together.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use model::{Body, Cdr, CdrId, Currency, Directory, LedgerAccount};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::contracts::{at, top_up};
use super::house::{House, free_time, record, to, unanswered};
use super::stage::ALICE;
use crate::{Charger, Funds, RatingSnapshot, Verdict, contract_key, contract_of};

/// Seconds granted at a time, and what they cost at the dearest rate, in cents.
const QUANTUM: u32 = 60;
const QUANTUM_CENTS: i64 = 100;

#[derive(Debug, Clone)]
enum Planned {
    /// To whom, seconds after the step before, how long it would last, 0 if nobody answers, how long its record and then its postings take, whether it is priced
    /// again and how much later, and whether a record is made while it is up.
    Call {
        prefix: u64,
        gap: i64,
        wanted: i64,
        record: i64,
        posting: i64,
        again: Option<i64>,
        partial: Option<i64>,
    },
    /// Cents, seconds after the step before.
    TopUp { cents: i64, gap: i64 },
}

fn planned() -> impl Strategy<Value = Vec<Planned>> {
    let call = (
        prop::sample::select(vec![33u64, 44, 44, 49]),
        0i64..60,
        prop_oneof![1 => Just(0i64), 4 => 1i64..400],
        0i64..200,
        0i64..30,
        prop::option::of(0i64..500),
        prop::option::weighted(0.3, 1i64..300),
    );
    let call = call.prop_map(|(prefix, gap, wanted, record, posting, again, partial)| Planned::Call {
        prefix,
        gap,
        wanted,
        record,
        posting,
        again,
        partial,
    });
    let top_up = (1i64..300, 0i64..90).prop_map(|(cents, gap)| Planned::TopUp { cents, gap });
    prop::collection::vec(prop_oneof![7 => call, 1 => top_up], 1..14)
}

/// What happens at a second: in the order of the numbers where several do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The postings of the house up to this one reach the charger.
    Posted(usize),
    Record,
    /// It is up, and a record says what it has come to.
    Partial,
    Again,
    TopUp(i64),
    /// Its grant is nearly used up, or used up; it would last so long.
    Due,
    Begin,
}

/// One account, its calls, the clock.
struct Street {
    house: House,
    charger: Charger,
    begun: DateTime<Utc>,
    events: std::collections::BTreeSet<(i64, Event, usize)>,
    calls: BTreeMap<usize, (Cdr, i64, u32)>,
    plans: Vec<Planned>,
    n_told: usize,
    /// Calls that were priced, and how many postings there were then.
    rated: Vec<(usize, CdrId)>,
}

impl Street {
    fn new(rows: Directory, plans: Vec<Planned>) -> Street {
        let snapshot = Arc::new(RatingSnapshot::build(Arc::new(rows.clone()), None).unwrap());
        let mut house = House::new(rows);
        let begun = at("2026-10-05T10:00:00Z");
        // The contract opens with the first thing that happens to it.
        house.apply(top_up("0.01", "2026-10-05T09:00:00Z"));
        let held = house.standing().held;
        let funds = Funds {
            micros: model::to_micros(held.balance()).unwrap(),
            seconds: u64::try_from(held.free_seconds).unwrap(),
        };
        let charger = Charger::new(snapshot, QUANTUM, [(ALICE, funds)]);
        let mut events = std::collections::BTreeSet::new();
        let mut now = 0;
        for (n, plan) in plans.iter().enumerate() {
            match plan {
                Planned::Call { gap, .. } => {
                    now += gap;
                    events.insert((now, Event::Begin, n));
                }
                Planned::TopUp { cents, gap } => {
                    now += gap;
                    events.insert((now, Event::TopUp(*cents), n));
                }
            }
        }
        let n_told = house.postings.len();
        Street { house, charger, begun, events, calls: BTreeMap::new(), plans, n_told, rated: Vec::new() }
    }

    fn at(&self, seconds: i64) -> DateTime<Utc> {
        self.begun + TimeDelta::seconds(seconds)
    }

    fn step(&mut self) -> bool {
        let Some((now, event, n)) = self.events.pop_first() else { return false };
        self.charger.forget_rated();
        match event {
            Event::Begin => self.begin(now, n),
            Event::Due => self.due(now, n),
            Event::Record => self.apply(now, n, |_, cdr| record(cdr)),
            Event::Partial => self.partial(now, n),
            Event::Again => {
                self.apply(now, n, |house, cdr| Body::Rated(Box::new(house.last[&cdr.id].clone())))
            }
            Event::TopUp(cents) => {
                let amount = Decimal::new(cents, 2).to_string();
                // Named by its time: two are never at the same.
                let when = self.at(now) + TimeDelta::microseconds(i64::try_from(n).unwrap());
                self.house.apply(top_up(&amount, &when.to_rfc3339()));
                self.tell(now, 1, n);
            }
            Event::Posted(up_to) => {
                for posting in &self.house.postings[self.n_told.min(up_to)..up_to] {
                    self.charger.posted(posting);
                }
                self.n_told = self.n_told.max(up_to);
                for (_, call) in self.rated.extract_if(.., |(n_postings, _)| *n_postings <= self.n_told) {
                    self.charger.rated(call);
                }
            }
        }
        true
    }

    fn begin(&mut self, now: i64, n: usize) {
        let Planned::Call { prefix, wanted, record, .. } = self.plans[n] else { return };
        let cdr = to(prefix, u32::try_from(n).unwrap(), "10:00:00", 0);
        let parties = ("43660555123".to_owned(), cdr.destination.user_in.to_string());
        let Verdict::Seconds(_) = self.charger.begin(cdr.id, ALICE, parties, self.at(now)) else { return };
        if wanted == 0 {
            self.charger.end(cdr.id, 0, self.at(now));
            let attempt = Cdr { init_at: self.at(now), start_at: self.at(now), ..unanswered(0, cdr) };
            self.calls.insert(n, (attempt, now, 0));
            self.events.insert((now + record, Event::Record, n));
            return;
        }
        let Verdict::Seconds(granted) = self.charger.answered(cdr.id, self.at(now)) else { return };
        let cdr = Cdr { start_at: self.at(now), ..cdr };
        self.calls.insert(n, (cdr, now, granted));
        if let Planned::Call { partial: Some(after), .. } = self.plans[n] {
            self.events.insert((now + after, Event::Partial, n));
        }
        self.next_due(n, now, wanted, granted);
    }

    fn next_due(&mut self, n: usize, began: i64, wanted: i64, granted: u32) {
        let over = wanted.min(i64::from(granted));
        self.events.insert((began + over, Event::Due, n));
    }

    /// It hangs up, goes on, or is cut.
    fn due(&mut self, now: i64, n: usize) {
        let Planned::Call { wanted, record, .. } = self.plans[n] else { return };
        let (cdr, began, granted) = self.calls[&n].clone();
        let lasted = now - began;
        if lasted < wanted
            && let Verdict::Seconds(more) = self.charger.extend(cdr.id)
            && more > granted
        {
            self.calls.get_mut(&n).unwrap().2 = more;
            return self.next_due(n, began, wanted, more);
        }
        let answered_us = u64::try_from(lasted).unwrap() * 1_000_000;
        self.charger.end(cdr.id, answered_us, self.at(now));
        self.calls.get_mut(&n).unwrap().0.duration_us = answered_us;
        self.events.insert((now + record, Event::Record, n));
    }

    fn partial(&mut self, now: i64, n: usize) {
        let Planned::Call { posting, .. } = self.plans[n] else { return };
        let (cdr, began, _) = &mut self.calls.get_mut(&n).unwrap();
        if cdr.duration_us > 0 || now == *began {
            // It is over.
            return;
        }
        let duration_us = u64::try_from(now - *began).unwrap() * 1_000_000;
        let up = Cdr { partial: true, duration_us, ..cdr.clone() };
        cdr.revision += 1;
        self.house.apply(record(up));
        self.tell(now, posting, n);
    }

    fn apply(&mut self, now: i64, n: usize, body: impl Fn(&House, Cdr) -> Body) {
        let Planned::Call { posting, ref mut again, .. } = self.plans[n] else { return };
        if let Some(after) = again.take() {
            self.events.insert((now + after, Event::Again, n));
        }
        let body = body(&self.house, self.calls[&n].0.clone());
        self.house.apply(body);
        self.rated.push((self.house.postings.len(), self.calls[&n].0.id));
        self.tell(now, posting, n);
    }

    /// Postings go to the charger in their order, some seconds later.
    fn tell(&mut self, now: i64, after: i64, n: usize) {
        self.events.insert((now + after, Event::Posted(self.house.postings.len()), n));
    }

    /// Own money and free cash less debts, in cents.
    fn cents(&self) -> Decimal {
        self.house.standing().held.balance() * Decimal::from(100)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever calls, top-ups, records and re-ratings come in whatever order, with whatever delay: an account never goes below its limit by
    /// more than one quantum, its balance is the sum of its postings, and all of them together are zero.
    #[test]
    fn nothing_takes_an_account_past_its_limit(
        plans in planned(), prepaid: bool, limit in 0i64..200, money in 0i64..400, minutes in 0u64..16, cash in 0i64..150,
    ) {
        let mut rows = free_time(prepaid, minutes * 30, &Decimal::new(cash, 2).to_string());
        rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::new(limit, 2));
        rows.tariffs[0].fees.iter_mut().for_each(|fee| fee.failed_attempt_fee = "0.2".parse().unwrap());
        let mut plans = plans;
        plans.insert(0, Planned::TopUp { cents: money + 1, gap: 0 });
        let mut street = Street::new(rows, plans);
        while street.step() {
            let cents = street.cents();
            prop_assert!(cents >= Decimal::from(-limit - QUANTUM_CENTS), "{cents} cents with a limit of {limit}");
            let mut sums: BTreeMap<Currency, Decimal> = BTreeMap::new();
            let mut own: BTreeMap<LedgerAccount, Decimal> = BTreeMap::new();
            for posting in &street.house.postings {
                let amount = posting.amount.amount;
                for (side, amount) in [(posting.debit, -amount), (posting.credit, amount)] {
                    *sums.entry(posting.amount.currency).or_default() += amount;
                    *own.entry(side).or_default() += amount;
                }
            }
            prop_assert!(sums.values().all(Decimal::is_zero), "{sums:?}");
            let contract = contract_of(&street.house.entries[&contract_key(ALICE)]).unwrap();
            let of = |side| own.get(&side).copied().unwrap_or_default();
            prop_assert_eq!(of(LedgerAccount::Cash(ALICE)), model::from_micros(contract.own_micros));
            prop_assert_eq!(of(LedgerAccount::FreeCash(ALICE)), model::from_micros(contract.running().left.micros));
            prop_assert_eq!(of(LedgerAccount::FreeTime(ALICE)), Decimal::from(contract.running().left.seconds));
        }
        // In the end the charger has what the ledger has. What calls were posted for less than was reckoned, because others used the free
        // time that they were granted by, is kept back until it is forgotten.
        street.charger.forget(at("2027-01-01T00:00:00Z"));
        let (funds, held) = street.charger.funds(ALICE);
        prop_assert_eq!(model::from_micros(funds.micros), street.house.standing().held.balance());
        prop_assert_eq!((held.micros, held.seconds), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Attempts alone never take an account below its limit, however long their records and postings take.
    #[test]
    fn no_attempt_takes_an_account_past_its_limit(
        plans in planned(), prepaid: bool, limit in 0i64..200, money in 0i64..400, minutes in 0u64..16,
    ) {
        let mut rows = free_time(prepaid, minutes * 30, "0");
        rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::new(limit, 2));
        rows.tariffs[0].fees.iter_mut().for_each(|fee| fee.failed_attempt_fee = "0.2".parse().unwrap());
        let mut plans = plans;
        plans.insert(0, Planned::TopUp { cents: money + 1, gap: 0 });
        for plan in &mut plans {
            if let Planned::Call { wanted, record, .. } = plan {
                // Rating may be minutes behind.
                (*wanted, *record) = (0, *record * 3);
            }
        }
        let mut street = Street::new(rows, plans);
        while street.step() {
            let cents = street.cents();
            prop_assert!(cents >= Decimal::from(-limit), "{cents} cents with a limit of {limit}");
        }
    }
}

#[test]
fn free_time_that_another_call_is_given_in_the_end_does_not_take_the_balance_past_zero() {
    // A free minute and a balance of 0.12: the dear call gets the minute, the cheap one is granted two for its money. The cheap one's record
    // comes first and takes the minute.
    let call = |prefix, gap, record| Planned::Call {
        prefix,
        gap,
        wanted: 60,
        record,
        posting: 1,
        again: None,
        partial: None,
    };
    let plans = vec![Planned::TopUp { cents: 12, gap: 0 }, call(44, 5, 100), call(49, 1, 0)];
    let mut street = Street::new(free_time(true, 60, "0"), plans);
    while street.step() {
        assert!(street.cents() >= Decimal::ZERO, "{}", street.cents());
    }
    assert!(!street.house.last.is_empty(), "some call was let through");
}

#[test]
fn free_time_that_a_cheap_call_goes_on_with_is_not_counted_on_by_dear_ones() {
    // Three free minutes and a balance of 0.12. Three calls at once have a minute each; the cheap one, which began first, would go on for
    // two more, and its record comes first.
    let call = |prefix, gap, wanted, record| Planned::Call {
        prefix,
        gap,
        wanted,
        record,
        posting: 1,
        again: None,
        partial: None,
    };
    let plans = vec![
        Planned::TopUp { cents: 12, gap: 0 },
        call(49, 5, 180, 0),
        call(44, 1, 60, 200),
        call(44, 1, 60, 200),
    ];
    let mut street = Street::new(free_time(true, 180, "0"), plans);
    while street.step() {
        assert!(street.cents() >= Decimal::ZERO, "{}", street.cents());
    }
    assert!(!street.house.last.is_empty(), "some call was let through");
}

#[test]
fn free_time_of_a_call_whose_record_is_late_is_not_counted_on_by_the_next() {
    // Four free minutes and a balance of 0.01. The first call has two of them, beside another that has one; its record comes minutes after its
    // end, when the third begins.
    let call = |gap, wanted, record| Planned::Call {
        prefix: 44,
        gap,
        wanted,
        record,
        posting: 1,
        again: None,
        partial: None,
    };
    let plans =
        vec![Planned::TopUp { cents: 1, gap: 0 }, call(5, 120, 600), call(1, 60, 0), call(200, 240, 0)];
    let mut street = Street::new(free_time(true, 240, "0"), plans);
    while street.step() {
        assert!(street.cents() >= Decimal::ZERO, "{}", street.cents());
    }
    let minutes: Vec<u64> = street.calls.values().map(|(cdr, ..)| cdr.duration_us / 60_000_000).collect();
    assert_eq!(minutes, [2, 1, 1]);
    assert_eq!((street.charger.n_holds(), street.charger.funds(ALICE).1), (0, Funds::default()));
}
