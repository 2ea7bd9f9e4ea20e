//! Which fee prices a call. In: fees as runs of entries, by direction, destination and source. Out: for a call's numbers, the best
//! run that the caller takes.

use model::Direction;

use crate::digit_ranges::DigitRanges;
use crate::fee_leaves::{FeeLeaves, Leafed};
use crate::prefix_tree::PrefixTree;
use crate::reference_match::{PatternTooSlow, ReferenceIndex};

/// Fees of one destination and source: nearly always one, which is kept where it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entries(Entry);

/// One fee: places in the tariff's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) fee: u32,
    pub(crate) offer: u32,
    /// Length of the destination prefix, or place of the pattern.
    pub(crate) matched: u32,
}

/// What [`Entries`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Run {
    One(Entry),
    /// One after the other in time: places in the tariff's table.
    Several {
        first: usize,
        count: usize,
    },
}

/// In the place of an offer: the entry stands for a run of others.
const SEVERAL: u32 = u32::MAX;
/// Or for a table by source.
const BY_SOURCE: u32 = u32::MAX - 1;

/// Offers are fewer than this.
pub(crate) const OFFERS_END: u32 = BY_SOURCE;

impl Entries {
    #[inline]
    pub(crate) fn one(entry: Entry) -> Self {
        Self(entry)
    }

    pub(crate) fn several(first: u32, count: u32) -> Self {
        Self(Entry { fee: first, offer: SEVERAL, matched: count })
    }

    #[inline]
    pub(crate) fn run(self) -> Run {
        if self.0.offer == SEVERAL {
            Run::Several { first: self.0.fee as usize, count: self.0.matched as usize }
        } else {
            Run::One(self.0)
        }
    }
}

/// The fees of one destination prefix, by source prefix. Where all of them take any source, which is so of nearly all, it is those; else the
/// place of a table in [`SourceTrees`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sources(Entries);

impl Sources {
    /// Fees for any source.
    pub(crate) fn any(entries: Entries) -> Self {
        Self(entries)
    }
}

/// The tables of those [`Sources`] that look at the caller.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceTrees(Vec<PrefixTree<Entries>>);

impl SourceTrees {
    /// Fees by their source prefixes.
    pub(crate) fn sources(&mut self, by_source: Vec<(String, Entries)>) -> Sources {
        if let [(source, entries)] = by_source.as_slice()
            && source.is_empty()
        {
            return Sources(*entries);
        }
        let place =
            u32::try_from(self.0.len()).expect("a tariff has fewer than 4 billion fees: they fit in memory");
        self.0.push(PrefixTree::build(by_source));
        Sources(Entries(Entry { fee: place, offer: BY_SOURCE, matched: 0 }))
    }

    /// The first of `sources` that `pick` takes, longest source first.
    #[inline]
    pub(crate) fn find<T>(
        &self,
        sources: Sources,
        source: &str,
        pick: &impl Fn(Entries) -> Option<T>,
    ) -> Option<T> {
        let Sources(entries) = sources;
        match entries.0.offer {
            BY_SOURCE => {
                self.0[entries.0.fee as usize].longest_first(source).find_map(|entries| pick(*entries))
            }
            _ => pick(entries),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|tree| size_of::<PrefixTree<Entries>>() + tree.bytes()).sum()
    }
}

/// The fees of one direction, chosen by the longest prefix.
#[derive(Debug, Clone)]
pub(crate) struct ByPrefix {
    /// Where all prefixes are digits: the best fees of each number.
    leaves: Option<FeeLeaves>,
    tree: PrefixTree<Sources>,
    by_source: SourceTrees,
}

impl ByPrefix {
    pub(crate) fn new(tree: PrefixTree<Sources>, by_source: SourceTrees) -> Self {
        let leaves = tree.ranges().and_then(|(ranges, value)| {
            FeeLeaves::build(ranges, |place| match value(place) {
                None => Leafed::Nothing,
                Some(Sources(Entries(entry))) if entry.offer < OFFERS_END => Leafed::Fee(*entry),
                Some(_) => Leafed::Elsewhere,
            })
        });
        Self { leaves, tree, by_source }
    }

    #[inline(always)]
    fn find<T>(&self, source: &str, destination: &str, pick: &impl Fn(Entries) -> Option<T>) -> Option<T> {
        if let (Some(leaves), Some((ranges, _))) = (&self.leaves, self.tree.ranges()) {
            match leaves.longest(ranges, destination.as_bytes()) {
                Leafed::Fee(entry) => {
                    let found = pick(Entries(entry));
                    if found.is_some() {
                        return found;
                    }
                }
                Leafed::Nothing => return None,
                Leafed::Elsewhere => {}
            }
        }
        self.find_shorter(source, destination, pick)
    }

    #[cold]
    fn find_shorter<T>(
        &self,
        source: &str,
        destination: &str,
        pick: &impl Fn(Entries) -> Option<T>,
    ) -> Option<T> {
        let mut prefixes = self.tree.longest_first(destination);
        prefixes.find_map(|sources| self.by_source.find(*sources, source, pick))
    }

    fn bytes(&self) -> usize {
        self.leaves.as_ref().map_or(0, FeeLeaves::bytes) + self.tree.bytes() + self.by_source.bytes()
    }
}

/// The fees of one direction.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    /// Longest destination prefix, then longest source prefix.
    Prefix(Box<ByPrefix>),
    /// The reference's order.
    Reference(Box<ReferenceIndex>),
}

/// The fees of a tariff version.
#[derive(Debug, Clone)]
pub(crate) struct FeeIndex {
    pub(crate) outgoing: Side,
    pub(crate) incoming: Side,
}

impl FeeIndex {
    /// The best run that `pick` takes.
    #[inline(always)]
    pub(crate) fn find<T>(
        &self,
        direction: Direction,
        source: &str,
        destination: &str,
        pick: impl Fn(Entries) -> Option<T>,
    ) -> Result<Option<T>, PatternTooSlow> {
        let side = match direction {
            Direction::Out => &self.outgoing,
            Direction::In => &self.incoming,
        };
        match side {
            Side::Prefix(by_prefix) => Ok(by_prefix.find(source, destination, &pick)),
            Side::Reference(index) => index.find(source, destination, pick),
        }
    }

    /// Where usual fees are found in steps, and what those steps count by; `None` where there is no such table.
    #[inline(always)]
    pub(crate) fn leaves(&self, direction: Direction) -> Option<(&FeeLeaves, &DigitRanges)> {
        let side = match direction {
            Direction::Out => &self.outgoing,
            Direction::In => &self.incoming,
        };
        match side {
            Side::Prefix(by_prefix) => {
                by_prefix.leaves.as_ref().zip(by_prefix.tree.ranges().map(|(ranges, _)| ranges))
            }
            Side::Reference(_) => None,
        }
    }

    /// Bytes kept, compiled patterns left out.
    pub(crate) fn bytes(&self) -> usize {
        [&self.outgoing, &self.incoming]
            .into_iter()
            .map(|side| match side {
                Side::Prefix(by_prefix) => by_prefix.bytes(),
                Side::Reference(index) => index.bytes(),
            })
            .sum()
    }
}
