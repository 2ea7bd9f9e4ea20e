//! The command line: what each command takes. What it does is in `commands/`.

mod access;
mod balances;
mod exports;
mod fraud;
mod imports;
mod invoices;
mod lake;
mod mails;
mod suspense;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::access::{BanAction, TokenAction, UserAction, WebhookAction};
pub(crate) use self::balances::{StatementArgs, TopUpArgs, VoucherArgs};
pub(crate) use self::exports::ExportAction;
pub(crate) use self::fraud::{
    BacktestArgs, BarringOf, ExceptionOf, FraudAction, SimulateArgs, SimulateFormat,
};
pub(crate) use self::imports::{CdrImport, ImportAction};
pub(crate) use self::invoices::{InvoiceAction, TemplateAction, XmlProfile};
pub(crate) use self::lake::{HoldAction, HoldArgs, LakeAction};
pub(crate) use self::mails::{MailAction, MailTemplateAction, MailTemplateChoice, MailTemplateFiles};
pub(crate) use self::suspense::{ChosenRecords, SuspenseAction};
use crate::commands::rerate::RerateArgs;
use crate::commands::simulate::TariffTrial;
use crate::roles::Role;

/// From SIP INVITE to paid invoice: switch, mediation, rating, fraud control, invoices, CDR exchange and SQL in one
/// program.
#[derive(Debug, Parser)]
#[command(name = "tollbook", version, propagate_version = true, max_term_width = 110)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Where the installation is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Installation {
    /// Configuration file of the installation.
    #[arg(long, global = true, value_name = "FILE", default_value = "tollbook.toml")]
    pub(crate) config: PathBuf,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the whole pipeline on real SIP calls over loopback, and show what came of them.
    Demo(DemoArgs),
    /// Run the installation until it is told to stop; or a part of it, beside other processes.
    Run {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What this process does, separated by commas. Left out: all of it. Several processes need `bus.url = "kafka://..."`.
        #[arg(long, value_enum, value_delimiter = ',', value_name = "ROLES")]
        roles: Vec<Role>,
    },
    /// Write a commented configuration and sample provisioning data.
    Init {
        /// Directory of the new installation; must be empty or not exist yet.
        dir: PathBuf,
    },
    /// Read the configuration and say what is wrong with it.
    CheckConfig(Installation),
    /// Load provisioning data: a world in TOML, with its tariffs; a price list; or records of other systems.
    #[command(subcommand_negates_reqs = true)]
    Import {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// The world file.
        #[arg(required = true)]
        file: Option<PathBuf>,
        /// Check everything, change nothing.
        #[arg(long)]
        dry_run: bool,
        /// Take the file's state of objects that were changed at the desk (console or API) since.
        #[arg(long)]
        overwrite: bool,
        /// Something else than a world.
        #[command(subcommand)]
        action: Option<ImportAction>,
    },
    /// Price calls of the past again by the tariffs in force for them now, as reversals and new postings.
    Rerate {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Which.
        #[command(flatten)]
        args: RerateArgs,
    },
    /// Price real calls of the past by another tariff: totals, winners and losers. Changes nothing.
    Simulate {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What and when.
        #[command(flatten)]
        args: TariffTrial,
    },
    /// Price a file of calls by a tariff directory; needs no installation.
    Rate {
        /// Directory with profile.toml, fees.csv and perhaps offpeak.toml, ported.csv and accounts.csv.
        #[arg(long, value_name = "DIR")]
        tariff: PathBuf,
        /// Calls: id,account,source,destination,start,duration_seconds[,direction].
        #[arg(long, value_name = "FILE")]
        calls: PathBuf,
        /// Where the priced calls go.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// Print how each price came about.
        #[arg(long)]
        explain: bool,
    },
    /// Show how a call got its price.
    Explain {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// The CDR's id, 32 hexadecimal digits.
        cdr: String,
    },
    /// Ask the lake.
    Sql {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to ask.
        #[command(flatten)]
        question: SqlQuestion,
    },
    /// Outgoing mail.
    Mail {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: MailAction,
    },
    /// Billing runs and invoices.
    Invoice {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: InvoiceAction,
    },
    /// CDR files.
    Export {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: ExportAction,
    },
    /// Alerts and locks.
    Fraud {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: FraudAction,
    },
    /// Records that could not be processed.
    Suspense {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// How many to show [default: 50].
        #[arg(long)]
        limit: Option<u32>,
        /// What to do; without it they are listed.
        #[command(subcommand)]
        action: Option<SuspenseAction>,
    },
    /// What happened to registrations, profiles, numbers, locks and trunks.
    Edr {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Which of it.
        #[command(flatten)]
        args: EdrArgs,
    },
    /// What an account has, what was free, and which calls used it; now or at any time.
    Balance {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Handle of the account.
        account: String,
        /// Handle of its tenant, where several have an account of that handle.
        #[arg(long, value_name = "HANDLE")]
        tenant: Option<String>,
        /// When, such as 2026-10-05T12:00:00+02:00 [default: now].
        #[arg(long, value_name = "TIME")]
        at: Option<chrono::DateTime<chrono::Utc>>,
        /// Write every movement to this file instead: PDF if its name ends in .pdf, else CSV.
        #[arg(long, value_name = "FILE", conflicts_with = "at")]
        statement: Option<PathBuf>,
        /// First day of the statement, in the account's zone [default: the first of the month of its last day].
        #[arg(long, value_name = "YYYY-MM-DD", requires = "statement")]
        from: Option<chrono::NaiveDate>,
        /// Last day of the statement [default: today].
        #[arg(long, value_name = "YYYY-MM-DD", requires = "statement")]
        to: Option<chrono::NaiveDate>,
    },
    /// Every movement of an account's balance, as CSV or PDF.
    Statement {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Which.
        #[command(flatten)]
        args: StatementArgs,
    },
    /// Top up an account, or list what was tried.
    #[command(name = "topup")]
    TopUp {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Whom and how.
        #[command(flatten)]
        args: TopUpArgs,
    },
    /// Make vouchers; their codes are shown this once.
    Voucher {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// How many and of what worth.
        #[command(flatten)]
        args: VoucherArgs,
    },
    /// Prove that nothing was lost and nothing doubled.
    Audit {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Which time.
        #[command(flatten)]
        period: AuditPeriod,
        /// Only the trail of who changed what: that no entry was altered, removed or cut off.
        #[arg(long, conflicts_with_all = ["day", "from", "to"])]
        log: bool,
    },
    /// Copy the whole installation into a directory, as it is at this moment, running or not.
    Backup {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Directory of the backup; must be empty or not exist yet.
        dir: PathBuf,
    },
    /// Make an installation of a backup, in another directory, and audit it.
    Restore(RestoreArgs),
    /// Say what a restored installation keeps to itself, and let it send and number things again.
    Release {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Only say what waits.
        #[arg(long, conflicts_with = "give_up_waiting")]
        dry_run: bool,
        /// Do not send the mails and webhooks that wait: list them as given up.
        #[arg(long)]
        give_up_waiting: bool,
    },
    /// Make the CDRs of a day once more from the raw events, and compare them byte by byte with those that were made.
    Replay {
        /// Installation; it must not be running, and nothing of it is changed.
        #[command(flatten)]
        installation: Installation,
        /// UTC day of the calls' start.
        #[arg(long, value_name = "YYYY-MM-DD")]
        day: chrono::NaiveDate,
        /// Where the records are written [default: `replay` in the data directory].
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Holds on the lake's rows, persons to be forgotten, and the proofs of it.
    Lake {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: LakeAction,
    },
    /// People who may sign in to the console.
    User {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: UserAction,
    },
    /// Show the SIP messages of one call as they crossed the switch, also while it runs.
    Trace {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Call-ID of one of its legs, the call's own id, or the id of its CDR.
        call: String,
        /// Print the messages themselves, too.
        #[arg(long)]
        full: bool,
        /// Write them to a file that packet analysers read.
        #[arg(long, value_name = "FILE")]
        pcap: Option<PathBuf>,
    },
    /// Say where a call would go, and why, without dialling.
    Route {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Who calls: a subscriber (user@domain, or one of its numbers) or the name of a trunk.
        #[arg(long, value_name = "WHO")]
        from: String,
        /// What is dialled.
        #[arg(long, value_name = "NUMBER")]
        to: String,
    },
    /// Show what a rewrite rule set makes of a number at each of the four crossings.
    Rewrite {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// Name of the set.
        #[arg(long)]
        set: String,
        /// Country code of the party that uses it.
        #[arg(long, default_value = "")]
        country: String,
        /// Area code of the party that uses it.
        #[arg(long, default_value = "")]
        area: String,
        /// Numbers to try.
        #[arg(required = true)]
        numbers: Vec<String>,
    },
    /// Sources that the switch shuts out by hand, beside those it bans by itself.
    Ban {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: BanAction,
    },
    /// Tokens of programs that use the API.
    Token {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: TokenAction,
    },
    /// Programs that are told of alerts, locks, invoices, mails and low balances over HTTP.
    Webhook {
        /// Installation.
        #[command(flatten)]
        installation: Installation,
        /// What to do.
        #[command(subcommand)]
        action: WebhookAction,
    },
    /// Place a test call with the built-in phone and report each step.
    Call(CallArgs),
}

/// Of `tollbook restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArgs {
    /// Directory of the backup.
    pub(crate) dir: PathBuf,
    /// Directory of the new installation; must be empty or not exist yet.
    #[arg(long, value_name = "DIR", required_unless_present = "check")]
    pub(crate) to: Option<PathBuf>,
    /// Of a backup of a PostgreSQL database: an empty one, such as postgres://user@host/database; better given in the environment
    /// if it has a password.
    #[arg(long, value_name = "URL", env = "TOLLBOOK_RESTORE_STORE", hide_env_values = true)]
    pub(crate) store: Option<String>,
    /// Only compare the backup with its list.
    #[arg(long, conflicts_with = "to")]
    pub(crate) check: bool,
}

/// Of `tollbook demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Where the installation is made; must be empty or not exist yet.
    #[arg(long, value_name = "DIR", default_value = "demo-data")]
    pub(crate) dir: PathBuf,
    /// How many calls.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(20..=200_000))]
    pub(crate) calls: u32,
    /// New calls a second.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) cps: u32,
    /// Keep everything running at the end, until Ctrl-C.
    #[arg(long)]
    pub(crate) stay: bool,
}

/// Of `tollbook call`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CallArgs {
    /// The switch, such as 127.0.0.1:5060.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) switch: std::net::SocketAddr,
    /// Name of the subscriber that calls.
    #[arg(long)]
    pub(crate) user: String,
    /// SIP domain of the subscriber.
    #[arg(long)]
    pub(crate) domain: String,
    /// Its password; better given in the environment.
    #[arg(long, env = "TOLLBOOK_SIP_PASSWORD", hide_env_values = true)]
    pub(crate) password: String,
    /// Hang up after so many seconds.
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u64,
    /// The number to call.
    pub(crate) number: String,
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns.
    Table,
    /// Comma-separated, with a header.
    Csv,
    /// One JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
    /// An Arrow stream.
    Arrow,
}

/// A question to the lake.
#[derive(Debug, Clone, Args)]
pub(crate) struct SqlQuestion {
    /// The query. If absent it is read from standard input; a terminal gets a prompt.
    #[arg(conflicts_with = "saved")]
    pub(crate) query: Option<String>,
    /// A delivered query.
    #[arg(long, value_name = "NAME")]
    pub(crate) saved: Option<String>,
    /// Names the delivered queries.
    #[arg(long)]
    pub(crate) list: bool,
    /// Of a delivered query: calls from this day (UTC) or time on. Default: 30 days before the end.
    #[arg(long, value_name = "DAY", requires = "saved")]
    pub(crate) from: Option<String>,
    /// Of a delivered query: calls before this day (UTC) or time. Default: now.
    #[arg(long, value_name = "DAY", requires = "saved")]
    pub(crate) to: Option<String>,
    /// How to print the rows.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
    /// Write the rows to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// How long the query may run, e.g. `30s`. Default: `lake.query_timeout`.
    #[arg(long, value_name = "TIME")]
    pub(crate) timeout: Option<humantime_serde::re::humantime::Duration>,
}

/// What a billing run covers: one of them.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct BillingTime {
    /// A month, such as 2026-10, in each account's own zone.
    #[arg(long, value_name = "YYYY-MM")]
    pub(crate) period: Option<String>,
    /// From the first of the month through this day, which must be over in each account's own zone.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) through: Option<chrono::NaiveDate>,
    /// Whatever is over and has no invoice yet, by the cycle in each account's billing terms.
    #[arg(long)]
    pub(crate) due: bool,
    /// Close early: from the first of the month up to this moment. The rest is billed with the month.
    #[arg(long)]
    pub(crate) now: bool,
}

/// Which calls an audit looks at, by the UTC day of their start; all of them without it. What has no day is always looked at.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AuditPeriod {
    /// One day.
    #[arg(long, value_name = "YYYY-MM-DD", conflicts_with_all = ["from", "to"])]
    pub(crate) day: Option<chrono::NaiveDate>,
    /// The first day.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "to")]
    pub(crate) from: Option<chrono::NaiveDate>,
    /// The last day.
    #[arg(long, value_name = "YYYY-MM-DD", requires = "from")]
    pub(crate) to: Option<chrono::NaiveDate>,
}

/// Of `tollbook edr`.
#[derive(Debug, clap::Args)]
pub(crate) struct EdrArgs {
    /// Of this account; its handle.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Of this kind, such as `update_profile`, `number_assigned`, `lock_changed` or `registered`.
    #[arg(long)]
    pub(crate) kind: Option<model::EdrKind>,
    /// Of this number, in E.164 digits.
    #[arg(long)]
    pub(crate) number: Option<model::E164>,
    /// How many, the latest.
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
}
