//! What is kept of a call whose events the log still has: where they lie, and what was made of them.
//!
//! Nearly every call is over within minutes, and its events stay in the log for days. So state and memory hold some thirty bytes of it instead of all
//! its facts again; who needs those reads the events once more. A call that lasts, or is remembered for longer than [`LOG_KEPT`], is kept
//! whole.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::call::{Call, Issued};
use crate::packed::{Packed, Unpacker, pack_from, unpack_from};

/// For so long after it was worked off, the log must keep an event: a call's events are read again as long as that, and not longer. Whoever lets the
/// log forget adds this.
pub const LOG_KEPT: Duration = Duration::from_secs(6 * 3600);

/// Events of a call of which there are more are not read one by one again: it is kept whole.
const OFFSETS_MAX: usize = 64;

/// Where the events of a call lie in its lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sources {
    /// Log time of the first.
    pub(crate) heard_at: DateTime<Utc>,
    /// Of those that said something new, rising.
    pub(crate) offsets: Vec<u64>,
}

impl Sources {
    /// Of a call whose first event comes at `now`.
    pub(crate) fn begin(now: DateTime<Utc>) -> Self {
        Self { heard_at: now, offsets: Vec::with_capacity(8) }
    }

    /// Adds an event; `false` if they are too many now, or not in order.
    pub(crate) fn add(&mut self, offset: u64) -> bool {
        let is_next = self.offsets.last().is_none_or(|last| *last < offset);
        if is_next {
            self.offsets.push(offset);
        }
        is_next && self.offsets.len() <= OFFSETS_MAX
    }
}

/// What was made of one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LegGist {
    number: u16,
    /// Its attempt has been seen.
    has_attempt: bool,
    issued: Option<Issued>,
    refused: Option<String>,
}

/// A call without its facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gist {
    pub(crate) sources: Sources,
    quiet_since: DateTime<Utc>,
    pub(crate) closed_at: Option<DateTime<Utc>>,
    interim_at: Option<DateTime<Utc>>,
    /// When it was answered, if it is up.
    pub(crate) up_since: Option<DateTime<Utc>>,
    legs: Vec<LegGist>,
}

/// The short form of `call`, behind what is in `bytes`.
pub(crate) fn pack_gist(call: &Call, sources: &Sources, bytes: &mut Vec<u8>) {
    pack_from(sources.heard_at, bytes, |to| {
        (sources.offsets.len() as u64).pack(to);
        let mut before = 0;
        for offset in &sources.offsets {
            offset.wrapping_sub(before).pack(to);
            before = *offset;
        }
        call.quiet_since.pack(to);
        call.closed_at.pack(to);
        call.interim_at.pack(to);
        call.up_since().pack(to);
        (call.legs.len() as u64).pack(to);
        for (number, leg) in call.legs.iter() {
            number.pack(to);
            leg.attempt.is_some().pack(to);
            leg.issued.pack(to);
            leg.refused.pack(to);
        }
    });
}

/// Back from [`pack_gist`].
pub(crate) fn unpack_gist(bytes: &[u8]) -> Option<Gist> {
    unpack_from(bytes, |heard_at, from| {
        let count = u64::unpack(from)?;
        let mut offsets = Vec::new();
        let mut before = 0_u64;
        for _ in 0..count {
            before = before.wrapping_add(u64::unpack(from)?);
            offsets.push(before);
        }
        Some(Gist {
            sources: Sources { heard_at, offsets },
            quiet_since: DateTime::unpack(from)?,
            closed_at: Option::unpack(from)?,
            interim_at: Option::unpack(from)?,
            up_since: Option::unpack(from)?,
            legs: legs(from)?,
        })
    })
}

fn legs(from: &mut Unpacker<'_>) -> Option<Vec<LegGist>> {
    let count = u64::unpack(from)?;
    (0..count)
        .map(|_| {
            Some(LegGist {
                number: u16::unpack(from)?,
                has_attempt: bool::unpack(from)?,
                issued: Option::unpack(from)?,
                refused: Option::unpack(from)?,
            })
        })
        .collect()
}

impl Gist {
    /// As [`Call::is_unfinished`].
    pub(crate) fn is_unfinished(&self) -> bool {
        self.legs.iter().any(|leg| {
            leg.refused.is_some() || leg.issued.as_ref().is_none_or(|issued| issued.partial.is_some())
        })
    }

    /// Legs that began and of which there is neither a record nor anything in suspense.
    pub(crate) fn legs_without_record(&self) -> Vec<u16> {
        let waits = |leg: &&LegGist| leg.has_attempt && leg.issued.is_none() && leg.refused.is_none();
        self.legs.iter().filter(waits).map(|leg| leg.number).collect()
    }

    /// Adds to a call that has learned its events again what was made of them.
    pub(crate) fn complete(self, call: &mut Call) {
        call.quiet_since = self.quiet_since;
        call.closed_at = self.closed_at;
        call.interim_at = self.interim_at;
        for kept in self.legs {
            if let Some(leg) = call.legs.get_mut(kept.number) {
                (leg.issued, leg.refused) = (kept.issued, kept.refused);
            }
        }
        call.sources = Some(self.sources);
    }
}

#[cfg(test)]
mod tests {
    use model::Cause;

    use super::*;

    fn at(us: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_790_000_000_000_000 + us).unwrap()
    }

    fn call() -> (Call, Sources) {
        let body = model::EventBody::Progress(model::Progress { code: 180, with_sdp: false });
        let event = model::CallEvent {
            node: "sw1".into(),
            boot: 1,
            seq: 4,
            at: at(3),
            config_revision: 1,
            tenant: model::TenantId(1),
            payer: model::AccountId(11),
            call: Some(model::CallUid::new("a")),
            leg: 2,
            body,
        };
        let mut call = Call::of(&event);
        call.learn(event);
        call.quiet_since = at(50);
        call.closed_at = Some(at(60));
        if let Some(leg) = call.legs.get_mut(2) {
            leg.issued = Some(Issued { revision: 3, partial: Some(Cause::LostEnd), is_outdated: true });
        }
        (call, Sources { heard_at: at(0), offsets: vec![7, 1_000_000, u64::MAX] })
    }

    #[test]
    fn what_was_made_of_a_call_comes_back() {
        let (call, sources) = call();
        let mut bytes = Vec::new();
        pack_gist(&call, &sources, &mut bytes);
        let gist = unpack_gist(&bytes).unwrap();
        assert_eq!((gist.is_unfinished(), gist.closed_at, &gist.sources), (true, Some(at(60)), &sources));
        let mut again = call.clone();
        (again.quiet_since, again.closed_at) = (at(0), None);
        again.legs.get_mut(2).unwrap().issued = None;
        gist.complete(&mut again);
        assert_eq!(again, Call { sources: Some(sources), ..call });
        for length in 0..bytes.len() {
            assert_eq!(unpack_gist(&bytes[..length]), None);
        }
    }

    #[test]
    fn call_with_more_events_than_are_read_again_has_no_short_form() {
        let mut sources = Sources::begin(at(0));
        assert!((0..OFFSETS_MAX as u64).all(|offset| sources.add(offset)));
        assert!(!sources.add(1_000));
        assert!(!Sources { heard_at: at(0), offsets: vec![5] }.add(5));
    }
}
