//! CDR exchange: the files that partners fetch.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use model::Directory;
use store::{ExportFile, ExportState};

use crate::Shared;
use crate::frame::{Frame, html};
use crate::guard::SignedIn;
use crate::pages::when;
use crate::refusal::{Refusal, require};
use crate::role::Right;

/// Files of each owner shown, newest first.
const FILES_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "files.html")]
struct Page {
    frame: Frame,
    owners: Vec<Owner>,
}

struct Owner {
    name: String,
    n_files: usize,
    files: Vec<Row>,
}

struct Row {
    sequence: u64,
    name: String,
    created: String,
    n_calls: u64,
    n_bytes: String,
    md5: String,
}

/// Whose a series of files is, in people's words: `STREAM/reseller:7/out` is `STREAM reseller acme out`.
pub fn owner_name(directory: &Directory, series: &str) -> String {
    series.split('/').map(|part| part_name(directory, part)).collect::<Vec<_>>().join(" ")
}

fn part_name(directory: &Directory, owner: &str) -> String {
    let Some((kind, id)) = owner.split_once(':') else { return owner.to_owned() };
    directory
        .accounts
        .iter()
        .find(|account| account.id.0.to_string() == id)
        .map_or_else(|| owner.to_owned(), |account| format!("{kind} {}", account.handle))
}

fn row_of(file: ExportFile) -> Row {
    let (n_bytes, md5) = match file.state {
        ExportState::Written { n_bytes, md5, .. } => (n_bytes.to_string(), md5),
        ExportState::Planned => (String::new(), "being written".to_owned()),
    };
    Row {
        sequence: file.sequence,
        name: file.name.rsplit('/').next().unwrap_or_default().to_owned(),
        created: when(file.created_at),
        n_calls: file.n_rows,
        n_bytes,
        md5,
    }
}

/// The list.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Files, "see CDR files")?;
    let directory = (shared.desk.directory)();
    let mut owners = Vec::new();
    for owner in shared.desk.store.export_owners().await? {
        let files = shared.desk.store.export_files(&owner).await?;
        owners.push(Owner {
            name: owner_name(&directory, &owner),
            n_files: files.len(),
            files: files.into_iter().rev().take(FILES_SHOWN).map(row_of).collect(),
        });
    }
    html(&Page { frame: Frame::of(&user, "/files"), owners })
}
