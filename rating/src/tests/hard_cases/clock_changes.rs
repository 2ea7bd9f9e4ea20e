//! Both clock changes, in zones that change on other days, by other steps, or never. On-peak 0.001, off-peak 0.0005 a second.

use super::{Files, PLAIN, check};

const FEES: &str = "1 0.06 0.03 1/1\n2 0.06 0.03 60/60";

#[test]
fn vienna_in_spring() {
    // 29 March 2026: 02:00 CET is 03:00 CEST.
    let files = Files { fees: FEES, off_peak: "sun 00:00:00 01:59:59\nsun 02:15:00 02:44:59", ..PLAIN };
    check(
        files,
        &[
            // 30 s until two, which is three; then on-peak.
            ("call_over_the_change_keeps_its_length", &["2026-03-29T01:59:30+01:00 60 1"], &["0.045 30+30"]),
            // The span inside the skipped hour never comes.
            (
                "span_in_the_skipped_hour_never_comes",
                &["2026-03-29T01:59:59+01:00 3601 1"],
                &["3.6005 3600+1"],
            ),
            ("start_written_in_summer_time", &["2026-03-29T03:00:00+02:00 60 1"], &["0.06 60+0"]),
            // The same instant, written in UTC.
            ("start_written_in_utc", &["2026-03-29T01:00:00Z 60 1"], &["0.06 60+0"]),
            // Saturday noon to Sunday noon on the clock are 23 hours: 12 h on Saturday on-peak, 2 h off, 9 h on (03:00 to 12:00).
            ("from_noon_to_noon_are_23_hours", &["2026-03-28T12:00:00+01:00 82800 1"], &["79.2 75600+7200"]),
            // A minute begun at 01:59:30 is off-peak to its end at 03:00:30.
            ("interval_over_the_change", &["2026-03-29T01:59:30+01:00 60 2"], &["0.03 0+60"]),
        ],
    );
}

#[test]
fn vienna_in_autumn() {
    // 25 October 2026: 03:00 CEST is 02:00 CET; the hour from two comes twice.
    let files = Files { fees: FEES, off_peak: "sun 02:00:00 02:29:59", ..PLAIN };
    check(
        files,
        &[
            ("first_time_in_the_doubled_hour", &["2026-10-25T02:10:00+02:00 60 1"], &["0.03 0+60"]),
            ("second_time_in_the_doubled_hour", &["2026-10-25T02:10:00+01:00 60 1"], &["0.03 0+60"]),
            ("between_the_two", &["2026-10-25T02:45:00+02:00 60 1"], &["0.06 60+0"]),
            // Two hours from 02:00 CEST: half an hour off, half on, half off, half on.
            ("both_times_in_one_call", &["2026-10-25T02:00:00+02:00 7200 1"], &["5.4 3600+3600"]),
            // 24 hours from Saturday 12:00 CEST end at Sunday 11:00 CET.
            ("call_of_24_hours_is_24_hours", &["2026-10-24T12:00:00+02:00 86400 1"], &["84.6 82800+3600"]),
            ("from_noon_to_noon_are_25_hours", &["2026-10-24T12:00:00+02:00 90000 1"], &["88.2 86400+3600"]),
        ],
    );
    // Split exactly, a minute that begins in the second before the first border of the second hour.
    let files = Files { profile: "split_at_peak = \"boundary\"", ..files };
    check(
        files,
        &[
            // 02:59:59 CEST is on-peak, then 02:00 CET comes again: 1 s and 59 s.
            ("minute_split_at_the_change_itself", &["2026-10-25T02:59:59+02:00 60 2"], &["0.0305 1+59"]),
        ],
    );
}

#[test]
fn other_zones() {
    let night = "sun 00:00:00 01:59:59";
    let zone = |profile| Files { profile, fees: FEES, off_peak: night, ..PLAIN };
    check(
        zone("timezone = \"America/New_York\""),
        &[
            // 8 March 2026, 02:00 EST is 03:00 EDT.
            ("new_york_in_spring", &["2026-03-08T01:59:30-05:00 60 1"], &["0.045 30+30"]),
            // Three weeks later Vienna changes; New York has an ordinary night.
            ("new_york_on_viennas_day", &["2026-03-29T01:59:30-04:00 60 1"], &["0.045 30+30"]),
            // 1 November: the hour from one comes twice, both off-peak: 00:30 EDT to 02:00 EST are 2.5 h, then half an hour.
            ("new_york_in_autumn", &["2026-11-01T00:30:00-04:00 10800 1"], &["6.3 1800+9000"]),
        ],
    );
    check(
        zone("timezone = \"Australia/Lord_Howe\""),
        &[
            // 5 April 2026: 02:00 (+11) is 01:30 (+10:30): half an hour comes twice, off-peak both times. From 01:00 are 1.5 h.
            ("lord_howe_sets_back_half_an_hour", &["2026-04-05T01:00:00+11:00 7200 1"], &["4.5 1800+5400"]),
        ],
    );
    check(
        zone("timezone = \"Asia/Kathmandu\""),
        &[
            // +05:45 and never anything else: 01:59:30 is 20:14:30 UTC of the day before.
            ("kathmandu_has_quarters_and_no_change", &["2026-03-28T20:14:30Z 60 1"], &["0.045 30+30"]),
        ],
    );
    check(
        zone("timezone = \"UTC\""),
        &[("utc_has_no_change", &["2026-03-29T01:59:30Z 60 1"], &["0.045 30+30"])],
    );
}
