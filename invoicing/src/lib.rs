//! Invoices: from fees and calls to a document that adds up, and from the document to PDF and XML.
//!
//! In: who bills whom ([`model::Tenant`], [`model::Account`], their [`model::BillingTerms`]), a [`Period`] in the account's zone,
//! fees and calls summed up by zone. Out: an [`Invoice`], whose JSON is what the store keeps, its pages as PDF bytes and its XML.
//! No clock, no files, no database: the binary chooses the calls, hands in the dates, gives the number in the
//! transaction that makes the invoice final, and carries the bytes away.
//!
//! The one rule of all sums (EN 16931): calls are added up exactly, a line is rounded once, VAT is computed for each
//! category and rate from the sum of its rounded lines and rounded once, and every total is a sum of what is printed.

mod assemble;
mod credit;
mod document;
mod einvoice;
mod error;
mod fees;
mod late;
#[cfg(feature = "pdf")]
mod payment_qr;
mod period;
#[cfg(feature = "pdf")]
mod print;
#[cfg(feature = "pdf")]
mod render;
mod sample;
#[cfg(feature = "pdf")]
mod statement;
mod tax;
#[cfg(feature = "pdf")]
mod template;
#[cfg(feature = "pdf")]
mod xmp;

pub use assemble::{Order, PAYMENT_DAYS, UsageLine, UsageTally, assemble};
pub use credit::{Credited, corrected, credit_note};
pub use document::{
    CallEntry, DocumentKind, INVOICE_VERSION, Invoice, InvoiceLine, LineItem, PartyDetails, Reference,
    Totals, VatLine,
};
pub use einvoice::{Profile, missing, to_xml};
pub use error::InvoicingError;
pub use fees::{FeeLine, fees_due};
pub use late::{DayUsage, late_usage, usage_lines};
pub use period::Period;
#[cfg(feature = "pdf")]
pub use render::render_pdf;
pub use sample::{sample_documents, sample_invoice};
#[cfg(feature = "pdf")]
pub use statement::{StatementOf, render_statement_pdf};
pub use tax::{Exemption, Tax, tax_of};
#[cfg(feature = "pdf")]
pub use template::Template;
