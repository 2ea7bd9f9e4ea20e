//! What a user sees as `/`, and the only place where a path from the wire meets the file system.
//!
//! A path is first resolved as text, where `..` stops at `/`; then by the file system, where symlinks may lead; and
//! what comes out must be inside the root it began in, or it does not exist. What was opened is compared with what was
//! checked. Users cannot create links, so only somebody with a shell on this machine could make one in between.
//!
//! A user sees either one directory, or four: `out/` with our files, `archive/` for those it has put away, and `in/`
//! and `ack/` for its own.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions, ReadDir};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use russh_sftp::protocol::StatusCode;

use super::SftpUser;
use crate::files::PART_SUFFIX;

/// Longer paths do not exist.
const PATH_BYTES_MAX: usize = 4096;
/// Longer names cannot be put: what file systems hold, without our ending.
const NAME_BYTES_MAX: usize = 200;
/// Files in `in/` and `ack/` together.
pub(super) const UPLOADS_MAX: usize = 10_000;
/// What broke off is forgotten after so long.
const PART_KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What may be done in one directory, beside listing and reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Rights {
    pub(super) delete: bool,
    pub(super) rename: bool,
    pub(super) put: bool,
    /// Takes files that are renamed out of `out/`.
    pub(super) keeps: bool,
}

impl Rights {
    /// In the directories for the user's own files.
    pub(super) const fn own() -> Self {
        Self { delete: true, rename: true, put: true, keeps: false }
    }
}

/// A directory of the machine and where the user sees it.
#[derive(Debug, Clone)]
struct Mount {
    /// Empty where it is `/` itself.
    name: &'static str,
    /// Without symlinks.
    root: PathBuf,
    rights: Rights,
}

/// A user's view of the file system.
#[derive(Debug, Clone)]
pub(super) struct Jail {
    mounts: Vec<Mount>,
    /// Of the directories that the user puts files into.
    upload_bytes_max: u64,
}

/// A file on its way in, under a name that nobody sees.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) file: File,
    part: PathBuf,
    target: PathBuf,
    /// What there is room for.
    pub(super) bytes_max: u64,
}

/// Something found.
struct Found {
    real: PathBuf,
    metadata: Metadata,
    rights: Rights,
}

impl Jail {
    /// Makes the user's directories if they are not there: a partner without calls yet finds an empty one.
    pub(super) fn new(user: &SftpUser, upload_bytes_max: u64) -> io::Result<Self> {
        let out = Rights { delete: user.deletable, rename: user.renamable, put: false, keeps: false };
        let mut mounts = Vec::new();
        match &user.exchange {
            None => mounts.push(Mount { name: "", root: made(&user.root)?, rights: out }),
            Some(exchange) => {
                let own = Rights::own();
                let kept = Rights { keeps: true, ..out };
                mounts.push(Mount { name: "out", root: made(&user.root)?, rights: out });
                for (name, rights) in [("archive", kept), ("in", own), ("ack", own)] {
                    mounts.push(Mount { name, root: made(&exchange.join(name))?, rights });
                }
            }
        }
        Ok(Self { mounts, upload_bytes_max })
    }

    /// A regular file for reading.
    pub(super) fn open(&self, path: &str) -> Result<(File, Metadata, PathBuf), StatusCode> {
        let found = self.resolve(path)?;
        // Before it is opened: opening a pipe would wait for its writer.
        if !found.metadata.is_file() {
            return Err(StatusCode::Failure);
        }
        let file = File::open(&found.real).map_err(status_of)?;
        let opened = file.metadata().map_err(status_of)?;
        if (opened.dev(), opened.ino()) != (found.metadata.dev(), found.metadata.ino()) {
            return Err(StatusCode::NoSuchFile);
        }
        Ok((file, opened, found.real))
    }

    /// A new file for writing, whole under its name only when it is [finished](Upload::finish).
    pub(super) fn create(&self, path: &str) -> Result<Upload, StatusCode> {
        static N_UPLOADS: AtomicU64 = AtomicU64::new(0);

        let path = absolute(path)?;
        let (mount, rest) = self.mount_of(&path).ok_or(StatusCode::PermissionDenied)?;
        if !mount.rights.put {
            return Err(StatusCode::PermissionDenied);
        }
        let name = rest.strip_prefix('/').unwrap_or(rest);
        let is_plain = !name.is_empty()
            && !name.contains('/')
            && name.len() <= NAME_BYTES_MAX
            && !name.chars().any(char::is_control)
            && !is_hidden(name);
        if !is_plain {
            return Err(StatusCode::PermissionDenied);
        }
        let target = mount.root.join(name);
        if fs::symlink_metadata(&target).is_ok() {
            // What has been put is never overwritten; its owner may delete or rename it.
            return Err(StatusCode::Failure);
        }
        let bytes_max = self.room()?;
        let number = N_UPLOADS.fetch_add(1, Ordering::Relaxed);
        let part = mount.root.join(format!("{name}.{}-{number}{PART_SUFFIX}", std::process::id()));
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o640).open(&part).map_err(status_of)?;
        Ok(Upload { file, part, target, bytes_max })
    }

    /// How many bytes a further file may have; with what broke off long ago cleared away.
    fn room(&self) -> Result<u64, StatusCode> {
        let (mut n_files, mut n_bytes) = (0, 0_u64);
        for mount in self.mounts.iter().filter(|mount| mount.rights.put) {
            for entry in fs::read_dir(&mount.root).map_err(status_of)?.flatten() {
                let Ok(metadata) = entry.metadata() else { continue };
                let is_part = entry.file_name().to_str().is_some_and(is_hidden);
                #[expect(clippy::disallowed_methods, reason = "compared with the file system's own times")]
                let now = SystemTime::now();
                let age = metadata.modified().ok().and_then(|at| now.duration_since(at).ok());
                if is_part && age.is_some_and(|age| age > PART_KEPT_FOR) {
                    // If it cannot be removed it counts until it can.
                    let _ = fs::remove_file(entry.path());
                }
                n_files += 1;
                if metadata.is_file() {
                    n_bytes = n_bytes.saturating_add(metadata.len());
                }
            }
        }
        if n_files >= UPLOADS_MAX || n_bytes >= self.upload_bytes_max {
            return Err(StatusCode::Failure);
        }
        Ok(self.upload_bytes_max - n_bytes)
    }

    /// A directory for listing.
    pub(super) fn list(&self, path: &str) -> Result<Listing, StatusCode> {
        let dir = absolute(path)?;
        if dir == "/" && self.is_exchange() {
            let mut waiting = VecDeque::new();
            for mount in &self.mounts {
                waiting.push_back((
                    mount.name.to_owned(),
                    fs::metadata(&mount.root).map_err(status_of)?,
                    mount.rights,
                ));
            }
            return Ok(Listing { jail: self.clone(), dir, entries: Entries::Mounts(waiting) });
        }
        let found = self.resolve(path)?;
        if !found.metadata.is_dir() {
            return Err(StatusCode::NoSuchFile);
        }
        let entries = fs::read_dir(&found.real).map_err(status_of)?;
        Ok(Listing { jail: self.clone(), dir, entries: Entries::Of(entries) })
    }

    /// What `path` is, and what may be done there; of a symlink, what it leads to.
    pub(super) fn metadata(&self, path: &str) -> Result<(Metadata, Rights), StatusCode> {
        if self.is_exchange() && absolute(path)? == "/" {
            let metadata = fs::metadata(&self.mounts[0].root).map_err(status_of)?;
            return Ok((metadata, Rights::default()));
        }
        self.resolve(path).map(|found| (found.metadata, found.rights))
    }

    /// Deletes a regular file and answers where it was and how long. A symlink is not followed and not deleted.
    pub(super) fn remove(&self, path: &str) -> Result<(PathBuf, u64), StatusCode> {
        let (real, metadata, rights) = self.entry(path)?;
        if !rights.delete || !metadata.is_file() {
            return Err(StatusCode::PermissionDenied);
        }
        fs::remove_file(&real).map_err(status_of)?;
        Ok((real, metadata.len()))
    }

    /// Renames a regular file, within its directory or from `out/` into `archive/`, and never over another; answers
    /// where it was.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<PathBuf, StatusCode> {
        let (real, metadata, rights) = self.entry(from)?;
        if !rights.rename || !metadata.is_file() {
            return Err(StatusCode::PermissionDenied);
        }
        let (from, to) = (absolute(from)?, absolute(to)?);
        let (Some((from_mount, _)), Some((to_mount, _))) = (self.mount_of(&from), self.mount_of(&to)) else {
            return Err(StatusCode::PermissionDenied);
        };
        let is_kept = to_mount.rights.keeps && from_mount.name == "out";
        if from_mount.name != to_mount.name && !is_kept {
            return Err(StatusCode::PermissionDenied);
        }
        let (parent, name) = to.rsplit_once('/').ok_or(StatusCode::NoSuchFile)?;
        if name.is_empty() || is_hidden(name) || name.len() > NAME_BYTES_MAX {
            return Err(StatusCode::PermissionDenied);
        }
        let parent = self.resolve(parent)?;
        if !parent.metadata.is_dir() {
            return Err(StatusCode::NoSuchFile);
        }
        // A rename would replace what is there; a link does not.
        fs::hard_link(&real, parent.real.join(name)).map_err(status_of)?;
        fs::remove_file(&real).map_err(status_of)?;
        Ok(real)
    }

    fn is_exchange(&self) -> bool {
        self.mounts.len() > 1
    }

    /// The mount that an absolute path is in, and the path within it.
    fn mount_of<'p>(&self, absolute: &'p str) -> Option<(&Mount, &'p str)> {
        if !self.is_exchange() {
            return self.mounts.first().map(|mount| (mount, absolute));
        }
        let inside = absolute.trim_start_matches('/');
        let (first, _) = inside.split_once('/').unwrap_or((inside, ""));
        let mount = self.mounts.iter().find(|mount| mount.name == first)?;
        Some((mount, &absolute[1 + first.len()..]))
    }

    /// A directory entry itself, in a directory that is inside.
    fn entry(&self, path: &str) -> Result<(PathBuf, Metadata, Rights), StatusCode> {
        let path = absolute(path)?;
        let (mount, rest) = self.mount_of(&path).ok_or(StatusCode::PermissionDenied)?;
        let (_, name) = rest.rsplit_once('/').ok_or(StatusCode::PermissionDenied)?;
        if name.is_empty() {
            return Err(StatusCode::PermissionDenied);
        }
        if is_hidden(name) {
            return Err(StatusCode::NoSuchFile);
        }
        let (parent, _) = path.rsplit_once('/').ok_or(StatusCode::NoSuchFile)?;
        let parent = self.resolve(parent)?;
        let real = parent.real.join(name);
        let metadata = fs::symlink_metadata(&real).map_err(status_of)?;
        Ok((real, metadata, mount.rights))
    }

    /// The real path and what is there, both inside the root they begin in.
    fn resolve(&self, path: &str) -> Result<Found, StatusCode> {
        let path = absolute(path)?;
        if path.split('/').any(is_hidden) {
            return Err(StatusCode::NoSuchFile);
        }
        let (mount, rest) = self.mount_of(&path).ok_or(StatusCode::NoSuchFile)?;
        // Whatever stops the way there stops it alike: a link must not tell what lies outside.
        let real = fs::canonicalize(mount.root.join(rest.trim_start_matches('/')))
            .map_err(|_| StatusCode::NoSuchFile)?;
        if !real.starts_with(&mount.root) {
            return Err(StatusCode::NoSuchFile);
        }
        let metadata = fs::symlink_metadata(&real).map_err(status_of)?;
        Ok(Found { real, metadata, rights: mount.rights })
    }
}

impl Upload {
    /// Shows the file under its name, whole, on disk, and over nothing that is there.
    pub(super) fn finish(mut self) -> Result<u64, StatusCode> {
        let n_bytes = self.file.metadata().map_err(status_of)?.len();
        self.file.sync_all().map_err(status_of)?;
        fs::hard_link(&self.part, &self.target).map_err(status_of)?;
        if let Some(parent) = self.target.parent() {
            File::open(parent).and_then(|dir| dir.sync_all()).map_err(status_of)?;
        }
        self.forget();
        Ok(n_bytes)
    }

    fn forget(&mut self) {
        // If it stays it is hidden, and cleared away later.
        let _ = fs::remove_file(&self.part);
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.forget();
    }
}

fn made(root: &Path) -> io::Result<PathBuf> {
    fs::create_dir_all(root)?;
    let root = fs::canonicalize(root)?;
    if root.parent().is_none() {
        return Err(io::Error::other("the whole file system cannot be a user's root"));
    }
    Ok(root)
}

/// A directory that is being listed: entries are read as they are asked for, so its size does not matter.
#[derive(Debug)]
pub(super) struct Listing {
    jail: Jail,
    dir: String,
    entries: Entries,
}

#[derive(Debug)]
enum Entries {
    Mounts(VecDeque<(String, Metadata, Rights)>),
    Of(ReadDir),
}

impl Listing {
    /// The next entries that the user may see, at most `max`; none when all were seen.
    pub(super) fn next_chunk(&mut self, max: usize) -> Vec<(String, Metadata, Rights)> {
        let mut chunk = Vec::new();
        while chunk.len() < max {
            match &mut self.entries {
                Entries::Mounts(waiting) => match waiting.pop_front() {
                    Some(entry) => chunk.push(entry),
                    None => break,
                },
                Entries::Of(entries) => {
                    let Some(Ok(entry)) = entries.next() else { break };
                    // A name that is not UTF-8 could not be asked for.
                    let Ok(name) = entry.file_name().into_string() else { continue };
                    // Resolved like any request, so what cannot be opened is not shown either.
                    let Ok((metadata, rights)) = self.jail.metadata(&format!("{}/{name}", self.dir)) else {
                        continue;
                    };
                    if metadata.is_file() || metadata.is_dir() {
                        chunk.push((name, metadata, rights));
                    }
                }
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
    use std::io::Write;
    use std::os::unix::fs::symlink;

    fn user(root: &Path, exchange: Option<PathBuf>, may: bool) -> SftpUser {
        SftpUser {
            name: "acme".to_owned(),
            authorized_keys: Vec::new(),
            password_hash: None,
            networks: Vec::new(),
            root: root.to_owned(),
            exchange,
            deletable: may,
            renamable: may,
        }
    }

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
        let jail = Jail::new(&user(&root, None, true), 0).unwrap();
        (dir, jail)
    }

    /// The same as `out/`, with room for 100 bytes in `in/` and `ack/`.
    fn exchange() -> (tempfile::TempDir, Jail) {
        let (dir, _) = world();
        let home = dir.path().join("home");
        let jail = Jail::new(&user(&dir.path().join("root"), Some(home.clone()), true), 100).unwrap();
        symlink(dir.path().join("outside"), home.join("in/to-outside")).unwrap();
        symlink(dir.path().join("outside/secret"), home.join("in/to-secret")).unwrap();
        (dir, jail)
    }

    fn put(jail: &Jail, path: &str, text: &str) -> Result<u64, StatusCode> {
        let mut upload = jail.create(path)?;
        upload.file.write_all(text.as_bytes()).unwrap();
        upload.finish()
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
        assert_eq!(jail.rename("to-secret", "mine").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.rename("a.cdr", "to-outside/a.cdr").err(), Some(StatusCode::NoSuchFile));
        assert!(secret.exists());
    }

    #[test]
    fn what_is_inside_is_found_by_every_spelling() {
        let (_dir, jail) = world();
        for path in ["a.cdr", "/a.cdr", "./a.cdr", "sub/../a.cdr", "/../a.cdr", "//a.cdr/", "inside/c.cdr"] {
            assert!(jail.open(path).is_ok(), "{path:?}");
        }
    }

    fn names(jail: &Jail, path: &str) -> Vec<String> {
        let mut names: Vec<_> =
            jail.list(path).unwrap().next_chunk(100).into_iter().map(|(name, ..)| name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_listing_shows_what_can_be_opened_and_no_more() {
        let (_dir, jail) = world();
        assert_eq!(names(&jail, "/"), ["a.cdr", "inside", "sub"]);
    }

    #[test]
    fn a_file_being_written_is_not_there() {
        let (_dir, jail) = world();
        assert_eq!(jail.open("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
        assert_eq!(jail.remove("b.cdr.part").err(), Some(StatusCode::NoSuchFile));
        assert_eq!(jail.rename("a.cdr", "a.part").err(), Some(StatusCode::PermissionDenied));
    }

    #[test]
    fn only_files_are_deleted() {
        let (dir, jail) = world();
        assert_eq!(jail.remove("/a.cdr").unwrap().1, 5);
        assert!(!dir.path().join("root/a.cdr").exists());
        assert_eq!(jail.remove("sub").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.remove("/").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.rename("sub", "other").err(), Some(StatusCode::PermissionDenied));
    }

    #[test]
    fn nothing_is_put_deleted_or_renamed_without_the_right_to() {
        let (dir, _) = world();
        let jail = Jail::new(&user(&dir.path().join("root"), None, false), 100).unwrap();
        assert_eq!(jail.remove("a.cdr").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.rename("a.cdr", "b.cdr").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(put(&jail, "new.cdr", "x"), Err(StatusCode::PermissionDenied));
    }

    #[test]
    fn a_rename_never_replaces_a_file() {
        let (dir, jail) = world();
        assert_eq!(jail.rename("a.cdr", "sub/c.cdr").err(), Some(StatusCode::Failure));
        assert_eq!(fs::read(dir.path().join("root/sub/c.cdr")).unwrap(), b"more");
        jail.rename("a.cdr", "sub/a.cdr").unwrap();
        assert_eq!(fs::read(dir.path().join("root/sub/a.cdr")).unwrap(), b"calls");
        assert!(!dir.path().join("root/a.cdr").exists());
    }

    #[test]
    fn four_directories_and_nothing_beside_them() {
        let (_dir, jail) = exchange();
        assert_eq!(names(&jail, "/"), ["ack", "archive", "in", "out"]);
        assert_eq!(names(&jail, "/out"), ["a.cdr", "inside", "sub"]);
        for path in
            ["a.cdr", "/secret", "home", "out/../a.cdr", "in/to-outside/secret", "in/to-secret", "outs"]
        {
            assert_eq!(jail.open(path).err(), Some(StatusCode::NoSuchFile), "{path:?}");
        }
        assert!(jail.open("out/a.cdr").is_ok());
        assert!(jail.open("in/../out/a.cdr").is_ok());
        for path in ["x", "/out/x", "archive/x", "in/sub/x", "in/../x", "in", "in/x.part", "in/to-outside/x"]
        {
            assert_eq!(put(&jail, path, "x").err(), Some(StatusCode::PermissionDenied), "{path:?}");
        }
        assert_eq!(
            put(&jail, "in/to-secret", "x"),
            Err(StatusCode::Failure),
            "a link is not written through"
        );
        assert_eq!(jail.remove("in").err(), Some(StatusCode::PermissionDenied));
        assert_eq!(jail.remove("/").err(), Some(StatusCode::PermissionDenied));
    }

    #[test]
    fn fetched_files_are_put_away_and_own_files_stay_where_they_are() {
        let (_dir, jail) = exchange();
        jail.rename("out/a.cdr", "archive/a.cdr").unwrap();
        assert_eq!(names(&jail, "archive"), ["a.cdr"]);
        put(&jail, "in/deck.csv", "rates").unwrap();
        for (from, to) in [
            ("in/deck.csv", "out/deck.csv"),
            ("in/deck.csv", "archive/deck.csv"),
            ("archive/a.cdr", "out/a.cdr"),
            ("out/sub/c.cdr", "in/c.cdr"),
        ] {
            assert_eq!(jail.rename(from, to).err(), Some(StatusCode::PermissionDenied), "{from} to {to}");
        }
        jail.rename("in/deck.csv", "in/old.csv").unwrap();
        assert_eq!(jail.remove("in/old.csv").unwrap().1, 5);
    }

    #[test]
    fn a_put_file_is_whole_or_not_there_and_never_overwritten() {
        let (dir, jail) = exchange();
        let mut upload = jail.create("ack/1.ack").unwrap();
        upload.file.write_all(b"half").unwrap();
        assert_eq!(names(&jail, "ack"), [""; 0]);
        drop(upload);
        assert_eq!(fs::read_dir(dir.path().join("home/ack")).unwrap().count(), 0);
        assert_eq!(put(&jail, "ack/1.ack", "whole"), Ok(5));
        assert_eq!(put(&jail, "ack/1.ack", "other"), Err(StatusCode::Failure));
        assert_eq!(fs::read(dir.path().join("home/ack/1.ack")).unwrap(), b"whole");
    }

    #[test]
    fn room_is_what_the_user_has_left_over_both_directories() {
        let (_dir, jail) = exchange();
        assert_eq!(put(&jail, "in/a", &"x".repeat(60)), Ok(60));
        assert_eq!(jail.create("ack/b").unwrap().bytes_max, 40);
        assert_eq!(put(&jail, "ack/b", &"x".repeat(40)), Ok(40));
        assert_eq!(jail.create("in/c").err(), Some(StatusCode::Failure));
        jail.remove("in/a").unwrap();
        assert_eq!(jail.create("in/c").unwrap().bytes_max, 60);
    }

    #[test]
    fn the_whole_file_system_is_no_root() {
        assert!(Jail::new(&user(Path::new("/"), None, false), 0).is_err());
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
