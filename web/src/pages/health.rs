//! Health: how far each stage is, what is in suspense, and what people changed.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use store::SuspendedRecord;

use crate::Shared;
use crate::figures::Figures;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::search::escaped;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Suspended records of a page.
const RECORDS_SHOWN: u32 = 100;

/// Changes shown, newest first.
const CHANGES_SHOWN: u32 = 50;

#[derive(Template)]
#[template(path = "health.html")]
struct Page {
    frame: Frame,
    figures: Figures,
    counts: Vec<(String, String, u64)>,
    records: Vec<Row>,
    next: Option<i64>,
    changes: Vec<Change>,
    sees_suspense: bool,
    may_change: bool,
}

struct Row {
    id: i64,
    since: String,
    account: String,
    stage: String,
    code: String,
    retry: String,
    call: String,
    why: String,
    is_requested: bool,
}

struct Change {
    at: String,
    actor: String,
    action: String,
    object: String,
    after: String,
}

/// Where the list begins, and what the last form did.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Place {
    after: i64,
    done: String,
}

/// The page.
pub(crate) async fn page(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(place): Query<Place>,
) -> Result<Response, Refusal> {
    let store = &shared.desk.store;
    let directory = (shared.desk.directory)();
    let sees_suspense = user.role.may(Right::Suspense);
    let (records, counts, changes) = if sees_suspense {
        (
            store.suspense_list(place.after, RECORDS_SHOWN).await?,
            store.suspense_counts().await?,
            store.audit_list(CHANGES_SHOWN).await?,
        )
    } else {
        (Vec::new(), Vec::new(), Vec::new())
    };
    let is_full = records.len() == RECORDS_SHOWN as usize;
    html(&Page {
        frame: Frame::of(&user, "/health").noting(Some(place.done)),
        figures: shared.desk.figures.borrow().clone().for_role(user.role),
        next: records.last().filter(|_| is_full).map(|record| record.id),
        records: records
            .iter()
            .map(|record| Row {
                id: record.id,
                since: when(record.created_at),
                account: directory.name_of(record.suspended.account),
                stage: record.stage.clone(),
                code: record.suspended.code.clone(),
                retry: record.suspended.retry.to_string().replace('_', " "),
                call: record.suspended.cdr.map(|cdr| cdr.to_string()).unwrap_or_default(),
                why: record.suspended.message.clone(),
                is_requested: record.resubmit_seq.is_some(),
            })
            .collect(),
        counts,
        changes: changes
            .into_iter()
            .map(|entry| Change {
                at: when(entry.at),
                actor: entry.actor,
                action: entry.action,
                object: entry.object,
                after: entry.after,
            })
            .collect(),
        sees_suspense,
        may_change: user.role.may(Right::ChangeSuspense),
    })
}

/// What to do with one suspended record.
#[derive(Debug, Deserialize)]
pub(crate) struct Order {
    id: i64,
    /// resubmit or discard.
    action: String,
    /// Why it is discarded.
    #[serde(default)]
    reason: String,
}

/// Sends a record in again, or gives it up.
pub(crate) async fn act(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Form(order): Form<Order>,
) -> Result<Response, Refusal> {
    let done = settle(&shared, &user, order.id, &order.action, &order.reason).await?;
    Ok(Redirect::to(&format!("/health?done={}", escaped(&done))).into_response())
}

/// Sends record `id` in again (`resubmit`), or gives it up (`discard`); says what was done.
pub(crate) async fn settle(
    shared: &Shared,
    user: &SignedIn,
    id: i64,
    action: &str,
    reason: &str,
) -> Result<String, Refusal> {
    require(user, Right::ChangeSuspense, "deal with suspended records")?;
    let store = &shared.desk.store;
    let record: SuspendedRecord = store.suspense_get(id).await.map_err(|why| {
        if why.is_users() { Refusal::NotFound(why.to_string()) } else { Refusal::failed(why) }
    })?;
    let gone = || Refusal::Conflict(format!("record {id} was dealt with already"));
    let now = (shared.desk.clock)().wall;
    match action {
        "resubmit" => {
            if let Some(why) = (shared.desk.resubmit_refusal)(&record) {
                return Err(Refusal::Invalid(format!("record {id} {why}")));
            }
            if store.suspense_request(&[id], &user.name, now).await?.is_empty() {
                return Err(gone());
            }
            Ok(format!("Record {id} is sent in again within a second."))
        }
        "discard" => {
            if reason.trim().is_empty() {
                return Err(Refusal::Invalid("reason: say why the record is not needed".to_owned()));
            }
            if store.suspense_discard(&[id], reason.trim(), &user.name, now).await?.is_empty() {
                return Err(gone());
            }
            Ok(format!("Record {id} is discarded; the trail of changes keeps the reason."))
        }
        _ => Err(Refusal::Invalid(format!("action {action:?} is none; there are resubmit and discard"))),
    }
}
