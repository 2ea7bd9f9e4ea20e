//! `compat = "reference"`: the reference's quirks beside what we do without it.

use super::{Files, NIGHTS, PLAIN, check};

const COMPAT: &str = "compat = \"reference\"\n";

#[test]
fn without_balances_the_result_is_the_same() {
    let fees = "1 0.06 0.03 60/60\n2 0.30:0.06 0.12:0.03 30/6\n3 0.01 0.01 1/1\n4 -0.06 -0.03 60/60 connection_fee=0.05\n\
        5 0.06 0.03 60/60 connection_fee=0.05 minimum_charge=0.50 maximum_charge=0.60";
    let cases: &[super::Case<'_>] = &[
        ("minute_over_the_border", &["2026-03-02T17:59:30+01:00 90 1"], &["0.09 60+60"]),
        // 30 s of 0.30 a minute, then 7 × 6 s of 0.06, of which the last two off-peak.
        ("thirty_six", &["2026-03-02T17:59:00+01:00 72 2"], &["0.186 60+12"]),
        ("sixth_of_a_cent", &["2026-03-02T12:00:00+01:00 61 3"], &["0.010167 61+0"]),
        ("credit_with_a_connection_fee", &["2026-03-02T12:00:00+01:00 60 4"], &["-0.01 60+0"]),
        ("minimum", &["2026-03-02T12:00:00+01:00 60 5"], &["0.5 60+0"]),
        ("maximum", &["2026-03-02T12:00:00+01:00 6000 5"], &["0.6 6000+0"]),
        ("zero_second_call", &["2026-03-02T12:00:00+01:00 0 5"], &["0 0+0"]),
        ("call_of_24_hours", &["2026-03-02T12:00:00+01:00 86400 1"], &["61.2 36000+50400"]),
    ];
    let files = Files { fees, off_peak: NIGHTS, ..PLAIN };
    check(files, cases);
    check(Files { profile: COMPAT, ..files }, cases);
}

#[test]
fn off_peak_ends_at_the_last_second_not_after_it() {
    let files = Files { fees: "1 0.06 0.03 1/1", off_peak: NIGHTS, ..PLAIN };
    let cases: &[super::Case<'_>] = &[
        ("on_the_last_second", &["2026-03-02T07:59:59+01:00 1 1"], &["0.0005 0+1"]),
        // A millisecond later the reference is on-peak.
        ("within_the_last_second", &["2026-03-02T07:59:59.001+01:00 1 1"], &["0.001 1+0"]),
        // Each evening ends at 23:59:59 and each morning begins at 00:00:00: half a second lies between them.
        (
            "at_half_past_the_last_second_before_midnight",
            &["2026-03-02T23:59:58.5+01:00 3 1"],
            &["0.002 1+2"],
        ),
    ];
    check(Files { profile: COMPAT, ..files }, cases);
    check(files, &[("right_without_it", &["2026-03-02T07:59:59.001+01:00 1 1"], &["0.0005 0+1"])]);
}

#[test]
fn free_time_does_not_move_the_clock() {
    // 60 free seconds; on-peak 0.60 a minute, off-peak 0.30.
    let fees = "1 0.60 0.30 60/60 onpeak_use_free_time=1 offpeak_use_free_time=1\n2 0.60 0.30 60/60 onpeak_use_free_time=1 connection_fee=0.10";
    let free = "interval_free_seconds = 60\n";
    let profile = format!("{COMPAT}{free}");
    let files = Files { profile: &profile, fees, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            // The free minute is at 17:59:30. The second one is looked up there again: on-peak, 0.60.
            (
                "second_minute_is_looked_up_at_the_first",
                &["2026-03-02T17:59:30+01:00 120 1"],
                &["0.6 120+0 free=60"],
            ),
        ],
    );
    check(
        Files { profile: free, ..files },
        &[
            // Rightly it begins at 18:00:30, off-peak.
            ("rightly_it_moves", &["2026-03-02T17:59:30+01:00 120 1"], &["0.3 60+60 free=60"]),
        ],
    );
    let part = format!("{COMPAT}interval_free_seconds = 40\n");
    check(
        Files { profile: &part, ..files },
        &[
            // 40 of 60 s are free, 20 paid: 0.20. The clock has moved 20 s, to 17:59:50: on-peak again, 0.60.
            (
                "part_of_an_interval_moves_it_by_the_rest",
                &["2026-03-02T17:59:30+01:00 120 1"],
                &["0.8 120+0 free=40"],
            ),
        ],
    );
}

#[test]
fn cash_is_taken_interval_by_interval() {
    // 5.00 a first minute, 1.00 each further one.
    let fees = "1 5.00:1.00 5.00:1.00 60/60\n2 1.00 1.00 60/60\n3 -1.00 -1.00 60/60";
    let cash = "interval_free_cash = \"4.00\"\n";
    let profile = format!("{COMPAT}{cash}");
    let files = Files { profile: &profile, fees, ..PLAIN };
    check(
        files,
        &[
            // 5.00 does not fit in 4.00 and is owed; 4 × 1.00 fit.
            (
                "dear_interval_is_owed_cheap_ones_are_paid",
                &["2026-03-02T12:00:00+01:00 300 1"],
                &["5 300+0 cash=4"],
            ),
            // 5.00 owed, of 6 × 1.00 four are paid.
            ("until_the_cash_is_gone", &["2026-03-02T12:00:00+01:00 420 1"], &["7 420+0 cash=4"]),
            ("credit_leaves_the_cash_alone", &["2026-03-02T12:00:00+01:00 60 3"], &["-1 60+0"]),
        ],
    );
    check(
        Files { profile: cash, ..files },
        &[
            // Rightly the cash pays what it can of 9.00.
            ("rightly_it_pays_what_it_can", &["2026-03-02T12:00:00+01:00 300 1"], &["5 300+0 cash=4"]),
            ("rightly_a_dear_interval_too", &["2026-03-02T12:00:00+01:00 60 1"], &["1 60+0 cash=4"]),
        ],
    );
    let odd = format!("{COMPAT}interval_free_cash = \"1.50\"\n");
    check(
        Files { profile: &odd, ..files },
        &[
            // One minute fits; 0.50 stay for nobody.
            ("rest_that_holds_no_interval_stays", &["2026-03-02T12:00:00+01:00 180 2"], &["2 180+0 cash=1"]),
        ],
    );
    let prepaid = format!("{COMPAT}prepaid = true\n");
    check(
        Files { profile: &prepaid, accounts: "a,2.00,0", ..files },
        &[
            ("prepaid_cost_is_the_whole_price", &["2026-03-02T12:00:00+01:00 180 2"], &["3 180+0 cash=2"]),
            // A prepaid balance also takes credits: 2.00 + 1.00, then three minutes fit.
            (
                "prepaid_credit_goes_to_the_balance",
                &["2026-03-02T12:00:00+01:00 60 3", "2026-03-02T13:00:00+01:00 240 2"],
                &["-1 60+0 cash=-1", "4 240+0 cash=3"],
            ),
        ],
    );
}

#[test]
fn balance_entered_during_a_call_bears_what_was_taken_before() {
    let fees = "1 1.00 1.00 60/60";
    let cash = "interval_free_cash = \"5.00\"\n";
    let profile = format!("{COMPAT}{cash}");
    let files = Files { profile: &profile, fees, ..PLAIN };
    check(
        files,
        &[
            // March pays 2.00 (23:58, 23:59). April is entered with 5.00, bears these 2.00 again, and pays the third minute:
            // 2.00 are left of it, so that 4 further minutes cost 2.00.
            (
                "carried_over_the_end_of_the_month",
                &["2026-03-31T23:58:00+02:00 180 1", "2026-04-01T12:00:00+02:00 240 1"],
                &["0 180+0 cash=3", "2 240+0 cash=2"],
            ),
        ],
    );
    check(
        Files { profile: cash, ..files },
        &[
            // Rightly April has paid 1.00 and has 4.00 left.
            (
                "rightly_each_month_pays_its_own",
                &["2026-03-31T23:58:00+02:00 180 1", "2026-04-01T12:00:00+02:00 240 1"],
                &["0 180+0 cash=3", "0 240+0 cash=4"],
            ),
        ],
    );
}

#[test]
fn fragments_with_quirks() {
    let fees = "1 0.60 0.30 60/60 onpeak_use_free_time=1 offpeak_use_free_time=1\n2 0.06 0.03 60/60 onpeak_extra_rate=0.10 onpeak_extra_second=70";
    let profile = format!("{COMPAT}split_at_peak = \"reference_fragments\"\ninterval_free_seconds = 60\n");
    let files = Files { profile: &profile, fees, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            // The free minute does not move the clock: the second is on-peak from 17:59:30 to 18:00:30, where the clock of the
            // call is at 18:01:30. The third begins 60 s after the start, off-peak: the call is cut there, 120 s after its start.
            (
                "cut_comes_a_free_minute_late",
                &["2026-03-02T17:59:30+01:00 180 1"],
                &["0.6 120+0 free=60 | 0.3 0+60"],
            ),
            ("extra_in_the_later_fragment", &["2026-03-02T17:59:30+01:00 90 2"], &["0.06 60+0 | 0.13 0+60"]),
        ],
    );
}
