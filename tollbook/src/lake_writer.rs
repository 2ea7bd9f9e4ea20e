//! The lake role: one process writes the lake and merges its files; others that have the role stand by.

use std::sync::Arc;
use std::time::Duration;

use lake::{Lake, LakeError};
use model::Topic;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::config::Config;
use crate::lake_tables::{EVENTS_SOURCE, POSTINGS_SOURCE};
use crate::runner::{LAKE, Progress, Rooms};
use crate::system::Consumer;
use crate::{lake_duties, lake_feed, lake_tables};

/// How often a process that stands by looks whether the lake is free.
const STAND_BY: Duration = Duration::from_secs(1);

/// Who carries what into the lake, and the senders of their progress in the order that [`run`] takes.
pub(crate) fn consumers() -> [(Consumer, watch::Sender<Progress>); 3] {
    let consumer = |name, topic| {
        let (sender, progress) = watch::channel(Progress::default());
        (Consumer { name, topic, progress }, sender)
    };
    [
        consumer(LAKE, Topic::Rated),
        consumer(POSTINGS_SOURCE.name, POSTINGS_SOURCE.topic),
        consumer(EVENTS_SOURCE.name, EVENTS_SOURCE.topic),
    ]
}

/// Writes until `stop`, telling the progress of each of [`consumers`]. `opened` is the process's own handle, which writes already where there is one process.
pub(crate) async fn run(
    rooms: Rooms,
    config: Config,
    opened: Arc<Lake>,
    progress: [watch::Sender<Progress>; 3],
    stop: CancellationToken,
) {
    let lake = if config.bus.is_kafka() {
        match stand_by(&config, &stop).await {
            Some(lake) => Arc::new(lake),
            None => return,
        }
    } else {
        opened
    };
    let compacting = compact(lake.clone(), rooms.clone(), config.pipeline.lake_compact, stop.clone());
    let duties = lake_duties::run(lake.clone(), rooms.clone(), config.lake.clone(), stop.clone());
    let [of_calls, of_postings, of_events] = progress;
    let interval = config.pipeline.lake_commit;
    let mirroring = lake_tables::mirror(
        rooms.store.clone(),
        lake.clone(),
        rooms.clock.clone(),
        config.pipeline.lake_mirror,
        stop.clone(),
    );
    let postings = lake_tables::follow(
        &POSTINGS_SOURCE,
        rooms.clone(),
        lake.clone(),
        interval,
        stop.clone(),
        of_postings,
    );
    let events =
        lake_tables::follow(&EVENTS_SOURCE, rooms.clone(), lake.clone(), interval, stop.clone(), of_events);
    let calls = lake_feed::run(rooms, lake, interval, stop, of_calls);
    // Each is a task of its own: one that waits for a bucket out of reach holds up none of the others.
    let mut tasks = JoinSet::new();
    tasks.spawn(calls);
    tasks.spawn(postings);
    tasks.spawn(events);
    tasks.spawn(mirroring);
    tasks.spawn(compacting);
    tasks.spawn(duties);
    while let Some(ended) = tasks.join_next().await {
        if let Err(why) = ended
            && let Ok(panic) = why.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The lake, as soon as no other process writes it; `None` when we are to stop.
async fn stand_by(config: &Config, stop: &CancellationToken) -> Option<Lake> {
    let mut is_told = false;
    loop {
        // In a bucket it takes seconds to see whether somebody else writes.
        let wanted = config.lake.clone();
        let opened = tokio::task::spawn_blocking(move || Lake::open(wanted)).await;
        match opened.unwrap_or_else(|why| Err(LakeError::Internal { problem: why.to_string() })) {
            Ok(lake) => return Some(lake),
            Err(LakeError::InUse { .. }) => {
                if !std::mem::replace(&mut is_told, true) {
                    info!("another process writes the lake; standing by");
                }
            }
            Err(why) => error!(error = %why, "the lake cannot be opened; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(STAND_BY) => {}
            () = stop.cancelled() => return None,
        }
    }
}

async fn compact(lake: Arc<Lake>, rooms: Rooms, interval: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(interval) => {}
            () = stop.cancelled() => return,
        }
        if let Err(why) = lake.compact(rooms.clock.utc()).await {
            error!(error = %why, "small files of the lake could not be merged; trying again");
        }
    }
}
