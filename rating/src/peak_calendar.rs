//! On-peak or off-peak, in the wall-clock time of the profile's zone.
//!
//! In: the off-peak spans of a tariff version. Out: the state of an instant, and how long it lasts at least. An instant is
//! off-peak when the wall clock then shows a time inside a span, so an hour that occurs twice is inside twice, and
//! one that is skipped is not there. The last second of a span is off-peak to its end; the reference leaves its
//! fraction on-peak (billing-reference 4).

use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Offset, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use model::{OffPeakSpecial, OffPeakWeekday, Peak};

/// The off-peak spans of one tariff version, ready for lookup.
#[derive(Debug, Clone)]
pub(crate) struct PeakCalendar {
    zone: Tz,
    /// By days from Monday: spans of time since midnight, half open, ordered, not touching.
    weekdays: [Vec<(TimeDelta, TimeDelta)>; 7],
    /// Local time, half open, ordered, not touching.
    specials: Vec<(NaiveDateTime, NaiveDateTime)>,
    always_on: bool,
}

/// Where a span ends that is said to end at a second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SpanEnd {
    /// After that second, all of it.
    WholeSecond,
    /// At that instant, itself included: the reference's rule, which leaves the fraction of the second on-peak.
    Inclusive,
}

impl SpanEnd {
    fn after(self) -> TimeDelta {
        match self {
            SpanEnd::WholeSecond => TimeDelta::seconds(1),
            SpanEnd::Inclusive => TimeDelta::nanoseconds(1),
        }
    }
}

/// What the calendar says of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeakState {
    pub(crate) peak: Peak,
    /// The state is certain before this instant and may be another one from it on; `None` is for ever.
    pub(crate) until: Option<DateTime<Utc>>,
}

impl PeakCalendar {
    /// Spans may overlap: they are united. The caller has checked that no span ends
    /// before it starts.
    pub(crate) fn new(
        zone: Tz,
        weekdays: &[OffPeakWeekday],
        specials: &[OffPeakSpecial],
        end: SpanEnd,
    ) -> Self {
        let mut by_day: [Vec<(TimeDelta, TimeDelta)>; 7] = Default::default();
        for span in weekdays {
            let day = span.day.num_days_from_monday() as usize;
            by_day[day].push((since_midnight(span.start), since_midnight(span.end) + end.after()));
        }
        let always_on = weekdays.is_empty() && specials.is_empty();
        let after = |last: NaiveDateTime| last.with_nanosecond(0).unwrap_or(last) + end.after();
        let specials = specials.iter().map(|span| (span.start, after(span.end))).collect();
        Self { zone, weekdays: by_day.map(united), specials: united(specials), always_on }
    }

    /// The state at `at`, which lies in the years that a price may be asked for (see [`crate::price()`]).
    pub(crate) fn state_at(&self, at: DateTime<Utc>) -> PeakState {
        if self.always_on {
            return PeakState { peak: Peak::On, until: None };
        }
        let offset = self.offset_at(at);
        let local = at.naive_utc() + TimeDelta::seconds(offset);
        let day_start = local.date().and_time(NaiveTime::MIN);
        // The border that the wall clock meets first, midnight at the latest.
        let mut border = day_start + TimeDelta::days(1);
        let mut peak = Peak::On;
        let mut see = |start: NaiveDateTime, end: NaiveDateTime| {
            if start <= local && local < end {
                peak = Peak::Off;
            }
            for edge in [start, end] {
                if edge > local && edge < border {
                    border = edge;
                }
            }
        };
        for &(start, end) in &self.weekdays[local.weekday().num_days_from_monday() as usize] {
            see(day_start + start, day_start + end);
        }
        let next_special = self.specials.partition_point(|&(_, end)| end <= local);
        if let Some(&(start, end)) = self.specials.get(next_special) {
            see(start, end);
        }
        let border = (border - TimeDelta::seconds(offset)).and_utc();
        PeakState { peak, until: Some(self.before_clock_change(at, border, offset)) }
    }

    /// `border`, or the clock change before it, where the wall clock jumps and the state must be looked up anew.
    /// Two changes within a day that cancel out do not occur.
    fn before_clock_change(&self, at: DateTime<Utc>, border: DateTime<Utc>, offset: i64) -> DateTime<Utc> {
        if self.offset_at(border) == offset {
            return border;
        }
        // Clock changes fall on whole seconds.
        let (mut same, mut changed) = (at.timestamp(), border.timestamp());
        while changed - same > 1 {
            let middle = same + (changed - same) / 2;
            match DateTime::from_timestamp(middle, 0) {
                Some(instant) if self.offset_at(instant) == offset => same = middle,
                Some(_) | None => changed = middle,
            }
        }
        DateTime::from_timestamp(changed, 0).unwrap_or(border)
    }

    /// Seconds that the zone is ahead of UTC.
    fn offset_at(&self, at: DateTime<Utc>) -> i64 {
        i64::from(self.zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
    }
}

/// In whole seconds.
fn since_midnight(time: NaiveTime) -> TimeDelta {
    TimeDelta::seconds(i64::from(time.num_seconds_from_midnight()))
}

/// Sorted, overlapping and touching spans made one.
fn united<T: Ord + Copy>(mut spans: Vec<(T, T)>) -> Vec<(T, T)> {
    spans.sort_unstable();
    let mut out: Vec<(T, T)> = Vec::with_capacity(spans.len());
    for (start, end) in spans {
        match out.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            Some(_) | None => out.push((start, end)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use chrono::Weekday;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    use super::*;

    fn weekday(day: Weekday, start: &str, end: &str) -> OffPeakWeekday {
        OffPeakWeekday { day, start: start.parse().unwrap(), end: end.parse().unwrap() }
    }

    /// Prints the states from `from` on, one line for each stretch, in the zone's own time.
    fn check(
        zone: Tz,
        weekdays: &[OffPeakWeekday],
        specials: &[OffPeakSpecial],
        from: &str,
        lines: usize,
        expected: Expect,
    ) {
        let calendar = PeakCalendar::new(zone, weekdays, specials, SpanEnd::WholeSecond);
        let mut at: DateTime<Utc> = from.parse().unwrap();
        let mut picture = String::new();
        for _ in 0..lines {
            let state = calendar.state_at(at);
            let local = at.with_timezone(&zone).format("%a %m-%d %H:%M:%S %Z");
            picture += &format!("{local}  {}\n", state.peak);
            at = state.until.unwrap();
        }
        expected.assert_eq(&picture);
    }

    #[test]
    fn spring_clock_change_in_vienna_skips_the_hour_inside_a_span() {
        let nights = [weekday(Weekday::Sun, "00:00:00", "02:29:59")];
        // 01:00 UTC is 03:00 summer time: the span ends at the jump, its last half hour does not exist.
        check(
            chrono_tz::Europe::Vienna,
            &nights,
            &[],
            "2026-03-28T23:00:00Z",
            3,
            expect![[r#"
                Sun 03-29 00:00:00 CET  offpeak
                Sun 03-29 03:00:00 CEST  onpeak
                Mon 03-30 00:00:00 CEST  onpeak
            "#]],
        );
    }

    #[test]
    fn autumn_clock_change_in_vienna_repeats_the_hour_inside_a_span() {
        let nights = [weekday(Weekday::Sun, "00:00:00", "02:29:59")];
        check(
            chrono_tz::Europe::Vienna,
            &nights,
            &[],
            "2026-10-24T22:00:00Z",
            5,
            expect![[r#"
                Sun 10-25 00:00:00 CEST  offpeak
                Sun 10-25 02:30:00 CEST  onpeak
                Sun 10-25 02:00:00 CET  offpeak
                Sun 10-25 02:30:00 CET  onpeak
                Mon 10-26 00:00:00 CET  onpeak
            "#]],
        );
    }

    #[test]
    fn clock_changes_in_new_york_are_other_days_than_in_vienna() {
        let nights = [weekday(Weekday::Sun, "01:30:00", "03:29:59")];
        check(
            chrono_tz::America::New_York,
            &nights,
            &[],
            "2026-03-08T05:00:00Z",
            4,
            expect![[r#"
                Sun 03-08 00:00:00 EST  onpeak
                Sun 03-08 01:30:00 EST  offpeak
                Sun 03-08 03:00:00 EDT  offpeak
                Sun 03-08 03:30:00 EDT  onpeak
            "#]],
        );
        check(
            chrono_tz::America::New_York,
            &nights,
            &[],
            "2026-11-01T05:00:00Z",
            4,
            expect![[r#"
                Sun 11-01 01:00:00 EDT  onpeak
                Sun 11-01 01:30:00 EDT  offpeak
                Sun 11-01 01:00:00 EST  onpeak
                Sun 11-01 01:30:00 EST  offpeak
            "#]],
        );
    }

    #[test]
    fn the_last_second_of_a_span_is_off_peak_to_its_end() {
        let calendar = PeakCalendar::new(
            chrono_tz::Europe::Vienna,
            &[weekday(Weekday::Mon, "00:00:00", "07:59:59")],
            &[],
            SpanEnd::WholeSecond,
        );
        let state = |at: &str| calendar.state_at(at.parse().unwrap()).peak;
        assert_eq!(state("2026-03-02T06:59:59.999999Z"), Peak::Off);
        assert_eq!(state("2026-03-02T07:00:00Z"), Peak::On);
    }

    #[test]
    fn the_reference_leaves_the_fraction_of_the_last_second_on_peak() {
        let day = [weekday(Weekday::Mon, "00:00:00", "07:59:59")];
        let calendar = PeakCalendar::new(chrono_tz::Europe::Vienna, &day, &[], SpanEnd::Inclusive);
        let state = |at: &str| calendar.state_at(at.parse().unwrap()).peak;
        assert_eq!(state("2026-03-02T06:59:59Z"), Peak::Off);
        assert_eq!(state("2026-03-02T06:59:59.000001Z"), Peak::On);
    }

    #[test]
    fn special_dates_are_united_with_weekdays() {
        let special = OffPeakSpecial {
            start: "2026-12-24T18:00:00".parse().unwrap(),
            end: "2026-12-25T23:59:59".parse().unwrap(),
        };
        check(
            chrono_tz::Europe::Vienna,
            &[weekday(Weekday::Thu, "16:00:00", "19:59:59")],
            &[special],
            "2026-12-24T12:00:00Z",
            6,
            expect![[r#"
                Thu 12-24 13:00:00 CET  onpeak
                Thu 12-24 16:00:00 CET  offpeak
                Thu 12-24 18:00:00 CET  offpeak
                Thu 12-24 20:00:00 CET  offpeak
                Fri 12-25 00:00:00 CET  offpeak
                Sat 12-26 00:00:00 CET  onpeak
            "#]],
        );
    }

    proptest! {
        /// Whatever the day, zone and spans: the state that was promised until the border holds at each second before it.
        #[test]
        fn a_state_lasts_as_long_as_it_says(
            hour in 0i64..24 * 366,
            second in 0i64..3600,
            spans in prop::collection::vec((0u8..7, 0u32..86_400, 0u32..40_000), 0..6),
            zone in prop::sample::select(vec![
                chrono_tz::Europe::Vienna,
                chrono_tz::America::New_York,
                chrono_tz::Australia::Lord_Howe,
                chrono_tz::Asia::Kathmandu,
            ]),
        ) {
            let weekdays: Vec<OffPeakWeekday> = spans.iter().map(|&(day, start, length)| {
                let time = |second| NaiveTime::from_num_seconds_from_midnight_opt(second, 0).unwrap();
                OffPeakWeekday {
                    day: Weekday::try_from(day).unwrap(),
                    start: time(start),
                    end: time((start + length).min(86_399)),
                }
            }).collect();
            let calendar = PeakCalendar::new(zone, &weekdays, &[], SpanEnd::WholeSecond);
            let in_span = |at: DateTime<Utc>| {
                let local = at.with_timezone(&zone);
                weekdays.iter().any(|span| {
                    span.day == local.weekday() && span.start <= local.time() && local.time() <= span.end
                })
            };
            let begin: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
            let at = begin + TimeDelta::seconds(hour * 3600 + second);
            let state = calendar.state_at(at);
            let until = state.until.unwrap_or(at + TimeDelta::hours(1));
            prop_assert!(until > at);
            let mut probe = at;
            while probe < until {
                prop_assert_eq!(in_span(probe), state.peak == Peak::Off, "{}", probe);
                probe += TimeDelta::seconds(61);
            }
            let last = until - TimeDelta::seconds(1);
            prop_assert_eq!(in_span(last), state.peak == Peak::Off, "{}", last);
        }
    }
}
