//! `tollbook fraud backtest`: rules over the calls of the lake.

use std::sync::Arc;
use std::time::Instant;

use chrono::{Datelike as _, NaiveDate, NaiveTime, TimeDelta};
use fraud::backtest::BacktestReport;
use lake::Lake;
use model::{Directory, Verdict};
use store::Store;

use super::fraud::local;
use super::print_table;
use crate::cli::BacktestArgs;
use crate::config::Config;
use crate::failure::UserError;
use crate::fraud_past::{Days, run};
use crate::fraud_watch::{read_lists, read_rules};
use crate::rule_desk::judged;
use crate::system::of_lake;

/// Calls are of these years: others are slips of the pen, and days far beyond cannot be counted with.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=2200;

/// What is wrong with the days, if something is.
fn check_days(args: &BacktestArgs) -> Result<(), UserError> {
    for (name, day) in [("--from", args.from), ("--to", args.to)] {
        if !YEARS.contains(&day.year()) {
            let what = format!("{name} {day} is not in the years {} to {}", YEARS.start(), YEARS.end());
            return Err(UserError::new(what, "write it like 2026-10-01"));
        }
    }
    if args.to < args.from {
        return Err(UserError::new(
            format!("--to {} is before --from {}", args.to, args.from),
            "give the first and the last day",
        ));
    }
    Ok(())
}

/// Runs a file of rules over stored calls and prints what they would have done.
#[expect(clippy::disallowed_methods, reason = "how long it took is told, and decides nothing")]
pub(super) async fn backtest(
    config: &Config,
    store: &Store,
    directory: &Directory,
    args: &BacktestArgs,
) -> anyhow::Result<()> {
    check_days(args)?;
    let rules = read_rules(&args.rule)?;
    let hot = read_lists(&config.fraud.hot_lists)?;
    let never_originate = read_lists(&config.fraud.never_originate)?;
    let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let from = midnight(args.from);
    let days = Days {
        learn_from: from - TimeDelta::days(i64::from(args.learn_days)),
        from,
        to: midnight(args.to) + TimeDelta::days(1),
    };
    let began = Instant::now();
    let found =
        run(&lake, rules, (Arc::new(hot), Arc::new(never_originate)), Arc::new(directory.clone()), days)
            .await?;
    let took = began.elapsed();
    print_report(store, directory, &found.report).await?;
    let per_second = u128::from(found.n_read) * 1_000_000 / took.as_micros().max(1);
    println!(
        "\n{} calls were read and looked at in {:.1} s ({per_second} calls/s)",
        found.n_read,
        took.as_secs_f64()
    );
    Ok(())
}

async fn print_report(store: &Store, directory: &Directory, report: &BacktestReport) -> anyhow::Result<()> {
    println!(
        "{} calls; {} incidents, {} locks; {} calls would have been refused or ended, which cost {}",
        report.n_calls,
        report.n_incidents,
        report.n_locks,
        report.n_blocked,
        report.saved.round_dp(2)
    );
    if report.incidents.is_empty() {
        return Ok(());
    }
    println!("\nIncidents{}", first_of(report.incidents.len(), report.n_incidents));
    print_table(
        &["at", "account", "rule", "seen at", "measured", "spent in the window"],
        report.incidents.iter().map(|alert| {
            let finding = alert.finding.as_ref();
            vec![
                local(directory, alert.account, alert.at),
                directory.name_of(alert.account),
                alert.rule.clone(),
                finding.map(|finding| finding.subject.clone()).unwrap_or_default(),
                finding.map_or_else(String::new, |finding| {
                    let all = finding.measures.iter();
                    all.map(|m| format!("{} {}", m.measure, m.value)).collect::<Vec<_>>().join(", ")
                }),
                alert.value.round_to_minor().to_string(),
            ]
        }),
        "",
    );
    if report.locks.is_empty() {
        return Ok(());
    }
    let judged = judged(store).await?;
    println!("\nLocks{}", first_of(report.locks.len(), report.n_locks));
    print_table(
        &["at", "account", "why", "calls stopped", "these cost", "alerts of this account were judged"],
        report.locks.iter().map(|lock| {
            vec![
                local(directory, lock.account, lock.at),
                directory.name_of(lock.account),
                lock.rule.clone(),
                lock.n_blocked.to_string(),
                lock.saved.round_dp(2).to_string(),
                judged.get(&lock.account).map_or_else(|| "not yet".to_owned(), ToString::to_string),
            ]
        }),
        "",
    );
    let count = |wanted: Option<Verdict>| {
        report.locks.iter().filter(|lock| judged.get(&lock.account).copied() == wanted).count()
    };
    println!(
        "\n{} locks of accounts judged fraud, {} of accounts judged clean: falsely locked, {} not judged",
        count(Some(Verdict::Fraud)),
        count(Some(Verdict::Clean)),
        count(None) + count(Some(Verdict::Unsure)),
    );
    Ok(())
}

/// For the head of a list that does not hold all there are.
fn first_of(n_listed: usize, n_all: usize) -> String {
    if n_listed < n_all { format!(", the first {n_listed}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_that_cannot_be_meant_are_refused() {
        let fault = |from: &str, to: &str| {
            let args = BacktestArgs {
                rule: "rules.toml".into(),
                from: from.parse().unwrap(),
                to: to.parse().unwrap(),
                learn_days: 28,
            };
            check_days(&args).err().map(|why| why.to_string()).unwrap_or_default()
        };
        assert_eq!(fault("2026-10-01", "2026-10-01"), "");
        assert!(fault("2026-10-02", "2026-10-01").contains("--to 2026-10-01 is before --from"));
        assert!(fault("2026-10-01", "+262142-12-31").contains("is not in the years 1970 to 2200"));
        assert!(fault("0026-10-01", "2026-10-01").contains("--from 0026-10-01"));
    }
}
