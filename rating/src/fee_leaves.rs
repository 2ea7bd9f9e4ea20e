//! The fees of a long list by the digits called, laid out for calls that come one after the other to anywhere in it.
//!
//! In: the edges at which the longest prefix changes, and the fee that holds from each on. Out: the fee for a number. Six edges and their fees are one
//! cache line, and what leads there is small enough for a near cache: so a look-up waits for memory once, and no branch depends on the digits.
//! Lists that do not fit (prefixes of more than nine digits, 65 thousand different offers) and fees that do not (several in the course of
//! time, fees by source) are looked up in [`crate::prefix_tree`].

use crate::digit_ranges::{DigitRanges, FirstDigits, Number32};
use crate::fee_index::Entry;

/// Edges of a leaf.
const EDGES: usize = 6;
/// Leaves that are compared at once.
const WINDOW: usize = 32;

/// First digits by which leaves are looked for, and up to how many leaves: so many that few of them have the same, as lists of any size have them, and
/// so few that the table of them stays in a near cache as long as the list lets it.
const DIGITS: [(usize, usize); 3] = [(4, 10_000), (5, 200_000), (6, usize::MAX)];

/// Length of a prefix in a leaf.
const LENGTH_BITS: usize = 5;

/// Offers in leaves are below this.
const OFFERS_END: u16 = u16::MAX - 1;
/// In the place of an offer: the leaf does not say.
const ELSEWHERE: u16 = u16::MAX - 1;
/// No fee.
const NOTHING: u16 = u16::MAX;

/// What is known of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leafed {
    /// The fee of its longest prefix.
    Fee(Entry),
    /// No prefix matches.
    Nothing,
    /// It has to be looked up elsewhere.
    Elsewhere,
}

/// Where the leaf of a number is to be looked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    number: i32,
    begin: u32,
    end: u32,
}

impl Way {
    /// No leaf.
    pub(crate) const NOWHERE: Way = Way { number: 0, begin: u32::MAX, end: u32::MAX };
}

/// The fees of a list.
#[derive(Debug, Clone)]
pub(crate) struct FeeLeaves {
    by: FirstDigits,
    /// By the first digits, the last leaf that begins at or before the first number with them; one more for the end.
    begins: Vec<u32>,
    /// The first number of each leaf, and [`WINDOW`] more that no number reaches.
    firsts: Vec<i32>,
    leaves: Vec<Leaf>,
}

/// From each number on, the fee.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Leaf {
    from: [i32; EDGES],
    fees: [u32; EDGES],
    offers: [u16; EDGES],
    lengths: u32,
}

const _: () = assert!(size_of::<Leaf>() == 64);
const _: () = assert!(EDGES * LENGTH_BITS <= 32);

impl FeeLeaves {
    /// `fees` are what the places of `ranges` stand for; `None` if the list does not fit in here.
    pub(crate) fn build(ranges: &DigitRanges, fees: impl Fn(u32) -> Leafed) -> Option<Self> {
        let edges: Vec<(Number32, Leafed)> =
            ranges.narrow_edges()?.map(|(from, place)| (from, fees(place))).collect();
        let leaves: Vec<Leaf> = edges.chunks(EDGES).map(leaf).collect::<Option<_>>()?;
        let mut firsts: Vec<i32> = leaves.iter().map(|leaf| leaf.from[0]).collect();
        let digits =
            DIGITS.iter().find(|(_, n_leaves)| leaves.len() <= *n_leaves).map_or(4, |(digits, _)| *digits);
        let by = FirstDigits::of(digits);
        let mut begins = Vec::with_capacity(by.n_slots() + 1);
        let mut last = 0;
        for slot in 0..by.n_slots() {
            let begin = ordered(ranges.first_number(by, slot));
            while last + 1 < firsts.len() && firsts[last + 1] <= begin {
                last += 1;
            }
            begins.push(u32::try_from(last).ok()?);
        }
        begins.push(u32::try_from(leaves.len() - 1).ok()?);
        firsts.extend([i32::MAX; WINDOW]);
        Some(Self { by, begins, firsts, leaves })
    }

    /// What the longest prefix has of a key whose number `ranges` tells.
    #[inline(always)]
    pub(crate) fn longest(&self, ranges: &DigitRanges, key: &[u8]) -> Leafed {
        let way = self.way_to(ranges, key);
        self.read(&way, self.leaf_on(&way))
    }

    /// The first of three steps to a fee, each of which waits for memory once: many calls take the same one beside each other.
    #[inline(always)]
    pub(crate) fn way_to(&self, ranges: &DigitRanges, key: &[u8]) -> Way {
        let (first_half, number) = ranges.number(key);
        let slot = self.by.slot(first_half);
        #[expect(clippy::cast_possible_truncation, reason = "narrow numbers have 32 bits")]
        let number = ordered(number as u32);
        match (self.begins.get(slot), self.begins.get(slot + 1)) {
            (Some(begin), Some(end)) => Way { number, begin: *begin, end: *end },
            (Some(_) | None, _) => Way { number, ..Way::NOWHERE },
        }
    }

    /// The second: the place of the leaf.
    #[inline(always)]
    pub(crate) fn leaf_on(&self, way: &Way) -> usize {
        let begin = way.begin as usize;
        let Some(window) = self.firsts.get(begin..).and_then(|firsts| firsts.first_chunk::<WINDOW>()) else {
            return usize::MAX;
        };
        let n_before = n_before(window, way.number);
        if n_before == WINDOW {
            self.far_leaf(begin, way.end as usize, way.number)
        } else {
            begin + n_before.saturating_sub(1)
        }
    }

    /// The third: what is in the leaf.
    #[inline(always)]
    pub(crate) fn read(&self, way: &Way, at: usize) -> Leafed {
        let Some(leaf) = self.leaves.get(at) else { return Leafed::Elsewhere };
        let n_before: usize = leaf.from.iter().map(|from| usize::from(*from <= way.number)).sum();
        let edge = n_before.saturating_sub(1).min(EDGES - 1);
        match leaf.offers[edge] {
            NOTHING => Leafed::Nothing,
            ELSEWHERE => Leafed::Elsewhere,
            offer => Leafed::Fee(Entry {
                fee: leaf.fees[edge],
                offer: u32::from(offer),
                matched: leaf.lengths >> (edge * LENGTH_BITS) & ((1 << LENGTH_BITS) - 1),
            }),
        }
    }

    /// Where more than [`WINDOW`] leaves have the same first digits.
    #[cold]
    fn far_leaf(&self, begin: usize, end: usize, number: i32) -> usize {
        let from = begin + WINDOW;
        let end = (end + 1).max(from);
        from + self.firsts[from..end].partition_point(|first| *first <= number) - 1
    }

    pub(crate) fn bytes(&self) -> usize {
        self.begins.capacity() * size_of::<u32>()
            + self.firsts.capacity() * size_of::<i32>()
            + self.leaves.capacity() * size_of::<Leaf>()
    }
}

/// `None` where an offer or a length does not fit.
fn leaf(edges: &[(Number32, Leafed)]) -> Option<Leaf> {
    let mut leaf = Leaf { from: [i32::MAX; EDGES], fees: [0; EDGES], offers: [NOTHING; EDGES], lengths: 0 };
    for (idx, &(from, found)) in edges.iter().enumerate() {
        leaf.from[idx] = ordered(from);
        leaf.offers[idx] = match found {
            Leafed::Nothing => NOTHING,
            Leafed::Elsewhere => ELSEWHERE,
            Leafed::Fee(entry) => {
                leaf.fees[idx] = entry.fee;
                let length = Some(entry.matched).filter(|length| *length < 1 << LENGTH_BITS)?;
                leaf.lengths |= length << (idx * LENGTH_BITS);
                u16::try_from(entry.offer).ok().filter(|offer| *offer < OFFERS_END)?
            }
        };
    }
    Some(leaf)
}

/// In the same order, for machines that compare four signed numbers at once and no others.
#[inline(always)]
fn ordered(number: u32) -> i32 {
    (number ^ 1 << 31).cast_signed()
}

/// How many of them are at or before `number`.
#[inline(always)]
fn n_before(sorted: &[i32; WINDOW], number: i32) -> usize {
    let mut lanes = [0i32; 4];
    let (fours, _) = sorted.as_chunks::<4>();
    for four in fours {
        for (lane, first) in lanes.iter_mut().zip(four) {
            *lane += i32::from(*first <= number);
        }
    }
    usize::try_from(lanes.iter().sum::<i32>()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::digit_ranges::{DigitPrefix, NONE};

    fn check(texts: &[String], keys: impl IntoIterator<Item = String>) {
        let prefixes: Vec<DigitPrefix> =
            texts.iter().map(|text| DigitPrefix::of(text.as_bytes()).unwrap()).collect();
        let (ranges, _) = DigitRanges::build(&prefixes);
        // Some are elsewhere, as fees by source are.
        let fee = |place: u32| match texts.get(place as usize) {
            None => Leafed::Nothing,
            Some(_) if place % 7 == 3 => Leafed::Elsewhere,
            Some(text) => Leafed::Fee(Entry {
                fee: place,
                offer: place % 60_000,
                matched: u32::try_from(text.len()).unwrap(),
            }),
        };
        let leaves = FeeLeaves::build(&ranges, fee);
        assert_eq!(leaves.is_some(), texts.iter().all(|text| text.len() <= 9));
        let Some(leaves) = leaves else { return };
        for key in keys {
            let place = ranges.longest(key.as_bytes());
            let expected = if place == NONE { Leafed::Nothing } else { fee(place) };
            assert_eq!(leaves.longest(&ranges, key.as_bytes()), expected, "{key}");
        }
    }

    #[test]
    fn a_list_of_many_leaves_is_found_whole() {
        // Under 43660 there are more leaves than a window has; under the others, few.
        let mut texts: Vec<String> = (0..6_000).map(|n| format!("43660{n:04}")).collect();
        texts.extend((0..6_000).map(|n| format!("{}", 20 + n * 37)));
        texts.sort_unstable();
        texts.dedup();
        check(
            &texts,
            texts.iter().flat_map(|text| [text.clone(), format!("{text}0123"), format!("{text}9")]),
        );
        check(&texts, ["", "4", "43", "44", "999999999999"].map(str::to_owned));
    }

    #[test]
    fn lists_of_any_size_are_found_whole() {
        for n in [70_000u32, 1_300_000] {
            // Spread like a carrier's, and all under one country, where more leaves than a window has share their first digits.
            let mut texts: Vec<String> = (0..n)
                .map(|n| n.wrapping_mul(2_654_435_761) % 100_000_000)
                .map(|n| if n % 3 == 0 { format!("4366{:05}", n % 100_000) } else { format!("{n}") })
                .collect();
            texts.sort_unstable();
            texts.dedup();
            let keys = texts.iter().step_by(97).flat_map(|text| [text.clone(), format!("{text}0123")]);
            check(&texts, keys.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_list_without_fees_finds_none() {
        check(&[], ["", "43660"].map(str::to_owned));
    }

    #[test]
    fn more_offers_than_a_leaf_can_name_are_left_to_others() {
        let (ranges, _) = DigitRanges::build(&[DigitPrefix::of(b"43").unwrap()]);
        let fee = |offer| move |_| Leafed::Fee(Entry { fee: 1, offer, matched: 2 });
        assert!(FeeLeaves::build(&ranges, fee(65_533)).is_some());
        assert!(FeeLeaves::build(&ranges, fee(65_534)).is_none());
    }

    proptest! {
        #[test]
        fn leaves_say_what_ranges_say(
            texts in prop::collection::btree_set("[0-9]{0,3}[0-1]{0,6}", 0..300),
            keys in prop::collection::vec("[0-9]{0,3}[0-1]{0,16}@?", 1..40),
        ) {
            let texts: Vec<String> = texts.into_iter().collect();
            let of_texts = texts.iter().flat_map(|text| [text.clone(), format!("{text}0"), format!("{text}9")]);
            check(&texts, keys.into_iter().chain(of_texts.collect::<Vec<_>>()));
        }
    }
}
