//! Connection fee, minimum, maximum, extra rate, credits. Rates of 0.60 a minute are 0.01 a second.

use super::{Files, NIGHTS, PLAIN, check};

#[test]
fn flat_amounts_bound_the_whole_call() {
    let files = Files {
        fees: "1 0.60 0.60 1/1 connection_fee=0.05\n2 0.60 0.60 1/1 minimum_charge=0.20\n\
            3 0.60 0.60 1/1 maximum_charge=0.25\n4 0.60 0.60 1/1 connection_fee=0.05 minimum_charge=0.20 maximum_charge=0.25\n\
            5 -0.60 -0.60 1/1 minimum_charge=-0.10\n6 -0.60 -0.60 1/1 connection_fee=0.05\n\
            7 0.60 0.60 1/1 connection_fee=0.30 maximum_charge=0.25\n8 0 0 60/60 connection_fee=0.05",
        ..PLAIN
    };
    check(
        files,
        &[
            // 0.10 + 0.05.
            ("connection_fee_is_added_once", &["2026-03-02T12:00:00+01:00 10 1"], &["0.15 10+0"]),
            // Nothing by time, and no call: the 0.05 are not asked.
            ("zero_second_call_owes_no_connection_fee", &["2026-03-02T12:00:00+01:00 0 1"], &["0 0+0"]),
            // Nor are the 0.20.
            ("zero_second_call_owes_no_minimum", &["2026-03-02T12:00:00+01:00 0 2"], &["0 0+0"]),
            // 0.10 lifted to 0.20; the seconds stay.
            ("minimum_lifts_a_short_call", &["2026-03-02T12:00:00+01:00 10 2"], &["0.2 10+0"]),
            // 0.21 is above it.
            ("minimum_leaves_a_long_call_alone", &["2026-03-02T12:00:00+01:00 21 2"], &["0.21 21+0"]),
            // 0.60 capped to 0.25.
            ("maximum_caps_a_long_call", &["2026-03-02T12:00:00+01:00 60 3"], &["0.25 60+0"]),
            // 0.10 + 0.05 = 0.15, lifted to 0.20.
            ("connection_fee_counts_towards_the_minimum", &["2026-03-02T12:00:00+01:00 10 4"], &["0.2 10+0"]),
            // 0.21 + 0.05 = 0.26, capped.
            (
                "connection_fee_counts_towards_the_maximum",
                &["2026-03-02T12:00:00+01:00 21 4"],
                &["0.25 21+0"],
            ),
            // -0.60 lifted to -0.10.
            ("minimum_limits_a_credit", &["2026-03-02T12:00:00+01:00 60 5"], &["-0.1 60+0"]),
            // -0.10 + 0.05.
            ("credit_less_connection_fee", &["2026-03-02T12:00:00+01:00 10 6"], &["-0.05 10+0"]),
            // 0.30 + 0.10 = 0.40, capped to 0.25.
            ("maximum_below_the_connection_fee", &["2026-03-02T12:00:00+01:00 10 7"], &["0.25 10+0"]),
            // 0 + 0.05; a minute is begun.
            ("free_destination_with_a_connection_fee", &["2026-03-02T12:00:00+01:00 10 8"], &["0.05 60+0"]),
        ],
    );
}

#[test]
fn extra_rate_falls_due_once() {
    let extra =
        "onpeak_extra_rate=0.10 onpeak_extra_second=60 offpeak_extra_rate=0.07 offpeak_extra_second=30";
    let fees = format!(
        "1 0 0 1/1 {extra}\n2 0 0 1/1 onpeak_extra_rate=0.10 onpeak_extra_second=0\n3 0 0 60/60 {extra}\n\
         4 0 0 1/1 onpeak_extra_rate=-0.10 onpeak_extra_second=5"
    );
    let files = Files { fees: &fees, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            // Second 60 is the 61st: a call of 60 s has not begun it.
            ("extra_second_is_counted_from_zero", &["2026-03-02T12:00:00+01:00 60 1"], &["0 60+0"]),
            // A millisecond of second 60: 0 + 0.10.
            ("extra_second_begun_by_a_moment", &["2026-03-02T12:00:00+01:00 60.001 1"], &["0.1 61+0"]),
            // 3540 seconds beyond it, and 0.10 once.
            ("extra_rate_is_added_once", &["2026-03-02T12:00:00+01:00 3600 1"], &["0.1 3600+0"]),
            // Second 0 is begun by any call: 0.10.
            ("extra_second_zero_is_any_call", &["2026-03-02T12:00:00+01:00 0.1 2"], &["0.1 1+0"]),
            // But not by one of 0 s.
            ("zero_second_call_owes_no_extra", &["2026-03-02T12:00:00+01:00 0 2"], &["0 0+0"]),
            // 19:00 is off-peak: 0.07 after second 30.
            ("off_peak_call_has_its_own_extra", &["2026-03-02T19:00:00+01:00 31 1"], &["0.07 0+31"]),
            // Begun on-peak at 17:59:59: on-peak's extra of second 60, though 60 of its 61 seconds are off-peak.
            ("start_of_the_call_chooses_the_extra", &["2026-03-02T17:59:59+01:00 61 1"], &["0.1 1+60"]),
            // And 31 s would have been enough off-peak.
            ("start_on_peak_does_not_take_the_other_extra", &["2026-03-02T17:59:59+01:00 45 1"], &["0 1+44"]),
            // 20 s off-peak are billed as 60, but the call lasted 20: its second 30 never came.
            ("extra_looks_at_the_call_not_at_the_interval", &["2026-03-02T19:00:00+01:00 20 3"], &["0 0+60"]),
            // Second 5 is begun by the sixth second: 0 - 0.10.
            ("extra_may_be_a_credit", &["2026-03-02T12:00:00+01:00 6 4"], &["-0.1 6+0"]),
        ],
    );
}
