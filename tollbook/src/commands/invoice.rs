//! `tollbook invoice`: billing runs, the list of invoices, their PDF and XML, credit notes and corrections.

use std::path::Path;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use invoicing::{Credited, Invoice, InvoicingError, Period, Profile};
use lake::Lake;
use model::{AccountId, Directory, TenantId};
use store::{InvoiceKind, Store, StoreError};

use crate::billing::{HouseSays, Outcome, Run, Templates, Window, ask_house, is_billed, pdf_of, sums_of};
use crate::cli::{InvoiceAction, XmlProfile};
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, invoice_reminders, invoice_template, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::invoice_mail::{self, Occasion};
use crate::system::{of_lake, open_store};

/// Runs, lists or writes.
pub(crate) async fn invoice(config: &Config, action: InvoiceAction) -> anyhow::Result<()> {
    match action {
        InvoiceAction::Run { which, account, dry_run, no_wait } => {
            let now = Clock::start().utc();
            let window = match (which.period, which.through) {
                (Some(month), _) => Window::Month(month),
                (None, Some(day)) => Window::Through(day),
                (None, None) if which.due => Window::Due,
                (None, None) => Window::UpTo(now),
            };
            run(config, window, account.as_deref(), (dry_run, no_wait || dry_run)).await
        }
        InvoiceAction::List => list(config).await,
        InvoiceAction::Pdf { number, out } => pdf(config, &number, &out).await,
        InvoiceAction::Xml { number, profile, out } => xml(config, &number, profile, &out).await,
        InvoiceAction::Credit { number, reason, line, amount } => {
            let credited = match (line, amount) {
                (Some(line), Some(net)) => {
                    let line_idx = line.checked_sub(1).ok_or_else(|| {
                        UserError::new("--line 0: there is no such line", "the first line is 1")
                    })?;
                    Credited::Part { line_idx, net }
                }
                (None | Some(_), None | Some(_)) => Credited::Whole,
            };
            amend(config, &number, Amendment::Credit(credited), &reason).await
        }
        InvoiceAction::Correct { number, reason } => {
            amend(config, &number, Amendment::Correct, &reason).await
        }
        InvoiceAction::Resend { number, to } => resend(config, &number, to).await,
        InvoiceAction::Remind { number, overdue, pause, dry_run } => {
            invoice_reminders::remind(config, number.as_deref(), (overdue, pause), dry_run).await
        }
        InvoiceAction::Paid { number } => {
            let store = open_store(config).await?;
            let invoice = numbered(&store, &number).await?;
            let now = Clock::start().utc();
            let paid = store.invoice_paid(invoice.id, sums_of(&invoice)?, COMMAND_LINE, now).await;
            println!(
                "{number} is paid: {}; a running system has it in the ledger within a second",
                paid.map_err(of_store)?.round_to_minor()
            );
            Ok(())
        }
        InvoiceAction::Template(action) => invoice_template::template(config, action).await,
    }
}

/// What is done to an invoice that was wrong.
enum Amendment {
    Credit(Credited),
    Correct,
}

async fn amend(config: &Config, number: &str, amendment: Amendment, reason: &str) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let of = numbered(&store, number).await?;
    let account = directory
        .accounts
        .iter()
        .find(|account| account.id == of.account)
        .with_context(|| format!("invoice {number} is for account {}, which is gone", of.account))?;
    let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
    let now = Clock::start().utc();
    let run = Run::prepare(&store, &lake, &directory, now, Window::UpTo(now), false).await?;
    let kept = match amendment {
        Amendment::Credit(credited) => run.credit(account, &of, credited, reason).await,
        Amendment::Correct => run.correct(account, &of, reason).await,
    };
    let kept = kept.map_err(of_amendment)?;
    println!("{}  {}", kept.number, kept.gross.round_to_minor());
    Ok(())
}

/// What the invoice does not allow is the user's to mend; the rest is ours.
fn of_amendment(why: anyhow::Error) -> anyhow::Error {
    let is_users = matches!(why.downcast_ref(), Some(InvoicingError::Credit { .. }))
        || why.downcast_ref::<StoreError>().is_some_and(StoreError::is_users);
    if is_users { UserError::new(format!("{why:#}"), "").into() } else { why }
}

fn of_store(why: StoreError) -> anyhow::Error {
    if why.is_users() { UserError::new(why.to_string(), "").into() } else { why.into() }
}

/// The invoice of `number`, which may be `TENANT:NUMBER`: each tenant numbers its own.
pub(super) async fn numbered(store: &Store, number: &str) -> anyhow::Result<store::Invoice> {
    let mut found = store.invoices_numbered(number).await?;
    let directory = store.directory().await?;
    // Of a tenant, then; a number may have a colon of its own.
    if found.is_empty()
        && let Some((tenant, number)) = number.split_once(':')
        && let Some(tenant) = directory.tenants.iter().find(|known| known.handle == tenant)
    {
        found = store.invoices_numbered(number).await?;
        found.retain(|invoice| invoice.tenant == tenant.id);
    }
    if found.len() > 1 {
        let names: Vec<String> = found
            .iter()
            .map(|invoice| format!("{}:{}", tenant_handle(&directory, invoice.tenant), invoice.number))
            .collect();
        let fault = format!("several tenants have an invoice {number:?}");
        return Err(UserError::new(fault, format!("give {}", names.join(" or "))).into());
    }
    found.pop().ok_or_else(|| {
        let said = format!("there is no invoice {number:?}");
        UserError::new(said, "`tollbook invoice list` shows them").into()
    })
}

fn tenant_handle(directory: &Directory, tenant: TenantId) -> String {
    let found = directory.tenants.iter().find(|known| known.id == tenant);
    found.map_or_else(|| tenant.to_string(), |found| found.handle.clone())
}

/// The account's handle; its id where it is gone.
pub(super) fn handle_of(directory: &Directory, account: AccountId) -> String {
    let found = directory.accounts.iter().find(|known| known.id == account);
    found.map_or_else(|| account.to_string(), |found| found.handle.clone())
}

async fn resend(config: &Config, number: &str, to: Option<String>) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let kept = numbered(&store, number).await?;
    let invoice = Invoice::from_json(&kept.document)?;
    let pdf = pdf_of(&store, &Templates::load(&store).await?, &kept, &invoice).await?;
    let einvoice = store.billing_terms().await?.account(kept.account).einvoice;
    let now = Clock::start().utc();
    store.invoice_finish(kept.id, pdf.clone(), None, now).await?;
    let directory = store.directory().await?;
    let handle = handle_of(&directory, kept.account);
    let mut mail = invoice_mail::of(&kept, &invoice, &handle, pdf, (einvoice, Occasion::Issued))?;
    if let Some(to) = to {
        mail.mail.to = vec![to];
    }
    if mail.mail.to.iter().all(String::is_empty) {
        return Err(UserError::new(
            format!("invoice {number}: its customer has no mail address"),
            "name one with --to",
        )
        .into());
    }
    store.mail_enqueue_event(&mail, now).await?;
    println!("{number} is queued for {}", mail.mail.to.join(", "));
    Ok(())
}

async fn xml(config: &Config, number: &str, profile: XmlProfile, out: &Path) -> anyhow::Result<()> {
    let profile = match profile {
        XmlProfile::Xrechnung => Profile::XRechnungUbl,
        XmlProfile::XrechnungCii => Profile::XRechnungCii,
        XmlProfile::Peppol => Profile::Peppol,
        XmlProfile::FacturX => Profile::FacturX,
    };
    let store = open_store(config).await?;
    let invoice = Invoice::from_json(&numbered(&store, number).await?.document)?;
    let xml = invoicing::to_xml(&invoice, profile).map_err(|why| UserError::new(why.to_string(), ""))?;
    write_out(out, &xml)
}

/// Writes what a command was asked for, and says where.
pub(super) fn write_out(out: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(out, bytes).map_err(|why| {
        UserError::new(
            format!("--out {}: {why}", out.display()),
            "name a file in a directory that can be written",
        )
    })?;
    println!("{}", out.display());
    Ok(())
}

async fn run(
    config: &Config,
    window: Window,
    only: Option<&str>,
    (dry_run, no_wait): (bool, bool),
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    if let Window::Month(month) = &window {
        Period::month(month, chrono_tz::UTC).map_err(|why| UserError::new(format!("--period: {why}"), ""))?;
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
                    "name a customer or a reseller that is not terminated",
                )
                .into());
            }
            vec![account]
        }
        None => directory.accounts.iter().filter(|account| is_billed(account)).collect(),
    };
    let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
    if !no_wait {
        hold(config, &store).await?;
    }
    let now = Clock::start().utc();
    let mut run = Run::prepare(&store, &lake, &directory, now, window, dry_run).await?;
    let bar = ProgressBar::new(accounts.len() as u64)
        .with_style(ProgressStyle::with_template("{bar:30} {pos}/{len} accounts, {per_sec}, {eta} left")?);
    let names = directory.names();
    let mut rows = Vec::new();
    let mut failures = Vec::new();
    run.bill_all(&accounts, &mut |account, outcomes| {
        let name = names.get(&account.id).unwrap_or(&account.handle);
        match outcomes {
            Ok(outcomes) => rows.extend(outcomes.into_iter().map(|(period, what)| row(name, period, what))),
            Err(why) => {
                failures.push(name.clone());
                let failed = format!("failed: {why:#}");
                rows.push(vec![name.clone(), String::new(), String::new(), String::new(), failed]);
            }
        }
        bar.inc(1);
    })
    .await?;
    bar.finish_and_clear();
    print_table(&["account", "period", "invoice", "total", ""], rows.into_iter(), "nothing is due");
    anyhow::ensure!(failures.is_empty(), "no invoice for {}", failures.join(", "));
    Ok(())
}

/// Waits until all that a running house has made until now has come through: a call still on its way would be on no invoice before the
/// next period.
async fn hold(config: &Config, store: &Store) -> anyhow::Result<()> {
    match ask_house(store, &config.bus_dir(), Clock::start().utc()).await? {
        HouseSays::AllThere => Ok(()),
        HouseSays::Waiting(waiting) => Err(UserError::new(
            format!("records are still on their way to ledger and lake ({waiting})"),
            "try again in a moment; with --no-wait they come on the next invoice",
        )
        .into()),
        HouseSays::Nothing => {
            warn_that_nothing_runs();
            Ok(())
        }
    }
}

#[expect(clippy::print_stderr, reason = "what is printed stays the table alone")]
fn warn_that_nothing_runs() {
    eprintln!(
        "warning: nothing is running that could say whether all calls are in ledger and lake; those that wait in the event log come on \
         the next invoice"
    );
}

fn row(account: &str, period: Period, outcome: Outcome) -> Vec<String> {
    let [invoice, total, remark] = match outcome {
        Outcome::Made { number, gross } => [number, gross.to_string(), "new".to_owned()],
        Outcome::Kept { number, gross } => [number, gross.to_string(), "was there already".to_owned()],
        Outcome::Draft { gross } => {
            ["(draft)".to_owned(), gross.to_string(), "dry run, nothing kept".to_owned()]
        }
        Outcome::Nothing => [String::new(), String::new(), "no fee and no calls".to_owned()],
        Outcome::Held(why) => [String::new(), String::new(), format!("held back: {why}")],
    };
    vec![account.to_owned(), period.in_words(), invoice, total, remark]
}

async fn list(config: &Config) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let names = directory.names();
    let invoices = store.invoice_heads().await?;
    let number_of =
        |id| invoices.iter().find(|other| other.id == id).map_or("?", |other| other.number.as_str());
    print_table(
        &["number", "account", "period", "net", "tax", "total", "state"],
        invoices.iter().map(|invoice| {
            let account = directory.accounts.iter().find(|account| account.id == invoice.account);
            let timezone = account.map_or(chrono_tz::UTC, |account| account.timezone);
            let period = Period { start: invoice.period_start, end: invoice.period_end, timezone };
            vec![
                invoice.number.clone(),
                names.get(&invoice.account).cloned().unwrap_or_else(|| invoice.account.to_string()),
                period.in_words(),
                invoice.net.round_to_minor().amount.to_string(),
                invoice.tax.round_to_minor().amount.to_string(),
                invoice.gross.round_to_minor().to_string(),
                match invoice.kind {
                    InvoiceKind::Invoice => invoice.state.as_str().to_owned(),
                    InvoiceKind::CreditNote { of } => format!("credit note for {}", number_of(of)),
                    InvoiceKind::Corrected { of } => {
                        format!("{}, in place of {}", invoice.state.as_str(), number_of(of))
                    }
                },
            ]
        }),
        "there are no invoices",
    );
    Ok(())
}

async fn pdf(config: &Config, number: &str, out: &Path) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let invoice = numbered(&store, number).await?;
    let Some(pdf) = store.invoice_pdf(invoice.id).await? else {
        return Err(UserError::new(
            format!("invoice {number} has no PDF yet"),
            "run the billing run of its period again",
        )
        .into());
    };
    write_out(out, &pdf)
}

#[cfg(test)]
mod tests {
    use model::{Currency, InvoiceId};
    use rust_decimal::Decimal;
    use store::{NewInvoice, NewTenant, World};

    use super::*;

    #[tokio::test]
    async fn number_of_two_tenants_names_neither_until_one_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
        let world = crate::world_file::read(&sample).unwrap();
        let at = |text: &str| text.parse().unwrap();
        store.import(&world, at("2026-09-01T00:00:00Z"), "test").await.unwrap();
        let handle = world.tenants[0].handle.clone();
        let other = NewTenant { handle: "other".to_owned(), ..world.tenants[0].clone() };
        let other = World { tenants: vec![other], ..World::default() };
        store.import(&other, at("2026-09-02T00:00:00Z"), "test").await.unwrap();
        let issue = async |tenant, account| {
            let new = NewInvoice {
                tenant: TenantId(tenant),
                seller: None,
                account: AccountId(account),
                kind: InvoiceKind::Invoice,
                period_start: at("2026-10-01T00:00:00Z"),
                period_end: at("2026-11-01T00:00:00Z"),
                currency: Currency::EUR,
                net: Decimal::TEN,
                tax: Decimal::ZERO,
                gross: Decimal::TEN,
                prefix: "R:".to_owned(),
                year: 2026,
                issued_at: at("2026-11-02T00:00:00Z"),
                made_after: None,
            };
            store.invoice_create(&new, |_| String::new()).await.unwrap().0
        };
        let first = issue(1, 1).await;
        assert_eq!(numbered(&store, "R:2026-000001").await.unwrap().id, first.id);
        let second = issue(2, 2).await;
        assert_eq!((first.number.as_str(), second.id), ("R:2026-000001", InvoiceId(2)));
        let refused = numbered(&store, "R:2026-000001").await.unwrap_err().to_string();
        assert!(refused.contains("several tenants"), "{refused}");
        assert_eq!(numbered(&store, "other:R:2026-000001").await.unwrap().id, second.id);
        assert_eq!(numbered(&store, &format!("{handle}:R:2026-000001")).await.unwrap().id, first.id);
        assert!(numbered(&store, "nobody:R:2026-000001").await.is_err());
        assert!(numbered(&store, "R:2026-000009").await.is_err());
    }
}
