//! How long a price list takes from its file to the first call that is priced by it, through the database. Prints figures; decides nothing.
//!
//! `cargo bench -p store --bench price_list`: 400,000 prefixes into a profile that has another list of as many, SQLite. The steps are those of
//! `tollbook import fees --yes` (without what it prints) and of the process that runs.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use model::{Direction, FeeMatch, TariffVersion};
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

fn priced(snapshot: &RatingSnapshot) -> i64 {
    let version = snapshot.directory().tariffs.last().expect("a tariff");
    let tariff = Tariff::compile(version).expect("the list is in order");
    let call = CallToPrice {
        ported: None,
        source: "43660555123",
        destination: &format!("{}1234", version.fees[0].destination),
        direction: Direction::Out,
        start: version.valid_from,
        duration_us: 90_000_000,
    };
    quote(&tariff, &call).expect("there is a fee").cost_micros
}

async fn once(dir: &Path) {
    let file = dir.join("fees.csv");
    let url = format!("sqlite://{}", dir.join("tollbook.db").display());
    let now: DateTime<Utc> = "2026-11-01T00:00:00Z".parse().expect("a time");
    let tenant: World = toml::from_str("[[tenants]]\nhandle = \"vox\"\n").expect("a world");

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
    let directory = Arc::new(store.directory().await.expect("read the database"));
    let running = RatingSnapshot::build(directory, None).expect("the list is in order");
    assert!(priced(&running) > 0);
    std::fs::write(&file, list(2)).expect("write the list");

    let mut steps = Steps::begin();
    let text = std::fs::read_to_string(&file).expect("read the list");
    let fees = read_fees("fees.csv", &text, FeeMatch::Prefix).expect("the list is in order");
    steps.done("read and checked line by line");
    let version = TariffVersion { fees, valid_from: now + chrono::TimeDelta::days(1), ..old };
    drop(Tariff::compile(&version).expect("the list is in order"));
    steps.done("compiled, to see that it can be");
    apply(&store, version, now).await;
    steps.done("written and committed");
    let directory = Arc::new(store.directory().await.expect("read the database"));
    steps.done("read from the database, both lists");
    let fresh = RatingSnapshot::build(directory, Some(&running)).expect("the list is in order");
    steps.done("compiled, ready to be put in the other one's place");
    Steps::say("from the file to the first call priced by it", steps.begun);
    assert_ne!(priced(&fresh), priced(&running));
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for _ in 0..3 {
        let dir = tempfile::tempdir().expect("a place for the database");
        once(dir.path()).await;
        println!();
    }
}
