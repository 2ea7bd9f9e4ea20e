//! Files on their way into a backup and out of it, each with its digest.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Kept, refused};
use crate::failure::UserError;

/// Bytes copied at once.
const CHUNK_BYTES: usize = 256 << 10;

/// The files below `root`, relative to it, in order. Links and the like are not followed: nothing of ours is one.
pub(super) fn list(root: &Path) -> Result<Vec<PathBuf>, UserError> {
    let mut found = Vec::new();
    let mut todo = vec![PathBuf::new()];
    while let Some(folder) = todo.pop() {
        let path = root.join(&folder);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            // There is none, or it has gone since.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
            Err(why) => return Err(refused("list", &path, &why)),
        };
        for entry in entries {
            let entry = entry.map_err(|why| refused("list", &path, &why))?;
            let below = folder.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => todo.push(below),
                Ok(kind) if kind.is_file() => found.push(below),
                Ok(_) => {}
                Err(why) => return Err(refused("look at", &root.join(&below), &why)),
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Copies one file with its rights and its time; `None` when it is not there any more. `path` is what it is called in the list.
pub(super) fn copy(from: &Path, to: &Path, path: PathBuf) -> Result<Option<Kept>, UserError> {
    let mut source = match File::open(from) {
        Ok(source) => source,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(refused("read", from, &why)),
    };
    make_parent(to)?;
    let mut target = File::create_new(to).map_err(|why| refused("make", to, &why))?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n_read = source.read(&mut chunk).map_err(|why| refused("read", from, &why))?;
        if n_read == 0 {
            break;
        }
        digest.update(&chunk[..n_read]);
        target.write_all(&chunk[..n_read]).map_err(|why| refused("write", to, &why))?;
        bytes += n_read as u64;
    }
    let about = source.metadata().map_err(|why| refused("look at", from, &why))?;
    target.set_permissions(about.permissions()).map_err(|why| refused("give rights to", to, &why))?;
    // Some wait for so long before somebody is told of them.
    if let Ok(modified) = about.modified() {
        target.set_modified(modified).map_err(|why| refused("date", to, &why))?;
    }
    Ok(Some(Kept { path, bytes, sha256: hex::encode(digest.finalize()) }))
}

/// The digest of a file that was written.
pub(super) fn kept(root: &Path, path: PathBuf) -> Result<Kept, UserError> {
    let file = root.join(&path);
    let mut source = File::open(&file).map_err(|why| refused("read", &file, &why))?;
    let mut digest = Sha256::new();
    let mut bytes = 0;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n_read = source.read(&mut chunk).map_err(|why| refused("read", &file, &why))?;
        if n_read == 0 {
            return Ok(Kept { path, bytes, sha256: hex::encode(digest.finalize()) });
        }
        digest.update(&chunk[..n_read]);
        bytes += n_read as u64;
    }
}

pub(super) fn make_parent(file: &Path) -> Result<(), UserError> {
    let Some(parent) = file.parent() else { return Ok(()) };
    fs::create_dir_all(parent).map_err(|why| refused("make", parent, &why))
}

/// Makes a directory for this user alone; it may be there if nothing is in it.
pub(super) fn make_empty(dir: &Path) -> Result<(), UserError> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(UserError::new(
                    format!("{}: the directory is not empty", dir.display()),
                    "choose a new one; nothing was changed in this one",
                ));
            }
            // Secrets and personal data come here.
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
                .map_err(|why| refused("give rights to", dir, &why))
        }
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(|why| refused("make", dir, &why)),
        Err(why) => Err(refused("look into", dir, &why)),
    }
}

/// Has all that was written on this file system reach its disk.
pub(super) fn sync(dir: &Path) -> Result<(), UserError> {
    let synced = File::open(dir).and_then(|dir| Ok(rustix::fs::syncfs(&dir)?));
    synced.map_err(|why| refused("write all of", dir, &why))
}
