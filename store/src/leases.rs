//! Which process works which lane. A lease belongs to one owner under an epoch that only ever rises; [`Store::commit_fenced`] writes
//! nothing for whoever lost it, however late he notices.

use std::collections::BTreeMap;

use sqlx::AnyConnection;

use crate::sql::{Bind, Columns, cells, query, query_of, signed};
use crate::{LaneCommit, Result, Store, StoreError};

/// A process of the installation, as the others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its name, never used again.
    pub id: String,
    /// What it does, separated by commas.
    pub roles: String,
    /// Counts up while it lives.
    pub beat: u64,
}

/// One lane, or one task that a single process does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lease {
    /// The stage, or the task.
    pub name: String,
    /// Partition; 0 for a task.
    pub partition: u32,
    /// A process; empty for nobody.
    pub owner: String,
    /// Rises with each claim, from 1.
    pub epoch: u64,
}

/// What a process believes to own.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fence {
    /// The process.
    pub owner: String,
    /// The epoch of each of its lanes.
    pub epochs: BTreeMap<u32, u64>,
}

impl Store {
    /// Says that a process lives.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn process_beat(&self, id: &str, roles: &str) -> Result<()> {
        let mut tx = self.write().await?;
        query(
            "INSERT INTO processes (id, roles, beat) VALUES ($1, $2, 1) \
             ON CONFLICT (id) DO UPDATE SET beat = processes.beat + 1, roles = excluded.roles",
        )
        .cells(cells![id, roles])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// All processes that have not taken their leave, by name, and all leases, as of one moment.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn processes_and_leases(&self) -> Result<(Vec<Process>, Vec<Lease>)> {
        let mut tx = self.read().await?;
        let rows = query("SELECT id, roles, beat FROM processes ORDER BY id").fetch_all(&mut *tx).await?;
        let processes = rows
            .iter()
            .map(|row| {
                Ok(Process { id: row.text("id")?, roles: row.text("roles")?, beat: row.narrow("beat")? })
            })
            .collect::<Result<Vec<_>>>()?;
        let rows = query("SELECT name, part, owner, epoch FROM leases ORDER BY name, part")
            .fetch_all(&mut *tx)
            .await?;
        tx.commit().await?;
        let leases = rows
            .iter()
            .map(|row| {
                Ok(Lease {
                    name: row.text("name")?,
                    partition: row.narrow("part")?,
                    owner: row.text("owner")?,
                    epoch: row.narrow("epoch")?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok((processes, leases))
    }

    /// Takes a lease for `owner`, if it is still as it was `seen`; one that was never claimed is seen with epoch 0 and no owner.
    /// Returns the new epoch, or `None` if somebody was faster.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn lease_claim(&self, seen: &Lease, owner: &str) -> Result<Option<u64>> {
        let mut tx = self.write().await?;
        let epoch = signed("epoch", seen.epoch)?;
        let done = query(
            "INSERT INTO leases (name, part, owner, epoch) VALUES ($1, $2, $3, 1) ON CONFLICT (name, part) \
             DO UPDATE SET owner = excluded.owner, epoch = leases.epoch + 1 \
             WHERE leases.epoch = $4 AND leases.owner = $5",
        )
        .cells(cells![seen.name.as_str(), seen.partition, owner, epoch, seen.owner.as_str()])
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok((done.rows_affected() == 1).then_some(seen.epoch + 1))
    }

    /// Gives leases back, those that are still `owner`'s.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn leases_release(&self, owner: &str, given_back: &[Lease]) -> Result<()> {
        let mut tx = self.write().await?;
        for lease in given_back {
            query("UPDATE leases SET owner = '' WHERE name = $1 AND part = $2 AND owner = $3 AND epoch = $4")
                .cells(cells![lease.name.as_str(), lease.partition, owner, signed("epoch", lease.epoch)?])
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// A process takes its leave, or was found dead: it is not counted any more. What it owned others may claim.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn process_forget(&self, id: &str) -> Result<()> {
        let mut tx = self.write().await?;
        query("UPDATE leases SET owner = '' WHERE owner = $1").cells(cells![id]).execute(&mut *tx).await?;
        query("DELETE FROM processes WHERE id = $1").cells(cells![id]).execute(&mut *tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// As [`Store::commit`], by a process that owns the lanes: refused as a whole when it has lost one of them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Fenced`], and those of [`Store::commit`].
    pub async fn commit_fenced(&self, stage: &str, lanes: Vec<LaneCommit>, fence: &Fence) -> Result<()> {
        self.commit_if(stage, lanes, Some(fence)).await
    }
}

/// Holds the leases until the end of the transaction, so that no claim comes between this look and the commit.
pub(crate) async fn hold(
    store: &Store,
    conn: &mut AnyConnection,
    stage: &str,
    lanes: &[LaneCommit],
    fence: &Fence,
) -> Result<()> {
    let text = "SELECT part, epoch FROM leases WHERE name = $1 AND owner = $2";
    // SQLite has one writer anyway.
    let text = if store.is_postgres() { format!("{text} FOR SHARE") } else { text.to_owned() };
    let rows = query_of(text).cells(cells![stage, fence.owner.as_str()]).fetch_all(conn).await?;
    let held = rows
        .iter()
        .map(|row| Ok((row.narrow::<u32>("part")?, row.narrow::<u64>("epoch")?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    for lane in lanes {
        let partition = lane.partition;
        let epoch = fence.epochs.get(&partition).copied();
        if epoch.is_none() || held.get(&partition).copied() != epoch {
            return Err(StoreError::Fenced { stage: stage.to_owned(), partition });
        }
    }
    Ok(())
}
