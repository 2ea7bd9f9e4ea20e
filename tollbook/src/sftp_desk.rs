//! What partners do with their files: keeps the trail, tells who has fetched what, and says when a file waits for too long.
//!
//! In: the events of the SFTP server. Out: entries in the store, in their order; a mail to those in charge when a partner has not
//! fetched a file within the time agreed with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use chrono::{DateTime, TimeDelta, Utc};
use exports::sftp::{TrailAction, TrailEvent};
use store::{Fetched, FetchedRange, NewMail, Store, TrailEntry, WaitingFile, fetched};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::clock::Clock;
use crate::config::SftpSection;

/// Entries written in one transaction.
const BATCH_MAX: usize = 200;

/// After a failure of the database; the events wait, and behind them the sessions.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// What is told after the stop is kept for so long: sessions take their leave.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// Files closed longer ago are not asked for any more: they were before the partner, or long settled.
const MISSED_FOR_AT_MOST: TimeDelta = TimeDelta::days(14);

/// Files named in one mail.
const FILES_NAMED_MAX: usize = 20;

/// Writes the trail until the server has ended.
pub(crate) async fn keep_trail(
    store: Store,
    clock: Clock,
    export_dir: PathBuf,
    mut events: mpsc::Receiver<TrailEvent>,
    stop: CancellationToken,
) {
    // As the server sees it: without symlinks.
    let export_dir = std::fs::canonicalize(&export_dir).unwrap_or(export_dir);
    let mut batch = Vec::with_capacity(BATCH_MAX);
    let over = async {
        stop.cancelled().await;
        tokio::time::sleep(STOP_PATIENCE).await;
    };
    tokio::pin!(over);
    loop {
        let n_events = tokio::select! {
            n_events = events.recv_many(&mut batch, BATCH_MAX) => n_events,
            () = &mut over => return,
        };
        if n_events == 0 {
            return;
        }
        let now = clock.utc();
        while let Err(why) = write(&store, &export_dir, &batch, now).await {
            error!(error = format!("{why:#}"), "the sftp trail cannot be written; trying again");
            tokio::select! {
                () = tokio::time::sleep(PAUSE_AFTER_FAILURE) => {}
                () = &mut over => return,
            }
        }
        batch.clear();
    }
}

async fn write(
    store: &Store,
    export_dir: &Path,
    events: &[TrailEvent],
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    let mut entries: Vec<TrailEntry> = Vec::with_capacity(events.len());
    for event in events {
        let mut entry = entry_of(event, now);
        if let TrailAction::Fetched { path, real, .. }
        | TrailAction::Renamed { path, real, .. }
        | TrailAction::Deleted { path, real, .. } = &event.action
        {
            // A file that its reader has renamed is still the one that we have published.
            let renamed = entries.iter().rev().find(|earlier| {
                earlier.action == "renamed" && earlier.account == entry.account && earlier.detail == *path
            });
            entry.file = match renamed {
                Some(earlier) => earlier.file.clone(),
                None => match store.trail_renamed_from(&event.user, path).await? {
                    Some(file) => Some(file),
                    None => real.strip_prefix(export_dir).ok().map(|name| name.display().to_string()),
                },
            };
        }
        entries.push(entry);
    }
    store.trail_append(&entries).await?;
    Ok(())
}

fn entry_of(event: &TrailEvent, now: DateTime<Utc>) -> TrailEntry {
    let mut entry = TrailEntry {
        at: now,
        peer: event.peer.to_string(),
        account: event.user.clone(),
        action: event.action.as_str().to_owned(),
        path: None,
        file: None,
        size: None,
        range: None,
        detail: String::new(),
    };
    match &event.action {
        TrailAction::Login { method } | TrailAction::Refused { method } => {
            (*method).clone_into(&mut entry.detail)
        }
        TrailAction::Banned { seconds } => entry.detail = format!("for {seconds} s"),
        TrailAction::Listed { path } => entry.path = Some(path.clone()),
        TrailAction::Fetched { path, size, from, to, n_bytes, .. } => {
            entry.path = Some(path.clone());
            entry.size = Some(*size);
            entry.range = Some(FetchedRange { from: *from, to: *to, n_bytes: *n_bytes });
        }
        TrailAction::Put { path, size, is_complete } => {
            entry.path = Some(path.clone());
            entry.size = Some(*size);
            entry.detail = if *is_complete { "complete" } else { "broken off" }.to_owned();
        }
        TrailAction::Renamed { path, to, .. } => {
            entry.path = Some(path.clone());
            entry.detail.clone_from(to);
        }
        TrailAction::Deleted { path, size, .. } => {
            entry.path = Some(path.clone());
            entry.size = Some(*size);
        }
    }
    entry
}

/// For the console: `acme 25 Nov 02:10 UTC, complete; globe 25 Nov 02:11 UTC, 12 of 4096 bytes`.
pub(crate) fn told(entries: &[TrailEntry]) -> String {
    let mut accounts: Vec<&str> = entries.iter().map(|entry| entry.account.as_str()).collect();
    accounts.sort_unstable();
    accounts.dedup();
    let told = accounts.into_iter().filter_map(|account| {
        let size = entries.iter().filter_map(|entry| entry.size).max()?;
        match fetched(entries, account, size) {
            Fetched::No => None,
            Fetched::Whole { at, .. } => {
                Some(format!("{account} {}, complete", at.format("%-d %b %H:%M UTC")))
            }
            Fetched::Partly { n_bytes, at, .. } => {
                Some(format!("{account} {}, {n_bytes} of {size} bytes", at.format("%-d %b %H:%M UTC")))
            }
        }
    });
    told.collect::<Vec<_>>().join("; ")
}

/// Says once of each file that its reader has not fetched it within the time agreed: an error in the log, and a mail to those in
/// charge.
pub(crate) async fn miss_readers(
    store: &Store,
    config: &SftpSection,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    for user in &config.users {
        let Some(within) = user.fetch_within else { continue };
        let within = TimeDelta::from_std(within).unwrap_or(MISSED_FOR_AT_MOST);
        let mut missed: Vec<WaitingFile> = Vec::new();
        for file in store
            .files_to_be_fetched(
                &user.name,
                &user.folder_name(),
                now - within - MISSED_FOR_AT_MOST,
                now - within,
            )
            .await?
        {
            let entries = store.trail_fetches(&file.name).await?;
            if !matches!(fetched(&entries, &user.name, file.n_bytes), Fetched::Whole { .. }) {
                missed.push(file);
            }
        }
        if missed.is_empty() {
            continue;
        }
        warn!(
            user = user.name,
            n_files = missed.len(),
            oldest = missed[0].name,
            "files were not fetched in time"
        );
        let names: Vec<String> = missed.iter().map(|file| file.name.clone()).collect();
        if !config.alarm_to.is_empty() {
            let mail = missed_mail(&user.name, within, &missed, &config.alarm_to);
            store.mail_enqueue(&mail, now).await.context("queue the mail about files not fetched")?;
        }
        store.alarm_raised(&user.name, &names, now).await?;
    }
    Ok(())
}

fn missed_mail(user: &str, within: TimeDelta, missed: &[WaitingFile], to: &[String]) -> NewMail {
    let mut text = format!(
        "{user} has not fetched {} within {} hours, as agreed:\n\n",
        if missed.len() == 1 { "a file".to_owned() } else { format!("{} files", missed.len()) },
        within.num_hours()
    );
    for file in missed.iter().take(FILES_NAMED_MAX) {
        text.push_str(&format!("  {}  closed {}\n", file.name, file.created_at.format("%F %T UTC")));
    }
    if missed.len() > FILES_NAMED_MAX {
        text.push_str(&format!("  and {} more\n", missed.len() - FILES_NAMED_MAX));
    }
    text.push_str(&format!(
        "\n`tollbook export fetched --user {user}` shows what it has fetched, `tollbook export trail --user {user}` when it was here.\n"
    ));
    NewMail {
        to: to.to_vec(),
        subject: format!("{user} does not fetch its CDR files"),
        text,
        attachments: Vec::new(),
        about: format!("sftp:{user}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    fn entry(second: i64, account: &str, from: u64, to: u64, n_bytes: u64) -> TrailEntry {
        TrailEntry {
            at: at(second),
            peer: "192.0.2.1:22".to_owned(),
            account: account.to_owned(),
            action: "fetched".to_owned(),
            path: None,
            file: None,
            size: Some(100),
            range: Some(FetchedRange { from, to, n_bytes }),
            detail: String::new(),
        }
    }

    #[track_caller]
    fn check(entries: &[TrailEntry], expected: &str) {
        let shown = match fetched(entries, "acme", 100) {
            Fetched::No => "no".to_owned(),
            Fetched::Partly { n_bytes, .. } => format!("{n_bytes} bytes"),
            Fetched::Whole { at, .. } => format!("whole at {}", at.timestamp()),
        };
        assert_eq!(shown, expected);
    }

    #[test]
    fn resumed_fetch_is_a_whole_one_and_what_others_read_does_not_count() {
        check(&[], "no");
        check(&[entry(1, "other", 0, 100, 100)], "no");
        check(&[entry(1, "acme", 0, 60, 60)], "60 bytes");
        check(&[entry(1, "acme", 0, 60, 60), entry(2, "acme", 60, 100, 40)], "whole at 2");
        check(&[entry(1, "acme", 0, 60, 60), entry(2, "acme", 70, 100, 30)], "90 bytes");
        check(&[entry(1, "acme", 50, 100, 50), entry(2, "acme", 0, 60, 60)], "whole at 2");
        check(&[entry(1, "acme", 0, 100, 100), entry(2, "acme", 0, 10, 10)], "whole at 1");
        assert_eq!(
            told(&[entry(1, "globe", 0, 60, 60), entry(61, "acme", 0, 100, 100)]),
            "acme 1 Jan 00:01 UTC, complete; globe 1 Jan 00:00 UTC, 60 of 100 bytes"
        );
        // With a hole in it, and nobody knows where.
        check(&[entry(1, "acme", 0, 100, 99), entry(2, "acme", 0, 1, 1)], "1 bytes");
    }

    #[tokio::test]
    async fn reader_that_does_not_come_is_missed_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let config: SftpSection = toml::from_str(
            r#"alarm_to = ["ops@example.org"]
            [[users]]
            name = "acme"
            folder = "carriers/acme"
            fetch_within = "26h"
            "#,
        )
        .unwrap();
        store
            .export_keep_format(
                "hash",
                &store::KeptFormat { name: "csv".to_owned(), description: String::new() },
            )
            .await
            .unwrap();
        for (owner, name) in [
            ("carrier:1", "carriers/acme/1.cdr"),
            ("carrier:1", "carriers/acme/2.cdr"),
            ("carrier:2", "carriers/acme-too/1.cdr"),
        ] {
            let plan = store::ExportPlan {
                owner,
                rows_max: 1,
                now: at(0),
                format: "hash",
                zone: "UTC",
                owner_name: "acme",
                may_be_empty: true,
                corrections: None,
            };
            let file = store.export_plan(plan, None, |_, _| name.to_owned()).await.unwrap().unwrap();
            store
                .export_written(&[store::ExportReport {
                    file: file.id,
                    n_bytes: 100,
                    md5: "md5",
                    sha256: "sha256",
                }])
                .await
                .unwrap();
        }
        let mut read = entry(1, "acme", 0, 100, 100);
        read.file = Some("carriers/acme/1.cdr".to_owned());
        store.trail_append(&[read]).await.unwrap();

        miss_readers(&store, &config, at(26 * 3600)).await.unwrap();
        assert_eq!(store.mail_list().await.unwrap().len(), 0, "it still has a moment");
        for second in [1, 2] {
            miss_readers(&store, &config, at(26 * 3600 + second)).await.unwrap();
        }
        let mails = store.mail_list().await.unwrap();
        assert_eq!(mails.len(), 1);
        let text = &mails[0].mail.text;
        assert!(text.contains("carriers/acme/2.cdr") && text.contains("26 hours"), "{text}");
        assert!(!text.contains("1.cdr"), "{text}");
    }

    #[tokio::test]
    async fn file_renamed_before_it_is_fetched_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let event =
            |action| TrailEvent { peer: "192.0.2.1:22".parse().unwrap(), user: "acme".to_owned(), action };
        let fetched = |path: &str, real: &str| TrailAction::Fetched {
            path: path.to_owned(),
            real: real.into(),
            size: 5,
            from: 0,
            to: 5,
            n_bytes: 5,
        };
        let renamed = |path: &str, real: &str, to: &str| TrailAction::Renamed {
            path: path.to_owned(),
            real: real.into(),
            to: to.to_owned(),
        };
        let first = [event(renamed("/out/1.cdr", "/x/carriers/acme/1.cdr", "/out/1.done"))];
        write(&store, Path::new("/x"), &first, at(1)).await.unwrap();
        let second = [
            event(fetched("/out/1.done", "/x/carriers/acme/1.done")),
            event(renamed("/out/1.done", "/x/carriers/acme/1.done", "/archive/1.cdr")),
            event(fetched("/archive/1.cdr", "/home/acme/archive/1.cdr")),
            event(fetched("/in/own", "/home/acme/in/own")),
        ];
        write(&store, Path::new("/x"), &second, at(2)).await.unwrap();
        assert_eq!(store.trail_fetches("carriers/acme/1.cdr").await.unwrap().len(), 2);
        let all = store.trail_latest(Some("acme"), 10).await.unwrap();
        assert_eq!((all.len(), all[0].file.clone()), (5, None));
    }
}
