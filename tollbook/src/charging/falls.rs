//! Balances that fell below what their owners want to be told of, until somebody is told.

use std::collections::VecDeque;

use anyhow::Context;
use model::{AccountId, Language, MailEvent, Money, PostingId, from_micros, to_micros};
use rating::{Funds, RatingSnapshot};
use store::{EventMail, MailFill, NewMail};
use tracing::error;

use crate::runner::Rooms;

/// Falls that wait while the database does not answer; beyond that the oldest is given up, and the log says whose it was.
const WAITING_MAX: usize = 10_000;

/// Falls that may fail one after the other before the rest is left for the next time: then it is not of their own.
const FAILURES_MAX: usize = 8;

/// What a posting did to an account: by the posting that does it, which is the same for every process however it reads them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fall {
    pub(super) account: AccountId,
    pub(super) posting: PostingId,
    pub(super) before: Funds,
    pub(super) after: Funds,
}

/// Those of whom nobody was told yet, the oldest first.
#[derive(Default)]
pub(super) struct Falls {
    waiting: VecDeque<Fall>,
}

impl Falls {
    /// Remembers a fall if anybody wants to know of it.
    pub(super) fn note(&mut self, fall: Fall, snapshot: &RatingSnapshot) {
        if is_told(&fall, snapshot) {
            self.push(fall);
        }
    }

    fn push(&mut self, fall: Fall) {
        if self.waiting.len() >= WAITING_MAX
            && let Some(lost) = self.waiting.pop_front()
        {
            error!(account = %lost.account, posting = %lost.posting, "too many low balances wait; of this one nobody is told");
        }
        self.waiting.push_back(fall);
    }

    /// Tells of each with `tell` once. One that fails stays for the next time and does not hold up those behind it.
    ///
    /// # Errors
    ///
    /// The last failure, when something could not be told.
    pub(super) async fn tell<Told>(&mut self, mut tell: impl FnMut(Fall) -> Told) -> anyhow::Result<()>
    where
        Told: Future<Output = anyhow::Result<()>>,
    {
        let mut failed = Vec::new();
        let mut said = Ok(());
        while failed.len() < FAILURES_MAX
            && let Some(fall) = self.waiting.front().copied()
        {
            match tell(fall).await {
                Ok(()) => {}
                Err(why) => {
                    failed.push(fall);
                    said = Err(why);
                }
            }
            // Only now: a stop in the middle of `tell` must not lose it.
            self.waiting.pop_front();
        }
        self.waiting.extend(failed);
        said
    }
}

/// Whether the account's balance fell below what somebody wants to be told of.
fn is_told(fall: &Fall, snapshot: &RatingSnapshot) -> bool {
    let terms = snapshot.directory().contracts.get(&fall.account);
    terms.and_then(|terms| terms.low_balance.as_ref()).is_some_and(|low| {
        let below = to_micros(low.below).unwrap_or(0);
        fall.before.micros >= below && fall.after.micros < below && !low.notify.is_empty()
    })
}

/// A mail to those who want to know.
///
/// # Errors
///
/// The mail cannot be worded, or the store cannot take it.
pub(super) async fn mail(rooms: &Rooms, snapshot: &RatingSnapshot, fall: Fall) -> anyhow::Result<()> {
    let Fall { account, posting, after, .. } = fall;
    let directory = snapshot.directory();
    let low = directory.contracts.get(&account).and_then(|terms| terms.low_balance.as_ref());
    let row = directory.accounts.iter().find(|row| row.id == account);
    // Provisioned otherwise since.
    let (Some(low), Some(row)) = (low, row) else { return Ok(()) };
    let left = Money::new(from_micros(after.micros).normalize(), row.currency);
    let below = Money::new(low.below.normalize(), row.currency);
    let variables = [
        ("account", directory.name_of(account)),
        ("customer", row.contact.name.clone()),
        ("left", left.to_string()),
        ("below", below.to_string()),
    ];
    let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (event, language) = (MailEvent::LowBalance, Language::English);
    let words = notify::own_words(event, language, &variables).context("word the mail of a low balance")?;
    let mail = EventMail {
        mail: NewMail {
            to: low.notify.clone(),
            subject: words.subject,
            text: words.text,
            attachments: Vec::new(),
            about: format!("balance:{account}"),
        },
        tenant: row.tenant,
        fill: MailFill { event, language, variables },
    };
    rooms.store.balance_is_low((account, posting), (left, below), &mail, rooms.clock.utc()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use anyhow::anyhow;

    use super::*;

    fn fall(account: i64) -> Fall {
        let funds = Funds { micros: 0, seconds: 0 };
        Fall {
            account: AccountId(account),
            posting: PostingId::from_bytes([0; 16]),
            before: funds,
            after: funds,
        }
    }

    fn waiting(falls: &Falls) -> Vec<i64> {
        falls.waiting.iter().map(|fall| fall.account.0).collect()
    }

    #[tokio::test]
    async fn one_that_cannot_be_told_does_not_hold_up_the_others() {
        let mut falls = Falls::default();
        (1..=4).for_each(|account| falls.push(fall(account)));
        let mut told = Vec::new();
        let said = falls
            .tell(|fall| {
                if fall.account.0 == 2 {
                    return ready(Err(anyhow!("its words cannot be filled")));
                }
                told.push(fall.account.0);
                ready(Ok(()))
            })
            .await;
        assert!(said.is_err(), "whoever looks after the house is told");
        assert_eq!(told, [1, 3, 4]);
        assert_eq!(waiting(&falls), [2], "it is tried again");
        falls.tell(|_| ready(Ok(()))).await.expect("it can be told now");
        assert_eq!(waiting(&falls), Vec::<i64>::new());
    }

    #[tokio::test]
    async fn a_database_that_is_away_is_not_asked_for_each_of_thousands() {
        let mut falls = Falls::default();
        (0..1_000).for_each(|account| falls.push(fall(account)));
        let mut n_tried = 0;
        let said = falls
            .tell(|_| {
                n_tried += 1;
                ready(Err(anyhow!("the database does not answer")))
            })
            .await;
        assert!(said.is_err());
        assert_eq!(n_tried, FAILURES_MAX);
        assert_eq!(falls.waiting.len(), 1_000, "none is lost");
    }

    #[test]
    fn the_queue_has_an_end() {
        let mut falls = Falls::default();
        let n = i64::try_from(WAITING_MAX).expect("it is small");
        (0..n + 2).for_each(|account| falls.push(fall(account)));
        assert_eq!(falls.waiting.len(), WAITING_MAX);
        assert_eq!(falls.waiting.front().map(|fall| fall.account.0), Some(2), "the oldest were given up");
    }
}
