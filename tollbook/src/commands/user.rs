//! `tollbook user`: who may sign in to the console.

use std::io::{BufRead, IsTerminal, Write};

use anyhow::Context;
use model::TenantId;
use store::{NewUser, Store, StoreError};

use crate::cli::UserAction;
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::lake_duties;
use crate::system::{of_store, open_store};

/// Shorter passwords are refused.
const PASSWORD_LETTERS_MIN: usize = 12;

/// Adds a user, says where one is written to, or lists them.
pub(crate) async fn user(config: &Config, action: UserAction) -> anyhow::Result<()> {
    match action {
        UserAction::Add { name, role, account, mail, tenant } => {
            let held = HeldTo { account: account.as_deref(), tenant: tenant.as_deref() };
            add(config, &name, &role, mail.as_deref(), held).await
        }
        UserAction::Tenant { name, tenant } => {
            let store = open_store(config).await?;
            let held_to = match &tenant {
                Some(handle) => Some(tenant_named(&store, handle).await?),
                None => None,
            };
            store.user_set_tenant(&name, held_to).await.map_err(of_store)?;
            match tenant {
                Some(handle) => println!("{name} sees the rows of {handle} alone, in SQL alone"),
                None => println!("{name} sees the rows of every tenant"),
            }
            Ok(())
        }
        UserAction::Mail { name, address } => {
            let address = address.as_deref().map(checked_address).transpose()?;
            open_store(config).await?.user_set_mail(&name, address).await.map_err(of_store)?;
            match address {
                Some(address) => println!("{name} is written to at {address}"),
                None => println!("{name} is not written to"),
            }
            Ok(())
        }
        UserAction::Password { name } => {
            let store = open_store(config).await?;
            if store.user_by_name(&name).await?.is_none() {
                return Err(of_store(StoreError::NotFound { what: "user", name }));
            }
            let hash = web::hash_password(&password_for(&name)?)?;
            store
                .user_set_password(&name, &hash, COMMAND_LINE, Clock::start().utc())
                .await
                .map_err(of_store)?;
            println!("{name} has another password; all sessions of {name} have ended");
            Ok(())
        }
        UserAction::Remove { name } => {
            let store = open_store(config).await?;
            let tokens =
                store.user_shut_out(&name, COMMAND_LINE, Clock::start().utc()).await.map_err(of_store)?;
            println!("{name} is shut out; all sessions of {name} have ended");
            for token in tokens {
                println!("token {token:?}, which {name} made, opens nothing any more");
            }
            Ok(())
        }
        UserAction::ResetSecondFactor { name } => {
            let store = open_store(config).await?;
            let now = Clock::start().utc();
            store.second_factor_remove(&name, COMMAND_LINE, now).await.map_err(of_store)?;
            let user = store.user_by_name(&name).await?;
            let is_needed = user
                .is_some_and(|user| config.web.second_factor.iter().any(|role| role.as_str() == user.role));
            let then =
                if is_needed { "sets up another one at the next sign-in" } else { "signs in by password" };
            println!("{name} has no second factor any more, and {then}");
            Ok(())
        }
        UserAction::List => {
            let store = open_store(config).await?;
            let (users, directory) = (store.users().await?, store.directory().await?);
            let tenants = &directory.tenants;
            let handle =
                |id| tenants.iter().find(|tenant| tenant.id == id).map(|tenant| tenant.handle.clone());
            let rows = users.into_iter().map(|user| {
                let works = if web::may_work_on_cases(&user.role) { "yes" } else { "" };
                let tenant = user.tenant.and_then(handle).unwrap_or_default();
                let factor = user.second_factor_since.map(|at| at.format("since %F").to_string());
                let mail = user.mail.unwrap_or_default();
                let account = user.account.map(|account| directory.name_of(account)).unwrap_or_default();
                vec![
                    user.name,
                    user.role,
                    account,
                    tenant,
                    mail,
                    factor.unwrap_or_default(),
                    works.to_owned(),
                ]
            });
            let columns = ["name", "role", "account", "tenant", "mail", "second factor", "works on cases"];
            print_table(&columns, rows, "nobody may sign in");
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

/// The tenant of this handle.
async fn tenant_named(store: &Store, handle: &str) -> anyhow::Result<TenantId> {
    Ok(lake_duties::tenant_named(&store.directory().await?.tenants, handle)?)
}

/// What a new user is held to, by handle.
struct HeldTo<'a> {
    account: Option<&'a str>,
    tenant: Option<&'a str>,
}

async fn add(
    config: &Config,
    name: &str,
    role: &str,
    mail: Option<&str>,
    held: HeldTo<'_>,
) -> anyhow::Result<()> {
    let role = role_named(role)?;
    match held.account {
        None if role.is_outside() => {
            return Err(UserError::new(
                format!("a {role} sees one account alone, and none is named"),
                "name it with --account HANDLE",
            )
            .into());
        }
        Some(_) if !role.is_outside() => {
            let why = format!("--account is for the roles reseller and customer; a {role} sees them all");
            return Err(UserError::new(why, "leave it out").into());
        }
        None | Some(_) => {}
    }
    let mail = mail.map(checked_address).transpose()?;
    let password = password_for(name)?;
    let store = open_store(config).await?;
    let tenant = match held.tenant {
        Some(handle) => Some(tenant_named(&store, handle).await?),
        None => None,
    };
    let account = match held.account {
        Some(handle) => Some(account_named(&store.directory().await?, handle)?.id),
        None => None,
    };
    let hash = web::hash_password(&password)?;
    let new = NewUser { name, password_hash: &hash, role: role.as_str(), account, tenant, mail };
    store.user_let_in(new, COMMAND_LINE, Clock::start().utc()).await.map_err(of_store)?;
    println!("{name} may sign in as {role}");
    Ok(())
}

/// A password for `name`, from standard input.
fn password_for(name: &str) -> anyhow::Result<String> {
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
    Ok(password.to_owned())
}

/// The role of this name.
pub(crate) fn role_named(name: &str) -> Result<web::Role, UserError> {
    name.parse().map_err(|why: web::UnknownRole| UserError::new(format!("--role: {why}"), ""))
}
