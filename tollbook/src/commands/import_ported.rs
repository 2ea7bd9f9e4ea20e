//! `tollbook import ported`: who serves which ported number.
//!
//! In: a CSV file. Out: entries of the table that fees for carriers and number types look at, in one transaction.

use std::path::PathBuf;

use clap::Args;
use rating::workbench::read_ported;

use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};
use crate::world_file::of_file;

/// Of `tollbook import ported`.
#[derive(Debug, Clone, Args)]
pub(crate) struct PortedArgs {
    /// CSV with a header: number, carrier, and any of number_type, valid_from, valid_to (RFC 3339).
    pub(crate) file: PathBuf,
    /// The file is all there is: entries that it does not name end now.
    #[arg(long)]
    pub(crate) whole: bool,
    /// Check the file, change nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Reads, and writes what is new.
pub(crate) async fn import_ported(config: &Config, args: &PortedArgs) -> anyhow::Result<()> {
    let name = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|why| UserError::new(format!("{name}: {why}"), "name a file that is there, in UTF-8"))?;
    let numbers = read_ported(&name, &text).map_err(of_file)?;
    if args.dry_run {
        println!("{name}: {} numbers are in order; nothing was changed", numbers.len());
        return Ok(());
    }
    let store = open_store(config).await?;
    let now = Clock::start().utc();
    let report = store.import_ported(&numbers, args.whole, now, COMMAND_LINE).await.map_err(of_store)?;
    println!(
        "{} numbers added, {} as they were, {} ended; revision {}",
        report.added, report.unchanged, report.closed, report.revision
    );
    Ok(())
}
