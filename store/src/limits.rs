//! Spend limits of accounts and of profiles.

use std::collections::{BTreeMap, HashMap};

use model::{FraudCompat, FraudLimit, FraudPolicy, FraudPrice, FraudUnlock, ProfileId, ProfileLimits};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::Result;
use crate::sql::{Bind, Columns, cells, json, micros, query, unreadable};

/// What a limit says besides amount, lock and addressees. Rows of the first version have none of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(default)]
struct Terms {
    price: FraudPrice,
    warn_percent: Vec<u32>,
    unlock: FraudUnlock,
    compat: Option<FraudCompat>,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            price: FraudPrice::Customer,
            warn_percent: Vec::new(),
            unlock: FraudUnlock::PeriodEnd,
            compat: None,
        }
    }
}

/// Whose limits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Owner {
    /// Of this account.
    Account(i64),
    /// Of this profile.
    Profile(i64),
}

/// The limits of each account that has some.
pub(crate) async fn load_account_limits(conn: &mut AnyConnection) -> Result<HashMap<i64, FraudPolicy>> {
    let rows =
        query("SELECT account AS owner, period, amount_micros, lock_level, notify, terms FROM fraud_limits")
            .fetch_all(conn)
            .await?;
    Ok(policies(&rows)?.into_iter().collect())
}

/// The limits of each profile that has some, by id.
pub(crate) async fn load_profile_limits(conn: &mut AnyConnection) -> Result<Vec<ProfileLimits>> {
    let rows = query(
        "SELECT profile AS owner, period, amount_micros, lock_level, notify, terms FROM profile_fraud_limits",
    )
    .fetch_all(conn)
    .await?;
    let policies = policies(&rows)?;
    Ok(policies.into_iter().map(|(id, fraud)| ProfileLimits { profile: ProfileId(id), fraud }).collect())
}

fn policies(rows: &[AnyRow]) -> Result<BTreeMap<i64, FraudPolicy>> {
    let mut policies: BTreeMap<i64, FraudPolicy> = BTreeMap::new();
    for row in rows {
        let Terms { price, warn_percent, unlock, compat } = row.json("terms")?;
        let limit = FraudLimit {
            amount: row.amount("amount_micros")?,
            lock: row.word("lock_level")?,
            notify: row.json("notify")?,
            price,
            warn_percent,
            unlock,
            compat,
        };
        let policy = policies.entry(row.int("owner")?).or_default();
        match row.text("period")?.as_str() {
            "daily" => policy.daily = Some(limit),
            "interval" => policy.interval = Some(limit),
            other => return Err(unreadable("period", other)),
        }
    }
    Ok(policies)
}

/// Puts `policy` in the place of what there was. `named` names the owner in an error.
pub(crate) async fn write_limits(
    conn: &mut AnyConnection,
    owner: Owner,
    policy: &FraudPolicy,
    named: &str,
) -> Result<()> {
    let (id, delete, insert) = match owner {
        Owner::Account(id) => (
            id,
            "DELETE FROM fraud_limits WHERE account = $1",
            "INSERT INTO fraud_limits (account, period, amount_micros, lock_level, notify, terms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        ),
        Owner::Profile(id) => (
            id,
            "DELETE FROM profile_fraud_limits WHERE profile = $1",
            "INSERT INTO profile_fraud_limits (profile, period, amount_micros, lock_level, notify, terms) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        ),
    };
    query(delete).cells(cells![id]).execute(&mut *conn).await?;
    let FraudPolicy { daily, interval } = policy;
    for (period, limit) in [("daily", daily), ("interval", interval)] {
        let Some(limit) = limit else { continue };
        let amount = micros(limit.amount, || format!("{period} fraud limit of {named}"))?;
        let terms = Terms {
            price: limit.price,
            warn_percent: limit.warn_percent.clone(),
            unlock: limit.unlock,
            compat: limit.compat,
        };
        query(insert)
            .cells(cells![id, period, amount, limit.lock.as_str(), json(&limit.notify), json(&terms)])
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}
