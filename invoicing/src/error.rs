//! What can go wrong in this room, with what to do about it.

use chrono::NaiveDate;
use model::{Currency, TaxCategory};
use rust_decimal::Decimal;

/// Why there is no invoice, or no PDF of it.
#[derive(Debug, thiserror::Error)]
pub enum InvoicingError {
    /// The text names no month.
    #[error("{text:?} is not a month: write year and month, such as \"2026-10\"")]
    NotAMonth {
        /// The text as given.
        text: String,
    },
    /// The period has no day in it, or lies beyond the calendar.
    #[error("no period from {first_day} to before {end_day}: the end must be a later day of this calendar")]
    NoPeriod {
        /// First day.
        first_day: NaiveDate,
        /// The day after the last.
        end_day: NaiveDate,
    },
    /// One invoice has one currency.
    #[error(
        "{what} is in {found}, the account {account} is billed in {expected}: \
         correct the billing profile's currency or the account's"
    )]
    OtherCurrency {
        /// The fee or the zone.
        what: String,
        /// The account's handle.
        account: String,
        /// Its currency.
        expected: Currency,
        /// What came.
        found: Currency,
    },
    /// The account belongs to another tenant.
    #[error("account {account} does not belong to tenant {tenant}: bill it with its own tenant")]
    OtherTenant {
        /// The account's handle.
        account: String,
        /// The tenant's handle.
        tenant: String,
    },
    /// No VAT rate is like this.
    #[error(
        "a VAT rate of {percent} % is not possible: set vat_percent of account {account} between 0 and 100"
    )]
    VatRate {
        /// The account's handle.
        account: String,
        /// The rate.
        percent: Decimal,
    },
    /// The seller has no rate for the customer's country on that day.
    #[error(
        "account {account} is taxed by country, but its seller has no VAT rate for {country:?} on {day}: \
         add one to tax_rates of the seller's billing terms"
    )]
    NoTaxRate {
        /// The account's handle.
        account: String,
        /// Of the customer.
        country: String,
        /// The last day of the period.
        day: NaiveDate,
    },
    /// The category does not fit the parties or the rate.
    #[error("account {account} cannot be billed in VAT category {category}: {rule}")]
    Tax {
        /// The account's handle.
        account: String,
        /// The category.
        category: TaxCategory,
        /// Which rule, and what to do.
        rule: &'static str,
    },
    /// No discount is like this.
    #[error(
        "a discount of {percent} % is not possible: set discount_percent of account {account} between 0 and 100"
    )]
    Discount {
        /// The account's handle.
        account: String,
        /// The discount.
        percent: Decimal,
    },
    /// What is to be credited is not on the invoice.
    #[error("invoice {number} cannot be credited: {rule}")]
    Credit {
        /// Its number, or `draft`.
        number: String,
        /// Why not, and what to do.
        rule: String,
    },
    /// The invoice lacks what the e-invoice format demands.
    #[error("invoice {number} cannot be written as {profile}: {}", missing.join("; "))]
    EInvoice {
        /// Its number, or `draft`.
        number: String,
        /// The profile.
        profile: &'static str,
        /// What is missing, each with where to add it.
        missing: Vec<String>,
    },
    /// The PDF from the typesetter is not built as expected.
    #[error("the metadata of the PDF of invoice {number} cannot be extended: {problem}")]
    Metadata {
        /// Its number, or `draft`.
        number: String,
        /// What was not found.
        problem: &'static str,
    },
    /// More than can be added up exactly.
    #[error("{what} is too large to add up exactly: look for a wrong price or a doubled import")]
    TooLarge {
        /// Which sum.
        what: String,
    },
    /// The invoice has a number already, or the number is none.
    #[error("invoice {current} of account {account} cannot get the number {wanted:?}: {rule}")]
    Number {
        /// The account's handle.
        account: String,
        /// Its number, or `draft`.
        current: String,
        /// The number it should get.
        wanted: String,
        /// Why not.
        rule: &'static str,
    },
    /// The parts of a stored document do not give its totals.
    #[error("invoice {number} does not add up: {what} says {stated}, its lines give {computed}; restore it")]
    DoesNotAddUp {
        /// Its number, or `draft`.
        number: String,
        /// Which figure.
        what: &'static str,
        /// As stored.
        stated: Decimal,
        /// As computed.
        computed: Decimal,
    },
    /// The document was written by a later program.
    #[error(
        "the invoice is in format {found}, this program knows formats up to {known}: upgrade the program"
    )]
    Version {
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// The JSON is no invoice.
    #[error("the stored invoice cannot be read: {source}; restore it from a backup")]
    Json {
        /// What the reader says, with line and column.
        #[from]
        source: serde_json::Error,
    },
    /// The template has a mistake.
    #[error("the invoice template {place} is wrong: {message}")]
    Template {
        /// File, line and column.
        place: String,
        /// What the typesetter says.
        message: String,
    },
    /// The pages could not be written as PDF.
    #[error("the pages of invoice {number} cannot be written as PDF: {message}")]
    Pdf {
        /// Its number, or `draft`.
        number: String,
        /// What the typesetter says.
        message: String,
    },
}

impl InvoicingError {
    /// Stable; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            InvoicingError::NotAMonth { .. } => "INV001",
            InvoicingError::NoPeriod { .. } => "INV002",
            InvoicingError::OtherCurrency { .. } => "INV003",
            InvoicingError::OtherTenant { .. } => "INV004",
            InvoicingError::VatRate { .. } => "INV005",
            InvoicingError::TooLarge { .. } => "INV006",
            InvoicingError::Number { .. } => "INV007",
            InvoicingError::DoesNotAddUp { .. } => "INV008",
            InvoicingError::Version { .. } => "INV009",
            InvoicingError::Json { .. } => "INV010",
            InvoicingError::Template { .. } => "INV011",
            InvoicingError::Pdf { .. } => "INV012",
            InvoicingError::NoTaxRate { .. } => "INV013",
            InvoicingError::Tax { .. } => "INV014",
            InvoicingError::Credit { .. } => "INV015",
            InvoicingError::EInvoice { .. } => "INV016",
            InvoicingError::Discount { .. } => "INV018",
            InvoicingError::Metadata { .. } => "INV017",
        }
    }
}
