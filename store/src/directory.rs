//! The snapshot of everything provisioned, read at one revision.

use std::collections::HashMap;

use model::{
    Account, AccountId, Address, Contact, Digest, Directory, E164, NumberOwner, ProfileMapping, Route,
    RouteId, Subscriber, SubscriberId, Tenant, TenantId, Trunk, TrunkId,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::barrings::load_barrings;
use crate::calling::load_calling;
use crate::contracts::{load_contracts, load_packages};
use crate::dated_facts::{load_exchange_rates, load_mappings, load_networks, load_ported_numbers};
use crate::fraud_desk::load_locks;
use crate::fraud_rules::{load_exceptions, load_kill_orders, load_rules};
use crate::limits::{load_account_limits, load_profile_limits};
use crate::sql::{Bind, Columns, cells, query, unreadable};
use crate::tariffs::{load_versions, load_versions_without_fees};
use crate::{Result, Store};

impl Store {
    /// Everything provisioned, as it was at one moment.
    ///
    /// # Errors
    ///
    /// What the database says, or a row that this version cannot read.
    pub async fn directory(&self) -> Result<Directory> {
        let mut tx = self.read().await?;
        let directory = load_directory(&mut tx).await?;
        tx.commit().await?;
        Ok(directory)
    }

    /// Revision of the provisioning data; counts up with every change.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn revision(&self) -> Result<i64> {
        let mut tx = self.read().await?;
        let revision = load_revision(&mut tx).await?;
        tx.commit().await?;
        Ok(revision)
    }

    /// The account of this handle within its tenant; an empty tenant searches all of them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn account_by_handle(&self, tenant: &str, handle: &str) -> Result<Option<Account>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT a.id FROM accounts a JOIN tenants t ON t.id = a.tenant \
             WHERE a.handle = $1 AND (t.handle = $2 OR $2 = '') ORDER BY a.id",
        )
        .cells(cells![handle, tenant])
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(None) };
        let id = AccountId(row.int("id")?);
        // One account is rare, and the whole table is one query: not worth a second one beside it.
        let account = load_accounts(&mut tx).await?.into_iter().find(|account| account.id == id);
        tx.commit().await?;
        Ok(account)
    }
}

pub(crate) async fn load_revision(conn: &mut AnyConnection) -> Result<i64> {
    query("SELECT revision FROM revisions WHERE one = 1").fetch_one(&mut *conn).await?.int("revision")
}

pub(crate) async fn load_directory(conn: &mut AnyConnection) -> Result<Directory> {
    let tariffs = load_versions(conn).await?;
    Ok(Directory { tariffs, ..load_directory_without_fees(conn).await? })
}

/// As [`load_directory`], with the tariff versions as they are but for their fees.
pub(crate) async fn load_directory_without_fees(conn: &mut AnyConnection) -> Result<Directory> {
    Ok(Directory {
        revision: load_revision(conn).await?,
        tenants: load_tenants(conn).await?,
        accounts: load_accounts(conn).await?,
        subscribers: load_subscribers(conn).await?,
        numbers: load_numbers(conn).await?,
        trunks: load_trunks(conn).await?,
        routes: load_routes(conn).await?,
        locks: load_locks(conn).await?,
        barrings: load_barrings(conn).await?,
        tariffs: load_versions_without_fees(conn).await?,
        profile_limits: load_profile_limits(conn).await?,
        networks: load_networks(conn).await?,
        exchange_rates: load_exchange_rates(conn).await?,
        ported_numbers: load_ported_numbers(conn).await?,
        calling: load_calling(conn).await?,
        packages: load_packages(conn).await?,
        contracts: load_contracts(conn).await?,
        fraud_rules: load_rules(conn).await?,
        fraud_exceptions: load_exceptions(conn).await?,
        kill_orders: load_kill_orders(conn).await?,
    })
}

async fn load_tenants(conn: &mut AnyConnection) -> Result<Vec<Tenant>> {
    let rows = query(
        "SELECT t.id, t.handle, t.currency, t.timezone, c.name, c.street, c.postcode, c.city, c.country, c.email, \
         c.vat_id, c.registration, c.iban FROM tenants t JOIN contacts c ON c.id = t.contact ORDER BY t.id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Tenant {
                id: TenantId(row.int("id")?),
                handle: row.text("handle")?,
                contact: contact_of(row)?,
                currency: row.word("currency")?,
                timezone: row.word("timezone")?,
            })
        })
        .collect()
}

async fn load_accounts(conn: &mut AnyConnection) -> Result<Vec<Account>> {
    let mut profiles: HashMap<i64, Vec<ProfileMapping>> = HashMap::new();
    for (account, mapping) in load_mappings(conn).await? {
        profiles.entry(account.0).or_default().push(mapping);
    }
    let mut policies = load_account_limits(conn).await?;
    let rows = query(
        "SELECT a.id, a.tenant, a.handle, a.kind, a.reseller, a.status, a.currency, a.timezone, a.vat_percent, \
         a.calls_max, c.name, c.street, c.postcode, c.city, c.country, c.email, c.vat_id, c.registration, c.iban \
         FROM accounts a JOIN contacts c ON c.id = a.contact ORDER BY a.id",
    )
    .fetch_all(&mut *conn)
    .await?;
    rows.iter()
        .map(|row| {
            let id = row.int("id")?;
            Ok(Account {
                id: AccountId(id),
                tenant: TenantId(row.int("tenant")?),
                kind: row.word("kind")?,
                handle: row.text("handle")?,
                reseller: row.opt_int("reseller")?.map(AccountId),
                status: row.word("status")?,
                currency: row.word("currency")?,
                timezone: row.word("timezone")?,
                contact: contact_of(row)?,
                vat_percent: row.word("vat_percent")?,
                calls_max: row.opt_narrow("calls_max")?,
                fraud: policies.remove(&id).unwrap_or_default(),
                profiles: profiles.remove(&id).unwrap_or_default(),
            })
        })
        .collect()
}

async fn load_subscribers(conn: &mut AnyConnection) -> Result<Vec<Subscriber>> {
    let rows = query(
        "SELECT id, tenant, account, uuid, username, domain, ha1_md5, ha1_sha256, cli, calls_max \
         FROM subscribers ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Subscriber {
                id: SubscriberId(row.int("id")?),
                tenant: TenantId(row.int("tenant")?),
                account: AccountId(row.int("account")?),
                uuid: row.text("uuid")?,
                username: row.text("username")?,
                domain: row.text("domain")?,
                digest: Digest { ha1_md5: row.text("ha1_md5")?, ha1_sha256: row.text("ha1_sha256")? },
                cli: row.opt_int("cli")?.map(|digits| number_of("cli", digits)).transpose()?,
                calls_max: row.opt_narrow("calls_max")?,
            })
        })
        .collect()
}

async fn load_numbers(conn: &mut AnyConnection) -> Result<Vec<NumberOwner>> {
    let rows =
        query("SELECT number, subscriber, valid_from, valid_to FROM numbers ORDER BY number, valid_from, id")
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|row| {
            Ok(NumberOwner {
                number: number_of("number", row.int("number")?)?,
                subscriber: SubscriberId(row.int("subscriber")?),
                from: row.time("valid_from")?,
                to: row.opt_time("valid_to")?,
            })
        })
        .collect()
}

async fn load_trunks(conn: &mut AnyConnection) -> Result<Vec<Trunk>> {
    let rows = query(
        "SELECT id, tenant, account, name, address, transport, sources, tech_prefix, calls_max, enabled \
         FROM trunks ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Trunk {
                id: TrunkId(row.int("id")?),
                tenant: TenantId(row.int("tenant")?),
                account: AccountId(row.int("account")?),
                name: row.text("name")?,
                address: row.word("address")?,
                transport: row.word("transport")?,
                sources: row.json("sources")?,
                tech_prefix: row.text("tech_prefix")?,
                calls_max: row.opt_narrow("calls_max")?,
                enabled: row.flag("enabled")?,
            })
        })
        .collect()
}

async fn load_routes(conn: &mut AnyConnection) -> Result<Vec<Route>> {
    let rows = query("SELECT id, tenant, prefix, trunk, priority, weight FROM routes ORDER BY id")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Route {
                id: RouteId(row.int("id")?),
                tenant: TenantId(row.int("tenant")?),
                prefix: row.text("prefix")?,
                trunk: TrunkId(row.int("trunk")?),
                priority: row.narrow("priority")?,
                weight: row.narrow("weight")?,
            })
        })
        .collect()
}

fn contact_of(row: &AnyRow) -> Result<Contact> {
    Ok(Contact {
        name: row.text("name")?,
        address: Address {
            street: row.text("street")?,
            postcode: row.text("postcode")?,
            city: row.text("city")?,
            country: row.text("country")?,
        },
        email: row.text("email")?,
        vat_id: row.text("vat_id")?,
        registration: row.text("registration")?,
        iban: row.text("iban")?,
    })
}

fn number_of(column: &'static str, digits: i64) -> Result<E164> {
    u64::try_from(digits).ok().and_then(E164::from_u64).ok_or_else(|| unreadable(column, digits))
}
