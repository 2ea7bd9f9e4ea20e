//! The suspense desk for programs: what could not be processed, and what becomes of it, one by one or in bulk.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::SuspendedRecord;

use crate::Shared;
use crate::api::{AfterId, Body, Limit, Page, Path, Query, instant};
use crate::guard::SignedIn;
use crate::pages::health::settle as settle_record;
use crate::record_change::RecordChange;
use crate::refusal::{Problem, Refusal, require};
use crate::role::Right;

/// Records that one order may name or find.
const ORDER_MAX: usize = 10_000;

/// A record that could not be processed.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuspendedItem {
    id: i64,
    since: String,
    account: String,
    stage: String,
    /// Stable code; docs/errors.md explains it.
    code: String,
    message: String,
    /// What would have to change.
    retry: String,
    /// Its CDR, if it has one.
    cdr: Option<String>,
    /// It is asked to be sent in again.
    requested: bool,
}

/// Which of the open records.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct Wanted {
    /// Of this code alone, such as `RAT001`.
    code: Option<String>,
    /// Put aside by this stage alone, such as `mediator`.
    stage: Option<String>,
}

/// Open suspended records, oldest first.
#[utoipa::path(get, path = "/api/v1/suspense", tag = "suspense", params(Limit, AfterId, Wanted), responses(
    (status = 200, description = "a page of records", body = Page<SuspendedItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn list(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<SuspendedItem>>, Problem> {
    require(&user, Right::Suspense, "see suspended records")?;
    let directory = (shared.desk.directory)();
    let limit = limit.get()?;
    // One more than shown tells whether there is a next page.
    let asked = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let (code, stage) = (wanted.code.as_deref(), wanted.stage.as_deref());
    let records = shared.desk.store.suspense_list_of(place.after, asked, code, stage).await?;
    let items = records.into_iter().map(|record| SuspendedItem {
        id: record.id,
        since: instant(record.created_at),
        account: directory.name_of(record.suspended.account),
        stage: record.stage,
        code: record.suspended.code,
        message: record.suspended.message,
        retry: record.suspended.retry.to_string(),
        cdr: record.suspended.cdr.map(|cdr| cdr.to_string()),
        requested: record.resubmit_seq.is_some(),
    });
    Ok(Json(Page::of(items, limit, |item| item.id.to_string())))
}

/// One record, with all that is known of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct SuspendedDetail {
    id: i64,
    since: String,
    account: String,
    stage: String,
    /// Stable code; docs/errors.md explains it.
    code: String,
    message: String,
    /// What would have to change.
    retry: String,
    cdr: Option<String>,
    /// open, requested, sent or discarded.
    state: String,
    /// Why it was discarded.
    discard_reason: Option<String>,
    /// When somebody last changed what it says.
    fixed_at: Option<String>,
    /// Why sending it in again as it is would be no use.
    no_use: Option<String>,
    topic: String,
    partition: u32,
    /// Of an imported file, the line.
    offset: u64,
    /// What it says; absent when it cannot be read.
    says: Option<Value>,
    /// Why it cannot be read.
    unreadable: Option<String>,
    /// Its bytes, in hexadecimal.
    raw: String,
}

/// One suspended record, open or not: raw, decoded, and why it is here.
#[utoipa::path(get, path = "/api/v1/suspense/{id}", tag = "suspense", params(
    ("id" = i64, Path, description = "the record"),
), responses(
    (status = 200, description = "the record", body = SuspendedDetail),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn one(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
) -> Result<Json<SuspendedDetail>, Problem> {
    require(&user, Right::Suspense, "see suspended records")?;
    require(&user, Right::Numbers, "see what records say, for they name numbers")?;
    let record = named(&shared, id).await?;
    let directory = (shared.desk.directory)();
    let (says, unreadable) = match (shared.desk.record_said)(&record) {
        Ok(value) => (Some(value), None),
        Err(why) => (None, Some(why)),
    };
    Ok(Json(SuspendedDetail {
        id: record.id,
        since: instant(record.created_at),
        account: directory.name_of(record.suspended.account),
        state: state_of(&record).to_owned(),
        no_use: (shared.desk.resubmit_refusal)(&record).map(str::to_owned),
        stage: record.stage,
        code: record.suspended.code,
        message: record.suspended.message,
        retry: record.suspended.retry.to_string(),
        cdr: record.suspended.cdr.map(|cdr| cdr.to_string()),
        discard_reason: record.discard_reason,
        fixed_at: record.fixed_at.map(instant),
        topic: record.topic.as_str().to_owned(),
        partition: record.partition,
        offset: record.offset,
        says,
        unreadable,
        raw: hex::encode(&record.raw),
    }))
}

/// What is to become of a suspended record.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settlement {
    /// resubmit or discard.
    #[schema(pattern = "^(resubmit|discard)$")]
    action: String,
    /// Why it is discarded; needed for that alone.
    #[serde(default)]
    reason: String,
}

/// What was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Done {
    /// In a sentence.
    done: String,
}

/// Sends a suspended record in again, or gives it up. A second order for the same record is refused with 409.
#[utoipa::path(post, path = "/api/v1/suspense/{id}", tag = "suspense", params(
    ("id" = i64, Path, description = "the record"),
), request_body = Settlement, responses(
    (status = 200, description = "done", body = Done),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn settle(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Body(order): Body<Settlement>,
) -> Result<Json<Done>, Problem> {
    let done = settle_record(&shared, &user, id, &order.action, &order.reason).await?;
    Ok(Json(Done { done }))
}

/// What a record is to say.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Fix {
    /// Fields by their paths, with their new values: `{"value.body.answered_us": 61000000}`.
    set: BTreeMap<String, Value>,
    /// All of it, in the form of `says`; in place of `set`.
    record: Option<Value>,
}

/// Changes what a suspended record says, before it is sent in again. The trail of changes keeps both versions.
#[utoipa::path(patch, path = "/api/v1/suspense/{id}", tag = "suspense", params(
    ("id" = i64, Path, description = "the record"),
), request_body = Fix, responses(
    (status = 200, description = "done", body = Done),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn fix(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Path(id): Path<i64>,
    Body(fix): Body<Fix>,
) -> Result<Json<Done>, Problem> {
    require(&user, Right::ChangeSuspense, "deal with suspended records")?;
    let change = change_of(fix.set, fix.record)?;
    let record = named(&shared, id).await?;
    let done = fix_record(&shared, &user, &record, &change).await?;
    Ok(Json(Done { done }))
}

/// What is to become of many records.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct BulkOrder {
    /// resubmit, discard or fix.
    #[schema(pattern = "^(resubmit|discard|fix)$")]
    action: String,
    /// Which; in place of `code`.
    ids: Vec<i64>,
    /// All open ones of this code.
    code: Option<String>,
    /// Why they are discarded; needed for that alone.
    reason: String,
    /// Of `fix`: fields by their paths, with their new values.
    set: BTreeMap<String, Value>,
}

/// One record for which nothing was done.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Passed {
    id: i64,
    why: String,
}

/// What a bulk order came to.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct BulkDone {
    /// Records for which it was done.
    done: Vec<i64>,
    /// And those it was not done for.
    passed: Vec<Passed>,
}

/// Sends many suspended records in again, gives them up, or changes what they say: each for itself. At most 10000 in one order.
#[utoipa::path(post, path = "/api/v1/suspense", tag = "suspense", request_body = BulkOrder, responses(
    (status = 200, description = "done, or not, record by record", body = BulkDone),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn bulk(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Body(order): Body<BulkOrder>,
) -> Result<Json<BulkDone>, Problem> {
    require(&user, Right::ChangeSuspense, "deal with suspended records")?;
    let change = match (order.action.as_str(), order.set.is_empty()) {
        ("fix", _) => Some(change_of(order.set, None)?),
        ("resubmit" | "discard", true) => None,
        ("resubmit" | "discard", false) => {
            return Err(Refusal::Invalid("set: goes with the action fix alone".to_owned()).into());
        }
        (other, _) => {
            let why = format!("action {other:?} is none; there are resubmit, discard and fix");
            return Err(Refusal::Invalid(why).into());
        }
    };
    let ids = match (&order.code, order.ids.is_empty()) {
        (None, false) => order.ids,
        (Some(code), true) => {
            let max = u32::try_from(ORDER_MAX).unwrap_or(u32::MAX);
            let open = shared.desk.store.suspense_list_of(0, max, Some(code.as_str()), None).await?;
            open.into_iter().filter(|record| record.resubmit_seq.is_none()).map(|record| record.id).collect()
        }
        _ => {
            return Err(Refusal::Invalid("name the records by `ids`, or all of one `code`".to_owned()).into());
        }
    };
    if ids.len() > ORDER_MAX {
        return Err(Refusal::Invalid(format!("ids: {} in one order, {ORDER_MAX} at most", ids.len())).into());
    }
    let (mut done, mut passed) = (Vec::new(), Vec::new());
    for id in ids {
        let settled = match &change {
            Some(change) => match named(&shared, id).await {
                Ok(record) => fix_record(&shared, &user, &record, change).await,
                Err(why) => Err(why),
            },
            None => settle_record(&shared, &user, id, &order.action, &order.reason).await,
        };
        match settled {
            Ok(_) => done.push(id),
            Err(why @ Refusal::Failed) => return Err(why.into()),
            Err(why) => passed.push(Passed { id, why: why.to_string() }),
        }
    }
    Ok(Json(BulkDone { done, passed }))
}

async fn named(shared: &Shared, id: i64) -> Result<SuspendedRecord, Refusal> {
    shared
        .desk
        .store
        .suspense_get(id)
        .await
        .map_err(|why| if why.is_users() { Refusal::NotFound(why.to_string()) } else { Refusal::failed(why) })
}

fn change_of(set: BTreeMap<String, Value>, record: Option<Value>) -> Result<RecordChange, Refusal> {
    match (set.is_empty(), record) {
        (false, None) => Ok(RecordChange::Fields(set.into_iter().collect())),
        (true, Some(whole)) => Ok(RecordChange::Whole(whole)),
        _ => {
            Err(Refusal::Invalid("say what to change: fields by `set`, or all of it by `record`".to_owned()))
        }
    }
}

async fn fix_record(
    shared: &Shared,
    user: &SignedIn,
    record: &SuspendedRecord,
    change: &RecordChange,
) -> Result<String, Refusal> {
    let id = record.id;
    let gone = || Refusal::Conflict(format!("record {id} was dealt with already"));
    if state_of(record) != "open" {
        return Err(gone());
    }
    let changed = (shared.desk.record_changed)(record, change)
        .map_err(|why| Refusal::Invalid(format!("record {id} cannot be changed: {why}")))?;
    if changed.raw == record.raw {
        return Err(Refusal::Invalid(format!("record {id} says that already")));
    }
    let (now, words) = ((shared.desk.clock)().wall, (changed.before.as_str(), changed.after.as_str()));
    if !shared.desk.store.suspense_fix(id, changed.raw, words, &user.name, now).await? {
        return Err(gone());
    }
    Ok(format!("Record {id} is changed; the trail of changes keeps what it said."))
}

fn state_of(record: &SuspendedRecord) -> &'static str {
    match (&record.discard_reason, record.resolved_at, record.resubmit_seq) {
        (Some(_), ..) => "discarded",
        (None, Some(_), _) => "sent",
        (None, None, Some(_)) => "requested",
        (None, None, None) => "open",
    }
}
