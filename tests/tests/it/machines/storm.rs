//! Processes with stages that join and leave faster than lanes can be shared, half of them without a word, while calls run.

use crate::broker::{Cluster, Door};
use crate::kafka_house::{answered, can_run, gateways, phones, settle, sleep_s};
use crate::postgres::Postgres;
use crate::rig::{Installation, Running};

const FRONT: &[&str] = &["--roles", "switch,desk,lake,sftp,web"];
const STAGES: &[&str] = &["--roles", "mediator,watch,rating,fraud,exports,ledger"];

/// Processes that pass, for every day and with `RUN_SLOW_TESTS=1`.
const PASSING: u32 = 10;
const PASSING_SLOW: u32 = 60;

#[test]
fn processes_that_join_and_leave_every_second_lose_nothing_and_double_nothing() {
    if !can_run() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, Door::Open);
    let made = Installation::with_store(&postgres.url());
    made.configure(&format!(
        "[bus]\nurl = \"{}\"\n[bus.kafka]\npatience = \"5s\"\n[pipeline]\ntakeover = \"4s\"\n",
        cluster.url()
    ));
    let front = made.start_with(FRONT);
    let mut staying: Vec<Running> = (0..2).map(|_| made.start_with(STAGES)).collect();
    let at_carriers = gateways(&made);
    let callers = phones(&made, "voss");
    sleep_s(3);
    let n_passing = if std::env::var_os("RUN_SLOW_TESTS").is_some() { PASSING_SLOW } else { PASSING };
    for n in 0..n_passing {
        let passing = made.start_with(STAGES);
        sleep_s(1);
        if n % 2 == 0 {
            passing.kill();
        } else {
            passing.stop();
        }
    }
    // Those that stayed have had their lanes taken and given back all the while.
    assert!(staying.iter_mut().all(Running::is_up));
    callers.kill();
    drop(at_carriers);
    let mut seen = answered(&made, &["voss"]);
    // The switch lives on, and so do the calls that were up when the phones were killed.
    seen.retain(|_, call| call.hung_up_us.is_some());
    assert!(seen.len() > 50, "only {} calls were answered and hung up", seen.len());
    staying.push(front);
    settle(&made, &seen, staying);
}
