//! When a balance interval begins and ends.
//!
//! In: where the first one began, a length by the calendar, a zone. Out: the interval that holds an instant. Intervals follow the
//! clock on the wall: an hour that it skips has no interval of its own, one that it shows twice is one interval of two hours. Months
//! are counted from the first interval's day, and end on a month's last day where it has no such day: 30 January, 28 February,
//! 30 March.

use chrono::{
    DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone, Utc,
};
use chrono_tz::Tz;
use model::{BalanceLength, BalanceUnit};
use serde::{Deserialize, Serialize};

/// From `start`, included, to `end`, excluded; `None` is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stretch {
    /// First instant.
    pub start: DateTime<Utc>,
    /// First instant after it.
    pub end: Option<DateTime<Utc>>,
}

impl Stretch {
    /// Whether `at` is in it.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

/// How months are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum MonthArithmetic {
    /// Counted from the first interval's day, shortened to the last day of a month.
    #[default]
    EndOfMonth,
    /// As the rater of the reference: each from the one before, and a day that a month lacks runs over into the next
    /// (30 January, 2 March; billing-reference 5.6).
    Overflow,
}

/// A row of intervals of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cadence {
    /// Where the first one begins, by the clock on the wall.
    pub anchor: NaiveDateTime,
    /// Of which zone.
    pub zone: Tz,
    /// Of each.
    pub length: BalanceLength,
    /// Of months.
    pub months: MonthArithmetic,
}

/// Intervals looked at around the one that an estimate names: clock changes move it by an hour or two.
const STEPS_MAX: usize = 400;

impl Cadence {
    /// The interval that holds `at`; of an instant before the first one, that one. `None` beyond the calendar.
    pub fn at(&self, at: DateTime<Utc>) -> Option<Stretch> {
        let mut number = self.estimate(at)?.max(0);
        for _ in 0..STEPS_MAX {
            let (start, end) = (self.begin(number)?, self.begin(number + 1)?);
            if at < start && number > 0 {
                number -= 1;
            } else if at >= end {
                number += 1;
            } else if start < end {
                return Some(Stretch { start, end: Some(end) });
            } else {
                // The clock skipped it.
                number += 1;
            }
        }
        None
    }

    /// The interval after `stretch`.
    pub fn after(&self, stretch: &Stretch) -> Option<Stretch> {
        self.at(stretch.end?)
    }

    /// When the interval of this number begins, counted from 0.
    fn begin(&self, number: i64) -> Option<DateTime<Utc>> {
        resolved(self.zone, self.local(number)?)
    }

    fn local(&self, number: i64) -> Option<NaiveDateTime> {
        let count = number.checked_mul(i64::from(self.length.count))?;
        match self.length.unit {
            BalanceUnit::Minute => self.anchor.checked_add_signed(TimeDelta::try_minutes(count)?),
            BalanceUnit::Hour => self.anchor.checked_add_signed(TimeDelta::try_hours(count)?),
            BalanceUnit::Day => self.anchor.checked_add_days(Days::new(u64::try_from(count).ok()?)),
            BalanceUnit::Week => {
                self.anchor.checked_add_days(Days::new(u64::try_from(count.checked_mul(7)?).ok()?))
            }
            BalanceUnit::Month => match self.months {
                MonthArithmetic::EndOfMonth => {
                    self.anchor.checked_add_months(Months::new(u32::try_from(count).ok()?))
                }
                MonthArithmetic::Overflow => {
                    (0..number).try_fold(self.anchor, |local, _| overflowing(local, self.length.count))
                }
            },
        }
    }

    fn estimate(&self, at: DateTime<Utc>) -> Option<i64> {
        let local = at.with_timezone(&self.zone).naive_local();
        let count = i64::from(self.length.count.max(1));
        let gone = local.signed_duration_since(self.anchor);
        let units = match self.length.unit {
            BalanceUnit::Minute => gone.num_minutes(),
            BalanceUnit::Hour => gone.num_hours(),
            BalanceUnit::Day => gone.num_days(),
            BalanceUnit::Week => gone.num_weeks(),
            BalanceUnit::Month => {
                let months = |at: NaiveDateTime| i64::from(at.year()) * 12 + i64::from(at.month0());
                months(local) - months(self.anchor)
            }
        };
        Some(units.div_euclid(count))
    }
}

/// A month on, a day that the month lacks run over into the next.
fn overflowing(local: NaiveDateTime, count: u32) -> Option<NaiveDateTime> {
    let first = local.date().with_day(1)?.checked_add_months(Months::new(count))?;
    let day = first.checked_add_days(Days::new(u64::from(local.day0())))?;
    Some(day.and_time(local.time()))
}

/// So much later by the clock on the wall of `zone`. `None` beyond the calendar.
pub fn later(at: DateTime<Utc>, zone: Tz, length: BalanceLength, times: i64) -> Option<DateTime<Utc>> {
    let local = at.with_timezone(&zone).naive_local();
    let cadence = |length| Cadence { anchor: local, zone, length, months: MonthArithmetic::EndOfMonth };
    if times >= 0 {
        return cadence(length).begin(times);
    }
    let count = times.checked_neg()?.checked_mul(i64::from(length.count))?;
    let earlier = match length.unit {
        BalanceUnit::Minute => local.checked_sub_signed(TimeDelta::try_minutes(count)?),
        BalanceUnit::Hour => local.checked_sub_signed(TimeDelta::try_hours(count)?),
        BalanceUnit::Day => local.checked_sub_days(Days::new(u64::try_from(count).ok()?)),
        BalanceUnit::Week => local.checked_sub_days(Days::new(u64::try_from(count.checked_mul(7)?).ok()?)),
        BalanceUnit::Month => local.checked_sub_months(Months::new(u32::try_from(count).ok()?)),
    };
    resolved(zone, earlier?)
}

/// Midnight of the day of `at`.
pub(super) fn midnight(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    at.with_timezone(&zone).date_naive().and_time(NaiveTime::MIN)
}

/// Midnight of the first of the month of `at`.
pub(super) fn first_of_month(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    let day = at.with_timezone(&zone).date_naive();
    day.with_day(1).unwrap_or(day).and_time(NaiveTime::MIN)
}

/// Midnight of the Monday of the week of `at`.
pub(super) fn monday(at: DateTime<Utc>, zone: Tz) -> NaiveDateTime {
    let day: NaiveDate = at.with_timezone(&zone).date_naive();
    let since = Days::new(u64::from(day.weekday().num_days_from_monday()));
    day.checked_sub_days(since).unwrap_or(day).and_time(NaiveTime::MIN)
}

/// The instant that a clock on the wall shows: the first of two, and where the clock skips it, the first after it.
pub(super) fn resolved(zone: Tz, local: NaiveDateTime) -> Option<DateTime<Utc>> {
    // Clocks are set by quarters of an hour at the finest, and by less than a day.
    (0..96)
        .map(|quarter| local.checked_add_signed(TimeDelta::minutes(15 * quarter)))
        .map_while(|local| local)
        .find_map(|local| zone.from_local_datetime(&local).earliest().map(|at| (local, at)))
        .map(|(shown, at)| {
            if shown == local {
                return at.to_utc();
            }
            // Back to the first instant after the gap, which need not be a quarter after `local`.
            let mut first = at.to_utc();
            while let Some(before) = first.checked_sub_signed(TimeDelta::minutes(1)) {
                if before.with_timezone(&zone).naive_local() < local {
                    break;
                }
                first = before;
            }
            first
        })
}
