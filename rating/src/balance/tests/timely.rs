//! Top-ups inside and outside the timely part of an interval, by start mode; and package switches after them.
//!
//! Each table has the last moment that is too early beside the first that is in time, then what becomes of own money.

use chrono_tz::Tz;
use expect_test::expect;
use model::{BalanceUnit, CarryOver, StartMode};

use super::{VIENNA, check, check_switch, length, rules};
use crate::balance::Rules;

/// A month, and its last three days are timely.
fn timely(start: StartMode) -> Rules {
    Rules {
        start: Some(start),
        carry_over: CarryOver::Timely,
        timely: Some(length(3, BalanceUnit::Day)),
        ..rules()
    }
}

/// The same of an account in Auckland, whose tenant is in Vienna.
fn timely_of_auckland(start: StartMode) -> Rules {
    const AUCKLAND: Tz = chrono_tz::Pacific::Auckland;
    let package = model::Package {
        start,
        carry_over: CarryOver::Timely,
        timely: Some(length(3, BalanceUnit::Day)),
        ..model::Package::default()
    };
    Rules::of_package(&package, VIENNA, AUCKLAND)
}

#[test]
fn timely_window_of_intervals_from_creation() {
    // Made on the 10th: the interval ends at midnight of 10 June, and its last three days begin at midnight of the 7th.
    let create = timely(StartMode::CreateTz);
    check(
        &create,
        ("0", 0),
        &["2026-05-10 15:00", "2026-06-06 23:59 topup 10", "2026-06-10 00:00 to"],
        expect![[r#"
            06-06 23:59 TopUp 10
            06-10 00:00 DiscardOwn -10
            06-10 00:00 to 07-10 00:00: own 0, free 0 and 0 s
        "#]],
    );
    check(
        &create,
        ("0", 0),
        &["2026-05-10 15:00", "2026-06-07 00:00 topup 10", "2026-06-10 00:00 to"],
        expect![[r#"
            06-07 00:00 TopUp 10
            06-10 00:00 to 07-10 00:00: own 10, free 0 and 0 s
        "#]],
    );
    // One of each: the one in time keeps both.
    check(
        &create,
        ("0", 0),
        &["2026-05-10 15:00", "2026-05-11 00:00 topup 4", "2026-06-09 23:59 topup 6", "2026-06-10 00:00 to"],
        expect![[r#"
            05-11 00:00 TopUp 4
            06-09 23:59 TopUp 6
            06-10 00:00 to 07-10 00:00: own 10, free 0 and 0 s
        "#]],
    );
}

#[test]
fn timely_window_is_told_by_the_clock_of_the_tenant_or_of_the_account() {
    // 20 May, 15:00 in Vienna is 21 May, 01:00 in Auckland. There the interval begins at midnight of the 21st, 14:00 of the 20th in Vienna; its last
    // three days begin at midnight of 18 June, 14:00 of the 17th in Vienna.
    let (vienna, auckland) = (timely_of_auckland(StartMode::Create), timely_of_auckland(StartMode::CreateTz));
    let script = ["2026-05-20 15:00", "2026-06-17 13:59 topup 10", "2026-06-20 14:00 to"];
    // Vienna's last three days began at midnight of the 17th.
    check(
        &vienna,
        ("0", 0),
        &script,
        expect![[r#"
            06-17 13:59 TopUp 10
            06-20 00:00 to 07-20 00:00: own 10, free 0 and 0 s
        "#]],
    );
    check(
        &auckland,
        ("0", 0),
        &script,
        expect![[r#"
            06-17 13:59 TopUp 10
            06-20 14:00 DiscardOwn -10
            06-20 14:00 to 07-20 14:00: own 0, free 0 and 0 s
        "#]],
    );
    check(
        &auckland,
        ("0", 0),
        &["2026-05-20 15:00", "2026-06-17 14:00 topup 10", "2026-06-20 14:00 to"],
        expect![[r#"
            06-17 14:00 TopUp 10
            06-20 14:00 to 07-20 14:00: own 10, free 0 and 0 s
        "#]],
    );
    // The morning of the 20th is Vienna's next interval, and too early in that; in Auckland it is the last of this one.
    let script = ["2026-05-20 15:00", "2026-06-20 09:00 topup 10", "2026-07-20 14:00 to"];
    check(
        &vienna,
        ("0", 0),
        &script,
        expect![[r#"
            06-20 09:00 TopUp 10
            07-20 00:00 DiscardOwn -10
            07-20 00:00 to 08-20 00:00: own 0, free 0 and 0 s
        "#]],
    );
    check(
        &auckland,
        ("0", 0),
        &[script[0], script[1], "2026-07-20 13:59 to"],
        expect![[r#"
            06-20 09:00 TopUp 10
            06-20 14:00 to 07-20 14:00: own 10, free 0 and 0 s
        "#]],
    );
}

#[test]
fn timely_window_over_a_clock_change_is_told_by_the_clock_on_the_wall() {
    // Made on the last of January: the second interval is from 28 February to 31 March. Its last three days, one of 23 hours, begin at midnight of
    // the 28th, 71 hours before.
    let create = timely(StartMode::CreateTz);
    for (top_up, expected) in [
        (
            "2026-03-27 23:59 topup 10",
            expect![[r#"
                03-27 23:59 TopUp 10
                03-31 00:00 DiscardOwn -10
                03-31 00:00 to 04-30 00:00: own 0, free 0 and 0 s
            "#]],
        ),
        (
            "2026-03-28 00:00 topup 10",
            expect![[r#"
                03-28 00:00 TopUp 10
                03-31 00:00 to 04-30 00:00: own 10, free 0 and 0 s
            "#]],
        ),
    ] {
        check(&create, ("0", 0), &["2026-01-31 15:00", top_up, "2026-03-31 00:00 to"], expected);
    }
    // Open from 25 September, 12:00: it would end on 25 October at 12:00, after the hour shown twice. Three days before that are 73 hours.
    let open = timely(StartMode::TopUp);
    for (second, expected) in [
        (
            "2026-10-22 11:59 topup 1",
            expect![[r#"
                09-25 12:00 TopUp 10
                10-22 11:59 DiscardOwn -10
                10-22 11:59 TopUp 1
                10-22 11:59 to open: own 1, free 0 and 0 s
            "#]],
        ),
        (
            "2026-10-22 12:00 topup 1",
            expect![[r#"
                09-25 12:00 TopUp 10
                10-22 12:00 TopUp 1
                10-22 12:00 to open: own 11, free 0 and 0 s
            "#]],
        ),
    ] {
        check(&open, ("0", 0), &["2026-09-01 00:00", "2026-09-25 12:00 topup 10", second], expected);
    }
}

#[test]
fn second_top_up_in_an_open_interval_keeps_the_first_if_it_is_in_time() {
    // Each top-up opens an interval. That of 2 January would end on 2 February at 8:00, so its last three days begin on 30 January at 8:00.
    let open = timely(StartMode::TopUp);
    let from = ["2026-01-01 00:00", "2026-01-02 08:00 topup 5"];
    check(
        &open,
        ("3", 0),
        &[from[0], from[1], "2026-01-30 07:59 topup 1"],
        expect![[r#"
            01-01 00:00 GrantCash 3
            01-02 08:00 ExpireCash -3
            01-02 08:00 GrantCash 3
            01-02 08:00 TopUp 5
            01-30 07:59 ExpireCash -3
            01-30 07:59 DiscardOwn -5
            01-30 07:59 GrantCash 3
            01-30 07:59 TopUp 1
            01-30 07:59 to open: own 1, free 3 and 0 s
        "#]],
    );
    check(
        &open,
        ("3", 0),
        &[from[0], from[1], "2026-01-30 08:00 topup 1"],
        expect![[r#"
            01-01 00:00 GrantCash 3
            01-02 08:00 ExpireCash -3
            01-02 08:00 GrantCash 3
            01-02 08:00 TopUp 5
            01-30 08:00 ExpireCash -3
            01-30 08:00 GrantCash 3
            01-30 08:00 TopUp 1
            01-30 08:00 to open: own 6, free 3 and 0 s
        "#]],
    );
    // The last moment, and when it has expired already.
    check(
        &open,
        ("0", 0),
        &[from[0], from[1], "2026-02-02 07:59 topup 1"],
        expect![[r#"
            01-02 08:00 TopUp 5
            02-02 07:59 TopUp 1
            02-02 07:59 to open: own 6, free 0 and 0 s
        "#]],
    );
    check(
        &open,
        ("0", 0),
        &[from[0], from[1], "2026-02-02 08:00 topup 1"],
        expect![[r#"
            01-02 08:00 TopUp 5
            02-02 08:00 DiscardOwn -5
            02-02 08:00 TopUp 1
            02-02 08:00 to open: own 1, free 0 and 0 s
        "#]],
    );
    // What was kept expires a month after the top-up that kept it.
    check(
        &open,
        ("0", 0),
        &[from[0], from[1], "2026-01-30 08:00 topup 1", "2026-02-28 08:00 to"],
        expect![[r#"
            01-02 08:00 TopUp 5
            01-30 08:00 TopUp 1
            02-28 08:00 DiscardOwn -6
            01-30 08:00 to open: own 0, free 0 and 0 s
        "#]],
    );
}

#[test]
fn top_up_that_begins_fixed_intervals_keeps_own_money_if_it_is_in_time() {
    // Open until the first top-up: it would end on 1 February, so its last three days begin on 29 January. 2.00 are there to begin with.
    let interval = Rules { initial_micros: 2_000_000, ..timely(StartMode::TopUpInterval) };
    for (first, expected) in [
        (
            "2026-01-28 23:59 topup 5",
            expect![[r#"
                01-01 00:00 InitialOwn 2
                01-28 23:59 DiscardOwn -2
                01-28 23:59 TopUp 5
                01-28 23:59 to 02-28 23:59: own 5, free 0 and 0 s
            "#]],
        ),
        (
            "2026-01-29 00:00 topup 5",
            expect![[r#"
                01-01 00:00 InitialOwn 2
                01-29 00:00 TopUp 5
                01-29 00:00 to 02-28 00:00: own 7, free 0 and 0 s
            "#]],
        ),
    ] {
        check(&interval, ("0", 0), &["2026-01-01 00:00", first], expected);
    }
    // From then on it has an end: that of 10 February, 8:00 ends on 10 March, and its last three days begin on the 7th at 8:00.
    let interval = timely(StartMode::TopUpInterval);
    for (second, expected) in [
        (
            "2026-03-07 07:59 topup 1",
            expect![[r#"
                02-10 08:00 TopUp 5
                03-07 07:59 DiscardOwn -5
                03-07 07:59 TopUp 1
                03-07 07:59 to 04-07 07:59: own 1, free 0 and 0 s
            "#]],
        ),
        (
            "2026-03-07 08:00 topup 1",
            expect![[r#"
                02-10 08:00 TopUp 5
                03-07 08:00 TopUp 1
                03-07 08:00 to 04-07 08:00: own 6, free 0 and 0 s
            "#]],
        ),
        // Without one its end comes, and the next interval begins there.
        (
            "2026-03-10 08:00 to",
            expect![[r#"
                02-10 08:00 TopUp 5
                03-10 08:00 DiscardOwn -5
                03-10 08:00 to 04-10 08:00: own 0, free 0 and 0 s
            "#]],
        ),
    ] {
        check(&interval, ("0", 0), &["2026-01-01 00:00", "2026-02-10 08:00 topup 5", second], expected);
    }
}

#[test]
fn top_up_in_time_by_the_package_before_counts_after_a_switch() {
    let before = timely(StartMode::FirstTz);
    // Of the new package only the last day is timely, and its months begin on the day of creation, the 10th.
    let after = Rules { timely: Some(length(1, BalanceUnit::Day)), ..timely(StartMode::CreateTz) };
    // 29 May is in the last three days of May. The running interval, moved to 10 June, has had its top-up.
    check_switch(
        &before,
        &after,
        ("0", 0),
        &["2026-05-10 15:00", "2026-05-29 00:00 topup 10", "2026-05-30 00:00 package", "2026-06-10 00:00 to"],
        expect![[r#"
            05-29 00:00 TopUp 10
            06-10 00:00 to 07-10 00:00: own 10, free 0 and 0 s
        "#]],
    );
    // The day before was too early then. The new package would have to see one on its own last day, 9 June.
    check_switch(
        &before,
        &after,
        ("0", 0),
        &["2026-05-10 15:00", "2026-05-28 23:59 topup 10", "2026-05-30 00:00 package", "2026-06-10 00:00 to"],
        expect![[r#"
            05-28 23:59 TopUp 10
            06-10 00:00 DiscardOwn -10
            06-10 00:00 to 07-10 00:00: own 0, free 0 and 0 s
        "#]],
    );
    check_switch(
        &before,
        &after,
        ("0", 0),
        &[
            "2026-05-10 15:00",
            "2026-05-28 23:59 topup 10",
            "2026-05-30 00:00 package",
            "2026-06-09 00:00 topup 1",
            "2026-06-10 00:00 to",
        ],
        expect![[r#"
            05-28 23:59 TopUp 10
            06-09 00:00 TopUp 1
            06-10 00:00 to 07-10 00:00: own 11, free 0 and 0 s
        "#]],
    );
    // A voucher that brings the package is itself judged by the one before: 29 May counts, though not in the last day of the new interval.
    check_switch(
        &before,
        &after,
        ("0", 0),
        &["2026-05-10 15:00", "2026-05-29 00:00 voucher 10", "2026-06-10 00:00 to"],
        expect![[r#"
            05-29 00:00 TopUp 10
            06-10 00:00 to 07-10 00:00: own 10, free 0 and 0 s
        "#]],
    );
    check_switch(
        &before,
        &after,
        ("0", 0),
        &["2026-05-10 15:00", "2026-05-28 23:59 voucher 10", "2026-06-10 00:00 to"],
        expect![[r#"
            05-28 23:59 TopUp 10
            06-10 00:00 DiscardOwn -10
            06-10 00:00 to 07-10 00:00: own 0, free 0 and 0 s
        "#]],
    );
}

#[test]
fn switch_to_intervals_of_top_ups_keeps_what_a_top_up_in_time_has_kept() {
    let before = timely(StartMode::FirstTz);
    let topup = timely(StartMode::TopUp);
    // The switch ends the interval, and the top-up of 29 May was in its last three days.
    check_switch(
        &before,
        &topup,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-29 00:00 topup 10", "2026-05-30 12:00 package"],
        expect![[r#"
            05-29 00:00 TopUp 10
            05-30 12:00 to open: own 10, free 0 and 0 s
        "#]],
    );
    check_switch(
        &before,
        &topup,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-28 23:59 topup 10", "2026-05-30 12:00 package"],
        expect![[r#"
            05-28 23:59 TopUp 10
            05-30 12:00 DiscardOwn -10
            05-30 12:00 to open: own 0, free 0 and 0 s
        "#]],
    );
    // Left open until the next top-up, the interval would have ended on 1 June. It is carried over that once, and ends a month later.
    let interval = timely(StartMode::TopUpInterval);
    let script = ["2026-05-01 00:00", "2026-05-29 00:00 topup 10", "2026-05-30 12:00 package"];
    check_switch(
        &before,
        &interval,
        ("0", 0),
        &[script[0], script[1], script[2], "2026-06-30 23:59 to"],
        expect![[r#"
            05-29 00:00 TopUp 10
            05-01 00:00 to open: own 10, free 0 and 0 s
        "#]],
    );
    check_switch(
        &before,
        &interval,
        ("0", 0),
        &[script[0], script[1], script[2], "2026-07-01 00:00 to"],
        expect![[r#"
            05-29 00:00 TopUp 10
            07-01 00:00 DiscardOwn -10
            05-01 00:00 to open: own 0, free 0 and 0 s
        "#]],
    );
    check_switch(
        &before,
        &interval,
        ("0", 0),
        &[script[0], "2026-05-28 23:59 topup 10", script[2], "2026-06-01 00:00 to"],
        expect![[r#"
            05-28 23:59 TopUp 10
            06-01 00:00 DiscardOwn -10
            05-01 00:00 to open: own 0, free 0 and 0 s
        "#]],
    );
}
