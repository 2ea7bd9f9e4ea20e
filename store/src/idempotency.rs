//! Writes that carry a key: each is done once, however often it is sent.
//!
//! In: who writes, its key, and a fingerprint of what it asks. Out: leave to do it, or what came of it before. Keys are kept for
//! a day; then the same key is a new one.

use chrono::{DateTime, TimeDelta, Utc};

use crate::sql::{Bind, Columns, cells, json, query};
use crate::{Result, Store};

/// How long a key is remembered.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// It is new, and now kept: do it, then say what came of it ([`Store::idempotency_settle`]).
    New,
    /// Another request has the key.
    OtherRequest,
    /// The same request came before, and nobody knows yet what comes of it.
    Open,
    /// The same request came before: this came of it.
    Done(KeptAnswer),
}

/// An answer that is given again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAnswer {
    /// HTTP status.
    pub status: u16,
    /// Names and values of the headers that belong to it.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Store {
    /// Takes `key` for `actor`, unless it is taken.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn idempotency_begin(
        &self,
        actor: &str,
        key: &str,
        fingerprint: &str,
        now: DateTime<Utc>,
    ) -> Result<KeyState> {
        let mut tx = self.write().await?;
        query("DELETE FROM idempotency_keys WHERE at < $1")
            .cells(cells![now - KEPT])
            .execute(&mut *tx)
            .await?;
        let taken = query(
            "INSERT INTO idempotency_keys (actor, request_key, fingerprint, status, headers, body, at) \
             VALUES ($1, $2, $3, 0, '[]', $4, $5) ON CONFLICT (actor, request_key) DO NOTHING",
        )
        .cells(cells![actor, key, fingerprint, Vec::<u8>::new(), now])
        .execute(&mut *tx)
        .await?
        .rows_affected();
        let row = query(
            "SELECT fingerprint, status, headers, body FROM idempotency_keys WHERE actor = $1 AND request_key = $2",
        )
        .cells(cells![actor, key])
        .fetch_one(&mut *tx)
        .await?;
        tx.commit().await?;
        if taken > 0 {
            return Ok(KeyState::New);
        }
        if row.text("fingerprint")? != fingerprint {
            return Ok(KeyState::OtherRequest);
        }
        match row.narrow("status")? {
            0 => Ok(KeyState::Open),
            status => {
                let (headers, body) = (row.json("headers")?, row.bytes("body")?);
                Ok(KeyState::Done(KeptAnswer { status, headers, body }))
            }
        }
    }

    /// Keeps what came of the request; `None` gives the key free: nothing was done.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn idempotency_settle(
        &self,
        actor: &str,
        key: &str,
        answer: Option<&KeptAnswer>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        match answer {
            Some(KeptAnswer { status, headers, body }) => {
                query(
                    "UPDATE idempotency_keys SET status = $3, headers = $4, body = $5 \
                     WHERE actor = $1 AND request_key = $2",
                )
                .cells(cells![actor, key, u32::from(*status), json(headers), body.clone()])
                .execute(&mut *tx)
                .await?;
            }
            None => {
                query("DELETE FROM idempotency_keys WHERE actor = $1 AND request_key = $2")
                    .cells(cells![actor, key])
                    .execute(&mut *tx)
                    .await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }
}
