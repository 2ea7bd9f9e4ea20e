//! What webhooks are told: which kinds of events there are, and the words for what mails, invoices, locks and balances do.
//!
//! Each word is queued in the transaction of what it tells, once for each endpoint that wants its kind, under an id of that event.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, SecondsFormat, Utc};
use model::{AccountId, Lock, LockLevel, Money, PostingId};
use serde_json::{Value, json};
use sqlx::AnyConnection;

use crate::Result;
use crate::invoices::Invoice;
use crate::sql::{Bind, Columns, cells, insert_rows, query};
use crate::webhooks::EXPIRES_AFTER;

/// What an endpoint may be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum WordKind {
    /// `fraud.alert.opened`, `fraud.alert.updated`.
    Alert,
    /// `account.locked`, `account.unlocked`.
    Lock,
    /// `invoice.final`, `invoice.paid`, `invoice.void`.
    Invoice,
    /// `mail.sent`, `mail.bounced`, `mail.given_up`.
    Mail,
    /// `balance.low`.
    Balance,
}

impl WordKind {
    /// All of them.
    pub const ALL: [WordKind; 5] =
        [WordKind::Alert, WordKind::Lock, WordKind::Invoice, WordKind::Mail, WordKind::Balance];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            WordKind::Alert => "alert",
            WordKind::Lock => "lock",
            WordKind::Invoice => "invoice",
            WordKind::Mail => "mail",
            WordKind::Balance => "balance",
        }
    }
}

impl fmt::Display for WordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WordKind {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let known = WordKind::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| {
            let all: Vec<&str> = WordKind::ALL.into_iter().map(WordKind::as_str).collect();
            format!("{text:?} is not one of {}", all.join(", "))
        })
    }
}

/// Something to be told.
pub(crate) struct Word {
    pub(crate) kind: WordKind,
    /// The same for the same event, whenever it is told.
    pub(crate) id: String,
    pub(crate) at: DateTime<Utc>,
    pub(crate) body: Value,
}

impl Word {
    /// `what` is the type of the event, such as `invoice.paid`.
    fn new(kind: WordKind, what: &str, id: String, at: DateTime<Utc>, data: &Value) -> Self {
        let body = json!({
            "type": what,
            "timestamp": at.to_rfc3339_opts(SecondsFormat::Micros, true),
            "data": data,
        });
        Self { kind, id, at, body }
    }
}

/// Queues `word` for every endpoint that wants its kind.
pub(crate) async fn tell(conn: &mut AnyConnection, word: &Word) -> Result<()> {
    let rows =
        query("SELECT id, kinds FROM webhooks WHERE is_off = 0 ORDER BY id").fetch_all(&mut *conn).await?;
    let mut deliveries = Vec::new();
    let body = word.body.to_string();
    for row in rows {
        if row.text("kinds")?.split(',').any(|kind| kind == word.kind.as_str()) {
            let (id, body, at) = (word.id.as_str(), body.as_str(), word.at);
            deliveries.push(cells![row.int("id")?, id, body, "queued", at, at + EXPIRES_AFTER, at]);
        }
    }
    insert_rows(
        conn,
        "INSERT INTO webhook_deliveries (webhook, message_id, body, state, next_try_at, expires_at, created_at)",
        "ON CONFLICT (webhook, message_id) DO NOTHING",
        deliveries,
    )
    .await?;
    Ok(())
}

/// Whether anybody wants to hear of a kind: what would have to be looked up for the word is looked up only then.
async fn is_wanted(conn: &mut AnyConnection, kind: WordKind) -> Result<bool> {
    let rows = query("SELECT kinds FROM webhooks WHERE is_off = 0").fetch_all(conn).await?;
    for row in rows {
        if row.text("kinds")?.split(',').any(|known| known == kind.as_str()) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Handles of an account and of its tenant; the account's id and nothing where it is gone.
async fn handles_of(conn: &mut AnyConnection, account: AccountId) -> Result<(String, Option<String>)> {
    let row = query(
        "SELECT accounts.handle AS handle, tenants.handle AS tenant FROM accounts \
         JOIN tenants ON tenants.id = accounts.tenant WHERE accounts.id = $1",
    )
    .cells(cells![account.0])
    .fetch_optional(conn)
    .await?;
    row.map_or_else(
        || Ok((account.to_string(), None)),
        |row| Ok((row.text("handle")?, Some(row.text("tenant")?))),
    )
}

fn amount(money: Money) -> Value {
    json!({ "amount": money.amount.normalize().to_string(), "currency": money.currency.as_str() })
}

/// What became of a mail: `sent`, `bounced` or `given_up`. A mail that is queued again can bounce again, which is another event.
pub(crate) async fn tell_of_mail(
    conn: &mut AnyConnection,
    mail: i64,
    state: &str,
    error: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    if !is_wanted(&mut *conn, WordKind::Mail).await? {
        return Ok(());
    }
    let row = query(
        "SELECT mails.recipients, mails.subject, mails.about, mails.attempts, tenants.handle AS tenant FROM mails \
         LEFT JOIN tenants ON tenants.id = mails.tenant WHERE mails.id = $1",
    )
    .cells(cells![mail])
    .fetch_one(&mut *conn)
    .await?;
    let data = json!({
        "mail": mail,
        "tenant": row.opt_text("tenant")?,
        "to": row.json::<Vec<String>>("recipients")?,
        "subject": row.text("subject")?,
        "about": row.text("about")?,
        "attempts": row.int("attempts")?,
        "error": (!error.is_empty()).then_some(error),
    });
    let id = format!("mail_{mail}_{state}_{}", now.timestamp_micros());
    tell(conn, &Word::new(WordKind::Mail, &format!("mail.{state}"), id, now, &data)).await
}

/// An invoice is `final`, `paid` or `void`, each of which happens once; a credit note is `final` alone.
pub(crate) async fn tell_of_invoice(
    conn: &mut AnyConnection,
    invoice: &Invoice,
    state: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    if !is_wanted(&mut *conn, WordKind::Invoice).await? {
        return Ok(());
    }
    let (account, tenant) = handles_of(&mut *conn, invoice.account).await?;
    let data = json!({
        "number": invoice.number,
        "kind": invoice.kind.word(),
        "tenant": tenant,
        "account": account,
        "period_start": invoice.period_start.to_rfc3339_opts(SecondsFormat::Micros, true),
        "period_end": invoice.period_end.to_rfc3339_opts(SecondsFormat::Micros, true),
        "net": amount(invoice.net),
        "tax": amount(invoice.tax),
        "total": amount(invoice.gross),
        "of": invoice.kind.of().map(|of| of.0),
        "id": invoice.id.0,
    });
    let id = format!("invoice_{}_{state}", invoice.id);
    tell(conn, &Word::new(WordKind::Invoice, &format!("invoice.{state}"), id, now, &data)).await
}

/// A lock was set or lifted; `entry` is its place in the history of locks.
pub(crate) async fn tell_of_lock(conn: &mut AnyConnection, lock: &Lock, entry: i64) -> Result<()> {
    tell_of_level(conn, lock, format!("lock_{entry}")).await
}

/// The time of `lock` was over at `at`.
pub(crate) async fn tell_of_lapse(
    conn: &mut AnyConnection,
    lock: &Lock,
    why: &str,
    at: DateTime<Utc>,
) -> Result<()> {
    let id = format!("lock_lapse_{}_{}", lock.account, at.timestamp_micros());
    let lifted =
        Lock { level: LockLevel::None, reason: why.to_owned(), since: at, until: None, ..lock.clone() };
    tell_of_level(conn, &lifted, id).await
}

async fn tell_of_level(conn: &mut AnyConnection, lock: &Lock, id: String) -> Result<()> {
    if !is_wanted(&mut *conn, WordKind::Lock).await? {
        return Ok(());
    }
    let what = if lock.level == LockLevel::None { "account.unlocked" } else { "account.locked" };
    let (account, tenant) = handles_of(&mut *conn, lock.account).await?;
    let data = json!({
        "tenant": tenant,
        "account": account,
        "level": lock.level.as_str(),
        "source": lock.source.as_str(),
        "reason": lock.reason,
        "alert": lock.alert.as_ref().map(ToString::to_string),
        "until": lock.until.map(|until| until.to_rfc3339_opts(SecondsFormat::Micros, true)),
    });
    tell(conn, &Word::new(WordKind::Lock, what, id, lock.since, &data)).await
}

/// The balance of an account fell below what its owner wants to hear of, by `posting`.
pub(crate) async fn tell_of_balance(
    conn: &mut AnyConnection,
    (account, posting): (AccountId, PostingId),
    (left, below): (Money, Money),
    now: DateTime<Utc>,
) -> Result<()> {
    let (handle, tenant) = handles_of(&mut *conn, account).await?;
    let data = json!({
        "tenant": tenant,
        "account": handle,
        "left": amount(left),
        "below": amount(below),
    });
    let id = format!("balance_{account}_{posting}");
    tell(conn, &Word::new(WordKind::Balance, "balance.low", id, now, &data)).await
}
