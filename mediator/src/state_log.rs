//! What commits keep of the calls of a lane: a log of few large entries instead of a row for each call.
//!
//! In: calls that changed or are gone. Out: state entries to write and to remove. A commit writes one entry with all that changed, whatever
//! the number of calls; the last word on a call counts. The oldest entry is dropped when little of it still counts, after what does
//! was said again in the newest. So what is kept stays below twice what counts, and a call that lasts is written a few times more often.
//! Dropping goes by age alone: a word that a call is gone may be forgotten with its entry, for nothing older is left that it contradicts.

use std::collections::VecDeque;
use std::num::NonZeroU64;

use model::{CallUid, StateChange};

use crate::packed::{put_number, take_bytes, take_number};

/// Of the entries, their first byte; the first version's are JSON, which begins with `{`. Another form of a call is another version.
pub(crate) const VERSION: u8 = 3;

/// Had calls in their whole form only, without a byte that says so.
const VERSION_OF_WHOLE_CALLS: u8 = 2;

/// What a call is, in one of two forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form<'a> {
    /// As [`pack_call`](crate::packed::pack_call) makes it.
    Whole(&'a [u8]),
    /// As [`pack_gist`](crate::gist::pack_gist) does.
    Gist(&'a [u8]),
}

impl<'a> Form<'a> {
    /// First byte of a call in its whole form.
    pub(crate) const WHOLE: u8 = 0;
    /// And of one in its short form.
    pub(crate) const GIST: u8 = 1;

    /// What bytes that begin with such a byte are.
    pub(crate) fn of(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&Self::WHOLE, whole) => Some(Form::Whole(whole)),
            (&Self::GIST, gist) => Some(Form::Gist(gist)),
            _ => None,
        }
    }
}

/// Entries may have so many bytes beyond twice of what counts: there is no use in tidying a drawer.
const SLACK_BYTES: usize = 64 << 10;

/// Entries kept at most.
const ENTRIES_MAX: usize = 1_024;

/// What a call usually takes in an entry.
const CALL_BYTES: usize = 48;

/// Entries dropped in one commit at most, so that none takes long.
const DROPPED_MAX: usize = 4;

/// Where the last word on a call lies. Kept for each call, so in eight bytes also where there may be none: the entry's number plus one, and
/// behind it in [`Stored::LENGTH_BITS`] the length of the word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored(NonZeroU64);

impl Stored {
    const LENGTH_BITS: u32 = 24;
    const LENGTH_MAX: u64 = (1 << Self::LENGTH_BITS) - 1;

    fn new(entry: u64, bytes: usize) -> Self {
        let length = u64::try_from(bytes).map_or(Self::LENGTH_MAX, |bytes| bytes.min(Self::LENGTH_MAX));
        let entry = NonZeroU64::MIN.saturating_add(entry);
        Self(NonZeroU64::new(entry.get() << Self::LENGTH_BITS | length).unwrap_or(NonZeroU64::MAX))
    }

    /// The entry.
    pub(crate) fn entry(self) -> u64 {
        (self.0.get() >> Self::LENGTH_BITS) - 1
    }

    /// Bytes of the word; of one that is larger, sixteen millions.
    fn bytes(self) -> usize {
        (self.0.get() & Self::LENGTH_MAX) as usize
    }
}

/// The entries of one kind in a lane.
#[derive(Debug, Default)]
pub(crate) struct StateLog {
    entries: VecDeque<Entry>,
    next: u64,
    bytes: usize,
    /// Of the last words on calls.
    bytes_that_count: usize,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    bytes: usize,
    calls: Vec<CallUid>,
}

/// The entry that is being written.
pub(crate) struct NewEntry {
    number: u64,
    bytes: Vec<u8>,
    calls: Vec<CallUid>,
    /// The name written last.
    before: Option<CallUid>,
}

impl StateLog {
    /// Begins the entry of a commit with about so many calls.
    pub(crate) fn begin(&self, n_calls: usize) -> NewEntry {
        let mut bytes = Vec::with_capacity(1 + n_calls * CALL_BYTES);
        bytes.push(VERSION);
        NewEntry { number: self.next, bytes, calls: Vec::new(), before: None }
    }

    /// What `call` is now. `before` is where the word lies that no longer counts.
    pub(crate) fn keep(
        &mut self,
        to: &mut NewEntry,
        call: &CallUid,
        is: &[u8],
        before: Option<Stored>,
    ) -> Stored {
        self.no_longer_counts(before);
        let from = to.bytes.len();
        to.name(call);
        put_number(&mut to.bytes, is.len() as u64 + 1);
        to.bytes.extend_from_slice(is);
        to.calls.push(call.clone());
        let bytes = to.bytes.len() - from;
        self.bytes_that_count += bytes;
        Stored::new(to.number, bytes)
    }

    /// A call is not here any more.
    pub(crate) fn remove(&mut self, to: &mut NewEntry, call: &CallUid, before: Stored) {
        self.no_longer_counts(Some(before));
        to.name(call);
        put_number(&mut to.bytes, 0);
    }

    fn no_longer_counts(&mut self, before: Option<Stored>) {
        let bytes = before.map_or(0, Stored::bytes);
        self.bytes_that_count = self.bytes_that_count.saturating_sub(bytes);
    }

    /// Takes the oldest entry out, if it is time for it: its key is to be removed, and what of its calls still counts, because it lies in
    /// this entry, to be said again.
    pub(crate) fn drop_oldest(
        &mut self,
        prefix: &str,
        n_dropped: usize,
    ) -> Option<(u64, String, Vec<CallUid>)> {
        let is_due =
            self.bytes > 2 * self.bytes_that_count + SLACK_BYTES || self.entries.len() >= ENTRIES_MAX;
        if !is_due || n_dropped >= DROPPED_MAX {
            return None;
        }
        let oldest = self.entries.pop_front()?;
        self.bytes -= oldest.bytes;
        Some((oldest.number, key(prefix, oldest.number), oldest.calls))
    }

    /// The entry for the commit; none if it says nothing.
    pub(crate) fn end(&mut self, prefix: &str, new: NewEntry) -> Option<StateChange> {
        if new.bytes.len() == 1 {
            return None;
        }
        self.next = new.number + 1;
        self.bytes += new.bytes.len();
        self.entries.push_back(Entry { number: new.number, bytes: new.bytes.len(), calls: new.calls });
        Some(StateChange { key: key(prefix, new.number), value: Some(new.bytes) })
    }

    /// Takes in one entry as it was kept, in the order of their numbers, and tells `each` of its words where it lies and what was said.
    /// `each` answers where the word lay that no longer counts.
    ///
    /// # Errors
    ///
    /// A sentence naming the entry, if it cannot be read.
    pub(crate) fn restore<'a>(
        &mut self,
        (key, number, value): (&str, u64, &'a [u8]),
        mut each: impl FnMut(CallUid, Stored, Option<Form<'a>>) -> Result<Option<Stored>, String>,
    ) -> Result<(), String> {
        let mut calls = Vec::new();
        for word in words(key, value)? {
            let (call, is, bytes) = word?;
            let stored = Stored::new(number, bytes);
            if is.is_some() {
                self.bytes_that_count += bytes;
                calls.push(call.clone());
            }
            let before = each(call, stored, is)?;
            self.no_longer_counts(before);
        }
        self.next = number + 1;
        self.bytes += value.len();
        self.entries.push_back(Entry { number, bytes: value.len(), calls });
        Ok(())
    }
}

impl NewEntry {
    /// How many bytes it begins with as the name before, and the rest: names of calls that follow each other are alike.
    fn name(&mut self, call: &CallUid) {
        let name = call.as_bytes();
        let before = self.before.as_ref().map_or(&[][..], CallUid::as_bytes);
        let n_alike = name.iter().zip(before).take_while(|(one, other)| one == other).count();
        put_number(&mut self.bytes, n_alike as u64);
        put_number(&mut self.bytes, (name.len() - n_alike) as u64);
        self.bytes.extend_from_slice(&name[n_alike..]);
        self.before = Some(call.clone());
    }
}

/// The keys of a lane's entries sort as their numbers do.
fn key(prefix: &str, number: u64) -> String {
    format!("{prefix}{number:016x}")
}

/// The number in a key, and what stands before it.
pub(crate) fn number_of(key: &str) -> Option<(&str, u64)> {
    let (prefix, number) = key.split_at_checked(key.len().checked_sub(16)?)?;
    u64::from_str_radix(number, 16).ok().map(|number| (prefix, number))
}

/// A call, what it is (`None` if it is gone), and how many bytes that takes.
type Word<'a> = (CallUid, Option<Form<'a>>, usize);

/// What an entry says.
///
/// # Errors
///
/// A sentence naming the entry, if it is of another version; each word, if the entry is damaged there.
pub(crate) fn words<'a>(
    key: &str,
    value: &'a [u8],
) -> Result<impl Iterator<Item = Result<Word<'a>, String>>, String> {
    let (is_new, mut left) = match value.split_first() {
        Some((&VERSION, left)) => (true, left),
        Some((&VERSION_OF_WHOLE_CALLS, left)) => (false, left),
        Some((version, _)) => {
            return Err(format!(
                "entry {key:?} has version {version}, this program reads up to {VERSION}: run the version that wrote it"
            ));
        }
        None => return Err(format!("entry {key:?} cannot be read: it is empty")),
    };
    let damaged = format!("entry {key:?} cannot be read: it is damaged");
    let mut name = Vec::new();
    Ok(std::iter::from_fn(move || {
        if left.is_empty() {
            return None;
        }
        let word = word(&mut left, &mut name, is_new).ok_or_else(|| damaged.clone());
        if word.is_err() {
            left = &[];
        }
        Some(word)
    }))
}

/// `name` is that of the word before, and then of this one. `is_new`: not of the version of whole calls.
fn word<'a>(left: &mut &'a [u8], name: &mut Vec<u8>, is_new: bool) -> Option<Word<'a>> {
    let before = left.len();
    let n_alike = if is_new { usize::try_from(take_number(left)?).ok()? } else { 0 };
    if n_alike > name.len() {
        return None;
    }
    let n_more = take_number(left)?;
    name.truncate(n_alike);
    name.extend_from_slice(take_bytes(left, n_more)?);
    let call = CallUid::new(std::str::from_utf8(name).ok()?);
    let is = match take_number(left)?.checked_sub(1) {
        Some(count) => {
            let bytes = take_bytes(left, count)?;
            Some(if is_new { Form::of(bytes)? } else { Form::Whole(bytes) })
        }
        None => None,
    };
    Some((call, is, before - left.len()))
}
