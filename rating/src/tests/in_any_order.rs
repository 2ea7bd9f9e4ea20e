//! Whatever order calls become known in, and however often they are corrected and priced again: what must hold.

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use model::{Body, Cdr, Directory, Held, Package, PostingReason};
use proptest::prelude::*;
use rust_decimal::Decimal;

use super::contracts::{at, top_up};
use super::house::{House, free_time, month_that_discards, record, to, unanswered, with_package};
use super::in_order_later::at_least;
use super::stage::ALICE;
use crate::{contract_key, contract_of};

#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) prefix: u64,
    pub(super) gap_minutes: i64,
    pub(super) seconds: u64,
    /// It is known first as so many seconds.
    pub(super) partial: Option<u64>,
    /// Or it turns out in the end that nobody answered.
    pub(super) is_answered: bool,
    pub(super) is_rerated: bool,
    /// Of the moment in which it becomes known.
    pub(super) when: u32,
}

fn planned() -> impl Strategy<Value = Vec<Planned>> {
    let one = (
        prop::sample::select(vec![33u64, 44, 49]),
        1i64..15_000,
        0u64..400,
        prop::option::of(0u64..400),
        (prop::bool::weighted(0.8), any::<bool>()),
        0u32..1_000,
    );
    let one =
        one.prop_map(|(prefix, gap_minutes, seconds, partial, (is_answered, is_rerated), when)| Planned {
            prefix,
            gap_minutes,
            seconds,
            partial,
            is_answered,
            // Of one that never cost anything nothing is remembered.
            is_rerated: is_rerated && (is_answered || partial.is_some()),
            when,
        });
    prop::collection::vec(one, 1..14)
}

/// The final records, in the order of their starts.
fn records(calls: &[Planned]) -> Vec<Cdr> {
    let mut start_at = at("2026-10-01T00:00:00Z");
    let mut records = Vec::new();
    for (n, planned) in calls.iter().enumerate() {
        start_at += TimeDelta::minutes(planned.gap_minutes);
        let cdr = to(planned.prefix, u32::try_from(n).unwrap(), "10:00:00", 0);
        let revision = u32::from(planned.partial.is_some());
        let cdr = Cdr { start_at, revision, duration_us: planned.seconds * 1_000_000, ..cdr };
        records.push(if planned.is_answered { cdr } else { unanswered(revision, cdr) });
    }
    records
}

/// All that happens, in the order in which it becomes known.
fn in_disorder(house: &mut House, calls: &[Planned], reload: bool) {
    let mut steps: Vec<(u32, usize, u8)> = Vec::new();
    for (n, planned) in calls.iter().enumerate() {
        if planned.partial.is_some() {
            steps.push((planned.when / 2, n, 0));
        }
        steps.push((planned.when, n, 1));
        if planned.is_rerated {
            steps.push((planned.when * 2, n, 2));
        }
    }
    steps.sort_unstable();
    let records = records(calls);
    for (_, n, what) in steps {
        let cdr = records[n].clone();
        let body = match what {
            0 => {
                let duration_us = calls[n].partial.unwrap() * 1_000_000;
                let answered = to(calls[n].prefix, u32::try_from(n).unwrap(), "10:00:00", 0);
                record(Cdr { start_at: cdr.start_at, partial: true, duration_us, ..answered })
            }
            1 => record(cdr),
            _ => Body::Rated(Box::new(house.last[&cdr.id].clone())),
        };
        house.apply(body);
        if reload {
            house.reload();
        }
    }
}

/// In whatever order calls are known, corrected and priced again, with a stage that is loaded anew each time or not: what they cost in all
/// and what there is then is what it would be in the order of their starts, or a posting says why not.
pub(super) fn any_order_ends_alike(
    calls: &[Planned],
    mut rows: Directory,
    (held, reload): (bool, bool),
    topup: i64,
) -> Result<(), TestCaseError> {
    let prepaid = rows.tariffs[0].profile.prepaid;
    if held {
        rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::from(100));
    }
    let first = [top_up(&Decimal::new(topup, 2).to_string(), "2026-09-30T22:00:00Z")];
    let mut ordered = House::new(rows.clone());
    first.iter().cloned().for_each(|body| ordered.apply(body));
    for cdr in records(calls) {
        ordered.apply(record(Cdr { revision: 0, ..cdr }));
    }
    let last = Body::Tick(at("2026-12-20T00:00:00Z"));
    let mut house = House::new(rows);
    first.into_iter().for_each(|body| house.apply(body));
    in_disorder(&mut house, calls, reload);
    // A record that is longer at first may have touched the next month already.
    let after = Body::Tick(records(calls).last().unwrap().start_at + TimeDelta::hours(2));
    ordered.apply(after.clone());
    house.apply(after);
    let (there, here) = (ordered.standing(), house.standing());
    prop_assert!(ordered.of_order().is_empty(), "in order nothing is set right");
    let is_kept = house.of_order().iter().any(|posting| posting.amount.amount.is_zero());
    if is_kept {
        prop_assert!(prepaid || held, "all calls are known");
        prop_assert!(here.calls <= there.calls, "{} and not {}", here.calls, there.calls);
        prop_assert!(here.calls >= Decimal::ZERO, "{}: more is given back than was ever paid", here.calls);
    } else {
        prop_assert_eq!(here.calls, there.calls);
        prop_assert_eq!(here.held.free_seconds, there.held.free_seconds);
        prop_assert_eq!(here.held.free_cash, there.held.free_cash);
        // Own money that was short for one call may have come back from another that was priced again; together they are the same.
        prop_assert_eq!(here.held.balance(), there.held.balance());
        // So may it where a call lasts from one month into the next.
        let month = |at: DateTime<Utc>| (at + TimeDelta::hours(1)).month();
        let is_in_one = |cdr: Cdr| month(cdr.start_at) == month(cdr.end_at());
        let is_plain = |call: &Planned| call.partial.is_none() && !call.is_rerated;
        if calls.iter().all(is_plain) && records(calls).into_iter().all(is_in_one) {
            prop_assert_eq!(here.held, there.held);
        }
    }
    // The ledger's sums are the balance that is kept, to the end of the month and after.
    for tick in [None, Some(last)] {
        if let Some(tick) = tick {
            house.apply(tick);
        }
        let held = house.standing().held;
        let contract = contract_of(&house.entries[&contract_key(ALICE)]).unwrap();
        prop_assert_eq!(held.own, model::from_micros(contract.own_micros));
        prop_assert_eq!(held.free_cash, model::from_micros(contract.running().left.micros));
        prop_assert_eq!(held.free_seconds, Decimal::from(contract.running().left.seconds));
        if prepaid {
            prop_assert_eq!(held.owed, Decimal::ZERO);
        }
    }
    // What calls owe by their postings is what their records say.
    let owed: Decimal = house
        .postings
        .iter()
        .filter(|posting| posting.reason != PostingReason::Settlement)
        .map(|posting| Held::by(posting, ALICE).owed)
        .sum();
    let of_records: Decimal = house
        .last
        .values()
        .flat_map(|rated| &rated.charges)
        .filter(|charge| charge.account == ALICE)
        .map(|charge| charge.cost)
        .sum();
    prop_assert_eq!(owed, of_records);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Calls of some weeks.
    #[test]
    fn any_order_ends_in_the_same_balances(
        calls in planned(), prepaid: bool, held: bool, minutes in 0u64..12, cash in 0i64..300, topup in 0i64..900, reload: bool,
    ) {
        let rows = free_time(prepaid, minutes * 30, &Decimal::new(cash, 2).to_string());
        any_order_ends_alike(&calls, rows, (held, reload), topup)?;
    }
}

fn over_the_end_of_a_month() -> impl Strategy<Value = Vec<Planned>> {
    let one = (prop::sample::select(vec![33u64, 44, 49]), 1i64..6, 0u64..600, prop::option::of(0u64..600));
    let one = (one, (prop::bool::weighted(0.8), any::<bool>()), 0u32..1_000);
    let one =
        one.prop_map(|((prefix, gap_minutes, seconds, partial), (is_answered, is_rerated), when)| Planned {
            prefix,
            gap_minutes,
            seconds,
            partial,
            is_answered,
            is_rerated: is_rerated && (is_answered || partial.is_some()),
            when,
        });
    prop::collection::vec(one, 1..10).prop_map(|mut calls| {
        // From a quarter of an hour before the end of October in Vienna.
        calls[0].gap_minutes = (30 * 24 + 22) * 60 + 45;
        calls
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// As of the calls of some weeks, where many last from one month into the next.
    #[test]
    fn calls_over_the_end_of_a_month_end_in_the_same_balances_in_any_order(
        calls in over_the_end_of_a_month(), prepaid: bool, held: bool, minutes in 0u64..30, cash in 0i64..300, topup in 0i64..900,
        reload: bool,
    ) {
        let rows = at_least(free_time(prepaid, minutes * 30, &Decimal::new(cash, 2).to_string()), "1.50");
        any_order_ends_alike(&calls, rows, (held, reload), topup)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Of calls that come in order, over the end of a month with which own money ends or goes on, and are priced again as they are: nothing
    /// moves, neither the first time nor the second.
    #[test]
    fn calls_that_are_priced_again_as_they_are_move_nothing(
        calls in over_the_end_of_a_month(), prepaid: bool, discards: bool, minutes in 0u64..30, cash in 0i64..300, topup in 0i64..900,
        more in 0i64..900,
    ) {
        let rows = at_least(free_time(prepaid, minutes * 30, &Decimal::new(cash, 2).to_string()), "1.50");
        let package = if discards { month_that_discards() } else { Package::default() };
        let mut house = House::new(with_package(rows, package));
        let records: Vec<Cdr> = records(&calls).into_iter().filter(|cdr| cdr.is_answered()).collect();
        house.apply(top_up(&Decimal::new(topup, 2).to_string(), "2026-09-30T22:00:00Z"));
        for cdr in &records {
            house.apply(record(Cdr { revision: 0, ..cdr.clone() }));
        }
        house.apply(Body::Tick(at("2026-12-02T00:00:00Z")));
        house.apply(top_up(&Decimal::new(if discards { more } else { 0 }, 2).to_string(), "2026-12-02T01:00:00Z"));
        let before = house.standing();
        for _ in 0..2 {
            for cdr in &records {
                house.apply(Body::Rated(Box::new(house.last[&cdr.id].clone())));
                prop_assert_eq!(house.standing(), before);
            }
        }
    }
}
