//! Free time, free cash, own money; months, weeks, leap days. 1.00 a minute unless said otherwise.

use super::{Files, NIGHTS, PLAIN, check};

#[test]
fn free_time_by_charging_interval() {
    let files = Files {
        profile: "interval_free_seconds = 150",
        fees: "1 1.00 1.00 60/60 onpeak_use_free_time=1\n2 0.60 0.60 1/1 onpeak_use_free_time=1\n3 1.00 1.00 60/60\n\
            4 1.00 0.50 60/60 onpeak_use_free_time=1 offpeak_use_free_time=0\n\
            5 1.00 1.00 60/60 onpeak_use_free_time=1 connection_fee=0.10 minimum_charge=0.30\n\
            6 2.00:1.00 2.00:1.00 60/60 onpeak_use_free_time=1\n7 -1.00 -1.00 60/60 onpeak_use_free_time=1\n\
            8 1.00 0.50 60/60 onpeak_use_free_time=1",
        off_peak: NIGHTS,
        ..PLAIN
    };
    check(
        files,
        &[
            ("call_within_the_free_time", &["2026-03-02T12:00:00+01:00 120 1"], &["0 120+0 free=120"]),
            // Two minutes whole, half of the third: 0.50.
            (
                "free_time_covers_a_part_of_an_interval",
                &["2026-03-02T12:00:00+01:00 170 1"],
                &["0.5 180+0 free=150"],
            ),
            // 150 seconds free, 1 paid.
            ("free_seconds_one_by_one", &["2026-03-02T12:00:00+01:00 151 2"], &["0.01 151+0 free=150"]),
            ("fee_without_the_flag_uses_none", &["2026-03-02T12:00:00+01:00 60 3"], &["1 60+0"]),
            ("off_peak_flag_of_its_own", &["2026-03-02T19:00:00+01:00 60 4"], &["0.5 0+60"]),
            // An empty off-peak flag follows the on-peak one.
            ("off_peak_flag_follows", &["2026-03-02T19:00:00+01:00 60 8"], &["0 0+60 free=60"]),
            // The flag of the start holds for the call: the minute from 18:00:30 is free too, half of the next (0.50 × ½).
            ("flag_is_that_of_the_start", &["2026-03-02T17:59:30+01:00 180 4"], &["0.25 60+120 free=150"]),
            // Begun off-peak, where it is off: 0.50 + 1.00.
            ("flag_off_at_the_start_stays_off", &["2026-03-02T07:59:30+01:00 120 4"], &["1.5 60+60"]),
            // Nothing by time, 0.10 for the connection, lifted to 0.30.
            (
                "flat_amounts_are_owed_in_free_time_too",
                &["2026-03-02T12:00:00+01:00 60 5"],
                &["0.3 60+0 free=60"],
            ),
            // The first minute is free at 2.00, then one at 1.00, then half of one.
            (
                "free_time_uses_up_the_first_interval",
                &["2026-03-02T12:00:00+01:00 180 6"],
                &["0.5 180+0 free=150"],
            ),
            // Free time is used though the fee would have been a credit.
            ("free_time_takes_a_credit_away", &["2026-03-02T12:00:00+01:00 60 7"], &["0 60+0 free=60"]),
            (
                "second_call_finds_what_the_first_left",
                &[
                    "2026-03-02T12:00:00+01:00 120 1",
                    "2026-03-02T13:00:00+01:00 60 1",
                    "2026-03-02T14:00:00+01:00 60 1",
                ],
                &["0 120+0 free=120", "0.5 60+0 free=30", "1 60+0"],
            ),
            (
                "calls_are_priced_in_the_order_of_their_start",
                &["2026-03-02T13:00:00+01:00 120 1", "2026-03-02T12:00:00+01:00 120 1"],
                &["1.5 120+0 free=30", "0 120+0 free=120"],
            ),
            (
                "each_account_has_its_own",
                &["2026-03-02T12:00:00+01:00 120 1", "2026-03-02T12:00:00+01:00 120 1 account=b"],
                &["0 120+0 free=120", "0 120+0 free=120"],
            ),
            ("zero_second_call_uses_none", &["2026-03-02T12:00:00+01:00 0 1"], &["0 0+0"]),
        ],
    );
    let files = Files { profile: "interval_free_seconds = 20\nsplit_at_peak = \"boundary\"", ..files };
    check(
        files,
        &[
            // 30 s at 1.00 and 30 s at 0.50 are 0.75 a minute; 20 of its 60 seconds are free: 0.75 × 2/3.
            (
                "part_of_an_interval_over_the_border",
                &["2026-03-02T17:59:30+01:00 60 4"],
                &["0.5 30+30 free=20"],
            ),
        ],
    );
}

#[test]
fn grants_come_anew_with_the_billing_interval() {
    let fees =
        "1 1.00 1.00 60/60 onpeak_use_free_time=1\n2 0.60 0.60 1/1 onpeak_use_free_time=1\n3 1.00 1.00 60/60";
    let files = Files { profile: "interval_free_seconds = 60", fees, ..PLAIN };
    check(
        files,
        &[
            (
                "last_second_of_a_month_and_first_of_the_next",
                &[
                    "2026-03-31T23:59:00+02:00 60 1",
                    "2026-03-31T23:59:59+02:00 1 1",
                    "2026-04-01T00:00:00+02:00 1 1",
                ],
                &["0 60+0 free=60", "1 60+0", "0 60+0 free=60"],
            ),
            // The minute begun in March is March's, used up; the one begun at 00:00:59 is April's.
            (
                "call_over_the_end_of_the_month_uses_both",
                &["2026-03-31T12:00:00+02:00 60 1", "2026-03-31T23:59:59+02:00 90 1"],
                &["0 60+0 free=60", "1 120+0 free=60"],
            ),
            // 10 s of March's 60, then April's 60, then 10 s paid. What March had left has expired.
            ("seconds_over_the_end_of_the_month", &["2026-03-31T23:59:50+02:00 80 2"], &["0.1 80+0 free=70"]),
            // The month ends at midnight in Vienna, an hour or two before UTC.
            (
                "month_ends_by_the_clock_of_the_zone",
                &["2026-01-31T22:59:59Z 1 1", "2026-01-31T23:00:00Z 1 1"],
                &["0 60+0 free=60", "0 60+0 free=60"],
            ),
            (
                "leap_day_is_in_february",
                &[
                    "2028-02-28T12:00:00+01:00 60 1",
                    "2028-02-29T23:59:59+01:00 60 1",
                    "2028-03-01T00:00:00+01:00 60 1",
                ],
                &["0 60+0 free=60", "1 60+0", "0 60+0 free=60"],
            ),
            (
                "year_ends_like_any_month",
                &["2026-12-31T23:59:59+01:00 60 1", "2027-01-01T00:00:00+01:00 60 1"],
                &["0 60+0 free=60", "0 60+0 free=60"],
            ),
            // A month without calls leaves nothing behind.
            (
                "unused_grant_is_not_carried",
                &["2026-01-15T12:00:00+01:00 1 1", "2026-03-15T12:00:00+01:00 120 1"],
                &["0 60+0 free=60", "1 120+0 free=60"],
            ),
            // A later call that begins before the first one has ended still has its own month's.
            (
                "overlapping_calls_over_the_end_of_the_month",
                &[
                    "2026-03-31T23:58:00+02:00 180 3",
                    "2026-03-31T23:59:00+02:00 60 1",
                    "2026-04-01T00:00:30+02:00 60 1",
                ],
                &["3 180+0", "0 60+0 free=60", "0 60+0 free=60"],
            ),
        ],
    );
    let weeks = "interval_free_seconds = 60\ninterval = { unit = \"week\", count = 1 }";
    check(
        Files { profile: weeks, fees, ..PLAIN },
        &[(
            "week_begins_on_monday",
            &[
                "2026-03-01T23:59:00+01:00 60 1",
                "2026-03-02T00:00:00+01:00 60 1",
                "2026-03-08T23:59:59+01:00 60 1",
            ],
            &["0 60+0 free=60", "0 60+0 free=60", "1 60+0"],
        )],
    );
    let quarters = "interval_free_seconds = 60\ninterval = { unit = \"month\", count = 3 }";
    check(
        Files { profile: quarters, fees, ..PLAIN },
        &[(
            // The first call is in February: February to April, then May.
            "three_months_from_the_first_call",
            &[
                "2026-02-15T12:00:00+01:00 60 1",
                "2026-04-30T23:59:59+02:00 60 1",
                "2026-05-01T00:00:00+02:00 60 1",
            ],
            &["0 60+0 free=60", "1 60+0", "0 60+0 free=60"],
        )],
    );
}

#[test]
fn cash_pays_the_rounded_price() {
    let fees =
        "1 1.00 1.00 60/60\n2 0.01 0.01 1/1\n3 -1.00 -1.00 60/60\n4 1.00 1.00 60/60 onpeak_use_free_time=1";
    let files = Files { profile: "interval_free_cash = \"5.00\"", fees, ..PLAIN };
    check(
        files,
        &[
            ("free_cash_pays", &["2026-03-02T12:00:00+01:00 180 1"], &["0 180+0 cash=3"]),
            // 5.00 of 6.00.
            ("free_cash_pays_what_it_can", &["2026-03-02T12:00:00+01:00 360 1"], &["1 360+0 cash=5"]),
            // 61 × 0.01 / 60 = 0.0101666..., paid as rounded.
            ("rounded_before_it_is_paid", &["2026-03-02T12:00:00+01:00 61 2"], &["0 61+0 cash=0.010167"]),
            (
                "credit_leaves_the_cash_alone",
                &["2026-03-02T12:00:00+01:00 60 3", "2026-03-02T13:00:00+01:00 360 1"],
                &["-1 60+0", "1 360+0 cash=5"],
            ),
            // Three minutes begin in March (23:58, 23:59, 00:00 is April's). March pays 2.00, April 1.00 of its 5.00.
            (
                "call_over_the_end_of_the_month_is_paid_by_both",
                &["2026-03-31T23:58:00+02:00 180 1", "2026-04-01T12:00:00+02:00 300 1"],
                &["0 180+0 cash=3", "1 300+0 cash=4"],
            ),
        ],
    );
    let files = Files { accounts: "a,7.50,0\nb,2.00,0\nc,-1.00,0", ..files };
    check(
        files,
        &[
            // 5.00 granted and 2.50 own. March takes 3 of the grant, 2 expire; April has 5 + 2.50 for 8.00.
            (
                "free_cash_expires_and_own_money_stays",
                &[
                    "2026-03-30T12:00:00+02:00 180 1",
                    "2026-04-01T12:00:00+02:00 480 1",
                    "2026-05-01T12:00:00+02:00 60 1",
                ],
                &["0 180+0 cash=3", "0.5 480+0 cash=7.5", "0 60+0 cash=1"],
            ),
            // Grants included: 2.00 is all there is, and 3.00 were owed before.
            (
                "opening_balance_below_the_grant",
                &["2026-03-02T12:00:00+01:00 180 1 account=b"],
                &["1 180+0 cash=2"],
            ),
            ("opening_balance_below_zero", &["2026-03-02T12:00:00+01:00 60 1 account=c"], &["1 60+0"]),
        ],
    );
    let prepaid = Files { profile: "prepaid = true", fees, accounts: "a,1.50,0", ..PLAIN };
    check(
        prepaid,
        &[
            // The whole price, whatever the balance; the balance is emptied all the same.
            (
                "prepaid_cost_is_the_whole_price",
                &["2026-03-02T12:00:00+01:00 120 1", "2026-03-02T13:00:00+01:00 60 1"],
                &["2 120+0 cash=1.5", "1 60+0"],
            ),
        ],
    );
    let both = "interval_free_cash = \"0.75\"\ninterval_free_seconds = 90";
    check(
        Files { profile: both, fees, ..PLAIN },
        &[
            // 90 s are free, the other half of the second minute is 0.50, the third minute 1.00: 1.50, of which 0.75 are paid.
            (
                "free_time_first_then_cash",
                &["2026-03-02T12:00:00+01:00 180 4"],
                &["0.75 180+0 free=90 cash=0.75"],
            ),
        ],
    );
}
