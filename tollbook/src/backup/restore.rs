//! Makes an installation of a backup, elsewhere.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::{
    Backup, CONFIG, DATABASE, Database, FORMAT, KEYS, LAKE, LIST, config_text, files, log_copy, refused,
};
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};

/// Where to.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// A directory that is empty or does not exist.
    pub(crate) dir: PathBuf,
    /// An empty database, where the old one was on a server.
    pub(crate) store_url: Option<String>,
}

/// Reads a backup's list and compares every file with it.
///
/// # Errors
///
/// A [`UserError`]: no list, one of a later version, or files that are not what they were.
pub(crate) fn check(dir: &Path, mut say: impl FnMut(String)) -> anyhow::Result<Backup> {
    let list = dir.join(LIST);
    let text = std::fs::read(&list).map_err(|why| {
        if why.kind() == std::io::ErrorKind::NotFound {
            let remedy = "it is written last: name a backup that came to its end";
            return UserError::new(
                format!("{}: is missing, so this is no whole backup", list.display()),
                remedy,
            );
        }
        refused("read", &list, &why)
    })?;
    #[derive(serde::Deserialize)]
    struct FormatOnly {
        format: u32,
    }
    let unreadable = |why: serde_json::Error| {
        UserError::new(format!("{}: {why}", list.display()), "the file is damaged: take another backup")
    };
    let FormatOnly { format } = serde_json::from_slice(&text).map_err(unreadable)?;
    if format > FORMAT {
        let what = format!("{}: has format {format}, this version reads up to {FORMAT}", list.display());
        return Err(UserError::new(what, "use the version of tollbook that made it, or a later one").into());
    }
    let backup: Backup = serde_json::from_slice(&text).map_err(unreadable)?;
    // It names a file of the new installation too.
    let is_plain = matches!(
        backup.config.components().collect::<Vec<_>>()[..],
        [std::path::Component::Normal(name)] if name == backup.config.as_os_str()
    );
    let kept_as = Path::new(CONFIG).join(&backup.config);
    if !is_plain || !backup.files.iter().any(|file| file.path == kept_as) {
        let what = format!("{}: {} is no configuration of it", list.display(), backup.config.display());
        return Err(UserError::new(what, "the list was changed: take another copy of the backup").into());
    }
    say(format!("comparing {} files", backup.files.len()));
    let mut wrong = Vec::new();
    for file in &backup.files {
        let is_inside = file.path.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let found = if is_inside { files::kept(dir, file.path.clone()) } else { Err(outside(&file.path)) };
        match found {
            Ok(found) if found == *file => {}
            Ok(found) => wrong.push(format!(
                "{}: has {} bytes of other content than the {} that were written",
                file.path.display(),
                found.bytes,
                file.bytes
            )),
            Err(why) => wrong.push(why.to_string()),
        }
    }
    if let Some(first) = wrong.first() {
        let what = format!(
            "{}: {} of {} files are not what they were: {first}",
            dir.display(),
            wrong.len(),
            backup.files.len()
        );
        return Err(UserError::new(what, "take another backup, or another copy of this one").into());
    }
    Ok(backup)
}

fn outside(path: &Path) -> UserError {
    UserError::new(format!("{}: leads out of the backup", path.display()), "")
}

/// Makes the installation and returns its configuration file, which is written last.
///
/// # Errors
///
/// Those of [`check`]; a target that is not empty; what the file system and the database say. Then there is no configuration.
pub(crate) async fn restore(
    from: &Path,
    to: &Target,
    mut say: impl FnMut(String),
) -> anyhow::Result<PathBuf> {
    let store_url = url_of_target(from, to)?;
    let backup = check(from, &mut say)?;
    files::make_empty(&to.dir)?;
    let data = to.dir.join("data");
    let name = backup.config.clone();
    let configs = Path::new(CONFIG);
    for file in &backup.files {
        let mut parts = file.path.components();
        let part = parts.next().map(|part| part.as_os_str().to_owned()).unwrap_or_default();
        let rest = parts.as_path();
        let target = match part.to_str() {
            Some(CONFIG) if rest == name => continue,
            Some(CONFIG) => to.dir.join(rest),
            Some(KEYS) => data.join(rest),
            Some(DATABASE | super::LOG) => continue,
            Some(_) | None => data.join(&file.path),
        };
        copy_checked(&from.join(&file.path), &target, file)?;
    }
    say(format!("{} files copied", backup.files.len()));
    std::fs::create_dir_all(data.join(LAKE)).map_err(|why| refused("make", &data, &why))?;

    say("the database".to_owned());
    match backup.database {
        Database::Sqlite => {
            let file = Path::new(DATABASE).join("tollbook.db");
            let of_list = backup.files.iter().find(|kept| kept.path == file);
            let of_list = of_list.with_context(|| format!("{} is not in the list", file.display()))?;
            copy_checked(&from.join(&file), &data.join("tollbook.db"), of_list)?;
        }
        Database::Postgres => {
            let dump = from.join(DATABASE).join("postgres.dump");
            store::restore_postgres(&dump, &store_url).await.map_err(of_store)?;
        }
    }

    let original = from.join(configs).join(&name);
    let text = std::fs::read_to_string(&original).map_err(|why| refused("read", &original, &why))?;
    let moved = config_text::moved(&text, &store_url).context("change the configuration")?;
    // Nobody takes this for an installation before all of it is there.
    let fresh = to.dir.join(format!("{}.new", name.display()));
    write_config(&fresh, &moved, &original, backup.database == Database::Postgres)?;
    let config = Config::load(&fresh)?;
    let store = open_store(&config).await?;
    if config.bus.is_kafka() {
        // The brokers may have gone on since.
        store.step_over_numbers().await.map_err(of_store)?;
    }
    // And the old house may have sent and numbered more than the copy knows of.
    store.restore_hold(backup.at).await.map_err(of_store)?;
    store.close().await;
    if let Some(log) = &backup.log {
        if log.partitions != config.bus.embedded.partitions {
            anyhow::bail!(
                "the log of the backup has {} lanes, its configuration says {}",
                log.partitions,
                config.bus.embedded.partitions
            );
        }
        say(format!("the event log: {} records", log.n_records()));
        log_copy::restore(from, log, &config.bus_dir(), config.bus.embedded.clone())
            .await
            .context("make the event log")?;
    }
    let file = to.dir.join(&name);
    files::sync(&to.dir)?;
    std::fs::rename(&fresh, &file).map_err(|why| refused("write", &file, &why))?;
    files::sync(&to.dir)?;
    Ok(file)
}

/// Writes the configuration for those who could read the original; one with a new database's address, which may have a password in it,
/// for its user alone.
fn write_config(file: &Path, text: &str, original: &Path, is_secret: bool) -> Result<(), UserError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let unwritable = |why: std::io::Error| refused("write", file, &why);
    let mut made =
        std::fs::File::options().write(true).create_new(true).mode(0o600).open(file).map_err(unwritable)?;
    made.write_all(text.as_bytes()).map_err(unwritable)?;
    if is_secret {
        return Ok(());
    }
    let about = std::fs::metadata(original).map_err(|why| refused("look at", original, &why))?;
    made.set_permissions(about.permissions()).map_err(|why| refused("give rights to", file, &why))
}

/// Copies a file of the backup, which must still be what it was.
fn copy_checked(from: &Path, to: &Path, of_list: &super::Kept) -> Result<(), UserError> {
    let copied = files::copy(from, to, of_list.path.clone())?;
    if copied.as_ref() == Some(of_list) {
        return Ok(());
    }
    Err(UserError::new(
        format!("{}: changed while it was read", from.display()),
        "try again, with an empty directory",
    ))
}

/// For the configuration; a server is named by the user, since the old one may still be there.
fn url_of_target(from: &Path, to: &Target) -> anyhow::Result<String> {
    // Only to say early what is missing; the list itself is checked by [`check`].
    let is_server = from.join(DATABASE).join("postgres.dump").exists();
    match (&to.store_url, is_server) {
        (None, false) => Ok("sqlite".to_owned()),
        (Some(url), true) if url.starts_with("postgres://") || url.starts_with("postgresql://") => Ok(url.clone()),
        (Some(_), true) => Err(UserError::new(
            "--store: is no address of a PostgreSQL database",
            "write it like postgres://user@host/database",
        )
        .into()),
        (None, true) => Err(UserError::new(
            "--store is missing: the backup is of a PostgreSQL database",
            "name an empty one, such as postgres://user@host/database; with a password, in the variable TOLLBOOK_RESTORE_STORE",
        )
        .into()),
        (Some(_), false) => Err(UserError::new(
            "--store: the backup is of a SQLite database, which comes below the directory",
            "leave --store out",
        )
        .into()),
    }
}
