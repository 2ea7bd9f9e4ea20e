//! `tollbook backup` and `tollbook restore`: an installation into a directory, and out of it.

use std::path::{Path, PathBuf};

use anyhow::Context;
use bus::BusError;
use lake::{Lake, LakeError};

use crate::backup::{Backup, Sources, Target, check, order, restore, take};
use crate::cli::RestoreArgs;
use crate::clock::Clock;
use crate::commands::audit;
use crate::commands::import::COMMAND_LINE;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_lake, of_store, open_bus, open_store};

/// Makes a backup in `dir`; of a running house too.
pub(crate) async fn backup(config: &Config, config_file: &Path, dir: &Path) -> anyhow::Result<()> {
    if !config.has_database() {
        return Err(UserError::new(
            format!("{}: there is no database yet", config.store_url()),
            "import a world first, or name the installation's own configuration with --config",
        )
        .into());
    }
    let dir = std::path::absolute(dir).context("find the directory of the backup")?;
    let config_file = std::path::absolute(config_file).context("find the configuration")?;
    let clock = Clock::start();
    let store = open_store(config).await?;
    let made = if config.bus.is_kafka() {
        by_ourselves(config, &config_file, &store, None, &dir, &clock).await?
    } else {
        match open_bus(config).await {
            Ok(bus) => by_ourselves(config, &config_file, &store, Some(&*bus), &dir, &clock).await?,
            Err(BusError::InUse { .. }) => {
                println!("the installation is running: its process makes the backup");
                order::order(&store, &config.bus_dir(), &dir, &config_file, clock.utc(), say).await?;
                // What another process says it wrote is looked at.
                check(&dir, say)?
            }
            Err(why) => return Err(UserError::new(why.to_string(), "").into()),
        }
    };
    println!("backup of {} in {}", made.at.format("%Y-%m-%d %H:%M:%S UTC"), dir.display());
    println!("{} files, {} bytes; passwords and keys are among them", made.files.len(), made.bytes());
    for file in &made.left_out {
        println!("not in it: {} lies elsewhere or is not there", file.display());
    }
    for file in &made.unlike {
        println!("gone, or changed while it was copied: {}", file.display());
    }
    if config.bus.is_kafka() {
        println!(
            "not in it: the event log, which the brokers of {} keep, and what switches have not sent yet",
            config.bus.url
        );
    }
    Ok(())
}

async fn by_ourselves(
    config: &Config,
    config_file: &Path,
    store: &store::Store,
    bus: Option<&dyn bus::Bus>,
    dir: &Path,
    clock: &Clock,
) -> anyhow::Result<Backup> {
    let lake = match Lake::open_to_ask(&config.lake) {
        Ok(lake) => Some(lake),
        Err(LakeError::NoLake { .. }) => None,
        Err(why) => return Err(of_lake(why)),
    };
    let from = Sources { config, config_file, store, lake: lake.as_ref(), bus };
    take(from, dir, clock.utc(), say).await
}

/// Compares a backup with its list, or makes an installation of it and audits that.
pub(crate) async fn restored(args: RestoreArgs) -> anyhow::Result<()> {
    let RestoreArgs { dir, to, store, check: only_check } = args;
    if only_check {
        let backup = check(&dir, say)?;
        println!("backup of {}", backup.at.format("%Y-%m-%d %H:%M:%S UTC"));
        println!("{} files, {} bytes, all as they were written", backup.files.len(), backup.bytes());
        return Ok(());
    }
    // The command line asks for one of the two.
    let to: PathBuf = to.unwrap_or_default();
    let file = restore(&dir, &Target { dir: to, store_url: store }, say).await?;
    let config = Config::load(&file)?;
    println!("restored; is it whole?");
    audit::audit(&config, &crate::cli::AuditPeriod::default()).await?;
    let store = open_store(&config).await?;
    print_held(&store).await?;
    println!(
        "none of it goes out, and no invoices and CDR files are made, before `tollbook release --config {}`",
        file.display()
    );
    println!("look at the addresses in {} before `tollbook run --config {}`", file.display(), file.display());
    Ok(())
}

/// Lets a restored installation send and number things again.
pub(crate) async fn release(config: &Config, dry_run: bool, give_up_waiting: bool) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    if !print_held(&store).await? {
        println!("nothing is held back");
        return Ok(());
    }
    if !dry_run {
        store.restore_release(give_up_waiting, COMMAND_LINE, Clock::start().utc()).await.map_err(of_store)?;
        println!("released");
    }
    Ok(())
}

/// What is held back; whether anything is.
async fn print_held(store: &store::Store) -> anyhow::Result<bool> {
    let Some(held) = store.restore_held().await.map_err(of_store)? else { return Ok(false) };
    println!(
        "restored to {}; what was sent and numbered since is not known:",
        held.copied_at.format("%Y-%m-%d %H:%M:%S UTC")
    );
    println!("  {} mails and {} words for webhooks wait", held.n_mails, held.n_deliveries);
    for number in &held.invoices {
        println!("  last invoice {number}");
    }
    for (series, last) in &held.files {
        println!("  last CDR file of {series}: {last}");
    }
    Ok(true)
}

fn say(said: String) {
    println!("  {said}");
}
