//! What is provisioned, object by object, in the form of the world file: one JSON object with the keys of its `[[accounts]]`,
//! `[[trunks]]` and so on.
//!
//! In: a snapshot, and what it does not hold ([`Extras`]). Out: objects and the keys they are found by; and the way back, an object
//! as a part of a [`World`]. Secrets are left out of what is shown ([`ObjectKind::shown`]).

use std::collections::HashMap;
use std::sync::OnceLock;

use model::{
    AccountId, Directory, E164, FraudPolicy, NetworkId, Package, ProfileChoice, ProfileId, SubscriberId,
    TenantId, TrunkId, Underrun,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;

use crate::billing_terms::{TermsBook, load_terms};
use crate::sql::{Columns, query};
use crate::world::{
    NewAccount, NewBillingTerms, NewContract, NewExchangeRate, NewMapping, NewNetwork, NewPackage,
    NewProfileChoice, NewProfileLimits, NewRoute, NewSubscriber, NewTenant, NewTrunk, World,
};
use crate::{Result, Store};

/// What kind of thing is provisioned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// Operators and brands.
    Tenant,
    /// Who pays and who is paid.
    Account,
    /// SIP identities.
    Subscriber,
    /// Peers known by their address.
    Trunk,
    /// Rows of the routing table.
    Route,
    /// Networks that profiles may be bound to.
    Network,
    /// What currencies are worth.
    ExchangeRate,
    /// Profile packages.
    Package,
    /// What was agreed about balances.
    Contract,
    /// What was agreed about invoices.
    BillingTerms,
    /// Spend limits of profiles.
    ProfileLimits,
}

/// What is provisioned and is not part of a [`Directory`], because no stage asks for it.
#[derive(Debug, Clone, Default)]
pub struct Extras {
    terms: TermsBook,
    /// Which of the operator's products a subscriber is.
    profiles: HashMap<SubscriberId, String>,
}

/// What is wrong with one part of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Path of the field, such as `contact.email`; empty: the object as a whole.
    pub field: String,
    /// What is wrong with it, and what would be right.
    pub rule: String,
}

impl FieldFault {
    /// Of one field.
    pub fn new(field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self { field: field.into(), rule: rule.into() }
    }
}

impl ObjectKind {
    /// Every kind, those that others name before those that name them.
    pub const ALL: [ObjectKind; 11] = [
        ObjectKind::Tenant,
        ObjectKind::Account,
        ObjectKind::Subscriber,
        ObjectKind::Trunk,
        ObjectKind::Route,
        ObjectKind::Network,
        ObjectKind::ExchangeRate,
        ObjectKind::Package,
        ObjectKind::Contract,
        ObjectKind::BillingTerms,
        ObjectKind::ProfileLimits,
    ];

    /// The stable word, as in the trail of changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            ObjectKind::Tenant => "tenant",
            ObjectKind::Account => "account",
            ObjectKind::Subscriber => "subscriber",
            ObjectKind::Trunk => "trunk",
            ObjectKind::Route => "route",
            ObjectKind::Network => "network",
            ObjectKind::ExchangeRate => "exchange_rate",
            ObjectKind::Package => "package",
            ObjectKind::Contract => "contract",
            ObjectKind::BillingTerms => "billing_terms",
            ObjectKind::ProfileLimits => "profile_limits",
        }
    }

    /// The fields that say which object it is; they never change. Written one after the other they are its key.
    pub const fn key_fields(self) -> &'static [&'static str] {
        match self {
            ObjectKind::Tenant => &["handle"],
            ObjectKind::Account => &["tenant", "handle"],
            ObjectKind::Subscriber => &["username", "domain"],
            ObjectKind::Trunk => &["name"],
            ObjectKind::Route => &["trunk", "prefix"],
            ObjectKind::Network => &["tenant", "name"],
            ObjectKind::ExchangeRate => &["tenant", "from", "to", "valid_from"],
            ObjectKind::Package => &["tenant", "package.handle"],
            ObjectKind::Contract | ObjectKind::BillingTerms => &["tenant", "account"],
            ObjectKind::ProfileLimits => &["tenant", "profile"],
        }
    }

    /// Whether a key begins with the handle of a tenant, which may be left out where it is clear.
    fn is_within_tenant(self) -> bool {
        self.key_fields().first() == Some(&"tenant")
    }

    /// The key of an object: `vox:huber` for an account of tenant `vox`, `4351210@sip.example` for a subscriber.
    pub fn key_of(self, object: &Value) -> String {
        let part = |path: &str| match at(object, path) {
            Some(Value::String(text)) => text.clone(),
            Some(_) | None => String::new(),
        };
        let parts: Vec<String> = self.key_fields().iter().map(|path| part(path)).collect();
        parts.join(self.joint())
    }

    const fn joint(self) -> &'static str {
        match self {
            ObjectKind::Subscriber => "@",
            ObjectKind::Tenant
            | ObjectKind::Account
            | ObjectKind::Trunk
            | ObjectKind::Route
            | ObjectKind::Network
            | ObjectKind::ExchangeRate
            | ObjectKind::Package
            | ObjectKind::Contract
            | ObjectKind::BillingTerms
            | ObjectKind::ProfileLimits => ":",
        }
    }

    /// An object without its secrets.
    pub fn shown(self, object: &Value) -> Value {
        let mut shown = object.clone();
        for path in self.secrets() {
            remove(&mut shown, path);
        }
        shown
    }

    /// As [`Self::shown`]; a secret that is there is named, without what it is. For the trail of changes.
    pub(crate) fn traced(self, object: &Value) -> String {
        let mut traced = self.shown(object);
        let digest = |path: &&str| at(object, path).filter(|it| !it.is_null()).map(|it| it.to_string());
        let secrets: Vec<String> = self.secrets().iter().filter_map(digest).collect();
        if let (false, Some(members)) = (secrets.is_empty(), traced.as_object_mut()) {
            members.insert("secret".to_owned(), Value::String("(kept)".to_owned()));
        }
        traced.to_string()
    }

    /// Paths that are written and never shown.
    pub const fn secrets(self) -> &'static [&'static str] {
        match self {
            ObjectKind::Subscriber => &["password", "ha1_md5", "ha1_sha256"],
            ObjectKind::Trunk => &["calling.login.password"],
            ObjectKind::Tenant
            | ObjectKind::Account
            | ObjectKind::Route
            | ObjectKind::Network
            | ObjectKind::ExchangeRate
            | ObjectKind::Package
            | ObjectKind::Contract
            | ObjectKind::BillingTerms
            | ObjectKind::ProfileLimits => &[],
        }
    }

    /// Stands for what an object shows (RFC 9110, 8.8.3): two that show the same have the same.
    pub fn etag(self, object: &Value) -> String {
        let digest = Sha256::digest(self.shown(object).to_string());
        format!("\"{}\"", &hex::encode(digest)[..32])
    }

    /// An object in its whole form, with what was left out, as a part of `world`.
    pub(crate) fn add_to(self, world: &mut World, object: &Value) -> Result<Value, FieldFault> {
        match self {
            ObjectKind::Tenant => add(&mut world.tenants, object),
            ObjectKind::Account => add(&mut world.accounts, object),
            ObjectKind::Subscriber => add(&mut world.subscribers, object),
            ObjectKind::Trunk => add(&mut world.trunks, object),
            ObjectKind::Route => add(&mut world.routes, object),
            ObjectKind::Network => add(&mut world.networks, object),
            ObjectKind::ExchangeRate => add(&mut world.exchange_rates, object),
            ObjectKind::Package => add(&mut world.packages, object),
            ObjectKind::Contract => add(&mut world.contracts, object),
            ObjectKind::BillingTerms => add(&mut world.billing_terms, object),
            ObjectKind::ProfileLimits => add(&mut world.profile_limits, object),
        }
    }

    /// The objects of this kind in a world, in their whole form.
    pub(crate) fn of_world(self, world: &World) -> Vec<Value> {
        match self {
            ObjectKind::Tenant => values(&world.tenants),
            ObjectKind::Account => values(&world.accounts),
            ObjectKind::Subscriber => values(&world.subscribers),
            ObjectKind::Trunk => values(&world.trunks),
            ObjectKind::Route => values(&world.routes),
            ObjectKind::Network => values(&world.networks),
            ObjectKind::ExchangeRate => values(&world.exchange_rates),
            ObjectKind::Package => values(&world.packages),
            ObjectKind::Contract => values(&world.contracts),
            ObjectKind::BillingTerms => values(&world.billing_terms),
            ObjectKind::ProfileLimits => values(&world.profile_limits),
        }
    }
}

fn values<T: Serialize>(all: &[T]) -> Vec<Value> {
    all.iter().map(value).collect()
}

fn add<T: DeserializeOwned + Serialize>(to: &mut Vec<T>, object: &Value) -> Result<Value, FieldFault> {
    let new: T = serde_path_to_error::deserialize(object).map_err(|why| {
        let path = why.path().to_string();
        FieldFault::new(if path == "." { String::new() } else { path }, why.inner().to_string())
    })?;
    let whole = value(&new);
    to.push(new);
    Ok(whole)
}

/// The JSON form of a part of a world. A package's sets of profiles stand beside it, by their names.
fn value<T: Serialize>(new: &T) -> Value {
    let mut value = serde_json::to_value(new).expect("names, numbers and texts are JSON");
    if let Some(package) = value.get_mut("package").and_then(Value::as_object_mut) {
        for set in ["initial_profiles", "underrun_profiles", "topup_profiles"] {
            package.remove(set);
        }
    }
    if let Some(Value::Array(numbers)) = value.get_mut("numbers") {
        numbers.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
    value
}

/// What stands at a path of names with dots.
pub fn at<'v>(object: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(object, |place, step| place.get(step))
}

fn remove(object: &mut Value, path: &str) {
    let (parent, last) = match path.rsplit_once('.') {
        Some((parent, last)) => (format!("/{}", parent.replace('.', "/")), last),
        None => (String::new(), path),
    };
    if let Some(Value::Object(members)) = object.pointer_mut(&parent) {
        members.remove(last);
    }
}

/// Writes `patch` over `object` (RFC 7396): members that are null go, those of objects are merged, all else takes the place of what is there.
pub fn merge(object: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        patch.clone_into(object);
        return;
    };
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Some(members) = object.as_object_mut() else { return };
    for (name, wanted) in patch {
        if wanted.is_null() {
            members.remove(name);
        } else {
            merge(members.entry(name).or_insert(Value::Null), wanted);
        }
    }
}

/// The objects of a snapshot.
pub struct Objects<'d> {
    directory: &'d Directory,
    extras: &'d Extras,
    tenants: HashMap<TenantId, &'d str>,
    /// Place by id.
    accounts: HashMap<AccountId, usize>,
    profiles: HashMap<ProfileId, &'d str>,
    trunks: HashMap<TrunkId, &'d str>,
    networks: HashMap<NetworkId, &'d str>,
    /// What subscribers own now; made when the first of them is asked for.
    numbers: OnceLock<HashMap<SubscriberId, Vec<E164>>>,
    contracts: Vec<AccountId>,
    /// Whose billing terms are agreed: those of tenants come first.
    terms: (Vec<TenantId>, Vec<AccountId>),
}

impl<'d> Objects<'d> {
    /// Of a snapshot.
    pub fn of(directory: &'d Directory, extras: &'d Extras) -> Self {
        Self {
            directory,
            extras,
            tenants: directory.tenants.iter().map(|it| (it.id, it.handle.as_str())).collect(),
            accounts: directory.accounts.iter().enumerate().map(|(place, it)| (it.id, place)).collect(),
            profiles: directory
                .tariffs
                .iter()
                .map(|it| (it.profile.id, it.profile.handle.as_str()))
                .collect(),
            trunks: directory.trunks.iter().map(|it| (it.id, it.name.as_str())).collect(),
            networks: directory.networks.iter().map(|it| (it.id, it.name.as_str())).collect(),
            numbers: OnceLock::new(),
            contracts: directory.contracts.keys().copied().collect(),
            terms: (
                directory.tenants.iter().map(|it| it.id).filter(|id| extras.terms.has_tenant(*id)).collect(),
                directory
                    .accounts
                    .iter()
                    .map(|it| it.id)
                    .filter(|id| extras.terms.has_account(*id))
                    .collect(),
            ),
        }
    }

    /// Keys of all objects of a kind; the place of each is what [`Self::at`] takes.
    pub fn keys(&self, kind: ObjectKind) -> Vec<String> {
        let within = |tenant: TenantId, name: &str| format!("{}:{name}", self.tenant(tenant));
        let of_account = |id: AccountId| within(self.tenant_of(id), &self.account(id));
        let d = self.directory;
        match kind {
            ObjectKind::Tenant => d.tenants.iter().map(|it| it.handle.clone()).collect(),
            ObjectKind::Account => d.accounts.iter().map(|it| within(it.tenant, &it.handle)).collect(),
            ObjectKind::Subscriber => {
                d.subscribers.iter().map(|it| format!("{}@{}", it.username, it.domain)).collect()
            }
            ObjectKind::Trunk => d.trunks.iter().map(|it| it.name.clone()).collect(),
            ObjectKind::Route => {
                d.routes.iter().map(|it| format!("{}:{}", self.trunk(it.trunk), it.prefix)).collect()
            }
            ObjectKind::Network => d.networks.iter().map(|it| within(it.tenant, &it.name)).collect(),
            ObjectKind::Package => {
                d.packages.iter().map(|it| within(it.tenant, &it.package.handle)).collect()
            }
            ObjectKind::Contract => self.contracts.iter().map(|id| of_account(*id)).collect(),
            ObjectKind::ExchangeRate | ObjectKind::ProfileLimits => {
                (0..self.len(kind)).map(|place| kind.key_of(&self.at(kind, place))).collect()
            }
            ObjectKind::BillingTerms => {
                let (tenants, accounts) = &self.terms;
                let of_tenants = tenants.iter().map(|id| within(*id, ""));
                of_tenants.chain(accounts.iter().map(|id| of_account(*id))).collect()
            }
        }
    }

    /// How many there are.
    pub fn len(&self, kind: ObjectKind) -> usize {
        let d = self.directory;
        match kind {
            ObjectKind::Tenant => d.tenants.len(),
            ObjectKind::Account => d.accounts.len(),
            ObjectKind::Subscriber => d.subscribers.len(),
            ObjectKind::Trunk => d.trunks.len(),
            ObjectKind::Route => d.routes.len(),
            ObjectKind::Network => d.networks.len(),
            ObjectKind::ExchangeRate => d.exchange_rates.len(),
            ObjectKind::Package => d.packages.len(),
            ObjectKind::Contract => d.contracts.len(),
            ObjectKind::BillingTerms => self.terms.0.len() + self.terms.1.len(),
            ObjectKind::ProfileLimits => d.profile_limits.len(),
        }
    }

    /// The place of the object that people call `name`: its key, without the tenant where that is clear.
    ///
    /// # Errors
    ///
    /// The keys of several that may be meant.
    pub fn find(&self, kind: ObjectKind, name: &str) -> Result<Option<usize>, Vec<String>> {
        let keys = self.keys(kind);
        if let Some(place) = keys.iter().position(|key| key == name) {
            return Ok(Some(place));
        }
        if !kind.is_within_tenant() {
            return Ok(None);
        }
        let is_meant = |key: &str| key.split_once(':').is_some_and(|(_, rest)| rest == name);
        let places: Vec<usize> =
            keys.iter().enumerate().filter(|(_, key)| is_meant(key)).map(|(place, _)| place).collect();
        match places.as_slice() {
            [] => Ok(None),
            [place] => Ok(Some(*place)),
            several => Err(several.iter().map(|place| keys[*place].clone()).collect()),
        }
    }

    /// The object at a place, in its whole form.
    pub fn at(&self, kind: ObjectKind, place: usize) -> Value {
        let d = self.directory;
        match kind {
            ObjectKind::Tenant => value(&self.tenant_object(place)),
            ObjectKind::Account => value(&self.account_object(place)),
            ObjectKind::Subscriber => value(&self.subscriber_object(place)),
            ObjectKind::Trunk => value(&self.trunk_object(place)),
            ObjectKind::Route => {
                let it = &d.routes[place];
                value(&NewRoute {
                    prefix: it.prefix.clone(),
                    trunk: self.trunk(it.trunk),
                    priority: it.priority,
                    weight: it.weight,
                    calling: d.calling.routes.get(&it.id).cloned().unwrap_or_default(),
                })
            }
            ObjectKind::Network => {
                let it = &d.networks[place];
                let tenant = self.tenant(it.tenant);
                value(&NewNetwork { tenant, name: it.name.clone(), blocks: it.blocks.clone() })
            }
            ObjectKind::ExchangeRate => {
                let it = &d.exchange_rates[place];
                value(&NewExchangeRate {
                    tenant: self.tenant(it.tenant),
                    from: it.from,
                    to: it.to,
                    rate: it.rate,
                    valid_from: it.valid_from,
                })
            }
            ObjectKind::Package => value(&self.package_object(place)),
            ObjectKind::Contract => value(&self.contract_object(place)),
            ObjectKind::BillingTerms => value(&self.terms_object(place)),
            ObjectKind::ProfileLimits => value(&self.limits_object(place)),
        }
    }

    fn tenant(&self, id: TenantId) -> String {
        self.tenants.get(&id).map_or_else(|| id.to_string(), |handle| (*handle).to_owned())
    }

    fn account(&self, id: AccountId) -> String {
        let place = self.accounts.get(&id);
        place.map_or_else(|| id.to_string(), |place| self.directory.accounts[*place].handle.clone())
    }

    fn tenant_of(&self, id: AccountId) -> TenantId {
        self.accounts.get(&id).map_or(TenantId(0), |place| self.directory.accounts[*place].tenant)
    }

    fn trunk(&self, id: TrunkId) -> String {
        self.trunks.get(&id).map_or_else(|| id.to_string(), |name| (*name).to_owned())
    }

    fn profile(&self, id: ProfileId) -> String {
        self.profiles.get(&id).map_or_else(|| id.to_string(), |handle| (*handle).to_owned())
    }

    fn network(&self, id: Option<NetworkId>) -> Option<String> {
        let id = id?;
        Some(self.networks.get(&id).map_or_else(|| id.to_string(), |name| (*name).to_owned()))
    }

    fn tenant_object(&self, place: usize) -> NewTenant {
        let it = &self.directory.tenants[place];
        NewTenant {
            handle: it.handle.clone(),
            contact: it.contact.clone(),
            currency: it.currency,
            timezone: it.timezone,
            calling: self.directory.calling.tenants.get(&it.id).cloned().unwrap_or_default(),
        }
    }

    fn account_object(&self, place: usize) -> NewAccount {
        let it = &self.directory.accounts[place];
        let entries = it.profiles.iter().map(|mapping| NewMapping {
            profile: self.profile(mapping.profile),
            from: (mapping.from != chrono::DateTime::UNIX_EPOCH).then_some(mapping.from),
            to: mapping.to,
            network: self.network(mapping.network),
        });
        NewAccount {
            tenant: self.tenant(it.tenant),
            handle: it.handle.clone(),
            kind: it.kind,
            reseller: it.reseller.map(|id| self.account(id)),
            status: it.status,
            currency: Some(it.currency),
            timezone: Some(it.timezone),
            contact: it.contact.clone(),
            vat_percent: it.vat_percent,
            calls_max: it.calls_max,
            fraud: it.fraud.clone(),
            profile: None,
            valid_from: None,
            profiles: entries.collect(),
            calling: self.directory.calling.accounts.get(&it.id).cloned().unwrap_or_default(),
        }
    }

    fn subscriber_object(&self, place: usize) -> NewSubscriber {
        let it = &self.directory.subscribers[place];
        let numbers = self.numbers.get_or_init(|| {
            let mut owned: HashMap<SubscriberId, Vec<E164>> = HashMap::new();
            for own in self.directory.numbers.iter().filter(|own| own.to.is_none()) {
                owned.entry(own.subscriber).or_default().push(own.number);
            }
            owned
        });
        let numbers = numbers.get(&it.id).cloned().unwrap_or_default();
        NewSubscriber {
            tenant: self.tenant(it.tenant),
            account: self.account(it.account),
            username: it.username.clone(),
            domain: it.domain.clone(),
            ha1_md5: it.digest.ha1_md5.clone(),
            ha1_sha256: it.digest.ha1_sha256.clone(),
            numbers,
            cli: it.cli,
            calls_max: it.calls_max,
            uuid: Some(it.uuid.clone()),
            profile: self.extras.profiles.get(&it.id).cloned(),
            calling: self.directory.calling.subscribers.get(&it.id).cloned().unwrap_or_default(),
        }
    }

    fn trunk_object(&self, place: usize) -> NewTrunk {
        let it = &self.directory.trunks[place];
        NewTrunk {
            tenant: self.tenant(it.tenant),
            account: self.account(it.account),
            name: it.name.clone(),
            address: it.address,
            transport: it.transport,
            sources: it.sources.clone(),
            tech_prefix: it.tech_prefix.clone(),
            calls_max: it.calls_max,
            enabled: it.enabled,
            calling: self.directory.calling.trunks.get(&it.id).cloned().unwrap_or_default(),
        }
    }

    fn package_object(&self, place: usize) -> NewPackage {
        let it = &self.directory.packages[place];
        let set = |choices: &[ProfileChoice]| -> Vec<NewProfileChoice> {
            let named = |choice: &ProfileChoice| NewProfileChoice {
                profile: self.profile(choice.profile),
                network: self.network(choice.network),
            };
            choices.iter().map(named).collect()
        };
        let underrun = it.package.underrun_profiles.as_ref();
        NewPackage {
            tenant: self.tenant(it.tenant),
            initial_profiles: set(&it.package.initial_profiles),
            underrun_profiles: underrun.map(|it| Underrun { below: it.below, then: set(&it.then) }),
            topup_profiles: set(&it.package.topup_profiles),
            package: Package {
                initial_profiles: Vec::new(),
                underrun_profiles: None,
                topup_profiles: Vec::new(),
                ..it.package.clone()
            },
        }
    }

    fn contract_object(&self, place: usize) -> NewContract {
        let id = self.contracts[place];
        let terms = &self.directory.contracts[&id];
        NewContract {
            tenant: self.tenant(self.tenant_of(id)),
            account: self.account(id),
            package: terms.package.clone(),
            credit_limit: terms.credit_limit,
            low_balance: terms.low_balance.clone(),
        }
    }

    fn terms_object(&self, place: usize) -> NewBillingTerms {
        let (tenants, accounts) = &self.terms;
        if let Some(id) = tenants.get(place) {
            let terms = self.extras.terms.tenant(*id);
            return NewBillingTerms { tenant: self.tenant(*id), account: String::new(), terms };
        }
        let id = accounts[place - tenants.len()];
        NewBillingTerms {
            tenant: self.tenant(self.tenant_of(id)),
            account: self.account(id),
            terms: self.extras.terms.account(id),
        }
    }

    fn limits_object(&self, place: usize) -> NewProfileLimits {
        let it = &self.directory.profile_limits[place];
        let profile = self.directory.tariffs.iter().find(|version| version.profile.id == it.profile);
        let tenant = profile.map_or(TenantId(0), |version| version.profile.tenant);
        let FraudPolicy { daily, interval } = it.fraud.clone();
        NewProfileLimits { tenant: self.tenant(tenant), profile: self.profile(it.profile), daily, interval }
    }
}

impl Store {
    /// What is provisioned beside a snapshot.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn provisioning_extras(&self) -> Result<Extras> {
        let mut tx = self.read().await?;
        let extras = load_extras(&mut tx).await?;
        tx.commit().await?;
        Ok(extras)
    }
}

pub(crate) async fn load_extras(conn: &mut AnyConnection) -> Result<Extras> {
    let terms = load_terms(conn).await?;
    let rows = query("SELECT subscriber, profile FROM subscriber_profiles WHERE valid_to IS NULL")
        .fetch_all(conn)
        .await?;
    let mut profiles = HashMap::with_capacity(rows.len());
    for row in &rows {
        profiles.insert(SubscriberId(row.int("subscriber")?), row.text("profile")?);
    }
    Ok(Extras { terms, profiles })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The examples of RFC 7396, appendix A, as far as they are about objects.
    #[test]
    fn patches_merge_as_the_standard_says() {
        for (object, patch, merged) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut found = object.clone();
            merge(&mut found, &patch);
            assert_eq!(found, merged, "{object} {patch}");
        }
    }

    #[test]
    fn what_is_shown_holds_no_secret() {
        let trunk = json!({"name": "a", "calling": {"login": {"username": "u", "password": "very-secret"}}});
        let kind = ObjectKind::Trunk;
        for text in [kind.shown(&trunk).to_string(), kind.traced(&trunk)] {
            assert!(!text.contains("very-secret") && text.contains("username"), "{text}");
        }
        let subscriber =
            json!({"username": "u", "domain": "d", "ha1_md5": "0af", "ha1_sha256": "0bf", "password": "p0w"});
        let shown = ObjectKind::Subscriber.shown(&subscriber).to_string();
        assert!(!shown.contains("0af") && !shown.contains("0bf") && !shown.contains("p0w"), "{shown}");
        assert_eq!(ObjectKind::Subscriber.key_of(&subscriber), "u@d");
    }
}
