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

/// Roles there are.
const ROLES: [&str; 4] = ["operator", "finance", "fraud", "auditor"];

/// Adds a user.
pub(crate) async fn user(config: &Config, action: UserAction) -> anyhow::Result<()> {
    let UserAction::Add { name, role } = action;
    if !ROLES.contains(&role.as_str()) {
        return Err(UserError::new(
            format!("--role: {role:?} is not a role"),
            format!("use one of {}", ROLES.join(", ")),
        )
        .into());
    }
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
        .user_create(&name, &web::hash_password(password)?, &role, Clock::start().utc())
        .await
        .map_err(of_store)?;
    println!("{name} may sign in as {role}");
    Ok(())
}
