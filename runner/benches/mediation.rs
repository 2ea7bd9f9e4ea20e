//! Raw events in, CDRs committed: the mediator under its real runner, on the embedded log and a SQLite database. Prints figures; decides nothing.
//!
//! `cargo bench -p runner` feeds ten million events as fast as they are worked off, then five hundred calls a second for twenty seconds.
//! `cargo bench -p runner -- 100000` takes so many calls instead of two million. `BENCH_DIR` is where log and database lie; a fresh directory
//! there is removed afterwards. With `--one-core` log, database and mediator have one core together, and whoever sends the events, which is no part of
//! them, another one (by `taskset` of util-linux).

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bus::{Bus, EmbeddedBus, EmbeddedConfig, Entry};
use chrono::{DateTime, TimeDelta, Utc};
use mediator::{Mediator, MediatorConfig};
use model::{
    AccountId, Answer, Attempt, AuthMethod, Body, CallEvent, CallUid, Cause, End, EventBody, Initiator,
    Party, Record, RouteAction, RouteAttempt, RouteResult, SubscriberId, TenantId, Topic, Transport, TrunkId,
};
use runner::clock::Clock;
use runner::directory::DirectoryFeed;
use runner::{Begin, Kind, Pace, Progress, Rooms, Share, decode, entry};
use store::Store;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// As in the binary.
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Calls taken unless told otherwise: ten million events.
const CALLS: u64 = 2_000_000;
const EVENTS_OF_A_CALL: u64 = 5;
/// Calls that are up side by side.
const UP: u64 = 20_000;
/// New calls a second of the log.
const CALLS_PER_SECOND: u64 = 1_000;
/// Who pay for the calls, spread over the lanes.
const PAYERS: u64 = 4_000;
/// Events of one append, as of a forwarder that catches up (`tollbook/src/forwarder.rs`); each lane has one.
const APPEND: usize = 1_024;
/// Events that may wait for the mediator: half a second.
const BEHIND_MAX: u64 = 200_000;
/// Of the second part.
const PACE_CALLS_PER_SECOND: u64 = 500;
const PACE_SECONDS: u64 = 20;

fn main() -> Outcome<()> {
    let n_calls = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(CALLS);
    let is_one_core = std::env::args().any(|word| word == "--one-core");
    let place = std::env::var_os("BENCH_DIR").unwrap_or_else(|| std::env::temp_dir().into_os_string());
    let dir = tempfile::tempdir_in(place)?;
    let others = if is_one_core { Some(keep_to_one_core()?) } else { None };
    // After that: its threads keep to the same core.
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        throughput(&dir.path().join("throughput"), n_calls, others.as_deref()).await?;
        latency(&dir.path().join("latency")).await
    })
}

/// This thread, and those it starts from now on, run on the last core alone; which the others are.
fn keep_to_one_core() -> Outcome<String> {
    let n_cores = std::thread::available_parallelism()?.get();
    let last = n_cores - 1;
    if last == 0 {
        return Err("there is one core only: leave --one-core out".into());
    }
    keep_to(&last.to_string())?;
    Ok(format!("0-{}", last - 1))
}

/// This thread runs on `cores` from now on.
fn keep_to(cores: &str) -> Outcome<()> {
    let thread = std::fs::read_link("/proc/thread-self")?;
    let id = thread.file_name().ok_or("/proc/thread-self has no name")?;
    let told = std::process::Command::new("taskset").args(["-p", "-c", cores]).arg(id).output()?;
    told.status.success().then_some(()).ok_or_else(|| String::from_utf8_lossy(&told.stderr).into())
}

/// Log, database and the mediator at work on them.
struct House {
    bus: Arc<dyn Bus>,
    progress: watch::Receiver<Progress>,
    stop: CancellationToken,
    mediator: tokio::task::JoinHandle<()>,
}

impl House {
    async fn open(dir: &Path) -> Outcome<Self> {
        std::fs::create_dir_all(dir)?;
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::open(&dir.join("bus"), EmbeddedConfig::default())?);
        let store = Store::open(&format!("sqlite://{}", dir.join("tollbook.db").display())).await?;
        let clock = Clock::start();
        let directory = DirectoryFeed::load(store.clone(), clock.clone()).await?;
        let rooms = Rooms { bus: bus.clone(), store, clock, directory };
        let kind = Kind {
            name: "mediator",
            topic: Topic::Calls,
            begin: Begin::Oldest,
            make: Box::new(|| Mediator::new(MediatorConfig::default())),
            refresh: Box::new(|_, _| {}),
            share: Share::all(bus.partitions()),
            pace: Pace::SWIFT,
        };
        let (sender, progress) = watch::channel(Progress::default());
        let stop = CancellationToken::new();
        let mediator = tokio::spawn(runner::run(kind, rooms, stop.clone(), sender));
        Ok(Self { bus, progress, stop, mediator })
    }

    async fn close(self) -> Outcome<()> {
        self.stop.cancel();
        Ok(self.mediator.await?)
    }
}

async fn throughput(dir: &Path, n_calls: u64, others: Option<&str>) -> Outcome<()> {
    let mut house = House::open(dir).await?;
    let n_events = n_calls * EVENTS_OF_A_CALL;
    let recording = record(&dir.join("recording"), n_calls, &*house.bus)?;
    println!("{n_calls} answered calls of {EVENTS_OF_A_CALL} events, {UP} up side by side, {PAYERS} payers");
    println!("{:>12} {:>10} {:>12} {:>14} {:>10}", "committed", "s", "calls/s", "cpu us a call", "MiB");
    let (began, cpu_began_ms) = (Instant::now(), cpu_ms());
    let mut forwarders = JoinSet::new();
    let n_fed = Arc::new(AtomicU64::new(0));
    for sent in send(recording, house.bus.partitions(), others.map(str::to_owned)) {
        forwarders.spawn(forward(house.bus.clone(), sent, n_fed.clone(), house.progress.clone()));
    }
    let mut resident_max_mib = 0;
    for tenth in 1..=10 {
        let n_told = (n_events * tenth).div_ceil(10);
        let n_done = house.progress.wait_for(|progress| progress.n_records >= n_told).await?.n_records;
        resident_max_mib = resident_max_mib.max(resident_mib());
        let (seconds, calls) = (began.elapsed().as_secs_f64(), n_done as f64 / EVENTS_OF_A_CALL as f64);
        let cpu_us = (cpu_ms() - cpu_began_ms) as f64 * 1e3;
        println!(
            "{n_done:>12} {seconds:>10.1} {:>12.0} {:>14.1} {:>10}",
            calls / seconds,
            cpu_us / calls,
            resident_mib()
        );
    }
    while let Some(forwarder) = forwarders.join_next().await {
        forwarder??;
    }
    let mut n_cdrs = 0;
    for partition in 0..house.bus.partitions() {
        let (first, end) = house.bus.range(Topic::Cdrs, partition).await?;
        n_cdrs += end - first;
    }
    assert_eq!(n_cdrs, n_calls, "one CDR of each call");
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "raw event in to CDR committed: {:.0} calls/s by the wall, {:.0} for each processor at work, at most {resident_max_mib} MiB \
         ({} MB) resident, {n_cdrs} CDRs",
        n_calls as f64 / seconds,
        n_calls as f64 / (cpu_ms() - cpu_began_ms) as f64 * 1e3,
        (resident_max_mib << 20).div_ceil(1_000_000),
    );
    house.close().await
}

/// Appends the events of one lane as they come, as the forwarder of a switch does: so many at a time, the next when these are confirmed.
async fn forward(
    bus: Arc<dyn Bus>,
    mut sent: mpsc::Receiver<Outcome<Vec<Entry>>>,
    n_fed: Arc<AtomicU64>,
    mut progress: watch::Receiver<Progress>,
) -> Outcome<()> {
    while let Some(entries) = sent.recv().await {
        let entries = entries?;
        let n_fed = n_fed.fetch_add(entries.len() as u64, Ordering::Relaxed);
        progress.wait_for(|progress| progress.n_records + BEHIND_MAX > n_fed).await?;
        bus.append(entries).await?;
    }
    Ok(())
}

/// Writes the events of all calls to a file, as switches would send them: making them is not the mediator's work.
fn record(path: &Path, n_calls: u64, bus: &dyn Bus) -> Outcome<BufReader<File>> {
    let script: Vec<EventBody> = (0..EVENTS_OF_A_CALL).map(event).collect();
    let mut file = BufWriter::new(File::create_new(path)?);
    let mut write = |entry: Entry| -> Outcome<()> {
        file.write_all(&entry.partition.to_be_bytes())?;
        file.write_all(&u32::try_from(entry.payload.len())?.to_be_bytes())?;
        Ok(file.write_all(&entry.payload)?)
    };
    for call in 0..n_calls + UP {
        // The call begins, and the one that began `UP` calls ago ends.
        let at = start() + TimeDelta::microseconds((call * 1_000_000 / CALLS_PER_SECOND).cast_signed());
        if call < n_calls {
            (0..4).try_for_each(|n| write(entry_of(bus, &script, call, n, at)))?;
        }
        if let Some(ended) = call.checked_sub(UP) {
            write(entry_of(bus, &script, ended, 4, at))?;
        }
    }
    file.into_inner()?.sync_all()?;
    Ok(BufReader::with_capacity(1 << 20, File::open(path)?))
}

/// Reads the recording on a thread of its own and deals it out to the forwarders, a few appends ahead.
fn send(
    mut recording: BufReader<File>,
    n_lanes: u32,
    cores: Option<String>,
) -> Vec<mpsc::Receiver<Outcome<Vec<Entry>>>> {
    let (lanes, sent): (Vec<_>, Vec<_>) = (0..n_lanes).map(|_| mpsc::channel(2)).unzip();
    std::thread::spawn(move || {
        let mut waiting: Vec<Vec<Entry>> = lanes.iter().map(|_| Vec::with_capacity(APPEND)).collect();
        let moved = cores.map_or(Ok(()), |cores| keep_to(&cores));
        let _ = moved.map_err(|why| lanes[0].blocking_send(Err(why)));
        while recording.fill_buf().is_ok_and(|left| !left.is_empty()) {
            let entry = match read_entry(&mut recording) {
                Ok(entry) => entry,
                Err(why) => {
                    let _ = lanes[0].blocking_send(Err(why));
                    return;
                }
            };
            let lane = entry.partition as usize;
            waiting[lane].push(entry);
            if waiting[lane].len() == APPEND {
                let full = std::mem::replace(&mut waiting[lane], Vec::with_capacity(APPEND));
                // Whoever is gone has no use for more.
                if lanes[lane].blocking_send(Ok(full)).is_err() {
                    return;
                }
            }
        }
        for (lane, rest) in lanes.iter().zip(waiting) {
            let _ = lane.blocking_send(Ok(rest));
        }
    });
    sent
}

fn read_entry(recording: &mut BufReader<File>) -> Outcome<Entry> {
    let mut head = [0; 8];
    recording.read_exact(&mut head)?;
    let [partition, length] = [&head[..4], &head[4..]]
        .map(|number| number.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)));
    let mut payload = vec![0; length as usize];
    recording.read_exact(&mut payload)?;
    Ok(Entry { topic: Topic::Calls, partition, payload })
}

async fn latency(dir: &Path) -> Outcome<()> {
    let house = House::open(dir).await?;
    let script: Vec<EventBody> = (0..EVENTS_OF_A_CALL).map(event).collect();
    let ended: Arc<Mutex<HashMap<CallUid, Instant>>> = Arc::default();
    let n_calls = PACE_CALLS_PER_SECOND * PACE_SECONDS;
    let reader = tokio::spawn(read_cdrs(house.bus.clone(), ended.clone(), n_calls));
    let mut beat = tokio::time::interval(Duration::from_micros(1_000_000 / PACE_CALLS_PER_SECOND));
    // Calls of a second each.
    let up = PACE_CALLS_PER_SECOND;
    let cpu_began_ms = cpu_ms();
    for call in 0..n_calls + up {
        beat.tick().await;
        let at = start() + TimeDelta::microseconds((call * 1_000_000 / PACE_CALLS_PER_SECOND).cast_signed());
        let mut entries = Vec::new();
        if call < n_calls {
            entries.extend((0..4).map(|n| entry_of(&*house.bus, &script, call, n, at)));
        }
        if let Some(over) = call.checked_sub(up) {
            entries.push(entry_of(&*house.bus, &script, over, 4, at));
            ended.lock().unwrap_or_else(PoisonError::into_inner).insert(uid(over), Instant::now());
        }
        // As the switch's writer: what has come meanwhile goes in one append.
        let bus = house.bus.clone();
        tokio::spawn(async move { bus.append(entries).await.map(|_offsets| ()) });
    }
    let mut took = reader.await??;
    took.sort();
    let at = |part: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a list")]
        let place = (took.len() as f64 * part) as usize;
        took[place.min(took.len() - 1)].as_secs_f64() * 1e3
    };
    println!(
        "end of call to CDR readable at {PACE_CALLS_PER_SECOND} calls/s, {} calls: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, \
         max {:.1} ms; {:.2} processors",
        took.len(),
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
        (cpu_ms() - cpu_began_ms) as f64 / 1e3 / (PACE_SECONDS + 1) as f64,
    );
    house.close().await
}

/// Reads CDRs as they come, until there are `n_calls`; how long after its end each was there.
async fn read_cdrs(
    bus: Arc<dyn Bus>,
    ended: Arc<Mutex<HashMap<CallUid, Instant>>>,
    n_calls: u64,
) -> Outcome<Vec<Duration>> {
    let mut positions: Vec<(u32, u64)> = (0..bus.partitions()).map(|partition| (partition, 0)).collect();
    let mut took = Vec::new();
    while (took.len() as u64) < n_calls {
        bus.wait(Topic::Cdrs, &positions).await?;
        for (partition, position) in &mut positions {
            let batch = bus.read(Topic::Cdrs, *partition, *position, 1_000).await?;
            let now = Instant::now();
            for stored in batch.records {
                if let Body::Cdr(cdr) = decode(&stored.payload)?.body
                    && let Some(end) = ended.lock().unwrap_or_else(PoisonError::into_inner).remove(&cdr.call)
                {
                    took.push(now.duration_since(end));
                }
            }
            *position = batch.next;
        }
    }
    Ok(took)
}

fn start() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000)
}

fn uid(call: u64) -> CallUid {
    CallUid::new(format!("sw1-1-{call}"))
}

/// The `n`th event of `call` on its way into the log.
fn entry_of(bus: &dyn Bus, script: &[EventBody], call: u64, n: usize, at: DateTime<Utc>) -> Entry {
    let payer = AccountId((call % PAYERS).cast_signed() + 1);
    let mut said = script[n].clone();
    // What differs from call to call in life too, so that it cannot be pressed together.
    let unlike = call.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    if let EventBody::Attempt(attempt) = &mut said {
        attempt.sip_call_id = format!("{unlike:016x}{call:08x}@pc33.example.com").into();
        attempt.dialed = format!("004930{:06}", unlike % 1_000_000).into();
        attempt.callee = attempt.dialed.trim_start_matches('0').parse().ok();
    }
    if let EventBody::RouteAttempt(route) = &mut said {
        route.sip_call_id = format!("{:016x}@sw1", unlike.rotate_left(32)).into();
        route.callee_out = format!("+4930{:06}", unlike % 1_000_000).into();
    }
    let body = Body::Call(Box::new(CallEvent {
        node: "sw1".into(),
        boot: 1,
        seq: call * EVENTS_OF_A_CALL + n as u64 + 1,
        at,
        config_revision: 0,
        tenant: TenantId(1),
        payer,
        call: Some(uid(call)),
        leg: 0,
        body: said,
    }));
    entry(Topic::Calls, payer, &Record { origin: None, body }, bus)
}

/// The `n`th event of a call that is routed, answered and hung up.
fn event(n: u64) -> EventBody {
    let peer = SocketAddr::from(([192, 0, 2, 10], 5060));
    match n {
        0 => EventBody::Attempt(Box::new(Attempt {
            sip_call_id: "a84b4c76e66710@pc33.example.com".into(),
            caller: Party::Subscriber {
                subscriber: SubscriberId(1),
                account: AccountId(11),
                reseller: AccountId(5),
                uuid: "7f3c2a90-5f0e-4c57-9d0b-2f5f6a1c8e44".into(),
            },
            from_user: "anna".into(),
            from_domain: "sip.example.org".into(),
            dialed: "004930555123".into(),
            dialed_domain: "sip.example.org".into(),
            cli: "43660555123".parse().ok(),
            clir: false,
            callee: "4930555123".parse().ok(),
            source: peer,
            transport: Transport::Udp,
            user_agent: "phone/1.0".into(),
            auth: AuthMethod::Digest,
            asserted_identity: "".into(),
            diversion: "".into(),
            detail: None,
        })),
        1 => EventBody::RouteAttempt(RouteAttempt {
            attempt: 1,
            callee: Party::Trunk { trunk: TrunkId(3), account: AccountId(20) },
            next_hop: peer,
            caller_out: "+43660555123".into(),
            callee_out: "+4930555123".into(),
            sip_call_id: "y1@sw1".into(),
            login: None,
        }),
        2 => EventBody::RouteResult(RouteResult {
            attempt: 1,
            code: 200,
            phrase: "OK".into(),
            reason: "".into(),
            pdd_us: Some(1_240_000),
            action: RouteAction::Stop,
        }),
        3 => EventBody::Answer(Answer {
            attempt: 1,
            code: 200,
            setup_us: 2_000_000,
            codec: "PCMA/8000".into(),
            user_agent: "gateway/2".into(),
        }),
        _ => EventBody::End(End {
            // By the log: within the tolerance of clocks for both parts.
            answered_us: 20_000_000,
            by: Initiator::Caller,
            cause: Cause::Normal,
            code: 200,
            reason: "".into(),
            media: None,
        }),
    }
}

/// Of this process now; 0 where the system does not tell.
fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0)
        >> 10
}

/// Time all threads of this process have had of the processors, in steps of 10 ms; 0 where the system does not tell.
fn cpu_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th word behind it (proc(5)).
    let words = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    words.skip(11).take(2).filter_map(|word| word.parse::<u64>().ok()).sum::<u64>() * 10
}
