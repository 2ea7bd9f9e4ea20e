//! The outbox in the database, as the mailer sees it.

use chrono::{DateTime, Utc};
use notify::{Attachment, Claimed, Delivered, Drained, Mailer, NotifyError, OutgoingMail, Queue};
use store::{Store, StoreError};

/// One mail at a time: the queue is asked again for the next.
const CLAIM_MAX: u32 = 1;

struct Outbox<'a>(&'a Store);

impl Queue for Outbox<'_> {
    type Error = StoreError;

    async fn claim(&self, now: DateTime<Utc>) -> Result<Option<Claimed>, StoreError> {
        let Some(claimed) = self.0.mail_claim(now, CLAIM_MAX).await?.pop() else { return Ok(None) };
        let mail = claimed.mail;
        let attachments = mail
            .attachments
            .into_iter()
            .map(|(name, mime, bytes)| Attachment { name, mime, bytes })
            .collect();
        Ok(Some(Claimed {
            mail: OutgoingMail {
                id: claimed.id,
                to: mail.to,
                subject: mail.subject,
                text: mail.text,
                attachments,
            },
            attempt: claimed.attempts,
        }))
    }

    async fn sent(&self, id: i64, _delivered: &Delivered, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.0.mail_sent(id, now).await
    }

    async fn failed(
        &self,
        id: i64,
        error: &NotifyError,
        retry_at: Option<DateTime<Utc>>,
        _now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let why = format!("{} {error}", error.code());
        match retry_at {
            Some(retry_at) => self.0.mail_failed(id, &why, retry_at).await,
            None => {
                let has_bounced = matches!(error, NotifyError::Refused { .. });
                self.0.mail_given_up(id, has_bounced, &why).await
            }
        }
    }
}

/// Sends what is due.
pub(crate) async fn send_waiting(
    store: &Store,
    mailer: &Mailer,
    now: DateTime<Utc>,
) -> Result<Drained, StoreError> {
    notify::drain(&Outbox(store), mailer, now).await
}
