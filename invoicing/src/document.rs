//! The invoice as a document: what is kept, mailed and, once it has a number, never changed again.
//!
//! In: lines, already rounded. Out: totals that are sums of what is printed, and JSON with a format number. What the
//! lines are made from is `assemble`'s work, what they look like `render`'s, how they are written as XML `einvoice`'s.
//! A field added here has a default that says what earlier documents meant, and a new [`INVOICE_VERSION`].

use chrono::{NaiveDate, NaiveDateTime};
use model::{BillingTerms, Contact, Currency, Language, Money, TaxCategory};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{DayUsage, Exemption, InvoicingError, Period};

/// Format of the JSON that this program writes. It reads this one and all before it.
pub const INVOICE_VERSION: u32 = 2;

/// Beyond this, in currency units, an amount is a mistake; below it every sum here is exact.
const AMOUNT_MAX: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0); // 10^15

/// One invoice: a draft until it has a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// [`INVOICE_VERSION`] of the program that wrote it.
    pub version: u32,
    /// Given by the store when the invoice becomes final; `None` is a draft.
    pub number: Option<String>,
    /// Invoice, credit note or corrected invoice.
    #[serde(default)]
    pub kind: DocumentKind,
    /// Who bills, as of the issue date.
    pub issuer: Contact,
    /// What e-invoices say of the issuer beyond its contact.
    #[serde(default)]
    pub issuer_details: PartyDetails,
    /// Who pays, as of the issue date.
    pub customer: Contact,
    /// What e-invoices say of the customer beyond its contact.
    #[serde(default)]
    pub customer_details: PartyDetails,
    /// The account's handle: the customer number.
    pub account: String,
    /// What the customer wants to read on it (BT-10); empty if nothing.
    #[serde(default)]
    pub buyer_reference: String,
    /// The customer's order number (BT-13); empty if none.
    #[serde(default)]
    pub order_reference: String,
    /// Of its words and figures.
    #[serde(default)]
    pub language: Language,
    /// What it is for.
    pub period: Period,
    /// Its date.
    pub issue_date: NaiveDate,
    /// To be paid by.
    pub due_date: NaiveDate,
    /// Of every amount in it.
    pub currency: Currency,
    /// Fees first, then calls by zone, then what is left of earlier periods.
    pub lines: Vec<InvoiceLine>,
    /// VAT for each category and rate, lowest rate first.
    pub vat: Vec<VatLine>,
    /// The sums.
    pub totals: Totals,
    /// Every call, in the order of their start, if the customer wants them printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallEntry>,
    /// The calls it bills, by day and zone, late ones included: what comes to them afterwards is on a later invoice. Empty in
    /// documents of the first format.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub billed: Vec<DayUsage>,
}

/// What kind of document it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "document", rename_all = "snake_case")]
pub enum DocumentKind {
    /// An invoice (UNTDID 1001, code 380).
    #[default]
    Invoice,
    /// Takes back an invoice or a part of it (381). Its amounts are positive: what the customer gets.
    CreditNote {
        /// Which.
        of: Reference,
        /// Why, as printed.
        reason: String,
    },
    /// Comes in the place of an invoice that was wrong (384).
    Corrected {
        /// Which.
        of: Reference,
        /// Why, as printed.
        reason: String,
    },
}

/// Another document, named on this one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reference {
    /// Its number.
    pub number: String,
    /// Its date.
    pub issue_date: NaiveDate,
}

/// What e-invoices say of a party beyond its contact; empty where there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PartyDetails {
    /// Who answers questions (BT-41).
    pub contact_person: String,
    /// Telephone (BT-42).
    pub phone: String,
    /// Tax number (BT-32).
    pub tax_number: String,
    /// BIC of the bank (BT-86).
    pub bic: String,
    /// Scheme and identifier, or a mail address (BT-34, BT-49).
    pub electronic_address: String,
}

impl From<&BillingTerms> for PartyDetails {
    fn from(terms: &BillingTerms) -> Self {
        Self {
            contact_person: terms.contact_person.clone(),
            phone: terms.phone.clone(),
            tax_number: terms.tax_number.clone(),
            bic: terms.bic.clone(),
            electronic_address: terms.electronic_address.clone(),
        }
    }
}

/// One call of the call list. The number is masked before it gets here, so no document holds it whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallEntry {
    /// Start, local time of the period's zone.
    pub at: NaiveDateTime,
    /// The number called, its last digits hidden.
    pub to: String,
    /// Zone.
    pub zone: String,
    /// Seconds answered.
    pub seconds: Decimal,
    /// Without VAT (or with it, where prices include it), not rounded.
    pub cost: Decimal,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceLine {
    /// For what.
    pub item: LineItem,
    /// VAT category.
    #[serde(default)]
    pub tax_category: TaxCategory,
    /// VAT rate, percent.
    pub vat_percent: Decimal,
    /// Why no VAT is charged, where the category asks for a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
    /// Without VAT, rounded once to the minor unit.
    pub net: Decimal,
    /// With VAT, rounded once to the minor unit, where prices include it; the net amount is then taken from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gross: Option<Decimal>,
    /// First and last day, where it is not for the whole period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<(NaiveDate, NaiveDate)>,
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
    /// A fee charged once.
    OneOff {
        /// Its name.
        name: String,
        /// How many.
        quantity: u32,
    },
    /// Off the calls of this invoice.
    Discount {
        /// Percent of them.
        percent: Decimal,
    },
    /// Calls of an earlier period whose records came, or changed, after its invoice; negative where they were taken back.
    LateUsage {
        /// Zone.
        zone: String,
        /// Zone detail.
        zone_detail: String,
        /// How many calls more.
        calls: i64,
        /// Seconds charged more.
        billed_seconds: i64,
    },
    /// A part of a line of another document.
    Part {
        /// As printed.
        text: String,
    },
}

/// VAT of one category and rate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VatLine {
    /// Category.
    #[serde(default)]
    pub category: TaxCategory,
    /// The rate.
    pub percent: Decimal,
    /// Why no VAT is charged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exemption: Option<Exemption>,
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
    /// Net and VAT.
    pub gross: Decimal,
    /// Paid already (BT-113): nothing, or all of it from a prepaid balance.
    #[serde(default)]
    pub prepaid: Decimal,
    /// Where prices include VAT: what the sum of the lines is more than `gross` (BT-114).
    #[serde(default)]
    pub rounding: Decimal,
}

impl Totals {
    /// What is to be paid (BT-115, BR-CO-16).
    pub fn payable(&self) -> Decimal {
        self.gross - self.prepaid + self.rounding
    }
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
        let mut invoice: Invoice = serde_json::from_str(json)?;
        if version == 1 {
            // It knew rates alone; zero percent was the zero rate.
            let of_rate =
                |percent: Decimal| if percent.is_zero() { TaxCategory::Zero } else { TaxCategory::Standard };
            for line in &mut invoice.lines {
                line.tax_category = of_rate(line.vat_percent);
            }
            for rate in &mut invoice.vat {
                rate.category = of_rate(rate.percent);
            }
        }
        invoice.check()?;
        Ok(invoice)
    }

    /// Proves that VAT and totals are what the lines give.
    ///
    /// # Errors
    ///
    /// [`InvoicingError::DoesNotAddUp`] with the first figure that differs.
    pub fn check(&self) -> Result<(), InvoicingError> {
        let (vat, totals) = add_up(&self.lines, self.currency, !self.totals.prepaid.is_zero())?;
        let differs = |what, stated: Decimal, computed: Decimal| {
            if stated == computed {
                return Ok(());
            }
            Err(InvoicingError::DoesNotAddUp { number: self.name().to_owned(), what, stated, computed })
        };
        differs("the number of VAT rates", self.vat.len().into(), vat.len().into())?;
        for (stated, computed) in self.vat.iter().zip(&vat) {
            differs("the VAT rate", stated.percent, computed.percent)?;
            if stated.category != computed.category {
                return Err(InvoicingError::DoesNotAddUp {
                    number: self.name().to_owned(),
                    what: "the rate of a VAT category",
                    stated: stated.percent,
                    computed: computed.percent,
                });
            }
            differs("the net amount of a VAT rate", stated.net, computed.net)?;
            differs("the VAT of a rate", stated.vat, computed.vat)?;
        }
        differs("the net total", self.totals.net, totals.net)?;
        differs("the VAT total", self.totals.vat, totals.vat)?;
        differs("the total", self.totals.gross, totals.gross)?;
        differs("the rounding", self.totals.rounding, totals.rounding)?;
        differs("what is paid already", self.totals.prepaid, totals.prepaid)
    }

    /// The document it takes back or replaces, and why.
    pub fn preceding(&self) -> Option<(&Reference, &str)> {
        match &self.kind {
            DocumentKind::Invoice => None,
            DocumentKind::CreditNote { of, reason } | DocumentKind::Corrected { of, reason } => {
                Some((of, reason))
            }
        }
    }

    /// Whether the customer gets the money.
    pub fn is_credit_note(&self) -> bool {
        matches!(self.kind, DocumentKind::CreditNote { .. })
    }
}

/// VAT by category and rate, lowest rate first, and the totals: sums of rounded lines (EN 16931, BR-CO-10, BR-CO-14,
/// BR-CO-15, BR-CO-17). Where every line has a gross amount, their sum is what is to be paid.
pub(crate) fn add_up(
    lines: &[InvoiceLine],
    currency: Currency,
    is_prepaid: bool,
) -> Result<(Vec<VatLine>, Totals), InvoicingError> {
    let zero = Money::zero(currency).round_to_minor().amount;
    let mut vat: Vec<VatLine> = Vec::new();
    for line in lines {
        let same =
            |rate: &&mut VatLine| rate.percent == line.vat_percent && rate.category == line.tax_category;
        match vat.iter_mut().find(same) {
            Some(rate) => rate.net = add(rate.net, line.net, "the net amount of a VAT rate")?,
            None => vat.push(VatLine {
                category: line.tax_category,
                percent: line.vat_percent,
                exemption: line.exemption.clone(),
                net: line.net,
                vat: zero,
            }),
        }
    }
    vat.sort_by_key(|rate| (rate.percent, rate.category));
    let mut totals = Totals { net: zero, vat: zero, gross: zero, prepaid: zero, rounding: zero };
    for rate in &mut vat {
        let exact =
            rate.net.checked_mul(rate.percent).and_then(|product| product.checked_div(Decimal::ONE_HUNDRED));
        let exact = exact.ok_or_else(|| InvoicingError::TooLarge { what: "the VAT".to_owned() })?;
        rate.vat = rounded(exact, currency, "the VAT")?;
        totals.net = add(totals.net, rate.net, "the net total")?;
        totals.vat = add(totals.vat, rate.vat, "the VAT total")?;
    }
    totals.gross = add(totals.net, totals.vat, "the total")?;
    let with_tax: Option<Vec<Decimal>> = lines.iter().map(|line| line.gross).collect();
    if let Some(with_tax) = with_tax.filter(|lines| !lines.is_empty()) {
        let sum = with_tax.into_iter().try_fold(zero, |sum, line| add(sum, line, "the total"))?;
        totals.rounding = sum - totals.gross;
    }
    if is_prepaid {
        totals.prepaid = totals.gross + totals.rounding;
    }
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
