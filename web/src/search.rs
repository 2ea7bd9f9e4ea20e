//! Search over everything that people have a name or a number for: what is typed, as hits of each kind that the role may see.
//!
//! It looks at accounts, subscribers, numbers, trunks and tariffs in the snapshot in memory, from the first to the last or until there are
//! enough; at users, alerts and invoices in the database, by their beginnings; at the calls of the last 31 days in the lake, by whole
//! Call-ID, by our id, or by number. Numbers are searched by those alone who see them whole.

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, Directory};

use crate::Shared;
use crate::call_search::{self, CallQuery};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::Refusal;
use crate::role::Right;

/// Hits of a kind.
const HITS_MAX: usize = 10;

/// Days of calls that are looked at.
const CALL_DAYS: i64 = 31;

/// Longest text that is looked for.
const TEXT_LETTERS_MAX: usize = 200;

/// Fewest letters that say anything.
const TEXT_LETTERS_MIN: usize = 2;

/// Something found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    /// What it is called.
    pub(crate) name: String,
    /// What tells it from others.
    pub(crate) detail: String,
    /// Where its page is.
    pub(crate) href: String,
}

/// What was found of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hits {
    /// In the plural, as in a path of the API.
    pub(crate) kind: &'static str,
    /// In their order.
    pub(crate) hits: Vec<Hit>,
    /// There are more; where all of them are listed.
    pub(crate) more: Option<String>,
}

/// Everything like `text` that the user may see; kinds without a hit are left out.
pub(crate) async fn everything(shared: &Shared, user: &SignedIn, text: &str) -> Result<Vec<Hits>, Refusal> {
    let text = text.trim();
    let n_letters = text.chars().count();
    if !(TEXT_LETTERS_MIN..=TEXT_LETTERS_MAX).contains(&n_letters) {
        let rule = format!("write {TEXT_LETTERS_MIN} to {TEXT_LETTERS_MAX} letters of what you look for");
        return Err(Refusal::Invalid(rule));
    }
    let directory = (shared.desk.directory)();
    let now = (shared.desk.clock)().wall;
    let may = |right| user.role.may(right);
    let mut found = Vec::new();
    if may(Right::Provisioning) {
        found.extend(provisioned(&directory, text, may(Right::Numbers)));
    }
    if may(Right::Books) {
        found.push(invoices(shared, &directory, text).await?);
    }
    if may(Right::FraudDesk) {
        found.push(alerts(shared, &directory, text).await?);
    }
    if may(Right::Users) {
        found.push(users(shared, text).await?);
    }
    if may(Right::Calls) {
        found.push(calls(shared, user, &directory, text, now).await?);
    }
    found.retain(|hits| !hits.hits.is_empty());
    Ok(found)
}

/// What the snapshot has.
fn provisioned(directory: &Directory, text: &str, sees_numbers: bool) -> Vec<Hits> {
    let wanted = text.to_lowercase();
    let is_like = |field: &str| contains(field, &wanted);
    let accounts = directory
        .accounts
        .iter()
        .filter(|account| {
            is_like(&account.handle) || is_like(&account.contact.name) || is_like(&account.contact.email)
        })
        .map(|account| {
            let handle = directory.name_of(account.id);
            let detail = format!("{}, {}", account.contact.name, account.kind);
            Hit { href: format!("/accounts/{}", escaped(&handle)), name: handle, detail }
        });
    let account_name = |id: AccountId| directory.name_of(id);
    let subscribers = directory
        .subscribers
        .iter()
        .filter(|subscriber| match wanted.split_once('@') {
            Some((name, domain)) => {
                contains(&subscriber.username, name) && contains(&subscriber.domain, domain)
            }
            None => is_like(&subscriber.username),
        })
        .map(|subscriber| {
            let name = format!("{}@{}", subscriber.username, subscriber.domain);
            let href = format!("/provisioning/subscribers/{}", escaped(&name));
            Hit { name, detail: format!("of {}", account_name(subscriber.account)), href }
        });
    let digits = digits_of(text).filter(|_| sees_numbers);
    let numbers = directory
        .numbers
        .iter()
        .filter(|owned| {
            digits.as_deref().is_some_and(|digits| {
                let number = owned.number.to_string();
                number.starts_with(digits) || number.ends_with(digits)
            })
        })
        .map(|owned| {
            let holder = directory.subscribers.iter().find(|holder| holder.id == owned.subscriber);
            let holder = holder.map(|holder| format!("{}@{}", holder.username, holder.domain));
            let href = holder.as_ref().map(|holder| format!("/provisioning/subscribers/{}", escaped(holder)));
            let until = owned.to.map(|to| format!(", until {}", when(to))).unwrap_or_default();
            Hit {
                name: owned.number.to_string(),
                detail: format!("of {}{until}", holder.unwrap_or_default()),
                href: href.unwrap_or_default(),
            }
        });
    let trunks = directory
        .trunks
        .iter()
        .filter(|trunk| is_like(&trunk.name) || is_like(&trunk.address.to_string()))
        .map(|trunk| Hit {
            name: trunk.name.clone(),
            detail: format!("{}, of {}", trunk.address, account_name(trunk.account)),
            href: format!("/provisioning/trunks/{}", escaped(&trunk.name)),
        });
    let tariffs = directory
        .tariffs
        .iter()
        .filter(|version| is_like(&version.profile.handle) || is_like(&version.profile.name))
        .map(|version| Hit {
            name: version.profile.handle.clone(),
            detail: format!("{}, from {}", version.profile.name, when(version.valid_from)),
            href: format!("/tariffs/{}", version.id),
        });
    let list = |path: &str| Some(format!("{path}?q={}", escaped(text)));
    vec![
        first("accounts", accounts, list("/accounts")),
        first("subscribers", subscribers, list("/provisioning/subscribers")),
        first("numbers", numbers, None),
        first("trunks", trunks, list("/provisioning/trunks")),
        first("tariffs", tariffs, None),
    ]
}

async fn invoices(shared: &Shared, directory: &Directory, text: &str) -> Result<Hits, Refusal> {
    let found = shared.desk.store.invoices_beginning(text, most()).await?;
    let hits = found.into_iter().map(|invoice| Hit {
        name: invoice.number,
        detail: format!(
            "{} of {}, {}",
            invoice.gross.round_to_minor(),
            directory.name_of(invoice.account),
            when(invoice.issued_at)
        ),
        href: format!("/invoices/{}", invoice.id.0),
    });
    Ok(first("invoices", hits, Some("/invoices".to_owned())))
}

async fn alerts(shared: &Shared, directory: &Directory, text: &str) -> Result<Hits, Refusal> {
    let is_id = text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let cases = if is_id {
        shared.desk.store.alert_cases_named(&text.to_lowercase()).await?
    } else if let [account] = directory.accounts_named(text).as_slice() {
        shared.desk.store.alert_cases_of(account.id, most()).await?
    } else {
        Vec::new()
    };
    let hits = cases.into_iter().map(|case| Hit {
        name: case.alert.id.to_string(),
        detail: format!(
            "{} of {}, {}",
            case.alert.rule,
            directory.name_of(case.alert.account),
            when(case.begun_at)
        ),
        href: format!("/fraud/alerts/{}", case.alert.id),
    });
    Ok(first("alerts", hits, Some("/fraud?all=true".to_owned())))
}

async fn users(shared: &Shared, text: &str) -> Result<Hits, Refusal> {
    let wanted = text.to_lowercase();
    let users = shared.desk.store.users().await?;
    let hits = users
        .into_iter()
        .filter(|user| {
            contains(&user.name, &wanted) || user.mail.as_deref().is_some_and(|mail| contains(mail, &wanted))
        })
        .map(|user| Hit { name: user.name, detail: user.role, href: "/access".to_owned() });
    Ok(first("users", hits, Some("/access".to_owned())))
}

async fn calls(
    shared: &Shared,
    user: &SignedIn,
    directory: &Directory,
    text: &str,
    now: DateTime<Utc>,
) -> Result<Hits, Refusal> {
    let from = (now - TimeDelta::days(CALL_DAYS)).date_naive().to_string();
    let number = digits_of(text);
    let (query, list) = match number {
        Some(_) if !user.role.may(Right::Numbers) => {
            return Ok(Hits { kind: "calls", hits: Vec::new(), more: None });
        }
        Some(digits) => {
            let list = format!("/calls?number={digits}");
            (CallQuery { number: digits, from, ..CallQuery::default() }, list)
        }
        // Ids have no blanks; what has is a name.
        None if text.contains(char::is_whitespace) => {
            return Ok(Hits { kind: "calls", hits: Vec::new(), more: None });
        }
        None => {
            let list = format!("/calls?call={}", escaped(text));
            (CallQuery { call: text.to_owned(), from, ..CallQuery::default() }, list)
        }
    };
    let page = call_search::search(&shared.desk.lake, directory, &query, user.role, HITS_MAX + 1).await?;
    let hits = page.rows.into_iter().map(|row| Hit {
        detail: format!("{} to {}, {}, paid by {}", row.from, row.to, row.status, row.payer),
        name: row.start_at,
        href: format!("/calls/{}", row.cdr_id),
    });
    // What is older is found there.
    Ok(Hits { more: Some(list), ..first("calls", hits, None) })
}

/// The first hits, and where the others are if there are any.
fn first(kind: &'static str, hits: impl Iterator<Item = Hit>, list: Option<String>) -> Hits {
    let mut hits: Vec<Hit> = hits.take(HITS_MAX + 1).collect();
    let has_more = hits.len() > HITS_MAX;
    hits.truncate(HITS_MAX);
    Hits { kind, hits, more: list.filter(|_| has_more) }
}

/// For one more than is shown.
fn most() -> u32 {
    u32::try_from(HITS_MAX + 1).unwrap_or(u32::MAX)
}

/// Whether a field contains a text that is in small letters; without a copy where the field is plain ASCII, as most are.
fn contains(field: &str, wanted: &str) -> bool {
    if wanted.is_empty() {
        return true;
    }
    if field.is_ascii() {
        let wanted = wanted.as_bytes();
        return field.as_bytes().windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted));
    }
    field.to_lowercase().contains(wanted)
}

/// The digits of what is a number or a piece of one, without what stands before national numbers; at least three.
pub(crate) fn digits_of(text: &str) -> Option<String> {
    let is_separator = |c: char| matches!(c, '+' | ' ' | '-' | '/' | '(' | ')' | '*');
    if !text.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
        return None;
    }
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (digits.len() >= 3).then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_compared_without_case() {
        assert!(contains("Bäckerei Huber", "bäckerei") && contains("ACME", "cm") && contains("x", ""));
        assert!(!contains("acme", "acmee") && !contains("", "a"));
    }

    #[test]
    fn pieces_of_numbers_are_told_from_names() {
        assert_eq!(digits_of("+43 (660) 555-123").as_deref(), Some("43660555123"));
        assert_eq!(digits_of("0660/555123").as_deref(), Some("660555123"));
        for name in ["4366x", "12", "00", "", "a84b4c76e66710@192.0.2.10"] {
            assert_eq!(digits_of(name), None, "{name}");
        }
    }
}
