//! Records formatted and hashed per second on one core, and a hundred partners' files closed.
//!
//! `cargo bench -p exports --bench format`

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "a program that measures"
)]

#[path = "../tests/calls/mod.rs"]
#[expect(dead_code, reason = "the world around the calls is for the tests")]
mod calls;

use std::time::{Duration, Instant};

use calls::{CARRIER, RESELLER, answered, charge, subscriber, trunk};
use exports::{Entry, FileSpec, Format, Owner, load_format, publish, render};
use model::{AccountId, Direction, Provider};

const ROWS: u32 = 5_000;
const PARTNERS: u64 = 100;
const MEASURE_FOR: Duration = Duration::from_secs(3);

/// Answered calls of many callers, some seconds apart.
fn entries() -> Vec<Entry> {
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
            Entry::from(rated)
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

fn main() {
    let entries = entries();
    println!(
        "{ROWS} records a file, per second of processor time; with header, trailer and the SHA-256 of the file"
    );
    for (name, owner) in [
        ("fixed-record", Owner::Carrier(CARRIER)),
        ("reference-reseller", Owner::Reseller(RESELLER)),
        ("reference-system", Owner::System),
        ("csv", Owner::System),
        ("json-lines", Owner::System),
    ] {
        let format = load_format(name).unwrap();
        let spec = spec(&format, owner, "bench");
        let n_bytes = render(&spec, &entries).unwrap().bytes.len();
        let (began, began_cpu, mut n_files) = (Instant::now(), processor_time(), 0_u32);
        while began.elapsed() < MEASURE_FOR {
            std::hint::black_box(render(&spec, std::hint::black_box(&entries)).unwrap());
            n_files += 1;
        }
        let seconds = (processor_time() - began_cpu).as_secs_f64();
        let (records, megabytes) =
            (f64::from(n_files * ROWS) / seconds, f64::from(n_files) * n_bytes as f64 / 1e6 / seconds);
        println!(
            "{name:20} {records:>10.0} records/s  {megabytes:>6.0} MB/s  {} bytes a record",
            n_bytes / ROWS as usize
        );
    }

    let dir = tempfile::tempdir().unwrap();
    let (exports, archive) = (dir.path().join("exports"), dir.path().join("archive"));
    let format = load_format("reference-reseller").unwrap();
    let began = Instant::now();
    for partner in 0..PARTNERS {
        let name = format!("resellers/p{partner}/1.cdr");
        let rendered = render(&spec(&format, Owner::Reseller(RESELLER), &name), &entries).unwrap();
        publish(&exports, &archive, &rendered.name, &rendered.bytes).unwrap();
    }
    println!(
        "{PARTNERS} partners' files of {ROWS} records rendered, written, synced and linked in {:.2} s",
        began.elapsed().as_secs_f64()
    );
}
