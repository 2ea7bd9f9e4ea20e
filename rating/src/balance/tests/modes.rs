//! Grants, carry-over, expiry, packages, thresholds.

use expect_test::expect;
use model::{BalanceUnit, CarryOver, LockLevel, StartMode};

use super::super::Rules;
use super::{DEAR, LOCK, carrying, check, check_switch, length, rules};

#[test]
fn first_interval_gives_its_share_from_the_day_of_creation() {
    // 16 of 31 days: 31 × 16 / 31 and 3100 × 16 / 31.
    check(
        &rules(),
        ("31", 3100),
        &["2026-05-16 15:00"],
        expect![[r#"
        05-16 15:00 GrantCash 16
        05-16 15:00 GrantTime 1600
        05-01 00:00 to 06-01 00:00: own 0, free 16 and 1600 s
    "#]],
    );
    // On its first day all of it.
    check(
        &rules(),
        ("31", 3100),
        &["2026-05-01 15:00"],
        expect![[r#"
        05-01 15:00 GrantCash 31
        05-01 15:00 GrantTime 3100
        05-01 00:00 to 06-01 00:00: own 0, free 31 and 3100 s
    "#]],
    );
    // An interval that begins with the creation is whole, and so is an open one.
    let create = Rules { start: Some(StartMode::CreateTz), ..rules() };
    check(
        &create,
        ("31", 3100),
        &["2026-05-16 15:00"],
        expect![[r#"
        05-16 15:00 GrantCash 31
        05-16 15:00 GrantTime 3100
        05-16 00:00 to 06-16 00:00: own 0, free 31 and 3100 s
    "#]],
    );
    let open = Rules { start: Some(StartMode::TopUp), ..rules() };
    check(
        &open,
        ("31", 3100),
        &["2026-05-16 15:00"],
        expect![[r#"
        05-16 15:00 GrantCash 31
        05-16 15:00 GrantTime 3100
        05-16 15:00 to open: own 0, free 31 and 3100 s
    "#]],
    );
    // March has an hour less: 11 days less that hour of 31 days less it, 10.9583 / 30.9583.
    check(
        &rules(),
        ("31", 3100),
        &["2026-03-21 15:00"],
        expect![[r#"
        03-21 15:00 GrantCash 10.973082
        03-21 15:00 GrantTime 1097
        03-01 00:00 to 04-01 00:00: own 0, free 10.973082 and 1097 s
    "#]],
    );
}

#[test]
fn carry_over_keeps_own_money_and_lets_the_rest_of_the_grant_expire() {
    check(
        &carrying(CarryOver::CarryOver),
        ("5", 600),
        &[
            "2026-05-01 00:00",
            "2026-05-02 12:00 topup 10",
            "2026-05-03 12:00 call 3 60",
            "2026-06-01 00:00 call 7",
            "2026-07-01 00:00 to",
        ],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-01 00:00 GrantTime 600
            05-02 12:00 TopUp 10
            05-03 12:00 CallTime -60
            05-03 12:00 CallFreeCash -3
            06-01 00:00 ExpireTime -540
            06-01 00:00 ExpireCash -2
            06-01 00:00 GrantCash 5
            06-01 00:00 GrantTime 600
            06-01 00:00 CallFreeCash -5
            06-01 00:00 CallOwn -2
            07-01 00:00 ExpireTime -600
            07-01 00:00 GrantCash 5
            07-01 00:00 GrantTime 600
            07-01 00:00 to 08-01 00:00: own 8, free 5 and 600 s
        "#]],
    );
}

#[test]
fn discard_lets_own_money_expire_and_not_a_debt() {
    check(
        &carrying(CarryOver::Discard),
        ("5", 0),
        &["2026-05-01 00:00", "2026-05-02 12:00 topup 10", "2026-05-03 12:00 call 6", "2026-06-10 00:00 to"],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-02 12:00 TopUp 10
            05-03 12:00 CallFreeCash -5
            05-03 12:00 CallOwn -1
            06-01 00:00 DiscardOwn -9
            06-01 00:00 GrantCash 5
            06-01 00:00 to 07-01 00:00: own 0, free 5 and 0 s
        "#]],
    );
    let prepaid = Rules { prepaid: true, ..carrying(CarryOver::Discard) };
    check(
        &prepaid,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-03 12:00 call 6", "2026-06-10 00:00 to"],
        expect![[r#"
        05-03 12:00 CallOwn -6
        06-01 00:00 to 07-01 00:00: own -6, free 0 and 0 s
    "#]],
    );
    // The reference forgives it.
    let compat = Rules { compat: true, ..prepaid };
    check(
        &compat,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-03 12:00 call 6", "2026-06-10 00:00 to"],
        expect![[r#"
        05-03 12:00 CallOwn -6
        06-01 00:00 DiscardOwn 6
        06-01 00:00 to 07-01 00:00: own 0, free 0 and 0 s
    "#]],
    );
}

#[test]
fn timely_top_up_keeps_own_money_and_another_does_not() {
    let timely = Rules { timely: Some(length(3, BalanceUnit::Day)), ..carrying(CarryOver::Timely) };
    // The last three days of May begin at midnight of the 29th.
    check(
        &timely,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-29 00:00 topup 10", "2026-06-01 00:00 to"],
        expect![[r#"
        05-29 00:00 TopUp 10
        06-01 00:00 to 07-01 00:00: own 10, free 0 and 0 s
    "#]],
    );
    check(
        &timely,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-28 23:59 topup 10", "2026-06-01 00:00 to"],
        expect![[r#"
        05-28 23:59 TopUp 10
        06-01 00:00 DiscardOwn -10
        06-01 00:00 to 07-01 00:00: own 0, free 0 and 0 s
    "#]],
    );
    // One in time does not count for the next month.
    check(
        &timely,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-30 00:00 topup 10", "2026-06-20 00:00 topup 1", "2026-07-01 00:00 to"],
        expect![[r#"
            05-30 00:00 TopUp 10
            06-20 00:00 TopUp 1
            07-01 00:00 DiscardOwn -11
            07-01 00:00 to 08-01 00:00: own 0, free 0 and 0 s
        "#]],
    );
}

#[test]
fn top_ups_make_intervals_where_the_package_says_so() {
    let open = Rules { start: Some(StartMode::TopUp), ..rules() };
    check(
        &open,
        ("5", 60),
        &["2026-05-01 00:00", "2026-05-02 12:00 call 2", "2026-05-10 08:00 topup 10", "2026-09-10 08:00 to"],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-01 00:00 GrantTime 60
            05-02 12:00 CallFreeCash -2
            05-10 08:00 ExpireTime -60
            05-10 08:00 ExpireCash -3
            05-10 08:00 GrantCash 5
            05-10 08:00 GrantTime 60
            05-10 08:00 TopUp 10
            05-10 08:00 to open: own 10, free 5 and 60 s
        "#]],
    );
    // Open until the first, then months from the last one.
    let interval = Rules { start: Some(StartMode::TopUpInterval), ..rules() };
    check(
        &interval,
        ("5", 0),
        &["2026-05-01 00:00", "2026-05-31 08:00 topup 10", "2026-06-30 08:00 to", "2026-07-05 09:00 topup 1"],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-31 08:00 ExpireCash -5
            05-31 08:00 GrantCash 5
            05-31 08:00 TopUp 10
            06-30 08:00 ExpireCash -5
            06-30 08:00 GrantCash 5
            07-05 09:00 ExpireCash -5
            07-05 09:00 GrantCash 5
            07-05 09:00 TopUp 1
            07-05 09:00 to 08-05 09:00: own 11, free 5 and 0 s
        "#]],
    );
}

#[test]
fn top_up_takes_the_charge_and_sets_lock_and_profile() {
    let gold = Rules {
        service_charge_micros: 1_500_000,
        topup_profiles: true,
        topup_lock: Some(LockLevel::None),
        initial_micros: 2_000_000,
        ..rules()
    };
    check(
        &gold,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 10"],
        expect![[r#"
        05-01 00:00 InitialOwn 2
        05-10 08:00 TopUp 10
        05-10 08:00 ServiceCharge -1.5
        05-10 08:00 profiles TopUp
        05-10 08:00 lock none
        05-01 00:00 to 06-01 00:00: own 10.5, free 0 and 0 s
    "#]],
    );
}

#[test]
fn underrun_locks_and_changes_the_profile_once() {
    let guarded = Rules { underrun_lock: Some(LOCK), underrun_profiles: Some(DEAR), ..rules() };
    check(
        &guarded,
        ("0", 0),
        &[
            "2026-05-01 00:00",
            "2026-05-02 00:00 topup 3",
            "2026-05-03 00:00 call 1",
            "2026-05-03 01:00 call 0.01",
            "2026-05-03 02:00 call 0.99",
            "2026-05-03 03:00 call 0.5",
            "2026-05-04 00:00 topup 5",
            "2026-05-05 00:00 call 4",
        ],
        expect![[r#"
            05-01 00:00 lock outgoing
            05-01 00:00 profiles Underrun
            05-02 00:00 TopUp 3
            05-03 00:00 CallOwn -1
            05-03 01:00 CallOwn -0.01
            05-03 01:00 lock outgoing
            05-03 02:00 CallOwn -0.99
            05-03 03:00 CallOwn -0.5
            05-03 03:00 profiles Underrun
            05-04 00:00 TopUp 5
            05-05 00:00 CallOwn -4
            05-05 00:00 lock outgoing
            05-01 00:00 to 06-01 00:00: own 1.5, free 0 and 0 s
        "#]],
    );
    // By what expires at the end of an interval, and at the very beginning.
    let discard = Rules { carry_over: CarryOver::Discard, ..guarded };
    check(
        &discard,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-02 00:00 topup 3", "2026-06-01 00:00 to"],
        expect![[r#"
            05-01 00:00 lock outgoing
            05-01 00:00 profiles Underrun
            05-02 00:00 TopUp 3
            06-01 00:00 DiscardOwn -3
            06-01 00:00 lock outgoing
            06-01 00:00 profiles Underrun
            06-01 00:00 to 07-01 00:00: own 0, free 0 and 0 s
        "#]],
    );
}

#[test]
fn package_switch_moves_the_end_of_the_running_interval() {
    let create = Rules { start: Some(StartMode::CreateTz), ..rules() };
    let week = Rules { interval: length(1, BalanceUnit::Week), ..create.clone() };
    let topup = Rules { start: Some(StartMode::TopUp), ..rules() };
    let interval = Rules { start: Some(StartMode::TopUpInterval), ..rules() };
    let from = ["2026-05-10 15:00", "2026-06-20 12:00 package"];
    check_switch(
        &rules(),
        &create,
        ("30", 0),
        &from,
        expect![[r#"
        05-10 15:00 GrantCash 21.290323
        06-01 00:00 ExpireCash -21.290323
        06-01 00:00 GrantCash 30
        06-01 00:00 to 07-10 00:00: own 0, free 30 and 0 s
    "#]],
    );
    check_switch(
        &create,
        &rules(),
        ("30", 0),
        &from,
        expect![[r#"
        05-10 15:00 GrantCash 30
        06-10 00:00 ExpireCash -30
        06-10 00:00 GrantCash 30
        06-10 00:00 to 07-01 00:00: own 0, free 30 and 0 s
    "#]],
    );
    check_switch(
        &create,
        &week,
        ("30", 0),
        &from,
        expect![[r#"
        05-10 15:00 GrantCash 30
        06-10 00:00 ExpireCash -30
        06-10 00:00 GrantCash 30
        06-10 00:00 to 06-21 00:00: own 0, free 30 and 0 s
    "#]],
    );
    check_switch(
        &rules(),
        &topup,
        ("30", 0),
        &from,
        expect![[r#"
        05-10 15:00 GrantCash 21.290323
        06-01 00:00 ExpireCash -21.290323
        06-01 00:00 GrantCash 30
        06-20 12:00 ExpireCash -30
        06-20 12:00 GrantCash 30
        06-20 12:00 to open: own 0, free 30 and 0 s
    "#]],
    );
    check_switch(
        &rules(),
        &interval,
        ("30", 0),
        &from,
        expect![[r#"
        05-10 15:00 GrantCash 21.290323
        06-01 00:00 ExpireCash -21.290323
        06-01 00:00 GrantCash 30
        06-01 00:00 to open: own 0, free 30 and 0 s
    "#]],
    );
    // With the voucher that brings it, both kinds begin at once.
    let voucher = ["2026-05-10 15:00", "2026-06-20 12:00 voucher 10"];
    check_switch(
        &rules(),
        &topup,
        ("30", 0),
        &voucher,
        expect![[r#"
        05-10 15:00 GrantCash 21.290323
        06-01 00:00 ExpireCash -21.290323
        06-01 00:00 GrantCash 30
        06-20 12:00 ExpireCash -30
        06-20 12:00 GrantCash 30
        06-20 12:00 TopUp 10
        06-20 12:00 to open: own 10, free 30 and 0 s
    "#]],
    );
    check_switch(
        &rules(),
        &interval,
        ("30", 0),
        &voucher,
        expect![[r#"
        05-10 15:00 GrantCash 21.290323
        06-01 00:00 ExpireCash -21.290323
        06-01 00:00 GrantCash 30
        06-20 12:00 ExpireCash -30
        06-20 12:00 GrantCash 30
        06-20 12:00 TopUp 10
        06-20 12:00 to 07-20 12:00: own 10, free 30 and 0 s
    "#]],
    );
    check_switch(
        &interval,
        &rules(),
        ("30", 0),
        &voucher,
        expect![[r#"
        05-10 15:00 GrantCash 30
        06-20 12:00 TopUp 10
        05-10 15:00 to 07-01 00:00: own 10, free 30 and 0 s
    "#]],
    );
    // In the first interval the free cash follows its share: 22 of 31 days, then 31 of 40.
    let first = ["2026-05-10 15:00", "2026-05-20 12:00 package"];
    check_switch(
        &rules(),
        &create,
        ("31", 0),
        &first,
        expect![[r#"
        05-10 15:00 GrantCash 22
        05-20 12:00 GrantCash 2.025
        05-01 00:00 to 06-10 00:00: own 0, free 24.025 and 0 s
    "#]],
    );
}

#[test]
fn call_that_is_given_back_leaves_no_trace() {
    check(
        &rules(),
        ("5", 600),
        &[
            "2026-05-01 00:00",
            "2026-05-02 00:00 topup 3",
            "2026-05-03 00:00 call 6 60",
            "2026-05-04 00:00 undo",
        ],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-01 00:00 GrantTime 600
            05-02 00:00 TopUp 3
            05-03 00:00 CallTime -60
            05-03 00:00 CallFreeCash -5
            05-03 00:00 CallOwn -1
            05-03 00:00 CallTime 60
            05-03 00:00 CallFreeCash 5
            05-03 00:00 CallOwn 1
            05-01 00:00 to 06-01 00:00: own 3, free 5 and 600 s
        "#]],
    );
    // After the end of its interval, what it took of the grant expires.
    check(
        &rules(),
        ("5", 600),
        &[
            "2026-05-01 00:00",
            "2026-05-02 00:00 topup 3",
            "2026-05-03 00:00 call 6 60",
            "2026-06-04 00:00 undo",
        ],
        expect![[r#"
            05-01 00:00 GrantCash 5
            05-01 00:00 GrantTime 600
            05-02 00:00 TopUp 3
            05-03 00:00 CallTime -60
            05-03 00:00 CallFreeCash -5
            05-03 00:00 CallOwn -1
            06-01 00:00 ExpireTime -540
            06-01 00:00 GrantCash 5
            06-01 00:00 GrantTime 600
            05-03 00:00 CallTime 60
            05-03 00:00 CallFreeCash 5
            05-03 00:00 ExpireCash -5
            05-03 00:00 ExpireTime -60
            05-03 00:00 CallOwn 1
            06-01 00:00 to 07-01 00:00: own 3, free 5 and 600 s
        "#]],
    );
}

#[test]
fn reference_counts_what_was_not_paid_as_use_of_the_grant() {
    let script =
        ["2026-05-01 00:00", "2026-05-02 00:00 call -3", "2026-05-03 00:00 call 4", "2026-06-01 00:00 to"];
    check(
        &rules(),
        ("5", 0),
        &script,
        expect![[r#"
        05-01 00:00 GrantCash 5
        05-03 00:00 CallFreeCash -4
        06-01 00:00 ExpireCash -1
        06-01 00:00 GrantCash 5
        06-01 00:00 to 07-01 00:00: own 0, free 5 and 0 s
    "#]],
    );
    // The counter stands at 1, so 4 of the grant count as unused though only 1 is left: 3 are taken from the account.
    check(
        &Rules { compat: true, ..rules() },
        ("5", 0),
        &script,
        expect![[r#"
        05-01 00:00 GrantCash 5
        05-03 00:00 CallFreeCash -4
        06-01 00:00 ExpireCash -1
        06-01 00:00 DiscardOwn -3
        06-01 00:00 GrantCash 5
        06-01 00:00 to 07-01 00:00: own -3, free 5 and 0 s
    "#]],
    );
}
