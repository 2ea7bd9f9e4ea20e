//! MD5 and SHA-256 of several files at once. A digest is a chain in which every step waits for the one before; sixteen beside each
//! other keep the processor's vectors full, and a core gets through several times as many bytes. Files that are still being written
//! have both worked out in one go, while their bytes are near ([`Beside`]). Nothing here is secret: both guard against damage.
//!
//! Sources: RFC 1321, FIPS 180-4. Tests hold both against the libraries that work out a single one.

use fearless_simd::{Level, Simd, SimdInto as _, dispatch, prelude::*, u8x64, u32x16};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// Files at once.
pub(crate) const LANES: usize = 16;

const BLOCK_BYTES: usize = 64;

/// Bytes of each file that are brought near before they are taken: those of sixteen fit the cache of a core.
const AHEAD_BYTES: usize = 16 << 10;

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

/// FIPS 180-4, 4.2.2.
const K: [u32; 64] = [
    0x428a_2f98,
    0x7137_4491,
    0xb5c0_fbcf,
    0xe9b5_dba5,
    0x3956_c25b,
    0x59f1_11f1,
    0x923f_82a4,
    0xab1c_5ed5,
    0xd807_aa98,
    0x1283_5b01,
    0x2431_85be,
    0x550c_7dc3,
    0x72be_5d74,
    0x80de_b1fe,
    0x9bdc_06a7,
    0xc19b_f174,
    0xe49b_69c1,
    0xefbe_4786,
    0x0fc1_9dc6,
    0x240c_a1cc,
    0x2de9_2c6f,
    0x4a74_84aa,
    0x5cb0_a9dc,
    0x76f9_88da,
    0x983e_5152,
    0xa831_c66d,
    0xb003_27c8,
    0xbf59_7fc7,
    0xc6e0_0bf3,
    0xd5a7_9147,
    0x06ca_6351,
    0x1429_2967,
    0x27b7_0a85,
    0x2e1b_2138,
    0x4d2c_6dfc,
    0x5338_0d13,
    0x650a_7354,
    0x766a_0abb,
    0x81c2_c92e,
    0x9272_2c85,
    0xa2bf_e8a1,
    0xa81a_664b,
    0xc24b_8b70,
    0xc76c_51a3,
    0xd192_e819,
    0xd699_0624,
    0xf40e_3585,
    0x106a_a070,
    0x19a4_c116,
    0x1e37_6c08,
    0x2748_774c,
    0x34b0_bcb5,
    0x391c_0cb3,
    0x4ed8_aa4a,
    0x5b9c_ca4f,
    0x682e_6ff3,
    0x748f_82ee,
    0x78a5_636f,
    0x84c8_7814,
    0x8cc7_0208,
    0x90be_fffa,
    0xa450_6ceb,
    0xbef9_a3f7,
    0xc671_78f2,
];

/// A digest that is worked out in lanes.
trait Chain<const WORDS: usize> {
    const START: [u32; WORDS];

    /// One block of each lane, its words side by side, as they are read from the right.
    fn compress<S: Simd>(state: &mut [u32x16<S>; WORDS], words: [u32x16<S>; 16]);
}

/// A chain that ends in a digest by itself.
trait Ends<const WORDS: usize>: Chain<WORDS> {
    /// Byte order of words and of the length behind the last block.
    const IS_BIG_ENDIAN: bool;
}

/// RFC 1321.
struct Md5Chain;

/// FIPS 180-4, 6.2.
struct Sha256Chain;

/// Both: the words of a block are turned into lanes once.
struct BothChains;

/// Both, four steps of the one and four of the other: each step of MD5 waits for the one before, and meanwhile there is something to do. All
/// steps are written out, so that the words stay in registers, of which only wide vectors come with enough.
struct BothInTurn;

const MD5_WORDS: usize = 4;
const SHA256_WORDS: usize = 8;
const BOTH_WORDS: usize = MD5_WORDS + SHA256_WORDS;

/// Sixteen files that grow beside each other, and how far each has been taken into its two digests.
pub(crate) struct Beside {
    states: [[u32; BOTH_WORDS]; LANES],
    n_taken: [usize; LANES],
}

impl Beside {
    pub(crate) fn new() -> Self {
        Self { states: [BothChains::START; LANES], n_taken: [0; LANES] }
    }

    /// Bytes of a file that are not yet taken.
    pub(crate) fn n_waiting(&self, lane: usize, file: &[u8]) -> usize {
        file.len().saturating_sub(self.n_taken[lane])
    }

    /// Takes the whole blocks of each file, `n_bytes_max` bytes of it at most. What was taken of a file before is still at its front.
    pub(crate) fn take(&mut self, files: &[&[u8]; LANES], n_bytes_max: usize) {
        let lanes: [&[u8]; LANES] = std::array::from_fn(|lane| {
            // A file that was given up meanwhile has nothing left; nobody asks for its hash.
            let waiting = files[lane].get(self.n_taken[lane]..).unwrap_or(&[]);
            let n_bytes = waiting.len().min(n_bytes_max) / BLOCK_BYTES * BLOCK_BYTES;
            self.n_taken[lane] += n_bytes;
            &waiting[..n_bytes]
        });
        match Level::new().as_avx512() {
            Some(simd) => simd.vectorize(
                #[inline(always)]
                || advance::<_, BothInTurn, BOTH_WORDS>(simd, &mut self.states, &lanes),
            ),
            None => advance_here::<BothChains, BOTH_WORDS>(&mut self.states, &lanes),
        }
    }

    /// Takes all whole blocks of each file, which were written a while ago and are far away by now.
    pub(crate) fn take_from_afar(&mut self, files: &[&[u8]; LANES]) {
        while (0..LANES).any(|lane| self.n_waiting(lane, files[lane]) >= BLOCK_BYTES) {
            for (lane, file) in files.iter().enumerate() {
                // The processor fetches ahead in one file at a time, and hardly in sixteen. One byte brings its line along.
                let ahead = file.get(self.n_taken[lane]..).unwrap_or(&[]);
                let lines = ahead[..ahead.len().min(AHEAD_BYTES)].iter().step_by(BLOCK_BYTES);
                std::hint::black_box(lines.fold(0, |all, byte| all ^ byte));
            }
            self.take(files, AHEAD_BYTES);
        }
    }

    /// The MD5 of each file as it is now, lowercase hexadecimal.
    pub(crate) fn md5(&self, files: &[&[u8]; LANES]) -> [String; LANES] {
        self.end::<Md5Chain, MD5_WORDS>(files, 0)
    }

    /// The SHA-256 of each, likewise.
    pub(crate) fn sha256(&self, files: &[&[u8]; LANES]) -> [String; LANES] {
        self.end::<Sha256Chain, SHA256_WORDS>(files, MD5_WORDS)
    }

    /// `first` is where among the words of both those of the one begin.
    fn end<C: Ends<WORDS>, const WORDS: usize>(
        &self,
        files: &[&[u8]; LANES],
        first: usize,
    ) -> [String; LANES] {
        let mut states = self.states.map(|words| std::array::from_fn(|at| words[first + at]));
        let tails: [Vec<u8>; LANES] =
            std::array::from_fn(|lane| tail_of::<C, WORDS>(files[lane], self.n_taken[lane]));
        let lanes = tails.each_ref().map(Vec::as_slice);
        advance_here::<C, WORDS>(&mut states, &lanes);
        states.map(hex_of::<C, WORDS>)
    }
}

/// Whether the MD5 and SHA-256 of files of such sizes are worked out quicker beside each other than one after the other.
pub(crate) fn is_worth_both(sizes: impl Iterator<Item = usize> + Clone) -> bool {
    // One by itself takes three lanes' time of both; without vectors of 512 bits, six.
    let n_worth = if Level::new().as_avx512().is_some() { 4 } else { 8 };
    sizes.clone().max().unwrap_or(0).saturating_mul(n_worth) <= sizes.sum()
}

/// The MD5 of each, lowercase hexadecimal, in their order.
pub(crate) fn md5_of_each(files: &[&[u8]]) -> Vec<String> {
    let alone = |file: &[u8]| hex::encode(Md5::digest(file));
    // Sixteen chains take as long as two by themselves, on any processor.
    each(files, 2, alone, digests::<Md5Chain, MD5_WORDS>)
}

/// The SHA-256 of each, lowercase hexadecimal, in their order.
pub(crate) fn sha256_of_each(files: &[&[u8]]) -> Vec<String> {
    let alone = |file: &[u8]| hex::encode(Sha256::digest(file));
    // Processors have instructions for a single one, which only sixteen lanes of 512 bits outrun, when most of them are in use.
    let n_worth = if Level::new().as_avx512().is_some() { 11 } else { usize::MAX };
    each(files, n_worth, alone, digests::<Sha256Chain, SHA256_WORDS>)
}

/// Sixteen at once where that is quicker than `n_worth` of the longest of them, else one after the other.
fn each(
    files: &[&[u8]],
    n_worth: usize,
    alone: impl Fn(&[u8]) -> String,
    beside: impl Fn(&[&[u8]; LANES]) -> [String; LANES],
) -> Vec<String> {
    let mut digests = vec![String::new(); files.len()];
    // Files of one length beside each other: a lane that has ended runs empty.
    let mut order: Vec<usize> = (0..files.len()).collect();
    order.sort_by_key(|idx| std::cmp::Reverse(files[*idx].len()));
    for group in order.chunks(LANES) {
        let n_bytes: usize = group.iter().map(|idx| files[*idx].len()).sum();
        let longest = group.first().map_or(0, |idx| files[*idx].len());
        if n_bytes < longest.saturating_mul(n_worth) || group.len() < 2 {
            for idx in group {
                digests[*idx] = alone(files[*idx]);
            }
            continue;
        }
        let mut lanes: [&[u8]; LANES] = [&[]; LANES];
        for (lane, idx) in lanes.iter_mut().zip(group) {
            *lane = files[*idx];
        }
        for (idx, digest) in group.iter().zip(beside(&lanes)) {
            digests[*idx] = digest;
        }
    }
    digests
}

fn hex_of<C: Ends<WORDS>, const WORDS: usize>(state: [u32; WORDS]) -> String {
    let word = |word: u32| if C::IS_BIG_ENDIAN { word } else { word.swap_bytes() };
    state.iter().map(|bytes| format!("{:08x}", word(*bytes))).collect()
}

fn digests<C: Ends<WORDS>, const WORDS: usize>(files: &[&[u8]; LANES]) -> [String; LANES] {
    let mut states = [C::START; LANES];
    let whole = files.map(|file| &file[..file.len() / BLOCK_BYTES * BLOCK_BYTES]);
    advance_here::<C, WORDS>(&mut states, &whole);
    let tails: [Vec<u8>; LANES] =
        std::array::from_fn(|lane| tail_of::<C, WORDS>(files[lane], whole[lane].len()));
    advance_here::<C, WORDS>(&mut states, &tails.each_ref().map(Vec::as_slice));
    states.map(hex_of::<C, WORDS>)
}

/// [`advance`] as this processor does it best. By itself: it is a few thousand instructions for each kind of processor.
#[inline(never)]
fn advance_here<C: Chain<WORDS>, const WORDS: usize>(
    states: &mut [[u32; WORDS]; LANES],
    lanes: &[&[u8]; LANES],
) {
    dispatch!(Level::new(), simd => advance::<_, C, WORDS>(simd, states, lanes));
}

/// Takes all blocks of each lane into its state.
#[inline(always)]
fn advance<S: Simd, C: Chain<WORDS>, const WORDS: usize>(
    simd: S,
    states: &mut [[u32; WORDS]; LANES],
    lanes: &[&[u8]; LANES],
) {
    let blocks = lanes.map(|lane| lane.as_chunks::<BLOCK_BYTES>().0);
    let mut state: [u32x16<S>; WORDS] = std::array::from_fn(|word| {
        let words: [u32; LANES] = std::array::from_fn(|lane| states[lane][word]);
        words.simd_into(simd)
    });
    let idle = [0; BLOCK_BYTES];
    let mut round = 0;
    // Up to where the next lane ends; those that have ended run empty.
    while let Some(until) = blocks.iter().map(|lane| lane.len()).filter(|n_blocks| *n_blocks > round).min() {
        while round < until {
            let rows = blocks.map(|lane| {
                let block: u8x64<S> = (*lane.get(round).unwrap_or(&idle)).simd_into(simd);
                let words: u32x16<S> = block.bitcast();
                if cfg!(target_endian = "big") { read_from_the_left(words) } else { words }
            });
            C::compress(&mut state, turned(rows));
            round += 1;
        }
        for (word, words) in state.iter().enumerate() {
            let words: [u32; LANES] = (*words).into();
            for lane in 0..LANES {
                if blocks[lane].len() == until {
                    states[lane][word] = words[lane];
                }
            }
        }
    }
}

/// What follows the blocks of a file that are taken: its last bytes, a one, zeros, its length in bits.
fn tail_of<C: Ends<WORDS>, const WORDS: usize>(file: &[u8], n_taken: usize) -> Vec<u8> {
    let mut tail = file.get(n_taken..).unwrap_or_default().to_vec();
    tail.push(0x80);
    tail.resize((tail.len() + 8).next_multiple_of(BLOCK_BYTES) - 8, 0);
    let n_bits = u64::try_from(file.len()).unwrap_or(u64::MAX).wrapping_mul(8);
    tail.extend(if C::IS_BIG_ENDIAN { n_bits.to_be_bytes() } else { n_bits.to_le_bytes() });
    tail
}

/// Rows to columns: four times each row is shuffled into the one eight further on, as cards are.
#[inline(always)]
fn turned<S: Simd>(rows: [u32x16<S>; 16]) -> [u32x16<S>; 16] {
    let mut turned = rows;
    for _ in 0..4 {
        let before = turned;
        for at in 0..8 {
            turned[2 * at] = before[at].zip_low(before[at + 8]);
            turned[2 * at + 1] = before[at].zip_high(before[at + 8]);
        }
    }
    turned
}

#[inline(always)]
fn rotated<S: Simd>(words: u32x16<S>, left: u32) -> u32x16<S> {
    (words << left) | (words >> (32 - left))
}

/// The bytes of each word the other way round.
#[inline(always)]
fn read_from_the_left<S: Simd>(words: u32x16<S>) -> u32x16<S> {
    (rotated(words, 8) & 0x00ff_00ff) | (rotated(words, 24) & 0xff00_ff00)
}

/// The same for each.
#[inline(always)]
fn read_each_from_the_left<S: Simd>(words: [u32x16<S>; 16]) -> [u32x16<S>; 16] {
    // `map` would call for each of them: its own code is not compiled for this processor.
    let mut words = words;
    for word in &mut words {
        *word = read_from_the_left(*word);
    }
    words
}

/// Four steps of each round use the four shifts in turn and the state words round robin.
macro_rules! four {
    ($mix:ident, [$s1:literal, $s2:literal, $s3:literal, $s4:literal], $a:ident $b:ident $c:ident $d:ident, $words:ident, $idx:expr, $at:expr) => {
        $a = rotated($a + $mix($b, $c, $d) + ($words[$idx($at)] + T[$at]), $s1) + $b;
        $d = rotated($d + $mix($a, $b, $c) + ($words[$idx($at + 1)] + T[$at + 1]), $s2) + $a;
        $c = rotated($c + $mix($d, $a, $b) + ($words[$idx($at + 2)] + T[$at + 2]), $s3) + $d;
        $b = rotated($b + $mix($c, $d, $a) + ($words[$idx($at + 3)] + T[$at + 3]), $s4) + $c;
    };
}

/// RFC 1321, 3.4: what the four rounds mix, and which word a step of each takes.
macro_rules! md5_round {
    ($mix:ident, |$x:ident, $y:ident, $z:ident| $mixed:expr, $idx:ident, |$at:ident| $word:expr) => {
        #[inline(always)]
        fn $mix<S: Simd>($x: u32x16<S>, $y: u32x16<S>, $z: u32x16<S>) -> u32x16<S> {
            $mixed
        }

        #[inline(always)]
        const fn $idx($at: usize) -> usize {
            $word
        }
    };
}
md5_round!(md5_f, |x, y, z| (x & y) | (!x & z), in_order, |at| at % 16);
md5_round!(md5_g, |x, y, z| (x & z) | (y & !z), by_five, |at| (5 * at + 1) % 16);
md5_round!(md5_h, |x, y, z| x ^ y ^ z, by_three, |at| (3 * at + 5) % 16);
md5_round!(md5_i, |x, y, z| y ^ (x | !z), by_seven, |at| 7 * at % 16);

/// FIPS 180-4, 6.2.2, one step. What it rotates to the right is rotated to the left by the rest.
macro_rules! step {
    ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $words:ident, $at:expr) => {
        let sum = rotated($e, 26) ^ rotated($e, 21) ^ rotated($e, 7);
        let chosen = ($e & $f) ^ (!$e & $g);
        let one = $h + sum + chosen + ($words[$at % 16] + K[$at]);
        let sum = rotated($a, 30) ^ rotated($a, 19) ^ rotated($a, 10);
        // The first difference is the second one of the next step.
        let most = (($a ^ $b) & ($b ^ $c)) ^ $b;
        $d += one;
        $h = one + sum + most;
    };
}

/// The word that step takes, from 16 on.
#[inline(always)]
fn scheduled<S: Simd>(words: &[u32x16<S>; 16], at: usize) -> u32x16<S> {
    let (near, far) = (words[(at + 1) % 16], words[(at + 14) % 16]);
    let small = rotated(near, 25) ^ rotated(near, 14) ^ (near >> 3);
    let large = rotated(far, 15) ^ rotated(far, 13) ^ (far >> 10);
    words[at % 16] + small + words[(at + 9) % 16] + large
}

impl Ends<MD5_WORDS> for Md5Chain {
    const IS_BIG_ENDIAN: bool = false;
}

impl Chain<MD5_WORDS> for Md5Chain {
    const START: [u32; MD5_WORDS] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

    /// RFC 1321, 3.4: the four rounds.
    #[inline(always)]
    fn compress<S: Simd>(state: &mut [u32x16<S>; MD5_WORDS], words: [u32x16<S>; 16]) {
        let [mut a, mut b, mut c, mut d] = *state;
        for at in [0, 4, 8, 12] {
            four!(md5_f, [7, 12, 17, 22], a b c d, words, in_order, at);
        }
        for at in [16, 20, 24, 28] {
            four!(md5_g, [5, 9, 14, 20], a b c d, words, by_five, at);
        }
        for at in [32, 36, 40, 44] {
            four!(md5_h, [4, 11, 16, 23], a b c d, words, by_three, at);
        }
        for at in [48, 52, 56, 60] {
            four!(md5_i, [6, 10, 15, 21], a b c d, words, by_seven, at);
        }
        for (old, new) in state.iter_mut().zip([a, b, c, d]) {
            *old += new;
        }
    }
}

impl Ends<SHA256_WORDS> for Sha256Chain {
    const IS_BIG_ENDIAN: bool = true;
}

impl Chain<SHA256_WORDS> for Sha256Chain {
    const START: [u32; SHA256_WORDS] = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    /// FIPS 180-4, 6.2.2.
    #[inline(always)]
    fn compress<S: Simd>(state: &mut [u32x16<S>; SHA256_WORDS], words: [u32x16<S>; 16]) {
        let mut words = read_each_from_the_left(words);
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for sixteen in [0, 16, 32, 48] {
            if sixteen > 0 {
                for at in 0..16 {
                    words[at] = scheduled(&words, at);
                }
            }
            for at in [sixteen, sixteen + 8] {
                step!(a b c d e f g h, words, at);
                step!(h a b c d e f g, words, at + 1);
                step!(g h a b c d e f, words, at + 2);
                step!(f g h a b c d e, words, at + 3);
                step!(e f g h a b c d, words, at + 4);
                step!(d e f g h a b c, words, at + 5);
                step!(c d e f g h a b, words, at + 6);
                step!(b c d e f g h a, words, at + 7);
            }
        }
        for (old, new) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *old += new;
        }
    }
}

impl Chain<BOTH_WORDS> for BothChains {
    const START: [u32; BOTH_WORDS] = {
        let mut start = [0; BOTH_WORDS];
        let (md5, sha256) = start.split_at_mut(MD5_WORDS);
        md5.copy_from_slice(&Md5Chain::START);
        sha256.copy_from_slice(&Sha256Chain::START);
        start
    };

    #[inline(always)]
    fn compress<S: Simd>(state: &mut [u32x16<S>; BOTH_WORDS], words: [u32x16<S>; 16]) {
        let [a, b, c, d, rest @ ..] = state;
        let mut md5 = [*a, *b, *c, *d];
        Md5Chain::compress(&mut md5, words);
        [*a, *b, *c, *d] = md5;
        Sha256Chain::compress(rest, words);
    }
}

impl Chain<BOTH_WORDS> for BothInTurn {
    const START: [u32; BOTH_WORDS] = BothChains::START;

    #[inline(always)]
    fn compress<S: Simd>(state: &mut [u32x16<S>; BOTH_WORDS], words: [u32x16<S>; 16]) {
        let mut read = read_each_from_the_left(words);
        let [mut a, mut b, mut c, mut d, mut p, mut q, mut r, mut s, mut t, mut u, mut v, mut w] = *state;
        macro_rules! one {
            ($p:ident $q:ident $r:ident $s:ident $t:ident $u:ident $v:ident $w:ident, $at:expr) => {
                if $at >= 16 {
                    read[$at % 16] = scheduled(&read, $at);
                }
                step!($p $q $r $s $t $u $v $w, read, $at);
            };
        }
        macro_rules! eight {
            ($mix:ident, $shifts:tt, $idx:ident, $at:expr) => {
                four!($mix, $shifts, a b c d, words, $idx, $at);
                one!(p q r s t u v w, $at);
                one!(w p q r s t u v, $at + 1);
                one!(v w p q r s t u, $at + 2);
                one!(u v w p q r s t, $at + 3);
                four!($mix, $shifts, a b c d, words, $idx, $at + 4);
                one!(t u v w p q r s, $at + 4);
                one!(s t u v w p q r, $at + 5);
                one!(r s t u v w p q, $at + 6);
                one!(q r s t u v w p, $at + 7);
            };
        }
        eight!(md5_f, [7, 12, 17, 22], in_order, 0);
        eight!(md5_f, [7, 12, 17, 22], in_order, 8);
        eight!(md5_g, [5, 9, 14, 20], by_five, 16);
        eight!(md5_g, [5, 9, 14, 20], by_five, 24);
        eight!(md5_h, [4, 11, 16, 23], by_three, 32);
        eight!(md5_h, [4, 11, 16, 23], by_three, 40);
        eight!(md5_i, [6, 10, 15, 21], by_seven, 48);
        eight!(md5_i, [6, 10, 15, 21], by_seven, 56);
        for (old, new) in state.iter_mut().zip([a, b, c, d, p, q, r, s, t, u, v, w]) {
            *old += new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn md5(file: &[u8]) -> String {
        hex::encode(Md5::digest(file))
    }

    fn sha256(file: &[u8]) -> String {
        hex::encode(Sha256::digest(file))
    }

    /// By the lanes, whether or not that is quicker here.
    fn sha256_in_lanes(files: &[&[u8]]) -> Vec<String> {
        each(files, 0, sha256, digests::<Sha256Chain, SHA256_WORDS>)
    }

    #[test]
    fn every_length_around_a_block_is_right() {
        let bytes: Vec<u8> = (0..400_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let files: Vec<&[u8]> = (0..=300).map(|len| &bytes[..len]).collect();
        assert_eq!(md5_of_each(&files), files.iter().map(|file| md5(file)).collect::<Vec<_>>());
        let expected: Vec<String> = files.iter().map(|file| sha256(file)).collect();
        assert_eq!(sha256_of_each(&files), expected);
        assert_eq!(sha256_in_lanes(&files), expected);
        assert_eq!(md5_of_each(&[]), Vec::<String>::new());
    }

    #[test]
    fn files_that_were_written_a_while_ago_have_the_digests_of_what_they_are() {
        let bytes: Vec<u8> = (0..70_000_u32).map(|n| u8::try_from(n * 7 % 251).unwrap()).collect();
        let lengths =
            [0, 63, 64, AHEAD_BYTES, AHEAD_BYTES + 1, AHEAD_BYTES - 1, 2 * AHEAD_BYTES + 65, 70_000];
        for begun in [0, 100, AHEAD_BYTES] {
            let files: [&[u8]; LANES] = std::array::from_fn(|lane| &bytes[..lengths[lane % lengths.len()]]);
            let mut beside = Beside::new();
            beside.take(&files, begun);
            beside.take_from_afar(&files);
            assert!((0..LANES).all(|lane| beside.n_waiting(lane, files[lane]) < BLOCK_BYTES));
            assert_eq!(beside.md5(&files), files.map(md5), "{begun}");
            assert_eq!(beside.sha256(&files), files.map(sha256), "{begun}");
        }
    }

    proptest! {
        #[test]
        fn files_of_any_lengths_have_their_own_digest(files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..40)) {
            let files: Vec<&[u8]> = files.iter().map(Vec::as_slice).collect();
            prop_assert_eq!(md5_of_each(&files), files.iter().map(|file| md5(file)).collect::<Vec<_>>());
            prop_assert_eq!(sha256_in_lanes(&files), files.iter().map(|file| sha256(file)).collect::<Vec<_>>());
        }

        /// Step by step beside each other is for vectors of 512 bits, which this machine may lack.
        #[test]
        fn both_in_turn_are_what_they_are_on_any_processor(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), LANES..=LANES),
        ) {
            let mut beside = Beside::new();
            let blocks: [&[u8]; LANES] = std::array::from_fn(|lane| {
                let n_bytes = files[lane].len() / BLOCK_BYTES * BLOCK_BYTES;
                beside.n_taken[lane] = n_bytes;
                &files[lane][..n_bytes]
            });
            let Some(simd) = Level::new().as_sse4_2() else { return Ok(()) };
            // Without optimisation each of its steps has a place of its own on the stack.
            let on_a_large_stack = std::thread::Builder::new().stack_size(256 << 20);
            std::thread::scope(|scope| {
                let states = &mut beside.states;
                let work = || simd.vectorize(|| advance::<_, BothInTurn, BOTH_WORDS>(simd, states, &blocks));
                on_a_large_stack.spawn_scoped(scope, work).unwrap().join().unwrap();
            });
            let files: [&[u8]; LANES] = std::array::from_fn(|lane| files[lane].as_slice());
            prop_assert_eq!(beside.md5(&files), files.map(md5));
            prop_assert_eq!(beside.sha256(&files), files.map(sha256));
        }

        #[test]
        fn files_that_grow_have_the_digests_of_what_they_are(
            files in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..900), LANES..=LANES),
            steps in prop::collection::vec((0_usize..400, 0_usize..300), 0..6),
        ) {
            let mut beside = Beside::new();
            let mut n_bytes = 0;
            let shown = |n_bytes: usize| -> [&[u8]; LANES] {
                std::array::from_fn(|lane| &files[lane][..n_bytes.min(files[lane].len())])
            };
            for (more, at_once) in steps {
                n_bytes += more;
                beside.take(&shown(n_bytes), at_once);
            }
            let files = shown(n_bytes);
            prop_assert_eq!(beside.md5(&files), files.map(md5));
            prop_assert_eq!(beside.sha256(&files), files.map(sha256));
        }
    }
}
