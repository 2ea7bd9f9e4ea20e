//! What a restored installation keeps to itself until an operator has looked: its original may have sent and numbered more after the
//! copy was made than the copy knows of.

use chrono::{DateTime, Utc};
use sqlx::AnyConnection;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query};
use crate::{MailState, Result, Store, StoreError};

/// What waits, and the last numbers that the copy knows of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreHold {
    /// When the copy was made.
    pub copied_at: DateTime<Utc>,
    /// Mails that are not sent yet.
    pub n_mails: u64,
    /// Words for webhooks that are not sent yet.
    pub n_deliveries: u64,
    /// The last invoice of each series of numbers.
    pub invoices: Vec<String>,
    /// The last number of each series of CDR files.
    pub files: Vec<(String, u64)>,
}

impl Store {
    /// From now on nothing is sent and numbered, until [`Store::restore_release`].
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn restore_hold(&self, copied_at: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query("DELETE FROM restore_hold").execute(&mut *tx).await?;
        query("INSERT INTO restore_hold (one, copied_at) VALUES (1, $1)")
            .cells(cells![copied_at])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Whether things are held.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn is_restore_held(&self) -> Result<bool> {
        let mut tx = self.read().await?;
        let row = query("SELECT one FROM restore_hold").fetch_optional(&mut *tx).await?;
        tx.commit().await?;
        Ok(row.is_some())
    }

    /// What is held; `None` where nothing is.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn restore_held(&self) -> Result<Option<RestoreHold>> {
        let mut tx = self.read().await?;
        let Some(row) = query("SELECT copied_at FROM restore_hold").fetch_optional(&mut *tx).await? else {
            return Ok(None);
        };
        let copied_at = row.time("copied_at")?;
        let mails =
            query("SELECT count(*) AS n FROM mails WHERE sent_at IS NULL AND state IN ('queued', 'sending')")
                .fetch_one(&mut *tx)
                .await?;
        let deliveries =
            query("SELECT count(*) AS n FROM webhook_deliveries WHERE state IN ('queued', 'sending')")
                .fetch_one(&mut *tx)
                .await?;
        let invoices = query(
            "SELECT number FROM invoices WHERE id IN (SELECT max(id) FROM invoices GROUP BY tenant, seller, year) \
             ORDER BY number",
        )
        .fetch_all(&mut *tx)
        .await?;
        let files = query("SELECT owner, last_number FROM export_sequences ORDER BY owner")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let series = |row: &sqlx::any::AnyRow| Ok((row.text("owner")?, row.narrow("last_number")?));
        Ok(Some(RestoreHold {
            copied_at,
            n_mails: mails.narrow("n")?,
            n_deliveries: deliveries.narrow("n")?,
            invoices: invoices.iter().map(|row| row.text("number")).collect::<Result<_>>()?,
            files: files.iter().map(series).collect::<Result<_>>()?,
        }))
    }

    /// Everything goes on. With `give_up` what waits is not sent: it is in the lists as given up, and can be queued again one by one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn restore_release(&self, give_up: bool, actor: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        if give_up {
            query(
                "UPDATE mails SET state = $1, next_try_at = $2, last_error = $3 \
                 WHERE sent_at IS NULL AND state IN ('queued', 'sending')",
            )
            .cells(cells![
                MailState::GivenUp.as_str(),
                DateTime::<Utc>::MAX_UTC,
                "it waited when the installation was restored"
            ])
            .execute(&mut *tx)
            .await?;
            query("UPDATE webhook_deliveries SET state = 'given up' WHERE state IN ('queued', 'sending')")
                .execute(&mut *tx)
                .await?;
        }
        query("DELETE FROM restore_hold").execute(&mut *tx).await?;
        let after = if give_up { "what waited is given up" } else { "what waited is sent" };
        append(&mut tx, actor, "release", "restore", "held", after, now).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// For those who give out numbers.
pub(crate) async fn refuse_while_held(conn: &mut AnyConnection, object: &str) -> Result<()> {
    let held = query("SELECT one FROM restore_hold").fetch_optional(conn).await?;
    if held.is_none() {
        return Ok(());
    }
    Err(StoreError::Invalid {
        object: object.to_owned(),
        rule: "this installation was restored, and its original may have given out the next numbers; see which, then \
               `tollbook release`"
            .to_owned(),
    })
}
