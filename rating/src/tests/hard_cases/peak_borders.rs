//! Peak borders: off-peak from 18:00:00 to 07:59:59 and on weekends. On-peak 0.06 a minute, off-peak 0.03.

use super::{Files, NIGHTS, PLAIN, check};

const FEES: &str = "1 0.06 0.03 60/60\n2 0.06 0.03 1/1\n3 0.30:0.06 0.12:0.03 60/60\n\
    4 0.06 0.03 60/60 offpeak_init_interval=30 offpeak_follow_interval=30\n5 0.60:0.06 0.30:0.03 300/60";

#[test]
fn interval_is_priced_by_the_state_at_its_start() {
    let files = Files { fees: FEES, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            // One minute from 17:59:59, on-peak to its end: 0.06.
            ("minute_begun_on_peak_is_on_peak", &["2026-03-02T17:59:59+01:00 60 1"], &["0.06 60+0"]),
            // 17:59:59 on-peak, 18:00:59 off-peak: 0.06 + 0.03.
            ("next_minute_is_off_peak", &["2026-03-02T17:59:59+01:00 61 1"], &["0.09 60+60"]),
            ("first_second_off_peak", &["2026-03-02T18:00:00+01:00 60 1"], &["0.03 0+60"]),
            // Half a second before eight the span has not ended.
            ("last_second_off_peak_to_its_end", &["2026-03-02T07:59:59.500+01:00 1 2"], &["0.0005 0+1"]),
            ("last_microsecond_off_peak", &["2026-03-02T07:59:59.999999+01:00 1 2"], &["0.0005 0+1"]),
            ("first_second_on_peak", &["2026-03-02T08:00:00+01:00 1 2"], &["0.001 1+0"]),
            // Seconds from 07:59:58.5: 58.5 and 59.5 are off-peak, 00.5 is on-peak: 2 × 0.0005 + 0.001.
            ("fractions_keep_their_place", &["2026-03-02T07:59:58.5+01:00 3 2"], &["0.002 1+2"]),
            // 30 s before, 30 s after: 30 × 0.001 + 30 × 0.0005.
            ("per_second_needs_no_split", &["2026-03-02T17:59:30+01:00 60 2"], &["0.045 30+30"]),
            // Monday's evening and Tuesday's morning are two entries and one state: 2 × 0.03.
            ("midnight_inside_off_peak_is_no_border", &["2026-03-02T23:59:30+01:00 120 1"], &["0.06 0+120"]),
            ("friday_night_to_saturday", &["2026-03-06T23:59:30+01:00 120 1"], &["0.06 0+120"]),
            // Sunday 23:59:30 to Monday 00:00:30.
            ("sunday_night_to_monday", &["2026-03-08T23:59:30+01:00 61 1"], &["0.06 0+120"]),
            ("saturday_noon_is_off_peak", &["2026-03-07T12:00:00+01:00 60 1"], &["0.03 0+60"]),
            // First minute on-peak init 0.30, then off-peak follow 0.03.
            ("init_on_peak_follow_off_peak", &["2026-03-02T17:59:30+01:00 90 3"], &["0.33 60+60"]),
            ("init_off_peak_follow_on_peak", &["2026-03-02T07:59:30+01:00 90 3"], &["0.18 60+60"]),
            // On-peak minutes, off-peak half minutes: 60 s from 17:59:45, then 30 s from 18:00:45: 0.06 + 0.015.
            ("state_has_its_own_interval", &["2026-03-02T17:59:45+01:00 75 4"], &["0.075 60+30"]),
            // Five minutes from 17:58 at the on-peak init rate of 0.60: 3.00, though most of it lies behind the border.
            ("long_first_interval_carries_its_state", &["2026-03-02T17:58:00+01:00 60 5"], &["3 300+0"]),
            // Monday noon to Tuesday noon: six hours, fourteen hours, four hours. 600 × 0.06 + 840 × 0.03 = 36 + 25.2.
            (
                "call_of_24_hours_over_two_borders",
                &["2026-03-02T12:00:00+01:00 86400 1"],
                &["61.2 36000+50400"],
            ),
            // Friday noon to Monday noon: 6 h on-peak, 62 h off-peak, 4 h on-peak: 600 × 0.06 + 3720 × 0.03.
            ("call_over_a_weekend", &["2026-03-06T12:00:00+01:00 259200 1"], &["147.6 36000+223200"]),
        ],
    );
}

#[test]
fn boundary_splits_the_interval_to_the_second() {
    let files = Files { profile: "split_at_peak = \"boundary\"", fees: FEES, off_peak: NIGHTS, ..PLAIN };
    check(
        files,
        &[
            // 1 s at 0.001 and 59 s at 0.0005.
            ("minute_over_the_border", &["2026-03-02T17:59:59+01:00 60 1"], &["0.0305 1+59"]),
            // 30 + 30 s, then a whole minute: 0.03 + 0.015 + 0.03.
            ("intervals_stay_those_of_the_call", &["2026-03-02T17:59:30+01:00 90 1"], &["0.075 30+90"]),
            ("minute_that_ends_at_the_border", &["2026-03-02T17:59:00+01:00 60 1"], &["0.06 60+0"]),
            // Seconds begin at .5: 30 of them before the border (17:59:30.5 to 17:59:59.5), 30 after.
            (
                "second_over_the_border_is_of_its_start",
                &["2026-03-02T17:59:30.5+01:00 60 1"],
                &["0.045 30+30"],
            ),
            // Each at its own init rate: 30 s of 0.30 and 30 s of 0.12 a minute: 0.15 + 0.06.
            ("init_interval_at_both_init_rates", &["2026-03-02T17:59:30+01:00 60 3"], &["0.21 30+30"]),
            // The interval is that of the state it begins in: 60 s on-peak, of which 15 and 45; then 30 s off-peak.
            ("interval_of_the_state_it_begins_in", &["2026-03-02T17:59:45+01:00 75 4"], &["0.0525 15+75"]),
            // 120 s of 0.60 and 180 s of 0.30 a minute.
            ("long_first_interval_is_split", &["2026-03-02T17:58:00+01:00 60 5"], &["2.1 120+180"]),
            (
                "call_of_24_hours_is_the_same_as_by_start",
                &["2026-03-02T12:00:00+01:00 86400 1"],
                &["61.2 36000+50400"],
            ),
        ],
    );
}

#[test]
fn special_dates_make_time_cheaper_only() {
    let specials = "2026-12-24 12:00:00 / 2026-12-26 23:59:59\n2026-12-31 23:59:59 / 2026-12-31 23:59:59\n\
        2026-03-29 01:30:00 / 2026-03-29 03:29:59\n2027-01-06 00:00:00 / 2027-01-06 11:59:59\n2027-01-06 11:00:00 / 2027-01-06 15:59:59";
    let files = Files { fees: FEES, off_peak: specials, ..PLAIN };
    check(
        files,
        &[
            ("before_the_special_date", &["2026-12-24T11:59:59+01:00 1 2"], &["0.001 1+0"]),
            ("from_its_first_second", &["2026-12-24T12:00:00+01:00 1 2"], &["0.0005 0+1"]),
            ("to_its_last", &["2026-12-26T23:59:59.9+01:00 1 2"], &["0.0005 0+1"]),
            ("and_no_longer", &["2026-12-27T00:00:00+01:00 1 2"], &["0.001 1+0"]),
            // One second off-peak, the year's last.
            ("special_of_one_second", &["2026-12-31T23:59:58+01:00 3 2"], &["0.0025 2+1"]),
            // From 01:30 CET to 03:30 CEST is one hour: 3600 × 0.0005, then 60 s on-peak.
            (
                "special_over_the_spring_clock_change",
                &["2026-03-29T01:30:00+01:00 3660 2"],
                &["1.86 60+3600"],
            ),
            // Two that overlap are one: 00:00 to 15:59:59.
            ("specials_that_overlap", &["2027-01-06T10:59:59+01:00 3602 2"], &["1.801 0+3602"]),
            // No weekday is off-peak here.
            ("sunday_without_an_entry_is_on_peak", &["2026-12-27T12:00:00+01:00 60 1"], &["0.06 60+0"]),
        ],
    );
}
