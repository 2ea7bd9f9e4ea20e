//! `tollbook suspense`: what could not be processed, and what would have to change; then sends it in again or gives it up.

use store::{Store, SuspendedRecord};

use crate::cli::{ChosenRecords, SuspenseAction};
use crate::clock::Clock;
use crate::commands::import::COMMAND_LINE;
use crate::commands::{print_table, suspense_desk};
use crate::config::Config;
use crate::failure::UserError;
use crate::resubmit;
use crate::system::{of_store, open_store};

/// Records listed unless told otherwise.
const LISTED: u32 = 50;

/// Lists, sends in again or discards.
pub(crate) async fn suspense(
    config: &Config,
    limit: Option<u32>,
    action: Option<SuspenseAction>,
) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    match action {
        None => list(&store, limit).await,
        Some(SuspenseAction::List { limit: own }) => list(&store, own.or(limit)).await,
        Some(SuspenseAction::Show { id, json }) => suspense_desk::show(
            &store.suspense_get(id).await.map_err(of_store)?,
            &store.directory().await?,
            json,
        ),
        Some(SuspenseAction::Fix { which, set, file, dry_run }) => {
            let records = chosen(&store, of_one_code(which, "changed")?).await?;
            let change = match file {
                Some(file) => suspense_desk::change_in(&file, records.len())?,
                None => suspense_desk::change_of_words(&set)?,
            };
            suspense_desk::fix(&store, records, &change, dry_run).await
        }
        Some(SuspenseAction::Resubmit { which }) => {
            let is_bulk = which.is_bulk();
            resubmit(&store, chosen(&store, which).await?, is_bulk).await
        }
        Some(SuspenseAction::Discard { which, reason }) => {
            discard(&store, of_one_code(which, "given up")?, &reason).await
        }
    }
}

/// The oldest open records.
async fn list(store: &Store, limit: Option<u32>) -> anyhow::Result<()> {
    let records = store.suspense_list(0, limit.unwrap_or(LISTED)).await?;
    let directory = store.directory().await?;
    print_table(
        &["id", "since (UTC)", "account", "stage", "code", "try again", "call", "why"],
        records.iter().map(|record| {
            let retry = record.suspended.retry.to_string().replace('_', " ");
            vec![
                record.id.to_string(),
                record.created_at.format("%F %T").to_string(),
                directory.name_of(record.suspended.account),
                record.stage.clone(),
                match rating::word_of(&record.suspended.code) {
                    Some(word) => format!("{} {word}", record.suspended.code),
                    None => record.suspended.code.clone(),
                },
                if record.resubmit_seq.is_some() { "requested".to_owned() } else { retry },
                record.suspended.cdr.map(|cdr| cdr.to_string()).unwrap_or_default(),
                record.suspended.message.clone(),
            ]
        }),
        "nothing is in suspense",
    );
    if !records.is_empty() {
        println!(
            "`tollbook suspense show ID` says more; once the cause is gone: `tollbook suspense resubmit ID...`, or --code CODE; else `tollbook suspense discard ID... \
             --reason \"...\"`"
        );
    }
    Ok(())
}

async fn chosen(store: &Store, which: ChosenRecords) -> anyhow::Result<Vec<SuspendedRecord>> {
    if which.is_bulk() { open(store, which.code.as_deref()).await } else { named(store, which.ids).await }
}

/// An error where it says all, of whatever code: what is wrong with one says nothing about another.
fn of_one_code(which: ChosenRecords, done: &str) -> anyhow::Result<ChosenRecords> {
    if which.all && which.code.is_none() {
        let what = format!("--all: records of different codes are not {done} alike");
        return Err(UserError::new(what, "name the code too, such as `--code IMP003`").into());
    }
    Ok(which)
}

/// Whether a code is asked for by itself or by its word.
fn is_called(code: &str, name: &str) -> bool {
    code == name || rating::word_of(code) == Some(name)
}

async fn open(store: &Store, code: Option<&str>) -> anyhow::Result<Vec<SuspendedRecord>> {
    let mut records = store.suspense_list(0, u32::MAX).await?;
    records.retain(|record| {
        record.resubmit_seq.is_none() && code.is_none_or(|code| is_called(&record.suspended.code, code))
    });
    Ok(records)
}

/// All of them, or an error: a number mistyped is not the time to act on the others.
async fn named(store: &Store, mut ids: Vec<i64>) -> anyhow::Result<Vec<SuspendedRecord>> {
    ids.sort_unstable();
    ids.dedup();
    let mut records = Vec::with_capacity(ids.len());
    for id in ids {
        records.push(store.suspense_get(id).await.map_err(of_store)?);
    }
    Ok(records)
}

/// Why an order for a record changes nothing, in words that go on from its name.
pub(super) fn settled(record: &SuspendedRecord) -> Option<&'static str> {
    if record.discard_reason.is_some() {
        Some("was discarded")
    } else if record.resolved_at.is_some() {
        Some("was sent in again already")
    } else if record.resubmit_seq.is_some() {
        Some("is about to be sent in again")
    } else {
        None
    }
}

async fn resubmit(store: &Store, records: Vec<SuspendedRecord>, is_bulk: bool) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    let mut n_left = 0;
    for record in &records {
        match settled(record).or_else(|| resubmit::refusal(record)) {
            Some(why) => {
                println!("{} {why}", record.id);
                n_left += 1;
            }
            None => ids.push(record.id),
        }
    }
    let requested = store.suspense_request(&ids, COMMAND_LINE, Clock::start().utc()).await?;
    for id in ids.iter().filter(|id| !requested.contains(id)) {
        println!("{id} was dealt with by somebody else just now");
        n_left += 1;
    }
    if requested.is_empty() && n_left > 0 && !is_bulk {
        return Err(nothing_done("sent in again"));
    }
    println!(
        "{} to be sent in again; a running installation does it within a second",
        counted(requested.len())
    );
    Ok(())
}

async fn discard(store: &Store, which: ChosenRecords, reason: &str) -> anyhow::Result<()> {
    if reason.trim().is_empty() {
        return Err(UserError::new("--reason: it is empty", "say why the records are not needed").into());
    }
    let records = chosen(store, which).await?;
    let mut ids = Vec::new();
    for record in &records {
        match settled(record) {
            Some(why) => println!("{} {why}", record.id),
            None => ids.push(record.id),
        }
    }
    let discarded = store.suspense_discard(&ids, reason, COMMAND_LINE, Clock::start().utc()).await?;
    for id in ids.iter().filter(|id| !discarded.contains(id)) {
        println!("{id} was dealt with by somebody else just now");
    }
    if discarded.is_empty() {
        return Err(nothing_done("discarded"));
    }
    println!("{} discarded; the audit log keeps the reason", counted(discarded.len()));
    Ok(())
}

pub(super) fn counted(n_records: usize) -> String {
    if n_records == 1 { "1 record is".to_owned() } else { format!("{n_records} records are") }
}

pub(super) fn nothing_done(what: &str) -> anyhow::Error {
    UserError::new(format!("no record is {what}"), "`tollbook suspense` lists the open ones").into()
}
