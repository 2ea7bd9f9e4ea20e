//! Files of event detail records: planned like those of calls, from the queue that the mediator's commits fill.
//!
//! A number is taken, and its rows are tied to it with what is told of each, in one transaction. What a filter spares the reader is
//! marked in the same one.

use model::Edr;

use crate::edrs::{WaitingEdr, edrs_waiting_in};
use crate::export_queue::{ExportFile, ExportPlan, give_back, next_sequence, plan_file};
use crate::sql::{Bind, Columns, cells, query, signed};
use crate::{Result, Store};

/// What is told of an event: the record as it is kept, and the company of its account's contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToldEdr {
    /// The event, encoded by whoever plans the file.
    pub shown: Vec<u8>,
    /// Empty if there is none.
    pub company: String,
}

/// Shown the events of a run, oldest first: what is told of each; `None`: nothing.
pub type SettleEdrs<'a> = dyn Fn(&[Edr]) -> Vec<Option<ToldEdr>> + Send + Sync + 'a;

impl Store {
    /// Plans the next file of a series from the oldest events that wait in `queue` (`system`, `reseller:ID`); `None` if none are
    /// told and it may not be empty.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edr_plan(
        &self,
        plan: ExportPlan<'_>,
        queue: &str,
        settle: &SettleEdrs<'_>,
        name: impl Fn(u64) -> String + Send,
    ) -> Result<Option<ExportFile>> {
        let mut tx = self.write().await?;
        // First of all: whoever plans for the same series at the same time waits here until we are done.
        let sequence = next_sequence(&mut tx, plan.owner).await?;
        let waiting: Vec<WaitingEdr> = edrs_waiting_in(&mut tx, queue, plan.rows_max).await?;
        let edrs: Vec<Edr> = waiting.iter().map(|waiting| waiting.edr.clone()).collect();
        let told = settle(&edrs);
        let n_rows = told.iter().flatten().count() as u64;
        let mut file = plan_file(&mut tx, &plan, sequence, name(sequence), None).await?;
        for (waiting, told) in waiting.iter().zip(told) {
            match told {
                Some(told) => {
                    query("UPDATE edr_rows SET file = $1, shown = $2, company = $3 WHERE id = $4")
                        .cells(cells![file.id, told.shown, told.company, waiting.row])
                        .execute(&mut *tx)
                        .await?;
                }
                None => {
                    query("UPDATE edr_rows SET is_filtered = 1 WHERE id = $1")
                        .cells(cells![waiting.row])
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        if n_rows == 0 && !plan.may_be_empty {
            give_back(&mut tx, plan.owner, file.id).await?;
            tx.commit().await?;
            return Ok(None);
        }
        query("UPDATE export_files SET n_rows = $2 WHERE id = $1")
            .cells(cells![file.id, signed("rows", n_rows)?])
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        file.n_rows = n_rows;
        Ok(Some(file))
    }

    /// What a file tells, in order.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn edr_file_rows(&self, file: i64) -> Result<Vec<ToldEdr>> {
        let mut tx = self.read().await?;
        let rows = query("SELECT shown, company FROM edr_rows WHERE file = $1 ORDER BY id")
            .cells(cells![file])
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        rows.iter()
            .map(|row| Ok(ToldEdr { shown: row.bytes("shown")?, company: row.text("company")? }))
            .collect()
    }
}
