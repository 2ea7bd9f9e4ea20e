//! The fraud desk: open cases by the money at risk, locks, barrings and exceptions in force, and the hand that sets or lifts them.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{DateTime, TimeDelta, Utc};
use model::{
    Account, AccountId, Barring, Directory, FraudException, Lock, LockLevel, LockSource, Span, TenantId,
};
use rust_decimal::Decimal;
use serde::Deserialize;
use store::{AlertCase, CaseFilter};

use crate::Shared;
use crate::account_names::{account_named, names};
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Alerts looked at, newest first.
pub(crate) const ALERTS_MAX: u32 = 200;

/// Longest reason that is kept.
pub(crate) const REASON_LETTERS_MAX: usize = 500;

/// Digits of an alert's id on the screen.
const ID_DIGITS: usize = 12;

/// Digits of the longest number.
const DIGITS_MAX: usize = 15;

/// Days that rules leave an account alone, at most, unless it is until somebody takes it back.
const EXCEPTION_DAYS_MAX: u32 = 3_650;

#[derive(Template)]
#[template(path = "fraud.html")]
struct Page {
    frame: Frame,
    shows_all: bool,
    shows_mine: bool,
    alerts: Vec<AlertRow>,
    locks: Vec<LockRow>,
    barrings: Vec<BarringRow>,
    exceptions: Vec<ExceptionRow>,
    record: Vec<RecordRow>,
    accounts: Vec<String>,
    levels: Vec<&'static str>,
    may_change: bool,
    may_change_rules: bool,
}

struct AlertRow {
    id: String,
    at: String,
    account: String,
    rule: String,
    title: String,
    tag: String,
    value: String,
    limit: String,
    at_risk: String,
    saved: String,
    lock: String,
    state: String,
    bars: Vec<Bar>,
}

struct LockRow {
    account: String,
    level: String,
    source: String,
    since: String,
    until: String,
    reason: String,
}

struct BarringRow {
    whom: String,
    account: String,
    tenant: i64,
    range: String,
    numbers: String,
    lets_through: String,
    since: String,
    until: String,
    reason: String,
}

struct ExceptionRow {
    account: String,
    rule: String,
    by: String,
    since: String,
    until: String,
    reason: String,
}

struct RecordRow {
    rule: String,
    n_alerts: u64,
    n_fraud: u64,
    n_clean: u64,
    n_unsure: u64,
    n_open: u64,
    right: String,
}

/// One bar of a sparkline, in a picture 100 wide and 24 high.
pub(crate) struct Bar {
    pub(crate) x: usize,
    pub(crate) y: u64,
    pub(crate) width: usize,
    pub(crate) height: u64,
}

/// The course of a count as bars; a single call among thousands is still seen.
pub(crate) fn bars_of(counts: &[u32]) -> Vec<Bar> {
    const HEIGHT: u64 = 24;
    let highest = u64::from(counts.iter().copied().max().unwrap_or(0)).max(1);
    let step = 100 / counts.len().clamp(1, 50);
    counts
        .iter()
        .enumerate()
        .map(|(place, count)| {
            let height = (u64::from(*count) * HEIGHT).div_ceil(highest);
            Bar { x: place * step, y: HEIGHT - height, width: step.saturating_sub(1).max(1), height }
        })
        .collect()
}

/// The money that a case is about: what an hour more would cost, or where that was not said, what was spent.
pub(crate) fn at_risk(case: &AlertCase) -> Decimal {
    case.alert.at_risk().map_or(case.alert.value.amount, |at_risk| at_risk.amount)
}

pub(crate) fn state_of(case: &AlertCase) -> String {
    match (&case.verdict, &case.handed, &case.acknowledged) {
        (Some((verdict, who, _)), _, _) => format!("{verdict}, says {who}"),
        (None, Some(handed), _) => format!("handed to {}", handed.to),
        (None, None, Some((who, _))) => format!("taken on by {who}"),
        (None, None, None) => "open".to_owned(),
    }
}

/// What the last form did, and which cases are shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Asked {
    done: String,
    all: bool,
    /// Those that were handed to whoever asks.
    mine: bool,
}

/// The desk.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(asked): Query<Asked>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let store = &shared.desk.store;
    let filter = CaseFilter { only_open: !asked.all, handed_to: asked.mine.then_some(user.name.as_str()) };
    let mut cases = store.alert_cases(filter, ALERTS_MAX).await?;
    cases.sort_by_key(|case| std::cmp::Reverse((at_risk(case), case.alert.at)));
    let locks = store.locks().await?;
    let barrings = store.barrings().await?;
    let record = store.alert_record().await?;
    let exceptions = store.fraud_exceptions().await?;
    html(&Page {
        frame: Frame::of(&user, "/fraud").noting(Some(asked.done)),
        shows_all: asked.all,
        shows_mine: asked.mine,
        alerts: cases.iter().map(|case| alert_row(case, &directory)).collect(),
        locks: locks
            .into_iter()
            .filter(|lock| lock.until.is_none_or(|until| now < until))
            .map(|lock| LockRow {
                account: directory.name_of(lock.account),
                level: lock.level.to_string(),
                source: lock.source.to_string(),
                since: when(lock.since),
                until: until_of(lock.until),
                reason: lock.reason,
            })
            .collect(),
        barrings: barrings
            .into_iter()
            .filter(|barring| barring.is_in_force(now))
            .map(|barring| barring_row(barring, &directory))
            .collect(),
        exceptions: exceptions
            .iter()
            .filter(|one| one.until.is_none_or(|until| now < until))
            .map(|one| ExceptionRow {
                account: directory.name_of(one.account),
                rule: one.rule.clone(),
                by: one.author.clone(),
                since: when(one.since),
                until: until_of(one.until),
                reason: one.reason.clone(),
            })
            .collect(),
        record: record
            .into_iter()
            .map(|rule| RecordRow {
                n_open: rule.n_alerts.saturating_sub(rule.n_fraud + rule.n_clean + rule.n_unsure),
                right: rule
                    .precision_percent()
                    .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
                rule: rule.rule,
                n_alerts: rule.n_alerts,
                n_fraud: rule.n_fraud,
                n_clean: rule.n_clean,
                n_unsure: rule.n_unsure,
            })
            .collect(),
        accounts: names(&directory),
        levels: LockLevel::ALL
            .iter()
            .filter(|level| **level != LockLevel::None)
            .map(|level| level.as_str())
            .collect(),
        may_change: user.role.may(Right::ChangeLocks),
        may_change_rules: user.role.may(Right::ChangeRules),
    })
}

fn until_of(until: Option<DateTime<Utc>>) -> String {
    until.map_or_else(|| "lifted by hand".to_owned(), when)
}

fn alert_row(case: &AlertCase, directory: &Directory) -> AlertRow {
    let alert = &case.alert;
    let finding = alert.finding.as_ref();
    let first = finding.and_then(|finding| finding.measures.first());
    AlertRow {
        id: alert.id.to_string().chars().take(ID_DIGITS).collect(),
        at: when(alert.at),
        account: directory.name_of(alert.account),
        rule: alert.rule.clone(),
        title: finding.map_or_else(|| format!("spent in {}", alert.period), |finding| finding.title.clone()),
        tag: finding.and_then(|finding| finding.tag.clone()).unwrap_or_default(),
        value: first.map_or_else(
            || alert.value.round_to_minor().to_string(),
            |measured| format!("{} {}", measured.measure, measured.value),
        ),
        limit: first
            .map_or_else(|| alert.limit.round_to_minor().to_string(), |measured| measured.limit.clone()),
        at_risk: model::Money::new(at_risk(case), alert.value.currency).round_to_minor().to_string(),
        saved: if case.n_stopped > 0 { case.saved.round_to_minor().to_string() } else { String::new() },
        lock: alert.lock.to_string(),
        state: state_of(case),
        bars: alert.course().map(|course| bars_of(course.counts)).unwrap_or_default(),
    }
}

fn barring_row(barring: Barring, directory: &Directory) -> BarringRow {
    let is_everybody = barring.account == AccountId::NOBODY;
    let tenant = directory.tenants.iter().find(|tenant| tenant.id == barring.tenant);
    let tenant = tenant.map_or_else(|| barring.tenant.to_string(), |tenant| tenant.handle.clone());
    let account = directory.name_of(barring.account);
    BarringRow {
        whom: if is_everybody { format!("everybody of {tenant}") } else { account.clone() },
        account,
        tenant: barring.tenant.0,
        numbers: if barring.range.is_empty() {
            "all numbers".to_owned()
        } else {
            format!("{}…", barring.range)
        },
        range: barring.range,
        lets_through: match barring.calls_per_minute {
            0 => "no call".to_owned(),
            n_calls => format!("{n_calls} calls a minute"),
        },
        since: when(barring.since),
        until: until_of(barring.until),
        reason: barring.reason,
    }
}

/// Back to the desk, with what was done.
fn back(done: &str) -> Response {
    Redirect::to(&format!("/fraud?done={}", escaped(done))).into_response()
}

/// What the form sends.
#[derive(Debug, Deserialize)]
pub(crate) struct LockForm {
    account: String,
    /// A level; `none` unlocks.
    level: String,
    reason: String,
}

/// Sets or lifts a lock.
pub(crate) async fn set_lock(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<LockForm>,
) -> Result<Response, Refusal> {
    let level = change_lock(&shared, &user, &form.account, &form.level, &form.reason).await?;
    Ok(back(&locked_in_words(&form.account, level)))
}

pub(crate) fn locked_in_words(account: &str, level: LockLevel) -> String {
    match level {
        LockLevel::None => format!("{account} is unlocked; the switch knows within a second."),
        LockLevel::Foreign | LockLevel::Outgoing | LockLevel::All | LockLevel::Global | LockLevel::Ported => {
            format!("{account} is locked ({level}); the switch knows within a second.")
        }
    }
}

/// A reason as it is kept.
pub(crate) fn reason_of(reason: &str) -> Result<&str, Refusal> {
    let (said, reason) = (reason, reason.trim());
    if reason.is_empty() || said.len() > REASON_LETTERS_MAX {
        return Err(Refusal::Invalid(format!(
            "reason: say why, in at most {REASON_LETTERS_MAX} letters; the trail of changes keeps it"
        )));
    }
    Ok(reason)
}

/// Sets `account`'s lock to `level`, with its reason in the trail of changes.
pub(crate) async fn change_lock(
    shared: &Shared,
    user: &SignedIn,
    account: &str,
    level: &str,
    reason: &str,
) -> Result<LockLevel, Refusal> {
    require(user, Right::ChangeLocks, "set or lift locks")?;
    let level: LockLevel =
        level.parse().map_err(|why: model::UnknownWord| Refusal::Invalid(format!("level: {why}")))?;
    let reason = reason_of(reason)?;
    let directory = (shared.desk.directory)();
    let id = account_named(&directory, account)?;
    let now = (shared.desk.clock)().wall;
    let lock = Lock {
        tenant: tenant_of(&directory, id),
        account: id,
        level,
        source: LockSource::Admin,
        reason: reason.to_owned(),
        alert: None,
        since: now,
        until: None,
    };
    shared.desk.store.set_lock(&lock, &user.name, now).await?;
    Ok(level)
}

fn tenant_of(directory: &Directory, id: AccountId) -> TenantId {
    let there: Option<&Account> = directory.accounts.iter().find(|there| there.id == id);
    there.map(|there| there.tenant).unwrap_or_default()
}

/// Ends the calls of an account that are up.
pub(crate) async fn kill_calls(
    shared: &Shared,
    user: &SignedIn,
    account: &str,
    reason: &str,
) -> Result<(), Refusal> {
    require(user, Right::ChangeLocks, "end calls")?;
    let reason = reason_of(reason)?;
    let directory = (shared.desk.directory)();
    let id = account_named(&directory, account)?;
    let now = (shared.desk.clock)().wall;
    shared.desk.store.kill_calls(id, reason, &user.name, now).await?;
    Ok(())
}

/// A barring to be set or lifted.
#[derive(Debug, Deserialize)]
pub(crate) struct BarringForm {
    /// Its name; empty is everybody of the tenant.
    #[serde(default)]
    pub(crate) account: String,
    /// Id of the tenant, where everybody is meant; the only one without it.
    #[serde(default)]
    pub(crate) tenant: Option<i64>,
    pub(crate) range: String,
    #[serde(default)]
    pub(crate) calls_per_minute: String,
    /// Such as `12h`; empty: until somebody lifts it.
    #[serde(default, rename = "for")]
    pub(crate) span: String,
    pub(crate) reason: String,
    /// `set` or `lift`.
    pub(crate) act: String,
}

/// Sets or lifts a barring.
pub(crate) async fn set_barring(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<BarringForm>,
) -> Result<Response, Refusal> {
    let barring = change_barring(&shared, &user, &form).await?;
    let range =
        if barring.range.is_empty() { "all numbers".to_owned() } else { format!("{}…", barring.range) };
    let done = if form.act == "lift" { "go through again" } else { "are barred" };
    Ok(back(&format!("Calls to {range} {done}; the switch knows within a second.")))
}

pub(crate) async fn change_barring(
    shared: &Shared,
    user: &SignedIn,
    form: &BarringForm,
) -> Result<Barring, Refusal> {
    require(user, Right::ChangeLocks, "set or lift barrings")?;
    let is_lift = is_lift(&form.act)?;
    let reason = reason_of(&form.reason)?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let account =
        if form.account.is_empty() { AccountId::NOBODY } else { account_named(&directory, &form.account)? };
    let tenant = match (account, form.tenant, directory.tenants.as_slice()) {
        (AccountId::NOBODY, Some(id), all) if all.iter().any(|tenant| tenant.id.0 == id) => TenantId(id),
        (AccountId::NOBODY, None, [only]) => only.id,
        (AccountId::NOBODY, _, _) => {
            return Err(Refusal::Invalid("tenant: say whose everybody is barred".to_owned()));
        }
        (account, _, _) => tenant_of(&directory, account),
    };
    let range = form.range.trim().trim_start_matches('+').trim_end_matches('*').to_owned();
    let is_range = range.len() <= DIGITS_MAX && range.bytes().all(|byte| byte.is_ascii_digit());
    if !is_range || range.starts_with('0') {
        return Err(Refusal::Invalid(
            "range: write the digits that the numbers begin with, in international form without +".to_owned(),
        ));
    }
    let calls_per_minute = match form.calls_per_minute.trim() {
        "" => 0,
        text => text
            .parse::<u32>()
            .map_err(|_| Refusal::Invalid(format!("calls_per_minute: {text:?} is no number of calls")))?,
    };
    // To bar every number is to lock: a lock says who, and is seen as one.
    if range.is_empty() && calls_per_minute == 0 && !is_lift {
        return Err(Refusal::Invalid("range: all numbers are barred by a lock, not by a barring".to_owned()));
    }
    let until = match (is_lift, form.span.trim()) {
        (true, _) => Some(now),
        (false, "") => None,
        (false, span) => {
            let span: Span = span
                .parse()
                .map_err(|_| Refusal::Invalid(format!("for: {span:?} is no time such as 12h or 7d")))?;
            now.checked_add_signed(span.delta())
        }
    };
    let barring = Barring {
        tenant,
        account,
        range,
        calls_per_minute,
        source: LockSource::Admin,
        reason: reason.to_owned(),
        alert: None,
        since: now,
        until,
    };
    shared.desk.store.set_barring(&barring, &user.name, now).await?;
    Ok(barring)
}

/// Whether a form takes something back, or sets it.
fn is_lift(act: &str) -> Result<bool, Refusal> {
    match act {
        "set" => Ok(false),
        "lift" => Ok(true),
        _ => Err(Refusal::Invalid(format!("act: {act:?} is neither set nor lift"))),
    }
}

/// An exception to be made or taken back.
#[derive(Debug, Deserialize)]
pub(crate) struct ExceptionForm {
    pub(crate) account: String,
    /// Name of the rule; empty is every one.
    #[serde(default)]
    pub(crate) rule: String,
    pub(crate) reason: String,
    /// Days; empty: until somebody takes it back.
    #[serde(default)]
    pub(crate) days: String,
    /// `set` or `lift`.
    pub(crate) act: String,
}

/// Has rules leave an account alone, or look at it again.
pub(crate) async fn set_exception(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<ExceptionForm>,
) -> Result<Response, Refusal> {
    change_exception(&shared, &user, &form).await?;
    let account = &form.account;
    Ok(back(&match (form.act.as_str(), form.rule.as_str()) {
        ("lift", _) => format!("{account} is looked at again."),
        (_, "") => format!("Every rule leaves {account} alone."),
        (_, rule) => format!("{rule} leaves {account} alone."),
    }))
}

pub(crate) async fn change_exception(
    shared: &Shared,
    user: &SignedIn,
    form: &ExceptionForm,
) -> Result<(), Refusal> {
    require(user, Right::ChangeRules, "change whom rules look at")?;
    let is_lift = is_lift(&form.act)?;
    let reason = reason_of(&form.reason)?;
    let directory = (shared.desk.directory)();
    let account = account_named(&directory, &form.account)?;
    let now = (shared.desk.clock)().wall;
    let store = &shared.desk.store;
    // One of a rule that is no more can still be taken back.
    if is_lift {
        store.fraud_except_no_more(account, &form.rule, &user.name, reason, now).await?;
        return Ok(());
    }
    let in_force = (shared.desk.rules.in_force)(&directory);
    if !form.rule.is_empty() && in_force.iter().all(|rule| rule.name != form.rule) {
        return Err(Refusal::Invalid(format!("rule: no rule {:?} is in force", form.rule)));
    }
    let until = match form.days.trim() {
        "" => None,
        days => {
            let n_days: Option<u32> = days.parse().ok();
            let n_days =
                n_days.filter(|n_days| (1..=EXCEPTION_DAYS_MAX).contains(n_days)).ok_or_else(|| {
                    Refusal::Invalid(format!("days: {days:?} is no number from 1 to {EXCEPTION_DAYS_MAX}"))
                })?;
            now.checked_add_signed(TimeDelta::days(i64::from(n_days)))
        }
    };
    let exception = FraudException {
        account,
        rule: form.rule.clone(),
        author: user.name.clone(),
        reason: reason.to_owned(),
        since: now,
        until,
    };
    store.fraud_except(&exception).await?;
    Ok(())
}
