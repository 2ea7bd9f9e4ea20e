//! Alerts, locks, barrings, exceptions, rules.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use model::Directory;
use serde::{Deserialize, Serialize};
use store::{AlertCase, CaseFilter};

use crate::Shared;
use crate::api::balances::OfTenant;
use crate::api::{Body, Page, Path, Query, instant};
use crate::guard::SignedIn;
use crate::pages::fraud_case::{case_named, hand_over, settle};
use crate::pages::fraud_desk::{
    ALERTS_MAX, BarringForm, ExceptionForm, change_barring, change_exception, change_lock, kill_calls,
};
use crate::pages::fraud_rules;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// An alert.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct AlertItem {
    id: String,
    at: String,
    /// Handle, or `tenant:handle` where several tenants have one.
    account: String,
    rule: String,
    /// Of the rule; absent for a spend limit.
    version: Option<u32>,
    /// What it means, in a sentence; absent for a spend limit.
    title: Option<String>,
    /// The rule's own mark.
    tag: Option<String>,
    period: String,
    /// warning or breach.
    severity: String,
    /// What it came to.
    value: String,
    /// What was allowed.
    limit: String,
    currency: String,
    /// What an hour more would cost; absent for a spend limit of an earlier version.
    at_risk: Option<String>,
    /// Calls that were refused or cut because of it.
    n_stopped: u64,
    /// What those are reckoned to have cost.
    saved: String,
    /// The lock that followed.
    lock: String,
    /// What was measured, each with its value and what it may be.
    measured: Vec<MeasuredItem>,
    /// Attempts over the window, oldest first.
    attempts: Vec<u32>,
    /// Seconds of one of these.
    attempts_step_seconds: u32,
    /// Of a spend limit: spent by hour, in hundredths of the currency's unit, oldest first.
    spent_by_hour: Vec<u32>,
    /// Login name of the person whose case it is.
    handed_to: Option<String>,
    /// Who has taken it on.
    acknowledged_by: Option<String>,
    /// fraud, clean or unsure; absent until somebody said.
    verdict: Option<String>,
    /// CDRs behind it, dearest first.
    evidence: Vec<String>,
}

/// A measured value.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct MeasuredItem {
    measure: String,
    value: String,
    limit: String,
}

fn item_of(case: AlertCase, directory: &Directory) -> AlertItem {
    let alert = case.alert;
    let at_risk = alert.at_risk().map(|at_risk| at_risk.amount.to_string());
    let finding = alert.finding;
    AlertItem {
        id: alert.id.to_string(),
        at: instant(alert.at),
        account: directory.name_of(alert.account),
        rule: alert.rule,
        version: finding.as_ref().map(|finding| finding.version),
        title: finding.as_ref().map(|finding| finding.title.clone()),
        tag: finding.as_ref().and_then(|finding| finding.tag.clone()),
        period: alert.period,
        severity: alert.severity.to_string(),
        currency: alert.value.currency.to_string(),
        value: alert.value.amount.to_string(),
        limit: alert.limit.amount.to_string(),
        at_risk,
        n_stopped: case.n_stopped,
        saved: case.saved.amount.to_string(),
        lock: alert.lock.to_string(),
        attempts: finding.as_ref().map(|finding| finding.sparkline.clone()).unwrap_or_default(),
        attempts_step_seconds: finding.as_ref().map_or(0, |finding| finding.sparkline_step_seconds),
        measured: finding
            .into_iter()
            .flat_map(|finding| finding.measures)
            .map(|one| MeasuredItem { measure: one.measure, value: one.value, limit: one.limit })
            .collect(),
        spent_by_hour: alert.spending.map(|spending| spending.by_hour).unwrap_or_default(),
        handed_to: case.handed.map(|handed| handed.to),
        acknowledged_by: case.acknowledged.map(|(who, _)| who),
        verdict: case.verdict.map(|(verdict, _, _)| verdict.to_string()),
        evidence: alert.evidence.iter().map(ToString::to_string).collect(),
    }
}

/// What an account is called by its handle and, if it is given, its tenant's.
fn named(handle: &str, tenant: Option<&str>) -> String {
    tenant.map_or_else(|| handle.to_owned(), |tenant| format!("{tenant}:{handle}"))
}

/// A list that is short enough for one page.
fn whole<T, I>(all: impl IntoIterator<Item = T>, item: impl FnMut(T) -> I) -> Json<Page<I>> {
    Json(Page { items: all.into_iter().map(item).collect(), next: None })
}

/// Which alerts.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct WantedAlerts {
    open: bool,
    handed_to: Option<String>,
}

/// The latest alerts, newest first; 200 at most.
#[utoipa::path(get, path = "/api/v1/alerts", tag = "fraud", params(
    ("open" = Option<bool>, Query, description = "only those without a verdict"),
    ("handed_to" = Option<String>, Query, description = "only those that this person was handed"),
), responses(
    (status = 200, description = "alerts", body = Page<AlertItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn alerts(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(wanted): Query<WantedAlerts>,
) -> Result<Json<Page<AlertItem>>, Problem> {
    require(&user, Right::FraudDesk, "see alerts")?;
    let directory = (shared.desk.directory)();
    let filter = CaseFilter { only_open: wanted.open, handed_to: wanted.handed_to.as_deref() };
    let cases = shared.desk.store.alert_cases(filter, ALERTS_MAX).await?;
    Ok(whole(cases, |case| item_of(case, &directory)))
}

/// One alert.
#[utoipa::path(get, path = "/api/v1/alerts/{id}", tag = "fraud", params(
    ("id" = String, Path, description = "its id, or the beginning of it"),
), responses(
    (status = 200, description = "the alert", body = AlertItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn alert(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
) -> Result<Json<AlertItem>, Problem> {
    require(&user, Right::FraudDesk, "see alerts")?;
    let directory = (shared.desk.directory)();
    Ok(Json(item_of(case_named(&shared, &id).await?, &directory)))
}

/// What becomes of an alert.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewVerdict {
    /// ack takes it on, note keeps a note; fraud, clean and unsure are verdicts.
    #[schema(pattern = "^(ack|note|fraud|clean|unsure)$")]
    act: String,
    /// Kept with the alert.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

/// Takes an alert on, notes something, or says what it was.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/verdict", tag = "fraud", params(
    ("id" = String, Path, description = "its id, or the beginning of it"),
), request_body = NewVerdict, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn judge(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
    Body(wanted): Body<NewVerdict>,
) -> Result<StatusCode, Problem> {
    require(&user, Right::ChangeLocks, "work on cases")?;
    let case = case_named(&shared, &id).await?;
    settle(&shared, &user, &case, &wanted.act, &wanted.note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Who is to work on an alert.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewHandOver {
    /// Login name of a person who works on cases.
    #[schema(min_length = 1)]
    to: String,
    /// Kept with the alert, and written to the person.
    #[serde(default)]
    #[schema(max_length = 500)]
    note: String,
}

/// Hands an alert as a case to a person, who is written to if an address is known.
#[utoipa::path(post, path = "/api/v1/alerts/{id}/hand-over", tag = "fraud", params(
    ("id" = String, Path, description = "its id, or the beginning of it"),
), request_body = NewHandOver, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn hand(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
    Body(wanted): Body<NewHandOver>,
) -> Result<StatusCode, Problem> {
    require(&user, Right::ChangeLocks, "work on cases")?;
    let case = case_named(&shared, &id).await?;
    hand_over(&shared, &user, &case, &wanted.to, &wanted.note).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A lock in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct LockItem {
    /// Handle, or `tenant:handle` where several tenants have one.
    account: String,
    /// foreign, outgoing, all, global or ported.
    level: String,
    /// fraud, admin, dunning or package.
    source: String,
    reason: String,
    since: String,
    /// When it ends by itself; absent if it is lifted by hand.
    until: Option<String>,
}

/// Locks in force.
#[utoipa::path(get, path = "/api/v1/locks", tag = "fraud", responses(
    (status = 200, description = "locks", body = Page<LockItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn locks(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<LockItem>>, Problem> {
    require(&user, Right::FraudDesk, "see locks")?;
    let directory = (shared.desk.directory)();
    Ok(whole(shared.desk.store.locks().await?, |lock| LockItem {
        account: directory.name_of(lock.account),
        level: lock.level.to_string(),
        source: lock.source.to_string(),
        reason: lock.reason,
        since: instant(lock.since),
        until: lock.until.map(instant),
    }))
}

/// The lock to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewLock {
    /// none, foreign, outgoing, all, global or ported; `none` unlocks.
    #[schema(pattern = "^(none|foreign|outgoing|all|global|ported)$")]
    level: String,
    /// Why; kept in the trail of changes.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// Locks or unlocks an account; the switch acts on it within a second. The same again changes nothing but the reason.
#[utoipa::path(put, path = "/api/v1/accounts/{handle}/lock", tag = "fraud", params(
    ("handle" = String, Path, description = "the account's handle"), OfTenant,
), request_body = NewLock, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_lock(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(OfTenant { tenant }): Query<OfTenant>,
    Body(wanted): Body<NewLock>,
) -> Result<StatusCode, Problem> {
    let name = named(&handle, tenant.as_deref());
    change_lock(&shared, &user, &name, &wanted.level, &wanted.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Why.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Why {
    /// Kept in the trail of changes.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// Ends the calls of an account that are up, within a second; new ones go through.
#[utoipa::path(post, path = "/api/v1/accounts/{handle}/kill", tag = "fraud", params(
    ("handle" = String, Path, description = "the account's handle"), OfTenant,
), request_body = Why, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn kill(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(handle): Path<String>,
    Query(OfTenant { tenant }): Query<OfTenant>,
    Body(why): Body<Why>,
) -> Result<StatusCode, Problem> {
    kill_calls(&shared, &user, &named(&handle, tenant.as_deref()), &why.reason).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A barring in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BarringItem {
    /// Whom; absent: everybody of the tenant.
    account: Option<String>,
    tenant: i64,
    /// What the numbers begin with; empty: every number.
    range: String,
    /// Calls a minute that get through.
    calls_per_minute: u32,
    /// fraud, admin, dunning or package.
    source: String,
    reason: String,
    since: String,
    /// When it ends by itself; absent if it is lifted by hand.
    until: Option<String>,
}

/// Barrings in force.
#[utoipa::path(get, path = "/api/v1/barrings", tag = "fraud", responses(
    (status = 200, description = "barrings", body = Page<BarringItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn barrings(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<BarringItem>>, Problem> {
    require(&user, Right::FraudDesk, "see barrings")?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let all = shared.desk.store.barrings().await?;
    let in_force = all.into_iter().filter(|barring| barring.is_in_force(now));
    Ok(whole(in_force, |barring| BarringItem {
        account: Some(directory.name_of(barring.account)).filter(|handle| !handle.is_empty()),
        tenant: barring.tenant.0,
        range: barring.range,
        calls_per_minute: barring.calls_per_minute,
        source: barring.source.to_string(),
        reason: barring.reason,
        since: instant(barring.since),
        until: barring.until.map(instant),
    }))
}

/// The barring to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBarring {
    /// Whom, by handle, or `tenant:handle` where several tenants have one; absent: everybody of the tenant.
    account: Option<String>,
    /// Whose everybody; absent: of the only tenant.
    tenant: Option<i64>,
    /// What the numbers begin with, in international form without +.
    #[schema(pattern = "^[1-9][0-9]{0,14}$")]
    range: String,
    /// Calls a minute that get through; absent: none.
    calls_per_minute: Option<u32>,
    /// For how long, such as 12h or 7d; absent: until somebody lifts it.
    #[serde(rename = "for")]
    #[schema(pattern = "^[1-9][0-9]{0,3}[smhd]$")]
    span: Option<String>,
    /// Lift it instead.
    #[serde(default)]
    lift: bool,
    /// Kept in the trail of changes.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// Bars calls to a range of numbers, or lifts that; the switch acts on it within a second.
#[utoipa::path(put, path = "/api/v1/barrings", tag = "fraud", request_body = NewBarring, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_barring(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<NewBarring>,
) -> Result<StatusCode, Problem> {
    let form = BarringForm {
        account: wanted.account.unwrap_or_default(),
        tenant: wanted.tenant,
        range: wanted.range,
        calls_per_minute: wanted.calls_per_minute.map(|n_calls| n_calls.to_string()).unwrap_or_default(),
        span: wanted.span.unwrap_or_default(),
        reason: wanted.reason,
        act: if wanted.lift { "lift" } else { "set" }.to_owned(),
    };
    change_barring(&shared, &user, &form).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An account that rules leave alone.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ExceptionItem {
    /// Handle, or `tenant:handle` where several tenants have one.
    account: String,
    /// Which rule; empty: every one.
    rule: String,
    author: String,
    reason: String,
    since: String,
    until: Option<String>,
}

/// Accounts that rules leave alone.
#[utoipa::path(get, path = "/api/v1/fraud/exceptions", tag = "fraud", responses(
    (status = 200, description = "exceptions", body = Page<ExceptionItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn exceptions(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<ExceptionItem>>, Problem> {
    require(&user, Right::FraudDesk, "see exceptions")?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let exceptions = shared.desk.store.fraud_exceptions().await?;
    let in_force = exceptions.into_iter().filter(|one| one.until.is_none_or(|until| now < until));
    Ok(whole(in_force, |one| ExceptionItem {
        account: directory.name_of(one.account),
        rule: one.rule,
        author: one.author,
        reason: one.reason,
        since: instant(one.since),
        until: one.until.map(instant),
    }))
}

/// The exception to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewException {
    /// Handle, or `tenant:handle` where several tenants have one.
    account: String,
    /// Which rule; absent: every one.
    rule: Option<String>,
    /// For so many days; absent: until somebody takes it back.
    #[schema(minimum = 1, maximum = 3650)]
    days: Option<u32>,
    /// Take it back instead.
    #[serde(default)]
    lift: bool,
    /// Kept in the trail of changes.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// Has rules leave an account alone, or look at it again.
#[utoipa::path(put, path = "/api/v1/fraud/exceptions", tag = "fraud", request_body = NewException, responses(
    (status = 204, description = "done"),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_exception(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<NewException>,
) -> Result<StatusCode, Problem> {
    let form = ExceptionForm {
        account: wanted.account,
        rule: wanted.rule.unwrap_or_default(),
        reason: wanted.reason,
        days: wanted.days.map(|days| days.to_string()).unwrap_or_default(),
        act: if wanted.lift { "lift" } else { "set" }.to_owned(),
    };
    change_exception(&shared, &user, &form).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A rule in force.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct RuleItem {
    name: String,
    version: u32,
    title: String,
    /// For whom it counts.
    key: String,
    window: String,
    /// What it does, in words.
    does: String,
    /// It was saved here, and is not configured or delivered.
    saved: bool,
    n_alerts: u64,
    /// Fraud in its alerts that were judged one way or the other, percent.
    precision_percent: Option<u64>,
}

/// The rules in force.
#[utoipa::path(get, path = "/api/v1/fraud/rules", tag = "fraud", responses(
    (status = 200, description = "rules", body = Page<RuleItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn rules(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<Page<RuleItem>>, Problem> {
    require(&user, Right::FraudDesk, "see fraud rules")?;
    let directory = (shared.desk.directory)();
    let record = shared.desk.store.alert_record().await?;
    Ok(whole((shared.desk.rules.in_force)(&directory), |rule| {
        let known = record.iter().find(|known| known.rule == rule.name);
        RuleItem {
            n_alerts: known.map_or(0, |known| known.n_alerts),
            precision_percent: known.and_then(store::RuleRecord::precision_percent),
            name: rule.name,
            version: rule.version,
            title: rule.title,
            key: rule.key,
            window: rule.window,
            does: rule.does,
            saved: rule.is_saved,
        }
    }))
}

/// A version of a rule that was saved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VersionItem {
    version: u32,
    /// TOML.
    text: String,
    /// Whether it is looked by.
    on: bool,
    author: String,
    reason: String,
    at: String,
}

/// The versions of a rule that were saved, oldest first.
#[utoipa::path(get, path = "/api/v1/fraud/rules/{name}", tag = "fraud", params(
    ("name" = String, Path, description = "the rule's name"),
), responses(
    (status = 200, description = "versions", body = Page<VersionItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn versions(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
) -> Result<Json<Page<VersionItem>>, Problem> {
    require(&user, Right::FraudDesk, "see fraud rules")?;
    let versions = shared.desk.store.fraud_rule_versions(Some(&name)).await?;
    Ok(whole(versions, |rule| VersionItem {
        version: rule.version,
        text: rule.text,
        on: rule.is_on,
        author: rule.author,
        reason: rule.reason,
        at: instant(rule.at),
    }))
}

/// The version to be.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    /// One `[[rule]]` in TOML, of the name in the path.
    #[schema(max_length = 20000)]
    text: String,
    /// Save it switched off: no rule of its name is looked by.
    #[serde(default)]
    off: bool,
    /// Kept with the version.
    #[schema(min_length = 1, max_length = 500, pattern = "\\S")]
    reason: String,
}

/// A version that was saved.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SavedRule {
    version: u32,
}

/// Saves a rule as its next version; every process looks by it within a second.
#[utoipa::path(put, path = "/api/v1/fraud/rules/{name}", tag = "fraud", params(
    ("name" = String, Path, description = "the rule's name"),
), request_body = NewRule, responses(
    (status = 200, description = "saved", body = SavedRule),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn put_rule(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(name): Path<String>,
    Body(wanted): Body<NewRule>,
) -> Result<Json<SavedRule>, Problem> {
    require(&user, Right::ChangeRules, "change rules")?;
    let checked = fraud_rules::check(&shared, &wanted.text)?;
    if checked.name != name {
        return Err(Refusal::Invalid(format!("text: it is the rule {:?}, not {name:?}", checked.name)).into());
    }
    let saved = fraud_rules::save(&shared, &user, &wanted.text, &wanted.reason, !wanted.off).await?;
    Ok(Json(SavedRule { version: saved.version }))
}

/// A text that may be a rule.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RuleText {
    /// TOML.
    #[schema(max_length = 20000)]
    text: String,
}

/// What a text would be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct CheckedItem {
    name: String,
    version: u32,
    /// What it does, in words.
    does: String,
}

/// Checks a rule and saves nothing; what is wrong is told with line and remedy.
#[utoipa::path(post, path = "/api/v1/fraud/check", tag = "fraud", request_body = RuleText, responses(
    (status = 200, description = "it is a rule", body = CheckedItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn check_rule(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<RuleText>,
) -> Result<Json<CheckedItem>, Problem> {
    require(&user, Right::FraudDesk, "see fraud rules")?;
    let checked = fraud_rules::check(&shared, &wanted.text)?;
    Ok(Json(CheckedItem { name: checked.name, version: checked.version, does: checked.does }))
}

/// A rule and days to try it on.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBacktest {
    /// TOML.
    #[schema(max_length = 20000)]
    text: String,
    /// First day, UTC.
    #[schema(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    from: String,
    /// Last day.
    #[schema(pattern = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
    to: String,
}

/// What a rule would have done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BacktestItem {
    n_calls: u64,
    n_incidents: usize,
    n_locks: usize,
    /// Locks of accounts whose alerts were judged clean.
    n_false_locks: usize,
    /// Calls that would have been refused or cut.
    n_blocked: u64,
    /// What those cost.
    saved: String,
}

/// Tries a rule on stored calls.
#[utoipa::path(post, path = "/api/v1/fraud/backtest", tag = "fraud", request_body = NewBacktest, responses(
    (status = 200, description = "what it would have done", body = BacktestItem),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn backtest_rule(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(wanted): Body<NewBacktest>,
) -> Result<Json<BacktestItem>, Problem> {
    require(&user, Right::FraudDesk, "try fraud rules")?;
    let outcome = fraud_rules::backtest(&shared, &wanted.text, &wanted.from, &wanted.to).await?;
    Ok(Json(BacktestItem {
        n_calls: outcome.n_calls,
        n_incidents: outcome.n_incidents,
        n_locks: outcome.n_locks,
        n_false_locks: outcome.n_false,
        n_blocked: outcome.n_blocked,
        saved: outcome.saved,
    }))
}
