//! Rules: which are in force and how often each was right; one as text, checked, tried on stored calls, and saved as a new version.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::{Datelike, NaiveDate};
use model::FraudRule;
use serde::Deserialize;

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::fraud_desk::reason_of;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;
use crate::rule_desk::{BacktestOutcome, CheckedRule};

/// Letters of a rule.
const TEXT_LETTERS_MAX: usize = 20_000;

/// Days that a rule is tried on.
const DAYS_MAX: i64 = 92;

/// Years whose days may be given: further out there are no calls, and dates cannot be reckoned with.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

/// Rows of an outcome that are shown.
const ROWS_MAX: usize = 100;

/// What a new rule begins as.
const SAMPLE: &str = "[[rule]]
name = \"night-burst\"
version = 1
title = \"Dear calls at night\"
key = \"account\"
window = \"1h\"
where = { flow = \"outgoing\", off_hours = true, rate_min = \"0.50\" }
when = [{ measure = \"concurrent\", at_least = 4 }]
cool_down = \"6h\"
";

#[derive(Template)]
#[template(path = "fraud_rules.html")]
struct ListPage {
    frame: Frame,
    rules: Vec<RuleRow>,
    versions: Vec<VersionRow>,
    may_change: bool,
}

struct RuleRow {
    name: String,
    version: u32,
    title: String,
    key: String,
    window: String,
    does: String,
    from: &'static str,
    n_alerts: u64,
    right: String,
}

struct VersionRow {
    name: String,
    version: u32,
    at: String,
    author: String,
    state: &'static str,
    reason: String,
}

/// What the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Notice {
    done: String,
}

/// The rules in force, and every version that was saved.
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(notice): Query<Notice>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let directory = (shared.desk.directory)();
    let record = shared.desk.store.alert_record().await?;
    let versions = shared.desk.store.fraud_rule_versions(None).await?;
    let rules = (shared.desk.rules.in_force)(&directory).into_iter().map(|rule| {
        let known = record.iter().find(|known| known.rule == rule.name);
        RuleRow {
            n_alerts: known.map_or(0, |known| known.n_alerts),
            right: known
                .and_then(store::RuleRecord::precision_percent)
                .map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
            from: if rule.is_saved { "saved" } else { "configured" },
            name: rule.name,
            version: rule.version,
            title: rule.title,
            key: rule.key,
            window: rule.window,
            does: rule.does,
        }
    });
    html(&ListPage {
        frame: Frame::of(&user, "/fraud").noting(Some(notice.done)),
        rules: rules.collect(),
        versions: versions
            .into_iter()
            .rev()
            .map(|rule| VersionRow {
                name: rule.name,
                version: rule.version,
                at: when(rule.at),
                author: rule.author,
                state: if rule.is_on { "on" } else { "off" },
                reason: rule.reason,
            })
            .collect(),
        may_change: user.role.may(Right::ChangeRules),
    })
}

#[derive(Template)]
#[template(path = "fraud_rule.html")]
struct EditPage {
    frame: Frame,
    text: String,
    fault: String,
    checked: String,
    from: String,
    to: String,
    reason: String,
    outcome: Option<OutcomeView>,
    may_change: bool,
}

struct OutcomeView {
    said: String,
    incidents: Vec<(String, String, String)>,
    locks: Vec<(String, String, u64, String)>,
}

/// Which rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Wanted {
    name: String,
    version: Option<u32>,
}

/// A rule as text.
pub(crate) async fn edit(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let directory = (shared.desk.directory)();
    let text = match (wanted.name.as_str(), wanted.version) {
        ("", _) => Some(SAMPLE.to_owned()),
        (name, Some(version)) => shared
            .desk
            .store
            .fraud_rule_versions(Some(name))
            .await?
            .into_iter()
            .find(|rule| rule.version == version)
            .map(|rule| rule.text),
        (name, None) => (shared.desk.rules.text_of)(&directory, name),
    };
    let text = text.ok_or_else(|| Refusal::NotFound(format!("there is no rule {}", wanted.name)))?;
    html(&edit_page(&shared, &user, text))
}

fn edit_page(shared: &Shared, user: &SignedIn, text: String) -> EditPage {
    let today = (shared.desk.clock)().wall.date_naive();
    EditPage {
        frame: Frame::of(user, "/fraud"),
        text,
        fault: String::new(),
        checked: String::new(),
        from: (today - chrono::TimeDelta::days(7)).to_string(),
        to: today.to_string(),
        reason: String::new(),
        outcome: None,
        may_change: user.role.may(Right::ChangeRules),
    }
}

/// What the editor sends.
#[derive(Debug, Deserialize)]
pub(crate) struct EditForm {
    text: String,
    /// `check`, `backtest`, `save` or `off`.
    act: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    to: String,
    #[serde(default)]
    reason: String,
}

/// Checks, tries or saves a text. What is wrong with it is told beside it.
pub(crate) async fn submit(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(form): Form<EditForm>,
) -> Result<Response, Refusal> {
    require(&user, Right::FraudDesk, "see the fraud desk")?;
    let mut page = edit_page(&shared, &user, form.text.clone());
    page.from = form.from.clone();
    page.to = form.to.clone();
    page.reason = form.reason.clone();
    let checked = match check(&shared, &form.text) {
        Ok(checked) => checked,
        Err(Refusal::Invalid(why)) => {
            page.fault = why;
            return html(&page);
        }
        Err(why) => return Err(why),
    };
    page.checked = format!("{} is a rule: {}", checked.name, checked.does);
    match form.act.as_str() {
        "save" | "off" => match save(&shared, &user, &form.text, &form.reason, form.act == "save").await {
            Ok(saved) => {
                let done =
                    format!("{} version {} is saved; it counts within a second.", saved.name, saved.version);
                Ok(Redirect::to(&format!("/fraud/rules?done={}", escaped(&done))).into_response())
            }
            Err(Refusal::Invalid(why) | Refusal::Conflict(why)) => {
                page.fault = why;
                html(&page)
            }
            Err(why) => Err(why),
        },
        "backtest" => {
            match backtest(&shared, &form.text, &form.from, &form.to).await {
                Ok(outcome) => page.outcome = Some(view_of(outcome)),
                Err(Refusal::Invalid(why)) => page.fault = why,
                Err(why) => return Err(why),
            }
            html(&page)
        }
        _ => html(&page),
    }
}

fn view_of(mut outcome: BacktestOutcome) -> OutcomeView {
    let said = format!(
        "{} calls: {} incidents, {} locks, {} of them of accounts judged clean; {} calls would have been refused or cut, which cost {}",
        outcome.n_calls,
        outcome.n_incidents,
        outcome.n_locks,
        outcome.n_false,
        outcome.n_blocked,
        outcome.saved
    );
    outcome.incidents.truncate(ROWS_MAX);
    outcome.locks.truncate(ROWS_MAX);
    OutcomeView { said, incidents: outcome.incidents, locks: outcome.locks }
}

pub(crate) fn check(shared: &Shared, text: &str) -> Result<CheckedRule, Refusal> {
    if text.len() > TEXT_LETTERS_MAX {
        return Err(Refusal::Invalid(format!("text: a rule has at most {TEXT_LETTERS_MAX} letters")));
    }
    (shared.desk.rules.check)(text).map_err(Refusal::Invalid)
}

/// Saves a text as the next version of its rule.
pub(crate) async fn save(
    shared: &Shared,
    user: &SignedIn,
    text: &str,
    reason: &str,
    is_on: bool,
) -> Result<FraudRule, Refusal> {
    require(user, Right::ChangeRules, "change rules")?;
    let reason = reason_of(reason)?;
    let checked = check(shared, text)?;
    let there = shared.desk.store.fraud_rule_versions(Some(&checked.name)).await?;
    let last = there.last().map_or(0, |rule| rule.version);
    let rule = FraudRule {
        name: checked.name,
        version: checked.version.max(last.saturating_add(1)),
        text: text.to_owned(),
        is_on,
        author: user.name.clone(),
        reason: reason.to_owned(),
        at: (shared.desk.clock)().wall,
    };
    match shared.desk.store.fraud_rule_save(&rule).await {
        Ok(()) => Ok(rule),
        Err(store::StoreError::Taken { .. }) => Err(Refusal::Conflict(
            "somebody saved this rule a moment ago: look at that version first".to_owned(),
        )),
        Err(why) => Err(why.into()),
    }
}

/// Runs a text over the calls of some days.
pub(crate) async fn backtest(
    shared: &Shared,
    text: &str,
    from: &str,
    to: &str,
) -> Result<BacktestOutcome, Refusal> {
    let day = |what: &str, text: &str| {
        text.parse::<NaiveDate>().ok().filter(|day| YEARS.contains(&day.year())).ok_or_else(|| {
            Refusal::Invalid(format!(
                "{what}: {text:?} is no day such as 2026-10-05, from {} to {}",
                YEARS.start(),
                YEARS.end()
            ))
        })
    };
    let (from, to) = (day("from", from)?, day("to", to)?);
    let n_days = (to - from).num_days();
    if !(0..DAYS_MAX).contains(&n_days) {
        return Err(Refusal::Invalid(format!("to: choose 1 to {DAYS_MAX} days")));
    }
    check(shared, text)?;
    // One at a time: it takes every core but one.
    let Ok(_turn) = shared.backtests.try_acquire() else {
        return Err(Refusal::Invalid("somebody else tries a rule at the moment; try again".to_owned()));
    };
    (shared.desk.rules.backtest)(text.to_owned(), from, to).await.map_err(Refusal::Invalid)
}
