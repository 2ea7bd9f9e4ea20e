//! Publishes a rendered file: whole or not at all, once, and never changed; and keeps it.
//!
//! Written into the archive as `NAME.part`, synced, renamed, the directory synced, and only then linked to where
//! partners see it, so that neither a reader nor a crash ever finds half a file under its name. One process closes
//! the files of one export directory.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::ExportsError;

/// The ending of a file that is still being written. The SFTP server does not show such a file.
pub(crate) const PART_SUFFIX: &str = ".part";

/// Keeps `bytes` as `name` in the archive, then shows the same file under the same name below `dir`, and answers where
/// it is there. Doing it again is harmless: a file that is there with the same bytes is left as it is, and one that a
/// partner has deleted is shown once more.
///
/// # Errors
///
/// [`ExportsError::Differs`] when another file has that name, and [`ExportsError::Io`].
pub fn publish(dir: &Path, archive: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, ExportsError> {
    publish_as(dir, archive, name, bytes, FileAccess::default())
}

/// Who may do what with a published file, where that is not as with other files of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileAccess {
    /// Its rights, as of `chmod`.
    pub mode: Option<u32>,
    /// The number of the user it belongs to.
    pub user: Option<u32>,
    /// And of the group.
    pub group: Option<u32>,
}

/// As [`publish`], with `access` to the file.
///
/// # Errors
///
/// As [`publish`].
pub fn publish_as(
    dir: &Path,
    archive: &Path,
    name: &str,
    bytes: &[u8],
    access: FileAccess,
) -> Result<PathBuf, ExportsError> {
    let path = dir.join(name);
    // Asked first: the archive must not get what can never be shown.
    let is_shown = is_published(&path, bytes)?;
    let kept = write_whole(archive, name, bytes, access)?;
    if is_shown {
        return Ok(path);
    }
    let parent = path.parent().unwrap_or(dir);
    create_dirs(parent)?;
    match fs::hard_link(&kept, &path) {
        Ok(()) => sync_dir(parent)?,
        // The archive is on another file system, or on one without links.
        Err(error) if is_unlinkable(&error) => return write_whole(dir, name, bytes, access),
        Err(error) => return Err(ExportsError::io("link", &path)(error)),
    }
    Ok(path)
}

fn is_unlinkable(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::CrossesDevices
            | io::ErrorKind::Unsupported
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::TooManyLinks
    )
}

/// Written beside, synced, renamed.
fn write_whole(dir: &Path, name: &str, bytes: &[u8], access: FileAccess) -> Result<PathBuf, ExportsError> {
    let path = dir.join(name);
    if is_published(&path, bytes)? {
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
    write_synced(&part, bytes, access).map_err(ExportsError::io("write", &part))?;
    fs::rename(&part, &path).map_err(ExportsError::io("rename", &part))?;
    sync_dir(parent)?;
    Ok(path)
}

fn is_published(path: &Path, expected: &[u8]) -> Result<bool, ExportsError> {
    match fs::read(path) {
        Ok(bytes) if bytes == expected => {
            // The crash may have come between the rename and the sync of the directory.
            sync_dir(path.parent().unwrap_or(path))?;
            Ok(true)
        }
        Ok(_) => Err(ExportsError::Differs { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(ExportsError::io("read", path)(error)),
    }
}

fn write_synced(path: &Path, bytes: &[u8], access: FileAccess) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    if access.user.is_some() || access.group.is_some() {
        fchown(&file, access.user, access.group)?;
    }
    // After that: who gives a file away loses some of its rights.
    if let Some(mode) = access.mode {
        file.set_permissions(Permissions::from_mode(mode))?;
    }
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
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const NAME: &str = "system/202611/21/a.cdr";

    /// The export directory and the archive.
    fn dirs(dir: &tempfile::TempDir) -> (PathBuf, PathBuf) {
        (dir.path().join("exports"), dir.path().join("archive"))
    }

    #[test]
    fn a_published_file_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        let path = publish(&shown, &kept, NAME, b"one").unwrap();
        let error = publish(&shown, &kept, NAME, b"two").unwrap_err();
        assert_eq!(error.code(), "EXP003", "{error}");
        // Nor is one that only the partner's directory has.
        fs::remove_file(kept.join(NAME)).unwrap();
        assert_eq!(publish(&shown, &kept, NAME, b"two").unwrap_err().code(), "EXP003");
        assert!(!kept.join(NAME).exists());
        assert_eq!(fs::read(path).unwrap(), b"one");
    }

    #[test]
    fn rights_and_owner_of_a_file_are_those_asked_for_in_both_places() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        // Root gives files to whomever; anybody else only to himself.
        let me = fs::metadata(dir.path()).unwrap();
        let (user, group) = if me.uid() == 0 { (1, 2) } else { (me.uid(), me.gid()) };
        let access = FileAccess { mode: Some(0o440), user: Some(user), group: Some(group) };
        let path = publish_as(&shown, &kept, NAME, b"one", access).unwrap();
        for path in [path, kept.join(NAME)] {
            let found = fs::metadata(path).unwrap();
            assert_eq!(found.permissions().mode() & 0o777, 0o440);
            assert_eq!((found.uid(), found.gid()), (user, group));
        }
        assert_eq!(publish_as(&shown, &kept, NAME, b"one", access).unwrap(), shown.join(NAME));
    }

    #[test]
    fn publishing_the_same_file_again_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        let path = publish(&shown, &kept, NAME, b"one").unwrap();
        let before = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(publish(&shown, &kept, NAME, b"one").unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
    }

    #[test]
    fn what_a_partner_deletes_is_still_in_the_archive_and_can_be_shown_again() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        let path = publish(&shown, &kept, NAME, b"one").unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(fs::read(kept.join(NAME)).unwrap(), b"one");
        publish(&shown, &kept, NAME, b"one").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"one");
    }

    #[test]
    fn what_a_crash_left_half_written_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        let parent = kept.join("system/202611/21");
        fs::create_dir_all(&parent).unwrap();
        fs::write(parent.join("a.cdr.part"), b"o").unwrap();
        let path = publish(&shown, &kept, NAME, b"one").unwrap();
        assert_eq!(fs::read(path).unwrap(), b"one");
        assert_eq!(fs::read_dir(parent).unwrap().count(), 1, "nothing but the file is left");
    }

    #[test]
    fn an_unwritable_place_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (shown, kept) = dirs(&dir);
        fs::create_dir_all(&shown).unwrap();
        fs::write(shown.join("system"), b"a file where a directory should be").unwrap();
        let error = publish(&shown, &kept, NAME, b"one").unwrap_err();
        assert!(error.to_string().contains("system"), "{error}");
    }
}
