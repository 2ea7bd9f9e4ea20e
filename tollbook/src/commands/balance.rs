//! `tollbook balance` and `tollbook statement`: what an account has, and how that came about, from postings alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use anyhow::Context as _;
use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime, TimeZone, Utc};
use model::{Account, CdrId, Directory, Held, Posting, PostingId, PostingReason, Statement, partition_of};
use store::Store;

use crate::cli::StatementArgs;
use crate::clock::Clock;
use crate::commands::fraud::local;
use crate::commands::{account_named, account_of, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

/// Calls listed with a balance.
const CALLS_SHOWN_MAX: usize = 30;

/// What one call took.
#[derive(Debug, Clone, Copy, Default)]
struct Taken {
    at: DateTime<Utc>,
    held: Held,
}

/// Prints the balance of `handle` at `at`, or now. Of the postings, those of the interval are read; what there was before is in the
/// balances that the ledger keeps.
pub(crate) async fn balance(config: &Config, handle: &str, at: Option<DateTime<Utc>>) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let account = account_named(&directory, handle)?;
    let now = Clock::start().utc();
    let until = at.unwrap_or(now);
    let sums = store.balances_before(account.id, until).await?;
    let left = Held::of_sums(account.id, sums.into_iter().map(|side| (side.account, side.balance.amount)));

    let contract = directory.contracts.get(&account.id);
    let prepaid = account
        .profile_at(until)
        .and_then(|profile| directory.tariffs.iter().find(|version| version.profile.id == profile))
        .is_some_and(|version| version.profile.prepaid);
    let kind = match (contract, prepaid) {
        (None, _) => "no balance is kept for it",
        (Some(_), true) => "prepaid",
        (Some(_), false) => "postpaid",
    };
    println!("account        {} ({kind}, {})", account.handle, account.currency);
    println!("at             {}", local(&directory, account.id, until));
    let partition = partition_of(account.id, config.bus.partitions());
    let entry = store.stage_entry("rating", partition, &rating::contract_key(account.id)).await?;
    let kept = entry.map(|bytes| rating::contract_of(&bytes)).transpose().map_err(anyhow::Error::msg)?;
    let stretch = kept
        .iter()
        .flat_map(|contract| &contract.intervals)
        .map(|interval| interval.stretch)
        .rfind(|stretch| stretch.contains(until));
    let begins = match stretch {
        Some(stretch) => {
            let end = stretch
                .end
                .map_or_else(|| "the next top-up".to_owned(), |end| local(&directory, account.id, end));
            println!("interval       {} to {end}", local(&directory, account.id, stretch.start));
            stretch.start
        }
        // Too long ago for the contract itself: the last renewal before says when it began.
        None => match store.last_grant_before(account.id, until).await? {
            Some(begin) => {
                println!("interval       from {}", local(&directory, account.id, begin));
                begin
            }
            None => DateTime::UNIX_EPOCH,
        },
    };
    let of_interval = store.postings(account.id, begins, until).await?;
    let (mut given, mut used) = (Held::default(), Held::default());
    for posting in &of_interval {
        if posting.reason == PostingReason::Grant {
            given += Held::by(posting, account.id);
        } else if posting.cdr.is_some() {
            used += Held::by(posting, account.id);
        }
    }
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
    let limit = contract.and_then(|contract| contract.credit_limit);
    match (prepaid, limit) {
        (_, Some(limit)) => println!("credit limit   {}", limit.normalize()),
        (true, None) => println!("credit limit   0"),
        (false, None) => println!("credit limit   none"),
    }
    println!("balance        {}", left.balance().normalize());
    print_calls(account, &directory, &of_interval);
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

fn print_calls(account: &Account, directory: &Directory, postings: &[Posting]) {
    let mut calls: BTreeMap<CdrId, Taken> = BTreeMap::new();
    for posting in postings {
        let Some(cdr) = posting.cdr else { continue };
        let call = calls.entry(cdr).or_default();
        call.at = posting.at;
        call.held += Held::by(posting, account.id);
    }
    let n_calls = calls.len();
    let mut calls: Vec<(CdrId, Taken)> = calls.into_iter().collect();
    calls.sort_by_key(|(cdr, call)| (call.at, *cdr));
    println!();
    if n_calls > CALLS_SHOWN_MAX {
        println!("the last {CALLS_SHOWN_MAX} of {n_calls} calls; `tollbook statement` has all of them");
    }
    let shown = calls.into_iter().skip(n_calls.saturating_sub(CALLS_SHOWN_MAX));
    print_table(
        &["call", "start", "free time", "free cash", "own money", "owed"],
        shown.map(|(cdr, call)| {
            vec![
                cdr.to_string(),
                local(directory, account.id, call.at),
                format!("{} s", (-call.held.free_seconds).normalize()),
                (-call.held.free_cash).normalize().to_string(),
                (-call.held.own).normalize().to_string(),
                call.held.owed.normalize().to_string(),
            ]
        }),
        "no calls in it",
    );
}

/// Writes every movement of an account's money and free time between two days, with the balance after each, as CSV or PDF.
pub(crate) async fn statement(config: &Config, args: &StatementArgs) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    write_statement(&store, &directory, args).await
}

async fn write_statement(store: &Store, directory: &Directory, args: &StatementArgs) -> anyhow::Result<()> {
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
    let bytes = if is_pdf {
        pdf_of(store, directory, account, &statement).await?
    } else {
        statement.csv(account.timezone).into_bytes()
    };
    std::fs::write(file, bytes)
        .map_err(|why| UserError::new(format!("{}: {why}", file.display()), "choose another file"))?;
    println!("{}: {} movements", file.display(), statement.rows.len());
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
    write_statement(&store, &directory, &StatementArgs { tenant: None, account, from, to, out }).await
}

/// In the language of the account's invoices.
async fn pdf_of(
    store: &Store,
    directory: &Directory,
    account: &Account,
    statement: &Statement,
) -> anyhow::Result<Vec<u8>> {
    let tenant = directory.tenants.iter().find(|tenant| tenant.id == account.tenant);
    let tenant = tenant.with_context(|| format!("account {} belongs to nobody", account.handle))?;
    let terms = store.billing_terms().await?.account(account.id);
    let of = invoicing::StatementOf {
        issuer: &tenant.contact,
        customer: &account.contact,
        account: &account.handle,
        timezone: account.timezone,
        language: terms.language,
    };
    Ok(invoicing::render_statement_pdf(statement, &of)?)
}
