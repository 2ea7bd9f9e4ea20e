//! `tollbook lake`: holds on rows, persons to be forgotten, retention by hand, and the proofs.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, Utc};
use lake::{Lake, LakeError};
use model::{E164, Tenant};
use store::{HoldScope, Store};

use crate::cli::{HoldAction, HoldArgs, LakeAction};
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{account_named, print_table};
use crate::config::Config;
use crate::failure::UserError;
use crate::lake_duties::{erase_all, keep_time, tenant_named};
use crate::system::{of_lake, of_store, open_store};

/// How often a running process is asked whether it is done.
const LOOK: Duration = Duration::from_millis(500);
/// And for how long, before the request is left to it.
const PATIENCE: Duration = Duration::from_secs(600);

/// Does what `action` says.
pub(crate) async fn lake(config: &Config, action: LakeAction) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let clock = Clock::start();
    match action {
        LakeAction::Erase { number, tenant, reason } => {
            erase(config, &store, &clock, &number, tenant.as_deref(), &reason).await
        }
        LakeAction::Retain => retain(config, &store, clock.utc()).await,
        LakeAction::Hold { action: HoldAction::Add { scope, reason } } => {
            let scope = scope_of(&store, &scope).await?;
            let id =
                store.lake_hold_set(&scope, &reason, COMMAND_LINE, clock.utc()).await.map_err(of_store)?;
            println!("hold {id} is in force");
            Ok(())
        }
        LakeAction::Hold { action: HoldAction::Lift { id, reason } } => {
            store.lake_hold_lift(id, &reason, COMMAND_LINE, clock.utc()).await.map_err(of_store)?;
            println!("hold {id} is lifted");
            Ok(())
        }
        LakeAction::Hold { action: HoldAction::List } => list_holds(&store).await,
        LakeAction::Erasures => list_erasures(&store).await,
        LakeAction::Proofs => {
            let lake = Lake::open_to_ask(&config.lake).map_err(of_lake)?;
            let proofs = serde_json::to_string_pretty(&lake.proofs().map_err(of_lake)?)?;
            writeln!(std::io::stdout(), "{proofs}").context("print the proofs")
        }
    }
}

fn number_of(text: &str) -> Result<E164, UserError> {
    let plain = text.trim_start_matches('+');
    plain
        .parse()
        .map_err(|why| UserError::new(format!("{text:?} is no number: {why}"), "write it like 43660555123"))
}

fn known_tenant(tenants: &[Tenant], handle: Option<&str>) -> Result<Option<model::TenantId>, UserError> {
    handle.map(|handle| tenant_named(tenants, handle)).transpose()
}

async fn scope_of(store: &Store, scope: &HoldArgs) -> anyhow::Result<HoldScope> {
    let directory = store.directory().await?;
    let account = match &scope.account {
        Some(handle) => Some(account_named(&directory, handle)?.id),
        None => None,
    };
    Ok(HoldScope {
        tenant: known_tenant(&directory.tenants, scope.tenant.as_deref())?,
        account,
        number: scope.number.as_deref().map(number_of).transpose()?,
    })
}

/// The request is written down first: whatever happens then, it is done.
async fn erase(
    config: &Config,
    store: &Store,
    clock: &Clock,
    number: &str,
    tenant: Option<&str>,
    reason: &str,
) -> anyhow::Result<()> {
    let number = number_of(number)?;
    let digits = number.to_string().len();
    if digits < lake::forget::NUMBER_DIGITS_MIN {
        return Err(of_lake(LakeError::NumberTooShort { digits }));
    }
    let tenant = known_tenant(&store.directory().await?.tenants, tenant)?;
    let id =
        store.lake_erasure_ask(number, tenant, reason, COMMAND_LINE, clock.utc()).await.map_err(of_store)?;
    match Lake::open(config.lake.clone()) {
        Ok(lake) => erase_all(&lake, store, clock.utc()).await?,
        // The process that writes the lake looks every few seconds.
        Err(LakeError::InUse { .. }) => wait_for(store, id, clock).await?,
        Err(why) => return Err(of_lake(why)),
    }
    let all = store.lake_erasures().await?;
    let done = all.iter().find(|asked| asked.id == id).context("the request is gone")?;
    println!("{} was taken out of {} rows; {} rows are held", done.said, done.rows_changed, done.rows_held);
    for proof in &done.proofs {
        println!("proof {}", config.lake.place().join(proof).display());
    }
    if done.done_at.is_none() {
        println!("the request waits: it is tried again when a hold is lifted");
    }
    println!("files from before are deleted {:?} after that", config.lake.retired_keep);
    Ok(())
}

async fn wait_for(store: &Store, id: i64, clock: &Clock) -> anyhow::Result<()> {
    let began = clock.now().mono;
    loop {
        let all = store.lake_erasures().await?;
        // Held rows are waited for by the request, not by the command.
        if all.iter().any(|asked| asked.id == id && (asked.done_at.is_some() || asked.rows_held > 0)) {
            return Ok(());
        }
        if clock.now().mono.saturating_sub(began) > PATIENCE {
            return Err(UserError::new(
                "the process that writes the lake has not come to it yet",
                "it will; `tollbook lake erasures` says when it has",
            )
            .into());
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn retain(config: &Config, store: &Store, now: DateTime<Utc>) -> anyhow::Result<()> {
    if config.lake.retention.is_empty() {
        return Err(UserError::new(
            "there is no [[lake.retention]]",
            "say in the configuration how long numbers are kept",
        )
        .into());
    }
    let lake = Lake::open(config.lake.clone()).map_err(of_lake)?;
    let done = keep_time(&lake, store, &config.lake, now).await?;
    println!(
        "{} rows lost numbers, {} rows were deleted, {} rows are held",
        done.rows_changed, done.rows_deleted, done.rows_held
    );
    for proof in &done.proofs {
        println!("proof {}", config.lake.place().join(proof).display());
    }
    Ok(())
}

async fn list_holds(store: &Store) -> anyhow::Result<()> {
    let directory = store.directory().await?;
    let rows = store.lake_holds().await?.into_iter().map(|hold| {
        let tenant = hold.tenant.map_or_else(String::new, |tenant| tenant.to_string());
        let account = hold.account.map_or_else(String::new, |account| directory.name_of(account));
        let number = hold.number.map_or_else(String::new, |number| number.to_string());
        let until = hold.lifted_at.map_or_else(|| "in force".to_owned(), |at| format!("lifted {at}"));
        vec![hold.id.to_string(), tenant, account, number, hold.set_at.to_string(), until, hold.reason]
    });
    print_table(&["id", "tenant", "account", "number", "since", "", "why"], rows, "nothing is held");
    Ok(())
}

async fn list_erasures(store: &Store) -> anyhow::Result<()> {
    let rows = store.lake_erasures().await?.into_iter().map(|asked| {
        let waits = if asked.rows_held > 0 { "waits for holds" } else { "waits" };
        let done = asked.done_at.map_or_else(|| waits.to_owned(), |at| at.to_string());
        vec![
            asked.id.to_string(),
            asked.said,
            asked.asked_at.to_string(),
            done,
            asked.rows_changed.to_string(),
            asked.rows_held.to_string(),
            asked.proofs.join(" "),
            asked.reason,
        ]
    });
    print_table(
        &["id", "number", "asked", "done", "rows", "held", "proofs", "why"],
        rows,
        "nobody asked for it",
    );
    Ok(())
}
