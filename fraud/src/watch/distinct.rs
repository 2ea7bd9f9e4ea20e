//! How many different things were seen lately: exact while there are few, HyperLogLog from then on.
//!
//! Two panes of half a window each, so that it looks back between a half and a whole window. Estimates of HyperLogLog (Flajolet and
//! others, 2007) with 256 registers are off by 6.5 % (one standard deviation); small ones are corrected by linear counting.

use serde::{Deserialize, Serialize};

/// Things remembered one by one in half a window; beyond that, registers, which take as much room.
const EXACT_MAX: usize = 64;

/// 2 to the power of [`REGISTER_BITS`].
const REGISTERS: usize = 256;
const REGISTER_BITS: u32 = 8;

/// A sixty-four-bit mix of `value` (splitmix64, Steele and others, 2014): the same in every run and on every machine.
pub(crate) const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The same for a text.
pub fn mix_text(text: &str) -> u64 {
    text.bytes().fold(mix(text.len() as u64), |hash, byte| mix(hash ^ u64::from(byte)))
}

/// One half of a window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Pane {
    /// Upper halves of hashes, sorted: two of 64 things share one by a chance of one in two millions.
    #[serde(rename = "e", deserialize_with = "upper_halves")]
    Exact(Vec<u32>),
    /// For each register the longest run of zeros seen, plus one.
    #[serde(rename = "r")]
    Registers(Box<[u8]>),
}

/// Saved as they are, or whole as earlier versions did.
fn upper_halves<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<u32>, D::Error> {
    let saved = Vec::<u64>::deserialize(from)?;
    let mut halves: Vec<u32> =
        saved.into_iter().map(|hash| u32::try_from(hash).unwrap_or_else(|_| upper_half(hash))).collect();
    halves.dedup();
    Ok(halves)
}

/// The half of a hash that registers are chosen by.
fn upper_half(hash: u64) -> u32 {
    u32::try_from(hash >> 32).unwrap_or(0)
}

impl Default for Pane {
    fn default() -> Self {
        Pane::Exact(Vec::new())
    }
}

impl Pane {
    fn add(&mut self, hash: u32) {
        match self {
            Pane::Exact(hashes) => {
                if let Err(place) = hashes.binary_search(&hash) {
                    if hashes.len() == hashes.capacity() {
                        hashes.reserve_exact((hashes.len() / 2).max(2));
                    }
                    hashes.insert(place, hash);
                }
                if hashes.len() > EXACT_MAX {
                    let mut registers = vec![0; REGISTERS].into_boxed_slice();
                    hashes.iter().for_each(|hash| note(&mut registers, *hash));
                    *self = Pane::Registers(registers);
                }
            }
            Pane::Registers(registers) => note(registers, hash),
        }
    }

    fn merge_into(&self, registers: &mut [u8]) {
        match self {
            Pane::Exact(hashes) => hashes.iter().for_each(|hash| note(registers, *hash)),
            Pane::Registers(other) => {
                for (register, other) in registers.iter_mut().zip(other.iter()) {
                    *register = (*register).max(*other);
                }
            }
        }
    }
}

fn note(registers: &mut [u8], hash: u32) {
    let place = usize::try_from(hash >> (32 - REGISTER_BITS)).unwrap_or(0);
    // The marker keeps the run short of the bits that are not there.
    let rest = (hash << REGISTER_BITS) | (1 << (REGISTER_BITS - 1));
    let run = u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX);
    if let Some(register) = registers.get_mut(place) {
        *register = (*register).max(run);
    }
}

/// How many different hashes the registers stand for.
#[expect(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "an estimate of a count, never money; the same operations in the same order give the same bits everywhere"
)]
fn estimate(registers: &[u8]) -> u32 {
    let m = REGISTERS as f64;
    let harmonic: f64 = registers.iter().map(|run| 1.0 / (1_u64 << (*run).min(63)) as f64).sum();
    let raw = 0.7213 / (1.0 + 1.079 / m) * m * m / harmonic;
    let n_empty = registers.iter().filter(|run| **run == 0).count();
    if raw <= 2.5 * m && n_empty > 0 {
        return LINEAR[n_empty];
    }
    raw.round() as u32
}

/// Linear counting: `round(256 * ln(256 / n))` for n empty registers. A table, because the last bit of a logarithm may differ
/// from machine to machine.
const LINEAR: [u32; REGISTERS + 1] = linear();

#[expect(clippy::cast_possible_truncation, reason = "256 * ln 256 is 1,420")]
const fn linear() -> [u32; REGISTERS + 1] {
    let mut table = [0; REGISTERS + 1];
    let mut n = 1;
    while n <= REGISTERS {
        // ln(256 / n) is the sum of ln(k / (k - 1)) for k from n + 1 to 256, each by its series in 1 / (2 k - 1), in 2^-40.
        let mut sum: u128 = 0;
        let mut k = n + 1;
        while k <= REGISTERS {
            let odd = (2 * k - 1) as u128;
            let mut term: u128 = (1_u128 << 80) / odd;
            let mut i = 0;
            while i < 12 {
                sum += 2 * term / (2 * i + 1);
                term /= odd * odd;
                i += 1;
            }
            k += 1;
        }
        let scaled = (sum * REGISTERS as u128 + (1 << 79)) >> 80;
        table[n] = scaled as u32;
        n += 1;
    }
    table
}

/// Different things of the last window.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Distinct {
    /// Which half window `now` is.
    #[serde(rename = "h")]
    half: i64,
    #[serde(rename = "b")]
    before: Pane,
    #[serde(rename = "n")]
    now: Pane,
}

impl Distinct {
    /// Sees `hash` at `at_seconds`.
    pub(crate) fn add(&mut self, hash: u64, at_seconds: i64, window_seconds: u32) {
        self.move_to(at_seconds, window_seconds);
        self.now.add(upper_half(hash));
    }

    /// Forgets what is too old at `at_seconds`.
    pub(crate) fn move_to(&mut self, at_seconds: i64, window_seconds: u32) {
        let half = at_seconds.div_euclid(i64::from(window_seconds.div_ceil(2)).max(1));
        if half == self.half + 1 {
            self.before = std::mem::take(&mut self.now);
        } else if half > self.half {
            self.before = Pane::default();
            self.now = Pane::default();
        }
        self.half = self.half.max(half);
    }

    /// How many.
    pub(crate) fn count(&self) -> u32 {
        if let (Pane::Exact(before), Pane::Exact(now)) = (&self.before, &self.now) {
            let again = now.iter().filter(|hash| before.binary_search(hash).is_ok()).count();
            return u32::try_from(before.len() + now.len() - again).unwrap_or(u32::MAX);
        }
        let mut registers = [0; REGISTERS];
        self.before.merge_into(&mut registers);
        self.now.merge_into(&mut registers);
        estimate(&registers)
    }

    /// Bytes of memory, but for what the allocator adds.
    pub(crate) fn bytes(&self) -> usize {
        [&self.before, &self.now]
            .into_iter()
            .map(|pane| match pane {
                Pane::Exact(hashes) => hashes.capacity() * 4,
                Pane::Registers(registers) => registers.len(),
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_are_counted_exactly_and_many_within_a_third(n in 1_u32..20_000, seed: u64) {
            let mut distinct = Distinct::default();
            for thing in 0..n {
                // Each comes twice.
                distinct.add(mix(u64::from(thing) ^ seed), 0, 60);
                distinct.add(mix(u64::from(thing) ^ seed), 1, 60);
            }
            let counted = distinct.count();
            if n <= 64 {
                prop_assert_eq!(counted, n);
            } else {
                // Five standard deviations.
                prop_assert!(counted.abs_diff(n) <= n / 3 + 2, "{} of {}", counted, n);
            }
        }
    }

    #[test]
    fn linear_counting_agrees_with_the_logarithm() {
        for (n, found) in (1_u16..).zip(&LINEAR[1..]) {
            let wanted = (256.0 * (256.0 / f64::from(n)).ln()).round();
            assert_eq!(f64::from(*found), wanted, "{n}");
        }
    }

    #[test]
    fn what_is_older_than_a_window_is_forgotten() {
        let mut distinct = Distinct::default();
        for thing in 0..100 {
            distinct.add(mix(thing), 0, 60);
        }
        distinct.move_to(31, 60);
        assert!(distinct.count() > 80);
        distinct.move_to(60, 60);
        assert_eq!(distinct.count(), 0);
    }
}
