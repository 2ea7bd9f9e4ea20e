//! What proves that numbers were taken out: one JSON document for each commit, `proofs/g0000000042.json`, named by the generation of
//! the manifest that it goes with. In a bucket the name bears the opening of its writer as well, `g0000000042-5f3c....json`, and the
//! manifest names it: one that was taken for dead neither replaces a proof nor leaves one of what never was.

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
use crate::manifest::Manifest;
use crate::tree::Tree;

/// The folder of the proofs.
pub(crate) const PROOFS: &str = "proofs";
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
    pub(super) fn write(&self, tree: &Tree, generation: u64, opening: u64) -> Result<String, LakeError> {
        let name = match opening {
            0 => format!("g{generation:010}.json"),
            opening => format!("g{generation:010}-{opening:016x}.json"),
        };
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| LakeError::Internal {
            problem: format!("a proof cannot be written: {error}"),
        })?;
        tree.write_document(PROOFS, &name, bytes)?;
        Ok(format!("{PROOFS}/{name}"))
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

/// The generation that the name of a proof goes with, and the opening that wrote it: 0 where it bears none.
fn parsed(name: &str) -> Option<(u64, u64)> {
    let stem = name.strip_prefix('g')?.strip_suffix(".json")?;
    Some(match stem.split_once('-') {
        None => (stem.parse().ok()?, 0),
        Some((generation, opening)) => (generation.parse().ok()?, u64::from_str_radix(opening, 16).ok()?),
    })
}

/// Whether the commit that a proof goes with was made.
fn is_named(manifest: &Manifest, (generation, opening): (u64, u64)) -> bool {
    match opening {
        0 => generation <= manifest.generation,
        opening => manifest.proofs.get(&opening).is_some_and(|made| made.contains(&generation)),
    }
}

/// The proofs among `names` of commits that were never made.
pub(crate) fn unnamed<'a>(names: &'a [String], manifest: &'a Manifest) -> impl Iterator<Item = &'a String> {
    names.iter().filter(|name| parsed(name).is_some_and(|of| !is_named(manifest, of)))
}

/// Throws away proofs of commits that never were, of this opening alone: those of others may be of one who writes now.
pub(crate) fn sweep(tree: &Tree, manifest: &Manifest) -> Result<(), LakeError> {
    let names = tree.documents(PROOFS)?;
    for name in unnamed(&names, manifest) {
        if parsed(name).is_some_and(|(_, opening)| opening == manifest.opening) {
            tracing::warn!(name, "the proof of a commit that was not made is deleted");
            tree.remove_document(PROOFS, name)?;
        }
    }
    Ok(())
}

pub(super) fn all(tree: &Tree) -> Result<Vec<Proof>, LakeError> {
    let mut found: Vec<(u64, u64, String)> = tree
        .documents(PROOFS)?
        .into_iter()
        .filter_map(|name| parsed(&name).map(|(generation, opening)| (generation, opening, name)))
        .collect();
    if found.iter().any(|(_, opening, _)| *opening != 0) {
        let manifest = tree.current()?;
        found.retain(|(generation, opening, _)| is_named(&manifest, (*generation, *opening)));
    }
    found.sort();
    let read = |(_, _, name): (u64, u64, String)| {
        let bytes = tree.read_document(PROOFS, &name)?;
        serde_json::from_slice(&bytes).map_err(|error| LakeError::ManifestUnreadable {
            path: tree.place().join(PROOFS).join(name),
            problem: error.to_string(),
        })
    };
    found.into_iter().map(read).collect()
}
