//! Webhooks: programs that are told of events, and the words that wait for them.
//!
//! A word is queued in the transaction that keeps what it tells, an alert for one, once for each endpoint, under an id of the event, such as the alert and its update: a
//! replay queues nothing twice, and a receiver that is told again sees the same id. A claim is a lease, as for mails.

use chrono::{DateTime, TimeDelta, Utc};
use model::Alert;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::alert_mail::Party;
use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query};
use crate::webhook_words::{Word, WordKind, tell};
use crate::{Result, Store, StoreError};

/// Endpoints at most: each alert is queued for every one.
pub const WEBHOOKS_MAX: usize = 32;

/// Longer than any endpoint may take.
const LEASE_MINUTES: i64 = 2;

/// A word that could not be delivered for so long is given up.
pub(crate) const EXPIRES_AFTER: TimeDelta = TimeDelta::hours(72);

/// Deliveries that are over, and those that wait for an endpoint that is off, are kept for so long.
const OVER_KEPT: TimeDelta = TimeDelta::days(30);

/// An endpoint.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: i64,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What words to it are signed with, `whsec_` and base64.
    pub secret: String,
    /// Who added it.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// It said that it is gone (410), and is not told any more.
    pub is_off: bool,
    /// What it is told of.
    pub kinds: Vec<WordKind>,
}

impl Webhook {
    /// Its address as lists and the trail show it, such as `https://desk.example/…`.
    pub fn place(&self) -> String {
        place_of(&self.url)
    }
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// How far a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// To be sent, perhaps again.
    Queued,
    /// Claimed by a sender.
    Sending,
    /// The endpoint took it.
    Sent,
    /// Tried long enough.
    GivenUp,
}

impl DeliveryState {
    /// The word in the database and on the screen.
    pub const fn as_str(self) -> &'static str {
        match self {
            DeliveryState::Queued => "queued",
            DeliveryState::Sending => "sending",
            DeliveryState::Sent => "sent",
            DeliveryState::GivenUp => "given up",
        }
    }
}

/// One word for one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id in the queue.
    pub id: i64,
    /// The endpoint's id.
    pub webhook: i64,
    /// The same whenever it is sent again; a receiver drops what it has seen.
    pub message_id: String,
    /// JSON.
    pub body: String,
    /// How far it is.
    pub state: DeliveryState,
    /// Claims so far.
    pub attempts: u32,
    /// Not before this; while it is being sent, the end of the lease.
    pub next_try_at: DateTime<Utc>,
    /// Given up then.
    pub expires_at: DateTime<Utc>,
    /// Why the last attempt failed; empty if none did.
    pub last_error: String,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When the endpoint took it.
    pub sent_at: Option<DateTime<Utc>>,
}

const DELIVERY_COLUMNS: &str = "id, webhook, message_id, body, state, attempts, next_try_at, expires_at, \
     last_error, created_at, sent_at";

impl Store {
    /// Adds an endpoint; returns its id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when the name is in use, [`StoreError::Invalid`] beyond [`WEBHOOKS_MAX`]; what the database says.
    pub async fn webhook_add(
        &self,
        name: &str,
        url: &str,
        (secret, kinds): (&str, &[WordKind]),
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut tx = self.write().await?;
        let there = load_webhooks(&mut tx).await?;
        if there.iter().any(|webhook| webhook.name == name) {
            return Err(StoreError::Taken { what: "webhook", name: name.to_owned() });
        }
        if there.len() >= WEBHOOKS_MAX {
            let rule = format!("there are {WEBHOOKS_MAX} webhooks already; remove one that is not needed");
            return Err(StoreError::Invalid { object: format!("webhook {name:?}"), rule });
        }
        let id = query(
            "INSERT INTO webhooks (name, url, secret, kinds, created_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6) RETURNING id",
        )
        .cells(cells![name, url, secret, kinds_text(kinds), actor, now])
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        // The trail is for everybody who may read it; the secret is not.
        append(&mut tx, actor, "add_webhook", &format!("webhook:{name}"), "", &place_of(url), now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Removes an endpoint with what waits for it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn webhook_remove(&self, name: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let gone = query("DELETE FROM webhooks WHERE name = $1 RETURNING id, url")
            .cells(cells![name])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "webhook", name: name.to_owned() })?;
        query("DELETE FROM webhook_deliveries WHERE webhook = $1")
            .cells(cells![gone.int("id")?])
            .execute(&mut *tx)
            .await?;
        let before = place_of(&gone.text("url")?);
        append(&mut tx, actor, "remove_webhook", &format!("webhook:{name}"), &before, "", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Tells an endpoint of `kinds` alone from now on; what waits for it is sent all the same.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn webhook_tell_of(
        &self,
        name: &str,
        kinds: &[WordKind],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let after = kinds_text(kinds);
        let done = query("UPDATE webhooks SET kinds = $2 WHERE name = $1")
            .cells(cells![name, after.as_str()])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "webhook", name: name.to_owned() });
        }
        append(&mut tx, actor, "tell_webhook_of", &format!("webhook:{name}"), "", &after, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Tells an endpoint no more, or again; nothing is done where that is so already.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_switch(&self, id: i64, is_off: bool, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let switched = query("UPDATE webhooks SET is_off = $2 WHERE id = $1 AND is_off <> $2 RETURNING name")
            .cells(cells![id, is_off])
            .fetch_optional(&mut *tx)
            .await?;
        if let Some(row) = switched {
            let object = format!("webhook:{}", row.text("name")?);
            let (before, after) = if is_off { ("on", "off") } else { ("off", "on") };
            append(&mut tx, actor, "switch_webhook", &object, before, after, now).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// All endpoints, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhooks(&self) -> Result<Vec<Webhook>> {
        let mut tx = self.read().await?;
        let webhooks = load_webhooks(&mut tx).await?;
        tx.commit().await?;
        Ok(webhooks)
    }

    /// Takes up to `max` deliveries of one endpoint that are due, oldest first, for the caller alone to send. What has expired is given
    /// up.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_claim(&self, webhook: i64, now: DateTime<Utc>, max: u32) -> Result<Vec<Delivery>> {
        // Mostly there is nothing to do, which a reader can tell.
        let mut tx = self.read().await?;
        let waits = query(
            "SELECT id FROM webhook_deliveries WHERE webhook = $1 AND state IN ('queued', 'sending') \
             AND next_try_at <= $2 AND NOT EXISTS (SELECT 1 FROM restore_hold) LIMIT 1",
        )
        .cells(cells![webhook, now])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        if waits.is_none() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        query(
            "UPDATE webhook_deliveries SET state = 'given up' WHERE webhook = $1 AND state IN ('queued', 'sending') \
             AND next_try_at <= $2 AND expires_at <= $2",
        )
        .cells(cells![webhook, now])
        .execute(&mut *tx)
        .await?;
        // The outer condition repeats the inner one: a row that another claimed while we waited for it is passed over.
        let rows = query(
            "UPDATE webhook_deliveries SET state = 'sending', attempts = attempts + 1, next_try_at = $3 \
             WHERE state IN ('queued', 'sending') AND next_try_at <= $2 AND id IN \
             (SELECT id FROM webhook_deliveries WHERE webhook = $1 AND state IN ('queued', 'sending') \
             AND next_try_at <= $2 ORDER BY next_try_at, id LIMIT $4) \
             RETURNING id, webhook, message_id, body, state, attempts, next_try_at, expires_at, last_error, \
             created_at, sent_at",
        )
        .cells(cells![webhook, now, now + TimeDelta::minutes(LEASE_MINUTES), max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        let mut claimed = rows.iter().map(delivery_of).collect::<Result<Vec<_>>>()?;
        claimed.sort_by_key(|delivery| delivery.id);
        Ok(claimed)
    }

    /// Notes that the endpoint took it.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_sent(&self, id: i64, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE webhook_deliveries SET state = 'sent', sent_at = $2, last_error = '' WHERE id = $1")
            .cells(cells![id, now])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Notes why an attempt failed, and when to try again; never, where there is no such time.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_failed(
        &self,
        id: i64,
        error: &str,
        next_try_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let state = if next_try_at.is_some() { "queued" } else { "given up" };
        query(
            "UPDATE webhook_deliveries SET state = $2, last_error = $3, next_try_at = $4 \
             WHERE id = $1 AND sent_at IS NULL",
        )
        .cells(cells![id, state, error, next_try_at.unwrap_or(now)])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The latest deliveries, newest first; of one endpoint, or of all.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_deliveries(&self, webhook: Option<i64>, max: u32) -> Result<Vec<Delivery>> {
        let mut tx = self.read().await?;
        let rows = crate::sql::query_of(format!(
            "SELECT {DELIVERY_COLUMNS} FROM webhook_deliveries WHERE $1 = 0 OR webhook = $1 ORDER BY id DESC LIMIT $2"
        ))
        .cells(cells![webhook.unwrap_or(0), max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(delivery_of).collect()
    }

    /// Has a delivery tried again at once, whatever came of it.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], [`StoreError::Invalid`] when its endpoint is off; what the database says.
    pub async fn webhook_resend(&self, id: i64, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let found = query(
            "SELECT webhooks.name AS name, webhooks.is_off AS is_off, webhook_deliveries.message_id AS message_id, \
             webhook_deliveries.state AS state FROM webhook_deliveries \
             JOIN webhooks ON webhooks.id = webhook_deliveries.webhook WHERE webhook_deliveries.id = $1",
        )
        .cells(cells![id])
        .fetch_optional(&mut *tx)
        .await?
        .ok_or_else(|| StoreError::NotFound { what: "delivery", name: id.to_string() })?;
        let name = found.text("name")?;
        if found.flag("is_off")? {
            let rule = format!("webhook {name:?} is off and is told nothing; switch it on first");
            return Err(StoreError::Invalid { object: format!("delivery {id}"), rule });
        }
        query(
            "UPDATE webhook_deliveries SET state = 'queued', next_try_at = $2, expires_at = $3, sent_at = NULL \
             WHERE id = $1",
        )
        .cells(cells![id, now, now + EXPIRES_AFTER])
        .execute(&mut *tx)
        .await?;
        let after = format!("{} queued", found.text("message_id")?);
        let before = found.text("state")?;
        append(&mut tx, actor, "resend_webhook", &format!("webhook:{name}"), &before, &after, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Forgets deliveries that were over long before `now`, and what waits as long for endpoints that are off; returns how many.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn webhook_forget(&self, now: DateTime<Utc>) -> Result<u64> {
        let mut tx = self.write().await?;
        let gone = query(
            "DELETE FROM webhook_deliveries WHERE created_at < $1 AND (state IN ('sent', 'given up') \
             OR webhook NOT IN (SELECT id FROM webhooks WHERE is_off = 0))",
        )
        .cells(cells![now - OVER_KEPT])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(gone.rows_affected())
    }
}

/// Queues an alert, as it is now, for every endpoint that wants to hear of alerts.
pub(crate) async fn enqueue_alert(conn: &mut AnyConnection, alert: &Alert, party: &Party) -> Result<()> {
    let word = Word {
        kind: WordKind::Alert,
        id: format!("alert_{}_{}", alert.id, alert.update),
        at: alert.at,
        body: crate::alert_mail::alert_word(alert, party),
    };
    tell(conn, &word).await
}

fn kinds_text(kinds: &[WordKind]) -> String {
    let mut kinds = kinds.to_vec();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.into_iter().map(WordKind::as_str).collect::<Vec<_>>().join(",")
}

/// What follows the host may be a secret of the receiver's, and so may what stands before it.
fn place_of(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "…".to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let path = if matches!(path, "" | "/") { path } else { "/…" };
    format!("{scheme}://{host}{path}")
}

async fn load_webhooks(conn: &mut AnyConnection) -> Result<Vec<Webhook>> {
    let rows = query(
        "SELECT id, name, url, secret, created_by, created_at, is_off, kinds FROM webhooks ORDER BY name",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Webhook {
                id: row.int("id")?,
                name: row.text("name")?,
                url: row.text("url")?,
                secret: row.text("secret")?,
                created_by: row.text("created_by")?,
                created_at: row.time("created_at")?,
                is_off: row.flag("is_off")?,
                // A kind that this program does not know, from a later version, is left to that.
                kinds: row.text("kinds")?.split(',').filter_map(|kind| kind.parse().ok()).collect(),
            })
        })
        .collect()
}

fn delivery_of(row: &AnyRow) -> Result<Delivery> {
    let word = row.text("state")?;
    let all = [DeliveryState::Queued, DeliveryState::Sending, DeliveryState::Sent, DeliveryState::GivenUp];
    let state = all.into_iter().find(|state| state.as_str() == word);
    Ok(Delivery {
        id: row.int("id")?,
        webhook: row.int("webhook")?,
        message_id: row.text("message_id")?,
        body: row.text("body")?,
        state: state.ok_or_else(|| crate::sql::unreadable("state", word))?,
        attempts: row.narrow("attempts")?,
        next_try_at: row.time("next_try_at")?,
        expires_at: row.time("expires_at")?,
        last_error: row.text("last_error")?,
        created_at: row.time("created_at")?,
        sent_at: row.opt_time("sent_at")?,
    })
}
