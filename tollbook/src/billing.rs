//! The billing run: for each customer, one invoice for one period, numbered, rendered, kept and queued for mail.
//!
//! Per account all or nothing, and again harmless: an account that has its invoice keeps it, and what a crash left undone (the PDF,
//! the mail) is done by the next run. An account is held back, alone, while a call of it is in suspense or the lake and the
//! ledger do not yet agree about its period, or while its reseller, who is the issuer, has no address.

use std::collections::HashMap;

use anyhow::Context;
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use invoicing::{Invoice, LineItem, Period, RecurringFee, UsageLine};
use lake::Lake;
use model::{
    Account, AccountId, AccountKind, AccountStatus, Body, Contact, Directory, LedgerAccount, Money,
    TariffVersion, Tenant,
};
use rust_decimal::Decimal;
use store::{InvoiceState, NewInvoice, NewMail, Store};

/// In front of the number of every invoice that a tenant itself issues, with a dash.
const TENANT_PREFIX: &str = "INV";

/// Letters of a reseller's handle in its invoice numbers: a number has forty at most.
const PREFIX_MAX: usize = 20;

/// Zone of termination fees on an invoice.
const INCOMING_ZONE: &str = "Incoming calls";

/// What is billed.
#[derive(Debug, Clone)]
pub(crate) enum Window {
    /// A calendar month, such as `2026-10`, in each account's zone.
    Month(String),
    /// From the first of the month through this day.
    Through(NaiveDate),
    /// Closing early: from the first of the month up to this instant. The rest of the month is billed with the month.
    UpTo(DateTime<Utc>),
}

impl Window {
    fn of(&self, account: &Account) -> Result<Period, invoicing::InvoicingError> {
        match self {
            Window::Month(month) => Period::month(month, account.timezone),
            Window::Through(day) => {
                let first = day.with_day(1).unwrap_or(*day);
                Period::days(first, day.succ_opt().unwrap_or(*day), account.timezone)
            }
            Window::UpTo(instant) => {
                let month = instant.with_timezone(&account.timezone).format("%Y-%m").to_string();
                Ok(Period { end: *instant, ..Period::month(&month, account.timezone)? })
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
        Ok(Self { store, lake, directory, now, window, dry_run, earlier, suspended })
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
        let n_up = self.lake.in_progress(account.id, period.start, period.end).await?;
        if n_up > 0 {
            return Ok(Outcome::Held(format!(
                "{n_up} of its calls of this period are still up: run it again when they have ended"
            )));
        }
        let usage = self.usage(account, period).await?;
        let billed: Decimal = usage.iter().map(|line| line.cost).sum();
        let posted = self.posted(account, period).await?;
        if billed != posted {
            return Ok(Outcome::Held(format!(
                "the lake says {billed}, the ledger {posted}: the last calls are still on their way, run it again in a minute"
            )));
        }
        let seller = Seller::of(account, self.directory)?;
        let issue_date = self.now.with_timezone(&seller.issuer.timezone).date_naive();
        // The fee was on the invoice of the period's first part.
        let fees = if period.start == whole.start { self.fees(account, period) } else { Vec::new() };
        let draft = invoicing::assemble(&seller.issuer, account, period, fees, usage, issue_date)?;
        if draft.is_empty() {
            return Ok(Outcome::Nothing);
        }
        if let Some(why) = seller.hold() {
            return Ok(Outcome::Held(why));
        }
        let gross = Money::new(draft.totals.gross, draft.currency);
        if self.dry_run {
            return Ok(Outcome::Draft { gross });
        }
        let kept = self.number(seller, account, &draft).await?;
        self.finish(account, &kept).await?;
        Ok(Outcome::Made { number: kept.number, gross })
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
            let tenant = tenant_of(account, self.directory)?;
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
        // The calls to come in it would be on no invoice.
        if period.end > self.now {
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
        // What remains of a month after an early invoice has had its fee.
        if !begins_a_month(period) {
            return Vec::new();
        }
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
        seller: Seller,
        account: &Account,
        draft: &Invoice,
    ) -> anyhow::Result<store::Invoice> {
        let new = NewInvoice {
            tenant: seller.issuer.id,
            seller: seller.reseller.map(|(id, _)| id),
            account: account.id,
            period_start: draft.period.start,
            period_end: draft.period.end,
            currency: draft.currency,
            net: draft.totals.net,
            tax: draft.totals.vat,
            gross: draft.totals.gross,
            prefix: seller.prefix,
            year: draft.issue_date.year(),
            issued_at: self.now,
        };
        // The number is known only inside the transaction, so a number that makes no valid document is found here first.
        final_json(draft, &format!("{}{}-000000", new.prefix, new.year))?;
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

/// Who issues the invoice of an account: the reseller above it, or the tenant.
#[derive(Debug)]
struct Seller {
    /// The tenant, with the letterhead and the zone of whoever sells.
    issuer: Tenant,
    /// Id and handle, if a reseller sells.
    reseller: Option<(AccountId, String)>,
    /// In front of its numbers.
    prefix: String,
}

impl Seller {
    fn of(account: &Account, directory: &Directory) -> anyhow::Result<Self> {
        let mut issuer = tenant_of(account, directory)?.clone();
        let Some(id) = account.reseller else {
            return Ok(Self { issuer, reseller: None, prefix: format!("{TENANT_PREFIX}-") });
        };
        let reseller =
            directory.accounts.iter().find(|reseller| reseller.id == id).with_context(|| {
                format!("account {} is below account {id}, which is gone", account.handle)
            })?;
        issuer.contact.clone_from(&reseller.contact);
        issuer.timezone = reseller.timezone;
        Ok(Self {
            issuer,
            reseller: Some((id, reseller.handle.clone())),
            prefix: prefix_of(reseller, directory),
        })
    }

    /// Why it cannot issue an invoice yet.
    fn hold(&self) -> Option<String> {
        let (_, handle) = self.reseller.as_ref()?;
        let Contact { name, address, .. } = &self.issuer.contact;
        let needed = [
            ("name", name),
            ("street", &address.street),
            ("city", &address.city),
            ("country", &address.country),
        ];
        let missing: Vec<_> =
            needed.into_iter().filter(|(_, value)| value.trim().is_empty()).map(|(what, _)| what).collect();
        (!missing.is_empty()).then(|| {
            format!(
                "its reseller {handle} issues the invoice; add {} to the contact of {handle} and import it",
                missing.join(", ")
            )
        })
    }
}

/// In front of a reseller's invoice numbers: its handle in capitals. No other seller of the tenant has the same, because handles
/// have no dot; and it stays the same for ever, because ids only grow.
fn prefix_of(reseller: &Account, directory: &Directory) -> String {
    let name = reseller.handle.to_ascii_uppercase();
    let is_taken = name == TENANT_PREFIX
        || directory.accounts.iter().any(|other| {
            other.tenant == reseller.tenant
                && other.kind == AccountKind::Reseller
                && other.id.0 < reseller.id.0
                && other.handle.eq_ignore_ascii_case(&name)
        });
    if is_taken || name.len() > PREFIX_MAX {
        let begin: String = name.chars().take(PREFIX_MAX / 2).collect();
        format!("{begin}.{}-", reseller.id.0)
    } else {
        format!("{name}-")
    }
}

fn tenant_of<'a>(account: &Account, directory: &'a Directory) -> anyhow::Result<&'a Tenant> {
    let tenants = &directory.tenants;
    tenants
        .iter()
        .find(|tenant| tenant.id == account.tenant)
        .with_context(|| format!("account {} belongs to no tenant", account.handle))
}

/// When the call of a record in suspense started. `None` holds back every period, because it may belong to any.
fn start_of(record: &store::SuspendedRecord) -> Option<DateTime<Utc>> {
    match model::wire::decode(&record.raw).ok()?.body {
        Body::Cdr(cdr) => Some(cdr.start_at),
        Body::Rated(rated) => Some(rated.cdr.start_at),
        Body::Posting(posting) => Some(posting.at),
        Body::Accrual(accrual) => Some(accrual.at),
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

    /// Bills October of the sample world, in which every profile has a fee, after `change`. What comes back is, for each
    /// customer, its handle, number, issuer and the issuer's IBAN, or why it was held back.
    async fn bill(change: impl FnOnce(&mut store::World)) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let sample = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sample/world.toml");
        let mut world = crate::world_file::read(&sample).unwrap();
        for tariff in &mut world.tariffs {
            tariff.version.interval_charge = Decimal::TEN;
        }
        change(&mut world);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let store =
            Store::open(&format!("sqlite://{}", dir.path().join("tollbook.db").display())).await.unwrap();
        store.import(&world, at("2026-09-01T00:00:00Z"), "test").await.unwrap();
        let directory = store.directory().await.unwrap();
        let lake = Lake::open(lake::LakeConfig::new(dir.path().join("lake"))).unwrap();
        let window = Window::Month("2026-10".to_owned());
        let run = Run::prepare(&store, &lake, &directory, at("2026-11-02T00:00:00Z"), window, false);
        let run = run.await.unwrap();
        let mut shown = Vec::new();
        for account in directory.accounts.iter().filter(|account| is_billed(account)) {
            shown.push(match run.account(account).await.unwrap() {
                Outcome::Made { number, .. } => {
                    let kept = store.invoice_list().await.unwrap();
                    let kept = kept.into_iter().find(|kept| kept.number == number).unwrap();
                    let issuer = Invoice::from_json(&kept.document).unwrap().issuer;
                    format!("{}: {number} from {} {}", account.handle, issuer.name, issuer.iban)
                }
                Outcome::Held(why) => format!("{}: {why}", account.handle),
                other @ (Outcome::Kept { .. } | Outcome::Draft { .. } | Outcome::Nothing) => {
                    format!("{}: {other:?}", account.handle)
                }
            });
        }
        shown
    }

    #[tokio::test]
    async fn customer_is_billed_by_its_reseller_and_a_direct_one_by_the_tenant() {
        expect_test::expect![[r#"
            baeckerei-huber: ALPINE-2026-000001 from Alpine Connect GmbH AT483200000012345864
            hotel-seeblick: ALPINE-2026-000002 from Alpine Connect GmbH AT483200000012345864
            kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
            spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
            atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]]
        .assert_eq(&bill(|_| {}).await.join("\n"));
    }

    #[tokio::test]
    async fn reseller_without_an_address_holds_back_its_customers_alone() {
        let shown = bill(|world| {
            let alpine = world.accounts.iter_mut().find(|account| account.handle == "alpine").unwrap();
            alpine.contact.name = " ".to_owned();
            alpine.contact.address.city = String::new();
        });
        expect_test::expect![[r#"
            baeckerei-huber: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
            hotel-seeblick: its reseller alpine issues the invoice; add name, city to the contact of alpine and import it
            kanzlei-brandt: NORDSEE-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
            spedition-voss: NORDSEE-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
            atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]].assert_eq(&shown.await.join("\n"));
    }

    #[tokio::test]
    async fn resellers_whose_names_look_alike_number_apart() {
        let shown = bill(|world| {
            for account in &mut world.accounts {
                for (from, to) in [("alpine", "inv"), ("nordsee", "north-of-the-north-sea-telephones")] {
                    if account.handle == from {
                        account.handle = to.to_owned();
                    }
                    if account.reseller.as_deref() == Some(from) {
                        account.reseller = Some(to.to_owned());
                    }
                }
            }
        });
        expect_test::expect![[r#"
            baeckerei-huber: INV.1-2026-000001 from Alpine Connect GmbH AT483200000012345864
            hotel-seeblick: INV.1-2026-000002 from Alpine Connect GmbH AT483200000012345864
            kanzlei-brandt: NORTH-OF-T.2-2026-000001 from Nordsee Telefon GmbH DE89370400440532013000
            spedition-voss: NORTH-OF-T.2-2026-000002 from Nordsee Telefon GmbH DE89370400440532013000
            atelier-novak: INV-2026-000001 from Meridian Voice GmbH AT611904300234573201"#]]
        .assert_eq(&shown.await.join("\n"));
    }

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
