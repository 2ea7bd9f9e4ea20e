//! The lake as it was at one moment, kept while it is copied: files never change and are only deleted, so a second name keeps each.

use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::IoContext;
use crate::forget::{PROOFS, unnamed};
use crate::layout::{self, Spot};
use crate::manifest::Manifest;
use crate::tree::Tree;
use crate::{Lake, LakeError};

/// Where second names are, below the lake's directory; nothing looks for rows there.
const FROZEN: &str = ".frozen";

/// How often it is looked again for a file that got another name, or whose rows went into another one, while we looked.
const TRIES: u32 = 100;

/// The lake as it was: its files below [`FrozenLake::dir`], laid out as a lake. Gone when this is dropped.
#[derive(Debug)]
pub struct FrozenLake {
    dir: PathBuf,
    /// The lake itself.
    of: PathBuf,
    /// Relative to `dir`.
    files: Vec<PathBuf>,
    /// One at a time: the second names lie in one place.
    _lock: File,
}

impl Lake {
    /// Keeps the lake as it is now, also while another process writes it. Takes as long as giving names to files does.
    ///
    /// # Errors
    ///
    /// [`LakeError::InUse`] while somebody else copies it, [`LakeError::NotOnDisk`] for one in a bucket, [`LakeError::FileMissing`] when
    /// committed rows are gone, and [`LakeError::Io`].
    pub fn freeze(&self) -> Result<FrozenLake, LakeError> {
        let Tree::Disk(of) = &self.tree else {
            return Err(LakeError::NotOnDisk { place: self.place().to_owned() });
        };
        let dir = of.join(FROZEN);
        fs::create_dir_all(&dir).at("create", &dir)?;
        let lock_file = dir.join("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&lock_file);
        let lock = lock.at("open", &lock_file)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LakeError::InUse { dir }),
            Err(TryLockError::Error(source)) => {
                return Err(LakeError::Io { action: "lock", path: lock_file, source });
            }
        }
        let frozen = FrozenLake { dir: dir.join("lake"), of: of.clone(), files: Vec::new(), _lock: lock };
        // Also what a process that died has left.
        remove_tree(&frozen.dir)?;
        frozen.catch_up()
    }
}

/// Clears away what a backup left that died: rows that are to be forgotten must not live on there.
pub(crate) fn clear_left(dir: &Path) -> Result<(), LakeError> {
    let dir = dir.join(FROZEN);
    match File::options().write(true).open(dir.join("lock")) {
        // Whoever is at work holds it.
        Ok(lock) if lock.try_lock().is_ok() => remove_tree(&dir.join("lake")),
        Ok(_) | Err(_) => Ok(()),
    }
}

impl FrozenLake {
    /// Keeps the lake as it is by now instead. Takes as long as what has changed since does, so that a moment in which all else is held is
    /// short.
    ///
    /// # Errors
    ///
    /// [`LakeError::FileMissing`] when committed rows are gone, and [`LakeError::Io`].
    pub fn catch_up(mut self) -> Result<FrozenLake, LakeError> {
        let mut tries = 0;
        loop {
            tries += 1;
            fs::create_dir_all(&self.dir).at("create", &self.dir)?;
            let mut manifest = Manifest::clone(&*Tree::Disk(self.of.clone()).current()?);
            match link_all(&self.of, &manifest, &self.dir)? {
                None => {
                    let mut files: BTreeSet<PathBuf> =
                        manifest.live().map(|file| file.spot.final_path().into()).collect();
                    files.extend(link_proofs(&self.of, &manifest, &self.dir)?);
                    manifest.retired.clear();
                    manifest.retired_tables.clear();
                    layout::write_manifest(&manifest, &self.dir)?;
                    files.insert(layout::manifest(Path::new("")));
                    self.files = files.into_iter().collect();
                    return Ok(self);
                }
                Some(missing) if tries == TRIES => return Err(missing),
                Some(_) => {}
            }
        }
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// All its files, relative to [`FrozenLake::dir`].
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }
}

impl Drop for FrozenLake {
    fn drop(&mut self) {
        if let Err(why) = remove_tree(&self.dir) {
            tracing::warn!(error = %why, "second names of the lake's files stay until the next backup");
        }
    }
}

/// Gives every committed file a second name below `to`; the first that is not to be found.
fn link_all(dir: &Path, manifest: &Manifest, to: &Path) -> Result<Option<LakeError>, LakeError> {
    for file in manifest.live() {
        let target = to.join(file.spot.final_path());
        let folder = target.parent().unwrap_or(to);
        // Files never change: one that has its second name is the same.
        if target.exists() {
            continue;
        }
        fs::create_dir_all(folder).at("create", folder)?;
        if !link(dir, &file.spot, to)? {
            let path = dir.join(file.spot.final_path());
            return Ok(Some(LakeError::FileMissing { path, rows: file.rows }));
        }
    }
    Ok(None)
}

/// Gives the proofs of what was forgotten a second name below `to`; what they are called there.
fn link_proofs(dir: &Path, manifest: &Manifest, to: &Path) -> Result<Vec<PathBuf>, LakeError> {
    let names = layout::documents(dir, PROOFS)?;
    // A later one goes with a commit that is not in the manifest.
    let later: BTreeSet<&String> = unnamed(&names, manifest).collect();
    let mut kept = Vec::new();
    for name in names.iter().filter(|name| !later.contains(name)) {
        let name = Path::new(PROOFS).join(name);
        let (path, target) = (dir.join(&name), to.join(&name));
        let folder = target.parent().unwrap_or(to);
        fs::create_dir_all(folder).at("create", folder)?;
        if !target.exists() && fs::hard_link(&path, &target).is_err() {
            fs::copy(&path, &target).at("copy", &path)?;
        }
        kept.push(name);
    }
    Ok(kept)
}

/// Whether the file was there, by whatever name.
fn link(dir: &Path, spot: &Spot, to: &Path) -> Result<bool, LakeError> {
    let target = to.join(spot.final_path());
    // It gets its final name after its commit, and leaves for `retired/` after it was merged.
    let names = [dir.join(spot.final_path()), dir.join(spot.hidden_path()), spot.retired(dir)];
    for name in names.iter().chain(&names) {
        match fs::hard_link(name, &target) {
            Ok(()) => return Ok(true),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            // Not every file system has second names.
            Err(_) => match fs::copy(name, &target) {
                Ok(_) => return Ok(true),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(LakeError::Io { action: "copy", path: name.clone(), source }),
            },
        }
    }
    Ok(false)
}

fn remove_tree(dir: &Path) -> Result<(), LakeError> {
    match fs::remove_dir_all(dir) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why).at("delete", dir),
        Ok(()) | Err(_) => Ok(()),
    }
}
