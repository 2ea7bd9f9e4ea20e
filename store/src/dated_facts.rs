//! What prices depend on beside tariffs: networks and the schedules bound to them, exchange rates, ported numbers.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use model::{
    AccountId, BillingNetwork, ExchangeRate, NetworkId, PortedNumber, ProfileId, ProfileMapping, TenantId,
};
use rust_decimal::Decimal;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::directory::load_revision;
use crate::long_tables::{Collect, Long, Row, make_room};
use crate::revision::announce_revision;
use crate::sql::{Bind, Columns, cells, insert_rows, json, query};
use crate::{Result, Store};

/// What an import of ported numbers did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PortedReport {
    /// New.
    pub added: u64,
    /// There before, alike.
    pub unchanged: u64,
    /// No longer in the list; closed, where the whole list was given.
    pub closed: u64,
    /// The revision now in force.
    pub revision: i64,
}

impl Store {
    /// Adds ported numbers; those that are there alike are left alone. With `whole` the list is all there is: entries that it does not
    /// name end at `now`, so that calls made before keep their price.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn import_ported(
        &self,
        numbers: &[PortedNumber],
        whole: bool,
        now: DateTime<Utc>,
        actor: &str,
    ) -> Result<PortedReport> {
        let mut tx = self.write().await?;
        query("UPDATE revisions SET revision = revision WHERE one = 1").execute(&mut *tx).await?;
        let revision = load_revision(&mut tx).await? + 1;
        let there = load_ported(&mut tx).await?;
        let listed: HashSet<&PortedNumber> = numbers.iter().collect();
        let known: HashSet<&PortedNumber> = there.iter().map(|(_, number)| number).collect();
        let mut report = PortedReport { revision: revision - 1, ..PortedReport::default() };
        let mut fresh = Vec::new();
        let mut seen = HashSet::new();
        for number in numbers.iter().filter(|number| seen.insert(*number)) {
            if known.contains(number) {
                report.unchanged += 1;
                continue;
            }
            fresh.push(cells![
                number.number.as_str(),
                number.carrier.as_str(),
                number.number_type.as_str(),
                number.from,
                number.to,
                revision,
            ]);
        }
        report.added = insert_rows(
            &mut tx,
            "INSERT INTO ported_numbers (number, carrier, number_type, valid_from, valid_to, revision)",
            "",
            fresh,
        )
        .await?;
        let is_open = |number: &PortedNumber| number.to.is_none_or(|to| now < to);
        for (id, _) in there.iter().filter(|(_, number)| whole && is_open(number) && !listed.contains(number))
        {
            query("UPDATE ported_numbers SET valid_to = $2, revision = $3 WHERE id = $1")
                .cells(cells![*id, now, revision])
                .execute(&mut *tx)
                .await?;
            report.closed += 1;
        }
        if report.added + report.closed == 0 {
            tx.rollback().await?;
            return Ok(report);
        }
        report.revision = revision;
        query("UPDATE revisions SET revision = $1 WHERE one = 1")
            .cells(cells![revision])
            .execute(&mut *tx)
            .await?;
        announce_revision(&mut tx).await?;
        let after = json(&[("added", report.added), ("closed", report.closed)]);
        append(&mut tx, actor, "import", "ported numbers", "", &after, now).await?;
        tx.commit().await?;
        Ok(report)
    }
}

async fn load_ported(conn: &mut AnyConnection) -> Result<Vec<(i64, PortedNumber)>> {
    let rows = query(
        "SELECT id, number, carrier, number_type, valid_from, valid_to FROM ported_numbers ORDER BY id",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let number = PortedNumber {
                number: row.text("number")?,
                carrier: row.text("carrier")?,
                number_type: row.text("number_type")?,
                from: row.opt_time("valid_from")?,
                to: row.opt_time("valid_to")?,
            };
            Ok((row.int("id")?, number))
        })
        .collect()
}

pub(crate) async fn load_ported_numbers(conn: &mut AnyConnection) -> Result<Vec<PortedNumber>> {
    Ok(load_ported(conn).await?.into_iter().map(|(_, number)| number).collect())
}

pub(crate) async fn load_networks(conn: &mut AnyConnection) -> Result<Vec<BillingNetwork>> {
    let rows = query("SELECT id, tenant, name, blocks FROM networks ORDER BY id").fetch_all(conn).await?;
    rows.iter()
        .map(|row| {
            Ok(BillingNetwork {
                id: NetworkId(row.int("id")?),
                tenant: TenantId(row.int("tenant")?),
                name: row.text("name")?,
                blocks: row.json("blocks")?,
            })
        })
        .collect()
}

/// Writes `network`, which has id 0 if it is new; returns its id.
pub(crate) async fn write_network(
    conn: &mut AnyConnection,
    network: &BillingNetwork,
    revision: i64,
) -> Result<NetworkId> {
    let row = query(
        "INSERT INTO networks (tenant, name, blocks, revision) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (tenant, name) DO UPDATE SET blocks = excluded.blocks, revision = excluded.revision RETURNING id",
    )
    .cells(cells![network.tenant.0, network.name.as_str(), json(&network.blocks), revision])
    .fetch_one(conn)
    .await?;
    Ok(NetworkId(row.int("id")?))
}

pub(crate) async fn load_exchange_rates(conn: &mut AnyConnection) -> Result<Vec<ExchangeRate>> {
    let rows = query(
        "SELECT tenant, from_currency, to_currency, valid_from, rate FROM exchange_rates \
         ORDER BY tenant, from_currency, to_currency, valid_from",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(ExchangeRate {
                tenant: TenantId(row.int("tenant")?),
                from: row.word("from_currency")?,
                to: row.word("to_currency")?,
                rate: row.word::<Decimal>("rate")?,
                valid_from: row.time("valid_from")?,
            })
        })
        .collect()
}

pub(crate) async fn write_exchange_rate(
    conn: &mut AnyConnection,
    rate: &ExchangeRate,
    revision: i64,
) -> Result<()> {
    query(
        "INSERT INTO exchange_rates (tenant, from_currency, to_currency, valid_from, rate, revision) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, from_currency, to_currency, valid_from) \
         DO UPDATE SET rate = excluded.rate, revision = excluded.revision",
    )
    .cells(cells![
        rate.tenant.0,
        rate.from.as_str(),
        rate.to.as_str(),
        rate.valid_from,
        rate.rate.to_string(),
        revision
    ])
    .execute(conn)
    .await?;
    Ok(())
}

/// Mappings for any network, of all accounts.
#[derive(Default)]
pub(crate) struct GeneralMappings(Vec<(AccountId, ProfileMapping)>);

impl Collect for GeneralMappings {
    const WHAT: Long = Long {
        columns: &["account", "valid_from", "valid_to", "profile"],
        n_keys: 2,
        from: "profile_mappings",
        is_in_order: false,
    };

    fn expect(&mut self, n_rows: usize) {
        make_room(&mut self.0, n_rows);
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let (from, to, profile) = (row.time(1)?, row.opt_time(2)?, ProfileId(row.int(3)?));
        self.0.push((AccountId(row.int(0)?), ProfileMapping { from, to, network: None, profile }));
        Ok(())
    }
}

/// Those bound to a network.
#[derive(Default)]
pub(crate) struct BoundMappings(Vec<(AccountId, ProfileMapping)>);

impl Collect for BoundMappings {
    const WHAT: Long = Long {
        columns: &["account", "network", "valid_from", "valid_to", "profile"],
        n_keys: 3,
        from: "network_mappings",
        is_in_order: false,
    };

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let (from, to, profile) = (row.time(2)?, row.opt_time(3)?, ProfileId(row.int(4)?));
        let network = Some(NetworkId(row.int(1)?));
        self.0.push((AccountId(row.int(0)?), ProfileMapping { from, to, network, profile }));
        Ok(())
    }
}

/// Both, by account, in the order of their beginning.
pub(crate) fn in_order(general: GeneralMappings, bound: BoundMappings) -> Vec<(AccountId, ProfileMapping)> {
    let mut mappings = general.0;
    mappings.extend(bound.0);
    mappings.sort_by_key(|(account, mapping)| (*account, mapping.from, mapping.network));
    mappings
}

/// Mappings of one account, as [`in_order`] has them.
pub(crate) async fn mappings_of(conn: &mut AnyConnection, account: AccountId) -> Result<Vec<ProfileMapping>> {
    let rows = query(
        "SELECT account, 0 AS network, valid_from, valid_to, profile FROM profile_mappings WHERE account = $1 \
         UNION ALL SELECT account, network, valid_from, valid_to, profile FROM network_mappings WHERE account = $1 \
         ORDER BY account, valid_from, network",
    )
    .cells(cells![account.0])
    .fetch_all(conn)
    .await?;
    Ok(mappings(&rows)?.into_iter().map(|(_, mapping)| mapping).collect())
}

fn mappings(rows: &[AnyRow]) -> Result<Vec<(AccountId, ProfileMapping)>> {
    rows.iter()
        .map(|row| {
            let network = row.int("network")?;
            let mapping = ProfileMapping {
                from: row.time("valid_from")?,
                to: row.opt_time("valid_to")?,
                network: (network != 0).then_some(NetworkId(network)),
                profile: ProfileId(row.int("profile")?),
            };
            Ok((AccountId(row.int("account")?), mapping))
        })
        .collect()
}

/// Writes a mapping in the place of one with the same beginning and network.
pub(crate) async fn write_mapping(
    conn: &mut AnyConnection,
    account: AccountId,
    mapping: &ProfileMapping,
    revision: i64,
) -> Result<()> {
    let (from, to, profile) = (mapping.from, mapping.to, mapping.profile.0);
    let query = match mapping.network {
        None => query(
            "INSERT INTO profile_mappings (account, valid_from, valid_to, profile, revision) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (account, valid_from) DO UPDATE SET valid_to = excluded.valid_to, profile = excluded.profile, \
             revision = excluded.revision",
        )
        .cells(cells![account.0, from, to, profile, revision]),
        Some(network) => query(
            "INSERT INTO network_mappings (account, valid_from, valid_to, profile, revision, network) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account, network, valid_from) DO UPDATE SET \
             valid_to = excluded.valid_to, profile = excluded.profile, revision = excluded.revision",
        )
        .cells(cells![account.0, from, to, profile, revision, network.0]),
    };
    query.execute(conn).await?;
    Ok(())
}
