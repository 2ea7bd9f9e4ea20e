//! Outgoing mail: queued in the transaction that caused it, claimed by whoever sends it.
//!
//! A claim is a lease. A sender that dies leaves its mails to the next one after [`LEASE_MINUTES`]; a mail may then be
//! sent twice, but none is forgotten.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, Language, MailEvent, Money, PostingId, TenantId};
use serde::{Deserialize, Serialize};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::download_links::revoked_of;
use crate::sql::{Bind, Cell, Columns, cells, count, fetch_in, insert_rows, json, query, unreadable};
use crate::webhook_words::{tell_of_balance, tell_of_mail};
use crate::{Result, Store, StoreError};

/// Longer than any mail server may take.
const LEASE_MINUTES: i64 = 10;

const A_YEAR: TimeDelta = TimeDelta::days(365);

/// A mail to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMail {
    /// Addresses.
    pub to: Vec<String>,
    /// Subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// Name, MIME type and content of each.
    pub attachments: Vec<(String, String, Vec<u8>)>,
    /// What it is about, such as `invoice:7`.
    pub about: String,
}

/// What a tenant's own template words a mail from, at its first attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailFill {
    /// What happened.
    pub event: MailEvent,
    /// What the receiver reads.
    pub language: Language,
    /// The values of the event's variables.
    pub variables: BTreeMap<String, String>,
}

/// A mail about an event, with the program's own words in it: those are sent where the tenant has no others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventMail {
    /// The mail in the program's words.
    pub mail: NewMail,
    /// Whose customer or people it goes to.
    pub tenant: TenantId,
    /// What it may be worded from instead.
    pub fill: MailFill,
}

/// How far a mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailState {
    /// To be sent, perhaps again.
    Queued,
    /// Claimed by a sender.
    Sending,
    /// Taken by a mail server.
    Sent,
    /// Refused for good by a mail server, which said why; it is claimed no more.
    Bounced,
    /// Impossible to send, or tried for long enough; it is claimed no more.
    GivenUp,
}

impl MailState {
    const ALL: [MailState; 5] =
        [MailState::Queued, MailState::Sending, MailState::Sent, MailState::Bounced, MailState::GivenUp];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            MailState::Queued => "queued",
            MailState::Sending => "sending",
            MailState::Sent => "sent",
            MailState::Bounced => "bounced",
            MailState::GivenUp => "given_up",
        }
    }
}

/// The last mail about something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastMail {
    /// Its id, whatever became of it.
    pub id: i64,
    /// When the last one was queued that neither bounced nor was given up; `None` if there is none.
    pub queued_at: Option<DateTime<Utc>>,
}

/// A mail of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Its id.
    pub id: i64,
    /// What is to be sent.
    pub mail: NewMail,
    /// Its HTML, if a template has written some; else it is made of the text.
    pub html: Option<String>,
    /// Whose customer or people it goes to; `None` for what the house tells its own people.
    pub tenant: Option<TenantId>,
    /// What it may be worded from; `None` where it is about nothing that a template words.
    pub fill: Option<MailFill>,
    /// When it got its last words, which every attempt sends.
    pub worded_at: Option<DateTime<Utc>>,
    /// How far it is.
    pub state: MailState,
    /// Claims so far.
    pub attempts: u32,
    /// Not before this; while it is being sent, the end of the lease.
    pub next_try_at: DateTime<Utc>,
    /// Why the last attempt failed; empty if none did.
    pub last_error: String,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When a mail server took it.
    pub sent_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Queues a mail; returns its id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_enqueue(&self, mail: &NewMail, now: DateTime<Utc>) -> Result<i64> {
        let mut tx = self.write().await?;
        let id = enqueue(&mut tx, mail, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Queues a mail about an event; returns its id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_enqueue_event(&self, mail: &EventMail, now: DateTime<Utc>) -> Result<i64> {
        let mut tx = self.write().await?;
        let id = enqueue_event(&mut tx, mail, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Queues the next mail about what it is about, if the last one is still the one that was seen; returns its id. `None`: somebody else
    /// has queued one since.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_enqueue_next(
        &self,
        mail: &EventMail,
        seen: Option<LastMail>,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let mut tx = self.write().await?;
        let about = mail.mail.about.as_str();
        let after = seen.map_or(0, |last| last.id);
        // Whoever comes second waits here for the first.
        let taken = query(
            "INSERT INTO mail_successions (about, after_mail, queued_at) VALUES ($1, $2, $3) ON CONFLICT (about, after_mail) DO NOTHING",
        )
        .cells(cells![about, after, now])
        .execute(&mut *tx)
        .await?;
        let newer = query("SELECT id FROM mails WHERE about = $1 AND id > $2 LIMIT 1")
            .cells(cells![about, after])
            .fetch_optional(&mut *tx)
            .await?;
        if taken.rows_affected() == 0 || newer.is_some() {
            return Ok(None);
        }
        let id = enqueue_event(&mut tx, mail, now).await?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Queues the mail that says that a balance has fallen to `left`, below `below`, by `posting`, and tells webhooks; returns the mail's
    /// id. `None`: that has been told; every process that holds calls to balances reads the same postings.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn balance_is_low(
        &self,
        (account, posting): (AccountId, PostingId),
        sums: (Money, Money),
        mail: &EventMail,
        now: DateTime<Utc>,
    ) -> Result<Option<i64>> {
        let mut tx = self.write().await?;
        // Whoever comes second waits here for the first.
        let told = query(
            "INSERT INTO balances_told (posting, account, told_at) VALUES ($1, $2, $3) ON CONFLICT (posting) DO NOTHING",
        )
        .cells(cells![posting.as_bytes(), account.0, now])
        .execute(&mut *tx)
        .await?;
        if told.rows_affected() == 0 {
            return Ok(None);
        }
        let id = enqueue_event(&mut tx, mail, now).await?;
        tell_of_balance(&mut tx, (account, posting), sums, now).await?;
        tx.commit().await?;
        Ok(Some(id))
    }

    /// Gives a mail its last words, which every attempt sends.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_worded(
        &self,
        id: i64,
        (subject, text, html): (&str, &str, Option<&str>),
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE mails SET subject = $2, body = $3, html = $4, worded_at = $5 WHERE id = $1")
            .cells(cells![id, subject, text, html.map(str::to_owned), now])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes up to `max` mails that are due, oldest first, for the caller alone to send.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_claim(&self, now: DateTime<Utc>, max: u32) -> Result<Vec<Mail>> {
        let mut tx = self.write().await?;
        // The outer condition repeats the inner one: a row that another claimed while we waited for it is passed over.
        let rows = query(
            "UPDATE mails SET state = 'sending', attempts = attempts + 1, next_try_at = $2 \
             WHERE sent_at IS NULL AND next_try_at <= $1 AND id IN \
             (SELECT id FROM mails WHERE sent_at IS NULL AND next_try_at <= $1 AND NOT EXISTS (SELECT 1 FROM restore_hold) \
             ORDER BY next_try_at, id LIMIT $3) \
             RETURNING id, recipients, subject, body, about, state, attempts, next_try_at, last_error, created_at, \
             sent_at, tenant, html, fill, worded_at",
        )
        .cells(cells![now, now + TimeDelta::minutes(LEASE_MINUTES), max])
        .fetch_all(&mut *tx)
        .await?;
        let mut mails = rows.iter().map(mail_of).collect::<Result<Vec<_>>>()?;
        mails.sort_by_key(|mail| mail.id);
        add_attachments(&mut tx, &mut mails).await?;
        tx.commit().await?;
        Ok(mails)
    }

    /// Notes that a mail server took the mail. The invoice it is about is sent with it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn mail_sent(&self, id: i64, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let is_news = query("UPDATE mails SET sent_at = $2 WHERE id = $1 AND sent_at IS NULL")
            .cells(cells![id, now])
            .execute(&mut *tx)
            .await?
            .rows_affected()
            > 0;
        let done = query("UPDATE mails SET state = 'sent', sent_at = $2, last_error = '' WHERE id = $1")
            .cells(cells![id, now])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "mail", name: id.to_string() });
        }
        if is_news {
            tell_of_mail(&mut tx, id, MailState::Sent.as_str(), "", now).await?;
        }
        query(
            "UPDATE invoices SET state = 'sent' WHERE state = 'queued' AND id IN \
             (SELECT CAST(substr(about, 9) AS BIGINT) FROM mails WHERE id = $1 AND about LIKE 'invoice:%')",
        )
        .cells(cells![id])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes why an attempt failed and when to try again.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn mail_failed(&self, id: i64, error: &str, next_try_at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        not_sent(&mut tx, id, MailState::Queued, error, next_try_at).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes why a mail was given up, or that it bounced; it stays in the list, and is claimed no more.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn mail_given_up(
        &self,
        id: i64,
        has_bounced: bool,
        error: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let state = if has_bounced { MailState::Bounced } else { MailState::GivenUp };
        let mut tx = self.write().await?;
        // Later than any claim asks for.
        not_sent(&mut tx, id, state, error, DateTime::<Utc>::MAX_UTC).await?;
        tell_of_mail(&mut tx, id, state.as_str(), error, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Queues a mail once more that bounced or was given up, as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], [`StoreError::Invalid`] when it is on its way or sent or has a link that was revoked, and what the database says.
    pub async fn mail_again(&self, id: i64, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let row = query("SELECT state, next_try_at FROM mails WHERE id = $1")
            .cells(cells![id])
            .fetch_optional(&mut *tx)
            .await?;
        let row = row.ok_or_else(|| StoreError::NotFound { what: "mail", name: id.to_string() })?;
        let state = state_of(&row)?;
        if !matches!(state, MailState::Bounced | MailState::GivenUp) {
            let rule =
                format!("it is {}; only one that bounced or was given up is queued again", state.as_str());
            return Err(StoreError::Invalid { object: format!("mail {id}"), rule });
        }
        if let Some(link) = revoked_of(&mut tx, id).await? {
            let rule = format!(
                "link {link}, which it has in place of an attachment, was revoked; an invoice is sent with another by \
                 `tollbook invoice resend`"
            );
            return Err(StoreError::Invalid { object: format!("mail {id}"), rule });
        }
        query("UPDATE mails SET state = 'queued', attempts = 0, next_try_at = $2 WHERE id = $1")
            .cells(cells![id, now])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The last mail about each thing whose name begins with `prefix`, such as `reminder:`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mails_about(&self, prefix: &str) -> Result<HashMap<String, LastMail>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT about, max(id) AS last_id, max(CASE WHEN state NOT IN ('bounced', 'given_up') THEN created_at END) AS last_at \
             FROM mails WHERE substr(about, 1, CAST($2 AS INTEGER)) = $1 GROUP BY about",
        )
        .cells(cells![prefix, count(prefix.chars().count())])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let last = |row: &AnyRow| -> Result<LastMail> {
            Ok(LastMail { id: row.int("last_id")?, queued_at: row.opt_time("last_at")? })
        };
        rows.iter().map(|row| Ok((row.text("about")?, last(row)?))).collect()
    }

    /// The latest mails, newest first, without what is in them: text, HTML, variables and attachments.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_latest(&self, max: u32) -> Result<Vec<Mail>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, recipients, subject, CAST('' AS TEXT) AS body, about, state, attempts, next_try_at, last_error, \
             created_at, sent_at, tenant, CAST(NULL AS TEXT) AS html, CAST(NULL AS TEXT) AS fill, worded_at \
             FROM mails ORDER BY id DESC LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(mail_of).collect()
    }

    /// All mails with their attachments, oldest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_list(&self) -> Result<Vec<Mail>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, recipients, subject, body, about, state, attempts, next_try_at, last_error, created_at, \
             sent_at, tenant, html, fill, worded_at FROM mails ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut mails = rows.iter().map(mail_of).collect::<Result<Vec<_>>>()?;
        add_attachments(&mut tx, &mut mails).await?;
        tx.commit().await?;
        Ok(mails)
    }
}

async fn not_sent(
    conn: &mut AnyConnection,
    id: i64,
    state: MailState,
    error: &str,
    next_try_at: DateTime<Utc>,
) -> Result<()> {
    let done = query(
        "UPDATE mails SET state = $4, last_error = $2, next_try_at = $3 WHERE id = $1 AND sent_at IS NULL",
    )
    .cells(cells![id, error, next_try_at, state.as_str()])
    .execute(conn)
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound { what: "mail to be sent", name: id.to_string() });
    }
    Ok(())
}

pub(crate) async fn enqueue(conn: &mut AnyConnection, mail: &NewMail, now: DateTime<Utc>) -> Result<i64> {
    let id = query(
        "INSERT INTO mails (recipients, subject, body, about, state, attempts, next_try_at, last_error, created_at) \
         VALUES ($1, $2, $3, $4, 'queued', 0, $5, '', $5) RETURNING id",
    )
    .cells(cells![json(&mail.to), mail.subject.as_str(), mail.text.as_str(), mail.about.as_str(), now])
    .fetch_one(&mut *conn)
    .await?
    .int("id")?;
    let rows = mail
        .attachments
        .iter()
        .enumerate()
        .map(|(idx, (name, mime, content))| {
            cells![id, count(idx), name.as_str(), mime.as_str(), content.clone()]
        })
        .collect();
    insert_rows(conn, "INSERT INTO mail_attachments (mail, place, name, mime, content)", "", rows).await?;
    Ok(id)
}

pub(crate) async fn enqueue_event(
    conn: &mut AnyConnection,
    mail: &EventMail,
    now: DateTime<Utc>,
) -> Result<i64> {
    let id = enqueue(&mut *conn, &mail.mail, now).await?;
    query("UPDATE mails SET tenant = $2, fill = $3 WHERE id = $1")
        .cells(cells![id, mail.tenant.0, json(&mail.fill)])
        .execute(conn)
        .await?;
    Ok(id)
}

async fn add_attachments(conn: &mut AnyConnection, mails: &mut [Mail]) -> Result<()> {
    let ids: Vec<Cell> = mails.iter().map(|mail| Cell::from(mail.id)).collect();
    let head = "SELECT mail, place, name, mime, content FROM mail_attachments WHERE mail";
    let mut found: HashMap<i64, Vec<_>> = HashMap::new();
    for row in fetch_in(conn, head, &[], ids).await? {
        let attachment = (row.text("name")?, row.text("mime")?, row.bytes("content")?);
        found.entry(row.int("mail")?).or_default().push((row.int("place")?, attachment));
    }
    for mail in mails {
        let mut attachments = found.remove(&mail.id).unwrap_or_default();
        attachments.sort_by_key(|(place, _)| *place);
        mail.mail.attachments = attachments.into_iter().map(|(_, attachment)| attachment).collect();
    }
    Ok(())
}

fn state_of(row: &AnyRow) -> Result<MailState> {
    let state = row.text("state")?;
    let known = MailState::ALL.into_iter().find(|known| known.as_str() == state);
    let known = known.ok_or_else(|| unreadable("state", state))?;
    // Earlier versions left what they gave up in the queue, with a time that never comes.
    let is_queued = matches!(known, MailState::Queued | MailState::Sending);
    Ok(if is_queued && row.time("next_try_at")? >= DateTime::<Utc>::MAX_UTC - A_YEAR {
        MailState::GivenUp
    } else {
        known
    })
}

fn mail_of(row: &AnyRow) -> Result<Mail> {
    let state = state_of(row)?;
    let fill = row.opt_text("fill")?;
    Ok(Mail {
        id: row.int("id")?,
        mail: NewMail {
            to: row.json("recipients")?,
            subject: row.text("subject")?,
            text: row.text("body")?,
            attachments: Vec::new(),
            about: row.text("about")?,
        },
        html: row.opt_text("html")?,
        tenant: row.opt_int("tenant")?.map(TenantId),
        fill: fill
            .map(|fill| serde_json::from_str(&fill).map_err(|_| unreadable("fill", fill)))
            .transpose()?,
        worded_at: row.opt_time("worded_at")?,
        state,
        attempts: row.narrow("attempts")?,
        next_try_at: row.time("next_try_at")?,
        last_error: row.text("last_error")?,
        created_at: row.time("created_at")?,
        sent_at: row.opt_time("sent_at")?,
    })
}
