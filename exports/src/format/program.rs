//! A format as a flat list of steps, for the fields that most files are made of: a literal, then a value that goes into the
//! line as it is. Whatever needs more (a width, a case, a partner's words, a condition) is left to [`super::write`].
//!
//! In: fields. Out: steps that write a record into one buffer, without a string or a call of `memcpy` for a few bytes.

use fearless_simd::{Simd, i8x16, i8x32, i8x64, prelude::*, u8x16, u8x32, u8x64};
use model::wire::view::RawText;

use super::description::{Align, Case, Layout, Unit};
use super::digits::{PAIRS, power_of_ten};
use super::field::{Field, Source, Style};
use super::time_pattern::{Stamp, TimePattern};
use super::write::Encoder;
use crate::fact::Fact;

/// Bytes of the longest text, and of the widest field, that a step writes; longer ones are left to [`super::write`].
pub(super) const SHORT: usize = 64;
/// Bytes that a step may write at most, its quotes and what it writes beyond its end included.
const STEP_BYTES_MAX: usize = SHORT + PIECE + 4;

/// One step of a record: a value, and the bytes behind it that are the same in every record.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) value: StepValue,
    pub(super) after: Literal,
}

#[derive(Debug, Clone)]
pub(super) enum StepValue {
    /// A value that goes into the line as it is.
    Plain(ValueStep),
    /// A field that needs a second look.
    Field(usize),
}

/// A value, and what stands in its place when there is none.
#[derive(Debug, Clone)]
pub(super) struct ValueStep {
    pub(super) fact: Fact,
    pub(super) what: What,
    /// With the bytes behind it.
    pub(super) absent: Literal,
    /// Before and behind the value.
    pub(super) quote: Option<u8>,
    /// The quotes are in the literals around it.
    pub(super) is_wrapped: bool,
    pub(super) fixed: Option<Fixed>,
    pub(super) field_idx: usize,
}

/// The place of a value in a line of columns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    pub(super) width: usize,
    pub(super) is_left: bool,
    pub(super) pad: u8,
}

/// How a value becomes characters.
#[derive(Debug, Clone)]
pub(super) enum What {
    Text {
        case: Option<Case>,
    },
    /// Each of our words, and the partner's, with quotes and padding.
    Words {
        words: Vec<(Vec<u8>, Literal)>,
        otherwise: Option<Literal>,
    },
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

impl What {
    /// Whether each value counts.
    pub(super) fn is_summed(&self) -> bool {
        match self {
            What::Number { is_summed } | What::Scaled { is_summed, .. } => *is_summed,
            What::Text { .. } | What::Words { .. } | What::Flag { .. } | What::Time { .. } => false,
        }
    }
}

/// A part of the pool.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Literal {
    begin: usize,
    len: usize,
}

/// Bytes that must not go into a line as they are: these, control characters and whatever is no ASCII, which has to be looked
/// at more closely.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    bytes: [u8; 3],
    /// The separator, in formats that quote only what must be. There a blank is a mark too, where a text begins or ends with it.
    separator: Option<u8>,
}

/// The steps of a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// Before the first value.
    pub(super) head: Literal,
    pub(super) steps: Vec<Step>,
    /// Literals, one behind the other, and room behind the last so that each can be copied in one piece.
    pool: Vec<u8>,
    pub(super) marks: Marks,
    /// Patterns of times, and the clock of each.
    pub(super) stamps: Vec<(TimePattern, usize)>,
    /// Most bytes that a record takes whose values need no second look.
    pub(super) bytes_max: usize,
    /// Bytes of its literals and, on average, of its values.
    pub(super) bytes_usual: usize,
}

/// Bytes of one value, on average.
const VALUE_BYTES_USUAL: usize = 11;

/// The longest piece that is copied at once; most are half of it.
const PIECE: usize = 64;
const HALF: usize = PIECE / 2;

impl Program {
    pub(super) fn new(fields: &[Field], encoder: &Encoder, record_end: &[u8]) -> Self {
        let mut program = Self { marks: encoder.marks(), ..Self::default() };
        let (mut same, mut absents) = (Vec::new(), Vec::new());
        for (field_idx, field) in fields.iter().enumerate() {
            same.extend_from_slice(&field.lead);
            let fact = match field.source {
                Source::Constant => {
                    same.extend_from_slice(&field.absent);
                    continue;
                }
                Source::Fact(fact) => fact,
            };
            program.bytes_usual += field.shape.width.unwrap_or(VALUE_BYTES_USUAL);
            let Some(what) = program.what_of(field, encoder) else {
                program.flush(&mut same, &absents);
                program.push(StepValue::Field(field_idx));
                absents = Vec::new();
                continue;
            };
            let quote = match what {
                What::Words { .. } => None,
                What::Text { .. }
                | What::Number { .. }
                | What::Flag { .. }
                | What::Time { .. }
                | What::Scaled { .. } => encoder.quote_of(field.shape.is_quoted),
            };
            // Where an absent value has its quotes too, they are the same in every record.
            let inside = quote.and_then(|quote| match field.absent.as_slice() {
                [first, inside @ .., last] if *first == quote && *last == quote => Some((quote, inside)),
                _ => None,
            });
            if let Some((quote, _)) = inside {
                same.push(quote);
            }
            program.flush(&mut same, &absents);
            absents = inside.map_or(field.absent.as_slice(), |(_, inside)| inside).to_vec();
            program.bytes_max += STEP_BYTES_MAX.max(absents.len() + PIECE);
            let fixed = field.shape.width.map(|width| Fixed {
                width,
                is_left: field.shape.align == Align::Left,
                pad: field.shape.pad,
            });
            let is_wrapped = inside.is_some();
            let absent = Literal::default();
            let step = ValueStep { fact, what, absent, quote, is_wrapped, fixed, field_idx };
            program.push(StepValue::Plain(step));
            if let Some((quote, _)) = inside {
                same.push(quote);
            }
        }
        same.extend_from_slice(record_end);
        program.flush(&mut same, &absents);
        program.pool.extend_from_slice(&[0; PIECE]);
        program
    }

    /// The same, with what `settled` has of a step put into place.
    pub(super) fn folded(&self, mut settled: impl FnMut(&Step, &ValueStep) -> Option<Vec<u8>>) -> Self {
        let mut folded = Self { steps: Vec::new(), ..self.clone() };
        let mut same = self.bytes_of(self.head).to_vec();
        let mut absent: &[u8] = &[];
        for step in &self.steps {
            let after = self.bytes_of(step.after);
            if let StepValue::Plain(value) = &step.value
                && let Some(bytes) = settled(step, value)
            {
                same.extend_from_slice(&bytes);
                same.extend_from_slice(after);
                continue;
            }
            folded.flush(&mut same, absent);
            folded.push(step.value.clone());
            absent = self.absent_of(step);
            same.extend_from_slice(after);
        }
        folded.flush(&mut same, absent);
        folded.pool.extend_from_slice(&[0; PIECE]);
        folded
    }

    /// What stands in the place of a value that there is not.
    pub(super) fn absent_of(&self, step: &Step) -> &[u8] {
        match &step.value {
            // The bytes behind it are with it.
            StepValue::Plain(value) => {
                let whole = self.bytes_of(value.absent);
                &whole[..whole.len() - step.after.len]
            }
            StepValue::Field(_) => &[],
        }
    }

    fn bytes_of(&self, literal: Literal) -> &[u8] {
        &self.pool[literal.begin..literal.begin + literal.len]
    }

    fn push(&mut self, value: StepValue) {
        self.steps.push(Step { value, after: Literal::default() });
    }

    /// Puts `same` behind the last value, or behind `absent` in its place.
    fn flush(&mut self, same: &mut Vec<u8>, absent: &[u8]) {
        let whole = self.literal(&[absent, same.as_slice()].concat());
        let after = Literal { begin: whole.begin + absent.len(), len: same.len() };
        self.bytes_max += whole.len + PIECE;
        self.bytes_usual += after.len;
        match self.steps.last_mut() {
            None => self.head = after,
            Some(step) => {
                step.after = after;
                if let StepValue::Plain(value) = &mut step.value {
                    value.absent = whole;
                }
            }
        }
        same.clear();
    }

    fn literal(&mut self, bytes: &[u8]) -> Literal {
        let begin = self.pool.len();
        self.pool.extend_from_slice(bytes);
        Literal { begin, len: bytes.len() }
    }

    fn what_of(&mut self, field: &Field, encoder: &Encoder) -> Option<What> {
        let shape = &field.shape;
        if field.when.is_some() || shape.width.is_some_and(|width| width > SHORT) {
            return None;
        }
        if !field.words.is_empty() {
            let longest = field.words.iter().map(|(_, theirs)| theirs.len()).max();
            if longest.max(field.otherwise.as_ref().map(Vec::len)) > Some(SHORT) || field.is_summed {
                return None;
            }
            let words = field
                .words
                .iter()
                .map(|(ours, theirs)| (ours.clone().into_bytes(), self.literal(theirs)))
                .collect();
            let otherwise = field.otherwise.as_ref().map(|theirs| self.literal(theirs));
            return Some(What::Words { words, otherwise });
        }
        if !encoder.has_no_marks(field) {
            return None;
        }
        match &field.style {
            Style::Text => Some(What::Text { case: shape.case }),
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

    #[inline(always)]
    pub(super) fn put(&self, line: &mut Line<'_>, literal: Literal) {
        let Literal { begin, len } = literal;
        let from = &self.pool[begin..];
        if len <= HALF
            && let Some(piece) = from.first_chunk::<HALF>()
        {
            line.piece(piece, len);
        } else {
            line.pieces(from, len);
        }
    }
}

/// Whether one of these bytes is a mark, as a bit of each.
macro_rules! marks_in {
    ($simd:ident, $marks:ident, $piece:ident, $unsigned:ident, $signed:ident) => {{
        let bytes: $unsigned<S> = $piece.simd_into($simd);
        let signed: $signed<S> = bytes.bitcast();
        let is_same = |mark: u8| bytes.simd_eq($unsigned::splat($simd, mark));
        let [one, two, three] = $marks.bytes;
        // Bytes from 0x80 on are negative numbers.
        let mut found =
            signed.simd_lt($signed::splat($simd, 0x20)) | is_same(one) | is_same(two) | is_same(three);
        if let Some(separator) = $marks.separator {
            found |= is_same(separator);
        }
        found.to_bitmask()
    }};
}

impl Marks {
    pub(super) fn new(bytes: [u8; 3], separator: Option<u8>) -> Self {
        Self { bytes, separator }
    }

    /// Whether a text that begins and ends so has to be quoted for that.
    #[inline(always)]
    fn are_at_ends(&self, text: &[u8]) -> bool {
        self.separator.is_some() && (text.first() == Some(&b' ') || text.last() == Some(&b' '))
    }

    #[inline(always)]
    fn in_16<S: Simd>(&self, simd: S, piece: [u8; 16]) -> u64 {
        marks_in!(simd, self, piece, u8x16, i8x16)
    }

    #[inline(always)]
    fn in_32<S: Simd>(&self, simd: S, piece: [u8; HALF]) -> u64 {
        marks_in!(simd, self, piece, u8x32, i8x32)
    }

    #[inline(always)]
    fn in_64<S: Simd>(&self, simd: S, piece: [u8; PIECE]) -> u64 {
        marks_in!(simd, self, piece, u8x64, i8x64)
    }

    /// Whether `text` can go into a line as it is.
    #[inline]
    pub(super) fn are_none_in<S: Simd>(&self, simd: S, text: &[u8]) -> bool {
        let any = |sixteen| self.in_16(simd, sixteen) != 0;
        if let Some(last) = text.last_chunk::<16>() {
            let (sixteens, _) = text.as_chunks::<16>();
            return !sixteens.iter().any(|sixteen| any(*sixteen)) && !any(*last);
        }
        // Filled up with some of its own, in registers: bytes that were just stored in pieces cannot be loaded in one for a while.
        let sixteen = if let (Some(first), Some(last)) = (text.first_chunk::<8>(), text.last_chunk::<8>()) {
            sixteen_of(u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        } else if let (Some(first), Some(last)) = (text.first_chunk::<4>(), text.last_chunk::<4>()) {
            let both = u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << 32;
            sixteen_of(both, both)
        } else {
            let (Some(first), Some(middle), Some(last)) =
                (text.first(), text.get(text.len() / 2), text.last())
            else {
                return true;
            };
            let three = u64::from(*first)
                | u64::from(*middle) << 8
                | u64::from(*last) << 16
                | u64::from(*first) << 24;
            let both = three | three << 32;
            sixteen_of(both, both)
        };
        !any(sixteen)
    }
}

#[inline(always)]
fn sixteen_of(low: u64, high: u64) -> [u8; 16] {
    (u128::from(low) | u128::from(high) << 64).to_le_bytes()
}

/// The eight digits of a number below 10^8, the first in the lowest byte, without a detour through memory: halves, quarters and eighths of
/// it are divided side by side.
#[inline(always)]
fn eight_digits(number: u32) -> u64 {
    const ZEROS: u64 = u64::from_le_bytes([b'0'; 8]);
    let halves = u64::from(number / 10_000) | u64::from(number % 10_000) << 32;
    // 10486 / 2^20 is a hundredth, rounded down, of all below 10^4; 103 / 2^10 a tenth of all below 10^2.
    let hundreds = ((halves * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | (halves - hundreds * 100) << 16;
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    (tens | (pairs - tens * 10) << 8) + ZEROS
}

/// 10^8: what [`eight_digits`] takes is below.
const EIGHT: u64 = 100_000_000;

/// A buffer that is written from the front. Its bytes are there before they are written, so that a few of them are stored
/// without asking for room each time.
#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    len: usize,
}

/// Bytes that are there beyond those that are asked for: they are made, by filling them with zeros, when they are needed next.
const AHEAD: usize = 8 << 10;

impl Out {
    /// Goes on behind what is written.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self { len: bytes.len(), bytes }
    }

    /// Begins where something else was written that is of no use any more; whose bytes those are is forgotten with [`Out::into_bytes`].
    pub(crate) fn over(bytes: Vec<u8>) -> Self {
        Self { len: 0, bytes }
    }

    /// Puts `front` into the place of the first `n_bytes`.
    pub(crate) fn put_in_front(&mut self, n_bytes: usize, front: &[u8]) {
        if front.len() == n_bytes {
            self.bytes[..n_bytes].copy_from_slice(front);
            return;
        }
        let mut bytes = std::mem::take(self).into_bytes();
        bytes.splice(..n_bytes, front.iter().copied());
        *self = Self::behind(bytes);
    }

    /// What is written.
    pub(crate) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Forgets what was written behind that place.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Forgets what was written.
    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Room for a line of so many bytes at most.
    #[inline(always)]
    pub(super) fn line(&mut self, n_bytes: usize) -> Line<'_> {
        self.room(n_bytes);
        Line { bytes: &mut self.bytes[self.len..], at: 0 }
    }

    /// So many bytes more were written into [`Out::line`].
    #[inline(always)]
    pub(super) fn advance(&mut self, n_bytes: usize) {
        self.len += n_bytes;
    }

    /// Makes room for so many bytes.
    #[inline]
    pub(crate) fn room(&mut self, n_bytes: usize) {
        let needed = self.len + n_bytes + PIECE;
        if needed > self.bytes.len() {
            self.bytes.resize(needed + AHEAD, 0);
        }
    }

    /// Bytes of any number, for which room is made.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.room(bytes.len());
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Where a record is written: there is room for all of it, and for some bytes that are written beyond an end.
#[derive(Debug)]
pub(super) struct Line<'o> {
    bytes: &'o mut [u8],
    pub(super) at: usize,
}

impl Line<'_> {
    /// The first `len` bytes of a piece.
    #[inline(always)]
    fn piece<const N: usize>(&mut self, piece: &[u8; N], len: usize) {
        self.bytes[self.at..self.at + N].copy_from_slice(piece);
        self.at += len;
    }

    #[inline(always)]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    /// The first `len` bytes, in pieces that may take some of those behind them along.
    #[inline(always)]
    fn pieces(&mut self, from: &[u8], len: usize) {
        let mut left = len;
        let mut from = from;
        while left > 0
            && let Some((piece, rest)) = from.split_first_chunk::<PIECE>()
        {
            self.piece(piece, left.min(PIECE));
            left = left.saturating_sub(PIECE);
            from = rest;
        }
        debug_assert!(left == 0, "a literal without room behind it");
    }

    /// A text of [`SHORT`] bytes at most that has no marks; `None`, and nothing written, of others.
    #[inline(always)]
    pub(super) fn text<S: Simd>(&mut self, simd: S, text: RawText<'_>, marks: &Marks) -> Option<()> {
        let len = text.len();
        if marks.are_at_ends(text.as_bytes()) {
            return None;
        }
        // Nearly every text has so many bytes behind its beginning, some of them its own.
        if len <= HALF
            && let Some(piece) = text.piece::<HALF>()
        {
            let own = (1_u64 << len) - 1;
            if marks.in_32(simd, *piece) & own != 0 {
                return None;
            }
            self.piece(piece, len);
            return Some(());
        }
        if len < PIECE
            && let Some(piece) = text.piece::<PIECE>()
        {
            let own = (1_u64 << len) - 1;
            if marks.in_64(simd, *piece) & own != 0 {
                return None;
            }
            self.piece(piece, len);
            return Some(());
        }
        let bytes = text.as_bytes();
        if len > SHORT || !marks.are_none_in(simd, bytes) {
            return None;
        }
        self.short(bytes);
        Some(())
    }

    /// [`SHORT`] bytes at most; two copies of a fixed size that overlap in the middle.
    #[inline(always)]
    pub(super) fn short(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        let to = &mut self.bytes[self.at..self.at + SHORT];
        if let (Some(first), Some(last)) = (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
            if let (Some(first), Some(last)) = (bytes.first_chunk::<16>(), bytes.last_chunk::<16>()) {
                to[..16].copy_from_slice(first);
                if let (Some(second), Some(third)) =
                    (bytes.get(16..32), bytes.get(len.wrapping_sub(32)..len - 16))
                    && len > 32
                {
                    to[16..32].copy_from_slice(second);
                    to[len - 32..len - 16].copy_from_slice(third);
                }
                to[len - 16..len].copy_from_slice(last);
            } else {
                to[..8].copy_from_slice(first);
                to[len - 8..len].copy_from_slice(last);
            }
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            to[..4].copy_from_slice(first);
            to[len - 4..len].copy_from_slice(last);
        } else if let (Some(first), Some(last)) = (bytes.first_chunk::<2>(), bytes.last_chunk::<2>()) {
            to[..2].copy_from_slice(first);
            to[len - 2..len].copy_from_slice(last);
        } else if let [byte] = bytes {
            to[0] = *byte;
        }
        self.at += len;
    }

    #[inline(always)]
    pub(super) fn number(&mut self, number: i64) {
        if number < 0 {
            self.byte(b'-');
        }
        self.whole(number.unsigned_abs());
    }

    #[inline(always)]
    fn whole(&mut self, number: u64) {
        match usize::try_from(number) {
            Ok(small) if small < 10 => self.byte(PAIRS[small][1]),
            Ok(small) if small < 100 => self.piece(&PAIRS[small], 2),
            Ok(_) | Err(_) => {
                let (rest, last) = (number / EIGHT, number % EIGHT);
                if rest == 0 {
                    self.leading(last);
                    return;
                }
                let (rest, middle) = (rest / EIGHT, rest % EIGHT);
                if rest == 0 {
                    self.leading(middle);
                } else {
                    self.leading(rest);
                    self.eight(middle);
                }
                self.eight(last);
            }
        }
    }

    /// All eight digits of a number below 10^8.
    #[inline(always)]
    fn eight(&mut self, number: u64) {
        self.piece(&eight_digits(u32::try_from(number).unwrap_or(0)).to_le_bytes(), 8);
    }

    /// Those from the first on that is no zero, of which there is one.
    #[inline(always)]
    fn leading(&mut self, number: u64) {
        let digits = eight_digits(u32::try_from(number).unwrap_or(0));
        let n_zeros = ((digits & 0x0f0f_0f0f_0f0f_0f0f).trailing_zeros() / 8).min(7);
        let n_digits = 8 - usize::try_from(n_zeros).unwrap_or(0);
        self.piece(&(digits >> (n_zeros * 8)).to_le_bytes(), n_digits);
    }

    /// `scaled` with its last `decimals` digits behind the point.
    #[inline(always)]
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
        self.whole(whole);
        if decimals == 0 {
            return;
        }
        if let Some(point) = point {
            self.byte(point);
        }
        if decimals <= 8 {
            let digits = eight_digits(u32::try_from(fraction).unwrap_or(0));
            self.piece(&(digits >> ((8 - decimals) * 8)).to_le_bytes(), decimals);
            return;
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

    #[inline(always)]
    pub(super) fn stamp(&mut self, stamp: &mut Stamp, second_of_day: u32, micros: u32) {
        if let Some(place) = self.bytes[self.at..].first_chunk_mut::<{ Stamp::BYTES_MAX }>() {
            stamp.write(place, second_of_day, micros);
        }
        self.at += stamp.len;
    }

    /// 32 hexadecimal digits.
    #[inline(always)]
    pub(super) fn hex(&mut self, bytes: [u8; 16]) {
        let mut digits = [0; 32];
        for (to, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
            let digit = |half: u8| half + if half < 10 { b'0' } else { b'a' - 10 };
            *to = [digit(byte >> 4), digit(byte & 15)];
        }
        self.piece(&digits, 32);
    }

    /// Upper or lower case of what was written from `begin` on, which is ASCII.
    pub(super) fn turn(&mut self, begin: usize, case: Case) {
        match case {
            Case::Upper => self.bytes[begin..self.at].make_ascii_uppercase(),
            Case::Lower => self.bytes[begin..self.at].make_ascii_lowercase(),
        }
    }

    /// Fills what was written from `begin` on up to its width; `None`, and nothing written, where it is wider.
    #[inline(always)]
    pub(super) fn fill(&mut self, begin: usize, fixed: Fixed) -> Option<()> {
        let len = self.at - begin;
        let Some(missing) = fixed.width.checked_sub(len) else {
            self.at = begin;
            return None;
        };
        let place = self.bytes[begin..].first_chunk_mut::<SHORT>()?;
        if fixed.is_left {
            place[len..fixed.width].fill(fixed.pad);
        } else if missing > 0 {
            // Zeros go between a sign and its digits.
            let sign = usize::from(fixed.pad == b'0' && place[0] == b'-');
            place.copy_within(sign..len, sign + missing);
            place[sign..sign + missing].fill(fixed.pad);
        }
        self.at = begin + fixed.width;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_of_nothing_has_no_marks_whatever_they_are() {
        let marks = Marks::new([0, b'0', 0], None);
        for (text, is_plain) in [("", true), ("1", true), ("10", false)] {
            assert_eq!(is_none_in(&marks, text.as_bytes()), is_plain);
        }
    }

    fn is_none_in(marks: &Marks, text: &[u8]) -> bool {
        dispatch!(Level::new(), simd => marks.are_none_in(simd, text))
    }

    /// A text as a line has it, which lies at the end of what there is or before something else.
    fn written(marks: &Marks, text: &[u8], behind: &[u8]) -> Option<Vec<u8>> {
        let whole = [text, behind].concat();
        let mut out = Out::default();
        let mut line = out.line(2 * SHORT);
        let text = RawText::in_front_of(&whole, text.len());
        dispatch!(Level::new(), simd => line.text(simd, text, marks))?;
        let n_bytes = line.at;
        out.advance(n_bytes);
        Some(out.as_slice().to_vec())
    }

    /// What a line has after `write`.
    fn line_of(write: impl FnOnce(&mut Line<'_>)) -> Vec<u8> {
        let mut out = Out::default();
        let mut line = out.line(2 * SHORT);
        write(&mut line);
        let n_bytes = line.at;
        out.advance(n_bytes);
        out.as_slice().to_vec()
    }

    #[test]
    fn eight_digits_are_those_of_every_length_of_number() {
        for number in (0..=99_999_999).step_by(7_919).chain([0, 9, 10, 99, 100, 9_999, 10_000, 99_999_999]) {
            assert_eq!(eight_digits(number).to_le_bytes().as_slice(), format!("{number:08}").as_bytes());
        }
    }

    proptest! {
        #[test]
        fn marks_are_never_overlooked(text in prop::collection::vec(any::<u8>(), 0..40), marks: [u8; 3], separator: Option<u8>) {
            let found = Marks::new(marks, separator);
            let marks: Vec<u8> = marks.into_iter().chain(separator).collect();
            let is_one = |byte: &u8| *byte < 0x20 || *byte >= 0x80 || marks.contains(byte);
            prop_assert_eq!(is_none_in(&found, &text), !text.iter().any(is_one));
            let plain: Vec<u8> = text.iter().map(|byte| b'a' + byte % 16).collect();
            prop_assert_eq!(is_none_in(&found, &plain), !plain.iter().any(is_one));
        }

        #[test]
        fn what_lies_behind_a_text_is_none_of_it(
            text in prop::collection::vec(b'a'..b'q', 0..=SHORT),
            behind in prop::collection::vec(any::<u8>(), 0..80),
            mark: Option<prop::sample::Index>,
        ) {
            let marks = Marks::new([b'"', b'"', b'"'], None);
            let mut text = text;
            prop_assert_eq!(written(&marks, &text, &behind), Some(text.clone()));
            if let Some(at) = mark.filter(|_| !text.is_empty()) {
                let at = at.index(text.len());
                text[at] = b'"';
                prop_assert_eq!(written(&marks, &text, &behind), None);
            }
        }

        #[test]
        fn bytes_of_every_length_arrive(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 0..20)) {
            let mut out = Out::default();
            for piece in &pieces {
                out.put(piece);
            }
            prop_assert_eq!(out.as_slice(), pieces.concat());
        }

        #[test]
        fn short_texts_of_every_length_arrive(text in prop::collection::vec(any::<u8>(), 0..=SHORT)) {
            prop_assert_eq!(line_of(|line| line.short(&text)), text);
        }

        #[test]
        fn numbers_are_those_of_the_slow_way(number: i64, id: [u8; 16]) {
            let shorter = (0..19).map(|power| number / 10_i64.pow(power));
            for number in shorter.chain([number % 1_000, number % 100, 0, i64::MIN, i64::MAX, 99_999_999, 100_000_000]) {
                prop_assert_eq!(line_of(|line| line.number(number)), number.to_string().into_bytes());
            }
            prop_assert_eq!(line_of(|line| line.hex(id)), hex::encode(id).into_bytes());
        }

        #[test]
        fn scaled_numbers_are_those_of_the_slow_way(scaled: i64, decimals in 0_usize..10) {
            for scaled in [scaled, scaled % 100_000_000, scaled % 1_000] {
                let mut slow = Vec::new();
                super::super::digits::push_scaled(&mut slow, i128::from(scaled), decimals, b".");
                prop_assert_eq!(line_of(|line| line.scaled(scaled, decimals, Some(b'.'))), slow);
            }
        }
    }
}
