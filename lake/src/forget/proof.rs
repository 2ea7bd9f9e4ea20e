//! What proves that numbers were taken out: one JSON document for each commit, `proofs/g0000000042.json`, named by the generation of
//! the manifest that it goes with.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Task;
use crate::LakeError;
use crate::error::IoContext;
use crate::layout::Spot;
use crate::tree::Tree;

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
    pub(super) fn before(path: &Path, spot: &Spot, rows: u64) -> Result<Self, LakeError> {
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
    pub(super) fn write(&self, tree: &Tree, generation: u64) -> Result<String, LakeError> {
        let name = format!("g{generation:010}.json");
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| LakeError::Internal {
            problem: format!("a proof cannot be written: {error}"),
        })?;
        tree.write_document(FOLDER, &name, bytes)?;
        Ok(format!("{FOLDER}/{name}"))
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

/// The proofs among the names in their folder, with the generations they go with.
fn found(names: Vec<String>) -> Vec<(u64, String)> {
    let mut found: Vec<(u64, String)> = names
        .into_iter()
        .filter_map(|name| {
            let generation = name.strip_prefix('g')?.strip_suffix(".json")?.parse().ok()?;
            Some((generation, name))
        })
        .collect();
    found.sort();
    found
}

/// Throws away proofs of commits that never were.
pub(crate) fn sweep(tree: &Tree, generation: u64) -> Result<(), LakeError> {
    for (_, name) in found(tree.documents(FOLDER)?).into_iter().filter(|(of, _)| *of > generation) {
        tracing::warn!(name, "the proof of a commit that was not made is deleted");
        tree.remove_document(FOLDER, &name)?;
    }
    Ok(())
}

pub(super) fn all(tree: &Tree) -> Result<Vec<Proof>, LakeError> {
    let read = |(_, name): (u64, String)| {
        let bytes = tree.read_document(FOLDER, &name)?;
        serde_json::from_slice(&bytes).map_err(|error| LakeError::ManifestUnreadable {
            path: tree.place().join(FOLDER).join(name),
            problem: error.to_string(),
        })
    };
    found(tree.documents(FOLDER)?).into_iter().map(read).collect()
}
