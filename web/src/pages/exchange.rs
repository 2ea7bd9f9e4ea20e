//! CDR exchange: the files that partners fetch, the partners, and what they did.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use model::{AccountId, Directory};
use serde::Deserialize;
use store::{ExportFile, ExportState};

use crate::Shared;
use crate::exchange::{self, Standing};
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
    fate: String,
}

/// Whose a series of files is, in people's words: `STREAM/reseller:7/out` is `STREAM reseller acme out`.
pub fn owner_name(directory: &Directory, series: &str) -> String {
    series.split('/').map(|part| part_name(directory, part)).collect::<Vec<_>>().join(" ")
}

fn part_name(directory: &Directory, owner: &str) -> String {
    let Some((kind, id)) = owner.split_once(':') else { return owner.to_owned() };
    match id.parse() {
        Ok(id) if directory.accounts.iter().any(|account| account.id == AccountId(id)) => {
            format!("{kind} {}", directory.name_of(AccountId(id)))
        }
        Ok(_) | Err(_) => owner.to_owned(),
    }
}

fn row_of(file: ExportFile, fate: String) -> Row {
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
        fate,
    }
}

/// The list.
pub(crate) async fn page(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Files, "see CDR files")?;
    let directory = (shared.desk.directory)();
    let mut owners = Vec::new();
    for owner in shared.desk.store.export_owners().await? {
        let files = shared.desk.store.export_files(&owner).await?;
        let n_files = files.len();
        let mut rows = Vec::new();
        for file in files.into_iter().rev().take(FILES_SHOWN) {
            let fate = match file.state {
                ExportState::Written { n_bytes, .. } => {
                    exchange::fate_of(&shared.desk.store, &file.name, n_bytes).await?
                }
                ExportState::Planned => String::new(),
            };
            rows.push(row_of(file, fate));
        }
        owners.push(Owner { name: owner_name(&directory, &owner), n_files, files: rows });
    }
    html(&Page { frame: Frame::of(&user, "/files"), owners })
}

/// Entries of the trail on one page.
const ENTRIES_SHOWN: u32 = 200;

#[derive(Template)]
#[template(path = "partners.html")]
struct PartnersPage {
    frame: Frame,
    partners: Vec<PartnerRow>,
    streams: Vec<StreamRow>,
    put: Vec<PutRow>,
}

struct PartnerRow {
    name: String,
    folder: String,
    rights: String,
    last_login: String,
    last_fetch: String,
    n_waiting: usize,
    oldest_waiting: String,
    is_late: bool,
    said: String,
}

struct StreamRow {
    name: String,
    format: String,
    owners: String,
    n_calls: u64,
    due: String,
}

struct PutRow {
    at: String,
    account: String,
    file: String,
    kind: String,
    note: String,
}

/// Calls that wait for each stream's next files.
pub(crate) async fn waiting_of(
    shared: &Shared,
) -> Result<std::collections::HashMap<String, u64>, store::StoreError> {
    let mut waiting = std::collections::HashMap::new();
    for (series, n_calls) in shared.desk.store.export_waiting().await? {
        let stream = match series.matches('/').count() {
            0 => "",
            _ => series.split('/').next().unwrap_or_default(),
        };
        *waiting.entry(stream.to_owned()).or_default() += n_calls;
    }
    Ok(waiting)
}

/// Partners, streams, and what was put.
pub(crate) async fn partners(State(shared): State<Arc<Shared>>, user: SignedIn) -> Result<Response, Refusal> {
    require(&user, Right::Files, "see the partners of the exchange")?;
    let (store, now) = (&shared.desk.store, (shared.desk.clock)().wall);
    let mut partners = Vec::new();
    for partner in &shared.desk.exchange.partners {
        let standing = Standing::of(store, partner, now).await?;
        let networks = if partner.networks.is_empty() {
            String::new()
        } else {
            format!(" from {}", partner.networks.join(", "))
        };
        partners.push(PartnerRow {
            name: partner.name.clone(),
            folder: if partner.folder.is_empty() { "everything".to_owned() } else { partner.folder.clone() },
            rights: format!("{}{networks}", partner.may.join(", ")),
            last_login: standing.last_login.map(when).unwrap_or_default(),
            last_fetch: standing.last_fetch.unwrap_or_default(),
            n_waiting: standing.n_waiting,
            oldest_waiting: standing.oldest_waiting.map(when).unwrap_or_default(),
            is_late: standing.is_late,
            said: match (standing.n_accepted, standing.n_refused) {
                (0, 0) => String::new(),
                (accepted, 0) => format!("accepted {accepted}"),
                (accepted, refused) => format!("accepted {accepted}, refused {refused}"),
            },
        });
    }
    let waiting = waiting_of(&shared).await?;
    let mut streams = Vec::new();
    for stream in &shared.desk.exchange.streams {
        let due = store.export_ran_at(&stream.key).await?.map(|ran_at| when((stream.due_after)(ran_at)));
        streams.push(StreamRow {
            name: stream.name.clone(),
            format: stream.format.rsplit('/').next().unwrap_or_default().to_owned(),
            owners: stream.owners.join(", "),
            n_calls: waiting.get(&stream.key).copied().unwrap_or_default(),
            due: due.unwrap_or_else(|| "with the next start".to_owned()),
        });
    }
    let put = store.inbox_latest(None, None, ENTRIES_SHOWN).await?.into_iter().map(|entry| PutRow {
        at: when(entry.read_at),
        account: entry.file.account,
        file: format!("{}/{}", entry.file.folder, entry.file.name),
        kind: entry.kind.replace('_', " "),
        note: entry.note,
    });
    html(&PartnersPage { frame: Frame::of(&user, "/files"), partners, streams, put: put.collect() })
}

#[derive(Template)]
#[template(path = "trail.html")]
struct TrailPage {
    frame: Frame,
    account: String,
    entries: Vec<EntryRow>,
    /// Number of the last entry shown, where there are more.
    next: Option<i64>,
}

struct EntryRow {
    at: String,
    account: String,
    what: String,
    peer: String,
}

/// Which part of the trail.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TrailQuery {
    account: String,
    before: Option<i64>,
}

/// What the partners did, the latest first.
pub(crate) async fn trail(
    State(shared): State<Arc<Shared>>,
    user: SignedIn,
    Query(asked): Query<TrailQuery>,
) -> Result<Response, Refusal> {
    require(&user, Right::Files, "see the trail of the exchange")?;
    let account = asked.account.trim().to_owned();
    let of_account = (!account.is_empty()).then_some(account.as_str());
    let found = shared.desk.store.trail_page(of_account, asked.before, ENTRIES_SHOWN).await?;
    let is_full = u32::try_from(found.len()).is_ok_and(|n_found| n_found == ENTRIES_SHOWN);
    let next = found.last().map(|(id, _)| *id).filter(|_| is_full);
    let entries = found.into_iter().map(|(_, entry)| EntryRow {
        at: when(entry.at),
        what: exchange::told(&entry),
        account: entry.account,
        peer: entry.peer,
    });
    html(&TrailPage { frame: Frame::of(&user, "/files"), account, entries: entries.collect(), next })
}
