//! `tollbook invoice`: billing runs, the list of invoices, their PDFs.

use std::path::Path;

use chrono::{DateTime, Utc};
use indicatif::{ProgressBar, ProgressStyle};
use lake::Lake;

use crate::billing::{Outcome, Run, Window, is_billed};
use crate::cli::InvoiceAction;
use crate::clock::Clock;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_lake, open_store};

/// Runs, lists or writes.
pub(crate) async fn invoice(config: &Config, action: InvoiceAction) -> anyhow::Result<()> {
    match action {
        InvoiceAction::Run { which, account, dry_run } => {
            let now = Clock::start().utc();
            let window = match (which.period, which.through) {
                (Some(month), _) => Window::Month(month),
                (None, Some(day)) => Window::Through(day),
                (None, None) => Window::UpTo(now),
            };
            run(config, window, now, account.as_deref(), dry_run).await
        }
        InvoiceAction::List => list(config).await,
        InvoiceAction::Pdf { number, out } => pdf(config, &number, &out).await,
    }
}

async fn run(
    config: &Config,
    window: Window,
    now: DateTime<Utc>,
    only: Option<&str>,
    dry_run: bool,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    if let Window::Month(month) = &window {
        invoicing::Period::month(month, chrono_tz::UTC)
            .map_err(|why| UserError::new(format!("--period: {why}"), ""))?;
    }
    let accounts: Vec<_> = match only {
        Some(handle) => {
            let account = account_named(&directory, handle)?;
            if !is_billed(account) {
                return Err(UserError::new(
                    format!(
                        "--account {handle}: gets no invoice from a billing run, it is a {} and {}",
                        account.kind, account.status
                    ),
                    "name a customer that is not terminated",
                )
                .into());
            }
            vec![account]
        }
        None => directory.accounts.iter().filter(|account| is_billed(account)).collect(),
    };
    let lake = Lake::open_read_only(&config.lake.dir).map_err(of_lake)?;
    let run = Run::prepare(&store, &lake, &directory, now, window, dry_run).await?;
    let bar = ProgressBar::new(accounts.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} accounts, {per_sec}, {eta} left")?);
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    for account in accounts {
        // One account's trouble is its own.
        let row = match run.account(account).await {
            Ok(Outcome::Made { number, gross }) => [number, gross.to_string(), "new".to_owned()],
            Ok(Outcome::Kept { number, gross }) => {
                [number, gross.to_string(), "was there already".to_owned()]
            }
            Ok(Outcome::Draft { gross }) => {
                ["(draft)".to_owned(), gross.to_string(), "dry run, nothing kept".to_owned()]
            }
            Ok(Outcome::Nothing) => [String::new(), String::new(), "no fee and no calls".to_owned()],
            Ok(Outcome::Held(why)) => [String::new(), String::new(), format!("held back: {why}")],
            Err(why) => {
                failures.push(account.handle.clone());
                [String::new(), String::new(), format!("failed: {why:#}")]
            }
        };
        rows.push([vec![account.handle.clone()], row.to_vec()].concat());
        bar.inc(1);
    }
    bar.finish_and_clear();
    print_table(&["account", "invoice", "total", ""], rows.into_iter(), "there are no customers");
    anyhow::ensure!(failures.is_empty(), "no invoice for {}", failures.join(", "));
    Ok(())
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let invoices = store.invoice_list().await?;
    print_table(
        &["number", "account", "period", "net", "tax", "total", "state"],
        invoices.iter().map(|invoice| {
            let account = directory.accounts.iter().find(|account| account.id == invoice.account);
            let timezone = account.map_or(chrono_tz::UTC, |account| account.timezone);
            let period = invoicing::Period { start: invoice.period_start, end: invoice.period_end, timezone };
            vec![
                invoice.number.clone(),
                account.map_or_else(|| invoice.account.to_string(), |account| account.handle.clone()),
                period.in_words(),
                invoice.net.round_to_minor().amount.to_string(),
                invoice.tax.round_to_minor().amount.to_string(),
                invoice.gross.round_to_minor().to_string(),
                invoice.state.as_str().to_owned(),
            ]
        }),
        "there are no invoices",
    );
    Ok(())
}

async fn pdf(config: &Config, number: &str, out: &Path) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let invoices = store.invoice_list().await?;
    let Some(invoice) = invoices.iter().find(|invoice| invoice.number == number) else {
        return Err(UserError::new(
            format!("there is no invoice {number:?}"),
            "`tollbook invoice list` shows them",
        )
        .into());
    };
    let Some(pdf) = store.invoice_pdf(invoice.id).await? else {
        return Err(UserError::new(
            format!("invoice {number} has no PDF yet"),
            "run the billing run of its period again",
        )
        .into());
    };
    std::fs::write(out, pdf).map_err(|why| {
        UserError::new(
            format!("--out {}: {why}", out.display()),
            "name a file in a directory that can be written",
        )
    })?;
    println!("{}", out.display());
    Ok(())
}
