//! What the commands of balances take: top-ups, vouchers, statements.

use std::path::PathBuf;

use clap::Args;

/// Of `tollbook topup`.
#[derive(Debug, Clone, Args)]
pub(crate) struct TopUpArgs {
    /// Handle of the account.
    pub(crate) account: String,
    /// Handle of its tenant, where several have an account of that handle.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
    /// How much, in the account's currency. Without it and without --voucher, the attempts so far are listed.
    #[arg(allow_negative_numbers = true)]
    pub(crate) amount: Option<rust_decimal::Decimal>,
    /// The code of a voucher, in place of an amount.
    #[arg(long, value_name = "CODE", conflicts_with = "amount")]
    pub(crate) voucher: Option<String>,
    /// Set right by hand: no money came in, and the amount may be below 0.
    #[arg(long, requires = "amount")]
    pub(crate) adjust: bool,
    /// Your name for this top-up: asked again under the same one, nothing is done [default: drawn].
    #[arg(long)]
    pub(crate) token: Option<String>,
    /// Why; kept with the top-up and in the audit log.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
}

/// Of `tollbook voucher`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VoucherArgs {
    /// What each is worth.
    pub(crate) amount: rust_decimal::Decimal,
    /// How many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) count: u32,
    /// Days until they are worth nothing.
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub(crate) days: u32,
    /// Only for this account.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) account: Option<String>,
    /// Handle of the tenant whose they are, where there are several.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
}

/// Of `tollbook statement`.
#[derive(Debug, Clone, Args)]
pub(crate) struct StatementArgs {
    /// Handle of the account.
    pub(crate) account: String,
    /// Handle of its tenant, where several have an account of that handle.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
    /// First day, in the account's zone.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) from: chrono::NaiveDate,
    /// Last day.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) to: chrono::NaiveDate,
    /// The file, PDF if its name ends in .pdf; CSV on standard output without it.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}
