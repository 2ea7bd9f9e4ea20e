//! Turns waiting calls into files: plan in the database, write, then mark as written.
//!
//! The plan fixes sequence, name and rows in one transaction; a crash before the file is marked writes the same bytes under
//! the same name again. So there is no gap, no double, and a partner never sees half a file.

use std::path::PathBuf;

use anyhow::Context;
use chrono::{DateTime, Utc};
use exports::{ExportConfig, FileSpec, Owner};
use model::{Directory, RatedCdr};
use store::Store;
use tracing::info;

/// A file that is there for its owner to fetch.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) owner: Owner,
    pub(crate) path: PathBuf,
    pub(crate) n_rows: usize,
}

/// Finishes what a crash left planned, then closes a file for every owner with calls waiting.
pub(crate) async fn close_all(
    store: &Store,
    directory: &Directory,
    config: &ExportConfig,
    now: DateTime<Utc>,
) -> anyhow::Result<Vec<Written>> {
    let mut written = Vec::new();
    for file in store.export_unfinished().await? {
        written.push(write(store, directory, config, file).await?);
    }
    for name in store.export_owners_pending().await? {
        let owner: Owner = name.parse()?;
        loop {
            let named = |sequence| {
                let spec = FileSpec { owner, sequence, created_at: now, config: config.clone() };
                exports::render(&spec, &[], directory).name
            };
            let Some(file) = store.export_plan(&name, config.max_rows_per_file, now, named).await? else {
                break;
            };
            written.push(write(store, directory, config, file).await?);
        }
    }
    Ok(written)
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
    let (path, rendered) = tokio::task::spawn_blocking(move || {
        exports::write_file(&dir, &rendered).map(|path| (path, rendered))
    })
    .await?
    .with_context(doing)?;
    store.export_written(file.id, rendered.bytes.len() as u64, &rendered.md5).await?;
    info!(%owner, file = rendered.name, rows = rendered.rows, "export file written");
    Ok(Written { owner, path, n_rows: rendered.rows })
}
