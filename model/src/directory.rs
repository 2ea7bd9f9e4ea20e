//! The snapshot of provisioning data that a switch or a stage works from.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{
    Account, AccountId, Barring, BillingNetwork, CallingRules, ContractTerms, E164, ExchangeRate,
    FraudException, FraudRule, KillOrder, Lock, Package, PortedNumber, ProfileLimits, RouteId, SourceBan,
    SubscriberId, TariffVersion, Tenant, TenantId, TenantPackage, TrunkId,
};

named_enum! {
    /// SIP transports.
    Transport {
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// TLS over TCP.
        Tls = "tls",
    }
}

/// Everything provisioned, at one revision. Engines build their own look-up tables from it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Directory {
    /// Counts up with every change.
    pub revision: i64,
    /// Tenants.
    pub tenants: Vec<Tenant>,
    /// Accounts.
    pub accounts: Vec<Account>,
    /// Subscribers.
    pub subscribers: Vec<Subscriber>,
    /// Who owns which number, from when to when.
    pub numbers: Vec<NumberOwner>,
    /// Trunks.
    pub trunks: Vec<Trunk>,
    /// Outbound routes.
    pub routes: Vec<Route>,
    /// The lock of each account that was ever locked; a lifted one has level `none` and the time of its lifting.
    pub locks: Vec<Lock>,
    /// Ranges of numbers that somebody may not call; those whose time is over are left out.
    #[serde(default)]
    pub barrings: Vec<Barring>,
    /// Tariff versions.
    pub tariffs: Vec<TariffVersion>,
    /// Spend limits by profile, for accounts without their own.
    #[serde(default)]
    pub profile_limits: Vec<ProfileLimits>,
    /// Networks that profiles may be bound to.
    #[serde(default)]
    pub networks: Vec<BillingNetwork>,
    /// What currencies are worth, by time.
    #[serde(default)]
    pub exchange_rates: Vec<ExchangeRate>,
    /// Numbers that another carrier serves than their prefix says.
    #[serde(default)]
    pub ported_numbers: Vec<PortedNumber>,
    /// What the switch alone asks about all of these.
    #[serde(default)]
    pub calling: CallingRules,
    /// Profile packages.
    #[serde(default)]
    pub packages: Vec<TenantPackage>,
    /// Accounts whose balance is kept.
    #[serde(default)]
    pub contracts: BTreeMap<AccountId, ContractTerms>,
    /// Rules of the watch that people saved, the newest version of each.
    #[serde(default)]
    pub fraud_rules: Vec<FraudRule>,
    /// Accounts that rules leave alone.
    #[serde(default)]
    pub fraud_exceptions: Vec<FraudException>,
    /// The latest orders to end calls, oldest first.
    #[serde(default)]
    pub kill_orders: Vec<KillOrder>,
    /// Sources that people shut out of the switch.
    #[serde(default)]
    pub source_bans: Vec<SourceBan>,
}

impl Directory {
    /// The package of an account's contract; `None` for one without.
    pub fn package_of(&self, tenant: TenantId, terms: &ContractTerms) -> Option<&Package> {
        let mine = |known: &&TenantPackage| known.tenant == tenant && known.package.handle == terms.package;
        self.packages.iter().find(mine).map(|known| &known.package)
    }

    /// The accounts that a person's `name` may mean: a handle, or `tenant:handle`. More than one where several tenants have an account of
    /// that handle.
    pub fn accounts_named<'d>(&'d self, name: &str) -> Vec<&'d Account> {
        // Handles have no colon.
        let (tenant, handle) = match name.split_once(':') {
            Some((tenant, handle)) => (Some(tenant), handle),
            None => (None, name),
        };
        let is_of = |account: &Account, handle: &str| {
            self.tenants.iter().any(|there| there.id == account.tenant && there.handle == handle)
        };
        let named = self.accounts.iter().filter(|account| account.handle == handle);
        named.filter(|account| tenant.is_none_or(|tenant| is_of(account, tenant))).collect()
    }

    /// [`Self::name_of`] of all accounts, at once.
    pub fn names(&self) -> HashMap<AccountId, String> {
        let mut n_named: HashMap<&str, usize> = HashMap::with_capacity(self.accounts.len());
        for account in &self.accounts {
            *n_named.entry(&account.handle).or_default() += 1;
        }
        let tenants: HashMap<TenantId, &str> =
            self.tenants.iter().map(|tenant| (tenant.id, tenant.handle.as_str())).collect();
        let name = |account: &Account| match tenants.get(&account.tenant) {
            Some(tenant) if tenants.len() > 1 && n_named[account.handle.as_str()] > 1 => {
                format!("{tenant}:{}", account.handle)
            }
            Some(_) | None => account.handle.clone(),
        };
        self.accounts.iter().map(|account| (account.id, name(account))).collect()
    }

    /// What people call an account: its handle, as `tenant:handle` where several tenants have an account of that handle; its id where it is
    /// gone, and nothing for nobody.
    pub fn name_of(&self, id: AccountId) -> String {
        if id == AccountId::NOBODY {
            return String::new();
        }
        let Some(account) = self.accounts.iter().find(|account| account.id == id) else {
            return id.to_string();
        };
        let has_namesakes = self.tenants.len() > 1 && self.accounts_named(&account.handle).len() > 1;
        let tenant = self.tenants.iter().find(|tenant| has_namesakes && tenant.id == account.tenant);
        tenant
            .map_or_else(|| account.handle.clone(), |tenant| format!("{}:{}", tenant.handle, account.handle))
    }
}

/// A SIP identity.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscriber {
    /// Its id.
    pub id: SubscriberId,
    /// Whose platform.
    pub tenant: TenantId,
    /// Who pays.
    pub account: AccountId,
    /// The stable key in the reference's files.
    pub uuid: String,
    /// User part of its address of record, and its name in digest authentication.
    pub username: String,
    /// Host part, and the realm.
    pub domain: String,
    /// Its password, as hashes.
    pub digest: Digest,
    /// Network-provided number of its calls.
    pub cli: Option<E164>,
    /// Calls at once, in and out; `None` is unlimited, 0 is none.
    pub calls_max: Option<u32>,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber")
            .field("id", &self.id)
            .field("account", &self.account)
            .finish_non_exhaustive()
    }
}

/// HA1 of RFC 8760, lower-case hexadecimal: hash of `username:realm:password`. As good as the password
/// within its realm, so it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// For phones that know no better.
    pub ha1_md5: String,
    /// Preferred.
    pub ha1_sha256: String,
}

/// Who owns a number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberOwner {
    /// The number.
    pub number: E164,
    /// Who.
    pub subscriber: SubscriberId,
    /// Since.
    pub from: DateTime<Utc>,
    /// Until, exclusive; `None` is open.
    pub to: Option<DateTime<Utc>>,
}

/// A SIP peer known by its address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trunk {
    /// Its id.
    pub id: TrunkId,
    /// Whose platform.
    pub tenant: TenantId,
    /// The carrier.
    pub account: AccountId,
    /// Letters, digits, dash; unique.
    pub name: String,
    /// Where calls go; also a source that calls may come from.
    pub address: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Further sources: address and prefix length, such as `192.0.2.0/28`.
    pub sources: Vec<String>,
    /// Put in front of the number called.
    pub tech_prefix: String,
    /// Calls at once, both ways; `None` is unlimited.
    pub calls_max: Option<u32>,
    /// In use.
    pub enabled: bool,
}

/// One row of the outbound routing table. Longest prefix first, then priority (low first), then weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Its id.
    pub id: RouteId,
    /// Whose platform.
    pub tenant: TenantId,
    /// Digits of the number called; empty matches all.
    pub prefix: String,
    /// Where to.
    pub trunk: TrunkId,
    /// 1 is tried first.
    pub priority: u32,
    /// Share among equals.
    pub weight: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AccountKind, AccountStatus, Contact, Currency, FraudPolicy};

    fn directory() -> Directory {
        let tenant = |id, handle: &str| Tenant {
            id: TenantId(id),
            handle: handle.to_owned(),
            contact: Contact::default(),
            currency: Currency::EUR,
            timezone: chrono_tz::UTC,
        };
        let account = |id, tenant, handle: &str| Account {
            id: AccountId(id),
            tenant: TenantId(tenant),
            handle: handle.to_owned(),
            kind: AccountKind::Customer,
            reseller: None,
            status: AccountStatus::Active,
            currency: Currency::EUR,
            timezone: chrono_tz::UTC,
            contact: Contact::default(),
            vat_percent: rust_decimal::Decimal::ZERO,
            calls_max: None,
            fraud: FraudPolicy::default(),
            profiles: Vec::new(),
        };
        Directory {
            tenants: vec![tenant(1, "vox"), tenant(2, "other")],
            accounts: vec![account(1, 1, "acme"), account(2, 2, "acme"), account(3, 2, "solo")],
            ..Directory::default()
        }
    }

    #[test]
    fn every_account_has_a_name_that_means_it_alone() {
        let directory = directory();
        assert_eq!(directory.accounts_named("acme").len(), 2);
        let names = directory.names();
        assert_eq!(names.len(), directory.accounts.len());
        assert!(names.iter().all(|(id, name)| directory.name_of(*id) == *name), "{names:?}");
        for account in &directory.accounts {
            let named = directory.accounts_named(&directory.name_of(account.id));
            assert_eq!(named, [account]);
        }
        let names: Vec<String> = [0, 2, 3, 9].map(|id| directory.name_of(AccountId(id))).into();
        assert_eq!(names, ["", "other:acme", "solo", "9"]);
        for wrong in ["nobody:acme", "vox:solo", "", ":acme"] {
            assert!(directory.accounts_named(wrong).is_empty(), "{wrong}");
        }
    }
}
