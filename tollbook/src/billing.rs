//! The billing run: for each customer, one invoice for one period, numbered, rendered, kept and queued for mail.
//!
//! Per account all or nothing, and again harmless: an account that has its invoice keeps it, and what a crash left undone (the PDF,
//! the mail) is done by the next run. An account is held back, alone, while a call of it is in suspense or the lake and the
//! ledger do not yet agree about its period, or while its reseller, who is the issuer, has no address.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use invoicing::{CallEntry, Credited, FeeLine, Invoice, Order, Period, Template, fees_due};
use lake::Lake;
use model::{
    Account, AccountId, AccountKind, AccountStatus, BillingCycle, BillingTerms, Body, Directory, Money,
    TariffVersion, TenantId,
};
use rust_decimal::Decimal;
use store::{InvoiceKind, InvoiceState, NewInvoice, Store, TermsBook};
use tracing::{debug, error, info, warn};

use crate::billing::calls::Calls;
use crate::billing::seller::Seller;
use crate::runner::Rooms;
use crate::system::Consumer;
use crate::{figures, invoice_mail};

mod calls;
mod seller;

/// What is billed.
#[derive(Debug, Clone)]
pub(crate) enum Window {
    /// A calendar month, such as `2026-10`, in each account's zone.
    Month(String),
    /// From the first of the month through this day.
    Through(NaiveDate),
    /// Whatever is over and has no invoice, by each account's own cycle.
    Due,
    /// Closing early: from the first of the month up to this instant. The rest of the month is billed with the month.
    UpTo(DateTime<Utc>),
}

impl Window {
    /// The billing period it asks for of an account; `None` for [`Window::Due`], which the account's documents decide.
    fn of(&self, account: &Account) -> Result<Option<Period>, invoicing::InvoicingError> {
        let period = match self {
            Window::Month(month) => Period::month(month, account.timezone)?,
            Window::Through(day) => {
                let first = day.with_day(1).unwrap_or(*day);
                Period::days(first, day.succ_opt().unwrap_or(*day), account.timezone)?
            }
            Window::UpTo(instant) => {
                let month = instant.with_timezone(&account.timezone).format("%Y-%m").to_string();
                Period { end: *instant, ..Period::month(&month, account.timezone)? }
            }
            Window::Due => return Ok(None),
        };
        Ok(Some(period))
    }
}

/// Periods that [`Window::Due`] goes back for one account.
const CATCH_UP_MAX: usize = 12;

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
    templates: Templates,
    terms: TermsBook,
    now: DateTime<Utc>,
    window: Window,
    /// Number nothing, keep nothing.
    dry_run: bool,
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
        let terms = store.billing_terms().await?;
        let templates = Templates::load(store).await?;
        let mut suspended: HashMap<_, Vec<_>> = HashMap::new();
        for record in store.suspense_list(0, u32::MAX).await? {
            suspended.entry(record.suspended.account).or_default().push(start_of(&record));
        }
        Ok(Self { store, lake, directory, templates, terms, now, window, dry_run, suspended })
    }

    /// The periods to be billed for `account`, oldest first: one, or those that are due.
    pub(crate) async fn periods(&self, account: &Account) -> anyhow::Result<Vec<Period>> {
        if let Some(period) = self.window.of(account)? {
            return Ok(vec![period]);
        }
        let billed_until =
            self.store.invoices_of(account.id).await?.iter().map(|known| known.period_end).max();
        let cycle = self.terms.account(account.id).cycle;
        let of_day = |day| Period::of_cycle(cycle, day, account.timezone);
        let mut first = of_day(self.now.with_timezone(&account.timezone).date_naive())?.first_day();
        let mut due = Vec::new();
        while due.len() < CATCH_UP_MAX
            && let Some(day_before) = first.pred_opt()
        {
            let period = of_day(day_before)?;
            if billed_until.is_some_and(|until| period.end <= until) {
                break;
            }
            first = period.first_day();
            due.push(period);
            // Of a customer without any invoice nobody knows since when it is one.
            if billed_until.is_none() {
                break;
            }
        }
        due.reverse();
        Ok(due)
    }

    /// Invoices all periods of `account`, and says so in the log.
    async fn bill_due(&self, account: &Account) -> anyhow::Result<()> {
        for period in self.periods(account).await? {
            match self.bill(account, period).await? {
                Outcome::Made { number, gross } => {
                    info!(account = account.handle, %period, number, %gross, "invoiced");
                }
                Outcome::Held(why) => warn!(account = account.handle, %period, why, "invoice held back"),
                Outcome::Kept { .. } | Outcome::Draft { .. } | Outcome::Nothing => {}
            }
        }
        Ok(())
    }

    /// Invoices `account` for `whole`, or for what of it has no invoice yet.
    pub(crate) async fn bill(&self, account: &Account, whole: Period) -> anyhow::Result<Outcome> {
        let documents = self.store.invoices_of(account.id).await?;
        let overlapping: Vec<_> = documents
            .iter()
            .filter(|invoice| {
                !matches!(invoice.kind, InvoiceKind::CreditNote { .. })
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
        let n_up = self.lake.in_progress(account.id, period.start, period.end).await?;
        if n_up > 0 {
            return Ok(Outcome::Held(format!(
                "{n_up} of its calls of this period are still up: run it again when they have ended"
            )));
        }
        let days = self.days(account, period).await?;
        let billed: Decimal = days.iter().map(|day| day.cost).sum();
        let posted = self.store.owed_for_calls(account.id, period.start, period.end).await?;
        if billed != posted {
            return Ok(Outcome::Held(format!(
                "the lake says {}, the ledger {}: the last calls are still on their way, run it again in a minute",
                billed.normalize(),
                posted.normalize()
            )));
        }
        let late = self.late(account, period, &documents).await?;
        let seller = Seller::of(account, self.directory, &self.terms)?;
        let draft = self.draft(&seller, account, period, whole, Calls { days, late }).await?;
        if draft.is_empty() {
            return Ok(Outcome::Nothing);
        }
        if let Some(why) = seller.hold() {
            return Ok(Outcome::Held(why));
        }
        if let Some(why) = self.einvoice_hold(account, &draft)? {
            return Ok(Outcome::Held(why));
        }
        let gross = Money::new(draft.totals.gross, draft.currency);
        if self.dry_run {
            return Ok(Outcome::Draft { gross });
        }
        let kept = self.number(seller, account, &draft, InvoiceKind::Invoice, Some(documents.len())).await?;
        self.finish(account, &kept).await?;
        Ok(Outcome::Made { number: kept.number, gross })
    }

    /// Why the account's e-invoice cannot be written. It is asked before a number is taken.
    fn einvoice_hold(&self, account: &Account, draft: &Invoice) -> anyhow::Result<Option<String>> {
        let Some(profile) = invoice_mail::profile_of(self.terms.account(account.id).einvoice) else {
            return Ok(None);
        };
        let missing = invoicing::missing(&numbered(draft, NUMBER_SHAPE)?, profile);
        let why = || format!("it wants {}, which lacks {}", profile.name(), missing.join("; "));
        Ok((!missing.is_empty()).then(why))
    }

    /// The account has its invoices for all of the period. What a crash left undone is done now; calls that came in since are on
    /// its next invoice.
    async fn kept(&self, account: &Account, invoices: &[&store::Invoice]) -> anyhow::Result<Outcome> {
        if !self.dry_run {
            for invoice in invoices {
                self.finish(account, invoice).await?;
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
        // The calls to come in it would be on no invoice.
        if period.end > self.now {
            return Some(format!("{} is not over", period.in_words()));
        }
        None
    }

    /// What the account is to pay for `period`, the part of `whole` that no invoice has yet.
    async fn draft(
        &self,
        seller: &Seller,
        account: &Account,
        period: Period,
        whole: Period,
        Calls { days, late }: Calls,
    ) -> anyhow::Result<Invoice> {
        let usage = invoicing::usage_lines(&days).with_context(|| {
            format!(
                "account {}: more calls of {} were taken back than made",
                account.handle,
                period.in_words()
            )
        })?;
        let terms = self.terms.account(account.id);
        // The tariff's fee was on the invoice of the period's first part.
        let is_monthly = terms.cycle == BillingCycle::Monthly;
        let mut fees = if period.start == whole.start || !is_monthly {
            self.tariff_fees(account, period, is_monthly)
        } else {
            Vec::new()
        };
        fees.extend(fees_due(&terms.fees, period, whole, account.currency)?);
        let calls = if terms.call_list { self.calls(account, period, &terms).await? } else { Vec::new() };
        let tariff =
            account.profile_at(period.start).and_then(|profile| self.tariff_at(profile, period.start));
        Ok(invoicing::assemble(Order {
            tenant: &seller.issuer,
            seller_terms: &seller.terms,
            account,
            terms: &terms,
            period,
            fees,
            usage,
            late,
            days,
            calls,
            is_prepaid: tariff.is_some_and(|version| version.profile.prepaid),
            issue_date: self.today(seller),
        })?)
    }

    /// Every call that the account pays for, its last digits hidden.
    async fn calls(
        &self,
        account: &Account,
        period: Period,
        terms: &BillingTerms,
    ) -> anyhow::Result<Vec<CallEntry>> {
        let hidden =
            terms.masked_digits.map_or(MASKED_DIGITS, |digits| usize::try_from(digits).unwrap_or(usize::MAX));
        let calls = self.lake.billed_calls(account.id, period.start, period.end).await?;
        let entries = calls.into_iter().map(|call| CallEntry {
            at: call.start_at.with_timezone(&period.timezone).naive_local(),
            to: masked(&call.destination, hidden),
            zone: call.zone,
            seconds: call.duration_seconds,
            cost: call.cost,
        });
        Ok(entries.collect())
    }

    /// The tariff version of a profile in force at an instant.
    fn tariff_at(&self, profile: model::ProfileId, at: DateTime<Utc>) -> Option<&TariffVersion> {
        self.directory
            .tariffs
            .iter()
            .filter(|version| version.profile.id == profile && version.valid_from <= at)
            .max_by_key(|version| version.valid_from)
    }

    /// The monthly fee of the profile in force when the period began: all of it with the first days of a month, or, for an
    /// account of another cycle, by days.
    fn tariff_fees(&self, account: &Account, period: Period, is_monthly: bool) -> Vec<FeeLine> {
        // What remains of a month after an early invoice has had its fee.
        if is_monthly && !begins_a_month(period) {
            return Vec::new();
        }
        let Some(profile) = account.profile_at(period.start) else { return Vec::new() };
        let Some(version) =
            self.tariff_at(profile, period.start).filter(|version| !version.interval_charge.is_zero())
        else {
            return Vec::new();
        };
        let share = if is_monthly { Decimal::ONE } else { period.months() };
        let amount = Money::new(version.interval_charge * share, version.profile.currency);
        vec![FeeLine::whole(version.profile.name.clone(), amount)]
    }

    async fn number(
        &self,
        seller: Seller,
        account: &Account,
        draft: &Invoice,
        kind: InvoiceKind,
        made_after: Option<usize>,
    ) -> anyhow::Result<store::Invoice> {
        let new = NewInvoice {
            tenant: seller.issuer.id,
            seller: seller.reseller.map(|(id, _)| id),
            account: account.id,
            kind,
            period_start: draft.period.start,
            period_end: draft.period.end,
            currency: draft.currency,
            net: draft.totals.net,
            tax: draft.totals.vat,
            gross: draft.totals.gross,
            prefix: seller.prefix,
            year: draft.issue_date.year(),
            issued_at: self.now,
            made_after,
        };
        // The number is known only inside the transaction, so a number that makes no valid document is found here first.
        final_json(draft, &format!("{}{}-000000", new.prefix, new.year))?;
        let document = |number: &str| final_json(draft, number).unwrap_or_default();
        Ok(self.store.invoice_create(&new, document).await?.0)
    }

    /// Takes back an invoice or a part of it, with the number its seller gives the credit note.
    pub(crate) async fn credit(
        &self,
        account: &Account,
        of: &store::Invoice,
        credited: Credited,
        reason: &str,
    ) -> anyhow::Result<store::Invoice> {
        let seller = Seller::of(account, self.directory, &self.terms)?;
        let invoice = Invoice::from_json(&of.document)?;
        let draft = invoicing::credit_note(&invoice, credited, reason, self.today(&seller))?;
        let kept = self.number(seller, account, &draft, InvoiceKind::CreditNote { of: of.id }, None).await?;
        self.finish(account, &kept).await?;
        Ok(kept)
    }

    /// Bills again the period of an invoice that was taken back, from what is known now.
    pub(crate) async fn correct(
        &self,
        account: &Account,
        of: &store::Invoice,
        reason: &str,
    ) -> anyhow::Result<store::Invoice> {
        let seller = Seller::of(account, self.directory, &self.terms)?;
        let wrong = Invoice::from_json(&of.document)?;
        let documents = self.store.invoices_of(account.id).await?;
        let days = self.days_without_others(account, of, wrong.period, &documents).await?;
        let calls = Calls { days, late: Vec::new() };
        let draft = self.draft(&seller, account, wrong.period, wrong.period, calls).await?;
        let draft = invoicing::corrected(&wrong, draft, reason)?;
        let kind = InvoiceKind::Corrected { of: of.id };
        let kept = self.number(seller, account, &draft, kind, Some(documents.len())).await?;
        self.finish(account, &kept).await?;
        Ok(kept)
    }

    /// Today, where the seller is.
    fn today(&self, seller: &Seller) -> NaiveDate {
        self.now.with_timezone(&seller.issuer.timezone).date_naive()
    }

    /// The PDF and the mail of an invoice, if they are not there yet.
    async fn finish(&self, account: &Account, kept: &store::Invoice) -> anyhow::Result<()> {
        let invoice = Invoice::from_json(&kept.document)?;
        let pdf = pdf_of(self.store, &self.templates, kept, &invoice).await?;
        if kept.state != InvoiceState::Final || account.contact.email.is_empty() {
            return Ok(());
        }
        let mail = invoice_mail::of(kept, &invoice, pdf, self.terms.account(account.id).einvoice)?;
        self.store.invoice_queue_mail(kept.id, &mail, self.now).await?;
        Ok(())
    }
}

/// Invoices whatever is due in a running house, once every record made until now has reached ledger and lake: so all that were
/// made in a period that is over have.
pub(crate) async fn due(rooms: &Rooms, lake: &Lake, consumers: &[Consumer]) -> anyhow::Result<()> {
    let now = rooms.clock.utc();
    let waiting = figures::records_waiting(&*rooms.bus, consumers).await?;
    if waiting.iter().any(|(_, n_records)| *n_records > 0) {
        debug!(?waiting, "billing waits for the pipeline");
        return Ok(());
    }
    let directory = rooms.directory.current();
    let run = Run::prepare(&rooms.store, lake, &directory, now, Window::Due, false).await?;
    for account in directory.accounts.iter().filter(|account| is_billed(account)) {
        // One account's trouble is its own.
        if let Err(why) = run.bill_due(account).await {
            error!(account = account.handle, error = format!("{why:#}"), "account not billed");
        }
    }
    Ok(())
}

/// The PDF that is kept, or one made and kept now.
pub(crate) async fn pdf_of(
    store: &Store,
    templates: &Templates,
    kept: &store::Invoice,
    invoice: &Invoice,
) -> anyhow::Result<Vec<u8>> {
    if let Some(pdf) = store.invoice_pdf(kept.id).await? {
        return Ok(pdf);
    }
    let (invoice, template) = (invoice.clone(), templates.of(kept.tenant));
    let pdf = tokio::task::spawn_blocking(move || invoicing::render_pdf(&invoice, &template))
        .await?
        .with_context(|| format!("render invoice {}", kept.number))?;
    store.invoice_attach_pdf(kept.id, pdf.clone()).await?;
    Ok(pdf)
}

/// The templates that invoices are typeset from.
#[derive(Default)]
pub(crate) struct Templates(HashMap<TenantId, Template>);

impl Templates {
    /// Those of the tenants that have their own.
    pub(crate) async fn load(store: &Store) -> anyhow::Result<Self> {
        let mut templates = HashMap::new();
        for (tenant, files) in store.invoice_templates().await? {
            let template = Template::with(files)
                .with_context(|| format!("read the invoice template of tenant {tenant}"))?;
            templates.insert(tenant, template);
        }
        Ok(Self(templates))
    }

    fn of(&self, tenant: TenantId) -> Template {
        self.0.get(&tenant).cloned().unwrap_or_default()
    }
}

/// What stands for the digits that a call list hides.
const HIDDEN: char = '*';

/// Digits hidden where the terms do not say how many.
const MASKED_DIGITS: usize = 3;

/// `number` with its last `hidden` characters hidden.
fn masked(number: &str, hidden: usize) -> String {
    let shown = number.chars().count().saturating_sub(hidden);
    number.chars().enumerate().map(|(idx, c)| if idx < shown { c } else { HIDDEN }).collect()
}

/// When the call of a record in suspense started. `None` holds back every period, because it may belong to any.
fn start_of(record: &store::SuspendedRecord) -> Option<DateTime<Utc>> {
    match model::wire::decode(&record.raw).ok()?.body {
        Body::Cdr(cdr) => Some(cdr.start_at),
        Body::Rated(rated) => Some(rated.cdr.start_at),
        Body::Posting(posting) => Some(posting.at),
        Body::Accrual(accrual) => Some(accrual.at),
        Body::Sighting(sighting) => Some(sighting.at),
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

/// Whether the period starts with the first instant of a month in its zone.
fn begins_a_month(period: Period) -> bool {
    let month = period.first_day().format("%Y-%m").to_string();
    Period::month(&month, period.timezone).is_ok_and(|month| month.start == period.start)
}

/// As long as the numbers of most sellers.
const NUMBER_SHAPE: &str = "INV-2026-000000";

fn numbered(draft: &Invoice, number: &str) -> Result<Invoice, invoicing::InvoicingError> {
    let mut invoice = draft.clone();
    invoice.finalise(number.to_owned())?;
    Ok(invoice)
}

fn final_json(draft: &Invoice, number: &str) -> Result<String, invoicing::InvoicingError> {
    numbered(draft, number)?.to_json()
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
mod tests;
