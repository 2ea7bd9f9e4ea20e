//! The snapshot of everything provisioned, read at one revision.

use std::collections::HashMap;

use chrono_tz::Tz;
use model::{
    Account, AccountId, Address, Contact, Digest, Directory, FraudPolicy, NumberOwner, ProfileMapping, Route,
    RouteId, Subscriber, SubscriberId, Tenant, TenantId, Trunk, TrunkId,
};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;
use tokio::task::JoinHandle;

use crate::barrings::load_barrings;
use crate::calling::load_calling;
use crate::contracts::{Contracts, load_packages};
use crate::dated_facts::{
    BoundMappings, GeneralMappings, in_order, load_exchange_rates, load_networks, load_ported_numbers,
};
use crate::fraud_desk::load_locks;
use crate::fraud_rules::{load_exceptions, load_kill_orders, load_rules};
use crate::limits::{load_account_limits, load_profile_limits};
use crate::long_tables::{Collect, Long, Reader, Row, make_room, read_packed};
use crate::source_bans::load_source_bans;
use crate::sql::{Bind, Columns, cells, query};
use crate::tariffs::{load_versions, load_versions_without_fees};
use crate::{Result, Store, StoreError};

impl Store {
    /// Everything provisioned, as it was at one moment.
    ///
    /// # Errors
    ///
    /// What the database says, or a row that this version cannot read.
    pub async fn directory(&self) -> Result<Directory> {
        // Several readers side by side. Whatever changes what they read counts the revision: those who see the same one see one moment.
        let _leave = self.much_read().await;
        let Some((revision, readers, mut tx)) = self.readers_at_one_revision(3).await? else {
            // One after the other, as one transaction sees it.
            let mut tx = self.read().await?;
            let directory = load_directory_without_fees(&mut tx).await?;
            let tariffs = load_versions(&mut tx, &self.fee_lists).await?;
            tx.commit().await?;
            return Ok(Directory { tariffs, ..directory });
        };
        let [mut of_accounts, mut of_subscribers, mut of_terms] =
            <[Reader; 3]>::try_from(readers).unwrap_or_else(|_| unreachable!("three were asked for"));
        let accounts = tokio::spawn(async move { of_accounts.read(Accounts::default()).await });
        let subscribers = tokio::spawn(async move { of_subscribers.read(Subscribers::default()).await });
        let terms = tokio::spawn(async move {
            let numbers = of_terms.read(Numbers::default()).await?;
            let contracts = of_terms.read(Contracts::default()).await?;
            let general = of_terms.read(GeneralMappings::default()).await?;
            let bound = of_terms.read(BoundMappings::default()).await?;
            Ok::<_, StoreError>((numbers.in_order(), contracts.by_account(), in_order(general, bound)))
        });
        let short = load_short(&mut tx).await?;
        let tariffs = load_versions(&mut tx, &self.fee_lists).await?;
        let policies = load_account_limits(&mut tx).await?;
        tx.commit().await?;
        let subscribers = joined(subscribers).await?.0;
        let (numbers, contracts, mappings) = joined(terms).await?;
        let accounts = joined(accounts).await?.with(mappings, policies);
        Ok(Directory { revision, accounts, subscribers, numbers, contracts, tariffs, ..short })
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

/// Everything provisioned, the tariff versions without their fees, as a transaction sees it.
pub(crate) async fn load_directory_without_fees(conn: &mut AnyConnection) -> Result<Directory> {
    let numbers = load_numbers(conn).await?;
    let contracts = read_packed(conn, Contracts::default()).await?.by_account();
    Ok(Directory {
        revision: load_revision(conn).await?,
        accounts: load_accounts(conn).await?,
        subscribers: read_packed(conn, Subscribers::default()).await?.0,
        numbers,
        contracts,
        tariffs: load_versions_without_fees(conn).await?,
        ..load_short(conn).await?
    })
}

async fn load_accounts(conn: &mut AnyConnection) -> Result<Vec<Account>> {
    let general = read_packed(conn, GeneralMappings::default()).await?;
    let bound = read_packed(conn, BoundMappings::default()).await?;
    let policies = load_account_limits(conn).await?;
    Ok(read_packed(conn, Accounts::default()).await?.with(in_order(general, bound), policies))
}

/// What a task of ours made; such a task is never cancelled.
pub(crate) async fn joined<T>(task: JoinHandle<Result<T>>) -> Result<T> {
    match task.await {
        Ok(made) => made,
        Err(failed) => std::panic::resume_unwind(failed.into_panic()),
    }
}

/// All that is not long, but for tariffs.
async fn load_short(conn: &mut AnyConnection) -> Result<Directory> {
    Ok(Directory {
        tenants: load_tenants(conn).await?,
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
        source_bans: load_source_bans(conn).await?,
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

/// Accounts without what other tables say of them.
#[derive(Default)]
struct Accounts {
    read: Vec<Account>,
    words: Words,
}

impl Collect for Accounts {
    const WHAT: Long = Long {
        columns: &[
            "a.id",
            "a.tenant",
            "a.handle",
            "a.kind",
            "a.reseller",
            "a.status",
            "a.currency",
            "a.timezone",
            "a.vat_percent",
            "a.calls_max",
            "c.name",
            "c.street",
            "c.postcode",
            "c.city",
            "c.country",
            "c.email",
            "c.vat_id",
            "c.registration",
            "c.iban",
        ],
        n_keys: 1,
        from: "accounts a JOIN contacts c ON c.id = a.contact",
        is_in_order: true,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.read, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        self.read.push(Account {
            id: AccountId(row.int(0)?),
            tenant: TenantId(row.int(1)?),
            handle: row.string(2)?,
            kind: row.word(3)?,
            reseller: row.opt_int(4)?.map(AccountId),
            status: row.word(5)?,
            currency: row.word(6)?,
            timezone: self.words.timezone(row, 7)?,
            vat_percent: row.word(8)?,
            calls_max: row.opt_narrow(9)?,
            contact: Contact {
                name: row.string(10)?,
                address: Address {
                    street: row.string(11)?,
                    postcode: row.string(12)?,
                    city: row.string(13)?,
                    country: row.string(14)?,
                },
                email: row.string(15)?,
                vat_id: row.string(16)?,
                registration: row.string(17)?,
                iban: row.string(18)?,
            },
            fraud: FraudPolicy::default(),
            profiles: Vec::new(),
        });
        Ok(())
    }
}

impl Accounts {
    /// With their schedules and their own limits; mappings come by account.
    fn with(
        self,
        mappings: Vec<(AccountId, ProfileMapping)>,
        mut policies: HashMap<i64, FraudPolicy>,
    ) -> Vec<Account> {
        let mut accounts = self.read;
        let mut mappings = mappings.into_iter().peekable();
        for account in &mut accounts {
            while mappings.next_if(|(of, _)| *of < account.id).is_some() {}
            let of_it = std::iter::from_fn(|| mappings.next_if(|(of, _)| *of == account.id));
            account.profiles.extend(of_it.map(|(_, mapping)| mapping));
            if !policies.is_empty()
                && let Some(policy) = policies.remove(&account.id.0)
            {
                account.fraud = policy;
            }
        }
        accounts
    }
}

#[derive(Default)]
struct Subscribers(Vec<Subscriber>);

impl Collect for Subscribers {
    const WHAT: Long = Long {
        columns: &[
            "id",
            "tenant",
            "account",
            "uuid",
            "username",
            "domain",
            "ha1_md5",
            "ha1_sha256",
            "cli",
            "calls_max",
        ],
        n_keys: 1,
        from: "subscribers",
        is_in_order: true,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.0, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        self.0.push(Subscriber {
            id: SubscriberId(row.int(0)?),
            tenant: TenantId(row.int(1)?),
            account: AccountId(row.int(2)?),
            uuid: row.string(3)?,
            username: row.string(4)?,
            domain: row.string(5)?,
            digest: Digest { ha1_md5: row.string(6)?, ha1_sha256: row.string(7)? },
            cli: row.opt_number(8)?,
            calls_max: row.opt_narrow(9)?,
        });
        Ok(())
    }
}

#[derive(Default)]
struct Numbers(Vec<NumberOwner>);

impl Collect for Numbers {
    const WHAT: Long = Long {
        columns: &["id", "number", "subscriber", "valid_from", "valid_to"],
        n_keys: 1,
        from: "numbers",
        is_in_order: true,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.0, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        self.0.push(NumberOwner {
            number: row.number(1)?,
            subscriber: SubscriberId(row.int(2)?),
            from: row.time(3)?,
            to: row.opt_time(4)?,
        });
        Ok(())
    }
}

impl Numbers {
    /// By number and time; by id where they are alike, as they were read.
    fn in_order(self) -> Vec<NumberOwner> {
        let mut numbers = self.0;
        numbers.sort_by_key(|owner| (owner.number, owner.from));
        numbers
    }
}

pub(crate) async fn load_numbers(conn: &mut AnyConnection) -> Result<Vec<NumberOwner>> {
    Ok(read_packed(conn, Numbers::default()).await?.in_order())
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

/// Of a long table, the last zone's name is mostly the next one's too, and to look it up takes longer than to compare.
#[derive(Default)]
struct Words {
    timezone: Option<(String, Tz)>,
}

impl Words {
    fn timezone(&mut self, row: &Row<'_>, place: usize) -> Result<Tz> {
        let name = row.text(place)?;
        if let Some((_, zone)) = self.timezone.as_ref().filter(|(known, _)| known == name) {
            return Ok(*zone);
        }
        let zone = row.word(place)?;
        self.timezone = Some((name.to_owned(), zone));
        Ok(zone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::query_of;

    /// Rows of all sorts, by the hundred: texts that a format may trip over, and nothing where there may be nothing.
    async fn fill(store: &Store) {
        let odd = "CASE n % 5 WHEN 0 THEN '' WHEN 1 THEN 'O''Neill \"& Söhne\"' WHEN 2 THEN 'a\\b' || char(10, 9, 1) \
                   WHEN 3 THEN '[1,2],null' ELSE char(128222) || 'Ω漢' END";
        let many = "WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < 4500)";
        let at = "1700000000123456 + n";
        for text in [
            format!(
                "INSERT INTO contacts (id, name, street, postcode, city, country, email, vat_id, registration, iban) \
                 {many} SELECT n, {odd}, n, {odd}, '', {odd}, n, {odd}, '', {odd} FROM s"
            ),
            "INSERT INTO tenants (id, handle, contact, currency, timezone, revision) VALUES \
             (1, 'vox', 1, 'EUR', 'Europe/Vienna', 1), (2, 'tel', 2, 'USD', 'UTC', 1)"
                .to_owned(),
            // Ids with gaps, and contacts in another order than accounts.
            format!(
                "INSERT INTO accounts (id, tenant, handle, kind, reseller, status, currency, timezone, contact, vat_percent, \
                 calls_max, revision) {many} SELECT n * 3, 1 + n % 2, 'h' || (n / 2), \
                 CASE n % 3 WHEN 0 THEN 'customer' WHEN 1 THEN 'reseller' ELSE 'carrier' END, NULLIF(n % 2, 0) * 3, \
                 CASE n % 4 WHEN 0 THEN 'terminated' WHEN 1 THEN 'suspended' ELSE 'active' END, \
                 CASE n % 7 WHEN 0 THEN 'USD' ELSE 'EUR' END, CASE n % 9 WHEN 0 THEN 'Asia/Tokyo' ELSE 'Europe/Vienna' END, \
                 4501 - n, CASE n % 2 WHEN 0 THEN '20' ELSE '7.70' END, NULLIF(n % 6, 0), 1 FROM s"
            ),
            format!(
                "INSERT INTO subscribers (id, tenant, account, uuid, username, domain, ha1_md5, ha1_sha256, cli, calls_max, \
                 revision) {many} SELECT n * 2, 1 + n % 2, n * 3, n || {odd}, 'u' || n, {odd}, n, n, NULLIF(n % 3, 0), \
                 NULLIF(n % 5, 0), 1 FROM s"
            ),
            // Owned one after the other, and some twice from the same moment.
            format!(
                "INSERT INTO numbers (tenant, number, subscriber, valid_from, valid_to, revision) {many} \
                 SELECT 1, 43660000000 + n % 1500, 2 * n, {at} / 7 * 7, {at} + 9, 1 FROM s"
            ),
            "INSERT INTO billing_profiles (id, tenant, handle, name, revision) VALUES (1, 1, 'retail', '', 1)"
                .to_owned(),
            "INSERT INTO networks (id, tenant, name, blocks, revision) VALUES (1, 1, 'a', '[]', 1), (2, 1, 'b', '[]', 1)"
                .to_owned(),
            format!(
                "INSERT INTO profile_mappings (account, valid_from, valid_to, profile, revision) {many} \
                 SELECT 3 * (1 + n * 7 % 900), {at}, NULLIF(n % 2, 0) + {at}, 1, 1 FROM s"
            ),
            format!(
                "INSERT INTO network_mappings (account, network, valid_from, valid_to, profile, revision) {many} \
                 SELECT 3 * (1 + n * 11 % 900), 1 + n % 2, {at}, NULL, 1, 1 FROM s"
            ),
            format!(
                "INSERT INTO contracts (account, created_at, terms, revision) {many} SELECT 3 * (4501 - n), {at}, \
                 CASE n % 3 WHEN 0 THEN '{{}}' WHEN 1 THEN '{{\"package\":\"gold\"}}' \
                 ELSE '{{\"credit_limit\":\"' || n || '.5\",\"low_balance\":{{\"below\":\"1\",\"notify\":[\"a@b.example\"]}}}}' \
                 END, 1 FROM s WHERE n % 4 > 0"
            ),
            "UPDATE revisions SET revision = 7".to_owned(),
        ] {
            let mut tx = store.write().await.unwrap();
            query_of(text).execute(&mut *tx).await.unwrap();
            tx.commit().await.unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn file_and_transaction_tell_the_same_of_odd_rows() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        fill(&store).await;
        let from_file = store.directory().await.unwrap();
        let mut tx = store.read().await.unwrap();
        let in_transaction = load_directory_without_fees(&mut tx).await.unwrap();
        let (accounts, contracts) = (&from_file.accounts, &from_file.contracts);
        assert_eq!((from_file.revision, accounts.len(), contracts.len()), (7, 4_500, 3_375));
        assert_eq!(accounts.iter().map(|account| account.profiles.len()).sum::<usize>(), 9_000);
        assert!(from_file.numbers.is_sorted_by_key(|owner| (owner.number, owner.from)));
        for (one, other) in accounts.iter().zip(&in_transaction.accounts) {
            assert_eq!(one, other);
        }
        assert!(from_file == in_transaction);
    }
}
