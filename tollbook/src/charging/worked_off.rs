//! Which calls rating has priced: their record is on `[rated]`, and all that was posted for them is known to the charger.
//!
//! A call that cost nothing has no posting, and rating may be any time behind: only its record says that it was counted. Read is that of lanes
//! some of whose calls are awaited.

use std::collections::{HashMap, HashSet};

use model::{AccountId, Body, CdrId, Topic, partition_of};
use rating::Charger;

use super::Charging;
use crate::runner::decode;

/// Rated records of one lane looked at in one go, between the questions of the switch.
const READ_MAX: usize = 1_024;

/// In how many rounds lanes in which no call is awaited are moved on once.
const IDLE_ROUNDS: u32 = 20;

/// A call whose record was seen.
struct Seen {
    call: CdrId,
    account: AccountId,
    /// Of what it was made: rating has worked it off once it has committed what follows.
    partition: u32,
    offset: u64,
    /// Where the postings of the account ended after that.
    posted_by: Option<u64>,
}

/// How far `[rated]` was read.
pub(super) struct WorkedOff {
    positions: Vec<u64>,
    /// Where the lanes ended when they were last looked at: the end of a call may have been on its way to the charger then, so a
    /// lane is moved on to where it ended a look before.
    ends: Vec<u64>,
    n_rounds: u32,
    seen: Vec<Seen>,
}

impl WorkedOff {
    /// From the end of the log on: nothing is kept back yet.
    pub(super) async fn new(charging: &Charging) -> anyhow::Result<WorkedOff> {
        let ends = ends_of_rated(charging).await?;
        Ok(WorkedOff { positions: ends.clone(), ends, n_rounds: 0, seen: Vec::new() })
    }

    /// Tells the charger of calls that were worked off. `postings` is how far it knows the postings of each lane.
    pub(super) async fn look(
        &mut self,
        charging: &Charging,
        charger: &mut Charger,
        postings: &[u64],
    ) -> anyhow::Result<()> {
        let n_lanes = charging.rooms.bus.partitions();
        let awaited: HashSet<u32> =
            charger.awaited_accounts().map(|account| partition_of(account, n_lanes)).collect();
        self.move_on(charging, &awaited).await?;
        for lane in &awaited {
            self.read(charging, charger, *lane).await?;
        }
        self.settle(charging, charger, postings).await
    }

    /// Passes over lanes in which no call is awaited.
    async fn move_on(&mut self, charging: &Charging, awaited: &HashSet<u32>) -> anyhow::Result<()> {
        self.n_rounds += 1;
        if self.n_rounds < IDLE_ROUNDS {
            return Ok(());
        }
        self.n_rounds = 0;
        let before = std::mem::replace(&mut self.ends, ends_of_rated(charging).await?);
        for (lane, (position, end)) in (0..).zip(self.positions.iter_mut().zip(before)) {
            if !awaited.contains(&lane) {
                *position = end.max(*position);
            }
        }
        Ok(())
    }

    async fn read(&mut self, charging: &Charging, charger: &Charger, lane: u32) -> anyhow::Result<()> {
        let Some(position) = self.positions.get_mut(lane as usize) else { return Ok(()) };
        let batch = charging.rooms.bus.read(Topic::Rated, lane, *position, READ_MAX).await?;
        for stored in batch.records {
            let Ok(record) = decode(&stored.payload) else { continue };
            // Of a call that is up there is a record of what it has come to so far.
            if let Body::Rated(rated) = &record.body
                && !rated.cdr.partial
                && charger.awaits(rated.cdr.id)
                && let Some(origin) = record.origin
            {
                self.seen.push(Seen {
                    call: rated.cdr.id,
                    account: rated.cdr.payer,
                    partition: origin.partition,
                    offset: origin.offset,
                    posted_by: None,
                });
            }
        }
        *position = batch.next;
        Ok(())
    }

    async fn settle(
        &mut self,
        charging: &Charging,
        charger: &mut Charger,
        postings: &[u64],
    ) -> anyhow::Result<()> {
        if self.seen.is_empty() {
            return Ok(());
        }
        let bus = &charging.rooms.bus;
        let rating = charging.consumers.iter().find(|consumer| consumer.name == "rating");
        let Some(rating) = rating else { return Ok(()) };
        let worked_off = rating.progress.borrow().positions.clone();
        if worked_off.len() != bus.partitions() as usize {
            // The lanes are not loaded.
            return Ok(());
        }
        let lane_of = |account| partition_of(account, bus.partitions());
        // A record is written before its postings are, and all of them before rating says that it has passed what they were made of.
        let mut ends = HashMap::new();
        for seen in &mut self.seen {
            let has_passed =
                worked_off.get(seen.partition as usize).is_some_and(|position| *position > seen.offset);
            if !has_passed || seen.posted_by.is_some() {
                continue;
            }
            let lane = lane_of(seen.account);
            let end = match ends.get(&lane) {
                Some(end) => *end,
                None => bus.range(Topic::Postings, lane).await?.1,
            };
            ends.insert(lane, end);
            seen.posted_by = Some(end);
        }
        self.seen.retain(|seen| {
            let known = postings.get(lane_of(seen.account) as usize);
            let is_told = seen.posted_by.zip(known).is_some_and(|(end, known)| *known >= end);
            if is_told {
                charger.rated(seen.call);
            }
            !is_told
        });
        Ok(())
    }
}

async fn ends_of_rated(charging: &Charging) -> anyhow::Result<Vec<u64>> {
    let bus = &charging.rooms.bus;
    let mut ends = Vec::new();
    for lane in 0..bus.partitions() {
        ends.push(bus.range(Topic::Rated, lane).await?.1);
    }
    Ok(ends)
}
