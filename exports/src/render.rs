//! Renders one CDR file: from calls to name and bytes, the same whenever it is asked again.
//!
//! Everything the bytes depend on is in [`FileSpec`] and [`Entry`]: no clock, no directory, no configuration. What
//! goes into which file is the queue's business.

use std::borrow::Cow;
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use fearless_simd::{Level as Processor, Simd};
use flate2::{Compression as Level, GzBuilder};
use model::wire::decode_rated;
use model::wire::view::RatedView;
use model::{Edr, RatedCdr};

use crate::event_fact::EventRow;
use crate::fact::{Facts, RecordType, Row, charge_idx, is_shown};
use crate::format::on_any_processor;
use crate::format::template::Known;
use crate::format::{Compression, Format, Misfit, Out, RecordWriter, Tally, ZoneClock};
use crate::fragments::{Place, fragments_of};
use crate::hash_lanes::{Beside, LANES, is_worth_both, md5_of_each, sha256_of_each};
use crate::{ExportsError, Owner};

/// Which file to render.
#[derive(Debug, Clone)]
pub struct FileSpec<'a> {
    /// How records are written.
    pub format: &'a Format,
    /// Whose: decides what is shown.
    pub owner: Owner,
    /// What the owner is called in header and trailer: its handle, or `system`.
    pub owner_name: &'a str,
    /// Name of the stream.
    pub stream: &'a str,
    /// `out` or `in`, for files of one direction.
    pub way: &'a str,
    /// Path below the export directory, `/` between its parts.
    pub name: &'a str,
    /// Counts up by 1 for each file of the series, from 1, and never starts again.
    pub sequence: u64,
    /// When the file was closed.
    pub created_at: DateTime<Utc>,
    /// Start of one of its calls, for files of one day.
    pub day: Option<DateTime<Utc>>,
    /// Zone of times that name no other.
    pub zone: Tz,
}

/// One call for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The call.
    pub rated: RatedCdr,
    /// The revision of it that went into an earlier file of the same series.
    pub earlier: Option<RatedCdr>,
}

impl From<RatedCdr> for Entry {
    fn from(rated: RatedCdr) -> Self {
        Self { rated, earlier: None }
    }
}

/// A whole file, not yet on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// Path below the export directory, `/` between its parts:
    /// `resellers/acme/202611/21/tollbook_007_20261121235900_0000000042.cdr`.
    pub name: String,
    /// Its contents, packed if the format says so.
    pub bytes: Vec<u8>,
    /// Records in it.
    pub rows: usize,
    /// The MD5 its trailer shows, else that of all of it; lowercase hexadecimal.
    pub md5: String,
    /// SHA-256 of all of it.
    pub sha256: String,
}

/// One event for a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The event.
    pub edr: Edr,
    /// Company of its account's contact when the file was planned; empty if none.
    pub company: String,
}

/// One call for a file, as it lies in a queue: the bytes of [`model::wire::encode_rated`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queued<'a> {
    /// The call.
    pub call: &'a [u8],
    /// The revision of it that went into an earlier file of the same series.
    pub earlier: Option<&'a [u8]>,
}

/// What a file is of.
#[derive(Debug, Clone, Copy)]
pub enum Contents<'a> {
    /// For formats of calls.
    Calls(&'a [Entry]),
    /// The same, read where they lie, which takes a fraction of the time.
    Queued(&'a [Queued<'a>]),
    /// For formats of events.
    Events(&'a [Event]),
}

/// Renders the file of `entries`, in their order.
///
/// # Errors
///
/// [`ExportsError::Misfit`] when the format cannot hold a call, which the stage finds out before it queues one.
pub fn render(file: &FileSpec<'_>, entries: &[Entry]) -> Result<Rendered, ExportsError> {
    let mut rendered = render_all(&[(file.clone(), Contents::Calls(entries))]);
    rendered.swap_remove(0)
}

/// Renders several files. Their checksums are worked out beside each other, which takes a fraction of the time.
///
/// # Errors
///
/// For each file, as [`render`].
pub fn render_all(files: &[(FileSpec<'_>, Contents<'_>)]) -> Vec<Result<Rendered, ExportsError>> {
    render_all_into(files, &Buffers::default())
}

/// As [`render_all`], into the buffers of files that are done.
///
/// # Errors
///
/// For each file, as [`render`].
pub fn render_all_into(
    files: &[(FileSpec<'_>, Contents<'_>)],
    buffers: &Buffers,
) -> Vec<Result<Rendered, ExportsError>> {
    files.chunks(LANES).flat_map(|files| render_beside(files, buffers)).collect()
}

/// Buffers of files that are on disk, for those that come next: pages that were just in use cost nothing, new ones as much as a
/// sixth of a file.
#[derive(Debug, Clone, Default)]
pub struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Buffers kept: while sixteen files are written, those before them are still on their way to the disk.
    const KEPT_MAX: usize = 2 * LANES;

    fn take(&self, n_bytes: usize) -> Out {
        let mut out = Out::over(self.0.lock().ok().and_then(|mut kept| kept.pop()).unwrap_or_default());
        out.room(n_bytes);
        out
    }

    /// The bytes of a file that nobody looks at any more.
    pub fn give_back(&self, bytes: Vec<u8>) {
        if let Ok(mut kept) = self.0.lock()
            && kept.len() < Self::KEPT_MAX
        {
            kept.push(bytes);
        }
    }
}

/// Bytes that are written of each file before they are hashed: those of sixteen are still near then.
const TURN_BYTES: usize = 16 << 10;

/// Renders [`LANES`] files at most.
fn render_beside(
    files: &[(FileSpec<'_>, Contents<'_>)],
    buffers: &Buffers,
) -> Vec<Result<Rendered, ExportsError>> {
    let mut drafts: Vec<Result<Draft<'_, '_, '_>, ExportsError>> =
        files.iter().map(|(file, contents)| Ok(Draft::begin(file, *contents, buffers))).collect();
    let sizes = files.iter().map(|(file, contents)| file.format.room_for(contents.n_records()));
    let are_packed = files.iter().any(|(file, _)| file.format.compression() != Compression::None);
    let mut beside = (is_worth_both(sizes) && !are_packed).then(Beside::new);
    // Where a header tells what only the records say, nothing can be hashed before they are all written.
    let is_late = files.iter().any(|(file, _)| file.format.header_tells_of_records());
    write_by_turns(&mut drafts, beside.as_mut().filter(|_| !is_late));
    drafts.iter_mut().flatten().for_each(Draft::put_header);
    if is_late && let Some(beside) = &mut beside {
        beside.take_from_afar(&lanes_of(&drafts));
        drafts.iter_mut().flatten().for_each(|draft| draft.is_moved = false);
    }
    // A header that turned out otherwise than it was written at first: what was hashed of that file is not what it is.
    let is_as_hashed = |draft: &Draft<'_, '_, '_>| !draft.is_moved;
    if !drafts.iter().flatten().all(is_as_hashed) {
        beside = None;
    }

    let trailed = |draft: &Draft<'_, '_, '_>| draft.file.format.trails_md5();
    let mut digests = match &beside {
        Some(beside) if drafts.iter().flatten().any(trailed) => {
            let all = beside.md5(&lanes_of(&drafts));
            drafts
                .iter()
                .zip(all)
                .map(|(draft, md5)| draft.as_ref().is_ok_and(trailed).then_some(md5))
                .collect()
        }
        Some(_) => vec![None; drafts.len()],
        None => md5_of(&drafts, trailed),
    };
    for (draft, digest) in drafts.iter_mut().zip(&mut digests) {
        if let Ok(draft) = draft {
            draft.end(digest.take());
        }
    }
    drafts.iter_mut().for_each(pack_if_wanted);

    let is_unhashed = |draft: &Draft<'_, '_, '_>| draft.md5.is_none();
    let (md5s, sha256s) = match &beside {
        Some(beside) => {
            let lanes = lanes_of(&drafts);
            let md5s = if drafts.iter().flatten().any(is_unhashed) {
                beside.md5(&lanes).map(Some).to_vec()
            } else {
                vec![None; LANES]
            };
            (md5s, beside.sha256(&lanes).to_vec())
        }
        None => (md5_of(&drafts, is_unhashed), sha256_of_each(&lanes_of(&drafts)[..drafts.len()])),
    };
    drafts
        .into_iter()
        .zip(md5s.into_iter().zip(sha256s))
        .map(|(draft, (md5, sha256))| {
            let draft = draft?;
            let md5 = draft.md5.or(md5).unwrap_or_default();
            let rows = usize::try_from(draft.tally.rows).unwrap_or(usize::MAX);
            Ok(Rendered {
                name: draft.file.name.to_owned(),
                bytes: draft.bytes.into_bytes(),
                rows,
                md5,
                sha256,
            })
        })
        .collect()
}

fn pack_if_wanted(draft: &mut Result<Draft<'_, '_, '_>, ExportsError>) {
    if let Ok(ready) = draft
        && ready.file.format.compression() == Compression::Gzip
    {
        match pack(ready.bytes.as_slice()) {
            Ok(packed) => ready.bytes = Out::behind(packed),
            Err(why) => *draft = Err(ExportsError::io("pack", ready.file.name.as_ref())(why)),
        }
    }
}

/// Writes all records: of each file some, which are hashed if that is wanted, then of each the next.
fn write_by_turns(drafts: &mut [Result<Draft<'_, '_, '_>, ExportsError>], mut beside: Option<&mut Beside>) {
    let turn_bytes = if beside.is_some() { TURN_BYTES } else { usize::MAX };
    loop {
        let mut is_written = true;
        for slot in drafts.iter_mut() {
            let Ok(draft) = slot else { continue };
            match draft.go_on(turn_bytes) {
                Ok(is_at_end) => is_written &= is_at_end,
                Err(why) => *slot = Err(why),
            }
        }
        if let Some(beside) = &mut beside {
            let files = lanes_of(drafts);
            // As much of each as there is of all, so that no lane runs empty; of the last turn all there is.
            let is_growing =
                |slot: &Result<Draft<'_, '_, '_>, _>| slot.as_ref().is_ok_and(|draft| !draft.is_written());
            let of_growing = (0..drafts.len()).filter(|lane| is_growing(&drafts[*lane]));
            let n_bytes_max = of_growing.map(|lane| beside.n_waiting(lane, files[lane])).min();
            beside.take(&files, n_bytes_max.unwrap_or(usize::MAX));
        }
        if is_written {
            return;
        }
    }
}

/// The bytes of each file so far.
fn lanes_of<'d>(drafts: &'d [Result<Draft<'_, '_, '_>, ExportsError>]) -> [&'d [u8]; LANES] {
    std::array::from_fn(|lane| match drafts.get(lane) {
        Some(Ok(draft)) => draft.bytes.as_slice(),
        Some(Err(_)) | None => &[],
    })
}

/// MD5 and SHA-256 of each, lowercase hexadecimal, worked out beside each other.
pub fn hashes_of_each(files: &[&[u8]]) -> Vec<(String, String)> {
    md5_of_each(files).into_iter().zip(sha256_of_each(files)).collect()
}

/// The MD5 of each file as it is now, of those that it is wanted of.
fn md5_of(
    drafts: &[Result<Draft<'_, '_, '_>, ExportsError>],
    is_wanted: impl Fn(&Draft<'_, '_, '_>) -> bool,
) -> Vec<Option<String>> {
    let is_wanted = |slot: &Result<Draft<'_, '_, '_>, _>| slot.as_ref().is_ok_and(&is_wanted);
    let wanted: Vec<&[u8]> = drafts
        .iter()
        .zip(lanes_of(drafts))
        .filter(|(slot, _)| is_wanted(slot))
        .map(|(_, file)| file)
        .collect();
    let mut digests = md5_of_each(&wanted).into_iter();
    drafts.iter().map(|slot| if is_wanted(slot) { digests.next() } else { None }).collect()
}

/// A file on its way.
struct Draft<'f, 's, 'c> {
    file: &'f FileSpec<'s>,
    contents: Contents<'c>,
    /// Of the contents, the next that is to be written.
    next: usize,
    writer: RecordWriter<'f>,
    call: RatedView<'c>,
    earlier: RatedView<'c>,
    bytes: Out,
    n_header: usize,
    tally: Tally,
    /// Once a line of it shows one.
    md5: Option<String>,
    /// Its header is another than it began with.
    is_moved: bool,
}

impl<'f, 's, 'c> Draft<'f, 's, 'c> {
    /// Its header, as it will be unless it tells what is known of the records only when they are written.
    fn begin(file: &'f FileSpec<'s>, contents: Contents<'c>, buffers: &Buffers) -> Self {
        let format = file.format;
        let mut bytes = buffers.take(format.room_for(contents.n_records()));
        let mut tally = Tally::new(format);
        tally.rows = u64::try_from(contents.n_rows(format)).unwrap_or(u64::MAX);
        let mut header = Vec::new();
        format.write_header(&mut header, &known_of(file, &tally), &mut ZoneClock::new(file.zone));
        if format.header_tells_of_records() && format.usual_header_bytes() > 0 {
            // Of the length that it is likely to have, so that nothing has to be moved for it.
            header.resize(format.usual_header_bytes(), b' ');
        }
        bytes.put(&header);
        tally.rows = 0;
        Self {
            file,
            contents,
            next: 0,
            writer: RecordWriter::new(format, file.zone),
            call: RatedView::default(),
            earlier: RatedView::default(),
            n_header: bytes.len(),
            bytes,
            tally,
            md5: None,
            is_moved: false,
        }
    }

    fn is_written(&self) -> bool {
        self.next >= self.contents.n_records()
    }

    /// Writes so many bytes more, or all that is left; whether that is all.
    fn go_on(&mut self, n_bytes: usize) -> Result<bool, ExportsError> {
        let until = self.bytes.len().saturating_add(n_bytes);
        match self.contents {
            Contents::Calls(_) | Contents::Queued(_) if self.file.format.has_fragments() => {
                let contents = self.contents;
                while self.bytes.len() < until
                    && let Some(entry) = contents.entry(self.next)
                {
                    let entry = entry?;
                    self.write_in_fragments(&entry)?;
                    self.next += 1;
                }
            }
            Contents::Calls(entries) => {
                let (format, viewer) = (self.file.format, self.file.owner);
                while self.bytes.len() < until
                    && let Some(entry) = entries.get(self.next)
                {
                    let call = RatedView::of(&entry.rated);
                    let earlier = entry.earlier.as_ref().map(RatedView::of);
                    for (call, record_type) in records_of(format, &call, earlier.as_ref()) {
                        let row = Row::new(call, viewer, record_type);
                        self.write(&row)?;
                    }
                    self.next += 1;
                }
            }
            Contents::Queued(queued) => {
                self.writer.begin_turn();
                let mut out = std::mem::take(&mut self.bytes);
                // Two copies of all that a record takes: one for processors whose vectors are wide, one for all others.
                let done = match Processor::new().as_avx512() {
                    Some(simd) => simd.vectorize(
                        #[inline(always)]
                        || self.go_on_queued(simd, &mut out, queued, until),
                    ),
                    None => on_any_processor!(simd => self.go_on_queued(simd, &mut out, queued, until)),
                };
                self.bytes = out;
                self.writer.end_turn();
                done?;
            }
            Contents::Events(events) => {
                while self.bytes.len() < until
                    && let Some(event) = events.get(self.next)
                {
                    let row = EventRow { edr: &event.edr, company: &event.company, viewer: self.file.owner };
                    self.write(&row)?;
                    self.next += 1;
                }
            }
        }
        Ok(self.is_written())
    }

    /// With all that it calls in it, so that it is compiled for the processor that `simd` stands for.
    #[inline(always)]
    fn go_on_queued<S: Simd>(
        &mut self,
        simd: S,
        out: &mut Out,
        queued: &[Queued<'c>],
        until: usize,
    ) -> Result<(), ExportsError> {
        let (format, viewer) = (self.file.format, self.file.owner);
        let wanted = format.charges();
        let wants = |provider, direction, account| {
            wanted[charge_idx(provider, direction)] && is_shown(provider, account, viewer)
        };
        while out.len() < until
            && let Some(entry) = queued.get(self.next)
        {
            self.call.read(entry.call, wants)?;
            let earlier = match entry.earlier {
                None => None,
                Some(bytes) => {
                    self.earlier.read_in_any_order(bytes, wants)?;
                    Some(&self.earlier)
                }
            };
            for (call, record_type) in records_of(format, &self.call, earlier) {
                let row = Row::new(call, viewer, record_type);
                self.writer.write(simd, out, &row, &mut self.tally)?;
            }
            self.next += 1;
        }
        Ok(())
    }

    /// Writes a record for each fragment.
    fn write_in_fragments(&mut self, entry: &Entry) -> Result<(), Misfit> {
        for (rated, record_type) in records_of(self.file.format, &entry.rated, entry.earlier.as_ref()) {
            for (part, place) in &fragments_of(rated, self.file.owner) {
                let call = RatedView::of(part);
                let row = Row::new(&call, self.file.owner, record_type);
                self.write(&Row { fragment: place.as_ref(), ..row })?;
            }
        }
        Ok(())
    }

    /// Writes one record of those that nobody waits for.
    fn write<'a>(&mut self, row: &impl Facts<'a>) -> Result<(), Misfit> {
        self.writer.write_anywhere(&mut self.bytes, row, &mut self.tally)
    }

    /// The lines after the records; `body_md5` is that of all before them, if it is known.
    fn end(&mut self, body_md5: Option<String>) {
        let known = known_of(self.file, &self.tally);
        let clock = &mut ZoneClock::new(self.file.zone);
        let mut bytes = std::mem::take(&mut self.bytes).into_bytes();
        self.file.format.write_trailer(&mut bytes, &known, clock, body_md5, &mut self.md5);
        self.bytes = Out::behind(bytes);
    }

    /// The header, now that the records are known.
    fn put_header(&mut self) {
        let mut header = Vec::with_capacity(self.n_header);
        let known = known_of(self.file, &self.tally);
        self.file.format.write_header(&mut header, &known, &mut ZoneClock::new(self.file.zone));
        if header != self.bytes.as_slice()[..self.n_header] {
            self.bytes.put_in_front(self.n_header, &header);
            self.file.format.note_header_bytes(header.len());
            self.is_moved = true;
        }
    }
}

impl Contents<'_> {
    /// One of its calls, read in full.
    fn entry(&self, place: usize) -> Option<Result<Cow<'_, Entry>, ExportsError>> {
        match self {
            Contents::Calls(entries) => entries.get(place).map(|entry| Ok(Cow::Borrowed(entry))),
            Contents::Queued(queued) => {
                let Queued { call, earlier } = queued.get(place)?;
                let entry = decode_rated(call)
                    .and_then(|rated| Ok(Entry { rated, earlier: earlier.map(decode_rated).transpose()? }));
                Some(entry.map(Cow::Owned).map_err(ExportsError::from))
            }
            Contents::Events(_) => None,
        }
    }

    fn n_records(&self) -> usize {
        match self {
            Contents::Calls(entries) => entries.len(),
            Contents::Queued(entries) => entries.len(),
            Contents::Events(events) => events.len(),
        }
    }

    /// Records that a file of them has, before it is known which calls have fragments.
    fn n_rows(&self, format: &Format) -> usize {
        let n_earlier = match self {
            Contents::Calls(entries) => entries.iter().filter(|entry| entry.earlier.is_some()).count(),
            Contents::Queued(entries) => entries.iter().filter(|entry| entry.earlier.is_some()).count(),
            Contents::Events(_) => 0,
        };
        self.n_records() + if format.has_reversals() { n_earlier } else { 0 }
    }
}

/// The records that tell of a call.
fn records_of<'v, Call>(
    format: &Format,
    call: &'v Call,
    earlier: Option<&'v Call>,
) -> impl Iterator<Item = (&'v Call, RecordType)> + use<'v, Call> {
    let (reversed, record_type) = match earlier {
        Some(earlier) if format.has_reversals() => {
            (Some((earlier, RecordType::Reversal)), RecordType::Replacement)
        }
        Some(_) => (None, RecordType::Replacement),
        None => (None, RecordType::Original),
    };
    reversed.into_iter().chain([(call, record_type)])
}

/// Whether the file of `owner` could hold the call: what a format refuses is put aside before it is queued.
pub(crate) fn try_write(format: &Format, owner: Owner, rated: &RatedCdr) -> Result<(), Misfit> {
    let mut writer = RecordWriter::new(format, Tz::UTC);
    let mut try_one = |rated: &RatedCdr, place: Option<&Place>| {
        let call = RatedView::of(rated);
        let row = Row { fragment: place, ..Row::new(&call, owner, RecordType::Original) };
        writer.write_anywhere(&mut Out::default(), &row, &mut Tally::new(format))
    };
    if format.has_fragments() {
        return fragments_of(rated, owner).iter().try_for_each(|(part, place)| try_one(part, place.as_ref()));
    }
    try_one(rated, None)
}

/// One field of a record, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// First and last column in a fixed layout; else its number.
    pub columns: String,
    /// Its name.
    pub name: String,
    /// As it is written, or why it cannot be.
    pub value: String,
}

impl Format {
    /// Whether a file of `owner` can hold the call.
    ///
    /// # Errors
    ///
    /// The field that it does not fit.
    pub fn fits(&self, owner: Owner, rated: &RatedCdr) -> Result<(), Misfit> {
        try_write(self, owner, rated)
    }

    /// Whether `only` lets the call into a file of `owner`.
    pub fn wants_call(&self, owner: Owner, rated: &RatedCdr) -> bool {
        self.wants(&Row::new(&RatedView::of(rated), owner, RecordType::Original))
    }

    /// Whether `only` lets the event into a file of `owner`.
    pub fn wants_event(&self, owner: Owner, event: &Event) -> bool {
        self.wants(&EventRow { edr: &event.edr, company: &event.company, viewer: owner })
    }

    /// The record of a call, or of its first fragment, field by field.
    pub fn explain(&self, owner: Owner, rated: &RatedCdr, zone: Tz) -> Vec<Shown> {
        let explain = |rated: &RatedCdr, place: Option<&Place>| {
            let call = RatedView::of(rated);
            let row = Row { fragment: place, ..Row::new(&call, owner, RecordType::Original) };
            RecordWriter::new(self, zone).explain(&row)
        };
        match fragments_of(rated, owner).first().filter(|_| self.has_fragments()) {
            Some((part, place)) => explain(part, place.as_ref()),
            None => explain(rated, None),
        }
    }

    /// The record of an event, field by field.
    pub fn explain_event(&self, owner: Owner, event: &Event, zone: Tz) -> Vec<Shown> {
        let row = EventRow { edr: &event.edr, company: &event.company, viewer: owner };
        RecordWriter::new(self, zone).explain(&row)
    }
}

fn known_of<'a>(file: &FileSpec<'a>, tally: &'a Tally) -> Known<'a> {
    let format: &'a Format = file.format;
    Known {
        rows: tally.rows,
        version: format.version(),
        sequence: file.sequence,
        owner: file.owner_name,
        stream: file.stream,
        prefix: "",
        suffix: format.suffix(),
        way: file.way,
        created: file.created_at,
        day: file.day,
        first: tally.first(),
        last: tally.last(),
        sums: &tally.sums,
        points: format.points(),
        columns: format.columns(),
    }
}

fn pack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    // Without a time in it, so that the same records are the same bytes.
    let mut packer = GzBuilder::new().mtime(0).write(Vec::new(), Level::default());
    packer.write_all(bytes)?;
    packer.finish()
}

/// Most bytes that a packed file may unpack to: a small file must not fill the memory.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;

/// The contents of a file that may be packed.
///
/// # Errors
///
/// What the unpacker says, and when it would be more than [`UNPACKED_BYTES_MAX`].
pub fn unpacked(bytes: Vec<u8>) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes);
    }
    let mut contents = Vec::new();
    flate2::read::MultiGzDecoder::new(bytes.as_slice())
        .take(UNPACKED_BYTES_MAX + 1)
        .read_to_end(&mut contents)?;
    if u64::try_from(contents.len()).is_ok_and(|n_bytes| n_bytes > UNPACKED_BYTES_MAX) {
        return Err(std::io::Error::other(format!("it unpacks to more than {UNPACKED_BYTES_MAX} bytes")));
    }
    Ok(contents)
}
