//! The step that empties the queue: claim a due mail, send it, note the result.
//!
//! In: a durable [`Queue`], a [`Mailer`], the time. Out: notes in the queue. The binary calls [`drain`] every few
//! seconds and after queueing something; the table behind the queue is the store's.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tracing::{info, warn};

use crate::{Delivered, Mailer, NotifyError, OutgoingMail};

/// Mails sent by one call of [`drain`], so that the caller's clock moves and it can stop.
pub const DRAIN_MAX: usize = 100;

/// Pauses after the first failed attempts; then [`RETRY_PAUSE_MAX`] each.
const RETRY_PAUSES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(2 * 60 * 60),
];
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(4 * 60 * 60);
/// With the pauses above five days of trying (RFC 5321, 4.5.4.1, asks for four at least).
const ATTEMPTS_MAX: u32 = 36;

/// How long to wait after failed attempt number `attempt` (the first is 1). `None`: give up.
pub fn retry_after(attempt: u32) -> Option<Duration> {
    if attempt >= ATTEMPTS_MAX {
        return None;
    }
    let idx = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    Some(RETRY_PAUSES.get(idx).copied().unwrap_or(RETRY_PAUSE_MAX))
}

/// A mail that is ours to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// The mail.
    pub mail: OutgoingMail,
    /// Which attempt this is; the first is 1.
    pub attempt: u32,
}

/// A durable queue of mails, as the store keeps it.
///
/// Each method is one transaction. Between `claim` and the note the process may die: the mail must then be claimed
/// again, by this process after its restart or by another once the claim is old (15 minutes are safe).
pub trait Queue: Sync {
    /// What its database reports.
    type Error: Send;

    /// The oldest mail due at `now` that nobody else holds, now held by us; `None` when nothing is due.
    fn claim(&self, now: DateTime<Utc>) -> impl Future<Output = Result<Option<Claimed>, Self::Error>> + Send;

    /// Mail `id` is delivered and never claimed again.
    fn sent(
        &self,
        id: i64,
        delivered: &Delivered,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// An attempt failed. The mail is due again at `retry_at`, or never, and then stays to be looked at. The error's
    /// code and text are kept with it.
    fn failed(
        &self,
        id: i64,
        error: &NotifyError,
        retry_at: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// What one call of [`drain`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drained {
    /// Delivered.
    pub n_sent: usize,
    /// Failed, to be tried again.
    pub n_retried: usize,
    /// Failed for good: refused, impossible, or tried long enough.
    pub n_given_up: usize,
    /// The server or the folder was out of order, so the rest of the queue was left alone: wait before the next call.
    pub is_outage: bool,
    /// [`DRAIN_MAX`] was reached: call again at once.
    pub has_more: bool,
}

/// Sends the mails due at `now`, at most [`DRAIN_MAX`]. Stops at the first sign that the server is out of order, so
/// that an outage costs one mail one attempt and not the whole queue one each.
///
/// # Errors
///
/// The queue's. What goes wrong with a mail is noted in the queue and is no error here.
pub async fn drain<Q: Queue>(queue: &Q, mailer: &Mailer, now: DateTime<Utc>) -> Result<Drained, Q::Error> {
    let mut drained = Drained::default();
    for _ in 0..DRAIN_MAX {
        let Some(Claimed { mail, attempt }) = queue.claim(now).await? else { return Ok(drained) };
        match mailer.send(&mail, now).await {
            Ok(delivered) => {
                queue.sent(mail.id, &delivered, now).await?;
                info!(mail = mail.id, attempt, message_id = delivered.message_id(), "mail sent");
                drained.n_sent += 1;
            }
            Err(error) => {
                let pause = if error.is_permanent() { None } else { retry_after(attempt) };
                let retry_at =
                    pause.and_then(|pause| now.checked_add_signed(TimeDelta::from_std(pause).ok()?));
                queue.failed(mail.id, &error, retry_at, now).await?;
                // The error's text may hold an address; the queue keeps it, the log does not.
                match retry_at {
                    Some(retry_at) => {
                        warn!(mail = mail.id, attempt, code = error.code(), %retry_at, "mail not sent, will retry");
                        drained.n_retried += 1;
                    }
                    None => {
                        warn!(mail = mail.id, attempt, code = error.code(), "mail given up");
                        drained.n_given_up += 1;
                    }
                }
                if error.is_outage() {
                    warn!(code = error.code(), %error, "mails wait for the server");
                    drained.is_outage = true;
                    return Ok(drained);
                }
            }
        }
    }
    drained.has_more = true;
    Ok(drained)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_cap_and_end_after_five_days() {
        let pauses: Vec<Duration> = (1..).map_while(retry_after).collect();
        assert_eq!(pauses.len(), 35);
        assert!(pauses.is_sorted());
        assert_eq!((pauses[0].as_secs(), pauses[34].as_secs()), (60, 4 * 3600));
        let total: Duration = pauses.iter().sum();
        assert_eq!(total.as_secs() / 3600, 119, "hours");
        assert_eq!(retry_after(u32::MAX), None);
    }
}
