//! `tollbook export`: close files now, list them, check one.

use std::path::Path;

use crate::cli::ExportAction;
use crate::clock::Clock;
use crate::commands::print_table;
use crate::config::Config;
use crate::directory::DirectoryFeed;
use crate::export_files;
use crate::failure::UserError;
use crate::system::open_store;

/// Files shown at once, for each owner.
const FILES_MAX: usize = 50;

/// Closes, lists or checks.
pub(crate) async fn export(config: &Config, action: ExportAction) -> anyhow::Result<()> {
    match action {
        ExportAction::Run => {
            let store = open_store(config).await?;
            let directory = DirectoryFeed::load(store.clone()).await?.current();
            let written =
                export_files::close_all(&store, &directory, &config.exports, Clock::start().utc()).await?;
            for file in &written {
                println!("{}  {} calls", file.path.display(), file.n_rows);
            }
            if written.is_empty() {
                println!("no calls are waiting for a file");
            }
            Ok(())
        }
        ExportAction::List => {
            let store = open_store(config).await?;
            let mut rows = Vec::new();
            for owner in store.export_owners().await? {
                for file in store.export_files(&owner).await?.into_iter().rev().take(FILES_MAX) {
                    let md5 = match &file.state {
                        store::ExportState::Written { md5, .. } => md5.clone(),
                        store::ExportState::Planned => "being written".to_owned(),
                    };
                    rows.push(vec![
                        file.owner,
                        file.sequence.to_string(),
                        file.n_rows.to_string(),
                        md5,
                        file.name,
                    ]);
                }
            }
            print_table(
                &["owner", "sequence", "calls", "md5", "file"],
                rows.into_iter(),
                "no file was written yet",
            );
            Ok(())
        }
        ExportAction::Verify { file } => verify(&file),
    }
}

fn verify(file: &Path) -> anyhow::Result<()> {
    let bytes = std::fs::read(file).map_err(|why| {
        UserError::new(format!("{}: {why}", file.display()), "name a CDR file that can be read")
    })?;
    match exports::verify(&bytes) {
        Ok(verified) => {
            println!("{}: in order, {} calls, md5 {}", file.display(), verified.rows, verified.md5);
            Ok(())
        }
        Err(why) => Err(UserError::new(
            format!("{}: {why}", file.display()),
            "if it stays so, ask its sender for another",
        )
        .into()),
    }
}
