//! Import of provisioning data: compares a [`World`] with what is there and writes the difference, in one transaction.
//!
//! Objects are found by their natural key. What is alike is left alone; if all of it is, the revision stays. Nothing is
//! deleted: an account is terminated, a trunk disabled, a number's ownership closed.

mod accounts;
pub(crate) mod beside_desk;
mod calling;
mod contracts;
mod dated;
mod delete;
pub(crate) mod edit;
mod subscribers;
mod trunks;

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use model::{AccountId, Contact, Directory, ProfileId, ProfileVersionId, Tenant, TenantId};
use serde::Serialize;
use sqlx::{Any, Transaction};

use crate::audit::append;
use crate::directory::{load_directory_without_fees, load_revision};
use crate::fee_list::pack;
use crate::provisioning_events::{Holdings, load_holdings, tell_changes};
use crate::revision::announce_revision;
use crate::sql::{Bind, Cell, Columns, cells, json, query};
use crate::tariffs::{fees_digest, insert_version, is_same_but_for_fees, without_fees};
use crate::world::{NewTariff, NewTenant, World};
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

    /// The same where the tariffs of `world` were made of the version `base`: if another one would price calls at their time by now,
    /// nothing is changed.
    ///
    /// # Errors
    ///
    /// As of [`Store::import`]; [`StoreError::Invalid`] if it is another one.
    pub async fn import_over(
        &self,
        world: &World,
        base: ProfileVersionId,
        now: DateTime<Utc>,
        actor: &str,
    ) -> Result<ImportReport> {
        let mut import = Import::begin(self, now).await?;
        import.base = Some(base);
        import.bring(world).await?;
        import.finish(actor).await
    }
}

impl Import {
    /// Reads what is there; nobody else imports until this one has ended.
    async fn begin(store: &Store, now: DateTime<Utc>) -> Result<Self> {
        Self::begin_knowing(store, now, None).await
    }

    /// The same where what is provisioned was `known` a moment ago: while that is the revision in force it is not loaded again, for
    /// nobody else writes meanwhile.
    async fn begin_knowing(store: &Store, now: DateTime<Utc>, known: Option<Directory>) -> Result<Self> {
        let mut tx = store.write().await?;
        // Imports run one after the other: the second waits for this row.
        query("UPDATE revisions SET revision = revision WHERE one = 1").execute(&mut *tx).await?;
        let in_force = load_revision(&mut tx).await?;
        let there = match known.filter(|known| known.revision == in_force) {
            Some(known) => known,
            None => load_directory_without_fees(&mut tx).await?,
        };
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
        let mut import = Import {
            tx,
            there,
            held,
            revision,
            now,
            report,
            profiles,
            account_places,
            subscriber_places,
            is_of_desk: false,
            base: None,
            taken_over: Vec::new(),
        };
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
    /// A change at the desk: it prices no call of the past anew.
    is_of_desk: bool,
    /// The version that tariffs were made of, where that is to be the one in force still.
    base: Option<ProfileVersionId>,
    /// Objects on which a file has the word from now on, as in the trail, with their state before and after.
    taken_over: Vec<(String, String, String)>,
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
        for (object, before, after) in std::mem::take(&mut self.taken_over) {
            append(&mut self.tx, actor, "import", &object, &before, &after, self.now).await?;
        }
        if !self.report.is_changed {
            self.tx.commit().await?;
            return Ok(self.report);
        }
        query("UPDATE revisions SET revision = $1 WHERE one = 1")
            .cells(cells![self.revision])
            .execute(&mut *self.tx)
            .await?;
        announce_revision(&mut self.tx).await?;
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
        if self.base.is_some_and(|base| in_force.is_none_or(|there| there.id != base)) {
            let rule = "another version is in force by now than the new one was made of; look at the differences once more";
            return Err(invalid(object(), rule.to_owned()));
        }
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

fn unknown(object: String, kind: &'static str, name: &str) -> StoreError {
    StoreError::UnknownReference { object, kind, name: name.to_owned() }
}

fn invalid(object: String, rule: String) -> StoreError {
    StoreError::Invalid { object, rule }
}
