//! `offpeak.toml`.

use chrono::{NaiveDateTime, NaiveTime, Weekday};
use model::{OffPeakSpecial, OffPeakWeekday};

use super::issue::Issue;
use super::toml_file::{self, Keys};

/// The file, checked.
#[derive(Debug, Clone, Default)]
pub(crate) struct OffPeak {
    pub(crate) weekdays: Vec<OffPeakWeekday>,
    pub(crate) specials: Vec<OffPeakSpecial>,
}

/// Reads the file. What is wrong in it is reported and left out.
pub(crate) fn read(file: &str, text: &str, issues: &mut Vec<Issue>) -> OffPeak {
    toml_file::parse(file, text, issues, |keys, issues| {
        keys.allow(&["weekday", "special"], issues);
        OffPeak {
            weekdays: keys.tables("weekday", issues).iter().filter_map(|k| weekday(k, issues)).collect(),
            specials: keys.tables("special", issues).iter().filter_map(|k| special(k, issues)).collect(),
        }
    })
    .unwrap_or_default()
}

fn weekday(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Option<OffPeakWeekday> {
    keys.allow(&["day", "start", "end"], issues);
    for key in ["day", "start", "end"] {
        keys.require(key, "give day, start and end", issues);
    }
    let day = keys.parsed(
        "day",
        "use \"mon\", \"tue\", \"wed\", \"thu\", \"fri\", \"sat\" or \"sun\"",
        issues,
        |text| text.parse::<Weekday>().map_err(|_| format!("{text:?} is not a day of the week")),
    );
    let start = keys.parsed("start", "such as \"00:00:00\"", issues, time);
    let end = keys.parsed("end", "such as \"07:59:59\"", issues, time);
    let (day, start, end) = (day?, start?, end?);
    if end < start {
        issues.push(keys.issue(
            "end",
            format!("{end} is before the start, {start}"),
            "a span over midnight needs two entries",
        ));
    }
    Some(OffPeakWeekday { day, start, end })
}

fn special(keys: &Keys<'_>, issues: &mut Vec<Issue>) -> Option<OffPeakSpecial> {
    keys.allow(&["start", "end"], issues);
    for key in ["start", "end"] {
        keys.require(key, "give start and end", issues);
    }
    let start = keys.parsed("start", "such as \"2026-12-24 00:00:00\"", issues, date_time);
    let end = keys.parsed("end", "such as \"2026-12-24 23:59:59\"", issues, date_time);
    let (start, end) = (start?, end?);
    if end < start {
        issues.push(keys.issue("end", format!("{end} is before the start, {start}"), "swap them"));
    }
    Some(OffPeakSpecial { start, end })
}

fn time(text: &str) -> Result<NaiveTime, String> {
    NaiveTime::parse_from_str(text, "%H:%M:%S")
        .map_err(|_| format!("{text:?} is not a time of day, hh:mm:ss"))
}

fn date_time(text: &str) -> Result<NaiveDateTime, String> {
    ["%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S"]
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
        .ok_or_else(|| format!("{text:?} is not a local time, yyyy-mm-dd hh:mm:ss"))
}
