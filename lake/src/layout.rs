//! Where things lie in the lake's directory, and how the tree is brought in line with the manifest.
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

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use chrono::NaiveDate;

use crate::LakeError;
use crate::error::IoContext;
use crate::manifest::Manifest;

/// The folder of calls, below the lake's directory.
pub(crate) const CDRS: &str = "cdrs";
/// The folder of the other tables, each in a folder of its own.
pub(crate) const TABLES: &str = "tables";
/// How the name of a file begins that has none of its own yet.
const HIDDEN_PREFIX: &str = ".tmp-part-";

pub(crate) fn manifest(dir: &Path) -> PathBuf {
    dir.join("manifest.json")
}

pub(crate) fn manifest_temporary(dir: &Path) -> PathBuf {
    dir.join(".tmp-manifest.json")
}

pub(crate) fn lock(dir: &Path) -> PathBuf {
    dir.join(".lock")
}

fn strays(dir: &Path) -> PathBuf {
    dir.join("strays")
}

fn retired_dir(dir: &Path) -> PathBuf {
    dir.join("retired")
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

    fn final_name(&self) -> String {
        format!("part-{:010}.parquet", self.number)
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

    /// Where the committed file is right now, relative to the lake's directory; `None` if it has been moved away.
    pub(crate) fn present_path(&self, dir: &Path) -> Option<String> {
        [self.final_path(), self.hidden_path()].into_iter().find(|path| dir.join(path).is_file())
    }

    pub(crate) fn retired(&self, dir: &Path) -> PathBuf {
        let folder = self.folder.rsplit(['/', '=']).next().unwrap_or(&self.folder);
        retired_dir(dir).join(format!("{folder}-{}", self.final_name()))
    }
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
pub(crate) fn check(dir: &Path, manifest: &Manifest) -> Result<(), LakeError> {
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
pub(crate) fn sweep(dir: &Path, manifest: &Manifest) -> Result<(), LakeError> {
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
pub(crate) fn has_rows(dir: &Path) -> Result<bool, LakeError> {
    let is_final = |path: &PathBuf| entry_name(path).starts_with("part-");
    Ok(row_files(dir)?.iter().any(is_final))
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
                if name.ends_with(".parquet") || name.starts_with(HIDDEN_PREFIX) {
                    found.push(path);
                }
            }
        }
    }
    Ok(found)
}
