//! How long a decision takes, what an account takes in memory, how fast a back-test runs. Prints figures; decides nothing.
//!
//! `cargo bench -p fraud`.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::TimeDelta;
use fraud::backtest::{Backtest, StoredCall, name_hash};
use fraud::rule::{Key, Rule, presets};
use fraud::simulate::{Simulation, Size};
use fraud::watch::{Gate, HotList, HotListBuilder, Watch, WatchRules, WatchSnapshot};
use model::{
    Body, CallEvent, CallUid, CdrId, Effects, EventBody, PARTITIONS_DEFAULT, Stage, StageInput, SubscriberId,
    partition_of,
};
use rust_decimal::Decimal;

const SIZE: Size = Size { customers: 400, days: 30, quiet_days: 21, attacks_each: 2 };

/// Numbers on a large hot list.
const HOT_NUMBERS: u64 = 6_200_000;

fn main() {
    println!(
        "all delivered rules, {} customers, {} days of simulated calls; one core",
        SIZE.customers, SIZE.days
    );
    let simulation = Simulation::new(3, SIZE);
    let all: Arc<Mutex<Vec<CallEvent>>> = Arc::default();
    let taken = Arc::clone(&all);
    simulation.events(Box::new(move |event| {
        if let Ok(mut all) = taken.lock() {
            all.push(event.clone());
        }
    }));
    let events = std::mem::take(&mut *all.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    let snapshot = Arc::new(WatchSnapshot::build(Arc::new(simulation.directory())));
    decisions(&events, &snapshot);
    let before = Instant::now();
    let hot = large_list();
    println!(
        "hot list       {} numbers in {} MB, read in {} ms",
        hot.len(),
        hot.bytes() / 1_000_000,
        before.elapsed().as_millis()
    );
    lookups(&hot);
    gate(&events, &snapshot, hot);
    let one: Vec<Rule> = presets().into_iter().filter(|rule| rule.name == "irsf-burst").collect();
    backtest("one rule", one, &simulation);
    backtest("all rules", presets(), &simulation);
}

fn decisions(events: &[CallEvent], snapshot: &Arc<WatchSnapshot>) {
    let rules = Arc::new(WatchRules::new(presets(), HotList::default(), HotList::default(), Vec::new()));
    let mut watches: Vec<Watch> = (0..PARTITIONS_DEFAULT)
        .map(|_| {
            let mut watch = Watch::new(Arc::clone(&rules));
            watch.set_snapshot(Arc::clone(snapshot));
            watch
        })
        .collect();
    let (mut invites, mut others) = (Vec::new(), Vec::new());
    let mut last_tick = None;
    for event in events {
        let lane = partition_of(event.payer, PARTITIONS_DEFAULT);
        let Some(watch) = usize::try_from(lane).ok().and_then(|lane| watches.get_mut(lane)) else { continue };
        let mut effects = Effects::default();
        let is_invite = matches!(event.body, EventBody::Attempt(_));
        let body = Body::Call(Box::new(event.clone()));
        let before = Instant::now();
        watch.apply(StageInput { partition: lane, offset: 0, body }, &mut effects);
        let took = before.elapsed();
        if is_invite {
            invites.push(took)
        } else {
            others.push(took)
        };
        if last_tick.is_none_or(|last| event.at - last > TimeDelta::seconds(60)) {
            last_tick = Some(event.at);
            for watch in &mut watches {
                watch.apply(StageInput { partition: 0, offset: 0, body: Body::Tick(event.at) }, &mut effects);
            }
        }
    }
    percentiles("INVITE", &mut invites);
    percentiles("other events", &mut others);
    for key in [Key::Account, Key::Subscriber, Key::AccountCountry, Key::ARange, Key::BRange] {
        let (bytes, n) =
            watches.iter().map(|watch| watch.memory(key)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        if let Some(each) = bytes.checked_div(n) {
            println!("memory         {n} of {key}: {each} bytes each on average");
        }
    }
    let mut each: Vec<usize> = watches.iter().flat_map(Watch::memory_of_accounts).collect();
    each.sort_unstable();
    let at = |percent: usize| each.get(each.len() * percent / 100).copied().unwrap_or(0);
    println!(
        "memory         an account with all that is counted for it: median {}, nine of ten below {}, the largest {} bytes; {} on average",
        at(50),
        at(90),
        each.last().copied().unwrap_or(0),
        each.iter().sum::<usize>() / each.len().max(1),
    );
}

/// What the switch waits for at each INVITE.
fn gate(events: &[CallEvent], snapshot: &Arc<WatchSnapshot>, hot: HotList) {
    let rules = Arc::new(WatchRules::new(presets(), hot, HotList::default(), Vec::new()));
    let Some(gate) = Gate::new(rules, Arc::clone(snapshot)) else { return };
    let mut took = Vec::new();
    for event in events {
        if let EventBody::Attempt(attempt) = &event.body {
            let before = Instant::now();
            std::hint::black_box(gate.refuses(event.payer, event.leg, event.at, attempt));
            took.push(before.elapsed());
        }
    }
    percentiles("gate", &mut took);
}

fn percentiles(what: &str, took: &mut [Duration]) {
    took.sort_unstable();
    let at = |per_mille: usize| took.get((took.len() * per_mille / 1_000).min(took.len().saturating_sub(1)));
    let micros = |per_mille| at(per_mille).map_or(0, Duration::as_nanos) / 100;
    let in_tenths = |tenths: u128| format!("{}.{} us", tenths / 10, tenths % 10);
    println!(
        "{what:<14} {} decisions: median {}, p99 {}, p99.9 {}, longest {}",
        took.len(),
        in_tenths(micros(500)),
        in_tenths(micros(990)),
        in_tenths(micros(999)),
        in_tenths(micros(1_000)),
    );
}

fn large_list() -> HotList {
    let mut builder = HotListBuilder::default();
    for n in 0..HOT_NUMBERS {
        // Spread over the world's numbers.
        let number = 200_000_000_000 + n * 122_949_823 % 700_000_000_000;
        if builder.line(&number.to_string()).is_err() {
            break;
        }
    }
    builder.build()
}

fn lookups(hot: &HotList) {
    let n = 1_000_000_u64;
    let before = Instant::now();
    let found = (0..n).filter(|n| hot.contains(200_000_000_000 + n * 987_654_319 % 700_000_000_000)).count();
    let each = before.elapsed().as_nanos() / u128::from(n);
    println!("look-up        {each} ns each, {found} of {n} found");
}

fn backtest(what: &str, rules: Vec<Rule>, simulation: &Simulation) {
    let mut calls = Vec::new();
    for day in 0..simulation.days() {
        for call in simulation.calls_of(day) {
            let name = format!("c{}", calls.len());
            calls.push(StoredCall {
                cdr: CdrId::derive(&CallUid::new(name.as_str()), 0),
                call: name_hash(&name),
                leg: 0,
                payer: call.account,
                subscriber: Some(SubscriberId(call.account.0)),
                trunk: None,
                source: [10, 0, 0, 1].into(),
                user_agent: 0,
                cli: call.source,
                callee: Some(call.destination),
                vendor: None,
                init_at: call.start - TimeDelta::seconds(5),
                start_at: call.start,
                answered_us: u64::try_from(call.seconds * 1_000_000).ok().filter(|us| *us > 0),
                cost: Decimal::ONE,
            });
        }
    }
    calls.sort_by_key(|call| call.init_at);
    let n_calls = calls.len() as u128;
    let directory = Arc::new(simulation.directory());
    let before = (Instant::now(), processor_time());
    let mut test =
        Backtest::new(rules, HotList::default(), HotList::default(), directory, simulation.began());
    for call in calls {
        test.call(call);
    }
    let report = test.finish();
    let (took, busy) = (before.0.elapsed(), processor_time().saturating_sub(before.1));
    println!(
        "back-test      {what}: {n_calls} calls in {} ms, {} ms of processor time: {} calls/s; {} incidents, {} locks",
        took.as_millis(),
        busy.as_millis(),
        n_calls * 1_000_000 / busy.as_micros().max(1),
        report.n_incidents,
        report.n_locks,
    );
}

/// Of this thread, so that other programs do not count; in hundredths of a second, as the kernel tells it.
fn processor_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap_or_default();
    // The name in parentheses may hold anything; utime and stime are the 12th and 13th field behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
