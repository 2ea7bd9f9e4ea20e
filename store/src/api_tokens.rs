//! Tokens of programs that use the API: each has a name, a role and an end.

use chrono::{DateTime, Utc};
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::people::User;
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// A token, without the token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// What it is for; unique for ever.
    pub name: String,
    /// What it may do; `web` knows the words.
    pub role: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Not valid at or after this.
    pub expires_at: DateTime<Utc>,
    /// Taken back before its end.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl Store {
    /// Adds a token by its hash.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when there was ever one of this name; what the database says.
    pub async fn api_token_create(
        &self,
        name: &str,
        token_hash: &str,
        role: &str,
        expires_at: DateTime<Utc>,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let row = query(
            "INSERT INTO api_tokens (name, token_hash, role, created_at, expires_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (name) DO NOTHING RETURNING id",
        )
        .cells(cells![name, token_hash, role, now, expires_at])
        .fetch_optional(&mut *tx)
        .await?;
        if row.is_none() {
            return Err(StoreError::Taken { what: "token", name: name.to_owned() });
        }
        append(
            &mut tx,
            actor,
            "token add",
            &format!("token:{name}"),
            "",
            &format!("{role} until {expires_at}"),
            now,
        )
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Takes a token back.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none of this name in force; what the database says.
    pub async fn api_token_revoke(&self, name: &str, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let row = query(
            "UPDATE api_tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL RETURNING id",
        )
        .cells(cells![name, now])
        .fetch_optional(&mut *tx)
        .await?;
        if row.is_none() {
            return Err(StoreError::NotFound { what: "token", name: name.to_owned() });
        }
        append(&mut tx, actor, "token revoke", &format!("token:{name}"), "in force", "revoked", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// All tokens there ever were, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn api_tokens(&self) -> Result<Vec<ApiToken>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT name, role, created_at, expires_at, revoked_at FROM api_tokens ORDER BY name")
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(token_of).collect()
    }

    /// Whom a token stands for, unless it has expired or was taken back. Its name in the trail of changes is `token:NAME`.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn api_token_user(&self, token_hash: &str, now: DateTime<Utc>) -> Result<Option<User>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT id, name, role, created_at FROM api_tokens \
             WHERE token_hash = $1 AND expires_at > $2 AND revoked_at IS NULL",
        )
        .cells(cells![token_hash, now])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(User {
            id: row.int("id")?,
            name: format!("token:{}", row.text("name")?),
            // Nobody signs in with a token.
            password_hash: String::new(),
            role: row.text("role")?,
            mail: None,
            tenant: None,
            account: None,
            created_at: row.time("created_at")?,
            second_factor_since: None,
        }))
    }
}

fn token_of(row: &AnyRow) -> Result<ApiToken> {
    Ok(ApiToken {
        name: row.text("name")?,
        role: row.text("role")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
    })
}
