//! The facts of an event detail record that a file can show, by name.
//!
//! A reseller's file has the events of its own subscribers alone; of those it may see everything but who the reseller of
//! an event is, which is itself.

use model::{Edr, EdrKind};
use sha2::{Digest as _, Sha256};

use crate::Owner;
use crate::fact::{Fact, Facts, Kind, Value, count, known, of_string, word};

/// A fact of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventFact {
    /// The first 63 bits of the SHA-256 of its id: readers of the reference's files expect a number.
    Id,
    IdText,
    Type,
    Tenant,
    AccountId,
    ResellerId,
    SubscriberId,
    SubscriberUuid,
    Number,
    OldStatus,
    NewStatus,
    /// The status of events about profiles; absent of all others.
    OldProfile,
    NewProfile,
    Detail,
    Company,
    Time,
}

/// Every fact of events, by the name that descriptions use.
const NAMED: &[(&str, EventFact, Kind)] = &[
    ("id", EventFact::Id, Kind::Number),
    ("id_text", EventFact::IdText, Kind::Text),
    ("type", EventFact::Type, Kind::Text),
    ("tenant", EventFact::Tenant, Kind::Number),
    ("account_id", EventFact::AccountId, Kind::Number),
    ("reseller_id", EventFact::ResellerId, Kind::Number),
    ("subscriber_id", EventFact::SubscriberId, Kind::Number),
    ("subscriber_uuid", EventFact::SubscriberUuid, Kind::Text),
    ("number", EventFact::Number, Kind::Number),
    ("old_status", EventFact::OldStatus, Kind::Text),
    ("new_status", EventFact::NewStatus, Kind::Text),
    ("old_profile", EventFact::OldProfile, Kind::Text),
    ("new_profile", EventFact::NewProfile, Kind::Text),
    ("detail", EventFact::Detail, Kind::Text),
    ("company", EventFact::Company, Kind::Text),
    ("time", EventFact::Time, Kind::Time),
];

impl EventFact {
    pub(crate) fn named(name: &str) -> Option<(Fact, Kind)> {
        let (_, fact, kind) = NAMED.iter().find(|(known, ..)| *known == name)?;
        Some((Fact::Event(*fact), *kind))
    }

    pub(crate) fn names() -> Vec<String> {
        NAMED.iter().map(|(name, ..)| (*name).to_owned()).collect()
    }
}

/// One event as one owner may see it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventRow<'a> {
    pub(crate) edr: &'a Edr,
    /// Of the account's contact.
    pub(crate) company: &'a str,
    pub(crate) viewer: Owner,
}

impl<'a> EventRow<'a> {
    fn fact(&self, fact: EventFact) -> Value<'a> {
        let edr = self.edr;
        let is_about_profile =
            matches!(edr.kind, EdrKind::StartProfile | EdrKind::UpdateProfile | EdrKind::EndProfile);
        match fact {
            EventFact::Id => Value::Number(event_number(&edr.id)),
            EventFact::IdText => of_string(&edr.id),
            EventFact::Type => word(edr.kind.as_str()),
            EventFact::Tenant => Value::Number(edr.tenant.0),
            EventFact::AccountId => known(edr.account),
            EventFact::ResellerId => match self.viewer {
                Owner::System | Owner::Reseller(_) => known(edr.reseller),
                Owner::Carrier(_) => Value::Absent,
            },
            EventFact::SubscriberId => edr.subscriber.map_or(Value::Absent, |id| Value::Number(id.0)),
            EventFact::SubscriberUuid => of_string(&edr.uuid),
            EventFact::Number => edr.number.map_or(Value::Absent, |number| count(number.as_u64())),
            EventFact::OldStatus => of_string(&edr.old_status),
            EventFact::NewStatus => of_string(&edr.new_status),
            EventFact::OldProfile if is_about_profile => of_string(&edr.old_status),
            EventFact::NewProfile if is_about_profile => of_string(&edr.new_status),
            EventFact::OldProfile | EventFact::NewProfile => Value::Absent,
            EventFact::Detail => of_string(&edr.detail),
            EventFact::Company => of_string(self.company),
            EventFact::Time => Value::Time(edr.at.timestamp_micros()),
        }
    }
}

impl<'a> Facts<'a> for EventRow<'a> {
    fn value(&self, fact: Fact) -> Value<'a> {
        // A format is of calls or of events; its facts were looked up accordingly.
        if let Fact::Event(fact) = fact { self.fact(fact) } else { Value::Absent }
    }

    fn at_us(&self) -> i64 {
        self.edr.at.timestamp_micros()
    }
}

fn event_number(id: &str) -> i64 {
    let digest = Sha256::digest(id.as_bytes());
    let mut head = [0; 8];
    head.copy_from_slice(&digest[..8]);
    i64::try_from(u64::from_be_bytes(head) >> 1).unwrap_or(i64::MAX)
}
