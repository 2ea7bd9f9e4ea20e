//! CDR files in fixed formats, and the SFTP server that hands them out.
//!
//! In: [`model::RatedCdr`]s from the topic `rated`, a snapshot of the provisioning data, and [`ExportConfig`].
//! Out: rows of files that other billing systems read, each in a format that is data ([`Format`]): the reference's
//! `007` and whatever a partner's paper asks for. A file is rendered ([`render()`]), published so that it never
//! changes once it is visible ([`publish`]), and fetched over SFTP by accounts that see nothing but their own
//! directory ([`sftp::serve`]).
//!
//! [`ExportStage`], [`Format`] and [`render()`] are pure and know `model` alone. When a file is closed, which
//! sequence number it gets and which calls are in it, is committed by the runner and its store.

mod acknowledgement;
mod config;
mod error;
mod event_fact;
mod fact;
mod files;
pub mod flapping;
mod format;
mod fragments;
mod hash_lanes;
mod owner;
mod render;
mod series;
pub mod sftp;
mod shape;
mod stage;
mod stream;
mod verify;

pub use acknowledgement::{VERDICTS_MAX, Verdict, verdicts};
pub use config::{Corrections, EdrConfig, ExportConfig, RecordId, Start, StreamConfig};
pub use error::{ExportsError, VerifyError};
pub use fact::{RecordType, Way};
pub use files::{FileAccess, publish, publish_as};
pub use format::{
    Align, Case, Charset, Checked, Compression, Condition, DECIMALS_MAX, DELIVERED, Description,
    DescriptionError, Digest, FAULTS_TOLD_MAX, FIELDS_MAX, Fault, FieldDescription, Format, Layout, LineEnd,
    Misfit, Overflow, Quoting, Subject, Unfit, Unit, WIDTH_MAX, delivered, digest_of,
};
pub use owner::{Owner, UnknownOwner, owner_dir};
pub use render::{
    Buffers, Contents, Entry, Event, FileSpec, Queued, Rendered, Shown, UNPACKED_BYTES_MAX, hashes_of_each,
    render, render_all, render_all_into, unpacked,
};
pub use series::Series;
pub use stage::ExportStage;
pub use stream::{EDR_STREAM, STREAMS_MAX, Stream, Streams, load_format, owner_name};
pub use verify::{Verified, verify};
