//! One alert as a case: all that convinced its rule, what it saved, what people made of it, and what to do.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use model::{AccountId, LockLevel, Verdict};
use serde::Deserialize;
use store::AlertCase;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::fraud_desk::{
    Bar, ExceptionForm, REASON_LETTERS_MAX, at_risk, bars_of, change_exception, change_lock, kill_calls,
    locked_in_words, reason_of, state_of,
};
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::{Right, may_work_on_cases};

/// Earlier cases of the account that are shown.
const EARLIER_MAX: u32 = 10;

#[derive(Template)]
#[template(path = "fraud_case.html")]
struct Page {
    frame: Frame,
    id: String,
    title: String,
    account: String,
    rule: String,
    version: String,
    subject: String,
    tag: String,
    severity: String,
    measures: Vec<(String, String, String)>,
    n_calls: String,
    spent: String,
    at_risk: String,
    saved: String,
    n_stopped: u64,
    lock: String,
    lock_now: String,
    barred: Vec<String>,
    begun: String,
    updated: String,
    state: String,
    is_open: bool,
    is_acknowledged: bool,
    handed: String,
    people: Vec<String>,
    bars: Vec<Bar>,
    course_of: &'static str,
    step_seconds: u32,
    counts: String,
    evidence: Vec<String>,
    notes: Vec<(String, String, String)>,
    earlier: Vec<(String, String, String, String)>,
    verdicts: Vec<&'static str>,
    may_change: bool,
    /// A rule found it, and may leave the account alone.
    may_except: bool,
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    done: String,
}

/// The one case whose id begins so.
pub(crate) async fn case_named(shared: &Shared, id: &str) -> Result<AlertCase, Refusal> {
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let none = || Refusal::NotFound(format!("there is no alert {id}"));
    if !is_id {
        return Err(none());
    }
    let mut named = shared.desk.store.alert_cases_named(&id.to_ascii_lowercase()).await?;
    match (named.pop(), named.len()) {
        (Some(case), 0) => Ok(case),
        (Some(_), _) => Err(Refusal::NotFound(format!("several alerts begin with {id}: give more of it"))),
        (None, _) => Err(none()),
    }
}

/// A case.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
    Query(notice): Query<Notice>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let case = case_named(&shared, &id).await?;
    let alert = &case.alert;
    let (finding, course) = (alert.finding.as_ref(), alert.course());
    let people = if user.role.may(Right::ChangeLocks) { workers(&shared).await? } else { Vec::new() };
    let earlier = if alert.account == AccountId::NOBODY {
        Vec::new()
    } else {
        shared.desk.store.alert_cases_of(alert.account, EARLIER_MAX + 1).await?
    };
    let locks = shared.desk.store.locks().await?;
    let lock_now = locks
        .iter()
        .find(|lock| lock.account == alert.account && lock.until.is_none_or(|until| now < until))
        .map_or(LockLevel::None, |lock| lock.level);
    let money = |amount| model::Money::new(amount, alert.value.currency).round_to_minor().to_string();
    html(&Page {
        frame: Frame::of(&user, "/fraud").noting(Some(notice.done)),
        id: alert.id.to_string(),
        title: finding
            .map_or_else(|| format!("{} of {}", alert.rule, alert.period), |finding| finding.title.clone()),
        account: directory.name_of(alert.account),
        rule: alert.rule.clone(),
        version: finding.map_or_else(String::new, |finding| finding.version.to_string()),
        subject: finding.map_or_else(String::new, |finding| finding.subject.clone()),
        tag: finding.and_then(|finding| finding.tag.clone()).unwrap_or_default(),
        severity: alert.severity.to_string(),
        measures: match finding {
            Some(finding) => finding
                .measures
                .iter()
                .map(|one| (one.measure.clone(), one.value.clone(), one.limit.clone()))
                .collect(),
            None => vec![(
                "spent".to_owned(),
                alert.value.round_to_minor().to_string(),
                alert.limit.round_to_minor().to_string(),
            )],
        },
        n_calls: finding.map_or_else(String::new, |finding| finding.n_calls.to_string()),
        spent: money(alert.value.amount),
        at_risk: money(at_risk(&case)),
        saved: case.saved.round_to_minor().to_string(),
        n_stopped: case.n_stopped,
        lock: alert.lock.to_string(),
        lock_now: lock_now.to_string(),
        barred: finding.map(|finding| finding.barred.clone()).unwrap_or_default(),
        begun: when(case.begun_at),
        updated: if alert.update > 0 {
            format!("{} ({} times)", when(alert.at), alert.update)
        } else {
            String::new()
        },
        state: state_of(&case),
        is_open: case.verdict.is_none(),
        is_acknowledged: case.acknowledged.is_some(),
        handed: case.handed.as_ref().map_or_else(String::new, |handed| {
            format!("{} to {} by {}", when(handed.at), handed.to, handed.by)
        }),
        people,
        bars: course.map(|course| bars_of(course.counts)).unwrap_or_default(),
        course_of: match course.map(|course| course.what) {
            Some("spent") => "Spent, in hundredths",
            Some(_) | None => "Attempts",
        },
        step_seconds: course.map_or(0, |course| course.step_seconds),
        counts: course.map_or_else(String::new, |course| {
            course.counts.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
        }),
        evidence: alert.evidence.iter().map(ToString::to_string).collect(),
        notes: case
            .notes
            .iter()
            .map(|note| (when(note.at), note.author.clone(), note.note.clone()))
            .collect(),
        earlier: earlier
            .iter()
            .filter(|other| other.alert.id != alert.id)
            .map(|other| {
                (other.alert.id.to_string(), when(other.alert.at), other.alert.rule.clone(), state_of(other))
            })
            .collect(),
        verdicts: Verdict::ALL.iter().map(|verdict| verdict.as_str()).collect(),
        may_change: user.role.may(Right::ChangeLocks),
        may_except: finding.is_some() && user.role.may(Right::ChangeRules),
    })
}

/// Who may be handed a case, by login name.
async fn workers(shared: &Shared) -> Result<Vec<String>, Refusal> {
    let users = shared.desk.store.users().await?;
    Ok(users.into_iter().filter(|user| may_work_on_cases(&user.role)).map(|user| user.name).collect())
}

/// Hands a case to a person, with a note if there is one.
pub(crate) async fn hand_over(
    shared: &Shared,
    user: &SignedIn,
    case: &AlertCase,
    to: &str,
    note: &str,
) -> Result<(), Refusal> {
    require(user, Right::ChangeLocks, "work on cases")?;
    if !workers(shared).await?.iter().any(|name| name == to) {
        return Err(Refusal::Invalid(format!("to: nobody who works on cases signs in as {to:?}")));
    }
    let note = if note.trim().is_empty() { None } else { Some(reason_of(note)?) };
    let now = (shared.desk.clock)().wall;
    shared.desk.store.alert_hand_over(case.alert.id, to, note, &user.name, now).await?;
    Ok(())
}

/// What the forms of a case send.
#[derive(Debug, Deserialize)]
pub(crate) struct ActForm {
    /// `lock`, `unlock`, `kill`, `except`, `hand`, `ack`, `note` or a verdict.
    act: String,
    /// Who is to work on it.
    #[serde(default)]
    to: String,
    #[serde(default)]
    reason: String,
}

/// One click on a case.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<String>,
    Form(form): Form<ActForm>,
) -> Result<Response, Refusal> {
    require(&user, Right::ChangeLocks, "work on cases")?;
    let case = case_named(&shared, &id).await?;
    let directory = (shared.desk.directory)();
    let account = directory.name_of(case.alert.account);
    let reason = form.reason.as_str();
    let done = match form.act.as_str() {
        "lock" => {
            let level = change_lock(&shared, &user, &account, "outgoing", reason).await?;
            kill_calls(&shared, &user, &account, reason).await?;
            locked_in_words(&account, level)
        }
        "unlock" => locked_in_words(&account, change_lock(&shared, &user, &account, "none", reason).await?),
        "kill" => {
            kill_calls(&shared, &user, &account, reason).await?;
            format!("Calls of {account} that are up end within a second.")
        }
        "except" => {
            if case.alert.finding.is_none() {
                return Err(Refusal::Invalid(
                    "act: no rule found this: a spend limit is changed at the account".to_owned(),
                ));
            }
            let rule = case.alert.rule.clone();
            let form = ExceptionForm {
                account: account.clone(),
                rule: rule.clone(),
                reason: reason.to_owned(),
                days: String::new(),
                act: "set".to_owned(),
            };
            change_exception(&shared, &user, &form).await?;
            format!("{rule} leaves {account} alone.")
        }
        "hand" => {
            hand_over(&shared, &user, &case, &form.to, reason).await?;
            format!("It is the case of {} now.", form.to)
        }
        _ => settle(&shared, &user, &case, &form.act, reason).await?,
    };
    Ok(Redirect::to(&format!("/fraud/alerts/{}?done={}", case.alert.id, escaped(&done))).into_response())
}

/// Takes a case on, notes something, or says what it was; in words.
pub(crate) async fn settle(
    shared: &Shared,
    user: &SignedIn,
    case: &AlertCase,
    act: &str,
    text: &str,
) -> Result<String, Refusal> {
    require(user, Right::ChangeLocks, "work on cases")?;
    if text.len() > REASON_LETTERS_MAX {
        return Err(Refusal::Invalid(format!("note: say it in at most {REASON_LETTERS_MAX} letters")));
    }
    let now = (shared.desk.clock)().wall;
    let (store, id) = (&shared.desk.store, case.alert.id);
    match act {
        "ack" => {
            store.alert_acknowledge(id, &user.name, now).await?;
            Ok("Taken on.".to_owned())
        }
        "note" => {
            store.alert_note(id, reason_of(text)?, &user.name, now).await?;
            Ok("Noted.".to_owned())
        }
        verdict => {
            let verdict: Verdict =
                verdict.parse().map_err(|why: model::UnknownWord| Refusal::Invalid(format!("act: {why}")))?;
            let note = if text.trim().is_empty() { None } else { Some(reason_of(text)?) };
            store.alert_judge(id, verdict, note, &user.name, now).await?;
            Ok(format!("Found to be {verdict}."))
        }
    }
}
