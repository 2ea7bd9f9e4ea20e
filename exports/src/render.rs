//! Renders one CDR file: from calls to name and bytes, the same whenever it is asked again.
//!
//! Everything the bytes depend on is in [`FileSpec`] and [`Entry`]: no clock, no directory, no configuration. What
//! goes into which file is the queue's business.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flate2::{Compression as Level, GzBuilder};
use model::wire::view::RatedView;
use model::{Edr, RatedCdr};

use crate::event_fact::EventRow;
use crate::fact::{RecordType, Row, charge_idx, is_shown};
use crate::format::template::Known;
use crate::format::{Compression, Format, Misfit, Out, RecordWriter, Tally, ZoneClock};
use crate::hash_lanes::{md5_of_each, sha256_of_each};
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
    let mut drafts: Vec<Result<Draft<'_, '_>, ExportsError>> =
        files.iter().map(|(file, contents)| Draft::write(file, *contents)).collect();
    let trailed = |draft: &Draft<'_, '_>| draft.file.format.trails_md5();
    let mut digests = md5_of(&drafts, trailed).into_iter();
    for draft in drafts.iter_mut().flatten() {
        let known = known_of(draft.file, &draft.tally);
        let body_md5 = if draft.file.format.trails_md5() { digests.next() } else { None };
        draft.file.format.write_trailer(
            &mut draft.bytes,
            &known,
            &mut ZoneClock::new(draft.file.zone),
            body_md5,
            &mut draft.md5,
        );
    }
    for draft in &mut drafts {
        if let Ok(ready) = draft
            && ready.file.format.compression() == Compression::Gzip
        {
            match pack(&ready.bytes) {
                Ok(packed) => ready.bytes = packed,
                Err(why) => *draft = Err(ExportsError::io("pack", ready.file.name.as_ref())(why)),
            }
        }
    }
    let mut digests = md5_of(&drafts, |draft| draft.md5.is_none()).into_iter();
    let whole: Vec<&[u8]> = drafts.iter().flatten().map(|draft| draft.bytes.as_slice()).collect();
    let mut sha256s = sha256_of_each(&whole).into_iter();
    drafts
        .into_iter()
        .map(|draft| {
            let draft = draft?;
            let md5 = draft.md5.or_else(|| digests.next()).unwrap_or_default();
            let sha256 = sha256s.next().unwrap_or_default();
            let rows = usize::try_from(draft.tally.rows).unwrap_or(usize::MAX);
            Ok(Rendered { name: draft.file.name.to_owned(), bytes: draft.bytes, rows, md5, sha256 })
        })
        .collect()
}

/// MD5 and SHA-256 of each, lowercase hexadecimal, worked out beside each other.
pub fn hashes_of_each(files: &[&[u8]]) -> Vec<(String, String)> {
    md5_of_each(files).into_iter().zip(sha256_of_each(files)).collect()
}

fn md5_of<'f, 's>(
    drafts: &[Result<Draft<'f, 's>, ExportsError>],
    is_wanted: impl Fn(&Draft<'f, 's>) -> bool,
) -> Vec<String> {
    let wanted: Vec<&[u8]> = drafts
        .iter()
        .flatten()
        .filter(|draft| is_wanted(draft))
        .map(|draft| draft.bytes.as_slice())
        .collect();
    md5_of_each(&wanted)
}

/// A file on its way.
struct Draft<'f, 's> {
    file: &'f FileSpec<'s>,
    bytes: Vec<u8>,
    tally: Tally,
    /// Once a line of it shows one.
    md5: Option<String>,
}

impl<'f, 's> Draft<'f, 's> {
    /// Header and records.
    fn write(file: &'f FileSpec<'s>, contents: Contents<'_>) -> Result<Self, ExportsError> {
        let format = file.format;
        let mut tally = Tally::new(format);
        let mut writer = RecordWriter::new(format, file.zone);
        let mut clock = ZoneClock::new(file.zone);
        let n_records = match contents {
            Contents::Calls(entries) => entries.len(),
            Contents::Queued(entries) => entries.len(),
            Contents::Events(events) => events.len(),
        };
        let mut out = Out::with_room(format.room_for(n_records));
        // As long as the real one, as a rule, which is known when the records are.
        let mut header = Vec::new();
        tally.rows = u64::try_from(n_records).unwrap_or(u64::MAX);
        format.write_header(&mut header, &known_of(file, &tally), &mut clock);
        tally.rows = 0;
        out.put(&header);
        let n_header = header.len();
        match contents {
            Contents::Calls(entries) => {
                for entry in entries {
                    let call = RatedView::of(&entry.rated);
                    let earlier = entry.earlier.as_ref().map(RatedView::of);
                    for (call, record_type) in records_of(format, &call, earlier.as_ref()) {
                        writer.write(&mut out, &Row::new(call, file.owner, record_type), &mut tally)?;
                    }
                }
            }
            Contents::Queued(queued) => {
                let wanted = format.charges();
                let wants = |provider, direction, account| {
                    wanted[charge_idx(provider, direction)] && is_shown(provider, account, file.owner)
                };
                let (mut call, mut earlier) = (RatedView::default(), RatedView::default());
                for entry in queued {
                    call.read(entry.call, wants)?;
                    let earlier = match entry.earlier {
                        None => None,
                        Some(bytes) => {
                            earlier.read(bytes, wants)?;
                            Some(&earlier)
                        }
                    };
                    for (call, record_type) in records_of(format, &call, earlier) {
                        writer.write(&mut out, &Row::new(call, file.owner, record_type), &mut tally)?;
                    }
                }
            }
            Contents::Events(events) => {
                for event in events {
                    let row = EventRow { edr: &event.edr, company: &event.company, viewer: file.owner };
                    writer.write(&mut out, &row, &mut tally)?;
                }
            }
        }
        header.clear();
        format.write_header(&mut header, &known_of(file, &tally), &mut clock);
        out.replace_front(n_header, &header);
        Ok(Self { file, bytes: out.into_bytes(), tally, md5: None })
    }
}

/// The records that tell of a call.
fn records_of<'v, 'a>(
    format: &Format,
    call: &'v RatedView<'a>,
    earlier: Option<&'v RatedView<'a>>,
) -> impl Iterator<Item = (&'v RatedView<'a>, RecordType)> {
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
    let call = RatedView::of(rated);
    let row = Row::new(&call, owner, RecordType::Original);
    RecordWriter::new(format, Tz::UTC).write(&mut Out::default(), &row, &mut Tally::new(format))
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
    /// Whether `only` lets the call into a file of `owner`.
    pub fn wants_call(&self, owner: Owner, rated: &RatedCdr) -> bool {
        self.wants(&Row::new(&RatedView::of(rated), owner, RecordType::Original))
    }

    /// Whether `only` lets the event into a file of `owner`.
    pub fn wants_event(&self, owner: Owner, event: &Event) -> bool {
        self.wants(&EventRow { edr: &event.edr, company: &event.company, viewer: owner })
    }

    /// The record of a call, field by field.
    pub fn explain(&self, owner: Owner, rated: &RatedCdr, zone: Tz) -> Vec<Shown> {
        let call = RatedView::of(rated);
        let row = Row::new(&call, owner, RecordType::Original);
        RecordWriter::new(self, zone).explain(&row)
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
