//! Import of provisioning data: compares a [`World`] with what is there and writes the difference, in one transaction.
//!
//! Objects are found by their natural key. What is alike is left alone; if all of it is, the revision stays. Nothing is
//! deleted: an account is terminated, a trunk disabled, a number's ownership closed.

mod calling;
mod contracts;
mod dated;
pub(crate) mod edit;

use std::collections::{HashMap, HashSet};
use std::fmt;

use chrono::{DateTime, Utc};
use model::{
    Account, AccountId, Contact, Digest, Directory, E164, FraudPolicy, ProfileId, ProfileLimits,
    ProfileMapping, Route, RouteId, Subscriber, SubscriberId, Tenant, TenantId, Trunk, TrunkId,
};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use sqlx::{Any, Transaction};

use self::calling::note;
use crate::audit::append;
use crate::billing_terms::{TermsOwner, write_terms};
use crate::dated_facts::write_mapping;
use crate::directory::load_directory_without_fees;
use crate::fee_list::pack;
use crate::limits::{Owner, write_limits};
use crate::provisioning_events::{Holdings, keep_profile, load_holdings, tell_changes};
use crate::sql::{Bind, Cell, Columns, cells, json, query};
use crate::tariffs::{fees_digest, insert_version, is_same_but_for_fees, without_fees};
use crate::world::{
    NewAccount, NewBillingTerms, NewProfileLimits, NewRoute, NewSubscriber, NewTariff, NewTenant, NewTrunk,
    World,
};
use crate::{Result, Store, StoreError};

/// What became of the objects of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ImportCount {
    /// New.
    pub added: u64,
    /// There before, changed now.
    pub changed: u64,
    /// There before, alike.
    pub unchanged: u64,
}

impl ImportCount {
    fn is_nothing(&self) -> bool {
        *self == ImportCount::default()
    }
}

/// What an import did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ImportReport {
    /// Tenants.
    pub tenants: ImportCount,
    /// Accounts.
    pub accounts: ImportCount,
    /// Subscribers.
    pub subscribers: ImportCount,
    /// Numbers: added ones were given to an owner, changed ones taken from one.
    pub numbers: ImportCount,
    /// Trunks.
    pub trunks: ImportCount,
    /// Routes.
    pub routes: ImportCount,
    /// Billing profiles.
    pub profiles: ImportCount,
    /// Tariff versions: added or unchanged.
    pub tariff_versions: ImportCount,
    /// Limits of profiles.
    pub profile_limits: ImportCount,
    /// Billing terms.
    pub billing_terms: ImportCount,
    /// Networks.
    #[serde(skip_serializing_if = "ImportCount::is_nothing")]
    pub networks: ImportCount,
    /// Exchange rates.
    #[serde(skip_serializing_if = "ImportCount::is_nothing")]
    pub exchange_rates: ImportCount,
    /// Profile packages.
    pub packages: ImportCount,
    /// Contracts.
    pub contracts: ImportCount,
    /// The revision now in force.
    pub revision: i64,
    /// Whether anything changed.
    pub is_changed: bool,
}

impl fmt::Display for ImportReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in [
            ("tenants", self.tenants),
            ("accounts", self.accounts),
            ("subscribers", self.subscribers),
            ("numbers", self.numbers),
            ("trunks", self.trunks),
            ("routes", self.routes),
            ("profiles", self.profiles),
            ("tariff versions", self.tariff_versions),
            ("profile limits", self.profile_limits),
            ("billing terms", self.billing_terms),
            ("networks", self.networks),
            ("exchange rates", self.exchange_rates),
            ("packages", self.packages),
            ("contracts", self.contracts),
        ] {
            if count.is_nothing() && matches!(kind, "networks" | "exchange rates") {
                continue;
            }
            let ImportCount { added, changed, unchanged } = count;
            writeln!(f, "{kind:<16} {added} added, {changed} changed, {unchanged} as they were")?;
        }
        write!(f, "{:<16} {}", "revision", self.revision)
    }
}

impl Store {
    /// Brings `world` into the database, all of it or nothing. `now` is the time of the change: numbers change hands then.
    ///
    /// # Errors
    ///
    /// [`StoreError::UnknownReference`], [`StoreError::Invalid`] and [`StoreError::VersionExists`] name the object to
    /// correct; what the database says.
    pub async fn import(&self, world: &World, now: DateTime<Utc>, actor: &str) -> Result<ImportReport> {
        let mut import = Import::begin(self, now).await?;
        import.bring(world).await?;
        import.finish(actor).await
    }
}

impl Import {
    /// Reads what is there; nobody else imports until this one has ended.
    async fn begin(store: &Store, now: DateTime<Utc>) -> Result<Self> {
        let mut tx = store.write().await?;
        // Imports run one after the other: the second waits for this row.
        query("UPDATE revisions SET revision = revision WHERE one = 1").execute(&mut *tx).await?;
        let there = load_directory_without_fees(&mut tx).await?;
        let revision = there.revision + 1;
        let accounts = there.accounts.iter().enumerate();
        let account_places =
            accounts.map(|(idx, there)| ((there.tenant, there.handle.clone()), idx)).collect();
        let subscribers = there.subscribers.iter().enumerate();
        let subscriber_places =
            subscribers.map(|(idx, there)| ((there.username.clone(), there.domain.clone()), idx)).collect();
        let report = ImportReport::default();
        let profiles = HashMap::new();
        let held = load_holdings(&mut tx).await?;
        let mut import =
            Import { tx, there, held, revision, now, report, profiles, account_places, subscriber_places };
        import.load_profiles().await?;
        Ok(import)
    }

    /// Writes what is different.
    async fn bring(&mut self, world: &World) -> Result<()> {
        let import = self;
        for new in &world.tenants {
            let before = import.report.tenants;
            import.tenant(new).await?;
            import.tenant_calling(new, before).await?;
        }
        for new in &world.tariffs {
            import.tariff(new).await?;
        }
        for new in &world.profile_limits {
            import.profile_limits(new).await?;
        }
        for new in &world.networks {
            import.network(new).await?;
        }
        for new in &world.exchange_rates {
            import.exchange_rate(new).await?;
        }
        import.accounts(&world.accounts).await?;
        for new in &world.accounts {
            import.account_calling(new).await?;
        }
        for new in &world.billing_terms {
            import.billing_terms(new).await?;
        }
        for new in &world.packages {
            import.package(new).await?;
        }
        for new in &world.contracts {
            import.contract(new).await?;
        }
        import.contracts_by_profile().await?;
        for new in &world.subscribers {
            let before = import.report.subscribers;
            import.subscriber(new).await?;
            import.subscriber_calling(new, before).await?;
            import.subscriber_profile(new, before).await?;
        }
        import.numbers(&world.subscribers).await?;
        for new in &world.trunks {
            let before = import.report.trunks;
            import.trunk(new).await?;
            import.trunk_calling(new, before).await?;
        }
        for new in &world.routes {
            let before = import.report.routes;
            import.route(new).await?;
            import.route_calling(new, before).await?;
        }
        Ok(())
    }
}

/// One import on its way. `there` is kept up to date, so later objects find earlier ones.
struct Import {
    tx: Transaction<'static, Any>,
    there: Directory,
    /// What every subscriber had before.
    held: Holdings,
    revision: i64,
    now: DateTime<Utc>,
    report: ImportReport,
    /// Id and display name by tenant and handle.
    profiles: HashMap<(TenantId, String), (ProfileId, String)>,
    /// Place in `there.accounts` by tenant and handle.
    account_places: HashMap<(TenantId, String), usize>,
    /// Place in `there.subscribers` by username and domain.
    subscriber_places: HashMap<(String, String), usize>,
}

impl Import {
    async fn finish(mut self, actor: &str) -> Result<ImportReport> {
        let report = &mut self.report;
        let counts = [
            report.tenants,
            report.accounts,
            report.subscribers,
            report.numbers,
            report.trunks,
            report.routes,
            report.profiles,
            report.tariff_versions,
            report.profile_limits,
            report.billing_terms,
            report.networks,
            report.exchange_rates,
            report.packages,
            report.contracts,
        ];
        report.is_changed = counts.iter().any(|count| count.added + count.changed > 0);
        report.revision = if report.is_changed { self.revision } else { self.there.revision };
        if !report.is_changed {
            self.tx.rollback().await?;
            return Ok(self.report);
        }
        query("UPDATE revisions SET revision = $1 WHERE one = 1")
            .cells(cells![self.revision])
            .execute(&mut *self.tx)
            .await?;
        tell_changes(&mut self.tx, &self.held, "import", self.now, self.revision).await?;
        append(&mut self.tx, actor, "import", "provisioning", "", &json(&self.report), self.now).await?;
        self.tx.commit().await?;
        Ok(self.report)
    }

    /// The tenant of this handle; an empty one means the only tenant there is.
    fn tenant_id(&self, handle: &str, object: impl Fn() -> String) -> Result<TenantId> {
        if let Some(tenant) = self.there.tenants.iter().find(|tenant| tenant.handle == handle) {
            return Ok(tenant.id);
        }
        match (handle, self.there.tenants.as_slice()) {
            ("", [only]) => Ok(only.id),
            ("", _) => Err(invalid(
                object(),
                format!(
                    "no tenant is named, and there are {}; add tenant = \"HANDLE\"",
                    self.there.tenants.len()
                ),
            )),
            _ => Err(unknown(object(), "tenant", handle)),
        }
    }

    fn account_id(&self, tenant: TenantId, handle: &str, object: impl Fn() -> String) -> Result<AccountId> {
        self.account_places
            .get(&(tenant, handle.to_owned()))
            .map(|place| self.there.accounts[*place].id)
            .ok_or_else(|| unknown(object(), "account", handle))
    }

    async fn contact(&mut self, contact: &Contact) -> Result<i64> {
        query(
            "INSERT INTO contacts (name, street, postcode, city, country, email, vat_id, registration, iban) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING id",
        )
        .cells(contact_cells(contact))
        .fetch_one(&mut *self.tx)
        .await?
        .int("id")
    }

    async fn tenant(&mut self, new: &NewTenant) -> Result<()> {
        check_handle("tenant", &new.handle)?;
        let mut wanted = Tenant {
            id: TenantId(0),
            handle: new.handle.clone(),
            contact: new.contact.clone(),
            currency: new.currency,
            timezone: new.timezone,
        };
        let Some(place) = self.there.tenants.iter().position(|tenant| tenant.handle == new.handle) else {
            let contact = self.contact(&new.contact).await?;
            wanted.id = TenantId(
                query(
                    "INSERT INTO tenants (handle, contact, currency, timezone, revision) \
                     VALUES ($1, $2, $3, $4, $5) RETURNING id",
                )
                .cells(cells![
                    new.handle.as_str(),
                    contact,
                    new.currency.as_str(),
                    new.timezone.name(),
                    self.revision
                ])
                .fetch_one(&mut *self.tx)
                .await?
                .int("id")?,
            );
            self.there.tenants.push(wanted);
            self.report.tenants.added += 1;
            return Ok(());
        };
        wanted.id = self.there.tenants[place].id;
        if self.there.tenants[place] == wanted {
            self.report.tenants.unchanged += 1;
            return Ok(());
        }
        self.update_contact("SELECT contact FROM tenants WHERE id = $1", wanted.id.0, &new.contact).await?;
        query("UPDATE tenants SET currency = $2, timezone = $3, revision = $4 WHERE id = $1")
            .cells(cells![wanted.id.0, new.currency.as_str(), new.timezone.name(), self.revision])
            .execute(&mut *self.tx)
            .await?;
        self.there.tenants[place] = wanted;
        self.report.tenants.changed += 1;
        Ok(())
    }

    async fn update_contact(&mut self, select: &'static str, owner: i64, contact: &Contact) -> Result<()> {
        let id = query(select).cells(cells![owner]).fetch_one(&mut *self.tx).await?.int("contact")?;
        let mut values = contact_cells(contact);
        values.push(Cell::from(id));
        query(
            "UPDATE contacts SET name = $1, street = $2, postcode = $3, city = $4, country = $5, email = $6, \
             vat_id = $7, registration = $8, iban = $9 WHERE id = $10",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        Ok(())
    }

    async fn load_profiles(&mut self) -> Result<()> {
        let rows =
            query("SELECT id, tenant, handle, name FROM billing_profiles").fetch_all(&mut *self.tx).await?;
        for row in &rows {
            let key = (TenantId(row.int("tenant")?), row.text("handle")?);
            self.profiles.insert(key, (ProfileId(row.int("id")?), row.text("name")?));
        }
        Ok(())
    }

    async fn tariff(&mut self, new: &NewTariff) -> Result<()> {
        let handle = &new.version.profile.handle;
        let object = || format!("profile {handle:?}");
        check_handle("profile", handle)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        let profile = self.profile(tenant, handle, &new.version.profile.name).await?;
        let mut version = without_fees(&new.version);
        version.profile.id = profile;
        version.profile.tenant = tenant;
        let fees = pack(&new.version.fees)?;
        // Compared with what prices calls at that time without it.
        let in_force = self
            .there
            .tariffs
            .iter()
            .filter(|there| there.profile.id == profile && there.valid_from <= version.valid_from)
            .max_by_key(|there| there.valid_from);
        if let Some(there) = in_force {
            if is_same_but_for_fees(there, &version)
                && fees_digest(&mut self.tx, there.id).await? == fees.digest
            {
                self.report.tariff_versions.unchanged += 1;
                return Ok(());
            }
            if there.valid_from == version.valid_from {
                return Err(StoreError::VersionExists {
                    profile: handle.clone(),
                    valid_from: version.valid_from,
                });
            }
        }
        let n_fees = new.version.fees.len();
        version.id = insert_version(&mut self.tx, &version, fees, n_fees, self.now, self.revision).await?;
        self.there.tariffs.push(version);
        self.report.tariff_versions.added += 1;
        Ok(())
    }

    async fn profile(&mut self, tenant: TenantId, handle: &str, name: &str) -> Result<ProfileId> {
        let key = (tenant, handle.to_owned());
        if let Some((id, old_name)) = self.profiles.get_mut(&key) {
            if old_name == name {
                self.report.profiles.unchanged += 1;
            } else {
                query("UPDATE billing_profiles SET name = $2, revision = $3 WHERE id = $1")
                    .cells(cells![id.0, name, self.revision])
                    .execute(&mut *self.tx)
                    .await?;
                name.clone_into(old_name);
                self.report.profiles.changed += 1;
            }
            return Ok(*id);
        }
        let id = ProfileId(
            query("INSERT INTO billing_profiles (tenant, handle, name, revision) VALUES ($1, $2, $3, $4) RETURNING id")
                .cells(cells![tenant.0, handle, name, self.revision])
                .fetch_one(&mut *self.tx)
                .await?
                .int("id")?,
        );
        self.profiles.insert(key, (id, name.to_owned()));
        self.report.profiles.added += 1;
        Ok(id)
    }

    /// Resellers before those they are named by.
    async fn accounts(&mut self, accounts: &[NewAccount]) -> Result<()> {
        let mut waiting: Vec<&NewAccount> = accounts.iter().collect();
        while !waiting.is_empty() {
            let mut later = Vec::new();
            let n_before = waiting.len();
            for new in waiting {
                let object = || format!("account {:?}", new.handle);
                let tenant = self.tenant_id(&new.tenant, object)?;
                let reseller = match &new.reseller {
                    None => None,
                    Some(handle) => match self.account_id(tenant, handle, object) {
                        Ok(id) => Some(id),
                        Err(_) => {
                            later.push(new);
                            continue;
                        }
                    },
                };
                self.account(new, tenant, reseller).await?;
            }
            if later.len() == n_before {
                let new = later[0];
                let reseller = new.reseller.as_deref().unwrap_or_default();
                return Err(unknown(format!("account {:?}", new.handle), "reseller", reseller));
            }
            waiting = later;
        }
        Ok(())
    }

    async fn account(
        &mut self,
        new: &NewAccount,
        tenant: TenantId,
        reseller: Option<AccountId>,
    ) -> Result<()> {
        check_handle("account", &new.handle)?;
        let books =
            self.there.tenants.iter().find(|there| there.id == tenant).expect("its id came from here");
        let key = (tenant, new.handle.clone());
        let place = self.account_places.get(&key).copied();
        let mut wanted = Account {
            id: AccountId(0),
            tenant,
            kind: new.kind,
            handle: new.handle.clone(),
            reseller,
            status: new.status,
            currency: new.currency.unwrap_or(books.currency),
            timezone: new.timezone.unwrap_or(books.timezone),
            contact: new.contact.clone(),
            vat_percent: new.vat_percent,
            calls_max: new.calls_max,
            fraud: new.fraud.clone(),
            profiles: place.map(|place| self.there.accounts[place].profiles.clone()).unwrap_or_default(),
        };
        let before = self.report.accounts;
        let place = match place {
            None => {
                wanted.id = self.insert_account(&wanted).await?;
                self.account_places.insert(key, self.there.accounts.len());
                self.there.accounts.push(wanted);
                self.report.accounts.added += 1;
                self.there.accounts.len() - 1
            }
            Some(place) => {
                wanted.id = self.there.accounts[place].id;
                let is_changed = self.there.accounts[place] != wanted;
                if is_changed {
                    self.update_account(&wanted).await?;
                    self.there.accounts[place] = wanted;
                }
                if self.mapping_of(new, place)?.is_some() || is_changed {
                    self.report.accounts.changed += 1;
                } else {
                    self.report.accounts.unchanged += 1;
                }
                place
            }
        };
        if let Some(mapping) = self.mapping_of(new, place)? {
            self.map_profile(place, mapping).await?;
        }
        if self.schedule(new, place).await? && self.report.accounts.unchanged > before.unchanged {
            self.report.accounts.unchanged -= 1;
            self.report.accounts.changed += 1;
        }
        Ok(())
    }

    async fn insert_account(&mut self, wanted: &Account) -> Result<AccountId> {
        let contact = self.contact(&wanted.contact).await?;
        let row = query(
            "INSERT INTO accounts (tenant, handle, kind, reseller, status, currency, timezone, contact, vat_percent, \
             calls_max, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING id",
        )
        .cells(cells![
            wanted.tenant.0,
            wanted.handle.as_str(),
            wanted.kind.as_str(),
            wanted.reseller.map(|id| id.0),
            wanted.status.as_str(),
            wanted.currency.as_str(),
            wanted.timezone.name(),
            contact,
            wanted.vat_percent.to_string(),
            wanted.calls_max,
            self.revision,
        ])
        .fetch_one(&mut *self.tx)
        .await?;
        let id = AccountId(row.int("id")?);
        self.write_limits(id, &wanted.fraud, &wanted.handle).await?;
        Ok(id)
    }

    async fn update_account(&mut self, wanted: &Account) -> Result<()> {
        self.update_contact("SELECT contact FROM accounts WHERE id = $1", wanted.id.0, &wanted.contact)
            .await?;
        query(
            "UPDATE accounts SET kind = $2, reseller = $3, status = $4, currency = $5, timezone = $6, \
             vat_percent = $7, calls_max = $8, revision = $9 WHERE id = $1",
        )
        .cells(cells![
            wanted.id.0,
            wanted.kind.as_str(),
            wanted.reseller.map(|id| id.0),
            wanted.status.as_str(),
            wanted.currency.as_str(),
            wanted.timezone.name(),
            wanted.vat_percent.to_string(),
            wanted.calls_max,
            self.revision,
        ])
        .execute(&mut *self.tx)
        .await?;
        self.write_limits(wanted.id, &wanted.fraud, &wanted.handle).await
    }

    async fn write_limits(&mut self, account: AccountId, policy: &FraudPolicy, handle: &str) -> Result<()> {
        let named = format!("account {handle:?}");
        write_limits(&mut self.tx, Owner::Account(account.0), policy, &named).await
    }

    async fn billing_terms(&mut self, new: &NewBillingTerms) -> Result<()> {
        let object = || format!("billing terms of {:?}", format!("{}{}", new.tenant, new.account));
        let tenant = self.tenant_id(&new.tenant, object)?;
        let owner = if new.account.is_empty() {
            TermsOwner::Tenant(tenant)
        } else {
            TermsOwner::Account(self.account_id(tenant, &new.account, object)?)
        };
        new.terms.check().map_err(|rule| StoreError::Invalid { object: object(), rule })?;
        let count = &mut self.report.billing_terms;
        match write_terms(&mut self.tx, owner, &new.terms, self.revision).await? {
            None => count.unchanged += 1,
            Some(true) => count.added += 1,
            Some(false) => count.changed += 1,
        }
        Ok(())
    }

    async fn profile_limits(&mut self, new: &NewProfileLimits) -> Result<()> {
        let object = || format!("limits of profile {:?}", new.profile);
        let tenant = self.tenant_id(&new.tenant, object)?;
        let named = self.profiles.get(&(tenant, new.profile.clone()));
        let profile = named.ok_or_else(|| unknown(object(), "profile", &new.profile))?.0;
        let fraud = FraudPolicy { daily: new.daily.clone(), interval: new.interval.clone() };
        let there = self.there.profile_limits.iter().position(|limits| limits.profile == profile);
        match there {
            Some(place) if self.there.profile_limits[place].fraud == fraud => {
                self.report.profile_limits.unchanged += 1;
                return Ok(());
            }
            Some(place) => {
                self.there.profile_limits[place].fraud = fraud.clone();
                self.report.profile_limits.changed += 1;
            }
            None => {
                self.there.profile_limits.push(ProfileLimits { profile, fraud: fraud.clone() });
                self.report.profile_limits.added += 1;
            }
        }
        write_limits(&mut self.tx, Owner::Profile(profile.0), &fraud, &object()).await
    }

    /// The mapping that `new` asks for, unless its profile is in force at that time already.
    fn mapping_of(&self, new: &NewAccount, place: usize) -> Result<Option<ProfileMapping>> {
        let Some(handle) = &new.profile else { return Ok(None) };
        let account = &self.there.accounts[place];
        let named = self.profiles.get(&(account.tenant, handle.clone()));
        let profile = named.ok_or_else(|| unknown(format!("account {:?}", new.handle), "profile", handle))?.0;
        let from = match new.valid_from {
            Some(from) => from,
            None if account.profiles.is_empty() => DateTime::UNIX_EPOCH,
            None => self.now,
        };
        if account.profile_at(from) == Some(profile) {
            return Ok(None);
        }
        Ok(Some(ProfileMapping { from, to: None, network: None, profile }))
    }

    async fn map_profile(&mut self, place: usize, mapping: ProfileMapping) -> Result<()> {
        let account = &mut self.there.accounts[place];
        write_mapping(&mut self.tx, account.id, &mapping, self.revision).await?;
        account.profiles.retain(|there| (there.from, there.network) != (mapping.from, mapping.network));
        account.profiles.push(mapping);
        account.profiles.sort_by_key(|there| (there.from, there.network));
        Ok(())
    }

    async fn subscriber(&mut self, new: &NewSubscriber) -> Result<()> {
        let object = || format!("subscriber {}@{}", new.username, new.domain);
        if new.username.is_empty() || new.domain.is_empty() {
            return Err(invalid(object(), "username and domain must not be empty".to_owned()));
        }
        let tenant = self.tenant_id(&new.tenant, object)?;
        let account = self.account_id(tenant, &new.account, object)?;
        let key = (new.username.clone(), new.domain.clone());
        let place = self.subscriber_places.get(&key).copied();
        let uuid = match (&new.uuid, place) {
            (Some(uuid), _) => uuid.clone(),
            (None, Some(place)) => self.there.subscribers[place].uuid.clone(),
            (None, None) => derived_uuid(&new.username, &new.domain),
        };
        let mut wanted = Subscriber {
            id: SubscriberId(0),
            tenant,
            account,
            uuid,
            username: new.username.clone(),
            domain: new.domain.clone(),
            digest: Digest { ha1_md5: new.ha1_md5.clone(), ha1_sha256: new.ha1_sha256.clone() },
            cli: new.cli,
            calls_max: new.calls_max,
        };
        let values = cells![
            tenant.0,
            account.0,
            wanted.uuid.as_str(),
            wanted.digest.ha1_md5.as_str(),
            wanted.digest.ha1_sha256.as_str(),
            wanted.cli.map(E164::as_u64).map(u64::cast_signed),
            wanted.calls_max,
            self.revision,
            wanted.username.as_str(),
            wanted.domain.as_str(),
        ];
        let Some(place) = place else {
            let row = query(
                "INSERT INTO subscribers (tenant, account, uuid, ha1_md5, ha1_sha256, cli, calls_max, revision, \
                 username, domain) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = SubscriberId(row.int("id")?);
            self.subscriber_places.insert(key, self.there.subscribers.len());
            self.there.subscribers.push(wanted);
            self.report.subscribers.added += 1;
            return Ok(());
        };
        wanted.id = self.there.subscribers[place].id;
        if self.there.subscribers[place] == wanted {
            self.report.subscribers.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE subscribers SET tenant = $1, account = $2, uuid = $3, ha1_md5 = $4, ha1_sha256 = $5, cli = $6, \
             calls_max = $7, revision = $8 WHERE username = $9 AND domain = $10",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.subscribers[place] = wanted;
        self.report.subscribers.changed += 1;
        Ok(())
    }

    async fn subscriber_profile(&mut self, new: &NewSubscriber, before: ImportCount) -> Result<()> {
        let place = self.subscriber_places[&(new.username.clone(), new.domain.clone())];
        let id = self.there.subscribers[place].id;
        let wanted = new.profile.as_deref().unwrap_or_default();
        if !wanted.is_empty() {
            check_handle("subscriber profile", wanted)?;
        }
        let is_changed = keep_profile(&mut self.tx, id, wanted, self.now, self.revision).await?;
        note(&mut self.report.subscribers, before, is_changed);
        Ok(())
    }

    /// First all numbers that leave an owner, then all that come to one: so numbers can be swapped in one import.
    async fn numbers(&mut self, subscribers: &[NewSubscriber]) -> Result<()> {
        let mut wanted: HashMap<E164, (SubscriberId, TenantId, String)> = HashMap::new();
        let mut named = HashSet::new();
        for new in subscribers {
            let place = self.subscriber_places[&(new.username.clone(), new.domain.clone())];
            let Subscriber { id, tenant, .. } = self.there.subscribers[place];
            let name = format!("{}@{}", new.username, new.domain);
            named.insert(id);
            for number in &new.numbers {
                if let Some((other, _, other_name)) = wanted.insert(*number, (id, tenant, name.clone()))
                    && other != id
                {
                    return Err(invalid(
                        format!("number {number}"),
                        format!("given to {other_name} and to {name}; a number has one owner"),
                    ));
                }
            }
        }
        let mut open = self.there.numbers.clone();
        open.retain(|owner| owner.to.is_none());
        for owner in open {
            let goes_to = wanted.get(&owner.number).map(|(id, ..)| *id);
            if goes_to == Some(owner.subscriber) {
                wanted.remove(&owner.number);
                self.report.numbers.unchanged += 1;
            } else if goes_to.is_some() || named.contains(&owner.subscriber) {
                query(
                    "UPDATE numbers SET valid_to = $2, revision = $3 WHERE number = $1 AND valid_to IS NULL",
                )
                .cells(cells![owner.number.as_u64().cast_signed(), self.now, self.revision])
                .execute(&mut *self.tx)
                .await?;
                self.report.numbers.changed += 1;
            }
        }
        let mut fresh: Vec<_> = wanted.into_iter().collect();
        fresh.sort_by_key(|(number, _)| *number);
        for (number, (subscriber, tenant, _)) in fresh {
            query(
                "INSERT INTO numbers (tenant, number, subscriber, valid_from, revision) VALUES ($1, $2, $3, $4, $5)",
            )
            .cells(cells![tenant.0, number.as_u64().cast_signed(), subscriber.0, self.now, self.revision])
            .execute(&mut *self.tx)
            .await?;
            self.report.numbers.added += 1;
        }
        Ok(())
    }

    async fn trunk(&mut self, new: &NewTrunk) -> Result<()> {
        let object = || format!("trunk {:?}", new.name);
        check_handle("trunk", &new.name)?;
        let tenant = self.tenant_id(&new.tenant, object)?;
        let mut wanted = Trunk {
            id: TrunkId(0),
            tenant,
            account: self.account_id(tenant, &new.account, object)?,
            name: new.name.clone(),
            address: new.address,
            transport: new.transport,
            sources: new.sources.clone(),
            tech_prefix: new.tech_prefix.clone(),
            calls_max: new.calls_max,
            enabled: new.enabled,
        };
        let values = cells![
            wanted.tenant.0,
            wanted.account.0,
            wanted.name.as_str(),
            wanted.address.to_string(),
            wanted.transport.as_str(),
            json(&wanted.sources),
            wanted.tech_prefix.as_str(),
            wanted.calls_max,
            wanted.enabled,
            self.revision,
        ];
        let Some(place) = self.there.trunks.iter().position(|there| there.name == new.name) else {
            let row = query(
                "INSERT INTO trunks (tenant, account, name, address, transport, sources, tech_prefix, calls_max, \
                 enabled, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = TrunkId(row.int("id")?);
            self.there.trunks.push(wanted);
            self.report.trunks.added += 1;
            return Ok(());
        };
        wanted.id = self.there.trunks[place].id;
        if self.there.trunks[place] == wanted {
            self.report.trunks.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE trunks SET tenant = $1, account = $2, address = $4, transport = $5, sources = $6, \
             tech_prefix = $7, calls_max = $8, enabled = $9, revision = $10 WHERE name = $3",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.trunks[place] = wanted;
        self.report.trunks.changed += 1;
        Ok(())
    }

    async fn route(&mut self, new: &NewRoute) -> Result<()> {
        let object = || format!("route {:?} to {:?}", new.prefix, new.trunk);
        if let Some(found) = new.prefix.chars().find(|digit| !digit.is_ascii_digit()) {
            return Err(invalid(
                object(),
                format!("{found:?} is not a digit; a prefix has digits only, no +"),
            ));
        }
        let trunk = self.there.trunks.iter().find(|trunk| trunk.name == new.trunk);
        let trunk = trunk.ok_or_else(|| unknown(object(), "trunk", &new.trunk))?;
        let mut wanted = Route {
            id: RouteId(0),
            tenant: trunk.tenant,
            prefix: new.prefix.clone(),
            trunk: trunk.id,
            priority: new.priority,
            weight: new.weight,
        };
        let values = cells![
            wanted.tenant.0,
            wanted.prefix.as_str(),
            wanted.trunk.0,
            wanted.priority,
            wanted.weight,
            self.revision
        ];
        let place = self.there.routes.iter().position(|there| {
            there.tenant == wanted.tenant && there.trunk == wanted.trunk && there.prefix == wanted.prefix
        });
        let Some(place) = place else {
            let row = query(
                "INSERT INTO routes (tenant, prefix, trunk, priority, weight, revision) \
                 VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
            )
            .cells(values)
            .fetch_one(&mut *self.tx)
            .await?;
            wanted.id = RouteId(row.int("id")?);
            self.there.routes.push(wanted);
            self.report.routes.added += 1;
            return Ok(());
        };
        wanted.id = self.there.routes[place].id;
        if self.there.routes[place] == wanted {
            self.report.routes.unchanged += 1;
            return Ok(());
        }
        query(
            "UPDATE routes SET priority = $4, weight = $5, revision = $6 \
             WHERE tenant = $1 AND prefix = $2 AND trunk = $3",
        )
        .cells(values)
        .execute(&mut *self.tx)
        .await?;
        self.there.routes[place] = wanted;
        self.report.routes.changed += 1;
        Ok(())
    }
}

fn contact_cells(contact: &Contact) -> Vec<Cell> {
    let Contact { name, address, email, vat_id, registration, iban } = contact;
    cells![
        name.as_str(),
        address.street.as_str(),
        address.postcode.as_str(),
        address.city.as_str(),
        address.country.as_str(),
        email.as_str(),
        vat_id.as_str(),
        registration.as_str(),
        iban.as_str(),
    ]
}

/// Handles name files, rows of CSV and arguments of commands.
fn check_handle(kind: &str, handle: &str) -> Result<()> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if handle.is_empty() || !handle.chars().all(is_fine) {
        return Err(invalid(
            format!("{kind} {handle:?}"),
            "its name must be of letters, digits, - and _, and not empty".to_owned(),
        ));
    }
    Ok(())
}

/// The same for the same subscriber on every machine: version 8 of RFC 9562, from a hash of the address of record.
fn derived_uuid(username: &str, domain: &str) -> String {
    let digest = Sha256::digest(format!("tollbook subscriber {username}@{domain}"));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = 0x80 | (bytes[6] & 0x0f);
    bytes[8] = 0x80 | (bytes[8] & 0x3f);
    let text = hex::encode(bytes);
    format!("{}-{}-{}-{}-{}", &text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..])
}

fn unknown(object: String, kind: &'static str, name: &str) -> StoreError {
    StoreError::UnknownReference { object, kind, name: name.to_owned() }
}

fn invalid(object: String, rule: String) -> StoreError {
    StoreError::Invalid { object, rule }
}
