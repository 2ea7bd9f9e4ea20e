//! Shadow billing: a month of real calls by another tariff; started from here, how far it is, and who would pay more or less.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use model::{Currency, ProfileId, ProfileVersionId, Provider, TariffVersion};
use rust_decimal::{Decimal, RoundingStrategy};
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
    form: ShadowForm,
    /// Why what the form says was not started.
    fault: String,
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
    /// All amounts of a row have as many decimals: those of the currency, and more where the difference would look like nothing.
    fn of(account: &str, sums: &ShadowSums, minor_decimals: u32) -> Self {
        let difference = sums.difference();
        let n_decimals = enough(difference, minor_decimals);
        let percent = (difference.saturating_mul(Decimal::ONE_HUNDRED)).checked_div(sums.was);
        Self {
            account: account.to_owned(),
            n_calls: sums.n_calls,
            n_unpriced: sums.n_unpriced,
            was: amount(sums.was, n_decimals),
            would_be: amount(sums.would_be, n_decimals),
            difference: signed(difference, n_decimals),
            percent: percent.map(|percent| signed(percent, enough(percent, 1))).unwrap_or_default(),
        }
    }
}

/// As [`model::Money::round_to_minor`] rounds.
fn rounded(amount: Decimal, n_decimals: u32) -> Decimal {
    amount.round_dp_with_strategy(n_decimals, RoundingStrategy::MidpointAwayFromZero)
}

/// Decimals with which `amount` does not look like nothing unless it is: `n_decimals`, or more.
fn enough(amount: Decimal, n_decimals: u32) -> u32 {
    (n_decimals..=amount.scale()).find(|n| !rounded(amount, *n).is_zero()).unwrap_or(n_decimals)
}

fn amount(amount: Decimal, n_decimals: u32) -> String {
    let places = usize::try_from(n_decimals).unwrap_or_default();
    format!("{:.places$}", rounded(amount, n_decimals))
}

/// With its sign, so that a column of differences reads at once.
fn signed(difference: Decimal, n_decimals: u32) -> String {
    let plus = if rounded(difference, n_decimals) > Decimal::ZERO { "+" } else { "" };
    format!("{plus}{}", amount(difference, n_decimals))
}

/// The form, and the last comparison.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see shadow billing")?;
    html(&page_of(&shared, &user, ShadowForm::default(), String::new()))
}

fn page_of(shared: &Shared, user: &SignedIn, form: ShadowForm, fault: String) -> ShadowPage {
    let state = (shared.desk.shadow.state)();
    let directory = (shared.desk.directory)();
    let accounts = state.accounts.clone();
    let minor_decimals = state.currency.parse::<Currency>().map_or(2, Currency::minor_decimals);
    let differs = |is: fn(&Decimal) -> bool| accounts.iter().filter(move |it| is(&it.1.difference()));
    let row = |(name, sums): &(String, ShadowSums)| Row::of(name, sums, minor_decimals);
    let n_more = differs(|it| it > &Decimal::ZERO).count();
    let n_less = differs(|it| it < &Decimal::ZERO).count();
    let more: Vec<Row> = differs(|it| it > &Decimal::ZERO).take(ROWS_MAX).map(row).collect();
    // They are in the order of what they would pay more, so that who would pay most less comes last.
    let mut less: Vec<Row> =
        differs(|it| it < &Decimal::ZERO).skip(n_less.saturating_sub(ROWS_MAX)).map(row).collect();
    less.reverse();
    ShadowPage {
        frame: Frame::of(user, "/tariffs"),
        total: Row::of("", &state.total, minor_decimals),
        n_same: accounts.len() - n_more - n_less,
        versions: versions(&directory.tariffs),
        profiles: profiles(&directory),
        may_start: user.role.may(Right::ChangeTerms),
        more,
        less,
        n_more,
        n_less,
        state,
        form,
        fault,
    }
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

/// Starts one. Whoever mistyped something gets the form back as it was filled in.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<ShadowForm>,
) -> Result<Response, Refusal> {
    let profile = (form.profile != 0).then_some(ProfileId(form.profile));
    let names = [form.month.as_str(), &form.level, &form.account];
    let why = match start(&shared, &user, ProfileVersionId(form.version), profile, names).await {
        Ok(()) => return Ok(Redirect::to("/tariffs/shadow").into_response()),
        // The page is there; what its form names is not.
        Err(Refusal::Invalid(why) | Refusal::NotFound(why) | Refusal::Conflict(why)) => Refusal::Invalid(why),
        Err(why @ Refusal::Busy(_)) => why,
        Err(why) => return Err(why),
    };
    let page = page_of(&shared, &user, form, why.to_string());
    Ok(why.on(html(&page)?))
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
    // Looked at before and after, so that one which ends meanwhile is the obstacle too.
    let is_at_work = || {
        let state = (shared.desk.shadow.state)();
        !state.title.is_empty() && !state.is_over
    };
    let was_at_work = is_at_work();
    let started = (shared.desk.shadow.start)(wanted).await;
    let is_busy = started.is_err() && (was_at_work || is_at_work());
    started.map_err(|why| if is_busy { Refusal::Busy(why) } else { Refusal::Invalid(why) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_the_decimals_of_the_currency_and_more_where_the_difference_is_less() {
        for (was, would_be, minor_decimals, shown) in [
            ("100", "150.4", 0, ["100", "150", "+50", "+50.4"]),
            ("1", "1.5", 3, ["1.000", "1.500", "+0.500", "+50.0"]),
            ("1", "0.996", 2, ["1.000", "0.996", "-0.004", "-0.4"]),
            ("1000", "1000.00004", 2, ["1000.00000", "1000.00004", "+0.00004", "+0.000004"]),
            ("0", "0", 2, ["0.00", "0.00", "0.00", ""]),
        ] {
            let (was, would_be) = (was.parse().unwrap(), would_be.parse().unwrap());
            let row = Row::of("acme", &ShadowSums { was, would_be, ..ShadowSums::default() }, minor_decimals);
            assert_eq!([row.was, row.would_be, row.difference, row.percent], shown);
        }
    }
}
