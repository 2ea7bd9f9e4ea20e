//! The snapshot of provisioning data that a switch or a stage works from.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::cause::named_enum;
use crate::{
    Account, AccountId, Barring, BillingNetwork, CallingRules, ContractTerms, E164, ExchangeRate,
    FraudException, FraudRule, KillOrder, Lock, Package, PortedNumber, ProfileLimits, RouteId, SubscriberId,
    TariffVersion, Tenant, TenantId, TenantPackage, TrunkId,
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
}

impl Directory {
    /// The package of an account's contract; `None` for one without.
    pub fn package_of(&self, tenant: TenantId, terms: &ContractTerms) -> Option<&Package> {
        let mine = |known: &&TenantPackage| known.tenant == tenant && known.package.handle == terms.package;
        self.packages.iter().find(mine).map(|known| &known.package)
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
