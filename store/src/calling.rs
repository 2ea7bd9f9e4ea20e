//! Calling rules: what the switch alone asks about tenants, accounts, subscribers, trunks and routes. One JSON document each.

use std::collections::BTreeMap;

use model::{AccountId, CallingRules, RouteId, SubscriberId, TenantId, TrunkId};
use serde::Serialize;
use sqlx::AnyConnection;

use crate::Result;
use crate::sql::{Bind, Columns, cells, json, query, unreadable};

/// Whose rules a row holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallingKind {
    Tenant,
    Account,
    Subscriber,
    Trunk,
    Route,
}

impl CallingKind {
    const fn as_str(self) -> &'static str {
        match self {
            CallingKind::Tenant => "tenant",
            CallingKind::Account => "account",
            CallingKind::Subscriber => "subscriber",
            CallingKind::Trunk => "trunk",
            CallingKind::Route => "route",
        }
    }
}

/// Reads all of them.
pub(crate) async fn load_calling(conn: &mut AnyConnection) -> Result<CallingRules> {
    let rows =
        query("SELECT kind, object, rules FROM calling_rules ORDER BY kind, object").fetch_all(conn).await?;
    let mut all = CallingRules::default();
    for row in &rows {
        let (kind, object) = (row.text("kind")?, row.int("object")?);
        match kind.as_str() {
            "tenant" => drop(all.tenants.insert(TenantId(object), row.json("rules")?)),
            "account" => drop(all.accounts.insert(AccountId(object), row.json("rules")?)),
            "subscriber" => drop(all.subscribers.insert(SubscriberId(object), row.json("rules")?)),
            "trunk" => drop(all.trunks.insert(TrunkId(object), row.json("rules")?)),
            "route" => drop(all.routes.insert(RouteId(object), row.json("rules")?)),
            other => return Err(unreadable("kind", other)),
        }
    }
    Ok(all)
}

/// Makes `wanted` the rules of one object, in the table and in `there`; whether that changed anything. Rules that say nothing have
/// no row.
pub(crate) async fn keep_calling<K: Ord, T: Serialize + PartialEq + Default + Clone>(
    conn: &mut AnyConnection,
    kind: CallingKind,
    (id, object): (K, i64),
    wanted: &T,
    there: &mut BTreeMap<K, T>,
    revision: i64,
) -> Result<bool> {
    let is_nothing = *wanted == T::default();
    let is_known = match there.get(&id) {
        Some(known) => known == wanted,
        None => is_nothing,
    };
    if is_known {
        return Ok(false);
    }
    query("DELETE FROM calling_rules WHERE kind = $1 AND object = $2")
        .cells(cells![kind.as_str(), object])
        .execute(&mut *conn)
        .await?;
    if is_nothing {
        there.remove(&id);
        return Ok(true);
    }
    query("INSERT INTO calling_rules (kind, object, rules, revision) VALUES ($1, $2, $3, $4)")
        .cells(cells![kind.as_str(), object, json(wanted), revision])
        .execute(&mut *conn)
        .await?;
    there.insert(id, wanted.clone());
    Ok(true)
}
