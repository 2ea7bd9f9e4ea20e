//! Calls that become known in another order than the one in which they began: what they cost in all, and what says so.

use chrono::TimeDelta;
use expect_test::{Expect, expect};
use model::{BalanceLength, BalanceUnit, Body, Cdr, Directory, Package};
use rust_decimal::Decimal;

use super::contracts::{at, top_up};
use super::house::{
    House, Standing, free_time, month_that_discards, record, tiers, to, unanswered, with_package,
};
use super::stage::ALICE;
use crate::{contract_key, contract_of};

#[track_caller]
fn check(rows: Directory, bodies: Vec<Body>, expected: Expect) {
    let mut house = House::new(rows);
    bodies.into_iter().for_each(|body| house.apply(body));
    expected.assert_eq(&house.picture());
}

#[test]
fn calls_in_order_set_nothing_right() {
    check(
        free_time(false, 60, "0"),
        vec![record(to(44, 1, "10:00:00", 1)), record(to(49, 2, "10:05:00", 1))],
        expect![[r#"
            own 0, free 0 and 0 s, owed 0.06; calls 0.06
        "#]],
    );
}

#[test]
fn late_call_at_a_dear_rate_gets_the_free_minute_that_a_cheap_one_had() {
    check(
        free_time(false, 60, "0"),
        vec![record(to(49, 2, "10:05:00", 1)), record(to(44, 1, "10:00:00", 1))],
        expect![[r#"
            out_of_order receivable:10 -> revenue:1 0.94 EUR
            own 0, free 0 and 0 s, owed 0.06; calls 0.06
        "#]],
    );
}

#[test]
fn late_call_at_a_cheap_rate_leaves_a_dear_one_to_be_paid() {
    check(
        free_time(false, 60, "0.50"),
        vec![record(to(44, 2, "10:05:00", 1)), record(to(49, 1, "10:00:00", 1))],
        expect![[r#"
            out_of_order revenue:1 -> receivable:10 0.5 EUR
            out_of_order revenue:1 -> free_cash:10 0.44 EUR
            own 0, free 0 and 0 s, owed 0.5; calls 1
        "#]],
    );
}

#[test]
fn held_account_gets_back_what_was_too_much() {
    check(
        free_time(true, 60, "0"),
        vec![
            top_up("2", "2026-10-05T09:00:00Z"),
            record(to(49, 2, "10:05:00", 1)),
            record(to(44, 1, "10:00:00", 1)),
        ],
        expect![[r#"
            out_of_order receivable:10 -> revenue:1 0.94 EUR
            own 1.94, free 0 and 0 s, owed 0; calls 0.06
        "#]],
    );
}

#[test]
fn held_account_is_not_asked_for_more_and_a_posting_of_0_says_so() {
    check(
        free_time(true, 60, "0"),
        vec![
            top_up("2", "2026-10-05T09:00:00Z"),
            record(to(44, 2, "10:05:00", 1)),
            record(to(49, 1, "10:00:00", 1)),
        ],
        expect![[r#"
            out_of_order_held revenue:1 -> cash:10 0 EUR
            own 1.94, free 0 and 0 s, owed 0; calls 0.06
        "#]],
    );
}

#[test]
fn call_that_never_has_free_time_changes_nothing() {
    check(
        free_time(false, 60, "0"),
        vec![record(to(49, 2, "10:05:00", 1)), record(to(33, 1, "10:00:00", 1))],
        expect![[r#"
            own 0, free 0 and 0 s, owed 0.1; calls 0.1
        "#]],
    );
}

#[test]
fn while_there_is_enough_for_all_order_does_not_matter() {
    check(
        free_time(false, 180, "0"),
        vec![record(to(49, 2, "10:05:00", 1)), record(to(44, 1, "10:00:00", 1))],
        expect![[r#"
            own 0, free 0 and 60 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn call_that_turns_out_shorter_leaves_its_free_time_to_the_next() {
    let up = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    let over = Cdr { revision: 1, partial: false, duration_us: 0, ..up.clone() };
    check(
        free_time(false, 60, "0"),
        vec![record(up), record(to(44, 2, "10:05:00", 1)), record(over)],
        expect![[r#"
            out_of_order grants:1 -> free_time:10 60 SEC
            out_of_order receivable:10 -> revenue:1 1 EUR
            own 0, free 0 and 0 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn late_call_of_a_month_that_is_over_sets_that_month_right() {
    check(
        free_time(false, 60, "0.50"),
        vec![
            record(to(49, 2, "10:05:00", 1)),
            Body::Tick(at("2026-11-02T00:00:00Z")),
            record(to(44, 1, "10:00:00", 1)),
        ],
        expect![[r#"
            out_of_order receivable:10 -> revenue:1 0.5 EUR
            out_of_order free_cash:10 -> revenue:1 0.44 EUR
            own 0, free 0.5 and 60 s, owed 0; calls 0.06
        "#]],
    );
}

#[test]
fn call_older_than_all_that_is_kept_is_paid_and_a_posting_of_0_says_why() {
    check(
        free_time(false, 60, "0"),
        vec![
            record(to(49, 2, "10:05:00", 1)),
            Body::Tick(at("2027-03-02T00:00:00Z")),
            record(to(44, 1, "10:00:00", 1)),
        ],
        expect![[r#"
            out_of_order_unknown revenue:1 -> cash:10 0 EUR
            own 0, free 0 and 60 s, owed 1; calls 1
        "#]],
    );
}

#[test]
fn where_a_call_is_forgotten_the_others_stay_as_they_are_and_a_posting_of_0_says_why() {
    let days = Body::Tick(at("2026-10-05T11:06:00Z") + TimeDelta::days(crate::stage::PARTIAL_KEPT_DAYS));
    check(
        free_time(false, 60, "0"),
        vec![record(to(49, 2, "10:05:00", 1)), days, record(to(44, 1, "10:00:00", 1))],
        expect![[r#"
            out_of_order_unknown revenue:1 -> cash:10 0 EUR
            own 0, free 0 and 60 s, owed 1; calls 1
        "#]],
    );
}

#[test]
fn call_of_an_interval_that_is_kept_no_more_keeps_what_it_was_given_when_it_is_priced_again() {
    for prepaid in [true, false] {
        let interval = BalanceLength { unit: BalanceUnit::Day, count: 1 };
        let days = Package { interval, ..Package::default() };
        let mut house = House::new(with_package(free_time(prepaid, 60, "0.50"), days));
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        house.apply(record(to(44, 1, "10:00:00", 2)));
        house.apply(Body::Tick(at("2026-10-12T10:00:00Z")));
        let before = house.standing();
        assert_eq!(before.held.own, "1.5".parse().unwrap());
        for _ in 0..2 {
            let again = house.last[&to(44, 1, "10:00:00", 2).id].clone();
            house.apply(Body::Rated(Box::new(again)));
            assert_eq!(house.standing(), before);
        }
        house.apply(record(Cdr { revision: 3, ..to(44, 1, "10:00:00", 1) }));
        assert_eq!(house.standing().held.own, "2".parse().unwrap());
    }
}

#[test]
fn own_money_that_expired_is_not_there_again_when_a_late_call_gives_others_back() {
    let mut house = House::new(with_package(free_time(true, 60, "0"), month_that_discards()));
    house.apply(top_up("5", "2026-10-05T09:00:00Z"));
    house.apply(record(to(49, 2, "10:05:00", 1)));
    house.apply(Body::Tick(at("2026-11-02T00:00:00Z")));
    let late = Cdr { partial: true, ..to(44, 1, "10:00:00", 1) };
    house.apply(record(late.clone()));
    assert_eq!(
        (house.standing().held.own, house.standing().calls),
        ("0".parse().unwrap(), "0.06".parse().unwrap())
    );
    house.apply(record(Cdr { revision: 1, partial: false, ..late.clone() }));
    assert_eq!(house.standing().held.own, "0".parse().unwrap());
    house.apply(record(unanswered(2, late)));
    assert_eq!(house.standing().held.own, "0".parse().unwrap());
}

#[test]
fn own_money_that_comes_back_for_a_month_that_is_over_has_ended_with_it() {
    let mut house = House::new(with_package(free_time(true, 60, "0"), month_that_discards()));
    house.apply(top_up("5", "2026-10-05T09:00:00Z"));
    let first = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    house.apply(record(first.clone()));
    house.apply(record(to(44, 2, "10:05:00", 1)));
    assert_eq!(house.standing().held.own, "4".parse().unwrap());
    house.apply(Body::Tick(at("2026-11-02T00:00:00Z")));
    house.apply(top_up("3", "2026-11-02T09:00:00Z"));
    // The dear call would have had the free minute, and five would have ended with October.
    house.apply(record(unanswered(1, first)));
    let Standing { held, calls } = house.standing();
    assert_eq!((held.own, calls), ("3".parse().unwrap(), Decimal::ZERO));
}

#[test]
fn own_money_that_expired_under_an_earlier_release_pays_for_a_late_call_too() {
    let mut house = House::new(with_package(free_time(true, 60, "0"), month_that_discards()));
    house.apply(top_up("5", "2026-10-05T09:00:00Z"));
    house.apply(Body::Tick(at("2026-11-02T00:00:00Z")));
    // As it was kept then: how much had come back, and not when own money ended.
    keep_as_before(&mut house);
    house.apply(record(to(33, 1, "10:00:00", 1)));
    assert_eq!((house.standing().held.own, house.standing().calls), (Decimal::ZERO, "0.1".parse().unwrap()));
}

fn keep_as_before(house: &mut House) {
    for entry in house.entries.values_mut() {
        let text = String::from_utf8(entry.clone()).unwrap();
        let (before, rest) = text.split_once(r#""own_ended_at":"#).unwrap();
        let (_, after) = rest.split_once(',').unwrap();
        *entry = format!(r#"{before}"revived_micros":0,{after}"#).into_bytes();
    }
    house.reload();
}

#[test]
fn own_money_that_expired_under_an_earlier_release_stays_so_when_a_late_call_is_corrected() {
    let mut house = House::new(with_package(free_time(true, 60, "0"), month_that_discards()));
    house.apply(top_up("0.10", "2026-10-05T09:00:00Z"));
    house.apply(Body::Tick(at("2026-11-02T00:00:00Z")));
    keep_as_before(&mut house);
    let late = Cdr { partial: true, ..to(33, 1, "10:00:00", 1) };
    house.apply(record(late.clone()));
    house.apply(record(unanswered(1, late)));
    assert_eq!((house.standing().held.own, house.standing().calls), (Decimal::ZERO, Decimal::ZERO));
}

#[test]
fn own_money_that_expired_stays_so_when_the_record_of_a_call_is_corrected_into_the_next_month() {
    let mut house = House::new(with_package(free_time(true, 0, "0"), month_that_discards()));
    house.apply(top_up("5", "2026-10-05T09:00:00Z"));
    let first = Cdr { partial: true, ..to(44, 1, "10:00:00", 1) };
    house.apply(record(first.clone()));
    house.apply(top_up("3", "2026-11-05T09:00:00Z"));
    let start_at = at("2026-11-05T10:00:00Z");
    house.apply(record(Cdr { revision: 1, partial: false, start_at, ..first }));
    assert_eq!((house.standing().held.own, house.standing().calls), ("2".parse().unwrap(), Decimal::ONE));
}

#[test]
fn postpaid_calls_that_are_priced_again_in_a_month_that_is_over_leave_what_expired_expired() {
    let mut house = House::new(with_package(free_time(false, 0, "0"), month_that_discards()));
    house.apply(top_up("10", "2026-10-05T09:00:00Z"));
    house.apply(record(to(44, 1, "10:00:00", 3)));
    house.apply(record(to(44, 2, "11:00:00", 4)));
    let check_twice = |house: &mut House| {
        let before = house.standing();
        assert_eq!((before.calls, before.held.owed), ("7".parse().unwrap(), Decimal::ZERO));
        for n in [1, 2, 1, 2] {
            let id = to(44, n, "10:00:00", 1).id;
            house.apply(Body::Rated(Box::new(house.last[&id].clone())));
            assert_eq!(house.standing(), before, "call {n}");
        }
    };
    check_twice(&mut house);
    house.apply(Body::Tick(at("2026-11-02T00:00:00Z")));
    assert_eq!(house.standing().held.own, Decimal::ZERO);
    check_twice(&mut house);
}

#[test]
fn postpaid_call_that_own_money_paid_is_priced_again_alike_beside_calls_that_are_owed() {
    let mut house = House::new(free_time(false, 0, "5"));
    house.apply(record(to(44, 1, "10:00:00", 8)));
    house.apply(top_up("10", "2026-10-05T10:30:00Z"));
    house.apply(record(to(44, 2, "11:00:00", 2)));
    let before = house.standing();
    assert_eq!((before.held.own, before.held.owed), ("8".parse().unwrap(), "3".parse().unwrap()));
    for _ in 0..2 {
        let again = house.last[&to(44, 2, "10:00:00", 1).id].clone();
        house.apply(Body::Rated(Box::new(again)));
        assert_eq!(house.standing(), before);
    }
}

#[test]
fn call_that_was_not_answered_after_all_gives_back_what_it_took_where_its_payer_has_no_tariff() {
    for (prepaid, free_seconds) in [(true, 60), (false, 60), (true, 0), (false, 0)] {
        let rows = free_time(prepaid, free_seconds, "0.50");
        let mut house = House::new(rows.clone());
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        let first = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
        house.apply(record(first.clone()));
        house.apply(record(to(44, 2, "10:05:00", 1)));
        let mut without = rows;
        without.accounts.iter_mut().find(|account| account.id == ALICE).unwrap().profiles.clear();
        house.set_directory(without);
        house.apply(record(unanswered(1, first)));
        let Standing { held, calls } = house.standing();
        let contract = contract_of(&house.entries[&contract_key(ALICE)]).unwrap();
        let running = contract.running().left;
        assert_eq!(held.own, model::from_micros(contract.own_micros));
        assert_eq!(held.free_cash, model::from_micros(running.micros));
        assert_eq!(held.free_seconds, Decimal::from(running.seconds));
        let of_calls = if free_seconds == 0 { Decimal::ONE } else { Decimal::ZERO };
        assert_eq!(calls, of_calls, "{prepaid} {free_seconds}");
        assert_eq!(held.balance(), Decimal::new(25, 1) - of_calls);
    }
}

#[test]
fn call_over_an_interval_that_is_gone_and_one_that_is_kept_is_priced_again_alike() {
    for prepaid in [true, false] {
        let interval = BalanceLength { unit: BalanceUnit::Day, count: 1 };
        let days = Package { interval, ..Package::default() };
        let mut house = House::new(with_package(free_time(prepaid, 60, "0.50"), days));
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        // Three minutes, the first before midnight in Vienna.
        let across = Cdr { start_at: at("2026-10-05T21:59:00Z"), ..to(44, 1, "10:00:00", 3) };
        house.apply(record(across.clone()));
        house.apply(Body::Tick(at("2026-10-09T10:00:00Z")));
        let before = house.standing();
        assert_eq!((before.held.own, before.calls), ("1.5".parse().unwrap(), Decimal::ONE));
        for _ in 0..2 {
            let again = house.last[&across.id].clone();
            house.apply(Body::Rated(Box::new(again)));
            assert_eq!(house.standing(), before);
        }
    }
}

#[test]
fn call_that_had_nothing_of_an_interval_that_is_gone_takes_no_more_of_the_next_one() {
    for prepaid in [true, false] {
        let interval = BalanceLength { unit: BalanceUnit::Day, count: 1 };
        let days = Package { interval, ..Package::default() };
        let mut house = House::new(with_package(free_time(prepaid, 120, "0"), days));
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        house.apply(record(to(49, 1, "10:00:00", 2)));
        // Two minutes, the first before midnight in Vienna.
        let across = Cdr { start_at: at("2026-10-05T21:59:00Z"), ..to(44, 2, "10:00:00", 2) };
        house.apply(record(across.clone()));
        house.apply(Body::Tick(at("2026-10-09T10:00:00Z")));
        let before = house.standing();
        assert_eq!((before.held.own, before.calls), (Decimal::ONE, Decimal::ONE));
        for _ in 0..2 {
            let again = house.last[&across.id].clone();
            house.apply(Body::Rated(Box::new(again)));
            assert_eq!(house.standing(), before);
        }
    }
}

#[test]
fn posting_of_0_is_taken_back_when_its_call_was_not_answered_after_all() {
    let cheap = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    let bodies = vec![
        top_up("2", "2026-10-05T09:00:00Z"),
        record(to(44, 2, "10:05:00", 1)),
        record(cheap.clone()),
        record(unanswered(1, cheap)),
    ];
    check(
        free_time(true, 60, "0"),
        bodies,
        expect![[r#"
            own 2, free 0 and 0 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn free_time_of_a_call_that_was_not_answered_after_all_goes_to_the_next_at_once() {
    for (prepaid, own, owed) in [(true, "2", "0"), (false, "2", "0")] {
        let first = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
        let mut house = House::new(free_time(prepaid, 60, "0"));
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        house.apply(record(first.clone()));
        house.apply(record(to(44, 2, "10:05:00", 1)));
        house.apply(record(unanswered(1, first.clone())));
        let Standing { held, calls } = house.standing();
        assert_eq!(
            (held.own, held.owed, held.free_seconds, calls),
            (own.parse().unwrap(), owed.parse().unwrap(), Decimal::ZERO, Decimal::ZERO)
        );
        // It says what it carries, in the zone that was called.
        let [charge] = &house.last[&first.id].charges[..] else { panic!("one charge") };
        assert_eq!((charge.account, charge.zone.as_str(), charge.billed_seconds), (ALICE, "zone 49", 0));
        assert_eq!(charge.cost + charge.free_cash, Decimal::NEGATIVE_ONE);
        house.apply(record(to(49, 3, "10:10:00", 1)));
        assert_eq!(house.standing().held.own, "1.94".parse().unwrap());
        // Nor is it given back twice.
        let again = house.last[&first.id].clone();
        house.apply(Body::Rated(Box::new(again)));
        assert_eq!(house.standing().held.own, "1.94".parse().unwrap());
    }
}

#[test]
fn free_cash_of_a_call_that_was_not_answered_after_all_pays_for_the_next() {
    let first = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    check(
        free_time(false, 0, "0.50"),
        vec![record(first.clone()), record(to(44, 2, "10:05:00", 1)), record(unanswered(1, first))],
        expect![[r#"
            out_of_order receivable:10 -> revenue:1 0.06 EUR
            out_of_order revenue:1 -> free_cash:10 0.06 EUR
            own 0, free 0 and 0 s, owed 0.5; calls 1
        "#]],
    );
}

#[test]
fn held_account_keeps_no_refund_that_a_call_brought_which_costs_nothing_in_the_end() {
    for over in [false, true] {
        let late = Cdr { partial: true, ..to(44, 1, "10:00:00", 1) };
        let mut house = House::new(free_time(true, 60, "0"));
        house.apply(top_up("2", "2026-10-05T09:00:00Z"));
        house.apply(record(to(49, 2, "10:05:00", 1)));
        house.apply(record(late.clone()));
        assert_eq!(house.standing().held.own, "1.94".parse().unwrap());
        let last = match over {
            true => Cdr { revision: 1, partial: false, duration_us: 0, ..late },
            false => unanswered(1, late),
        };
        house.apply(record(last));
        assert_eq!(house.standing().held.own, "2".parse().unwrap());
    }
}

#[test]
fn what_an_account_was_forgiven_it_is_not_asked_for_when_it_is_held_no_more() {
    let mut rows = free_time(false, 60, "0");
    rows.contracts.get_mut(&ALICE).unwrap().credit_limit = Some(Decimal::from(100));
    let mut house = House::new(rows);
    house.apply(record(to(44, 2, "10:05:00", 1)));
    house.apply(record(to(49, 1, "10:00:00", 1)));
    let before = house.standing();
    house.stage.set_directory(std::sync::Arc::new(free_time(false, 60, "0"))).unwrap();
    house.apply(record(to(33, 3, "10:10:00", 1)));
    house.apply(record(to(49, 4, "10:15:00", 1)));
    assert_eq!(house.standing().calls - before.calls, "0.16".parse().unwrap());
}

#[test]
fn credit_leaves_free_cash_alone_when_another_call_is_priced_again() {
    let mut rows = free_time(false, 0, "10");
    rows.tariffs[0].fees.push(super::fee("39 -2.00 -2.00 60/60"));
    rows.tariffs[2].fees.push(super::fee("39 0.02 0.02 1/1"));
    let mut house = House::new(rows);
    house.apply(record(to(44, 1, "10:00:00", 5)));
    house.apply(record(to(39, 2, "10:05:00", 1)));
    let before = house.standing();
    assert_eq!((before.held.free_cash, before.held.owed), ("5".parse().unwrap(), "-2".parse().unwrap()));
    for n in [1, 2, 1] {
        let id = to(44, n, "10:00:00", 1).id;
        house.apply(Body::Rated(Box::new(house.last[&id].clone())));
        assert_eq!(house.standing(), before, "call {n}");
    }
}

#[test]
fn interval_of_an_earlier_release_stays_as_it_was_priced_and_a_posting_of_0_says_why() {
    let mut house = House::new(free_time(false, 60, "0"));
    house.apply(record(to(49, 2, "10:05:00", 1)));
    // As it was kept then: without order, and without what it takes to price a call again.
    for entry in house.entries.values_mut() {
        let mut kept: serde_json::Value = serde_json::from_slice(entry).unwrap();
        kept.as_object_mut().unwrap().remove("again");
        if let Some(contract) = kept.get_mut("contract") {
            contract.as_object_mut().unwrap().remove("orders");
        }
        *entry = serde_json::to_vec(&kept).unwrap();
    }
    house.reload();
    house.apply(record(to(44, 3, "10:10:00", 1)));
    house.apply(record(to(44, 1, "10:00:00", 1)));
    expect![[r#"
        out_of_order_unknown revenue:1 -> cash:10 0 EUR
        own 0, free 0 and 0 s, owed 2; calls 2
    "#]]
    .assert_eq(&house.picture());
}

#[test]
fn neighbour_is_reckoned_by_what_was_known_of_its_number_then() {
    let mut house = House::new(free_time(false, 60, "0"));
    house.apply(record(to(44, 2, "10:05:00", 1)));
    // Since then its number is served by another carrier, at another rate.
    let mut rows = free_time(false, 60, "0");
    rows.revision = 2;
    let mut dear = super::fee("44 9.00 9.00 60/60");
    dear.destination = "lnp:other".to_owned();
    rows.tariffs[0].fees.insert(0, dear);
    rows.tariffs[0].id = model::ProfileVersionId(9);
    let mut both = rows.clone();
    both.tariffs.push(free_time(false, 60, "0").tariffs[0].clone());
    house.rows = both.clone();
    house.stage.set_directory(std::sync::Arc::new(both)).unwrap();
    house.apply(record(to(49, 1, "10:00:00", 1)));
    expect![[r#"
        out_of_order revenue:1 -> receivable:10 0.94 EUR
        own 0, free 0 and 0 s, owed 1; calls 1
    "#]]
    .assert_eq(&house.picture());
}

#[test]
fn call_over_the_end_of_a_month_that_turns_out_shorter_leaves_the_next_month_its_free_time() {
    // From 23:59 on the last of October in Vienna: at first two minutes, a free one in each month; then one.
    let up = Cdr { partial: true, start_at: at("2026-10-31T22:59:00Z"), ..to(49, 1, "10:00:00", 2) };
    let over = Cdr { revision: 1, partial: false, duration_us: 60_000_000, ..up.clone() };
    let next = Cdr { start_at: at("2026-11-01T10:00:00Z"), ..to(44, 2, "10:00:00", 1) };
    check(
        free_time(false, 60, "0"),
        vec![record(up), record(next), record(over)],
        expect![[r#"
            out_of_order grants:1 -> free_time:10 60 SEC
            out_of_order receivable:10 -> revenue:1 1 EUR
            own 0, free 0 and 0 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn calls_priced_by_usage_stay_as_they_are_and_a_posting_of_0_says_so_once() {
    check(
        tiers(),
        vec![
            record(to(49, 3, "10:10:00", 1)),
            record(to(44, 1, "10:00:00", 1)),
            record(to(44, 2, "10:05:00", 1)),
        ],
        expect![[r#"
            out_of_order_unknown revenue:1 -> cash:10 0 EUR
            own 0, free 0 and 0 s, owed 2; calls 2
        "#]],
    );
}

#[test]
fn correction_is_kept_when_a_record_of_the_neighbouring_month_comes_late() {
    // From 23:59 on the last of October in Vienna, two minutes: one in each month, both late. In November a dear call had the free minute.
    let across = Cdr { start_at: at("2026-10-31T22:59:00Z"), ..to(49, 1, "10:00:00", 2) };
    let dear = Cdr { start_at: at("2026-11-01T10:00:00Z"), ..to(44, 2, "10:00:00", 1) };
    let late = Cdr { start_at: at("2026-10-31T10:00:00Z"), ..to(44, 3, "10:00:00", 1) };
    check(
        free_time(false, 60, "0"),
        vec![record(dear), record(across), record(late)],
        expect![[r#"
            out_of_order revenue:1 -> receivable:10 0.94 EUR
            out_of_order receivable:10 -> revenue:1 0.94 EUR
            own 0, free 0 and 0 s, owed 1.06; calls 1.06
        "#]],
    );
}

#[test]
fn posting_of_0_is_taken_back_when_nothing_is_lacking_any_more() {
    let dear = to(44, 2, "10:05:00", 1);
    let cheap = Cdr { partial: true, ..to(49, 1, "10:00:00", 1) };
    let bodies = vec![
        top_up("2", "2026-10-05T09:00:00Z"),
        record(dear),
        record(cheap.clone()),
        record(Cdr { revision: 1, partial: false, duration_us: 0, ..cheap }),
    ];
    check(
        free_time(true, 60, "0"),
        bodies,
        expect![[r#"
        own 2, free 0 and 0 s, owed 0; calls 0
    "#]],
    );
}

#[test]
fn held_account_is_not_asked_for_more_when_a_call_is_priced_again() {
    let mut house = House::new(free_time(true, 60, "0"));
    for body in [
        top_up("2", "2026-10-05T09:00:00Z"),
        record(to(49, 2, "10:05:00", 1)),
        record(to(44, 1, "10:00:00", 1)),
    ] {
        house.apply(body);
    }
    let before = house.standing();
    // One before both takes the free minute from the dear one; that is not asked for, and not when that is priced again either.
    house.apply(record(to(49, 3, "09:00:00", 1)));
    let after = house.standing();
    assert_eq!(before.held.own - after.held.own, "0.06".parse().unwrap());
    for n in [1, 2, 3, 1] {
        let id = to(49, n, "10:00:00", 1).id;
        house.apply(Body::Rated(Box::new(house.last[&id].clone())));
        assert_eq!(house.standing(), after, "call {n}");
    }
}

#[test]
fn call_that_its_balance_does_not_pay_any_more_takes_with_it_what_it_carried() {
    let mut house = House::new(free_time(false, 60, "0"));
    let late = Cdr { partial: true, ..to(44, 1, "10:00:00", 1) };
    house.apply(record(to(49, 2, "10:05:00", 1)));
    house.apply(record(late.clone()));
    // In the end nobody had answered it.
    house.apply(record(Cdr {
        revision: 1,
        partial: false,
        duration_us: 0,
        status: model::CallStatus::Cancel,
        code: 487,
        ..late
    }));
    house.apply(record(to(33, 3, "10:10:00", 1)));
    expect![[r#"
        own 0, free 0 and 0 s, owed 0.1; calls 0.1
    "#]]
    .assert_eq(&house.picture());
}
