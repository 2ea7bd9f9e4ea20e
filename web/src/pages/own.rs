//! What a customer sees of its own account, and a reseller of its own and its customers': balance, calls, invoices, statements.
//!
//! Who is outside the house opens these pages and no others (`guard`). Every one of them looks for its account among those that are the
//! user's, and one of somebody else is as absent as one that is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use chrono::Datelike as _;
use model::{Account, AccountId, Directory, InvoiceId};
use serde::Deserialize;

use crate::Shared;
use crate::api::balances::{Format, pdf_of, statement_between, stretch};
use crate::call_search::{CallPage, OwnQuery, PAGE_ROWS, search_own};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::money::{Sheet, StatementForm};
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Invoices that are listed, the latest.
const INVOICES_SHOWN: u32 = 60;

/// Days of calls that are looked at unless others are asked for.
const CALL_DAYS: i64 = 92;

/// Whose account is looked at.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub(crate) struct Chosen {
    /// Handle; empty: the user's own.
    account: String,
}

/// An account that may be looked at.
struct Choice {
    handle: String,
    name: String,
    is_current: bool,
}

struct InvoiceRow {
    id: i64,
    number: String,
    issued: String,
    period: String,
    gross: String,
    state: &'static str,
    has_pdf: bool,
}

#[derive(Template)]
#[template(path = "own.html")]
struct OverviewPage {
    frame: Frame,
    name: String,
    handle: String,
    choices: Vec<Choice>,
    sheet: Sheet,
    invoices: Vec<InvoiceRow>,
    from: String,
    to: String,
}

#[derive(Template)]
#[template(path = "own_calls.html")]
struct CallsPage {
    frame: Frame,
    handle: String,
    choices: Vec<Choice>,
    query: OwnQuery,
    page: CallPage,
    problem: Option<String>,
}

/// Balance, invoices, statements.
pub(crate) async fn overview(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(chosen): Query<Chosen>,
) -> Result<Response, Refusal> {
    let directory = (shared.desk.directory)();
    let account = own_account(&directory, &user, &chosen.account)?;
    let now = (shared.desk.clock)().wall;
    let today = now.with_timezone(&account.timezone).date_naive();
    let invoices = shared.desk.store.invoices_latest_of(account.id, INVOICES_SHOWN).await?;
    let rows = invoices.into_iter().map(|invoice| InvoiceRow {
        id: invoice.id.0,
        number: invoice.number,
        issued: when(invoice.issued_at),
        period: format!(
            "{} to {}",
            invoice.period_start.with_timezone(&account.timezone).date_naive(),
            (invoice.period_end - chrono::TimeDelta::seconds(1))
                .with_timezone(&account.timezone)
                .date_naive()
        ),
        gross: invoice.gross.round_to_minor().to_string(),
        state: invoice.state.as_str(),
        has_pdf: invoice.has_pdf,
    });
    html(&OverviewPage {
        frame: Frame::of(&user, "/own"),
        name: account.contact.name.clone(),
        handle: directory.name_of(account.id),
        choices: choices(&directory, &user, account.id)?,
        sheet: Sheet::of(&shared, account, now).await?,
        invoices: rows.collect(),
        from: today.with_day(1).unwrap_or(today).to_string(),
        to: today.to_string(),
    })
}

/// Calls that the account pays for.
pub(crate) async fn calls(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(mut query): Query<OwnQuery>,
) -> Result<Response, Refusal> {
    let directory = (shared.desk.directory)();
    // Whoever is outside the house does not have all its calls read by leaving a field empty.
    if query.from.trim().is_empty() && query.after.is_empty() {
        let today = (shared.desk.clock)().wall.date_naive();
        query.from = (today - chrono::TimeDelta::days(CALL_DAYS)).to_string();
    }
    let account = own_account(&directory, &user, &query.account)?;
    let found = search_own(&shared.desk.lake, &query, account, user.role, PAGE_ROWS).await;
    let (page, problem) = match found {
        Ok(page) => (page, None),
        // A field mistyped is put right in the form, beside what else was typed.
        Err(why @ Refusal::Invalid(_)) => (CallPage::default(), Some(why.to_string())),
        Err(why) => return Err(why),
    };
    html(&CallsPage {
        frame: Frame::of(&user, "/own/calls"),
        handle: directory.name_of(account.id),
        choices: choices(&directory, &user, account.id)?,
        query,
        page,
        problem,
    })
}

/// An invoice as PDF.
pub(crate) async fn invoice_pdf(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Response, Refusal> {
    let directory = (shared.desk.directory)();
    let own = own_accounts(&directory, &user)?;
    let absent = || Refusal::NotFound(format!("there is no invoice {id}"));
    let invoice = match shared.desk.store.invoice_get(InvoiceId(id)).await {
        Ok(invoice) if own.contains(&invoice.account) => invoice,
        Ok(_) | Err(store::StoreError::NotFound { .. }) => return Err(absent()),
        Err(why) => return Err(why.into()),
    };
    let pdf = shared.desk.store.invoice_pdf(invoice.id).await?.ok_or_else(absent)?;
    let name = format!("attachment; filename=\"{}.pdf\"", escaped(&invoice.number));
    Ok(([(CONTENT_TYPE, "application/pdf".to_owned()), (CONTENT_DISPOSITION, name)], pdf).into_response())
}

/// A statement to be kept.
pub(crate) async fn statement(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(chosen): Query<Chosen>,
    Query(form): Query<StatementForm>,
) -> Result<Response, Refusal> {
    let directory = (shared.desk.directory)();
    let account = own_account(&directory, &user, &chosen.account)?;
    let statement = statement_between(&shared, account, stretch(account, form.from, form.to)?).await?;
    let name = |suffix: &str| {
        let file = format!("statement-{}-{}.{suffix}", form.from, form.to);
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

/// The user's account and whatever is below it, its customers' customers too.
fn own_accounts(directory: &Directory, user: &SignedIn) -> Result<BTreeSet<AccountId>, Refusal> {
    require(user, Right::Own, "see one account by itself")?;
    let own =
        user.account.ok_or(Refusal::Forbidden("see anything until the operator says whose account it is"))?;
    let mut all = BTreeSet::from([own]);
    if user.role.may(Right::OwnCustomers) {
        loop {
            let below = directory.accounts.iter().filter(|account| {
                account.reseller.is_some_and(|reseller| all.contains(&reseller)) && !all.contains(&account.id)
            });
            let below: Vec<AccountId> = below.map(|account| account.id).collect();
            if below.is_empty() {
                break;
            }
            all.extend(below);
        }
    }
    Ok(all)
}

/// The account of this name if it is the user's; without a name the user's own.
fn own_account<'d>(directory: &'d Directory, user: &SignedIn, handle: &str) -> Result<&'d Account, Refusal> {
    let own = own_accounts(directory, user)?;
    let absent = || Refusal::NotFound(format!("you have no account {handle:?}"));
    if handle.is_empty() {
        let found = directory.accounts.iter().find(|account| Some(account.id) == user.account);
        return found.ok_or_else(absent);
    }
    let named = directory.accounts_named(handle);
    named.into_iter().find(|account| own.contains(&account.id)).ok_or_else(absent)
}

/// What there is to choose from: nothing, where there is one account.
fn choices(directory: &Directory, user: &SignedIn, current: AccountId) -> Result<Vec<Choice>, Refusal> {
    let own = own_accounts(directory, user)?;
    if own.len() < 2 {
        return Ok(Vec::new());
    }
    let accounts = directory.accounts.iter().filter(|account| own.contains(&account.id));
    let choices = accounts.map(|account| Choice {
        handle: directory.name_of(account.id),
        name: account.contact.name.clone(),
        is_current: account.id == current,
    });
    Ok(choices.collect())
}
