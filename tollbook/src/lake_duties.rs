//! What the lake owes to people and to law: numbers are kept for their time and no longer, whoever asks for it is forgotten, and what is
//! held is neither.
//!
//! In: the configuration's rules, and what people asked (`store::LakeErasure`, `store::LakeHold`). The process that writes the lake
//! does it: erasures within seconds, retention once a day.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Days, NaiveDate, Utc};
use lake::forget::{Erasure, Forgotten, Hold, Rule, Task};
use lake::{Lake, LakeConfig};
use model::{Tenant, TenantId};
use store::{LakeErasure, Store};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::failure::UserError;
use crate::runner::Rooms;

/// How often it is looked whether somebody asks to be forgotten.
const LOOK: Duration = Duration::from_secs(5);
/// Who does what no person asked for.
const RETENTION: &str = "retention";

/// Does both until `stop`.
pub(crate) async fn run(lake: Arc<Lake>, rooms: Rooms, config: LakeConfig, stop: CancellationToken) {
    let mut kept_on: Option<NaiveDate> = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => return,
        }
        let now = rooms.clock.utc();
        if let Err(why) = erase_all(&lake, &rooms.store, now).await {
            error!(error = %format!("{why:#}"), "somebody could not be forgotten; trying again");
        }
        if kept_on == Some(now.date_naive()) || config.retention.is_empty() {
            continue;
        }
        match keep_time(&lake, &rooms.store, &config, now).await {
            Ok(_) => kept_on = Some(now.date_naive()),
            Err(why) => error!(error = %format!("{why:#}"), "the lake's retention failed; trying again"),
        }
    }
}

/// Forgets all who wait for it.
pub(crate) async fn erase_all(lake: &Lake, store: &Store, now: DateTime<Utc>) -> anyhow::Result<()> {
    for waiting in store.lake_erasures().await?.into_iter().filter(|asked| asked.done_at.is_none()) {
        erase(lake, store, &waiting, now).await?;
    }
    Ok(())
}

async fn erase(lake: &Lake, store: &Store, asked: &LakeErasure, now: DateTime<Utc>) -> anyhow::Result<()> {
    // One that was cut short between the files and this row is done again: it finds nothing more, and its proofs are there.
    let number = asked.number.context("an erasure waits without its number")?;
    let task = Task {
        rules: Vec::new(),
        erasures: vec![Erasure { number, tenant: asked.tenant }],
        holds: holds(store).await?,
        by: asked.asked_by.clone(),
        reason: asked.reason.clone(),
    };
    let done = lake.forget(task, now).await?;
    store.lake_erasure_done(asked.id, done.rows_changed, done.rows_held, &done.proofs, now).await?;
    info!(erasure = asked.id, rows = done.rows_changed, held = done.rows_held, "a person was forgotten");
    Ok(())
}

/// Applies the configuration's rules as of `now`.
pub(crate) async fn keep_time(
    lake: &Lake,
    store: &Store,
    config: &LakeConfig,
    now: DateTime<Utc>,
) -> anyhow::Result<Forgotten> {
    let task = Task {
        rules: rules(config, &store.directory().await?.tenants, now)?,
        erasures: Vec::new(),
        holds: holds(store).await?,
        by: RETENTION.to_owned(),
        reason: "lake.retention".to_owned(),
    };
    let done = lake.forget(task, now).await?;
    info!(
        changed = done.rows_changed,
        deleted = done.rows_deleted,
        held = done.rows_held,
        "retention of the lake"
    );
    Ok(done)
}

fn rules(config: &LakeConfig, tenants: &[Tenant], now: DateTime<Utc>) -> Result<Vec<Rule>, UserError> {
    config
        .retention
        .iter()
        .map(|rule| {
            let tenant = rule.tenant.as_deref().map(|handle| tenant_named(tenants, handle)).transpose()?;
            let days = Days::new(u64::from(rule.days));
            let until = now.checked_sub_days(days).unwrap_or(DateTime::<Utc>::MIN_UTC);
            Ok(Rule { class: rule.class, tenant, until, then: rule.then })
        })
        .collect()
}

/// The tenant of this handle.
pub(crate) fn tenant_named(tenants: &[Tenant], handle: &str) -> Result<TenantId, UserError> {
    let found = tenants.iter().find(|tenant| tenant.handle == handle);
    found.map(|tenant| tenant.id).ok_or_else(|| {
        let handles: Vec<&str> = tenants.iter().map(|tenant| tenant.handle.as_str()).collect();
        UserError::new(format!("there is no tenant {handle:?}"), format!("there are {}", handles.join(", ")))
    })
}

async fn holds(store: &Store) -> anyhow::Result<Vec<Hold>> {
    let all = store.lake_holds().await?.into_iter();
    let in_force = all.filter(|hold| hold.lifted_at.is_none());
    Ok(in_force
        .map(|hold| Hold { tenant: hold.tenant, account: hold.account, number: hold.number })
        .collect())
}
