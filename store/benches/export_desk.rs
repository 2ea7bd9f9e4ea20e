//! Times the closing of a hundred partners' files of 5,000 calls each, from the queue in the database to files that are whole, synced,
//! linked and noted as written, as the desk of the binary does it: sixteen side by side, while the next ones are planned and read. Three
//! times, each with calls of its own; every file is read back and checked. Prints figures; decides nothing.
//!
//! `cargo bench -p store --bench export_desk`, and of another database than SQLite `-- postgres://...` (an empty one).

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "prints what it measured, by the clock"
)]

#[path = "../../exports/tests/calls/mod.rs"]
#[expect(dead_code, reason = "the world around the calls is for the tests of exports")]
mod calls;

use std::path::Path;
use std::time::{Duration, Instant};

use calls::{RESELLER, answered, charge, subscriber, trunk};
use chrono::DateTime;
use exports::{
    Buffers, Contents, FileSpec, Format, Owner, Queued, Rendered, load_format, publish, render_all_into,
    verify,
};
use model::{AccountId, Direction, Provider};
use store::{ExportCall, ExportFile, ExportPlan, ExportReport, KeptFormat, LaneCommit, Store, StoreEffect};

const N_PARTNERS: u32 = 100;
const N_CALLS: u32 = 5_000;
const BESIDE: u32 = 16;
/// Calls of each partner in one commit.
const N_ROUND: u32 = 50;
const N_RUNS: u32 = 3;

/// A call through a carrier, with the prices of all three levels.
fn call_of(run: u32, partner: u32, n: u32) -> StoreEffect {
    let charges = vec![
        charge(Provider::Carrier, Direction::Out, AccountId(20), "0.0321"),
        charge(Provider::Reseller, Direction::Out, RESELLER, "0.05"),
        charge(Provider::Customer, Direction::Out, AccountId(101), "0.24"),
    ];
    let name = format!("sw1-{run}-{partner}-{n}");
    let mut rated = answered(&name, subscriber(i64::from(n), RESELLER), trunk(AccountId(20)), charges);
    let later = chrono::TimeDelta::milliseconds(i64::from(n) * 731);
    rated.cdr.init_at += later;
    rated.cdr.start_at += later;
    StoreEffect::Export {
        is_left_out: false,
        owner: format!("reseller:{partner}"),
        cdr: rated.cdr.id,
        revision: 0,
        payload: model::wire::encode_rated(&rated),
    }
}

/// The id of a file and what was written.
type Closed = (i64, Rendered);

/// Renders and publishes files beside each other.
fn close(
    format: &Format,
    exports: &Path,
    archive: &Path,
    buffers: &Buffers,
    filled: &[(ExportFile, Vec<ExportCall>)],
) -> Vec<Closed> {
    let queued: Vec<Vec<Queued<'_>>> = filled
        .iter()
        .map(|(_, calls)| calls.iter().map(|call| Queued { call: &call.payload, earlier: None }).collect())
        .collect();
    let specs: Vec<_> = filled
        .iter()
        .zip(&queued)
        .map(|((file, _), queued)| {
            let spec = FileSpec {
                format,
                owner: Owner::Reseller(RESELLER),
                owner_name: "acme",
                stream: "main",
                way: "",
                name: &file.name,
                sequence: file.sequence,
                created_at: file.created_at,
                day: None,
                zone: chrono_tz::Europe::Vienna,
            };
            (spec, Contents::Queued(queued))
        })
        .collect();
    let rendered = render_all_into(&specs, buffers).into_iter().map(Result::unwrap);
    let closed: Vec<_> = filled.iter().map(|(file, _)| file.id).zip(rendered).collect();
    for (_, rendered) in &closed {
        publish(exports, archive, &rendered.name, &rendered.bytes).unwrap();
    }
    closed
}

/// Of this process: what it would have taken however many others share the machine.
fn processor_time() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    // User and system time, in hundredths of a second (proc(5): 14 and 15, counted here behind the name).
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    Duration::from_millis(ticks * 10)
}

/// As rounds of calls bring them: everybody's mixed.
async fn queue(store: &Store, run: u32) {
    for round in 0..N_CALLS / N_ROUND {
        let calls = round * N_ROUND..(round + 1) * N_ROUND;
        let position = u64::from(run * N_CALLS / N_ROUND + round);
        let effects = calls.flat_map(|n| (0..N_PARTNERS).map(move |partner| call_of(run, partner, n)));
        let lane = LaneCommit {
            partition: 0,
            expected: position,
            position: position + 1,
            watermarks: Vec::new(),
            changes: Vec::new(),
            effects: effects.collect(),
        };
        store.commit("exports", vec![lane]).await.unwrap();
    }
}

/// The next file of each of these partners, planned.
async fn plan(store: &Store, partners: &[u32]) -> Vec<ExportFile> {
    let mut files = Vec::new();
    for partner in partners {
        let plan = ExportPlan {
            owner: &format!("reseller:{partner}"),
            rows_max: N_CALLS,
            now: DateTime::UNIX_EPOCH,
            format: "hash",
            zone: "Europe/Vienna",
            owner_name: "acme",
            may_be_empty: false,
            corrections: Some("main.corrections/reseller"),
        };
        let name = |sequence: u64, _| format!("resellers/{partner}/{sequence}.cdr");
        files.extend(store.export_plan(plan, None, name).await.unwrap());
    }
    files
}

async fn note(store: &Store, closed: &[Closed]) {
    let reports: Vec<_> = closed
        .iter()
        .map(|(file, rendered)| ExportReport {
            file: *file,
            n_bytes: rendered.bytes.len() as u64,
            md5: &rendered.md5,
            sha256: &rendered.sha256,
        })
        .collect();
    store.export_written(&reports).await.unwrap();
}

#[tokio::main]
async fn main() {
    // Cargo adds `--bench`.
    let url = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let dir = tempfile::TempDir::new().unwrap();
    let url = url.unwrap_or_else(|| format!("sqlite://{}", dir.path().join("tollbook.db").display()));
    let store = Store::open(&url).await.unwrap();
    let format = load_format("reference-reseller").unwrap();
    let kept = KeptFormat { name: format.name().to_owned(), description: format.to_toml() };
    store.export_keep_format("hash", &kept).await.unwrap();
    for run in 0..N_RUNS {
        queue(&store, run).await;
        close_all(&store, &format, dir.path(), run).await;
    }
}

/// Closes everybody's file, tells how long it took, and checks them.
async fn close_all(store: &Store, format: &Format, dir: &Path, run: u32) {
    let (exports, archive) = (dir.join("exports"), dir.join("archive"));
    let (start, start_cpu) = (Instant::now(), processor_time());
    let (mut planning, mut reading) = (Duration::ZERO, Duration::ZERO);
    let (mut n_bytes, mut names) = (0, Vec::new());
    let buffers = Buffers::default();
    let mut publishing: Option<tokio::task::JoinHandle<Vec<Closed>>> = None;
    let partners: Vec<u32> = (0..N_PARTNERS).collect();
    for group in partners.chunks(BESIDE as usize).map(Some).chain([None]) {
        let step = Instant::now();
        let files = plan(store, group.unwrap_or_default()).await;
        planning += step.elapsed();
        let step = Instant::now();
        let mut filled = Vec::new();
        for file in files {
            let calls = store.export_queue(file.id, None).await.unwrap();
            filled.push((file, calls));
        }
        reading += step.elapsed();
        if let Some(before) = publishing.take() {
            let closed = before.await.unwrap();
            note(store, &closed).await;
            for (_, rendered) in closed {
                n_bytes += rendered.bytes.len();
                names.push(rendered.name);
                buffers.give_back(rendered.bytes);
            }
        }
        let (format, exports, archive) = (format.clone(), exports.clone(), archive.clone());
        let buffers = buffers.clone();
        let work = move || close(&format, &exports, &archive, &buffers, &filled);
        publishing = Some(tokio::task::spawn_blocking(work));
    }
    let (took, took_cpu) = (start.elapsed(), processor_time() - start_cpu);
    assert_eq!(names.len(), partners.len());
    for name in &names {
        let bytes = std::fs::read(exports.join(name)).unwrap();
        assert_eq!(verify(&bytes).unwrap().rows, u64::from(N_CALLS), "{name}");
    }
    println!(
        "run {run}: {} files ({n_bytes} bytes) closed in {took:.2?}, {took_cpu:.2?} of a processor: planned in {planning:.2?}, \
         read in {reading:.2?}",
        names.len()
    );
}
