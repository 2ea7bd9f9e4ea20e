//! Takes an invoice back, whole or in part, and puts another in its place.
//!
//! In: a final [`Invoice`], a reason, a date. Out: the draft of a credit note or of a corrected invoice, which names the
//! invoice by number and date. The invoice itself never changes. How much was credited before is the store's to say.

use chrono::NaiveDate;
use rust_decimal::Decimal;

use crate::document::{add_up, rounded};
use crate::{DocumentKind, INVOICE_VERSION, Invoice, InvoiceLine, InvoicingError, LineItem, Reference};

/// How much of an invoice is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credited {
    /// All of it.
    Whole,
    /// An amount of one line.
    Part {
        /// Which; the first is 0.
        line_idx: usize,
        /// How much of its net amount, above zero.
        net: Decimal,
    },
}

/// The draft of a credit note for `invoice`, with positive amounts (EN 16931, type code 381).
///
/// # Errors
///
/// [`InvoicingError::Credit`] for a draft, for a credit note, without a reason, and for more than the line has.
pub fn credit_note(
    invoice: &Invoice,
    credited: Credited,
    reason: &str,
    issue_date: NaiveDate,
) -> Result<Invoice, InvoicingError> {
    let of = reference_to(invoice, reason)?;
    let refused = |rule: String| InvoicingError::Credit { number: invoice.name().to_owned(), rule };
    let lines = match credited {
        Credited::Whole => invoice.lines.clone(),
        Credited::Part { line_idx, net } => {
            let line = invoice
                .lines
                .get(line_idx)
                .ok_or_else(|| refused(format!("it has {} lines; name one of them", invoice.lines.len())))?;
            let net = rounded(net, invoice.currency, "the credit")?;
            if net <= Decimal::ZERO || net > line.net {
                return Err(refused(format!(
                    "line {} is {}; credit more than 0 and at most that",
                    line_idx + 1,
                    line.net
                )));
            }
            vec![InvoiceLine {
                item: LineItem::Part { text: name_of(&line.item) },
                net,
                gross: None,
                ..line.clone()
            }]
        }
    };
    let (vat, totals) = add_up(&lines, invoice.currency, false)?;
    Ok(Invoice {
        version: INVOICE_VERSION,
        number: None,
        kind: DocumentKind::CreditNote { of, reason: reason.trim().to_owned() },
        issue_date,
        due_date: issue_date,
        lines,
        vat,
        totals,
        calls: Vec::new(),
        billed: Vec::new(),
        ..invoice.clone()
    })
}

/// Makes `draft`, what should have been billed, the invoice that comes in the place of `wrong`.
///
/// # Errors
///
/// [`InvoicingError::Credit`] as for [`credit_note`].
pub fn corrected(wrong: &Invoice, draft: Invoice, reason: &str) -> Result<Invoice, InvoicingError> {
    let of = reference_to(wrong, reason)?;
    Ok(Invoice { kind: DocumentKind::Corrected { of, reason: reason.trim().to_owned() }, ..draft })
}

fn reference_to(invoice: &Invoice, reason: &str) -> Result<Reference, InvoicingError> {
    let refused =
        |rule: &str| Err(InvoicingError::Credit { number: invoice.name().to_owned(), rule: rule.to_owned() });
    if invoice.is_credit_note() {
        return refused("it is a credit note itself; bill what it took back with a corrected invoice");
    }
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().any(char::is_control) {
        return refused("a credit needs a reason of one line, which is printed on it");
    }
    match &invoice.number {
        Some(number) => Ok(Reference { number: number.clone(), issue_date: invoice.issue_date }),
        None => refused("it is a draft; change what it is made from"),
    }
}

/// What a line is for, in the words of its maker: names of fees and zones are not translated.
fn name_of(item: &LineItem) -> String {
    match item {
        LineItem::Recurring { name, .. } | LineItem::OneOff { name, .. } => name.clone(),
        LineItem::Usage { zone, zone_detail, .. } | LineItem::LateUsage { zone, zone_detail, .. } => {
            if zone_detail.is_empty() || zone_detail == zone {
                zone.clone()
            } else {
                format!("{zone} · {zone_detail}")
            }
        }
        LineItem::Discount { percent } => format!("−{} %", percent.normalize()),
        LineItem::Part { text } => text.clone(),
    }
}
