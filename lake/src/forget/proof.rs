//! What proves that numbers were taken out: one JSON document for each commit, `proofs/g0000000042.json`, named by the generation of
//! the manifest that it goes with.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Task;
use crate::LakeError;
use crate::error::IoContext;
use crate::layout::{self, Spot};

const FOLDER: &str = "proofs";
/// Read at a time for a digest.
const CHUNK_BYTES: usize = 1024 * 1024;

/// One commit that took numbers out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// When.
    pub at: DateTime<Utc>,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// What was asked: rules with their days, numbers with their middle hidden.
    pub asked: Vec<String>,
    /// How many holds were in force.
    pub holds: usize,
    /// The files.
    pub files: Vec<FileProof>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileProof {
    /// Its path before, relative to the lake's directory.
    pub before: String,
    /// SHA-256 of it, in hexadecimal digits.
    pub sha256_before: String,
    /// Its rows.
    pub rows_before: u64,
    /// The path of what is in its place; `None` if no row is left.
    pub after: Option<String>,
    /// SHA-256 of that.
    pub sha256_after: Option<String>,
    /// Its rows.
    pub rows_after: u64,
    /// Rows that lost numbers.
    pub rows_changed: u64,
    /// Rows that are gone.
    pub rows_deleted: u64,
    /// Rows that a hold kept as they were.
    pub rows_held: u64,
}

impl FileProof {
    pub(super) fn before(dir: &Path, path: &Path, spot: &Spot, rows: u64) -> Result<Self, LakeError> {
        debug_assert!(path.starts_with(dir), "files of the lake are below it");
        Ok(Self {
            before: spot.final_path(),
            sha256_before: digest(path)?,
            rows_before: rows,
            after: None,
            sha256_after: None,
            rows_after: 0,
            rows_changed: 0,
            rows_deleted: 0,
            rows_held: 0,
        })
    }

    pub(super) fn after(&mut self, path: &Path, spot: &Spot, rows: u64) -> Result<(), LakeError> {
        self.after = Some(spot.final_path());
        self.sha256_after = Some(digest(path)?);
        self.rows_after = rows;
        Ok(())
    }
}

impl Proof {
    pub(super) fn of(task: &Task, files: &[FileProof], now: DateTime<Utc>) -> Self {
        let tenant = |tenant: Option<model::TenantId>| {
            tenant.map_or_else(|| "all tenants".to_owned(), |tenant| format!("tenant {}", tenant.0))
        };
        let rules = task.rules.iter().map(|rule| {
            format!("{:?} {:?} of {} from before {}", rule.then, rule.class, tenant(rule.tenant), rule.until)
        });
        let persons = task
            .erasures
            .iter()
            .map(|erasure| format!("Erase {:?} from {}", erasure.number, tenant(erasure.tenant)));
        Self {
            at: now,
            by: task.by.clone(),
            reason: task.reason.clone(),
            asked: rules.chain(persons).collect(),
            holds: task.holds.len(),
            files: files.to_vec(),
        }
    }

    /// Writes it, durably; where, relative to the lake's directory.
    pub(super) fn write(&self, dir: &Path, generation: u64) -> Result<String, LakeError> {
        let folder = dir.join(FOLDER);
        fs::create_dir_all(&folder).at("create", &folder)?;
        layout::sync_dir(dir)?;
        let place = format!("{FOLDER}/g{generation:010}.json");
        let path = dir.join(&place);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| LakeError::Internal {
            problem: format!("a proof cannot be written: {error}"),
        })?;
        let mut file = File::create(&path).at("create", &path)?;
        file.write_all(&bytes).at("write", &path)?;
        file.sync_all().at("sync", &path)?;
        layout::sync_dir(&folder)?;
        Ok(place)
    }
}

fn digest(path: &Path) -> Result<String, LakeError> {
    let mut file = File::open(path).at("open", path)?;
    let mut sum = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let n_read = file.read(&mut chunk).at("read", path)?;
        if n_read == 0 {
            return Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect());
        }
        sum.update(&chunk[..n_read]);
    }
}

/// The proofs there are, with the generations they go with.
pub(crate) fn found(dir: &Path) -> Result<Vec<(u64, PathBuf)>, LakeError> {
    let folder = dir.join(FOLDER);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).at("list", &folder)? {
        let path = entry.at("list", &folder)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let generation = name
            .strip_prefix('g')
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|name| name.parse().ok());
        found.extend(generation.map(|generation| (generation, path)));
    }
    found.sort();
    Ok(found)
}

/// Throws away proofs of commits that never were.
pub(crate) fn sweep(dir: &Path, generation: u64) -> Result<(), LakeError> {
    for (of, path) in found(dir)? {
        if of > generation {
            tracing::warn!(path = %path.display(), "the proof of a commit that was not made is deleted");
            layout::remove_if_there(&path)?;
        }
    }
    Ok(())
}

pub(super) fn all(dir: &Path) -> Result<Vec<Proof>, LakeError> {
    let read = |(_, path): (u64, PathBuf)| {
        let bytes = fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&bytes)
            .map_err(|error| LakeError::ManifestUnreadable { path, problem: error.to_string() })
    };
    found(dir)?.into_iter().map(read).collect()
}
