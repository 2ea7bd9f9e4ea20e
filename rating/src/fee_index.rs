//! Which fee prices a call. In: fees as runs of entries, by direction, destination and source. Out: for a call's numbers, the best
//! run that the caller takes.

use model::{Direction, FeeId};

use crate::prefix_tree::PrefixTree;
use crate::reference_match::{PatternTooSlow, ReferenceIndex};

/// Fees of one destination and source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entries {
    /// Nearly always: kept where it is found.
    One(Entry),
    /// One after the other in time: a run in the tariff's table.
    Run { first: u32, count: u32 },
}

/// One fee: places in the tariff's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) fee: FeeId,
    pub(crate) terms: u32,
    pub(crate) zone: u32,
    /// Length of the destination prefix, or place of the pattern.
    pub(crate) matched: u32,
}

/// The fees of one destination prefix, by source prefix.
#[derive(Debug, Clone)]
pub(crate) enum Sources {
    /// All of them take any source.
    Any(Entries),
    /// Longest first.
    ByPrefix(Box<PrefixTree<Entries>>),
}

impl Sources {
    pub(crate) fn new(by_source: Vec<(String, Entries)>) -> Self {
        match by_source.as_slice() {
            [(source, entries)] if source.is_empty() => Sources::Any(*entries),
            _ => Sources::ByPrefix(Box::new(PrefixTree::build(by_source))),
        }
    }

    /// The first that `pick` takes, longest source first.
    pub(crate) fn find<T>(&self, source: &str, pick: &impl Fn(Entries) -> Option<T>) -> Option<T> {
        match self {
            Sources::Any(entries) => pick(*entries),
            Sources::ByPrefix(tree) => tree.longest_first(source).find_map(|entries| pick(*entries)),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Sources::Any(_) => 0,
            Sources::ByPrefix(tree) => size_of::<PrefixTree<Entries>>() + tree.bytes(),
        }
    }
}

/// The fees of one direction.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    /// Longest destination prefix, then longest source prefix.
    Prefix(PrefixTree<Sources>),
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
            Side::Prefix(tree) => {
                Ok(tree.longest_first(destination).find_map(|sources| sources.find(source, &pick)))
            }
            Side::Reference(index) => index.find(source, destination, pick),
        }
    }

    /// Bytes kept, compiled patterns left out.
    pub(crate) fn bytes(&self) -> usize {
        [&self.outgoing, &self.incoming]
            .into_iter()
            .map(|side| match side {
                Side::Prefix(tree) => tree.bytes() + tree.values().map(Sources::bytes).sum::<usize>(),
                Side::Reference(index) => index.bytes(),
            })
            .sum()
    }
}
