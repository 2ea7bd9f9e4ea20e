//! Reads what partners put into `in/` and `ack/`.
//!
//! In: files in the exchange directory, each version of one once. Out: acknowledgements beside our files; of a rate deck what it
//! would change, told to those who keep the tariffs, with the command that applies it. Nothing that a partner puts is ever applied
//! by itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use chrono::{DateTime, Utc};
use model::{Directory, TariffVersion};
use rating::{FeeChange, fee_diff};
use store::{NewMail, PutFile, Store};
use tracing::{info, warn};

use crate::commands::import_fees::{self, FeesArgs};
use crate::config::{RateDeckConfig, SftpSection, SftpUserConfig};
use crate::fee_import;

/// An acknowledgement that is longer is not read.
const ACK_BYTES_MAX: u64 = 1 << 20;

/// A rate deck that is longer is not read.
const DECK_BYTES_MAX: u64 = 64 << 20;

/// Our files that an acknowledgement is compared with, the latest of its sender's.
const FILES_KNOWN_MAX: u32 = 10_000;

/// Characters of a note.
const NOTE_CHARS_MAX: usize = 4_000;

/// What one file came to.
struct Taken {
    kind: &'static str,
    note: String,
    acks: Vec<(String, bool, String)>,
    /// Whether somebody is to be told.
    is_news: bool,
}

/// Looks once; what was read before is passed over.
pub(crate) async fn look(
    store: &Store,
    directory: &Directory,
    config: &SftpSection,
    now: DateTime<Utc>,
) -> anyhow::Result<()> {
    for user in config.users.iter().filter(|user| user.exchange) {
        let home = config.exchange_dir.join(&user.name);
        let name = user.name.clone();
        let found = tokio::task::spawn_blocking({
            let home = home.clone();
            move || put_files(&home, &name)
        })
        .await??;
        if found.is_empty() {
            continue;
        }
        let known = store.inbox_known(&user.name).await?;
        for file in found.difference(&known) {
            let path = home.join(&file.folder).join(&file.name);
            let taken = if file.folder == "ack" {
                acknowledgement(store, user, file, &path).await?
            } else {
                rate_deck(directory, user, file, path, now).await?
            };
            let note: String = taken.note.chars().take(NOTE_CHARS_MAX).collect();
            let mail = (taken.is_news && !config.inbox_to.is_empty()).then(|| NewMail {
                to: config.inbox_to.clone(),
                subject: format!("{} has put {}/{}", user.name, file.folder, file.name),
                text: format!(
                    "{note}\n\n`tollbook export inbox --user {}` lists what it has put.\n",
                    user.name
                ),
                attachments: Vec::new(),
                about: format!("sftp:{}", user.name),
            });
            info!(
                user = user.name,
                folder = file.folder,
                file = file.name,
                kind = taken.kind,
                "read what a partner has put"
            );
            store.inbox_take(file, taken.kind, &note, &taken.acks, mail.as_ref(), now).await?;
        }
    }
    Ok(())
}

/// The files of a user that are whole.
fn put_files(home: &Path, account: &str) -> anyhow::Result<BTreeSet<PutFile>> {
    let mut found = BTreeSet::new();
    for folder in ["in", "ack"] {
        let entries = match std::fs::read_dir(home.join(folder)) {
            Ok(entries) => entries,
            // The user has not been here yet.
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => continue,
            Err(why) => {
                return Err(why).with_context(|| format!("look into {}", home.join(folder).display()));
            }
        };
        for entry in entries {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // One that was deleted meanwhile is not there.
            let Ok(about) = entry.path().symlink_metadata() else { continue };
            if !about.is_file() || name.starts_with('.') || name.ends_with(".part") {
                continue;
            }
            let modified = DateTime::<Utc>::from(about.modified()?);
            found.insert(PutFile {
                account: account.to_owned(),
                folder: folder.to_owned(),
                name,
                size: about.len(),
                // As the database gives it back.
                modified: DateTime::from_timestamp_micros(modified.timestamp_micros()).unwrap_or(modified),
            });
        }
    }
    Ok(found)
}

async fn acknowledgement(
    store: &Store,
    user: &SftpUserConfig,
    file: &PutFile,
    path: &Path,
) -> anyhow::Result<Taken> {
    let unclear = |note: String| Taken { kind: "unreadable", note, acks: Vec::new(), is_news: true };
    if file.size > ACK_BYTES_MAX {
        return Ok(unclear(format!("longer than {ACK_BYTES_MAX} bytes, and not read")));
    }
    let contents = match std::fs::read(path) {
        Ok(contents) => contents,
        Err(why) => return Ok(unclear(format!("cannot be read: {why}"))),
    };
    let said = match exports::verdicts(&file.name, &contents) {
        Ok(said) => said,
        Err(why) => return Ok(unclear(why)),
    };
    let ours = store.files_below(&user.folder_name(), FILES_KNOWN_MAX).await?;
    let (mut acks, mut unknown) = (Vec::new(), Vec::new());
    for verdict in said {
        let of_it = ours.iter().find(|file| {
            file.name == verdict.file || file.name.rsplit('/').next() == Some(base_name(&verdict.file))
        });
        match of_it {
            Some(file) => acks.push((file.name.clone(), verdict.is_accepted, verdict.reason)),
            None => unknown.push(verdict.file),
        }
    }
    let n_accepted = acks.iter().filter(|(_, is_accepted, _)| *is_accepted).count();
    let mut note = format!("accepts {n_accepted} files");
    for (name, _, reason) in acks.iter().filter(|(_, is_accepted, _)| !is_accepted) {
        warn!(user = user.name, file = name, "a partner refuses a file");
        write!(note, "; refuses {name}{}{reason}", if reason.is_empty() { "" } else { ": " })?;
    }
    if !unknown.is_empty() {
        write!(
            note,
            "; names {} files that are not among its latest {FILES_KNOWN_MAX}: {}",
            unknown.len(),
            unknown.join(", ")
        )?;
    }
    let is_news = n_accepted < acks.len() || !unknown.is_empty();
    Ok(Taken { kind: "acknowledgement", note, acks, is_news })
}

/// A partner may name a file as it sees it: `out/NAME`.
fn base_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

async fn rate_deck(
    directory: &Directory,
    user: &SftpUserConfig,
    file: &PutFile,
    path: PathBuf,
    now: DateTime<Utc>,
) -> anyhow::Result<Taken> {
    let taken = |kind, note| Taken { kind, note, acks: Vec::new(), is_news: true };
    let Some(deck) = &user.rate_deck else {
        let note = format!(
            "no rate_deck is configured for {}; if it is one, `tollbook import fees {} --profile PROFILE --dry-run` shows what it \
             would change",
            user.name,
            path.display()
        );
        return Ok(taken("other", note));
    };
    if file.size > DECK_BYTES_MAX {
        return Ok(taken("unreadable", format!("longer than {DECK_BYTES_MAX} bytes, and not read")));
    }
    let args = deck.args(path);
    let offered = {
        let (base, args) = (import_fees::base_of(directory, &args, now).cloned(), args.clone());
        tokio::task::spawn_blocking(move || base.and_then(|base| offer(&base, &args, now))).await?
    };
    Ok(match offered {
        Ok(text) => {
            taken("rate_deck", format!("{text}\nNothing was applied. To apply it: {}", command_of(&args)))
        }
        Err(why) => taken("unreadable", format!("it cannot be used: {why:#}")),
    })
}

/// What a deck would change, in words.
fn offer(
    base: &TariffVersion,
    args: &FeesArgs,
    now: DateTime<Utc>,
) -> Result<String, crate::failure::UserError> {
    let mut fees = import_fees::read(args, base)?;
    if args.keep {
        fee_import::keep_unlisted(&mut fees, &base.fees);
    }
    let diff = fee_diff(&base.fees, &fees, now);
    let mut text = format!("profile {}: {} fees now, {} with it", args.profile, base.fees.len(), fees.len());
    for change in FeeChange::ALL {
        let of_it: Vec<_> =
            diff.differences.iter().filter(|difference| difference.change == change).collect();
        if of_it.is_empty() {
            continue;
        }
        let some: Vec<&str> = of_it
            .iter()
            .filter_map(|difference| difference.new.or(difference.old))
            .map(|fee| fee.destination.as_str())
            .take(5)
            .collect();
        let more = if of_it.len() > some.len() { ", ..." } else { "" };
        text.push_str(&format!("\n{}: {} ({}{more})", change.as_str(), of_it.len(), some.join(", ")));
    }
    text.push_str(&format!("\nas they were: {}", diff.n_same));
    Ok(text)
}

fn command_of(args: &FeesArgs) -> String {
    let mut command = format!("tollbook import fees {} --profile {}", args.file.display(), args.profile);
    if let Some(tenant) = &args.tenant {
        command.push_str(&format!(" --tenant {tenant}"));
    }
    if let Some(mapping) = &args.mapping {
        command.push_str(&format!(" --mapping {}", mapping.display()));
    }
    if args.keep {
        command.push_str(" --keep");
    }
    command
}

impl RateDeckConfig {
    fn args(&self, file: PathBuf) -> FeesArgs {
        FeesArgs {
            file,
            profile: self.profile.clone(),
            tenant: self.tenant.clone(),
            mapping: self.mapping.clone(),
            valid_from: None,
            keep: self.keep,
            margin_days: 0,
            yes: false,
            dry_run: true,
            correct_past: false,
        }
    }
}

#[cfg(test)]
mod tests;
