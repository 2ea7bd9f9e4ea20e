//! The snapshot of everything provisioned, read at one revision.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use model::{
    Account, AccountId, Address, Contact, ContractTerms, Digest, Directory, E164, NumberOwner, Route,
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
use crate::sql::{Bind, Cell, Columns, Packed, cells, parsed, query, read_packed, time_of, unreadable};
use crate::tariffs::{load_versions, load_versions_without_fees};
use crate::{Result, Store, StoreError};

impl Store {
    /// Everything provisioned, as it was at one moment.
    ///
    /// # Errors
    ///
    /// What the database says, or a row that this version cannot read.
    pub async fn directory(&self) -> Result<Directory> {
        // Two halves at once. Whatever changes one of them counts the revision, so halves of one revision are of one moment.
        let (of_parties, of_accounts) = (self.clone(), self.clone());
        let (parties, accounts) = tokio::join!(
            tokio::spawn(async move {
                let mut tx = of_parties.read().await?;
                let revision = load_revision(&mut tx).await?;
                let parties = load_parties(&mut tx).await?;
                tx.commit().await?;
                Ok::<_, StoreError>((revision, parties))
            }),
            tokio::spawn(async move {
                let mut tx = of_accounts.read().await?;
                let accounts = load_all_but_parties(&mut tx).await?;
                let directory = Directory { tariffs: load_versions(&mut tx).await?, ..accounts };
                tx.commit().await?;
                Ok::<_, StoreError>(directory)
            })
        );
        // Neither is ever cancelled; what a change of provisioning came between is read again below.
        if let (Ok(parties), Ok(accounts)) = (parties, accounts) {
            let ((revision, parties), accounts) = (parties?, accounts?);
            if revision == accounts.revision {
                return Ok(parties.beside(accounts));
            }
        }
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
    let parties = load_parties(conn).await?;
    let tariffs = load_versions_without_fees(conn).await?;
    Ok(parties.beside(Directory { tariffs, ..load_all_but_parties(conn).await? }))
}

/// The half of a snapshot that changes by imports alone.
struct Parties {
    subscribers: Vec<Subscriber>,
    numbers: Vec<NumberOwner>,
    contracts: BTreeMap<AccountId, ContractTerms>,
}

impl Parties {
    fn beside(self, rest: Directory) -> Directory {
        let Parties { subscribers, numbers, contracts } = self;
        Directory { subscribers, numbers, contracts, ..rest }
    }
}

async fn load_parties(conn: &mut AnyConnection) -> Result<Parties> {
    Ok(Parties {
        subscribers: load_subscribers(conn).await?,
        numbers: load_numbers(conn).await?,
        contracts: load_contracts(conn).await?,
    })
}

/// The other half, without tariffs.
async fn load_all_but_parties(conn: &mut AnyConnection) -> Result<Directory> {
    Ok(Directory {
        revision: load_revision(conn).await?,
        tenants: load_tenants(conn).await?,
        accounts: load_accounts(conn).await?,
        trunks: load_trunks(conn).await?,
        routes: load_routes(conn).await?,
        locks: load_locks(conn).await?,
        barrings: load_barrings(conn).await?,
        profile_limits: load_profile_limits(conn).await?,
        networks: load_networks(conn).await?,
        exchange_rates: load_exchange_rates(conn).await?,
        ported_numbers: load_ported_numbers(conn).await?,
        calling: load_calling(conn).await?,
        packages: load_packages(conn).await?,
        fraud_rules: load_rules(conn).await?,
        fraud_exceptions: load_exceptions(conn).await?,
        kill_orders: load_kill_orders(conn).await?,
        ..Directory::default()
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
    let mut mappings = load_mappings(conn).await?.into_iter().peekable();
    let mut policies = load_account_limits(conn).await?;
    let what = Packed {
        key: "a.id",
        columns: "a.id, a.tenant, a.handle, a.kind, a.reseller, a.status, a.currency, a.timezone, a.vat_percent, a.calls_max, \
                  LIST(c.name, c.street, c.postcode, c.city, c.country, c.email, c.vat_id, c.registration, c.iban)",
        from: "accounts a JOIN contacts c ON c.id = a.contact",
        group: "",
    };
    let (mut words, mut accounts) = (Words::default(), Vec::new());
    read_packed(conn, what, Cell::from(BEFORE_ALL), |row: AccountRow| {
        let (id, tenant, handle, kind, reseller, status, currency, timezone, vat_percent, calls_max, contact) = row;
        let [name, street, postcode, city, country, email, vat_id, registration, iban] = contact;
        while mappings.next_if(|(account, _)| account.0 < id).is_some() {}
        let of_it = std::iter::from_fn(|| mappings.next_if(|(account, _)| account.0 == id));
        accounts.push(Account {
            id: AccountId(id),
            tenant: TenantId(tenant),
            kind: parsed("kind", kind)?,
            handle,
            reseller: reseller.map(AccountId),
            status: parsed("status", status)?,
            currency: parsed("currency", currency)?,
            timezone: words.timezone(timezone)?,
            contact: Contact {
                name,
                address: Address { street, postcode, city, country },
                email,
                vat_id,
                registration,
                iban,
            },
            vat_percent: parsed("vat_percent", vat_percent)?,
            calls_max,
            fraud: policies.remove(&id).unwrap_or_default(),
            profiles: of_it.map(|(_, mapping)| mapping).collect(),
        });
        Ok(Cell::from(id))
    })
    .await?;
    Ok(accounts)
}

/// Below every id.
pub(crate) const BEFORE_ALL: i64 = 0;

type AccountRow =
    (i64, i64, String, String, Option<i64>, String, String, String, String, Option<u32>, [String; 9]);

type SubscriberRow = (i64, i64, i64, String, String, String, String, String, Option<i64>, Option<u32>);

async fn load_subscribers(conn: &mut AnyConnection) -> Result<Vec<Subscriber>> {
    let what = Packed {
        key: "id",
        columns: "id, tenant, account, uuid, username, domain, ha1_md5, ha1_sha256, cli, calls_max",
        from: "subscribers",
        group: "",
    };
    let mut subscribers = Vec::new();
    read_packed(conn, what, Cell::from(BEFORE_ALL), |row: SubscriberRow| {
        let (id, tenant, account, uuid, username, domain, ha1_md5, ha1_sha256, cli, calls_max) = row;
        subscribers.push(Subscriber {
            id: SubscriberId(id),
            tenant: TenantId(tenant),
            account: AccountId(account),
            uuid,
            username,
            domain,
            digest: Digest { ha1_md5, ha1_sha256 },
            cli: cli.map(|digits| number_of("cli", digits)).transpose()?,
            calls_max,
        });
        Ok(Cell::from(id))
    })
    .await?;
    Ok(subscribers)
}

async fn load_numbers(conn: &mut AnyConnection) -> Result<Vec<NumberOwner>> {
    type Row = (i64, i64, i64, i64, Option<i64>);
    let what = Packed {
        key: "id",
        columns: "id, number, subscriber, valid_from, valid_to",
        from: "numbers",
        group: "",
    };
    // By id where they are alike, as they were read.
    let mut numbers = Vec::new();
    read_packed(conn, what, Cell::from(BEFORE_ALL), |(id, number, subscriber, from, to): Row| {
        numbers.push(NumberOwner {
            number: number_of("number", number)?,
            subscriber: SubscriberId(subscriber),
            from: time_of("valid_from", from)?,
            to: to.map(|to| time_of("valid_to", to)).transpose()?,
        });
        Ok(Cell::from(id))
    })
    .await?;
    numbers.sort_by_key(|owner| (owner.number, owner.from));
    Ok(numbers)
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

/// Of a long table, the last zone's name is mostly the next one's too, and to look it up takes longer than to compare.
#[derive(Default)]
struct Words {
    timezone: Option<(String, Tz)>,
}

impl Words {
    fn timezone(&mut self, name: String) -> Result<Tz> {
        if let Some((_, zone)) = self.timezone.as_ref().filter(|(known, _)| *known == name) {
            return Ok(*zone);
        }
        let zone = parsed("timezone", name.clone())?;
        self.timezone = Some((name, zone));
        Ok(zone)
    }
}
