//! Writes records: from a row to the bytes of a line, the same whenever it is asked again.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use fearless_simd::Simd;

use super::check::digest_of;
use super::compile::Format;
use super::description::{Align, Case, Charset, Compression, Layout, Overflow, Unfit, Unit};
use super::digits::{push_number, push_scaled, rescaled, scale};
use super::field::{Field, Shape, Source, Style};
use super::folded::Folded;
use super::program::{Line, Marks, Out, Program, StepValue, ValueStep, What};
use super::template::{Digest, Known, Template};
use super::time_pattern::{Stamp, ZoneClock};
use crate::fact::{Facts, Row, Value};
use crate::render::Shown;

/// A record that a format cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("field {field:?} of format {format:?}: the value {why}")]
pub struct Misfit {
    /// The format.
    pub format: String,
    /// The field.
    pub field: String,
    /// What is wrong; without the value, which may name a subscriber.
    pub why: &'static str,
}

const TOO_WIDE: &str = "is wider than its field";
const UNKNOWN_CHARACTER: &str = "has a character that the character set does not have";
const NOT_TEXT: &str = "is no UTF-8";
const TOO_LARGE: &str = "is too large to be written";

/// What is known of the records written so far.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub(crate) rows: u64,
    /// Starts of the earliest and of the latest, in microseconds since 1970.
    first_us: Option<i64>,
    last_us: Option<i64>,
    /// Value and decimals of each field.
    pub(crate) sums: Vec<(i128, usize)>,
}

impl Tally {
    pub(crate) fn new(format: &Format) -> Self {
        let decimals = |field: &Field| match field.style {
            Style::Scaled { decimals, .. } => decimals,
            Style::Text | Style::Number | Style::Flag | Style::Time { .. } => 0,
        };
        let sums = format.fields.iter().map(|field| (0, decimals(field))).collect();
        Self { rows: 0, first_us: None, last_us: None, sums }
    }
}

impl Tally {
    /// Start of the earliest record.
    pub(crate) fn first(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.first_us?)
    }

    /// Start of the latest.
    pub(crate) fn last(&self) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp_micros(self.last_us?)
    }
}

impl Format {
    /// Room for so many records: seldom too little.
    pub(crate) fn room_for(&self, n_records: usize) -> usize {
        (n_records + 2) * (self.program.bytes_usual + 8) + self.program.bytes_max + 1024
    }

    pub(crate) fn columns(&self) -> &str {
        &self.columns
    }

    pub(crate) fn points(&self) -> &[Vec<u8>] {
        &self.points
    }

    pub(crate) fn compression(&self) -> Compression {
        self.description.compression
    }

    /// The lines before the records.
    pub(crate) fn write_header(&self, out: &mut Vec<u8>, known: &Known<'_>, clock: &mut ZoneClock) {
        for line in &self.header {
            self.encoder.put_line(out, &line.fill(known, clock, |_| String::new()));
        }
    }

    /// Whether the lines before the records tell more of them than how many they are.
    pub(crate) fn header_tells_of_records(&self) -> bool {
        self.header.iter().any(Template::is_of_records)
    }

    /// Bytes of those lines in the file before, where they tell of the records and so are known only at the end; 0 before the first.
    pub(crate) fn usual_header_bytes(&self) -> usize {
        self.shelf.header_bytes()
    }

    /// Keeps how many they were.
    pub(crate) fn note_header_bytes(&self, n_bytes: usize) {
        self.shelf.note_header_bytes(n_bytes);
    }

    /// Whether the first line after the records shows an MD5.
    pub(crate) fn trails_md5(&self) -> bool {
        self.trailer.first().is_some_and(|line| line.digests().any(|kind| kind == Digest::Md5))
    }

    /// The lines after them, behind everything that is in `out`. `md5` is set where one of them shows it; `body_md5` is that
    /// of what is in `out`, if it is known.
    pub(crate) fn write_trailer(
        &self,
        out: &mut Vec<u8>,
        known: &Known<'_>,
        clock: &mut ZoneClock,
        body_md5: Option<String>,
        md5: &mut Option<String>,
    ) {
        let mut body_md5 = body_md5;
        for line in &self.trailer {
            // Each is worked out once, however often the line shows it.
            let mut digests: Vec<(Digest, String)> = Vec::new();
            for kind in line.digests() {
                if !digests.iter().any(|(known, _)| *known == kind) {
                    let ready = if kind == Digest::Md5 { body_md5.take() } else { None };
                    digests.push((kind, ready.unwrap_or_else(|| digest_of(kind, out))));
                }
            }
            body_md5 = None;
            let text = line.fill(known, clock, |kind| {
                let found = digests.iter().find(|(known, _)| *known == kind);
                found.map(|(_, digest)| digest.clone()).unwrap_or_default()
            });
            if let Some((_, digest)) = digests.into_iter().find(|(kind, _)| *kind == Digest::Md5) {
                *md5 = Some(digest);
            }
            self.encoder.put_line(out, &text);
        }
    }
}

/// Writes the records of one file.
#[derive(Debug)]
pub(crate) struct RecordWriter<'f> {
    format: &'f Format,
    clocks: Vec<ZoneClock>,
    stamps: Vec<Stamp>,
    scratch: Vec<u8>,
    /// One field that is written the long way.
    long: Vec<u8>,
    hex: String,
    /// The steps of records of one shape.
    folded: Folded,
}

impl<'f> RecordWriter<'f> {
    /// `zone` is that of times that name no other.
    pub(crate) fn new(format: &'f Format, zone: Tz) -> Self {
        Self {
            format,
            clocks: format.zones.iter().map(|own| ZoneClock::new(own.unwrap_or(zone))).collect(),
            stamps: format.program.stamps.iter().map(|(pattern, _)| Stamp::new(pattern)).collect(),
            scratch: Vec::new(),
            long: Vec::new(),
            hex: String::new(),
            folded: Folded::default(),
        }
    }

    /// [`RecordWriter::write`] for any processor, as a call of its own.
    #[inline(never)]
    pub(crate) fn write_anywhere<'a>(
        &mut self,
        out: &mut Out,
        row: &impl Facts<'a>,
        tally: &mut Tally,
    ) -> Result<(), Misfit> {
        let (program, begin) = (&self.format.program, out.len());
        let written = on_any_processor!(simd => self.write_into(simd, out, program, row, tally));
        if written.is_err() {
            out.truncate(begin);
        }
        written
    }

    /// Before and behind many calls of [`RecordWriter::write`]: what was worked out in other files is used, and left to others.
    pub(crate) fn begin_turn(&mut self) {
        self.folded = self.format.shelf.take();
    }

    pub(crate) fn end_turn(&mut self) {
        self.format.shelf.give_back(std::mem::take(&mut self.folded));
    }

    /// Appends one record, with the end of its line. On an error `out` is as it was.
    ///
    /// What is written is the same with every `simd`; how quickly depends on it.
    #[inline(always)]
    pub(crate) fn write<S: Simd>(
        &mut self,
        simd: S,
        out: &mut Out,
        row: &Row<'_, '_>,
        tally: &mut Tally,
    ) -> Result<(), Misfit> {
        let mut folded = std::mem::take(&mut self.folded);
        let (format, shape, begin) = (self.format, row.shape(), out.len());
        let (program, is_due) = folded.of(shape, &format.program);
        let written = self.write_into(simd, out, program, row, tally);
        if written.is_err() {
            out.truncate(begin);
        }
        if is_due {
            folded.keep(shape, self.fold(row));
        }
        self.folded = folded;
        written
    }

    #[inline(always)]
    fn write_into<'a, S: Simd>(
        &mut self,
        simd: S,
        out: &mut Out,
        program: &Program,
        row: &impl Facts<'a>,
        tally: &mut Tally,
    ) -> Result<(), Misfit> {
        let mut line = out.line(program.bytes_max);
        program.put(&mut line, program.head);
        for step in &program.steps {
            let (field_idx, is_wrapped) = match &step.value {
                StepValue::Plain(plain) => {
                    let value = row.value_here(plain.fact);
                    if matches!(value, Value::Absent) {
                        program.put(&mut line, plain.absent);
                        continue;
                    }
                    let at = line.at;
                    if self.put_value(simd, &mut line, program, value, plain, tally).is_some() {
                        program.put(&mut line, step.after);
                        continue;
                    }
                    line.at = at;
                    (plain.field_idx, plain.is_wrapped)
                }
                StepValue::Field(field_idx) => (*field_idx, false),
            };
            let at = line.at;
            out.advance(at);
            self.write_long(out, row, field_idx, is_wrapped, tally)?;
            line = out.line(program.bytes_max);
            program.put(&mut line, step.after);
        }
        let at = line.at;
        out.advance(at);
        tally.rows += 1;
        let start = row.at_us();
        tally.first_us = Some(tally.first_us.map_or(start, |first| first.min(start)));
        tally.last_us = Some(tally.last_us.map_or(start, |last| last.max(start)));
        Ok(())
    }

    /// The steps of all records of the shape of `row`: what that settles is written by none of them.
    #[cold]
    #[inline(never)]
    fn fold(&mut self, row: &Row<'_, '_>) -> Program {
        let format = self.format;
        let program = &format.program;
        let mut tally = Tally::new(format);
        let mut bytes = Out::default();
        program.folded(|whole, step| {
            if !row.is_settled(step.fact) {
                return None;
            }
            let value = row.value(step.fact);
            if matches!(value, Value::Absent) {
                return Some(program.absent_of(whole).to_vec());
            }
            if step.what.is_summed() {
                return None;
            }
            bytes.clear();
            let mut line = bytes.line(program.bytes_max);
            on_any_processor!(simd => self.put_value(simd, &mut line, program, value, step, &mut tally))?;
            let at = line.at;
            bytes.advance(at);
            Some(bytes.as_slice().to_vec())
        })
    }

    /// Writes a field that needs a second look.
    #[inline(never)]
    fn write_long<'a>(
        &mut self,
        out: &mut Out,
        row: &impl Facts<'a>,
        field_idx: usize,
        is_wrapped: bool,
        tally: &mut Tally,
    ) -> Result<(), Misfit> {
        let format = self.format;
        let field = &format.fields[field_idx];
        let mut long = std::mem::take(&mut self.long);
        long.clear();
        let written = self.write_field(&mut long, field, row);
        self.long = long;
        let misfit = |why| Misfit { format: format.name.clone(), field: field.name.clone(), why };
        tally.sums[field_idx].0 += written.map_err(misfit)?.unwrap_or(0);
        out.put(match self.long.as_slice() {
            [_, inside @ .., _] if is_wrapped => inside,
            whole => whole,
        });
        Ok(())
    }

    /// Writes a value that goes into the line as it is, and adds it to the sum of its field; `None` where it needs a second look.
    #[inline(always)]
    fn put_value<S: Simd>(
        &mut self,
        simd: S,
        line: &mut Line<'_>,
        program: &Program,
        value: Value<'_>,
        step: &ValueStep,
        tally: &mut Tally,
    ) -> Option<()> {
        if let What::Words { words, otherwise } = &step.what {
            let flag;
            let ours = match value {
                Value::Text(ours) => ours.as_bytes(),
                Value::Flag(is_set) => {
                    flag = [b'0' + u8::from(is_set)];
                    flag.as_slice()
                }
                Value::Absent
                | Value::Hex(_)
                | Value::Number(_)
                | Value::Time(_)
                | Value::Micros(_)
                | Value::Amount(_) => return None,
            };
            let known = words.iter().find(|(word, _)| word == ours).map(|(_, theirs)| *theirs);
            program.put(line, known.or(*otherwise)?);
            return Some(());
        }
        let quote = if step.is_wrapped { None } else { step.quote };
        if let Some(quote) = quote {
            line.byte(quote);
        }
        let begin = line.at;
        match (value, &step.what) {
            (Value::Text(text), What::Text { case }) => {
                line.text(simd, text, &program.marks)?;
                if let Some(case) = case {
                    line.turn(begin, *case);
                }
            }
            (Value::Hex(id), What::Text { case: None }) => line.hex(id),
            (Value::Number(number), What::Number { is_summed }) => {
                line.number(number);
                if *is_summed && fits(line, begin, step) {
                    tally.sums[step.field_idx].0 += i128::from(number);
                }
            }
            (Value::Flag(true), What::Flag { is_bare: true }) => line.short(b"true"),
            (Value::Flag(false), What::Flag { is_bare: true }) => line.short(b"false"),
            (Value::Flag(flag), What::Flag { is_bare: false }) => line.byte(b'0' + u8::from(flag)),
            (Value::Time(micros), What::Time { stamp }) => {
                let (pattern, clock) = &program.stamps[*stamp];
                let (stamp, clock) = (&mut self.stamps[*stamp], &mut self.clocks[*clock]);
                let second = stamp.turn_to(pattern, micros.div_euclid(1_000_000), clock)?;
                line.stamp(stamp, second, u32::try_from(micros.rem_euclid(1_000_000)).unwrap_or(0));
            }
            (Value::Micros(micros), What::Scaled { factor, decimals, point, is_summed }) => {
                let scaled = rescaled(i64::try_from(micros).ok()?.checked_mul(*factor)?, 6, *decimals)?;
                line.scaled(scaled, *decimals, *point);
                if *is_summed && fits(line, begin, step) {
                    tally.sums[step.field_idx].0 += i128::from(scaled);
                }
            }
            (Value::Amount(amount), What::Scaled { factor, decimals, point, is_summed }) => {
                let mantissa = amount.small_mantissa()?.checked_mul(*factor)?;
                let scaled = rescaled(mantissa, usize::try_from(amount.scale()).ok()?, *decimals)?;
                line.scaled(scaled, *decimals, *point);
                if *is_summed && fits(line, begin, step) {
                    tally.sums[step.field_idx].0 += i128::from(scaled);
                }
            }
            _ => return None,
        }
        if let Some(fixed) = step.fixed {
            line.fill(begin, fixed)?;
        }
        if let Some(quote) = quote {
            line.byte(quote);
        }
        Some(())
    }

    /// Each field by itself.
    pub(crate) fn explain<'a>(&mut self, row: &impl Facts<'a>) -> Vec<Shown> {
        let mut column = 1;
        let mut shown = Vec::new();
        for (idx, field) in self.format.fields.iter().enumerate() {
            let mut out = Vec::new();
            let value = match self.write_field(&mut out, field, row) {
                Ok(_) => out.iter().map(|byte| char::from(*byte)).collect(),
                Err(why) => format!("cannot be written: it {why}"),
            };
            let value = match String::from_utf8(out) {
                Ok(text) if !text.is_empty() => text,
                Ok(_) | Err(_) => value,
            };
            let columns = match (self.format.encoder.layout, field.shape.width) {
                (Layout::Fixed, Some(width)) => {
                    column += width;
                    format!("{}-{}", column - width, column - 1)
                }
                _ => (idx + 1).to_string(),
            };
            shown.push(Shown { columns, name: field.name.clone(), value });
        }
        shown
    }

    /// Writes one value, and returns what it adds to the sum of its field.
    fn write_field<'a>(
        &mut self,
        out: &mut Vec<u8>,
        field: &Field,
        row: &impl Facts<'a>,
    ) -> Result<Option<i128>, &'static str> {
        let encoder = &self.format.encoder;
        let Source::Fact(fact) = field.source else {
            out.extend_from_slice(&field.absent);
            return Ok(None);
        };
        if field.when.as_ref().is_some_and(|when| !when.holds(row)) {
            out.extend_from_slice(&field.absent);
            return Ok(None);
        }
        match row.value(fact) {
            Value::Absent => {
                out.extend_from_slice(&field.absent);
                Ok(None)
            }
            Value::Text(text) => {
                let text = std::str::from_utf8(text.as_bytes()).map_err(|_| NOT_TEXT)?;
                encoder.put_word(out, field, text, &mut self.scratch)?;
                Ok(None)
            }
            Value::Hex(bytes) => {
                self.hex.clear();
                self.hex.push_str(&hex::encode(bytes));
                encoder.put_word(out, field, &self.hex, &mut self.scratch)?;
                Ok(None)
            }
            Value::Number(number) => {
                if field.words.is_empty() {
                    encoder.put_plain(out, field, &mut self.scratch, |out| push_number(out, number))?;
                } else {
                    let mut buffer = itoa::Buffer::new();
                    encoder.put_word(out, field, buffer.format(number), &mut self.scratch)?;
                }
                Ok(field.is_summed.then_some(i128::from(number)))
            }
            Value::Flag(flag) => {
                let text = match (encoder.layout, field.shape.is_quoted, flag) {
                    (Layout::Json, false, true) => "true",
                    (Layout::Json, false, false) => "false",
                    (_, _, true) => "1",
                    (_, _, false) => "0",
                };
                encoder.put_word(out, field, text, &mut self.scratch)?;
                Ok(None)
            }
            Value::Time(at) => {
                let Style::Time { pattern, clock } = &field.style else { return Ok(None) };
                let clock = &mut self.clocks[*clock];
                let at = DateTime::from_timestamp_micros(at).ok_or(TOO_LARGE)?;
                encoder.put_plain(out, field, &mut self.scratch, |out| pattern.write(out, at, clock))?;
                Ok(None)
            }
            Value::Micros(micros) => {
                let Style::Scaled { unit, decimals, point } = &field.style else { return Ok(None) };
                let denominator = match unit {
                    Unit::Milliseconds => 1_000,
                    Unit::Minutes => 60_000_000,
                    Unit::Seconds | Unit::Units | Unit::Cents | Unit::Thousandths | Unit::Millionths => {
                        1_000_000
                    }
                };
                let scaled = scale(i128::from(micros), denominator, *decimals).ok_or(TOO_LARGE)?;
                encoder.put_plain(out, field, &mut self.scratch, |out| {
                    push_scaled(out, scaled, *decimals, point);
                })?;
                Ok(field.is_summed.then_some(scaled))
            }
            Value::Amount(amount) => {
                let Style::Scaled { unit, decimals, point } = &field.style else { return Ok(None) };
                let factor = match unit {
                    Unit::Cents => 100,
                    Unit::Thousandths => 1_000,
                    Unit::Millionths => 1_000_000,
                    Unit::Units | Unit::Seconds | Unit::Milliseconds | Unit::Minutes => 1,
                };
                let numerator = amount.mantissa().checked_mul(factor).ok_or(TOO_LARGE)?;
                let scaled = scale(numerator, 10_i128.pow(amount.scale()), *decimals).ok_or(TOO_LARGE)?;
                encoder.put_plain(out, field, &mut self.scratch, |out| {
                    push_scaled(out, scaled, *decimals, point);
                })?;
                Ok(field.is_summed.then_some(scaled))
            }
        }
    }
}

/// Whether what was written from `begin` on is no wider than its field: else it is written, and added, the long way.
#[inline(always)]
fn fits(line: &Line<'_>, begin: usize, step: &ValueStep) -> bool {
    step.fixed.is_none_or(|fixed| line.at - begin <= fixed.width)
}

/// Marks, characters and widths: how characters get into a line.
#[derive(Debug, Clone)]
pub(super) struct Encoder {
    pub(super) layout: Layout,
    charset: Charset,
    unfit: Unfit,
    pub(super) separator: u8,
    pub(super) quote: Option<u8>,
    pub(super) escape: Option<u8>,
    /// Quotes only where they are needed.
    is_sparing: bool,
    pub(super) line_end: &'static [u8],
    /// Bytes that cannot go into a line as they are.
    is_special: [bool; 256],
}

impl Encoder {
    #[expect(clippy::too_many_arguments, reason = "one description, taken apart once")]
    pub(super) fn new(
        layout: Layout,
        charset: Charset,
        unfit: Unfit,
        separator: u8,
        quote: Option<u8>,
        escape: Option<u8>,
        is_sparing: bool,
        line_end: &'static [u8],
    ) -> Self {
        let mut is_special = [false; 256];
        for (byte, special) in (0_u8..=255).zip(&mut is_special) {
            let is_mark = match layout {
                Layout::Fixed => false,
                Layout::Json => matches!(byte, b'"' | b'\\'),
                Layout::Delimited => {
                    let guarded = quote.unwrap_or(separator);
                    byte == guarded
                        || Some(byte) == escape
                        || is_sparing && (byte == separator || byte == b' ')
                }
            };
            // 0xC2 leads the C1 controls in UTF-8; what is no ASCII needs a look in other character sets.
            let is_foreign = if charset == Charset::Utf8 { byte == 0xC2 } else { byte >= 0x80 };
            *special = is_mark || byte.is_ascii_control() || is_foreign;
        }
        Self { layout, charset, unfit, separator, quote, escape, is_sparing, line_end, is_special }
    }

    /// What a text must not have in it to go into a line as it is, beside control characters and what is no ASCII.
    pub(super) fn marks(&self) -> Marks {
        let (quote, escape) = match self.layout {
            Layout::Fixed => (None, None),
            Layout::Json => (Some(b'"'), Some(b'\\')),
            Layout::Delimited => (Some(self.quote.unwrap_or(self.separator)), self.escape),
        };
        let delete = 0x7f;
        let is_sparing = self.layout == Layout::Delimited && self.is_sparing;
        Marks::new(
            [delete, quote.unwrap_or(delete), escape.unwrap_or(delete)],
            is_sparing.then_some(self.separator),
        )
    }

    /// What is written before and behind a value that needs no second look.
    pub(super) fn quote_of(&self, is_quoted: bool) -> Option<u8> {
        if is_quoted && !self.is_sparing { self.quote_byte() } else { None }
    }

    /// Whether the values of a field never need a second look.
    pub(super) fn is_direct(&self, field: &Field) -> bool {
        let is_text = matches!(field.style, Style::Text);
        !is_text && field.shape.width.is_none() && field.shape.case.is_none() && self.has_no_marks(field)
    }

    /// Whether the characters of a field's values, and those that fill it up, are never marks; of texts only the latter.
    pub(super) fn has_no_marks(&self, field: &Field) -> bool {
        if field.shape.width.is_some() && self.is_special[usize::from(field.shape.pad)] {
            return false;
        }
        let mut sample = b"0123456789-".to_vec();
        match &field.style {
            Style::Text => sample.clear(),
            Style::Number | Style::Flag => {}
            Style::Time { pattern, .. } => {
                pattern.write(&mut sample, DateTime::UNIX_EPOCH, &mut ZoneClock::new(Tz::UTC));
                sample.push(b'+');
            }
            Style::Scaled { point, .. } => sample.extend_from_slice(point),
        }
        !sample.iter().any(|byte| self.is_special[usize::from(*byte)])
    }

    /// The bytes of a constant.
    pub(super) fn ready(&self, text: &str, shape: &Shape) -> Result<Vec<u8>, &'static str> {
        let (mut out, mut scratch) = (Vec::new(), Vec::new());
        let shape = Shape { overflow: Overflow::Refuse, ..shape.clone() };
        self.put_shaped(&mut out, &shape, text, &mut scratch)?;
        Ok(out)
    }

    /// A line outside of the records, in the file's characters and with its end.
    pub(super) fn put_line(&self, out: &mut Vec<u8>, line: &str) {
        // What does not fit is replaced even where records would be refused: a file must have its header.
        let _ = self.encode(out, line, None, Unfit::Replace);
        out.extend_from_slice(self.line_end);
    }

    /// A text, by way of the partner's words.
    fn put_word(
        &self,
        out: &mut Vec<u8>,
        field: &Field,
        text: &str,
        scratch: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        if !field.words.is_empty() {
            let word = field.words.iter().find(|(ours, _)| ours == text).map(|(_, theirs)| theirs);
            if let Some(ready) = word.or(field.otherwise.as_ref()) {
                out.extend_from_slice(ready);
                return Ok(());
            }
        }
        let is_simple = field.shape.width.is_none()
            && field.shape.case.is_none()
            && !text.bytes().any(|byte| self.is_special[usize::from(byte)]);
        if is_simple {
            self.put_quoted(out, field.shape.is_quoted, text.as_bytes());
            return Ok(());
        }
        self.put_shaped(out, &field.shape, text, scratch)
    }

    /// Characters of a number or a time.
    fn put_plain(
        &self,
        out: &mut Vec<u8>,
        field: &Field,
        scratch: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), &'static str> {
        if field.is_direct {
            let quote = if field.shape.is_quoted && !self.is_sparing { self.quote_byte() } else { None };
            out.extend(quote);
            write(out);
            out.extend(quote);
            return Ok(());
        }
        scratch.clear();
        write(scratch);
        fit(scratch, &field.shape, self.charset)?;
        self.put_marked(out, field.shape.is_quoted, scratch);
        Ok(())
    }

    fn put_shaped(
        &self,
        out: &mut Vec<u8>,
        shape: &Shape,
        text: &str,
        scratch: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        scratch.clear();
        self.encode(scratch, text, shape.case, self.unfit)?;
        fit(scratch, shape, self.charset)?;
        self.put_marked(out, shape.is_quoted, scratch);
        Ok(())
    }

    /// A value that was read, as it would be written.
    pub(super) fn put_again(&self, out: &mut Vec<u8>, field: &Field, value: &[u8]) {
        self.put_marked(out, field.shape.is_quoted, value);
    }

    fn quote_byte(&self) -> Option<u8> {
        match self.layout {
            Layout::Json => Some(b'"'),
            Layout::Delimited => self.quote,
            Layout::Fixed => None,
        }
    }

    /// Bytes without marks in them.
    fn put_quoted(&self, out: &mut Vec<u8>, is_quoted: bool, bytes: &[u8]) {
        let quote = if is_quoted && !self.is_sparing { self.quote_byte() } else { None };
        out.extend(quote);
        out.extend_from_slice(bytes);
        out.extend(quote);
    }

    /// Bytes that may be marks.
    fn put_marked(&self, out: &mut Vec<u8>, is_quoted: bool, bytes: &[u8]) {
        match self.layout {
            Layout::Fixed => out.extend_from_slice(bytes),
            Layout::Json if !is_quoted => out.extend_from_slice(bytes),
            Layout::Json => {
                out.push(b'"');
                for byte in bytes {
                    if matches!(byte, b'"' | b'\\') {
                        out.push(b'\\');
                    }
                    out.push(*byte);
                }
                out.push(b'"');
            }
            Layout::Delimited => {
                let guarded = self.quote.unwrap_or(self.separator);
                let needs_quotes = !self.is_sparing
                    || bytes.first() == Some(&b' ')
                    || bytes.last() == Some(&b' ')
                    || bytes.iter().any(|byte| {
                        *byte == self.separator || Some(*byte) == self.quote || Some(*byte) == self.escape
                    });
                let quote = if needs_quotes { self.quote } else { None };
                out.extend(quote);
                for byte in bytes {
                    if let Some(escape) = self.escape
                        && (*byte == guarded || *byte == escape)
                    {
                        out.push(escape);
                    }
                    out.push(*byte);
                }
                out.extend(quote);
            }
        }
    }

    /// `text` in the file's characters. A line feed from a caller's name must not become a second record, so control
    /// characters become blanks.
    fn encode(
        &self,
        out: &mut Vec<u8>,
        text: &str,
        case: Option<Case>,
        unfit: Unfit,
    ) -> Result<(), &'static str> {
        let mut put = |c: char| -> Result<(), &'static str> {
            let c = if c.is_control() { ' ' } else { c };
            let limit = match self.charset {
                Charset::Utf8 => {
                    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                    return Ok(());
                }
                Charset::Latin1 => 0xFF,
                Charset::Ascii => 0x7F,
            };
            match u8::try_from(u32::from(c)) {
                Ok(byte) if byte <= limit => out.push(byte),
                Ok(_) | Err(_) => match unfit {
                    Unfit::Replace => out.push(b'?'),
                    Unfit::Drop => {}
                    Unfit::Refuse => return Err(UNKNOWN_CHARACTER),
                },
            }
            Ok(())
        };
        for c in text.chars() {
            match case {
                None => put(c)?,
                Some(Case::Upper) => c.to_uppercase().try_for_each(&mut put)?,
                Some(Case::Lower) => c.to_lowercase().try_for_each(&mut put)?,
            }
        }
        Ok(())
    }
}

/// Cuts or fills up to the width of a field.
fn fit(value: &mut Vec<u8>, shape: &Shape, charset: Charset) -> Result<(), &'static str> {
    let Some(width) = shape.width else { return Ok(()) };
    let n_chars = match charset {
        Charset::Utf8 => value.iter().filter(|byte| !is_continuation(**byte)).count(),
        Charset::Latin1 | Charset::Ascii => value.len(),
    };
    if n_chars > width {
        if shape.overflow == Overflow::Refuse {
            return Err(TOO_WIDE);
        }
        let end = match charset {
            Charset::Utf8 => {
                let mut begins = value.iter().enumerate().filter(|(_, byte)| !is_continuation(**byte));
                begins.nth(width).map_or(value.len(), |(at, _)| at)
            }
            Charset::Latin1 | Charset::Ascii => width,
        };
        value.truncate(end);
        return Ok(());
    }
    let missing = width - n_chars;
    match shape.align {
        Align::Left => value.resize(value.len() + missing, shape.pad),
        Align::Right => {
            // Zeros go between a sign and its digits.
            let at = usize::from(shape.pad == b'0' && value.first() == Some(&b'-'));
            value.splice(at..at, std::iter::repeat_n(shape.pad, missing));
        }
    }
    Ok(())
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xC0 == 0x80
}
