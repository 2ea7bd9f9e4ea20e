//! Records per second on one core, from where they lie in the queue to the hashed bytes of files of every delivered format, and a hundred
//! partners' files closed.
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

use calls::{CARRIER, RESELLER, answered, busy, charge, subscriber, trunk};
use exports::{
    Buffers, Contents, DELIVERED, Event, FileSpec, Format, Owner, Queued, Subject, load_format, publish,
    render_all_into,
};
use model::{AccountId, Cause, Direction, Edr, EdrKind, Provider, RatedCdr, TenantId};

/// As in the binary: the buffers of files come and go.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const ROWS: u32 = 5_000;
const PARTNERS: u64 = 100;
const MEASURE_FOR: Duration = Duration::from_secs(3);

/// Files whose checksums are worked out beside each other.
const BESIDE: u32 = 16;

/// An answered call of one of many callers, some seconds after the one before.
fn call_of(n: u32) -> RatedCdr {
    let charges = vec![
        charge(Provider::Carrier, Direction::Out, CARRIER, "0.0321"),
        charge(Provider::Reseller, Direction::Out, RESELLER, "0.05"),
        charge(Provider::Customer, Direction::Out, AccountId(101), "0.24"),
    ];
    let mut rated = answered(&format!("c{n}"), subscriber(i64::from(n), RESELLER), trunk(CARRIER), charges);
    rated.cdr.duration_us += u64::from(n) * 1_234_567;
    later(&mut rated, n);
    rated
}

fn later(rated: &mut RatedCdr, n: u32) {
    let later = chrono::TimeDelta::milliseconds(i64::from(n) * 731);
    rated.cdr.init_at += later;
    rated.cdr.start_at += later;
    if rated.cdr.source.cli.is_some() {
        rated.cdr.source.cli = Some((43_720_000_000_u64 + u64::from(n)).to_string().parse().unwrap());
    }
}

/// Calls as a day brings them: out and in, within the house, refused, given up, hidden numbers, with and without headers, in no order.
fn mixed_call_of(n: u32) -> RatedCdr {
    // Numbers that repeat only after a long while.
    let dice = n.wrapping_mul(2_654_435_761) >> 16;
    let (id, name) = (i64::from(n), format!("c{n}"));
    let mut rated = match dice % 10 {
        0..4 => call_of(n),
        4 => answered(
            &name,
            subscriber(id, RESELLER),
            subscriber(id + 1, RESELLER),
            vec![
                charge(Provider::Customer, Direction::Out, AccountId(101), "0.011001"),
                charge(Provider::Customer, Direction::In, AccountId(102), "0"),
            ],
        ),
        5 | 6 => answered(
            &name,
            trunk(CARRIER),
            subscriber(id, RESELLER),
            vec![charge(Provider::Carrier, Direction::In, CARRIER, "-0.002")],
        ),
        7 => busy(&name, subscriber(id, RESELLER), trunk(CARRIER)),
        8 => {
            let mut rated = busy(&name, subscriber(id, RESELLER), trunk(CARRIER));
            (rated.cdr.code, rated.cdr.cause) = (487, Cause::Cancelled);
            rated.cdr.status = model::CallStatus::of_code(487);
            rated
        }
        _ => busy(&name, trunk(CARRIER), subscriber(id, RESELLER)),
    };
    if rated.cdr.source.cli.is_some() && !matches!(dice % 10, 0..4) {
        later(&mut rated, n);
    }
    if dice.is_multiple_of(7) {
        rated.cdr.source.clir = true;
        rated.cdr.source.user = "anonymous".into();
    }
    if dice.is_multiple_of(3) {
        rated.cdr.detail.setup_us = Some(2_300_000 + u64::from(n));
        rated.cdr.detail.asserted_identity = "sip:+4315550100@example.org".into();
    }
    if dice.is_multiple_of(11) {
        rated.cdr.detail.reason = "Q.850;cause=16".into();
    }
    rated
}

fn events() -> Vec<Event> {
    let event_of = |n: u32| Event {
        edr: Edr {
            id: format!("provisioning-0-{n}"),
            tenant: TenantId(1),
            account: AccountId(101),
            reseller: RESELLER,
            subscriber: Some(model::SubscriberId(n.into())),
            uuid: format!("{n:08}-0000-4000-8000-000000000000"),
            number: Some((43_720_000_000_u64 + u64::from(n)).to_string().parse().unwrap()),
            kind: EdrKind::UpdateProfile,
            old_status: "standard".to_owned(),
            new_status: "business".to_owned(),
            detail: String::new(),
            at: calls::at("2026-03-25T19:24:50Z") + chrono::TimeDelta::seconds(n.into()),
        },
        company: "Alpine Telecom GmbH".to_owned(),
    };
    (0..ROWS).map(event_of).collect()
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

/// Whose files are of that format.
fn owner_of(format: &str) -> Owner {
    match format {
        "reference-reseller" | "reference-edr-reseller" => Owner::Reseller(RESELLER),
        "reference-carrier" | "fixed-record" => Owner::Carrier(CARRIER),
        _ => Owner::System,
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

const WAYS: [&str; 5] = ["one", "sixteen", "mixed", "hashes", "publish"];

fn main() {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_chosen = |names: &[&str], name: &str| {
        let among: Vec<&String> = chosen.iter().filter(|choice| names.contains(&choice.as_str())).collect();
        among.is_empty() || among.iter().any(|choice| *choice == name)
    };
    let names: Vec<&str> = DELIVERED.iter().map(|(name, _)| *name).collect();
    let encoded = |call: fn(u32) -> RatedCdr| -> Vec<Vec<u8>> {
        (0..ROWS).map(|n| model::wire::encode_rated(&call(n))).collect()
    };
    let (alike, mixed, events) = (encoded(call_of), encoded(mixed_call_of), events());
    let queued = |payloads: &'static [Vec<u8>]| -> Vec<Queued<'static>> {
        payloads.iter().map(|call| Queued { call, earlier: None }).collect()
    };
    let n_queued: usize = alike.iter().map(Vec::len).sum();
    let (alike, mixed) = (queued(alike.leak()), queued(mixed.leak()));
    println!(
        "{ROWS} records a file, {} bytes each in the queue, per second of processor time: read, written, MD5, SHA-256",
        n_queued / ROWS as usize
    );
    println!(
        "{:22} {:>12} {:>14} {:>14} {:>14} {:>14}",
        "records/s", "bytes", "one file", "sixteen files", "of mixed calls", "hashes alone"
    );
    for name in names.iter().filter(|name| is_chosen(&names, name)) {
        let format = load_format(name).unwrap();
        let spec = spec(&format, owner_of(name), "bench");
        let (alike, mixed) = match format.subject() {
            Subject::Calls => (Contents::Queued(&alike), Contents::Queued(&mixed)),
            Subject::Events => (Contents::Events(&events), Contents::Events(&events)),
        };
        // As the desk does: files are written where those before them were.
        let buffers = Buffers::default();
        let all_of = |n: u32, contents: Contents<'_>| {
            let files: Vec<_> = (0..n).map(|_| (spec.clone(), contents)).collect();
            for file in render_all_into(std::hint::black_box(&files), &buffers) {
                buffers.give_back(std::hint::black_box(file.unwrap()).bytes);
            }
        };
        let rendered = render_all_into(&[(spec.clone(), alike)], &buffers).pop().unwrap().unwrap();
        let bytes = rendered.bytes.as_slice();
        let n_bytes = bytes.len();
        let when_chosen = |way: &str, n_files: u32, work: &mut dyn FnMut()| {
            if is_chosen(&WAYS, way) { per_second(n_files, work) } else { 0.0 }
        };
        let one = when_chosen("one", 1, &mut || all_of(1, alike));
        let beside = when_chosen("sixteen", BESIDE, &mut || all_of(BESIDE, alike));
        let of_mixed = when_chosen("mixed", BESIDE, &mut || all_of(BESIDE, mixed));
        let files = vec![bytes; BESIDE as usize];
        let hashes = when_chosen("hashes", BESIDE, &mut || {
            std::hint::black_box(exports::hashes_of_each(std::hint::black_box(&files)));
        });
        let n_each = n_bytes / ROWS as usize;
        println!("{name:22} {n_each:>12} {one:>14.0} {beside:>14.0} {of_mixed:>14.0} {hashes:>14.0}");
    }
    if is_chosen(&WAYS, "publish") && names.iter().all(|name| !chosen.iter().any(|choice| choice == name)) {
        hundred_files(&alike);
    }
}

/// A hundred partners' files to the disk.
fn hundred_files(calls: &[Queued<'_>]) {
    let dir = tempfile::tempdir().unwrap();
    let (exports, archive) = (dir.path().join("exports"), dir.path().join("archive"));
    let format = load_format("reference-reseller").unwrap();
    let (began, buffers) = (Instant::now(), Buffers::default());
    let names: Vec<String> = (0..PARTNERS).map(|partner| format!("resellers/p{partner}/1.cdr")).collect();
    for names in names.chunks(BESIDE as usize) {
        let files: Vec<_> = names
            .iter()
            .map(|name| (spec(&format, Owner::Reseller(RESELLER), name), Contents::Queued(calls)))
            .collect();
        for rendered in render_all_into(&files, &buffers) {
            let rendered = rendered.unwrap();
            publish(&exports, &archive, &rendered.name, &rendered.bytes).unwrap();
            buffers.give_back(rendered.bytes);
        }
    }
    println!(
        "{PARTNERS} partners' files of {ROWS} records rendered, written, synced and linked in {:.2} s",
        began.elapsed().as_secs_f64()
    );
}
