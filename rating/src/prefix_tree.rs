//! Longest-prefix lookup. In: pairs of prefix and value. Out: for a key, the values of its prefixes, longest first.
//!
//! The work of a lookup depends on the length of the key, never on the size of the table. A node is 12 bytes: the children of
//! a node lie beside each other, so a bit for each digit that occurs is enough to find one. What a value means is left to
//! [`crate::fee_index`].

use std::collections::{HashMap, VecDeque};

/// No such node.
const NONE: u32 = u32::MAX;

/// A prefix tree over bytes, with a fast lane for digits.
#[derive(Debug, Clone)]
pub(crate) struct PrefixTree<V> {
    nodes: Vec<Node>,
    /// Children by any byte that is not a digit: `user@domain`, short codes with a star.
    other_children: HashMap<(u32, u8), u32>,
    values: Vec<Valued<V>>,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    /// Where the children by digit begin.
    children: u32,
    /// Index into `values`.
    value: u32,
    /// Bit `d` is set when there is a child for the digit `d`; bit 10 when there are others.
    digits: u16,
}

const HAS_OTHERS: u16 = 1 << 10;

#[derive(Debug, Clone)]
struct Valued<V> {
    value: V,
    /// The value of the next shorter prefix that has one.
    shorter: u32,
}

impl Node {
    const EMPTY: Node = Node { children: 0, value: NONE, digits: 0 };
}

/// A node whose prefixes are still to be looked at: a run of the sorted pairs.
struct Pending {
    node: u32,
    first: usize,
    end: usize,
    depth: usize,
    shorter: u32,
}

impl<V> PrefixTree<V> {
    /// Builds the tree. Of two equal prefixes the later one wins; callers that must not have such pairs check before.
    pub(crate) fn build(mut pairs: Vec<(String, V)>) -> Self {
        // Stable, so that of equal prefixes the later one stays the last.
        pairs.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
        let (prefixes, values): (Vec<String>, Vec<V>) = pairs.into_iter().unzip();
        let mut values: Vec<Option<V>> = values.into_iter().map(Some).collect();
        let mut tree = Self {
            nodes: vec![Node::EMPTY],
            other_children: HashMap::new(),
            values: Vec::with_capacity(values.len()),
        };
        let mut pending =
            VecDeque::from([Pending { node: 0, first: 0, end: prefixes.len(), depth: 0, shorter: NONE }]);
        while let Some(Pending { node, mut first, end, depth, mut shorter }) = pending.pop_front() {
            let mut of_node = None;
            while first < end && prefixes[first].len() == depth {
                of_node = values[first].take();
                first += 1;
            }
            if let Some(value) = of_node {
                let place = index(tree.values.len());
                tree.values.push(Valued { value, shorter });
                tree.nodes[node as usize].value = place;
                shorter = place;
            }
            let children = index(tree.nodes.len());
            tree.nodes[node as usize].children = children;
            // Digits first: their places follow from the bits alone.
            for is_digit in [true, false] {
                let mut at = first;
                while at < end {
                    let byte = prefixes[at].as_bytes()[depth];
                    let run = prefixes[at..end].iter().take_while(|prefix| prefix.as_bytes()[depth] == byte);
                    let run_end = at + run.count();
                    if byte.is_ascii_digit() == is_digit {
                        let child = tree.add_child(node, byte);
                        pending.push_back(Pending {
                            node: child,
                            first: at,
                            end: run_end,
                            depth: depth + 1,
                            shorter,
                        });
                    }
                    at = run_end;
                }
            }
        }
        tree.nodes.shrink_to_fit();
        tree.values.shrink_to_fit();
        tree
    }

    /// The values of all prefixes of `key`, longest first.
    pub(crate) fn longest_first<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a V> {
        let mut node = self.nodes[0];
        let mut at = 0;
        let mut found = node.value;
        for byte in key.bytes() {
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
        std::iter::from_fn(move || {
            let valued = self.values.get(found as usize)?;
            found = valued.shorter;
            Some(&valued.value)
        })
    }

    /// Bytes that the tree keeps, without what its values point to.
    pub(crate) fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.values.capacity() * size_of::<Valued<V>>()
            + self.other_children.capacity() * size_of::<((u32, u8), u32)>()
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter().map(|valued| &valued.value)
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
