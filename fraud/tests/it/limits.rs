//! Interval limits, limits of a profile, warnings, calls in progress, whose price, how a lock ends.

use expect_test::{Expect, expect};
use model::{
    AccountId, Currency, Directory, Effect, FraudCompat, FraudLimit, FraudPolicy, FraudPrice, FraudUnlock,
    Lock, LockLevel, LockSource, Money, ProfileId, ProfileLimits, ProfileMapping,
};

use crate::script::{check_in, desk, directory, feed, limit, lock, picture, records};

/// Account 1 with these limits in the place of its usual one.
fn with(daily: Option<FraudLimit>, interval: Option<FraudLimit>) -> Directory {
    let mut directory = directory();
    directory.accounts[0].fraud = FraudPolicy { daily, interval };
    directory
}

#[track_caller]
fn check_with(daily: Option<FraudLimit>, interval: Option<FraudLimit>, script: &str, expected: Expect) {
    check_in(with(daily, interval), script, expected);
}

#[test]
fn interval_limit_adds_up_the_days_of_a_month_and_begins_anew_with_the_next() {
    check_with(
        None,
        Some(limit(10, LockLevel::Foreign)),
        "2026-10-05T10:00:00Z call a 60 4
         2026-10-20T10:00:00Z tick
         2026-10-20T10:00:00Z call b 60 5.99
         2026-10-31T22:59:00Z call c 30 0.01
         2026-10-31T23:00:00Z tick
         2026-11-01T10:00:00Z call d 60 9.99",
        expect![[r#"
            lock 1 foreign by fraud since 10-31T22:59:30 until 10-31T23:00:00: spent 10 EUR in 2026-10, the interval limit is 10 EUR
              control: 1 is foreign
            alert interval_spend 1 2026-10: 10.00 EUR of 10 EUR, lock foreign, to desk@example.org, shown by b a c
              control: end calls of 1
            lock 1 none by fraud since 10-31T23:00:00 for good: its time is over (spent 10 EUR in 2026-10, the interval limit is 10 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn contract_lock_keeps_its_level_and_is_never_made_global() {
    for level in [LockLevel::Foreign, LockLevel::Outgoing, LockLevel::All] {
        let effects = feed(
            &mut desk(with(Some(limit(10, level)), None)),
            &records("2026-10-05T10:00:00Z call a 60 12"),
        );
        assert!(picture(&effects).contains(&format!("lock 1 {level} by fraud")), "{level}");
    }
}

#[test]
fn stronger_of_two_locks_wins_and_the_other_comes_back_when_it_ends() {
    check_with(
        Some(limit(10, LockLevel::All)),
        Some(limit(15, LockLevel::Outgoing)),
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T10:05:00Z call b 60 4
         2026-10-05T22:00:00Z tick
         2026-10-31T23:00:00Z tick",
        expect![[r#"
            lock 1 all by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is all
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock all, to desk@example.org, shown by a
              control: end calls of 1
            alert interval_spend 1 2026-10: 16 EUR of 15 EUR, lock all, to desk@example.org, shown by a b
              control: end calls of 1
            lock 1 none by fraud since 10-05T22:00:00 for good: its time is over (spent 12 EUR on 2026-10-05, the daily limit is 10 EUR)
              control: 1 is none
            lock 1 outgoing by fraud since 10-05T10:06:00 until 10-31T23:00:00: spent 16 EUR in 2026-10, the interval limit is 15 EUR
              control: 1 is outgoing
            lock 1 none by fraud since 10-31T23:00:00 for good: its time is over (spent 16 EUR in 2026-10, the interval limit is 15 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn longer_of_two_equal_locks_wins() {
    check_with(
        Some(limit(10, LockLevel::Outgoing)),
        Some(limit(15, LockLevel::Outgoing)),
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T10:05:00Z call b 60 4
         2026-10-05T22:00:00Z tick
         2026-10-31T23:00:00Z tick",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
            lock 1 outgoing by fraud since 10-05T10:06:00 until 10-31T23:00:00: spent 16 EUR in 2026-10, the interval limit is 15 EUR
              control: 1 is outgoing
            alert interval_spend 1 2026-10: 16 EUR of 15 EUR, lock outgoing, to desk@example.org, shown by a b
              control: end calls of 1
            lock 1 none by fraud since 10-31T23:00:00 for good: its time is over (spent 16 EUR in 2026-10, the interval limit is 15 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn warnings_come_once_each_and_are_updates_of_one_incident() {
    let daily = FraudLimit { warn_percent: vec![50, 80, 100], ..limit(10, LockLevel::Outgoing) };
    check_with(
        Some(daily),
        None,
        "2026-10-05T10:00:00Z call a 60 4.99
         2026-10-05T10:01:00Z call b 60 0.01
         2026-10-05T10:02:00Z call c 60 1
         2026-10-05T10:03:00Z call d 60 3
         2026-10-05T10:04:00Z call e 60 1",
        expect![[r#"
            warning daily_spend 1 2026-10-05: 5.00 EUR of 10 EUR, lock none, to desk@example.org, shown by a b
            warning update 1 daily_spend 1 2026-10-05: 9.00 EUR of 10 EUR, lock none, to desk@example.org, shown by a d c b
            lock 1 outgoing by fraud since 10-05T10:05:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert update 2 daily_spend 1 2026-10-05: 10.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a d c e b
              control: end calls of 1
        "#]],
    );
}

#[test]
fn one_dear_call_warns_of_the_highest_mark_alone() {
    let daily = FraudLimit { warn_percent: vec![50, 80], ..limit(10, LockLevel::Outgoing) };
    check_with(
        Some(daily),
        None,
        "2026-10-05T10:00:00Z call a 60 9",
        expect![[r#"
        warning daily_spend 1 2026-10-05: 9 EUR of 10 EUR, lock none, to desk@example.org, shown by a
    "#]],
    );
}

#[test]
fn calls_in_progress_lock_before_they_end_and_are_counted_once() {
    check_with(
        Some(limit(10, LockLevel::Outgoing)),
        None,
        "2026-10-05T10:00:00Z call a 60 4
         2026-10-05T10:02:00Z running b 2
         2026-10-05T10:02:30Z running b 3
         2026-10-05T10:02:30Z running c 2.99
         2026-10-05T10:01:00Z call b 120 3.5
         2026-10-05T10:03:00Z running b 3.5
         2026-10-05T10:03:00Z running c 3",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:03:00 until 10-05T22:00:00: spent 10.49 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.49 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a b c
              control: end calls of 1
        "#]],
    );
}

/// The record of a call that is up says less often what an estimate says: neither hides the other, and the end counts once.
#[test]
fn record_of_a_call_that_is_up_is_one_more_estimate() {
    check_with(
        Some(limit(10, LockLevel::Outgoing)),
        None,
        "2026-10-05T10:00:00Z call a 900 4 up=true
         2026-10-05T10:15:30Z running a 4.5
         2026-10-05T10:00:00Z call a 1800 8 rev=1 up=true
         2026-10-05T10:30:10Z running b 1.99
         2026-10-05T10:30:30Z running a 8.1
         2026-10-05T10:00:00Z call a 1860 8.2 rev=2
         2026-10-05T10:33:00Z call c 60 1.7",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:30:30 until 10-05T22:00:00: spent 10.09 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.09 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a b
              control: end calls of 1
        "#]],
    );
}

#[test]
fn call_in_progress_that_falls_silent_no_longer_counts() {
    check_with(
        Some(limit(10, LockLevel::Outgoing)),
        None,
        "2026-10-05T10:00:00Z running a 9
         2026-10-05T10:05:01Z tick
         2026-10-05T10:06:00Z running b 9",
        expect![""],
    );
}

#[test]
fn reference_counts_neither_what_the_balance_paid_nor_calls_in_progress() {
    let daily = FraudLimit { compat: Some(FraudCompat::Reference), ..limit(10, LockLevel::Outgoing) };
    check_with(
        Some(daily),
        None,
        "2026-10-05T10:00:00Z call a 60 4 free=50
         2026-10-05T10:02:00Z running b 50
         2026-10-05T10:02:00Z call c 60 6",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:03:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by c a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn limit_at_the_resellers_price_adds_up_what_the_reseller_pays() {
    let daily = FraudLimit { price: FraudPrice::Reseller, ..limit(10, LockLevel::Outgoing) };
    check_with(
        Some(daily),
        None,
        "2026-10-05T10:00:00Z call a 60 400 reseller=4
         2026-10-05T10:01:00Z call b 60 400 reseller=5.99
         2026-10-05T10:02:00Z call b 60 400 reseller=6 rev=1",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:03:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn lock_ends_after_its_time_or_by_hand_as_configured() {
    let after =
        FraudLimit { unlock: FraudUnlock::After("2h".parse().unwrap()), ..limit(10, LockLevel::Outgoing) };
    let script = "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T11:59:00Z tick
         2026-10-05T12:01:00Z tick
         2026-10-05T22:00:00Z tick";
    check_with(
        Some(after),
        None,
        script,
        expect![[r#"
        lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T12:01:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
          control: end calls of 1
        lock 1 none by fraud since 10-05T12:01:00 for good: its time is over (spent 12 EUR on 2026-10-05, the daily limit is 10 EUR)
          control: 1 is none
    "#]],
    );
    let by_hand = FraudLimit { unlock: FraudUnlock::ByHand, ..limit(10, LockLevel::Outgoing) };
    check_with(
        Some(by_hand),
        None,
        script,
        expect![[r#"
        lock 1 outgoing by fraud since 10-05T10:01:00 for good: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
          control: end calls of 1
    "#]],
    );
}

#[test]
fn account_unlocked_by_hand_is_locked_again_by_the_next_days_limit() {
    let by_hand = FraudLimit { unlock: FraudUnlock::ByHand, ..limit(10, LockLevel::Outgoing) };
    let mut desk = desk(with(Some(by_hand.clone()), None));
    feed(&mut desk, &records("2026-10-05T10:00:00Z call a 60 12"));
    let lifted =
        Lock { since: "2026-10-05T11:00:00Z".parse().unwrap(), ..lock(LockLevel::None, LockSource::Admin) };
    desk.set_directory(Directory { locks: vec![lifted], ..with(Some(by_hand), None) }.into());
    expect![[r#"
        lock 1 outgoing by fraud since 10-06T10:01:00 for good: spent 12 EUR on 2026-10-06, the daily limit is 10 EUR
          control: 1 is outgoing
        alert daily_spend 1 2026-10-06: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b
          control: end calls of 1
    "#]].assert_eq(&picture(&feed(&mut desk, &records("2026-10-06T10:00:00Z call b 60 12"))));
}

#[test]
fn limit_of_the_profile_holds_where_the_account_has_none_of_its_own() {
    let mut directory = with(None, Some(limit(1_000, LockLevel::None)));
    let mapped = vec![ProfileMapping {
        from: "2026-01-01T00:00:00Z".parse().unwrap(),
        to: None,
        network: None,
        profile: ProfileId(3),
    }];
    directory.accounts[0].profiles.clone_from(&mapped);
    directory.accounts[2].profiles = mapped;
    assert_eq!(directory.accounts[2].id, AccountId(3));
    directory.profile_limits = vec![ProfileLimits {
        profile: ProfileId(3),
        fraud: FraudPolicy {
            daily: Some(limit(2, LockLevel::All)),
            interval: Some(limit(2, LockLevel::All)),
        },
    }];
    check_in(
        directory,
        "2026-10-05T10:00:00Z call a 60 2
         2026-10-05T10:00:00Z call b 60 2 account=2
         2026-10-05T10:00:00Z call c 60 2 account=3",
        expect![[r#"
            lock 1 all by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 2 EUR on 2026-10-05, the daily limit is 2 EUR
              control: 1 is all
            alert daily_spend 1 2026-10-05: 2 EUR of 2 EUR, lock all, to desk@example.org, shown by a
              control: end calls of 1
            lock 3 all by fraud since 10-05T10:01:00 until 10-31T23:00:00: spent 2 EUR in 2026-10, the interval limit is 2 EUR
              control: 3 is all
            alert interval_spend 3 2026-10: 2 EUR of 2 EUR, lock all, to desk@example.org, shown by c
              control: end calls of 3
        "#]],
    );
}

#[test]
fn alert_of_a_limit_says_how_the_money_went_and_what_an_hour_more_would_cost() {
    let script = "2026-10-05T08:10:00Z call a 60 2
        2026-10-05T10:00:00Z call b 60 3
        2026-10-05T10:05:00Z call b 60 2.50 rev=1
        2026-10-05T10:30:00Z running c 1
        2026-10-05T10:31:00Z running d 2
        2026-10-05T10:40:00Z running c 6";
    let effects = feed(&mut desk(directory()), &records(script));
    let spending = effects.iter().find_map(|effect| match effect {
        Effect::Alert(alert) => alert.spending.clone(),
        _ => None,
    });
    let spending = spending.unwrap();
    // Two calls are up, at 1 EUR a minute each.
    assert_eq!(spending.at_risk, Money::new(120.into(), Currency::EUR));
    assert_eq!(spending.by_hour[spending.by_hour.len() - 3..], [200, 0, 1_050]);
}
