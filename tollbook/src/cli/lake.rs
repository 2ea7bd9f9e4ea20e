//! What `tollbook lake` takes.

use clap::{Args, Subcommand};

/// Of `tollbook lake`.
#[derive(Debug, Subcommand)]
pub(crate) enum LakeAction {
    /// Take one person's number out of all files, and prove it. Calls that come in later are not looked at: run it again for them.
    Erase {
        /// The number, E.164.
        number: String,
        /// In the rows of this tenant alone.
        #[arg(long, value_name = "HANDLE")]
        tenant: Option<String>,
        /// Why; it is kept.
        #[arg(long)]
        reason: String,
    },
    /// Apply the configuration's retention now; a running installation does so by itself once a day.
    Retain,
    /// Holds: rows that neither retention nor an erasure changes.
    Hold {
        /// What to do.
        #[command(subcommand)]
        action: HoldAction,
    },
    /// What was erased and what waits, with rows and proofs.
    Erasures,
    /// The proofs as JSON: what, when, how many rows, digests of the files before and after.
    Proofs,
}

/// Of `tollbook lake hold`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldAction {
    /// Set one.
    Add {
        /// What it covers; rows must be all of it.
        #[command(flatten)]
        scope: HoldArgs,
        /// Why, such as a court's reference.
        #[arg(long)]
        reason: String,
    },
    /// List them.
    List,
    /// Lift one.
    Lift {
        /// Its id.
        id: i64,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// What a hold covers.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct HoldArgs {
    /// Rows with this number, E.164.
    #[arg(long)]
    pub(crate) number: Option<String>,
    /// Rows in which this account pays or is paid.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) account: Option<String>,
    /// Rows of this tenant.
    #[arg(long, value_name = "HANDLE")]
    pub(crate) tenant: Option<String>,
}
