//! Tells a stage what it made of a call before, where it does not remember.
//!
//! In: a record that corrects a call. Out: the revisions of that call that were rated, from the database; or that the lane must wait: what it
//! put out a moment ago may not be kept yet. So the answer never depends on who was faster. And records of its own topic that it wants to be
//! told again: these lie in the log, where it has read them before.

use std::time::Duration;

use bus::{Bus, BusError};
use model::{Body, CdrId, RatedCdr, Stage, Topic};
use tracing::warn;

use super::{Kind, Lane, LaneStore, Rooms, RoundError, decode};

/// The stage that keeps rated calls in the database.
const KEEPER: &str = "exports";

/// Pause before a waiting lane looks again.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Looks after which a lane goes on without an answer: some ten seconds, in which the keeper made no headway. The record is suspended then.
const LOOKS_MAX: u32 = 2_000;

/// Records read at once for a stage that wants some of them again.
const READ_MAX: usize = 1_024;

/// Records between two of these that are read and not looked at, at most.
const SKIPPED_MAX: u64 = 4_096;

/// What a lane waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The record that asks.
    offset: u64,
    /// Where rated calls ended when it asked first.
    rated_end: u64,
    n_looks: u32,
}

/// Answers what the stage asks about a record. `false` if the lane must look again later, beginning with this record; it has nothing of its
/// own in this round before it.
pub(super) async fn answer<S: Stage, L: LaneStore>(
    kind: &Kind<S>,
    rooms: &Rooms<L>,
    lane: &mut Lane<S>,
    (partition, offset): (u32, u64),
    cdr: CdrId,
) -> Result<bool, RoundError> {
    // How far the keeper is comes first: what it keeps between the two questions is then seen by the second.
    let must_wait = must_wait(rooms, lane, partition, offset).await?;
    let payloads = rooms.store.rated_revisions(cdr).await?;
    if payloads.is_empty() && must_wait {
        return Ok(false);
    }
    lane.waiting = None;
    let mut revisions: Vec<RatedCdr> = Vec::with_capacity(payloads.len());
    for payload in payloads {
        match model::wire::decode_rated(&payload) {
            Ok(rated) => revisions.push(rated),
            Err(why) => {
                warn!(stage = kind.name, partition, offset, error = %why, "a rated call cannot be read; its correction is suspended");
                return Ok(true);
            }
        }
    }
    lane.stage.recall(&revisions);
    Ok(true)
}

async fn must_wait<S, L: LaneStore>(
    rooms: &Rooms<L>,
    lane: &mut Lane<S>,
    partition: u32,
    offset: u64,
) -> Result<bool, RoundError> {
    let mut waiting = match lane.waiting {
        Some(waiting) if waiting.offset == offset => waiting,
        Some(_) | None => Waiting { offset, rated_end: end_of(rooms, partition).await?, n_looks: 0 },
    };
    let keepers = rooms.store.load_lanes(KEEPER).await?;
    let kept = keepers.iter().find(|lane| lane.partition == partition).map_or(0, |lane| lane.position);
    waiting.n_looks += 1;
    lane.waiting = Some(waiting);
    Ok(kept < waiting.rated_end && waiting.n_looks <= LOOKS_MAX)
}

async fn end_of<L>(rooms: &Rooms<L>, partition: u32) -> Result<u64, BusError> {
    rooms.bus.range(Topic::Rated, partition).await.map(|(_, end)| end)
}

/// Tells a stage the records of its lane that it wants again; those that the log has forgotten are left out.
pub(super) async fn tell_again<S: Stage>(
    kind: &Kind<S>,
    bus: &dyn Bus,
    partition: u32,
    stage: &mut S,
) -> Result<(), RoundError> {
    let wanted = stage.wants_again();
    if wanted.is_empty() {
        return Ok(());
    }
    let told = read_again(bus, (kind.topic, partition), &wanted).await?;
    stage
        .hear_again(told)
        .map_err(|why| anyhow::anyhow!("{} cannot go on in lane {partition}: {why}", kind.name).into())
}

/// The records of a lane at the offsets `wanted`, which rise; those that the log has forgotten are left out.
///
/// # Errors
///
/// What the log says.
pub async fn read_again(
    bus: &dyn Bus,
    (topic, partition): (Topic, u32),
    wanted: &[u64],
) -> Result<Vec<(u64, Body)>, BusError> {
    let mut records = Vec::with_capacity(wanted.len());
    let (mut left, mut reached) = (wanted, None);
    while let (Some(&first), Some(&last)) = (left.first(), left.last()) {
        // To read on is cheaper than to begin elsewhere, which on Kafka takes a place of its own.
        let from = reached.filter(|reached| first - reached <= SKIPPED_MAX).unwrap_or(first);
        let n_records = usize::try_from(last - from + 1).unwrap_or(READ_MAX).min(READ_MAX);
        let next = match bus.read(topic, partition, from, n_records).await {
            // Nothing comes of an empty batch, however often it is read.
            Ok(batch) if batch.next <= from => break,
            Ok(batch) => {
                for stored in batch.records {
                    if left.binary_search(&stored.offset).is_ok()
                        && let Ok(record) = decode(&stored.payload)
                    {
                        records.push((stored.offset, record.body));
                    }
                }
                batch.next
            }
            Err(BusError::Expired { oldest, .. }) => oldest,
            Err(why) => return Err(why),
        };
        reached = Some(next);
        left = &left[left.partition_point(|offset| *offset < next)..];
    }
    Ok(records)
}
