//! `tollbook suspense`: what could not be processed, and what would have to change.

use crate::commands::fraud::handle_of;
use crate::commands::print_table;
use crate::config::Config;
use crate::system::open_store;

/// Lists the oldest open records.
pub(crate) async fn suspense(config: &Config, limit: u32) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let records = store.suspense_list(0, limit).await?;
    let directory = store.directory().await?;
    print_table(
        &["id", "since (UTC)", "account", "stage", "code", "try again", "call", "why"],
        records.iter().map(|record| {
            vec![
                record.id.to_string(),
                record.created_at.format("%F %T").to_string(),
                handle_of(&directory, record.suspended.account),
                record.stage.clone(),
                record.suspended.code.clone(),
                record.suspended.retry.to_string().replace('_', " "),
                record.suspended.cdr.map(|cdr| cdr.to_string()).unwrap_or_default(),
                record.suspended.message.clone(),
            ]
        }),
        "nothing is in suspense",
    );
    Ok(())
}
