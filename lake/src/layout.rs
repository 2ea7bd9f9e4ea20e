//! Where things lie in the lake, and how the tree in a directory is brought in line with the manifest.
//!
//! ```text
//! manifest.json                        the files that count, and the positions
//! cdrs/day=2026-10-05/part-*.parquet   rows; what any tool may read
//! cdrs/day=2026-10-05/.tmp-part-*      being written, or committed and about to get its name
//! tables/events/part-*.parquet         rows of the other tables, and hidden files in the same way
//! retired/                             merged into others; deleted after a while
//! strays/                              found in the tree and not ours; never deleted
//! .lock                                held by the process that writes
//! ```
//!
//! The manifest decides. A file is written under its hidden name, then the manifest names it, then it gets its final name:
//! whatever step a crash comes after, [`settle`] finishes it or throws it away.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::LakeError;
use crate::error::IoContext;
use crate::manifest::Manifest;

/// The folder of calls, below the lake's directory.
pub(crate) const CDRS: &str = "cdrs";
/// The folder of the other tables, each in a folder of its own.
pub(crate) const TABLES: &str = "tables";
/// The folder of files that were merged into others.
const RETIRED: &str = "retired";
/// How the name of a file begins that has none of its own yet.
const HIDDEN_PREFIX: &str = ".tmp-part-";
const FINAL_PREFIX: &str = "part-";
const FINAL_SUFFIX: &str = ".parquet";

pub(crate) fn manifest(dir: &Path) -> PathBuf {
    dir.join("manifest.json")
}

fn manifest_temporary(dir: &Path) -> PathBuf {
    dir.join(".tmp-manifest.json")
}

pub(crate) fn lock(dir: &Path) -> PathBuf {
    dir.join(".lock")
}

fn strays(dir: &Path) -> PathBuf {
    dir.join("strays")
}

fn retired_dir(dir: &Path) -> PathBuf {
    dir.join(RETIRED)
}

/// Where one file of the lake belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Spot {
    /// Relative to the lake's directory.
    folder: String,
    number: u64,
}

impl Spot {
    /// Calls of one UTC day.
    pub(crate) fn of_day(day: NaiveDate, number: u64) -> Self {
        Self { folder: format!("{CDRS}/day={day}"), number }
    }

    /// Rows of another table.
    pub(crate) fn of_table(table: &str, number: u64) -> Self {
        Self { folder: format!("{TABLES}/{table}"), number }
    }

    /// The one whose final path `path` is.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let (folder, _) = path.rsplit_once('/')?;
        Some(Self { folder: folder.to_owned(), number: Self::number_of(path)? })
    }

    /// The number in a final path.
    pub(crate) fn number_of(path: &str) -> Option<u64> {
        let name = path.rsplit('/').next()?;
        name.strip_prefix(FINAL_PREFIX)?.strip_suffix(FINAL_SUFFIX)?.parse().ok()
    }

    fn final_name(&self) -> String {
        format!("{FINAL_PREFIX}{:010}{FINAL_SUFFIX}", self.number)
    }

    /// The name the file has for the world, relative to the lake's directory.
    pub(crate) fn final_path(&self) -> String {
        format!("{}/{}", self.folder, self.final_name())
    }

    /// The name it has until it is committed, and for a moment after, relative to the lake's directory.
    pub(crate) fn hidden_path(&self) -> String {
        // No `.parquet`: some tools' `*.parquet` takes in hidden files.
        format!("{}/{HIDDEN_PREFIX}{:010}", self.folder, self.number)
    }

    /// The same in a bucket, where it is that of one writer.
    pub(crate) fn hidden_path_of(&self, writer: u64) -> String {
        format!("{}-w{writer}", self.hidden_path())
    }

    /// Where it is once it was merged into another, relative to the lake's directory.
    pub(crate) fn retired_path(&self) -> String {
        let folder = self.folder.rsplit(['/', '=']).next().unwrap_or(&self.folder);
        format!("{RETIRED}/{folder}-{}", self.final_name())
    }

    /// Where the committed file is right now, relative to the lake's directory; `None` if it has been moved away.
    pub(crate) fn present_path(&self, dir: &Path) -> Option<String> {
        [self.final_path(), self.hidden_path()].into_iter().find(|path| dir.join(path).is_file())
    }

    pub(crate) fn retired(&self, dir: &Path) -> PathBuf {
        dir.join(self.retired_path())
    }
}

/// Whether it is the path of rows under a final name.
pub(crate) fn is_final(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(FINAL_PREFIX))
}

/// Whether it is the path of a file that has no final name yet.
pub(crate) fn is_hidden(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| name.starts_with(HIDDEN_PREFIX))
}

/// Whether it is the path of a file in the tree that holds rows, or was going to: `folder/folder/name`.
pub(crate) fn is_row_file(path: &str) -> bool {
    path.split('/').count() == 3 && (is_hidden(path) || path.ends_with(FINAL_SUFFIX))
}

/// Takes the lock of a directory, makes the lake if there is none, and brings the tree in line with its manifest.
pub(crate) fn enter(dir: &Path) -> Result<(File, Manifest), LakeError> {
    let cdrs = dir.join(CDRS);
    fs::create_dir_all(&cdrs).at("create", &cdrs)?;
    let lock = locked(dir)?;
    let manifest = match read_manifest(dir)? {
        Some(manifest) => manifest,
        None if has_rows(dir)? => return Err(LakeError::ManifestMissing { dir: dir.to_owned() }),
        None => {
            let manifest = Manifest::empty();
            write_manifest(&manifest, dir)?;
            manifest
        }
    };
    settle(dir, &manifest)?;
    check(dir, &manifest)?;
    sweep(dir, &manifest)?;
    Ok((lock, manifest))
}

fn locked(dir: &Path) -> Result<File, LakeError> {
    let path: PathBuf = lock(dir);
    let file = File::options().create(true).write(true).truncate(false).open(&path).at("open", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(LakeError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(LakeError::Io { action: "lock", path, source }),
    }
}

/// Reads the manifest of a directory; `None` where there is none.
pub(crate) fn read_manifest(dir: &Path) -> Result<Option<Manifest>, LakeError> {
    let path = manifest(dir);
    match fs::read(&path) {
        Ok(bytes) => Manifest::from_bytes(&bytes, &path).map(Some),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LakeError::Io { action: "read", path, source }),
    }
}

/// Replaces the one on disk. When this returns, the change survives a power cut; when it fails, either may be there.
pub(crate) fn write_manifest(next: &Manifest, dir: &Path) -> Result<(), LakeError> {
    let bytes = next.to_bytes()?;
    let temporary: PathBuf = manifest_temporary(dir);
    let mut file = File::create(&temporary).at("create", &temporary)?;
    file.write_all(&bytes).at("write", &temporary)?;
    file.sync_all().at("sync", &temporary)?;
    drop(file);
    let path = manifest(dir);
    fs::rename(&temporary, &path).at("replace", &path)?;
    sync_dir(dir)
}

/// Writes a small file into a folder, durably.
pub(crate) fn write_document(dir: &Path, folder: &str, name: &str, bytes: &[u8]) -> Result<(), LakeError> {
    let folder = dir.join(folder);
    fs::create_dir_all(&folder).at("create", &folder)?;
    sync_dir(dir)?;
    let path = folder.join(name);
    let mut file = File::create(&path).at("create", &path)?;
    file.write_all(bytes).at("write", &path)?;
    file.sync_all().at("sync", &path)?;
    sync_dir(&folder)
}

/// The names in a folder; none where there is no folder.
pub(crate) fn documents(dir: &Path, folder: &str) -> Result<Vec<String>, LakeError> {
    let folder = dir.join(folder);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).at("list", &folder)? {
        names.push(entry_name(&entry.at("list", &folder)?.path()));
    }
    Ok(names)
}

/// Makes the names in a directory survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), LakeError> {
    File::open(dir).and_then(|file| file.sync_all()).at("sync", dir)
}

/// Makes the directory that a file belongs in, durably.
pub(crate) fn make_folder(dir: &Path, spot: &Spot) -> Result<(), LakeError> {
    let path = dir.join(&spot.folder);
    if !path.is_dir() {
        fs::create_dir_all(&path).at("create", &path)?;
        if let Some(parent) = path.parent() {
            sync_dir(parent)?;
        }
        sync_dir(dir)?;
    }
    Ok(())
}

/// Gives every committed file its final name, and moves retired ones out of the tree. New names come first: who reads the
/// tree without the manifest may for a moment see a call twice, which its revision resolves, but never miss one.
pub(crate) fn settle(dir: &Path, manifest: &Manifest) -> Result<(), LakeError> {
    for file in manifest.live() {
        name_finally(dir, &file.spot)?;
    }
    for spot in manifest.retired_spots() {
        move_out(dir, &spot)?;
    }
    Ok(())
}

/// Renames one committed file from its hidden name, if that is still to be done.
pub(crate) fn name_finally(dir: &Path, spot: &Spot) -> Result<(), LakeError> {
    let hidden = dir.join(spot.hidden_path());
    if !hidden.exists() {
        return Ok(());
    }
    fs::rename(&hidden, dir.join(spot.final_path())).at("rename", &hidden)
}

/// Moves one retired file out of the tree, if that is still to be done.
pub(crate) fn move_out(dir: &Path, spot: &Spot) -> Result<(), LakeError> {
    let visible = dir.join(spot.final_path());
    if !visible.exists() {
        return Ok(());
    }
    let folder = retired_dir(dir);
    fs::create_dir_all(&folder).at("create", &folder)?;
    fs::rename(&visible, spot.retired(dir)).at("move", &visible)
}

/// Deletes a retired file for good.
pub(crate) fn purge(dir: &Path, spot: &Spot) -> Result<(), LakeError> {
    move_out(dir, spot)?;
    remove_if_there(&spot.retired(dir))
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), LakeError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).at("delete", path),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Whether every committed row is there, in files of the size they were committed with.
fn check(dir: &Path, manifest: &Manifest) -> Result<(), LakeError> {
    for file in manifest.live() {
        let path = dir.join(file.spot.final_path());
        let found = match fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(LakeError::FileMissing { path, rows: file.rows });
            }
            Err(source) => return Err(LakeError::Io { action: "look at", path, source }),
        };
        if found != file.bytes {
            return Err(LakeError::FileDamaged { path, expected: file.bytes, found });
        }
    }
    Ok(())
}

/// Clears the tree of what the manifest does not name: unfinished files are deleted, foreign Parquet files are moved to
/// `strays/`, since somebody may miss them.
fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), LakeError> {
    remove_if_there(&manifest_temporary(dir))?;
    let live: std::collections::HashSet<PathBuf> =
        manifest.live().map(|file| dir.join(file.spot.final_path())).collect();
    for path in row_files(dir)? {
        if live.contains(&path) {
            continue;
        }
        let name = entry_name(&path);
        if name.starts_with(HIDDEN_PREFIX) {
            tracing::warn!(path = %path.display(), "unfinished lake file deleted");
            remove_if_there(&path)?;
            continue;
        }
        let folder = strays(dir);
        fs::create_dir_all(&folder).at("create", &folder)?;
        let day = path.parent().map(entry_name).unwrap_or_default();
        let target = (0..)
            .map(|n: u32| folder.join(format!("{day}-{n}-{name}")))
            .find(|target| !target.exists())
            .unwrap_or_else(|| folder.join(&name));
        tracing::warn!(from = %path.display(), to = %target.display(), "file that no commit names moved out of the lake");
        fs::rename(&path, &target).at("move", &path)?;
    }
    Ok(())
}

fn entry_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Whether the tree holds rows under their final names.
fn has_rows(dir: &Path) -> Result<bool, LakeError> {
    Ok(row_files(dir)?.iter().any(|path| is_final(&entry_name(path))))
}

/// Every file in the tree that holds rows, or was going to.
fn row_files(dir: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let mut found = Vec::new();
    for root in [dir.join(CDRS), dir.join(TABLES)] {
        if !root.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&root).at("list", &root)? {
            let folder = entry.at("list", &root)?.path();
            if !folder.is_dir() {
                continue;
            }
            for entry in fs::read_dir(&folder).at("list", &folder)? {
                let path = entry.at("list", &folder)?.path();
                let name = entry_name(&path);
                if name.ends_with(FINAL_SUFFIX) || name.starts_with(HIDDEN_PREFIX) {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}
