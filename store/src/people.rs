//! People who may log in, and their sessions. Only hashes are kept: of passwords (argon2) and of session tokens.

use chrono::{DateTime, Utc};
use model::{AccountId, TenantId};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::second_factors::end_sessions;
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store, StoreError};

/// A person with a login.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: i64,
    /// Login name.
    pub name: String,
    /// Argon2, in the PHC string form.
    pub password_hash: String,
    /// What the person may do; `web` knows the words.
    pub role: String,
    /// Where the person is written to.
    pub mail: Option<String>,
    /// The tenant whose rows the person may ask about; `None`: all of them.
    pub tenant: Option<TenantId>,
    /// The account that the person sees, who is outside the house; `None`: the person is of the house.
    pub account: Option<AccountId>,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Since when a code is asked for beside the password; `None`: the password is enough.
    pub second_factor_since: Option<DateTime<Utc>>,
}

/// The columns of a user `u`, but for the time it was made, which sessions have too.
macro_rules! user_columns {
    () => {
        "u.id, u.name, u.password_hash, u.role, u.mail, u.tenant, u.account, \
         (SELECT f.confirmed_at FROM second_factors f WHERE f.user_id = u.id) AS second_factor_since"
    };
}

impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// A person to be let in.
#[derive(Debug, Clone, Copy, Default)]
pub struct NewUser<'a> {
    /// Login name.
    pub name: &'a str,
    /// Argon2, in the PHC string form.
    pub password_hash: &'a str,
    /// What the person may do.
    pub role: &'a str,
    /// See [`User::account`].
    pub account: Option<AccountId>,
    /// See [`User::tenant`].
    pub tenant: Option<TenantId>,
    /// Where the person is written to.
    pub mail: Option<&'a str>,
}

/// What a session waits for before it opens anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// A code of the second factor.
    Code,
    /// That the user sets up a second factor, without which the role opens nothing.
    Enrolment,
}

impl WaitsFor {
    const fn as_str(self) -> &'static str {
        match self {
            WaitsFor::Code => "code",
            WaitsFor::Enrolment => "enrol",
        }
    }
}

/// A login in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub user: User,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Not valid at or after this.
    pub expires_at: DateTime<Utc>,
}

impl Store {
    /// Adds a person; returns the id.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when the name is in use; what the database says.
    pub async fn user_create(
        &self,
        name: &str,
        password_hash: &str,
        role: &str,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut tx = self.write().await?;
        let id = insert_user(&mut tx, name, password_hash, role, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// The same, with all that the person is held to, and an entry in the trail of changes that says who let the person in.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`] when the name is in use; what the database says.
    pub async fn user_let_in(&self, new: NewUser<'_>, actor: &str, now: DateTime<Utc>) -> Result<i64> {
        let mut tx = self.write().await?;
        let id = insert_user(&mut tx, new.name, new.password_hash, new.role, now).await?;
        query("UPDATE users SET account = $2, tenant = $3, mail = $4 WHERE id = $1")
            .cells(cells![
                id,
                new.account.map(|account| account.0),
                new.tenant.map(|tenant| tenant.0),
                new.mail.map(str::to_owned)
            ])
            .execute(&mut *tx)
            .await?;
        let mut what = new.role.to_owned();
        if let Some(account) = new.account {
            what += &format!(" of account {account}");
        }
        if let Some(tenant) = new.tenant {
            what += &format!(" of tenant {}", tenant.0);
        }
        if let Some(mail) = new.mail {
            what += &format!(", written to at {mail}");
        }
        append(&mut tx, actor, "user add", &format!("user:{}", new.name), "", &what, now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Gives a person another password and ends all sessions of that person.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn user_set_password(
        &self,
        name: &str,
        password_hash: &str,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        put_password(&mut tx, name, password_hash).await?;
        append(&mut tx, actor, "user password", &format!("user:{name}"), "", "another", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Shuts a person out until another password is given: no password opens anything, all sessions have ended, and so have the tokens
    /// that the person made, whose names these are.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn user_shut_out(&self, name: &str, actor: &str, now: DateTime<Utc>) -> Result<Vec<String>> {
        let mut tx = self.write().await?;
        put_password(&mut tx, name, "").await?;
        let rows = query(
            "UPDATE api_tokens SET revoked_at = $2 WHERE revoked_at IS NULL AND 'token:' || name IN \
             (SELECT object FROM audit_log WHERE actor = $1 AND action = 'token add') RETURNING name",
        )
        .cells(cells![name, now])
        .fetch_all(&mut *tx)
        .await?;
        let tokens: Vec<String> = rows.iter().map(|row| row.text("name")).collect::<Result<_>>()?;
        for token in &tokens {
            append(&mut tx, actor, "token revoke", &format!("token:{token}"), "in force", "revoked", now)
                .await?;
        }
        append(&mut tx, actor, "user shut out", &format!("user:{name}"), "", "no password", now).await?;
        tx.commit().await?;
        Ok(tokens)
    }

    /// The person of this login name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn user_by_name(&self, name: &str) -> Result<Option<User>> {
        let mut tx = self.read().await?;
        let row = query(concat!("SELECT ", user_columns!(), ", u.created_at FROM users u WHERE u.name = $1"))
            .cells(cells![name])
            .fetch_optional(&mut *tx)
            .await?;
        tx.commit().await?;
        row.map(|row| user_of(&row, "created_at")).transpose()
    }

    /// All who may sign in, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn users(&self) -> Result<Vec<User>> {
        let mut tx = self.read().await?;
        let rows = query(concat!("SELECT ", user_columns!(), ", u.created_at FROM users u ORDER BY u.name"))
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| user_of(row, "created_at")).collect()
    }

    /// Says where a person is written to; `None`: nowhere.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn user_set_mail(&self, name: &str, mail: Option<&str>) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE users SET mail = $2 WHERE name = $1 RETURNING id")
            .cells(cells![name, mail.map(str::to_owned)])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "user", name: name.to_owned() })?;
        tx.commit().await?;
        Ok(())
    }

    /// Holds a person to the rows of one tenant, or to none, and ends all sessions of that person.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn user_set_tenant(&self, name: &str, tenant: Option<TenantId>) -> Result<()> {
        let mut tx = self.write().await?;
        let id = query("UPDATE users SET tenant = $2 WHERE name = $1 RETURNING id")
            .cells(cells![name, tenant.map(|tenant| tenant.0)])
            .fetch_optional(&mut *tx)
            .await?
            .ok_or_else(|| StoreError::NotFound { what: "user", name: name.to_owned() })?
            .int("id")?;
        query("DELETE FROM sessions WHERE user_id = $1").cells(cells![id]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Begins a session.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_create(
        &self,
        token_hash: &str,
        user: i64,
        now: DateTime<Utc>,
        expires_at: DateTime<Utc>,
    ) -> Result<()> {
        self.session_begin(token_hash, user, "", (now, expires_at)).await
    }

    /// Begins a session of a person who is still as known: with the same password and second factor, which were proved before. Whether
    /// so; otherwise there is none.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_create_known(
        &self,
        token_hash: &str,
        known: &User,
        (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<bool> {
        let mut tx = self.write().await?;
        query("DELETE FROM sessions WHERE expires_at <= $1").cells(cells![now]).execute(&mut *tx).await?;
        let row = query(concat!("SELECT ", user_columns!(), ", u.created_at FROM users u WHERE u.id = $1"))
            .cells(cells![known.id])
            .fetch_optional(&mut *tx)
            .await?;
        let is_as_known = row.map(|row| user_of(&row, "created_at")).transpose()?.is_some_and(|user| {
            user.password_hash == known.password_hash && user.second_factor_since == known.second_factor_since
        });
        if is_as_known {
            query(
                "INSERT INTO sessions (token_hash, user_id, created_at, expires_at, waits_for) VALUES ($1, $2, $3, $4, '')",
            )
            .cells(cells![token_hash, known.id, now, expires_at])
            .execute(&mut *tx)
            .await?;
        }
        tx.commit().await?;
        Ok(is_as_known)
    }

    /// Begins a session that opens nothing yet: the password was right, and more is asked.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_create_waiting(
        &self,
        token_hash: &str,
        user: i64,
        waits_for: WaitsFor,
        (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<()> {
        self.session_begin(token_hash, user, waits_for.as_str(), (now, expires_at)).await
    }

    async fn session_begin(
        &self,
        token_hash: &str,
        user: i64,
        waits_for: &str,
        (now, expires_at): (DateTime<Utc>, DateTime<Utc>),
    ) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM sessions WHERE expires_at <= $1").cells(cells![now]).execute(&mut *tx).await?;
        query(
            "INSERT INTO sessions (token_hash, user_id, created_at, expires_at, waits_for) VALUES ($1, $2, $3, $4, $5)",
        )
        .cells(cells![token_hash, user, now, expires_at, waits_for])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// The session of a token, unless it has expired or waits for something.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_get(&self, token_hash: &str, now: DateTime<Utc>) -> Result<Option<Session>> {
        self.session_in(token_hash, "", now).await
    }

    /// The session of a token if it waits for that.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_waiting(
        &self,
        token_hash: &str,
        waits_for: WaitsFor,
        now: DateTime<Utc>,
    ) -> Result<Option<Session>> {
        self.session_in(token_hash, waits_for.as_str(), now).await
    }

    async fn session_in(
        &self,
        token_hash: &str,
        waits_for: &str,
        now: DateTime<Utc>,
    ) -> Result<Option<Session>> {
        let mut tx = self.read().await?;
        let row = query(concat!(
            "SELECT ",
            user_columns!(),
            ", u.created_at AS user_created_at, s.created_at, s.expires_at FROM sessions s \
             JOIN users u ON u.id = s.user_id WHERE s.token_hash = $1 AND s.expires_at > $2 AND s.waits_for = $3"
        ))
        .cells(cells![token_hash, now, waits_for])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(Session {
            user: user_of(&row, "user_created_at")?,
            created_at: row.time("created_at")?,
            expires_at: row.time("expires_at")?,
        }))
    }

    /// Ends a session; one that is not there is ended already.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn session_delete(&self, token_hash: &str) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM sessions WHERE token_hash = $1")
            .cells(cells![token_hash])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

async fn put_password(conn: &mut AnyConnection, name: &str, password_hash: &str) -> Result<()> {
    let id = query("UPDATE users SET password_hash = $2 WHERE name = $1 RETURNING id")
        .cells(cells![name, password_hash])
        .fetch_optional(&mut *conn)
        .await?
        .ok_or_else(|| StoreError::NotFound { what: "user", name: name.to_owned() })?
        .int("id")?;
    end_sessions(conn, id).await
}

async fn insert_user(
    conn: &mut AnyConnection,
    name: &str,
    password_hash: &str,
    role: &str,
    now: DateTime<Utc>,
) -> Result<i64> {
    let row = query(
        "INSERT INTO users (name, password_hash, role, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (name) DO NOTHING RETURNING id",
    )
    .cells(cells![name, password_hash, role, now])
    .fetch_optional(conn)
    .await?;
    row.ok_or_else(|| StoreError::Taken { what: "user", name: name.to_owned() })?.int("id")
}

fn user_of(row: &AnyRow, created_at: &'static str) -> Result<User> {
    Ok(User {
        id: row.int("id")?,
        name: row.text("name")?,
        password_hash: row.text("password_hash")?,
        role: row.text("role")?,
        mail: row.opt_text("mail")?,
        tenant: row.opt_int("tenant")?.map(TenantId),
        account: row.opt_int("account")?.map(AccountId),
        created_at: row.time(created_at)?,
        second_factor_since: row.opt_time("second_factor_since")?,
    })
}
