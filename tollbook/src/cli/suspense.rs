//! What `tollbook suspense` takes.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Of `tollbook suspense`.
#[derive(Debug, Subcommand)]
pub(crate) enum SuspenseAction {
    /// List the open ones, oldest first.
    List {
        /// How many to show [default: 50].
        #[arg(long)]
        limit: Option<u32>,
    },
    /// Show one record: where it lay, why it is here, what it says, byte by byte.
    Show {
        /// Its id, as listed.
        id: i64,
        /// Only what it says, as JSON: to be edited and given to `fix --file`.
        #[arg(long)]
        json: bool,
    },
    /// Change what records say, before they are sent in again. The audit log keeps both versions.
    Fix {
        #[command(flatten)]
        which: ChosenRecords,
        /// A field and its new value, such as `value.body.answered_us=61000000`; text needs no quotes.
        #[arg(long = "set", value_name = "PATH=VALUE", required_unless_present = "file")]
        set: Vec<String>,
        /// The whole record as JSON, as `show --json` printed it.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["set", "all", "code"])]
        file: Option<PathBuf>,
        /// Say what would be changed, change nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Send records in again, once what was missing is there; works whether the installation runs or not.
    Resubmit {
        #[command(flatten)]
        which: ChosenRecords,
    },
    /// Give records up; nobody will be charged for them.
    Discard {
        #[command(flatten)]
        which: ChosenRecords,
        /// Why; kept in the audit log.
        #[arg(long)]
        reason: String,
    },
}

/// Which records in suspense.
#[derive(Debug, Args)]
pub(crate) struct ChosenRecords {
    /// Their ids, as listed.
    #[arg(value_name = "ID", required_unless_present_any = ["all", "code"], conflicts_with_all = ["all", "code"])]
    pub(crate) ids: Vec<i64>,
    /// All that are open.
    #[arg(long)]
    pub(crate) all: bool,
    /// All that are open with this code, such as RAT001, or its word, such as no_rate.
    #[arg(long)]
    pub(crate) code: Option<String>,
}

impl ChosenRecords {
    /// Whether they are named by what they have in common, and not one by one.
    pub(crate) fn is_bulk(&self) -> bool {
        self.all || self.code.is_some()
    }
}
