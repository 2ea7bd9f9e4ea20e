//! `tollbook user`: who may sign in to the console.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;

use crate::cli::UserAction;
use crate::clock::Clock;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};

/// Shorter passwords are refused.
const PASSWORD_LETTERS_MIN: usize = 12;

/// Adds a user.
pub(crate) async fn user(config: &Config, action: UserAction) -> anyhow::Result<()> {
    let UserAction::Add { name, role } = action;
    let role = role_named(&role)?;
    let mut password = String::new();
    if std::io::stdin().is_terminal() {
        // It is seen while it is typed; a pipe keeps it off the screen.
        print!("password of {name} (at least {PASSWORD_LETTERS_MIN} characters): ");
        std::io::stdout().flush().context("ask for the password")?;
    }
    std::io::stdin().lock().read_line(&mut password).context("read the password from standard input")?;
    let password = password.trim_end_matches(['\r', '\n']);
    if password.chars().count() < PASSWORD_LETTERS_MIN {
        return Err(UserError::new(
            format!("the password has fewer than {PASSWORD_LETTERS_MIN} characters"),
            "pass a longer one on standard input",
        )
        .into());
    }
    let store = open_store(config).await?;
    store
        .user_create(&name, &web::hash_password(password)?, role.as_str(), Clock::start().utc())
        .await
        .map_err(of_store)?;
    println!("{name} may sign in as {role}");
    Ok(())
}

/// The role of this name.
pub(crate) fn role_named(name: &str) -> Result<web::Role, UserError> {
    name.parse().map_err(|why: web::UnknownRole| UserError::new(format!("--role: {why}"), ""))
}
