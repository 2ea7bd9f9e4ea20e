//! A billing period: whole local days of one zone, as a half-open span of instants.
//!
//! In: a month or two days, and an IANA zone. Out: `[start, end)` in UTC, so that a call begun in the last
//! microsecond of a month is billed in it and one begun at midnight is not. Which account has which cycle is the
//! caller's business.

use std::fmt;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use chrono_tz::{GapInfo, Tz};
use model::BillingCycle;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::InvoicingError;

/// First day of the second half of a month.
const SECOND_HALF: u32 = 16;

/// The time an invoice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Period {
    /// First instant.
    pub start: DateTime<Utc>,
    /// First instant after it; the start of the next period.
    pub end: DateTime<Utc>,
    /// Zone of its days.
    pub timezone: Tz,
}

impl Period {
    /// The calendar month `text`, such as `"2026-10"`, in `timezone`.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::NotAMonth`].
    pub fn month(text: &str, timezone: Tz) -> Result<Period, InvoicingError> {
        let not_a_month = || InvoicingError::NotAMonth { text: text.to_owned() };
        let (year, month) = text.split_once('-').ok_or_else(not_a_month)?;
        let all_digits =
            |part: &str, len: usize| part.len() == len && part.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(year, 4) || !all_digits(month, 2) {
            return Err(not_a_month());
        }
        let year = year.parse().map_err(|_| not_a_month())?;
        let month = month.parse().map_err(|_| not_a_month())?;
        let first_day = NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(not_a_month)?;
        let end_day = first_day.checked_add_months(Months::new(1)).ok_or_else(not_a_month)?;
        Period::days(first_day, end_day, timezone)
    }

    /// The days from `first_day` to before `end_day` in `timezone`.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::NoPeriod`].
    pub fn days(first_day: NaiveDate, end_day: NaiveDate, timezone: Tz) -> Result<Period, InvoicingError> {
        let no_period = || InvoicingError::NoPeriod { first_day, end_day };
        let start = first_instant(first_day, timezone).ok_or_else(no_period)?;
        let end = first_instant(end_day, timezone).ok_or_else(no_period)?;
        if start >= end {
            return Err(no_period());
        }
        Ok(Period { start, end, timezone })
    }

    /// The period of a cycle that holds the local day `day`.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::NoPeriod`] at the end of the calendar.
    pub fn of_cycle(cycle: BillingCycle, day: NaiveDate, timezone: Tz) -> Result<Period, InvoicingError> {
        let no_period = || InvoicingError::NoPeriod { first_day: day, end_day: day };
        let next_month = || day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
        let (first_day, end_day) = match cycle {
            BillingCycle::Monthly => (day.with_day(1), next_month()),
            BillingCycle::SemiMonthly if day.day() < SECOND_HALF => {
                (day.with_day(1), day.with_day(SECOND_HALF))
            }
            BillingCycle::SemiMonthly => (day.with_day(SECOND_HALF), next_month()),
            BillingCycle::Weekly => {
                let monday = day.checked_sub_days(Days::new(day.weekday().num_days_from_monday().into()));
                (monday, monday.and_then(|monday| monday.checked_add_days(Days::new(7))))
            }
            BillingCycle::Daily => (Some(day), day.succ_opt()),
        };
        Period::days(first_day.ok_or_else(no_period)?, end_day.ok_or_else(no_period)?, timezone)
    }

    /// How much of a monthly fee the days of this period come to: of each month its days by the days it has. Adjoining
    /// periods come to what they come to together.
    pub fn months(&self) -> Decimal {
        let (mut day, last) = (self.first_day(), self.last_day());
        let mut months = Decimal::ZERO;
        while day <= last {
            let next_month = day.with_day(1).and_then(|first| first.checked_add_months(Months::new(1)));
            let Some((first, next)) = day.with_day(1).zip(next_month) else { break };
            let days = (next.min(last + Days::new(1)) - day).num_days();
            months += Decimal::from(days) / Decimal::from((next - first).num_days());
            day = next;
        }
        months
    }

    /// Whether a call that starts at `at` belongs here.
    pub fn contains(&self, at: DateTime<Utc>) -> bool {
        self.start <= at && at < self.end
    }

    /// Its first local day.
    pub fn first_day(&self) -> NaiveDate {
        self.start.with_timezone(&self.timezone).date_naive()
    }

    /// Its last local day, itself in the period.
    pub fn last_day(&self) -> NaiveDate {
        (self.end - TimeDelta::microseconds(1)).with_timezone(&self.timezone).date_naive()
    }

    /// For people: `1 – 31 October 2026`, `28 September – 4 October 2026`, `28 December 2026 – 3 January 2027`.
    pub fn in_words(&self) -> String {
        let (first_day, last_day) = (self.first_day(), self.last_day());
        let first = if first_day == last_day {
            return last_day.format("%-d %B %Y").to_string();
        } else if first_day.year() != last_day.year() {
            first_day.format("%-d %B %Y")
        } else if first_day.month() != last_day.month() {
            first_day.format("%-d %B")
        } else {
            first_day.format("%-d")
        };
        format!("{first} – {}", last_day.format("%-d %B %Y"))
    }
}

/// `2026-10` for a calendar month, else `2026-10-05/2026-10-11`: first and last day.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first_day, last_day) = (self.first_day(), self.last_day());
        let is_month = first_day.day() == 1
            && last_day
                .succ_opt()
                .is_some_and(|next| Some(next) == first_day.checked_add_months(Months::new(1)));
        if is_month {
            write!(f, "{}", first_day.format("%Y-%m"))
        } else {
            write!(f, "{first_day}/{last_day}")
        }
    }
}

/// The first instant of a local day. Where the clock is put forward at midnight the day begins later, where it is put
/// back across midnight the day begins at the first of the two; so one day's end is always the next one's start.
fn first_instant(day: NaiveDate, timezone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.and_time(NaiveTime::MIN);
    let first = match timezone.from_local_datetime(&midnight).earliest() {
        Some(first) => first,
        None => GapInfo::new(&midnight, &timezone)?.end?,
    };
    Some(first.to_utc())
}

#[cfg(test)]
mod tests {
    use chrono_tz::{America, Asia, Europe};
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(month: &str, timezone: Tz, start: &str, end: &str, hours: i64) {
        let period = Period::month(month, timezone).unwrap();
        let text = |at: DateTime<Utc>| at.format("%Y-%m-%dT%H:%MZ").to_string();
        assert_eq!((text(period.start).as_str(), text(period.end).as_str()), (start, end));
        assert_eq!((period.end - period.start).num_hours(), hours);
        assert_eq!(period.to_string(), month);
    }

    #[test]
    fn october_in_vienna_is_an_hour_longer_and_march_an_hour_shorter() {
        check("2026-10", Europe::Vienna, "2026-09-30T22:00Z", "2026-10-31T23:00Z", 31 * 24 + 1);
        check("2026-03", Europe::Vienna, "2026-02-28T23:00Z", "2026-03-31T22:00Z", 31 * 24 - 1);
        check("2026-02", Asia::Ho_Chi_Minh, "2026-01-31T17:00Z", "2026-02-28T17:00Z", 28 * 24);
        check("2026-12", Tz::UTC, "2026-12-01T00:00Z", "2027-01-01T00:00Z", 31 * 24);
    }

    #[test]
    fn month_that_begins_in_a_clock_change_loses_no_call() {
        // Paraguay, 2023-10-01: midnight became 01:00, so the month begins at 01:00 local time.
        check("2023-10", America::Asuncion, "2023-10-01T04:00Z", "2023-11-01T03:00Z", 31 * 24 - 1);
        // Cuba, 2026-11-01: 01:00 became midnight again; the first of the two begins the month.
        check("2026-11", America::Havana, "2026-11-01T04:00Z", "2026-12-01T05:00Z", 30 * 24 + 1);
    }

    #[test]
    fn call_at_the_last_microsecond_is_in_and_one_at_midnight_is_out() {
        let october = Period::month("2026-10", Europe::Vienna).unwrap();
        assert!(october.contains(october.start));
        assert!(october.contains(october.end - TimeDelta::microseconds(1)));
        assert!(!october.contains(october.end));
        assert_eq!(october.last_day().to_string(), "2026-10-31");
    }

    #[test]
    fn what_is_no_month_is_refused_with_an_example() {
        for text in [
            "",
            "2026",
            "2026-13",
            "2026-00",
            "2026-1",
            "26-10",
            "2026-10-01",
            "+026-10",
            "October",
            "٢٠٢٦-١٠",
        ] {
            let error = Period::month(text, Europe::Vienna).unwrap_err();
            assert_eq!(error.code(), "INV001", "{text}");
            assert!(error.to_string().contains("such as \"2026-10\""), "{error}");
        }
    }

    #[test]
    fn period_in_words_says_nothing_twice() {
        let words = |first: &str, end: &str| {
            Period::days(first.parse().unwrap(), end.parse().unwrap(), Europe::Vienna).unwrap().in_words()
        };
        assert_eq!(words("2026-10-01", "2026-11-01"), "1 – 31 October 2026");
        assert_eq!(words("2026-09-28", "2026-10-05"), "28 September – 4 October 2026");
        assert_eq!(words("2026-12-28", "2027-01-04"), "28 December 2026 – 3 January 2027");
        assert_eq!(words("2026-10-05", "2026-10-06"), "5 October 2026");
    }

    #[test]
    fn week_is_named_by_its_days_and_an_empty_one_is_refused() {
        let day = |day| NaiveDate::from_ymd_opt(2026, 10, day).unwrap();
        let week = Period::days(day(5), day(12), Europe::Vienna).unwrap();
        assert_eq!(week.to_string(), "2026-10-05/2026-10-11");
        assert_eq!(Period::days(day(5), day(5), Europe::Vienna).unwrap_err().code(), "INV002");
    }

    #[test]
    fn cycles_cut_the_calendar_where_people_expect_it() {
        let shown = |cycle, day: &str| {
            Period::of_cycle(cycle, day.parse().unwrap(), Europe::Vienna).unwrap().to_string()
        };
        assert_eq!(shown(BillingCycle::Monthly, "2028-02-29"), "2028-02");
        assert_eq!(shown(BillingCycle::SemiMonthly, "2026-02-15"), "2026-02-01/2026-02-15");
        assert_eq!(shown(BillingCycle::SemiMonthly, "2026-02-16"), "2026-02-16/2026-02-28");
        assert_eq!(shown(BillingCycle::Weekly, "2026-11-01"), "2026-10-26/2026-11-01");
        assert_eq!(shown(BillingCycle::Weekly, "2026-11-02"), "2026-11-02/2026-11-08");
        assert_eq!(shown(BillingCycle::Daily, "2026-12-31"), "2026-12-31/2026-12-31");
    }

    #[test]
    fn parts_of_months_add_up_to_months() {
        let months = |first: &str, end: &str| {
            Period::days(first.parse().unwrap(), end.parse().unwrap(), Europe::Vienna).unwrap().months()
        };
        assert_eq!(months("2026-10-01", "2026-11-01"), Decimal::ONE);
        assert_eq!(months("2026-02-01", "2026-02-15"), Decimal::new(5, 1));
        assert_eq!(months("2026-04-21", "2026-06-01"), Decimal::ONE + Decimal::ONE / Decimal::from(3));
    }

    proptest! {
        #[test]
        fn periods_of_a_cycle_follow_one_another_and_hold_their_day(
            cycle in 0..BillingCycle::ALL.len(),
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
            n_days in 0..20_000_u64,
        ) {
            let (cycle, timezone) = (BillingCycle::ALL[cycle], chrono_tz::TZ_VARIANTS[zone]);
            let day = NaiveDate::from_ymd_opt(1990, 1, 1).unwrap() + Days::new(n_days);
            // A day that a zone left out (Samoa, 2011-12-30) is in no period.
            prop_assume!(Period::days(day, day + Days::new(1), timezone).is_ok());
            let this = Period::of_cycle(cycle, day, timezone).unwrap();
            prop_assert!(this.first_day() <= day && day <= this.last_day());
            let next = Period::of_cycle(cycle, this.last_day() + Days::new(1), timezone);
            if let Ok(next) = next {
                prop_assert_eq!(this.end, next.start);
            }
        }

        #[test]
        fn months_follow_one_another_without_gap_in_every_zone(
            zone in 0..chrono_tz::TZ_VARIANTS.len(),
            year in 1990..2040,
            month in 1..12,
        ) {
            let timezone = chrono_tz::TZ_VARIANTS[zone];
            let this = Period::month(&format!("{year}-{month:02}"), timezone).unwrap();
            let next = Period::month(&format!("{year}-{:02}", month + 1), timezone).unwrap();
            prop_assert_eq!(this.end, next.start);
        }
    }
}
