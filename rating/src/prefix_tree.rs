//! Longest-prefix lookup. In: pairs of prefix and value. Out: for a key, the values of its prefixes, longest first.
//!
//! The work of a lookup depends on the length of the key, never on the size of the table. Where all prefixes are digits, which is so of
//! nearly all tables, [`crate::digit_ranges`] finds the longest; else a tree over bytes does, a node of 12 bytes for each. What a value means is
//! left to [`crate::fee_index`].

use std::collections::{HashMap, VecDeque};

use crate::digit_ranges::{DigitPrefix, DigitRanges, NONE};

/// A table of prefixes.
#[derive(Debug, Clone)]
pub(crate) struct PrefixTree<V> {
    index: Index,
    values: Vec<Valued<V>>,
}

#[derive(Debug, Clone)]
enum Index {
    Digits(DigitRanges),
    Bytes(ByteTree),
}

#[derive(Debug, Clone)]
struct Valued<V> {
    value: V,
    /// The value of the next shorter prefix that has one.
    shorter: u32,
}

/// A prefix tree over bytes, with a fast lane for digits. The children of a node lie beside each other, so a bit for each digit that occurs
/// is enough to find one.
#[derive(Debug, Clone)]
struct ByteTree {
    nodes: Vec<Node>,
    /// Children by any byte that is not a digit: `user@domain`, short codes with a star.
    other_children: HashMap<(u32, u8), u32>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where the children by digit begin.
    children: u32,
    /// Index into the values.
    value: u32,
    /// Bit `d` is set when there is a child for the digit `d`; bit 10 when there are others.
    digits: u16,
}

const HAS_OTHERS: u16 = 1 << 10;

impl Node {
    const EMPTY: Node = Node { children: 0, value: NONE, digits: 0 };
}

/// A node whose prefixes are still to be looked at: a run of the sorted pairs.
struct Pending {
    node: u32,
    first: usize,
    end: usize,
    depth: usize,
}

impl<V> PrefixTree<V> {
    /// Builds the table. Of two equal prefixes the later one wins; callers that must not have such pairs check before.
    pub(crate) fn build(mut pairs: Vec<(String, V)>) -> Self {
        // Stable, so that of equal prefixes the later one stays the last; mostly it is sorted already.
        pairs.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        let (mut prefixes, mut values): (Vec<String>, Vec<V>) = (Vec::new(), Vec::new());
        prefixes.reserve_exact(pairs.len());
        values.reserve_exact(pairs.len());
        for (prefix, value) in pairs {
            if prefixes.last() == Some(&prefix) {
                values.pop();
            } else {
                prefixes.push(prefix);
            }
            values.push(value);
        }
        let prefixes: Vec<&[u8]> = prefixes.iter().map(String::as_bytes).collect();
        Self::of_sorted(&prefixes, values)
    }

    /// Builds the table of `prefixes` that are sorted and there once each, with a value for each.
    pub(crate) fn of_sorted(prefixes: &[&[u8]], values: Vec<V>) -> Self {
        let digits: Option<Vec<DigitPrefix>> =
            prefixes.iter().map(|prefix| DigitPrefix::of(prefix)).collect();
        match digits {
            Some(digits) => Self::of_digits(&digits, values),
            None => Self::new(Index::Bytes(ByteTree::build(prefixes)), values, shorter_ones(prefixes)),
        }
    }

    /// As [`Self::of_sorted`], of digits.
    pub(crate) fn of_digits(prefixes: &[DigitPrefix], values: Vec<V>) -> Self {
        let (ranges, shorter) = DigitRanges::build(prefixes);
        Self::new(Index::Digits(ranges), values, shorter)
    }

    fn new(index: Index, values: Vec<V>, shorter: Vec<u32>) -> Self {
        let values = values.into_iter().zip(shorter);
        Self { index, values: values.map(|(value, shorter)| Valued { value, shorter }).collect() }
    }

    /// The values of all prefixes of `key`, longest first.
    #[inline]
    pub(crate) fn longest_first<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a V> {
        let mut found = match &self.index {
            Index::Digits(ranges) => ranges.longest(key.as_bytes()),
            Index::Bytes(tree) => tree.longest(key.as_bytes()),
        };
        std::iter::from_fn(move || {
            let valued = self.values.get(found as usize)?;
            found = valued.shorter;
            Some(&valued.value)
        })
    }

    /// The ranges of digits, where all prefixes are digits, and what their places stand for.
    #[inline]
    pub(crate) fn ranges<'a>(
        &'a self,
    ) -> Option<(&'a DigitRanges, impl Fn(u32) -> Option<&'a V> + use<'a, V>)> {
        match &self.index {
            Index::Digits(ranges) => {
                Some((ranges, |place: u32| self.values.get(place as usize).map(|valued| &valued.value)))
            }
            Index::Bytes(_) => None,
        }
    }

    /// Bytes that the table keeps, without what its values point to.
    pub(crate) fn bytes(&self) -> usize {
        let index = match &self.index {
            Index::Digits(ranges) => ranges.bytes(),
            Index::Bytes(tree) => tree.bytes(),
        };
        index + self.values.capacity() * size_of::<Valued<V>>()
    }
}

/// For each of the sorted prefixes the place of the longest other one that it begins with.
fn shorter_ones(prefixes: &[&[u8]]) -> Vec<u32> {
    let mut open: Vec<u32> = Vec::new();
    let mut shorter = Vec::with_capacity(prefixes.len());
    for (prefix, place) in prefixes.iter().zip(0u32..) {
        while open.last().is_some_and(|last| !prefix.starts_with(prefixes[*last as usize])) {
            open.pop();
        }
        shorter.push(open.last().copied().unwrap_or(NONE));
        open.push(place);
    }
    shorter
}

impl ByteTree {
    /// `prefixes` are sorted and each once; their places are the answers.
    fn build(prefixes: &[&[u8]]) -> Self {
        let mut tree = Self { nodes: vec![Node::EMPTY], other_children: HashMap::new() };
        let mut pending = VecDeque::from([Pending { node: 0, first: 0, end: prefixes.len(), depth: 0 }]);
        while let Some(Pending { node, mut first, end, depth }) = pending.pop_front() {
            if first < end && prefixes[first].len() == depth {
                tree.nodes[node as usize].value = index(first);
                first += 1;
            }
            let children = index(tree.nodes.len());
            tree.nodes[node as usize].children = children;
            // Digits first: their places follow from the bits alone.
            for is_digit in [true, false] {
                let mut at = first;
                while at < end {
                    let byte = prefixes[at][depth];
                    let run = prefixes[at..end].iter().take_while(|prefix| prefix[depth] == byte);
                    let run_end = at + run.count();
                    if byte.is_ascii_digit() == is_digit {
                        let child = tree.add_child(node, byte);
                        pending.push_back(Pending { node: child, first: at, end: run_end, depth: depth + 1 });
                    }
                    at = run_end;
                }
            }
        }
        tree.nodes.shrink_to_fit();
        tree
    }

    fn longest(&self, key: &[u8]) -> u32 {
        let mut node = self.nodes[0];
        let mut at = 0;
        let mut found = node.value;
        for &byte in key {
            let child = match byte {
                b'0'..=b'9' => {
                    let bit = 1u16 << (byte - b'0');
                    if node.digits & bit == 0 {
                        break;
                    }
                    node.children + (node.digits & (bit - 1)).count_ones()
                }
                _ if node.digits & HAS_OTHERS != 0 => match self.other_children.get(&(at, byte)) {
                    Some(child) => *child,
                    None => break,
                },
                _ => break,
            };
            at = child;
            node = self.nodes[at as usize];
            if node.value != NONE {
                found = node.value;
            }
        }
        found
    }

    fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.other_children.capacity() * size_of::<((u32, u8), u32)>()
    }

    fn add_child(&mut self, parent: u32, byte: u8) -> u32 {
        let child = index(self.nodes.len());
        self.nodes.push(Node::EMPTY);
        let node = &mut self.nodes[parent as usize];
        match byte {
            b'0'..=b'9' => node.digits |= 1 << (byte - b'0'),
            _ => {
                node.digits |= HAS_OTHERS;
                self.other_children.insert((parent, byte), child);
            }
        }
        child
    }
}

fn index(len: usize) -> u32 {
    u32::try_from(len).expect("a tariff has fewer than 4 billion prefix digits: its fees fit in memory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn longest_comes_first_and_the_empty_prefix_last() {
        let tree = PrefixTree::build(vec![
            ("4366".to_owned(), 'c'),
            (String::new(), 'a'),
            ("43".to_owned(), 'b'),
            ("49".to_owned(), 'x'),
        ]);
        assert_eq!(tree.longest_first("43660555").collect::<String>(), "cba");
        assert_eq!(tree.longest_first("431").collect::<String>(), "ba");
        assert_eq!(tree.longest_first("").collect::<String>(), "a");
    }

    #[test]
    fn a_prefix_may_hold_more_than_digits() {
        let tree = PrefixTree::build(vec![("alice@".to_owned(), 1), ("*21".to_owned(), 2)]);
        assert_eq!(tree.longest_first("alice@example.org").collect::<Vec<_>>(), [&1]);
        assert_eq!(tree.longest_first("*21*43660").collect::<Vec<_>>(), [&2]);
        assert_eq!(tree.longest_first("43").count(), 0);
    }

    proptest! {
        /// Digits alone, up to lengths that take several steps, and keys that end anywhere.
        #[test]
        fn digits_alone_agree_with_a_linear_search(
            prefixes in prop::collection::btree_set("[0-2]{0,9}", 0..80),
            keys in prop::collection::vec("[0-3]{0,12}(@[0-2]{0,3})?", 1..20),
        ) {
            let tree = PrefixTree::build(prefixes.iter().map(|p| (p.clone(), p.clone())).collect());
            prop_assert!(matches!(tree.index, Index::Digits(_)));
            for key in keys {
                let mut expected: Vec<&String> = prefixes.iter().filter(|p| key.starts_with(p.as_str())).collect();
                expected.sort_by_key(|p| std::cmp::Reverse(p.len()));
                prop_assert_eq!(tree.longest_first(&key).collect::<Vec<_>>(), expected, "{}", key);
            }
        }

        #[test]
        fn tree_agrees_with_a_linear_search(
            prefixes in prop::collection::btree_set("[0-3@]{0,5}", 0..60),
            key in "[0-3@]{0,8}",
        ) {
            let tree = PrefixTree::build(prefixes.iter().map(|p| (p.clone(), p.clone())).collect());
            let mut expected: Vec<&String> = prefixes.iter().filter(|p| key.starts_with(p.as_str())).collect();
            expected.sort_by_key(|p| std::cmp::Reverse(p.len()));
            prop_assert_eq!(tree.longest_first(&key).collect::<Vec<_>>(), expected);
        }
    }
}
