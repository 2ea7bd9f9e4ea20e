//! What `tollbook invoice` takes.

use std::path::PathBuf;

use clap::Subcommand;

use crate::cli::BillingTime;

/// Of `tollbook invoice`.
#[derive(Debug, Subcommand)]
pub(crate) enum InvoiceAction {
    /// Invoice a period; accounts that have their invoice keep it.
    Run {
        /// Which time.
        #[command(flatten)]
        which: BillingTime,
        /// Only this account.
        #[arg(long, value_name = "HANDLE")]
        account: Option<String>,
        /// Show what would be invoiced, number nothing.
        #[arg(long)]
        dry_run: bool,
        /// Do not wait for calls on their way to ledger and lake: they come on the next invoice.
        #[arg(long)]
        no_wait: bool,
    },
    /// List invoices.
    List,
    /// Write an invoice's PDF to a file.
    Pdf {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
        /// The file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Write an invoice as XML (EN 16931) to a file.
    Xml {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
        /// Syntax and rules.
        #[arg(long = "as", value_name = "PROFILE")]
        profile: XmlProfile,
        /// The file.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Take back an invoice, or a part of one line, with a credit note.
    Credit {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
        /// Why, as printed.
        #[arg(long)]
        reason: String,
        /// Only a part of this line; the first is 1.
        #[arg(long, value_name = "N", requires = "amount")]
        line: Option<usize>,
        /// How much of that line, without VAT.
        #[arg(long, value_name = "AMOUNT", requires = "line")]
        amount: Option<rust_decimal::Decimal>,
    },
    /// Bill again what an invoice billed wrongly; credit it first.
    Correct {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
        /// Why, as printed.
        #[arg(long)]
        reason: String,
    },
    /// Mail an invoice again.
    Resend {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
        /// To this address instead of the customer's.
        #[arg(long, value_name = "ADDRESS")]
        to: Option<String>,
    },
    /// Mail reminders of invoices that are overdue, with their PDF.
    Remind {
        /// The number of one invoice, or `TENANT:NUMBER`; left out: all that are overdue.
        number: Option<String>,
        /// Of all: only those overdue for so many days.
        #[arg(long, value_name = "DAYS", default_value_t = 1, conflicts_with = "number")]
        overdue: u32,
        /// Of all: none that was reminded of in so many days.
        #[arg(long, value_name = "DAYS", default_value_t = 14, conflicts_with = "number")]
        pause: u32,
        /// Show who would be reminded.
        #[arg(long)]
        dry_run: bool,
    },
    /// Note that the sum of an invoice came in.
    Paid {
        /// Its number; `TENANT:NUMBER` where several tenants have one of that number.
        number: String,
    },
    /// A tenant's own layout and words.
    #[command(subcommand)]
    Template(TemplateAction),
}

/// E-invoice formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum XmlProfile {
    /// XRechnung 3 in UBL.
    Xrechnung,
    /// XRechnung 3 in CII.
    XrechnungCii,
    /// Peppol BIS Billing 3.
    Peppol,
    /// The CII that the PDF carries.
    FacturX,
}

/// Of `tollbook invoice template`.
#[derive(Debug, Subcommand)]
pub(crate) enum TemplateAction {
    /// Write the program's own template to a folder, as a beginning.
    Copy {
        /// The folder; it must not exist.
        dir: PathBuf,
    },
    /// Try a template on invoices of every kind and language.
    Check {
        /// Its folder.
        dir: PathBuf,
    },
    /// Print a sample invoice.
    Preview {
        /// The template's folder; left out: the program's own.
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// en, de or vi.
        #[arg(long, default_value = "en")]
        language: model::Language,
        /// The PDF.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Check a template and print invoices with it from now on.
    Use {
        /// Its folder.
        dir: PathBuf,
        /// Handle of the tenant; may be left out where there is only one.
        #[arg(long, value_name = "HANDLE")]
        tenant: Option<String>,
    },
    /// Go back to the program's own template.
    Reset {
        /// Handle of the tenant; may be left out where there is only one.
        #[arg(long, value_name = "HANDLE")]
        tenant: Option<String>,
    },
}
