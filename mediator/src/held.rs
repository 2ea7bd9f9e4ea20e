//! The calls of a lane by name: open ones at hand, closed ones packed away.
//!
//! A closed call is kept for a late event, which hardly ever comes: so it is kept in its short form, of some thirty bytes, as long as the log
//! has its events, or else whole, of some four hundred instead of two thousand; and unpacked if one does come.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use chrono::{DateTime, Utc};
use model::CallUid;
use rustc_hash::FxBuildHasher;

use crate::call::Call;
use crate::gist::{Gist, pack_gist, unpack_gist};
use crate::packed::{pack_call, unpack_call};
use crate::state_log::{Form, Stored};

/// What a closed call takes beside its bytes: its name, and its places in the tables. About.
const CLOSED_CALL_BYTES: usize = 320;

/// Names of calls are made by our own switch, so nobody can choose them to collide.
type ByName<T> = HashMap<CallUid, T, FxBuildHasher>;

/// A call as it is held.
#[derive(Debug)]
enum Life {
    /// Open.
    Awake(Box<Call>),
    /// Closed.
    Asleep {
        /// A [`Form`].
        packed: Box<[u8]>,
        /// When it is forgotten.
        until: DateTime<Utc>,
        /// Its end may still come and correct what was billed.
        is_unfinished: bool,
    },
    /// Closed, and unpacked for an event that is about to come.
    Woken { call: Box<Call>, until: DateTime<Utc> },
    /// Taken out to be changed.
    Away,
}

/// A call that was to be taken out.
pub(crate) enum Taken {
    /// It is not here.
    No,
    /// Here it is; of a closed one also when it would have been forgotten.
    Call(Box<Call>, Option<DateTime<Utc>>),
    /// It is closed and kept in its short form: it stays, and its events must be heard again first.
    Asks(Gist),
}

/// Where the last commit has a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Places {
    /// Among the open ones.
    pub(crate) open: Option<Stored>,
    /// Among the closed ones.
    pub(crate) done: Option<Stored>,
}

/// A call, and what the last commit has of it.
#[derive(Debug)]
struct Held {
    life: Life,
    places: Places,
    /// It has changed since.
    is_dirty: bool,
}

/// All calls of a lane.
#[derive(Debug, Default)]
pub(crate) struct HeldCalls {
    by_name: ByName<Held>,
    /// The open call that was put back last, and whether it has changed since the last commit: the events with which a call begins come one
    /// after the other. Its place in the table is empty meanwhile, or there is none yet.
    at_hand: Option<(CallUid, Box<Call>, bool)>,
    /// Bytes of closed ones, about: of those that are complete, and of the others.
    bytes_asleep: [usize; 2],
    /// Calls that have changed since the last commit, perhaps forgotten meanwhile.
    dirty: Vec<CallUid>,
    /// The call that was taken out was at hand, and has changed since the last commit.
    is_taken_changed: bool,
    /// Calls forgotten since, that the last commit has.
    gone: Vec<(CallUid, Places)>,
    /// For packing, so that it need not grow each time.
    scratch: Vec<u8>,
}

/// What a commit has to say of one call.
pub(crate) enum Change<'a> {
    /// It is open, and these are its bytes.
    Open(&'a [u8], &'a mut Places),
    /// It is closed, and these are.
    Done(&'a [u8], &'a mut Places),
}

impl HeldCalls {
    /// Bytes that closed calls take, about: the complete ones, and those whose end may still come.
    pub(crate) fn bytes_asleep(&self) -> [usize; 2] {
        self.bytes_asleep
    }

    /// An open call, to look at.
    pub(crate) fn open(&self, name: &CallUid) -> Option<&Call> {
        if let Some((_, call, _)) = self.at_hand.as_ref().filter(|(held, ..)| held == name) {
            return Some(call);
        }
        match &self.by_name.get(name)?.life {
            Life::Awake(call) => Some(call),
            Life::Asleep { .. } | Life::Woken { .. } | Life::Away => None,
        }
    }

    /// As [`HeldCalls::open`], to note when it is looked at next: what no commit keeps.
    pub(crate) fn open_mut(&mut self, name: &CallUid) -> Option<&mut Call> {
        self.put_away();
        match &mut self.by_name.get_mut(name)?.life {
            Life::Awake(call) => Some(call),
            Life::Asleep { .. } | Life::Woken { .. } | Life::Away => None,
        }
    }

    /// The open calls.
    pub(crate) fn all_open(&self) -> impl Iterator<Item = (&CallUid, &Call)> {
        let at_hand = self.at_hand.iter().map(|(name, call, _)| (name, &**call));
        let others = self.by_name.iter().filter_map(|(name, held)| match &held.life {
            Life::Awake(call) => Some((name, &**call)),
            Life::Asleep { .. } | Life::Woken { .. } | Life::Away => None,
        });
        at_hand.chain(others)
    }

    /// Takes a call out to be changed; [`HeldCalls::put`] or [`HeldCalls::put_asleep`] puts it back.
    pub(crate) fn take(&mut self, name: &CallUid) -> Taken {
        if let Some((_, call, has_changed)) = self.at_hand.take_if(|(held, ..)| held == name) {
            self.is_taken_changed = has_changed;
            return Taken::Call(call, None);
        }
        self.put_away();
        self.is_taken_changed = false;
        let Some(held) = self.by_name.get_mut(name) else { return Taken::No };
        match std::mem::replace(&mut held.life, Life::Away) {
            Life::Awake(call) => Taken::Call(call, None),
            Life::Woken { call, until } => Taken::Call(call, Some(until)),
            Life::Asleep { packed, until, is_unfinished } => match unpacked(&packed) {
                Kept::Whole(call) => {
                    self.bytes_asleep[usize::from(is_unfinished)] -= CLOSED_CALL_BYTES + packed.len();
                    Taken::Call(call, Some(until))
                }
                Kept::Gist(gist) => {
                    held.life = Life::Asleep { packed, until, is_unfinished };
                    Taken::Asks(gist)
                }
            },
            Life::Away => unreachable!("a call that was taken out is put back before the next is taken"),
        }
    }

    /// Takes out an open call.
    pub(crate) fn take_open(&mut self, name: &CallUid) -> Option<Box<Call>> {
        self.open(name)?;
        match self.take(name) {
            Taken::Call(call, _) => Some(call),
            Taken::No | Taken::Asks(_) => None,
        }
    }

    /// A closed call whose events were heard again, as it is then.
    pub(crate) fn wake(&mut self, name: &CallUid, call: Call) {
        if let Some(held) = self.by_name.get_mut(name)
            && let Life::Asleep { packed, until, is_unfinished } = &held.life
        {
            self.bytes_asleep[usize::from(*is_unfinished)] -= CLOSED_CALL_BYTES + packed.len();
            held.life = Life::Woken { call: Box::new(call), until: *until };
        }
    }

    /// Puts an open call in its place.
    pub(crate) fn put(&mut self, name: &CallUid, call: Box<Call>, has_changed: bool) {
        self.put_away();
        let has_changed = has_changed | std::mem::take(&mut self.is_taken_changed);
        self.at_hand = Some((name.clone(), call, has_changed));
    }

    /// Puts what is at hand in its place.
    fn put_away(&mut self) {
        if let Some((name, call, has_changed)) = self.at_hand.take() {
            self.set(&name, Life::Awake(call), has_changed);
        }
    }

    /// Packs a closed call away until it is forgotten.
    pub(crate) fn put_asleep(
        &mut self,
        name: &CallUid,
        call: &Call,
        until: DateTime<Utc>,
        has_changed: bool,
    ) {
        pack(call, &mut self.scratch);
        let packed: Box<[u8]> = self.scratch.as_slice().into();
        let is_unfinished = call.is_unfinished();
        self.bytes_asleep[usize::from(is_unfinished)] += CLOSED_CALL_BYTES + packed.len();
        let has_changed = has_changed | std::mem::take(&mut self.is_taken_changed);
        self.set(name, Life::Asleep { packed, until, is_unfinished }, has_changed);
    }

    fn set(&mut self, name: &CallUid, life: Life, has_changed: bool) {
        let held = match self.by_name.entry(name.clone()) {
            Entry::Occupied(place) => {
                let held = place.into_mut();
                held.life = life;
                held
            }
            Entry::Vacant(place) => place.insert(Held { life, places: Places::default(), is_dirty: false }),
        };
        if has_changed && !std::mem::replace(&mut held.is_dirty, true) {
            self.dirty.push(name.clone());
        }
    }

    /// A closed call is not remembered any more.
    pub(crate) fn forget(&mut self, name: &CallUid) {
        self.put_away();
        let Some(held) = self.by_name.remove(name) else { return };
        if let Life::Asleep { packed, is_unfinished, .. } = &held.life {
            self.bytes_asleep[usize::from(*is_unfinished)] -= CLOSED_CALL_BYTES + packed.len();
        }
        if held.places != Places::default() {
            self.gone.push((name.clone(), held.places));
        }
    }

    /// A closed call of the last commit is not to be had any more: the next one removes it.
    pub(crate) fn lose(&mut self, name: &CallUid, places: Places) {
        self.gone.push((name.clone(), places));
    }

    /// Takes in a call as a commit has it.
    pub(crate) fn restore(&mut self, name: &CallUid, call: Call, places: Places) {
        let held = Held { life: Life::Awake(Box::new(call)), places, is_dirty: false };
        self.by_name.insert(name.clone(), held);
    }

    /// Takes in a closed call as a commit has it, in its short form, until it is forgotten.
    pub(crate) fn restore_asleep(
        &mut self,
        name: &CallUid,
        (gist, bytes): (&Gist, &[u8]),
        until: DateTime<Utc>,
        places: Places,
    ) {
        let packed: Box<[u8]> = [&[Form::GIST], bytes].concat().into();
        let is_unfinished = gist.is_unfinished();
        self.bytes_asleep[usize::from(is_unfinished)] += CLOSED_CALL_BYTES + packed.len();
        let life = Life::Asleep { packed, until, is_unfinished };
        self.by_name.insert(name.clone(), Held { life, places, is_dirty: false });
    }

    /// The names of open calls, and of those that [`HeldCalls::restore`] took in.
    pub(crate) fn names(&self) -> Vec<CallUid> {
        self.all_open().map(|(name, _)| name.clone()).collect()
    }

    /// The calls that changed since the last commit; each once, and some of them gone meanwhile.
    pub(crate) fn take_dirty(&mut self) -> Vec<CallUid> {
        self.put_away();
        std::mem::take(&mut self.dirty)
    }

    /// Calls that are gone since the last commit, and where it has them.
    pub(crate) fn take_gone(&mut self) -> Vec<(CallUid, Places)> {
        std::mem::take(&mut self.gone)
    }

    /// What there is to say of a call that changed; `None` if it is said, or the call is gone.
    pub(crate) fn change_of(&mut self, name: &CallUid) -> Option<Change<'_>> {
        let held = self.by_name.get_mut(name)?;
        if !std::mem::take(&mut held.is_dirty) {
            return None;
        }
        said(held, &mut self.scratch)
    }

    /// The same of one that did not change, if `counts` of where the last commit has it.
    pub(crate) fn again(&mut self, name: &CallUid, counts: impl Fn(&Places) -> bool) -> Option<Change<'_>> {
        self.put_away();
        let held = self.by_name.get_mut(name).filter(|held| counts(&held.places))?;
        said(held, &mut self.scratch)
    }
}

/// What a closed call is kept as.
enum Kept {
    Whole(Box<Call>),
    Gist(Gist),
}

fn unpacked(packed: &[u8]) -> Kept {
    let kept = match Form::of(packed) {
        Some(Form::Whole(bytes)) => unpack_call(bytes).map(|call| Kept::Whole(Box::new(call))),
        Some(Form::Gist(bytes)) => unpack_gist(bytes).map(Kept::Gist),
        None => None,
    };
    kept.expect("what was packed can be unpacked")
}

/// The form of a call in which it is kept, in place of what is in `bytes`.
fn pack(call: &Call, bytes: &mut Vec<u8>) {
    bytes.clear();
    if let Some(sources) = &call.sources {
        bytes.push(Form::GIST);
        pack_gist(call, sources, bytes);
    } else {
        bytes.push(Form::WHOLE);
        pack_call(call, bytes);
    }
}

fn said<'a>(held: &'a mut Held, scratch: &'a mut Vec<u8>) -> Option<Change<'a>> {
    match &held.life {
        Life::Awake(call) => {
            pack(call, scratch);
            Some(Change::Open(scratch, &mut held.places))
        }
        Life::Asleep { packed, .. } => Some(Change::Done(packed, &mut held.places)),
        // It did not change, or is put back before the commit.
        Life::Woken { .. } | Life::Away => None,
    }
}
