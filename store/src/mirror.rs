//! What the lake mirrors of the database: marks that change when its tables do, and postings without a call.

use model::Posting;

use crate::ledger::posting_of;
use crate::sql::{Columns, query};
use crate::{Result, Store};

/// For each table that the lake mirrors, a word that changes whenever its rows do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MirrorMarks {
    /// Of the alerts, what people made of them included.
    pub alerts: String,
    /// Of the invoices and their states.
    pub invoices: String,
    /// Of the tariff versions, which never change once written.
    pub tariffs: String,
}

impl Store {
    /// The marks as of now. Cheap: counts and latest times.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mirror_marks(&self) -> Result<MirrorMarks> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT count(*) AS n, CAST(coalesce(sum(n_updates), 0) AS BIGINT) AS updates, coalesce(max(at), 0) AS latest, \
             count(acknowledged_at) AS taken, coalesce(max(acknowledged_at), 0) AS taken_at, count(verdict) AS judged, \
             coalesce(max(verdict_at), 0) AS judged_at, \
             CAST(coalesce(sum(n_stopped), 0) AS BIGINT) AS stopped, count(handed_at) AS handed, \
             coalesce(max(handed_at), 0) AS handed_at FROM alerts",
        )
        .fetch_one(&mut *tx)
        .await?;
        let names = [
            "n",
            "updates",
            "latest",
            "taken",
            "taken_at",
            "judged",
            "judged_at",
            "stopped",
            "handed",
            "handed_at",
        ];
        let alerts = names.iter().map(|name| Ok(row.int(name)?.to_string())).collect::<Result<Vec<_>>>()?;
        let rows = query(
            "SELECT state, count(*) AS n, max(id) AS latest, count(paid_at) AS paid FROM invoices \
             GROUP BY state ORDER BY state",
        )
        .fetch_all(&mut *tx)
        .await?;
        let invoices = rows
            .iter()
            .map(|row| {
                let (state, n, latest, paid) =
                    (row.text("state")?, row.int("n")?, row.int("latest")?, row.int("paid")?);
                Ok(format!("{state} {n} {latest} {paid}"))
            })
            .collect::<Result<Vec<_>>>()?;
        let row = query("SELECT count(*) AS n, coalesce(max(id), 0) AS latest FROM profile_versions")
            .fetch_one(&mut *tx)
            .await?;
        let tariffs = format!("{} {}", row.int("n")?, row.int("latest")?);
        tx.commit().await?;
        Ok(MirrorMarks { alerts: alerts.join(" "), invoices: invoices.join(", "), tariffs })
    }

    /// How many postings have no call. Reads the whole ledger: not to be asked often.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn count_postings_without_call(&self) -> Result<u64> {
        let mut tx = self.read().await?;
        let row = query("SELECT count(*) AS n FROM postings WHERE cdr IS NULL").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        row.narrow("n")
    }

    /// All postings without a call: payments, fees, adjustments.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn postings_without_call(&self) -> Result<Vec<Posting>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, tenant, account, at, debit, credit, amount_micros, currency, reason, cdr, reverses \
             FROM postings WHERE cdr IS NULL ORDER BY at, id",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(posting_of).collect()
    }
}
