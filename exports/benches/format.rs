//! Records per second on one core, from where they lie in the queue to the hashed bytes of files, and a hundred partners' files closed.
//!
//! `cargo bench -p exports --bench format`, or of one format and one way alone: `-- csv sixteen`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    reason = "a program that measures"
)]

#[path = "../tests/calls/mod.rs"]
#[expect(dead_code, reason = "the world around the calls is for the tests")]
mod calls;

use std::time::{Duration, Instant};

use calls::{CARRIER, RESELLER, answered, charge, subscriber, trunk};
use exports::{Contents, FileSpec, Format, Owner, Queued, load_format, publish, render_all};
use model::{AccountId, Direction, Provider};

const ROWS: u32 = 5_000;
const PARTNERS: u64 = 100;
const MEASURE_FOR: Duration = Duration::from_secs(3);

/// Files whose checksums are worked out beside each other.
const BESIDE: u32 = 16;

/// Answered calls of many callers, some seconds apart, as they lie in the queue.
fn payloads() -> Vec<Vec<u8>> {
    (0..ROWS)
        .map(|n| {
            let mut rated = answered(
                &format!("c{n}"),
                subscriber(i64::from(n), RESELLER),
                trunk(CARRIER),
                vec![
                    charge(Provider::Carrier, Direction::Out, CARRIER, "0.0321"),
                    charge(Provider::Reseller, Direction::Out, RESELLER, "0.05"),
                    charge(Provider::Customer, Direction::Out, AccountId(101), "0.24"),
                ],
            );
            let later = chrono::TimeDelta::milliseconds(i64::from(n) * 731);
            rated.cdr.init_at += later;
            rated.cdr.start_at += later;
            rated.cdr.duration_us += u64::from(n) * 1_234_567;
            rated.cdr.source.cli = Some((43_720_000_000_u64 + u64::from(n)).to_string().parse().unwrap());
            model::wire::encode_rated(&rated)
        })
        .collect()
}

/// Of this thread: what a core of its own would have taken, however many others share it.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

fn spec<'a>(format: &'a Format, owner: Owner, name: &'a str) -> FileSpec<'a> {
    FileSpec {
        format,
        owner,
        owner_name: "acme",
        stream: "main",
        way: "",
        name,
        sequence: 1,
        created_at: chrono::DateTime::UNIX_EPOCH,
        day: None,
        zone: chrono_tz::Europe::Vienna,
    }
}

/// Records a second of processor time, where `work` renders so many files.
fn per_second(n_files: u32, mut work: impl FnMut()) -> f64 {
    let (began, began_cpu, mut n_rounds) = (Instant::now(), processor_time(), 0_u32);
    while began.elapsed() < MEASURE_FOR {
        work();
        n_rounds += 1;
    }
    f64::from(n_rounds * n_files * ROWS) / (processor_time() - began_cpu).as_secs_f64()
}

fn main() {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |names: &[&str], name: &str| {
        let among: Vec<&String> = chosen.iter().filter(|choice| names.contains(&choice.as_str())).collect();
        among.is_empty() || among.iter().any(|choice| *choice == name)
    };
    let payloads = payloads();
    let calls: Vec<Queued<'_>> = payloads.iter().map(|call| Queued { call, earlier: None }).collect();
    let n_queued: usize = payloads.iter().map(Vec::len).sum();
    println!(
        "{ROWS} records a file, {} bytes each in the queue, per second of processor time: read, written, MD5, SHA-256",
        n_queued / ROWS as usize
    );
    println!("{:20} {:>14} {:>14} {:>14}", "records/s", "one file", "sixteen files", "hashes alone");
    for (name, owner) in [
        ("fixed-record", Owner::Carrier(CARRIER)),
        ("reference-reseller", Owner::Reseller(RESELLER)),
        ("reference-system", Owner::System),
        ("csv", Owner::System),
        ("json-lines", Owner::System),
    ] {
        let formats = ["fixed-record", "reference-reseller", "reference-system", "csv", "json-lines"];
        if !is_chosen(&formats, name) {
            continue;
        }
        let format = load_format(name).unwrap();
        let spec = spec(&format, owner, "bench");
        let all_of = |n: u32| {
            let files: Vec<_> = (0..n).map(|_| (spec.clone(), Contents::Queued(&calls))).collect();
            for file in render_all(std::hint::black_box(&files)) {
                std::hint::black_box(file.unwrap());
            }
        };
        let rendered = render_all(&[(spec.clone(), Contents::Queued(&calls))]).pop().unwrap().unwrap();
        let bytes = rendered.bytes.as_slice();
        let n_bytes = bytes.len();
        let ways = ["one", "sixteen", "hashes", "publish"];
        let when_chosen = |way: &str, n_files: u32, work: &mut dyn FnMut()| {
            if is_chosen(&ways, way) { per_second(n_files, work) } else { 0.0 }
        };
        let one = when_chosen("one", 1, &mut || all_of(1));
        let beside = when_chosen("sixteen", BESIDE, &mut || all_of(BESIDE));
        let files = vec![bytes; BESIDE as usize];
        let hashes = when_chosen("hashes", BESIDE, &mut || {
            std::hint::black_box(exports::hashes_of_each(std::hint::black_box(&files)));
        });
        println!(
            "{name:20} {one:>14.0} {beside:>14.0} {hashes:>14.0}   {} bytes a record",
            n_bytes / ROWS as usize
        );
    }

    if is_chosen(&["one", "sixteen", "hashes", "publish"], "publish") {
        hundred_files(&calls);
    }
}

/// A hundred partners' files to the disk.
fn hundred_files(calls: &[Queued<'_>]) {
    let dir = tempfile::tempdir().unwrap();
    let (exports, archive) = (dir.path().join("exports"), dir.path().join("archive"));
    let format = load_format("reference-reseller").unwrap();
    let began = Instant::now();
    let names: Vec<String> = (0..PARTNERS).map(|partner| format!("resellers/p{partner}/1.cdr")).collect();
    for names in names.chunks(BESIDE as usize) {
        let files: Vec<_> = names
            .iter()
            .map(|name| (spec(&format, Owner::Reseller(RESELLER), name), Contents::Queued(calls)))
            .collect();
        for rendered in render_all(&files) {
            let rendered = rendered.unwrap();
            publish(&exports, &archive, &rendered.name, &rendered.bytes).unwrap();
        }
    }
    println!(
        "{PARTNERS} partners' files of {ROWS} records rendered, written, synced and linked in {:.2} s",
        began.elapsed().as_secs_f64()
    );
}
