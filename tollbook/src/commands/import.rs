//! `tollbook import`: provisioning data from a world file, all of it or nothing.

use std::path::Path;

use crate::clock::Clock;
use crate::config::Config;
use crate::system::{of_store, open_store};
use crate::world_file;

/// Who is written into the audit log for changes made on the command line.
pub(crate) const COMMAND_LINE: &str = "command line";

/// Imports `file`, or only checks it.
pub(crate) async fn import(config: &Config, file: &Path, dry_run: bool) -> anyhow::Result<()> {
    let world = world_file::read(file)?;
    if dry_run {
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
    let report = store.import(&world, Clock::start().utc(), COMMAND_LINE).await.map_err(of_store)?;
    println!("{report}");
    Ok(())
}
