//! A machine is lost for good: what the backup has, made in the midst of calls, becomes an installation again, and it goes on.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::find;
use crate::kafka_house::{answered, gateways, phones, settle, sleep_s};
use crate::kills::records_of;
use crate::postgres::Postgres;
use crate::prepaid::add_prepaid_account;
use crate::rig::{Installation, eventually, have, tollbook_path};

fn restore(from: &Path, more: &[&str]) -> Output {
    Command::new(tollbook_path()).arg("restore").arg(from).args(more).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// What is left of what was paid.
fn has(made: &Installation, balance: &str) -> bool {
    let shown = made.run_command(&["balance", "budget"]);
    shown.lines().any(|line| line == format!("balance        {balance}"))
}

/// Calls, a backup in the midst of them, the loss of all that is not in it, and calls again. `store` is where the database comes to.
fn lose_all_and_go_on(made: &Installation, store: &[&str]) {
    add_prepaid_account(made, "");
    let house = made.start();
    let at_carriers = gateways(made);
    let callers = phones(made, "huber");
    made.run_command(&["topup", "budget", "5"]);
    eventually("the top-up is posted", || has(made, "5"));
    sleep_s(4);
    // Those that had come to their end then must be in it.
    let before = answered(made, &["huber"]);
    let backup = made.path().join("backup");
    let made_it = made.run_command(&["backup", backup.to_str().unwrap()]);
    assert!(made_it.contains("its process makes the backup"), "{made_it}");
    // Paid after it: this is lost with the machine, and its number is given once more.
    made.run_command(&["topup", "budget", "7"]);
    eventually("the later top-up is posted", || has(made, "12"));
    sleep_s(1);
    callers.kill();
    house.kill();
    std::fs::rename(made.home(), made.path().join("lost")).unwrap();

    let checked = restore(&backup, &["--check"]);
    assert!(
        checked.status.success() && said(&checked).contains("as they were written"),
        "{}",
        said(&checked)
    );
    let home = made.home();
    let mut to = vec!["--to", home.to_str().unwrap()];
    to.extend(store);
    let restored = restore(&backup, &to);
    let mode = std::fs::metadata(made.config()).unwrap().permissions().mode();
    if !store.is_empty() {
        assert_eq!(mode & 0o077, 0, "others may read the database's address");
    }
    assert!(restored.status.success() && said(&restored).contains("all of it holds"), "{}", said(&restored));
    let again = restore(&backup, &to);
    assert_eq!(again.status.code(), Some(2), "{}", said(&again));
    assert!(said(&again).contains("not empty"), "{}", said(&again));

    let house = made.start();
    eventually("calls that had ended before the backup have their records", || {
        let records = records_of(made);
        before
            .iter()
            .filter(|(_, call)| call.hung_up_us.is_some())
            .all(|(call, _)| records.contains_key(call))
    });
    eventually("what was paid before is there", || has(made, "5"));
    made.run_command(&["topup", "budget", "2"]);
    eventually("what is paid now counts", || has(made, "7"));
    std::fs::remove_file(made.path().join("huber.log")).unwrap();
    let callers = phones(made, "huber");
    sleep_s(3);
    callers.kill();
    drop(at_carriers);
    let mut seen = answered(made, &["huber"]);
    seen.retain(|_, call| call.hung_up_us.is_some());
    assert!(seen.len() > 5, "only {} calls after the loss", seen.len());
    // Nothing is sent and numbered before somebody has looked.
    let asked = made.run_command(&["release", "--dry-run"]);
    assert!(asked.contains("restored to "), "{asked}");
    let exports = made.home().join("data/exports");
    // There is no folder before the first file.
    let files = || if exports.exists() { find(&exports, ".csv").len() } else { 0 };
    let n_files = files();
    let mut refused = Command::new(tollbook_path());
    let refused = refused.args(["export", "run", "--config"]).arg(made.config()).output().unwrap();
    assert!(said(&refused).contains("tollbook release") && files() == n_files, "{}", said(&refused));
    assert!(made.run_command(&["release"]).contains("released"));
    assert!(made.run_command(&["release"]).contains("nothing is held back"));
    settle(made, &seen, vec![house]);
}

#[test]
fn lost_machine_is_replaced_by_its_backup() {
    if !have("sipp") {
        return;
    }
    let made = Installation::new();
    lose_all_and_go_on(&made, &[]);

    // At rest too, and only into a directory that is empty.
    let backup = made.path().join("at-rest");
    made.run_command(&["backup", backup.to_str().unwrap()]);
    let mut again = Command::new(tollbook_path());
    let again = again.arg("backup").arg(&backup).arg("--config").arg(made.config()).output().unwrap();
    assert!(again.status.code() == Some(2) && said(&again).contains("not empty"), "{}", said(&again));

    // One byte is not what it was: nothing is made of it.
    let log = find(&backup, "calls.zst").pop().unwrap();
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let elsewhere = made.path().join("elsewhere");
    let refused = restore(&backup, &["--to", elsewhere.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("log/calls.zst") && !elsewhere.exists(), "{}", said(&refused));
    bytes[middle] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    // A list that was changed leads nowhere else.
    let list = backup.join("backup.json");
    let text = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, text.replace("\"config\": \"", "\"config\": \"../")).unwrap();
    let refused = restore(&backup, &["--to", elsewhere.to_str().unwrap()]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));
    assert!(said(&refused).contains("no configuration of it") && !elsewhere.exists(), "{}", said(&refused));
    // One that did not come to its end is none.
    std::fs::remove_file(backup.join("backup.json")).unwrap();
    let refused = restore(&backup, &["--check"]);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("no whole backup"),
        "{}",
        said(&refused)
    );
}

#[test]
fn lost_machine_with_its_database_on_a_server_is_replaced() {
    if !have("sipp") || !have("pg_dump") {
        return;
    }
    let Some(postgres) = Postgres::start() else { return };
    let made = Installation::with_store(&postgres.url());
    let other = postgres.another("second");
    lose_all_and_go_on(&made, &["--store", &other]);
    // Another one's tables are left alone.
    let backup = made.path().join("backup");
    let elsewhere = made.path().join("elsewhere");
    let refused = restore(&backup, &["--store", &other, "--to", elsewhere.to_str().unwrap()]);
    assert!(
        refused.status.code() == Some(2) && said(&refused).contains("holds tables"),
        "{}",
        said(&refused)
    );
}
