//! Periods of a spend limit: one day, or one billing interval, of an account.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use chrono_tz::Tz;

use crate::day::end_of;

/// Which day or billing interval, as dates of the account's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum PeriodKey {
    /// This day.
    Day(NaiveDate),
    /// The calendar month that begins on this day.
    Month(NaiveDate),
}

impl PeriodKey {
    /// The month that `day` lies in.
    pub(crate) fn month_of(day: NaiveDate) -> Self {
        PeriodKey::Month(day.with_day(1).unwrap_or(day))
    }

    /// The first instant after it.
    pub(crate) fn ends(self, zone: Tz) -> DateTime<Utc> {
        match self {
            PeriodKey::Day(day) => end_of(day, zone),
            PeriodKey::Month(first) => {
                let last = first
                    .checked_add_months(Months::new(1))
                    .and_then(|next| next.checked_sub_days(Days::new(1)));
                last.map_or(DateTime::<Utc>::MAX_UTC, |last| end_of(last, zone))
            }
        }
    }

    /// What it is, for a sentence that ends with "limit".
    pub(crate) const fn adjective(self) -> &'static str {
        match self {
            PeriodKey::Day(_) => "daily",
            PeriodKey::Month(_) => "interval",
        }
    }
}

/// `2026-10-05` or `2026-10`: in alerts, and in the keys of the state.
impl fmt::Display for PeriodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PeriodKey::Day(day) => day.fmt(f),
            PeriodKey::Month(first) => first.format("%Y-%m").fmt(f),
        }
    }
}

impl FromStr for PeriodKey {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, chrono::ParseError> {
        // A day has two dashes.
        if text.trim_start_matches('-').matches('-').count() == 1 {
            format!("{text}-01").parse().map(PeriodKey::Month)
        } else {
            text.parse().map(PeriodKey::Day)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn period_survives_its_name() {
        for text in ["2026-10-05", "2026-10", "2027-01"] {
            assert_eq!(text.parse::<PeriodKey>().unwrap().to_string(), text);
        }
        assert!("october".parse::<PeriodKey>().is_err());
    }

    #[test]
    fn month_ends_at_local_midnight_of_the_first() {
        let ends = |month: &str| month.parse::<PeriodKey>().unwrap().ends(chrono_tz::Europe::Vienna);
        assert_eq!(ends("2026-10"), "2026-10-31T23:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(ends("2026-12"), "2026-12-31T23:00:00Z".parse::<DateTime<Utc>>().unwrap());
        assert_eq!(ends("2026-06"), "2026-06-30T22:00:00Z".parse::<DateTime<Utc>>().unwrap());
    }
}
