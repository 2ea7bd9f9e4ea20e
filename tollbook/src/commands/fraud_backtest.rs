//! `tollbook fraud backtest`: rules over the calls of the lake.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};
use fraud::backtest::{Backtest, BacktestReport, StoredCall};
use lake::Lake;
use model::{AccountId, CallUid, CdrId, Directory, Party, SubscriberId, TrunkId, Verdict};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use store::Store;

use super::fraud::{handle_of, local};
use super::print_table;
use crate::cli::BacktestArgs;
use crate::config::Config;
use crate::failure::UserError;
use crate::fraud_watch::{read_lists, read_rules};
use crate::system::of_lake;

/// Calls are read in pieces of so many hours: a query's result has a limit.
const PIECE_HOURS: i64 = 6;

/// Cases looked at for verdicts.
const CASES_MAX: u32 = 10_000;

/// Runs a file of rules over stored calls and prints what they would have done.
#[expect(clippy::disallowed_methods, reason = "how long it took is told, and decides nothing")]
pub(super) async fn backtest(
    config: &Config,
    store: &Store,
    directory: &Directory,
    args: &BacktestArgs,
) -> anyhow::Result<()> {
    if args.to < args.from {
        return Err(UserError::new(
            format!("--to {} is before --from {}", args.to, args.from),
            "give the first and the last day",
        )
        .into());
    }
    let rules = read_rules(&args.rule)?;
    let hot = read_lists(&config.fraud.hot_lists)?;
    let never_originate = read_lists(&config.fraud.never_originate)?;
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let (from, to) = (midnight(args.from), midnight(args.to) + TimeDelta::days(1));
    let lake = Lake::open_read_only(&config.lake.dir).map_err(of_lake)?;
    let mut test = Backtest::new(rules, hot, never_originate, Arc::new(directory.clone()), from);
    let mut at = from - TimeDelta::days(i64::from(args.learn_days));
    let began = Instant::now();
    let mut watching = std::time::Duration::ZERO;
    while at < to {
        let until = (at + TimeDelta::hours(PIECE_HOURS)).min(to);
        let calls = read_calls(&lake, at, until).await?;
        let before = Instant::now();
        calls.into_iter().for_each(|call| test.call(call));
        watching += before.elapsed();
        at = until;
    }
    let before = Instant::now();
    let report = test.finish();
    watching += before.elapsed();
    print_report(store, directory, &report).await?;
    let per_second = u128::from(report.n_calls) * 1_000_000 / watching.as_micros().max(1);
    println!(
        "\nlooked at in {:.1} s, {:.1} s of it in the rules ({per_second} calls/s)",
        began.elapsed().as_secs_f64(),
        watching.as_secs_f64()
    );
    Ok(())
}

async fn read_calls(lake: &Lake, from: DateTime<Utc>, to: DateTime<Utc>) -> anyhow::Result<Vec<StoredCall>> {
    let literal = |at: DateTime<Utc>| at.format("TIMESTAMP '%Y-%m-%dT%H:%M:%S%.6f'").to_string();
    let sql = format!(
        "SELECT cdr_id, call_id, leg, payer, source_account, source_subscriber, source_trunk, source_ip, \
         coalesce(source_user_agent, ''), source_number, destination_number, trunk, init_at, start_at, \
         CASE WHEN answered THEN duration_seconds END, customer_cost, free_cash \
         FROM calls WHERE start_at >= {} AND start_at < {} ORDER BY init_at, cdr_id",
        literal(from),
        literal(to)
    );
    let result = lake.query(&sql).await.map_err(of_lake)?;
    result.rows().into_iter().map(|row| call_of(&row).context("read a call of the lake")).collect()
}

fn call_of(row: &[Option<String>]) -> anyhow::Result<StoredCall> {
    fn optional<T: FromStr>(cell: Option<&Option<String>>) -> anyhow::Result<Option<T>> {
        let Some(Some(text)) = cell else { return Ok(None) };
        text.parse().map(Some).map_err(|_| anyhow::anyhow!("{text:?} is not what the column holds"))
    }
    fn there<T: FromStr>(cell: Option<&Option<String>>) -> anyhow::Result<T> {
        optional(cell)?.context("a column is empty")
    }
    let text = |idx: usize| row.get(idx).cloned().flatten().unwrap_or_default();
    let time = |idx: usize| there::<NaiveDateTime>(row.get(idx)).map(|time| time.and_utc());
    let source_account = AccountId(optional(row.get(4))?.unwrap_or(0));
    let caller = match (optional(row.get(5))?, optional(row.get(6))?) {
        (Some(subscriber), _) => Party::Subscriber {
            subscriber: SubscriberId(subscriber),
            account: source_account,
            reseller: AccountId::NOBODY,
            uuid: String::new(),
        },
        (None, Some(trunk)) => Party::Trunk { trunk: TrunkId(trunk), account: source_account },
        (None, None) => Party::Unknown,
    };
    let seconds: Option<Decimal> = optional(row.get(14))?;
    let cost: Decimal = optional(row.get(15))?.unwrap_or_default();
    let free_cash: Decimal = optional(row.get(16))?.unwrap_or_default();
    Ok(StoredCall {
        cdr: there::<CdrId>(row.first())?,
        call: CallUid::new(text(1)),
        leg: there(row.get(2))?,
        payer: AccountId(there(row.get(3))?),
        caller,
        source: SocketAddr::new(text(7).parse::<IpAddr>().unwrap_or(IpAddr::from([0, 0, 0, 0])), 0),
        user_agent: text(8),
        cli: optional(row.get(9))?,
        callee: optional(row.get(10))?,
        vendor: optional(row.get(11))?.map(TrunkId),
        init_at: time(12)?,
        start_at: time(13)?,
        answered_us: seconds
            .and_then(|seconds| seconds.checked_mul(Decimal::from(1_000_000)))
            .and_then(|micros| micros.to_u64()),
        cost: cost.checked_add(free_cash).unwrap_or(cost),
    })
}

async fn print_report(store: &Store, directory: &Directory, report: &BacktestReport) -> anyhow::Result<()> {
    println!(
        "{} calls; {} incidents, {} locks; {} calls would have been refused or ended, which cost {}",
        report.n_calls,
        report.incidents.len(),
        report.locks.len(),
        report.n_blocked,
        report.saved.round_dp(2)
    );
    if report.incidents.is_empty() {
        return Ok(());
    }
    println!("\nIncidents");
    print_table(
        &["at", "account", "rule", "seen at", "measured", "spent in the window"],
        report.incidents.iter().map(|alert| {
            let finding = alert.finding.as_ref();
            vec![
                local(directory, alert.account, alert.at),
                handle_of(directory, alert.account),
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
    // What people found of these accounts tells a right lock from a wrong one, as far as anybody looked.
    let mut judged: BTreeMap<AccountId, Verdict> = BTreeMap::new();
    for case in store.alert_cases(false, CASES_MAX).await? {
        if let Some((verdict, _, _)) = case.verdict {
            let known = judged.entry(case.alert.account).or_insert(verdict);
            if verdict == Verdict::Fraud {
                *known = verdict;
            }
        }
    }
    println!("\nLocks");
    print_table(
        &["at", "account", "why", "calls stopped", "these cost", "alerts of this account were judged"],
        report.locks.iter().map(|lock| {
            vec![
                local(directory, lock.account, lock.at),
                handle_of(directory, lock.account),
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
