//! Invoices: numbers without gaps for each seller, one for each account and period, each with its document and PDF.
//!
//! What an invoice says is `invoicing`'s work. It is handed its number inside the transaction that keeps it.

use chrono::{DateTime, Utc};
use model::{AccountId, Currency, InvoiceId, Money, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::outbox::{NewMail, enqueue};
use crate::sql::{Bind, Columns, cells, micros, query, unreadable};
use crate::{Result, Store, StoreError};

/// How far an invoice is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InvoiceState {
    /// Numbered and kept.
    Issued,
    /// Its mail is queued.
    Queued,
    /// Its mail was taken by a mail server.
    Sent,
    /// Its sum has come in.
    Paid,
    /// Taken back by a credit note.
    Cancelled,
}

impl InvoiceState {
    const ALL: [InvoiceState; 5] = [
        InvoiceState::Issued,
        InvoiceState::Queued,
        InvoiceState::Sent,
        InvoiceState::Paid,
        InvoiceState::Cancelled,
    ];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            InvoiceState::Issued => "issued",
            InvoiceState::Queued => "queued",
            InvoiceState::Sent => "sent",
            InvoiceState::Paid => "paid",
            InvoiceState::Cancelled => "cancelled",
        }
    }
}

/// In place of a reseller's account where the tenant itself sells.
const TENANT_SELLS: i64 = 0;

/// An invoice to be numbered.
#[derive(Debug, Clone)]
pub struct NewInvoice {
    /// Whose platform.
    pub tenant: TenantId,
    /// The reseller that issues it, whose numbers count; `None` is the tenant itself.
    pub seller: Option<AccountId>,
    /// Who is to pay.
    pub account: AccountId,
    /// First instant of the period.
    pub period_start: DateTime<Utc>,
    /// End of the period, exclusive.
    pub period_end: DateTime<Utc>,
    /// Of all its sums.
    pub currency: Currency,
    /// Sum without tax.
    pub net: rust_decimal::Decimal,
    /// Tax.
    pub tax: rust_decimal::Decimal,
    /// What is to be paid.
    pub gross: rust_decimal::Decimal,
    /// In front of the number, such as `R-`. Tells the sellers of a tenant apart: no two invoices of it have one number.
    pub prefix: String,
    /// Year of the number, in the issuer's zone.
    pub year: i32,
    /// When it is issued.
    pub issued_at: DateTime<Utc>,
}

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its id.
    pub id: InvoiceId,
    /// Its number, such as `R-2026-000001`.
    pub number: String,
    /// Whose platform.
    pub tenant: TenantId,
    /// Who is to pay.
    pub account: AccountId,
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
    pub document: String,
    /// How far it is.
    pub state: InvoiceState,
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// Whether its PDF is kept.
    pub has_pdf: bool,
}

impl Store {
    /// Numbers and keeps an invoice; `document` makes its JSON from the number. The account's invoice of the same period,
    /// if there is one, is returned as it is, and no number is used. The flag says whether it is new.
    ///
    /// # Errors
    ///
    /// [`StoreError::Amount`] for a sum the ledger cannot keep; what the database says.
    pub async fn invoice_create(
        &self,
        new: &NewInvoice,
        document: impl FnOnce(&str) -> String + Send,
    ) -> Result<(Invoice, bool)> {
        let object = || format!("invoice of account {}", new.account);
        let sums = cells![micros(new.net, object)?, micros(new.tax, object)?, micros(new.gross, object)?];
        let mut tx = self.write().await?;
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
        if let Some(there) = of_period(&mut tx, new).await? {
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
        let id = query(
            "INSERT INTO invoices (tenant, account, year, sequence, number, period_start, period_end, currency, \
             document, issued_at, seller, net_micros, tax_micros, gross_micros, kind, state) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 'invoice', 'issued') RETURNING id",
        )
        .cells(row)
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        let invoice = load(&mut tx, InvoiceId(id)).await?;
        tx.commit().await?;
        Ok((invoice, true))
    }

    /// Keeps the PDF of an invoice. One that is there stays: what left the house is never changed.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_attach_pdf(&self, id: InvoiceId, pdf: Vec<u8>) -> Result<()> {
        let mut tx = self.write().await?;
        query("INSERT INTO invoice_pdfs (invoice, pdf) VALUES ($1, $2) ON CONFLICT (invoice) DO NOTHING")
            .cells(cells![id.0, pdf])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
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

    /// All invoices, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_list(&self) -> Result<Vec<Invoice>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT i.id, i.number, i.tenant, i.account, i.period_start, i.period_end, i.currency, i.net_micros, \
             i.tax_micros, i.gross_micros, i.document, i.state, i.issued_at, p.invoice AS pdf_of \
             FROM invoices i LEFT JOIN invoice_pdfs p ON p.invoice = i.id ORDER BY i.id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(invoice_of).collect()
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

    /// Queues the mail of an invoice and says so in one transaction, so that a second run sends none; `None` if it was
    /// queued before.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoice_queue_mail(
        &self,
        id: InvoiceId,
        mail: &NewMail,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let mut tx = self.write().await?;
        let done = query("UPDATE invoices SET state = 'queued' WHERE id = $1 AND state = 'issued'")
            .cells(cells![id.0])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(None);
        }
        let mail = enqueue(&mut tx, mail, now).await?;
        tx.commit().await?;
        Ok(Some(mail))
    }
}

async fn load(conn: &mut AnyConnection, id: InvoiceId) -> Result<Invoice> {
    let row = query(
        "SELECT i.id, i.number, i.tenant, i.account, i.period_start, i.period_end, i.currency, i.net_micros, \
         i.tax_micros, i.gross_micros, i.document, i.state, i.issued_at, p.invoice AS pdf_of \
         FROM invoices i LEFT JOIN invoice_pdfs p ON p.invoice = i.id WHERE i.id = $1",
    )
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
    let currency = row.word("currency")?;
    let state = row.text("state")?;
    let state = InvoiceState::ALL
        .into_iter()
        .find(|known| known.as_str() == state)
        .ok_or_else(|| unreadable("state", state))?;
    Ok(Invoice {
        id: InvoiceId(row.int("id")?),
        number: row.text("number")?,
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        period_start: row.time("period_start")?,
        period_end: row.time("period_end")?,
        net: Money::new(row.amount("net_micros")?, currency),
        tax: Money::new(row.amount("tax_micros")?, currency),
        gross: Money::new(row.amount("gross_micros")?, currency),
        document: row.text("document")?,
        state,
        issued_at: row.time("issued_at")?,
        has_pdf: row.opt_int("pdf_of")?.is_some(),
    })
}
