//! What people and the audit look at: the latest of everything, single calls, and identities by the million.

use model::{CdrId, PostingId, Topic};

use crate::export_queue::{ExportFile, file_of};
use crate::invoices::{Invoice, invoice_of};
use crate::sql::{Bind, Columns, cells, query};
use crate::{Result, Store};

/// What became of what was queued for the files of one series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueCheck {
    /// The series.
    pub owner: String,
    /// All that was ever queued for it.
    pub n_queued: u64,
    /// What its files were made of.
    pub n_in_files: u64,
    /// In no file for a reason: overtaken by a later revision, told in a report of corrections, filtered.
    pub n_passed: u64,
    /// Yet to be written.
    pub n_waiting: u64,
}

impl QueueCheck {
    /// Nothing is lost, nothing in two files.
    pub fn holds(&self) -> bool {
        self.n_queued == self.n_in_files + self.n_passed + self.n_waiting
    }
}

impl Store {
    /// The rated call of `cdr` in its newest revision, as it was queued for the operator's export.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn rated_call(&self, cdr: CdrId) -> Result<Option<Vec<u8>>> {
        let mut tx = self.read().await?;
        let row = query(
            "SELECT payload FROM export_queue WHERE owner = 'system' AND cdr = $1 ORDER BY revision DESC LIMIT 1",
        )
        .cells(cells![cdr.as_bytes()])
        .fetch_optional(&mut *tx)
        .await?;
        tx.commit().await?;
        row.map(|row| row.bytes("payload")).transpose()
    }

    /// All revisions of a call that were rated, oldest first, in the exporter's form: without those made while it was up.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn rated_revisions(&self, cdr: CdrId) -> Result<Vec<Vec<u8>>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT payload FROM export_queue WHERE owner = 'system' AND cdr = $1 ORDER BY revision")
                .cells(cells![cdr.as_bytes()])
                .fetch_all(&mut *tx)
                .await?;
        tx.commit().await?;
        rows.iter().map(|row| row.bytes("payload")).collect()
    }

    /// Every call ever queued for `owner`, with its revision: for the audit.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn export_calls(&self, owner: &str) -> Result<Vec<(CdrId, u32)>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT cdr, revision FROM export_queue WHERE owner = $1")
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

    /// How far every lane of every stage is: stage, partition, position.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lane_positions(&self) -> Result<Vec<(String, u32, u64)>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT stage, part, position FROM lanes ORDER BY stage, part").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| Ok((row.text("stage")?, row.narrow("part")?, row.narrow("position")?)))
            .collect()
    }

    /// Every place from which a record was ever put aside: stage, topic, partition, offset.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn suspense_places(&self) -> Result<Vec<(String, Topic, u32, u64)>> {
        let mut tx = self.read().await?;
        let rows =
            query("SELECT stage, topic, part, record_offset FROM suspense").fetch_all(&mut *tx).await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| {
                let place = (row.narrow("part")?, row.narrow("record_offset")?);
                Ok((row.text("stage")?, row.word("topic")?, place.0, place.1))
            })
            .collect()
    }

    /// Export files and invoices whose numbers have a gap, or that lack rows they were made with; in words.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn numbering_check(&self) -> Result<Vec<String>> {
        let mut tx = self.read().await?;
        let mut faults = Vec::new();
        let rows = query(
            "SELECT export_sequences.owner AS owner, last_number, count(export_files.id) AS n_files, \
             coalesce(max(sequence), 0) AS highest FROM export_sequences LEFT JOIN export_files \
             ON export_files.owner = export_sequences.owner GROUP BY export_sequences.owner, last_number \
             ORDER BY export_sequences.owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            let (last, n_files, highest) =
                (row.int("last_number")?, row.int("n_files")?, row.int("highest")?);
            if last != n_files || last != highest {
                let owner = row.text("owner")?;
                faults.push(format!(
                    "{owner}: {n_files} files up to number {highest}, where {last} numbers were taken"
                ));
            }
        }
        let rows = query(
            "SELECT name, n_rows, n_found FROM (SELECT id, name, n_rows, \
             (SELECT count(*) FROM export_queue WHERE export_queue.file = export_files.id) \
             + (SELECT count(*) FROM export_queue WHERE export_queue.owner = export_files.owner \
             AND export_queue.id > export_files.after_row AND export_queue.id <= export_files.last_row \
             AND export_queue.file IS NULL AND export_queue.passed IS NULL) \
             + (SELECT count(*) FROM edr_rows WHERE edr_rows.file = export_files.id) AS n_found FROM export_files) found \
             WHERE n_found <> n_rows ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            faults.push(format!(
                "file {} was made of {} records, {} are there",
                row.text("name")?,
                row.int("n_rows")?,
                row.int("n_found")?
            ));
        }
        // Each file goes on where the one before it ended, and the series is where the last one ended.
        let rows = query(
            "SELECT name FROM (SELECT id, name, after_row, coalesce(lag(last_row) OVER (PARTITION BY owner ORDER BY sequence), 0) \
             AS previous FROM export_files WHERE last_row IS NOT NULL) ranges WHERE after_row <> previous ORDER BY id",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            faults.push(format!("file {} does not begin where the one before it ended", row.text("name")?));
        }
        let rows = query(
            "SELECT owner FROM export_sequences WHERE last_row <> coalesce((SELECT max(export_files.last_row) \
             FROM export_files WHERE export_files.owner = export_sequences.owner), 0) ORDER BY owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            faults.push(format!("{} is not where its last file ended", row.text("owner")?));
        }
        let rows = query(
            "SELECT invoice_sequences.tenant AS tenant, invoice_sequences.seller AS seller, \
             invoice_sequences.year AS year, last_number, \
             count(invoices.id) AS n_invoices, coalesce(max(sequence), 0) AS highest FROM invoice_sequences \
             LEFT JOIN invoices ON invoices.tenant = invoice_sequences.tenant \
             AND invoices.seller = invoice_sequences.seller AND invoices.year = invoice_sequences.year \
             GROUP BY invoice_sequences.tenant, invoice_sequences.seller, invoice_sequences.year, last_number",
        )
        .fetch_all(&mut *tx)
        .await?;
        for row in &rows {
            let (last, found, highest) =
                (row.int("last_number")?, row.int("n_invoices")?, row.int("highest")?);
            if last != found || last != highest {
                faults.push(format!(
                    "tenant {}, seller {}, {}: {found} invoices up to number {highest}, where {last} numbers were taken",
                    row.int("tenant")?,
                    row.int("seller")?,
                    row.int("year")?
                ));
            }
        }
        tx.commit().await?;
        Ok(faults)
    }

    /// What became of all that was ever queued for the files of each series, by name: of calls, and of events.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn queue_check(&self) -> Result<Vec<QueueCheck>> {
        let mut tx = self.read().await?;
        let calls = query(
            "SELECT queued.owner AS owner, n_queued, n_passed, n_waiting, \
             coalesce((SELECT CAST(sum(n_rows) AS BIGINT) FROM export_files WHERE export_files.owner = queued.owner), 0) AS n_in_files \
             FROM (SELECT export_queue.owner AS owner, count(*) AS n_queued, \
             CAST(sum(CASE WHEN passed IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS n_passed, \
             CAST(sum(CASE WHEN file IS NULL AND passed IS NULL AND export_queue.id > coalesce(export_sequences.last_row, 0) \
             THEN 1 ELSE 0 END) AS BIGINT) AS n_waiting \
             FROM export_queue LEFT JOIN export_sequences ON export_sequences.owner = export_queue.owner \
             GROUP BY export_queue.owner) queued ORDER BY queued.owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        // The files of events are those of a stream of that name, whose owners they are queued for.
        let events = query(
            "SELECT queued.owner AS owner, n_queued, n_passed, n_waiting, \
             coalesce((SELECT CAST(sum(n_rows) AS BIGINT) FROM export_files WHERE export_files.owner = queued.owner), 0) AS n_in_files \
             FROM (SELECT 'edr/' || owner AS owner, count(*) AS n_queued, \
             CAST(sum(CASE WHEN is_filtered <> 0 THEN 1 ELSE 0 END) AS BIGINT) AS n_passed, \
             CAST(sum(CASE WHEN file IS NULL AND is_filtered = 0 THEN 1 ELSE 0 END) AS BIGINT) AS n_waiting \
             FROM edr_rows GROUP BY edr_rows.owner) queued ORDER BY queued.owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        tx.commit().await?;
        calls
            .iter()
            .chain(&events)
            .map(|row| {
                Ok(QueueCheck {
                    owner: row.text("owner")?,
                    n_queued: row.narrow("n_queued")?,
                    n_in_files: row.narrow("n_in_files")?,
                    n_passed: row.narrow("n_passed")?,
                    n_waiting: row.narrow("n_waiting")?,
                })
            })
            .collect()
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
            "SELECT id, owner, sequence, name, n_rows, state, created_at, n_bytes, md5, sha256, format, zone, \
             owner_name, day FROM export_files ORDER BY id DESC LIMIT $1",
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
             i.tax_micros, i.gross_micros, i.document, i.state, i.issued_at, i.kind, i.seller, i.corrects, i.paid_at, \
             p.invoice AS pdf_of \
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
            query("SELECT count(*) AS n FROM mails WHERE sent_at IS NULL AND state IN ('queued', 'sending')")
                .fetch_one(&mut *tx)
                .await?;
        tx.commit().await?;
        n_mails.narrow("n")
    }
}
