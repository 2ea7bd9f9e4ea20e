//! The lake beside DuckDB: the same files, the same two threads, the same questions, in one run. Prints figures, and stops where the two
//! engines do not give the same answer.
//!
//! `cargo bench -p lake --bench duckdb -- --calls 20000000` makes a lake of so many calls through the lake's own commits and merging (rows a second,
//! memory, bytes of a call), asks twenty questions of both engines by turns, and deletes it. DuckDB comes from PyPI into a venv.
//!
//! ```text
//! --calls N        calls to make (default 1000000), over 30 days
//! --dir DIR        where the lake is made and kept: the next run with the same DIR asks without making it again
//! --rounds N       how often each question is asked of each (default 3; the median counts), after once to warm up
//! --history        ask of all revisions, so that neither engine takes the highest for itself
//! --only TEXT      questions whose name contains it
//! --columns        what each column takes in the files
//! --needle         look calls up by Call-ID, here alone
//! --memory MIB     run the delivered queries under this limit, here alone
//! --python PATH    a Python with the module duckdb
//! --alone          without DuckDB
//! ```

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::float_arithmetic, reason = "figures for people, not money")]
#![expect(clippy::disallowed_methods, reason = "a bench reads the clock")]
#![expect(clippy::cast_precision_loss, reason = "figures for people, not money")]
#![expect(clippy::cast_possible_truncation, reason = "numbers of a bench are small")]
#![expect(clippy::cast_possible_wrap, reason = "numbers of a bench are small")]
#![expect(clippy::cast_sign_loss, reason = "numbers of a bench are small")]
#![expect(clippy::expect_used, reason = "a bench stops where something is wrong")]

mod fill;
mod peer;
mod questions;
mod sizes;
mod solo;
mod traffic;

use std::path::PathBuf;
use std::time::Instant;

use lake::{Lake, LakeConfig};

use peer::Peer;
use questions::{Known, questions};

/// Threads of each engine.
const THREADS: usize = 2;
const DAYS: u64 = 30;

struct Options {
    calls: u64,
    dir: Option<PathBuf>,
    rounds: usize,
    history: bool,
    only: Option<String>,
    columns: bool,
    needle: bool,
    memory: Option<usize>,
    python: Option<PathBuf>,
    alone: bool,
}

impl Options {
    fn read() -> Self {
        let mut options = Self {
            calls: 1_000_000,
            dir: None,
            rounds: 3,
            history: false,
            only: None,
            columns: false,
            needle: false,
            memory: None,
            python: None,
            alone: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} wants a value"));
            let number = |text: String| {
                text.replace('_', "").parse::<u64>().unwrap_or_else(|_| panic!("{text} is no number"))
            };
            match word.as_str() {
                "--calls" => options.calls = number(value()),
                "--dir" => options.dir = Some(value().into()),
                "--rounds" => options.rounds = number(value()).max(1) as usize,
                "--history" => options.history = true,
                "--only" => options.only = Some(value()),
                "--columns" => options.columns = true,
                "--needle" => options.needle = true,
                "--memory" => options.memory = Some(number(value()) as usize),
                "--python" => options.python = Some(value().into()),
                "--alone" => options.alone = true,
                // What cargo adds.
                "--bench" => {}
                _ => panic!("{word} is not an option; the head of lake/benches/duckdb/main.rs lists them"),
            }
        }
        options
    }
}

fn main() {
    let options = Options::read();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .expect("a runtime");
    let scratch = tempfile::tempdir().expect("a directory");
    let home = options.dir.clone().unwrap_or_else(|| scratch.path().to_owned());
    let dir = home.join("lake");
    if !dir.join("manifest.json").exists() {
        runtime.block_on(fill::fill(&dir, options.calls, DAYS));
    }
    let mut config = LakeConfig::new(&dir);
    if let Some(mib) = options.memory {
        config.query_memory_mib = mib;
    }
    let lake = Lake::open_to_ask(&config).expect("a lake");
    sizes::print(&lake, options.columns);
    let known = runtime.block_on(known(&lake));
    if options.memory.is_some() {
        runtime.block_on(solo::delivered(&lake, &known));
    } else if options.needle {
        runtime.block_on(solo::needles(&lake));
    } else {
        let peer = (!options.alone)
            .then(|| Peer::start(&dir, THREADS, options.python.as_deref(), &home.join("venv")));
        runtime.block_on(compare(&lake, peer, &known, &options));
    }
}

async fn known(lake: &Lake) -> Known {
    let cells = |rows: Vec<Vec<Option<String>>>| -> Vec<String> {
        rows.into_iter().next().unwrap_or_default().into_iter().map(Option::unwrap_or_default).collect()
    };
    let days = lake.query("SELECT min(day), max(day) FROM calls_history").await.expect("days");
    let days = cells(days.rows());
    let first: chrono::NaiveDate = days[0].parse().expect("a day");
    let last: chrono::NaiveDate = days[1].parse().expect("a day");
    let middle = first + chrono::TimeDelta::days((last - first).num_days() / 2);
    let one = lake
        .query(&format!(
            "SELECT sip_call_id, call_id, customer_account FROM calls_history WHERE day = '{middle}' AND customer_account IS NOT NULL \
             AND start_at >= TIMESTAMP '{middle} 11:00:00' ORDER BY start_at LIMIT 1"
        ))
        .await
        .expect("a call");
    let one = cells(one.rows());
    Known {
        first_day: first.to_string(),
        end_day: (last + chrono::TimeDelta::days(1)).to_string(),
        middle_day: middle.to_string(),
        sip_call_id: one[0].clone(),
        call_id: one[1].clone(),
        account: one[2].clone(),
    }
}

/// Asks both by turns; a question whose answers differ ends the run.
async fn compare(lake: &Lake, mut peer: Option<Peer>, known: &Known, options: &Options) {
    let table = if options.history { "calls_history" } else { "calls" };
    if let Some(peer) = &mut peer {
        let seconds = if options.history { 0.0 } else { peer.ask("supersede").seconds };
        println!(
            "\nDuckDB {}, {THREADS} threads each, warm, median of {} by turns; DuckDB found the corrected calls in {seconds:.1} s, not counted below",
            peer.version, options.rounds
        );
    }
    println!(
        "\n{:<34} {:>9} {:>9} {:>7} {:>6}",
        format!("question of {table}"),
        "here ms",
        "DuckDB ms",
        "ratio",
        "rows"
    );
    let (mut product, mut n, mut worst) = (0.0, 0, (0.0, ""));
    let (mut sum_here, mut sum_there) = (0.0, 0.0);
    let asked = questions(table, known)
        .into_iter()
        .filter(|q| options.only.as_ref().is_none_or(|only| q.name.contains(only.as_str())));
    for question in asked {
        let (mut here, mut there) = (Vec::new(), Vec::new());
        let mut n_rows = 0;
        for round in 0..=options.rounds {
            let begun = Instant::now();
            let ours = lake
                .query(&question.sql)
                .await
                .unwrap_or_else(|error| panic!("{}: {error}\n{}", question.name, question.sql));
            let seconds = begun.elapsed().as_secs_f64();
            let rows = ours.rows();
            n_rows = rows.len();
            if round > 0 {
                here.push(seconds);
            }
            let Some(peer) = &mut peer else { continue };
            let theirs = peer.ask(&question.sql);
            if let Some(difference) = difference(&rows, &theirs.rows) {
                panic!("{}: the answers differ: {difference}\n{}", question.name, question.sql);
            }
            if round > 0 {
                there.push(theirs.seconds);
            }
        }
        let (here, there) = (median(here), median(there));
        let ratio = here / there;
        (product, n) = (product + ratio.ln(), n + 1);
        (sum_here, sum_there) = (sum_here + here, sum_there + there);
        if ratio > worst.0 {
            worst = (ratio, question.name);
        }
        println!("{:<34} {:>9.1} {:>9.1} {ratio:>7.2} {n_rows:>6}", question.name, here * 1e3, there * 1e3);
    }
    println!("{:<34} {:>9.1} {:>9.1}", "sum", sum_here * 1e3, sum_there * 1e3);
    if let Some(peer) = &peer {
        println!("geometric mean {:.2}, worst {:.2} ({})", (product / f64::from(n)).exp(), worst.0, worst.1);
        println!("peak memory: here {} MiB, DuckDB {} MiB", peak_mib("/proc/self/status"), peer.peak_mib());
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// What differs between two answers, if anything does. Averages and percentiles have as many digits as their engine likes.
fn difference(ours: &[Vec<Option<String>>], theirs: &[Vec<Option<String>>]) -> Option<String> {
    if ours.len() != theirs.len() {
        return Some(format!("{} rows and {}", ours.len(), theirs.len()));
    }
    for (idx, (left, right)) in ours.iter().zip(theirs).enumerate() {
        for (left, right) in left.iter().zip(right) {
            if !alike(left.as_deref(), right.as_deref()) {
                return Some(format!("row {idx}: {left:?} here, {right:?} in DuckDB"));
            }
        }
    }
    None
}

fn alike(left: Option<&str>, right: Option<&str>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return left == right };
    if left == right || left.trim_end_matches(".000000") == right {
        return true;
    }
    match (left.parse::<f64>(), right.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-8 * a.abs().max(b.abs()).max(1.0),
        _ => false,
    }
}

/// Most memory a process had since its start, or since [`forget_peak`], in MiB.
pub(crate) fn peak_mib(status: &str) -> u64 {
    kib(status, "VmHWM:") / 1024
}

/// Memory a process has now, in MiB.
pub(crate) fn resident_mib() -> u64 {
    kib("/proc/self/status", "VmRSS:") / 1024
}

fn kib(status: &str, field: &str) -> u64 {
    let text = std::fs::read_to_string(status).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Counts the peak from now on.
pub(crate) fn forget_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}
