//! Puts changes of provisioning data and locks on the log, where the mediator makes EDRs of them.
//!
//! In: changes that the database kept in their own transaction, numbered in their order, from whichever process made them. Out: the
//! same as events on the topic of calls, each with its number as origin; so one appended twice, by a crash before it was
//! forgotten, is dropped as a replay.

use bus::Entry;
use model::{Origin, Record, Topic};
use store::PROVISIONING;

use crate::runner::{Rooms, decode, entry};

/// Changes sent in one append; a round of a stage takes as many.
const SENT_MAX: u32 = 256;

/// Sends what waits. Returns how many changes that were.
pub(crate) async fn send_waiting(rooms: &Rooms) -> anyhow::Result<u64> {
    rooms.store.tell_lapsed_locks(rooms.clock.utc()).await?;
    let mut n_sent = 0;
    loop {
        let waiting = rooms.store.provisioning_waiting(SENT_MAX).await?;
        let Some(last) = waiting.last().map(|change| change.seq) else { return Ok(n_sent) };
        let mut entries: Vec<Entry> = Vec::with_capacity(waiting.len());
        for change in waiting {
            let seq = change.seq;
            let record = decode(&change.record).map_err(|why| {
                anyhow::anyhow!(
                    "change {seq} of provisioning data cannot be read: {why}; run the program that made it"
                )
            })?;
            let origin = Origin { stage: PROVISIONING.into(), partition: 0, offset: seq, index: 0 };
            let record = Record { origin: Some(origin), ..record };
            entries.push(entry(Topic::Calls, change.account, &record, &*rooms.bus));
        }
        n_sent += entries.len() as u64;
        rooms.bus.append(entries).await?;
        rooms.store.provisioning_sent(last).await?;
    }
}
