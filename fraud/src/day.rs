//! Days of an account: local dates and the instants at which they begin.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;

/// No zone has skipped more than a day at once (Samoa, 30 December 2011).
const LONGEST_GAP: TimeDelta = TimeDelta::hours(26);

/// Offsets of zones change by multiples of this, in the years with telephones to bill.
const GAP_STEP: TimeDelta = TimeDelta::minutes(15);

/// The local date on which a call that ended at `end` counts: the end is taken up to the next whole second.
pub(crate) fn day_of(end: DateTime<Utc>, zone: Tz) -> NaiveDate {
    let into_second_ns = end.timestamp_subsec_nanos();
    let up = match into_second_ns {
        0 => TimeDelta::zero(),
        _ => TimeDelta::seconds(1) - TimeDelta::nanoseconds(i64::from(into_second_ns)),
    };
    end.checked_add_signed(up).unwrap_or(end).with_timezone(&zone).date_naive()
}

/// The first instant of the day after `day`, wherever the clocks put it.
pub(crate) fn end_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let Some(next) = day.checked_add_days(Days::new(1)) else { return DateTime::<Utc>::MAX_UTC };
    let midnight = next.and_time(NaiveTime::MIN);
    let mut passed = TimeDelta::zero();
    while passed <= LONGEST_GAP {
        // Where clocks go forward at midnight the day begins at one; where midnight comes twice, at the first.
        if let Some(local) =
            midnight.checked_add_signed(passed).and_then(|local| local.and_local_timezone(zone).earliest())
        {
            return local.with_timezone(&Utc);
        }
        passed += GAP_STEP;
    }
    midnight.and_utc()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, day: &str, ends: &str) {
        let zone: Tz = zone.parse().unwrap();
        assert_eq!(
            end_of(day.parse().unwrap(), zone),
            ends.parse::<DateTime<Utc>>().unwrap(),
            "{zone} {day}"
        );
    }

    #[test]
    fn days_end_at_local_midnight_also_when_the_clocks_change() {
        check("Europe/Vienna", "2026-03-28", "2026-03-28T23:00:00Z");
        // 23 hours long.
        check("Europe/Vienna", "2026-03-29", "2026-03-29T22:00:00Z");
        check("Europe/Vienna", "2026-10-24", "2026-10-24T22:00:00Z");
        // 25 hours long.
        check("Europe/Vienna", "2026-10-25", "2026-10-25T23:00:00Z");
        check("Asia/Kathmandu", "2026-01-01", "2026-01-01T18:15:00Z");
    }

    #[test]
    fn midnight_that_does_not_exist_or_exists_twice() {
        // Beirut goes from 24:00 to 01:00; the day begins at one.
        check("Asia/Beirut", "2026-03-28", "2026-03-28T22:00:00Z");
        // Havana goes from 01:00 back to 00:00; the day begins at the first of the two.
        check("America/Havana", "2026-10-31", "2026-11-01T04:00:00Z");
        // Samoa had no 30 December.
        check("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z");
    }

    #[test]
    fn call_counts_on_the_day_of_its_last_begun_second() {
        let vienna: Tz = "Europe/Vienna".parse().unwrap();
        let day = |end: &str| day_of(end.parse().unwrap(), vienna).to_string();
        assert_eq!(day("2026-10-05T21:59:59Z"), "2026-10-05");
        assert_eq!(day("2026-10-05T21:59:59.000001Z"), "2026-10-06");
        assert_eq!(day("2026-10-05T22:00:00Z"), "2026-10-06");
    }
}
