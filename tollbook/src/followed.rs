//! How far the consumers have come, whichever process they are in: read from the database and the lake.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lake::Lake;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::lake_tables::{EVENTS_SOURCE, POSTINGS_SOURCE};
use crate::runner::{LAKE, Progress, Rooms};
use crate::system::Consumer;

/// How often it is looked.
const INTERVAL: Duration = Duration::from_millis(500);

/// Tells each consumer's progress by its sender until `stop`.
pub(crate) async fn run(
    rooms: Rooms,
    lake: Arc<Lake>,
    consumers: Arc<Vec<Consumer>>,
    senders: Vec<watch::Sender<Progress>>,
    stop: CancellationToken,
) {
    loop {
        match load(&rooms, &lake).await {
            Ok(known) => {
                for (consumer, sender) in consumers.iter().zip(&senders) {
                    let position_of = |partition| {
                        known.get(&(consumer.name.to_owned(), partition)).copied().unwrap_or_default()
                    };
                    let positions = (0..rooms.bus.partitions()).map(position_of).collect();
                    sender.send_modify(|progress| progress.positions = positions);
                }
            }
            Err(why) => warn!(error = format!("{why:#}"), "positions of the stages could not be read"),
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Of every lane of every stage, the streams among them, and of the lake: what is read next.
async fn load(rooms: &Rooms, lake: &Lake) -> anyhow::Result<HashMap<(String, u32), u64>> {
    let mut known = HashMap::new();
    for (stage, partition, position) in rooms.store.lane_positions().await? {
        known.insert((stage, partition), position);
    }
    for (partition, lane) in lake.positions()?.iter() {
        known.insert((LAKE.to_owned(), partition), lane.position);
    }
    for source in [&POSTINGS_SOURCE, &EVENTS_SOURCE] {
        for (partition, lane) in lake.table_positions(source.table)?.iter() {
            known.insert((source.name.to_owned(), partition), lane.position);
        }
    }
    Ok(known)
}
