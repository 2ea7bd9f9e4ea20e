//! What credit notes take back, and what payments and credits move in the ledger: left to rating, as top-ups are.

use chrono::{DateTime, Utc};
use model::{InvoiceId, Money};
use rust_decimal::Decimal;
use sqlx::AnyConnection;

use crate::contracts::{OWN_TOKEN, hold_topups};
use crate::invoices::{BEYOND_CALLS, Invoice, InvoiceKind, InvoiceState, NewInvoice, PAYMENT, load};
use crate::sql::{Bind, Columns, cells, micros, query, query_of};
use crate::webhook_words::tell_of_invoice;
use crate::{Result, StoreError};

/// A kind of movement, and its amount.
pub(crate) type Moved = (&'static str, Decimal);

/// Who says that money is given back.
pub(crate) const BILLING: &str = "billing";

/// Leaves to rating what `document` moves in the ledger, under its number.
pub(crate) async fn leave_to_rating(
    conn: &mut AnyConnection,
    document: &Invoice,
    moved: Vec<Moved>,
    actor: &str,
    at: DateTime<Utc>,
) -> Result<()> {
    if moved.is_empty() {
        return Ok(());
    }
    hold_topups(&mut *conn).await?;
    for (kind, amount) in moved.into_iter().filter(|(_, amount)| !amount.is_zero()) {
        query(
            "INSERT INTO topups (account, token, kind, outcome, message, amount_micros, currency, actor, at, \
             is_waiting) VALUES ($1, $2, $3, 'done', '', $4, $5, $6, $7, 1)",
        )
        .cells(cells![
            document.account.0,
            format!("{OWN_TOKEN}{kind}:{}", document.number),
            kind,
            micros(amount, || format!("invoice {}", document.number))?,
            document.gross.currency.as_str(),
            actor,
            at,
        ])
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// What an invoice and its credit notes have moved under one of our kinds.
async fn moved_by(conn: &mut AnyConnection, of: InvoiceId, kind: &'static str) -> Result<Decimal> {
    query_of(format!(
        "SELECT CAST(coalesce(sum(t.amount_micros), 0) AS BIGINT) AS micros FROM invoices i JOIN topups t \
         ON t.account = i.account AND t.outcome = 'done' AND t.token = '{OWN_TOKEN}{kind}:' || i.number \
         WHERE i.id = $1 OR (i.corrects = $1 AND i.kind = 'credit_note')"
    ))
    .cells(cells![of.0])
    .fetch_one(conn)
    .await?
    .amount("micros")
}

/// What moves when `gross` of a paid invoice is credited, so that the ledger is as if it had been credited before it was paid.
async fn given_back(
    conn: &mut AnyConnection,
    invoice: &Invoice,
    gross: Decimal,
    is_whole: bool,
) -> Result<Vec<Moved>> {
    let paid = moved_by(&mut *conn, invoice.id, PAYMENT).await?;
    let beyond = moved_by(&mut *conn, invoice.id, BEYOND_CALLS).await?;
    Ok(if is_whole {
        // The payment last: in between, nobody is to be taken for short of money.
        vec![(BEYOND_CALLS, -beyond), (PAYMENT, -paid)]
    } else if invoice.seller.is_some() || paid.is_zero() {
        // Of the money of a reseller's customer we know the debt for calls alone, and a part of an invoice leaves that as it is.
        Vec::new()
    } else {
        // What asked for less than nothing asks for still less.
        let part = if paid > Decimal::ZERO { gross.min(paid) } else { gross };
        vec![(BEYOND_CALLS, -part), (PAYMENT, -part)]
    })
}

/// Checks a credit note against what is left of its invoice, and makes that void when nothing is. Returns what is given back.
pub(crate) async fn take_back(
    conn: &mut AnyConnection,
    of: InvoiceId,
    new: &NewInvoice,
) -> Result<Vec<Moved>> {
    // Taking the lock of the row: two credits of one invoice come one after the other.
    query("UPDATE invoices SET state = state WHERE id = $1").cells(cells![of.0]).execute(&mut *conn).await?;
    let invoice = load(&mut *conn, of).await?;
    let invalid = |rule: String| StoreError::Invalid { object: format!("invoice {}", invoice.number), rule };
    if matches!(invoice.kind, InvoiceKind::CreditNote { .. }) {
        return Err(invalid("it is a credit note itself; bill again what it took back".to_owned()));
    }
    let left = invoice.gross.amount - credited(&mut *conn, of).await?;
    if new.gross.abs() > left.abs() || new.currency != invoice.gross.currency {
        let left = Money::new(left, invoice.gross.currency).round_to_minor();
        return Err(invalid(format!("{left} of it are left to be credited; credit that at most")));
    }
    let is_whole = new.gross == left;
    if is_whole {
        query("UPDATE invoices SET state = 'void' WHERE id = $1")
            .cells(cells![of.0])
            .execute(&mut *conn)
            .await?;
        tell_of_invoice(&mut *conn, &invoice, InvoiceState::Void.as_str(), new.issued_at).await?;
    }
    if invoice.state == InvoiceState::Paid {
        given_back(conn, &invoice, new.gross, is_whole).await
    } else {
        Ok(Vec::new())
    }
}

/// What credit notes have taken back of an invoice.
pub(crate) async fn credited(conn: &mut AnyConnection, of: InvoiceId) -> Result<Decimal> {
    let row = query(
        "SELECT CAST(coalesce(sum(gross_micros), 0) AS BIGINT) AS micros FROM invoices \
         WHERE corrects = $1 AND kind = 'credit_note'",
    )
    .cells(cells![of.0])
    .fetch_one(conn)
    .await?;
    row.amount("micros")
}

/// The corrected invoice that stands for `of`, if there is one.
pub(crate) async fn replacement(conn: &mut AnyConnection, of: InvoiceId) -> Result<Option<Invoice>> {
    let invoice = load(&mut *conn, of).await?;
    if invoice.state != InvoiceState::Void {
        return Err(StoreError::Invalid {
            object: format!("invoice {}", invoice.number),
            rule: "it is not taken back yet; credit it first".to_owned(),
        });
    }
    let row = query("SELECT id FROM invoices WHERE corrects = $1 AND kind = 'corrected'")
        .cells(cells![of.0])
        .fetch_optional(&mut *conn)
        .await?;
    match row {
        Some(row) => Ok(Some(load(conn, InvoiceId(row.int("id")?)).await?)),
        None => Ok(None),
    }
}
