//! Reads `[control]` for this process: locks and kills go to the switch at once, a new configuration revision loads the
//! snapshot again. Commands in other processes cannot write to an embedded log, so the database's revision is looked at
//! twice a second too.

use std::sync::Arc;
use std::time::Duration;

use bus::Bus;
use model::{AccountId, Body, Control, Directory, Topic};
use switch::Input;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::fraud_watch::Screens;
use crate::runner::Rooms;

/// How often the database is asked for its revision.
const REVISION_POLL: Duration = Duration::from_millis(500);

/// Records of one partition at a time.
const READ_MAX: usize = 256;

/// Where every partition of `[control]` ends now.
pub(crate) async fn ends(bus: &dyn Bus) -> Result<Vec<u64>, bus::BusError> {
    let mut ends = Vec::new();
    for partition in 0..bus.partitions() {
        ends.push(bus.range(Topic::Control, partition).await?.1);
    }
    Ok(ends)
}

/// Until `stop`, or until the switch has gone.
pub(crate) async fn run(
    rooms: Rooms,
    mut positions: Vec<u64>,
    first: Arc<Directory>,
    screens: Screens,
    switch: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    let mut handed = first;
    loop {
        match step(&rooms, &mut positions, &mut handed, &screens, &switch).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(why) => {
                error!(
                    error = format!("{why:#}"),
                    "control messages or provisioning data could not be read; trying again"
                );
                tokio::time::sleep(REVISION_POLL).await;
            }
        }
        let waiting_for = numbered(&positions);
        tokio::select! {
            waited = rooms.bus.wait(Topic::Control, &waiting_for) => {
                if let Err(why) = waited {
                    error!(error = %why, "cannot wait for control messages");
                    tokio::time::sleep(REVISION_POLL).await;
                }
            }
            () = tokio::time::sleep(REVISION_POLL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Each with its partition.
fn numbered(positions: &[u64]) -> Vec<(u32, u64)> {
    (0_u32..).zip(positions.iter().copied()).collect()
}

/// Passes on what has come. `handed` is the snapshot that the switch has. `false` when the switch has gone.
async fn step(
    rooms: &Rooms,
    positions: &mut [u64],
    handed: &mut Arc<Directory>,
    screens: &Screens,
    switch: &mpsc::Sender<Input>,
) -> anyhow::Result<bool> {
    for (partition, position) in (0_u32..).zip(positions.iter_mut()) {
        let batch = rooms.bus.read(Topic::Control, partition, *position, READ_MAX).await?;
        for stored in batch.records {
            let control = match model::wire::decode(&stored.payload) {
                Ok(record) => match record.body {
                    Body::Control(control) => control,
                    Body::Tick(_)
                    | Body::Call(_)
                    | Body::Cdr(_)
                    | Body::Edr(_)
                    | Body::Rated(_)
                    | Body::Posting(_)
                    | Body::Accrual(_)
                    | Body::Sighting(_) => continue,
                },
                Err(why) => {
                    warn!(partition, offset = stored.offset, error = %why, "control message cannot be read");
                    continue;
                }
            };
            if matches!(control, Control::ConfigChanged { .. }) {
                rooms.directory.reload_if_newer().await?;
            }
            info!(message = ?control, "control");
            if switch.send(Input::Control(control)).await.is_err() {
                return Ok(false);
            }
        }
        *position = batch.next;
    }
    rooms.directory.reload_if_newer().await?;
    let directory = rooms.directory.current();
    if directory.revision == handed.revision {
        return Ok(true);
    }
    let mut news = vec![Input::Screen(screens.of(&directory)), Input::Directory(directory.clone())];
    // Somebody locked an account by hand: its calls end as they do when a rule locks it.
    news.extend(
        newly_locked(handed, &directory).map(|account| Input::Control(Control::EndCallsOf { account })),
    );
    let last = handed.kill_orders.last().map_or(0, |order| order.id);
    let orders = directory.kill_orders.iter().filter(|order| order.id > last);
    news.extend(orders.map(|order| Input::Control(Control::EndCallsOf { account: order.account })));
    *handed = directory;
    for input in news {
        if switch.send(input).await.is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Accounts that may not call out any more and could before.
fn newly_locked<'a>(before: &'a Directory, now: &'a Directory) -> impl Iterator<Item = AccountId> + 'a {
    let was_locked = |account| {
        before.locks.iter().any(|lock| lock.account == account && lock.level.blocks_outgoing_on_net())
    };
    now.locks
        .iter()
        .filter(move |lock| lock.level.blocks_outgoing_on_net() && !was_locked(lock.account))
        .map(|lock| lock.account)
}

#[cfg(test)]
mod tests {
    use model::{Lock, LockLevel, LockSource, TenantId};

    use super::*;

    fn directory(locks: &[(i64, LockLevel)]) -> Directory {
        let lock = |&(account, level): &(i64, LockLevel)| Lock {
            tenant: TenantId(1),
            account: AccountId(account),
            level,
            source: LockSource::Admin,
            reason: String::new(),
            alert: None,
            since: chrono::DateTime::UNIX_EPOCH,
            until: None,
        };
        Directory { locks: locks.iter().map(lock).collect(), ..Directory::default() }
    }

    #[test]
    fn calls_end_only_where_a_lock_is_new_and_stops_every_call() {
        let before = directory(&[(1, LockLevel::Outgoing), (2, LockLevel::None), (3, LockLevel::Foreign)]);
        let now = directory(&[
            (1, LockLevel::All),
            (2, LockLevel::Outgoing),
            (3, LockLevel::None),
            (4, LockLevel::Foreign),
            (5, LockLevel::Global),
        ]);
        let ended: Vec<AccountId> = newly_locked(&before, &now).collect();
        assert_eq!(ended, [AccountId(2), AccountId(5)]);
    }
}
