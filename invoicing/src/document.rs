//! The invoice as a document: what is kept, mailed and, once it has a number, never changed again.
//!
//! In: lines, already rounded. Out: totals that are sums of what is printed, and JSON with a format number. What the
//! lines are made from is `assemble`'s work, what they look like `render`'s. Not here yet: VAT categories and
//! exemption reasons, credit notes, the e-invoice XML, dunning; each is a new field or a new line item with a new
//! [`INVOICE_VERSION`].

use chrono::NaiveDate;
use model::{Contact, Currency, Money};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{InvoicingError, Period};

/// Format of the JSON that this program writes. It reads this one and all before it.
pub const INVOICE_VERSION: u32 = 1;

/// Beyond this, in currency units, an amount is a mistake; below it every sum here is exact.
const AMOUNT_MAX: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0); // 10^15

/// One invoice: a draft until it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// [`INVOICE_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Given by the store when the invoice becomes final; `None` is a draft.
    pub number: Option<String>,
    /// Who bills, as of the issue date.
    pub issuer: Contact,
    /// Who pays, as of the issue date.
    pub customer: Contact,
    /// The account's handle: the customer number.
    pub account: String,
    /// What it is for.
    pub period: Period,
    /// Its date.
    pub issue_date: NaiveDate,
    /// To be paid by.
    pub due_date: NaiveDate,
    /// Of every amount in it.
    pub currency: Currency,
    /// Fees first, then calls by zone.
    pub lines: Vec<InvoiceLine>,
    /// VAT for each rate, lowest first.
    pub vat: Vec<VatLine>,
    /// The sums.
    pub totals: Totals,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// For what.
    pub item: LineItem,
    /// VAT rate, percent.
    pub vat_percent: Decimal,
    /// Without VAT, rounded once to the minor unit.
    pub net: Decimal,
}

/// What a line is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum LineItem {
    /// A fee for the period.
    Recurring {
        /// Its name.
        name: String,
        /// How many.
        quantity: u32,
    },
    /// Calls to one zone.
    Usage {
        /// Zone.
        zone: String,
        /// Zone detail.
        zone_detail: String,
        /// How many calls.
        calls: u64,
        /// Seconds charged, by the tariff's intervals.
        billed_seconds: u64,
    },
}

/// VAT of one rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VatLine {
    /// The rate.
    pub percent: Decimal,
    /// Sum of the lines with this rate.
    pub net: Decimal,
    /// The tax on that sum, rounded once.
    pub vat: Decimal,
}

/// The sums of an invoice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Of the lines.
    pub net: Decimal,
    /// Of the VAT lines.
    pub vat: Decimal,
    /// Net and VAT: what is to be paid.
    pub gross: Decimal,
}

impl Invoice {
    /// Makes a draft final. The store calls this in the transaction that takes `number` from its sequence.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::Number`] when it has one already, or `number` is empty or does not fit on one line.
    pub fn finalise(&mut self, number: String) -> Result<(), InvoicingError> {
        let rule = if self.number.is_some() {
            "a final invoice never changes, write a credit note"
        } else if number.trim().is_empty()
            || number.chars().any(char::is_control)
            || number.chars().count() > 40
        {
            "a number is 1 to 40 visible characters"
        } else {
            self.number = Some(number);
            return Ok(());
        };
        Err(InvoicingError::Number {
            account: self.account.clone(),
            current: self.name().to_owned(),
            wanted: number,
            rule,
        })
    }

    /// Its number, or `draft`.
    pub fn name(&self) -> &str {
        self.number.as_deref().unwrap_or("draft")
    }

    /// Whether there is nothing on it. The caller decides if such an invoice is sent.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The JSON that is kept.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::Json`], which does not happen to a document of this type.
    pub fn to_json(&self) -> Result<String, InvoicingError> {
        Ok(serde_json::to_string(self)?)
    }

    /// Reads what [`Invoice::to_json`] wrote, in this version of the program or an earlier one.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::Version`], [`InvoicingError::Json`], [`InvoicingError::DoesNotAddUp`].
    pub fn from_json(json: &str) -> Result<Invoice, InvoicingError> {
        #[derive(Deserialize)]
        struct Format {
            version: u32,
        }
        let Format { version } = serde_json::from_str(json)?;
        if version > INVOICE_VERSION {
            return Err(InvoicingError::Version { found: version, known: INVOICE_VERSION });
        }
        let invoice: Invoice = serde_json::from_str(json)?;
        invoice.check()?;
        Ok(invoice)
    }

    /// Proves that VAT and totals are what the lines give.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::DoesNotAddUp`] with the first figure that differs.
    pub fn check(&self) -> Result<(), InvoicingError> {
        let (vat, totals) = add_up(&self.lines, self.currency)?;
        let differs = |what, stated: Decimal, computed: Decimal| {
            if stated == computed {
                return Ok(());
            }
            Err(InvoicingError::DoesNotAddUp { number: self.name().to_owned(), what, stated, computed })
        };
        differs("the number of VAT rates", self.vat.len().into(), vat.len().into())?;
        for (stated, computed) in self.vat.iter().zip(&vat) {
            differs("the VAT rate", stated.percent, computed.percent)?;
            differs("the net amount of a VAT rate", stated.net, computed.net)?;
            differs("the VAT of a rate", stated.vat, computed.vat)?;
        }
        differs("the net total", self.totals.net, totals.net)?;
        differs("the VAT total", self.totals.vat, totals.vat)?;
        differs("the total", self.totals.gross, totals.gross)
    }
}

/// VAT by rate, lowest first, and the totals: sums of rounded lines (EN 16931, BR-CO-10, BR-CO-14, BR-CO-15, BR-CO-17).
pub(crate) fn add_up(
    lines: &[InvoiceLine],
    currency: Currency,
) -> Result<(Vec<VatLine>, Totals), InvoicingError> {
    let zero = Money::zero(currency).round_to_minor().amount;
    let mut vat: Vec<VatLine> = Vec::new();
    for line in lines {
        match vat.iter_mut().find(|rate| rate.percent == line.vat_percent) {
            Some(rate) => rate.net = add(rate.net, line.net, "the net amount of a VAT rate")?,
            None => vat.push(VatLine { percent: line.vat_percent, net: line.net, vat: zero }),
        }
    }
    vat.sort_by_key(|rate| rate.percent);
    let mut totals = Totals { net: zero, vat: zero, gross: zero };
    for rate in &mut vat {
        let exact =
            rate.net.checked_mul(rate.percent).and_then(|product| product.checked_div(Decimal::ONE_HUNDRED));
        let exact = exact.ok_or_else(|| InvoicingError::TooLarge { what: "the VAT".to_owned() })?;
        rate.vat = rounded(exact, currency, "the VAT")?;
        totals.net = add(totals.net, rate.net, "the net total")?;
        totals.vat = add(totals.vat, rate.vat, "the VAT total")?;
    }
    totals.gross = add(totals.net, totals.vat, "the total")?;
    Ok((vat, totals))
}

/// Rounds to the minor unit of `currency`, with all its decimals.
pub(crate) fn rounded(amount: Decimal, currency: Currency, what: &str) -> Result<Decimal, InvoicingError> {
    if amount.abs() > AMOUNT_MAX {
        return Err(InvoicingError::TooLarge { what: what.to_owned() });
    }
    Ok(Money::new(amount, currency).round_to_minor().amount)
}

/// The sum, or an error beyond [`AMOUNT_MAX`].
pub(crate) fn add(left: Decimal, right: Decimal, what: &str) -> Result<Decimal, InvoicingError> {
    left.checked_add(right)
        .filter(|sum| sum.abs() <= AMOUNT_MAX)
        .ok_or_else(|| InvoicingError::TooLarge { what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_amount_is_a_million_milliards() {
        assert_eq!(AMOUNT_MAX, Decimal::from(1_000_000_000_000_000_u64));
    }
}
