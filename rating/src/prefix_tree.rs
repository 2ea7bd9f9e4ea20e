//! Longest-prefix lookup. In: pairs of prefix and value. Out: for a key, the values of its prefixes, longest first.
//!
//! The work of a lookup depends on the length of the key, never on the size of the table. What a value means is left to
//! [`crate::tariff`].

use std::collections::HashMap;

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

#[derive(Debug, Clone)]
struct Node {
    digits: [u32; 10],
    /// Index into `values`.
    value: u32,
}

#[derive(Debug, Clone)]
struct Valued<V> {
    value: V,
    /// The value of the next shorter prefix that has one.
    shorter: u32,
}

impl Node {
    const EMPTY: Node = Node { digits: [NONE; 10], value: NONE };
}

impl<V> PrefixTree<V> {
    /// Builds the tree. Of two equal prefixes the later one wins; callers that must not have such pairs check before.
    pub(crate) fn build(mut pairs: Vec<(String, V)>) -> Self {
        // Shorter prefixes first, so that a new value finds the next shorter one already on its path.
        pairs.sort_by_key(|(prefix, _)| prefix.len());
        let mut tree = Self { nodes: vec![Node::EMPTY], other_children: HashMap::new(), values: Vec::new() };
        for (prefix, value) in pairs {
            let mut at = 0;
            let mut shorter = NONE;
            for byte in prefix.bytes() {
                if tree.nodes[at as usize].value != NONE {
                    shorter = tree.nodes[at as usize].value;
                }
                at = match tree.child(at, byte) {
                    Some(child) => child,
                    None => tree.add_child(at, byte),
                };
            }
            let node = &mut tree.nodes[at as usize];
            if node.value == NONE {
                node.value = index(tree.values.len());
                tree.values.push(Valued { value, shorter });
            } else {
                tree.values[node.value as usize].value = value;
            }
        }
        tree.nodes.shrink_to_fit();
        tree
    }

    /// The values of all prefixes of `key`, longest first.
    pub(crate) fn longest_first<'a>(&'a self, key: &str) -> impl Iterator<Item = &'a V> {
        let mut at = 0;
        let mut found = self.nodes[0].value;
        for byte in key.bytes() {
            let Some(child) = self.child(at, byte) else { break };
            at = child;
            if self.nodes[at as usize].value != NONE {
                found = self.nodes[at as usize].value;
            }
        }
        std::iter::from_fn(move || {
            let valued = self.values.get(found as usize)?;
            found = valued.shorter;
            Some(&valued.value)
        })
    }

    fn child(&self, at: u32, byte: u8) -> Option<u32> {
        let child = match byte {
            b'0'..=b'9' => self.nodes[at as usize].digits[usize::from(byte - b'0')],
            _ => return self.other_children.get(&(at, byte)).copied(),
        };
        (child != NONE).then_some(child)
    }

    fn add_child(&mut self, at: u32, byte: u8) -> u32 {
        let child = index(self.nodes.len());
        self.nodes.push(Node::EMPTY);
        match byte {
            b'0'..=b'9' => self.nodes[at as usize].digits[usize::from(byte - b'0')] = child,
            _ => {
                self.other_children.insert((at, byte), child);
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
