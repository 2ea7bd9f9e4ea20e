//! `tollbook user`: who may sign in to the console.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;

use crate::cli::UserAction;
use crate::clock::Clock;
use crate::commands::print_table;
use crate::config::Config;
use crate::failure::UserError;
use crate::system::{of_store, open_store};

/// Shorter passwords are refused.
const PASSWORD_LETTERS_MIN: usize = 12;

/// Adds a user, says where one is written to, or lists them.
pub(crate) async fn user(config: &Config, action: UserAction) -> anyhow::Result<()> {
    match action {
        UserAction::Add { name, role, mail } => add(config, &name, &role, mail.as_deref()).await,
        UserAction::Mail { name, address } => {
            let address = address.as_deref().map(checked_address).transpose()?;
            open_store(config).await?.user_set_mail(&name, address).await.map_err(of_store)?;
            match address {
                Some(address) => println!("{name} is written to at {address}"),
                None => println!("{name} is not written to"),
            }
            Ok(())
        }
        UserAction::List => {
            let users = open_store(config).await?.users().await?;
            let rows = users.into_iter().map(|user| {
                let works = if web::may_work_on_cases(&user.role) { "yes" } else { "" };
                vec![user.name, user.role, user.mail.unwrap_or_default(), works.to_owned()]
            });
            print_table(&["name", "role", "mail", "works on cases"], rows, "nobody may sign in");
            Ok(())
        }
    }
}

/// A mail address, as far as can be told without writing to it.
fn checked_address(address: &str) -> Result<&str, UserError> {
    let is_address = address.split_once('@').is_some_and(|(who, host)| !who.is_empty() && !host.is_empty())
        && !address.chars().any(|c| c.is_whitespace() || c.is_control());
    if is_address {
        return Ok(address);
    }
    Err(UserError::new(format!("{address:?} is not a mail address"), "write it like \"ann@example.com\""))
}

async fn add(config: &Config, name: &str, role: &str, mail: Option<&str>) -> anyhow::Result<()> {
    let role = role_named(role)?;
    let mail = mail.map(checked_address).transpose()?;
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
        .user_create(name, &web::hash_password(password)?, role.as_str(), Clock::start().utc())
        .await
        .map_err(of_store)?;
    if mail.is_some() {
        store.user_set_mail(name, mail).await.map_err(of_store)?;
    }
    println!("{name} may sign in as {role}");
    Ok(())
}

/// The role of this name.
pub(crate) fn role_named(name: &str) -> Result<web::Role, UserError> {
    name.parse().map_err(|why: web::UnknownRole| UserError::new(format!("--role: {why}"), ""))
}
