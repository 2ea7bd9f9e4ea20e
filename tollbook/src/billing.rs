//! The billing run: for each customer, one invoice for one period, numbered, rendered, kept and queued for mail.
//!
//! Per account all or nothing, and again harmless: an account that has its invoice keeps it, and what a crash left undone (the PDF,
//! the mail) is done by the next run. An account is held back, alone, while a call of it is in suspense or the lake and the
//! ledger do not yet agree about its period.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use invoicing::{Invoice, Period, RecurringFee, UsageLine};
use lake::Lake;
use model::{
    Account, AccountId, AccountKind, AccountStatus, Directory, LedgerAccount, Money, TariffVersion, Tenant,
};
use rust_decimal::Decimal;
use store::{InvoiceState, NewInvoice, NewMail, Store};

/// In front of every invoice number.
const NUMBER_PREFIX: &str = "INV-";

/// Zone of termination fees on an invoice.
const INCOMING_ZONE: &str = "Incoming calls";

/// What is billed.
#[derive(Debug, Clone)]
pub(crate) enum Window {
    /// A calendar month, such as `2026-10`, in each account's zone.
    Month(String),
    /// From the first of the month through this day.
    Through(NaiveDate),
}

impl Window {
    fn of(&self, account: &Account) -> Result<Period, invoicing::InvoicingError> {
        match self {
            Window::Month(month) => Period::month(month, account.timezone),
            Window::Through(day) => {
                let first = day.with_day(1).unwrap_or(*day);
                Period::days(first, day.succ_opt().unwrap_or(*day), account.timezone)
            }
        }
    }
}

/// What came of one account.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Numbered now.
    Made { number: String, gross: Money },
    /// It had its invoice.
    Kept { number: String, gross: Money },
    /// It would get this one; nothing was kept.
    Draft { gross: Money },
    /// No fee and no calls.
    Nothing,
    /// Not now, and why.
    Held(String),
}

/// Where a run works.
pub(crate) struct Run<'a> {
    store: &'a Store,
    lake: &'a Lake,
    directory: &'a Directory,
    now: DateTime<Utc>,
    window: Window,
    /// Number nothing, keep nothing.
    dry_run: bool,
    /// Invoices there were when the run began.
    earlier: Vec<store::Invoice>,
    /// Records in suspense, by account.
    suspended: HashMap<AccountId, u64>,
}

impl<'a> Run<'a> {
    /// Looks at what there is.
    pub(crate) async fn prepare(
        store: &'a Store,
        lake: &'a Lake,
        directory: &'a Directory,
        now: DateTime<Utc>,
        window: Window,
        dry_run: bool,
    ) -> anyhow::Result<Self> {
        let earlier = store.invoice_list().await?;
        let mut suspended = HashMap::new();
        for record in store.suspense_list(0, u32::MAX).await? {
            *suspended.entry(record.suspended.account).or_default() += 1;
        }
        Ok(Self { store, lake, directory, now, window, dry_run, earlier, suspended })
    }

    /// Invoices `account`.
    pub(crate) async fn account(&self, account: &Account) -> anyhow::Result<Outcome> {
        let period = self.window.of(account)?;
        let of_account = || self.earlier.iter().filter(|invoice| invoice.account == account.id);
        if let Some(done) = of_account()
            .find(|invoice| invoice.period_start == period.start && invoice.period_end == period.end)
        {
            if !self.dry_run {
                self.finish(account, done).await?;
            }
            return Ok(Outcome::Kept { number: done.number.clone(), gross: done.gross });
        }
        if let Some(other) = of_account()
            .find(|invoice| invoice.period_start < period.end && period.start < invoice.period_end)
        {
            return Ok(Outcome::Held(format!("invoice {} covers part of this period already", other.number)));
        }
        if let Some(why) = self.hold(account, period) {
            return Ok(Outcome::Held(why));
        }
        let tenant = self
            .directory
            .tenants
            .iter()
            .find(|tenant| tenant.id == account.tenant)
            .with_context(|| format!("account {} belongs to no tenant", account.handle))?;
        let usage = self.usage(account, period).await?;
        let billed: Decimal = usage.iter().map(|line| line.cost).sum();
        let posted = self.posted(account, period).await?;
        if billed != posted {
            return Ok(Outcome::Held(format!(
                "the lake says {billed}, the ledger {posted}: the last calls are still on their way, run it again in a minute"
            )));
        }
        let issue_date = self.now.with_timezone(&tenant.timezone).date_naive();
        let draft =
            invoicing::assemble(tenant, account, period, self.fees(account, period), usage, issue_date)?;
        if draft.is_empty() {
            return Ok(Outcome::Nothing);
        }
        let gross = Money::new(draft.totals.gross, draft.currency);
        if self.dry_run {
            return Ok(Outcome::Draft { gross });
        }
        let kept = self.number(tenant, account, &draft).await?;
        self.finish(account, &kept).await?;
        Ok(Outcome::Made { number: kept.number, gross })
    }

    /// Why the account cannot be billed yet.
    fn hold(&self, account: &Account, period: Period) -> Option<String> {
        if let Some(n_suspended) = self.suspended.get(&account.id) {
            return Some(format!("{n_suspended} of its calls are in suspense; see `tollbook suspense`"));
        }
        if matches!(self.window, Window::Month(_)) && period.end > self.now {
            return Some(format!("{period} is not over"));
        }
        None
    }

    async fn usage(&self, account: &Account, period: Period) -> anyhow::Result<Vec<UsageLine>> {
        let mut lines = Vec::new();
        for used in self.lake.usage(account.id, period.start, period.end).await? {
            let zone = used.zone.clone();
            lines.push(line_of(account, used, &zone)?);
        }
        let received = self.lake.incoming(account.id, period.start, period.end).await?;
        if let Some(currency) = received.currency {
            let (calls, billed_seconds, cost) = (received.calls, received.billed_seconds, received.cost);
            let zone_detail = String::new();
            let used =
                lake::UsageLine { zone: String::new(), zone_detail, calls, billed_seconds, cost, currency };
            lines.push(line_of(account, used, INCOMING_ZONE)?);
        }
        Ok(lines)
    }

    /// What the ledger says the account owes for calls of the period.
    async fn posted(&self, account: &Account, period: Period) -> anyhow::Result<Decimal> {
        let owed = LedgerAccount::Receivable(account.id);
        let mut sum = Decimal::ZERO;
        for posting in self.store.postings(account.id, period.start, period.end).await? {
            if posting.debit == owed {
                sum += posting.amount.amount;
            }
            if posting.credit == owed {
                sum -= posting.amount.amount;
            }
        }
        Ok(sum.normalize())
    }

    /// The recurring fee of the profile in force when the period began.
    fn fees(&self, account: &Account, period: Period) -> Vec<RecurringFee> {
        let Some(profile) = account.profile_at(period.start) else { return Vec::new() };
        let version: Option<&TariffVersion> = self
            .directory
            .tariffs
            .iter()
            .filter(|version| version.profile.id == profile && version.valid_from <= period.start)
            .max_by_key(|version| version.valid_from);
        let Some(version) = version.filter(|version| !version.interval_charge.is_zero()) else {
            return Vec::new();
        };
        let amount = Money::new(version.interval_charge, version.profile.currency);
        vec![RecurringFee { name: version.profile.name.clone(), amount }]
    }

    async fn number(
        &self,
        tenant: &Tenant,
        account: &Account,
        draft: &Invoice,
    ) -> anyhow::Result<store::Invoice> {
        let new = NewInvoice {
            tenant: tenant.id,
            account: account.id,
            period_start: draft.period.start,
            period_end: draft.period.end,
            currency: draft.currency,
            net: draft.totals.net,
            tax: draft.totals.vat,
            gross: draft.totals.gross,
            prefix: NUMBER_PREFIX.to_owned(),
            year: draft.issue_date.year(),
            issued_at: self.now,
        };
        // The number is known only inside the transaction, so a number that makes no valid document is found here first.
        final_json(draft, &format!("{NUMBER_PREFIX}{}-000000", new.year))?;
        let document = |number: &str| final_json(draft, number).unwrap_or_default();
        Ok(self.store.invoice_create(&new, document).await?.0)
    }

    /// The PDF and the mail of an invoice, if they are not there yet.
    async fn finish(&self, account: &Account, kept: &store::Invoice) -> anyhow::Result<()> {
        let pdf = match self.store.invoice_pdf(kept.id).await? {
            Some(pdf) => pdf,
            None => {
                let invoice = Invoice::from_json(&kept.document)?;
                let pdf = tokio::task::spawn_blocking(move || invoicing::render_pdf(&invoice))
                    .await?
                    .with_context(|| format!("render invoice {}", kept.number))?;
                self.store.invoice_attach_pdf(kept.id, pdf.clone()).await?;
                pdf
            }
        };
        if kept.state != InvoiceState::Issued || account.contact.email.is_empty() {
            return Ok(());
        }
        let invoice = Invoice::from_json(&kept.document)?;
        let mail = NewMail {
            to: vec![account.contact.email.clone()],
            subject: format!("Invoice {} from {}", kept.number, invoice.issuer.name),
            text: format!(
                "Dear {},\n\nplease find attached invoice {} over {} for {}, due on {}.\n\n{}\n",
                account.contact.name,
                kept.number,
                kept.gross,
                invoice.period,
                invoice.due_date,
                invoice.issuer.name
            ),
            attachments: vec![(format!("{}.pdf", kept.number), "application/pdf".to_owned(), pdf)],
            about: format!("invoice:{}", kept.id),
        };
        self.store.invoice_queue_mail(kept.id, &mail, self.now).await?;
        Ok(())
    }
}

fn line_of(account: &Account, used: lake::UsageLine, zone: &str) -> anyhow::Result<UsageLine> {
    anyhow::ensure!(
        used.currency == account.currency,
        "account {} is billed in {}, but has calls priced in {}",
        account.handle,
        account.currency,
        used.currency
    );
    Ok(UsageLine {
        zone: zone.to_owned(),
        zone_detail: used.zone_detail,
        calls: used.calls,
        billed_seconds: used.billed_seconds,
        cost: used.cost,
    })
}

fn final_json(draft: &Invoice, number: &str) -> Result<String, invoicing::InvoicingError> {
    let mut invoice = draft.clone();
    invoice.finalise(number.to_owned())?;
    invoice.to_json()
}

/// Who gets invoices: customers that were not terminated before.
pub(crate) fn is_billed(account: &Account) -> bool {
    match (account.kind, account.status) {
        (AccountKind::Customer, AccountStatus::Active | AccountStatus::Suspended) => true,
        (AccountKind::Customer, AccountStatus::Terminated)
        | (AccountKind::Reseller | AccountKind::Carrier, _) => false,
    }
}
