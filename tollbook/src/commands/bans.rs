//! `tollbook ban`: addresses and networks that people shut out of the switch.

use chrono::{DateTime, Utc};
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
            let network = canonical(&network)?;
            let until = match span {
                None => None,
                Some(span) => Some(end_of(now, span)?),
            };
            let author = COMMAND_LINE.to_owned();
            let ban = SourceBan { network: network.clone(), reason, author, since: now, until };
            store.ban_source(&ban).await.map_err(of_store)?;
            println!("requests from {network} are dropped; a running switch knows within a second");
        }
        BanAction::Remove { network } => {
            let network = canonical(&network)?;
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

/// The one form in which a network is kept, so that it is found again however it is written.
fn canonical(network: &str) -> Result<String, UserError> {
    switch::canonical_network(network).ok_or_else(|| {
        let what = if switch::is_network(network) { "everybody" } else { "no address or network" };
        let how = "write it like 192.0.2.7, 192.0.2.0/24 or 2001:db8::/48";
        UserError::new(format!("{network:?} is {what}"), how)
    })
}

fn end_of(now: DateTime<Utc>, span: Span) -> Result<DateTime<Utc>, UserError> {
    now.checked_add_signed(span.delta()).ok_or_else(|| {
        UserError::new(
            "that is longer than any calendar".to_owned(),
            "leave out --for to shut out until lifted by hand",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_is_kept_in_one_form_and_everybody_is_none() {
        assert_eq!(canonical("192.0.2.7/24").unwrap(), "192.0.2.0/24");
        assert!(canonical("0.0.0.0/0").unwrap_err().to_string().contains("everybody"));
        assert!(canonical("somebody").unwrap_err().to_string().contains("no address"));
    }
}
