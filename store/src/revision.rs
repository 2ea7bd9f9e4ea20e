//! The revision of what is provisioned: each change counts it up, and a server tells every process that listens, in the moment of the
//! commit. Nobody relies on being told: whoever misses it finds the revision when he looks.

use std::fmt;
use std::str::FromStr;

use sqlx::AnyConnection;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use crate::directory::load_revision;
use crate::sql::{query, query_of};
use crate::{Result, Store};

/// What is listened to (PostgreSQL).
const CHANNEL: &str = "tollbook_revision";

/// The server, for connections beside the pool.
#[derive(Clone)]
pub(crate) struct Server(PgConnectOptions);

impl FromStr for Server {
    type Err = sqlx::Error;

    fn from_str(url: &str) -> Result<Self, sqlx::Error> {
        Ok(Self(url.parse()?))
    }
}

impl fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}

/// Tells of changes of what is provisioned, whichever process commits them. It has a connection of its own, which stays open.
#[derive(Debug)]
pub struct Announcements(PgListener);

impl Announcements {
    /// Until something may have changed: somebody said so, or the connection was lost and nobody knows what was said meanwhile.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached any more.
    pub async fn next(&mut self) -> Result<()> {
        self.0.try_recv().await?;
        Ok(())
    }
}

impl Store {
    /// Listens for changes from now on. `None` where the database tells nobody: SQLite, which has one process.
    ///
    /// # Errors
    ///
    /// When the server gives no connection.
    pub async fn announcements(&self) -> Result<Option<Announcements>> {
        let Some(Server(options)) = self.server() else { return Ok(None) };
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with(options.clone());
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.listen(CHANNEL).await?;
        Ok(Some(Announcements(listener)))
    }
}

/// The revision counts up, so that every process loads its next snapshot. Returns the new one.
pub(crate) async fn count_revision(conn: &mut AnyConnection) -> Result<i64> {
    query("UPDATE revisions SET revision = revision + 1 WHERE one = 1").execute(&mut *conn).await?;
    announce_revision(conn).await?;
    load_revision(conn).await
}

/// Those who listen are told of the new revision when, and if, this transaction is committed.
pub(crate) async fn announce_revision(conn: &mut AnyConnection) -> Result<()> {
    if conn.backend_name() == "PostgreSQL" {
        // Not `SELECT pg_notify(...)`: its column has no type that the driver for both databases knows.
        query_of(format!("NOTIFY {CHANNEL}")).execute(&mut *conn).await?;
    }
    Ok(())
}
