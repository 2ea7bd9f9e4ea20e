//! The trail of what people changed: a chain of hashes, so that an entry altered, removed or cut off is noticed.

use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store};

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Counts up from 1.
    pub id: i64,
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: String,
    /// What was done, such as `import`.
    pub action: String,
    /// To what, such as `account:7`.
    pub object: String,
    /// As it was; empty if there was nothing.
    pub before: String,
    /// As it is.
    pub after: String,
    /// Over the entry and the hash before it.
    pub hash: String,
}

/// Where the trail is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditFault {
    /// The entry is not what was written.
    Altered {
        /// Which.
        id: i64,
    },
    /// Entries before this one are gone.
    Missing {
        /// The first that is gone.
        id: i64,
    },
    /// The last entries are gone.
    CutOff {
        /// The last one found.
        found: i64,
        /// The last one written.
        expected: i64,
    },
}

/// Every table, for counting.
const TABLES: &[&str] = &[
    "accounts",
    "alert_notes",
    "alerts",
    "api_tokens",
    "audit_heads",
    "audit_log",
    "backup_orders",
    "balances",
    "balances_told",
    "barrings",
    "billing_profiles",
    "billing_terms",
    "calling_rules",
    "contacts",
    "contracts",
    "download_keys",
    "download_links",
    "edr_rows",
    "edrs",
    "exchange_rates",
    "export_acks",
    "export_files",
    "export_formats",
    "export_queue",
    "export_runs",
    "export_sequences",
    "fee_lists",
    "fees",
    "fraud_exceptions",
    "fraud_limits",
    "fraud_rules",
    "idempotency_keys",
    "import_heads",
    "import_keys",
    "import_rows",
    "imports",
    "invoice_pdfs",
    "invoice_sequences",
    "invoice_templates",
    "invoices",
    "kill_orders",
    "lake_erasures",
    "lake_holds",
    "lanes",
    "leases",
    "lock_history",
    "locks",
    "mail_attachments",
    "mail_successions",
    "mail_templates",
    "mails",
    "network_mappings",
    "networks",
    "numbers",
    "offpeak_specials",
    "offpeak_weekdays",
    "packages",
    "pipeline_questions",
    "ported_numbers",
    "postings",
    "processes",
    "profile_fraud_limits",
    "profile_mappings",
    "profile_versions",
    "provisioning_events",
    "provisioning_heads",
    "recovery_codes",
    "restore_hold",
    "resubmit_heads",
    "revisions",
    "routes",
    "second_factor_drafts",
    "second_factors",
    "sessions",
    "sftp_alarms",
    "sftp_inbox",
    "sftp_trail",
    "source_bans",
    "stage_state",
    "subscriber_profiles",
    "subscribers",
    "suspense",
    "tenants",
    "topups",
    "trunks",
    "users",
    "vouchers",
    "watermarks",
    "webhook_deliveries",
    "webhooks",
    "zones",
];

impl Store {
    /// Adds an entry.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn audit_append(
        &self,
        actor: &str,
        action: &str,
        object: &str,
        before: &str,
        after: &str,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let mut tx = self.write().await?;
        append(&mut tx, actor, action, object, before, after, now).await?;
        tx.commit().await?;
        Ok(())
    }

    /// The latest entries, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn audit_list(&self, max: u32) -> Result<Vec<AuditEntry>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, at, actor, action, object, before_text, after_text, hash FROM audit_log \
             ORDER BY id DESC LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(entry_of).collect()
    }

    /// The latest entries about one object, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn audit_of(&self, object: &str, max: u32) -> Result<Vec<AuditEntry>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, at, actor, action, object, before_text, after_text, hash FROM audit_log \
             WHERE object = $1 ORDER BY id DESC LIMIT $2",
        )
        .cells(cells![object, max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(entry_of).collect()
    }

    /// Walks the whole chain; the first fault, if there is one.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn audit_verify(&self) -> Result<Option<AuditFault>> {
        let mut tx = self.read().await?;
        let mut last_hash = String::new();
        let mut last_id = 0;
        loop {
            let rows = query(
                "SELECT id, at, actor, action, object, before_text, after_text, hash FROM audit_log \
                 WHERE id > $1 ORDER BY id LIMIT 1000",
            )
            .cells(cells![last_id])
            .fetch_all(&mut *tx)
            .await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                let entry = entry_of(row)?;
                if entry.id != last_id + 1 {
                    return Ok(Some(AuditFault::Missing { id: last_id + 1 }));
                }
                if entry.hash != hash_of(&last_hash, &entry) {
                    return Ok(Some(AuditFault::Altered { id: entry.id }));
                }
                last_id = entry.id;
                last_hash = entry.hash;
            }
        }
        let head = query("SELECT last_id, hash FROM audit_heads WHERE one = 1").fetch_one(&mut *tx).await?;
        let (expected, hash) = (head.int("last_id")?, head.text("hash")?);
        tx.commit().await?;
        if last_id != expected {
            return Ok(Some(AuditFault::CutOff { found: last_id, expected }));
        }
        Ok((hash != last_hash).then_some(AuditFault::Altered { id: last_id }))
    }

    /// Rows of every table, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn table_counts(&self) -> Result<Vec<(String, u64)>> {
        let mut tx = self.read().await?;
        let mut counts = Vec::with_capacity(TABLES.len());
        for &table in TABLES {
            let text = sqlx::AssertSqlSafe(format!("SELECT count(*) AS n_rows FROM {table}"));
            let row = sqlx::query(text).fetch_one(&mut *tx).await?;
            counts.push((table.to_owned(), row.narrow("n_rows")?));
        }
        tx.commit().await?;
        Ok(counts)
    }
}

/// Adds an entry inside the transaction of what it tells of.
pub(crate) async fn append(
    conn: &mut AnyConnection,
    actor: &str,
    action: &str,
    object: &str,
    before: &str,
    after: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    // Taking the next id locks the head: entries are chained one after the other.
    let head = query("UPDATE audit_heads SET last_id = last_id + 1 WHERE one = 1 RETURNING last_id, hash")
        .fetch_one(&mut *conn)
        .await?;
    let mut entry = AuditEntry {
        id: head.int("last_id")?,
        at: now,
        actor: actor.to_owned(),
        action: action.to_owned(),
        object: object.to_owned(),
        before: before.to_owned(),
        after: after.to_owned(),
        hash: String::new(),
    };
    entry.hash = hash_of(&head.text("hash")?, &entry);
    query("UPDATE audit_heads SET hash = $1 WHERE one = 1")
        .cells(cells![entry.hash.as_str()])
        .execute(&mut *conn)
        .await?;
    query(
        "INSERT INTO audit_log (id, at, actor, action, object, before_text, after_text, hash) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .cells(cells![entry.id, entry.at, actor, action, object, before, after, entry.hash])
    .execute(conn)
    .await?;
    Ok(())
}

fn hash_of(before: &str, entry: &AuditEntry) -> String {
    let mut hash = Sha256::new();
    hash.update(before.as_bytes());
    hash.update(entry.id.to_be_bytes());
    hash.update(entry.at.timestamp_micros().to_be_bytes());
    for part in [&entry.actor, &entry.action, &entry.object, &entry.before, &entry.after] {
        // The length keeps ("ab", "c") apart from ("a", "bc").
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

fn entry_of(row: &AnyRow) -> Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.int("id")?,
        at: row.time("at")?,
        actor: row.text("actor")?,
        action: row.text("action")?,
        object: row.text("object")?,
        before: row.text("before_text")?,
        after: row.text("after_text")?,
        hash: row.text("hash")?,
    })
}
