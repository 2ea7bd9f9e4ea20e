//! Longest-prefix lookup among prefixes that are digits only: one place in a table, one short run of edges.
//!
//! In: sorted prefixes. Out: for a key, the place of its longest prefix. The first sixteen digits of a key are a number to the base of eleven,
//! the end of the key being a digit below 0; a prefix is a range of such numbers, and what is the longest changes at the edges of ranges alone.
//! So a lookup reads where the edges near the key begin and compares it with a few that lie beside each other: two or three cache lines
//! whatever the size of the table, and next to no branch that depends on the digits. What a place means is left to [`crate::prefix_tree`].

/// No prefix matches.
pub(crate) const NONE: u32 = u32::MAX;

/// Prefixes may be so long; what follows in a key is not looked at.
const DIGITS_MAX: usize = 16;

/// Ten digits, and the end of the key.
const SYMBOLS: u64 = 11;
/// Digits that are packed at once.
const HALF: usize = 8;
/// Numbers of so many digits.
const HALF_RANGE: u64 = SYMBOLS.pow(8);

/// Numbers by their first digits, of the first eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstDigits {
    digits: usize,
    /// By which the first eight are divided, as a factor and a shift by [`LOW_SHIFT`].
    factor: u64,
}

impl FirstDigits {
    /// By so many, eight at most.
    pub(crate) fn of(digits: usize) -> Self {
        Self { digits, factor: (1u64 << LOW_SHIFT).div_ceil(power(HALF - digits)) }
    }

    /// How many different ones there are.
    pub(crate) fn n_slots(self) -> usize {
        usize::try_from(power(self.digits)).unwrap_or(usize::MAX)
    }

    /// Where the first digits lead, of the first eight: below [`Self::n_slots`].
    #[inline(always)]
    pub(crate) fn slot(self, first_half: u64) -> usize {
        usize::try_from(quotient(first_half, self.factor)).unwrap_or(usize::MAX)
    }
}

/// A number of up to nine digits.
pub(crate) type Number32 = u32;

/// Edges that are compared at once.
const WINDOW: usize = 4;
/// Edges for a place of the first table, about.
const EDGES_PER_SLOT: usize = 2;
const SLOTS_MAX: usize = 1 << 22;

/// A prefix of digits alone, in the order of their texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct DigitPrefix {
    packed: u64,
    len: u32,
}

impl DigitPrefix {
    /// `None` for a text of other characters, or of more than [`DIGITS_MAX`].
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let is_digits = text.len() <= DIGITS_MAX && text.iter().all(u8::is_ascii_digit);
        is_digits.then(|| Self { packed: packed(text), len: u32::try_from(text.len()).unwrap_or(u32::MAX) })
    }

    /// How many digits.
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }
}

/// The index of a table of prefixes.
#[derive(Debug, Clone)]
pub(crate) struct DigitRanges {
    /// What the first eight digits count for in the number.
    high_factor: u64,
    /// By which the other eight are divided, as a factor and a shift by [`LOW_SHIFT`].
    low_factor: u64,
    edges: Edges,
}

#[derive(Debug, Clone)]
enum Edges {
    /// Prefixes of at most nine digits: nearly all lists.
    Narrow(EdgeTable<u32>),
    Wide(EdgeTable<u64>),
}

/// Exact for a dividend and a divisor below 2^28: `n × (2^56 / d + e)` with `e < 1` exceeds `2^56 × n / d` by less than `2^28`.
const LOW_SHIFT: u32 = 56;

#[derive(Debug, Clone)]
struct EdgeTable<K> {
    /// Where the first table begins.
    first: u64,
    /// Numbers of one place of it, as a power of two.
    shift: u32,
    /// The last edge at or before the beginning of each place; one more for the end.
    begins: Vec<u32>,
    /// Sorted; the first at 0, and [`WINDOW`] more at the end that no number reaches.
    edges: Vec<Edge<K>>,
}

/// From here on, to the next edge, the answer is `place`.
#[derive(Debug, Clone, Copy)]
struct Edge<K> {
    from: K,
    place: u32,
}

/// Numbers that edges are kept as.
trait Number: Copy + Ord {
    /// Above all numbers.
    const MAX: Self;
    /// The caller has seen to it that it fits.
    fn of(number: u64) -> Self;
}

impl Number for u32 {
    const MAX: Self = u32::MAX;

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "numbers of up to nine digits, which fit")]
    fn of(number: u64) -> Self {
        number as u32
    }
}

impl Number for u64 {
    const MAX: Self = u64::MAX;

    #[inline]
    fn of(number: u64) -> Self {
        number
    }
}

impl DigitRanges {
    /// Builds the index. `prefixes` are sorted and each once; their places are the answers. Tells as well for each the place of the longest
    /// other one that it begins with, or [`NONE`].
    pub(crate) fn build(prefixes: &[DigitPrefix]) -> (Self, Vec<u32>) {
        let longest = prefixes.iter().map(|prefix| prefix.len()).max().unwrap_or(0);
        let digits = longest.clamp(HALF, DIGITS_MAX);
        let low_divisor = power(DIGITS_MAX - digits);
        let (high_factor, low_factor) = (power(digits - HALF), (1u64 << LOW_SHIFT).div_ceil(low_divisor));
        let mut found = Vec::with_capacity(2 * prefixes.len() + 1 + WINDOW);
        let mut put = |from: u64, place: u32| match found.last_mut() {
            Some((last, answer)) if *last == from => *answer = place,
            Some((_, answer)) if *answer == place => {}
            Some(_) | None => found.push((from, place)),
        };
        put(0, NONE);
        // Prefixes that the one at hand begins with, and where they end.
        let mut open: Vec<(u64, u32)> = Vec::new();
        let close = |open: &mut Vec<(u64, u32)>, until: u64, put: &mut dyn FnMut(u64, u32)| {
            while let Some(&(end, _)) = open.last()
                && end <= until
            {
                open.pop();
                put(end, open.last().map_or(NONE, |&(_, place)| place));
            }
        };
        let none = Edges::Narrow(EdgeTable::build(&[(0, NONE)]));
        let mut ranges = Self { high_factor, low_factor, edges: none };
        let mut shorter = Vec::with_capacity(prefixes.len());
        for (prefix, place) in prefixes.iter().zip(0u32..) {
            let from = ranges.joined(prefix.packed / HALF_RANGE, prefix.packed % HALF_RANGE);
            close(&mut open, from, &mut put);
            put(from, place);
            shorter.push(open.last().map_or(NONE, |&(_, place)| place));
            open.push((from + power(digits - prefix.len()), place));
        }
        close(&mut open, u64::MAX, &mut put);
        ranges.edges = if power(digits) < u64::from(u32::MAX) {
            Edges::Narrow(EdgeTable::build(&found))
        } else {
            Edges::Wide(EdgeTable::build(&found))
        };
        (ranges, shorter)
    }

    /// The place of the longest prefix of `key`; [`NONE`] if there is none. What follows the leading digits is not looked at.
    #[inline]
    pub(crate) fn longest(&self, key: &[u8]) -> u32 {
        let (_, number) = self.number(key);
        match &self.edges {
            Edges::Narrow(table) => table.find(number),
            Edges::Wide(table) => table.find(number),
        }
    }

    /// Where the answer changes, and to which, if the numbers fit in 32 bits.
    pub(crate) fn narrow_edges(&self) -> Option<impl Iterator<Item = (Number32, u32)>> {
        match &self.edges {
            Edges::Narrow(table) => Some(table.edges()),
            Edges::Wide(_) => None,
        }
    }

    /// The first number of those whose first digits are `slot`; for numbers that fit in 32 bits.
    pub(crate) fn first_number(&self, by: FirstDigits, slot: usize) -> Number32 {
        u32::try_from(slot as u64 * power(HALF - by.digits) * self.high_factor).unwrap_or(u32::MAX)
    }

    /// The first eight digits of a key, which [`FirstDigits`] take, and its number.
    #[inline(always)]
    pub(crate) fn number(&self, key: &[u8]) -> (u64, u64) {
        let (high, low) = halves(key);
        (high, self.joined(high, low))
    }

    #[inline(always)]
    fn joined(&self, high: u64, low: u64) -> u64 {
        high * self.high_factor + quotient(low, self.low_factor)
    }

    pub(crate) fn bytes(&self) -> usize {
        match &self.edges {
            Edges::Narrow(table) => table.bytes(),
            Edges::Wide(table) => table.bytes(),
        }
    }
}

impl<K: Number> EdgeTable<K> {
    fn build(found: &[(u64, u32)]) -> Self {
        let mut edges: Vec<Edge<K>> = Vec::with_capacity(found.len() + WINDOW);
        edges.extend(found.iter().map(|&(from, place)| Edge { from: K::of(from), place }));
        edges.extend([Edge { from: K::MAX, place: NONE }; WINDOW]);
        // The first edge is at 0, before all prefixes.
        let first = found.get(1).map_or(0, |&(from, _)| from);
        let last = found.last().map_or(0, |&(from, _)| from);
        let slots_wanted = (found.len() / EDGES_PER_SLOT).clamp(1, SLOTS_MAX) as u64;
        let mut shift = 0;
        while (last - first) >> shift >= slots_wanted {
            shift += 1;
        }
        let n_slots = usize::try_from((last - first) >> shift).unwrap_or(SLOTS_MAX) + 1;
        let mut begins = Vec::with_capacity(n_slots + 1);
        let mut at = 0;
        // Keys before the first prefix come to the first place too.
        begins.push(0);
        for slot in 1..=n_slots as u64 {
            let begin = first + (slot << shift);
            while at + 1 < found.len() && found[at + 1].0 <= begin {
                at += 1;
            }
            begins.push(index(at));
        }
        Self { first, shift, begins, edges }
    }

    #[inline]
    fn find(&self, number: u64) -> u32 {
        let key = K::of(number);
        let slot = usize::try_from(number.saturating_sub(self.first) >> self.shift).unwrap_or(usize::MAX);
        let slot = slot.min(self.begins.len() - 2);
        let at = self.begins[slot] as usize;
        let Some(window) = self.edges[at..].first_chunk::<WINDOW>() else { return NONE };
        let n_before: usize = window.iter().map(|edge| usize::from(edge.from <= key)).sum();
        if n_before == WINDOW {
            return self.find_among(key, at + WINDOW, slot);
        }
        // The first of them is at or before the key.
        window[n_before.saturating_sub(1)].place
    }

    /// In a place with many edges, those before `from` being passed.
    #[cold]
    fn find_among(&self, key: K, from: usize, slot: usize) -> u32 {
        let end = (self.begins[slot + 1] as usize + 1).max(from);
        let n_before = self.edges[from..end].partition_point(|edge| edge.from <= key);
        self.edges[from + n_before - 1].place
    }

    /// All but those at the end that no number reaches.
    fn edges(&self) -> impl Iterator<Item = (K, u32)> {
        self.edges.iter().take(self.edges.len() - WINDOW).map(|edge| (edge.from, edge.place))
    }

    fn bytes(&self) -> usize {
        self.begins.capacity() * size_of::<u32>() + self.edges.capacity() * size_of::<Edge<K>>()
    }
}

/// By a factor and a shift by [`LOW_SHIFT`].
#[inline(always)]
fn quotient(dividend: u64, factor: u64) -> u64 {
    let product = u128::from(dividend) * u128::from(factor);
    #[expect(clippy::cast_possible_truncation, reason = "the quotient is below 2^28")]
    let quotient = (product >> LOW_SHIFT) as u64;
    quotient
}

/// All sixteen digits: other for each other text of up to sixteen digits, and in the order of such texts.
#[inline]
fn packed(key: &[u8]) -> u64 {
    let (high, low) = halves(key);
    high * HALF_RANGE + low
}

/// The first and the second eight of the leading digits, each a number below [`HALF_RANGE`].
#[inline(always)]
fn halves(key: &[u8]) -> (u64, u64) {
    let (first, second) = if let Some(first) = key.first_chunk::<HALF>() {
        let first = u64::from_le_bytes(*first);
        let second = if let Some((_, both)) = key.split_at_checked(HALF)
            && let Some(second) = both.first_chunk::<HALF>()
        {
            u64::from_le_bytes(*second)
        } else {
            // The last eight bytes, without those that are in the first.
            let last = key.last_chunk::<HALF>().map_or(0, |last| u64::from_le_bytes(*last));
            let n_missing = (2 * HALF).saturating_sub(key.len());
            last.checked_shr(u32::try_from(n_missing * 8).unwrap_or(u32::MAX)).unwrap_or(0)
        };
        (first, second)
    } else {
        let mut first = [0; HALF];
        first[..key.len()].copy_from_slice(key);
        (u64::from_le_bytes(first), 0)
    };
    let (first, is_full) = symbols(first);
    let (second, _) = symbols(second);
    (joined(first), joined(if is_full { second } else { 0 }))
}

const EACH_BYTE: u64 = 0x0101_0101_0101_0101;

/// Of eight bytes, the first lowest: 1 to 10 for the leading digits, 0 from the first other byte on; and whether all are digits.
#[inline(always)]
fn symbols(text: u64) -> (u64, bool) {
    let values = text ^ (EACH_BYTE * u64::from(b'0'));
    // The top bit of a byte above 9. What is carried goes upwards, behind the first of them.
    let others = (values.wrapping_add(EACH_BYTE * 0x76) | values) & (EACH_BYTE * 0x80);
    // The whole bytes below it; all where there is none.
    let keep = ((others & others.wrapping_neg()) >> 7).wrapping_sub(1);
    (values.wrapping_add(EACH_BYTE) & keep, others == 0)
}

/// Eight symbols as one number: pairs, fours, all.
#[inline(always)]
fn joined(symbols: u64) -> u64 {
    const PAIR: u64 = SYMBOLS * SYMBOLS;
    let pairs = (symbols * SYMBOLS + (symbols >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * PAIR + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * (PAIR * PAIR) + (fours >> 32)) & 0xffff_ffff
}

fn power(digits: usize) -> u64 {
    SYMBOLS.pow(u32::try_from(digits).unwrap_or(u32::MAX))
}

fn index(len: usize) -> u32 {
    u32::try_from(len)
        .ok()
        .filter(|len| *len < NONE)
        .expect("a tariff has fewer than 2 billion prefixes: its fees fit in memory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn build<'t>(texts: impl IntoIterator<Item = &'t String>) -> DigitRanges {
        let prefixes: Vec<DigitPrefix> =
            texts.into_iter().map(|text| DigitPrefix::of(text.as_bytes()).unwrap()).collect();
        DigitRanges::build(&prefixes).0
    }

    /// Slowly, by the definition.
    fn packed_slowly(key: &[u8]) -> u64 {
        let digits = key.iter().take_while(|byte| byte.is_ascii_digit()).take(DIGITS_MAX);
        let symbols: Vec<u64> = digits.map(|byte| u64::from(byte - b'0') + 1).collect();
        (0..DIGITS_MAX).fold(0, |sum, at| sum * SYMBOLS + symbols.get(at).copied().unwrap_or(0))
    }

    #[test]
    fn a_key_ends_at_its_first_other_byte() {
        for key in [
            "",
            "4",
            "43660555123",
            "4366055512345678",
            "43660555123456789012",
            "436@9",
            "12345678@9",
            "1234567\u{f7}123456",
        ] {
            assert_eq!(packed(key.as_bytes()), packed_slowly(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn many_prefixes_close_together_are_found() {
        // One place of the first table has nearly all edges: the others are far away.
        let mut texts: Vec<String> = (0..5_000).map(|n| format!("4366055{n:04}")).collect();
        texts.extend(["1".to_owned(), "999999999999999".to_owned()]);
        texts.sort_unstable();
        let ranges = build(&texts);
        for (place, text) in texts.iter().enumerate() {
            assert_eq!(ranges.longest(format!("{text}77").as_bytes()) as usize, place, "{text}");
        }
        assert_eq!(ranges.longest(b"43660559"), NONE);
        assert_eq!(ranges.longest(b"436605"), NONE);
        assert_eq!(ranges.longest(b""), NONE);
    }

    proptest! {
        #[test]
        fn packing_eight_at_once_is_packing_one_by_one(key in prop::collection::vec(any::<u8>(), 0..24)) {
            prop_assert_eq!(packed(&key), packed_slowly(&key));
        }

        #[test]
        fn packing_digits_is_packing_one_by_one(key in "[0-9]{0,20}[^0-9]?[0-9]{0,4}") {
            prop_assert_eq!(packed(key.as_bytes()), packed_slowly(key.as_bytes()));
        }

        /// Of all lengths that are kept as ranges.
        #[test]
        fn the_longest_prefix_is_that_of_a_linear_search(
            texts in prop::collection::btree_set("[0-9]{0,3}[0-1]{0,13}", 0..120),
            keys in prop::collection::vec("[0-9]{0,3}[0-1]{0,16}@?", 1..40),
        ) {
            let prefixes: Vec<&[u8]> = texts.iter().map(String::as_bytes).collect();
            let ranges = build(&texts);
            // Keys of their own, and each prefix with and without something behind.
            let of_prefixes = texts.iter().flat_map(|text| [text.clone(), format!("{text}0"), format!("{text}9")]);
            for key in keys.into_iter().chain(of_prefixes) {
                let found = prefixes.iter().enumerate().filter(|(_, prefix)| key.as_bytes().starts_with(prefix));
                let expected = found.max_by_key(|(_, prefix)| prefix.len()).map_or(NONE, |(place, _)| index(place));
                prop_assert_eq!(ranges.longest(key.as_bytes()), expected, "{}", key);
            }
        }
    }
}
