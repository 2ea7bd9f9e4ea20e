//! What a user sees as `/`, and the only place where a path from the wire meets the file system.
//!
//! A path is first resolved as text, where `..` stops at `/`; then by the file system, where symlinks may lead; and
//! what comes out must be inside the root it began in, or it does not exist. What was found is then opened from the root on, through
//! directories alone: a link that somebody with a shell on this machine puts in between leads nowhere.
//!
//! A user sees either one directory, or four: `out/` with our files, `archive/` for those it has put away, and `in/`
//! and `ack/` for its own.

use std::collections::VecDeque;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use russh_sftp::protocol::StatusCode;
use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, ResolveFlags, linkat, openat, openat2, unlinkat};
use rustix::io::Errno;

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
struct Found<'m> {
    mount: &'m Mount,
    real: PathBuf,
    /// The thing itself, whatever becomes of its name; not for reading.
    place: File,
    metadata: Metadata,
}

/// A directory entry, in a directory that is inside.
struct Entry {
    parent: File,
    name: String,
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
        let file =
            beneath(&found.mount.root, &found.real, OFlags::RDONLY | OFlags::NONBLOCK).map_err(status_of)?;
        let opened = file.metadata().map_err(status_of)?;
        if (opened.dev(), opened.ino()) != (found.metadata.dev(), found.metadata.ino()) {
            return Err(StatusCode::NoSuchFile);
        }
        Ok((file, opened, found.real))
    }

    /// The same, where the system has the way there in memory and it leads over no links; `None` where it does not, or where it is not there,
    /// which is for [`Jail::open`] to find out. Never waits for a disk.
    pub(super) fn open_now(&self, path: &str) -> Option<(File, Metadata, PathBuf)> {
        let (mount, rest, root) = self.find_now(path)?;
        let place = below(&root, &rest, OFlags::PATH, ResolveFlags::CACHED).ok()?;
        let found = place.metadata().ok().filter(Metadata::is_file)?;
        let file = below(&root, &rest, OFlags::RDONLY | OFlags::NONBLOCK, ResolveFlags::CACHED).ok()?;
        let opened = file.metadata().ok()?;
        let is_same = (opened.dev(), opened.ino()) == (found.dev(), found.ino());
        is_same.then(|| (file, opened, mount.root.join(rest)))
    }

    /// As [`Jail::metadata`], in the manner of [`Jail::open_now`].
    pub(super) fn metadata_now(&self, path: &str) -> Option<(Metadata, Rights)> {
        let (mount, rest, root) = self.find_now(path)?;
        let place = below(&root, &rest, OFlags::PATH, ResolveFlags::CACHED).ok()?;
        // Of a link, what it leads to.
        let metadata = place.metadata().ok().filter(|found| !found.is_symlink())?;
        Some((metadata, mount.rights))
    }

    fn find_now(&self, path: &str) -> Option<(&Mount, PathBuf, OwnedFd)> {
        let path = absolute(path).ok()?;
        if path.split('/').any(is_hidden) {
            return None;
        }
        let (mount, rest) = self.mount_of(&path)?;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = openat2(CWD, &mount.root, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
        Some((mount, PathBuf::from(rest.trim_start_matches('/')), root))
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
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&found.place, ".", flags, Mode::empty()).map_err(status_of_errno)?;
        let entries = Dir::new(opened).map_err(status_of_errno)?;
        let (place, rights) = (found.place, found.mount.rights);
        Ok(Listing { jail: self.clone(), dir, entries: Entries::Of { entries, place, rights } })
    }

    /// What `path` is, and what may be done there; of a symlink, what it leads to.
    pub(super) fn metadata(&self, path: &str) -> Result<(Metadata, Rights), StatusCode> {
        if self.is_exchange() && absolute(path)? == "/" {
            let metadata = fs::metadata(&self.mounts[0].root).map_err(status_of)?;
            return Ok((metadata, Rights::default()));
        }
        self.resolve(path).map(|found| (found.metadata, found.mount.rights))
    }

    /// Deletes a regular file and answers where it was and how long. A symlink is not followed and not deleted.
    pub(super) fn remove(&self, path: &str) -> Result<(PathBuf, u64), StatusCode> {
        let entry = self.entry(path)?;
        if !entry.rights.delete || !entry.metadata.is_file() {
            return Err(StatusCode::PermissionDenied);
        }
        unlinkat(&entry.parent, &entry.name, AtFlags::empty()).map_err(status_of_errno)?;
        Ok((entry.real, entry.metadata.len()))
    }

    /// Renames a regular file, within its directory or from `out/` into `archive/`, and never over another; answers
    /// where it was.
    pub(super) fn rename(&self, from: &str, to: &str) -> Result<PathBuf, StatusCode> {
        let entry = self.entry(from)?;
        if !entry.rights.rename || !entry.metadata.is_file() {
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
        linkat(&entry.parent, &entry.name, &parent.place, name, AtFlags::empty()).map_err(status_of_errno)?;
        unlinkat(&entry.parent, &entry.name, AtFlags::empty()).map_err(status_of_errno)?;
        Ok(entry.real)
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

    /// A directory entry itself, a link and not what it leads to.
    fn entry(&self, path: &str) -> Result<Entry, StatusCode> {
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
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let itself = File::from(openat(&parent.place, name, flags, Mode::empty()).map_err(status_of_errno)?);
        let metadata = itself.metadata().map_err(status_of)?;
        let real = parent.real.join(name);
        Ok(Entry { parent: parent.place, name: name.to_owned(), real, metadata, rights: mount.rights })
    }

    /// What a name in a directory is; a link is resolved like any request, so what cannot be opened is not shown either.
    fn entry_of(&self, place: &File, rights: Rights, dir: &str, name: &str) -> Option<(Metadata, Rights)> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let itself = File::from(openat(place, name, flags, Mode::empty()).ok()?);
        let metadata = itself.metadata().ok()?;
        if metadata.is_symlink() {
            return self.metadata(&format!("{dir}/{name}")).ok();
        }
        Some((metadata, rights))
    }

    /// The real path and what is there, both inside the root they begin in.
    fn resolve(&self, path: &str) -> Result<Found<'_>, StatusCode> {
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
        let place = beneath(&mount.root, &real, OFlags::PATH).map_err(|_| StatusCode::NoSuchFile)?;
        let metadata = place.metadata().map_err(status_of)?;
        if metadata.is_symlink() {
            // Put there just now.
            return Err(StatusCode::NoSuchFile);
        }
        Ok(Found { mount, real, place, metadata })
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

/// Opens `real`, which is below `root` and has no links in it, so that it cannot be anything else by now.
fn beneath(root: &Path, real: &Path, flags: OFlags) -> io::Result<File> {
    let rest = real.strip_prefix(root).map_err(io::Error::other)?;
    let root = openat(CWD, root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    match below(&root, rest, flags, ResolveFlags::empty()) {
        Ok(file) => Ok(file),
        // Linux before 5.6, and sandboxes that do not know the call: as well as they can.
        Err(Errno::NOSYS | Errno::PERM) => {
            Ok(openat(&root, rest, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?.into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Opens what is below `root` by way of directories alone.
fn below(root: &OwnedFd, rest: &Path, flags: OFlags, how: ResolveFlags) -> Result<File, Errno> {
    let rest = if rest.as_os_str().is_empty() { Path::new(".") } else { rest };
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = how | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(root, rest, flags, Mode::empty(), how)?.into())
}

fn status_of_errno(error: Errno) -> StatusCode {
    status_of(error.into())
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
    /// Of the directory that was found, whatever becomes of its name while it is listed.
    Of {
        entries: Dir,
        place: File,
        rights: Rights,
    },
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
                Entries::Of { entries, place, rights } => {
                    let Some(Ok(entry)) = entries.read() else { break };
                    // A name that is not UTF-8 could not be asked for.
                    let Ok(name) = entry.file_name().to_str() else { continue };
                    if is_hidden(name) || name == "." || name == ".." {
                        continue;
                    }
                    let Some((metadata, rights)) = self.jail.entry_of(place, *rights, &self.dir, name) else {
                        continue;
                    };
                    if metadata.is_file() || metadata.is_dir() {
                        chunk.push((name.to_owned(), metadata, rights));
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
mod tests;
