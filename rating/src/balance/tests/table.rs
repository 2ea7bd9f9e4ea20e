//! Every start mode with every carry-over mode, in the same month of an account's life: one table to read.
//!
//! The account is made on 10 March 2026 at 15:00 in Vienna, with 31.00 of free cash in a month's interval. It tops up 10.00 at the time
//! that heads the table and calls for 5.00 on 20 March (mid-interval, and in the first one). On 29 March the clocks go forward; in October another account lives through the
//! other change.

use std::fmt::Write as _;

use expect_test::{Expect, expect};
use model::{BalanceUnit, CarryOver, StartMode};

use super::super::{Contract, Due, Grant, Outcome, Rules};
use super::{length, local, money, rules, shown};

const STARTS: [StartMode; 6] = [
    StartMode::Create,
    StartMode::CreateTz,
    StartMode::First,
    StartMode::FirstTz,
    StartMode::TopUp,
    StartMode::TopUpInterval,
];

/// A month of an account's life, and some days: when it is made, calls, gets another package, and is looked at.
struct Days {
    created: &'static str,
    call: &'static str,
    switch: &'static str,
    end: &'static str,
}

const SPRING: Days = Days {
    created: "2026-03-10 15:00",
    call: "2026-03-20 12:00",
    switch: "2026-03-25 12:00",
    end: "2026-04-20 12:00",
};

/// On 25 October the clocks go back.
const AUTUMN: Days = Days {
    created: "2026-10-10 15:00",
    call: "2026-10-20 12:00",
    switch: "2026-10-25 12:00",
    end: "2026-11-20 12:00",
};

/// Own money and free cash after the call on the 20th and at noon of the 20th of the next month, with the interval of that day, for each
/// mode. Timely are the
/// last seven days of an interval; `switch_to` is a start mode that a package of 25 March brings.
#[track_caller]
fn check(
    days: &Days,
    top_up: &str,
    switch_to: Option<StartMode>,
    discard_without_topup: Option<u32>,
    expect: Expect,
) {
    let mut out = String::new();
    for start in STARTS {
        for &carry_over in CarryOver::ALL {
            let old = Rules {
                start: Some(start),
                carry_over,
                timely: Some(length(7, BalanceUnit::Day)),
                discard_without_topup,
                ..rules()
            };
            let new = Rules { start: Some(switch_to.unwrap_or(start)), ..old.clone() };
            writeln!(
                out,
                "{:<15} {:<18} {}",
                start.as_str(),
                carry_over.as_str(),
                life(days, top_up, &old, &new)
            )
            .unwrap();
        }
    }
    expect.assert_eq(&out);
}

fn life(days: &Days, top_up: &str, old: &Rules, new: &Rules) -> String {
    let grant = |_| Grant { micros: 31_000_000, seconds: 0 };
    let mut outcome = Outcome::default();
    let mut contract = Contract::open(local(days.created), old, &grant, &mut outcome);
    let mut steps = vec![(local(top_up), "top-up"), (local(days.call), "call"), (local(days.end), "end")];
    if old != new {
        steps.push((local(days.switch), "switch"));
    }
    steps.sort();
    let (mut rules, mut after_call) = (old, String::new());
    for (at, what) in steps {
        assert!(contract.catch_up(at, rules, &grant, &mut outcome));
        match what {
            "top-up" => contract.top_up(at, 10_000_000, rules, rules, &grant, &mut outcome),
            "call" => {
                let interval = contract.running().stretch.start;
                let due = Due { interval, price_micros: 5_000_000, free_seconds: 0 };
                contract.spend(at, &[due], rules, &mut outcome);
                after_call = has(&contract);
            }
            "switch" => {
                rules = new;
                contract.switch_package(at, rules, &grant, &mut outcome);
            }
            _ => {}
        }
    }
    let running = contract.running().stretch;
    let end = running.end.map_or_else(|| "open".to_owned(), shown);
    format!("{after_call:<20} {:<16} {} to {end}", has(&contract), shown(running.start))
}

fn has(contract: &Contract) -> String {
    format!("{} + {}", money(contract.own_micros), money(contract.running().left.micros))
}

#[test]
fn top_up_inside_the_timely_window() {
    // Of intervals that end on 1 April the last seven days begin on the 25th of March, of those that end on the 10th on the 3rd: there the
    // top-up is none of them. From the first, the grant is 31.00 × 527 / 743 hours, for March has an hour less: 21.987887, less the call.
    check(
        &SPRING,
        "2026-03-28 12:00",
        None,
        None,
        expect![[r#"
        create          carry_over         0 + 26               10 + 31          04-10 00:00 to 05-10 00:00
        create          carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create          discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       carry_over         0 + 26               10 + 31          04-10 00:00 to 05-10 00:00
        create_tz       carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        1st             carry_over         0 + 16.987887        10 + 31          04-01 00:00 to 05-01 00:00
        1st             carry_over_timely  0 + 16.987887        10 + 31          04-01 00:00 to 05-01 00:00
        1st             discard            0 + 16.987887        0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          carry_over         0 + 16.987887        10 + 31          04-01 00:00 to 05-01 00:00
        1st_tz          carry_over_timely  0 + 16.987887        10 + 31          04-01 00:00 to 05-01 00:00
        1st_tz          discard            0 + 16.987887        0 + 31           04-01 00:00 to 05-01 00:00
        topup           carry_over         0 + 26               10 + 31          03-28 12:00 to open
        topup           carry_over_timely  0 + 26               10 + 31          03-28 12:00 to open
        topup           discard            0 + 26               10 + 31          03-28 12:00 to open
        topup_interval  carry_over         0 + 26               10 + 31          03-28 12:00 to 04-28 12:00
        topup_interval  carry_over_timely  0 + 26               10 + 31          03-28 12:00 to 04-28 12:00
        topup_interval  discard            0 + 26               10 + 31          03-28 12:00 to 04-28 12:00
    "#]],
    );
}

#[test]
fn top_up_outside_the_timely_window() {
    // Timely loses it at the end of the interval; of an open one a month after its beginning, on 15 April.
    check(
        &SPRING,
        "2026-03-15 12:00",
        None,
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create          carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create          discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create_tz       carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        1st             carry_over         10 + 16.987887       10 + 31          04-01 00:00 to 05-01 00:00
        1st             carry_over_timely  10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st             discard            10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          carry_over         10 + 16.987887       10 + 31          04-01 00:00 to 05-01 00:00
        1st_tz          carry_over_timely  10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          discard            10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        topup           carry_over         10 + 26              10 + 26          03-15 12:00 to open
        topup           carry_over_timely  10 + 26              0 + 26           03-15 12:00 to open
        topup           discard            10 + 26              10 + 26          03-15 12:00 to open
        topup_interval  carry_over         10 + 26              10 + 31          04-15 12:00 to 05-15 12:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           04-15 12:00 to 05-15 12:00
        topup_interval  discard            10 + 26              0 + 31           04-15 12:00 to 05-15 12:00
    "#]],
    );
}

#[test]
fn call_in_the_middle_of_a_later_interval() {
    // The whole grant, less the call. The top-up was in an interval before: of those from the 10th it was timely, so it is carried to 10 February
    // and not to 10 March; of those from the first it was not; in the interval that it opened itself it was not either.
    check(
        &Days { created: "2026-01-10 15:00", ..SPRING },
        "2026-02-05 12:00",
        None,
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create          carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create          discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create_tz       carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
        1st             carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        1st             carry_over_timely  0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
        1st             discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        1st_tz          carry_over_timely  0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
        topup           carry_over         10 + 26              10 + 26          02-05 12:00 to open
        topup           carry_over_timely  0 + 26               0 + 26           02-05 12:00 to open
        topup           discard            10 + 26              10 + 26          02-05 12:00 to open
        topup_interval  carry_over         10 + 26              10 + 31          04-05 12:00 to 05-05 12:00
        topup_interval  carry_over_timely  0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
        topup_interval  discard            0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
    "#]],
    );
}

#[test]
fn package_that_switches_in_the_middle_of_a_later_interval() {
    // To months from the first: the running interval ends on 1 April, and its grant stays whole.
    check(
        &Days { created: "2026-01-10 15:00", ..SPRING },
        "2026-03-28 12:00",
        Some(StartMode::FirstTz),
        None,
        expect![[r#"
            create          carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            create          carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            create          discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            create_tz       carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            create_tz       carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            create_tz       discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            1st             carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            1st             carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            1st             discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            1st_tz          carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            1st_tz          carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            1st_tz          discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            topup           carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            topup           carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            topup           discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            topup_interval  carry_over         0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            topup_interval  carry_over_timely  0 + 26               10 + 31          04-01 00:00 to 05-01 00:00
            topup_interval  discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
        "#]],
    );
}

#[test]
fn no_top_up_expiry() {
    // A month after the end of the last interval with a top-up: 10 March where they begin on the 10th, 1 April where on the first;
    // where top-ups make intervals a month after the top-up itself, 5 March.
    check(
        &Days { created: "2026-01-10 15:00", ..SPRING },
        "2026-02-05 12:00",
        None,
        Some(1),
        expect![[r#"
            create          carry_over         0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            create          carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            create          discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            create_tz       carry_over         0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            create_tz       carry_over_timely  0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            create_tz       discard            0 + 26               0 + 31           04-10 00:00 to 05-10 00:00
            1st             carry_over         10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
            1st             carry_over_timely  0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            1st             discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            1st_tz          carry_over         10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
            1st_tz          carry_over_timely  0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            1st_tz          discard            0 + 26               0 + 31           04-01 00:00 to 05-01 00:00
            topup           carry_over         0 + 26               0 + 26           02-05 12:00 to open
            topup           carry_over_timely  0 + 26               0 + 26           02-05 12:00 to open
            topup           discard            0 + 26               0 + 26           02-05 12:00 to open
            topup_interval  carry_over         0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
            topup_interval  carry_over_timely  0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
            topup_interval  discard            0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
        "#]],
    );
}

#[test]
fn package_that_switches_to_months_from_the_first() {
    // The running interval is kept and ends on 1 April.
    check(
        &SPRING,
        "2026-03-15 12:00",
        Some(StartMode::FirstTz),
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        create          carry_over_timely  10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        create          discard            10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        create_tz       carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        create_tz       carry_over_timely  10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        create_tz       discard            10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        1st             carry_over         10 + 16.987887       10 + 31          04-01 00:00 to 05-01 00:00
        1st             carry_over_timely  10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st             discard            10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          carry_over         10 + 16.987887       10 + 31          04-01 00:00 to 05-01 00:00
        1st_tz          carry_over_timely  10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        1st_tz          discard            10 + 16.987887       0 + 31           04-01 00:00 to 05-01 00:00
        topup           carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        topup           carry_over_timely  10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        topup           discard            10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        topup_interval  carry_over         10 + 26              10 + 31          04-01 00:00 to 05-01 00:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
        topup_interval  discard            10 + 26              0 + 31           04-01 00:00 to 05-01 00:00
    "#]],
    );
}

#[test]
fn package_that_switches_to_intervals_by_top_up() {
    // It ends at once, by the rules of the new package: a top-up that was not timely, or any with discard, is lost there.
    check(
        &SPRING,
        "2026-03-15 12:00",
        Some(StartMode::TopUp),
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          03-25 12:00 to open
        create          carry_over_timely  10 + 26              0 + 31           03-25 12:00 to open
        create          discard            10 + 26              0 + 31           03-25 12:00 to open
        create_tz       carry_over         10 + 26              10 + 31          03-25 12:00 to open
        create_tz       carry_over_timely  10 + 26              0 + 31           03-25 12:00 to open
        create_tz       discard            10 + 26              0 + 31           03-25 12:00 to open
        1st             carry_over         10 + 16.987887       10 + 31          03-25 12:00 to open
        1st             carry_over_timely  10 + 16.987887       0 + 31           03-25 12:00 to open
        1st             discard            10 + 16.987887       0 + 31           03-25 12:00 to open
        1st_tz          carry_over         10 + 16.987887       10 + 31          03-25 12:00 to open
        1st_tz          carry_over_timely  10 + 16.987887       0 + 31           03-25 12:00 to open
        1st_tz          discard            10 + 16.987887       0 + 31           03-25 12:00 to open
        topup           carry_over         10 + 26              10 + 26          03-15 12:00 to open
        topup           carry_over_timely  10 + 26              0 + 26           03-15 12:00 to open
        topup           discard            10 + 26              10 + 26          03-15 12:00 to open
        topup_interval  carry_over         10 + 26              10 + 31          03-25 12:00 to open
        topup_interval  carry_over_timely  10 + 26              0 + 31           03-25 12:00 to open
        topup_interval  discard            10 + 26              0 + 31           03-25 12:00 to open
    "#]],
    );
}

#[test]
fn package_that_switches_to_equal_intervals_from_the_next_top_up() {
    // What runs is open from then on, for no top-up comes.
    check(
        &SPRING,
        "2026-03-15 12:00",
        Some(StartMode::TopUpInterval),
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 26          03-10 00:00 to open
        create          carry_over_timely  10 + 26              0 + 26           03-10 00:00 to open
        create          discard            10 + 26              10 + 26          03-10 00:00 to open
        create_tz       carry_over         10 + 26              10 + 26          03-10 00:00 to open
        create_tz       carry_over_timely  10 + 26              0 + 26           03-10 00:00 to open
        create_tz       discard            10 + 26              10 + 26          03-10 00:00 to open
        1st             carry_over         10 + 16.987887       10 + 26          03-01 00:00 to open
        1st             carry_over_timely  10 + 16.987887       0 + 26           03-01 00:00 to open
        1st             discard            10 + 16.987887       10 + 26          03-01 00:00 to open
        1st_tz          carry_over         10 + 16.987887       10 + 26          03-01 00:00 to open
        1st_tz          carry_over_timely  10 + 16.987887       0 + 26           03-01 00:00 to open
        1st_tz          discard            10 + 16.987887       10 + 26          03-01 00:00 to open
        topup           carry_over         10 + 26              10 + 26          03-15 12:00 to open
        topup           carry_over_timely  10 + 26              0 + 26           03-15 12:00 to open
        topup           discard            10 + 26              10 + 26          03-15 12:00 to open
        topup_interval  carry_over         10 + 26              10 + 31          04-15 12:00 to 05-15 12:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           04-15 12:00 to 05-15 12:00
        topup_interval  discard            10 + 26              0 + 31           04-15 12:00 to 05-15 12:00
    "#]],
    );
}

#[test]
fn package_that_switches_to_months_from_the_day_of_creation() {
    check(
        &SPRING,
        "2026-03-15 12:00",
        Some(StartMode::CreateTz),
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create          carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create          discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        create_tz       carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        create_tz       discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        1st             carry_over         10 + 16.987887       10 + 31          04-10 00:00 to 05-10 00:00
        1st             carry_over_timely  10 + 16.987887       0 + 31           04-10 00:00 to 05-10 00:00
        1st             discard            10 + 16.987887       0 + 31           04-10 00:00 to 05-10 00:00
        1st_tz          carry_over         10 + 16.987887       10 + 31          04-10 00:00 to 05-10 00:00
        1st_tz          carry_over_timely  10 + 16.987887       0 + 31           04-10 00:00 to 05-10 00:00
        1st_tz          discard            10 + 16.987887       0 + 31           04-10 00:00 to 05-10 00:00
        topup           carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        topup           carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        topup           discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        topup_interval  carry_over         10 + 26              10 + 31          04-10 00:00 to 05-10 00:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
        topup_interval  discard            10 + 26              0 + 31           04-10 00:00 to 05-10 00:00
    "#]],
    );
}

#[test]
fn autumn_change_of_the_clock_with_a_top_up_inside_the_timely_window() {
    // October has an hour more: from the first, the grant is 31.00 × 529 / 745 hours, 22.012081, less the call.
    check(
        &AUTUMN,
        "2026-10-28 12:00",
        None,
        None,
        expect![[r#"
        create          carry_over         0 + 26               10 + 31          11-10 00:00 to 12-10 00:00
        create          carry_over_timely  0 + 26               0 + 31           11-10 00:00 to 12-10 00:00
        create          discard            0 + 26               0 + 31           11-10 00:00 to 12-10 00:00
        create_tz       carry_over         0 + 26               10 + 31          11-10 00:00 to 12-10 00:00
        create_tz       carry_over_timely  0 + 26               0 + 31           11-10 00:00 to 12-10 00:00
        create_tz       discard            0 + 26               0 + 31           11-10 00:00 to 12-10 00:00
        1st             carry_over         0 + 17.012081        10 + 31          11-01 00:00 to 12-01 00:00
        1st             carry_over_timely  0 + 17.012081        10 + 31          11-01 00:00 to 12-01 00:00
        1st             discard            0 + 17.012081        0 + 31           11-01 00:00 to 12-01 00:00
        1st_tz          carry_over         0 + 17.012081        10 + 31          11-01 00:00 to 12-01 00:00
        1st_tz          carry_over_timely  0 + 17.012081        10 + 31          11-01 00:00 to 12-01 00:00
        1st_tz          discard            0 + 17.012081        0 + 31           11-01 00:00 to 12-01 00:00
        topup           carry_over         0 + 26               10 + 31          10-28 12:00 to open
        topup           carry_over_timely  0 + 26               10 + 31          10-28 12:00 to open
        topup           discard            0 + 26               10 + 31          10-28 12:00 to open
        topup_interval  carry_over         0 + 26               10 + 31          10-28 12:00 to 11-28 12:00
        topup_interval  carry_over_timely  0 + 26               10 + 31          10-28 12:00 to 11-28 12:00
        topup_interval  discard            0 + 26               10 + 31          10-28 12:00 to 11-28 12:00
    "#]],
    );
}

#[test]
fn autumn_change_of_the_clock_with_a_top_up_outside_the_timely_window() {
    check(
        &AUTUMN,
        "2026-10-15 12:00",
        None,
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          11-10 00:00 to 12-10 00:00
        create          carry_over_timely  10 + 26              0 + 31           11-10 00:00 to 12-10 00:00
        create          discard            10 + 26              0 + 31           11-10 00:00 to 12-10 00:00
        create_tz       carry_over         10 + 26              10 + 31          11-10 00:00 to 12-10 00:00
        create_tz       carry_over_timely  10 + 26              0 + 31           11-10 00:00 to 12-10 00:00
        create_tz       discard            10 + 26              0 + 31           11-10 00:00 to 12-10 00:00
        1st             carry_over         10 + 17.012081       10 + 31          11-01 00:00 to 12-01 00:00
        1st             carry_over_timely  10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st             discard            10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st_tz          carry_over         10 + 17.012081       10 + 31          11-01 00:00 to 12-01 00:00
        1st_tz          carry_over_timely  10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st_tz          discard            10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        topup           carry_over         10 + 26              10 + 26          10-15 12:00 to open
        topup           carry_over_timely  10 + 26              0 + 26           10-15 12:00 to open
        topup           discard            10 + 26              10 + 26          10-15 12:00 to open
        topup_interval  carry_over         10 + 26              10 + 31          11-15 12:00 to 12-15 12:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           11-15 12:00 to 12-15 12:00
        topup_interval  discard            10 + 26              0 + 31           11-15 12:00 to 12-15 12:00
    "#]],
    );
}

#[test]
fn autumn_change_of_the_clock_on_the_day_of_a_package_switch() {
    check(
        &AUTUMN,
        "2026-10-15 12:00",
        Some(StartMode::FirstTz),
        None,
        expect![[r#"
        create          carry_over         10 + 26              10 + 31          11-01 00:00 to 12-01 00:00
        create          carry_over_timely  10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        create          discard            10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        create_tz       carry_over         10 + 26              10 + 31          11-01 00:00 to 12-01 00:00
        create_tz       carry_over_timely  10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        create_tz       discard            10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        1st             carry_over         10 + 17.012081       10 + 31          11-01 00:00 to 12-01 00:00
        1st             carry_over_timely  10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st             discard            10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st_tz          carry_over         10 + 17.012081       10 + 31          11-01 00:00 to 12-01 00:00
        1st_tz          carry_over_timely  10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        1st_tz          discard            10 + 17.012081       0 + 31           11-01 00:00 to 12-01 00:00
        topup           carry_over         10 + 26              10 + 31          11-01 00:00 to 12-01 00:00
        topup           carry_over_timely  10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        topup           discard            10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        topup_interval  carry_over         10 + 26              10 + 31          11-01 00:00 to 12-01 00:00
        topup_interval  carry_over_timely  10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
        topup_interval  discard            10 + 26              0 + 31           11-01 00:00 to 12-01 00:00
    "#]],
    );
}

#[test]
fn short_intervals_over_both_changes_of_the_clock() {
    // Each that ends within some hours of the change, its length in minutes, and what is there after it: 1.00 free each, 10.00 topped up
    // at the beginning, 0.30 called for in each. Timely is the last half hour: the top-up is in none.
    let mut out = String::new();
    for (unit, count) in
        [(BalanceUnit::Minute, 90), (BalanceUnit::Hour, 1), (BalanceUnit::Day, 1), (BalanceUnit::Week, 1)]
    {
        for (made, until, hours) in
            [("2026-03-28 10:00", "2026-03-29 06:00", 7), ("2026-10-24 10:00", "2026-10-25 06:00", 7)]
        {
            let rules = Rules {
                start: Some(StartMode::CreateTz),
                interval: length(count, unit),
                carry_over: CarryOver::CarryOver,
                timely: Some(length(30, BalanceUnit::Minute)),
                ..rules()
            };
            let grant = |_| Grant { micros: 1_000_000, seconds: 0 };
            let mut outcome = Outcome::default();
            let mut contract = Contract::open(local(made), &rules, &grant, &mut outcome);
            contract.top_up(local(made), 10_000_000, &rules, &rules, &grant, &mut outcome);
            write!(out, "{unit} {count}:").unwrap();
            let far = local(until) + chrono::TimeDelta::days(7);
            while let Some(end) = contract.running().stretch.end.filter(|end| *end <= far) {
                let stretch = contract.running().stretch;
                let due = Due { interval: stretch.start, price_micros: 300_000, free_seconds: 0 };
                contract.spend(stretch.start, &[due], &rules, &mut outcome);
                assert!(contract.catch_up(end, &rules, &grant, &mut outcome));
                let is_near =
                    end > local(until) - chrono::TimeDelta::hours(hours) || stretch.end > Some(local(until));
                if is_near && stretch.start < local(until) {
                    let minutes = (end - stretch.start).num_minutes();
                    write!(out, " {} {minutes}", shown(stretch.start)).unwrap();
                }
            }
            writeln!(out, ": {}", has(&contract)).unwrap();
        }
    }
    expect![[r#"
        minute 90: 03-28 21:00 90 03-28 22:30 90 03-29 00:00 90 03-29 01:30 30 03-29 03:00 90 03-29 04:30 90: 10 + 1
        minute 90: 10-25 00:00 90 10-25 01:30 150 10-25 03:00 90 10-25 04:30 90: 10 + 1
        hour 1: 03-28 22:00 60 03-28 23:00 60 03-29 00:00 60 03-29 01:00 60 03-29 03:00 60 03-29 04:00 60 03-29 05:00 60: 10 + 1
        hour 1: 10-25 00:00 60 10-25 01:00 60 10-25 02:00 120 10-25 03:00 60 10-25 04:00 60 10-25 05:00 60: 10 + 1
        day 1: 03-28 00:00 1440 03-29 00:00 1380: 10 + 1
        day 1: 10-25 00:00 1500: 10 + 1
        week 1: 03-28 00:00 10020: 10 + 1
        week 1: 10-24 00:00 10140: 10 + 1
    "#]].assert_eq(&out);
}
