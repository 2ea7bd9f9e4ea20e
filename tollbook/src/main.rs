//! Tollbook: from SIP INVITE to paid invoice. This crate is the command line, the configuration, the clock, and the wiring of
//! the rooms; what a room does is in the room.

mod alarms;
mod at_work;
mod backup;
mod balance_sheet;
mod billing;
mod billing_desk;
mod charging;
mod cli;
mod commands;
mod config;
mod control_feed;
mod demo_traffic;
mod disk_watch;
mod downloads;
mod event_writer;
mod exchange_inbox;
mod export_files;
mod failure;
mod fee_import;
mod figures;
mod followed;
mod foreign_records;
mod forwarder;
mod fraud_past;
mod fraud_watch;
mod import_feed;
mod invoice_mail;
mod lake_duties;
mod lake_feed;
mod lake_tables;
mod lake_writer;
mod leases;
mod mail_queue;
mod past_calls;
mod provisioning_desk;
mod provisioning_feed;
mod readiness;
mod resubmit;
mod retention;
mod roles;
mod rule_desk;
mod runner;
mod sftp_desk;
mod shadow_desk;
mod sql_door;
mod suspense_record;
mod system;
mod tariff_desk;
mod tariffs;
mod toml_file;
mod topup_feed;
mod webhook_queue;
mod workbook;
mod world_file;

use ::runner::{clock, counts, directory, ledger_stage};

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::cli::{Cli, Command, ImportAction, Installation};
use crate::config::Config;
use crate::roles::Roles;

/// The C libraries use it too.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Plans of SQL are trees, and those who walk them recurse: the largest that is let in fits (`lake`'s limit of operators). Pages of
/// it that are never used cost nothing.
const THREAD_STACK_BYTES: usize = 16 * 1024 * 1024;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Run { .. } | Command::Demo(_)) {
        // Whoever reads what a command prints may stop reading (`tollbook sql --list | head`): that ends it, as it ends other commands.
        sigpipe::reset();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(THREAD_STACK_BYTES)
        .build()
    {
        Ok(runtime) => runtime,
        Err(why) => {
            failure::print(&anyhow::Error::new(why).context("start the runtime"));
            return ExitCode::from(1);
        }
    };
    let outcome = runtime.block_on(carry_out(cli.command));
    // Blocking work of a library that is still at it must not keep a finished command from ending.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::print(&error);
            ExitCode::from(failure::exit_code(&error))
        }
    }
}

async fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Demo(args) => commands::demo::demo(args).await,
        Command::Run { installation, roles } => {
            let config = load(&installation)?;
            start_log(&config.log)?;
            commands::run::run(config, Roles::of(&roles)).await
        }
        Command::Init { dir } => commands::init::init(&dir),
        Command::CheckConfig(installation) => commands::check_config::check_config(&installation.config),
        Command::Import { installation, action: Some(ImportAction::Cdrs(args)), .. } => {
            commands::import_cdrs::import_cdrs(&quiet(&installation)?, &args).await
        }
        Command::Import { installation, file, dry_run, overwrite, action: None } => {
            // The command line asks for one of the two.
            let file = file.unwrap_or_default();
            commands::import::import(&quiet(&installation)?, &file, dry_run, overwrite).await
        }
        Command::Import { installation, action: Some(ImportAction::Fees(args)), .. } => {
            commands::import_fees::import_fees(&quiet(&installation)?, &args).await
        }
        Command::Import { installation, action: Some(ImportAction::Ported(args)), .. } => {
            commands::import_ported::import_ported(&quiet(&installation)?, &args).await
        }
        Command::Rerate { installation, args } => {
            commands::rerate::rerate(&quiet(&installation)?, &args).await
        }
        Command::Simulate { installation, args } => {
            commands::simulate::simulate(&quiet(&installation)?, &args).await
        }
        Command::Rate { tariff, calls, out, explain } => commands::rate::rate(&tariff, &calls, &out, explain),
        Command::Explain { installation, cdr } => {
            commands::explain::explain(&quiet(&installation)?, &cdr).await
        }
        Command::Sql { installation, question } => commands::sql::sql(&quiet(&installation)?, question).await,
        Command::Mail { installation, action } => commands::mail::mail(&quiet(&installation)?, action).await,
        Command::Invoice { installation, action } => {
            commands::invoice::invoice(&quiet(&installation)?, action).await
        }
        Command::Export { installation, action } => {
            commands::export::export(|| quiet(&installation), action).await
        }
        Command::Fraud { installation, action } => {
            if commands::fraud::without_installation(&action)? {
                return Ok(());
            }
            commands::fraud::fraud(&quiet(&installation)?, action).await
        }
        Command::Suspense { installation, limit, action } => {
            commands::suspense::suspense(&quiet(&installation)?, limit, action).await
        }
        Command::Edr { installation, args } => commands::edr::edr(&quiet(&installation)?, &args).await,
        Command::Replay { installation, day, out } => {
            let config = quiet(&installation)?;
            let out = out.unwrap_or_else(|| config.data.join("replay"));
            commands::replay::replay(&config, day, &out).await
        }
        Command::Balance { installation, account, tenant, at, statement: None, from: _, to: _ } => {
            let account = commands::of_tenant(tenant, account);
            commands::balance::balance(&quiet(&installation)?, &account, at).await
        }
        Command::Balance { installation, account, tenant, at: _, statement, from, to } => {
            let account = commands::of_tenant(tenant, account);
            commands::balance::statement_of_days(&quiet(&installation)?, account, (from, to), statement).await
        }
        Command::Statement { installation, args } => {
            commands::balance::statement(&quiet(&installation)?, &args).await
        }
        Command::TopUp { installation, args } => {
            commands::top_up::top_up(&quiet(&installation)?, &args).await
        }
        Command::Voucher { installation, args } => {
            commands::top_up::voucher(&quiet(&installation)?, &args).await
        }
        Command::Audit { installation, log: true, .. } => {
            commands::audit::audit_log(&quiet(&installation)?).await
        }
        Command::Audit { installation, period, log: false } => {
            commands::audit::audit(&quiet(&installation)?, &period).await
        }
        Command::Backup { installation, dir } => {
            commands::backup::backup(&quiet(&installation)?, &installation.config, &dir).await
        }
        Command::Restore(args) => {
            start_log("warn")?;
            commands::backup::restored(args).await
        }
        Command::Release { installation, dry_run, give_up_waiting } => {
            commands::backup::release(&quiet(&installation)?, dry_run, give_up_waiting).await
        }
        Command::Lake { installation, action } => commands::lake::lake(&quiet(&installation)?, action).await,
        Command::User { installation, action } => commands::user::user(&quiet(&installation)?, action).await,
        Command::Trace { installation, call, full, pcap } => {
            commands::trace::trace(&quiet(&installation)?, &call, full, pcap.as_deref())
        }
        Command::Route { installation, from, to } => {
            commands::route::route(&quiet(&installation)?, &from, &to).await
        }
        Command::Rewrite { installation, set, country, area, numbers } => {
            commands::route::rewrite(&quiet(&installation)?, &set, &country, &area, &numbers).await
        }
        Command::Ban { installation, action } => commands::bans::ban(&quiet(&installation)?, action).await,
        Command::Token { installation, action } => {
            commands::token::token(&quiet(&installation)?, action).await
        }
        Command::Webhook { installation, action } => {
            commands::webhook::webhook(&quiet(&installation)?, action).await
        }
        Command::Call(args) => commands::call::call(args).await,
    }
}

fn load(installation: &Installation) -> anyhow::Result<Config> {
    Ok(Config::load(&installation.config)?)
}

/// For commands that print their results: only warnings beside them.
fn quiet(installation: &Installation) -> anyhow::Result<Config> {
    let config = load(installation)?;
    start_log("warn")?;
    Ok(config)
}

/// Log lines go to standard error; `TOLLBOOK_LOG` goes before the configuration.
pub(crate) fn start_log(filter: &str) -> anyhow::Result<()> {
    let filter = std::env::var("TOLLBOOK_LOG").unwrap_or_else(|_| filter.to_owned());
    let filter = EnvFilter::try_new(&filter).map_err(|why| {
        failure::UserError::new(
            format!("log = {filter:?}: {why}"),
            "write it like \"info\" or \"warn,switch=debug\"",
        )
    })?;
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_terminal)
        .init();
    Ok(())
}
