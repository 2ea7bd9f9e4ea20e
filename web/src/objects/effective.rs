//! What holds for an object, and where that comes from: its own word, its account's, its tenant's, or what is usual.

use chrono::{DateTime, Utc};
use model::{Account, Directory, Subscriber};
use store::{Extras, ObjectKind, Objects};

/// One value in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Effective {
    /// Of what.
    pub(crate) what: &'static str,
    pub(crate) value: String,
    /// Who says so.
    pub(crate) origin: String,
}

/// What holds for an account or a subscriber; of other kinds all stands in the form.
pub(crate) fn effective(
    directory: &Directory,
    kind: ObjectKind,
    key: &str,
    now: DateTime<Utc>,
) -> Vec<Effective> {
    let extras = Extras::default();
    let Ok(Some(place)) = Objects::of(directory, &extras).find(kind, key) else { return Vec::new() };
    match kind {
        ObjectKind::Account => of_account(directory, &directory.accounts[place], now),
        ObjectKind::Subscriber => of_subscriber(directory, &directory.subscribers[place]),
        ObjectKind::Tenant
        | ObjectKind::Trunk
        | ObjectKind::Route
        | ObjectKind::Network
        | ObjectKind::ExchangeRate
        | ObjectKind::Package
        | ObjectKind::Contract
        | ObjectKind::BillingTerms
        | ObjectKind::ProfileLimits => Vec::new(),
    }
}

/// The first who says something.
fn first(what: &'static str, said: &[(Option<String>, String)], usual: &str) -> Effective {
    let said = said.iter().find_map(|(value, origin)| Some((value.clone()?, origin.clone())));
    let (value, origin) = said.unwrap_or_else(|| (usual.to_owned(), "usual".to_owned()));
    Effective { what, value, origin }
}

fn of_account(directory: &Directory, account: &Account, now: DateTime<Utc>) -> Vec<Effective> {
    let own = || "the account".to_owned();
    let rules = directory.calling.accounts.get(&account.id).cloned().unwrap_or_default();
    let profile = account.profile_at(now);
    let handle = profile.and_then(|id| directory.tariffs.iter().find(|it| it.profile.id == id));
    let handle = handle.map(|version| version.profile.handle.clone());
    let of_profile = directory.profile_limits.iter().find(|limits| Some(limits.profile) == profile);
    let by_profile = format!("limits of profile {}", handle.clone().unwrap_or_default());
    let limit = |limit: &Option<model::FraudLimit>| {
        limit.as_ref().map(|it| format!("{} {}, then lock {}", it.amount, account.currency, it.lock))
    };
    let lock = directory.locks.iter().find(|lock| lock.account == account.id);
    let locked = lock.map(|lock| (lock.level.to_string(), format!("{}: {}", lock.source, lock.reason)));
    let (level, by) = locked.unwrap_or_else(|| ("none".to_owned(), "usual".to_owned()));
    vec![
        first("Tariff", &[(handle, own())], "none: its calls wait unrated"),
        first("Calls at once", &[(account.calls_max.map(|it| it.to_string()), own())], "without limit"),
        first(
            "New calls a second",
            &[(rules.calls_per_second.map(|it| it.to_string()), own())],
            "without limit",
        ),
        first(
            "Longest call, seconds",
            &[(rules.call_seconds_max.map(|it| it.to_string()), own())],
            "as the switch is configured",
        ),
        first("May dial", &[(rules.ncos, own())], "everything"),
        first(
            "Limit of a day",
            &[
                (limit(&account.fraud.daily), own()),
                (of_profile.and_then(|it| limit(&it.fraud.daily)), by_profile.clone()),
            ],
            "none",
        ),
        first(
            "Limit of a month",
            &[
                (limit(&account.fraud.interval), own()),
                (of_profile.and_then(|it| limit(&it.fraud.interval)), by_profile),
            ],
            "none",
        ),
        Effective { what: "Lock", value: level, origin: by },
    ]
}

fn of_subscriber(directory: &Directory, subscriber: &Subscriber) -> Vec<Effective> {
    let rules = directory.calling.subscribers.get(&subscriber.id).cloned().unwrap_or_default();
    let above = directory.calling.accounts.get(&subscriber.account).cloned().unwrap_or_default();
    let account = directory.accounts.iter().find(|account| account.id == subscriber.account);
    let own = || "the subscriber".to_owned();
    let by_account = || format!("account {}", directory.name_of(subscriber.account));
    let number = |value: Option<u32>| value.map(|it| it.to_string());
    let lock = directory.locks.iter().find(|lock| lock.account == subscriber.account);
    // Both hold; the lower one is met first.
    let both = |what, own_value: Option<u32>, above_value: Option<u32>| {
        let is_own_first = own_value.is_some_and(|own| above_value.is_none_or(|above| own <= above));
        let (own, above) = ((number(own_value), own()), (number(above_value), by_account()));
        first(what, &if is_own_first { [own, above] } else { [above, own] }, "without limit")
    };
    vec![
        first("Calls as", &[(subscriber.cli.map(|it| it.to_string()), own())], "no number"),
        both("Calls at once", subscriber.calls_max, account.and_then(|it| it.calls_max)),
        both("New calls a second", rules.calls_per_second, above.calls_per_second),
        both("Longest call, seconds", rules.call_seconds_max, above.call_seconds_max),
        first("May dial, by the account", &[(above.ncos, by_account())], "everything"),
        first("May dial, by itself", &[(rules.ncos, own())], "everything"),
        first("Rewrite rules", &[(rules.rewrite, own())], "none: numbers come in canonical form"),
        first("Account is", &[(account.map(|it| it.status.to_string()), by_account())], "gone"),
        first("Lock", &[(lock.map(|it| it.level.to_string()), by_account())], "none"),
    ]
}
