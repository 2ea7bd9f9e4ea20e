//! Billing intervals: runs of calendar weeks or months in the zone of the profile.
//!
//! In: instants. Out: which interval they are in, counted from that of the account's first call, and when it ends.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;
use model::{BillingInterval, IntervalUnit};

/// The calendar of one profile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BillingIntervals {
    pub(crate) zone: Tz,
    pub(crate) length: BillingInterval,
}

impl BillingIntervals {
    /// Number of the week or month that holds `at`.
    pub(crate) fn unit_of(&self, at: DateTime<Utc>) -> i64 {
        let day = at.with_timezone(&self.zone).date_naive();
        match self.length.unit {
            IntervalUnit::Month => i64::from(day.year()) * 12 + i64::from(day.month0()),
            // Day 1 of the common era was a Monday.
            IntervalUnit::Week => (i64::from(day.num_days_from_ce()) - 1).div_euclid(7),
        }
    }

    /// The interval that holds `at`, of an account whose first one begins with `first_unit`.
    pub(crate) fn interval_of(&self, first_unit: i64, at: DateTime<Utc>) -> i64 {
        (self.unit_of(at) - first_unit).div_euclid(i64::from(self.length.count))
    }

    /// The first instant after `interval`.
    pub(crate) fn end(&self, first_unit: i64, interval: i64) -> DateTime<Utc> {
        let unit = first_unit + (interval + 1) * i64::from(self.length.count);
        self.start_of_unit(unit).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// Midnight in the zone, or the first instant after it where the clock skips midnight.
    fn start_of_unit(&self, unit: i64) -> Option<DateTime<Utc>> {
        let day = match self.length.unit {
            IntervalUnit::Month => NaiveDate::from_ymd_opt(
                i32::try_from(unit.div_euclid(12)).ok()?,
                u32::try_from(unit.rem_euclid(12)).ok()? + 1,
                1,
            )?,
            IntervalUnit::Week => NaiveDate::from_num_days_from_ce_opt(i32::try_from(unit * 7 + 1).ok()?)?,
        };
        let midnight = day.and_time(NaiveTime::MIN);
        // Clocks are set by quarters of an hour at the finest, and by less than a day.
        (0..96)
            .map(|quarter| midnight + TimeDelta::minutes(15 * quarter))
            .find_map(|local| self.zone.from_local_datetime(&local).earliest())
            .map(|at| at.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: Tz, unit: IntervalUnit, count: u32, at: &str, end: &str) {
        let intervals = BillingIntervals { zone, length: BillingInterval { unit, count } };
        let at: DateTime<Utc> = at.parse().unwrap();
        let first = intervals.unit_of(at);
        assert_eq!(intervals.interval_of(first, at), 0);
        let next: DateTime<Utc> = end.parse().unwrap();
        assert_eq!(intervals.end(first, 0), next);
        assert_eq!(intervals.interval_of(first, next), 1);
        assert_eq!(intervals.interval_of(first, next - TimeDelta::microseconds(1)), 0);
    }

    #[test]
    fn an_interval_ends_at_local_midnight() {
        let vienna = chrono_tz::Europe::Vienna;
        check(vienna, IntervalUnit::Month, 1, "2026-03-31T21:59:59Z", "2026-03-31T22:00:00Z");
        check(vienna, IntervalUnit::Month, 1, "2028-02-29T12:00:00Z", "2028-02-29T23:00:00Z");
        check(vienna, IntervalUnit::Month, 3, "2026-11-15T12:00:00Z", "2027-01-31T23:00:00Z");
        // Sunday, the day of the clock change, is its week's last.
        check(vienna, IntervalUnit::Week, 1, "2026-03-29T12:00:00Z", "2026-03-29T22:00:00Z");
        check(vienna, IntervalUnit::Week, 2, "2026-03-30T12:00:00Z", "2026-04-12T22:00:00Z");
        // Cairo skips a midnight in this week, and is an hour further ahead from then on.
        check(
            chrono_tz::Africa::Cairo,
            IntervalUnit::Week,
            1,
            "2026-04-20T12:00:00Z",
            "2026-04-26T21:00:00Z",
        );
    }
}
