//! Tariffs: every version of every profile, and the fees of one, found by number or zone.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use chrono::{NaiveTime, Timelike as _, Weekday};
use model::{Fee, OffPeakWeekday, ProfileId, Rate, TariffVersion};
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::access::Done;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::search::contains;

/// Fees of a page.
const PAGE_ROWS: usize = 200;

#[derive(Template)]
#[template(path = "tariffs.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<VersionRow>,
    may_compare: bool,
}

struct VersionRow {
    id: i64,
    handle: String,
    name: String,
    valid_from: String,
    currency: String,
    timezone: String,
    n_fees: usize,
    n_accounts: usize,
    is_current: bool,
}

/// All versions, by handle and newest first.
pub(crate) async fn list(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let mut versions: Vec<&TariffVersion> = directory.tariffs.iter().collect();
    versions.sort_by(|a, b| {
        a.profile.handle.cmp(&b.profile.handle).then_with(|| b.valid_from.cmp(&a.valid_from))
    });
    let mut newest_begun: HashMap<ProfileId, _> = HashMap::new();
    for version in directory.tariffs.iter().filter(|version| version.valid_from <= now) {
        let newest = newest_begun.entry(version.profile.id).or_insert(version.valid_from);
        *newest = version.valid_from.max(*newest);
    }
    let mut n_accounts: HashMap<ProfileId, usize> = HashMap::new();
    for profile in directory.accounts.iter().filter_map(|account| account.profile_at(now)) {
        *n_accounts.entry(profile).or_default() += 1;
    }
    let rows = versions
        .into_iter()
        .map(|version| {
            let profile = version.profile.id;
            VersionRow {
                id: version.id.0,
                handle: version.profile.handle.clone(),
                name: version.profile.name.clone(),
                valid_from: when(version.valid_from),
                currency: version.profile.currency.to_string(),
                timezone: version.profile.timezone.to_string(),
                n_fees: version.fees.len(),
                n_accounts: n_accounts.get(&profile).copied().unwrap_or_default(),
                is_current: newest_begun.get(&profile) == Some(&version.valid_from),
            }
        })
        .collect();
    html(&ListPage { frame: Frame::of(&user, "/tariffs"), rows, may_compare: user.role.may(Right::Books) })
}

/// What to look for among the fees.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct FeeQuery {
    /// A number, whose fees are wanted, or a part of a zone.
    q: String,
    /// How many fees come before the page.
    skip: usize,
}

#[derive(Template)]
#[template(path = "tariff.html")]
struct OnePage {
    frame: Frame,
    id: i64,
    /// Id of the profile.
    profile: i64,
    handle: String,
    facts: Vec<(&'static str, String)>,
    query: FeeQuery,
    fees: Vec<FeeRow>,
    n_found: usize,
    /// Number of the first fee shown, from 1.
    first: usize,
    previous: Option<usize>,
    next: Option<usize>,
    week: Vec<DayRow>,
    specials: Vec<String>,
    may_import: bool,
}

/// A day of the week, with its off-peak spans.
struct DayRow {
    name: &'static str,
    /// Where each span begins and how long it is, in minutes of the day; to be drawn.
    bars: Vec<(u32, u32)>,
    /// The same in words.
    words: String,
}

struct FeeRow {
    destination: String,
    source: String,
    direction: String,
    zone: String,
    detail: String,
    onpeak: String,
    offpeak: String,
    flat: String,
    valid: String,
}

/// One version.
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Query(query): Query<FeeQuery>,
    Query(Done { done }): Query<Done>,
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let version = directory
        .tariffs
        .iter()
        .find(|version| version.id.0 == id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no tariff version {id}")))?;
    let (n_found, found) = page_of(&version.fees, query.q.trim(), query.skip);
    let fees: Vec<FeeRow> = found.into_iter().map(row_of).collect();
    let shown = query.skip.saturating_add(fees.len());
    let profile = &version.profile;
    html(&OnePage {
        frame: Frame::of(&user, "/tariffs").noting(Some(done)),
        id,
        profile: profile.id.0,
        handle: profile.handle.clone(),
        facts: vec![
            ("Name", profile.name.clone()),
            ("In force from", format!("{} UTC", when(version.valid_from))),
            ("Currency", profile.currency.to_string()),
            ("Time zone", profile.timezone.to_string()),
            (
                "Rounding",
                format!("{} to {} decimals, once a call", version.rounding.mode, version.rounding.scale),
            ),
            ("Fees chosen by", version.fee_match.to_string()),
            ("At peak borders", version.peak_split.to_string().replace('_', " ")),
        ],
        week: week_of(&version.weekdays),
        specials: version.specials.iter().map(|span| format!("{} to {}", span.start, span.end)).collect(),
        may_import: user.role.may(Right::ChangeTerms),
        first: if fees.is_empty() { 0 } else { query.skip.saturating_add(1) },
        previous: (query.skip > 0).then(|| query.skip.min(n_found).saturating_sub(PAGE_ROWS)),
        next: (shown < n_found).then_some(shown),
        query,
        fees,
        n_found,
    })
}

/// How many fees are like `wanted`, and those of them on the page behind the first `skip`. Only these are put in order: of a long list
/// most of the time would go into the order of what nobody sees.
fn page_of<'f>(fees: &'f [Fee], wanted: &str, skip: usize) -> (usize, Vec<&'f Fee>) {
    let mut found: Vec<&Fee> = fees.iter().filter(|fee| matches(fee, wanted)).collect();
    let n_found = found.len();
    let is_number = is_digits(wanted);
    // The fee that wins for a number comes first: the longest destination, then the longest source.
    let order = |a: &&Fee, b: &&Fee| {
        let by_length = (b.destination.len(), b.source.len()).cmp(&(a.destination.len(), a.source.len()));
        let by_name =
            (&a.destination, &a.source, a.valid_from).cmp(&(&b.destination, &b.source, b.valid_from));
        if is_number { by_length.then(by_name) } else { by_name }
    };
    let end = skip.saturating_add(PAGE_ROWS);
    if end < n_found {
        found.select_nth_unstable_by(end, order);
        found.truncate(end);
    }
    if skip >= found.len() {
        return (n_found, Vec::new());
    }
    if skip > 0 {
        found.select_nth_unstable_by(skip, order);
    }
    let mut page = found.split_off(skip);
    page.sort_by(order);
    (n_found, page)
}

/// Seconds of a day as a clock shows them, whole minutes without seconds; the end of the day is 24:00.
fn clock_time(seconds: u32) -> String {
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    if second == 0 { format!("{hour:02}:{minute:02}") } else { format!("{hour:02}:{minute:02}:{second:02}") }
}

/// The week's off-peak spans, day by day.
fn week_of(spans: &[OffPeakWeekday]) -> Vec<DayRow> {
    let mut by_day: BTreeMap<u32, Vec<&OffPeakWeekday>> = BTreeMap::new();
    for span in spans {
        by_day.entry(span.day.num_days_from_monday()).or_default().push(span);
    }
    let minute = |time: NaiveTime| time.num_seconds_from_midnight() / 60;
    let days = [
        (Weekday::Mon, "Monday"),
        (Weekday::Tue, "Tuesday"),
        (Weekday::Wed, "Wednesday"),
        (Weekday::Thu, "Thursday"),
        (Weekday::Fri, "Friday"),
        (Weekday::Sat, "Saturday"),
        (Weekday::Sun, "Sunday"),
    ];
    let day_row = |(day, name): (Weekday, &'static str)| {
        let mut spans = by_day.remove(&day.num_days_from_monday()).unwrap_or_default();
        spans.sort_by_key(|span| span.start);
        // The last second is off-peak too.
        let bars = spans.iter().map(|span| {
            let from = minute(span.start);
            (from, (span.end.num_seconds_from_midnight() + 1).div_ceil(60).saturating_sub(from))
        });
        let words: Vec<String> = spans
            .iter()
            .map(|span| {
                let seconds = |time: NaiveTime| time.num_seconds_from_midnight();
                format!("{} to {}", clock_time(seconds(span.start)), clock_time(seconds(span.end) + 1))
            })
            .collect();
        DayRow { name, bars: bars.collect(), words: words.join(", ") }
    };
    days.into_iter().map(day_row).collect()
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number finds the fees whose prefix it begins with, and those that begin with it; a word finds zones.
fn matches(fee: &Fee, wanted: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    if is_digits(wanted) {
        return wanted.starts_with(fee.destination.as_str()) || fee.destination.starts_with(wanted);
    }
    let wanted = wanted.to_lowercase();
    contains(&fee.zone, &wanted) || contains(&fee.zone_detail, &wanted)
}

fn row_of(fee: &Fee) -> FeeRow {
    let flat: Vec<String> = [
        Some(fee.connection_fee)
            .filter(|amount| !amount.is_zero())
            .map(|amount| format!("connection {amount}")),
        fee.minimum_charge.map(|amount| format!("at least {amount}")),
        fee.maximum_charge.map(|amount| format!("at most {amount}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    let valid = match (fee.valid_from, fee.valid_to) {
        (None, None) => String::new(),
        (from, to) => {
            format!("{} to {}", from.map(when).unwrap_or_default(), to.map(when).unwrap_or_default())
        }
    };
    FeeRow {
        destination: fee.destination.clone(),
        source: fee.source.clone(),
        direction: fee.direction.to_string(),
        zone: fee.zone.clone(),
        detail: fee.zone_detail.clone(),
        onpeak: rates(fee.onpeak_init, fee.onpeak_follow),
        offpeak: rates(fee.offpeak_init, fee.offpeak_follow),
        flat: flat.join(", "),
        valid,
    }
}

/// As people write a rate: `0.022/min 60/60`, or both where the first interval has a price of its own.
fn rates(init: Rate, follow: Rate) -> String {
    let price = |rate: Rate| match rate.per_seconds {
        60 => format!("{}/min", rate.price.normalize()),
        1 => format!("{}/s", rate.price.normalize()),
        n => format!("{}/{n} s", rate.price.normalize()),
    };
    let intervals = format!("{}/{}", init.interval_seconds, follow.interval_seconds);
    if (init.price, init.per_seconds) == (follow.price, follow.per_seconds) {
        format!("{} {intervals}", price(follow))
    } else {
        format!("{} then {} {intervals}", price(init), price(follow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fee(destination: &str, zone: &str) -> Fee {
        let rate = Rate { price: rust_decimal::Decimal::ONE, per_seconds: 60, interval_seconds: 60 };
        Fee {
            id: model::FeeId(0),
            source: String::new(),
            destination: destination.to_owned(),
            direction: model::Direction::Out,
            match_mode: model::MatchMode::Prefix,
            zone: zone.to_owned(),
            zone_detail: String::new(),
            onpeak_init: rate,
            onpeak_follow: rate,
            offpeak_init: rate,
            offpeak_follow: rate,
            connection_fee: rust_decimal::Decimal::ZERO,
            minimum_charge: None,
            maximum_charge: None,
            failed_attempt_fee: rust_decimal::Decimal::ZERO,
            onpeak: model::PeakOptions::default(),
            offpeak: model::PeakOptions::default(),
            valid_from: None,
            valid_to: None,
        }
    }

    #[test]
    fn pages_are_those_of_the_whole_list_in_order() {
        let fees: Vec<Fee> = (0..1_000_u32).map(|n| fee(&(n * 7_919 % 1_000).to_string(), "Zone")).collect();
        let mut whole: Vec<&str> = fees.iter().map(|fee| fee.destination.as_str()).collect();
        whole.sort_unstable();
        let mut paged = Vec::new();
        loop {
            let (n_found, page) = page_of(&fees, "zone", paged.len());
            assert_eq!(n_found, 1_000);
            if page.is_empty() {
                break;
            }
            paged.extend(page.into_iter().map(|fee| fee.destination.as_str()));
        }
        assert_eq!(paged, whole);
        assert!(page_of(&fees, "", 5_000).1.is_empty());
        // The fee that a number is priced by comes first.
        let (_, found) = page_of(&fees, "1234567", 0);
        let found: Vec<&str> = found.into_iter().map(|fee| fee.destination.as_str()).collect();
        assert_eq!(found, ["123", "12", "1"]);
    }

    #[test]
    fn week_is_drawn_to_the_last_second() {
        let time = |text: &str| text.parse().unwrap();
        let span = |day, start, end| OffPeakWeekday { day, start: time(start), end: time(end) };
        let week = week_of(&[
            span(Weekday::Sun, "00:00:00", "23:59:59"),
            span(Weekday::Mon, "18:00:00", "23:59:59"),
            span(Weekday::Mon, "00:00:00", "07:59:59"),
            span(Weekday::Wed, "00:00:30", "07:59:00"),
        ]);
        assert_eq!(week.len(), 7);
        assert_eq!(week[0].bars, [(0, 480), (1_080, 360)]);
        assert_eq!(week[0].words, "00:00 to 08:00, 18:00 to 24:00");
        assert_eq!(week[2].words, "00:00:30 to 07:59:01");
        assert_eq!((week[6].bars.as_slice(), week[1].words.as_str()), ([(0, 1_440)].as_slice(), ""));
    }
}
