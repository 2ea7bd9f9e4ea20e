//! What people and the audit look at: the latest of everything, single calls, and identities by the million.

use model::{CdrId, PostingId};

use crate::export_queue::{ExportFile, file_of};
use crate::invoices::{Invoice, invoice_of};
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store};

impl Store {
    /// The rated call of `cdr` in its newest revision, as it was queued for the operator's export.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn rated_call(&self, cdr: CdrId) -> Result<Option<Vec<u8>>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT payload FROM export_rows WHERE owner = 'system' AND cdr = $1 ORDER BY revision DESC LIMIT 1",
        )
        .cells(cells![cdr.as_bytes()])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.bytes("payload")).transpose()
    }

    /// Every call ever queued for `owner`, with its revision: for the audit.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_calls(&self, owner: &str) -> Result<Vec<(CdrId, u32)>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT cdr, revision FROM export_rows WHERE owner = $1")
            .cells(cells![owner])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter().map(|row| Ok((row.id("cdr", CdrId::from_bytes)?, row.narrow("revision")?))).collect()
    }

    /// The ids of all postings: for the audit.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn posting_ids(&self) -> Result<Vec<PostingId>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT id FROM postings").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| row.id("id", PostingId::from_bytes)).collect()
    }

    /// Owners that have files, by name.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_owners(&self) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT owner FROM export_sequences ORDER BY owner").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter().map(|row| row.text("owner")).collect()
    }

    /// The latest files of all owners, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_files_latest(&self, max: u32) -> Result<Vec<ExportFile>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5 FROM export_files \
             ORDER BY id DESC LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(file_of).collect()
    }

    /// The latest invoices, newest first.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn invoices_latest(&self, max: u32) -> Result<Vec<Invoice>> {
        let mut tx = self.read().await?;
        let rows = query(
            "SELECT i.id, i.number, i.tenant, i.account, i.period_start, i.period_end, i.currency, i.net_micros, \
             i.tax_micros, i.gross_micros, i.document, i.state, i.issued_at, p.invoice AS pdf_of \
             FROM invoices i LEFT JOIN invoice_pdfs p ON p.invoice = i.id ORDER BY i.id DESC LIMIT $1",
        )
        .cells(cells![max])
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        rows.iter().map(invoice_of).collect()
    }

    /// Mails that no server has taken yet, those given up among them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn mails_waiting(&self) -> Result<u64> {
        let mut tx = self.read().await?;
        let n_mails =
            query("SELECT count(*) AS n FROM mails WHERE sent_at IS NULL").fetch_one(&mut *tx).await?;
        tx.commit().await?;
        n_mails.narrow("n")
    }
}
