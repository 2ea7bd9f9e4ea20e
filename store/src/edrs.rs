//! Event detail records: kept as the mediator makes them, and what of them waits for the files of partners.
//!
//! In: EDRs, in the commit of the stage that made them; one that is there already is left alone. Out: the latest, for people, and
//! the queue of each owner, for files.

use model::{AccountId, E164, Edr, EdrKind, SubscriberId, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::sql::{Bind, Columns, cells, insert_rows, query, query_of, unreadable};
use crate::{Result, Store};

const COLUMNS: &str = "edrs.id, edrs.tenant, edrs.account, edrs.reseller, edrs.subscriber, edrs.uuid, edrs.number, \
     edrs.kind, edrs.old_status, edrs.new_status, edrs.detail, edrs.at";

/// An EDR that waits for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingEdr {
    /// Its place in the queue, `edr_rows.id`.
    pub row: i64,
    /// What is to be told.
    pub edr: Edr,
}

/// Which EDRs to show.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EdrFilter {
    /// Of one kind.
    pub kind: Option<EdrKind>,
    /// Of one account.
    pub account: Option<AccountId>,
    /// Of one number.
    pub number: Option<E164>,
}

impl Store {
    /// The latest EDRs that fit, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edrs(&self, filter: EdrFilter, max: u32) -> Result<Vec<Edr>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT {COLUMNS} FROM edrs WHERE ($1 = '' OR kind = $1) AND ($2 = 0 OR account = $2) \
             AND ($3 = 0 OR number = $3) ORDER BY seq DESC LIMIT $4"
        ))
        .cells(cells![
            filter.kind.map_or("", EdrKind::as_str),
            filter.account.map_or(0, |account| account.0),
            filter.number.map_or(0, |number| number.as_u64().cast_signed()),
            max,
        ])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(edr_of).collect()
    }

    /// EDRs that wait for the next file of `owner` (`system` or `reseller:ID`), oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edrs_waiting(&self, owner: &str, max: u32) -> Result<Vec<WaitingEdr>> {
        let mut tx = self.read().await?;
        let waiting = edrs_waiting_in(&mut tx, owner, max).await?;
        tx.commit().await?;
        Ok(waiting)
    }

    /// EDRs that partners get and that are not queued for all whom they concern: for the audit.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edrs_not_queued(&self) -> Result<Vec<String>> {
        let told = EdrKind::ALL.iter().filter(|kind| kind.is_of_provisioning());
        let told: Vec<String> = told.map(|kind| format!("'{kind}'")).collect();
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT id FROM edrs WHERE kind IN ({}) \
             AND (NOT EXISTS (SELECT 1 FROM edr_rows WHERE owner = 'system' AND edr = edrs.id) \
             OR reseller <> $1 AND NOT EXISTS (SELECT 1 FROM edr_rows \
             WHERE owner = 'reseller:' || CAST(edrs.reseller AS TEXT) AND edr = edrs.id)) ORDER BY seq",
            told.join(", ")
        ))
        .cells(cells![AccountId::NOBODY.0])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.text("id")).collect()
    }

    /// Owners for whose files EDRs wait.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edr_owners_waiting(&self) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT DISTINCT owner FROM edr_rows WHERE file IS NULL AND is_filtered = 0 ORDER BY owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.text("owner")).collect()
    }
}

pub(crate) async fn edrs_waiting_in(
    conn: &mut AnyConnection,
    owner: &str,
    max: u32,
) -> Result<Vec<WaitingEdr>> {
    let rows = query_of(format!(
        "SELECT edr_rows.id AS row_id, {COLUMNS} FROM edr_rows JOIN edrs ON edrs.id = edr_rows.edr \
         WHERE edr_rows.owner = $1 AND edr_rows.file IS NULL AND edr_rows.is_filtered = 0 \
         ORDER BY edr_rows.id LIMIT $2"
    ))
    .cells(cells![owner, max])
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok(WaitingEdr { row: row.int("row_id")?, edr: edr_of(row)? })).collect()
}

/// Keeps `edrs`, and queues those that tell of provisioning for the operator and for the reseller above.
pub(crate) async fn write_edrs(conn: &mut AnyConnection, edrs: Vec<Edr>) -> Result<()> {
    let mut queued = Vec::new();
    for edr in edrs.iter().filter(|edr| edr.kind.is_of_provisioning()) {
        queued.push(cells!["system", edr.id.as_str()]);
        if edr.reseller != AccountId::NOBODY {
            queued.push(cells![format!("reseller:{}", edr.reseller), edr.id.as_str()]);
        }
    }
    let rows = edrs
        .into_iter()
        .map(|edr| {
            cells![
                edr.id,
                edr.tenant.0,
                edr.account.0,
                edr.reseller.0,
                edr.subscriber.map(|subscriber| subscriber.0),
                edr.uuid,
                edr.number.map(|number| number.as_u64().cast_signed()),
                edr.kind.as_str(),
                edr.old_status,
                edr.new_status,
                edr.detail,
                edr.at,
            ]
        })
        .collect();
    insert_rows(
        &mut *conn,
        "INSERT INTO edrs (id, tenant, account, reseller, subscriber, uuid, number, kind, old_status, new_status, \
         detail, at)",
        "ON CONFLICT (id) DO NOTHING",
        rows,
    )
    .await?;
    insert_rows(conn, "INSERT INTO edr_rows (owner, edr)", "ON CONFLICT (owner, edr) DO NOTHING", queued)
        .await?;
    Ok(())
}

fn edr_of(row: &AnyRow) -> Result<Edr> {
    let number = row
        .opt_narrow::<u64>("number")?
        .map(|digits| E164::from_u64(digits).ok_or_else(|| unreadable("number", digits)))
        .transpose()?;
    Ok(Edr {
        id: row.text("id")?,
        tenant: TenantId(row.int("tenant")?),
        account: AccountId(row.int("account")?),
        subscriber: row.opt_int("subscriber")?.map(SubscriberId),
        kind: row.word("kind")?,
        old_status: row.text("old_status")?,
        new_status: row.text("new_status")?,
        detail: row.text("detail")?,
        at: row.time("at")?,
        reseller: AccountId(row.int("reseller")?),
        uuid: row.text("uuid")?,
        number,
    })
}
