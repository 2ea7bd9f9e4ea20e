//! On-peak or off-peak, in the wall-clock time of the profile's zone.
//!
//! In: the off-peak spans of a tariff version. Out: the state of an instant, and how long it lasts at least. An instant is
//! off-peak when the wall clock then shows a time inside a span, so an hour that occurs twice is inside twice, and
//! one that is skipped is not there. The last second of a span is off-peak to its end; the reference leaves its
//! fraction on-peak (billing-reference 4).

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Offset, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use model::{OffPeakSpecial, OffPeakWeekday, Peak};

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
const DAY: i64 = 24 * HOUR;
const WEEK: i64 = 7 * DAY;
const QUARTER: i64 = 91 * DAY;

/// Years whose clock changes and special dates are kept ready; others are looked up in the zone's own table.
const READY_YEARS: std::ops::Range<i32> = 2000..2060;

/// The off-peak spans of one tariff version, ready for lookup. Times are microseconds, local ones since 1970 on the wall clock.
#[derive(Debug, Clone)]
pub(crate) struct PeakCalendar {
    zone: Tz,
    /// By days from Monday: spans of time since midnight, half open, ordered, not touching.
    weekdays: [Vec<(i64, i64)>; 7],
    /// Local time, half open, ordered, not touching.
    specials: Vec<(i64, i64)>,
    always_on: bool,
    /// What the weekdays say of each hour of the week, from Monday 0:00 on.
    hours: Vec<HourOfWeek>,
    /// Over [`READY_YEARS`], in order and without a gap.
    stretches: Vec<Stretch>,
    /// For each quarter of a year since the first of `stretches`, the place of the one that holds at its beginning.
    stretches_by_quarter: Vec<u32>,
    /// Where `stretches` end to be certain.
    ready_until: i64,
}

/// An hour of the week on the wall clock. Times are microseconds since Monday 0:00.
#[derive(Debug, Clone, Copy)]
struct HourOfWeek {
    /// The first change of state behind the beginning of the hour, or the end of the week.
    change: i64,
    /// The next one behind that; in an hour of more than one change, [`CROWDED`].
    next_change: i64,
    /// State at the beginning of the hour.
    peak: Peak,
    /// And after `change`.
    peak_after: Peak,
}

/// No time: the hour has more changes than [`HourOfWeek`] tells.
const CROWDED: i64 = -1;

/// A time in which the zone is as far ahead of UTC, and which is wholly inside a special date or outside of all.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    /// Its beginning, UTC; it ends where the next one begins.
    from: i64,
    /// How far local time is ahead.
    offset: i64,
    is_special: bool,
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
    fn after(self) -> i64 {
        match self {
            SpanEnd::WholeSecond => SECOND,
            SpanEnd::Inclusive => 1,
        }
    }
}

/// What the calendar says of an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeakState {
    pub(crate) peak: Peak,
    /// The state is certain before this instant, in microseconds since 1970 UTC, and may be another one from it on;
    /// [`i64::MAX`] is for ever.
    pub(crate) until: i64,
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
        let mut by_day: [Vec<(i64, i64)>; 7] = Default::default();
        for span in weekdays {
            let day = span.day.num_days_from_monday() as usize;
            by_day[day].push((since_midnight(span.start), since_midnight(span.end) + end.after()));
        }
        let always_on = weekdays.is_empty() && specials.is_empty();
        let local = |at: NaiveDateTime| at.and_utc().timestamp() * SECOND;
        let specials =
            specials.iter().map(|span| (local(span.start), local(span.end) + end.after())).collect();
        let (weekdays, specials) = (by_day.map(united), united(specials));
        let (stretches, ready_until) = if always_on {
            (Vec::new(), i64::MIN)
        } else {
            let (offsets, until) = offsets(zone);
            (stretches(&offsets, &specials, until), until)
        };
        Self {
            zone,
            hours: if always_on { Vec::new() } else { hours(&weekdays) },
            weekdays,
            specials,
            always_on,
            stretches_by_quarter: by_quarter(&stretches, ready_until),
            stretches,
            ready_until,
        }
    }

    /// The state at `at`, microseconds since 1970 UTC, which lies in the years that a price may be asked for (see
    /// [`crate::price()`]).
    #[inline]
    pub(crate) fn state_at(&self, at: i64) -> PeakState {
        if self.always_on {
            return PeakState { peak: Peak::On, until: i64::MAX };
        }
        self.ready_state_at(at).unwrap_or_else(|| self.state_by_spans(at))
    }

    /// As [`Self::state_at`], by what is kept ready: two steps of arithmetic and two tables that fit into the nearest cache.
    #[inline]
    fn ready_state_at(&self, at: i64) -> Option<PeakState> {
        let first = self.stretches.first()?.from;
        if at < first || self.ready_until <= at {
            return None;
        }
        // Where the search begins, by steps of a quarter of a year.
        let step = usize::try_from((at - first) / QUARTER).unwrap_or_default();
        let mut place = *self.stretches_by_quarter.get(step)? as usize;
        while let Some(next) = self.stretches.get(place + 1)
            && next.from <= at
        {
            place += 1;
        }
        let Stretch { offset, is_special, .. } = self.stretches[place];
        let stretch_until = self.stretches.get(place + 1).map_or(self.ready_until, |next| next.from);
        if is_special {
            return Some(PeakState { peak: Peak::Off, until: stretch_until });
        }
        // 1970 began on a Thursday.
        let of_week = (at + offset + 3 * DAY).rem_euclid(WEEK);
        let hour = self.hours.get(usize::try_from(of_week / HOUR).unwrap_or_default())?;
        if hour.next_change == CROWDED {
            return None;
        }
        let is_after = hour.change <= of_week;
        let peak = if is_after { hour.peak_after } else { hour.peak };
        let change = if is_after { hour.next_change } else { hour.change };
        Some(PeakState { peak, until: (at + (change - of_week)).min(stretch_until) })
    }

    /// As [`Self::state_at`], by the spans as they were given: for years far away, and hours with many changes.
    fn state_by_spans(&self, at: i64) -> PeakState {
        let (offset, offset_until) = self.offset_at(at);
        let local = at + offset;
        let day = local.div_euclid(DAY);
        let day_start = day * DAY;
        // The border that the wall clock meets first, midnight at the latest.
        let mut border = day_start + DAY;
        let mut peak = Peak::On;
        let mut see = |start: i64, end: i64| {
            if start <= local && local < end {
                peak = Peak::Off;
            }
            for edge in [start, end] {
                if edge > local && edge < border {
                    border = edge;
                }
            }
        };
        // 1970 began on a Thursday.
        let weekday = usize::try_from((day + 3).rem_euclid(7)).unwrap_or_default();
        for &(start, end) in &self.weekdays[weekday] {
            see(day_start + start, day_start + end);
        }
        if !self.specials.is_empty() {
            let next_special = self.specials.partition_point(|&(_, end)| end <= local);
            if let Some(&(start, end)) = self.specials.get(next_special) {
                see(start, end);
            }
        }
        // A clock change before it, where the wall clock jumps and the state must be looked up anew, comes first.
        PeakState { peak, until: (border - offset).min(offset_until) }
    }

    /// How far the zone is ahead of UTC, and until when it surely is.
    fn offset_at(&self, at: i64) -> (i64, i64) {
        let second = at.div_euclid(SECOND);
        let offset = zone_offset(self.zone, second);
        // Two changes within a day that cancel out do not occur.
        let tomorrow = second + 86_400;
        let until = if zone_offset(self.zone, tomorrow) == offset {
            tomorrow
        } else {
            change_between(self.zone, second, tomorrow)
        };
        (offset * SECOND, until * SECOND)
    }
}

/// Every change of the zone's offset in [`READY_YEARS`], the state at their beginning first, and their end.
fn offsets(zone: Tz) -> (Vec<(i64, i64)>, i64) {
    let new_year = |year| {
        let day = NaiveDate::from_ymd_opt(year, 1, 1).unwrap_or_default();
        day.and_time(NaiveTime::MIN).and_utc().timestamp()
    };
    let (first, end) = (new_year(READY_YEARS.start), new_year(READY_YEARS.end));
    let mut at = first;
    let mut offset = zone_offset(zone, at);
    let mut all = vec![(first * SECOND, offset * SECOND)];
    while at < end {
        // Shorter than any two changes that cancel out are apart.
        let next = (at + 7 * 86_400).min(end);
        if zone_offset(zone, next) == offset {
            at = next;
            continue;
        }
        at = change_between(zone, at, next);
        offset = zone_offset(zone, at);
        all.push((at * SECOND, offset * SECOND));
    }
    (all, end * SECOND)
}

/// Cuts the times of one offset each where special dates begin and end in them.
fn stretches(offsets: &[(i64, i64)], specials: &[(i64, i64)], until: i64) -> Vec<Stretch> {
    let mut all = Vec::with_capacity(offsets.len() + 2 * specials.len());
    for (idx, &(from, offset)) in offsets.iter().enumerate() {
        let end = offsets.get(idx + 1).map_or(until, |&(next, _)| next);
        let mut at = from;
        let mut put = |from: i64, to: i64, is_special: bool| {
            if from < to {
                all.push(Stretch { from, offset, is_special });
            }
        };
        for &(start, special_end) in specials {
            let (start, special_end) =
                ((start - offset).clamp(at, end), (special_end - offset).clamp(at, end));
            put(at, start, false);
            put(start, special_end, true);
            at = special_end;
        }
        put(at, end, false);
    }
    all
}

fn by_quarter(stretches: &[Stretch], until: i64) -> Vec<u32> {
    let Some(first) = stretches.first() else { return Vec::new() };
    let mut place = 0;
    let mut all = Vec::new();
    let mut at = first.from;
    while at < until {
        while stretches.get(place as usize + 1).is_some_and(|next| next.from <= at) {
            place += 1;
        }
        all.push(place);
        at += QUARTER;
    }
    all
}

/// What the spans of the days say of each hour of the week.
fn hours(weekdays: &[Vec<(i64, i64)>; 7]) -> Vec<HourOfWeek> {
    let of_day = |(day, spans): (i64, &Vec<(i64, i64)>)| -> Vec<(i64, i64)> {
        spans.iter().map(|&(start, end)| (day * DAY + start, day * DAY + end)).collect()
    };
    let spans = united((0..).zip(weekdays).flat_map(of_day).collect());
    let changes: Vec<(i64, Peak)> =
        spans.iter().flat_map(|&(start, end)| [(start, Peak::Off), (end, Peak::On)]).collect();
    let state_at = |at: i64| {
        let n_before = changes.partition_point(|&(change, _)| change <= at);
        if n_before == 0 { Peak::On } else { changes[n_before - 1].1 }
    };
    let change_after = |at: i64| {
        let next = changes.partition_point(|&(change, _)| change <= at);
        changes.get(next).map_or(WEEK, |&(change, _)| change).min(WEEK)
    };
    let hour = |hour: i64| {
        let (begin, end) = (hour * HOUR, (hour + 1) * HOUR);
        let change = change_after(begin);
        let next_change = change_after(change);
        HourOfWeek {
            change,
            next_change: if next_change < end { CROWDED } else { next_change },
            peak: state_at(begin),
            peak_after: state_at(change),
        }
    };
    (0..WEEK / HOUR).map(hour).collect()
}

/// The first second with another offset than at `same`; at `changed` it is another one.
fn change_between(zone: Tz, mut same: i64, mut changed: i64) -> i64 {
    let offset = zone_offset(zone, same);
    while changed - same > 1 {
        let middle = same + (changed - same) / 2;
        if zone_offset(zone, middle) == offset {
            same = middle;
        } else {
            changed = middle;
        }
    }
    changed
}

/// Seconds that the zone is ahead of UTC. Clock changes fall on whole seconds.
fn zone_offset(zone: Tz, second: i64) -> i64 {
    let at = DateTime::<Utc>::from_timestamp(second, 0).unwrap_or_default();
    i64::from(zone.offset_from_utc_datetime(&at.naive_utc()).fix().local_minus_utc())
}

/// In whole seconds.
fn since_midnight(time: NaiveTime) -> i64 {
    i64::from(time.num_seconds_from_midnight()) * SECOND
}

/// Sorted, overlapping and touching spans made one.
fn united(mut spans: Vec<(i64, i64)>) -> Vec<(i64, i64)> {
    spans.sort_unstable();
    let mut out: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
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
    use chrono::{Datelike, TimeDelta, Weekday};
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
            let state = calendar.state_at(at.timestamp_micros());
            let local = at.with_timezone(&zone).format("%a %m-%d %H:%M:%S %Z");
            picture += &format!("{local}  {}\n", state.peak);
            at = DateTime::from_timestamp_micros(state.until).unwrap();
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
        let state =
            |at: &str| calendar.state_at(at.parse::<DateTime<Utc>>().unwrap().timestamp_micros()).peak;
        assert_eq!(state("2026-03-02T06:59:59.999999Z"), Peak::Off);
        assert_eq!(state("2026-03-02T07:00:00Z"), Peak::On);
    }

    #[test]
    fn the_reference_leaves_the_fraction_of_the_last_second_on_peak() {
        let day = [weekday(Weekday::Mon, "00:00:00", "07:59:59")];
        let calendar = PeakCalendar::new(chrono_tz::Europe::Vienna, &day, &[], SpanEnd::Inclusive);
        let state =
            |at: &str| calendar.state_at(at.parse::<DateTime<Utc>>().unwrap().timestamp_micros()).peak;
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
                Sat 12-26 00:00:00 CET  onpeak
                Mon 12-28 00:00:00 CET  onpeak
                Thu 12-31 16:00:00 CET  offpeak
            "#]],
        );
    }

    #[test]
    fn years_that_are_not_kept_ready_are_the_same() {
        // 2061 and 1999: the rules of the European Union, by the zone's own table.
        let nights = [weekday(Weekday::Sun, "01:00:00", "03:29:59")];
        let calendar = PeakCalendar::new(chrono_tz::Europe::Vienna, &nights, &[], SpanEnd::WholeSecond);
        for (summer, until) in [
            ("2061-03-27T00:30:00Z", "2061-03-27T01:00:00Z"),
            ("1999-03-28T00:30:00Z", "1999-03-28T01:00:00Z"),
        ] {
            let micros = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp_micros();
            // Off-peak from 01:30 CET to the change at 02:00, and on from 03:00 CEST to 03:29:59.
            let before = calendar.state_at(micros(summer));
            assert_eq!(before, PeakState { peak: Peak::Off, until: micros(until) });
            let after = calendar.state_at(before.until);
            assert_eq!(after, PeakState { peak: Peak::Off, until: micros(until) + 1_800 * SECOND });
        }
    }

    proptest! {
        /// What is kept ready says what the spans say, specials among them, and promises no state for longer than it lasts.
        #[test]
        fn what_is_kept_ready_agrees_with_the_spans(
            second in 0i64..12 * 366 * 86_400,
            micros in 0i64..SECOND,
            spans in prop::collection::vec((0u8..7, 0u32..86_400, 0u32..86_400), 0..8),
            specials in prop::collection::vec((0i64..12 * 366 * 86_400, 0i64..3 * 86_400), 0..12),
            end in prop::sample::select(vec![SpanEnd::WholeSecond, SpanEnd::Inclusive]),
            zone in prop::sample::select(vec![
                chrono_tz::UTC,
                chrono_tz::Europe::Vienna,
                chrono_tz::America::New_York,
                chrono_tz::Australia::Lord_Howe,
                chrono_tz::Pacific::Apia,
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
            let begin: DateTime<Utc> = "2019-12-30T00:00:00Z".parse().unwrap();
            let specials: Vec<OffPeakSpecial> = specials.iter().map(|&(second, length)| {
                let start = begin.naive_utc() + TimeDelta::seconds(second);
                OffPeakSpecial { start, end: start + TimeDelta::seconds(length) }
            }).collect();
            let calendar = PeakCalendar::new(zone, &weekdays, &specials, end);
            let at = (begin + TimeDelta::seconds(second)).timestamp_micros() + micros;
            // The instant drawn, those around the borders that follow on it, and those around the specials.
            let mut probes = vec![at];
            let mut border = at;
            for _ in 0..8 {
                border = calendar.state_at(border).until;
                if border == i64::MAX { break }
                probes.extend([border - 1, border, border + 1]);
            }
            for special in &specials {
                let start = special.start.and_utc().timestamp_micros() - zone_offset(zone, second) * SECOND;
                probes.extend([start - 1, start, start + 1]);
            }
            for probe in probes {
                let ready = calendar.state_at(probe);
                let spans = calendar.state_by_spans(probe);
                if calendar.always_on { continue }
                prop_assert_eq!(ready.peak, spans.peak, "{}", probe);
                prop_assert!(ready.until > probe);
                // Border by border of the spans, as long as it was promised.
                let mut at = probe;
                for _ in 0..50 {
                    at = calendar.state_by_spans(at).until;
                    if at >= ready.until { break }
                    prop_assert_eq!(calendar.state_by_spans(at).peak, ready.peak, "{} {}", probe, at);
                }
            }
        }

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
            let state = calendar.state_at(at.timestamp_micros());
            let until = DateTime::from_timestamp_micros(state.until).unwrap_or(at + TimeDelta::hours(1));
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
