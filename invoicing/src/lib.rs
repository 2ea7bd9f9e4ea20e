//! Invoices: from fees and calls to a document that adds up, and from the document to a PDF.
//!
//! In: who bills whom ([`model::Tenant`], [`model::Account`]), a [`Period`] in the account's zone, recurring fees and
//! calls summed up by zone. Out: an [`Invoice`], whose JSON is what the store keeps, and its pages as PDF bytes.
//! No clock, no files, no database: the binary chooses the calls, hands in the dates, gives the number in the
//! transaction that makes the invoice final, and carries the bytes away.
//!
//! The one rule of all sums (EN 16931): calls are added up exactly, a line is rounded once, VAT is computed for each
//! rate from the sum of its rounded lines and rounded once, and every total is a sum of what is printed.

mod assemble;
mod document;
mod error;
mod period;
#[cfg(feature = "pdf")]
mod print;
#[cfg(feature = "pdf")]
mod render;

pub use assemble::{PAYMENT_DAYS, RecurringFee, UsageLine, UsageTally, assemble};
pub use document::{INVOICE_VERSION, Invoice, InvoiceLine, LineItem, Totals, VatLine};
pub use error::InvoicingError;
pub use period::Period;
#[cfg(feature = "pdf")]
pub use render::render_pdf;
