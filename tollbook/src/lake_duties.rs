//! What the lake owes to people and to law: numbers are kept for their time and no longer, whoever asks for it is forgotten, and what is
//! held is neither.
//!
//! In: the configuration's rules, and what people asked (`store::LakeErasure`, `store::LakeHold`). The process that writes the lake
//! does it: erasures within seconds, retention once a day.

use std::collections::HashMap;
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
/// And how often at least while it fails: each attempt may read the whole lake.
const LOOK_MAX: Duration = Duration::from_secs(600);
/// Who does what no person asked for.
const RETENTION: &str = "retention";

/// Does both until `stop`.
pub(crate) async fn run(lake: Arc<Lake>, rooms: Rooms, config: LakeConfig, stop: CancellationToken) {
    let mut kept_on: Option<NaiveDate> = None;
    let mut tried = Tried::default();
    let mut wait = LOOK;
    loop {
        let work = async {
            tokio::time::sleep(wait).await;
            let now = rooms.clock.utc();
            let mut all_went_well = true;
            if let Err(why) = erase_new(&lake, &rooms.store, &mut tried, now).await {
                error!(error = %format!("{why:#}"), "somebody could not be forgotten; trying again");
                all_went_well = false;
            }
            if kept_on != Some(now.date_naive()) && !config.retention.is_empty() {
                match keep_time(&lake, &rooms.store, &config, now).await {
                    Ok(_) => kept_on = Some(now.date_naive()),
                    Err(why) => {
                        error!(error = %format!("{why:#}"), "the lake's retention failed; trying again");
                        all_went_well = false;
                    }
                }
            }
            all_went_well
        };
        // A commit that is being written when it stops is written to its end, or is made up for at the next start.
        let all_went_well = tokio::select! {
            done = work => done,
            () = stop.cancelled() => return,
        };
        wait = if all_went_well { LOOK } else { (wait * 2).min(LOOK_MAX) };
    }
}

/// The holds under which each waiting request was tried last: it is tried again when there are others.
type Tried = HashMap<i64, Vec<Hold>>;

/// Forgets all who wait for it.
pub(crate) async fn erase_all(lake: &Lake, store: &Store, now: DateTime<Utc>) -> anyhow::Result<()> {
    erase_new(lake, store, &mut Tried::default(), now).await
}

/// Forgets all who wait for it, but those whose rows the same holds still keep. One that fails is no reason to leave out others.
async fn erase_new(lake: &Lake, store: &Store, tried: &mut Tried, now: DateTime<Utc>) -> anyhow::Result<()> {
    let mut failed = None;
    for waiting in store.lake_erasures().await?.into_iter().filter(|asked| asked.done_at.is_none()) {
        let holds = holds(store).await?;
        if tried.get(&waiting.id) == Some(&holds) {
            continue;
        }
        match erase(lake, store, &waiting, holds.clone(), now).await {
            Ok(()) => drop(tried.insert(waiting.id, holds)),
            Err(why) => failed = Some(why),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn erase(
    lake: &Lake,
    store: &Store,
    asked: &LakeErasure,
    holds: Vec<Hold>,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    // One that was cut short between the files and this row is done again: it finds nothing more, and its proofs are there.
    let number = asked.number.context("an erasure waits without its number")?;
    let task = Task {
        rules: Vec::new(),
        erasures: vec![Erasure { number, tenant: asked.tenant }],
        holds,
        by: asked.asked_by.clone(),
        reason: asked.reason.clone(),
    };
    let done = lake.forget(task, now).await?;
    // With what was done before a hold was lifted.
    let changed = asked.rows_changed + done.rows_changed;
    let proofs: Vec<String> = asked.proofs.iter().chain(&done.proofs).cloned().collect();
    if done.rows_held > 0 {
        store.lake_erasure_held(asked.id, changed, done.rows_held, &proofs, now).await?;
        info!(
            erasure = asked.id,
            rows = changed,
            held = done.rows_held,
            "a person is forgotten but for what is held"
        );
    } else {
        store.lake_erasure_done(asked.id, changed, 0, &proofs, now).await?;
        info!(erasure = asked.id, rows = changed, "a person was forgotten");
    }
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
        rules: rules(config, &store.directory().await?.tenants, now),
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

/// The rules that can be applied. One for a tenant that there is not says so and keeps no other from its time.
fn rules(config: &LakeConfig, tenants: &[Tenant], now: DateTime<Utc>) -> Vec<Rule> {
    let rule = |rule: &lake::RetentionConfig| {
        let tenant = match rule.tenant.as_deref().map(|handle| tenant_named(tenants, handle)).transpose() {
            Ok(tenant) => tenant,
            Err(why) => {
                error!(error = %why, "a rule of [[lake.retention]] is left out");
                return None;
            }
        };
        let days = Days::new(u64::from(rule.days));
        let until = now.checked_sub_days(days).unwrap_or(DateTime::<Utc>::MIN_UTC);
        Some(Rule { class: rule.class, tenant, until, then: rule.then })
    };
    config.retention.iter().filter_map(rule).collect()
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
