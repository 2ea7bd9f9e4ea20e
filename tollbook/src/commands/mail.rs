//! `tollbook mail`: the outbox, with why each mail is not sent, and another try.

use store::{Mail, MailState};

use crate::cli::MailAction;
use crate::clock::Clock;
use crate::commands::print_table;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::open_store;

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
            let again = store.mail_again(id, Clock::start().utc()).await;
            again.map_err(|why| {
                if why.is_users() {
                    UserError::new(why.to_string(), "").into()
                } else {
                    anyhow::Error::from(why)
                }
            })?;
            println!("mail {id} is queued again");
            Ok(())
        }
    }
}
