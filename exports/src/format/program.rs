//! A format as a flat list of steps, for the fields that most files are made of: a literal, then a value that goes into the
//! line as it is. Whatever needs more (a width, a case, a partner's words, a condition) is left to [`super::write`].
//!
//! In: fields. Out: steps that write a record into one buffer, without a string or a call of `memcpy` for a few bytes.

use super::digits::{PAIRS, power_of_ten};
use super::field::{Field, Source, Style};
use super::time_pattern::{Stamp, TimePattern};
use super::write::Encoder;
use crate::fact::{Fact, Kind};
use crate::format::description::{Layout, Unit};

/// Bytes that a step other than a text may write at most, its quotes included.
const STEP_BYTES_MAX: usize = 96;

/// One step of a record.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// Bytes that are the same in every record.
    Literal(Literal),
    /// A value, and what stands in its place when there is none.
    Value { fact: Fact, what: What, absent: Literal, quote: Option<u8>, field_idx: usize },
    /// A field that needs a second look.
    Field(usize),
}

/// How a value becomes characters.
#[derive(Debug, Clone)]
pub(super) enum What {
    Text,
    Number {
        is_summed: bool,
    },
    Flag {
        is_bare: bool,
    },
    Time {
        stamp: usize,
    },
    /// Times `factor`, with so many decimals.
    Scaled {
        factor: i64,
        decimals: usize,
        point: Option<u8>,
        is_summed: bool,
    },
}

/// A part of the pool.
#[derive(Debug, Clone, Copy)]
pub(super) struct Literal {
    begin: usize,
    len: usize,
}

/// Bytes that must not go into a line as they are.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    /// Each eight times, some of them twice to fill the place.
    bytes: [u64; 4],
    /// Those of formats that quote only what must be.
    more: Option<[u64; 2]>,
    /// Those from 0x80 on too.
    is_ascii_only: bool,
}

/// The steps of a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    pub(super) steps: Vec<Step>,
    /// Literals, one behind the other, and room behind the last so that each can be copied in one piece.
    pool: Vec<u8>,
    pub(super) marks: Marks,
    /// Patterns of times, and the clock of each.
    pub(super) stamps: Vec<(TimePattern, usize)>,
    /// Most bytes that the literals and values of a record take, its texts apart.
    pub(super) bytes_max: usize,
}

/// The longest piece that is copied at once.
const PIECE: usize = 32;

impl Program {
    pub(super) fn new(fields: &[Field], encoder: &Encoder, record_end: &[u8]) -> Self {
        let mut program = Self { marks: encoder.marks(), ..Self::default() };
        let mut same = Vec::new();
        for (field_idx, field) in fields.iter().enumerate() {
            same.extend_from_slice(&field.lead);
            match (&field.source, program.what_of(field, encoder)) {
                (Source::Constant, _) => same.extend_from_slice(&field.absent),
                (Source::Fact(fact), Some(what)) => {
                    program.flush(&mut same);
                    let absent = program.literal(&field.absent);
                    let quote = encoder.quote_of(field.shape.is_quoted);
                    program.bytes_max += STEP_BYTES_MAX + absent.len;
                    program.steps.push(Step::Value { fact: *fact, what, absent, quote, field_idx });
                }
                (Source::Fact(_), None) => {
                    program.flush(&mut same);
                    program.steps.push(Step::Field(field_idx));
                }
            }
        }
        same.extend_from_slice(record_end);
        program.flush(&mut same);
        program.pool.extend_from_slice(&[0; PIECE]);
        program
    }

    fn flush(&mut self, same: &mut Vec<u8>) {
        if !same.is_empty() {
            let literal = self.literal(same);
            self.bytes_max += literal.len;
            self.steps.push(Step::Literal(literal));
            same.clear();
        }
    }

    fn literal(&mut self, bytes: &[u8]) -> Literal {
        let begin = self.pool.len();
        self.pool.extend_from_slice(bytes);
        Literal { begin, len: bytes.len() }
    }

    fn what_of(&mut self, field: &Field, encoder: &Encoder) -> Option<What> {
        let shape = &field.shape;
        if shape.width.is_some() || shape.case.is_some() || !field.words.is_empty() || field.when.is_some() {
            return None;
        }
        let is_text = field.kind == Kind::Text;
        if !is_text && !field.is_direct {
            return None;
        }
        match &field.style {
            Style::Text => Some(What::Text),
            Style::Number => Some(What::Number { is_summed: field.is_summed }),
            Style::Flag => Some(What::Flag { is_bare: encoder.layout == Layout::Json && !shape.is_quoted }),
            Style::Time { pattern, clock } => {
                pattern.width().filter(|width| *width <= Stamp::BYTES_MAX)?;
                let known = self.stamps.iter().position(|stamp| stamp.0 == *pattern && stamp.1 == *clock);
                let stamp = known.unwrap_or_else(|| {
                    self.stamps.push((pattern.clone(), *clock));
                    self.stamps.len() - 1
                });
                Some(What::Time { stamp })
            }
            Style::Scaled { unit, decimals, point } => {
                let factor = match unit {
                    Unit::Units | Unit::Seconds => 1,
                    Unit::Cents => 100,
                    Unit::Thousandths | Unit::Milliseconds => 1_000,
                    Unit::Millionths => 1_000_000,
                    Unit::Minutes => return None,
                };
                let point = point.first().copied();
                Some(What::Scaled { factor, decimals: *decimals, point, is_summed: field.is_summed })
            }
        }
    }

    pub(super) fn put(&self, out: &mut Out, literal: Literal) {
        let Literal { begin, len } = literal;
        if len <= PIECE
            && let Some(piece) = self.pool[begin..].first_chunk::<PIECE>()
        {
            out.piece(piece, len);
            return;
        }
        out.put(&self.pool[begin..begin + len]);
    }
}

const ONES: u64 = 0x0101_0101_0101_0101;
const TOPS: u64 = 0x8080_8080_8080_8080;

impl Marks {
    pub(super) fn new(bytes: [u8; 4], more: Option<[u8; 2]>, is_ascii_only: bool) -> Self {
        let eight_of = |byte: u8| ONES * u64::from(byte);
        Self { bytes: bytes.map(eight_of), more: more.map(|more| more.map(eight_of)), is_ascii_only }
    }

    /// Whether one of eight bytes is a mark or a control character. Now and then yes where it is none: then the slow way
    /// finds out.
    #[inline]
    fn any(&self, eight: u64) -> bool {
        // The lowest byte that is marked is right; those above it may be so for its borrow.
        let mut found = eight.wrapping_sub(ONES * 0x20) & !eight;
        let mut look_for = |mark: u64| {
            let same = eight ^ mark;
            found |= same.wrapping_sub(ONES) & !same;
        };
        self.bytes.into_iter().for_each(&mut look_for);
        if let Some(more) = self.more {
            more.into_iter().for_each(look_for);
        }
        if self.is_ascii_only {
            found |= eight;
        }
        found & TOPS != 0
    }

    /// Whether `text` can go into a line as it is.
    #[inline]
    pub(super) fn are_none_in(&self, text: &[u8]) -> bool {
        let (eights, _) = text.as_chunks::<8>();
        if let Some(last) = text.last_chunk::<8>() {
            return !eights.iter().any(|eight| self.any(u64::from_le_bytes(*eight)))
                && !self.any(u64::from_le_bytes(*last));
        }
        // Filled up with one of its own.
        let Some(first) = text.first() else { return true };
        let mut eight = [*first; 8];
        for (to, from) in eight.iter_mut().zip(text) {
            *to = *from;
        }
        !self.any(u64::from_le_bytes(eight))
    }
}

/// A buffer that is written from the front. Its bytes are there before they are written, so that a few of them are stored
/// without asking for room each time.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    len: usize,
}

impl Out {
    pub(crate) fn with_room(n_bytes: usize) -> Self {
        Self { bytes: vec![0; n_bytes], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    /// Forgets what was written from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Puts `new` in place of the first `n_old` bytes.
    pub(crate) fn replace_front(&mut self, n_old: usize, new: &[u8]) {
        if n_old == new.len() {
            self.bytes[..n_old].copy_from_slice(new);
            return;
        }
        self.bytes.truncate(self.len);
        self.bytes.splice(..n_old, new.iter().copied());
        self.len = self.bytes.len();
    }

    /// Makes room for so many bytes.
    #[inline]
    pub(crate) fn room(&mut self, n_bytes: usize) {
        let needed = self.len + n_bytes + PIECE;
        if needed > self.bytes.len() {
            self.bytes.resize(needed.max(self.bytes.len() * 2), 0);
        }
    }

    /// The first `len` bytes of a piece, for which there is room.
    #[inline]
    fn piece<const N: usize>(&mut self, piece: &[u8; N], len: usize) {
        self.bytes[self.len..self.len + N].copy_from_slice(piece);
        self.len += len;
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// Bytes of any number, for which room is made.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        self.short(bytes);
    }

    /// Bytes for which there is room; quickest where they are few.
    #[inline]
    pub(super) fn short(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        let to = &mut self.bytes[self.len..end];
        // Two copies of a fixed size that overlap in the middle.
        if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>())
            && bytes.len() <= 32
        {
            to[..16].copy_from_slice(first);
            to[bytes.len() - 16..].copy_from_slice(last);
        } else if bytes.len() > 32 {
            to.copy_from_slice(bytes);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            to[..8].copy_from_slice(first);
            to[bytes.len() - 8..].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            to[..4].copy_from_slice(first);
            to[bytes.len() - 4..].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
            to[..2].copy_from_slice(first);
            to[bytes.len() - 2..].copy_from_slice(last);
        } else if let [byte] = bytes {
            to[0] = *byte;
        }
        self.len = end;
    }

    #[inline]
    pub(super) fn number(&mut self, number: i64) {
        self.short(itoa::Buffer::new().format(number).as_bytes());
    }

    /// `scaled` with its last `decimals` digits behind the point.
    #[inline]
    pub(super) fn scaled(&mut self, scaled: i64, decimals: usize, point: Option<u8>) {
        if scaled < 0 {
            self.byte(b'-');
        }
        let magnitude = scaled.unsigned_abs();
        // Divisions by what the compiler knows are multiplications.
        let (whole, mut fraction) = match decimals {
            0 => (magnitude, 0),
            3 => (magnitude / 1_000, magnitude % 1_000),
            6 => (magnitude / 1_000_000, magnitude % 1_000_000),
            other => {
                let split = power_of_ten(other);
                (magnitude / split, magnitude % split)
            }
        };
        if whole < 10 {
            self.byte(b'0' + u8::try_from(whole).unwrap_or(0));
        } else {
            self.short(itoa::Buffer::new().format(whole).as_bytes());
        }
        if decimals == 0 {
            return;
        }
        if let Some(point) = point {
            self.byte(point);
        }
        let mut digits = [b'0'; 16];
        let mut at = decimals;
        while at >= 2 {
            at -= 2;
            let pair = usize::try_from(fraction % 100).unwrap_or(0);
            digits[at..at + 2].copy_from_slice(&PAIRS[pair]);
            fraction /= 100;
        }
        if at == 1 {
            digits[0] = b'0' + u8::try_from(fraction % 10).unwrap_or(0);
        }
        self.piece(&digits, decimals);
    }

    #[inline]
    pub(super) fn stamp(&mut self, stamp: &Stamp, second_of_day: u32, micros: u32) {
        let begin = self.len;
        self.piece(&stamp.bytes, stamp.len);
        stamp.patch(&mut self.bytes[begin..begin + stamp.len], second_of_day, micros);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_nothing_has_no_marks_whatever_they_are() {
        assert!(Marks::new([0, 0, b'0', 0], None, false).are_none_in(b""));
        assert!(Marks::new([0, 0, b'0', 0], None, false).are_none_in(b"1"));
        assert!(!Marks::new([0, 0, b'0', 0], None, false).are_none_in(b"10"));
    }

    proptest! {
        #[test]
        fn marks_are_never_overlooked(text in prop::collection::vec(any::<u8>(), 0..40), marks: [u8; 4], more: Option<[u8; 2]>, is_ascii_only: bool) {
            let found = Marks::new(marks, more, is_ascii_only);
            let marks: Vec<u8> = marks.into_iter().chain(more.into_iter().flatten()).collect();
            let is_one = |byte: &u8| *byte < 0x20 || marks.contains(byte) || is_ascii_only && *byte >= 0x80;
            if text.iter().any(is_one) {
                prop_assert!(!found.are_none_in(&text));
            }
            let plain: Vec<u8> = text.iter().map(|byte| b'a' + byte % 16).collect();
            if !plain.iter().any(|byte| marks.contains(byte)) {
                prop_assert!(found.are_none_in(&plain));
            }
        }

        #[test]
        fn bytes_of_every_length_arrive(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let mut out = Out::with_room(0);
            for piece in &pieces {
                out.put(piece);
            }
            prop_assert_eq!(out.into_bytes(), pieces.concat());
        }

        #[test]
        fn scaled_numbers_are_those_of_the_slow_way(scaled: i64, decimals in 0_usize..10) {
            let (mut out, mut slow) = (Out::with_room(64), Vec::new());
            out.scaled(scaled, decimals, Some(b'.'));
            super::super::digits::push_scaled(&mut slow, i128::from(scaled), decimals, b".");
            prop_assert_eq!(out.into_bytes(), slow);
        }
    }
}
