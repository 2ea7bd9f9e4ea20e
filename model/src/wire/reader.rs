//! The fields of a protobuf message one by one, as they lie.
//!
//! In: bytes of any origin. Out: numbers and stretches of those bytes; `None` wherever they are not what they should be, which
//! whoever asks then finds out in detail by the generated code.

use chrono::{DateTime, Utc};

use crate::E164;

/// Fields by number and kind, as they are written before each (protobuf, "wire types"): whole numbers, and what has a length.
pub(super) mod tag {
    pub(in crate::wire) const INT: u64 = 0;
    pub(in crate::wire) const EIGHT: u64 = 1;
    pub(in crate::wire) const LEN: u64 = 2;
    pub(in crate::wire) const FOUR: u64 = 5;

    pub(in crate::wire) const INT_1: u64 = 8;
    pub(in crate::wire) const LEN_1: u64 = 10;
    pub(in crate::wire) const INT_2: u64 = 16;
    pub(in crate::wire) const LEN_2: u64 = 18;
    pub(in crate::wire) const INT_3: u64 = 24;
    pub(in crate::wire) const LEN_3: u64 = 26;
    pub(in crate::wire) const INT_4: u64 = 32;
    pub(in crate::wire) const LEN_4: u64 = 34;
    pub(in crate::wire) const INT_5: u64 = 40;
    pub(in crate::wire) const LEN_5: u64 = 42;
    pub(in crate::wire) const LEN_6: u64 = 50;
    pub(in crate::wire) const INT_7: u64 = 56;
    pub(in crate::wire) const LEN_7: u64 = 58;
    pub(in crate::wire) const INT_8: u64 = 64;
    pub(in crate::wire) const LEN_8: u64 = 66;
    pub(in crate::wire) const INT_9: u64 = 72;
    pub(in crate::wire) const LEN_9: u64 = 74;
    pub(in crate::wire) const LEN_10: u64 = 82;
    pub(in crate::wire) const INT_11: u64 = 88;
    pub(in crate::wire) const LEN_11: u64 = 90;
    pub(in crate::wire) const INT_12: u64 = 96;
    pub(in crate::wire) const LEN_12: u64 = 98;
    pub(in crate::wire) const INT_13: u64 = 104;
    pub(in crate::wire) const LEN_13: u64 = 106;
    pub(in crate::wire) const INT_14: u64 = 112;
    pub(in crate::wire) const LEN_14: u64 = 114;
    pub(in crate::wire) const INT_15: u64 = 120;
    pub(in crate::wire) const LEN_15: u64 = 122;
    pub(in crate::wire) const INT_16: u64 = 128;
    pub(in crate::wire) const LEN_16: u64 = 130;
    pub(in crate::wire) const INT_17: u64 = 136;
    pub(in crate::wire) const INT_18: u64 = 144;
    pub(in crate::wire) const INT_19: u64 = 152;
    pub(in crate::wire) const LEN_20: u64 = 162;
    pub(in crate::wire) const INT_22: u64 = 176;
    pub(in crate::wire) const INT_23: u64 = 184;
    pub(in crate::wire) const INT_6: u64 = 48;
    pub(in crate::wire) const LEN_18: u64 = 146;
    pub(in crate::wire) const LEN_19: u64 = 154;
    pub(in crate::wire) const LEN_21: u64 = 170;
    pub(in crate::wire) const LEN_23: u64 = 186;
    pub(in crate::wire) const LEN_24: u64 = 194;
}

/// What is left to be read. `None` wherever the bytes are not what they should be.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// Number and kind of the next field, eight times the one and the other; `Some(None)` at the end.
    #[inline(always)]
    #[expect(clippy::option_option, reason = "broken, at the end, a field")]
    pub(super) fn tag(&mut self) -> Option<Option<u64>> {
        if self.0.is_empty() { Some(None) } else { self.varint().map(Some) }
    }

    #[inline(always)]
    pub(super) fn varint(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        if *first < 0x80 {
            self.0 = rest;
            return Some(u64::from(*first));
        }
        self.long_varint()
    }

    #[inline]
    fn long_varint(&mut self) -> Option<u64> {
        // The last byte of a number is the first without its top bit. Within eight of them the seven bits of each are moved
        // together in three steps.
        if let Some(eight) = self.0.first_chunk::<8>() {
            let eight = u64::from_le_bytes(*eight);
            let ends = !eight & 0x8080_8080_8080_8080;
            if ends != 0 {
                let bits = eight & (ends ^ ends.wrapping_sub(1)) & 0x7f7f_7f7f_7f7f_7f7f;
                let bits = (bits & 0x007f_007f_007f_007f) | ((bits & 0x7f00_7f00_7f00_7f00) >> 1);
                let bits = (bits & 0x0000_3fff_0000_3fff) | ((bits & 0x3fff_0000_3fff_0000) >> 2);
                let bits = (bits & 0x0fff_ffff) | ((bits & 0x0fff_ffff_0000_0000) >> 4);
                let n_bytes = usize::try_from(ends.trailing_zeros() / 8 + 1).unwrap_or(8);
                self.0 = &self.0[n_bytes..];
                return Some(bits);
            }
        }
        self.longest_varint()
    }

    #[cold]
    fn longest_varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for (at, byte) in self.0.iter().enumerate().take(10) {
            let bits = u64::from(byte & 0x7f);
            // The tenth has one bit left.
            if at == 9 && bits > 1 {
                return None;
            }
            value |= bits << (7 * at);
            if *byte < 0x80 {
                self.0 = &self.0[at + 1..];
                return Some(value);
            }
        }
        None
    }

    #[inline(always)]
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as protobuf has it: the low 32 bits")]
    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(self.varint()? as u32)
    }

    #[inline(always)]
    #[expect(clippy::cast_possible_truncation, reason = "as protobuf has it: the low 32 bits")]
    pub(super) fn word(&mut self) -> Option<i32> {
        Some(self.varint()? as i32)
    }

    #[inline(always)]
    pub(super) fn i64(&mut self) -> Option<i64> {
        Some(self.varint()?.cast_signed())
    }

    #[inline(always)]
    pub(super) fn number(&mut self) -> Option<Option<E164>> {
        match self.varint()? {
            0 => Some(None),
            digits => E164::from_u64(digits).map(Some),
        }
    }

    /// Microseconds since 1970, of the years that a calendar has.
    #[inline(always)]
    pub(super) fn time(&mut self) -> Option<i64> {
        let micros = self.i64()?;
        Self::is_time(micros).then_some(micros)
    }

    #[inline(always)]
    pub(super) fn is_time(micros: i64) -> bool {
        const FIRST: i64 = DateTime::<Utc>::MIN_UTC.timestamp_micros();
        const LAST: i64 = DateTime::<Utc>::MAX_UTC.timestamp_micros();
        (FIRST..=LAST).contains(&micros)
    }

    /// Steps over a field that nobody here looks at; one that is known and of another kind is none of ours.
    #[inline]
    pub(super) fn skip(&mut self, tag: u64, is_known: impl Fn(u64) -> bool) -> Option<()> {
        let (field, kind) = (tag >> 3, tag & 7);
        if field == 0 || field >= 1 << 29 || is_known(field) {
            return None;
        }
        match kind {
            tag::INT => self.varint().map(|_| ()),
            tag::LEN => self.bytes().map(|_| ()),
            tag::EIGHT => self.0.split_at_checked(8).map(|(_, rest)| self.0 = rest),
            tag::FOUR => self.0.split_at_checked(4).map(|(_, rest)| self.0 = rest),
            _ => None,
        }
    }
}
