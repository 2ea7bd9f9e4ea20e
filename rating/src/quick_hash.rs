//! A fast hash for tables that are built once from a price list: nobody who could choose the keys gains by making them collide.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map with that hash.
pub(crate) type QuickMap<K, V> = HashMap<K, V, BuildHasherDefault<QuickHasher>>;

/// Folds a 128-bit product of each word with what was before.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QuickHasher(u64);

/// Odd, with its bits well mixed: the fraction of the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl QuickHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0.rotate_left(23) ^ word) * u128::from(FACTOR);
        // Both halves: the low one lacks what the high bits of the word say.
        #[expect(clippy::cast_possible_truncation, reason = "the halves of a product")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low ^ high;
    }
}

impl Hasher for QuickHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            self.mix(u64::from_le_bytes(word.try_into().unwrap_or_default()));
        }
        let mut last = [0; 8];
        let rest = words.remainder();
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ bytes.len() as u64);
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;

    #[test]
    fn numbers_that_are_alike_spread_over_the_table() {
        let hash = BuildHasherDefault::<QuickHasher>::default();
        let low: HashSet<u64> = (0..4_096).map(|n| hash.hash_one(format!("4366{n}")) % 4_096).collect();
        // 4,096 balls in as many bins leave some 63 % of them hit.
        assert!((2_400..2_800).contains(&low.len()), "{}", low.len());
        let high: HashSet<u64> = (0..4_096).map(|n| hash.hash_one(format!("4366{n}")) >> 52).collect();
        assert!((2_400..2_800).contains(&high.len()), "{}", high.len());
    }
}
