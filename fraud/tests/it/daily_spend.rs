//! What counts towards the daily limit, and on which day.

use expect_test::expect;

use crate::script::check;

#[test]
fn second_call_reaches_the_limit_and_locks_the_account_out() {
    check(
        "2026-10-05T10:00:00Z call a 60 4.50
         2026-10-05T10:05:00Z call b 60.5 5.75",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:06:00 until 10-05T22:00:00: spent 10.25 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.25 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn limit_reached_to_the_last_digit_is_reached() {
    check(
        "2026-10-05T10:00:00Z call a 60 9.999999
         2026-10-05T10:05:00Z call b 60 0.000001",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:06:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.000000 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a b
              control: end calls of 1
        "#]],
    );
}

#[test]
fn a_millionth_below_the_limit_is_below_it() {
    check(
        "2026-10-05T10:00:00Z call a 60 9.999999
         2026-10-05T10:05:00Z call b 60 0",
        expect![""],
    );
}

#[test]
fn balance_and_free_cash_count_like_money_to_be_paid() {
    check(
        "2026-10-05T10:00:00Z call a 60 1 free=4
         2026-10-05T10:05:00Z call b 60 0 free=5",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:06:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b a
              control: end calls of 1
        "#]],
    );
}

#[test]
fn limit_fires_again_at_its_double_and_a_later_cheaper_call_unlocks_nothing() {
    check(
        "2026-10-05T10:00:00Z call a 60 12
         2026-10-05T10:05:00Z call b 60 0.01
         2026-10-05T10:06:00Z call c 60 -5
         2026-10-05T10:07:00Z call d 60 20
         2026-10-06T10:00:00Z call e 60 12",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 12 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a
              control: end calls of 1
            lock 1 outgoing by fraud since 10-05T10:08:00 until 10-05T22:00:00: spent 27.01 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert update 1 daily_spend 1 2026-10-05: 27.01 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by d a b c
              control: end calls of 1
            lock 1 outgoing by fraud since 10-06T10:01:00 until 10-06T22:00:00: spent 12 EUR on 2026-10-06, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-06: 12 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by e
              control: end calls of 1
        "#]],
    );
}

#[test]
fn account_without_a_limit_is_left_alone() {
    check("2026-10-05T10:00:00Z call a 60 1000000 account=2", expect![""]);
}

#[test]
fn limit_without_a_lock_only_warns() {
    check(
        "2026-10-05T10:00:00Z call a 60 5 account=3",
        expect![[r#"
        alert daily_spend 3 2026-10-05: 5 EUR of 5 EUR, lock none, to desk@example.org, shown by a
    "#]],
    );
}

#[test]
fn evidence_names_the_ten_dearest_calls() {
    check(
        "2026-10-05T10:00:00Z call a 60 0.10
         2026-10-05T10:00:00Z call b 60 0.70
         2026-10-05T10:00:00Z call c 60 0.20
         2026-10-05T10:00:00Z call d 60 0.80
         2026-10-05T10:00:00Z call e 60 1.10
         2026-10-05T10:00:00Z call f 60 0.30
         2026-10-05T10:00:00Z call g 60 0.90
         2026-10-05T10:00:00Z call h 60 1.00
         2026-10-05T10:00:00Z call i 60 0.40
         2026-10-05T10:00:00Z call j 60 0.50
         2026-10-05T10:00:00Z call k 60 0.60
         2026-10-05T10:00:00Z call l 60 5.00",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:01:00 until 10-05T22:00:00: spent 11.6 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 11.60 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by l e h g d b k j i f
              control: end calls of 1
        "#]],
    );
}

#[test]
fn superseding_record_adds_the_difference() {
    check(
        "2026-10-05T10:00:00Z call a 60 4
         2026-10-05T10:00:00Z call a 90 6 rev=1
         2026-10-05T10:00:00Z call a 60 4
         2026-10-05T10:05:00Z call b 60 3.99
         2026-10-05T10:06:00Z call c 60 0.01",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:07:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a b c
              control: end calls of 1
        "#]],
    );
}

#[test]
fn superseding_record_that_costs_nothing_takes_all_of_it_back() {
    check(
        "2026-10-05T10:00:00Z call a 60 9
         2026-10-05T10:00:00Z call a 0 - rev=1
         2026-10-05T10:05:00Z call b 60 9
         2026-10-05T10:05:00Z call b 60 0 rev=1
         2026-10-05T10:06:00Z call c 60 9
         2026-10-05T10:07:00Z call d 60 1",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T10:08:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by c d
              control: end calls of 1
        "#]],
    );
}

#[test]
fn superseding_record_moves_a_call_to_the_day_of_its_true_end() {
    check(
        "2026-10-05T21:00:00Z call a 60 9
         2026-10-05T21:00:00Z call a 7200 9.50 rev=1
         2026-10-05T21:30:00Z call b 60 9
         2026-10-05T22:30:00Z call c 60 0.50",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T22:31:00 until 10-06T22:00:00: spent 10 EUR on 2026-10-06, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-06: 10.00 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a c
              control: end calls of 1
        "#]],
    );
}

#[test]
fn call_counts_on_the_local_day_of_its_end() {
    check(
        "2026-10-05T21:50:00Z call a 599 9
         2026-10-05T21:50:00Z call b 599.2 9
         2026-10-05T22:10:00Z call c 60 1",
        expect![[r#"
            lock 1 outgoing by fraud since 10-05T22:11:00 until 10-06T22:00:00: spent 10 EUR on 2026-10-06, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-06: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b c
              control: end calls of 1
        "#]],
    );
}

#[test]
fn day_of_twenty_three_hours_ends_an_hour_early() {
    // 29 March 2026: 23:00 UTC of the day before to 22:00 UTC.
    check(
        "2026-03-28T23:00:00Z call a 60 5
         2026-03-29T21:50:00Z call b 60 5
         2026-03-29T22:00:00Z tick
         2026-03-29T22:01:00Z call c 60 9",
        expect![[r#"
            lock 1 outgoing by fraud since 03-29T21:51:00 until 03-29T22:00:00: spent 10 EUR on 2026-03-29, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-03-29: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b a
              control: end calls of 1
            lock 1 none by fraud since 03-29T22:00:00 for good: its time is over (spent 10 EUR on 2026-03-29, the daily limit is 10 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn day_of_twenty_five_hours_ends_an_hour_late() {
    // 25 October 2026: 22:00 UTC of the day before to 23:00 UTC.
    check(
        "2026-10-24T22:00:00Z call a 60 5
         2026-10-25T22:50:00Z call b 60 5
         2026-10-25T22:59:59Z tick
         2026-10-25T23:00:00Z tick
         2026-10-25T23:01:00Z call c 60 9",
        expect![[r#"
            lock 1 outgoing by fraud since 10-25T22:51:00 until 10-25T23:00:00: spent 10 EUR on 2026-10-25, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-25: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by b a
              control: end calls of 1
            lock 1 none by fraud since 10-25T23:00:00 for good: its time is over (spent 10 EUR on 2026-10-25, the daily limit is 10 EUR)
              control: 1 is none
        "#]],
    );
}

#[test]
fn dollars_are_not_added_to_euros() {
    check(
        "2026-10-05T10:00:00Z call a 60 9
         2026-10-05T10:01:00Z call b 60 9 currency=USD
         2026-10-05T10:02:00Z call c 60 0 currency=USD
         2026-10-05T10:03:00Z call d 60 1
         2026-10-05T10:04:00Z call e 60 10 currency=USD account=4",
        expect![[r#"
            FRD001 of 1 after_provisioning: account 1 has its limits in EUR and this call is charged in USD: map the account to a profile in EUR, rate the call again and resubmit
            lock 1 outgoing by fraud since 10-05T10:04:00 until 10-05T22:00:00: spent 10 EUR on 2026-10-05, the daily limit is 10 EUR
              control: 1 is outgoing
            alert daily_spend 1 2026-10-05: 10 EUR of 10 EUR, lock outgoing, to desk@example.org, shown by a d
              control: end calls of 1
            lock 4 all by fraud since 10-05T10:05:00 until 10-06T04:00:00: spent 10 USD on 2026-10-05, the daily limit is 10 USD
              control: 4 is all
            alert daily_spend 4 2026-10-05: 10 USD of 10 USD, lock all, to desk@example.org, shown by e
              control: end calls of 4
        "#]],
    );
}

#[test]
fn account_that_is_not_provisioned_is_suspended() {
    check(
        "2026-10-05T10:00:00Z call a 60 9 account=77",
        expect![[r#"
        FRD002 of 77 after_provisioning: account 77 pays for this call and is not provisioned: restore the account and resubmit
    "#]],
    );
}

#[test]
fn yesterdays_limit_found_out_today_is_an_alert_without_a_lock() {
    check(
        "2026-10-05T10:00:00Z call a 60 9
         2026-10-05T22:00:00Z tick
         2026-10-05T11:00:00Z call b 60 9",
        expect![[r#"
            alert daily_spend 1 2026-10-05: 18 EUR of 10 EUR, lock none, to desk@example.org, shown by b a
        "#]],
    );
}

#[test]
fn records_of_days_long_gone_change_nothing() {
    check(
        "2026-10-08T22:00:00Z tick
         2026-10-05T11:00:00Z call b 60 900",
        expect![""],
    );
}
