//! `tollbook ban`: addresses and networks that people shut out of the switch.

use model::{SourceBan, Span};

use crate::cli::BanAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::print_table;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};

/// Shuts out, lets in again, or lists.
pub(crate) async fn ban(config: &Config, action: BanAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let now = Clock::start().utc();
    match action {
        BanAction::Add { network, span, reason } => {
            if !switch::is_network(&network) {
                return Err(UserError::new(
                    format!("{network:?} is no address or network"),
                    "write it like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48",
                )
                .into());
            }
            let until = span.and_then(|span: Span| now.checked_add_signed(span.delta()));
            let author = COMMAND_LINE.to_owned();
            let ban = SourceBan { network: network.clone(), reason, author, since: now, until };
            store.ban_source(&ban).await.map_err(of_store)?;
            println!("requests from {network} are dropped; a running switch knows within a second");
        }
        BanAction::Remove { network } => {
            store.unban_source(&network, COMMAND_LINE, now).await.map_err(of_store)?;
            println!("requests from {network} are looked at again; a running switch knows within a second");
        }
        BanAction::List => {
            let directory = store.directory().await?;
            let in_force =
                directory.source_bans.into_iter().filter(|ban| ban.until.is_none_or(|until| now < until));
            print_table(
                &["source", "by", "since (UTC)", "until (UTC)", "why"],
                in_force.map(|ban| {
                    let until = ban.until.map_or_else(
                        || "lifted by hand".to_owned(),
                        |until| until.format("%F %T").to_string(),
                    );
                    vec![ban.network, ban.author, ban.since.format("%F %T").to_string(), until, ban.reason]
                }),
                "nobody is shut out by hand",
            );
        }
    }
    Ok(())
}
