//! Turns waiting calls into files: plan in the database, write, then mark as written.
//!
//! The plan fixes sequence, name and rows in one transaction; a crash before the file is marked writes the same bytes under
//! the same name again. So there is no gap, no double, and a partner never sees half a file.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use exports::{ExportConfig, ExportsError, FileSpec, Owner, Rendered};
use model::{Directory, RatedCdr};
use store::Store;
use tracing::{error, info, warn};

/// A file that is there for its owner to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) owner: Owner,
    pub(crate) path: PathBuf,
    pub(crate) n_rows: usize,
}

/// In the export directory; held by the process that closes files.
const LOCK: &str = ".lock";

/// Finishes what a crash left planned, then closes a file for every owner with calls waiting. One process does so at a time:
/// another waits, and then finds what is left. An owner whose file cannot be written does not keep the others from theirs.
pub(crate) async fn close_all(
    store: &Store,
    directory: &Directory,
    config: &ExportConfig,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Written>> {
    let dir = config.dir.clone();
    let _alone = tokio::task::spawn_blocking(move || lock(&dir)).await??;
    let mut written = Vec::new();
    let mut failed: Option<anyhow::Error> = None;
    // Numbers are written in their order: whoever has one unwritten gets no further.
    let mut stuck = BTreeSet::new();
    for file in store.export_unfinished().await? {
        let owner = file.owner.clone();
        if stuck.contains(&owner) {
            continue;
        }
        match write(store, directory, config, file).await {
            Ok(done) => written.push(done),
            Err(why) => {
                stuck.insert(owner);
                note(&mut failed, why);
            }
        }
    }
    for name in store.export_owners_pending().await? {
        if stuck.contains(&name) {
            continue;
        }
        if let Err(why) = close_for(&name, store, directory, config, now, &mut written).await {
            note(&mut failed, why);
        }
    }
    match failed {
        None => Ok(written),
        Some(why) => Err(why),
    }
}

/// The first failure is the answer; all are logged.
fn note(first: &mut Option<anyhow::Error>, why: anyhow::Error) {
    error!(error = format!("{why:#}"), "an export file could not be written");
    first.get_or_insert(why);
}

fn lock(dir: &Path) -> anyhow::Result<File> {
    let doing = || format!("lock the export directory {}", dir.display());
    std::fs::create_dir_all(dir).with_context(doing)?;
    let file =
        File::options().create(true).write(true).truncate(false).open(dir.join(LOCK)).with_context(doing)?;
    // Given back when the file is closed, also by a crash.
    file.lock().with_context(doing)?;
    Ok(file)
}

async fn close_for(
    name: &str,
    store: &Store,
    directory: &Directory,
    config: &ExportConfig,
    now: DateTime<Utc>,
    written: &mut Vec<Written>,
) -> anyhow::Result<()> {
    let owner: Owner = name.parse()?;
    let named = |sequence| {
        let spec = FileSpec { owner, sequence, created_at: now, config: config.clone() };
        exports::render(&spec, &[], directory).name
    };
    while let Some(file) = store.export_plan(name, config.max_rows_per_file, now, named).await? {
        written.push(write(store, directory, config, file).await?);
    }
    Ok(())
}

async fn write(
    store: &Store,
    directory: &Directory,
    config: &ExportConfig,
    file: store::ExportFile,
) -> anyhow::Result<Written> {
    let doing = || format!("write the export file {}", file.name);
    let owner: Owner = file.owner.parse()?;
    let mut rows: Vec<RatedCdr> = Vec::new();
    for payload in store.export_rows(file.id).await? {
        rows.push(model::wire::decode_rated(&payload).with_context(doing)?);
    }
    let spec =
        FileSpec { owner, sequence: file.sequence, created_at: file.created_at, config: config.clone() };
    let mut rendered = exports::render(&spec, &rows, directory);
    // The name is the planned one, whatever an account has been renamed to since.
    rendered.name.clone_from(&file.name);
    let dir = config.dir.clone();
    let (path, n_bytes, md5) =
        tokio::task::spawn_blocking(move || publish(&dir, &rendered)).await?.with_context(doing)?;
    store.export_written(file.id, n_bytes, &md5).await?;
    info!(%owner, file = file.name, rows = rows.len(), "export file written");
    Ok(Written { owner, path, n_rows: rows.len() })
}

/// Writes the file, unless a crash came after it was published: then it is there, whole, and perhaps fetched. It stays as it is even
/// when the format has been configured anew since, or the account renamed.
fn publish(dir: &Path, rendered: &Rendered) -> anyhow::Result<(PathBuf, u64, String)> {
    match exports::write_file(dir, rendered) {
        Ok(path) => Ok((path, rendered.bytes.len() as u64, rendered.md5.clone())),
        Err(ExportsError::Differs { path }) => {
            let bytes = std::fs::read(&path)?;
            match exports::verify(&bytes) {
                Ok(found) if found.rows == rendered.rows as u64 => {
                    warn!(file = %path.display(), "published before a crash, and left as it was then");
                    Ok((path, bytes.len() as u64, found.md5))
                }
                Ok(_) | Err(_) => Err(ExportsError::Differs { path }.into()),
            }
        }
        Err(why) => Err(why.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str, rows: usize) -> Rendered {
        Rendered { name: "system/1.cdr".to_owned(), bytes: text.into(), rows, md5: md5_of(text) }
    }

    fn md5_of(text: &str) -> String {
        use md5::Digest as _;
        hex::encode(md5::Md5::digest(text))
    }

    /// A file of the format with one record.
    fn whole(record: &str) -> String {
        let body = format!("007,0001\n{record}\n");
        let md5 = md5_of(&body);
        format!("{body}{md5}\n")
    }

    #[test]
    fn file_published_before_a_crash_is_left_as_it_was_when_the_format_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ..) = publish(dir.path(), &rendered(&whole("'a','b'"), 1)).unwrap();
        let (again, n_bytes, _) = publish(dir.path(), &rendered(&whole("a;b"), 1)).unwrap();
        assert_eq!((again, n_bytes), (path.clone(), whole("'a','b'").len() as u64));
        assert_eq!(std::fs::read_to_string(path).unwrap(), whole("'a','b'"));
    }

    #[test]
    fn file_of_other_calls_under_the_planned_name_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        publish(dir.path(), &rendered(&whole("'a','b'"), 1)).unwrap();
        let refused = publish(dir.path(), &rendered(&whole("a;b"), 2)).unwrap_err();
        assert!(refused.to_string().contains("other contents"), "{refused}");
    }

    #[tokio::test]
    async fn owner_whose_file_cannot_be_written_does_not_keep_the_others_from_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("tollbook.db").display());
        let store = Store::open(&url).await.unwrap();
        let config = ExportConfig { dir: dir.path().join("exports"), ..ExportConfig::default() };
        let now = DateTime::UNIX_EPOCH;
        // Neither owner's call can be read; what counts is that the second is tried too.
        let mut commit = store::LaneCommit {
            partition: 0,
            expected: 0,
            position: 1,
            watermarks: Vec::new(),
            changes: Vec::new(),
            effects: Vec::new(),
        };
        for owner in ["carrier:7", "system"] {
            commit.effects.push(store::StoreEffect::Export {
                owner: owner.to_owned(),
                cdr: model::CdrId::from_bytes([1; 16]),
                revision: 0,
                payload: vec![0xff],
            });
        }
        store.commit("exports", vec![commit]).await.unwrap();
        let directory = store.directory().await.unwrap();
        let failed = close_all(&store, &directory, &config, now).await.unwrap_err();
        assert!(format!("{failed:#}").contains("carrier"), "{failed:#}");
        let planned = store.export_unfinished().await.unwrap();
        let owners: Vec<&str> = planned.iter().map(|file| file.owner.as_str()).collect();
        assert_eq!(owners, ["carrier:7", "system"], "each got as far as its own file");
        // Tried again, no further number is taken.
        close_all(&store, &directory, &config, now).await.unwrap_err();
        assert_eq!(store.export_unfinished().await.unwrap(), planned);
    }
}
