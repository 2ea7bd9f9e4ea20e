//! What commits keep of a lane: its state entries, written and read back.
//!
//! In: what changed since the last commit. Out: entries, in the form of today; and back from the forms of all versions. Calls lie in two logs of
//! entries ([`StateLog`]), in their short form as long as the log has their events: then these must be heard again for the open ones, at
//! once, and for a closed one when a late event comes.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use model::{Body, CallUid, StateChange};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{Dirty, Mediator, later};
use crate::call::Call;
use crate::gist::{Gist, LOG_KEPT, unpack_gist};
use crate::held::{Change, Places};
use crate::packed::unpack_call;
use crate::state_log::{Form, NewEntry, StateLog, number_of, words};
use crate::timetable::Memory;

/// Of the state entries of the first version, and of those in JSON to this day. Later versions read all earlier ones.
const STATE_VERSION: u32 = 1;

/// Version 1 kept an open call under its own name; every other entry begins with this.
const RESERVED: char = '@';
/// And those with open calls, of version 2, with this. No call's name may begin with either.
const OPEN_PREFIX: char = '#';
const CLOCK_KEY: &str = "@clock";
const NODE_PREFIX: &str = "@node/";
/// Version 1.
const CLOSED_PREFIX: &str = "@closed/";
/// Version 2.
const DONE_PREFIX: &str = "@done/";
pub(super) const EDR_PREFIX: &str = "@edr/";

/// Whether version 1 kept an open call under `key`. A key that begins with a control character belongs to the runner.
pub(super) fn is_name_of_a_call(key: &str) -> bool {
    !key.is_empty()
        && !key.starts_with(|first: char| first == RESERVED || first == OPEN_PREFIX || first.is_control())
}

/// Whether a state entry under `key` has open calls in it: all that [`open_calls`] needs.
pub fn has_open_calls(key: &str) -> bool {
    key.starts_with(OPEN_PREFIX) || is_name_of_a_call(key)
}

/// A call whose end is still to come, as the last commit has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenCall {
    /// Which.
    pub call: CallUid,
    /// Since when it is answered; `None` while it rings.
    pub up_since: Option<DateTime<Utc>>,
    /// Its legs that began and of which there is neither a record nor anything in suspense.
    pub legs_without_record: Vec<u16>,
}

impl OpenCall {
    fn of(name: CallUid, call: &Call) -> Self {
        let waits =
            |leg: &crate::call::Leg| leg.attempt.is_some() && leg.issued.is_none() && leg.refused.is_none();
        let legs = call.legs.iter().filter(|(_, leg)| waits(leg));
        Self {
            call: name,
            up_since: call.up_since(),
            legs_without_record: legs.map(|(number, _)| number).collect(),
        }
    }

    fn of_gist(name: CallUid, gist: &Gist) -> Self {
        Self { call: name, up_since: gist.up_since, legs_without_record: gist.legs_without_record() }
    }
}

/// The open calls in state entries of the mediator, of one lane or of several; a call with legs in two lanes is there twice. Entries of
/// other kinds are passed over.
///
/// # Errors
///
/// A sentence naming the entry that cannot be read.
pub fn open_calls<'a>(
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<OpenCall>, String> {
    let mut found = Vec::new();
    // By lane, and there by age: the last word on a call counts.
    let mut logs: BTreeMap<(&str, u64), (&str, &[u8])> = BTreeMap::new();
    for (key, value) in entries {
        if is_name_of_a_call(key) {
            found.push(OpenCall::of(CallUid::new(key), &read(key, value)?));
        } else if key.starts_with(OPEN_PREFIX) {
            logs.insert(number_of(key).ok_or_else(|| unknown(key))?, (key, value));
        }
    }
    let mut calls: BTreeMap<(&str, CallUid), Form<'_>> = BTreeMap::new();
    for ((lane, _), (key, value)) in logs {
        for word in words(key, value)? {
            let (name, is, _) = word?;
            match is {
                Some(form) => calls.insert((lane, name), form),
                None => calls.remove(&(lane, name)),
            };
        }
    }
    for ((lane, name), form) in calls {
        let open = match form {
            Form::Whole(bytes) => unpack_call(bytes).map(|call| OpenCall::of(name.clone(), &call)),
            Form::Gist(bytes) => unpack_gist(bytes).map(|gist| OpenCall::of_gist(name.clone(), &gist)),
        };
        let damaged = || format!("call {name} in the entries {lane:?} cannot be read: it is damaged");
        found.push(open.ok_or_else(damaged)?);
    }
    Ok(found)
}

/// A call that is kept in its short form, and needed whole.
#[derive(Debug)]
pub(super) struct Awaited {
    pub(super) name: CallUid,
    pub(super) gist: Gist,
    /// Of an open one, where the last commit has it.
    pub(super) places: Option<Places>,
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    v: u32,
    is: T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

impl Mediator {
    /// The state entries changed since the last call.
    pub(super) fn changes(&mut self) -> Vec<StateChange> {
        let mut changes: BTreeMap<String, Option<Vec<u8>>> =
            std::mem::take(&mut self.removed).into_iter().map(|key| (key, None)).collect();
        if std::mem::take(&mut self.is_clock_dirty) {
            changes.insert(CLOCK_KEY.to_owned(), self.clock.as_ref().map(write));
        }
        if let Some(partition) = self.partition {
            self.take_changed_calls(partition, &mut changes);
        }
        for dirty in std::mem::take(&mut self.dirty) {
            match dirty {
                Dirty::Node(node) => {
                    let value = self.boots.get(&node).map(write);
                    changes.insert(format!("{NODE_PREFIX}{node}"), value);
                }
                Dirty::Edr(id) => {
                    let value = self.edrs.get(&id).map(write);
                    changes.insert(format!("{EDR_PREFIX}{id}"), value);
                }
            }
        }
        changes.into_iter().map(|(key, value)| StateChange { key, value }).collect()
    }

    /// Offsets of the events of all calls that are awaited.
    pub(super) fn awaited_offsets(&self) -> Vec<u64> {
        let mut wanted: Vec<u64> =
            self.awaited.iter().flat_map(|awaited| awaited.gist.sources.offsets.iter().copied()).collect();
        wanted.sort_unstable();
        wanted
    }

    /// Knows the awaited calls whole again.
    pub(super) fn hear(&mut self, records: Vec<(u64, Body)>) -> Result<(), String> {
        let mut records: HashMap<u64, Body> = records.into_iter().collect();
        for awaited in std::mem::take(&mut self.awaited) {
            let call = retold(awaited.gist.clone(), &mut records);
            self.know_again(awaited, call)?;
        }
        Ok(())
    }

    /// Takes in all entries of the last commit.
    pub(super) fn restore_all(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        let is_of_a_log = |key: &str| key.starts_with(OPEN_PREFIX) || key.starts_with(DONE_PREFIX);
        let (logs, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(key, _)| is_of_a_log(key));
        for (key, value) in others {
            self.restore_entry(&key, &value)?;
        }
        // Those of version 1 are written in the form of today by the next commit.
        let of_version_1: HashSet<CallUid> = self.calls.names().into_iter().collect();
        self.restore_logs(logs)?;
        let mut names = self.calls.names();
        names.sort();
        for name in names {
            if let Some(call) = self.calls.take_open(&name) {
                let is_old = of_version_1.contains(&name);
                self.put_back(&name, call, None, is_old);
            }
        }
        for (id, until) in &self.edrs {
            self.timetable.forget.insert((*until, Memory::Edr(id.clone())));
        }
        // Look at all of it once.
        self.timetable.next_due = DateTime::<Utc>::MIN_UTC;
        Ok(())
    }

    /// What changed of the calls, as entries of their logs.
    fn take_changed_calls(&mut self, partition: u32, changes: &mut BTreeMap<String, Option<Vec<u8>>>) {
        let prefixes = [format!("{OPEN_PREFIX}{partition:05}/"), format!("{DONE_PREFIX}{partition:05}/")];
        let dirty = self.calls.take_dirty();
        let mut writing = Writing {
            open: self.open_log.begin(dirty.len()),
            done: self.done_log.begin(dirty.len()),
            open_log: &mut self.open_log,
            done_log: &mut self.done_log,
        };
        for (name, places) in self.calls.take_gone() {
            writing.remove(&name, places);
        }
        for name in dirty {
            if let Some(change) = self.calls.change_of(&name) {
                writing.keep(&name, change);
            }
        }
        for n_dropped in 0.. {
            let Some((entry, key, names)) = writing.open_log.drop_oldest(&prefixes[0], n_dropped) else {
                break;
            };
            changes.insert(key, None);
            for name in names {
                let counts = |places: &Places| places.open.is_some_and(|stored| stored.entry() == entry);
                if let Some(change) = self.calls.again(&name, counts) {
                    writing.keep(&name, change);
                }
            }
        }
        for n_dropped in 0.. {
            let Some((entry, key, names)) = writing.done_log.drop_oldest(&prefixes[1], n_dropped) else {
                break;
            };
            changes.insert(key, None);
            for name in names {
                let counts = |places: &Places| places.done.is_some_and(|stored| stored.entry() == entry);
                if let Some(change) = self.calls.again(&name, counts) {
                    writing.keep(&name, change);
                }
            }
        }
        let Writing { open, done, .. } = writing;
        let new = [self.open_log.end(&prefixes[0], open), self.done_log.end(&prefixes[1], done)];
        changes.extend(new.into_iter().flatten().map(|change| (change.key, change.value)));
    }

    /// Takes in an entry of version 1, or one that is in JSON to this day.
    fn restore_entry(&mut self, key: &str, value: &[u8]) -> Result<(), String> {
        if key == CLOCK_KEY {
            self.clock = Some(read(key, value)?);
        } else if let Some(node) = key.strip_prefix(NODE_PREFIX) {
            self.boots.insert(node.into(), read(key, value)?);
        } else if let Some(id) = key.strip_prefix(EDR_PREFIX) {
            self.edrs.insert(id.to_owned(), read(key, value)?);
        } else if let Some(uid) = key.strip_prefix(CLOSED_PREFIX) {
            self.calls.restore(&CallUid::new(uid), read(key, value)?, Places::default());
            self.removed.insert(key.to_owned());
        } else if is_name_of_a_call(key) {
            self.calls.restore(&CallUid::new(key), read(key, value)?, Places::default());
            self.removed.insert(key.to_owned());
        } else {
            return Err(unknown(key));
        }
        Ok(())
    }

    /// Takes in the entries of the logs of calls. Open ones in their short form are awaited.
    fn restore_logs(&mut self, mut entries: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        entries.sort();
        // The last word of each log: which of the two counts, the places tell in the end.
        let mut calls: BTreeMap<CallUid, (Places, [Option<Form<'_>>; 2])> = BTreeMap::new();
        for (key, value) in &entries {
            let (_, number) = number_of(key).ok_or_else(|| unknown(key))?;
            let is_open = key.starts_with(OPEN_PREFIX);
            let log = if is_open { &mut self.open_log } else { &mut self.done_log };
            log.restore((key, number, value), |name, stored, is| {
                let (places, forms) = calls.entry(name).or_default();
                let place = if is_open { &mut places.open } else { &mut places.done };
                if is.is_some() {
                    forms[usize::from(is_open)] = is;
                    Ok(place.replace(stored))
                } else {
                    Ok(place.take())
                }
            })?;
        }
        for (name, (places, forms)) in calls {
            if places == Places::default() {
                continue;
            }
            let is_restored = match forms[usize::from(places.open.is_some())] {
                Some(Form::Whole(bytes)) => {
                    unpack_call(bytes).map(|call| self.calls.restore(&name, call, places)).is_some()
                }
                Some(Form::Gist(bytes)) => {
                    unpack_gist(bytes).map(|gist| self.restore_gist(&name, gist, bytes, places)).is_some()
                }
                None => false,
            };
            if !is_restored {
                return Err(format!("the saved state of call {name} cannot be read: it is damaged"));
            }
        }
        Ok(())
    }

    fn restore_gist(&mut self, name: &CallUid, gist: Gist, bytes: &[u8], places: Places) {
        let until = gist.closed_at.map(|closed_at| self.end_of_memory(closed_at, gist.is_unfinished()));
        // A closed one too, if it is to be remembered for longer now than when it was written: then it must be kept whole.
        let Some(until) = until.filter(|until| *until <= later(gist.sources.heard_at, LOG_KEPT)) else {
            self.awaited.push(Awaited { name: name.clone(), gist, places: Some(places) });
            return;
        };
        self.calls.restore_asleep(name, (&gist, bytes), until, places);
        self.timetable.insert_forget(until, Memory::Call(name.clone()));
    }

    /// A call that is known whole again; without its events the closed one is forgotten.
    fn know_again(&mut self, awaited: Awaited, call: Option<Call>) -> Result<(), String> {
        let Awaited { name, gist, places } = awaited;
        match (call, places) {
            (Some(call), Some(places)) => {
                self.calls.restore(&name, call, places);
                if let Some(call) = self.calls.take_open(&name) {
                    self.put_back(&name, call, None, false);
                }
            }
            (Some(call), None) => self.calls.wake(&name, call),
            (None, Some(places)) if gist.closed_at.is_some() => self.calls.lose(&name, places),
            (None, Some(_)) => {
                return Err(format!(
                    "call {name} is open, and the event log does not have its events any more (offsets {:?}): restore log and \
                     database from the same backup",
                    gist.sources.offsets
                ));
            }
            (None, None) => {
                let until = self.end_of_memory(gist.closed_at.unwrap_or_default(), gist.is_unfinished());
                self.timetable.forget.remove(&(until, Memory::Call(name.clone())));
                self.calls.forget(&name);
            }
        }
        Ok(())
    }
}

/// A call as its events tell it, and what was made of it; `None` if some are missing.
fn retold(gist: Gist, records: &mut HashMap<u64, Body>) -> Option<Call> {
    let mut call: Option<Call> = None;
    for offset in &gist.sources.offsets {
        let Some(Body::Call(event)) = records.remove(offset) else { return None };
        call.get_or_insert_with(|| Call::of(&event)).learn(*event);
    }
    let mut call = call?;
    gist.complete(&mut call);
    Some(call)
}

/// The two entries of a commit.
struct Writing<'a> {
    open_log: &'a mut StateLog,
    done_log: &'a mut StateLog,
    open: NewEntry,
    done: NewEntry,
}

impl Writing<'_> {
    fn keep(&mut self, name: &CallUid, change: Change<'_>) {
        match change {
            Change::Open(packed, places) => {
                places.open = Some(self.open_log.keep(&mut self.open, name, packed, places.open));
                if let Some(before) = places.done.take() {
                    self.done_log.remove(&mut self.done, name, before);
                }
            }
            Change::Done(packed, places) => {
                places.done = Some(self.done_log.keep(&mut self.done, name, packed, places.done));
                if let Some(before) = places.open.take() {
                    self.open_log.remove(&mut self.open, name, before);
                }
            }
        }
    }

    fn remove(&mut self, name: &CallUid, places: Places) {
        if let Some(before) = places.open {
            self.open_log.remove(&mut self.open, name, before);
        }
        if let Some(before) = places.done {
            self.done_log.remove(&mut self.done, name, before);
        }
    }
}

fn write<T: Serialize>(is: &T) -> Vec<u8> {
    // Maps with numbers or text as keys and plain structs: JSON has a form for all of them.
    serde_json::to_vec(&Versioned { v: STATE_VERSION, is }).expect("state entries are plain data")
}

fn read<T: DeserializeOwned>(key: &str, value: &[u8]) -> Result<T, String> {
    let unreadable = |why: serde_json::Error| format!("entry {key:?} cannot be read: {why}");
    let VersionOnly { v } = serde_json::from_slice(value).map_err(unreadable)?;
    if v != STATE_VERSION {
        return Err(format!(
            "entry {key:?} has version {v}, this program reads up to {STATE_VERSION}: run the version that wrote it"
        ));
    }
    serde_json::from_slice(value).map(|Versioned { is, .. }| is).map_err(unreadable)
}

fn unknown(key: &str) -> String {
    format!("entry {key:?} is of no kind this version knows: run the version that wrote it")
}
