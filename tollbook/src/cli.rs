//! The command line: what each command takes. What it does is in `commands/`.

mod access;
mod invoices;
mod lake;
mod mails;
mod suspense;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::access::{BanAction, TokenAction, UserAction, WebhookAction};
pub(crate) use self::invoices::{InvoiceAction, TemplateAction, XmlProfile};
pub(crate) use self::lake::{HoldAction, HoldArgs, LakeAction};
pub(crate) use self::mails::{MailAction, MailTemplateAction, MailTemplateChoice, MailTemplateFiles};
pub(crate) use self::suspense::{ChosenRecords, SuspenseAction};
use crate::commands::import_fees::FeesArgs;
use crate::commands::import_ported::PortedArgs;
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

/// Of `tollbook export`.
#[derive(Debug, Subcommand)]
pub(crate) enum ExportAction {
    /// Close a file for every owner with calls waiting, in every stream.
    Run,
    /// List the files written.
    List,
    /// List the streams: when their files are due, and how many calls wait.
    Streams,
    /// List the formats that come with the program, or print the description of one.
    Formats {
        /// Print this one: the beginning of a format of your own.
        name: Option<String>,
    },
    /// Show a format on the latest calls, as its file would be.
    Preview {
        /// A delivered format, or the path of a description that ends in .toml.
        #[arg(long)]
        format: String,
        /// As whom the file would be for: system, or the handle of a reseller or carrier.
        #[arg(long, default_value = "system")]
        owner: String,
        /// How many calls.
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        calls: u32,
        /// Show the fields of the first record one by one, with their columns.
        #[arg(long)]
        fields: bool,
    },
    /// Check a file, ours or a partner's: every record, counts, sums and checksums.
    Verify {
        /// Its format [default: the reference's, of which count and checksum are checked].
        #[arg(long)]
        format: Option<String>,
        /// The file.
        file: PathBuf,
    },
    /// Who has fetched which of the latest files, when, and whether all of it.
    Fetched {
        /// Only this SFTP user.
        #[arg(long)]
        user: Option<String>,
        /// Only files that were not fetched to their end.
        #[arg(long)]
        missing: bool,
        /// How many files of each user.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        files: u32,
    },
    /// What SFTP users did, the latest last.
    Trail {
        /// Only this SFTP user.
        #[arg(long)]
        user: Option<String>,
        /// How many entries.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        limit: u32,
    },
    /// What partners have put into `in/` and `ack/`, and what it says or would change, the latest last.
    Inbox {
        /// Only of this SFTP user.
        #[arg(long)]
        user: Option<String>,
        /// How many files.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Hash a password, read from standard input, for `password_hash` of an SFTP user.
    Password,
    /// Put a call into the next file that a filter has left out.
    QueueAgain {
        /// The call, as `tollbook explain` names it.
        cdr: String,
        /// Whose files: system, or the handle of a reseller or carrier.
        #[arg(long, default_value = "system")]
        owner: String,
        /// Of which stream [default: the main one].
        #[arg(long, default_value = "", hide_default_value = true)]
        stream: String,
        /// Of which direction, where a stream counts them apart: out or in.
        #[arg(long)]
        way: Option<String>,
        /// Why, for the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Show a file once more that was published before, byte for byte.
    Again {
        /// Its sequence number.
        #[arg(long = "seq", value_name = "N")]
        sequence: u64,
        /// Whose: system, or the handle of a reseller or carrier.
        #[arg(long, default_value = "system")]
        owner: String,
        /// Of which stream [default: the main one].
        #[arg(long, default_value = "", hide_default_value = true)]
        stream: String,
        /// Of which direction, where a stream counts them apart: out or in.
        #[arg(long)]
        way: Option<String>,
        /// Write it to this file, and leave what the partner sees alone.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Of `tollbook fraud`.
#[derive(Debug, Subcommand)]
pub(crate) enum FraudAction {
    /// List alerts that nobody has given a verdict on, newest first.
    Alerts {
        /// All of them.
        #[arg(long)]
        all: bool,
        /// Those handed to this person only.
        #[arg(long, value_name = "NAME")]
        of: Option<String>,
    },
    /// Show an alert with all that convinced its rule.
    Show {
        /// Its id, or the beginning of it.
        alert: String,
    },
    /// Take an alert on, so that others know.
    Ack {
        /// Its id, or the beginning of it.
        alert: String,
    },
    /// Hand an alert as a case to a person who signs in to the console.
    Hand {
        /// Its id, or the beginning of it.
        alert: String,
        /// Login name of the person, who is written to if an address is known.
        #[arg(long, value_name = "NAME")]
        to: String,
        /// What the person should know; kept with the alert.
        #[arg(long)]
        note: Option<String>,
    },
    /// Say what an alert was found to be.
    Verdict {
        /// Its id, or the beginning of it.
        alert: String,
        /// fraud, clean or unsure.
        verdict: String,
        /// Why; kept with the alert.
        #[arg(long)]
        note: Option<String>,
    },
    /// Add a note to an alert.
    Note {
        /// Its id, or the beginning of it.
        alert: String,
        /// The note.
        text: String,
    },
    /// How often each rule was right, by the verdicts.
    Record,
    /// List the rules in force, or check a file of rules.
    Rules {
        /// The file.
        #[arg(long)]
        file: Option<PathBuf>,
    },
    /// Make weeks of calls of an imagined operator, with labelled fraud.
    Simulate(SimulateArgs),
    /// Score the delivered rules on simulated fraud.
    Score {
        /// Seeds of the simulations.
        #[arg(long, value_delimiter = ',', default_values_t = [11, 12, 13, 14, 15])]
        seeds: Vec<u64>,
        /// Score the rules of this file instead.
        #[arg(long, value_name = "FILE")]
        rules: Option<PathBuf>,
    },
    /// Run a file of rules over stored calls: what they would have caught, stopped and locked.
    Backtest(BacktestArgs),
    /// List locks in force.
    Locks,
    /// Lock an account.
    Lock {
        /// Its handle, or TENANT:HANDLE where several tenants have one.
        account: String,
        /// none, foreign, outgoing, all, global or ported.
        #[arg(long, default_value = "outgoing")]
        level: String,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// Unlock an account.
    Unlock {
        /// Its handle, or TENANT:HANDLE where several tenants have one.
        account: String,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// List ranges of numbers that are barred, and accounts that are slowed down.
    Barrings,
    /// Bar calls to a range of numbers, or let through only so many of them.
    Bar {
        #[command(flatten)]
        of: BarringOf,
        /// So many calls a minute get through.
        #[arg(long, default_value_t = 0)]
        calls_per_minute: u32,
        /// For how long, such as 12h; without it until somebody lifts it.
        #[arg(long = "for", value_name = "SPAN")]
        span: Option<model::Span>,
    },
    /// Let calls to a range go through again.
    Unbar {
        #[command(flatten)]
        of: BarringOf,
    },
    /// End the calls of an account that are up; new ones go through.
    Kill {
        /// Its handle, or TENANT:HANDLE where several tenants have one.
        account: String,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: String,
    },
    /// List accounts that rules leave alone.
    Exceptions,
    /// Have a rule, or every one, leave an account alone. Spend limits hold all the same.
    Except {
        #[command(flatten)]
        of: ExceptionOf,
        /// For how long, such as 30d; without it until somebody takes it back.
        #[arg(long = "for", value_name = "SPAN")]
        span: Option<model::Span>,
    },
    /// Have a rule look at an account again.
    Unexcept {
        #[command(flatten)]
        of: ExceptionOf,
    },
    /// Save the one rule of a file as the next version of its name; it takes the place of any other rule of that name.
    SaveRule {
        /// The file.
        file: PathBuf,
        /// Why; kept with the version.
        #[arg(long)]
        reason: String,
        /// Save it switched off: no rule of its name is looked at.
        #[arg(long)]
        off: bool,
    },
    /// List the versions of rules that were saved.
    RuleVersions {
        /// Only those of this rule.
        name: Option<String>,
    },
}

/// Which exception.
#[derive(Debug, Args)]
pub(crate) struct ExceptionOf {
    /// Handle of the account, or TENANT:HANDLE where several tenants have one.
    pub(crate) account: String,
    /// Name of the rule; every one without it.
    #[arg(long)]
    pub(crate) rule: Option<String>,
    /// Why; kept in the audit log.
    #[arg(long)]
    pub(crate) reason: String,
}

/// Which barring.
#[derive(Debug, Args)]
pub(crate) struct BarringOf {
    /// Digits that the numbers begin with, in international form without +; `*` for every number.
    pub(crate) range: String,
    /// Handle of the account, or TENANT:HANDLE where several tenants have one; everybody without it.
    #[arg(long)]
    pub(crate) account: Option<String>,
    /// Handle of the tenant, where everybody of it is meant; may be left out where there is only one.
    #[arg(long, conflicts_with = "account")]
    pub(crate) tenant: Option<String>,
    /// Why; kept in the audit log.
    #[arg(long)]
    pub(crate) reason: String,
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

/// Of `tollbook import`.
#[derive(Debug, Subcommand)]
pub(crate) enum ImportAction {
    /// Take in CDRs that another system wrote. They are priced like our own; may be stopped and started again at any time.
    Cdrs(CdrImport),
    /// Make a price list the next version of a profile, after showing what it changes.
    Fees(FeesArgs),
    /// Say which carrier serves which ported number: what fees for lnp:CARRIER and lnpnumbertype:TYPE look at.
    Ported(PortedArgs),
}

/// Of `tollbook import cdrs`.
#[derive(Debug, Clone, Args)]
pub(crate) struct CdrImport {
    /// Which system wrote them, such as pbx-west: a record's key is unique within it.
    #[arg(long, value_name = "NAME")]
    pub(crate) source: String,
    /// How they are written: freeswitch, or a TOML file that describes it (docs/import-formats.md).
    #[arg(long, value_name = "FILE")]
    pub(crate) format: PathBuf,
    /// A call from before a number had an owner here is its first owner's: for records from before a migration.
    #[arg(long)]
    pub(crate) first_owners: bool,
    /// Say what would come of them, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// The files.
    #[arg(required = true)]
    pub(crate) files: Vec<PathBuf>,
}

/// Of `tollbook fraud simulate`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SimulateArgs {
    /// The same seed makes the same calls, in every version.
    #[arg(long)]
    pub(crate) seed: u64,
    /// Days in all.
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(i64).range(2..=400))]
    pub(crate) days: i64,
    /// Days at the beginning without fraud, for rules that learn.
    #[arg(long, default_value_t = 14)]
    pub(crate) quiet_days: i64,
    /// Customers.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(12..=10_000))]
    pub(crate) customers: i64,
    /// The file of calls: CSV for `tollbook rate`, or one event of the switch a line.
    #[arg(long, value_name = "FILE", required_unless_present = "to_log", conflicts_with = "to_log")]
    pub(crate) out: Option<PathBuf>,
    /// What is written.
    #[arg(long, value_enum, default_value_t = SimulateFormat::Calls, conflicts_with = "to_log")]
    pub(crate) format: SimulateFormat,
    /// Provision the operator in this installation and put the events on its event log, for the next `tollbook run` to work off.
    #[arg(long)]
    pub(crate) to_log: bool,
    /// Do so though the event log has, or had, real calls: the simulated ones are billed and counted with them.
    #[arg(long, requires = "to_log")]
    pub(crate) beside_real_calls: bool,
    /// Also write who was attacked, how and when, as CSV.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
}

/// Of `tollbook fraud backtest`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BacktestArgs {
    /// The file of rules.
    #[arg(long, value_name = "FILE")]
    pub(crate) rule: PathBuf,
    /// First day, UTC.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) from: chrono::NaiveDate,
    /// Last day, UTC.
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(crate) to: chrono::NaiveDate,
    /// Days before the first that the rules learn from, as far as there are calls.
    #[arg(long, default_value_t = 28, value_parser = clap::value_parser!(u32).range(0..=366))]
    pub(crate) learn_days: u32,
}

/// What `tollbook fraud simulate` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimulateFormat {
    /// id,account,source,destination,start,duration_seconds.
    Calls,
    /// Events of the switch as JSON, one a line.
    Events,
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
