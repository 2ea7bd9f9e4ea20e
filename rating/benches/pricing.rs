//! How fast calls are priced, and what a deck costs to load and to hold. Prints figures; decides nothing.
//!
//! Measured in November 2026 on two cores of an EPYC (Zen 4), other builds stopped, four runs: two look-ups of 200,000 prefixes 5.1 to 6.0 M calls/s where
//! many are asked for at once, 2.3 to 2.5 M one after the other; one look-up alone 6.5 to 6.8 M, with evidence 1.1 M.
//!
//! `cargo bench -p rating` runs all of it; `cargo bench -p rating -- 5` repeats each measurement five times and prints the best.

#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]

use std::collections::HashSet;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use model::{Direction, TariffVersion};
use rating::workbench::{TariffIds, read_tariff};
use rating::{CallToPrice, Tariff, price, quote, quote_each};

const PROFILE: &str = "handle = \"deck\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\n";

const HEADER: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,\
    onpeak_follow_rate,onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,\
    offpeak_follow_interval\n";

/// Numbers that look drawn and are the same each time (a linear congruential generator, Knuth's constants).
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

/// A deck of `n` prefixes of 2 to 9 digits below some 200 country codes, nights and weekends off-peak.
fn deck(dir: &Path, n: usize) -> Vec<String> {
    let mut drawn = Drawn(7);
    let mut prefixes = HashSet::new();
    let mut text = HEADER.to_owned();
    let mut listed = Vec::with_capacity(n);
    while listed.len() < n {
        let country = 20 + drawn.below(200);
        let prefix = match drawn.below(8) {
            0 => country.to_string(),
            1..=3 => format!("{country}{}", drawn.below(10_000)),
            _ => format!("{country}{}", drawn.below(1_000_000)),
        };
        if !prefixes.insert(prefix.clone()) {
            continue;
        }
        // A price and its intervals are those of a zone, as carriers publish them, and now and then a prefix's own.
        let zone = drawn.below(6);
        let of_zone = if drawn.below(50) == 0 { drawn.below(1_000_000) } else { country * 6 + zone };
        let (on, off) = (1 + of_zone * 7_919 % 900, 1 + of_zone * 104_729 % 500);
        let intervals = ["60,60", "1,1", "30,6"][usize::try_from(of_zone % 3).unwrap_or(0)];
        let (init, follow) = intervals.split_once(',').unwrap_or_default();
        writeln!(
            text,
            ",{prefix},out,Country {country},zone {zone},0.{on:04},{init},0.{on:04},{follow},0.{off:04},{init},0.{off:04},{follow}"
        )
        .expect("writing to a string cannot fail");
        listed.push(prefix);
    }
    let mut off_peak = String::new();
    for day in ["mon", "tue", "wed", "thu", "fri"] {
        off_peak += &format!("[[weekday]]\nday = \"{day}\"\nstart = \"00:00:00\"\nend = \"07:59:59\"\n");
        off_peak += &format!("[[weekday]]\nday = \"{day}\"\nstart = \"18:00:00\"\nend = \"23:59:59\"\n");
    }
    for day in ["sat", "sun"] {
        off_peak += &format!("[[weekday]]\nday = \"{day}\"\nstart = \"00:00:00\"\nend = \"23:59:59\"\n");
    }
    let write = |name: &str, text: &str| std::fs::write(dir.join(name), text).expect("write the deck");
    write("profile.toml", PROFILE);
    write("fees.csv", &text);
    write("offpeak.toml", &off_peak);
    listed
}

/// Its digits lie in it, as those of a record just decoded lie in the cache: what is measured is the pricing, not how the allocator strews
/// a million texts over the heap.
struct Call {
    digits: [u8; 16],
    n_digits: usize,
    start: DateTime<Utc>,
    duration_us: u64,
}

/// A week of calls to numbers of the deck, 1 to 600 s long.
fn calls(prefixes: &[String], n: usize) -> Vec<Call> {
    let mut drawn = Drawn(11);
    let monday = DateTime::from_timestamp(1_772_406_000, 0).expect("a time of 2026");
    let mut one = || {
        let prefix = &prefixes[usize::try_from(drawn.below(prefixes.len() as u64)).unwrap_or(0)];
        let second = i64::try_from(drawn.below(7 * 86_400)).unwrap_or(0);
        let destination = format!("{prefix}{:07}", drawn.below(10_000_000));
        let mut digits = [0; 16];
        digits[..destination.len()].copy_from_slice(destination.as_bytes());
        Call {
            digits,
            n_digits: destination.len(),
            start: monday + TimeDelta::seconds(second) + TimeDelta::microseconds(137),
            duration_us: 1_000_000 + drawn.below(600_000_000),
        }
    };
    (0..n).map(|_| one()).collect()
}

/// Calls whose fees all lie in a near cache.
const NEAR_CALLS: usize = 256;

/// Calls that are asked for at once, as many as lie in a part of the nearest cache.
const CALLS_ASKED: usize = 64;

fn to_price(call: &Call) -> CallToPrice<'_> {
    CallToPrice {
        ported: None,
        source: "43660555123",
        destination: std::str::from_utf8(&call.digits[..call.n_digits]).expect("digits are text"),
        direction: Direction::Out,
        start: call.start,
        duration_us: call.duration_us,
    }
}

/// Time on a core that the process has had (schedstat); on a machine with other work the clock on the wall says little.
fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}

/// The best of `n` runs, in time on a core.
fn best(n: u32, mut run: impl FnMut()) -> Duration {
    let mut once = || {
        let begun = on_core();
        run();
        on_core().saturating_sub(begun)
    };
    (0..n).map(|_| once()).min().unwrap_or_default()
}

/// Time on cores that all threads of the process have had, those that are gone among them; in steps of 10 ms.
fn on_cores() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name in brackets: user and system time are the twelfth and the thirteenth.
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn compiled(version: &TariffVersion) -> Tariff {
    Tariff::compile(version).expect("the deck is in order")
}

fn main() {
    let n_runs = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(3);
    let dir = tempfile::tempdir().expect("a place for the deck");
    println!("best of {n_runs} runs, one core, time on the core");

    let prefixes = deck(dir.path(), 200_000);
    let version = read_tariff(dir.path(), TariffIds::default()).expect("the deck is in order");
    // Customer and carrier: two tariffs of the same deck, so that neither finds the other's nodes in the cache.
    let (customer, carrier) = (compiled(&version), compiled(&version));
    let calls = calls(&prefixes, 1_000_000);
    let per_second = |took: Duration| calls.len() as f64 / took.as_secs_f64() / 1e6;
    let took = best(n_runs, || {
        let mut asked = Vec::with_capacity(2 * CALLS_ASKED);
        for calls in calls.chunks(CALLS_ASKED) {
            asked.clear();
            for call in calls {
                let call = to_price(call);
                asked.extend([(&customer, call), (&carrier, call)]);
            }
            quote_each(&asked, |_, quote| {
                black_box(quote.expect("every number has a fee"));
            });
        }
    });
    println!("pricing, two lookups of 200000 prefixes, on- and off-peak: {:.2} M calls/s", per_second(took));
    let took = best(n_runs, || {
        for call in &calls {
            let call = to_price(call);
            quote_each(&[(&customer, call), (&carrier, call)], |_, quote| {
                black_box(quote.expect("every number has a fee"));
            });
        }
    });
    println!("the same, one call after the other:                        {:.2} M calls/s", per_second(took));
    let took = best(n_runs, || {
        for call in &calls {
            black_box(quote(&customer, &to_price(call)).expect("every number has a fee"));
        }
    });
    let quick = per_second(took);
    println!("pricing, one lookup:                                       {quick:.2} M calls/s");
    let took = best(n_runs, || {
        for call in &calls {
            black_box(price(&customer, &to_price(call)).expect("every number has a fee"));
        }
    });
    let exact = per_second(took);
    println!("pricing with evidence, one lookup:                         {exact:.2} M calls/s");
    println!("without evidence it takes 1/{:.1} of the time of the exact path with it", quick / exact);
    drop((customer, carrier, version));

    let mut of_first = None;
    for n in [10_000, 200_000, 400_000, 2_000_000] {
        let prefixes = deck(dir.path(), n);
        let read = || read_tariff(dir.path(), TariffIds::default()).expect("the deck is in order");
        // By two threads.
        let took_reading = (0..n_runs).map(|_| {
            let (begun, begun_at) = (on_cores(), Instant::now());
            black_box(read());
            (on_cores().saturating_sub(begun), begun_at.elapsed())
        });
        let (cores, wall) = took_reading.min_by_key(|(_, wall)| *wall).unwrap_or_default();
        let version = read();
        let took_compiling = best(n_runs, || {
            black_box(compiled(&version));
        });
        let before = resident();
        let tariff = compiled(&version);
        let grown = resident().saturating_sub(before);
        let calls = self::calls(&prefixes, 200_000);
        let took = best(n_runs, || {
            for call in &calls {
                black_box(quote(&tariff, &to_price(call)).expect("every number has a fee"));
            }
        });
        // Numbers that were just asked for: how long the steps take, without waiting for memory.
        let near = &calls[..NEAR_CALLS.min(calls.len())];
        let took_near = best(n_runs, || {
            for call in near.iter().cycle().take(calls.len()) {
                black_box(quote(&tariff, &to_price(call)).expect("every number has a fee"));
            }
        });
        let took_beside = best(n_runs, || {
            let mut asked = Vec::with_capacity(CALLS_ASKED);
            for calls in calls.chunks(CALLS_ASKED) {
                asked.clear();
                asked.extend(calls.iter().map(|call| (&tariff, to_price(call))));
                quote_each(&asked, |_, quote| {
                    black_box(quote.expect("every number has a fee"));
                });
            }
        });
        println!(
            "deck of {n:>7}: read and checked in {:>4} ms ({:>4} ms of cores), compiled in {:>4} ms, {:>5.1} MB of tables (process +{:.1} MB), \
             {:.0} ns a price, {:.0} ns of many",
            wall.as_millis(),
            cores.as_millis(),
            took_compiling.as_millis(),
            tariff.bytes() as f64 / 1e6,
            grown as f64 / 1e6,
            took.as_secs_f64() * 1e9 / calls.len() as f64,
            took_beside.as_secs_f64() * 1e9 / calls.len() as f64,
        );
        let times = [took_near, took, took_beside].map(|took| took.as_secs_f64() * 1e9 / calls.len() as f64);
        let [near, far, beside] = times;
        let [first_near, first_far, first_beside] = *of_first.get_or_insert(times);
        println!(
            "  a price that waits for no memory {near:.1} ns ({:.2} times that of the first deck), of any number {far:.1} ns ({:.2}), of many {beside:.1} ns ({:.2})",
            near / first_near,
            far / first_far,
            beside / first_beside,
        );
    }
}
