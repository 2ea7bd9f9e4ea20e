//! The second thing that proves who signs in: the secret of a generator of codes, which codes are used up, and codes for whoever lost it.
//!
//! The secret is kept as it is: the codes are made of it. Of recovery codes only hashes are kept.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// A user's generator of codes.
#[derive(Clone, PartialEq, Eq)]
pub struct SecondFactor {
    /// What the codes are made of, in base 32.
    pub secret: String,
    /// Since when it is asked for.
    pub since: Option<DateTime<Utc>>,
    /// Recovery codes that nobody has used.
    pub n_recovery_codes: u32,
}

impl std::fmt::Debug for SecondFactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecondFactor").field("since", &self.since).finish_non_exhaustive()
    }
}

impl Store {
    /// The second factor of a user.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn second_factor(&self, user: i64) -> Result<Option<SecondFactor>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT secret, confirmed_at, (SELECT count(*) FROM recovery_codes r WHERE r.user_id = f.user_id \
             AND r.used_at IS NULL) AS n_left FROM second_factors f WHERE user_id = $1",
        )
        .cells(cells![user])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(SecondFactor {
            secret: row.text("secret")?,
            since: row.opt_time("confirmed_at")?,
            n_recovery_codes: row.narrow("n_left")?,
        }))
    }

    /// Begins to set one up in the session of that token, until `expires_at`; what that session began before counts no more.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn second_factor_begin(
        &self,
        user: i64,
        session: &str,
        secret: &str,
        (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM second_factor_drafts WHERE expires_at <= $1 OR session = $2")
            .cells(cells![now, session])
            .execute(&mut *tx)
            .await?;
        query(
            "INSERT INTO second_factor_drafts (session, user_id, secret, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .cells(cells![session, user, secret, expires_at])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The secret that a user is setting up in the session of that token.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn second_factor_draft(
        &self,
        user: i64,
        session: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<String>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT secret FROM second_factor_drafts WHERE session = $1 AND user_id = $2 AND expires_at > $3",
        )
        .cells(cells![session, user, now])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.text("secret")).transpose()
    }

    /// From now on the one of that session is asked for: its first code, that of `step`, was given. All sessions of the user end, and what
    /// others of them were setting up. Whether it was being set up there with this secret and the user has none; otherwise nothing is
    /// changed.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn second_factor_confirm(
        &self,
        user: i64,
        (session, secret): (&str, &str),
        step: i64,
        recovery_hashes: &[String],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let is_set_up = query(
            "INSERT INTO second_factors (user_id, secret, confirmed_at, last_step) SELECT user_id, secret, $4, $5 \
             FROM second_factor_drafts WHERE session = $1 AND user_id = $2 AND secret = $3 AND expires_at > $4 \
             ON CONFLICT (user_id) DO NOTHING RETURNING user_id",
        )
        .cells(cells![session, user, secret, now, step])
        .fetch_optional(&mut *tx)
        .await?
        .is_some();
        if is_set_up {
            put_recovery_codes(&mut tx, user, recovery_hashes).await?;
            end_sessions(&mut tx, user).await?;
            let object = format!("user:{actor}");
            append(&mut tx, actor, "second factor set up", &object, "password", "password and code", now)
                .await?;
        }
        tx.commit().await?;
        Ok(is_set_up)
    }

    /// Uses up the code of `step`; whether it was still to be used. Of two who give the same code at the same time one is let in.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn second_factor_use(&self, user: i64, step: i64) -> Result<bool> {
        let mut tx = self.write().await?;
        let row = query(
            "UPDATE second_factors SET last_step = $2 WHERE user_id = $1 AND last_step < $2 AND confirmed_at IS NOT NULL \
             RETURNING user_id",
        )
        .cells(cells![user, step])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(row.is_some())
    }

    /// Uses up a recovery code by its hash; whether it was still to be used.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn recovery_code_use(
        &self,
        user: i64,
        code_hash: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        let is_used = query(
            "UPDATE recovery_codes SET used_at = $3 WHERE user_id = $1 AND code_hash = $2 AND used_at IS NULL \
             RETURNING user_id",
        )
        .cells(cells![user, code_hash, now])
        .fetch_optional(&mut *tx)
        .await?
        .is_some();
        if is_used {
            append(&mut tx, actor, "recovery code used", &format!("user:{actor}"), "", "", now).await?;
        }
        tx.commit().await?;
        Ok(is_used)
    }

    /// Gives a user other recovery codes; the ones before open nothing any more.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn recovery_codes_replace(
        &self,
        user: i64,
        hashes: &[String],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        put_recovery_codes(&mut tx, user, hashes).await?;
        append(&mut tx, actor, "recovery codes made", &format!("user:{actor}"), "", "", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes the second factor of a user away, and ends all sessions of that user.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is no such user or the user has none; what the database says.
    pub async fn second_factor_remove(&self, name: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let user = query("SELECT id FROM users WHERE name = $1")
            .cells(cells![name])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "user", name: name.to_owned() })?
            .int("id")?;
        query("DELETE FROM second_factors WHERE user_id = $1 RETURNING user_id")
            .cells(cells![user])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "second factor of user", name: name.to_owned() })?;
        put_recovery_codes(&mut tx, user, &[]).await?;
        end_sessions(&mut tx, user).await?;
        let object = format!("user:{name}");
        append(&mut tx, actor, "second factor removed", &object, "password and code", "password", now)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn put_recovery_codes(conn: &mut AnyConnection, user: i64, hashes: &[String]) -> Result<()> {
    query("DELETE FROM recovery_codes WHERE user_id = $1").cells(cells![user]).execute(&mut *conn).await?;
    for hash in hashes {
        query("INSERT INTO recovery_codes (user_id, code_hash) VALUES ($1, $2)")
            .cells(cells![user, hash.as_str()])
            .execute(&mut *conn)
            .await?;
    }
    Ok(())
}

/// Ends all sessions of a user, and what was being set up in them.
pub(crate) async fn end_sessions(conn: &mut AnyConnection, user: i64) -> Result<()> {
    query("DELETE FROM sessions WHERE user_id = $1").cells(cells![user]).execute(&mut *conn).await?;
    query("DELETE FROM second_factor_drafts WHERE user_id = $1").cells(cells![user]).execute(conn).await?;
    Ok(())
}
