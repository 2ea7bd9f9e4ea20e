//! How long a price list takes from its file to the first call that is priced by it, through the database. Prints figures; decides nothing.
//!
//! `cargo bench -p store --bench price_list`: 400,000 prefixes into a profile that has another list of as many, SQLite. The steps are those of
//! `tollbook import fees --yes` (without what it prints) and of the process that runs. In the last two runs calls are priced all the time on another core, as
//! the lanes of rating do: nothing they use is locked while a list is read and compiled.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use model::{AccountId, Direction, FeeMatch, TariffVersion};
use rating::workbench::{TariffIds, read_fees, read_tariff};
use rating::{CallToPrice, RatingSnapshot, Tariff, quote};
use store::{NewTariff, Store, World};

const N_FEES: usize = 400_000;

const HEADER: &str = "source,destination,direction,zone,zone_detail,onpeak_init_rate,onpeak_init_interval,\
    onpeak_follow_rate,onpeak_follow_interval,offpeak_init_rate,offpeak_init_interval,offpeak_follow_rate,\
    offpeak_follow_interval\n";

/// A list of prefixes that look drawn and are the same each time, with prices of some thousand zones.
fn list(seed: u64) -> String {
    let mut state = 7u64;
    let mut drawn = |end: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut prefixes = BTreeSet::new();
    while prefixes.len() < N_FEES {
        prefixes.insert(format!("{}{}", 20 + drawn(200), drawn(1_000_000)));
    }
    let mut text = HEADER.to_owned();
    for prefix in &prefixes {
        let country = &prefix[..2];
        let zone = drawn(60);
        let price = 1 + (zone * 7_919 + seed) % 900;
        writeln!(
            text,
            ",{prefix},out,Country {country},zone {zone},0.0{price:03},60,0.0{price:03},1,0.0{price:03},60,0.0{price:03},1"
        )
        .expect("writing to a string cannot fail");
    }
    text
}

/// Time on cores that all threads of the process have had; in steps of 10 ms.
fn on_cores() -> Duration {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Says how long each step took since the one before.
struct Steps {
    begun: (Instant, Duration),
    last: (Instant, Duration),
}

impl Steps {
    fn begin() -> Self {
        let now = (Instant::now(), on_cores());
        Self { begun: now, last: now }
    }

    fn done(&mut self, what: &str) {
        Self::say(what, self.last);
        self.last = (Instant::now(), on_cores());
    }

    fn say(what: &str, since: (Instant, Duration)) {
        println!(
            "{what:<50} {:>5} ms, {:>5} ms of cores",
            since.0.elapsed().as_millis(),
            on_cores().saturating_sub(since.1).as_millis()
        );
    }
}

async fn apply(store: &Store, version: TariffVersion, now: DateTime<Utc>) {
    let world = World { tariffs: vec![NewTariff { tenant: String::new(), version }], ..World::default() };
    store.import(&world, now, "bench").await.expect("the list is in order");
}

/// Calls priced one after the other, all the time, by whichever tariffs are in force: what a lane of rating does. A call starts after both
/// lists have begun.
struct Lane {
    in_force: Mutex<Arc<RatingSnapshot>>,
    at: DateTime<Utc>,
    destination: String,
    is_over: AtomicBool,
}

/// What a lane saw.
#[derive(Debug, Default)]
struct Priced {
    n_calls: u64,
    /// Between the prices of two calls.
    longest: Duration,
    /// When the first call had another price than those before.
    changed_at: Option<Instant>,
}

impl Lane {
    fn price(&self, account: AccountId) -> i64 {
        let snapshot = Arc::clone(&self.in_force.lock().expect("nobody panics with it"));
        let (tariff, _) = snapshot.tariff_of(account, self.at, "").expect("a version").expect("a profile");
        let call = CallToPrice {
            ported: None,
            source: "43660555123",
            destination: &self.destination,
            direction: Direction::Out,
            start: self.at,
            duration_us: 90_000_000,
        };
        quote(tariff, &call).expect("there is a fee").cost_micros
    }

    fn work(&self, account: AccountId) -> Priced {
        let mut priced = Priced::default();
        let before = self.price(account);
        let mut last = Instant::now();
        while !self.is_over.load(Ordering::Relaxed) {
            let price = self.price(account);
            let now = Instant::now();
            priced.longest = priced.longest.max(now - last);
            last = now;
            priced.n_calls += 1;
            if price != before && priced.changed_at.is_none() {
                priced.changed_at = Some(now);
            }
        }
        priced
    }
}

async fn once(dir: &Path, is_rating: bool) {
    let file = dir.join("fees.csv");
    let url = format!("sqlite://{}", dir.join("tollbook.db").display());
    let now: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().expect("a time");
    let tenant: World = toml::from_str("[[tenants]]\nhandle = \"vox\"\n").expect("a world");
    let customer: World =
        toml::from_str("[[accounts]]\nhandle = \"acme\"\nprofile = \"deck\"\n").expect("a world");

    // An installation that runs with the list of last month.
    std::fs::write(&file, list(1)).expect("write the list");
    std::fs::write(
        dir.join("profile.toml"),
        "handle = \"deck\"\ncurrency = \"EUR\"\ntimezone = \"Europe/Vienna\"\n",
    )
    .expect("write the profile");
    let old = read_tariff(dir, TariffIds::default()).expect("the list is in order");
    let store = Store::open(&url).await.expect("open the database");
    store.import(&tenant, now, "bench").await.expect("a tenant");
    apply(&store, old.clone(), now).await;
    store.import(&customer, now, "bench").await.expect("a customer");
    let directory = Arc::new(store.directory().await.expect("read the database"));
    let account = directory.accounts[0].id;
    let running = Arc::new(RatingSnapshot::build(directory, None).expect("the list is in order"));
    std::fs::write(&file, list(2)).expect("write the list");
    let lane = Arc::new(Lane {
        in_force: Mutex::new(running.clone()),
        at: now + TimeDelta::days(2),
        destination: format!("{}1234", old.fees[0].destination),
        is_over: AtomicBool::new(false),
    });
    let rating = is_rating.then(|| {
        let lane = lane.clone();
        std::thread::spawn(move || lane.work(account))
    });

    let begun = Instant::now();
    let mut steps = Steps::begin();
    let text = std::fs::read_to_string(&file).expect("read the list");
    let fees = read_fees("fees.csv", &text, FeeMatch::Prefix).expect("the list is in order");
    steps.done("read and checked line by line");
    let version = TariffVersion { fees: fees.into(), valid_from: now + TimeDelta::days(1), ..old };
    drop(Tariff::compile(&version).expect("the list is in order"));
    steps.done("compiled, to see that it can be");
    apply(&store, version, now).await;
    steps.done("written and committed");
    let directory = Arc::new(store.directory().await.expect("read the database"));
    steps.done("read from the database, both lists");
    let fresh = Arc::new(RatingSnapshot::build(directory, Some(&running)).expect("the list is in order"));
    steps.done("compiled, ready to be put in the other one's place");
    let before = lane.price(account);
    *lane.in_force.lock().expect("nobody panics with it") = fresh;
    assert_ne!(lane.price(account), before);
    Steps::say("from the file to the first call priced by it", steps.begun);
    let Some(rating) = rating else { return };
    std::thread::sleep(Duration::from_millis(50));
    lane.is_over.store(true, Ordering::Relaxed);
    let Priced { n_calls, longest, changed_at } = rating.join().expect("the lane ends well");
    let changed_at = changed_at.expect("the new list came into force");
    println!(
        "meanwhile {n_calls} calls were priced, the longest time without one {:.1} ms; the first by the new list after {} ms",
        longest.as_secs_f64() * 1e3,
        (changed_at - begun).as_millis()
    );
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for is_rating in [false, false, false, true, true] {
        let dir = tempfile::tempdir().expect("a place for the database");
        once(dir.path(), is_rating).await;
        println!();
    }
}
