//! Longest-prefix lookup among prefixes that are digits only, two digits a step.
//!
//! In: sorted prefixes. Out: for a key, the place of its longest prefix. The first four digits are looked up in one table; from there a node
//! stands for two digits, with a bit for each pair that goes on and one for each pair at which the answer changes, so that a lookup reads a
//! handful of cache lines whatever the size of the table. What a place means is left to [`crate::prefix_tree`].

/// No prefix matches.
pub(crate) const NONE: u32 = u32::MAX >> 1;

/// In the first table: a node, not an answer.
const IS_NODE: u32 = 1 << 31;

/// Ten digits, and the end of the key.
const SYMBOLS: usize = 11;
const END: usize = 10;
/// Digits of the first table.
const FIRST_DIGITS: usize = 4;
const FIRST_SLOTS: usize = SYMBOLS * SYMBOLS * SYMBOLS * SYMBOLS;
/// Digits of a node.
const NODE_DIGITS: usize = 2;
const NODE_SLOTS: usize = SYMBOLS * SYMBOLS;

/// The index of a table of prefixes.
#[derive(Debug, Clone)]
pub(crate) struct DigitTrie {
    first: Vec<u32>,
    nodes: Vec<Node>,
    /// The answers of all nodes, one for each run of equal ones.
    answers: Vec<u32>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Bit for each pair that has a node of its own.
    goes_on: Pairs,
    /// Bit for each pair at which the answer is another one than at the pair before.
    changes: Pairs,
    first_child: u32,
    first_answer: u32,
}

/// A bit for each pair of symbols.
#[derive(Debug, Clone, Copy, Default)]
struct Pairs([u64; 2]);

impl Pairs {
    fn set(&mut self, pair: usize) {
        self.0[pair / 64] |= 1 << (pair % 64);
    }

    fn has(self, pair: usize) -> bool {
        self.0[pair / 64] & 1 << (pair % 64) != 0
    }

    /// Set bits before `pair`.
    fn before(self, pair: usize) -> u32 {
        let low = self.0[pair / 64] & ((1 << (pair % 64)) - 1);
        let whole = if pair < 64 { 0 } else { self.0[0].count_ones() };
        low.count_ones() + whole
    }
}

/// A node whose prefixes, a run of the sorted ones, are still to be looked at.
struct Pending {
    node: usize,
    first: usize,
    end: usize,
    depth: usize,
    /// The answer where none of them matches.
    shorter: u32,
}

impl DigitTrie {
    /// Builds the index. `prefixes` are digits, sorted and each once; their places are the answers.
    pub(crate) fn build(prefixes: &[&[u8]]) -> Self {
        let mut trie = Self {
            first: vec![NONE; FIRST_SLOTS],
            nodes: Vec::new(),
            answers: Vec::with_capacity(prefixes.len()),
        };
        // Shorter ones first: a longer one is put over them.
        for len in 0..=FIRST_DIGITS {
            for (prefix, place) in prefixes.iter().zip(0u32..).filter(|(prefix, _)| prefix.len() == len) {
                let width = SYMBOLS.pow(u32::try_from(FIRST_DIGITS - len).unwrap_or_default());
                let slot = first_slot(prefix, 0) / width * width;
                trie.first[slot..slot + width].fill(place);
            }
        }
        let mut pending = std::collections::VecDeque::new();
        for (first, end) in runs(prefixes, 0, prefixes.len(), FIRST_DIGITS) {
            let slot = first_slot(prefixes[first], 0);
            let node = trie.nodes.len();
            pending.push_back(Pending { node, first, end, depth: FIRST_DIGITS, shorter: trie.first[slot] });
            trie.first[slot] = IS_NODE | index(node);
            trie.nodes.push(Node::default());
        }
        while let Some(of_node) = pending.pop_front() {
            trie.fill(prefixes, &of_node, &mut pending);
        }
        trie.nodes.shrink_to_fit();
        trie.answers.shrink_to_fit();
        trie
    }

    fn fill(
        &mut self,
        prefixes: &[&[u8]],
        of_node: &Pending,
        pending: &mut std::collections::VecDeque<Pending>,
    ) {
        let Pending { node, first, end, depth, shorter } = *of_node;
        let mut answers = [shorter; NODE_SLOTS];
        let digit = |place: usize, at: usize| usize::from(prefixes[place][at] - b'0');
        for place in (first..end).filter(|place| prefixes[*place].len() == depth + 1) {
            let slot = digit(place, depth) * SYMBOLS;
            answers[slot..slot + SYMBOLS].fill(index(place));
        }
        for place in (first..end).filter(|place| prefixes[*place].len() == depth + NODE_DIGITS) {
            answers[digit(place, depth) * SYMBOLS + digit(place, depth + 1)] = index(place);
        }
        let mut new = Node {
            first_child: index(self.nodes.len()),
            first_answer: index(self.answers.len()),
            ..Node::default()
        };
        let mut last = None;
        for (pair, answer) in answers.into_iter().enumerate() {
            if last != Some(answer) {
                new.changes.set(pair);
                self.answers.push(answer);
                last = Some(answer);
            }
        }
        for (first, end) in runs(prefixes, first, end, depth + NODE_DIGITS) {
            let pair = digit(first, depth) * SYMBOLS + digit(first, depth + 1);
            new.goes_on.set(pair);
            let child = self.nodes.len();
            pending.push_back(Pending {
                node: child,
                first,
                end,
                depth: depth + NODE_DIGITS,
                shorter: answers[pair],
            });
            self.nodes.push(Node::default());
        }
        self.nodes[node] = new;
    }

    /// The place of the longest prefix of `key`; [`NONE`] if there is none. What follows the leading digits is not looked at.
    pub(crate) fn longest(&self, key: &[u8]) -> u32 {
        let n_digits = key.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let key = &key[..n_digits];
        let slot = self.first[first_slot(key, 0)];
        if slot & IS_NODE == 0 {
            return slot;
        }
        let mut node = &self.nodes[(slot & !IS_NODE) as usize];
        let mut depth = FIRST_DIGITS;
        loop {
            let pair = symbol(key, depth) * SYMBOLS + symbol(key, depth + 1);
            if !node.goes_on.has(pair) {
                // The first pair always begins a run.
                return self.answers[(node.first_answer + node.changes.before(pair + 1) - 1) as usize];
            }
            node = &self.nodes[(node.first_child + node.goes_on.before(pair)) as usize];
            depth += NODE_DIGITS;
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        (self.first.capacity() + self.answers.capacity()) * size_of::<u32>()
            + self.nodes.capacity() * size_of::<Node>()
    }
}

/// Where in the first table the digits of `key` from `at` on lead, its end and all behind it being [`END`].
fn first_slot(key: &[u8], at: usize) -> usize {
    (at..at + FIRST_DIGITS).fold(0, |slot, at| slot * SYMBOLS + symbol(key, at))
}

fn symbol(key: &[u8], at: usize) -> usize {
    key.get(at).map_or(END, |byte| usize::from(byte.wrapping_sub(b'0')))
}

/// Runs of prefixes longer than `len` with the same first `len` digits, of those from `first` on before `end`.
fn runs(prefixes: &[&[u8]], first: usize, end: usize, len: usize) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for place in first..end {
        let prefix = prefixes[place];
        if prefix.len() <= len {
            continue;
        }
        match runs.last_mut() {
            Some((begun, run_end)) if prefixes[*begun][..len] == prefix[..len] => *run_end = place + 1,
            Some(_) | None => runs.push((place, place + 1)),
        }
    }
    runs
}

fn index(len: usize) -> u32 {
    u32::try_from(len)
        .ok()
        .filter(|len| *len < NONE)
        .expect("a tariff has fewer than 2 billion prefix digits: its fees fit in memory")
}
