//! Alerts as cases, on the command line: listed, shown with their evidence, taken on, judged.

use model::{AccountId, AlertSeverity, Directory, LockLevel, Verdict};
use store::{AlertCase, CaseFilter, Store, StoreError};

use super::fraud::local;
use super::import::COMMAND_LINE;
use super::print_table;
use crate::clock::Clock;
use crate::failure::UserError;

/// Alerts listed at once.
const ALERTS_MAX: u32 = 100;

/// Digits of an id shown in lists; with them alerts are told apart.
const ID_DIGITS: usize = 12;

/// Levels of a sparkline, lowest first.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) async fn list(
    store: &Store,
    directory: &Directory,
    only_open: bool,
    of: Option<&str>,
) -> anyhow::Result<()> {
    let cases = store.alert_cases(CaseFilter { only_open, handed_to: of }, ALERTS_MAX).await?;
    print_table(
        &["alert", "at", "account", "rule", "mark", "period", "limit", "came to", "lock", "saved", "state"],
        cases.iter().map(|case| {
            let alert = &case.alert;
            vec![
                short(case),
                local(directory, alert.account, alert.at),
                directory.name_of(alert.account),
                alert.rule.clone(),
                alert.finding.as_ref().and_then(|finding| finding.tag.clone()).unwrap_or_default(),
                alert.period.clone(),
                alert.finding.as_ref().and_then(|finding| finding.measures.first()).map_or_else(
                    || alert.limit.to_string(),
                    |measured| format!("{} {}", measured.measure, measured.limit),
                ),
                alert
                    .finding
                    .as_ref()
                    .and_then(|finding| finding.measures.first())
                    .map_or_else(|| alert.value.to_string(), |measured| measured.value.clone()),
                match alert.severity {
                    AlertSeverity::Warning => "warning only".to_owned(),
                    AlertSeverity::Breach => alert.lock.to_string(),
                },
                if case.n_stopped > 0 { case.saved.round_to_minor().to_string() } else { String::new() },
                state(case),
            ]
        }),
        if only_open { "no open alerts; `--all` lists those with a verdict too" } else { "no alerts" },
    );
    Ok(())
}

pub(super) async fn show(store: &Store, directory: &Directory, id: &str) -> anyhow::Result<()> {
    let case = case_named(store, id).await?;
    let alert = &case.alert;
    let at = |time| local(directory, alert.account, time);
    let who = if alert.account == AccountId::NOBODY {
        "nobody in particular".to_owned()
    } else {
        directory.name_of(alert.account)
    };
    println!("alert         {}", alert.id);
    println!("account       {who}");
    match &alert.finding {
        None => {
            println!("rule          {} of {}", alert.rule, alert.period);
            println!("limit         {}", alert.limit);
            println!("came to       {}", alert.value);
            if let Some(spending) = &alert.spending {
                println!("at risk       {} in the next hour", spending.at_risk);
                println!("spent         {}  (an hour each)", sparkline(&spending.by_hour));
            }
        }
        Some(finding) => {
            println!("rule          {}, version {}: {}", alert.rule, finding.version, finding.title);
            println!("seen at       {}", finding.subject);
            for measured in &finding.measures {
                println!(
                    "measured      {} {}, fires at {}",
                    measured.measure, measured.value, measured.limit
                );
            }
            println!("calls         {} in the window", finding.n_calls);
            println!("spent         {} in the window, estimated", alert.value);
            if !finding.barred.is_empty() {
                println!("barred        {}", finding.barred.join(", "));
            }
            println!("at risk       {} in the next hour", finding.at_risk);
            println!(
                "attempts      {}  ({} s each)",
                sparkline(&finding.sparkline),
                finding.sparkline_step_seconds
            );
        }
    }
    if let Some(tag) = alert.finding.as_ref().and_then(|finding| finding.tag.as_ref()) {
        println!("marked        {tag}");
    }
    if case.n_stopped > 0 {
        println!("saved         {} by {} calls refused or cut, reckoned low", case.saved, case.n_stopped);
    }
    match (alert.severity, alert.lock) {
        (AlertSeverity::Warning, _) => println!("so far        a warning"),
        (AlertSeverity::Breach, LockLevel::None) => println!("lock          none"),
        (AlertSeverity::Breach, level) => println!("lock          {level}"),
    }
    println!("begun         {}", at(case.begun_at));
    if alert.update > 0 {
        println!("updated       {} ({} times)", at(alert.at), alert.update);
    }
    println!("state         {}", state(&case));
    if let Some(handed) = &case.handed {
        println!("handed        {} to {} by {}", at(handed.at), handed.to, handed.by);
    }
    for note in &case.notes {
        println!("note          {} {}: {}", at(note.at), note.author, note.note);
    }
    for cdr in &alert.evidence {
        println!("call          tollbook explain {cdr}");
    }
    Ok(())
}

pub(super) async fn acknowledge(store: &Store, id: &str) -> anyhow::Result<()> {
    let case = case_named(store, id).await?;
    if let Some((who, _)) = &case.acknowledged {
        println!("{} was taken on by {who} before", short(&case));
        return Ok(());
    }
    store.alert_acknowledge(case.alert.id, COMMAND_LINE, Clock::start().utc()).await?;
    println!("{} is taken on", short(&case));
    Ok(())
}

pub(super) async fn hand_over(store: &Store, id: &str, to: &str, note: Option<&str>) -> anyhow::Result<()> {
    let case = case_named(store, id).await?;
    let remedy = "`tollbook user list` has those who may work on cases";
    let person = store.user_by_name(to).await?;
    let person = person.ok_or_else(|| UserError::new(format!("--to: nobody signs in as {to:?}"), remedy))?;
    if !web::may_work_on_cases(&person.role) {
        let role = &person.role;
        return Err(UserError::new(format!("--to: {to} is {role}, who works on no cases"), remedy).into());
    }
    match store.alert_hand_over(case.alert.id, to, note, COMMAND_LINE, Clock::start().utc()).await {
        Ok(()) => {}
        // Gone since.
        Err(StoreError::NotFound { what, name }) => {
            return Err(UserError::new(format!("there is no {what} {name}"), remedy).into());
        }
        Err(why) => return Err(why.into()),
    }
    let told = if person.mail.is_some() { "a mail is on its way" } else { "no address is known to write to" };
    println!("{} is {to}'s case; {told}", short(&case));
    Ok(())
}

pub(super) async fn judge(store: &Store, id: &str, verdict: &str, note: Option<&str>) -> anyhow::Result<()> {
    let verdict: Verdict = verdict
        .parse()
        .map_err(|why: model::UnknownWord| UserError::new(format!("the verdict {why}"), ""))?;
    let case = case_named(store, id).await?;
    store.alert_judge(case.alert.id, verdict, note, COMMAND_LINE, Clock::start().utc()).await?;
    println!("{} was found to be {verdict}", short(&case));
    if verdict == Verdict::Clean && case.alert.lock != LockLevel::None {
        println!("a verdict lifts no lock; `tollbook fraud locks` shows what is still locked");
    }
    Ok(())
}

pub(super) async fn note(store: &Store, id: &str, text: &str) -> anyhow::Result<()> {
    let case = case_named(store, id).await?;
    store.alert_note(case.alert.id, text, COMMAND_LINE, Clock::start().utc()).await?;
    println!("noted with {}", short(&case));
    Ok(())
}

pub(super) async fn record(store: &Store) -> anyhow::Result<()> {
    let record = store.alert_record().await?;
    print_table(
        &["rule", "alerts", "fraud", "clean", "unsure", "open", "right"],
        record.iter().map(|rule| {
            let judged = rule.n_fraud + rule.n_clean + rule.n_unsure;
            vec![
                rule.rule.clone(),
                rule.n_alerts.to_string(),
                rule.n_fraud.to_string(),
                rule.n_clean.to_string(),
                rule.n_unsure.to_string(),
                rule.n_alerts.saturating_sub(judged).to_string(),
                rule.precision_percent().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %")),
            ]
        }),
        "no alerts",
    );
    Ok(())
}

/// The one alert whose id begins so.
async fn case_named(store: &Store, id: &str) -> anyhow::Result<AlertCase> {
    let remedy = "`tollbook fraud alerts --all` lists them";
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(UserError::new(format!("{id:?} is no id of an alert"), remedy).into());
    }
    let mut named = store.alert_cases_named(&id.to_ascii_lowercase()).await?;
    match (named.pop(), named.len()) {
        (Some(case), 0) => Ok(case),
        (Some(_), n) => {
            let what = format!("{} alerts begin with {id:?}", n + 1);
            Err(UserError::new(what, "give more of the id").into())
        }
        (None, _) => Err(UserError::new(format!("there is no alert {id:?}"), remedy).into()),
    }
}

fn short(case: &AlertCase) -> String {
    case.alert.id.to_string().chars().take(ID_DIGITS).collect()
}

fn state(case: &AlertCase) -> String {
    match (&case.verdict, &case.handed, &case.acknowledged) {
        (Some((verdict, who, _)), _, _) => format!("{verdict}, says {who}"),
        (None, Some(handed), _) => format!("handed to {}", handed.to),
        (None, None, Some((who, _))) => format!("taken on by {who}"),
        (None, None, None) => "open".to_owned(),
    }
}

/// The course of a count, the highest as a full bar.
fn sparkline(values: &[u32]) -> String {
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let top = BARS.len() - 1;
    values
        .iter()
        .map(|value| {
            let level = (u64::from(*value) * top as u64).div_ceil(u64::from(highest));
            BARS[usize::try_from(level).unwrap_or(top).min(top)]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sparkline_shows_the_course_and_never_hides_a_call() {
        assert_eq!(sparkline(&[0, 1, 70, 140]), "▁▂▅█");
        assert_eq!(sparkline(&[0, 0]), "▁▁");
        assert_eq!(sparkline(&[]), "");
    }
}
