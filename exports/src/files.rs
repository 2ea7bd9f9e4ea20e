//! Publishes a rendered file: whole or not at all, once, and never changed.
//!
//! Written beside as `NAME.part`, synced, renamed, and the directory synced, so that neither a reader nor a crash
//! ever finds half a file under its name. One process closes the files of one export directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::{ExportsError, Rendered};

/// The ending of a file that is still being written. The SFTP server does not show such a file.
pub(crate) const PART_SUFFIX: &str = ".part";

/// Writes `rendered` below `dir`, making its directories, and answers where it is. Doing it again is harmless: a
/// file that is there with the same bytes is left as it is.
///
/// # Errors
///
/// [`ExportsError::Differs`] when another file has that name, and [`ExportsError::Io`].
pub fn write_file(dir: &Path, rendered: &Rendered) -> Result<PathBuf, ExportsError> {
    let path = dir.join(&rendered.name);
    if is_published(&path, rendered)? {
        return Ok(path);
    }
    let parent = path.parent().unwrap_or(dir);
    create_dirs(parent)?;

    let mut part = path.clone().into_os_string();
    part.push(PART_SUFFIX);
    let part = PathBuf::from(part);
    // Left by a crash; nobody has read it.
    match fs::remove_file(&part) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(ExportsError::io("remove", &part)(error)),
    }
    write_synced(&part, &rendered.bytes).map_err(ExportsError::io("write", &part))?;
    fs::rename(&part, &path).map_err(ExportsError::io("rename", &part))?;
    sync_dir(parent)?;
    Ok(path)
}

fn is_published(path: &Path, rendered: &Rendered) -> Result<bool, ExportsError> {
    match fs::read(path) {
        Ok(bytes) if bytes == rendered.bytes => {
            // The crash may have come between the rename and the sync of the directory.
            sync_dir(path.parent().unwrap_or(path))?;
            Ok(true)
        }
        Ok(_) => Err(ExportsError::Differs { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ExportsError::io("read", path)(error)),
    }
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes `dir` and those above it, each durable in its own parent.
fn create_dirs(dir: &Path) -> Result<(), ExportsError> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        create_dirs(parent)?;
        make_dir(dir)?;
        return sync_dir(parent);
    }
    make_dir(dir)
}

fn make_dir(dir: &Path) -> Result<(), ExportsError> {
    match fs::create_dir(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(ExportsError::io("create", dir)(error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn sync_dir(dir: &Path) -> Result<(), ExportsError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(ExportsError::io("sync", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(bytes: &[u8]) -> Rendered {
        Rendered {
            name: "system/202611/21/a.cdr".to_owned(),
            bytes: bytes.to_vec(),
            rows: 0,
            md5: String::new(),
        }
    }

    #[test]
    fn a_published_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_file(dir.path(), &rendered(b"one")).unwrap();
        let error = write_file(dir.path(), &rendered(b"two")).unwrap_err();
        assert_eq!(error.code(), "EXP003", "{error}");
        assert_eq!(fs::read(path).unwrap(), b"one");
    }

    #[test]
    fn publishing_the_same_file_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = write_file(dir.path(), &rendered(b"one")).unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(write_file(dir.path(), &rendered(b"one")).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn what_a_crash_left_half_written_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let parent = dir.path().join("system/202611/21");
        fs::create_dir_all(&parent).unwrap();
        fs::write(parent.join("a.cdr.part"), b"o").unwrap();
        let path = write_file(dir.path(), &rendered(b"one")).unwrap();
        assert_eq!(fs::read(path).unwrap(), b"one");
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "nothing but the file is left");
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("system"), b"a file where a directory should be").unwrap();
        let error = write_file(dir.path(), &rendered(b"one")).unwrap_err();
        assert!(error.to_string().contains("system"), "{error}");
    }
}
