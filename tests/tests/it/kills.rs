//! Killed again and again while sipp drives calls: every call that sipp saw answered has one record, of the length that sipp saw.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::rig::{Installation, Running, eventually, free_address, have, scenario, write_file};

/// Kills in the form for every day, and in the one that `RUN_SLOW_TESTS=1` asks for.
const KILLS: u32 = 20;
const KILLS_SLOW: u32 = 200;

/// How far our length of a call may be from the caller's.
const LENGTH_TOLERANCE_US: u64 = 20_000;

/// What sipp saw of one call: microseconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    pub(crate) answered_us: Option<u64>,
    pub(crate) hung_up_us: Option<u64>,
    /// The BYE was answered.
    confirmed_us: Option<u64>,
}

/// Lengths of a life in milliseconds, each as likely as any other, the same in every run.
struct Lives(u64);

impl Lives {
    fn next_ms(&mut self) -> u64 {
        // Knuth's MMIX generator; its high bits are good enough for this.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        150 + (self.0 >> 33) % 1_300
    }
}

/// Adds what a log of `logged_call.xml` says.
pub(crate) fn read_log(text: &str, seen: &mut BTreeMap<String, Seen>) {
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(kind), Some(call), Some(time)) = (words.next(), words.next(), words.next_back()) else {
            continue;
        };
        // The last line of a killed sipp may be torn.
        let Some((seconds, micros)) = time.split_once('.').filter(|(_, micros)| micros.len() == 6) else {
            continue;
        };
        let (Ok(seconds), Ok(micros)) = (seconds.parse::<u64>(), micros.parse::<u64>()) else { continue };
        let at_us = Some(seconds * 1_000_000 + micros);
        let call = seen.entry(call.to_owned()).or_default();
        match kind {
            "A" => call.answered_us = at_us,
            "B" => call.hung_up_us = at_us,
            "E" => call.confirmed_us = at_us,
            _ => {}
        }
    }
}

#[test]
fn calls_survive_twenty_kills_in_the_midst_of_them() {
    if !have("sipp") {
        return;
    }
    let n_kills = if std::env::var_os("RUN_SLOW_TESTS").is_some() { KILLS_SLOW } else { KILLS };
    let made = Installation::new();
    // The phones ring longer than an event takes to be durable, as phones do.
    let _gateways = made.carriers.map(|at| {
        Running::spawn(
            Command::new("sipp")
                .arg("-sf")
                .arg(scenario("ringing_gateway.xml"))
                .args(["-nostdin", "-i", &at.ip().to_string(), "-p", &at.port().to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        )
    });
    let mut lives = Lives(7);
    let mut seen = BTreeMap::new();
    for life in 0..n_kills {
        let house = made.start();
        let user = if life % 2 == 0 { "huber" } else { "voss" };
        let fields = write_file(
            made.path(),
            "kills.csv",
            &format!(
                "SEQUENTIAL\n{user};4930555123;[authentication username={user} password=change-me-{user}]\n"
            ),
        );
        let log = made.path().join(format!("kills-{life}.log"));
        let local = free_address("127.0.0.1");
        let phones = Running::spawn(
            Command::new("sipp")
                .arg(made.sip.to_string())
                .arg("-sf")
                .arg(scenario("logged_call.xml"))
                .arg("-inf")
                .arg(&fields)
                .args(["-i", "127.0.0.1", "-p", &local.port().to_string(), "-nostdin", "-trace_logs"])
                .arg("-log_file")
                .arg(&log)
                .args(["-r", "25", "-l", "50", "-d", "400"])
                .current_dir(made.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        std::thread::sleep(Duration::from_millis(lives.next_ms()));
        house.kill();
        phones.kill();
        read_log(&std::fs::read_to_string(&log).unwrap_or_default(), &mut seen);
    }
    let answered: BTreeMap<&String, &Seen> =
        seen.iter().filter(|(_, call)| call.answered_us.is_some()).collect();
    assert!(answered.len() > n_kills as usize, "only {} calls were answered", answered.len());

    // What was on its way is worked off, and what the last life left open is closed.
    let house = made.start();
    let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    eventually("every answered call has its record", || {
        records = records_of(&made);
        answered.keys().all(|call| records.contains_key(*call))
    });
    house.stop();
    records = records_of(&made);

    let (mut n_whole, mut worst_us, mut over) = (0, 0, Vec::new());
    for (call, seen) in &answered {
        let [record] = &records[*call][..] else { panic!("{call} has {:?}", records[*call]) };
        let (Some(from_us), Some(to_us)) = (seen.answered_us, seen.hung_up_us) else {
            // Cut off: never longer than somebody can have talked.
            assert_eq!(record.cause, "switch_restart", "{call}: {record:?}");
            continue;
        };
        if record.cause == "switch_restart" {
            // Its end was not durable yet when the process died, or its BYE never arrived.
            assert!(record.duration_us <= to_us - from_us + LENGTH_TOLERANCE_US, "{call}: {record:?}");
            continue;
        }
        assert_eq!((record.status.as_str(), record.cause.as_str()), ("ok", "normal"), "{call}: {record:?}");
        n_whole += 1;
        let off_us = record.duration_us.abs_diff(to_us - from_us);
        worst_us = worst_us.max(off_us);
        if off_us > LENGTH_TOLERANCE_US {
            over.push((call.to_string(), off_us));
        }
    }
    eprintln!(
        "{n_kills} kills, {} calls answered, {n_whole} of them whole; lengths differ by {worst_us} us at most",
        answered.len()
    );
    assert!(n_whole > 0, "no call came to its end");
    // Beside other tests, now and then a process waits for its turn longer than that: sipp's own clock is late then.
    let over_max = if n_kills == KILLS_SLOW { 0 } else { n_whole / 20 };
    assert!(over.len() <= over_max, "{} of {n_whole} lengths are off: {over:?}", over.len());
    assert!(worst_us < 1_000_000, "a length is off by {worst_us} us");
    // And the raw events give the same records once more.
    let days = made.sql("select distinct day from calls order by day");
    for day in &days {
        let audited = made.run_command(&["audit", "--day", day]);
        assert!(
            audited.contains("all of it holds") && audited.contains("receivable: the calls"),
            "{audited}"
        );
        let replayed = made.run_command(&["replay", "--day", day]);
        assert!(replayed.contains("byte for byte the same"), "{replayed}");
    }
    let proof = made.run_command(&["audit"]);
    assert!(proof.contains("all of it holds") && !proof.contains("not read"), "{proof}");
    assert!(proof.contains("0 are open"), "{proof}");
}

#[derive(Debug)]
pub(crate) struct Record {
    status: String,
    pub(crate) cause: String,
    duration_us: u64,
}

/// By the Call-ID that sipp gave.
pub(crate) fn records_of(made: &Installation) -> BTreeMap<String, Vec<Record>> {
    let rows = made.sql(
        "select sip_call_id, status, cause, cast(duration_seconds * 1000000 as bigint) from calls where cause <> 'unauthorised'",
    );
    let mut records: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for row in rows {
        let cells: Vec<&str> = row.split(',').collect();
        let [call, status, cause, duration_us] = cells[..] else { panic!("{row}") };
        records.entry(call.to_owned()).or_default().push(Record {
            status: status.to_owned(),
            cause: cause.to_owned(),
            duration_us: duration_us.parse().unwrap(),
        });
    }
    records
}
