//! Invoices: numbers without gaps for each seller, one for each account and period, each with its document and PDF; credit
//! notes and corrected invoices in the same sequence.
//!
//! A final document is never changed: its state moves on, and what was wrong on it is credited. What an invoice says is `invoicing`'s work. It is handed its number inside the transaction that keeps it.

use chrono::{DateTime, Utc};
use model::{AccountId, Currency, InvoiceId, LedgerAccount, Money, TenantId};
use rust_decimal::Decimal;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::invoice_credits::{BILLING, credited, leave_to_rating, replacement, take_back};
use crate::outbox::{EventMail, enqueue_event};
use crate::restore_hold::refuse_while_held;
use crate::sql::{Bind, Columns, cells, count, micros, query, query_of, unreadable};
use crate::webhook_words::tell_of_invoice;
use crate::{Result, Store, StoreError};

/// How far an invoice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// Numbered and kept.
    Final,
    /// Its mail is queued.
    Queued,
    /// Its mail was taken by a mail server.
    Sent,
    /// Its sum has come in.
    Paid,
    /// Taken back by credit notes, all of it.
    Void,
}

impl InvoiceState {
    const ALL: [InvoiceState; 5] = [
        InvoiceState::Final,
        InvoiceState::Queued,
        InvoiceState::Sent,
        InvoiceState::Paid,
        InvoiceState::Void,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvoiceState::Final => "final",
            InvoiceState::Queued => "queued",
            InvoiceState::Sent => "sent",
            InvoiceState::Paid => "paid",
            InvoiceState::Void => "void",
        }
    }
}

/// What kind of document has a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceKind {
    /// An invoice, one for each account and period.
    Invoice,
    /// Takes back an invoice or a part of it; its sums are positive.
    CreditNote {
        /// Which.
        of: InvoiceId,
    },
    /// Comes in the place of an invoice that was taken back.
    Corrected {
        /// Which.
        of: InvoiceId,
    },
}

impl InvoiceKind {
    /// The stable word.
    pub const fn word(self) -> &'static str {
        match self {
            InvoiceKind::Invoice => "invoice",
            InvoiceKind::CreditNote { .. } => "credit_note",
            InvoiceKind::Corrected { .. } => "corrected",
        }
    }

    /// The invoice it takes back or replaces.
    pub const fn of(self) -> Option<InvoiceId> {
        match self {
            InvoiceKind::Invoice => None,
            InvoiceKind::CreditNote { of } | InvoiceKind::Corrected { of } => Some(of),
        }
    }
}

/// In place of a reseller's account where the tenant itself sells.
pub(crate) const TENANT_SELLS: i64 = 0;

/// Kind of the movement that a payment is.
pub const PAYMENT: &str = "payment";

/// Kind of the movement that is what an invoice asks beyond its calls: fees, tax, discount, rounding.
pub const BEYOND_CALLS: &str = "invoice";

/// What a document says of its sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvoiceSums {
    /// To be paid, with tax, less what a balance has paid.
    pub payable: Decimal,
    /// What its calls came to without tax, not rounded: what the ledger knows already.
    pub calls: Decimal,
}

/// An invoice to be numbered.
#[derive(Debug, Clone)]
pub struct NewInvoice {
    /// Whose platform.
    pub tenant: TenantId,
    /// The reseller that issues it, whose numbers count; `None` is the tenant itself.
    pub seller: Option<AccountId>,
    /// Who is to pay.
    pub account: AccountId,
    /// Invoice, credit note or corrected invoice.
    pub kind: InvoiceKind,
    /// First instant of the period.
    pub period_start: DateTime<Utc>,
    /// End of the period, exclusive.
    pub period_end: DateTime<Utc>,
    /// Of all its sums.
    pub currency: Currency,
    /// Sum without tax.
    pub net: Decimal,
    /// Tax.
    pub tax: Decimal,
    /// What is to be paid.
    pub gross: Decimal,
    /// In front of the number, such as `R-`. Tells the sellers of a tenant apart: no two invoices of it have one number.
    pub prefix: String,
    /// Year of the number, in the issuer's zone.
    pub year: i32,
    /// When it is issued.
    pub issued_at: DateTime<Utc>,
    /// How many documents the account had when this one was made from them; `None`: it does not depend on them.
    pub made_after: Option<usize>,
}

/// An invoice; with `D = ()` without what it says, which is most of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice<D = String> {
    /// Its id.
    pub id: InvoiceId,
    /// Its number, such as `R-2026-000001`.
    pub number: String,
    /// Whose platform.
    pub tenant: TenantId,
    /// The reseller that issued it; `None` is the tenant itself.
    pub seller: Option<AccountId>,
    /// Who is to pay.
    pub account: AccountId,
    /// Invoice, credit note or corrected invoice.
    pub kind: InvoiceKind,
    /// First instant of the period.
    pub period_start: DateTime<Utc>,
    /// End of the period, exclusive.
    pub period_end: DateTime<Utc>,
    /// Sum without tax.
    pub net: Money,
    /// Tax.
    pub tax: Money,
    /// What is to be paid.
    pub gross: Money,
    /// All it says, as JSON.
    pub document: D,
    /// How far it is.
    pub state: InvoiceState,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When its sum came in.
    pub paid_at: Option<DateTime<Utc>>,
    /// Whether its PDF is kept.
    pub has_pdf: bool,
}

impl Store {
    /// Numbers and keeps an invoice; `document` makes its JSON from the number. The account's invoice of the same period, or
    /// the corrected one of the same invoice, is returned as it is if it is there, and no number is used. The flag says whether
    /// it is new.
    ///
    /// A credit note takes back what its invoice has left, at most; one that takes back the last of it makes it void. What had been paid of
    /// it is given back: rating is left the opposite of what [`Store::invoice_paid`] left it, or a part of that.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] for a credit beyond what is left, and for a correction of an invoice that is not void;
    /// [`StoreError::Amount`] for a sum the ledger cannot keep; what the database says.
    pub async fn invoice_create(
        &self,
        new: &NewInvoice,
        document: impl FnOnce(&str) -> String + Send,
    ) -> Result<(Invoice, bool)> {
        let object = || format!("invoice of account {}", new.account);
        let sums = cells![micros(new.net, object)?, micros(new.tax, object)?, micros(new.gross, object)?];
        let mut tx = self.write().await?;
        refuse_while_held(&mut tx, &object()).await?;
        let seller = new.seller.map_or(TENANT_SELLS, |reseller| reseller.0);
        // First of all: a second run for the same seller waits here until we are done, and then finds our invoice.
        let sequence = query(
            "INSERT INTO invoice_sequences (tenant, seller, year, last_number) VALUES ($1, $2, $3, 1) \
             ON CONFLICT (tenant, seller, year) \
             DO UPDATE SET last_number = invoice_sequences.last_number + 1 RETURNING last_number",
        )
        .cells(cells![new.tenant.0, seller, i64::from(new.year)])
        .fetch_one(&mut *tx)
        .await?
        .int("last_number")?;
        let mut given_back = Vec::new();
        let there = match new.kind {
            InvoiceKind::Invoice => of_period(&mut tx, new).await?,
            InvoiceKind::CreditNote { of } => {
                given_back = take_back(&mut tx, of, new).await?;
                None
            }
            InvoiceKind::Corrected { of } => replacement(&mut tx, of).await?,
        };
        if there.is_none()
            && let Some(known) = new.made_after
        {
            let row = query("SELECT count(*) AS n FROM invoices WHERE account = $1")
                .cells(cells![new.account.0])
                .fetch_one(&mut *tx)
                .await?;
            if row.int("n")? != count(known) {
                return Err(StoreError::Invalid {
                    object: format!("account {}", new.account),
                    rule: "it was billed by somebody else at this moment; run it again".to_owned(),
                });
            }
        }
        if let Some(there) = there {
            // Gives the number back.
            tx.rollback().await?;
            return Ok((there, false));
        }
        let number = format!("{}{}-{sequence:06}", new.prefix, new.year);
        let mut row = cells![
            new.tenant.0,
            new.account.0,
            i64::from(new.year),
            sequence,
            number.as_str(),
            new.period_start,
            new.period_end,
            new.currency.as_str(),
            document(&number),
            new.issued_at,
            seller,
        ];
        row.extend(sums);
        row.extend(cells![new.kind.word(), new.kind.of().map(|of| of.0)]);
        let id = query(
            "INSERT INTO invoices (tenant, account, year, sequence, number, period_start, period_end, currency, \
             document, issued_at, seller, net_micros, tax_micros, gross_micros, kind, state, corrects) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, 'final', $16) RETURNING id",
        )
        .cells(row)
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        let invoice = load(&mut tx, InvoiceId(id)).await?;
        leave_to_rating(&mut tx, &invoice, given_back, BILLING, new.issued_at).await?;
        tell_of_invoice(&mut tx, &invoice, InvoiceState::Final.as_str(), new.issued_at).await?;
        tx.commit().await?;
        Ok((invoice, true))
    }

    /// The PDF of an invoice, if it is kept.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_pdf(&self, id: InvoiceId) -> Result<Option<Vec<u8>>> {
        let mut tx = self.read().await?;
        let row = query("SELECT pdf FROM invoice_pdfs WHERE invoice = $1")
            .cells(cells![id.0])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| row.bytes("pdf")).transpose()
    }

    /// One invoice.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn invoice_get(&self, id: InvoiceId) -> Result<Invoice> {
        let mut tx = self.read().await?;
        let invoice = load(&mut tx, id).await?;
        tx.commit().await?;
        Ok(invoice)
    }

    /// All invoices, oldest first, without what they say.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_heads(&self) -> Result<Vec<Invoice<()>>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!("SELECT {COLUMNS} {TABLES} ORDER BY i.id")).fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| invoice_with(row, ())).collect()
    }

    /// All invoices with all that they say, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_list(&self) -> Result<Vec<Invoice>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!("SELECT {COLUMNS}, i.document {TABLES} ORDER BY i.id"))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(invoice_of).collect()
    }

    /// Invoices whose sum has not come in, oldest first: neither credit notes nor what is paid or void.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_open(&self) -> Result<Vec<InvoiceId>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id FROM invoices WHERE kind <> 'credit_note' AND state IN ('final', 'queued', 'sent') ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok(InvoiceId(row.int("id")?))).collect()
    }

    /// What credit notes have taken back of an invoice, with tax.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_credited(&self, id: InvoiceId) -> Result<Decimal> {
        let mut tx = self.read().await?;
        let taken_back = credited(&mut tx, id).await?;
        tx.commit().await?;
        Ok(taken_back)
    }

    /// The invoices of a number, oldest first: each tenant numbers its own.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_numbered(&self, number: &str) -> Result<Vec<Invoice>> {
        let mut tx = self.read().await?;
        let rows =
            query_of(format!("SELECT {COLUMNS}, i.document {TABLES} WHERE i.number = $1 ORDER BY i.id"))
                .cells(cells![number])
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(invoice_of).collect()
    }

    /// Invoices whose number is this, and of the latest 100,000 those whose number begins like this, newest first, without what they say.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_beginning(&self, number: &str, max: u32) -> Result<Vec<Invoice<()>>> {
        let mut tx = self.read().await?;
        let n_letters = i64::try_from(number.chars().count()).unwrap_or(i64::MAX);
        // Beginnings have no index that sorts alike on both databases; a bound keeps what is read small.
        let rows = query_of(format!(
            "SELECT {COLUMNS} {TABLES} WHERE i.number = $1 OR (i.id > (SELECT coalesce(max(id), 0) FROM invoices) - 100000 \
             AND substr(i.number, 1, CAST($2 AS INTEGER)) = $1) ORDER BY i.id DESC LIMIT $3"
        ))
        .cells(cells![number, n_letters, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| invoice_with(row, ())).collect()
    }

    /// The latest documents of one account, newest first, without what they say.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_latest_of(&self, account: AccountId, max: u32) -> Result<Vec<Invoice<()>>> {
        let mut tx = self.read().await?;
        let rows =
            query_of(format!("SELECT {COLUMNS} {TABLES} WHERE i.account = $1 ORDER BY i.id DESC LIMIT $2"))
                .cells(cells![account.0, max])
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(|row| invoice_with(row, ())).collect()
    }

    /// All documents of one account, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_of(&self, account: AccountId) -> Result<Vec<Invoice>> {
        let mut tx = self.read().await?;
        let rows =
            query_of(format!("SELECT {COLUMNS}, i.document {TABLES} WHERE i.account = $1 ORDER BY i.id"))
                .cells(cells![account.0])
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(invoice_of).collect()
    }

    /// What the postings say that `account` owes for calls started at or after `from` and before `to`; payments and the like
    /// are left out.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn owed_for_calls(
        &self,
        account: AccountId,
        from: DateTime<Utc>,
        to: DateTime<Utc>,
    ) -> Result<Decimal> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT CAST(coalesce(sum(CASE WHEN debit = $4 THEN amount_micros WHEN credit = $4 THEN -amount_micros \
             ELSE 0 END), 0) AS BIGINT) AS micros FROM postings \
             WHERE account = $1 AND at >= $2 AND at < $3 AND reason IN ('call', 'reversal', 'out_of_order')",
        )
        .cells(cells![account.0, from, to, LedgerAccount::Receivable(account).to_string()])
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        row.amount("micros")
    }

    /// Says how far an invoice is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn invoice_mark(&self, id: InvoiceId, state: InvoiceState) -> Result<()> {
        let mut tx = self.write().await?;
        let done = query("UPDATE invoices SET state = $2 WHERE id = $1")
            .cells(cells![id.0, state.as_str()])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "invoice", name: id.to_string() });
        }
        tx.commit().await?;
        Ok(())
    }

    /// Notes that the sum of an invoice came in, and leaves to rating what that moves in the ledger, as top-ups are: the payment from
    /// the account's debt to the bank, and what the invoice asks beyond its calls, which nothing has posted until then. A reseller's
    /// money is not ours: of its customer only the debt for calls goes. Returns what was paid: the invoice's sum less what was credited.
    ///
    /// # Errors
    ///
    /// [`StoreError::Invalid`] when it is paid already, void or a credit note; [`StoreError::NotFound`], and what the database says.
    pub async fn invoice_paid(
        &self,
        id: InvoiceId,
        sums: InvoiceSums,
        actor: &str,
        at: DateTime<Utc>,
    ) -> Result<Money> {
        let mut tx = self.write().await?;
        let done = query(
            "UPDATE invoices SET state = 'paid', paid_at = $2 \
             WHERE id = $1 AND state IN ('final', 'queued', 'sent') AND kind <> 'credit_note'",
        )
        .cells(cells![id.0, at])
        .execute(&mut *tx)
        .await?;
        let invoice = load(&mut tx, id).await?;
        if done.rows_affected() == 0 {
            let rule = match invoice.kind {
                InvoiceKind::CreditNote { .. } => {
                    "it is a credit note; nothing is to be paid on it".to_owned()
                }
                InvoiceKind::Invoice | InvoiceKind::Corrected { .. } => {
                    format!("it is {} already", invoice.state.as_str())
                }
            };
            return Err(StoreError::Invalid { object: format!("invoice {}", invoice.number), rule });
        }
        let left = sums.payable - credited(&mut tx, id).await?;
        // What asks for less than nothing is paid by us.
        let paid = if sums.payable < Decimal::ZERO { left } else { left.max(Decimal::ZERO) };
        let moved = if sums.payable.is_zero() && !invoice.gross.amount.is_zero() {
            // A balance has paid it, and that is posted.
            Vec::new()
        } else if invoice.seller.is_some() {
            vec![(PAYMENT, sums.calls)]
        } else {
            // The payment first: in between, nobody is to be taken for short of money.
            vec![(PAYMENT, paid), (BEYOND_CALLS, paid - sums.calls)]
        };
        leave_to_rating(&mut tx, &invoice, moved, actor, at).await?;
        let object = format!("invoice:{}", invoice.number);
        tell_of_invoice(&mut tx, &invoice, InvoiceState::Paid.as_str(), at).await?;
        append(&mut tx, actor, "invoice_paid", &object, "", &paid.normalize().to_string(), at).await?;
        tx.commit().await?;
        Ok(Money::new(paid, invoice.gross.currency))
    }

    /// Keeps the PDF of an invoice and queues its mail in one transaction. A PDF that is there stays: what left the house is never
    /// changed. A second run queues no second mail; the id of the mail is `None` then. An invoice that was paid before it had a PDF is mailed
    /// with it, and stays paid.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_finish(
        &self,
        id: InvoiceId,
        pdf: Vec<u8>,
        mail: Option<&EventMail>,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let mut tx = self.write().await?;
        let kept =
            query("INSERT INTO invoice_pdfs (invoice, pdf) VALUES ($1, $2) ON CONFLICT (invoice) DO NOTHING")
                .cells(cells![id.0, pdf])
                .execute(&mut *tx)
                .await?;
        let is_first = kept.rows_affected() > 0;
        let mut queued = None;
        if let Some(mail) = mail {
            let done = query("UPDATE invoices SET state = 'queued' WHERE id = $1 AND state = 'final'")
                .cells(cells![id.0])
                .execute(&mut *tx)
                .await?;
            let is_mailed =
                done.rows_affected() > 0 || is_first && load(&mut tx, id).await?.state == InvoiceState::Paid;
            if is_mailed {
                queued = Some(enqueue_event(&mut tx, mail, now).await?);
            }
        }
        tx.commit().await?;
        Ok(queued)
    }
}

/// What [`invoice_with`] reads.
const COLUMNS: &str = "i.id, i.number, i.tenant, i.account, i.period_start, i.period_end, i.currency, \
     i.net_micros, i.tax_micros, i.gross_micros, i.state, i.issued_at, i.kind, i.seller, i.corrects, i.paid_at, \
     p.invoice AS pdf_of";
const TABLES: &str = "FROM invoices i LEFT JOIN invoice_pdfs p ON p.invoice = i.id";

pub(crate) async fn load(conn: &mut AnyConnection, id: InvoiceId) -> Result<Invoice> {
    let row = query_of(format!("SELECT {COLUMNS}, i.document {TABLES} WHERE i.id = $1"))
        .cells(cells![id.0])
        .fetch_optional(conn)
        .await?;
    invoice_of(&row.ok_or_else(|| StoreError::NotFound { what: "invoice", name: id.to_string() })?)
}

async fn of_period(conn: &mut AnyConnection, new: &NewInvoice) -> Result<Option<Invoice>> {
    let row = query(
        "SELECT id FROM invoices WHERE account = $1 AND period_start = $2 AND period_end = $3 AND kind = 'invoice'",
    )
    .cells(cells![new.account.0, new.period_start, new.period_end])
    .fetch_optional(&mut *conn)
    .await?;
    match row {
        Some(row) => Ok(Some(load(conn, InvoiceId(row.int("id")?)).await?)),
        None => Ok(None),
    }
}

pub(crate) fn invoice_of(row: &AnyRow) -> Result<Invoice> {
    invoice_with(row, row.text("document")?)
}

fn invoice_with<D>(row: &AnyRow, document: D) -> Result<Invoice<D>> {
    let currency = row.word("currency")?;
    let state = row.text("state")?;
    let state = InvoiceState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| unreadable("state", state))?;
    let (kind, corrects) = (row.text("kind")?, row.opt_int("corrects")?.map(InvoiceId));
    let kind = match (kind.as_str(), corrects) {
        ("invoice", None) => InvoiceKind::Invoice,
        ("credit_note", Some(of)) => InvoiceKind::CreditNote { of },
        ("corrected", Some(of)) => InvoiceKind::Corrected { of },
        _ => return Err(unreadable("kind", kind)),
    };
    let seller = row.int("seller")?;
    Ok(Invoice {
        id: InvoiceId(row.int("id")?),
        number: row.text("number")?,
        tenant: TenantId(row.int("tenant")?),
        seller: (seller != TENANT_SELLS).then_some(AccountId(seller)),
        account: AccountId(row.int("account")?),
        kind,
        period_start: row.time("period_start")?,
        period_end: row.time("period_end")?,
        net: Money::new(row.amount("net_micros")?, currency),
        tax: Money::new(row.amount("tax_micros")?, currency),
        gross: Money::new(row.amount("gross_micros")?, currency),
        document,
        state,
        issued_at: row.time("issued_at")?,
        paid_at: row.opt_time("paid_at")?,
        has_pdf: row.opt_int("pdf_of")?.is_some(),
    })
}
