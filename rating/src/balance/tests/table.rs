//! Every start mode with every carry-over mode, in the same month of an account's life: one table to read.
//!
//! The account is made on 10 March 2026 at 15:00 in Vienna, with 31.00 of free cash in a month's interval. It tops up 10.00 at the time
//! that heads the table and calls for 5.00 on 20 March (mid-interval, and in the first one). On 29 March the clocks go forward.

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

/// Own money and free cash after the call on the 20th and at noon of 20 April, with the interval of that day, for each mode. Timely are the
/// last seven days of an interval; `switch_to` is a start mode that a package of 25 March brings.
#[track_caller]
fn check(
    created: &str,
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
                life(created, top_up, &old, &new)
            )
            .unwrap();
        }
    }
    expect.assert_eq(&out);
}

fn life(created: &str, top_up: &str, old: &Rules, new: &Rules) -> String {
    let grant = |_| Grant { micros: 31_000_000, seconds: 0 };
    let mut outcome = Outcome::default();
    let mut contract = Contract::open(local(created), old, &grant, &mut outcome);
    let mut steps = vec![
        (local(top_up), "top-up"),
        (local("2026-03-20 12:00"), "call"),
        (local("2026-04-20 12:00"), "end"),
    ];
    if old != new {
        steps.push((local("2026-03-25 12:00"), "switch"));
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
        "2026-03-10 15:00",
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
        "2026-03-10 15:00",
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
fn no_top_up_expiry() {
    // A month after the end of the last interval with a top-up: 10 March where they begin on the 10th, 1 April where on the first, 5 April
    // where the top-up began one; of an open one a month after the top-up itself, 5 March.
    check(
        "2026-01-10 15:00",
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
        topup_interval  carry_over         10 + 26              0 + 31           04-05 12:00 to 05-05 12:00
        topup_interval  carry_over_timely  0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
        topup_interval  discard            0 + 26               0 + 31           04-05 12:00 to 05-05 12:00
    "#]],
    );
}

#[test]
fn package_that_switches_to_months_from_the_first() {
    // The running interval is kept and ends on 1 April.
    check(
        "2026-03-10 15:00",
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
        "2026-03-10 15:00",
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
