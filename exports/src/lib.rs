//! CDR files in fixed formats, and the SFTP server that hands them out.
//!
//! In: [`model::RatedCdr`]s from the topic `rated`, a snapshot of the provisioning data, and [`ExportConfig`].
//! Out: for each owner a row of files that other billing systems already read: the reference's format `007`
//! with its header, its trailer and its order of columns ([`render`]), published so that a file once visible
//! never changes ([`write_file`]), fetched over SFTP by accounts that see nothing but their own directory
//! ([`sftp::serve`]).
//!
//! [`ExportStage`], [`render`] and [`verify`] are pure and know `model` alone. When a file is closed, which
//! sequence number it gets and which calls are in it, is committed by the runner and its store.

mod config;
mod error;
mod field;
mod files;
mod owner;
mod reference;
mod render;
pub mod sftp;
mod stage;
mod verify;

pub use config::{ExportConfig, RecordId};
pub use error::{ExportsError, VerifyError};
pub use files::write_file;
pub use owner::{Owner, UnknownOwner, owner_dir};
pub use reference::{CARRIER_COLUMNS, RESELLER_COLUMNS, SYSTEM_COLUMNS};
pub use render::{FileSpec, Rendered, column_names, render};
pub use stage::ExportStage;
pub use verify::{Verified, verify};
