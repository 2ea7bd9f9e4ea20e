//! Tenants' own words for mails, version by version. Whoever puts one here has checked it; one that fails all the same is noted, and the
//! version before it is there to be used.

use chrono::{DateTime, Utc};
use model::{Language, MailEvent, TenantId};
use sqlx::any::AnyRow;

use crate::audit::append;
use crate::sql::{Bind, Columns, cells, query, query_of};
use crate::{Result, Store, StoreError};

/// Versions that are looked at for one mail.
const VERSIONS_MAX: u32 = 5;

/// In the place of a language: all of them.
const EVERY_LANGUAGE: &str = "";

/// One version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMailTemplate {
    /// Its id; a later version has a higher one.
    pub id: i64,
    /// Whose.
    pub tenant: TenantId,
    /// For what.
    pub event: MailEvent,
    /// `None`: whatever the language.
    pub language: Option<Language>,
    /// Subject and plain text.
    pub text: String,
    /// HTML, if it has its own.
    pub html: Option<String>,
    /// Who put it here.
    pub created_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Why it failed the last time that it did; empty if it never has.
    pub last_fault: String,
    /// When that was.
    pub failed_at: Option<DateTime<Utc>>,
}

const COLUMNS: &str =
    "id, tenant, event, language, body, html, created_by, created_at, last_fault, failed_at";

impl Store {
    /// Uses `text` and `html` for an event from now on; returns the version's id.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_template_set(
        &self,
        (tenant, event, language): (TenantId, MailEvent, Option<Language>),
        text: &str,
        html: Option<&str>,
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<i64> {
        let mut tx = self.write().await?;
        let word = word_of(language);
        let id = query(
            "INSERT INTO mail_templates (tenant, event, language, body, html, created_by, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id",
        )
        .cells(cells![tenant.0, event.as_str(), word, text, html.map(str::to_owned), actor, now])
        .fetch_one(&mut *tx)
        .await?
        .int("id")?;
        let object = object_of(tenant, event, language);
        append(&mut tx, actor, "mail template", &object, "", &format!("version {id}"), now).await?;
        tx.commit().await?;
        Ok(id)
    }

    /// Goes back to the program's own words for an event.
    ///
    /// # Errors
    ///
    /// [`StoreError::NotFound`] when the tenant has none of its own; what the database says.
    pub async fn mail_template_reset(
        &self,
        (tenant, event, language): (TenantId, MailEvent, Option<Language>),
        actor: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        let retired = query(
            "UPDATE mail_templates SET is_retired = 1 \
             WHERE tenant = $1 AND event = $2 AND language = $3 AND is_retired = 0",
        )
        .cells(cells![tenant.0, event.as_str(), word_of(language)])
        .execute(&mut *tx)
        .await?;
        let object = object_of(tenant, event, language);
        if retired.rows_affected() == 0 {
            return Err(StoreError::NotFound { what: "mail template of its own", name: object });
        }
        append(&mut tx, actor, "mail template", &object, "", "reset", now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// What is in use: the newest version of each tenant, event and language.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_templates(&self) -> Result<Vec<KeptMailTemplate>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT {COLUMNS} FROM mail_templates WHERE id IN (SELECT max(id) FROM mail_templates \
             WHERE is_retired = 0 GROUP BY tenant, event, language) ORDER BY tenant, event, language"
        ))
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(template_of).collect()
    }

    /// What may word a mail, best first: those of its language before those of all languages, newer ones before older ones.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_templates_for(
        &self,
        tenant: TenantId,
        event: MailEvent,
        language: Language,
    ) -> Result<Vec<KeptMailTemplate>> {
        let mut tx = self.read().await?;
        let rows = query_of(format!(
            "SELECT {COLUMNS} FROM mail_templates WHERE tenant = $1 AND event = $2 AND language IN ($3, $4) \
             AND is_retired = 0 ORDER BY CASE WHEN language = $3 THEN 0 ELSE 1 END, id DESC LIMIT $5"
        ))
        .cells(cells![tenant.0, event.as_str(), language.as_str(), EVERY_LANGUAGE, VERSIONS_MAX])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(template_of).collect()
    }

    /// Notes that a version failed on a mail.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mail_template_failed(&self, id: i64, fault: &str, now: DateTime<Utc>) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE mail_templates SET last_fault = $2, failed_at = $3 WHERE id = $1")
            .cells(cells![id, fault, now])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(())
    }
}

fn word_of(language: Option<Language>) -> &'static str {
    language.map_or(EVERY_LANGUAGE, Language::as_str)
}

fn object_of(tenant: TenantId, event: MailEvent, language: Option<Language>) -> String {
    format!("tenant {tenant}, {event}, {}", language.map_or("all languages", Language::as_str))
}

fn template_of(row: &AnyRow) -> Result<KeptMailTemplate> {
    let language = row.text("language")?;
    Ok(KeptMailTemplate {
        id: row.int("id")?,
        tenant: TenantId(row.int("tenant")?),
        event: row.word("event")?,
        language: if language == EVERY_LANGUAGE { None } else { Some(row.word("language")?) },
        text: row.text("body")?,
        html: row.opt_text("html")?,
        created_by: row.text("created_by")?,
        created_at: row.time("created_at")?,
        last_fault: row.text("last_fault")?,
        failed_at: row.opt_time("failed_at")?,
    })
}
