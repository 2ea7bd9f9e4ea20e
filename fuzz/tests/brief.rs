//! Each door, fed with its seeds and with some thousands of changed ones, the same at every run.

use fuzz::{DOORS, Door, seeds_of};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// Longest input: what is longer only takes time.
const BYTES_MAX: usize = 8_192;

/// Bytes that mean something to one of the readers.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r\n\r\n",
    b"\r\n~~\r\n",
    b"\n~~\n",
    b";",
    b",",
    b"\"",
    b"<",
    b">",
    b"=",
    b"@",
    b":",
    b"[",
    b"]",
    b"{",
    b"}",
    b"%",
    b"%00",
    b"0",
    b"-1",
    b"65536",
    b"4294967296",
    b"18446744073709551616",
    b"99999999999999999999999999",
    b"\xff",
    b"\x00",
    b"\xc3\x28",
    b"\xf0\x9f\x93\x9e",
    b"INVITE ",
    b"SIP/2.0 ",
    b"Content-Length: ",
    b"Via: ",
    b"tag=",
    b"1.5",
    b"1e9",
    b"NaN",
    b"2026-02-30",
    b"(",
    b"(?=",
    b"*",
    b"\\",
    b"\"\"",
    b"'",
];

#[test]
fn every_door_stands_its_seeds() {
    for door in DOORS {
        let seeds = seeds_of(*door).unwrap();
        assert!(seeds.len() > 1, "{} has no seeds", door.name);
        for seed in seeds {
            (door.feed)(&seed);
        }
    }
}

#[test]
fn every_door_stands_what_becomes_of_its_seeds() {
    for door in DOORS {
        feed(*door);
    }
}

fn feed(door: Door) {
    let seeds = seeds_of(door).expect("the seeds lie in the tree");
    for n in 0..door.n_brief {
        let mut random = StdRng::seed_from_u64(u64::from(n));
        let mut bytes = seeds[random.random_range(0..seeds.len())].clone();
        for _ in 0..random.random_range(1..=6) {
            change(&mut bytes, &seeds, &mut random);
        }
        bytes.truncate(BYTES_MAX);
        let fed = std::panic::catch_unwind(|| (door.feed)(&bytes));
        assert!(fed.is_ok(), "{} does not stand feed {n}: {}", door.name, bytes.escape_ascii());
    }
}

/// One change of the usual kinds: a byte, a word, a piece left out, repeated or taken from another seed.
fn change(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut StdRng) {
    let place = random.random_range(0..=bytes.len());
    let end = (place + random.random_range(0..64)).min(bytes.len());
    match random.random_range(0..7) {
        0 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte = random.random();
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << random.random_range(0..8);
            }
        }
        2 => {
            bytes.drain(place..end);
        }
        3 => {
            let piece = bytes[place..end].to_vec();
            bytes.splice(place..place, piece);
        }
        4 => {
            let word = WORDS[random.random_range(0..WORDS.len())];
            bytes.splice(place..place, word.iter().copied());
        }
        5 => {
            let word = WORDS[random.random_range(0..WORDS.len())];
            bytes.splice(place..end, word.iter().copied());
        }
        _ => {
            let other = &seeds[random.random_range(0..seeds.len())];
            let from = random.random_range(0..=other.len());
            let to = (from + random.random_range(0..512)).min(other.len());
            bytes.splice(place..end, other[from..to].iter().copied());
        }
    }
}
