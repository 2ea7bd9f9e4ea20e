//! Between the switch and the event log: makes every event durable, in batches, and tells the switch when it cannot.

use std::time::Duration;

use bus::{Bus, Entry};
use chrono::{DateTime, Utc};
use model::{Body, CallEvent, Record, Topic};
use switch::net::EventGroups;
use switch::{EventLog, Input};
use tokio::sync::mpsc;
use tracing::{error, info};

pub(crate) use crate::runner::{entries_of, to_every_partition};

/// Pause before an append is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Writes until the switch has gone. An append that fails is tried until it succeeds; meanwhile the switch refuses new calls, so
/// the events of the calls that are up fit in the channel and no record is lost.
pub(crate) async fn run(bus: &dyn Bus, events: mpsc::Receiver<CallEvent>, switch: mpsc::Sender<Input>) {
    let (mut groups, mut batch) = (EventGroups::new(events), Vec::new());
    while groups.next(&mut batch).await {
        let entries: Vec<Entry> = batch.drain(..).flat_map(|event| entries_of(bus, event)).collect();
        append_until_done(bus, entries, &switch).await;
    }
}

async fn append_until_done(bus: &dyn Bus, entries: Vec<Entry>, switch: &mpsc::Sender<Input>) {
    let mut failing = false;
    loop {
        match bus.append(entries.clone()).await {
            Ok(_) if failing => {
                info!("event log is writable again");
                // The switch may have gone; then nobody needs to know.
                let _ = switch.send(Input::EventLog(EventLog::Writable)).await;
                return;
            }
            Ok(_) => return,
            Err(why) => {
                if !failing {
                    error!(error = %why, "event log cannot be written; refusing new calls until it can");
                    let _ = switch.send(Input::EventLog(EventLog::Unwritable)).await;
                    failing = true;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// A tick for every lane of the topics that stages read.
pub(crate) fn ticks(bus: &dyn Bus, now: DateTime<Utc>) -> Vec<Entry> {
    let record = Record { origin: None, body: Body::Tick(now) };
    [Topic::Calls, Topic::Cdrs, Topic::Rated, Topic::Sightings]
        .into_iter()
        .flat_map(|topic| to_every_partition(bus, topic, &record))
        .collect()
}
