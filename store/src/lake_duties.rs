//! What the lake owes to people and to law: holds on rows, and persons to be forgotten. The lake's files are the lake's; here is what was
//! asked, by whom, and what came of it.

use chrono::{DateTime, Utc};
use model::{AccountId, E164, TenantId};
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// Rows that nothing may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeHold {
    /// Its id.
    pub id: i64,
    /// Rows of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// Rows of one account; `None`: whichever.
    pub account: Option<AccountId>,
    /// Rows with one number; `None`: whichever.
    pub number: Option<E164>,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: DateTime<Utc>,
    /// When it was lifted; `None`: in force.
    pub lifted_at: Option<DateTime<Utc>>,
}

/// A person who is to be forgotten, or was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LakeErasure {
    /// Its id.
    pub id: i64,
    /// In the rows of one tenant; `None`: of all.
    pub tenant: Option<TenantId>,
    /// The number; `None` once it is forgotten.
    pub number: Option<E164>,
    /// What may be said of it.
    pub said: String,
    /// Why.
    pub reason: String,
    /// Who asked.
    pub asked_by: String,
    /// When.
    pub asked_at: DateTime<Utc>,
    /// When it was done; `None`: it waits, with rows held for a hold to be lifted.
    pub done_at: Option<DateTime<Utc>>,
    /// Rows that lost numbers.
    pub rows_changed: u64,
    /// Rows that a hold kept.
    pub rows_held: u64,
    /// Where the proofs are, relative to the lake's directory.
    pub proofs: Vec<String>,
}

/// What a hold is to cover.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HoldScope {
    /// Rows of one tenant.
    pub tenant: Option<TenantId>,
    /// Rows of one account.
    pub account: Option<AccountId>,
    /// Rows with one number.
    pub number: Option<E164>,
}

impl HoldScope {
    /// In words that hide the number.
    fn said(&self) -> String {
        format!("tenant {:?}, account {:?}, number {:?}", self.tenant, self.account, self.number)
    }
}

impl Store {
    /// Sets a hold; its id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lake_hold_set(
        &self,
        scope: &HoldScope,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut tx = self.write().await?;
        let id = query(
            "INSERT INTO lake_holds (tenant, account, number, reason, set_by, set_at) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        )
        .cells(cells![
            scope.tenant.map(|tenant| tenant.0),
            scope.account.map(|account| account.0),
            scope.number.map(|number| number.to_string()),
            reason,
            actor,
            now
        ])
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        append(&mut tx, actor, "lake hold", &format!("hold:{id}"), "", &scope.said(), now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Lifts a hold.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none of this id in force; what the database says.
    pub async fn lake_hold_lift(&self, id: i64, reason: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "UPDATE lake_holds SET lifted_at = $2, lifted_by = $3 WHERE id = $1 AND lifted_at IS NULL RETURNING id",
        )
        .cells(cells![id, now, actor])
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::NotFound { what: "hold", name: id.to_string() })?;
        append(&mut tx, actor, "lake hold lift", &format!("hold:{id}"), "", reason, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// All holds there ever were, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lake_holds(&self) -> Result<Vec<LakeHold>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, tenant, account, number, reason, set_by, set_at, lifted_at FROM lake_holds ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(hold_of).collect()
    }

    /// Notes that a person is to be forgotten; the request's id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lake_erasure_ask(
        &self,
        number: E164,
        tenant: Option<TenantId>,
        reason: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut tx = self.write().await?;
        let said = format!("{number:?}");
        let id = query(
            "INSERT INTO lake_erasures (tenant, number, said, reason, asked_by, asked_at) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        )
        .cells(cells![tenant.map(|tenant| tenant.0), number.to_string(), said.as_str(), reason, actor, now])
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        append(&mut tx, actor, "lake erase", &format!("erasure:{id}"), "", &said, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Notes what came of it, and forgets the number.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn lake_erasure_done(
        &self,
        id: i64,
        rows_changed: u64,
        rows_held: u64,
        proofs: &[String],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let mut tx = self.write().await?;
        query(
            "UPDATE lake_erasures SET number = NULL, done_at = $2, rows_changed = $3, rows_held = $4, proofs = $5 \
             WHERE id = $1 AND done_at IS NULL RETURNING id",
        )
        .cells(cells![id, now, count(rows_changed), count(rows_held), proofs.join(" ")])
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::NotFound { what: "waiting erasure", name: id.to_string() })?;
        let what = format!("{rows_changed} rows changed, {rows_held} held");
        append(&mut tx, "lake", "lake erased", &format!("erasure:{id}"), "", &what, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes what came of it so far: rows are held, so the request stays open and keeps its number.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn lake_erasure_held(
        &self,
        id: i64,
        rows_changed: u64,
        rows_held: u64,
        proofs: &[String],
        now: DateTime<Utc>,
    ) -> Result<()> {
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        let mut tx = self.write().await?;
        query(
            "UPDATE lake_erasures SET rows_changed = $2, rows_held = $3, proofs = $4 \
             WHERE id = $1 AND done_at IS NULL RETURNING id",
        )
        .cells(cells![id, count(rows_changed), count(rows_held), proofs.join(" ")])
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::NotFound { what: "waiting erasure", name: id.to_string() })?;
        let what = format!("{rows_changed} rows changed, {rows_held} held; it waits for the holds");
        append(&mut tx, "lake", "lake erasure held", &format!("erasure:{id}"), "", &what, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// All requests there ever were, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lake_erasures(&self) -> Result<Vec<LakeErasure>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, tenant, number, said, reason, asked_by, asked_at, done_at, rows_changed, rows_held, proofs \
             FROM lake_erasures ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(erasure_of).collect()
    }
}

fn hold_of(row: &AnyRow) -> Result<LakeHold> {
    Ok(LakeHold {
        id: row.int("id")?,
        tenant: row.opt_int("tenant")?.map(TenantId),
        account: row.opt_int("account")?.map(AccountId),
        number: row.opt_word("number")?,
        reason: row.text("reason")?,
        set_by: row.text("set_by")?,
        set_at: row.time("set_at")?,
        lifted_at: row.opt_time("lifted_at")?,
    })
}

fn erasure_of(row: &AnyRow) -> Result<LakeErasure> {
    Ok(LakeErasure {
        id: row.int("id")?,
        tenant: row.opt_int("tenant")?.map(TenantId),
        number: row.opt_word("number")?,
        said: row.text("said")?,
        reason: row.text("reason")?,
        asked_by: row.text("asked_by")?,
        asked_at: row.time("asked_at")?,
        done_at: row.opt_time("done_at")?,
        rows_changed: row.narrow("rows_changed")?,
        rows_held: row.narrow("rows_held")?,
        proofs: row.text("proofs")?.split_whitespace().map(str::to_owned).collect(),
    })
}
