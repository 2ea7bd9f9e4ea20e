//! Sends what waits for webhooks: to each endpoint in a task of its own, so that a slow one holds up its own words alone.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use notify::{WebhookError, WebhookMessage, WebhookSecret, WebhookSender, webhook_retry_after};
use store::{Delivery, Store, StoreError, Webhook};
use tokio::task::JoinHandle;
use tracing::{error, info, warn};

use crate::clock::Clock;

/// Words sent to one endpoint at a time.
const CLAIM_MAX: u32 = 8;

/// Who in the audit trail switches off an endpoint that said it was gone.
const ACTOR: &str = "webhooks";

/// Sends round by round.
#[derive(Debug)]
pub(crate) struct WebhookQueue {
    store: Store,
    sender: WebhookSender,
    clock: Clock,
    /// By endpoint, what is being sent to it.
    busy: Mutex<BTreeMap<i64, JoinHandle<()>>>,
}

impl WebhookQueue {
    pub(crate) fn new(store: Store, sender: WebhookSender, clock: Clock) -> Self {
        Self { store, sender, clock, busy: Mutex::default() }
    }

    /// Begins to send what is due to endpoints that are not busy. Nobody waits for the end of it: a stop may cut it off, and what was not
    /// noted then is sent again when its lease is over.
    pub(crate) async fn send_waiting(&self) -> anyhow::Result<()> {
        let webhooks = self.store.webhooks().await?;
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, sending| !sending.is_finished());
        for webhook in webhooks.into_iter().filter(|webhook| !webhook.is_off) {
            busy.entry(webhook.id).or_insert_with(|| {
                let (store, sender, clock) = (self.store.clone(), self.sender.clone(), self.clock.clone());
                tokio::spawn(async move {
                    if let Err(why) = to_one(&store, &sender, &clock, &webhook).await {
                        error!(webhook = webhook.name, error = %why, "telling a webhook failed; trying again");
                    }
                })
            });
        }
        Ok(())
    }
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
                store.webhook_switch(delivery.webhook, true, ACTOR, now).await?;
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{AccountId, Alert, AlertId, AlertSeverity, Currency, LockLevel, Money, TenantId};
    use notify::WebhookConfig;
    use rust_decimal::Decimal;
    use store::{DeliveryState, LaneCommit, StoreEffect, WordKind};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// How long an endpoint may take.
    const TIMEOUT: Duration = Duration::from_secs(60);

    fn alert(period: &str, at: DateTime<Utc>) -> Alert {
        Alert {
            id: AlertId::derive("spend", AccountId(7), period),
            tenant: TenantId(1),
            account: AccountId(7),
            rule: "spend".to_owned(),
            period: period.to_owned(),
            limit: Money::new(Decimal::from(50), Currency::EUR),
            value: Money::new(Decimal::from(51), Currency::EUR),
            lock: LockLevel::None,
            notify: Vec::new(),
            evidence: Vec::new(),
            at,
            severity: AlertSeverity::Breach,
            update: 0,
            finding: None,
            spending: None,
        }
    }

    async fn n_sent(store: &Store, webhook: i64) -> usize {
        let deliveries = store.webhook_deliveries(Some(webhook), 10).await.unwrap();
        deliveries.iter().filter(|delivery| delivery.state == DeliveryState::Sent).count()
    }

    /// Takes every word, one to a connection.
    async fn take_all(listener: TcpListener) {
        let mut streams = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            assert_ne!(stream.read(&mut [0; 8_192]).await.unwrap(), 0);
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
            // Closed with a part unread, it could take the answer with it.
            streams.push(stream);
        }
    }

    #[tokio::test]
    async fn endpoint_that_hangs_holds_up_its_own_words_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&format!("sqlite://{}", dir.path().join("t.db").display())).await.unwrap();
        let clock = Clock::start();
        // Connections to it are made, and nobody answers.
        let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let secret = WebhookSecret::text_of(&[7; 32]);
        let mut ids = Vec::new();
        for (name, listener) in [("hanging", &hanging), ("good", &good)] {
            let url = format!("http://{}/", listener.local_addr().unwrap());
            ids.push(
                store
                    .webhook_add(name, &url, (&secret, &[WordKind::Alert]), "test", clock.utc())
                    .await
                    .unwrap(),
            );
        }
        tokio::spawn(take_all(good));
        let config = WebhookConfig {
            timeout: TIMEOUT,
            allow_private: true,
            allow_http: true,
            ..WebhookConfig::default()
        };
        let queue = WebhookQueue::new(store.clone(), WebhookSender::new(config).unwrap(), clock.clone());
        for (n, position, period) in [(1, 1, "2026-10-05"), (2, 2, "2026-10-06")] {
            let effects = vec![StoreEffect::Alert(Box::new(alert(period, clock.utc())))];
            let step = LaneCommit {
                partition: 0,
                expected: position - 1,
                position,
                watermarks: Vec::new(),
                changes: Vec::new(),
                effects,
            };
            store.commit("watch", vec![step]).await.unwrap();
            let told = async {
                while n_sent(&store, ids[1]).await < n {
                    queue.send_waiting().await.unwrap();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::time::timeout(TIMEOUT / 2, told).await.expect("the good one is told");
        }
        assert_eq!(n_sent(&store, ids[0]).await, 0);
        assert_eq!(store.webhook_deliveries(Some(ids[0]), 10).await.unwrap().len(), 2);
    }
}
