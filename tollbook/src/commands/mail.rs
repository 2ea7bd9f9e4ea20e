//! `tollbook mail`: the outbox, with why each mail is not sent, and another try; links to what was too large.

use chrono::{DateTime, Utc};
use store::{Mail, MailState, Store};

use crate::cli::MailAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{mail_template, print_table, tenant_named};
use crate::config::Config;
use crate::downloads::THE_HOUSE;
use crate::system::{of_store, open_store};

/// Lists, or queues again.
pub(crate) async fn mail(config: &Config, action: MailAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    match action {
        MailAction::List { failed, limit } => {
            let mails = store.mail_latest(limit).await?;
            let is_shown =
                |mail: &Mail| !failed || matches!(mail.state, MailState::Bounced | MailState::GivenUp);
            let rows = mails.into_iter().filter(is_shown).map(|mail| {
                vec![
                    mail.id.to_string(),
                    mail.created_at.format("%F %T").to_string(),
                    mail.mail.to.join(", "),
                    mail.mail.subject,
                    mail.state.as_str().to_owned(),
                    mail.attempts.to_string(),
                    mail.last_error,
                ]
            });
            print_table(
                &["id", "queued (UTC)", "to", "subject", "state", "attempts", "last error"],
                rows,
                "there are no such mails",
            );
            Ok(())
        }
        MailAction::Again { id } => {
            store.mail_again(id, Clock::start().utc()).await.map_err(of_store)?;
            println!("mail {id} is queued again");
            Ok(())
        }
        MailAction::Template(action) => mail_template::template(&store, action).await,
        MailAction::Links { limit } => links(&store, limit).await,
        MailAction::Revoke { link, all_of, of_house } => {
            let now = Clock::start().utc();
            if let Some(link) = link {
                store.download_revoke(link, COMMAND_LINE, now).await.map_err(of_store)?;
                println!("link {link} leads nowhere any more");
            } else {
                let (id, whose) = if of_house {
                    (THE_HOUSE, "the house".to_owned())
                } else {
                    let directory = store.directory().await?;
                    let tenant = tenant_named(&directory, all_of.as_deref())?;
                    (tenant.id, tenant.handle.clone())
                };
                let n_ended = store.download_revoke_all(id, rand::random(), COMMAND_LINE, now).await?;
                println!("{whose}: {n_ended} links lead nowhere any more; new ones have another key");
            }
            Ok(())
        }
    }
}

async fn links(store: &Store, limit: u32) -> anyhow::Result<()> {
    let time = |at: DateTime<Utc>| at.format("%F %T").to_string();
    let now = Clock::start().utc();
    let rows = store.download_links(limit).await?.into_iter().map(|link| {
        let state = match link.revoked_at {
            Some(at) => format!("revoked {}", time(at)),
            None if now >= link.expires_at => "over".to_owned(),
            None => "works".to_owned(),
        };
        vec![
            link.id.to_string(),
            link.mail.to_string(),
            link.name,
            link.n_bytes.to_string(),
            time(link.expires_at),
            state,
            link.n_fetched.to_string(),
            link.fetched_at.map(time).unwrap_or_default(),
        ]
    });
    print_table(
        &["link", "mail", "file", "bytes", "until (UTC)", "state", "fetched", "last (UTC)"],
        rows,
        "no mail was too large yet",
    );
    Ok(())
}
