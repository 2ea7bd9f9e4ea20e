//! Fraud rules for the console: those in force, their texts, and what a text would have done.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{NaiveTime, TimeDelta};
use fraud::rule::{preset_text, rule_text};
use futures::FutureExt;
use lake::Lake;
use model::{AccountId, Directory, Verdict};
use store::{CaseFilter, Store};
use web::{BacktestOutcome, CheckedRule, RuleDesk, RuleInForce};

use crate::directory::DirectoryFeed;
use crate::fraud_past::{Days, run};
use crate::fraud_watch::{RuleBook, does, in_force, one_rule};

/// Days that a rule learns from before it is tried.
const LEARN_DAYS: i64 = 28;

/// Cases looked at for verdicts.
const CASES_MAX: u32 = 10_000;

/// What the console asks.
pub(crate) fn desk(
    book: Arc<RuleBook>,
    files: Vec<PathBuf>,
    lake: Arc<Lake>,
    store: Store,
    directory: DirectoryFeed,
) -> RuleDesk {
    let for_list = book.clone();
    RuleDesk {
        in_force: Arc::new(move |directory| {
            in_force(for_list.configured(), &directory.fraud_rules)
                .iter()
                .map(|rule| RuleInForce {
                    name: rule.name.clone(),
                    version: rule.version,
                    title: rule.title.clone(),
                    key: rule.key.to_string(),
                    window: rule.window.to_string(),
                    does: does(rule),
                    is_saved: directory.fraud_rules.iter().any(|saved| saved.name == rule.name),
                })
                .collect()
        }),
        text_of: Arc::new(move |directory, name| text_of(directory, &files, name)),
        check: |text| {
            let rule = one_rule(text).map_err(|(fault, remedy)| format!("{fault}; {remedy}"))?;
            Ok(CheckedRule { does: does(&rule), version: rule.version, name: rule.name })
        },
        backtest: Arc::new(move |text, from, to| {
            let (book, lake, store) = (book.clone(), lake.clone(), store.clone());
            let directory = directory.current();
            async move {
                let from = from.and_time(NaiveTime::MIN).and_utc();
                let days = Days {
                    learn_from: from - TimeDelta::days(LEARN_DAYS),
                    from,
                    to: to.and_time(NaiveTime::MIN).and_utc() + TimeDelta::days(1),
                };
                let found = backtest(&book, &lake, &store, directory, &text, days).await;
                found.map_err(|why| format!("it could not be tried: {why:#}"))
            }
            .boxed()
        }),
    }
}

/// As it was saved, else as a file of the configuration has it, else as it was delivered.
fn text_of(directory: &Directory, files: &[PathBuf], name: &str) -> Option<String> {
    let saved = directory.fraud_rules.iter().find(|rule| rule.name == name).map(|rule| rule.text.clone());
    let of_files =
        || files.iter().rev().find_map(|file| rule_text(&std::fs::read_to_string(file).ok()?, name));
    saved.or_else(of_files).or_else(|| preset_text(name))
}

async fn backtest(
    book: &RuleBook,
    lake: &Lake,
    store: &Store,
    directory: Arc<Directory>,
    text: &str,
    days: Days,
) -> anyhow::Result<BacktestOutcome> {
    let rule = one_rule(text).map_err(|(fault, remedy)| anyhow::anyhow!("{fault}; {remedy}"))?;
    let found = run(lake, vec![rule], book.lists(), directory.clone(), days).await?;
    let judged = judged(store).await?;
    let report = found.report;
    let handle = |account: AccountId| directory.name_of(account);
    let at = |at: chrono::DateTime<chrono::Utc>| at.format("%F %T").to_string();
    Ok(BacktestOutcome {
        n_read: found.n_read,
        n_calls: report.n_calls,
        n_blocked: report.n_blocked,
        n_incidents: report.n_incidents,
        n_locks: report.n_locks,
        saved: report.saved.round_dp(2).to_string(),
        n_false: report
            .locks
            .iter()
            .filter(|lock| judged.get(&lock.account) == Some(&Verdict::Clean))
            .count(),
        incidents: report
            .incidents
            .iter()
            .map(|alert| {
                let measures = alert.finding.iter().flat_map(|finding| &finding.measures);
                let measured = measures.map(|one| format!("{} {}", one.measure, one.value));
                (at(alert.at), handle(alert.account), measured.collect::<Vec<_>>().join(", "))
            })
            .collect(),
        locks: report
            .locks
            .iter()
            .map(|lock| {
                let verdict =
                    judged.get(&lock.account).map_or_else(|| "not yet".to_owned(), ToString::to_string);
                (at(lock.at), handle(lock.account), lock.n_blocked, verdict)
            })
            .collect(),
    })
}

/// What people found of accounts: fraud, if ever anything was; it tells a right lock from a wrong one, as far as anybody looked.
pub(crate) async fn judged(store: &Store) -> Result<BTreeMap<AccountId, Verdict>, store::StoreError> {
    let mut judged: BTreeMap<AccountId, Verdict> = BTreeMap::new();
    for case in store.alert_cases(CaseFilter::default(), CASES_MAX).await? {
        if let Some((verdict, _, _)) = case.verdict {
            let known = judged.entry(case.alert.account).or_insert(verdict);
            if verdict == Verdict::Fraud {
                *known = verdict;
            }
        }
    }
    Ok(judged)
}
