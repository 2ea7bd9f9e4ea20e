//! What is known of the partners of the CDR exchange: who fetches what, what waits for them, what they say.
//!
//! In: the configuration as the binary read it, and the trail of the store. Out: rows for pages and API, the same for both.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use store::{Fetched, Store, StoreError, TrailEntry, fetched};

/// A partner's latest files that are looked at.
const FILES_LOOKED_AT: u32 = 500;

/// How far back the trail is asked for them.
const LOOKED_BACK: TimeDelta = TimeDelta::days(400);

/// A user of the SFTP server, as configured.
#[derive(Debug, Clone)]
pub struct Partner {
    /// Login name.
    pub name: String,
    /// What it sees, below the export directory; empty for all of it.
    pub folder: String,
    /// A file that waits for longer raises an alarm, hours; `None`: none does.
    pub fetch_within_hours: Option<u64>,
    /// Networks it may come from; empty for all.
    pub networks: Vec<String>,
    /// What it may do: `exchange`, `delete`, `rename`.
    pub may: Vec<&'static str>,
}

/// An export stream, as configured.
#[derive(Clone)]
pub struct StreamDesk {
    /// Its name; `main` for the main one.
    pub name: String,
    /// Its name in the store; empty for the main one.
    pub key: String,
    /// Its format.
    pub format: String,
    /// Who has files.
    pub owners: Vec<String>,
    /// When its files are closed next, after they were last.
    pub due_after: Arc<dyn Fn(DateTime<Utc>) -> DateTime<Utc> + Send + Sync>,
}

/// Everything that is configured.
#[derive(Clone, Default)]
pub struct Exchange {
    /// The partners.
    pub partners: Vec<Partner>,
    /// The streams, the main one first.
    pub streams: Vec<StreamDesk>,
}

/// How a partner is doing.
pub(crate) struct Standing {
    pub(crate) last_login: Option<DateTime<Utc>>,
    /// `0000000123 at 02:10, 41 MB, complete`.
    pub(crate) last_fetch: Option<String>,
    /// Files that it has not fetched to their end.
    pub(crate) n_waiting: usize,
    pub(crate) oldest_waiting: Option<DateTime<Utc>>,
    pub(crate) is_late: bool,
    pub(crate) n_accepted: usize,
    pub(crate) n_refused: usize,
}

impl Standing {
    pub(crate) async fn of(store: &Store, partner: &Partner, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let files = store.files_below(&partner.folder, FILES_LOOKED_AT).await?;
        let mut fetches: HashMap<String, Vec<TrailEntry>> = HashMap::new();
        let mut last_fetch = None;
        for entry in store.trail_fetches_of(&partner.name, now - LOOKED_BACK).await? {
            last_fetch = Some(told(&entry));
            if let Some(file) = entry.file.clone() {
                fetches.entry(file).or_default().push(entry);
            }
        }
        let waiting: Vec<DateTime<Utc>> = files
            .iter()
            .filter(|file| {
                let entries = fetches.get(&file.name).map(Vec::as_slice).unwrap_or_default();
                !matches!(fetched(entries, &partner.name, file.n_bytes), Fetched::Whole { .. })
            })
            .map(|file| file.created_at)
            .collect();
        let oldest_waiting = waiting.iter().copied().min();
        let patience =
            partner.fetch_within_hours.and_then(|hours| TimeDelta::try_hours(i64::try_from(hours).ok()?));
        let acks = store.acks_of(&partner.name).await?;
        Ok(Self {
            last_login: store.trail_last_login(&partner.name).await?,
            last_fetch,
            n_waiting: waiting.len(),
            oldest_waiting,
            is_late: oldest_waiting.zip(patience).is_some_and(|(oldest, patience)| now - oldest > patience),
            n_accepted: acks.iter().filter(|ack| ack.is_accepted).count(),
            n_refused: acks.iter().filter(|ack| !ack.is_accepted).count(),
        })
    }
}

/// A thing that a user did, in people's words: `fetched 0000000123.cdr, 41 MB, complete`.
pub(crate) fn told(entry: &TrailEntry) -> String {
    let name = entry.file.as_deref().or(entry.path.as_deref()).unwrap_or_default();
    let mut parts = vec![
        format!("{} {}", entry.action, name.rsplit('/').next().unwrap_or_default()).trim_end().to_owned(),
    ];
    if entry.action == "listed" {
        parts = vec![format!("listed {name}")];
    }
    match (entry.size, entry.range) {
        (Some(size), Some(range)) if range.n_bytes >= size => {
            parts.push(format!("{}, complete", shown_size(size)))
        }
        (Some(size), Some(range)) => {
            parts.push(format!("{} of {}", shown_size(range.n_bytes), shown_size(size)));
        }
        (Some(size), None) => parts.push(shown_size(size)),
        (None, _) => {}
    }
    if !entry.detail.is_empty() {
        parts.push(entry.detail.clone());
    }
    parts.join(", ")
}

/// Bytes for people: `812 bytes`, `41 kB`, `41 MB`.
pub(crate) fn shown_size(n_bytes: u64) -> String {
    match n_bytes {
        0..1_000 => format!("{n_bytes} bytes"),
        1_000..1_000_000 => format!("{} kB", n_bytes / 1_000),
        1_000_000..1_000_000_000 => format!("{} MB", n_bytes / 1_000_000),
        _ => format!("{}.{} GB", n_bytes / 1_000_000_000, n_bytes / 100_000_000 % 10),
    }
}

/// What became of one file: who has fetched it, and what was said of it.
pub(crate) async fn fate_of(store: &Store, file: &str, n_bytes: u64) -> Result<String, StoreError> {
    let entries = store.trail_fetches(file).await?;
    let mut accounts: Vec<&str> = entries.iter().map(|entry| entry.account.as_str()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let mut told = Vec::new();
    for account in accounts {
        match fetched(&entries, account, n_bytes) {
            Fetched::No => {}
            Fetched::Whole { at, .. } => told.push(format!("{account} {}, complete", at.format("%F %H:%M"))),
            Fetched::Partly { n_bytes: part, at, .. } => {
                told.push(format!(
                    "{account} {}, {} of {}",
                    at.format("%F %H:%M"),
                    shown_size(part),
                    shown_size(n_bytes)
                ));
            }
        }
    }
    for ack in store.acks_about(file).await? {
        let says =
            if ack.is_accepted { "accepted it".to_owned() } else { format!("refused it: {}", ack.reason) };
        told.push(format!("{} {}", ack.account, says.trim_end_matches(": ")));
    }
    Ok(told.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trail_reads_like_a_sentence() {
        let entry = TrailEntry {
            at: DateTime::UNIX_EPOCH,
            peer: "192.0.2.1:22".to_owned(),
            account: "acme".to_owned(),
            action: "fetched".to_owned(),
            path: Some("/out/0000000123.cdr".to_owned()),
            file: Some("carriers/acme/0000000123.cdr".to_owned()),
            size: Some(41_000_123),
            range: Some(store::FetchedRange { from: 0, to: 41_000_123, n_bytes: 41_000_123 }),
            detail: String::new(),
        };
        assert_eq!(told(&entry), "fetched 0000000123.cdr, 41 MB, complete");
        let partly = store::FetchedRange { from: 0, to: 12, n_bytes: 12 };
        assert_eq!(
            told(&TrailEntry { range: Some(partly), ..entry.clone() }),
            "fetched 0000000123.cdr, 12 bytes of 41 MB"
        );
        let login = TrailEntry {
            action: "login".to_owned(),
            path: None,
            file: None,
            size: None,
            range: None,
            detail: "publickey".to_owned(),
            ..entry
        };
        assert_eq!(told(&login), "login, publickey");
        assert_eq!(shown_size(1_240_000_000), "1.2 GB");
    }
}
