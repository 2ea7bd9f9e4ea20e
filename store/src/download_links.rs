//! Links to attachments of mails: which there are, until when they work, and what they are signed with. The signature itself is `notify`'s.

use chrono::{DateTime, Utc};
use model::TenantId;
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query, query_of};
use crate::{Result, Store, StoreError};

/// A link to one attachment of one mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadLink {
    /// Its id; part of the link.
    pub id: i64,
    /// Whose key signs it; 0 is the house itself.
    pub tenant: TenantId,
    /// The mail.
    pub mail: i64,
    /// Name of the file.
    pub name: String,
    /// Its MIME type.
    pub mime: String,
    /// Its size.
    pub n_bytes: u64,
    /// It works until then.
    pub expires_at: DateTime<Utc>,
    /// It works no more, since then.
    pub revoked_at: Option<DateTime<Utc>>,
    /// How often it was fetched.
    pub n_fetched: u64,
    /// When it was fetched last.
    pub fetched_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str = "l.id, l.tenant, l.mail, a.name, a.mime, length(a.content) AS n_bytes, l.expires_at, \
     l.revoked_at, l.n_fetched, l.fetched_at \
     FROM download_links l JOIN mail_attachments a ON a.mail = l.mail AND a.place = l.place";

impl Store {
    /// A link to each attachment of a mail, in their order, and what they are signed with: `fresh`, which nobody can guess, if the tenant
    /// has no key yet. Those that are there stay as they are; what is over by `now` works again until `expires_at`, what was revoked
    /// stays so.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn download_links_of(
        &self,
        (mail, tenant): (i64, TenantId),
        fresh: [u8; 32],
        expires_at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(Vec<DownloadLink>, Vec<u8>)> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO download_keys (tenant, signing_key, created_at) VALUES ($1, $2, $3) ON CONFLICT (tenant) DO NOTHING",
        )
        .cells(cells![tenant.0, fresh.to_vec(), now])
        .execute(&mut *tx)
        .await?;
        let key = key_of(&mut tx, tenant).await?;
        query(
            "INSERT INTO download_links (tenant, mail, place, expires_at, created_at) \
             SELECT $2, mail, place, $3, $4 FROM mail_attachments WHERE mail = $1 ON CONFLICT (mail, place) \
             DO UPDATE SET expires_at = excluded.expires_at \
             WHERE download_links.revoked_at IS NULL AND download_links.expires_at <= $4",
        )
        .cells(cells![mail, tenant.0, expires_at, now])
        .execute(&mut *tx)
        .await?;
        let rows = query_of(format!("SELECT {COLUMNS} WHERE l.mail = $1 ORDER BY l.place"))
            .cells(cells![mail])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let missing = || StoreError::NotFound { what: "key of download links", name: tenant.to_string() };
        Ok((rows.iter().map(link_of).collect::<Result<_>>()?, key.ok_or_else(missing)?))
    }

    /// A link, and what it is signed with.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn download_link(&self, id: i64) -> Result<Option<(DownloadLink, Vec<u8>)>> {
        let mut tx = self.read().await?;
        let row = query_of(format!("SELECT {COLUMNS} WHERE l.id = $1"))
            .cells(cells![id])
            .fetch_optional(&mut *tx)
            .await?;
        let Some(link) = row.map(|row| link_of(&row)).transpose()? else { return Ok(None) };
        let key = key_of(&mut tx, link.tenant).await?;
        tx.commit().await?;
        Ok(key.map(|key| (link, key)))
    }

    /// The file of a link that was not revoked, which is counted as fetched.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`], and what the database says.
    pub async fn download_fetch(&self, id: i64, now: DateTime<Utc>) -> Result<Vec<u8>> {
        // It is large: nobody who writes waits for it.
        let mut tx = self.read().await?;
        let row = query(
            "SELECT a.content FROM download_links l JOIN mail_attachments a ON a.mail = l.mail AND a.place = l.place \
             WHERE l.id = $1 AND l.revoked_at IS NULL",
        )
        .cells(cells![id])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        let content = row.ok_or_else(|| missing(id))?.bytes("content")?;
        let mut tx = self.write().await?;
        let done = query(
            "UPDATE download_links SET n_fetched = n_fetched + 1, fetched_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        )
        .cells(cells![id, now])
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(missing(id));
        }
        tx.commit().await?;
        Ok(content)
    }

    /// Ends a link.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when there is none that works, and what the database says.
    pub async fn download_revoke(&self, id: i64, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        let done = query("UPDATE download_links SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL")
            .cells(cells![id, now])
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Err(missing(id));
        }
        append(&mut tx, actor, "revoke download", &format!("link {id}"), "", "revoked", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Ends every link of a tenant: those to come are signed with `fresh`. Returns how many had not been revoked.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn download_revoke_all(
        &self,
        tenant: TenantId,
        fresh: [u8; 32],
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<u64> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO download_keys (tenant, signing_key, created_at) VALUES ($1, $2, $3) ON CONFLICT (tenant) \
             DO UPDATE SET signing_key = excluded.signing_key, created_at = excluded.created_at",
        )
        .cells(cells![tenant.0, fresh.to_vec(), now])
        .execute(&mut *tx)
        .await?;
        let done =
            query("UPDATE download_links SET revoked_at = $2 WHERE tenant = $1 AND revoked_at IS NULL")
                .cells(cells![tenant.0, now])
                .execute(&mut *tx)
                .await?
                .rows_affected();
        let object = format!("links of tenant {tenant}");
        append(&mut tx, actor, "revoke download", &object, "", &format!("{done} revoked"), now).await?;
        tx.commit().await?;
        Ok(done)
    }

    /// The latest links, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn download_links(&self, max: u32) -> Result<Vec<DownloadLink>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!("SELECT {COLUMNS} ORDER BY l.id DESC LIMIT $1"))
            .cells(cells![max])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(link_of).collect()
    }
}

/// The first link of a mail that was revoked.
pub(crate) async fn revoked_of(conn: &mut AnyConnection, mail: i64) -> Result<Option<i64>> {
    let row = query("SELECT min(id) AS id FROM download_links WHERE mail = $1 AND revoked_at IS NOT NULL")
        .cells(cells![mail])
        .fetch_one(conn)
        .await?;
    row.opt_int("id")
}

fn missing(id: i64) -> StoreError {
    StoreError::NotFound { what: "download link that works", name: id.to_string() }
}

async fn key_of(conn: &mut AnyConnection, tenant: TenantId) -> Result<Option<Vec<u8>>> {
    let row = query("SELECT signing_key FROM download_keys WHERE tenant = $1")
        .cells(cells![tenant.0])
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.bytes("signing_key")).transpose()
}

fn link_of(row: &AnyRow) -> Result<DownloadLink> {
    Ok(DownloadLink {
        id: row.int("id")?,
        tenant: TenantId(row.int("tenant")?),
        mail: row.int("mail")?,
        name: row.text("name")?,
        mime: row.text("mime")?,
        n_bytes: row.narrow("n_bytes")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.opt_time("revoked_at")?,
        n_fetched: row.narrow("n_fetched")?,
        fetched_at: row.opt_time("fetched_at")?,
    })
}
