//! The house on a real Kafka broker, in one process and in several, and what dies in the midst of calls: each test ends with a clean
//! audit, and with a record for every call that the caller saw answered.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::broker::{self, Cluster, Door};
use crate::kills::{Seen, read_log, records_of};
use crate::postgres::Postgres;
use crate::rig::{Installation, Running, eventually, free_address, have, scenario, tollbook, write_file};

/// Whether the program has Kafka compiled in, and a broker and sipp are at hand.
pub(crate) fn can_run() -> bool {
    if !have("sipp") || !broker::at_hand() {
        return false;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = write_file(dir.path(), "t.toml", "[bus]\nurl = \"kafka://127.0.0.1:1\"\n");
    let checked = tollbook(&["check-config", "--config", config.to_str().unwrap()]);
    let is_built = !String::from_utf8_lossy(&checked.stderr).contains("built without Kafka");
    if !is_built {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "build with --features tollbook/kafka");
        eprintln!("left out: the program was built without Kafka (--features tollbook/kafka)");
    }
    is_built
}

/// Gateways that ring and answer.
pub(crate) fn gateways(made: &Installation) -> Vec<Running> {
    let gateway = |at: std::net::SocketAddr| {
        Running::spawn(
            Command::new("sipp")
                .arg("-sf")
                .arg(scenario("ringing_gateway.xml"))
                .args(["-nostdin", "-i", &at.ip().to_string(), "-p", &at.port().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
    };
    made.carriers.map(gateway).into_iter().collect()
}

/// Calls of four tenths of a second, ten a second.
pub(crate) fn phones(made: &Installation, user: &str) -> Running {
    let line = format!("{user};4930555123;[authentication username={user} password=change-me-{user}]");
    let fields = write_file(made.path(), &format!("{user}.csv"), &format!("SEQUENTIAL\n{line}\n"));
    let local = free_address("127.0.0.1");
    Running::spawn(
        Command::new("sipp")
            .arg(made.sip.to_string())
            .arg("-sf")
            .arg(scenario("logged_call.xml"))
            .arg("-inf")
            .arg(&fields)
            .args(["-i", "127.0.0.1", "-p", &local.port().to_string(), "-nostdin", "-trace_logs"])
            .arg("-log_file")
            .arg(made.path().join(format!("{user}.log")))
            .args(["-r", "10", "-l", "50", "-d", "400"])
            .current_dir(made.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null()),
    )
}

/// What the phones saw answered.
pub(crate) fn answered(made: &Installation, users: &[&str]) -> BTreeMap<String, Seen> {
    let mut seen = BTreeMap::new();
    for user in users {
        let log = made.path().join(format!("{user}.log"));
        read_log(&std::fs::read_to_string(log).unwrap_or_default(), &mut seen);
    }
    seen.retain(|_, call| call.answered_us.is_some());
    seen
}

/// Every call that was answered has one record; the books balance.
pub(crate) fn settle(made: &Installation, seen: &BTreeMap<String, Seen>, running: Vec<Running>) {
    eventually("every answered call has its record", || {
        let records = records_of(made);
        seen.keys().all(|call| records.contains_key(call))
    });
    for process in running {
        process.stop();
    }
    let records = records_of(made);
    for call in seen.keys() {
        assert_eq!(records[call].len(), 1, "{call}: {:?}", records[call]);
    }
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds") && !proof.contains("not read"), "{proof}");
}

pub(crate) fn sleep_s(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}

#[test]
fn calls_go_on_while_the_broker_is_dead_and_each_has_its_record() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, Door::Open);
    let made = Installation::new();
    made.configure(&format!(
        "[bus]\nurl = \"{}\"\n[bus.kafka]\npatience = \"3s\"\n[pipeline]\ntakeover = \"5s\"\n",
        cluster.url()
    ));
    let house = made.start();
    let gateways = gateways(&made);
    let phones = phones(&made, "huber");
    sleep_s(3);
    cluster.kill(0);
    let before = answered(&made, &["huber"]).len();
    sleep_s(8);
    let during = answered(&made, &["huber"]).len() - before;
    cluster.restart(0);
    sleep_s(3);
    phones.kill();
    assert!(during > 20, "only {during} calls were answered while the broker was dead");
    // The switch is killed too, so what it has not sent yet is sent by its next life.
    house.kill();
    drop(gateways);
    let seen = answered(&made, &["huber"]);
    let house = made.start();
    settle(&made, &seen, vec![house]);
}

#[test]
fn stages_killed_and_zombies_lose_nothing_and_double_nothing() {
    if !can_run() {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, Door::Open);
    let made = Installation::with_store(&postgres.url());
    made.configure(&format!(
        "[bus]\nurl = \"{}\"\n[bus.kafka]\npatience = \"3s\"\n[pipeline]\ntakeover = \"4s\"\n",
        cluster.url()
    ));
    const STAGES: &str = "mediator,watch,rating,fraud,exports,ledger";
    let front = made.start_with(&["--roles", "switch,desk,lake,sftp,web"]);
    let one = made.start_with(&["--roles", STAGES]);
    let two = made.start_with(&["--roles", STAGES]);
    let gateways = gateways(&made);
    let phones = phones(&made, "voss");
    sleep_s(5);
    // A zombie: the other takes its lanes over, and then it wakes up in the midst of what it was doing.
    two.signal("STOP");
    let pause_s = if std::env::var_os("RUN_SLOW_TESTS").is_some() { 60 } else { 8 };
    sleep_s(pause_s);
    two.signal("CONT");
    sleep_s(4);
    one.kill();
    sleep_s(2);
    let three = made.start_with(&["--roles", STAGES]);
    sleep_s(3);
    postgres.crash_and_restart();
    sleep_s(3);
    phones.kill();
    drop(gateways);
    let mut seen = answered(&made, &["voss"]);
    // The switch lives on, and so do the calls that were up when the phones were killed.
    seen.retain(|_, call| call.hung_up_us.is_some());
    assert!(seen.len() > 100, "only {} calls were answered and hung up", seen.len());
    settle(&made, &seen, vec![two, three, front]);
    let log = std::fs::read_to_string(made.path().join("log")).unwrap();
    assert!(
        log.contains("stood still") || log.contains("taken over by others"),
        "the zombie noticed nothing"
    );
}

#[test]
fn supervisor_is_told_what_is_not_at_hand() {
    if !can_run() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 1, Door::Open);
    let made = Installation::new();
    let health = free_address("127.0.0.1");
    made.configure(&format!(
        "[bus]\nurl = \"{}\"\n[bus.kafka]\npatience = \"1s\"\n[health]\nlisten = \"{health}\"\n",
        cluster.url()
    ));
    let house = made.start_with(&["--roles", "rating,ledger"]);
    let ask = |path: &str| {
        let url = format!("http://{health}{path}");
        let asked = Command::new("curl").args(["-s", "-w", " %{http_code}", &url]).output().unwrap();
        String::from_utf8(asked.stdout).unwrap()
    };
    eventually("it is ready", || ask("/readyz") == "ready\n 200");
    cluster.kill(0);
    eventually("the log is missed", || {
        let answer = ask("/readyz");
        answer.contains("event log: ") && answer.ends_with(" 503")
    });
    assert_eq!(ask("/healthz"), "ok\n 200");
    cluster.restart(0);
    eventually("it is ready again", || ask("/readyz") == "ready\n 200");
    house.stop();
}
