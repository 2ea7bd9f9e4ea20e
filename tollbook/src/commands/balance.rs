//! `tollbook balance` and `tollbook statement`: what an account has, and how that came about, from postings alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeZone, Utc};
use model::{Account, CdrId, Directory, Held, Posting, PostingId, PostingReason, Statement};
use store::Store;
use web::{BalanceSheet, IntervalEnd};

use crate::balance_sheet::{sheet, statement_pdf};
use crate::cli::StatementArgs;
use crate::clock::Clock;
use crate::commands::fraud::local;
use crate::commands::{account_named, account_of, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Prints the balance of `handle` at `at`, or now. Of the postings, those of the interval are read; what there was before is in the
/// balances that the ledger keeps.
pub(crate) async fn balance(config: &Config, handle: &str, at: Option<DateTime<Utc>>) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let account = account_named(&directory, handle)?;
    let now = Clock::start().utc();
    let until = at.unwrap_or(now);
    let (sheet, of_interval) = sheet(&store, &directory, config.bus.partitions(), account, until).await?;
    println!("account        {} ({}, {})", account.handle, sheet.kind, account.currency);
    println!("at             {}", local(&directory, account.id, until));
    if let Some(begins) = sheet.begins {
        let begins = local(&directory, account.id, begins);
        match sheet.end {
            IntervalEnd::At(end) => {
                println!("interval       {begins} to {}", local(&directory, account.id, end));
            }
            IntervalEnd::NextTopUp => println!("interval       {begins} to the next top-up"),
            IntervalEnd::Unknown => println!("interval       from {begins}"),
        }
    }
    let (given, used, left) = (sheet.given, sheet.used, sheet.left);
    println!("own money      {}", left.own.normalize());
    println!(
        "free cash      {} given, {} used, {} left",
        given.free_cash.normalize(),
        (-used.free_cash).normalize(),
        left.free_cash.normalize()
    );
    println!(
        "free time      {} s given, {} s used, {} s left",
        given.free_seconds.normalize(),
        (-used.free_seconds).normalize(),
        left.free_seconds.normalize()
    );
    println!("owed           {}", left.owed.normalize());
    match sheet.credit_limit {
        Some(limit) => println!("credit limit   {}", limit.normalize()),
        None => println!("credit limit   none"),
    }
    println!("balance        {}", left.balance().normalize());
    print_calls(account, &directory, &sheet);
    print_out_of_order(account, &directory, &of_interval);
    Ok(())
}

/// The records that set calls of the interval in order, or did not.
fn print_out_of_order(account: &Account, directory: &Directory, postings: &[Posting]) {
    let taken_back: BTreeSet<PostingId> = postings.iter().filter_map(|posting| posting.reverses).collect();
    let mut records: BTreeMap<CdrId, (DateTime<Utc>, Held, &str)> = BTreeMap::new();
    for posting in postings.iter().filter(|posting| !taken_back.contains(&posting.id)) {
        let Some(cdr) = posting.cdr else { continue };
        let why = match posting.reason {
            PostingReason::OutOfOrder => "",
            PostingReason::OutOfOrderHeld => "nothing asked for",
            PostingReason::OutOfOrderUnknown => "kept as priced",
            PostingReason::Call
            | PostingReason::Reversal
            | PostingReason::RecurringFee
            | PostingReason::Payment
            | PostingReason::Adjustment
            | PostingReason::TopUp
            | PostingReason::Voucher
            | PostingReason::ServiceCharge
            | PostingReason::Grant
            | PostingReason::Expiry
            | PostingReason::Settlement => continue,
        };
        let (at, held, why_not) = records.entry(cdr).or_insert((posting.at, Held::default(), why));
        *at = posting.at;
        *held += Held::by(posting, account.id);
        if !why.is_empty() {
            *why_not = why;
        }
    }
    if records.is_empty() {
        return;
    }
    println!();
    print_table(
        &["out of order", "start", "free time", "money", ""],
        records.into_iter().map(|(cdr, (at, held, why_not))| {
            let seconds = format!("{} s", held.free_seconds.normalize());
            let money = held.balance().normalize().to_string();
            vec![cdr.to_string(), local(directory, account.id, at), seconds, money, why_not.to_owned()]
        }),
        "",
    );
}

fn print_calls(account: &Account, directory: &Directory, sheet: &BalanceSheet) {
    println!();
    if sheet.n_calls > sheet.calls.len() {
        println!(
            "the last {} of {} calls; `tollbook statement` has all of them",
            sheet.calls.len(),
            sheet.n_calls
        );
    }
    print_table(
        &["call", "start", "free time", "free cash", "own money", "owed"],
        sheet.calls.iter().map(|(cdr, at, held)| {
            vec![
                cdr.to_string(),
                local(directory, account.id, *at),
                format!("{} s", (-held.free_seconds).normalize()),
                (-held.free_cash).normalize().to_string(),
                (-held.own).normalize().to_string(),
                held.owed.normalize().to_string(),
            ]
        }),
        "no calls in it",
    );
}

/// Writes every movement of an account's money and free time between two days, with the balance after each, as CSV or PDF.
pub(crate) async fn statement(config: &Config, args: &StatementArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    write_statement(&store, &Arc::new(directory), args).await
}

async fn write_statement(
    store: &Store,
    directory: &Arc<Directory>,
    args: &StatementArgs,
) -> anyhow::Result<()> {
    let account = account_of(directory, args.tenant.as_deref(), &args.account)?;
    let midnight = |day: NaiveDate| {
        account.timezone.from_local_datetime(&day.and_time(NaiveTime::MIN)).earliest().map(|at| at.to_utc())
    };
    let (Some(from), Some(to)) = (midnight(args.from), args.to.succ_opt().and_then(midnight)) else {
        return Err(UserError::new("--from and --to must be days of the calendar", "").into());
    };
    if from >= to {
        return Err(UserError::new("--to must not be before --from", "").into());
    }
    let sums = store.balances_before(account.id, from).await?;
    let before = Held::of_sums(account.id, sums.into_iter().map(|side| (side.account, side.balance.amount)));
    let postings = store.postings(account.id, from, to).await?;
    let statement = Statement::after_opening(account.id, account.currency, before, &postings, (from, to));
    let Some(file) = &args.out else {
        print!("{}", statement.csv(account.timezone));
        return Ok(());
    };
    let is_pdf = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("pdf"));
    let n_rows = statement.rows.len();
    let bytes = if is_pdf {
        statement_pdf(store, directory, account, statement).await?
    } else {
        statement.csv(account.timezone).into_bytes()
    };
    std::fs::write(file, bytes)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), "choose another file"))?;
    println!("{}: {n_rows} movements", file.display());
    Ok(())
}

/// As `tollbook balance --statement` asks: in the account's zone until today, and since the first of the month, where no days are named.
pub(crate) async fn statement_of_days(
    config: &Config,
    account: String,
    (from, to): (Option<NaiveDate>, Option<NaiveDate>),
    out: Option<PathBuf>,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let zone = account_named(&directory, &account)?.timezone;
    let to = to.unwrap_or_else(|| Clock::start().utc().with_timezone(&zone).date_naive());
    let from = from.unwrap_or_else(|| to.with_day(1).unwrap_or(to));
    write_statement(&store, &Arc::new(directory), &StatementArgs { tenant: None, account, from, to, out })
        .await
}
