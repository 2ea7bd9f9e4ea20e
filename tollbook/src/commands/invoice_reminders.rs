//! `tollbook invoice remind`: mails about invoices that are overdue.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use invoicing::Invoice;
use model::Directory;
use rust_decimal::Decimal;
use store::{InvoiceKind, InvoiceState, LastMail, Store, TermsBook};

use crate::billing::{Templates, pdf_of};
use crate::clock::Clock;
use crate::commands::invoice::{handle_of, numbered};
use crate::commands::print_table;
use crate::config::Config;
use crate::failure::UserError;
use crate::invoice_mail::{self, Occasion, reminder_of};
use crate::system::open_store;

/// An invoice whose money has not come in.
struct Overdue {
    kept: store::Invoice,
    invoice: Invoice,
    left: Decimal,
    today: NaiveDate,
    /// The reminder that was the last one when this was looked up.
    last: Option<LastMail>,
}

/// Invoices that are overdue, and those of which that cannot be told, with why.
struct Found {
    due: Vec<Overdue>,
    unreadable: Vec<(store::Invoice, anyhow::Error)>,
}

/// Reminds of one invoice, or of all that are overdue for so many days and were not reminded of in so many.
pub(super) async fn remind(
    config: &Config,
    number: Option<&str>,
    (overdue, pause): (u32, u32),
    dry_run: bool,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let directory = store.directory().await?;
    let now = Clock::start().utc();
    let found = match number {
        Some(number) => {
            let kept = numbered(&store, number).await?;
            Found { due: vec![one(&store, &directory, kept, now).await?], unreadable: Vec::new() }
        }
        None => all(&store, &directory, (overdue, pause), now).await?,
    };
    let (templates, terms) = (Templates::load(&store).await?, store.billing_terms().await?);
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for due in &found.due {
        let said = if due.invoice.customer.email.is_empty() {
            "its customer has no mail address".to_owned()
        } else if dry_run {
            "dry run, nothing queued".to_owned()
        } else {
            // The others are reminded all the same.
            match queue(&store, (&directory, &templates, &terms), due, now).await {
                Ok(true) => "queued".to_owned(),
                Ok(false) => "somebody else has just queued one".to_owned(),
                Err(why) => {
                    failures.push(due.kept.number.clone());
                    format!("{why:#}")
                }
            }
        };
        rows.push(vec![
            due.kept.number.clone(),
            handle_of(&directory, due.kept.account),
            due.invoice.due_date.to_string(),
            format!("{} {}", due.left, due.invoice.currency),
            said,
        ]);
    }
    for (kept, why) in found.unreadable {
        let account = handle_of(&directory, kept.account);
        rows.push(vec![kept.number.clone(), account, String::new(), String::new(), format!("{why:#}")]);
        failures.push(kept.number);
    }
    print_table(&["invoice", "account", "due", "left", ""], rows.into_iter(), "nothing is overdue");
    anyhow::ensure!(failures.is_empty(), "no reminder of {}", failures.join(", "));
    Ok(())
}

/// Queues a reminder; `false` where somebody else has queued one since the invoice was looked up.
async fn queue(
    store: &Store,
    (directory, templates, terms): (&Directory, &Templates, &TermsBook),
    due: &Overdue,
    now: DateTime<Utc>,
) -> anyhow::Result<bool> {
    let pdf = pdf_of(store, templates, &due.kept, &due.invoice).await?;
    let why =
        (terms.account(due.kept.account).einvoice, Occasion::Overdue { left: due.left, today: due.today });
    let handle = handle_of(directory, due.kept.account);
    let mail = invoice_mail::of(&due.kept, &due.invoice, &handle, pdf, why)?;
    Ok(store.mail_enqueue_next(&mail, due.last, now).await?.is_some())
}

/// The one that was named, however short a time it is overdue.
async fn one(
    store: &Store,
    directory: &Directory,
    kept: store::Invoice,
    now: DateTime<Utc>,
) -> anyhow::Result<Overdue> {
    let number = kept.number.clone();
    let refuse = |rule: &str| UserError::new(format!("invoice {number}: {rule}"), "");
    if matches!(kept.kind, InvoiceKind::CreditNote { .. }) {
        return Err(refuse("it is a credit note; nothing is to be paid on it").into());
    }
    if !is_open(kept.state) {
        return Err(refuse(&format!("it is {} already", kept.state.as_str())).into());
    }
    let last = store.mails_about(&reminder_of(kept.id)).await?.get(&reminder_of(kept.id)).copied();
    let due = overdue_of(store, directory, &kept, last, now).await?;
    if due.left <= Decimal::ZERO {
        return Err(refuse("nothing is left to be paid on it").into());
    }
    if due.today <= due.invoice.due_date {
        return Err(refuse(&format!("it is due on {}, and not overdue", due.invoice.due_date)).into());
    }
    Ok(due)
}

async fn all(
    store: &Store,
    directory: &Directory,
    (overdue, pause): (u32, u32),
    now: DateTime<Utc>,
) -> anyhow::Result<Found> {
    let reminded: HashMap<String, LastMail> = store.mails_about("reminder:").await?;
    let since = now - TimeDelta::days(pause.into());
    let mut found = Found { due: Vec::new(), unreadable: Vec::new() };
    for id in store.invoices_open().await? {
        let last = reminded.get(&reminder_of(id)).copied();
        if last.and_then(|last| last.queued_at).is_some_and(|queued_at| queued_at > since) {
            continue;
        }
        let kept = store.invoice_get(id).await?;
        let due = match overdue_of(store, directory, &kept, last, now).await {
            Ok(due) => due,
            Err(why) => {
                found.unreadable.push((kept, why));
                continue;
            }
        };
        let days = due.today.signed_duration_since(due.invoice.due_date).num_days();
        if due.left > Decimal::ZERO && days >= i64::from(overdue.max(1)) {
            found.due.push(due);
        }
    }
    Ok(found)
}

async fn overdue_of(
    store: &Store,
    directory: &Directory,
    kept: &store::Invoice,
    last: Option<LastMail>,
    now: DateTime<Utc>,
) -> anyhow::Result<Overdue> {
    let invoice =
        Invoice::from_json(&kept.document).with_context(|| format!("read invoice {}", kept.number))?;
    let left = invoice.totals.payable() - store.invoice_credited(kept.id).await?;
    let today = today_of(directory, kept, now);
    Ok(Overdue { kept: kept.clone(), invoice, left, today, last })
}

/// Today, where the seller is: a reseller, or the tenant.
fn today_of(directory: &Directory, kept: &store::Invoice, now: DateTime<Utc>) -> NaiveDate {
    let reseller = kept.seller.and_then(|id| directory.accounts.iter().find(|known| known.id == id));
    let tenant = directory.tenants.iter().find(|known| known.id == kept.tenant);
    let zone = reseller.map(|known| known.timezone).or_else(|| tenant.map(|known| known.timezone));
    now.with_timezone(&zone.unwrap_or(chrono_tz::UTC)).date_naive()
}

const fn is_open(state: InvoiceState) -> bool {
    match state {
        InvoiceState::Final | InvoiceState::Queued | InvoiceState::Sent => true,
        InvoiceState::Paid | InvoiceState::Void => false,
    }
}

#[cfg(test)]
mod tests {
    use lake::Lake;
    use model::{Account, MailEvent};
    use store::InvoiceSums;

    use super::*;
    use crate::billing::{Run, Window, is_billed};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn reminded_is_who_has_not_paid_in_time_and_not_again_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
        let mut world = crate::world_file::read(&sample).unwrap();
        for tariff in &mut world.tariffs {
            tariff.version.interval_charge = Decimal::TEN;
        }
        store.import(&world, at("2026-09-01T00:00:00Z"), "test").await.unwrap();
        let directory = store.directory().await.unwrap();
        let lake = Lake::open(lake::LakeConfig::new(dir.path().join("lake"))).unwrap();
        let window = Window::Month("2026-10".to_owned());
        let mut run =
            Run::prepare(&store, &lake, &directory, at("2026-11-02T00:00:00Z"), window, false).await.unwrap();
        let wanted = |account: &&Account| is_billed(account) && account.handle != "atelier-novak";
        let accounts: Vec<&Account> = directory.accounts.iter().filter(wanted).collect();
        run.bill_all(&accounts, &mut |_, outcome| drop(outcome.unwrap())).await.unwrap();
        let overdue = async |now: &str, (days, pause)| {
            let found = all(&store, &directory, (days, pause), at(now)).await.unwrap();
            assert!(found.unreadable.is_empty());
            found.due.into_iter().map(|due| due.kept.number).collect::<Vec<_>>()
        };
        // Those of two weeks are due on 16 November, to its end.
        assert!(overdue("2026-11-16T22:00:00Z", (1, 14)).await.is_empty());
        let late = overdue("2026-11-17T12:00:00Z", (1, 14)).await;
        let today: NaiveDate = "2026-11-17".parse().unwrap();
        let is_late = |kept: &store::Invoice| {
            let invoice = Invoice::from_json(&kept.document).unwrap();
            invoice.due_date < today && invoice.totals.payable() > Decimal::ZERO
        };
        let issued = store.invoice_list().await.unwrap();
        let expected: Vec<_> =
            issued.iter().filter(|kept| is_late(kept)).map(|kept| kept.number.clone()).collect();
        assert!(expected.len() > 3, "{expected:?}");
        assert_eq!(late, expected);
        assert!(overdue("2026-11-17T12:00:00Z", (2, 14)).await.is_empty());
        // One has paid, of another a part was forgiven.
        let (paid, other) = (&late[0], &late[1]);
        let paid = numbered(&store, paid).await.unwrap();
        let sums = InvoiceSums { payable: paid.gross.amount, calls: Decimal::ZERO };
        store.invoice_paid(paid.id, sums, "test", at("2026-11-17T12:00:00Z")).await.unwrap();
        let credited = numbered(&store, other).await.unwrap();
        let account = directory.accounts.iter().find(|account| account.id == credited.account).unwrap();
        let part = invoicing::Credited::Part { line_idx: 0, net: Decimal::ONE };
        let note = run.credit(account, &credited, part, "goodwill").await.unwrap();
        let now = at("2026-11-20T12:00:00Z");
        let due = all(&store, &directory, (1, 14), now).await.unwrap().due;
        assert_eq!(due.len(), late.len() - 1);
        let reduced = due.iter().find(|due| &due.kept.number == other).unwrap();
        assert_eq!(reduced.left, credited.gross.amount - note.gross.amount);

        let (templates, terms) =
            (Templates::load(&store).await.unwrap(), store.billing_terms().await.unwrap());
        for due in &due {
            let both = [
                queue(&store, (&directory, &templates, &terms), due, now).await.unwrap(),
                queue(&store, (&directory, &templates, &terms), due, now).await.unwrap(),
            ];
            assert_eq!(both, [true, false], "what a second command looked up before the first one queued it");
        }
        let mails = store.mail_list().await.unwrap();
        let reminders: Vec<_> = mails
            .iter()
            .filter(|mail| mail.fill.as_ref().is_some_and(|fill| fill.event == MailEvent::Reminder))
            .collect();
        assert_eq!(reminders.len(), due.len());
        let values = &reminders[0].fill.as_ref().unwrap().variables;
        assert_eq!(values["days_overdue"], "4");
        let says = |text: &str| reminders.iter().any(|mail| mail.mail.text.contains(text));
        assert!(says("was due on 16 November 2026"), "{reminders:?}");
        // Of the longer terms that some have, none is over yet.
        assert!(overdue("2026-11-26T12:00:00Z", (1, 7)).await.is_empty());
        assert_eq!(overdue("2026-11-28T12:00:00Z", (1, 7)).await.len(), due.len());
        assert!(overdue("2026-11-28T12:00:00Z", (1, 14)).await.is_empty());

        // One that cannot be read keeps nobody else from being reminded.
        let account = directory.accounts.iter().find(|account| account.id == credited.account).unwrap();
        let odd = store::NewInvoice {
            tenant: account.tenant,
            seller: None,
            account: account.id,
            kind: InvoiceKind::Invoice,
            period_start: at("2026-08-01T00:00:00Z"),
            period_end: at("2026-09-01T00:00:00Z"),
            currency: account.currency,
            net: Decimal::TEN,
            tax: Decimal::ZERO,
            gross: Decimal::TEN,
            prefix: "ODD-".to_owned(),
            year: 2025,
            issued_at: at("2026-11-20T00:00:00Z"),
            made_after: None,
        };
        let (odd, _) = store.invoice_create(&odd, |_| "{}".to_owned()).await.unwrap();
        let found = all(&store, &directory, (1, 7), at("2026-11-28T12:00:00Z")).await.unwrap();
        assert_eq!(found.due.len(), due.len());
        assert_eq!(found.unreadable.iter().map(|(kept, _)| kept.id).collect::<Vec<_>>(), [odd.id]);
    }
}
