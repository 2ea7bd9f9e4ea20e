//! Whose file it is, and the directory its files are in.
//!
//! An owner's directory is also the root of its SFTP account, so two owners never share one.

use std::fmt;
use std::str::FromStr;

use model::{Account, AccountId, AccountKind, Directory};

/// Whose file it is. As text, in [`model::Effect::Export`] and as the key of a sequence: `system`, `reseller:7`,
/// `carrier:9`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The operator: every call, every level of cost.
    System,
    /// A reseller: the calls of its customers, with what these pay.
    Reseller(AccountId),
    /// A carrier: the calls over its trunks, with what it is owed.
    Carrier(AccountId),
}

/// A text that names no owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not an owner of CDR files; use system, reseller:ID or carrier:ID")]
pub struct UnknownOwner {
    /// As given.
    pub text: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Owner::System => f.write_str("system"),
            Owner::Reseller(id) => write!(f, "reseller:{id}"),
            Owner::Carrier(id) => write!(f, "carrier:{id}"),
        }
    }
}

impl FromStr for Owner {
    type Err = UnknownOwner;

    fn from_str(text: &str) -> Result<Self, UnknownOwner> {
        let unknown = || UnknownOwner { text: text.to_owned() };
        if text == "system" {
            return Ok(Owner::System);
        }
        let (kind, id) = text.split_once(':').ok_or_else(unknown)?;
        let id = AccountId(id.parse().map_err(|_| unknown())?);
        match kind {
            "reseller" => Ok(Owner::Reseller(id)),
            "carrier" => Ok(Owner::Carrier(id)),
            _ => Err(unknown()),
        }
    }
}

impl Owner {
    /// The account behind it; `None` for `system`.
    pub fn account(self) -> Option<AccountId> {
        match self {
            Owner::System => None,
            Owner::Reseller(id) | Owner::Carrier(id) => Some(id),
        }
    }
}

/// The owner's directory below the export directory: `system`, `resellers/acme`, `carriers/telco`. Without dates.
///
/// `/` in a handle becomes `_` and NUL is dropped, as in the reference. A handle is unique within one tenant only:
/// where an older account of another tenant has the same, the id is added (`acme_17`), for what is in the
/// directory is handed to whoever logs in as its owner.
pub fn owner_dir(owner: Owner, directory: &Directory) -> String {
    match owner {
        Owner::System => "system".to_owned(),
        Owner::Reseller(id) => format!("resellers/{}", account_dir(id, AccountKind::Reseller, directory)),
        Owner::Carrier(id) => format!("carriers/{}", account_dir(id, AccountKind::Carrier, directory)),
    }
}

fn account_dir(id: AccountId, kind: AccountKind, directory: &Directory) -> String {
    let Some(account) = directory.accounts.iter().find(|account| account.id == id) else {
        // Deleted since: a name of its own, which no handle can have.
        return format!("_{id}");
    };
    let name = plain(&account.handle);
    let is_taken = |other: &Account| other.kind == kind && other.id < id && plain(&other.handle) == name;
    if name.is_empty() || name.starts_with('.') || directory.accounts.iter().any(is_taken) {
        return format!("{}_{id}", name.trim_start_matches('.'));
    }
    name
}

fn plain(handle: &str) -> String {
    handle.chars().filter(|c| !c.is_control()).map(|c| if c == '/' { '_' } else { c }).collect()
}
