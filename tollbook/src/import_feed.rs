//! Puts records of other systems on the bus, as rating reads them.
//!
//! In: records that `tollbook import cdrs` left in the database, numbered in their order. Out: the same on the topic of CDRs, each
//! with its number as origin; so one appended twice, by a crash before it was forgotten, is dropped as a replay.

use bus::Entry;
use model::{Origin, Record, Topic};
use store::IMPORT;

use crate::runner::{Rooms, decode, entry};

/// Records sent in one append; a round of a stage takes as many.
const SENT_MAX: u32 = 256;

/// Sends what waits. Returns how many records that were.
pub(crate) async fn send_waiting(rooms: &Rooms) -> anyhow::Result<u64> {
    let mut n_sent = 0;
    loop {
        let waiting = rooms.store.import_waiting(SENT_MAX).await?;
        let mut entries: Vec<Entry> = Vec::with_capacity(waiting.len());
        let (mut last, mut unreadable) = (None, None);
        for row in waiting {
            match decode(&row.record) {
                Ok(record) => {
                    let origin = Origin { stage: IMPORT.into(), partition: 0, offset: row.seq, index: 0 };
                    let record = Record { origin: Some(origin), ..record };
                    entries.push(entry(Topic::Cdrs, row.payer, &record, &*rooms.bus));
                    last = Some(row.seq);
                }
                Err(why) => {
                    unreadable = Some((row.seq, why));
                    break;
                }
            }
        }
        if let Some(last) = last {
            n_sent += entries.len() as u64;
            rooms.bus.append(entries).await?;
            rooms.store.import_sent(last).await?;
        }
        if let Some((seq, why)) = unreadable {
            // A later program wrote it, for this one did not: what follows must keep its order and waits with it.
            anyhow::bail!("imported record {seq} cannot be read: {why}; run the program that took it in");
        }
        if last.is_none() {
            return Ok(n_sent);
        }
    }
}
