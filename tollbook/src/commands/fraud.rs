//! `tollbook fraud`: alerts as cases, locks, and the hand that sets or lifts them.

use chrono::{DateTime, Utc};
use model::{AccountId, Directory, Lock, LockLevel, LockSource};

use crate::cli::FraudAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{
    account_named, fraud_backtest, fraud_barrings, fraud_cases, fraud_lab, fraud_rules, fraud_to_log,
    print_table,
};
use crate::config::Config;
use crate::failure::UserError;
use crate::fraud_watch::{in_force, read_rules};
use crate::system::open_store;

/// What needs no installation is done here; `false` for the rest.
pub(crate) fn without_installation(action: &FraudAction) -> anyhow::Result<bool> {
    match action {
        FraudAction::Simulate(args) => match &args.out {
            Some(out) => fraud_lab::simulate(args, out)?,
            None => return Ok(false),
        },
        FraudAction::Score { seeds, rules } => fraud_lab::score(seeds, rules.as_deref())?,
        FraudAction::Alerts { .. }
        | FraudAction::Show { .. }
        | FraudAction::Ack { .. }
        | FraudAction::Hand { .. }
        | FraudAction::Verdict { .. }
        | FraudAction::Note { .. }
        | FraudAction::Record
        | FraudAction::Rules { .. }
        | FraudAction::Backtest(_)
        | FraudAction::Locks
        | FraudAction::Lock { .. }
        | FraudAction::Unlock { .. }
        | FraudAction::Barrings
        | FraudAction::Bar { .. }
        | FraudAction::Unbar { .. }
        | FraudAction::Kill { .. }
        | FraudAction::Exceptions
        | FraudAction::Except { .. }
        | FraudAction::Unexcept { .. }
        | FraudAction::SaveRule { .. }
        | FraudAction::RuleVersions { .. } => return Ok(false),
    }
    Ok(true)
}

/// Lists or changes.
pub(crate) async fn fraud(config: &Config, action: FraudAction) -> anyhow::Result<()> {
    if let FraudAction::Rules { file: Some(file) } = &action {
        fraud_lab::rules(&read_rules(file)?);
        return Ok(());
    }
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    match action {
        FraudAction::Alerts { all, of } => {
            fraud_cases::list(&store, &directory, !all, of.as_deref()).await?;
        }
        FraudAction::Hand { alert, to, note } => {
            fraud_cases::hand_over(&store, &alert, &to, note.as_deref()).await?;
        }
        FraudAction::Show { alert } => fraud_cases::show(&store, &directory, &alert).await?,
        FraudAction::Ack { alert } => fraud_cases::acknowledge(&store, &alert).await?,
        FraudAction::Verdict { alert, verdict, note } => {
            fraud_cases::judge(&store, &alert, &verdict, note.as_deref()).await?;
        }
        FraudAction::Note { alert, text } => fraud_cases::note(&store, &alert, &text).await?,
        FraudAction::Record => fraud_cases::record(&store).await?,
        FraudAction::Backtest(args) => fraud_backtest::backtest(config, &store, &directory, &args).await?,
        FraudAction::Simulate(args) => fraud_to_log::simulate(config, &store, &args).await?,
        // Done before: it needs no database.
        FraudAction::Score { .. } => {}
        FraudAction::Rules { .. } => {
            fraud_lab::rules(&in_force(&config.fraud.rules()?, &directory.fraud_rules));
        }
        FraudAction::Locks => {
            let locks = store.locks().await?;
            print_table(
                &["account", "level", "by", "since", "until", "why"],
                locks.iter().map(|lock| {
                    vec![
                        directory.name_of(lock.account),
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
        FraudAction::Barrings => fraud_barrings::list(&store, &directory).await?,
        FraudAction::Bar { of, calls_per_minute, span } => {
            fraud_barrings::bar(&store, &directory, of, calls_per_minute, span).await?;
        }
        FraudAction::Unbar { of } => fraud_barrings::lift(&store, &directory, of).await?,
        FraudAction::Kill { account, reason } => {
            fraud_rules::kill(&store, &directory, &account, &reason).await?;
        }
        FraudAction::Exceptions => fraud_rules::exceptions(&directory),
        FraudAction::Except { of, span } => {
            let rules = in_force(&config.fraud.rules()?, &directory.fraud_rules);
            fraud_rules::except(&store, &directory, &rules, of, span).await?;
        }
        FraudAction::Unexcept { of } => fraud_rules::unexcept(&store, &directory, of).await?,
        FraudAction::SaveRule { file, reason, off } => {
            fraud_rules::save(&store, &directory, &file, reason, !off).await?;
        }
        FraudAction::RuleVersions { name } => fraud_rules::versions(&store, name.as_deref()).await?,
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

/// A time as the account's day goes, with its zone.
pub(super) fn local(directory: &Directory, id: AccountId, at: DateTime<Utc>) -> String {
    let account = directory.accounts.iter().find(|account| account.id == id);
    let zone = account.map_or(chrono_tz::UTC, |account| account.timezone);
    at.with_timezone(&zone).format("%F %T %Z").to_string()
}
