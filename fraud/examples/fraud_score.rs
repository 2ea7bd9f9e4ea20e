//! Prints the score of the delivered rules on the given seeds: `cargo run --release -p fraud --example fraud_score -- 11 12 13`.
#![expect(clippy::print_stdout, reason = "printing is what it is for")]

use fraud::rule::presets;
use fraud::simulate::{Score, Size};

fn main() {
    let seeds: Vec<u64> = std::env::args().skip(1).filter_map(|seed| seed.parse().ok()).collect();
    let seeds = if seeds.is_empty() { vec![11] } else { seeds };
    println!("{}", Score::of(&presets(), &seeds, Size::PUBLISHED).table());
}
