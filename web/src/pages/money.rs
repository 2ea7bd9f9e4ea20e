//! What an account has: its balance, the interval, the calls that used it, top-ups by hand, and statements to take away.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, Datelike as _, NaiveDate, Utc};
use model::{Account, Directory, Held};
use rust_decimal::Decimal;
use serde::Deserialize;
use store::{TopUpAttempt, TopUpOutcome};

use crate::Shared;
use crate::account_names::account_of;
use crate::api::balances::{Format, WantedTopUp, amount_text, pdf_of, statement_between, stretch, top_up_of};
use crate::balance_desk::IntervalEnd;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::sign_in::random_text;

/// Attempts to top up that are shown.
const ATTEMPTS_SHOWN: u32 = 20;

/// Letters of the token of a form: the form sent twice is done once.
const FORM_TOKEN_LETTERS: usize = 24;

#[derive(Template)]
#[template(path = "money.html")]
struct Page {
    frame: Frame,
    handle: String,
    name: String,
    currency: String,
    sheet: Sheet,
    attempts: Vec<AttemptRow>,
    may_top_up: bool,
    form: TopUpForm,
    fault: String,
    from: NaiveDate,
    to: NaiveDate,
}

/// What an account has, in people's words.
pub(crate) struct Sheet {
    pub(crate) kind: &'static str,
    pub(crate) balance: String,
    pub(crate) is_below: bool,
    pub(crate) facts: Vec<(&'static str, String)>,
    pub(crate) interval: String,
    calls: Vec<CallRow>,
    n_calls: usize,
}

impl Sheet {
    /// Of an account at a time.
    pub(crate) async fn of(shared: &Shared, account: &Account, at: DateTime<Utc>) -> Result<Self, Refusal> {
        let sheet = (shared.desk.balances.sheet)(account.id, at).await.map_err(Refusal::failed)?;
        let money = |amount: Decimal| format!("{} {}", amount_text(amount), account.currency);
        let given_used_left = |of: fn(Held) -> Decimal, say: &dyn Fn(Decimal) -> String| {
            let (given, used, left) = (of(sheet.given), -of(sheet.used), of(sheet.left));
            format!("{} given, {} used, {} left", say(given), say(used), say(left))
        };
        let balance = sheet.left.balance();
        let facts = vec![
            ("Own money", money(sheet.left.own)),
            ("Free cash", given_used_left(|held| held.free_cash, &money)),
            ("Free time", given_used_left(|held| held.free_seconds, &spoken)),
            ("Owed", money(sheet.left.owed)),
            ("May go below 0", sheet.credit_limit.map_or_else(|| "without limit".to_owned(), money)),
        ];
        Ok(Self {
            kind: sheet.kind,
            balance: money(balance),
            is_below: balance < Decimal::ZERO,
            facts,
            interval: interval_text(&sheet.begins, sheet.end),
            calls: sheet.calls.iter().rev().map(call_row).collect(),
            n_calls: sheet.n_calls,
        })
    }
}

struct CallRow {
    id: String,
    at: String,
    free_time: String,
    free_cash: String,
    own: String,
    owed: String,
}

struct AttemptRow {
    at: String,
    kind: String,
    amount: String,
    outcome: String,
    why: String,
    actor: String,
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Done {
    done: String,
}

/// A top-up as the form sends it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct TopUpForm {
    token: String,
    /// cash, adjustment or voucher.
    kind: String,
    value: String,
    reason: String,
}

/// The page.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(Done { done }): Query<Done>,
) -> Result<Response, Refusal> {
    let form = TopUpForm { token: random_text(FORM_TOKEN_LETTERS), ..TopUpForm::default() };
    let mut page = page_of(&shared, &user, &handle, form).await?;
    page.frame = page.frame.noting(Some(done));
    html(&page)
}

/// Tops up by hand.
pub(crate) async fn top_up(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Form(form): Form<TopUpForm>,
) -> Result<Response, Refusal> {
    require(&user, Right::ChangeBalances, "top up accounts")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle)?;
    let value = Some(form.value.trim().to_owned());
    let wanted = WantedTopUp {
        token: form.token.clone(),
        reason: Some(form.reason.trim().to_owned()),
        amount: value.clone().filter(|_| form.kind == "cash"),
        adjustment: value.clone().filter(|_| form.kind == "adjustment"),
        voucher: value.filter(|_| form.kind == "voucher"),
        tenant: None,
    };
    let outcome = if form.reason.trim().is_empty() {
        Err(Refusal::Invalid("say why: whoever reads the statement will ask".to_owned()))
    } else {
        top_up_of(&shared, &user, account, &wanted).await
    };
    match outcome {
        Ok(TopUpOutcome::Done(amount)) => {
            Ok(back(&handle, &format!("{amount} is on its way to the balance.")))
        }
        Ok(TopUpOutcome::Known(amount)) => Ok(back(
            &handle,
            &format!("{amount} had been topped up by this form before; it was not done again."),
        )),
        Ok(TopUpOutcome::Refused { message, .. }) => refused(&shared, &user, &handle, form, message).await,
        Err(Refusal::Invalid(why) | Refusal::Conflict(why)) => {
            refused(&shared, &user, &handle, form, why).await
        }
        Err(why) => Err(why),
    }
}

fn back(handle: &str, done: &str) -> Response {
    Redirect::to(&format!("/accounts/{}/money?done={}", escaped(handle), escaped(done))).into_response()
}

async fn refused(
    shared: &Shared,
    user: &SignedIn,
    handle: &str,
    form: TopUpForm,
    fault: String,
) -> Result<Response, Refusal> {
    let status = Refusal::Invalid(String::new()).status();
    let page = Page { fault, ..page_of(shared, user, handle, form).await? };
    Ok((status, html(&page)?).into_response())
}

/// Which days, and how, as the form sends it.
#[derive(Debug, Deserialize)]
pub(crate) struct StatementForm {
    pub(crate) from: NaiveDate,
    pub(crate) to: NaiveDate,
    #[serde(default)]
    pub(crate) format: Format,
}

/// A statement to be kept: CSV or PDF.
pub(crate) async fn statement(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(form): Query<StatementForm>,
) -> Result<Response, Refusal> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle)?;
    let statement = statement_between(&shared, account, stretch(account, form.from, form.to)?).await?;
    let name = |suffix: &str| {
        let file = format!("statement-{}-{}-{}.{suffix}", escaped(&account.handle), form.from, form.to);
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{file}\""))
    };
    Ok(match form.format {
        Format::Pdf => {
            let pdf = pdf_of(&shared, account, statement).await?;
            ([(CONTENT_TYPE, "application/pdf".to_owned()), name("pdf")], pdf).into_response()
        }
        Format::Csv | Format::Json => {
            let csv = statement.csv(account.timezone);
            ([(CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()), name("csv")], csv).into_response()
        }
    })
}

async fn page_of(shared: &Shared, user: &SignedIn, handle: &str, form: TopUpForm) -> Result<Page, Refusal> {
    require(user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, handle)?;
    let now = (shared.desk.clock)().wall;
    let mut sheet = Sheet::of(shared, account, now).await?;
    if !user.role.may(Right::Calls) {
        sheet.calls.clear();
    }
    let attempts = shared.desk.store.topups(Some(account.id), ATTEMPTS_SHOWN).await?;
    let today = now.with_timezone(&account.timezone).date_naive();
    Ok(Page {
        frame: Frame::of(user, "/accounts"),
        handle: directory.name_of(account.id),
        name: account.contact.name.clone(),
        currency: account.currency.to_string(),
        sheet,
        attempts: attempts.into_iter().map(attempt_row).collect(),
        may_top_up: user.role.may(Right::ChangeBalances) && is_kept(&directory, account),
        form,
        fault: String::new(),
        from: today.with_day(1).unwrap_or(today),
        to: today,
    })
}

fn is_kept(directory: &Directory, account: &Account) -> bool {
    directory.contracts.contains_key(&account.id)
}

fn interval_text(begins: &Option<DateTime<Utc>>, end: IntervalEnd) -> String {
    let Some(begins) = begins else { return "everything ever posted".to_owned() };
    match end {
        IntervalEnd::Unknown => format!("since {}", when(*begins)),
        IntervalEnd::At(end) => format!("{} to {}", when(*begins), when(end)),
        IntervalEnd::NextTopUp => format!("{} to the next top-up", when(*begins)),
    }
}

fn call_row((cdr, at, held): &(model::CdrId, DateTime<Utc>, Held)) -> CallRow {
    CallRow {
        id: cdr.to_string(),
        at: when(*at),
        free_time: spoken(-held.free_seconds),
        free_cash: amount_text(-held.free_cash),
        own: amount_text(-held.own),
        owed: amount_text(held.owed),
    }
}

fn attempt_row(attempt: TopUpAttempt) -> AttemptRow {
    AttemptRow {
        at: when(attempt.at),
        kind: attempt.kind,
        amount: attempt.amount.to_string(),
        outcome: attempt.outcome,
        why: if attempt.message.is_empty() { attempt.reason } else { attempt.message },
        actor: attempt.actor,
    }
}

/// Seconds for people: `83 min 20 s`.
fn spoken(seconds: Decimal) -> String {
    let sixty = Decimal::from(60);
    if seconds.abs() < sixty {
        return format!("{} s", amount_text(seconds));
    }
    let minutes = (seconds / sixty).trunc();
    let rest = (seconds - minutes * sixty).abs();
    if rest.is_zero() { format!("{minutes} min") } else { format!("{minutes} min {} s", amount_text(rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_spoken() {
        for (seconds, said) in
            [(0, "0 s"), (59, "59 s"), (60, "1 min"), (5_000, "83 min 20 s"), (-90, "-1 min 30 s")]
        {
            assert_eq!(spoken(Decimal::from(seconds)), said);
        }
        assert_eq!(spoken("61.5".parse().unwrap()), "1 min 1.5 s");
    }
}
