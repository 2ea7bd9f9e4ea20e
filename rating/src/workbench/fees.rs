//! `fees.csv`: our headed columns, or the reference's without a header.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use model::{Direction, ExtraRate, Fee, FeeId, FeeMatch, MatchMode, PeakOptions, Rate};
use rust_decimal::Decimal;

use super::issue::Issue;
use super::table::{Records, Row, Table, decimal, records_of, whole};
use crate::digit_ranges::DigitPrefix;
use crate::price::CALL_SECONDS_MAX;
use crate::quick_hash::QuickMap;
use crate::reference_match::check_pattern;

const TEXTS_AND_INTERVALS: &[&str] = &[
    "source",
    "destination",
    "direction",
    "zone",
    "zone_detail",
    "onpeak_init_interval",
    "onpeak_follow_interval",
    "offpeak_init_interval",
    "offpeak_follow_interval",
];

/// Each may also come as `..._cents_per_second`.
const RATES: &[&str] =
    &["onpeak_init_rate", "onpeak_follow_rate", "offpeak_init_rate", "offpeak_follow_rate"];

const CENTS_PER_SECOND: &str = "_cents_per_second";

/// Rate, rate in cents per second, interval.
const RATE_COLUMNS: [(&str, &str, &str); 4] = [
    ("onpeak_init_rate", "onpeak_init_rate_cents_per_second", "onpeak_init_interval"),
    ("onpeak_follow_rate", "onpeak_follow_rate_cents_per_second", "onpeak_follow_interval"),
    ("offpeak_init_rate", "offpeak_init_rate_cents_per_second", "offpeak_init_interval"),
    ("offpeak_follow_rate", "offpeak_follow_rate_cents_per_second", "offpeak_follow_interval"),
];

/// What [`options`] looks at.
const OPTION_COLUMNS: [&str; 6] = [
    "onpeak_extra_rate",
    "onpeak_extra_second",
    "offpeak_extra_rate",
    "offpeak_extra_second",
    "onpeak_use_free_time",
    "offpeak_use_free_time",
];

const OPTIONAL: &[&str] = &[
    "match_mode",
    "onpeak_extra_rate",
    "onpeak_extra_second",
    "offpeak_extra_rate",
    "offpeak_extra_second",
    "onpeak_use_free_time",
    "offpeak_use_free_time",
    "connection_fee",
    "minimum_charge",
    "maximum_charge",
    "failed_attempt_fee",
    "valid_from",
    "valid_to",
];

/// The reference's order (billing-reference 3.5). The older one has its first 14, the last of them for both states.
const REFERENCE_ORDER: &[&str] = &[
    "source",
    "destination",
    "direction",
    "zone",
    "zone_detail",
    "onpeak_init_rate",
    "onpeak_init_interval",
    "onpeak_follow_rate",
    "onpeak_follow_interval",
    "offpeak_init_rate",
    "offpeak_init_interval",
    "offpeak_follow_rate",
    "offpeak_follow_interval",
    "onpeak_use_free_time",
    "match_mode",
    "onpeak_extra_rate",
    "onpeak_extra_second",
    "offpeak_extra_rate",
    "offpeak_extra_second",
    "offpeak_use_free_time",
    "aoc_pulse_amount_per_message",
];

/// From so many rows on a file is read by two threads.
const ROWS_FOR_TWO: usize = 20_000;

/// Columns that no line of the reference's file may lack.
const REFERENCE_WIDTH_MIN: usize = 13;

/// Reads the file. What is wrong in it is reported and left out.
pub(crate) fn read(
    file: &str,
    text: &str,
    first_fee: FeeId,
    fee_match: FeeMatch,
    issues: &mut Vec<Issue>,
) -> Vec<Fee> {
    let records = records_of(file, text, issues);
    from_records(file, records, first_fee, fee_match, issues)
}

/// As [`read`], of records read already.
pub(crate) fn from_records(
    file: &str,
    records: Records<'_>,
    first_fee: FeeId,
    fee_match: FeeMatch,
    issues: &mut Vec<Issue>,
) -> Vec<Fee> {
    let header: Vec<String> = records.first().into_iter().flatten().map(str::to_owned).collect();
    let is_headed =
        records.is_empty() || header.iter().any(|cell| cell.trim().eq_ignore_ascii_case("destination"));
    let table = if is_headed {
        let cents: Vec<String> = RATES.iter().map(|rate| format!("{rate}{CENTS_PER_SECOND}")).collect();
        let has = |name: &str| header.iter().any(|cell| cell.trim().eq_ignore_ascii_case(name));
        let mut required: Vec<&str> = TEXTS_AND_INTERVALS.to_vec();
        for (rate, cents) in RATES.iter().zip(&cents) {
            required.push(if has(cents) && !has(rate) { cents } else { rate });
        }
        Table::with_header(file, records, &required, OPTIONAL, issues)
    } else {
        let names = REFERENCE_ORDER.iter().map(|name| (*name).to_owned()).collect();
        Some(Table::with_names(file, names, records))
    };
    let Some(table) = table else { return Vec::new() };
    let n_rows = table.n_rows();
    let reading = |range: std::ops::Range<usize>| {
        let mut issues = Vec::new();
        let (fees, lines) = rows(&table, range, first_fee, is_headed, fee_match, &mut issues);
        (fees, lines, issues)
    };
    // A long list is read in two halves at once; what is wrong is told in the order of the lines all the same.
    let half = if n_rows < ROWS_FOR_TWO { n_rows } else { n_rows / 2 };
    let (first, second) = std::thread::scope(|scope| {
        let second = scope.spawn(|| reading(half..n_rows));
        let first = reading(0..half);
        (first, second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let (mut out, mut lines, of_first) = first;
    issues.extend(of_first);
    out.extend(second.0);
    lines.extend(second.1);
    issues.extend(second.2);
    report_duplicates(file, &out, &lines, issues);
    out
}

/// The fees of some rows, and their lines.
fn rows(
    table: &Table<'_>,
    range: std::ops::Range<usize>,
    first_fee: FeeId,
    is_headed: bool,
    fee_match: FeeMatch,
    issues: &mut Vec<Issue>,
) -> (Vec<Fee>, Vec<u64>) {
    let (mut out, mut lines) = (Vec::with_capacity(range.len()), Vec::with_capacity(range.len()));
    let has = Optional::of(table);
    let has_options = OPTION_COLUMNS.iter().any(|name| table.has_column(name));
    for (idx, row) in range.clone().zip(table.rows_of(range)) {
        let fits = if is_headed { row.has_full_width(issues) } else { has_reference_width(&row, issues) };
        if !fits {
            continue;
        }
        let id = FeeId(first_fee.0 + i64::try_from(idx).unwrap_or(i64::MAX - first_fee.0));
        let before = issues.len();
        let fee = fee(&row, id, is_headed, fee_match, has, issues);
        let [onpeak, offpeak] =
            if has_options { options(&row, is_headed, issues) } else { [PeakOptions::default(); 2] };
        if let (Some(fee), true) = (fee, issues.len() == before) {
            out.push(Fee { onpeak, offpeak, ..fee });
            lines.push(row.line());
        }
    }
    (out, lines)
}

fn has_reference_width(row: &Row<'_>, issues: &mut Vec<Issue>) -> bool {
    let fits = (REFERENCE_WIDTH_MIN..=REFERENCE_ORDER.len()).contains(&row.width());
    if !fits {
        let rule = format!(
            "{} columns; a file without a header has {REFERENCE_WIDTH_MIN} to {}",
            row.width(),
            REFERENCE_ORDER.len()
        );
        issues.push(row.issue(
            "",
            rule,
            "begin the file with a header that names the columns, or complete the line",
        ));
    }
    fits
}

/// Which columns there are of those that may be missing: asked once for a file, not for each of its lines.
#[derive(Debug, Clone, Copy)]
struct Optional {
    match_mode: bool,
    amounts: bool,
    validity: bool,
}

impl Optional {
    fn of(table: &Table<'_>) -> Self {
        let any = |names: &[&str]| names.iter().any(|name| table.has_column(name));
        Self {
            match_mode: table.has_column("match_mode"),
            amounts: any(&["connection_fee", "minimum_charge", "maximum_charge", "failed_attempt_fee"]),
            validity: any(&["valid_from", "valid_to"]),
        }
    }
}

fn fee(
    row: &Row<'_>,
    id: FeeId,
    is_headed: bool,
    fee_match: FeeMatch,
    has: Optional,
    issues: &mut Vec<Issue>,
) -> Option<Fee> {
    let remedy =
        "use exact_destination, prefix, regex_longest_match, regex_longest_pattern, or leave it empty";
    let match_mode = if has.match_mode {
        row.parsed("match_mode", remedy, issues, |text| {
            text.parse::<MatchMode>().map_err(|error| error.to_string())
        })
    } else {
        None
    };
    if fee_match == FeeMatch::Prefix && !matches!(match_mode, None | Some(MatchMode::Prefix)) {
        issues.push(row.issue(
            "match_mode",
            "the profile matches by prefix, so this fee would mean something else",
            "write the fee as a prefix, or set fee_match = \"reference\" in profile.toml",
        ));
    }
    let match_mode = match_mode.unwrap_or(match fee_match {
        FeeMatch::Prefix => MatchMode::Prefix,
        // Where the reference's file says nothing (billing-reference 3.5).
        FeeMatch::Reference => MatchMode::RegexLongestPattern,
    });
    let numbers = |name, issues: &mut Vec<Issue>| match (fee_match, match_mode) {
        (FeeMatch::Prefix, _) => {
            let remedy = "write digits without +, the beginning of user@domain, or nothing for any number";
            row.parsed(name, remedy, issues, prefix_of).unwrap_or_default()
        }
        (FeeMatch::Reference, MatchMode::RegexLongestMatch | MatchMode::RegexLongestPattern) => {
            let remedy = "write a regular expression such as ^4366";
            row.parsed(name, remedy, issues, |text| check_pattern(text).map(|()| text.to_owned()))
                .unwrap_or_default()
        }
        (FeeMatch::Reference, MatchMode::ExactDestination | MatchMode::Prefix) => row.cell(name).to_owned(),
    };
    let source = numbers("source", issues);
    let destination = numbers("destination", issues);
    let direction = row
        .parsed("direction", "use out or in", issues, |text| {
            text.parse().map_err(|e: model::UnknownWord| e.to_string())
        })
        .unwrap_or(Direction::Out);
    let rates = RATE_COLUMNS.map(|(rate, cents, interval_name)| {
        let price = price(row, rate, cents, is_headed, issues);
        let interval = row.required(interval_name, "write whole seconds such as 60", issues, interval);
        let (price, per_seconds) = price?;
        Some(Rate { price, per_seconds, interval_seconds: interval? })
    });
    let mut amount = |name| {
        if has.amounts { row.parsed(name, "write a decimal such as 0.05", issues, decimal) } else { None }
    };
    let connection_fee = amount("connection_fee").unwrap_or_default();
    let failed_attempt_fee = amount("failed_attempt_fee").unwrap_or_default();
    let (minimum_charge, maximum_charge) = (amount("minimum_charge"), amount("maximum_charge"));
    if let (Some(minimum), Some(maximum)) = (minimum_charge, maximum_charge)
        && minimum > maximum
    {
        let rule = format!("{minimum} is above the maximum_charge, {maximum}");
        issues.push(row.issue("minimum_charge", rule, "swap or remove one"));
    }
    let mut instant = |name| {
        let remedy = "write RFC 3339, such as 2026-07-01T00:00:00+02:00";
        if has.validity { row.parsed(name, remedy, issues, instant) } else { None }
    };
    let (valid_from, valid_to) = (instant("valid_from"), instant("valid_to"));
    if let (Some(from), Some(to)) = (valid_from, valid_to)
        && from >= to
    {
        issues.push(row.issue("valid_to", "not after valid_from", "leave it empty, or give a later time"));
    }
    let [onpeak_init, onpeak_follow, offpeak_init, offpeak_follow] = rates;
    Some(Fee {
        id,
        source,
        destination,
        direction,
        match_mode,
        zone: row.cell("zone").to_owned(),
        zone_detail: row.cell("zone_detail").to_owned(),
        onpeak_init: onpeak_init?,
        onpeak_follow: onpeak_follow?,
        offpeak_init: offpeak_init?,
        offpeak_follow: offpeak_follow?,
        connection_fee,
        minimum_charge,
        maximum_charge,
        valid_from,
        valid_to,
        failed_attempt_fee,
        onpeak: PeakOptions::default(),
        offpeak: PeakOptions::default(),
    })
}

/// A rate in currency units per minute, or in cents per second where the column or the file is in these.
fn price(
    row: &Row<'_>,
    name: &str,
    cents_name: &str,
    is_headed: bool,
    issues: &mut Vec<Issue>,
) -> Option<(Decimal, u32)> {
    if is_headed && (row.has_column(name) || !row.has_column(cents_name)) {
        return row
            .required(name, "write a price per minute such as 0.05", issues, decimal)
            .map(|price| (price, 60));
    }
    let name = if is_headed { cents_name } else { name };
    row.required(name, "write cents per second such as 0.0833", issues, |text| cents(decimal(text)?))
        .map(|price| (price, 1))
}

/// On-peak, then off-peak.
fn options(row: &Row<'_>, is_headed: bool, issues: &mut Vec<Issue>) -> [PeakOptions; 2] {
    let flag = |name, issues: &mut Vec<Issue>| {
        row.parsed(name, "use 0 or 1", issues, |text| match text.to_ascii_lowercase().as_str() {
            "0" | "false" | "no" => Ok(false),
            "1" | "true" | "yes" => Ok(true),
            _ => Err(format!("{text:?} is neither 0 nor 1")),
        })
    };
    let extra = |rate_name: &str, second_name: &str, issues: &mut Vec<Issue>| {
        let rate = row.parsed(rate_name, "write a decimal such as 0.10", issues, |text| {
            if is_headed { decimal(text) } else { cents(decimal(text)?) }
        });
        let second = row.parsed(second_name, "write a second of the call, counted from 0", issues, whole);
        match (rate, second) {
            (Some(rate), Some(second)) if !rate.is_zero() => Some(ExtraRate { second, amount: rate }),
            (Some(rate), None) if !rate.is_zero() => {
                let rule = "an extra rate without its second never falls due";
                issues.push(row.issue(second_name, rule, "give the second, or leave both empty"));
                None
            }
            (Some(_) | None, _) => None,
        }
    };
    let onpeak_free = flag("onpeak_use_free_time", issues);
    let offpeak_free = flag("offpeak_use_free_time", issues);
    [
        PeakOptions {
            use_free_time: onpeak_free.unwrap_or(false),
            extra: extra("onpeak_extra_rate", "onpeak_extra_second", issues),
        },
        // An empty flag follows the on-peak one, as in the reference (billing-reference 3.5).
        PeakOptions {
            use_free_time: offpeak_free.or(onpeak_free).unwrap_or(false),
            extra: extra("offpeak_extra_rate", "offpeak_extra_second", issues),
        },
    ]
}

/// Two fees for the same calls would make the price depend on the order of the lines.
fn report_duplicates(file: &str, fees: &[Fee], lines: &[u64], issues: &mut Vec<Issue>) {
    type Key<'f> = (Direction, MatchMode, &'f str, &'f str);
    let mut first_of: QuickMap<Key<'_>, usize> = QuickMap::default();
    // Nearly all are digits for any source: a number for a key takes a third of the time.
    let mut first_of_digits: QuickMap<DigitPrefix, usize> = QuickMap::default();
    first_of_digits.reserve(fees.len());
    let mut more: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (idx, fee) in fees.iter().enumerate() {
        let key = (fee.direction, fee.match_mode, fee.destination.as_str(), fee.source.as_str());
        let is_usual = (key.0, key.1) == (Direction::Out, MatchMode::Prefix) && fee.source.is_empty();
        let first = match DigitPrefix::of(fee.destination.as_bytes()) {
            Some(digits) if is_usual => *first_of_digits.entry(digits).or_insert(idx),
            Some(_) | None => *first_of.entry(key).or_insert(idx),
        };
        if first != idx {
            more.entry(first).or_insert_with(|| vec![first]).push(idx);
        }
    }
    for mut same in more.into_values() {
        same.sort_by_key(|&idx| (fees[idx].valid_from, idx));
        for pair in same.windows(2) {
            let (first, second) = (&fees[pair[0]], &fees[pair[1]]);
            if matches!((first.valid_to, second.valid_from), (Some(to), Some(from)) if to <= from) {
                continue;
            }
            let rule = format!("the fee of line {} prices the same calls at the same time", lines[pair[0]]);
            let remedy = "remove one, or let the first end (valid_to) where the second begins";
            issues.push(Issue {
                line: Some(lines[pair[1]]),
                field: "destination".to_owned(),
                ..Issue::of_file(file, rule, remedy)
            });
        }
    }
}

fn prefix_of(text: &str) -> Result<String, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    let looks_like_pattern =
        text == "." || text.contains(".*") || text.contains(['^', '$', '[', '(', '|', '\\', '?', '{']);
    if looks_like_pattern || text.starts_with('+') {
        return Err(format!("{text:?} is not the beginning of a number"));
    }
    // "43 660", "43-660" or "43660 (mobile)" would match no call, and its calls would get the price of "43".
    let is_number = text.starts_with(|first: char| first.is_ascii_digit())
        && !text.contains(|c: char| c == '@' || c.is_ascii_alphabetic());
    let stray = |c: char| {
        c.is_whitespace()
            || matches!(c, '"' | '\'')
            || is_number && !c.is_ascii_digit() && !matches!(c, '*' | '#')
    };
    if let Some(stray) = text.chars().find(|c| stray(*c)) {
        return Err(format!("{text:?} holds {stray:?}, so it would match no call"));
    }
    Ok(text.to_owned())
}

fn interval(text: &str) -> Result<u32, String> {
    whole(text)
        .ok()
        .filter(|seconds| (1..=CALL_SECONDS_MAX).contains(seconds))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or_else(|| format!("{text:?} is not a charging interval of 1 to {CALL_SECONDS_MAX} seconds"))
}

fn cents(amount: Decimal) -> Result<Decimal, String> {
    Decimal::try_from_i128_with_scale(amount.mantissa(), amount.scale() + 2)
        .map_err(|_| format!("{amount} cents have more decimals than can be kept"))
}

fn instant(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text)
        .map(|at| at.to_utc())
        .map_err(|_| format!("{text:?} is not a time with its offset"))
}
