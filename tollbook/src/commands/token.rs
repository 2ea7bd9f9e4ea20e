//! `tollbook token`: which programs may use the API, and until when.

use chrono::TimeDelta;

use crate::cli::TokenAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::print_table;
use crate::commands::user::role_named;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};

/// Makes, lists or takes back.
pub(crate) async fn token(config: &Config, action: TokenAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let now = Clock::start().utc();
    match action {
        TokenAction::Add { name, role, days } => {
            let role = role_named(&role)?;
            if role.is_outside() {
                return Err(UserError::new(
                    format!("programs of a {role} have no tokens"),
                    "make a user of it: tollbook user add NAME --role ROLE --account HANDLE",
                )
                .into());
            }
            let (token, hash) = web::new_api_token();
            let expires = now + TimeDelta::days(i64::from(days));
            store
                .api_token_create(&name, &hash, role.as_str(), expires, COMMAND_LINE, now)
                .await
                .map_err(of_store)?;
            println!("{token}");
            note(&format!(
                "{name} may use the API as {role} until {}; keep the token, it is not shown again. Send it as `Authorization: Bearer TOKEN`",
                expires.format("%F")
            ));
        }
        TokenAction::List => {
            let tokens = store.api_tokens().await?;
            print_table(
                &["name", "role", "since (UTC)", "until (UTC)", "state"],
                tokens.into_iter().map(|token| {
                    let state = match token.revoked_at {
                        Some(at) => format!("taken back {}", at.format("%F %T")),
                        None if token.expires_at <= now => "ended".to_owned(),
                        None => "in force".to_owned(),
                    };
                    vec![
                        token.name,
                        token.role,
                        token.created_at.format("%F %T").to_string(),
                        token.expires_at.format("%F %T").to_string(),
                        state,
                    ]
                }),
                "there are no tokens",
            );
        }
        TokenAction::Revoke { name } => {
            store.api_token_revoke(&name, COMMAND_LINE, now).await.map_err(of_store)?;
            println!("{name} opens nothing any more");
        }
    }
    Ok(())
}

/// Beside the token, not in what a script reads as the token.
#[expect(clippy::print_stderr, reason = "standard output is the token alone")]
fn note(text: &str) {
    eprintln!("{text}");
}
