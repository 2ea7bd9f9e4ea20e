//! Tariffs: every version of every profile, and the fees of one, found by number or zone.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use model::{Fee, Rate, TariffVersion};
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Fees of a page.
const PAGE_ROWS: usize = 200;

#[derive(Template)]
#[template(path = "tariffs.html")]
struct ListPage {
    frame: Frame,
    rows: Vec<VersionRow>,
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
    let rows = versions
        .into_iter()
        .map(|version| {
            let newest_begun = directory
                .tariffs
                .iter()
                .filter(|other| other.profile.id == version.profile.id && other.valid_from <= now)
                .map(|other| other.valid_from)
                .max();
            VersionRow {
                id: version.id.0,
                handle: version.profile.handle.clone(),
                name: version.profile.name.clone(),
                valid_from: when(version.valid_from),
                currency: version.profile.currency.to_string(),
                timezone: version.profile.timezone.to_string(),
                n_fees: version.fees.len(),
                n_accounts: directory
                    .accounts
                    .iter()
                    .filter(|account| account.profile_at(now) == Some(version.profile.id))
                    .count(),
                is_current: newest_begun == Some(version.valid_from),
            }
        })
        .collect();
    html(&ListPage { frame: Frame::of(&user, "/tariffs"), rows })
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
    handle: String,
    facts: Vec<(&'static str, String)>,
    query: FeeQuery,
    fees: Vec<FeeRow>,
    n_found: usize,
    next: Option<usize>,
    offpeak: Vec<String>,
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
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let version = directory
        .tariffs
        .iter()
        .find(|version| version.id.0 == id)
        .ok_or_else(|| Refusal::NotFound(format!("there is no tariff version {id}")))?;
    let mut found: Vec<&Fee> = version.fees.iter().filter(|fee| matches(fee, query.q.trim())).collect();
    // The fee that wins for a number comes first: the longest destination, then the longest source.
    found.sort_by(|a, b| {
        let by_length = || (b.destination.len(), b.source.len()).cmp(&(a.destination.len(), a.source.len()));
        if is_digits(query.q.trim()) { by_length() } else { a.destination.cmp(&b.destination) }
    });
    let n_found = found.len();
    let fees: Vec<FeeRow> = found.into_iter().skip(query.skip).take(PAGE_ROWS).map(row_of).collect();
    let shown = query.skip.saturating_add(fees.len());
    let profile = &version.profile;
    html(&OnePage {
        frame: Frame::of(&user, "/tariffs"),
        id,
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
        offpeak: version
            .weekdays
            .iter()
            .map(|span| format!("{} {} to {}", span.day, span.start, span.end))
            .chain(version.specials.iter().map(|span| format!("{} to {}", span.start, span.end)))
            .collect(),
        next: (shown < n_found).then_some(shown),
        query,
        fees,
        n_found,
    })
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
    fee.zone.to_lowercase().contains(&wanted) || fee.zone_detail.to_lowercase().contains(&wanted)
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
