//! One module a command; each prints its own results. What several of them share is in here.

#![expect(clippy::print_stdout, reason = "printing is what commands do")]

pub(crate) mod audit;
mod audit_period;
pub(crate) mod backup;
pub(crate) mod balance;
pub(crate) mod bans;
pub(crate) mod call;
pub(crate) mod check_config;
pub(crate) mod demo;
pub(crate) mod edr;
pub(crate) mod explain;
pub(crate) mod export;
pub(crate) mod fraud;
mod fraud_backtest;
mod fraud_barrings;
mod fraud_cases;
mod fraud_lab;
mod fraud_rules;
mod fraud_to_log;
pub(crate) mod import;
pub(crate) mod import_cdrs;
pub(crate) mod import_fees;
pub(crate) mod import_ported;
pub(crate) mod init;
pub(crate) mod invoice;
mod invoice_reminders;
mod invoice_template;
pub(crate) mod lake;
pub(crate) mod mail;
mod mail_template;
pub(crate) mod rate;
pub(crate) mod replay;
pub(crate) mod rerate;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod simulate;
pub(crate) mod sql;
mod sql_prompt;
pub(crate) mod suspense;
mod suspense_desk;
pub(crate) mod token;
pub(crate) mod top_up;
pub(crate) mod trace;
pub(crate) mod user;
pub(crate) mod webhook;

use comfy_table::{ContentArrangement, Table, presets};
use model::{Account, Directory, Tenant};

use crate::failure::UserError;

/// Prints rows under `columns`, or `if_empty` when there are none.
fn print_table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>, if_empty: &str) {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns);
    let mut n_rows = 0;
    for row in rows {
        table.add_row(row);
        n_rows += 1;
    }
    if n_rows == 0 {
        println!("{if_empty}");
    } else {
        println!("{table}");
    }
}

/// The tenant of that handle, or the only one.
fn tenant_named<'a>(directory: &'a Directory, handle: Option<&str>) -> Result<&'a Tenant, UserError> {
    match (handle, directory.tenants.as_slice()) {
        (None, [only]) => Ok(only),
        (None, tenants) => {
            let known: Vec<_> = tenants.iter().map(|tenant| tenant.handle.as_str()).collect();
            Err(UserError::new("--tenant is missing", format!("there are {}", known.join(", "))))
        }
        (Some(handle), tenants) => tenants.iter().find(|tenant| tenant.handle == handle).ok_or_else(|| {
            UserError::new(format!("there is no tenant {handle:?}"), "see the imported world")
        }),
    }
}

/// The account of this name: a handle, or `tenant:handle` where several tenants have one. Nobody's money is moved by a guess.
fn account_named<'a>(directory: &'a Directory, name: &str) -> Result<&'a Account, UserError> {
    match directory.accounts_named(name).as_slice() {
        [account] => Ok(account),
        [] => {
            let tenants = || directory.tenants.iter().map(|tenant| tenant.handle.as_str());
            let (what, given, known): (_, _, Vec<&str>) = match name.split_once(':') {
                Some((tenant, _)) if tenants().all(|known| known != tenant) => {
                    ("tenant", tenant, tenants().collect())
                }
                _ => {
                    ("account", name, directory.accounts.iter().map(|known| known.handle.as_str()).collect())
                }
            };
            let remedy = nearest(given, known.into_iter()).map(|known| format!("did you mean {known}?"));
            Err(UserError::new(format!("there is no {what} {given:?}"), remedy.unwrap_or_default()))
        }
        several => {
            let names: Vec<String> = several.iter().map(|account| directory.name_of(account.id)).collect();
            let fault = format!("several tenants have an account {name:?}");
            Err(UserError::new(fault, format!("give {}", names.join(" or "))))
        }
    }
}

/// As [`account_named`], of the tenant that `--tenant` names, if it does.
fn account_of<'a>(
    directory: &'a Directory,
    tenant: Option<&str>,
    handle: &str,
) -> Result<&'a Account, UserError> {
    account_named(directory, &of_tenant(tenant.map(str::to_owned), handle.to_owned()))
}

/// `tenant:handle`, as [`account_named`] takes it, or the handle alone.
pub(crate) fn of_tenant(tenant: Option<String>, handle: String) -> String {
    match tenant {
        Some(tenant) => format!("{tenant}:{handle}"),
        None => handle,
    }
}

/// The word most like `given`, if one is like it: at most half of its letters differ.
fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|known| (strsim::damerau_levenshtein(given, known), known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 2)
        .map(|(_, known)| known)
}

#[cfg(test)]
pub(crate) use self::tests::directory_of;

#[cfg(test)]
mod tests {
    use model::AccountKind::{self, Customer};

    use super::*;

    /// Two tenants, and accounts by id, tenant, kind and handle.
    pub(crate) fn directory_of(tenants: [&str; 2], accounts: &[(i64, i64, AccountKind, &str)]) -> Directory {
        let contact = model::Contact::default();
        let tenant = |(id, handle): (i64, &str)| Tenant {
            id: model::TenantId(id),
            handle: handle.to_owned(),
            contact: contact.clone(),
            currency: model::Currency::EUR,
            timezone: chrono_tz::UTC,
        };
        let account = |(id, tenant, kind, handle): &(i64, i64, AccountKind, &str)| Account {
            id: model::AccountId(*id),
            tenant: model::TenantId(*tenant),
            kind: *kind,
            handle: (*handle).to_owned(),
            reseller: None,
            status: model::AccountStatus::Active,
            currency: model::Currency::EUR,
            timezone: chrono_tz::UTC,
            contact: contact.clone(),
            vat_percent: 0.into(),
            calls_max: None,
            fraud: model::FraudPolicy::default(),
            profiles: Vec::new(),
        };
        Directory {
            tenants: (1..).zip(tenants).map(tenant).collect(),
            accounts: accounts.iter().map(account).collect(),
            ..Directory::default()
        }
    }

    #[test]
    fn handle_of_several_tenants_is_never_guessed() {
        let accounts = [(5, 1, Customer, "hotel"), (6, 2, Customer, "hotel"), (7, 2, Customer, "garage")];
        let directory = directory_of(["vox", "alpine"], &accounts);
        let found = |tenant, handle| match account_of(&directory, tenant, handle) {
            Ok(account) => account.id.to_string(),
            Err(why) => why.to_string(),
        };
        assert_eq!(found(None, "garage"), "7");
        let why = "several tenants have an account \"hotel\"; give vox:hotel or alpine:hotel";
        assert_eq!(found(None, "hotel"), why);
        assert_eq!((found(Some("vox"), "hotel"), found(None, "alpine:hotel")), ("5".into(), "6".into()));
        assert_eq!(found(Some("vox"), "garage"), "there is no account \"vox:garage\"");
        assert_eq!(found(Some("voks"), "hotel"), "there is no tenant \"voks\"");
    }

    #[track_caller]
    fn check(given: &str, expected: Option<&str>) {
        assert_eq!(nearest(given, ["alpine", "hotel-seeblick", "kanzlei-brandt"].into_iter()), expected);
    }

    #[test]
    fn only_a_handle_that_is_like_the_given_one_is_suggested() {
        check("hotel-seblick", Some("hotel-seeblick"));
        check("seeblick", Some("hotel-seeblick"));
        check("aplien", Some("alpine"));
        check("zzz", None);
        check("meridian", None);
        check("", None);
    }
}
