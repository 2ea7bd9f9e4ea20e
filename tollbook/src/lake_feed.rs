//! Carries rated calls from the bus into the lake. The lake keeps its own positions, committed with its files; so this
//! is not a stage of the runner, but follows the same protocol: replays fall out by origin.

use std::sync::Arc;
use std::time::Duration;

use lake::{Lake, LaneRows};
use model::{Body, Retry, Suspended, Topic};
use store::StoreEffect;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::runner::{LAKE, Progress, Rooms, Watermarks, decode, is_for};

/// Rated calls of one lane in one commit.
const LANE_ROWS_MAX: usize = 4_096;

/// Commits about every `interval`, until `stop`; then once more.
pub(crate) async fn run(
    rooms: Rooms,
    lake: Arc<Lake>,
    interval: Duration,
    stop: CancellationToken,
    progress: watch::Sender<Progress>,
) {
    loop {
        let stopping = stop.is_cancelled();
        match commit_waiting(&rooms, &lake).await {
            Ok((n_records, positions)) => {
                progress.send_modify(|progress| {
                    progress.n_records += n_records;
                    progress.positions = positions;
                });
                // A full batch means there is more: go on at once.
                if n_records >= LANE_ROWS_MAX as u64 {
                    continue;
                }
            }
            Err(why) => error!(
                error = format!("{why:#}"),
                "rated calls could not be written to the lake; trying again"
            ),
        }
        if stopping {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Reads what every lane holds and commits it at once. Returns how many records that were, and the positions after it.
async fn commit_waiting(rooms: &Rooms, lake: &Lake) -> anyhow::Result<(u64, Vec<u64>)> {
    let bus = &*rooms.bus;
    let known = lake.positions()?;
    let mut lanes = Vec::new();
    let mut positions = Vec::new();
    let mut suspended = Vec::new();
    let mut n_records = 0;
    for partition in 0..bus.partitions() {
        let saved = known.lane(partition).cloned().unwrap_or_default();
        let batch = bus.read(Topic::Rated, partition, saved.position, LANE_ROWS_MAX).await?;
        positions.push(batch.next);
        if batch.records.is_empty() {
            continue;
        }
        let mut watermarks = Watermarks::new(saved.watermarks.into_iter().map(store_mark).collect());
        let mut rows = Vec::new();
        for stored in batch.records {
            n_records += 1;
            // What cannot be read is put aside by the stages that read the same topic; the lake only passes over it.
            let Ok(record) = decode(&stored.payload) else { continue };
            if !is_for(LAKE, record.origin.as_ref()) || !watermarks.admit(record.origin.as_ref()) {
                continue;
            }
            let Body::Rated(rated) = record.body else { continue };
            match lake::check_row(&rated) {
                Ok(()) => rows.push(*rated),
                Err(why) => suspended.push(StoreEffect::Suspend {
                    suspended: Suspended {
                        code: why.code().to_owned(),
                        message: why.to_string(),
                        retry: Retry::AfterRepair,
                        account: rated.cdr.payer,
                        cdr: Some(rated.cdr.id),
                    },
                    topic: Topic::Rated,
                    partition,
                    offset: stored.offset,
                    raw: stored.payload.to_vec(),
                    at: rooms.clock.utc(),
                }),
            }
        }
        let watermarks = watermarks.take_risen().into_iter().map(lake_mark).collect();
        lanes.push(LaneRows { partition, position: batch.next, watermarks, rows });
    }
    // First what is put aside: after a crash between the two it is put aside again, which changes nothing.
    if !suspended.is_empty() {
        warn!(n_records = suspended.len(), "rated calls that the lake cannot hold are suspended");
        rooms.store.suspend(LAKE, suspended).await?;
    }
    if !lanes.is_empty() {
        lake.commit(lanes, rooms.clock.utc()).await?;
    }
    Ok((n_records, positions))
}

pub(crate) fn store_mark(mark: lake::Watermark) -> store::Watermark {
    store::Watermark { stage: mark.stage, partition: mark.partition, offset: mark.offset, index: mark.index }
}

pub(crate) fn lake_mark(mark: store::Watermark) -> lake::Watermark {
    lake::Watermark { stage: mark.stage, partition: mark.partition, offset: mark.offset, index: mark.index }
}
