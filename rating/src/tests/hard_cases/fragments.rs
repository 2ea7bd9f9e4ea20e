//! Fragments as the reference cuts them (billing-reference 4.1): on the interval grid, each priced in one state. On-peak 0.06 a
//! minute, off-peak 0.03; off-peak from 18:00 to 07:59:59.

use super::{Files, NIGHTS, PLAIN, check};

const FEES: &str = "1 0.06 0.03 60/60\n2 0.30:0.06 0.12:0.03 60/60\n3 0.06 0.03 60/60 connection_fee=0.05 minimum_charge=0.50\n\
    4 0.06 0.03 60/60 maximum_charge=0.08\n5 0.06 0.03 60/60 onpeak_extra_rate=0.10 onpeak_extra_second=70 offpeak_extra_rate=0.20 offpeak_extra_second=0\n\
    6 0.06 0.03 60/60 onpeak_use_free_time=1 offpeak_use_free_time=0\n7 0.01 0.01 1/1\n8 0.06 0.03 60/60";

#[test]
fn call_is_cut_where_an_interval_begins_in_the_other_state() {
    let files =
        Files { profile: "split_at_peak = \"reference_fragments\"", fees: FEES, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            ("call_in_one_state_is_one_record", &["2026-03-02T12:00:00+01:00 90 1"], &["0.12 120+0"]),
            // The first minute runs to 18:00:30; the rest is the second fragment.
            (
                "cut_on_the_grid_not_on_the_border",
                &["2026-03-02T17:59:30+01:00 90 1"],
                &["0.06 60+0 | 0.03 0+60"],
            ),
            (
                "minute_that_ends_after_the_border_is_not_cut",
                &["2026-03-02T17:59:30+01:00 60 1"],
                &["0.06 60+0"],
            ),
            // Midnight is no border: the state goes on.
            ("no_cut_at_midnight", &["2026-03-02T23:59:30+01:00 90 1"], &["0.06 0+120"]),
            // Monday noon to Tuesday noon: 6 h, 14 h, 4 h.
            (
                "one_record_for_each_stretch",
                &["2026-03-02T12:00:00+01:00 86400 1"],
                &["21.6 21600+0 | 25.2 0+50400 | 14.4 14400+0"],
            ),
            // Later fragments begin with the follow interval: 0.30, then 0.03.
            ("no_second_init_interval", &["2026-03-02T17:59:30+01:00 90 2"], &["0.3 60+0 | 0.03 0+60"]),
            // 0.05 + 0.06; the rest to 0.50 is owed at the end: 0.39.
            (
                "connection_fee_first_minimum_last",
                &["2026-03-02T17:59:30+01:00 90 3"],
                &["0.11 60+0 | 0.39 0+60"],
            ),
            // 0.06, then 0.02 are left to 0.08.
            ("maximum_over_all_fragments", &["2026-03-02T17:59:30+01:00 90 4"], &["0.06 60+0 | 0.02 0+60"]),
            // The start chose on-peak's extra; second 70 lies in the second fragment: 0.03 + 0.10.
            (
                "extra_in_the_fragment_that_holds_its_second",
                &["2026-03-02T17:59:30+01:00 90 5"],
                &["0.06 60+0 | 0.13 0+60"],
            ),
            ("zero_second_call_is_one_record", &["2026-03-02T17:59:59+01:00 0 1"], &["0 0+0"]),
        ],
    );
    let files =
        Files { profile: "split_at_peak = \"reference_fragments\"\ninterval_free_seconds = 90", ..files };
    check(
        files,
        &[
            // The flag of the first fragment's start holds: one minute free, then 30 s of the next (0.03 × ½).
            (
                "free_time_goes_on_in_the_next_fragment",
                &["2026-03-02T17:59:30+01:00 90 6"],
                &["0 60+0 free=60 | 0.015 0+60 free=30"],
            ),
        ],
    );
    let files =
        Files { profile: "split_at_peak = \"reference_fragments\"\ninterval_free_cash = \"0.07\"", ..files };
    check(
        files,
        &[(
            "cash_pays_fragment_by_fragment",
            &["2026-03-02T17:59:30+01:00 90 1"],
            &["0 60+0 cash=0.06 | 0.02 0+60 cash=0.01"],
        )],
    );
    // 1/60 cent a second: 20 s are 0.00333..., 40 s 0.00666...; each is rounded for itself.
    let files = Files {
        profile: "split_at_peak = \"reference_fragments\"\nrounding = { mode = \"up\", scale = 4 }",
        ..files
    };
    check(
        files,
        &[(
            "each_fragment_is_rounded_for_itself",
            &["2026-03-02T17:59:40+01:00 60 7"],
            &["0.0034 20+0 | 0.0067 0+40"],
        )],
    );
}
