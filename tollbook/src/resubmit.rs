//! Sends suspended records in again.
//!
//! In: records that somebody asked for, numbered by the database in the order in which they are to go. Out: the same records
//! on the topics and in the lanes that they came from, with the number as their origin; so one appended twice, by a crash
//! before it was marked, is dropped as a replay. The origin also names the stage that put the record aside: the others that
//! read the topic have had it, and pass over it.

use bus::{BusError, Entry};
use model::{Body, Origin, Record};
use store::{IMPORT, SuspendedRecord};
use tracing::warn;

use crate::foreign_records;
use crate::roles::STAGES;
pub(crate) use crate::runner::addressee;
use crate::runner::{LAKE, Rooms, addressed_to, decode, topic_of};

/// Records sent in one append; a round of a stage takes as many.
const SENT_MAX: u32 = 256;

/// What the mediator says of a call on grounds of what it knows, this record included: again, it would tell it nothing.
const LEARNED: [&str; 3] = ["MED001", "MED003", "MED004"];

/// Why sending a record in again would be no use, in words that go on from its name.
pub(crate) fn refusal(record: &SuspendedRecord) -> Option<&'static str> {
    if matches!(decode(&record.raw), Ok(Record { body: Body::Tick(_), .. })) {
        return Some("was found by the clock, so there is no record to send in again; discard it instead");
    }
    if record.stage == "mediator"
        && record.fixed_at.is_none()
        && LEARNED.contains(&record.suspended.code.as_str())
    {
        return Some("tells the mediator nothing that it does not know already; fix it first, or discard it");
    }
    None
}

/// Sends what was asked for. Returns how many records that were.
pub(crate) async fn send_waiting(rooms: &Rooms) -> anyhow::Result<usize> {
    let mut n_sent = 0;
    loop {
        let records = rooms.store.suspense_requested(SENT_MAX).await?;
        if records.is_empty() {
            return Ok(n_sent);
        }
        // Before anything is sent: a stage must not meet it with the data that failed it.
        rooms.directory.reload_if_newer().await?;
        let mut ids = Vec::with_capacity(records.len());
        let mut entries = Vec::with_capacity(records.len());
        for record in records {
            if record.stage == IMPORT {
                n_sent += take_in_again(rooms, &record).await?;
                continue;
            }
            match entry_of(&record, rooms.bus.partitions()) {
                Ok(entry) => {
                    ids.push(record.id);
                    entries.push(entry);
                }
                Err(why) => release(rooms, record.id, &why).await?,
            }
        }
        if let Err(why) = append(rooms, &entries).await {
            if why.retry_helps() || !matches!(why, BusError::TooLarge { .. }) {
                return Err(why.into());
            }
            // Nothing of it is in the log. One by one, in their order, so that only the one at fault stays behind.
            let mut sent = Vec::with_capacity(ids.len());
            for (id, entry) in ids.into_iter().zip(entries) {
                match append(rooms, &[entry]).await {
                    Ok(()) => sent.push(id),
                    Err(why @ BusError::TooLarge { .. }) => release(rooms, id, &why.to_string()).await?,
                    Err(why) => return Err(why.into()),
                }
            }
            ids = sent;
        }
        rooms.store.suspense_sent(&ids, rooms.clock.utc()).await?;
        n_sent += ids.len();
    }
}

/// A record of another system goes the way it came, not over the bus. Returns 1 if it was taken in now.
async fn take_in_again(rooms: &Rooms, record: &SuspendedRecord) -> anyhow::Result<usize> {
    let now = rooms.clock.utc();
    match foreign_records::again(record, &rooms.directory.current(), now) {
        Ok((source, imported)) => {
            let is_new =
                rooms.store.import_suspended(record.id, &source, imported, "resubmission", now).await?;
            if !is_new {
                warn!(id = record.id, "a suspended record was taken in before by another import");
            }
            Ok(1)
        }
        Err(why) => {
            release(rooms, record.id, &why).await?;
            Ok(0)
        }
    }
}

async fn append(rooms: &Rooms, entries: &[Entry]) -> Result<(), BusError> {
    if entries.is_empty() {
        return Ok(());
    }
    rooms.bus.append(entries.to_vec()).await.map(|_offsets| ())
}

async fn release(rooms: &Rooms, id: i64, why: &str) -> anyhow::Result<()> {
    warn!(id, why, "a suspended record cannot be sent in again; it stays");
    rooms.store.suspense_release(id, &format!("cannot be sent in again: {why}")).await?;
    Ok(())
}

/// The record as it goes in again, or why it cannot.
pub(crate) fn entry_of(record: &SuspendedRecord, n_partitions: u32) -> Result<Entry, String> {
    let stage = record.stage.as_str();
    // An export stream's stage is there as long as the stream is configured; sent to one that is not, nothing happens.
    let is_known =
        stage == LAKE || stage.starts_with("exports/") || STAGES.iter().any(|(name, _)| *name == stage);
    if !is_known || topic_of(stage) != record.topic {
        return Err(format!("no stage called {stage} reads {}", record.topic));
    }
    if record.partition >= n_partitions {
        return Err(format!("{} has no partition {}", record.topic, record.partition));
    }
    let seq = record.resubmit_seq.and_then(|seq| u64::try_from(seq).ok());
    let offset = seq.ok_or("it was not asked for")?;
    let body = decode(&record.raw)?.body;
    let origin = Origin { stage: addressed_to(stage).into(), partition: 0, offset, index: 0 };
    let payload = model::wire::encode(&Record { origin: Some(origin), body });
    Ok(Entry { topic: record.topic, partition: record.partition, payload })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use model::{AccountId, Retry, Suspended, Topic};

    use super::*;
    use crate::runner::{is_for, is_resent};

    fn record(stage: &str, code: &str, topic: Topic, body: Body) -> SuspendedRecord {
        SuspendedRecord {
            id: 1,
            stage: stage.to_owned(),
            suspended: Suspended {
                code: code.to_owned(),
                message: "as it was".to_owned(),
                retry: Retry::AfterRepair,
                account: AccountId::NOBODY,
                cdr: None,
            },
            topic,
            partition: 0,
            offset: 5,
            raw: model::wire::encode(&Record { origin: None, body }),
            created_at: DateTime::UNIX_EPOCH,
            resolved_at: None,
            resubmit_seq: Some(9),
            discard_reason: None,
            fixed_at: None,
        }
    }

    fn tick() -> Body {
        Body::Tick(DateTime::UNIX_EPOCH)
    }

    #[test]
    fn record_sent_in_again_is_for_its_stage_and_any_other_for_everybody() {
        let entry = entry_of(&record(LAKE, "LAK001", Topic::Rated, tick()), 1).unwrap();
        let origin = decode(&entry.payload).unwrap().origin.unwrap();
        assert_eq!((origin.stage.as_str(), origin.offset), ("suspense:lake", 9));
        assert!(is_for(LAKE, Some(&origin)) && !is_for("fraud", Some(&origin)) && is_resent(Some(&origin)));

        let ordinary = Origin { stage: LAKE.into(), ..origin };
        assert!(is_for("fraud", Some(&ordinary)) && is_for("fraud", None) && !is_resent(Some(&ordinary)));
    }

    #[test]
    fn record_that_nobody_would_take_is_not_sent() {
        for (stage, topic) in [("nobody", Topic::Rated), ("rating", Topic::Rated)] {
            let why = entry_of(&record(stage, "RAT001", topic, tick()), 1).unwrap_err();
            assert!(why.contains(stage), "{why}");
        }
        assert!(entry_of(&record("rating", "RAT001", Topic::Cdrs, tick()), 0).is_err());
    }

    #[test]
    fn what_the_clock_found_and_what_the_mediator_knows_is_to_be_discarded() {
        let control = Body::Control(model::Control::ConfigChanged { revision: 1 });
        let of = |stage, code, body| refusal(&record(stage, code, Topic::Calls, body)).is_some();
        assert!(of("mediator", "MED006", tick()));
        assert!(of("mediator", "MED003", control.clone()));
        assert!(!of("mediator", "MED006", control.clone()));
        // One that somebody changed says something else now.
        let fixed_at = Some(DateTime::UNIX_EPOCH);
        let fixed =
            SuspendedRecord { fixed_at, ..record("mediator", "MED003", Topic::Calls, control.clone()) };
        assert_eq!(refusal(&fixed), None);
        assert!(!of("rating", "RAT001", control));
    }
}
