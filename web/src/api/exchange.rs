//! CDR files, partners, streams, the trail, and what partners put.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::ExportState;

use crate::Shared;
use crate::api::{AfterId, Limit, Page, Query, instant};
use crate::exchange::{self, Standing};
use crate::guard::SignedIn;
use crate::pages::exchange::{owner_name, waiting_of};
use crate::refusal::{Problem, require};
use crate::role::Right;

/// A CDR file.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FileItem {
    id: i64,
    /// Whose: `system`, or kind and handle of the account.
    owner: String,
    /// Counts up from 1 for each owner, without gaps.
    sequence: u64,
    name: String,
    created_at: String,
    n_calls: u64,
    /// Absent while it is being written.
    n_bytes: Option<u64>,
    /// Lower-case hexadecimal; absent while it is being written.
    md5: Option<String>,
}

/// CDR files of all owners, by id.
#[utoipa::path(get, path = "/api/v1/files", tag = "exchange", params(Limit, AfterId), responses(
    (status = 200, description = "a page of files", body = Page<FileItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn files(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(place): Query<AfterId>,
) -> Result<Json<Page<FileItem>>, Problem> {
    require(&user, Right::Files, "see CDR files")?;
    let after = place.after;
    let directory = (shared.desk.directory)();
    let mut files = Vec::new();
    for owner in shared.desk.store.export_owners().await? {
        files.extend(shared.desk.store.export_files(&owner).await?);
    }
    files.retain(|file| file.id > after);
    files.sort_unstable_by_key(|file| file.id);
    let items = files.into_iter().map(|file| {
        let (n_bytes, md5) = match file.state {
            ExportState::Written { n_bytes, md5, .. } => (Some(n_bytes), Some(md5)),
            ExportState::Planned => (None, None),
        };
        FileItem {
            id: file.id,
            owner: owner_name(&directory, &file.owner),
            sequence: file.sequence,
            name: file.name,
            created_at: instant(file.created_at),
            n_calls: file.n_rows,
            n_bytes,
            md5,
        }
    });
    Ok(Json(Page::of(items, limit.get()?, |item| item.id.to_string())))
}

/// A partner of the exchange.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct PartnerItem {
    name: String,
    /// What it sees, below the export directory; empty for all of it.
    folder: String,
    /// Of `exchange`, `delete`, `rename`.
    may: Vec<String>,
    /// Networks it may come from; empty for all.
    networks: Vec<String>,
    /// Absent if it was never here.
    last_login: Option<String>,
    /// Files that it has not fetched to their end.
    n_waiting: usize,
    /// When the oldest of them was closed.
    oldest_waiting: Option<String>,
    /// Whether one waits for longer than was agreed.
    is_late: bool,
    /// Files that it has acknowledged.
    n_accepted: usize,
    /// Files that it has refused.
    n_refused: usize,
}

/// A list that is short enough for one answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct All<T> {
    /// All of them.
    items: Vec<T>,
}

/// The partners, as configured, and how they are doing.
#[utoipa::path(get, path = "/api/v1/exchange/partners", tag = "exchange", responses(
    (status = 200, description = "all partners", body = All<PartnerItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn partners(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<All<PartnerItem>>, Problem> {
    require(&user, Right::Files, "see the partners of the exchange")?;
    let now = (shared.desk.clock)().wall;
    let mut items = Vec::new();
    for partner in &shared.desk.exchange.partners {
        let standing = Standing::of(&shared.desk.store, partner, now).await?;
        items.push(PartnerItem {
            name: partner.name.clone(),
            folder: partner.folder.clone(),
            may: partner.may.iter().map(|may| (*may).to_owned()).collect(),
            networks: partner.networks.clone(),
            last_login: standing.last_login.map(instant),
            n_waiting: standing.n_waiting,
            oldest_waiting: standing.oldest_waiting.map(instant),
            is_late: standing.is_late,
            n_accepted: standing.n_accepted,
            n_refused: standing.n_refused,
        });
    }
    Ok(Json(All { items }))
}

/// An export stream.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct StreamItem {
    /// `main` for the main one.
    name: String,
    format: String,
    /// `system`, `resellers`, `carriers`, and handles.
    owners: Vec<String>,
    /// Calls that wait for its next files.
    n_calls_waiting: u64,
    /// When these are closed; absent before the first start.
    due: Option<String>,
}

/// The export streams, the main one first.
#[utoipa::path(get, path = "/api/v1/exchange/streams", tag = "exchange", responses(
    (status = 200, description = "all streams", body = All<StreamItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn streams(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
) -> Result<Json<All<StreamItem>>, Problem> {
    require(&user, Right::Files, "see the export streams")?;
    let waiting = waiting_of(&shared).await?;
    let mut items = Vec::new();
    for stream in &shared.desk.exchange.streams {
        let ran_at = shared.desk.store.export_ran_at(&stream.key).await?;
        items.push(StreamItem {
            name: stream.name.clone(),
            format: stream.format.clone(),
            owners: stream.owners.clone(),
            n_calls_waiting: waiting.get(&stream.key).copied().unwrap_or_default(),
            due: ran_at.map(|ran_at| instant((stream.due_after)(ran_at))),
        });
    }
    Ok(Json(All { items }))
}

/// Which part of a list that has the latest first.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub(crate) struct OfPartner {
    /// Only of this partner.
    partner: String,
    /// The page begins behind this id: `next` of the page before.
    after: Option<i64>,
}

impl OfPartner {
    fn partner(&self) -> Option<&str> {
        (!self.partner.is_empty()).then_some(self.partner.as_str())
    }
}

/// A thing that a partner did.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct TrailItem {
    id: i64,
    at: String,
    partner: String,
    /// Address and port.
    peer: String,
    /// `login`, `refused`, `banned`, `listed`, `fetched`, `put`, `renamed` or `deleted`.
    action: String,
    /// As the partner saw it.
    path: Option<String>,
    /// The file that it is, as in the list of files.
    file: Option<String>,
    /// Its length.
    n_bytes: Option<u64>,
    /// Different bytes that were read.
    n_bytes_fetched: Option<u64>,
    /// The same for people: `fetched 0000000123.cdr, 41 MB, complete`.
    text: String,
}

/// What partners did, the latest first.
#[utoipa::path(get, path = "/api/v1/exchange/trail", tag = "exchange", params(Limit, OfPartner), responses(
    (status = 200, description = "a page of the trail", body = Page<TrailItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn trail(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(asked): Query<OfPartner>,
) -> Result<Json<Page<TrailItem>>, Problem> {
    require(&user, Right::Files, "see the trail of the exchange")?;
    let limit = limit.get()?;
    let max = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = shared.desk.store.trail_page(asked.partner(), asked.after, max).await?;
    let items = found.into_iter().map(|(id, entry)| TrailItem {
        id,
        at: instant(entry.at),
        text: exchange::told(&entry),
        n_bytes_fetched: entry.range.map(|range| range.n_bytes),
        partner: entry.account,
        peer: entry.peer,
        action: entry.action,
        path: entry.path,
        file: entry.file,
        n_bytes: entry.size,
    });
    Ok(Json(Page::of(items, limit, |item| item.id.to_string())))
}

/// A file that a partner has put.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct InboxItem {
    id: i64,
    partner: String,
    /// `in` or `ack`.
    folder: String,
    name: String,
    n_bytes: u64,
    /// `acknowledgement`, `rate_deck`, `other` or `unreadable`.
    kind: String,
    /// What it says, or would change.
    note: String,
    read_at: String,
}

/// What partners have put, the latest first.
#[utoipa::path(get, path = "/api/v1/exchange/inbox", tag = "exchange", params(Limit, OfPartner), responses(
    (status = 200, description = "a page of files", body = Page<InboxItem>),
    (status = "default", description = "refused", body = Problem, content_type = "application/problem+json"),
))]
pub(crate) async fn inbox(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(limit): Query<Limit>,
    Query(asked): Query<OfPartner>,
) -> Result<Json<Page<InboxItem>>, Problem> {
    require(&user, Right::Files, "see what partners have put")?;
    let limit = limit.get()?;
    let max = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let found = shared.desk.store.inbox_latest(asked.partner(), asked.after, max).await?;
    let items = found.into_iter().map(|entry| InboxItem {
        id: entry.id,
        partner: entry.file.account,
        folder: entry.file.folder,
        name: entry.file.name,
        n_bytes: entry.file.size,
        kind: entry.kind,
        note: entry.note,
        read_at: instant(entry.read_at),
    });
    Ok(Json(Page::of(items, limit, |item| item.id.to_string())))
}
