//! What `tollbook import` takes besides a world file: calls, price lists, ported numbers.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::commands::import_fees::FeesArgs;
use crate::commands::import_ported::PortedArgs;

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
