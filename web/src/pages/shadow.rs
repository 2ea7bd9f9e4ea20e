//! Shadow billing: a month of real calls by another tariff; started from here, how far it is, and who would pay more or less.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use model::{ProfileId, ProfileVersionId, Provider, TariffVersion};
use rust_decimal::Decimal;
use serde::Deserialize;

use crate::Shared;
use crate::account_names::account_named;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::price_trial::profiles;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::shadow_desk::{ShadowState, ShadowSums, WantedShadow};

/// Accounts shown of those who would pay more, and of those who would pay less.
const ROWS_MAX: usize = 200;

#[derive(Template)]
#[template(path = "shadow.html")]
struct ShadowPage {
    frame: Frame,
    state: ShadowState,
    total: Row,
    more: Vec<Row>,
    less: Vec<Row>,
    n_more: usize,
    n_less: usize,
    n_same: usize,
    versions: Vec<(i64, String)>,
    profiles: Vec<(i64, String)>,
    may_start: bool,
}

struct Row {
    account: String,
    n_calls: u64,
    n_unpriced: u64,
    was: String,
    would_be: String,
    difference: String,
    percent: String,
}

impl Row {
    fn of(account: &str, sums: &ShadowSums) -> Self {
        let difference = sums.difference();
        let percent = (difference.saturating_mul(Decimal::ONE_HUNDRED)).checked_div(sums.was);
        Self {
            account: account.to_owned(),
            n_calls: sums.n_calls,
            n_unpriced: sums.n_unpriced,
            was: amount(sums.was),
            would_be: amount(sums.would_be),
            difference: signed(difference, 2),
            percent: percent.map(|percent| signed(percent, 1)).unwrap_or_default(),
        }
    }
}

/// To the cent: of thousands of calls nobody wants more.
fn amount(amount: Decimal) -> String {
    format!("{:.2}", amount.round_dp(2))
}

/// With its sign, so that a column of differences reads at once.
fn signed(amount: Decimal, n_decimals: usize) -> String {
    let rounded = amount.round_dp(u32::try_from(n_decimals).unwrap_or_default());
    let plus = if rounded > Decimal::ZERO { "+" } else { "" };
    format!("{plus}{rounded:.n_decimals$}")
}

/// The form, and the last comparison.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see shadow billing")?;
    let state = (shared.desk.shadow.state)();
    let directory = (shared.desk.directory)();
    let accounts = state.accounts.clone();
    let differs = |is: fn(&Decimal) -> bool| {
        accounts
            .iter()
            .filter(move |(_, sums)| is(&sums.difference()))
            .map(|(name, sums)| Row::of(name, sums))
    };
    let more: Vec<Row> = differs(|it| it > &Decimal::ZERO).take(ROWS_MAX).collect();
    let n_more = differs(|it| it > &Decimal::ZERO).count();
    let n_less = differs(|it| it < &Decimal::ZERO).count();
    // They are in the order of what they would pay more, so that who would pay most less comes last.
    let mut less: Vec<Row> =
        differs(|it| it < &Decimal::ZERO).skip(n_less.saturating_sub(ROWS_MAX)).collect();
    less.reverse();
    html(&ShadowPage {
        frame: Frame::of(&user, "/tariffs"),
        total: Row::of("", &state.total),
        n_same: accounts.len() - n_more - n_less,
        versions: versions(&directory.tariffs),
        profiles: profiles(&directory),
        may_start: user.role.may(Right::ChangeTerms),
        more,
        less,
        n_more,
        n_less,
        state,
    })
}

/// All versions, by handle and newest first: one that is to come is what people want to see most.
fn versions(tariffs: &[TariffVersion]) -> Vec<(i64, String)> {
    let mut sorted: Vec<&TariffVersion> = tariffs.iter().collect();
    sorted.sort_by(|a, b| {
        a.profile.handle.cmp(&b.profile.handle).then_with(|| b.valid_from.cmp(&a.valid_from))
    });
    let named =
        |from: DateTime<Utc>| if from == DateTime::UNIX_EPOCH { "the first".to_owned() } else { when(from) };
    let words = |version: &TariffVersion| {
        format!("{} from {} UTC", version.profile.handle, named(version.valid_from))
    };
    sorted.into_iter().map(|version| (version.id.0, words(version))).collect()
}

/// A comparison to be started.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ShadowForm {
    /// Id of the version of the other tariff.
    version: i64,
    /// Such as `2026-10`; empty: the last month that is over.
    month: String,
    /// `customer`, `reseller` or `carrier`.
    level: String,
    /// Id of a profile; 0: whatever priced them.
    profile: i64,
    /// Handle; empty: all.
    account: String,
}

/// Starts one.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<ShadowForm>,
) -> Result<Response, Refusal> {
    let profile = (form.profile != 0).then_some(ProfileId(form.profile));
    let names = [form.month.as_str(), &form.level, &form.account];
    start(&shared, &user, ProfileVersionId(form.version), profile, names).await?;
    Ok(Redirect::to("/tariffs/shadow").into_response())
}

/// Starts a comparison for a month, a level and an account; an empty text is whatever is usual.
pub(crate) async fn start(
    shared: &Shared,
    user: &SignedIn,
    version: ProfileVersionId,
    profile: Option<ProfileId>,
    [month, level, account]: [&str; 3],
) -> Result<(), Refusal> {
    require(user, Right::ChangeTerms, "start shadow billing")?;
    let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let directory = (shared.desk.directory)();
    let level = match some(level) {
        Some(text) => text.parse().map_err(|why| Refusal::Invalid(format!("level: {why}")))?,
        None => Provider::Customer,
    };
    let account = some(account).map(|handle| account_named(&directory, &handle)).transpose()?;
    let wanted =
        WantedShadow { version, month: some(month), level, profile, account, actor: user.name.clone() };
    (shared.desk.shadow.start)(wanted).await.map_err(Refusal::Conflict)
}
