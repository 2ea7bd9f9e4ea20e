//! The billing run: for each customer and reseller, one invoice for one period, numbered, rendered, kept and queued for mail.
//!
//! Per account all or nothing, and again harmless: an account that has its invoice keeps it, and what a crash left undone (the PDF,
//! the mail) is done by the next run. An account is held back, alone, while a call of it is in suspense or the lake and the
//! ledger do not yet agree about its period, or while its reseller, who is the issuer, has no address.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt as _, StreamExt as _};
use invoicing::{FeeLine, Invoice, InvoiceLine, LineItem, Order, Period, Template, fees_due};
use lake::Lake;
use model::{
    Account, AccountId, AccountKind, AccountStatus, BillingCycle, Body, Directory, Money, TariffVersion,
    TenantId,
};
use rust_decimal::Decimal;
use store::{InvoiceKind, InvoiceState, InvoiceSums, NewInvoice, Store, TermsBook};
use tracing::{debug, error, info, warn};

use crate::billing::ahead::Ahead;
use crate::billing::calls::Calls;
pub(crate) use crate::billing::pipeline::{
    HouseSays, PATIENCE, QUESTIONS_INTERVAL, ask_house, on_its_way, see_questions,
};
use crate::billing::seller::Seller;
use crate::invoice_mail::{self, Occasion};
use crate::runner::Rooms;
use crate::system::Consumer;

mod ahead;
mod amend;
mod calls;
mod pipeline;
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

/// What came of each period of an account, or why nobody can say.
pub(crate) type AccountOutcome = anyhow::Result<Vec<(Period, Outcome)>>;

/// What came of one period, and the documents whose PDF and mail may be missing.
struct Decided {
    outcome: Outcome,
    unfinished: Vec<store::Invoice>,
}

impl Decided {
    const fn only(outcome: Outcome) -> Self {
        Self { outcome, unfinished: Vec::new() }
    }
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
    /// The reseller of each of those accounts that has one.
    reseller_of: HashMap<AccountId, AccountId>,
    /// What the lake has said of the accounts that come next.
    ahead: Ahead,
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
        let reseller_of = directory
            .accounts
            .iter()
            .filter(|account| suspended.contains_key(&account.id))
            .filter_map(|account| Some((account.id, account.reseller?)))
            .collect();
        let ahead = Ahead::default();
        Ok(Self {
            store,
            lake,
            directory,
            templates,
            terms,
            now,
            window,
            dry_run,
            suspended,
            reseller_of,
            ahead,
        })
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

    /// Invoices `accounts` for whatever the window asks for. `tell` hears of each account when all of it is done, in their order; one
    /// account's trouble is its own.
    ///
    /// Numbers are given one after the other. PDFs, which take longest, are typeset on every core meanwhile.
    pub(crate) async fn bill_all<'b>(
        &mut self,
        accounts: &[&'b Account],
        tell: &mut (dyn FnMut(&'b Account, AccountOutcome) + Send),
    ) -> anyhow::Result<()> {
        let n_typesetters = std::thread::available_parallelism().map_or(1, usize::from);
        for some in accounts.chunks(ahead::ACCOUNTS_MAX) {
            self.look_ahead(some).await;
            let run = &*self;
            let mut typesetting = FuturesOrdered::<BoxFuture<'_, _>>::new();
            for &account in some {
                let mut deciding = std::pin::pin!(run.decide_all(account));
                // What is being finished goes on meanwhile: it may hold the database that the next account waits for.
                let decided = loop {
                    tokio::select! {
                        decided = &mut deciding => break decided,
                        Some((account, outcomes)) = typesetting.next(), if !typesetting.is_empty() => {
                            tell(account, outcomes);
                        }
                    }
                };
                typesetting
                    .push_back(async move { (account, run.finish_all(account, decided).await) }.boxed());
                // One more than there are cores, so that none waits for the database.
                while typesetting.len() > n_typesetters
                    && let Some((account, outcomes)) = typesetting.next().await
                {
                    tell(account, outcomes);
                }
            }
            while let Some((account, outcomes)) = typesetting.next().await {
                tell(account, outcomes);
            }
        }
        self.ahead = Ahead::default();
        Ok(())
    }

    /// Asks the lake for all that `accounts` will need, where that can be known already.
    async fn look_ahead(&mut self, accounts: &[&Account]) {
        let mut wanted = Vec::new();
        for account in accounts {
            // What fails here fails again where its account hears of it.
            let periods = self.periods(account).await.unwrap_or_default();
            for period in periods {
                let documents = self.store.invoices_of(account.id).await.unwrap_or_default();
                if overlapping(&documents, period).is_empty() && self.hold(account, period).is_none() {
                    wanted.push((*account, period, self.terms.account(account.id).call_list));
                }
            }
        }
        let found = Ahead::look(self.lake, &wanted).await;
        self.ahead = found.unwrap_or_else(|why| {
            // Each account asks for itself then, and only the one whose calls cannot be read is left without an invoice.
            warn!(error = format!("{why:#}"), "the lake cannot say what many accounts owe at once");
            Ahead::default()
        });
    }

    async fn decide_all(&self, account: &Account) -> anyhow::Result<Vec<(Period, Decided)>> {
        let mut decided = Vec::new();
        for period in self.periods(account).await? {
            decided.push((period, self.decide(account, period).await?));
        }
        Ok(decided)
    }

    async fn finish_all(
        &self,
        account: &Account,
        decided: anyhow::Result<Vec<(Period, Decided)>>,
    ) -> AccountOutcome {
        let mut outcomes = Vec::new();
        for (period, Decided { outcome, unfinished }) in decided? {
            for kept in &unfinished {
                self.finish(account, kept).await?;
            }
            outcomes.push((period, outcome));
        }
        Ok(outcomes)
    }

    /// Invoices `account` for `whole`, or for what of it has no invoice yet.
    #[cfg(test)]
    async fn bill(&self, account: &Account, whole: Period) -> anyhow::Result<Outcome> {
        let decided = Ok(vec![(whole, self.decide(account, whole).await?)]);
        let mut outcomes = self.finish_all(account, decided).await?;
        Ok(outcomes.remove(0).1)
    }

    /// Numbers the invoice of `account` for `whole`, or for what of it has no invoice yet, or says why not.
    async fn decide(&self, account: &Account, whole: Period) -> anyhow::Result<Decided> {
        let documents = self.store.invoices_of(account.id).await?;
        let overlapping = overlapping(&documents, whole);
        let held = |why: String| Ok(Decided::only(Outcome::Held(why)));
        let period = match what_remains(whole, overlapping.iter().map(|i| (i.period_start, i.period_end))) {
            Remains::Nothing => return Ok(self.kept(&overlapping)),
            Remains::Period(period) => period,
            Remains::Pieces => {
                let numbers: Vec<_> = overlapping.iter().map(|invoice| invoice.number.as_str()).collect();
                return held(format!(
                    "{} covers a part in the midst of {}; choose a period that begins or ends with it",
                    numbers.join(", "),
                    whole.in_words()
                ));
            }
        };
        if let Some(why) = self.hold(account, period) {
            return held(why);
        }
        let n_up = self.n_up(account, period).await?;
        if n_up > 0 {
            return held(format!(
                "{n_up} of its calls of this period are still up: run it again when they have ended"
            ));
        }
        let days = self.days(account, period).await?;
        let billed: Decimal = days.iter().map(|day| day.cost).sum();
        let posted = self.store.owed_for_calls(account.id, period.start, period.end).await?;
        if billed != posted {
            return held(format!(
                "the lake says {}, the ledger {}: the last calls are still on their way, run it again in a minute",
                billed.normalize(),
                posted.normalize()
            ));
        }
        let late = self.late(account, period, &documents).await?;
        let seller = Seller::of(account, self.directory, &self.terms)?;
        let draft = self.draft(&seller, account, period, whole, Calls { days, late }).await?;
        if draft.is_empty() {
            return Ok(Decided::only(Outcome::Nothing));
        }
        if let Some(why) = seller.hold() {
            return held(why);
        }
        if let Some(why) = self.einvoice_hold(account, &draft)? {
            return held(why);
        }
        let gross = Money::new(draft.totals.gross, draft.currency);
        if self.dry_run {
            return Ok(Decided::only(Outcome::Draft { gross }));
        }
        let (kept, is_new) =
            self.number(seller, account, &draft, InvoiceKind::Invoice, Some(documents.len())).await?;
        if !is_new {
            // Another run was faster.
            return Ok(self.kept(&[&kept]));
        }
        Ok(Decided { outcome: Outcome::Made { number: kept.number.clone(), gross }, unfinished: vec![kept] })
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
    fn kept(&self, invoices: &[&store::Invoice]) -> Decided {
        let Some(last) = invoices.last() else { return Decided::only(Outcome::Nothing) };
        let outcome = Outcome::Kept { number: last.number.clone(), gross: last.gross.round_to_minor() };
        let unfinished = invoices.iter().filter(|_| !self.dry_run).map(|kept| (*kept).clone()).collect();
        Decided { outcome, unfinished }
    }

    /// Why the account cannot be billed yet.
    fn hold(&self, account: &Account, period: Period) -> Option<String> {
        let n_suspended = self
            .whose_calls(account)
            .filter_map(|id| self.suspended.get(&id))
            .flatten()
            .filter(|at| at.is_none_or(|at| period.contains(at)))
            .count();
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

    /// The accounts whose calls it pays for: a reseller pays for those of its customers too.
    fn whose_calls(&self, account: &Account) -> impl Iterator<Item = AccountId> {
        let (id, kind) = (account.id, account.kind);
        let customers = self
            .suspended
            .keys()
            .filter(move |_| kind == AccountKind::Reseller)
            .filter(move |customer| self.reseller_of.get(customer) == Some(&id))
            .copied();
        std::iter::once(id).chain(customers)
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
        let calls = if terms.call_list { self.list(account, period, &terms).await? } else { Vec::new() };
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

    /// Numbers and keeps `draft`; the flag says whether it is new, or another was there.
    async fn number(
        &self,
        seller: Seller,
        account: &Account,
        draft: &Invoice,
        kind: InvoiceKind,
        made_after: Option<usize>,
    ) -> anyhow::Result<(store::Invoice, bool)> {
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
        Ok(self.store.invoice_create(&new, document).await?)
    }

    /// Today, where the seller is.
    fn today(&self, seller: &Seller) -> NaiveDate {
        self.now.with_timezone(&seller.issuer.timezone).date_naive()
    }

    /// The PDF and the mail of an invoice, if they are not there yet.
    async fn finish(&self, account: &Account, kept: &store::Invoice) -> anyhow::Result<()> {
        let is_unsent = match kept.state {
            InvoiceState::Final => true,
            // Its mail is queued with its first PDF, or never was.
            InvoiceState::Paid => !kept.has_pdf,
            InvoiceState::Queued | InvoiceState::Sent | InvoiceState::Void => false,
        };
        let is_mailed = is_unsent && !account.contact.email.is_empty();
        if kept.has_pdf && !is_mailed {
            return Ok(());
        }
        let invoice = Invoice::from_json(&kept.document)?;
        let pdf = pdf_of(self.store, &self.templates, kept, &invoice).await?;
        let mail = if is_mailed {
            let einvoice = self.terms.account(account.id).einvoice;
            let why = (einvoice, Occasion::Issued);
            Some(invoice_mail::of(kept, &invoice, &account.handle, pdf.clone(), why)?)
        } else {
            None
        };
        self.store.invoice_finish(kept.id, pdf, mail.as_ref(), self.now).await?;
        Ok(())
    }
}

/// Invoices whatever is due in a running house, once every record made until now has reached ledger and lake: so all that were
/// made in a period that is over have.
pub(crate) async fn due(rooms: &Rooms, lake: &Lake, consumers: &[Consumer]) -> anyhow::Result<()> {
    let now = rooms.clock.utc();
    if let Some(waiting) = on_its_way(&*rooms.bus, consumers, PATIENCE).await? {
        debug!(waiting, "billing waits for the pipeline");
        return Ok(());
    }
    let directory = rooms.directory.current();
    let mut run = Run::prepare(&rooms.store, lake, &directory, now, Window::Due, false).await?;
    let accounts: Vec<&Account> = directory.accounts.iter().filter(|account| is_billed(account)).collect();
    run.bill_all(&accounts, &mut log).await
}

/// What came of an account, in the log.
fn log(account: &Account, outcomes: AccountOutcome) {
    let account = &account.handle;
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(why) => return error!(account, error = format!("{why:#}"), "account not billed"),
    };
    for (period, outcome) in outcomes {
        match outcome {
            Outcome::Made { number, gross } => info!(account, %period, number, %gross, "invoiced"),
            Outcome::Held(why) => warn!(account, %period, why, "invoice held back"),
            Outcome::Kept { .. } | Outcome::Draft { .. } | Outcome::Nothing => {}
        }
    }
}

/// What the ledger needs to know of a document that is paid.
pub(crate) fn sums_of(kept: &store::Invoice) -> anyhow::Result<InvoiceSums> {
    let invoice = Invoice::from_json(&kept.document)?;
    let mut calls: Decimal = invoice.billed.iter().map(|usage| usage.cost).sum();
    if invoice.billed.is_empty() {
        // Documents of the first format have their calls in their lines alone.
        let of_calls =
            |line: &&InvoiceLine| matches!(line.item, LineItem::Usage { .. } | LineItem::LateUsage { .. });
        calls = invoice.lines.iter().filter(of_calls).map(|line| line.net).sum();
    }
    Ok(InvoiceSums { payable: invoice.totals.payable(), calls })
}

/// The PDF that is kept, or one made now.
pub(crate) async fn pdf_of(
    store: &Store,
    templates: &Templates,
    kept: &store::Invoice,
    invoice: &Invoice,
) -> anyhow::Result<Vec<u8>> {
    if kept.has_pdf
        && let Some(pdf) = store.invoice_pdf(kept.id).await?
    {
        return Ok(pdf);
    }
    let (invoice, template) = (invoice.clone(), templates.of(kept.tenant));
    let pdf = tokio::task::spawn_blocking(move || invoicing::render_pdf(&invoice, &template))
        .await?
        .with_context(|| format!("render invoice {}", kept.number))?;
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

/// Those of `documents` that bill a part of `period`.
fn overlapping(documents: &[store::Invoice], period: Period) -> Vec<&store::Invoice> {
    let bills = |invoice: &&store::Invoice| {
        !matches!(invoice.kind, InvoiceKind::CreditNote { .. })
            && invoice.period_start < period.end
            && period.start < invoice.period_end
    };
    documents.iter().filter(bills).collect()
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

/// Who gets invoices: customers and resellers that were not terminated before.
pub(crate) fn is_billed(account: &Account) -> bool {
    match (account.kind, account.status) {
        (AccountKind::Customer | AccountKind::Reseller, AccountStatus::Active | AccountStatus::Suspended) => {
            true
        }
        (AccountKind::Customer | AccountKind::Reseller, AccountStatus::Terminated)
        | (AccountKind::Carrier, _) => false,
    }
}

#[cfg(test)]
pub(crate) mod tests;
