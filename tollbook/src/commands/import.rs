//! `tollbook import`: provisioning data from a world file, all of it or nothing.

use std::path::Path;

use model::Directory;
use store::{ChangedAtDesk, StoreError};

use crate::clock::Clock;
use crate::commands::import_fees::catch_up;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};
use crate::world_file;

/// Who is written into the audit log for changes made on the command line.
pub(crate) const COMMAND_LINE: &str = "command line";

/// Imports `file`, or only checks it. What was changed at the desk since stays, unless told to `overwrite` it.
pub(crate) async fn import(
    config: &Config,
    file: &Path,
    dry_run: bool,
    overwrite: bool,
) -> anyhow::Result<()> {
    let mut world = world_file::read(file)?;
    let now = Clock::start().utc();
    if dry_run {
        let directory = if config.has_database() {
            open_store(config).await?.directory().await?
        } else {
            Directory::default()
        };
        world_file::fit(&mut world, &directory, now, file)?;
        println!(
            "{}: {} accounts, {} subscribers, {} trunks, {} routes, {} tariffs are in order; nothing was changed",
            file.display(),
            world.accounts.len(),
            world.subscribers.len(),
            world.trunks.len(),
            world.routes.len(),
            world.tariffs.len(),
        );
        return Ok(());
    }
    let store = open_store(config).await?;
    world_file::fit(&mut world, &store.directory().await?, now, file)?;
    let imported = store.import_beside_desk(&world, now, COMMAND_LINE, overwrite).await.map_err(|why| {
        // The rest is about the database, which names itself.
        let is_about_the_file = matches!(
            why,
            StoreError::UnknownReference { .. }
                | StoreError::Invalid { .. }
                | StoreError::VersionExists { .. }
        );
        if is_about_the_file {
            UserError::new(format!("{}: {why}", file.display()), "").into()
        } else {
            of_store(why)
        }
    })?;
    let report = imported.map_err(|of_desk| undoes(&of_desk, file))?;
    println!("{report}");
    if report.tariff_versions.added > 0 {
        catch_up(&store, now).await?;
    }
    Ok(())
}

/// Why a file is not imported that would undo changes of the desk.
fn undoes(of_desk: &[ChangedAtDesk], file: &Path) -> UserError {
    let Some(ChangedAtDesk { object, actor, at, before, .. }) = of_desk.first() else {
        return UserError::new(format!("{}: nothing was imported", file.display()), "");
    };
    let others = match of_desk.len() {
        1 => String::new(),
        n => format!(", as were {} other objects", n - 1),
    };
    let (kind, key) = object.split_once(':').unwrap_or(("object", object));
    let (what, remedy) = if before.is_empty() {
        ("was deleted", "take it out of the file, or import it with --overwrite")
    } else {
        ("is not as it was changed", "write the change into the file, or import it with --overwrite")
    };
    UserError::new(
        format!(
            "{}: {kind} {key:?} {what} at the desk by {actor} on {} UTC{others}; nothing was imported",
            file.display(),
            at.format("%F %T")
        ),
        remedy,
    )
}
