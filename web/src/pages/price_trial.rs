//! The simulator: what one call would cost by a profile, and how that comes about. Nothing is kept.

use std::collections::HashMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Utc};
use model::{Charge, Direction, Directory, ProfileId, TariffVersion};
use rating::workbench::{TariffDir, rate_one};
use rating::{CALL_SECONDS_MAX, CallToPrice, PortedTree, Tariff, explain};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::{local_time, when};
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Letters of a number, or of `user@domain`, at most.
const NUMBER_LETTERS_MAX: usize = 255;

/// What the form sends.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TrialQuery {
    /// Id of the profile; 0: none was chosen yet.
    profile: i64,
    from: String,
    to: String,
    /// Local time of the profile; empty: now.
    at: String,
    seconds: String,
    /// `out` or `in`.
    direction: String,
    /// Free time and cash of the profile are there to be used.
    grants: bool,
}

#[derive(Template)]
#[template(path = "price_trial.html")]
struct TrialPage {
    frame: Frame,
    query: TrialQuery,
    /// Profiles with a version in force, or to come: id, and what it is called.
    profiles: Vec<(i64, String)>,
    fault: String,
    price: Option<PriceView>,
}

struct PriceView {
    cost: String,
    /// Id of the version.
    version: i64,
    facts: Vec<(&'static str, String)>,
    /// The workings of the call, or of each record of one that is cut at peak borders.
    workings: Vec<String>,
}

/// A call that nobody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TriedCall {
    /// Digits of the caller, or `user@domain`.
    pub(crate) source: String,
    /// Digits of the number called, or `user@domain`.
    pub(crate) destination: String,
    pub(crate) direction: Direction,
    pub(crate) start: DateTime<Utc>,
    /// Seconds, with decimals if wanted.
    pub(crate) seconds: Decimal,
    /// The account has the free time and cash that the profile gives for an interval, all of it. Without, the price is that of the list.
    pub(crate) has_grants: bool,
}

/// The form, and what the call in it costs.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(mut query): Query<TrialQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Provisioning, "see tariffs")?;
    let directory = (shared.desk.directory)();
    let outcome = match query.to.trim() {
        "" => Ok(None),
        _ => view(&shared, &directory, &query).await.map(Some),
    };
    if query.seconds.is_empty() {
        "60".clone_into(&mut query.seconds);
    }
    let mut page = TrialPage {
        frame: Frame::of(&user, "/tariffs"),
        query,
        profiles: profiles(&directory),
        fault: String::new(),
        price: None,
    };
    match outcome {
        Ok(price) => {
            page.price = price;
            html(&page)
        }
        Err(why @ (Refusal::Invalid(_) | Refusal::NotFound(_))) => {
            page.fault = why.to_string();
            Ok((why.status(), html(&page)?).into_response())
        }
        Err(why) => Err(why),
    }
}

async fn view(shared: &Shared, directory: &Arc<Directory>, query: &TrialQuery) -> Result<PriceView, Refusal> {
    let of_profile =
        || directory.tariffs.iter().filter(|version| version.profile.id == ProfileId(query.profile));
    let zone = of_profile().next().map(|version| version.profile.timezone);
    let zone = zone.ok_or_else(|| Refusal::NotFound("choose a profile".to_owned()))?;
    let start = local_time(zone, &query.at)?.unwrap_or((shared.desk.clock)().wall);
    let begun = of_profile().filter(|version| version.valid_from <= start);
    let version = begun.max_by_key(|version| version.valid_from).ok_or_else(|| {
        Refusal::NotFound(format!("no version of the profile is in force at {} UTC", when(start)))
    })?;
    let direction = match query.direction.as_str() {
        "" => Direction::Out,
        text => text.parse().map_err(|why| Refusal::Invalid(format!("direction: {why}")))?,
    };
    let seconds = match query.seconds.trim() {
        "" => Decimal::from(60),
        text => seconds_of(text)?,
    };
    let call = TriedCall {
        source: query.from.clone(),
        destination: query.to.clone(),
        direction,
        start,
        seconds,
        has_grants: query.grants,
    };
    let charges = price(shared, directory, version, call).await?;
    Ok(view_of(version, start, &charges))
}

/// A length in seconds, with six decimals at most.
pub(crate) fn seconds_of(text: &str) -> Result<Decimal, Refusal> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |text: &str, n_max: usize| {
        (1..=n_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    };
    let is_fine = is_digits(whole, 8) && is_digits(part, 6);
    let rule = || Refusal::Invalid(format!("seconds: {text:?} is no number of seconds such as 60 or 60.25"));
    is_fine.then(|| text.parse().ok()).flatten().ok_or_else(rule)
}

fn view_of(version: &TariffVersion, start: DateTime<Utc>, charges: &[Charge]) -> PriceView {
    let zone = version.profile.timezone;
    let sum = |of: fn(&Charge) -> u64| charges.iter().map(of).sum::<u64>();
    let mut facts = vec![
        ("Version", format!("in force from {} UTC", when(version.valid_from))),
        ("Start", start.with_timezone(&zone).format("%F %T %Z").to_string()),
    ];
    if let Some(first) = charges.first() {
        let matched = if first.matched.is_empty() { "any number" } else { &first.matched };
        let fee = if first.fee.is_some() { matched } else { "none, so it costs nothing" };
        facts.push(("Fee", fee.to_owned()));
        facts.push(("Zone", format!("{} {}", first.zone, first.zone_detail).trim().to_owned()));
    }
    let [billed, onpeak, offpeak, free] = [
        sum(|it| it.billed_seconds),
        sum(|it| it.onpeak_seconds),
        sum(|it| it.offpeak_seconds),
        sum(|it| it.free_seconds),
    ];
    facts.push(("Billed", format!("{billed} s: {onpeak} on-peak, {offpeak} off-peak, {free} of them free")));
    facts.retain(|(_, value)| !value.is_empty());
    PriceView {
        cost: format!("{} {}", cost_of(charges).normalize(), version.profile.currency),
        version: version.id.0,
        facts,
        workings: charges.iter().map(|charge| explain(charge, zone)).collect(),
    }
}

/// What all records of a call cost.
pub(crate) fn cost_of(charges: &[Charge]) -> Decimal {
    charges.iter().fold(Decimal::ZERO, |sum, charge| sum.saturating_add(charge.cost))
}

/// Prices a call by one version of a profile, as `tollbook rate` does: one charge, or one for each record of a call that is cut at peak
/// borders.
///
/// # Errors
///
/// [`Refusal::Invalid`] with what is wrong with the call, or why it has no price.
pub(crate) async fn price(
    shared: &Shared,
    directory: &Arc<Directory>,
    version: &TariffVersion,
    call: TriedCall,
) -> Result<Vec<Charge>, Refusal> {
    let number = |field: &str, text: &str, is_needed: bool| {
        let text = text.trim().trim_start_matches('+');
        let is_fine = text.len() <= NUMBER_LETTERS_MAX
            && !text.chars().any(|c| c.is_control() || c.is_whitespace())
            && !(is_needed && text.is_empty());
        let rule = || format!("{field}: write digits with the country code, or user@domain");
        if is_fine { Ok(text.to_owned()) } else { Err(Refusal::Invalid(rule())) }
    };
    let source = number("source", &call.source, false)?;
    let destination = number("destination", &call.destination, true)?;
    let is_length = (Decimal::ZERO..=Decimal::from(CALL_SECONDS_MAX)).contains(&call.seconds);
    // A part of a microsecond counts as a whole one: lengths are rounded up.
    let micros = is_length.then(|| (call.seconds * Decimal::from(1_000_000)).ceil().to_u64()).flatten();
    let duration_us =
        micros.ok_or_else(|| Refusal::Invalid(format!("seconds: write 0 to {CALL_SECONDS_MAX}")))?;
    // One at a time: a long list takes memory while it is compiled.
    let turn = shared.price_trials.clone().acquire_owned().await.map_err(Refusal::failed)?;
    let mut version = version.clone();
    if !call.has_grants {
        version.interval_free_seconds = 0;
        version.interval_free_cash = Decimal::ZERO;
    }
    let directory = directory.clone();
    let priced = tokio::task::spawn_blocking(move || {
        let tariff = Tariff::compile(&version).map_err(|why| Refusal::Invalid(why.to_string()))?;
        let ported = PortedTree::build(&directory.ported_numbers);
        let user = destination.split('@').next().unwrap_or_default();
        let to_price = CallToPrice {
            source: &source,
            destination: &destination,
            direction: call.direction,
            start: call.start,
            duration_us,
            ported: ported.find(&directory.ported_numbers, user, call.start),
        };
        let dir = TariffDir { version, accounts: HashMap::new(), ported: Vec::new() };
        let charges = rate_one(&dir, &tariff, &to_price).map_err(|why| Refusal::Invalid(why.to_string()));
        // Not before it is done: whoever goes away does not end it.
        drop(turn);
        charges
    });
    priced.await.map_err(Refusal::failed)?
}

/// Each profile once, by handle; with its tenant where several have one of that handle.
pub(crate) fn profiles(directory: &Directory) -> Vec<(i64, String)> {
    let mut by_id: HashMap<ProfileId, &TariffVersion> = HashMap::new();
    let mut n_named: HashMap<&str, usize> = HashMap::new();
    for version in &directory.tariffs {
        if by_id.insert(version.profile.id, version).is_none() {
            *n_named.entry(&version.profile.handle).or_default() += 1;
        }
    }
    let tenant_of = |version: &TariffVersion| {
        let found = directory.tenants.iter().find(|tenant| tenant.id == version.profile.tenant);
        found.map(|tenant| format!("{}:", tenant.handle)).unwrap_or_default()
    };
    let named = by_id.into_values().map(|version| {
        let handle = &version.profile.handle;
        let tenant = if n_named[handle.as_str()] > 1 { tenant_of(version) } else { String::new() };
        (version.profile.id.0, format!("{tenant}{handle}"))
    });
    let mut profiles: Vec<(i64, String)> = named.collect();
    profiles.sort_unstable_by(|a, b| (&a.1, a.0).cmp(&(&b.1, b.0)));
    profiles
}
