//! Package switches: what they take, give, and set off.

use chrono::{DateTime, Utc};
use expect_test::expect;
use model::{BalanceUnit, CarryOver, LockLevel, StartMode};

use super::{DEAR, LOCK, carrying, check_switch, length, local, rules};
use crate::balance::{Contract, Due, Grant, Outcome, Rules};

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

/// As [`rules`], by weeks from creation.
fn weeks() -> Rules {
    Rules { start: Some(StartMode::CreateTz), interval: length(1, BalanceUnit::Week), ..rules() }
}

#[test]
fn smaller_share_of_the_first_interval_takes_only_what_is_left_of_it() {
    // From 16 May to the end of the month: 16 of 31 days of 31.00. With its end moved to the 23rd, 7 of 22 days, 9.863636: 6.136364 less.
    let switched = "2026-05-20 12:00 package";
    check_switch(
        &rules(),
        &weeks(),
        ("31", 0),
        &["2026-05-16 15:00", "2026-05-17 12:00 call 2", switched],
        expect![[r#"
            05-16 15:00 GrantCash 16
            05-17 12:00 CallFreeCash -2
            05-20 12:00 ExpireCash -6.136364
            05-01 00:00 to 05-23 00:00: own 0, free 7.863636 and 0 s
        "#]],
    );
    // Of which 6.00 are left.
    check_switch(
        &rules(),
        &weeks(),
        ("31", 0),
        &["2026-05-16 15:00", "2026-05-17 12:00 call 10", switched],
        expect![[r#"
            05-16 15:00 GrantCash 16
            05-17 12:00 CallFreeCash -10
            05-20 12:00 ExpireCash -6
            05-01 00:00 to 05-23 00:00: own 0, free 0 and 0 s
        "#]],
    );
    // Of all that was used nothing; the next interval gives all of its own and no more.
    let used = ["2026-05-16 15:00", "2026-05-17 12:00 call 16", switched, "2026-05-23 00:00 to"];
    check_switch(
        &rules(),
        &weeks(),
        ("31", 0),
        &used,
        expect![[r#"
            05-16 15:00 GrantCash 16
            05-17 12:00 CallFreeCash -16
            05-23 00:00 GrantCash 31
            05-23 00:00 to 05-30 00:00: own 0, free 31 and 0 s
        "#]],
    );
    // The reference has one sum of cash, and carries over what it lacks.
    let compat = |rules: Rules| Rules { compat: true, prepaid: true, ..rules };
    check_switch(
        &compat(rules()),
        &compat(weeks()),
        ("31", 0),
        &used,
        expect![[r#"
            05-16 15:00 GrantCash 16
            05-17 12:00 CallFreeCash -16
            05-20 12:00 ExpireCash -6.136364
            05-23 00:00 ExpireCash 6.136364
            05-23 00:00 DiscardOwn -6.136364
            05-23 00:00 GrantCash 31
            05-23 00:00 to 05-30 00:00: own -6.136364, free 31 and 0 s
        "#]],
    );
}

#[test]
fn switch_there_and_back_gives_no_free_cash_twice() {
    let grant_at = |_: DateTime<Utc>| Grant { micros: 31_000_000, seconds: 0 };
    let mut outcome = Outcome::default();
    let mut contract = Contract::open(local("2026-05-16 15:00"), &rules(), &grant_at, &mut outcome);
    let interval = contract.running().stretch.start;
    let due = Due { interval, price_micros: 16_000_000, free_seconds: 0 };
    let call = local("2026-05-17 12:00");
    let taken = contract.spend(call, &[due], &rules(), &mut outcome);
    let mut left_after = |contract: &mut Contract, at: &str, rules: &Rules| {
        contract.switch_package(local(at), rules, &grant_at, &mut outcome);
        contract.running().left.micros
    };
    for _ in 0..3 {
        assert_eq!(left_after(&mut contract, "2026-05-20 12:00", &weeks()), 0);
        assert_eq!(left_after(&mut contract, "2026-05-20 18:00", &rules()), 0);
    }
    // What a record that corrects the call gives back is what the one before had; then it can be taken, and comes back.
    contract.give_back(call, &taken, &rules(), &mut Outcome::default());
    assert_eq!(contract.running().left.micros, 16_000_000);
    assert_eq!(left_after(&mut contract, "2026-05-22 12:00", &weeks()), 9_863_636);
    assert_eq!(left_after(&mut contract, "2026-05-22 18:00", &rules()), 16_000_000);
}
