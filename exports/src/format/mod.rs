//! CDR file formats as data.
//!
//! ```text
//! TOML -> description -> compile (every rule checked, with its line) -> Format -> write: rows to bytes
//!                                                                              -> check: bytes to faults
//! ```
//!
//! A format decides how facts are written, not who may see them ([`crate::fact`]) nor whose file it is, when it is
//! closed and what it is called ([`crate::Stream`]).

mod check;
mod compile;
mod delivered;
mod description;
mod digits;
mod field;
mod program;
pub(crate) mod template;
mod time_pattern;
mod write;

pub use check::{Checked, FAULTS_TOLD_MAX, Fault, digest_of};
pub use compile::{DescriptionError, FIELDS_MAX, Format};
pub use delivered::{DELIVERED, delivered};
pub use description::{
    Align, Case, Charset, Compression, Condition, Description, FieldDescription, Layout, LineEnd, Overflow,
    Quoting, Subject, Unfit, Unit,
};
pub use field::{DECIMALS_MAX, WIDTH_MAX};
pub use template::Digest;
pub use write::Misfit;

pub(crate) use program::Out;
pub(crate) use time_pattern::ZoneClock;
pub(crate) use write::{RecordWriter, Tally};
