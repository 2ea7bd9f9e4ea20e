//! One record on its way through a stage: read, sorted into what goes to the bus and what into the commit, or put aside.

use bus::{Bus, Entry};
use model::{
    AccountId, Body, CallEvent, CdrId, Effect, Effects, EventBody, Origin, Record, Retry, Suspended, Topic,
    partition_of,
};
use store::StoreEffect;
use tracing::warn;

use crate::clock::Clock;

/// A record of the bus, or why it cannot be read. Bytes that make the decoder fail are unreadable like others.
pub fn decode(payload: &[u8]) -> Result<Record, String> {
    match std::panic::catch_unwind(|| model::wire::decode(payload)) {
        Ok(decoded) => decoded.map_err(|why| why.to_string()),
        Err(_panic) => Err("the program failed on it; please report it".to_owned()),
    }
}

/// What is wrong with a record that is put aside.
#[derive(Debug, Clone)]
pub(super) enum Poison {
    /// The stage panicked on it.
    Panicked,
    /// Bus or store refuse what came of it, in these words.
    Refused(String),
}

/// Where the record at hand lies.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) kind_name: &'static str,
    pub(super) topic: Topic,
    pub(super) partition: u32,
    pub(super) offset: u64,
}

impl Place {
    pub(super) fn suspend(self, suspended: Suspended, raw: Vec<u8>, clock: &Clock) -> StoreEffect {
        warn!(
            stage = self.kind_name,
            partition = self.partition,
            offset = self.offset,
            code = suspended.code,
            message = suspended.message,
            "record suspended"
        );
        StoreEffect::Suspend {
            suspended,
            topic: self.topic,
            partition: self.partition,
            offset: self.offset,
            raw,
            at: clock.utc(),
        }
    }

    /// Appends go to the bus with their origin, the rest into the commit.
    pub(super) fn sort_out(
        self,
        effects: Effects,
        raw: &[u8],
        (bus, clock): (&dyn Bus, &Clock),
        entries: &mut Vec<Entry>,
        kept: &mut Vec<StoreEffect>,
    ) {
        let mut index = 0;
        for effect in effects.0 {
            match effect {
                Effect::Append { topic, key, body } => {
                    let origin = Origin {
                        stage: self.kind_name.into(),
                        partition: self.partition,
                        offset: self.offset,
                        index,
                    };
                    index += 1;
                    entries.push(entry(topic, key, &Record { origin: Some(origin), body: *body }, bus));
                }
                Effect::Post(posting) => kept.push(StoreEffect::Post(*posting)),
                Effect::Alert(alert) => kept.push(StoreEffect::Alert(alert)),
                Effect::Lock(lock) => kept.push(StoreEffect::Lock(*lock)),
                Effect::Profiles(switch) => kept.push(StoreEffect::Profiles(*switch)),
                Effect::Bar(barring) => kept.push(StoreEffect::Bar(*barring)),
                Effect::Stopped(stopped) => kept.push(StoreEffect::Stopped(stopped)),
                Effect::Edr(edr) => kept.push(StoreEffect::Edr(edr)),
                Effect::Suspend(suspended) => kept.push(self.suspend(*suspended, raw.to_vec(), clock)),
                // Counted by the runner; there is nothing to do for it. And it takes up what asks again before it comes here.
                Effect::Repeated | Effect::AskAgain(_) => {}
                Effect::Export { owner, rated, is_left_out } => kept.push(StoreEffect::Export {
                    owner,
                    is_left_out,
                    cdr: rated.cdr.id,
                    revision: rated.cdr.revision,
                    payload: model::wire::encode_rated(&rated),
                }),
            }
        }
    }
}

/// A record ready for the lane of `key`.
pub fn entry(topic: Topic, key: AccountId, record: &Record, bus: &dyn Bus) -> Entry {
    Entry { topic, partition: partition_of(key, bus.partitions()), payload: model::wire::encode(record) }
}

/// In the lane of the paying party; the start of a switch is news for every lane, each may hold open calls of its last life.
pub fn entries_of(bus: &dyn Bus, event: CallEvent) -> Vec<Entry> {
    let (payer, is_start) = (event.payer, matches!(event.body, EventBody::NodeStarted(_)));
    let record = Record { origin: None, body: Body::Call(Box::new(event)) };
    if is_start {
        to_every_partition(bus, Topic::Calls, &record)
    } else {
        vec![entry(Topic::Calls, payer, &record, bus)]
    }
}

/// The same record for every partition of `topic`.
pub fn to_every_partition(bus: &dyn Bus, topic: Topic, record: &Record) -> Vec<Entry> {
    (0..bus.partitions())
        .map(|partition| Entry { topic, partition, payload: model::wire::encode(record) })
        .collect()
}

pub(super) fn unreadable_record(why: &str) -> Suspended {
    Suspended {
        code: "RUN001".to_owned(),
        message: format!("the record cannot be read: {why}"),
        retry: Retry::AfterUpgrade,
        account: AccountId::NOBODY,
        cdr: None,
    }
}

pub(super) fn poisoned_record(body: &Body, why: &Poison) -> Suspended {
    let (account, cdr) = match body {
        Body::Call(event) => (event.payer, event.call.as_ref().map(|call| CdrId::derive(call, event.leg))),
        Body::Cdr(cdr) => (cdr.payer, Some(cdr.id)),
        Body::Rated(rated) => (rated.cdr.payer, Some(rated.cdr.id)),
        Body::Edr(edr) => (edr.account, None),
        Body::Posting(posting) => (posting.account, posting.cdr),
        Body::Accrual(accrual) => (accrual.account, Some(accrual.cdr)),
        Body::Sighting(sighting) => {
            let cdr = sighting.call.as_ref().map(|call| CdrId::derive(call, sighting.leg));
            (sighting.payer, cdr)
        }
        Body::Tick(_) | Body::Control(_) => (AccountId::NOBODY, None),
    };
    let (code, message, retry) = match why {
        Poison::Panicked => (
            "RUN002",
            "the program failed on this record; please report it with the log".to_owned(),
            Retry::AfterUpgrade,
        ),
        Poison::Refused(why) => {
            ("RUN003", format!("what came of this record cannot be kept: {why}"), Retry::AfterRepair)
        }
    };
    Suspended { code: code.to_owned(), message, retry, account, cdr }
}
