//! What can go wrong in this room.

use std::io;
use std::path::{Path, PathBuf};

use model::wire::WireError;

use crate::format::{DescriptionError, Misfit};

/// What can go wrong while files are written or served.
#[derive(Debug, thiserror::Error)]
pub enum ExportsError {
    /// A key of the configuration.
    #[error("exports.{key} = {value:?} cannot be: use {allowed}")]
    Config {
        /// The key.
        key: &'static str,
        /// As given.
        value: String,
        /// What it may be.
        allowed: &'static str,
    },
    /// A key of a stream.
    #[error("exports.streams {stream:?}: {key}: {rule}")]
    Stream {
        /// Its name.
        stream: String,
        /// The key.
        key: &'static str,
        /// What is wrong, and what to use.
        rule: String,
    },
    /// A format's description.
    #[error("format {0}")]
    Format(#[from] DescriptionError),
    /// No such format.
    #[error(
        "there is no format {name:?}; use one of {known}, or the path of a description that ends in .toml"
    )]
    NoFormat {
        /// As given.
        name: String,
        /// Those delivered.
        known: String,
    },
    /// A call that a format cannot hold.
    #[error("a call cannot be written: {0}; change the format, or take the stream out of the configuration")]
    Misfit(#[from] Misfit),
    /// A call that lies in a queue.
    #[error("a call that was queued for the file cannot be read: {0}")]
    Unreadable(#[from] WireError),
    /// The file system.
    #[error("cannot {doing} {}: {source}; check that the directory exists, is writable and has room", path.display())]
    Io {
        /// What was tried, such as `write`.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// A published file never changes.
    #[error(
        "{} is there with other contents and is not overwritten; \
         move it away if it is not ours, or look for a second writer of the same sequence",
        path.display()
    )]
    Differs {
        /// The file.
        path: PathBuf,
    },
    /// The server's own key.
    #[error("the SFTP host key {} cannot be used: {reason}", path.display())]
    HostKey {
        /// Where it is.
        path: PathBuf,
        /// Why, and what to try.
        reason: String,
    },
}

impl ExportsError {
    /// Stable, such as `EXP002`; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            ExportsError::Config { .. } => "EXP001",
            ExportsError::Io { .. } => "EXP002",
            ExportsError::Differs { .. } => "EXP003",
            ExportsError::HostKey { .. } => "EXP004",
            ExportsError::Stream { .. } => "EXP005",
            ExportsError::Format(_) => "EXP006",
            ExportsError::NoFormat { .. } => "EXP007",
            ExportsError::Misfit(_) => "EXP008",
            ExportsError::Unreadable(_) => "EXP009",
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| ExportsError::Io { doing, path, source }
    }
}

/// Why bytes are not a whole file of the format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Cut off, or not such a file.
    #[error(
        "the file does not end with a line of 32 lowercase hexadecimal digits; it was cut off or is of another kind"
    )]
    NoTrailer,
    /// Changed on the way.
    #[error("the contents have the MD5 {computed} and the trailer says {trailer}; fetch the file again")]
    Checksum {
        /// Of what is there.
        computed: String,
        /// What the last line says.
        trailer: String,
    },
    /// The first line.
    #[error(
        "the header line {found:?} is not a version, a comma and a count of at least four digits, such as 007,0738"
    )]
    Header {
        /// As found.
        found: String,
    },
    /// Records are missing or too many.
    #[error("the header says {header} records and there are {body}")]
    Count {
        /// Announced.
        header: u64,
        /// Counted.
        body: u64,
    },
}

impl VerifyError {
    /// Stable, such as `EXP011`; explained in `docs/errors.md`.
    pub fn code(&self) -> &'static str {
        match self {
            VerifyError::NoTrailer => "EXP011",
            VerifyError::Checksum { .. } => "EXP012",
            VerifyError::Header { .. } => "EXP013",
            VerifyError::Count { .. } => "EXP014",
        }
    }
}
