//! The folder that takes mails when there is no server.
//!
//! In: the bytes of a message. Out: `mail-0000000007.eml`, whole or not at all. Any mail program opens it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::NotifyError;

/// Writes mail `id` into `dir`, over an earlier copy of itself.
pub(crate) async fn write(dir: &Path, id: i64, message: Vec<u8>) -> Result<PathBuf, NotifyError> {
    let path = dir.join(format!("mail-{id:010}.eml"));
    let target = path.clone();
    let written = tokio::task::spawn_blocking(move || write_whole(&target, &message)).await;
    match written.unwrap_or_else(|stopped| Err(io::Error::other(stopped))) {
        Ok(()) => Ok(path),
        Err(source) => Err(NotifyError::Outbox { path, source }),
    }
}

/// Under another name first: whoever watches the folder sees whole mails only, and a crash leaves a `.part`.
fn write_whole(path: &Path, message: &[u8]) -> io::Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let part = path.with_extension("part");
    let mut file = File::create(&part)?;
    file.write_all(message)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    // The name is durable when its folder is.
    File::open(dir)?.sync_all()
}
