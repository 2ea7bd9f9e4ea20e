//! What people call accounts: by handle, as `tenant:handle` where several tenants have an account of that handle.

use std::collections::HashMap;

use model::{Account, AccountId, Directory, TenantId};

use crate::refusal::Refusal;

/// The account of this name.
///
/// # Errors
///
/// [`Refusal::NotFound`]; [`Refusal::Conflict`] where it may be one of several, with their names.
pub(crate) fn account_of<'d>(directory: &'d Directory, name: &str) -> Result<&'d Account, Refusal> {
    match directory.accounts_named(name).as_slice() {
        [account] => Ok(account),
        [] => Err(Refusal::NotFound(format!("there is no account {name:?}"))),
        several => {
            let names: Vec<String> = several.iter().map(|account| directory.name_of(account.id)).collect();
            let choice = names.join(" or ");
            Err(Refusal::Conflict(format!("several tenants have an account {name:?}: say {choice}")))
        }
    }
}

/// The same; its id.
pub(crate) fn account_named(directory: &Directory, name: &str) -> Result<AccountId, Refusal> {
    account_of(directory, name).map(|account| account.id)
}

/// The names of all accounts.
pub(crate) fn names(directory: &Directory) -> Vec<String> {
    let mut n_of: HashMap<&str, usize> = HashMap::new();
    for account in &directory.accounts {
        *n_of.entry(&account.handle).or_default() += 1;
    }
    let tenants: HashMap<TenantId, &str> =
        directory.tenants.iter().map(|tenant| (tenant.id, tenant.handle.as_str())).collect();
    let is_only = |account: &Account| n_of.get(account.handle.as_str()) == Some(&1);
    let name = |account: &Account| match tenants.get(&account.tenant) {
        Some(tenant) if !is_only(account) => format!("{tenant}:{}", account.handle),
        Some(_) | None => account.handle.clone(),
    };
    directory.accounts.iter().map(name).collect()
}

/// Accounts behind a place of a list by handle, in their order.
pub(crate) fn behind<'d>(
    accounts: impl Iterator<Item = &'d Account>,
    place: &str,
) -> impl Iterator<Item = &'d Account> {
    let (handle, id) = match place.split_once(':') {
        Some((handle, id)) => (handle, id.parse().unwrap_or(i64::MAX)),
        None => (place, i64::MAX),
    };
    let mut found: Vec<&Account> =
        accounts.filter(|account| (account.handle.as_str(), account.id.0) > (handle, id)).collect();
    found.sort_unstable_by(|a, b| (&a.handle, a.id).cmp(&(&b.handle, b.id)));
    found.into_iter()
}

/// The place of an account in such a list: its handle, with its id where there are several of that handle.
pub(crate) fn place_of(directory: &Directory, account: &Account) -> String {
    match directory.accounts_named(&account.handle).len() {
        0 | 1 => account.handle.clone(),
        _ => format!("{}:{}", account.handle, account.id),
    }
}
