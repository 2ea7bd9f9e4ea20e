//! Sends what waits for webhooks: to all endpoints at once, so that a slow one holds up its own words alone.

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use notify::{WebhookError, WebhookMessage, WebhookSecret, WebhookSender, webhook_retry_after};
use store::{Delivery, Store, StoreError, Webhook};
use tracing::{info, warn};

use crate::clock::Clock;

/// Words sent to one endpoint at a time.
const CLAIM_MAX: u32 = 8;

/// Sends what is due.
pub(crate) async fn send_waiting(store: &Store, sender: &WebhookSender, clock: &Clock) -> anyhow::Result<()> {
    let webhooks = store.webhooks().await?;
    let sent = join_all(
        webhooks
            .iter()
            .filter(|webhook| !webhook.is_off)
            .map(|webhook| to_one(store, sender, clock, webhook)),
    );
    for done in sent.await {
        done?;
    }
    Ok(())
}

async fn to_one(
    store: &Store,
    sender: &WebhookSender,
    clock: &Clock,
    webhook: &Webhook,
) -> Result<(), StoreError> {
    let claimed = store.webhook_claim(webhook.id, clock.utc(), CLAIM_MAX).await?;
    for done in
        join_all(claimed.iter().map(|delivery| deliver(store, sender, clock, webhook, delivery))).await
    {
        done?;
    }
    Ok(())
}

async fn deliver(
    store: &Store,
    sender: &WebhookSender,
    clock: &Clock,
    webhook: &Webhook,
    delivery: &Delivery,
) -> Result<(), StoreError> {
    let message = WebhookMessage { id: &delivery.message_id, body: &delivery.body };
    let outcome = send(sender, webhook, message, clock.utc()).await;
    let now = clock.utc();
    let (webhook, attempt) = (&webhook.name, delivery.attempts);
    match outcome {
        Ok(status) => {
            info!(webhook, message = delivery.message_id, attempt, status, "webhook told");
            store.webhook_sent(delivery.id, now).await
        }
        Err(why) => {
            let pause = TimeDelta::from_std(webhook_retry_after(attempt)).ok();
            let next = pause.and_then(|pause| now.checked_add_signed(pause)).filter(|_| !why.is_gone());
            warn!(webhook, message = delivery.message_id, attempt, code = why.code(), next = ?next, "webhook not told");
            store.webhook_failed(delivery.id, &format!("{} {why}", why.code()), next, now).await?;
            if why.is_gone() {
                warn!(webhook, "the endpoint says that it is gone, and is told no more");
                store.webhook_switch(delivery.webhook, true).await?;
            }
            Ok(())
        }
    }
}

/// Sends one word, now.
pub(crate) async fn send(
    sender: &WebhookSender,
    webhook: &Webhook,
    message: WebhookMessage<'_>,
    now: DateTime<Utc>,
) -> Result<u16, WebhookError> {
    let secret = WebhookSecret::read(&webhook.secret)?;
    sender.send(&webhook.url, &secret, message, now).await
}
