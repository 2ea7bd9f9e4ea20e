//! `tollbook fraud`: what each of its actions takes.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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

/// What `tollbook fraud simulate` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SimulateFormat {
    /// id,account,source,destination,start,duration_seconds.
    Calls,
    /// Events of the switch as JSON, one a line.
    Events,
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
