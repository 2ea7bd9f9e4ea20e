//! Package switches: what they take, give, and set off.

use expect_test::expect;
use model::{CarryOver, LockLevel, StartMode};

use super::{DEAR, LOCK, carrying, check_switch, rules};
use crate::balance::Rules;

/// Top-ups make its intervals, own money ends with each, and below 2.00 it locks, below 1.00 it takes the dear profile.
fn strict() -> Rules {
    Rules {
        start: Some(StartMode::TopUp),
        underrun_lock: Some(LOCK),
        underrun_profiles: Some(DEAR),
        ..carrying(CarryOver::Discard)
    }
}

#[test]
fn switch_that_takes_the_balance_below_a_threshold_of_the_new_package_sets_it_off() {
    let script = ["2026-05-01 00:00", "2026-05-10 08:00 topup 10", "2026-05-20 12:00 package"];
    check_switch(
        &rules(),
        &strict(),
        ("0", 0),
        &script,
        expect![[r#"
            05-10 08:00 TopUp 10
            05-20 12:00 DiscardOwn -10
            05-20 12:00 lock outgoing
            05-20 12:00 profiles Underrun
            05-20 12:00 to open: own 0, free 0 and 0 s
        "#]],
    );
    // It was below the threshold of the package before already, which is another's.
    let higher = Rules { underrun_lock: Some((20_000_000, LockLevel::All)), ..rules() };
    check_switch(
        &higher,
        &strict(),
        ("0", 0),
        &script,
        expect![[r#"
            05-01 00:00 lock all
            05-10 08:00 TopUp 10
            05-20 12:00 DiscardOwn -10
            05-20 12:00 lock outgoing
            05-20 12:00 profiles Underrun
            05-20 12:00 to open: own 0, free 0 and 0 s
        "#]],
    );
    // What the new interval gives counts: 1.50 are below the one threshold and not the other.
    check_switch(
        &rules(),
        &strict(),
        ("1.5", 0),
        &script,
        expect![[r#"
            05-01 00:00 GrantCash 1.5
            05-10 08:00 TopUp 10
            05-20 12:00 ExpireCash -1.5
            05-20 12:00 DiscardOwn -10
            05-20 12:00 GrantCash 1.5
            05-20 12:00 lock outgoing
            05-20 12:00 to open: own 0, free 1.5 and 0 s
        "#]],
    );
}

#[test]
fn switch_that_takes_nothing_sets_nothing_off() {
    // 1.50 were below 2.00 before and after: nothing fell. A call that takes it below 1.00 does.
    let lax = Rules { start: Some(StartMode::FirstTz), carry_over: CarryOver::CarryOver, ..strict() };
    check_switch(
        &rules(),
        &lax,
        ("0", 0),
        &[
            "2026-05-01 00:00",
            "2026-05-10 08:00 topup 1.5",
            "2026-05-20 12:00 package",
            "2026-05-21 12:00 call 1",
            "2026-05-22 12:00 topup 5",
            "2026-05-23 12:00 call 5",
        ],
        expect![[r#"
            05-10 08:00 TopUp 1.5
            05-21 12:00 CallOwn -1
            05-21 12:00 profiles Underrun
            05-22 12:00 TopUp 5
            05-23 12:00 CallOwn -5
            05-23 12:00 lock outgoing
            05-23 12:00 profiles Underrun
            05-01 00:00 to 06-01 00:00: own 0.5, free 0 and 0 s
        "#]],
    );
    // Above both it stays there; the package without thresholds sets nothing off either.
    check_switch(
        &rules(),
        &lax,
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 2", "2026-05-20 12:00 package"],
        expect![[r#"
            05-10 08:00 TopUp 2
            05-01 00:00 to 06-01 00:00: own 2, free 0 and 0 s
        "#]],
    );
    check_switch(
        &lax,
        &Rules { start: Some(StartMode::TopUp), ..carrying(CarryOver::Discard) },
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 2", "2026-05-20 12:00 package"],
        expect![[r#"
            05-01 00:00 lock outgoing
            05-01 00:00 profiles Underrun
            05-10 08:00 TopUp 2
            05-20 12:00 DiscardOwn -2
            05-20 12:00 to open: own 0, free 0 and 0 s
        "#]],
    );
}

#[test]
fn voucher_that_brings_a_package_is_judged_by_the_thresholds_of_that() {
    // 10.00 were below the threshold of the package before. They end with its interval, and the voucher's 1.50 are below the new 2.00.
    let higher = Rules { underrun_lock: Some((20_000_000, LockLevel::All)), ..rules() };
    check_switch(
        &higher,
        &strict(),
        ("0", 0),
        &["2026-05-01 00:00", "2026-05-10 08:00 topup 10", "2026-05-20 12:00 voucher 1.5"],
        expect![[r#"
            05-01 00:00 lock all
            05-10 08:00 TopUp 10
            05-20 12:00 DiscardOwn -10
            05-20 12:00 TopUp 1.5
            05-20 12:00 lock outgoing
            05-20 12:00 to open: own 1.5, free 0 and 0 s
        "#]],
    );
}
