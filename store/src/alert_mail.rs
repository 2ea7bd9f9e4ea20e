//! The mail of an alert: who, what, until when, what showed it, and what to type.

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use chrono_tz::Tz;
use model::{Alert, AlertSeverity, Finding, Language, LockLevel, MailEvent};
use rust_decimal::Decimal;
use serde_json::json;
use sqlx::AnyConnection;

use crate::Result;
use crate::outbox::{EventMail, MailFill, NewMail};
use crate::sparkline;
use crate::sql::{Bind, Columns, cells, query};

/// What the mail of an alert says of its account.
pub(crate) struct Party {
    /// Handle of its tenant, if that is known.
    tenant: Option<String>,
    name: String,
    handle: String,
    zone: Tz,
    /// When the lock lifts itself, if that is known.
    lock_ends: Option<DateTime<Utc>>,
    /// Calls stopped because of it so far, and what those are reckoned to have cost.
    n_stopped: u64,
    saved: Decimal,
}

pub(crate) async fn party_of(conn: &mut AnyConnection, alert: &Alert) -> Result<Party> {
    let row = query(
        "SELECT accounts.handle AS handle, accounts.timezone AS timezone, contacts.name AS name, \
         tenants.handle AS tenant FROM accounts JOIN contacts ON contacts.id = accounts.contact \
         JOIN tenants ON tenants.id = accounts.tenant WHERE accounts.id = $1",
    )
    .cells(cells![alert.account.0])
    .fetch_optional(&mut *conn)
    .await?;
    let (name, handle, zone, tenant) = match row {
        Some(row) => {
            (row.text("name")?, row.text("handle")?, row.word("timezone")?, Some(row.text("tenant")?))
        }
        None => (String::new(), alert.account.to_string(), Tz::UTC, None),
    };
    // The lock of the alert is written after it. What stands now and is as strong is the lock of somebody else, or of an earlier
    // alert, and stays.
    let standing = query("SELECT until_at FROM locks WHERE account = $1 AND level = $2")
        .cells(cells![alert.account.0, alert.lock.as_str()])
        .fetch_optional(&mut *conn)
        .await?
        .map(|row| row.opt_time("until_at"))
        .transpose()?
        .filter(|until| until.is_none_or(|until| until > alert.at));
    let lock_ends = match (alert.lock, standing) {
        (LockLevel::None, _) => None,
        (_, Some(until)) => until,
        (_, None) => day_of(alert).parse().ok().and_then(|day| next_day(day, zone)),
    };
    let row = query("SELECT n_stopped, saved_micros FROM alerts WHERE id = $1")
        .cells(cells![alert.id.as_bytes()])
        .fetch_optional(conn)
        .await?;
    let (n_stopped, saved) = match row {
        Some(row) => (row.narrow("n_stopped")?, row.amount("saved_micros")?),
        None => (0, Decimal::ZERO),
    };
    Ok(Party { tenant, name: visible(&name), handle: visible(&handle), zone, lock_ends, n_stopped, saved })
}

/// The period without the count of its alerts: `2026-10-05` of `2026-10-05/2`.
fn day_of(alert: &Alert) -> &str {
    alert.period.split_once('/').map_or(alert.period.as_str(), |(day, _)| day)
}

/// The first instant of the day after `day`, at one o'clock or later where the clocks skip midnight.
fn next_day(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    let midnight = day.succ_opt()?.and_time(NaiveTime::MIN);
    // No zone has ever skipped more than a day.
    (0..=26 * 4)
        .filter_map(|n_quarters| midnight.checked_add_signed(TimeDelta::minutes(15 * n_quarters)))
        .find_map(|local| local.and_local_timezone(zone).earliest())
        .map(|begins| begins.with_timezone(&Utc))
}

/// Without line ends and other control characters.
fn visible(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// What is locked, in words.
fn in_words(level: LockLevel) -> &'static str {
    match level {
        LockLevel::None => "nothing was locked",
        LockLevel::Foreign => "calls that leave the platform are locked",
        LockLevel::Outgoing => "outgoing calls are locked",
        LockLevel::All => "all calls are locked",
        LockLevel::Global => "all calls and the self-care are locked",
        LockLevel::Ported => "all calls are locked, the number has moved away",
    }
}

pub(crate) fn alert_mail(alert: &Alert, party: &Party, address: &str) -> EventMail {
    let Party { tenant: _, name, handle, zone, lock_ends, n_stopped, saved } = party;
    let who = if name.is_empty() { handle.clone() } else { format!("{name} ({handle})") };
    let lock = in_words(alert.lock);
    let local = |at: DateTime<Utc>| at.with_timezone(zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let (subject, mut lines) = match &alert.finding {
        None => spend_in_words(alert, &who),
        Some(finding) => finding_in_words(alert, finding, &who),
    };
    if *n_stopped > 0 {
        let saved = model::Money::new(*saved, alert.value.currency).round_to_minor();
        lines.push(format!("Saved:    {saved} so far, by {n_stopped} calls refused or cut"));
    }
    lines.push(format!("Lock:     {lock}"));
    lines.push(format!("Reached:  {}", local(alert.at)));
    lines.extend(lock_ends.map(|ends| format!("Lock ends by itself: {}", local(ends))));
    if !alert.evidence.is_empty() {
        lines.push("\nThe dearest calls, and how each was priced:".to_owned());
        lines.extend(alert.evidence.iter().map(|cdr| format!("  tollbook explain {cdr}")));
    }
    if alert.lock != LockLevel::None {
        lines.push("\nTo unlock the account:".to_owned());
        lines.push(format!("  tollbook fraud unlock {handle} --reason \"...\""));
    }
    lines.push("\nWhat was it? The answer makes the rules better:".to_owned());
    lines.push(format!("  tollbook fraud verdict {} fraud|clean|unsure --note \"...\"", short(alert)));
    lines.push(format!("\nAlert {}\n", alert.id));
    let update = if alert.update == 0 { String::new() } else { format!("Update {}: ", alert.update) };
    let mail = NewMail {
        to: vec![address.to_owned()],
        subject: visible(&format!("{update}{subject}")),
        text: lines.join("\n"),
        attachments: picture_of(alert).into_iter().collect(),
        about: format!("alert:{}", alert.id),
    };
    EventMail { fill: fill_of(alert, party, &mail), tenant: alert.tenant, mail }
}

/// The values of the event's variables; title and details are the program's own words.
fn fill_of(alert: &Alert, party: &Party, mail: &NewMail) -> MailFill {
    let local = |at: DateTime<Utc>| at.with_timezone(&party.zone).format("%Y-%m-%d %H:%M:%S %Z").to_string();
    let event = if alert.lock == LockLevel::None { MailEvent::FraudWarning } else { MailEvent::FraudLock };
    let variables = [
        ("title", mail.subject.clone()),
        ("details", mail.text.trim_end().to_owned()),
        ("name", party.name.clone()),
        ("handle", party.handle.clone()),
        ("rule", visible(&alert.rule)),
        ("period", day_of(alert).to_owned()),
        ("spent", alert.value.round_to_minor().to_string()),
        ("limit", alert.limit.round_to_minor().to_string()),
        ("lock", in_words(alert.lock).to_owned()),
        ("reached", local(alert.at)),
        ("lock_ends", party.lock_ends.map(local).unwrap_or_default()),
        ("alert", alert.id.to_string()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    MailFill { event, language: Language::English, variables }
}

/// The mail to whom a case was handed; `by` is who did it, and what was noted with it.
pub(crate) fn hand_over_mail(
    alert: &Alert,
    party: &Party,
    (by, note): (&str, Option<&str>),
    address: &str,
) -> NewMail {
    let mut mail = alert_mail(alert, party, address).mail;
    let mut lines = vec![format!("{} has handed this case to you.", visible(by))];
    lines.extend(note.map(|note| format!("Note:     {}", visible(note))));
    mail.subject = format!("Your case: {}", mail.subject);
    mail.text = format!("{}\n\n{}", lines.join("\n"), mail.text);
    mail
}

/// The course of attempts over the window, or of the money by hour, as a picture.
fn picture_of(alert: &Alert) -> Option<(String, String, Vec<u8>)> {
    let course = alert.course()?;
    let picture = sparkline::png(course.counts)?;
    Some((format!("{}.png", course.what), "image/png".to_owned(), picture))
}

/// What webhooks are told of an alert. Calls are named by their records. `subject` and `barred` may hold what numbers begin with;
/// `subject` may also be a network address or a subscriber's name, which may be a number; `name` is the customer's.
pub(crate) fn alert_word(alert: &Alert, party: &Party) -> serde_json::Value {
    let kind = if alert.update == 0 { "fraud.alert.opened" } else { "fraud.alert.updated" };
    let amount = |money: model::Money| json!({ "amount": money.amount.to_string(), "currency": money.currency.as_str() });
    let finding = alert.finding.as_ref();
    json!({
        "type": kind,
        "timestamp": alert.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "data": {
            "alert": alert.id.to_string(),
            "update": alert.update,
            "severity": alert.severity.as_str(),
            "tenant": party.tenant,
            "account": party.handle,
            "name": party.name,
            "rule": alert.rule,
            "version": finding.map(|finding| finding.version),
            "title": finding.map(|finding| finding.title.as_str()),
            "tag": finding.and_then(|finding| finding.tag.as_deref()),
            "subject": finding.map(|finding| finding.subject.as_str()),
            "period": alert.period,
            "measured": finding.map(|finding| finding.measures.as_slice()),
            "n_calls": finding.map(|finding| finding.n_calls),
            "limit": amount(alert.limit),
            "spent": amount(alert.value),
            "at_risk": alert.at_risk().map(amount),
            "saved": amount(model::Money::new(party.saved, alert.value.currency)),
            "n_stopped": party.n_stopped,
            "lock": alert.lock.as_str(),
            "lock_ends": party.lock_ends.map(|ends| ends.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)),
            "barred": finding.map(|finding| finding.barred.as_slice()),
            "attempts": finding.map(|finding| finding.sparkline.as_slice()),
            "attempts_step_seconds": finding.map(|finding| finding.sparkline_step_seconds),
            "spent_by_hour": alert.spending.as_ref().map(|spending| spending.by_hour.as_slice()),
            "calls": alert.evidence.iter().map(ToString::to_string).collect::<Vec<_>>(),
        },
    })
}

/// Enough of the id for people.
fn short(alert: &Alert) -> String {
    alert.id.to_string().chars().take(12).collect()
}

fn spend_in_words(alert: &Alert, who: &str) -> (String, Vec<String>) {
    let (value, limit) = (alert.value.round_to_minor(), alert.limit.round_to_minor());
    let (rule, period) = (&alert.rule, day_of(alert));
    // A day is spent on, a month is spent in.
    let when = if period.matches('-').count() == 2 { format!("on {period}") } else { format!("in {period}") };
    let (headline, outcome) = match alert.severity {
        AlertSeverity::Breach => (format!("{who} has reached a limit."), in_words(alert.lock)),
        AlertSeverity::Warning => (format!("{who} is coming close to a limit."), "nothing was locked yet"),
    };
    let mut lines = vec![
        headline,
        String::new(),
        format!("Limit:    {limit} ({rule})"),
        format!("Spent:    {value} {when}"),
    ];
    let at_risk = alert.at_risk().map(model::Money::round_to_minor);
    lines.extend(at_risk.map(|at_risk| format!("At risk:  {at_risk} in the next hour")));
    (format!("{who}: {value} spent {when}, limit {limit} - {outcome}"), lines)
}

fn finding_in_words(alert: &Alert, finding: &Finding, who: &str) -> (String, Vec<String>) {
    let mut lines = vec![
        format!("{who}: {}", finding.title),
        String::new(),
        format!("Rule:     {}, version {}", alert.rule, finding.version),
        format!("Seen at:  {}", finding.subject),
    ];
    lines.extend(finding.tag.as_ref().map(|tag| format!("Marked:   {tag}")));
    for (idx, measured) in finding.measures.iter().enumerate() {
        let head = if idx == 0 { "Measured:" } else { "" };
        lines
            .push(format!("{head:<9} {} {} (fires at {})", measured.measure, measured.value, measured.limit));
    }
    lines.push(format!("Calls:    {} in the window", finding.n_calls));
    lines.push(format!("Spent:    {} in the window, estimated", alert.value.round_to_minor()));
    if !finding.barred.is_empty() {
        lines.push(format!("Barred:   {}", finding.barred.join(", ")));
    }
    lines.push(format!("At risk:  {} in the next hour", finding.at_risk.round_to_minor()));
    (format!("{who}: {} - {}", finding.title, in_words(alert.lock)), lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(zone: &str, day: &str, expected: &str) {
        let begins = next_day(day.parse().unwrap(), zone.parse().unwrap());
        assert_eq!(begins, Some(expected.parse().unwrap()), "{zone} {day}");
    }

    #[test]
    fn next_day_begins_at_local_midnight_or_where_the_clocks_skip_it_after() {
        check("Europe/Vienna", "2026-10-25", "2026-10-25T23:00:00Z");
        check("Europe/Vienna", "2026-03-29", "2026-03-29T22:00:00Z");
        check("Africa/Cairo", "2023-04-27", "2023-04-27T22:00:00Z");
        check("Pacific/Apia", "2011-12-29", "2011-12-30T10:00:00Z");
    }
}
