//! CDR files.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use store::ExportState;

use crate::Shared;
use crate::api::{AfterId, Limit, Page, Query, instant};
use crate::guard::SignedIn;
use crate::pages::exchange::owner_name;
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
