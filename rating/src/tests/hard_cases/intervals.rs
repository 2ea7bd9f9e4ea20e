//! Charging intervals and the one rounding. Monday 2 March 2026, noon, on-peak unless said otherwise.

use super::{Files, PLAIN, check};

#[test]
fn length_is_rounded_up_to_intervals() {
    let files = Files {
        fees: "1 0.06 0.06 60/60\n2 0.06 0.06 1/1\n3 0.60 0.60 30/6\n4 0.06 0.06 60/1\n5 0.10:0.02 0 60/30\n6 0.36 0.36 1/3600",
        ..PLAIN
    };
    check(
        files,
        &[
            // Nothing was used, nothing is owed.
            ("zero_second_call_is_free", &["2026-03-02T12:00:00+01:00 0 1"], &["0 0+0"]),
            // A millionth of a second begins the first minute: 0.06.
            ("a_microsecond_begins_an_interval", &["2026-03-02T12:00:00+01:00 0.000001 1"], &["0.06 60+0"]),
            // What is less than a microsecond counts as one.
            ("a_nanosecond_begins_an_interval", &["2026-03-02T12:00:00+01:00 0.000000001 1"], &["0.06 60+0"]),
            // 60 s are one minute: 0.06.
            ("exactly_one_interval_is_one", &["2026-03-02T12:00:00+01:00 60 1"], &["0.06 60+0"]),
            // 60.000001 s are two minutes: 0.12.
            ("a_microsecond_more_is_two", &["2026-03-02T12:00:00+01:00 60.000001 1"], &["0.12 120+0"]),
            // 59.999 s are 60 s: 60 × 0.001.
            ("per_second_rounds_up_to_the_second", &["2026-03-02T12:00:00+01:00 59.999 2"], &["0.06 60+0"]),
            // 7 × 0.001.
            ("seven_seconds_per_second", &["2026-03-02T12:00:00+01:00 7 2"], &["0.007 7+0"]),
            // 30 s at 0.01 a second.
            ("thirty_six_at_thirty", &["2026-03-02T12:00:00+01:00 30 3"], &["0.3 30+0"]),
            // 30 + 6.
            ("thirty_six_at_thirty_one", &["2026-03-02T12:00:00+01:00 31 3"], &["0.36 36+0"]),
            // 30 + 6 still: the second follow interval has not begun.
            ("thirty_six_at_thirty_six", &["2026-03-02T12:00:00+01:00 36 3"], &["0.36 36+0"]),
            // 30 + 6 + 6.
            ("thirty_six_at_thirty_seven", &["2026-03-02T12:00:00+01:00 36.5 3"], &["0.42 42+0"]),
            // 3 s in a first interval of 60: 60 × 0.001.
            ("short_call_owes_the_whole_first_minute", &["2026-03-02T12:00:00+01:00 3 4"], &["0.06 60+0"]),
            // 60 + 2 seconds at 0.001.
            ("first_minute_then_seconds", &["2026-03-02T12:00:00+01:00 61.2 4"], &["0.062 62+0"]),
            // 0.10 for the first minute, then 2 × 30 s at 0.02 a minute: 0.10 + 0.02.
            ("follow_rate_is_another_one", &["2026-03-02T12:00:00+01:00 100 5"], &["0.12 120+0"]),
            // 1 s at 0.006, then an hour at 0.006 a second: 0.006 + 21.6.
            ("follow_interval_of_an_hour", &["2026-03-02T12:00:00+01:00 2 6"], &["21.606 3601+0"]),
            // 86 400 s × 0.001.
            ("call_of_24_hours_per_second", &["2026-03-02T12:00:00+01:00 86400 2"], &["86.4 86400+0"]),
            // 1440 minutes and one more begun: 1441 × 0.06.
            (
                "call_of_24_hours_and_a_moment_per_minute",
                &["2026-03-02T12:00:00+01:00 86400.5 1"],
                &["86.46 86460+0"],
            ),
            // 366 days × 86.40.
            ("longest_call", &["2026-03-02T12:00:00+01:00 31622400 2"], &["31622.4 31622400+0"]),
            // A longer one is a broken record.
            ("call_longer_than_a_year", &["2026-03-02T12:00:00+01:00 31622401 2"], &["out_of_range"]),
        ],
    );
}

#[test]
fn price_is_divided_once_and_rounded_once() {
    let fees = "1 0.01 0.01 1/1\n2 0.01 0.01 20/20\n3 0.0125 0.0125 60/60\n4 -0.0125 -0.0125 60/60\n5 0.0135 0.0135 60/60\n\
        6 0.50 0.50 60/60\n7 1.50 1.50 60/60";
    let noon = "2026-03-02T12:00:00+01:00";
    let rounded = |mode: &str, scale: u32, cases: &[(&str, &str, &str)]| {
        let profile = format!("rounding = {{ mode = \"{mode}\", scale = {scale} }}");
        for (name, call, cost) in cases {
            let call = format!("{noon} {call}");
            let files = Files { profile: &profile, fees, ..PLAIN };
            check(files, &[(&format!("{mode} {scale}: {name}"), &[&call], &[cost])]);
        }
    };
    // 61 × 0.01 / 60 = 0.0101666...
    rounded("half_up", 6, &[("sixth of a cent", "61 1", "0.010167 61+0")]);
    rounded("down", 6, &[("sixth of a cent", "61 1", "0.010166 61+0")]);
    rounded("up", 6, &[("sixth of a cent", "61 1", "0.010167 61+0")]);
    rounded("half_even", 6, &[("sixth of a cent", "61 1", "0.010167 61+0")]);
    // Three thirds of a cent are a cent: rounded one by one they would be 0.009999.
    rounded("half_up", 6, &[("three thirds of a cent", "60 2", "0.01 60+0")]);
    // Up does not lift what is exact: 60 / 60 × 0.01.
    rounded("up", 6, &[("exact amount", "60 1", "0.01 60+0")]);
    // 0.0125 lies between 0.012 and 0.013: away, to the even one, away, towards zero. A credit mirrors it.
    rounded("half_up", 3, &[("half", "60 3", "0.013 60+0"), ("credit", "60 4", "-0.013 60+0")]);
    rounded("half_even", 3, &[("half", "60 3", "0.012 60+0"), ("credit", "60 4", "-0.012 60+0")]);
    rounded("up", 3, &[("half", "60 3", "0.013 60+0"), ("credit", "60 4", "-0.013 60+0")]);
    rounded("down", 3, &[("half", "60 3", "0.012 60+0"), ("credit", "60 4", "-0.012 60+0")]);
    // 0.0135: the even neighbour is 0.014.
    rounded("half_even", 3, &[("half above odd", "60 5", "0.014 60+0")]);
    // Whole units: 0.50 and 1.50.
    rounded("half_up", 0, &[("half a unit", "60 6", "1 60+0"), ("one and a half", "60 7", "2 60+0")]);
    rounded("half_even", 0, &[("half a unit", "60 6", "0 60+0"), ("one and a half", "60 7", "2 60+0")]);
}
