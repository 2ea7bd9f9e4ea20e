//! Makes a backup: the moment first, then the copying.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use bus::Bus;
use chrono::{DateTime, Utc};
use lake::{FrozenLake, Lake};
use model::Topic;
use store::{Snapshot, Store};

use super::named_files::named_files;
use super::{
    Backup, CONFIG, DATABASE, Database, FORMAT, HOST_KEY, KEYS, Kept, LAKE, LIST, LOG, LogSpans, files,
    log_copy, refused, trees,
};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_lake, of_store};

/// What is copied.
#[derive(Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) config: &'a Config,
    /// The file that it was read from.
    pub(crate) config_file: &'a Path,
    pub(crate) store: &'a Store,
    /// Absent before the first start.
    pub(crate) lake: Option<&'a Lake>,
    /// Absent where brokers have it.
    pub(crate) bus: Option<&'a dyn Bus>,
}

/// All of it as it was at one moment.
struct Moment {
    snapshot: Snapshot,
    lake: Option<FrozenLake>,
    /// By the folder they are of.
    files: Vec<(&'static str, PathBuf, Vec<PathBuf>)>,
    log: Option<LogSpans>,
}

/// Copies an installation into `dir`, which must be empty or not exist, and says what it is at. `now` is the moment's name.
///
/// # Errors
///
/// A [`UserError`] for what is wrong with the directory; what database, lake and log say. Then there is no list in `dir`.
pub(crate) async fn take(
    from: Sources<'_>,
    dir: &Path,
    now: DateTime<Utc>,
    mut say: impl FnMut(String),
) -> anyhow::Result<Backup> {
    files::make_empty(dir)?;
    for part in [CONFIG, DATABASE, LOG] {
        let path = dir.join(part);
        std::fs::create_dir(&path).map_err(|why| refused("make", &path, &why))?;
    }
    let moment = hold(from).await?;
    let mut kept = Vec::new();
    let mut unlike = Vec::new();

    say("the database".to_owned());
    let url = from.config.store_url();
    let database = if url.starts_with("sqlite://") { Database::Sqlite } else { Database::Postgres };
    let file = moment.snapshot.write_to(&dir.join(DATABASE), &url).await.map_err(of_store)?;
    let name = file.strip_prefix(dir).unwrap_or(&file).to_owned();
    kept.push(aside(dir, move |dir| files::kept(dir, name)).await?);

    if let Some((bus, spans)) = from.bus.zip(moment.log.as_ref()) {
        for (topic, span) in Topic::ALL.iter().zip(&spans.topics) {
            let n_records: u64 = span.lanes.iter().map(|(first, end)| end - first).sum();
            say(format!("the event log, topic {topic}: {n_records} records"));
            let name = log_copy::file_of(*topic);
            log_copy::write(bus, *topic, span, &dir.join(&name)).await.context("copy the event log")?;
            kept.push(aside(dir, move |dir| files::kept(dir, name)).await?);
        }
    }
    if let Some(lake) = moment.lake {
        say(format!("the lake: {} files", lake.files().len()));
        let listed = lake.files().to_vec();
        let root = lake.dir().to_owned();
        kept.extend(copy_all(LAKE, root, listed, dir, true).await?.0);
        // Not before: the names that are copied end with it.
        drop(lake);
    }
    for (part, root, listed) in moment.files {
        if !listed.is_empty() {
            say(format!("{part}: {} files", listed.len()));
            // A partner may delete one meanwhile, or write on in it.
            let (copied, changed) = copy_all(part, root, listed, dir, false).await?;
            kept.extend(copied);
            unlike.extend(changed);
        }
    }
    say("configuration and keys".to_owned());
    let (config, left_out) = copy_config(from, dir, &mut kept).await?;
    let backup = Backup {
        format: FORMAT,
        program: env!("CARGO_PKG_VERSION").to_owned(),
        at: now,
        config,
        database,
        log: moment.log,
        left_out,
        unlike,
        files: kept,
    };
    write_list(dir, &backup)?;
    Ok(backup)
}

/// The order is explained in [`super`].
async fn hold(from: Sources<'_>) -> anyhow::Result<Moment> {
    // What takes long is done before; within the moment only what is new since is.
    let lake = from.lake.cloned();
    let lake = beside(move || lake.as_ref().map(Lake::freeze).transpose().map_err(of_lake)).await?;
    let roots = trees(from.config).map(|(part, root)| (part, root.to_owned()));
    let again = roots.clone();
    // Read once, the folders are at hand.
    beside(move || list_all(again)).await?;

    let mut held = from.store.hold().await.map_err(of_store)?;
    let moment = async {
        let snapshot = held.snapshot().await.map_err(of_store)?;
        let files = beside(move || list_all(roots)).await?;
        let lake = beside(move || lake.map(FrozenLake::catch_up).transpose().map_err(of_lake)).await?;
        let log = match from.bus {
            Some(bus) => Some(log_copy::spans(bus).await?),
            None => None,
        };
        anyhow::Ok(Moment { snapshot, lake, files, log })
    };
    // Who cannot say that he lives for longer is replaced.
    let held_max = from.config.pipeline.takeover / 2;
    let moment = tokio::time::timeout(held_max, moment).await;
    held.release().await.map_err(of_store)?;
    moment.unwrap_or_else(|_| {
        let what = format!("the moment took longer than {held_max:?}, half of pipeline.takeover; all went on without a backup");
        let remedy = "try again, with an empty directory, when less is going on; have lake.dir on a file system with hard links";
        Err(UserError::new(what, remedy).into())
    })
}

/// The files of each folder.
fn list_all(
    roots: [(&'static str, PathBuf); 4],
) -> anyhow::Result<Vec<(&'static str, PathBuf, Vec<PathBuf>)>> {
    let list = |(part, root): (&'static str, PathBuf)| {
        let files = files::list(&root)?;
        Ok((part, root, files))
    };
    roots.into_iter().map(list).collect()
}

/// Does what blocks on a thread of its own.
async fn beside<T: Send + 'static>(
    work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("look at the files")?
}

/// Copies the files of one folder; a missing one is an error if `all` must be there. The second value names those that are gone or were
/// changed while they were copied.
async fn copy_all(
    part: &'static str,
    root: PathBuf,
    listed: Vec<PathBuf>,
    dir: &Path,
    all: bool,
) -> Result<(Vec<Kept>, Vec<PathBuf>), UserError> {
    aside(dir, move |dir| {
        let mut kept = Vec::with_capacity(listed.len());
        let mut unlike = Vec::new();
        for file in listed {
            let (from, path) = (root.join(&file), Path::new(part).join(&file));
            let before = stamp(&from);
            match files::copy(&from, &dir.join(&path), path)? {
                Some(copied) => kept.push(copied),
                None if all => {
                    return Err(refused("read", &from, &std::io::ErrorKind::NotFound.into()));
                }
                None => {}
            }
            if !all && (before.is_none() || before != stamp(&from)) {
                unlike.push(from);
            }
        }
        Ok((kept, unlike))
    })
    .await
}

/// By which a file that was written to is told; `None` for one that is gone.
fn stamp(file: &Path) -> Option<(u64, SystemTime)> {
    let about = std::fs::metadata(file).ok()?;
    Some((about.len(), about.modified().ok()?))
}

/// The configuration, what it names, and the SFTP server's key. Returns the configuration's name, and what is not copied.
async fn copy_config(
    from: Sources<'_>,
    dir: &Path,
    kept: &mut Vec<Kept>,
) -> Result<(PathBuf, Vec<PathBuf>), UserError> {
    let name = PathBuf::from(from.config_file.file_name().unwrap_or_default());
    let base = from.config_file.parent().unwrap_or(Path::new(".")).to_owned();
    let (mut inside, mut left_out) = named_files(from.config, &base);
    inside.retain(|file| *file != name);
    let missing = |file: &PathBuf| !base.join(file).is_file();
    left_out.extend(inside.extract_if(.., |file| missing(file)).map(|file| base.join(file)));
    inside.insert(0, name.clone());
    kept.extend(copy_all(CONFIG, base, inside, dir, true).await?.0);
    let host_key = from.config.sftp.server.host_key.clone();
    if let (Some(folder), Some(file)) = (host_key.parent(), host_key.file_name()) {
        let folder = folder.to_owned();
        let from_file = folder.join(file);
        let copied = aside(dir, move |dir| {
            let path = Path::new(KEYS).join(HOST_KEY);
            files::copy(&from_file, &dir.join(&path), path)
        });
        // There is none before the first start.
        kept.extend(copied.await?);
    }
    Ok((name, left_out))
}

/// The list last, and only when all else is on the disk.
fn write_list(dir: &Path, backup: &Backup) -> anyhow::Result<()> {
    files::sync(dir)?;
    let fresh = dir.join("backup.json.new");
    let text = serde_json::to_vec_pretty(backup).context("write the list of the backup")?;
    std::fs::write(&fresh, text).map_err(|why| refused("write", &fresh, &why))?;
    files::sync(dir)?;
    let list = dir.join(LIST);
    std::fs::rename(&fresh, &list).map_err(|why| refused("write", &list, &why))?;
    files::sync(dir)?;
    Ok(())
}

/// Does `work` in `dir` on a thread on which that may take its time.
async fn aside<T: Send + 'static>(
    dir: &Path,
    work: impl FnOnce(&Path) -> Result<T, UserError> + Send + 'static,
) -> Result<T, UserError> {
    let dir = dir.to_owned();
    let done = tokio::task::spawn_blocking(move || work(&dir)).await;
    done.unwrap_or_else(|why| Err(UserError::new(format!("copying ended badly: {why}"), "")))
}
