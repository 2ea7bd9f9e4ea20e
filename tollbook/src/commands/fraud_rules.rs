//! Rules that people save, accounts that rules leave alone, and the hand that ends calls, on the command line.

use std::path::Path;

use fraud::rule::Rule;
use model::{Directory, FraudException, FraudRule};
use store::Store;

use super::fraud::local;
use super::import::COMMAND_LINE;
use super::{account_named, print_table};
use crate::cli::ExceptionOf;
use crate::clock::Clock;
use crate::failure::UserError;
use crate::system::of_store;

/// Ends calls that are up.
pub(super) async fn kill(
    store: &Store,
    directory: &Directory,
    handle: &str,
    reason: &str,
) -> anyhow::Result<()> {
    let account = account_named(directory, handle)?;
    store.kill_calls(account.id, reason, COMMAND_LINE, Clock::start().utc()).await?;
    println!("calls of {handle} that are up end within a second; new ones go through");
    Ok(())
}

/// Accounts that rules leave alone.
pub(super) fn exceptions(directory: &Directory) {
    let now = Clock::start().utc();
    let in_force = directory.fraud_exceptions.iter().filter(|one| one.until.is_none_or(|until| now < until));
    print_table(
        &["account", "rule", "by", "since", "until", "why"],
        in_force.map(|one| {
            vec![
                directory.name_of(one.account),
                if one.rule.is_empty() { "every one".to_owned() } else { one.rule.clone() },
                one.author.clone(),
                local(directory, one.account, one.since),
                one.until.map_or_else(
                    || "taken back by hand".to_owned(),
                    |until| local(directory, one.account, until),
                ),
                one.reason.clone(),
            ]
        }),
        "rules look at every account",
    );
}

/// Has rules leave an account alone.
pub(super) async fn except(
    store: &Store,
    directory: &Directory,
    rules: &[Rule],
    of: ExceptionOf,
    span: Option<model::Span>,
) -> anyhow::Result<()> {
    let account = account_named(directory, &of.account)?;
    if let Some(name) = of.rule.as_ref().filter(|name| rules.iter().all(|rule| rule.name != **name)) {
        let remedy = "`tollbook fraud rules` lists those in force";
        return Err(UserError::new(format!("--rule: no rule {name:?} is in force"), remedy).into());
    }
    let now = Clock::start().utc();
    let exception = FraudException {
        account: account.id,
        rule: of.rule.clone().unwrap_or_default(),
        author: COMMAND_LINE.to_owned(),
        reason: of.reason,
        since: now,
        until: span.and_then(|span| now.checked_add_signed(span.delta())),
    };
    store.fraud_except(&exception).await?;
    let rules = of.rule.map_or_else(|| "every rule".to_owned(), |rule| format!("rule {rule}"));
    println!("{rules} leaves {} alone; what was locked or barred before stays so", of.account);
    Ok(())
}

/// Has rules look at an account again.
pub(super) async fn unexcept(store: &Store, directory: &Directory, of: ExceptionOf) -> anyhow::Result<()> {
    let account = account_named(directory, &of.account)?;
    let rule = of.rule.unwrap_or_default();
    let now = Clock::start().utc();
    store.fraud_except_no_more(account.id, &rule, COMMAND_LINE, &of.reason, now).await.map_err(of_store)?;
    println!("{} is looked at again", of.account);
    Ok(())
}

/// Saves a rule.
pub(super) async fn save(
    store: &Store,
    directory: &Directory,
    file: &Path,
    reason: String,
    is_on: bool,
) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(file)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), "give a file with one rule"))?;
    let rule = crate::fraud_watch::one_rule(&text)
        .map_err(|(fault, remedy)| UserError::new(format!("{}:{fault}", file.display()), remedy))?;
    let version = next_version(directory, &rule.name, rule.version);
    let kept = FraudRule {
        name: rule.name.clone(),
        version,
        text,
        is_on,
        author: COMMAND_LINE.to_owned(),
        reason,
        at: Clock::start().utc(),
    };
    store.fraud_rule_save(&kept).await.map_err(of_store)?;
    let outcome = if is_on { "is looked by within a second" } else { "is switched off within a second" };
    println!("{} version {version} {outcome}", rule.name);
    Ok(())
}

/// Above what was saved of a name, and not below what its author wrote.
pub(crate) fn next_version(directory: &Directory, name: &str, written: u32) -> u32 {
    let saved = directory.fraud_rules.iter().find(|rule| rule.name == name).map_or(0, |rule| rule.version);
    written.max(saved.saturating_add(1))
}

/// Versions that were saved.
pub(super) async fn versions(store: &Store, name: Option<&str>) -> anyhow::Result<()> {
    let versions = store.fraud_rule_versions(name).await?;
    print_table(
        &["rule", "version", "saved (UTC)", "by", "on", "why"],
        versions.into_iter().map(|rule| {
            vec![
                rule.name,
                rule.version.to_string(),
                rule.at.format("%F %T").to_string(),
                rule.author,
                if rule.is_on { "on".to_owned() } else { "off".to_owned() },
                rule.reason,
            ]
        }),
        "no rule was saved",
    );
    Ok(())
}
