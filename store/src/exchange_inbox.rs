//! What partners put into `in/` and `ack/`, and what they say of our files.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::outbox::enqueue;
use crate::sql::{Bind, Columns, cells, query, signed, unreadable};
use crate::{NewMail, Result, Store};

/// A file that a partner has put, in one version of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PutFile {
    /// Login name.
    pub account: String,
    /// `in` or `ack`.
    pub folder: String,
    /// Its name there.
    pub name: String,
    /// Its length.
    pub size: u64,
    /// When it was last changed, by the file system.
    pub modified: DateTime<Utc>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboxEntry {
    /// Its number.
    pub id: i64,
    /// The file.
    pub file: PutFile,
    /// `acknowledgement`, `rate_deck`, `other` or `unreadable`.
    pub kind: String,
    /// What it says or changes, for people.
    pub note: String,
    /// When it was read.
    pub read_at: DateTime<Utc>,
}

/// What a partner says of a file of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Name of the export file.
    pub file: String,
    /// Who says so.
    pub account: String,
    /// Whether it was taken.
    pub is_accepted: bool,
    /// Why not, in the partner's words.
    pub reason: String,
    /// When that was read.
    pub at: DateTime<Utc>,
}

impl Store {
    /// The versions of files of `account` that have been read.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn inbox_known(&self, account: &str) -> Result<BTreeSet<PutFile>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT account, folder, name, size, modified FROM sftp_inbox WHERE account = $1")
            .cells(cells![account])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(put_of).collect()
    }

    /// Keeps what became of a file, what it says of ours, and a mail about it: all of it or nothing, and once.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn inbox_take(
        &self,
        file: &PutFile,
        kind: &str,
        note: &str,
        acks: &[(String, bool, String)],
        mail: Option<&NewMail>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let row = query(
            "INSERT INTO sftp_inbox (account, folder, name, size, modified, kind, note, read_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
             ON CONFLICT (account, folder, name, size, modified) DO NOTHING RETURNING id",
        )
        .cells(cells![
            file.account.as_str(),
            file.folder.as_str(),
            file.name.as_str(),
            signed("size", file.size)?,
            file.modified,
            kind,
            note,
            now,
        ])
        .fetch_optional(&mut *tx)
        .await?;
        let Some(row) = row else { return Ok(()) };
        let id = row.int("id")?;
        for (name, is_accepted, reason) in acks {
            let verdict = if *is_accepted { "accepted" } else { "refused" };
            query(
                "INSERT INTO export_acks (file, account, verdict, reason, inbox, at) VALUES ($1, $2, $3, $4, $5, $6) \
                 ON CONFLICT (file, account) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason, \
                 inbox = excluded.inbox, at = excluded.at",
            )
            .cells(cells![name.as_str(), file.account.as_str(), verdict, reason.as_str(), id, now])
            .execute(&mut *tx)
            .await?;
        }
        if let Some(mail) = mail {
            enqueue(&mut tx, mail, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// The latest files put, newest first; of one user or of all, behind (older than) the entry `before`, if any.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn inbox_latest(
        &self,
        account: Option<&str>,
        before: Option<i64>,
        max: u32,
    ) -> Result<Vec<InboxEntry>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, account, folder, name, size, modified, kind, note, read_at FROM sftp_inbox \
             WHERE ($1 = '' OR account = $1) AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .cells(cells![account.unwrap_or_default(), before.unwrap_or(i64::MAX), max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                Ok(InboxEntry {
                    id: row.int("id")?,
                    file: put_of(row)?,
                    kind: row.text("kind")?,
                    note: row.text("note")?,
                    read_at: row.time("read_at")?,
                })
            })
            .collect()
    }

    /// What `account` says of our files, by name of the file.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn acks_of(&self, account: &str) -> Result<Vec<Ack>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT file, account, verdict, reason, at FROM export_acks WHERE account = $1 ORDER BY file",
        )
        .cells(cells![account])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(ack_of).collect()
    }

    /// What is said of one file, by account.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn acks_about(&self, file: &str) -> Result<Vec<Ack>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT file, account, verdict, reason, at FROM export_acks WHERE file = $1 ORDER BY account",
        )
        .cells(cells![file])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(ack_of).collect()
    }
}

fn ack_of(row: &sqlx::any::AnyRow) -> Result<Ack> {
    let is_accepted = match row.text("verdict")?.as_str() {
        "accepted" => true,
        "refused" => false,
        other => return Err(unreadable("verdict", other)),
    };
    Ok(Ack {
        file: row.text("file")?,
        account: row.text("account")?,
        is_accepted,
        reason: row.text("reason")?,
        at: row.time("at")?,
    })
}

fn put_of(row: &sqlx::any::AnyRow) -> Result<PutFile> {
    Ok(PutFile {
        account: row.text("account")?,
        folder: row.text("folder")?,
        name: row.text("name")?,
        size: row.narrow("size")?,
        modified: row.time("modified")?,
    })
}
