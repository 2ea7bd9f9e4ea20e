//! Reads `[control]` for this process: locks and kills go to the switch at once, a new configuration revision loads the
//! snapshot again. Commands in other processes cannot write to an embedded log, so the database's revision is looked at
//! twice a second too.

use std::time::Duration;

use bus::Bus;
use model::{Body, Control, Topic};
use switch::Input;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

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
    switch: mpsc::Sender<Input>,
    stop: CancellationToken,
) {
    loop {
        match step(&rooms, &mut positions, &switch).await {
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
        tokio::select! {
            waited = rooms.bus.wait(Topic::Control, &positions) => {
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

/// Passes on what has come. `false` when the switch has gone.
async fn step(rooms: &Rooms, positions: &mut [u64], switch: &mpsc::Sender<Input>) -> anyhow::Result<bool> {
    let before = rooms.directory.current().revision;
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
                    | Body::Posting(_) => continue,
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
    if directory.revision != before && switch.send(Input::Directory(directory)).await.is_err() {
        return Ok(false);
    }
    Ok(true)
}
