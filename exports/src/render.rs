//! Renders one CDR file: from calls to name and bytes, the same whenever it is asked again.
//!
//! Everything the bytes depend on is in [`FileSpec`] and [`Entry`]: no clock, no directory, no configuration. What
//! goes into which file is the queue's business.

use std::io::Write as _;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use flate2::{Compression as Level, GzBuilder};
use model::RatedCdr;

use crate::fact::{RecordType, Row};
use crate::format::template::Known;
use crate::format::{Compression, Digest, Format, Misfit, RecordWriter, Tally, ZoneClock, digest_of};
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

/// Renders the file of `entries`, in their order.
///
/// # Errors
///
/// [`ExportsError::Misfit`] when the format cannot hold a call, which the stage finds out before it queues one.
pub fn render(file: &FileSpec<'_>, entries: &[Entry]) -> Result<Rendered, ExportsError> {
    let format = file.format;
    let mut tally = Tally::new(format);
    let mut writer = RecordWriter::new(format, file.zone);
    let mut body = Vec::with_capacity(entries.len() * 12 * format.field_names().len());
    for entry in entries {
        let rated = &entry.rated;
        let mut write = |rated, record_type| {
            let row = Row { rated, viewer: file.owner, record_type };
            writer.write(&mut body, &row, &mut tally)
        };
        match &entry.earlier {
            Some(earlier) if format.has_reversals() => {
                write(earlier, RecordType::Reversal)?;
                write(rated, RecordType::Replacement)?;
            }
            Some(_) => write(rated, RecordType::Replacement)?,
            None => write(rated, RecordType::Original)?,
        }
    }

    let mut clock = ZoneClock::new(file.zone);
    let mut bytes = Vec::with_capacity(body.len() + 256);
    let mut md5 = None;
    format.write_header(&mut bytes, &known_of(file, &tally), &mut clock);
    bytes.extend_from_slice(&body);
    format.write_trailer(&mut bytes, &known_of(file, &tally), &mut clock, &mut md5);

    let bytes = match format.compression() {
        Compression::None => bytes,
        Compression::Gzip => pack(&bytes).map_err(ExportsError::io("pack", file.name.as_ref()))?,
    };
    let md5 = md5.unwrap_or_else(|| digest_of(Digest::Md5, &bytes));
    let sha256 = digest_of(Digest::Sha256, &bytes);
    let rows = usize::try_from(tally.rows).unwrap_or(usize::MAX);
    Ok(Rendered { name: file.name.to_owned(), bytes, rows, md5, sha256 })
}

/// Whether the file of `owner` could hold the call: what a format refuses is put aside before it is queued.
pub(crate) fn try_write(format: &Format, owner: Owner, rated: &RatedCdr) -> Result<(), Misfit> {
    let row = Row { rated, viewer: owner, record_type: RecordType::Original };
    RecordWriter::new(format, Tz::UTC).write(&mut Vec::new(), &row, &mut Tally::new(format))
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
        self.wants(&Row { rated, viewer: owner, record_type: RecordType::Original })
    }

    /// The record of a call, field by field.
    pub fn explain(&self, owner: Owner, rated: &RatedCdr, zone: Tz) -> Vec<Shown> {
        let row = Row { rated, viewer: owner, record_type: RecordType::Original };
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
        first: tally.first,
        last: tally.last,
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
