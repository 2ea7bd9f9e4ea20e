//! What calls lack in order, and what becomes of it: later records, records of other intervals, orders that are not known any more.

use chrono::TimeDelta;
use expect_test::expect;
use model::{Body, Cdr, Directory, ProfileVersionId};
use rust_decimal::Decimal;

use super::contracts::{at, top_up};
use super::house::{House, free_time, record, tiers, to, unanswered};
use super::stage::ALICE;

/// A call to Britain costs so much at least; what lacks to it falls on the interval in which it ends.
pub(super) fn at_least(mut rows: Directory, minimum: &str) -> Directory {
    let fee = rows.tariffs[0].fees.iter_mut().find(|fee| fee.destination == "44").unwrap();
    fee.minimum_charge = Some(minimum.parse().unwrap());
    rows
}

/// Minutes before the first of November in Vienna.
fn before_november(call: Cdr, minutes: i64) -> Cdr {
    Cdr { start_at: at("2026-10-31T23:00:00Z") - TimeDelta::minutes(minutes), ..call }
}

#[test]
fn late_record_carries_what_a_call_over_the_end_of_its_interval_then_costs_in_the_next() {
    // A free minute each month. With that of October it costs the minimum, which falls on November; without, 1.00 of it falls on October.
    let across = before_november(to(44, 2, "10:00:00", 2), 1);
    let late = before_november(to(49, 1, "10:00:00", 1), 10);
    let rows = || at_least(free_time(false, 60, "0"), "1.50");
    let mut ordered = House::new(rows());
    [&late, &across].into_iter().for_each(|cdr| ordered.apply(record(cdr.clone())));
    let mut house = House::new(rows());
    [&across, &late].into_iter().for_each(|cdr| house.apply(record(cdr.clone())));
    assert_eq!(house.standing(), ordered.standing());
}

/// By another version of the same prices, which is then gone.
fn by_a_version_that_goes(house: &mut House, rows: &Directory, cdr: Cdr) {
    let mut other = rows.clone();
    other.tariffs.push(rows.tariffs[0].clone());
    other.tariffs[0].id = ProfileVersionId(9);
    house.set_directory(other);
    house.apply(record(cdr));
    house.set_directory(rows.clone());
}

#[test]
fn where_a_call_cannot_be_priced_again_nothing_is_carried_for_those_before_it() {
    let rows = at_least(free_time(false, 150, "0"), "2.50");
    let mut house = House::new(rows.clone());
    house.apply(record(before_november(to(44, 2, "10:00:00", 3), 2)));
    by_a_version_that_goes(&mut house, &rows, before_november(to(49, 3, "10:00:00", 1), 1));
    let before = house.standing().calls;
    house.apply(record(before_november(to(33, 4, "10:00:00", 1), 15)));
    house.apply(record(before_november(to(49, 1, "10:00:00", 2), 10)));
    let november =
        |n, clock: &str| Cdr { start_at: at(&format!("2026-11-02T{clock}Z")), ..to(33, n, "10:00:00", 1) };
    house.apply(record(november(5, "10:00:00")));
    house.apply(record(november(6, "09:00:00")));
    // Each as it was priced: 0.12 and three calls to France.
    assert_eq!(house.standing().calls - before, "0.42".parse().unwrap());
    expect![[r#"
        out_of_order_unknown revenue:1 -> cash:10 0 EUR
        own 0, free 0 and 90 s, owed 2.95; calls 2.95
    "#]]
    .assert_eq(&house.picture());
}

/// From now on a call to Germany is priced by usage, so the order of its month is not known any more.
fn lose_order(house: &mut House, rows: &Directory) {
    let mut usage = rows.clone();
    usage.tariffs.push(rows.tariffs[0].clone());
    usage.tariffs[0].id = ProfileVersionId(9);
    usage.tariffs[0].interval_price = tiers().tariffs[0].interval_price.clone();
    house.set_directory(usage);
    house.apply(record(to(49, 9, "11:00:00", 1)));
}

#[test]
fn call_that_becomes_cheaper_does_not_cost_less_than_nothing_for_what_it_carries() {
    for prepaid in [false, true] {
        let mut rows = free_time(prepaid, 60, "0");
        let fee = rows.tariffs[0].fees.iter_mut().find(|fee| fee.destination == "44").unwrap();
        [&mut fee.onpeak_init, &mut fee.onpeak_follow]
            .into_iter()
            .for_each(|rate| rate.interval_seconds = 10);
        let mut house = House::new(rows.clone());
        house.apply(top_up("5", "2026-10-05T09:00:00Z"));
        let late = Cdr { partial: true, ..to(44, 1, "10:00:00", 1) };
        house.apply(record(to(49, 2, "10:05:00", 1)));
        house.apply(record(late.clone()));
        assert_eq!(house.standing().calls, "0.06".parse().unwrap());
        lose_order(&mut house, &rows);
        let before = house.standing();
        house.apply(record(Cdr { revision: 1, partial: false, duration_us: 10_000_000, ..late }));
        let after = house.standing();
        assert_eq!(before.calls - after.calls, "0.06".parse().unwrap());
        assert_eq!(after.held.own - before.held.own, "0.06".parse().unwrap());
    }
}

#[test]
fn call_that_left_its_free_time_to_others_keeps_what_it_carries_when_it_is_priced_again() {
    let rows = free_time(false, 60, "0");
    let mut house = House::new(rows.clone());
    let up = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    let over = Cdr { revision: 1, partial: false, duration_us: 0, ..up.clone() };
    [up, to(44, 2, "10:05:00", 1), over.clone()].into_iter().for_each(|cdr| house.apply(record(cdr)));
    lose_order(&mut house, &rows);
    let before = house.standing();
    house.apply(Body::Rated(Box::new(house.last[&over.id].clone())));
    assert_eq!(house.standing(), before);
}

#[test]
fn what_was_forgiven_for_a_call_that_was_not_answered_is_not_forgiven_for_the_next() {
    let mut rows = free_time(false, 60, "0");
    rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::from(100));
    let mut house = House::new(rows);
    let cheap = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    [to(44, 2, "10:05:00", 1), cheap.clone(), unanswered(1, cheap)]
        .into_iter()
        .for_each(|cdr| house.apply(record(cdr)));
    house.set_directory(free_time(false, 60, "0"));
    house.apply(record(to(49, 3, "10:02:00", 1)));
    assert_eq!(house.standing().calls, Decimal::ONE);
}
