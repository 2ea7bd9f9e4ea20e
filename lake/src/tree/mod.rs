//! Where the lake's files are: in a directory, or in a bucket of an object store. Both have the same tree (`layout.rs`), and in both
//! the manifest decides.
//!
//! A directory has renames, syncs and a lock, and is used as ever. A bucket has none of these: a file is written in a directory of this
//! machine and sent whole, names change by a copy made by the server, and the manifest is replaced by a put that the server carries out
//! only if nobody else has replaced it meanwhile (`bucket.rs`).

mod bucket;
mod finder;
mod lock;
mod trouble;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::object_store::ObjectStore;
use datafusion::object_store::local::LocalFileSystem;

pub(crate) use bucket::Bucket;
pub(crate) use trouble::of_query;

use crate::error::IoContext;
use crate::layout::{self, Spot};
use crate::manifest::Manifest;
use crate::{LakeConfig, LakeError};

/// The place of a lake.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    Disk(PathBuf),
    Bucket(Arc<Bucket>),
}

/// Which manifest was read or written last: in a bucket, what a put replaces.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Version(Option<String>);

/// The right to write, for as long as it lives.
pub(crate) enum Held {
    Disk { _lock: fs::File },
    Bucket(lock::Lock),
}

impl Held {
    /// Whether somebody else has taken us for dead: what we write is of no use any more.
    pub(crate) fn is_lost(&self) -> bool {
        match self {
            Held::Disk { .. } => false,
            Held::Bucket(lock) => lock.is_lost(),
        }
    }
}

/// A file to be read, on this machine's disk; a copy is deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Fetched {
    path: PathBuf,
    is_copy: bool,
}

impl Fetched {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.is_copy {
            // What stays behind is deleted when the lake is opened next.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Tree {
    pub(crate) fn of(config: &LakeConfig) -> Result<Self, LakeError> {
        Ok(match &config.url {
            None => Tree::Disk(config.dir.clone()),
            Some(url) => Tree::Bucket(Arc::new(Bucket::new(url, config)?)),
        })
    }

    /// What people are shown.
    pub(crate) fn place(&self) -> &Path {
        match self {
            Tree::Disk(dir) => dir,
            Tree::Bucket(bucket) => bucket.place(),
        }
    }

    /// What queries read the files from.
    pub(crate) fn store(&self) -> Result<Arc<dyn ObjectStore>, LakeError> {
        Ok(match self {
            Tree::Disk(dir) => Arc::new(
                LocalFileSystem::new_with_prefix(dir).map_err(std::io::Error::other).at("open", dir)?,
            ),
            Tree::Bucket(bucket) => Arc::new(finder::Finder::new(bucket.clone())),
        })
    }

    /// The manifest as it is now.
    pub(crate) fn current(&self) -> Result<Arc<Manifest>, LakeError> {
        let found = match self {
            Tree::Disk(dir) => layout::read_manifest(dir)?.map(Arc::new),
            Tree::Bucket(bucket) => bucket.read_manifest()?.map(|(manifest, _)| manifest),
        };
        found.ok_or_else(|| {
            let dir = self.place().to_owned();
            LakeError::NoLake { manifest: layout::manifest(&dir), dir }
        })
    }

    /// Takes the right to write, and brings the tree in line with the manifest. Blocks until it is known whether somebody else has it.
    pub(crate) fn enter(&self) -> Result<(Held, Manifest, Version), LakeError> {
        match self {
            Tree::Disk(dir) => {
                let (lock, manifest) = layout::enter(dir)?;
                Ok((Held::Disk { _lock: lock }, manifest, Version::default()))
            }
            Tree::Bucket(bucket) => {
                let lock = bucket.lock()?;
                let (manifest, version) = bucket.enter()?;
                Ok((Held::Bucket(lock), manifest, version))
            }
        }
    }

    /// The manifest after a commit of which nobody knows whether it happened, the tree in line with it.
    pub(crate) fn again(&self, held: &mut Held, known: &Manifest) -> Result<(Manifest, Version), LakeError> {
        match self {
            Tree::Disk(dir) => {
                let manifest = Manifest::clone(&*self.current()?);
                layout::sync_dir(dir)?;
                layout::settle(dir, &manifest)?;
                crate::forget::sweep(self, &manifest)?;
                Ok((manifest, Version::default()))
            }
            Tree::Bucket(bucket) => {
                let (manifest, version) = bucket
                    .read_manifest()?
                    .ok_or_else(|| LakeError::ManifestMissing { dir: self.place().to_owned() })?;
                if let Held::Bucket(lock) = held
                    && (lock.is_lost() || manifest.writer != known.writer)
                {
                    // Somebody took us for dead: he is left alone as long as he lives.
                    lock.take_again()?;
                    return bucket.enter();
                }
                bucket.settle(&manifest)?;
                crate::forget::sweep(self, &manifest)?;
                Ok((Manifest::clone(&*manifest), version))
            }
        }
    }

    /// Replaces the manifest that is `seen`, durably. When it fails, either may be there.
    pub(crate) fn replace_manifest(&self, next: &Manifest, seen: &Version) -> Result<Version, LakeError> {
        match self {
            Tree::Disk(dir) => layout::write_manifest(next, dir).map(|()| Version::default()),
            Tree::Bucket(bucket) => bucket.replace_manifest(next, seen),
        }
    }

    /// The path on this machine to write a file under.
    pub(crate) fn begin(&self, spot: &Spot) -> Result<PathBuf, LakeError> {
        match self {
            Tree::Disk(dir) => {
                layout::make_folder(dir, spot)?;
                Ok(dir.join(spot.hidden_path()))
            }
            Tree::Bucket(bucket) => Ok(bucket.scratch(spot)),
        }
    }

    /// Puts what was written there under its hidden name, where it is not yet.
    pub(crate) fn seal(&self, spot: &Spot, writer: u64) -> Result<(), LakeError> {
        match self {
            Tree::Disk(_) => Ok(()),
            Tree::Bucket(bucket) => bucket.send(spot, writer),
        }
    }

    /// Deletes a file that no manifest names.
    pub(crate) fn discard(&self, spot: &Spot, writer: u64) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => layout::remove_if_there(&dir.join(spot.hidden_path())),
            Tree::Bucket(bucket) => bucket.discard(spot, writer),
        }
    }

    /// Gives committed files their final names, if that is still to be done.
    pub(crate) fn name_finally(&self, spots: &[Spot], writer: u64) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => spots.iter().try_for_each(|spot| layout::name_finally(dir, spot)),
            Tree::Bucket(bucket) => bucket.name_finally(spots, writer),
        }
    }

    /// Moves retired files out of the tree, if that is still to be done.
    pub(crate) fn move_out(&self, spots: &[Spot]) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => spots.iter().try_for_each(|spot| layout::move_out(dir, spot)),
            Tree::Bucket(bucket) => bucket.move_out(spots),
        }
    }

    /// Deletes retired files for good.
    pub(crate) fn purge(&self, spots: &[Spot]) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => spots.iter().try_for_each(|spot| layout::purge(dir, spot)),
            Tree::Bucket(bucket) => bucket.purge(spots),
        }
    }

    /// Does whatever of the manifest's names and moves is still to be done.
    pub(crate) fn settle(&self, manifest: &Manifest) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => layout::settle(dir, manifest),
            Tree::Bucket(bucket) => bucket.settle(manifest),
        }
    }

    /// Committed files to be read, with the rows each is known to have.
    pub(crate) fn fetch(&self, spots: &[(Spot, u64)], writer: u64) -> Result<Vec<Fetched>, LakeError> {
        match self {
            Tree::Disk(dir) => {
                let found = |(spot, rows): &(Spot, u64)| {
                    let path = spot.present_path(dir).map(|path| dir.join(path));
                    let path = path.ok_or_else(|| LakeError::FileMissing {
                        path: dir.join(spot.final_path()),
                        rows: *rows,
                    })?;
                    Ok(Fetched { path, is_copy: false })
                };
                spots.iter().map(found).collect()
            }
            Tree::Bucket(bucket) => bucket.fetch(spots, writer),
        }
    }

    /// Writes a small file of ours, durably.
    pub(crate) fn write_document(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => layout::write_document(dir, folder, name, &bytes),
            Tree::Bucket(bucket) => bucket.put(&format!("{folder}/{name}"), bytes),
        }
    }

    /// The names of the files in a folder; none where there is no folder.
    pub(crate) fn documents(&self, folder: &str) -> Result<Vec<String>, LakeError> {
        match self {
            Tree::Disk(dir) => layout::documents(dir, folder),
            Tree::Bucket(bucket) => bucket.documents(folder),
        }
    }

    pub(crate) fn read_document(&self, folder: &str, name: &str) -> Result<Vec<u8>, LakeError> {
        match self {
            Tree::Disk(dir) => {
                let path = dir.join(folder).join(name);
                fs::read(&path).at("read", &path)
            }
            Tree::Bucket(bucket) => bucket.get(&format!("{folder}/{name}")),
        }
    }

    pub(crate) fn remove_document(&self, folder: &str, name: &str) -> Result<(), LakeError> {
        match self {
            Tree::Disk(dir) => layout::remove_if_there(&dir.join(folder).join(name)),
            Tree::Bucket(bucket) => bucket.remove(&format!("{folder}/{name}")),
        }
    }
}
