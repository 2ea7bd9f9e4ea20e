//! Attempts that nobody answered and that cost a fee: paid like calls, kept back before the INVITE goes out.

use expect_test::{Expect, expect};
use model::{Body, CarryOver, Cdr, CdrDetail, Directory, Package, RatedCdr};

use super::contracts::{call, top_up};
use super::house::{House, free_time, record, to, unanswered, with_package};

/// As [`free_time`]; an attempt to Germany costs 0.05.
fn attempts(prepaid: bool, free_seconds: u64, free_cash: &str) -> Directory {
    let mut rows = free_time(prepaid, free_seconds, free_cash);
    rows.tariffs[0].fees[0].failed_attempt_fee = "0.05".parse().unwrap();
    rows
}

fn attempt(n: u32, clock: &str) -> Body {
    record(unanswered(0, to(49, n, clock, 0)))
}

fn again(house: &House, n: u32) -> Body {
    Body::Rated(Box::new(of(house, n).clone()))
}

fn of(house: &House, n: u32) -> &RatedCdr {
    &house.last[&call(n, "2026-10-05T10:00:00Z", 0).id]
}

#[track_caller]
fn check(rows: Directory, bodies: Vec<Body>, expected: Expect) -> House {
    let mut house = House::new(rows);
    bodies.into_iter().for_each(|body| house.apply(body));
    expected.assert_eq(&house.picture());
    house
}

#[test]
fn prepaid_attempt_is_paid_from_own_money_and_leaves_no_debt() {
    let bodies = vec![top_up("1", "2026-10-05T09:00:00Z"), attempt(1, "10:00:00")];
    let house = check(
        attempts(true, 60, "0"),
        bodies,
        expect![[r#"
            own 0.95, free 0 and 60 s, owed 0; calls 0.05
        "#]],
    );
    assert_eq!(of(&house, 1).charges.last().unwrap().cost, "0.05".parse().unwrap());
}

#[test]
fn attempt_is_paid_from_free_cash_then_own_money_and_the_rest_is_owed() {
    let bodies = vec![
        top_up("0.03", "2026-10-05T09:00:00Z"),
        attempt(1, "10:00:00"),
        attempt(2, "10:01:00"),
        attempt(3, "10:02:00"),
    ];
    check(
        attempts(false, 60, "0.06"),
        bodies,
        expect![[r#"
            own 0, free 0 and 60 s, owed 0.06; calls 0.15
        "#]],
    );
}

#[test]
fn attempt_that_was_answered_after_all_gives_back_what_it_took() {
    let answered = Cdr { revision: 1, ..to(49, 1, "10:00:00", 2) };
    let bodies = vec![top_up("1", "2026-10-05T09:00:00Z"), attempt(1, "10:00:00"), record(answered)];
    check(
        attempts(true, 60, "0"),
        bodies,
        expect![[r#"
            own 0.94, free 0 and 0 s, owed 0; calls 0.06
        "#]],
    );
}

#[test]
fn call_that_was_not_answered_after_all_pays_for_the_attempt_alone() {
    let bodies = vec![
        top_up("1", "2026-10-05T09:00:00Z"),
        record(to(49, 1, "10:00:00", 3)),
        record(unanswered(1, to(49, 1, "10:00:00", 0))),
    ];
    check(
        attempts(true, 60, "0"),
        bodies,
        expect![[r#"
            own 0.95, free 0 and 60 s, owed 0; calls 0.05
        "#]],
    );
}

#[test]
fn attempt_that_cost_nothing_can_be_answered_after_all() {
    for prepaid in [true, false] {
        let answered = Cdr { revision: 1, ..to(49, 1, "10:00:00", 2) };
        let mut house = House::new(free_time(prepaid, 0, "0"));
        house.apply(top_up("1", "2026-10-05T09:00:00Z"));
        house.apply(attempt(1, "10:00:00"));
        let first = of(&house, 1).clone();
        house.reload();
        // Nothing is kept of it; the runner tells what it was rated as.
        assert_eq!(model::Stage::asks_for(&house.stage, &record(answered.clone())), Some(answered.id));
        model::Stage::recall(&mut house.stage, &[first]);
        house.apply(record(answered));
        expect![[r#"
            own 0.88, free 0 and 0 s, owed 0; calls 0.12
        "#]]
        .assert_eq(&house.picture());
    }
}

#[test]
fn attempt_is_priced_again_by_the_fee_in_force_then() {
    let mut rows = attempts(true, 60, "0.02");
    let mut house = House::new(rows.clone());
    house.apply(top_up("1", "2026-10-05T09:00:00Z"));
    house.apply(attempt(1, "10:00:00"));
    house.apply(attempt(2, "10:01:00"));
    rows.tariffs[0].id = model::ProfileVersionId(9);
    rows.tariffs[0].fees[0].failed_attempt_fee = "0.01".parse().unwrap();
    house.set_directory(rows.clone());
    let body = again(&house, 1);
    house.apply(body);
    let body = again(&house, 2);
    house.apply(body);
    expect![[r#"
        own 1, free 0 and 60 s, owed 0; calls 0.02
    "#]]
    .assert_eq(&house.picture());
    // An attempt that is free now.
    rows.tariffs[0].id = model::ProfileVersionId(10);
    rows.tariffs[0].fees[0].failed_attempt_fee = 0.into();
    house.set_directory(rows);
    let body = again(&house, 1);
    house.apply(body);
    expect![[r#"
        own 1, free 0.01 and 60 s, owed 0; calls 0.01
    "#]]
    .assert_eq(&house.picture());
}

#[test]
fn attempt_costs_what_was_in_force_at_its_invite() {
    // From 10:00:10 on it is ten times as dear; the phone rings over that.
    let mut rows = attempts(true, 0, "0");
    let mut dear = rows.tariffs[0].clone();
    dear.id = model::ProfileVersionId(9);
    dear.valid_from = "2026-10-05T10:00:10Z".parse().unwrap();
    dear.fees[0].failed_attempt_fee = "0.50".parse().unwrap();
    rows.tariffs.push(dear);
    let ringing = |n, invite: &str, end: &str| {
        let attempt = unanswered(0, to(49, n, end, 0));
        record(Cdr { init_at: format!("2026-10-05T{invite}Z").parse().unwrap(), ..attempt })
    };
    let bodies = vec![
        top_up("1", "2026-10-05T09:00:00Z"),
        ringing(1, "10:00:00", "10:00:30"),
        ringing(2, "10:00:20", "10:00:40"),
    ];
    check(
        rows,
        bodies,
        expect![[r#"
            own 0.45, free 0 and 0 s, owed 0; calls 0.55
        "#]],
    );
}

#[test]
fn call_that_was_given_up_before_its_invite_costs_nothing() {
    let given_up = Cdr { attempts: Vec::new(), ..unanswered(0, to(49, 1, "10:00:00", 0)) };
    check(
        attempts(true, 0, "0"),
        vec![record(given_up)],
        expect![[r#"
            own 0, free 0 and 0 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn attempt_of_a_month_that_is_over_uses_what_had_expired_of_it() {
    let package = Package { carry_over: CarryOver::Discard, ..Package::default() };
    let bodies = vec![
        top_up("0.04", "2026-10-05T09:00:00Z"),
        attempt(1, "10:00:00"),
        Body::Tick("2026-11-02T10:00:00Z".parse().unwrap()),
        attempt(3, "12:00:00"),
        record(to(49, 2, "11:00:00", 1)),
    ];
    check(
        with_package(attempts(false, 0, "0.02"), package),
        bodies,
        expect![[r#"
            own 0, free 0.02 and 0 s, owed 0.1; calls 0.16
        "#]],
    );
}

#[test]
fn attempt_leaves_the_order_of_calls_alone() {
    // The late dear call still gets the free minute that the cheap one had.
    let bodies = vec![
        record(to(49, 1, "10:00:00", 1)),
        attempt(2, "10:30:00"),
        attempt(3, "08:00:00"),
        record(to(44, 4, "09:00:00", 1)),
    ];
    check(
        attempts(false, 60, "0"),
        bodies,
        expect![[r#"
            out_of_order receivable:10 -> revenue:1 0.94 EUR
            own 0, free 0 and 0 s, owed 0.16; calls 0.16
        "#]],
    );
}

#[test]
fn attempt_that_the_switch_refused_itself_takes_nothing() {
    let detail = CdrDetail { refused_by: "account 10 lock 2".into(), ..CdrDetail::default() };
    let refused = Cdr { detail, ..unanswered(0, to(49, 1, "10:00:00", 0)) };
    check(
        attempts(true, 60, "0"),
        vec![top_up("1", "2026-10-05T09:00:00Z"), record(refused)],
        expect![[r#"
            own 1, free 0 and 60 s, owed 0; calls 0
        "#]],
    );
}

#[test]
fn reference_pays_an_attempt_whole_or_not_at_all() {
    for (money, expected) in [
        (
            "0.05",
            expect![[r#"
            own 0, free 0 and 0 s, owed 0; calls 0.05
        "#]],
        ),
        (
            "0.04",
            expect![[r#"
            own 0.04, free 0 and 0 s, owed 0.05; calls 0.05
        "#]],
        ),
    ] {
        let mut rows = attempts(false, 0, "0");
        rows.tariffs[0].compat = true;
        check(rows, vec![top_up(money, "2026-10-05T09:00:00Z"), attempt(1, "10:00:00")], expected);
    }
}
