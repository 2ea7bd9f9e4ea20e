//! `tollbook fraud`: alerts with their evidence, locks, and the hand that sets or lifts them.

use chrono::{DateTime, Utc};
use model::{AccountId, Directory, Lock, LockLevel, LockSource};

use crate::cli::FraudAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Alerts shown at once.
const ALERTS_MAX: u32 = 100;

/// Lists or changes.
pub(crate) async fn fraud(config: &Config, action: FraudAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    match action {
        FraudAction::Alerts => {
            let alerts = store.alerts(ALERTS_MAX).await?;
            print_table(
                &["at", "account", "rule", "period", "limit", "came to", "lock", "dearest call"],
                alerts.iter().map(|alert| {
                    vec![
                        local(&directory, alert.account, alert.at),
                        handle_of(&directory, alert.account),
                        alert.rule.clone(),
                        alert.period.clone(),
                        alert.limit.to_string(),
                        alert.value.to_string(),
                        alert.lock.to_string(),
                        alert.evidence.first().map(ToString::to_string).unwrap_or_default(),
                    ]
                }),
                "no alerts",
            );
        }
        FraudAction::Locks => {
            let locks = store.locks().await?;
            print_table(
                &["account", "level", "by", "since", "until", "why"],
                locks.iter().map(|lock| {
                    vec![
                        handle_of(&directory, lock.account),
                        lock.level.to_string(),
                        lock.source.to_string(),
                        local(&directory, lock.account, lock.since),
                        lock.until.map_or_else(
                            || "lifted by hand".to_owned(),
                            |until| local(&directory, lock.account, until),
                        ),
                        lock.reason.clone(),
                    ]
                }),
                "nobody is locked",
            );
        }
        FraudAction::Lock { account, level, reason } => {
            let level: LockLevel = level
                .parse()
                .map_err(|why: model::UnknownWord| UserError::new(format!("--level: {why}"), ""))?;
            set(&store, &directory, &account, level, reason).await?;
        }
        FraudAction::Unlock { account, reason } => {
            set(&store, &directory, &account, LockLevel::None, reason).await?;
        }
    }
    Ok(())
}

async fn set(
    store: &store::Store,
    directory: &Directory,
    handle: &str,
    level: LockLevel,
    reason: String,
) -> anyhow::Result<()> {
    let account = account_named(directory, handle)?;
    let now = Clock::start().utc();
    let lock = Lock {
        tenant: account.tenant,
        account: account.id,
        level,
        source: LockSource::Admin,
        reason,
        alert: None,
        since: now,
        until: None,
    };
    store.set_lock(&lock, COMMAND_LINE, now).await?;
    match level {
        LockLevel::None => println!("{handle} is unlocked; a running switch knows within a second"),
        LockLevel::Foreign | LockLevel::Outgoing | LockLevel::All | LockLevel::Global | LockLevel::Ported => {
            println!("{handle} is locked ({level}); a running switch knows within a second");
        }
    }
    Ok(())
}

/// The name of an account; its id where the name is gone, and nothing for a record of nobody's.
pub(crate) fn handle_of(directory: &Directory, id: AccountId) -> String {
    directory.accounts.iter().find(|account| account.id == id).map_or_else(
        || if id == AccountId::NOBODY { String::new() } else { id.to_string() },
        |account| account.handle.clone(),
    )
}

/// A time as the account's day goes, with its zone.
fn local(directory: &Directory, id: AccountId, at: DateTime<Utc>) -> String {
    let account = directory.accounts.iter().find(|account| account.id == id);
    let zone = account.map_or(chrono_tz::UTC, |account| account.timezone);
    at.with_timezone(&zone).format("%F %T %Z").to_string()
}
