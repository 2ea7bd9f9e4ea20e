//! How far every consumer of the log has come, and whether that fits the log at hand.

use std::collections::BTreeMap;

use bus::{Bus, BusError};
use lake::Lake;
use model::Topic;
use store::Store;

use crate::lake_tables::{EVENTS_SOURCE, POSTINGS_SOURCE};
use crate::roles::STAGES;

/// Whether the log is the one that the positions were taken from. Of one that was emptied, or restored from an older copy than the
/// database, new records would lie before the positions, and nobody would ever read them.
///
/// # Errors
///
/// [`BusError::Beyond`] for a stage or the lake that is ahead of the log.
pub(crate) async fn check_positions(bus: &dyn Bus, positions: &Positions) -> Result<(), BusError> {
    for (&(consumer, partition), &from) in &positions.0 {
        let topic = topic_of(consumer);
        let (_, end) = bus.range(topic, partition).await?;
        if from > end {
            return Err(BusError::Beyond { topic, partition, from, end });
        }
    }
    Ok(())
}

/// How far every lane of every consumer is, the lake among them.
#[derive(Debug, Default)]
pub(crate) struct Positions(BTreeMap<(&'static str, u32), u64>);

impl Positions {
    /// As committed.
    pub(crate) async fn load(store: &Store, lake: Option<&Lake>) -> anyhow::Result<Self> {
        let mut all = BTreeMap::new();
        for (stage, partition, position) in store.lane_positions().await? {
            if let Some((name, _)) = STAGES.iter().find(|(name, _)| *name == stage) {
                all.insert((*name, partition), position);
            }
        }
        if let Some(lake) = lake {
            for (partition, lane) in lake.positions()?.iter() {
                all.insert((LAKE, partition), lane.position);
            }
            for source in [&POSTINGS_SOURCE, &EVENTS_SOURCE] {
                for (partition, lane) in lake.table_positions(source.table)?.iter() {
                    all.insert((source.name, partition), lane.position);
                }
            }
        }
        Ok(Self(all))
    }

    /// The next record that `consumer` reads in a lane.
    pub(crate) fn of(&self, consumer: &'static str, partition: u32) -> u64 {
        self.0.get(&(consumer, partition)).copied().unwrap_or_default()
    }
}

/// Who carries rated calls into the lake, in suspense and wherever consumers are named.
pub(crate) const LAKE: &str = "lake";

/// Who carries postings into the lake.
pub(crate) const LAKE_POSTINGS: &str = "lake_postings";
/// Who carries events into the lake.
pub(crate) const LAKE_EVENTS: &str = "lake_events";

/// What a consumer reads.
pub(crate) fn topic_of(consumer: &str) -> Topic {
    if let Some(source) =
        [&POSTINGS_SOURCE, &EVENTS_SOURCE].into_iter().find(|source| source.name == consumer)
    {
        return source.topic;
    }
    STAGES.iter().find(|(name, _)| *name == consumer).map_or(Topic::Rated, |(_, topic)| *topic)
}
