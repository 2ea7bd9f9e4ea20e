//! The one directory a user sees as `/`, and the only place where a path from the wire meets the file system.
//!
//! A path is first resolved as text, where `..` stops at `/`; then by the file system, where symlinks may lead; and
//! what comes out must be inside the root, or it does not exist. What was opened is compared with what was
//! checked. Users cannot create links, so only somebody with a shell on this machine could make one in between.

use std::fs::{self, File, Metadata, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use russh_sftp::protocol::StatusCode;

use crate::files::PART_SUFFIX;

/// Longer paths do not exist.
const PATH_BYTES_MAX: usize = 4096;

/// A user's root.
#[derive(Debug, Clone)]
pub(super) struct Jail {
    /// Without symlinks.
    root: PathBuf,
}

impl Jail {
    /// Makes `root` if it is not there: a partner without calls yet finds an empty directory.
    pub(super) fn new(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let root = fs::canonicalize(root)?;
        if root.parent().is_none() {
            return Err(io::Error::other("the whole file system cannot be a user's root"));
        }
        Ok(Self { root })
    }

    /// A regular file for reading.
    pub(super) fn open(&self, path: &str) -> Result<(File, Metadata), StatusCode> {
        let (real, checked) = self.resolve(path)?;
        // Before it is opened: opening a pipe would wait for its writer.
        if !checked.is_file() {
            return Err(StatusCode::Failure);
        }
        let file = File::open(&real).map_err(status_of)?;
        let opened = file.metadata().map_err(status_of)?;
        if (opened.dev(), opened.ino()) != (checked.dev(), checked.ino()) {
            return Err(StatusCode::NoSuchFile);
        }
        Ok((file, opened))
    }

    /// A directory for listing.
    pub(super) fn list(&self, path: &str) -> Result<Listing, StatusCode> {
        let (real, metadata) = self.resolve(path)?;
        if !metadata.is_dir() {
            return Err(StatusCode::NoSuchFile);
        }
        let entries = fs::read_dir(&real).map_err(status_of)?;
        Ok(Listing { jail: self.clone(), dir: absolute(path)?, entries })
    }

    /// What `path` is; of a symlink, what it leads to.
    pub(super) fn metadata(&self, path: &str) -> Result<Metadata, StatusCode> {
        self.resolve(path).map(|(_, metadata)| metadata)
    }

    /// Deletes a regular file and answers how long it was. A symlink is not followed and not deleted.
    pub(super) fn remove(&self, path: &str) -> Result<u64, StatusCode> {
        let path = absolute(path)?;
        let (parent, name) = path.rsplit_once('/').ok_or(StatusCode::NoSuchFile)?;
        if is_hidden(name) {
            return Err(StatusCode::NoSuchFile);
        }
        let (parent, _) = self.resolve(parent)?;
        let real = parent.join(name);
        let metadata = fs::symlink_metadata(&real).map_err(status_of)?;
        if !metadata.is_file() {
            return Err(StatusCode::PermissionDenied);
        }
        fs::remove_file(&real).map_err(status_of)?;
        Ok(metadata.len())
    }

    /// The real path and what is there, both inside the root.
    fn resolve(&self, path: &str) -> Result<(PathBuf, Metadata), StatusCode> {
        let path = absolute(path)?;
        if path.split('/').any(is_hidden) {
            return Err(StatusCode::NoSuchFile);
        }
        // Whatever stops the way there stops it alike: a link must not tell what lies outside.
        let real = fs::canonicalize(self.root.join(path.trim_start_matches('/')))
            .map_err(|_| StatusCode::NoSuchFile)?;
        if !real.starts_with(&self.root) {
            return Err(StatusCode::NoSuchFile);
        }
        let metadata = fs::symlink_metadata(&real).map_err(status_of)?;
        Ok((real, metadata))
    }
}

/// A directory that is being listed: entries are read as they are asked for, so its size does not matter.
#[derive(Debug)]
pub(super) struct Listing {
    jail: Jail,
    dir: String,
    entries: ReadDir,
}

impl Listing {
    /// The next entries that the user may see, at most `max`; none when all were seen.
    pub(super) fn next_chunk(&mut self, max: usize) -> Vec<(String, Metadata)> {
        let mut chunk = Vec::new();
        while chunk.len() < max {
            let Some(Ok(entry)) = self.entries.next() else { break };
            // A name that is not UTF-8 could not be asked for.
            let Ok(name) = entry.file_name().into_string() else { continue };
            // Resolved like any request, so what cannot be opened is not shown either.
            let Ok(metadata) = self.jail.metadata(&format!("{}/{name}", self.dir)) else { continue };
            if metadata.is_file() || metadata.is_dir() {
                chunk.push((name, metadata));
            }
        }
        chunk
    }
}

/// `path` as the user sees it: from `/`, without `.`, `..`, or empty parts. Relative paths begin at `/`.
pub(super) fn absolute(path: &str) -> Result<String, StatusCode> {
    if path.len() > PATH_BYTES_MAX || path.contains('\0') {
        return Err(StatusCode::NoSuchFile);
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    Ok(format!("/{}", parts.join("/")))
}

/// Still being written: not a file yet.
fn is_hidden(name: &str) -> bool {
    name.ends_with(PART_SUFFIX)
}

/// Says what, and nothing about where.
pub(super) fn status_of(error: io::Error) -> StatusCode {
    // The kinds of the standard library are not ours to name one by one.
    #[expect(clippy::wildcard_enum_match_arm, reason = "io::ErrorKind is open")]
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            StatusCode::NoSuchFile
        }
        io::ErrorKind::PermissionDenied => StatusCode::PermissionDenied,
        _ => StatusCode::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::unix::fs::symlink;

    /// `outside/secret`, and `root/` with a file, a directory and links of every kind.
    fn world() -> (tempfile::TempDir, Jail) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs::create_dir_all(root.join("sub")).unwrap();
        fs::create_dir_all(dir.path().join("outside")).unwrap();
        fs::create_dir_all(dir.path().join("root-too")).unwrap();
        fs::write(dir.path().join("outside/secret"), "secret").unwrap();
        fs::write(dir.path().join("root-too/secret"), "secret").unwrap();
        fs::write(root.join("a.cdr"), "calls").unwrap();
        fs::write(root.join("b.cdr.part"), "half").unwrap();
        fs::write(root.join("sub/c.cdr"), "more").unwrap();
        symlink(dir.path().join("outside/secret"), root.join("to-secret")).unwrap();
        symlink(dir.path().join("outside"), root.join("to-outside")).unwrap();
        symlink("../root-too", root.join("to-neighbour")).unwrap();
        symlink("/", root.join("to-everything")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        symlink("sub", root.join("inside")).unwrap();
        let jail = Jail::new(&root).unwrap();
        (dir, jail)
    }

    #[test]
    fn no_path_leads_outside() {
        let (dir, jail) = world();
        let secret = dir.path().join("outside/secret");
        for path in [
            "../outside/secret",
            "/../../outside/secret",
            "sub/../../outside/secret",
            "sub/../../../../../../etc/passwd",
            "/etc/passwd",
            "//etc/passwd",
            "to-secret",
            "/to-secret",
            "to-outside/secret",
            "to-outside",
            "to-neighbour/secret",
            "to-everything/etc/passwd",
            "to-everything",
            "inside/../../outside/secret",
            "loop",
            "a.cdr\0",
            "../outside/secret\0.cdr",
            secret.to_str().unwrap(),
        ] {
            assert_eq!(jail.open(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
            assert_eq!(jail.metadata(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
            assert_eq!(jail.list(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
        }
        assert_eq!(jail.remove("to-outside/secret").err(), Some(StatusCode::NoSuchFile));
        assert_eq!(jail.remove("to-secret").err(), Some(StatusCode::PermissionDenied));
        assert!(secret.exists());
    }

    #[test]
    fn what_is_inside_is_found_by_every_spelling() {
        let (_dir, jail) = world();
        for path in ["a.cdr", "/a.cdr", "./a.cdr", "sub/../a.cdr", "/../a.cdr", "//a.cdr/", "inside/c.cdr"] {
            assert!(jail.open(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn a_listing_shows_what_can_be_opened_and_no_more() {
        let (_dir, jail) = world();
        let mut names: Vec<_> =
            jail.list("/").unwrap().next_chunk(100).into_iter().map(|(name, _)| name).collect();
        names.sort();
        assert_eq!(names, ["a.cdr", "inside", "sub"]);
    }

    #[test]
    fn a_file_being_written_is_not_there() {
        let (_dir, jail) = world();
        assert_eq!(jail.open("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
        assert_eq!(jail.remove("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
    }

    #[test]
    fn only_files_are_deleted() {
        let (dir, jail) = world();
        assert_eq!(jail.remove("/a.cdr"), Ok(5));
        assert!(!dir.path().join("root/a.cdr").exists());
        assert_eq!(jail.remove("sub").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.remove("/").err(), Some(StatusCode::PermissionDenied));
    }

    #[test]
    fn the_whole_file_system_is_no_root() {
        assert!(Jail::new(Path::new("/")).is_err());
    }

    proptest! {
        #[test]
        fn an_absolute_path_has_no_way_up(path in "[a./\\\\~ -]{0,40}") {
            let seen = absolute(&path).unwrap();
            prop_assert!(seen.starts_with('/'));
            prop_assert!(seen.split('/').all(|part| part != ".." && part != "."));
            prop_assert_eq!(absolute(&seen).unwrap(), seen);
        }
    }
}
