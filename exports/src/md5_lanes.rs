//! MD5 of several files at once. One MD5 is a chain in which every step waits for the one before; eight beside each other keep the
//! processor busy, and a core gets through several times as many bytes. Nothing here is secret: MD5 guards against damage.
//!
//! Source: RFC 1321. A test holds it against the library that works out a single one.

use md5::{Digest as _, Md5};

/// Files at once.
pub(crate) const LANES: usize = 8;

const BLOCK_BYTES: usize = 64;

/// One word of each lane.
type Words = [u32; LANES];

/// RFC 1321, 3.4: table T.
const T: [u32; 64] = [
    0xd76a_a478,
    0xe8c7_b756,
    0x2420_70db,
    0xc1bd_ceee,
    0xf57c_0faf,
    0x4787_c62a,
    0xa830_4613,
    0xfd46_9501,
    0x6980_98d8,
    0x8b44_f7af,
    0xffff_5bb1,
    0x895c_d7be,
    0x6b90_1122,
    0xfd98_7193,
    0xa679_438e,
    0x49b4_0821,
    0xf61e_2562,
    0xc040_b340,
    0x265e_5a51,
    0xe9b6_c7aa,
    0xd62f_105d,
    0x0244_1453,
    0xd8a1_e681,
    0xe7d3_fbc8,
    0x21e1_cde6,
    0xc337_07d6,
    0xf4d5_0d87,
    0x455a_14ed,
    0xa9e3_e905,
    0xfcef_a3f8,
    0x676f_02d9,
    0x8d2a_4c8a,
    0xfffa_3942,
    0x8771_f681,
    0x6d9d_6122,
    0xfde5_380c,
    0xa4be_ea44,
    0x4bde_cfa9,
    0xf6bb_4b60,
    0xbebf_bc70,
    0x289b_7ec6,
    0xeaa1_27fa,
    0xd4ef_3085,
    0x0488_1d05,
    0xd9d4_d039,
    0xe6db_99e5,
    0x1fa2_7cf8,
    0xc4ac_5665,
    0xf429_2244,
    0x432a_ff97,
    0xab94_23a7,
    0xfc93_a039,
    0x655b_59c3,
    0x8f0c_cc92,
    0xffef_f47d,
    0x8584_5dd1,
    0x6fa8_7e4f,
    0xfe2c_e6e0,
    0xa301_4314,
    0x4e08_11a1,
    0xf753_7e82,
    0xbd3a_f235,
    0x2ad7_d2bb,
    0xeb86_d391,
];

const START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

/// The MD5 of each, lowercase hexadecimal, in their order.
pub(crate) fn md5_of_each(files: &[&[u8]]) -> Vec<String> {
    let mut digests = vec![String::new(); files.len()];
    // Files of one length beside each other: a lane that has ended runs empty.
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|idx| files[*idx].len());
    for group in order.chunks(LANES) {
        // Below that, one after the other is as quick.
        if group.len() < 3 {
            for idx in group {
                digests[*idx] = hex::encode(Md5::digest(files[*idx]));
            }
            continue;
        }
        let mut lanes: [&[u8]; LANES] = [&[]; LANES];
        for (lane, idx) in lanes.iter_mut().zip(group) {
            *lane = files[*idx];
        }
        for (idx, digest) in group.iter().zip(md5_of_lanes(&lanes)) {
            digests[*idx] = hex::encode(digest);
        }
    }
    digests
}

fn md5_of_lanes(lanes: &[&[u8]; LANES]) -> [[u8; 16]; LANES] {
    let tails = lanes.map(tail_of);
    let n_blocks = |lane: usize| lanes[lane].len() / BLOCK_BYTES + tails[lane].1;
    let n_rounds = (0..LANES).map(n_blocks).max().unwrap_or(0);
    let mut state = START.map(|word| [word; LANES]);
    let mut digests = [[0; 16]; LANES];
    let idle = [0; BLOCK_BYTES];
    for round in 0..n_rounds {
        let mut words = [[0; LANES]; 16];
        for lane in 0..LANES {
            let (whole, _) = lanes[lane].as_chunks::<BLOCK_BYTES>();
            let block = match whole.get(round) {
                Some(block) => block,
                None => {
                    let (tail, _) = tails[lane].0.as_chunks::<BLOCK_BYTES>();
                    tail.get(round - whole.len()).unwrap_or(&idle)
                }
            };
            let (bytes, _) = block.as_chunks::<4>();
            for (word, bytes) in words.iter_mut().zip(bytes) {
                word[lane] = u32::from_le_bytes(*bytes);
            }
        }
        compress(&mut state, &words);
        for (lane, digest) in digests.iter_mut().enumerate() {
            if round + 1 == n_blocks(lane) {
                for (bytes, words) in digest.as_chunks_mut::<4>().0.iter_mut().zip(&state) {
                    *bytes = words[lane].to_le_bytes();
                }
            }
        }
    }
    digests
}

/// What follows the whole blocks of a file: its last bytes, a one, zeros, its length in bits; and how many blocks that is.
fn tail_of(file: &[u8]) -> ([u8; 2 * BLOCK_BYTES], usize) {
    let rest = &file[file.len() / BLOCK_BYTES * BLOCK_BYTES..];
    let mut tail = [0; 2 * BLOCK_BYTES];
    tail[..rest.len()].copy_from_slice(rest);
    tail[rest.len()] = 0x80;
    let n_blocks = if rest.len() + 9 <= BLOCK_BYTES { 1 } else { 2 };
    let n_bits = u64::try_from(file.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    tail[n_blocks * BLOCK_BYTES - 8..n_blocks * BLOCK_BYTES].copy_from_slice(&n_bits.to_le_bytes());
    (tail, n_blocks)
}

#[inline(always)]
fn step<const SHIFT: u32>(a: &mut Words, b: &Words, mix: impl Fn(usize) -> u32, word: &Words, t: u32) {
    for lane in 0..LANES {
        let sum = a[lane].wrapping_add(mix(lane)).wrapping_add(word[lane]).wrapping_add(t);
        a[lane] = sum.rotate_left(SHIFT).wrapping_add(b[lane]);
    }
}

/// Four steps of each round use the four shifts in turn and the state words round robin.
macro_rules! four {
    ($mix:expr, [$s1:literal, $s2:literal, $s3:literal, $s4:literal], $a:ident $b:ident $c:ident $d:ident, $words:ident, $idx:expr, $at:expr) => {
        step::<$s1>(&mut $a, &$b, |lane| $mix($b[lane], $c[lane], $d[lane]), &$words[$idx($at)], T[$at]);
        step::<$s2>(
            &mut $d,
            &$a,
            |lane| $mix($a[lane], $b[lane], $c[lane]),
            &$words[$idx($at + 1)],
            T[$at + 1],
        );
        step::<$s3>(
            &mut $c,
            &$d,
            |lane| $mix($d[lane], $a[lane], $b[lane]),
            &$words[$idx($at + 2)],
            T[$at + 2],
        );
        step::<$s4>(
            &mut $b,
            &$c,
            |lane| $mix($c[lane], $d[lane], $a[lane]),
            &$words[$idx($at + 3)],
            T[$at + 3],
        );
    };
}

/// RFC 1321, 3.4: the four rounds.
fn compress(state: &mut [Words; 4], words: &[Words; 16]) {
    let [mut a, mut b, mut c, mut d] = *state;
    let f = |x: u32, y: u32, z: u32| z ^ (x & (y ^ z));
    let g = |x: u32, y: u32, z: u32| y ^ (z & (x ^ y));
    let h = |x: u32, y: u32, z: u32| x ^ y ^ z;
    let i = |x: u32, y: u32, z: u32| y ^ (x | !z);
    let in_order = |at: usize| at;
    let by_five = |at: usize| (5 * at + 1) % 16;
    let by_three = |at: usize| (3 * at + 5) % 16;
    let by_seven = |at: usize| 7 * at % 16;
    for at in [0, 4, 8, 12] {
        four!(f, [7, 12, 17, 22], a b c d, words, in_order, at);
    }
    for at in [16, 20, 24, 28] {
        four!(g, [5, 9, 14, 20], a b c d, words, by_five, at);
    }
    for at in [32, 36, 40, 44] {
        four!(h, [4, 11, 16, 23], a b c d, words, by_three, at);
    }
    for at in [48, 52, 56, 60] {
        four!(i, [6, 10, 15, 21], a b c d, words, by_seven, at);
    }
    for (old, new) in state.iter_mut().zip([a, b, c, d]) {
        for (old, new) in old.iter_mut().zip(new) {
            *old = old.wrapping_add(new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_length_around_a_block_is_right() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let files: Vec<&[u8]> = (0..=300).map(|len| &bytes[..len]).collect();
        let expected: Vec<String> = files.iter().map(|file| hex::encode(Md5::digest(file))).collect();
        assert_eq!(md5_of_each(&files), expected);
        assert_eq!(md5_of_each(&[]), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn files_of_any_lengths_have_their_own_digest(files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..20)) {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            let expected: Vec<String> = files.iter().map(|file| hex::encode(Md5::digest(file))).collect();
            prop_assert_eq!(md5_of_each(&files), expected);
        }
    }
}
