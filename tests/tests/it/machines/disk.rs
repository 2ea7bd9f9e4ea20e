//! Disks fill up: of the machine that has everything, and of the database server.

use super::SmallDisk;
use crate::kafka_house::{answered, gateways, phones, settle, sleep_s};
use crate::kills::records_of;
use crate::postgres::Postgres;
use crate::rig::{Installation, eventually, have};

#[test]
fn full_disk_stops_new_calls_and_loses_none() {
    if !have("sipp") || !have("mount") {
        return;
    }
    let made = Installation::new();
    // What was imported before is on it too.
    let kept = made.path().join("kept");
    let data = made.home().join("data");
    std::fs::rename(&data, &kept).unwrap();
    let Some(disk) = SmallDisk::mount(&data, 320) else { return };
    crate::rig::printed(std::process::Command::new("cp").arg("-a").arg(kept.join(".")).arg(&data));
    made.configure("[bus.embedded]\nfree_bytes_min = 67108864\n");
    let house = made.start();
    let at_carriers = gateways(&made);
    let callers = phones(&made, "huber");
    eventually("calls are answered", || answered(&made, &["huber"]).len() > 10);
    disk.fill();
    sleep_s(4);
    let at_full = answered(&made, &["huber"]).len();
    sleep_s(3);
    assert_eq!(answered(&made, &["huber"]).len(), at_full, "calls were taken that could not be written down");
    disk.make_room();
    eventually("calls are answered again", || answered(&made, &["huber"]).len() > at_full + 10);
    callers.kill();
    drop(at_carriers);
    let mut seen = answered(&made, &["huber"]);
    seen.retain(|_, call| call.hung_up_us.is_some());
    settle(&made, &seen, vec![house]);
}

#[test]
fn full_disk_of_the_database_server_keeps_calls_going_and_stages_waiting() {
    if !have("sipp") || !have("mount") {
        return;
    }
    let dir = tempfile::Builder::new().prefix("tollbook-disk").tempdir_in(std::env::temp_dir()).unwrap();
    std::process::Command::new("chmod").arg("755").arg(dir.path()).status().unwrap();
    let Some(disk) = SmallDisk::mount(&dir.path().join("disk"), 256) else { return };
    let Some(postgres) = Postgres::start_below(&dir.path().join("disk")) else { return };
    let made = Installation::with_store(&postgres.url());
    let house = made.start();
    let at_carriers = gateways(&made);
    let callers = phones(&made, "huber");
    eventually("calls are answered", || answered(&made, &["huber"]).len() > 10);
    disk.fill();
    postgres.use_up_its_log();
    sleep_s(1);
    let records_at_full = records_of(&made).len();
    let at_full = answered(&made, &["huber"]).len();
    eventually("calls go on without the database", || answered(&made, &["huber"]).len() > at_full + 10);
    assert_eq!(records_of(&made).len(), records_at_full, "records were made that could not be kept");
    disk.make_room();
    // A server that could not write its log has given up; its operator starts it again.
    postgres.crash_and_restart();
    eventually("records are made again", || records_of(&made).len() > at_full + 10);
    callers.kill();
    drop(at_carriers);
    let mut seen = answered(&made, &["huber"]);
    seen.retain(|_, call| call.hung_up_us.is_some());
    settle(&made, &seen, vec![house]);
}
