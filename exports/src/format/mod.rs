//! CDR file formats as data.
//!
//! ```text
//! TOML -> description -> compile (every rule checked, with its line) -> Format -> write: rows to bytes
//!                                                                              -> check: bytes to faults
//! ```
//!
//! A format decides how facts are written, not who may see them ([`crate::fact`]) nor whose file it is, when it is
//! closed and what it is called ([`crate::Stream`]).

/// Compiles an expression once, with what every processor of a kind has. `dispatch!` compiles it for each level that there is, which for
/// all that a record takes is minutes.
macro_rules! on_any_processor {
    ($simd:ident => $work:expr) => {{
        #[cfg(target_arch = "x86_64")]
        {
            match fearless_simd::Level::baseline().as_sse2() {
                Some($simd) => $work,
                // Part of x86-64 itself.
                None => unreachable!("a processor without SSE2"),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            fearless_simd::dispatch!(fearless_simd::Level::baseline(), $simd => $work)
        }
    }};
}
pub(crate) use on_any_processor;

mod check;
mod compile;
mod delivered;
mod description;
mod digits;
mod field;
mod folded;
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
