//! The billing run: for each customer, one invoice for one period, numbered, rendered, kept and queued for mail.
//!
//! Per account all or nothing, and again harmless: an account that has its invoice keeps it, and what a crash left undone (the PDF,
//! the mail) is done by the next run. An account is held back, alone, while a call of it is in suspense or the lake and the
//! ledger do not yet agree about its period.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use invoicing::{Invoice, LineItem, Period, RecurringFee, UsageLine};
use lake::Lake;
use model::{
    Account, AccountId, AccountKind, AccountStatus, Body, Directory, LedgerAccount, Money, TariffVersion,
    Tenant,
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
    /// Also a period that is not over; see [`Run::only_what_is_over`].
    may_close_early: bool,
    /// Invoices there were when the run began.
    earlier: Vec<store::Invoice>,
    /// Records in suspense, by account: when their call started, if that can be told.
    suspended: HashMap<AccountId, Vec<Option<DateTime<Utc>>>>,
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
        let mut suspended: HashMap<_, Vec<_>> = HashMap::new();
        for record in store.suspense_list(0, u32::MAX).await? {
            suspended.entry(record.suspended.account).or_default().push(start_of(&record));
        }
        let may_close_early = matches!(window, Window::Through(_));
        Ok(Self { store, lake, directory, now, window, dry_run, may_close_early, earlier, suspended })
    }

    /// Holds back every account whose period is still going on: the calls to come in it would be on no invoice.
    pub(crate) fn only_what_is_over(self) -> Self {
        Self { may_close_early: false, ..self }
    }

    /// Invoices `account`.
    pub(crate) async fn account(&self, account: &Account) -> anyhow::Result<Outcome> {
        let whole = self.window.of(account)?;
        let overlapping: Vec<_> = self
            .earlier
            .iter()
            .filter(|invoice| {
                invoice.account == account.id
                    && invoice.period_start < whole.end
                    && whole.start < invoice.period_end
            })
            .collect();
        let period = match what_remains(whole, overlapping.iter().map(|i| (i.period_start, i.period_end))) {
            Remains::Nothing => return self.kept(account, &overlapping).await,
            Remains::Period(period) => period,
            Remains::Pieces => {
                let numbers: Vec<_> = overlapping.iter().map(|invoice| invoice.number.as_str()).collect();
                return Ok(Outcome::Held(format!(
                    "{} covers a part in the midst of {}; choose a period that begins or ends with it",
                    numbers.join(", "),
                    whole.in_words()
                )));
            }
        };
        if let Some(why) = self.hold(account, period) {
            return Ok(Outcome::Held(why));
        }
        let usage = self.usage(account, period).await?;
        let billed: Decimal = usage.iter().map(|line| line.cost).sum();
        let posted = self.posted(account, period).await?;
        if billed != posted {
            return Ok(Outcome::Held(format!(
                "the lake says {billed}, the ledger {posted}: the last calls are still on their way, run it again in a minute"
            )));
        }
        let tenant = self.tenant(account)?;
        let issue_date = self.now.with_timezone(&tenant.timezone).date_naive();
        // The fee was on the invoice of the period's first part.
        let fees = if period.start == whole.start { self.fees(account, period) } else { Vec::new() };
        let draft = invoicing::assemble(tenant, account, period, fees, usage, issue_date)?;
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

    fn tenant(&self, account: &Account) -> anyhow::Result<&Tenant> {
        let tenants = &self.directory.tenants;
        tenants
            .iter()
            .find(|tenant| tenant.id == account.tenant)
            .with_context(|| format!("account {} belongs to no tenant", account.handle))
    }

    /// The account has its invoices for all of the period. What a crash left undone is done now; calls that came in after one
    /// of them are told, as they are on no invoice.
    async fn kept(&self, account: &Account, invoices: &[&store::Invoice]) -> anyhow::Result<Outcome> {
        for invoice in invoices {
            if !self.dry_run {
                self.finish(account, invoice).await?;
            }
            let document = Invoice::from_json(&invoice.document)?;
            let mut stated = Decimal::ZERO;
            for line in &document.lines {
                match line.item {
                    LineItem::Usage { .. } => stated += line.net,
                    LineItem::Recurring { .. } => {}
                }
            }
            let usage = self.usage(account, document.period).await?;
            let tenant = self.tenant(account)?;
            let again = invoicing::assemble(
                tenant,
                account,
                document.period,
                Vec::new(),
                usage,
                document.issue_date,
            )?;
            if again.totals.net != stated {
                let currency = document.currency;
                return Ok(Outcome::Held(format!(
                    "{} bills calls for {}, but those of its period have come to {} since: credit or bill the difference by hand",
                    invoice.number,
                    Money::new(stated, currency).round_to_minor(),
                    Money::new(again.totals.net, currency).round_to_minor(),
                )));
            }
        }
        let Some(last) = invoices.last() else { return Ok(Outcome::Nothing) };
        Ok(Outcome::Kept { number: last.number.clone(), gross: last.gross.round_to_minor() })
    }

    /// Why the account cannot be billed yet.
    fn hold(&self, account: &Account, period: Period) -> Option<String> {
        let suspended = self.suspended.get(&account.id).map_or(&[][..], Vec::as_slice);
        let n_suspended = suspended.iter().filter(|at| at.is_none_or(|at| period.contains(at))).count();
        if n_suspended > 0 {
            return Some(format!(
                "{n_suspended} of its records of this period are in suspense; see `tollbook suspense`"
            ));
        }
        if !self.may_close_early && period.end > self.now {
            return Some(format!("{} is not over", period.in_words()));
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
                "Dear {},\n\nplease find attached invoice {} for {}: {}, due on {}.\n\n{}\n{}\n",
                account.contact.name,
                kept.number,
                invoice.period.in_words(),
                kept.gross.round_to_minor(),
                invoice.due_date.format("%-d %B %Y"),
                invoice.issuer.name,
                invoice.issuer.email,
            ),
            attachments: vec![(format!("{}.pdf", kept.number), "application/pdf".to_owned(), pdf)],
            about: format!("invoice:{}", kept.id),
        };
        self.store.invoice_queue_mail(kept.id, &mail, self.now).await?;
        Ok(())
    }
}

/// When the call of a record in suspense started. `None` holds back every period, because it may belong to any.
fn start_of(record: &store::SuspendedRecord) -> Option<DateTime<Utc>> {
    match model::wire::decode(&record.raw).ok()?.body {
        Body::Cdr(cdr) => Some(cdr.start_at),
        Body::Rated(rated) => Some(rated.cdr.start_at),
        Body::Posting(posting) => Some(posting.at),
        Body::Call(_) | Body::Edr(_) | Body::Control(_) | Body::Tick(_) => None,
    }
}

/// What of a period no invoice covers yet.
#[derive(Debug, PartialEq, Eq)]
enum Remains {
    Nothing,
    Period(Period),
    /// Before and after what is covered.
    Pieces,
}

/// Cuts what is `covered`, spans that overlap it, off the beginning and the end of `period`.
fn what_remains(period: Period, covered: impl Iterator<Item = (DateTime<Utc>, DateTime<Utc>)>) -> Remains {
    let mut covered: Vec<_> = covered.collect();
    covered.sort_unstable();
    let mut rest = period;
    for &(start, end) in &covered {
        if start <= rest.start {
            rest.start = rest.start.max(end);
        }
    }
    for &(start, end) in covered.iter().rev() {
        if end >= rest.end {
            rest.end = rest.end.min(start);
        }
    }
    if rest.start >= rest.end {
        Remains::Nothing
    } else if covered.iter().any(|&(start, end)| start < rest.end && rest.start < end) {
        Remains::Pieces
    } else {
        Remains::Period(rest)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(covered: &[(u32, u32)], expected: &str) {
        let days = |first: u32, end: u32| {
            let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
            Period::days(day(first), day(end), chrono_tz::Europe::Vienna).unwrap()
        };
        let covered = covered.iter().map(|&(first, end)| days(first, end)).map(|span| (span.start, span.end));
        let shown = match what_remains(days(1, 30), covered) {
            Remains::Nothing => "nothing".to_owned(),
            Remains::Period(period) => period.in_words(),
            Remains::Pieces => "pieces".to_owned(),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn no_day_is_billed_twice_and_none_is_left_out() {
        check(&[], "1 – 29 November 2026");
        check(&[(1, 30)], "nothing");
        check(&[(1, 11)], "11 – 29 November 2026");
        check(&[(1, 11), (11, 21)], "21 – 29 November 2026");
        check(&[(11, 21), (1, 11), (21, 30)], "nothing");
        check(&[(21, 30)], "1 – 20 November 2026");
        check(&[(1, 5), (21, 30)], "5 – 20 November 2026");
        check(&[(11, 21)], "pieces");
        check(&[(1, 5), (11, 21)], "pieces");
    }
}
