//! `tollbook export`: what each of its actions takes.

use std::path::PathBuf;

use clap::Subcommand;

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
