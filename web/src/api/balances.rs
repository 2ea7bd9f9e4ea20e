//! What accounts have: balances of now and of the past, statements, top-ups, vouchers.
//!
//! Everything shown is made of postings. A top-up is asked for under a token of the asker's choice: asked again under the same token,
//! after a broken connection, it is not done again.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc};
use model::{Account, Directory, Held, Money, Statement, Tenant};
use rand::RngExt as _;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use store::{NewTopUp, NewVoucher, TopUpKind, TopUpOutcome, voucher_code};

use crate::Shared;
use crate::account_names;
use crate::api::{Body, Limit, Page, Path, Query, instant};
use crate::balance_desk::IntervalEnd;
use crate::guard::SignedIn;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// Vouchers made by one request.
const VOUCHERS_MAX: u32 = 10_000;

/// A token is a name, not a document.
const TOKEN_CHARS_MAX: usize = 200;

/// Movements of one statement.
const MOVEMENTS_MAX: usize = 100_000;

/// Statements printed at once: each is a core's work.
static PRINTING: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// And of one that is printed: some 400 pages.
const PRINTED_MAX: usize = 20_000;

/// Letters of a reason.
const REASON_CHARS_MAX: usize = 500;

/// What an account has.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AccountBalance {
    account: String,
    at: String,
    currency: String,
    /// Whether its calls are held to it.
    is_kept: bool,
    /// Money of its own.
    own_money: String,
    /// Left of the free cash of the running interval.
    free_cash: String,
    /// Left of its free time, seconds.
    free_seconds: String,
    owed: String,
    /// How far the balance may go below 0; absent: the profile's rule.
    credit_limit: Option<String>,
    /// Own money and free cash, less what is owed.
    balance: String,
}

/// When.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct At {
    /// Such as 2026-10-05T12:00:00Z; now if absent.
    #[param(value_type = Option<String>, format = "date-time")]
    at: Option<DateTime<Utc>>,
    /// Handle of the account's tenant, where several have an account of this handle.
    tenant: Option<String>,
}

/// Whose account.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct OfTenant {
    /// Handle of the account's tenant, where several have an account of this handle.
    pub(crate) tenant: Option<String>,
}

/// The balance of an account, now or at any time: what the ledger keeps less the postings since.
#[utoipa::path(get, path = "/api/v1/accounts/{handle}/balance", tag = "balances", params(
    ("handle" = String, Path, description = "the account's handle"), At,
), responses(
    (status = 200, description = "the balance", body = AccountBalance),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn balance(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(At { at, tenant }): Query<At>,
) -> Result<Json<AccountBalance>, Problem> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, tenant.as_deref())?;
    let at = at.unwrap_or((shared.desk.clock)().wall);
    let held = held_at(&shared, account, at).await?;
    let contract = directory.contracts.get(&account.id);
    Ok(Json(AccountBalance {
        account: account.handle.clone(),
        at: instant(at),
        currency: account.currency.to_string(),
        is_kept: contract.is_some(),
        own_money: amount_text(held.own),
        free_cash: amount_text(held.free_cash),
        free_seconds: amount_text(held.free_seconds),
        owed: amount_text(held.owed),
        credit_limit: contract.and_then(|contract| contract.credit_limit).map(amount_text),
        balance: amount_text(held.balance()),
    }))
}

/// The interval that an account is in: what it was given, what its calls used, what is left.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IntervalSheet {
    account: String,
    currency: String,
    /// prepaid, postpaid, or that no balance is kept for it.
    kind: String,
    /// When it began; absent: not known, and everything ever posted is counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    begins: Option<String>,
    /// When it ends; absent: not known, or with the next top-up.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
    given: HeldItem,
    /// Moved by calls: what they took of money and free time is below 0.
    used: HeldItem,
    left: HeldItem,
    /// How far the balance may go below 0; absent: without limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_limit: Option<String>,
    /// Calls of the interval.
    n_calls: usize,
    /// The latest of them, oldest first.
    calls: Vec<IntervalCall>,
}

/// What one call moved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct IntervalCall {
    /// Id of its record.
    call: String,
    start_at: String,
    moved: HeldItem,
}

/// What an account was given in the running interval, what its calls used, and what is left.
#[utoipa::path(get, path = "/api/v1/accounts/{handle}/interval", tag = "balances", params(
    ("handle" = String, Path, description = "the account's handle"), OfTenant,
), responses(
    (status = 200, description = "the interval", body = IntervalSheet),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn interval(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<IntervalSheet>, Problem> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, tenant.as_deref())?;
    let now = (shared.desk.clock)().wall;
    let sheet = (shared.desk.balances.sheet)(account.id, now).await.map_err(Refusal::failed)?;
    let ends = match sheet.end {
        IntervalEnd::At(end) => Some(instant(end)),
        IntervalEnd::NextTopUp | IntervalEnd::Unknown => None,
    };
    let calls = if user.role.may(Right::Calls) { sheet.calls } else { Vec::new() };
    Ok(Json(IntervalSheet {
        account: account.handle.clone(),
        currency: account.currency.to_string(),
        kind: sheet.kind.to_owned(),
        begins: sheet.begins.map(instant),
        ends,
        given: sheet.given.into(),
        used: sheet.used.into(),
        left: sheet.left.into(),
        credit_limit: sheet.credit_limit.map(amount_text),
        n_calls: sheet.n_calls,
        calls: calls
            .into_iter()
            .map(|(cdr, at, held)| IntervalCall {
                call: cdr.to_string(),
                start_at: instant(at),
                moved: held.into(),
            })
            .collect(),
    }))
}

/// What an account had at an instant: what the ledger keeps less the postings since.
async fn held_at(shared: &Shared, account: &Account, at: DateTime<Utc>) -> Result<Held, Refusal> {
    let sums = shared.desk.store.balances_before(account.id, at).await?;
    let sums = sums.into_iter().map(|side| (side.account, side.balance.amount));
    Ok(Held::of_sums(account.id, sums))
}

/// What an amount of each kind changed, or left.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct HeldItem {
    own_money: String,
    free_cash: String,
    free_seconds: String,
    owed: String,
}

impl From<Held> for HeldItem {
    fn from(held: Held) -> Self {
        Self {
            own_money: amount_text(held.own),
            free_cash: amount_text(held.free_cash),
            free_seconds: amount_text(held.free_seconds),
            owed: amount_text(held.owed),
        }
    }
}

/// A movement.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StatementItem {
    at: String,
    /// Such as call, topup, voucher, grant, expiry.
    reason: String,
    /// Id of the call's record.
    call: Option<String>,
    change: HeldItem,
    after: HeldItem,
}

/// The movements of some days.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StatementSheet {
    account: String,
    currency: String,
    from: String,
    /// First instant after it.
    to: String,
    before: HeldItem,
    items: Vec<StatementItem>,
    after: HeldItem,
}

/// Which days, and how.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct Days {
    /// First day, such as 2026-10-01, in the account's zone.
    #[param(value_type = String, format = "date")]
    from: NaiveDate,
    /// Last day.
    #[param(value_type = String, format = "date")]
    to: NaiveDate,
    /// `json`, `csv` or `pdf`.
    #[serde(default)]
    #[param(value_type = Option<String>, pattern = "^(json|csv|pdf)$")]
    format: Format,
    /// Handle of the account's tenant, where several have an account of this handle.
    tenant: Option<String>,
}

/// How a statement is written.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    #[default]
    Json,
    Csv,
    Pdf,
}

/// Every movement of an account's money, free time and debt between two days, with what was left after each.
#[utoipa::path(get, path = "/api/v1/accounts/{handle}/statement", tag = "balances", params(
    ("handle" = String, Path, description = "the account's handle"), Days,
), responses(
    (status = 200, description = "the statement; with format=csv as text/csv, with format=pdf as application/pdf", content(
        (StatementSheet = "application/json"), (String = "text/csv"), (Vec<u8> = "application/pdf"),
    )),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn statement(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(days): Query<Days>,
) -> Result<Response, Problem> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, days.tenant.as_deref())?;
    let (from, to) = stretch(account, days.from, days.to)?;
    let statement = statement_between(&shared, account, (from, to)).await?;
    match days.format {
        Format::Csv => {
            let csv = statement.csv(account.timezone);
            return Ok(([(CONTENT_TYPE, "text/csv; charset=utf-8")], csv).into_response());
        }
        Format::Pdf => {
            let pdf = pdf_of(&shared, account, statement).await?;
            return Ok(([(CONTENT_TYPE, "application/pdf")], pdf).into_response());
        }
        Format::Json => {}
    }
    let after = statement.after();
    let items = statement.rows.into_iter().map(|row| StatementItem {
        at: instant(row.at),
        reason: row.reason.to_string(),
        call: row.cdr.map(|cdr| cdr.to_string()),
        change: row.change.into(),
        after: row.after.into(),
    });
    Ok(Json(StatementSheet {
        account: account.handle.clone(),
        currency: account.currency.to_string(),
        from: instant(from),
        to: instant(to),
        before: statement.before.into(),
        items: items.collect(),
        after: after.into(),
    })
    .into_response())
}

/// Every movement of an account's money between two instants.
pub(crate) async fn statement_between(
    shared: &Shared,
    account: &Account,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Statement, Refusal> {
    let before = held_at(shared, account, from).await?;
    // One more than may be, to tell that there are more.
    let max = i64::try_from(MOVEMENTS_MAX + 1).unwrap_or(i64::MAX);
    let postings = shared.desk.store.first_postings(account.id, (from, to), max).await?;
    if postings.len() > MOVEMENTS_MAX {
        let why = format!("there are more than {MOVEMENTS_MAX} movements; ask for fewer days at once");
        return Err(Refusal::Invalid(why));
    }
    Ok(Statement::after_opening(account.id, account.currency, before, &postings, (from, to)))
}

/// A statement to be printed; a long one takes seconds and hundreds of pages.
pub(crate) async fn pdf_of(
    shared: &Shared,
    account: &Account,
    statement: Statement,
) -> Result<Vec<u8>, Refusal> {
    if statement.rows.len() > PRINTED_MAX {
        let why = format!(
            "{} movements are more than the {PRINTED_MAX} that are printed at once; ask for fewer days, or for CSV",
            statement.rows.len()
        );
        return Err(Refusal::Invalid(why));
    }
    let _permit = PRINTING.acquire().await.map_err(Refusal::failed)?;
    (shared.desk.balances.statement_pdf)(account.id, statement).await.map_err(Refusal::failed)
}

/// From the beginning of one day of the account's zone to the end of another.
pub(crate) fn stretch(
    account: &Account,
    first: NaiveDate,
    last: NaiveDate,
) -> Result<(DateTime<Utc>, DateTime<Utc>), Refusal> {
    let midnight = |day: NaiveDate| {
        let local = account.timezone.from_local_datetime(&day.and_time(NaiveTime::MIN));
        local.earliest().map(|at| at.to_utc())
    };
    match (midnight(first), last.succ_opt().and_then(midnight)) {
        (Some(from), Some(to)) if from < to => Ok((from, to)),
        (Some(_) | None, _) => Err(Refusal::Invalid(format!(
            "from {first} to {last}: both must be days of the calendar, the last not before the first"
        ))),
    }
}

/// One attempt to top up.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TopUpItem {
    id: i64,
    token: String,
    /// cash, adjustment or voucher.
    kind: String,
    /// done, known (asked again under the same token), or why not in a word.
    outcome: String,
    /// Why not, in a sentence.
    message: String,
    amount: String,
    currency: String,
    actor: String,
    /// As given by whoever asked; empty: none was.
    reason: String,
    at: String,
}

/// The latest attempts to top up an account, good or bad, newest first.
#[utoipa::path(get, path = "/api/v1/accounts/{handle}/topups", tag = "balances", params(
    ("handle" = String, Path, description = "the account's handle"), Limit, OfTenant,
), responses(
    (status = 200, description = "attempts", body = Page<TopUpItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn topups(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(limit): Query<Limit>,
    Query(OfTenant { tenant }): Query<OfTenant>,
) -> Result<Json<Page<TopUpItem>>, Problem> {
    require(&user, Right::Books, "see balances")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, tenant.as_deref())?;
    let limit = u32::try_from(limit.get()?).unwrap_or(u32::MAX);
    let attempts = shared.desk.store.topups(Some(account.id), limit).await?;
    let items = attempts.into_iter().map(|attempt| TopUpItem {
        id: attempt.id,
        token: attempt.token,
        kind: attempt.kind,
        outcome: attempt.outcome,
        message: attempt.message,
        amount: amount_text(attempt.amount.amount),
        currency: attempt.amount.currency.to_string(),
        actor: attempt.actor,
        reason: attempt.reason,
        at: instant(attempt.at),
    });
    Ok(Json(Page { items: items.collect(), next: None }))
}

/// A top-up to be: exactly one of amount, adjustment and voucher.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedTopUp {
    /// The asker's name for it, new for each: under the same one it is done once.
    #[schema(min_length = 1, max_length = 200, pattern = "\\S")]
    pub(crate) token: String,
    /// Money that was paid, as text, in the account's currency; above 0.
    pub(crate) amount: Option<String>,
    /// Set right by hand, up or down.
    pub(crate) adjustment: Option<String>,
    /// Code of a voucher; separators in it do not matter.
    pub(crate) voucher: Option<String>,
    /// Why; kept with the top-up and in the trail of changes.
    #[schema(max_length = 500)]
    pub(crate) reason: Option<String>,
    /// Handle of the account's tenant, where several have an account of this handle.
    pub(crate) tenant: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct DoneTopUp {
    /// done, or known: it was done before under the same token.
    outcome: String,
    amount: String,
    currency: String,
}

/// Tops up an account. Its calls may use the money within a second.
#[utoipa::path(post, path = "/api/v1/accounts/{handle}/topups", tag = "balances", params(
    ("handle" = String, Path, description = "the account's handle"),
), request_body = WantedTopUp, responses(
    (status = 200, description = "done, now or before", body = DoneTopUp),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn top_up(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Body(wanted): Body<WantedTopUp>,
) -> Result<Json<DoneTopUp>, Problem> {
    require(&user, Right::ChangeBalances, "top up accounts")?;
    let directory = (shared.desk.directory)();
    let account = account_of(&directory, &handle, wanted.tenant.as_deref())?;
    let (outcome, amount) = match top_up_of(&shared, &user, account, &wanted).await? {
        TopUpOutcome::Done(amount) => ("done", amount),
        TopUpOutcome::Known(amount) => ("known", amount),
        TopUpOutcome::Refused { outcome: "token_used", message } => {
            return Err(Refusal::Conflict(message).into());
        }
        TopUpOutcome::Refused { message, .. } => return Err(Refusal::Invalid(message).into()),
    };
    let currency = amount.currency.to_string();
    Ok(Json(DoneTopUp { outcome: outcome.to_owned(), amount: amount_text(amount.amount), currency }))
}

/// Tops up as it is wanted: what came of it, in the store's words.
pub(crate) async fn top_up_of(
    shared: &Shared,
    user: &SignedIn,
    account: &Account,
    wanted: &WantedTopUp,
) -> Result<TopUpOutcome, Refusal> {
    let token = wanted.token.trim();
    if token.is_empty() || token.chars().count() > TOKEN_CHARS_MAX {
        return Err(Refusal::Invalid(format!("token: a name of 1 to {TOKEN_CHARS_MAX} characters")));
    }
    let reason = wanted.reason.as_deref().unwrap_or_default().trim();
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(Refusal::Invalid(format!("reason: at most {REASON_CHARS_MAX} characters")));
    }
    let money = |what: &'static str, text: &str| -> Result<Money, Refusal> {
        // `1_000` is a number to the parser, and to a person who mistyped `1.000` it is not the one that was meant.
        let is_plain = !text.contains('_');
        let amount =
            text.parse::<Decimal>().ok().filter(|amount| is_plain && model::to_micros(*amount).is_ok());
        if amount.is_some_and(|amount| amount.is_zero()) {
            return Err(Refusal::Invalid(format!("{what}: 0 changes nothing")));
        }
        let amount = amount.ok_or_else(|| {
            Refusal::Invalid(format!("{what}: {text:?} is no amount of at most six decimals, such as 12.50"))
        })?;
        Ok(Money::new(amount, account.currency))
    };
    let kind = match (&wanted.amount, &wanted.adjustment, &wanted.voucher) {
        (Some(amount), None, None) => TopUpKind::Cash(money("amount", amount)?),
        (None, Some(amount), None) => TopUpKind::Adjustment(money("adjustment", amount)?),
        (None, None, Some(code)) => TopUpKind::Voucher(code.clone()),
        _ => {
            let why = "give exactly one of amount, adjustment and voucher".to_owned();
            return Err(Refusal::Invalid(why));
        }
    };
    let new = NewTopUp {
        tenant: account.tenant,
        account: account.id,
        currency: account.currency,
        token: token.to_owned(),
        kind,
        actor: user.name.clone(),
        reason: reason.to_owned(),
    };
    Ok(shared.desk.store.top_up(&new, (shared.desk.clock)().wall).await?)
}

/// Vouchers to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WantedVouchers {
    /// What each is worth, as text; above 0.
    amount: String,
    /// ISO 4217; of an account's voucher it is the account's.
    currency: Option<String>,
    /// How many, 1 to 10000.
    #[schema(minimum = 1, maximum = 10000)]
    count: u32,
    /// Days until they are worth nothing, 1 to 36500.
    #[schema(minimum = 1, maximum = 36500)]
    days: u32,
    /// Handle of the only account that may use them.
    account: Option<String>,
    /// Handle of the tenant, where there are several.
    tenant: Option<String>,
}

/// Codes, shown this once: they are kept as hashes.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MadeVouchers {
    codes: Vec<String>,
    valid_until: String,
}

/// Makes vouchers.
#[utoipa::path(post, path = "/api/v1/vouchers", tag = "balances", request_body = WantedVouchers, responses(
    (status = 200, description = "the codes", body = MadeVouchers),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn vouchers(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<WantedVouchers>,
) -> Result<Json<MadeVouchers>, Problem> {
    require(&user, Right::ChangeBalances, "make vouchers")?;
    let directory = (shared.desk.directory)();
    let account = match &wanted.account {
        Some(handle) => Some(account_of(&directory, handle, wanted.tenant.as_deref())?),
        None => None,
    };
    let invalid = |why: &str| Problem::from(Refusal::Invalid(why.to_owned()));
    let named = match wanted.tenant.as_deref() {
        Some(named) => Some(tenant_of(&directory, named)?),
        None => None,
    };
    let only = directory.tenants.first().filter(|_| directory.tenants.len() == 1);
    let (tenant, own) = match (account, named.or(only)) {
        (Some(account), _) => (account.tenant, account.currency),
        (None, Some(tenant)) => (tenant.id, tenant.currency),
        (None, None) => return Err(invalid("tenant: there are several; name one, or an account")),
    };
    let currency = match wanted.currency.as_deref().map(str::parse) {
        None => own,
        Some(Ok(currency)) if account.is_none() || currency == own => currency,
        Some(_) => return Err(invalid("currency: three letters such as EUR, of an account its own")),
    };
    let amount = Some(&wanted.amount).filter(|text| !text.contains('_'));
    let amount = amount.and_then(|text| text.parse::<Decimal>().ok());
    let amount = amount.filter(|amount| *amount > Decimal::ZERO && model::to_micros(*amount).is_ok());
    let Some(amount) = amount else {
        return Err(invalid("amount: text such as \"10.00\", above 0, at most six decimals"));
    };
    if !(1..=VOUCHERS_MAX).contains(&wanted.count) || !(1..=36_500).contains(&wanted.days) {
        return Err(invalid("count: 1 to 10000; days: 1 to 36500"));
    }
    let now = (shared.desk.clock)().wall;
    let valid_until = now + TimeDelta::days(i64::from(wanted.days));
    let made: Vec<NewVoucher> = (0..wanted.count)
        .map(|_| NewVoucher {
            tenant,
            code: voucher_code(rand::rng().random()),
            amount: Money::new(amount, currency),
            valid_until,
            account: account.map(|account| account.id),
        })
        .collect();
    shared.desk.store.vouchers_add(&made, &user.name, now).await?;
    let codes = made.into_iter().map(|voucher| voucher.code).collect();
    Ok(Json(MadeVouchers { codes, valid_until: instant(valid_until) }))
}

/// The account of this name; of the tenant that is named, if one is.
pub(crate) fn account_of<'d>(
    directory: &'d Directory,
    name: &str,
    tenant: Option<&str>,
) -> Result<&'d Account, Refusal> {
    let Some(tenant) = tenant else { return account_names::account_of(directory, name) };
    tenant_of(directory, tenant)?;
    account_names::account_of(directory, &format!("{tenant}:{name}"))
}

fn tenant_of<'d>(directory: &'d Directory, handle: &str) -> Result<&'d Tenant, Refusal> {
    let tenant = directory.tenants.iter().find(|tenant| tenant.handle == handle);
    tenant.ok_or_else(|| Refusal::NotFound(format!("there is no tenant {handle:?}")))
}

/// An amount without needless zeros.
pub(crate) fn amount_text(amount: Decimal) -> String {
    amount.normalize().to_string()
}
