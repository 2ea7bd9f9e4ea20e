//! Brokers, a database server, a switch and stages on several machines, of which one fails in the midst of calls.

use crate::broker::{Cluster, Door};
use crate::cut_link::Namespace;
use crate::kafka_house::{answered, can_run, gateways, phones, settle, sleep_s};
use crate::kills::records_of;
use crate::postgres::Postgres;
use crate::rig::{Installation, eventually, have};

const FRONT: &[&str] = &["--roles", "switch,desk,lake,sftp,web"];
const STAGES: &[&str] = &["--roles", "mediator,watch,rating,fraud,exports,ledger"];

#[test]
fn lanes_of_a_machine_that_is_cut_off_from_the_brokers_go_to_those_that_are_not() {
    if !can_run() || !have("ip") {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let Some(far) = Namespace::new(3) else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start_at(far.near_end(), dir.path(), 1, Door::Open);
    let made = Installation::with_store(&postgres.url());
    made.configure(&format!(
        "[bus]\nurl = \"{}\"\n[bus.kafka]\npatience = \"3s\"\n[pipeline]\ntakeover = \"3s\"\n",
        cluster.url()
    ));
    let front = made.start_with(FRONT);
    let here = made.start_with(STAGES);
    // It reaches the database, which has another door, all the time.
    let there = made.start_under(&far.wrapper(), STAGES);
    let at_carriers = gateways(&made);
    let callers = phones(&made, "voss");
    eventually("calls are answered", || answered(&made, &["voss"]).len() > 20);
    far.pull_the_cable();
    let before = answered(&made, &["voss"]).len();
    eventually("calls go on", || answered(&made, &["voss"]).len() > before + 20);
    let mut seen = answered(&made, &["voss"]);
    seen.retain(|_, call| call.hung_up_us.is_some());
    eventually("their records do not wait for the cable", || {
        let records = records_of(&made);
        seen.keys().all(|call| records.contains_key(call))
    });
    far.plug_the_cable();
    let log = || std::fs::read_to_string(made.path().join("log")).unwrap();
    eventually("the machine is back", || log().contains("the event log answers again"));
    sleep_s(3);
    callers.kill();
    drop(at_carriers);
    let mut seen = answered(&made, &["voss"]);
    seen.retain(|_, call| call.hung_up_us.is_some());
    settle(&made, &seen, vec![here, there, front]);
}
